//! The small language in which a test writes down how a pod's containers behave.
//!
//! One statement a line; empty lines and lines that begin with `#` are skipped. `NAME` is a container; a statement
//! without one is for every main container, and a statement with one goes before it for that container.
//!
//! ```text
//! pending                                          no container is ever started
//! [after TIME] run [NAME]                          starts TIME after its turn has come (default 0ms)
//! [after TIME] exit [NAME] CODE [message "TEXT"]   ends TIME after its start; a second such line is for the second run,
//!                                                  and the last one holds for all runs that follow
//! hang [NAME]                                      never ends by itself (so without any `exit`, too)
//! on-term [NAME] exit CODE [after TIME] [message "TEXT"]
//! on-term [NAME] ignore                            lives on until SIGKILL: exit code 137
//! ```
//!
//! `TIME` is a whole number with `ms`, `s` or `m`. Without a statement a main container hangs and exits 0 on SIGTERM, an
//! init container exits 0 at once, and a sidecar hangs and exits 143 on SIGTERM.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::plan::Role;

/// How the containers of a pod behave, as [`Script::from_str`] understood it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pending: bool,
    general: Part,
    named: BTreeMap<String, Part>,
}

/// Why a script cannot be played; the text names the line and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// An end that a script foresees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptedExit {
    /// Time between the cause (the start, or SIGTERM) and the end.
    pub(crate) after: Duration,
    /// The exit code.
    pub(crate) code: i32,
    /// The termination message.
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    start_after: Option<Duration>,
    /// An empty list says "never".
    exits: Option<Vec<ScriptedExit>>,
    /// `None` inside says "ignores SIGTERM".
    on_term: Option<Option<ScriptedExit>>,
}

impl Script {
    /// True when no container is ever to start.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// How long the container's start takes.
    pub(crate) fn start_after(&self, name: &str, role: Role) -> Duration {
        self.look(name, role, |p| p.start_after).unwrap_or_default()
    }

    /// How run number `run` (from 1) ends by itself, if it does.
    pub(crate) fn exit(&self, name: &str, role: Role, run: u32) -> Option<ScriptedExit> {
        match self.look(name, role, |p| p.exits.clone()) {
            Some(exits) => {
                let index = usize::try_from(run).unwrap_or(usize::MAX).saturating_sub(1);
                exits.get(index).or_else(|| exits.last()).cloned()
            }
            None => match role {
                Role::Init => Some(ScriptedExit::at_once(0)),
                Role::Sidecar | Role::Main => None,
            },
        }
    }

    /// What SIGTERM leads to; `None` where it is ignored.
    pub(crate) fn on_term(&self, name: &str, role: Role) -> Option<ScriptedExit> {
        self.look(name, role, |p| p.on_term.clone()).unwrap_or_else(|| {
            Some(ScriptedExit::at_once(match role {
                Role::Main => 0,
                Role::Init | Role::Sidecar => 143,
            }))
        })
    }

    fn look<T>(&self, name: &str, role: Role, field: impl Fn(&Part) -> Option<T>) -> Option<T> {
        let own = self.named.get(name).and_then(&field);
        match role {
            Role::Main => own.or_else(|| field(&self.general)),
            Role::Init | Role::Sidecar => own,
        }
    }

    fn part(&mut self, name: Option<&str>) -> &mut Part {
        match name {
            Some(name) => self.named.entry(name.to_owned()).or_default(),
            None => &mut self.general,
        }
    }

    fn read_line(&mut self, text: &str) -> Result<(), String> {
        let words = words_of(text)?;
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut after = None;
        if words.first() == Some(&"after") {
            let time = words.get(1).ok_or("`after` needs a time, such as `after 100ms run`")?;
            after = Some(time_of(time)?);
            words.drain(..2);
        }
        match words.as_slice() {
            ["pending"] if after.is_none() => self.pending = true,
            ["run"] => self.part(None).start_after = Some(after.unwrap_or_default()),
            ["run", name] => self.part(Some(name)).start_after = Some(after.unwrap_or_default()),
            ["hang"] if after.is_none() => self.part(None).exits = Some(Vec::new()),
            ["hang", name] if after.is_none() => self.part(Some(name)).exits = Some(Vec::new()),
            ["exit", rest @ ..] => {
                let (name, exit) = exit_of(rest, after)?;
                self.part(name).exits.get_or_insert_default().push(exit);
            }
            ["on-term", rest @ ..] if after.is_none() => self.read_on_term(rest)?,
            _ => {
                return Err(format!(
                    "`{text}` is no statement: see run, exit, hang, pending, on-term"
                ));
            }
        }
        Ok(())
    }

    fn read_on_term(&mut self, words: &[&str]) -> Result<(), String> {
        let (name, rest) = match words {
            [] => return Err("`on-term` needs `exit CODE` or `ignore`".to_owned()),
            ["ignore"] | ["exit", ..] => (None, words),
            [name, rest @ ..] => (Some(*name), rest),
        };
        let reaction = match rest {
            ["ignore"] => None,
            ["exit", rest @ ..] => match exit_of(rest, None)? {
                (None, exit) => Some(exit),
                (Some(name), _) => {
                    return Err(format!("write `on-term {name} exit CODE`, the name first"));
                }
            },
            _ => return Err("`on-term` needs `exit CODE` or `ignore`".to_owned()),
        };
        self.part(name).on_term = Some(reaction);
        Ok(())
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line_text = line.trim();
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            script
                .read_line(line_text)
                .map_err(|problem| ScriptError { line: index + 1, problem })?;
        }
        Ok(script)
    }
}

impl ScriptedExit {
    fn at_once(code: i32) -> Self {
        Self { after: Duration::ZERO, code, message: None }
    }
}

/// Reads `[NAME] CODE [after TIME] [message TEXT]`; where two words precede the options, the first is the name.
fn exit_of<'a>(
    words: &[&'a str],
    after: Option<Duration>,
) -> Result<(Option<&'a str>, ScriptedExit), String> {
    let options =
        words.iter().position(|w| *w == "after" || *w == "message").unwrap_or(words.len());
    let (head, mut rest) = words.split_at(options);
    let (name, code) = match head {
        [code] => (None, *code),
        [name, code] => (Some(*name), *code),
        _ => return Err("`exit` needs `[NAME] CODE`".to_owned()),
    };
    let code = code.parse::<u8>().map_err(|_| format!("`{code}` is no exit code of 0 to 255"))?;
    let mut exit =
        ScriptedExit { after: after.unwrap_or_default(), code: i32::from(code), message: None };
    while let [key, value, tail @ ..] = rest {
        match *key {
            "after" => exit.after = time_of(value)?,
            "message" => exit.message = Some((*value).to_owned()),
            other => return Err(format!("`{other}` is not expected here")),
        }
        rest = tail;
    }
    if let [word] = rest {
        return Err(format!("`{word}` needs a value"));
    }
    Ok((name, exit))
}

fn time_of(word: &str) -> Result<Duration, String> {
    let wrong = || format!("`{word}` is no time: a whole number with ms, s or m, such as `250ms`");
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

/// Splits at white space; text in double quotes is one word, in which `\"`, `\\` and `\n` stand for their character.
fn words_of(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = chars.peek().copied() else {
            return Ok(words);
        };
        let mut word = String::new();
        if first == '"' {
            chars.next();
            loop {
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => match chars.next() {
                        Some('n') => word.push('\n'),
                        Some(c) => word.push(c),
                        None => return Err("the text in quotes does not end".to_owned()),
                    },
                    Some(c) => word.push(c),
                    None => return Err("the text in quotes does not end".to_owned()),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(c);
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        text.parse().unwrap()
    }

    #[test]
    fn without_statements_the_role_decides() {
        let s = script("\n# nothing\n");
        assert_eq!(s.exit("main", Role::Main, 1), None);
        assert_eq!(s.exit("setup", Role::Init, 1), Some(ScriptedExit::at_once(0)));
        assert_eq!(s.on_term("main", Role::Main), Some(ScriptedExit::at_once(0)));
        assert_eq!(s.on_term("proxy", Role::Sidecar), Some(ScriptedExit::at_once(143)));
        assert!(!s.is_pending());
    }

    #[test]
    fn every_statement_is_read() {
        let s = script(
            "after 100ms run\nafter 1s exit main 3 message \"a \\\"b\\\"\"\n\
             on-term exit 0 after 50ms message \"bye\"\non-term proxy ignore\nhang proxy",
        );
        assert_eq!(s.start_after("main", Role::Main), Duration::from_millis(100));
        let exit = s.exit("main", Role::Main, 1).unwrap();
        assert_eq!((exit.after, exit.code), (Duration::from_secs(1), 3));
        assert_eq!(exit.message.as_deref(), Some("a \"b\""));
        let term = s.on_term("main", Role::Main).unwrap();
        assert_eq!((term.after, term.code), (Duration::from_millis(50), 0));
        assert_eq!(term.message.as_deref(), Some("bye"));
        assert_eq!(s.on_term("proxy", Role::Sidecar), None);
        assert_eq!(s.exit("proxy", Role::Sidecar, 1), None);
        assert!(script("pending").is_pending());
    }

    #[test]
    fn each_run_takes_its_own_exit_and_the_last_one_stays() {
        let s = script("after 1s exit 1\nexit 0 message done");
        let codes: Vec<_> = (1..=3).map(|r| s.exit("x", Role::Main, r).unwrap().code).collect();
        assert_eq!(codes, [1, 0, 0]);
    }

    #[test]
    fn a_statement_for_all_is_for_main_containers_only() {
        let s = script("exit 5\nexit setup 6");
        assert_eq!(s.exit("a", Role::Main, 1).unwrap().code, 5);
        assert_eq!(s.exit("setup", Role::Init, 1).unwrap().code, 6);
        assert_eq!(s.exit("other", Role::Init, 1).unwrap().code, 0);
    }

    #[test]
    fn errors_name_line_and_mend() {
        for (text, part) in [
            ("hang\nafter run", "line 2"),
            ("after 1h run", "no time"),
            ("exit main", "no exit code"),
            ("exit 256", "no exit code"),
            ("exit 0 message", "needs a value"),
            ("exit 0 message \"x", "does not end"),
            ("on-term", "needs"),
            ("dance", "no statement"),
        ] {
            let error = text.parse::<Script>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
