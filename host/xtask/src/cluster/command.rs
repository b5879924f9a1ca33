//! `cargo xtask cluster up` and `down`.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use super::{ClientLimits, Cluster, History, Lifetime, Nodes, Options, default_dir, down};
use crate::progress;

/// A real Kubernetes on this machine.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Build it, the first time, and start it; it runs on in the background.
    Up {
        /// The folder for its state; clusters with different folders can run at once.
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
        /// The nodes: `kubelet` is a real one, `none` leaves that to stand-ins and needs no root.
        #[arg(long, value_enum, default_value = "kubelet")]
        nodes: NodeChoice,
        /// Let the controller manager send 500 requests a second rather than 20.
        #[arg(long)]
        raise_client_limits: bool,
    },
    /// End it and remove all that it left but its logs.
    Down {
        /// The folder that `up` was given.
        #[arg(long, default_value_os_t = default_dir())]
        dir: PathBuf,
    },
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum NodeChoice {
    Kubelet,
    None,
}

/// Runs `cargo xtask cluster`.
///
/// When `up` succeeds the cluster runs and the line for the shell that names its kubeconfig is
/// printed; when `down` succeeds no cluster runs from the folder. Fails as [`Cluster::start`] and
/// [`down`] do.
pub fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Up { dir, nodes, raise_client_limits } => {
            let options = Options {
                dir: dir.clone(),
                nodes: match nodes {
                    NodeChoice::Kubelet => Nodes::Kubelet,
                    NodeChoice::None => Nodes::StandInOnly,
                },
                lifetime: Lifetime::UntilDown,
                client_limits: if *raise_client_limits {
                    ClientLimits::Raised
                } else {
                    ClientLimits::Default
                },
                history: History::AsUsual,
            };
            let started = Instant::now();
            let cluster = Cluster::start(&options)?;
            progress::say(format_args!(
                "the cluster is up, after {}",
                progress::spell(started.elapsed())
            ));
            writeln!(stdout(), "export KUBECONFIG={}", cluster.kubeconfig().display())?;
            Ok(())
        }
        Action::Down { dir } => progress::during("ending the cluster", || down(dir)),
    }
}
