//! The simulated cluster: an API server and controllers in miniature, a node, a clock that is told, and the journal of what happens.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_core::TimeMs;
use tidegate_miniature::{
    controllers::{Controllers, Node, Provisioning},
    kind::Kind,
    object::name,
    refusal::Refusal,
    store::{Key, Store},
    write::{Deletion, Effect, Part, Propagation, Writer, with_condition},
};

use super::{
    journal::Journal,
    node::{self, Exit, Kubelet},
    script::{Cascade, Deed, Event, Fate},
};

/// Who writes what the host asks for.
pub const HOST: &str = "host";
/// Who writes what a script says, and what is there from the beginning.
pub const PEOPLE: &str = "somebody";
/// The name of the one node.
const NODE: &str = "node-0";

/// What the host's requests and the script share.
pub struct Shared(Mutex<State>);

/// Everything that there is.
pub struct State {
    /// The objects.
    pub store: Store,
    /// What has happened.
    pub journal: Journal,
    controllers: Controllers,
    kubelet: Kubelet,
    told: Arc<AtomicU64>,
}

/// A node that stands still.
struct Nobody;

impl Node for Nobody {
    fn act(&mut self, _: &mut Writer<'_>) -> bool {
        false
    }
}

impl Shared {
    /// A cluster with these namespaces and nothing in them, whose time is read from `told`.
    ///
    /// # Errors
    /// Where a namespace cannot be.
    pub fn start(told: &Arc<AtomicU64>, namespaces: &[&str]) -> Result<Arc<Self>, Refusal> {
        let read = Arc::clone(told);
        let clock = Arc::new(move || timestamp(read.load(Ordering::Acquire)));
        let mut state = State {
            store: Store::new(clock),
            journal: Journal::begin(TimeMs(told.load(Ordering::Acquire))),
            controllers: Controllers::new(Provisioning::Every),
            kubelet: Kubelet::default(),
            told: Arc::clone(told),
        };
        for namespace in namespaces {
            let object = json!({ "metadata": { "name": namespace } });
            // Both may be the same.
            if state.get(Kind::Namespace, "", namespace).is_none() {
                state.make(Kind::Namespace, "", &object)?;
            }
        }
        Ok(Arc::new(Self(Mutex::new(state))))
    }

    /// Everything, for as long as the answer lives. A thread that panicked while it held the lock left plain data behind.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The time.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        TimeMs(self.told.load(Ordering::Acquire))
    }

    /// It is this time, and no earlier one.
    pub fn pass_until(&self, time: TimeMs) {
        self.told.fetch_max(time.0, Ordering::AcqRel);
    }

    /// It is this time, at which somebody has something to do.
    pub fn pass_by(&mut self, time: TimeMs) {
        self.pass_until(time);
        self.journal.passed(time);
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.store.get(&Key::new(kind, namespace, name))
    }

    /// Puts an object there.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn make(&mut self, kind: Kind, within: &str, object: &Value) -> Result<(), Refusal> {
        tidegate_miniature::admission::read(
            kind,
            object,
            tidegate_miniature::admission::Reading::Lenient,
        )?;
        self.writer().create(kind, within, object).map(|_| ())
    }

    /// Puts an object there that is somewhere else already, with its own UID.
    pub fn put(&mut self, kind: Kind, within: &str, object: &Value) {
        let key = Key::new(kind, within, name(object));
        let mut object = object.clone();
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.word());
        self.store.put(&key, object, PEOPLE);
    }

    /// Puts the node there, with the labels that the set's pods ask of one.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub fn add_node(&mut self, set: &Value) -> Result<(), Refusal> {
        let labels = set.pointer("/spec/template/spec/nodeSelector").cloned();
        let metadata = json!({ "name": NODE, "labels": labels.unwrap_or_default() });
        self.writer().create(Kind::Node, "", &json!({ "metadata": metadata })).map(|_| ())
    }

    /// Has the control plane and the node do what there is to do, until neither has anything.
    pub fn rest(&mut self) {
        while self.controllers.act(&mut self.store, &mut self.kubelet) {}
        self.journal.cluster(&self.store);
    }

    /// Has the control plane do what there is to do. It is quicker than the host.
    pub fn control(&mut self) {
        while self.controllers.act(&mut self.store, &mut Nobody) {}
        self.journal.cluster(&self.store);
    }

    /// Has the node do one thing; answers whether there was anything to do. It is slower than the host, which sees each step.
    pub fn serve(&mut self) -> bool {
        let did = self.controllers.act(&mut self.store, &mut self.kubelet);
        self.journal.cluster(&self.store);
        did
    }

    /// When somebody but the host has something to do though nothing changes.
    #[must_use]
    pub fn next_at(&self) -> Option<TimeMs> {
        let at = self.controllers.next_at()?.as_millisecond();
        u64::try_from(at).ok().map(TimeMs)
    }

    /// Does what a script says, but for the time that passes, and writes it down.
    pub fn play(&mut self, set: &Key, event: &Event) {
        let now = self.now();
        self.journal.event(now, &event.text);
        if let Err(why) = self.happen(set, &event.deed) {
            self.journal.impossible(&why);
        }
    }

    /// Where it cannot be, as where there is no such pod, it says why.
    fn happen(&mut self, set: &Key, deed: &Deed) -> Result<(), String> {
        let within = set.namespace.clone();
        let refused = |refusal: Refusal| refusal.message().to_owned();
        match deed {
            Deed::Run(_) => Ok(()),
            Deed::Scale(replicas) => {
                let write = self.writer().update(set, Part::Main, |set| {
                    let mut set = set.clone();
                    set["spec"]["replicas"] = json!(replicas);
                    Ok(set)
                });
                write.map(|_| ()).map_err(refused)
            }
            Deed::Annotate { key, value } => {
                let write = self.writer().update(set, Part::Main, |set| {
                    let mut set = set.clone();
                    match value {
                        Some(value) => set["metadata"]["annotations"][key] = json!(value),
                        None => {
                            let annotations = set["metadata"]["annotations"].as_object_mut();
                            annotations.map(|annotations| annotations.remove(key));
                        }
                    }
                    Ok(set)
                });
                write.map(|_| ()).map_err(refused)
            }
            Deed::DeleteClaim(name) => {
                let key = Key::new(Kind::Claim, &within, name);
                self.writer().delete(&key, &Deletion::default()).map(|_| ()).map_err(refused)
            }
            Deed::DeleteSet(cascade) => {
                let propagation = Some(match cascade {
                    Cascade::Background => Propagation::Background,
                    Cascade::Foreground => Propagation::Foreground,
                    Cascade::Orphan => Propagation::Orphan,
                });
                let deletion = Deletion { propagation, ..Deletion::default() };
                self.writer().delete(set, &deletion).map(|_| ()).map_err(refused)
            }
            Deed::Pod { name, fate } => self.befall(&Key::new(Kind::Pod, &within, name), fate),
        }
    }

    fn befall(&mut self, key: &Key, fate: &Fate) -> Result<(), String> {
        let pod = self.store.get(key).ok_or_else(|| format!("there is no pod {}", key.name))?;
        let done = match fate {
            Fate::Exits { code, message } => {
                let phase = pod.pointer("/status/phase").and_then(Value::as_str);
                if phase != Some("Running") {
                    let phase = phase.unwrap_or("not known");
                    return Err(format!("pod {} does not run: its phase is {phase}", key.name));
                }
                node::ended(&mut self.writer(), key, Exit { code: *code, message })
            }
            Fate::Evicted => self.writer().evict(key, &Deletion::default()).map(|_| ()),
            Fate::Deleted => self.writer().delete(key, &Deletion::default()).map(|_| ()),
            Fate::Forgotten => {
                let deletion = Deletion { grace_secs: Some(0), ..Deletion::default() };
                self.writer().delete(key, &deletion).map(|_| ())
            }
            Fate::NodeLost => self.lose(key, &pod),
        };
        done.map_err(|refusal| refusal.message().to_owned())
    }

    /// What the node controller does with a pod whose node is heard of no more, minutes later.
    fn lose(&mut self, key: &Key, pod: &Value) -> Result<(), Refusal> {
        self.kubelet.lose(pod);
        let now = self.store.stamp(0);
        let mark = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": now,
        });
        self.writer().update(key, Part::Status, |pod| {
            Ok(with_condition(&with_condition(pod, node::not_ready(&now)), mark))
        })?;
        self.writer().delete(key, &Deletion::default()).map(|_| ())
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer { store: &mut self.store, by: PEOPLE, effect: Effect::Real }
    }
}

fn timestamp(told_ms: u64) -> Timestamp {
    let told_ms = i64::try_from(told_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(told_ms).unwrap_or(Timestamp::MAX)
}
