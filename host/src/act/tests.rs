use serde_json::{Value, json};
use tidegate_core::{Answer, Drain, Holder, PodBody, Record, Seat, Seen, TimeMs, proof::Proof};

use super::*;
use crate::observe::sample::Sample;

/// The request for a write: verb, path without its query, and body.
fn sent(action: &Action) -> (Method, String, Value) {
    let of = Of { namespace: "ns", set: "web", set_uid: "set-uid", stamp: "5" };
    let request = request(of, action).1.unwrap();
    let body = serde_json::from_slice(request.body()).unwrap();
    (request.method().clone(), request.uri().path().to_owned(), body)
}

fn sealed() -> (Seen, Seat, Drain) {
    let sample = Sample::sealed();
    let seat = sample.seat();
    let Holder::Drain(drain) = &seat.holder else { panic!("{seat:?}") };
    (sample.seen(), seat.clone(), (**drain).clone())
}

fn condemned() -> Condemned {
    let (seen, seat, drain) = sealed();
    let proof = Proof::of(&seen, &seat, &drain, &Answer::Complete("moved".into())).unwrap();
    proof.condemn(&seat, &drain).remove(0)
}

/// Every write to an object that is there, but those by UID alone.
fn on_what_was_judged() -> Vec<Action> {
    let (seen, seat, drain) = sealed();
    let claim = || Target::from(&seat.claims["data"]);
    let pod = || Target::from(&drain);
    vec![
        Action::Enrol { claim: claim(), anchor: None },
        Action::Enrol { claim: claim(), anchor: Some("ns-uid".into()) },
        Action::Note { claim: claim(), record: Record::of(&seen.set) },
        Action::Fence(claim()),
        Action::Seal(pod()),
        Action::GiveBack(pod()),
        Action::Unseal { pod: pod(), outcome: Outcome::GivenBack },
        Action::Unseal { pod: pod(), outcome: Outcome::Drained { at: TimeMs(9) } },
        Action::DeletePod(pod()),
        Action::DeleteMember(pod()),
        Action::Hold(Target::from(&seen.set)),
        Action::DeleteClaim(condemned()),
    ]
}

#[test]
fn each_write_names_the_very_object_and_version_that_were_judged() {
    for action in on_what_was_judged() {
        let (method, path, body) = sent(&action);
        let named =
            if method == Method::DELETE { &body["preconditions"] } else { &body["metadata"] };
        let uid = match path.rsplit('/').find(|part| *part != "status") {
            Some("data-web-1") => "claim-uid",
            Some("web-1") => "pod-uid",
            Some("web") => "set-uid",
            other => panic!("{other:?}"),
        };
        assert_eq!(named["uid"], uid, "{action:?}");
        assert_eq!(named["resourceVersion"], "7", "{action:?}");
    }
}

#[test]
fn a_touch_and_the_letting_go_of_a_set_name_its_uid() {
    let (seen, ..) = sealed();
    for action in [Action::Touch, Action::LetGo(Target::from(&seen.set))] {
        let (_, path, body) = sent(&action);
        assert_eq!(path, "/apis/apps/v1/namespaces/ns/statefulsets/web/status");
        assert_eq!(body["metadata"]["uid"], "set-uid", "{action:?}");
        assert_eq!(body["metadata"]["resourceVersion"], Value::Null, "{action:?}");
    }
}

/// The name is the lock: whoever holds it, a POST is refused, and an apply would take the pod over.
#[test]
fn a_drain_pod_is_posted_and_never_applied() {
    let body = PodBody {
        manifest: r#"{"metadata":{"name":"web-1"}}"#.into(),
        owner: "data".into(),
        claims: [("data".to_owned(), "claim-uid".to_owned())].into(),
        state: None,
        removed: vec![],
    };
    let (method, path, body) = sent(&Action::CreatePod { body });
    assert_eq!((method, path.as_str()), (Method::POST, "/api/v1/namespaces/ns/pods"));
    assert_eq!(body["metadata"]["name"], "web-1");
}

#[test]
fn an_owner_is_deleted_in_the_foreground() {
    let (method, path, body) = sent(&Action::DeleteClaim(condemned()));
    assert_eq!(method, Method::DELETE);
    assert_eq!(path, "/api/v1/namespaces/ns/persistentvolumeclaims/data-web-1");
    assert_eq!(body["propagationPolicy"], "Foreground");
}

/// What one host writes as a seal, the next one reads as a seal; the same of a seal that is given back.
#[test]
fn a_seal_is_the_finalizer_and_the_hosts_note_in_one_write() {
    let (.., drain) = sealed();
    let mut sample = Sample::sealed();
    sample.pod["metadata"]["finalizers"] = json!([]);
    sample.pod["metadata"]["annotations"][marks::SEALED] = Value::Null;
    let mut apply = |action: &Action| {
        let (_, _, body) = sent(action);
        let meta = &mut sample.pod["metadata"];
        if let Some(finalizers) = body["metadata"].get("finalizers") {
            meta["finalizers"] = finalizers.clone();
        }
        for (key, value) in body["metadata"]["annotations"].as_object().unwrap() {
            meta["annotations"][key] = value.clone();
        }
        let seat = sample.seat();
        let Holder::Drain(drain) = seat.holder else { panic!("{:?}", seat.holder) };
        (drain.sealed, drain.giving_back)
    };
    assert_eq!(apply(&Action::Seal((&drain).into())), (true, false));
    assert_eq!(apply(&Action::GiveBack((&drain).into())), (true, true));
    assert_eq!(apply(&Action::Seal((&drain).into())), (true, false));
}
