//! `tidegate simulate`: a whole passage offline. A set, a policy and a script of events go in; out comes what the host sees, asks, is answered, writes and
//! waits for, step by step, and what is deleted on what proof.
//!
//! Nothing of the decision is written a second time: the host that is shown is the host that runs in a cluster, from `reconcile` down to the
//! requests that `act` sends and the module that the loader compiles. Only its surroundings are others: the API server, the controllers and the
//! node are those of `tidegate-miniature`, the clock is told, and nothing sleeps, so that the same input gives the same lines.
//!
//! The explorer's world (`host/world`) is not what it runs in. That world is abstract on purpose: it knows neither containers nor messages, neither
//! exit codes nor hours, and it has two claims and three ordinals at most; a policy cannot be shown such a pod. The miniature keeps Kubernetes'
//! own objects, and the scripts that hold that world against a real control plane hold the miniature too.
//!
//! | file | does |
//! | --- | --- |
//! | `args.rs`, `script.rs`, `manifest.rs`, `policy.rs` | what goes in |
//! | `cluster.rs`, `node.rs` | the cluster, and what befalls it |
//! | `wire.rs`, `stage.rs` | the host in it |
//! | `live.rs` | a living set, as what goes in |
//! | `journal.rs`, `words.rs`, `outline.rs`, `end.rs` | what comes out |

pub mod args;
pub mod cluster;
pub mod end;
pub mod fault;
pub mod journal;
pub mod live;
pub mod manifest;
pub mod node;
pub mod outline;
pub mod policy;
pub mod script;
pub mod stage;
pub mod wire;
pub mod words;

use std::{
    fs,
    io::{Write as _, stderr, stdout},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
};

use serde_json::Value;
use tidegate_core::{Seen, settings};
use tidegate_miniature::{kind::Kind, refusal::Refusal, store::Key};

use crate::{
    clock,
    error::Error,
    modules::Sources,
    policy::{Compiler, Pinning, Policies},
};
use args::SimulateArgs;
use cluster::Shared;
use end::Outcome;
use fault::Fault;
use live::Living;
use outline::Show;
use script::{Deed, Event, Fate};
use stage::Stage;

/// The termination message of a drain pod that nobody says otherwise of: the one that the library's `exec` believes.
const PROOF: &str = "tidegate: drained";
/// When a simulation begins, in milliseconds since 1970: always at the same time, 2026-01-01 00:00 UTC, so that the same input gives the same lines.
const BEGINS_MS: u64 = 1_767_225_600_000;
/// What a simulation ends with that shows something refused, or something that waits for a person.
const EXIT_AMISS: u8 = 1;
/// What it ends with where it was given what it cannot use.
const EXIT_INPUT: u8 = 2;

/// Runs one simulation. What is seen goes to standard output, why it did not begin to standard error.
#[must_use]
pub fn run(args: &SimulateArgs) -> ExitCode {
    // A policy is called in place, which only this kind of runtime allows.
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Fault::Failed(error.to_string()))
        .and_then(|runtime| runtime.block_on(simulate(args)));
    match outcome {
        Ok((text, outcome)) => {
            let shown = stdout().write_all(text.as_bytes());
            match (shown, outcome) {
                (Ok(()), Outcome::Fine) => ExitCode::SUCCESS,
                (Ok(()), Outcome::Amiss) | (Err(_), _) => ExitCode::from(EXIT_AMISS),
            }
        }
        Err(fault) => {
            // Where nobody can be told, the exit code says it.
            let _ = writeln!(stderr(), "error: {fault}");
            match fault {
                Fault::Input(_) => ExitCode::from(EXIT_INPUT),
                Fault::Failed(_) => ExitCode::from(EXIT_AMISS),
            }
        }
    }
}

async fn simulate(args: &SimulateArgs) -> Result<(String, Outcome), Fault> {
    match (&args.from_cluster, &args.set) {
        (Some(reference), _) => of_living(args, reference).await,
        (None, Some(path)) => of_manifest(args, path).await,
        (None, None) => Err(Fault::Input("name a set: --set FILE".to_owned())),
    }
}

/// Plays a script with the set of a manifest, which runs whole and sound when it begins.
async fn of_manifest(args: &SimulateArgs, path: &Path) -> Result<(String, Outcome), Fault> {
    let mut set = manifest::read(path)?;
    configure(args, &mut set)?;
    let script = script(args, path, &set)?;
    let bytes = policy::from_files(args, manifest::policy_of(&set))?;
    let refused = |refusal: Refusal| Fault::unreadable(path, &refusal.message());
    let ground = Ground::lay(args, &mut set, bytes, BEGINS_MS).await?;
    ground.shared.lock().make(Kind::Set, &text(&set, "namespace"), &set).map_err(refused)?;
    let mut stage = ground.open(args, &set);
    play(&mut stage, &script).await.map_err(|error| Fault::Failed(error.to_string()))
}

/// Scales a copy of a set down that lives, and has every drain pod that comes of it succeed.
async fn of_living(args: &SimulateArgs, reference: &str) -> Result<(String, Outcome), Fault> {
    let Some((namespace, name)) = reference.split_once('/') else {
        return Err(Fault::Input(format!("--from-cluster {reference}: write NAMESPACE/NAME")));
    };
    let living = Living::connect().await?;
    let snapshot = living.read(namespace, name).await?;
    let mut set = snapshot.set.clone();
    configure(args, &mut set)?;
    let replicas = fewer(args, &set)?;
    let named = manifest::policy_of(&set).map(str::to_owned);
    let bytes = match (&named, &args.policy, &args.library) {
        (Some(named), None, None) => living.policy(namespace, &args.own_namespace, named).await?,
        _ => policy::from_files(args, named.as_deref())?,
    };
    let ground = Ground::lay(args, &mut set, bytes, clock::now().0).await?;
    snapshot.copy_into(&mut ground.shared.lock(), &set);
    let mut stage = ground.open(args, &set);
    let played = scale_down(&mut stage, &living, &set, replicas).await;
    played.map_err(|error| Fault::Failed(error.to_string()))
}

/// A cluster with a policy in it, before the set is.
struct Ground {
    shared: Arc<Shared>,
    told: Arc<AtomicU64>,
    policies: Policies,
    sources: Sources,
}

impl Ground {
    /// Loads the policy, and lays the ground at this time.
    async fn lay(
        args: &SimulateArgs,
        set: &mut Value,
        bytes: policy::Bytes,
        begins_ms: u64,
    ) -> Result<Self, Fault> {
        let policies = Policies::start(Compiler::this_process()).map_err(|error| {
            Fault::Failed(format!("the WebAssembly engine does not start: {error:#}"))
        })?;
        let own_namespace = &args.own_namespace;
        let placed = policy::place(bytes, set, own_namespace, &policies).await?;
        let told = Arc::new(AtomicU64::new(begins_ms));
        let refused = |refusal: Refusal| Fault::Input(refusal.message().to_owned());
        let namespace = text(set, "namespace");
        let shared = Shared::start(&told, &[own_namespace, &namespace]).map_err(refused)?;
        let mut state = shared.lock();
        state.add_node(set).map_err(refused)?;
        state.make(Kind::ConfigMap, &placed.namespace, &placed.map).map_err(refused)?;
        state.journal.heading(&end::title(set, &placed));
        drop(state);
        let (library, own_namespace) = (placed.library, own_namespace.clone());
        let sources = Sources { library, own_namespace, pinning: Pinning::Required };
        Ok(Self { shared, told, policies, sources })
    }

    /// The host in this cluster, which has come to rest with the set in it.
    fn open(self, args: &SimulateArgs, set: &Value) -> Stage {
        let show = if args.show_pod { Show::Whole } else { Show::Difference };
        let mut state = self.shared.lock();
        state.rest();
        state.journal.open(show, set["spec"]["template"].clone());
        drop(state);
        let key = Key::new(Kind::Set, &text(set, "namespace"), &text(set, "name"));
        Stage::open(&self.shared, &self.told, key, (self.policies, self.sources))
    }
}

async fn play(stage: &mut Stage, script: &Script) -> Result<(String, Outcome), Error> {
    stage.settle().await?;
    let mut known = stage.glance()?;
    for event in &script.events {
        let is_moot = script.origin == Origin::Default && !stage.can_be(event);
        if !is_moot {
            stage.happen(event).await?;
            match (&mut known, stage.glance()?) {
                (Some(known), Some(now)) => end::learn(known, now),
                (known @ None, now) => *known = now,
                (Some(_), None) => {}
            }
        }
    }
    ended(stage, known.as_ref())
}

async fn scale_down(
    stage: &mut Stage,
    living: &Living,
    set: &Value,
    replicas: u32,
) -> Result<(String, Outcome), Error> {
    stage.settle().await?;
    let beginning = stage.glance()?;
    let scaled = Event { deed: Deed::Scale(replicas), text: format!("scale {replicas}") };
    stage.happen(&scaled).await?;
    let mut known = 0;
    loop {
        let created: Vec<Value> = stage.shared().lock().journal.created().to_vec();
        let Some(pod) = created.get(known) else {
            return ended(stage, beginning.as_ref());
        };
        known += 1;
        let name = text(pod, "name");
        let said = living.admission(set, pod).await;
        stage.shared().lock().journal.admission(&name, &said);
        let fate = Fate::Exits { code: 0, message: PROOF.to_owned() };
        let text = format!("pod {name} succeeds {PROOF}");
        stage.happen(&Event { deed: Deed::Pod { name, fate }, text }).await?;
    }
}

fn ended(stage: &Stage, known: Option<&Seen>) -> Result<(String, Outcome), Error> {
    let outcome = end::summary(stage, known)?;
    let text = stage.shared().lock().journal.take();
    Ok((text, outcome))
}

/// How many replicas a set that lives is scaled down to.
fn fewer(args: &SimulateArgs, set: &Value) -> Result<u32, Fault> {
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let by_default = wanted.checked_sub(1);
    match args.replicas.or(by_default) {
        Some(replicas) if replicas < wanted => Ok(replicas),
        Some(_) | None => Err(Fault::Input(format!(
            "the set wants {wanted} replicas: name fewer with --replicas"
        ))),
    }
}

fn configure(args: &SimulateArgs, set: &mut Value) -> Result<(), Fault> {
    if let Some(config) = &args.config {
        manifest::annotate(set, settings::CONFIG, &config_of(config)?);
    }
    Ok(())
}

/// What happens, and who says so.
struct Script {
    events: Vec<Event>,
    origin: Origin,
}

/// Who says what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Whoever runs the simulation.
    Given,
    /// Nobody. A policy that renders no pod leaves none that could succeed, and nothing is wrong with that.
    Default,
}

/// The script, the events of the command line, or that the set is scaled down by one and the drain pod succeeds.
fn script(args: &SimulateArgs, path: &Path, set: &Value) -> Result<Script, Fault> {
    let given = |place: &str, text: &str| {
        Ok(Script { events: script::parse(place, text)?, origin: Origin::Given })
    };
    if let Some(path) = &args.script {
        let text = fs::read_to_string(path).map_err(|error| Fault::unreadable(path, &error))?;
        return given(&path.display().to_string(), &text);
    }
    if !args.events.is_empty() {
        return given("--event", &args.events.join("\n"));
    }
    let replicas = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let Some(fewer) = replicas.checked_sub(1) else {
        let why = "spec.replicas is 0, so there is nothing to scale down: write a script, as in -e 'scale 3' -e 'scale 2'";
        return Err(Fault::unreadable(path, &why));
    };
    let start = set["spec"]["ordinals"]["start"].as_u64().unwrap_or_default();
    let member = format!("{}-{}", text(set, "name"), start + fewer);
    let text = format!("scale {fewer}\npod {member} succeeds {PROOF}");
    Ok(Script { events: script::parse("the default script", &text)?, origin: Origin::Default })
}

fn config_of(config: &str) -> Result<String, Fault> {
    match config.strip_prefix('@') {
        None => Ok(config.to_owned()),
        Some(path) => {
            let path = Path::new(path);
            fs::read_to_string(path).map_err(|error| Fault::unreadable(path, &error))
        }
    }
}

fn text(set: &Value, field: &str) -> String {
    set["metadata"][field].as_str().unwrap_or_default().to_owned()
}
