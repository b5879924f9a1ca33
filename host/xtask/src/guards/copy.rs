//! A copy of the workspace in which guards are taken out. It has a target folder of its own that is kept, so that each guard costs a build of what
//! it changes and no more.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::workspace;
use crate::dependencies;

use super::guard::Guard;

/// What cargo reads from the folders above too: a copy of it would be joined with the original, and each flag stand there twice.
const READ_FROM_ABOVE: &str = ".cargo/";
/// The binaries of the test cluster, which take minutes to build and depend on nothing in which a guard stands.
const CLUSTER_BINARIES: &str = "target/cluster/bin";

/// The copy.
pub(crate) struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Makes it, or brings it up to date.
    pub(crate) fn make() -> Result<Self> {
        let copy = Self { folder: workspace().join("target/guards") };
        let target = copy.folder.join("target");
        if !target.exists() {
            dependencies::lend(&target)?;
        }
        let files = files()?;
        for file in &files {
            copy.restore(file)?;
        }
        copy.forget_others(&files)?;
        let binaries = copy.folder.join(CLUSTER_BINARIES);
        if !binaries.exists() {
            fs::create_dir_all(binaries.parent().context("it has a folder")?)?;
            let built = workspace().canonicalize()?.join(CLUSTER_BINARIES);
            fs::create_dir_all(&built)?;
            symlink(built, binaries).context("lending the cluster's binaries to the copy")?;
        }
        Ok(copy)
    }

    /// Its root.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes a guard out.
    pub(crate) fn take_out(&self, guard: &Guard) -> Result<()> {
        for cut in &guard.cuts {
            let path = self.folder.join(&cut.source);
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", cut.source))?;
            fs::write(&path, cut.applied(&text)?)?;
        }
        Ok(())
    }

    /// Puts it back.
    pub(crate) fn put_back(&self, guard: &Guard) -> Result<()> {
        guard.cuts.iter().try_for_each(|cut| self.restore(&cut.source))
    }

    /// A file that is as it should be is not touched, because cargo goes by the times of files.
    fn restore(&self, file: &str) -> Result<()> {
        let (from, to) = (workspace().join(file), self.folder.join(file));
        let original = fs::read(&from).with_context(|| format!("reading {file}"))?;
        if fs::read(&to).is_ok_and(|there| there == original) {
            return Ok(());
        }
        fs::create_dir_all(to.parent().context("it has a folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("copying {file}"))?;
        // A copy may bear the time of the original, which is older than what was built without the guard.
        fs::File::options().append(true).open(&to)?.set_modified(std::time::SystemTime::now())?;
        Ok(())
    }

    /// A file that the workspace no longer has would still be found by tests that read a folder.
    fn forget_others(&self, files: &[String]) -> Result<()> {
        let list = self.folder.join("target/files");
        let before = fs::read_to_string(&list).unwrap_or_default();
        for gone in before.lines().filter(|file| !files.iter().any(|it| it == file)) {
            fs::remove_file(self.folder.join(gone)).or_else(|error| {
                if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
            })?;
        }
        fs::create_dir_all(self.folder.join("target"))?;
        fs::write(&list, files.join("\n")).context("noting what the copy holds")
    }
}

/// The files of the workspace that are under version control or may come under it.
fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout)?;
    let files = listed.lines().filter(|file| !file.starts_with(READ_FROM_ABOVE));
    // A file that is deleted and not yet committed is still listed.
    Ok(files.filter(|file| workspace().join(file).is_file()).map(str::to_owned).collect())
}
