//! The library policy `pod-template`: the drain pod is what the set's annotation says, and exit code 0 is the proof. It serves
//! sets that bear the annotation of the predecessor, the StatefulSet Scale-Down Controller.

mod decide;

use tidegate_policy::{Policy, Rendering, Situation};

struct FromAnnotation;

impl Policy for FromAnnotation {
    fn render(at: &Situation) -> Rendering {
        decide::render(at)
    }
}

tidegate_policy::export!(FromAnnotation);
