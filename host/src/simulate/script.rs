//! The events of a simulated passage, one a line. What follows a `#` that stands alone is for people.

use std::time::Duration;

use super::fault::Fault;

/// Every event, as it is written.
pub const KNOWN: &str = "\
scale REPLICAS
run DURATION                       time passes: 90s, 5m or 2h
pod NAME succeeds [MESSAGE…]       its containers exit with 0; the message is the termination message
pod NAME fails CODE [MESSAGE…]     its main containers exit with that code
pod NAME evicted
pod NAME deleted
pod NAME node-lost                 its node is heard of no more, and it is deleted for that
pod NAME forgotten                 it is deleted by force, as a lost node's pods must be
annotate KEY=VALUE | annotate KEY- the set
claim NAME deleted
delete-set [background|foreground|orphan]";

/// The longest that time may pass at once, in seconds: a week, which is the longest delay of a set.
const RUN_MAX_SECS: u64 = 7 * 24 * 3_600;

/// The most replicas of a set that is simulated: every pod of it is made at once, by one process.
pub const REPLICAS_MAX: u32 = 1_000;

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// As it is written.
    pub text: String,
    /// What happens.
    pub deed: Deed,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The set is scaled.
    Scale(u32),
    /// Time passes.
    Run(Duration),
    /// Something befalls a pod.
    Pod {
        /// Its name.
        name: String,
        /// What.
        fate: Fate,
    },
    /// The set gets an annotation, or loses it.
    Annotate {
        /// Its key.
        key: String,
        /// Its value; none where it is taken off.
        value: Option<String>,
    },
    /// Somebody deletes a claim.
    DeleteClaim(String),
    /// Somebody deletes the set.
    DeleteSet(Cascade),
}

/// What befalls a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its main containers exit with this code.
    Exits {
        /// The code.
        code: i32,
        /// Their termination message.
        message: String,
    },
    /// It is evicted.
    Evicted,
    /// It is deleted.
    Deleted,
    /// Its node is lost.
    NodeLost,
    /// It is deleted by force.
    Forgotten,
}

/// What becomes of what a set owns when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cascade {
    /// It goes after the set.
    Background,
    /// It goes before the set.
    Foreground,
    /// It stays.
    Orphan,
}

/// Reads a script. `place` is what it is called in a fault.
///
/// # Errors
/// The first line that is not understood, with its column.
pub fn parse(place: &str, text: &str) -> Result<Vec<Event>, Fault> {
    let mut events = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let said = without_comment(line).trim_end();
        let words = words(said);
        if words.is_empty() {
            continue;
        }
        let deed = deed(said, &words).map_err(|wrong| {
            let column = said.get(..wrong.at).unwrap_or(said).chars().count() + 1;
            let why = &wrong.why;
            Fault::Input(format!("{place}:{}:{column}: {why}\n\nThe events are:\n{KNOWN}", at + 1))
        })?;
        events.push(Event { text: said.trim().to_owned(), deed });
    }
    Ok(events)
}

/// A span of time, as `90s`, `5m` or `2h`.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let secs = digits.parse::<u64>().ok()?.checked_mul(unit_secs)?;
    (secs <= RUN_MAX_SECS).then(|| Duration::from_secs(secs))
}

/// A word, and the byte at which it begins.
type Word<'a> = (usize, &'a str);

/// What is wrong, and at which byte of the line.
struct Wrong {
    at: usize,
    why: String,
}

fn deed(line: &str, words: &[Word<'_>]) -> Result<Deed, Wrong> {
    match words {
        [(_, "scale"), rest @ ..] => {
            let (at, count) = only(line, rest, "the number of replicas")?;
            let replicas = count.parse().ok().filter(|count| *count <= REPLICAS_MAX);
            let mend = format!("write a number of replicas, at most {REPLICAS_MAX}");
            replicas.map(Deed::Scale).ok_or_else(|| wrong(at, &mend))
        }
        [(_, "run"), rest @ ..] => {
            let (at, text) = only(line, rest, "a duration")?;
            let mend = "write a whole number and `s`, `m` or `h`, at most a week, as in `90s`";
            duration(text).map(Deed::Run).ok_or_else(|| wrong(at, mend))
        }
        [(_, "pod"), (_, name), rest @ ..] => {
            Ok(Deed::Pod { name: (*name).to_owned(), fate: fate(line, rest)? })
        }
        [(_, "pod")] => Err(wrong(line.len(), "name the pod")),
        [(_, "annotate"), rest @ ..] => annotation(line, rest),
        [(_, "claim"), (_, name), rest @ ..] => match only(line, rest, "`deleted`")? {
            (_, "deleted") => Ok(Deed::DeleteClaim((*name).to_owned())),
            (at, other) => Err(wrong(at, &format!("a claim is `deleted`, not {other:?}"))),
        },
        [(_, "claim")] => Err(wrong(line.len(), "name the claim")),
        [(_, "delete-set")] => Ok(Deed::DeleteSet(Cascade::Background)),
        [(_, "delete-set"), rest @ ..] => match only(line, rest, "a propagation")? {
            (_, "background") => Ok(Deed::DeleteSet(Cascade::Background)),
            (_, "foreground") => Ok(Deed::DeleteSet(Cascade::Foreground)),
            (_, "orphan") => Ok(Deed::DeleteSet(Cascade::Orphan)),
            (at, other) => {
                let mend = "write `background`, `foreground` or `orphan`";
                Err(wrong(at, &format!("{other:?} is no propagation: {mend}")))
            }
        },
        [(at, other), ..] => Err(wrong(*at, &format!("{other:?} is no event"))),
        [] => Err(wrong(0, "there is no event")),
    }
}

fn fate(line: &str, words: &[Word<'_>]) -> Result<Fate, Wrong> {
    let lone = |fate: Fate, rest: &[Word<'_>]| match rest {
        [] => Ok(fate),
        [(at, more), ..] => Err(wrong(*at, &format!("{more:?} is too much here"))),
    };
    match words {
        [(_, "succeeds"), rest @ ..] => Ok(Fate::Exits { code: 0, message: remainder(line, rest) }),
        [(_, "fails"), (at, code), rest @ ..] => match code.parse() {
            Ok(0) | Err(_) => Err(wrong(*at, "write an exit code other than 0")),
            Ok(code) => Ok(Fate::Exits { code, message: remainder(line, rest) }),
        },
        [(_, "fails")] => Err(wrong(line.len(), "write an exit code other than 0")),
        [(_, "evicted"), rest @ ..] => lone(Fate::Evicted, rest),
        [(_, "deleted"), rest @ ..] => lone(Fate::Deleted, rest),
        [(_, "node-lost"), rest @ ..] => lone(Fate::NodeLost, rest),
        [(_, "forgotten"), rest @ ..] => lone(Fate::Forgotten, rest),
        [(at, other), ..] => Err(wrong(*at, &format!("{other:?} befalls no pod"))),
        [] => Err(wrong(line.len(), "say what befalls the pod")),
    }
}

fn annotation(line: &str, words: &[Word<'_>]) -> Result<Deed, Wrong> {
    let Some((at, first)) = words.first() else {
        return Err(wrong(line.len(), "write KEY=VALUE, or KEY- to take it off"));
    };
    let text = remainder(line, words);
    if let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.contains(' ')) {
        return Ok(Deed::Annotate { key: key.to_owned(), value: Some(value.to_owned()) });
    }
    match (first.strip_suffix('-'), words) {
        (Some(key), [_]) => Ok(Deed::Annotate { key: key.to_owned(), value: None }),
        (Some(_) | None, _) => Err(wrong(*at, "write KEY=VALUE, or KEY- to take it off")),
    }
}

/// The one word that is left.
fn only<'a>(line: &str, rest: &[Word<'a>], what: &str) -> Result<Word<'a>, Wrong> {
    match rest {
        [only] => Ok(*only),
        [] => Err(wrong(line.len(), &format!("{what} is missing"))),
        [_, (at, more), ..] => Err(wrong(*at, &format!("{more:?} is too much here"))),
    }
}

/// The line from the first of these words on.
fn remainder(line: &str, rest: &[Word<'_>]) -> String {
    let from = rest.first().map_or(line.len(), |(at, _)| *at);
    line.get(from..).unwrap_or_default().to_owned()
}

fn wrong(at: usize, why: &str) -> Wrong {
    Wrong { at, why: why.to_owned() }
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut rest = line;
    let mut words = Vec::new();
    loop {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if end == 0 {
            return words;
        }
        let (word, after) = rest.split_at(end);
        words.push((line.len() - rest.len(), word));
        rest = after;
    }
}

/// A `#` within a word is a part of it.
fn without_comment(line: &str) -> &str {
    let is_begun = |at: usize| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(char::is_whitespace)
    };
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| is_begun(*at));
    comment.and_then(|at| line.get(..at)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Deed {
        let mut events = parse("test", text).expect("it is understood");
        assert_eq!(events.len(), 1, "{text}");
        events.remove(0).deed
    }

    #[test]
    fn every_event_is_read() {
        let exits = |code, message: &str| Fate::Exits { code, message: message.to_owned() };
        let pod = |fate| Deed::Pod { name: "web-2".to_owned(), fate };
        let annotate = |value: Option<&str>| Deed::Annotate {
            key: "a/b".to_owned(),
            value: value.map(str::to_owned),
        };
        for (text, deed) in [
            ("scale 2", Deed::Scale(2)),
            ("  run 5m  # a while", Deed::Run(Duration::from_secs(300))),
            ("pod web-2 succeeds", pod(exits(0, ""))),
            ("pod web-2 succeeds moved 3#4,  all # done", pod(exits(0, "moved 3#4,  all"))),
            ("pod web-2 fails 137 killed", pod(exits(137, "killed"))),
            ("pod web-2 evicted", pod(Fate::Evicted)),
            ("pod web-2 deleted", pod(Fate::Deleted)),
            ("pod web-2 node-lost", pod(Fate::NodeLost)),
            ("pod web-2 forgotten", pod(Fate::Forgotten)),
            ("annotate a/b={\"x\": 1}", annotate(Some("{\"x\": 1}"))),
            ("annotate a/b=", annotate(Some(""))),
            ("annotate a/b-", annotate(None)),
            ("claim data-web-2 deleted", Deed::DeleteClaim("data-web-2".to_owned())),
            ("delete-set", Deed::DeleteSet(Cascade::Background)),
            ("delete-set orphan", Deed::DeleteSet(Cascade::Orphan)),
        ] {
            assert_eq!(one(text), deed, "{text}");
        }
        assert_eq!(one("# only this\n\nscale 2\n"), Deed::Scale(2));
    }

    #[test]
    fn what_is_not_understood_is_named_by_line_and_column() {
        for (text, place, words) in [
            ("scale", "test:1:6:", "is missing"),
            ("scale two", "test:1:7:", "number of replicas"),
            ("scale 4000000000", "test:1:7:", "at most 1000"),
            ("scale 2 3", "test:1:9:", "too much"),
            ("\n  pods web-2", "test:2:3:", "\"pods\" is no event"),
            ("pod", "test:1:4:", "name the pod"),
            ("pod ä-2 vanishes", "test:1:9:", "befalls no pod"),
            ("pod web-2 fails 0", "test:1:17:", "other than 0"),
            ("pod web-2 evicted now", "test:1:19:", "too much"),
            ("run 5", "test:1:5:", "whole number"),
            ("run 169h", "test:1:5:", "at most a week"),
            ("annotate x", "test:1:10:", "KEY=VALUE"),
            ("claim data-web-2", "test:1:17:", "is missing"),
            ("delete-set now", "test:1:12:", "no propagation"),
        ] {
            let Err(Fault::Input(why)) = parse("test", text) else {
                panic!("{text} is understood");
            };
            assert!(why.starts_with(place) && why.contains(words), "{text}: {why}");
            assert!(why.contains("pod NAME succeeds"), "the events are named: {why}");
        }
    }
}
