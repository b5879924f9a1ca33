//! Carries out what a command decided, one write after the other, and tells each.

use std::io::Write;

use tidegate_core::{Ordinal, Plan, Reason, Seen, Step, check::check, plan::plan};

use super::scene::Case;
use crate::{
    act::{self, act},
    ask::NO_ANSWERS,
    clock,
    cluster::Cluster,
    error::Error,
};

/// What a command does next.
#[derive(Debug, PartialEq, Eq)]
pub struct Move {
    /// The writes, in order; the first that fails ends them.
    pub steps: Vec<Step>,
    /// What makes them right.
    pub grounds: Grounds,
    /// What comes after them.
    pub then: Then,
}

/// What makes a write right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The invariants, as for the host's own writes: the check holds each against them.
    Plan,
    /// A person's word, where no host may act. The command has its own rules for it.
    Hand,
}

/// What comes after the writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The cluster is read again, and the command decides anew.
    Look,
    /// Nothing; what follows by itself, in words.
    Done(String),
}

/// Sends the writes.
///
/// # Errors
/// Where the check refuses one, or the API server does.
pub async fn carry_out(
    cluster: &Cluster,
    seen: &Seen,
    ordinal: Ordinal,
    next: &Move,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if next.grounds == Grounds::Plan {
        let steps = [(ordinal, next.steps.clone())].into();
        let plan = Plan { steps, ..Plan::default() };
        check(seen, &NO_ANSWERS, &plan).map_err(Error::from)?;
    }
    let stamp = clock::now().0.to_string();
    let set = &seen.set;
    let of =
        act::Of { namespace: &set.namespace, set: &set.name, set_uid: &set.uid, stamp: &stamp };
    for Step { action, change: _ } in &next.steps {
        act(cluster, of, action).await?;
        writeln!(out, "done: {}", act::words(of, action))?;
    }
    Ok(())
}

/// The host's own steps for this ordinal, where it needs no policy for them.
#[must_use]
pub fn planned(case: &Case<'_>) -> Vec<Step> {
    let mut plan = plan(case.seen, &NO_ANSWERS, case.scene.now);
    plan.steps.remove(&case.ordinal).unwrap_or_default()
}

/// The host's own reason to do nothing more about this ordinal.
#[must_use]
pub fn reported(case: &Case<'_>) -> Option<Reason> {
    let plan = plan(case.seen, &NO_ANSWERS, case.scene.now);
    let mut reports = plan.reports.into_iter();
    let found = reports.find(|report| report.ordinal == Some(case.ordinal));
    found.map(|report| report.reason)
}
