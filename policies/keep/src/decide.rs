//! What `keep` answers.

use tidegate_policy::{DrainPod, Situation, Verdict};

/// The reason shown: the set owner's own words where `tidegate.dev/policy-config` holds any.
pub(crate) fn reason(config: &str) -> String {
    match config.trim() {
        "" => "the set names `library:keep`".to_owned(),
        words => words.to_owned(),
    }
}

/// `keep` renders no pod, so it knows of none that could have moved data: it never says that data is safe elsewhere.
pub(crate) fn judge(at: &Situation, pod: &DrainPod) -> Verdict {
    if pod.can_cancel {
        Verdict::cancel(reason(&at.config))
    } else {
        Verdict::wait("a claim is being deleted, so this pod is all that holds the data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::{Policy, Rendering, testing};

    #[test]
    fn it_keeps_and_gives_the_owners_reason() {
        let mut at = testing::situation("web", 2, 2);
        assert_eq!(crate::Keep::render(&at), Rendering::keep("the set names `library:keep`"));
        at.config = " audit until May\n".to_owned();
        assert_eq!(crate::Keep::render(&at), Rendering::keep("audit until May"));
    }

    #[test]
    fn it_never_completes() {
        let at = testing::situation("web", 2, 2);
        let mut pod = testing::ended_by_itself("web", "");
        assert!(matches!(judge(&at, &pod), Verdict::Cancel(_)));
        pod.can_cancel = false;
        assert!(matches!(judge(&at, &pod), Verdict::Wait(_)));
    }
}
