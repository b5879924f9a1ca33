//! `tidegate policy new`: a folder with a policy that builds, its tests and its cases.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::args::{Language, NewArgs};
use super::{Outcome, say};

/// The longest name: it becomes a part of a ConfigMap's, beside digits of the digest.
const NAME_MAX_BYTES: usize = 40;

/// What a policy in Rust depends on, by its name: no package depends on another of its own.
const SDK_PACKAGE: &str = "tidegate-policy";

/// A file to be made: where, and with what.
type File = (&'static str, &'static str);

const RUST: [File; 5] = [
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("new/rust/src/lib.rs.txt")),
    ("README.md", include_str!("new/rust/README.md.txt")),
    (".gitignore", include_str!("new/rust/gitignore.txt")),
    ("sdk/Cargo.toml", include_str!("new/rust/sdk.toml.txt")),
];

/// The SDK that this program was built beside: what an author gets is what the library's policies are made with.
const SDK: [File; 14] = [
    ("sdk/wit/policy.wit", CONTRACT),
    ("sdk/src/lib.rs", include_str!("../../../policies/sdk/src/lib.rs")),
    ("sdk/src/answers.rs", include_str!("../../../policies/sdk/src/answers.rs")),
    ("sdk/src/bindings.rs", include_str!("../../../policies/sdk/src/bindings.rs")),
    ("sdk/src/claims.rs", include_str!("../../../policies/sdk/src/claims.rs")),
    ("sdk/src/config.rs", include_str!("../../../policies/sdk/src/config.rs")),
    ("sdk/src/container.rs", include_str!("../../../policies/sdk/src/container.rs")),
    ("sdk/src/ending.rs", include_str!("../../../policies/sdk/src/ending.rs")),
    ("sdk/src/glue.rs", include_str!("../../../policies/sdk/src/glue.rs")),
    ("sdk/src/log.rs", include_str!("../../../policies/sdk/src/log.rs")),
    ("sdk/src/peer.rs", include_str!("../../../policies/sdk/src/peer.rs")),
    ("sdk/src/set.rs", include_str!("../../../policies/sdk/src/set.rs")),
    ("sdk/src/template.rs", include_str!("../../../policies/sdk/src/template.rs")),
    ("sdk/src/testing.rs", include_str!("../../../policies/sdk/src/testing.rs")),
];

const JS: [File; 8] = [
    ("package.json", include_str!("new/js/package.json.txt")),
    ("package-lock.json", include_str!("new/js/package-lock.json.txt")),
    ("policy.js", include_str!("new/js/policy.js.txt")),
    ("decide.js", include_str!("new/js/decide.js.txt")),
    ("decide.test.js", include_str!("new/js/decide.test.js.txt")),
    ("README.md", include_str!("new/js/README.md.txt")),
    (".gitignore", include_str!("new/js/gitignore.txt")),
    ("wit/policy.wit", CONTRACT),
];

const CASES: [File; 6] = [
    ("cases/first.json", include_str!("new/cases/first.json.txt")),
    ("cases/first.answer.json", include_str!("new/cases/first.answer.json.txt")),
    ("cases/config.json", include_str!("new/cases/config.json.txt")),
    ("cases/config.answer.json", include_str!("new/cases/config.answer.json.txt")),
    ("cases/evicted.jsonl", include_str!("new/cases/evicted.jsonl.txt")),
    ("cases/evicted.answer.json", include_str!("new/cases/evicted.answer.json.txt")),
];

const CONTRACT: &str = include_str!("../../../wit/policy.wit");

/// Where the SDK looks for the contract in its own workspace, and where it lies in a folder of its own.
const CONTRACT_MOVES: [&str; 2] = ["\"../../wit\"", "\"wit\""];

/// Makes the folder, which must not be there.
pub(super) fn new(args: &NewArgs) -> anyhow::Result<Outcome> {
    let name = args.name.as_str();
    check(name)?;
    let folder = Path::new(name);
    if folder.exists() {
        bail!("{name}: it is there already; choose another name, or delete it first");
    }
    let files: Vec<&File> = match args.lang {
        Language::Rust => RUST.iter().chain(&SDK).chain(&CASES).collect(),
        Language::Js => JS.iter().chain(&CASES).collect(),
    };
    for (path, text) in files {
        let text = text
            .replace("{{name}}", name)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            .replace(CONTRACT_MOVES[0], CONTRACT_MOVES[1]);
        write(&folder.join(path), &text)?;
    }
    let (file, tests) = match args.lang {
        Language::Rust => ("src/lib.rs", "cargo test"),
        Language::Js => ("decide.js", "npm test"),
    };
    say(&format!("{name}: made"))?;
    say(&format!(
        "  write what hands the data over into HAND_OVER in {name}/{file}, then, in {name}:"
    ))?;
    for command in [tests, "tidegate policy build", "tidegate policy test --update"] {
        say(&format!("  {command}"))?;
    }
    say(&format!("  tidegate policy pack {name}.wasm -o {name}.yaml"))?;
    Ok(Outcome::Good)
}

fn check(name: &str) -> anyhow::Result<()> {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let fits = begins && name.len() <= NAME_MAX_BYTES && name.bytes().all(is_fit);
    if name == SDK_PACKAGE {
        bail!("`{name}` is the name of what a policy is built with: choose another name");
    }
    if fits && !name.ends_with('-') {
        return Ok(());
    }
    bail!(
        "`{name}` is no name: use at most {NAME_MAX_BYTES} lower-case letters, digits and `-`, beginning with a letter"
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("{}: it cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder in which the SDK is kept, as this package sees it.
    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/sdk/src");

    #[test]
    fn every_file_of_the_sdk_is_given_to_authors() {
        let mut there: Vec<String> = fs::read_dir(SOURCES)
            .expect("the SDK is there")
            .map(|entry| {
                format!("sdk/src/{}", entry.expect("a file").file_name().to_string_lossy())
            })
            .collect();
        there.sort();
        let mut given: Vec<&str> = SDK.iter().map(|(path, _)| *path).collect();
        given.retain(|path| path.starts_with("sdk/src/"));
        given.sort_unstable();
        assert_eq!(given, there);
    }

    #[test]
    fn a_name_is_one_of_a_package_and_of_a_config_map() {
        for name in ["a", "my-store-2"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "2a", "A", "a_b", "a/b", "../a", &"a".repeat(41)] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
