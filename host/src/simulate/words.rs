//! What the host sees, asks, is answered and writes, in words.

use serde_json::Value;
use tidegate_core::{
    Answer, Claim, Ordinal, Seat, Seen, Stage, TimeMs,
    proof::{Condemned, Propagation},
    seen::{Binding, Deletion, Enrolment},
    stage::stage,
};
use tidegate_miniature::kind::Kind;

/// How long since the beginning.
#[must_use]
pub fn since(ms: u64) -> String {
    format!("+{}", span(ms))
}

/// A span of time.
#[must_use]
pub fn span(ms: u64) -> String {
    let (secs, rest_ms) = (ms / 1_000, ms % 1_000);
    let (minutes, rest_secs) = (secs / 60, secs % 60);
    let fraction = if rest_ms == 0 { String::new() } else { format!(".{rest_ms:03}") };
    match minutes {
        0 => format!("{secs}{fraction}s"),
        _ => format!("{minutes}m{rest_secs:02}{fraction}s"),
    }
}

/// A kind of object.
#[must_use]
pub const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "namespace",
        Kind::Node => "node",
        Kind::ConfigMap => "ConfigMap",
        Kind::Set => "set",
        Kind::Pod => "pod",
        Kind::Claim => "claim",
        Kind::Event => "event",
        Kind::Lease => "lease",
    }
}

/// What a patch changes, and in which version of the object.
#[must_use]
pub fn patch(body: &Value) -> String {
    let mut metadata = body["metadata"].clone();
    let mut version = None;
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("uid");
        version = fields.remove("resourceVersion");
    }
    match version.as_ref().and_then(Value::as_str) {
        Some(version) => format!("{metadata}, only in version {version}"),
        None => metadata.to_string(),
    }
}

/// Where an ordinal stands; nothing of one that is live and as it should be, or that has nothing left.
#[must_use]
pub fn sight(seen: &Seen, ordinal: Ordinal, seat: &Seat, now: TimeMs) -> Option<String> {
    let enrolled = |claim: &Claim| claim.enrolment == Enrolment::Here;
    let stands = match stage(seen, ordinal, seat, now) {
        Stage::Live if !seat.claims.is_empty() && seat.claims.values().all(enrolled) => {
            return None;
        }
        Stage::Blocked(_) if seat.claims.is_empty() => return None,
        Stage::Live => "live".to_owned(),
        Stage::Blocked(reason) => format!("not to be drained yet: {reason}"),
        Stage::Ripe => "an orphan to be drained".to_owned(),
        Stage::Draining(drain) => {
            format!("its drain pod, attempt {}: {}", drain.attempt, drain.ending)
        }
        Stage::Leaving(_) => "its drain pod is being deleted".to_owned(),
        Stage::Sealed(drain) => format!("its drain pod is sealed: {}", drain.ending),
        Stage::GivingBack(_) => "the seal of its drain pod is being given back".to_owned(),
        Stage::Condemned(_) => "its drain pod is sealed, and every claim is deleted".to_owned(),
        Stage::Ended(_) => "its drain pod is unsealed after its claims were deleted".to_owned(),
        Stage::Departing(_) => "its turn has come in a set that is deleted".to_owned(),
        Stage::Foreign(reason) => reason.to_string(),
    };
    let claims = seat.claims.values().map(|claim| {
        let enrolment = match &claim.enrolment {
            Enrolment::Here => "enrolled",
            Enrolment::Nowhere => "not enrolled",
            Enrolment::Elsewhere { .. } => "enrolled for another set",
        };
        let binding = match claim.binding {
            Binding::Bound => "bound",
            Binding::Pending => "pending",
            Binding::Lost => "lost",
            Binding::Unknown => "not known to be bound",
        };
        let deletion = match claim.deletion {
            Deletion::None => "",
            Deletion::Impending => ", about to be deleted by the garbage collector",
            Deletion::Background => ", being deleted",
            Deletion::Foreground => ", being deleted with its pod",
        };
        format!("claim {} ({enrolment}, {binding}{deletion})", claim.name)
    });
    Some(std::iter::once(stands).chain(claims).collect::<Vec<_>>().join("; "))
}

/// The call that was made at this stage about this member.
#[must_use]
pub fn question(stage: &Stage<'_>, member: &str) -> String {
    match stage {
        Stage::Sealed(_) => format!("judge {member}, under the seal"),
        Stage::Draining(_)
        | Stage::Leaving(_)
        | Stage::GivingBack(_)
        | Stage::Condemned(_)
        | Stage::Ended(_) => format!("judge {member}"),
        Stage::Live | Stage::Blocked(_) | Stage::Ripe | Stage::Departing(_) | Stage::Foreign(_) => {
            format!("render {member}")
        }
    }
}

/// What was answered.
#[must_use]
pub fn answer(answer: &Answer, now: TimeMs) -> String {
    let again = |at: TimeMs| format!("ask again in {}", span(at.remaining_ms(now)));
    match answer {
        Answer::Pod(_) => "a drain pod".to_owned(),
        Answer::Wait { reason, percent, ask_again_at, state } => {
            let mut text = format!("wait: {reason}");
            if let Some(percent) = percent {
                text.push_str(&format!("; {percent} % done"));
            }
            if let Some(at) = ask_again_at {
                text.push_str(&format!("; {}", again(*at)));
            }
            if let Some(state) = state {
                text.push_str(&format!("; state {state:?}"));
            }
            text
        }
        Answer::Keep(reason) => format!("keep: {reason}"),
        Answer::Refuse(reason) => format!("refuse: {reason}"),
        Answer::Retry { reason, after_ms, state } => {
            let state = if state.is_empty() { String::new() } else { format!("; state {state:?}") };
            format!("retry: {reason}; after {}{state}", span(*after_ms))
        }
        Answer::Complete(reason) => format!("complete: {reason}"),
        Answer::Cancel(reason) => format!("cancel: {reason}"),
        Answer::Fail(reason) => format!("fail: {reason}"),
        Answer::Rejected { field, mend } => {
            format!("a drain pod that the host may not create: {field}: {mend}")
        }
        Answer::Fault { what, ask_again_at: Some(at) } => format!("{what}; {}", again(*at)),
        Answer::Fault { what, ask_again_at: None } | Answer::Loading(what) => what.clone(),
        Answer::ModuleGone(what) => what.clone(),
    }
}

/// On what proof a claim is deleted.
#[must_use]
pub fn proof(condemned: &Condemned, seat: &Seat) -> String {
    let how = match condemned.propagation() {
        Propagation::Background => "in the background",
        Propagation::Foreground => "in the foreground, with its drain pod",
    };
    let ending = seat.drain().map(|drain| drain.ending.to_string()).unwrap_or_default();
    format!(
        "claim {} may be deleted {how}: its drain pod {} is sealed, {ending}; the claims were read before the pod, and the policy has judged that very reading",
        condemned.name(),
        condemned.pod_uid(),
    )
}
