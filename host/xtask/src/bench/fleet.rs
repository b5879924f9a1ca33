//! Many small sets on stand-in nodes: made, scaled, and seen to be drained.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::client::until;
use crate::standin::{self, Play, STAND_IN_LABEL};

/// The label of the nodes that play a fleet's pods; its value is the fleet's name.
const FLEET: &str = "tidegate.dev/fleet";

/// What a drain pod of `exec` does on such a node: it says in its message that all is done.
const DRAINED: &str = "exit 0 message \"tidegate: drained\"";

/// How many members each set has while none is scaled away.
const MEMBERS: i32 = 2;

/// The label by which the host enrols a claim, and which its drain pods bear.
const ENROLLED: &str = "tidegate.dev/set-uid";

/// How many requests of the fleet are under way at once: enough to keep the API server busy, few enough to leave it to what is measured.
const REQUESTS_MAX: usize = 16;

/// Which sets there are.
#[derive(Clone, Debug)]
pub struct Lot {
    /// The fleet's name, which its nodes bear.
    pub name: String,
    /// The namespaces, which are made.
    pub namespaces: Vec<String>,
    /// How many sets each of them holds.
    pub sets_each: usize,
    /// What is annotated on every set.
    pub annotations: BTreeMap<String, String>,
}

/// The sets, each with two members of one claim each while none is scaled away. Their pods run on stand-in nodes alone.
pub struct Fleet {
    client: Client,
    lot: Lot,
}

impl Lot {
    /// How many sets there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.namespaces.len() * self.sets_each
    }

    /// Each set by its namespace and name.
    fn sets(&self) -> impl Iterator<Item = (String, String)> {
        let names = |namespace: &String| {
            let namespace = namespace.clone();
            (0..self.sets_each).map(move |number| (namespace.clone(), set_name(number)))
        };
        self.namespaces.iter().flat_map(names)
    }
}

impl Fleet {
    /// Creates the namespaces and the sets.
    ///
    /// # Errors
    /// Where the API server refuses one.
    pub async fn create(client: Client, lot: Lot) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in &lot.namespaces {
            let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
            namespaces.create(&PostParams::default(), &namespace).await?;
        }
        let creations = lot.sets().map(|(namespace, name)| {
            let (client, set) = (client.clone(), set(&name, &lot));
            async move {
                let sets: Api<StatefulSet> = Api::namespaced(client, &namespace);
                sets.create(&PostParams::default(), &serde_json::from_value(set)?).await?;
                anyhow::Ok(())
            }
        });
        let creations: Vec<_> = creations.collect();
        stream::iter(creations).buffer_unordered(REQUESTS_MAX).try_collect::<()>().await?;
        Ok(Self { client, lot })
    }

    /// Gives each set this many members, all at once.
    ///
    /// # Errors
    /// Where the API server refuses it for one.
    pub async fn scale_all(&self, replicas: i32) -> Result<()> {
        let scalings: Vec<_> = self
            .lot
            .sets()
            .map(|(namespace, name)| async move { self.scale(&namespace, &name, replicas).await })
            .collect();
        stream::iter(scalings).buffer_unordered(REQUESTS_MAX).try_collect().await
    }

    /// Gives one set this many members.
    ///
    /// # Errors
    /// Where the API server refuses it.
    pub async fn scale(&self, namespace: &str, name: &str, replicas: i32) -> Result<()> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        sets.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until every set has both members ready and nothing else is left to do for its controller.
    ///
    /// # Errors
    /// Where that takes longer than `within`.
    pub async fn all_run(&self, within: Duration) -> Result<()> {
        until("every member runs", within, async || {
            let mut lacking = 0;
            for namespace in &self.lot.namespaces {
                let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
                let sets = sets.list(&ListParams::default()).await?;
                let is_whole = |set: &&StatefulSet| {
                    let status = set.status.as_ref();
                    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas);
                    status.and_then(|status| status.ready_replicas) == wanted
                };
                lacking += self.lot.sets_each - sets.items.iter().filter(is_whole).count();
            }
            Ok(missing(lacking, "sets lack members"))
        })
        .await
    }

    /// Waits until the host has enrolled the claim of every member.
    ///
    /// # Errors
    /// Where that takes longer than `within`.
    pub async fn all_enrolled(&self, within: Duration) -> Result<()> {
        let members = usize::try_from(MEMBERS).unwrap_or_default();
        let wanted = self.lot.count() * members;
        until("every claim is enrolled", within, async || {
            let enrolled = self.claims(&ListParams::default().labels(ENROLLED)).await?;
            Ok(missing(wanted.saturating_sub(enrolled), "claims are not"))
        })
        .await
    }

    /// Waits until each set has one claim left, and no pod but its one member.
    ///
    /// # Errors
    /// Where that takes longer than `within`.
    pub async fn all_drained(&self, within: Duration) -> Result<()> {
        let kept = self.lot.count();
        until("every scaled-down claim is drained and gone", within, async || {
            let claims = self.claims(&ListParams::default()).await?.saturating_sub(kept);
            if claims > 0 {
                return Ok(missing(claims, "claims are left"));
            }
            let pods = self.pods().await?.saturating_sub(kept);
            Ok(missing(pods, "pods are left"))
        })
        .await
    }

    /// How many pods there are.
    async fn pods(&self) -> Result<usize> {
        let mut pods = 0;
        for namespace in &self.lot.namespaces {
            let all: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            pods += all.list_metadata(&ListParams::default()).await?.items.len();
        }
        Ok(pods)
    }

    async fn claims(&self, which: &ListParams) -> Result<usize> {
        let mut claims = 0;
        for namespace in &self.lot.namespaces {
            let all: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            claims += all.list_metadata(which).await?.items.len();
        }
        Ok(claims)
    }
}

/// A stand-in node for the fleet of this name, and for no other pod: members run there until they are told to stop, and drain pods say at once
/// that they are done.
///
/// # Errors
/// None but where the scripts above are broken.
pub fn node(node_name: &str, fleet: &str) -> Result<standin::Options> {
    let mut options = standin::Options::new(node_name);
    options.play = Play::parse("hang")?;
    options.labelled.insert(ENROLLED.to_owned(), Play::parse(DRAINED)?);
    options.labels.insert(FLEET.to_owned(), fleet.to_owned());
    options.taint = Some(standin::Taint {
        key: STAND_IN_LABEL.to_owned(),
        value: "true".to_owned(),
        effect: "NoSchedule".to_owned(),
    });
    Ok(options)
}

/// The name of the set of this number in its namespace.
pub(super) fn set_name(number: usize) -> String {
    format!("web{number}")
}

/// The name of the member that goes when such a set is scaled to one.
pub(super) fn last_member(set: &str) -> String {
    format!("{set}-{}", MEMBERS - 1)
}

/// The claim of that member.
pub(super) fn last_claim(set: &str) -> String {
    format!("data-{}", last_member(set))
}

fn missing(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}"))
}

fn set(name: &str, lot: &Lot) -> Value {
    json!({
        "metadata": { "name": name, "annotations": lot.annotations },
        "spec": {
            "serviceName": name,
            "replicas": MEMBERS,
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "nodeSelector": { FLEET: lot.name },
                    "tolerations": [{ "key": STAND_IN_LABEL, "operator": "Exists" }],
                    "terminationGracePeriodSeconds": 1,
                    // What admission would add to each pod is no part of what is measured.
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "main",
                        "image": "none",
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": "1Mi" } },
                },
            }],
        },
    })
}
