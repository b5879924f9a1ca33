//! The library policy `pod-template`: the drain pod is what the set's annotation says, and exit code 0 is the proof. It serves
//! sets that bear the annotation of the predecessor, the StatefulSet Scale-Down Controller.

mod decide;

use tidegate_policy::{Policy, Proposal, Rendering, Situation};

struct FromAnnotation;

impl Policy for FromAnnotation {
    fn render(at: &Situation) -> Rendering {
        decide::render(at)
    }

    fn validate(of: &Proposal) -> Result<(), String> {
        decide::validate(of)
    }
}

tidegate_policy::export!(FromAnnotation);
