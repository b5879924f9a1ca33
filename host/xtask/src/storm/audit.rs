//! What the hosts asked of the API server, by its own record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// One request of a host that was answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The credential it came with: each process of a host has one of its own.
    pub(super) credential: String,
    pub(super) verb: String,
    pub(super) resource: String,
    /// Empty where it was asked about a collection.
    pub(super) name: String,
    /// The HTTP status.
    pub(super) code: u64,
    /// When it reached the API server.
    pub(super) received: Timestamp,
    /// When its answer was complete.
    pub(super) answered: Timestamp,
    /// The UID without which it was to fail, of a deletion.
    pub(super) of_uid: String,
    /// The revision that its answer shows, of a deletion that left the object there for a while.
    pub(super) revision: Option<u64>,
}

/// The record, read as it grows.
pub(super) struct Tail {
    path: PathBuf,
    /// How far it was read.
    offset: u64,
    /// What was read and not yet taken, by namespace.
    read: BTreeMap<String, Vec<Request>>,
}

impl Tail {
    /// A record of which nothing was read.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, read: BTreeMap::new() }
    }

    /// Takes what was asked about this namespace up to this moment. What was answered is in the record before the answer leaves.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub(super) fn take(&mut self, namespace: &str) -> Result<Vec<Request>> {
        self.read_on().with_context(|| format!("reading {}", self.path.display()))?;
        Ok(self.read.remove(namespace).unwrap_or_default())
    }

    fn read_on(&mut self) -> Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            // The last line may be half written, and is read again then.
            if !line.ends_with('\n') {
                break;
            }
            self.offset += u64::try_from(line.len())?;
            let record: Option<Value> = serde_json::from_str(&line).ok();
            if let Some((namespace, request)) = record.as_ref().and_then(request) {
                self.read.entry(namespace).or_default().push(request);
            }
            line.clear();
        }
        Ok(())
    }
}

/// The request of a record, with its namespace; none where it has no answer or no credential.
fn request(record: &Value) -> Option<(String, Request)> {
    if record["stage"] != "ResponseComplete" {
        return None;
    }
    let text = |pointer: &str| {
        record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let credential = &record["user"]["extra"]["authentication.kubernetes.io/credential-id"][0];
    let subresource = text("/objectRef/subresource");
    let resource = match subresource.as_str() {
        "" => text("/objectRef/resource"),
        part => format!("{}/{part}", text("/objectRef/resource")),
    };
    let request = Request {
        credential: credential.as_str()?.to_owned(),
        verb: text("/verb"),
        resource,
        name: text("/objectRef/name"),
        code: record["responseStatus"]["code"].as_u64().unwrap_or_default(),
        received: text("/requestReceivedTimestamp").parse().ok()?,
        answered: text("/stageTimestamp").parse().ok()?,
        of_uid: text("/requestObject/preconditions/uid"),
        revision: text("/responseObject/metadata/resourceVersion").parse().ok(),
    };
    Some((text("/objectRef/namespace"), request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Write as _;

    fn record(name: &str) -> Value {
        json!({
            "stage": "ResponseComplete", "verb": "delete",
            "user": {"extra": {"authentication.kubernetes.io/credential-id": ["JTI=a"]}},
            "objectRef": {"resource": "pods", "namespace": "storm-1", "name": name},
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
            "stageTimestamp": "2026-01-02T03:04:05.000008Z",
            "requestObject": {"preconditions": {"uid": "u"}},
            "responseObject": {"metadata": {"resourceVersion": "77"}},
        })
    }

    #[test]
    fn a_deletion_is_read_with_what_it_names_and_what_it_made() {
        let (namespace, request) = request(&record("web-1")).unwrap();
        assert_eq!((namespace.as_str(), request.resource.as_str()), ("storm-1", "pods"));
        assert_eq!((request.of_uid.as_str(), request.revision), ("u", Some(77)));
        assert_eq!(request.credential, "JTI=a");
    }

    #[test]
    fn a_line_that_is_half_written_is_read_when_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path());
        let second = format!("{}\n", record("web-2"));
        let (half, rest) = second.split_at(40);
        write!(file, "{}\n{half}", record("web-1")).unwrap();
        assert_eq!(tail.take("storm-1").unwrap().len(), 1);
        write!(file, "{rest}").unwrap();
        assert_eq!(tail.take("storm-1").unwrap()[0].name, "web-2");
        assert!(tail.take("storm-1").unwrap().is_empty());
    }
}
