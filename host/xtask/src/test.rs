//! `cargo xtask test`: every test of the workspace, those on a real cluster too.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::cargo;
use crate::policies;
use crate::progress::during;

/// The arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What `cargo test` is given after its own `--`: a part of the names of the tests to run, `--skip NAME`, `--list`.
    #[arg(last = true, value_name = "FILTER")]
    pub filters: Vec<String>,
}

/// Builds the policies and all tests, and runs them. The tests on a cluster build and start it themselves, once.
///
/// The code is that of `cargo test`, and so are the last lines. Fails where something could not be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    during("building the policies", policies::build_all)?;
    let status = cargo()
        .args(["test", "--workspace", "--"])
        .args(&args.filters)
        .status()
        .context("running cargo test")?;
    // A cargo that was killed by a signal has no code of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
