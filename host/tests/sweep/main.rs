//! Faults at every call: each passage is walked once undisturbed, and then once for each call that the host makes in it and each fault that can
//! befall that call. Whatever happened, it ends as if nothing had.
//!
//! The calls of a passage are written down in `calls/PASSAGE.txt`, so that each run has a name before anything was started and can be
//! replayed alone: `cargo test -p tidegate --test sweep -- real::drained::seal_pods_web-1::crash_after --include-ignored`.
//!
//! Without `--include-ignored` a part of the runs is made, always the same: see [`fault::Fault::is_always_run`].

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "the tests on a whole cluster need all of it, these here a part")]
#[path = "../cluster/api.rs"]
mod api;
mod call;
#[allow(dead_code, reason = "the tests of the engine need all of it, these here a part")]
#[path = "../policy/components.rs"]
mod components;
mod fake;
mod fault;
mod ground;
mod history;
mod honest;
mod host;
mod in_memory;
mod passage;
mod real;
mod rules;
mod run;
mod scene;
mod state;
#[allow(dead_code, reason = "the tests on a whole cluster need all of it, these here a part")]
#[path = "../cluster/store.rs"]
mod store;
mod swaps;
mod trial;
#[allow(dead_code, reason = "the tests on a whole cluster need all of it, these here a part")]
#[path = "../cluster/wait.rs"]
mod wait;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use libtest_mimic::Arguments;

use ground::Lazy;

/// How many runs go on at once for each processor. Most of a run is spent waiting for one of the control plane's parts.
const RUNS_PER_PROCESSOR: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let processors = available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(processors * RUNS_PER_PROCESSOR);
    let real = Arc::new(Lazy::of(real::start));
    let in_memory = Arc::new(Lazy::of(in_memory::start));
    let on_grounds = [trial::all("real", &real), trial::all("fake", &in_memory)];
    let of_the_fake = [honest::all(), rules::all(), swaps::all()];
    let trials = on_grounds.into_iter().chain(of_the_fake).flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
    // The grounds end with what holds them.
}
