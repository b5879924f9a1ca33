//! Whether each write is right, by the objects as the API server has them: written from the design, without the host's reading of them.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate::marks::{self, Marks};
use tidegate_core::{
    Action, Answer, Ordinal, Outcome, Plan, Seat, Seen, View, action::Target, proof::Condemned,
    seen::Life,
};

use super::scene::Scene;

/// Holds every write of the plan against the objects.
pub(super) fn are_right(
    scene: &Scene,
    seen: &Seen,
    answers: &BTreeMap<Ordinal, Answer>,
    plan: &Plan,
) {
    let set = if seen.set.life == Life::Gone { &Value::Null } else { &scene.set };
    let facts = Facts { scene, set, seen };
    if let Some(step) = &plan.on_set {
        facts.on_set(&step.action);
    }
    for (ordinal, action) in plan.actions() {
        let says_complete = matches!(answers.get(&ordinal), Some(Answer::Complete(_)));
        facts.on_ordinal(ordinal, action, says_complete);
    }
}

struct Facts<'a> {
    scene: &'a Scene,
    /// The set; nothing of one that is gone.
    set: &'a Value,
    seen: &'a Seen,
}

impl Facts<'_> {
    fn on_set(&self, action: &Action) {
        let set = self.set;
        let held = finalizers(set).any(|it| it == marks::HOLD);
        let asks = annotation(set, "tidegate.dev/on-set-deleted") == Some("drain");
        match action {
            Action::Hold(target) => {
                assert!(is(set, target) && !held && asks && !is_deleted(set));
            }
            Action::LetGo(target) => {
                assert!(is(set, target) && held);
                assert!(is_deleted(set) || !asks || !self.is_ours(), "it is let go too early");
            }
            Action::Enrol { .. }
            | Action::Note { .. }
            | Action::CreatePod { .. }
            | Action::Seal(_)
            | Action::DeleteClaim(_)
            | Action::GiveBack(_)
            | Action::Fence(_)
            | Action::Unseal { .. }
            | Action::DeletePod(_)
            | Action::DeleteMember(_)
            | Action::Touch => panic!("{action:?} is no write to a set"),
        }
    }

    fn on_ordinal(&self, ordinal: Ordinal, action: &Action, says_complete: bool) {
        assert!(
            ordinal.0 >= self.seen.set.start || self.bears_our_marks(ordinal),
            "below the start"
        );
        match action {
            Action::Enrol { claim, anchor } => self.enrols(ordinal, claim, anchor.as_deref()),
            Action::Note { claim, record } => {
                let claim = self.claim(claim);
                let noted = annotation(claim, marks::RECORD).map(marks::noted_from_json);
                assert!(
                    noted.is_none_or(|it| it.unreadable().is_none()),
                    "what was not read stays"
                );
                assert_eq!(record.set_uid, self.seen.set.uid);
            }
            Action::CreatePod { body } => {
                assert!(self.holder(ordinal).is_none(), "the name is the lock");
                self.is_active();
                assert_eq!(self.seen.set.life == Life::Lives, !is_deleted(self.set));
                assert!(!body.claims.is_empty());
                for (template, uid) in &body.claims {
                    let claim = self.claim_of(ordinal.0, template, uid);
                    let claim = claim.expect("a claim that is there");
                    assert_eq!(label(claim, marks::SET_UID), Some(self.seen.set.uid.as_str()));
                    assert_eq!(claim.pointer("/status/phase"), Some(&"Bound".into()));
                    assert!(!is_deleted(claim));
                }
            }
            Action::Seal(pod) => self.seals(self.pod(pod), says_complete),
            Action::DeleteClaim(claim) => self.deletes(ordinal, claim, says_complete),
            Action::GiveBack(pod) => assert!(is_sealed(self.pod(pod)), "there is a seal"),
            Action::Fence(claim) => {
                self.claim(claim);
                let holder = self.holder(ordinal).expect("a pod holds the name");
                assert!(is_sealed(holder) && is_given_back(holder));
            }
            Action::Unseal { pod, outcome } => self.unseals(self.pod(pod), *outcome),
            Action::DeletePod(pod) => self.deletes_pod(self.pod(pod)),
            Action::DeleteMember(member) => {
                assert_eq!(controller(self.pod(member)), Some(self.seen.set.uid.as_str()));
                self.is_active();
                let set = self.set;
                assert!(is_deleted(set) && finalizers(set).any(|it| it == marks::HOLD));
                assert_eq!(annotation(set, "tidegate.dev/on-set-deleted"), Some("drain"));
            }
            Action::Touch => {
                assert!(self.holder(ordinal).is_none() && !is_deleted(self.set));
            }
            Action::Hold(_) | Action::LetGo(_) => panic!("{action:?} is no write to an ordinal"),
        }
    }

    fn enrols(&self, ordinal: Ordinal, target: &Target, anchor: Option<&str>) {
        let claim = self.claim(target);
        assert!(!is_deleted(claim), "a claim that goes is not enrolled");
        assert!(anchor.is_none() || anchor == self.seen.set.namespace_uid.as_deref());
        let label = claim.pointer("/metadata/labels/tidegate.dev~1set-uid");
        if anchor.is_some() && label.and_then(Value::as_str) == Some(&*self.seen.set.uid) {
            // What was enrolled before is anchored whoever holds the name, but not under the seal of its own drain pod.
            let drain = self.seen.seats.get(&ordinal).and_then(Seat::drain);
            return assert!(drain.is_none_or(|drain| !drain.sealed));
        }
        let member = self.holder(ordinal).expect("only what a member holds is enrolled");
        assert_eq!(controller(member), Some(self.seen.set.uid.as_str()), "a member of this set");
        let volumes = member.pointer("/spec/volumes").and_then(Value::as_array);
        let mounts = volumes.into_iter().flatten().any(|volume| {
            let name = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str);
            let ephemeral = volume.get("ephemeral").is_some_and(|it| !it.is_null());
            name == Some(target.name.as_str()) || ephemeral
        });
        assert!(mounts, "its member mounts it");
    }

    fn seals(&self, pod: &Value, says_complete: bool) {
        if is_sealed(pod) {
            let marks = self.marks(pod);
            let mut mounted = self.claims_of(&marks);
            let goes = mounted.any(|claim| claim.is_none_or(|it| self.goes(it)));
            return assert!(is_given_back(pod) && goes);
        }
        assert!(says_complete && !is_deleted(pod), "sealed without a verdict, or too late");
        self.is_active();
        self.ended_with_success(pod);
        let disrupted = list(pod, "/status/conditions")
            .any(|it| it["type"] == "DisruptionTarget" && it["status"] == "True");
        assert!(
            !disrupted && pod.pointer("/status/reason").is_none_or(|it| *it == "" || it.is_null())
        );
    }

    /// I1, read off the objects.
    fn deletes(&self, ordinal: Ordinal, condemned: &Condemned, says_complete: bool) {
        assert_eq!(self.seen.view, View::LiveInOrder);
        assert!(says_complete, "deleted without a verdict");
        let pod = self.holder(ordinal).expect("a drain pod holds the name");
        let marks = self.marks(pod);
        let is_it = |claim: &&Value| claim["metadata"]["uid"] == *condemned.uid();
        let claim = self.claims_of(&marks).flatten().find(is_it).expect("the pod mounted it");
        assert_eq!(claim["metadata"]["name"], *condemned.name());
        assert_eq!(claim["metadata"]["resourceVersion"], *condemned.resource_version());
        assert_eq!(label(claim, marks::SET_UID), Some(self.seen.set.uid.as_str()));
        assert_eq!(pod["metadata"]["uid"], *condemned.pod_uid());
        assert!(is_sealed(pod) && !is_given_back(pod), "the seal holds the name");
        assert_eq!((marks.ordinal, &marks.set_uid), (ordinal.0, &self.seen.set.uid));
        self.ended_with_success(pod);
    }

    fn unseals(&self, pod: &Value, outcome: Outcome) {
        assert!(is_sealed(pod));
        let marks = self.marks(pod);
        let mut mounted = self.claims_of(&marks);
        let goes = |claim: Option<&Value>| claim.is_none_or(is_deleted);
        match outcome {
            Outcome::Drained { .. } => assert!(mounted.all(goes)),
            Outcome::GivenBack => assert!(is_given_back(pod) && !mounted.any(goes)),
        }
    }

    /// I3: an unsealed pod of ours with a claim on its way out is all that holds the data.
    fn deletes_pod(&self, pod: &Value) {
        assert!(!is_sealed(pod));
        let marks = self.marks(pod);
        if annotation(pod, marks::DRAINED).is_some_and(|it| it.parse::<u64>().is_ok()) {
            return;
        }
        let goes = self.claims_of(&marks).any(|claim| claim.is_some_and(is_deleted));
        assert!(!goes, "the pod is all that holds the data");
        assert_ne!(annotation(self.set, "tidegate.dev/paused"), Some("true"), "it is paused");
    }

    /// Every container that was rendered, but for native sidecars, exited 0.
    fn ended_with_success(&self, pod: &Value) {
        let Marks { containers, .. } = self.marks(pod);
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        assert!(matches!(phase, Some("Succeeded" | "Running")), "{phase:?}");
        let exited = |statuses: &str, name: &String| {
            let mut found = list(pod, statuses).filter(|it| it["name"] == **name);
            found.next().and_then(|it| it.pointer("/state/terminated/exitCode")?.as_i64())
                == Some(0)
        };
        let of_spec = |names: &Vec<String>, specs: &str| -> Vec<String> {
            let specs = list(pod, specs).filter_map(|it| it["name"].as_str());
            specs.filter(|name| names.iter().any(|it| it == name)).map(str::to_owned).collect()
        };
        let mains = of_spec(&containers.main, "/spec/containers");
        assert!(
            !mains.is_empty() && mains.iter().all(|it| exited("/status/containerStatuses", it))
        );
        let sidecar = |name: &String| {
            list(pod, "/spec/initContainers")
                .any(|it| it["name"] == **name && it["restartPolicy"] == "Always")
        };
        let inits = of_spec(&containers.init, "/spec/initContainers");
        let mut inits = inits.iter().filter(|name| !sidecar(name));
        assert!(inits.all(|it| exited("/status/initContainerStatuses", it)));
    }

    fn is_active(&self) {
        assert!(self.is_ours());
        assert!(matches!(annotation(self.set, "tidegate.dev/paused"), None | Some("false")));
    }

    fn is_ours(&self) -> bool {
        let set = self.set;
        let predecessor = tidegate_core::settings::PREDECESSOR;
        annotation(set, "tidegate.dev/policy").is_some()
            || predecessor.iter().any(|key| annotation(set, key).is_some())
    }

    /// Whether somebody deleted the claim, or an owner of it is gone or goes and takes it along.
    fn goes(&self, claim: &Value) -> bool {
        let owned = list(claim, "/metadata/ownerReferences")
            .any(|it| it["kind"] == "StatefulSet" || it["kind"] == "Pod");
        is_deleted(claim) || owned
    }

    fn bears_our_marks(&self, ordinal: Ordinal) -> bool {
        self.holder(ordinal).is_some_and(|pod| label(pod, marks::SET_UID).is_some())
    }

    fn marks(&self, pod: &Value) -> Marks {
        let marks = Marks::parse(annotation(pod, marks::DRAIN).expect("it has marks"));
        let marks = marks.expect("they can be read");
        assert_eq!(label(pod, marks::SET_UID), Some(self.seen.set.uid.as_str()), "our own pod");
        assert_eq!(marks.set_uid, self.seen.set.uid);
        let owner = marks.claims.get(&marks.owner).map(String::as_str);
        assert!(owner.is_some() && owner == controller(pod), "its claim owns it");
        marks
    }

    fn holder(&self, ordinal: Ordinal) -> Option<&Value> {
        let name = format!("{}-{ordinal}", self.seen.set.name);
        self.scene.pods.iter().find(|pod| pod["metadata"]["name"] == *name)
    }

    fn pod(&self, target: &Target) -> &Value {
        let found = self.scene.pods.iter().find(|pod| is(pod, target));
        found.expect("the write names a pod as it is")
    }

    fn claim(&self, target: &Target) -> &Value {
        let found = self.scene.claims.iter().find(|claim| is(claim, target));
        found.expect("the write names a claim as it is")
    }

    /// Each claim that the marks name, where it is still there.
    fn claims_of(&self, marks: &Marks) -> impl Iterator<Item = Option<&Value>> {
        let named = marks.claims.iter();
        named.map(|(template, uid)| self.claim_of(marks.ordinal, template, uid))
    }

    fn claim_of(&self, ordinal: u32, template: &str, uid: &str) -> Option<&Value> {
        let name = format!("{template}-{}-{ordinal}", self.seen.set.name);
        let is_it = |meta: &Value| meta["name"] == *name && meta["uid"] == *uid;
        self.scene.claims.iter().find(|claim| is_it(&claim["metadata"]))
    }
}

fn is(object: &Value, target: &Target) -> bool {
    let meta = &object["metadata"];
    meta["name"] == *target.name
        && meta["uid"] == *target.uid
        && meta["resourceVersion"] == *target.resource_version
}

fn is_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|it| !it.is_null())
}

/// The finalizer with the note of a host about this very pod.
fn is_sealed(pod: &Value) -> bool {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let note = annotation(pod, marks::SEALED);
    let noted = note == Some(uid) || is_given_back(pod);
    noted && finalizers(pod).any(|it| it == marks::SEAL)
}

fn is_given_back(pod: &Value) -> bool {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    annotation(pod, marks::SEALED) == Some(format!("{}{uid}", marks::GIVEN_BACK).as_str())
}

fn controller(object: &Value) -> Option<&str> {
    let owner = list(object, "/metadata/ownerReferences").find(|it| it["controller"] == true)?;
    owner["uid"].as_str()
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "/metadata/finalizers").filter_map(Value::as_str)
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
