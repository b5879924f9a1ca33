//! Building the cluster's binaries from Go modules, once.
//!
//! A part is built again only when its sources or its flags change; Go's own caches make that
//! quick.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::layout;
use crate::progress;

/// The version that the cluster's parts show to clients; the Go module that builds them asks for
/// the same.
const KUBERNETES_VERSION: &str = "v1.36.3";

/// A Go module under `go/` and how it is built.
struct Part {
    name: &'static str,
    package: Package,
    tags: &'static str,
    cgo: Cgo,
}

/// What of the module is built.
enum Package {
    /// Its own `main`, to a binary of the part's name.
    Own,
    /// The tools that its `go.mod` names, each to a binary of its own name.
    Tools(&'static [&'static str]),
}

enum Cgo {
    Off,
    On,
}

/// The parts that every cluster needs; the long one first.
const CONTROL_PLANE: [Part; 2] = [
    Part { name: "kubernetes", package: Package::Own, tags: "", cgo: Cgo::Off },
    Part { name: "keeper", package: Package::Own, tags: "", cgo: Cgo::Off },
];

/// The parts that a node with a kubelet needs besides.
const NODE: [Part; 4] = [
    Part {
        name: "containerd",
        package: Package::Tools(&["containerd", "containerd-shim-runc-v2", "ctr"]),
        // Snapshotters that need headers of their own, and that nothing here uses.
        tags: "no_btrfs,no_devmapper,no_zfs",
        cgo: Cgo::Off,
    },
    Part { name: "runc", package: Package::Tools(&["runc"]), tags: "seccomp", cgo: Cgo::On },
    Part {
        name: "cni",
        package: Package::Tools(&["bridge", "host-local", "loopback"]),
        tags: "",
        cgo: Cgo::Off,
    },
    Part { name: "coredns", package: Package::Own, tags: "", cgo: Cgo::Off },
];

/// Builds what a control plane needs.
///
/// When it succeeds the binaries of this very source are in the binaries folder. Fails where Go is
/// missing or a build fails.
pub(super) fn build_control_plane() -> Result<()> {
    build_all(&CONTROL_PLANE.iter().collect::<Vec<_>>())
}

/// Builds what a control plane and a node with a kubelet need.
pub(super) fn build_everything() -> Result<()> {
    build_all(&CONTROL_PLANE.iter().chain(&NODE).collect::<Vec<_>>())
}

fn build_all(parts: &[&Part]) -> Result<()> {
    let folder = layout::binaries();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // Two builds at once would write the same files; the one that comes second finds everything
    // built.
    let lock = File::create(layout::home().join("build.lock"))?;
    progress::during("waiting for another build of the cluster's binaries", || lock.lock())?;
    for (index, part) in parts.iter().enumerate() {
        let key = key(part)?;
        let key_file = folder.join(format!("{}.key", part.name));
        if is_built(part, &folder) && fs::read_to_string(&key_file).is_ok_and(|built| built == key)
        {
            continue;
        }
        build(part, &folder, &format!("building {} ({}/{})", part.name, index + 1, parts.len()))?;
        fs::write(&key_file, key)?;
    }
    let kubectl = folder.join("kubectl");
    if !kubectl.exists() {
        symlink("kubernetes", &kubectl)
            .with_context(|| format!("linking {}", kubectl.display()))?;
    }
    Ok(())
}

fn build(part: &Part, folder: &Path, what: &str) -> Result<()> {
    check_go()?;
    let sources = sources(part.name);
    let mut command = go_build(part, folder);
    command.current_dir(&sources).stdin(Stdio::null());
    progress::say(what);
    let started = Instant::now();
    let output = progress::during(what, || command.output()).context("running go")?;
    if !output.status.success() {
        bail!(
            "{what} failed in {}:\n{}",
            sources.display(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    progress::say(format_args!("built {} in {}", part.name, progress::spell(started.elapsed())));
    Ok(())
}

fn go_build(part: &Part, folder: &Path) -> Command {
    let mut command = Command::new("go");
    let cgo = match part.cgo {
        Cgo::Off => "0",
        Cgo::On => "1",
    };
    command.env("CGO_ENABLED", cgo);
    command.args([
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-tags",
        part.tags,
        "-ldflags",
        &linker_flags(),
    ]);
    match part.package {
        Package::Own => command.arg("-o").arg(folder.join(part.name)).arg("."),
        Package::Tools(_) => command.arg("-o").arg(folder).arg("tool"),
    };
    command
}

/// No symbols, which halves the size, and the version that clients are shown.
fn linker_flags() -> String {
    let version = "k8s.io/component-base/version";
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!(
        "-s -w -X {version}.gitVersion={KUBERNETES_VERSION} \
         -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
}

fn check_go() -> Result<()> {
    match Command::new("go").arg("version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) | Err(_) => bail!(
            "Kubernetes is built from Go modules, and `go` does not run: install Go 1.26 or later"
        ),
    }
}

fn sources(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(name)
}

fn is_built(part: &Part, folder: &Path) -> bool {
    match part.package {
        Package::Own => folder.join(part.name).is_file(),
        Package::Tools(tools) => tools.iter().all(|tool| folder.join(tool).is_file()),
    }
}

/// What a binary depends on: the sources of its module and the flags that it is built with.
fn key(part: &Part) -> Result<String> {
    let folder = sources(part.name);
    let mut hash = Sha256::new();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    for path in names {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        hash.update([0]);
    }
    hash.update(format!("{:?}", go_build(part, Path::new(""))));
    Ok(hex::encode(hash.finalize()))
}
