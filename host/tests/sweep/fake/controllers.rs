//! The parts of the control plane and the node. Each looks at the store and does one thing at a time, through the rules that clients are
//! subject to; all of them are asked in turn until none has anything to do.

mod claims;
mod collector;
mod kubelet;
mod namespaces;
mod retention;
mod scheduler;
mod sets;

use tokio::time::Instant;

use super::store::Store;
use super::write::{Effect, Writer};

pub(crate) use kubelet::Kubelet;
pub(crate) use scheduler::NODE;

/// Everybody who acts without being asked.
#[derive(Default)]
pub(crate) struct Controllers {
    sets: sets::Controller,
    /// The node's part.
    pub(crate) kubelet: Kubelet,
}

impl Controllers {
    /// Has the next one that has something to do, do it; answers whether there was one.
    pub(crate) fn act(&mut self, store: &mut Store) -> bool {
        let now = Instant::now();
        self.sets.act(&mut writer(store, sets::NAME), now)
            || collector::act(&mut writer(store, collector::NAME))
            || claims::act(&mut writer(store, claims::NAME))
            || scheduler::act(&mut writer(store, scheduler::NAME))
            || namespaces::act(&mut writer(store, namespaces::NAME))
            || self.kubelet.act(&mut writer(store, kubelet::NAME), now)
    }

    /// When somebody has something to do though nothing changes.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.kubelet.next_at().into_iter().chain(self.sets.next_at()).min()
    }
}

fn writer<'a>(store: &'a mut Store, by: &'a str) -> Writer<'a> {
    Writer { store, by, effect: Effect::Real }
}
