//! A node with a real kubelet: containerd, kubelet, kube-proxy, CoreDNS.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::NODE_ADDRESS;
use super::layout::Layout;
use super::namespaces::BRIDGE;
use super::process::{self, Launcher, Part};
use crate::image::{self, Entry, EntryKind, ImageSpec};

/// The name of the node.
pub(super) const NODE_NAME: &str = "node";
/// The addresses of pods; the bridge and with it the node has the first.
const POD_RANGE: &str = "10.88.0.0/24";
/// Where containerd listens.
const CONTAINERD: &str = "/run/tidegate/containerd.sock";
/// The image of a pod's sandbox.
const SANDBOX_IMAGE: &str = "docker.io/library/sandbox:1";
/// The addresses of [`POD_RANGE`] that pods can have, a few less, because an address is free again
/// only some time after its pod ended.
const PODS_MAX: u32 = 220;

/// Writes what containerd, kubelet, kube-proxy and CoreDNS are told.
pub(super) fn write_configuration(layout: &Layout, cgroup: &str, api_port: u16) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = layout.dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    let networks = layout.dir.join("cni");
    fs::create_dir_all(&networks).with_context(|| format!("making {}", networks.display()))?;
    write("containerd.toml", &containerd(layout))?;
    write("cni/10-bridge.conflist", &bridge(layout).to_string())?;
    write("kubelet.json", &kubelet(layout, cgroup).to_string())?;
    write("proxy.json", &proxy(layout).to_string())?;
    write("Corefile", &corefile(layout, api_port))
}

/// Starts containerd.
pub(super) fn start_containerd(launcher: Launcher, layout: &Layout) -> Result<Part> {
    let arguments = [format!("--config={}", layout.seen("containerd.toml"))];
    launcher.start(layout, "containerd", &layout.seen_binary("containerd"), &arguments)
}

/// Starts the kubelet; it waits for containerd.
pub(super) fn start_kubelet(launcher: Launcher, layout: &Layout) -> Result<Part> {
    let arguments = [
        "kubelet".to_owned(),
        format!("--config={}", layout.seen("kubelet.json")),
        format!("--kubeconfig={}", layout.seen("kubelet.kubeconfig")),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
        "--root-dir=/var/lib/kubelet".to_owned(),
    ];
    launcher.start(layout, "kubelet", &layout.seen_binary("kubernetes"), &arguments)
}

/// Starts kube-proxy.
pub(super) fn start_proxy(launcher: Launcher, layout: &Layout) -> Result<Part> {
    let arguments = ["kube-proxy".to_owned(), format!("--config={}", layout.seen("proxy.json"))];
    launcher.start(layout, "kube-proxy", &layout.seen_binary("kubernetes"), &arguments)
}

/// Starts CoreDNS.
pub(super) fn start_coredns(launcher: Launcher, layout: &Layout) -> Result<Part> {
    let arguments = ["-conf".to_owned(), layout.seen("Corefile")];
    launcher.start(layout, "coredns", &layout.seen_binary("coredns"), &arguments)
}

/// Gives containerd the image of an OCI archive. When it succeeds pods can name it, with
/// `imagePullPolicy: IfNotPresent`.
pub(super) fn import_image(layout: &Layout, init: u32, archive: &Path) -> Result<()> {
    // The archive goes through the standard input, because its path may be covered within the
    // namespaces.
    let file = fs::File::open(archive).with_context(|| format!("reading {}", archive.display()))?;
    let mut command = process::enter(init);
    command.arg(layout.seen_binary("ctr"));
    command.args(["--address", CONTAINERD, "--namespace", "k8s.io", "images", "import", "-"]);
    process::run(command.stdin(Stdio::from(file)))
        .with_context(|| format!("importing {}", archive.display()))?;
    Ok(())
}

/// Whether containerd answers.
pub(super) fn containerd_answers(layout: &Layout, init: u32) -> bool {
    let mut command: Command = process::enter(init);
    command.arg(layout.seen_binary("ctr")).args(["--address", CONTAINERD, "version"]);
    process::run(&mut command).is_ok()
}

/// Gives containerd the image of a pod's sandbox: the keeper alone.
pub(super) fn import_sandbox_image(layout: &Layout, init: u32) -> Result<()> {
    let keeper = super::layout::binaries().join("keeper");
    let spec = ImageSpec {
        name: SANDBOX_IMAGE.to_owned(),
        entries: vec![Entry {
            path: "keeper".to_owned(),
            mode: 0o755,
            kind: EntryKind::File(keeper),
        }],
        entrypoint: vec!["/keeper".to_owned()],
        env: Vec::new(),
        user: "65535".to_owned(),
        workdir: "/".to_owned(),
    };
    let archive = super::layout::home().join("sandbox.tar");
    image::write(&spec, &archive)?;
    import_image(layout, init, &archive)
}

fn containerd(layout: &Layout) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    format!(
        r#"version = 3
root = {root}
state = "/run/containerd"
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{SANDBOX_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{binaries}]
conf_dir = {networks}
"#,
        root = quoted(&layout.seen("containerd")),
        binaries = quoted(&layout.seen_binaries.to_string_lossy()),
        networks = quoted(&layout.seen("cni")),
    )
}

fn bridge(layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "isDefaultGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_RANGE, "gateway": NODE_ADDRESS}]],
                "dataDir": layout.seen("cni-addresses"),
            },
        }],
    })
}

fn kubelet(layout: &Layout, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.seen("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        // The machine's disk is the user's: a full one must not evict pods, nor have their images
        // removed.
        "evictionHard": {
            "imagefs.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": false,
        "resolvConf": "",
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "maxPods": PODS_MAX,
        "makeIPTablesUtilChains": false,
    })
}

fn proxy(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": layout.seen("proxy.kubeconfig")},
        "hostnameOverride": NODE_NAME,
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        // Two pods of one bridge answer each other past the packet filter, which could then not put
        // the service's address back; with the node's address as the sender's the answer comes back
        // through it.
        "nftables": {"masqueradeAll": true},
        // Zero leaves the kernel's own settings as they are: they are the whole machine's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// Names outside the cluster are refused at once: no pod needs one, and a machine may be without a
/// network.
fn corefile(layout: &Layout, api_port: u16) -> String {
    format!(
        "cluster.local in-addr.arpa {{
    bind {NODE_ADDRESS}
    errors
    ready 0.0.0.0:8181
    kubernetes cluster.local in-addr.arpa {{
        endpoint https://{NODE_ADDRESS}:{api_port}
        kubeconfig {kubeconfig}
        pods insecure
        ttl 1
    }}
}}
",
        kubeconfig = layout.seen("coredns.kubeconfig"),
    )
}
