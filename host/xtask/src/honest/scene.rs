//! The namespace of one script: what is asked of the API server about it, and what was ever seen in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tidegate_world::sight::TEMPLATES;
use tokio::runtime::Runtime;

/// The set.
const SET: &str = "web";
/// The member that a script is about.
pub(super) const MEMBER: &str = "web-1";
/// A start above that member's ordinal.
pub(super) const ABOVE: u32 = 5;
/// The finalizer of a sealed pod.
pub(super) const SEAL: &str = "example.org/seal";
/// The finalizer of a set that is held.
pub(super) const HOLD: &str = "example.org/hold";
/// The pod of another name that uses the claims.
const STRANGER: &str = "stranger";
/// The label of a drain pod.
const DRAIN: &str = "example.org/drain";
/// How often is looked for what is not so yet.
const POLL: Duration = Duration::from_millis(20);
/// How long the members may take to run at first: nothing is measured by it.
const BEGINS_WITHIN: Duration = Duration::from_secs(120);

/// What the API server said.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) code: u16,
    /// Its words, where it refused.
    pub(super) message: String,
}

/// Who owns a drain pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The first claim, and the set's labels are on it.
    Claim,
    /// Nobody, and its labels are its own.
    Nobody,
}

/// A namespace that is deleted when this is dropped.
pub(super) struct Scene {
    runtime: Runtime,
    client: Client,
    namespace: String,
    history: Arc<Mutex<History>>,
}

/// What was seen of pods and claims, in the order in which it was.
#[derive(Default)]
struct History {
    seen: Vec<Seen>,
    /// Where the last line that asked for something began.
    mark: usize,
}

/// An object as it was, or that it was gone.
struct Seen {
    name: String,
    object: Option<Value>,
}

impl Scene {
    /// Makes the namespace, and begins to look.
    pub(super) fn make(client: Client, namespace: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let history = Arc::new(Mutex::default());
        let namespace = namespace.to_owned();
        let scene = Self { runtime, client, namespace, history };
        let object = json!({ "metadata": { "name": scene.namespace } });
        done(scene.send("POST", "/api/v1/namespaces", JSON, &object)?)?;
        scene.follow::<Pod>();
        scene.follow::<PersistentVolumeClaim>();
        Ok(scene)
    }

    /// Its name.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Creates the set with two members of so many claims.
    pub(super) fn given(
        &self,
        claims: usize,
        (when_scaled, when_deleted): (&str, &str),
        pod_fields: &Value,
    ) -> Result<()> {
        let templates = TEMPLATES.get(..claims).context("there are not so many templates")?;
        let claim = |name: &&str| {
            let requests = json!({ "storage": "1Mi" });
            json!({
                "metadata": { "name": name },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": requests } },
            })
        };
        let set = json!({
            "metadata": { "name": SET },
            "spec": {
                "serviceName": SET,
                "replicas": 2,
                "podManagementPolicy": "Parallel",
                "persistentVolumeClaimRetentionPolicy": {
                    "whenScaled": when_scaled,
                    "whenDeleted": when_deleted,
                },
                "selector": { "matchLabels": { "app": SET } },
                "template": {
                    "metadata": { "labels": { "app": SET } },
                    "spec": pod_spec(templates, pod_fields),
                },
                "volumeClaimTemplates": templates.iter().map(claim).collect::<Vec<_>>(),
            },
        });
        done(self.send("POST", &self.path("apps/v1", "statefulsets", ""), JSON, &set)?)
    }

    /// Whether both members run, and have been seen.
    pub(super) fn has_begun(&self, claims: usize) -> Result<Result<(), String>> {
        eventually(BEGINS_WITHIN, || {
            let set = self.get(&self.path("apps/v1", "statefulsets", SET))?.unwrap_or_default();
            let is_ready = set["status"]["readyReplicas"] == 2;
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            let is_seen = history.seen.len() >= 2 * (claims + 1);
            Ok(if is_ready && is_seen { Ok(()) } else { Err(set["status"].to_string()) })
        })?;
        Ok(Ok(()))
    }

    /// What is asked from now on is what [`Self::was`] looks at the consequences of.
    pub(super) fn mark(&self) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.mark = history.seen.len();
    }

    /// Waits until it was so at some moment since the last line that asked for something.
    pub(super) fn was(&self, what: &[&str], patience: Duration) -> Result<()> {
        let (name, how) = subject(what)?;
        eventually(patience, || {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            let since = history.seen.get(history.mark..).unwrap_or_default();
            let mut of_it = since.iter().filter(|seen| seen.name == name);
            for seen in of_it.by_ref() {
                if is(seen.object.as_ref(), how)? {
                    return Ok(Ok(()));
                }
            }
            Ok(Err("it never was".to_owned()))
        })
    }

    /// Whether it is so; what is there instead, where it is not.
    pub(super) fn shows(&self, what: &[&str]) -> Result<Result<(), String>> {
        let (name, how) = subject(what)?;
        let path = match what.first() {
            Some(&"pod") => self.path("v1", "pods", &name),
            Some(&"set") => self.path("apps/v1", "statefulsets", &name),
            Some(_) | None => self.path("v1", CLAIMS, &name),
        };
        let object = self.get(&path)?;
        Ok(if is(object.as_ref(), how)? { Ok(()) } else { Err(outline(object.as_ref())) })
    }

    /// The claim of a template, if it is there.
    pub(super) fn claim(&self, template: &str) -> Result<Option<Value>> {
        self.get(&self.path("v1", CLAIMS, &claim_of(template)))
    }

    /// Deletes a claim.
    pub(super) fn delete_claim(&self, template: &str, options: &Value) -> Result<Answer> {
        self.send("DELETE", &self.path("v1", CLAIMS, &claim_of(template)), JSON, options)
    }

    /// Gives the member's claims their namespace as an owner.
    pub(super) fn anchor(&self) -> Result<Answer> {
        let home = self.get(&format!("/api/v1/namespaces/{}", self.namespace))?;
        let uid = home.context("the namespace is gone")?["metadata"]["uid"].clone();
        let owner =
            json!({ "apiVersion": "v1", "kind": "Namespace", "name": self.namespace, "uid": uid });
        let patch = json!({ "metadata": { "ownerReferences": [owner] } });
        for template in TEMPLATES {
            if self.claim(template)?.is_some() {
                let path = self.path("v1", CLAIMS, &claim_of(template));
                done(self.send("PATCH", &path, STRATEGIC, &patch)?)?;
            }
        }
        Ok(Answer { code: 200, message: String::new() })
    }

    /// Merges a patch into the set, or into a part of it.
    pub(super) fn change_set(&self, part: &str, patch: &Value) -> Result<Answer> {
        let path = format!("{}{part}", self.path("apps/v1", "statefulsets", SET));
        self.send("PATCH", &path, STRATEGIC, patch)
    }

    /// Changes the metadata of the pod that bears the member's name, as it is at this moment. Where the node changes it between the reading and the
    /// write, it is read again.
    pub(super) fn change_pod(&self, metadata: &Value) -> Result<Answer> {
        let path = self.path("v1", "pods", MEMBER);
        let mut tries = 0;
        loop {
            let pod = self.get(&path)?.context("there is no pod")?;
            let mut patch = json!({ "metadata": metadata });
            for field in ["uid", "resourceVersion"] {
                patch["metadata"][field] = pod["metadata"][field].clone();
            }
            let answer = self.send("PATCH", &path, STRATEGIC, &patch)?;
            tries += 1;
            if answer.code != CONFLICT || tries == TRIES_MAX {
                return Ok(answer);
            }
        }
    }

    /// Deletes the set.
    pub(super) fn delete_set(&self, propagation: &str) -> Result<Answer> {
        let options = json!({ "propagationPolicy": propagation });
        self.send("DELETE", &self.path("apps/v1", "statefulsets", SET), JSON, &options)
    }

    /// Asks for an eviction.
    pub(super) fn evict(&self) -> Result<Answer> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": MEMBER, "namespace": self.namespace },
        });
        let path = format!("{}/eviction", self.path("v1", "pods", MEMBER));
        self.send("POST", &path, JSON, &eviction)
    }

    /// Deletes the pod that bears the member's name, as a person would.
    pub(super) fn delete_pod(&self) -> Result<Answer> {
        self.send("DELETE", &self.path("v1", "pods", MEMBER), JSON, &json!({}))
    }

    /// Creates a drain pod: of the member's name, and with all of its claims.
    pub(super) fn drain_pod(&self, owner: Owner, pod_fields: &Value) -> Result<Answer> {
        let mut metadata = json!({ "name": MEMBER, "labels": { DRAIN: "yes" } });
        if owner == Owner::Claim {
            let templates = self.templates()?;
            let first = templates.first().context("there is no claim that could own it")?;
            let claim = self.claim(first)?.context("the claim is gone")?;
            metadata["labels"]["app"] = json!(SET);
            metadata["ownerReferences"] = json!([{
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": claim_of(first),
                "uid": claim["metadata"]["uid"],
                "controller": true,
                "blockOwnerDeletion": true,
            }]);
        }
        self.pod(&metadata, pod_fields)
    }

    /// Creates a pod of the member's name that nobody owns and that has the set's labels.
    pub(super) fn lookalike(&self, pod_fields: &Value) -> Result<Answer> {
        self.pod(&json!({ "name": MEMBER, "labels": { "app": SET } }), pod_fields)
    }

    /// Creates a pod of another name that uses the claims.
    pub(super) fn stranger(&self, pod_fields: &Value) -> Result<()> {
        done(self.pod(&json!({ "name": STRANGER }), pod_fields)?)
    }

    /// Whether that pod runs.
    pub(super) fn stranger_runs(&self) -> Result<Result<(), String>> {
        let pod = self.get(&self.path("v1", "pods", STRANGER))?.unwrap_or_default();
        let runs = pod["status"]["phase"] == "Running";
        Ok(if runs { Ok(()) } else { Err(pod["status"].to_string()) })
    }

    fn pod(&self, metadata: &Value, pod_fields: &Value) -> Result<Answer> {
        let templates = self.templates()?;
        let mut spec = pod_spec(&templates, pod_fields);
        spec["restartPolicy"] = json!("Never");
        let volume = |template: &&str| {
            let source = json!({ "claimName": claim_of(template) });
            json!({ "name": template, "persistentVolumeClaim": source })
        };
        spec["volumes"] = templates.iter().map(volume).collect();
        let pod = json!({ "metadata": metadata, "spec": spec });
        self.send("POST", &self.path("v1", "pods", ""), JSON, &pod)
    }

    /// The templates of whose claims the member's are there.
    fn templates(&self) -> Result<Vec<&'static str>> {
        let mut templates = Vec::new();
        for template in TEMPLATES {
            if self.claim(template)?.is_some() {
                templates.push(template);
            }
        }
        Ok(templates)
    }

    fn follow<K: Resource<DynamicType = ()>>(&self) {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        let history = Arc::clone(&self.history);
        self.runtime.spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                let (object, is_there) = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => (object, true),
                    Ok(Event::Delete(object)) => (object, false),
                    Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                };
                let name = object.metadata.name.clone().unwrap_or_default();
                let object = is_there.then(|| json!(object));
                let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
                history.seen.push(Seen { name, object });
            }
        });
    }

    fn get(&self, path: &str) -> Result<Option<Value>> {
        let request = http::Request::get(path).body(Vec::new())?;
        match self.runtime.block_on(self.client.request(request)) {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("GET {path}")),
        }
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Answer> {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header(http::header::CONTENT_TYPE, kind);
        let request = request.body(body.to_string().into_bytes())?;
        match self.runtime.block_on(self.client.request::<Value>(request)) {
            Ok(_) => Ok(Answer { code: 200, message: String::new() }),
            Err(kube::Error::Api(status)) => {
                Ok(Answer { code: status.code, message: status.message })
            }
            Err(error) => Err(error).with_context(|| format!("{method} {path}")),
        }
    }

    fn path(&self, group: &str, kind: &str, name: &str) -> String {
        let root = if group == "v1" { "api" } else { "apis" };
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/{root}/{group}/namespaces/{}/{kind}{slash}{name}", self.namespace)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What is left of it ends with the cluster at the latest.
        let _ = self.send(
            "DELETE",
            &format!("/api/v1/namespaces/{}", self.namespace),
            JSON,
            &json!({}),
        );
    }
}

/// The HTTP status of a write whose object is not as it was read.
const CONFLICT: u16 = 409;
/// How often a write is tried that the node comes before: it writes a pod's status once or twice as the pod ends.
const TRIES_MAX: usize = 5;

const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const CLAIMS: &str = "persistentvolumeclaims";

/// Looks until it is so. Fails with what was seen last where that takes longer than `patience`, and at once where looking fails.
pub(super) fn eventually(
    patience: Duration,
    mut look: impl FnMut() -> Result<Result<(), String>>,
) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        match look()? {
            Ok(()) => return Ok(()),
            Err(seen) if Instant::now() >= end => bail!("there is instead: {seen}"),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn done(answer: Answer) -> Result<()> {
    if answer.code == 200 { Ok(()) } else { Err(anyhow!("{} {}", answer.code, answer.message)) }
}

fn claim_of(template: &str) -> String {
    format!("{template}-{MEMBER}")
}

fn pod_spec(templates: &[&str], pod_fields: &Value) -> Value {
    let mounts =
        templates.iter().map(|name| json!({ "name": name, "mountPath": format!("/{name}") }));
    let mut spec = json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main",
            "image": "none",
            "volumeMounts": mounts.collect::<Vec<_>>(),
        }],
    });
    for (key, value) in pod_fields.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

/// The name of the object that is spoken of, and what is said of it.
fn subject<'a>(what: &'a [&'a str]) -> Result<(String, &'a [&'a str])> {
    match what {
        ["pod", how @ ..] => Ok((MEMBER.to_owned(), how)),
        ["set", how @ ..] => Ok((SET.to_owned(), how)),
        ["claim", template, how @ ..] if TEMPLATES.contains(template) => {
            Ok((claim_of(template), how))
        }
        _ => bail!("what should be seen is not understood"),
    }
}

/// Whether all of it is so.
fn is(object: Option<&Value>, how: &[&str]) -> Result<bool> {
    if how == ["none"] {
        return Ok(object.is_none());
    }
    let Some(object) = object else {
        return Ok(false);
    };
    if let ["owned", owners @ ..] = how {
        return Ok(owners_of(object) == owners);
    }
    let is_deleted = !object["metadata"]["deletionTimestamp"].is_null();
    let phase = |phase: &str| object["status"]["phase"] == phase;
    let directed_by = |kind: &str| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|it| it["controller"] == true && it["kind"] == kind)
    };
    for word in how {
        let is_so = match *word {
            "there" => !is_deleted,
            "terminating" => is_deleted,
            "member" => directed_by("StatefulSet"),
            "drain" => object["metadata"]["labels"][DRAIN] == "yes" && !directed_by("StatefulSet"),
            "left-behind" => object["metadata"]["ownerReferences"].is_null(),
            "disrupted" => {
                let conditions = object["status"]["conditions"].as_array();
                let marks = |it: &Value| it["type"] == "DisruptionTarget" && it["status"] == "True";
                conditions.into_iter().flatten().any(marks)
            }
            "unscheduled" => object["spec"]["nodeName"].is_null(),
            "running" => phase("Running"),
            "succeeded" => phase("Succeeded"),
            _ => bail!("{word:?} is not understood"),
        };
        if !is_so {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Who owns a claim, in the words and the order of a script.
fn owners_of(object: &Value) -> Vec<&'static str> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let kinds = [("StatefulSet", "set"), ("Pod", "pod"), ("Namespace", "namespace")];
    let owns = |kind: &str| owners.into_iter().flatten().any(|owner| owner["kind"] == kind);
    let found: Vec<&str> =
        kinds.into_iter().filter(|(kind, _)| owns(kind)).map(|(_, word)| word).collect();
    if found.is_empty() { vec!["nobody"] } else { found }
}

fn outline(object: Option<&Value>) -> String {
    let Some(object) = object else {
        return "none".to_owned();
    };
    let metadata = &object["metadata"];
    let fields = ["name", "uid", "deletionTimestamp", "finalizers", "ownerReferences"];
    let fields = fields.iter().map(|field| format!("{field}: {}", metadata[field]));
    let fields: Vec<String> = fields.chain([format!("status: {}", object["status"])]).collect();
    fields.join(", ")
}
