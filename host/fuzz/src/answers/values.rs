//! Answers as values, made out of bytes.

use tidegate::policy::{
    output::{DISCARD_MAX_BYTES, DISCARD_MAX_ENTRIES, STATE_MAX_BYTES, TEMPLATE_MAX_BYTES},
    wit::{JudgeWait, Pod, RenderWait, Rendering, Retry, Traffic, Verdict},
};

/// How often a text is said again: some of them reach over every limit.
const REPEATS: [usize; 6] = [0, 1, 1, 2, 600, 20_000];

/// Bytes of one text before it is said again.
const TEXT_MAX_BYTES: usize = 16;

/// Takes values off the bytes, and goes on with nothing where they end.
pub(super) struct Values<'a> {
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rendering(&mut self) -> Rendering {
        match self.byte() % 4 {
            0 => Rendering::Pod(Pod {
                template: self.text(),
                traffic: if self.byte() < 128 { Traffic::None } else { Traffic::AsLabelled },
                discard: (0..self.byte() % 80).map(|_| self.text()).collect(),
                state: self.maybe(Self::text),
            }),
            1 => Rendering::Wait(RenderWait {
                reason: self.text(),
                ask_again: self.maybe(Self::number),
            }),
            2 => Rendering::Keep(self.text()),
            _ => Rendering::Refuse(self.text()),
        }
    }

    pub(super) fn verdict(&mut self) -> Verdict {
        match self.byte() % 5 {
            0 => Verdict::Wait(JudgeWait {
                reason: self.text(),
                percent: self.maybe(Self::byte),
                ask_again: self.maybe(Self::number),
                state: self.maybe(Self::text),
            }),
            1 => Verdict::Retry(Retry {
                reason: self.text(),
                after: self.number(),
                state: self.text(),
            }),
            2 => Verdict::Complete(self.text()),
            3 => Verdict::Cancel(self.text()),
            _ => Verdict::Fail(self.text()),
        }
    }

    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn text(&mut self) -> String {
        let repeats = REPEATS.get(usize::from(self.byte()) % REPEATS.len()).copied();
        let length = usize::from(self.byte()) % TEXT_MAX_BYTES;
        let (text, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        String::from_utf8_lossy(text).repeat(repeats.unwrap_or_default())
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() % 2 == 1).then(|| value(self))
    }
}

/// Whether a limit that refuses is broken; a reason is cut instead.
pub(super) fn is_too_large(rendering: &Rendering) -> bool {
    match rendering {
        Rendering::Pod(Pod { template, traffic: _, discard, state }) => {
            template.len() > TEMPLATE_MAX_BYTES
                || discard.len() > DISCARD_MAX_ENTRIES
                || discard.iter().any(|name| name.len() > DISCARD_MAX_BYTES)
                || state.as_ref().is_some_and(|state| state.len() > STATE_MAX_BYTES)
        }
        Rendering::Wait(_) | Rendering::Keep(_) | Rendering::Refuse(_) => false,
    }
}

/// Whether a limit that refuses is broken; a reason is cut instead.
pub(super) fn is_state_too_large(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Wait(wait) => {
            wait.state.as_ref().is_some_and(|state| state.len() > STATE_MAX_BYTES)
        }
        Verdict::Retry(retry) => retry.state.len() > STATE_MAX_BYTES,
        Verdict::Complete(_) | Verdict::Cancel(_) | Verdict::Fail(_) => false,
    }
}
