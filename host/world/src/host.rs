//! The hosts. Each runs pass after pass, as the driver does: it reads claims, set and pods, each from the API server and each at a moment of
//! its own; asks the policy; plans and checks with the real planner and the real checker; and sends its writes one by one. Between any two of
//! these steps anything may happen to the cluster, and the host may die.
//!
//! What a watch shows is not modelled here: it decides whether a pass begins, and here a pass may begin at any moment. (Where the cluster is
//! quiet the glance is taken for what it is, in [`crate::quiet`].)

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::{
    Rules,
    hash::{Quick, QuickBuild},
    mind::{Thought, think},
    objects::{CLAIMS_MAX, Claim, Kind, ORDINALS_MAX, Pod, Seat, SetObject, World},
    policy::Odd,
    sabotage::Sabotage,
    write::{Write, apply},
};

/// One host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// What it remembers between passes.
    pub memory: Memory,
    /// Where its pass stands.
    pub step: Step,
}

/// What a host remembers between passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Memory {
    /// The set that it knows.
    pub set: Option<u8>,
    /// Whether it saw a drain pod hold the name, and nobody since.
    pub held: [bool; ORDINALS_MAX],
}

/// Where a host's pass stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// None has begun.
    #[default]
    Idle,
    /// Some of the cluster is read, and some is not.
    Reading(Box<Reading>),
    /// It is decided, and these writes are still to be sent.
    Writing(Vec<Write>),
}

/// What a host has read of the cluster, each part at a moment of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reading {
    /// In which order.
    pub order: Order,
    /// The set, if there was one.
    pub set: Option<Option<SetObject>>,
    /// The claims.
    pub claims: Option<[[Option<Claim>; CLAIMS_MAX]; ORDINALS_MAX]>,
    /// The pods, and whether a stranger uses the claims.
    pub pods: Option<[(Option<Pod>, bool); ORDINALS_MAX]>,
}

/// In which order a host reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Order {
    /// All at once, so that each part may be older than the others. What would be read soundly otherwise is read the wrong way round here:
    /// the pods before the claims.
    AtOnce,
    /// The claims before the rest.
    ClaimsFirst,
}

/// A part of the cluster that one request reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The set.
    Set,
    /// The claims.
    Claims,
    /// The pods.
    Pods,
}

/// What a pass is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Errand {
    /// The set.
    Set,
    /// The drain pod at this place, whose set is gone.
    LeftBehind(Seat),
}

/// What becomes of a write on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It arrives, and the host learns what came of it.
    Answered,
    /// It arrives, and the answer is lost.
    Unanswered,
    /// The host gives it up, and it arrives at some other time.
    Late,
}

/// How many readings are remembered with what hosts think about them, some 2 KiB each. Who forgets thinks again.
const READINGS_MAX: usize = 200_000;

/// What hosts think, remembered: the same reading with the same memory leads to the same thoughts.
#[derive(Default)]
pub struct Minds {
    thoughts: HashMap<u64, Vec<Remembered>, QuickBuild>,
    remembered: usize,
    asked: usize,
}

struct Remembered {
    reading: Reading,
    memory: Memory,
    errand: Errand,
    thoughts: Rc<Vec<Thought>>,
}

impl Minds {
    /// Every thought that a host may have about this: one for the policy as it should be, and one for each odd answer.
    pub fn thoughts(
        &mut self,
        rules: &Rules,
        reading: &Reading,
        memory: &Memory,
        errand: Errand,
    ) -> Rc<Vec<Thought>> {
        let mut hasher = Quick::default();
        (reading, memory, errand).hash(&mut hasher);
        let key = hasher.finish();
        let is_this = |it: &&Remembered| {
            it.errand == errand && it.memory == *memory && it.reading == *reading
        };
        if let Some(found) = self.thoughts.get(&key).and_then(|all| all.iter().find(is_this)) {
            return Rc::clone(&found.thoughts);
        }
        if self.remembered >= READINGS_MAX {
            (self.thoughts, self.remembered) = (HashMap::default(), 0);
        }
        self.asked += 1;
        self.remembered += 1;
        let thoughts = Rc::new(think(rules, reading, memory, errand));
        self.thoughts.entry(key).or_default().push(Remembered {
            reading: reading.clone(),
            memory: memory.clone(),
            errand,
            thoughts: Rc::clone(&thoughts),
        });
        thoughts
    }

    /// How often the planner was asked.
    #[must_use]
    pub const fn asked(&self) -> usize {
        self.asked
    }
}

impl Order {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AtOnce, Self::ClaimsFirst];

    /// The parts, in the order in which they are read.
    #[must_use]
    pub fn parts(self, rules: &Rules) -> [Part; 3] {
        let sound = rules.sabotage != Some(Sabotage::PodsFirst);
        match self {
            Self::ClaimsFirst if sound => [Part::Claims, Part::Set, Part::Pods],
            Self::ClaimsFirst | Self::AtOnce => [Part::Pods, Part::Set, Part::Claims],
        }
    }
}

impl Reading {
    /// A reading that has not begun.
    #[must_use]
    pub const fn new(order: Order) -> Self {
        Self { order, set: None, claims: None, pods: None }
    }

    /// Whether nothing is read yet.
    #[must_use]
    pub const fn is_blank(&self) -> bool {
        self.set.is_none() && self.claims.is_none() && self.pods.is_none()
    }

    /// The part that is read next; none where all are read.
    #[must_use]
    pub fn next(&self, rules: &Rules) -> Option<Part> {
        self.order.parts(rules).into_iter().find(|part| match part {
            Part::Set => self.set.is_none(),
            Part::Claims => self.claims.is_none(),
            Part::Pods => self.pods.is_none(),
        })
    }

    /// Reads one part as it is at this moment.
    pub fn read(&mut self, part: Part, world: &World) {
        match part {
            Part::Set => self.set = Some(world.set.clone()),
            Part::Claims => {
                let read = |claim: &Option<Claim>| claim.as_ref().map(Claim::as_read);
                self.claims =
                    Some(world.places.each_ref().map(|place| place.claims.each_ref().map(read)));
            }
            Part::Pods => {
                self.pods =
                    Some(world.places.each_ref().map(|place| (place.pod.clone(), place.stranger)));
            }
        }
    }

    /// Reads everything at this moment.
    #[must_use]
    pub fn whole(world: &World, order: Order) -> Self {
        let mut reading = Self::new(order);
        for part in [Part::Claims, Part::Set, Part::Pods] {
            reading.read(part, world);
        }
        reading
    }

    /// What a pass over this may be about.
    #[must_use]
    pub fn errands(&self) -> Vec<Errand> {
        let set = self.set.iter().flatten().next();
        let is_left_behind =
            |pod: &Pod| pod.marks().is_some_and(|marks| set.is_none_or(|set| set.uid != marks.set));
        let pods = self.pods.iter().flatten().enumerate();
        let left_behind = pods
            .filter(|(_, (pod, _))| pod.as_ref().is_some_and(is_left_behind))
            .map(|(seat, _)| Errand::LeftBehind(seat));
        set.map(|_| Errand::Set).into_iter().chain(left_behind).collect()
    }
}

/// Begins or goes on with a reading, up to the last part but one.
pub(crate) fn read(world: &mut World, host: usize, order: Order, part: Part) {
    let mut reading = match std::mem::take(&mut world.hosts[host].step) {
        Step::Reading(reading) => reading,
        Step::Idle | Step::Writing(_) => Box::new(Reading::new(order)),
    };
    reading.read(part, world);
    world.hosts[host].step = Step::Reading(reading);
}

/// Reads the last part, asks, plans and checks.
pub(crate) fn decide(
    world: &mut World,
    (rules, minds): (&Rules, &mut Minds),
    host: usize,
    errand: Errand,
    odd: Option<(Seat, Odd)>,
) {
    let step = std::mem::take(&mut world.hosts[host].step);
    let Step::Reading(mut reading) = step else {
        return;
    };
    if let Some(part) = reading.next(rules) {
        reading.read(part, world);
    }
    let thoughts = minds.thoughts(rules, &reading, &world.hosts[host].memory, errand);
    let Some(thought) = thoughts.iter().find(|thought| thought.odd == odd) else {
        return;
    };
    if let Some(harm) = &thought.harm {
        world.suffers(harm.clone());
    }
    if !thought.writes.is_empty() {
        world.hosts[host].step = Step::Writing(thought.writes.clone());
    }
}

/// Sends the next write. The first write of an ordinal that fails ends the others of that ordinal.
pub(crate) fn send(world: &mut World, rules: &Rules, host: usize, delivery: Delivery) {
    let Step::Writing(mut writes) = std::mem::take(&mut world.hosts[host].step) else {
        return;
    };
    let write = writes.remove(0);
    let went_well = match delivery {
        Delivery::Answered => apply(world, &write, rules.sabotage).is_ok(),
        Delivery::Unanswered => {
            // What came of it is not known to the host, and so nothing to it.
            let _ = apply(world, &write, rules.sabotage);
            false
        }
        Delivery::Late => {
            world.late.push(write.clone());
            false
        }
    };
    if went_well {
        world.hosts[host].memory.done(&write);
    } else {
        writes.retain(|other| other.seat() != write.seat());
    }
    if !writes.is_empty() {
        world.hosts[host].step = Step::Writing(writes);
    }
}

/// The host dies, and another begins in its place, which knows nothing.
pub(crate) fn crash(world: &mut World, host: usize) {
    world.hosts[host] = Host::default();
}

/// Whether a host that begins anew would know less or other than this one does.
pub(crate) fn would_forget(world: &World, host: usize) -> bool {
    let mut fresh = Memory::default();
    fresh.complete(world.set.as_ref(), &world.places);
    fresh != world.hosts[host].memory
}

/// What watches show is remembered as it comes.
pub(crate) fn watch(world: &mut World, rules: &Rules) {
    let World { set, places, hosts, .. } = world;
    for host in hosts.iter_mut().take(rules.hosts) {
        host.memory.complete(set.as_ref(), places);
    }
}

impl Memory {
    /// The same that `host/src/memory.rs` does with each reading.
    fn complete(&mut self, set: Option<&SetObject>, places: &[crate::objects::Place]) {
        let Some(set) = set else {
            return;
        };
        // A set that was made while the host runs is known from the start.
        let late = self.set.is_none();
        if self.set != Some(set.uid) {
            self.held = [false; ORDINALS_MAX];
        }
        self.set = Some(set.uid);
        let ours = set.care != crate::objects::Care::NotOurs;
        for (seat, (held, place)) in self.held.iter_mut().zip(places).enumerate() {
            match &place.pod {
                Some(Pod { kind: Kind::Member { set: owner }, .. }) if *owner == set.uid => {
                    *held = false;
                }
                Some(_) => *held = true,
                None if !set.wants(seat) => *held = false,
                None => *held |= late && ours,
            }
        }
    }

    fn done(&mut self, write: &Write) {
        if let Write::Touch { free, .. } = write {
            for (held, free) in self.held.iter_mut().zip(free) {
                *held &= !free;
            }
        }
    }
}
