//! Who names which policy, and what is known of each: plain data, from which follows what has to be loaded, watched, checked and dropped.
//!
//! What a set is drained by is changed in one step only, by [`Book::checked`]: when the policy was loaded, started and has taken the set's config.

mod entry;
mod errands;
mod naming;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::place::Place;
use crate::{objects::Shown, policy::Digest, watch::Key};

use entry::{Entry, Work};
use naming::{Before, Checking, Naming};

pub(super) use entry::{Held, Kind, Read, Trouble};
pub(super) use errands::{Check, Errands, Retry};
pub(super) use naming::{Against, Named, Use};

/// Who names what, and what is known of it.
#[derive(Default)]
pub(super) struct Book {
    sets: BTreeMap<String, Naming>,
    places: BTreeMap<Arc<Place>, Entry>,
    /// How many checks were begun.
    checks: u64,
}

/// What may be asked for a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// This policy.
    Ready(Use),
    /// None, because the policy does not take the config.
    Refused(String),
    /// None, because the policy is not there.
    Troubled(Trouble),
    /// None yet.
    Loading,
}

impl Book {
    /// Whether anything is being loaded or checked. What could not be checked and is tried again later is not.
    pub(super) fn is_busy(&self) -> bool {
        let is_loading = |entry: &Entry| !matches!(entry.work, Work::Idle);
        let is_checked = |naming: &Naming| {
            matches!(&naming.check, Checking::Running(_, _, Before::Nothing | Before::Refused(_)))
        };
        self.places.values().any(is_loading) || self.sets.values().any(is_checked)
    }

    /// Writes down what a set names and what its drain pods stand on, in the place of what was written before.
    pub(super) fn attend(
        &mut self,
        uid: &str,
        set: &Key,
        named: Option<(Place, u64)>,
        drains: BTreeMap<String, Place>,
        shown: Shown,
    ) -> Errands {
        if named.is_none() && drains.is_empty() {
            return self.without(uid, Naming::clear);
        }
        let named =
            named.map(|(place, fingerprint)| Named { place: self.shared(place), fingerprint });
        let drains: BTreeMap<String, Arc<Place>> =
            drains.into_iter().map(|(pod, place)| (pod, self.shared(place))).collect();
        let mut errands = Errands::default();
        let naming = self.sets.entry(uid.to_owned()).or_insert_with(|| Naming::of(set));
        naming.shown = shown;
        naming.rendered.retain(|pod, _| !drains.contains_key(pod));
        if naming.named != named || naming.drains != drains {
            let before = naming.places();
            let fits = |used: &Use| named.as_ref().is_some_and(|named| used.named == *named);
            let unused = naming.in_use.take_if(|used| !fits(used));
            (naming.named, naming.drains) = (named, drains);
            naming.end_other_checks();
            self.release(before, unused, &mut errands);
        }
        self.load_what_is_named(uid, &mut errands);
        self.check_if_due(uid, &mut errands);
        errands
    }

    /// Writes down that a pod was rendered. Its policy stays in memory until [`Book::was_read`] says that there is no such pod, whatever the set names by then.
    pub(super) fn rendered(&mut self, uid: &str, set: &Key, pod: &str, by: Digest) {
        let naming = self.sets.entry(uid.to_owned()).or_insert_with(|| Naming::of(set));
        naming.rendered.insert(pod.to_owned(), by);
    }

    /// That the set and its drain pods were read from the API server, which has no others than these.
    pub(super) fn was_read(&mut self, uid: &str, drains: &BTreeSet<&str>) -> Errands {
        let mut errands = Errands::default();
        if let Some(naming) = self.sets.get_mut(uid) {
            let is_not_there = |pod: &String, _: &mut Digest| !drains.contains(pod.as_str());
            let not_there = naming.rendered.extract_if(.., is_not_there);
            errands.release.extend(not_there.map(|(_, digest)| digest));
            self.keep_named(&mut errands);
        }
        errands
    }

    /// Writes down where the policy of one drain pod lies, which is not in memory.
    pub(super) fn of_drain(
        &mut self,
        uid: &str,
        set: &Key,
        pod: &str,
        place: Place,
    ) -> (Standing, Errands) {
        let place = self.shared(place);
        let naming = self.sets.entry(uid.to_owned()).or_insert_with(|| Naming::of(set));
        naming.drains.insert(pod.to_owned(), Arc::clone(&place));
        self.fetch_again(&place)
    }

    /// Has a place loaded whose module is not in memory, unless it is known that this leads to nothing.
    pub(super) fn fetch_again(&mut self, place: &Arc<Place>) -> (Standing, Errands) {
        let mut errands = Errands::default();
        let entry = self.places.entry(Arc::clone(place)).or_default();
        match &entry.found {
            Some(Err(trouble)) => (Standing::Troubled(trouble.clone()), errands),
            Some(Ok(_)) | None => {
                entry.load(place, &mut errands);
                (Standing::Loading, errands)
            }
        }
    }

    /// That what a set is drained by has fallen out of memory. Where its place holds another policy by now, it cannot be had again.
    pub(super) fn fell_out(&mut self, uid: &str, used: &Use) -> (Standing, Errands) {
        let Named { place, fingerprint } = &used.named;
        let found = self.places.get(place).and_then(|entry| entry.found.as_ref());
        if !matches!(found, Some(Ok(held)) if *held != used.held) {
            return self.fetch_again(place);
        }
        if let Some(naming) = self.sets.get_mut(uid) {
            naming.in_use.take_if(|in_use| in_use == used);
        }
        (self.standing(uid, place, *fingerprint), Errands::default())
    }

    /// What may be asked for the set, where it still names this.
    pub(super) fn standing(&self, uid: &str, place: &Place, fingerprint: u64) -> Standing {
        let Some(naming) = self.sets.get(uid) else {
            return Standing::Loading;
        };
        let is_it = |named: &Named| *named.place == *place && named.fingerprint == fingerprint;
        if let Some(used) = naming.in_use.as_ref().filter(|used| is_it(&used.named)) {
            return Standing::Ready(used.clone());
        }
        if !naming.named.as_ref().is_some_and(is_it) {
            return Standing::Loading;
        }
        match naming.trouble(&self.places) {
            Some(Against::Config(_)) if naming.is_checked_again() => Standing::Loading,
            Some(Against::Config(why)) => Standing::Refused(why),
            Some(Against::Policy(trouble)) => Standing::Troubled(trouble),
            None => Standing::Loading,
        }
    }

    /// What stands against what the set names, and the digest of what it is drained by all the same, where that is another policy.
    pub(super) fn trouble(&self, uid: &str) -> Option<(Against, Option<Digest>)> {
        let naming = self.sets.get(uid)?;
        let found = naming.named.as_ref().and_then(|named| self.places.get(&named.place)?.held());
        let in_use =
            naming.in_use.as_ref().map(|used| &used.held).filter(|held| found != Some(held));
        let in_use = in_use.map(|held| held.digest);
        match naming.trouble(&self.places)? {
            // The next try is seconds away, and where an ordinal waits for it that is told.
            Against::Policy(Trouble { kind: Kind::Passing, .. }) => None,
            against @ (Against::Policy(_) | Against::Config(_)) => Some((against, in_use)),
        }
    }

    /// What the set is drained by, where that is what it names and nothing stands against it.
    pub(super) fn taken(&self, uid: &str) -> Option<Digest> {
        let naming = self.sets.get(uid)?;
        let used = naming.in_use.as_ref().filter(|_| naming.check == Checking::Idle)?;
        let held = self.places.get(&used.named.place)?.held();
        (held == Some(&used.held)).then_some(used.held.digest)
    }

    /// What came of loading a place.
    pub(super) fn loaded(
        &mut self,
        place: &Place,
        found: Result<Held, Trouble>,
        read: Read,
    ) -> Errands {
        let mut errands = Errands::default();
        let Some((place, entry)) = self.entry(place) else {
            // Nobody names it any more.
            errands.release.extend(found.ok().map(|held| held.digest));
            self.keep_named(&mut errands);
            return errands;
        };
        let is_news = found.is_ok() || entry.found.as_ref() != Some(&found);
        let before = entry.settle(&place, found, read, &mut errands);
        errands.release.extend(before.map(|held| held.digest));
        let is_gone = matches!(&entry.found, Some(Err(Trouble { kind: Kind::Absent, .. })));
        for (uid, naming) in &mut self.sets {
            if !naming.names(&place) {
                continue;
            }
            if is_news {
                errands.wake.insert(naming.set.clone());
            }
            errands.look_at.push(uid.clone());
            // What was named without a digest and then taken away is not to be drained by any more; what changed for the worse is.
            let is_it = |used: &mut Use| used.named.place == place;
            if is_gone && place.digest.is_none() {
                errands.release.extend(naming.in_use.take_if(is_it).map(|used| used.held.digest));
            }
        }
        for uid in std::mem::take(&mut errands.look_at) {
            self.check_if_due(&uid, &mut errands);
        }
        errands.maps.insert(place.map.clone());
        self.keep_named(&mut errands);
        errands
    }

    /// What came of checking what a place holds against a set: it takes the place of what was there before, or does not.
    pub(super) fn checked(&mut self, check: &Check, taken: Result<(), String>) -> Errands {
        let mut errands = Errands::default();
        let is_running = self.is_running(check);
        let holds = self.places.get(&check.named.place).and_then(Entry::held) == Some(&check.held);
        let Some(naming) = self.sets.get_mut(&check.uid).filter(|_| is_running) else {
            return errands;
        };
        errands.wake.insert(naming.set.clone());
        match taken {
            // The place holds something else by now, or nothing.
            _ if !holds => naming.check = Checking::Idle,
            Ok(()) => {
                naming.check = Checking::Idle;
                naming.taken_as = Some(check.shown.but_size);
                let used = Use { named: check.named.clone(), held: check.held.clone() };
                let is_other = |before: &Use| before.held != check.held;
                if let Some(before) = naming.in_use.replace(used).filter(is_other) {
                    errands.swapped.push((naming.set.clone(), check.held.digest));
                    errands.release.push(before.held.digest);
                }
            }
            Err(why) => {
                // What it is drained by until now may have been another policy, which took it. This one does not any more.
                let is_it =
                    |used: &mut Use| (&used.named, &used.held) == (&check.named, &check.held);
                naming.in_use.take_if(is_it);
                naming.check =
                    Checking::Refused(check.named.clone(), check.held.digest, check.shown, why);
            }
        }
        self.check_if_due(&check.uid, &mut errands);
        self.keep_named(&mut errands);
        errands
    }

    /// That there is no answer to a check, which goes on: until there is one, that is what is known.
    pub(super) fn check_failed(&mut self, check: &Check, why: String) -> Errands {
        let mut errands = Errands::default();
        let is_running = self.is_running(check);
        let Some(naming) = self.sets.get_mut(&check.uid).filter(|_| is_running) else {
            return errands;
        };
        let failed = Checking::Running(check.named.clone(), check.held.digest, Before::Failed(why));
        if naming.check != failed {
            naming.check = failed;
            errands.wake.insert(naming.set.clone());
        }
        errands
    }

    /// That a check could not be made, because the module has fallen out of memory: it is due again when it was loaded.
    pub(super) fn not_checked(&mut self, check: &Check) -> Errands {
        if let Some(naming) = self.sets.get_mut(&check.uid) {
            naming.check = Checking::Idle;
        }
        self.fetch_again(&check.named.place).1
    }

    /// Whether this check is still wanted.
    pub(super) fn is_running(&self, check: &Check) -> bool {
        let is_running = |naming: &Naming| matches!(naming.check, Checking::Running(..));
        self.sets
            .get(&check.uid)
            .is_some_and(|naming| is_running(naming) && naming.checked_by == check.number)
    }

    /// That a watch shows this version of a ConfigMap, or that there is none.
    pub(super) fn changed(&mut self, map: &Key, version: Option<&str>) -> Errands {
        let mut errands = Errands::default();
        for (place, entry) in places_of(&mut self.places, map) {
            match &entry.work {
                Work::Idle if entry.is_watched(place) && entry.version.as_deref() != version => {
                    entry.load(place, &mut errands);
                }
                Work::Idle => {}
                // Whether this is news shows when it is known what was read.
                Work::Loading | Work::Stale(_) => {
                    entry.work = Work::Stale(version.map(str::to_owned));
                }
            }
        }
        errands
    }

    /// That the time has come for a try that was put off, unless there was another one meanwhile.
    pub(super) fn retry(&mut self, retry: &Retry) -> Errands {
        let mut errands = Errands::default();
        if let Some((place, entry)) = self.entry(&retry.place)
            && entry.failures == retry.failures
        {
            entry.load(&place, &mut errands);
        }
        errands
    }

    /// Reads a ConfigMap again of which no watch tells.
    pub(super) fn read_again(&mut self, map: &Key) -> Errands {
        let mut errands = Errands::default();
        for (place, entry) in places_of(&mut self.places, map) {
            if entry.is_watched(place) {
                entry.load(place, &mut errands);
            }
        }
        errands
    }

    /// Whether changes of this ConfigMap matter to anybody.
    pub(super) fn is_watched(&mut self, map: &Key) -> bool {
        places_of(&mut self.places, map).any(|(place, entry)| entry.is_watched(place))
    }

    /// That a set is gone. Its drain pods may still be there.
    pub(super) fn set_gone(&mut self, uid: &str) -> Errands {
        self.without(uid, |naming| naming.named = None)
    }

    /// That a drain pod is gone.
    pub(super) fn pod_gone(&mut self, uid: &str, pod: &str) -> Errands {
        self.without(uid, |naming| {
            naming.drains.remove(pod);
        })
    }

    /// How many sets name something.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Forgets the sets that are gone. Their drain pods name their policies again when they are judged.
    pub(super) fn keep_only(&mut self, lives: impl Fn(&str) -> bool) -> Errands {
        let gone: Vec<String> = self.sets.keys().filter(|uid| !lives(uid)).cloned().collect();
        let mut errands = Errands::default();
        for uid in gone {
            errands.extend(self.without(&uid, Naming::clear));
        }
        errands
    }

    fn without(&mut self, uid: &str, change: impl FnOnce(&mut Naming)) -> Errands {
        let mut errands = Errands::default();
        let Some(naming) = self.sets.get_mut(uid) else {
            return errands;
        };
        let before = naming.places();
        change(naming);
        naming.end_other_checks();
        let unused = if naming.named.is_none() { naming.in_use.take() } else { None };
        if naming.named.is_none() && naming.drains.is_empty() {
            self.sets.remove(uid);
        }
        self.release(before, unused, &mut errands);
        errands
    }

    fn shared(&self, place: Place) -> Arc<Place> {
        match self.places.get_key_value(&place) {
            Some((shared, _)) => Arc::clone(shared),
            None => Arc::new(place),
        }
    }

    fn entry(&mut self, place: &Place) -> Option<(Arc<Place>, &mut Entry)> {
        let place = Arc::clone(self.places.get_key_value(place)?.0);
        let entry = self.places.get_mut(&place)?;
        Some((place, entry))
    }

    fn load_what_is_named(&mut self, uid: &str, errands: &mut Errands) {
        let Some(place) = self.sets.get(uid).and_then(|naming| naming.named.as_ref()) else {
            return;
        };
        let place = Arc::clone(&place.place);
        let entry = self.places.entry(Arc::clone(&place)).or_default();
        if entry.found.is_none() {
            entry.load(&place, errands);
        }
    }

    /// A policy that was loaded is checked against each set that names it, and again when the set changes that it was shown: where it was taken, in any other
    /// way than by its size. Until there is another answer it stays in use.
    fn check_if_due(&mut self, uid: &str, errands: &mut Errands) {
        let Some(naming) = self.sets.get_mut(uid) else {
            return;
        };
        let Some(named) = naming.named.clone() else {
            return;
        };
        let found = self.places.get(&named.place).and_then(|entry| entry.found.as_ref());
        let Some(Ok(held)) = found else {
            return;
        };
        let used = Use { named: named.clone(), held: held.clone() };
        let asked = (&named, &held.digest);
        let taken_as = Some(naming.shown.but_size);
        let before = match &naming.check {
            Checking::Idle if naming.in_use.as_ref() == Some(&used) => {
                (naming.taken_as != taken_as).then_some(Before::Nothing)
            }
            Checking::Running(of, digest, _) if (of, digest) == asked => None,
            Checking::Refused(of, digest, shown, why) if (of, digest) == asked => {
                (*shown != naming.shown).then(|| Before::Refused(why.clone()))
            }
            Checking::Idle | Checking::Running(..) | Checking::Refused(..) => Some(Before::Nothing),
        };
        if let Some(before) = before {
            self.checks += 1;
            naming.checked_by = self.checks;
            naming.check = Checking::Running(named.clone(), held.digest, before);
            let (set, number) = (naming.set.clone(), self.checks);
            let (uid, held, shown) = (uid.to_owned(), held.clone(), naming.shown);
            errands.check.push(Check { uid, set, number, named, held, shown });
        }
    }

    /// Lets go of the places that nobody names any more, and of the modules that came from them.
    fn release(
        &mut self,
        places: BTreeSet<Arc<Place>>,
        unused: Option<Use>,
        errands: &mut Errands,
    ) {
        errands.release.extend(unused.map(|used| used.held.digest));
        for place in places {
            errands.release.extend(place.digest);
            if self.sets.values().any(|naming| naming.names(&place)) {
                continue;
            }
            if let Some(held) = self.places.remove(&place).as_ref().and_then(Entry::held) {
                errands.release.push(held.digest);
            }
            errands.maps.insert(place.map.clone());
        }
        self.keep_named(errands);
    }

    /// Of the digests that are to be released, those that are named elsewhere stay.
    fn keep_named(&self, errands: &mut Errands) {
        errands.release.sort_unstable();
        errands.release.dedup();
        errands.release.retain(|digest| !self.is_named(digest));
    }

    fn is_named(&self, digest: &Digest) -> bool {
        let holds = |entry: &Entry| entry.held().is_some_and(|held| held.digest == *digest);
        self.places.values().any(holds) || self.sets.values().any(|naming| naming.is_on(digest))
    }
}

fn places_of<'a>(
    places: &'a mut BTreeMap<Arc<Place>, Entry>,
    map: &'a Key,
) -> impl Iterator<Item = (&'a Arc<Place>, &'a mut Entry)> {
    places.range_mut(Place::first_of(map)..).take_while(move |(place, _)| place.map == *map)
}

#[cfg(test)]
mod tests;
