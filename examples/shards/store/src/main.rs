//! A small sharded store, made to be scaled down: every member keeps files of its own on its volume, and a member that leaves
//! hands each of them to the members that stay.
#![allow(clippy::print_stdout, reason = "what a command prints is what it is for")]

mod drain;
mod http;
mod member;
mod options;
mod peer;
mod volume;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, process, thread};

use anyhow::{Context, Result, bail};
use options::Options;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use volume::{Total, Volume};

const USAGE: &str = "\
usage: shards-store COMMAND --data FOLDER [OPTION=VALUE | OPTION VALUE]...
  serve      [--listen ADDRESS:PORT] [--name NAME]     be a member
  fill       --files N --bytes M --seed TEXT           write N files of M bytes, the same for the same seed
  list                                                 print name, sha256 and bytes of every file
  inventory  [--message FILE]                          write the volume's count and checksum to FILE
  drain      --peers NAME=HOST:PORT,... [--pause-ms N] [--message FILE]
                                                       hand every file to the peers, then do as inventory does";

/// Where Kubernetes looks for the last words of a container.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Where a member listens when nothing else is said. The pod's own address, where it is known, lets several members share
/// the network of one machine.
const PORT: u16 = 8080;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("shards-store: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().context(USAGE)?;
    let options = Options::parse(arguments).context(USAGE)?;
    end_quietly_when_told_to()?;
    let volume = Volume::open(Path::new(options.required("data")?))?;
    match command.as_str() {
        "serve" => {
            let listen = options.get("listen").map_or_else(default_address, str::to_owned);
            let name = options.get("name").map_or_else(|| variable("POD_NAME"), str::to_owned);
            member::serve(volume, &listen, name)
        }
        "fill" => volume.fill(
            options.number("files")?,
            options.number("bytes")?,
            options.required("seed")?,
        ),
        "list" => {
            volume.files()?.iter().for_each(|file| println!("{file}"));
            Ok(())
        }
        "inventory" => leave_message(&options, || Ok(volume::total(&volume.files()?))),
        "drain" => {
            let peers = peer::parse(options.required("peers")?)?;
            let pause = Duration::from_millis(options.get("pause-ms").map_or(Ok(0), str::parse)?);
            leave_message(&options, || drain::run(&volume, &peers, pause))
        }
        unknown => bail!("there is no command `{unknown}`\n{USAGE}"),
    }
}

/// Ends the process with exit code 0 and without a termination message when it is asked to stop, as many servers do. Every
/// write to the volume is whole or absent, so that this is safe at any time; but the exit code says nothing about a drain.
fn end_quietly_when_told_to() -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("listening for signals")?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            process::exit(0);
        }
    });
    Ok(())
}

/// Does the work and writes its result, or why there is none, where Kubernetes takes it for the container's status.
fn leave_message(options: &Options, work: impl FnOnce() -> Result<Total>) -> Result<()> {
    let path = options.get("message").unwrap_or(TERMINATION_MESSAGE);
    let result = work();
    let message = match &result {
        Ok(total) => total.to_string(),
        Err(problem) => format!("problem={problem:#}"),
    };
    println!("{message}");
    fs::write(path, &message).with_context(|| format!("writing the message to {path}"))?;
    result.map(|_| ())
}

fn default_address() -> String {
    match variable("POD_IP") {
        ip if ip.is_empty() => format!("0.0.0.0:{PORT}"),
        ip if ip.contains(':') => format!("[{ip}]:{PORT}"),
        ip => format!("{ip}:{PORT}"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
