//! What a policy costs: its size, its compilation, and calls in fresh instances, beside a bare wasmtime call with the same arguments.
//! Then what everybody else notices of a namespace that brings hostile modules in a loop.
//!
//! `cargo xtask bench policy` builds the policies and runs this with the number of calls and their files.

#![allow(clippy::print_stdout, reason = "the figures are what a bench is run for")]

#[allow(
    dead_code,
    clippy::expect_used,
    reason = "the tests of the engine need all of it, the bench a part; our own component is in order"
)]
#[path = "../tests/policy/components.rs"]
mod components;
#[path = "policy/crowd.rs"]
mod crowd;
#[path = "policy/figures.rs"]
mod figures;
#[path = "policy/floor.rs"]
mod floor;
#[allow(dead_code, reason = "the tests of the engine need all of it, the bench a part")]
#[path = "../tests/policy/situations.rs"]
mod situations;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate::policy::wit::{
    Container, ContainerKind, ContainerState, DrainPod, Ending, Exit, Phase, Rendering, Situation,
    Verdict,
};
use tidegate::policy::{Compiler, Module, Policies};

use figures::{Calls, Figures};
use floor::Floor;

/// Calls of each that are not counted: what is made once and the processor's caches are not what is measured.
const WARM_UP: usize = 500;

fn main() -> Result<()> {
    // Cargo adds an argument of its own, which is for the usual harness.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let calls: usize = arguments.next().context("say how many calls")?.parse()?;
    let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    ensure!(!files.is_empty(), "name a component");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", figures::heading());
    for file in &files {
        let figures = runtime.block_on(measure(file, calls))?;
        println!("{}", figures.line());
    }
    println!("{}", figures::footing());
    runtime.block_on(crowd::measure())
}

/// The policy and its floor in turn, so that whatever else the machine does meets both.
async fn measure(file: &Path, calls: usize) -> Result<Figures> {
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned());
    let name = name.context("a component has a name")?;
    let component = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let compiler = Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate")));
    let (_, compilation) = compiler.measured(&component).await?;
    let policies = Policies::start(compiler).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let module = policies.load(None, component.clone()).await?;
    let floor = Floor::new()?;
    let (at, pod) = (situation(&name), drain_pod(&name));
    let mut figures = Figures::new(name, &component, compilation)?;
    for number in 0..WARM_UP + calls {
        let one = ask(&module, &floor, &at, &pod).await?;
        if number >= WARM_UP {
            figures.add(one);
        }
    }
    Ok(figures)
}

/// One call of each kind, each with the answer that a drain that goes well gets.
async fn ask(module: &Module, floor: &Floor, at: &Situation, pod: &DrainPod) -> Result<Calls> {
    let its_at = at.clone();
    let began = Instant::now();
    let rendered = module.render(its_at).await;
    let render = began.elapsed();
    let keeps = matches!(&rendered.answer, Ok(Rendering::Keep(_)));
    ensure!(
        keeps || matches!(&rendered.answer, Ok(Rendering::Pod(_))),
        "render: {:?}",
        rendered.answer
    );
    let (its_at, its_pod) = (at.clone(), pod.clone());
    let began = Instant::now();
    let judged = module.judge(its_at, its_pod).await;
    let judge = began.elapsed();
    let is_right = match &judged.answer {
        Ok(Verdict::Complete(_)) => true,
        Ok(Verdict::Cancel(_)) => keeps,
        Ok(Verdict::Wait(_) | Verdict::Retry(_) | Verdict::Fail(_)) | Err(_) => false,
    };
    ensure!(is_right, "judge: {:?}", judged.answer);
    let began = Instant::now();
    let verdict = floor.call(at, pod)?;
    let bare = began.elapsed();
    ensure!(matches!(verdict, Verdict::Complete(_)), "{verdict:?}");
    Ok(Calls {
        render,
        render_fuel: rendered.used.fuel,
        judge,
        judge_fuel: judged.used.fuel,
        bare,
        memory_bytes: rendered.used.memory_bytes.max(judged.used.memory_bytes),
    })
}

/// What a policy is told about a set of ordinary size, whose container bears the policy's own name where it asks for one.
fn situation(policy: &str) -> Situation {
    let container = container_of(policy);
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "generation": 4,
            "labels": { "app": "web" },
            "annotations": { "statefulsets.kubernetes.io/scaledown-pod-template": TEMPLATE },
        },
        "spec": {
            "serviceName": "web",
            "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": container,
                    "image": "registry.example/store:12",
                    "command": ["/store", "serve"],
                    "env": [{ "name": "PEERS", "value": "web-0.web,web-1.web,web-2.web" }],
                    "ports": [{ "containerPort": 8080, "name": "http" }],
                    "resources": { "requests": { "cpu": "100m", "memory": "128Mi" } },
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }] },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    });
    let config = match policy {
        "exec" => r#"{"script": "/store drain --to \"$TIDEGATE_PEERS\""}"#,
        _ => "",
    };
    let state = r#"{"receiver":"web-0"}"#.to_owned();
    let config = config.to_owned();
    Situation { set: set.to_string(), config, state, ..situations::situation() }
}

/// What stands in the predecessor's annotation, for the policy that reads it.
const TEMPLATE: &str = r#"{"spec": {"containers": [
    {"name": "cleanup", "image": "registry.example/cleanup:3", "volumeMounts": [{"name": "data", "mountPath": "/var/data"}]}
]}}"#;

/// The last words that the shards' store leaves, which its policy asks of two containers.
const TOTAL: &str =
    "count=42 bytes=9 checksum=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn container_of(policy: &str) -> &'static str {
    if policy == "spool" { "spool" } else { "store" }
}

/// A drain pod that says that it is done, in the words that the policy believes.
fn drain_pod(policy: &str) -> DrainPod {
    let message = match policy {
        "shards" => TOTAL,
        "spool" => r#"{"sent": 42, "stored": 42}"#,
        _ => "moved 42 files\ntidegate: drained\n",
    };
    let main = exited(container_of(policy), ContainerKind::Main, message);
    let inventory = exited("inventory", ContainerKind::Init, TOTAL);
    DrainPod {
        phase: Phase::Succeeded,
        ending: Ending::ByItself,
        containers: if policy == "shards" { vec![inventory, main] } else { vec![main] },
        ..situations::drain_pod()
    }
}

fn exited(name: &str, kind: ContainerKind, message: &str) -> Container {
    let exit = Exit {
        code: 0,
        reason: "Completed".to_owned(),
        message: message.to_owned(),
        started: Some(1_699_999_996_000),
        finished: Some(1_699_999_999_000),
    };
    Container {
        name: name.to_owned(),
        kind,
        rendered: true,
        state: ContainerState::Exited(exit),
        last_exit: None,
        restarts: 0,
        ready: false,
    }
}
