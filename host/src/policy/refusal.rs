//! How long it is believed that a component is no good.

use std::time::Duration;

use super::compile::Limit;
use super::fault::{Fault, LoadError};

/// How long a refusal is believed for which a busy machine may be to blame. Trying costs up to the limits of a compilation, so it is not done often;
/// whoever puts another component there is heard at once.
const COSTLY_LASTS: Duration = Duration::from_secs(600);

/// How long a refusal is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For as long as this host runs: the same bytes are refused again.
    Always,
    /// For a while: the machine may have been busy.
    For(Duration),
    /// Not at all: it says nothing of the component.
    NotAtAll,
}

impl Lasts {
    /// How long this one is.
    #[must_use]
    pub const fn of(error: &LoadError) -> Self {
        match error {
            LoadError::Host(_) | LoadError::Start(Fault::Host(_)) => Self::NotAtAll,
            LoadError::CompileLimits(Limit::CpuTime | Limit::WallTime)
            | LoadError::Start(Fault::Timeout) => Self::For(COSTLY_LASTS),
            LoadError::CompileLimits(Limit::Memory | Limit::Artifact)
            | LoadError::NotWebAssembly { .. }
            | LoadError::CoreModule
            | LoadError::Malformed(_)
            | LoadError::Import { .. }
            | LoadError::MissingExport { .. }
            | LoadError::UnknownVersion { .. }
            | LoadError::TooBig { .. }
            | LoadError::Unpack { .. }
            | LoadError::DigestMismatch { .. }
            | LoadError::Compile(_)
            | LoadError::Contract(_)
            | LoadError::Start(
                Fault::Trap { .. }
                | Fault::OutOfFuel
                | Fault::Memory
                | Fault::TooMuchData
                | Fault::Output { .. }
                | Fault::Instantiate(_),
            ) => Self::Always,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_same_bytes_lead_to_again_is_believed_for_ever_and_what_the_machine_did_is_not() {
        let start = LoadError::Start;
        let trap =
            Fault::Trap { reason: String::new(), last_words: None, backtrace: String::new() };
        for always in [
            LoadError::CoreModule,
            LoadError::CompileLimits(Limit::Memory),
            start(Fault::OutOfFuel),
            start(trap),
        ] {
            assert_eq!(Lasts::of(&always), Lasts::Always, "{always}");
        }
        for for_a_while in [
            LoadError::CompileLimits(Limit::CpuTime),
            LoadError::CompileLimits(Limit::WallTime),
            start(Fault::Timeout),
        ] {
            assert_eq!(Lasts::of(&for_a_while), Lasts::For(COSTLY_LASTS), "{for_a_while}");
        }
        for of_the_host in [LoadError::Host(String::new()), start(Fault::Host(String::new()))] {
            assert_eq!(Lasts::of(&of_the_host), Lasts::NotAtAll, "{of_the_host}");
            assert!(of_the_host.is_host());
        }
    }
}
