//! The figures of one policy, as a line of a table.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use tidegate::policy::compile::Cost;

/// What one round of calls took.
pub(crate) struct Calls {
    /// `render` in a fresh instance.
    pub(crate) render: Duration,
    pub(crate) render_fuel: u64,
    /// `judge` in a fresh instance.
    pub(crate) judge: Duration,
    pub(crate) judge_fuel: u64,
    /// The floor.
    pub(crate) bare: Duration,
    /// The most linear memory of the two.
    pub(crate) memory_bytes: usize,
}

/// What is known of one policy.
pub(crate) struct Figures {
    name: String,
    size_bytes: usize,
    gzip_bytes: usize,
    compilation: Cost,
    rounds: Vec<Calls>,
}

impl Figures {
    /// The figures of a component before its first call.
    pub(crate) fn new(name: String, component: &[u8], compilation: Cost) -> Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(component)?;
        let gzip_bytes = gzip.finish()?.len();
        let size_bytes = component.len();
        Ok(Self { name, size_bytes, gzip_bytes, compilation, rounds: Vec::new() })
    }

    /// Counts a round.
    pub(crate) fn add(&mut self, round: Calls) {
        self.rounds.push(round);
    }

    /// The line below [`heading`].
    pub(crate) fn line(&self) -> String {
        let (render50, render99) = self.micros(|round| round.render);
        let (judge50, judge99) = self.micros(|round| round.judge);
        let (bare50, bare99) = self.micros(|round| round.bare);
        let last = self.rounds.last();
        format!(
            "{:<13}{:>9}{:>8}{:>9}{:>6}{render50:>9.1}{render99:>9.1}{:>10}{judge50:>9.1}{judge99:>9.1}{:>10}{:>7}{bare50:>8.1}{bare99:>8.1}",
            self.name,
            self.size_bytes,
            self.gzip_bytes,
            self.compilation.cpu_ms,
            self.compilation.address_space_bytes / (1024 * 1024),
            last.map_or(0, |round| round.render_fuel),
            last.map_or(0, |round| round.judge_fuel),
            last.map_or(0, |round| round.memory_bytes) / 1024,
        )
    }

    /// p50 and p99 in microseconds.
    fn micros(&self, of: impl Fn(&Calls) -> Duration) -> (f64, f64) {
        let mut times: Vec<Duration> = self.rounds.iter().map(of).collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        (at(50), at(99))
    }
}

/// The head of the table.
pub(crate) fn heading() -> String {
    format!(
        "{:<13}{:>9}{:>8}{:>9}{:>6}{:>9}{:>9}{:>10}{:>9}{:>9}{:>10}{:>7}{:>8}{:>8}",
        "policy",
        "bytes",
        "gzip",
        "compile",
        "MiB",
        "render",
        "p99",
        "fuel",
        "judge",
        "p99",
        "fuel",
        "KiB",
        "bare",
        "p99"
    )
}

/// What the columns mean.
pub(crate) fn footing() -> String {
    format!(
        "Profile `{}`. compile, MiB: processor time in ms and the most address space of the host's compiling child. render, judge, bare: p50 and\n         p99 in µs of calls that take turns, each in a fresh instance. KiB: linear memory of one call. bare: `Store`, instance and one typed call on this\n         thread, in an engine of the host's configuration with its fuel and its deadline, of a component that copies the arguments of `judge` in\n         and answers at once.",
        if cfg!(debug_assertions) { "dev" } else { "release" }
    )
}
