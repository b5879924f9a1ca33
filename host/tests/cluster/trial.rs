//! From a function to a test that has a namespace of its own and shows what was there when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use anyhow::{Result, anyhow};
use libtest_mimic::{Failed, Trial};

use crate::diagnosis;
use crate::site::Site;
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

/// Who else may run at the same time.
#[derive(Clone, Copy)]
enum Company {
    /// All who do not need to be alone.
    Others,
    /// Nobody, because it stops the host, or counts what the host does anywhere.
    Nobody,
}

/// A test that runs beside others, named by what it shows.
pub(crate) const fn test(name: &'static str, body: fn(&Site<'_>) -> Result<()>) -> Test {
    Test { name, body, company: Company::Others }
}

/// A test that has the host for itself, named by what it shows.
pub(crate) const fn alone(name: &'static str, body: fn(&Site<'_>) -> Result<()>) -> Test {
    Test { name, body, company: Company::Nobody }
}

impl Test {
    /// Whether it runs while no other does.
    pub(crate) fn is_alone(&self) -> bool {
        match self.company {
            Company::Others => false,
            Company::Nobody => true,
        }
    }

    /// The test as it is run. Its namespace bears the last part of its name.
    pub(crate) fn into_trial(self, world: &Arc<Lazy>) -> Trial {
        let world = Arc::clone(world);
        Trial::test(self.name, move || {
            let world = world.get().map_err(failed)?;
            match self.company {
                Company::Others => {
                    let _shared = world.host.read().unwrap_or_else(PoisonError::into_inner);
                    self.run(world)
                }
                Company::Nobody => {
                    let _exclusive = world.host.write().unwrap_or_else(PoisonError::into_inner);
                    self.run(world)
                }
            }
        })
    }

    fn run(self, world: &World) -> Result<(), Failed> {
        let name = self.name.rsplit("::").next().unwrap_or(self.name);
        let mut namespace = name.replace('_', "-");
        namespace.truncate(NAME_MAX_CHARS);
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
