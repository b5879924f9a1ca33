//! The words of a refusal, copied into the annotation one after the other, as a person would, until the drain pod is created.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{roads, template, with};
use crate::puppet;
use crate::site::{Site, gate};
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually};

pub(crate) const TESTS: &[Test] = &[
    test("bad_input::grants::granted_objects", granted_objects),
    test("bad_input::grants::granted_volumes", granted_volumes),
    test("bad_input::grants::granted_parts_of_the_node", granted_parts_of_the_node),
    test("bad_input::grants::granted_privileges", granted_privileges),
];

const GRANT: &str = "tidegate.dev/grant";

/// A node that there is not: what is bound to it never runs.
const NOWHERE: &str = "nowhere";

/// Account, token, secrets and config maps by all roads: the drain pod has them, and drains.
fn granted_objects(site: &Site<'_>) -> Result<()> {
    make_objects(site)?;
    let script = format!(
        "set -e; {}; [ \"$A$B$s_by_env_from$c_by_env_from\" = vvvv ]
         cd /granted; cat s/s_by_volume c/c_by_volume p/s_by_projection p/c_by_projection p/token",
        gate()
    );
    let env = |name: &str, kind: &str, key: &str| json!({ "name": name, "valueFrom": { kind: { "name": "by-env", "key": key } } });
    let mount = |name: &str| json!({ "name": name, "mountPath": format!("/granted/{name}") });
    let sources = json!([
        { "secret": { "name": "by-projection" } },
        { "configMap": { "name": "by-projection" } },
        { "serviceAccountToken": { "audience": "vault", "path": "token" } },
    ]);
    let asks = [
        ("/spec/serviceAccountName", json!("robot")),
        ("/spec/imagePullSecrets", json!([{ "name": "to-pull" }])),
        ("/spec/containers/0/command", json!(["sh", "-c", script])),
        (
            "/spec/containers/0/env",
            json!([env("A", "secretKeyRef", "s_by_env"), env("B", "configMapKeyRef", "c_by_env")]),
        ),
        (
            "/spec/containers/0/envFrom",
            json!([
                { "secretRef": { "name": "by-env-from" } },
                { "configMapRef": { "name": "by-env-from" } },
            ]),
        ),
        (
            "/spec/containers/0/volumeMounts",
            json!([{ "name": "data", "mountPath": "/data" }, mount("s"), mount("c"), mount("p")]),
        ),
        (
            "/spec/volumes",
            json!([
                { "name": "s", "secret": { "secretName": "by-volume" } },
                { "name": "c", "configMap": { "name": "by-volume" } },
                { "name": "p", "projected": { "sources": sources } },
            ]),
        ),
    ];
    site.start(&puppet::store(site, &asking_for(asks))?)?;
    let granted = granted_as_told(site)?;
    let pod = site.drains("web-0", 1)?;
    ensure!(pod["spec"]["serviceAccountName"] == "robot", "it runs as {}", pod["spec"]);
    let needed = [
        "configMap=by-env",
        "configMap=by-env-from",
        "configMap=by-projection",
        "configMap=by-volume",
        "secret=by-env",
        "secret=by-env-from",
        "secret=by-projection",
        "secret=by-volume",
        "secret=to-pull",
        "serviceAccount=robot",
        "token=vault",
    ];
    ensure!(granted.iter().eq(needed), "granted were {granted:?}");
    site.open_gate("web-0")?;
    site.gone("data-web-0", "web-0")
}

/// An account, and for each road a secret and a config map.
fn make_objects(site: &Site<'_>) -> Result<()> {
    let create = |kind: &str, name: &str, rest: Value| {
        let mut object = rest;
        object["metadata"] = json!({ "name": name });
        site.world.api.create(&site.path("v1", kind, ""), &object)
    };
    create("serviceaccounts", "robot", json!({}))?;
    for name in ["by-env", "by-env-from", "by-volume", "by-projection"] {
        let key = name.replace('-', "_");
        create("secrets", name, json!({ "stringData": { format!("s_{key}"): "v" } }))?;
        create("configmaps", name, json!({ "data": { format!("c_{key}"): "v" } }))?;
    }
    Ok(())
}

/// Another claim, a path of the node and an ephemeral volume: the drain pod has them, and drains.
fn granted_volumes(site: &Site<'_>) -> Result<()> {
    let spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Mi" } },
    });
    let shelf = json!({ "metadata": { "name": "shelf" }, "spec": spec });
    let mount = |name: &str| json!({ "name": name, "mountPath": format!("/granted/{name}") });
    let script = format!("set -e; {}; cd /granted; touch shelf/it scratch/it; ls node", gate());
    let asks = [
        ("/spec/containers/0/command", json!(["sh", "-c", script])),
        (
            "/spec/containers/0/volumeMounts",
            json!([
                { "name": "data", "mountPath": "/data" },
                mount("shelf"),
                mount("node"),
                mount("scratch"),
            ]),
        ),
        (
            "/spec/volumes",
            json!([
                { "name": "shelf", "persistentVolumeClaim": { "claimName": "shelf" } },
                { "name": "node", "hostPath": { "path": "/etc" } },
                { "name": "scratch", "ephemeral": { "volumeClaimTemplate": { "spec": spec } } },
            ]),
        ),
    ];
    site.start(&puppet::store(site, &asking_for(asks))?)?;
    site.world.api.create(&site.path("v1", "persistentvolumeclaims", ""), &shelf)?;
    let granted = granted_as_told(site)?;
    let needed = ["claim=shelf", "hostPath=/etc", "volume=ephemeral"];
    ensure!(granted.iter().eq(needed), "granted were {granted:?}");
    site.drains("web-0", 1)?;
    site.open_gate("web-0")?;
    site.gone("data-web-0", "web-0")?;
    site.claim_uid("shelf").context("a claim that was only borrowed")?;
    Ok(())
}

/// The node's namespaces, one of its ports, and the node itself.
fn granted_parts_of_the_node(site: &Site<'_>) -> Result<()> {
    let asks = [
        ("/spec/hostNetwork", json!(true)),
        ("/spec/hostPID", json!(true)),
        ("/spec/hostIPC", json!(true)),
        ("/spec/nodeName", json!(NOWHERE)),
        ("/spec/schedulerName", json!("mine")),
        ("/spec/priorityClassName", json!("system-node-critical")),
        ("/spec/containers/0/ports", json!([{ "containerPort": 9, "hostPort": 9 }])),
        (
            "/spec/containers/0/readinessProbe",
            json!({ "tcpSocket": { "host": "127.0.0.1", "port": 9 } }),
        ),
    ];
    site.start(&puppet::store(site, &asking_for(asks))?)?;
    let granted = granted_as_told(site)?;
    let needed = [
        "host=127.0.0.1",
        "host=hostIPC",
        "host=hostNetwork",
        "host=hostPID",
        "hostPort=9",
        "nodeName=nowhere",
        "priorityClassName=system-node-critical",
        "schedulerName=mine",
    ];
    ensure!(granted.iter().eq(needed), "granted were {granted:?}");
    is_created_with(site, "/spec/hostNetwork", &json!(true))?;
    is_created_with(site, "/spec/priorityClassName", &json!("system-node-critical"))
}

/// Everything that a hardened set's pods do not have, with names that a list of grants would take apart.
fn granted_privileges(site: &Site<'_>) -> Result<()> {
    let privileged = json!({
        "privileged": true,
        "capabilities": { "add": ["NET_ADMIN"] },
        "seLinuxOptions": { "level": "s0:c1,c2" },
        "appArmorProfile": { "type": "Unconfined" },
    });
    let context = json!({
        "sysctls": [{ "name": "net.ipv4.ip_local_port_range", "value": "1024 65000" }],
        "fsGroup": 0,
    });
    let attributes = json!({ "role": "admin, all", "secret": "50%" });
    let driver = json!({ "driver": "csi.example.org", "volumeAttributes": attributes });
    let asks = [
        ("/metadata/labels/role", json!("admin")),
        ("/metadata/annotations/cloud~1role", json!("admin, \"all\" 'of' it: $x # y\n")),
        ("/spec/nodeName", json!(NOWHERE)),
        ("/spec/automountServiceAccountToken", json!(true)),
        ("/spec/shareProcessNamespace", json!(true)),
        ("/spec/securityContext", context),
        ("/spec/containers/0/securityContext", privileged),
        ("/spec/resourceClaims", json!([{ "name": "gpu", "resourceClaimName": "gpu-0" }])),
        ("/spec/volumes", json!([{ "name": "v", "csi": driver }])),
    ];
    let template = asking_for(asks);
    // The set's own template is hardened when nobody runs it any more, and before anybody is told.
    let store = puppet::store(site, &template)?.annotated("tidegate.dev/paused", "true");
    site.start(&store)?;
    site.scale("web", 0)?;
    site.no_pod("web-0")?;
    roads::harden(site)?;
    site.annotate("web", "tidegate.dev/paused", None)?;
    let granted = granted_as_told(site)?;
    for grant in [
        "annotation=cloud/role=admin%2C%20%22all%22%20%27of%27%20it:%20%24x%20%23%20y%0A",
        "capability=NET_ADMIN",
        "capability=default-set",
        "csi=csi.example.org",
        "csi=csi.example.org/role=admin%2C%20all",
        "csi=csi.example.org/secret=50%25",
        "host=hostUsers",
        "host=shareProcessNamespace",
        "label=role=admin",
        "nodeName=nowhere",
        "privilege=allowPrivilegeEscalation",
        "privilege=appArmorProfile-Unconfined",
        "privilege=groups-of-image",
        "privilege=privileged",
        "privilege=root",
        "privilege=root-group",
        "privilege=seLinuxOptions.level=s0:c1%2Cc2",
        "privilege=seccompProfile-none",
        "resourceClaim=gpu-0",
        "sysctl=net.ipv4.ip_local_port_range",
        "token=automounted",
        "token=automounted-always",
    ] {
        ensure!(granted.contains(grant), "{grant} was not asked for: {granted:?}");
    }
    is_created_with(site, "/spec/containers/0/securityContext/privileged", &json!(true))?;
    is_created_with(site, "/metadata/labels/role", &json!("admin"))
}

/// The template that asks for all of it, and leaves at once when it is told to.
fn asking_for<const N: usize>(asks: [(&str, Value); N]) -> Value {
    let template = with(template(), "/spec/terminationGracePeriodSeconds", json!(0));
    asks.into_iter().fold(template, |template, (pointer, value)| with(template, pointer, value))
}

/// Scales the set to zero, and copies what each refusal says into the annotation until the drain pod is created; answers what was copied.
fn granted_as_told(site: &Site<'_>) -> Result<BTreeSet<String>> {
    site.scale("web", 0)?;
    let mut granted = BTreeSet::new();
    loop {
        let next = eventually("a refusal says more, or the pod is created", SOON, || {
            if !site.events("web", "DrainStarted")?.is_empty() {
                return Ok(Look::Found(None));
            }
            let told = site.events("web", "")?;
            let note = |event: &Value| event["note"].as_str().unwrap_or_default().to_owned();
            let words = told.iter().filter_map(|event| {
                let note = note(event);
                Some(note.split_once("annotate the set with tidegate.dev/grant: ")?.1.to_owned())
            });
            let news = words.into_iter().find(|words| !granted.contains(words));
            let all = || told.iter().map(note).collect::<Vec<_>>().join("; ");
            Ok(news.map_or_else(|| Look::NotYet(all()), |words| Look::Found(Some(words))))
        })?;
        let Some(words) = next else {
            return Ok(granted);
        };
        granted.insert(words);
        let all = granted.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        site.annotate("web", GRANT, Some(&all))?;
    }
}

/// The drain pod is there, and has this.
fn is_created_with(site: &Site<'_>, pointer: &str, value: &Value) -> Result<()> {
    let what = format!("the drain pod has {value} at {pointer}");
    site.eventually_pod(&what, "web-0", |pod| pod.pointer(pointer) == Some(value))?;
    Ok(())
}
