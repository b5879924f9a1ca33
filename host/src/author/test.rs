//! `tidegate policy test`: every case against the answer that is kept.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::args::TestArgs;
use super::build::{component_of, ensure_fresh};
use super::case::{Case, FOLDER, is_fault, readable, state_of};
use super::difference::differences;
use super::load::load;
use super::{Outcome, say};
use crate::policy::Module;

/// Asks every case. Bad where an answer is another than the one that is kept, or none is kept. An update says what it changes, so that nobody keeps what was
/// not looked at, and keeps no fault.
pub(super) async fn test(args: &TestArgs) -> anyhow::Result<Outcome> {
    let file = component(&args.folder, args.policy.as_deref())?;
    let cases = Case::read_all(&args.folder.join(FOLDER))?;
    let module = load(&file).await?;
    let mut failed = 0;
    for case in &cases {
        let answers = answers(&module, case).await?;
        let complaint = match complaint(case, &answers) {
            // What is kept and cannot be read is replaced too.
            Err(error) if args.update => Some(vec![error.to_string()]),
            complaint => complaint?,
        };
        let is_kept = args.update && !answers.iter().any(is_fault);
        let (word, lines) = match complaint {
            Some(lines) if is_kept => ("updated", lines),
            Some(lines) => {
                failed += 1;
                ("FAILED", lines)
            }
            None => ("ok", Vec::new()),
        };
        if is_kept {
            case.keep(answers)?;
        }
        say(&format!("{word:<8}{}", case.name))?;
        for line in lines {
            say(&format!("        {line}"))?;
        }
    }
    say(&format!("{} cases, {failed} failed", cases.len()))?;
    Ok(if failed == 0 { Outcome::Good } else { Outcome::Bad })
}

/// What the policy says to each call of the case; what it remembers goes from one to the next.
pub(super) async fn answers(module: &Module, case: &Case) -> anyhow::Result<Vec<Value>> {
    let mut state = String::new();
    let mut answers = Vec::new();
    for draft in &case.calls {
        let said = draft.call(&mut state)?.ask(module).await;
        let answer = readable(&said);
        if let Some(given) = state_of(&answer) {
            given.clone_into(&mut state);
        }
        answers.push(answer);
    }
    Ok(answers)
}

fn complaint(case: &Case, answers: &[Value]) -> anyhow::Result<Option<Vec<String>>> {
    let Some(kept) = case.kept()? else {
        let given = answers.iter().map(Value::to_string);
        let mend = "no answer is kept yet; `--update` keeps this one:".to_owned();
        return Ok(Some([mend].into_iter().chain(given).collect()));
    };
    let mut lines = Vec::new();
    if kept.len() != answers.len() {
        lines.push(format!("{} answers are kept, {} calls are made", kept.len(), answers.len()));
    }
    for ((draft, kept), given) in case.calls.iter().zip(&kept).zip(answers) {
        let found = differences(kept, given);
        let several = case.calls.len() > 1;
        lines.extend(
            found.into_iter().map(
                |line| {
                    if several { format!("{}: {line}", draft.place) } else { line }
                },
            ),
        );
    }
    Ok((!lines.is_empty()).then_some(lines))
}

/// The component to ask: the one that is named, or the folder's own.
fn component(folder: &Path, named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let file = component_of(folder).context("name a component with --policy FILE")?;
    if !file.is_file() {
        bail!("{}: it is not there; run `tidegate policy build` first", file.display());
    }
    ensure_fresh(&file)?;
    Ok(file)
}
