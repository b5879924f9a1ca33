//! One container's place in the course of its pod.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::plan::{ContainerPlan, Restart};

/// The wait before the second restart; each further one doubles it. (The first is at once, as a kubelet has it.)
const BACK_OFF_FIRST: Duration = Duration::from_secs(10);

/// The longest wait before a restart.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// A run as long as this one forgets the waits before it.
const BACK_OFF_FORGOTTEN_AFTER_SECS: i64 = 600;

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its turn has not come.
    Waiting,
    /// Its start was ordered.
    Starting,
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It ended; a restart may follow.
    Ended(End),
    /// It waits for its restart.
    BackOff {
        /// How long the wait is.
        wait: Duration,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The exit code.
    pub(crate) exit_code: i32,
    /// `Completed`, `Error` or `StartError`.
    pub(crate) reason: &'static str,
    /// The termination message.
    pub(crate) message: Option<String>,
    /// When the run began, where it did.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Timestamp,
}

/// One container and its past.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// What is asked of it.
    pub(crate) plan: ContainerPlan,
    /// Where it is.
    pub(crate) state: State,
    /// How the run before ended.
    pub(crate) last: Option<End>,
    before_last: Option<End>,
    /// Number of runs that were ordered.
    pub(crate) runs: u32,
    /// True once a run of it began.
    pub(crate) was_started: bool,
    /// True once it was told to end.
    pub(crate) was_told_to_end: bool,
    next_wait: Duration,
}

/// What follows the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It stays ended.
    Nothing,
    /// The next run may begin.
    RunNow,
    /// The next run may begin after this time.
    RunAfter(Duration),
}

impl Container {
    /// A container whose turn has not come.
    pub(crate) fn new(plan: ContainerPlan) -> Self {
        Self {
            plan,
            state: State::Waiting,
            last: None,
            before_last: None,
            runs: 0,
            was_started: false,
            was_told_to_end: false,
            next_wait: Duration::ZERO,
        }
    }

    /// The exit code, where it ended and is not about to be restarted.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match &self.state {
            State::Ended(end) => Some(end.exit_code),
            State::Waiting | State::Starting | State::Running { .. } | State::BackOff { .. } => {
                None
            }
        }
    }

    /// True while a process of it is there or about to be.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting | State::Running { .. })
    }

    /// Takes in the end of a run of a live pod.
    pub(crate) fn end_live(&mut self, end: End) -> Next {
        if !self.restarts_after(end.exit_code) {
            self.state = State::Ended(end);
            return Next::Nothing;
        }
        let ran_secs = end.started_at.map_or(0, |at| end.finished_at.duration_since(at).as_secs());
        if ran_secs >= BACK_OFF_FORGOTTEN_AFTER_SECS {
            self.next_wait = Duration::ZERO;
        }
        self.before_last = self.last.replace(end);
        let wait = self.next_wait;
        self.next_wait = (wait * 2).clamp(BACK_OFF_FIRST, BACK_OFF_MAX);
        if wait.is_zero() {
            self.state = State::Waiting;
            return Next::RunNow;
        }
        self.state = State::BackOff { wait };
        Next::RunAfter(wait)
    }

    /// Ends a container for good that waits for its restart.
    pub(crate) fn give_up_restart(&mut self) {
        if let State::BackOff { .. } = self.state
            && let Some(end) = self.last.take()
        {
            self.state = State::Ended(end);
            self.last = self.before_last.take();
        }
    }

    fn restarts_after(&self, exit_code: i32) -> bool {
        match self.plan.restart {
            Restart::Always => true,
            Restart::OnFailure => exit_code != 0,
            Restart::Never => false,
        }
    }
}
