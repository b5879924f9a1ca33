//! `tidegate policy replay`: what a host has recorded, asked again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::args::ReplayArgs;
use super::case::at_column;
use super::difference::differences;
use super::load::load;
use super::{Outcome, say};
use crate::policy::record::{Recorded, VERSION};

/// How many calls with another answer are shown one by one.
const SHOWN_MAX: usize = 10;

/// Asks every recorded call. Bad where an answer is another, to the byte, or a line is none: the last one of a host that was killed, for one.
pub(super) async fn replay(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    let module = load(&args.file).await?;
    let digest = module.digest().to_string();
    let mut unread: Vec<anyhow::Error> = Vec::new();
    let (mut calls, mut others, mut differing, mut dearer) = (0_u64, 0_u64, 0_usize, 0_u64);
    for file in files(&args.record)? {
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            let place = format!("{}:{line}", file.display());
            let recorded = match read(text, &place) {
                Ok(recorded) => recorded,
                Err(error) => {
                    unread.push(error);
                    continue;
                }
            };
            calls += 1;
            others += u64::from(recorded.digest != digest);
            let function = recorded.asked.function();
            let said = recorded.asked.ask(&module).await;
            dearer += u64::from(said.used.fuel > recorded.fuel);
            let found = differences(&recorded.answer, &said.answer);
            if found.is_empty() {
                continue;
            }
            differing += 1;
            if differing <= SHOWN_MAX {
                say(&format!("{place} {function}"))?;
                for line in found {
                    say(&format!("  {line}"))?;
                }
            }
        }
    }
    if calls == 0
        && let Some(error) = unread.pop()
    {
        return Err(error);
    }
    if calls == 0 {
        bail!("{}: no call is recorded in it", args.record.display());
    }
    for error in unread.iter().take(SHOWN_MAX) {
        say(&format!("{error:#}"))?;
    }
    if !unread.is_empty() {
        say(&format!("{} lines are left out, which are no recorded calls", unread.len()))?;
    }
    say(&format!(
        "{calls} calls, {others} of them recorded of another digest; {differing} answers differ, {dearer} calls took more fuel"
    ))?;
    Ok(if differing == 0 && unread.is_empty() { Outcome::Good } else { Outcome::Bad })
}

fn read(text: &str, place: &str) -> anyhow::Result<Recorded> {
    let recorded: Recorded = serde_json::from_str(text).map_err(|error| {
        let (column, what) = at_column(&error);
        anyhow!("{place}:{column}: it is no recorded call: {what}")
    })?;
    if recorded.version != VERSION {
        bail!("{place}: it is of version {}, and this is {VERSION}", recorded.version);
    }
    Ok(recorded)
}

fn files(record: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !record.is_dir() {
        return Ok(vec![record.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(record).with_context(|| format!("{}", record.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
