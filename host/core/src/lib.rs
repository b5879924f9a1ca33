//! What tidegate decides, and nothing else: from what was seen to what is to be done, why not, and an independent check.
//!
//! No Kubernetes types, no I/O, no clock and no dependency: time and facts come in as data, a [`Plan`] goes out.
//! One pass of the host's driver is `observe → questions → ask the policies → plan → check → act → report`.
//!
//! The passage of one ordinal, as [`Stage`] names it:
//!
//! | stage | what is seen | what the plan may hold |
//! | --- | --- | --- |
//! | `Live` | wanted, and no drain pod holds the name | enrol its claims; touch the set where we freed the name |
//! | `Blocked` | above the live range, but something stands in the way | a report |
//! | `Ripe` | an orphan that may be rendered | note a state, create the drain pod |
//! | `Draining` | our drain pod, not sealed | note a state, seal, or delete the pod |
//! | `Leaving` | our drain pod, not sealed, being deleted | note the next attempt |
//! | `Sealed` | our sealed pod; a claim is not yet being deleted | delete claims, or say on the seal that it is given back |
//! | `GivingBack` | our sealed pod, whose seal was said to be given back | give every claim a new version, unseal |
//! | `Condemned` | our sealed pod; every claim of it is being deleted or gone | unseal |
//! | `Ended` | our pod, unsealed after its claims were deleted | delete the pod where the garbage collector is slow |
//! | `Departing` | the member of the ordinal whose turn it is, in a set that is deleted and drained first | delete the member |
//! | `Foreign` | a pod that is not ours and not the member holds the name | a report |

pub mod action;
pub mod answer;
pub mod backoff;
pub mod change;
pub mod check;
pub mod departure;
pub mod ending;
pub mod name;
pub mod plan;
pub mod proof;
pub mod question;
pub mod reason;
pub mod record;
pub mod safety;
pub mod seen;
pub mod settings;
pub mod stage;
pub mod time;

pub use action::{Action, Outcome, Plan, Report, Step, Target};
pub use answer::{Answer, PodBody};
pub use change::Change;
pub use ending::Ending;
pub use name::Ordinal;
pub use question::{Question, questions};
pub use reason::{Reason, Severity};
pub use record::{Noted, Record};
pub use seen::{Claim, Drain, Holder, Seat, Seen, Set, View};
pub use settings::Settings;
pub use stage::Stage;
pub use time::TimeMs;
