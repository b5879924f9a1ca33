//! The search: every world that can come about with at most so many surprises, breadth first, those with fewer surprises before those with
//! more. What is found has a shortest way among those with the fewest surprises.
//!
//! A plain breadth-first search and not stateright: the world is the only dependency; worlds are counted by the surprises on the way to them,
//! so that one that was reached with few is not searched again with more; and of a world that was searched nothing is kept but a fingerprint,
//! eight bytes in a table that is four fifths full at most, where stateright 0.31 keeps a fingerprint and its parent's in a map.
//! The way to what is found is had by a second search that remembers it. Each beginning is searched by itself, as many at once as the machine has
//! processors: worlds of two beginnings differ in what Kubernetes may do with claims for as long as the set lives.
//! Worlds are told apart by 64 bits: among a hundred million of them, two alike are met with odds of 1 in 3,700.

use std::hash::{Hash, Hasher};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::{
    Rules,
    harm::Harm,
    hash::Quick,
    moves::Move,
    objects::World,
    search::{Find, Remember, Search, Told},
    turns::Turn,
};

/// When a search ends that does not end by itself, and what it looks at.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// After so many worlds of one beginning.
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
    /// How many turns lead from one to another.
    pub turns: u64,
    /// The longest of the shortest ways, in turns.
    pub depth: usize,
    /// How many worlds first come about with how many surprises.
    pub by_surprises: Vec<usize>,
    /// How often the planner was asked.
    pub asked: usize,
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
    /// The turns from there.
    pub turns: Vec<Turn>,
    /// What happened then, as the cluster was left alone.
    pub alone: Vec<Move>,
}

/// How far the search of one beginning is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Which of the beginnings.
    pub beginning: usize,
    /// With how many surprises worlds are reached that are searched at the moment.
    pub surprises: usize,
    /// How many worlds are known.
    pub worlds: usize,
    /// How many turns lead to those that are searched at the moment.
    pub depth: usize,
    /// Whether this is the end of its search.
    pub ended: Option<End>,
}

/// What makes this world this one.
#[must_use]
pub fn fingerprint(world: &World) -> u64 {
    let mut hasher = Quick::default();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Searches every world that these rules allow, up to the bounds or the first violation. `tell` hears now and then how far it is.
#[must_use]
pub fn explore(rules: &Rules, bounds: Bounds, tell: &(dyn Fn(Progress) + Sync)) -> Findings {
    let beginnings = rules.beginnings().len();
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(beginnings);
    let (next, best) = (AtomicUsize::new(0), AtomicU64::new(u64::MAX));
    let told: Mutex<Vec<(usize, Told)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let beginning = next.fetch_add(1, Ordering::Relaxed);
                    if beginning >= beginnings {
                        return;
                    }
                    let mut search = Search::new(rules, bounds, beginning, Remember::Nothing);
                    search.run(&best, tell);
                    let own = (beginning, search.told());
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(own);
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings(rules, bounds, told)
}

fn findings(rules: &Rules, bounds: Bounds, told: Vec<(usize, Told)>) -> Findings {
    let mut all = Findings {
        worlds: 0,
        turns: 0,
        depth: 0,
        by_surprises: vec![0; rules.surprises + 1],
        asked: 0,
        end: End::Whole,
        violation: None,
    };
    let mut first: Option<(&Find, usize)> = None;
    for (beginning, told) in &told {
        all.worlds += told.worlds;
        all.turns += told.turns;
        all.depth = all.depth.max(told.depth);
        all.asked += told.asked;
        for (sum, own) in all.by_surprises.iter_mut().zip(&told.by_surprises) {
            *sum += own;
        }
        if told.end == End::Bounded {
            all.end = End::Bounded;
        }
        if let Some(find) = &told.find {
            let is_first = first.is_none_or(|(other, at)| {
                (find.surprises, find.depth, *beginning) < (other.surprises, other.depth, at)
            });
            if is_first {
                first = Some((find, *beginning));
            }
        }
    }
    if let Some((find, beginning)) = first {
        all.end = End::Found;
        all.violation = Some(way_to(rules, bounds, beginning, find));
    }
    all
}

/// Searches a beginning again, and remembers the ways this time.
fn way_to(rules: &Rules, bounds: Bounds, beginning: usize, find: &Find) -> Violation {
    let mut search = Search::new(rules, bounds, beginning, Remember::Ways);
    search.run(&AtomicU64::new(u64::MAX), &|_| {});
    let turns = search.way_to_find();
    Violation { harm: find.harm.clone(), beginning, turns, alone: find.alone.clone() }
}
