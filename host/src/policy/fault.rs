//! Everything that a policy can do wrong, in words that name the mend.

use std::fmt;

use thiserror::Error;

use super::compile;
use super::limits;
use super::source::Digest;
use super::unpack;

/// Why a call of a policy gave no answer. It is never a verdict: whatever the call was about stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The policy broke off: a panic, a division by zero, a stack too deep.
    #[error("the policy trapped: {reason}{}", LastWords(.last_words.as_deref()))]
    Trap {
        /// What wasmtime says of the trap.
        reason: String,
        /// The last error that the policy logged, as a panic of the SDK is.
        last_words: Option<String>,
        /// Where it happened, one frame a line; may be empty.
        backtrace: String,
    },
    /// The policy computed for too long.
    #[error(
        "the policy used up its {} units of fuel: it loops, or does too much in one call",
        limits::FUEL_PER_CALL
    )]
    OutOfFuel,
    /// The policy ran for too long by the clock.
    #[error("the policy did not answer within {} ms", limits::DEADLINE_MILLIS)]
    Timeout,
    /// The policy asked for too much memory or too large tables.
    #[error(
        "the policy asked for more than {} MiB of memory or {} table elements",
        limits::MEMORY_MAX_BYTES / (1024 * 1024),
        limits::TABLE_MAX_ELEMENTS
    )]
    Memory,
    /// One answer or one message of the log was too large to copy.
    #[error(
        "the policy handed over more than {} MiB at once: answer with less",
        limits::CROSSING_MAX_BYTES / (1024 * 1024)
    )]
    TooMuchData,
    /// A field of the answer is larger than allowed.
    #[error("the policy's answer has {found} {unit} in `{field}`, and {limit} is the most")]
    Output {
        /// The field, as the contract names it.
        field: &'static str,
        /// What is counted: bytes or entries.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The component could not be started.
    #[error("the policy could not be started: {0}")]
    Instantiate(String),
    /// The host could not make the call; the policy is not to blame.
    #[error("the host could not call the policy: {0}")]
    Host(String),
}

/// Why bytes did not become a policy. Each message says what is wrong and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The bytes are of no known format.
    #[error(
        "not WebAssembly but {looks}: the entry must hold a component, raw or packed with gzip or zstd; build it with the \
         policy SDK and put the file into the ConfigMap's binaryData"
    )]
    NotWebAssembly {
        /// What the bytes look like.
        looks: &'static str,
    },
    /// A module without a component around it.
    #[error(
        "a core WebAssembly module, not a component: turn it into one, for example with `wasm-tools component new`"
    )]
    CoreModule,
    /// Starts as a component does, and is broken further on.
    #[error("a broken component: {0}; build it again, and compare the sha256 of the file")]
    Malformed(String),
    /// The component asks for something that the host does not give.
    #[error(
        "the component imports `{name}`, and a policy may import only `tidegate:policy/log@1`: build it for \
         wasm32-unknown-unknown, and take out what needs a clock, files, randomness, the network or an environment"
    )]
    Import {
        /// The import, as the component names it.
        name: String,
    },
    /// The component does not export what a policy must.
    #[error(
        "the component does not export `{name}`: a policy exports `renderer` and `judge` of tidegate:policy@1, which the \
         SDK's export macro does"
    )]
    MissingExport {
        /// The interface, without a version.
        name: String,
    },
    /// An interface of the contract in a version that this host does not speak.
    #[error(
        "the component speaks `{name}`, and this host speaks tidegate:policy 1: build the policy against version 1, or \
         install a host that speaks that version"
    )]
    UnknownVersion {
        /// The interface with its version.
        name: String,
    },
    /// Larger than a component may be.
    #[error(
        "larger than {} MiB unpacked: build it with opt-level \"s\" and without debug information",
        limit / (1024 * 1024)
    )]
    TooBig {
        /// Bytes that a component may have.
        limit: usize,
    },
    /// The packed bytes do not unpack.
    #[error("does not unpack as {format}: {reason}; pack the file again")]
    Unpack {
        /// How it is packed.
        format: unpack::Format,
        /// What the decoder says.
        reason: String,
    },
    /// Another component than the one that is pinned.
    #[error(
        "the pinned digest is sha256:{expected}, and the ConfigMap holds sha256:{found} (of the unpacked component): pin \
         what it holds, or put back what was pinned"
    )]
    DigestMismatch {
        /// What the reference names.
        expected: Digest,
        /// What the bytes have.
        found: Digest,
    },
    /// The compiler needed more than it may have.
    #[error(
        "too expensive to compile: {0}; split large functions, and build with lto = \"thin\" and the default codegen-units"
    )]
    CompileLimits(compile::Limit),
    /// The compiler refused the component.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// Names are right and shapes are not.
    #[error(
        "the component's functions are not those of the contract: {0}; build it against wit/policy.wit as released"
    )]
    Contract(String),
    /// It compiles, and cannot be started.
    #[error("the component cannot be started: {0}")]
    Start(Fault),
    /// The host could not try; the component is not to blame.
    #[error("the host could not load the policy: {0}")]
    Host(String),
}

impl LoadError {
    /// True where trying again may help without anyone changing the component.
    #[must_use]
    pub fn is_host(&self) -> bool {
        match self {
            Self::Host(_) | Self::Start(Fault::Host(_)) => true,
            Self::NotWebAssembly { .. }
            | Self::CoreModule
            | Self::Malformed(_)
            | Self::Import { .. }
            | Self::MissingExport { .. }
            | Self::UnknownVersion { .. }
            | Self::TooBig { .. }
            | Self::Unpack { .. }
            | Self::DigestMismatch { .. }
            | Self::CompileLimits(_)
            | Self::Compile(_)
            | Self::Contract(_)
            | Self::Start(_) => false,
        }
    }
}

struct LastWords<'a>(Option<&'a str>);

impl fmt::Display for LastWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(words) => write!(f, "; it said: {words}"),
            None => Ok(()),
        }
    }
}
