//! The driver: one pass over one set. It reads as the design does: observe, ask the policies, plan, check, act, report.

use std::{sync::Arc, time::Duration};

use kube::Resource;
use tidegate_core::{
    Answer, Ordinal, Plan, Reason, Report, Seat, Seen, Settings, Step, TimeMs, check::check,
    plan::plan, questions, seen::Stewardship,
};

use crate::{
    act, ask,
    cluster::{Effect, Order},
    error::Error,
    host::{Host, Sight},
    objects::{PodObject, SetObject},
    queue::Next,
    report::Told,
};

/// When to look again where an object had changed since it was read, in milliseconds: whoever changed it may do so again in the same breath.
const AFTER_CONFLICT_MS: u64 = 50;

/// How old a reading may be when another ordinal is acted on, in milliseconds. What is left is done by the next pass, which follows at once.
const READING_MAX_MS: u64 = 1_000;
/// When to look again at the latest at a drain pod whose set is gone or may go, in milliseconds: changes of its claims lead to sets that are there, and
/// to nothing else.
const LEFT_BEHIND_RECHECK_MS: u64 = 600_000;
/// When to look again where the lease had run out, in milliseconds: either the process ends by then, or the lease was renewed at that moment.
const NOT_HELD_MS: u64 = 1_000;
/// When to look again where not everything could be told, in milliseconds: as many events as may wait are sent in 80 s.
const UNTOLD_MS: u64 = 30_000;

/// One pass. What the watches show says whether there is something to do; what is done is decided on a reading of its own.
///
/// # Errors
/// Where the cluster could not be read, or refused a write. The set is looked at again after a delay.
pub async fn reconcile(set: Arc<SetObject>, host: Arc<Host>) -> Result<Next, Error> {
    if !host.tenure.is_held() {
        return Ok(Next::requeue(Duration::from_millis(NOT_HELD_MS)));
    }
    let now = host.clock.now();
    tracing::trace!(namespace = set.metadata.namespace, set = set.metadata.name, "a pass begins");
    let glance = host.glance(&set, now)?;
    let drains = host.drains_of(&glance);
    host.modules.attend(&glance.set, settings(&glance), &drains, set.shown());
    let mut idle = plan(&glance, &ask::NO_ANSWERS, now);
    let asked = questions(&glance, now);
    if idle.is_idle() && asked.is_empty() {
        report_policy(&host, &glance, &mut idle);
        let told = host.reporter.waits(&host.memory, &glance, &idle);
        host.memory.went_through(&glance.set.uid);
        return Ok(unless_untold(told, next(&idle, now)));
    }
    // What the watches show too little of may be a write that no policy has a part in.
    let has_steps = idle.on_set.is_some() || !idle.steps.is_empty() || idle.look_closer;
    if !has_steps && ask::awaits_policies(&host, &glance, &drains, &asked) {
        return Ok(next(&idle, now));
    }
    // A seal is all that a claim's deletion can follow.
    let is_sealed = |seat: &Seat| seat.drain().is_some_and(|drain| drain.sealed);
    let any_sealed = glance.seats.values().any(is_sealed);
    let order = if any_sealed { Order::ClaimsFirst } else { Order::AtOnce };
    match pass(&host, Subject::Set(&set), order).await? {
        Some(next) => Ok(next),
        None => Ok(Next::await_change()),
    }
}

/// The same for a drain pod whose set is gone, which no pass over a set would find.
///
/// # Errors
/// As for [`reconcile`].
pub async fn reconcile_left_behind(pod: Arc<PodObject>, host: Arc<Host>) -> Result<Next, Error> {
    if !host.tenure.is_held() {
        return Ok(Next::requeue(Duration::from_millis(NOT_HELD_MS)));
    }
    let next = pass(&host, Subject::LeftBehind(&pod), Order::ClaimsFirst).await?;
    let next = next.unwrap_or_else(Next::await_change);
    Ok(next.at_the_latest(Duration::from_millis(LEFT_BEHIND_RECHECK_MS)))
}

/// What a pass is about.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Set(&'a SetObject),
    LeftBehind(&'a PodObject),
}

/// From look to report; nothing where the subject is gone. A plan that needs a closer look is made anew on a reading in order.
async fn pass(host: &Host, subject: Subject<'_>, order: Order) -> Result<Option<Next>, Error> {
    let now = host.clock.now();
    let sight = match subject {
        Subject::Set(set) => host.look(set, order, now).await?,
        Subject::LeftBehind(pod) => host.look_behind(pod, order, now).await?,
    };
    let Some(sight) = sight else {
        return Ok(None);
    };
    let drains = sight.seen.seats.values().filter_map(Seat::drain);
    host.modules.was_read(&sight.seen.set, &drains.map(|drain| drain.name.as_str()).collect());
    let answers = ask::ask(host, &sight, &questions(&sight.seen, now), now).await;
    let mut plan = plan(&sight.seen, &answers, now);
    check(&sight.seen, &answers, &plan)?;
    if plan.look_closer && order == Order::AtOnce {
        return Box::pin(pass(host, subject, Order::ClaimsFirst)).await;
    }
    report_policy(host, &sight.seen, &mut plan);
    host.witness.decided(&sight, &answers, &plan);
    let carried = carry_out(host, &sight, &plan, now).await;
    let told = host.reporter.waits(&host.memory, &sight.seen, &plan);
    carried?;
    let set = &sight.seen.set;
    host.memory.went_through(&set.uid);
    // What was written may have made the next step possible, and the watch may be slow to tell. A dry run wrote nothing.
    let wrote = !plan.is_idle() && host.cluster.effect() == Effect::Real;
    // In a set that departs the turn passes on from what is kept, which nothing else tells.
    let passes_on = |(ordinal, answer): (&Ordinal, &Answer)| {
        matches!(answer, Answer::Keep(_)) && host.memory.is_kept(&sight.seen, *ordinal)
    };
    let goes_on = wrote || (set.departs() && answers.iter().any(passes_on));
    let next = if goes_on { Next::requeue(Duration::ZERO) } else { next(&plan, now) };
    Ok(Some(unless_untold(told, next)))
}

fn unless_untold(told: Told, next: Next) -> Next {
    match told {
        Told::All => next,
        Told::NotAll => next.at_the_latest(Duration::from_millis(UNTOLD_MS)),
    }
}

/// That a policy is not taken into use is told when the set names it, whether anything is to be drained by then or not; and so is the end of that.
pub fn report_policy(host: &Host, seen: &Seen, plan: &mut Plan) {
    let Some(settings) = settings(seen) else {
        return;
    };
    let trouble = host.modules.trouble(&seen.set, settings);
    let reason = match trouble {
        Some(reason) => {
            host.memory.policy_troubles(&seen.set.uid);
            Some(reason)
        }
        None if host.memory.has_policy_troubled(&seen.set.uid) => {
            host.modules.taken(&seen.set).map(|digest| {
                host.memory.policy_is_taken(&seen.set.uid);
                Reason::PolicyTaken { digest: digest.to_string() }
            })
        }
        None => None,
    };
    plan.reports.extend(reason.map(|reason| Report { ordinal: None, reason }));
}

fn settings(seen: &Seen) -> Option<&Settings> {
    match &seen.set.stewardship {
        Stewardship::Ours(settings) => Some(settings),
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => None,
    }
}

/// When to look again after a failed pass: soon where only the facts had changed, later with every other failure in a row.
#[must_use]
pub fn after_error<K: Resource<DynamicType = ()>>(
    object: Arc<K>,
    error: &Error,
    host: Arc<Host>,
) -> Next {
    let meta = object.meta();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    if matches!(error, Error::NotHeld) {
        return Next::requeue(Duration::from_millis(NOT_HELD_MS));
    }
    if error.is_conflict() && host.memory.is_passing_conflict(uid) {
        tracing::debug!(namespace, name, "{error}");
        return Next::requeue(Duration::from_millis(AFTER_CONFLICT_MS));
    }
    let delay_ms = host.memory.after_failure(uid, host.clock.now());
    tracing::warn!(namespace, name, delay_ms, "{error}");
    Next::requeue(Duration::from_millis(delay_ms))
}

/// The step on the set, then the steps of one ordinal in order, up to the first that fails; a failure of one ordinal is no reason to leave out the
/// others.
async fn carry_out(host: &Host, sight: &Sight, plan: &Plan, now: TimeMs) -> Result<(), Error> {
    let mut failure = None;
    if let Some(step) = &plan.on_set {
        failure = take(host, sight, None, step, now).await.err();
    }
    for (at, (ordinal, steps)) in plan.steps.iter().rev().enumerate() {
        let age_ms = host.clock.now().0.saturating_sub(now.0);
        // A dry run writes nothing, so that no later pass would get further.
        if at > 0 && age_ms > READING_MAX_MS && host.cluster.effect() == Effect::Real {
            break;
        }
        for step in steps {
            if let Err(error) = take(host, sight, Some(*ordinal), step, now).await {
                failure = Some(error);
                break;
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn take(
    host: &Host,
    sight: &Sight,
    ordinal: Option<Ordinal>,
    step: &Step,
    now: TimeMs,
) -> Result<(), Error> {
    if !host.tenure.is_held() {
        return Err(Error::NotHeld);
    }
    let Seen { set, .. } = &sight.seen;
    let stamp = now.0.to_string();
    let of =
        act::Of { namespace: &set.namespace, set: &set.name, set_uid: &set.uid, stamp: &stamp };
    if let Err(error) = act::act(&host.cluster, of, &step.action).await {
        host.reporter.refused(&host.memory, &sight.seen, ordinal, &error);
        return Err(error);
    }
    host.memory.done(&sight.seen, &step.action);
    if let Some(change) = &step.change {
        host.reporter.changed(&host.memory, &sight.seen, ordinal, change);
    }
    Ok(())
}

fn next(plan: &Plan, now: TimeMs) -> Next {
    match plan.wake_at {
        Some(at) => Next::requeue(Duration::from_millis(at.remaining_ms(now).max(1))),
        None => Next::await_change(),
    }
}
