//! Worlds that wait to be searched, each as a few numbers: worlds are made of the same few places, hosts and sets again and again, so that
//! each of these is kept once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::{
    hash::QuickBuild,
    host::Host,
    objects::{HOSTS_MAX, ORDINALS_MAX, Place, SetObject, World},
    write::Write,
};

/// A queue of worlds, each with something that is kept beside it.
#[derive(Debug)]
pub(crate) struct Frontier<T> {
    sets: Kept<Option<SetObject>>,
    places: Kept<Place>,
    hosts: Kept<Host>,
    late: Kept<Vec<Write>>,
    waiting: VecDeque<(Parts, T)>,
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    set: u32,
    places: [u32; ORDINALS_MAX],
    hosts: [u32; HOSTS_MAX],
    late: u32,
}

impl<T> Default for Frontier<T> {
    fn default() -> Self {
        Self {
            sets: Kept::default(),
            places: Kept::default(),
            hosts: Kept::default(),
            late: Kept::default(),
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Frontier<T> {
    /// Puts a world, in which nothing has happened that must not, at the end of the queue.
    pub(crate) fn push(&mut self, world: World, beside: T) {
        let World { set, places, hosts, late, harm: _ } = world;
        let parts = Parts {
            set: self.sets.keep(set),
            places: places.map(|place| self.places.keep(place)),
            hosts: hosts.map(|host| self.hosts.keep(host)),
            late: self.late.keep(late),
        };
        self.waiting.push_back((parts, beside));
    }

    /// Takes the world that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<(World, T)> {
        let Some((parts, beside)) = self.waiting.pop_front() else {
            // Nobody names what is kept any more.
            *self = Self::default();
            return None;
        };
        let world = World {
            set: self.sets.get(parts.set)?,
            places: [
                self.places.get(parts.places[0])?,
                self.places.get(parts.places[1])?,
                self.places.get(parts.places[2])?,
            ],
            hosts: [self.hosts.get(parts.hosts[0])?, self.hosts.get(parts.hosts[1])?],
            late: self.late.get(parts.late)?,
            harm: None,
        };
        Some((world, beside))
    }
}

/// Things that are kept once each, by number.
#[derive(Debug)]
struct Kept<T> {
    numbers: HashMap<T, u32, QuickBuild>,
    things: Vec<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), things: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Kept<T> {
    fn keep(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }

    fn get(&self, number: u32) -> Option<T> {
        self.things.get(usize::try_from(number).ok()?).cloned()
    }
}
