//! What a pod spec asks for that not everybody may have: every account, secret, config map, claim, host path, host namespace and privilege, by
//! every road. A drain pod may ask for what its set's own template asks for and for what the set's owner granted; for nothing else, because
//! a policy's author need not be allowed to run pods. What counts is what takes effect: Kubernetes' defaults are loose, so a field that is left
//! out asks for what its default gives.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::grant;

/// One thing asked for. The kind is the word that a grant uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    /// What kind of thing.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
}

/// The longest name that a refusal shows, in bytes: an event's note has 1,000 for all that it says.
const SHOWN_MAX_BYTES: usize = 300;

impl Ask {
    /// What to do about it where it is refused. It ends with the words of the grant, ready to be copied.
    #[must_use]
    pub fn mend(&self) -> String {
        let Self { kind, name } = self;
        if name.is_empty() {
            return format!("asks for a {kind} and names none: name it, or take it out");
        }
        // Who asks with a long value is shown the grant of its key, which is all that fits.
        let of_key = self.of_key().filter(|_| name.len() > SHOWN_MAX_BYTES);
        let shown = of_key.as_ref().unwrap_or(self);
        format!(
            "asks for {kind} {:?}, which the set's own pod template does not have: take it out, or annotate the set with tidegate.dev/grant: {}",
            shown.name,
            grant::words(shown)
        )
    }

    /// The same with every value, where it is asked for by key and value.
    #[must_use]
    pub fn of_key(&self) -> Option<Self> {
        let has_value = matches!(self.kind, "annotation" | "label" | "csi");
        let (key, _) = self.name.split_once('=').filter(|_| has_value)?;
        Some(Self { kind: self.kind, name: key.to_owned() })
    }
}

/// Volumes that give nothing but a place to write and what the pod already is.
const HARMLESS_VOLUMES: [&str; 3] = ["emptyDir", "downwardAPI", "image"];
/// Fields of the spec that are asked for by being true.
const HOST_FLAGS: [&str; 4] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"];
/// Fields of the spec that are asked for by not being false, with the kind and the name of what they give.
const BY_DEFAULT: [(&str, &str, &str); 2] =
    [("automountServiceAccountToken", "token", "automounted"), ("hostUsers", "host", "hostUsers")];
/// The name of group 0 as a privilege.
const ROOT_GROUP: &str = "root-group";
/// The name of a projected token without an audience: it is for the API server.
const API_SERVER: &str = "for-the-api-server";
/// Fields of the spec that are asked for by naming something.
const NAMED: [&str; 4] = ["priorityClassName", "runtimeClassName", "nodeName", "schedulerName"];

/// Everything that this pod spec asks for, with the field that does. `own_claims` are the templates of the ordinal's claims, whose volumes the
/// host makes itself.
#[must_use]
pub fn asks(spec: &Map<String, Value>, own_claims: &BTreeSet<String>) -> Vec<(Ask, String)> {
    let mut asks = Asks::default();
    asks.of_pod(spec);
    for (at, volume) in list(spec.get("volumes")).enumerate() {
        let own = text(volume, "name").is_some_and(|name| own_claims.contains(name));
        if !own {
            asks.of_volume(volume, &format!("spec.volumes[{at}]"));
        }
    }
    for lists in ["initContainers", "containers"] {
        for (at, container) in list(spec.get(lists)).enumerate() {
            let context = spec.get("securityContext");
            asks.of_container(container, context, &format!("spec.{lists}[{at}]"));
        }
    }
    asks.found
}

/// What a template's metadata asks for. An annotation may give a pod a profile, a role or a secret; a label may let it through a network policy,
/// into a Service or to a cloud's account. Which ones do is for the cluster to say.
#[must_use]
pub fn asks_of_metadata(metadata: &Map<String, Value>) -> Vec<(Ask, String)> {
    let mut asks = Asks::default();
    for (field, kind) in [("labels", "label"), ("annotations", "annotation")] {
        let pairs = metadata.get(field).and_then(Value::as_object);
        for (key, value) in pairs.into_iter().flatten() {
            let name = format!("{key}={}", value.as_str().unwrap_or_default());
            asks.add(kind, name, format!("metadata.{field}[{key}]"));
        }
    }
    asks.found
}

#[derive(Default)]
struct Asks {
    found: Vec<(Ask, String)>,
}

impl Asks {
    fn add(&mut self, kind: &'static str, name: impl Into<String>, field: String) {
        self.found.push((Ask { kind, name: name.into() }, field));
    }

    fn of_pod(&mut self, spec: &Map<String, Value>) {
        let account = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .find_map(|field| spec.get(field)?.as_str().filter(|name| !name.is_empty()));
        let field = "spec.serviceAccountName".to_owned();
        self.add("serviceAccount", account.unwrap_or("default"), field);
        for (field, kind, name) in BY_DEFAULT {
            if spec.get(field).and_then(Value::as_bool) != Some(false) {
                self.add(kind, name, format!("spec.{field}"));
            }
        }
        // The account may say that no token is mounted, and a pod that says `true` has the last word.
        if spec.get("automountServiceAccountToken").and_then(Value::as_bool) == Some(true) {
            let field = "spec.automountServiceAccountToken".to_owned();
            self.add("token", "automounted-always", field);
        }
        for (at, secret) in list(spec.get("imagePullSecrets")).enumerate() {
            let name = text(secret, "name").unwrap_or_default();
            self.add("secret", name, format!("spec.imagePullSecrets[{at}].name"));
        }
        for flag in HOST_FLAGS {
            if spec.get(flag).and_then(Value::as_bool) == Some(true) {
                self.add("host", flag, format!("spec.{flag}"));
            }
        }
        for field in NAMED {
            match spec.get(field).and_then(Value::as_str) {
                None | Some("") => {}
                Some("default-scheduler") if field == "schedulerName" => {}
                Some(name) => self.add(field, name, format!("spec.{field}")),
            }
        }
        if let Some(priority) = spec.get("priority").and_then(Value::as_i64) {
            self.add("priority", priority.to_string(), "spec.priority".to_owned());
        }
        for (at, claim) in list(spec.get("resourceClaims")).enumerate() {
            let name = text(claim, "resourceClaimName")
                .or_else(|| text(claim, "resourceClaimTemplateName"));
            self.add(
                "resourceClaim",
                name.unwrap_or_default(),
                format!("spec.resourceClaims[{at}]"),
            );
        }
        let context = spec.get("securityContext");
        for (at, sysctl) in list(context.and_then(|it| it.get("sysctls"))).enumerate() {
            let name = text(sysctl, "name").unwrap_or_default();
            self.add("sysctl", name, format!("spec.securityContext.sysctls[{at}]"));
        }
        self.of_security(context, "spec.securityContext");
        self.of_groups(context, "spec.securityContext");
    }

    /// Files of the root group are closed to a pod that is kept out of it. Unless the policy is strict, the image says which groups its user is
    /// in, and a policy's author chooses the image.
    fn of_groups(&mut self, context: Option<&Value>, field: &str) {
        let get = |key: &str| context.and_then(|it| it.get(key));
        if get("supplementalGroupsPolicy").and_then(Value::as_str) != Some("Strict") {
            let field = format!("{field}.supplementalGroupsPolicy");
            self.add("privilege", "groups-of-image", field);
        }
        if get("fsGroup").and_then(Value::as_i64) == Some(0) {
            self.add("privilege", ROOT_GROUP, format!("{field}.fsGroup"));
        }
        for (at, group) in list(get("supplementalGroups")).enumerate() {
            if group.as_i64() == Some(0) {
                self.add("privilege", ROOT_GROUP, format!("{field}.supplementalGroups[{at}]"));
            }
        }
    }

    fn of_volume(&mut self, volume: &Value, field: &str) {
        let Some(fields) = volume.as_object() else {
            return;
        };
        for (kind, source) in
            fields.iter().filter(|(key, value)| *key != "name" && !value.is_null())
        {
            let at = format!("{field}.{kind}");
            let named = |key: &str| text(source, key).unwrap_or_default().to_owned();
            match kind.as_str() {
                "secret" => self.add("secret", named("secretName"), at),
                "configMap" => self.add("configMap", named("name"), at),
                "persistentVolumeClaim" => self.add("claim", named("claimName"), at),
                "hostPath" => self.add("hostPath", named("path"), at),
                "csi" => self.of_csi(source, at),
                "projected" => self.of_projected(source, &at),
                harmless if HARMLESS_VOLUMES.contains(&harmless) => {}
                other => self.add("volume", other, at.clone()),
            }
        }
    }

    /// A driver decides by its attributes what it mounts, so that they are asked for one by one.
    fn of_csi(&mut self, csi: &Value, field: String) {
        let driver = text(csi, "driver").unwrap_or_default();
        let attributes = csi.get("volumeAttributes").and_then(Value::as_object);
        for (key, value) in attributes.into_iter().flatten() {
            let name = format!("{driver}/{key}={}", value.as_str().unwrap_or_default());
            self.add("csi", name, format!("{field}.volumeAttributes[{key}]"));
        }
        if let Some(name) = csi.get("nodePublishSecretRef").and_then(|it| text(it, "name")) {
            self.add("secret", name, format!("{field}.nodePublishSecretRef"));
        }
        self.add("csi", driver, field);
    }

    fn of_projected(&mut self, projected: &Value, field: &str) {
        for (at, source) in list(projected.get("sources")).enumerate() {
            let Some(fields) = source.as_object() else {
                continue;
            };
            for (kind, source) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let at = format!("{field}.sources[{at}].{kind}");
                let named = |key: &str| text(source, key).unwrap_or_default().to_owned();
                match kind.as_str() {
                    "secret" => self.add("secret", named("name"), at),
                    "configMap" => self.add("configMap", named("name"), at),
                    "downwardAPI" => {}
                    "serviceAccountToken" => match named("audience") {
                        audience if audience.is_empty() => self.add("token", API_SERVER, at),
                        audience => self.add("token", audience, at),
                    },
                    other => self.add("volume", other, at.clone()),
                }
            }
        }
    }

    fn of_container(&mut self, container: &Value, pod: Option<&Value>, field: &str) {
        for (at, env) in list(container.get("env")).enumerate() {
            let source = env.get("valueFrom");
            for (key, kind) in [("secretKeyRef", "secret"), ("configMapKeyRef", "configMap")] {
                if let Some(reference) = source.and_then(|source| given(source, key)) {
                    let name = text(reference, "name").unwrap_or_default();
                    self.add(kind, name, format!("{field}.env[{at}].valueFrom.{key}"));
                }
            }
        }
        for (at, source) in list(container.get("envFrom")).enumerate() {
            for (key, kind) in [("secretRef", "secret"), ("configMapRef", "configMap")] {
                if let Some(reference) = given(source, key) {
                    let name = text(reference, "name").unwrap_or_default();
                    self.add(kind, name, format!("{field}.envFrom[{at}].{key}"));
                }
            }
        }
        for (at, port) in list(container.get("ports")).enumerate() {
            if let Some(number) = port.get("hostPort").and_then(Value::as_i64).filter(|it| *it != 0)
            {
                self.add("hostPort", number.to_string(), format!("{field}.ports[{at}].hostPort"));
            }
        }
        for probe in ["httpGet", "tcpSocket"] {
            let probed = container.get("readinessProbe").and_then(|it| it.get(probe));
            if let Some(address) =
                probed.and_then(|it| text(it, "host")).filter(|it| !it.is_empty())
            {
                self.add("host", address, format!("{field}.readinessProbe.{probe}.host"));
            }
        }
        let own = container.get("securityContext");
        self.of_security(own, &format!("{field}.securityContext"));
        self.of_effective(own, pod, &format!("{field}.securityContext"));
    }

    /// What a container is given where neither it nor its pod says otherwise.
    fn of_effective(&mut self, own: Option<&Value>, pod: Option<&Value>, field: &str) {
        let said = |context: Option<&'_ Value>, key: &str| {
            context.and_then(|it| it.get(key)).filter(|value| !value.is_null()).cloned()
        };
        let effective = |key: &str| said(own, key).or_else(|| said(pod, key));
        let user = effective("runAsUser").and_then(|user| user.as_i64());
        let not_root = effective("runAsNonRoot").and_then(|it| it.as_bool()) == Some(true);
        if user == Some(0) || (user.is_none() && !not_root) {
            self.add("privilege", "root", format!("{field}.runAsNonRoot"));
        }
        let group = effective("runAsGroup").and_then(|group| group.as_i64());
        if group.is_none_or(|group| group == 0) {
            self.add("privilege", ROOT_GROUP, format!("{field}.runAsGroup"));
        }
        if said(own, "allowPrivilegeEscalation").and_then(|it| it.as_bool()) != Some(false) {
            let name = "allowPrivilegeEscalation";
            self.add("privilege", name, format!("{field}.{name}"));
        }
        let capabilities = said(own, "capabilities").unwrap_or_default();
        if !list(capabilities.get("drop")).any(|it| it.as_str() == Some("ALL")) {
            self.add("capability", "default-set", format!("{field}.capabilities.drop"));
        }
        if effective("seccompProfile").is_none() {
            self.add("privilege", "seccompProfile-none", format!("{field}.seccompProfile"));
        }
    }

    fn of_security(&mut self, context: Option<&Value>, field: &str) {
        let Some(context) = context else {
            return;
        };
        if context.get("privileged").and_then(Value::as_bool) == Some(true) {
            self.add("privilege", "privileged", format!("{field}.privileged"));
        }
        let added = context.get("capabilities").and_then(|it| it.get("add"));
        for (at, capability) in list(added).enumerate() {
            let name = capability.as_str().unwrap_or_default();
            self.add("capability", name, format!("{field}.capabilities.add[{at}]"));
        }
        for field_of in ["seccompProfile", "appArmorProfile"] {
            let profile = context.get(field_of);
            let get = |key: &str| profile.and_then(|profile| text(profile, key));
            // What a profile of the node allows is for its file to say.
            let name = match (get("type"), get("localhostProfile")) {
                (Some("Localhost"), Some(file)) => format!("{field_of}-Localhost={file}"),
                (Some(kind @ ("Unconfined" | "Localhost")), _) => format!("{field_of}-{kind}"),
                (_, _) => continue,
            };
            self.add("privilege", name, format!("{field}.{field_of}"));
        }
        if let Some(mount) = text(context, "procMount") {
            self.add("privilege", format!("procMount={mount}"), format!("{field}.procMount"));
        }
        for odd in ["seLinuxOptions", "windowsOptions"] {
            let options = context.get(odd).and_then(Value::as_object);
            for (key, value) in options.into_iter().flatten().filter(|(_, it)| !it.is_null()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.add(
                    "privilege",
                    format!("{odd}.{key}={value}"),
                    format!("{field}.{odd}.{key}"),
                );
            }
        }
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn given<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|value| !value.is_null())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
