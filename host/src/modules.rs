//! From the reference that a set names to a policy that can be asked.
//!
//! Policies are read, compiled and checked beside the passes, never within one: a pass asks what is at hand, and is made again when more is. So a policy
//! that takes the compiler to its limits keeps nobody waiting but the sets that name it.
//!
//! Where a set names another policy, that one is read, compared with its digest, compiled, started once and shown the set's config before it takes the
//! place of the one before. What happens where it is no good rests on what the set's owner asked for:
//! - With a digest they asked for that very policy. Until it can be had no drain begins: to render with the one before would be to act on a policy that
//!   the set does not name any more, perhaps because it was wrong.
//! - Without one they asked for whatever the ConfigMap holds. Where that becomes something bad, the last good one stays in use, as nobody asked for
//!   another; where the ConfigMap is gone, nothing is.
//!
//! Either way a drain that runs goes on with the policy and config in its pod's marks, and the set's events say what is wrong.

mod book;
mod check;
mod fetch;
mod place;
mod turns;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use tidegate_core::{Reason, Set, Settings};
use tokio::sync::{Notify, mpsc};

use crate::{
    cluster::Cluster,
    marks::Marks,
    objects::Shown,
    policy::{Digest, Module, Policies, PolicyRef},
    watch::Key,
};

use book::{Against, Book, Check, Errands, Kind, Retry, Standing, Trouble, Use};
use place::Place;
use turns::Turns;
use watching::Watches;

pub use place::Sources;

/// How many sets that are gone are remembered before they are looked for: looking costs a pass over all sets.
const GONE_MAX: usize = 64;

/// The policies, and where they come from. Clones are the same.
#[derive(Clone)]
pub struct Modules(Arc<Inner>);

struct Inner {
    policies: Policies,
    sources: Sources,
    cluster: Cluster,
    /// Whose policy is loaded.
    turns: Arc<Turns>,
    /// Whose config is checked: a check asks a policy, which may take its time.
    checks: Arc<Turns>,
    desk: Mutex<Desk>,
    wake: mpsc::Sender<Key>,
    /// Told of every change of the book.
    turned: Notify,
}

#[derive(Default)]
struct Desk {
    book: Book,
    watches: Watches,
}

/// Why a policy cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is not there: what was named does not exist, or is something else.
    Gone(String),
    /// It could not be had; trying again may help, and is done.
    Fault(String),
    /// It does not take the set's config.
    Refused(String),
    /// It is being fetched or checked; the set is looked at again when that has ended.
    Loading(String),
}

/// A policy that can be asked, and where it came from.
pub struct Found {
    /// The policy.
    pub module: Module,
    /// The namespace of its ConfigMap.
    pub namespace: String,
    /// The reference to this very policy in that namespace.
    pub reference: String,
}

impl Modules {
    /// Policies out of ConfigMaps. Each set for which another answer is to be had than before is sent to `wake`, by its namespace and name.
    #[must_use]
    pub fn new(
        policies: Policies,
        sources: Sources,
        cluster: Cluster,
        wake: mpsc::Sender<Key>,
    ) -> Self {
        let (turns, checks) = (Arc::new(Turns::new()), Arc::new(Turns::new()));
        let desk = Mutex::default();
        let turned = Notify::new();
        Self(Arc::new(Inner { policies, sources, cluster, turns, checks, desk, wake, turned }))
    }

    /// Takes note of what a set names and of its drain pods, by name, and has what is missing fetched and checked. `settings` are none where the set
    /// names no policy. `shown` tells one form of the set that a policy may be shown from another.
    pub fn attend(
        &self,
        set: &Set,
        settings: Option<&Settings>,
        drains: &[(String, Marks)],
        shown: Shown,
    ) {
        let named = settings.and_then(|settings| {
            let place = self.0.sources.place(&set.namespace, &settings.policy).ok()?;
            Some((place, settings.fingerprint()))
        });
        let drains: BTreeMap<String, Place> = drains
            .iter()
            .filter_map(|(pod, marks)| {
                Some((pod.clone(), self.0.sources.of_marks(&set.namespace, marks).ok()?))
            })
            .collect();
        self.change(|book| ((), book.attend(&set.uid, &key(set), named, drains, shown)));
    }

    /// The policy that the set is drained by.
    ///
    /// # Errors
    /// Why there is none, with the mend.
    pub fn in_use(&self, set: &Set, settings: &Settings) -> Result<Found, Unavailable> {
        let place = self.0.sources.place(&set.namespace, &settings.policy);
        let place = place.map_err(Unavailable::Gone)?;
        let fingerprint = settings.fingerprint();
        let standing = self.change(|book| {
            let standing = book.standing(&set.uid, &place, fingerprint);
            match &standing {
                Standing::Ready(used) if self.0.policies.get(&used.held.digest).is_none() => {
                    book.fell_out(&set.uid, used)
                }
                Standing::Ready(_)
                | Standing::Refused(_)
                | Standing::Troubled(_)
                | Standing::Loading => (standing, Errands::default()),
            }
        });
        match standing {
            Standing::Ready(used) => self.found(&used, &place),
            Standing::Refused(why) => Err(Unavailable::Refused(why)),
            Standing::Troubled(trouble) => Err(unavailable(trouble)),
            Standing::Loading => Err(loading(&place)),
        }
    }

    /// The very module that rendered a drain pod of the set: from memory, or from where it came from, if that still holds the same.
    ///
    /// # Errors
    /// Why it cannot be asked. [`Unavailable::Gone`] where it is certain that it is not there any more.
    pub fn of_drain(&self, set: &Set, pod: &str, marks: &Marks) -> Result<Module, Unavailable> {
        let place = self.0.sources.of_marks(&set.namespace, marks).map_err(Unavailable::Gone)?;
        if let Some(module) = place.digest.and_then(|digest| self.0.policies.get(&digest)) {
            return Ok(module);
        }
        let why = loading(&place);
        match self.change(|book| book.of_drain(&set.uid, &key(set), pod, place)) {
            Standing::Troubled(trouble) => Err(unavailable(trouble)),
            Standing::Ready(_) | Standing::Refused(_) | Standing::Loading => Err(why),
        }
    }

    /// That a policy has rendered a pod of the set, which may be there before any watch shows it: the policy stays in memory for it.
    pub fn rendered(&self, set: &Set, pod: &str, by: &Module) {
        self.change(|book| {
            (book.rendered(&set.uid, &key(set), pod, by.digest()), Errands::default())
        });
    }

    /// That the set was read from the API server together with its drain pods, by name.
    pub fn was_read(&self, set: &Set, drains: &BTreeSet<&str>) {
        self.change(|book| ((), book.was_read(&set.uid, drains)));
    }

    /// What stands against the policy that the set names, if anything does.
    #[must_use]
    pub fn trouble(&self, set: &Set, settings: &Settings) -> Option<Reason> {
        if let Err(what) = self.0.sources.place(&set.namespace, &settings.policy) {
            return Some(Reason::PolicyNotTaken { what, in_use: None });
        }
        let (against, in_use) = self.desk().book.trouble(&set.uid)?;
        let in_use = in_use.map(|digest| digest.to_string());
        Some(match against {
            Against::Policy(Trouble { what, .. }) => Reason::PolicyNotTaken { what, in_use },
            Against::Config(what) => Reason::ConfigInvalid { what, in_use },
        })
    }

    /// The digest of what the set is drained by, where that is what it names and nothing stands against it.
    #[must_use]
    pub fn taken(&self, set: &Set) -> Option<Digest> {
        self.desk().book.taken(&set.uid)
    }

    /// Waits until nothing is being read, compiled or checked; answers whether anything was. What is tried again later is not waited for.
    pub async fn rest(&self) -> bool {
        let mut was_busy = false;
        loop {
            let mut turned = std::pin::pin!(self.0.turned.notified());
            turned.as_mut().enable();
            if !self.desk().book.is_busy() {
                return was_busy;
            }
            was_busy = true;
            turned.await;
        }
    }

    /// That a set is gone.
    pub fn set_gone(&self, uid: &str) {
        self.change(|book| ((), book.set_gone(uid)));
    }

    /// That a drain pod of the set with this UID is gone.
    pub fn pod_gone(&self, set_uid: &str, pod: &str) {
        self.change(|book| ((), book.pod_gone(set_uid, pod)));
    }

    /// Forgets the sets whose end was not seen, once they are more than those that live. `living` is their number.
    pub fn forget_gone(&self, living: usize, lives: impl Fn(&str) -> bool) {
        let max = living.saturating_mul(2).saturating_add(GONE_MAX);
        self.change(|book| {
            let is_full = book.len() > max;
            ((), if is_full { book.keep_only(lives) } else { Errands::default() })
        });
    }

    /// That a watch shows this version of a ConfigMap, or that there is none.
    fn changed(&self, map: &Key, version: Option<&str>) {
        self.change(|book| ((), book.changed(map, version)));
    }

    fn cluster(&self) -> &Cluster {
        &self.0.cluster
    }

    fn found(&self, used: &Use, place: &Place) -> Result<Found, Unavailable> {
        let module = self.0.policies.get(&used.held.digest).ok_or_else(|| loading(place))?;
        let (namespace, name) = place.map.clone();
        let key = Some(used.held.key.clone());
        let reference =
            PolicyRef::ConfigMap { name, key, digest: Some(used.held.digest) }.to_string();
        Ok(Found { module, namespace, reference })
    }

    /// Changes the book, and sees to what follows.
    fn change<T>(&self, change: impl FnOnce(&mut Book) -> (T, Errands)) -> T {
        let mut desk = self.desk();
        let (answer, mut errands) = change(&mut desk.book);
        for check in std::mem::take(&mut errands.check) {
            errands.extend(self.check(&mut desk.book, check));
        }
        for map in &errands.maps {
            let is_wanted = desk.book.is_watched(map);
            if let Some(after_ms) = desk.watches.set(self, map, is_wanted) {
                tokio::spawn(self.clone().read_again(map.clone(), after_ms));
            }
        }
        for digest in &errands.release {
            self.0.policies.forget(digest);
        }
        drop(desk);
        self.0.turned.notify_waiters();
        for ((namespace, set), digest) in &errands.swapped {
            tracing::info!(namespace, set, %digest, "another policy is in use");
        }
        for place in errands.load {
            tokio::spawn(self.clone().load(place));
        }
        for retry in errands.retry {
            tokio::spawn(self.clone().retry(retry));
        }
        if !errands.wake.is_empty() {
            tokio::spawn(self.clone().wake(errands.wake));
        }
        answer
    }

    /// A policy that does not ask to see the config beforehand takes every config.
    fn check(&self, book: &mut Book, check: Check) -> Errands {
        match self.0.policies.get(&check.held.digest) {
            Some(module) if module.has_validator() => {
                tokio::spawn(check::check(self.clone(), module, check));
                Errands::default()
            }
            Some(_) => book.checked(&check, Ok(())),
            None => book.not_checked(&check),
        }
    }

    fn is_wanted(&self, check: &Check) -> bool {
        self.desk().book.is_running(check)
    }

    fn check_failed(&self, check: &Check, why: String) {
        self.change(|book| ((), book.check_failed(check, why)));
    }

    fn checked(&self, check: &Check, taken: Result<(), String>) {
        self.change(|book| ((), book.checked(check, taken)));
    }

    async fn load(self, place: Arc<Place>) {
        let fetched = match self.0.turns.take(&place.map.0).await {
            Ok(_turn) => {
                let fetching = fetch::fetch(&self.0.cluster, &self.0.policies, &place);
                // A place whose loading ended without a word would be loading for ever.
                let fetched = AssertUnwindSafe(fetching).catch_unwind().await;
                fetched.unwrap_or_else(|_| fetch::broken_off(&place))
            }
            Err(full) => fetch::crowded(&place, full),
        };
        if let Err(Trouble { what, .. }) = &fetched.found {
            tracing::debug!(namespace = place.map.0, "{what}");
        }
        self.change(|book| ((), book.loaded(&place, fetched.found, fetched.read)));
    }

    async fn retry(self, retry: Retry) {
        tokio::time::sleep(Duration::from_millis(retry.after_ms)).await;
        self.change(|book| ((), book.retry(&retry)));
    }

    async fn read_again(self, map: Key, after_ms: u64) {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        self.desk().watches.is_read_again(&map);
        self.change(|book| ((), book.read_again(&map)));
    }

    async fn wake(self, sets: BTreeSet<Key>) {
        for set in sets {
            // Nobody listens any more only while the host shuts down.
            let _ = self.0.wake.send(set).await;
        }
    }

    /// A thread that panicked while it held the lock left plain data behind.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(set: &Set) -> Key {
    (set.namespace.clone(), set.name.clone())
}

fn unavailable(trouble: Trouble) -> Unavailable {
    match trouble.kind {
        Kind::Absent | Kind::Wrong => Unavailable::Gone(trouble.what),
        Kind::Costly { .. } | Kind::Passing => Unavailable::Fault(trouble.what),
    }
}

fn loading(place: &Place) -> Unavailable {
    let (namespace, name) = &place.map;
    Unavailable::Loading(format!(
        "ConfigMap {namespace}/{name} is being read and its policy checked"
    ))
}
