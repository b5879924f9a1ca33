//! What was asked of the API server, by its own record.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// One request that was answered, or a watch that began.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) user: String,
    pub(super) verb: String,
    /// With its subresource, such as `pods/status`.
    pub(super) resource: String,
    /// Empty where it was asked about all.
    pub(super) namespace: String,
    /// Empty where it was asked about a collection.
    pub(super) name: String,
    /// The HTTP status.
    pub(super) code: u64,
    /// When it was answered.
    pub(super) answered: Timestamp,
}

/// The requests that `is_wanted`, in the order of their answers.
///
/// # Errors
/// Where the log cannot be read.
pub(super) fn read(audit_log: &Path, is_wanted: impl Fn(&Request) -> bool) -> Result<Vec<Request>> {
    let file = File::open(audit_log).with_context(|| format!("reading {}", audit_log.display()))?;
    let mut requests = Vec::new();
    for line in BufReader::new(file).lines() {
        // The last line may be half written.
        let record = serde_json::from_str::<Value>(&line?).ok();
        requests.extend(record.and_then(|record| request(&record)).filter(&is_wanted));
    }
    Ok(requests)
}

fn request(record: &Value) -> Option<Request> {
    let verb = record["verb"].as_str()?;
    // A watch is recorded when it begins, and again when it ends.
    let stage = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if record["stage"] != stage {
        return None;
    }
    let object = &record["objectRef"];
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text("resource")),
        None => text("resource"),
    };
    Some(Request {
        user: record["user"]["username"].as_str()?.to_owned(),
        verb: verb.to_owned(),
        resource,
        namespace: text("namespace"),
        name: text("name"),
        code: record["responseStatus"]["code"].as_u64().unwrap_or_default(),
        answered: record["stageTimestamp"].as_str()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_read_once() {
        let record = |stage: &str| {
            json!({
                "verb": "patch", "stage": stage, "user": {"username": "host"},
                "objectRef": {"resource": "pods", "subresource": "status", "name": "a", "namespace": "n"},
                "responseStatus": {"code": 200}, "stageTimestamp": "2026-01-02T03:04:05.000006Z",
            })
        };
        let found = request(&record("ResponseComplete")).unwrap();
        assert_eq!((found.resource.as_str(), found.code), ("pods/status", 200));
        assert_eq!(found.answered.subsec_microsecond(), 6);
        assert!(request(&record("ResponseStarted")).is_none());
    }
}
