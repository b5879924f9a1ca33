//! Carries out one write of a plan: one match, no choices. Every request names the very object and version that were judged.

use http::{Method, Request};
use serde_json::{Value, json};
use tidegate_core::{
    action::{Action, Outcome, Target},
    proof::{Condemned, Propagation},
    settings,
};

use crate::{cluster::Cluster, error::Error, marks};

const MANAGER: &str = "fieldManager=tidegate";

type Built = http::Result<Request<Vec<u8>>>;

/// The set that the write is for.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub set: &'a str,
    /// Its UID.
    pub set_uid: &'a str,
    /// A text that differs from touch to touch.
    pub stamp: &'a str,
}

/// Carries out one write.
///
/// # Errors
/// Where the API server refuses it, because the object is not the one or not as it was judged, or does not answer.
pub async fn act(cluster: &Cluster, of: Of<'_>, action: &Action) -> Result<(), Error> {
    let (what, request) = request(of, action);
    write(cluster, what, request).await
}

/// What a write is, in words.
#[must_use]
pub fn words(of: Of<'_>, action: &Action) -> String {
    request(of, action).0
}

/// Takes these finalizers off a set, whatever it still waits for: what a person does, and no host.
///
/// # Errors
/// As for [`act`].
pub async fn free_set(
    cluster: &Cluster,
    namespace: &str,
    set: &Target,
    finalizers: &[&str],
) -> Result<(), Error> {
    let what = format!("taking finalizers off set {namespace}/{}", set.name);
    let free = json!({ "$deleteFromPrimitiveList/finalizers": finalizers });
    write(cluster, what, patch(&status_path(namespace, &set.name), set, free)).await
}

async fn write(cluster: &Cluster, what: String, request: Built) -> Result<(), Error> {
    let request = request.map_err(|error| Error::Malformed(format!("{what}: {error}")))?;
    cluster.write(what, request).await.map(|_| ())
}

fn request(of: Of<'_>, action: &Action) -> (String, Built) {
    let ns = of.namespace;
    match action {
        Action::Enrol { claim, anchor } => (
            format!("enrolling claim {ns}/{}", claim.name),
            patch_claim(ns, claim, enrolled(of, anchor.as_deref())),
        ),
        Action::Note { claim, record } => {
            let note = json!({ "annotations": { marks::RECORD: marks::record_to_json(record) } });
            (
                format!("writing the record on claim {ns}/{}", claim.name),
                patch_claim(ns, claim, note),
            )
        }
        Action::CreatePod { body } => {
            (format!("creating a drain pod of {ns}/{}", of.set), create_pod(ns, &body.manifest))
        }
        Action::Seal(pod) => {
            let note = json!({ marks::SEALED: pod.uid });
            let seal = json!({ "finalizers": [marks::SEAL], "annotations": note });
            (format!("sealing pod {ns}/{}", pod.name), patch_pod(ns, pod, seal))
        }
        Action::GiveBack(pod) => {
            let note = json!({ marks::SEALED: format!("{}{}", marks::GIVEN_BACK, pod.uid) });
            let given_back = json!({ "annotations": note });
            (
                format!("giving back the seal of pod {ns}/{}", pod.name),
                patch_pod(ns, pod, given_back),
            )
        }
        Action::DeleteClaim(claim) => {
            (format!("deleting claim {ns}/{}", claim.name()), delete_claim(ns, claim))
        }
        Action::Fence(claim) => {
            let fence = json!({ "annotations": { marks::FENCED: of.stamp } });
            (format!("fencing claim {ns}/{}", claim.name), patch_claim(ns, claim, fence))
        }
        Action::Unseal { pod, outcome } => {
            (format!("unsealing pod {ns}/{}", pod.name), unseal(ns, pod, *outcome))
        }
        Action::DeletePod(pod) => {
            (format!("deleting drain pod {ns}/{}", pod.name), delete_pod(ns, pod))
        }
        Action::DeleteMember(pod) => {
            (format!("deleting member {ns}/{}", pod.name), delete_pod(ns, pod))
        }
        Action::Hold(set) => {
            let hold = json!({ "finalizers": [marks::HOLD] });
            (
                format!("holding set {ns}/{}", set.name),
                patch(&status_path(ns, &set.name), set, hold),
            )
        }
        Action::LetGo(set) => {
            let free = json!({ "$deleteFromPrimitiveList/finalizers": [marks::HOLD] });
            (format!("letting go of set {ns}/{}", set.name), let_go(ns, set, free))
        }
        Action::Touch => (format!("touching set {ns}/{}", of.set), touch(of)),
    }
}

/// Owners are merged by their UIDs, so that those that Kubernetes put there stay. An anchor neither controls the claim nor is held back by it.
fn enrolled(of: Of<'_>, anchor: Option<&str>) -> Value {
    let labels = json!({ marks::SET_UID: of.set_uid });
    match anchor {
        None => json!({ "labels": labels }),
        Some(uid) => json!({
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Namespace",
                "name": of.namespace,
                "uid": uid,
            }],
        }),
    }
}

fn create_pod(ns: &str, manifest: &str) -> Built {
    let path = format!("/api/v1/namespaces/{ns}/pods?fieldValidation=Strict&{MANAGER}");
    send(Method::POST, &path, "application/json", manifest.to_owned())
}

fn delete_pod(ns: &str, pod: &Target) -> Built {
    let body = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": { "uid": pod.uid, "resourceVersion": pod.resource_version },
    });
    send(Method::DELETE, &pod_path(ns, &pod.name), "application/json", body.to_string())
}

/// By UID alone: whatever version the set has, its controller is to look.
fn touch(of: Of<'_>) -> Built {
    let note = json!({ "uid": of.set_uid, "annotations": { settings::TOUCHED: of.stamp } });
    merge(&status_path(of.namespace, of.set), note)
}

fn patch_claim(ns: &str, claim: &Target, metadata: Value) -> Built {
    patch(&claim_path(ns, &claim.name), claim, metadata)
}

fn patch_pod(ns: &str, pod: &Target, metadata: Value) -> Built {
    patch(&pod_path(ns, &pod.name), pod, metadata)
}

/// By UID alone: the garbage collector takes its own finalizer off a set that was deleted with its pods left behind, and what it was asked to do
/// cannot be seen any more then. A set that is let go too late is held again while it lives, and its anchored claims outlive it.
fn let_go(ns: &str, set: &Target, mut metadata: Value) -> Built {
    metadata["uid"] = json!(set.uid);
    merge(&status_path(ns, &set.name), metadata)
}

/// A finalizer is merged by its whole list, which the resourceVersion pins to the list that was seen.
fn patch(path: &str, target: &Target, mut metadata: Value) -> Built {
    metadata["uid"] = json!(target.uid);
    metadata["resourceVersion"] = json!(target.resource_version);
    merge(path, metadata)
}

fn merge(path: &str, metadata: Value) -> Built {
    let body = json!({ "metadata": metadata }).to_string();
    let path = format!("{path}?{MANAGER}");
    send(Method::PATCH, &path, "application/strategic-merge-patch+json", body)
}

fn unseal(ns: &str, pod: &Target, outcome: Outcome) -> Built {
    let finalizers = json!([marks::SEAL]);
    let metadata = match outcome {
        Outcome::Drained { at } => json!({
            "$deleteFromPrimitiveList/finalizers": finalizers,
            "annotations": { marks::DRAINED: at.0.to_string() },
        }),
        Outcome::GivenBack => json!({
            "$deleteFromPrimitiveList/finalizers": finalizers,
            "annotations": { marks::SEALED: null },
        }),
    };
    patch_pod(ns, pod, metadata)
}

fn delete_claim(ns: &str, claim: &Condemned) -> Built {
    let propagation = match claim.propagation() {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
    };
    let body = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": { "uid": claim.uid(), "resourceVersion": claim.resource_version() },
        "propagationPolicy": propagation,
    });
    send(Method::DELETE, &claim_path(ns, claim.name()), "application/json", body.to_string())
}

fn claim_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
}

/// The status subresource takes annotations and finalizers too, and the right to it cannot change what the set is.
fn status_path(namespace: &str, set: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{set}/status")
}

fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

fn send(method: Method, path: &str, content_type: &str, body: String) -> Built {
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(body.into_bytes())
}

#[cfg(test)]
mod tests;
