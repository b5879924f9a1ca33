//! The library policy `keep`: the claims of a removed replica stay as they are. For a set that is to be left alone on purpose,
//! with the reason where everybody sees it.

mod decide;

use tidegate_policy::{DrainPod, Policy, Rendering, Situation, Verdict};

struct Keep;

impl Policy for Keep {
    fn render(at: &Situation) -> Rendering {
        Rendering::keep(decide::reason(&at.config))
    }

    fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
        decide::judge(at, pod)
    }
}

tidegate_policy::export!(Keep);
