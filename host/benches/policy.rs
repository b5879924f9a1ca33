//! What asking a policy costs: a fresh instance and one `judge`, beside a bare wasmtime call with the same arguments.
//!
//! Then what everybody else notices of a namespace that brings hostile modules in a loop.
//!
//! `cargo xtask bench policy` builds the policy and runs this with its file and the number of calls.

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
#[path = "policy/floor.rs"]
mod floor;
#[allow(dead_code, reason = "the tests of the engine need all of it, the bench a part")]
#[path = "../tests/policy/situations.rs"]
mod situations;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate::policy::wit::{
    Container, ContainerKind, ContainerState, DrainPod, Ending, Exit, Phase, Situation, Verdict,
};
use tidegate::policy::{Compiler, Policies};

use floor::Floor;

/// Calls of each that are not counted: what is made once and the processor's caches are not what is measured.
const WARM_UP: usize = 500;

fn main() -> Result<()> {
    // Cargo adds an argument of its own, which is for the usual harness.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let policy = PathBuf::from(arguments.next().context("name the component of `exec`")?);
    let calls: usize = arguments.next().context("say how many calls")?.parse()?;
    let component =
        std::fs::read(&policy).with_context(|| format!("reading {}", policy.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        measure(component, calls).await?;
        crowd::measure().await
    })
}

/// In turn, so that whatever else the machine does meets both.
async fn measure(component: Vec<u8>, calls: usize) -> Result<()> {
    let policies = Policies::start(Compiler::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate"))))
        .map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let exec = policies.load(None, component).await?;
    let floor = Floor::new()?;
    let (at, pod) = (situation(), drain_pod());
    let (mut asked, mut bare) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + calls {
        let (its_at, its_pod) = (at.clone(), pod.clone());
        let began = Instant::now();
        let called = exec.judge(its_at, its_pod).await;
        let took = began.elapsed();
        ensure!(matches!(called.answer, Ok(Verdict::Complete(_))), "{:?}", called.answer);
        let began = Instant::now();
        let verdict = floor.call(&at, &pod)?;
        let took_bare = began.elapsed();
        ensure!(matches!(verdict, Verdict::Complete(_)), "{verdict:?}");
        if number >= WARM_UP {
            asked.push(took);
            bare.push(took_bare);
        }
    }
    show(asked, bare);
    Ok(())
}

fn show(mut asked: Vec<Duration>, mut bare: Vec<Duration>) {
    asked.sort_unstable();
    bare.sort_unstable();
    let micros = |times: &[Duration], percent: usize| {
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    let line = |times: &[Duration]| {
        let (p50, p99) = (micros(times, 50), micros(times, 99));
        format!("p50 {p50:6.1} µs   p99 {p99:6.1} µs   of {}", times.len())
    };
    println!(
        "One `judge` in a fresh instance, in turn with its floor, in the profile `{}`.\n\
         exec, as the host asks it       {}\n\
         bare call, returns at once      {}\n\
         exec over bare                  {:.2} at p50, {:.2} at p99\n\
         The floor: `Store`, instance and one typed call on this thread, in an engine of the host's configuration with its fuel and its\n\
         epoch deadline, of a component that copies the same arguments in and answers at once.",
        if cfg!(debug_assertions) { "dev" } else { "release" },
        line(&asked),
        line(&bare),
        micros(&asked, 50) / micros(&bare, 50),
        micros(&asked, 99) / micros(&bare, 99),
    );
}

/// What the policy is told about a set of ordinary size.
fn situation() -> Situation {
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "web", "namespace": "shop", "generation": 4, "labels": { "app": "web" } },
        "spec": {
            "serviceName": "web",
            "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "store",
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
    Situation {
        set: set.to_string(),
        config: r#"{"script": "/store drain --to \"$TIDEGATE_PEERS\""}"#.to_owned(),
        ..situations::situation()
    }
}

/// A drain pod that says that it is done.
fn drain_pod() -> DrainPod {
    let exit = Exit {
        code: 0,
        reason: "Completed".to_owned(),
        message: "moved 42 files\ntidegate: drained\n".to_owned(),
        started: Some(1_699_999_996_000),
        finished: Some(1_699_999_999_000),
    };
    let container = Container {
        name: "store".to_owned(),
        kind: ContainerKind::Main,
        rendered: true,
        state: ContainerState::Exited(exit),
        last_exit: None,
        restarts: 0,
        ready: false,
    };
    DrainPod {
        phase: Phase::Succeeded,
        ending: Ending::ByItself,
        containers: vec![container],
        ..situations::drain_pod()
    }
}
