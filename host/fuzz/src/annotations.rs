//! The annotations of a set: `{"annotations": {KEY: VALUE}, "parallel": BOOL, "foreign": {KEY: VALUE}}`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate::{
    drain_pod::{Ask, parse_grants},
    objects::SetObject,
    observe,
};
use tidegate_core::{
    Settings,
    seen::Stewardship,
    settings::{
        self, Activity, CONFIG, DELAY, DELAY_MAX_SECS, GRANT, MAX_PARALLEL, ON_SET_DELETED, PAUSED,
        POLICY, PREDECESSOR, PREFIX, PodManagement, SCALE_TO_ZERO, TOUCHED,
    },
};

use crate::json::Word;

/// What means something in a set's annotations.
pub const WORDS: &[Word] = &[
    Word {
        within: "annotations",
        key: POLICY,
        values: &[r#""library:exec""#, r#""p/k@sha256:00""#, r#""""#],
    },
    Word { within: "annotations", key: CONFIG, values: &[r#""{}""#, r#""\u0000""#] },
    Word {
        within: "annotations",
        key: GRANT,
        values: &[
            r#""secret=tls, hostPath=/x%20y""#,
            r#""annotation=a/b=c\nlabel=x""#,
            r#""sekret=x""#,
            r#""csi=%zz""#,
            r#""claim=%""#,
            r#""privilege=seLinuxOptions.level=s0:c1%2Cc2""#,
        ],
    },
    Word {
        within: "annotations",
        key: SCALE_TO_ZERO,
        values: &[r#""keep""#, r#""drain""#, r#""yes""#],
    },
    Word {
        within: "annotations",
        key: ON_SET_DELETED,
        values: &[r#""keep""#, r#""drain""#, r#""delete""#],
    },
    Word {
        within: "annotations",
        key: MAX_PARALLEL,
        values: &[r#""1""#, r#""0""#, r#""+3""#, r#""007""#, r#""4294967295""#, r#""4294967296""#],
    },
    Word {
        within: "annotations",
        key: DELAY,
        values: &[
            r#""90s""#,
            r#""5m""#,
            r#""168h""#,
            r#""169h""#,
            r#""s""#,
            r#""18446744073709551615h""#,
            r#""5µ""#,
        ],
    },
    Word { within: "annotations", key: PAUSED, values: &[r#""true""#, r#""false""#, r#""True""#] },
    Word { within: "annotations", key: TOUCHED, values: &[r#""1700000000000""#] },
    Word { within: "annotations", key: PREDECESSOR[0], values: &[r#""{}""#] },
    Word { within: "annotations", key: PREDECESSOR[1], values: &[r#""{}""#] },
    Word { within: "annotations", key: "tidegate.dev/pause", values: &[r#""true""#] },
    Word {
        within: "foreign",
        key: "example.com/x",
        values: &[r#""y""#, r#""tidegate.dev/policy""#],
    },
    Word { within: "", key: "parallel", values: &["true", "false"] },
];

/// A set is ours, not ours, or named with the annotation that cannot be understood; what is not ours never matters.
pub fn holds(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let annotations = texts(document.get("annotations"));
    let parallel = document.get("parallel").and_then(Value::as_bool) == Some(true);
    let management = if parallel { PodManagement::Parallel } else { PodManagement::OrderedReady };
    let read = settings::parse(&annotations, management);
    let named = annotations.contains_key(POLICY);
    let inherited = PREDECESSOR.iter().any(|key| annotations.contains_key(*key));
    match &read {
        Stewardship::NotOurs => assert!(!named && !inherited),
        Stewardship::Unreadable { annotation, value, mend } => {
            // Without a policy only a name that nobody knows is told: it may be the policy's, misspelt.
            assert!(named || inherited || mend.starts_with("no such annotation"));
            assert_eq!(annotations.get(annotation), Some(value), "what cannot be read is there");
            assert!(annotation.starts_with(PREFIX) && !mend.is_empty());
        }
        Stewardship::Ours(settings) => understood(settings, &annotations, parallel),
    }
    let mut more = annotations;
    let foreign = texts(document.get("foreign"));
    let is_foreign =
        |key: &String| !key.starts_with(PREFIX) && !PREDECESSOR.contains(&key.as_str());
    more.extend(foreign.into_iter().filter(|(key, _)| is_foreign(key)));
    assert_eq!(settings::parse(&more, management), read, "annotations of others do not matter");
    let observed = as_observed(&more, parallel);
    match &read {
        Stewardship::Ours(settings) if parse_grants(&settings.grant).is_err() => {
            let is_told = |it: &Stewardship| matches!(it, Stewardship::Unreadable { annotation, .. } if annotation == GRANT);
            assert!(is_told(&observed), "a grant that is none is told: {observed:?}");
        }
        Stewardship::Ours(_) | Stewardship::NotOurs | Stewardship::Unreadable { .. } => {
            assert_eq!(observed, read, "the watch keeps what matters");
        }
    }
}

/// What stands in the settings, read out of the annotations once more and in another way.
fn understood(settings: &Settings, annotations: &BTreeMap<String, String>, parallel: bool) {
    let text = |key: &str| annotations.get(key).map_or("", String::as_str);
    let known = [
        POLICY,
        CONFIG,
        GRANT,
        SCALE_TO_ZERO,
        ON_SET_DELETED,
        MAX_PARALLEL,
        DELAY,
        PAUSED,
        TOUCHED,
    ];
    let misspelt = |key: &&String| key.starts_with(PREFIX) && !known.contains(&key.as_str());
    assert_eq!(annotations.keys().find(misspelt), None, "a misspelt annotation is not ignored");
    assert_eq!((settings.config.as_str(), settings.grant.as_str()), (text(CONFIG), text(GRANT)));
    if annotations.contains_key(POLICY) {
        assert_eq!(settings.policy, text(POLICY));
    }
    assert_eq!(settings.activity == Activity::Paused, text(PAUSED) == "true");
    assert!(settings.max_parallel >= 1);
    match annotations.get(MAX_PARALLEL) {
        Some(text) => assert_eq!(text.parse(), Ok(settings.max_parallel)),
        None => assert_eq!(settings.max_parallel, if parallel { u32::MAX } else { 1 }),
    }
    assert!(settings.delay_ms <= DELAY_MAX_SECS * 1_000);
    assert_eq!(
        settings.delay_ms > 0,
        text(DELAY).contains(|digit: char| ('1'..='9').contains(&digit))
    );
    fingerprint(settings);
    grants(&settings.grant);
}

/// It depends on policy, config and grant, and on nothing else.
fn fingerprint(settings: &Settings) {
    let same = Settings {
        max_parallel: 7,
        delay_ms: 1,
        activity: Activity::Paused,
        on_set_deleted: settings::OnSetDeleted::Keep,
        scale_to_zero: settings::ScaleToZero::Drain,
        lineage: settings::Lineage::Predecessor,
        ..settings.clone()
    };
    assert_eq!(same.fingerprint(), settings.fingerprint());
    let Settings { policy, config, grant, .. } = settings.clone();
    let others = [
        Settings { config: format!("{config}x"), ..settings.clone() },
        Settings { config: format!("{policy}{config}"), policy: String::new(), ..settings.clone() },
        Settings { config: String::new(), grant: format!("{config}{grant}"), ..settings.clone() },
    ];
    for other in others.into_iter().filter(|other| other != settings) {
        assert_ne!(other.fingerprint(), settings.fingerprint(), "{other:?}");
    }
}

/// What a refusal tells people to write is read as the very thing that was refused.
fn grants(text: &str) {
    let asks = match parse_grants(text) {
        Ok(asks) => asks,
        Err(why) => return assert!(!why.is_empty()),
    };
    for ask in asks {
        assert!(!ask.name.is_empty() || text.contains('='));
        if let Some(granted) = granted_by(&ask.mend()) {
            let of_key = ask.of_key();
            let is_it = |grant: &Ask| *grant == ask || Some(grant) == of_key.as_ref();
            assert!(granted.len() == 1 && granted.iter().all(is_it), "{ask:?}: {granted:?}");
        }
    }
}

/// The grants that the words of a refusal end with.
#[must_use]
pub fn granted_by(mend: &str) -> Option<Vec<Ask>> {
    let (_, words) = mend.rsplit_once("tidegate.dev/grant: ")?;
    Some(parse_grants(words).expect("the grant that a refusal names is one"))
}

fn as_observed(annotations: &BTreeMap<String, String>, parallel: bool) -> Stewardship {
    let management = if parallel { "Parallel" } else { "OrderedReady" };
    let object = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u", "annotations": annotations },
        "spec": { "podManagementPolicy": management },
    });
    let object: SetObject = serde_json::from_value(object).expect("it is a set");
    observe::set(&object).expect("it has what every set has").stewardship
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
