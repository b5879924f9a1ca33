//! What is read of one namespace, each kind of object once, and what it says about one set.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::events::v1::Event;
use kube::{Resource as _, ResourceExt as _};
use tidegate_core::{
    Ordinal, Seat, Seen, TimeMs, View, name,
    seen::{Life, Stewardship},
};

use super::refusal::Refusal;
use crate::{
    clock,
    cluster::Cluster,
    error::Error,
    host::bygone,
    marks,
    objects::{ClaimObject, PodObject, SetObject},
    observe::{Objects, marks_of, observe},
    report,
};

/// One namespace as it was read.
pub struct Scene {
    /// Its name.
    pub namespace: String,
    /// Its sets.
    pub sets: Vec<SetObject>,
    /// Its claims, by name.
    pub claims: BTreeMap<String, ClaimObject>,
    /// Its pods, by name.
    pub pods: BTreeMap<String, PodObject>,
    /// What hosts told about its sets.
    pub events: Vec<Event>,
    /// When it was read.
    pub now: TimeMs,
    /// The pods that mount a claim, by the claim's name.
    users: BTreeMap<String, Vec<String>>,
}

/// One set as it was read, and what the core sees in it.
pub struct Subject {
    /// The set; of one that is gone, what the marks of its drain pod tell.
    pub object: SetObject,
    /// What the core sees.
    pub seen: Seen,
}

/// One ordinal of one set.
pub struct Case<'a> {
    /// The namespace.
    pub scene: &'a Scene,
    /// The set.
    pub object: &'a SetObject,
    /// What the core sees.
    pub seen: &'a Seen,
    /// The ordinal.
    pub ordinal: Ordinal,
    /// What the core sees of it.
    pub seat: &'a Seat,
}

impl Scene {
    /// Reads a namespace, the claims before the pods, which is what the host decides on too.
    ///
    /// # Errors
    /// Where any of it cannot be read.
    pub async fn read(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        let within = Some(namespace);
        let claims = cluster.list(within, "").await?;
        let (sets, pods) = futures::try_join!(cluster.list(within, ""), cluster.list(within, ""))?;
        Ok(Self::of(namespace, sets, claims, pods, clock::now()))
    }

    /// Reads what hosts told about its sets.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn hear(mut self, cluster: &Cluster) -> Result<Self, Error> {
        let told = format!("reportingController={}", report::CONTROLLER);
        self.events = cluster.list(Some(&self.namespace), &told).await?;
        Ok(self)
    }

    /// A namespace with these objects, of which nobody told anything.
    #[must_use]
    pub fn of(
        namespace: &str,
        sets: Vec<SetObject>,
        claims: Vec<ClaimObject>,
        pods: Vec<PodObject>,
        now: TimeMs,
    ) -> Self {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in &pods {
            for claim in pod.claim_names() {
                users.entry(claim).or_default().push(pod.name_any());
            }
        }
        Self {
            namespace: namespace.to_owned(),
            sets,
            claims: claims.into_iter().map(|claim| (claim.name_any(), claim)).collect(),
            pods: pods.into_iter().map(|pod| (pod.name_any(), pod)).collect(),
            events: Vec::new(),
            now,
            users,
        }
    }

    /// Every set, and every set that is gone and has left a drain pod behind.
    ///
    /// # Errors
    /// Where a set lacks what every set has.
    pub fn subjects(&self) -> Result<Vec<Subject>, Error> {
        let living = self.sets.iter().map(|set| self.subject(set.clone(), None));
        let gone = self.left_behind().into_iter();
        living.chain(gone.map(|set| self.subject(set, Some(Life::Gone)))).collect()
    }

    /// The set of that name that the pod of that ordinal belongs to: the one that lives, unless the pod is one that an earlier set of that name
    /// left behind.
    ///
    /// # Errors
    /// Where there is none, or it lacks what every set has.
    pub fn find(&self, set: &str, ordinal: Option<Ordinal>) -> anyhow::Result<Subject> {
        let left = ordinal.and_then(|ordinal| self.pods.get(&name::member(set, ordinal)));
        let left = left.and_then(|pod| marks_of(pod).ok()).filter(|it| it.set == set);
        let mut gone = self.left_behind().into_iter();
        let gone = gone.find(|it| left.as_ref().is_some_and(|left| is_of(it, &left.set_uid)));
        if let Some(gone) = gone {
            return Ok(self.subject(gone, Some(Life::Gone))?);
        }
        match self.sets.iter().find(|it| it.name_any() == set) {
            Some(living) => Ok(self.subject(living.clone(), None)?),
            None => {
                let (namespace, set) = (self.namespace.clone(), set.to_owned());
                Err(Refusal::NoSuchSet { namespace, set }.into())
            }
        }
    }

    /// The set that lives and bears this UID.
    #[must_use]
    pub fn set_of(&self, uid: &str) -> Option<&SetObject> {
        self.sets.iter().find(|set| is_of(set, uid))
    }

    fn subject(&self, object: SetObject, life: Option<Life>) -> Result<Subject, Error> {
        let set = object.name_any();
        let templates = object.spec.volume_claim_templates.iter();
        let claims: Vec<&ClaimObject> = templates
            .filter_map(|template| template.metadata.name.as_deref())
            .flat_map(|template| with_prefix(&self.claims, format!("{template}-{set}-")))
            .collect();
        let users = claims.iter().filter_map(|claim| self.users.get(&claim.name_any())).flatten();
        let users = users.filter_map(|name| self.pods.get(name));
        let members = with_prefix(&self.pods, format!("{set}-"));
        let pods: BTreeMap<String, &PodObject> =
            members.chain(users).map(|pod| (pod.name_any(), pod)).collect();
        // A set owns claims of its own namespace alone, so whoever is not here has no part in them.
        let other_set = |uid: &str| Some(self.set_of(uid).map_or(Life::Gone, life_of));
        let pods = pods.into_values().collect();
        let objects = Objects { set: &object, claims, pods, other_set: &other_set };
        let mut seen = observe(&objects, View::LiveInOrder)?;
        seen.set.life = life.unwrap_or(seen.set.life);
        for seat in seen.seats.values_mut() {
            // Since when an ordinal is an orphan only the host knows. What it says of a delay stands in its events.
            seat.orphan_since = Some(TimeMs(0));
        }
        Ok(Subject { object, seen })
    }

    fn left_behind(&self) -> Vec<SetObject> {
        let mut uids = BTreeSet::new();
        let marks = self.pods.values().filter_map(|pod| marks_of(pod).ok());
        let left = marks.filter(|it| self.set_of(&it.set_uid).is_none());
        left.filter(|it| uids.insert(it.set_uid.clone()))
            .map(|it| bygone(&self.namespace, &it))
            .collect()
    }
}

impl Subject {
    /// One of its ordinals.
    ///
    /// # Errors
    /// Where it has neither a claim nor a pod, and the set does not want it.
    pub fn case<'a>(&'a self, scene: &'a Scene, ordinal: Ordinal) -> Result<Case<'a>, Refusal> {
        let seat = self.seen.seats.get(&ordinal).ok_or(Refusal::NoClaims(ordinal))?;
        Ok(Case { scene, object: &self.object, seen: &self.seen, ordinal, seat })
    }

    /// Whether it bears something of ours or of the predecessor's.
    #[must_use]
    pub fn concerns_us(&self) -> bool {
        let named = self.seen.set.stewardship != Stewardship::NotOurs;
        let drains = self.seen.seats.values().any(|seat| seat.drain().is_some());
        named || drains || !self.holds().is_empty()
    }

    /// The finalizers of ours and of the predecessor's that hold it.
    #[must_use]
    pub fn holds(&self) -> Vec<&'static str> {
        let bears = |it: &&str| self.object.finalizers().iter().any(|own| own == it);
        [marks::HOLD, marks::PREDECESSOR_HOLD].into_iter().filter(bears).collect()
    }
}

impl<'a> Case<'a> {
    /// The name of the ordinal's member, which its drain pod bears too.
    #[must_use]
    pub fn member(&self) -> String {
        self.seen.set.member(self.ordinal)
    }

    /// The pod that bears the member's name.
    #[must_use]
    pub fn pod(&self) -> Option<&'a PodObject> {
        self.scene.pods.get(&self.member())
    }
}

fn life_of(set: &SetObject) -> Life {
    if set.meta().deletion_timestamp.is_some() { Life::Terminating } else { Life::Lives }
}

fn is_of(set: &SetObject, uid: &str) -> bool {
    set.metadata.uid.as_deref() == Some(uid)
}

fn with_prefix<T>(by_name: &BTreeMap<String, T>, prefix: String) -> impl Iterator<Item = &T> {
    by_name
        .range(prefix.clone()..)
        .take_while(move |(name, _)| name.starts_with(&prefix))
        .map(|(_, object)| object)
}
