//! Which tests run at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::world::World;

/// Who else may run at the same time, in the order in which the tests are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Company {
    /// All who do not need to be alone.
    #[default]
    Others,
    /// Others that bring a host of their own, because the one in the cluster is away.
    Apart,
    /// Nobody, because the test stops the host, or counts what the host does anywhere.
    Nobody,
}

/// Who runs.
#[derive(Default)]
pub(crate) struct Turns {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    company: Company,
    tests: usize,
}

/// A test's turn, until this is dropped.
pub(crate) struct Turn<'a> {
    world: &'a World,
}

impl Turns {
    /// Waits until a test of this kind may run. The first of those that are apart sends the host in the cluster away.
    pub(crate) fn take<'a>(&self, world: &'a World, company: Company) -> Result<Turn<'a>> {
        let mut inside = self.inside();
        while inside.tests > 0 && (inside.company != company || company == Company::Nobody) {
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        if inside.tests == 0 && company == Company::Apart {
            world.send_host_away()?;
        }
        inside.company = company;
        inside.tests += 1;
        Ok(Turn { world })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    /// The last of those that are apart calls the host back, before anybody else begins.
    fn drop(&mut self) {
        let turns = &self.world.turns;
        let mut inside = turns.inside();
        inside.tests -= 1;
        if inside.tests == 0 {
            if inside.company == Company::Apart {
                self.world.call_host_back();
            }
            turns.changed.notify_all();
        }
    }
}
