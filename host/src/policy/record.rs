//! Records calls of policies, so that they can be asked again elsewhere: each with its arguments, its answer and what it took.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source::Digest;
use super::transcript::{Call, Said};
use crate::objects::LAST_APPLIED;

/// The version of a line.
pub const VERSION: u32 = 1;

/// How many files a recording is spread over: with each that is begun the oldest one goes.
const FILES: u64 = 4;

/// A line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// [`VERSION`].
    pub version: u32,
    /// The sha256 of the policy.
    pub digest: String,
    /// Units of fuel that the call took.
    pub fuel: u64,
    /// The question.
    pub asked: Call,
    /// The answer, as [`Said::answer`].
    pub answer: Value,
}

/// Writes calls into a folder, within its bound.
pub struct Recorder {
    folder: PathBuf,
    file_max_bytes: u64,
    open: Mutex<Open>,
}

struct Open {
    number: u64,
    file: Option<File>,
    bytes: u64,
}

impl Recorder {
    /// Records into this folder, which is made where it is missing. All files together have at most `max_bytes`. Each start of a host begins a
    /// file of its own, and those of earlier starts count.
    ///
    /// # Errors
    /// Where the folder cannot be made or read.
    pub fn into_folder(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let number = numbers(folder)?.last().copied().unwrap_or_default();
        let open = Mutex::new(Open { number, file: None, bytes: 0 });
        Ok(Self { folder: folder.to_owned(), file_max_bytes: max_bytes / FILES, open })
    }

    /// Writes one call. What the pods' variables hold is left out. A call that cannot be written is told in the log; nothing else depends on it.
    pub(super) fn record(&self, digest: Digest, call: Call, said: &Said) {
        let mut secrets = Secrets::default();
        let asked = secrets.left_out_of(call);
        let recorded = Recorded {
            version: VERSION,
            digest: digest.to_string(),
            fuel: said.used.fuel,
            asked,
            answer: secrets.left_out_of_answer(said.answer.clone()),
        };
        if let Err(error) = self.write(&recorded) {
            tracing::warn!("a call is not recorded in {}: {error}", self.folder.display());
        }
    }

    fn write(&self, recorded: &Recorded) -> io::Result<()> {
        let mut line = serde_json::to_vec(recorded)?;
        line.push(b'\n');
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if bytes > self.file_max_bytes {
            return Err(io::Error::other(format!(
                "it has {bytes} bytes, more than a file may have"
            )));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes.saturating_add(bytes) > self.file_max_bytes {
            open.file = None;
        }
        if open.file.is_none() {
            *open = self.begin(open.number + 1)?;
        }
        open.bytes += bytes;
        match &mut open.file {
            Some(file) => file.write_all(&line),
            None => Ok(()),
        }
    }

    fn begin(&self, number: u64) -> io::Result<Open> {
        let oldest_kept = (number + 1).saturating_sub(FILES);
        for old in numbers(&self.folder)?.into_iter().filter(|old| *old < oldest_kept) {
            fs::remove_file(self.folder.join(file_name(old)))?;
        }
        let path = self.folder.join(file_name(number));
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        Ok(Open { number, file: Some(file), bytes: 0 })
    }
}

fn file_name(number: u64) -> String {
    format!("calls-{number:06}.jsonl")
}

/// The numbers of the files that are there, in their order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("calls-")?.strip_suffix(".jsonl")?.parse::<u64>().ok()
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The values of variables, which are where passwords stand. Each is replaced by a word of its own, in the answer as in the question, so that
/// the recorded question still has the recorded answer.
#[derive(Default)]
struct Secrets {
    replaced: BTreeMap<String, String>,
}

impl Secrets {
    fn left_out_of(&mut self, call: Call) -> Call {
        match call {
            Call::Render { mut at } => {
                at.set = self.left_out_of_set(&at.set);
                Call::Render { at }
            }
            Call::Judge { mut at, pod } => {
                at.set = self.left_out_of_set(&at.set);
                Call::Judge { at, pod }
            }
            Call::Validate { mut of } => {
                of.set = self.left_out_of_set(&of.set);
                Call::Validate { of }
            }
        }
    }

    /// The text keeps its form: a policy may depend on the order of the fields.
    fn left_out_of_set(&mut self, text: &str) -> String {
        let Ok(set) = serde_json::from_str::<Value>(text) else {
            return String::new();
        };
        self.learn(&set);
        let applied = set.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED));
        let text = match applied {
            Some(applied) => text.replace(&applied.to_string(), "\"left out\""),
            None => text.to_owned(),
        };
        self.without_rest(self.replaced_in(&text))
    }

    fn left_out_of_answer(&self, mut answer: Value) -> Value {
        if let Some(Value::String(template)) = answer.pointer_mut("/pod/template") {
            *template = self.without_rest(self.replaced_in(template));
        }
        answer
    }

    /// Learns the values of all variables, in annotations that hold pods as text too.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let variables = fields.get("env").and_then(Value::as_array).into_iter().flatten();
                for value in variables.filter_map(|variable| variable.get("value")?.as_str()) {
                    let next = format!("left out {}", self.replaced.len() + 1);
                    self.replaced.entry(value.to_owned()).or_insert(next);
                }
                fields.values().for_each(|value| self.learn(value));
            }
            Value::Array(items) => items.iter().for_each(|value| self.learn(value)),
            Value::String(text) => {
                if let Some(value) = held_in(text) {
                    self.learn(&value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Only what stands as a `value` is replaced: a variable may hold a word that stands elsewhere too, such as the name of a volume.
    fn replaced_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, word) in &self.replaced {
            for colon in [":", ": "] {
                let field = |value: &str| format!("\"value\"{colon}{}", Value::from(value));
                text = text.replace(&field(value), &field(word));
                // The same in an annotation that holds a pod as text.
                let inner = |value: &str| {
                    let text = Value::from(field(value)).to_string();
                    // Of the quotes around it one is its own: what a value ends with is a quote too.
                    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                    text.unwrap_or_default().to_owned()
                };
                text = text.replace(&inner(value), &inner(word));
            }
        }
        text
    }

    /// Whoever wrote the text may have escaped a value in another way. Such a text is written anew.
    fn without_rest(&self, text: String) -> String {
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            return text;
        };
        if self.replace(&mut value) { value.to_string() } else { text }
    }

    /// Replaces the values of all variables; answers whether there was one.
    fn replace(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(fields) => {
                let mut is_changed = false;
                let variables = fields.get_mut("env").and_then(Value::as_array_mut);
                for variable in variables.into_iter().flatten() {
                    let Some(value) = variable.get_mut("value") else {
                        continue;
                    };
                    if let Some(word) = value.as_str().and_then(|value| self.replaced.get(value)) {
                        *value = Value::from(word.as_str());
                        is_changed = true;
                    }
                }
                fields.values_mut().map(|value| self.replace(value)).filter(|is| *is).count() > 0
                    || is_changed
            }
            Value::Array(items) => {
                // Each of them, and not only the first that has one.
                items.iter_mut().map(|value| self.replace(value)).filter(|is| *is).count() > 0
            }
            Value::String(text) => {
                let Some(mut value) = held_in(text) else {
                    return false;
                };
                let is_changed = self.replace(&mut value);
                if is_changed {
                    *text = value.to_string();
                }
                is_changed
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// The object that a text holds, as annotations do in which a whole manifest stands.
fn held_in(text: &str) -> Option<Value> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
}

#[cfg(test)]
mod tests;
