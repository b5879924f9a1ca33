//! Where the demo plays: on a cluster of its own with a kubelet or with the stand-in node, or on one that the user has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::kubectl::{Kubectl, tell};
use super::{Args, Interrupted};
use crate::cluster::{self, Cluster, Nodes};
use crate::image::{self, Image};
use crate::policies;
use crate::progress::{during, say, spell};
use crate::standin::{self, StandIn};

/// The names that the manifests give the images.
const HOST_IMAGE: &str = "docker.io/library/tidegate:0.1.0";
const STORE_IMAGE: &str = "docker.io/library/shards-store:1";

/// The namespaces that the manifests make.
const NAMESPACES: [&str; 2] = ["tidegate", "shards"];

/// How much of each log is shown where the demo fails.
const LOG_LINES_SHOWN: usize = 60;

/// Where a member mounts its volume.
const DATA: &str = "/data";

/// A cluster with everything that the story needs.
pub(crate) struct Stage {
    pub(crate) kubectl: Kubectl,
    pub(crate) policy: Policy,
    place: Place,
    /// What stands in the manifests, and what this stage needs in its place.
    replaced: BTreeMap<&'static str, String>,
}

/// The policy of the store, as one reading of its file gave it: the digest is that of these very bytes.
pub(crate) struct Policy {
    component: Vec<u8>,
    pub(crate) sha256: String,
}

enum Place {
    Kubelet(Cluster),
    StandIn { node: StandIn, cluster: Cluster, store: PathBuf },
    Theirs,
}

impl Stage {
    /// Builds images and policy, and starts the cluster where it is the demo's own. When it succeeds the nodes can run the images.
    pub(crate) fn set(args: &Args, interrupted: &Interrupted) -> Result<Self> {
        let policy = during("building the policy", Policy::build)?;
        interrupted.check()?;
        match (&args.kubeconfig, cluster::kubelet_obstacle()) {
            (Some(kubeconfig), _) => Self::theirs(args, kubeconfig, policy, interrupted),
            (None, Some(obstacle)) => {
                tell(&format!("This machine cannot run a kubelet: {obstacle}."));
                Self::stand_in(policy, interrupted)
            }
            (None, None) if args.stand_in => Self::stand_in(policy, interrupted),
            (None, None) => Self::kubelet(policy, interrupted),
        }
    }

    /// A manifest of this repository as this stage needs it: a file, or a folder with a kustomization.
    pub(crate) fn manifest(&self, path: &str) -> Result<String> {
        let path = workspace().join(path);
        let text = if path.is_dir() {
            self.kubectl.run(&format!("kustomize {}", path.display()))?
        } else {
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?
        };
        Ok(self.replaced.iter().fold(text, |text, (name, used)| text.replace(name, used)))
    }

    /// Runs a command of the store in a member, on the member's volume, and answers what it printed.
    pub(crate) fn in_member(&self, member: &str, command: &str) -> Result<String> {
        match &self.place {
            Place::Kubelet(_) | Place::Theirs => self.kubectl.run(&format!(
                "exec {member} -n shards -c store -- /shards-store {command} --data {DATA}"
            )),
            Place::StandIn { store, cluster, .. } => {
                // A stand-in node knows no exec; the member's volume is a folder of this machine.
                let folder = self.volume_folder(member, cluster)?;
                let mut program = Command::new(store);
                program.args(command.split_whitespace()).arg("--data").arg(&folder);
                let output = program.stdin(Stdio::null()).output()?;
                ensure!(
                    output.status.success(),
                    "{command} on the volume of {member}: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                Ok(String::from_utf8(output.stdout)?)
            }
        }
    }

    /// What the container of a pod has printed so far; nothing where it has not begun.
    pub(crate) fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        match &self.place {
            Place::Kubelet(_) | Place::Theirs => {
                self.kubectl.run(&format!("logs {pod} -n {namespace} -c {container}"))
            }
            Place::StandIn { node, .. } => node.log(namespace, pod, container),
        }
        .unwrap_or_default()
    }

    /// Prints what helps to understand a failure, as far as the cluster still answers.
    pub(crate) fn show_why(&self) {
        for line in [
            "get pods,pvc -A -o wide",
            // A Service whose members are processes of this machine has no endpoints, and says so at length.
            "get events -n shards --sort-by=.metadata.creationTimestamp \
             --field-selector involvedObject.kind!=Service,involvedObject.kind!=Endpoints",
        ] {
            if let Err(error) = self.kubectl.show(line) {
                say(format_args!("{error:#}"));
            }
        }
        self.show_log("tidegate", "app.kubernetes.io/name=tidegate", "tidegate");
        self.show_log("shards", "app=shards", "store");
    }

    fn show_log(&self, namespace: &str, label: &str, container: &str) {
        let pods = self.kubectl.run(&format!("get pods -n {namespace} -l {label} -o name"));
        for pod in
            pods.iter().flat_map(|pods| pods.lines()).filter_map(|pod| pod.strip_prefix("pod/"))
        {
            tell(&format!("the end of the log of {pod}:"));
            let log = self.log(namespace, pod, container);
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                tell(&format!("  {line}"));
            }
        }
    }

    /// Removes everything that the demo made.
    pub(crate) fn clear(self) -> Result<()> {
        match self.place {
            Place::Kubelet(cluster) => cluster.stop(),
            Place::StandIn { node, cluster, .. } => {
                node.stop();
                cluster.stop()
            }
            Place::Theirs => {
                let mut delete = self.kubectl.command(["delete", "--ignore-not-found"]);
                delete.args(["namespace/shards", "namespace/tidegate"]);
                delete.args(["clusterrole/tidegate", "clusterrolebinding/tidegate"]);
                let status = during("deleting what the demo made", || delete.status())?;
                ensure!(status.success(), "kubectl delete ended with {status}");
                Ok(())
            }
        }
    }

    fn kubelet(policy: Policy, interrupted: &Interrupted) -> Result<Self> {
        let images = built()?;
        interrupted.check()?;
        let cluster = start(Nodes::Kubelet)?;
        for image in &images {
            let what = format!("giving {} to the node", image.name);
            during(&what, || cluster.load_image(&image.path))?;
        }
        let kubectl = own_kubectl(&cluster, interrupted);
        Ok(Self { kubectl, policy, place: Place::Kubelet(cluster), replaced: BTreeMap::new() })
    }

    fn stand_in(policy: Policy, interrupted: &Interrupted) -> Result<Self> {
        tell(
            "The demo plays on the stand-in node: containers are plain processes, volumes are folders.",
        );
        let mut options = standin::Options::new("stand-in");
        let mut store = PathBuf::new();
        for image in built()? {
            let (root, binary) = unpacked(&image)?;
            let entrypoint = vec![format!("/{binary}")];
            store = root.join(&binary);
            options.images.insert(image.name, standin::Image { root, entrypoint });
        }
        let cluster = start(Nodes::StandInOnly)?;
        let node = StandIn::start(cluster.kubeconfig(), options)?;
        let kubectl = own_kubectl(&cluster, interrupted);
        let place = Place::StandIn { node, cluster, store };
        // All pods share the machine's network, and nobody asks the host for its health: the members need the port.
        let listen = "--listen=127.0.0.1:0".to_owned();
        let replaced = BTreeMap::from([("--listen=0.0.0.0:8080", listen)]);
        Ok(Self { kubectl, policy, place, replaced })
    }

    fn theirs(
        args: &Args,
        kubeconfig: &Path,
        policy: Policy,
        interrupted: &Interrupted,
    ) -> Result<Self> {
        let kubeconfig = std::path::absolute(kubeconfig)?;
        let new = move || {
            let mut kubectl = Command::new("kubectl");
            kubectl.env("KUBECONFIG", &kubeconfig);
            kubectl
        };
        let kubectl = Kubectl::new(new, interrupted.clone());
        for namespace in NAMESPACES {
            if kubectl.get(&format!("namespace {namespace}"))?.is_some() {
                bail!(
                    "the cluster has a namespace {namespace}, which the demo would make and delete: play on another \
                     cluster, or delete it first if nothing needs it"
                );
            }
        }
        let host = args.image.clone().unwrap_or_else(|| HOST_IMAGE.to_owned());
        let store = args.store_image.clone().unwrap_or_else(|| STORE_IMAGE.to_owned());
        let replaced = BTreeMap::from([(HOST_IMAGE, host), (STORE_IMAGE, store)]);
        Ok(Self { kubectl, policy, place: Place::Theirs, replaced })
    }

    /// Where the folder of a member's volume lies on this machine.
    fn volume_folder(&self, member: &str, cluster: &Cluster) -> Result<PathBuf> {
        let claim = self.kubectl.get(&format!("pvc data-{member} -n shards"))?;
        let claim = claim.with_context(|| format!("{member} has no claim"))?;
        let volume = claim["spec"]["volumeName"].as_str().context("the claim is not bound")?;
        let volume = self.kubectl.get(&format!("pv {volume}"))?.context("the volume is gone")?;
        let path = volume["spec"]["hostPath"]["path"].as_str();
        let path = path.context("the volume is no folder of this machine")?;
        Ok(cluster.volume_folder(path))
    }
}

impl Policy {
    fn build() -> Result<Self> {
        let built = policies::build(&["shards"])?.into_iter().next();
        let path = built.context("there is no policy `shards`")?.component;
        let component = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let sha256 = hex::encode(Sha256::digest(&component));
        Ok(Self { component, sha256 })
    }

    /// The ConfigMap `shards-policy` that holds it, as JSON.
    pub(crate) fn config_map(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "shards-policy", "namespace": "shards" },
            "binaryData": { "policy.wasm": BASE64.encode(&self.component) },
        })
        .to_string()
    }
}

/// The images of the host and of the store, the store's last.
fn built() -> Result<[Image; 2]> {
    Ok([
        during("building the host's image", image::host_image)?,
        during("building the store's image", image::store_image)?,
    ])
}

/// Starts the demo's own cluster, which ends with this process at the latest.
fn start(nodes: Nodes) -> Result<Cluster> {
    let started = Instant::now();
    let dir = cluster::default_dir().with_file_name(match nodes {
        Nodes::Kubelet => "demo",
        Nodes::StandInOnly => "demo-stand-in",
    });
    let options = cluster::Options { dir, nodes, ..cluster::Options::default() };
    let cluster = Cluster::start(&options)?;
    say(format_args!("a Kubernetes of our own is up, after {}", spell(started.elapsed())));
    Ok(cluster)
}

fn own_kubectl(cluster: &Cluster, interrupted: &Interrupted) -> Kubectl {
    let template = cluster.kubectl();
    let (program, environment) = (
        template.get_program().to_owned(),
        template
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect::<Vec<_>>(),
    );
    let new = move || {
        let mut kubectl = Command::new(&program);
        kubectl.envs(environment.iter().map(|(name, value)| (name, value)));
        kubectl
    };
    Kubectl::new(new, interrupted.clone())
}

/// The files of an image as a folder of this machine, and the name of its one binary.
fn unpacked(image: &Image) -> Result<(PathBuf, String)> {
    let binary = image.path.with_extension("");
    let name = binary.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name", image.path.display()))?.to_owned();
    let root = binary.with_extension("root");
    fs::create_dir_all(root.join("data"))?;
    fs::copy(&binary, root.join(&name)).with_context(|| format!("copying {}", binary.display()))?;
    Ok((root, name))
}

fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
