//! The stand-in node against a real API server, scheduler and controllers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::cluster::{self, ClientLimits, Cluster, Nodes};
use xtask::standin::{Image, Isolation, Options, Play, Scheduling, StandIn};

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(60);

/// How many scripted pods are run at once.
const MANY: usize = 300;

/// Everything in one test, because a control plane takes some ten seconds to start.
#[test]
fn pods_live_and_end_as_a_kubelet_would_have_it() {
    let options = cluster::Options {
        dir: cluster::default_dir().with_file_name("test-standin"),
        nodes: Nodes::StandInOnly,
        client_limits: ClientLimits::Raised,
        ..cluster::Options::default()
    };
    let cluster = Cluster::start(&options).unwrap();
    for isolation in [Isolation::Best, Isolation::Rewrite] {
        let node = node(&cluster, isolation);
        until("the default account", || cluster.get("serviceaccount", "default").is_some());
        a_set_runs_on_its_claims(&cluster, &node);
        an_evicted_drain_that_exits_0_is_seen_as_it_is(&cluster);
        an_image_is_a_folder(&cluster, &node);
        what_a_pod_lacks_is_in_its_status(&cluster);
        processes_end_with_the_node(&cluster, node);
    }
    processes_end_with_a_killed_program(&cluster);
    let mut scripted = Options::new("scripted");
    scripted.play = Play::parse("hang").unwrap();
    scripted.labels.insert("kind".to_owned(), "scripted".to_owned());
    let node = StandIn::start(cluster.kubeconfig(), scripted).unwrap();
    a_test_drives_a_scripted_pod(&cluster, &node);
    a_script_keeps_its_times(&cluster);
    many_pods_come_and_go(&cluster, &node);
    node.stop();
    a_node_binds_pods_itself(&cluster);
    cluster.stop().unwrap();
}

fn node(cluster: &Cluster, isolation: Isolation) -> StandIn {
    let mut options = Options::new("processes");
    options.isolation = isolation;
    let root = cluster::default_dir().with_file_name("test-standin-image");
    fs::create_dir_all(root.join("opt")).unwrap();
    let program = root.join("opt/greet");
    fs::write(&program, "#!/bin/sh\necho greetings from $1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let entrypoint = vec!["/opt/greet".to_owned()];
    options.images.insert("docker.io/library/greet:1".to_owned(), Image { root, entrypoint });
    StandIn::start(cluster.kubeconfig(), options).unwrap()
}

fn a_set_runs_on_its_claims(cluster: &Cluster, node: &StandIn) {
    let script = "echo $HOSTNAME $IP >>/data/who; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"},
        "spec": {
            "serviceName": "web", "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": "processes"},
                    "containers": [{
                        "name": "main", "image": "shell", "command": ["sh", "-c", script],
                        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
            }],
        },
    });
    cluster.apply(&set);
    until("three members are ready", || {
        cluster.get("statefulset", "web").unwrap()["status"]["readyReplicas"] == 3
    });
    let ip = cluster.get("pod", "web-2").unwrap()["status"]["podIP"].as_str().unwrap().to_owned();
    let who = cluster.folder_of("data-web-2").join("who");
    until("web-2 has written", || fs::read_to_string(&who).is_ok_and(|t| !t.is_empty()));
    assert_eq!(fs::read_to_string(&who).unwrap(), format!("web-2 {ip}\n"));

    cluster.run(&["scale", "statefulset/web", "--replicas=2"]);
    until("web-2 is gone", || cluster.get("pod", "web-2").is_none());
    until("the node has forgotten web-2", || node.pods().unwrap().len() == 2);
    cluster.run(&["scale", "statefulset/web", "--replicas=3"]);
    until("web-2 is back with its data", || {
        fs::read_to_string(&who).is_ok_and(|t| t.lines().count() == 2)
    });
    cluster.run(&["delete", "statefulset/web"]);
    until("all members are gone", || node.pods().unwrap().is_empty());
    cluster.run(&["delete", "persistentvolumeclaims", "--all"]);
}

fn an_evicted_drain_that_exits_0_is_seen_as_it_is(cluster: &Cluster) {
    let script =
        "trap 'printf half >/dev/termination-log; exit 0' TERM; while :; do sleep 0.1; done";
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        // Without a finalizer the pod would be gone before its last status can be read.
        "metadata": {"name": "drain", "finalizers": ["tidegate.dev/test"]},
        "spec": {
            "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 20,
            "readinessGates": [{"conditionType": "tidegate.dev/never"}],
            "initContainers": [{
                "name": "server", "image": "shell", "restartPolicy": "Always",
                "command": ["sh", "-c", "trap 'exit 143' TERM; while :; do sleep 0.1; done"],
            }],
            "containers": [{"name": "main", "image": "shell", "command": ["sh", "-c", script]}],
        },
    }));
    let running = || cluster.get("pod", "drain").unwrap()["status"]["phase"] == "Running";
    until("the drain runs", running);
    let ready = cluster.condition("drain", "Ready");
    assert_eq!(ready["reason"], "ReadinessGatesNotReady");
    // The trap is set a moment after the process began.
    thread::sleep(Duration::from_millis(500));
    cluster.evict("drain");
    until("the drain has ended", || {
        cluster.get("pod", "drain").unwrap()["status"]["phase"] == "Succeeded"
    });
    let pod = cluster.get("pod", "drain").unwrap();
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(cluster.condition("drain", "DisruptionTarget")["reason"], "EvictionByEvictionAPI");
    let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["message"]), (&json!(0), &json!("half")), "{end}");
    let server = &pod["status"]["initContainerStatuses"][0]["state"]["terminated"];
    assert_eq!(server["exitCode"], 143);
    let patch = r#"--patch={"metadata":{"finalizers":null}}"#;
    cluster.run(&["patch", "pod/drain", "--type=merge", patch]);
    until("the drain is gone", || cluster.get("pod", "drain").is_none());
}

fn an_image_is_a_folder(cluster: &Cluster, node: &StandIn) {
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greet"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "greet:1", "args": ["$(HOSTNAME)", "x"],
                            "env": [{"name": "HOSTNAME", "value": "an image"}]}],
        },
    }));
    until("the image's program has ended", || {
        cluster.get("pod", "greet").unwrap()["status"]["phase"] == "Succeeded"
    });
    assert_eq!(node.log("default", "greet", "main").unwrap(), "greetings from an image\n");
    cluster.run(&["delete", "pod/greet"]);
}

fn what_a_pod_lacks_is_in_its_status(cluster: &Cluster) {
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lacking"},
        "spec": {
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
            "containers": [{
                "name": "main", "image": "shell", "command": ["cat", "/etc/settings/key"],
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
            }],
            "restartPolicy": "Never",
        },
    }));
    let state = || cluster.get("pod", "lacking").unwrap()["status"]["containerStatuses"][0].take();
    until("the status names the ConfigMap", || {
        state()["state"]["waiting"]["message"].as_str().is_some_and(|m| m.contains("settings"))
    });
    cluster.run(&["create", "configmap", "settings", "--from-literal=key=value"]);
    until("the pod goes on", || !state()["state"]["terminated"].is_null());
    assert_eq!(state()["state"]["terminated"]["exitCode"], 0);
    cluster.run(&["delete", "pod/lacking", "configmap/settings"]);
}

fn processes_end_with_the_node(cluster: &Cluster, node: StandIn) {
    let beats = start_heart(cluster, "processes");
    node.stop();
    assert_still(&beats);
    cluster.run(&["delete", "pod/heart", "--force"]);
}

fn processes_end_with_a_killed_program(cluster: &Cluster) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_xtask"));
    program.args(["standin", "--node=killed", "--kubeconfig"]).arg(cluster.kubeconfig());
    let mut program = program.spawn().unwrap();
    let beats = start_heart(cluster, "killed");
    program.kill().unwrap();
    program.wait().unwrap();
    assert_still(&beats);
    cluster.run(&["delete", "pod/heart", "--force"]);
    cluster.run(&["delete", "node/killed"]);
    fs::remove_dir_all(std::env::temp_dir().join(format!("stand-in-killed-{}", program.id())))
        .unwrap();
}

/// Runs a pod whose grandchild writes for ever, and answers the file that it writes.
fn start_heart(cluster: &Cluster, node: &str) -> PathBuf {
    let folder = cluster::default_dir().with_file_name("test-standin-heart");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let script = "while :; do echo >>/heart/beats; sleep 0.05; done";
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "heart"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "volumes": [{"name": "heart", "hostPath": {"path": folder}}],
            "containers": [{
                "name": "main", "image": "shell", "command": ["sh", "-c", script],
                "volumeMounts": [{"name": "heart", "mountPath": "/heart"}],
            }],
        },
    }));
    let beats = folder.join("beats");
    until("the heart beats", || beats.exists());
    beats
}

fn assert_still(beats: &Path) {
    let count = || fs::metadata(beats).unwrap().len();
    thread::sleep(Duration::from_millis(200));
    let before = count();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(count(), before, "a process outlived its node");
}

fn a_test_drives_a_scripted_pod(cluster: &Cluster, node: &StandIn) {
    cluster.apply(&scripted_pod("driven", "hang"));
    let phase = || cluster.get("pod", "driven").unwrap()["status"]["phase"].take();
    until("the pod runs", || phase() == "Running");
    node.pause().unwrap();
    node.finish("default", "driven", "main", 0, Some("42 files")).unwrap();
    let view = node.pods().unwrap().remove(0);
    assert_eq!((view.phase.as_str(), view.containers[0].exit_code), ("Succeeded", Some(0)));
    thread::sleep(Duration::from_millis(300));
    assert_eq!(phase(), "Running", "a node that stands still writes nothing");
    node.resume().unwrap();
    until("the pod has succeeded", || phase() == "Succeeded");
    let pod = cluster.get("pod", "driven").unwrap();
    let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(end["message"], "42 files");
    let error = node.finish("default", "driven", "main", 0, None).unwrap_err().to_string();
    assert!(error.contains("not running"), "{error}");
    cluster.run(&["delete", "pod/driven"]);

    cluster.apply(&scripted_pod("lost", "hang"));
    until("the pod runs", || cluster.get("pod", "lost").unwrap()["status"]["phase"] == "Running");
    node.lose_node().unwrap();
    cluster.run(&["delete", "pod/lost", "--wait=false"]);
    thread::sleep(Duration::from_millis(500));
    assert!(cluster.get("pod", "lost").is_some(), "a lost node ends nothing");
    node.resume().unwrap();
    until("the pod is gone", || cluster.get("pod", "lost").is_none());
}

fn a_script_keeps_its_times(cluster: &Cluster) {
    let script = "after 1s run\nafter 2s exit 3 message \"once more\"\nexit 0 message done";
    cluster.apply(&scripted_pod("timed", script));
    cluster.apply(&scripted_pod("stubborn", "on-term ignore"));
    cluster.apply(&scripted_pod("stuck", "pending"));
    cluster.apply(&scripted_pod("unreadable", "dance"));
    let status = |name: &str| cluster.get("pod", name).unwrap()["status"].take();
    until("the timed pod has ended", || status("timed")["phase"] == "Succeeded");
    let container = status("timed")["containerStatuses"][0].take();
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["message"], "once more");
    assert_eq!(container["state"]["terminated"]["message"], "done");
    let seconds = |pointer: &str| {
        let text = container.pointer(pointer).unwrap().as_str().unwrap();
        text[17..19].parse::<i32>().unwrap()
    };
    let began = seconds("/lastState/terminated/startedAt");
    let ended = seconds("/lastState/terminated/finishedAt");
    assert!([2, 3].contains(&(ended - began).rem_euclid(60)), "{container}");
    assert_eq!(status("stuck")["phase"], "Pending");
    assert_eq!(status("unreadable")["reason"], "UnreadableScript");
    let begun = Instant::now();
    cluster.run(&["delete", "pod/stubborn", "--grace-period=2"]);
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "it was not killed before its grace was over"
    );
    cluster.run(&["delete", "pod", "timed", "stuck", "unreadable"]);
}

fn many_pods_come_and_go(cluster: &Cluster, node: &StandIn) {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "many"},
        "spec": {
            "serviceName": "many", "replicas": MANY, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {
                    "nodeSelector": {"kind": "scripted"},
                    "containers": [{"name": "main", "image": "none"}],
                },
            },
        },
    });
    cluster.apply(&set);
    until("all are ready", || {
        cluster.get("statefulset", "many").unwrap()["status"]["readyReplicas"] == MANY
    });
    let pods = node.pods().unwrap();
    let addresses: std::collections::BTreeSet<_> = pods.iter().map(|p| &p.pod_ip).collect();
    assert_eq!((pods.len(), addresses.len()), (MANY, MANY));
    cluster.run(&["delete", "statefulset/many"]);
    until("all are gone", || node.pods().unwrap().is_empty());
}

fn a_node_binds_pods_itself(cluster: &Cluster) {
    let mut options = Options::new("binder");
    options.scheduling = Scheduling::Own;
    let node = StandIn::start(cluster.kubeconfig(), options).unwrap();
    let mut pod = scripted_pod("unscheduled", "hang");
    pod["spec"] = json!({
        "schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}],
    });
    cluster.apply(&pod);
    until("the pod runs", || {
        cluster.get("pod", "unscheduled").unwrap()["status"]["phase"] == "Running"
    });
    assert_eq!(cluster.get("pod", "unscheduled").unwrap()["spec"]["nodeName"], "binder");
    node.stop();
}

fn scripted_pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"standin.tidegate.dev/script": script}},
        "spec": {
            "nodeSelector": {"kind": "scripted"}, "restartPolicy": "OnFailure",
            "containers": [{"name": "main", "image": "none"}],
        },
    })
}

/// What the tests do with a cluster.
trait Asked {
    fn run(&self, arguments: &[&str]) -> String;
    fn send(&self, arguments: &[&str], object: &Value);
    fn folder_of(&self, claim: &str) -> PathBuf;

    fn apply(&self, object: &Value) {
        self.send(&["apply", "--filename=-"], object);
    }

    fn evict(&self, pod: &str) {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": "default"},
        });
        self.send(&["create", "--raw", &path, "--filename=-"], &eviction);
    }

    /// The object, if it is there.
    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.run(&["get", kind, name, "--ignore-not-found", "--output=json"]);
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    fn condition(&self, pod: &str, kind: &str) -> Value {
        let conditions = self.get("pod", pod).unwrap()["status"]["conditions"].take();
        let found = conditions.as_array().unwrap().iter().find(|c| c["type"] == kind);
        found.unwrap().clone()
    }
}

impl Asked for Cluster {
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.kubectl().args(arguments).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {problem}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn send(&self, arguments: &[&str], object: &Value) {
        let mut kubectl = self.kubectl();
        kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = kubectl.spawn().unwrap();
        child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "kubectl {arguments:?}");
    }

    fn folder_of(&self, claim: &str) -> PathBuf {
        let volume = self.get("persistentvolumeclaim", claim).unwrap()["spec"]["volumeName"].take();
        let volume = self.get("persistentvolume", volume.as_str().unwrap()).unwrap();
        self.volume_folder(volume["spec"]["hostPath"]["path"].as_str().unwrap())
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WITHIN, "not within {} s: {what}", WITHIN.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
}
