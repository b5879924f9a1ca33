//! Container images without a container engine: OCI archives written file by file.
//!
//! An archive is a tar of `oci-layout`, `index.json` and three blobs: the layer, the configuration and the manifest. It
//! depends on nothing but the description and the contents of the files, so that two machines write the same bytes.

mod layer;
mod recipes;

pub use recipes::{busybox_image, datastore_cleanup_image, host_image, host_image_of, store_image};

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::progress::during;

/// Raised when the bytes that the same description gives change, so that archives of before are written again.
const FORMAT: &str = "1";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The full name with a tag, such as `docker.io/library/box:1`: a node finds the image under exactly this name.
    pub name: String,
    /// What the one layer holds, in any order. A parent folder that is not named is made by whoever unpacks the layer.
    pub entries: Vec<Entry>,
    /// The command that a container runs when its pod names none.
    pub entrypoint: Vec<String>,
    /// Environment variables as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The user that a container runs as: a number, so that `runAsNonRoot` can be checked without `/etc/passwd`.
    pub user: String,
    /// The folder that a container starts in.
    pub workdir: String,
}

/// One file, folder or link of a layer; root owns it and its time is 0.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it lies, from the root and without a leading slash.
    pub path: String,
    /// The permission bits, such as `0o755`. Links have none of their own.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A file with the contents of this file of the building machine.
    File(PathBuf),
    /// A symbolic link to this target.
    Symlink(String),
}

/// An archive that lies on disk.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name under which a node finds it.
    pub name: String,
    /// The OCI archive.
    pub path: PathBuf,
    /// The size of the archive.
    pub size_bytes: u64,
    /// The digest of the manifest, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

type Recipe = fn() -> Result<Image>;

/// Builds every image that the project uses and prints where each lies, how large it is and its digest.
#[allow(clippy::print_stdout, reason = "the list is what the command is run for")]
pub fn run() -> Result<()> {
    let recipes: [(&str, Recipe); 4] = [
        ("the host's image", host_image),
        ("the image of the sharded store", store_image),
        ("the image of busybox", busybox_image),
        ("the image of the datastore's cleanup", datastore_cleanup_image),
    ];
    for (what, build) in recipes {
        let image = during(&format!("building {what}"), build)?;
        let path = image.path.display();
        println!("{}\n  {path}\n  {} bytes, {}", image.name, image.size_bytes, image.digest);
    }
    Ok(())
}

/// Writes the archive `out` that `spec` describes, unless it is there already with the same contents.
///
/// When it succeeds, `out` is whole: it is written beside its place and renamed. Fails where a file cannot be read or
/// written, with its path.
pub fn write(spec: &ImageSpec, out: &Path) -> Result<Image> {
    let key = content_key(spec)?;
    let note = out.with_extension("json");
    if let Some(image) = up_to_date(spec, out, &note, &key) {
        return Ok(image);
    }
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let layer = layer::build(&spec.entries)?;
    let config = config(spec, &layer.diff_id).to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, config.as_bytes()),
        "layers": [descriptor(LAYER_TYPE, &layer.gzip)],
    })
    .to_string();
    let digest = sha256(manifest.as_bytes());
    let index = index(spec, manifest.as_bytes()).to_string();

    let partial = out.with_extension("partial");
    let file = File::create(&partial).with_context(|| format!("writing {}", partial.display()))?;
    let mut archive = layer::Archive::new(file);
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", index.as_bytes())?;
    archive.folder("blobs")?;
    archive.folder("blobs/sha256")?;
    for blob in [layer.gzip.as_slice(), config.as_bytes(), manifest.as_bytes()] {
        archive.file(&format!("blobs/sha256/{}", sha256(blob)), blob)?;
    }
    archive.finish()?;
    fs::rename(&partial, out).with_context(|| format!("renaming to {}", out.display()))?;

    let digest = format!("sha256:{digest}");
    fs::write(&note, json!({ "key": key, "digest": digest }).to_string())
        .with_context(|| format!("writing {}", note.display()))?;
    let size_bytes = fs::metadata(out)?.len();
    Ok(Image { name: spec.name.clone(), path: out.to_owned(), size_bytes, digest })
}

fn up_to_date(spec: &ImageSpec, out: &Path, note: &Path, key: &str) -> Option<Image> {
    let known: Value = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    if known["key"] != key {
        return None;
    }
    let size_bytes = fs::metadata(out).ok()?.len();
    let digest = known["digest"].as_str()?.to_owned();
    Some(Image { name: spec.name.clone(), path: out.to_owned(), size_bytes, digest })
}

/// A digest of everything that the archive depends on.
fn content_key(spec: &ImageSpec) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    hash.update(config(spec, "").to_string());
    hash.update(&spec.name);
    for entry in layer::sorted(&spec.entries) {
        let what = match &entry.kind {
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::Symlink(target) => format!("link {target}"),
            EntryKind::File(source) => {
                let bytes =
                    fs::read(source).with_context(|| format!("reading {}", source.display()))?;
                format!("file {}", sha256(&bytes))
            }
        };
        hash.update(format!("{} {:o} {what}\n", entry.path, entry.mode));
    }
    Ok(hex::encode(hash.finalize()))
}

fn config(spec: &ImageSpec, diff_id: &str) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": spec.entrypoint,
            "Env": spec.env,
            "User": spec.user,
            "WorkingDir": spec.workdir,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    })
}

fn index(spec: &ImageSpec, manifest: &[u8]) -> Value {
    let mut entry = descriptor(MANIFEST_TYPE, manifest);
    entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    entry["annotations"] = json!({
        "io.containerd.image.name": spec.name,
        "org.opencontainers.image.ref.name": tag(&spec.name),
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{}", sha256(blob)),
        "size": blob.len(),
    })
}

/// The architecture by the name that images use for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn tag(name: &str) -> &str {
    name.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn spec(folder: &Path) -> ImageSpec {
        let source = folder.join("tool");
        fs::write(&source, "#!/bin/sh\n").unwrap();
        let entry = |path: &str, kind| Entry { path: path.to_owned(), mode: 0o755, kind };
        ImageSpec {
            name: "docker.io/library/tool:7".to_owned(),
            entries: vec![
                entry("bin/tool", EntryKind::File(source)),
                entry("bin", EntryKind::Directory),
                entry("bin/alias", EntryKind::Symlink("tool".to_owned())),
            ],
            entrypoint: vec!["/bin/tool".to_owned()],
            env: vec![],
            user: "65532".to_owned(),
            workdir: "/".to_owned(),
        }
    }

    #[test]
    fn the_same_description_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path());
        let first = write(&spec, &folder.path().join("a.tar")).unwrap();
        let second = write(&spec, &folder.path().join("b.tar")).unwrap();
        assert_eq!(first.digest, second.digest);
        assert_eq!(fs::read(first.path).unwrap(), fs::read(second.path).unwrap());
    }

    #[test]
    fn an_archive_is_kept_until_its_contents_change() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path());
        let out = folder.path().join("a.tar");
        let first = write(&spec, &out).unwrap();
        fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).unwrap();
        write(&spec, &out).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&out), 0o600, "the archive was written again");

        fs::write(folder.path().join("tool"), "#!/bin/ash\n").unwrap();
        assert_ne!(write(&spec, &out).unwrap().digest, first.digest);
    }

    #[test]
    fn the_index_names_the_image_and_every_blob_has_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let image = write(&spec(folder.path()), &folder.path().join("a.tar")).unwrap();
        let mut blobs = 0;
        let mut archive = tar::Archive::new(File::open(image.path).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            if path == "index.json" {
                let index: Value = serde_json::from_slice(&bytes).unwrap();
                let manifest = &index["manifests"][0];
                assert_eq!(manifest["digest"], image.digest);
                let name = &manifest["annotations"]["io.containerd.image.name"];
                assert_eq!(name, "docker.io/library/tool:7");
            }
            if let Some(digest) = path.strip_prefix("blobs/sha256/")
                && !digest.is_empty()
            {
                assert_eq!(digest, sha256(&bytes));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }
}
