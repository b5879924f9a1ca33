//! The search: every world that can come about with at most so many surprises, breadth first, those with fewer surprises before those with
//! more. What is found first has a shortest way among those with the fewest surprises.
//!
//! A plain breadth-first search and not stateright: the world is the only dependency; worlds are counted by the surprises on the way to them,
//! so that one that was reached with few is not searched again with more; and of a world that was searched nothing is kept but a fingerprint
//! and the way to it, twenty bytes, where stateright 0.31 keeps a fingerprint, its parent's, and the pending states.
//! Worlds are told apart by 64 bits: among a hundred million of them, two alike are met with odds of 1 in 3,700.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crate::{
    Rules,
    harm::Harm,
    host::Minds,
    moves::{Move, after, moves},
    objects::World,
    quiet::Quiet,
};

/// When a search ends that does not end by itself.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// After so many worlds.
    pub worlds_max: usize,
    /// Whether worlds are left alone to see where they end.
    pub liveness: Liveness,
}

/// Whether every world is left alone to see where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is.
    Checked,
    /// Only what happens on the way is looked at.
    Unchecked,
}

/// What a search found.
#[derive(Debug)]
pub struct Findings {
    /// How many worlds there are.
    pub worlds: usize,
    /// How many moves lead from one to another.
    pub moves: u64,
    /// The longest of the shortest ways.
    pub depth: usize,
    /// How many worlds first come about with how many surprises.
    pub by_surprises: Vec<usize>,
    /// How many different readings the planner was asked about.
    pub readings: usize,
    /// Whether every world was searched.
    pub end: End,
    /// What must never happen and did, first found.
    pub violation: Option<Violation>,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every world was searched.
    Whole,
    /// It reached its bound.
    Bounded,
    /// Something was found.
    Found,
}

/// Something that must never happen, and the way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub harm: Harm,
    /// Which of the beginnings.
    pub beginning: usize,
    /// The moves from there.
    pub moves: Vec<Move>,
    /// How many of them happened before the cluster was left alone.
    pub eventful: usize,
}

/// What makes this world this one.
#[must_use]
pub fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Searches every world that these rules allow, up to the bounds or the first violation.
#[must_use]
pub fn explore(rules: &Rules, bounds: Bounds) -> Findings {
    let mut search = Search::new(rules, bounds);
    search.begin();
    search.run();
    search.findings()
}

/// A set of fingerprints, which need no further hashing.
type Fingerprints = HashSet<u64, BuildHasherDefault<AsIs>>;

#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// How a world was first reached.
#[derive(Clone, Copy)]
struct Way {
    /// The world before, by its number; its own where it is a beginning.
    from: u32,
    /// Which of the moves that were open there; which beginning, where it is one.
    choice: u16,
    depth: u16,
}

/// A world that is reached by one surprise more than those that are searched at the moment.
struct Beyond {
    key: u64,
    from: u32,
    choice: u16,
    world: World,
}

struct Search<'a> {
    rules: &'a Rules,
    bounds: Bounds,
    minds: Minds,
    quiet: Quiet,
    ways: Vec<Way>,
    known: Fingerprints,
    /// The worlds that are known and not searched.
    open: VecDeque<(u32, World)>,
    beyond: Vec<Beyond>,
    beyond_known: Fingerprints,
    by_surprises: Vec<usize>,
    moves: u64,
    end: End,
    violation: Option<Violation>,
}

impl<'a> Search<'a> {
    fn new(rules: &'a Rules, bounds: Bounds) -> Self {
        Self {
            rules,
            bounds,
            minds: Minds::default(),
            quiet: Quiet::default(),
            ways: Vec::new(),
            known: Fingerprints::default(),
            open: VecDeque::new(),
            beyond: Vec::new(),
            beyond_known: Fingerprints::default(),
            by_surprises: Vec::new(),
            moves: 0,
            end: End::Whole,
            violation: None,
        }
    }

    fn begin(&mut self) {
        for (number, world) in self.rules.beginnings().into_iter().enumerate() {
            let own = index_of(self.ways.len());
            let choice = u16::try_from(number).unwrap_or(u16::MAX);
            self.reach(fingerprint(&world), Way { from: own, choice, depth: 0 }, world);
        }
    }

    fn run(&mut self) {
        for surprises in 0..=self.rules.surprises {
            let before = if surprises == 0 { 0 } else { self.ways.len() };
            self.beyond_known.clear();
            for Beyond { key, from, choice, world } in std::mem::take(&mut self.beyond) {
                let depth = self.depth_of(from).saturating_add(1);
                self.reach(key, Way { from, choice, depth }, world);
            }
            let spends = surprises < self.rules.surprises;
            while let Some((number, world)) = self.open.pop_front() {
                self.search(number, &world, spends);
                if self.end == End::Whole && self.ways.len() >= self.bounds.worlds_max {
                    self.end = End::Bounded;
                }
                if self.end != End::Whole {
                    break;
                }
            }
            self.by_surprises.push(self.ways.len() - before);
            if self.end != End::Whole {
                return;
            }
        }
    }

    /// Remembers a world that was not known, to be searched.
    fn reach(&mut self, key: u64, way: Way, world: World) {
        if self.known.insert(key) {
            self.open.push_back((index_of(self.ways.len()), world));
            self.ways.push(way);
        }
    }

    fn search(&mut self, number: u32, world: &World, spends: bool) {
        if self.bounds.liveness == Liveness::Checked {
            let ended = self.quiet.ends_well(world, self.rules, &mut self.minds);
            if let Err(unrest) = ended {
                self.found(number, unrest.harm, &unrest.moves, 0);
                return;
            }
        }
        let depth = self.depth_of(number).saturating_add(1);
        for (choice, it) in moves(world, self.rules, &mut self.minds).into_iter().enumerate() {
            if it.is_surprise() && !spends {
                continue;
            }
            let (next, _) = after(world, self.rules, &mut self.minds, it);
            self.moves = self.moves.saturating_add(1);
            if let Some(harm) = next.harm {
                self.found(number, harm, &[it], 1);
                return;
            }
            let key = fingerprint(&next);
            let choice = u16::try_from(choice).unwrap_or(u16::MAX);
            if !it.is_surprise() {
                self.reach(key, Way { from: number, choice, depth }, next);
            } else if !self.known.contains(&key) && self.beyond_known.insert(key) {
                self.beyond.push(Beyond { key, from: number, choice, world: next });
            }
        }
    }

    fn found(&mut self, number: u32, harm: Harm, last: &[Move], eventful_last: usize) {
        let (beginning, mut way) = self.way_to(number);
        let eventful = way.len() + eventful_last;
        way.extend_from_slice(last);
        self.violation = Some(Violation { harm, beginning, moves: way, eventful });
        self.end = End::Found;
    }

    /// The beginning and the moves that lead to this world.
    fn way_to(&mut self, number: u32) -> (usize, Vec<Move>) {
        let mut choices = Vec::new();
        let mut at = number;
        let beginning = loop {
            let Some(way) = self.ways.get(position(at)) else {
                break 0;
            };
            if way.from == at {
                break usize::from(way.choice);
            }
            choices.push(usize::from(way.choice));
            at = way.from;
        };
        let mut beginnings = self.rules.beginnings();
        let mut world = beginnings.swap_remove(beginning);
        let mut made = Vec::new();
        for choice in choices.into_iter().rev() {
            let Some(it) = moves(&world, self.rules, &mut self.minds).into_iter().nth(choice)
            else {
                break;
            };
            (world, _) = after(&world, self.rules, &mut self.minds, it);
            made.push(it);
        }
        (beginning, made)
    }

    fn depth_of(&self, number: u32) -> u16 {
        self.ways.get(position(number)).map_or(0, |way| way.depth)
    }

    fn findings(self) -> Findings {
        Findings {
            worlds: self.ways.len(),
            moves: self.moves,
            depth: self.ways.iter().map(|way| usize::from(way.depth)).max().unwrap_or_default(),
            by_surprises: self.by_surprises,
            readings: self.minds.len(),
            end: self.end,
            violation: self.violation,
        }
    }
}

fn index_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn position(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
