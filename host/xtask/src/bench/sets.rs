//! `cargo xtask bench sets`: many sets on stand-in nodes, all scaled down at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::client::connect;
use super::fleet::{Fleet, Lot};
use super::host::{HostProcess, Resident};
use super::requests;
use super::stage::{FLEET, HOST, Stage};
use crate::progress::{say, spell};

/// What the host logs here: what it does, which is not much beside what it asks.
const LOG: &str = "info";

/// How long each step may take.
const WITHIN: Duration = Duration::from_secs(1_800);

/// How many lines of the host's log are shown that warn.
const WARNINGS_SHOWN: usize = 10;

/// How long the host is left alone before it is weighed, so that threads that only waited for work have ended.
const REST: Duration = Duration::from_secs(12);

/// The arguments of `cargo xtask bench sets`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many sets of two members.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How many of them share a namespace.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    per_namespace: u32,
    /// How many stand-in nodes play them.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
}

/// Runs the bench and prints what it took.
pub(super) fn run(args: &Args) -> Result<()> {
    let stage = Stage::set("bench-sets", usize::try_from(args.nodes)?)?;
    let host = stage.host(&[], LOG)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let took = runtime.block_on(passage(&stage, &host, lots(args)?))?;
    let asked = requests::read(stage.audit_log(), |request| {
        request.user == format!("system:serviceaccount:{HOST}:{HOST}")
    })?;
    let drained = asked.iter().filter(|request| request.answered >= took.scaled_down_at);
    show(args, &took, &by_kind(drained), &warnings(&host.log_text()?));
    Ok(())
}

/// What it took.
struct Took {
    to_run: Duration,
    to_drain: Duration,
    scaled_down_at: Timestamp,
    pods: usize,
    /// The host with all sets up, and after the last drain.
    host: [Resident; 2],
    /// This process, which plays the nodes.
    nodes: Resident,
    processor_time: Duration,
}

/// A lot for each namespace.
fn lots(args: &Args) -> Result<Vec<Lot>> {
    let each = args.per_namespace.min(args.count);
    let lot = |number: u32| {
        Ok(Lot {
            name: FLEET.to_owned(),
            namespaces: vec![format!("lot-{number}")],
            sets_each: usize::try_from(each)?,
            annotations: BTreeMap::from([
                ("tidegate.dev/policy".to_owned(), "library:exec".to_owned()),
                ("tidegate.dev/policy-config".to_owned(), r#"{"script":"true"}"#.to_owned()),
            ]),
        })
    };
    (0..args.count.div_ceil(each)).map(lot).collect()
}

async fn passage(stage: &Stage, host: &HostProcess, lots: Vec<Lot>) -> Result<Took> {
    let client = connect(stage.kubeconfig()).await?;
    let started = Instant::now();
    let mut fleets: Vec<Fleet> = Vec::new();
    for lot in lots {
        // One namespace after the other: the scheduler tries pods again and again whose claims are not bound yet, and tells each time, so
        // that thousands at once keep it and the API server busy with nothing else.
        let fleet = Fleet::create(client.clone(), lot).await?;
        fleet.all_run(WITHIN).await?;
        fleet.all_enrolled(WITHIN).await?;
        fleets.push(fleet);
    }
    let to_run = started.elapsed();
    say(format_args!("all members run and are enrolled, after {}", spell(to_run)));
    let pods = stage.pods()?;
    tokio::time::sleep(REST).await;
    let idle = host.resident()?;
    let processor_time = host.processor_time()?;
    let scaled_down_at = Timestamp::now();
    let started = Instant::now();
    for fleet in &fleets {
        fleet.scale_all(1).await?;
    }
    say(format_args!("all are scaled down, after {}", spell(started.elapsed())));
    for fleet in &fleets {
        fleet.all_drained(WITHIN).await?;
    }
    let to_drain = started.elapsed();
    let processor_time = host.processor_time()?.saturating_sub(processor_time);
    tokio::time::sleep(REST).await;
    let host = [idle, host.resident()?];
    let nodes = Resident::of(std::process::id())?;
    Ok(Took { to_run, to_drain, scaled_down_at, pods, host, nodes, processor_time })
}

/// How many requests of each kind there were, and how many of them were refused, by status.
fn by_kind<'a>(all: impl Iterator<Item = &'a requests::Request>) -> BTreeMap<(String, u64), usize> {
    let mut kinds = BTreeMap::new();
    for request in all {
        let kind = (format!("{} {}", request.verb, request.resource), request.code);
        *kinds.entry(kind).or_insert(0) += 1;
    }
    kinds
}

/// The lines of the log that warn.
fn warnings(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warns = lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    warns.map(|line| line["fields"]["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[allow(clippy::print_stdout, reason = "the figures are what the command is run for")]
fn show(args: &Args, took: &Took, asked: &BTreeMap<(String, u64), usize>, warnings: &[String]) {
    let drains = args.count.div_ceil(args.per_namespace) * args.per_namespace.min(args.count);
    let per_second = f64::from(drains) / took.to_drain.as_secs_f64();
    let ms = took.processor_time.as_secs_f64() * 1_000.0 / f64::from(drains);
    println!(
        "{drains} sets of two members and a claim each, {} to a namespace, {} pods on {} stand-in nodes of one process.\n\
         all run after            {}, one namespace after the other\n\
         all drained after        {} from the first scale-down: {per_second:.1} a second\n\
         host, all sets up        {}\n\
         host, after the drains   {}\n\
         host's processor time    {ms:.1} ms a drain\n\
         nodes' process           {}\n\
         the host asked, from the first scale-down on:",
        args.per_namespace,
        took.pods,
        args.nodes,
        spell(took.to_run),
        spell(took.to_drain),
        took.host[0],
        took.host[1],
        took.nodes,
    );
    for ((kind, code), count) in asked {
        let each = *count as f64 / f64::from(drains);
        println!("  {kind:<36} {code}  {count:>7}  {each:6.2} a drain");
    }
    println!("the host warned {} times", warnings.len());
    for warning in warnings.iter().take(WARNINGS_SHOWN) {
        println!("  {warning}");
    }
}
