//! From a function to a test that has a namespace of its own and shows what was there when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use libtest_mimic::{Failed, Trial};

use crate::diagnosis;
use crate::process;
use crate::site::Site;
use crate::turns::Company;
use crate::world::{Lazy, World};

/// The most characters that the name of a namespace may have.
const NAME_MAX_CHARS: usize = 63;

/// One test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    name: &'static str,
    body: fn(&Site<'_>) -> Result<()>,
    company: Company,
}

/// A test that runs beside others, named by what it shows.
pub(crate) const fn test(name: &'static str, body: fn(&Site<'_>) -> Result<()>) -> Test {
    Test { name, body, company: Company::Others }
}

/// A test that has the host for itself, named by what it shows.
pub(crate) const fn alone(name: &'static str, body: fn(&Site<'_>) -> Result<()>) -> Test {
    Test { name, body, company: Company::Nobody }
}

/// A test that brings a host of its own, for its own namespace, while the one in the cluster is away; beside others of this kind.
pub(crate) const fn apart(name: &'static str, body: fn(&Site<'_>) -> Result<()>) -> Test {
    Test { name, body, company: Company::Apart }
}

impl Test {
    /// Who else may run at the same time.
    pub(crate) fn company(&self) -> Company {
        self.company
    }

    /// The test as it is run. Its namespace bears the last part of its name.
    pub(crate) fn into_trial(self, world: &Arc<Lazy>) -> Trial {
        let world = Arc::clone(world);
        Trial::test(self.name, move || {
            let world = world.get().map_err(failed)?;
            let _turn = world.turns.take(world, self.company).map_err(failed)?;
            self.run(world)
        })
    }

    fn run(self, world: &World) -> Result<(), Failed> {
        let name = self.name.rsplit("::").next().unwrap_or(self.name);
        let mut namespace = name.replace('_', "-");
        namespace.truncate(NAME_MAX_CHARS);
        process::forget(&namespace);
        let site = Site::make(world, &namespace).map_err(failed)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.body)(&site)))
            .unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", words(panic.as_ref()))));
        let outcome = outcome
            .map_err(|error| Failed::from(format!("{error:#}\n\n{}", diagnosis::of(world, &site))));
        site.leave();
        outcome
    }
}

fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without words").to_owned()
}
