//! What the host does on a real Kubernetes: a real kubelet, real volumes, and the host as the pod that `deploy/cluster` installs.
//!
//! One cluster serves all tests, and is started by the first that needs it. Each test has a namespace of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod admission;
mod altered;
mod anchoring;
mod api;
mod audit;
mod author;
mod bad_input;
mod bytes;
mod claims;
#[allow(dead_code, reason = "the tests of the engine need all of it, these here a part")]
#[path = "../policy/components.rs"]
mod components;
mod containers;
mod deleted_sets;
mod departure;
mod diagnosis;
mod dry_run;
mod examples;
mod fleet;
mod foreseen;
mod guards;
mod handmade;
mod install;
mod last_member;
mod late_writes;
mod lease;
mod ledger;
mod lifecycle;
mod live_member;
mod lookout;
mod machine;
mod node_lost;
mod obstacle;
mod operator;
mod policy_source;
mod process;
mod puppet;
mod ranges;
mod receiver;
mod recorded;
mod renewal;
mod rights;
mod scale_up;
mod settings;
mod shard;
mod site;
mod stopped;
mod store;
mod stuck;
mod tampered;
mod timing;
mod torn_down;
mod traffic;
mod trial;
mod turns;
mod two_hosts;
mod upgrade;
mod wait;
mod weight;
mod world;
mod writes;
mod yanked;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use libtest_mimic::Arguments;

use trial::Test;
use world::Lazy;

/// How many tests run at once for each processor. Most of a test's time is spent waiting for the kubelet, and the limit is what the
/// processors of the cluster's own parts can bear.
const TESTS_PER_PROCESSOR: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let processors = available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(processors * TESTS_PER_PROCESSOR);
    let world = Arc::new(Lazy::default());
    let mut tests = [
        // The longest first, so that no one waits for it alone at the end.
        node_lost::TESTS,
        live_member::TESTS,
        deleted_sets::TESTS,
        writes::TESTS,
        author::TESTS,
        examples::TESTS,
        ranges::TESTS,
        anchoring::TESTS,
        departure::TESTS,
        last_member::TESTS,
        settings::TESTS,
        renewal::TESTS,
        claims::TESTS,
        yanked::TESTS,
        scale_up::TESTS,
        guards::TESTS,
        admission::TESTS,
        containers::TESTS,
        stuck::TESTS,
        tampered::TESTS,
        traffic::TESTS,
        bad_input::roads::TESTS,
        bad_input::grants::TESTS,
        bad_input::refused::TESTS,
        bad_input::claim::TESTS,
        bad_input::template::TESTS,
        bad_input::answer::TESTS,
        bad_input::component::TESTS,
        bad_input::reference::TESTS,
        bad_input::annotation::TESTS,
        lifecycle::TESTS,
        install::TESTS,
        dry_run::TESTS,
        policy_source::TESTS,
        timing::TESTS,
        recorded::TESTS,
        late_writes::TESTS,
        stopped::TESTS,
        upgrade::TESTS,
        bytes::TESTS,
        torn_down::TESTS,
        rights::TESTS,
        fleet::TESTS,
        foreseen::TESTS,
        weight::TESTS,
        two_hosts::TESTS,
        operator::TESTS,
    ]
    .concat();
    // Whoever has to be alone waits for all others, and all others for whoever waits to be alone.
    tests.sort_by_key(Test::company);
    let trials = tests.into_iter().map(|test| test.into_trial(&world)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
    // The cluster ends with `world`.
}
