//! `cargo xtask`: what developers of this project run.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::{
    bench, cluster, demo, explore, faults, fuzz, guards, image, policies, standin, storm, test,
};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What developers of tidegate run.")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// What the host costs, each figure beside a floor of the same run.
    Bench(bench::Args),
    /// A real Kubernetes on this machine, built from Go modules.
    Cluster(cluster::Args),
    /// A sharded store is scaled down on a real cluster, with an eviction half way, and no file is lost.
    Demo(demo::Args),
    /// Every order of events in a small world, searched for what must never happen.
    Explore(explore::Args),
    /// The faults that the host must bear, each with its tests and what became of them.
    Faults(faults::Args),
    /// Inputs that nobody thought of, made by libFuzzer until something that must hold does not.
    Fuzz(fuzz::Args),
    /// Each guard of the host taken out in turn, and whether a test misses it.
    Guards(guards::Args),
    /// The images of the host and of the examples as OCI archives; shows path, size and digest of each.
    Image,
    /// Build the policies and show each: name, size, digest, imports, exports.
    Policies(policies::Args),
    /// A node that plays pods as plain processes or from scripts, for a machine without a kubelet.
    Standin(standin::Args),
    /// Random schedules on a real control plane, hosts killed and stopped, and an oracle that reads etcd's history.
    Storm(storm::Args),
    /// Every test, those on a real cluster too; ends as `cargo test` does.
    Test(test::Args),
}

fn main() -> Result<ExitCode> {
    match Args::parse().task {
        Task::Bench(args) => bench::run(&args)?,
        Task::Cluster(args) => cluster::run(&args)?,
        Task::Demo(args) => return Ok(demo::run(&args)),
        Task::Explore(args) => return explore::run(&args),
        Task::Faults(args) => return faults::run(&args),
        Task::Fuzz(args) => return fuzz::run(&args),
        Task::Guards(args) => return guards::run(&args),
        Task::Image => image::run()?,
        Task::Policies(args) => policies::run(&args)?,
        Task::Standin(args) => standin::run(&args)?,
        Task::Storm(args) => return storm::run(&args),
        Task::Test(args) => return test::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}
