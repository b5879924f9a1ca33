//! What keeps a machine from running a kubelet.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{cgroups, layout};

/// Why this machine cannot run a kubelet, in words for its user, or nothing where it can.
///
/// It looks for what no package brings: root, namespaces, overlay file systems, cgroups that can be
/// written.
pub fn kubelet_obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a kubelet needs root: run it as root, such as with sudo".to_owned());
    }
    namespaces().or_else(|| overlay_obstacle(&layout::home())).or_else(writable_cgroups)
}

fn namespaces() -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "true"]);
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "a kubelet needs mount, process and network namespaces, and unshare says: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("unshare (of the package util-linux) cannot be run: {error}")),
    }
}

fn writable_cgroups() -> Option<String> {
    let lacking: Vec<_> = cgroups::NEEDED
        .into_iter()
        .filter(|controller| !cgroups::has_controller(controller))
        .collect();
    if !lacking.is_empty() {
        return Some(format!(
            "a kubelet needs cgroups, and /sys/fs/cgroup has no controller {}",
            lacking.join(", ")
        ));
    }
    let probe = format!("tidegate-probe-{}", std::process::id());
    let outcome = cgroups::create(&probe);
    cgroups::remove(&probe);
    outcome.err().map(|error| format!("a kubelet needs cgroups that it can write: {error:#}"))
}

/// Why containers cannot have their files below `dir`, or nothing where they can.
pub(super) fn overlay_obstacle(dir: &Path) -> Option<String> {
    let script = r#"mkdir -p "$1/lower" "$1/upper" "$1/work" "$1/merged" &&
        cd "$1" &&
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"#;
    let probe = dir.join(format!("overlay-probe-{}", std::process::id()));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&probe);
    let outcome = command.output();
    let _ = fs::remove_dir_all(&probe);
    match outcome {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "containers cannot have an overlay file system in {}: {}; \
             name a folder of another file system",
            dir.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("unshare cannot be run: {error}")),
    }
}
