//! The cases of our own policies, asked as their author asks them: by `tidegate policy test`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The fewest cases of a policy of the library.
const CASES_MIN: usize = 4;

#[test]
fn every_policy_of_the_library_answers_its_cases_as_they_are_kept() {
    let built = xtask::policies::build_all().expect("the policies build");
    let library: Vec<_> = built.iter().filter(|policy| policy.in_library).collect();
    assert!(library.len() >= 3, "{library:?}");
    for policy in library {
        let folder = format!("policies/{}", policy.name);
        let cases = hold(&folder, &policy.component);
        assert!(cases >= CASES_MIN, "{folder} has {cases} cases");
    }
}

/// Holds where every case of the folder has the answer that is kept; gives how many there are.
pub(crate) fn hold(folder: &str, component: &Path) -> usize {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(folder);
    let done = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_tidegate")))
        .args(["policy", "test"])
        .arg(&folder)
        .arg("--policy")
        .arg(component)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}:\n{said}{words}", folder.display());
    said.lines().filter(|line| line.starts_with("ok ")).count()
}
