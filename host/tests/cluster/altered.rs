//! The host with other arguments than it is installed with.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xtask::progress::say;

use crate::world::{DEPLOYMENT, World};

/// The host bears further arguments while this is held.
pub(crate) struct Altered<'a> {
    world: &'a World,
    containers: Value,
}

impl<'a> Altered<'a> {
    /// Replaces the host by one with these arguments besides its own, and waits until that is ready.
    pub(crate) fn with(world: &'a World, arguments: &[&str]) -> Result<Self> {
        let deployment = world.api.get(DEPLOYMENT)?.context("there is no host")?;
        let containers = deployment["spec"]["template"]["spec"]["containers"].clone();
        let mut altered = containers.clone();
        let own = altered[0]["args"].as_array_mut().context("the host has no arguments")?;
        own.extend(arguments.iter().map(|argument| json!(argument)));
        let altered_host = Self { world, containers };
        altered_host.run(&altered)?;
        Ok(altered_host)
    }

    fn run(&self, containers: &Value) -> Result<()> {
        let spec = json!({ "template": { "spec": { "containers": containers } } });
        self.world.api.merge(DEPLOYMENT, &json!({ "spec": spec }))?;
        self.world.host_is_ready()
    }
}

impl Drop for Altered<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.run(&self.containers) {
            say(format_args!("the host did not get its own arguments back: {error:#}"));
        }
    }
}
