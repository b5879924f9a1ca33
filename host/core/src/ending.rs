//! Whether a drain pod ended by itself with success. `Succeeded` alone says nothing: a process that exits 0 on SIGTERM leaves it
//! after a deletion, an eviction, a preemption and a node's shutdown.

use std::fmt;

/// How a drain pod ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has not.
    NotEnded,
    /// Every rendered main and init container exited 0, and nothing ended the pod from outside.
    ByItself,
    /// It ended, but not with success.
    Failed(String),
    /// Something deleted, evicted, preempted or shut it down, or set it a deadline.
    CutShort(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnded => write!(f, "it has not ended"),
            Self::ByItself => write!(f, "it ended by itself with success"),
            Self::Failed(why) => write!(f, "it failed: {why}"),
            Self::CutShort(why) => write!(f, "it was cut short: {why}"),
        }
    }
}

/// What is known of a pod that bears on its ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// `status.phase`.
    pub phase: Phase,
    /// `status.reason`, empty on every pod that ended by itself.
    pub reason: String,
    /// `status.message`.
    pub message: String,
    /// Whether it has a `deletionTimestamp`.
    pub terminating: bool,
    /// Whether it bears our seal. It was put on by resourceVersion on a pod that had ended by itself, and the API server refuses it on a
    /// pod that is being deleted; so what marks a sealed pod came after its end.
    pub sealed: bool,
    /// The reason of its condition `DisruptionTarget`, where that is true.
    pub disruption: Option<String>,
    /// Every container of its spec.
    pub containers: Vec<Container>,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have started.
    Pending,
    /// At least one container runs.
    Running,
    /// All ended with success, as far as the kubelet says.
    Succeeded,
    /// One ended without success.
    Failed,
    /// The kubelet does not tell.
    Unknown,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// Whether the policy rendered it; admission may have put others there, and they prove nothing.
    pub rendered: bool,
    /// What it does.
    pub state: State,
}

/// The kind of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A main container.
    Main,
    /// An init container that ends.
    Init,
    /// An init container with `restartPolicy: Always`: it is stopped from outside, so its exit code says nothing.
    NativeSidecar,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Waiting,
    /// It runs.
    Running,
    /// It exited with this code.
    Exited(i32),
    /// It exited with 0, and the kubelet names another cause than that it was done: a process in it was killed for want of memory, for one, and the first
    /// process went on as if that one had ended.
    Maimed,
    /// The kubelet says nothing about it.
    Unknown,
}

/// How the pod ended, as far as these facts prove it. What they do not prove is never [`Ending::ByItself`].
#[must_use]
pub fn ending(pod: &PodFacts) -> Ending {
    if let Some(cause) = cut_short(pod) {
        return Ending::CutShort(cause);
    }
    match pod.phase {
        Phase::Failed => Ending::Failed(failure(pod)),
        Phase::Pending | Phase::Unknown => Ending::NotEnded,
        Phase::Succeeded => match unproven(pod) {
            Some(why) => Ending::Failed(why),
            None => Ending::ByItself,
        },
        Phase::Running if only_injected_run(pod) && unproven(pod).is_none() => Ending::ByItself,
        Phase::Running => Ending::NotEnded,
    }
}

fn cut_short(pod: &PodFacts) -> Option<String> {
    if pod.sealed {
        return None;
    }
    if let Some(reason) = &pod.disruption {
        return Some(format!("condition DisruptionTarget ({reason})"));
    }
    if pod.terminating {
        return Some("it was deleted".to_owned());
    }
    if !pod.reason.is_empty() {
        return Some(format!("{} {}", pod.reason, pod.message).trim_end().to_owned());
    }
    None
}

/// Why not every rendered main and init container is known to have exited 0.
fn unproven(pod: &PodFacts) -> Option<String> {
    let mut mains: usize = 0;
    for container in pod.containers.iter().filter(|container| container.rendered) {
        let name = &container.name;
        match (container.kind, container.state) {
            (Kind::NativeSidecar, _) => {}
            (Kind::Main, State::Exited(0)) => mains = mains.saturating_add(1),
            (Kind::Init, State::Exited(0)) => {}
            (_, State::Exited(code)) => return Some(format!("container {name} exited {code}")),
            (_, State::Maimed) => {
                return Some(format!(
                    "container {name} exited 0 after a process in it was killed, by its reason in the pod's status"
                ));
            }
            (_, State::Waiting | State::Running | State::Unknown) => {
                return Some(format!("container {name} is not known to have exited"));
            }
        }
    }
    (mains == 0).then(|| "no rendered main container is known to have exited".to_owned())
}

fn only_injected_run(pod: &PodFacts) -> bool {
    let has_ended = |state| matches!(state, State::Exited(_) | State::Maimed);
    let mut running = pod.containers.iter().filter(|container| !has_ended(container.state));
    running.all(|container| !container.rendered && container.state == State::Running)
}

fn failure(pod: &PodFacts) -> String {
    let codes: Vec<String> = pod
        .containers
        .iter()
        .filter_map(|container| match container.state {
            State::Exited(code) if code != 0 => {
                Some(format!("container {} exited {code}", container.name))
            }
            State::Exited(_) | State::Maimed | State::Waiting | State::Running | State::Unknown => {
                None
            }
        })
        .collect();
    if codes.is_empty() { "phase Failed".to_owned() } else { codes.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main_exited(code: i32) -> Container {
        Container {
            name: "drain".to_owned(),
            kind: Kind::Main,
            rendered: true,
            state: State::Exited(code),
        }
    }

    fn succeeded() -> PodFacts {
        PodFacts {
            phase: Phase::Succeeded,
            reason: String::new(),
            message: String::new(),
            terminating: false,
            sealed: false,
            disruption: None,
            containers: vec![main_exited(0)],
        }
    }

    #[test]
    fn a_clean_end_is_by_itself() {
        assert_eq!(ending(&succeeded()), Ending::ByItself);
    }

    #[test]
    fn every_mark_of_an_end_from_outside_counts() {
        let deleted = PodFacts { terminating: true, ..succeeded() };
        let evicted = PodFacts { disruption: Some("EvictionByEvictionAPI".into()), ..succeeded() };
        let shut_down = PodFacts { reason: "Terminated".into(), ..succeeded() };
        let failed_too = PodFacts { phase: Phase::Failed, reason: "Evicted".into(), ..succeeded() };
        for pod in [deleted, evicted, shut_down, failed_too] {
            assert!(matches!(ending(&pod), Ending::CutShort(_)), "{pod:?}");
        }
    }

    #[test]
    fn what_marks_a_sealed_pod_came_after_its_end() {
        let pod = PodFacts {
            sealed: true,
            terminating: true,
            disruption: Some("EvictionByEvictionAPI".into()),
            ..succeeded()
        };
        assert_eq!(ending(&pod), Ending::ByItself);
    }

    #[test]
    fn success_without_the_exit_codes_is_no_success() {
        let none = PodFacts { containers: vec![], ..succeeded() };
        let injected_only = PodFacts {
            containers: vec![Container { rendered: false, ..main_exited(0) }],
            ..succeeded()
        };
        let unknown = PodFacts {
            containers: vec![Container { state: State::Unknown, ..main_exited(0) }],
            ..succeeded()
        };
        let maimed = PodFacts {
            containers: vec![Container { state: State::Maimed, ..main_exited(0) }],
            ..succeeded()
        };
        let one_of_two =
            PodFacts { containers: vec![main_exited(0), main_exited(3)], ..succeeded() };
        for pod in [none, injected_only, unknown, maimed, one_of_two] {
            assert!(matches!(ending(&pod), Ending::Failed(_)), "{pod:?}");
        }
    }

    #[test]
    fn a_native_sidecar_may_leave_with_any_code() {
        let sidecar = Container { kind: Kind::NativeSidecar, ..main_exited(143) };
        let pod = PodFacts { containers: vec![main_exited(0), sidecar], ..succeeded() };
        assert_eq!(ending(&pod), Ending::ByItself);
    }

    #[test]
    fn an_injected_container_that_never_ends_is_not_waited_for() {
        let mesh = Container {
            name: "mesh".to_owned(),
            rendered: false,
            state: State::Running,
            ..main_exited(0)
        };
        let done = PodFacts {
            phase: Phase::Running,
            containers: vec![main_exited(0), mesh.clone()],
            ..succeeded()
        };
        assert_eq!(ending(&done), Ending::ByItself);
        let running = Container { state: State::Running, ..main_exited(0) };
        let working = PodFacts { containers: vec![running, mesh.clone()], ..done.clone() };
        assert_eq!(ending(&working), Ending::NotEnded);
        let restarting = PodFacts { containers: vec![main_exited(1), mesh], ..done };
        assert_eq!(ending(&restarting), Ending::NotEnded);
    }

    #[test]
    fn a_failure_names_its_container() {
        let pod = PodFacts {
            phase: Phase::Failed,
            containers: vec![main_exited(0), main_exited(7)],
            ..succeeded()
        };
        assert_eq!(ending(&pod), Ending::Failed("container drain exited 7".into()));
    }
}
