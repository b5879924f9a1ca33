//! Between the lease as Kubernetes has it and what the election knows of it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};

use super::{Draft, Found, Record, Timing};

/// The annotation that makes a lease the hosts' own, with the version of how it is used. One without it is another program's, and is left alone.
pub const OURS: &str = "tidegate.dev/lease";
/// The version of how the lease is used.
const VERSION: &str = "1";

/// How long a released lease is said to last, as client-go has it: a host that overlooks the empty holder loses a second.
const RELEASED_SECS: i32 = 1;

/// What was found, where a lease was.
#[must_use]
pub(super) fn found(lease: Option<&Lease>) -> Found {
    let Some(lease) = lease else {
        return Found::Missing;
    };
    let record = record(lease);
    let ours = lease.metadata.annotations.as_ref().and_then(|all| all.get(OURS));
    if ours.is_some_and(|version| version == VERSION) {
        Found::Ours(record)
    } else {
        Found::Foreign { holder: record.holder }
    }
}

/// What a lease says.
#[must_use]
pub(super) fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration_secs: spec.lease_duration_seconds,
        transitions: spec.lease_transitions.unwrap_or_default(),
        acquired: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
    }
}

/// A new lease.
#[must_use]
pub(super) fn created(name: &str, me: &str, timing: &Timing, now: Timestamp) -> Lease {
    let annotations = BTreeMap::from([(OURS.to_owned(), VERSION.to_owned())]);
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    let empty = Lease { metadata, spec: None };
    let mut lease = written(&empty, Draft::Take, me, timing, now);
    lease.spec.get_or_insert_default().lease_transitions = Some(0);
    lease
}

/// The same lease, held by `me`. Its resourceVersion stays, so that it can only be put in the place of what was found.
#[must_use]
pub(super) fn written(
    found: &Lease,
    draft: Draft,
    me: &str,
    timing: &Timing,
    now: Timestamp,
) -> Lease {
    let mut lease = found.clone();
    let spec = lease.spec.get_or_insert_default();
    match draft {
        Draft::Renew => {}
        Draft::Create | Draft::Take => {
            let before = spec.lease_transitions.unwrap_or_default();
            spec.lease_transitions = Some(before.saturating_add(1));
            spec.acquire_time = Some(MicroTime(now));
        }
    }
    spec.holder_identity = Some(me.to_owned());
    spec.lease_duration_seconds = i32::try_from(timing.duration.as_secs().max(1)).ok();
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The same lease, held by nobody.
#[must_use]
pub(super) fn released(found: &Lease, now: Timestamp) -> Lease {
    let spec = found.spec.clone().unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(RELEASED_SECS),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..spec
    };
    Lease { spec: Some(spec), ..found.clone() }
}
