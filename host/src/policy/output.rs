//! Holds a policy's answers to their limits before anyone acts on them.

use super::fault::Fault;
use super::log::Escaped;
use super::wit::{JudgeWait, Pod, RenderWait, Rendering, Retry, Verdict};

/// Bytes of a rendered pod template. The API server takes objects of 1.5 MiB; no honest template comes near a sixth of it.
pub const TEMPLATE_MAX_BYTES: usize = 256 * 1024;

/// Bytes of the state that a policy may keep: it is written to an annotation of the claim, and all of those together may
/// have 256 KiB.
pub const STATE_MAX_BYTES: usize = 8 * 1024;

/// Bytes of a reason; what is over is cut, because an event's note may have 1024.
pub const REASON_MAX_BYTES: usize = 1024;

/// Templates of claims that a rendering may name as holding nothing.
pub const DISCARD_MAX_ENTRIES: usize = 64;

/// Bytes of one such name: the longest name that Kubernetes knows.
pub const DISCARD_MAX_BYTES: usize = 253;

/// Per cent of a drain that is done.
const PERCENT_MAX: u8 = 100;

/// Gives back the rendering with reasons made fit for an event.
///
/// # Errors
/// [`Fault::Output`] where a template, a state or a discard list is too large.
pub fn rendering(answer: Rendering) -> Result<Rendering, Fault> {
    Ok(match answer {
        Rendering::Pod(pod) => Rendering::Pod(check_pod(pod)?),
        Rendering::Wait(wait) => {
            Rendering::Wait(RenderWait { reason: reason(&wait.reason), ask_again: wait.ask_again })
        }
        Rendering::Keep(why) => Rendering::Keep(reason(&why)),
        Rendering::Refuse(why) => Rendering::Refuse(reason(&why)),
    })
}

/// Gives back the verdict with reasons made fit for an event and a percentage of at most 100.
///
/// # Errors
/// [`Fault::Output`] where a state is too large.
pub fn verdict(answer: Verdict) -> Result<Verdict, Fault> {
    Ok(match answer {
        Verdict::Wait(wait) => {
            if let Some(state) = &wait.state {
                check_state("wait.state", state)?;
            }
            Verdict::Wait(JudgeWait {
                reason: reason(&wait.reason),
                percent: wait.percent.map(|percent| percent.min(PERCENT_MAX)),
                ask_again: wait.ask_again,
                state: wait.state,
            })
        }
        Verdict::Retry(retry) => {
            check_state("retry.state", &retry.state)?;
            Verdict::Retry(Retry {
                reason: reason(&retry.reason),
                after: retry.after,
                state: retry.state,
            })
        }
        Verdict::Complete(why) => Verdict::Complete(reason(&why)),
        Verdict::Cancel(why) => Verdict::Cancel(reason(&why)),
        Verdict::Fail(why) => Verdict::Fail(reason(&why)),
    })
}

/// Gives back what is wrong with a config, made fit for an event.
///
/// # Errors
/// What the policy said is wrong.
pub fn validity(answer: Result<(), String>) -> Result<(), String> {
    answer.map_err(|why| reason(&why))
}

fn check_pod(pod: Pod) -> Result<Pod, Fault> {
    check("pod.template", "bytes", pod.template.len(), TEMPLATE_MAX_BYTES)?;
    check("pod.discard", "entries", pod.discard.len(), DISCARD_MAX_ENTRIES)?;
    for name in &pod.discard {
        check("pod.discard", "bytes in one entry", name.len(), DISCARD_MAX_BYTES)?;
    }
    if let Some(state) = &pod.state {
        check_state("pod.state", state)?;
    }
    Ok(pod)
}

fn check_state(field: &'static str, state: &str) -> Result<(), Fault> {
    check(field, "bytes", state.len(), STATE_MAX_BYTES)
}

fn check(field: &'static str, unit: &'static str, found: usize, limit: usize) -> Result<(), Fault> {
    if found > limit {
        return Err(Fault::Output { field, unit, found, limit });
    }
    Ok(())
}

fn reason(text: &str) -> String {
    Escaped::of(text, REASON_MAX_BYTES).text
}

#[cfg(test)]
mod tests {
    use super::super::wit::Traffic;
    use super::*;

    fn pod(template_bytes: usize, discard: usize, state_bytes: usize) -> Rendering {
        Rendering::Pod(Pod {
            template: "x".repeat(template_bytes),
            traffic: Traffic::None,
            discard: vec!["data".to_owned(); discard],
            state: Some("s".repeat(state_bytes)),
        })
    }

    fn field(fault: Result<Rendering, Fault>) -> &'static str {
        match fault {
            Err(Fault::Output { field, .. }) => field,
            other => panic!("expected an output fault, got {other:?}"),
        }
    }

    #[test]
    fn a_rendering_at_its_limits_passes() {
        let full = pod(TEMPLATE_MAX_BYTES, DISCARD_MAX_ENTRIES, STATE_MAX_BYTES);
        assert_eq!(rendering(full.clone()), Ok(full));
    }

    #[test]
    fn what_is_too_large_is_named() {
        assert_eq!(field(rendering(pod(TEMPLATE_MAX_BYTES + 1, 0, 0))), "pod.template");
        assert_eq!(field(rendering(pod(0, DISCARD_MAX_ENTRIES + 1, 0))), "pod.discard");
        assert_eq!(field(rendering(pod(0, 0, STATE_MAX_BYTES + 1))), "pod.state");
    }

    #[test]
    fn a_state_of_a_verdict_is_bounded() {
        let retry = Verdict::Retry(Retry {
            reason: String::new(),
            after: 1,
            state: "s".repeat(STATE_MAX_BYTES + 1),
        });
        assert!(matches!(verdict(retry), Err(Fault::Output { field: "retry.state", .. })));
    }

    #[test]
    fn a_reason_is_cut_and_escaped() {
        let answer = rendering(Rendering::Keep(format!("a\n{}", "é".repeat(2000))));
        let Ok(Rendering::Keep(why)) = answer else { panic!("expected keep, got {answer:?}") };
        assert!(why.starts_with("a\\né"));
        assert!(why.len() <= REASON_MAX_BYTES && why.len() > REASON_MAX_BYTES - 4);
    }

    #[test]
    fn a_percentage_is_held_to_a_hundred() {
        let wait = Verdict::Wait(JudgeWait {
            reason: String::new(),
            percent: Some(200),
            ask_again: None,
            state: None,
        });
        let Ok(Verdict::Wait(wait)) = verdict(wait) else { panic!("expected wait") };
        assert_eq!(wait.percent, Some(100));
    }
}
