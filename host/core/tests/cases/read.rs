//! Reading a case, line by line.

use std::collections::BTreeMap;

use tidegate_core::{
    Answer, Claim, Drain, Ending, Holder, Noted, Ordinal, PodBody, Record, Seat, Settings, TimeMs,
    View,
    record::Hold,
    seen::{Anchorage, Binding, Cascade, Deletion, Enrolment, Life, Stewardship, WhenScaled},
    settings::{Activity, OnSetDeleted, ScaleToZero},
};

use super::Scene;
use crate::world;

/// The scenes of a file.
///
/// # Errors
/// What cannot be understood, with file and line.
pub(crate) fn scenes(file: &str, lines: &[String]) -> Result<Vec<Scene>, String> {
    let mut scenes: Vec<Scene> = Vec::new();
    let mut in_world = false;
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        let at = |what: String| format!("{file}:{number}: {what}");
        if let Some(title) = line.strip_prefix("## ") {
            if index == 0 {
                return Err(at("a case begins with prose: what it shows and why".into()));
            }
            let title = format!("{file}:{number}: {title}");
            let next = Scene::after(scenes.last(), title);
            scenes.push(next);
            in_world = true;
            continue;
        }
        let Some(scene) = scenes.last_mut() else {
            continue;
        };
        if line.trim() == "->" {
            scene.expected = number..number;
            in_world = false;
        } else if !in_world {
            scene.expected.end = number;
        } else if !line.trim().is_empty() {
            words(line).and_then(|words| scene.line(&words)).map_err(at)?;
        }
    }
    match scenes.iter().find(|scene| scene.expected.start == 0) {
        Some(scene) => Err(format!("{}: the scene has no `->`", scene.title)),
        None if scenes.is_empty() => Err(format!("{file}:1: no scene: write `## ` and a title")),
        None => Ok(scenes),
    }
}

/// `key`, `key=value` or `"value"`.
struct Word {
    key: String,
    value: Option<String>,
}

impl Word {
    fn value(&self) -> Result<&str, String> {
        self.value.as_deref().ok_or_else(|| format!("{}: write {0}=VALUE", self.key))
    }

    fn number(&self) -> Result<u32, String> {
        let text = self.value()?;
        text.parse().map_err(|_| format!("{}: {text:?} is not a whole number", self.key))
    }

    fn time(&self) -> Result<TimeMs, String> {
        time(self.value()?)
    }

    fn list(&self) -> Result<Vec<String>, String> {
        Ok(self.value()?.split(',').map(str::to_owned).collect())
    }

    fn unknown<T>(&self, place: &str) -> Result<T, String> {
        Err(format!("{place}: {:?} is not understood", self.key))
    }
}

fn time(text: &str) -> Result<TimeMs, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (Some(digits), 1),
        None => (text.strip_suffix('s'), 1000),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let ms = number.ok_or_else(|| format!("{text:?} is no time: write 5s or 1500ms"))?;
    Ok(TimeMs(ms * unit))
}

fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=', '"']).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        let tail = tail.strip_prefix('=').unwrap_or(tail);
        let (value, tail) = if let Some(quoted) = tail.strip_prefix('"') {
            let (value, tail) = quoted.split_once('"').ok_or("a quote is not closed")?;
            (Some(value), tail)
        } else if rest[end..].starts_with('=') {
            let end = tail.find(' ').unwrap_or(tail.len());
            (Some(&tail[..end]), &tail[end..])
        } else {
            (None, tail)
        };
        words.push(Word { key: key.to_owned(), value: value.map(str::to_owned) });
        rest = tail.trim_start();
    }
    Ok(words)
}

impl Scene {
    fn after(before: Option<&Self>, title: String) -> Self {
        Self {
            title,
            seen: before.map_or_else(world::seen, |scene| scene.seen.clone()),
            now: before.map_or(world::NOW, |scene| scene.now),
            answers: BTreeMap::new(),
            expected: 0..0,
        }
    }

    fn line(&mut self, words: &[Word]) -> Result<(), String> {
        let [first, rest @ ..] = words else {
            return Err("an empty line".to_owned());
        };
        match (first.key.as_str(), rest) {
            ("afresh", []) => {
                self.seen = world::seen();
                self.now = world::NOW;
            }
            ("view", [view]) => {
                self.seen.view = match view.key.as_str() {
                    "live" => View::Live,
                    "live-in-order" => View::LiveInOrder,
                    "cached" => View::Cached,
                    _ => return view.unknown("view"),
                }
            }
            ("now", [now]) => self.now = time(&now.key)?,
            ("set", words) => self.set(words)?,
            ("answer", [ordinal, kind, rest @ ..]) => {
                let ordinal = ordinal_of(ordinal)?;
                let seat = self.seen.seats.entry(ordinal).or_default();
                let answer = answer(seat, kind, rest)?;
                self.answers.insert(ordinal, answer);
            }
            (_, [absent]) if absent.key == "absent" => {
                self.seen.seats.remove(&ordinal_of(first)?);
            }
            (_, [what, rest @ ..]) => {
                let ordinal = ordinal_of(first)?;
                let generation = self.seen.set.generation;
                let seat = self.seen.seats.entry(ordinal).or_default();
                seat_line(seat, ordinal, generation, what, rest)?;
            }
            _ => return first.unknown("a line"),
        }
        Ok(())
    }

    fn set(&mut self, words: &[Word]) -> Result<(), String> {
        let set = &mut self.seen.set;
        for word in words {
            match word.key.as_str() {
                "replicas" => set.replicas = word.number()?,
                "start" => set.start = word.number()?,
                "generation" => set.generation = word.number()?.into(),
                "uid" => word.value()?.clone_into(&mut set.uid),
                "templates" => set.templates = word.list()?,
                "retains" => set.when_scaled = WhenScaled::Retain,
                "deletes-when-scaled" => set.when_scaled = WhenScaled::Delete,
                "namespace" => set.namespace_uid = Some(word.value()?.to_owned()),
                "held" => set.held = true,
                "not-held" => set.held = false,
                "in-foreground" => set.cascade = Cascade::Foreground,
                "leaving-its-pods" => set.cascade = Cascade::Orphan,
                "lives" => set.life = Life::Lives,
                "terminating" => set.life = Life::Terminating,
                "gone" => set.life = Life::Gone,
                "ours" => set.stewardship = Stewardship::Ours(world::settings()),
                "not-ours" => set.stewardship = Stewardship::NotOurs,
                "unreadable" => {
                    set.stewardship = Stewardship::Unreadable {
                        annotation: word.value()?.to_owned(),
                        value: "soon".to_owned(),
                        mend: "write `10s`".to_owned(),
                    }
                }
                _ => match &mut set.stewardship {
                    Stewardship::Ours(settings) => setting(settings, word)?,
                    Stewardship::NotOurs | Stewardship::Unreadable { .. } => {
                        return word.unknown("a set that is not ours");
                    }
                },
            }
        }
        Ok(())
    }
}

fn setting(settings: &mut Settings, word: &Word) -> Result<(), String> {
    match word.key.as_str() {
        "config" => word.value()?.clone_into(&mut settings.config),
        "paused" => settings.activity = Activity::Paused,
        "active" => settings.activity = Activity::Active,
        "keep-at-zero" => settings.scale_to_zero = ScaleToZero::Keep,
        "drain-at-zero" => settings.scale_to_zero = ScaleToZero::Drain,
        "drain-when-deleted" => settings.on_set_deleted = OnSetDeleted::Drain,
        "keep-when-deleted" => settings.on_set_deleted = OnSetDeleted::Keep,
        "max-parallel" => settings.max_parallel = word.number()?,
        "delay" => settings.delay_ms = word.time()?.0,
        _ => return word.unknown("set"),
    }
    Ok(())
}

fn ordinal_of(word: &Word) -> Result<Ordinal, String> {
    Ordinal::parse(&word.key).ok_or_else(|| format!("{:?} is not an ordinal", word.key))
}

fn seat_line(
    seat: &mut Seat,
    ordinal: Ordinal,
    generation: u64,
    what: &Word,
    rest: &[Word],
) -> Result<(), String> {
    match (what.key.as_str(), rest) {
        ("claim", [template, rest @ ..]) => {
            let claim = claim(world::claim(&template.key, ordinal), rest)?;
            seat.claims.insert(template.key.clone(), claim);
        }
        ("no-claim", [template]) => drop(seat.claims.remove(&template.key)),
        ("nobody", []) => seat.holder = Holder::Nobody,
        ("member", rest) => {
            let templates: Vec<&str> = seat.claims.keys().map(String::as_str).collect();
            let mut member = world::member(&templates, ordinal);
            for word in rest {
                match word.key.as_str() {
                    "mounts" => member.mounts = word.list()?,
                    "terminating" => member.terminating = true,
                    _ => return word.unknown("member"),
                }
            }
            seat.holder = Holder::Member(member);
        }
        ("foreign", [why]) => {
            let why = why.value()?.to_owned();
            seat.holder = Holder::Foreign { why };
        }
        ("drain", rest) => {
            let templates: Vec<&str> = seat.claims.keys().map(String::as_str).collect();
            let begun = Drain { generation, ..world::drain(&templates, ordinal) };
            seat.holder = Holder::Drain(Box::new(drain(begun, ordinal, rest)?));
        }
        ("users", pods) => seat.other_users = pods.iter().map(|pod| pod.key.clone()).collect(),
        ("record-unreadable", [why]) => {
            let why = why.value()?.to_owned();
            seat.noted = Noted::Unreadable { why };
        }
        ("record", rest) => seat.noted = Noted::Record(record(generation, rest)?),
        ("no-record", []) => seat.noted = Noted::Nothing,
        ("kept", [why]) => seat.kept = Some(why.value()?.to_owned()),
        ("orphan-since", [since]) => seat.orphan_since = Some(time(&since.key)?),
        ("freed-by-us", []) => seat.freed_by_us = true,
        ("not-freed", []) => seat.freed_by_us = false,
        _ => return what.unknown("an ordinal"),
    }
    Ok(())
}

fn claim(mut claim: Claim, words: &[Word]) -> Result<Claim, String> {
    let elsewhere = |word: &Word, lives| {
        let uid = word.value()?.to_owned();
        Ok::<_, String>(Enrolment::Elsewhere { uid, lives })
    };
    for word in words {
        match word.key.as_str() {
            "not-enrolled" => claim.enrolment = Enrolment::Nowhere,
            "of-living-set" => claim.enrolment = elsewhere(word, Some(Life::Lives))?,
            "of-gone-set" => claim.enrolment = elsewhere(word, Some(Life::Gone))?,
            "of-unknown-set" => claim.enrolment = elsewhere(word, None)?,
            "pending" => claim.binding = Binding::Pending,
            "lost" => claim.binding = Binding::Lost,
            "deleted" => claim.deletion = Deletion::Background,
            "since" => claim.deleted_at = Some(word.time()?),
            "deleted-in-foreground" => claim.deletion = Deletion::Foreground,
            "going-with-its-owner" => claim.deletion = Deletion::Impending,
            "anchored" => claim.anchorage = Anchorage::Anchored,
            "uid" => word.value()?.clone_into(&mut claim.uid),
            "rv" => word.value()?.clone_into(&mut claim.resource_version),
            _ => return word.unknown("claim"),
        }
    }
    Ok(claim)
}

fn drain(mut pod: Drain, ordinal: Ordinal, words: &[Word]) -> Result<Drain, String> {
    for word in words {
        match word.key.as_str() {
            "attempt" => pod.attempt = word.number()?,
            "generation" => pod.generation = word.number()?.into(),
            "rv" => word.value()?.clone_into(&mut pod.resource_version),
            "claims" => {
                let templates = word.list()?;
                let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
                pod.claims = world::drain(&templates, ordinal).claims;
            }
            "owner" => word.value()?.clone_into(&mut pod.owner),
            "by-itself" => pod.ending = Ending::ByItself,
            "failed" => pod.ending = Ending::Failed(word.value()?.to_owned()),
            "cut-short" => pod.ending = Ending::CutShort(word.value()?.to_owned()),
            "sealed" => pod.sealed = true,
            "giving-back" => {
                pod.sealed = true;
                pod.giving_back = true;
            }
            "held-by" => pod.held_by = word.list()?,
            "stray-seal" => pod.stray_seal = true,
            "without-node" => pod.placed = false,
            "terminating" => pod.terminating = true,
            "drained" => pod.drained_at = Some(word.time()?),
            _ => return word.unknown("drain"),
        }
    }
    Ok(pod)
}

fn record(generation: u64, words: &[Word]) -> Result<Record, String> {
    let mut record =
        Record { set_uid: "set-1".to_owned(), generation, attempt: 1, ..Record::default() };
    for word in words {
        match word.key.as_str() {
            "attempt" => record.attempt = word.number()?,
            "generation" => record.generation = word.number()?.into(),
            "set-uid" => word.value()?.clone_into(&mut record.set_uid),
            "not-before" => record.not_before = Some(word.time()?),
            "state-at" => record.state_at = Some(word.time()?),
            "state" => word.value()?.clone_into(&mut record.state),
            "hold" => {
                let why = word.value()?.to_owned();
                let settings = world::settings().fingerprint();
                record.hold = Some(Hold { why, settings });
            }
            _ => return word.unknown("record"),
        }
    }
    Ok(record)
}

/// An answer. A key that some other kind has is passed over; one that no kind has is a mistake.
fn answer(seat: &Seat, kind: &Word, rest: &[Word]) -> Result<Answer, String> {
    let find = |key: &str| rest.iter().find(|word| word.key == key);
    let text = |key: &str| find(key).map(|word| word.value().map(str::to_owned));
    let at = |key: &str| find(key).map(Word::time).transpose();
    if let Some(word) = rest.iter().find(|word| !KEYS.contains(&word.key.as_str())) {
        return word.unknown("answer");
    }
    let reason = text("").unwrap_or_else(|| Ok(String::new()))?;
    Ok(match kind.key.as_str() {
        "pod" => {
            let claims = seat.claims.iter();
            let removed = find("removed").map_or_else(|| Ok(vec![]), Word::list)?;
            let first = seat.claims.keys().next().cloned().unwrap_or_default();
            Answer::Pod(Box::new(PodBody {
                manifest: "{}".to_owned(),
                owner: text("owner").unwrap_or(Ok(first))?,
                claims: claims.map(|(name, claim)| (name.clone(), claim.uid.clone())).collect(),
                state: text("state").transpose()?,
                removed,
            }))
        }
        "wait" => Answer::Wait {
            reason,
            percent: match find("percent") {
                Some(word) => u8::try_from(word.number()?).ok(),
                None => None,
            },
            ask_again_at: at("again")?,
            state: text("state").transpose()?,
        },
        "keep" => Answer::Keep(reason),
        "refuse" => Answer::Refuse(reason),
        "retry" => Answer::Retry {
            reason,
            after_ms: at("after")?.unwrap_or_default().0,
            state: text("state").transpose()?.unwrap_or_default(),
        },
        "complete" => Answer::Complete(reason),
        "cancel" => Answer::Cancel(reason),
        "fail" => Answer::Fail(reason),
        "rejected" => {
            Answer::Rejected { field: text("field").transpose()?.unwrap_or_default(), mend: reason }
        }
        "fault" => Answer::Fault { what: reason, ask_again_at: at("again")? },
        "loading" => Answer::Loading(reason),
        "module-gone" => Answer::ModuleGone(reason),
        _ => return kind.unknown("answer"),
    })
}

/// Every key that an answer may have; the empty one is the reason in quotes.
const KEYS: [&str; 8] = ["", "owner", "state", "removed", "percent", "again", "after", "field"];
