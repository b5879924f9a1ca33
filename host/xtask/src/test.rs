//! `cargo xtask test`: every test of the workspace, those on a real cluster too.

use std::process::{ExitCode, ExitStatus};

use anyhow::Result;

use crate::policies;
use crate::progress::during;
use crate::results::Results;
use crate::targets;

/// The arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What `cargo test` is given after its own `--`: a part of the names of the tests to run, `--skip NAME`, `--list`.
    #[arg(last = true, value_name = "FILTER")]
    pub filters: Vec<String>,
}

/// Builds the policies and all tests, and runs them. The tests on a cluster build and start it themselves, once.
///
/// The code is that of `cargo test`, and so are the last lines. What became of each test is kept, for `cargo xtask faults`; where some tests
/// were picked, what was known of the others stays. Fails where something could not be built or started.
///
/// # Errors
/// Where cargo could not be run, or the results could not be kept.
pub fn run(args: &Args) -> Result<ExitCode> {
    during("building the policies", policies::build_all)?;
    let targets = match targets::build(&["--workspace"])? {
        Ok(targets) => targets,
        Err(status) => return Ok(code(status)),
    };
    // A run takes the better part of an hour: it tells everything that fails, and not only what fails first.
    let mut arguments = ["--workspace", "--no-fail-fast", "--"].map(str::to_owned).to_vec();
    arguments.extend(args.filters.iter().cloned());
    let (status, results) = targets::run(&targets, &arguments)?;
    let before = if args.filters.is_empty() { Results::default() } else { Results::kept()? };
    results.over(before).keep()?;
    Ok(code(status))
}

/// A cargo that was killed by a signal has no code of its own.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
