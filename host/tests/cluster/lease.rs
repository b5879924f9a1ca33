//! A lease of a test's own, for the hosts that it runs as processes.

use anyhow::Result;

use crate::wait::{SOON, eventually, found_if};
use crate::world::World;

/// Shorter than what `deploy` asks for, so that a test does not wait for the lease alone: it lasts 4 s, is renewed each second, and is acted under for
/// 3 s after a renewal.
const TIMES: [&str; 3] =
    ["--lease-duration-secs=4", "--lease-renew-deadline-secs=3", "--lease-retry-secs=1"];

/// The right of the hosts to one lease more, until this is dropped.
pub(crate) struct Lease<'a> {
    world: &'a World,
    name: String,
}

impl<'a> Lease<'a> {
    /// A lease of this name.
    pub(crate) fn allow(world: &'a World, name: &str) -> Result<Self> {
        let lease = Self { world, name: name.to_owned() };
        let account = "--serviceaccount=tidegate:tidegate";
        let verbs = "--verb=get,watch,update";
        let resource = ["--resource=leases.coordination.k8s.io", "--resource-name", name];
        world.kubectl(
            &[&["create", "role", name, "-n", "tidegate", verbs], &resource[..]].concat(),
        )?;
        let role = format!("--role={name}");
        world.kubectl(&["create", "rolebinding", name, "-n", "tidegate", &role, account])?;
        Ok(lease)
    }

    /// The flags of a host of this name that acts only while it holds the lease.
    pub(crate) fn flags(&self, own_name: &str) -> Vec<String> {
        let named = [format!("--own-name={own_name}"), format!("--lease-name={}", self.name)];
        named.into_iter().chain(TIMES.map(str::to_owned)).collect()
    }

    /// Waits until whoever holds the lease is the one that is meant.
    pub(crate) fn is_held(&self, is_meant: impl Fn(&str) -> bool) -> Result<()> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/tidegate/leases/{}", self.name);
        eventually("the lease is held by the one that is meant", SOON, || {
            let lease = self.world.api.get(&path)?.unwrap_or_default();
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            Ok(found_if(is_meant(holder), || lease.to_string()))
        })
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let what = "role,rolebinding,lease";
        let name = self.name.as_str();
        // There is nobody to tell, and the cluster goes with the tests.
        let _ = self.world.kubectl(&["delete", what, name, "-n", "tidegate", "--ignore-not-found"]);
    }
}
