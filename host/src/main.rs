//! The command line of tidegate.

use std::process::ExitCode;

use clap::Parser as _;
use tidegate::{
    args::{Cli, Command},
    author, operator, policy, run, simulate,
};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Compile => policy::compile_child_main(),
        Command::Policy(command) => author::run(command),
        Command::Operator(command) => operator::run(command),
        Command::Simulate(args) => simulate::run(&args),
        Command::Run(args) => match run::run(*args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
