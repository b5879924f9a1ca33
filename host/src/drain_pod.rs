//! Makes the drain pod out of what a policy rendered: what is taken over, what is taken out, and what the host alone says.

mod asks;
mod grant;

pub use asks::{Ask, asks, asks_of_metadata};
pub use grant::{Grant, parse_grants};

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tidegate_core::{PodBody, seen::Claim};

use crate::marks::{self, Containers, Marks};

/// The shortest grace period of a drain pod, in seconds.
const GRACE_MIN_SECS: i64 = 1;
/// The readiness gate that nobody sets, so that a drain pod is never Ready, no Service sends clients to it and no budget counts it.
pub const NEVER_READY: &str = "tidegate.dev/never-ready";
/// The deepest nesting of a template: Kubernetes' own pod template needs 15 levels.
const DEPTH_MAX: usize = 64;

type Fields = Map<String, Value>;

/// What the host knows and the template does not say.
pub struct Maker<'a> {
    /// The namespace of the set.
    pub namespace: &'a str,
    /// The member's name.
    pub name: &'a str,
    /// The set's service.
    pub service: Option<&'a str>,
    /// The claims of the ordinal, by template.
    pub claims: &'a BTreeMap<String, Claim>,
    /// Whether the pod may become Ready.
    pub traffic: Traffic,
    /// The templates of claims that hold nothing worth moving.
    pub discard: &'a [String],
    /// What the template may ask for.
    pub allowed: &'a BTreeSet<Ask>,
    /// The state that the next attempt must know even if the pod vanishes.
    pub state: Option<String>,
    /// The marks, but for the names of containers.
    pub marks: Marks,
}

/// Whether a drain pod takes part in traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// It is never Ready.
    None,
    /// As its labels and probes say.
    AsLabelled,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The field.
    pub field: String,
    /// What is wrong with it and how to mend it.
    pub mend: String,
}

impl Rejection {
    fn new(field: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { field: field.into(), mend: mend.into() }
    }
}

impl Maker<'_> {
    /// The whole pod, ready to be sent.
    ///
    /// # Errors
    /// The first field of the template that a drain pod may not have, or must have and lacks.
    pub fn make(mut self, template: &str) -> Result<PodBody, Rejection> {
        let (metadata, mut spec) = parts(template)?;
        let mut removed = Vec::new();
        self.marks.containers = containers(&mut spec, &mut removed)?;
        self.mounted(&spec)?;
        self.permitted(&metadata, &spec)?;
        self.identity(&mut spec);
        self.volumes(&mut spec)?;
        let metadata = self.metadata(metadata)?;
        let manifest =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        Ok(PodBody {
            manifest: manifest.to_string(),
            owner: self.marks.owner,
            claims: self.marks.claims,
            state: self.state,
            removed,
        })
    }

    /// Data that no container sees cannot be moved, and a policy that forgets a claim must not have it deleted.
    fn mounted(&self, spec: &Map<String, Value>) -> Result<(), Rejection> {
        if let Some(unknown) = self.discard.iter().find(|name| !self.claims.contains_key(*name)) {
            return Err(Rejection::new(
                "discard",
                format!("{unknown:?} is no claim template of the set"),
            ));
        }
        let mut mounts = BTreeSet::new();
        for (_, _, container) in each_container(spec) {
            for list in ["volumeMounts", "volumeDevices"] {
                let names = container.get(list).and_then(Value::as_array).into_iter().flatten();
                mounts.extend(names.filter_map(|mount| mount.get("name")?.as_str()));
            }
        }
        for template in self.claims.keys() {
            let discarded = self.discard.contains(template);
            if !discarded && !mounts.contains(template.as_str()) {
                return Err(Rejection::new(
                    "spec.containers[*].volumeMounts",
                    format!(
                        "no container mounts the claim {template:?}: mount it, or name it in `discard` if it holds nothing worth moving"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn permitted(&self, metadata: &Fields, spec: &Fields) -> Result<(), Rejection> {
        let own: BTreeSet<String> = self.claims.keys().cloned().collect();
        let mut asked = asks_of_metadata(metadata).into_iter().chain(asks(spec, &own));
        let allows = |ask: &Ask| {
            let of_key = ask.of_key();
            self.allowed.contains(ask) || of_key.is_some_and(|key| self.allowed.contains(&key))
        };
        match asked.find(|(ask, _)| !allows(ask)) {
            None => Ok(()),
            Some((ask, field)) => Err(Rejection::new(field, ask.mend())),
        }
    }

    fn identity(&self, spec: &mut Map<String, Value>) {
        spec.insert("hostname".to_owned(), json!(self.name));
        spec.remove("hostnameOverride");
        match self.service {
            Some(service) if !service.is_empty() => {
                spec.insert("subdomain".to_owned(), json!(service));
            }
            Some(_) | None => {
                spec.remove("subdomain");
            }
        }
        let ends = matches!(
            spec.get("restartPolicy").and_then(Value::as_str),
            Some("Never" | "OnFailure")
        );
        if !ends {
            spec.insert("restartPolicy".to_owned(), json!("Never"));
        }
        // With none the API server takes the pod's object, and with it the name, while the kubelet still stops its processes on the volume.
        let grace_secs = spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
        if grace_secs.is_some_and(|secs| secs < GRACE_MIN_SECS) {
            spec.insert("terminationGracePeriodSeconds".to_owned(), json!(GRACE_MIN_SECS));
        }
        if self.traffic == Traffic::None {
            let gate = json!({ "conditionType": NEVER_READY });
            match spec.get_mut("readinessGates").and_then(Value::as_array_mut) {
                Some(gates) => gates.push(gate),
                None => {
                    spec.insert("readinessGates".to_owned(), json!([gate]));
                }
            }
        }
    }

    fn volumes(&self, spec: &mut Map<String, Value>) -> Result<(), Rejection> {
        let rendered = match spec.remove("volumes") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(volumes)) => volumes,
            Some(_) => return Err(Rejection::new("spec.volumes", "must be a list")),
        };
        let is_claim = |volume: &Value| {
            volume
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| self.claims.contains_key(name))
        };
        let mut volumes: Vec<Value> =
            rendered.into_iter().filter(|volume| !is_claim(volume)).collect();
        volumes.extend(self.claims.iter().map(|(template, claim)| {
            json!({ "name": template, "persistentVolumeClaim": { "claimName": claim.name } })
        }));
        spec.insert("volumes".to_owned(), Value::Array(volumes));
        Ok(())
    }

    fn metadata(&self, rendered: Map<String, Value>) -> Result<Value, Rejection> {
        let mut labels = strings(&rendered, "labels")?;
        let mut annotations = strings(&rendered, "annotations")?;
        labels.insert(marks::SET_UID.to_owned(), json!(self.marks.set_uid));
        labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), json!(self.name));
        labels.insert(
            "apps.kubernetes.io/pod-index".to_owned(),
            json!(self.marks.ordinal.to_string()),
        );
        annotations
            .insert("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), json!("false"));
        annotations.insert("karpenter.sh/do-not-disrupt".to_owned(), json!("true"));
        annotations.insert(marks::DRAIN.to_owned(), json!(self.marks.to_json()));
        let owner = self.claims.get(&self.marks.owner).ok_or_else(|| {
            Rejection::new(
                "metadata.ownerReferences",
                "the set has no claim template, so there is nothing to drain",
            )
        })?;
        Ok(json!({
            "name": self.name,
            "namespace": self.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": owner.name,
                "uid": owner.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        }))
    }
}

/// The two halves of a template, of which nothing else is taken.
fn parts(template: &str) -> Result<(Fields, Fields), Rejection> {
    let value: Value = serde_json::from_str(template)
        .map_err(|error| Rejection::new("template", format!("is not JSON: {error}")))?;
    let Value::Object(mut fields) = value else {
        return Err(Rejection::new(
            "template",
            "must be a PodTemplateSpec, an object with `metadata` and `spec`",
        ));
    };
    let too_deep = fields.values().any(|value| !is_shallower(value, DEPTH_MAX));
    if too_deep {
        return Err(Rejection::new(
            "template",
            format!("is nested deeper than {DEPTH_MAX} levels"),
        ));
    }
    let metadata = object(fields.remove("metadata"), "metadata")?;
    let spec = object(fields.remove("spec"), "spec")?;
    if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "apiVersion" | "kind")) {
        return Err(Rejection::new(
            other.clone(),
            "a PodTemplateSpec has only `metadata` and `spec`: take it out",
        ));
    }
    for (key, value) in &metadata {
        let harmless = matches!(key.as_str(), "labels" | "annotations")
            || (key == "creationTimestamp" && value.is_null());
        if !harmless {
            return Err(Rejection::new(
                format!("metadata.{key}"),
                "the host gives a drain pod its identity; only labels and annotations are taken: take it out",
            ));
        }
    }
    Ok((metadata, spec))
}

fn is_shallower(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_shallower(item, below)),
        Value::Object(fields) => fields.values().all(|item| is_shallower(item, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn object(value: Option<Value>, field: &str) -> Result<Map<String, Value>, Rejection> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) => Ok(fields),
        Some(_) => Err(Rejection::new(field, "must be an object")),
    }
}

fn strings(metadata: &Map<String, Value>, field: &str) -> Result<Map<String, Value>, Rejection> {
    let fields = object(metadata.get(field).cloned(), &format!("metadata.{field}"))?;
    for (key, value) in &fields {
        let path = format!("metadata.{field}[{key}]");
        if key.starts_with("tidegate.dev/") {
            return Err(Rejection::new(
                path,
                "what begins with tidegate.dev/ is the host's: take it out",
            ));
        }
        if !value.is_string() {
            return Err(Rejection::new(path, "must be a string"));
        }
    }
    Ok(fields)
}

/// Every container with its list and place.
fn each_container(
    spec: &Map<String, Value>,
) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["initContainers", "containers"].into_iter().flat_map(|list| {
        let items = spec.get(list).and_then(Value::as_array).into_iter().flatten();
        items.enumerate().map(move |(at, container)| (list, at, container))
    })
}

/// Takes out what would end a drain from outside and look like success, refuses what would keep it from ending, and says whose names
/// are to be waited for.
fn containers(
    spec: &mut Map<String, Value>,
    removed: &mut Vec<String>,
) -> Result<Containers, Rejection> {
    // A server's probe finds no server in a drain, kills the process, and that exits 0; a failing hook does the same.
    const DEADLY: [&str; 4] = ["livenessProbe", "startupProbe", "lifecycle", "resizePolicy"];
    if spec.get("ephemeralContainers").is_some_and(|value| !value.is_null()) {
        return Err(Rejection::new("spec.ephemeralContainers", "a template has none: take it out"));
    }
    let mut names = Containers::default();
    for list in ["initContainers", "containers"] {
        let items = match spec.get_mut(list) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(items)) => items,
            Some(_) => return Err(Rejection::new(format!("spec.{list}"), "must be a list")),
        };
        for (at, item) in items.iter_mut().enumerate() {
            let field = format!("spec.{list}[{at}]");
            let Value::Object(container) = item else {
                return Err(Rejection::new(field, "must be an object"));
            };
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            if name.is_empty() {
                return Err(Rejection::new(format!("{field}.name"), "a container needs a name"));
            }
            for deadly in DEADLY {
                if container.remove(deadly).is_some_and(|value| !value.is_null()) {
                    removed.push(format!("{deadly} of container {name}"));
                }
            }
            kind(list, &field, container, &name, &mut names)?;
        }
    }
    if names.main.is_empty() {
        return Err(Rejection::new("spec.containers", "a drain pod needs at least one container"));
    }
    Ok(names)
}

fn kind(
    list: &str,
    field: &str,
    container: &Map<String, Value>,
    name: &str,
    names: &mut Containers,
) -> Result<(), Rejection> {
    let rules = container.get("restartPolicyRules").is_some_and(|value| !value.is_null());
    let policy = container.get("restartPolicy").and_then(Value::as_str);
    match (list, policy, rules) {
        (_, _, true) => Err(Rejection::new(
            format!("{field}.restartPolicyRules"),
            "a container with restart rules of its own may never end: take them out",
        )),
        ("initContainers", Some("Always"), false) => {
            names.sidecar.push(name.to_owned());
            Ok(())
        }
        ("initContainers", _, false) => {
            names.init.push(name.to_owned());
            Ok(())
        }
        (_, Some(_), false) => Err(Rejection::new(
            format!("{field}.restartPolicy"),
            "a main container with a restart policy of its own may never end: set the pod's instead",
        )),
        (_, None, false) => {
            names.main.push(name.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "drain_pod/tests.rs"]
mod tests;
