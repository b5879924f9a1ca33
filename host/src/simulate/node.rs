//! The node of a simulated cluster: every pod starts at once and runs until something befalls it. A process that is told to stop exits with 0, which
//! is the case that looks like a success.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate_miniature::controllers::Node;
use tidegate_miniature::kind::Kind;
use tidegate_miniature::object::{has_ended, is_deleted, items, name, namespace, text, uid};
use tidegate_miniature::refusal::Refusal;
use tidegate_miniature::store::Key;
use tidegate_miniature::write::{Deletion, Part, Writer, with_condition};

/// How a container ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit<'a> {
    /// Its exit code.
    pub code: i32,
    /// Its termination message.
    pub message: &'a str,
}

/// The node.
#[derive(Debug, Default)]
pub struct Kubelet {
    /// The pods, by UID, of which nothing is heard any more.
    lost: BTreeSet<String>,
    /// How many addresses were given away.
    addresses: u8,
}

impl Node for Kubelet {
    fn act(&mut self, writer: &mut Writer<'_>) -> bool {
        let pods = writer.store.list(Kind::Pod, None);
        self.lost.retain(|known| pods.iter().any(|pod| uid(pod) == known));
        pods.iter().any(|pod| {
            let is_here = !text(pod, "/spec/nodeName").is_empty() && !self.lost.contains(uid(pod));
            is_here && self.serve(writer, pod)
        })
    }
}

impl Kubelet {
    /// Hears of this pod no more.
    pub fn lose(&mut self, pod: &Value) {
        self.lost.insert(uid(pod).to_owned());
    }

    fn serve(&mut self, writer: &mut Writer<'_>, pod: &Value) -> bool {
        let key = key(pod);
        if !is_deleted(pod) {
            let is_new = text(pod, "/status/phase") == "Pending";
            return is_new && self.start(writer, &key);
        }
        if !has_ended(pod) {
            return ended(writer, &key, Exit { code: 0, message: "" }).is_ok();
        }
        // Where a finalizer holds the object there is nothing left to do for it.
        let before = writer.store.revision();
        let deletion = Deletion { grace_secs: Some(0), ..Deletion::of(pod) };
        writer.delete(&key, &deletion).is_ok() && writer.store.revision() > before
    }

    fn start(&mut self, writer: &mut Writer<'_>, key: &Key) -> bool {
        self.addresses = self.addresses.wrapping_add(1);
        let (address, now) = (format!("10.0.0.{}", self.addresses), writer.store.stamp(0));
        let started = writer.update(key, Part::Status, |pod| Ok(with_status(pod, &address, &now)));
        started.is_ok()
    }
}

/// Has the main containers of a pod exit so, and its sidecars with them.
///
/// # Errors
/// Where the pod is gone.
pub fn ended(writer: &mut Writer<'_>, key: &Key, exit: Exit<'_>) -> Result<(), Refusal> {
    let now = writer.store.stamp(0);
    let ended = |status: &Value, exit: Exit<'_>| {
        let mut status = status.clone();
        let reason = if exit.code == 0 { "Completed" } else { "Error" };
        let started = status["state"]["running"]["startedAt"].clone();
        let mut terminated = json!({ "exitCode": exit.code, "reason": reason, "finishedAt": now });
        if !started.is_null() {
            terminated["startedAt"] = started;
        }
        if !exit.message.is_empty() {
            terminated["message"] = json!(exit.message);
        }
        (status["state"], status["ready"]) = (json!({ "terminated": terminated }), json!(false));
        status
    };
    let write = writer.update(key, Part::Status, |pod| {
        let mut pod = pod.clone();
        for list in ["containerStatuses", "initContainerStatuses"] {
            let statuses = pod["status"][list].as_array().cloned().unwrap_or_default();
            let told = statuses.iter().map(|status| match (list, status["state"].get("running")) {
                ("containerStatuses", _) => ended(status, exit),
                (_, Some(_)) => ended(status, Exit { code: 0, message: "" }),
                (_, None) => status.clone(),
            });
            pod["status"][list] = told.collect();
        }
        pod["status"]["phase"] = json!(if exit.code == 0 { "Succeeded" } else { "Failed" });
        Ok(with_condition(&pod, not_ready(&now)))
    });
    write.map(|_| ())
}

/// Where a pod lies.
#[must_use]
pub fn key(pod: &Value) -> Key {
    Key::new(Kind::Pod, namespace(pod), name(pod))
}

/// That a pod is not ready.
#[must_use]
pub fn not_ready(now: &str) -> Value {
    json!({ "type": "Ready", "status": "False", "lastTransitionTime": now })
}

/// A pod of which everything has started.
fn with_status(pod: &Value, address: &str, now: &str) -> Value {
    let mut pod = pod.clone();
    let running = json!({ "running": { "startedAt": now } });
    let over = json!({ "terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now,
    } });
    let status = |container: &Value, state: &Value| {
        let is_ready = state.get("running").is_some();
        json!({
            "name": container["name"],
            "image": container["image"],
            "state": state,
            "ready": is_ready,
            "restartCount": 0,
        })
    };
    let of_inits = items(&pod, "/spec/initContainers").map(|container| {
        let is_sidecar = container["restartPolicy"] == "Always";
        status(container, if is_sidecar { &running } else { &over })
    });
    let of_mains = items(&pod, "/spec/containers").map(|container| status(container, &running));
    let statuses = (of_inits.collect::<Vec<_>>(), of_mains.collect::<Vec<_>>());
    (pod["status"]["initContainerStatuses"], pod["status"]["containerStatuses"]) =
        (json!(statuses.0), json!(statuses.1));
    pod["status"]["phase"] = json!("Running");
    pod["status"]["startTime"] = json!(now);
    pod["status"]["podIP"] = json!(address);
    pod["status"]["podIPs"] = json!([{ "ip": address }]);
    // Nobody in this cluster sets the condition of a readiness gate.
    let is_gated = items(&pod, "/spec/readinessGates").next().is_some();
    let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": now });
    with_condition(&pod, if is_gated { not_ready(now) } else { ready })
}
