use serde_json::{Value, json};
use tidegate_core::Ending;

use super::*;
use sample::Sample;

type Change = fn(&mut Sample);

/// Why the pod is none of ours after the change; nothing where it still is.
fn foreign(change: Change) -> Option<String> {
    let mut sample = Sample::sealed();
    change(&mut sample);
    match sample.seat().holder {
        Holder::Drain(_) => None,
        Holder::Foreign { why } => Some(why),
        Holder::Member(_) | Holder::Nobody => Some("somebody else's".to_owned()),
    }
}

fn drain_of(sample: &Sample) -> Drain {
    match sample.seat().holder {
        Holder::Drain(drain) => *drain,
        other @ (Holder::Nobody | Holder::Member(_) | Holder::Foreign { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn mark(sample: &mut Sample, change: impl Fn(&mut Marks)) {
    let mut marks = sample::marks();
    change(&mut marks);
    sample.pod["metadata"]["annotations"][marks::DRAIN] = json!(marks.to_json());
}

#[test]
fn a_sealed_drain_pod_is_known_by_its_marks() {
    let drain = drain_of(&Sample::sealed());
    assert!(drain.sealed && !drain.giving_back && !drain.stray_seal);
    assert_eq!(drain.ending, Ending::ByItself);
    assert_eq!(drain.claims["data"], "claim-uid");
}

#[test]
fn an_exit_with_0_counts_only_where_the_runtime_calls_it_done() {
    for (reason, is_proof) in [(None, true), (Some("Completed"), true), (Some("OOMKilled"), false)]
    {
        let mut sample = Sample::sealed();
        let statuses = json!([{
            "name": "drain",
            "state": { "terminated": { "exitCode": 0, "reason": reason } },
        }]);
        sample.pod["status"]["containerStatuses"] = statuses;
        assert_eq!(drain_of(&sample).ending == Ending::ByItself, is_proof, "{reason:?}");
    }
}

#[test]
fn a_pod_with_a_node_is_placed_and_no_other() {
    let mut sample = Sample::sealed();
    assert!(!drain_of(&sample).placed);
    sample.pod["spec"]["nodeName"] = json!("node-1");
    assert!(drain_of(&sample).placed);
}

#[test]
fn marks_label_owner_and_claims_agree_or_the_pod_is_foreign() {
    let changes: [(Change, &str); 11] = [
        (|it| it.pod["metadata"]["labels"] = Value::Null, "it bears no label"),
        (
            |it| it.pod["metadata"]["labels"][marks::SET_UID] = json!("other"),
            "its marks name another set",
        ),
        (|it| it.pod["metadata"]["annotations"] = Value::Null, "it bears no annotation"),
        (
            |it| it.pod["metadata"]["annotations"][marks::DRAIN] = json!("{}"),
            "annotation tidegate.dev/drain",
        ),
        (|it| mark(it, |marks| marks.version = 2), "version 2 is not known"),
        (|it| mark(it, |marks| marks.set_uid = "other".into()), "its marks name another set"),
        (|it| mark(it, |marks| marks.ordinal = 0), "its marks name ordinal 0"),
        (|it| it.pod["metadata"]["ownerReferences"] = json!([]), "it is not owned by the claim"),
        (
            |it| it.pod["metadata"]["ownerReferences"][0]["uid"] = json!("other"),
            "it is not owned by the claim",
        ),
        (
            |it| it.pod["metadata"]["ownerReferences"][0]["controller"] = json!(false),
            "it is not owned by the claim",
        ),
        (|it| it.pod["spec"]["volumes"] = json!([]), "it has no volume of claim data-web-1"),
    ];
    for (change, told) in changes {
        let why = foreign(change).unwrap_or_else(|| panic!("ours all the same: {told}"));
        assert!(why.contains(told), "{why:?} is not {told:?}");
    }
}

/// Under a seal the claim may be gone already, and another of its name in its place; without one that claim was never this pod's.
#[test]
fn a_claim_made_anew_is_not_the_one_that_was_drained() {
    let renewed: Change = |it| it.claim["metadata"]["uid"] = json!("other");
    assert_eq!(foreign(renewed), None);
    let unsealed: Change = |it| {
        it.claim["metadata"]["uid"] = json!("other");
        it.pod["metadata"]["finalizers"] = json!([]);
    };
    let why = foreign(unsealed).unwrap_or_default();
    assert!(why.contains("claim data-web-1 is not the one"), "{why}");
}

#[test]
fn what_admission_made_of_a_drain_pod_lets_its_end_prove_nothing() {
    let changes: [(Change, &str); 6] = [
        (
            |it| it.pod["spec"]["containers"][0]["name"] = json!("other"),
            "taken its container drain out",
        ),
        (
            |it| {
                let container = it.pod["spec"]["containers"][0].take();
                it.pod["spec"]["initContainers"] = json!([container]);
                it.pod["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
                it.pod["spec"]["containers"][0] = json!({ "name": "mesh" });
            },
            "made it one of another kind",
        ),
        (|it| it.pod["spec"]["restartPolicy"] = json!("Always"), "never ends"),
        (|it| it.pod["spec"]["containers"][0]["livenessProbe"] = json!({}), "a livenessProbe"),
        (|it| it.pod["spec"]["containers"][0]["startupProbe"] = json!({}), "a startupProbe"),
        (|it| it.pod["spec"]["containers"][0]["lifecycle"] = json!({}), "a lifecycle"),
    ];
    for (change, told) in changes {
        let why = foreign(change).unwrap_or_else(|| panic!("ours all the same: {told}"));
        assert!(why.contains(told), "{why:?} is not {told:?}");
    }
    // What admission adds proves nothing anyway, and may do as it likes.
    let injected: Change = |it| {
        let mesh = json!({ "name": "mesh", "livenessProbe": {}, "lifecycle": {} });
        it.pod["spec"]["containers"].as_array_mut().unwrap().push(mesh);
    };
    assert_eq!(foreign(injected), None);
}

/// Such a pod may be all that holds what was put there, by this drain and by others before it.
#[test]
fn a_drain_pod_whose_other_claim_goes_is_left_alone() {
    let mut sample = Sample::sealed();
    let archive = json!({ "name": "x", "persistentVolumeClaim": { "claimName": "archive" } });
    let own = json!({ "name": "y", "ephemeral": {} });
    sample.pod["spec"]["volumes"].as_array_mut().unwrap().extend([archive, own]);
    drain_of(&sample);
    sample.pod["spec"]["nodeName"] = json!("node-1");
    let why = |sample: &Sample| match sample.seat().holder {
        Holder::Foreign { why } => why,
        other @ (Holder::Nobody | Holder::Member(_) | Holder::Drain(_)) => panic!("{other:?}"),
    };
    assert!(why(&sample).contains("it mounts claim archive, which is deleted or gone"));
    let mut archive = json!({ "metadata": { "name": "archive", "uid": "a" } });
    sample.others = vec![archive.clone()];
    drain_of(&sample);
    archive["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    sample.others = vec![archive];
    assert!(why(&sample).contains("it mounts claim archive, which is deleted or gone"));
    // What was proven before is carried out.
    sample.claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    drain_of(&sample);
}

#[test]
fn a_finalizer_without_the_hosts_note_is_no_seal() {
    let mut sample = Sample::sealed();
    for note in ["another-pod", "given-back another-pod", ""] {
        sample.pod["metadata"]["annotations"][marks::SEALED] = json!(note);
        let drain = drain_of(&sample);
        assert!(!drain.sealed && drain.stray_seal, "{note}");
    }
    sample.pod["metadata"]["annotations"].as_object_mut().unwrap().remove(marks::SEALED);
    let drain = drain_of(&sample);
    assert!(!drain.sealed && drain.stray_seal, "without a note");
}

#[test]
fn a_note_without_the_finalizer_is_no_seal() {
    let mut sample = Sample::sealed();
    sample.pod["metadata"]["finalizers"] = json!(["example.org/other"]);
    let drain = drain_of(&sample);
    assert!(!drain.sealed && !drain.stray_seal);
    assert_eq!(drain.held_by, ["example.org/other"]);
}

#[test]
fn a_seal_that_is_given_back_says_so_and_holds_on() {
    let mut sample = Sample::sealed();
    sample.pod["metadata"]["annotations"][marks::SEALED] = json!("given-back pod-uid");
    let drain = drain_of(&sample);
    assert!(drain.sealed && drain.giving_back);
}

/// Only what came after the seal is forgiven: the same marks on a pod that nobody sealed say that it did not end by itself.
#[test]
fn the_marks_of_an_end_from_outside_count_unless_the_pod_was_sealed_before() {
    let mut sample = Sample::sealed();
    let disrupted = json!({ "type": "DisruptionTarget", "status": "True", "reason": "Eviction" });
    sample.pod["status"]["conditions"] = json!([disrupted]);
    sample.pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(drain_of(&sample).ending, Ending::ByItself);
    sample.pod["metadata"]["finalizers"] = json!([]);
    assert!(matches!(drain_of(&sample).ending, Ending::CutShort(_)));
}

#[test]
fn an_ordinal_that_is_not_written_as_kubernetes_writes_it_is_nobodys() {
    for name in ["data-web-01", "data-web-+1", "data-web-4294967296", "data-web-", "data-web"] {
        let mut sample = Sample::sealed();
        sample.claim["metadata"]["name"] = json!(name);
        assert!(sample.seat().claims.is_empty(), "{name}");
    }
}

/// `data` of `web-x` and `data-web` of `x` would make claims of one name; only the set's own UID on the claim says whose it is.
#[test]
fn a_claim_whose_name_two_sets_could_have_made_is_that_of_its_label() {
    let mut sample = Sample::sealed();
    sample.claim["metadata"]["labels"][marks::SET_UID] = json!("other");
    let claim = &sample.seat().claims["data"];
    assert_eq!(claim.enrolment, Enrolment::Elsewhere { uid: "other".into(), lives: None });
}

/// `whenDeleted: Delete` and `whenScaled: Delete`: Kubernetes makes the set or the member an owner, and collects the claim after it.
#[test]
fn a_claim_that_its_owner_leaves_is_about_to_go() {
    let owned = |kind: &str, uid: &str| {
        let mut sample = Sample::sealed();
        sample.set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        sample.claim["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": kind, "name": "owner", "uid": uid }]);
        sample
    };
    let deletion = |sample: &Sample| sample.seat().claims["data"].deletion;
    assert_eq!(deletion(&owned("StatefulSet", "set-uid")), Deletion::Impending);
    assert_eq!(deletion(&owned("Pod", "gone")), Deletion::Impending);
    assert_eq!(deletion(&owned("Pod", "pod-uid")), Deletion::None);
    assert_eq!(deletion(&owned("StatefulSet", "another")), Deletion::None);
    // What owned the set may own the claim too, and be gone.
    assert_eq!(deletion(&owned("Store", "custom")), Deletion::Impending);
    for kind in ["StatefulSet", "Store"] {
        let mut orphan = owned(kind, "set-uid");
        orphan.set["metadata"]["finalizers"] = json!(["orphan"]);
        assert_eq!(deletion(&orphan), Deletion::None, "{kind}: its claims are left as they are");
        let mut lives = owned(kind, "set-uid");
        lives.set["metadata"]["deletionTimestamp"] = Value::Null;
        assert_eq!(deletion(&lives), Deletion::None, "{kind}");
    }
    let mut anchored = owned("StatefulSet", "set-uid");
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "name": "ns", "uid": "ns-uid" });
    let owners = &mut anchored.claim["metadata"]["ownerReferences"];
    owners.as_array_mut().unwrap().push(namespace);
    assert_eq!(deletion(&anchored), Deletion::None);
}
