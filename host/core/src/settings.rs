//! What a set's annotations ask of us, parsed strictly.

use std::collections::BTreeMap;

use crate::seen::Stewardship;

/// The annotation that names the policy.
pub const POLICY: &str = "tidegate.dev/policy";
/// The annotation with text for the policy.
pub const CONFIG: &str = "tidegate.dev/policy-config";
/// The annotation that says what a drain pod may have beyond the set's own template.
pub const GRANT: &str = "tidegate.dev/grant";
/// The annotation that says what scaling to zero means.
pub const SCALE_TO_ZERO: &str = "tidegate.dev/scale-to-zero";
/// The annotation that says what becomes of the claims when the set is deleted.
pub const ON_SET_DELETED: &str = "tidegate.dev/on-set-deleted";
/// The annotation that bounds the drain pods of the set at once.
pub const MAX_PARALLEL: &str = "tidegate.dev/max-parallel";
/// The annotation that says how long an orphan waits before its first drain pod.
pub const DELAY: &str = "tidegate.dev/delay";
/// The annotation that stops everything of the set.
pub const PAUSED: &str = "tidegate.dev/paused";
/// What all annotations of ours on a set begin with.
pub const PREFIX: &str = "tidegate.dev/";
/// The note that touching a set leaves on it. It is ours, and asks nothing of us.
pub const TOUCHED: &str = "tidegate.dev/touched";
/// The predecessor's annotations, the one that it preferred first.
pub const PREDECESSOR: [&str; 2] = [
    "statefulsets.kubernetes.io/scaledown-pod-template",
    "statefulsets.kubernetes.io/drainer-pod-template",
];
/// The library policy that serves a set with only the predecessor's annotation.
pub const PREDECESSOR_POLICY: &str = "library:pod-template";

/// The longest `delay`, in seconds: a week. What is meant to wait longer is meant to be paused.
pub const DELAY_MAX_SECS: u64 = 7 * 24 * 3600;

/// The settings of a set that names a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The reference to the policy, not yet resolved.
    pub policy: String,
    /// Text that is handed to the policy as it is.
    pub config: String,
    /// What a drain pod may have beyond the set's own pod template, not yet parsed.
    pub grant: String,
    /// Whether the set bears only a predecessor's annotation.
    pub lineage: Lineage,
    /// What scaling to zero means.
    pub scale_to_zero: ScaleToZero,
    /// What becomes of the claims when the set is deleted.
    pub on_set_deleted: OnSetDeleted,
    /// How many ordinals have a drain pod at once.
    pub max_parallel: u32,
    /// How long an orphan waits before its first drain pod, in milliseconds.
    pub delay_ms: u64,
    /// Whether nothing is to be started and nothing deleted.
    pub activity: Activity,
}

/// Who named the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// The set names a policy of ours.
    Named,
    /// The set bears only the predecessor's annotation.
    Predecessor,
}

/// What scaling to zero means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleToZero {
    /// A pause: claims are kept.
    Keep,
    /// A scale-down like any other.
    Drain,
}

/// What becomes of the claims when the set is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSetDeleted {
    /// What the set's own `whenDeleted` says.
    AsTheSet,
    /// They stay, whatever that says.
    Keep,
    /// The set is held until every ordinal is drained.
    Drain,
}

/// Whether a set is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is.
    Active,
    /// Nothing is started and nothing deleted.
    Paused,
}

/// How a set manages its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodManagement {
    /// One after the other.
    OrderedReady,
    /// All at once.
    Parallel,
}

impl Settings {
    /// A number that differs where policy, config or grant differ (FNV-1a, 64 bits). It tells that something changed, and nothing rests on
    /// it that could lose data.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let texts = [&self.policy, &self.config, &self.grant];
        let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0xff]));
        bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    }
}

/// Reads a set's annotations. Every annotation under `tidegate.dev/` must be known and understood.
#[must_use]
pub fn parse(annotations: &BTreeMap<String, String>, management: PodManagement) -> Stewardship {
    let named = annotations.get(POLICY);
    let inherited = PREDECESSOR.iter().any(|key| annotations.contains_key(*key));
    let read = match (named, inherited) {
        (Some(policy), _) => settings(annotations, policy.clone(), Lineage::Named, management),
        (None, true) => {
            let policy = PREDECESSOR_POLICY.to_owned();
            settings(annotations, policy, Lineage::Predecessor, management)
        }
        // Whoever misspells the name of the policy's annotation is to hear of it.
        (None, false) => match known(annotations) {
            Ok(()) => return Stewardship::NotOurs,
            Err(misread) => Err(misread),
        },
    };
    match read {
        Ok(settings) => Stewardship::Ours(settings),
        Err(Misread { annotation, mend }) => Stewardship::Unreadable {
            value: annotations.get(&annotation).cloned().unwrap_or_default(),
            annotation,
            mend,
        },
    }
}

struct Misread {
    annotation: String,
    mend: String,
}

fn settings(
    annotations: &BTreeMap<String, String>,
    policy: String,
    lineage: Lineage,
    management: PodManagement,
) -> Result<Settings, Misread> {
    known(annotations)?;
    let text = |key: &str| annotations.get(key).cloned().unwrap_or_default();
    let parsed = |key: &str| annotations.get(key).map(String::as_str);
    let wrong =
        |key: &str, mend: &str| Misread { annotation: key.to_owned(), mend: mend.to_owned() };
    let scale_to_zero = match (parsed(SCALE_TO_ZERO), lineage) {
        (Some("keep"), _) | (None, Lineage::Named) => ScaleToZero::Keep,
        (Some("drain"), _) | (None, Lineage::Predecessor) => ScaleToZero::Drain,
        (Some(_), _) => return Err(wrong(SCALE_TO_ZERO, "write `keep` or `drain`")),
    };
    let on_set_deleted = match parsed(ON_SET_DELETED) {
        None => OnSetDeleted::AsTheSet,
        Some("keep") => OnSetDeleted::Keep,
        Some("drain") => OnSetDeleted::Drain,
        Some(_) => return Err(wrong(ON_SET_DELETED, "write `keep` or `drain`")),
    };
    let max_parallel = match parsed(MAX_PARALLEL) {
        None => match management {
            PodManagement::OrderedReady => 1,
            PodManagement::Parallel => u32::MAX,
        },
        Some(text) => match text.parse::<u32>() {
            Ok(count) if count > 0 => count,
            Ok(_) | Err(_) => return Err(wrong(MAX_PARALLEL, "write a whole number from 1")),
        },
    };
    let delay_ms = match parsed(DELAY) {
        None => 0,
        Some(text) => delay_ms(text).ok_or_else(|| {
            wrong(DELAY, "write a whole number and `s`, `m` or `h`, at most a week, as in `90s`")
        })?,
    };
    let activity = match parsed(PAUSED) {
        None | Some("false") => Activity::Active,
        Some("true") => Activity::Paused,
        Some(_) => return Err(wrong(PAUSED, "write `true` or `false`")),
    };
    Ok(Settings {
        policy,
        config: text(CONFIG),
        grant: text(GRANT),
        lineage,
        scale_to_zero,
        on_set_deleted,
        max_parallel,
        delay_ms,
        activity,
    })
}

/// A misspelt annotation must not be ignored: `tidegate.dev/pause: "true"` would otherwise drain a set that was to rest.
fn known(annotations: &BTreeMap<String, String>) -> Result<(), Misread> {
    const KNOWN: [&str; 8] =
        [POLICY, CONFIG, GRANT, SCALE_TO_ZERO, ON_SET_DELETED, MAX_PARALLEL, DELAY, PAUSED];
    let is_known = |key: &str| KNOWN.contains(&key) || key == TOUCHED;
    let unknown = annotations.keys().find(|key| key.starts_with(PREFIX) && !is_known(key));
    match unknown {
        None => Ok(()),
        Some(key) => Err(Misread {
            annotation: key.clone(),
            mend: format!("no such annotation: take it off, or use one of {}", KNOWN.join(", ")),
        }),
    }
}

fn delay_ms(text: &str) -> Option<u64> {
    let unit_secs = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = text.get(..text.len().checked_sub(1)?)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let secs = digits.parse::<u64>().ok()?.checked_mul(unit_secs)?;
    (secs <= DELAY_MAX_SECS).then(|| secs.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Stewardship {
        let annotations =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(&annotations, PodManagement::OrderedReady)
    }

    fn ours(pairs: &[(&str, &str)]) -> Settings {
        let Stewardship::Ours(settings) = read(pairs) else {
            panic!("{pairs:?} should be understood");
        };
        settings
    }

    #[test]
    fn a_set_without_a_policy_is_not_ours() {
        assert_eq!(read(&[]), Stewardship::NotOurs);
        assert_eq!(read(&[("tidegate.dev/paused", "maybe")]), Stewardship::NotOurs);
    }

    #[test]
    fn a_misspelt_policy_is_told() {
        for misspelt in ["tidegate.dev/polcy", "tidegate.dev/Policy"] {
            let Stewardship::Unreadable { annotation, mend, .. } =
                read(&[(misspelt, "library:exec")])
            else {
                panic!("{misspelt} is passed over in silence");
            };
            assert_eq!(annotation, misspelt);
            assert!(mend.contains("tidegate.dev/policy,") && !mend.contains(TOUCHED), "{mend}");
        }
    }

    #[test]
    fn the_defaults_are_the_careful_ones() {
        let settings = ours(&[(POLICY, "library:exec")]);
        assert_eq!(settings.scale_to_zero, ScaleToZero::Keep);
        assert_eq!(settings.max_parallel, 1);
        assert_eq!(settings.delay_ms, 0);
        assert_eq!(settings.activity, Activity::Active);
    }

    #[test]
    fn the_predecessors_annotation_alone_keeps_its_meaning() {
        for key in PREDECESSOR {
            let settings = ours(&[(key, "{}")]);
            assert_eq!(settings.policy, "library:pod-template");
            assert_eq!(settings.scale_to_zero, ScaleToZero::Drain);
            assert_eq!(settings.lineage, Lineage::Predecessor);
        }
        let both = ours(&[(POLICY, "library:keep"), (PREDECESSOR[0], "{}")]);
        assert_eq!((both.policy.as_str(), both.lineage), ("library:keep", Lineage::Named));
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_its_mend() {
        for (key, value) in [
            (SCALE_TO_ZERO, "yes"),
            (ON_SET_DELETED, "delete"),
            (ON_SET_DELETED, ""),
            (MAX_PARALLEL, "0"),
            (MAX_PARALLEL, "-1"),
            (DELAY, "10"),
            (DELAY, "s"),
            (DELAY, "1.5h"),
            (DELAY, "+1s"),
            (DELAY, "169h"),
            (DELAY, "5µ"),
            (PAUSED, "True"),
            ("tidegate.dev/pause", "true"),
        ] {
            let read = read(&[(POLICY, "library:exec"), (key, value)]);
            let Stewardship::Unreadable { annotation, value: found, mend } = read else {
                panic!("{key}={value} should not be understood");
            };
            assert_eq!((annotation.as_str(), found.as_str()), (key, value));
            assert!(!mend.is_empty());
        }
    }

    #[test]
    fn delays_are_read_in_their_units() {
        for (text, secs) in [("0s", 0), ("90s", 90), ("5m", 300), ("168h", DELAY_MAX_SECS)] {
            assert_eq!(ours(&[(POLICY, "x"), (DELAY, text)]).delay_ms, secs * 1000);
        }
    }

    #[test]
    fn a_bound_is_as_the_set_says() {
        for (text, count) in [("1", 1), ("2", 2), ("4294967295", u32::MAX)] {
            assert_eq!(ours(&[(POLICY, "x"), (MAX_PARALLEL, text)]).max_parallel, count);
        }
    }

    /// It is noted on claims: a host of another version must come to the same.
    #[test]
    fn a_fingerprint_is_the_same_in_every_version_and_differs_with_every_part() {
        let known = ours(&[(POLICY, "library:exec"), (CONFIG, "{}")]).fingerprint();
        assert_eq!(known, 0x371b_bfc9_a010_4bae);
        let others = [
            ours(&[(POLICY, "library:exed"), (CONFIG, "{}")]),
            ours(&[(POLICY, "library:exec"), (CONFIG, "{ }")]),
            ours(&[(POLICY, "library:exec{"), (CONFIG, "}")]),
            ours(&[(POLICY, "library:exec"), (GRANT, "{}")]),
        ];
        for other in others {
            assert_ne!(other.fingerprint(), known, "{other:?}");
        }
    }
}
