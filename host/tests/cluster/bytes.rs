//! A storm on the real node with real bytes: sets go up and down, pods are evicted and deleted, two hosts are killed and stopped, as a seed has it. The
//! members take each other's files over the network, and every file that was ever written must be found, whole.

use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use xtask::progress::say;
use xtask::proxy::Proxy;
use xtask::storm::Dice;

use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::lookout::{beside, none_shares_a_claim};
use crate::process::HostProcess;
use crate::receiver::{self, PORT};
use crate::site::{Site, is_drain_pod};
use crate::store::{BEGUN, Store};
use crate::trial::{Test, apart, test};
use crate::wait::{eventually, found_if};

pub(crate) const TESTS: &[Test] = &[
    apart("bytes::a_storm_loses_none", storm),
    test("bytes::a_file_that_a_drain_skips_is_missed", skipped),
];

/// The environment variable that names another seed than [`SEED`].
const SEED_VARIABLE: &str = "TIDEGATE_BYTES_SEED";
/// The seed that is played where none is named.
const SEED: u64 = 1;
/// What the dice are for.
const PURPOSE: u64 = 3;
/// The sets, how each starts and stops its members, what it does where an ordinal is wanted again that is being drained, and what its drains leave that
/// is believed.
const SETS: [(&str, &str, &str, Proof); 3] = [
    ("alpha", "Parallel", "finish", Proof::ExitCode),
    ("bravo", "Parallel", "cancel", Proof::ExitCode),
    ("carol", "OrderedReady", "finish", Proof::Message),
];
/// How many members a set has at first, and how many it has at most.
const MEMBERS: u32 = 3;
const MEMBERS_MAX: u64 = 4;
/// How many moves there are.
const MOVES: usize = 60;
/// The pause before a move, in milliseconds.
const PAUSE_MS: (u64, u64) = (20, 700);
/// How long a host stands still, in milliseconds: longer and shorter than its lease.
const STILL_MS: (u64, u64) = (100, 6_000);
/// A file in its own container that makes a drain fail.
const FAILS: &str = "/fails";
/// The names of the hosts.
const HOSTS: [&str; 2] = ["first", "second"];
/// How long all may take to come to rest after the last move: a drain that has failed three times waits for 4 s, on a busy machine.
const CALM: Duration = Duration::from_secs(180);

/// A client's write: some files on the volume of a member, which alone has the file that is looked for first. Prints their names once they are there.
const WRITE: &str = "for file in 1 2 3; do
  part=$(mktemp /data/.XXXXXX); head -c 3000 /dev/urandom > $part
  sum=$(sha256sum < $part); sum=${sum%% *}
  mv $part /data/$sum && echo $sum || exit 1
done";

/// What a drain leaves that says that it came to its end.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// What `exec` adds to a script.
    Message,
    /// Its exit code, which is 0 too where it is told to stop, as with many programs: that such an end is none the host alone can tell.
    ExitCode,
}

/// What happens. Sets and hosts are named by their places.
#[derive(Clone, Copy, Debug)]
enum Move {
    Write(usize, u32),
    Scale(usize, u32),
    /// A drain pod of the set is evicted; where none runs, the member of the ordinal.
    Evict(usize, u32),
    /// The same deleted.
    Delete(usize, u32),
    /// A drain pod of the set, where one runs, fails.
    Fail(usize),
    Kill(usize),
    Stop(usize, u64),
}

fn storm(site: &Site<'_>) -> Result<()> {
    let seed = match env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{SEED_VARIABLE}={text}"))?,
        Err(_) => SEED,
    };
    let moves = draw(&mut Dice::new(seed, PURPOSE));
    play(site, &moves)
        .with_context(|| format!("played again by {SEED_VARIABLE}={seed}, with {moves:?}"))
}

/// Every move after its pause, from a seed alone.
fn draw(dice: &mut Dice) -> Vec<(u64, Move)> {
    let number = |dice: &mut Dice, low, high| u32::try_from(dice.between(low, high)).unwrap_or(1);
    let place = |dice: &mut Dice, count: usize| {
        usize::try_from(dice.next() % u64::try_from(count).unwrap_or(1)).unwrap_or_default()
    };
    let one = |dice: &mut Dice| {
        let set = place(dice, SETS.len());
        let ordinal = number(dice, 0, MEMBERS_MAX - 1);
        let host = place(dice, HOSTS.len());
        let kinds = [
            (25, Move::Write(set, ordinal)),
            (45, Move::Scale(set, number(dice, 1, MEMBERS_MAX))),
            (8, Move::Evict(set, ordinal)),
            (6, Move::Delete(set, ordinal)),
            (16, Move::Fail(set)),
            (8, Move::Kill(host)),
            (8, Move::Stop(host, dice.between(STILL_MS.0, STILL_MS.1))),
        ];
        let deed = dice.weighed(&kinds).unwrap_or(Move::Write(0, 0));
        (dice.between(PAUSE_MS.0, PAUSE_MS.1), deed)
    };
    (0..MOVES).map(|_| one(dice)).collect()
}

fn play(site: &Site<'_>, moves: &[(u64, Move)]) -> Result<()> {
    let mut hosts = Hosts::start(site)?;
    for (set, ..) in SETS {
        serve(site, set)?;
    }
    site.start_all(&SETS.map(|(set, starts, on_scale_up, proof)| {
        let spec = json!({ "podManagementPolicy": starts });
        peers(set, "/data/*", on_scale_up, proof).of(MEMBERS).with_spec(&spec)
    }))?;
    let ledger = Ledger::new(site);
    let look = || none_shares_a_claim(site).and_then(|()| ledger.look());
    beside(look, || {
        for (set, ..) in SETS {
            (0..MEMBERS).for_each(|ordinal| write(site, &ledger, set, ordinal));
        }
        for (pause_ms, deed) in moves {
            hosts.rest(Duration::from_millis(*pause_ms))?;
            make(site, &ledger, &mut hosts, *deed)?;
        }
        hosts.rest(Duration::from_millis(STILL_MS.1))?;
        for (set, ..) in SETS {
            site.scale(set, 1)?;
        }
        comes_to_rest(site)
    })?;
    let sum = ledger.all_is_there()?;
    say(format_args!(
        "a storm of {MOVES} moves: {} files written, {} claims drained and deleted, hosts killed {} times, stopped {} times",
        sum.acknowledged, sum.deleted, hosts.killed, hosts.stopped
    ));
    let is_a_storm = sum.acknowledged > 0 && sum.deleted > 0;
    ensure!(is_a_storm, "nothing happened that could have lost anything: {sum:?}");
    Ok(())
}

fn make(site: &Site<'_>, ledger: &Ledger<'_>, hosts: &mut Hosts<'_>, deed: Move) -> Result<()> {
    let drains = site.drain_pods()?;
    let target = |set: usize, ordinal| {
        let set = format!("{}-", SETS[set].0);
        let drain = drains.iter().find(|pod| pod.starts_with(&set));
        drain.cloned().unwrap_or_else(|| format!("{set}{ordinal}"))
    };
    match deed {
        Move::Write(set, ordinal) => write(site, ledger, SETS[set].0, ordinal),
        Move::Scale(set, replicas) => site.scale(SETS[set].0, replicas)?,
        // There may be no pod of this name just then.
        Move::Evict(set, ordinal) => drop(site.evict(&target(set, ordinal))),
        Move::Delete(set, ordinal) => drop(site.delete("pods", &target(set, ordinal))),
        // In a member the file says nothing.
        Move::Fail(set) => drop(site.sh(&target(set, MEMBERS), &format!("touch {FAILS}"))),
        Move::Kill(host) => hosts.kill(host)?,
        Move::Stop(host, still_ms) => hosts.stop(host, Duration::from_millis(still_ms))?,
    }
    Ok(())
}

/// A write to the member of the ordinal, if it runs. What it is not told of counts for nothing, whatever became of it.
fn write(site: &Site<'_>, ledger: &Ledger<'_>, set: &str, ordinal: u32) {
    let script = format!("[ -e {BEGUN} ] || exit 1; {WRITE}");
    if let Ok(names) = site.sh(&format!("{set}-{ordinal}"), &script) {
        ledger.acknowledge(&names);
    }
}

/// Waits until each set has its one member and nothing is left of the others but claims that are kept for a reason: they were never enrolled, or
/// their drain was cancelled when they were wanted again.
fn comes_to_rest(site: &Site<'_>) -> Result<()> {
    eventually("all has come to rest", CALM, || {
        let pods = site.world.api.list(&site.path("v1", "pods", ""))?;
        let drains = pods.iter().filter(|pod| is_drain_pod(pod)).count();
        let mut left = Vec::new();
        for claim in site.claims()? {
            let metadata = &claim["metadata"];
            let name = metadata["name"].as_str().unwrap_or_default().to_owned();
            let record = metadata["annotations"]["tidegate.dev/record"].as_str();
            let is_held = record.is_some_and(|record| record.contains("\"hold\":{"));
            let is_stray = metadata["labels"]["tidegate.dev/set-uid"].is_null();
            if !name.ends_with("-0") && !is_held && !is_stray {
                left.push(name);
            }
        }
        let is_over = drains == 0 && left.is_empty() && pods.len() == SETS.len();
        Ok(found_if(is_over, || format!("{} pods, {drains} drain pods, {left:?}", pods.len())))
    })
}

/// A drain that leaves one file out: as soon as the claim is deleted, and at the end, it is missed by its name.
fn skipped(site: &Site<'_>) -> Result<()> {
    let ledger = Ledger::new(site);
    serve(site, "web")?;
    site.start(&peers("web", "$(ls /data/* | tail -n +2)", "finish", Proof::Message))?;
    write(site, &ledger, "web", 1);
    ledger.look()?;
    let first = site.sh("web-1", "ls /data | head -n 1")?;
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    for (when, found) in [("once", ledger.look()), ("at the end", ledger.all_is_there().map(drop))]
    {
        let missed = found.err().with_context(|| format!("nothing was missed {when}"))?.to_string();
        let is_alone = missed.contains(first.trim()) && missed.matches('"').count() == 2;
        ensure!(is_alone, "{} was skipped, and {when} was said: {missed}", first.trim());
    }
    Ok(())
}

/// A set whose members take files, and whose drain pods hand these files to any member that is ready, with a rest after each.
fn peers(set: &'static str, files: &str, on_scale_up: &str, proof: Proof) -> Store {
    let address = format!("${}_SERVICE_HOST", set.to_uppercase());
    let drain = format!(
        "{}
for file in {files}; do
  [ -f \"$file\" ] || continue
  hand_over \"$file\" \"${{file##*/}}\" || exit 1
  sleep 0.3
  [ ! -e {FAILS} ] || exit 1
done",
        receiver::hand_over(&address)
    );
    let config = match proof {
        Proof::Message => json!({ "script": drain, "onScaleUp": on_scale_up }),
        Proof::ExitCode => {
            // Kubernetes takes a dollar before a parenthesis for a name of its own unless there are two.
            let command = format!("trap 'exit 0' TERM\n{drain}").replace('$', "$$");
            json!({ "command": ["sh", "-c", command], "exitCode": "enough", "onScaleUp": on_scale_up })
        }
    };
    let serve = format!("trap 'exit 0' TERM; {} touch {BEGUN}; wait", receiver::listen());
    let command = json!(["sh", "-c", serve, "member", receiver::take("/data")]);
    Store::exec(&config).named(set).with_container(&json!({ "command": command }))
}

/// Makes the Service of a set's members, whose address their pods are told.
fn serve(site: &Site<'_>, set: &str) -> Result<()> {
    let service = json!({
        "metadata": { "name": set },
        "spec": { "selector": { "app": set }, "ports": [{ "port": PORT }] },
    });
    site.world.api.create(&site.path("v1", "services", ""), &service)?;
    Ok(())
}

/// Two hosts under one lease, which are started again wherever they end.
struct Hosts<'a> {
    site: &'a Site<'a>,
    hosts: Vec<Host>,
    killed: u32,
    stopped: u32,
    proxy: Proxy,
    // Kept until the hosts are gone.
    lease: Lease<'a>,
}

struct Host {
    process: HostProcess,
    /// Until when it stands still.
    still_until: Option<Instant>,
}

impl<'a> Hosts<'a> {
    fn start(site: &'a Site<'a>) -> Result<Self> {
        let lease = Lease::allow(site.world, &site.namespace)?;
        let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
        let mut hosts = Self { site, hosts: Vec::new(), killed: 0, stopped: 0, proxy, lease };
        for name in HOSTS {
            let host = hosts.another(name)?;
            hosts.hosts.push(host);
        }
        Ok(hosts)
    }

    fn another(&self, name: &str) -> Result<Host> {
        let process = HostProcess::in_turn(&self.proxy, self.site, &self.lease.flags(name))?;
        Ok(Host { process, still_until: None })
    }

    fn kill(&mut self, place: usize) -> Result<()> {
        self.killed += 1;
        self.hosts.remove(place).process.crash()?;
        let next = self.another(HOSTS[place])?;
        self.hosts.insert(place, next);
        Ok(())
    }

    fn stop(&mut self, place: usize, still: Duration) -> Result<()> {
        self.stopped += 1;
        self.hosts[place].process.stands_still()?;
        self.hosts[place].still_until = Some(Instant::now() + still);
        Ok(())
    }

    /// Waits, lets the hosts go on whose time has come, and replaces those that have ended, since they lost their lease.
    fn rest(&mut self, pause: Duration) -> Result<()> {
        let end = Instant::now() + pause;
        loop {
            for (place, name) in HOSTS.into_iter().enumerate() {
                let host = &mut self.hosts[place];
                if host.still_until.is_some_and(|until| until <= Instant::now()) {
                    host.still_until = None;
                    host.process.goes_on()?;
                }
                if host.process.has_ended()? {
                    self.hosts[place] = self.another(name)?;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(100)));
        }
    }
}
