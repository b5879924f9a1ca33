//! What the stand-in node writes about pods, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Writes under way at once: enough for a thousand pods in seconds, few enough for the API server's own limits.
const WRITES_MAX: usize = 16;

/// How long one write may take before it is tried again.
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

/// The HTTP status of an object that is not there.
const HTTP_NOT_FOUND: u16 = 404;

/// Writes statuses, deletes and bindings.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    permits: Arc<Semaphore>,
}

/// Which pod is meant.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its UID; a pod of another UID is left alone.
    pub(crate) uid: String,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is written, or the object is gone and nothing can be.
    Done,
    /// It has to be tried again.
    Again,
}

impl Writer {
    /// A writer that uses `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, permits: Arc::new(Semaphore::new(WRITES_MAX)) }
    }

    /// Merges `status` into the pod's, as a kubelet does: conditions of others stay.
    pub(crate) async fn status(&self, target: &Target, status: &PodStatus) -> Written {
        let patch = status_patch(target, status);
        self.write(target, "status", |pods| async move {
            let patch = Patch::Strategic(patch);
            pods.patch_status(&target.name, &PatchParams::default(), &patch).await.map(|_| ())
        })
        .await
    }

    /// Deletes the pod for good, as a kubelet does once nothing of it runs.
    pub(crate) async fn delete(&self, target: &Target) -> Written {
        let uid = Some(target.uid.clone());
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        self.write(target, "delete", |pods| async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "a kubelet's own delete of an ended pod: by uid, never a claim"
            )]
            pods.delete(&target.name, &parameters).await.map(|_| ())
        })
        .await
    }

    /// Binds the pod to `node`, as a scheduler does.
    pub(crate) async fn bind(&self, target: &Target, node: &str) -> Written {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": target.name, "uid": target.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.write(target, "binding", |pods| async move {
            let parameters = PostParams::default();
            let answer: kube::Result<Value> =
                pods.create_subresource("binding", &target.name, &parameters, &binding).await;
            answer.map(|_| ())
        })
        .await
    }

    async fn write<F, W>(&self, target: &Target, what: &str, write: F) -> Written
    where
        F: FnOnce(Api<Pod>) -> W,
        W: Future<Output = kube::Result<()>>,
    {
        // The semaphore is never closed, so that a permit always comes.
        let _permit = self.permits.acquire().await;
        let pods = Api::namespaced(self.client.clone(), &target.namespace);
        let problem = match tokio::time::timeout(WRITE_DEADLINE, write(pods)).await {
            Ok(Ok(())) => return Written::Done,
            Ok(Err(kube::Error::Api(status))) if status.code == HTTP_NOT_FOUND => {
                return Written::Done;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", WRITE_DEADLINE.as_secs()),
        };
        tracing::warn!(pod = %target.name, what, problem, "write is tried again");
        Written::Again
    }
}

/// The patch that makes the object's status this one. What the merge would keep from before, because the status does not
/// name it, is named as absent; conditions of other types are left as they are.
fn status_patch(target: &Target, status: &PodStatus) -> Value {
    let mut wanted = json!(status);
    name_absent(&mut wanted, &["message", "reason", "podIP"]);
    for condition in wanted["conditions"].as_array_mut().into_iter().flatten() {
        name_absent(condition, &["message", "reason"]);
    }
    let addresses = status.pod_ips.iter().flatten().map(|a| json!({"ip": a.ip}));
    wanted["podIPs"] = addresses.chain([json!({"$patch": "replace"})]).collect();
    json!({"metadata": {"uid": target.uid}, "status": wanted})
}

fn name_absent(object: &mut Value, keys: &[&str]) {
    for key in keys {
        if object.get(key).is_none() {
            object[key] = Value::Null;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodCondition;

    #[test]
    fn a_status_patch_names_what_is_absent() {
        let target = Target {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "u-1".to_owned(),
        };
        let condition = PodCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            ..PodCondition::default()
        };
        let status = PodStatus {
            phase: Some("Running".to_owned()),
            pod_ip: Some("127.3.0.1".to_owned()),
            conditions: Some(vec![condition]),
            ..PodStatus::default()
        };
        let patch = status_patch(&target, &status);
        let expected = json!({
            "metadata": {"uid": "u-1"},
            "status": {
                "phase": "Running", "podIP": "127.3.0.1", "podIPs": [{"$patch": "replace"}],
                "message": null, "reason": null,
                "conditions": [
                    {"type": "Ready", "status": "True", "message": null, "reason": null},
                ],
            },
        });
        assert_eq!(patch, expected);
    }
}
