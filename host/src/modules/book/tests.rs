//! What follows from what happens, without any of it being done.

use super::*;

const UID: &str = "uid-1";

fn set(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn map(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn pinned(name: &str, of: &str) -> Place {
    Place { map: map(name), key: None, digest: Some(digest(of)) }
}

fn unpinned(name: &str) -> Place {
    Place { map: map(name), key: None, digest: None }
}

fn held(of: &str) -> Held {
    Held { digest: digest(of), key: "policy.wasm".to_owned() }
}

fn trouble(kind: Kind) -> Result<Held, Trouble> {
    Err(Trouble { what: "it is not so".to_owned(), kind })
}

/// A ConfigMap was read, and had this version.
fn read(version: &str) -> Read {
    Read::At(Some(version.to_owned()))
}

/// A set of this size, which is so for all else.
fn shown(but_size: u64, size: u64) -> Shown {
    Shown { whole: but_size * 1_000 + size, but_size }
}

/// A book in which one set at a time is looked at.
#[derive(Default)]
struct Desk {
    book: Book,
}

impl Desk {
    fn names(&mut self, place: &Place, config: u64) -> Errands {
        self.attends(UID, Some((place, config)), &[])
    }

    fn attends(
        &mut self,
        uid: &str,
        named: Option<(&Place, u64)>,
        drains: &[(&str, &Place)],
    ) -> Errands {
        self.attends_as(uid, named, drains, shown(0, 0))
    }

    fn attends_as(
        &mut self,
        uid: &str,
        named: Option<(&Place, u64)>,
        drains: &[(&str, &Place)],
        shown: Shown,
    ) -> Errands {
        let named = named.map(|(place, config)| (place.clone(), config));
        let drains = drains.iter().map(|(pod, place)| ((*pod).to_owned(), (*place).clone()));
        self.book.attend(uid, &set(uid), named, drains.collect(), shown)
    }

    /// Loads a place and lets every check that follows go well.
    fn loads(&mut self, place: &Place, of: &str, at: &str) -> Errands {
        let mut errands = self.book.loaded(place, Ok(held(of)), read(at));
        for check in std::mem::take(&mut errands.check) {
            errands.extend(self.book.checked(&check, Ok(())));
        }
        errands
    }

    fn trouble(&self) -> Option<(String, Option<Digest>)> {
        let (against, in_use) = self.book.trouble(UID)?;
        match against {
            Against::Policy(Trouble { what, .. }) | Against::Config(what) => Some((what, in_use)),
        }
    }

    fn in_use(&self, place: &Place, config: u64) -> Option<Digest> {
        match self.book.standing(UID, place, config) {
            Standing::Ready(used) => Some(used.held.digest),
            Standing::Refused(_) | Standing::Troubled(_) | Standing::Loading => None,
        }
    }
}

/// Whether this is all that is to be loaded.
fn loads(errands: &Errands, place: &Place) -> bool {
    matches!(errands.load.as_slice(), [only] if **only == *place)
}

#[test]
fn what_is_named_is_loaded_once_however_many_name_it() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    assert!(loads(&desk.names(&place, 1), &place));
    assert!(desk.names(&place, 1).load.is_empty());
    assert!(desk.attends("uid-2", Some((&place, 1)), &[]).load.is_empty());
    let errands = desk.loads(&place, "a", "1");
    assert_eq!(errands.wake, BTreeSet::from([set(UID), set("uid-2")]));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
}

/// A drain pod may be there, and its policy replaced, before the watch shows it.
#[test]
fn what_rendered_a_pod_is_held_until_a_reading_has_no_such_pod() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    desk.book.rendered(UID, &set(UID), "web-1", digest("a"));
    assert!(desk.loads(&place, "b", "2").release.is_empty(), "before the pod is shown");
    assert!(desk.book.was_read(UID, &BTreeSet::from(["web-1"])).release.is_empty());
    assert!(desk.names(&place, 1).release.is_empty(), "the watch is late");
    let drains = [("web-1", &pinned("mine", "a"))];
    assert!(desk.attends(UID, Some((&place, 1)), &drains).release.is_empty());
    assert!(desk.book.was_read(UID, &BTreeSet::new()).release.is_empty(), "the watch shows it");
    assert_eq!(desk.names(&place, 1).release, [digest("a")], "it is gone");

    desk.book.rendered(UID, &set(UID), "web-0", digest("c"));
    assert_eq!(desk.book.was_read(UID, &BTreeSet::new()).release, [digest("c")], "never created");
}

#[test]
fn a_pinned_policy_that_was_had_is_not_watched_and_one_that_is_missing_is() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    assert!(!desk.book.is_watched(&place.map));
    let errands = desk.book.loaded(&place, trouble(Kind::Absent), Read::At(None));
    assert!(errands.maps.contains(&place.map) && errands.retry.is_empty());
    assert!(desk.book.is_watched(&place.map));
    // That there is none is what was found.
    assert!(desk.book.changed(&place.map, None).load.is_empty());
    assert!(loads(&desk.book.changed(&place.map, Some("7")), &place));
    let errands = desk.loads(&place, "a", "7");
    assert!(errands.maps.contains(&place.map) && !desk.book.is_watched(&place.map));
    assert_eq!(errands.wake, BTreeSet::from([set(UID)]));
}

#[test]
fn what_the_watch_shows_first_is_what_was_read() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    desk.book.loaded(&place, trouble(Kind::Wrong), read("7"));
    assert!(desk.book.changed(&place.map, Some("7")).load.is_empty());
    assert!(loads(&desk.book.changed(&place.map, Some("8")), &place));
    // It changes again and again while it is read.
    assert!(desk.book.changed(&place.map, Some("9")).load.is_empty());
    assert!(desk.book.changed(&place.map, Some("10")).load.is_empty());
    let errands = desk.book.loaded(&place, trouble(Kind::Wrong), read("9"));
    assert!(loads(&errands, &place));
    let errands = desk.book.loaded(&place, trouble(Kind::Wrong), read("10"));
    assert!(errands.load.is_empty());
}

#[test]
fn another_digest_that_cannot_be_had_begins_no_drain_with_the_one_before() {
    let (mut desk, old, new) = (Desk::default(), pinned("mine", "a"), pinned("mine", "b"));
    desk.names(&old, 1);
    desk.loads(&old, "a", "1");
    assert!(loads(&desk.attends(UID, Some((&new, 2)), &[("web-2", &old)]), &new));
    assert_eq!(desk.book.standing(UID, &new, 2), Standing::Loading);
    desk.book.loaded(&new, trouble(Kind::Wrong), read("2"));
    assert!(matches!(desk.book.standing(UID, &new, 2), Standing::Troubled(_)));
    assert_eq!(desk.trouble(), Some(("it is not so".to_owned(), None)));
}

#[test]
fn without_a_digest_the_last_good_one_stays_until_another_is_good() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    assert!(desk.book.is_watched(&place.map));
    assert!(loads(&desk.book.changed(&place.map, Some("2")), &place));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
    let errands = desk.book.loaded(&place, trouble(Kind::Wrong), read("2"));
    assert_eq!((errands.release, errands.wake), (vec![], BTreeSet::from([set(UID)])));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
    assert_eq!(desk.trouble(), Some(("it is not so".to_owned(), Some(digest("a")))));

    desk.book.changed(&place.map, Some("3"));
    let mut errands = desk.book.loaded(&place, Ok(held("b")), read("3"));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
    let check = errands.check.pop().expect("it is checked first");
    desk.book.checked(&check, Err("no such key".to_owned()));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
    assert_eq!(desk.trouble(), Some(("no such key".to_owned(), Some(digest("a")))));

    desk.book.changed(&place.map, Some("4"));
    let errands = desk.loads(&place, "c", "4");
    assert_eq!((desk.in_use(&place, 1), desk.trouble()), (Some(digest("c")), None));
    assert_eq!(
        errands.release,
        [digest("a"), digest("b")]
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

#[test]
fn without_a_digest_a_config_map_that_is_gone_drains_nothing_more() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    assert!(loads(&desk.book.changed(&place.map, None), &place));
    let errands = desk.book.loaded(&place, trouble(Kind::Absent), Read::At(None));
    assert_eq!(errands.release, [digest("a")]);
    assert!(matches!(desk.book.standing(UID, &place, 1), Standing::Troubled(_)));
}

#[test]
fn another_config_is_checked_before_it_is_used() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    let mut errands = desk.names(&place, 2);
    assert_eq!((desk.in_use(&place, 1), desk.in_use(&place, 2)), (None, None));
    let check = errands.check.pop().expect("it is checked");
    // A check of what is not named any more says nothing.
    let mut errands = desk.names(&place, 3);
    let later = errands.check.pop().expect("it is checked");
    assert!(!desk.book.is_running(&check) && desk.book.is_running(&later));
    desk.book.checked(&check, Ok(()));
    assert_eq!((desk.in_use(&place, 2), desk.in_use(&place, 3)), (None, None));
    let errands = desk.book.checked(&later, Err("no such key".to_owned()));
    assert_eq!(errands.wake, BTreeSet::from([set(UID)]));
    assert_eq!(desk.book.standing(UID, &place, 3), Standing::Refused("no such key".to_owned()));
    // It is not checked again before something changes.
    assert!(desk.names(&place, 3).check.is_empty());
    assert_eq!(desk.names(&place, 4).check.len(), 1);
}

#[test]
fn what_is_refused_is_checked_again_when_the_set_may_have_been_mended() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    let mut errands = desk.book.loaded(&place, Ok(held("a")), read("1"));
    let check = errands.check.pop().expect("it is checked");
    // The set changes while it is being checked: what comes of that is of the set before.
    assert!(desk.attends_as(UID, Some((&place, 1)), &[], shown(0, 7)).check.is_empty());
    let mut errands = desk.book.checked(&check, Err("no such container".to_owned()));
    let check = errands.check.pop().expect("it is checked again");
    let errands = desk.book.checked(&check, Err("no such container".to_owned()));
    assert!(errands.check.is_empty());
    assert!(desk.attends_as(UID, Some((&place, 1)), &[], shown(0, 7)).check.is_empty());
    let mut errands = desk.attends_as(UID, Some((&place, 1)), &[], shown(0, 8));
    let check = errands.check.pop().expect("it is checked again");
    // What was said of it stays said, and whoever waits for it waits.
    assert!(matches!(desk.book.trouble(UID), Some((Against::Config(_), None))));
    assert_eq!(desk.book.standing(UID, &place, 1), Standing::Loading);
    desk.book.checked(&check, Ok(()));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
}

#[test]
fn what_was_taken_is_checked_again_when_the_set_changes_otherwise_than_in_size() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    assert!(desk.attends_as(UID, Some((&place, 1)), &[], shown(0, 5)).check.is_empty());
    let mut errands = desk.attends_as(UID, Some((&place, 1)), &[], shown(1, 5));
    let check = errands.check.pop().expect("it is checked again");
    let errands = desk.book.checked(&check, Err("the template cannot be read".to_owned()));
    let why = "the template cannot be read".to_owned();
    assert_eq!(desk.book.standing(UID, &place, 1), Standing::Refused(why.clone()));
    assert_eq!(desk.book.trouble(UID), Some((Against::Config(why), None)));
    assert!(errands.release.is_empty() && errands.check.is_empty(), "a drain may stand on it");
    let mut errands = desk.attends_as(UID, Some((&place, 1)), &[], shown(2, 5));
    let check = errands.check.pop().expect("it is checked again");
    let errands = desk.book.checked(&check, Ok(()));
    assert!(errands.swapped.is_empty() && errands.release.is_empty());
    assert_eq!((desk.book.trouble(UID), desk.book.taken(UID)), (None, Some(digest("a"))));
}

#[test]
fn a_check_that_cannot_be_made_is_told_and_goes_on() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    let mut errands = desk.book.loaded(&place, Ok(held("a")), read("1"));
    let check = errands.check.pop().expect("it is checked");
    assert!(desk.book.is_busy());
    let errands = desk.book.check_failed(&check, "no answer within 1 s".to_owned());
    assert!(errands.wake.contains(&set(UID)));
    let standing = desk.book.standing(UID, &place, 1);
    let Standing::Troubled(Trouble { what, kind: Kind::Passing }) = &standing else {
        panic!("{standing:?}")
    };
    assert!(what.contains("no answer within 1 s"), "{what}");
    assert!(desk.book.is_running(&check) && !desk.book.is_busy());
    assert!(desk.book.check_failed(&check, "no answer within 1 s".to_owned()).wake.is_empty());
    desk.book.checked(&check, Ok(()));
    assert_eq!(desk.in_use(&place, 1), Some(digest("a")));
}

#[test]
fn the_answer_to_a_check_counts_only_for_what_is_named_and_there() {
    let (mut desk, place, other) = (Desk::default(), unpinned("mine"), pinned("other", "b"));
    desk.names(&place, 1);
    let mut errands = desk.book.loaded(&place, Ok(held("a")), read("1"));
    let check = errands.check.pop().expect("it is checked");
    desk.book.changed(&map("mine"), None);
    desk.book.loaded(&place, trouble(Kind::Absent), Read::At(None));
    desk.book.checked(&check, Ok(()));
    assert_eq!(desk.in_use(&place, 1), None, "it is gone");

    let mut errands = desk.book.loaded(&place, Ok(held("a")), read("2"));
    let check = errands.check.pop().expect("it is checked");
    desk.names(&other, 1);
    assert!(!desk.book.is_running(&check), "nobody names it any more");
    desk.names(&place, 1);
    assert_eq!(desk.book.loaded(&place, Ok(held("a")), read("2")).check.len(), 1);
    assert!(!desk.book.is_running(&check), "it is another check of the same");
    desk.names(&other, 1);
    desk.book.checked(&check, Ok(()));
    assert_eq!(desk.in_use(&other, 1), None);
}

#[test]
fn a_change_while_a_place_is_loaded_is_not_lost() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    assert!(loads(&desk.names(&place, 1), &place));
    desk.book.changed(&map("mine"), Some("2"));
    assert!(loads(&desk.book.loaded(&place, Ok(held("a")), read("1")), &place));
    assert!(!loads(&desk.book.loaded(&place, Ok(held("b")), read("2")), &place));

    // It was not there, it is loaded, and it is gone again before that has ended.
    desk.book.changed(&map("mine"), None);
    desk.book.loaded(&place, trouble(Kind::Absent), Read::At(None));
    assert!(loads(&desk.book.changed(&map("mine"), Some("3")), &place));
    desk.book.changed(&map("mine"), None);
    assert!(loads(&desk.book.loaded(&place, Ok(held("a")), read("3")), &place));

    // What is pinned and was had is had.
    let pinned = pinned("theirs", "a");
    desk.names(&pinned, 1);
    desk.book.changed(&map("theirs"), Some("2"));
    assert!(!loads(&desk.book.loaded(&pinned, Ok(held("a")), read("1")), &pinned));
}

#[test]
fn the_last_good_one_that_has_fallen_out_of_memory_cannot_be_had_again() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    desk.names(&place, 1);
    desk.loads(&place, "a", "1");
    let used =
        Use { named: Named { place: Arc::new(place.clone()), fingerprint: 1 }, held: held("a") };
    let (standing, errands) = desk.book.fell_out(UID, &used);
    assert!(standing == Standing::Loading && loads(&errands, &place));
    desk.book.loaded(&place, Ok(held("a")), read("1"));
    desk.book.changed(&map("mine"), Some("2"));
    let mut errands = desk.book.loaded(&place, Ok(held("b")), read("2"));
    let check = errands.check.pop().expect("it is checked");
    desk.book.checked(&check, Err("not this config".to_owned()));
    assert_eq!((desk.in_use(&place, 1), desk.book.taken(UID)), (Some(digest("a")), None));
    let (standing, errands) = desk.book.fell_out(UID, &used);
    assert_eq!(standing, Standing::Refused("not this config".to_owned()));
    assert!(errands.load.is_empty());
}

#[test]
fn of_a_map_that_is_not_watched_all_that_changes_is_read_again() {
    let (mut desk, place) = (Desk::default(), unpinned("mine"));
    desk.names(&place, 1);
    assert!(desk.book.read_again(&map("mine")).load.is_empty(), "it is being read");
    desk.loads(&place, "a", "1");
    assert!(loads(&desk.book.read_again(&map("mine")), &place));
    assert!(desk.book.read_again(&map("other")).load.is_empty());
}

#[test]
fn a_module_is_let_go_when_neither_a_set_nor_a_drain_names_it() {
    let (mut desk, old, new) = (Desk::default(), pinned("mine", "a"), pinned("mine", "b"));
    desk.names(&old, 1);
    desk.loads(&old, "a", "1");
    let running = [("web-2", &old), ("web-1", &old)];
    assert_eq!(desk.attends(UID, Some((&old, 1)), &running).release, []);
    assert_eq!(desk.attends(UID, Some((&new, 2)), &running).release, []);
    assert_eq!(desk.loads(&new, "b", "2").release, []);
    assert_eq!(desk.attends(UID, Some((&new, 2)), &running[..1]).release, []);
    assert_eq!(desk.attends(UID, Some((&new, 2)), &[]).release, [digest("a")]);
    assert_eq!(desk.attends(UID, None, &[]).release, [digest("b")]);
    assert!(desk.book.sets.is_empty() && desk.book.places.is_empty());
}

#[test]
fn the_drains_of_a_set_that_is_gone_keep_their_module_until_the_last_is_gone() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.attends(UID, Some((&place, 1)), &[("web-2", &place), ("web-1", &place)]);
    desk.loads(&place, "a", "1");
    assert_eq!(desk.book.set_gone(UID).release, []);
    assert_eq!(desk.book.pod_gone(UID, "web-2").release, []);
    assert_eq!(desk.book.pod_gone(UID, "web-1").release, [digest("a")]);
    assert_eq!(desk.book.len(), 0);
}

#[test]
fn what_could_not_be_read_is_tried_again_later_each_time_and_once() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    let mut errands = desk.book.loaded(&place, trouble(Kind::Passing), Read::Nothing);
    let first = errands.retry.pop().expect("it is tried again");
    assert_eq!((first.after_ms, errands.wake.len()), (1_000, 1));
    assert_eq!(desk.trouble(), None);
    assert!(loads(&desk.book.retry(&first), &place));
    let mut errands = desk.book.loaded(&place, trouble(Kind::Passing), Read::Nothing);
    let second = errands.retry.pop().expect("it is tried again");
    // The same again is no news.
    assert_eq!((second.after_ms, errands.wake.len()), (2_000, 0));
    assert!(desk.book.retry(&first).load.is_empty());
    assert!(loads(&desk.book.retry(&second), &place));
    desk.loads(&place, "a", "1");
    assert!(desk.book.retry(&second).load.is_empty());
}

#[test]
fn what_was_too_costly_is_tried_again_when_that_is_forgotten_or_it_changes() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    desk.names(&place, 1);
    let costly = Kind::Costly { lasts_ms: 600_000 };
    let errands = desk.book.loaded(&place, trouble(costly), read("1"));
    assert_eq!(errands.retry.first().map(|retry| retry.after_ms), Some(600_000));
    assert!(desk.book.is_watched(&place.map));
    assert!(loads(&desk.book.changed(&place.map, Some("2")), &place));
}

#[test]
fn a_drain_has_its_module_loaded_again_where_it_is_not_in_memory() {
    let (mut desk, place) = (Desk::default(), pinned("mine", "a"));
    let (standing, errands) = desk.book.of_drain(UID, &set("web"), "web-2", place.clone());
    assert_eq!((standing, loads(&errands, &place)), (Standing::Loading, true));
    let errands = desk.book.loaded(&place, trouble(Kind::Absent), Read::At(None));
    assert_eq!(errands.wake, BTreeSet::from([set("web")]));
    let (standing, errands) = desk.book.of_drain(UID, &set("web"), "web-2", place.clone());
    assert!(matches!(standing, Standing::Troubled(_)) && errands.load.is_empty());
    assert!(loads(&desk.book.changed(&place.map, Some("1")), &place));
}
