//! A case: a call to be made, in a file that a person writes, and the answer that is kept beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::passage;
use super::sample::sample;
use crate::policy::transcript::{Call, Said};
use crate::policy::wit::Situation;

/// Where cases lie, below the policy's folder.
pub(super) const FOLDER: &str = "cases";

/// What follows the name of a case in the file that keeps its answers.
const ANSWERS: &str = ".answer.json";

/// The calls of one file: one call, or a passage of several.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The file's name without its ending.
    pub(super) name: String,
    /// The calls, in their order, each as JSON with all that it leaves out.
    pub(super) calls: Vec<Draft>,
    answers: PathBuf,
}

/// A call that is complete but for the state, which the answer before it may give.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// `first.json`, or `passage.jsonl:3`.
    pub(super) place: String,
    fields: Map<String, Value>,
    says_state: bool,
}

impl Case {
    /// Reads `NAME.json`, a case, or `NAME.jsonl`, a passage of a case a line.
    ///
    /// # Errors
    /// Where it cannot be read; file, line and column of what is wrong.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("{}: it cannot be read", file.display()))?;
        let shown = file.display().to_string();
        let ending = file.extension().and_then(|ending| ending.to_str());
        let calls = match ending {
            Some("json") => vec![Draft::read(&text, &shown, None, &base())?],
            Some("jsonl") => passage::read(&text, &shown)?,
            Some(_) | None => {
                bail!("{shown}: a case is NAME.json, a passage of several is NAME.jsonl")
            }
        };
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        Ok(Self { answers: file.with_file_name(format!("{name}{ANSWERS}")), name, calls })
    }

    /// Every case of a folder, in the order of their names.
    ///
    /// # Errors
    /// As for [`Self::read`]; no case at all; an answer without its case.
    pub(super) fn read_all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let entries = fs::read_dir(folder).with_context(|| {
            format!("{}: it cannot be read; cases are files in it", folder.display())
        })?;
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry?.path());
        }
        files.sort();
        let named = |file: &&PathBuf, ending: &str| {
            file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending))
        };
        let is_case = |file: &&PathBuf| {
            let is_fuel = file.file_name().is_some_and(|name| name == super::bench::KEPT);
            let is_other = named(file, ANSWERS) || is_fuel;
            !is_other && (named(file, ".json") || named(file, ".jsonl"))
        };
        let cases = files
            .iter()
            .filter(is_case)
            .map(|file| Self::read(file))
            .collect::<Result<Vec<_>, _>>()?;
        if cases.is_empty() {
            bail!(
                "{}: no case is in it; write one, as in {{\"call\": \"render\"}}",
                folder.display()
            );
        }
        let same = |(at, case): &(usize, &Self)| {
            cases.iter().skip(at + 1).any(|other| other.answers == case.answers)
        };
        if let Some((_, case)) = cases.iter().enumerate().find(same) {
            let (shown, name) = (folder.display(), &case.name);
            bail!(
                "{shown}: {name}.json and {name}.jsonl have one file for their answers: rename one of them"
            );
        }
        let is_left = |file: &&PathBuf| {
            named(file, ANSWERS) && !cases.iter().any(|case| case.answers == **file)
        };
        if let Some(left) = files.iter().find(is_left) {
            bail!("{}: its case is gone; delete it", left.display());
        }
        Ok(cases)
    }

    /// The answers that are kept, one for each call; nothing where none are kept.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(super) fn kept(&self) -> anyhow::Result<Option<Vec<Value>>> {
        let shown = self.answers.display();
        if !self.answers.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&self.answers).with_context(|| format!("{shown}"))?;
        let kept: Value =
            serde_json::from_str(&text).with_context(|| format!("{shown}: it is no JSON"))?;
        let several = self.calls.len() != 1;
        Ok(Some(match kept.as_array() {
            Some(answers) if several => answers.clone(),
            Some(_) | None => vec![kept],
        }))
    }

    /// Keeps these answers, one for each call.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub(super) fn keep(&self, answers: Vec<Value>) -> anyhow::Result<()> {
        let answer = match <[Value; 1]>::try_from(answers) {
            Ok([answer]) => answer,
            Err(answers) => Value::Array(answers),
        };
        let text = format!("{answer:#}\n");
        fs::write(&self.answers, text)
            .with_context(|| format!("{}: it cannot be written", self.answers.display()))
    }
}

impl Draft {
    /// Reads a call, which is the whole file or one line of it, and takes what it leaves out from the one before. A field of `at`, `pod` or `of` is taken
    /// or left as a whole.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub(super) fn read(
        text: &str,
        file: &str,
        line: Option<usize>,
        before: &Map<String, Value>,
    ) -> anyhow::Result<Self> {
        let place = line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        let said: Value = serde_json::from_str(text).map_err(|error| {
            let (column, what) = at_column(&error);
            let line = line.unwrap_or_else(|| error.line());
            anyhow!("{file}:{line}:{column}: it is no JSON: {what}")
        })?;
        let Value::Object(said) = said else {
            bail!("{place}: a case is an object, as in {{\"call\": \"render\"}}");
        };
        if let (None, Some(unused)) = (line, unused(&said)) {
            bail!("{place}: `{unused}` is nothing that this call is told: take it out");
        }
        let says_state = said.get("at").is_some_and(|at| at.get("state").is_some());
        let mut fields = before.clone();
        for (key, value) in said {
            match (fields.get_mut(&key), value) {
                (Some(Value::Object(below)), Value::Object(over)) => below.extend(over),
                (_, value) => {
                    fields.insert(key, value);
                }
            }
        }
        let draft = Self { place, fields, says_state };
        draft.call(&mut String::new())?;
        Ok(draft)
    }

    /// What the next line of a passage is laid over.
    pub(super) const fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The call, with this state where the case says nothing of it. What the case says is the state from then on.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub(super) fn call(&self, state: &mut String) -> anyhow::Result<Call> {
        let is_field = |key: &str| key == "call" || base().contains_key(key);
        if let Some(unknown) = self.fields.keys().find(|key| !is_field(key)) {
            bail!(
                "{}: `{unknown}` is no field of a case: it has `call`, `at`, `pod`, `of`",
                self.place
            );
        }
        match self.fields.get("call").and_then(Value::as_str) {
            Some("render") => Ok(Call::Render { at: self.at(state)? }),
            Some("judge") => Ok(Call::Judge { at: self.at(state)?, pod: self.part("pod")? }),
            Some("validate") => Ok(Call::Validate { of: self.part("of")? }),
            Some(_) | None => {
                bail!(
                    "{}: `call` must be \"render\", \"judge\" or \"validate\", as in {{\"call\": \"render\"}}",
                    self.place
                )
            }
        }
    }

    fn at(&self, state: &mut String) -> anyhow::Result<Situation> {
        let mut at: Situation = self.part("at")?;
        if self.says_state {
            at.state.clone_into(state);
        } else {
            state.clone_into(&mut at.state);
        }
        Ok(at)
    }

    fn part<T: DeserializeOwned>(&self, key: &str) -> anyhow::Result<T> {
        let part = self.fields.get(key).unwrap_or(&Value::Null);
        serde_path_to_error::deserialize(part).map_err(|error| {
            let below = error.path().to_string();
            let path = if below == "." { key.to_owned() } else { format!("{key}.{below}") };
            let place = &self.place;
            anyhow!("{place}: `{path}`: {}; wit/policy.wit says what it holds", error.into_inner())
        })
    }
}

/// A part of a case that its call does not take.
fn unused(said: &Map<String, Value>) -> Option<&'static str> {
    let is_taken: &[&str] = match said.get("call").and_then(Value::as_str)? {
        "render" => &["at"],
        "judge" => &["at", "pod"],
        "validate" => &["of"],
        _ => return None,
    };
    ["at", "pod", "of"]
        .into_iter()
        .find(|part| said.contains_key(*part) && !is_taken.contains(part))
}

/// The answer as it is shown and kept: without what is absent, and with the template as the object that it is.
pub(super) fn readable(said: &Said) -> Value {
    let mut answer = said.answer.clone();
    if let Some(template) = answer.pointer_mut("/pod/template")
        && let Some(object) = template.as_str().and_then(|text| serde_json::from_str(text).ok())
    {
        *template = object;
    }
    if let Value::Object(variants) = &mut answer {
        for fields in variants.values_mut().filter_map(Value::as_object_mut) {
            fields.retain(|_, value| !value.is_null());
        }
    }
    answer
}

/// Whether the policy gave no answer, but broke a limit or trapped.
pub(super) fn is_fault(answer: &Value) -> bool {
    answer.get("fault").is_some()
}

/// The column of what is no JSON, and what is wrong there without the place.
pub(super) fn at_column(error: &serde_json::Error) -> (usize, String) {
    let (line, column) = (error.line(), error.column());
    let mut words = error.to_string();
    let place = format!(" at line {line} column {column}");
    words.truncate(words.strip_suffix(&place).map_or(words.len(), str::len));
    (column, words)
}

/// The state that an answer gives, if it gives one.
pub(super) fn state_of(answer: &Value) -> Option<&str> {
    answer.as_object()?.values().find_map(|fields| fields.get("state")?.as_str())
}

/// What the first call of a file is laid over.
pub(super) fn base() -> Map<String, Value> {
    match sample() {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
