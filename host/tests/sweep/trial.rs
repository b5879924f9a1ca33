//! The runs as tests, each by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Result, anyhow, ensure};
use libtest_mimic::{Failed, Trial};

use crate::call::slug;
use crate::fault::Fault;
use crate::ground::Lazy;
use crate::passage::{self, Passage};
use crate::run::{Outcome, walk};

/// How a passage ends undisturbed, found out by the first run that asks, or why that is not known.
type Reference = Arc<OnceLock<Result<Outcome, String>>>;

/// How each passage ends undisturbed, by its name.
#[derive(Default)]
struct References(Mutex<BTreeMap<&'static str, Reference>>);

/// Every run on this ground.
pub(crate) fn all(ground: &'static str, place: &Arc<Lazy>) -> Vec<Trial> {
    let references = Arc::new(References::default());
    let of_passage = |passage: &'static Passage| {
        let (of_it, of_them) = (Arc::clone(place), Arc::clone(&references));
        let name = format!("{ground}::{}::undisturbed", passage.name);
        let undisturbed = Trial::test(name, move || {
            undisturbed(&of_it, &of_them, passage).map_err(|error| failed(&error))
        });
        let (place, references) = (Arc::clone(place), Arc::clone(&references));
        let calls = passage.calls().enumerate();
        let disturbed = calls.flat_map(move |(number, call)| {
            let (place, references) = (Arc::clone(&place), Arc::clone(&references));
            Fault::ALL.iter().map(move |fault| {
                let name = format!("{ground}::{}::{}::{}", passage.name, slug(call), fault.slug());
                let (place, references) = (Arc::clone(&place), Arc::clone(&references));
                Trial::test(name, move || {
                    disturbed(&place, &references, passage, (call, *fault))
                        .map_err(|error| failed(&error))
                })
                .with_ignored_flag(!fault.is_always_run(call, number))
            })
        });
        std::iter::once(undisturbed).chain(disturbed)
    };
    passage::ALL.iter().flat_map(of_passage).collect()
}

/// Walked once more undisturbed, a passage ends the same, and its calls are those that are written down.
fn undisturbed(place: &Lazy, references: &References, passage: &Passage) -> Result<()> {
    let reference = references.of(place, passage)?;
    let again = walk(place.get()?, passage, &namespace(passage), None, Some(&reference))?;
    let listed: BTreeSet<&str> = passage.calls().collect();
    let missing: Vec<&&str> =
        listed.iter().filter(|call| !again.calls.iter().any(|made| made == *call)).collect();
    let known: BTreeSet<&str> =
        passage::ALL.iter().flat_map(Passage::known_calls).map(kind).collect();
    // Why nothing is done for a moment is told, and how long a moment is hangs on how busy the machine is.
    let is_unknown = |call: &&String| !known.contains(kind(call)) && !call.starts_with("tell ");
    let unknown: Vec<&String> = again.calls.iter().filter(is_unknown).collect();
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "calls/{}.txt lists calls that were not made: {missing:?}; no list has these: {unknown:?}; the calls were\n{}",
        passage.name,
        again.calls.join("\n")
    );
    Ok(())
}

fn disturbed(
    place: &Lazy,
    references: &References,
    passage: &Passage,
    fault: (&str, Fault),
) -> Result<()> {
    let reference = references.of(place, passage)?;
    walk(place.get()?, passage, &namespace(passage), Some(fault), Some(&reference))?;
    Ok(())
}

/// What is asked, after whichever write.
fn kind(call: &str) -> &str {
    call.split_once(" after ").map_or(call, |(kind, _)| kind)
}

/// A name for a namespace that no other run has.
fn namespace(passage: &Passage) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", passage.name.replace('_', "-"))
}

impl References {
    fn of(&self, place: &Lazy, passage: &Passage) -> Result<Outcome> {
        let of_passage = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(passage.name).or_default())
        };
        let outcome = of_passage.get_or_init(|| {
            let walked =
                place.get().and_then(|place| walk(place, passage, &namespace(passage), None, None));
            walked.map_err(|error| format!("{error:#}"))
        });
        outcome.clone().map_err(|why| anyhow!("the undisturbed passage: {why}"))
    }
}

fn failed(error: &anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}
