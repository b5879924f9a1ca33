//! What the host asked of the API server, by the API server's own record.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::world::{HOST_USER, World};

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What was asked, such as `delete persistentvolumeclaims data-web-1` or `list pods`.
    pub(crate) what: String,
    /// The namespace; empty where it was asked about all.
    pub(crate) namespace: String,
    /// The HTTP status of the answer.
    pub(crate) code: u64,
    /// The pod that asked, where its token is a pod's.
    pub(crate) pod: String,
    /// When the request came in, in UTC and RFC 3339 with microseconds.
    pub(crate) at: String,
    /// Whether it was asked what would be, without effect.
    pub(crate) is_dry: bool,
}

impl Asked {
    /// Whether it is a request that reads, once.
    fn is_read(&self) -> bool {
        ["get ", "list "].iter().any(|verb| self.what.starts_with(verb))
    }

    /// Whether it waits for changes.
    pub(crate) fn is_watch(&self) -> bool {
        self.what.starts_with("watch ")
    }

    /// Whether it changes something, apart from what it tells people.
    pub(crate) fn is_write(&self) -> bool {
        !self.is_read() && !self.is_watch() && !self.what.contains(" events")
    }

    /// Whether it was refused because the object had changed since it was read: then nothing is written, and the host looks again.
    pub(crate) fn came_late(&self) -> bool {
        self.code == 409
    }
}

/// Everything that a user asked since the cluster came up, in the order of the answers.
pub(crate) fn asked_by(world: &World, user: &str) -> Result<Vec<Asked>> {
    let log = world.cluster.audit_log();
    let file = File::open(log).with_context(|| format!("opening {}", log.display()))?;
    let mut all = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        // Most lines are others': a search is cheaper than parsing them.
        if !line.contains(user) {
            continue;
        }
        // The last line may be half written.
        let Ok(record) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let ended = record["stage"] == "ResponseComplete" || record["verb"] == "watch";
        if record["user"]["username"] == user && ended {
            all.push(asked(&record));
        }
    }
    Ok(all)
}

/// What the host asked in a namespace since the cluster came up, in the order of the answers.
pub(crate) fn host_asked_in(world: &World, namespace: &str) -> Result<Vec<Asked>> {
    let mut all = asked_by(world, HOST_USER)?;
    all.retain(|asked| asked.namespace == namespace);
    Ok(all)
}

fn asked(record: &Value) -> Asked {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &record["objectRef"];
    let subresource = match text(&object["subresource"]) {
        none if none.is_empty() => none,
        some => format!("/{some}"),
    };
    let what = format!(
        "{} {}{subresource} {}",
        text(&record["verb"]),
        text(&object["resource"]),
        text(&object["name"])
    );
    Asked {
        what: what.trim_end().to_owned(),
        namespace: text(&object["namespace"]),
        code: record["responseStatus"]["code"].as_u64().unwrap_or_default(),
        pod: text(&record["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]),
        at: text(&record["requestReceivedTimestamp"]),
        is_dry: text(&record["requestURI"]).contains("dryRun=All"),
    }
}
