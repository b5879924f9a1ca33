//! The set, the policy, the host or the namespace is deleted in the middle of a passage: the host deletes no data for it, and nothing is
//! left stuck that a command does not free.

use anyhow::Result;
use http::StatusCode;
use serde_json::json;

use crate::handmade::{renders, waits_at_the_gate};
use crate::process::HostProcess;
use crate::site::{QUIET, Site, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, apart};
use crate::wait::{SOON, eventually, found_if, stays};
use xtask::proxy::{Proxy, Refused};

pub(crate) const TESTS: &[Test] = &[
    apart("torn_down::the_set_while_it_is_drained", set_while_draining),
    apart("torn_down::the_set_under_a_seal", set_under_a_seal),
    apart("torn_down::the_set_with_a_claim_deleted", set_with_a_claim_deleted),
    apart("torn_down::the_policy_and_the_host_while_it_is_drained", policy_while_draining),
    apart("torn_down::the_policy_and_the_host_under_a_seal", policy_under_a_seal),
    apart("torn_down::the_policy_and_the_host_with_a_claim_deleted", policy_with_a_claim_deleted),
    apart("torn_down::the_host_for_good_while_it_is_drained", host_while_draining),
    apart("torn_down::the_host_for_good_under_a_seal", host_under_a_seal),
    apart("torn_down::the_namespace_while_it_is_drained", namespace_while_draining),
    apart("torn_down::the_namespace_under_a_seal", namespace_under_a_seal),
    apart("torn_down::the_namespace_with_a_claim_deleted", namespace_with_a_claim_deleted),
    apart("torn_down::the_namespace_and_the_host_under_a_seal", namespace_without_a_host),
];

/// How far the passage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The drain pod works.
    Draining,
    /// It has ended and is sealed; no claim is deleted.
    Sealed,
    /// One of its two claims is being deleted, the other not.
    Begun,
}

/// A set whose ordinal 1, with two claims, is drained by a policy of its own namespace.
struct Passage<'a> {
    site: &'a Site<'a>,
    proxy: Proxy,
    host: Option<HostProcess>,
    policy: Vec<u8>,
    data: String,
    log: String,
    /// What keeps the passage at its stage.
    refused: Option<Refused>,
}

impl<'a> Passage<'a> {
    fn at(site: &'a Site<'a>, stage: Stage) -> Result<Self> {
        let proxy = Proxy::start(site.world.cluster.kubeconfig())?;
        let host = HostProcess::behind(&proxy, site, &[])?;
        let volumes = ["data", "log"];
        let policy = renders(&waits_at_the_gate("drain", &volumes));
        let digest = site.config_map("mine", ("policy.wasm", &policy))?;
        let reference = format!("mine@sha256:{digest}");
        let store = Store::bare().annotated("tidegate.dev/policy", &reference);
        site.start(&store.with_volumes(&volumes))?;
        let (data, log) = (site.claim_uid("data-web-1")?, site.claim_uid("log-web-1")?);
        let first = match stage {
            Stage::Draining | Stage::Sealed => "delete persistentvolumeclaims log-web-1",
            Stage::Begun => "delete persistentvolumeclaims data-web-1",
        };
        let refused = proxy.refuse(StatusCode::SERVICE_UNAVAILABLE, move |call| call.is(first));
        site.scale("web", 1)?;
        site.drains("web-1", 1)?;
        let passage =
            Self { site, proxy, host: Some(host), policy, data, log, refused: Some(refused) };
        match stage {
            Stage::Draining => {}
            Stage::Sealed => passage.seal()?,
            Stage::Begun => {
                passage.seal()?;
                passage.is_deleted("log-web-1")?;
            }
        }
        Ok(passage)
    }

    fn seal(&self) -> Result<()> {
        self.site.open_gate("web-1")?;
        self.site.eventually_pod("the drain pod is sealed", "web-1", |pod| {
            pod["metadata"]["finalizers"].to_string().contains("tidegate.dev/seal")
        })?;
        Ok(())
    }

    fn is_deleted(&self, claim: &str) -> Result<()> {
        eventually(&format!("claim {claim} is being deleted"), SOON, || {
            let metadata = self.site.claim(claim)?.unwrap_or_default()["metadata"].take();
            Ok(found_if(!metadata["deletionTimestamp"].is_null(), || metadata.to_string()))
        })
    }

    /// Lets the passage go on, and has the host look at once: by then it waits longer and longer between its tries.
    fn let_go(&mut self) -> Result<()> {
        self.refused = None;
        let nudge = json!({ "metadata": { "annotations": { "example.org/obstacle": "gone" } } });
        self.site.world.api.merge(&self.site.path("v1", "pods", "web-1"), &nudge)?;
        Ok(())
    }

    /// Deletes the set, as `kubectl` does.
    fn delete_set(&self) -> Result<()> {
        let path = self.site.path("apps/v1", "statefulsets", "web");
        self.site.world.api.delete(&path, &json!({ "propagationPolicy": "Background" }))?;
        Ok(())
    }

    /// Kills the host.
    fn lose_host(mut self) -> Result<Self> {
        if let Some(host) = self.host.take() {
            host.crash()?;
        }
        self.refused = None;
        Ok(self)
    }

    /// Replaces the host by one that has never seen the policy, which is deleted meanwhile.
    fn lose_policy_and_host(self) -> Result<Self> {
        let mut passage = self.lose_host()?;
        passage.site.delete("configmaps", "mine")?;
        passage.host = Some(HostProcess::behind(&passage.proxy, passage.site, &[])?);
        Ok(passage)
    }

    /// Puts the policy back, as the event about it says.
    fn mend_policy(&self) -> Result<()> {
        self.site.told("web", "PolicyFault", &["ConfigMap", "mine", "create it"])?;
        self.site.config_map("mine", ("policy.wasm", &self.policy))?;
        Ok(())
    }

    /// Waits until the name is free, and watches for a while that both claims are kept.
    fn is_given_back(&self) -> Result<()> {
        self.site.no_pod("web-1")?;
        self.site.left_alone("data-web-1", &self.data, "web-1")?;
        self.site.left_alone("log-web-1", &self.log, "web-1")
    }

    fn is_gone(&self) -> Result<()> {
        self.site.gone("log-web-1", "web-1")?;
        self.site.gone("data-web-1", "web-1")
    }

    /// Scales the set up: the member comes back with both of its claims.
    fn member_returns(&self) -> Result<()> {
        self.site.scale("web", 2)?;
        self.site.member_runs("web-1")?;
        same_claim(self.site, "data-web-1", &self.data)?;
        same_claim(self.site, "log-web-1", &self.log)
    }
}

/// The drain is given up: nobody is left who wants it, and the claims are kept, as `whenDeleted: Retain` says.
fn set_while_draining(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Draining)?;
    passage.delete_set()?;
    passage.is_given_back()
}

/// The same, since nothing is deleted yet.
fn set_under_a_seal(site: &Site<'_>) -> Result<()> {
    let mut passage = Passage::at(site, Stage::Sealed)?;
    passage.delete_set()?;
    site.no_pod("web-1")?;
    passage.refused = None;
    passage.is_given_back()
}

/// Half of the ordinal is gone with proof: the passage can only go on.
fn set_with_a_claim_deleted(site: &Site<'_>) -> Result<()> {
    let mut passage = Passage::at(site, Stage::Begun)?;
    passage.delete_set()?;
    site.no_pod("web-0")?;
    passage.let_go()?;
    passage.is_gone()
}

/// No host has the module that rendered the pod: the attempt ends, and another waits for the policy.
fn policy_while_draining(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Draining)?.lose_policy_and_host()?;
    passage.is_given_back()?;
    passage.mend_policy()?;
    site.drains("web-1", 2)?;
    site.open_gate("web-1")?;
    passage.is_gone()
}

/// Nobody can judge a second time, so that the seal is given back.
fn policy_under_a_seal(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Sealed)?.lose_policy_and_host()?;
    passage.is_given_back()?;
    passage.mend_policy()?;
    passage.is_gone()
}

/// Nobody can judge, and nothing can be given back: the name stays held until the policy is there again.
fn policy_with_a_claim_deleted(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Begun)?.lose_policy_and_host()?;
    let drain = uid(&site.pod("web-1")?.unwrap_or_default())?;
    site.both_stay(("data-web-1", &passage.data), ("web-1", &drain))?;
    passage.mend_policy()?;
    passage.is_gone()
}

/// Deleting the drain pod frees the name.
fn host_while_draining(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Draining)?.lose_host()?;
    delete_pod(site)?;
    passage.member_returns()
}

/// Nobody takes the seal off but a person.
fn host_under_a_seal(site: &Site<'_>) -> Result<()> {
    let passage = Passage::at(site, Stage::Sealed)?.lose_host()?;
    delete_pod(site)?;
    stays("the seal holds the pod", QUIET, || {
        Ok(found_if(site.pod("web-1")?.is_some(), || "none".to_owned()))
    })?;
    take_seal_off(site)?;
    passage.member_returns()
}

/// Everything goes, and nothing holds the namespace.
fn namespace_while_draining(site: &Site<'_>) -> Result<()> {
    let _passage = Passage::at(site, Stage::Draining)?;
    site.leave();
    namespace_goes(site)
}

/// Kubernetes deletes the pods of a namespace first, and waits until they are gone. The passage goes on, and takes the seal off.
fn namespace_under_a_seal(site: &Site<'_>) -> Result<()> {
    let mut passage = Passage::at(site, Stage::Sealed)?;
    site.leave();
    pod_is_deleted(site)?;
    passage.let_go()?;
    namespace_goes(site)
}

/// The same.
fn namespace_with_a_claim_deleted(site: &Site<'_>) -> Result<()> {
    let mut passage = Passage::at(site, Stage::Begun)?;
    site.leave();
    pod_is_deleted(site)?;
    passage.let_go()?;
    namespace_goes(site)
}

/// Nobody takes the seal off, which holds the namespace until a person does.
fn namespace_without_a_host(site: &Site<'_>) -> Result<()> {
    let _passage = Passage::at(site, Stage::Sealed)?.lose_host()?;
    site.leave();
    pod_is_deleted(site)?;
    stays("the seal holds the pod", QUIET, || {
        Ok(found_if(site.pod("web-1")?.is_some(), || "none".to_owned()))
    })?;
    take_seal_off(site)?;
    namespace_goes(site)
}

/// Deletes the drain pod, as `kubectl delete pod --wait=false` does.
fn delete_pod(site: &Site<'_>) -> Result<()> {
    site.delete("pods", "web-1")
}

/// What a person does where no host will run again.
fn take_seal_off(site: &Site<'_>) -> Result<()> {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    site.world.kubectl(&[
        "patch",
        "pod",
        "web-1",
        "-n",
        &site.namespace,
        "--type=merge",
        "-p",
        patch,
    ])?;
    Ok(())
}

/// Waits until somebody has asked for the end of the drain pod.
fn pod_is_deleted(site: &Site<'_>) -> Result<()> {
    site.eventually_pod("the drain pod is being deleted", "web-1", |pod| {
        !pod["metadata"]["deletionTimestamp"].is_null()
    })?;
    Ok(())
}

fn namespace_goes(site: &Site<'_>) -> Result<()> {
    eventually("the namespace is gone", SOON, || {
        let path = format!("/api/v1/namespaces/{}", site.namespace);
        let status = site.world.api.get(&path)?.map(|it| it["status"].to_string());
        Ok(found_if(status.is_none(), || status.clone().unwrap_or_default()))
    })
}
