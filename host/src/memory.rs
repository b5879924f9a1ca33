//! What the host remembers between passes. Losing it costs a touch or an event said twice, never a decision that could lose data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidegate_core::{
    Action, Ordinal, Seat, Seen, Set, Settings, TimeMs, backoff,
    seen::{Anchorage, Enrolment, Holder, Stewardship},
};

use crate::cluster::Effect;

/// How many things that were said about one set are remembered, so that they are not said again. A set has a few reasons an ordinal; one that
/// has more says some of them twice.
const SAID_MAX: usize = 256;
/// The longest delay after a fault of a policy and after a pass that failed, in milliseconds. Most are mended by a person, who creates a ConfigMap
/// or raises a quota and then watches: half a minute is what such a person bears, and one request in that time is what the API server does.
const FAULT_LONGEST_MS: u64 = 30_000;
/// How many sets that are gone are remembered before they are looked for: looking costs a pass over all sets.
const GONE_MAX: usize = 64;

/// The code of [`tidegate_core::Reason::WriteRefused`].
const REFUSED: &str = "WriteRefused";

/// How many conflicts in a row are taken for somebody who changes the same object at the same time. What answers a conflict more often than
/// that, such as an admission webhook, will go on doing so.
const CONFLICTS_MAX: u32 = 5;

/// What is remembered, by the set's UID.
#[derive(Debug)]
pub struct Memory {
    sets: Mutex<BTreeMap<String, SetMemory>>,
    effect: Effect,
}

#[derive(Debug, Default)]
struct SetMemory {
    held: BTreeSet<Ordinal>,
    orphan_since: BTreeMap<Ordinal, TimeMs>,
    faults: BTreeMap<Ordinal, u32>,
    kept: BTreeMap<Ordinal, Kept>,
    conflicts: u32,
    failures: u32,
    failed_until: TimeMs,
    said: BTreeMap<(Option<Ordinal>, &'static str), String>,
    /// Whether it was told that the policy is not taken into use, and not yet that it is.
    policy_troubled: bool,
    /// The claims, by UID, that a dry run would have enrolled.
    would_be_enrolled: BTreeSet<String>,
}

/// That the policy keeps the claims of an ordinal, and what that holds for.
#[derive(Debug)]
struct Kept {
    generation: u64,
    settings: u64,
    why: String,
}

impl Kept {
    /// Whether the policy was asked about the set as it is now.
    fn is_of(&self, generation: u64, settings: &Settings) -> bool {
        self.generation == generation && self.settings == settings.fingerprint()
    }
}

/// Whether a host that sees a set for the first time was already there when the set was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// The set is younger than the host, so the host has seen all of it.
    FromTheStart,
    /// The set is older: a host before this one may have freed a name and died before it touched the set.
    Late,
}

impl Acquaintance {
    /// With a set that was created in that second since 1970, of a host that started at that time. Kubernetes dates objects in whole seconds;
    /// no host frees a name and dies in the very second in which its set is made.
    #[must_use]
    pub fn of(created_secs: Option<i64>, started: TimeMs) -> Self {
        let started_secs = i64::try_from(started.0 / 1_000).unwrap_or(i64::MAX);
        match created_secs {
            Some(created) if created >= started_secs => Self::FromTheStart,
            Some(_) | None => Self::Late,
        }
    }
}

impl Memory {
    /// Nothing remembered. A dry run remembers besides what it would have enrolled, so that it can say what would come of that.
    #[must_use]
    pub const fn new(effect: Effect) -> Self {
        Self { sets: Mutex::new(BTreeMap::new()), effect }
    }

    /// Adds what is remembered to what is seen, and remembers what is seen.
    pub fn complete(&self, seen: &mut Seen, acquaintance: Acquaintance, now: TimeMs) {
        let mut sets = self.sets();
        let first = !sets.contains_key(&seen.set.uid);
        let memory = sets.entry(seen.set.uid.clone()).or_default();
        let ours = matches!(seen.set.stewardship, Stewardship::Ours(_));
        memory.orphan_since.retain(|ordinal, _| seen.seats.contains_key(ordinal));
        memory.faults.retain(|ordinal, _| seen.seats.contains_key(ordinal));
        memory.kept.retain(|ordinal, _| seen.seats.contains_key(ordinal));
        memory.enrol(seen);
        memory.keep(seen);
        for (ordinal, seat) in &mut seen.seats {
            let wanted = seen.set.wants(*ordinal);
            match &seat.holder {
                // A foreign pod may be the drain pod of a set that is gone, whose name this one bears: to its controller it is the same.
                Holder::Drain(_) | Holder::Foreign { .. } => {
                    memory.held.insert(*ordinal);
                }
                Holder::Member(_) => {
                    memory.held.remove(ordinal);
                }
                Holder::Nobody if !wanted => {
                    memory.held.remove(ordinal);
                }
                Holder::Nobody if ours && first && acquaintance == Acquaintance::Late => {
                    memory.held.insert(*ordinal);
                }
                Holder::Nobody => {}
            }
            seat.freed_by_us = seat.holder == Holder::Nobody && memory.held.contains(ordinal);
            // An ordinal whose member is still there is no orphan yet, however long that takes to end.
            let is_held = matches!(seat.holder, Holder::Member(_));
            if wanted || is_held || seat.claims.is_empty() {
                memory.orphan_since.remove(ordinal);
            } else {
                seat.orphan_since = Some(*memory.orphan_since.entry(*ordinal).or_insert(now));
            }
        }
    }

    /// That this was done: a set that was touched need not be touched again for the names that were free by then.
    pub fn done(&self, seen: &Seen, action: &Action) {
        let mut sets = self.sets();
        let Some(memory) = sets.get_mut(&seen.set.uid) else {
            return;
        };
        match action {
            Action::Touch => {
                // A controller that is woken while a claim still goes backs off at once, so that this name is touched for again.
                let is_free =
                    |seat: &Seat| seat.holder == Holder::Nobody && !seat.has_leaving_claim();
                memory.held.retain(|ordinal| !seen.seats.get(ordinal).is_none_or(is_free));
            }
            Action::Enrol { claim, anchor: _ } if self.effect == Effect::DryRun => {
                memory.would_be_enrolled.insert(claim.uid.clone());
            }
            Action::Enrol { .. }
            | Action::Note { .. }
            | Action::CreatePod { .. }
            | Action::Seal(_)
            | Action::DeleteClaim(_)
            | Action::GiveBack(_)
            | Action::Fence(_)
            | Action::Unseal { .. }
            | Action::DeletePod(_)
            | Action::DeleteMember(_)
            | Action::Hold(_)
            | Action::LetGo(_) => {}
        }
    }

    /// When to ask again after a fault of the policy at this ordinal: later with every fault in a row.
    pub fn after_fault(&self, set_uid: &str, ordinal: Ordinal, now: TimeMs) -> TimeMs {
        let mut sets = self.sets();
        let faults = sets.entry(set_uid.to_owned()).or_default().faults.entry(ordinal).or_default();
        *faults = faults.saturating_add(1);
        now.after_ms(backoff::delay_ms(*faults).min(FAULT_LONGEST_MS))
    }

    /// That the policy answered at this ordinal.
    pub fn answered(&self, set_uid: &str, ordinal: Ordinal) {
        if let Some(memory) = self.sets().get_mut(set_uid) {
            memory.faults.remove(&ordinal);
        }
    }

    /// That the policy keeps the claims of this ordinal, so that it is not asked again while set, config and policy stay the same.
    pub fn keeps(&self, set: &Set, ordinal: Ordinal, settings: &Settings, why: &str) {
        if let Some(memory) = self.sets().get_mut(&set.uid) {
            let (generation, settings) = (set.generation, settings.fingerprint());
            memory.kept.insert(ordinal, Kept { generation, settings, why: why.to_owned() });
        }
    }

    /// Whether it is remembered that the policy keeps the claims of this ordinal, as the set is now.
    pub fn is_kept(&self, seen: &Seen, ordinal: Ordinal) -> bool {
        let Stewardship::Ours(settings) = &seen.set.stewardship else {
            return false;
        };
        let sets = self.sets();
        let kept = sets.get(&seen.set.uid).and_then(|memory| memory.kept.get(&ordinal));
        kept.is_some_and(|kept| kept.is_of(seen.set.generation, settings))
    }

    /// Whether this conflict is still one of a few in a row, after which looking again at once is right.
    pub fn is_passing_conflict(&self, set_uid: &str) -> bool {
        let mut sets = self.sets();
        let memory = sets.entry(set_uid.to_owned()).or_default();
        memory.conflicts = memory.conflicts.saturating_add(1);
        memory.conflicts <= CONFLICTS_MAX
    }

    /// Whether so many conflicts came in a row that somebody should know.
    pub fn has_lasting_conflict(&self, set_uid: &str) -> bool {
        self.sets().get(set_uid).is_some_and(|memory| memory.conflicts >= CONFLICTS_MAX)
    }

    /// How many milliseconds to wait after this failure of a pass. It is one more in a row only where the delay before it has passed: changes
    /// of the set wake it earlier, and must not make the delay grow.
    pub fn after_failure(&self, set_uid: &str, now: TimeMs) -> u64 {
        let mut sets = self.sets();
        let memory = sets.entry(set_uid.to_owned()).or_default();
        if memory.failed_until <= now {
            memory.failures = memory.failures.saturating_add(1);
            let delay_ms = backoff::delay_ms(memory.failures).min(FAULT_LONGEST_MS);
            memory.failed_until = now.after_ms(delay_ms);
        }
        memory.failed_until.remaining_ms(now).max(1)
    }

    /// That a pass went through.
    pub fn went_through(&self, set_uid: &str) {
        if let Some(memory) = self.sets().get_mut(set_uid) {
            memory.conflicts = 0;
            memory.failures = 0;
            memory.failed_until = TimeMs(0);
            memory.said.retain(|key, _| key.1 != REFUSED);
        }
    }

    /// That something stands against the set's policy or config, which is told.
    pub fn policy_troubles(&self, set_uid: &str) {
        self.sets().entry(set_uid.to_owned()).or_default().policy_troubled = true;
    }

    /// Whether it was told that something stands against them, and not yet that nothing does.
    pub fn has_policy_troubled(&self, set_uid: &str) -> bool {
        self.sets().get(set_uid).is_some_and(|memory| memory.policy_troubled)
    }

    /// That nothing stands against them any more, which is told.
    pub fn policy_is_taken(&self, set_uid: &str) {
        if let Some(memory) = self.sets().get_mut(set_uid) {
            memory.policy_troubled = false;
        }
    }

    /// Whether this was not the last thing said under this code about this ordinal.
    pub fn is_news(
        &self,
        set_uid: &str,
        ordinal: Option<Ordinal>,
        code: &'static str,
        note: &str,
    ) -> bool {
        let mut sets = self.sets();
        let said = &mut sets.entry(set_uid.to_owned()).or_default().said;
        let before = said.insert((ordinal, code), note.to_owned());
        if said.len() > SAID_MAX {
            said.pop_first();
        }
        before.as_deref() != Some(note)
    }

    /// That something could not be told after all.
    pub fn was_not_told(&self, set_uid: &str, ordinal: Option<Ordinal>, code: &'static str) {
        if let Some(memory) = self.sets().get_mut(set_uid) {
            memory.said.remove(&(ordinal, code));
        }
    }

    /// Forgets what was said under other codes about this ordinal, so that it is said again when it comes back.
    pub fn only_still_true(
        &self,
        set_uid: &str,
        still: &BTreeSet<(Option<Ordinal>, &'static str)>,
    ) {
        if let Some(memory) = self.sets().get_mut(set_uid) {
            // What was refused is told where it happens, and is over when a pass goes through.
            memory.said.retain(|key, _| still.contains(key) || key.1 == REFUSED);
        }
    }

    /// Forgets the sets that are gone, once they are more than those that live. `living` is their number.
    pub fn forget_gone(&self, living: usize, lives: impl Fn(&str) -> bool) {
        let mut sets = self.sets();
        if sets.len() > living.saturating_mul(2).saturating_add(GONE_MAX) {
            sets.retain(|uid, _| lives(uid));
        }
    }

    /// A thread that panicked while it held the lock left plain data behind.
    fn sets(&self) -> MutexGuard<'_, BTreeMap<String, SetMemory>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SetMemory {
    fn keep(&self, seen: &mut Seen) {
        let Stewardship::Ours(settings) = &seen.set.stewardship else {
            return;
        };
        for (ordinal, kept) in &self.kept {
            let still = kept.is_of(seen.set.generation, settings);
            if let (true, Some(seat)) = (still, seen.seats.get_mut(ordinal)) {
                seat.kept = Some(kept.why.clone());
            }
        }
    }

    /// Shows the claims that a dry run would have enrolled as enrolled.
    fn enrol(&mut self, seen: &mut Seen) {
        if self.would_be_enrolled.is_empty() {
            return;
        }
        let mut still = BTreeSet::new();
        for claim in seen.seats.values_mut().flat_map(|seat| seat.claims.values_mut()) {
            if self.would_be_enrolled.contains(&claim.uid) {
                claim.enrolment = Enrolment::Here;
                claim.anchorage = Anchorage::Anchored;
                still.insert(claim.uid.clone());
            }
        }
        self.would_be_enrolled = still;
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{
        Claim, View,
        seen::{Binding, Cascade, Deletion, Life, Member, WhenScaled},
        settings::{self, PodManagement},
    };

    use super::*;

    fn seen(annotations: &[(&str, &str)]) -> Seen {
        let annotations =
            annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let set = Set {
            namespace: "ns".into(),
            name: "web".into(),
            uid: "uid".into(),
            generation: 1,
            start: 0,
            replicas: 2,
            templates: vec!["data".into()],
            when_scaled: WhenScaled::Retain,
            namespace_uid: None,
            resource_version: "1".into(),
            cascade: Cascade::Background,
            held: false,
            life: Life::Lives,
            stewardship: settings::parse(&annotations, PodManagement::OrderedReady),
        };
        let seats = [0, 1].map(|number| (Ordinal(number), Seat::default())).into();
        Seen { view: View::Cached, set, seats }
    }

    fn freed(memory: &Memory, mut seen: Seen, acquaintance: Acquaintance) -> usize {
        memory.complete(&mut seen, acquaintance, TimeMs(0));
        seen.seats.values().filter(|seat| seat.freed_by_us).count()
    }

    #[test]
    fn a_host_that_comes_late_wakes_the_controllers_of_its_own_sets_once() {
        let memory = Memory::new(Effect::Real);
        let ours = || seen(&[(settings::POLICY, "library:exec")]);
        assert_eq!(freed(&memory, ours(), Acquaintance::Late), 2);
        memory.done(&ours(), &Action::Touch);
        assert_eq!(freed(&memory, ours(), Acquaintance::Late), 0);
    }

    #[test]
    fn a_set_made_in_the_second_of_the_start_is_known_from_the_start() {
        let started = TimeMs(70_900);
        assert_eq!(Acquaintance::of(Some(70), started), Acquaintance::FromTheStart);
        assert_eq!(Acquaintance::of(Some(69), started), Acquaintance::Late);
        assert_eq!(Acquaintance::of(None, started), Acquaintance::Late);
    }

    fn claim() -> Claim {
        Claim {
            name: "data-web-2".into(),
            uid: "claim".into(),
            resource_version: "1".into(),
            enrolment: Enrolment::Here,
            binding: Binding::Bound,
            deletion: Deletion::None,
            deleted_at: None,
            anchorage: Anchorage::Loose,
        }
    }

    #[test]
    fn an_ordinal_is_no_orphan_while_its_member_takes_its_time_to_end() {
        let memory = Memory::new(Effect::Real);
        let member = Member {
            name: "web-2".into(),
            uid: "member".into(),
            resource_version: "1".into(),
            terminating: true,
            mounts: vec!["data".into()],
        };
        let since = |holder: Holder, at: u64| {
            let mut seen = seen(&[(settings::POLICY, "library:exec")]);
            let claims = [("data".to_owned(), claim())].into();
            seen.seats.insert(Ordinal(2), Seat { claims, holder, ..Seat::default() });
            memory.complete(&mut seen, Acquaintance::FromTheStart, TimeMs(at));
            seen.seats.get(&Ordinal(2)).and_then(|seat| seat.orphan_since)
        };
        assert_eq!(since(Holder::Member(member), 1_000), None);
        assert_eq!(since(Holder::Nobody, 2_000), Some(TimeMs(2_000)));
        assert_eq!(since(Holder::Nobody, 3_000), Some(TimeMs(2_000)));
    }

    #[test]
    fn being_woken_early_does_not_make_the_delay_grow() {
        let memory = Memory::new(Effect::Real);
        assert_eq!(memory.after_failure("uid", TimeMs(10_000)), 1_000);
        assert_eq!(memory.after_failure("uid", TimeMs(10_400)), 600);
        assert_eq!(memory.after_failure("uid", TimeMs(11_000)), 2_000);
        memory.went_through("uid");
        assert_eq!(memory.after_failure("uid", TimeMs(11_001)), 1_000);
    }

    #[test]
    fn what_is_kept_is_asked_again_when_the_set_or_its_settings_change() {
        let memory = Memory::new(Effect::Real);
        let kept = |annotations: &[(&str, &str)], generation| {
            let mut seen = seen(annotations);
            seen.set.generation = generation;
            memory.complete(&mut seen, Acquaintance::FromTheStart, TimeMs(0));
            seen.seats[&Ordinal(1)].kept.clone()
        };
        let named = [(settings::POLICY, "library:keep")];
        assert_eq!(kept(&named, 1), None);
        let before = seen(&named);
        let Stewardship::Ours(settings) = &before.set.stewardship else {
            panic!("a set with a policy is ours");
        };
        memory.keeps(&before.set, Ordinal(1), settings, "enough");
        assert_eq!(kept(&named, 1).as_deref(), Some("enough"));
        assert_eq!(kept(&named, 2), None);
        assert_eq!(kept(&[(settings::POLICY, "library:exec")], 1), None);
        assert_eq!(kept(&[], 1), None);
    }

    #[test]
    fn that_a_policy_is_taken_is_news_only_after_something_stood_against_it() {
        let memory = Memory::new(Effect::Real);
        assert!(!memory.has_policy_troubled("uid"));
        memory.policy_troubles("uid");
        assert!(memory.has_policy_troubled("uid"));
        memory.policy_is_taken("uid");
        assert!(!memory.has_policy_troubled("uid"));
    }

    #[test]
    fn a_conflict_passes_a_few_times() {
        let memory = Memory::new(Effect::Real);
        assert!((0..CONFLICTS_MAX).all(|_| memory.is_passing_conflict("uid")));
        assert!(!memory.is_passing_conflict("uid"));
        memory.went_through("uid");
        assert!(memory.is_passing_conflict("uid"));
    }

    #[test]
    fn a_name_that_a_drain_pod_of_a_former_set_held_wakes_the_controller() {
        let memory = Memory::new(Effect::Real);
        let ours = || seen(&[(settings::POLICY, "library:exec")]);
        let mut held = ours();
        let seat = held.seats.get_mut(&Ordinal(1)).expect("the set has it");
        seat.holder = Holder::Foreign { why: "its marks name another set".to_owned() };
        memory.complete(&mut held, Acquaintance::FromTheStart, TimeMs(0));
        assert_eq!(freed(&memory, ours(), Acquaintance::FromTheStart), 1);
    }

    #[test]
    fn sets_of_others_and_sets_seen_from_the_start_are_not_woken() {
        assert_eq!(freed(&Memory::new(Effect::Real), seen(&[]), Acquaintance::Late), 0);
        let ours = seen(&[(settings::POLICY, "library:exec")]);
        assert_eq!(freed(&Memory::new(Effect::Real), ours, Acquaintance::FromTheStart), 0);
    }
}
