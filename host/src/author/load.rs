//! Loads a component as the host does.

use std::fs;
use std::future::Future;
use std::path::Path;

use anyhow::Context as _;

use super::Outcome;
use crate::policy::{Compiler, Module, Policies};

/// The bytes of a component's file.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| {
        format!("{}: it cannot be read; `tidegate policy build` makes a component", file.display())
    })
}

/// The policy in a file.
///
/// # Errors
/// Where the file cannot be read, and whatever keeps the host from loading it, in the host's words.
pub(super) async fn load(file: &Path) -> anyhow::Result<Module> {
    let policies = Policies::start(Compiler::this_process())
        .map_err(|error| anyhow::anyhow!("the WebAssembly engine does not start: {error:#}"))?;
    let loaded = policies.load(None, read(file)?).await;
    loaded.with_context(|| format!("{}", file.display()))
}

/// Calls of policies need a runtime of several threads.
pub(super) fn with_runtime(
    work: impl Future<Output = anyhow::Result<Outcome>>,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
