//! The verdict of a policy that believes the host's reading of how a drain pod ended.

use crate::{Cause, Condition, ContainerState, DrainPod, Ending, Situation, Verdict};

/// The wait after the first attempt that failed. Long enough for a short outage of a receiver to pass, short enough to watch.
const FIRST_BACK_OFF_MS: u64 = 5_000;

/// The longest wait between two attempts: a drain that fails for hours is tried a few times an hour.
const LONGEST_BACK_OFF_MS: u64 = 600_000;

/// Believes the host's reading of how the pod ended:
///
/// - a cause that this version of the package does not know: wait;
/// - ended by itself with success: complete, also where the ordinal is wanted again (its data has moved, and the member starts
///   with a fresh volume);
/// - not ended: what [`ongoing`] says;
/// - failed or cut short: what [`unfinished`] says.
///
/// It takes exit code 0 as the proof that the data is safe. A process that exits with 0 whenever it is told to stop needs a
/// policy that looks for more, such as a termination message.
pub fn by_ending(at: &Situation, pod: &DrainPod) -> Verdict {
    if let Some(cause) = unknown_cause(at) {
        return Verdict::wait(cause);
    }
    match &pod.ending {
        Ending::NotEnded => ongoing(pod),
        Ending::ByItself => Verdict::complete("the drain pod ended by itself with success"),
        Ending::Failed(how) => unfinished(at, pod, &format!("the drain pod failed: {how}")),
        Ending::CutShort(by) => unfinished(at, pod, &format!("the drain pod was cut short: {by}")),
    }
}

/// What to do about a pod that ended without having done its work, for `reason`:
///
/// - a claim is being deleted already: wait, since this pod is all that holds the data;
/// - the ordinal is wanted again: cancel, since the member can carry on with the data that it has;
/// - otherwise: another attempt after [`back_off_ms`], with the state left as it is.
pub fn unfinished(at: &Situation, pod: &DrainPod, reason: &str) -> Verdict {
    if !pod.can_cancel {
        Verdict::wait(format!(
            "{reason}; a claim is being deleted, so this pod is all that holds the data"
        ))
    } else if pod.wanted {
        Verdict::cancel(format!("{reason}; the set wants the ordinal back"))
    } else {
        Verdict::retry(reason, back_off_ms(at.attempt), at.state.clone())
    }
}

/// What to do about a pod that has not ended:
///
/// - the ordinal is wanted again and no node has taken the pod: cancel, since nothing of it has run;
/// - otherwise: wait, also where the ordinal is wanted again, so that the drain finishes first.
pub fn ongoing(pod: &DrainPod) -> Verdict {
    let doing = not_ended(pod);
    if !pod.wanted {
        Verdict::wait(doing)
    } else if pod.can_cancel && pod.node.is_none() {
        Verdict::cancel(format!("{doing}; the set wants the ordinal back, and nothing has run"))
    } else {
        Verdict::wait(format!("{doing}; the set gets the ordinal back when the drain is done"))
    }
}

/// What a drain pod that has not ended is doing, for a person: what keeps it from starting where that is known.
pub fn not_ended(pod: &DrainPod) -> String {
    let unscheduled = |one: &&Condition| one.kind == "PodScheduled" && one.status == "False";
    if let Some(condition) = pod.conditions.iter().find(unscheduled) {
        return format!("the drain pod is not scheduled: {}", condition.message);
    }
    let waiting = pod.containers.iter().find_map(|container| match &container.state {
        ContainerState::Waiting(reason) if !reason.is_empty() => Some((&container.name, reason)),
        ContainerState::Waiting(_)
        | ContainerState::Running(_)
        | ContainerState::Exited(_)
        | ContainerState::Unknown => None,
    });
    match waiting {
        Some((name, reason)) => format!("the container `{name}` of the drain pod waits: {reason}"),
        None => "the drain pod has not ended".to_owned(),
    }
}

/// How many milliseconds to wait after attempt number `attempt` (from 1) failed: five seconds, doubled each time, at most ten
/// minutes.
pub fn back_off_ms(attempt: u32) -> u64 {
    let doublings = attempt.saturating_sub(1);
    FIRST_BACK_OFF_MS
        .checked_shl(doublings)
        .filter(|shifted| shifted >> doublings == FIRST_BACK_OFF_MS)
        .map_or(LONGEST_BACK_OFF_MS, |shifted| shifted.min(LONGEST_BACK_OFF_MS))
}

/// The reason to hold back where the cause of the drain is one that came after this version of the package.
pub fn unknown_cause(at: &Situation) -> Option<String> {
    match &at.cause {
        Cause::ScaleDown | Cause::SetDeleted => None,
        Cause::Other(name) => Some(format!("the policy does not know the cause `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn success_completes_even_where_the_ordinal_is_wanted() {
        let at = testing::situation("web", 2, 2);
        let mut pod = testing::ended_by_itself("web", "");
        assert_eq!(
            by_ending(&at, &pod),
            Verdict::complete("the drain pod ended by itself with success")
        );
        pod.wanted = true;
        assert!(matches!(by_ending(&at, &pod), Verdict::Complete(_)));
    }

    #[test]
    fn a_running_pod_is_waited_for_even_where_the_ordinal_is_wanted() {
        let at = testing::situation("web", 2, 2);
        let mut pod = testing::running("web");
        pod.wanted = true;
        assert!(matches!(by_ending(&at, &pod), Verdict::Wait(_)));
    }

    #[test]
    fn a_pod_that_no_node_has_taken_gives_a_wanted_ordinal_back() {
        let at = testing::situation("web", 2, 2);
        let mut pod = testing::running("web");
        pod.node = None;
        assert!(matches!(by_ending(&at, &pod), Verdict::Wait(_)));
        pod.wanted = true;
        assert!(matches!(by_ending(&at, &pod), Verdict::Cancel(_)));
        pod.can_cancel = false;
        assert!(matches!(by_ending(&at, &pod), Verdict::Wait(_)));
    }

    #[test]
    fn an_evicted_pod_that_exited_with_0_is_tried_again_with_its_state() {
        let mut at = testing::situation("web", 2, 2);
        at.attempt = 2;
        at.state = "web-0".to_owned();
        let Verdict::Retry(retry) = by_ending(&at, &testing::evicted("web")) else {
            panic!("expected a retry");
        };
        assert!(retry.reason.contains("cut short"), "{}", retry.reason);
        assert_eq!((retry.after, retry.state.as_str()), (10_000, "web-0"));
    }

    #[test]
    fn a_failed_pod_gives_a_wanted_ordinal_back() {
        let at = testing::situation("web", 2, 2);
        let mut pod = testing::failed("web", 3);
        assert!(matches!(by_ending(&at, &pod), Verdict::Retry(_)));
        pod.wanted = true;
        assert!(matches!(by_ending(&at, &pod), Verdict::Cancel(_)));
        pod.can_cancel = false;
        assert!(matches!(by_ending(&at, &pod), Verdict::Wait(_)));
    }

    #[test]
    fn a_pod_that_cannot_start_says_why() {
        let mut pod = testing::running("web");
        assert_eq!(not_ended(&pod), "the drain pod has not ended");
        pod.containers[0].state = ContainerState::Waiting("ImagePullBackOff".to_owned());
        assert_eq!(not_ended(&pod), "the container `web` of the drain pod waits: ImagePullBackOff");
        pod.conditions.push(Condition {
            kind: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: "Unschedulable".to_owned(),
            message: "no node fits".to_owned(),
            since: None,
        });
        assert_eq!(not_ended(&pod), "the drain pod is not scheduled: no node fits");
    }

    #[test]
    fn an_unknown_cause_is_waited_out() {
        let mut at = testing::situation("web", 2, 2);
        at.cause = Cause::Other("rebalance".to_owned());
        let verdict = by_ending(&at, &testing::ended_by_itself("web", ""));
        assert_eq!(verdict, Verdict::wait("the policy does not know the cause `rebalance`"));
    }

    #[test]
    fn the_back_off_doubles_up_to_ten_minutes() {
        let waits: Vec<u64> = [0, 1, 2, 7, 8, 61, 64, 70, u32::MAX].map(back_off_ms).into();
        assert_eq!(
            waits,
            [5_000, 5_000, 10_000, 320_000, 600_000, 600_000, 600_000, 600_000, 600_000]
        );
    }
}
