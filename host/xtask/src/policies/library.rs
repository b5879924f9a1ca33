//! `deploy/library`: the library policies as immutable ConfigMaps, and the arguments that tell the host about them.

use super::BuiltPolicy;
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many hex digits of the digest stand in a ConfigMap's name: enough that no two versions ever share one.
const DIGEST_DIGITS_IN_NAME: usize = 12;

/// The key of the ConfigMap that holds the component.
const KEY: &str = "policy.wasm.gz";

/// The file that lists all others.
const KUSTOMIZATION: &str = "kustomization.yaml";

const GENERATED: &str = "# Written by `cargo xtask policies`: a change made here is lost.\n";

/// The files of `deploy/library` by name.
pub(super) fn files(built: &[BuiltPolicy]) -> BTreeMap<String, String> {
    let library: Vec<&BuiltPolicy> = built.iter().filter(|policy| policy.in_library).collect();
    let mut files = BTreeMap::from([(KUSTOMIZATION.to_owned(), kustomization(&library))]);
    for policy in library {
        files.insert(format!("{}.yaml", policy.name), config_map(policy));
    }
    files
}

/// Writes the files, and removes those that belong to no policy.
pub(super) fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        super::replace(&folder.join(name), text.as_bytes())?;
    }
    for name in present(folder)?.iter().filter(|name| !files.contains_key(*name)) {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Compares the files with those that are there.
///
/// # Errors
/// Names every file that is missing, differs or is too many, and the mend.
pub(super) fn check(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let mut wrong: BTreeSet<String> =
        present(folder)?.into_iter().filter(|name| !files.contains_key(name)).collect();
    for (name, text) in files {
        if fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text) {
            wrong.insert(name.clone());
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    bail!(
        "deploy/library is not what the policies build to ({}): run `cargo xtask policies` and commit it",
        wrong.join(", ")
    )
}

fn present(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    let names: std::io::Result<Vec<String>> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    names.with_context(|| format!("cannot read {}", folder.display()))
}

fn config_map_name(policy: &BuiltPolicy) -> String {
    let digits = policy.sha256.get(..DIGEST_DIGITS_IN_NAME).unwrap_or(&policy.sha256);
    format!("tidegate-policy-{}-{digits}", policy.name)
}

fn config_map(policy: &BuiltPolicy) -> String {
    format!(
        "{GENERATED}\
         apiVersion: v1\n\
         kind: ConfigMap\n\
         metadata:\n\
         \x20 name: {name}\n\
         \x20 labels:\n\
         \x20   tidegate.dev/library: {policy}\n\
         \x20 annotations:\n\
         \x20   tidegate.dev/sha256: \"{sha256}\"\n\
         immutable: true\n\
         binaryData:\n\
         \x20 {KEY}: {data}\n",
        name = config_map_name(policy),
        policy = policy.name,
        sha256 = policy.sha256,
        data = BASE64.encode(&policy.gzip),
    )
}

fn kustomization(library: &[&BuiltPolicy]) -> String {
    let resources: String =
        library.iter().map(|policy| format!("  - {}.yaml\n", policy.name)).collect();
    let arguments: String = library
        .iter()
        .map(|policy| {
            format!(
                "      - op: add\n\
                 \x20       path: /spec/template/spec/containers/0/args/-\n\
                 \x20       value: --library={}={}/{KEY}@sha256:{}\n",
                policy.name,
                config_map_name(policy),
                policy.sha256
            )
        })
        .collect();
    format!(
        "{GENERATED}\
         apiVersion: kustomize.config.k8s.io/v1alpha1\n\
         kind: Component\n\
         resources:\n\
         {resources}\
         patches:\n\
         \x20 - target:\n\
         \x20     kind: Deployment\n\
         \x20     name: tidegate\n\
         \x20   patch: |-\n\
         {arguments}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, in_library: bool) -> BuiltPolicy {
        BuiltPolicy {
            name: name.to_owned(),
            in_library,
            component: Path::new(name).to_path_buf(),
            size_bytes: 3,
            gzip: vec![0x1f, 0x8b, 0x08],
            sha256: "1e".repeat(32),
            imports: Vec::new(),
            exports: Vec::new(),
        }
    }

    #[test]
    fn a_library_policy_becomes_an_immutable_config_map_and_an_argument() {
        let files = files(&[policy("exec", true), policy("shards", false)]);
        let names: Vec<&String> = files.keys().collect();
        assert_eq!(names, ["exec.yaml", "kustomization.yaml"]);
        let digest = "1e".repeat(32);
        assert_eq!(
            files["exec.yaml"],
            format!(
                "{GENERATED}apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: tidegate-policy-exec-1e1e1e1e1e1e\n  labels:\n    \
                 tidegate.dev/library: exec\n  annotations:\n    tidegate.dev/sha256: \"{digest}\"\nimmutable: true\n\
                 binaryData:\n  policy.wasm.gz: H4sI\n"
            )
        );
        let argument = format!(
            "--library=exec=tidegate-policy-exec-1e1e1e1e1e1e/policy.wasm.gz@sha256:{digest}\n"
        );
        assert!(
            files["kustomization.yaml"].ends_with(&argument),
            "{}",
            files["kustomization.yaml"]
        );
    }

    #[test]
    fn check_names_what_is_missing_changed_or_too_many() {
        let place = tempfile::tempdir().expect("there is a place");
        let folder = place.path().join("library");
        let files = files(&[policy("exec", true), policy("keep", true)]);
        let wrong = |named: &str| {
            let error = check(&folder, &files).expect_err(named).to_string();
            assert!(error.contains(named) && error.contains("cargo xtask policies"), "{error}");
        };
        wrong("(exec.yaml, keep.yaml, kustomization.yaml)");
        write(&folder, &files).expect("it can be written");
        check(&folder, &files).expect("it is what was written");
        fs::write(folder.join("exec.yaml"), "edited").expect("it can be written");
        fs::write(folder.join("old.yaml"), "").expect("it can be written");
        wrong("(exec.yaml, old.yaml)");
        write(&folder, &files).expect("it can be written");
        check(&folder, &files).expect("it is in step again");
    }
}
