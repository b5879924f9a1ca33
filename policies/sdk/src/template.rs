//! A pod template as JSON, which keeps the fields that this crate does not know.

use crate::{ContainerTemplate, Situation, StatefulSet};
use serde_json::{Map, Value, json};

/// The two lists of containers in a pod's spec.
const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

/// By this annotation of a pod template kubectl, too, chooses among several containers.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// A Kubernetes PodTemplateSpec. It holds the whole JSON object, so that fields which this crate does not know are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct PodTemplate {
    metadata: Map<String, Value>,
    spec: Map<String, Value>,
    /// Every field beside these two.
    rest: Map<String, Value>,
}

impl PodTemplate {
    /// The set's own pod template.
    ///
    /// # Errors
    /// A sentence for a person where the set cannot be read.
    pub fn of_set(at: &Situation) -> Result<Self, String> {
        StatefulSet::parse(&at.set)?.into_pod_template()
    }

    /// Reads the text of a PodTemplateSpec.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::from_value(serde_json::from_str(text).map_err(|error| error.to_string())?)
    }

    /// Takes a PodTemplateSpec that is parsed already.
    ///
    /// # Errors
    /// A sentence that says which field is missing or has another shape.
    pub fn from_value(value: Value) -> Result<Self, String> {
        let Value::Object(mut rest) = value else {
            return Err("a pod template must be a JSON object".to_owned());
        };
        let metadata = take_object(&mut rest, "metadata")?.unwrap_or_default();
        let spec = take_object(&mut rest, "spec")?.ok_or("`spec` is missing")?;
        for list in CONTAINER_LISTS {
            check_containers(&spec, list)?;
        }
        let template = Self { metadata, spec, rest };
        if template.main_containers().is_empty() {
            return Err("`spec.containers` names no container".to_owned());
        }
        Ok(template)
    }

    /// The template as JSON text.
    pub fn into_json(self) -> String {
        let mut whole = self.rest;
        whole.insert("metadata".to_owned(), Value::Object(self.metadata));
        whole.insert("spec".to_owned(), Value::Object(self.spec));
        // Writing a value whose keys are strings into memory cannot fail. `Value::to_string` would bring the code for indented
        // text into every policy.
        serde_json::to_string(&whole).unwrap_or_default()
    }

    /// The names of the main containers, in their order.
    pub fn main_containers(&self) -> Vec<&str> {
        self.names("containers")
    }

    /// The names of the init containers, native sidecars among them, in their order.
    pub fn init_containers(&self) -> Vec<&str> {
        self.names("initContainers")
    }

    /// The name of the main container where there is but one; else the one that the annotation
    /// `kubectl.kubernetes.io/default-container` names.
    ///
    /// # Errors
    /// A sentence that lists the main containers, where neither says which.
    pub fn only_container(&self) -> Result<&str, String> {
        let names = self.main_containers();
        match (names.as_slice(), self.annotation(DEFAULT_CONTAINER)) {
            (&[name], _) | (_, Some(name)) => Ok(name),
            (several, None) => {
                Err(format!("the pod template has several containers: {}", quoted(several)))
            }
        }
    }

    /// A container of that name, main or init.
    ///
    /// # Errors
    /// A sentence that lists the containers there are.
    pub fn container(&mut self, name: &str) -> Result<ContainerTemplate<'_>, String> {
        let missing = self.no_such_container(name);
        CONTAINER_LISTS
            .iter()
            .find(|list| self.names(list).contains(&name))
            .and_then(|list| self.spec.get_mut(*list)?.as_array_mut())
            .and_then(|containers| containers.iter_mut().find(|one| one["name"] == name))
            .and_then(Value::as_object_mut)
            .map(ContainerTemplate::new)
            .ok_or(missing)
    }

    /// Leaves out every container, main or init, that is not named in `kept`.
    ///
    /// # Errors
    /// A sentence that lists the containers there are, where `kept` names another or no main container would be left. The template
    /// is then as it was.
    pub fn keep_containers(&mut self, kept: &[&str]) -> Result<(), String> {
        for name in kept {
            if !self.main_containers().contains(name) && !self.init_containers().contains(name) {
                return Err(self.no_such_container(name));
            }
        }
        if !self.main_containers().iter().any(|name| kept.contains(name)) {
            return Err(format!(
                "no main container would be left; there are {}",
                quoted(&self.main_containers())
            ));
        }
        for list in CONTAINER_LISTS {
            if let Some(containers) = self.spec.get_mut(list).and_then(Value::as_array_mut) {
                containers
                    .retain(|one| one["name"].as_str().is_some_and(|name| kept.contains(&name)));
            }
        }
        Ok(())
    }

    /// Whether some container mounts the volume or uses it as a block device.
    pub fn mounts(&self, volume: &str) -> bool {
        CONTAINER_LISTS
            .iter()
            .flat_map(|list| self.list(list))
            .flat_map(|container| [&container["volumeMounts"], &container["volumeDevices"]])
            .any(|uses| names(uses).any(|name| name == volume))
    }

    /// The restart policy, where the template gives one.
    pub fn restart_policy(&self) -> Option<&str> {
        self.spec.get("restartPolicy").and_then(Value::as_str)
    }

    /// Sets the restart policy: `OnFailure` restarts a failed container in the same pod, `Never` leaves that to a new attempt.
    pub fn set_restart_policy(&mut self, policy: &str) {
        self.spec.insert("restartPolicy".to_owned(), Value::from(policy));
    }

    /// Sets a label of the pod.
    pub fn set_label(&mut self, key: &str, value: &str) {
        set_pair(&mut self.metadata, "labels", key, value);
    }

    /// An annotation of the template.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.get("annotations")?.get(key)?.as_str()
    }

    /// Sets an annotation of the pod. `judge` is shown it.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        set_pair(&mut self.metadata, "annotations", key, value);
    }

    /// The template's metadata, for what this type has no word for.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.metadata
    }

    /// The pod's spec, for what this type has no word for.
    pub fn spec_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.spec
    }

    fn list(&self, list: &str) -> &[Value] {
        self.spec.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn names(&self, list: &str) -> Vec<&str> {
        self.list(list).iter().filter_map(|container| container["name"].as_str()).collect()
    }

    fn no_such_container(&self, name: &str) -> String {
        let all = [self.main_containers(), self.init_containers()].concat();
        format!("there is no container `{name}` in the pod template; there are {}", quoted(&all))
    }
}

/// Takes an object out of a field and leaves null there.
fn take_object(
    from: &mut Map<String, Value>,
    field: &str,
) -> Result<Option<Map<String, Value>>, String> {
    match from.get_mut(field).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(format!("`{field}` must be an object"))
        }
    }
}

/// The names of the objects in a list; none where it is no list.
fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str())
}

/// Checks that a list of containers is one of objects with names, so that none of them can be overlooked later.
fn check_containers(spec: &Map<String, Value>, list: &str) -> Result<(), String> {
    let containers = match spec.get(list) {
        None | Some(Value::Null) => return Ok(()),
        Some(value) => value.as_array().ok_or_else(|| format!("`spec.{list}` must be a list"))?,
    };
    for (place, container) in containers.iter().enumerate() {
        if container.get("name").and_then(Value::as_str).is_none() {
            return Err(format!("`spec.{list}[{place}]` must be an object with a name"));
        }
    }
    Ok(())
}

fn set_pair(metadata: &mut Map<String, Value>, map: &str, key: &str, value: &str) {
    let pairs = metadata.entry(map).or_insert_with(|| json!({}));
    if !pairs.is_object() {
        *pairs = json!({});
    }
    pairs[key] = Value::from(value);
}

/// The names in backquotes, with commas between them.
pub(crate) fn quoted(names: &[&str]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        text += if place == 0 { "`" } else { ", `" };
        text += name;
        text += "`";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"{
        "later": true,
        "metadata": {"labels": {"app": "web"}, "later": 1},
        "spec": {
            "later": {"a": [1.5]},
            "initContainers": [{"name": "tls", "restartPolicy": "Always", "later": 2}],
            "containers": [
                {"name": "web", "later": 3, "env": [{"name": "A", "valueFrom": {}}, {"name": "B"}],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                {"name": "proxy", "volumeDevices": [{"name": "raw", "devicePath": "/dev/raw"}]}
            ]
        }
    }"#;

    fn template() -> PodTemplate {
        PodTemplate::parse(TEMPLATE).expect("the template is right")
    }

    fn value(template: PodTemplate) -> Value {
        serde_json::from_str(&template.into_json()).expect("the template is JSON")
    }

    #[test]
    fn unknown_fields_are_kept_at_every_depth() {
        let mut changed = template();
        changed.set_label("role", "drain");
        changed.set_annotation("receiver", "web-0");
        changed.set_restart_policy("Never");
        let mut container = changed.container("web").expect("it is there");
        container.set_image("example/drain:1");
        container.set_command(["/drain"]);
        container.set_env("A", "1");
        container.set_env("C", "3");
        container.mount("scratch", "/tmp");
        container.remove("later");

        let mut expected: Value = serde_json::from_str(TEMPLATE).expect("it is JSON");
        expected["metadata"]["labels"]["role"] = json!("drain");
        expected["metadata"]["annotations"] = json!({ "receiver": "web-0" });
        expected["spec"]["restartPolicy"] = json!("Never");
        expected["spec"]["containers"][0] = json!({
            "name": "web", "image": "example/drain:1", "command": ["/drain"], "args": [],
            "env": [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "C", "value": "3"}],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"}, {"name": "scratch", "mountPath": "/tmp"}
            ],
        });
        assert_eq!(value(changed), expected);
    }

    #[test]
    fn containers_are_kept_by_name() {
        let mut kept = template();
        assert_eq!(kept.keep_containers(&["proxy", "tls"]), Ok(()));
        assert_eq!((kept.main_containers(), kept.init_containers()), (vec!["proxy"], vec!["tls"]));

        let mut whole = template();
        let unknown =
            "there is no container `wbe` in the pod template; there are `web`, `proxy`, `tls`";
        assert_eq!(whole.keep_containers(&["wbe"]), Err(unknown.to_owned()));
        let none = "no main container would be left; there are `web`, `proxy`";
        assert_eq!(whole.keep_containers(&["tls"]), Err(none.to_owned()));
        assert_eq!(whole, template());
    }

    #[test]
    fn the_container_to_use_is_the_only_one_or_the_named_one() {
        let mut several = template();
        let which = "the pod template has several containers: `web`, `proxy`";
        assert_eq!(several.only_container(), Err(which.to_owned()));
        several.set_annotation(DEFAULT_CONTAINER, "proxy");
        assert_eq!(several.only_container(), Ok("proxy"));
        assert_eq!(several.keep_containers(&["web"]), Ok(()));
        assert_eq!(several.only_container(), Ok("web"));
    }

    #[test]
    fn what_is_wrong_with_a_template_is_named() {
        for (text, named) in [
            ("", "EOF while parsing"),
            ("7", "must be a JSON object"),
            ("{}", "`spec` is missing"),
            (r#"{"spec": []}"#, "`spec` must be an object"),
            (r#"{"metadata": 1, "spec": {}}"#, "`metadata` must be an object"),
            (r#"{"spec": {"containers": []}}"#, "names no container"),
            (r#"{"spec": {"containers": {}}}"#, "`spec.containers` must be a list"),
            (r#"{"spec": {"containers": [{"name": "a"}, {}]}}"#, "`spec.containers[1]`"),
            (r#"{"spec": {"initContainers": [1]}}"#, "`spec.initContainers[0]`"),
        ] {
            let wrong = PodTemplate::parse(text).expect_err(text);
            assert!(wrong.contains(named), "{wrong} does not name {named}");
        }
    }
}
