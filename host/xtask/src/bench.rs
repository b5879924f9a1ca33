//! `cargo xtask bench`: what the host costs, each figure beside a floor that was measured in the same run.
//!
//! Absolute figures are those of one machine at one moment, and are claimed of no other; the ratio to the floor is what they are for.

mod bare;
mod client;
mod figures;
mod fleet;
pub(crate) mod host;
mod latency;
mod policy;
mod requests;
mod sets;
pub(crate) mod stage;

use anyhow::Result;

pub use client::connect;
pub use fleet::{Fleet, Lot, node};
pub use host::Resident;
pub use stage::{Told, install, token};

/// The arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// From the member's deletion seen to the drain pod's POST answered, beside the same by a bare client.
    Latency(latency::Args),
    /// A fresh instance and one `judge` of `exec`, beside a bare wasmtime call with the same arguments.
    Policy(policy::Args),
    /// Many sets on stand-in nodes, all scaled down at once: time, memory and requests.
    Sets(sets::Args),
}

/// Runs one bench and prints its figures.
///
/// # Errors
/// Where something could not be started, or a passage did not go through.
pub fn run(args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Latency(args) => latency::run(args),
        Bench::Policy(args) => policy::run(args),
        Bench::Sets(args) => sets::run(args),
    }
}
