//! Watches the pods that bear one name, so that what they went through can still be told when they are gone.

use std::io::BufReader;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use super::kubectl::Kubectl;

/// Everything that was seen of the pods of one name since the watch began. It ends when this is dropped.
pub(crate) struct Passage {
    kubectl: Child,
    seen: Arc<Mutex<Vec<Value>>>,
}

/// How a container of a pod ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) phase: String,
    pub(crate) exit_code: i64,
    /// The termination message.
    pub(crate) message: String,
}

impl Passage {
    /// Begins to watch the pods of that name in namespace `shards`.
    pub(crate) fn watch(kubectl: &Kubectl, pod: &str) -> Result<Self> {
        let selector = format!("--field-selector=metadata.name={pod}");
        let mut command = kubectl.command(["get", "pods", "-n", "shards", "--watch", "-o", "json"]);
        command.args(["--output-watch-events", &selector]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut kubectl = command.spawn().context("starting kubectl")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = kubectl.stdout.take() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || read(output, &seen));
        }
        Ok(Self { kubectl, seen })
    }

    /// How the container `store` of the pod with that UID ended, once that was seen.
    pub(crate) fn end_of(&self, uid: &str) -> Option<Ended> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = seen.iter().rev().filter(|pod| pod["metadata"]["uid"] == uid);
        pods.filter_map(ended).next()
    }

    /// Whether the pod with that UID is gone.
    pub(crate) fn is_gone(&self, uid: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().any(|pod| pod["gone"] == true && pod["metadata"]["uid"] == uid)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        // It may have ended by itself, and its end is of no interest.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

fn read(output: ChildStdout, seen: &Mutex<Vec<Value>>) {
    let events = serde_json::Deserializer::from_reader(BufReader::new(output));
    for event in events.into_iter::<Value>() {
        let Ok(mut event) = event else {
            return;
        };
        let gone = event["type"] == "DELETED";
        let mut pod = event["object"].take();
        pod["gone"] = Value::from(gone);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(pod);
    }
}

fn ended(pod: &Value) -> Option<Ended> {
    let status = &pod["status"];
    let containers = status["containerStatuses"].as_array()?;
    let store = containers.iter().find(|container| container["name"] == "store")?;
    let end = &store["state"]["terminated"];
    Some(Ended {
        phase: status["phase"].as_str()?.to_owned(),
        exit_code: end["exitCode"].as_i64()?,
        message: end["message"].as_str().unwrap_or_default().trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_the_store_is_read_whatever_stands_beside_it() {
        let running = json!({ "name": "store", "state": { "running": {} } });
        let state = json!({ "terminated": { "exitCode": 0, "message": "count=1\n" } });
        let over = json!({ "name": "store", "state": state });
        let pod = |store: Value| {
            let other = json!({ "name": "mesh", "state": { "running": {} } });
            json!({ "status": { "phase": "Running", "containerStatuses": [other, store] } })
        };
        assert_eq!(ended(&pod(running)), None);
        let message = "count=1".to_owned();
        let expected = Ended { phase: "Running".to_owned(), exit_code: 0, message };
        assert_eq!(ended(&pod(over)), Some(expected));
    }
}
