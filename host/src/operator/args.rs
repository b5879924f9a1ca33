//! The commands of an operator.

use clap::{Args, Subcommand, ValueEnum};
use tidegate_core::Ordinal;

/// What an operator does when a drain does not go on.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Shows every orphan, drain, wait and refusal, with its reason and what to do about it.
    Status(StatusArgs),
    /// Enrols the claims of an orphan by hand, so that they are drained. Shows first what it would do.
    Adopt(OrdinalArgs),
    /// Tries a failed, held or waiting drain again at once.
    Retry(OrdinalArgs),
    /// Gives an ordinal back with its data, or lets go of a set or a pod that something of tidegate holds.
    Release(ReleaseArgs),
}

/// Where to look.
#[derive(Debug, Args)]
pub struct Place {
    /// The namespace; by default the one that the kubeconfig's context names.
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// What to show.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The set; by default every set that names a policy.
    pub set: Option<String>,
    /// The namespace.
    #[command(flatten)]
    pub place: Place,
    /// Look at every namespace.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for a person.
    Text,
    /// One JSON object.
    Json,
}

/// One ordinal of one set.
#[derive(Debug, Args)]
pub struct OrdinalArgs {
    /// The set.
    pub set: String,
    /// The ordinal, as 2 in `web-2`.
    #[arg(value_parser = ordinal)]
    pub ordinal: Ordinal,
    /// The namespace.
    #[command(flatten)]
    pub place: Place,
    /// Do it also where the command would only show it or refuse it without.
    #[arg(long)]
    pub yes: bool,
}

/// What to let go.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The set.
    pub set: String,
    /// The ordinal, as 2 in `web-2`.
    #[arg(value_parser = ordinal, required_unless_present = "whole_set")]
    pub ordinal: Option<Ordinal>,
    /// Take the finalizers of tidegate and of its predecessor off the set itself.
    #[arg(long = "set", conflicts_with = "ordinal")]
    pub whole_set: bool,
    /// The namespace.
    #[command(flatten)]
    pub place: Place,
    /// Do it also where Kubernetes then deletes claims with the set.
    #[arg(long)]
    pub yes: bool,
}

/// Whether a person has said that it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// They have.
    Given,
    /// They have not.
    Missing,
}

impl Consent {
    /// What a flag says.
    #[must_use]
    pub const fn of_flag(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Missing }
    }
}

fn ordinal(text: &str) -> Result<Ordinal, String> {
    Ordinal::parse(text).ok_or_else(|| "write the number of a member, as 2 for web-2".to_owned())
}
