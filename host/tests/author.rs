//! What an author sees of a policy is what the host does with it: `tidegate policy` as a program beside the host's own loader.

#![expect(clippy::expect_used, reason = "a test says what it expected")]

#[path = "author/bad_input.rs"]
mod bad_input;
#[allow(dead_code, reason = "the tests of the engine need all of it, these here a part")]
#[path = "policy/components.rs"]
mod components;
#[path = "policy/hostile.rs"]
mod hostile;
#[path = "author/parity.rs"]
mod parity;
#[path = "author/recorded.rs"]
mod recorded;
#[path = "policy/sections.rs"]
mod sections;
#[path = "policy/situations.rs"]
mod situations;

use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::policy::Compiler;

/// What a command of the author's came to.
#[derive(Debug)]
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `tidegate policy` in a folder.
fn policy(folder: &Path, args: &[&str]) -> Done {
    let done = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("policy")
        .args(args)
        .current_dir(folder)
        .output()
        .expect("it runs");
    Done {
        code: done.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(done.stdout).expect("it prints text"),
        stderr: String::from_utf8(done.stderr).expect("it prints text"),
    }
}

/// The compiler as the host has it: a process of its own, under limits.
fn compiler() -> Compiler {
    Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate")))
}
