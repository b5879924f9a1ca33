//! Many sets at once, on a stand-in node: `cargo xtask bench sets` plays the same with a thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;
use xtask::bench::{self, Fleet, Lot};
use xtask::standin::StandIn;

use crate::audit::{Asked, asked_by};
use crate::site::Site;
use crate::trial::{Test, test};
use crate::world::HOST_USER;

pub(crate) const TESTS: &[Test] =
    &[test("fleet::twenty_sets_scaled_down_at_once_are_all_drained", twenty)];

/// How many sets, in two namespaces.
const SETS: usize = 20;

/// How long each step may take, on a machine whose processors build something else at the same time.
const WITHIN: Duration = Duration::from_secs(180);

/// The answer where the garbage collector was quicker with the drain pod.
const GONE: u64 = 404;

/// Each drain takes its four writes, and none is refused but for coming late.
fn twenty(site: &Site<'_>) -> Result<()> {
    let name = site.namespace.as_str();
    let cluster = &site.world.cluster;
    let node = StandIn::start(cluster.kubeconfig(), bench::node(name, name)?)?;
    let namespaces = vec![format!("{name}-a"), format!("{name}-b")];
    let lot = Lot {
        name: name.to_owned(),
        namespaces: namespaces.clone(),
        sets_each: SETS / namespaces.len(),
        annotations: BTreeMap::from([
            ("tidegate.dev/policy".to_owned(), "library:exec".to_owned()),
            ("tidegate.dev/policy-config".to_owned(), r#"{"script":"true"}"#.to_owned()),
        ]),
    };
    let drained = Runtime::new()?.block_on(async {
        let client = bench::connect(cluster.kubeconfig()).await?;
        let fleet = Fleet::create(client, lot).await?;
        fleet.all_run(WITHIN).await?;
        fleet.all_enrolled(WITHIN).await?;
        fleet.scale_all(1).await?;
        fleet.all_drained(WITHIN).await
    });
    for namespace in &namespaces {
        let path = format!("/api/v1/namespaces/{namespace}");
        let _ = site.world.api.delete(&path, &serde_json::json!({}));
    }
    drained?;
    let mut asked = asked_by(site.world, HOST_USER)?;
    asked.retain(|asked| namespaces.contains(&asked.namespace) && asked.is_write());
    for (what, each) in
        [("create pods ", 1), ("patch pods ", 2), ("delete persistentvolumeclaims ", 1)]
    {
        let is_it = |asked: &&Asked| asked.what.starts_with(what) && asked.code < 300;
        let count = asked.iter().filter(is_it).count();
        ensure!(count == SETS * each, "{count} times {what}for {SETS} drains: {asked:?}");
    }
    let is_refused = |asked: &&Asked| asked.code >= 400 && !asked.came_late() && asked.code != GONE;
    let refused: Vec<&Asked> = asked.iter().filter(is_refused).collect();
    ensure!(refused.is_empty(), "the host was refused: {refused:?}");
    node.stop();
    Ok(())
}
