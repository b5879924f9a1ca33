//! The images that the project uses.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Entry, EntryKind, Image, ImageSpec, write};
use crate::cargo::{cargo, workspace};

/// The most that the host's archive may weigh: it is pulled by every node that the host ever moves to.
const HOST_ARCHIVE_BYTES_MAX: u64 = 25 * 1024 * 1024;

/// The user of images that need no account: the one that distroless images call `nonroot`.
const NON_ROOT: &str = "65532";

/// Where Debian's package and others put the static busybox.
const BUSYBOX_PATHS: [&str; 3] = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static"];

/// The host's image: nothing but the static binary of package `tidegate`, which is built first.
///
/// When it succeeds the archive is at most 25 MiB and runs as a user that is not root. Fails where cargo fails.
pub fn host_image() -> Result<Image> {
    host_image_of(&built("tidegate")?)
}

/// The host's image with a binary of package `tidegate` that is built already, as a test has one of the very code it tests.
///
/// When it succeeds the archive is at most 25 MiB and runs as a user that is not root.
pub fn host_image_of(binary: &Path) -> Result<Image> {
    let name = format!("docker.io/library/tidegate:{}", env!("CARGO_PKG_VERSION"));
    let image = one_binary("tidegate", binary, name, vec![])?;
    ensure!(
        image.size_bytes <= HOST_ARCHIVE_BYTES_MAX,
        "{} has {} bytes, more than the {HOST_ARCHIVE_BYTES_MAX} that the host's image may have",
        image.path.display(),
        image.size_bytes,
    );
    Ok(image)
}

/// The image of the sharded store of `examples/shards`, built from package `shards-store`.
pub fn store_image() -> Result<Image> {
    let data = Entry { path: "data".to_owned(), mode: 0o777, kind: EntryKind::Directory };
    let binary = built("shards-store")?;
    one_binary("shards-store", &binary, "docker.io/library/shards-store:1".to_owned(), vec![data])
}

/// An image with a shell and the usual small tools: Debian's static busybox and a link for each of its applets.
///
/// Installs the package `busybox-static` where it is missing; fails with the command that mends it where that fails.
pub fn busybox_image() -> Result<Image> {
    let spec = ImageSpec {
        name: "docker.io/library/box:1".to_owned(),
        entries: busybox_entries()?,
        entrypoint: vec![],
        env: vec!["PATH=/bin".to_owned()],
        user: "0".to_owned(),
        workdir: "/".to_owned(),
    };
    write(&spec, &folder()?.join("box.tar"))
}

/// The image of the cleanup container of `examples/datastore`: busybox, and its script as the command.
pub fn datastore_cleanup_image() -> Result<Image> {
    let script = workspace().join("examples/datastore/cleanup.sh");
    let mut entries = busybox_entries()?;
    let kind = EntryKind::File(script);
    entries.push(Entry { path: "cleanup.sh".to_owned(), mode: 0o644, kind });
    let spec = ImageSpec {
        name: "docker.io/library/datastore-cleanup:1".to_owned(),
        entries,
        entrypoint: ["/bin/sh", "/cleanup.sh"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        user: "0".to_owned(),
        workdir: "/".to_owned(),
    };
    write(&spec, &folder()?.join("datastore-cleanup.tar"))
}

fn busybox_entries() -> Result<Vec<Entry>> {
    let busybox = busybox()?;
    let applets = output(Command::new(&busybox).arg("--list"))?;
    let entry = |path: String, mode, kind| Entry { path, mode, kind };
    let mut entries = vec![
        entry("bin".to_owned(), 0o755, EntryKind::Directory),
        entry("tmp".to_owned(), 0o1777, EntryKind::Directory),
        entry("bin/busybox".to_owned(), 0o755, EntryKind::File(busybox)),
    ];
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let kind = EntryKind::Symlink("busybox".to_owned());
        entries.push(entry(format!("bin/{applet}"), 0o777, kind));
    }
    Ok(entries)
}

/// An image from scratch with the binary of `package` at its root, and `others` beside it.
fn one_binary(package: &str, built: &Path, name: String, others: Vec<Entry>) -> Result<Image> {
    let binary = folder()?.join(package);
    strip(built, &binary)?;
    let mut entries = others;
    entries.push(Entry { path: package.to_owned(), mode: 0o755, kind: EntryKind::File(binary) });
    let spec = ImageSpec {
        name,
        entries,
        entrypoint: vec![format!("/{package}")],
        env: vec![],
        user: NON_ROOT.to_owned(),
        workdir: "/".to_owned(),
    };
    write(&spec, &folder()?.join(format!("{package}.tar")))
}

/// Builds the one binary of `package` with the workspace's own target and flags, and answers where it lies.
fn built(package: &str) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--package", package, "--bins"]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let messages = output(&mut cargo)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built package {package} but named no binary {package}"))
}

/// Copies `binary` to `to` without symbols, which a static binary does not need to run. Where `strip` is not installed
/// it is copied as it is: the image is larger and works the same.
fn strip(binary: &Path, to: &Path) -> Result<()> {
    let strip = Command::new("strip").arg("--strip-all").arg("-o").args([to, binary]).status();
    if !strip.is_ok_and(|status| status.success()) {
        std::fs::copy(binary, to).with_context(|| format!("copying {}", binary.display()))?;
    }
    Ok(())
}

/// The static busybox of this machine, installed where it is missing.
fn busybox() -> Result<PathBuf> {
    if let Some(found) = find_busybox() {
        return Ok(found);
    }
    let mend = "apt-get update && apt-get install -y busybox-static";
    let shell = format!("({mend}) >&2");
    let status = Command::new("sh")
        .args(["-c", &shell])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .with_context(|| format!("running `{mend}`"))?;
    if !status.success() {
        bail!("a static busybox is needed for the test image and could not be installed: {mend}");
    }
    find_busybox().with_context(|| format!("`{mend}` left no {}", BUSYBOX_PATHS[0]))
}

fn find_busybox() -> Option<PathBuf> {
    BUSYBOX_PATHS.iter().map(PathBuf::from).find(|path| is_static(path))
}

/// Whether `path` is a binary that names no dynamic loader. Debian's other package of busybox lies at the same place and
/// cannot run in an image that holds nothing else.
fn is_static(path: &Path) -> bool {
    let loader = |bytes: &[u8]| bytes.starts_with(b"/ld-linux") || bytes.starts_with(b"/ld-musl");
    std::fs::read(path).is_ok_and(|bytes| !bytes.windows(9).any(loader))
}

/// Where archives lie: beside what cargo builds, so that one folder holds all that can be made again.
fn folder() -> Result<PathBuf> {
    let metadata =
        output(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    let target = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    let folder = Path::new(target).join("image");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// What `command` prints when it succeeds.
fn output(command: &mut Command) -> Result<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let output = command.output().with_context(|| format!("running {shown}"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading what {shown} printed"))
}
