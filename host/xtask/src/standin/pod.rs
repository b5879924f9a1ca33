//! A pod's course as a state machine: what happened goes in, what the node has to do comes out. No clock, no client.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::container::{Container, End, Next, State};
use super::event::{Alarm, Effect, Event, Stop};
use super::plan::{PodPlan, Role, Sight};

/// Where the pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Volumes are being made ready.
    Preparing,
    /// Containers are started and restarted.
    Live,
    /// Containers are being stopped.
    Ending,
    /// Nothing runs and nothing will.
    Ended,
}

/// The phase as the status names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not all containers have been started.
    Pending,
    /// All have been started, not all have ended for good.
    Running,
    /// All main containers ended with 0.
    Succeeded,
    /// All ended, not all with 0.
    Failed,
}

/// A pod on the node.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// What is asked of it.
    pub(crate) plan: PodPlan,
    /// Its containers in the plan's order.
    pub(crate) containers: Vec<Container>,
    /// Where it is.
    pub(crate) stage: Stage,
    /// Its address, once it has one.
    pub(crate) pod_ip: Option<String>,
    /// When the node accepted it.
    pub(crate) accepted_at: Timestamp,
    /// The last sight of the object.
    pub(crate) sight: Sight,
    /// What its preparation waits for.
    pub(crate) obstacle: Option<String>,
    /// Why the node failed it, as reason and message.
    pub(crate) failure: Option<(&'static str, String)>,
    endings: u32,
    grace: Duration,
    is_gone: bool,
}

impl Pod {
    /// A pod that was just accepted, and the first thing to do for it.
    pub(crate) fn accept(plan: PodPlan, sight: Sight, now: Timestamp) -> (Self, Vec<Effect>) {
        let mut pod = Self::new(plan, now);
        let mut effects = pod.see(sight);
        if pod.stage == Stage::Preparing {
            effects.push(Effect::Prepare);
            let deadline = pod.plan.active_deadline;
            effects.extend(deadline.map(|d| Effect::Wake(d, Alarm::ActiveDeadline)));
        }
        (pod, effects)
    }

    /// A pod that the node will not run; its phase is `Failed` with this reason and message.
    pub(crate) fn reject(
        plan: PodPlan,
        sight: Sight,
        failure: (&'static str, String),
        now: Timestamp,
    ) -> Self {
        Self {
            stage: Stage::Ended,
            sight,
            failure: Some(failure),
            // A kubelet that rejects a pod says nothing about its containers.
            containers: Vec::new(),
            ..Self::new(plan, now)
        }
    }

    /// A pod that ended before this node knew it; only its deletion is left to be done.
    pub(crate) fn over(plan: PodPlan, sight: Sight, now: Timestamp) -> Self {
        Self { stage: Stage::Ended, sight, ..Self::new(plan, now) }
    }

    /// Takes in what happened at `now` and answers what has to be done, in this order.
    pub(crate) fn on(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Seen(sight) => self.see(sight),
            Event::Gone => {
                self.is_gone = true;
                self.end(self.plan.grace)
            }
            Event::Prepared { pod_ip } => {
                if self.stage != Stage::Preparing {
                    return Vec::new();
                }
                self.obstacle = None;
                self.pod_ip = Some(pod_ip);
                self.stage = Stage::Live;
                self.advance()
            }
            Event::NotPrepared { message } => {
                self.obstacle = Some(message);
                Vec::new()
            }
            Event::Started { container, run } => self.started(container, run, now),
            Event::NotStarted { container, run, message } => {
                if self.is_run(container, run, &State::Starting) {
                    let end = End {
                        exit_code: 128,
                        reason: "StartError",
                        message: Some(message),
                        started_at: None,
                        finished_at: now,
                    };
                    return self.ended(container, end);
                }
                Vec::new()
            }
            Event::Exited { container, run, exit_code, message } => {
                self.exited(container, run, exit_code, message, now)
            }
            Event::Due(alarm) => self.due(alarm),
        }
    }

    /// The phase as a kubelet would derive it.
    pub(crate) fn phase(&self) -> Phase {
        let mains = || self.containers.iter().filter(|c| c.plan.role == Role::Main);
        if self.stage == Stage::Ended {
            let is_success = self.failure.is_none() && mains().all(|c| c.exit_code() == Some(0));
            return if is_success { Phase::Succeeded } else { Phase::Failed };
        }
        let is_initialized = self.first_incomplete().is_none();
        if is_initialized && mains().all(|c| c.was_started) {
            Phase::Running
        } else {
            Phase::Pending
        }
    }

    /// The first init container that has not done its work, or sidecar that was never started.
    pub(crate) fn first_incomplete(&self) -> Option<&Container> {
        self.containers.iter().find(|c| match c.plan.role {
            Role::Init => c.exit_code() != Some(0),
            Role::Sidecar => !c.was_started,
            Role::Main => false,
        })
    }

    /// True when the object is to be deleted for good as soon as its last status is written.
    pub(crate) fn is_deletable(&self) -> bool {
        self.stage == Stage::Ended && self.sight.deletion_grace.is_some() && !self.is_gone
    }

    /// True when nothing runs and the object is gone, so that the node may forget the pod.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.stage == Stage::Ended && self.is_gone
    }

    /// True once the object was seen to be gone: no status may be written any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn new(plan: PodPlan, now: Timestamp) -> Self {
        let containers = plan.containers.iter().cloned().map(Container::new).collect();
        Self {
            containers,
            stage: Stage::Preparing,
            pod_ip: None,
            accepted_at: now,
            sight: Sight::default(),
            obstacle: None,
            failure: None,
            endings: 0,
            grace: plan.grace,
            is_gone: false,
            plan,
        }
    }

    fn see(&mut self, sight: Sight) -> Vec<Effect> {
        let known = self.sight.deletion_grace;
        let asked = sight.deletion_grace;
        self.sight = sight;
        match (asked, known) {
            (Some(grace), None) => self.end(grace),
            (Some(grace), Some(before)) if grace < before => self.end(grace),
            (Some(_) | None, _) => Vec::new(),
        }
    }

    fn due(&mut self, alarm: Alarm) -> Vec<Effect> {
        match alarm {
            Alarm::Restart { container, run } => {
                let Some(c) = self.containers.get_mut(container) else {
                    return Vec::new();
                };
                let is_waiting = matches!(c.state, State::BackOff { .. }) && c.runs + 1 == run;
                if self.stage != Stage::Live || !is_waiting {
                    return Vec::new();
                }
                c.state = State::Waiting;
                self.advance()
            }
            Alarm::GraceOver { ending } if ending == self.endings => self.kill_all(),
            Alarm::GraceOver { .. } => Vec::new(),
            Alarm::ActiveDeadline => match self.stage {
                Stage::Preparing | Stage::Live => {
                    let message = "Pod was active on the node longer than the specified deadline";
                    self.failure = Some(("DeadlineExceeded", message.to_owned()));
                    self.end(self.plan.grace)
                }
                Stage::Ending | Stage::Ended => Vec::new(),
            },
        }
    }

    fn started(&mut self, index: usize, run: u32, now: Timestamp) -> Vec<Effect> {
        if !self.is_run(index, run, &State::Starting) {
            return Vec::new();
        }
        if let Some(c) = self.containers.get_mut(index) {
            c.state = State::Running { since: now };
            c.was_started = true;
        }
        match self.stage {
            Stage::Live => self.advance(),
            Stage::Preparing | Stage::Ending | Stage::Ended => Vec::new(),
        }
    }

    fn exited(
        &mut self,
        index: usize,
        run: u32,
        exit_code: i32,
        message: Option<String>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(c) = self.containers.get(index).filter(|c| c.runs == run) else {
            return Vec::new();
        };
        let State::Running { since } = c.state else {
            return Vec::new();
        };
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        let started_at = Some(since);
        self.ended(index, End { exit_code, reason, message, started_at, finished_at: now })
    }

    fn ended(&mut self, index: usize, end: End) -> Vec<Effect> {
        let Some(c) = self.containers.get_mut(index) else {
            return Vec::new();
        };
        match self.stage {
            Stage::Live => match c.end_live(end) {
                Next::Nothing | Next::RunNow => self.advance(),
                Next::RunAfter(wait) => {
                    let run = c.runs + 1;
                    let container = index;
                    vec![Effect::Wake(wait, Alarm::Restart { container, run })]
                }
            },
            Stage::Preparing | Stage::Ending | Stage::Ended => {
                c.state = State::Ended(end);
                self.go_on_ending()
            }
        }
    }

    /// Starts whatever may start, or begins the end where all work is done.
    fn advance(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut is_init_failed = false;
        for (index, c) in self.containers.iter_mut().enumerate() {
            if c.state == State::Waiting {
                c.runs += 1;
                c.state = State::Starting;
                effects.push(Effect::Start { container: index, run: c.runs });
            }
            match c.plan.role {
                Role::Init if c.exit_code() == Some(0) => {}
                Role::Init if c.exit_code().is_some() => {
                    is_init_failed = true;
                    break;
                }
                Role::Init => return effects,
                Role::Sidecar if !c.was_started => return effects,
                Role::Sidecar | Role::Main => {}
            }
        }
        let mut mains = self.containers.iter().filter(|c| c.plan.role == Role::Main);
        if is_init_failed || mains.all(|c| c.exit_code().is_some()) {
            effects.extend(self.end(self.plan.grace));
        }
        effects
    }

    /// Orders all containers to end within `grace`; where they already were, only a shorter grace changes something.
    fn end(&mut self, grace: Duration) -> Vec<Effect> {
        let effects = match self.stage {
            Stage::Preparing | Stage::Live => {
                self.stage = Stage::Ending;
                self.containers.iter_mut().for_each(Container::give_up_restart);
                self.go_on_ending()
            }
            Stage::Ending if grace < self.grace => Vec::new(),
            Stage::Ending | Stage::Ended => return Vec::new(),
        };
        self.grace = grace;
        self.endings += 1;
        let alarm = Effect::Wake(grace, Alarm::GraceOver { ending: self.endings });
        let is_ending = self.stage == Stage::Ending;
        effects.into_iter().chain(is_ending.then_some(alarm)).collect()
    }

    /// SIGTERM to main and init containers first, then to the sidecars, the last one first, one after the other.
    fn go_on_ending(&mut self) -> Vec<Effect> {
        let (sidecars, work): (Vec<usize>, Vec<usize>) = (0..self.containers.len())
            .filter(|i| self.containers[*i].is_alive())
            .partition(|i| self.containers[*i].plan.role == Role::Sidecar);
        let turn = match (work.is_empty(), sidecars.last()) {
            (false, _) => work,
            (true, Some(last)) => vec![*last],
            (true, None) => {
                self.stage = Stage::Ended;
                Vec::new()
            }
        };
        let untold = turn
            .into_iter()
            .filter(|i| !std::mem::replace(&mut self.containers[*i].was_told_to_end, true));
        untold.map(|container| Effect::Stop { container, signal: Stop::Term }).collect()
    }

    fn kill_all(&self) -> Vec<Effect> {
        let alive = self.containers.iter().enumerate().filter(|(_, c)| c.is_alive());
        alive.map(|(container, _)| Effect::Stop { container, signal: Stop::Kill }).collect()
    }

    fn is_run(&self, index: usize, run: u32, state: &State) -> bool {
        self.containers.get(index).is_some_and(|c| c.runs == run && c.state == *state)
    }
}

#[cfg(test)]
mod tests;
