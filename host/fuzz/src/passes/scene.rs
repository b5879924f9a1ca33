//! One input, read the way that the host reads objects.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use serde_json::Value;
use tidegate::{
    cluster::Effect,
    drain_pod::{Maker, Traffic, asks, asks_of_metadata},
    host::bygone,
    marks::{Containers, Marks},
    memory::{Acquaintance, Memory},
    objects::{ClaimObject, PodObject, SetObject},
    observe::{Objects, marks_of, observe},
};
use tidegate_core::{
    Answer, Ordinal, Question, Seen, TimeMs, View,
    seen::{Life, Stewardship},
};

/// The namespace of everything.
const NAMESPACE: &str = "shop";

/// How many ordinals a set of an input may want: it is seen many times over, each with a seat for every one of them.
const REPLICAS_MAX: i64 = 40;

/// What one input says.
pub(super) struct Scene {
    pub(super) now: TimeMs,
    pub(super) set: Value,
    pub(super) claims: Vec<Value>,
    pub(super) pods: Vec<Value>,
    namespace_uid: Option<String>,
    others: BTreeMap<String, Life>,
    acquaintance: Acquaintance,
    kept: Vec<Ordinal>,
    answers: Value,
}

impl Scene {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let input: Value = serde_json::from_slice(bytes).ok()?;
        let list = |key: &str| input.get(key).and_then(Value::as_array).cloned();
        let text = |key: &str| input.get(key).and_then(Value::as_str).map(str::to_owned);
        let set = input.get("set")?.clone();
        let _is_a_set: SetObject = serde_json::from_value(set.clone()).ok()?;
        let replicas = set.pointer("/spec/replicas").and_then(Value::as_i64);
        if replicas.is_some_and(|replicas| replicas > REPLICAS_MAX) {
            return None;
        }
        let life = |text: &Value| match text.as_str() {
            Some("lives") => Life::Lives,
            Some("terminating") => Life::Terminating,
            Some(_) | None => Life::Gone,
        };
        let others = input.get("others").and_then(Value::as_object).into_iter().flatten();
        let kept = list("kept").unwrap_or_default();
        let number = |value: &Value| value.as_u64().and_then(|it| u32::try_from(it).ok());
        Some(Self {
            now: TimeMs(input.get("now").and_then(Value::as_u64).unwrap_or_default()),
            set,
            claims: list("claims").unwrap_or_default(),
            pods: list("pods").unwrap_or_default(),
            namespace_uid: text("namespaceUid"),
            others: others.map(|(uid, it)| (uid.clone(), life(it))).collect(),
            acquaintance: match text("acquaintance").as_deref() {
                Some("late") => Acquaintance::Late,
                Some(_) | None => Acquaintance::FromTheStart,
            },
            kept: kept.iter().filter_map(number).map(Ordinal).collect(),
            answers: input.get("answers").cloned().unwrap_or_default(),
        })
    }

    /// The set, and those that are gone, with whether they are.
    pub(super) fn subjects(&self) -> Vec<(SetObject, bool)> {
        let living = self.living().into_iter().map(|set| (set, false));
        let marks = self.pod_objects().into_iter().filter_map(|pod| marks_of(&pod).ok());
        let gone = marks.filter(|marks| self.life_of(&marks.set_uid) == Life::Gone);
        let gone = gone.map(|marks| (bygone(NAMESPACE, &marks), true));
        living.chain(gone).collect()
    }

    pub(super) fn living(&self) -> Option<SetObject> {
        let mut set: SetObject = serde_json::from_value(self.set.clone()).ok()?;
        set.metadata.namespace = Some(NAMESPACE.to_owned());
        Some(set)
    }

    /// An object that cannot be parsed ends the watch that it came from, and is never seen.
    pub(super) fn claim_objects(&self) -> Vec<ClaimObject> {
        self.claims.iter().filter_map(|it| serde_json::from_value(it.clone()).ok()).collect()
    }

    pub(super) fn pod_objects(&self) -> Vec<PodObject> {
        self.pods.iter().filter_map(|it| serde_json::from_value(it.clone()).ok()).collect()
    }

    /// What the core decides on, completed by what the host remembers.
    pub(super) fn seen(&self, set: &SetObject, is_gone: bool, view: View) -> Option<Seen> {
        let (claims, pods) = (self.claim_objects(), self.pod_objects());
        let objects = Objects {
            set,
            claims: claims.iter().collect(),
            pods: pods.iter().collect(),
            other_set: &|uid| Some(self.life_of(uid)),
        };
        let memory = Memory::new(Effect::Real);
        let mut seen = observe(&objects, view).ok()?;
        memory.complete(&mut seen, self.acquaintance, self.now);
        if let Stewardship::Ours(settings) = &seen.set.stewardship {
            for ordinal in &self.kept {
                memory.keeps(&seen.set, *ordinal, settings, "kept");
            }
        }
        let mut seen = observe(&objects, view).ok()?;
        memory.complete(&mut seen, self.acquaintance, self.now);
        seen.set.namespace_uid.clone_from(&self.namespace_uid);
        if is_gone {
            seen.set.life = Life::Gone;
        }
        Some(seen)
    }

    /// Whether these are objects as the API server has them: each has a name, a UID and a version, which no other one has.
    pub(super) fn is_sound(&self) -> bool {
        let text = |it: &Value, key: &str| {
            let text = it.get("metadata").and_then(|meta| meta.get(key)?.as_str());
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let mut uids = BTreeSet::new();
        let mut is_new = |it: &Value| text(it, "uid").is_some_and(|uid| uids.insert(uid));
        let mut lists = [&self.claims, &self.pods].into_iter();
        let objects = std::iter::once(&self.set).chain(&self.claims).chain(&self.pods);
        objects.clone().all(|it| is_new(it) && text(it, "resourceVersion").is_some())
            && lists.all(|list| {
                let names: BTreeSet<_> = list.iter().filter_map(|it| text(it, "name")).collect();
                names.len() == list.len()
            })
            && self.claim_objects().len() == self.claims.len()
            && self.pod_objects().len() == self.pods.len()
    }

    /// What the policy answers about this ordinal, or about any.
    pub(super) fn answer(&self, set: &SetObject, seen: &Seen, question: Question) -> Answer {
        let ordinal = question.ordinal();
        let given = self.answers.get(ordinal.to_string()).or_else(|| self.answers.get("*"));
        let (word, value) = match given {
            Some(Value::Object(fields)) => match fields.iter().next() {
                Some((word, value)) => (word.as_str(), value.clone()),
                None => ("", Value::Null),
            },
            Some(Value::String(word)) => (word.as_str(), Value::Null),
            Some(_) | None => ("", Value::Null),
        };
        let text = || value.as_str().unwrap_or("because").to_owned();
        let later = |key: &str| value.get(key).and_then(Value::as_u64).map(TimeMs);
        match word {
            "pod" => self.rendered(set, seen, ordinal, &value),
            "wait" => Answer::Wait {
                reason: "because".to_owned(),
                percent: value.get("percent").and_then(|it| u8::try_from(it.as_u64()?).ok()),
                ask_again_at: later("askAgainAt"),
                state: value.get("state").and_then(|it| Some(it.as_str()?.to_owned())),
            },
            "keep" => Answer::Keep(text()),
            "refuse" => Answer::Refuse(text()),
            "retry" => Answer::Retry {
                reason: text(),
                after_ms: later("afterMs").map_or(1_000, |time| time.0),
                state: String::new(),
            },
            "complete" => Answer::Complete(text()),
            "cancel" => Answer::Cancel(text()),
            "fail" => Answer::Fail(text()),
            "rejected" => Answer::Rejected { field: text(), mend: text() },
            "loading" => Answer::Loading(text()),
            "module-gone" => Answer::ModuleGone(text()),
            _ => Answer::Fault {
                what: "it trapped".to_owned(),
                ask_again_at: Some(self.now.after_ms(1_000)),
            },
        }
    }

    /// The pod that the host makes of a rendered template, with all that the template asks for granted.
    fn rendered(
        &self,
        object: &SetObject,
        seen: &Seen,
        ordinal: Ordinal,
        rendered: &Value,
    ) -> Answer {
        let set = &seen.set;
        let Some(seat) = seen.seats.get(&ordinal) else {
            return Answer::Refuse("nobody asked".to_owned());
        };
        let template = rendered.get("template").cloned().unwrap_or_default();
        let fields = |key: &str| template.get(key).and_then(Value::as_object).cloned();
        let own = seat.claims.keys().cloned().collect();
        let of_spec = asks(&fields("spec").unwrap_or_default(), &own);
        let of_metadata = asks_of_metadata(&fields("metadata").unwrap_or_default());
        let allowed = of_spec.into_iter().chain(of_metadata).map(|(ask, _)| ask).collect();
        let uids = seat.claims.iter().map(|(name, claim)| (name.clone(), claim.uid.clone()));
        let maker = Maker {
            namespace: &set.namespace,
            name: &set.member(ordinal),
            service: object.spec.service_name.as_deref(),
            claims: &seat.claims,
            traffic: Traffic::None,
            discard: &[],
            allowed: &allowed,
            state: rendered.get("state").and_then(|it| Some(it.as_str()?.to_owned())),
            marks: Marks {
                version: Marks::VERSION,
                set: set.name.clone(),
                set_uid: set.uid.clone(),
                generation: set.generation,
                ordinal: ordinal.0,
                attempt: seat.next_attempt(set),
                policy_namespace: NAMESPACE.to_owned(),
                policy: "p/k@sha256:d".to_owned(),
                digest: "d".to_owned(),
                config: String::new(),
                containers: Containers::default(),
                claims: uids.collect(),
                owner: set.templates.first().cloned().unwrap_or_default(),
                orphan_since_ms: 0,
            },
        };
        match maker.make(&template.to_string()) {
            Ok(body) => Answer::Pod(Box::new(body)),
            Err(rejection) => Answer::Rejected { field: rejection.field, mend: rejection.mend },
        }
    }

    fn life_of(&self, uid: &str) -> Life {
        let own = self.living().filter(|set| set.uid().as_deref() == Some(uid));
        match own {
            Some(set) if set.metadata.deletion_timestamp.is_some() => Life::Terminating,
            Some(_) => Life::Lives,
            None => self.others.get(uid).copied().unwrap_or(Life::Gone),
        }
    }
}
