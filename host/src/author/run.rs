//! `tidegate policy run`: one case, and everything about it.

use std::time::Instant;

use super::args::RunArgs;
use super::case::{Case, is_fault, readable, state_of};
use super::load::load;
use super::{Outcome, say};
use crate::policy::Module;
use crate::policy::limits::{DEADLINE_MILLIS, FUEL_PER_CALL, MEMORY_MAX_BYTES};

/// Asks what the case asks; a passage call by call. A fault is no good outcome.
pub(super) async fn run(args: &RunArgs) -> anyhow::Result<Outcome> {
    let case = Case::read(&args.case)?;
    let module = load(&args.file).await?;
    let mut state = String::new();
    let mut outcome = Outcome::Good;
    for draft in &case.calls {
        let call = draft.call(&mut state)?;
        say(&format!("{} {}", draft.place, call.function()))?;
        let answer = shown(&module, call).await?;
        if is_fault(&answer) {
            outcome = Outcome::Bad;
        }
        if let Some(given) = state_of(&answer) {
            given.clone_into(&mut state);
        }
    }
    Ok(outcome)
}

async fn shown(
    module: &Module,
    call: crate::policy::transcript::Call,
) -> anyhow::Result<serde_json::Value> {
    let began = Instant::now();
    let said = call.ask(module).await;
    let took = began.elapsed();
    let answer = readable(&said);
    say(&format!("{answer:#}"))?;
    for line in &said.log {
        say(&format!("log {}: {}", line.level, line.message))?;
    }
    say(&format!(
        "fuel {} of {FUEL_PER_CALL}, {:.3} ms of {DEADLINE_MILLIS}, memory {} kB of {}",
        said.used.fuel,
        took.as_secs_f64() * 1_000.0,
        said.used.memory_bytes / 1024,
        MEMORY_MAX_BYTES / 1024,
    ))?;
    Ok(answer)
}
