//! A stand-in node beside the real one, for what a kubelet cannot be made to do.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xtask::standin::{Options, Play, StandIn, Taint};

use crate::wait::{Look, eventually};
use crate::world::World;

/// The taint that keeps the pods of other tests away.
const TAINT: &str = "example.org/stand-in";

/// How long the control plane may take until it gives up a node that says nothing: 50 s of silence, and what a busy machine adds.
pub(crate) const GIVEN_UP_WITHIN: std::time::Duration = std::time::Duration::from_secs(240);

/// A stand-in node. Its containers run until somebody ends them, and leave with 0 when they are told to stop.
pub(crate) struct Machine<'a> {
    world: &'a World,
    name: String,
    node: Option<StandIn>,
}

impl<'a> Machine<'a> {
    /// A node of this name, which takes the pods of [`Machine::home`].
    pub(crate) fn start(world: &'a World, name: &str) -> Result<Self> {
        let mut options = Options::new(name);
        options.play = Play::parse("hang")?;
        options.taint = Some(Taint {
            key: TAINT.to_owned(),
            value: name.to_owned(),
            effect: "NoSchedule".to_owned(),
        });
        options.volume_root = world.cluster.volume_folder("/");
        let node = StandIn::start(world.cluster.kubeconfig(), options)?;
        Ok(Self { world, name: name.to_owned(), node: Some(node) })
    }

    /// The fields that bring a pod here, where it stays for so many seconds while the node is not heard of.
    pub(crate) fn home(&self, patience_s: u32) -> Value {
        let unheard = |key: &str| {
            json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": patience_s,
            })
        };
        json!({
            "nodeSelector": { "kubernetes.io/hostname": self.name },
            "tolerations": [
                { "key": TAINT, "value": self.name, "effect": "NoSchedule" },
                unheard("node.kubernetes.io/unreachable"),
                unheard("node.kubernetes.io/not-ready"),
            ],
        })
    }

    /// The node itself.
    pub(crate) fn node(&self) -> Result<&StandIn> {
        self.node.as_ref().context("the node was stopped")
    }

    /// Waits until the control plane has given the node up, or is sure of it.
    pub(crate) fn is_ready(&self, status: &str) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.name);
        eventually(&format!("node {} is Ready: {status}", self.name), GIVEN_UP_WITHIN, || {
            let node = self.world.api.get(&path)?.unwrap_or_default();
            let conditions = node["status"]["conditions"].as_array();
            let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
            Ok(match ready {
                Some(ready) if ready["status"] == status => Look::Found(()),
                other => Look::NotYet(format!("{other:?}")),
            })
        })
    }
}

impl Drop for Machine<'_> {
    /// A node that is switched off would count among those that the control plane has lost.
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
        let path = format!("/api/v1/nodes/{}", self.name);
        if let Err(error) = self.world.api.delete(&path, &json!({})) {
            xtask::progress::say(format_args!("node {} stays: {error:#}", self.name));
        }
    }
}
