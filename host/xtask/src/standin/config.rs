//! The ConfigMaps and Secrets that a pod names, read once before its first container starts.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};
use kube::{Api, Client};

/// Which of the two kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConfigKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// What was read, by kind and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configs {
    data: BTreeMap<(ConfigKind, String), BTreeMap<String, Vec<u8>>>,
}

impl fmt::Display for ConfigKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

impl Configs {
    /// All keys of one object; empty where it is not there.
    pub(crate) fn entries(
        &self,
        kind: ConfigKind,
        name: &str,
    ) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.data.get(&(kind, name.to_owned())).into_iter().flatten()
    }

    /// One key of one object.
    pub(crate) fn entry(&self, kind: ConfigKind, name: &str, key: &str) -> Option<&Vec<u8>> {
        self.data.get(&(kind, name.to_owned()))?.get(key)
    }

    /// Reads everything that `pod` names. What is not there is left out where the pod calls it optional.
    ///
    /// # Errors
    /// The API server did not answer, or something that the pod needs is not there; the text names it.
    pub(crate) async fn read(client: &Client, pod: &Pod) -> anyhow::Result<Self> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let wanted = wanted(pod);
        let mut configs = Self::default();
        for ((kind, name), need) in &wanted {
            let found = match kind {
                ConfigKind::ConfigMap => config_map(client, namespace, name).await?,
                ConfigKind::Secret => secret(client, namespace, name).await?,
            };
            match found {
                Some(data) => {
                    configs.data.insert((*kind, name.clone()), data);
                }
                None if *need == Need::Optional => {}
                None => anyhow::bail!("{kind} {namespace}/{name} is not there"),
            }
        }
        Ok(configs)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Optional,
    Required,
}

type Wanted = BTreeMap<(ConfigKind, String), Need>;

fn wanted(pod: &Pod) -> Wanted {
    let mut wanted = Wanted::new();
    let Some(spec) = &pod.spec else { return wanted };
    for volume in spec.volumes.iter().flatten() {
        volume_wants(volume, &mut wanted);
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        container_wants(container, &mut wanted);
    }
    wanted
}

fn want(wanted: &mut Wanted, kind: ConfigKind, name: &str, optional: Option<bool>) {
    let need = if optional == Some(true) { Need::Optional } else { Need::Required };
    let known = wanted.entry((kind, name.to_owned())).or_insert(need);
    *known = need.max(*known);
}

fn volume_wants(volume: &Volume, wanted: &mut Wanted) {
    if let Some(source) = &volume.config_map {
        want(wanted, ConfigKind::ConfigMap, &source.name, source.optional);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        want(wanted, ConfigKind::Secret, name, source.optional);
    }
    let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    for source in projected {
        if let Some(map) = &source.config_map {
            want(wanted, ConfigKind::ConfigMap, &map.name, map.optional);
        }
        if let Some(secret) = &source.secret {
            want(wanted, ConfigKind::Secret, &secret.name, secret.optional);
        }
    }
}

fn container_wants(container: &Container, wanted: &mut Wanted) {
    for source in container.env_from.iter().flatten() {
        if let Some(map) = &source.config_map_ref {
            want(wanted, ConfigKind::ConfigMap, &map.name, map.optional);
        }
        if let Some(secret) = &source.secret_ref {
            want(wanted, ConfigKind::Secret, &secret.name, secret.optional);
        }
    }
    for source in container.env.iter().flatten().filter_map(|v| v.value_from.as_ref()) {
        if let Some(map) = &source.config_map_key_ref {
            want(wanted, ConfigKind::ConfigMap, &map.name, map.optional);
        }
        if let Some(secret) = &source.secret_key_ref {
            want(wanted, ConfigKind::Secret, &secret.name, secret.optional);
        }
    }
}

type Data = BTreeMap<String, Vec<u8>>;

async fn config_map(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Data>> {
    let found = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(found.map(|map| {
        let text = map.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into_bytes()));
        let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0));
        text.chain(bytes).collect()
    }))
}

async fn secret(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Data>> {
    let found = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(found.map(|s| s.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_need_makes_an_object_required() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "volumes": [{"name": "a", "configMap": {"name": "one", "optional": true}},
                        {"name": "b", "secret": {"secretName": "two", "optional": true}}],
            "containers": [{"name": "main", "envFrom": [{"configMapRef": {"name": "one"}}]}],
        }}))
        .unwrap();
        let wanted = wanted(&pod);
        assert_eq!(wanted[&(ConfigKind::ConfigMap, "one".to_owned())], Need::Required);
        assert_eq!(wanted[&(ConfigKind::Secret, "two".to_owned())], Need::Optional);
        assert_eq!(wanted.len(), 2);
    }
}
