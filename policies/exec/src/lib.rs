//! The library policy `exec`: the drain pod is the set's own pod with another command or script in one container, and a
//! termination message is the proof that it has done its work. The `README.md` beside it lists the keys of its config.

mod config;
mod decide;
mod peers;
mod script;

use tidegate_policy::{DrainPod, Policy, Proposal, Rendering, Situation, Verdict};

struct Exec;

impl Policy for Exec {
    fn render(at: &Situation) -> Rendering {
        decide::render(at)
    }

    fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
        decide::judge(at, pod)
    }

    fn validate(of: &Proposal) -> Result<(), String> {
        decide::validate(of)
    }
}

tidegate_policy::export!(Exec);
