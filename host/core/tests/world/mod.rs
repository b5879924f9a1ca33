//! The smallest world that the tests of this crate begin with: a set `web` of ours, and what may be seen at an ordinal of it.

use std::collections::BTreeMap;

use tidegate_core::{
    Claim, Drain, Ending, Ordinal, Seen, Set, Settings, TimeMs, View, name,
    seen::{
        Anchorage, Binding, Cascade, Deletion, Enrolment, Life, Member, Stewardship, WhenScaled,
    },
    settings::{Activity, Lineage, OnSetDeleted, ScaleToZero},
};

/// When everything happens unless a test says otherwise.
pub(crate) const NOW: TimeMs = TimeMs(100_000);

/// A set of ours with two replicas, seen live and in order, with nothing at any ordinal.
pub(crate) fn seen() -> Seen {
    Seen {
        view: View::LiveInOrder,
        set: Set {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            uid: "set-1".to_owned(),
            resource_version: "1".to_owned(),
            generation: 1,
            start: 0,
            replicas: 2,
            templates: vec!["data".to_owned()],
            when_scaled: WhenScaled::Retain,
            namespace_uid: None,
            life: Life::Lives,
            cascade: Cascade::Background,
            held: false,
            stewardship: Stewardship::Ours(settings()),
        },
        seats: BTreeMap::new(),
    }
}

/// Settings with nothing but a policy, for a set that may drain all its ordinals at once.
pub(crate) fn settings() -> Settings {
    Settings {
        policy: "library:exec".to_owned(),
        config: String::new(),
        grant: String::new(),
        lineage: Lineage::Named,
        scale_to_zero: ScaleToZero::Keep,
        on_set_deleted: OnSetDeleted::AsTheSet,
        max_parallel: u32::MAX,
        delay_ms: 0,
        activity: Activity::Active,
    }
}

/// A claim that may be drained. Its UID says its template and ordinal, so that a plan can be read without looking back.
pub(crate) fn claim(template: &str, ordinal: Ordinal) -> Claim {
    Claim {
        name: name::claim(template, "web", ordinal),
        uid: uid(template, ordinal),
        resource_version: "1".to_owned(),
        enrolment: Enrolment::Here,
        binding: Binding::Bound,
        deletion: Deletion::None,
        deleted_at: None,
        anchorage: Anchorage::Loose,
    }
}

#[allow(dead_code, reason = "not every test has a member")]
/// The member of an ordinal with these templates' claims mounted.
pub(crate) fn member(templates: &[&str], ordinal: Ordinal) -> Member {
    Member {
        name: name::member("web", ordinal),
        uid: format!("pod-{ordinal}"),
        resource_version: "1".to_owned(),
        terminating: false,
        mounts: templates.iter().map(|template| (*template).to_owned()).collect(),
    }
}

/// A running drain pod of the first attempt with these claims, the first of which owns it.
pub(crate) fn drain(templates: &[&str], ordinal: Ordinal) -> Drain {
    Drain {
        name: name::member("web", ordinal),
        uid: format!("pod-{ordinal}"),
        resource_version: "1".to_owned(),
        attempt: 1,
        generation: 1,
        claims: templates
            .iter()
            .map(|template| ((*template).to_owned(), uid(template, ordinal)))
            .collect(),
        owner: templates.first().copied().unwrap_or_default().to_owned(),
        placed: true,
        ending: Ending::NotEnded,
        terminating: false,
        sealed: false,
        giving_back: false,
        held_by: vec![],
        stray_seal: false,
        drained_at: None,
    }
}

fn uid(template: &str, ordinal: Ordinal) -> String {
    format!("{template}-{ordinal}")
}
