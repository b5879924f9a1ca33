//! One line about what runs, and another every ten seconds, so that nobody wonders whether
//! something long has died.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often something long says that it still runs: often enough to be believed, seldom enough to
/// be read in a log.
const EVERY: Duration = Duration::from_secs(10);

/// Prints one line on the standard error stream, which leaves the output to results.
pub fn say(line: impl fmt::Display) {
    eprintln!("{line}");
}

/// Does `work` and says every ten seconds that `what` still runs, with the time that it took so
/// far.
///
/// Returns what `work` returns. Nothing is printed about work that ends sooner.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let (ended, running) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while running.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                say(format_args!("{what}, {} so far", spell(started.elapsed())));
            }
        });
        let result = work();
        drop(ended);
        result
    })
}

/// A duration as a person says it: `8.3 s`, `42 s`, `3 min 10 s`.
pub fn spell(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{secs} s"),
        60.. => format!("{} min {} s", secs / 60, secs % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_durations() {
        assert_eq!(spell(Duration::from_millis(8_340)), "8.3 s");
        assert_eq!(spell(Duration::from_secs(42)), "42 s");
        assert_eq!(spell(Duration::from_secs(190)), "3 min 10 s");
    }
}
