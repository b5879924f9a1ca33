//! Whether a cluster can do what the demo and the tests ask of it, and whether nothing of it stays
//! behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use xtask::cluster::{self, Cluster, Nodes, Options, kubelet_obstacle};
use xtask::image;

/// Names the state folder to the process that holds a cluster until it is killed.
const HELD_DIR: &str = "TIDEGATE_TEST_CLUSTER_DIR";

/// How long anything in a running cluster may take.
const WITHIN: Duration = Duration::from_secs(120);

/// Everything in one test, because a cluster takes some ten seconds to start.
#[test]
fn a_node_serves_pods_and_goes_without_a_trace_when_its_starter_is_killed() {
    if let Some(obstacle) = kubelet_obstacle() {
        println!("not run here: {obstacle}");
        return;
    }
    let dir = cluster::default_dir().with_file_name("test-node");
    let (mut holder, cluster) = hold(&dir);
    let image = image::busybox_image().unwrap();
    cluster.load_image(&image.path).unwrap();
    kubectl(&cluster, &["apply", "--filename", &manifest()]);
    kubectl(&cluster, &["rollout", "status", "statefulset/web", "--timeout=120s"]);

    assert_eq!(kubectl(&cluster, &["logs", "web-0"]), "I am web-0\n");
    pods_reach_names_services_and_the_api(&cluster);
    a_volume_is_a_folder_that_goes_with_its_claim(&cluster);
    the_budget_allows_one_eviction(&cluster);
    let watched = fs::read_to_string(cluster.audit_log()).unwrap();
    assert!(
        watched.contains(r#""verb":"watch""#) && watched.contains(r#""stage":"ResponseStarted""#)
    );

    let second = Cluster::start(&Options { dir: dir.clone(), ..Options::default() }).unwrap_err();
    assert!(second.to_string().contains("cluster down"), "{second}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    let gone = || Cluster::attach(&dir).unwrap().is_none();
    until("the cluster has ended", gone);
    cluster::down(&dir).unwrap();
    assert_no_trace(&dir);
}

#[test]
fn a_control_plane_makes_volumes_without_a_node_and_removes_them() {
    let dir = cluster::default_dir().with_file_name("test-plain");
    let options = Options { dir: dir.clone(), nodes: Nodes::StandInOnly, ..Options::default() };
    let cluster = Cluster::start(&options).unwrap();
    kubectl(&cluster, &["apply", "--filename", &manifest()]);
    until("a volume is made", || volume(&cluster, "data-web-0").is_some());
    let folder = volume(&cluster, "data-web-0").unwrap();
    assert!(folder.is_dir());
    cluster.stop().unwrap();
    assert!(!folder.exists());
    assert_no_trace(&dir);
}

/// Not a test: the process that the first test kills.
#[test]
#[ignore = "started by another test"]
fn hold_a_cluster_until_killed() {
    let dir = PathBuf::from(std::env::var_os(HELD_DIR).unwrap());
    let _cluster = Cluster::start(&Options { dir, ..Options::default() }).unwrap();
    // It ends with whoever started it, too: a test that fails must leave no cluster.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn pods_reach_names_services_and_the_api(cluster: &Cluster) {
    // A name or a service's address may be known some time after its pods are ready.
    let answers = |url: &str, expected: &str| {
        let command = format!("wget -qO- {url} 2>&1 || true");
        until(&format!("{url} answers {expected:?}"), || {
            kubectl(cluster, &["exec", "web-0", "--", "sh", "-c", &command]).contains(expected)
        });
    };
    answers("http://web-1.web.default.svc.cluster.local:8080/name", "web-1\n");
    answers("http://any-web/name", "web-");
    // The API server refuses a client that does not speak TLS, and says so.
    answers("http://kubernetes.default:443", "400");
}

fn a_volume_is_a_folder_that_goes_with_its_claim(cluster: &Cluster) {
    let folder = volume(cluster, "data-web-1").unwrap();
    assert_eq!(fs::read_to_string(folder.join("name")).unwrap(), "web-1\n");
    kubectl(cluster, &["scale", "statefulset/web", "--replicas=1"]);
    kubectl(cluster, &["wait", "--for=delete", "pod/web-1", "--timeout=60s"]);
    kubectl(cluster, &["delete", "pvc", "data-web-1"]);
    until("the volume's folder is gone", || !folder.exists());
    kubectl(cluster, &["scale", "statefulset/web", "--replicas=2"]);
    kubectl(cluster, &["rollout", "status", "statefulset/web", "--timeout=120s"]);
}

fn the_budget_allows_one_eviction(cluster: &Cluster) {
    let allowed = || {
        let path = "--output=jsonpath={.status.disruptionsAllowed}";
        kubectl(cluster, &["get", "pdb", "web", path]) == "1"
    };
    until("the budget has seen both pods", allowed);
    assert!(evict(cluster, "web-0"));
    assert!(!evict(cluster, "web-1"), "the budget did not keep the last pod");
}

fn evict(cluster: &Cluster, pod: &str) -> bool {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "default"},
    });
    let file = cluster.kubeconfig().with_file_name("eviction.json");
    fs::write(&file, body.to_string()).unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
    let mut command = cluster.kubectl();
    command.args(["create", "--raw", &path, "--filename"]).arg(&file);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// The folder of the volume that a claim is bound to.
fn volume(cluster: &Cluster, claim: &str) -> Option<PathBuf> {
    let name = kubectl(
        cluster,
        &[
            "get",
            "pvc",
            "--output=jsonpath={.items[?(@.metadata.name==\"CLAIM\")].spec.volumeName}"
                .replace("CLAIM", claim)
                .as_str(),
        ],
    );
    if name.is_empty() {
        return None;
    }
    let path = kubectl(cluster, &["get", "pv", &name, "--output=jsonpath={.spec.hostPath.path}"]);
    Some(cluster.volume_folder(&path))
}

fn hold(dir: &Path) -> (Child, Cluster) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "hold_a_cluster_until_killed", "--nocapture"]);
    let mut holder =
        command.env(HELD_DIR, dir).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // The binaries may have to be built first.
    let deadline = Instant::now() + Duration::from_secs(1800);
    loop {
        if let Some(cluster) = Cluster::attach(dir).unwrap()
            && is_up(&cluster)
        {
            return (holder, cluster);
        }
        assert!(holder.try_wait().unwrap().is_none(), "the cluster did not start");
        assert!(Instant::now() < deadline, "the cluster did not start in time");
        thread::sleep(Duration::from_millis(500));
    }
}

fn is_up(cluster: &Cluster) -> bool {
    let condition = r#"--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    let mut command = cluster.kubectl();
    command.args(["get", "nodes", condition]).stderr(Stdio::null());
    command.output().is_ok_and(|output| output.stdout == b"True")
}

fn assert_no_trace(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            ["audit.log", "logs", "start.lock"].iter().any(|kept| name == *kept),
            "{name:?} is left"
        );
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()));
    for process in fs::read_dir("/proc").unwrap() {
        let command = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(!command.contains(&format!("{}/", dir.display())), "{command} still runs");
    }
}

fn manifest() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/web.yaml").to_owned()
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.kubectl().args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !done() {
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
