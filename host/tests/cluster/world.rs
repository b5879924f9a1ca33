//! The one cluster of all tests, with the host installed in it as a user installs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use xtask::cluster::{Cluster, Options};
use xtask::image;
use xtask::progress::{during, say};

use crate::api::Api;
use crate::turns::Turns;
use crate::wait::{Look, eventually, found_if};

/// The user that the host is to the API server.
pub(crate) const HOST_USER: &str = "system:serviceaccount:tidegate:tidegate";

/// The host's Deployment.
pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/tidegate/deployments/tidegate";

/// The lease between the hosts.
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/tidegate/leases/tidegate";

/// How many hosts are installed: one acts, the others wait.
pub(crate) const HOSTS: u32 = 2;

/// How long the host may take until it is ready, on a machine whose processors build something else at the same time.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The cluster and what is asked of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
    /// Which tests run at the same time, and whether the host is there meanwhile.
    pub(crate) turns: Turns,
}

/// The world, made by the first test that asks for it.
#[derive(Default)]
pub(crate) struct Lazy(OnceLock<Result<World, String>>);

impl Lazy {
    /// The world. Where it could not be made, every test says why.
    pub(crate) fn get(&self) -> Result<&World> {
        let made = self.0.get_or_init(|| World::make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|why| anyhow!("the cluster of the tests: {why}"))
    }
}

impl World {
    fn make() -> Result<Self> {
        let images = during("building the images", || {
            anyhow::Ok([
                image::host_image_of(Path::new(env!("CARGO_BIN_EXE_tidegate")))?,
                image::busybox_image()?,
                image::store_image()?,
                image::datastore_cleanup_image()?,
            ])
        })?;
        let cluster = Cluster::start(&Options {
            dir: workspace().join("target/cluster/test"),
            ..Options::default()
        })?;
        for image in &images {
            during("loading the images", || cluster.load_image(&image.path))?;
        }
        let api = Api::of(cluster.kubeconfig())?;
        let world = Self { cluster, api, turns: Turns::default() };
        world.install()?;
        Ok(world)
    }

    /// Installs the host as the README says, and waits until it is ready.
    fn install(&self) -> Result<()> {
        self.kubectl(&["apply", "-k", "deploy/cluster"])?;
        during("installing the host", || self.host_is_ready())?;
        say("the cluster of the tests is up, with the host in it");
        Ok(())
    }

    /// Waits until the Deployment of the host is as it should be, with every replica ready and none left of before.
    pub(crate) fn host_is_ready(&self) -> Result<()> {
        eventually("the host is ready", READY_WITHIN, || {
            let deployment = self.api.get(DEPLOYMENT)?.unwrap_or_default();
            let status = &deployment["status"];
            let current = status["observedGeneration"] == deployment["metadata"]["generation"];
            Ok(found_if(
                current
                    && ["replicas", "readyReplicas", "updatedReplicas"]
                        .iter()
                        .all(|count| status[count] == HOSTS),
                || status.to_string(),
            ))
        })
    }

    /// Runs `kubectl` in the workspace; answers what it prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        output(self.cluster.kubectl().current_dir(workspace()).args(arguments))
    }

    /// Takes the host away, until what is answered is dropped.
    pub(crate) fn without_host(&self) -> Result<Away<'_>> {
        let away = Away(self);
        self.send_host_away()?;
        Ok(away)
    }

    /// Takes the host away, until it is called back.
    pub(crate) fn send_host_away(&self) -> Result<()> {
        self.scale_host(0)?;
        eventually("no host runs", READY_WITHIN, || {
            let pods = self.host_pods()?;
            Ok(found_if(pods.is_empty(), || format!("{} pods", pods.len())))
        })
    }

    /// Calls the host back, and waits until it is ready. Where it does not come, that is said, and whoever needs it fails.
    pub(crate) fn call_host_back(&self) {
        if let Err(error) = self.scale_host(HOSTS).and_then(|()| self.host_is_ready()) {
            say(format_args!("the host did not come back: {error:#}"));
        }
    }

    fn scale_host(&self, replicas: u32) -> Result<()> {
        self.api.merge(DEPLOYMENT, &json!({ "spec": { "replicas": replicas } }))?;
        Ok(())
    }

    /// The lease between the hosts.
    pub(crate) fn lease(&self) -> Result<Value> {
        Ok(self.api.get(LEASE)?.unwrap_or_default())
    }

    /// Waits until a pod of the host that is there, and is not about to end, holds the lease; answers it.
    pub(crate) fn acting_host(&self) -> Result<Value> {
        eventually("a host acts", READY_WITHIN, || {
            let lease = self.lease()?;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let pods = self.host_pods()?;
            let found = pods.into_iter().find(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let stays = pod["metadata"]["deletionTimestamp"].is_null();
                stays && holder.split_once('_').is_some_and(|(pod, _)| pod == name)
            });
            Ok(found.map_or_else(|| Look::NotYet(lease["spec"].to_string()), Look::Found))
        })
    }

    /// The pods of the host, the one that acts and those that wait.
    pub(crate) fn host_pods(&self) -> Result<Vec<Value>> {
        self.api.list(
            "/api/v1/namespaces/tidegate/pods?labelSelector=app.kubernetes.io%2Fname%3Dtidegate",
        )
    }
}

/// The host is not there while this is held.
pub(crate) struct Away<'a>(&'a World);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.call_host_back();
    }
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a command prints when it succeeds. Fails with what it says otherwise.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{:?}", command);
    let output = command.output().with_context(|| format!("running {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("reading what {shown} printed"))
}
