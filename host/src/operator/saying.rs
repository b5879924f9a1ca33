//! What hosts told about each ordinal, from the events that they left on its set. Events go after an hour unless a cluster keeps them longer.

use std::collections::BTreeMap;

use k8s_openapi::api::events::v1::Event;
use tidegate_core::{Ordinal, Severity, TimeMs, name};

/// What a policy or the host's own memory alone can say of an ordinal: everything else is seen in the cluster.
const UNSEEN: [&str; 12] = [
    "PolicyWaits",
    "PolicyKeeps",
    "PolicyRefuses",
    "PolicyFails",
    "PolicyFault",
    "TemplateRejected",
    "WriteRefused",
    "Delayed",
    "NotProven",
    "InUseAtTheEnd",
    "SealWithdrawn",
    "Unknown",
];

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// When.
    pub at: TimeMs,
    /// Since when nothing else was told of the ordinal.
    pub since: TimeMs,
    /// The word for it.
    pub code: String,
    /// It.
    pub words: String,
    /// How it is to be taken.
    pub severity: Severity,
}

/// What was told last, by the set's UID and the ordinal; none where it was about the set.
#[derive(Debug, Default)]
pub struct Sayings(BTreeMap<(String, Option<Ordinal>), Saying>);

impl Sayings {
    /// What these events tell.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut told: Vec<(String, Option<Ordinal>, Saying)> =
            events.iter().filter_map(read).collect();
        told.sort_by_key(|(_, _, saying)| saying.at);
        let mut last: BTreeMap<(String, Option<Ordinal>), Saying> = BTreeMap::new();
        for (set_uid, ordinal, saying) in told {
            let before = last.get(&(set_uid.clone(), ordinal));
            let same = before.filter(|before| before.code == saying.code);
            let since = same.map_or(saying.since, |before| before.since);
            last.insert((set_uid, ordinal), Saying { since, ..saying });
        }
        Self(last)
    }

    /// What was told last of this ordinal, or of the set.
    #[must_use]
    pub fn last(&self, set_uid: &str, ordinal: Option<Ordinal>) -> Option<&Saying> {
        self.0.get(&(set_uid.to_owned(), ordinal))
    }
}

impl Saying {
    /// Whether the cluster's objects alone could not tell it.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        UNSEEN.contains(&self.code.as_str())
    }

    /// Whether it tells that something stands against the policy or the config of a set.
    #[must_use]
    pub fn is_about_policy(&self) -> bool {
        matches!(self.code.as_str(), "PolicyNotTaken" | "ConfigInvalid")
    }

    /// How much is done, where a waiting policy said so.
    #[must_use]
    pub fn percent(&self) -> Option<u8> {
        let rest = self.words.strip_prefix("the policy waits at ")?;
        rest.split_once(" %: ")?.0.parse().ok()
    }
}

fn read(event: &Event) -> Option<(String, Option<Ordinal>, Saying)> {
    let regarding = event.regarding.as_ref()?;
    if regarding.kind.as_deref() != Some("StatefulSet") {
        return None;
    }
    let (set_uid, set) = (regarding.uid.clone()?, regarding.name.as_deref()?);
    let at = u64::try_from(event.event_time.as_ref()?.0.as_millisecond()).ok().map(TimeMs)?;
    let note = event.note.as_deref().unwrap_or_default();
    let of_ordinal = note
        .split_once(": ")
        .and_then(|(member, words)| Some((name::parse_member(member, set)?, words)));
    let (ordinal, words) = of_ordinal.map_or((None, note), |(it, words)| (Some(it), words));
    let is_warning = event.type_.as_deref() == Some("Warning");
    let saying = Saying {
        at,
        since: at,
        code: event.reason.clone().unwrap_or_default(),
        words: words.to_owned(),
        severity: if is_warning { Severity::Warning } else { Severity::Normal },
    };
    Some((set_uid, ordinal, saying))
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Ending, Reason};

    use super::*;
    use crate::operator::tests::told;

    #[test]
    fn the_last_thing_told_counts_since_the_first_of_its_kind() {
        let waits = |percent| Reason::PolicyWaits { reason: "moving".into(), percent };
        let said = Sayings::of(&[
            told(Some(2), &waits(Some(40)), 30),
            told(Some(2), &Reason::Queued, 10),
            told(Some(2), &waits(None), 20),
            told(Some(1), &Reason::MemberThere, 90),
            told(None, &Reason::Paused, 40),
        ]);
        let last = said.last("uid-web", Some(Ordinal(2))).expect("it was told");
        assert_eq!(
            (last.code.as_str(), last.at, last.since),
            ("PolicyWaits", TimeMs(30), TimeMs(20))
        );
        assert_eq!(
            (last.words.as_str(), last.percent()),
            ("the policy waits at 40 %: moving", Some(40))
        );
        assert_eq!(said.last("uid-web", None).map(|it| it.code.as_str()), Some("Paused"));
        assert_eq!(said.last("another", Some(Ordinal(2))), None);
    }

    #[test]
    fn a_wait_without_a_percentage_has_none() {
        let waits = Reason::PolicyWaits { reason: "at 40 %: no".into(), percent: None };
        let said = Sayings::of(&[told(Some(2), &waits, 1)]);
        assert_eq!(said.last("uid-web", Some(Ordinal(2))).and_then(Saying::percent), None);
    }

    #[test]
    fn what_only_a_host_knows_bears_the_words_of_the_core() {
        let text = String::new;
        let until = TimeMs(0);
        let known = [
            Reason::PolicyWaits { reason: text(), percent: None },
            Reason::PolicyKeeps { reason: text() },
            Reason::PolicyRefuses { reason: text() },
            Reason::PolicyFails { reason: text() },
            Reason::PolicyFault { what: text() },
            Reason::TemplateRejected { field: text(), mend: text() },
            Reason::WriteRefused { what: text() },
            Reason::Delayed { until },
            Reason::NotProven { ending: Ending::NotEnded },
            Reason::InUseAtTheEnd { pods: Vec::new() },
            Reason::SealWithdrawn { until },
            Reason::Unknown { what: text() },
        ];
        assert_eq!(known.each_ref().map(Reason::code), UNSEEN);
    }
}
