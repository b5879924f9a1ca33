//! What a pod takes, read off the API's own types, field by field: a field that a later version of the API adds does not compile here until somebody
//! has said what it gives. Written without looking at how the host reads templates.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVarSource, PodResourceClaim, PodSecurityContext, PodSpec,
    ProjectedVolumeSource, SELinuxOptions, SecurityContext, Volume, VolumeProjection,
    WindowsSecurityContextOptions,
};
use serde_json::Value;

/// Kinds and names of things that not everybody may have, in the words of grants.
#[derive(Debug, Default)]
pub(super) struct Taken {
    things: BTreeSet<(&'static str, String)>,
}

impl Taken {
    /// What a pod of this spec takes, and what the labels and annotations in this metadata take. The volumes of its own claims are the host's.
    pub(super) fn by(spec: &PodSpec, metadata: &Value, own_claims: &[String]) -> Self {
        let mut taken = Self::default();
        for (field, kind) in [("labels", "label"), ("annotations", "annotation")] {
            for (key, value) in metadata[field].as_object().into_iter().flatten() {
                taken.add(kind, format!("{key}={}", value.as_str().unwrap_or_default()));
            }
        }
        taken.pod(spec, own_claims);
        taken
    }

    pub(super) fn things(&self) -> &BTreeSet<(&'static str, String)> {
        &self.things
    }

    fn add(&mut self, kind: &'static str, name: impl Into<String>) {
        self.things.insert((kind, name.into()));
    }

    fn add_if(&mut self, takes: bool, kind: &'static str, name: &str) {
        if takes {
            self.add(kind, name);
        }
    }

    fn add_named(&mut self, kind: &'static str, name: Option<&String>) {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.add(kind, name.clone());
        }
    }

    fn pod(&mut self, spec: &PodSpec, own_claims: &[String]) {
        let PodSpec {
            // Where and when it runs, and what it may use: no right.
            active_deadline_seconds: _,
            affinity: _,
            node_selector: _,
            os: _,
            overhead: _,
            preemption_policy: _,
            readiness_gates: _,
            resources: _,
            restart_policy: _,
            scheduling_gates: _,
            scheduling_group: _,
            termination_grace_period_seconds: _,
            tolerations: _,
            topology_spread_constraints: _,
            // What it calls itself and others.
            dns_config: _,
            dns_policy: _,
            enable_service_links: _,
            host_aliases: _,
            hostname: _,
            hostname_override: _,
            set_hostname_as_fqdn: _,
            subdomain: _,
            // A template has none.
            ephemeral_containers: _,
            automount_service_account_token: automount,
            containers,
            host_ipc,
            host_network,
            host_pid,
            host_users,
            image_pull_secrets,
            init_containers,
            node_name,
            priority,
            priority_class_name,
            resource_claims,
            runtime_class_name,
            scheduler_name,
            security_context,
            service_account,
            service_account_name,
            share_process_namespace,
            volumes,
        } = spec;
        self.account([service_account_name, service_account], *automount);
        self.add_if(*host_users != Some(false), "host", "hostUsers");
        for (flag, name) in [
            (host_ipc, "hostIPC"),
            (host_network, "hostNetwork"),
            (host_pid, "hostPID"),
            (share_process_namespace, "shareProcessNamespace"),
        ] {
            self.add_if(*flag == Some(true), "host", name);
        }
        self.add_named("nodeName", node_name.as_ref());
        self.add_named("priorityClassName", priority_class_name.as_ref());
        self.add_named("runtimeClassName", runtime_class_name.as_ref());
        let scheduler = scheduler_name.as_ref().filter(|name| *name != "default-scheduler");
        self.add_named("schedulerName", scheduler);
        if let Some(priority) = priority {
            self.add("priority", priority.to_string());
        }
        for secret in image_pull_secrets.iter().flatten() {
            self.add("secret", secret.name.clone());
        }
        self.devices(resource_claims.iter().flatten());
        self.parts(security_context.as_ref(), containers, init_containers.iter().flatten());
        let own = |volume: &&Volume| own_claims.contains(&volume.name);
        let volumes = volumes.iter().flatten().filter(|volume| !own(volume));
        volumes.for_each(|volume| self.volume(volume));
    }

    fn account(&mut self, names: [&Option<String>; 2], automount: Option<bool>) {
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        self.add("serviceAccount", name.map_or("default", String::as_str));
        self.add_if(automount != Some(false), "token", "automounted");
        self.add_if(automount == Some(true), "token", "automounted-always");
    }

    fn devices<'a>(&mut self, claims: impl Iterator<Item = &'a PodResourceClaim>) {
        for claim in claims {
            let named = claim.resource_claim_name.as_ref();
            self.add_named("resourceClaim", named.or(claim.resource_claim_template_name.as_ref()));
        }
    }

    fn parts<'a>(
        &mut self,
        context: Option<&PodSecurityContext>,
        mains: &'a [Container],
        inits: impl Iterator<Item = &'a Container>,
    ) {
        let pod = context.cloned().unwrap_or_default();
        self.pod_context(&pod);
        for container in inits.chain(mains) {
            self.container(container, &pod);
        }
    }

    fn pod_context(&mut self, context: &PodSecurityContext) {
        let PodSecurityContext {
            fs_group_change_policy: _,
            se_linux_change_policy: _,
            // What a container is given of these is told with it.
            run_as_group: _,
            run_as_non_root: _,
            run_as_user: _,
            app_armor_profile,
            fs_group,
            se_linux_options,
            seccomp_profile,
            supplemental_groups,
            supplemental_groups_policy,
            sysctls,
            windows_options,
        } = context;
        let strict = supplemental_groups_policy.as_deref() == Some("Strict");
        self.add_if(!strict, "privilege", "groups-of-image");
        let mut groups = supplemental_groups.iter().flatten().chain(fs_group);
        self.add_if(groups.any(|group| *group == 0), "privilege", "root-group");
        for sysctl in sysctls.iter().flatten() {
            self.add("sysctl", sysctl.name.clone());
        }
        self.profile(
            "seccompProfile",
            seccomp_profile.as_ref().map(|it| (&it.type_, &it.localhost_profile)),
        );
        self.profile(
            "appArmorProfile",
            app_armor_profile.as_ref().map(|it| (&it.type_, &it.localhost_profile)),
        );
        self.labels_of_the_kernel(se_linux_options.as_ref());
        self.windows(windows_options.as_ref());
    }

    fn container(&mut self, container: &Container, pod: &PodSecurityContext) {
        let Container {
            // What it runs is the policy's to say.
            args: _,
            command: _,
            image: _,
            image_pull_policy: _,
            name: _,
            resources: _,
            restart_policy: _,
            stdin: _,
            stdin_once: _,
            termination_message_path: _,
            termination_message_policy: _,
            tty: _,
            volume_devices: _,
            volume_mounts: _,
            working_dir: _,
            // Taken out or refused.
            lifecycle: _,
            liveness_probe: _,
            resize_policy: _,
            restart_policy_rules: _,
            startup_probe: _,
            env,
            env_from,
            ports,
            readiness_probe,
            security_context,
        } = container;
        for source in env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
            let EnvVarSource {
                config_map_key_ref,
                field_ref: _,
                file_key_ref: _,
                resource_field_ref: _,
                secret_key_ref,
            } = source;
            self.add_named("configMap", config_map_key_ref.as_ref().map(|it| &it.name));
            self.add_named("secret", secret_key_ref.as_ref().map(|it| &it.name));
        }
        for source in env_from.iter().flatten() {
            self.add_named("configMap", source.config_map_ref.as_ref().map(|it| &it.name));
            self.add_named("secret", source.secret_ref.as_ref().map(|it| &it.name));
        }
        for port in ports.iter().flatten().filter_map(|port| port.host_port) {
            self.add_if(port != 0, "hostPort", &port.to_string());
        }
        if let Some(probe) = readiness_probe {
            self.add_named("host", probe.http_get.as_ref().and_then(|it| it.host.as_ref()));
            self.add_named("host", probe.tcp_socket.as_ref().and_then(|it| it.host.as_ref()));
        }
        self.context(&security_context.clone().unwrap_or_default(), pod);
    }

    fn context(&mut self, own: &SecurityContext, pod: &PodSecurityContext) {
        let SecurityContext {
            read_only_root_filesystem: _,
            allow_privilege_escalation,
            app_armor_profile,
            capabilities,
            privileged,
            proc_mount,
            run_as_group,
            run_as_non_root,
            run_as_user,
            se_linux_options,
            seccomp_profile,
            windows_options,
        } = own;
        self.add_if(*privileged == Some(true), "privilege", "privileged");
        let escalates = *allow_privilege_escalation != Some(false);
        self.add_if(escalates, "privilege", "allowPrivilegeEscalation");
        let user = run_as_user.or(pod.run_as_user);
        let not_root = run_as_non_root.or(pod.run_as_non_root) == Some(true);
        let root = user.map_or(!not_root, |user| user == 0);
        self.add_if(root, "privilege", "root");
        let group = run_as_group.or(pod.run_as_group);
        self.add_if(group.is_none_or(|group| group == 0), "privilege", "root-group");
        let Capabilities { add, drop } = capabilities.clone().unwrap_or_default();
        let drops_all = drop.iter().flatten().any(|name| name == "ALL");
        self.add_if(!drops_all, "capability", "default-set");
        for capability in add.into_iter().flatten() {
            self.add("capability", capability);
        }
        if let Some(mount) = proc_mount {
            self.add("privilege", format!("procMount={mount}"));
        }
        let confined = seccomp_profile.is_some() || pod.seccomp_profile.is_some();
        self.add_if(!confined, "privilege", "seccompProfile-none");
        self.profile(
            "seccompProfile",
            seccomp_profile.as_ref().map(|it| (&it.type_, &it.localhost_profile)),
        );
        self.profile(
            "appArmorProfile",
            app_armor_profile.as_ref().map(|it| (&it.type_, &it.localhost_profile)),
        );
        self.labels_of_the_kernel(se_linux_options.as_ref());
        self.windows(windows_options.as_ref());
    }

    /// A kind of profile and its file. A profile of the node is whatever that file says.
    fn profile(&mut self, field: &str, profile: Option<(&String, &Option<String>)>) {
        let Some((kind, file)) = profile else {
            return;
        };
        match (kind.as_str(), file) {
            ("Unconfined", _) => self.add("privilege", format!("{field}-Unconfined")),
            ("Localhost", None) => self.add("privilege", format!("{field}-Localhost")),
            ("Localhost", Some(file)) => {
                self.add("privilege", format!("{field}-Localhost={file}"));
            }
            (_, _) => {}
        }
    }

    fn windows(&mut self, options: Option<&WindowsSecurityContextOptions>) {
        let host_process = options.is_some_and(|it| it.host_process == Some(true));
        self.add_if(host_process, "privilege", "windowsOptions.hostProcess=true");
    }

    fn labels_of_the_kernel(&mut self, options: Option<&SELinuxOptions>) {
        let Some(SELinuxOptions { level, role, type_, user }) = options else {
            return;
        };
        for (key, value) in [("level", level), ("role", role), ("type", type_), ("user", user)] {
            if let Some(value) = value {
                self.add("privilege", format!("seLinuxOptions.{key}={value}"));
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        // What stands in none of these gives a place to write, what the pod already is, or files of an image.
        if let Some(source) = &volume.secret {
            self.add_named("secret", source.secret_name.as_ref());
        }
        self.add_named("configMap", volume.config_map.as_ref().map(|it| &it.name));
        let claim = volume.persistent_volume_claim.as_ref();
        self.add_named("claim", claim.map(|it| &it.claim_name));
        self.add_named("hostPath", volume.host_path.as_ref().map(|it| &it.path));
        if let Some(csi) = &volume.csi {
            self.add("csi", csi.driver.clone());
            for (key, value) in csi.volume_attributes.iter().flatten() {
                self.add("csi", format!("{}/{key}={value}", csi.driver));
            }
            self.add_named("secret", csi.node_publish_secret_ref.as_ref().map(|it| &it.name));
        }
        if let Some(ProjectedVolumeSource { default_mode: _, sources }) = &volume.projected {
            sources.iter().flatten().for_each(|source| self.projected(source));
        }
        for (takes, name) in [
            (volume.ephemeral.is_some(), "ephemeral"),
            (volume.nfs.is_some(), "nfs"),
            (volume.iscsi.is_some(), "iscsi"),
            (volume.fc.is_some(), "fc"),
            (volume.rbd.is_some(), "rbd"),
            (volume.cephfs.is_some(), "cephfs"),
            (volume.flex_volume.is_some(), "flexVolume"),
            (volume.git_repo.is_some(), "gitRepo"),
            (volume.glusterfs.is_some(), "glusterfs"),
            (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
            (volume.azure_disk.is_some(), "azureDisk"),
            (volume.azure_file.is_some(), "azureFile"),
            (volume.cinder.is_some(), "cinder"),
            (volume.flocker.is_some(), "flocker"),
            (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
            (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
            (volume.portworx_volume.is_some(), "portworxVolume"),
            (volume.quobyte.is_some(), "quobyte"),
            (volume.scale_io.is_some(), "scaleIO"),
            (volume.storageos.is_some(), "storageos"),
            (volume.vsphere_volume.is_some(), "vsphereVolume"),
        ] {
            self.add_if(takes, "volume", name);
        }
    }

    fn projected(&mut self, source: &VolumeProjection) {
        let VolumeProjection {
            cluster_trust_bundle,
            config_map,
            downward_api: _,
            pod_certificate,
            secret,
            service_account_token,
        } = source;
        self.add_named("configMap", config_map.as_ref().map(|it| &it.name));
        self.add_named("secret", secret.as_ref().map(|it| &it.name));
        self.add_if(cluster_trust_bundle.is_some(), "volume", "clusterTrustBundle");
        self.add_if(pod_certificate.is_some(), "volume", "podCertificate");
        if let Some(token) = service_account_token {
            let audience = token.audience.as_deref().filter(|it| !it.is_empty());
            self.add("token", audience.unwrap_or("for-the-api-server"));
        }
    }
}
