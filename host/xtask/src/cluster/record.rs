//! What a cluster leaves on disk for whoever comes later: who runs it, and what of it must be
//! cleaned up.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::process::{Identity, POLL};
use super::{Nodes, cgroups, layout, namespaces};

/// How long the kernel may take to end all processes of a cluster.
const KILL: Duration = Duration::from_secs(20);

/// Where the provisioner puts volumes, as it sees the machine.
const PROVISIONED: &str = "/tmp/hostpath_pv";

/// What cleaning leaves in a state folder: what explains a failure, and the record and the lock
/// until the end.
const KEPT: [&str; 4] = ["logs", "audit.log", "cluster.json", LOCK];

/// The file that is locked while a cluster starts, and that marks a folder as a cluster's.
const LOCK: &str = "start.lock";

/// Who runs a cluster and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) nodes: Nodes,
    /// The address of the API server for clients of this machine.
    pub(super) server: String,
    /// The processes that hold the cluster: with them all of it ends.
    pub(super) holders: Vec<Identity>,
}

impl Record {
    /// Reads the record of a state folder, if there is one.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = path(dir);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let value: Value =
            serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
        parse(&value)
            .map(Some)
            .with_context(|| format!("{} is not the record of a cluster", path.display()))
    }

    /// Writes the record, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let holders: Vec<_> =
            self.holders.iter().map(|one| json!([one.pid, one.started])).collect();
        let nodes = match self.nodes {
            Nodes::Kubelet => "kubelet",
            Nodes::StandInOnly => "stand-in",
        };
        let value = json!({"nodes": nodes, "server": self.server, "holders": holders});
        let partial = path(dir).with_extension("partial");
        fs::write(&partial, value.to_string())
            .and_then(|()| fs::rename(&partial, path(dir)))
            .with_context(|| format!("writing {}", partial.display()))
    }

    /// The number of a process that still runs the cluster, if it runs.
    pub(super) fn running(&self) -> Option<u32> {
        self.holders.iter().find(|holder| holder.is_alive()).map(|holder| holder.pid)
    }
}

/// Makes the folder of the provisioner, where that runs as a plain process: every such cluster of
/// the machine shares it.
///
/// Fails where another user's cluster has made it, because claims would wait for ever.
pub(super) fn check_provisioned() -> Result<()> {
    let probe = Path::new(PROVISIONED).join(format!("probe-{}", std::process::id()));
    fs::create_dir_all(&probe).and_then(|()| fs::remove_dir(&probe)).with_context(|| {
        format!(
            "volumes cannot be made in {PROVISIONED}: \
             end the other user's cluster, or remove that folder"
        )
    })
}

/// Ends all that runs from this state folder, and removes all that a cluster there left, but its
/// logs.
///
/// When it succeeds no process, mount, interface, cgroup or volume of that cluster is left. It does
/// nothing where there was no cluster.
pub(super) fn clean(dir: &Path) -> Result<()> {
    if !is_ours(dir) {
        return Ok(());
    }
    let record = Record::read(dir)?;
    for holder in record.iter().flat_map(|record| &record.holders) {
        holder.kill(KILL)?;
    }
    if let Some(Record { nodes: Nodes::StandInOnly, .. }) = record {
        remove_plain_volumes(&layout::audit_log(dir))?;
    }
    namespaces::disconnect(dir);
    cgroups::remove(&cgroup(dir));
    remove_files(dir)
}

/// Makes a state folder and locks it while a cluster is started there: two starts at once would
/// each take the other for dead.
///
/// Fails where the folder holds something else, because cleaning removes all that is in it.
pub(super) fn claim(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let is_empty = fs::read_dir(dir)?.next().is_none();
    if !is_empty && !is_ours(dir) {
        bail!("{} holds other files: name an empty folder or a new one", dir.display());
    }
    let path = dir.join(LOCK);
    let lock = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    lock.lock()?;
    Ok(lock)
}

/// Whether the folder was once given to a cluster.
fn is_ours(dir: &Path) -> bool {
    dir.join(LOCK).is_file()
}

/// The cgroup of the pods of a cluster.
pub(super) fn cgroup(dir: &Path) -> String {
    format!("tidegate-{}", namespaces::short_hash(dir))
}

fn path(dir: &Path) -> PathBuf {
    dir.join("cluster.json")
}

fn parse(value: &Value) -> Option<Record> {
    let nodes = match value["nodes"].as_str()? {
        "kubelet" => Nodes::Kubelet,
        "stand-in" => Nodes::StandInOnly,
        _ => return None,
    };
    let holder = |one: &Value| {
        Some(Identity { pid: u32::try_from(one[0].as_u64()?).ok()?, started: one[1].as_u64()? })
    };
    let holders = value["holders"].as_array()?.iter().map(holder).collect::<Option<_>>()?;
    Some(Record { nodes, server: value["server"].as_str()?.to_owned(), holders })
}

/// Removes the volumes that the provisioner of a cluster without namespaces made. The audit log
/// names their folders, even where the cluster was killed.
fn remove_plain_volumes(audit_log: &Path) -> Result<()> {
    let Ok(file) = File::open(audit_log) else {
        return Ok(());
    };
    for line in BufReader::new(file).lines() {
        // The last line of a cluster that was killed may be cut off.
        let Ok(event) = serde_json::from_str(&line?) else {
            continue;
        };
        let Some(volume) = made_volume(&event) else {
            continue;
        };
        if volume.is_dir() {
            fs::remove_dir_all(&volume)
                .with_context(|| format!("removing {}", volume.display()))?;
        }
    }
    // Refused while another cluster has volumes there.
    let _ = fs::remove_dir(PROVISIONED);
    Ok(())
}

/// The folder of the volume that a request made, where it did. A path of the log becomes one to
/// remove, so it must be right below the provisioner's folder.
fn made_volume(event: &Value) -> Option<PathBuf> {
    if event["verb"] != "create" || event["objectRef"]["resource"] != "persistentvolumes" {
        return None;
    }
    let path = Path::new(event["requestObject"]["spec"]["hostPath"]["path"].as_str()?);
    let name = path.file_name()?;
    (path == Path::new(PROVISIONED).join(name)).then(|| path.to_owned())
}

/// Removes what the state folder holds, but logs. The record goes last, so that a removal that
/// broke off is done again.
fn remove_files(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if KEPT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        let deadline = Instant::now() + KILL;
        while let Err(error) = remove(&path) {
            // A part whose keeper was killed may write for a moment yet.
            if Instant::now() > deadline {
                bail!("removing {}: {error}", path.display());
            }
            thread::sleep(POLL);
        }
    }
    let _ = fs::remove_file(path(dir));
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), None);
        let record = Record {
            nodes: Nodes::StandInOnly,
            server: "https://127.0.0.1:1".to_owned(),
            holders: vec![Identity { pid: 7, started: 9 }],
        };
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), Some(record));
    }

    #[test]
    fn only_folders_of_the_provisioner_are_removed() {
        let event = |path: &str| {
            json!({
                "verb": "create",
                "objectRef": {"resource": "persistentvolumes"},
                "requestObject": {"spec": {"hostPath": {"path": path}}},
            })
        };
        let volume = "/tmp/hostpath_pv/0e2d";
        assert_eq!(made_volume(&event(volume)), Some(volume.into()));
        for path in ["/tmp/hostpath_pv", "/tmp/hostpath_pv/..", "/tmp/hostpath_pv/a/b", "/home"] {
            assert_eq!(made_volume(&event(path)), None, "{path}");
        }
        assert_eq!(made_volume(&json!({"verb": "create"})), None);
    }

    #[test]
    fn a_folder_that_holds_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("thesis.txt");
        fs::write(&file, "").unwrap();
        clean(folder.path()).unwrap();
        claim(folder.path()).unwrap_err();
        assert!(file.exists());
    }

    #[test]
    fn cleaning_keeps_logs_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["logs", "etcd"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["audit.log", "ca.crt", "cluster.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_files(folder.path()).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["audit.log", "logs"]);
    }
}
