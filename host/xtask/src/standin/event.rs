//! What a pod's state machine is told and what it asks for.

use std::time::Duration;

use super::plan::Sight;

/// The exit code of a process that SIGKILL ended.
pub(crate) const EXIT_CODE_KILLED: i32 = 137;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The object was seen.
    Seen(Sight),
    /// The object is no longer there, whatever became of its processes.
    Gone,
    /// Volumes and address are ready.
    Prepared {
        /// The pod's address.
        pod_ip: String,
    },
    /// Something that volumes or variables need is not there yet.
    NotPrepared {
        /// What, for the status.
        message: String,
    },
    /// A container runs.
    Started {
        /// Index in the plan.
        container: usize,
        /// Number of the run, from 1.
        run: u32,
    },
    /// A container could not be started, or was stopped before it was.
    NotStarted {
        /// Index in the plan.
        container: usize,
        /// Number of the run.
        run: u32,
        /// Why, for the status.
        message: String,
    },
    /// A container ended.
    Exited {
        /// Index in the plan.
        container: usize,
        /// Number of the run.
        run: u32,
        /// Exit code, 128 and the signal's number where a signal ended it.
        exit_code: i32,
        /// The termination message, where it left one.
        message: Option<String>,
    },
    /// A wake-up that was asked for.
    Due(Alarm),
}

/// What the node has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Make volumes and an address ready, then tell [`Event::Prepared`].
    Prepare,
    /// Start run `run` of the container, then tell `Started` or `NotStarted`.
    Start {
        /// Index in the plan.
        container: usize,
        /// Number of the run.
        run: u32,
    },
    /// Send the container's first process a signal.
    Stop {
        /// Index in the plan.
        container: usize,
        /// Which signal.
        signal: Stop,
    },
    /// Tell [`Event::Due`] after this time.
    Wake(Duration, Alarm),
}

/// How a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM: it may finish its work.
    Term,
    /// SIGKILL.
    Kill,
}

/// What a wake-up is for. A wake-up whose cause has passed changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The wait before a restart is over.
    Restart {
        /// Index in the plan.
        container: usize,
        /// The run that is to begin.
        run: u32,
    },
    /// The grace of the `ending`-th order to end is over.
    GraceOver {
        /// Number of the order, so that a shorter grace replaces a longer one.
        ending: u32,
    },
    /// The pod's active deadline has come.
    ActiveDeadline,
}
