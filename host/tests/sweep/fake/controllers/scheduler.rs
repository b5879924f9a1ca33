//! Gives a pod the one node there is.

use serde_json::{Value, json};

use crate::fake::admission::now;
use crate::fake::kind::Kind;
use crate::fake::object::{claims_of, has_ended, is_deleted, items, name, namespace, text};
use crate::fake::store::{Key, Store};
use crate::fake::write::{Part, Writer, with_condition};

/// Who writes.
pub(super) const NAME: &str = "scheduler";

/// The name of the node.
pub(crate) const NODE: &str = "stand-in-0";

/// Binds one pod, or says of one why it has no node.
pub(super) fn act(writer: &mut Writer<'_>) -> bool {
    let pods = writer.store.list(Kind::Pod, None);
    let unbound = pods.iter().filter(|pod| {
        text(pod, "/spec/nodeName").is_empty() && !is_deleted(pod) && !has_ended(pod)
    });
    let gated = |pod: &Value| items(pod, "/spec/schedulingGates").next().is_some();
    unbound.filter(|pod| !gated(pod)).any(|pod| {
        let key = Key::new(Kind::Pod, namespace(pod), name(pod));
        let obstacle = obstacle(writer.store, pod);
        let before = writer.store.revision();
        let written =
            writer.update(&key, Part::Binding, |pod| Ok(scheduled(pod, obstacle.as_deref())));
        written.is_ok() && writer.store.revision() > before
    })
}

/// Why no node takes the pod; the words are the scheduler's own.
fn obstacle(store: &Store, pod: &Value) -> Option<String> {
    for claim in claims_of(pod) {
        match store.get(&Key::new(Kind::Claim, namespace(pod), claim)) {
            None => return Some(format!("persistentvolumeclaim {claim:?} not found")),
            Some(found) if is_deleted(&found) => {
                return Some(format!("persistentvolumeclaim {claim:?} is being deleted"));
            }
            Some(found) if text(&found, "/status/phase") != "Bound" => {
                return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            Some(_) => {}
        }
    }
    let node = store.get(&Key::new(Kind::Node, "", NODE));
    let labels = node.as_ref().map(|node| &node["metadata"]["labels"]);
    let wanted = pod["spec"]["nodeSelector"].as_object();
    let fits = |(key, value): (&String, &Value)| labels.is_some_and(|labels| labels[key] == *value);
    let all = wanted.is_none_or(|wanted| wanted.iter().all(fits));
    (!all).then(|| {
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.".to_owned()
    })
}

fn scheduled(pod: &Value, obstacle: Option<&str>) -> Value {
    let mut pod = pod.clone();
    let mut condition =
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now() });
    if let Some(obstacle) = obstacle {
        let before = items(&pod, "/status/conditions").find(|it| it["type"] == "PodScheduled");
        if before.is_some_and(|before| before["message"] == obstacle) {
            return pod;
        }
        condition["status"] = json!("False");
        condition["reason"] = json!("Unschedulable");
        condition["message"] = json!(obstacle);
    } else {
        pod["spec"]["nodeName"] = json!(NODE);
    }
    with_condition(&pod, condition)
}
