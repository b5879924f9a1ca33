//! How a status is shown: lines for a person, or JSON whose shape stays.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use tidegate_core::{Severity, TimeMs};

use super::status::{Row, Source};

/// The version of the JSON: fields may be added under it, and none changed or taken away.
const VERSION: u32 = 1;
/// What a person reads where nothing is known.
const NOTHING: &str = "-";

const HEADINGS: [&str; 8] =
    ["NAMESPACE", "SET", "ORDINAL", "STAGE", "REASON", "SINCE", "ATTEMPT", "DONE"];

/// What was looked at, and what was found.
pub struct Found {
    /// Where, in words.
    pub place: String,
    /// How many sets concern us there.
    pub sets: usize,
    /// What there is to say.
    pub rows: Vec<Row>,
    /// When it was read.
    pub now: TimeMs,
}

impl Found {
    /// Lines for a person: a table, and under each line of it the reason and the command that helps.
    #[must_use]
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            let Self { place, sets, .. } = self;
            return match sets {
                0 => format!("no set in {place} names a policy, and none is held by tidegate\n"),
                1 => format!("1 set in {place}: nothing is orphaned, draining or waiting\n"),
                many => {
                    format!("{many} sets in {place}: nothing is orphaned, draining or waiting\n")
                }
            };
        }
        let cells: Vec<[String; 8]> = self.rows.iter().map(|row| cells(row, self.now)).collect();
        let mut widths = HEADINGS.map(str::len);
        for line in &cells {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = line(&HEADINGS.map(str::to_owned), &widths);
        for (row, cells) in self.rows.iter().zip(&cells) {
            text.push_str(&line(cells, &widths));
            // Writing into a text cannot fail.
            let _ = writeln!(text, "    {}", row.words);
            if let Some(command) = &row.command {
                let _ = writeln!(text, "    $ {command}");
            }
        }
        text
    }

    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(RowJson::from).collect();
        let found = FoundJson { version: VERSION, at: rfc3339(self.now), sets: self.sets, rows };
        format!("{:#}\n", serde_json::json!(found))
    }
}

#[derive(Serialize)]
struct FoundJson<'a> {
    version: u32,
    at: Option<String>,
    sets: usize,
    rows: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    namespace: &'a str,
    set: &'a str,
    ordinal: Option<u32>,
    stage: &'a str,
    reason: &'a str,
    severity: &'static str,
    since: Option<String>,
    attempt: Option<u32>,
    percent: Option<u8>,
    message: &'a str,
    command: Option<&'a str>,
    source: &'static str,
}

impl<'a> From<&'a Row> for RowJson<'a> {
    fn from(row: &'a Row) -> Self {
        RowJson {
            namespace: &row.namespace,
            set: &row.set,
            ordinal: row.ordinal.map(|ordinal| ordinal.0),
            stage: row.stage,
            reason: &row.code,
            severity: match row.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            since: row.since.and_then(rfc3339),
            attempt: row.attempt,
            percent: row.percent,
            message: &row.words,
            command: row.command.as_deref(),
            source: match row.source {
                Source::Objects => "objects",
                Source::Event => "event",
            },
        }
    }
}

/// How long ago that was, in the largest unit of which there are two at least.
#[must_use]
pub fn age(since: TimeMs, now: TimeMs) -> String {
    let secs = now.0.saturating_sub(since.0) / 1_000;
    match secs {
        0..120 => format!("{secs}s"),
        120..7_200 => format!("{}m", secs / 60),
        7_200..172_800 => format!("{}h", secs / 3_600),
        _ => format!("{}d", secs / 86_400),
    }
}

fn cells(row: &Row, now: TimeMs) -> [String; 8] {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    [
        row.namespace.clone(),
        row.set.clone(),
        or_nothing(row.ordinal.map(|ordinal| ordinal.to_string())),
        row.stage.to_owned(),
        row.code.clone(),
        or_nothing(row.since.map(|since| age(since, now))),
        or_nothing(row.attempt.map(|attempt| attempt.to_string())),
        or_nothing(row.percent.map(|percent| format!("{percent}%"))),
    ]
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    let mut line = padded.collect::<Vec<_>>().join("  ");
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn rfc3339(at: TimeMs) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(at.to_string())
}

#[cfg(test)]
mod tests {
    use tidegate_core::Ordinal;

    use super::*;

    fn row() -> Row {
        Row {
            namespace: "shop".into(),
            set: "web".into(),
            ordinal: Some(Ordinal(2)),
            stage: "orphan",
            code: "NotEnrolled".into(),
            severity: Severity::Warning,
            words: "never enrolled".into(),
            since: Some(TimeMs(1_000)),
            attempt: None,
            percent: Some(40),
            command: Some("tidegate adopt web 2 -n shop".into()),
            source: Source::Objects,
        }
    }

    fn found(rows: Vec<Row>, sets: usize) -> Found {
        Found { place: "namespace shop".into(), sets, rows, now: TimeMs(301_000) }
    }

    #[test]
    fn a_person_reads_a_table_with_the_reasons_below() {
        let expected = "\
NAMESPACE  SET  ORDINAL  STAGE   REASON       SINCE  ATTEMPT  DONE
shop       web  2        orphan  NotEnrolled  5m     -        40%
    never enrolled
    $ tidegate adopt web 2 -n shop
";
        assert_eq!(found(vec![row()], 1).text(), expected);
    }

    #[test]
    fn where_nothing_is_wrong_one_line_says_so() {
        let all_well = "2 sets in namespace shop: nothing is orphaned, draining or waiting\n";
        assert_eq!(found(Vec::new(), 2).text(), all_well);
        assert!(found(Vec::new(), 0).text().starts_with("no set in namespace shop names a policy"));
    }

    #[test]
    fn the_shape_of_the_json_stays() {
        let expected = serde_json::json!({
            "version": 1,
            "at": "1970-01-01T00:05:01Z",
            "sets": 1,
            "rows": [{
                "namespace": "shop",
                "set": "web",
                "ordinal": 2,
                "stage": "orphan",
                "reason": "NotEnrolled",
                "severity": "Warning",
                "since": "1970-01-01T00:00:01Z",
                "attempt": null,
                "percent": 40,
                "message": "never enrolled",
                "command": "tidegate adopt web 2 -n shop",
                "source": "objects",
            }],
        });
        let shown: serde_json::Value =
            serde_json::from_str(&found(vec![row()], 1).json()).expect("it is JSON");
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_age_is_told_in_one_unit() {
        let told = |secs: u64| age(TimeMs(0), TimeMs(secs * 1_000));
        let ages = [119, 120, 7_199, 7_200, 172_799, 172_800].map(told);
        assert_eq!(ages, ["119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
