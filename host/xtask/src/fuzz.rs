//! `cargo xtask fuzz`: looks for inputs that break what `host/fuzz` asserts, with libFuzzer. Needs a C++ compiler and nothing else: no nightly, no
//! sanitizer, no cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, workspace};

/// The targets, as `host/fuzz` names them.
const TARGETS: [&str; 7] =
    ["annotations", "answers", "names", "notes", "packing", "passes", "templates"];

/// Seconds after which one input counts as one that never ends.
const INPUT_MAX_SECS: u32 = 10;

/// Megabytes above which an input counts as one that takes too much memory; a run holds its corpus in memory too.
const MEMORY_MAX_MB: u32 = 1_024;

/// Bytes of an input: a whole ConfigMap or set in miniature. Longer ones are slower and lead to nothing new.
const INPUT_MAX_BYTES: u32 = 16_384;

/// The arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is fuzzed; everything where nothing is named, one after the other.
    #[arg(value_parser = TARGETS)]
    pub target: Option<String>,
    /// For how long each is fuzzed, in seconds.
    #[arg(long, default_value_t = 600)]
    pub secs: u32,
    /// Put into the kept corpus what leads somewhere that it does not lead yet.
    #[arg(long)]
    pub keep: bool,
}

/// Fuzzes. Fails where something was found; the input lies in `host/fuzz/regressions` then, where the tests replay it.
///
/// # Errors
/// Where the targets cannot be built or run.
#[allow(clippy::print_stdout, reason = "what was found is what the command is run for")]
pub fn run(args: &Args) -> Result<ExitCode> {
    let built = build()?;
    let mut found = Vec::new();
    for target in TARGETS.into_iter().filter(|it| args.target.as_deref().is_none_or(|of| of == *it))
    {
        let place = Place::of(target, &built)?;
        println!("== {target}, {} s", args.secs);
        if !place.fuzz(args.secs)? {
            found.push(target);
        }
        if args.keep {
            place.keep()?;
        }
    }
    if found.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("found in {}: see host/fuzz/regressions", found.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Where one target's inputs lie.
struct Place {
    program: PathBuf,
    kept: PathBuf,
    regressions: PathBuf,
    work: PathBuf,
}

impl Place {
    fn of(target: &str, built: &Path) -> Result<Self> {
        let fuzz = workspace().join("host/fuzz");
        let place = Self {
            program: built.join(target),
            kept: fuzz.join("corpus").join(target),
            regressions: fuzz.join("regressions").join(target),
            work: workspace().join("target/fuzz/corpus").join(target),
        };
        for folder in [&place.kept, &place.regressions, &place.work] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(place)
    }

    /// Whether nothing was found.
    fn fuzz(&self, secs: u32) -> Result<bool> {
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={secs}"))
            .arg(format!("-artifact_prefix={}/", self.regressions.display()))
            .arg("-print_final_stats=1")
            .args([&self.work, &self.kept, &self.regressions]);
        status(&mut command)
    }

    fn keep(&self) -> Result<()> {
        let mut command = self.command();
        command.arg("-merge=1").args([&self.kept, &self.work]);
        ensure!(
            status(&mut command)?,
            "the corpus could not be merged into {}",
            self.kept.display()
        );
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-timeout={INPUT_MAX_SECS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MAX_MB}"))
            .arg(format!("-max_len={INPUT_MAX_BYTES}"));
        command
    }
}

/// Builds the targets in a folder of their own, with a compiler that instruments what is fuzzed, and gives back where they lie.
fn build() -> Result<PathBuf> {
    let compiler = Command::new("c++").arg("--version").output();
    ensure!(compiler.is_ok(), "libFuzzer is C++, and there is no c++: `apt-get install g++`");
    let engine = workspace().join("host/fuzz/engine");
    let engine = engine.canonicalize().with_context(|| format!("{}", engine.display()))?;
    let folder = workspace().join("target/fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo();
    command
        .current_dir(&engine)
        .args(["build", "--locked", "--bins", "--target", &triple])
        .env("RUSTC_WRAPPER", engine.join("rustc"))
        .env("CARGO_TARGET_DIR", &folder);
    ensure!(status(&mut command)?, "the targets in {} do not build", engine.display());
    Ok(folder.join(triple).join("debug"))
}

fn status(command: &mut Command) -> Result<bool> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("running {}", program.display()))?;
    Ok(status.success())
}
