//! What happens in one namespace, drawn from a seed: a set, and what people do to it and what befalls its pods.

use std::fmt;

use super::dice::Dice;

/// What a seed is drawn for, so that two uses of one seed have nothing to do with each other.
const PURPOSE: u64 = 1;

/// The name of every set.
pub(super) const SET: &str = "web";

/// The templates of claims; a set has the first, or both.
pub(super) const TEMPLATES: [&str; 2] = ["data", "log"];

/// How many members a set ever has: each costs some thirty writes, and what two do four do no otherwise.
const MEMBERS_MAX: u64 = 4;

/// How many moves a schedule has.
const MOVES: (u64, u64) = (5, 16);

/// The longest pause before a move, in milliseconds: about what a drain takes from the scale-down to its end.
const PAUSE_MAX_MS: u64 = 500;

/// How many drains of a schedule end otherwise than well: each one doubles the wait before the next.
const FAILURES_MAX: u32 = 3;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// What it was drawn from.
    pub(super) seed: u64,
    /// The set at first.
    pub(super) setup: Setup,
    /// What happens, each after a pause in milliseconds.
    pub(super) moves: Vec<(u64, Deed)>,
    /// Whether a set that is gone at the end is made again.
    pub(super) is_remade: bool,
}

/// How the set is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) replicas: u32,
    pub(super) claims: usize,
    pub(super) is_parallel: bool,
    pub(super) when_scaled_deletes: bool,
    pub(super) when_deleted_deletes: bool,
    /// The annotation `on-set-deleted`.
    pub(super) on_set_deleted: Option<&'static str>,
    pub(super) drains_to_zero: bool,
    pub(super) max_parallel: Option<u32>,
    pub(super) policy: Policy,
    /// What a pod does on SIGTERM.
    pub(super) on_term: OnTerm,
    /// Whether the moves wait until every member runs.
    pub(super) is_awaited: bool,
}

/// Which policy of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// `exec`, which believes a message.
    Exec,
    /// `exec`, which gives the ordinal back where it is wanted again.
    ExecCancels,
    /// `pod-template`, which believes exit code 0.
    PodTemplate,
}

/// What a pod's process does on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTerm {
    /// It ends at once with exit code 0, which looks like success.
    EndsWell,
    /// It does so after a while, in which its work may be done after all.
    EndsWellLater,
    /// It fails.
    Fails,
}

/// How a set is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cascade {
    Background,
    Foreground,
    Orphan,
}

/// How the work of a drain pod ends, or is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done.
    Ends,
    /// It fails.
    Fails,
    /// It is evicted.
    Evicted,
    /// It is deleted.
    Deleted,
    /// It is deleted without waiting for its end, as where its node is gone.
    ForceDeleted,
    /// Its node shuts down: it is marked, and ends with exit code 0 on SIGTERM.
    ShutDown,
}

/// One thing that a person does, or that befalls a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The set is scaled.
    Scale(u32),
    /// The set is scaled, and scaled back at once.
    Flip(u32, u32),
    /// The first ordinal that the set wants is moved.
    Start(u32),
    /// One of the drain pods, by its place among those that run.
    Drain(u32, Fate),
    /// The member of the ordinal is deleted.
    DeleteMember(u32),
    /// A claim is deleted.
    DeleteClaim(u32, usize),
    /// A claim of that name is made, with data from a backup.
    RestoreClaim(u32, usize),
    /// The label of enrolment is taken off a claim.
    StripLabel(u32, usize),
    /// The set is deleted.
    DeleteSet(Cascade),
    /// A set of the same name is made.
    MakeSet(u32),
    /// The annotation that names the policy is taken off.
    PolicyOff,
    /// It is put on again.
    PolicyOn,
    /// The set is paused, or goes on.
    Pause(bool),
    /// The policy's config cannot be read, or can again.
    BreakConfig(bool),
    /// A pod of another name begins to use the ordinal's claims.
    StrangerComes(u32),
    /// The strangers end.
    StrangersGo,
}

impl Schedule {
    /// What this seed stands for.
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, PURPOSE);
        let setup = Setup::draw(&mut dice);
        let is_remade = dice.percent(50);
        let mut drawer = Drawer::new(&setup);
        let count = dice.between(MOVES.0, MOVES.1);
        let moves = (0..count).map(|_| (drawer.pause(&mut dice), drawer.draw(&mut dice))).collect();
        Self { seed, setup, moves, is_remade }
    }

    /// The namespace that it is played in.
    pub(super) fn namespace(&self) -> String {
        format!("storm-{}", self.seed)
    }
}

impl Setup {
    fn draw(dice: &mut Dice) -> Self {
        let policies = [(3, Policy::Exec), (2, Policy::ExecCancels), (3, Policy::PodTemplate)];
        let terms = [(3, OnTerm::EndsWell), (2, OnTerm::EndsWellLater), (1, OnTerm::Fails)];
        let deleted = [(5, None), (1, Some("keep")), (4, Some("drain"))];
        Self {
            replicas: replicas(dice, 1),
            claims: if dice.percent(35) { 2 } else { 1 },
            is_parallel: dice.percent(60),
            when_scaled_deletes: dice.percent(25),
            when_deleted_deletes: dice.percent(35),
            on_set_deleted: dice.weighed(&deleted).flatten(),
            drains_to_zero: dice.percent(60),
            max_parallel: dice.percent(30).then_some(1),
            policy: dice.weighed(&policies).unwrap_or(Policy::Exec),
            on_term: dice.weighed(&terms).unwrap_or(OnTerm::EndsWell),
            is_awaited: dice.percent(85),
        }
    }
}

/// Draws moves that have a chance to matter: it knows what the moves before made of the set, though not when.
struct Drawer {
    replicas: u32,
    /// How many ordinals there ever were: those above the wanted ones may have claims.
    ordinals: u32,
    claims: u64,
    set_is_there: bool,
    has_strangers: bool,
    policy_is_on: bool,
    is_paused: bool,
    is_broken: bool,
    is_raised: bool,
    failures: u32,
    /// Whether the move before was a scale-down, so that a drain is likely.
    just_shrank: bool,
}

impl Drawer {
    fn new(setup: &Setup) -> Self {
        Self {
            replicas: setup.replicas,
            ordinals: setup.replicas,
            claims: if setup.claims == 2 { 2 } else { 1 },
            set_is_there: true,
            has_strangers: false,
            policy_is_on: true,
            is_paused: false,
            is_broken: false,
            is_raised: false,
            failures: 0,
            just_shrank: false,
        }
    }

    fn pause(&self, dice: &mut Dice) -> u64 {
        // What is quicker than any watch, and what comes when things have settled.
        match dice.percent(40) {
            true => dice.between(0, 30),
            false => dice.between(30, PAUSE_MAX_MS),
        }
    }

    fn draw(&mut self, dice: &mut Dice) -> Deed {
        let deed = if !self.set_is_there && dice.percent(60) {
            Deed::MakeSet(replicas(dice, 0))
        } else if self.just_shrank && dice.percent(60) {
            self.drain(dice)
        } else {
            self.any(dice)
        };
        self.take_in(deed);
        deed
    }

    fn any(&self, dice: &mut Dice) -> Deed {
        let ordinal = |dice: &mut Dice| {
            u32::try_from(dice.next() % u64::from(self.ordinals.max(1))).unwrap_or_default()
        };
        let template = |dice: &mut Dice| usize::from(dice.next() % self.claims == 1);
        // What keeps everything waiting is soon put right.
        let mended = |is_wrong: bool, on: u64| if is_wrong { 20 } else { on };
        let kinds = [
            (30, 0),
            (8, 1),
            (30, 2),
            (4, 3),
            (3, 4),
            (3, 5),
            (2, 6),
            (5, 7),
            (mended(!self.policy_is_on, 2), 8),
            (mended(self.is_paused, 2), 9),
            (mended(self.is_broken, 2), 10),
            (mended(self.has_strangers, 3), 11),
            (mended(self.is_raised, 1), 12),
        ];
        match dice.weighed(&kinds).unwrap_or(0) {
            0 => Deed::Scale(self.other_replicas(dice)),
            1 => Deed::Flip(self.other_replicas(dice), self.replicas),
            2 => self.drain(dice),
            3 => Deed::DeleteMember(ordinal(dice)),
            4 => Deed::DeleteClaim(ordinal(dice), template(dice)),
            5 => Deed::RestoreClaim(ordinal(dice), template(dice)),
            6 => Deed::StripLabel(ordinal(dice), template(dice)),
            7 => {
                let ways =
                    [(5, Cascade::Background), (2, Cascade::Foreground), (2, Cascade::Orphan)];
                Deed::DeleteSet(dice.weighed(&ways).unwrap_or(Cascade::Background))
            }
            8 if self.policy_is_on => Deed::PolicyOff,
            8 => Deed::PolicyOn,
            9 => Deed::Pause(!self.is_paused),
            10 => Deed::BreakConfig(!self.is_broken),
            11 if self.has_strangers => Deed::StrangersGo,
            11 => Deed::StrangerComes(ordinal(dice)),
            _ => Deed::Start(if self.is_raised { 0 } else { self.ordinals }),
        }
    }

    /// A drain fails a few times at most: what fails again and again only waits longer.
    fn drain(&self, dice: &mut Dice) -> Deed {
        let which = u32::try_from(dice.between(0, 3)).unwrap_or_default();
        let bad = u64::from(self.failures < FAILURES_MAX);
        let fates = [
            (8, Fate::Ends),
            (2 * bad, Fate::Fails),
            (2 * bad, Fate::Evicted),
            (2 * bad, Fate::Deleted),
            (2 * bad, Fate::ForceDeleted),
            (2 * bad, Fate::ShutDown),
        ];
        Deed::Drain(which, dice.weighed(&fates).unwrap_or(Fate::Ends))
    }

    fn other_replicas(&self, dice: &mut Dice) -> u32 {
        // Down is what all this is about.
        let lower = u64::from(self.replicas).saturating_sub(1);
        let wanted = match dice.percent(60) {
            true => dice.between(0, lower),
            false => dice.between(0, MEMBERS_MAX),
        };
        u32::try_from(wanted).unwrap_or_default()
    }

    fn take_in(&mut self, deed: Deed) {
        self.just_shrank = false;
        match deed {
            Deed::Scale(replicas) | Deed::MakeSet(replicas) => {
                self.just_shrank = replicas < self.replicas;
                self.replicas = replicas;
                self.ordinals = self.ordinals.max(replicas);
                self.set_is_there = true;
            }
            Deed::Flip(to, _) => self.ordinals = self.ordinals.max(to),
            Deed::Start(start) => self.is_raised = start > 0,
            Deed::Drain(_, Fate::Ends) => {}
            Deed::Drain(_, _) => self.failures += 1,
            Deed::DeleteSet(_) => {
                self.set_is_there = false;
                self.just_shrank = true;
            }
            Deed::PolicyOff => self.policy_is_on = false,
            Deed::PolicyOn => self.policy_is_on = true,
            Deed::Pause(is_paused) => self.is_paused = is_paused,
            Deed::BreakConfig(is_broken) => self.is_broken = is_broken,
            Deed::StrangerComes(_) => self.has_strangers = true,
            Deed::StrangersGo => self.has_strangers = false,
            Deed::DeleteMember(_)
            | Deed::DeleteClaim(..)
            | Deed::RestoreClaim(..)
            | Deed::StripLabel(..) => {}
        }
    }
}

fn replicas(dice: &mut Dice, least: u64) -> u32 {
    u32::try_from(dice.between(least, MEMBERS_MAX).min(dice.between(least, MEMBERS_MAX)))
        .unwrap_or_default()
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_parallel { "Parallel" } else { "OrderedReady" };
        let fate = |deletes: bool| if deletes { "Delete" } else { "Retain" };
        write!(
            f,
            "a set of {} with {} claims each, {way}, whenScaled {}, whenDeleted {}, on-set-deleted {}, at zero {}, max-parallel {}, \
             policy {:?}, on SIGTERM {:?}{}",
            self.replicas,
            self.claims,
            fate(self.when_scaled_deletes),
            fate(self.when_deleted_deletes),
            self.on_set_deleted.unwrap_or("not given"),
            if self.drains_to_zero { "drained" } else { "kept" },
            self.max_parallel.map_or_else(|| "not given".to_owned(), |max| max.to_string()),
            self.policy,
            self.on_term,
            if self.is_awaited { "" } else { "; its members are not waited for" },
        )
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = |ordinal: &u32, template: &usize| claim_name(*template, *ordinal);
        match self {
            Self::Scale(replicas) => write!(f, "the set is scaled to {replicas}"),
            Self::Flip(to, back) => write!(f, "the set is scaled to {to} and at once to {back}"),
            Self::Start(start) => write!(f, "ordinals.start becomes {start}"),
            Self::Drain(which, fate) => write!(f, "drain pod {which}: {fate:?}"),
            Self::DeleteMember(ordinal) => write!(f, "pod {SET}-{ordinal} is deleted"),
            Self::DeleteClaim(ordinal, it) => write!(f, "claim {} is deleted", claim(ordinal, it)),
            Self::RestoreClaim(ordinal, it) => write!(f, "claim {} is made", claim(ordinal, it)),
            Self::StripLabel(ordinal, it) => {
                write!(f, "claim {} loses its label", claim(ordinal, it))
            }
            Self::DeleteSet(cascade) => write!(f, "the set is deleted: {cascade:?}"),
            Self::MakeSet(replicas) => write!(f, "a set of {replicas} is made"),
            Self::PolicyOff => write!(f, "the policy's annotation is taken off"),
            Self::PolicyOn => write!(f, "the policy's annotation is put on"),
            Self::Pause(true) => write!(f, "the set is paused"),
            Self::Pause(false) => write!(f, "the set goes on"),
            Self::BreakConfig(true) => write!(f, "the policy's config is broken"),
            Self::BreakConfig(false) => write!(f, "the policy's config is mended"),
            Self::StrangerComes(ordinal) => write!(f, "a stranger uses the claims of {ordinal}"),
            Self::StrangersGo => write!(f, "the strangers go"),
        }
    }
}

/// The name of a claim.
pub(super) fn claim_name(template: usize, ordinal: u32) -> String {
    format!("{}-{SET}-{ordinal}", TEMPLATES[template.min(TEMPLATES.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_the_same_schedule() {
        assert_eq!(Schedule::of(17), Schedule::of(17));
        assert_ne!(Schedule::of(17).moves, Schedule::of(18).moves);
    }

    #[test]
    fn every_kind_of_move_and_of_set_is_drawn() {
        let all: Vec<Schedule> = (0..300).map(Schedule::of).collect();
        let deeds: Vec<Deed> =
            all.iter().flat_map(|one| one.moves.iter().map(|(_, deed)| *deed)).collect();
        for fate in [
            Fate::Ends,
            Fate::Fails,
            Fate::Evicted,
            Fate::Deleted,
            Fate::ForceDeleted,
            Fate::ShutDown,
        ] {
            assert!(
                deeds.iter().any(|deed| matches!(deed, Deed::Drain(_, it) if *it == fate)),
                "{fate:?}"
            );
        }
        for cascade in [Cascade::Background, Cascade::Foreground, Cascade::Orphan] {
            assert!(deeds.contains(&Deed::DeleteSet(cascade)), "{cascade:?}");
        }
        let kinds = [
            "scaled to",
            "at once",
            "start",
            "pod web-",
            "is deleted",
            "is made",
            "loses",
            "taken off",
            "put on",
            "paused",
            "goes on",
            "broken",
            "mended",
            "stranger uses",
            "strangers go",
        ];
        let words: Vec<String> = deeds.iter().map(ToString::to_string).collect();
        for kind in kinds {
            assert!(words.iter().any(|words| words.contains(kind)), "{kind}");
        }
        for policy in [Policy::Exec, Policy::ExecCancels, Policy::PodTemplate] {
            assert!(all.iter().any(|one| one.setup.policy == policy), "{policy:?}");
        }
    }
}
