//! Starting a cluster, part by part.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::control_plane::{self, API_SERVICE_ADDRESS, Endpoints};
use super::layout::Layout;
use super::process::{Identity, Launcher, POLL};
use super::record::{self, Record};
use super::{Cluster, Lifetime, NODE_ADDRESS, Nodes, Options, Owned};
use super::{binaries, cgroups, credentials, namespaces, node, obstacle, packages, readiness};
use crate::progress;

/// The API server's port where the cluster has a network of its own.
const API_PORT: u16 = 6443;
/// Where CoreDNS and kube-proxy tell whether they are ready.
const COREDNS_READY_PORT: u16 = 8181;
const PROXY_READY_PORT: u16 = 10256;

/// How long each part may take to come up. It is some seconds on an idle machine, and minutes on
/// one that is building.
const WITHIN: Duration = Duration::from_secs(120);

/// How long a cluster whose starter was killed just before may take to end by itself.
const DYING: Duration = Duration::from_secs(3);

/// How long an answer about readiness may take.
const ANSWER: Duration = Duration::from_secs(1);

/// What every cluster has from the start: a default class of volumes, and the rights of its name
/// server.
const BASE: &str = include_str!("base.json");

/// Builds what is missing and starts a cluster; see [`Cluster::start`].
pub(super) fn start(options: &Options) -> Result<Cluster> {
    match options.nodes {
        Nodes::Kubelet => {
            if let Some(obstacle) = obstacle::kubelet_obstacle() {
                bail!("{obstacle}");
            }
            packages::install_missing()?;
            binaries::build_everything()?;
        }
        Nodes::StandInOnly => binaries::build_control_plane()?,
    }
    progress::during("starting the cluster", || start_built(options))
}

fn start_built(options: &Options) -> Result<Cluster> {
    let dir = std::path::absolute(&options.dir)?;
    let _lock = record::claim(&dir)?;
    let layout = prepare(&dir, options.nodes)?;
    let mut cluster = match options.nodes {
        Nodes::Kubelet => start_confined(options, layout)?,
        Nodes::StandInOnly => start_plain(options, layout)?,
    };
    match options.lifetime {
        Lifetime::Starter => {}
        Lifetime::UntilDown => cluster.owned = Owned::No,
    }
    Ok(cluster)
}

/// Refuses a folder that a cluster runs from, and makes of any other an empty one.
fn prepare(dir: &Path, nodes: Nodes) -> Result<Layout> {
    let layout = Layout::of(dir, nodes);
    let deadline = Instant::now() + DYING;
    while let Some(pid) = Record::read(dir)?.and_then(|record| record.running()) {
        if Instant::now() > deadline {
            bail!(
                "a cluster runs from {} already (process {pid}); \
                 `cargo xtask cluster down --dir {0}` ends it",
                dir.display()
            );
        }
        thread::sleep(POLL);
    }
    record::clean(dir)?;
    let logs = dir.join("logs");
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| format!("removing {}", logs.display()))?;
    }
    let _ = fs::remove_file(layout.audit_log());
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    Ok(layout)
}

fn start_confined(options: &Options, layout: Layout) -> Result<Cluster> {
    if let Some(obstacle) = obstacle::overlay_obstacle(&layout.dir) {
        bail!("{obstacle}");
    }
    let cgroup = record::cgroup(&layout.dir);
    cgroups::create(&cgroup)?;
    let held = namespaces::create(&layout, options.lifetime)?;
    let address = held.uplink.cluster_address();
    let init = held.init;
    let record = Record {
        nodes: options.nodes,
        server: format!("https://{address}:{API_PORT}"),
        holders: vec![init],
    };
    let mut cluster = Cluster::assemble(layout, record, Owned::Yes, Vec::new(), Some(held));
    cluster.record.write(&cluster.layout.dir)?;

    let inner = format!("https://{NODE_ADDRESS}:{API_PORT}");
    let addresses = [address.as_str(), NODE_ADDRESS, API_SERVICE_ADDRESS, "127.0.0.1"];
    credentials::write(&cluster.layout, &cluster.record.server, &inner, &addresses)?;
    node::write_configuration(&cluster.layout, &format!("/{cgroup}"), API_PORT)?;
    let launcher = Launcher::Confined { init: init.pid };
    cluster.parts.push(node::start_containerd(launcher, &cluster.layout)?);
    let at = Endpoints {
        bind: "0.0.0.0",
        advertise: NODE_ADDRESS,
        api_port: API_PORT,
        etcd_port: 2379,
        etcd_peer_port: 2380,
    };
    let address = address.parse()?;
    start_control_plane(&mut cluster, launcher, options, &at, address)?;
    start_node(&mut cluster, launcher, init.pid)?;
    await_control_plane(&mut cluster)?;
    await_node(&mut cluster, address)?;
    Ok(cluster)
}

fn start_plain(options: &Options, layout: Layout) -> Result<Cluster> {
    record::check_provisioned()?;
    let ports = free_ports()?;
    let at = Endpoints {
        bind: "127.0.0.1",
        advertise: "127.0.0.1",
        api_port: ports[0],
        etcd_port: ports[1],
        etcd_peer_port: ports[2],
    };
    let server = format!("https://127.0.0.1:{}", at.api_port);
    credentials::write(&layout, &server, &server, &["127.0.0.1", API_SERVICE_ADDRESS])?;
    let record = Record { nodes: options.nodes, server, holders: Vec::new() };
    let mut cluster = Cluster::assemble(layout, record, Owned::Yes, Vec::new(), None);
    cluster.etcd_port = Some(at.etcd_port);
    let launcher = Launcher::Plain(options.lifetime);
    start_control_plane(&mut cluster, launcher, options, &at, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    await_control_plane(&mut cluster)?;
    Ok(cluster)
}

/// Starts etcd and the API server, and once that answers the controller manager and the scheduler;
/// gives the cluster what every cluster has.
fn start_control_plane(
    cluster: &mut Cluster,
    launcher: Launcher,
    options: &Options,
    at: &Endpoints,
    address: IpAddr,
) -> Result<()> {
    let layout = cluster.layout.clone();
    control_plane::write_audit_policy(&layout, &options.history)?;
    cluster.add(control_plane::start_etcd(launcher, &layout, at)?)?;
    let which = &control_plane::API_SERVER;
    let history = &options.history;
    let api_server =
        control_plane::start_api_server(launcher, &layout, at, options.nodes, which, history)?;
    cluster.add(api_server)?;
    let api = SocketAddr::new(address, at.api_port);
    cluster.wait_for("kube-apiserver", |_| readiness::accepts(&api))?;
    cluster.wait_for("kube-apiserver", |cluster| cluster.answers(&["get", "--raw", "/readyz"]))?;
    let limits = options.client_limits;
    cluster.add(control_plane::start_controller_manager(launcher, &layout, limits)?)?;
    cluster.add(control_plane::start_scheduler(launcher, &layout, limits)?)?;
    cluster.wait_for("kube-apiserver", Cluster::takes_base)
}

/// Starts the rest of the node beside its containerd.
fn start_node(cluster: &mut Cluster, launcher: Launcher, init: u32) -> Result<()> {
    let layout = cluster.layout.clone();
    cluster.wait_for("containerd", |cluster| node::containerd_answers(&cluster.layout, init))?;
    node::import_sandbox_image(&layout, init)?;
    cluster.add(node::start_kubelet(launcher, &layout)?)?;
    cluster.add(node::start_proxy(launcher, &layout)?)?;
    cluster.add(node::start_coredns(launcher, &layout)?)
}

/// Waits until pods can be made.
fn await_control_plane(cluster: &mut Cluster) -> Result<()> {
    // Without the account of its namespace a pod is refused.
    let account = ["get", "serviceaccount", "default", "--namespace=default"];
    cluster.wait_for("kube-controller-manager", |cluster| cluster.answers(&account))
}

fn await_node(cluster: &mut Cluster, address: IpAddr) -> Result<()> {
    cluster.wait_for("kubelet", Cluster::has_ready_node)?;
    let coredns = SocketAddr::new(address, COREDNS_READY_PORT);
    cluster.wait_for("coredns", |_| says_ok(&coredns, "/ready"))?;
    let proxy = SocketAddr::new(address, PROXY_READY_PORT);
    cluster.wait_for("kube-proxy", |_| says_ok(&proxy, "/healthz"))
}

impl Cluster {
    /// Takes a part that was started. Its keeper is on record at once, so that it is found whatever
    /// happens.
    fn add(&mut self, part: super::process::Part) -> Result<()> {
        let holder = Identity::of(part.child.id());
        self.parts.push(part);
        match self.record.nodes {
            Nodes::Kubelet => Ok(()),
            Nodes::StandInOnly => {
                self.record.holders.extend(holder);
                self.record.write(&self.layout.dir)
            }
        }
    }

    fn wait_for(&mut self, part: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        // The parts are lent to the wait, which watches for one that ends, while the cluster
        // answers questions.
        let mut parts = std::mem::take(&mut self.parts);
        let outcome = readiness::wait(&self.layout, &mut parts, part, WITHIN, || done(self));
        self.parts = parts;
        outcome
    }

    /// Whether a `kubectl` with these arguments succeeds.
    fn answers(&self, arguments: &[&str]) -> bool {
        let mut command = self.kubectl();
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn takes_base(&self) -> bool {
        let mut command = self.kubectl();
        command
            .args(["apply", "--filename=-"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            return false;
        };
        let written =
            child.stdin.take().is_some_and(|mut input| input.write_all(BASE.as_bytes()).is_ok());
        child.wait().is_ok_and(|status| status.success()) && written
    }

    fn has_ready_node(&self) -> bool {
        let condition = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let output = self.kubectl().args(["get", "node", node::NODE_NAME, condition]).output();
        output.is_ok_and(|output| output.stdout == b"True")
    }
}

/// Whether a GET of this path is answered with 200.
fn says_ok(address: &SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Three ports that nothing listens on. They are free again when this returns; that another takes
/// one before the cluster does is seen by the part that then ends.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port");
    // All three are held until each is known, so that they differ.
    let listeners = [listen()?, listen()?, listen()?];
    let port = |index: usize| listeners[index].local_addr().map(|address| address.port());
    Ok([port(0)?, port(1)?, port(2)?])
}
