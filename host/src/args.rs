//! The command line. Every limit that an operator may want to move is a flag with its default and the reason for it.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    author::PolicyCommand,
    cluster::{self, Patience},
    lease::Timing,
    operator::OperatorCommand,
    simulate::args::SimulateArgs,
};

/// The longest span of a lease, in seconds: nobody waits longer than an hour for a dead host.
const LEASE_LONGEST_SECS: i64 = 3_600;
/// The longest that the API server may be waited for, in seconds: what is dead for longer should have been noticed.
const PATIENCE_LONGEST_SECS: i64 = 600;
/// The longest name of an object: Kubernetes' own limit.
const OBJECT_NAME_MAX_BYTES: usize = 253;

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
    /// What a policy's author does.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Shows a whole passage offline: a set, a scale-down, a policy, what would happen and why.
    Simulate(Box<SimulateArgs>),
    /// What an operator does when a drain does not go on.
    #[command(flatten)]
    Operator(OperatorCommand),
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
    /// The name of the host's pod, by which the lease says who holds it.
    #[arg(long, env = "POD_NAME", default_value = "tidegate")]
    pub own_name: String,
    /// Which of several hosts acts.
    #[command(flatten)]
    pub lease: LeaseArgs,
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
    /// How long the API server is waited for.
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Record every call of a policy in this folder: arguments, answer, digest and fuel, for `tidegate policy replay`. What the variables of the
    /// pods hold is left out; configs and everything else are in it.
    #[arg(long, value_name = "DIR")]
    pub record_dir: Option<PathBuf>,
    /// How many MiB all files of a recording have together; the oldest goes first. A call has some 10 kB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(4..=65_536))]
    pub record_max_mib: u32,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How long the API server is waited for.
#[derive(Clone, Copy, Debug, Args)]
pub struct PatienceArgs {
    /// How long a request may take before its outcome counts as unknown. Admission webhooks may take up to 30 s; where none does, less finds
    /// a dead connection earlier.
    #[arg(long, default_value_t = cluster::REQUEST_DEADLINE_SECS, value_parser = clap::value_parser!(u16).range(1..=PATIENCE_LONGEST_SECS))]
    pub request_deadline_secs: u16,
    /// How long a watch may be silent before it is opened again: how long a dead connection goes unnoticed. Each opening is a request for each
    /// of four watches.
    #[arg(long, default_value_t = cluster::WATCH_SECS, value_parser = clap::value_parser!(u16).range(1..=PATIENCE_LONGEST_SECS))]
    pub watch_secs: u16,
}

impl PatienceArgs {
    /// The same for the clients.
    #[must_use]
    pub const fn patience(self) -> Patience {
        Patience { request_secs: self.request_deadline_secs, watch_secs: self.watch_secs }
    }
}

/// Which of several hosts acts. The defaults of the spans are those of Kubernetes' own controllers.
#[derive(Debug, Args)]
pub struct LeaseArgs {
    /// Act without a lease, as a single host outside a cluster does. Two hosts without one do no harm, but tell everything twice. A dry run
    /// never takes a lease, so that it cannot keep it from the host that acts.
    #[arg(long)]
    pub no_lease: bool,
    /// The lease, in the host's own namespace. The shipped rights are for the default name alone.
    #[arg(long, default_value = "tidegate", value_parser = object_name)]
    pub lease_name: String,
    /// How long a lease is respected that was not seen to change: how long nothing is drained after a host died without a word.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=LEASE_LONGEST_SECS))]
    pub lease_duration_secs: u16,
    /// How long a host acts after its last renewal. Less than the duration, by what clocks may drift apart in that time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=LEASE_LONGEST_SECS))]
    pub lease_renew_deadline_secs: u16,
    /// The pause between two renewals: each is one request of a few hundred bytes, 30 a minute by default.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=LEASE_LONGEST_SECS))]
    pub lease_retry_secs: u16,
}

impl LeaseArgs {
    /// The spans, where they fit together.
    ///
    /// # Errors
    /// Where they do not.
    pub fn timing(&self) -> Result<Timing, String> {
        let secs = |secs: u16| Duration::from_secs(secs.into());
        Timing::new(
            secs(self.lease_duration_secs),
            secs(self.lease_renew_deadline_secs),
            secs(self.lease_retry_secs),
        )
    }
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

fn object_name(text: &str) -> Result<String, String> {
    let is_fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let fits = !text.is_empty() && text.len() <= OBJECT_NAME_MAX_BYTES && text.bytes().all(is_fit);
    let mend = "write a name of lower-case letters, digits, `-` and `.`";
    if fits { Ok(text.to_owned()) } else { Err(mend.to_owned()) }
}

fn library_entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, reference)) if !name.is_empty() && !reference.is_empty() => {
            Ok((name.to_owned(), reference.to_owned()))
        }
        Some(_) | None => Err("write NAME=CONFIGMAP[/KEY]@sha256:HEX".to_owned()),
    }
}
