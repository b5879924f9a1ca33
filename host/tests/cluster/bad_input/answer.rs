//! Policies that load, and break a limit when they are asked.

use anyhow::{Result, ensure};

use super::{Orphan, POLICY, drained_at_zero, template};
use crate::components::Guest;
use crate::puppet;
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::answer::a_fault_is_no_verdict", a_fault_is_no_verdict),
    test("bad_input::answer::a_million_log_lines", a_million_log_lines),
];

/// Lines of one call that the host keeps, as `tidegate::policy::log` has it.
const LINES_OF_A_CALL: usize = tidegate::policy::log::LOG_MAX_MESSAGES;

/// A trap, an endless loop, memory without end, and answers that are too large or none.
fn a_fault_is_no_verdict(site: &Site<'_>) -> Result<()> {
    // The loop is of instructions that cost fuel and no time, so that a slow machine sees the same.
    let endless = format!("(loop {} (br 0)) unreachable", "(drop (i32.const 1))".repeat(1000));
    let greedy = "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable";
    let kept = |reason_bytes: u32| {
        format!(
            "(drop (memory.grow (i32.const 600))) (i32.store8 (i32.const 0) (i32.const 2))
            (i32.store (i32.const 8) (i32.const 64))
            (i32.store (i32.const 12) (i32.const {reason_bytes})) (i32.const 0)"
        )
    };
    let template = "(drop (memory.grow (i32.const 8))) (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store (i32.const 8) (i32.const 131072))
        (i32.store (i32.const 12) (i32.const 262145)) (i32.const 0)";
    let rows: [(&str, &str, &[&str]); 6] = [
        ("trap", "unreachable", &["the policy trapped", "unreachable"]),
        ("loop", &endless, &["fuel", "loops"]),
        ("memory", greedy, &["more than 64 MiB of memory"]),
        ("huge", &kept(30 * 1024 * 1024), &["handed over more than 4 MiB", "answer with less"]),
        ("template", template, &["262145 bytes in `pod.template`", "262144 is the most"]),
        (
            "case",
            "(i32.store8 (i32.const 0) (i32.const 9)) (i32.const 0)",
            &["trapped", "discriminant"],
        ),
    ];
    let reference = "rows-follow@sha256:0";
    let orphan = Orphan::of(site, &drained_at_zero(Store::bare()).annotated(POLICY, reference))?;
    for (name, render, words) in rows {
        let component = Guest { render, ..Guest::default() }.component();
        let digest = site.config_map(name, ("policy.wasm", &component))?;
        let words: Vec<&str> =
            std::iter::once(digest.as_str()).chain(words.iter().copied()).collect();
        orphan.told_of(POLICY, &format!("{name}@sha256:{digest}"), "PolicyFault", &words)?;
    }
    orphan.is_untouched()
}

/// What is said beyond the limit is dropped, and the answer counts all the same; where the machine is too busy for a million lines, the
/// deadline of the call says so.
fn a_million_log_lines(site: &Site<'_>) -> Result<()> {
    let render = format!(
        "(local $left i32)
        (local.set $left (i32.const 1000000))
        (loop
          (call $log (i32.const 1) (i32.const 512) (i32.const 5))
          (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        {}",
        puppet::RENDER
    );
    let items = r#"(data (i32.const 512) "again")"#;
    let component = Guest { render: &render, items, ..Guest::default() }.component();
    let digest = site.config_map("chatty", ("policy.wasm", &component))?;
    let store = drained_at_zero(Store::bare())
        .annotated(POLICY, &format!("chatty@sha256:{digest}"))
        .annotated(puppet::TEMPLATE, &template().to_string());
    site.start(&store)?;
    site.scale("web", 0)?;
    eventually("the drain ends, or the deadline of the call is told", SOON, || {
        let slow = site.events("web", "PolicyFault")?;
        let is_gone = site.claim("data-web-0")?.is_none() && site.pod("web-0")?.is_none();
        let told = slow.iter().any(|event| event["note"].to_string().contains("did not answer"));
        Ok(if is_gone || told { Look::Found(()) } else { Look::NotYet(format!("{slow:?}")) })
    })?;

    let hosts = ["logs", "-n", "tidegate", "-l", "app.kubernetes.io/name=tidegate", "--tail=-1"];
    let log = site.world.kubectl(&hosts)?;
    let here = |line: &&str| line.contains(&site.namespace);
    let said = log.lines().filter(here).filter(|line| line.contains("policy: again")).count();
    let calls =
        log.lines().filter(here).filter(|line| line.contains("logged more than is kept")).count();
    // The last line of a call tells that more was dropped, and may not be in the log yet.
    ensure!(
        calls > 0 && said <= LINES_OF_A_CALL * (calls + 1),
        "{said} lines of {calls} calls are in the host's log"
    );
    Ok(())
}
