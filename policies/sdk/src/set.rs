//! The StatefulSet that a policy is shown.

use crate::PodTemplate;
use serde_json::Value;

/// A StatefulSet as the host shows it, in [`Situation::set`](crate::Situation) and in [`Proposal::set`](crate::Proposal).
#[derive(Clone, Debug, PartialEq)]
pub struct StatefulSet {
    object: Value,
}

impl StatefulSet {
    /// Reads its text.
    ///
    /// # Errors
    /// A sentence for a person where it is no JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map(|object| Self { object })
            .map_err(|error| format!("the StatefulSet that the host showed is no JSON: {error}"))
    }

    /// An annotation of the set.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][key].as_str()
    }

    /// The name of the service that gives the members their addresses.
    pub fn service_name(&self) -> Option<&str> {
        self.object["spec"]["serviceName"].as_str()
    }

    /// The names of the set's claim templates, in their order.
    pub fn claim_templates(&self) -> Vec<&str> {
        let templates = self.object["spec"]["volumeClaimTemplates"].as_array();
        let names = templates.into_iter().flatten().map(|one| one["metadata"]["name"].as_str());
        names.flatten().collect()
    }

    /// The set's own pod template.
    ///
    /// # Errors
    /// A sentence for a person where there is none, or one that cannot be read.
    pub fn into_pod_template(mut self) -> Result<PodTemplate, String> {
        let template = self.object.get_mut("spec").and_then(|spec| spec.get_mut("template"));
        let template =
            template.ok_or("the StatefulSet that the host showed has no spec.template")?;
        PodTemplate::from_value(template.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_a_policy_needs_of_a_set_is_found() {
        let mut object = testing::set("web", 2);
        object["metadata"]["annotations"]["a"] = Value::from("b");
        let set = StatefulSet::parse(&object.to_string()).expect("it is JSON");
        assert_eq!((set.annotation("a"), set.annotation("b")), (Some("b"), None));
        assert_eq!(set.service_name(), Some("web"));
        assert_eq!(set.claim_templates(), ["data"]);
        let template = set.into_pod_template().expect("the set has one");
        assert_eq!(
            (template.main_containers(), template.restart_policy()),
            (vec!["web"], Some("Always"))
        );
    }

    #[test]
    fn a_set_that_cannot_be_read_is_told() {
        let wrong = StatefulSet::parse("{").expect_err("it is cut off");
        assert!(wrong.contains("no JSON"), "{wrong}");
        for text in ["[]", "{}", "1"] {
            let set = StatefulSet::parse(text).expect("it is JSON");
            assert_eq!((set.claim_templates(), set.service_name()), (Vec::new(), None));
            let wrong = set.into_pod_template().expect_err(text);
            assert!(wrong.contains("no spec.template"), "{wrong}");
        }
    }
}
