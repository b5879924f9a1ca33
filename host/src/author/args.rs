//! The commands of a policy's author.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Make a policy, test it and ship it.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Makes a folder with a policy that builds, its tests and its cases.
    New(NewArgs),
    /// Builds the policy of a folder and checks that it needs nothing but the log.
    Build(BuildArgs),
    /// Shows what a component is: imports, exports, digest, sizes, and what compiling it takes.
    Inspect(FileArgs),
    /// Asks a component about one case: the answer, what it logged, fuel, time and memory.
    Run(RunArgs),
    /// Asks a component about every case of a folder, and compares the answers with those that are kept.
    Test(TestArgs),
    /// Measures calls, and compares their fuel with what is kept.
    Bench(BenchArgs),
    /// Prints the ConfigMap that brings a component into a cluster, and how to name it on a set.
    Pack(PackArgs),
    /// Asks a component again what a host has recorded, and shows where its answers differ.
    Replay(ReplayArgs),
}

/// What to make.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Its name, and the folder's: lower-case letters, digits and `-`.
    pub name: String,
    /// The language to write it in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub lang: Language,
}

/// A language for policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript, run by QuickJS inside of the component.
    Js,
}

/// What to build.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The policy's folder.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// A component.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The component, packed or not.
    pub file: PathBuf,
}

/// What to ask.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The component, packed or not.
    pub file: PathBuf,
    /// The case, as in `cases/first.json`.
    #[arg(long)]
    pub case: PathBuf,
}

/// What to test.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The policy's folder, with its component `NAME.wasm` and its `cases`.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Another component than the folder's own.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Keep the answers as they are given, instead of comparing them. Look at the difference before you commit it.
    #[arg(long)]
    pub update: bool,
}

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The component, packed or not.
    pub file: PathBuf,
    /// The folder of the cases to ask; by default `cases` beside the component.
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// How often each case is asked.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub calls: u32,
    /// Keep the fuel as it is measured, instead of comparing it.
    #[arg(long)]
    pub update: bool,
}

/// What to pack.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// The component.
    pub file: PathBuf,
    /// The ConfigMap's name, to which the digest's first digits are added; by default the file's.
    #[arg(long)]
    pub name: Option<String>,
    /// Where to write the manifest; by default to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print what to write into the annotation `tidegate.dev/policy`, and nothing else.
    #[arg(long, conflicts_with = "output")]
    pub reference: bool,
}

/// What to ask again.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file of a recording, or the folder that `tidegate run --record-dir` names.
    pub record: PathBuf,
    /// The component to ask.
    pub file: PathBuf,
}
