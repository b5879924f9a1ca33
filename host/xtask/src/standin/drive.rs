//! The node's one loop: takes in what happened, lets the pods' state machines decide, carries out and writes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as PodObject;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::container::State;
use super::event::{Effect, Event};
use super::launch::PodContext;
use super::node::NodeKeeper;
use super::plan::{PodPlan, Sight};
use super::pod::Pod;
use super::resident::{Reporting, Resident, Shared, Writing};
use super::status::{phase_name, status_of};
use super::timers::Timers;
use super::write::Written;
use super::{ContainerView, Options, Play, PodView, SCRIPT_ANNOTATION, ScriptError};

/// The wait before a write that failed is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a stop waits for the processes that it has killed.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Whether the node acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does.
    Playing,
    /// It sends heartbeats and does nothing else.
    Paused,
    /// It does nothing, as if its machine had lost the network; processes run on.
    Lost,
}

/// What reaches the loop.
pub(crate) enum Inbox {
    /// A pod of this node was seen.
    Seen(Box<PodObject>),
    /// A pod's object is gone.
    Gone(String),
    /// The UIDs of a whole list: pods that are not in it are gone.
    Listed(BTreeSet<String>),
    /// Volumes of a pod are ready.
    Ready(String, Box<PodContext>),
    /// Something happened to a pod's container.
    Event(String, Event),
    /// A write ended.
    Written(String, Wrote, Written),
}

/// Which write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// A status.
    Status,
    /// The delete that ends the object.
    Delete,
}

/// What a pod waits for.
pub(crate) enum Tick {
    /// This event.
    Event(Event),
    /// The start of a scripted container.
    ScriptedStart {
        /// Index in the plan.
        container: usize,
        /// Number of the run.
        run: u32,
    },
    /// The next try of a write.
    WriteAgain,
}

/// Which pod is meant.
pub(crate) enum Which {
    /// The one of this namespace and name.
    Named((String, String)),
    /// The one of this UID, and no later one of its name.
    Uid(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named((namespace, name)) => write!(f, "{namespace}/{name}"),
            Self::Uid(uid) => write!(f, "{uid}"),
        }
    }
}

/// What the node's owner orders. Each caller waits for its answer, so that there are never more orders than callers.
pub(crate) enum Order {
    /// End a scripted container.
    Finish {
        /// The pod.
        pod: Which,
        /// Name of the container.
        container: String,
        /// Its exit code.
        exit_code: i32,
        /// Its termination message.
        message: Option<String>,
        /// Why it could not be done.
        reply: std::sync::mpsc::Sender<Result<(), String>>,
    },
    /// Read a container's log.
    Log {
        /// Namespace and name of the pod.
        pod: (String, String),
        /// Name of the container.
        container: String,
        /// The log.
        reply: std::sync::mpsc::Sender<Result<String, String>>,
    },
    /// List the pods.
    Pods(std::sync::mpsc::Sender<Vec<PodView>>),
    /// Act or not.
    Mode(Mode),
    /// End all processes and the loop.
    Stop,
}

/// The loop's state.
pub(crate) struct Driver {
    /// What all pods share.
    pub(crate) shared: Shared,
    /// Keeps the Node object alive.
    pub(crate) keeper: NodeKeeper,
    /// Tells the heartbeats whether they may be sent.
    pub(crate) mode: watch::Sender<Mode>,
    residents: BTreeMap<String, Resident>,
    timers: Timers<(String, Tick)>,
    tasks: JoinSet<()>,
    addresses: Addresses,
}

/// Hands out addresses of the machine's loopback network, one a pod.
struct Addresses {
    network: u8,
    next: u16,
    used: BTreeSet<u16>,
}

impl Driver {
    /// A loop without pods.
    pub(crate) fn new(shared: Shared, keeper: NodeKeeper, mode: watch::Sender<Mode>) -> Self {
        let addresses = Addresses::of_node(&shared.options.node_name);
        Self {
            shared,
            keeper,
            mode,
            residents: BTreeMap::new(),
            timers: Timers::default(),
            tasks: JoinSet::new(),
            addresses,
        }
    }

    /// Runs until the order to stop comes or its sender is gone; all processes have ended then.
    pub(crate) async fn run(
        mut self,
        mut inbox: Receiver<Inbox>,
        mut orders: UnboundedReceiver<Order>,
    ) {
        loop {
            let is_playing = *self.mode.borrow() == Mode::Playing;
            let next = self.timers.next_at();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => break,
                    Some(order) => self.obey(order),
                },
                () = sleep_until(next), if is_playing && next.is_some() => self.fire(),
                Some(message) = inbox.recv(), if is_playing => self.take_in(message),
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
        drop(inbox);
        self.residents.values().for_each(Resident::kill);
        self.residents.clear();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all_ended).await.is_err() {
            tracing::warn!(
                "some processes had not ended in time; the kernel ends them with this node"
            );
        }
    }

    fn obey(&mut self, order: Order) {
        // A caller that no longer listens needs no answer, so that failed replies are let go.
        match order {
            Order::Finish { pod, container, exit_code, message, reply } => {
                let resident = match &pod {
                    Which::Named(name) => self.find(name),
                    Which::Uid(uid) => {
                        self.residents.get(uid).ok_or_else(|| "it is not on this node".to_owned())
                    }
                };
                let event = resident.and_then(|r| {
                    Ok((r.target.uid.clone(), r.finish(&container, exit_code, message)?))
                });
                let answer = event.map(|(uid, event)| self.handle(&uid, event));
                let _ = reply.send(answer.map_err(|e| format!("pod {pod}: {e}")));
            }
            Order::Log { pod, container, reply } => {
                let log = self.find(&pod).and_then(|r| r.log(&self.shared, &container));
                let _ = reply.send(log.map_err(|e| format!("pod {}/{}: {e}", pod.0, pod.1)));
            }
            Order::Pods(reply) => {
                let _ = reply.send(self.residents.values().map(view_of).collect());
            }
            Order::Mode(mode) => self.change_mode(mode),
            // The loop ends before an order to stop comes here.
            Order::Stop => {}
        }
    }

    fn change_mode(&mut self, mode: Mode) {
        let before = self.mode.send_replace(mode);
        if mode == Mode::Playing {
            let uids: Vec<String> = self.residents.keys().cloned().collect();
            uids.iter().for_each(|uid| self.flush(uid));
        }
        if before == Mode::Lost && mode != Mode::Lost {
            let keeper = self.keeper.clone();
            self.tasks.spawn(async move {
                if let Err(error) = keeper.return_to_cluster().await {
                    tracing::warn!(%error, "the node's return could not be written yet");
                }
            });
        }
    }

    fn find(&self, pod: &(String, String)) -> Result<&Resident, String> {
        let named = |r: &&Resident| r.target.namespace == pod.0 && r.target.name == pod.1;
        self.residents.values().find(named).ok_or_else(|| "it is not on this node".to_owned())
    }

    fn fire(&mut self) {
        while let Some((uid, tick)) = self.timers.take_due(Instant::now()) {
            let Some(resident) = self.residents.get_mut(&uid) else {
                continue;
            };
            match tick {
                Tick::Event(event) => self.handle(&uid, event),
                Tick::ScriptedStart { container, run } => {
                    if let Some(event) = resident.scripted_start(container, run, &mut self.timers) {
                        self.handle(&uid, event);
                    }
                }
                Tick::WriteAgain => {
                    resident.writing = Writing::Idle;
                    self.flush(&uid);
                }
            }
        }
    }

    fn take_in(&mut self, message: Inbox) {
        match message {
            Inbox::Seen(object) => self.see(*object),
            Inbox::Gone(uid) => self.handle(&uid, Event::Gone),
            Inbox::Listed(uids) => {
                let gone = self.residents.keys().filter(|uid| !uids.contains(*uid)).cloned();
                for uid in gone.collect::<Vec<_>>() {
                    self.handle(&uid, Event::Gone);
                }
            }
            Inbox::Ready(uid, context) => {
                if let Some(resident) = self.residents.get_mut(&uid) {
                    let event = resident.prepared(*context);
                    self.handle(&uid, event);
                }
            }
            Inbox::Event(uid, event) => self.handle(&uid, event),
            Inbox::Written(uid, wrote, written) => self.written(&uid, wrote, written),
        }
    }

    fn see(&mut self, object: PodObject) {
        let uid = object.uid().unwrap_or_default();
        let sight = Sight::of(&object);
        if self.residents.contains_key(&uid) {
            return self.handle(&uid, Event::Seen(sight));
        }
        let now = Timestamp::now();
        let plan = PodPlan::of(&object);
        let phase = object.status.as_ref().and_then(|s| s.phase.as_deref());
        let is_over = matches!(phase, Some("Succeeded" | "Failed"));
        let play = play_of(&object, &self.shared.options);
        let address = self.addresses.take();
        let (pod, play, effects) = match play {
            _ if is_over => (Pod::over(plan, sight, now), Play::Processes, Vec::new()),
            Ok(play) => {
                let (pod, effects) = Pod::accept(plan, sight, now);
                (pod, play, effects)
            }
            Err(error) => {
                let message = format!("annotation {SCRIPT_ANNOTATION}: {error}");
                let pod = Pod::reject(plan, sight, ("UnreadableScript", message), now);
                (pod, Play::Processes, Vec::new())
            }
        };
        let reporting = if is_over { Reporting::Nothing } else { Reporting::Status };
        let resident = Resident::new(pod, object, play, address, reporting);
        self.residents.insert(uid.clone(), resident);
        self.carry_out(&uid, effects.into());
    }

    fn handle(&mut self, uid: &str, event: Event) {
        let Some(resident) = self.residents.get_mut(uid) else {
            return;
        };
        let effects = resident.pod.on(event, Timestamp::now());
        self.carry_out(uid, effects.into());
    }

    fn carry_out(&mut self, uid: &str, mut effects: VecDeque<Effect>) {
        let Some(resident) = self.residents.get_mut(uid) else {
            return;
        };
        let mut events = VecDeque::new();
        loop {
            while let Some(effect) = effects.pop_front() {
                let (shared, timers, tasks) = (&self.shared, &mut self.timers, &mut self.tasks);
                resident.carry_out(effect, shared, timers, tasks, &mut events);
            }
            let Some(event) = events.pop_front() else {
                break;
            };
            effects.extend(resident.pod.on(event, Timestamp::now()));
        }
        self.flush(uid);
    }

    /// Begins the one write that the pod's state asks for, if any, or forgets a pod of which nothing is left.
    fn flush(&mut self, uid: &str) {
        let Some(resident) = self.residents.get_mut(uid) else {
            return;
        };
        if resident.pod.is_forgettable() {
            return self.forget(uid);
        }
        let may_write = resident.writing == Writing::Idle && !resident.pod.is_gone();
        if !may_write || *self.mode.borrow() != Mode::Playing {
            return;
        }
        let status = status_of(&resident.pod, resident.status.as_ref(), Timestamp::now());
        let is_written = resident.is_status_written && resident.status.as_ref() == Some(&status);
        let is_reported = is_written || resident.reporting == Reporting::Nothing;
        let (writer, inbox) = (self.shared.writer.clone(), self.shared.inbox.clone());
        let target = resident.target.clone();
        if !is_reported {
            resident.writing = Writing::UnderWay;
            resident.is_status_written = false;
            resident.status = Some(status.clone());
            self.tasks.spawn(async move {
                let written = writer.status(&target, &status).await;
                // The inbox is closed only when the node stops.
                let _ = inbox.send(Inbox::Written(target.uid, Wrote::Status, written)).await;
            });
        } else if resident.pod.is_deletable() {
            resident.writing = Writing::UnderWay;
            self.tasks.spawn(async move {
                let written = writer.delete(&target).await;
                // The inbox is closed only when the node stops.
                let _ = inbox.send(Inbox::Written(target.uid, Wrote::Delete, written)).await;
            });
        }
    }

    fn written(&mut self, uid: &str, wrote: Wrote, written: Written) {
        let Some(resident) = self.residents.get_mut(uid) else {
            return;
        };
        match (written, wrote) {
            (Written::Done, Wrote::Status) => {
                resident.writing = Writing::Idle;
                resident.is_status_written = true;
                self.flush(uid);
            }
            (Written::Done, Wrote::Delete) => resident.writing = Writing::Over,
            (Written::Again, Wrote::Status | Wrote::Delete) => {
                self.timers.add(WRITE_AGAIN_AFTER, (uid.to_owned(), Tick::WriteAgain));
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(resident) = self.residents.remove(uid) else {
            return;
        };
        self.addresses.give_back(&resident.pod_ip);
        let folder = resident.folder(&self.shared);
        if folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "files of an ended pod stay");
        }
    }
}

impl Addresses {
    /// Nodes of different names get different networks, so that several can be on one machine.
    fn of_node(name: &str) -> Self {
        let sum = name.bytes().fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        // 127.0 and 127.1 are left to the machine's own servers.
        let network = u8::try_from(sum % 253).unwrap_or(0) + 2;
        Self { network, next: 0, used: BTreeSet::new() }
    }

    fn take(&mut self) -> String {
        // There are more addresses than a node takes pods, so that a free one is always found.
        loop {
            self.next = self.next.wrapping_add(1);
            let [high, low] = self.next.to_be_bytes();
            if !matches!(low, 0 | 255) && self.used.insert(self.next) {
                return Ipv4Addr::new(127, self.network, high, low).to_string();
            }
        }
    }

    fn give_back(&mut self, address: &str) {
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            let [_, _, high, low] = address.octets();
            self.used.remove(&u16::from_be_bytes([high, low]));
        }
    }
}

/// How the pod is played: as its own annotation says, else as the first of the labels that it bears, else as the node plays all.
fn play_of(object: &PodObject, options: &Options) -> Result<Play, ScriptError> {
    if let Some(text) = object.annotations().get(SCRIPT_ANNOTATION) {
        return Play::parse(text);
    }
    let labels = object.labels();
    let labelled = options.labelled.iter().find(|(label, _)| labels.contains_key(*label));
    Ok(labelled.map_or(&options.play, |(_, play)| play).clone())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn view_of(resident: &Resident) -> PodView {
    let pod = &resident.pod;
    PodView {
        namespace: pod.plan.namespace.clone(),
        name: pod.plan.name.clone(),
        uid: pod.plan.uid.clone(),
        pod_ip: resident.pod_ip.clone(),
        phase: phase_name(pod.phase()).to_owned(),
        is_deleting: pod.sight.deletion_grace.is_some(),
        containers: pod
            .containers
            .iter()
            .map(|c| ContainerView {
                name: c.plan.name.clone(),
                is_running: matches!(c.state, State::Running { .. }),
                exit_code: c.exit_code(),
                runs: c.runs,
            })
            .collect(),
    }
}
