//! Policies: untrusted WebAssembly components that render drain pods and judge them.
//!
//! What a policy can do to the host is bounded here. A component is unpacked under a cap, checked for what it imports and
//! exports, compiled in a child process under limits of its own, and instantiated afresh for every call under fuel, wall time
//! and memory limits. Whatever breaks a limit is a [`Fault`] or a [`LoadError`], never an answer.

pub mod cache;
pub mod call;
pub mod compile;
pub mod engine;
pub mod fault;
pub mod inspect;
pub mod limits;
pub mod log;
pub mod output;
pub mod record;
pub mod refusal;
pub mod source;
pub mod transcript;
pub mod translate;
pub mod unpack;
pub mod wit;

pub use cache::Policies;
pub use call::{Called, Module, Used};
pub use compile::{Compiler, compile_child_main};
pub use fault::{Fault, LoadError};
pub use log::{Log, LogLevel, LogLine};
pub use record::Recorder;
pub use refusal::Lasts;
pub use source::{Digest, Picked, Pinning, PolicyRef, RefError};
