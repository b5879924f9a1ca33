//! The parts of the control plane, and the node. Each looks at the store and does one thing at a time, through the rules that clients are
//! subject to; all of them are asked in turn until none has anything to do.

mod claims;
mod collector;
mod namespaces;
mod retention;
mod scheduler;
mod sets;

use k8s_openapi::jiff::Timestamp;

use super::store::Store;
use super::write::{Effect, Writer};

pub use claims::Provisioning;

/// Who a node's writes are by.
const KUBELET: &str = "kubelet";

/// The part of the one node: it runs the pods that it is given, and says what becomes of them.
pub trait Node {
    /// Does one thing for one pod; answers whether there was anything to do.
    fn act(&mut self, writer: &mut Writer<'_>) -> bool;
}

/// Everybody in the control plane who acts without being asked.
#[derive(Default)]
pub struct Controllers {
    sets: sets::Controller,
    provisioning: Provisioning,
}

impl Controllers {
    /// Controllers that have done nothing yet.
    #[must_use]
    pub fn new(provisioning: Provisioning) -> Self {
        Self { sets: sets::Controller::default(), provisioning }
    }

    /// Has the next one that has something to do, do it, the node last; answers whether there was one.
    pub fn act(&mut self, store: &mut Store, node: &mut dyn Node) -> bool {
        self.sets.act(&mut writer(store, sets::NAME))
            || collector::act(&mut writer(store, collector::NAME))
            || claims::act(&mut writer(store, claims::NAME), self.provisioning)
            || scheduler::act(&mut writer(store, scheduler::NAME))
            || namespaces::act(&mut writer(store, namespaces::NAME))
            || node.act(&mut writer(store, KUBELET))
    }

    /// When somebody has something to do though nothing changes.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.sets.next_at()
    }
}

fn writer<'a>(store: &'a mut Store, by: &'a str) -> Writer<'a> {
    Writer { store, by, effect: Effect::Real }
}
