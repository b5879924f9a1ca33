//! The one node: its pods go as they go on a stand-in node, without processes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};
use tidegate_miniature::controllers::Node;
use tidegate_miniature::kind::Kind;
use tidegate_miniature::object::{name, namespace, text, uid, version};
use tidegate_miniature::store::Key;
use tidegate_miniature::write::{Deletion, Part, Writer};
use tokio::time::Instant;
use xtask::standin::{Course, SCRIPT_ANNOTATION, Script};

/// The name of the node.
pub(crate) const NODE: &str = "stand-in-0";

/// The node's part.
#[derive(Default)]
pub(crate) struct Kubelet {
    /// How pods are played that bear one of these labels.
    plays: BTreeMap<String, Script>,
    /// The pods, by UID.
    residents: BTreeMap<String, Resident>,
    /// How many addresses were given away.
    addresses: u32,
}

struct Resident {
    key: Key,
    course: Course,
    /// The version of the object that was seen last.
    seen: String,
    /// Whether its status may have changed since it was written.
    is_stale: bool,
}

impl Kubelet {
    /// Has pods that bear this label played so, unless their own annotation says otherwise.
    pub(crate) fn play(&mut self, label: &str, script: Script) {
        self.plays.insert(label.to_owned(), script);
    }

    /// Ends a running container.
    pub(crate) fn finish(
        &mut self,
        (namespace, pod): (&str, &str),
        container: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> Result<()> {
        let key = Key::new(Kind::Pod, namespace, pod);
        let found = self.residents.values_mut().find(|resident| resident.key == key);
        let resident = found.with_context(|| format!("pod {namespace}/{pod} has no node"))?;
        resident.is_stale = true;
        let finished = resident.course.finish(container, exit_code, message.map(str::to_owned));
        finished.map_err(|error| anyhow!("pod {namespace}/{pod}: {error}"))
    }

    /// When something of a script is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.residents.values().filter_map(|resident| resident.course.next_at()).min()
    }

    fn serve(&mut self, writer: &mut Writer<'_>, object: &Value, now: Instant) -> bool {
        if !self.residents.contains_key(uid(object)) {
            let resident = self.admit(object);
            self.residents.insert(uid(object).to_owned(), resident);
        }
        let Some(resident) = self.residents.get_mut(uid(object)) else {
            return false;
        };
        if resident.seen != version(object) {
            resident.seen = version(object).to_owned();
            resident.course.see(&typed(object));
            resident.is_stale = true;
        }
        if std::mem::take(&mut resident.is_stale)
            && let Some(status) = resident.course.take_status()
        {
            return writer
                .update(&resident.key, Part::Status, |pod| Ok(with(pod, &status)))
                .is_ok();
        }
        if resident.course.is_deletable() {
            let deletion = Deletion { grace_secs: Some(0), ..Deletion::of(object) };
            let before = writer.store.revision();
            let deleted = writer.delete(&resident.key, &deletion).is_ok();
            // Where a finalizer holds the object there is nothing left to do for it.
            return deleted && writer.store.revision() > before;
        }
        resident.is_stale = resident.course.advance(now);
        resident.is_stale
    }

    fn admit(&mut self, object: &Value) -> Resident {
        self.addresses += 1;
        let [_, high, middle, low] = self.addresses.to_be_bytes();
        let address = format!("10.{high}.{middle}.{low}");
        let course = Course::begin(&typed(object), self.script_for(object), address);
        let key = Key::new(Kind::Pod, namespace(object), name(object));
        Resident { key, course, seen: version(object).to_owned(), is_stale: true }
    }

    /// A script that cannot be read is a mistake of the test's, and the pod hangs.
    fn script_for(&self, pod: &Value) -> Script {
        let own = pod["metadata"]["annotations"].get(SCRIPT_ANNOTATION).and_then(Value::as_str);
        let labels = &pod["metadata"]["labels"];
        let labelled = self.plays.iter().find(|(label, _)| labels.get(label).is_some());
        let labelled = labelled.map(|(_, script)| script.clone()).unwrap_or_default();
        own.map_or(labelled, |script| script.parse().unwrap_or_default())
    }
}

impl Node for Kubelet {
    fn act(&mut self, writer: &mut Writer<'_>) -> bool {
        let (pods, now) = (writer.store.list(Kind::Pod, None), Instant::now());
        self.residents.retain(|known, _| pods.iter().any(|pod| uid(pod) == known));
        pods.iter().any(|pod| text(pod, "/spec/nodeName") == NODE && self.serve(writer, pod, now))
    }
}

/// What was kept was read as a pod when it came.
fn typed(object: &Value) -> Pod {
    serde_json::from_value(object.clone()).unwrap_or_default()
}

/// The pod with this status. Conditions of types that the kubelet does not write stay.
fn with(pod: &Value, status: &PodStatus) -> Value {
    let mut pod = pod.clone();
    let mut status = json!(status);
    let own = status["conditions"].as_array().cloned().unwrap_or_default();
    let known = |kind: &Value| own.iter().any(|condition| condition["type"] == *kind);
    let before = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let others = before.into_iter().filter(|condition| !known(&condition["type"]));
    status["conditions"] = others.chain(own.iter().cloned()).collect();
    pod["status"] = status;
    pod
}
