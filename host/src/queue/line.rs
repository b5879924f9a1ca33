//! Who is next: a machine without a clock and without threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The keys that are not at rest. Each is in one of four states, and what is kept of it is bounded: it is due, it is later, a pass over it
/// runs, or a pass over it runs and it has changed since.
#[derive(Debug)]
pub(super) struct Line<K, T> {
    /// In the order in which they came.
    due: VecDeque<K>,
    states: BTreeMap<K, State<T>>,
    /// Those that are later, by their time.
    later: BTreeSet<(T, K)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State<T> {
    Due,
    Later(T),
    Runs,
    RunsAgain,
}

impl<K: Clone + Ord, T: Copy + Ord> Line<K, T> {
    /// Nobody.
    pub(super) const fn new() -> Self {
        Self { due: VecDeque::new(), states: BTreeMap::new(), later: BTreeSet::new() }
    }

    /// It has changed: it is due, at the end of the line unless it is there already. While a pass over it runs, it is due when that ends.
    pub(super) fn changed(&mut self, key: K) {
        match self.states.get(&key) {
            Some(State::Due | State::RunsAgain) => {}
            Some(State::Runs) => {
                self.states.insert(key, State::RunsAgain);
            }
            Some(State::Later(at)) => {
                self.later.remove(&(*at, key.clone()));
                self.push(key);
            }
            None => self.push(key),
        }
    }

    /// Takes the first that is due; a pass over it runs from then on.
    pub(super) fn begin(&mut self) -> Option<K> {
        let key = self.due.pop_front()?;
        self.states.insert(key.clone(), State::Runs);
        Some(key)
    }

    /// The pass over it has ended, and asks for another at this time at the latest, if at all. A change meanwhile comes before that.
    pub(super) fn ended(&mut self, key: K, again_at: Option<T>) {
        match (self.states.remove(&key), again_at) {
            (Some(State::RunsAgain), _) => self.push(key),
            (_, Some(at)) => {
                self.later.insert((at, key.clone()));
                self.states.insert(key, State::Later(at));
            }
            (_, None) => {}
        }
    }

    /// When the next one is due that nobody changes.
    pub(super) fn next_at(&self) -> Option<T> {
        self.later.first().map(|(at, _)| *at)
    }

    /// It is so late: whose time has come is due.
    pub(super) fn time_is(&mut self, now: T) {
        while self.next_at().is_some_and(|at| at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.push(key);
            }
        }
    }

    fn push(&mut self, key: K) {
        self.states.insert(key.clone(), State::Due);
        self.due.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(changed: &[&'static str]) -> Line<&'static str, u32> {
        let mut line = Line::new();
        changed.iter().for_each(|key| line.changed(*key));
        line
    }

    fn size(line: &Line<&'static str, u32>) -> usize {
        line.due.len() + line.states.len() + line.later.len()
    }

    #[test]
    fn the_order_is_that_of_the_first_change() {
        let mut line = line(&["a", "b", "a", "c", "a"]);
        let order: Vec<_> = std::iter::from_fn(|| line.begin()).collect();
        assert_eq!(order, ["a", "b", "c"]);
    }

    #[test]
    fn a_change_during_a_pass_leads_to_one_more_after_it() {
        let mut line = line(&["a"]);
        assert_eq!(line.begin(), Some("a"));
        line.changed("a");
        line.changed("a");
        assert_eq!(line.begin(), None, "one pass at a time");
        line.ended("a", None);
        assert_eq!(line.begin(), Some("a"));
        line.ended("a", None);
        assert_eq!(line.begin(), None);
    }

    #[test]
    fn who_asks_for_another_pass_goes_behind_those_who_wait() {
        let mut line = line(&["a", "b"]);
        assert_eq!(line.begin(), Some("a"));
        line.changed("a");
        line.ended("a", None);
        assert_eq!(line.begin(), Some("b"));
    }

    #[test]
    fn an_earlier_change_beats_a_later_time() {
        let mut line = line(&["a"]);
        assert_eq!(line.begin(), Some("a"));
        line.ended("a", Some(10));
        assert_eq!((line.begin(), line.next_at()), (None, Some(10)));
        line.changed("a");
        assert_eq!((line.begin(), line.next_at()), (Some("a"), None));
        line.ended("a", None);
        line.time_is(11);
        assert_eq!(line.begin(), None);
    }

    #[test]
    fn a_change_during_a_pass_beats_the_time_that_the_pass_asks_for() {
        let mut line = line(&["a"]);
        assert_eq!(line.begin(), Some("a"));
        line.changed("a");
        line.ended("a", Some(10));
        assert_eq!((line.begin(), line.next_at()), (Some("a"), None));
    }

    #[test]
    fn each_is_due_when_its_time_has_come() {
        let mut line = line(&["a", "b", "c"]);
        for at in [30, 10, 20] {
            let key = line.begin().unwrap();
            line.ended(key, Some(at));
        }
        line.time_is(20);
        assert_eq!((line.begin(), line.begin(), line.begin()), (Some("b"), Some("c"), None));
        assert_eq!(line.next_at(), Some(30));
    }

    #[test]
    fn nothing_is_kept_of_what_is_at_rest_and_little_of_the_rest() {
        let mut line = line(&["a"]);
        for round in 0..1_000 {
            line.changed("a");
            let key = line.begin().unwrap();
            line.changed("a");
            line.changed("a");
            line.ended(key, Some(round));
            assert!(size(&line) <= 2);
        }
        let key = line.begin().unwrap();
        line.ended(key, None);
        assert_eq!(size(&line), 0);
    }
}
