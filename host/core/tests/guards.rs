//! Guards that no plan reaches, because another stands before them: each holds by itself too.

mod world;

use std::collections::BTreeMap;

use tidegate_core::{
    Action, Answer, Drain, Ending, Holder, Ordinal, Plan, PodBody, Reason, Record, Report, Seat,
    Seen, Set, Settings, Step, View,
    check::check,
    plan::plan,
    proof::Proof,
    safety,
    seen::{Deletion, Life, Stewardship},
    settings::OnSetDeleted,
};

const TWO: Ordinal = Ordinal(2);

fn sealed() -> (Seen, Seat, Drain) {
    let drain = Drain { sealed: true, ending: Ending::ByItself, ..world::drain(&["data"], TWO) };
    let seat = Seat {
        claims: BTreeMap::from([("data".to_owned(), world::claim("data", TWO))]),
        holder: Holder::Drain(Box::new(drain.clone())),
        ..Seat::default()
    };
    (world::seen(), seat, drain)
}

fn complete() -> Answer {
    Answer::Complete("moved".to_owned())
}

#[test]
fn there_is_a_proof_and_it_tells_the_policys_reason() {
    let (seen, seat, drain) = sealed();
    let proof = Proof::of(&seen, &seat, &drain, &complete());
    assert!(proof.is_ok_and(|proof| proof.reason() == "moved"));
}

#[test]
fn there_is_no_proof_from_a_cache_nor_from_a_reading_out_of_order() {
    for view in [View::Cached, View::Live] {
        let (mut seen, seat, drain) = sealed();
        seen.view = view;
        let proof = Proof::of(&seen, &seat, &drain, &complete());
        assert!(matches!(proof, Err(Reason::Unknown { .. })));
        seen.seats.insert(TWO, seat);
        let plan = plan(&seen, &BTreeMap::from([(TWO, complete())]), world::NOW);
        assert!(plan.steps.is_empty() && plan.look_closer, "{plan:?}");
    }
}

#[test]
fn there_is_no_proof_under_a_seal_that_is_given_back() {
    let (mut seen, mut seat, mut drain) = sealed();
    drain.giving_back = true;
    for deletion in [Deletion::None, Deletion::Background] {
        seat.claims.get_mut("data").unwrap().deletion = deletion;
        let proof = Proof::of(&seen, &seat, &drain, &complete());
        assert!(matches!(proof, Err(Reason::Unknown { .. })));
    }
    seat.holder = Holder::Drain(Box::new(drain));
    seen.seats.insert(TWO, seat);
    let plan = plan(&seen, &BTreeMap::new(), world::NOW);
    let actions: Vec<&Action> = plan.actions().map(|(_, action)| action).collect();
    assert!(matches!(actions[..], [Action::Seal(_)]), "{plan:?}");
}

#[test]
fn there_is_no_proof_without_the_seal() {
    let (seen, seat, drain) = sealed();
    let unsealed = Drain { sealed: false, ..drain };
    let proof = Proof::of(&seen, &seat, &unsealed, &complete());
    assert!(matches!(proof, Err(Reason::Unknown { .. })));
}

#[test]
fn there_is_no_proof_without_the_verdict() {
    let (seen, seat, drain) = sealed();
    let proof = Proof::of(&seen, &seat, &drain, &Answer::Keep(String::new()));
    assert!(matches!(proof, Err(Reason::Unknown { .. })));
}

#[test]
fn a_sealed_pod_is_not_deleted() {
    let (_, seat, drain) = sealed();
    assert!(safety::no_pod_delete(&seat, &drain).is_some());
    let unsealed = Drain { sealed: false, ..drain };
    assert_eq!(safety::no_pod_delete(&seat, &unsealed), None);
}

/// `whenDeleted: Delete`: the set is gone, and the collector has not come yet.
#[test]
fn a_drain_pod_is_kept_while_its_claim_is_about_to_go_with_the_set() {
    let (mut seen, mut seat, drain) = sealed();
    let drain = Drain { sealed: false, ending: Ending::NotEnded, ..drain };
    seat.claims.values_mut().for_each(|claim| claim.deletion = Deletion::Impending);
    seat.holder = Holder::Drain(Box::new(drain));
    seen.seats.insert(TWO, seat);
    for life in [Life::Terminating, Life::Gone] {
        seen.set.life = life;
        seen.set.stewardship = Stewardship::NotOurs;
        let plan = plan(&seen, &BTreeMap::new(), world::NOW);
        assert!(plan.steps.is_empty(), "{plan:?}");
        assert!(matches!(plan.reports[0].reason, Reason::PodHoldsData { .. }));
    }
}

/// A claim that is about to go is not deleted yet: the seal stays.
#[test]
fn a_seal_is_not_taken_off_for_a_claim_that_is_only_about_to_go() {
    let (mut seen, mut seat, _) = sealed();
    seat.claims.values_mut().for_each(|claim| claim.deletion = Deletion::Impending);
    seen.seats.insert(TWO, seat);
    seen.set.life = Life::Gone;
    seen.set.stewardship = Stewardship::NotOurs;
    let complete = BTreeMap::from([(TWO, complete())]);
    let plan = plan(&seen, &complete, world::NOW);
    let actions: Vec<&Action> = plan.actions().map(|(_, action)| action).collect();
    assert!(matches!(actions[..], [Action::DeleteClaim(_)]), "{plan:?}");
    assert_eq!(check(&seen, &complete, &plan), Ok(()));
}

#[test]
fn a_passage_begins_with_its_first_attempt_under_the_members_name() {
    let (seen, ..) = sealed();
    let record = Record::of(&seen.set);
    assert_eq!(record.attempt, 1);
    assert!(record.is_of(&seen.set));
    assert_eq!(seen.set.member(TWO), "web-2");
}

#[test]
fn in_a_set_that_departs_the_members_below_stay_until_their_turn() {
    let mut set = world::seen().set;
    let stays = |set: &Set| [0, 1, 2, 3].map(|other| set.keeps_beside(TWO, Ordinal(other)));
    assert_eq!(stays(&set), [true, true, false, false]);
    set.life = Life::Terminating;
    assert_eq!(stays(&set), [false; 4]);
    set.held = true;
    let on_set_deleted = OnSetDeleted::Drain;
    set.stewardship = Stewardship::Ours(Settings { on_set_deleted, ..world::settings() });
    assert_eq!(stays(&set), [true, true, false, false]);
    (set.start, set.replicas) = (1, 4);
    assert_eq!(stays(&set), [false, true, false, false]);
}

/// A plan that is not idle costs a live read, and one that is idle leaves everything undone.
#[test]
fn a_plan_is_idle_where_it_writes_nothing_and_needs_no_closer_look() {
    let step = || Step { action: Action::Touch, change: None };
    assert!(Plan::default().is_idle());
    let reason = Reason::MemberThere;
    let reports = vec![Report { ordinal: Some(TWO), reason }];
    assert!(Plan { reports, wake_at: Some(world::NOW), ..Plan::default() }.is_idle());
    for busy in [
        Plan { on_set: Some(step()), ..Plan::default() },
        Plan { steps: BTreeMap::from([(TWO, vec![step()])]), ..Plan::default() },
        Plan { look_closer: true, ..Plan::default() },
    ] {
        assert!(!busy.is_idle(), "{busy:?}");
    }
}

/// Nobody is asked to render where there is no room; an answer that comes all the same is not acted on.
#[test]
fn no_more_drain_pods_are_created_than_the_set_allows() {
    let (mut seen, seat, drain) = sealed();
    let orphan = Seat { holder: Holder::Nobody, ..seat.clone() };
    seen.set.stewardship = Stewardship::Ours(Settings { max_parallel: 1, ..world::settings() });
    let body = PodBody {
        manifest: "{}".to_owned(),
        owner: "data".to_owned(),
        claims: drain.claims,
        state: None,
        removed: vec![],
    };
    let answers = BTreeMap::from([(TWO, Answer::Pod(Box::new(body)))]);
    seen.seats.insert(TWO, orphan);
    assert_eq!(plan(&seen, &answers, world::NOW).steps.len(), 1);
    seen.seats.insert(Ordinal(3), seat);
    let plan = plan(&seen, &answers, world::NOW);
    assert_eq!(plan.actions().count(), 0, "{plan:?}");
    assert!(plan.reports.iter().any(|report| report.reason == Reason::Queued), "{plan:?}");
}
