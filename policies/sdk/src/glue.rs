//! What [`export!`](crate::export) needs of this crate; not for authors.

use crate::bindings::exports::tidegate::policy::{judge, renderer, validator};
use crate::{DrainPod, Policy, Proposal, Rendering, Situation, Verdict};
use std::marker::PhantomData;

/// The component's exports, answered by the policy `P`.
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> renderer::Guest for Exported<P> {
    fn render(at: Situation) -> Rendering {
        log_panics();
        P::render(&at)
    }
}

impl<P: Policy> judge::Guest for Exported<P> {
    fn judge(at: Situation, pod: DrainPod) -> Verdict {
        log_panics();
        P::judge(&at, &pod)
    }
}

impl<P: Policy> validator::Guest for Exported<P> {
    fn validate(of: Proposal) -> Result<(), String> {
        log_panics();
        P::validate(&of)
    }
}

/// Sends the message and the place of a panic to the host's log. Without it the host sees a trap and no text.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string())));
}
