//! A passage: the calls of one drain, a line each, every one laid over the one before it.

use anyhow::bail;

use super::case::{Draft, base};

/// Reads a passage. Empty lines and those that begin with `#` are for the reader.
///
/// # Errors
/// What is wrong, with file, line and column; no call at all.
pub(super) fn read(text: &str, file: &str) -> anyhow::Result<Vec<Draft>> {
    let mut calls: Vec<Draft> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() || text.trim_start().starts_with('#') {
            continue;
        }
        let first = base();
        let before = calls.last().map_or(&first, Draft::fields);
        calls.push(Draft::read(text, file, Some(line), before)?);
    }
    if calls.is_empty() {
        bail!("{file}: no call is in it; write one a line, as in {{\"call\": \"render\"}}");
    }
    Ok(calls)
}
