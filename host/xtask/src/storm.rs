//! `cargo xtask storm`: random schedules on a real control plane, many at once, with hosts that are killed and stopped at any moment, and an oracle
//! that reads etcd's own history.
//!
//! A seed stands for a set and for moves; when each of them meets which step of the hosts is up to the machine, so that a seed that failed may have to
//! be played several times until it fails again.

mod audit;
mod dice;
mod etcd;
mod hosts;
mod manifests;
mod oracle;
mod past;
mod person;
mod play;
mod rest;
mod schedule;
mod stage;
mod story;
mod verdict;

pub use dice::Dice;

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::image;
use crate::progress::{during, say, spell};
use hosts::Blows;
use schedule::Schedule;
use stage::Stage;
use verdict::{Tally, Verdict};

/// How many schedules share a control plane. What has ended stays there, and costs more and more to list.
const BATCH: u64 = 500;

/// How many hosts there are.
const HOSTS: u64 = 2;

/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// The arguments of `cargo xtask storm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The seeds, from the first up to but without the last.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Range<u64>,
    /// How many schedules are played at once.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub at_once: u16,
    /// Another binary of the host than the one that is built from this checkout.
    #[arg(long)]
    pub host: Option<PathBuf>,
}

/// Plays them all and prints what came of it. Fails where the oracle complains or something did not come to rest.
///
/// # Errors
/// Where the cluster or a host cannot be started, or the cluster itself breaks.
#[allow(clippy::print_stdout, reason = "what came of it is what the command is run for")]
pub fn run(args: &Args) -> Result<ExitCode> {
    let binary = match &args.host {
        Some(binary) => binary.clone(),
        // It lies beside the archive that it went into.
        None => during("building the host", image::host_image)?.path.with_extension(""),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut next = args.seeds.start;
    while next < args.seeds.end {
        let batch = next..args.seeds.end.min((next / BATCH + 1) * BATCH);
        next = batch.end;
        runtime.block_on(play_batch(args, batch, &binary, &mut tally))?;
        say(format_args!("{} schedules after {}", tally.schedules, spell(began.elapsed())));
    }
    println!("{}", tally.in_words(began.elapsed()));
    Ok(if tally.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Some schedules on a control plane of their own.
async fn play_batch(
    args: &Args,
    seeds: Range<u64>,
    binary: &std::path::Path,
    tally: &mut Tally,
) -> Result<()> {
    let stage = Arc::new(Stage::set().await?);
    say(format_args!("seeds {} to {}", seeds.start, seeds.end - 1));
    let (over, is_over) = watch::channel(false);
    let mut hosts = JoinSet::new();
    for number in 0..HOSTS {
        let (stage, is_over, binary) = (Arc::clone(&stage), is_over.clone(), binary.to_owned());
        hosts.spawn(hosts::rage(stage, number, seeds.start, is_over, binary));
    }
    let places = Arc::new(Semaphore::new(usize::from(args.at_once)));
    let mut played = JoinSet::new();
    for seed in seeds {
        played.spawn(one(Arc::clone(&stage), Arc::clone(&places), seed));
    }
    let mut told = Instant::now();
    while !played.is_empty() {
        tokio::select! {
            Some(verdict) = played.join_next() => match verdict? {
                Ok(verdict) => {
                    verdict.keep_if_bad()?;
                    tally.take_in(&verdict);
                }
                Err(error) => {
                    say(format_args!("{error:#}"));
                    tally.broken += 1;
                }
            },
            Some(ended) = hosts.join_next() => {
                ended??;
                bail!("a host's keeper ended before the storm was over");
            }
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            say(format_args!(
                "{} schedules are judged, {} are left of this batch",
                tally.schedules,
                played.len()
            ));
        }
    }
    over.send_replace(true);
    while let Some(blows) = hosts.join_next().await {
        let Blows { killed, stopped, ended } = blows??;
        tally.blows.killed += killed;
        tally.blows.stopped += stopped;
        tally.blows.ended += ended;
    }
    Ok(())
}

/// Plays one schedule and judges it.
async fn one(stage: Arc<Stage>, places: Arc<Semaphore>, seed: u64) -> Result<Verdict> {
    let schedule = Schedule::of(seed);
    let namespace = schedule.namespace();
    let place = places.acquire_owned().await?;
    let person = stage.person(&namespace);
    let played = play::play(&stage, &person, &schedule).await;
    let played = played.with_context(|| format!("playing seed {seed}"))?;
    drop(place);
    // A host that stands still may yet send what it had decided on.
    tokio::time::sleep(hosts::longest_still()).await;
    stage.caught_up().await?;
    let mut past = person.story().past();
    past.asked = stage.asked(&namespace)?;
    let verdict = Verdict::of(schedule, played, past);
    play::leave(&person).await?;
    stage.forget(&namespace);
    Ok(verdict)
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    let wrong = || "write two whole numbers, such as 0..200; the second is not played".to_owned();
    parsed.filter(|range| !range.is_empty()).ok_or_else(wrong)
}
