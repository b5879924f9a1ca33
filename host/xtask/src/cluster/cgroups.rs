//! The cgroup that all pods of a cluster live under, in version 1 (one hierarchy for each
//! controller) and version 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::POLL;

/// The controllers that a kubelet cannot do without.
pub(super) const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// How long the kernel may take to let go of the groups of processes that were killed.
const REMOVAL: Duration = Duration::from_secs(5);

/// Makes the group `name` at the root of every hierarchy, with every controller that there is.
///
/// When it succeeds a kubelet can be given the group as its root. Fails where the groups cannot be
/// written, or where a controller that is [needed](NEEDED) cannot be had below the root.
pub(super) fn create(name: &str) -> Result<()> {
    for Hierarchy { mount, version, controllers: _ } in hierarchies() {
        let group = mount.join(name);
        match version {
            Version::One => make(&group)?,
            Version::Two => {
                enable_controllers(&mount);
                make(&group)?;
                check_controllers(&mount, &group)?;
                enable_controllers(&group);
            }
        }
    }
    Ok(())
}

/// Removes the group `name` with all groups below it, where there is one. A group that processes
/// still live in stays.
///
/// It looks into every hierarchy, because containers are put into one of version 2 that stands
/// beside those of version 1.
pub(super) fn remove(name: &str) {
    let deadline = Instant::now() + REMOVAL;
    let all = [Version::One, Version::Two].into_iter().flat_map(hierarchies_of);
    for group in all.map(|hierarchy| hierarchy.mount.join(name)) {
        while group.exists() && !remove_tree(&group) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

/// Whether some hierarchy has this controller.
pub(super) fn has_controller(controller: &str) -> bool {
    hierarchies().iter().any(|hierarchy| hierarchy.controllers.iter().any(|one| one == controller))
}

struct Hierarchy {
    mount: PathBuf,
    version: Version,
    controllers: Vec<String>,
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

/// All hierarchies that pods are put into: those of version 1 where any is mounted, as the kubelet
/// sees it, else version 2.
fn hierarchies() -> Vec<Hierarchy> {
    let ones = hierarchies_of(Version::One);
    if ones.is_empty() { hierarchies_of(Version::Two) } else { ones }
}

fn hierarchies_of(version: Version) -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter_map(|line| hierarchy(line, version)).collect()
}

/// The hierarchy that a line of `/proc/self/mounts` speaks of: device, path, type and options, with
/// spaces between.
fn hierarchy(line: &str, version: Version) -> Option<Hierarchy> {
    let mut fields = line.split(' ').skip(1);
    let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
    let mount = PathBuf::from(path);
    let controllers = match version {
        Version::One => options.to_owned(),
        Version::Two => fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default(),
    };
    let expected = match version {
        Version::One => "cgroup",
        Version::Two => "cgroup2",
    };
    (kind == expected && path.starts_with("/sys/fs/cgroup")).then(|| Hierarchy {
        mount,
        version,
        controllers: controllers.split([',', ' ', '\n']).map(str::to_owned).collect(),
    })
}

fn make(group: &Path) -> Result<()> {
    fs::create_dir_all(group).with_context(|| format!("making {}", group.display()))
}

/// Within a container the root of version 2 may hold processes, and then has no controller to give.
fn check_controllers(root: &Path, group: &Path) -> Result<()> {
    let has = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    let lacking = NEEDED.iter().find(|needed| !has.split_whitespace().any(|one| one == **needed));
    match lacking {
        None => Ok(()),
        Some(controller) => bail!(
            "the controller {controller} cannot be had below {0}: where processes are listed in \
             {0}/cgroup.procs, move them into a group below it, such as {0}/init",
            root.display()
        ),
    }
}

/// Asks for each controller by itself, because one that cannot be had would refuse them all.
fn enable_controllers(group: &Path) {
    let controllers = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes a group and those below it; true when it is gone.
fn remove_tree(group: &Path) -> bool {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}
