//! What came of one schedule, and of all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::hosts::Blows;
use super::oracle;
use super::past::Past;
use super::play::Played;
use super::rest::Rest;
use super::schedule::Schedule;
use crate::cluster;
use crate::progress::{say, spell};

/// What came of one schedule.
pub(super) struct Verdict {
    schedule: Schedule,
    rest: Rest,
    moves: u32,
    quiet: Duration,
    complaints: Vec<String>,
    /// How many claims hosts deleted.
    deleted: usize,
    past: Past,
}

/// What came of all.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) schedules: u32,
    pub(super) blows: Blows,
    /// How many schedules could not be played, for no fault of a host's.
    pub(super) broken: u32,
    moves: u32,
    deleted: usize,
    /// Claims and pods that stay, by the reason that was told.
    kept: BTreeMap<&'static str, u32>,
    /// Seeds of which the oracle complains.
    wrong: Vec<u64>,
    lost: u32,
    /// Seeds that did not come to rest.
    stuck: Vec<u64>,
    longest_quiet: Duration,
    quiet: Duration,
}

impl Verdict {
    /// Judges it.
    pub(super) fn of(schedule: Schedule, played: Played, past: Past) -> Self {
        let Played { moves, rest, quiet } = played;
        let complaints = oracle::judge(&past);
        let deleted = oracle::deleted_by_hosts(&past);
        let mut uids: Vec<&str> = deleted.iter().map(|(asked, _)| &*asked.of_uid).collect();
        uids.sort_unstable();
        uids.dedup();
        let deleted = uids.len();
        Self { schedule, rest, moves, quiet, complaints, deleted, past }
    }

    /// Tells what is wrong, with everything that helps to find out why, and keeps the history in a file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn keep_if_bad(&self) -> Result<()> {
        if self.complaints.is_empty() && self.rest.unrest.is_empty() {
            return Ok(());
        }
        let seed = self.schedule.seed;
        let folder = cluster::default_dir().with_file_name("storm-failures");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(format!("{seed}.jsonl"));
        fs::write(&path, self.history()).with_context(|| format!("writing {}", path.display()))?;
        say(format_args!("seed {seed}: {}", self.schedule.setup));
        for (pause_ms, deed) in &self.schedule.moves {
            say(format_args!("  after {pause_ms} ms {deed}"));
        }
        for complaint in &self.complaints {
            say(format_args!("  WRONG: {complaint}"));
        }
        for unrest in &self.rest.unrest {
            say(format_args!("  STUCK: {unrest}"));
        }
        say(format_args!("  its history: {}", path.display()));
        Ok(())
    }

    /// A line for each write, then one for each request of a host.
    fn history(&self) -> String {
        let mut text = String::new();
        for entry in &self.past.entries {
            let line = json!({
                "revision": entry.revision,
                "kind": format!("{:?}", entry.kind),
                "name": entry.name,
                "answered": self.past.answered.get(&entry.revision).map(ToString::to_string),
                "object": entry.object.as_deref(),
            });
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{line}");
        }
        for asked in &self.past.asked {
            let line = json!({
                "received": asked.received.to_string(),
                "by": asked.credential,
                "asked": format!("{} {} {}", asked.verb, asked.resource, asked.name),
                "code": asked.code,
                "ofUid": asked.of_uid,
                "revision": asked.revision,
            });
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "{}", json!({ "moved": self.past.moved }));
        text
    }
}

impl Tally {
    /// Counts one in.
    pub(super) fn take_in(&mut self, verdict: &Verdict) {
        self.schedules += 1;
        self.moves += verdict.moves;
        self.deleted += verdict.deleted;
        for (_, code) in &verdict.rest.kept {
            *self.kept.entry(code).or_insert(0) += 1;
        }
        let seed = verdict.schedule.seed;
        if !verdict.complaints.is_empty() {
            self.wrong.push(seed);
        }
        let lost = verdict.complaints.iter().filter(|it| it.contains("LOST BYTE"));
        self.lost += u32::try_from(lost.count()).unwrap_or(u32::MAX);
        if !verdict.rest.unrest.is_empty() {
            self.stuck.push(seed);
        }
        self.longest_quiet = self.longest_quiet.max(verdict.quiet);
        self.quiet += verdict.quiet;
    }

    /// Whether something is wrong or stuck, or could not be played.
    pub(super) fn has_failed(&self) -> bool {
        !self.wrong.is_empty() || !self.stuck.is_empty() || self.broken > 0
    }

    /// All of it, for a person.
    pub(super) fn in_words(&self, took: Duration) -> String {
        let kept: Vec<String> =
            self.kept.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let a_minute = f64::from(self.schedules) * 60.0 / took.as_secs_f64();
        let mean = self.quiet / self.schedules.max(1);
        format!(
            "{} schedules, {} moves, {a_minute:.1} schedules a minute, {} in all\n\
             {} claims deleted by hosts; kept at the end: {}\n\
             hosts killed {} times, stopped {} times, ended by themselves {} times\n\
             to rest in {} on average, at most {}\n\
             the oracle complains of {} schedules {:?}, with {} losses; {} are stuck {:?}; {} could not be played",
            self.schedules,
            self.moves,
            spell(took),
            self.deleted,
            if kept.is_empty() { "none".to_owned() } else { kept.join(", ") },
            self.blows.killed,
            self.blows.stopped,
            self.blows.ended,
            spell(mean),
            spell(self.longest_quiet),
            self.wrong.len(),
            self.wrong,
            self.lost,
            self.stuck.len(),
            self.stuck,
            self.broken,
        )
    }
}
