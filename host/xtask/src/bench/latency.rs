//! `cargo xtask bench latency`: how long after the member's deletion was seen the drain pod's POST is answered, for the host and for a
//! bare client that reads the set and posts the same pod.
//!
//! Both are measured within the process that acts, from the watch's event to the answer of the POST: the host by the times of two lines
//! of its own log, the bare client by its clock. The API server's audit log tells the same from outside, for both alike.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use super::bare::{Bare, Step};
use super::client::{connect, until};
use super::figures::Times;
use super::fleet::{Fleet, Lot, last_claim, last_member, set_name};
use super::requests::{self, Request};
use super::stage::{FLEET, HOST, Stage};
use crate::progress::{during, say};

/// The namespaces of the two, and the account of the bare client.
const OURS: &str = "drained";
const BARE: &str = "bare";

/// What the host logs here: what its watches show, and each write with its answer.
const LOG: &str = "info,tidegate=trace";

/// The label by which the host knows a drain pod of its own. The bare client's is another's, so that the host has nothing to do with it.
const SET_UID: &str = "tidegate.dev/set-uid";

/// How long anything may take that is not measured.
const WITHIN: Duration = Duration::from_secs(180);

/// How long the bench waits between two drains, in milliseconds, so that none meets what the one before has left to do.
const REST_MS: u64 = 200;

/// The arguments of `cargo xtask bench latency`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many drains of each.
    #[arg(long, default_value_t = 200)]
    drains: usize,
    /// How many sets of two members the namespace holds: the host reads all pods and claims of it.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    sets: u16,
}

/// What it took the host and the bare client.
#[derive(Default)]
struct Measured {
    asked: Times,
    answered: Times,
}

/// Runs the bench and prints both, and the ratio.
pub(super) fn run(args: &Args) -> Result<()> {
    let stage = Stage::set("bench-latency", 1)?;
    let host = stage.host(&["--namespace", OURS], LOG)?;
    let bare_account = stage.account(BARE)?;
    let mut bare = Bare::start(bare_account, BARE.to_owned())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let floor = runtime.block_on(async {
        let client = connect(stage.kubeconfig()).await?;
        let both = during("creating the sets", || Both::create(client, args)).await?;
        both.drain(&mut bare, args.drains).await
    })?;
    let ours = of_host(&host.log_text()?, args.drains)?;
    let audit = |user: &str, namespace: &str| from_outside(&stage, user, namespace);
    let (ours_outside, bare_outside) = (audit(HOST, OURS)?, audit(BARE, BARE)?);
    show(args, &ours, &floor, (&ours_outside, &bare_outside));
    Ok(())
}

/// The sets of the host and those of the bare client, which are the same but for the policy.
struct Both {
    client: Client,
    ours: Fleet,
    bare: Fleet,
    sets: usize,
}

impl Both {
    async fn create(client: Client, args: &Args) -> Result<Self> {
        let sets = usize::from(args.sets);
        let lot = |namespace: &str, annotations| Lot {
            name: FLEET.to_owned(),
            namespaces: vec![namespace.to_owned()],
            sets_each: sets,
            annotations,
        };
        let policy = BTreeMap::from([
            ("tidegate.dev/policy".to_owned(), "library:exec".to_owned()),
            ("tidegate.dev/policy-config".to_owned(), r#"{"script":"true"}"#.to_owned()),
        ]);
        let ours = Fleet::create(client.clone(), lot(OURS, policy)).await?;
        let bare = Fleet::create(client.clone(), lot(BARE, BTreeMap::new())).await?;
        Ok(Self { client, ours, bare, sets })
    }

    /// Drains one set of each after the other, and both again when all were drained once.
    async fn drain(&self, bare: &mut Bare, drains: usize) -> Result<Measured> {
        let mut floor = Measured::default();
        let model = self.model().await?;
        for number in 0..drains {
            if number % self.sets == 0 {
                self.refill().await?;
                say(format_args!("{number} of {drains} drains of each are done"));
            }
            let set = set_name(number % self.sets);
            self.ours.scale(OURS, &set, 1).await?;
            self.gone(OURS, &set).await?;
            rest().await;
            bare.expect(self.body(&model, &set).await?);
            self.bare.scale(BARE, &set, 1).await?;
            let Step { until_asked, until_answered } = bare.posted().await?;
            floor.asked.add(until_asked);
            floor.answered.add(until_answered);
            self.clear(&set).await?;
            rest().await;
        }
        Ok(floor)
    }

    /// Gives every set its second member back.
    async fn refill(&self) -> Result<()> {
        for fleet in [&self.ours, &self.bare] {
            fleet.scale_all(2).await?;
            fleet.all_run(WITHIN).await?;
        }
        self.ours.all_enrolled(WITHIN).await?;
        rest().await;
        Ok(())
    }

    /// A drain pod as the host makes it, from a drain that is not measured.
    async fn model(&self) -> Result<Pod> {
        self.refill().await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OURS);
        let mut events = watcher(pods, watcher::Config::default().labels(SET_UID)).boxed();
        self.ours.scale(OURS, &set_name(0), 1).await?;
        let model = loop {
            let event = events.next().await.context("the watch of drain pods has ended")??;
            if let Event::Apply(pod) | Event::InitApply(pod) = event {
                break pod;
            }
        };
        self.gone(OURS, &set_name(0)).await?;
        Ok(model)
    }

    /// The same pod for the bare client's set, without what the API server and the scheduler have added.
    async fn body(&self, model: &Pod, set: &str) -> Result<Pod> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), BARE);
        let claim = claims.get(&last_claim(set)).await?;
        let mut pod = Pod { status: None, ..model.clone() };
        let meta = &mut pod.metadata;
        (meta.uid, meta.resource_version, meta.creation_timestamp) = (None, None, None);
        (meta.generation, meta.managed_fields, meta.finalizers) = (None, None, None);
        meta.namespace = Some(BARE.to_owned());
        meta.name = Some(last_member(set));
        let labels = meta.labels.get_or_insert_default();
        if let Some(uid) = labels.remove(SET_UID) {
            labels.insert(format!("bare.{SET_UID}"), uid);
        }
        for owner in meta.owner_references.iter_mut().flatten() {
            owner.name = last_claim(set);
            owner.uid = claim.uid().unwrap_or_default();
        }
        let spec = pod.spec.get_or_insert_default();
        spec.node_name = None;
        for volume in spec.volumes.iter_mut().flatten() {
            if let Some(source) = &mut volume.persistent_volume_claim {
                source.claim_name = last_claim(set);
            }
        }
        Ok(pod)
    }

    /// Waits until pod and claim of the ordinal that was scaled away are gone.
    async fn gone(&self, namespace: &str, set: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        until(&format!("{} is drained", last_member(set)), WITHIN, async || {
            let claim = claims.get_metadata_opt(&last_claim(set)).await?.is_some();
            let pod = pods.get_metadata_opt(&last_member(set)).await?.is_some();
            Ok((claim || pod).then(|| format!("claim there: {claim}, pod there: {pod}")))
        })
        .await
    }

    /// Deletes what the bare client has posted, and the claim, which it would not.
    async fn clear(&self, set: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), BARE);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), BARE);
        let pod = pods.get(&last_member(set)).await?;
        let claim = claims.get(&last_claim(set)).await?;
        let of = |uid: Option<String>| DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        #[expect(clippy::disallowed_methods, reason = "what the bench itself has made, by uid")]
        {
            pods.delete(&last_member(set), &of(pod.uid())).await?;
            claims.delete(&last_claim(set), &of(claim.uid())).await?;
        }
        self.gone(BARE, set).await
    }
}

async fn rest() {
    tokio::time::sleep(Duration::from_millis(REST_MS)).await;
}

/// The last `drains` of the host, by the lines of its log: what its watch showed, and what it was answered.
fn of_host(log: &str, drains: usize) -> Result<Measured> {
    let mut seen: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut asked: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut passages = Vec::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let (fields, at) = (&line["fields"], line["timestamp"].as_str().unwrap_or_default());
        let message = fields["message"].as_str().unwrap_or_default();
        let created = message.strip_prefix(&format!("creating a drain pod of {OURS}/"));
        if message == "seen to be gone" && fields["kind"] == "pods" {
            let name = fields["name"].as_str().unwrap_or_default();
            seen.insert(name.to_owned(), at.parse()?);
        } else if let Some(set) = created.and_then(|rest| rest.strip_suffix(": asked")) {
            asked.insert(set.to_owned(), at.parse()?);
        } else if let Some(set) = created.and_then(|rest| rest.strip_suffix(": answered")) {
            ensure!(fields["accepted"] == true, "a drain pod was refused: {line}");
            let seen = seen.get(&last_member(set)).context("a drain without a member's end")?;
            let asked = asked.get(set).context("an answer to nothing")?;
            passages.push((between(*seen, *asked), between(*seen, at.parse()?)));
        }
    }
    ensure!(passages.len() > drains, "the host has drained {} times", passages.len());
    let mut measured = Measured::default();
    // Those before were the model's.
    for (until_asked, until_answered) in passages.split_off(passages.len() - drains) {
        measured.asked.add(until_asked);
        measured.answered.add(until_answered);
    }
    Ok(measured)
}

/// From the answer to the kubelet's last DELETE of the member to the answer to the POST, by the API server's record.
fn from_outside(stage: &Stage, account: &str, namespace: &str) -> Result<Times> {
    let account = format!("system:serviceaccount:{HOST}:{account}");
    let is_of_pods = |request: &Request| {
        request.namespace == namespace
            && request.resource == "pods"
            && (request.verb == "delete" || request.verb == "create")
    };
    let mut ended: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut times = Times::default();
    for request in requests::read(stage.audit_log(), is_of_pods)? {
        if request.verb == "delete" {
            ended.insert(request.name, request.answered);
        } else if request.user == account
            && let Some(ended) = ended.get(&request.name)
        {
            times.add(between(*ended, request.answered));
        }
    }
    Ok(times)
}

/// Two clocks of one machine may disagree by a hair, which is no time at all.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[allow(clippy::print_stdout, reason = "the figures are what the command is run for")]
fn show(args: &Args, ours: &Measured, floor: &Measured, outside: (&Times, &Times)) {
    println!(
        "From the member's deletion seen to the drain pod's POST answered, one at a time and in turn, in a namespace of {} sets.\n\
         Seen: the watch's event is read. Answered: the client has the answer. Both by the clock of the process that acts.\n\
         host           {}\n\
         bare client    {}\n\
         host over bare {}\n\
         Until the POST is sent (reads, policy, plan):\n\
         host           {}\n\
         bare client    {}\n\
         The same by the API server's audit log, from its answer to the member's last DELETE to its answer to the POST:\n\
         host           {}\n\
         bare client    {}\n\
         host over bare {}",
        args.sets,
        ours.answered,
        floor.answered,
        ours.answered.ratio(&floor.answered),
        ours.asked,
        floor.asked,
        outside.0,
        outside.1,
        outside.0.ratio(outside.1),
    );
}
