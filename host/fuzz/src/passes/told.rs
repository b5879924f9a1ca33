//! What is told of what does not go on, and what policies and operators are told of what is seen.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use tidegate::{
    act,
    host::Sight,
    observe::marks_of,
    operator::{scene::Scene as Namespace, status::status},
    policy::translate,
};
use tidegate_core::{
    Plan, Reason, Seat, Seen, name,
    seen::{Enrolment, Holder, Stewardship},
};

use super::scene::Scene;

/// An orphan of ours that is enrolled, with nothing to write, has a reason, a time to look again, or a closer look.
pub(super) fn of_what_waits(seen: &Seen, plan: &Plan) {
    let of = act::Of {
        namespace: &seen.set.namespace,
        set: &seen.set.name,
        set_uid: &seen.set.uid,
        stamp: "1",
    };
    for (_, action) in plan.actions() {
        assert!(!act::words(of, action).is_empty());
    }
    for report in &plan.reports {
        is_said(&report.reason);
    }
    if plan.look_closer || !matches!(seen.set.stewardship, Stewardship::Ours(_)) {
        return;
    }
    for (ordinal, seat) in &seen.seats {
        let told = plan.reports.iter().any(|report| report.ordinal == Some(*ordinal));
        let goes_on = plan.steps.contains_key(ordinal) || plan.wake_at.is_some();
        let waits = is_left_behind(seat) && !seen.set.wants(*ordinal);
        assert!(
            told || goes_on || !waits,
            "ordinal {ordinal} waits and nobody says why: {plan:#?}\n{seat:#?}"
        );
    }
}

fn is_left_behind(seat: &Seat) -> bool {
    let data = |seat: &Seat| {
        seat.claims.values().any(|it| it.enrolment == Enrolment::Here && !it.is_terminating())
    };
    match &seat.holder {
        Holder::Drain(_) | Holder::Foreign { .. } => true,
        Holder::Nobody => data(seat),
        // Its own events tell of a member that goes.
        Holder::Member(_) => false,
    }
}

fn is_said(reason: &Reason) {
    assert!(!reason.to_string().is_empty() && !reason.code().is_empty());
}

/// The status of the same objects: every row has a reason in words.
pub(super) fn by_status(scene: &Scene) {
    let (claims, pods) = (scene.claim_objects(), scene.pod_objects());
    let sets: Vec<_> = scene.living().into_iter().collect();
    let namespace = Namespace::of("shop", sets, claims, pods, scene.now);
    if let Ok((_, rows)) = status(&namespace, None) {
        assert!(rows.iter().all(|row| !row.words.is_empty() && !row.code.is_empty()));
    }
    for (object, is_gone) in scene.subjects() {
        if let Some(seen) = scene.seen(&object, is_gone, tidegate_core::View::Live) {
            to_the_policy(scene, seen);
        }
    }
}

/// What a policy is told of each ordinal: never that it is its own peer, never of a peer that stays and is to be drained first.
fn to_the_policy(scene: &Scene, seen: Seen) {
    let ordinal = |name: &str| name::parse_member(name, &seen.set.name);
    let pods = scene.pod_objects().into_iter();
    let pods: BTreeMap<_, _> =
        pods.filter_map(|pod| Some((ordinal(&pod.name_any())?, pod))).collect();
    let claims = scene.claim_objects().into_iter().map(|claim| (claim.name_any(), claim)).collect();
    let sight = Sight { set_json: scene.set.clone(), service: None, claims, pods, seen };
    for (ordinal, seat) in &sight.seen.seats {
        let situation = translate::situation(&sight, *ordinal, scene.now, "", 1, "");
        assert!(situation.peers.iter().all(|peer| peer.ordinal != ordinal.0));
        assert_eq!(situation.claims.len(), seat.claims.len());
        let (Some(pod), Some(drain)) = (sight.pods.get(ordinal), seat.drain()) else {
            continue;
        };
        let marks = marks_of(pod).expect("a drain pod of ours has marks");
        let outlook = translate::Outlook {
            wanted: sight.seen.set.wants(*ordinal),
            can_cancel: !seat.has_begun_to_go(drain),
        };
        let told = translate::drain_pod(pod, &marks, drain, outlook);
        let specs = pod.spec.containers.len() + pod.spec.init_containers.len();
        assert_eq!(told.containers.len(), specs);
    }
}
