//! The StatefulSet of a test: members that write one file into each of their volumes and then rest.

use serde_json::{Map, Value, json};

/// A file that a member makes in its own container when it has written its name on its volumes.
pub(crate) const BEGUN: &str = "/begun";

/// A set of the tests. Its pods end quickly, since they hear SIGTERM.
#[derive(Clone)]
pub(crate) struct Store {
    name: &'static str,
    replicas: u32,
    templates: Vec<&'static str>,
    annotations: Map<String, Value>,
    when_deleted: &'static str,
    storage_class: Option<&'static str>,
    merged: Value,
    container: Value,
}

impl Store {
    /// A set `web` with two members, one volume each, and nothing of tidegate.
    pub(crate) fn bare() -> Self {
        Self {
            name: "web",
            replicas: 2,
            templates: vec!["data"],
            annotations: Map::new(),
            when_deleted: "Retain",
            storage_class: None,
            merged: Value::Null,
            container: Value::Null,
        }
    }

    /// A set that the library policy `exec` drains with this config.
    pub(crate) fn exec(config: &Value) -> Self {
        Self::bare()
            .annotated("tidegate.dev/policy", "library:exec")
            .annotated("tidegate.dev/policy-config", &config.to_string())
    }

    /// The same under another name.
    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The same with as many members.
    pub(crate) fn of(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// The same with these claim templates.
    pub(crate) fn with_volumes(mut self, templates: &[&'static str]) -> Self {
        self.templates = templates.to_vec();
        self
    }

    /// The same with claims that go when the set goes.
    pub(crate) fn with_claims_that_go_with_it(mut self) -> Self {
        self.when_deleted = "Delete";
        self
    }

    /// The same with claims of this storage class rather than of the default one.
    pub(crate) fn of_storage_class(mut self, name: &'static str) -> Self {
        self.storage_class = Some(name);
        self
    }

    /// The same with an annotation more.
    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// The same with this merged into its specification, as a merge patch does it.
    pub(crate) fn with_spec(mut self, fields: &Value) -> Self {
        merge(&mut self.merged, fields);
        self
    }

    /// The same with what Kubernetes itself is to do with the claims of a member scaled away and of a set deleted.
    pub(crate) fn retaining(self, when_scaled: &str, when_deleted: &str) -> Self {
        let policy = json!({ "whenScaled": when_scaled, "whenDeleted": when_deleted });
        self.with_spec(&json!({ "persistentVolumeClaimRetentionPolicy": policy }))
    }

    /// The same with these fields in the spec of its pods.
    pub(crate) fn with_pod(self, fields: &Value) -> Self {
        self.with_spec(&json!({ "template": { "spec": fields } }))
    }

    /// The same with these fields in the container of its pods.
    pub(crate) fn with_container(mut self, fields: &Value) -> Self {
        merge(&mut self.container, fields);
        self
    }

    /// The name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How many members.
    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Whether it bears an annotation that makes it the host's.
    pub(crate) fn is_ours(&self) -> bool {
        !self.annotations.is_empty()
    }

    /// The StatefulSet.
    pub(crate) fn set(&self) -> Value {
        let mounts: Vec<Value> = self
            .templates
            .iter()
            .map(|name| json!({ "name": name, "mountPath": format!("/{name}") }))
            .collect();
        let claims: Vec<Value> = self
            .templates
            .iter()
            .map(|name| {
                json!({
                    "metadata": { "name": name },
                    "spec": {
                        "storageClassName": self.storage_class,
                        "accessModes": ["ReadWriteOnce"],
                        "resources": { "requests": { "storage": "1Mi" } },
                    },
                })
            })
            .collect();
        // It hears SIGTERM while it waits, so that a member leaves at once. [`BEGUN`] is for `Site::names`.
        let script = format!(
            "trap 'exit 0' TERM; for it in \"$@\"; do hostname >> \"/$it/names\"; done; touch {BEGUN}; sleep 2147483647 & wait"
        );
        let mut command = vec!["sh", "-c", script.as_str(), "member"];
        command.extend(&self.templates);
        let mut container = json!({
            "name": "member",
            "image": "docker.io/library/box:1",
            "command": command,
            "volumeMounts": mounts,
        });
        merge(&mut container, &self.container);
        let mut set = json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": { "name": self.name, "annotations": self.annotations },
            "spec": {
                "serviceName": self.name,
                "replicas": self.replicas,
                "podManagementPolicy": "Parallel",
                "persistentVolumeClaimRetentionPolicy": {
                    "whenScaled": "Retain",
                    "whenDeleted": self.when_deleted,
                },
                "selector": { "matchLabels": { "app": self.name } },
                "template": {
                    "metadata": { "labels": { "app": self.name } },
                    "spec": { "terminationGracePeriodSeconds": 10, "containers": [container] },
                },
                "volumeClaimTemplates": claims,
            },
        });
        merge(&mut set["spec"], &self.merged);
        set
    }
}

/// Merges an object into another, field by field; whatever else there is takes the place of what was there.
fn merge(into: &mut Value, from: &Value) {
    match from {
        Value::Object(fields) => {
            for (key, value) in fields {
                merge(&mut into[key], value);
            }
        }
        Value::Null => {}
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            *into = other.clone()
        }
    }
}
