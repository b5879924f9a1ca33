//! `cargo xtask bench policy`: builds the policies and runs the bench of package `tidegate`, which has the engine.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::cargo::cargo;
use crate::policies;
use crate::progress::during;

/// The arguments of `cargo xtask bench policy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The profile of cargo. The default is the one that the image is built with: dependencies, wasmtime among them, are optimised
    /// there, and the host's own code for the most part.
    #[arg(long, default_value = "dev")]
    profile: String,
    /// How many calls of each.
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
}

/// Runs the bench; its figures go to the standard output.
pub(super) fn run(args: &Args) -> Result<()> {
    let built = during("building the policies", policies::build_all)?;
    let mut components: Vec<PathBuf> = built.into_iter().map(|policy| policy.component).collect();
    components
        .push(during("building the one in JavaScript", || policies::build_javascript("spool"))?);
    let status = cargo()
        .args(["bench", "--package", "tidegate", "--bench", "policy", "--profile", &args.profile])
        .arg("--")
        .arg(args.calls.to_string())
        .args(components)
        .status()
        .context("running cargo bench")?;
    ensure!(status.success(), "cargo bench ended with {status}");
    Ok(())
}
