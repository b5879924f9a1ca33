//! What is fuzzed, as plain functions: each takes any bytes, makes of them what the host would be given, and asserts what must hold of the answer.
//!
//! `engine/` runs them under libFuzzer (`cargo xtask fuzz`), `tests/replay.rs` with every input that is kept: the corpus, and each that once failed.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a find is a panic, and what the crate makes for itself is known to be right"
)]

pub mod annotations;
pub mod answers;
pub mod dice;
pub mod json;
pub mod names;
pub mod notes;
pub mod packing;
pub mod passes;
pub mod templates;

use json::Word;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its corpus too.
    pub name: &'static str,
    /// What must hold, whatever the bytes are.
    pub holds: fn(&[u8]),
    /// What its inputs are made of.
    pub input: Input,
}

/// What inputs are made of, and so how one is made out of another.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Any bytes.
    Bytes,
    /// A JSON document with these words in it. A byte changed at random seldom leaves one that gets past the parser.
    Json(&'static [Word]),
}

/// Everything that is fuzzed.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "annotations",
        holds: annotations::holds,
        input: Input::Json(annotations::WORDS),
    },
    Target { name: "answers", holds: answers::holds, input: Input::Bytes },
    Target { name: "names", holds: names::holds, input: Input::Bytes },
    Target { name: "notes", holds: notes::holds, input: Input::Json(notes::WORDS) },
    Target { name: "packing", holds: packing::holds, input: Input::Bytes },
    Target { name: "passes", holds: passes::holds, input: Input::Json(passes::WORDS) },
    Target { name: "templates", holds: templates::holds, input: Input::Json(templates::WORDS) },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

impl Input {
    /// Another input made out of this one.
    #[must_use]
    pub fn varied(self, input: &[u8], seed: u64) -> Vec<u8> {
        let mut dice = dice::Dice::new(seed);
        match self {
            Self::Bytes => dice::vary(input, &mut dice),
            Self::Json(words) => json::vary(input, words, &mut dice),
        }
    }
}
