//! The host in its simulated cluster: the same host that runs in a real one, pass by pass. What its watches would show is given to it after each
//! change, its clock is told, and what it thinks and tells is written down.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use k8s_openapi::api::events::v1::Event;
use kube::{
    ResourceExt as _,
    runtime::{
        reflector::{self, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_core::{Answer, Ordinal, Plan, Seen, TimeMs, plan::plan, questions};
use tidegate_miniature::{kind::Kind, object::text, store::Key};
use tokio::sync::mpsc;

use super::{
    cluster::{Shared, State},
    script::{self, Deed},
    wire,
};
use crate::{
    ask,
    clock::Clock,
    cluster::{Cluster, Effect},
    error::Error,
    host::{Host, Sight, Witness},
    lease::Tenure,
    memory::Memory,
    modules::{Modules, Sources},
    objects::{PodObject, SetObject},
    observe::marks_of,
    policy::{Log, Policies},
    queue::Next,
    reconcile::{after_error, reconcile, reconcile_left_behind, report_policy},
    report::Reporter,
    watch::{self, Index},
};

/// How many passes the host may make at one moment: a passage of one ordinal takes some twenty. A host that makes more than this writes without end.
const PASSES_MAX: usize = 2_000;
/// How many sets may wait to be looked at because their policies have become others: there is one.
const WOKEN_MAX: usize = 64;
/// The label of the pods that the host watches.
const MEMBERS: &str = "statefulset.kubernetes.io/pod-name";

/// The host in its cluster.
pub struct Stage {
    shared: Arc<Shared>,
    host: Arc<Host>,
    events: mpsc::Receiver<Event>,
    /// The sets whose policies have become others.
    woken: mpsc::Receiver<watch::Key>,
    sets: Writer<SetObject>,
    set: Key,
    /// When the host asked to look again.
    due: Option<TimeMs>,
}

/// Shows the journal what the host thinks.
struct Onlooker(Arc<Shared>);

impl Witness for Onlooker {
    fn decided(&self, sight: &Sight, answers: &BTreeMap<Ordinal, Answer>, plan: &Plan) {
        let mut state = self.0.lock();
        let now = state.now();
        state.journal.decided(&sight.seen, answers, plan, now);
    }

    fn heard(&self, ordinal: Ordinal, log: &Log) {
        self.0.lock().journal.heard(ordinal, log);
    }
}

impl Stage {
    /// A host that has not looked yet, in this cluster, whose time is read from `told`.
    #[must_use]
    pub fn open(
        shared: &Arc<Shared>,
        told: &Arc<AtomicU64>,
        set: Key,
        (policies, sources): (Policies, Sources),
    ) -> Self {
        let client = wire::client(shared, &set.namespace);
        let cluster = Cluster::reached_by(client, Effect::Real);
        let (wake, woken) = mpsc::channel(WOKEN_MAX);
        let (store, sets) = reflector::store();
        let (reporter, events) = Reporter::unsent(Effect::Real);
        let host = Arc::new(Host {
            sets: store,
            claims: Arc::default(),
            pods: Arc::default(),
            modules: Modules::new(policies, sources, cluster.clone(), wake),
            reporter,
            memory: Memory::new(Effect::Real),
            tenure: Arc::new(Tenure::without_lease()),
            clock: Clock::Told(Arc::clone(told)),
            witness: Box::new(Onlooker(Arc::clone(shared))),
            cluster,
        });
        Self { shared: Arc::clone(shared), host, events, woken, sets, set, due: None }
    }

    /// Does what a script says, and waits until everybody is at rest.
    ///
    /// # Errors
    /// Where the host does not come to rest.
    pub async fn happen(&mut self, event: &script::Event) -> Result<(), Error> {
        self.shared.lock().play(&self.set, event);
        match &event.deed {
            Deed::Run(span) => self.pass(*span).await,
            Deed::Scale(_)
            | Deed::Pod { .. }
            | Deed::Annotate { .. }
            | Deed::DeleteClaim(_)
            | Deed::DeleteSet(_) => self.settle().await,
        }
    }

    /// Whether what a script says can be: a pod must be there for something to befall it.
    #[must_use]
    pub fn can_be(&self, event: &script::Event) -> bool {
        match &event.deed {
            Deed::Pod { name, .. } => {
                self.shared.lock().get(Kind::Pod, &self.set.namespace, name).is_some()
            }
            Deed::Scale(_)
            | Deed::Run(_)
            | Deed::Annotate { .. }
            | Deed::DeleteClaim(_)
            | Deed::DeleteSet(_) => true,
        }
    }

    /// Waits until everybody is at rest at this moment: the control plane first, then the host, then one step of the node, in turns.
    ///
    /// # Errors
    /// Where the host does not come to rest.
    pub async fn settle(&mut self) -> Result<(), Error> {
        for _ in 0..PASSES_MAX {
            self.shared.lock().control();
            self.watch()?;
            let next = self.look_at_all().await;
            let was_loading = self.host.modules.rest().await;
            let is_woken = self.woken.try_recv().is_ok();
            let goes_on = was_loading || is_woken || next == Some(Duration::ZERO);
            if goes_on || self.shared.lock().serve() {
                continue;
            }
            let now = self.shared.lock().now();
            self.due = next.map(|after| now.after_ms(ms(after)));
            return Ok(());
        }
        Err(Error::Malformed(format!(
            "the host does not come to rest: it has made {PASSES_MAX} passes in one moment"
        )))
    }

    /// What the host sees of the set at this moment, and what it would do without asking; none where the set is gone.
    ///
    /// # Errors
    /// Where the set lacks what every set has.
    pub fn glance(&self) -> Result<Option<Seen>, Error> {
        let sets = self.host.sets.state();
        let set = sets.iter().find(|set| set.name_any() == self.set.name);
        let now = self.shared.lock().now();
        set.map(|set| self.host.glance(set, now)).transpose()
    }

    /// When the host looks again though nothing changes.
    #[must_use]
    pub const fn due(&self) -> Option<TimeMs> {
        self.due
    }

    /// The cluster and the journal.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets time pass, from one moment at which somebody has something to do to the next.
    async fn pass(&mut self, span: Duration) -> Result<(), Error> {
        let until = self.shared.lock().now().after_ms(ms(span));
        loop {
            let next = [self.due, self.shared.lock().next_at()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.shared.lock().pass_until(until);
                return self.settle().await;
            };
            self.shared.lock().pass_by(next);
            self.settle().await?;
        }
    }

    /// Shows the host what its watches would.
    fn watch(&mut self) -> Result<(), Error> {
        let state = self.shared.lock();
        let sets: Vec<SetObject> = typed(&state, Kind::Set, |_| true)?;
        let is_member = |pod: &Value| pod["metadata"]["labels"].get(MEMBERS).is_some();
        replace(&self.host.pods, typed(&state, Kind::Pod, is_member)?);
        replace(&self.host.claims, typed(&state, Kind::Claim, |_| true)?);
        drop(state);
        self.sets.apply_watcher_event(&watcher::Event::Init);
        for set in sets {
            self.sets.apply_watcher_event(&watcher::Event::InitApply(set));
        }
        self.sets.apply_watcher_event(&watcher::Event::InitDone);
        Ok(())
    }

    /// One pass over every set and every drain pod that a set has left behind; when to look again, the soonest.
    async fn look_at_all(&mut self) -> Option<Duration> {
        let mut nexts = Vec::new();
        self.shared.lock().journal.looks();
        for set in self.host.sets.state() {
            let before = self.shared.lock().store.revision();
            let next = match reconcile(Arc::clone(&set), Arc::clone(&self.host)).await {
                Ok(next) => next,
                Err(error) => {
                    self.shared.lock().journal.failed(&error);
                    after_error(set, &error, Arc::clone(&self.host))
                }
            };
            nexts.push(self.heard(before, next));
        }
        for pod in self.left_behind() {
            let before = self.shared.lock().store.revision();
            let pass = reconcile_left_behind(Arc::clone(&pod), Arc::clone(&self.host));
            let next = match pass.await {
                Ok(next) => next,
                Err(error) => {
                    self.shared.lock().journal.failed(&error);
                    after_error(pod, &error, Arc::clone(&self.host))
                }
            };
            nexts.push(self.heard(before, next));
        }
        nexts.into_iter().flatten().min()
    }

    /// Writes down what the host told in a pass. A pass that changed something is followed by another, as its watches would have it.
    fn heard(&mut self, before: u64, next: Next) -> Option<Duration> {
        let mut state = self.shared.lock();
        while let Ok(event) = self.events.try_recv() {
            state.journal.told(&event);
        }
        if state.store.revision() > before {
            return Some(Duration::ZERO);
        }
        match next {
            Next::Change => None,
            Next::After(after) => Some(after),
        }
    }

    fn left_behind(&self) -> Vec<Arc<PodObject>> {
        let sets = self.host.sets.state();
        let lives = |uid: &str| sets.iter().any(|set| set.uid().as_deref() == Some(uid));
        let pods = self.host.pods.with_prefix(&self.set.namespace, "");
        let is_left =
            |pod: &Arc<PodObject>| marks_of(pod).is_ok_and(|marks| !lives(&marks.set_uid));
        pods.into_iter().filter(is_left).collect()
    }

    /// Why the host does nothing more: what it said when it last asked the policies, or what it says without asking.
    ///
    /// # Errors
    /// Where the set lacks what every set has.
    pub fn outlook(&self) -> Result<Option<(Seen, Plan)>, Error> {
        let Some(seen) = self.glance()? else {
            return Ok(None);
        };
        let state = self.shared.lock();
        let now = state.now();
        let mut idle = plan(&seen, &ask::NO_ANSWERS, now);
        report_policy(&self.host, &seen, &mut idle);
        for question in questions(&seen, now) {
            let ordinal = Some(question.ordinal());
            idle.reports.retain(|report| report.ordinal != ordinal);
            if let Some(reason) = state.journal.reason(ordinal) {
                let reason = reason.clone();
                idle.reports.push(tidegate_core::Report { ordinal, reason });
            }
        }
        Ok(Some((seen, idle)))
    }
}

fn replace<K: kube::Resource>(index: &Index<K>, all: Vec<K>) {
    index.replace(all);
}

fn typed<K: DeserializeOwned>(
    state: &State,
    kind: Kind,
    is_shown: impl Fn(&Value) -> bool,
) -> Result<Vec<K>, Error> {
    let shown = state.store.list(kind, None).into_iter().filter(|object| is_shown(object));
    let read = shown.map(|object| {
        serde_json::from_value(Value::clone(&object)).map_err(|error| {
            Error::Malformed(format!("{} cannot be read: {error}", text(&object, "/metadata/name")))
        })
    });
    read.collect()
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
