//! The command line. Every limit that an operator may want to move is a flag with its default and the reason for it.

use std::{collections::BTreeMap, net::SocketAddr};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drains the volumes that a scaled-down StatefulSet leaves behind, and deletes their claims only when that is proven.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the host.
    Run(Box<RunArgs>),
    /// Compiles one policy from standard input to standard output, under limits. The host starts this for itself.
    #[command(hide = true)]
    Compile,
}

/// How to run the host.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Look at this namespace only; by default at all.
    #[arg(long, env = "TIDEGATE_NAMESPACE")]
    pub namespace: Option<String>,
    /// The namespace that the host runs in, where the policies of its library are.
    #[arg(long, env = "POD_NAMESPACE", default_value = "tidegate")]
    pub own_namespace: String,
    /// A policy of the library: NAME=CONFIGMAP[/KEY]@sha256:HEX, once for each.
    #[arg(long = "library", value_name = "NAME=REFERENCE", value_parser = library_entry)]
    pub library: Vec<(String, String)>,
    /// Accept `tidegate.dev/policy` without a digest. Whoever may edit the ConfigMap then decides what is deleted.
    #[arg(long)]
    pub allow_unpinned: bool,
    /// Change nothing: send every write as a dry run, and say in events and in the log what it would have done.
    #[arg(long)]
    pub dry_run: bool,
    /// Where to answer /healthz and /readyz.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How many sets are worked on at once. Each costs up to two requests at a time; the API server's own limit for one client is in the
    /// hundreds.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for a person.
    Text,
    /// A JSON object a line.
    Json,
}

impl RunArgs {
    /// The library, by name.
    #[must_use]
    pub fn library(&self) -> BTreeMap<String, String> {
        self.library.iter().cloned().collect()
    }
}

fn library_entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, reference)) if !name.is_empty() && !reference.is_empty() => {
            Ok((name.to_owned(), reference.to_owned()))
        }
        Some(_) | None => Err("write NAME=CONFIGMAP[/KEY]@sha256:HEX".to_owned()),
    }
}
