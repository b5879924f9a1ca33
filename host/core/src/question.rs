//! What must be asked of the policies before a plan can be made.

use crate::{Ordinal, Seen, Stage, TimeMs, seen::Stewardship, stage::stage};

/// One question about one ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// What does its drain pod look like?
    Render(Ordinal),
    /// What about its drain pod?
    Judge(Ordinal),
}

impl Question {
    /// The ordinal that it is about.
    #[must_use]
    pub const fn ordinal(self) -> Ordinal {
        match self {
            Self::Render(ordinal) | Self::Judge(ordinal) => ordinal,
        }
    }
}

/// The questions of this pass, at most one an ordinal, from the highest down. Orphans are asked about while the set may have one more drain
/// pod; which of them get one, the answers decide, so that an orphan whose policy waits does not stop the others. A passage that has begun to delete is asked about whatever the annotations say.
#[must_use]
pub fn questions(seen: &Seen, now: TimeMs) -> Vec<Question> {
    let has_room = room(seen) > 0;
    let ours = matches!(seen.set.stewardship, Stewardship::Ours(_));
    let mut questions = Vec::new();
    for (ordinal, seat) in seen.seats.iter().rev() {
        match stage(seen, *ordinal, seat, now) {
            Stage::Ripe if has_room => questions.push(Question::Render(*ordinal)),
            Stage::Draining(_) if ours && seat.noted.unreadable().is_none() => {
                questions.push(Question::Judge(*ordinal));
            }
            Stage::Sealed(drain) if ours || seat.has_begun_to_go(drain) => {
                questions.push(Question::Judge(*ordinal));
            }
            Stage::Ripe
            | Stage::Draining(_)
            | Stage::Sealed(_)
            | Stage::Live
            | Stage::Blocked(_)
            | Stage::Leaving(_)
            | Stage::GivingBack(_)
            | Stage::Condemned(_)
            | Stage::Ended(_)
            | Stage::Departing(_)
            | Stage::Foreign(_) => {}
        }
    }
    questions
}

/// How many more ordinals of the set may have a drain pod.
pub(crate) fn room(seen: &Seen) -> usize {
    let Stewardship::Ours(settings) = &seen.set.stewardship else {
        return 0;
    };
    let busy = seen.seats.values().filter(|seat| seat.drain().is_some()).count();
    usize::try_from(settings.max_parallel).unwrap_or(usize::MAX).saturating_sub(busy)
}
