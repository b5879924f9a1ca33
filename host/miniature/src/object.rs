//! What is read of an object, whatever its kind.

use serde_json::Value;

/// Which part a controller's own owner reference plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The reference itself.
    pub reference: &'a Value,
}

impl<'a> Owner<'a> {
    /// The UID of the owner.
    pub fn uid(self) -> &'a str {
        text(self.reference, "/uid")
    }

    /// The name of the owner.
    pub fn name(self) -> &'a str {
        text(self.reference, "/name")
    }

    /// The kind of the owner, as the reference spells it.
    pub fn kind(self) -> &'a str {
        text(self.reference, "/kind")
    }

    /// The version of the owner's kind.
    pub fn api_version(self) -> &'a str {
        text(self.reference, "/apiVersion")
    }

    /// Whether the owner is the one that directs the object.
    pub fn is_controller(self) -> bool {
        self.reference["controller"] == true
    }

    /// Whether an owner that is deleted in the foreground waits for the object.
    pub fn blocks(self) -> bool {
        self.reference["blockOwnerDeletion"] == true
    }
}

/// The text at this place; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of the list at this place; none where there is no list.
pub fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Its name.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Its namespace.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// Its UID.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Its version.
pub fn version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

/// Whether it is being deleted.
pub fn is_deleted(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Its finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    items(object, "/metadata/finalizers").filter_map(Value::as_str).collect()
}

/// Who owns it.
pub fn owners(object: &Value) -> impl Iterator<Item = Owner<'_>> {
    items(object, "/metadata/ownerReferences").map(|reference| Owner { reference })
}

/// Who directs it.
pub fn controller(object: &Value) -> Option<Owner<'_>> {
    owners(object).find(|owner| owner.is_controller())
}

/// The claims that a pod mounts, by name.
pub fn claims_of(pod: &Value) -> impl Iterator<Item = &str> {
    let named = |volume: &'_ Value| volume.pointer("/persistentVolumeClaim/claimName").is_some();
    items(pod, "/spec/volumes")
        .filter(move |volume| named(volume))
        .map(|volume| text(volume, "/persistentVolumeClaim/claimName"))
}

/// Whether a pod's containers have ended for good.
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}
