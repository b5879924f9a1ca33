//! One run: a passage, walked with a fault or without.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::fault::{Armed, Fault};
use crate::ground::Place;
use crate::host;
use crate::passage::Passage;
use crate::scene::{Scene, nothing_more};
use crate::state::State;
use crate::wait::{eventually, found_if};

/// How long a run may take to come to rest after all that was done in it: a host that was refused waits for longer each time.
const RESTS_WITHIN: Duration = Duration::from_secs(120);

/// How the name of a list ends from which a watch begins.
const FOR_THE_WATCH: &str = "for the watch";

/// What a host says of a pass that has broken off because a reading was not answered.
const GIVEN_UP: &str = "so the cluster is read again";

/// How long nothing must be asked but watches for the host to be at rest: longer than it ever waits after one failure.
const QUIET: Duration = Duration::from_millis(1_500);

/// The same where a call is not answered, or slowly: longer than the host waits for it.
const QUIET_WHERE_SLOW: Duration = Duration::from_secs(6);

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What the namespace holds.
    pub(crate) state: State,
    /// How many objects of each description are gone.
    pub(crate) gone: BTreeMap<String, u64>,
    /// How many drain pods of each attempt there were.
    pub(crate) drain_pods: BTreeMap<String, u64>,
    /// What the host asked for, each where it came first.
    pub(crate) calls: Vec<String>,
}

/// Walks a passage in a namespace of its own. Where an undisturbed outcome is given, this one must be the same.
pub(crate) fn walk(
    place: &Place,
    passage: &Passage,
    namespace: &str,
    fault: Option<(&str, Fault)>,
    undisturbed: Option<&Outcome>,
) -> Result<Outcome> {
    let (scene, armed) = Scene::open(place, namespace, passage.bars, fault)?;
    let outcome = walk_to_rest(&scene, armed, passage, fault, undisturbed).map_err(|error| {
        let calls: Vec<String> = scene.journal.names();
        let counted = calls.iter().map(|call| format!("{} x {call}", scene.journal.count(call)));
        let calls = counted.collect::<Vec<_>>().join("\n");
        let log = host::log(namespace);
        anyhow!("{error:#}\n\nnamespace {namespace}, the host's calls:\n{calls}\n\nits log:\n{log}")
    });
    scene.leave();
    outcome
}

fn walk_to_rest(
    scene: &Scene<'_>,
    armed: Option<Armed>,
    passage: &Passage,
    fault: Option<(&str, Fault)>,
    undisturbed: Option<&Outcome>,
) -> Result<Outcome> {
    let _still_held = thread::scope(|scope| {
        let befallen = armed.map(|armed| scope.spawn(|| scene.befall(armed)));
        let walked = (passage.people)(scene);
        let befallen = match befallen {
            Some(befallen) => befallen.join().map_err(|_| anyhow!("the fault broke"))?,
            None => Ok(None),
        };
        let may_stay_out = fault.is_some_and(|(call, _)| passage.may_stay_out(call));
        let stays_out = fault.is_some_and(|(call, _)| scene.journal.count(call) == 0);
        let befallen = if may_stay_out && stays_out { Ok(None) } else { befallen };
        // That the fault did not come explains why the people waited in vain, and not the other way round.
        match (befallen, walked) {
            (Ok(held), Ok(())) => Ok(held),
            (Ok(_), Err(error)) | (Err(error), Ok(())) => Err(error),
            (Err(fault), Err(walked)) => Err(walked.context(format!("{fault:#}"))),
        }
    })?;
    rests(scene, passage, fault, undisturbed.map(|outcome| &outcome.state))?;
    let history = &scene.place.history;
    let outcome = Outcome {
        state: scene.state()?,
        gone: history.gone(&scene.namespace),
        drain_pods: history.drain_pods(&scene.namespace),
        calls: scene.journal.names(),
    };
    if let Some(undisturbed) = undisturbed {
        nothing_more(&undisturbed.state.difference(&outcome.state), "it did not end the same")?;
        nothing_more(&counts(&undisturbed.gone, &outcome.gone), "other objects are gone")?;
        let pods = counts(&undisturbed.drain_pods, &outcome.drain_pods);
        nothing_more(&pods, "there were other drain pods")?;
    }
    Ok(outcome)
}

/// Waits until all is as it should be, the host is ready and asks for nothing more, and has begun anew what a fault has broken.
fn rests(
    scene: &Scene<'_>,
    passage: &Passage,
    fault: Option<(&str, Fault)>,
    undisturbed: Option<&State>,
) -> Result<()> {
    let quiet = match fault {
        Some((_, Fault::Hang | Fault::RestartBehind)) => QUIET_WHERE_SLOW,
        Some(_) | None => QUIET,
    };
    let goes_on = fault.and_then(|(call, fault)| made_again(call, fault));
    eventually("it ends as undisturbed, with the host at rest", RESTS_WITHIN, || {
        let state = scene.state()?;
        let difference = match undisturbed {
            Some(undisturbed) => undisturbed.difference(&state),
            None if (passage.is_over)(&state) => String::new(),
            None => format!("it is not over: {state:?}"),
        };
        let ready = scene.host_is_ready()?;
        let asked = goes_on.as_ref().is_none_or(|call| {
            let is_given_up =
                !call.ends_with(FOR_THE_WATCH) && host::log(&scene.namespace).contains(GIVEN_UP);
            scene.journal.count(call) > 1 || is_given_up
        });
        let rests = scene.journal.quiet_for() > quiet;
        Ok(found_if(difference.is_empty() && ready && asked && rests, || {
            format!(
                "the host ready: {ready}, at rest: {rests}, has asked again: {asked}\n{difference}"
            )
        }))
    })
    .context("it did not come to rest")
}

/// The call that a host which goes on makes once more, whatever else it does: a watch is begun anew, from a list where its version is forgotten, and a
/// reading that was never answered is made again, or given up where nothing is left to be done by then. A pass that waits for ever is at rest, too.
fn made_again(call: &str, fault: Fault) -> Option<String> {
    match (call.split_once(' '), fault) {
        (Some(("watch", what)), Fault::Gone) => Some(format!("list {what} for the watch")),
        (Some(("watch", _)), _) | (Some(("get" | "list", _)), Fault::Hang) => Some(call.to_owned()),
        (Some(("list", what)), _) if what.ends_with(FOR_THE_WATCH) => Some(call.to_owned()),
        (Some(_) | None, _) => None,
    }
}

fn counts(expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> String {
    let names: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let of =
        |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or_default();
    let differing = names.into_iter().filter(|name| of(expected, name) != of(found, name));
    let lines: Vec<String> = differing
        .map(|name| format!("{name}: undisturbed {}, here {}", of(expected, name), of(found, name)))
        .collect();
    lines.join("\n")
}
