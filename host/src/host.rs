//! Everything one pass needs: the cluster, what the watches show, the policies, and what is remembered.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Resource as _, ResourceExt as _, runtime::reflector::Store};
use serde_json::Value;
use tidegate_core::{Answer, Ordinal, Plan, Seen, TimeMs, View, name, seen::Life};

use crate::{
    clock::{self, Clock},
    cluster::{Cluster, Order, Reading},
    error::Error,
    lease::Tenure,
    marks::Marks,
    memory::{Acquaintance, Memory},
    modules::Modules,
    objects::{ClaimObject, ClaimTemplate, PodObject, SetObject, SetSpec},
    observe::{Objects, marks_of, observe},
    policy::Log,
    report::Reporter,
    watch::Index,
};

/// Everything one pass needs.
pub struct Host {
    /// The API server.
    pub cluster: Cluster,
    /// The sets, as the watch shows them.
    pub sets: Store<SetObject>,
    /// The claims, as the watch shows them.
    pub claims: Arc<Index<ClaimObject>>,
    /// The members and drain pods, as the watch shows them.
    pub pods: Arc<Index<PodObject>>,
    /// The policies.
    pub modules: Modules,
    /// Who tells people.
    pub reporter: Reporter,
    /// What is remembered between passes.
    pub memory: Memory,
    /// Whether and since when this host may act.
    pub tenure: Arc<Tenure>,
    /// What it decides by.
    pub clock: Clock,
    /// Who is shown what it thinks.
    pub witness: Box<dyn Witness>,
}

/// Somebody who is shown what a host thinks, and has no part in it.
pub trait Witness: Send + Sync {
    /// A plan that has passed the check, with the reading and the answers that it rests on, before anything of it is written.
    fn decided(&self, sight: &Sight, answers: &BTreeMap<Ordinal, Answer>, plan: &Plan);

    /// What the policy logged while it was asked about an ordinal of the next plan.
    fn heard(&self, ordinal: Ordinal, log: &Log);
}

/// Nobody.
pub struct Unwitnessed;

impl Witness for Unwitnessed {
    fn decided(&self, _: &Sight, _: &BTreeMap<Ordinal, Answer>, _: &Plan) {}

    fn heard(&self, _: Ordinal, _: &Log) {}
}

/// One live reading of a set: what the core decides on, and what policies are told besides.
pub struct Sight {
    /// What the core decides on.
    pub seen: Seen,
    /// The set as JSON, in Kubernetes' own shape.
    pub set_json: Value,
    /// The set's service.
    pub service: Option<String>,
    /// The claims of the namespace, by name.
    pub claims: BTreeMap<String, ClaimObject>,
    /// The pods that bear a member's name, by ordinal.
    pub pods: BTreeMap<Ordinal, PodObject>,
}

impl Sight {
    fn new(
        seen: Seen,
        set_json: Value,
        set: &SetObject,
        claims: Vec<ClaimObject>,
        pods: Vec<PodObject>,
    ) -> Self {
        let ordinal = |pod: &PodObject| name::parse_member(&pod.name_any(), &seen.set.name);
        let pods = pods.into_iter().filter_map(|pod| Some((ordinal(&pod)?, pod))).collect();
        let claims = claims.into_iter().map(|claim| (claim.name_any(), claim)).collect();
        Self { set_json, service: set.spec.service_name.clone(), claims, pods, seen }
    }
}

impl Host {
    /// What the watches show of the set.
    ///
    /// # Errors
    /// Where the set lacks what every set has.
    pub fn glance(&self, set: &SetObject, now: TimeMs) -> Result<Seen, Error> {
        let namespace = set.namespace().unwrap_or_default();
        let name = set.name_any();
        let templates = set.spec.volume_claim_templates.iter();
        let claims: Vec<Arc<ClaimObject>> = templates
            .filter_map(|template| template.metadata.name.as_deref())
            .flat_map(|template| {
                self.claims.with_prefix(&namespace, &format!("{template}-{name}-"))
            })
            .collect();
        let pods = self.pods.with_prefix(&namespace, &format!("{name}-"));
        let objects = Objects {
            set,
            claims: claims.iter().map(AsRef::as_ref).collect(),
            pods: pods.iter().map(AsRef::as_ref).collect(),
            other_set: &|uid| Some(self.life_of(uid)),
        };
        let mut seen = observe(&objects, View::Cached)?;
        self.memory.complete(&mut seen, self.acquaintance(set), now);
        let lives = |uid: &str| self.life_of(uid) != Life::Gone;
        self.memory.forget_gone(self.sets.len(), lives);
        self.modules.forget_gone(self.sets.len(), lives);
        Ok(seen)
    }

    /// The marks of the set's drain pods, by the pods' names, as the watches show them.
    #[must_use]
    pub fn drains_of(&self, seen: &Seen) -> Vec<(String, Marks)> {
        if seen.seats.values().all(|seat| seat.drain().is_none()) {
            return Vec::new();
        }
        let pods = self.pods.with_prefix(&seen.set.namespace, &format!("{}-", seen.set.name));
        let marked = pods.iter().filter_map(|pod| Some((pod.name_any(), marks_of(pod).ok()?)));
        marked.filter(|(_, marks)| marks.set_uid == seen.set.uid).collect()
    }

    /// What the API server says of the set at this moment; nothing where the set is gone, or is another one of the same name.
    ///
    /// # Errors
    /// Where it could not be read, or lacks what every set has.
    pub async fn look(
        &self,
        set: &SetObject,
        order: Order,
        now: TimeMs,
    ) -> Result<Option<Sight>, Error> {
        let namespace = set.namespace().unwrap_or_default();
        let reading = self.cluster.read(&namespace, &set.name_any(), order).await?;
        let Some(set_json) = reading.set.clone() else {
            return Ok(None);
        };
        let fresh: SetObject = serde_json::from_value(set_json.clone())
            .map_err(|error| Error::Malformed(format!("a StatefulSet cannot be read: {error}")))?;
        if fresh.meta().uid != set.meta().uid {
            return Ok(None);
        }
        let mut seen = self.see(&fresh, &reading, order, now)?;
        if anchors_any(&seen) {
            seen.set.namespace_uid = self.cluster.namespace_uid(&namespace).await?;
        }
        Ok(Some(Sight::new(seen, set_json, &fresh, reading.claims, reading.pods)))
    }

    /// What the API server says at this moment of a drain pod whose set is gone; nothing where the set lives, or the pod is not ours.
    ///
    /// # Errors
    /// Where it could not be read.
    pub async fn look_behind(
        &self,
        pod: &PodObject,
        order: Order,
        now: TimeMs,
    ) -> Result<Option<Sight>, Error> {
        let Ok(marks) = marks_of(pod) else {
            return Ok(None);
        };
        if self.life_of(&marks.set_uid) != Life::Gone {
            return Ok(None);
        }
        let namespace = pod.namespace().unwrap_or_default();
        let reading = self.cluster.read(&namespace, &marks.set, order).await?;
        let found = reading.set.as_ref().and_then(|set| set.pointer("/metadata/uid")?.as_str());
        if found == Some(marks.set_uid.as_str()) {
            return Ok(None);
        }
        let bygone = bygone(&namespace, &marks);
        let mut seen = self.see(&bygone, &reading, order, now)?;
        seen.set.life = Life::Gone;
        Ok(Some(Sight::new(seen, Value::Null, &bygone, reading.claims, reading.pods)))
    }

    fn see(
        &self,
        set: &SetObject,
        reading: &Reading,
        order: Order,
        now: TimeMs,
    ) -> Result<Seen, Error> {
        let objects = Objects {
            set,
            claims: reading.claims.iter().collect(),
            pods: reading.pods.iter().collect(),
            other_set: &|uid| Some(self.life_of(uid)),
        };
        let view = match order {
            Order::AtOnce => View::Live,
            Order::ClaimsFirst => View::LiveInOrder,
        };
        let mut seen = observe(&objects, view)?;
        self.memory.complete(&mut seen, self.acquaintance(set), now);
        Ok(seen)
    }

    /// Whether a set of that UID lives, as the watch shows it. The label with the UID was put on by a host that saw the set, so a watch that
    /// has delivered its list and does not show the set knows that it is gone.
    fn life_of(&self, uid: &str) -> Life {
        let found = self.sets.find(|set| set.metadata.uid.as_deref() == Some(uid));
        match found {
            None => Life::Gone,
            Some(set) if set.metadata.deletion_timestamp.is_some() => Life::Terminating,
            Some(_) => Life::Lives,
        }
    }

    fn acquaintance(&self, set: &SetObject) -> Acquaintance {
        let created = set.creation_timestamp().map(|time| time.0.as_second());
        Acquaintance::of(created, self.tenure.began())
    }
}

/// Whether a claim is to be anchored, which takes the namespace's UID. It is read for each such pass, because a claim whose only owner has a
/// UID of before would be deleted by the garbage collector.
fn anchors_any(seen: &Seen) -> bool {
    let mut claims = seen.seats.values().flat_map(|seat| seat.claims.values());
    claims.any(|claim| seen.set.lacks_anchor(claim))
}

/// A set that is gone, as far as the marks of its drain pod tell. It wants no ordinal and names no policy.
#[must_use]
pub fn bygone(namespace: &str, marks: &Marks) -> SetObject {
    let template = |name: &String| ClaimTemplate {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
    };
    let metadata = ObjectMeta {
        name: Some(marks.set.clone()),
        namespace: Some(namespace.to_owned()),
        uid: Some(marks.set_uid.clone()),
        generation: i64::try_from(marks.generation).ok(),
        deletion_timestamp: Some(Time(clock::timestamp())),
        ..ObjectMeta::default()
    };
    // The owner comes first, as it does among a set's own templates.
    let others = marks.claims.keys().filter(|name| **name != marks.owner);
    let spec = SetSpec {
        replicas: Some(0),
        volume_claim_templates: std::iter::once(&marks.owner).chain(others).map(template).collect(),
        ..SetSpec::default()
    };
    SetObject { metadata, spec }
}
