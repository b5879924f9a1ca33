//! What a policy renders: `{"template": {}, "own": {}, "grant": "", "discard": [], "claims": [], "service": "", "traffic": ""}`. Out comes a whole pod
//! that has nothing but what the set has and was granted, or a refusal by its field that says what to grant.

mod taken;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use serde_json::{Map, Value};
use tidegate::{
    drain_pod::{
        Ask, Maker, NEVER_READY, Rejection, Traffic, asks, asks_of_metadata, parse_grants,
    },
    marks::{self, Containers, Marks},
};
use tidegate_core::{
    PodBody,
    seen::{Anchorage, Binding, Claim, Deletion, Enrolment},
};

use crate::annotations::granted_by;
use taken::Taken;
pub use words::WORDS;

/// How many grants one after the other a refusal may ask for. A template of one input asks for fewer.
const GRANTS_MAX: usize = 500;

/// One input, read.
struct Input {
    template: String,
    own: Value,
    grants: Vec<Ask>,
    discard: Vec<String>,
    claims: BTreeMap<String, Claim>,
    owner: String,
    service: Option<String>,
    traffic: Traffic,
}

/// Asked for, refused, granted, and asked for again, until it is a pod or is refused for what no grant mends.
pub fn holds(bytes: &[u8]) {
    let Some(input) = Input::read(bytes) else {
        return;
    };
    let mut allowed = input.allowed();
    for _ in 0..GRANTS_MAX {
        match input.make(&allowed) {
            Ok(body) => return input.is_whole(&body, &allowed),
            Err(Rejection { field, mend }) => {
                assert!(!field.is_empty() && !mend.is_empty());
                let Some(granted) = granted_by(&mend) else {
                    return;
                };
                for grant in granted {
                    assert!(allowed.insert(grant.clone()), "{grant:?} is refused although granted");
                }
            }
        }
    }
    panic!("a template that asks for more than {GRANTS_MAX} things");
}

impl Input {
    fn read(bytes: &[u8]) -> Option<Self> {
        let input: Value = serde_json::from_slice(bytes).ok()?;
        let texts = |key: &str| -> Vec<String> {
            let items = input.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
        };
        let text = |key: &str| input.get(key).and_then(Value::as_str);
        let template = input.get("template")?;
        let templates = texts("claims");
        Some(Self {
            template: template.as_str().map_or_else(|| template.to_string(), str::to_owned),
            own: input.get("own").cloned().unwrap_or_default(),
            grants: parse_grants(text("grant").unwrap_or_default()).ok()?,
            discard: texts("discard"),
            owner: templates.first().cloned().unwrap_or_default(),
            claims: templates.iter().map(|name| (name.clone(), claim(name))).collect(),
            service: text("service").map(str::to_owned),
            traffic: match text("traffic") {
                Some("as-labelled") => Traffic::AsLabelled,
                Some(_) | None => Traffic::None,
            },
        })
    }

    /// What the set's own template asks for, and what was granted.
    fn allowed(&self) -> BTreeSet<Ask> {
        let fields = |key: &str| self.own.get(key).and_then(Value::as_object);
        let none = Map::new();
        let of_spec = asks(fields("spec").unwrap_or(&none), &BTreeSet::new());
        let of_metadata = asks_of_metadata(fields("metadata").unwrap_or(&none));
        let own = of_spec.into_iter().chain(of_metadata).map(|(ask, _)| ask);
        own.chain(self.grants.iter().cloned()).collect()
    }

    fn make(&self, allowed: &BTreeSet<Ask>) -> Result<PodBody, Rejection> {
        let uids = self.claims.iter().map(|(name, claim)| (name.clone(), claim.uid.clone()));
        let marks = Marks {
            version: Marks::VERSION,
            set: "web".to_owned(),
            set_uid: "set-uid".to_owned(),
            generation: 2,
            ordinal: 2,
            attempt: 1,
            policy_namespace: "tidegate".to_owned(),
            policy: "exec/policy.wasm@sha256:d".to_owned(),
            digest: "d".to_owned(),
            config: "{}".to_owned(),
            containers: Containers::default(),
            claims: uids.collect(),
            owner: self.owner.clone(),
            orphan_since_ms: 0,
        };
        let maker = Maker {
            namespace: "shop",
            name: "web-2",
            service: self.service.as_deref(),
            claims: &self.claims,
            traffic: self.traffic,
            discard: &self.discard,
            allowed,
            state: None,
            marks,
        };
        maker.make(&self.template)
    }

    /// All that the design says of a drain pod, read off what would be sent.
    fn is_whole(&self, body: &PodBody, allowed: &BTreeSet<Ask>) {
        let manifest: Value = serde_json::from_str(&body.manifest).expect("a manifest is JSON");
        assert_eq!(keys(&manifest), ["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!((&manifest["apiVersion"], &manifest["kind"]), (&"v1".into(), &"Pod".into()));
        self.is_who_the_host_says(&manifest["metadata"], body);
        self.ends(&manifest["spec"]);
        self.sees_every_claim(&manifest["spec"]);
        self.takes_nothing_more(manifest, allowed);
    }

    fn is_who_the_host_says(&self, metadata: &Value, body: &PodBody) {
        let fields = ["annotations", "labels", "name", "namespace", "ownerReferences"];
        assert_eq!(keys(metadata), fields, "no finalizer, no UID, no generated name");
        assert_eq!((&metadata["name"], &metadata["namespace"]), (&"web-2".into(), &"shop".into()));
        let owners = metadata["ownerReferences"].as_array().expect("a list");
        assert_eq!(owners.len(), 1);
        let owner = &owners[0];
        assert_eq!(owner["kind"], "PersistentVolumeClaim");
        assert_eq!(owner["uid"], format!("uid-of-{}", self.owner));
        assert_eq!(owner["controller"], true, "no set adopts it");
        let ours = |map: &Value| -> Vec<String> {
            keys(map).into_iter().filter(|key| key.starts_with("tidegate.dev/")).collect()
        };
        let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
        assert_eq!(
            (ours(labels), ours(annotations)),
            (vec![marks::SET_UID.to_owned()], vec![marks::DRAIN.to_owned()])
        );
        assert_eq!(labels[marks::SET_UID], "set-uid");
        assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "web-2");
        assert_eq!(labels["apps.kubernetes.io/pod-index"], "2");
        assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
        assert_eq!(annotations["karpenter.sh/do-not-disrupt"], "true");
        let marks =
            Marks::parse(annotations[marks::DRAIN].as_str().expect("a text")).expect("our marks");
        assert_eq!((&marks.owner, &marks.claims), (&body.owner, &body.claims));
        assert_eq!((marks.ordinal, marks.set_uid.as_str()), (2, "set-uid"));
    }

    /// Nothing ends its containers from outside, and nothing keeps them from ending.
    fn ends(&self, spec: &Value) {
        assert_eq!(spec["hostname"], "web-2");
        assert!(spec.get("hostnameOverride").is_none());
        let service = self.service.as_ref().filter(|service| !service.is_empty());
        assert_eq!(spec.get("subdomain").and_then(Value::as_str), service.map(String::as_str));
        assert!(matches!(spec["restartPolicy"].as_str(), Some("Never" | "OnFailure")));
        assert!(spec.get("ephemeralContainers").is_none_or(Value::is_null));
        let gates = spec["readinessGates"].as_array().into_iter().flatten();
        let gated = gates.into_iter().any(|gate| gate["conditionType"] == NEVER_READY);
        assert!(gated || self.traffic == Traffic::AsLabelled, "it is never ready");
        for (list, container) in containers(spec) {
            for deadly in ["livenessProbe", "startupProbe", "lifecycle", "resizePolicy"] {
                assert!(container.get(deadly).is_none(), "{deadly}");
            }
            assert!(container.get("restartPolicyRules").is_none_or(Value::is_null));
            let own_policy = container.get("restartPolicy").and_then(Value::as_str);
            assert!(list == "initContainers" || own_policy.is_none());
        }
        assert!(containers(spec).any(|(list, _)| list == "containers"));
    }

    fn sees_every_claim(&self, spec: &Value) {
        let volumes = spec["volumes"].as_array().expect("a list");
        for (template, claim) in &self.claims {
            let named: Vec<&Value> = volumes.iter().filter(|it| it["name"] == **template).collect();
            assert_eq!(named.len(), 1, "one volume for {template}");
            assert_eq!(named[0]["persistentVolumeClaim"]["claimName"], claim.name);
            assert_eq!(keys(named[0]), ["name", "persistentVolumeClaim"]);
            let mounted = containers(spec).any(|(_, container)| {
                let mounts = ["volumeMounts", "volumeDevices"].into_iter();
                let mut mounts =
                    mounts.flat_map(|key| container[key].as_array().into_iter().flatten());
                mounts.any(|mount| mount["name"] == **template)
            });
            assert!(
                mounted || self.discard.contains(template),
                "{template} is mounted or discarded"
            );
        }
    }

    /// As the API server would read it. What does not fit the types it would not take.
    fn takes_nothing_more(&self, manifest: Value, allowed: &BTreeSet<Ask>) {
        let rendered: Value = serde_json::from_str(&self.template).expect("it was taken");
        let pod = serde_json::from_value::<Pod>(manifest);
        let (Ok(own), Ok(pod)) = (serde_json::from_value::<PodTemplateSpec>(self.own.clone()), pod)
        else {
            return;
        };
        let marks = pod.metadata.annotations.as_ref().and_then(|it| it.get(marks::DRAIN));
        let marks = Marks::parse(marks.expect("it has marks")).expect("they are ours");
        let spec = pod.spec.expect("it has a spec");
        names_every_container(&marks, &spec);
        let own_spec = own.spec.unwrap_or_default();
        let no_metadata = Value::Object(Map::new());
        let of_own = Taken::by(&own_spec, self.own.get("metadata").unwrap_or(&no_metadata), &[]);
        let claims: Vec<String> = self.claims.keys().cloned().collect();
        let of_pod = Taken::by(&spec, rendered.get("metadata").unwrap_or(&no_metadata), &claims);
        let granted: BTreeSet<(&str, &str)> =
            allowed.iter().map(|ask| (ask.kind, ask.name.as_str())).collect();
        for (kind, name) in of_pod.things() {
            let by_key = name.split_once('=').map(|(key, _)| key);
            let by_key = by_key.filter(|_| matches!(*kind, "annotation" | "label" | "csi"));
            let is_granted = granted.contains(&(*kind, name.as_str()))
                || by_key.is_some_and(|key| granted.contains(&(*kind, key)));
            let is_own = of_own.things().contains(&(*kind, name.clone()));
            assert!(is_granted || is_own, "the pod takes {kind} {name:?}, which nobody gave it");
        }
    }
}

fn names_every_container(marks: &Marks, spec: &k8s_openapi::api::core::v1::PodSpec) {
    let main: Vec<&String> = spec.containers.iter().map(|it| &it.name).collect();
    assert_eq!(marks.containers.main.iter().collect::<Vec<_>>(), main);
    let inits = spec.init_containers.iter().flatten();
    let (sidecars, inits): (Vec<_>, Vec<_>) =
        inits.partition(|it| it.restart_policy.as_deref() == Some("Always"));
    let names = |of: Vec<&k8s_openapi::api::core::v1::Container>| -> Vec<String> {
        of.into_iter().map(|it| it.name.clone()).collect()
    };
    assert_eq!(
        (&marks.containers.sidecar, &marks.containers.init),
        (&names(sidecars), &names(inits))
    );
}

fn claim(template: &str) -> Claim {
    Claim {
        name: format!("{template}-web-2"),
        uid: format!("uid-of-{template}"),
        resource_version: "7".to_owned(),
        enrolment: Enrolment::Here,
        binding: Binding::Bound,
        deletion: Deletion::None,
        deleted_at: None,
        anchorage: Anchorage::Loose,
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["initContainers", "containers"].into_iter().flat_map(|list| {
        spec[list].as_array().into_iter().flatten().map(move |container| (list, container))
    })
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}
