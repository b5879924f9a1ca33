//! Whose policy is loaded next. Loading one may keep the compiler busy for as long as its limits allow, so the namespaces take turns: one that brings
//! a thousand bad modules waits for itself, and every other for one of them at most.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// How many policies are loaded at once, each of another namespace: while one is compiled the next are read. Each may hold an unpacked component of 8 MiB
/// and the ConfigMap that it came in.
const AT_ONCE_MAX: usize = 3;

/// How many policies of one namespace may wait. Each is a few hundred bytes, and a namespace has a handful of policies; one that names more at
/// once than this has the rest tried again later.
pub(super) const WAITING_MAX: usize = 256;

/// The turns of all namespaces.
pub(super) struct Turns(Mutex<Line<oneshot::Sender<Turn>>>);

/// The right to load one policy of a namespace, until it is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    namespace: String,
}

/// As many policies of this namespace wait already as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Turns {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Line::new(AT_ONCE_MAX, WAITING_MAX)))
    }

    /// Waits for the turn of this namespace.
    ///
    /// # Errors
    /// [`Full`] where too many wait.
    pub(super) async fn take(self: &Arc<Self>, namespace: &str) -> Result<Turn, Full> {
        let (sender, turn) = oneshot::channel();
        self.line().enter(namespace, sender)?;
        self.begin();
        // The sender is dropped only with the line itself.
        turn.await.map_err(|_| Full)
    }

    /// Gives out the turns that are free. One that nobody waits for any more comes back at once, and goes to the next.
    fn begin(self: &Arc<Self>) {
        loop {
            let next = self.line().next();
            let Some((namespace, sender)) = next else {
                return;
            };
            let _unless_taken = sender.send(Turn { turns: Arc::clone(self), namespace });
        }
    }

    /// A thread that panicked while it held the lock left plain data behind.
    fn line(&self) -> MutexGuard<'_, Line<oneshot::Sender<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.line().left(&self.namespace);
        self.turns.begin();
    }
}

/// Who waits, by namespace, and which namespace is next. One namespace never has two turns at once.
struct Line<T> {
    at_once_max: usize,
    waiting_max: usize,
    running: BTreeSet<String>,
    waiting: BTreeMap<String, VecDeque<T>>,
    /// The namespaces that wait and have no turn, each once.
    order: VecDeque<String>,
}

impl<T> Line<T> {
    const fn new(at_once_max: usize, waiting_max: usize) -> Self {
        Self {
            at_once_max,
            waiting_max,
            running: BTreeSet::new(),
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    fn enter(&mut self, namespace: &str, who: T) -> Result<(), Full> {
        let waiting = self.waiting.entry(namespace.to_owned()).or_default();
        if waiting.len() >= self.waiting_max {
            return Err(Full);
        }
        waiting.push_back(who);
        if waiting.len() == 1 && !self.running.contains(namespace) {
            self.order.push_back(namespace.to_owned());
        }
        Ok(())
    }

    /// The first of the namespace whose turn it is, where there is a free place.
    fn next(&mut self) -> Option<(String, T)> {
        if self.running.len() >= self.at_once_max {
            return None;
        }
        let namespace = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&namespace)?;
        let who = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&namespace);
        }
        self.running.insert(namespace.clone());
        Some((namespace, who))
    }

    /// The namespace goes behind all that wait.
    fn left(&mut self, namespace: &str) {
        self.running.remove(namespace);
        if self.waiting.contains_key(namespace) {
            self.order.push_back(namespace.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has their turn, one after the other, where each leaves before the next comes.
    fn order(line: &mut Line<&'static str>) -> Vec<&'static str> {
        let next = || {
            let (namespace, who) = line.next()?;
            line.left(&namespace);
            Some(who)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn namespaces_take_turns_and_within_one_the_first_comes_first() {
        let mut line = Line::new(1, 10);
        for who in ["a1", "a2", "a3", "a4", "b1", "c1", "c2"] {
            line.enter(&who[..1], who).unwrap();
        }
        assert_eq!(order(&mut line), ["a1", "b1", "c1", "a2", "c2", "a3", "a4"]);
    }

    #[test]
    fn whoever_comes_while_another_namespace_is_served_waits_for_one_turn_of_it() {
        let mut line = Line::new(1, 10);
        for who in ["a1", "a2", "a3"] {
            line.enter("a", who).unwrap();
        }
        assert_eq!(line.next(), Some(("a".to_owned(), "a1")));
        line.enter("b", "b1").unwrap();
        assert_eq!(line.next(), None);
        line.left("a");
        line.enter("a", "a4").unwrap();
        assert_eq!(order(&mut line), ["b1", "a2", "a3", "a4"]);
    }

    #[test]
    fn a_namespace_has_one_turn_at_once_and_others_the_rest() {
        let mut line = Line::new(2, 10);
        for who in ["a1", "a2", "b1", "c1"] {
            line.enter(&who[..1], who).unwrap();
        }
        let running: Vec<_> = std::iter::from_fn(|| line.next()).map(|(_, who)| who).collect();
        assert_eq!(running, ["a1", "b1"]);
        line.left("b");
        assert_eq!(line.next(), Some(("c".to_owned(), "c1")));
        line.left("c");
        assert_eq!(line.next(), None);
        line.left("a");
        assert_eq!(order(&mut line), ["a2"]);
    }

    #[test]
    fn a_namespace_fills_its_own_line_alone() {
        let mut line = Line::new(1, 2);
        assert_eq!(["a1", "a2", "a3"].map(|who| line.enter("a", who)), [Ok(()), Ok(()), Err(Full)]);
        assert_eq!(line.enter("b", "b1"), Ok(()));
        assert_eq!(order(&mut line), ["a1", "b1", "a2"]);
        assert!(line.waiting.is_empty() && line.order.is_empty() && line.running.is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let turns = Arc::new(Turns::new());
        let first = turns.take("a").await.unwrap();
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, turns.take("a")).await;
        assert!(given_up.is_err());
        let next = turns.take("a");
        drop(first);
        assert!(next.await.is_ok());
        assert!(turns.line().running.is_empty());
    }
}
