//! For authors of tidegate's drain policies.
//!
//! A policy says which pod hands over the data of a replica that was scaled away, and when that data is safe elsewhere. It is
//! a type that implements [`Policy`], made a WebAssembly component by [`export!`]:
//!
//! ```
//! use tidegate_policy::{PodTemplate, Policy, Rendering, Situation};
//!
//! struct MoveAll;
//!
//! impl Policy for MoveAll {
//!     fn render(at: &Situation) -> Rendering {
//!         let template = PodTemplate::of_set(at).and_then(|mut template| {
//!             template.keep_containers(&["store"])?;
//!             template.container("store")?.set_command(["/store", "move-all"]);
//!             Ok(template)
//!         });
//!         template.map_or_else(Rendering::Refuse, Rendering::create)
//!     }
//! }
//!
//! tidegate_policy::export!(MoveAll);
//! ```
//!
//! The same code is tested natively with `cargo test`: see [`testing`]. Only [`log`] reaches outside; a clock, random numbers,
//! files and threads are not there in a policy, and what it may know it is told in [`Situation`] and [`DrainPod`].

mod answers;
#[doc(hidden)]
pub mod bindings;
mod claims;
mod config;
mod container;
mod ending;
#[doc(hidden)]
pub mod glue;
pub mod log;
mod peer;
mod set;
mod template;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::exports::tidegate::policy::judge::{Retry, Verdict, Wait as JudgeWait};
pub use bindings::exports::tidegate::policy::renderer::{
    Pod, Rendering, Traffic, Wait as RenderWait,
};
pub use bindings::exports::tidegate::policy::validator::Proposal;
pub use bindings::tidegate::policy::types::{
    Cause, Claim, Condition, Container, ContainerKind, ContainerState, DrainPod, Ending, Exit,
    Holder, Peer, Phase, Situation,
};
pub use claims::{check_discard, check_mounts};
pub use config::{CONFIG_ANNOTATION, ConfigKeys};
pub use container::ContainerTemplate;
pub use ending::{back_off_ms, by_ending, not_ended, ongoing, unfinished, unknown_cause};
pub use serde_json;
pub use set::StatefulSet;
pub use template::PodTemplate;

/// A drain policy. The same arguments must give the same answer: every call is made on a fresh instance.
pub trait Policy {
    /// Says how the data of the orphan is handed over. It is asked when the orphan has no drain pod.
    fn render(at: &Situation) -> Rendering;

    /// Says whether the data is safe elsewhere. It is asked whenever something of what it is shown changes.
    ///
    /// By default it believes the host's reading of the pod's end, as [`by_ending`] does.
    fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
        by_ending(at, pod)
    }

    /// Says what is wrong with a config, with the name of the field and the mend. It is asked when the policy or its config is named on a
    /// set, long before there is anything to drain, and its answer becomes an event there. [`Policy::render`] must refuse the same.
    ///
    /// By default nothing is wrong.
    ///
    /// # Errors
    /// One sentence for a person.
    fn validate(of: &Proposal) -> Result<(), String> {
        let _any_config = of;
        Ok(())
    }
}

/// Makes the component's exports from a type that implements [`Policy`]. To be called once, at the top of the policy's crate.
/// Natively it exports nothing, so that `cargo test` needs no WebAssembly.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Situation) -> $crate::Rendering = <$policy as $crate::Policy>::render;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the exported functions are generated glue")]
        const _: () = {
            type Exported = $crate::glue::Exported<$policy>;
    $crate::bindings::export_bindings!(Exported with_types_in $crate::bindings);
        };
    };
}
