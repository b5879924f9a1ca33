//! `cargo xtask demo`: the sharded store of `examples/shards` is scaled down on a real cluster, with an eviction half way, and
//! every file is looked for afterwards.

mod kubectl;
mod ledger;
mod passage;
mod stage;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::progress::{say, spell};
use stage::Stage;

/// The arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play on the cluster of this kubeconfig rather than on one that is started for the demo. It must have a default storage
    /// class, and none of the namespaces `tidegate` and `shards`.
    #[arg(long, value_name = "FILE", requires = "image")]
    pub kubeconfig: Option<PathBuf>,
    /// The host's image, where the nodes of that cluster find it.
    #[arg(long, value_name = "REF", requires = "kubeconfig")]
    pub image: Option<String>,
    /// The store's image, where the nodes of that cluster find it.
    #[arg(long, value_name = "REF", requires = "kubeconfig")]
    pub store_image: Option<String>,
    /// Play on the stand-in node even where the machine can run a kubelet.
    #[arg(long, conflicts_with = "kubeconfig")]
    pub stand_in: bool,
}

/// Plays the demo, and cleans up whether it passes, fails or is interrupted.
///
/// The last line begins `demo passed:` and the code is 0, or it begins `demo failed:` with the reason and the code is 1.
#[allow(clippy::print_stdout, reason = "the story is what the command is run for")]
pub fn run(args: &Args) -> ExitCode {
    let started = Instant::now();
    let outcome = Interrupted::on_signals().and_then(|interrupted| {
        let outcome = play(args, &interrupted);
        // Whatever an interruption broke, it is the reason.
        interrupted.check()?;
        outcome
    });
    match outcome {
        Ok(done) => {
            println!("demo passed: {done}, in {}", spell(started.elapsed()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether somebody asked the demo to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// Notes SIGINT and SIGTERM from then on. A second one ends the process at once.
    fn on_signals() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Fails once somebody asked.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        Ok(())
    }
}

fn play(args: &Args, interrupted: &Interrupted) -> Result<String> {
    let stage = Stage::set(args, interrupted)?;
    let outcome = story::play(&stage);
    if outcome.is_err() && interrupted.check().is_ok() {
        stage.show_why();
    }
    say("cleaning up");
    let cleaned = stage.clear();
    let done = outcome?;
    cleaned?;
    Ok(done)
}
