//! What a node with a kubelet needs from the operating system.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress;

/// What must be there, and the Debian package that brings it.
struct Need {
    what: What,
    package: &'static str,
}

enum What {
    Program(&'static str),
    File(&'static str),
}

const NEEDS: [Need; 9] = [
    Need { what: What::Program("conntrack"), package: "conntrack" },
    Need { what: What::Program("gcc"), package: "gcc" },
    Need { what: What::File("/usr/include/stdio.h"), package: "libc6-dev" },
    Need { what: What::Program("ip"), package: "iproute2" },
    Need { what: What::File("/usr/include/seccomp.h"), package: "libseccomp-dev" },
    Need { what: What::Program("mount"), package: "mount" },
    Need { what: What::Program("nft"), package: "nftables" },
    Need { what: What::Program("nsenter"), package: "util-linux" },
    Need { what: What::Program("pkg-config"), package: "pkg-config" },
];

/// Where programs of the administrator lie, which a user's `PATH` may leave out.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Installs the missing packages with `apt-get`; call it as root.
///
/// When it succeeds everything of the list is there. Fails with the command that mends it.
pub(super) fn install_missing() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let mend = format!("apt-get update && apt-get install -y {names}");
    if !is_there(&What::Program("apt-get")) {
        bail!(
            "this machine lacks what Debian has in the packages {names}; \
             on Debian they come with: {mend}"
        );
    }
    progress::say(format_args!("installing {names}"));
    progress::during("installing packages", || {
        apt_get(&["update", "-qq"])?;
        apt_get(
            &[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat(),
        )
    })
    .with_context(|| format!("installing packages; the command that mends it: {mend}"))
}

fn missing() -> Vec<&'static str> {
    NEEDS.iter().filter(|need| !is_there(&need.what)).map(|need| need.package).collect()
}

fn is_there(what: &What) -> bool {
    match what {
        What::File(path) => Path::new(path).exists(),
        What::Program(name) => {
            let own = env::var("PATH").unwrap_or_default();
            own.split(':')
                .chain(SYSTEM_PATH.split(':'))
                .any(|folder| Path::new(folder).join(name).is_file())
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    if !output.status.success() {
        bail!(
            "apt-get {} failed:\n{}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
