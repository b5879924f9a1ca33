//! What the sources of the tests name, found as text: whether a test that a data file names is there at all must not take a build.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::cargo::workspace;

/// The folders that hold tests.
const FOLDERS: [&str; 3] = ["host", "policies", "examples"];

/// Whether a function or a trial of this name, or with this part in it, stands in the sources.
///
/// # Errors
/// Where they cannot be read.
pub(crate) fn name_a_test(name: &str) -> Result<bool> {
    static SOURCES: OnceLock<String> = OnceLock::new();
    let sources = match SOURCES.get() {
        Some(sources) => sources,
        None => {
            let mut all = String::new();
            FOLDERS.iter().try_for_each(|folder| gather(&workspace().join(folder), &mut all))?;
            SOURCES.get_or_init(|| all)
        }
    };
    // Trials of the cluster are named by their whole path in a string, other tests by their function.
    let function = name.rsplit("::").next().unwrap_or(name);
    let is_function = sources.contains(&format!("fn {function}"));
    Ok(is_function || sources.contains(&format!("\"{name}")))
}

fn gather(folder: &Path, all: &mut String) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, all)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            all.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
