//! The check stands by itself: a legal write made illegal in exactly one way is refused, whoever planned it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a helper stumbles on fails the test that calls it"
)]

mod world;

use std::collections::BTreeMap;

use tidegate_core::{
    Action, Answer, Drain, Ending, Holder, Noted, Ordinal, Outcome, Plan, PodBody, Record, Seat,
    Seen, Set, Settings, Step, View,
    action::Target,
    check::{Violation, check},
    plan::plan,
    record::Hold,
    seen::{
        Anchorage, Binding, Cascade, Claim, Deletion, Enrolment, Life, Stewardship, WhenScaled,
    },
    settings::{Activity, OnSetDeleted},
};

const TWO: Ordinal = Ordinal(2);

/// One write about ordinal 2, and all that speaks for it.
#[derive(Clone)]
struct Trial {
    seen: Seen,
    answer: Option<Answer>,
    /// What is planned before the write.
    earlier: Vec<Action>,
    action: Action,
}

type Breach = (&'static str, fn(&mut Trial));

/// What is wrong with any write.
const ANY: &[Breach] = &[
    ("decided on a cache", |t| t.seen.view = View::Cached),
    ("an ordinal that was not seen", |t| t.seen.seats.clear()),
];

/// What is wrong with a write that starts or ends something.
const SET: &[Breach] = &[
    ("the set is not ours", not_ours),
    ("an annotation cannot be read", unreadable),
    ("the set is paused", paused),
];

/// What is wrong with a write that names one pod or claim.
const TARGET: &[Breach] = &[
    ("another name", |t| t.target().name.push('x')),
    ("another object of that name", |t| t.target().uid.push('x')),
    ("another version", |t| t.target().resource_version.push('x')),
];

impl Trial {
    fn seat(&mut self) -> &mut Seat {
        self.seen.seats.entry(TWO).or_default()
    }

    fn claim(&mut self) -> &mut Claim {
        self.seat().claims.get_mut("data").unwrap()
    }

    fn drain(&mut self) -> &mut Drain {
        match &mut self.seat().holder {
            Holder::Drain(drain) => drain,
            Holder::Nobody | Holder::Member(_) | Holder::Foreign { .. } => {
                panic!("no drain pod")
            }
        }
    }

    fn target(&mut self) -> &mut Target {
        match &mut self.action {
            Action::Enrol { claim: target, anchor: _ }
            | Action::Note { claim: target, .. }
            | Action::Seal(target)
            | Action::GiveBack(target)
            | Action::Fence(target)
            | Action::Unseal { pod: target, .. }
            | Action::DeletePod(target)
            | Action::DeleteMember(target) => target,
            Action::CreatePod { .. }
            | Action::DeleteClaim(_)
            | Action::Hold(_)
            | Action::LetGo(_)
            | Action::Touch => {
                panic!("no target")
            }
        }
    }

    fn anchor(&mut self, uid: &str) {
        if let Action::Enrol { anchor, .. } = &mut self.action {
            *anchor = Some(uid.to_owned());
        }
    }

    /// Changes what the policy rendered, and with it the pod that is planned.
    fn renders(&mut self, change: impl FnOnce(&mut PodBody)) {
        if let Action::CreatePod { body } = &mut self.action {
            change(body);
            self.answer = Some(Answer::Pod(Box::new(body.clone())));
        }
    }

    fn check(&self) -> Result<(), Violation> {
        let actions = self.earlier.iter().chain([&self.action]).cloned();
        let steps = actions.map(|action| Step { action, change: None }).collect();
        let steps = BTreeMap::from([(TWO, steps)]);
        let answers = self.answer.iter().map(|answer| (TWO, answer.clone()));
        check(&self.seen, &answers.collect(), &Plan { steps, ..Plan::default() })
    }

    fn holds(&self) -> bool {
        self.check().is_ok()
    }
}

/// The trial is legal, and each breach alone makes it illegal.
fn only_as_it_is(legal: &Trial, breaches: &[&[Breach]]) {
    assert!(legal.holds(), "{:?} is refused as it is", legal.action);
    for (what, breach) in breaches.iter().copied().flatten() {
        let mut trial = legal.clone();
        breach(&mut trial);
        assert!(!trial.holds(), "{:?} passes with: {what}", legal.action);
    }
}

fn trial(holder: Holder, action: impl FnOnce(&Seat) -> Action) -> Trial {
    let claims = BTreeMap::from([("data".to_owned(), world::claim("data", TWO))]);
    let seat = Seat { claims, holder, ..Seat::default() };
    let action = action(&seat);
    let mut seen = world::seen();
    seen.seats.insert(TWO, seat);
    Trial { seen, answer: None, earlier: vec![], action }
}

fn drain_trial(drain: Drain, action: impl FnOnce(&Drain) -> Action) -> Trial {
    let action = action(&drain);
    trial(Holder::Drain(Box::new(drain)), |_| action)
}

fn ended() -> Drain {
    Drain { ending: Ending::ByItself, ..world::drain(&["data"], TWO) }
}

fn sealed() -> Drain {
    Drain { sealed: true, ..ended() }
}

fn complete() -> Answer {
    Answer::Complete("moved".to_owned())
}

#[test]
fn a_claim_is_enrolled_only_while_its_member_holds_it() {
    let member = Holder::Member(world::member(&["data"], TWO));
    let mut legal =
        trial(member, |seat| Action::Enrol { claim: (&seat.claims["data"]).into(), anchor: None });
    legal.seen.set.replicas = 3;
    legal.claim().enrolment = Enrolment::Nowhere;
    let breaches: &[Breach] = &[
        ("no member", |t| t.seat().holder = Holder::Nobody),
        ("a member that does not mount it", |t| {
            t.seat().holder = Holder::Member(world::member(&[], TWO));
        }),
        ("enrolled already", |t| {
            t.claim().enrolment = Enrolment::Here;
        }),
        ("being deleted", |t| {
            t.claim().deletion = Deletion::Background;
        }),
        ("that is not bound", |t| t.claim().binding = Binding::Pending),
        ("at an ordinal that is not wanted", |t| {
            t.seen.set.replicas = 2;
        }),
        ("at an ordinal below the start", |t| t.seen.set.start = 3),
        ("for a set that goes", |t| {
            t.seen.set.life = Life::Terminating;
        }),
        ("for a set that is not ours", not_ours),
        ("for a set with an annotation that cannot be read", unreadable),
        ("of a set that lives", |t| elsewhere(t, Some(Life::Lives))),
        ("of a set that still goes", |t| {
            elsewhere(t, Some(Life::Terminating));
        }),
        ("of a set of which nothing is known", |t| elsewhere(t, None)),
    ];
    only_as_it_is(&legal, &[ANY, TARGET, breaches]);

    anchored_where_it_must_be(&legal);
    elsewhere(&mut legal, Some(Life::Gone));
    assert!(legal.holds(), "the claim of a set that is gone");
    legal.seen.set.uid = "set-0".to_owned();
    assert!(!legal.holds(), "that set is this one");
}

/// Kubernetes would delete the claim with its member, or the set says that its claims stay.
fn anchored_where_it_must_be(loose: &Trial) {
    let deletes: fn(&mut Trial) = |t| t.seen.set.when_scaled = WhenScaled::Delete;
    let keeps: fn(&mut Trial) = |t| {
        let on_set_deleted = OnSetDeleted::Keep;
        t.seen.set.stewardship =
            Stewardship::Ours(Settings { on_set_deleted, ..world::settings() });
    };
    let breaches: &[Breach] = &[
        ("the anchor is another namespace", |t| t.anchor("ns-9")),
        ("the namespace was not read", |t| t.seen.set.namespace_uid = None),
        ("it is anchored already", |t| t.claim().anchorage = Anchorage::Anchored),
    ];
    let alone: &[Breach] = &[("without a member", |t| t.seat().holder = Holder::Nobody)];
    let sealed: &[Breach] = &[("under a seal", |t| {
        let drain = Drain { sealed: true, ..world::drain(&["data"], TWO) };
        t.seat().holder = Holder::Drain(Box::new(drain));
    })];
    for must in [deletes, keeps] {
        let mut legal = loose.clone();
        must(&mut legal);
        legal.seen.set.namespace_uid = Some("ns-1".to_owned());
        assert!(!legal.holds(), "it is not anchored");
        legal.anchor("ns-1");
        only_as_it_is(&legal, &[ANY, TARGET, breaches, alone]);
        legal.claim().enrolment = Enrolment::Here;
        only_as_it_is(&legal, &[ANY, TARGET, breaches, sealed]);
        legal.seat().holder = Holder::Nobody;
        only_as_it_is(&legal, &[ANY, TARGET, breaches, sealed]);
        legal.seen.set.start = 3;
        assert!(legal.holds(), "what was enrolled is anchored at any ordinal");
    }
    let mut needless = loose.clone();
    needless.seen.set.namespace_uid = Some("ns-1".to_owned());
    needless.anchor("ns-1");
    assert!(!needless.holds(), "Kubernetes would leave it");
}

fn elsewhere(trial: &mut Trial, lives: Option<Life>) {
    let uid = "set-0".to_owned();
    trial.claim().enrolment = Enrolment::Elsewhere { uid, lives };
}

#[test]
fn a_record_is_noted_only_for_this_set_on_this_claim() {
    let legal = trial(Holder::Nobody, |seat| Action::Note {
        claim: (&seat.claims["data"]).into(),
        record: Record::of(&world::seen().set),
    });
    let breaches: &[Breach] = &[("the record of another set", |t| {
        t.seen.set.uid = "set-2".to_owned();
    })];
    only_as_it_is(&legal, &[ANY, TARGET, NOTED, breaches]);
}

/// What is wrong with every write that follows what was noted.
const NOTED: &[Breach] = &[("what is noted cannot be read", |t| {
    t.seat().noted = Noted::Unreadable { why: String::new() }
})];

/// What is wrong with creating a drain pod: the answer, the set, and who holds the name.
const CREATE: &[Breach] = &[
    ("the set goes", |t| {
        t.seen.set.life = Life::Terminating;
    }),
    ("the set is gone", |t| t.seen.set.life = Life::Gone),
    ("nobody answered", |t| t.answer = None),
    ("the policy refuses", |t| {
        t.answer = Some(Answer::Refuse(String::new()));
    }),
    ("the policy rendered another pod", |t| {
        let rendered = t.answer.clone();
        t.renders(|body| body.manifest = "[]".to_owned());
        t.answer = rendered;
    }),
    ("none of the claims owns the pod", |t| {
        t.renders(|body| body.owner = "log".to_owned());
    }),
    ("the ordinal is wanted", |t| t.seen.set.replicas = 3),
    ("the ordinal is wanted, at the very top", |t| {
        t.seen.set.start = 1;
    }),
    ("the ordinal lies below the start", |t| {
        t.seen.set.start = 3;
    }),
    ("the member is there", |t| {
        t.seat().holder = Holder::Member(world::member(&[], TWO));
    }),
    ("a drain pod is there", |t| {
        t.seat().holder = Holder::Drain(Box::new(ended()));
    }),
];

/// What is wrong with creating a drain pod: the claims.
const CREATE_CLAIMS: &[Breach] = &[
    ("another pod uses a claim", |t| {
        t.seat().other_users.push("backup".to_owned());
    }),
    ("a claim is not enrolled", |t| {
        t.claim().enrolment = Enrolment::Nowhere;
    }),
    ("a claim is another set's", |t| {
        elsewhere(t, Some(Life::Gone));
    }),
    ("a claim is not bound", |t| {
        t.claim().binding = Binding::Pending;
    }),
    ("it is not known whether a claim is bound", |t| {
        t.claim().binding = Binding::Unknown;
    }),
    ("a claim is being deleted", |t| {
        t.claim().deletion = Deletion::Background;
    }),
    ("there is no claim", |t| {
        t.seat().claims.clear();
        t.renders(|body| body.claims.clear());
    }),
    ("the pod names another claim", |t| {
        t.claim().uid.push('x');
    }),
    ("the pod leaves a claim out", |t| {
        t.seat().claims.insert("log".to_owned(), world::claim("log", TWO));
    }),
    ("the pod names one claim by another's name", |t| {
        t.renders(|body| {
            body.claims.insert("log".to_owned(), "data-2".to_owned());
            body.claims.remove("data");
            body.owner = "log".to_owned();
        });
    }),
    ("the pod names one claim more", |t| {
        t.renders(|body| {
            body.claims.insert("log".to_owned(), "log-2".to_owned());
        });
    }),
];

#[test]
fn a_drain_pod_is_created_only_for_an_orphan_with_all_its_claims() {
    let body = PodBody {
        manifest: "{}".to_owned(),
        owner: "data".to_owned(),
        claims: world::drain(&["data"], TWO).claims,
        state: None,
        removed: vec![],
    };
    let mut legal = trial(Holder::Nobody, |_| Action::CreatePod { body: body.clone() });
    legal.answer = Some(Answer::Pod(Box::new(body)));
    only_as_it_is(&legal, &[ANY, SET, CREATE, NOTED, CREATE_CLAIMS]);
}

fn not_ours(trial: &mut Trial) {
    trial.seen.set.stewardship = Stewardship::NotOurs;
}

fn paused(trial: &mut Trial) {
    let settings = Settings { activity: Activity::Paused, ..world::settings() };
    trial.seen.set.stewardship = Stewardship::Ours(settings);
}

fn unreadable(trial: &mut Trial) {
    trial.seen.set.stewardship = Stewardship::Unreadable {
        annotation: "tidegate.dev/delay".to_owned(),
        value: "soon".to_owned(),
        mend: "write `10s`".to_owned(),
    };
}

/// What is wrong with a write that only the policy's `complete` allows.
const VERDICT: &[Breach] = &[
    ("nobody answered", |t| t.answer = None),
    ("the policy keeps", |t| {
        t.answer = Some(Answer::Keep(String::new()));
    }),
    ("the policy cancels", |t| {
        t.answer = Some(Answer::Cancel(String::new()));
    }),
    ("the policy fails", |t| {
        t.answer = Some(Answer::Fail(String::new()));
    }),
    ("the policy faults", |t| {
        t.answer = Some(Answer::Fault { what: String::new(), ask_again_at: Some(world::NOW) });
    }),
    ("the policy is being loaded", |t| {
        t.answer = Some(Answer::Loading(String::new()));
    }),
    ("the module is gone", |t| {
        t.answer = Some(Answer::ModuleGone(String::new()));
    }),
    ("the pod has not ended", |t| {
        t.drain().ending = Ending::NotEnded;
    }),
    ("the pod failed", |t| {
        t.drain().ending = Ending::Failed(String::new());
    }),
    ("the pod was cut short", |t| {
        t.drain().ending = Ending::CutShort(String::new());
    }),
];

#[test]
fn a_pod_is_sealed_only_when_it_ended_by_itself_and_is_complete() {
    let mut legal = drain_trial(ended(), |pod| Action::Seal(pod.into()));
    legal.answer = Some(complete());
    let breaches: &[Breach] = &[
        ("it is being deleted", |t| t.drain().terminating = true),
        ("it is not ours", |t| t.seat().holder = Holder::Nobody),
        ("another pod uses the claims", |t| {
            t.seat().other_users.push("backup".to_owned());
        }),
    ];
    only_as_it_is(&legal, &[ANY, SET, TARGET, VERDICT, NOTED, breaches]);
}

#[test]
fn a_claim_is_deleted_only_under_the_seal_of_its_own_drain_pod() {
    // Only a proof makes this write, so each breach changes what is seen after it was planned.
    let mut legal = drain_trial(sealed(), |_| Action::Touch);
    legal.answer = Some(complete());
    let answers = BTreeMap::from([(TWO, complete())]);
    let planned = plan(&legal.seen, &answers, world::NOW);
    legal.action = planned.actions().next().unwrap().1.clone();
    assert!(matches!(legal.action, Action::DeleteClaim(_)));
    let breaches: &[Breach] = &[
        ("the seal is off", |t| t.drain().sealed = false),
        ("the seal is given back", |t| t.drain().giving_back = true),
        ("the claims were not read before the pods", |t| t.seen.view = View::Live),
        ("the pod is another one", |t| t.drain().uid.push('x')),
        ("the pod is not there", |t| t.seat().holder = Holder::Nobody),
        ("the pod mounted another claim", |t| {
            t.drain().claims.insert("data".to_owned(), "data-9".to_owned());
        }),
        ("the claim is another one", |t| t.claim().uid.push('x')),
        ("the claim is in another version", |t| {
            t.claim().resource_version.push('x');
        }),
        ("the claim is not enrolled", |t| {
            t.claim().enrolment = Enrolment::Nowhere;
        }),
        ("the claim is another set's", |t| {
            elsewhere(t, Some(Life::Gone));
        }),
        ("another pod uses the claim", |t| {
            t.seat().other_users.push("backup".to_owned());
        }),
        ("the claim is not the owner, yet goes as one", |t| {
            t.drain().owner = "log".to_owned();
        }),
    ];
    only_as_it_is(&legal, &[ANY, SET, VERDICT, NOTED, breaches]);

    legal.drain().claims = world::drain(&["data", "log"], TWO).claims;
    for (what, breach) in SET {
        let mut begun = legal.clone();
        breach(&mut begun);
        assert!(begun.holds(), "the other claim is gone, and {what}: it can only go on");
    }
    let mut log = world::claim("log", TWO);
    legal.seat().claims.insert("log".to_owned(), log.clone());
    assert!(!legal.holds(), "the other claim is not deleted before the owner");
    let planned = plan(&legal.seen, &answers, world::NOW);
    let actions: Vec<Action> = planned.actions().map(|(_, action)| action.clone()).collect();
    let mut in_order = legal.clone();
    in_order.earlier = vec![actions[0].clone()];
    in_order.action = actions[1].clone();
    only_as_it_is(&in_order, &[SET]);
    log.deletion = Deletion::Background;
    legal.seat().claims.insert("log".to_owned(), log);
    paused(&mut legal);
    assert!(legal.holds(), "the other claim is being deleted: it can only go on");
}

#[test]
fn an_owner_is_never_deleted_as_one_of_the_others() {
    let mut trial = drain_trial(sealed(), |_| Action::Touch);
    trial.answer = Some(complete());
    trial.seat().claims.insert("log".to_owned(), world::claim("log", TWO));
    trial.drain().claims = world::drain(&["data", "log"], TWO).claims;
    let answers = BTreeMap::from([(TWO, complete())]);
    let planned = plan(&trial.seen, &answers, world::NOW);
    trial.action = planned.actions().next().unwrap().1.clone();
    let breaches: &[Breach] = &[
        ("it is the owner", |t| t.drain().owner = "log".to_owned()),
        ("the pod did not mount it", |t| {
            t.drain().claims.remove("log");
        }),
    ];
    only_as_it_is(&trial, &[ANY, breaches]);
}

#[test]
fn a_pod_is_unsealed_only_with_all_its_claims_deleted_or_none() {
    let sealed_twice = || Drain { claims: world::drain(&["data", "log"], TWO).claims, ..sealed() };
    let breaches: &[Breach] = &[
        ("it bears no seal", |t| t.drain().sealed = false),
        ("it is not ours", |t| t.seat().holder = Holder::Nobody),
    ];
    let mut kept = drain_trial(sealed_twice(), |pod| Action::Unseal {
        pod: pod.into(),
        outcome: Outcome::GivenBack,
    });
    kept.drain().giving_back = true;
    kept.seat().claims.insert("log".to_owned(), world::claim("log", TWO));
    let note = Action::Note {
        claim: (&world::claim("data", TWO)).into(),
        record: Record::of(&kept.seen.set),
    };
    kept.earlier = vec![note, Action::Fence((&world::claim("log", TWO)).into())];
    let kept_breaches: &[Breach] = &[
        ("a claim is being deleted", |t| {
            t.claim().deletion = Deletion::Background;
        }),
        ("a claim is gone", |t| {
            t.seat().claims.remove("log");
        }),
        ("the seal does not say so", |t| t.drain().giving_back = false),
        ("a DELETE of before would fit a claim", |t| {
            t.earlier.pop();
        }),
        ("a DELETE of before would fit the owner", |t| {
            t.earlier.remove(0);
        }),
        ("a DELETE of before would fit a third claim", |t| {
            let third = world::claim("spool", TWO);
            t.drain().claims.insert("spool".to_owned(), third.uid.clone());
            t.seat().claims.insert("spool".to_owned(), third);
        }),
    ];
    only_as_it_is(&kept, &[ANY, TARGET, breaches, kept_breaches]);

    let mut drained = drain_trial(sealed_twice(), |pod| Action::Unseal {
        pod: pod.into(),
        outcome: Outcome::Drained { at: world::NOW },
    });
    drained.claim().deletion = Deletion::Foreground;
    let drained_breaches: &[Breach] = &[
        ("a claim is not being deleted", |t| {
            t.claim().deletion = Deletion::None;
        }),
        ("the owner does not take the pod with it", |t| {
            t.claim().deletion = Deletion::Background;
        }),
        ("the other claim is still there", |t| {
            t.seat().claims.insert("log".to_owned(), world::claim("log", TWO));
        }),
    ];
    only_as_it_is(&drained, &[ANY, TARGET, breaches, drained_breaches]);
}

#[test]
fn a_drain_pod_is_deleted_only_where_it_does_not_hold_the_last_copy() {
    let legal = drain_trial(ended(), |pod| Action::DeletePod(pod.into()));
    let breaches: &[Breach] = &[
        ("it is sealed", |t| t.drain().sealed = true),
        ("it is not ours", |t| t.seat().holder = Holder::Nobody),
        ("a claim is being deleted", |t| {
            t.claim().deletion = Deletion::Background;
        }),
        ("a claim is being deleted in the foreground", |t| {
            t.claim().deletion = Deletion::Foreground;
        }),
    ];
    only_as_it_is(&legal, &[ANY, TARGET, breaches, &[("the set is paused", paused)]]);

    let mut drained = legal.clone();
    drained.drain().drained_at = Some(world::NOW);
    drained.claim().deletion = Deletion::Foreground;
    assert!(drained.holds(), "its claims were drained and deleted");
    paused(&mut drained);
    assert!(drained.holds(), "a pause comes too late for that");
    let mut given_back = legal;
    not_ours(&mut given_back);
    assert!(given_back.holds(), "a set that is not ours any more gets its ordinal back");
}

#[test]
fn a_set_is_touched_only_for_a_name_that_we_freed() {
    let mut legal = trial(Holder::Nobody, |_| Action::Touch);
    legal.seen.set.replicas = 3;
    legal.seat().freed_by_us = true;
    let breaches: &[Breach] = &[
        ("somebody else freed it", |t| t.seat().freed_by_us = false),
        ("the name is held", |t| {
            t.seat().holder = Holder::Member(world::member(&[], TWO));
        }),
        ("nobody waits for it", |t| t.seen.set.replicas = 2),
    ];
    only_as_it_is(&legal, &[ANY, breaches]);
}

#[test]
fn a_refusal_names_the_ordinal_the_write_and_the_rule() {
    let mut trial = trial(Holder::Nobody, |_| Action::Touch);
    trial.seen.set.replicas = 3;
    let refusal = trial.check().err().map(|violation| violation.to_string());
    let expected = "ordinal 2: touching the set would break the rule: the name was freed by us";
    assert_eq!(refusal.as_deref(), Some(expected));
}

#[test]
fn a_seal_is_put_on_again_only_where_it_cannot_be_given_back_any_more() {
    let pod = Drain { giving_back: true, terminating: true, ..sealed() };
    let mut legal = drain_trial(pod, |pod| Action::Seal(pod.into()));
    legal.claim().deletion = Deletion::Background;
    let breaches: &[Breach] = &[
        ("it bears no seal", |t| t.drain().sealed = false),
        ("its seal is not given back", |t| t.drain().giving_back = false),
        ("no claim is being deleted", |t| t.claim().deletion = Deletion::None),
    ];
    only_as_it_is(&legal, &[ANY, TARGET, breaches]);
}

#[test]
fn a_seal_is_given_back_only_before_the_first_deletion() {
    let legal = drain_trial(sealed(), |pod| Action::GiveBack(pod.into()));
    let breaches: &[Breach] = &[
        ("it bears no seal", |t| t.drain().sealed = false),
        ("it is given back already", |t| t.drain().giving_back = true),
        ("it is not ours", |t| t.seat().holder = Holder::Nobody),
        ("its claim is being deleted", |t| {
            t.claim().deletion = Deletion::Foreground;
        }),
        ("its claim is gone", |t| t.seat().claims.clear()),
    ];
    only_as_it_is(&legal, &[ANY, TARGET, breaches]);
}

/// A set that is deleted and asks to be drained first, with nothing at any ordinal but what the trial adds at this one.
fn departing(holder: Holder, action: impl FnOnce(&Seen) -> Action) -> Trial {
    let mut legal = trial(holder, |_| Action::Touch);
    legal.seen.set.life = Life::Terminating;
    legal.seen.set.held = true;
    let on_set_deleted = OnSetDeleted::Drain;
    legal.seen.set.stewardship =
        Stewardship::Ours(Settings { on_set_deleted, ..world::settings() });
    legal.action = action(&legal.seen);
    legal
}

fn asked(seen: &Seen) -> &Settings {
    match &seen.set.stewardship {
        Stewardship::Ours(settings) => settings,
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => panic!("the set asks for nothing"),
    }
}

/// What keeps a set from departing.
const DEPARTURE: &[Breach] = &[
    ("the set lives", |t| t.seen.set.life = Life::Lives),
    ("it is not held", |t| t.seen.set.held = false),
    ("in the foreground", |t| t.seen.set.cascade = Cascade::Foreground),
    ("its pods stay", |t| t.seen.set.cascade = Cascade::Orphan),
    ("it does not ask for a drain", |t| {
        t.seen.set.stewardship = Stewardship::Ours(world::settings());
    }),
    ("below its start", |t| t.seen.set.start = 3),
    ("an ordinal above is left to drain", |t| {
        let claims = BTreeMap::from([("data".to_owned(), world::claim("data", Ordinal(3)))]);
        t.seen.seats.insert(Ordinal(3), Seat { claims, ..Seat::default() });
    }),
];

#[test]
fn a_member_is_deleted_only_when_its_set_departs_and_its_turn_has_come() {
    let member = world::member(&["data"], TWO);
    let target = Target::from(&member);
    let legal = departing(Holder::Member(member), |_| Action::DeleteMember(target));
    let breaches: &[Breach] = &[
        ("it is no member", |t| t.seat().holder = Holder::Nobody),
        ("a claim was never enrolled", |t| {
            t.claim().enrolment = Enrolment::Nowhere;
        }),
        ("a claim is being deleted", |t| {
            t.claim().deletion = Deletion::Background;
        }),
        ("a claim was never bound", |t| {
            t.claim().binding = Binding::Pending;
        }),
        ("there is no claim", |t| t.seat().claims.clear()),
        ("another pod uses the claim", |t| {
            t.seat().other_users.push("backup".to_owned());
        }),
    ];
    only_as_it_is(&legal, &[ANY, SET, TARGET, DEPARTURE, NOTED, breaches]);
}

#[test]
fn a_set_is_held_where_it_asks_and_let_go_when_nothing_is_left() {
    let on_set = |seen: &Seen, action: Action| {
        let plan = Plan { on_set: Some(Step { action, change: None }), ..Plan::default() };
        check(seen, &BTreeMap::new(), &plan).is_ok()
    };
    let going = departing(Holder::Nobody, |_| Action::Touch).seen;
    let mut lives = going.clone();
    (lives.set.life, lives.set.held) = (Life::Lives, false);
    assert!(on_set(&lives, Action::Hold((&lives.set).into())));
    let held = Set { held: true, ..lives.set.clone() };
    let deleted = Set { life: Life::Terminating, ..lives.set.clone() };
    let silent = Set { stewardship: Stewardship::Ours(world::settings()), ..lives.set.clone() };
    for set in [held, deleted, silent.clone()] {
        let seen = Seen { set, ..lives.clone() };
        assert!(!on_set(&seen, Action::Hold((&seen.set).into())), "{:?}", seen.set);
    }

    let let_go = |seen: &Seen| on_set(seen, Action::LetGo((&seen.set).into()));
    assert!(!let_go(&going), "a claim is left to drain");
    let mut done = going.clone();
    done.seats.clear();
    assert!(let_go(&done), "nothing is left");
    let mut drains = done.clone();
    let drain = Holder::Drain(Box::new(world::drain(&["data"], TWO)));
    drains.seats.insert(TWO, Seat { holder: drain, ..Seat::default() });
    assert!(!let_go(&drains), "a drain pod is there");
    let hold = Some(Hold { why: String::new(), settings: asked(&going).fingerprint() });
    let mut settled = going.clone();
    let record = Record { hold, ..Record::of(&settled.set) };
    settled.seats.entry(TWO).or_default().noted = Noted::Record(record.clone());
    assert!(!let_go(&settled), "the garbage collector would take what is not anchored");
    for claim in settled.seats.values_mut().flat_map(|seat| seat.claims.values_mut()) {
        claim.anchorage = Anchorage::Anchored;
    }
    assert!(let_go(&settled), "what is left was given back for good");
    let mut late = settled.clone();
    let seat = late.seats.entry(TWO).or_default();
    seat.holder = Holder::Member(world::member(&["data"], TWO));
    seat.claims.values_mut().for_each(|claim| claim.enrolment = Enrolment::Nowhere);
    assert!(!let_go(&late), "a member holds a claim that is yet to be enrolled");
    let older = Record { generation: record.generation + 1, ..record.clone() };
    let former = Record { set_uid: "set-0".to_owned(), ..record.clone() };
    let other = Some(Hold { why: String::new(), settings: 0 });
    for record in
        [older, former, Record { hold: None, ..record.clone() }, Record { hold: other, ..record }]
    {
        settled.seats.entry(TWO).or_default().noted = Noted::Record(record);
        assert!(!let_go(&settled), "{:?}", settled.seats);
    }
    for cascade in [Cascade::Foreground, Cascade::Orphan] {
        let set = Set { cascade, ..going.set.clone() };
        assert!(let_go(&Seen { set, ..going.clone() }), "nobody stays");
    }
    let annotated = Set { held: true, ..silent };
    assert!(let_go(&Seen { set: annotated, ..going.clone() }), "no drain is asked for");
    let mut unread = Trial { seen: going, ..departing(Holder::Nobody, |_| Action::Touch) };
    unreadable(&mut unread);
    assert!(!let_go(&unread.seen), "its annotations are not understood");
    for seen in [&done, &drains] {
        let cached = Seen { view: View::Cached, ..seen.clone() };
        assert!(!let_go(&cached), "decided on a cache");
    }
    let mut other = done.clone();
    other.set.uid.push('x');
    assert!(!on_set(&other, Action::LetGo((&done.set).into())), "another set");
    assert!(!on_set(&done, Action::Touch), "a write to an ordinal");
}

#[test]
fn a_claim_is_fenced_only_under_the_seal() {
    let mut legal = drain_trial(sealed(), |_| Action::Touch);
    let claim: Target = (&*legal.claim()).into();
    legal.action = Action::Fence(claim);
    legal.drain().giving_back = true;
    only_as_it_is(
        &legal,
        &[
            &[("not given back", |it| it.drain().giving_back = false)],
            &[("sealed", |it| it.drain().sealed = false)],
            &[("version", |it| it.target().resource_version.clear())],
        ],
    );
}
