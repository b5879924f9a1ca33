//! The stand-in node: takes the place of a kubelet on a machine that cannot run one, and in tests with many pods or
//! exact timing. API server and controllers are the real ones; only the node is played.
//!
//! Each pod is played in one of two ways ([`Play`]), chosen by the annotation [`SCRIPT_ANNOTATION`] or by the node:
//! its containers are plain processes with folders for volumes, or a script says what becomes of them.
//! Status, restarts, sidecars, readiness gates and the graceful end follow what a kubelet does.
//!
//! What differs from a real node, and has to be known by whoever uses it:
//! - **There is no cluster DNS and no Service address.** Peers are reached by pod IP: each pod has an address of its own in
//!   127.0.0.0/8, which its processes can bind to. The EndpointSlice controller refuses loopback addresses, so that
//!   Services have no endpoints.
//! - Images are folders that the node is given ([`Options::images`]); without one a container needs a command, which is
//!   looked up on the machine itself.
//! - Where the machine allows namespaces, a process has its own root (the image's files over the machine's), its mounts
//!   where the pod says, and is the first process of its own. Elsewhere mounts are links, and their paths are rewritten in
//!   command, arguments and environment. A path that is written inside a program is not found then: `STANDIN_ROOT` and
//!   `STANDIN_TERMINATION_LOG` tell it where things are. SIGTERM without a handler ends a process there, as it would not
//!   in a container.
//! - All processes end with the node, and with the program that runs it, however that one ends. Without namespaces that
//!   holds, where the program is killed, for the first process of each container alone; the node's folder stays then, too.
//! - A command that is not there ends with exit code 127 and reason `Error`, where a kubelet says `StartError`.
//! - Probes and lifecycle hooks are not run: a running container counts as started and, readiness gates aside, as ready.
//!   Users, capabilities and resource limits are not applied. `kubectl logs` and `exec` do not work: see [`StandIn::log`].
//! - A pod that was running when the node was stopped is begun afresh when a node of that name starts again.

mod bind;
mod config;
mod container;
mod course;
mod drive;
mod event;
mod launch;
mod node;
mod plan;
mod pod;
mod process;
mod resident;
mod script;
mod status;
mod timers;
mod volume;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

pub use course::Course;
pub use script::{Script, ScriptError};

use crate::progress;

use drive::{Driver, Mode, Order, Which};
use node::NodeKeeper;
use process::Enclosure;
use resident::Shared;
use write::Writer;

/// The annotation on a pod with a [`Script`], or with the one word `processes`.
pub const SCRIPT_ANNOTATION: &str = "standin.tidegate.dev/script";

/// The label on the Node object; its value is `true`.
pub const STAND_IN_LABEL: &str = "tidegate.dev/stand-in";

/// Messages that may wait for the node's loop; who sends more waits.
const INBOX_MAX: usize = 1024;

/// How long an order may stay without an answer; the loop answers in milliseconds unless it is broken.
const ORDER_DEADLINE: Duration = Duration::from_secs(10);

/// How long the API server may take until the node is registered.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How the containers of a pod are played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Play {
    /// As plain processes.
    Processes,
    /// As the script says.
    Script(Script),
}

/// Who binds pods to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// The cluster's scheduler.
    Cluster,
    /// The node itself takes every pod that has no node.
    Own,
}

/// How processes are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In namespaces where the machine allows them, by rewriting paths elsewhere.
    Best,
    /// Always by rewriting paths.
    Rewrite,
}

/// The files of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The folder that holds them.
    pub root: PathBuf,
    /// What runs where a container names no command.
    pub entrypoint: Vec<String>,
}

/// A taint on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the Node object.
    pub node_name: String,
    /// How pods without [`SCRIPT_ANNOTATION`] are played.
    pub play: Play,
    /// How pods are played that bear one of these labels, whatever its value, unless they have [`SCRIPT_ANNOTATION`]: a
    /// drain pod takes its annotations over from the set's template, and has to end where a member does not.
    pub labelled: BTreeMap<String, Play>,
    /// Who binds pods.
    pub scheduling: Scheduling,
    /// How processes are kept apart.
    pub isolation: Isolation,
    /// Labels besides the node's own.
    pub labels: BTreeMap<String, String>,
    /// A taint that keeps other pods away.
    pub taint: Option<Taint>,
    /// Known images, by reference; `web:1` and `docker.io/library/web:1` are the same.
    pub images: BTreeMap<String, Image>,
    /// The folder of this machine that the cluster sees as `/`, for the folders of persistent volumes and `hostPath`.
    pub volume_root: PathBuf,
    /// Where the node keeps pods' files; a folder of the system's temporary one where none is named. Emptied at the end.
    pub folder: Option<PathBuf>,
}

/// A pod as the node sees it, which may be ahead of what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its address.
    pub pod_ip: String,
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// True once its deletion was seen.
    pub is_deleting: bool,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerView>,
}

/// A container as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// True while it runs.
    pub is_running: bool,
    /// Its exit code, where it ended and is not about to be restarted.
    pub exit_code: Option<i32>,
    /// How often it was started.
    pub runs: u32,
}

/// A running stand-in node. Dropping it ends its processes.
pub struct StandIn {
    node_name: String,
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// `cargo xtask standin`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The cluster that the node joins, with the rights of an administrator.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// Name of the node.
    #[arg(long, default_value = "stand-in")]
    pub node: String,
    /// Bind every pod that has no node, for a cluster without a scheduler.
    #[arg(long)]
    pub bind: bool,
    /// The folder of this machine that the cluster sees as `/`.
    #[arg(long, default_value = "/")]
    pub volume_root: PathBuf,
    /// A script for pods without one of their own; without it they are played as processes.
    #[arg(long)]
    pub script: Option<Script>,
}

/// Runs a node until SIGINT or SIGTERM; its processes have ended then.
///
/// # Errors
/// As [`StandIn::start`].
pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options {
        play: args.script.clone().map_or(Play::Processes, Play::Script),
        scheduling: if args.bind { Scheduling::Own } else { Scheduling::Cluster },
        volume_root: args.volume_root.clone(),
        ..Options::new(&args.node)
    };
    let node = StandIn::start(&args.kubeconfig, options)?;
    let name = node.node_name();
    progress::say(format_args!("stand-in node {name} is Ready; Ctrl-C ends it"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    })?;
    node.stop();
    Ok(())
}

impl Options {
    /// A node of this name that plays pods as processes and leaves binding to the cluster's scheduler.
    pub fn new(node_name: &str) -> Self {
        Self {
            node_name: node_name.to_owned(),
            play: Play::Processes,
            labelled: BTreeMap::new(),
            scheduling: Scheduling::Cluster,
            isolation: Isolation::Best,
            labels: BTreeMap::new(),
            taint: None,
            images: BTreeMap::new(),
            volume_root: PathBuf::from("/"),
            folder: None,
        }
    }
}

impl Play {
    /// Reads the value of [`SCRIPT_ANNOTATION`].
    ///
    /// # Errors
    /// It is neither `processes` nor a script.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        match text.trim() {
            "processes" => Ok(Self::Processes),
            script => script.parse().map(Self::Script),
        }
    }
}

impl StandIn {
    /// Starts a node on a thread of its own. When this returns, the node is registered and was written Ready; a taint that
    /// the cluster puts on a new node may stand for a moment longer.
    ///
    /// # Errors
    /// The kubeconfig cannot be read, the API server refused or did not answer in a minute, or the node's folder cannot be
    /// made.
    pub fn start(kubeconfig: &Path, options: Options) -> anyhow::Result<Self> {
        let (orders, order_inbox) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        let node_name = options.node_name.clone();
        let kubeconfig = kubeconfig.to_owned();
        // All processes are children of this one thread, and the kernel ends them with it.
        let thread = std::thread::Builder::new()
            .name(format!("stand-in {node_name}"))
            .spawn(move || live(&kubeconfig, options, order_inbox, &ready))
            .context("start the stand-in node's thread")?;
        let node = Self { node_name, orders, thread: Some(thread) };
        let outcome = is_ready.recv_timeout(START_DEADLINE);
        let outcome = outcome.map_err(|_| anyhow!("the API server did not answer in time"));
        outcome
            .and_then(|o| o)
            .with_context(|| format!("start stand-in node {}", node.node_name))?;
        Ok(node)
    }

    /// Name of the Node object.
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// The pods on the node.
    ///
    /// # Errors
    /// The node has stopped.
    pub fn pods(&self) -> anyhow::Result<Vec<PodView>> {
        self.ask(Order::Pods)
    }

    /// Ends a running container of a scripted pod with this exit code and termination message.
    ///
    /// # Errors
    /// The pod is not on this node or not scripted, or the container is not running.
    pub fn finish(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> anyhow::Result<()> {
        let pod = Which::Named((namespace.to_owned(), pod.to_owned()));
        self.finish_which(pod, container, exit_code, message)
    }

    /// As [`Self::finish`], for the pod of this UID and no later one of its name.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_pod(
        &self,
        uid: &str,
        container: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> anyhow::Result<()> {
        self.finish_which(Which::Uid(uid.to_owned()), container, exit_code, message)
    }

    /// What the last run of a container of a pod played as processes has printed so far.
    ///
    /// # Errors
    /// The pod is not on this node, or the container has not run.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> anyhow::Result<String> {
        let answer = self.ask(|reply| Order::Log {
            pod: (namespace.to_owned(), pod.to_owned()),
            container: container.to_owned(),
            reply,
        })?;
        answer.map_err(anyhow::Error::msg)
    }

    /// Makes the node stand still: heartbeats go on, but nothing is started, stopped or written until [`Self::resume`].
    /// Processes run on. What was being written when this was called may still be written.
    ///
    /// # Errors
    /// The node has stopped.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.order(Order::Mode(Mode::Paused))
    }

    /// Makes a node that stood still or was lost act again, and the Node object Ready.
    ///
    /// # Errors
    /// The node has stopped.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.order(Order::Mode(Mode::Playing))
    }

    /// Makes the node as good as cut off: no heartbeats either, so that the control plane gives it up after its own grace
    /// (under a minute by default). Processes run on, as they would on a machine without network.
    ///
    /// # Errors
    /// The node has stopped.
    pub fn lose_node(&self) -> anyhow::Result<()> {
        self.order(Order::Mode(Mode::Lost))
    }

    /// Ends all processes and the node. Its objects stay as those of a machine that was switched off.
    pub fn stop(mut self) {
        self.end();
    }

    fn finish_which(
        &self,
        pod: Which,
        container: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> anyhow::Result<()> {
        let (container, message) = (container.to_owned(), message.map(str::to_owned));
        let answer =
            self.ask(|reply| Order::Finish { pod, container, exit_code, message, reply })?;
        answer.map_err(anyhow::Error::msg)
    }

    fn ask<T>(&self, order: impl FnOnce(mpsc::Sender<T>) -> Order) -> anyhow::Result<T> {
        let (reply, answer) = mpsc::channel();
        self.order(order(reply))?;
        answer
            .recv_timeout(ORDER_DEADLINE)
            .map_err(|_| anyhow!("stand-in node {} does not answer", self.node_name))
    }

    fn order(&self, order: Order) -> anyhow::Result<()> {
        self.orders.send(order).map_err(|_| anyhow!("stand-in node {} has stopped", self.node_name))
    }

    fn end(&mut self) {
        // Where the thread has ended by itself there is nobody to order.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(node = %self.node_name, "the stand-in node's thread broke");
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}

/// The node's thread from its beginning to its end.
fn live(
    kubeconfig: &Path,
    options: Options,
    orders: UnboundedReceiver<Order>,
    ready: &mpsc::Sender<anyhow::Result<()>>,
) {
    let folder = options.folder.clone().unwrap_or_else(|| {
        let name = format!("stand-in-{}-{}", options.node_name, std::process::id());
        std::env::temp_dir().join(name)
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // A caller that gave up waiting needs no answer, here and below.
            let _ = ready.send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        match join(kubeconfig, options, folder.clone()).await {
            Ok((driver, inbox)) => {
                let _ = ready.send(Ok(()));
                driver.run(inbox, orders).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
    drop(runtime);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::debug!(folder = %folder.display(), %error, "the stand-in node's folder stays");
    }
}

/// Registers the node and begins to watch.
async fn join(
    kubeconfig: &Path,
    options: Options,
    folder: PathBuf,
) -> anyhow::Result<(Driver, tokio::sync::mpsc::Receiver<drive::Inbox>)> {
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let api_server = api_server_of(&config);
    let client = Client::try_from(config)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let enclosure = match options.isolation {
        Isolation::Best => Enclosure::detect(&folder).await,
        Isolation::Rewrite => Enclosure::Rewrite,
    };
    let keeper = NodeKeeper::register(client.clone(), &options).await?;
    let (mode, mode_seen) = watch::channel(Mode::Playing);
    let (inbox, received) = tokio::sync::mpsc::channel(INBOX_MAX);
    let writer = Writer::new(client.clone());
    let node_name = options.node_name.clone();
    tokio::spawn(keeper.clone().keep_alive(mode_seen));
    tokio::spawn(bind::watch_bound(client.clone(), node_name.clone(), inbox.clone()));
    if options.scheduling == Scheduling::Own {
        tokio::spawn(bind::bind_all(client.clone(), node_name, writer.clone()));
    }
    let options = Arc::new(options);
    let shared = Shared { client, writer, options, folder, enclosure, api_server, inbox };
    Ok((Driver::new(shared, keeper, mode), received))
}

fn api_server_of(config: &Config) -> Option<(String, String)> {
    let host = config.cluster_url.host()?.to_owned();
    let port = config.cluster_url.port_u16().unwrap_or(443);
    Some((host, port.to_string()))
}
