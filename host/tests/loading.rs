//! What it costs the host that anybody may bring a policy: memory, time, and nothing else.
//!
//! Apart from the other tests of policies, because the memory of this very process is measured.

#![expect(clippy::expect_used, reason = "a test says what it expected")]

#[allow(dead_code, reason = "the tests of the engine need all of it, these here a part")]
#[path = "policy/components.rs"]
mod components;
#[path = "policy/hostile.rs"]
mod hostile;
#[path = "policy/sections.rs"]
mod sections;
#[path = "policy/situations.rs"]
mod situations;

use std::path::PathBuf;

use components::Guest;
use hostile::Ends;
use situations::{drain_pod, situation};
use tidegate::policy::limits::MEMORY_MAX_BYTES;
use tidegate::policy::{Compiler, Policies};

/// How many bytes more may be resident after all of them: no more than one call may have by itself. The allocator keeps some of the largest component, once
/// for each thread that held it.
const GROWN_MAX_BYTES: usize = MEMORY_MAX_BYTES;

/// There are more kinds of them than anybody asked for, so that none goes missing unseen.
const AT_LEAST: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_policy_gets_beyond_its_limits() {
    let compiler = Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate")));
    let policies = Policies::start(compiler).expect("the engine starts");
    let honest = policies.load(None, Guest::default().component()).await.expect("it loads");
    let rows = hostile::all();
    assert!(rows.len() >= AT_LEAST, "only {} are left", rows.len());
    // What the allocator keeps of building them is not what is measured.
    let bytes: Vec<Vec<u8>> = rows.iter().map(|row| (row.bytes)()).collect();
    let before = resident_bytes().saturating_sub(bytes.iter().map(Vec::len).sum());
    let mut wrong = Vec::new();
    for (row, bytes) in rows.iter().zip(bytes) {
        let said = ends(&policies, bytes).await;
        let is_right = match (&row.ends, &said) {
            (Ends::Refused(words), Said::Refused(said))
            | (Ends::Stopped(words), Said::Stopped(said)) => {
                words.iter().any(|words| said.starts_with(words))
            }
            (Ends::Harmless, Said::Answered) => true,
            (Ends::Refused(_) | Ends::Stopped(_) | Ends::Harmless, _) => false,
        };
        if !is_right {
            wrong.push(format!("{}: {said:?}", row.name));
        }
        let kept = honest.judge(situation(), drain_pod()).await;
        assert!(kept.answer.is_ok(), "after one that {}: {:?}", row.name, kept.answer);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let grown = resident_bytes().saturating_sub(before);
    eprintln!(
        "{} hostile policies; {} KiB more are resident than before",
        rows.len(),
        grown / 1024
    );
    assert!(grown < GROWN_MAX_BYTES, "{grown} bytes more are resident");
}

/// How one ended.
#[derive(Debug)]
enum Said {
    Refused(String),
    Stopped(String),
    Answered,
}

async fn ends(policies: &Policies, bytes: Vec<u8>) -> Said {
    let module = match policies.load(None, bytes).await {
        Ok(module) => module,
        Err(error) => return Said::Refused(error.to_string()),
    };
    match module.render(situation()).await.answer {
        Ok(_) => Said::Answered,
        Err(fault) => Said::Stopped(fault.to_string()),
    }
}

/// Resident bytes of this process.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
