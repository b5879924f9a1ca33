//! The host starts, ends and is replaced, and no drain is lost by it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::site::{Site, gate, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, alone, test};
use crate::wait::{Look, SOON, eventually};
use crate::world::output;

pub(crate) const TESTS: &[Test] = &[
    alone("lifecycle::a_drain_outlives_the_host_that_began_it", host_replaced),
    alone("lifecycle::a_drain_that_ends_without_a_host_is_finished_by_the_next", host_away),
    test("lifecycle::it_is_ready_when_it_sees_the_cluster_and_ends_in_time", ready),
    test("lifecycle::it_is_alive_and_not_ready_without_an_api_server", not_ready),
];

/// How long the host may take to end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The host's pod is deleted while a drain pod works; another host takes the drain up.
fn host_replaced(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    let drain = uid(&site.drains("web-1", 1)?)?;
    let before = site.world.host_pods()?;
    for pod in &before {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/tidegate/pods/{name}");
        site.world.api.delete(&path, &json!({}))?;
    }
    eventually("another pod of the host is there", SOON, || {
        let pods = site.world.host_pods()?;
        let another =
            pods.iter().all(|pod| before.iter().all(|old| uid(old).ok() != uid(pod).ok()));
        Ok(if another && !pods.is_empty() {
            Look::Found(())
        } else {
            Look::NotYet(format!("{} pods", pods.len()))
        })
    })?;
    site.world.host_is_ready()?;
    site.both_stay(("data-web-1", &claim), ("web-1", &drain))?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")
}

/// The drain pod ends while there is no host at all.
fn host_away(site: &Site<'_>) -> Result<()> {
    site.start(&Store::exec(&json!({ "script": gate() })))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let away = site.world.without_host()?;
    site.open_gate("web-1")?;
    site.eventually_pod("the drain pod has ended", "web-1", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    same_claim(site, "data-web-1", &claim)?;
    drop(away);
    site.gone("data-web-1", "web-1")
}

/// As a process with the account of the host, beside the one in the cluster and on a namespace that holds no set.
fn ready(site: &Site<'_>) -> Result<()> {
    let token = site.world.kubectl(&["create", "token", "tidegate", "-n", "tidegate"])?;
    let cluster = site.world.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])?;
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&cluster)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token.trim() });
    let mut host = HostProcess::start(site, &kubeconfig)?;
    host.answers("/readyz", 200)?;
    host.answers("/healthz", 200)?;
    host.ends_in_time()
}

/// Its watches have shown nothing yet, so that it must not be taken for ready; and it is no reason to restart it.
fn not_ready(site: &Site<'_>) -> Result<()> {
    // Nothing listens at the port of the discard service.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "clusters": [{ "name": "nowhere", "cluster": { "server": "https://127.0.0.1:9" } }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": [{
            "name": "nowhere",
            "context": { "cluster": "nowhere", "user": "nobody" },
        }],
    });
    let mut host = HostProcess::start(site, &kubeconfig)?;
    host.answers("/healthz", 200)?;
    host.answers("/readyz", 503)?;
    host.ends_in_time()
}

/// The host as a process of this machine.
struct HostProcess {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl HostProcess {
    fn start(site: &Site<'_>, kubeconfig: &serde_json::Value) -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&site.namespace);
        fs::create_dir_all(&folder)?;
        let (config, log) = (folder.join("kubeconfig"), folder.join("log"));
        fs::write(&config, kubeconfig.to_string())?;
        // The port is free again when the listener is dropped, and few others ask for one just now.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--namespace", &site.namespace, "--listen", &address.to_string()])
            .env("KUBECONFIG", &config)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, address, log })
    }

    /// Waits until the host answers with this status.
    fn answers(&mut self, path: &str, status: u16) -> Result<()> {
        eventually(&format!("{path} answers {status}"), SOON, || {
            if let Some(ended) = self.child.try_wait()? {
                bail!("the host ended with {ended}: {}", self.log());
            }
            Ok(match self.ask(path) {
                Ok(answer) if answer.starts_with(&format!("HTTP/1.1 {status} ")) => Look::Found(()),
                other => Look::NotYet(format!("{other:?}; {}", self.log())),
            })
        })
    }

    fn ask(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Sends SIGTERM and waits: the host ends in time, and calls that a success.
    fn ends_in_time(mut self) -> Result<()> {
        let told = Instant::now();
        output(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let ended: ExitStatus = loop {
            match self.child.try_wait()? {
                Some(ended) => break ended,
                None if told.elapsed() > ENDS_WITHIN => {
                    bail!("the host still ran {ENDS_WITHIN:?} after SIGTERM: {}", self.log())
                }
                None => sleep(Duration::from_millis(10)),
            }
        };
        ensure!(ended.success(), "the host ended with {ended}: {}", self.log());
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).context("its log").unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
