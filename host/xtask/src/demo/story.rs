//! The acts of the demo, in their order.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::kubectl::tell;
use super::ledger::Ledger;
use super::passage::Passage;
use super::stage::Stage;

/// How many hosts `deploy/cluster` runs.
const HOSTS: u64 = 2;

/// The member that leaves, and its claim.
const LEAVER: &str = "shards-2";
const CLAIM: &str = "data-shards-2";

/// The members that stay.
const STAYING: [&str; 2] = ["shards-0", "shards-1"];

/// What the leaver holds: 320 files and 54 MB, more than a drain pod hands over before somebody can evict it.
const FILES_LEAVING: usize = 320;
const FILE_BYTES_LEAVING: usize = 170_000;

/// What each of the others holds: enough to see that nothing of it is touched.
const FILES_STAYING: usize = 20;
const FILE_BYTES_STAYING: usize = 10_000;

/// How many files are handed over when the drain pod is evicted.
const EVICTED_AFTER: usize = FILES_LEAVING / 2;

/// How long anything that a cluster does at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// How long a hand-over may take.
const DRAINED: Duration = Duration::from_secs(300);

/// Plays all acts and answers what was shown, in one sentence. Fails with the first thing that is not as it must be.
pub(crate) fn play(stage: &Stage) -> Result<String> {
    deploy_host(stage)?;
    deploy_store(stage)?;
    let before = fill(stage)?;
    let claim = Claim::read(stage)?.context("the leaver has no claim")?;
    let passage = Passage::watch(&stage.kubectl, LEAVER)?;
    let first = scale_down(stage)?;
    evict_half_way(stage, &before, &first, &claim, &passage)?;
    second_attempt(stage, &first, &claim)?;
    compare(stage, &before)?;
    scale_up(stage, &claim)?;
    tell("\n== What the set's events say");
    stage.kubectl.show(
        "get events -n shards --field-selector involvedObject.kind=StatefulSet,reportingComponent=tidegate.dev/tidegate \
         --sort-by=.metadata.creationTimestamp -o custom-columns=TYPE:.type,REASON:.reason,NOTE:.message",
    )?;
    let leaver = &before[2];
    Ok(format!(
        "{} files ({} bytes) of {LEAVER} are with the members that stay, byte for byte, though the drain was evicted half way; its claim \
         and volume are gone, and the next {LEAVER} started empty",
        leaver.count(),
        leaver.bytes()
    ))
}

fn deploy_host(stage: &Stage) -> Result<()> {
    tell("\n== The host is installed, as a user does: kubectl apply -k deploy/cluster");
    let manifest = stage.manifest("deploy/cluster")?;
    stage.kubectl.feed("apply -f -", &manifest)?;
    ready(stage, "deployment", "tidegate", "tidegate", HOSTS)?;
    stage.kubectl.show("get pods -n tidegate")
}

fn deploy_store(stage: &Stage) -> Result<()> {
    tell(
        "\n== A store of three members, each with a volume of its own, and the policy that its set names",
    );
    for path in ["examples/shards/namespace.yaml", "examples/shards/statefulset.yaml"] {
        stage.kubectl.feed("apply -f -", &stage.manifest(path)?)?;
    }
    stage.kubectl.feed("apply -f -", &stage.policy.config_map())?;
    let policy =
        format!("tidegate.dev/policy=shards-policy/policy.wasm@sha256:{}", stage.policy.sha256);
    stage.kubectl.show(&format!("annotate statefulset shards -n shards {policy}"))?;
    ready(stage, "statefulset", "shards", "shards", 3)?;
    stage.kubectl.wait("the enrolment of the three claims", SOON, || {
        let claims = stage.kubectl.run("get pvc -n shards -l tidegate.dev/set-uid -o name")?;
        Ok((claims.lines().count() == 3).then_some(()))
    })?;
    stage.kubectl.show("get pods,pvc -n shards")
}

/// Fills all volumes and answers what each member holds, in the order of their ordinals.
fn fill(stage: &Stage) -> Result<Vec<Ledger>> {
    tell("\n== Each member gets files of its own");
    for member in STAYING {
        let size = format!("--files {FILES_STAYING} --bytes {FILE_BYTES_STAYING}");
        stage.in_member(member, &format!("fill {size} --seed {member}"))?;
    }
    let size = format!("--files {FILES_LEAVING} --bytes {FILE_BYTES_LEAVING}");
    stage.in_member(LEAVER, &format!("fill {size} --seed {LEAVER}"))?;
    let mut ledgers = Vec::new();
    for member in STAYING.into_iter().chain([LEAVER]) {
        let ledger = list(stage, member)?;
        tell(&format!("  {member}: {} files, {} bytes", ledger.count(), ledger.bytes()));
        ledgers.push(ledger);
    }
    ensure!(ledgers[2].count() == FILES_LEAVING, "{LEAVER} does not hold {FILES_LEAVING} files");
    Ok(ledgers)
}

/// Scales the set down and answers the UID of the drain pod.
fn scale_down(stage: &Stage) -> Result<String> {
    tell(
        "\n== The set is scaled down: the last member leaves, and a drain pod takes its name and its volume",
    );
    stage.kubectl.show("scale statefulset shards -n shards --replicas 2")?;
    let uid = drain_pod_after(stage, "")?;
    stage.kubectl.show("get pods,pvc -n shards")?;
    Ok(uid)
}

fn evict_half_way(
    stage: &Stage,
    before: &[Ledger],
    pod: &str,
    claim: &Claim,
    passage: &Passage,
) -> Result<()> {
    stage.kubectl.wait("half of the files to be handed over", DRAINED, || {
        if let Some(end) = passage.end_of(pod) {
            bail!("the first drain pod ended before it was half way: {end:?}");
        }
        Ok((handed_over(&stage.log("shards", LEAVER, "store")) >= EVICTED_AFTER).then_some(()))
    })?;
    tell("\n== Half way the drain pod is evicted, as `kubectl drain` does it");
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": LEAVER, "namespace": "shards" },
    });
    let path = format!("/api/v1/namespaces/shards/pods/{LEAVER}/eviction");
    stage.kubectl.feed(&format!("create --raw {path} -f -"), &eviction.to_string())?;
    stage
        .kubectl
        .wait("the evicted pod to be gone", SOON, || Ok(passage.is_gone(pod).then_some(())))?;
    let end = passage.end_of(pod).context("nobody saw how the evicted pod ended")?;
    tell(&format!(
        "  the evicted pod: phase {}, exit code {}, termination message {:?}",
        end.phase, end.exit_code, end.message
    ));
    ensure!(end.exit_code == 0, "the evicted process was to exit with 0, which looks like success");
    let arrived: usize = staying(stage)?.iter().map(|ledger| before[2].found_in(ledger)).sum();
    tell(&format!(
        "  {arrived} of {FILES_LEAVING} files have arrived; the others are on the volume alone"
    ));
    ensure!(arrived < FILES_LEAVING, "the eviction came too late: every file had arrived");
    ensure!(
        Claim::read(stage)?.as_ref() == Some(claim),
        "the claim {CLAIM} is gone or being deleted, and with it the files that had not arrived"
    );
    tell(
        "  exit code 0, and yet the claim stays: an eviction is no end, and the policy found no message to believe",
    );
    stage.kubectl.show(&format!("get pvc {CLAIM} -n shards"))
}

fn second_attempt(stage: &Stage, first: &str, claim: &Claim) -> Result<()> {
    tell("\n== A second attempt goes on where the first one stopped");
    drain_pod_after(stage, first)?;
    stage.kubectl.show("get pods -n shards")?;
    stage.kubectl.wait("the second attempt to end and the claim to go", DRAINED, || {
        match Claim::read(stage)? {
            Some(now) if now.uid != claim.uid => bail!("{CLAIM} was replaced by another claim"),
            Some(_) => Ok(None),
            None => Ok(Some(())),
        }
    })?;
    stage.kubectl.wait("the volume to go", SOON, || {
        let volume = stage.kubectl.get(&format!("pv {}", claim.volume))?;
        Ok(volume.is_none().then_some(()))
    })?;
    tell(&format!("  the drain is complete: {CLAIM} and its volume {} are gone", claim.volume));
    stage.kubectl.show("get pods,pvc -n shards")
}

fn compare(stage: &Stage, before: &[Ledger]) -> Result<()> {
    tell("\n== Every file is looked for at its new place and compared by sha256");
    let after = staying(stage)?;
    for (member, ledger) in STAYING.iter().zip(&after) {
        let arrived = before[2].found_in(ledger);
        tell(&format!(
            "  {member}: {} files, {arrived} of them were those of {LEAVER}",
            ledger.count()
        ));
    }
    before[2].must_be_in(&after).context("a file of the leaver is lost")?;
    for (ledger, now) in before.iter().zip(&after) {
        ledger
            .must_be_in(std::slice::from_ref(now))
            .context("a file of a member that stays is lost")?;
    }
    let (all, bytes) = (before[2].count(), before[2].bytes());
    tell(&format!("  all {all} files of {LEAVER}, {bytes} bytes, are there with the same sha256"));
    Ok(())
}

fn scale_up(stage: &Stage, old: &Claim) -> Result<()> {
    tell("\n== The set is scaled up again: the member starts afresh");
    stage.kubectl.show("scale statefulset shards -n shards --replicas 3")?;
    ready(stage, "statefulset", "shards", "shards", 3)?;
    let claim = Claim::read(stage)?.with_context(|| format!("{LEAVER} has no claim"))?;
    ensure!(claim.uid != old.uid && claim.volume != old.volume, "{LEAVER} got its old claim back");
    let count = list(stage, LEAVER)?.count();
    ensure!(count == 0, "the fresh {LEAVER} holds {count} files");
    stage.kubectl.show("get pods,pvc -n shards")?;
    tell(&format!("  {LEAVER} holds no file"));
    Ok(())
}

/// The leaver's claim.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    uid: String,
    volume: String,
    deleted_at: Option<String>,
}

impl Claim {
    fn read(stage: &Stage) -> Result<Option<Self>> {
        let claim = stage.kubectl.get(&format!("pvc {CLAIM} -n shards"))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(claim.map(|claim| Self {
            uid: text(&claim["metadata"]["uid"]).unwrap_or_default(),
            volume: text(&claim["spec"]["volumeName"]).unwrap_or_default(),
            deleted_at: text(&claim["metadata"]["deletionTimestamp"]),
        }))
    }
}

/// Waits until a drain pod other than `before` runs, and answers its UID.
fn drain_pod_after(stage: &Stage, before: &str) -> Result<String> {
    stage.kubectl.wait("a drain pod that runs", SOON, || {
        let pods = stage.kubectl.get("pods -n shards -l tidegate.dev/set-uid")?.unwrap_or_default();
        let pod = pods["items"].as_array().into_iter().flatten().find(|pod| {
            pod["metadata"]["name"] == LEAVER
                && pod["metadata"]["uid"] != before
                && pod["status"]["phase"] != "Pending"
        });
        Ok(pod.and_then(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)))
    })
}

fn ready(stage: &Stage, kind: &str, name: &str, namespace: &str, replicas: u64) -> Result<()> {
    stage.kubectl.wait(&format!("{replicas} ready of {kind} {name}"), SOON, || {
        let object = stage.kubectl.get(&format!("{kind} {name} -n {namespace}"))?;
        let status = object.map(|object| object["status"].clone()).unwrap_or_default();
        let all = status["readyReplicas"] == replicas && status["replicas"] == replicas;
        Ok(all.then_some(()))
    })
}

fn staying(stage: &Stage) -> Result<Vec<Ledger>> {
    STAYING.into_iter().map(|member| list(stage, member)).collect()
}

fn list(stage: &Stage, member: &str) -> Result<Ledger> {
    Ledger::parse(&stage.in_member(member, "list")?)
}

/// The last `N of M files are handed over` that a drain has printed.
fn handed_over(log: &str) -> usize {
    let lines = log.lines().filter(|line| line.ends_with("files are handed over"));
    lines.filter_map(|line| line.split(' ').next()?.parse().ok()).next_back().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_the_last_line_that_tells_it() {
        let log = "320 files to hand over, 2 peers\n10 of 320 files are handed over\n\
                   20 of 320 files are handed over\n18 files moved, 2 were there before\n";
        assert_eq!(handed_over(log), 20);
        assert_eq!(handed_over(""), 0);
    }
}
