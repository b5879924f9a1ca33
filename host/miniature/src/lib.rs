//! A Kubernetes in miniature: an API server that keeps everything in memory, and the controllers that matter to the host. It plays what the host
//! asks for by the rules of the real one, and refuses the rest with 501, so that nothing is taken for granted that was never shown.
//!
//! `tidegate simulate` shows passages in it, and the sweep (`host/tests/sweep`) walks them with a fault at every call; there it is also held against
//! the scripts of `host/world`, which are held against a real control plane.
//!
//! | file | tells |
//! | --- | --- |
//! | `api.rs`, `request.rs`, `selector.rs` | what a request asks for, and its answer |
//! | `write.rs`, `patch.rs`, `admission.rs`, `refusal.rs` | how objects are written: names, versions, finalizers, grace, preconditions, defaults |
//! | `store.rs`, `kind.rs`, `object.rs` | what is kept, and what has become of it lately |
//! | `controllers.rs` | what happens without being asked for |
//!
//! What differs from a real cluster, and has to be known by whoever uses it:
//! - The controllers act at once, in a fixed order, after each change.
//! - A set's controller that found the name held always rests for the same time, unless its set or a pod of its own changes.
//! - Nobody is asked who they are, and everybody may do everything. Nothing is admitted or changed by webhooks.
//! - There is one node. There are no rolling updates, no budgets, no volumes but by name, and no taints.

pub mod admission;
pub mod api;
pub mod controllers;
pub mod kind;
pub mod object;
pub mod patch;
pub mod refusal;
pub mod request;
pub mod selector;
pub mod store;
pub mod write;
