//! Cargo, as it would be called from a shell.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What cargo tells a program that it runs about the program's own package. Build scripts look at these: a cargo that inherited
/// them would build much of the workspace again, and the next one from a shell once more.
const OF_ONE_PACKAGE: [&str; 7] = [
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
];

/// The cargo that runs this program, or the one of the search path, in the workspace.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace());
    for name in env::vars_os().map(|(name, _)| name).filter(is_of_one_package) {
        command.env_remove(name);
    }
    command
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[allow(clippy::ptr_arg, reason = "`filter` hands out what the iterator holds")]
fn is_of_one_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    OF_ONE_PACKAGE.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_set_is_left_alone() {
        for (name, ours) in [
            ("CARGO_PKG_NAME", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_BIN_EXE_tidegate", true),
            ("CARGO_HOME", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_BUILD_JOBS", false),
            ("PATH", false),
        ] {
            assert_eq!(is_of_one_package(&name.into()), ours, "{name}");
        }
    }
}
