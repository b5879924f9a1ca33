//! Volumes as folders: a claim is the folder of its volume, everything else a folder of the node's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::config::{ConfigKind, Configs};
use super::launch::field_value;

/// The mode of a projected file whose volume names none.
const FILE_MODE_DEFAULT: i32 = 0o644;

/// What the volumes of one pod are made from.
pub(crate) struct VolumeMaker<'a> {
    /// Reads claims, volumes and tokens.
    pub(crate) client: &'a Client,
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// Its address, for downward files.
    pub(crate) pod_ip: &'a str,
    /// Its ConfigMaps and Secrets.
    pub(crate) configs: &'a Configs,
    /// The folder of this machine that the cluster sees as `/`.
    pub(crate) volume_root: &'a Path,
    /// Where the folders of the node's own are made.
    pub(crate) folder: &'a Path,
}

impl VolumeMaker<'_> {
    /// The folder of each of the pod's volumes; all of them exist.
    ///
    /// # Errors
    /// A claim is not bound, its volume is no folder, or the source is of a kind that the stand-in node does not know; the
    /// text names the volume.
    pub(crate) async fn make(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let mut folders = BTreeMap::new();
        for volume in self.pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
            let folder = self.folder_of(volume).await;
            let folder = folder.with_context(|| format!("volume {:?}", volume.name))?;
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
            folders.insert(volume.name.clone(), folder);
        }
        Ok(folders)
    }

    async fn folder_of(&self, volume: &Volume) -> anyhow::Result<PathBuf> {
        if let Some(source) = &volume.persistent_volume_claim {
            return self.claim_folder(&source.claim_name).await;
        }
        if volume.ephemeral.is_some() {
            let pod = self.pod.metadata.name.as_deref().unwrap_or_default();
            return self.claim_folder(&format!("{pod}-{}", volume.name)).await;
        }
        if let Some(source) = &volume.host_path {
            return Ok(self.on_machine(&source.path));
        }
        let own = self.folder.join(&volume.name);
        if volume.empty_dir.is_some() {
            return Ok(own);
        }
        fs::create_dir_all(&own)?;
        if let Some(source) = &volume.config_map {
            self.put_config(&own, ConfigKind::ConfigMap, &source.name, source.items.as_deref())?;
            set_modes(&own, source.default_mode)?;
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            self.put_config(&own, ConfigKind::Secret, name, source.items.as_deref())?;
            set_modes(&own, source.default_mode)?;
        } else if let Some(source) = &volume.downward_api {
            self.put_fields(&own, source.items.as_deref().unwrap_or_default())?;
        } else if let Some(source) = &volume.projected {
            for part in source.sources.iter().flatten() {
                self.put_projection(&own, part).await?;
            }
            set_modes(&own, source.default_mode)?;
        } else {
            bail!("the stand-in node does not know this kind of volume");
        }
        Ok(own)
    }

    async fn claim_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let claims: Api<PersistentVolumeClaim> = self.namespaced();
        let claim = claims.get(name).await?;
        let phase = claim.status.and_then(|s| s.phase);
        let volume = claim.spec.and_then(|s| s.volume_name);
        let (Some("Bound"), Some(volume)) = (phase.as_deref(), volume) else {
            bail!("claim {name} is not bound yet");
        };
        let spec = Api::<PersistentVolume>::all(self.client.clone()).get(&volume).await?.spec;
        let spec = spec.unwrap_or_default();
        let host_path = spec.host_path.map(|s| s.path);
        let path = host_path.or_else(|| spec.local.map(|s| s.path));
        path.map(|p| self.on_machine(&p)).with_context(|| {
            format!("volume {volume} of claim {name} is no folder: it needs hostPath or local")
        })
    }

    fn on_machine(&self, path: &str) -> PathBuf {
        self.volume_root.join(path.trim_start_matches('/'))
    }

    async fn put_projection(&self, folder: &Path, part: &VolumeProjection) -> anyhow::Result<()> {
        if let Some(map) = &part.config_map {
            self.put_config(folder, ConfigKind::ConfigMap, &map.name, map.items.as_deref())?;
        }
        if let Some(secret) = &part.secret {
            self.put_config(folder, ConfigKind::Secret, &secret.name, secret.items.as_deref())?;
        }
        if let Some(fields) = &part.downward_api {
            self.put_fields(folder, fields.items.as_deref().unwrap_or_default())?;
        }
        if let Some(token) = &part.service_account_token {
            write(folder, &token.path, self.token(token).await?.as_bytes())?;
        }
        Ok(())
    }

    /// All keys, or those that `items` name, as files.
    fn put_config(
        &self,
        folder: &Path,
        kind: ConfigKind,
        name: &str,
        items: Option<&[KeyToPath]>,
    ) -> anyhow::Result<()> {
        let Some(items) = items else {
            return self
                .configs
                .entries(kind, name)
                .try_for_each(|(key, value)| write(folder, key, value));
        };
        for item in items {
            let value = self.configs.entry(kind, name, &item.key);
            let value = value.with_context(|| format!("{kind} {name} has no key {}", item.key))?;
            write(folder, &item.path, value)?;
        }
        Ok(())
    }

    fn put_fields(&self, folder: &Path, items: &[DownwardAPIVolumeFile]) -> anyhow::Result<()> {
        for item in items {
            let Some(field) = &item.field_ref else {
                bail!("the stand-in node knows only fields in a downward volume");
            };
            let value = field_value(self.pod, self.pod_ip, &field.field_path);
            let value = value.map_err(anyhow::Error::msg)?;
            write(folder, &item.path, value.as_bytes())?;
        }
        Ok(())
    }

    async fn token(&self, wanted: &ServiceAccountTokenProjection) -> anyhow::Result<String> {
        let account = self.pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: wanted.audience.clone().map(|a| vec![a]),
                expiration_seconds: wanted.expiration_seconds,
                bound_object_ref: None,
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = self.namespaced();
        let account = account.unwrap_or("default");
        let answer =
            accounts.create_token_request(account, &PostParams::default(), &request).await?;
        answer.status.and_then(|s| s.token).context("the API server answered without a token")
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn write(folder: &Path, path: &str, content: &[u8]) -> anyhow::Result<()> {
    let file = folder.join(path);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&file, content).with_context(|| format!("write {}", file.display()))
}

/// Gives every file directly in `folder` the mode; a script in a ConfigMap is run through it.
fn set_modes(folder: &Path, mode: Option<i32>) -> anyhow::Result<()> {
    let mode = u32::try_from(mode.unwrap_or(FILE_MODE_DEFAULT))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
