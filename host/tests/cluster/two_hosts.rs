//! Two hosts: one acts, the other takes over, and no drain notices.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use xtask::progress::say;

use crate::audit::{Asked, asked_by};
use crate::lookout::{beside, none_shares_a_claim};
use crate::receiver::Receiver;
use crate::shard::{self, Gates, Shard};
use crate::site::{Site, gate, uid};
use crate::store::Store;
use crate::trial::{Test, alone};
use crate::wait::{SOON, eventually, found_if};
use crate::world::{HOST_USER, output};

pub(crate) const TESTS: &[Test] = &[
    alone("two_hosts::the_next_goes_on_at_once_where_one_is_deleted", deleted),
    alone("two_hosts::the_next_goes_on_with_fifty_drains_of_a_killed_one", killed),
    alone("two_hosts::one_that_stood_still_does_nothing_more", stopped),
    alone("two_hosts::at_rest_the_lease_is_renewed_and_nothing_else_asked", at_rest),
    alone("two_hosts::a_lease_of_another_program_is_left_alone", foreign_lease),
];

/// How long the lease lasts that `deploy` asks for.
const LEASE: Duration = Duration::from_secs(15);
/// How long a hand-over may take on a machine whose processors are busy with other things. It takes a fraction of a second on an idle one.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long it may take from the end of a host that is killed until the other acts: the lease, and a try.
const GOES_ON_WITHIN: Duration = Duration::from_secs(20);
/// How many drains there are where it does not matter how many.
const FEW: u32 = 3;
/// How many drains a host is killed in the middle of.
const MANY: u32 = 50;
/// How long the hosts are watched at rest.
const REST: Duration = Duration::from_secs(60);
/// How many renewals `deploy` asks for in that time: one each 2 s.
const RENEWALS: usize = 30;

/// SIGTERM: the lease is given back, and the other host, which watches it, does not wait for its end.
fn deleted(site: &Site<'_>) -> Result<()> {
    let passage = Passage::begin(site)?;
    let name = passage.host.clone();
    site.world.api.delete(&format!("/api/v1/namespaces/tidegate/pods/{name}"), &json!({}))?;
    let next = passage.goes_on_with_another(site)?;
    let (last, first) = passage.hand_over(site, &next)?;
    let took = first.duration_since(last).unsigned_abs();
    say(format_args!("hand-over after SIGTERM: {} ms", took.as_millis()));
    ensure!(last <= first, "{next} took the lease before {name} gave it back");
    ensure!(took < HAND_OVER, "the next host took {took:?} to begin");
    passage.ends(site, &next)
}

/// SIGKILL in the middle of fifty drains, some of them over, some about to end and the others at work: nobody gives the lease back. It ends, the
/// other host begins, the drain pods never know, and every byte is with the receiver.
fn killed(site: &Site<'_>) -> Result<()> {
    let receiver = Receiver::start(site)?;
    let alone = || none_shares_a_claim(site);
    beside(alone, || {
        let store = shard::store(&receiver, Gates::Every);
        let passage = Passage::begin_with(site, store, MANY)?;
        let shards = passage.shards(site)?;
        let stays = Shard::on(site, "data-web-0")?;
        let (before, after) = shards.split_at(shards.len() / 2);
        before.iter().try_for_each(Shard::open_gate)?;
        first_is_gone(site, before)?;
        signal("KILL", &passage.process)?;
        let killed_at = Timestamp::now();
        after.iter().try_for_each(Shard::open_gate)?;
        let next = passage.has_another(site)?;
        let (last, first) = passage.hand_over(site, &next)?;
        let stood = first.duration_since(last).unsigned_abs();
        let took = first.duration_since(killed_at).unsigned_abs();
        say(format_args!(
            "{MANY} drains under a killed host: the next goes on after {} ms, {} ms after the last renewal",
            took.as_millis(),
            stood.as_millis()
        ));
        ensure!(
            stood >= LEASE,
            "{next} began {stood:?} after the last renewal, while the lease stood"
        );
        ensure!(took <= GOES_ON_WITHIN, "{next} began {took:?} after the other was killed");
        passage.ends(site, &next)?;
        let took = receiver.took()?;
        for (shard, (pod, _)) in shards.iter().zip(&passage.drains) {
            shard.is_among(&took, pod)?;
        }
        stays.is_kept(site)
    })
}

/// SIGSTOP: the process stands still, and its lease ends. Whatever it believes when it goes on, it writes nothing.
fn stopped(site: &Site<'_>) -> Result<()> {
    let passage = Passage::begin(site)?;
    let (name, process) = (passage.host.clone(), passage.process.clone());
    signal("STOP", &process)?;
    let next = passage.goes_on_with_another(site);
    let next = next.inspect_err(|_| drop(signal("CONT", &process)))?;
    signal("CONT", &process)?;
    passage.ends(site, &next)?;
    eventually("the one that stood still starts anew", SOON, || {
        let pods = site.world.host_pods()?;
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name.as_str());
        let status = pod.map(|pod| &pod["status"]["containerStatuses"][0]);
        let restarts = status.and_then(|status| status["restartCount"].as_u64()).unwrap_or(1);
        Ok(found_if(restarts > 0, || format!("{status:?}")))
    })?;
    let mut late = passage.writes_by(site, &name)?;
    late.retain(|asked| asked.at > passage.taken_at(site, &next).unwrap_or_default());
    ensure!(late.is_empty(), "{name} stood still, lost the lease, and wrote: {late:?}");
    Ok(())
}

/// The one that acts renews the lease; the one that waits asks for nothing at all.
fn at_rest(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let acting = name(&site.world.acting_host()?)?;
    // The last events of the start may still be on their way.
    sleep(Duration::from_secs(2));
    let before = asked_by(site.world, HOST_USER)?.len();
    sleep(REST);
    let mut asked = asked_by(site.world, HOST_USER)?.split_off(before);
    // What earlier tests left is still being deleted.
    let here = ["", "tidegate", site.namespace.as_str()];
    asked.retain(|asked| !asked.is_watch() && here.contains(&asked.namespace.as_str()));
    let renewals = asked.iter().filter(|asked| asked.what == "update leases tidegate").count();
    say(format_args!("renewals of the lease in {} s: {renewals}", REST.as_secs()));
    let others: Vec<&Asked> = asked
        .iter()
        .filter(|asked| asked.what != "update leases tidegate" || asked.pod != acting)
        .collect();
    ensure!(others.is_empty(), "at rest the hosts asked besides: {others:?}");
    // A busy machine makes them fewer; only a loop without its pause makes them more.
    ensure!((1..=RENEWALS + 2).contains(&renewals), "{renewals} renewals in {REST:?}");
    Ok(())
}

/// It is reported, the host that acted stops, none acts and none is ready; and once it is gone all is as before.
fn foreign_lease(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    let away = site.world.without_host()?;
    let path = "/apis/coordination.k8s.io/v1/namespaces/tidegate/leases";
    site.world.api.delete(&format!("{path}/tidegate"), &json!({}))?;
    let foreign = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "tidegate" },
        "spec": { "holderIdentity": "another-program", "leaseDurationSeconds": 1 },
    });
    let made = site.world.api.create(path, &foreign)?;
    let claim = site.claim_uid("data-web-1")?;
    let called_back = std::thread::scope(|scope| {
        let looked = scope.spawn(|| {
            let told = eventually("the hosts say why they do nothing", SOON, || {
                let hosts = "app.kubernetes.io/name=tidegate";
                // A pod whose container has not started has no log.
                let question = ["logs", "-n", "tidegate", "-l", hosts, "--tail=-1"];
                let log = site.world.kubectl(&question).unwrap_or_default();
                let words = ["tidegate/tidegate", "another-program", "--lease-name"];
                let told = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
                Ok(found_if(told, || log))
            });
            let kept = site.scale("web", 1).and_then(|()| {
                site.no_pod("web-1")?;
                site.left_alone("data-web-1", &claim, "web-1")?;
                let lease = site.world.lease()?;
                let same =
                    lease["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"];
                ensure!(same, "the lease of another program was written: {lease}");
                let ready = site.world.host_pods()?.iter().any(is_ready);
                ensure!(!ready, "a host that cannot have its lease is ready");
                Ok(())
            });
            let gone = site.world.api.delete(&format!("{path}/tidegate"), &json!({}));
            told?;
            kept?;
            gone.map(drop)
        });
        drop(away);
        looked.join()
    });
    called_back.map_err(|_| anyhow::anyhow!("looking at the hosts panicked"))??;
    site.world.host_is_ready()?;
    site.gone("data-web-1", "web-1")
}

/// Drains at once, each held at its gate, and the host that leads them.
struct Passage {
    /// The name of the host's pod, and its process on this machine.
    host: String,
    process: String,
    /// The lease's holder at the start.
    holder: Value,
    /// The drain pods by their names.
    drains: Vec<(String, String)>,
}

impl Passage {
    fn begin(site: &Site<'_>) -> Result<Self> {
        Self::begin_with(site, Store::exec(&json!({ "script": gate() })), FEW)
    }

    fn begin_with(site: &Site<'_>, store: Store, drains: u32) -> Result<Self> {
        site.start(&store.of(drains + 1))?;
        site.scale("web", 1)?;
        let drain = |ordinal| {
            let pod = format!("web-{ordinal}");
            let uid = uid(&site.drains(&pod, 1)?)?;
            Ok((pod, uid))
        };
        let drains = (1..=drains).map(drain).collect::<Result<_>>()?;
        let host = site.world.acting_host()?;
        let process = process_of(&uid(&host)?)?;
        let holder = site.world.lease()?["spec"]["holderIdentity"].clone();
        Ok(Self { host: name(&host)?, process, holder, drains })
    }

    /// Opens the gates while nobody leads, and waits until another host does; answers its name.
    fn goes_on_with_another(&self, site: &Site<'_>) -> Result<String> {
        for (pod, _) in &self.drains {
            site.open_gate(pod)?;
        }
        self.has_another(site)
    }

    /// What the member of each drain wrote.
    fn shards(&self, site: &Site<'_>) -> Result<Vec<Shard>> {
        self.drains.iter().map(|(pod, _)| Shard::on(site, &format!("data-{pod}"))).collect()
    }

    /// Waits until another host holds the lease; answers its name.
    fn has_another(&self, site: &Site<'_>) -> Result<String> {
        eventually("another host holds the lease", SOON, || {
            let lease = site.world.lease()?;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            Ok(found_if(!holder.is_empty() && *holder != self.holder, || lease.to_string()))
        })?;
        let next = name(&site.world.acting_host()?)?;
        ensure!(next != self.host, "the pod that lost the lease had it again before the other");
        Ok(next)
    }

    /// When the first host wrote the lease last, and when the next took it, by the API server's record.
    fn hand_over(&self, site: &Site<'_>, next: &str) -> Result<(Timestamp, Timestamp)> {
        let taken_at = self.taken_at(site, next)?;
        let mut last = lease_writes(site, &self.host)?;
        last.retain(|asked| asked.at <= taken_at);
        let last = last.last().context("the first host never wrote the lease")?;
        Ok((last.at.parse()?, taken_at.parse()?))
    }

    fn taken_at(&self, site: &Site<'_>, next: &str) -> Result<String> {
        // It may have led in an earlier test: what counts is what came after the first host's first write in this one.
        let writes = lease_writes(site, next)?;
        let began = self.began_at(site)?;
        let taken = writes.into_iter().find(|asked| asked.at > began);
        Ok(taken.context("the next host never wrote the lease")?.at)
    }

    /// When the first host created the first drain pod.
    fn began_at(&self, site: &Site<'_>) -> Result<String> {
        let writes = self.writes_by(site, &self.host)?;
        let first = writes.into_iter().find(|asked| asked.what.starts_with("create pods"));
        Ok(first.context("the first host created no drain pod")?.at)
    }

    /// What a host wrote in this namespace, events aside.
    fn writes_by(&self, site: &Site<'_>, host: &str) -> Result<Vec<Asked>> {
        let mut all = self.asked_by_pod(site, host)?;
        all.retain(Asked::is_write);
        Ok(all)
    }

    /// What a host asked in this namespace, events and reading alike.
    fn asked_by_pod(&self, site: &Site<'_>, host: &str) -> Result<Vec<Asked>> {
        let mut all = asked_by(site.world, HOST_USER)?;
        all.retain(|asked| asked.pod == host && asked.namespace == site.namespace);
        Ok(all)
    }

    /// Every claim goes, each after one drain pod and one seal, and whoever wrote did so in its own time.
    fn ends(&self, site: &Site<'_>, next: &str) -> Result<()> {
        for (pod, _) in &self.drains {
            site.gone(&format!("data-{pod}"), pod)?;
        }
        site.claim_uid("data-web-0")?;
        let taken_at = self.taken_at(site, next)?;
        let (first, second) = (self.writes_by(site, &self.host)?, self.writes_by(site, next)?);
        let all: Vec<&Asked> = first.iter().chain(&second).collect();
        let count = |what: &str| all.iter().filter(|it| it.what == what && it.code < 300).count();
        for (pod, _) in &self.drains {
            let made = count(&format!("create pods {pod}"));
            ensure!(made == 1, "{made} drain pods of {pod} were made: {all:?}");
            let deleted = count(&format!("delete persistentvolumeclaims data-{pod}"));
            ensure!(deleted == 1, "the claim of {pod} was deleted {deleted} times: {all:?}");
        }
        let late: Vec<_> = first.iter().filter(|asked| asked.at > taken_at).collect();
        ensure!(late.is_empty(), "the first host wrote when another led: {late:?}");
        let mut early = self.asked_by_pod(site, next)?;
        early.retain(|asked| asked.at < taken_at);
        ensure!(early.is_empty(), "the next host did not only watch before it led: {early:?}");
        site.world.host_is_ready()
    }
}

/// Waits until the first of these claims is gone.
fn first_is_gone(site: &Site<'_>, shards: &[Shard]) -> Result<()> {
    eventually("a drain is over", SOON, || {
        let claims = site.claims()?;
        let is_there = |shard: &Shard| {
            claims.iter().any(|claim| claim["metadata"]["name"] == shard.claim.as_str())
        };
        Ok(found_if(!shards.iter().all(is_there), || format!("{} claims", claims.len())))
    })
}

/// The writes of the lease by this pod that were taken, in order.
fn lease_writes(site: &Site<'_>, pod: &str) -> Result<Vec<Asked>> {
    let mut all = asked_by(site.world, HOST_USER)?;
    all.retain(|asked| {
        asked.pod == pod
            && asked.code < 300
            && ["update leases tidegate", "create leases tidegate", "create leases"]
                .contains(&asked.what.as_str())
    });
    all.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(all)
}

fn name(pod: &Value) -> Result<String> {
    Ok(pod["metadata"]["name"].as_str().context("a pod without a name")?.to_owned())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

/// The process of the host in the pod of this UID, which is one of this machine too.
fn process_of(pod_uid: &str) -> Result<String> {
    let folder = |entry: std::io::Result<fs::DirEntry>| entry.ok().map(|entry| entry.path());
    for process in fs::read_dir("/proc")?.filter_map(folder) {
        // A process that has ended meanwhile is none.
        let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
        let is_host = read("cmdline").starts_with(b"/tidegate\0run\0");
        if is_host && String::from_utf8_lossy(&read("cgroup")).contains(pod_uid) {
            let id = process.file_name().context("a process without an id")?;
            return Ok(id.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no process of the pod {pod_uid} runs on this machine")
}

fn signal(signal: &str, process: &str) -> Result<()> {
    output(Command::new("kill").args([&format!("-{signal}"), process])).map(drop)
}
