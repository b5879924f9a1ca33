//! Which objects are to be looked at, and when: each by one pass at a time, at once where something changed, later where a pass asked for it.
//!
//! The library's own controller does the same, but sends every change through a timer that counts whole milliseconds; between a member's end
//! and its drain pod that is a third of the time. Here only a delay costs a timer.

mod line;

use std::{collections::HashMap, time::Duration};

use futures::{Stream, StreamExt as _};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use line::Line;

/// When an object is to be looked at again after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When it changes.
    Change,
    /// When it changes, and after this time at the latest.
    After(Duration),
}

impl Next {
    /// When it changes.
    #[must_use]
    pub const fn await_change() -> Self {
        Self::Change
    }

    /// When it changes, and after this time at the latest.
    #[must_use]
    pub const fn requeue(after: Duration) -> Self {
        Self::After(after)
    }

    /// The same, and after this time at the latest.
    #[must_use]
    pub fn at_the_latest(self, after: Duration) -> Self {
        match self {
            Self::Change => Self::After(after),
            Self::After(sooner) => Self::After(sooner.min(after)),
        }
    }
}

/// Runs a pass over each object that changes or is due, as many at once as are allowed, until `changes` end or `stop` comes; then waits for the
/// passes that run, and begins none. None begins before `ready` has come either; what changes until then is kept.
///
/// Where a pass panics the caller does: what it left behind is known to nobody.
pub async fn run<K, P>(
    changes: impl Stream<Item = K>,
    at_once_max: usize,
    ready: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
    pass: impl Fn(K) -> P,
) where
    K: Clone + Ord,
    P: Future<Output = Next> + Send + 'static,
{
    let mut changes = std::pin::pin!(changes);
    let (mut ready, mut stop) = (std::pin::pin!(ready), std::pin::pin!(stop));
    let mut line: Line<K, Instant> = Line::new();
    let mut passes = JoinSet::new();
    let mut keys: HashMap<Id, K> = HashMap::new();
    let mut is_ready = false;
    loop {
        while is_ready && passes.len() < at_once_max {
            let Some(key) = line.begin() else { break };
            let id = passes.spawn(pass(key.clone())).id();
            keys.insert(id, key);
        }
        let next_at = line.next_at();
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut ready, if !is_ready => is_ready = true,
            Some(ended) = passes.join_next_with_id(), if !passes.is_empty() => {
                let (id, next) = unless_it_panicked(ended);
                if let Some(key) = keys.remove(&id) {
                    line.ended(key, time_of(next));
                    line.time_is(Instant::now());
                }
            }
            changed = changes.next() => match changed {
                Some(key) => line.changed(key),
                None => break,
            },
            () = sleep_until(next_at), if next_at.is_some() => line.time_is(Instant::now()),
        }
    }
    while let Some(ended) = passes.join_next_with_id().await {
        unless_it_panicked(ended);
    }
}

/// A time that no clock reaches is never.
fn time_of(next: Next) -> Option<Instant> {
    match next {
        Next::Change => None,
        Next::After(delay) => Instant::now().checked_add(delay),
    }
}

fn unless_it_panicked(ended: Result<(Id, Next), JoinError>) -> (Id, Next) {
    match ended {
        Ok(ended) => ended,
        Err(error) => {
            let id = error.id();
            match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody cancels a pass. One that was would be looked at again when its object changes.
                Err(_) => (id, Next::Change),
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::stream;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// What passes did.
    #[derive(Default)]
    struct Log {
        passes: Mutex<Vec<&'static str>>,
        running: AtomicUsize,
        most: AtomicUsize,
    }

    fn changes(of: mpsc::UnboundedReceiver<&'static str>) -> impl Stream<Item = &'static str> {
        stream::unfold(of, |mut of| async { of.recv().await.map(|key| (key, of)) })
    }

    /// A pass that gives way to others many times before it ends.
    async fn pass(log: Arc<Log>, key: &'static str, next: Next) -> Next {
        let running = log.running.fetch_add(1, Ordering::SeqCst) + 1;
        log.most.fetch_max(running, Ordering::SeqCst);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        log.passes.lock().unwrap().push(key);
        log.running.fetch_sub(1, Ordering::SeqCst);
        next
    }

    async fn ran(log: &Log, passes: usize) {
        while log.passes.lock().unwrap().len() < passes {
            tokio::task::yield_now().await;
        }
    }

    async fn runs(log: &Log) {
        while log.running.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Runs the queue over what `act` sends, each pass asking for the same, until `act` is over.
    async fn through(
        at_once_max: usize,
        next: Next,
        act: impl AsyncFnOnce(mpsc::UnboundedSender<&'static str>, Arc<Log>),
    ) -> Arc<Log> {
        let log = Arc::new(Log::default());
        let (sender, received) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let queue = run(changes(received), at_once_max, std::future::ready(()), stopped, |key| {
            pass(Arc::clone(&log), key, next)
        });
        let act = async {
            act(sender.clone(), Arc::clone(&log)).await;
            let _ = stop.send(());
        };
        futures::join!(queue, act);
        log
    }

    #[tokio::test]
    async fn one_object_has_one_pass_at_a_time_and_one_more_for_what_changed_meanwhile() {
        let log = through(16, Next::Change, async |changed, log| {
            changed.send("a").unwrap();
            runs(&log).await;
            for _ in 0..10 {
                changed.send("a").unwrap();
            }
            ran(&log, 2).await;
        })
        .await;
        assert_eq!(log.most.load(Ordering::SeqCst), 1);
        assert_eq!(*log.passes.lock().unwrap(), ["a", "a"]);
    }

    #[tokio::test]
    async fn no_more_passes_run_at_once_than_allowed_and_none_is_left_out() {
        let log = through(2, Next::Change, async |changed, log| {
            for key in ["a", "b", "c", "d", "e"] {
                changed.send(key).unwrap();
            }
            ran(&log, 5).await;
        })
        .await;
        assert_eq!(log.most.load(Ordering::SeqCst), 2);
        let mut passes = log.passes.lock().unwrap().clone();
        passes.sort_unstable();
        assert_eq!(passes, ["a", "b", "c", "d", "e"]);
    }

    #[tokio::test]
    async fn what_a_pass_asks_for_comes_without_a_change() {
        for delay in [Duration::ZERO, Duration::from_millis(1)] {
            through(16, Next::After(delay), async |changed, log| {
                changed.send("a").unwrap();
                ran(&log, 3).await;
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_change_does_not_wait_for_what_was_asked_for_later() {
        let log = through(16, Next::After(Duration::from_secs(3_600)), async |changed, log| {
            changed.send("a").unwrap();
            ran(&log, 1).await;
            changed.send("a").unwrap();
            ran(&log, 2).await;
        })
        .await;
        assert_eq!(log.passes.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn nothing_begins_before_all_is_ready() {
        let log = Arc::new(Log::default());
        // The changes end, and with them the queue.
        run(stream::iter(["a"]), 1, std::future::pending(), std::future::pending(), |key| {
            pass(Arc::clone(&log), key, Next::Change)
        })
        .await;
        assert!(log.passes.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_end_waits_for_what_runs_and_begins_nothing() {
        let log = through(1, Next::After(Duration::ZERO), async |changed, log| {
            changed.send("a").unwrap();
            changed.send("b").unwrap();
            runs(&log).await;
        })
        .await;
        assert_eq!(*log.passes.lock().unwrap(), ["a"]);
    }

    #[tokio::test]
    #[should_panic(expected = "a pass")]
    async fn a_panic_is_passed_on() {
        let changes = stream::iter(["a"]).chain(stream::pending());
        run(changes, 1, std::future::ready(()), std::future::pending(), |_| async {
            panic!("a pass")
        })
        .await;
    }
}
