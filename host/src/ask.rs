//! Asks the policies, and turns what they say into answers that the core decides on. Whatever goes wrong on the way is an answer too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tidegate_core::{
    Answer, Ordinal, Question, Seat, Seen, Settings, TimeMs,
    seen::{Holder, Stewardship},
    settings,
};

use crate::{
    drain_pod::{Ask, Maker, asks, asks_of_metadata, parse_grants},
    host::{Host, Sight},
    marks::{Containers, Marks},
    modules::{Found, Unavailable},
    observe::marks_of,
    policy::{Fault, Log, Module, Pinning, PolicyRef, translate, wit},
};

/// What is answered where nobody was asked.
pub const NO_ANSWERS: BTreeMap<Ordinal, Answer> = BTreeMap::new();

/// Asks every question, one after the other: the calls take microseconds, and their number is bounded by the ordinals of one set.
pub async fn ask(
    host: &Host,
    sight: &Sight,
    questions: &[Question],
    now: TimeMs,
) -> BTreeMap<Ordinal, Answer> {
    let mut answers = BTreeMap::new();
    for question in questions {
        let ordinal = question.ordinal();
        let Some(seat) = sight.seen.seats.get(&ordinal) else {
            continue;
        };
        let asked = Asked { host, sight, ordinal, seat, now };
        let answer = match question {
            Question::Render(_) => asked.render().await,
            Question::Judge(_) => asked.judge().await,
        };
        if !matches!(answer, Answer::Fault { .. } | Answer::Loading(_)) {
            host.memory.answered(&sight.seen.set.uid, ordinal);
        }
        answers.insert(ordinal, answer);
    }
    answers
}

/// Whether every policy that would be asked is still being fetched, so that a reading would serve nothing. The set is looked at again when one of them is there.
pub fn awaits_policies(
    host: &Host,
    seen: &Seen,
    drains: &[(String, Marks)],
    questions: &[Question],
) -> bool {
    let is_loading = |why: Unavailable| matches!(why, Unavailable::Loading(_));
    all_wait(questions.iter().map(|question| match (question, &seen.set.stewardship) {
        (Question::Render(_), Stewardship::Ours(settings)) => {
            host.modules.in_use(&seen.set, settings).err().is_some_and(is_loading)
        }
        (Question::Render(_), Stewardship::NotOurs | Stewardship::Unreadable { .. }) => false,
        (Question::Judge(ordinal), _) => {
            let name = seen.set.member(*ordinal);
            let drain = drains.iter().find(|(pod, _)| *pod == name);
            drain.is_some_and(|(pod, marks)| {
                host.modules.of_drain(&seen.set, pod, marks).err().is_some_and(is_loading)
            })
        }
    }))
}

/// A policy that loads holds up what waits for it, and not what another one can answer.
fn all_wait(mut are_loading: impl ExactSizeIterator<Item = bool>) -> bool {
    are_loading.len() > 0 && are_loading.all(|is_loading| is_loading)
}

struct Asked<'a> {
    host: &'a Host,
    sight: &'a Sight,
    ordinal: Ordinal,
    seat: &'a Seat,
    now: TimeMs,
}

impl Asked<'_> {
    async fn render(&self) -> Answer {
        let set = &self.sight.seen.set;
        let Stewardship::Ours(settings) = &set.stewardship else {
            return self.fault("the set names no policy".to_owned());
        };
        let found = match self.host.modules.in_use(set, settings) {
            Ok(found) => found,
            Err(Unavailable::Gone(what) | Unavailable::Fault(what)) => return unavailable(what),
            Err(Unavailable::Refused(why)) => return Answer::Refuse(why),
            Err(Unavailable::Loading(what)) => return Answer::Loading(what),
        };
        let module = &found.module;
        let attempt = self.seat.next_attempt(set);
        let state =
            self.seat.record_of(set).map(|record| record.state.as_str()).unwrap_or_default();
        let situation = translate::situation(
            self.sight,
            self.ordinal,
            self.now,
            &settings.config,
            attempt,
            state,
        );
        let called = module.render(situation).await;
        self.log(module, &called.log);
        match called.answer {
            Ok(rendering) => self.rendered(rendering, settings, &found, attempt),
            Err(fault) => self.policy_fault(module, &fault),
        }
    }

    fn rendered(
        &self,
        rendering: wit::Rendering,
        settings: &Settings,
        found: &Found,
        attempt: u32,
    ) -> Answer {
        match rendering {
            wit::Rendering::Pod(pod) => self.make(pod, settings, found, attempt),
            wit::Rendering::Wait(wit::RenderWait { reason, ask_again }) => Answer::Wait {
                reason,
                percent: None,
                ask_again_at: ask_again.map(|delay| self.now.after_ms(translate::held(delay))),
                state: None,
            },
            wit::Rendering::Keep(reason) => self.kept(settings, reason),
            wit::Rendering::Refuse(reason) => Answer::Refuse(reason),
        }
    }

    /// A reference without a digest names whatever its ConfigMap holds, so that the same settings may mean another policy: such a one is asked each time.
    fn kept(&self, settings: &Settings, reason: String) -> Answer {
        if PolicyRef::parse(&settings.policy, Pinning::Required).is_ok() {
            self.host.memory.keeps(&self.sight.seen.set, self.ordinal, settings, &reason);
        }
        Answer::Keep(reason)
    }

    fn make(&self, pod: wit::Pod, settings: &Settings, found: &Found, attempt: u32) -> Answer {
        let set = &self.sight.seen.set;
        let claims: BTreeMap<String, String> = self
            .seat
            .claims
            .iter()
            .map(|(name, claim)| (name.clone(), claim.uid.clone()))
            .collect();
        let owner = set.templates.first().cloned().unwrap_or_default();
        let allowed = self.allowed(settings);
        let maker = Maker {
            namespace: &set.namespace,
            name: &set.member(self.ordinal),
            service: self.sight.service.as_deref(),
            claims: &self.seat.claims,
            traffic: translate::traffic(pod.traffic),
            discard: &pod.discard,
            allowed: &allowed,
            state: pod.state,
            marks: Marks {
                version: Marks::VERSION,
                set: set.name.clone(),
                set_uid: set.uid.clone(),
                generation: set.generation,
                ordinal: self.ordinal.0,
                attempt,
                policy_namespace: found.namespace.clone(),
                policy: found.reference.clone(),
                digest: found.module.digest().to_string(),
                config: settings.config.clone(),
                containers: Containers::default(),
                claims,
                owner,
                orphan_since_ms: self.seat.orphan_since.unwrap_or(self.now).0,
            },
        };
        match maker.make(&pod.template) {
            Ok(body) => {
                self.host.modules.rendered(set, &set.member(self.ordinal), &found.module);
                Answer::Pod(Box::new(body))
            }
            Err(rejection) => Answer::Rejected { field: rejection.field, mend: rejection.mend },
        }
    }

    /// What the set's own template asks for, what a template that stands on the set itself asks for, and what was granted: nothing where that cannot be
    /// understood, with which the set is not ours.
    fn allowed(&self, settings: &Settings) -> BTreeSet<Ask> {
        let set = &self.sight.set_json;
        let annotations = set.pointer("/metadata/annotations");
        let on_the_set = settings::PREDECESSOR
            .iter()
            .filter_map(|key| annotations?.get(key)?.as_str())
            .filter_map(|text| serde_json::from_str::<Value>(text).ok());
        let own = set.pointer("/spec/template").cloned();
        let granted = parse_grants(&settings.grant).unwrap_or_default();
        let mut allowed: BTreeSet<Ask> = granted.into_iter().collect();
        for template in own.into_iter().chain(on_the_set) {
            allowed.extend(asks_of_template(&template));
        }
        allowed
    }

    async fn judge(&self) -> Answer {
        let set = &self.sight.seen.set;
        let (Holder::Drain(drain), Some(pod)) =
            (&self.seat.holder, self.sight.pods.get(&self.ordinal))
        else {
            return self.fault("the drain pod was not read".to_owned());
        };
        let marks = match marks_of(pod) {
            Ok(marks) => marks,
            Err(why) => return self.fault(why),
        };
        let module = match self.host.modules.of_drain(set, &set.member(self.ordinal), &marks) {
            Ok(module) => module,
            Err(Unavailable::Gone(what)) => return Answer::ModuleGone(what),
            Err(Unavailable::Fault(what) | Unavailable::Refused(what)) => return unavailable(what),
            Err(Unavailable::Loading(what)) => return Answer::Loading(what),
        };
        let state = self.seat.record_of_drain(drain, &set.uid);
        let state = state.map(|record| record.state.as_str()).unwrap_or_default();
        let mut situation = translate::situation(
            self.sight,
            self.ordinal,
            self.now,
            &marks.config,
            marks.attempt,
            state,
        );
        situation.orphan_since = marks.orphan_since_ms;
        let drain_pod = translate::drain_pod(
            pod,
            &marks,
            drain,
            translate::Outlook {
                wanted: set.wants(self.ordinal),
                can_cancel: !self.seat.has_begun_to_go(drain),
            },
        );
        let called = module.judge(situation, drain_pod).await;
        self.log(&module, &called.log);
        match called.answer {
            Ok(verdict) => self.verdict(verdict, state),
            Err(fault) => self.policy_fault(&module, &fault),
        }
    }

    fn verdict(&self, verdict: wit::Verdict, state_before: &str) -> Answer {
        match verdict {
            wit::Verdict::Wait(wit::JudgeWait { reason, percent, ask_again, state }) => {
                Answer::Wait {
                    reason,
                    percent,
                    ask_again_at: ask_again.map(|delay| self.now.after_ms(translate::held(delay))),
                    state: state.filter(|state| state != state_before),
                }
            }
            wit::Verdict::Retry(wit::Retry { reason, after, state }) => {
                Answer::Retry { reason, after_ms: translate::held(after), state }
            }
            wit::Verdict::Complete(reason) => Answer::Complete(reason),
            wit::Verdict::Cancel(reason) => Answer::Cancel(reason),
            wit::Verdict::Fail(reason) => Answer::Fail(reason),
        }
    }

    fn policy_fault(&self, module: &Module, fault: &Fault) -> Answer {
        tracing::debug!(digest = %module.digest(), "{fault:?}");
        self.fault(format!("policy sha256:{}: {fault}", module.digest()))
    }

    fn fault(&self, what: String) -> Answer {
        let set_uid = &self.sight.seen.set.uid;
        let ask_again_at = self.host.memory.after_fault(set_uid, self.ordinal, self.now);
        Answer::Fault { what, ask_again_at: Some(ask_again_at) }
    }

    fn log(&self, module: &Module, log: &Log) {
        let set = &self.sight.seen.set;
        log.tell(&set.namespace, &set.member(self.ordinal), module.digest());
        self.host.witness.heard(self.ordinal, log);
    }
}

/// The policy is not there. What it takes for that to change is watched or tried again, and the set is looked at then.
const fn unavailable(what: String) -> Answer {
    Answer::Fault { what, ask_again_at: None }
}

fn asks_of_template(template: &Value) -> BTreeSet<Ask> {
    let object = |pointer: &str| template.pointer(pointer).and_then(Value::as_object);
    let none = Map::new();
    let of_spec = asks(object("/spec").unwrap_or(&none), &BTreeSet::new());
    let of_metadata = asks_of_metadata(object("/metadata").unwrap_or(&none));
    of_spec.into_iter().chain(of_metadata).map(|(ask, _)| ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_loads_holds_up_no_other() {
        assert!(all_wait([true, true].into_iter()));
        assert!(!all_wait([true, false].into_iter()));
        assert!(!all_wait([].into_iter()), "what has no question has something else to do");
    }
}
