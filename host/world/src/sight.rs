//! What a host read → what the core decides on, as `host/src/observe.rs` does it for objects of Kubernetes.

use std::collections::BTreeMap;

use tidegate_core::{
    Claim, Drain, Holder, Noted, Ordinal, Record, Seat, Seen, Set, Settings, TimeMs, View, ending,
    ending::{Container, Kind as ContainerKind, PodFacts, State},
    name,
    record::Hold,
    seen::{
        Anchorage, Binding, Cascade, Deletion, Enrolment, Life, Member, Stewardship, WhenScaled,
    },
    settings::{Activity, Lineage, OnSetDeleted, ScaleToZero},
};

use crate::{
    Rules,
    host::{Errand, Memory, Reading},
    objects::{
        self, CLAIMS_MAX, Care, Fate, Kind, Marks, Moment, Note, OnDeleted, Phase, Pod, SetObject,
        Start,
    },
    sabotage::Sabotage,
};

/// When everything happens. What lies ahead lies a little later, what has passed long before.
pub const NOW: TimeMs = TimeMs(1_000_000_000);
/// How far ahead a moment is that is ahead, in milliseconds.
const AHEAD_MS: u64 = 1_000;
/// The set's name.
const SET: &str = "web";
/// The names of the claim templates.
pub const TEMPLATES: [&str; CLAIMS_MAX] = ["data", "log"];
/// The namespace's identity.
pub const NAMESPACE_UID: &str = "ns";
/// Where ordinals start after the start was raised: above every ordinal of the world.
const RAISED_START: u32 = 10;

/// What is seen of the set, or of what a set that is gone left behind; nothing where the errand is about nothing that was read.
#[must_use]
pub fn see(
    rules: &Rules,
    reading: &Reading,
    memory: &Memory,
    errand: Errand,
    view: View,
) -> Option<Seen> {
    let set = match errand {
        Errand::Set => set_of(rules, reading.set.as_ref()?.as_ref()?),
        Errand::LeftBehind(seat) => {
            let (pod, _) = reading.pods.as_ref()?.get(seat)?;
            bygone(pod.as_ref()?.marks()?)
        }
    };
    let eye = Eye { rules, reading, set: &set };
    let mut seats: BTreeMap<Ordinal, Seat> = BTreeMap::new();
    for seat in 0..rules.ordinals {
        let ordinal = ordinal_of(seat);
        let mut place = eye.seat(seat)?;
        let wanted = set.wants(ordinal);
        if place.claims.is_empty() && place.holder == Holder::Nobody && !wanted {
            continue;
        }
        place.freed_by_us =
            place.holder == Holder::Nobody && wanted && memory.held.get(seat) == Some(&true);
        place.orphan_since = (!wanted && !place.claims.is_empty()).then_some(TimeMs(0));
        seats.insert(ordinal, place);
    }
    // As the driver does: the namespace is read where a claim is to be anchored, and never for a glance.
    let mut claims = seats.values().flat_map(|seat| seat.claims.values());
    let anchors = view != View::Cached && claims.any(|claim| set.lacks_anchor(claim));
    let mut set = set;
    set.namespace_uid = anchors.then(|| NAMESPACE_UID.to_owned());
    Some(Seen { view, set, seats })
}

/// The ordinal of a place.
#[must_use]
pub fn ordinal_of(seat: objects::Seat) -> Ordinal {
    Ordinal(u32::try_from(seat).unwrap_or(u32::MAX).saturating_add(1))
}

/// The place of an ordinal.
#[must_use]
pub fn seat_of(ordinal: Ordinal) -> Option<objects::Seat> {
    usize::try_from(ordinal.0.checked_sub(1)?).ok()
}

/// A set's identity as text.
#[must_use]
pub fn set_uid(uid: u8) -> String {
    format!("set-{uid}")
}

/// An object's identity as text. No two objects of one ordinal share it.
#[must_use]
pub fn object_uid(of: &str, uid: u8) -> String {
    format!("{of}-{uid}")
}

/// The number in a text of the two functions above, or in a version.
#[must_use]
pub fn number(text: &str) -> u8 {
    let digits = text.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or_default()
}

fn set_of(rules: &Rules, object: &SetObject) -> Set {
    let activity = match object.care {
        Care::Paused if rules.sabotage != Some(Sabotage::NoPause) => Activity::Paused,
        Care::Paused | Care::Ours | Care::NotOurs => Activity::Active,
    };
    let settings = Settings {
        policy: "library:world".to_owned(),
        config: String::new(),
        grant: String::new(),
        lineage: Lineage::Named,
        scale_to_zero: ScaleToZero::Keep,
        on_set_deleted: match object.on_deleted {
            OnDeleted::AsTheSet => OnSetDeleted::AsTheSet,
            OnDeleted::Drain => OnSetDeleted::Drain,
        },
        max_parallel: rules.max_parallel,
        delay_ms: 0,
        activity,
    };
    Set {
        uid: set_uid(object.uid),
        generation: u64::from(object.generation),
        start: match object.start {
            Start::Zero => 0,
            Start::Above => RAISED_START,
        },
        // Ordinal 0 is wanted too.
        replicas: u32::from(object.replicas).saturating_add(1),
        when_scaled: match object.when_scaled {
            Fate::Retain => WhenScaled::Retain,
            Fate::Delete => WhenScaled::Delete,
        },
        stewardship: match object.care {
            Care::Ours | Care::Paused => Stewardship::Ours(settings),
            Care::NotOurs => Stewardship::NotOurs,
        },
        resource_version: object.version.to_string(),
        held: object.held,
        life: if object.going.is_some() { Life::Terminating } else { Life::Lives },
        cascade: match object.going {
            None | Some(objects::Cascade::Background) => Cascade::Background,
            Some(objects::Cascade::Foreground) => Cascade::Foreground,
            Some(objects::Cascade::Orphan) => Cascade::Orphan,
        },
        ..any_set(rules.claims)
    }
}

/// A set that is gone, as far as a drain pod's marks tell.
fn bygone(marks: &Marks) -> Set {
    Set {
        uid: set_uid(marks.set),
        generation: u64::from(marks.generation),
        replicas: 0,
        life: Life::Gone,
        stewardship: Stewardship::NotOurs,
        ..any_set(marks.claims.iter().flatten().count())
    }
}

fn any_set(claims: usize) -> Set {
    Set {
        namespace: "default".to_owned(),
        name: SET.to_owned(),
        uid: String::new(),
        generation: 0,
        start: 0,
        replicas: 0,
        templates: TEMPLATES.iter().take(claims).map(|name| (*name).to_owned()).collect(),
        when_scaled: WhenScaled::Retain,
        namespace_uid: None,
        resource_version: String::new(),
        cascade: Cascade::Background,
        held: false,
        life: Life::Lives,
        stewardship: Stewardship::NotOurs,
    }
}

struct Eye<'a> {
    rules: &'a Rules,
    reading: &'a Reading,
    set: &'a Set,
}

impl Eye<'_> {
    fn seat(&self, seat: objects::Seat) -> Option<Seat> {
        let ordinal = ordinal_of(seat);
        let claims = self.reading.claims.as_ref()?.get(seat)?;
        let (pod, stranger) = self.reading.pods.as_ref()?.get(seat)?;
        let held = pod
            .as_ref()
            .is_some_and(|pod| pod.marks().is_some() && !pod.sealed && pod.drained.is_none());
        let mut seen = BTreeMap::new();
        for (template, claim) in claims.iter().enumerate().take(self.rules.claims) {
            if let (Some(claim), Some(name)) = (claim, TEMPLATES.get(template)) {
                let mut claim = self.claim(name, claim, ordinal, pod.as_ref());
                if self.rules.sabotage == Some(Sabotage::NoLastCopy) && held {
                    claim.deletion = Deletion::None;
                }
                seen.insert((*name).to_owned(), claim);
            }
        }
        let record = claims.first().and_then(|claim| claim.as_ref()?.record.as_ref());
        let users = *stranger && self.rules.sabotage != Some(Sabotage::NoOtherUsers);
        Some(Seat {
            holder: self.holder(pod.as_ref(), ordinal, claims),
            claims: seen,
            other_users: users.then(|| "stranger".to_owned()).into_iter().collect(),
            noted: record.map_or(Noted::Nothing, |note| Noted::Record(self.record(note))),
            orphan_since: None,
            freed_by_us: false,
            kept: None,
        })
    }

    fn claim(
        &self,
        template: &str,
        claim: &objects::Claim,
        ordinal: Ordinal,
        pod: Option<&Pod>,
    ) -> Claim {
        let enrolment = match claim.enrolled.map(set_uid) {
            _ if self.rules.sabotage == Some(Sabotage::NoEnrolment) => Enrolment::Here,
            None => Enrolment::Nowhere,
            Some(uid) if uid == self.set.uid => Enrolment::Here,
            Some(uid) => Enrolment::Elsewhere { uid, lives: Some(Life::Gone) },
        };
        let set_goes = self.set.life != Life::Lives
            && !self.set.departs()
            && claim.owner_set.is_some_and(|owner| set_uid(owner) == self.set.uid);
        let pod_gone = claim.owner_pod.is_some_and(|owner| pod.is_none_or(|pod| pod.uid != owner));
        Claim {
            name: name::claim(template, SET, ordinal),
            uid: object_uid(template, claim.uid),
            resource_version: claim.version.to_string(),
            enrolment,
            binding: Binding::Bound,
            deletion: match claim.deletion {
                objects::Deletion::None if !claim.anchored && (set_goes || pod_gone) => {
                    Deletion::Impending
                }
                objects::Deletion::None => Deletion::None,
                objects::Deletion::Background => Deletion::Background,
                objects::Deletion::Foreground => Deletion::Foreground,
            },
            deleted_at: claim.is_terminating().then_some(TimeMs(0)),
            anchorage: if claim.anchored { Anchorage::Anchored } else { Anchorage::Loose },
        }
    }

    fn record(&self, note: &Note) -> Record {
        let settings = match &self.set.stewardship {
            Stewardship::Ours(settings) => settings.fingerprint(),
            Stewardship::NotOurs | Stewardship::Unreadable { .. } => 0,
        };
        Record {
            set_uid: set_uid(note.set),
            generation: u64::from(note.generation),
            attempt: u32::from(note.attempt),
            not_before: note.not_before.map(time_of),
            state_at: None,
            state: String::new(),
            hold: note.hold.then(|| Hold { why: "held".to_owned(), settings }),
        }
    }

    fn holder(
        &self,
        pod: Option<&Pod>,
        ordinal: Ordinal,
        claims: &[Option<objects::Claim>],
    ) -> Holder {
        let Some(pod) = pod else {
            return Holder::Nobody;
        };
        let marks = match &pod.kind {
            Kind::Member { set } if set_uid(*set) == self.set.uid => {
                return Holder::Member(Member {
                    name: name::member(SET, ordinal),
                    uid: object_uid("pod", pod.uid),
                    resource_version: pod.version.to_string(),
                    terminating: pod.terminating,
                    mounts: self.set.templates.clone(),
                });
            }
            Kind::Member { .. } => return Holder::Foreign { why: "no marks".to_owned() },
            Kind::Drain(marks) => marks,
        };
        if set_uid(marks.set) != self.set.uid {
            return Holder::Foreign { why: "its marks name another set".to_owned() };
        }
        let mut mounted = BTreeMap::new();
        for ((marked, claim), template) in marks.claims.iter().zip(claims).zip(TEMPLATES) {
            let Some(marked) = marked else {
                continue;
            };
            if claim.as_ref().is_some_and(|claim| claim.uid != *marked) && !pod.sealed {
                return Holder::Foreign { why: "a claim is another".to_owned() };
            }
            mounted.insert(template.to_owned(), object_uid(template, *marked));
        }
        Holder::Drain(Box::new(self.drain(pod, marks, mounted, ordinal)))
    }

    fn drain(
        &self,
        pod: &Pod,
        marks: &Marks,
        claims: BTreeMap<String, String>,
        ordinal: Ordinal,
    ) -> Drain {
        Drain {
            name: name::member(SET, ordinal),
            uid: object_uid("pod", pod.uid),
            resource_version: pod.version.to_string(),
            attempt: u32::from(marks.attempt),
            generation: u64::from(marks.generation),
            claims,
            owner: TEMPLATES[0].to_owned(),
            placed: pod.phase != Phase::Unscheduled,
            ending: ending::ending(&facts(pod, self.rules)),
            terminating: pod.terminating,
            sealed: pod.sealed,
            giving_back: pod.given_back,
            stray_seal: false,
            held_by: Vec::new(),
            drained_at: pod.drained.map(|moment| match moment {
                Moment::Ahead => NOW,
                Moment::Passed => TimeMs(0),
            }),
        }
    }
}

fn facts(pod: &Pod, rules: &Rules) -> PodFacts {
    let marked = rules.sabotage != Some(Sabotage::PhaseAlone);
    let (phase, state) = match pod.phase {
        Phase::Unscheduled => (ending::Phase::Pending, State::Waiting),
        Phase::Running => (ending::Phase::Running, State::Running),
        Phase::Succeeded => (ending::Phase::Succeeded, State::Exited(0)),
        Phase::Failed => (ending::Phase::Failed, State::Exited(1)),
    };
    PodFacts {
        phase,
        reason: String::new(),
        message: String::new(),
        terminating: pod.terminating && marked,
        sealed: pod.sealed,
        disruption: (pod.disrupted && marked).then(|| "EvictionByEvictionAPI".to_owned()),
        containers: vec![Container {
            name: "drain".to_owned(),
            kind: ContainerKind::Main,
            rendered: true,
            state,
        }],
    }
}

/// When a moment is.
#[must_use]
pub fn time_of(moment: Moment) -> TimeMs {
    match moment {
        Moment::Ahead => NOW.after_ms(AHEAD_MS),
        Moment::Passed => TimeMs(0),
    }
}

/// Which moment a time is.
#[must_use]
pub fn moment_of(time: TimeMs) -> Moment {
    if time > NOW { Moment::Ahead } else { Moment::Passed }
}
