//! How a simulation begins and ends, in words, and whether all went well.

use std::fmt::Write as _;

use serde_json::Value;
use tidegate_core::{Claim, Ordinal, Plan, Reason, Seat, Seen, Set, Severity};
use tidegate_miniature::{kind::Kind, object::uid};

use super::{cluster::State, manifest, policy::Placed, stage::Stage, words};
use crate::error::Error;

/// Whether all went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was to be drained is drained, or goes on by itself.
    Fine,
    /// Something is refused, waits for a person, or could not be played.
    Amiss,
}

/// What is simulated.
#[must_use]
pub fn title(set: &Value, placed: &Placed) -> String {
    let metadata = &set["metadata"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let templates = set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let templates: Vec<String> =
        templates.map(|template| word(&template["metadata"]["name"])).collect();
    let claims = if templates.is_empty() { "none".to_owned() } else { templates.join(", ") };
    let mut title = format!(
        "set {}/{}: replicas {}, claim templates {claims}\npolicy {} out of {}, sha256:{}\n",
        word(&metadata["namespace"]),
        word(&metadata["name"]),
        set["spec"]["replicas"].as_u64().unwrap_or(1),
        manifest::policy_of(set).unwrap_or_default(),
        placed.place,
        placed.module.digest(),
    );
    if let Some(note) = &placed.note {
        let _ = writeln!(title, "note: {note}");
    }
    title
}

/// Takes in the ordinals and claims that were not there before.
pub fn learn(known: &mut Seen, now: Seen) {
    for (ordinal, seat) in now.seats {
        let claims = &mut known.seats.entry(ordinal).or_default().claims;
        for (template, claim) in seat.claims {
            claims.entry(template).or_insert(claim);
        }
    }
}

/// Writes down where every ordinal stands at the end that there ever was.
///
/// # Errors
/// Where the set lacks what every set has.
pub fn summary(stage: &Stage, known: Option<&Seen>) -> Result<Outcome, Error> {
    let outlook = stage.outlook()?;
    let mut state = stage.shared().lock();
    let now = state.now();
    let end = End { state: &state, outlook: outlook.as_ref() };
    let mut outcome = if state.journal.is_amiss() { Outcome::Amiss } else { Outcome::Fine };
    let mut lines = Vec::new();
    if outlook.is_none() {
        lines.push("the set is gone".to_owned());
    }
    if let Some(reason) = end.reason(None) {
        outcome = worse(outcome, reason);
        lines.push(format!("the set: {reason}"));
    }
    if let Some(Seen { set, seats, .. }) = known {
        for (ordinal, seat) in seats.iter().rev() {
            if let Some(stands) = end.standing(set, *ordinal, seat) {
                lines.push(format!("{}: {stands}", set.member(*ordinal)));
            }
            if let Some(reason) = end.reason(Some(*ordinal)) {
                outcome = worse(outcome, reason);
            }
            if end.gone(set, seat).iter().any(|it| !end.is_ours(it)) {
                outcome = Outcome::Amiss;
            }
        }
    }
    if let Some(due) = stage.due() {
        lines.push(format!("the host looks again in {}", words::span(due.remaining_ms(now))));
    }
    state.journal.heading("\nat the end");
    for line in lines {
        state.journal.heading(&format!("  {line}"));
    }
    Ok(outcome)
}

/// The cluster at the end, and what the host makes of it where the set is still there.
struct End<'a> {
    state: &'a State,
    outlook: Option<&'a (Seen, Plan)>,
}

impl End<'_> {
    /// Why nothing more is done at this ordinal, or to the set.
    fn reason(&self, ordinal: Option<Ordinal>) -> Option<&Reason> {
        let (_, plan) = self.outlook?;
        let found = plan.reports.iter().find(|report| report.ordinal == ordinal);
        found.map(|report| &report.reason)
    }

    /// The claims of an ordinal that are there no more.
    fn gone<'b>(&self, set: &Set, seat: &'b Seat) -> Vec<&'b Claim> {
        let is_gone = |claim: &&Claim| {
            let found = self.state.get(Kind::Claim, &set.namespace, &claim.name);
            found.is_none_or(|found| uid(&found) != claim.uid)
        };
        seat.claims.values().filter(is_gone).collect()
    }

    /// Whether the host has deleted this claim.
    fn is_ours(&self, claim: &Claim) -> bool {
        self.state.journal.is_condemned(&claim.name)
    }

    /// Where one ordinal stands; nothing of one that was live all the time.
    fn standing(&self, set: &Set, ordinal: Ordinal, seat: &Seat) -> Option<String> {
        let gone = self.gone(set, seat);
        let mut parts = Vec::new();
        if !gone.is_empty() {
            let how = if gone.iter().all(|it| self.is_ours(it)) {
                "drained; deleted:"
            } else {
                "not drained, and gone:"
            };
            let names: Vec<&str> = gone.iter().map(|claim| claim.name.as_str()).collect();
            parts.push(format!("{how} {}", names.join(", ")));
        }
        let is_wanted = self.outlook.is_some_and(|(seen, _)| seen.set.wants(ordinal));
        match (self.reason(Some(ordinal)), is_wanted) {
            (Some(reason), _) => parts.push(reason.to_string()),
            (None, true) if !gone.is_empty() => parts.push("wanted again".to_owned()),
            (None, false) if gone.len() < seat.claims.len() => {
                parts.push("its claims are kept".to_owned());
            }
            (None, _) => {}
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn worse(outcome: Outcome, reason: &Reason) -> Outcome {
    match reason.severity() {
        Severity::Normal => outcome,
        Severity::Warning => Outcome::Amiss,
    }
}
