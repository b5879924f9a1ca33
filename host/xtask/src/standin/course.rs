//! The course of one scripted pod without a node: for whoever keeps the pod's object by other means than an API server, and wants it to go as it
//! goes on a stand-in node.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::{Pod as PodObject, PodStatus};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::container::State;
use super::event::{Effect, Event, Stop};
use super::plan::{PodPlan, Sight};
use super::pod::{Pod, Stage};
use super::resident::{Reporting, killed};
use super::script::{Script, ScriptedExit};
use super::status::status_of;
use super::timers::Timers;

/// One pod, played by a script.
#[derive(Debug)]
pub struct Course {
    pod: Pod,
    script: Script,
    pod_ip: String,
    timers: Timers<Tick>,
    status: Option<PodStatus>,
    reporting: Reporting,
}

/// What is due at some time.
#[derive(Debug)]
enum Tick {
    Event(Event),
    Start { container: usize, run: u32 },
}

impl Course {
    /// A pod that its node has just seen. One that has ended already is left as it is, until it is deleted.
    #[must_use]
    pub fn begin(object: &PodObject, script: Script, pod_ip: String) -> Self {
        let (plan, sight, now) = (PodPlan::of(object), Sight::of(object), Timestamp::now());
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let is_over = matches!(phase, Some("Succeeded" | "Failed"));
        let reporting = if is_over { Reporting::Nothing } else { Reporting::Status };
        let (pod, effects) = match reporting {
            Reporting::Nothing => (Pod::over(plan, sight, now), Vec::new()),
            Reporting::Status => Pod::accept(plan, sight, now),
        };
        let timers = Timers::default();
        let mut course = Self { pod, script, pod_ip, timers, status: None, reporting };
        course.carry_out(effects);
        course
    }

    /// Takes in the object as it is.
    pub fn see(&mut self, object: &PodObject) {
        self.handle(Event::Seen(Sight::of(object)));
    }

    /// Ends a running container.
    ///
    /// # Errors
    /// The pod has no such container, or it is not running.
    pub fn finish(
        &mut self,
        container: &str,
        exit_code: i32,
        message: Option<String>,
    ) -> Result<(), String> {
        let index = self.pod.containers.iter().position(|it| it.plan.name == container);
        let index = index.ok_or_else(|| format!("it has no container {container}"))?;
        let seat = &self.pod.containers[index];
        if !matches!(seat.state, State::Running { .. }) {
            return Err(format!("its container {container} is not running: {:?}", seat.state));
        }
        let run = seat.runs;
        self.handle(Event::Exited { container: index, run, exit_code, message });
        Ok(())
    }

    /// Does the first thing that is due at `now`; answers whether there was one.
    pub fn advance(&mut self, now: Instant) -> bool {
        match self.timers.take_due(now) {
            Some(Tick::Event(event)) => self.handle(event),
            Some(Tick::Start { container, run }) => self.start(container, run),
            None => return false,
        }
        true
    }

    /// When something is due; never once nothing of the pod runs any more.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.timers.next_at().filter(|_| self.pod.stage != Stage::Ended)
    }

    /// The status that is to be written, where it is another than before.
    pub fn take_status(&mut self) -> Option<PodStatus> {
        let status = status_of(&self.pod, self.status.as_ref(), Timestamp::now());
        let is_news = self.reporting == Reporting::Status && self.status.as_ref() != Some(&status);
        self.status = Some(status.clone());
        is_news.then_some(status)
    }

    /// Whether the object is to be deleted for good once that status is written.
    #[must_use]
    pub fn is_deletable(&self) -> bool {
        self.pod.is_deletable()
    }

    fn handle(&mut self, event: Event) {
        let effects = self.pod.on(event, Timestamp::now());
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Prepare if self.script.is_pending() => {}
                Effect::Prepare => {
                    let prepared = Event::Prepared { pod_ip: self.pod_ip.clone() };
                    effects.extend(self.pod.on(prepared, Timestamp::now()));
                }
                Effect::Start { container, run } => {
                    let plan = &self.pod.containers[container].plan;
                    let after = self.script.start_after(&plan.name, plan.role);
                    self.timers.add(after, Tick::Start { container, run });
                }
                Effect::Stop { container, signal } => {
                    let stopped = self.stop(container, signal);
                    effects.extend(stopped);
                }
                Effect::Wake(after, alarm) => {
                    self.timers.add(after, Tick::Event(Event::Due(alarm)))
                }
            }
        }
    }

    fn start(&mut self, container: usize, run: u32) {
        let seat = &self.pod.containers[container];
        if seat.runs != run || seat.state != State::Starting {
            return;
        }
        if let Some(exit) = self.script.exit(&seat.plan.name, seat.plan.role, run) {
            self.end_after(container, run, exit);
        }
        self.handle(Event::Started { container, run });
    }

    fn stop(&mut self, container: usize, signal: Stop) -> Vec<Effect> {
        let seat = &self.pod.containers[container];
        let run = seat.runs;
        match seat.state {
            State::Starting => {
                let message = "stopped before it was started".to_owned();
                let event = Event::NotStarted { container, run, message };
                self.pod.on(event, Timestamp::now())
            }
            State::Running { .. } => {
                let exit = match signal {
                    Stop::Term => self.script.on_term(&seat.plan.name, seat.plan.role),
                    Stop::Kill => Some(killed()),
                };
                if let Some(exit) = exit {
                    self.end_after(container, run, exit);
                }
                Vec::new()
            }
            State::Waiting | State::Ended(_) | State::BackOff { .. } => Vec::new(),
        }
    }

    fn end_after(&mut self, container: usize, run: u32, exit: ScriptedExit) {
        let ScriptedExit { after, code: exit_code, message } = exit;
        let event = Event::Exited { container, run, exit_code, message };
        self.timers.add(after, Tick::Event(event));
    }
}
