//! The flags of `tidegate simulate`.

use std::path::PathBuf;

use clap::Args;

/// What to simulate.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The StatefulSet: a manifest as YAML or JSON, of which the first StatefulSet is taken. Its annotations count.
    #[arg(long, value_name = "FILE", required_unless_present = "from_cluster")]
    pub set: Option<PathBuf>,
    /// A StatefulSet that lives, as KUBECONFIG reaches it, with its claims, pods and policy. Nothing is changed; a drain pod is sent as a dry run.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["set", "script", "events"])]
    pub from_cluster: Option<String>,
    /// The number of replicas that it is scaled down to; one less than it has by default.
    #[arg(long, requires = "from_cluster", conflicts_with = "set")]
    pub replicas: Option<u32>,
    /// The namespace of the host, in which its library is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "tidegate")]
    pub own_namespace: String,
    /// The policy's component, packed or not, in the place of what the set names.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The folder of the library's components, for a set that names `library:NAME`: NAME.wasm is taken.
    #[arg(long, value_name = "DIR")]
    pub library: Option<PathBuf>,
    /// The policy's config, or @FILE, in the place of what the set says.
    #[arg(long, value_name = "TEXT|@FILE")]
    pub config: Option<String>,
    /// What happens, one event a line; by default the set is scaled down by one, and the drain pod succeeds.
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    pub script: Option<PathBuf>,
    /// The same on the command line, an event each time, as in `-e 'scale 2' -e 'pod web-2 evicted'`.
    #[arg(short = 'e', long = "event", value_name = "EVENT")]
    pub events: Vec<String>,
    /// Show drain pods whole, as YAML, and not only what differs from the set's own template.
    #[arg(long)]
    pub show_pod: bool,
}
