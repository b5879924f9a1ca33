//! A history in which all is well, and each rule broken in it by hand.

use std::sync::Arc;

use super::super::past::Entry;
use super::*;
use serde_json::json;

const SET_UID: &str = "set-1";
const DATA: &str = "data-web-1";
const LOG: &str = "log-web-1";

/// A second within the minute that all of this takes.
fn at(second: u32) -> Timestamp {
    format!("2026-01-02T03:04:{second:02}Z").parse().unwrap()
}

fn request(verb: &str, resource: &str, name: &str, second: u32) -> Request {
    Request {
        credential: "JTI=a".to_owned(),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        code: if verb == "create" { 201 } else { 200 },
        received: at(second),
        answered: at(second),
        of_uid: String::new(),
        revision: None,
    }
}

fn deletion(resource: &str, name: &str, of_uid: &str, second: u32) -> Request {
    Request { of_uid: of_uid.to_owned(), ..request("delete", resource, name, second) }
}

fn set(replicas: u64) -> Value {
    json!({ "metadata": { "name": "web", "uid": SET_UID }, "spec": { "replicas": replicas } })
}

fn claim(name: &str) -> Value {
    json!({ "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": { ENROLLED: SET_UID } } })
}

fn volumes(names: &[&str]) -> Value {
    let volumes =
        names.iter().map(|name| json!({ "persistentVolumeClaim": { "claimName": name } }));
    volumes.collect()
}

/// The drain pod as it is made.
fn drain() -> Value {
    let marks = json!({
        "setUid": SET_UID,
        "claims": { "data": format!("uid-{DATA}"), "log": format!("uid-{LOG}") },
        "containers": { "main": ["main"], "init": [], "sidecar": [] },
    });
    json!({
        "metadata": {
            "name": "web-1", "uid": "drain-1", "creationTimestamp": "2026-01-02T03:04:06Z", "annotations": { DRAIN: marks.to_string() },
            "ownerReferences": [{ "kind": "PersistentVolumeClaim", "uid": format!("uid-{DATA}"), "controller": true }],
        },
        "spec": { "volumes": volumes(&[DATA, LOG]) },
        "status": { "phase": "Pending" },
    })
}

/// It ended well.
fn ended() -> Value {
    let mut pod = drain();
    pod["status"] = json!({
        "phase": "Succeeded",
        "containerStatuses": [{ "name": "main", "state": { "terminated": { "exitCode": 0 } } }],
    });
    pod
}

fn sealed() -> Value {
    let mut pod = ended();
    pod["metadata"]["finalizers"] = json!([SEAL]);
    pod["metadata"]["annotations"][SEALED] = json!("drain-1");
    pod
}

fn stranger() -> Value {
    json!({
        "metadata": { "name": "stranger-1", "uid": "stranger", "labels": { "tidegate.dev/stranger": "true" } },
        "spec": { "volumes": volumes(&[DATA]) },
        "status": { "phase": "Running" },
    })
}

fn dying(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:40Z");
    object
}

/// Object by object, at the revisions 10, 20, and so on.
struct Story(Past);

impl Story {
    /// The drain of two claims, as it should be.
    fn well() -> Self {
        let mut story = Self(Past::default());
        story.put(10, Kind::Set, set(2));
        story.put(20, Kind::Claim, claim(DATA));
        story.put(30, Kind::Claim, claim(LOG));
        story.put(40, Kind::Set, set(1));
        story.put(50, Kind::Pod, drain());
        story.put(60, Kind::Pod, ended());
        story.put(70, Kind::Pod, sealed());
        story.put(80, Kind::Claim, dying(claim(LOG)));
        story.put(90, Kind::Claim, dying(claim(DATA)));
        for (revision, second) in [(10, 1), (40, 4)] {
            story.0.answered.insert(revision, at(second));
        }
        story.0.moved.insert("drain-1".to_owned());
        for second in [5, 7] {
            for resource in ["statefulsets", "persistentvolumeclaims", "pods"] {
                story.0.asked.push(request("list", resource, "", second));
            }
        }
        story.0.asked.push(request("create", "pods", "web-1", 6));
        story.0.asked.push(deletion("persistentvolumeclaims", LOG, "uid-log-web-1", 8));
        story.0.asked.push(deletion("persistentvolumeclaims", DATA, "uid-data-web-1", 9));
        story
    }

    fn put(&mut self, revision: u64, kind: Kind, object: Value) {
        let name = name(&object).to_owned();
        self.write(Entry { revision, kind, name, object: Some(Arc::new(object)) });
    }

    fn gone(&mut self, revision: u64, kind: Kind, name: &str) {
        self.write(Entry { revision, kind, name: name.to_owned(), object: None });
    }

    fn write(&mut self, entry: Entry) {
        let Entry { revision, .. } = entry;
        self.0.entries.retain(|entry| entry.revision != revision);
        let place = self.0.entries.partition_point(|entry| entry.revision < revision);
        self.0.entries.insert(place, entry);
    }

    fn without(&mut self, revision: u64) {
        self.0.entries.retain(|entry| entry.revision != revision);
    }

    /// What the oracle says must hold these words.
    #[track_caller]
    fn is_wrong(&self, words: &str) {
        let complaints = judge(&self.0);
        assert!(complaints.iter().any(|it| it.contains(words)), "{words}: {complaints:?}");
    }

    #[track_caller]
    fn is_well(&self) {
        assert_eq!(judge(&self.0), Vec::<String>::new());
    }
}

#[test]
fn a_drain_as_it_should_be_is_well() {
    let story = Story::well();
    story.is_well();
    assert_eq!(deleted_by_hosts(&story.0).len(), 2);
}

#[test]
fn work_that_never_ended_is_a_lost_byte() {
    let mut story = Story::well();
    story.0.moved.clear();
    story.is_wrong("LOST BYTE: the work of drain pod web-1");
}

#[test]
fn a_claim_without_a_drain_pod_is_a_lost_byte() {
    let mut story = Story::well();
    for revision in [50, 60, 70] {
        story.without(revision);
    }
    story.is_wrong("LOST BYTE: no drain pod");
}

#[test]
fn another_claim_of_the_same_name_is_a_lost_byte() {
    let mut story = Story::well();
    let mut other = claim(DATA);
    other["metadata"]["uid"] = json!("restored");
    story.put(65, Kind::Claim, other);
    story.0.asked.retain(|asked| asked.name != DATA);
    story.0.asked.push(Request {
        revision: Some(90),
        ..deletion("persistentvolumeclaims", DATA, "restored", 9)
    });
    story.is_wrong("LOST BYTE: no drain pod of this very claim");
}

#[test]
fn a_pod_that_is_not_sealed_proves_nothing() {
    let mut story = Story::well();
    story.without(70);
    story.is_wrong("was not sealed");
    story.is_wrong("the seal of drain pod web-1 is not the host's");
}

/// The seal was put on in the first second, and another host says in this one that it gives it back; the claims are deleted in the eighth and ninth,
/// decided on what was read in the seventh.
fn given_back_in(second: u32) -> Story {
    let mut story = Story::well();
    let mut pod = sealed();
    pod["metadata"]["annotations"][SEALED] = json!("given-back drain-1");
    story.put(75, Kind::Pod, pod);
    for second in [1, second] {
        let by = "JTI=b".to_owned();
        let patch = Request { credential: by, ..request("patch", "pods", "web-1", second) };
        story.0.asked.push(patch);
    }
    story
}

#[test]
fn a_seal_that_was_being_given_back_when_it_was_read_proves_nothing() {
    given_back_in(6).is_wrong("was being given back, as the host must have read");
}

#[test]
fn what_was_decided_on_before_another_host_gives_the_seal_back_may_still_be_carried_out() {
    given_back_in(7).is_well();
}

#[test]
fn a_pod_that_failed_proves_nothing() {
    let mut story = Story::well();
    let mut pod = sealed();
    pod["status"]["phase"] = json!("Failed");
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = json!(1);
    story.put(70, Kind::Pod, pod);
    story.is_wrong("drain pod web-1 is Failed");
    story.is_wrong("container main of drain pod web-1 did not end with 0");
}

#[test]
fn an_end_from_outside_proves_nothing() {
    let mut deleted = Story::well();
    deleted.put(55, Kind::Pod, dying(drain()));
    deleted.is_wrong("was being deleted (revision 55) before it was sealed");
    let mut evicted = Story::well();
    let mut pod = drain();
    pod["status"]["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True" }]);
    evicted.put(55, Kind::Pod, pod);
    evicted.is_wrong("was marked as disrupted (revision 55)");
    // What comes after the seal changes nothing any more.
    let mut late = Story::well();
    late.put(75, Kind::Pod, dying(sealed()));
    late.is_well();
}

#[test]
fn a_claim_that_is_not_mounted_or_not_enrolled_is_not_drained() {
    let mut unmounted = Story::well();
    let mut pod = sealed();
    pod["spec"]["volumes"] = volumes(&[DATA]);
    unmounted.put(70, Kind::Pod, pod);
    unmounted.is_wrong("claim log-web-1: drain pod web-1 does not mount it");
    let mut stripped = Story::well();
    let mut bare = claim(LOG);
    bare["metadata"]["labels"] = json!({});
    stripped.put(75, Kind::Claim, bare);
    stripped.is_wrong("is not enrolled");
}

#[test]
fn a_set_that_never_was_has_no_drains() {
    let mut story = Story::well();
    story.without(10);
    story.without(40);
    story.is_wrong("there never was a set");
}

#[test]
fn the_owner_goes_last() {
    let mut story = Story::well();
    story.put(80, Kind::Claim, dying(claim(DATA)));
    story.put(90, Kind::Claim, dying(claim(LOG)));
    story.is_wrong("and claim log-web-1 was not deleted yet");
}

#[test]
fn a_pod_that_the_host_must_have_read_forbids_the_end() {
    let mut story = Story::well();
    story.put(65, Kind::Pod, stranger());
    story.0.answered.insert(65, at(6));
    story.is_wrong("pod stranger-1 runs on it");
    // It was answered after the last reading began.
    story.0.answered.insert(65, at(8));
    story.is_well();
}

#[test]
fn a_drain_pod_is_made_for_no_ordinal_that_the_host_must_have_read_as_wanted() {
    let mut story = Story::well();
    story.put(45, Kind::Set, set(2));
    story.0.answered.insert(45, at(4));
    story.is_wrong("the set wanted the ordinal since revision 45");
    story.0.answered.insert(45, at(6));
    story.is_well();
}

/// Seed 2895: what was made a second time in the same second was decided on a later reading.
#[test]
fn a_drain_pod_is_not_held_against_what_was_read_for_the_next_one() {
    let mut story = Story::well();
    let within = |tenth: u8| format!("2026-01-02T03:04:06.{tenth}Z").parse().unwrap();
    story.put(42, Kind::Set, set(2));
    let mut before = drain();
    before["metadata"]["uid"] = json!("drain-0");
    story.put(44, Kind::Pod, before);
    story.gone(46, Kind::Pod, "web-1");
    story.put(48, Kind::Set, set(1));
    story.0.answered.insert(42, at(6));
    let again = Request { received: within(5), ..request("create", "pods", "web-1", 6) };
    let read = Request { received: within(4), ..request("list", "statefulsets", "", 6) };
    story.0.asked.extend([read, again]);
    story.is_well();
    // The reading of the first one knew.
    story.0.answered.insert(42, at(4));
    story.is_wrong("revision 44: drain pod web-1 was made: the set wanted the ordinal");
}

#[test]
fn a_drain_pod_is_made_beside_no_pod_that_the_host_must_have_read() {
    let mut story = Story::well();
    story.put(45, Kind::Pod, stranger());
    let mut gone = stranger();
    gone["status"]["phase"] = json!("Failed");
    story.put(55, Kind::Pod, gone);
    story.0.answered.insert(45, at(4));
    story.is_wrong("pod stranger-1 runs on its claim");
}

#[test]
fn a_drain_pod_that_no_host_asked_for_is_seen() {
    let mut story = Story::well();
    story.0.asked.retain(|asked| asked.verb != "create");
    story.is_wrong("no host asked for it");
}

#[test]
fn what_a_killed_host_asked_for_counts_where_it_was_carried_out() {
    let mut story = Story::well();
    story.0.moved.clear();
    for asked in &mut story.0.asked {
        if asked.verb != "list" {
            asked.code = 504;
        }
    }
    story.is_wrong("LOST BYTE: the work of drain pod web-1");
    assert_eq!(deleted_by_hosts(&story.0).len(), 2);
    // It was a person who deleted one of them.
    story.0.answered.insert(80, at(8));
    assert_eq!(deleted_by_hosts(&story.0).len(), 1);
}

/// A person deleted a claim while its drain pod ran, and a host deletes the pod.
fn last_copy(deleted: Value) -> Story {
    let mut story = Story::well();
    for revision in [60, 70, 80, 90] {
        story.without(revision);
    }
    story.0.asked.retain(|asked| asked.verb != "delete");
    story.0.moved.clear();
    story.put(55, Kind::Claim, dying(claim(LOG)));
    story.0.answered.insert(55, at(6));
    story.put(60, Kind::Pod, deleted);
    story.0.asked.push(deletion("pods", "web-1", "drain-1", 8));
    story
}

#[test]
fn the_last_copy_is_not_deleted() {
    let mut story = last_copy(dying(drain()));
    story.is_wrong("LOST BYTE: it held the last copy of claim log-web-1");
    // The claim was deleted while the pod's deletion was on its way.
    story.0.answered.insert(55, at(8));
    story.is_well();
}

#[test]
fn a_sealed_pod_and_one_that_drains_nothing_are_not_deleted() {
    let mut story = Story::well();
    story.put(95, Kind::Pod, dying(sealed()));
    story.0.asked.push(deletion("pods", "web-1", "drain-1", 10));
    story.is_wrong("which is sealed");
    let mut unsealed = ended();
    unsealed["metadata"]["annotations"][DRAINED] = json!("1");
    story.put(92, Kind::Pod, unsealed.clone());
    story.put(95, Kind::Pod, dying(unsealed));
    story.is_well();
    story.put(96, Kind::Pod, stranger());
    story.put(97, Kind::Pod, dying(stranger()));
    story.0.asked.push(deletion("pods", "stranger-1", "stranger", 11));
    story.is_wrong("which is no drain pod");
}

#[test]
fn a_hot_loop_is_seen() {
    let mut story = Story::well();
    story.0.asked.extend((0..700).map(|_| request("get", "statefulsets", "web", 12)));
    story.is_wrong("a host asked more than");
}
