//! One pod on the node: carries out what its state machine asks for, with processes or from a script.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use kube::Client;
use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinSet};

use super::config::Configs;
use super::container::State;
use super::drive::{Inbox, Tick};
use super::event::{EXIT_CODE_KILLED, Effect, Event, Stop};
use super::launch::{PodContext, launch};
use super::pod;
use super::process::{Enclosure, LogFallback, Process, RunFolder, exit_code_of, spawn};
use super::script::ScriptedExit;
use super::timers::Timers;
use super::volume::VolumeMaker;
use super::write::{Target, Writer};
use super::{Image, Options, Play};

/// How long the node waits before it looks again for what a pod's volumes lack.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long one look may take; the client itself waits for ever.
const PREPARE_DEADLINE: Duration = Duration::from_secs(20);

/// What all pods of the node share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// The API server.
    pub(crate) client: Client,
    /// Writes about pods.
    pub(crate) writer: Writer,
    /// What the node was started with.
    pub(crate) options: Arc<Options>,
    /// The node's own files.
    pub(crate) folder: PathBuf,
    /// How processes are kept apart.
    pub(crate) enclosure: Enclosure,
    /// Address and port at which pods reach the API server.
    pub(crate) api_server: Option<(String, String)>,
    /// Where whatever ends in the background is told.
    pub(crate) inbox: Sender<Inbox>,
}

/// The pod with everything that runs for it.
pub(crate) struct Resident {
    /// Its state.
    pub(crate) pod: pod::Pod,
    /// Which object it is.
    pub(crate) target: Target,
    /// The status that was last worked out.
    pub(crate) status: Option<PodStatus>,
    /// True once that status is on the object.
    pub(crate) is_status_written: bool,
    /// Whether a write may begin.
    pub(crate) writing: Writing,
    /// Whether this node writes the pod's status.
    pub(crate) reporting: Reporting,
    /// Its address.
    pub(crate) pod_ip: String,
    object: Pod,
    play: Play,
    context: Option<PodContext>,
    processes: BTreeMap<usize, Process>,
    preparation: Option<AbortHandle>,
}

/// Whether a write about the pod may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// It may.
    Idle,
    /// One is under way or waits for its next try.
    UnderWay,
    /// The object was deleted for good.
    Over,
}

/// Whether the node writes a pod's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// It does.
    Status,
    /// The pod ended before this node knew it, so that its status stands.
    Nothing,
}

impl Resident {
    /// A resident for `pod`, which nothing was done for yet.
    pub(crate) fn new(
        pod: pod::Pod,
        object: Pod,
        play: Play,
        pod_ip: String,
        reporting: Reporting,
    ) -> Self {
        Self {
            pod,
            target: Target::of(&object),
            status: None,
            is_status_written: false,
            writing: Writing::Idle,
            reporting,
            pod_ip,
            object,
            play,
            context: None,
            processes: BTreeMap::new(),
            preparation: None,
        }
    }

    /// Volumes are there: containers may be started from now on.
    pub(crate) fn prepared(&mut self, context: PodContext) -> Event {
        self.context = Some(context);
        Event::Prepared { pod_ip: self.pod_ip.clone() }
    }

    /// Carries out `effect`; what follows at once is added to `events`.
    pub(crate) fn carry_out(
        &mut self,
        effect: Effect,
        shared: &Shared,
        timers: &mut Timers<(String, Tick)>,
        tasks: &mut JoinSet<()>,
        events: &mut VecDeque<Event>,
    ) {
        let uid = self.target.uid.clone();
        let mut later = |after, tick| timers.add(after, (uid.clone(), tick));
        match (effect, self.play.clone()) {
            (Effect::Wake(after, alarm), _) => later(after, Tick::Event(Event::Due(alarm))),
            (Effect::Prepare, Play::Script(script)) => {
                if !script.is_pending() {
                    events.push_back(Event::Prepared { pod_ip: self.pod_ip.clone() });
                }
            }
            (Effect::Prepare, Play::Processes) => {
                let task = prepare(shared.clone(), self.object.clone(), self.pod_ip.clone());
                self.preparation = Some(tasks.spawn(task));
            }
            (Effect::Start { container, run }, Play::Script(script)) => {
                let plan = &self.pod.containers[container].plan;
                let after = script.start_after(&plan.name, plan.role);
                later(after, Tick::ScriptedStart { container, run });
            }
            (Effect::Start { container, run }, Play::Processes) => {
                events.push_back(match self.start(container, run, shared, tasks) {
                    Ok(()) => Event::Started { container, run },
                    Err(error) => {
                        Event::NotStarted { container, run, message: format!("{error:#}") }
                    }
                });
            }
            (Effect::Stop { container, signal }, Play::Script(script)) => {
                let plan = &self.pod.containers[container].plan;
                let exit = match signal {
                    Stop::Term => script.on_term(&plan.name, plan.role),
                    Stop::Kill => Some(killed()),
                };
                self.stop_scripted(container, exit, &mut later, events);
            }
            (Effect::Stop { container, signal }, Play::Processes) => {
                self.stop_process(container, signal, tasks);
            }
        }
    }

    /// A scripted start is due: the container runs, and ends when the script says so.
    pub(crate) fn scripted_start(
        &self,
        container: usize,
        run: u32,
        timers: &mut Timers<(String, Tick)>,
    ) -> Option<Event> {
        let seat = &self.pod.containers[container];
        let Play::Script(script) = &self.play else {
            return None;
        };
        if seat.runs != run || seat.state != State::Starting {
            return None;
        }
        if let Some(exit) = script.exit(&seat.plan.name, seat.plan.role, run) {
            let after = exit.after;
            let event = exited(container, run, exit);
            timers.add(after, (self.target.uid.clone(), Tick::Event(event)));
        }
        Some(Event::Started { container, run })
    }

    /// The end of a running scripted container by order of a test.
    ///
    /// # Errors
    /// The pod runs processes, has no such container, or it is not running.
    pub(crate) fn finish(
        &self,
        container: &str,
        exit_code: i32,
        message: Option<String>,
    ) -> Result<Event, String> {
        if self.play == Play::Processes {
            return Err("its containers are processes: signal or delete the pod instead".to_owned());
        }
        let index = self.pod.containers.iter().position(|c| c.plan.name == container);
        let index = index.ok_or_else(|| format!("it has no container {container}"))?;
        let seat = &self.pod.containers[index];
        if !matches!(seat.state, State::Running { .. }) {
            return Err(format!("its container {container} is not running: {:?}", seat.state));
        }
        Ok(Event::Exited { container: index, run: seat.runs, exit_code, message })
    }

    /// Ends all processes at once.
    pub(crate) fn kill(&self) {
        self.processes.values().for_each(Process::kill);
    }

    /// The folder of the pod's files on this node.
    pub(crate) fn folder(&self, shared: &Shared) -> PathBuf {
        shared.folder.join("pods").join(&self.target.uid)
    }

    /// What the last run of `container` printed.
    ///
    /// # Errors
    /// There is no such container or it has not run.
    pub(crate) fn log(&self, shared: &Shared, container: &str) -> Result<String, String> {
        let seat = self.pod.containers.iter().find(|c| c.plan.name == container);
        let seat = seat.ok_or_else(|| format!("it has no container {container}"))?;
        let log = self.run_folder(shared, container, seat.runs).join("log");
        let bytes = fs::read(&log).map_err(|error| format!("read {}: {error}", log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn run_folder(&self, shared: &Shared, container: &str, run: u32) -> PathBuf {
        self.folder(shared).join("containers").join(container).join(run.to_string())
    }

    fn start(
        &mut self,
        index: usize,
        run: u32,
        shared: &Shared,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let name = self.pod.containers[index].plan.name.clone();
        let container = container_of(&self.object, &name);
        let (Some(context), Some(container)) = (&self.context, container) else {
            anyhow::bail!("container {name} is not in the pod's specification");
        };
        let files = RunFolder::create(self.run_folder(shared, &name, run))?;
        let image = image_of(&shared.options.images, container.image.as_deref());
        let launch = launch(context, container, image, &files.termination_log());
        let launch = launch.map_err(anyhow::Error::msg)?;
        let (mut child, process) = spawn(launch, &files, &shared.enclosure)?;
        self.processes.insert(index, process.clone());
        let fallback = match container.termination_message_policy.as_deref() {
            Some("FallbackToLogsOnError") => LogFallback::OnError,
            Some(_) | None => LogFallback::Never,
        };
        let (inbox, uid) = (shared.inbox.clone(), self.target.uid.clone());
        tasks.spawn(async move {
            let exit_code = child.wait().await.map_or(EXIT_CODE_KILLED, exit_code_of);
            // Whatever the container's first process left behind goes with it.
            process.kill();
            let message = files.message(exit_code, fallback);
            let event = Event::Exited { container: index, run, exit_code, message };
            // The inbox is closed only when the node stops, and then nobody asks.
            let _ = inbox.send(Inbox::Event(uid, event)).await;
        });
        Ok(())
    }

    fn stop_scripted(
        &self,
        container: usize,
        exit: Option<ScriptedExit>,
        later: &mut impl FnMut(Duration, Tick),
        events: &mut VecDeque<Event>,
    ) {
        let seat = &self.pod.containers[container];
        match seat.state {
            State::Starting => events.push_back(Event::NotStarted {
                container,
                run: seat.runs,
                message: "stopped before it was started".to_owned(),
            }),
            State::Running { .. } => {
                if let Some(exit) = exit {
                    let after = exit.after;
                    later(after, Tick::Event(exited(container, seat.runs, exit)));
                }
            }
            State::Waiting | State::Ended(_) | State::BackOff { .. } => {}
        }
    }

    fn stop_process(&self, container: usize, signal: Stop, tasks: &mut JoinSet<()>) {
        let Some(process) = self.processes.get(&container).cloned() else {
            return;
        };
        match signal {
            Stop::Kill => process.kill(),
            Stop::Term => {
                tasks.spawn(async move { process.terminate().await });
            }
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if let Some(preparation) = &self.preparation {
            preparation.abort();
        }
    }
}

/// Makes everything ready that the pod's containers need, however long it takes for it to be there.
async fn prepare(shared: Shared, pod: Pod, pod_ip: String) {
    let uid = Target::of(&pod).uid;
    let folder = shared.folder.join("pods").join(&uid).join("volumes");
    loop {
        let made = async {
            let configs = Configs::read(&shared.client, &pod).await?;
            let maker = VolumeMaker {
                client: &shared.client,
                pod: &pod,
                pod_ip: &pod_ip,
                configs: &configs,
                volume_root: &shared.options.volume_root,
                folder: &folder,
            };
            let volumes = maker.make().await?;
            anyhow::Ok((configs, volumes))
        };
        let made = tokio::time::timeout(PREPARE_DEADLINE, made).await;
        match made.unwrap_or_else(|_| Err(anyhow!("the API server did not answer"))) {
            Ok((configs, volumes)) => {
                let api_server = shared.api_server.clone();
                let context = PodContext { pod, pod_ip, api_server, configs, volumes };
                // The inbox is closed only when the node stops.
                let _ = shared.inbox.send(Inbox::Ready(uid, Box::new(context))).await;
                return;
            }
            Err(error) => {
                let message = format!("{error:#}");
                let event = Inbox::Event(uid.clone(), Event::NotPrepared { message });
                if shared.inbox.send(event).await.is_err() {
                    return;
                }
                tokio::time::sleep(PREPARE_AGAIN_AFTER).await;
            }
        }
    }
}

fn container_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
}

/// The image of this reference, however it is spelt.
fn image_of<'a>(images: &'a BTreeMap<String, Image>, reference: Option<&str>) -> Option<&'a Image> {
    let short = |r: &str| {
        let r = r.strip_prefix("docker.io/").unwrap_or(r);
        r.strip_prefix("library/").unwrap_or(r).to_owned()
    };
    let wanted = short(reference?);
    images.iter().find(|(name, _)| short(name) == wanted).map(|(_, image)| image)
}

fn exited(container: usize, run: u32, exit: ScriptedExit) -> Event {
    Event::Exited { container, run, exit_code: exit.code, message: exit.message }
}

/// How a container ends that SIGKILL has ended.
pub(crate) fn killed() -> ScriptedExit {
    ScriptedExit { after: Duration::ZERO, code: EXIT_CODE_KILLED, message: None }
}
