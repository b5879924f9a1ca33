//! The namespace of one test, and what a person would do in it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tidegate::policy::Digest;

use crate::store::{BEGUN, Store};
use crate::wait::{Look, SOON, eventually, found_if, stays};
use crate::world::World;

/// How often a drain pod's script looks whether it may go on, in seconds, as `sleep` takes it.
const GATE_POLL: &str = "0.1";

/// How long a command has to end before the gate opens that it was sent to open, in seconds: it has nothing else to do.
const GATE_OPENS_AFTER: &str = "0.5";

/// The finalizer of a pod that a test holds.
pub(crate) const HOLD: &str = "example.org/hold";

/// A namespace, and the world around it.
pub(crate) struct Site<'a> {
    pub(crate) world: &'a World,
    pub(crate) namespace: String,
}

impl<'a> Site<'a> {
    /// A namespace of this name.
    pub(crate) fn make(world: &'a World, name: &str) -> Result<Self> {
        let object = json!({ "metadata": { "name": name } });
        world.api.create("/api/v1/namespaces", &object)?;
        Ok(Self { world, namespace: name.to_owned() })
    }

    /// Has the namespace deleted, without waiting for it. What it holds ends with the cluster at the latest.
    pub(crate) fn leave(&self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let _ = self.world.api.delete(&path, &json!({}));
    }

    /// Creates the set and its members, and waits until all run and, where the set is ours, their claims are enrolled.
    pub(crate) fn start(&self, store: &Store) -> Result<()> {
        self.start_unseen(store)?;
        if store.is_ours() { self.enrolled() } else { Ok(()) }
    }

    /// Creates the set and its members, and waits until all run.
    pub(crate) fn start_unseen(&self, store: &Store) -> Result<()> {
        self.world.api.create(&self.path("apps/v1", "statefulsets", ""), &store.set())?;
        self.members_run(store)
    }

    /// Creates several sets at once, and waits until all members run and all claims are enrolled.
    pub(crate) fn start_all(&self, stores: &[Store]) -> Result<()> {
        for store in stores {
            self.world.api.create(&self.path("apps/v1", "statefulsets", ""), &store.set())?;
        }
        for store in stores {
            self.members_run(store)?;
        }
        self.enrolled()
    }

    /// Creates a ConfigMap with these entries; answers the sha256 of what it holds.
    pub(crate) fn config_map(&self, name: &str, entry: (&str, &[u8])) -> Result<String> {
        let (key, bytes) = entry;
        let map =
            json!({ "metadata": { "name": name }, "binaryData": { key: BASE64.encode(bytes) } });
        self.world.api.create(&self.path("v1", "configmaps", ""), &map)?;
        Ok(Digest::of(bytes).to_string())
    }

    /// Creates a pod that rests, as somebody else's, and mounts a claim where one is named.
    pub(crate) fn rest(&self, name: &str, claim: Option<&str>) -> Result<()> {
        let claims = claim.into_iter();
        let volumes: Vec<Value> = claims
            .map(|claim| json!({ "name": "data", "persistentVolumeClaim": { "claimName": claim } }))
            .collect();
        let mounts: Vec<Value> =
            volumes.iter().map(|_| json!({ "name": "data", "mountPath": "/data" })).collect();
        let pod = json!({
            "metadata": { "name": name },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "rest",
                    "image": "docker.io/library/box:1",
                    "command": ["sleep", "2147483647"],
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        });
        self.world.api.create(&self.path("v1", "pods", ""), &pod)?;
        Ok(())
    }

    /// Asks for a pod of the plainest kind as a person would, without effect, to see whether one may be created.
    pub(crate) fn try_pod(&self) -> Result<()> {
        let container = json!({ "name": "try", "image": "docker.io/library/box:1" });
        let pod = json!({ "metadata": { "name": "try" }, "spec": { "containers": [container] } });
        let path = format!("{}?dryRun=All", self.path("v1", "pods", ""));
        self.world.api.create(&path, &pod)?;
        Ok(())
    }

    /// Waits until as many members run as the set had at the start.
    fn members_run(&self, store: &Store) -> Result<()> {
        let what = format!("{} members of {} run", store.replicas(), store.name());
        // Some sets start their members one after the other.
        eventually(&what, SOON * store.replicas(), || {
            let set = self.set(store.name())?;
            let status = &set["status"];
            let ready = status["readyReplicas"].as_u64().unwrap_or_default();
            Ok(found_if(ready == u64::from(store.replicas()), || status.to_string()))
        })
    }

    /// Waits until every claim of the namespace bears the label of a set.
    pub(crate) fn enrolled(&self) -> Result<()> {
        eventually("every claim is enrolled", SOON, || {
            let claims = self.claims()?;
            let stray: Vec<&Value> = claims
                .iter()
                .filter(|claim| claim["metadata"]["labels"]["tidegate.dev/set-uid"].is_null())
                .map(|claim| &claim["metadata"]["name"])
                .collect();
            Ok(found_if(stray.is_empty(), || format!("{stray:?} bear none")))
        })
    }

    /// Scales the set.
    pub(crate) fn scale(&self, set: &str, replicas: u32) -> Result<()> {
        let patch = json!({ "spec": { "replicas": replicas } });
        self.world.api.merge(&self.path("apps/v1", "statefulsets", set), &patch)?;
        Ok(())
    }

    /// Merges a patch into the set's specification.
    pub(crate) fn change(&self, set: &str, spec: &Value) -> Result<()> {
        let path = self.path("apps/v1", "statefulsets", set);
        self.world.api.merge(&path, &json!({ "spec": spec }))?;
        Ok(())
    }

    /// Has the set deleted, with what it owns after it (`Background`) or without (`Orphan`), and waits until it is gone.
    pub(crate) fn delete_set(&self, set: &str, propagation: &str) -> Result<()> {
        self.ask_to_delete_set(set, propagation)?;
        self.set_is_gone(set)
    }

    /// Has the set deleted, and does not wait for it.
    pub(crate) fn ask_to_delete_set(&self, set: &str, propagation: &str) -> Result<()> {
        let path = self.path("apps/v1", "statefulsets", set);
        self.world.api.delete(&path, &json!({ "propagationPolicy": propagation })).map(drop)
    }

    /// Waits until the set is gone.
    pub(crate) fn set_is_gone(&self, set: &str) -> Result<()> {
        let path = self.path("apps/v1", "statefulsets", set);
        eventually(&format!("the set {set} is gone"), SOON, || {
            let found = self.world.api.get(&path)?;
            Ok(found_if(found.is_none(), || outline(found.as_ref())))
        })
    }

    /// Waits until the host holds the set, so that it is drained before it goes.
    pub(crate) fn set_is_held(&self, set: &str) -> Result<()> {
        eventually(&format!("the set {set} is held"), SOON, || {
            let finalizers = self.set(set)?["metadata"]["finalizers"].to_string();
            Ok(found_if(finalizers.contains("tidegate.dev/drain-on-delete"), || finalizers))
        })
    }

    /// Sets an annotation of the set, or takes it off.
    pub(crate) fn annotate(&self, set: &str, key: &str, value: Option<&str>) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.world.api.merge(&self.path("apps/v1", "statefulsets", set), &patch)?;
        Ok(())
    }

    /// Asks for an eviction of the pod, as a node that is emptied does.
    pub(crate) fn evict(&self, pod: &str) -> Result<()> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": pod, "namespace": self.namespace },
        });
        let path = self.path("v1", "pods", &format!("{pod}/eviction"));
        self.world.api.create(&path, &eviction)?;
        Ok(())
    }

    /// Keeps the pod's object, whatever becomes of the pod, until it is let go of.
    pub(crate) fn hold(&self, pod: &str) -> Result<()> {
        let patch = json!({ "metadata": { "finalizers": [HOLD] } });
        self.world.api.merge_lists(&self.path("v1", "pods", pod), &patch)?;
        Ok(())
    }

    /// Lets go of a pod's object that is held.
    pub(crate) fn let_go(&self, pod: &str) -> Result<()> {
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [HOLD] } });
        self.world.api.merge_lists(&self.path("v1", "pods", pod), &patch)?;
        Ok(())
    }

    /// Runs a script in the pod; answers what it prints.
    pub(crate) fn sh(&self, pod: &str, script: &str) -> Result<String> {
        self.world.kubectl(&["exec", "-n", &self.namespace, pod, "--", "sh", "-c", script])
    }

    /// The names of the members that ever ran on these volumes, this one's last. Its pod is `Running` before its first command has ended.
    pub(crate) fn names(&self, member: &str, volumes: &[&str]) -> Result<String> {
        let files: String = volumes.iter().map(|volume| format!(" /{volume}/names")).collect();
        eventually(&format!("{member} has written its name"), SOON, || {
            let names = self.sh(member, &format!("[ ! -e {BEGUN} ] || cat{files}"))?;
            Ok(if names.is_empty() { Look::NotYet(names) } else { Look::Found(names) })
        })
    }

    /// Lets the drain pod go on that waits at its [`gate`]. The gate opens after the command that opens it has ended: a drain may be over at
    /// once, and the end of its container would kill the command.
    pub(crate) fn open_gate(&self, pod: &str) -> Result<()> {
        let touch = format!("(sleep {GATE_OPENS_AFTER}; touch /data/gate)");
        self.sh(pod, &format!("{touch} < /dev/null > /dev/null 2>&1 &"))?;
        Ok(())
    }

    /// The set.
    pub(crate) fn set(&self, name: &str) -> Result<Value> {
        let set = self.world.api.get(&self.path("apps/v1", "statefulsets", name))?;
        set.with_context(|| format!("the set {name} is not there"))
    }

    /// The pod, if it is there.
    pub(crate) fn pod(&self, name: &str) -> Result<Option<Value>> {
        self.world.api.get(&self.path("v1", "pods", name))
    }

    /// The claim, if it is there.
    pub(crate) fn claim(&self, name: &str) -> Result<Option<Value>> {
        self.world.api.get(&self.path("v1", "persistentvolumeclaims", name))
    }

    /// The UID of a claim that must be there.
    pub(crate) fn claim_uid(&self, name: &str) -> Result<String> {
        let claim = self.claim(name)?;
        uid(&claim.with_context(|| format!("the claim {name} is not there"))?)
    }

    /// The kinds of the objects that own the claim, in the order of the alphabet.
    pub(crate) fn owners(&self, claim: &str) -> Result<Vec<String>> {
        let claim = self.claim(claim)?.with_context(|| format!("{claim} is not there"))?;
        let owners = claim["metadata"]["ownerReferences"].as_array();
        let kind = |owner: &Value| owner["kind"].as_str().unwrap_or_default().to_owned();
        let mut kinds: Vec<String> = owners.into_iter().flatten().map(kind).collect();
        kinds.sort();
        Ok(kinds)
    }

    /// Waits until the claim, which must stay there, has owners of just these kinds.
    pub(crate) fn owned_by(&self, claim: &str, kinds: &[&str]) -> Result<()> {
        eventually(&format!("claim {claim} is owned by {kinds:?}"), SOON, || {
            let found = self.owners(claim)?;
            Ok(found_if(found == kinds, || format!("{found:?}")))
        })
    }

    /// Every claim of the namespace.
    pub(crate) fn claims(&self) -> Result<Vec<Value>> {
        self.world.api.list(&self.path("v1", "persistentvolumeclaims", ""))
    }

    /// Deletes an object, as a person would.
    pub(crate) fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.world.api.delete(&self.path("v1", kind, name), &json!({}))?;
        Ok(())
    }

    /// Waits until there is no pod of this name.
    pub(crate) fn no_pod(&self, name: &str) -> Result<()> {
        eventually(&format!("pod {name} is gone"), SOON, || {
            let pod = self.pod(name)?;
            Ok(found_if(pod.is_none(), || outline(pod.as_ref())))
        })
    }

    /// Watches for a while that the claim stays as it is, and that no pod takes the name.
    pub(crate) fn left_alone(&self, claim: &str, claim_uid: &str, pod: &str) -> Result<()> {
        stays("the claim is left alone and no pod made", QUIET, || {
            let (claim, pod) = (self.claim(claim)?, self.pod(pod)?);
            let kept = claim.as_ref().is_some_and(|claim| is_kept(claim, claim_uid));
            Ok(found_if(kept && pod.is_none(), || {
                format!("claim {}, pod {}", outline(claim.as_ref()), outline(pod.as_ref()))
            }))
        })
    }

    /// Watches for a while that the claim and this very pod stay as they are.
    pub(crate) fn both_stay(&self, claim: (&str, &str), pod: (&str, &str)) -> Result<()> {
        stays("claim and pod are left alone", QUIET, || {
            let (found, holder) = (self.claim(claim.0)?, self.pod(pod.0)?);
            let kept = found.as_ref().is_some_and(|it| is_kept(it, claim.1))
                && holder.as_ref().is_some_and(|it| is_kept(it, pod.1));
            Ok(found_if(kept, || {
                format!("claim {}, pod {}", outline(found.as_ref()), outline(holder.as_ref()))
            }))
        })
    }

    /// The names of the drain pods of the namespace that nobody has asked to end.
    pub(crate) fn drain_pods(&self) -> Result<BTreeSet<String>> {
        let pods = self.world.api.list(&self.path("v1", "pods", ""))?;
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(pods.iter().filter(|pod| is_drain_pod(pod)).filter(stays).map(name).collect())
    }

    /// Waits until the claim and the pod of an ordinal are gone.
    pub(crate) fn gone(&self, claim: &str, pod: &str) -> Result<()> {
        eventually(&format!("claim {claim} and pod {pod} are gone"), SOON, || {
            let (claim, pod) = (self.claim(claim)?, self.pod(pod)?);
            Ok(found_if(claim.is_none() && pod.is_none(), || {
                format!("claim {}, pod {}", outline(claim.as_ref()), outline(pod.as_ref()))
            }))
        })
    }

    /// Waits until the drain pod of this attempt, from 1, runs; answers it.
    pub(crate) fn drains(&self, pod: &str, attempt: u64) -> Result<Value> {
        self.eventually_pod(&format!("attempt {attempt} of drain pod {pod} runs"), pod, |pod| {
            attempt_of(pod) == Some(attempt) && is_running(pod)
        })
    }

    /// Waits until the member of this name runs; answers it.
    pub(crate) fn member_runs(&self, pod: &str) -> Result<Value> {
        self.eventually_pod(&format!("member {pod} runs"), pod, |pod| {
            !is_drain_pod(pod) && is_running(pod)
        })
    }

    /// Waits until the pod is as it should be; answers it.
    pub(crate) fn eventually_pod(
        &self,
        what: &str,
        name: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(what, SOON, || {
            Ok(match self.pod(name)? {
                Some(pod) if is_so(&pod) => Look::Found(pod),
                other => Look::NotYet(outline(other.as_ref())),
            })
        })
    }

    /// The events about the set with this reason.
    pub(crate) fn events(&self, set: &str, reason: &str) -> Result<Vec<Value>> {
        let all = self.world.api.list(&self.path("events.k8s.io/v1", "events", ""))?;
        Ok(all
            .into_iter()
            .filter(|event| {
                event["reportingController"] == "tidegate.dev/tidegate"
                    && event["regarding"]["kind"] == "StatefulSet"
                    && event["regarding"]["name"] == set
                    && (reason.is_empty() || event["reason"] == reason)
            })
            .collect())
    }

    /// Waits for an event about the set with this reason whose note holds all these words; answers the note.
    pub(crate) fn told(&self, set: &str, reason: &str, words: &[&str]) -> Result<String> {
        let what = format!("an event {reason} on {set} says {words:?}");
        eventually(&what, SOON, || {
            let events = self.events(set, "")?;
            let note = |event: &Value| event["note"].as_str().unwrap_or_default().to_owned();
            let found = events.iter().find(|event| {
                event["reason"] == reason && words.iter().all(|word| note(event).contains(word))
            });
            Ok(match found {
                Some(event) => Look::Found(note(event)),
                None => Look::NotYet(
                    events
                        .iter()
                        .map(|event| format!("{}: {}", event["reason"], note(event)))
                        .collect::<Vec<_>>()
                        .join("; "),
                ),
            })
        })
    }

    /// The path of an object of this namespace, or of the collection where the name is empty.
    pub(crate) fn path(&self, group: &str, kind: &str, name: &str) -> String {
        let root = if group == "v1" { "api" } else { "apis" };
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/{root}/{group}/namespaces/{}/{kind}{slash}{name}", self.namespace)
    }
}

/// A script's line that holds it until the test opens the gate. It lies on the volume, so that a later attempt finds it open.
pub(crate) fn gate() -> String {
    format!("until [ -e /data/gate ]; do sleep {GATE_POLL}; done")
}

/// Whether the pod is a drain pod of the host.
pub(crate) fn is_drain_pod(pod: &Value) -> bool {
    !pod["metadata"]["annotations"]["tidegate.dev/drain"].is_null()
}

/// Which attempt the host's marks on a drain pod name.
pub(crate) fn attempt_of(pod: &Value) -> Option<u64> {
    let marks = pod["metadata"]["annotations"]["tidegate.dev/drain"].as_str()?;
    serde_json::from_str::<Value>(marks).ok()?["attempt"].as_u64()
}

/// Whether the pod runs and nobody has asked for its end.
fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
}

/// The UID of an object.
pub(crate) fn uid(object: &Value) -> Result<String> {
    let uid = object["metadata"]["uid"].as_str();
    Ok(uid.context("an object without a UID")?.to_owned())
}

/// Whether it is the very object, and nobody has asked for its deletion.
fn is_kept(object: &Value, uid: &str) -> bool {
    object["metadata"]["uid"] == uid && object["metadata"]["deletionTimestamp"].is_null()
}

/// Fails where the claim is another one than before.
pub(crate) fn same_claim(site: &Site<'_>, claim: &str, before: &str) -> Result<()> {
    let after = site.claim_uid(claim)?;
    ensure!(after == before, "the claim {claim} is another one: {after} instead of {before}");
    Ok(())
}

/// What matters of an object, for a message.
fn outline(object: Option<&Value>) -> String {
    let Some(object) = object else {
        return "none".to_owned();
    };
    let metadata = &object["metadata"];
    json!({
        "uid": metadata["uid"],
        "deletionTimestamp": metadata["deletionTimestamp"],
        "finalizers": metadata["finalizers"],
        "drain": is_drain_pod(object),
        "phase": object["status"]["phase"],
    })
    .to_string()
}

/// How long "nothing happens" is watched where nothing tells that it is over.
pub(crate) const QUIET: Duration = Duration::from_secs(5);
