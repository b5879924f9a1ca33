//! What other namespaces notice of one that brings hostile modules in a loop: how long they wait for a policy of their own, and for a verdict of one that is
//! loaded. Beside each figure stands the same with nobody else about, from the same run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tidegate::cluster::{Cluster, Effect};
use tidegate::modules::{Modules, Sources, Unavailable};
use tidegate::objects::Shown;
use tidegate::policy::{Compiler, Module, Pinning, Policies};
use tidegate_core::seen::{Cascade, Life, Stewardship, WhenScaled};
use tidegate_core::settings::{self, PodManagement};
use tidegate_core::{Set, Settings};
use tokio::sync::mpsc;

use crate::components::{Guest, compile_bomb};
use crate::situations::{drain_pod, situation};

/// How many policies the others bring in each case, each in a namespace of its own.
const OTHERS: u32 = 30;

/// How many hostile policies wait at any time.
const HOSTILE_AT_ONCE: u32 = 16;

/// The pause between two verdicts that are timed.
const PAUSE: Duration = Duration::from_millis(5);

/// The fewest verdicts of a case, so that one in a hundred is not the slowest of all.
const VERDICTS_MIN: usize = 2_000;

/// How wide and deep the hostile functions are: their compiler dies of its memory after some seconds of work.
const LOOPS: usize = 2_000;
const LOCALS: usize = 1_000;

/// The namespace that brings them.
const HOSTILE: &str = "hostile";

/// How long the others wait.
#[derive(Default)]
struct Waits {
    policies: Vec<Duration>,
    verdicts: Vec<Duration>,
}

/// Measures both cases and prints what came of them.
pub(crate) async fn measure() -> Result<()> {
    let quiet = case("quiet", 0).await?;
    let crowded = case("crowded", HOSTILE_AT_ONCE).await?;
    show(quiet, crowded);
    Ok(())
}

async fn case(name: &'static str, hostile_at_once: u32) -> Result<Waits> {
    let host = Arc::new(Host::start().await?);
    let loaded = host.load(&set(name, "verdicts")).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let hostile: Vec<_> = (0..hostile_at_once)
        .map(|line| tokio::spawn(bring(Arc::clone(&host), Arc::clone(&stop), line)))
        .collect();
    let verdicts = tokio::spawn(time_verdicts(loaded, Arc::clone(&stop)));
    let mut waits = Waits::default();
    for number in 0..OTHERS {
        let began = Instant::now();
        host.load(&set(&format!("{name}-{number}"), "mine")).await?;
        waits.policies.push(began.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    waits.verdicts = verdicts.await??;
    for bringing in hostile {
        bringing.abort();
    }
    Ok(waits)
}

/// Names one hostile policy after the other, each as soon as the one before was refused.
async fn bring(host: Arc<Host>, stop: Arc<AtomicBool>, line: u32) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    while !stop.load(Ordering::Relaxed) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let set =
            Set { uid: format!("{HOSTILE}-{line}"), ..set(HOSTILE, &format!("bomb-{number}")) };
        let _refused = host.load(&set).await;
    }
}

async fn time_verdicts(module: Module, stop: Arc<AtomicBool>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) || times.len() < VERDICTS_MIN {
        let began = Instant::now();
        let judged = module.judge(situation(), drain_pod()).await;
        times.push(began.elapsed());
        ensure!(judged.answer.is_ok(), "{:?}", judged.answer);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

/// The part of the host that policies come from, with an API server that has every ConfigMap that is asked for.
struct Host {
    modules: Modules,
    woken: tokio::sync::Mutex<mpsc::Receiver<(String, String)>>,
    told: tokio::sync::watch::Sender<u64>,
}

impl Host {
    async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let server = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let cluster = Cluster::new(kube::Config::new(server.parse()?), Effect::Real)?;
        let compiler = Compiler::new(env!("CARGO_BIN_EXE_tidegate").into());
        let policies = Policies::start(compiler).map_err(|error| anyhow!("{error:#}"))?;
        let sources = Sources {
            library: BTreeMap::new(),
            own_namespace: "tidegate".to_owned(),
            pinning: Pinning::Optional,
        };
        let (wake, woken) = mpsc::channel(1_024);
        let (told, _) = tokio::sync::watch::channel(0);
        let modules = Modules::new(policies, sources, cluster, wake);
        Ok(Self { modules, woken: tokio::sync::Mutex::new(woken), told })
    }

    /// Names the policy of the set and waits until there is an answer, as passes do that are made again.
    async fn load(&self, set: &Set) -> Result<Module> {
        let settings = settings_of(set)?;
        self.modules.attend(set, Some(settings), &[], Shown::default());
        let mut told = self.told.subscribe();
        loop {
            match self.modules.in_use(set, settings) {
                Ok(found) => return Ok(found.module),
                Err(Unavailable::Loading(_)) => {}
                Err(error) => return Err(anyhow!("{error:?}")),
            }
            // Whoever hears that some set is to be looked at tells all.
            tokio::select! {
                mut woken = self.woken.lock() => {
                    woken.recv().await.context("nobody wakes anybody any more")?;
                    self.told.send_modify(|times| *times += 1);
                }
                told = told.changed() => told?,
            }
        }
    }
}

/// A set without a digest in its reference, so that nobody has to know what a ConfigMap holds.
fn set(namespace: &str, config_map: &str) -> Set {
    let annotations = [(settings::POLICY.to_owned(), config_map.to_owned())].into();
    Set {
        namespace: namespace.to_owned(),
        name: "web".to_owned(),
        uid: namespace.to_owned(),
        resource_version: "1".to_owned(),
        generation: 1,
        start: 0,
        replicas: 1,
        templates: vec!["data".to_owned()],
        when_scaled: WhenScaled::Retain,
        namespace_uid: None,
        life: Life::Lives,
        cascade: Cascade::Background,
        held: false,
        stewardship: settings::parse(&annotations, PodManagement::Parallel),
    }
}

fn settings_of(set: &Set) -> Result<&Settings> {
    match &set.stewardship {
        Stewardship::Ours(settings) => Ok(settings),
        Stewardship::NotOurs | Stewardship::Unreadable { .. } => {
            Err(anyhow!("the set is not ours"))
        }
    }
}

/// Any ConfigMap: a policy of its own for each namespace and name, and a hostile one where the name says so. A watch shows nothing.
async fn answer(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
    let parts: Vec<&str> = path.split('/').collect();
    let [_, _, _, _, namespace, _, name @ ..] = parts.as_slice() else {
        return Response::new(Body::empty());
    };
    if is_watch {
        return Response::new(Body::from_stream(futures::stream::pending::<
            Result<&str, axum::Error>,
        >()));
    }
    let body = match name {
        [name] => json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "namespace": namespace, "name": name, "resourceVersion": "1" },
            "binaryData": { "policy.wasm": BASE64.encode(policy(namespace, name)) },
        }),
        _ => json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadataList",
            "metadata": { "resourceVersion": "1" },
            "items": [],
        }),
    };
    Response::new(Body::from(body.to_string()))
}

fn policy(namespace: &str, name: &str) -> Vec<u8> {
    let reason = format!("{namespace}/{name}");
    let bomb = if namespace == HOSTILE { compile_bomb(LOOPS, LOCALS) } else { String::new() };
    Guest { items: &bomb, reason: &reason, ..Guest::default() }.component()
}

fn show(mut quiet: Waits, mut crowded: Waits) {
    let millis = |times: &mut Vec<Duration>, percent: usize| {
        times.sort_unstable();
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    println!(
        "\nWhile another namespace has {HOSTILE_AT_ONCE} hostile policies waiting at any time, each of which takes the compiler to its limit of memory:"
    );
    for (what, quiet, crowded) in [
        ("a policy of one's own", &mut quiet.policies, &mut crowded.policies),
        ("a verdict", &mut quiet.verdicts, &mut crowded.verdicts),
    ] {
        for percent in [50, 99] {
            let (alone, beside) = (millis(quiet, percent), millis(crowded, percent));
            println!(
                "{what:22} p{percent}  {alone:9.2} ms alone   {beside:9.2} ms beside them   {:7.2} times   of {} and {}",
                beside / alone,
                quiet.len(),
                crowded.len()
            );
        }
    }
}
