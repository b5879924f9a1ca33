//! `cargo xtask guards`: takes out each guard that `host/ARCHITECTURE.md` names, in turn, and runs the tests that are named for it. What is not
//! missed by a test is a test that is missing, or code that does nothing.

mod copy;
mod guard;
mod mutants;
mod table;
mod trial;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::workspace;
use crate::progress::{during, spell};
use crate::results::{Outcome, Results};
use crate::sources;

use copy::Copy;
use guard::{Falls, Guard};
use trial::Ran;

/// The package of which `--core` takes guards out.
const CORE: &str = "tidegate-core";

/// The arguments of `cargo xtask guards`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the guards of which the file's name has this part; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Only what the tests of the core show, which takes a few minutes.
    #[arg(long, conflicts_with = "no_cluster")]
    pub core: bool,
    /// Only what can be shown without a cluster.
    #[arg(long)]
    pub no_cluster: bool,
    /// Let cargo-mutants change the core in every way that it knows, instead.
    #[arg(long, conflicts_with_all = ["core", "no_cluster"])]
    pub mutants: bool,
}

/// Which tests are run.
#[derive(Clone, Copy)]
enum Reach {
    Core,
    NoCluster,
    All,
}

/// What became of a guard that was taken out.
enum Verdict {
    /// Each command fell, with the first test of each.
    Caught(Vec<String>),
    /// This command passed all the same.
    Survived(String),
    /// Nothing was shown.
    Broken(String),
}

/// Takes out the guards and tells of each whether it was missed. Fails where one was not.
///
/// # Errors
/// Where the table, a file or a source is not as the others say, or a command could not be run.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.mutants {
        return mutants::run(&args.only);
    }
    let reach = match (args.core, args.no_cluster) {
        (true, _) => Reach::Core,
        (false, true) => Reach::NoCluster,
        (false, false) => Reach::All,
    };
    let guards = guards()?;
    let began = Instant::now();
    let picked: Vec<Guard> = guards
        .iter()
        .filter(|guard| args.is_meant(&guard.name))
        .filter_map(|guard| reach.of(guard))
        .collect();
    ensure!(!picked.is_empty(), "no guard of that name falls by these tests");
    let copy = during("copying the workspace", Copy::make)?;
    let sound = sound(&copy, &picked)?;
    let mut caught: usize = 0;
    for guard in &picked {
        let began = Instant::now();
        let verdict = match unsound(guard, &sound) {
            Some(why) => Verdict::Broken(why),
            None => without(&copy, guard)?,
        };
        caught += usize::from(matches!(verdict, Verdict::Caught(_)));
        tell(guard, &verdict, &spell(began.elapsed()));
    }
    summary(caught, &picked, guards.len(), &spell(began.elapsed()));
    Ok(if caught == picked.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn is_meant(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

impl Reach {
    /// The guard with those of its commands that are in reach; nothing where there is none.
    fn of(self, guard: &Guard) -> Option<Guard> {
        let in_reach = |falls: &&Falls| match self {
            Self::Core => falls.is_of(CORE),
            Self::NoCluster => !falls.needs_a_cluster(),
            Self::All => true,
        };
        let falls: Vec<Falls> = guard.falls.iter().filter(in_reach).cloned().collect();
        (!falls.is_empty()).then(|| Guard { falls, ..guard.clone() })
    }
}

/// Every guard, held against the table and the sources.
fn guards() -> Result<Vec<Guard>> {
    let guards = Guard::all(&folder())?;
    let architecture = fs::read_to_string(workspace().join("host/ARCHITECTURE.md"))?;
    table::in_step(&table::rows(&architecture)?, &guards)?;
    for guard in &guards {
        for cut in &guard.cuts {
            let text = fs::read_to_string(workspace().join(&cut.source))
                .with_context(|| format!("guard {}: reading {}", guard.name, cut.source))?;
            cut.applied(&text).with_context(|| format!("guard {}", guard.name))?;
        }
        for test in guard.falls.iter().flat_map(|falls| &falls.run).filter(|it| is_a_name(it)) {
            ensure!(sources::name_a_test(test)?, "guard {}: there is no test {test}", guard.name);
        }
    }
    Ok(guards)
}

fn is_a_name(argument: &str) -> bool {
    !argument.starts_with('-')
}

fn folder() -> PathBuf {
    workspace().join("host/guards")
}

/// What becomes of each command while every guard stands. A cluster test of which `cargo xtask test` has kept that it passes is not run again:
/// each such run starts a cluster.
fn sound(copy: &Copy, guards: &[Guard]) -> Result<BTreeMap<Falls, Ran>> {
    let kept = Results::kept()?;
    let mut sound = BTreeMap::new();
    for falls in guards.iter().flat_map(|guard| &guard.falls) {
        if sound.contains_key(falls) {
            continue;
        }
        let ran = if falls.needs_a_cluster() && is_known_to_pass(&kept, falls) {
            Ran::Passed
        } else {
            during(&falls.spell(), || trial::run(copy.folder(), falls))?
        };
        sound.insert(falls.clone(), ran);
    }
    Ok(sound)
}

fn is_known_to_pass(kept: &Results, falls: &Falls) -> bool {
    let is_meant = |name: &str| falls.run.iter().any(|part| name.contains(part.as_str()));
    let mut meant = kept
        .outcomes
        .iter()
        .filter(|(test, _)| test.target == "host/cluster" && is_meant(&test.name));
    let first = meant.next();
    first.is_some_and(|(_, outcome)| *outcome == Outcome::Ok)
        && meant.all(|(_, outcome)| *outcome == Outcome::Ok)
}

fn unsound(guard: &Guard, sound: &BTreeMap<Falls, Ran>) -> Option<String> {
    guard.falls.iter().find_map(|falls| {
        let why = match sound.get(falls)? {
            Ran::Passed => return None,
            Ran::Failed(tests) => {
                format!("{} fails with every guard in its place", tests.join(", "))
            }
            Ran::NoneThere => "no test was run".to_owned(),
            Ran::Broken(why) => why.clone(),
        };
        Some(format!("{}: {why}", falls.spell()))
    })
}

/// The guard is put back whatever comes of it; should even that fail, the next run brings the copy up to date.
fn without(copy: &Copy, guard: &Guard) -> Result<Verdict> {
    copy.take_out(guard)?;
    let verdict = missed(copy, guard);
    copy.put_back(guard)?;
    verdict
}

fn missed(copy: &Copy, guard: &Guard) -> Result<Verdict> {
    let mut by = Vec::new();
    for falls in &guard.falls {
        match during(&format!("without {}", guard.name), || trial::run(copy.folder(), falls))? {
            Ran::Failed(tests) => by.extend(tests.first().cloned()),
            Ran::Passed => return Ok(Verdict::Survived(falls.spell())),
            Ran::NoneThere => bail!("{}: the test was there before", falls.spell()),
            Ran::Broken(why) => return Ok(Verdict::Broken(format!("{}: {why}", falls.spell()))),
        }
    }
    Ok(Verdict::Caught(by))
}

#[allow(clippy::print_stdout, reason = "what became of each guard is what the command is run for")]
fn tell(guard: &Guard, verdict: &Verdict, took: &str) {
    match verdict {
        Verdict::Caught(by) => println!("caught    {}: {} ({took})", guard.name, by.join(", ")),
        Verdict::Survived(by) => {
            println!("SURVIVED  {}: {by} passes without it ({took})", guard.name)
        }
        Verdict::Broken(why) => println!("BROKEN    {}: {why}", guard.name),
    }
}

#[allow(clippy::print_stdout, reason = "what became of the guards is what the command is run for")]
fn summary(caught: usize, picked: &[Guard], all: usize, took: &str) {
    let left = all.saturating_sub(picked.len());
    let left = if left == 0 { String::new() } else { format!("; {left} were not asked for") };
    println!("{caught} of {} guards caught in {took}{left}", picked.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_of_the_architecture_can_be_taken_out() {
        let guards = guards().map_err(|error| format!("{error:#}"));
        assert!(!guards.unwrap().is_empty());
    }

    #[test]
    fn a_cluster_test_counts_as_passing_only_where_every_test_meant_passed() {
        let text = "Why.\nrow a\nfalls -p tidegate --test cluster -- guards::a\nx.rs\n- b\n";
        let falls = Guard::read("a", text).unwrap().falls.remove(0);
        assert!(falls.needs_a_cluster());
        let kept = |outcomes: &[(&str, Outcome)]| Results {
            outcomes: outcomes
                .iter()
                .map(|(name, outcome)| {
                    let (target, name) = ("host/cluster".to_owned(), (*name).to_owned());
                    (crate::results::Test { target, name }, *outcome)
                })
                .collect(),
        };
        let (ok, failed) = (Outcome::Ok, Outcome::Failed);
        assert!(!is_known_to_pass(&kept(&[]), &falls));
        assert!(!is_known_to_pass(&kept(&[("other", ok)]), &falls));
        assert!(is_known_to_pass(&kept(&[("guards::a_one", ok)]), &falls));
        let mixed = kept(&[("guards::a_one", ok), ("guards::a_two", failed)]);
        assert!(!is_known_to_pass(&mixed, &falls));
    }
}
