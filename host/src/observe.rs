//! Kubernetes objects → what the core decides on. Everything is parsed here; past this file nobody sees a Kubernetes type, and what
//! could not be read is a value that says so.

mod altered;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::ResourceExt as _;
use tidegate_core::{
    Claim, Drain, Holder, Noted, Ordinal, Seat, Seen, Set, TimeMs, View, ending,
    ending::{Container, Kind, Phase, PodFacts, State},
    name,
    seen::{
        Anchorage, Binding, Cascade, Deletion, Enrolment, Life, Member, Stewardship, WhenScaled,
    },
    settings::{self, PodManagement, Settings},
};

use altered::{outlives, proves_nothing};

use crate::{
    drain_pod::parse_grants,
    error::Error,
    marks::{self, Marks},
    objects::{ClaimObject, ContainerSpec, ContainerStatus, PodObject, SetObject},
};

/// How many wanted ordinals are listed though they have neither claim nor pod. It bounds what a mistyped `replicas` costs; a namespace
/// holds at most 3,000 pods by Kubernetes' own thresholds.
const EMPTY_SEATS_MAX: usize = 10_000;

/// The objects of one namespace that bear on one set.
pub struct Objects<'a> {
    /// The set.
    pub set: &'a SetObject,
    /// The claims of its namespace.
    pub claims: Vec<&'a ClaimObject>,
    /// The pods of its namespace: all of them in a live read, those with the member's label in a cached one.
    pub pods: Vec<&'a PodObject>,
    /// Whether a set of that UID lives, as far as is known.
    pub other_set: &'a dyn Fn(&str) -> Option<Life>,
}

/// What these objects say about the set.
///
/// # Errors
/// Where the set lacks a name, a namespace or a UID.
pub fn observe(objects: &Objects<'_>, view: View) -> Result<Seen, Error> {
    let set = set(objects.set)?;
    let mut seats: BTreeMap<Ordinal, Seat> = wanted(&set);
    for claim in &objects.claims {
        for template in &set.templates {
            let Some(ordinal) = name::parse_claim(&claim.name_any(), template, &set.name) else {
                continue;
            };
            let seat = seats.entry(ordinal).or_default();
            // The first template's claim owns the drain pods, and bears the record.
            if set.templates.first() == Some(template) {
                seat.noted = noted(&claim.metadata);
            }
            seat.claims.insert(template.clone(), self::claim(claim, &set, objects));
        }
    }
    for pod in &objects.pods {
        if let Some(ordinal) = name::parse_member(&pod.name_any(), &set.name) {
            let seat = seats.entry(ordinal).or_default();
            seat.holder = holder(pod, &set, ordinal, seat);
            if let Holder::Drain(drain) = &seat.holder
                && let Some(why) = outlives(pod, drain, seat, objects, view)
            {
                seat.holder = Holder::Foreign { why };
            }
        }
    }
    for pod in &objects.pods {
        uses(pod, &set, &mut seats);
    }
    Ok(Seen { view, set, seats })
}

/// The set as the core sees it.
///
/// # Errors
/// Where it lacks a name, a namespace or a UID.
pub fn set(object: &SetObject) -> Result<Set, Error> {
    let meta = &object.metadata;
    let (Some(namespace), Some(name), Some(uid)) =
        (meta.namespace.clone(), meta.name.clone(), meta.uid.clone())
    else {
        return Err(Error::Malformed("a StatefulSet without namespace, name or uid".to_owned()));
    };
    let spec = &object.spec;
    let retention = spec.persistent_volume_claim_retention_policy.as_ref();
    let number = |value: i64, field: &str| {
        u32::try_from(value)
            .map_err(|_| Error::Malformed(format!("{namespace}/{name}: {field} is {value}")))
    };
    Ok(Set {
        generation: u64::try_from(meta.generation.unwrap_or_default()).unwrap_or_default(),
        start: number(
            spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start),
            "ordinals.start",
        )?,
        replicas: number(spec.replicas.unwrap_or(1), "replicas")?,
        templates: spec
            .volume_claim_templates
            .iter()
            .filter_map(|template| template.metadata.name.clone())
            .collect(),
        when_scaled: match retention.and_then(|retention| retention.when_scaled.as_deref()) {
            Some("Delete") => WhenScaled::Delete,
            Some(_) | None => WhenScaled::Retain,
        },
        namespace_uid: None,
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        cascade: cascade(meta),
        held: meta.finalizers.iter().flatten().any(|it| it == marks::HOLD),
        life: if meta.deletion_timestamp.is_some() { Life::Terminating } else { Life::Lives },
        stewardship: stewardship(object),
        namespace,
        name,
        uid,
    })
}

/// What is known of a pod that bears on its ending.
#[must_use]
pub fn facts(pod: &PodObject, marks: &Marks) -> PodFacts {
    let status = &pod.status;
    let disruption = pod.true_condition("DisruptionTarget");
    PodFacts {
        phase: phase(status.phase.as_deref()),
        reason: status.reason.clone().unwrap_or_default(),
        message: status.message.clone().unwrap_or_default(),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        sealed: is_sealed(pod),
        disruption: disruption.map(|it| it.reason.clone().unwrap_or_default()),
        containers: containers(pod, marks),
    }
}

/// The kind of each container of the pod's spec and what the kubelet says about it.
pub fn containers_of(
    pod: &PodObject,
) -> impl Iterator<Item = (&ContainerSpec, Kind, Option<&ContainerStatus>)> {
    let status = |of: &'_ [ContainerStatus], name: &str| of.iter().position(|it| it.name == name);
    let inits = pod.spec.init_containers.iter().map(move |container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        let found = status(&pod.status.init_container_statuses, &container.name);
        let found = found.and_then(|at| pod.status.init_container_statuses.get(at));
        (container, if sidecar { Kind::NativeSidecar } else { Kind::Init }, found)
    });
    let mains = pod.spec.containers.iter().map(move |container| {
        let found = status(&pod.status.container_statuses, &container.name);
        let found = found.and_then(|at| pod.status.container_statuses.get(at));
        (container, Kind::Main, found)
    });
    inits.chain(mains)
}

/// Whether the policy rendered this container.
#[must_use]
pub fn is_rendered(marks: &Marks, kind: Kind, name: &str) -> bool {
    let names = match kind {
        Kind::Main => &marks.containers.main,
        Kind::Init => &marks.containers.init,
        Kind::NativeSidecar => &marks.containers.sidecar,
    };
    names.iter().any(|rendered| rendered == name)
}

/// Whether this is the reason of a container that was done. A runtime writes `OOMKilled` where the kernel killed any process of it, whatever the first one
/// then exited with.
fn is_done(reason: Option<&str>) -> bool {
    matches!(reason, None | Some("" | "Completed"))
}

/// What a container does.
#[must_use]
pub fn state(status: Option<&ContainerStatus>) -> State {
    let Some(state) = status.map(|status| &status.state) else {
        return State::Unknown;
    };
    match (&state.terminated, &state.running, &state.waiting) {
        (Some(ended), _, _) if ended.exit_code == 0 && !is_done(ended.reason.as_deref()) => {
            State::Maimed
        }
        (Some(ended), _, _) => State::Exited(ended.exit_code),
        (None, Some(_), _) => State::Running,
        (None, None, Some(_)) => State::Waiting,
        (None, None, None) => State::Unknown,
    }
}

/// The ordinals that the set wants, whether anything of them is there or not.
fn wanted(set: &Set) -> BTreeMap<Ordinal, Seat> {
    let end = set.start.saturating_add(set.replicas);
    let wanted = (set.start..end).take(EMPTY_SEATS_MAX);
    wanted.map(|number| (Ordinal(number), Seat::default())).collect()
}

/// The API server notes with a finalizer what it was asked to do with what the set owns.
fn cascade(meta: &ObjectMeta) -> Cascade {
    let bears = |name: &str| meta.finalizers.iter().flatten().any(|it| it == name);
    if bears("foregroundDeletion") {
        Cascade::Foreground
    } else if bears("orphan") {
        Cascade::Orphan
    } else {
        Cascade::Background
    }
}

fn stewardship(set: &SetObject) -> Stewardship {
    let parallel = set.spec.pod_management_policy.as_deref() == Some("Parallel");
    let management = if parallel { PodManagement::Parallel } else { PodManagement::OrderedReady };
    let stewardship = match &set.metadata.annotations {
        Some(annotations) => settings::parse(annotations, management),
        None => Stewardship::NotOurs,
    };
    match stewardship {
        Stewardship::Ours(settings) => match parse_grants(&settings.grant) {
            Ok(_) => Stewardship::Ours(settings),
            Err(mend) => Stewardship::Unreadable {
                annotation: settings::GRANT.to_owned(),
                value: settings.grant,
                mend,
            },
        },
        other @ (Stewardship::NotOurs | Stewardship::Unreadable { .. }) => other,
    }
}

fn noted(meta: &ObjectMeta) -> Noted {
    match meta.annotations.as_ref().and_then(|annotations| annotations.get(marks::RECORD)) {
        Some(text) => marks::noted_from_json(text),
        None => Noted::Nothing,
    }
}

fn claim(object: &ClaimObject, set: &Set, objects: &Objects<'_>) -> Claim {
    let meta = &object.metadata;
    let enrolment = match meta.labels.as_ref().and_then(|labels| labels.get(marks::SET_UID)) {
        None => Enrolment::Nowhere,
        Some(uid) if *uid == set.uid => Enrolment::Here,
        Some(uid) => Enrolment::Elsewhere { uid: uid.clone(), lives: (objects.other_set)(uid) },
    };
    let anchored = owners(meta).any(|owner| owner.kind == "Namespace");
    let anchorage = if anchored { Anchorage::Anchored } else { Anchorage::Loose };
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let foreground = finalizers.iter().any(|it| it == "foregroundDeletion");
    Claim {
        name: object.name_any(),
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        enrolment,
        binding: match object.status.phase.as_deref() {
            Some("Bound") => Binding::Bound,
            Some("Pending") => Binding::Pending,
            Some("Lost") => Binding::Lost,
            Some(_) | None => Binding::Unknown,
        },
        deletion: match (&meta.deletion_timestamp, foreground) {
            (None, _) if !anchored && is_left_by_its_owner(meta, set, &objects.pods) => {
                Deletion::Impending
            }
            (None, _) => Deletion::None,
            (Some(_), false) => Deletion::Background,
            (Some(_), true) => Deletion::Foreground,
        },
        deleted_at: meta.deletion_timestamp.as_ref().map(time),
        anchorage,
    }
}

fn holder(pod: &PodObject, set: &Set, ordinal: Ordinal, seat: &Seat) -> Holder {
    if controller(&pod.metadata, "StatefulSet") == Some(set.uid.as_str()) {
        let mounts: Vec<String> = pod.claim_names().collect();
        let held = seat.claims.iter().filter(|(_, claim)| mounts.contains(&claim.name));
        return Holder::Member(Member {
            name: pod.name_any(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            mounts: held.map(|(template, _)| template.clone()).collect(),
        });
    }
    match drain(pod, set, ordinal, seat) {
        Ok(drain) => Holder::Drain(Box::new(drain)),
        Err(why) => Holder::Foreign { why },
    }
}

/// What a set's annotations ask for, where it is ours.
#[must_use]
pub fn settings_of(set: &SetObject) -> Option<Settings> {
    match stewardship(set) {
        Stewardship::Ours(settings) => Some(settings),
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => None,
    }
}

/// The marks of a pod that says it is a drain pod of ours.
///
/// # Errors
/// Why it is none, in words.
pub fn marks_of(pod: &PodObject) -> Result<Marks, String> {
    if !pod.labels().contains_key(marks::SET_UID) {
        return Err(format!("it bears no label {}", marks::SET_UID));
    }
    let annotations = pod.metadata.annotations.as_ref();
    let text = annotations.and_then(|annotations| annotations.get(marks::DRAIN));
    Marks::parse(text.ok_or_else(|| format!("it bears no annotation {}", marks::DRAIN))?)
}

/// A pod is ours only if its marks, its owner and its label all say so and name this set, this ordinal and these very claims.
fn drain(pod: &PodObject, set: &Set, ordinal: Ordinal, seat: &Seat) -> Result<Drain, String> {
    let marks = marks_of(pod)?;
    let meta = &pod.metadata;
    let label = meta.labels.as_ref().and_then(|labels| labels.get(marks::SET_UID));
    if label != Some(&set.uid) || marks.set_uid != set.uid {
        return Err("its marks name another set".to_owned());
    }
    if marks.ordinal != ordinal.0 {
        return Err(format!("its marks name ordinal {}", marks.ordinal));
    }
    let owner_uid = marks.claims.get(&marks.owner).map(String::as_str);
    if owner_uid.is_none() || owner_uid != controller(meta, "PersistentVolumeClaim") {
        return Err("it is not owned by the claim that its marks name".to_owned());
    }
    // Its claim is looked for under the template, and one that is looked for in vain counts as deleted.
    if let Some(unknown) = marks.claims.keys().find(|name| !set.templates.contains(name)) {
        return Err(format!(
            "its marks name the claim template {unknown:?}, which the set has not"
        ));
    }
    if let Some(why) = proves_nothing(pod, &marks) {
        return Err(why);
    }
    let mounted: Vec<String> = pod.claim_names().collect();
    for (template, uid) in &marks.claims {
        let claim_name = name::claim(template, &set.name, ordinal);
        if !mounted.contains(&claim_name) {
            return Err(format!("it has no volume of claim {claim_name}, which its marks name"));
        }
        // A claim that is gone has been deleted under this pod; one of another UID was never this pod's.
        match seat.claims.get(template) {
            Some(claim) if claim.uid != *uid && !is_sealed(pod) => {
                return Err(format!("claim {} is not the one that its marks name", claim.name));
            }
            Some(_) | None => {}
        }
    }
    let drained_at = meta.annotations.as_ref().and_then(|it| it.get(marks::DRAINED));
    Ok(Drain {
        name: pod.name_any(),
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        attempt: marks.attempt,
        generation: marks.generation,
        placed: pod.spec.node_name.is_some(),
        ending: ending::ending(&facts(pod, &marks)),
        terminating: meta.deletion_timestamp.is_some(),
        sealed: is_sealed(pod),
        giving_back: gives_back(pod),
        held_by: finalizers_of_others(pod),
        stray_seal: has_finalizer(pod) && !is_sealed(pod),
        drained_at: drained_at.and_then(|text| text.parse().ok()).map(TimeMs),
        claims: marks.claims,
        owner: marks.owner,
    })
}

fn uses(pod: &PodObject, set: &Set, seats: &mut BTreeMap<Ordinal, Seat>) {
    // An ended pod writes no more; whether it still holds the claim is for the API server to say.
    if matches!(phase(pod.status.phase.as_deref()), Phase::Succeeded | Phase::Failed) {
        return;
    }
    let names: Vec<String> = pod.claim_names().collect();
    if names.is_empty() {
        return;
    }
    let pod_name = pod.name_any();
    for (ordinal, seat) in seats.iter_mut() {
        let is_holder = pod_name == set.member(*ordinal);
        if !is_holder && seat.claims.values().any(|claim| names.contains(&claim.name)) {
            seat.other_users.push(pod_name.clone());
        }
    }
}

fn containers(pod: &PodObject, marks: &Marks) -> Vec<Container> {
    containers_of(pod)
        .map(|(container, kind, status)| Container {
            name: container.name.clone(),
            kind,
            rendered: is_rendered(marks, kind, &container.name),
            state: state(status),
        })
        .collect()
}

fn phase(text: Option<&str>) -> Phase {
    match text {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some(_) | None => Phase::Unknown,
    }
}

/// The API server's own finalizers are no concern of anybody's: it takes them off itself.
fn finalizers_of_others(pod: &PodObject) -> Vec<String> {
    let own = |finalizer: &&String| {
        ![marks::SEAL, "foregroundDeletion", "orphan"].contains(&finalizer.as_str())
    };
    pod.finalizers().iter().filter(own).cloned().collect()
}

/// The finalizer alone proves nothing: whoever puts it on a pod that runs would hide the marks of an end from outside. The host puts a note
/// beside it, in one write, and changes it before it takes the finalizer off.
fn is_sealed(pod: &PodObject) -> bool {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let note = pod.annotations().get(marks::SEALED);
    has_finalizer(pod) && note.is_some_and(|note| is_given_back(note, uid) || note == uid)
}

fn gives_back(pod: &PodObject) -> bool {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    pod.annotations().get(marks::SEALED).is_some_and(|note| is_given_back(note, uid))
}

fn is_given_back(note: &str, uid: &str) -> bool {
    note.strip_prefix(marks::GIVEN_BACK) == Some(uid)
}

fn time(at: &Time) -> TimeMs {
    TimeMs(u64::try_from(at.0.as_millisecond()).unwrap_or_default())
}

fn has_finalizer(pod: &PodObject) -> bool {
    pod.finalizers().iter().any(|finalizer| finalizer == marks::SEAL)
}

/// Whether the set that owns the claim goes, or the member that owns it is gone: the garbage collector has not come yet, but will. A set that is
/// held until it is drained goes nowhere yet, and one that is deleted as an orphan leaves its claims. Of an owner of another kind nothing is known: where the set
/// goes, what owns both may have been deleted.
fn is_left_by_its_owner(meta: &ObjectMeta, set: &Set, pods: &[&PodObject]) -> bool {
    let goes = set.life != Life::Lives && !set.departs() && set.cascade != Cascade::Orphan;
    owners(meta).any(|owner| match owner.kind.as_str() {
        "StatefulSet" => owner.uid == set.uid && goes,
        "Pod" => !pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(owner.uid.as_str())),
        _ => goes,
    })
}

fn owners(meta: &ObjectMeta) -> impl Iterator<Item = &OwnerReference> {
    meta.owner_references.iter().flatten()
}

/// The UID of the controlling owner, where that is of this kind.
fn controller<'a>(meta: &'a ObjectMeta, kind: &str) -> Option<&'a str> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true))?;
    (controller.kind == kind).then_some(controller.uid.as_str())
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
