//! `tidegate simulate --from-cluster`: a set that lives, with its claims, pods and policy, is copied into a simulated cluster and scaled down there.
//! Of the living cluster everything is read and nothing written: its client sends every write as a dry run, and the only one is the drain pod, to hear
//! what admission says of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::Config;
use serde_json::{Value, json};
use tidegate_core::{Action, PodBody, name};
use tidegate_miniature::{
    kind::Kind,
    object::{claims_of, controller, name as name_of, owners, text, uid},
};

use super::{cluster::State, fault::Fault, journal::Admission, policy::Bytes};
use crate::{
    act::{self, Of},
    cluster::{Cluster, Effect, Order},
    error::Error,
    policy::{Digest, LoadError, Pinning, PolicyRef, source, unpack::unpack},
};

/// The label of the ConfigMaps that an install brings.
const OF_LIBRARY: &str = "tidegate.dev/library";
/// What a refusal says where it is the caller who may not ask, and not the pod that is refused.
const NOT_ALLOWED: &str = "cannot create resource";

/// A living cluster, of which nothing is changed.
pub struct Living {
    cluster: Cluster,
}

/// A set as it lives.
pub struct Snapshot {
    /// It.
    pub set: Value,
    claims: Vec<Value>,
    pods: Vec<Value>,
    namespace_uid: Option<String>,
}

impl Living {
    /// The cluster that KUBECONFIG names.
    ///
    /// # Errors
    /// Where none is named.
    pub async fn connect() -> Result<Self, Fault> {
        let config = Config::infer().await;
        let config = config
            .map_err(|error| Fault::Failed(format!("no cluster: set KUBECONFIG: {error}")))?;
        let cluster = Cluster::new(config, Effect::DryRun);
        let cluster = cluster.map_err(|error| Fault::Failed(format!("{error:#}")))?;
        Ok(Self { cluster })
    }

    /// Reads a set, its claims, the pods that bear its members' names, and those that use its claims.
    ///
    /// # Errors
    /// Where it is not there, or may not be read.
    pub async fn read(&self, namespace: &str, set: &str) -> Result<Snapshot, Fault> {
        let reading =
            self.cluster.read(namespace, set, Order::ClaimsFirst).await.map_err(failed)?;
        let Some(json) = reading.set else {
            return Err(Fault::Input(format!("there is no StatefulSet {namespace}/{set}")));
        };
        let within = Some(namespace);
        let claims: Vec<PersistentVolumeClaim> =
            self.cluster.list(within, "").await.map_err(failed)?;
        let pods: Vec<Pod> = self.cluster.list(within, "").await.map_err(failed)?;
        let templates = json["spec"]["volumeClaimTemplates"].as_array().cloned();
        let templates = templates.unwrap_or_default();
        let is_ours = |claim: &Value| {
            templates
                .iter()
                .any(|template| name::parse_claim(name_of(claim), name_of(template), set).is_some())
        };
        let claims: Vec<Value> = claims.iter().map(|it| json!(it)).filter(is_ours).collect();
        let uses =
            |pod: &Value| claims_of(pod).any(|it| claims.iter().any(|claim| name_of(claim) == it));
        let bears = |pod: &Value| name::parse_member(name_of(pod), set).is_some();
        let pods = pods.iter().map(|pod| json!(pod)).filter(|pod| bears(pod) || uses(pod));
        let pods = pods.collect();
        // Who may not read the namespace has it told by what it owns.
        let namespace_uid = self.cluster.namespace_uid(namespace).await.ok().flatten();
        Ok(Snapshot { set: json, claims, pods, namespace_uid })
    }

    /// The bytes of the policy that a set names, and what they are called.
    ///
    /// # Errors
    /// Where they are not there, or may not be read.
    pub async fn policy(
        &self,
        namespace: &str,
        own_namespace: &str,
        named: &str,
    ) -> Result<Bytes, Fault> {
        let reference = PolicyRef::parse(named, Pinning::Optional);
        let reference = reference.map_err(|error| Fault::Input(format!("{named:?}: {error}")))?;
        let (map, key, pinned) = match reference {
            PolicyRef::ConfigMap { digest: None, .. } => {
                return Err(Fault::Failed(format!(
                    "the set names {named} without a digest, which a host takes only with --allow-unpinned: pin it, as `tidegate policy pack FILE --reference` does, or give --policy FILE"
                )));
            }
            PolicyRef::ConfigMap { name, key, digest } => {
                let map = self.cluster.config_map(namespace, &name).await.map_err(failed)?;
                let place = format!("ConfigMap {namespace}/{name}");
                let map = map.ok_or_else(|| {
                    Fault::Input(format!("{place} is not there: create it, or give --policy FILE"))
                })?;
                (map, key, digest)
            }
            PolicyRef::Library { name } => {
                (self.of_library(own_namespace, &name).await?, None, None)
            }
        };
        let place = format!("ConfigMap {}", map.metadata.name.as_deref().unwrap_or_default());
        let text = map.data.unwrap_or_default();
        let binary: BTreeMap<String, Vec<u8>> =
            map.binary_data.unwrap_or_default().into_iter().map(|(key, it)| (key, it.0)).collect();
        let picked = source::pick(&text, &binary, key.as_deref());
        let picked = picked.map_err(|error| Fault::Input(format!("{place}: {error}")))?;
        let bytes = picked.bytes.to_vec();
        if let Some(expected) = pinned {
            let refused = |error: LoadError| Fault::Failed(format!("{place}: {error}"));
            let found = Digest::of(&unpack(bytes.clone()).map_err(refused)?);
            if found != expected {
                return Err(refused(LoadError::DigestMismatch { expected, found }));
            }
        }
        Ok((place, bytes))
    }

    /// What admission says of a drain pod, as the host would send it. The member still bears its name, which is found out after everything else.
    pub async fn admission(&self, set: &Value, pod: &Value) -> Admission {
        let body = PodBody {
            manifest: pod.to_string(),
            owner: String::new(),
            claims: BTreeMap::new(),
            state: None,
            removed: Vec::new(),
        };
        let of = Of {
            namespace: text(set, "/metadata/namespace"),
            set: name_of(set),
            set_uid: uid(set),
            stamp: "",
        };
        match act::act(&self.cluster, of, &Action::CreatePod { body }).await {
            Ok(()) => Admission::Passes,
            Err(Error::Refused { source, .. }) if source.reason == "AlreadyExists" => {
                Admission::Passes
            }
            Err(Error::Refused { source, .. }) if source.message.contains(NOT_ALLOWED) => {
                Admission::NotAsked(source.message)
            }
            Err(Error::Refused { source, .. }) => Admission::Refuses(source.message),
            Err(
                error @ (Error::NoAnswer { .. }
                | Error::Illegal(_)
                | Error::NotHeld
                | Error::Malformed(_)),
            ) => Admission::NotAsked(error.to_string()),
        }
    }

    /// The one policy of this name that an install has brought. Which of several a host takes, its flags say.
    async fn of_library(&self, own_namespace: &str, name: &str) -> Result<ConfigMap, Fault> {
        let all: Vec<ConfigMap> =
            self.cluster.list(Some(own_namespace), "").await.map_err(failed)?;
        let is_it = |map: &ConfigMap| {
            let labels = map.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(OF_LIBRARY)).is_some_and(|of| of == name)
        };
        let mut found: Vec<ConfigMap> = all.into_iter().filter(is_it).collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err(Fault::Input(format!(
                "namespace {own_namespace} has several versions of library:{name}: give the one that the host names with --policy FILE"
            ))),
            (None, _) => Err(Fault::Input(format!(
                "namespace {own_namespace} has no library:{name}: name the host's namespace with --own-namespace, or give --policy FILE"
            ))),
        }
    }
}

impl Snapshot {
    /// The UID of the set's namespace, as far as it is known: from the namespace, or from a claim that it owns.
    fn namespace_uid(&self) -> Option<String> {
        let of_claims = || {
            let mut all = self.claims.iter().flat_map(owners);
            all.find(|owner| owner.kind() == "Namespace").map(|owner| owner.uid().to_owned())
        };
        self.namespace_uid.clone().or_else(of_claims)
    }

    /// Puts everything into a simulated cluster as it is. Pods of others are there for the claims that they use; whoever directs them is not.
    pub fn copy_into(&self, state: &mut State, set: &Value) {
        let within = text(set, "/metadata/namespace");
        if let Some(uid) = self.namespace_uid() {
            let namespace = json!({ "metadata": { "name": within, "uid": uid } });
            state.put(Kind::Namespace, "", &namespace);
        }
        state.put(Kind::Set, within, set);
        for claim in &self.claims {
            state.put(Kind::Claim, within, claim);
        }
        let known: Vec<&str> =
            std::iter::once(uid(set)).chain(self.claims.iter().map(uid)).collect();
        for pod in &self.pods {
            let mut pod = pod.clone();
            let is_known = controller(&pod).is_some_and(|owner| known.contains(&owner.uid()));
            if !is_known {
                pod["metadata"]["ownerReferences"] = json!([]);
            }
            state.put(Kind::Pod, within, &pod);
        }
    }
}

fn failed(error: Error) -> Fault {
    Fault::Failed(error.to_string())
}
