//! Enrols the claims of an orphan by hand. What lies on them nobody has seen with its member, so a person says that it is this set's.

use kube::ResourceExt;
use tidegate_core::{
    Action, Claim, Reason, Seat, Seen, Settings, Step, TimeMs, name, safety,
    seen::{Enrolment, Holder, Life},
};

use super::{
    hand::{Grounds, Move, Then},
    refusal::{Refusal, settings},
    scene::Case,
    show::age,
};
use crate::objects::SetObject;

/// What an adoption would do.
pub struct Adoption {
    /// The writes.
    pub next: Move,
    /// What it means, for whoever decides.
    pub preview: String,
}

/// What enrolling the claims of this orphan by hand would do. `namespace_uid` is needed where claims are to be anchored.
///
/// # Errors
/// Where they are not to be enrolled, or need not be.
pub fn adopt(case: &Case<'_>, namespace_uid: Option<&str>) -> Result<Adoption, Refusal> {
    let settings = settings(&case.seen.set)?;
    fit(case, settings)?;
    let strangers: Vec<&Claim> =
        case.seat.claims.values().filter(|it| it.enrolment != Enrolment::Here).collect();
    if strangers.is_empty() {
        return Err(Refusal::Enrolled(case.ordinal));
    }
    for claim in &strangers {
        unclaimed(case, claim)?;
    }
    let enrol = |claim: &&Claim| enrol(case.seen, claim, namespace_uid);
    let steps: Vec<Step> = strangers.iter().map(enrol).collect::<Result<_, Refusal>>()?;
    let preview = preview(case, settings, &strangers);
    let then = Then::Done(format!("ordinal {}: {}", case.ordinal, afterwards(case)));
    Ok(Adoption { next: Move { steps, grounds: Grounds::Hand, then }, preview })
}

/// What must hold of an orphan that can be drained, but for its enrolment.
fn fit(case: &Case<'_>, settings: &Settings) -> Result<(), Refusal> {
    let Case { seen, ordinal, seat, .. } = case;
    if seen.set.wants(*ordinal) {
        let mend = "the host enrols its claims by itself while its member runs";
        return Err(Refusal::OrdinalWanted { ordinal: *ordinal, mend });
    }
    match &seat.holder {
        Holder::Nobody => {}
        Holder::Member(member) => return Err(Refusal::MemberThere(member.name.clone())),
        Holder::Drain(drain) => return Err(Refusal::DrainThere(drain.name.clone())),
        Holder::Foreign { why } => {
            return Err(Refusal::Because(Reason::NameHeld { why: why.clone() }));
        }
    }
    if seat.claims.is_empty() {
        return Err(Refusal::NoClaims(*ordinal));
    }
    // A person may enrol now what is to be drained later.
    let passes = |reason: &Reason| {
        let rests = matches!(reason, Reason::Paused | Reason::ScaledToZero | Reason::Held { .. });
        rests || reason.ends_at().is_some()
    };
    let enrolled = enrolled(seat);
    let waits = safety::no_render(&seen.set, settings, *ordinal, &enrolled, case.scene.now);
    let lasts = waits.filter(|reason| !passes(reason));
    // A reason that passes hides what is wrong with the claims.
    match lasts.or_else(|| safety::unfit(&seen.set, &enrolled)) {
        Some(reason) => Err(Refusal::Because(reason)),
        None => Ok(()),
    }
}

/// Nobody else has it, by its label or by its name.
fn unclaimed(case: &Case<'_>, claim: &Claim) -> Result<(), Refusal> {
    if let Enrolment::Elsewhere { uid, lives } = &claim.enrolment
        && *lives != Some(Life::Gone)
    {
        let set = case.scene.set_of(uid).map_or_else(|| uid.clone(), |set| set.name_any());
        return Err(Refusal::OfAnotherSet { claim: claim.name.clone(), set });
    }
    let others = case.scene.sets.iter().filter(|set| set.name_any() != case.seen.set.name);
    match others.into_iter().find(|set| may_name(set, &claim.name)) {
        Some(set) => Err(Refusal::Contested { claim: claim.name.clone(), set: set.name_any() }),
        None => Ok(()),
    }
}

/// Whether one of the set's templates makes claims of that name.
fn may_name(set: &SetObject, claim: &str) -> bool {
    let templates = set.spec.volume_claim_templates.iter();
    let mut names = templates.filter_map(|template| template.metadata.name.as_deref());
    names.any(|template| name::parse_claim(claim, template, &set.name_any()).is_some())
}

fn enrol(seen: &Seen, claim: &Claim, namespace_uid: Option<&str>) -> Result<Step, Refusal> {
    let anchor = if seen.set.lacks_anchor(claim) {
        let missing = || Reason::Unknown { what: "the namespace's UID".to_owned() };
        Some(namespace_uid.ok_or_else(|| Refusal::Because(missing()))?.to_owned())
    } else {
        None
    };
    Ok(Step { action: Action::Enrol { claim: claim.into(), anchor }, change: None })
}

/// The ordinal as it is once its claims are enrolled.
fn enrolled(seat: &Seat) -> Seat {
    let mut seat = seat.clone();
    for claim in seat.claims.values_mut() {
        claim.enrolment = Enrolment::Here;
    }
    seat
}

fn preview(case: &Case<'_>, settings: &Settings, strangers: &[&Claim]) -> String {
    let set = &case.seen.set;
    let mut text = format!(
        "These claims of {} in namespace {} would be enrolled for the set {} (UID {}):\n",
        case.member(),
        set.namespace,
        set.name,
        set.uid
    );
    for claim in strangers {
        text.push_str(&format!("  {}\n", described(case, claim)));
    }
    let config = if settings.config.is_empty() { "(empty)" } else { &settings.config };
    text.push_str(&format!(
        "They would then be drained by this policy, and DELETED WITH THEIR DATA as soon as it says that the drain is complete:\n  policy {}\n  config {config}\n",
        settings.policy
    ));
    text.push_str(&format!("Then: {}.\n", afterwards(case)));
    text
}

fn described(case: &Case<'_>, claim: &Claim) -> String {
    let object = case.scene.claims.get(&claim.name);
    let size = object.and_then(|it| it.status.capacity.get("storage").cloned());
    let volume = object.and_then(|it| it.spec.volume_name.clone());
    let created = object.and_then(ResourceExt::creation_timestamp);
    let created = created.and_then(|at| u64::try_from(at.0.as_millisecond()).ok()).map(TimeMs);
    let made = created.map(|at| format!("made {} ago", age(at, case.scene.now)));
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let before = match &claim.enrolment {
        Enrolment::Here | Enrolment::Nowhere => String::new(),
        Enrolment::Elsewhere { uid, lives: _ } => {
            format!(", enrolled before for a set that is gone (UID {uid})")
        }
    };
    format!(
        "{}: {}, volume {}, {}{before}",
        claim.name,
        or_unknown(size),
        or_unknown(volume),
        or_unknown(made)
    )
}

/// What becomes of the ordinal once its claims are enrolled.
fn afterwards(case: &Case<'_>) -> String {
    let set = &case.seen.set;
    let waits = settings(set).ok().and_then(|settings| {
        safety::no_render(set, settings, case.ordinal, &enrolled(case.seat), case.scene.now)
    });
    match waits {
        Some(reason) => format!("it waits: {reason}"),
        None => "the host asks the policy for a drain pod at once".to_owned(),
    }
}
