//! A policy without a digest is replaced again and again while drains run: each goes on with what it began with, and the host remembers no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tidegate::policy::Digest;

use crate::api::Api;
use crate::components::Guest;
use crate::fake::Fake;
use crate::store::Store;
use crate::wait::{eventually, found_if};

/// How long each step may take, on a machine that compiles a policy at the same time.
const STEP: Duration = Duration::from_secs(60);

/// How much more the host may weigh at the end than when a tenth was done: what an allocator keeps.
const GROWN_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Where in the policy's memory its template lies: above the answer and below what it is told.
const TEMPLATE_AT: usize = 1_024;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A few on every change, and many to be sure.
pub(crate) fn all() -> Vec<Trial> {
    let trial = |name: &str, drains, swaps| {
        Trial::test(format!("fake::swaps::{name}"), move || {
            swapped(drains, swaps).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        trial("thirty_under_ten_drains", 10, 30),
        trial("a_thousand_under_fifty_drains", 50, 1_000).with_ignored_flag(true),
    ]
}

/// So many drains begin, each with another policy, and then the policy is replaced so many times.
fn swapped(drains: u32, swaps: u32) -> Result<()> {
    let fake = Fake::start()?;
    let api = Api::of(&fake.kubeconfig())?;
    let host = Host::start(&fake)?;
    let mut versions = Versions::default();
    versions.put(&api, &host)?;
    let store = Store::bare().of(drains + 1).annotated("tidegate.dev/policy", "mine");
    api.create(SETS, &store.set())?;
    enrolled(&api)?;
    for drain in 0..drains {
        if drain > 0 {
            versions.put(&api, &host)?;
            host.takes(versions.latest())?;
        }
        api.merge(&format!("{SETS}/web"), &json!({ "spec": { "replicas": drains - drain } }))?;
        marks(&api, drains - drain)?;
    }
    let rendered: BTreeMap<String, Digest> =
        (1..=drains).map(|ordinal| marks(&api, ordinal)).collect::<Result<_>>()?;
    for pod in rendered.keys() {
        host.judges(pod)?;
    }
    let different: BTreeSet<&Digest> = rendered.values().collect();
    ensure!(different.len() == rendered.len(), "some drains began with the same policy");

    let mut early_bytes = 0;
    for swap in 0..swaps {
        versions.put(&api, &host)?;
        host.takes(versions.latest())?;
        if swap == swaps / 10 {
            early_bytes = host.resident_bytes()?;
        }
    }
    let late_bytes = host.resident_bytes()?;
    let heard = host.heard();
    let mut judgements = 0;
    for (pod, digest) in &rendered {
        let by = heard.judged.get(pod).with_context(|| format!("{pod} was never judged"))?;
        ensure!(by.keys().eq([digest]), "{pod} was rendered by {digest} and judged by {by:?}");
        ensure!(by.values().all(|times| *times >= u64::from(swaps / 2)), "{pod}: {by:?}");
        judgements += by.values().sum::<u64>();
    }
    eprintln!(
        "{swaps} swaps under {drains} drains: {judgements} judgements, none by another policy; {} KiB resident after a tenth, {} KiB at the end",
        early_bytes / 1_024,
        late_bytes / 1_024
    );
    let grown = late_bytes.saturating_sub(early_bytes);
    ensure!(grown < GROWN_MAX_BYTES, "the host weighs {grown} bytes more than after a tenth");
    Ok(())
}

/// Waits until the claims of every member may be drained.
fn enrolled(api: &Api) -> Result<()> {
    eventually("every claim is enrolled", STEP, || {
        let claims = api.list("/api/v1/namespaces/default/persistentvolumeclaims")?;
        let is_stray =
            |claim: &&Value| claim["metadata"]["labels"]["tidegate.dev/set-uid"].is_null();
        let stray = claims.iter().filter(is_stray).count();
        Ok(found_if(!claims.is_empty() && stray == 0, || format!("{stray} are not")))
    })
}

/// Waits until a drain pod is there; its name, and what rendered it.
fn marks(api: &Api, ordinal: u32) -> Result<(String, Digest)> {
    let name = format!("web-{ordinal}");
    let mut found = None;
    eventually(&format!("{name} is drained"), STEP, || {
        let pod = api.get(&format!("{PODS}/{name}"))?.unwrap_or_default();
        let marks = pod["metadata"]["annotations"]["tidegate.dev/drain"].as_str();
        let marks: Value = serde_json::from_str(marks.unwrap_or_default()).unwrap_or_default();
        found = marks["digest"].as_str().and_then(|digest| digest.parse().ok());
        Ok(found_if(found.is_some(), || pod["metadata"].to_string()))
    })?;
    Ok((name, found.context("the drain pod has no marks")?))
}

/// The policies that were put into the ConfigMap, one after the other.
#[derive(Default)]
struct Versions(Vec<Digest>);

impl Versions {
    fn put(&mut self, api: &Api, host: &Host) -> Result<()> {
        let component = policy(self.0.len());
        let digest = Digest::of(&component);
        let map = json!({
            "metadata": { "name": "mine" },
            "binaryData": { "policy.wasm": BASE64.encode(&component) },
        });
        host.expect_running()?;
        if self.0.is_empty() {
            api.create(MAPS, &map)?;
        } else {
            api.merge(&format!("{MAPS}/mine"), &map)?;
        }
        self.0.push(digest);
        Ok(())
    }

    fn latest(&self) -> Digest {
        self.0.last().copied().unwrap_or_else(|| Digest::of(&[]))
    }
}

/// A policy that says its number when it judges, and waits for ever.
fn policy(number: usize) -> Vec<u8> {
    let template = json!({
        "spec": { "containers": [{
            "name": "member",
            "image": "docker.io/library/box:1",
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        }] },
    })
    .to_string();
    let text = template.replace('"', "\\\"");
    let render = format!(
        "(i32.store (i32.const 8) (i32.const {TEMPLATE_AT}))
         (i32.store (i32.const 12) (i32.const {}))
         (i32.const 0)",
        template.len()
    );
    let judge = "
        (call $log (i32.const 1) (i32.const 64) (global.get $reason_bytes))
        (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (global.get $reason_bytes))
        (i32.const 0)";
    let items = format!("(data (i32.const {TEMPLATE_AT}) \"{text}\")");
    let reason = format!("judged by number {number}");
    Guest { render: &render, judge, items: &items, reason: &reason, ..Guest::default() }.component()
}

/// What the host said.
#[derive(Clone, Default)]
struct Heard {
    /// How often each drain pod was judged by each policy.
    judged: BTreeMap<String, BTreeMap<Digest, u64>>,
    /// The policies that took the place of another.
    taken: BTreeSet<Digest>,
}

/// A host that takes policies without a digest.
struct Host {
    child: Mutex<Child>,
    heard: Arc<Mutex<Heard>>,
}

impl Host {
    fn start(fake: &Fake) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--no-lease", "--allow-unpinned", "--log-format", "json"])
            .args(["--listen", "127.0.0.1:0", "--namespace", "default"])
            .env("KUBECONFIG", fake.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the host")?;
        let stdout = child.stdout.take().context("the host has no output")?;
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let hears = Arc::clone(&heard);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                hear(&mut lock(&hears), &line);
            }
        });
        Ok(Self { child: Mutex::new(child), heard })
    }

    /// Waits until this policy has taken the place of the one before.
    fn takes(&self, digest: Digest) -> Result<()> {
        eventually(&format!("sha256:{digest} is taken into use"), STEP, || {
            self.expect_running()?;
            Ok(found_if(lock(&self.heard).taken.contains(&digest), || "it is not".to_owned()))
        })
    }

    /// Waits until the host has asked a policy about this drain pod.
    fn judges(&self, pod: &str) -> Result<()> {
        eventually(&format!("{pod} is judged"), STEP, || {
            self.expect_running()?;
            Ok(found_if(lock(&self.heard).judged.contains_key(pod), || "it is not".to_owned()))
        })
    }

    fn heard(&self) -> Heard {
        lock(&self.heard).clone()
    }

    fn expect_running(&self) -> Result<()> {
        let ended = lock(&self.child).try_wait()?;
        ensure!(ended.is_none(), "the host ended by itself: {ended:?}");
        Ok(())
    }

    fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", lock(&self.child).id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1_024)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn hear(heard: &mut Heard, line: &str) {
    let said: Value = serde_json::from_str(line).unwrap_or_default();
    let field = |name: &str| said["fields"][name].as_str().unwrap_or_default();
    let Ok(digest) = field("digest").parse() else {
        return;
    };
    if field("message").starts_with("policy: judged by") {
        let by = heard.judged.entry(field("about").to_owned()).or_default();
        *by.entry(digest).or_default() += 1;
    } else if field("message") == "another policy is in use" {
        heard.taken.insert(digest);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
