//! What admission and people make of a drain pod, so that nothing follows from it: it is left alone as nobody's, and somebody is told.

use kube::ResourceExt as _;
use tidegate_core::{Drain, Seat, View, ending::Kind};

use super::{Objects, containers_of, is_rendered};
use crate::{
    marks::{Containers, Marks},
    objects::PodObject,
};

/// What admission has made of the pod so that its end would prove nothing: the host sends no such pod.
pub(super) fn proves_nothing(pod: &PodObject, marks: &Marks) -> Option<String> {
    if pod.spec.restart_policy.as_deref() == Some("Always") {
        return Some(
            "admission has set its restartPolicy to Always, with which it never ends".to_owned(),
        );
    }
    if let Some(name) = missing(pod, marks) {
        return Some(format!(
            "admission has taken its container {name} out, or made it one of another kind, so that what it was to do stays undone"
        ));
    }
    let rendered = containers_of(pod).filter(|(container, kind, _)| {
        *kind != Kind::NativeSidecar && is_rendered(marks, *kind, &container.name)
    });
    rendered.into_iter().find_map(|(container, _, _)| {
        let deadly = [
            ("livenessProbe", &container.liveness_probe),
            ("startupProbe", &container.startup_probe),
            ("lifecycle", &container.lifecycle),
        ];
        let (field, _) = deadly.into_iter().find(|(_, value)| value.is_some())?;
        Some(format!(
            "admission has given its container {} a {field}, and what that stops looks like a success",
            container.name
        ))
    })
}

/// Why this pod may be all that holds what it was given to keep: a claim beside those of its ordinal, which it mounts, is being deleted or gone. A pod
/// without a node has put nothing there, and once claims of the ordinal go, what was proven is carried out. What the watches show tells too little: it has
/// no claims but the set's.
pub(super) fn outlives(
    pod: &PodObject,
    drain: &Drain,
    seat: &Seat,
    objects: &Objects<'_>,
    view: View,
) -> Option<String> {
    if view == View::Cached || !drain.placed || seat.has_begun_to_go(drain) {
        return None;
    }
    let stays = |name: &str| {
        let mut claims = objects.claims.iter();
        claims.any(|claim| claim.name_any() == name && claim.metadata.deletion_timestamp.is_none())
    };
    let is_own = |name: &str| seat.claims.values().any(|claim| claim.name == name);
    let lost = pod.lasting_claim_names().find(|name| !is_own(name) && !stays(name))?;
    Some(format!(
        "it mounts claim {lost}, which is deleted or gone, and may be all that holds what it took there: look after that data before anything else"
    ))
}

/// A container that the policy rendered and that the pod does not have as it was rendered.
fn missing<'a>(pod: &PodObject, marks: &'a Marks) -> Option<&'a str> {
    let Containers { main, init, sidecar } = &marks.containers;
    let rendered = [(Kind::Main, main), (Kind::Init, init), (Kind::NativeSidecar, sidecar)];
    let mut rendered =
        rendered.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
    let is_there = |(kind, name): &(Kind, &String)| {
        containers_of(pod).any(|(container, of, _)| of == *kind && container.name == **name)
    };
    rendered.find(|container| !is_there(container)).map(|(_, name)| name.as_str())
}
