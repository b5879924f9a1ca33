//! What a container's process is started with. No side effects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod, VolumeMount};

use super::Image;
use super::config::{ConfigKind, Configs};

/// Where a container leaves its termination message unless its specification says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The search path of a container whose specification gives none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Tells a process, on whatever machine, where its termination message is read.
const ENV_TERMINATION_LOG: &str = "STANDIN_TERMINATION_LOG";

/// Tells a process under which folder the mounts of its container are; `/` where they are at their own paths.
const ENV_ROOT: &str = "STANDIN_ROOT";

/// What all containers of a pod share.
#[derive(Clone, Debug)]
pub(crate) struct PodContext {
    /// The object.
    pub(crate) pod: Pod,
    /// The pod's address.
    pub(crate) pod_ip: String,
    /// Address and port at which pods reach the API server.
    pub(crate) api_server: Option<(String, String)>,
    /// ConfigMaps and Secrets that the pod names.
    pub(crate) configs: Configs,
    /// The folder of each volume.
    pub(crate) volumes: BTreeMap<String, PathBuf>,
}

/// A file or folder that the process finds at another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is on the machine.
    pub(crate) source: PathBuf,
    /// Where the process finds it.
    pub(crate) target: String,
    /// What the process may do with it.
    pub(crate) access: Access,
}

/// What a process may do with a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// A process that is ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The command and its arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// The working folder, as the process sees it.
    pub(crate) work_dir: String,
    /// What is mounted, the termination log among it.
    pub(crate) mounts: Vec<Mount>,
    /// The files of the image, where they are known.
    pub(crate) image_root: Option<PathBuf>,
    /// The host name.
    pub(crate) hostname: String,
}

/// What `container` is started with; its termination message goes to the file `termination_log`.
///
/// # Errors
/// The text for the container's status, where the specification names something that is not there.
pub(crate) fn launch(
    context: &PodContext,
    container: &Container,
    image: Option<&Image>,
    termination_log: &Path,
) -> Result<Launch, String> {
    let hostname = hostname_of(&context.pod);
    let mut env = base_env(context, &hostname);
    add_env(&mut env, context, container)?;
    let log_target = container.termination_message_path.as_deref().unwrap_or(TERMINATION_LOG);
    set(&mut env, ENV_TERMINATION_LOG, log_target.to_owned());
    set(&mut env, ENV_ROOT, "/".to_owned());
    let expand_all = |words: &[String]| words.iter().map(|w| expand(w, &env)).collect::<Vec<_>>();
    let mut argv = match container.command.as_deref() {
        Some(command) if !command.is_empty() => expand_all(command),
        Some(_) | None => image.map(|i| i.entrypoint.clone()).unwrap_or_default(),
    };
    if argv.is_empty() {
        let image = container.image.as_deref().unwrap_or_default();
        return Err(format!(
            "the stand-in node knows no entrypoint of image {image:?}: give the container a command, or the node the image's folder"
        ));
    }
    argv.extend(expand_all(container.args.as_deref().unwrap_or_default()));
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(mount_of(context, mount, &env)?);
    }
    mounts.push(Mount {
        source: termination_log.to_owned(),
        target: log_target.to_owned(),
        access: Access::ReadWrite,
    });
    Ok(Launch {
        argv,
        env,
        work_dir: container.working_dir.clone().unwrap_or_else(|| "/".to_owned()),
        mounts,
        image_root: image.map(|i| i.root.clone()),
        hostname,
    })
}

/// The same launch for a machine without mount namespaces: each mount is a link in `scratch`, and every mention of its
/// path in the command, the arguments, the environment and the working folder names that link.
pub(crate) fn rewritten(mut launch: Launch, scratch: &Path) -> Launch {
    let mut paths = Vec::new();
    for mount in &mut launch.mounts {
        let flat = mount.target.trim_matches('/').replace('/', "-");
        let link = scratch.join(flat).to_string_lossy().into_owned();
        paths.push((std::mem::replace(&mut mount.target, link.clone()), link));
    }
    // The longest first, so that a mount inside another one is found.
    paths.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    for word in &mut launch.argv {
        *word = replace_paths(word, &paths);
    }
    for (name, value) in &mut launch.env {
        *value = match name.as_str() {
            ENV_ROOT => scratch.to_string_lossy().into_owned(),
            _ => replace_paths(value, &paths),
        };
    }
    launch.work_dir = replace_paths(&launch.work_dir, &paths);
    launch
}

/// The value of a downward field such as `metadata.name`, `metadata.labels['app']` or `status.podIP`.
///
/// # Errors
/// The field is none that the stand-in node knows.
pub(crate) fn field_value(pod: &Pod, pod_ip: &str, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let entry = |map: Option<&BTreeMap<String, String>>, key: &str| {
        map.and_then(|m| m.get(key)).cloned().unwrap_or_default()
    };
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        return match map {
            "metadata.labels" => Ok(entry(meta.labels.as_ref(), key)),
            "metadata.annotations" => Ok(entry(meta.annotations.as_ref(), key)),
            _ => Err(format!("the stand-in node does not know the field {path:?}")),
        };
    }
    match path {
        "metadata.name" => Ok(text(meta.name.as_ref())),
        "metadata.namespace" => Ok(text(meta.namespace.as_ref())),
        "metadata.uid" => Ok(text(meta.uid.as_ref())),
        "spec.nodeName" => Ok(text(spec.and_then(|s| s.node_name.as_ref()))),
        "spec.serviceAccountName" => Ok(text(spec.and_then(|s| s.service_account_name.as_ref()))),
        "status.podIP" | "status.podIPs" => Ok(pod_ip.to_owned()),
        "status.hostIP" | "status.hostIPs" => Ok(super::status::HOST_IP.to_owned()),
        _ => Err(format!("the stand-in node does not know the field {path:?}")),
    }
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for one `$`, and an unknown name stays as it is.
fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let reference = rest.strip_prefix('(').and_then(|r| r.split_once(')'));
        match reference.and_then(|(name, tail)| Some((get(env, name)?, tail))) {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => out.push('$'),
        }
    }
    out + rest
}

fn hostname_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let named = spec.and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty());
    named.or_else(|| pod.metadata.name.clone()).unwrap_or_default()
}

fn base_env(context: &PodContext, hostname: &str) -> Vec<(String, String)> {
    let mut env = Vec::new();
    set(&mut env, "PATH", PATH.to_owned());
    set(&mut env, "HOME", "/root".to_owned());
    set(&mut env, "HOSTNAME", hostname.to_owned());
    if let Some((host, port)) = &context.api_server {
        set(&mut env, "KUBERNETES_SERVICE_HOST", host.clone());
        set(&mut env, "KUBERNETES_SERVICE_PORT", port.clone());
        set(&mut env, "KUBERNETES_SERVICE_PORT_HTTPS", port.clone());
    }
    env
}

fn add_env(
    env: &mut Vec<(String, String)>,
    context: &PodContext,
    container: &Container,
) -> Result<(), String> {
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let map = source.config_map_ref.as_ref().map(|r| (ConfigKind::ConfigMap, &r.name));
        let secret = source.secret_ref.as_ref().map(|r| (ConfigKind::Secret, &r.name));
        let Some((kind, name)) = map.or(secret) else {
            continue;
        };
        for (key, value) in context.configs.entries(kind, name) {
            set(env, &format!("{prefix}{key}"), String::from_utf8_lossy(value).into_owned());
        }
    }
    for var in container.env.iter().flatten() {
        if let Some(value) = env_value(context, var, env)? {
            set(env, &var.name, value);
        }
    }
    Ok(())
}

fn env_value(
    context: &PodContext,
    var: &EnvVar,
    env: &[(String, String)],
) -> Result<Option<String>, String> {
    let Some(source) = &var.value_from else {
        return Ok(Some(expand(var.value.as_deref().unwrap_or_default(), env)));
    };
    let EnvVarSource { config_map_key_ref, field_ref, secret_key_ref, .. } = source;
    if let Some(field) = field_ref {
        return field_value(&context.pod, &context.pod_ip, &field.field_path).map(Some);
    }
    let map = config_map_key_ref
        .as_ref()
        .map(|r| (ConfigKind::ConfigMap, &r.name, &r.key, r.optional.unwrap_or(false)));
    let secret = secret_key_ref
        .as_ref()
        .map(|r| (ConfigKind::Secret, &r.name, &r.key, r.optional.unwrap_or(false)));
    let Some((kind, name, key, is_optional)) = map.or(secret) else {
        return Err(format!("the stand-in node cannot fill variable {:?}", var.name));
    };
    match context.configs.entry(kind, name, key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if is_optional => Ok(None),
        None => Err(format!("couldn't find key {key} in {kind} {name}")),
    }
}

fn mount_of(
    context: &PodContext,
    mount: &VolumeMount,
    env: &[(String, String)],
) -> Result<Mount, String> {
    let folder = context.volumes.get(&mount.name);
    let folder = folder.ok_or_else(|| format!("volume {:?} is not there", mount.name))?;
    let sub_path = mount.sub_path.clone();
    let sub_path = sub_path.or_else(|| mount.sub_path_expr.as_ref().map(|e| expand(e, env)));
    Ok(Mount {
        source: sub_path.map_or_else(|| folder.clone(), |sub| folder.join(sub)),
        target: mount.mount_path.clone(),
        access: match mount.read_only {
            Some(true) => Access::ReadOnly,
            Some(false) | None => Access::ReadWrite,
        },
    })
}

/// Replaces the paths where they stand alone or begin a longer path, in one pass.
fn replace_paths(text: &str, paths: &[(String, String)]) -> String {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let mut out = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(first) = rest.chars().next() {
        let begins = first == '/' && !before.is_some_and(is_name);
        let hit = paths.iter().find_map(|(from, to)| {
            let tail = rest.strip_prefix(from.trim_end_matches('/'))?;
            let ends = tail.chars().next().is_none_or(|c| c == '/' || !is_name(c));
            (begins && ends).then_some((to, tail))
        });
        match hit {
            Some((to, tail)) => {
                out.push_str(to);
                rest = tail;
                before = to.chars().last();
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                before = Some(first);
            }
        }
    }
    out
}

fn get<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    match env.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => *old = value,
        None => env.push((name.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context(pod: serde_json::Value) -> PodContext {
        PodContext {
            pod: serde_json::from_value(pod).unwrap(),
            pod_ip: "127.3.0.9".to_owned(),
            api_server: None,
            configs: Configs::default(),
            volumes: BTreeMap::from([("data".to_owned(), PathBuf::from("/pv/1"))]),
        }
    }

    fn drain_pod() -> PodContext {
        context(json!({
            "metadata": {"name": "web-2", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"containers": [{
                "name": "main",
                "image": "docker.io/library/web:1",
                "command": ["/bin/sh", "-c", "cp /data/x $(PEER):/data2; echo $$(A) >/dev/termination-log"],
                "args": ["--dir=/data", "$(UNKNOWN)"],
                "env": [
                    {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "PEER", "value": "$(ME)@$(IP)"},
                    {"name": "STORE", "value": "/data/store"},
                ],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "a"}],
            }]},
        }))
    }

    fn launched(context: &PodContext) -> Launch {
        let container = context.pod.spec.as_ref().unwrap().containers[0].clone();
        launch(context, &container, None, Path::new("/s/log")).unwrap()
    }

    #[test]
    fn variables_are_filled_and_expanded() {
        let launch = launched(&drain_pod());
        assert_eq!(get(&launch.env, "PEER"), Some("web-2@127.3.0.9"));
        assert_eq!(get(&launch.env, "APP"), Some("web"));
        assert_eq!(get(&launch.env, "HOSTNAME"), Some("web-2"));
        let script = "cp /data/x web-2@127.3.0.9:/data2; echo $(A) >/dev/termination-log";
        assert_eq!(launch.argv, ["/bin/sh", "-c", script, "--dir=/data", "$(UNKNOWN)"]);
        assert_eq!(launch.mounts[0].source, Path::new("/pv/1/a"));
        assert_eq!(launch.mounts[1].target, "/dev/termination-log");
    }

    #[test]
    fn rewriting_touches_whole_paths_only() {
        let launch = rewritten(launched(&drain_pod()), Path::new("/s/root"));
        assert_eq!(
            launch.argv[2],
            "cp /s/root/data/x web-2@127.3.0.9:/data2; echo $(A) >/s/root/dev-termination-log"
        );
        assert_eq!(launch.argv[3], "--dir=/s/root/data");
        assert_eq!(get(&launch.env, "STORE"), Some("/s/root/data/store"));
        assert_eq!(get(&launch.env, ENV_TERMINATION_LOG), Some("/s/root/dev-termination-log"));
        assert_eq!(get(&launch.env, ENV_ROOT), Some("/s/root"));
        assert_eq!(launch.mounts[0].target, "/s/root/data");
    }

    #[test]
    fn a_container_without_command_needs_its_image() {
        let mut context = drain_pod();
        let container = &mut context.pod.spec.as_mut().unwrap().containers[0];
        container.command = None;
        let container = container.clone();
        let error = launch(&context, &container, None, Path::new("/s/log")).unwrap_err();
        assert!(error.contains("docker.io/library/web:1"), "{error}");
        let image = Image { root: PathBuf::from("/images/web"), entrypoint: vec!["/web".into()] };
        let launch = launch(&context, &container, Some(&image), Path::new("/s/log")).unwrap();
        assert_eq!(launch.argv, ["/web", "--dir=/data", "$(UNKNOWN)"]);
    }
}
