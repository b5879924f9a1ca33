//! Tries a drain again at once: what was noted against another attempt is struck out, and a drain pod that got nowhere makes room.

use tidegate_core::{
    Action, Claim, Drain, Ending, Noted, Reason, Record, Settings, Step, safety,
    seen::{Holder, Life},
};

use super::{
    args::Consent,
    hand::{Grounds, Move, Then, reported},
    refusal::{Refusal, settings},
    scene::Case,
};

/// What trying this drain again takes.
///
/// # Errors
/// Where there is nothing to try again, or doing so could lose data.
pub fn retry(case: &Case<'_>, consent: Consent) -> Result<Move, Refusal> {
    let settings = settings(&case.seen.set)?;
    match &case.seat.holder {
        Holder::Member(member) => Err(Refusal::MemberThere(member.name.clone())),
        Holder::Foreign { why } => Err(Refusal::Because(Reason::NameHeld { why: why.clone() })),
        Holder::Nobody => without_pod(case, settings),
        Holder::Drain(drain) => with_pod(case, drain, consent),
    }
}

/// No pod is there: what holds the next one back is struck out. Where nothing does, the claim gets another version, so that the host looks.
fn without_pod(case: &Case<'_>, settings: &Settings) -> Result<Move, Refusal> {
    let Case { seen, ordinal, seat, .. } = case;
    if seen.set.wants(*ordinal) {
        let mend = "its member comes back by itself, and nothing is drained";
        return Err(Refusal::OrdinalWanted { ordinal: *ordinal, mend });
    }
    if seat.claims.is_empty() {
        return Err(Refusal::NoClaims(*ordinal));
    }
    let noted = seat.record_of(&seen.set).filter(|it| it.hold.is_some() || it.not_before.is_some());
    let free = noted.map(|record| Record { hold: None, not_before: None, ..record.clone() });
    let mut freed = (*seat).clone();
    if let Some(record) = &free {
        freed.noted = Noted::Record(record.clone());
    }
    if let Some(reason) = safety::no_render(&seen.set, settings, *ordinal, &freed, case.scene.now) {
        return Err(Refusal::Because(reason));
    }
    let owner = owner(case, seen.set.templates.first())?;
    let attempt = freed.next_attempt(&seen.set);
    let (action, grounds) = match free {
        Some(record) => (Action::Note { claim: owner.into(), record }, Grounds::Plan),
        None => (Action::Fence(owner.into()), Grounds::Hand),
    };
    let then = Then::Done(format!(
        "the host asks the policy for the drain pod of attempt {attempt} at once; a policy that keeps the claims or refuses is asked again when the set, its config or its policy changes"
    ));
    Ok(Move { steps: vec![Step { action, change: None }], grounds, then })
}

fn with_pod(case: &Case<'_>, drain: &Drain, consent: Consent) -> Result<Move, Refusal> {
    let Case { seen, ordinal, seat, .. } = case;
    if drain.sealed {
        return Err(Refusal::Sealed(drain.name.clone()));
    }
    if drain.drained_at.is_some() {
        return Err(Refusal::Because(Reason::Collecting));
    }
    if drain.terminating {
        return Err(Refusal::Because(reported(case).unwrap_or(Reason::PodLeaving)));
    }
    if seen.set.wants(*ordinal) || !seen.set.drains(*ordinal) {
        let mend = "another attempt would let its member back to half-drained volumes; `tidegate release` gives it back as it is";
        return Err(Refusal::OrdinalWanted { ordinal: *ordinal, mend });
    }
    if seen.set.life != Life::Lives && !seen.set.departs() {
        return Err(Refusal::Because(Reason::SetTerminating));
    }
    if let Some(reason) = safety::no_end_of_attempt(&seen.set, seat, drain) {
        return Err(Refusal::Because(reason));
    }
    if drain.ending == Ending::NotEnded && consent == Consent::Missing {
        return Err(Refusal::AtWork(drain.name.clone()));
    }
    if let Some(reason) = safety::not_understood(&seen.set, seat) {
        return Err(Refusal::Because(reason));
    }
    let owner = owner(case, Some(&drain.owner))?;
    let noted = seat.record_of_drain(drain, &seen.set.uid).cloned();
    let attempt = drain.attempt.saturating_add(1);
    let record = Record {
        generation: seen.set.generation,
        attempt,
        not_before: None,
        hold: None,
        ..noted.unwrap_or_else(|| Record::of(&seen.set))
    };
    // Noted first, so that whoever sees the pod go knows which attempt follows and that nothing delays it.
    let steps = [Action::Note { claim: owner.into(), record }, Action::DeletePod(drain.into())];
    let then = Then::Done(format!("attempt {attempt} follows as soon as the pod is gone"));
    let steps = steps.map(|action| Step { action, change: None }).into();
    Ok(Move { steps, grounds: Grounds::Plan, then })
}

fn owner<'a>(case: &Case<'a>, template: Option<&String>) -> Result<&'a Claim, Refusal> {
    let template = template.cloned().unwrap_or_default();
    let claim = case.seat.claims.get(&template);
    claim.ok_or(Refusal::Because(Reason::ClaimMissing { template }))
}
