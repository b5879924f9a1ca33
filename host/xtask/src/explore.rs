//! `cargo xtask explore`: searches the small world of `host/world` for what must never happen.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use tidegate_world::{
    Reduction, Rules,
    explore::{Bounds, End, Findings, Liveness, Progress, explore},
    objects::{CLAIMS_MAX, HOSTS_MAX, ORDINALS_MAX},
    trace::tell,
};

use crate::progress;

/// The arguments of `cargo xtask explore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many ordinals may be drained; ordinal 0 is there besides, and nothing happens to it.
    #[arg(long, default_value_t = ORDINALS_MAX)]
    pub ordinals: usize,
    /// How many claims an ordinal has.
    #[arg(long, default_value_t = CLAIMS_MAX)]
    pub claims: usize,
    /// How many hosts act at once.
    #[arg(long, default_value_t = HOSTS_MAX)]
    pub hosts: usize,
    /// How many requests may be on their way after their host gave them up.
    #[arg(long, default_value_t = 1)]
    pub late: usize,
    /// How many hosts may be in the middle of a reading of which a part is no longer so.
    #[arg(long, default_value_t = HOSTS_MAX)]
    pub readers: usize,
    /// How many surprises may happen: acts of people, mishaps, odd answers of the policy, crashes, answers that are lost, requests that are late.
    #[arg(long, default_value_t = 1)]
    pub surprises: usize,
    /// How many drain pods the set may have at once.
    #[arg(long, default_value_t = 1)]
    pub max_parallel: u32,
    /// Tell apart what nobody in the world can; slower, and finds the same.
    #[arg(long)]
    pub unreduced: bool,
    /// After how many worlds of one beginning the search stops; a world takes 10 to 20 bytes, and one that is not yet searched 40 more.
    #[arg(long, default_value_t = 200_000_000)]
    pub worlds_max: usize,
}

/// Searches, and tells how far it went and what it found. Fails where it found something.
///
/// # Errors
/// Where there is no such world.
#[allow(clippy::print_stdout, reason = "what was found is what the command is run for")]
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!((1..=ORDINALS_MAX).contains(&args.ordinals), "--ordinals is 1 to {ORDINALS_MAX}");
    ensure!((1..=CLAIMS_MAX).contains(&args.claims), "--claims is 1 to {CLAIMS_MAX}");
    ensure!((1..=HOSTS_MAX).contains(&args.hosts), "--hosts is 1 to {HOSTS_MAX}");
    let rules = Rules {
        ordinals: args.ordinals,
        claims: args.claims,
        hosts: args.hosts,
        late: args.late,
        readers: args.readers,
        surprises: args.surprises,
        max_parallel: args.max_parallel,
        sabotage: None,
        reduction: if args.unreduced { Reduction::None } else { Reduction::Lazy },
    };
    let began = Instant::now();
    let bounds = Bounds { worlds_max: args.worlds_max, liveness: Liveness::Checked };
    let found = explore(&rules, bounds, &|it| tell_progress(&it, began));
    println!("{}", summary(&found, began.elapsed().as_secs()));
    let Some(violation) = &found.violation else {
        return Ok(ExitCode::SUCCESS);
    };
    for line in tell(violation, &rules) {
        println!("  {line}");
    }
    Ok(ExitCode::FAILURE)
}

fn tell_progress(it: &Progress, began: Instant) {
    let Progress { beginning, surprises, worlds, depth, ended } = it;
    let how = match ended {
        None => "so far",
        Some(End::Whole) => "and that is all",
        Some(End::Bounded) => "and the bound is reached",
        Some(End::Found) => "and something was found",
    };
    progress::say(format_args!(
        "{} s: beginning {beginning}, {surprises} surprises: {worlds} worlds, {depth} turns deep, {how}",
        began.elapsed().as_secs()
    ));
}

fn summary(found: &Findings, secs: u64) -> String {
    let end = match found.end {
        End::Whole => "all were searched",
        End::Bounded => "the bound was reached before all were searched",
        End::Found => "the search ended with what it found",
    };
    format!(
        "{} worlds ({} by number of surprises: {:?}), {} turns, depth {}, the planner asked {} times, {} violations, {secs} s: {end}",
        found.worlds,
        found.by_surprises.len(),
        found.by_surprises,
        found.turns,
        found.depth,
        found.asked,
        usize::from(found.violation.is_some()),
    )
}
