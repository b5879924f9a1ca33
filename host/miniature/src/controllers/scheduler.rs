//! Gives a pod the one node there is.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{claims_of, has_ended, is_deleted, items, name, namespace, text};
use crate::store::{Key, Store};
use crate::write::{Part, Writer, with_condition};

/// Who writes.
pub(crate) const NAME: &str = "scheduler";

/// Binds one pod, or says of one why it has no node.
pub(crate) fn act(writer: &mut Writer<'_>) -> bool {
    let pods = writer.store.list(Kind::Pod, None);
    let unbound = pods.iter().filter(|pod| {
        text(pod, "/spec/nodeName").is_empty() && !is_deleted(pod) && !has_ended(pod)
    });
    let gated = |pod: &Value| items(pod, "/spec/schedulingGates").next().is_some();
    unbound.filter(|pod| !gated(pod)).any(|pod| {
        let key = Key::new(Kind::Pod, namespace(pod), name(pod));
        let node = writer.store.list(Kind::Node, None).into_iter().next();
        let place = place(writer.store, node.as_deref(), pod);
        let (before, now) = (writer.store.revision(), writer.store.stamp(0));
        let written = writer.update(&key, Part::Binding, |pod| Ok(scheduled(pod, &place, &now)));
        written.is_ok() && writer.store.revision() > before
    })
}

/// The name of the node that takes the pod.
///
/// # Errors
/// Why none does, in the scheduler's own words.
fn place(store: &Store, node: Option<&Value>, pod: &Value) -> Result<String, String> {
    for claim in claims_of(pod) {
        match store.get(&Key::new(Kind::Claim, namespace(pod), claim)) {
            None => return Err(format!("persistentvolumeclaim {claim:?} not found")),
            Some(found) if is_deleted(&found) => {
                return Err(format!("persistentvolumeclaim {claim:?} is being deleted"));
            }
            Some(found) if text(&found, "/status/phase") != "Bound" => {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            Some(_) => {}
        }
    }
    let wanted = pod["spec"]["nodeSelector"].as_object();
    let fits = |node: &&Value| {
        let labels = &node["metadata"]["labels"];
        wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
    };
    node.filter(fits).map(|node| name(node).to_owned()).ok_or_else(|| {
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.".to_owned()
    })
}

fn scheduled(pod: &Value, place: &Result<String, String>, now: &str) -> Value {
    let mut pod = pod.clone();
    let mut condition =
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now });
    match place {
        Ok(node) => pod["spec"]["nodeName"] = json!(node),
        Err(obstacle) => {
            let before = items(&pod, "/status/conditions").find(|it| it["type"] == "PodScheduled");
            if before.is_some_and(|before| before["message"] == *obstacle) {
                return pod;
            }
            condition["status"] = json!("False");
            condition["reason"] = json!("Unschedulable");
            condition["message"] = json!(obstacle);
        }
    }
    with_condition(&pod, condition)
}
