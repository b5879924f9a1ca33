//! Claims of every kind that a drain pod can mount.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::site::{Site, gate, same_claim};
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] = &[
    test("claims::one_bound_late_and_resized_is_drained", bound_late),
    test("claims::one_for_a_single_pod_is_drained", single_pod),
    test("claims::one_that_no_container_mounts_goes_only_where_it_is_discarded", discarded),
];

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const VOLUMES: &str = "/api/v1/persistentvolumes";

/// `WaitForFirstConsumer`: a volume is made when the member is scheduled, and the drain pod goes to where it lies. Meanwhile somebody asks
/// for a larger one.
fn bound_late(site: &Site<'_>) -> Result<()> {
    let class = json!({
        "metadata": { "name": site.namespace },
        "provisioner": "kubernetes.io/host-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    site.world.api.create(CLASSES, &class)?;
    let _class = Removed { site, path: format!("{CLASSES}/{}", site.namespace) };
    site.start(&store(site, "ReadWriteOnce"))?;
    let claim = site.claim_uid("data-web-1")?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let larger = json!({ "spec": { "resources": { "requests": { "storage": "2Mi" } } } });
    site.world.api.merge(&site.path("v1", "persistentvolumeclaims", "data-web-1"), &larger)?;
    same_claim(site, "data-web-1", &claim)?;
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

/// `ReadWriteOncePod`: the drain pod can have it because the member is gone. The cluster's provisioner makes no such volumes, so these are
/// made by hand.
fn single_pod(site: &Site<'_>) -> Result<()> {
    let _volumes = [by_hand(site, 0)?, by_hand(site, 1)?];
    site.start(&store(site, "ReadWriteOncePod"))?;
    site.scale("web", 1)?;
    site.drains("web-1", 1)?;
    let names = site.sh("web-1", "cat /data/names")?;
    ensure!(names == "web-1\n", "the volume holds {names:?}");
    site.open_gate("web-1")?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "Drained", &["web-1"])?;
    Ok(())
}

/// A second container, which the drain leaves out, has a volume of its own. It is not given up unasked; where the config says that it holds
/// nothing worth moving, it goes with the other.
fn discarded(site: &Site<'_>) -> Result<()> {
    let config =
        |discard: Value| json!({ "script": gate(), "container": "member", "discard": discard });
    let store = Store::exec(&config(json!([]))).with_volumes(&["data", "cache"]);
    let member = store.set()["spec"]["template"]["spec"]["containers"][0].clone();
    let containers =
        json!([mounting(&member, "member", "data"), mounting(&member, "side", "cache")]);
    site.start(&store.with_spec(&json!({ "template": { "spec": { "containers": containers } } })))?;
    let claims = ["data-web-1", "cache-web-1"];
    let before = [site.claim_uid(claims[0])?, site.claim_uid(claims[1])?];
    site.scale("web", 1)?;
    site.told("web", "PolicyRefuses", &["web-1", "`cache`", "`discard`"])?;
    for (claim, before) in claims.iter().zip(&before) {
        site.left_alone(claim, before, "web-1")?;
    }
    let discards = config(json!(["cache"])).to_string();
    site.annotate("web", "tidegate.dev/policy-config", Some(&discards))?;
    let drain = site.drains("web-1", 1)?;
    let mounts = &drain["spec"]["containers"][0]["volumeMounts"];
    ensure!(!mounts.to_string().contains("/cache"), "the drain pod mounts the cache: {mounts}");
    site.open_gate("web-1")?;
    for claim in claims {
        site.gone(claim, "web-1")?;
    }
    Ok(())
}

/// A set whose claims are of the class that bears the namespace's name.
fn store(site: &Site<'_>, access: &str) -> Store {
    let claim = json!({
        "metadata": { "name": "data" },
        "spec": {
            "storageClassName": site.namespace,
            "accessModes": [access],
            "resources": { "requests": { "storage": "1Mi" } },
        },
    });
    let store = Store::exec(&json!({ "script": gate() }));
    store.with_spec(&json!({ "volumeClaimTemplates": [claim] }))
}

/// The same container under another name, with this volume alone.
fn mounting(container: &Value, name: &str, volume: &str) -> Value {
    let mut container = container.clone();
    container["name"] = name.into();
    container["volumeMounts"] = json!([{ "name": volume, "mountPath": format!("/{volume}") }]);
    container["command"] = json!(["sh", "-c", "trap 'exit 0' TERM; sleep 2147483647 & wait"]);
    if volume == "data" {
        let script = "trap 'exit 0' TERM; hostname >> /data/names; sleep 2147483647 & wait";
        container["command"] = json!(["sh", "-c", script]);
    }
    container
}

/// A volume for a claim of the class that bears the namespace's name. The cluster removes it, and what lies in it, when its claim is gone.
fn by_hand<'a>(site: &'a Site<'a>, number: u32) -> Result<Removed<'a>> {
    let name = format!("{}-{number}", site.namespace);
    let folder = format!("/tmp/hostpath_pv/{name}");
    let volume = json!({
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Mi" },
            "accessModes": ["ReadWriteOncePod"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": site.namespace,
            "hostPath": { "path": folder, "type": "DirectoryOrCreate" },
        },
    });
    site.world.api.create(VOLUMES, &volume).context("making a volume by hand")?;
    Ok(Removed { site, path: format!("{VOLUMES}/{name}") })
}

/// An object outside of the namespace, which goes when the test ends.
struct Removed<'a> {
    site: &'a Site<'a>,
    path: String,
}

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // The cluster may have removed it before.
        let _ = self.site.world.api.delete(&self.path, &json!({}));
    }
}
