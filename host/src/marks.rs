//! What the host writes on objects so that any host can go on: the marks on a drain pod and the record on a claim, each as versioned JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::{Noted, Record, TimeMs, record::Hold};

/// The label with the set's UID, on enrolled claims and on drain pods.
pub const SET_UID: &str = "tidegate.dev/set-uid";
/// The finalizer on a drain pod that has ended, while its claims are deleted.
pub const SEAL: &str = "tidegate.dev/seal";
/// The annotation that the host puts on a pod with its seal: the pod's UID, or [`GIVEN_BACK`]. A finalizer without it was put there by somebody
/// else.
pub const SEALED: &str = "tidegate.dev/sealed";
/// What [`SEALED`] says from the moment that the seal is to be given back, followed by the pod's UID.
pub const GIVEN_BACK: &str = "given-back ";
/// The finalizer on a set that is to be drained before it goes.
pub const HOLD: &str = "tidegate.dev/drain-on-delete";
/// The finalizer that the predecessor put on every set with its annotation, and that nobody takes off once it is gone.
pub const PREDECESSOR_HOLD: &str = "statefulsets.kubernetes.io/scaledown";
/// The annotation with the marks of a drain pod.
pub const DRAIN: &str = "tidegate.dev/drain";
/// The annotation that unsealing leaves on a drain pod whose claims were deleted: when, in milliseconds since 1970.
pub const DRAINED: &str = "tidegate.dev/drained";
/// The annotation that changes a claim's version before a seal is given back, so that no DELETE of before fits any more.
pub const FENCED: &str = "tidegate.dev/fenced";
/// The annotation with the record, on the claim that owns the drain pods.
pub const RECORD: &str = "tidegate.dev/record";
/// The version of both. What bears another is not understood, and so neither ours nor believed.
const VERSION: u32 = 1;

/// What the host was told and did when it created a drain pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Marks {
    /// [`Marks::VERSION`].
    pub version: u32,
    /// The set's name.
    pub set: String,
    /// The set's UID.
    pub set_uid: String,
    /// The set's generation.
    pub generation: u64,
    /// The ordinal.
    pub ordinal: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The namespace of the ConfigMap that the policy came from.
    pub policy_namespace: String,
    /// The reference to that very policy, `NAME/KEY@sha256:HEX`, whatever the set or the library name since.
    pub policy: String,
    /// The sha256 of the component that rendered the pod, in hexadecimal.
    pub digest: String,
    /// The config that it was told.
    pub config: String,
    /// What the policy rendered. Admission may have added others.
    pub containers: Containers,
    /// The UIDs of the claims, by template.
    pub claims: BTreeMap<String, String>,
    /// The template whose claim owns the pod.
    pub owner: String,
    /// When a host first saw the orphan, in milliseconds since 1970.
    pub orphan_since_ms: u64,
}

/// The names of rendered containers, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Containers {
    /// Main containers.
    pub main: Vec<String>,
    /// Init containers that end.
    pub init: Vec<String>,
    /// Native sidecars.
    pub sidecar: Vec<String>,
}

/// What every version has, and nothing else of it.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordJson {
    version: u32,
    set_uid: String,
    generation: u64,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HoldJson {
    why: String,
    settings: String,
}

impl Marks {
    /// The version that is written.
    pub const VERSION: u32 = VERSION;

    /// The marks as an annotation's value.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads an annotation's value.
    ///
    /// # Errors
    /// Why it is not ours, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = version(text)
            .and_then(|()| serde_json::from_str(text).map_err(|error| error.to_string()));
        read.map_err(|why| format!("annotation {DRAIN}: {why}"))
    }
}

/// The record as an annotation's value.
#[must_use]
pub fn record_to_json(record: &Record) -> String {
    let Record { set_uid, generation, attempt, not_before, state, state_at, hold } = record.clone();
    let json = RecordJson {
        version: VERSION,
        set_uid,
        generation,
        attempt,
        not_before_ms: not_before.map(|time| time.0),
        state,
        state_at_ms: state_at.map(|time| time.0),
        hold: hold
            .map(|Hold { why, settings }| HoldJson { why, settings: format!("{settings:016x}") }),
    };
    serde_json::json!(json).to_string()
}

/// Reads what stands where the record is kept. The version is read before anything else, so that a record of a version to come is called that,
/// whatever it holds.
#[must_use]
pub fn noted_from_json(text: &str) -> Noted {
    let read = version(text).and_then(|()| record_from_json(text));
    match read {
        Ok(record) => Noted::Record(record),
        Err(why) => Noted::Unreadable { why },
    }
}

/// That it was written in the version that this host writes.
fn version(text: &str) -> Result<(), String> {
    let Versioned { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if version == VERSION { Ok(()) } else { Err(format!("version {version} is not known")) }
}

fn record_from_json(text: &str) -> Result<Record, String> {
    let RecordJson {
        version: _,
        set_uid,
        generation,
        attempt,
        not_before_ms,
        state,
        state_at_ms,
        hold,
    } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let hold = match hold {
        None => None,
        Some(HoldJson { why, settings }) => {
            let settings = u64::from_str_radix(&settings, 16)
                .map_err(|error| format!("hold.settings {settings:?}: {error}"))?;
            Some(Hold { why, settings })
        }
    };
    let not_before = not_before_ms.map(TimeMs);
    let state_at = state_at_ms.map(TimeMs);
    Ok(Record { set_uid, generation, attempt, not_before, state, state_at, hold })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = Record {
            set_uid: "u".into(),
            generation: 3,
            attempt: 2,
            not_before: Some(TimeMs(5)),
            state: "receiver=0".into(),
            state_at: Some(TimeMs(4)),
            hold: Some(Hold { why: "cancelled".into(), settings: u64::MAX }),
        };
        assert_eq!(noted_from_json(&record_to_json(&record)), Noted::Record(record));
    }

    #[test]
    fn what_is_broken_or_of_another_version_is_not_read_and_says_why() {
        let next = r#"{"version":2,"passage":{"set":"u"}}"#;
        let more = r#"{"version":1,"setUid":"u","generation":1,"attempt":1,"more":1}"#;
        let hold = r#"{"version":1,"setUid":"u","generation":1,"attempt":1,"hold":{"why":"","settings":"x"}}"#;
        for (text, words) in [
            ("", "EOF"),
            ("{}", "missing field `version`"),
            ("null", "expected"),
            (next, "version 2 is not known"),
            (more, "unknown field `more`"),
            (hold, "hold.settings"),
        ] {
            match noted_from_json(text) {
                Noted::Unreadable { why } => assert!(why.contains(words), "{text}: {why}"),
                read @ (Noted::Nothing | Noted::Record(_)) => panic!("{text}: {read:?}"),
            }
        }
    }
}
