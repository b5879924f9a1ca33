//! The search of one beginning.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    Rules,
    explore::{Bounds, End, Liveness, Progress, fingerprint},
    frontier::Frontier,
    harm::Harm,
    host::Minds,
    moves::Move,
    objects::World,
    quiet::Quiet,
    table::Table,
    turns::{Surprises, Turn, after, is_surprise, turns},
};

/// After how many worlds a search tells how far it is.
const TELLS_EVERY: usize = 1_000_000;

/// What is kept of worlds that were searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    /// Their fingerprints alone.
    Nothing,
    /// The way to each, too.
    Ways,
}

/// What the search of one beginning found.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) worlds: usize,
    pub(crate) turns: u64,
    pub(crate) depth: usize,
    pub(crate) by_surprises: Vec<usize>,
    pub(crate) asked: usize,
    pub(crate) end: End,
    pub(crate) find: Option<Find>,
}

/// Something that must never happen.
#[derive(Clone, Debug)]
pub(crate) struct Find {
    pub(crate) harm: Harm,
    pub(crate) surprises: usize,
    pub(crate) depth: usize,
    /// What happened as the cluster was left alone.
    pub(crate) alone: Vec<Move>,
    /// The last world on the way, by its number, and which of its turns did it.
    number: u32,
    choice: Option<u16>,
}

/// How a world was first reached.
#[derive(Clone, Copy)]
struct Way {
    /// The world before, by its number; its own where it is the beginning.
    from: u32,
    /// Which of the turns that were open there.
    choice: u16,
}

/// A world that waits to be searched.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u32,
    depth: u16,
}

/// A world that waits until those with fewer surprises were searched.
#[derive(Clone, Copy, Debug)]
struct Beyond {
    key: u64,
    from: u32,
    choice: u16,
    depth: u16,
}

pub(crate) struct Search<'a> {
    rules: &'a Rules,
    bounds: Bounds,
    beginning: usize,
    minds: Minds,
    quiet: Quiet,
    known: Table,
    ways: Option<Vec<Way>>,
    /// The worlds that are known and not searched, those with the shorter ways first.
    open: Frontier<Waiting>,
    beyond: Frontier<Beyond>,
    beyond_known: Table,
    by_surprises: Vec<usize>,
    turns: u64,
    depth: u16,
    /// At how many worlds it tells next how far it is.
    tells_at: usize,
    end: End,
    find: Option<Find>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        rules: &'a Rules,
        bounds: Bounds,
        beginning: usize,
        remember: Remember,
    ) -> Self {
        Self {
            rules,
            bounds,
            beginning,
            minds: Minds::default(),
            quiet: Quiet::default(),
            known: Table::default(),
            ways: (remember == Remember::Ways).then(Vec::new),
            open: Frontier::default(),
            beyond: Frontier::default(),
            beyond_known: Table::default(),
            by_surprises: Vec::new(),
            turns: 0,
            depth: 0,
            tells_at: TELLS_EVERY,
            end: End::Whole,
            find: None,
        }
    }

    /// Searches until all is searched, something is found, or another search has found something with a shorter way: `best` says with which.
    pub(crate) fn run(&mut self, best: &AtomicU64, tell: &(dyn Fn(Progress) + Sync)) {
        let world = self.rules.beginnings().swap_remove(self.beginning);
        let key = fingerprint(&world);
        self.beyond.push(world, Beyond { key, from: 0, choice: 0, depth: 0 });
        for surprises in 0..=self.rules.surprises {
            let before = self.known.len();
            self.level(surprises, best, tell);
            self.by_surprises.push(self.known.len() - before);
            if self.end != End::Whole {
                break;
            }
        }
        tell(self.progress(self.by_surprises.len().saturating_sub(1), Some(self.end)));
    }

    pub(crate) fn told(self) -> Told {
        Told {
            worlds: self.known.len(),
            turns: self.turns,
            depth: usize::from(self.depth),
            by_surprises: self.by_surprises,
            asked: self.minds.asked(),
            end: self.end,
            find: self.find,
        }
    }

    /// The turns that lead to what was found, where ways are remembered.
    pub(crate) fn way_to_find(&mut self) -> Vec<Turn> {
        let (Some(find), Some(ways)) = (&self.find, &self.ways) else {
            return Vec::new();
        };
        let mut choices: Vec<u16> = find.choice.into_iter().collect();
        let mut at = find.number;
        while let Some(way) = ways.get(position(at)).filter(|way| way.from != at) {
            choices.push(way.choice);
            at = way.from;
        }
        let mut world = self.rules.beginnings().swap_remove(self.beginning);
        let mut made = Vec::new();
        let mut surprises = 0;
        for choice in choices.into_iter().rev() {
            let may = self.may(surprises);
            let open = turns(&world, self.rules, &mut self.minds, may);
            let Some(turn) = open.into_iter().nth(usize::from(choice)) else {
                break;
            };
            surprises += usize::from(is_surprise(&turn));
            (world, _) = after(&world, self.rules, &mut self.minds, &turn);
            made.push(turn);
        }
        made
    }

    /// Searches the worlds that are reached with so many surprises.
    fn level(&mut self, surprises: usize, best: &AtomicU64, tell: &(dyn Fn(Progress) + Sync)) {
        self.beyond_known = Table::default();
        let mut seeds = std::mem::take(&mut self.beyond);
        let mut seed = seeds.pop();
        let mut waiting = self.open.pop();
        loop {
            // Both queues are in the order of the ways' lengths, and so is what comes of them.
            let is_seed_first = match (&seed, &waiting) {
                (Some((_, seed)), Some((_, open))) => seed.depth <= open.depth,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return,
            };
            if let Some((world, Beyond { key, from, choice, depth })) =
                seed.take_if(|_| is_seed_first)
            {
                seed = seeds.pop();
                if let Some(number) = self.reach(key, from, choice) {
                    self.search(&world, Waiting { number, depth }, surprises, best);
                }
            } else if let Some((world, at)) = waiting.take() {
                self.search(&world, at, surprises, best);
            }
            if waiting.is_none() {
                waiting = self.open.pop();
            }
            if self.end == End::Whole && self.known.len() >= self.bounds.worlds_max {
                self.end = End::Bounded;
            }
            if self.end != End::Whole {
                return;
            }
            if self.known.len() >= self.tells_at {
                self.tells_at += TELLS_EVERY;
                tell(self.progress(surprises, None));
            }
        }
    }

    /// Remembers a world; its number, where it was not known.
    fn reach(&mut self, key: u64, from: u32, choice: u16) -> Option<u32> {
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        if !self.known.insert(key) {
            return None;
        }
        if let Some(ways) = &mut self.ways {
            ways.push(Way { from, choice });
        }
        Some(number)
    }

    fn search(&mut self, world: &World, at: Waiting, surprises: usize, best: &AtomicU64) {
        self.depth = self.depth.max(at.depth);
        if self.rank(surprises, at.depth) > best.load(Ordering::Relaxed) {
            self.end = End::Found;
            return;
        }
        if self.bounds.liveness == Liveness::Checked {
            let ended = self.quiet.ends_well(world, self.rules, &mut self.minds);
            if let Err(unrest) = ended {
                self.found((unrest.harm, unrest.moves), at, None, (surprises, at.depth), best);
                return;
            }
        }
        let depth = at.depth.saturating_add(1);
        let may = self.may(surprises);
        let open = turns(world, self.rules, &mut self.minds, may);
        for (choice, turn) in open.into_iter().enumerate() {
            let (next, _) = after(world, self.rules, &mut self.minds, &turn);
            self.turns = self.turns.saturating_add(1);
            let choice = u16::try_from(choice).unwrap_or(u16::MAX);
            let more = surprises + usize::from(is_surprise(&turn));
            if let Some(harm) = next.harm {
                self.found((harm, Vec::new()), at, Some(choice), (more, depth), best);
                return;
            }
            let key = fingerprint(&next);
            if more == surprises {
                if let Some(number) = self.reach(key, at.number, choice) {
                    self.open.push(next, Waiting { number, depth });
                }
            } else if !self.known.contains(key) && self.beyond_known.insert(key) {
                self.beyond.push(next, Beyond { key, from: at.number, choice, depth });
            }
        }
    }

    fn found(
        &mut self,
        (harm, alone): (Harm, Vec<Move>),
        at: Waiting,
        choice: Option<u16>,
        (surprises, depth): (usize, u16),
        best: &AtomicU64,
    ) {
        best.fetch_min(self.rank(surprises, depth), Ordering::Relaxed);
        let depth = usize::from(depth);
        self.find = Some(Find { harm, surprises, depth, alone, number: at.number, choice });
        self.end = End::Found;
    }

    /// Finds are better the smaller this is: those with fewer surprises, then those with shorter ways, then those of the beginnings that come
    /// first, so that what is found does not depend on who is quicker.
    fn rank(&self, surprises: usize, depth: u16) -> u64 {
        let number = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        (number(surprises) << 32) | (u64::from(depth) << 16) | number(self.beginning)
    }

    fn may(&self, surprises: usize) -> Surprises {
        if surprises < self.rules.surprises { Surprises::Allowed } else { Surprises::Spent }
    }

    fn progress(&self, surprises: usize, ended: Option<End>) -> Progress {
        Progress {
            beginning: self.beginning,
            surprises,
            worlds: self.known.len(),
            depth: usize::from(self.depth),
            ended,
        }
    }
}

fn position(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
