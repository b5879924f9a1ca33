//! The namespaces that a cluster with a kubelet runs in: processes, mounts, network, host name,
//! System V IPC.
//!
//! The cluster has its own process tree, its own `/run`, `/tmp`, `/var/lib` and `/var/log`, its own
//! bridge, routes and packet filter. So it changes nothing of the machine, and nothing of it can
//! stay behind: the kernel ends it all when the first process of the namespaces dies.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::layout::{self, Layout};
use super::process::{self, Identity};
use super::{Lifetime, NODE_ADDRESS};

/// The bridge of the pods; the node's address in their network is [`NODE_ADDRESS`].
pub(super) const BRIDGE: &str = "cni0";

/// How many clusters can run at once: each has four addresses of the network for them.
const UPLINKS: u8 = 60;

/// What must be mounted before anything runs, as a shell script with `$1` the state folder and `$2`
/// that of the binaries.
///
/// The folders are made before `/run` and `/tmp` are covered, because the state folder may itself
/// lie there. The files laid over entries of `/proc/sys` hold what the kubelet wants to find, so
/// that it does not write those settings, which are the whole machine's. At the end mounts are
/// shared within these namespaces, so that containers see the volumes that the kubelet mounts for
/// them.
const MOUNTS: &str = r#"
set -eu
mount -t proc proc /proc
mkdir -p "$1/run" "$1/tmp" "$1/lib" "$1/logs/var" "$1/sysctl"
chmod 1777 "$1/tmp"
mount -t tmpfs tmpfs "$1/run"
mkdir -p "$1/run/tidegate/state" "$1/run/tidegate/bin" "$1/run/netns" "$1/run/lock"
mount --bind "$2" "$1/run/tidegate/bin"
mount --bind "$1" "$1/run/tidegate/state"
mount --rbind "$1/run" /run
cd /run/tidegate/state
mount --bind tmp /tmp
mount --bind lib /var/lib
mount --bind logs/var /var/log
keep() {
    [ -e "/proc/sys/$1" ] || return 0
    name=$(echo "$1" | tr / _)
    echo "$2" > "sysctl/$name"
    mount --bind "sysctl/$name" "/proc/sys/$1"
}
keep vm/overcommit_memory 1
keep vm/panic_on_oom 0
keep kernel/panic 10
keep kernel/panic_on_oops 1
keep kernel/keys/root_maxkeys 1000000
keep kernel/keys/root_maxbytes 25000000
mount --make-rshared /
"#;

/// The network within, as a shell script with `$1` the bridge, `$2` the node's address, `$3` the
/// uplink's.
const NETWORK: &str = r#"
set -eu
ip link set lo up
ip link add "$1" type bridge
ip address add "$2/24" dev "$1"
ip link set "$1" up
ip address add "$3/30" dev uplink
ip link set uplink up
echo 1 > /proc/sys/net/ipv4/ip_forward
"#;

/// The namespaces of a cluster, held by their first process.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Started the first process and ends when that does.
    pub(super) starter: Child,
    pub(super) init: Identity,
    pub(super) uplink: Uplink,
}

/// The line between the machine and the namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uplink {
    /// The name of the interface on the machine's side; it goes when the namespaces do.
    pub(super) interface: String,
    /// The number of its network.
    number: u8,
}

impl Uplink {
    /// The address of the cluster: the API server answers here.
    pub(super) fn cluster_address(&self) -> String {
        format!("198.18.88.{}", self.number * 4 + 2)
    }

    /// The address of the machine: what listens here can be called from within.
    fn machine_address(&self) -> String {
        format!("198.18.88.{}", self.number * 4 + 1)
    }
}

/// Makes the namespaces of a cluster, with mounts and network.
///
/// When it succeeds the first process waits, and the machine reaches the cluster's address. When it
/// fails nothing stays.
pub(super) fn create(layout: &Layout, lifetime: Lifetime) -> Result<Namespaces> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--net",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child=SIGKILL",
        "--",
    ]);
    command.arg(layout::binaries().join("keeper"));
    process::tie(&mut command, lifetime);
    let log = layout.log("namespaces");
    command.stderr(File::create(&log).with_context(|| format!("writing {}", log.display()))?);
    let mut starter = command
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("starting unshare (of util-linux)")?;
    match furnish(layout, &mut starter) {
        Ok((init, uplink)) => Ok(Namespaces { starter, init, uplink }),
        Err(error) => {
            let _ = starter.kill();
            let _ = starter.wait();
            Err(error.context("making the namespaces of the cluster"))
        }
    }
}

fn furnish(layout: &Layout, starter: &mut Child) -> Result<(Identity, Uplink)> {
    let mut line = String::new();
    let output = starter.stdout.take().context("the keeper's output")?;
    BufReader::new(output).read_line(&mut line)?;
    let pid = line.trim().parse().context("the keeper of the namespaces did not start")?;
    let init = Identity::of(pid).context("the keeper of the namespaces has ended")?;
    let uplink = connect(&layout.dir, pid)?;
    let script = |text: &str, arguments: &[&str]| {
        let mut command = process::enter(pid);
        command.args(["sh", "-c", text, "sh"]).args(arguments);
        process::run(&mut command)
    };
    let binaries = layout::binaries();
    script(MOUNTS, &[&layout.dir.to_string_lossy(), &binaries.to_string_lossy()])
        .context("mounting")?;
    script(NETWORK, &[BRIDGE, NODE_ADDRESS, &uplink.cluster_address()])
        .context("making the network")?;
    Ok((init, uplink))
}

/// Lays the line between machine and namespaces, on the first of the networks that is free.
fn connect(dir: &Path, init: u32) -> Result<Uplink> {
    let interface = interface(dir);
    disconnect(dir);
    // Two starts at once would both find the same network free.
    let lock = File::create(layout::home().join("uplink.lock"))?;
    lock.lock()?;
    let taken = process::run(Command::new("ip").args(["-brief", "address"]))?;
    for number in 0..UPLINKS {
        let uplink = Uplink { interface: interface.clone(), number };
        if taken.contains(&format!(" {}/", uplink.machine_address())) {
            continue;
        }
        let ip = |arguments: &[&str]| process::run(Command::new("ip").args(arguments));
        let address = format!("{}/30", uplink.machine_address());
        ip(&[
            "link",
            "add",
            &interface,
            "type",
            "veth",
            "peer",
            "name",
            "uplink",
            "netns",
            &init.to_string(),
        ])?;
        ip(&["address", "add", &address, "dev", &interface])?;
        ip(&["link", "set", &interface, "up"])?;
        return Ok(uplink);
    }
    bail!("{UPLINKS} clusters run already: no network is left for another; see `ip -brief address`")
}

/// Takes the line away, where there is one: the kernel does so itself, but only some time after the
/// namespaces are gone.
pub(super) fn disconnect(dir: &Path) {
    let _ = Command::new("ip").args(["link", "delete", &interface(dir)]).output();
}

/// A name of at most 15 characters that belongs to the state folder.
fn interface(dir: &Path) -> String {
    format!("tide{}", short_hash(dir))
}

/// Eight hexadecimal digits that belong to the state folder.
pub(super) fn short_hash(dir: &Path) -> String {
    hex::encode(&Sha256::digest(dir.as_os_str().as_encoded_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_do_not_overlap() {
        let uplink = |number| Uplink { interface: interface(Path::new("/a")), number };
        assert_eq!(uplink(0).machine_address(), "198.18.88.1");
        assert_eq!(uplink(0).cluster_address(), "198.18.88.2");
        assert_eq!(uplink(UPLINKS - 1).cluster_address(), "198.18.88.238");
    }
}
