//! Every state of one ordinal with up to two claims, under every answer: what must always hold, holds in each.

mod world;

use std::collections::BTreeMap;

use tidegate_core::{
    Action, Answer, Drain, Ending, Holder, Noted, Ordinal, Outcome, Plan, PodBody, Record, Seat,
    Seen, Settings, TimeMs, View,
    check::check,
    plan::plan,
    questions,
    record::Hold,
    seen::{Anchorage, Binding, Claim, Deletion, Enrolment, Life, Stewardship, WhenScaled},
    settings::{Activity, OnSetDeleted},
};

const TWO: Ordinal = Ordinal(2);

/// How many states the spaces below make: a space that shrinks by mistake must not go unnoticed.
const STATES: u64 = 4_369_820;

#[test]
fn what_must_always_hold_holds_in_every_state() {
    let holders = holders();
    let mut states: u64 = 0;
    for (set, noted) in sets() {
        for claims in claims() {
            let answers = answers(&claims);
            for (holder, users) in &holders {
                let seat = Seat {
                    claims: claims.clone(),
                    holder: holder.clone(),
                    other_users: users.clone(),
                    noted: noted.clone(),
                    freed_by_us: true,
                    ..Seat::default()
                };
                let mut seen = set.clone();
                seen.seats.insert(TWO, seat);
                for answer in &answers {
                    states += 1;
                    holds_in(&mut seen, answer);
                }
            }
        }
    }
    eprintln!("{states} states");
    assert_eq!(states, STATES);
}

/// All views of the state: every write is decided on a live one, and the deletion of a claim on the one that was read in order.
fn holds_in(seen: &mut Seen, answers: &BTreeMap<Ordinal, Answer>) {
    seen.view = View::LiveInOrder;
    let live = plan(seen, answers, world::NOW);
    let at = || format!("\n{seen:#?}\n{answers:#?}\n{live:#?}");
    assert_eq!(check(seen, answers, &live), Ok(()), "{}", at());
    assert_eq!(live, plan(seen, answers, world::NOW), "{}", at());
    for (_, action) in live.actions() {
        assert!(no_data_is_lost(seen, answers, action), "{}", at());
    }
    let asked = answers.is_empty() || !questions(seen, world::NOW).is_empty();
    if asked && is_at_rest(seen) {
        for (_, action) in live.actions() {
            assert!(only_goes_on(seen, action), "{}", at());
        }
    }
    assert!(says_why(seen, &live), "says nothing{}", at());
    assert!(none_is_exposed_in_silence(seen, &live), "{}", at());
    let deletes = |(_, action): (Ordinal, &Action)| matches!(action, Action::DeleteClaim(_));
    seen.view = View::Live;
    let at_once = plan(seen, answers, world::NOW);
    assert_eq!(check(seen, answers, &at_once), Ok(()), "{seen:#?}");
    assert!(!at_once.actions().any(deletes), "{seen:#?}");
    assert!(at_once == live || at_once.look_closer, "nobody would look closer at {seen:#?}");
    seen.view = View::Cached;
    let cached = plan(seen, answers, world::NOW);
    assert!(!cached.actions().any(deletes), "{seen:#?}");
    if live.on_set.is_none() && live.steps.is_empty() {
        assert!(live.is_idle(), "there is no closer look than a live one: {seen:#?}");
    } else {
        assert!(!cached.is_idle(), "nobody would look closer at {seen:#?}");
    }
}

/// I1 and I3 once more, in the fewest words.
fn no_data_is_lost(seen: &Seen, answers: &BTreeMap<Ordinal, Answer>, action: &Action) -> bool {
    let seat = &seen.seats[&TWO];
    let complete = matches!(answers.get(&TWO), Some(Answer::Complete(_)));
    let pod = seat.drain();
    let proven = pod.is_some_and(|pod| pod.ending == Ending::ByItself) && complete;
    let sealed = pod.is_some_and(|pod| pod.sealed);
    match action {
        Action::DeleteClaim(condemned) => seat.claims.values().any(|claim| {
            claim.uid == condemned.uid()
                && claim.enrolment == Enrolment::Here
                && proven
                && sealed
                && seat.other_users.is_empty()
        }),
        Action::Seal(_) => (proven && !sealed) || is_sealed_again(seat),
        Action::DeletePod(_) => {
            let held = seat.claims.values().any(Claim::is_terminating);
            let drained = pod.is_some_and(|pod| pod.drained_at.is_some());
            !sealed && (!held || drained)
        }
        Action::Unseal { .. } | Action::Fence(_) | Action::GiveBack(_) => sealed,
        Action::CreatePod { .. } => pod.is_none() && !seen.set.wants(TWO),
        Action::DeleteMember(_) => !seen.set.wants(TWO),
        Action::Hold(_) | Action::LetGo(_) => false,
        Action::Enrol { .. } | Action::Note { .. } | Action::Touch => true,
    }
}

/// A seal that was to be given back when a claim began to go cannot be.
fn is_sealed_again(seat: &Seat) -> bool {
    seat.drain().is_some_and(|pod| pod.sealed && pod.giving_back && seat.has_begun_to_go(pod))
}

/// Paused, or with an annotation that cannot be read.
fn is_at_rest(seen: &Seen) -> bool {
    match &seen.set.stewardship {
        Stewardship::Ours(settings) => settings.activity == Activity::Paused,
        Stewardship::Unreadable { .. } => true,
        Stewardship::NotOurs => false,
    }
}

/// A set at rest starts nothing and deletes nothing, except that a deletion which has begun is finished.
fn only_goes_on(seen: &Seen, action: &Action) -> bool {
    let seat = &seen.seats[&TWO];
    let pod = seat.drain();
    let begun = pod.is_some_and(|pod| {
        pod.claims.values().any(|uid| seat.claim_of(uid).is_none_or(Claim::is_terminating))
    });
    match action {
        Action::CreatePod { .. } | Action::DeleteMember(_) | Action::Hold(_) | Action::LetGo(_) => {
            false
        }
        Action::Seal(_) => is_sealed_again(&seen.seats[&TWO]),
        Action::DeleteClaim(_) => begun,
        Action::DeletePod(_) => pod.is_some_and(|pod| pod.drained_at.is_some()),
        Action::Unseal { outcome: Outcome::GivenBack, .. }
        | Action::GiveBack(_)
        | Action::Fence(_)
        | Action::Enrol { .. } => {
            matches!(seen.set.stewardship, Stewardship::Ours(_))
        }
        Action::Unseal { outcome: Outcome::Drained { .. }, .. } => begun,
        Action::Note { .. } | Action::Touch => true,
    }
}

/// A claim that holds data and that Kubernetes would delete with its member is anchored, or a person is told.
fn none_is_exposed_in_silence(seen: &Seen, plan: &Plan) -> bool {
    let seat = &seen.seats[&TWO];
    let held = match &seat.holder {
        Holder::Nobody | Holder::Member(_) => seen.set.wants(TWO) && seen.set.anchors(),
        Holder::Drain(_) | Holder::Foreign { .. } => false,
    };
    let anchored = |uid: &str| {
        plan.actions().any(|(_, action)| {
            matches!(action, Action::Enrol { claim, anchor: Some(_) } if claim.uid == uid)
        })
    };
    let mut exposed = seat.claims.values().filter(|claim| {
        claim.anchorage == Anchorage::Loose
            && claim.binding == Binding::Bound
            && claim.deletion == Deletion::None
            && !anchored(&claim.uid)
    });
    !held || exposed.next().is_none() || !plan.reports.is_empty()
}

/// I7: a drain pod of a set of ours is never left alone without a word.
fn says_why(seen: &Seen, plan: &Plan) -> bool {
    let silent = plan.is_idle() && plan.reports.is_empty() && plan.wake_at.is_none();
    let pod = seen.seats[&TWO].drain();
    !silent || pod.is_none_or(|pod| pod.drained_at.is_some() && pod.terminating)
}

/// Wanted, above the live range, below it, and above it on a set that goes; ours, paused, not ours and unreadable; with nothing noted, what
/// cannot be read, a back-off that has passed, and a hold. Wanted by a set whose claims must be anchored, with its namespace read and not;
/// of a set that asks to be drained when it is deleted, held and not, with nothing noted and with a hold.
fn sets() -> Vec<(Seen, Noted)> {
    let paused = Settings { activity: Activity::Paused, ..world::settings() };
    let unreadable = Stewardship::Unreadable {
        annotation: "tidegate.dev/delay".to_owned(),
        value: "soon".to_owned(),
        mend: "write `10s`".to_owned(),
    };
    let mut sets = Vec::new();
    for (start, replicas, life) in
        [(0, 3, Life::Lives), (0, 2, Life::Lives), (3, 2, Life::Lives), (0, 2, Life::Terminating)]
    {
        for stewardship in [
            Stewardship::Ours(world::settings()),
            Stewardship::Ours(paused.clone()),
            Stewardship::NotOurs,
            unreadable.clone(),
        ] {
            let mut seen = world::seen();
            (seen.set.start, seen.set.replicas) = (start, replicas);
            (seen.set.life, seen.set.stewardship) = (life, stewardship);
            for noted in notes(&seen) {
                sets.push((seen.clone(), noted));
            }
        }
    }
    for held in [false, true] {
        let mut departs = world::seen();
        (departs.set.life, departs.set.held) = (Life::Terminating, held);
        departs.set.namespace_uid = Some("ns-1".to_owned());
        let on_set_deleted = OnSetDeleted::Drain;
        let settings = Settings { on_set_deleted, ..world::settings() };
        let hold = Hold { why: "wanted".to_owned(), settings: settings.fingerprint() };
        departs.set.stewardship = Stewardship::Ours(settings);
        let record = Record { hold: Some(hold), ..Record::of(&departs.set) };
        sets.push((departs.clone(), Noted::Nothing));
        sets.push((departs, Noted::Record(record)));
    }
    for namespace_uid in [None, Some("ns-1".to_owned())] {
        let mut anchors = world::seen();
        (anchors.set.replicas, anchors.set.when_scaled) = (3, WhenScaled::Delete);
        anchors.set.namespace_uid = namespace_uid;
        sets.push((anchors, Noted::Nothing));
    }
    sets
}

fn notes(seen: &Seen) -> [Noted; 4] {
    let passed = Record { attempt: 2, not_before: Some(TimeMs(1)), ..Record::of(&seen.set) };
    let hold = Hold { why: "wanted".to_owned(), settings: world::settings().fingerprint() };
    let held = Record { hold: Some(hold), ..Record::of(&seen.set) };
    let unreadable = Noted::Unreadable { why: "version 2 is not known".to_owned() };
    [Noted::Nothing, Noted::Record(passed), Noted::Record(held), unreadable]
}

/// One template or two; each claim missing, fit, in every state of deletion, or unfit in one way.
fn claims() -> Vec<BTreeMap<String, Claim>> {
    let one = |template: &str| {
        let fit = world::claim(template, TWO);
        let deleted = [Deletion::Background, Deletion::Foreground]
            .map(|deletion| Claim { deletion, ..fit.clone() });
        let [background, foreground] = deleted;
        let stray = Claim { enrolment: Enrolment::Nowhere, ..fit.clone() };
        let unbound = Claim { binding: Binding::Pending, ..fit.clone() };
        let anchored = Claim { anchorage: Anchorage::Anchored, ..fit.clone() };
        let all = [fit, background, foreground, stray, unbound, anchored];
        std::iter::once(None).chain(all.map(Some))
    };
    let mut all = Vec::new();
    for data in one("data") {
        for log in one("log") {
            let data = data.clone().map(|claim| ("data".to_owned(), claim));
            let log = log.map(|claim| ("log".to_owned(), claim));
            all.push(data.into_iter().chain(log).collect());
        }
    }
    all
}

/// Everybody who may hold the name, beside nobody else and beside another pod that uses the claims.
fn holders() -> Vec<(Holder, Vec<String>)> {
    let mut holders = vec![
        Holder::Nobody,
        Holder::Member(world::member(&["data"], TWO)),
        Holder::Foreign { why: "no marks".to_owned() },
    ];
    let endings = [Ending::NotEnded, Ending::ByItself, Ending::CutShort("Evicted".to_owned())];
    for templates in [&["data"][..], &["data", "log"]] {
        let waiting = Drain { placed: false, ..world::drain(templates, TWO) };
        holders.push(Holder::Drain(Box::new(waiting)));
        for (sealed, terminating) in [(false, false), (false, true), (true, false), (true, true)] {
            for ending in &endings {
                let pod = Drain {
                    sealed,
                    terminating,
                    ending: ending.clone(),
                    ..world::drain(templates, TWO)
                };
                holders.push(Holder::Drain(Box::new(pod)));
            }
            if sealed {
                let ending = Ending::ByItself;
                let pod = world::drain(templates, TWO);
                let giving_back = Drain { sealed, giving_back: true, terminating, ending, ..pod };
                holders.push(Holder::Drain(Box::new(giving_back)));
            }
            for drained_at in [TimeMs(1), world::NOW] {
                let pod = Drain {
                    sealed,
                    terminating,
                    ending: Ending::ByItself,
                    drained_at: Some(drained_at),
                    ..world::drain(templates, TWO)
                };
                holders.push(Holder::Drain(Box::new(pod)));
            }
        }
    }
    let used = holders.clone().into_iter();
    let used = used.map(|holder| (holder, vec!["backup".to_owned()]));
    let alone = holders.into_iter().map(|holder| (holder, vec![]));
    alone.chain(used).collect()
}

/// Every answer, and none. Those that the host would not even ask for must be harmless too.
fn answers(claims: &BTreeMap<String, Claim>) -> Vec<BTreeMap<Ordinal, Answer>> {
    let text = || "why".to_owned();
    let pod = PodBody {
        manifest: "{}".to_owned(),
        owner: "data".to_owned(),
        claims: claims
            .iter()
            .map(|(template, claim)| (template.clone(), claim.uid.clone()))
            .collect(),
        state: Some(text()),
        removed: vec![],
    };
    let wait =
        Answer::Wait { reason: text(), percent: None, ask_again_at: None, state: Some(text()) };
    let retry = Answer::Retry { reason: text(), after_ms: 0, state: text() };
    let fault = Answer::Fault { what: text(), ask_again_at: Some(world::NOW) };
    let rejected = Answer::Rejected { field: text(), mend: text() };
    let all = [
        wait,
        retry,
        fault,
        rejected,
        Answer::Keep(text()),
        Answer::Refuse(text()),
        Answer::Complete(text()),
        Answer::Cancel(text()),
        Answer::Fail(text()),
        Answer::Loading(text()),
        Answer::ModuleGone(text()),
    ];
    let mut answers: Vec<_> = all.map(|answer| BTreeMap::from([(TWO, answer)])).into();
    answers.push(BTreeMap::new());
    answers.push(BTreeMap::from([(TWO, Answer::Pod(Box::new(pod)))]));
    answers
}
