//! How a pod ended, for every mix of phase, containers and marks that a kubelet may report: only what is proven is an ending by itself.

use tidegate_core::{
    Ending,
    ending::{Container, Kind, Phase, PodFacts, State, ending},
};

const PHASES: [Phase; 5] =
    [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown];
const KINDS: [Kind; 3] = [Kind::Main, Kind::Init, Kind::NativeSidecar];
const STATES: [State; 5] =
    [State::Waiting, State::Running, State::Exited(0), State::Exited(143), State::Unknown];

fn pod(phase: Phase, containers: Vec<Container>) -> PodFacts {
    PodFacts {
        phase,
        reason: String::new(),
        message: String::new(),
        terminating: false,
        sealed: false,
        disruption: None,
        containers,
    }
}

/// Every container that there can be beside the one that drains.
fn beside() -> Vec<Container> {
    let mut all = Vec::new();
    for kind in KINDS {
        for state in STATES {
            for rendered in [true, false] {
                all.push(Container { name: "beside".to_owned(), kind, rendered, state });
            }
        }
    }
    all
}

fn drain(state: State) -> Container {
    Container { name: "drain".to_owned(), kind: Kind::Main, rendered: true, state }
}

#[test]
fn only_what_is_proven_ends_by_itself() {
    for phase in PHASES {
        for state in STATES {
            for beside in beside() {
                let done = state == State::Exited(0);
                let helped = match (beside.rendered, beside.kind) {
                    (false, _) | (true, Kind::NativeSidecar) => true,
                    (true, Kind::Main | Kind::Init) => beside.state == State::Exited(0),
                };
                let over = match phase {
                    Phase::Succeeded => true,
                    Phase::Running => {
                        let injected = !beside.rendered && beside.state == State::Running;
                        injected || matches!(beside.state, State::Exited(_))
                    }
                    Phase::Pending | Phase::Failed | Phase::Unknown => false,
                };
                let facts = pod(phase, vec![drain(state), beside]);
                let by_itself = ending(&facts) == Ending::ByItself;
                assert_eq!(by_itself, done && helped && over, "{facts:#?}");
            }
        }
    }
}

#[test]
fn a_pod_that_the_kubelet_does_not_call_ended_has_not_ended() {
    for phase in [Phase::Pending, Phase::Running, Phase::Unknown] {
        for state in [State::Waiting, State::Running, State::Exited(1), State::Unknown] {
            let facts = pod(phase, vec![drain(state)]);
            assert_eq!(ending(&facts), Ending::NotEnded, "{facts:#?}");
        }
    }
}

#[test]
fn each_mark_of_an_end_from_outside_is_told() {
    type Marking = fn(&mut PodFacts);
    let marks: [(Marking, &str); 4] = [
        (|pod| pod.terminating = true, "it was cut short: it was deleted"),
        (
            |pod| pod.disruption = Some("PreemptionByScheduler".to_owned()),
            "it was cut short: condition DisruptionTarget (PreemptionByScheduler)",
        ),
        (|pod| pod.reason = "DeadlineExceeded".to_owned(), "it was cut short: DeadlineExceeded"),
        (
            |pod| {
                pod.reason = "Evicted".to_owned();
                pod.message = "out of disk".to_owned();
            },
            "it was cut short: Evicted out of disk",
        ),
    ];
    for (mark, told) in marks {
        for phase in PHASES {
            let mut facts = pod(phase, vec![drain(State::Exited(0))]);
            mark(&mut facts);
            assert_eq!(ending(&facts).to_string(), told, "{facts:#?}");
        }
    }
}

#[test]
fn what_is_told_of_a_failure_names_the_container() {
    for (phase, state, told) in [
        (Phase::Failed, State::Exited(2), "it failed: container drain exited 2"),
        (Phase::Failed, State::Exited(0), "it failed: phase Failed"),
        (Phase::Failed, State::Unknown, "it failed: phase Failed"),
        (Phase::Succeeded, State::Exited(2), "it failed: container drain exited 2"),
        (
            Phase::Succeeded,
            State::Unknown,
            "it failed: container drain is not known to have exited",
        ),
        (Phase::Succeeded, State::Exited(0), "it ended by itself with success"),
        (Phase::Running, State::Running, "it has not ended"),
    ] {
        assert_eq!(ending(&pod(phase, vec![drain(state)])).to_string(), told);
    }
}
