//! What a person wants to see of a test that failed.

use std::fmt::Write as _;

use crate::process;
use crate::site::Site;
use crate::world::World;

/// How many lines of the host's log about the test's namespace are shown: a passage with some attempts has no more.
const LOG_LINES: usize = 40;

/// The pods, claims, sets and events of the test's namespace, and what the host logged about it last.
pub(crate) fn of(world: &World, site: &Site<'_>) -> String {
    let namespace = site.namespace.as_str();
    let questions: [&[&str]; 3] = [
        &["get", "pods,pvc,sts", "-n", namespace, "-o", "wide"],
        &["get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp"],
        &["get", "pods", "-n", "tidegate", "-o", "wide"],
    ];
    let mut text = String::new();
    for question in questions {
        let _ = write!(text, "$ kubectl {}\n{}\n", question.join(" "), ask(world, question));
    }
    let hosts = [
        "logs",
        "-n",
        "tidegate",
        "-l",
        "app.kubernetes.io/name=tidegate",
        "--tail=-1",
        "--prefix",
    ];
    let log = ask(world, &hosts);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(namespace)).collect();
    let _ = writeln!(text, "the host's log about {namespace}:");
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(&process::logs(namespace));
    text
}

fn ask(world: &World, question: &[&str]) -> String {
    world.kubectl(question).unwrap_or_else(|error| format!("{error:#}\n"))
}
