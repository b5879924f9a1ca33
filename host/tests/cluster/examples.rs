//! The examples, as their READMEs tell them to a person.

use std::path::Path;

use anyhow::Result;
use xtask::{example, policies};

use crate::site::Site;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("examples::datastore_as_its_readme_says", datastore),
    test("examples::shards_as_its_readme_says", shards),
    test("examples::spool_as_its_readme_says", spool),
];

/// The predecessor's own example, with its annotation and template: only the images are others.
fn datastore(site: &Site<'_>) -> Result<()> {
    replay(site, "datastore")
}

/// A store whose members hand over their files, with a policy of its own.
fn shards(site: &Site<'_>) -> Result<()> {
    policies::build(&["shards"])?;
    replay(site, "shards")
}

/// A store with a policy in JavaScript, which its author builds with npm.
fn spool(site: &Site<'_>) -> Result<()> {
    replay(site, "spool")
}

fn replay(site: &Site<'_>, name: &str) -> Result<()> {
    let cluster = &site.world.cluster;
    let kubectl = cluster.kubectl();
    example::replay(name, cluster.kubeconfig(), Path::new(kubectl.get_program()))
}
