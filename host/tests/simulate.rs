//! `tidegate simulate` shows what it was kept to show: each file of `tests/simulate` holds a command and what came of it. `UPDATE=1` writes them anew.

#![expect(clippy::expect_used, reason = "a test says what it expected")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// How many transcripts there are: one that is not found must not go unnoticed.
const TRANSCRIPTS: usize = 25;
/// Digits of a sha256 in hexadecimal.
const SHA256_DIGITS: usize = 64;

#[test]
fn every_transcript_is_as_it_was_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulate");
    let library = library();
    let transcripts = transcripts(&folder);
    assert_eq!(transcripts.len(), TRANSCRIPTS, "{transcripts:?}");
    let mut wrong = Vec::new();
    for path in transcripts {
        let kept = fs::read_to_string(&path).expect("a transcript is text");
        let command = kept.lines().next().and_then(|line| line.strip_prefix("$ "));
        let command = command.unwrap_or_else(|| panic!("{}: begin with `$ `", path.display()));
        let found = shown(command, &run(&folder, &library, command), &library);
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &found).expect("the transcript can be written");
        } else if found != kept {
            wrong.push(format!("{}\n{}", path.display(), difference(&kept, &found)));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 takes what is right over\n\n{}", wrong.join("\n"));
}

/// The components of the library, in the folder where they are built.
fn library() -> PathBuf {
    let built = xtask::policies::build(&["exec", "keep", "pod-template"]);
    let built = built.expect("the policies build");
    let first = built.first().expect("there are policies");
    first.component.parent().expect("a component lies in a folder").to_owned()
}

fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    paths.sort();
    paths
}

fn run(folder: &Path, library: &Path, command: &str) -> Output {
    let tidegate = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let path = tidegate.parent().expect("a program lies in a folder");
    Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env("LIBRARY", library)
        .env_remove("KUBECONFIG")
        .output()
        .expect("a shell is there")
}

/// The command and what came of it, without what differs from build to build and from machine to machine.
fn shown(command: &str, output: &Output, library: &Path) -> String {
    let told = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().expect("it ended by itself");
    let shown = format!("$ {command}\n{told}{faults}exit {code}\n");
    without_digests(&shown.replace(&library.display().to_string(), "LIBRARY"))
}

fn without_digests(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_digit() || ('a'..='f').contains(&letter) {
            digits.push(letter);
            continue;
        }
        shown.push_str(if digits.len() == SHA256_DIGITS { "DIGEST" } else { &digits });
        digits.clear();
        shown.push(letter);
    }
    shown.pop();
    shown
}

fn difference(kept: &str, found: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (kept, found) = (lines(kept), lines(found));
    let at = kept.iter().zip(&found).position(|(one, other)| one != other);
    let at = at.unwrap_or_else(|| kept.len().min(found.len()));
    let line = |of: &[String]| of.get(at).map_or("(its end)", String::as_str).to_owned();
    format!("  line {}\n  kept:  {}\n  found: {}\n", at + 1, line(&kept), line(&found))
}
