//! What `pod-template` renders.

use tidegate_policy::{
    CONFIG_ANNOTATION, ConfigKeys, Pod, PodTemplate, Proposal, Rendering, Situation, StatefulSet,
    check_discard, check_mounts, unknown_cause,
};

/// The annotations that hold a template as JSON. Where a set bears both, the first counts.
const ANNOTATIONS: [&str; 2] = [
    "statefulsets.kubernetes.io/scaledown-pod-template",
    "statefulsets.kubernetes.io/drainer-pod-template",
];

/// The template of the annotation, with the restart policy `OnFailure` where it gives none, as the predecessor had it.
pub(crate) fn render(at: &Situation) -> Rendering {
    let pod = || {
        let set = StatefulSet::parse(&at.set)?;
        pod(&set, &at.config, at.claims.iter().map(|claim| claim.template.as_str()))
    };
    unknown_cause(at).map_or_else(pod, Err).map_or_else(Rendering::Refuse, Rendering::Pod)
}

/// What is wrong with the annotation or the config.
pub(crate) fn validate(of: &Proposal) -> Result<(), String> {
    let set = StatefulSet::parse(&of.set)?;
    pod(&set, &of.config, set.claim_templates()).map(|_| ())
}

fn pod<'a>(
    set: &StatefulSet,
    config: &str,
    claims: impl IntoIterator<Item = &'a str>,
) -> Result<Pod, String> {
    let discard = ConfigKeys::read(config, |keys| keys.texts("discard"))?.unwrap_or_default();
    check_discard(&discard, &set.claim_templates())
        .map_err(|wrong| format!("annotation {CONFIG_ANNOTATION}: {wrong}"))?;
    let (annotation, text) = annotated(set)?;
    let mut template = PodTemplate::parse(text).map_err(|error| {
        format!("annotation {annotation}: {error}; it must hold a PodTemplateSpec as JSON")
    })?;
    check_mounts(&template, claims, &discard).map_err(|lost| {
        format!("annotation {annotation}: {lost} of annotation {CONFIG_ANNOTATION}")
    })?;
    if template.restart_policy().is_none() {
        template.set_restart_policy("OnFailure");
    }
    Ok(Pod::new(template, discard))
}

/// The annotation that is there, by its key and its text.
fn annotated(set: &StatefulSet) -> Result<(&'static str, &str), String> {
    let found = ANNOTATIONS.into_iter().find_map(|key| Some((key, set.annotation(key)?)));
    found.ok_or_else(|| {
        format!("the set has no annotation {}: put a PodTemplateSpec there as JSON", ANNOTATIONS[0])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::serde_json::{self, Value, json};
    use tidegate_policy::{Traffic, Verdict, testing};

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
        let mut set = testing::set("datastore", 2);
        set["metadata"]["annotations"][ANNOTATIONS[0]] = json!(TEMPLATE);
        set["spec"]["volumeClaimTemplates"] =
            json!([{"metadata": {"name": "data"}}, {"metadata": {"name": "cache"}}]);
        let mut at = Situation { set: set.to_string(), ..testing::situation("datastore", 2, 2) };
        at.claims.push(testing::claim("datastore", "cache", 2));
        let reason = refusal(&at);
        assert!(reason.contains(ANNOTATIONS[0]) && reason.contains("`cache`"), "{reason}");
        at.config = r#"{"discard":["cache"]}"#.to_owned();
        assert_eq!(rendered(&at).1.discard, ["cache"]);
    }

    /// Each is put to both answers.
    #[test]
    fn what_is_wrong_is_said_at_once_and_refused_later() {
        for (annotations, config, named) in [
            (json!({ ANNOTATIONS[0]: TEMPLATE }), "", None),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), r#"{"discard":["data"]}"#, None),
            (json!({}), "", Some(ANNOTATIONS[0])),
            (json!({ ANNOTATIONS[0]: "{" }), "", Some("line 1 column 1")),
            (json!({ ANNOTATIONS[1]: "[]" }), "", Some("must be a JSON object")),
            (json!({ ANNOTATIONS[0]: "{\"spec\":{}}" }), "", Some("names no container")),
            (json!({ ANNOTATIONS[0]: TEMPLATE.replace("data\"", "dtaa\"") }), "", Some("`data`")),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), "[1]", Some(CONFIG_ANNOTATION)),
            (
                json!({ ANNOTATIONS[0]: TEMPLATE }),
                r#"{"discard":"data"}"#,
                Some("`discard` must be"),
            ),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), r#"{"discard":["dtaa"]}"#, Some("names `dtaa`")),
            (json!({ ANNOTATIONS[0]: TEMPLATE }), r#"{"drop":[]}"#, Some("`drop`")),
        ] {
            let at = Situation { config: config.to_owned(), ..annotated_with(annotations) };
            let proposal =
                Proposal { set: at.set.clone(), ..testing::proposal("datastore", config) };
            match (validate(&proposal), named) {
                (Ok(()), None) => assert!(matches!(render(&at), Rendering::Pod(_)), "{config}"),
                (Err(wrong), Some(named)) => {
                    assert!(wrong.contains(named), "{wrong} does not name {named}");
                    assert_eq!(refusal(&at), wrong);
                }
                (answer, expected) => panic!("{config}: {answer:?}, expected {expected:?}"),
            }
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
