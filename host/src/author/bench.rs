//! `tidegate policy bench`: what calls take, and whether they take more than they did.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::args::BenchArgs;
use super::case::{Case, FOLDER, is_fault, readable, state_of};
use super::load::load;
use super::{Outcome, say};
use crate::policy::Module;

/// The file beside the cases that keeps their fuel.
pub(super) const KEPT: &str = "fuel.json";

/// How much more fuel than is kept a call may take, in per cent: another version of a compiler moves it by a few.
const SLACK_PERCENT: u64 = 10;

/// What the calls of one case took.
struct Measured {
    fuel: u64,
    /// Whether each call had an answer, as far as it went.
    answered: bool,
    p50: Duration,
    p99: Duration,
}

/// Measures every case. Bad where one takes clearly more fuel than is kept.
pub(super) async fn bench(args: &BenchArgs) -> anyhow::Result<Outcome> {
    let folder = cases_of(args);
    let cases = Case::read_all(&folder)?;
    let module = load(&args.file).await?;
    let kept = kept(&folder.join(KEPT))?;
    let mut fuel = BTreeMap::new();
    let mut outcome = Outcome::Good;
    say(&format!("{:<32} {:>12} {:>10} {:>10}", "case", "fuel", "p50 µs", "p99 µs"))?;
    for case in &cases {
        let it = measure(&module, case, args.calls).await?;
        let (p50, p99) = (it.p50.as_micros(), it.p99.as_micros());
        say(&format!("{:<32} {:>12} {p50:>10} {p99:>10}", case.name, it.fuel))?;
        if !it.answered {
            say("  a call has no answer but a fault: `tidegate policy run` says why")?;
            outcome = Outcome::Bad;
        }
        match kept.get(&case.name) {
            Some(kept) if !args.update && it.fuel > allowed(*kept) => {
                say(&format!(
                    "  {kept} is kept, and {SLACK_PERCENT} % more is allowed: find what got dearer, or keep it with --update"
                ))?;
                outcome = Outcome::Bad;
            }
            Some(_) | None => {}
        }
        fuel.insert(case.name.clone(), it.fuel);
    }
    if let Some(gone) = kept.keys().find(|name| !args.update && !fuel.contains_key(*name)) {
        say(&format!(
            "{KEPT} keeps what {gone} took, and there is no such case: --update leaves it out"
        ))?;
        outcome = Outcome::Bad;
    }
    if args.update {
        let path = folder.join(KEPT);
        fs::write(&path, format!("{:#}\n", serde_json::to_value(&fuel)?))
            .with_context(|| format!("{}: it cannot be written", path.display()))?;
    }
    Ok(outcome)
}

fn cases_of(args: &BenchArgs) -> PathBuf {
    let beside = || args.file.parent().unwrap_or_else(|| Path::new(".")).join(FOLDER);
    args.cases.clone().unwrap_or_else(beside)
}

const fn allowed(kept: u64) -> u64 {
    kept.saturating_add(kept.saturating_mul(SLACK_PERCENT) / 100)
}

fn kept(file: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{}", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("{}", file.display())),
    }
}

/// The calls of a passage count as one.
async fn measure(module: &Module, case: &Case, calls: u32) -> anyhow::Result<Measured> {
    let mut times = Vec::new();
    let mut fuel = 0;
    let mut answered = true;
    for _ in 0..calls {
        let mut state = String::new();
        let mut took = Duration::ZERO;
        fuel = 0;
        for draft in &case.calls {
            let call = draft.call(&mut state)?;
            let began = Instant::now();
            let said = call.ask(module).await;
            took += began.elapsed();
            fuel += said.used.fuel;
            let answer = readable(&said);
            answered &= !is_fault(&answer);
            if let Some(given) = state_of(&answer) {
                given.clone_into(&mut state);
            }
        }
        times.push(took);
    }
    times.sort_unstable();
    let at = |per_cent: usize| {
        let place = (times.len() * per_cent).div_ceil(100).saturating_sub(1);
        times.get(place).copied().unwrap_or_default()
    };
    Ok(Measured { fuel, answered, p50: at(50), p99: at(99) })
}
