//! Everything one pass needs: the cluster, what the watches show, the policies, and what is remembered.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Resource as _, ResourceExt as _, runtime::reflector::Store};
use serde_json::Value;
use tidegate_core::{Ordinal, Seen, TimeMs, View, seen::Life};

use crate::{
    cluster::Cluster,
    error::Error,
    memory::{Acquaintance, Memory},
    modules::Modules,
    objects::{ClaimObject, PodObject, SetObject},
    observe::{Objects, observe},
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
    /// When the host started.
    pub started: TimeMs,
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
        self.memory.forget_gone(self.sets.len(), |uid| self.life_of(uid) != Life::Gone);
        Ok(seen)
    }

    /// What the API server says of the set at this moment; nothing where the set is gone, or is another one of the same name.
    ///
    /// # Errors
    /// Where it could not be read, or lacks what every set has.
    pub async fn look(&self, set: &SetObject, now: TimeMs) -> Result<Option<Sight>, Error> {
        let namespace = set.namespace().unwrap_or_default();
        let reading = self.cluster.read(&namespace, &set.name_any()).await?;
        let Some(set_json) = reading.set else {
            return Ok(None);
        };
        let fresh: SetObject = serde_json::from_value(set_json.clone())
            .map_err(|error| Error::Malformed(format!("a StatefulSet cannot be read: {error}")))?;
        if fresh.meta().uid != set.meta().uid {
            return Ok(None);
        }
        let objects = Objects {
            set: &fresh,
            claims: reading.claims.iter().collect(),
            pods: reading.pods.iter().collect(),
            other_set: &|uid| Some(self.life_of(uid)),
        };
        let mut seen = observe(&objects, View::Live)?;
        self.memory.complete(&mut seen, self.acquaintance(&fresh), now);
        let ordinal =
            |pod: &PodObject| tidegate_core::name::parse_member(&pod.name_any(), &seen.set.name);
        let pods = reading.pods.into_iter().filter_map(|pod| Some((ordinal(&pod)?, pod))).collect();
        let claims = reading.claims.into_iter().map(|claim| (claim.name_any(), claim)).collect();
        let service = fresh.spec.service_name.clone();
        Ok(Some(Sight { seen, set_json, service, claims, pods }))
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
        let created = set.creation_timestamp().map(|time| time.0.as_millisecond());
        let started = i64::try_from(self.started.0).unwrap_or(i64::MAX);
        match created {
            Some(created) if created >= started => Acquaintance::FromTheStart,
            Some(_) | None => Acquaintance::Late,
        }
    }
}
