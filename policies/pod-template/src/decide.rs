//! What `pod-template` renders.

use tidegate_policy::serde_json::{self, Value};
use tidegate_policy::{Pod, PodTemplate, Rendering, Situation, Traffic, unknown_cause};

/// The annotations that hold a template as JSON. Where a set bears both, the first counts.
const ANNOTATIONS: [&str; 2] = [
    "statefulsets.kubernetes.io/scaledown-pod-template",
    "statefulsets.kubernetes.io/drainer-pod-template",
];

/// The annotation whose text is this policy's config.
const CONFIG: &str = "tidegate.dev/policy-config";

/// The template of the annotation, with the restart policy `OnFailure` where it gives none, as the predecessor had it.
pub(crate) fn render(at: &Situation) -> Rendering {
    match unknown_cause(at).map_or_else(|| pod(at), Err) {
        Ok(pod) => Rendering::Pod(pod),
        Err(reason) => Rendering::Refuse(reason),
    }
}

fn pod(at: &Situation) -> Result<Pod, String> {
    let discard = discard(&at.config)?;
    let (annotation, text) = annotated(&at.set)?;
    let mut template = PodTemplate::parse(&text).map_err(|error| {
        format!("annotation {annotation}: {error}; it must hold a PodTemplateSpec as JSON")
    })?;
    if let Some(claim) = template.unmounted_claims(at, &discard).first() {
        return Err(format!(
            "annotation {annotation}: no container mounts the claim template `{claim}`; add a volumeMount of that name, or, if \
             it holds nothing worth moving, set annotation {CONFIG} to {{\"discard\":[\"{claim}\"]}}"
        ));
    }
    if template.restart_policy().is_none() {
        template.set_restart_policy("OnFailure");
    }
    Ok(Pod { template: template.into_json(), traffic: Traffic::None, discard, state: None })
}

/// The annotation that is there, by its key and its text.
fn annotated(set: &str) -> Result<(&'static str, String), String> {
    let set: Value = serde_json::from_str(set)
        .map_err(|error| format!("the StatefulSet that the host showed is no JSON: {error}"))?;
    let annotations = &set["metadata"]["annotations"];
    ANNOTATIONS
        .into_iter()
        .find_map(|key| annotations[key].as_str().map(|text| (key, text.to_owned())))
        .ok_or_else(|| {
            format!(
                "the set has no annotation {}: put a PodTemplateSpec there as JSON",
                ANNOTATIONS[0]
            )
        })
}

/// The claim templates that the set's owner gives up: the config is empty or `{"discard": [NAME, ...]}`.
fn discard(config: &str) -> Result<Vec<String>, String> {
    if config.trim().is_empty() {
        return Ok(Vec::new());
    }
    let wrong = || {
        format!("annotation {CONFIG}: `pod-template` takes {{\"discard\": [NAME, ...]}} or nothing")
    };
    let config: Value =
        serde_json::from_str(config).map_err(|error| format!("{}; {error}", wrong()))?;
    let config = config.as_object().ok_or_else(wrong)?;
    if let Some(key) = config.keys().find(|key| *key != "discard") {
        return Err(format!("{}; it does not know the key `{key}`", wrong()));
    }
    let names =
        config.get("discard").map_or(Some(&[][..]), |list| list.as_array().map(Vec::as_slice));
    let names: Option<Vec<String>> =
        names.ok_or_else(wrong)?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::serde_json::json;
    use tidegate_policy::{Verdict, testing};

    /// The template of the predecessor's own README.
    const TEMPLATE: &str = r#"{
        "metadata": {"labels": {"app": "datastore-cleanup"}},
        "spec": {"containers": [{
            "name": "cleanup", "image": "my-cleanup-container",
            "volumeMounts": [{"name": "data", "mountPath": "/var/data"}]
        }]}
    }"#;

    fn annotated_with(annotations: Value) -> Situation {
        let mut set = testing::set("datastore", 2);
        set["metadata"]["annotations"] = annotations;
        Situation { set: set.to_string(), ..testing::situation("datastore", 2, 2) }
    }

    fn rendered(at: &Situation) -> (Value, Pod) {
        let Rendering::Pod(pod) = render(at) else {
            panic!("expected a pod, got {:?}", render(at))
        };
        (serde_json::from_str(&pod.template).expect("the template is JSON"), pod)
    }

    fn refusal(at: &Situation) -> String {
        let Rendering::Refuse(reason) = render(at) else {
            panic!("expected a refusal, got {:?}", render(at))
        };
        reason
    }

    #[test]
    fn the_predecessors_template_is_served_with_on_failure() {
        let (template, pod) = rendered(&annotated_with(json!({ ANNOTATIONS[0]: TEMPLATE })));
        let mut expected: Value = serde_json::from_str(TEMPLATE).expect("it is JSON");
        expected["spec"]["restartPolicy"] = json!("OnFailure");
        assert_eq!(template, expected);
        assert_eq!((pod.traffic, pod.discard, pod.state), (Traffic::None, Vec::new(), None));
    }

    #[test]
    fn the_older_annotation_is_served_where_the_newer_is_absent() {
        let older = TEMPLATE.replace("my-cleanup-container", "older");
        let (template, _) = rendered(&annotated_with(json!({ ANNOTATIONS[1]: older })));
        assert_eq!(template["spec"]["containers"][0]["image"], "older");
        let both = json!({ ANNOTATIONS[0]: TEMPLATE, ANNOTATIONS[1]: older });
        let (template, _) = rendered(&annotated_with(both));
        assert_eq!(template["spec"]["containers"][0]["image"], "my-cleanup-container");
    }

    #[test]
    fn a_restart_policy_and_unknown_fields_are_kept() {
        let text = TEMPLATE
            .replace(r#""spec": {"#, r#""spec": {"restartPolicy": "Never", "later": [1], "#);
        let (template, _) = rendered(&annotated_with(json!({ ANNOTATIONS[0]: text })));
        assert_eq!(template["spec"]["restartPolicy"], "Never");
        assert_eq!(template["spec"]["later"], json!([1]));
    }

    #[test]
    fn a_claim_that_is_not_mounted_is_never_given_up_unasked() {
        let mut at = annotated_with(json!({ ANNOTATIONS[0]: TEMPLATE }));
        at.claims.push(testing::claim("datastore", "cache", 2));
        let reason = refusal(&at);
        assert!(reason.contains(ANNOTATIONS[0]) && reason.contains("`cache`"), "{reason}");
        assert!(reason.contains(r#"{"discard":["cache"]}"#), "{reason}");
        at.config = r#"{"discard":["cache"]}"#.to_owned();
        assert_eq!(rendered(&at).1.discard, ["cache"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (annotations, config, named) in [
            (json!({}), "", ANNOTATIONS[0]),
            (json!({ ANNOTATIONS[0]: "{" }), "", "line 1 column 1"),
            (json!({ ANNOTATIONS[1]: "[]" }), "", "must be a JSON object"),
            (json!({ ANNOTATIONS[0]: "{\"spec\":{}}" }), "", "names no container"),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), "[1]", CONFIG),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), r#"{"discard":"data"}"#, CONFIG),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), r#"{"drop":[]}"#, "`drop`"),
        ] {
            let at = Situation { config: config.to_owned(), ..annotated_with(annotations) };
            let reason = refusal(&at);
            assert!(reason.contains(named), "{reason} does not name {named}");
        }
    }

    #[test]
    fn exit_code_0_is_the_proof_and_an_eviction_is_none() {
        use tidegate_policy::Policy as _;
        let at = annotated_with(json!({ ANNOTATIONS[0]: TEMPLATE }));
        let judge = crate::FromAnnotation::judge;
        let done = testing::ended_by_itself("cleanup", "");
        assert!(matches!(judge(&at, &done), Verdict::Complete(_)));
        assert!(matches!(judge(&at, &testing::evicted("cleanup")), Verdict::Retry(_)));
    }
}
