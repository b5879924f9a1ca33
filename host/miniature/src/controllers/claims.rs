//! Claims get a volume, and are held while a pod uses them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::CLAIM_PROTECTION;
use crate::kind::Kind;
use crate::object::{claims_of, finalizers, is_deleted, name, namespace, text, uid};
use crate::store::{Key, Store};
use crate::write::{Part, Writer};

/// Who writes.
pub(crate) const NAME: &str = "claims";

/// Which claims get a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provisioning {
    /// Those that name no class: one that names a class is left to whoever serves that class, and there is nobody.
    #[default]
    WithoutClass,
    /// All.
    Every,
}

/// Binds one claim, or lets one go.
pub(crate) fn act(writer: &mut Writer<'_>, provisioning: Provisioning) -> bool {
    let claims = writer.store.list(Kind::Claim, None);
    if let Some(claim) = claims.iter().find(|claim| wants_volume(claim, provisioning)) {
        return bind(writer, claim);
    }
    let free = claims.iter().find(|claim| {
        is_deleted(claim)
            && finalizers(claim).contains(&CLAIM_PROTECTION)
            && !is_used(writer.store, claim)
    });
    free.is_some_and(|claim| let_go(writer, claim))
}

fn wants_volume(claim: &Value, provisioning: Provisioning) -> bool {
    let is_served = match provisioning {
        Provisioning::WithoutClass => claim["spec"]["storageClassName"].is_null(),
        Provisioning::Every => true,
    };
    is_served && text(claim, "/status/phase") == "Pending" && !is_deleted(claim)
}

fn bind(writer: &mut Writer<'_>, claim: &Value) -> bool {
    let bound = writer.update(&key(claim), Part::Binding, |claim| {
        let mut claim = claim.clone();
        claim["spec"]["volumeName"] = json!(format!("pvc-{}", uid(&claim)));
        claim["status"] = json!({
            "phase": "Bound",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
        });
        Ok(claim)
    });
    bound.is_ok()
}

/// Every pod object counts that has a node, whatever its phase; one without a node does not.
fn is_used(store: &Store, claim: &Value) -> bool {
    let pods = store.list(Kind::Pod, Some(namespace(claim)));
    let uses = |pod: &&Arc<Value>| {
        let is_scheduled = !text(pod, "/spec/nodeName").is_empty();
        is_scheduled && claims_of(pod).any(|used| used == name(claim))
    };
    pods.iter().find(uses).is_some()
}

fn let_go(writer: &mut Writer<'_>, claim: &Value) -> bool {
    let freed = writer.update(&key(claim), Part::Main, |claim| {
        let mut claim = claim.clone();
        let others = finalizers(&claim).into_iter().filter(|it| *it != CLAIM_PROTECTION);
        claim["metadata"]["finalizers"] = others.map(str::to_owned).collect();
        Ok(claim)
    });
    freed.is_ok()
}

fn key(claim: &Value) -> Key {
    Key::new(Kind::Claim, namespace(claim), name(claim))
}
