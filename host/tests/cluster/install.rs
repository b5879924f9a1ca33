//! The two ways of installing the host, and the rights that they give.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::audit::{Asked, asked_by};
use crate::site::Site;
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::world::HOST_USER;

pub(crate) const TESTS: &[Test] = &[
    test("install::the_host_has_no_right_more_than_it_needs", rights),
    alone("install::in_one_namespace_the_host_sees_no_other", one_namespace),
];

/// Every right that `deploy/cluster` gives. All other tests show that the host needs no more.
const RIGHTS: [&str; 8] = [
    "configmaps [get list watch]",
    "events.events.k8s.io [create]",
    "namespaces [get]",
    "persistentvolumeclaims [get list watch patch delete]",
    "persistentvolumeclaims/finalizers [update]",
    "pods [get list watch create patch delete]",
    "statefulsets.apps [get list watch]",
    "statefulsets.apps/status [patch]",
];

/// What it has besides in its own namespace: the lease between the hosts.
const RIGHTS_AT_HOME: [&str; 2] =
    ["leases.coordination.k8s.io [create]", "leases.coordination.k8s.io [get watch update]"];

/// What the API server gives to everybody who has a name.
const EVERYBODYS: [&str; 3] = [
    "selfsubjectreviews.authentication.k8s.io [create]",
    "selfsubjectaccessreviews.authorization.k8s.io [create]",
    "selfsubjectrulesreviews.authorization.k8s.io [create]",
];

/// In any namespace, and in its own.
fn rights(site: &Site<'_>) -> Result<()> {
    for (namespace, besides) in [(site.namespace.as_str(), &[][..]), ("tidegate", &RIGHTS_AT_HOME)]
    {
        let found = rights_of(site, HOST_USER, namespace)?;
        let expected = RIGHTS.iter().chain(besides).map(|&right| right.to_owned());
        let expected: BTreeSet<String> = expected.collect();
        ensure!(found == expected, "in {namespace} the host has the rights {found:#?}");
    }
    Ok(())
}

/// `deploy/namespace`: the set beside the host is drained, the one in another namespace not even looked at.
fn one_namespace(site: &Site<'_>) -> Result<()> {
    let away = site.world.without_host()?;
    let elsewhere = Site::make(site.world, &format!("{}-not", site.namespace))?;
    site.world.kubectl(&["apply", "-n", &site.namespace, "-k", "deploy/namespace"])?;
    let store = Store::exec(&json!({ "script": "true" }));
    elsewhere.start_unseen(&store)?;
    // The host must be allowed to read its namespace, which is to own the claims too.
    site.start(&store.retaining("Delete", "Retain"))?;
    let claim = elsewhere.claim_uid("data-web-1")?;
    elsewhere.scale("web", 1)?;
    site.scale("web", 1)?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    elsewhere.no_pod("web-1")?;
    elsewhere.left_alone("data-web-1", &claim, "web-1")?;
    let user = format!("system:serviceaccount:{}:tidegate", site.namespace);
    let all = asked_by(site.world, &user)?;
    let abroad: Vec<&Asked> =
        all.iter().filter(|asked| asked.namespace != site.namespace).collect();
    ensure!(abroad.is_empty(), "the host asked beyond its namespace: {abroad:?}");
    let none = rights_of(site, &user, &elsewhere.namespace)?;
    ensure!(none.is_empty(), "the host has rights in another namespace: {none:?}");
    elsewhere.leave();
    drop(away);
    Ok(())
}

/// The rights of a user in a namespace, each as `RESOURCE [VERBS]`, without what everybody has.
fn rights_of(site: &Site<'_>, user: &str, namespace: &str) -> Result<BTreeSet<String>> {
    let who = format!("--as={user}");
    let table = site.world.kubectl(&["auth", "can-i", "--list", "-n", namespace, &who])?;
    let rows = table.lines().skip(1).filter(|row| !row.starts_with([' ', '[']));
    Ok(rows
        .filter_map(|row| {
            let resource = row.split_whitespace().next()?;
            let verbs = &row[row.rfind('[')?..];
            Some(format!("{resource} {verbs}"))
        })
        .filter(|right| !EVERYBODYS.contains(&right.as_str()))
        .collect())
}
