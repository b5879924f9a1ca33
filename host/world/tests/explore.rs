//! The world is searched as far as a test may, and each guard that is taken out is missed.

use tidegate_world::{
    Reduction, Rules,
    explore::{Bounds, End, Findings, Liveness, explore},
    sabotage::Sabotage,
    trace::tell,
    turns::is_surprise,
};

/// More worlds than any of these searches makes.
const WORLDS_MAX: usize = 3_000_000;
/// The longest trace that a person reads, in steps: its lines but the first, which says how it begins, and the last, which says what is wrong.
const STEPS_MAX: usize = 20;

fn search(rules: &Rules) -> Findings {
    explore(rules, Bounds { worlds_max: WORLDS_MAX, liveness: Liveness::Checked }, &|_| {})
}

/// Nothing is found, everything is searched, and a space that shrinks by mistake does not go unnoticed.
fn is_clean(rules: &Rules, worlds_min: usize) {
    let found = search(rules);
    let told = found.violation.as_ref().map(|it| tell(it, rules).join("\n")).unwrap_or_default();
    eprintln!("{rules:?}: {} worlds, depth {}", found.worlds, found.depth);
    assert_eq!(found.end, End::Whole, "{told}");
    assert!(found.worlds >= worlds_min, "only {} worlds", found.worlds);
}

#[test]
fn one_ordinal_with_any_two_surprises() {
    is_clean(&Rules { surprises: 2, ..Rules::default() }, 150_000);
}

#[test]
fn two_claims_with_any_surprise() {
    is_clean(&Rules { claims: 2, surprises: 1, ..Rules::default() }, 30_000);
}

#[test]
fn two_hosts_with_any_surprise() {
    is_clean(&Rules { hosts: 2, surprises: 1, ..Rules::default() }, 100_000);
}

#[test]
fn two_ordinals_with_any_surprise() {
    is_clean(&Rules { ordinals: 2, surprises: 1, ..Rules::default() }, 50_000);
}

#[test]
fn every_guard_that_is_taken_out_is_missed() {
    for sabotage in Sabotage::ALL {
        let rules = Rules { sabotage: Some(sabotage), ..needs(sabotage) };
        let found = search(&rules);
        let Some(violation) = &found.violation else {
            panic!("without {sabotage:?} nothing is found in {} worlds", found.worlds);
        };
        let lines = tell(violation, &rules);
        let trace = lines.join("\n");
        eprintln!("without {sabotage:?}, of {} worlds:\n{trace}\n", found.worlds);
        let steps = lines.len() - 2;
        assert!(steps <= STEPS_MAX, "{steps} steps without {sabotage:?}:\n{trace}");
    }
}

/// With what is left out and without, each guard is missed after as many surprises.
#[test]
fn what_the_search_leaves_out_hides_nothing() {
    let quick = |sabotage: &Sabotage| {
        let rules = needs(*sabotage);
        rules.hosts == 1 && rules.surprises < 2
    };
    for sabotage in Sabotage::ALL.into_iter().filter(quick) {
        let surprises = [Reduction::None, Reduction::Lazy].map(|reduction| {
            let rules = Rules { sabotage: Some(sabotage), reduction, ..needs(sabotage) };
            let violation = search(&rules).violation;
            violation.map(|it| it.turns.iter().filter(|turn| is_surprise(turn)).count())
        });
        assert_eq!(surprises[0], surprises[1], "{sabotage:?}");
        assert!(surprises[0].is_some(), "{sabotage:?}");
    }
}

/// The least world in which the guard is missed.
fn needs(sabotage: Sabotage) -> Rules {
    let (claims, hosts, surprises) = match sabotage {
        Sabotage::NoSeal | Sabotage::NoForeground => (1, 1, 0),
        Sabotage::NoSecondJudgement
        | Sabotage::NoLastCopy
        | Sabotage::NoOtherUsers
        | Sabotage::NoPause
        | Sabotage::PhaseAlone
        | Sabotage::NoEnrolment
        | Sabotage::NoTouch => (1, 1, 1),
        Sabotage::UnsealsEarly => (2, 1, 1),
        Sabotage::PodsFirst => (1, 2, 1),
        Sabotage::NoFence | Sabotage::NoGiveBack | Sabotage::ByName | Sabotage::AnyVersion => {
            (1, 1, 2)
        }
    };
    Rules { claims, hosts, surprises, ..Rules::default() }
}
