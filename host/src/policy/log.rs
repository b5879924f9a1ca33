//! What a policy says while it is called: its only import.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::source::Digest;

/// Messages kept of one call; a policy that says more in one call says it to nobody.
pub const LOG_MAX_MESSAGES: usize = 64;

/// Bytes of all messages kept of one call.
pub const LOG_MAX_BYTES: usize = 16 * 1024;

/// How much a message matters, as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum LogLevel {
    /// For the policy's author.
    #[component(name = "debug")]
    Debug,
    /// Something worth knowing.
    #[component(name = "info")]
    Info,
    /// Something that may need a person.
    #[component(name = "warn")]
    Warn,
    /// Something that went wrong; a panic of the policy comes as one.
    #[component(name = "error")]
    Error,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// One message, on one line: control characters are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub message: String,
}

/// What a policy said during one call, within [`LOG_MAX_MESSAGES`] and [`LOG_MAX_BYTES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The messages, in order.
    pub lines: Vec<LogLine>,
    /// How many more were dropped or cut, because the call had said enough.
    pub dropped: u64,
    bytes: usize,
}

impl Log {
    /// Keeps a message, or as much of it as still fits.
    pub fn push(&mut self, level: LogLevel, message: &str) {
        let room = LOG_MAX_BYTES - self.bytes;
        if self.lines.len() == LOG_MAX_MESSAGES || room == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let escaped = Escaped::of(message, room);
        if escaped.cut {
            // The rest of the call is dropped too: a short message after a cut one would look like its end.
            self.dropped = self.dropped.saturating_add(1);
            self.bytes = LOG_MAX_BYTES;
        } else {
            self.bytes += escaped.text.len();
        }
        self.lines.push(LogLine { level, message: escaped.text });
    }

    /// Writes what was said into the host's own log, with what the call was about.
    pub fn tell(&self, namespace: &str, about: &str, digest: Digest) {
        for LogLine { level, message } in &self.lines {
            match level {
                LogLevel::Debug => {
                    tracing::debug!(namespace, about, %digest, "policy: {message}");
                }
                LogLevel::Info => tracing::info!(namespace, about, %digest, "policy: {message}"),
                LogLevel::Warn => tracing::warn!(namespace, about, %digest, "policy: {message}"),
                LogLevel::Error => tracing::error!(namespace, about, %digest, "policy: {message}"),
            }
        }
        if self.dropped > 0 {
            let dropped = self.dropped;
            tracing::warn!(namespace, about, %digest, dropped, "the policy logged more than is kept");
        }
    }

    /// The last error that the policy reported; after a trap it is the message of the panic.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.lines
            .iter()
            .rev()
            .find(|line| line.level == LogLevel::Error)
            .map(|line| line.message.as_str())
    }
}

/// A text of the policy made fit for one line of a log or an event.
pub(super) struct Escaped {
    /// The text without control characters and without characters that turn the direction of writing.
    pub(super) text: String,
    /// True where the text did not fit.
    pub(super) cut: bool,
}

impl Escaped {
    /// Escapes `text` and cuts it, between characters and never inside an escape, at `max_bytes`.
    pub(super) fn of(text: &str, max_bytes: usize) -> Self {
        let mut out = String::with_capacity(text.len().min(max_bytes));
        for character in text.chars() {
            let before = out.len();
            if character.is_control() || turns_direction(character) {
                out.extend(character.escape_default());
            } else {
                out.push(character);
            }
            if out.len() > max_bytes {
                out.truncate(before);
                return Self { text: out, cut: true };
            }
        }
        Self { text: out, cut: false }
    }
}

/// Line separators and the marks that make a terminal show text in another order than it is written in.
fn turns_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let escaped = Escaped::of("a\n\u{1b}[31mred\u{202e}", 100);
        assert_eq!(escaped.text, "a\\n\\u{1b}[31mred\\u{202e}");
        assert!(!escaped.cut);
    }

    #[test]
    fn a_cut_is_between_characters() {
        assert_eq!(Escaped::of("aé", 2).text, "a");
        assert_eq!(Escaped::of("aé", 3).text, "aé");
        assert_eq!(Escaped::of("a\n", 2).text, "a");
        assert!(Escaped::of("abc", 2).cut);
    }

    #[test]
    fn messages_are_counted_and_dropped() {
        let mut log = Log::default();
        for _ in 0..LOG_MAX_MESSAGES + 3 {
            log.push(LogLevel::Info, "said");
        }
        assert_eq!(log.lines.len(), LOG_MAX_MESSAGES);
        assert_eq!(log.dropped, 3);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut log = Log::default();
        log.push(LogLevel::Info, &"x".repeat(LOG_MAX_BYTES - 1));
        log.push(LogLevel::Warn, "two");
        log.push(LogLevel::Error, "three");
        assert_eq!(log.lines.len(), 2);
        assert_eq!(log.lines[1].message, "t");
        assert_eq!(log.dropped, 2);
    }
}
