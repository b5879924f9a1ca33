use tidegate_core::seen::{Anchorage, Binding, Deletion, Enrolment};

use super::*;

fn claims() -> BTreeMap<String, Claim> {
    let claim = Claim {
        name: "data-web-2".into(),
        uid: "claim-uid".into(),
        resource_version: "7".into(),
        enrolment: Enrolment::Here,
        binding: Binding::Bound,
        deletion: Deletion::None,
        deleted_at: None,
        anchorage: Anchorage::Loose,
    };
    BTreeMap::from([("data".to_owned(), claim)])
}

fn make_with(template: &Value, discard: &[String], allowed: &[Ask]) -> Result<PodBody, Rejection> {
    let claims = claims();
    let plain = self::template();
    let own = asks(plain["spec"].as_object().unwrap(), &BTreeSet::new());
    let of_metadata = asks_of_metadata(plain["metadata"].as_object().unwrap());
    let own = own.into_iter().chain(of_metadata).map(|(ask, _)| ask);
    let allowed = own.chain(allowed.iter().cloned()).collect();
    let marks = Marks {
        version: Marks::VERSION,
        set: "web".into(),
        set_uid: "set-uid".into(),
        generation: 2,
        ordinal: 2,
        attempt: 1,
        policy_namespace: "tidegate".into(),
        policy: "exec/policy.wasm@sha256:d".into(),
        digest: "d".into(),
        config: String::new(),
        containers: Containers::default(),
        claims: BTreeMap::from([("data".to_owned(), "claim-uid".to_owned())]),
        owner: "data".into(),
        orphan_since_ms: 0,
    };
    let maker = Maker {
        namespace: "ns",
        name: "web-2",
        service: Some("web"),
        claims: &claims,
        traffic: Traffic::None,
        discard,
        allowed: &allowed,
        state: None,
        marks,
    };
    maker.make(&template.to_string())
}

fn make(template: &Value) -> Result<PodBody, Rejection> {
    make_with(template, &[], &[])
}

/// The set's own template, hardened as far as it goes.
fn template() -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": {
        "automountServiceAccountToken": false,
        "hostUsers": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsGroup": 1000,
            "supplementalGroupsPolicy": "Strict",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": "drain",
            "image": "i",
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            "securityContext": hardened(),
        }],
    } })
}

fn hardened() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
}

fn with(pointer: &str, key: &str, value: Value) -> Value {
    let mut template = template();
    template.pointer_mut(pointer).unwrap()[key] = value;
    template
}

fn pod(template: &Value) -> Value {
    serde_json::from_str(&make(template).unwrap().manifest).unwrap()
}

#[test]
fn the_host_says_who_the_pod_is() {
    let pod = pod(&template());
    assert_eq!(pod["metadata"]["name"], "web-2");
    assert_eq!(pod["metadata"]["namespace"], "ns");
    assert_eq!(pod["metadata"]["labels"]["app"], "web");
    assert_eq!(pod["metadata"]["labels"]["tidegate.dev/set-uid"], "set-uid");
    assert_eq!(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "web-2");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "claim-uid");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], true);
    assert_eq!(pod["spec"]["hostname"], "web-2");
    assert_eq!(pod["spec"]["subdomain"], "web");
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["readinessGates"][0]["conditionType"], NEVER_READY);
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-web-2" } });
    assert_eq!(pod["spec"]["volumes"], json!([volume]));
    let marks = pod["metadata"]["annotations"][marks::DRAIN].as_str().unwrap();
    assert_eq!(Marks::parse(marks).unwrap().containers.main, ["drain"]);
}

#[test]
fn what_ends_a_drain_from_outside_is_taken_out_and_said() {
    let mut template = template();
    let container = &mut template["spec"]["containers"][0];
    for deadly in ["livenessProbe", "startupProbe", "lifecycle", "resizePolicy"] {
        container[deadly] = json!({ "exec": { "command": ["true"] } });
    }
    container["readinessProbe"] = json!({ "exec": { "command": ["true"] } });
    let body = make(&template).unwrap();
    assert_eq!(body.removed.len(), 4);
    let pod: Value = serde_json::from_str(&body.manifest).unwrap();
    let left = pod["spec"]["containers"][0].as_object().unwrap();
    let left: Vec<&str> = left.keys().map(String::as_str).collect();
    assert_eq!(left, ["image", "name", "readinessProbe", "securityContext", "volumeMounts"]);
}

#[test]
fn a_drain_pod_keeps_its_name_until_its_processes_have_stopped() {
    let grace = |secs: i64| {
        let template = with("/spec", "terminationGracePeriodSeconds", json!(secs));
        pod(&template)["spec"]["terminationGracePeriodSeconds"].clone()
    };
    assert_eq!(
        (grace(0), grace(-1), grace(1), grace(300)),
        (json!(1), json!(1), json!(1), json!(300))
    );
}

#[test]
fn a_restart_policy_that_ends_is_kept_and_always_is_not() {
    assert_eq!(
        pod(&with("/spec", "restartPolicy", json!("OnFailure")))["spec"]["restartPolicy"],
        "OnFailure"
    );
    assert_eq!(
        pod(&with("/spec", "restartPolicy", json!("Always")))["spec"]["restartPolicy"],
        "Never"
    );
}

#[test]
fn every_claim_is_mounted_or_named_in_discard() {
    let unmounted = with("/spec/containers/0", "volumeMounts", json!([]));
    assert_eq!(make(&unmounted).unwrap_err().field, "spec.containers[*].volumeMounts");
    assert!(make_with(&unmounted, &["data".to_owned()], &[]).is_ok());
    assert_eq!(make_with(&unmounted, &["logs".to_owned()], &[]).unwrap_err().field, "discard");
}

#[test]
fn a_volume_of_the_claims_name_is_the_claims() {
    let template = with("/spec", "volumes", json!([{ "name": "data", "emptyDir": {} }]));
    let pod = pod(&template);
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-web-2");
}

#[test]
fn what_a_template_may_not_carry_is_refused_by_its_field() {
    let always = json!("Always");
    let rules = json!([{ "action": "Restart" }]);
    for (template, field) in [
        (with("", "status", json!({})), "status"),
        (with("/metadata", "name", json!("x")), "metadata.name"),
        (with("/metadata", "namespace", json!("x")), "metadata.namespace"),
        (with("/metadata", "generateName", json!("x")), "metadata.generateName"),
        (with("/metadata", "finalizers", json!(["x"])), "metadata.finalizers"),
        (with("/metadata", "ownerReferences", json!([])), "metadata.ownerReferences"),
        (with("/metadata/labels", "tidegate.dev/x", json!("y")), "metadata.labels[tidegate.dev/x]"),
        (with("/metadata/labels", "a", json!(1)), "metadata.labels[a]"),
        (with("/spec", "containers", json!([])), "spec.containers"),
        (with("/spec", "containers", json!({})), "spec.containers"),
        (with("/spec", "ephemeralContainers", json!([{}])), "spec.ephemeralContainers"),
        (with("/spec/containers/0", "name", json!("")), "spec.containers[0].name"),
        (with("/spec/containers/0", "restartPolicy", always), "spec.containers[0].restartPolicy"),
        (
            with("/spec/containers/0", "restartPolicyRules", rules),
            "spec.containers[0].restartPolicyRules",
        ),
        (json!([]), "template"),
    ] {
        assert_eq!(make(&template).unwrap_err().field, field);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a line for each road")]
fn more_than_the_set_has_is_refused_unless_granted() {
    let container = "/spec/containers/0";
    let volumes = |source: Value| with("/spec", "volumes", json!([source]));
    let env = |key: &str| {
        with(
            container,
            "env",
            json!([{ "name": "A", "valueFrom": { key: { "name": "n", "key": "k" } } }]),
        )
    };
    let security = |key: &str, value: Value| {
        let mut context = hardened();
        context[key] = value;
        with(container, "securityContext", context)
    };
    let csi = json!({ "name": "v", "csi": { "driver": "d", "volumeAttributes": { "a": "b" } } });
    for (template, kind, name) in [
        (with("/spec", "serviceAccountName", json!("a")), "serviceAccount", "a"),
        (with("/spec", "imagePullSecrets", json!([{ "name": "n" }])), "secret", "n"),
        (with("/spec", "hostNetwork", json!(true)), "host", "hostNetwork"),
        (with("/spec", "nodeName", json!("n")), "nodeName", "n"),
        (with("/spec", "priorityClassName", json!("p")), "priorityClassName", "p"),
        (with("/spec", "runtimeClassName", json!("r")), "runtimeClassName", "r"),
        (volumes(json!({ "name": "v", "secret": { "secretName": "n" } })), "secret", "n"),
        (volumes(json!({ "name": "v", "configMap": { "name": "n" } })), "configMap", "n"),
        (volumes(json!({ "name": "v", "hostPath": { "path": "/" } })), "hostPath", "/"),
        (volumes(json!({ "name": "v", "csi": { "driver": "d" } })), "csi", "d"),
        (volumes(json!({ "name": "v", "nfs": {} })), "volume", "nfs"),
        (volumes(json!({ "name": "v", "ephemeral": {} })), "volume", "ephemeral"),
        (
            volumes(json!({ "name": "v", "persistentVolumeClaim": { "claimName": "data-web-0" } })),
            "claim",
            "data-web-0",
        ),
        (
            volumes(
                json!({ "name": "v", "projected": { "sources": [{ "secret": { "name": "n" } }] } }),
            ),
            "secret",
            "n",
        ),
        (
            volumes(
                json!({ "name": "v", "projected": { "sources": [{ "serviceAccountToken": { "audience": "t" } }] } }),
            ),
            "token",
            "t",
        ),
        (env("secretKeyRef"), "secret", "n"),
        (env("configMapKeyRef"), "configMap", "n"),
        (with(container, "envFrom", json!([{ "secretRef": { "name": "n" } }])), "secret", "n"),
        (with(container, "ports", json!([{ "containerPort": 1, "hostPort": 1 }])), "hostPort", "1"),
        (security("privileged", json!(true)), "privilege", "privileged"),
        (security("runAsUser", json!(0)), "privilege", "root"),
        (
            security("allowPrivilegeEscalation", json!(true)),
            "privilege",
            "allowPrivilegeEscalation",
        ),
        (
            security("capabilities", json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] })),
            "capability",
            "NET_ADMIN",
        ),
        (
            security("seccompProfile", json!({ "type": "Unconfined" })),
            "privilege",
            "seccompProfile-Unconfined",
        ),
        (security("capabilities", Value::Null), "capability", "default-set"),
        (
            security("allowPrivilegeEscalation", Value::Null),
            "privilege",
            "allowPrivilegeEscalation",
        ),
        (with("/spec/securityContext", "runAsNonRoot", Value::Null), "privilege", "root"),
        (
            with("/spec/securityContext", "seccompProfile", Value::Null),
            "privilege",
            "seccompProfile-none",
        ),
        (with("/spec/securityContext", "runAsGroup", Value::Null), "privilege", "root-group"),
        (with("/spec/securityContext", "runAsGroup", json!(0)), "privilege", "root-group"),
        (with("/spec/securityContext", "fsGroup", json!(0)), "privilege", "root-group"),
        (
            with("/spec/securityContext", "supplementalGroups", json!([5, 0])),
            "privilege",
            "root-group",
        ),
        (
            with("/spec/securityContext", "supplementalGroupsPolicy", json!("Merge")),
            "privilege",
            "groups-of-image",
        ),
        (
            security("seLinuxOptions", json!({ "level": "s0:c1,c2" })),
            "privilege",
            "seLinuxOptions.level=s0:c1,c2",
        ),
        (with("/spec", "automountServiceAccountToken", Value::Null), "token", "automounted"),
        (with("/spec", "hostUsers", json!(true)), "host", "hostUsers"),
        (with("/spec", "shareProcessNamespace", json!(true)), "host", "shareProcessNamespace"),
        (with("/metadata/labels", "role", json!("admin")), "label", "role=admin"),
        (
            with("/metadata", "annotations", json!({ "iam/role": "admin" })),
            "annotation",
            "iam/role=admin",
        ),
        (
            with(
                container,
                "readinessProbe",
                json!({ "httpGet": { "host": "10.0.0.1", "port": 1 } }),
            ),
            "host",
            "10.0.0.1",
        ),
    ] {
        let rejection = make(&template).unwrap_err();
        let ask = Ask { kind, name: name.to_owned() };
        assert_eq!(rejection.mend, ask.mend(), "{}", rejection.field);
        // What a person does: the very words of the mend become the annotation.
        let (_, words) = rejection.mend.split_once("tidegate.dev/grant: ").unwrap();
        assert_eq!(parse_grants(words).unwrap(), std::slice::from_ref(&ask));
        make_with(&template, &[], &[ask]).unwrap();
    }
    let attribute = Ask { kind: "csi", name: "d/a=b".to_owned() };
    let driver = Ask { kind: "csi", name: "d".to_owned() };
    assert!(make_with(&volumes(csi.clone()), &[], std::slice::from_ref(&driver)).is_err());
    make_with(&volumes(csi), &[], &[driver, attribute]).unwrap();
}

#[test]
fn the_grant_of_a_key_stands_for_every_value() {
    let long = "x".repeat(2_000);
    for (kind, pointer, field) in
        [("label", "/metadata/labels", "labels"), ("annotation", "/metadata", "annotations")]
    {
        let value = if kind == "label" { json!(long) } else { json!({ "role": long }) };
        let key = if kind == "label" { "role" } else { "annotations" };
        let template = with(pointer, key, value);
        let rejection = make(&template).unwrap_err();
        assert_eq!(rejection.field, format!("metadata.{field}[role]"));
        assert!(rejection.mend.ends_with(&format!("tidegate.dev/grant: {kind}=role")));
        let role = Ask { kind, name: "role".to_owned() };
        make_with(&template, &[], &[role]).unwrap();
    }
    let secret = with("/spec", "imagePullSecrets", json!([{ "name": "a=b" }]));
    let half = Ask { kind: "secret", name: "a".to_owned() };
    assert!(make_with(&secret, &[], &[half]).is_err());
}

#[test]
fn a_reference_to_nothing_in_particular_cannot_be_granted() {
    let nameless = with("/spec", "imagePullSecrets", json!([{}]));
    let rejection = make(&nameless).unwrap_err();
    assert!(rejection.mend.contains("names none"), "{}", rejection.mend);
    assert!(!rejection.mend.contains("tidegate.dev/grant"), "{}", rejection.mend);
}

#[test]
fn a_bomb_of_brackets_is_no_template() {
    let deep = format!("{{\"spec\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let claims = claims();
    assert!(claims.contains_key("data"));
    assert_eq!(parts(&deep).unwrap_err().field, "template");
    assert_eq!(parts("{").unwrap_err().field, "template");
}
