//! What an operator does when a drain does not go on: `status` says where every ordinal stands and why, `adopt` enrols by hand, `retry` tries
//! again, `release` gives back and lets go.
//!
//! Every command reads the cluster, decides without any I/O, and sends what it decided, each write for the very object and version that it
//! read. Where something had changed meanwhile the command reads and decides again.

pub mod adopt;
pub mod args;
pub mod hand;
pub mod refusal;
pub mod release;
pub mod retry;
pub mod saying;
pub mod scene;
pub mod show;
pub mod status;
#[cfg(test)]
mod tests;

pub use args::OperatorCommand;

use std::{
    collections::BTreeSet,
    io::{Write, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use kube::{Config, ResourceExt};
use tidegate_core::{Ordinal, Target, name};

use crate::{
    act::free_set,
    clock,
    cluster::{Cluster, Effect},
    error::Error,
    objects::SetObject,
};
use args::{Consent, OrdinalArgs, Output, Place, ReleaseArgs, StatusArgs};
use hand::{Move, Then, carry_out};
use refusal::Refusal;
use scene::{Case, Scene};
use show::Found;

/// How often a command looks anew where the cluster changes under it, or waits for its own writes to show. Giving a sealed ordinal back takes
/// three looks, and a host that works on the same ordinal a few more.
const LOOKS_MAX: usize = 20;
/// The pause between two looks, in milliseconds: a person does not notice it, and whoever changed the object is through with it.
const LOOK_PAUSE_MS: u64 = 250;

/// Runs one command. What it did goes to standard output, why it did nothing to standard error.
#[must_use]
pub fn run(command: OperatorCommand) -> ExitCode {
    let mut out = stdout();
    match start(command, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let refused = error.downcast_ref::<Refusal>().map(Refusal::code);
            let prefix =
                refused.map_or_else(|| "error".to_owned(), |code| format!("refused, {code}"));
            // Where nobody can be told, the exit code says it.
            let _ = writeln!(std::io::stderr(), "{prefix}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: OperatorCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Config::infer().await.context("no cluster: set KUBECONFIG")?;
        let default = config.default_namespace.clone();
        let desk = Desk { cluster: Cluster::new(config, Effect::Real)?, default };
        match command {
            OperatorCommand::Status(args) => desk.status(&args, out).await,
            OperatorCommand::Adopt(args) => desk.adopt(&args, out).await,
            OperatorCommand::Retry(args) => desk.retry(&args, out).await,
            OperatorCommand::Release(args) => desk.release(&args, out).await,
        }
    })
}

/// The cluster, and the namespace where none is named.
struct Desk {
    cluster: Cluster,
    default: String,
}

impl Desk {
    async fn status(&self, args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let only = args.set.as_deref();
        let (place, namespaces) = if args.all_namespaces {
            ("every namespace".to_owned(), self.namespaces().await?)
        } else {
            let name = self.namespace(&args.place);
            (format!("namespace {name}"), BTreeSet::from([name]))
        };
        let mut found = Found { place, sets: 0, rows: Vec::new(), now: clock::now() };
        let mut is_there = args.all_namespaces || only.is_none();
        for namespace in &namespaces {
            let scene = Scene::read(&self.cluster, namespace).await?.hear(&self.cluster).await?;
            is_there |= only.is_some_and(|set| scene.find(set, None).is_ok());
            let (sets, rows) = status::status(&scene, only)?;
            found.sets += sets;
            found.rows.extend(rows);
        }
        if let (false, Some(set)) = (is_there || found.sets > 0, only) {
            let namespace = self.namespace(&args.place);
            return Err(Refusal::NoSuchSet { namespace, set: set.to_owned() }.into());
        }
        let text = match args.output {
            Output::Text => found.text(),
            Output::Json => found.json(),
        };
        Ok(out.write_all(text.as_bytes())?)
    }

    async fn adopt(&self, args: &OrdinalArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let namespace = self.namespace(&args.place);
        let scene = Scene::read(&self.cluster, &namespace).await?;
        let subject = scene.find(&args.set, Some(args.ordinal))?;
        let case = subject.case(&scene, args.ordinal)?;
        let namespace_uid = if case.seen.set.anchors() {
            self.cluster.namespace_uid(&namespace).await?
        } else {
            None
        };
        let adoption = adopt::adopt(&case, namespace_uid.as_deref())?;
        out.write_all(adoption.preview.as_bytes())?;
        match Consent::of_flag(args.yes) {
            Consent::Missing => {
                writeln!(out, "Nothing was changed. Repeat the command with --yes to do it.")?;
            }
            Consent::Given => {
                carry_out(&self.cluster, case.seen, args.ordinal, &adoption.next, out).await?;
                ended(&adoption.next, out)?;
            }
        }
        Ok(())
    }

    async fn retry(&self, args: &OrdinalArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let consent = Consent::of_flag(args.yes);
        let decide = |case: &Case<'_>| retry::retry(case, consent);
        self.until_done(&args.place, &args.set, args.ordinal, decide, out).await
    }

    async fn release(&self, args: &ReleaseArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        match args.ordinal {
            Some(ordinal) => {
                self.until_done(&args.place, &args.set, ordinal, release::release, out).await
            }
            None => self.release_set(args, out).await,
        }
    }

    async fn release_set(&self, args: &ReleaseArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let namespace = self.namespace(&args.place);
        let scene = Scene::read(&self.cluster, &namespace).await?;
        let subject = scene.find(&args.set, None)?;
        let freed = release::release_set(&scene, &subject, Consent::of_flag(args.yes))?;
        let target = Target::from(&subject.seen.set);
        free_set(&self.cluster, &namespace, &target, &freed.finalizers).await?;
        let (set, taken) = (&args.set, freed.finalizers.join(", "));
        writeln!(out, "done: taking finalizers off set {namespace}/{set}: {taken}")?;
        Ok(writeln!(out, "{}", freed.follows)?)
    }

    /// Reads, decides and writes until nothing is left to do.
    async fn until_done(
        &self,
        place: &Place,
        set: &str,
        ordinal: Ordinal,
        decide: impl Fn(&Case<'_>) -> Result<Move, Refusal>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let namespace = self.namespace(place);
        for _ in 0..LOOKS_MAX {
            let scene = Scene::read(&self.cluster, &namespace).await?;
            let subject = scene.find(set, Some(ordinal))?;
            let case = subject.case(&scene, ordinal)?;
            let next = decide(&case)?;
            match carry_out(&self.cluster, case.seen, ordinal, &next, out).await {
                Ok(()) if matches!(next.then, Then::Done(_)) => return ended(&next, out),
                Ok(()) => {}
                Err(error) if changed_meanwhile(&error) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
        }
        let member = name::member(set, ordinal);
        anyhow::bail!(
            "{member} kept changing during {LOOKS_MAX} looks: see `tidegate status {set} -n {namespace}`, and try again"
        )
    }

    fn namespace(&self, place: &Place) -> String {
        place.namespace.clone().unwrap_or_else(|| self.default.clone())
    }

    /// Every namespace that has a set.
    async fn namespaces(&self) -> Result<BTreeSet<String>, Error> {
        let sets: Vec<SetObject> = self.cluster.list(None, "").await?;
        Ok(sets.iter().filter_map(ResourceExt::namespace).collect())
    }
}

fn ended(last: &Move, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Then::Done(follows) = &last.then {
        writeln!(out, "{follows}")?;
    }
    Ok(())
}

fn changed_meanwhile(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_conflict)
}
