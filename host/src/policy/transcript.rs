//! A call and its answer as text: what recordings, cases and replays have in common.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Called, Module, Used};
use super::fault::Fault;
use super::log::LogLine;
use super::wit::{DrainPod, Proposal, Situation};

/// One question to a policy, with all that it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub enum Call {
    /// Which pod?
    Render {
        /// The ordinal and what stands around it.
        at: Situation,
    },
    /// What about this pod?
    Judge {
        /// The ordinal and what stands around it.
        at: Situation,
        /// The drain pod.
        pod: DrainPod,
    },
    /// Is this config in order?
    Validate {
        /// What the set's owner proposes.
        of: Proposal,
    },
}

/// What a policy said to a [`Call`].
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The answer in the contract's names; `{"fault": …}` where there is none, `"valid"` or `{"invalid": …}` of `validate`, and `"no validator"`
    /// where the policy has none.
    pub answer: Value,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// What it took.
    pub used: Used,
}

impl Call {
    /// The name of the function that is called.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        match self {
            Self::Render { .. } => "render",
            Self::Judge { .. } => "judge",
            Self::Validate { .. } => "validate",
        }
    }

    /// Asks a policy, under the host's limits.
    pub async fn ask(self, module: &Module) -> Said {
        match self {
            Self::Render { at } => said(&module.render(at).await),
            Self::Judge { at, pod } => said(&module.judge(at, pod).await),
            Self::Validate { of } => match module.validate(of).await {
                Some(called) => validity(&called),
                None => Said {
                    answer: Value::from("no validator"),
                    log: Vec::new(),
                    used: Used::default(),
                },
            },
        }
    }
}

/// What came of `render` or `judge`.
#[must_use]
pub fn said<T: Serialize>(called: &Called<T>) -> Said {
    said_as(called, |answer| serde_json::to_value(answer).unwrap_or_default())
}

/// What came of `validate`.
#[must_use]
pub fn validity(called: &Called<Result<(), String>>) -> Said {
    said_as(called, |answer| match answer {
        Ok(()) => Value::from("valid"),
        Err(why) => json!({ "invalid": why }),
    })
}

fn said_as<T>(called: &Called<T>, text: impl FnOnce(&T) -> Value) -> Said {
    let answer = match &called.answer {
        Ok(answer) => text(answer),
        Err(fault) => json!({ "fault": words(fault) }),
    };
    Said { answer, log: called.log.lines.clone(), used: called.used }
}

fn words(fault: &Fault) -> String {
    fault.to_string()
}
