//! The commands against namespaces of objects as the API server shows them.

mod words;

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use serde_json::{Value, json};
use tidegate_core::{Action, Ordinal, Reason, Record, Severity, Step, TimeMs, record::Hold};

use super::{
    adopt::adopt,
    args::Consent,
    hand::{Grounds, Move, Then, carry_out},
    refusal::{Refusal, settings},
    release::{release, release_set},
    retry::retry,
    scene::{Case, Scene},
    status::{Row, Source, status},
};
use crate::{
    cluster::{Cluster, Effect},
    error::Error,
    marks::{self, Containers, Marks},
    report,
};

/// When the scenes were read: everything in them was made at the start of 1970.
const NOW: TimeMs = TimeMs(1_000_000);
const ORDINAL: Ordinal = Ordinal(1);

/// A set `web` of one member, whose orphan has ordinal 1.
#[derive(Clone)]
struct Objects {
    set: Value,
    claim: Value,
    pod: Option<Value>,
    others: Vec<Value>,
    events: Vec<Event>,
}

impl Objects {
    /// An orphan, enrolled and bound, that nobody drains yet.
    fn orphan() -> Self {
        let set = json!({
            "kind": "StatefulSet",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "uid-web", "resourceVersion": "7", "generation": 3,
                "annotations": { "tidegate.dev/policy": "library:exec", "tidegate.dev/policy-config": "{}" },
            },
            "spec": {
                "replicas": 1,
                "podManagementPolicy": "Parallel",
                "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
            },
        });
        let claim = json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data-web-1", "namespace": "shop", "uid": "uid-claim", "resourceVersion": "8",
                "creationTimestamp": "1970-01-01T00:00:00Z",
                "labels": { "tidegate.dev/set-uid": "uid-web" },
            },
            "spec": { "volumeName": "pv-1" },
            "status": { "phase": "Bound", "capacity": { "storage": "1Gi" } },
        });
        Self { set, claim, pod: None, others: Vec::new(), events: Vec::new() }
    }

    /// The same while its drain pod of attempt 1 runs.
    fn draining() -> Self {
        let marks = Marks {
            version: Marks::VERSION,
            set: "web".into(),
            set_uid: "uid-web".into(),
            generation: 3,
            ordinal: ORDINAL.0,
            attempt: 1,
            policy_namespace: "shop".into(),
            policy: "p".into(),
            digest: "d".into(),
            config: "{}".into(),
            containers: Containers { main: vec!["drain".into()], ..Containers::default() },
            claims: [("data".to_owned(), "uid-claim".to_owned())].into(),
            owner: "data".into(),
            orphan_since_ms: 0,
        };
        let owner = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data-web-1", "uid": "uid-claim",
            "controller": true,
        });
        let volume =
            json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-web-1" } });
        let pod = json!({
            "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "uid-pod", "resourceVersion": "9",
                "creationTimestamp": "1970-01-01T00:00:50Z",
                "labels": { "tidegate.dev/set-uid": "uid-web" },
                "annotations": { "tidegate.dev/drain": marks.to_json() },
                "ownerReferences": [owner],
            },
            "spec": { "containers": [{ "name": "drain" }], "volumes": [volume] },
            "status": {
                "phase": "Running",
                "containerStatuses": [{ "name": "drain", "state": { "running": {} } }],
            },
        });
        Self { pod: Some(pod), ..Self::orphan() }
    }

    /// The same once it has ended with this exit code.
    fn ended(code: i32) -> Self {
        let mut objects = Self::draining();
        let ended = json!({ "exitCode": code, "reason": "Ended" });
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        objects.on_pod(
            "/status",
            json!({
                "phase": phase,
                "containerStatuses": [{ "name": "drain", "state": { "terminated": ended } }],
            }),
        );
        objects
    }

    /// The same under the seal, of which the host says this.
    fn sealed(note: &str) -> Self {
        let mut objects = Self::ended(0);
        objects.on_pod("/metadata/finalizers", json!([marks::SEAL]));
        objects.on_pod("/metadata/annotations/tidegate.dev~1sealed", json!(note));
        objects
    }

    fn on_pod(&mut self, at: &str, value: Value) {
        put(self.pod.as_mut().expect("a pod is there"), at, value);
    }

    fn on_claim(&mut self, at: &str, value: Value) {
        put(&mut self.claim, at, value);
    }

    fn on_set(&mut self, at: &str, value: Value) {
        put(&mut self.set, at, value);
    }

    fn noted(mut self, change: impl FnOnce(Record, u64) -> Record) -> Self {
        let scene = self.scene();
        let subject = scene.find("web", None).expect("the set is there");
        let set = &subject.seen.set;
        let fingerprint = settings(set).expect("the set is ours").fingerprint();
        let record = change(Record::of(set), fingerprint);
        let text = marks::record_to_json(&record);
        self.on_claim("/metadata/annotations", json!({ marks::RECORD: text }));
        self
    }

    fn scene(&self) -> Scene {
        let all = [&self.set, &self.claim].into_iter().chain(&self.pod).chain(&self.others);
        let all: Vec<&Value> = all.collect();
        let mut scene = Scene::of(
            "shop",
            of_kind(&all, "StatefulSet"),
            of_kind(&all, "PersistentVolumeClaim"),
            of_kind(&all, "Pod"),
            NOW,
        );
        scene.events.clone_from(&self.events);
        scene
    }

    fn decide<T>(&self, decide: impl FnOnce(&Case<'_>) -> T) -> T {
        let scene = self.scene();
        let subject = scene.find("web", Some(ORDINAL)).expect("the set is there");
        decide(&subject.case(&scene, ORDINAL).expect("the ordinal is there"))
    }

    fn rows(&self) -> Vec<Row> {
        status(&self.scene(), None).expect("the objects are whole").1
    }

    fn row(&self) -> Row {
        let rows = self.rows();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.into_iter().next().expect("there is one")
    }

    fn adopt(&self) -> Result<Move, Refusal> {
        self.decide(|case| adopt(case, Some("uid-ns")).map(|adoption| adoption.next))
    }

    fn retry(&self, consent: Consent) -> Result<Move, Refusal> {
        self.decide(|case| retry(case, consent))
    }

    fn release(&self) -> Result<Move, Refusal> {
        self.decide(release)
    }
}

/// An event that the host left on the set `web`, at this many milliseconds since 1970.
pub(super) fn told(ordinal: Option<u32>, reason: &Reason, at: i64) -> Event {
    let severity = match reason.severity() {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    let member = ordinal.map(|ordinal| format!("web-{ordinal}: ")).unwrap_or_default();
    Event {
        event_time: Some(MicroTime(Timestamp::from_millisecond(at).expect("it is in range"))),
        note: Some(format!("{member}{reason}")),
        reason: Some(reason.code().to_owned()),
        type_: Some(severity.to_owned()),
        regarding: Some(ObjectReference {
            kind: Some("StatefulSet".to_owned()),
            name: Some("web".to_owned()),
            uid: Some("uid-web".to_owned()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(report::CONTROLLER.to_owned()),
        ..Event::default()
    }
}

/// Puts a value at a pointer whose parents are there, or are made where they are objects.
fn put(object: &mut Value, at: &str, value: Value) {
    let (parent, key) = at.rsplit_once('/').expect("a pointer");
    if object.pointer(parent).is_none() {
        put(object, parent, json!({}));
    }
    object.pointer_mut(parent).expect("the parent")[key.replace("~1", "/")] = value;
}

fn of_kind<T: serde::de::DeserializeOwned>(all: &[&Value], kind: &str) -> Vec<T> {
    let chosen = all.iter().filter(|object| object["kind"] == kind);
    chosen.map(|object| serde_json::from_value((*object).clone()).expect("it is read")).collect()
}

fn actions(decided: Result<Move, Refusal>) -> Vec<Action> {
    let decided = decided.expect("it is not refused");
    decided.steps.into_iter().map(|step| step.action).collect()
}

fn refused<T>(decided: Result<T, Refusal>) -> &'static str {
    decided.err().expect("it is refused").code()
}

#[test]
fn an_orphan_that_was_never_enrolled_is_shown_with_the_words_of_the_host() {
    let mut objects = Objects::orphan();
    objects.on_claim("/metadata/labels", json!({}));
    let reason = Reason::NotEnrolled { claim: "data-web-1".into() };
    objects.events = vec![told(Some(1), &reason, 400_000)];
    let row = objects.row();
    assert_eq!((row.stage, row.code.as_str()), ("orphan", "NotEnrolled"));
    assert_eq!((row.words, row.source), (reason.to_string(), Source::Objects));
    assert_eq!((row.since, row.severity), (Some(TimeMs(400_000)), Severity::Warning));
    assert_eq!(row.command.as_deref(), Some("tidegate adopt web 1 -n shop"));
}

#[test]
fn what_only_the_policy_knows_comes_from_the_last_event() {
    let mut objects = Objects::orphan();
    let refuses = Reason::PolicyRefuses { reason: "no receiver".into() };
    objects.events = vec![told(Some(1), &refuses, 400_000)];
    let row = objects.row();
    assert_eq!((row.code.as_str(), row.words), ("PolicyRefuses", refuses.to_string()));
    assert_eq!((row.source, row.since), (Source::Event, Some(TimeMs(400_000))));

    // What a host told while something else held it back says nothing about an orphan that nothing holds back.
    objects.events = vec![told(Some(1), &Reason::Paused, 400_000)];
    assert_eq!(objects.row().code, "NothingSaid");
}

#[test]
fn what_stands_against_a_policy_is_shown_of_the_set_until_it_is_taken() {
    let mut objects = Objects::orphan();
    let of_the_set = |objects: &Objects| -> Vec<(String, Source)> {
        let rows = objects.rows().into_iter().filter(|row| row.ordinal.is_none());
        rows.map(|row| (row.code, row.source)).collect()
    };
    let invalid = Reason::ConfigInvalid { what: "no such key".into(), in_use: None };
    objects.events = vec![told(None, &invalid, 400_000)];
    assert_eq!(of_the_set(&objects), [("ConfigInvalid".to_owned(), Source::Event)]);
    let taken = Reason::PolicyTaken { digest: "0123".into() };
    objects.events.push(told(None, &taken, 410_000));
    assert_eq!(of_the_set(&objects), []);
}

#[test]
fn a_drain_is_shown_with_attempt_and_percent_and_without_the_words_about_the_pod_before() {
    let mut objects = Objects::draining();
    let waits = Reason::PolicyWaits { reason: "moving".into(), percent: Some(40) };
    objects.events = vec![told(Some(1), &waits, 60_000)];
    let row = objects.row();
    assert_eq!((row.stage, row.code.as_str()), ("draining", "PolicyWaits"));
    assert_eq!((row.attempt, row.percent, row.since), (Some(1), Some(40), Some(TimeMs(60_000))));

    objects.events = vec![told(Some(1), &waits, 40_000)];
    let row = objects.row();
    assert_eq!((row.code.as_str(), row.since), ("NothingSaid", Some(TimeMs(50_000))));
}

#[test]
fn a_pod_that_is_the_last_copy_is_told_before_what_the_policy_waits_for() {
    let mut objects = Objects::draining();
    objects.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    let waits = Reason::PolicyWaits { reason: "moving".into(), percent: None };
    objects.events = vec![told(Some(1), &waits, 60_000)];
    assert_eq!(objects.row().code, "PodHoldsData");
}

#[test]
fn a_host_that_does_not_come_is_told() {
    // A member that runs, whose claim nobody has enrolled.
    let mut objects = Objects::orphan();
    objects.on_set("/spec/replicas", json!(2));
    objects.on_claim("/metadata/labels", json!({}));
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "uid-web", "controller": true,
    });
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-web-1" } });
    objects.pod = Some(json!({
        "kind": "Pod",
        "metadata": { "name": "web-1", "namespace": "shop", "uid": "m", "ownerReferences": [owner] },
        "spec": { "containers": [], "volumes": [volume] },
    }));
    let row = objects.row();
    assert_eq!((row.ordinal, row.code.as_str()), (None, "NotEnrolledYet"));
    assert!(row.words.contains("web-1"), "{}", row.words);

    objects.on_claim("/metadata/labels", json!({ "tidegate.dev/set-uid": "uid-web" }));
    assert_eq!(objects.rows(), []);

    // A seal whose claims are all deleted, which no host takes off.
    let mut objects = Objects::sealed("uid-pod");
    objects.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    objects.on_claim("/metadata/finalizers", json!(["foregroundDeletion"]));
    let row = objects.row();
    assert_eq!((row.stage, row.code.as_str()), ("drained", "UnderWay"));
    assert_eq!(row.command.as_deref(), Some("tidegate release web 1 -n shop"));
}

#[test]
fn a_drain_pod_whose_set_is_gone_is_shown() {
    let mut objects = Objects::draining();
    objects.set = json!({});
    let row = objects.row();
    assert_eq!((row.set.as_str(), row.ordinal, row.stage), ("web", Some(ORDINAL), "draining"));
    assert_eq!(row.code, "UnderWay");
}

#[test]
fn adopting_enrols_the_very_claim_that_was_read() {
    let mut objects = Objects::orphan();
    objects.on_claim("/metadata/labels", json!({}));
    let decided = objects.adopt().expect("it is not refused");
    assert_eq!(decided.grounds, Grounds::Hand);
    let [Action::Enrol { claim, anchor: None }] = &actions(Ok(decided))[..] else {
        panic!("one claim is to be enrolled");
    };
    assert_eq!((claim.uid.as_str(), claim.resource_version.as_str()), ("uid-claim", "8"));

    objects.on_set("/spec/persistentVolumeClaimRetentionPolicy", json!({ "whenScaled": "Delete" }));
    let [Action::Enrol { anchor: Some(anchor), .. }] = &actions(objects.adopt())[..] else {
        panic!("the claim is to be anchored");
    };
    assert_eq!(anchor, "uid-ns");

    // A set that is gone has lost its claims.
    objects.on_claim("/metadata/labels", json!({ "tidegate.dev/set-uid": "uid-before" }));
    assert_eq!(actions(objects.adopt()).len(), 1);
}

#[test]
fn the_preview_of_an_adoption_says_what_is_at_stake() {
    let mut objects = Objects::orphan();
    objects.on_claim("/metadata/labels", json!({}));
    objects.on_set("/metadata/annotations/tidegate.dev~1paused", json!("true"));
    let preview = objects.decide(|case| adopt(case, None).map(|adoption| adoption.preview));
    let preview = preview.expect("it is not refused");
    for words in [
        "data-web-1: 1Gi, volume pv-1, made 16m ago",
        "library:exec",
        "DELETED WITH THEIR DATA",
        "paused",
    ] {
        assert!(preview.contains(words), "{words:?} in {preview}");
    }
}

#[test]
fn an_adoption_is_refused_with_its_reason() {
    let mut bare = Objects::orphan();
    bare.on_claim("/metadata/labels", json!({}));
    let with = |change: &dyn Fn(&mut Objects)| {
        let mut objects = bare.clone();
        change(&mut objects);
        refused(objects.adopt())
    };
    let user = json!({
        "kind": "Pod",
        "metadata": { "name": "backup", "namespace": "shop" },
        "spec": { "volumes": [{ "name": "x", "persistentVolumeClaim": { "claimName": "data-web-1" } }] },
        "status": { "phase": "Running" },
    });
    let other = |name: &str, template: &str| {
        json!({
            "kind": "StatefulSet",
            "metadata": { "name": name, "namespace": "shop", "uid": "uid-other" },
            "spec": { "volumeClaimTemplates": [{ "metadata": { "name": template } }] },
        })
    };
    let elsewhere = json!({ "tidegate.dev/set-uid": "uid-other" });
    let deleted = json!("1970-01-01T00:01:00Z");
    let none = json!([{ "metadata": { "name": "data" } }, { "metadata": { "name": "log" } }]);
    assert_eq!(refused(Objects::orphan().adopt()), "Enrolled");
    assert_eq!(refused(Objects::draining().adopt()), "DrainThere");
    assert_eq!(with(&|it| it.on_set("/spec/replicas", json!(2))), "OrdinalWanted");
    assert_eq!(with(&|it| it.on_set("/metadata/annotations", json!({}))), "NotOurs");
    assert_eq!(with(&|it| it.on_set("/spec/ordinals", json!({ "start": 2 }))), "BelowStart");
    assert_eq!(with(&|it| it.on_claim("/status/phase", json!("Pending"))), "NotBound");
    assert_eq!(
        with(&|it| it.on_claim("/metadata/deletionTimestamp", deleted.clone())),
        "ClaimTerminating"
    );
    assert_eq!(with(&|it| it.others.push(user.clone())), "ClaimInUse");
    assert_eq!(with(&|it| it.on_set("/spec/volumeClaimTemplates", none.clone())), "ClaimMissing");
    let of_another = |it: &mut Objects| {
        it.on_claim("/metadata/labels", elsewhere.clone());
        it.others.push(other("shop", "data"));
    };
    assert_eq!(with(&of_another), "OfAnotherSet");
    let of_two_names = |it: &mut Objects| {
        it.on_set("/spec/volumeClaimTemplates", json!([{ "metadata": { "name": "data-x" } }]));
        it.on_claim("/metadata/name", json!("data-x-web-1"));
        it.others.push(other("x-web", "data"));
    };
    assert_eq!(with(&of_two_names), "Contested");
}

#[test]
fn a_failed_drain_is_tried_again_with_the_next_attempt() {
    let [Action::Note { claim, record }, Action::DeletePod(pod)] =
        &actions(Objects::ended(3).retry(Consent::Missing))[..]
    else {
        panic!("the attempt is noted, and the pod deleted");
    };
    assert_eq!((claim.uid.as_str(), pod.uid.as_str()), ("uid-claim", "uid-pod"));
    assert_eq!(pod.resource_version, "9");
    assert_eq!((record.attempt, record.not_before, record.generation), (2, None, 3));
}

#[test]
fn a_drain_pod_at_work_is_ended_only_with_consent() {
    assert_eq!(refused(Objects::draining().retry(Consent::Missing)), "AtWork");
    assert_eq!(actions(Objects::draining().retry(Consent::Given)).len(), 2);
}

#[test]
fn what_was_noted_against_the_next_attempt_is_struck_out() {
    let until = Some(TimeMs(NOW.0 + 60_000));
    let held = |record: Record, settings: u64| Record {
        attempt: 4,
        state: "half".into(),
        hold: Some(Hold { why: "no".into(), settings }),
        ..record
    };
    let waits = |record: Record, _: u64| Record { attempt: 4, not_before: until, ..record };
    for objects in [Objects::orphan().noted(held), Objects::orphan().noted(waits)] {
        let row = objects.row();
        assert_eq!(row.command.as_deref(), Some("tidegate retry web 1 -n shop"), "{row:?}");
        let [Action::Note { record, .. }] = &actions(objects.retry(Consent::Missing))[..] else {
            panic!("a note");
        };
        assert_eq!((record.attempt, &record.hold, record.not_before), (4, &None, None));
    }
}

#[test]
fn where_nothing_is_noted_the_host_is_made_to_look() {
    let decided = Objects::orphan().retry(Consent::Missing).expect("it is not refused");
    assert_eq!(decided.grounds, Grounds::Hand);
    assert!(matches!(actions(Ok(decided))[..], [Action::Fence(_)]));
}

#[test]
fn what_cannot_be_read_is_told_and_not_written_over() {
    for mut objects in [Objects::orphan(), Objects::draining(), Objects::ended(1)] {
        objects.on_claim("/metadata/annotations", json!({ marks::RECORD: "{\"version\":2}" }));
        let row = objects.row();
        assert_eq!((row.code.as_str(), row.source), ("RecordUnreadable", Source::Objects));
        assert_eq!(refused(objects.retry(Consent::Given)), "RecordUnreadable");
        assert_eq!(refused(objects.release()), "RecordUnreadable");
    }
}

#[test]
fn trying_again_never_takes_the_last_copy_nor_a_name_that_is_wanted() {
    let mut last_copy = Objects::ended(3);
    last_copy.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert_eq!(refused(last_copy.retry(Consent::Given)), "PodHoldsData");
    assert_eq!(refused(last_copy.release()), "PodHoldsData");

    let mut wanted = Objects::ended(3);
    wanted.on_set("/spec/replicas", json!(2));
    assert_eq!(refused(wanted.retry(Consent::Given)), "OrdinalWanted");

    let mut paused = Objects::ended(3);
    paused.on_set("/metadata/annotations/tidegate.dev~1paused", json!("true"));
    assert_eq!(refused(paused.retry(Consent::Given)), "Paused");
    assert_eq!(refused(Objects::sealed("uid-pod").retry(Consent::Given)), "Sealed");
}

#[test]
fn a_drain_is_given_back_and_not_begun_again() {
    let objects = Objects::draining();
    let [Action::Note { record, .. }, Action::DeletePod(_)] = &actions(objects.release())[..]
    else {
        panic!("a hold is noted, and the pod deleted");
    };
    assert!(record.hold.is_some());
    let noted = objects.noted(|_, _| record.clone());
    assert!(matches!(actions(noted.release())[..], [Action::DeletePod(_)]));

    let mut wanted = Objects::draining();
    wanted.on_set("/spec/replicas", json!(2));
    assert!(matches!(actions(wanted.release())[..], [Action::DeletePod(_)]));
}

#[test]
fn a_seal_is_given_back_in_two_steps_until_a_claim_is_deleted() {
    let given_back = format!("{}uid-pod", marks::GIVEN_BACK);
    let first = Objects::sealed("uid-pod").release().expect("it is not refused");
    assert_eq!((first.grounds, &first.then), (Grounds::Plan, &Then::Look));
    assert!(matches!(actions(Ok(first))[..], [Action::GiveBack(_)]));
    let second = Objects::sealed(&given_back);
    assert!(matches!(actions(second.release())[..], [Action::Note { .. }, Action::Unseal { .. }]));

    // Of two claims one is deleted: half of the data is gone from here, as it was proven that it may be.
    let mut begun = Objects::sealed("uid-pod");
    begun.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert_eq!(refused(begun.release()), "Begun");
}

#[test]
fn a_stray_seal_is_taken_off_where_it_does_not_hold_the_last_copy() {
    let mut stray = Objects::draining();
    stray.on_pod("/metadata/finalizers", json!([marks::SEAL]));
    assert!(matches!(actions(stray.release())[..], [Action::Unseal { .. }]));
    stray.on_pod("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert_eq!(stray.row().code, "StraySeal");
    assert!(matches!(actions(stray.release())[..], [Action::Unseal { .. }]));
    stray.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert_eq!(refused(stray.release()), "PodHoldsData");
}

#[test]
fn a_seal_on_a_pod_whose_marks_were_changed_is_given_back_too() {
    let mut foreign = Objects::sealed("uid-pod");
    foreign.on_pod("/metadata/annotations/tidegate.dev~1drain", json!("{}"));
    assert!(matches!(actions(foreign.release())[..], [Action::GiveBack(_)]));
    let note = format!("{}uid-pod", marks::GIVEN_BACK);
    foreign.on_pod("/metadata/annotations/tidegate.dev~1sealed", json!(note));
    assert!(matches!(actions(foreign.release())[..], [Action::Fence(_), Action::Unseal { .. }]));
    let mut last_copy = foreign.clone();
    last_copy.on_claim("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert_eq!(refused(last_copy.release()), "PodHoldsData");
    foreign.on_pod("/metadata/finalizers", json!([]));
    assert_eq!(refused(foreign.release()), "NameHeld");
}

#[test]
fn a_set_is_let_go_unless_that_takes_claims_or_lasts_no_moment() {
    let free = |objects: &Objects, consent| {
        let scene = objects.scene();
        release_set(&scene, &scene.find("web", None).expect("it is there"), consent)
    };
    let mut objects = Objects::orphan();
    assert_eq!(refused(free(&objects, Consent::Given)), "NotHeld");

    objects.on_set("/metadata/finalizers", json!([marks::PREDECESSOR_HOLD, "other"]));
    let freed = free(&objects, Consent::Missing).expect("it is not refused");
    assert_eq!(freed.finalizers, [marks::PREDECESSOR_HOLD]);

    objects.on_set("/metadata/finalizers", json!([marks::HOLD]));
    objects.on_set("/metadata/annotations/tidegate.dev~1on-set-deleted", json!("drain"));
    assert_eq!(refused(free(&objects, Consent::Given)), "HeldAgain");

    objects.on_set("/metadata/deletionTimestamp", json!("1970-01-01T00:01:00Z"));
    assert!(free(&objects, Consent::Missing).is_ok());
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "uid-web" }]);
    objects.on_claim("/metadata/ownerReferences", owner);
    assert_eq!(refused(free(&objects, Consent::Missing)), "ClaimsGo");
    assert!(free(&objects, Consent::Given).is_ok());
}

/// Nobody answers at this address: what is sent fails otherwise than what is refused before.
#[tokio::test]
async fn a_write_that_breaks_an_invariant_is_not_sent() {
    let nobody = kube::Config::new(http::Uri::from_static("http://127.0.0.1:1"));
    let cluster = Cluster::new(nobody, Effect::Real).expect("a client");
    let scene = Objects::sealed("uid-pod").scene();
    let subject = scene.find("web", Some(ORDINAL)).expect("the set is there");
    let drain = subject.seen.seats[&ORDINAL].drain().expect("a drain pod is there");
    let steps = vec![Step { action: Action::DeletePod(drain.into()), change: None }];
    let illegal = Move { steps, grounds: Grounds::Plan, then: Then::Look };
    let mut out = Vec::new();
    let failed = carry_out(&cluster, &subject.seen, ORDINAL, &illegal, &mut out).await;
    let failed = failed.expect_err("a sealed pod is never deleted");
    assert!(matches!(failed.downcast_ref(), Some(Error::Illegal(_))), "{failed:#}");
    assert_eq!(out, b"");
}
