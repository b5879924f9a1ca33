//! The host: everything of tidegate that has a client or a clock. What it decides, it asks of `tidegate-core`.

pub mod act;
pub mod args;
pub mod ask;
pub mod author;
pub mod clock;
pub mod cluster;
pub mod drain_pod;
pub mod error;
pub mod health;
pub mod host;
pub mod lease;
pub mod marks;
pub mod memory;
pub mod modules;
pub mod objects;
pub mod observe;
pub mod operator;
pub mod policy;
pub mod queue;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod simulate;
pub mod watch;
