//! The world is honest: every script that it plays is played on a real control plane too, line by line, and comes out the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::{Metadata, NamespaceResourceScope};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use xtask::cluster::{self, ClientLimits, Cluster, Nodes};
use xtask::honest::{Ground, play};
use xtask::standin::{Options, Play, SCRIPT_ANNOTATION, StandIn};

/// How pods are played: they run until they are told to end, and take their time then, so that a script can do something to a pod that is being
/// deleted before it is gone.
const PLAY: &str = "hang\non-term exit 0 after 3s";
/// Longer than that.
const GRACE_SECS: u32 = 60;
/// How long something may take to be so that is to be so, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often is looked.
const POLL: Duration = Duration::from_millis(100);
/// How often in a row the controllers are seen to have acted on something that came later than all before. They take what they are told from one
/// queue, but some of them with several hands: what was begun earlier may end a moment later than the first canary, but not than a second.
const ROUNDS: usize = 2;
/// When the set's controller rests for long, counted from when it first tries in vain: it waits 5 ms, and after each try twice as long as before
/// it, so that it tries after 41 s and then after 82 s.
const RESTS_AFTER: Duration = Duration::from_secs(45);
/// How many scripts are played at once.
const AT_ONCE: usize = 8;

#[test]
fn every_script_comes_out_the_same_on_a_real_control_plane() {
    let options = cluster::Options {
        dir: cluster::default_dir().with_file_name("honest"),
        nodes: Nodes::StandInOnly,
        client_limits: ClientLimits::Raised,
        ..cluster::Options::default()
    };
    let cluster = Cluster::start(&options).unwrap();
    let stage = Stage::of(&cluster).unwrap();
    let wrong = stage.play_all(&scripts());
    drop(stage);
    cluster.stop().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A control plane with one node.
struct Stage {
    runtime: Runtime,
    kubeconfig: PathBuf,
    client: Client,
    node: StandIn,
    canaries: AtomicUsize,
}

impl Stage {
    fn of(cluster: &Cluster) -> Result<Self> {
        let runtime = Runtime::new()?;
        let client = runtime.block_on(connect(cluster.kubeconfig()))?;
        let mut options = Options::new("honest");
        options.play = Play::parse(PLAY)?;
        let node = StandIn::start(cluster.kubeconfig(), options)?;
        let kubeconfig = cluster.kubeconfig().to_owned();
        Ok(Self { runtime, kubeconfig, client, node, canaries: AtomicUsize::new(0) })
    }

    /// Plays the scripts, several at once; what was not as it should be.
    fn play_all(&self, scripts: &[PathBuf]) -> Vec<String> {
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(what) = self.play(script) {
                            wrong.lock().unwrap().push(format!("{}: {what:#}", script.display()));
                        }
                    }
                });
            }
        });
        wrong.into_inner().unwrap()
    }

    fn play(&self, script: &Path) -> Result<()> {
        let begun = Instant::now();
        let name = script.file_stem().context("a script has a name")?.to_string_lossy();
        let text = fs::read_to_string(script)?;
        // A client of its own: its connections end with the player's runtime.
        let client = self.runtime.block_on(connect(&self.kubeconfig))?;
        play(client, self, &name, &text)?;
        eprintln!("{name}: as it is written, after {} s", begun.elapsed().as_secs());
        Ok(())
    }

    /// One thing for each controller to do, which is told of it later than of all before, and is seen to have done it.
    async fn canary(&self, namespace: &str) -> Result<()> {
        let name = format!("canary-{}", self.canaries.fetch_add(1, Ordering::Relaxed));
        let yard = Yard { client: &self.client, namespace };
        let container = json!([{ "name": "main", "image": "none" }]);
        let owner = yard.create::<Pod>(json!({
            "metadata": { "name": format!("{name}-owner") },
            "spec": { "schedulerName": "nobody", "containers": container },
        }));
        let runs = yard.create::<Pod>(json!({
            "metadata": {
                "name": format!("{name}-runs"), "annotations": { SCRIPT_ANNOTATION: "hang" },
            },
            "spec": { "containers": container, "terminationGracePeriodSeconds": GRACE_SECS },
        }));
        let labels = json!({ "app": name });
        let set = yard.create::<StatefulSet>(json!({
            "metadata": { "name": name },
            "spec": {
                "serviceName": name, "replicas": 0, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": container } },
            },
        }));
        let (owner, runs, set) = tokio::try_join!(owner, runs, set)?;
        let of_pod = yard.create::<PersistentVolumeClaim>(claim("v1", "Pod", &owner.metadata));
        let of_set = claim("apps/v1", "StatefulSet", &set.metadata);
        let (of_pod, of_set) =
            tokio::try_join!(of_pod, yard.create::<PersistentVolumeClaim>(of_set))?;
        yard.until::<StatefulSet>(&set.metadata, |set| {
            set.and_then(|set| set.status.as_ref()?.observed_generation) == Some(1)
        })
        .await?;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        let is_running = |pod: Option<&Pod>| pod.and_then(phase).as_deref() == Some("Running");
        yard.until::<Pod>(&runs.metadata, is_running).await?;
        yard.delete::<Pod>(&owner.metadata).await?;
        yard.delete::<Pod>(&runs.metadata).await?;
        yard.delete::<StatefulSet>(&set.metadata).await?;
        yard.until::<Pod>(&runs.metadata, |pod| pod.is_none()).await?;
        for claim in [of_pod, of_set] {
            yard.until::<PersistentVolumeClaim>(&claim.metadata, |claim| claim.is_none()).await?;
        }
        Ok(())
    }
}

impl Ground for Stage {
    fn pod_fields(&self) -> Value {
        json!({ "terminationGracePeriodSeconds": GRACE_SECS })
    }

    fn end(&self, namespace: &str, pod: &str) -> Result<()> {
        self.node.finish(namespace, pod, "main", 0, None)
    }

    fn settle(&self, namespace: &str) -> Result<()> {
        let yard = Yard { client: &self.client, namespace };
        let mut quiet_rounds = 0;
        while quiet_rounds < ROUNDS {
            self.runtime.block_on(async {
                yard.until_no_pod_is_between().await?;
                self.canary(namespace).await?;
                let is_quiet = yard.pod_between().await?.is_none();
                quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
                anyhow::Ok(())
            })?;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn rests(&self, _namespace: &str, told_at: Instant) -> Result<()> {
        thread::sleep(RESTS_AFTER.saturating_sub(told_at.elapsed()));
        Ok(())
    }
}

/// Where canaries live.
struct Yard<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Yard<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Waits until the node has done with every pod what there is to do.
    async fn until_no_pod_is_between(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while let Some(name) = self.pod_between().await? {
            if Instant::now() > end {
                bail!("the node does not bring {name} to its next state");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// A pod that the node is about to start, or whose end it is about to tell.
    async fn pod_between(&self) -> Result<Option<String>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        let is_between = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let has_node = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            let is_held = pod.metadata.finalizers.as_ref().is_some_and(|it| !it.is_empty());
            let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
            let leaves = pod.metadata.deletion_timestamp.is_some() && !(is_held && has_ended);
            leaves || (has_node && phase == Some("Pending"))
        };
        Ok(pods.items.into_iter().find(is_between).and_then(|pod| pod.metadata.name))
    }

    async fn create<K>(&self, object: Value) -> Result<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object)?;
        Ok(self.api::<K>().create(&PostParams::default(), &object).await?)
    }

    #[allow(clippy::disallowed_methods, reason = "nobody else knows of a canary")]
    async fn delete<K>(&self, metadata: &ObjectMeta) -> Result<()>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let name = metadata.name.as_deref().unwrap_or_default();
        self.api::<K>().delete(name, &DeleteParams::background()).await?;
        Ok(())
    }

    async fn until<K>(
        &self,
        metadata: &ObjectMeta,
        is_so: impl Fn(Option<&K>) -> bool,
    ) -> Result<()>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Metadata<Ty = ObjectMeta>,
    {
        let name = metadata.name.as_deref().unwrap_or_default();
        let end = Instant::now() + PATIENCE;
        loop {
            let object = self.api::<K>().get_opt(name).await?;
            if is_so(object.as_ref()) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the controllers do nothing for {name}: {}", json!(object));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A claim that nobody binds, with one owner.
fn claim(version: &str, kind: &str, owner: &ObjectMeta) -> Value {
    let name = owner.name.as_deref().unwrap_or_default();
    json!({
        "metadata": {
            "name": name,
            "ownerReferences": [
                { "apiVersion": version, "kind": kind, "name": name, "uid": owner.uid },
            ],
        },
        "spec": {
            "storageClassName": "",
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Mi" } },
        },
    })
}

async fn connect(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Every script.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../world/scripts");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
