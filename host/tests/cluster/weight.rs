//! What the host weighs.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use xtask::bench::Resident;
use xtask::progress::say;

use crate::site::{Site, uid};
use crate::store::Store;
use crate::trial::{Test, alone};

pub(crate) const TESTS: &[Test] =
    &[alone("weight::at_rest_with_the_whole_library_it_is_under_thirty_mib", at_rest)];

/// The most that the host may keep in memory at rest: a cluster has one of it, whether anything is ever drained or not.
const AT_REST_MAX_BYTES: u64 = 30 * 1024 * 1024;

/// How long the host is left alone before it is weighed. A thread that only waited for work has ended by then.
const REST: Duration = Duration::from_secs(15);

/// A host that has just started asks each policy of the library, drains with those that drain, and rests.
fn at_rest(site: &Site<'_>) -> Result<()> {
    drop(site.world.without_host()?);
    let elsewhere = |policy: &str| Site::make(site.world, &format!("{}-{policy}", site.namespace));
    let (kept, templated) = (elsewhere("keep")?, elsewhere("template")?);
    let template = json!({
        "spec": { "containers": [{
            "name": "cleanup",
            "image": "docker.io/library/box:1",
            "command": ["true"],
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        }] },
    });
    let predecessors = "statefulsets.kubernetes.io/scaledown-pod-template";
    site.start(&Store::exec(&json!({ "script": "true" })))?;
    templated.start(&Store::bare().annotated(predecessors, &template.to_string()))?;
    kept.start(&Store::bare().annotated("tidegate.dev/policy", "library:keep"))?;
    for site in [site, &templated, &kept] {
        site.scale("web", 1)?;
    }
    site.gone("data-web-1", "web-1")?;
    templated.gone("data-web-1", "web-1")?;
    kept.told("web", "PolicyKeeps", &["web-1"])?;
    sleep(REST);
    let weight = Resident::of(host_process(site)?)?;
    say(format_args!("the host at rest, with three policies: {weight}"));
    ensure!(weight.all < AT_REST_MAX_BYTES, "the host at rest weighs {weight}");
    kept.leave();
    templated.leave();
    Ok(())
}

/// The number of the process of the host that acts, on this machine, by the cgroup that the kubelet has made for its pod.
fn host_process(site: &Site<'_>) -> Result<u32> {
    let pod = format!("pod{}", uid(&site.world.acting_host()?)?);
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // A process may end while it is looked at.
        let read = |file: &str| fs::read_to_string(process.join(file)).unwrap_or_default();
        if read("comm").trim() == "tidegate" && read("cgroup").contains(&pod) {
            let number = process.file_name().and_then(|name| name.to_str());
            return Ok(number.context("a process without a number")?.parse()?);
        }
    }
    anyhow::bail!("no process of {pod} is on this machine")
}
