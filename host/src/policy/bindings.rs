//! Types and glue generated from the contract in `wit/`.

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "tidegate:policy/policy",
        additional_derives: [PartialEq],
    });
}

pub(crate) use generated::tidegate::policy::log as log_import;
pub(crate) use generated::{Policy, PolicyPre};

/// The records and variants of the contract under the names that the host uses.
pub mod wit {
    pub use super::generated::exports::tidegate::policy::judge::{
        Retry, Verdict, Wait as JudgeWait,
    };
    pub use super::generated::exports::tidegate::policy::renderer::{
        Pod, Rendering, Traffic, Wait as RenderWait,
    };
    pub use super::generated::tidegate::policy::types::{
        Cause, Claim, Condition, Container, ContainerKind, ContainerState, DrainPod, Ending, Exit,
        Holder, Peer, Phase, Situation,
    };
}
