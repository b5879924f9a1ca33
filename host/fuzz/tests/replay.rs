//! Every input that is kept, run again: the corpus, each input that once failed, and some made out of them. Needs no fuzzer.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tidegate::policy::compile::COMPILE_SUBCOMMAND;
use tidegate::policy::compile_child_main;
use tidegate_fuzz::{TARGETS, Target};

/// How many inputs are made out of each one of the corpus, with the same seeds in every run.
const VARIED: u64 = 200;

/// How many one made out of another go before the first is taken up again: what is far off means less and less.
const CHAIN: u64 = 8;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(COMPILE_SUBCOMMAND) {
        return compile_child_main();
    }
    let mut trials = Vec::new();
    for target in TARGETS {
        trials.push(trial(target, "corpus", |target| each_kept(target, "corpus")));
        trials.push(trial(target, "regressions", |target| each_kept(target, "regressions")));
        trials.push(trial(target, "varied", each_varied));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(target: Target, what: &str, run: fn(Target)) -> Trial {
    let name = format!("{}::{what}", target.name);
    Trial::test(name, move || {
        run(target);
        Ok(())
    })
}

fn each_kept(target: Target, of: &str) {
    let inputs = kept(target, of);
    assert!(of == "regressions" || !inputs.is_empty(), "{} has no corpus", target.name);
    for path in inputs {
        run(target, &read(&path), &path.display().to_string());
    }
}

fn each_varied(target: Target) {
    for (path, number) in kept(target, "corpus").into_iter().zip(0_u64..) {
        let first = read(&path);
        let mut input = first.clone();
        for seed in 0..VARIED {
            if seed % CHAIN == 0 {
                input.clone_from(&first);
            }
            input = target.input.varied(&input, number << 32 | seed);
            run(target, &input, &format!("seed {seed} from {}", path.display()));
        }
    }
}

/// A panic ends the trial; what it was about is said first.
fn run(target: Target, input: &[u8], from: &str) {
    let told = std::panic::catch_unwind(|| (target.holds)(input));
    if let Err(panic) = told {
        let input = String::from_utf8_lossy(input);
        eprintln!("{}: {from}: {input}", target.name);
        std::panic::resume_unwind(panic);
    }
}

fn kept(target: Target, of: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(of).join(target.name);
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
