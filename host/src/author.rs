//! What a policy's author does: make one, build it, ask it, test it, and ship it. Everything that runs a policy here is the host's own loader,
//! under the host's own limits.

mod args;
mod bench;
mod build;
mod case;
mod difference;
mod inspect;
mod load;
mod new;
mod pack;
mod passage;
mod replay;
mod run;
mod sample;
mod test;

use std::io::Write as _;
use std::process::ExitCode;

pub use args::PolicyCommand;

/// The exit code where the input is at fault: a file that is missing, a case that cannot be read, a component that cannot be loaded.
const BAD_INPUT: u8 = 2;

/// Does what the author asked for. The answer goes to standard output; what went wrong to standard error, in one message.
#[must_use]
pub fn run(command: PolicyCommand) -> ExitCode {
    match perform(command) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        Err(error) => {
            // Where nobody can read it, the exit code still tells.
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Whether what was asked about is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is.
    Good,
    /// It is not, and the output says why.
    Bad,
}

fn perform(command: PolicyCommand) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::New(args) => new::new(&args),
        PolicyCommand::Build(args) => build::build(&args),
        PolicyCommand::Inspect(args) => load::with_runtime(inspect::inspect(&args)),
        PolicyCommand::Run(args) => load::with_runtime(run::run(&args)),
        PolicyCommand::Test(args) => load::with_runtime(test::test(&args)),
        PolicyCommand::Bench(args) => load::with_runtime(bench::bench(&args)),
        PolicyCommand::Pack(args) => load::with_runtime(pack::pack(&args)),
        PolicyCommand::Replay(args) => load::with_runtime(replay::replay(&args)),
    }
}

/// Prints a line of the answer.
fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
