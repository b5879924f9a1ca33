//! For every reason that the code can give, event and status say the same, and name what a person can do or that it passes by itself.

use std::collections::BTreeSet;

use tidegate_core::{Ending, Ordinal, Reason, TimeMs, seen::Cascade};

use super::told;
use crate::operator::saying::Sayings;

/// The source of the reasons, to see that none is left out here.
const SOURCE: &str = include_str!("../../../core/src/reason.rs");

/// Every reason, with the words of it that name the mend. Where a reason passes by itself, they say what is awaited.
fn every() -> Vec<(Reason, &'static str)> {
    let text = || "some text: with a colon".to_owned();
    let claim = || "data-web-1".to_owned();
    let until = TimeMs(5);
    let pods = || vec!["backup".to_owned()];
    vec![
        (
            Reason::AnnotationUnreadable { annotation: text(), value: text(), mend: text() },
            "some text",
        ),
        (Reason::WhenScaledDelete { claim: claim() }, "set whenScaled to Retain"),
        (Reason::Paused, "take tidegate.dev/paused off"),
        (Reason::ScaledToZero, "tidegate.dev/scale-to-zero=drain"),
        (Reason::BelowStart, "spec.ordinals.start"),
        (Reason::SetTerminating, "are kept"),
        (Reason::ClaimMissing { template: text() }, "restore it"),
        (Reason::NotEnrolled { claim: claim() }, "tidegate adopt"),
        (Reason::EnrolledElsewhere { claim: claim(), uid: text() }, "tidegate adopt"),
        (Reason::RecordUnreadable { claim: claim(), why: text() }, "take the annotation off"),
        (Reason::NotBound { claim: claim() }, "delete the claim yourself"),
        (Reason::ClaimTerminating { claim: claim() }, "copy its data elsewhere"),
        (Reason::MemberThere, "still there"),
        (Reason::ClaimLingers { claim: claim(), pods: pods() }, "backup"),
        (Reason::ClaimLingers { claim: claim(), pods: Vec::new() }, "look at its finalizers"),
        (Reason::NameHeld { why: text() }, "delete it yourself"),
        (Reason::ClaimInUse { pods: pods() }, "until these pods are gone"),
        (Reason::Delayed { until }, "tidegate.dev/delay"),
        (Reason::BackingOff { attempt: 2, until }, "waits"),
        (Reason::Departs { ordinal: Ordinal(1) }, "take tidegate.dev/on-set-deleted off"),
        (Reason::AwaitsHigher, "drained first"),
        (Reason::NobodyStays { cascade: Cascade::Foreground }, "--cascade=background"),
        (Reason::SealWithdrawn { until }, "waits"),
        (Reason::Queued, "tidegate.dev/max-parallel"),
        (Reason::Held { why: text() }, "tidegate retry"),
        (Reason::PolicyWaits { reason: text(), percent: Some(7) }, "some text"),
        (Reason::PolicyWaits { reason: text(), percent: None }, "some text"),
        (Reason::PolicyKeeps { reason: text() }, "some text"),
        (Reason::PolicyRefuses { reason: text() }, "some text"),
        (Reason::PolicyFails { reason: text() }, "tidegate retry"),
        (Reason::PolicyFault { what: text() }, "some text"),
        (Reason::TemplateRejected { field: text(), mend: text() }, "some text"),
        (Reason::NotProven { ending: Ending::NotEnded }, "it has not ended"),
        (Reason::InUseAtTheEnd { pods: pods() }, "until these pods are gone"),
        (Reason::PodHoldsData { claim: claim() }, "copy the data out"),
        (Reason::PodLeaving, "awaited"),
        (Reason::StraySeal, "tidegate release"),
        (Reason::HeldByFinalizers { finalizers: pods() }, "must take them off"),
        (Reason::Collecting, "garbage collector"),
        (Reason::WriteRefused { what: text() }, "it is tried again"),
        (Reason::PolicyNotTaken { what: text(), in_use: None }, "goes on with the policy"),
        (Reason::PolicyNotTaken { what: text(), in_use: Some(text()) }, "stays"),
        (Reason::ConfigInvalid { what: text(), in_use: None }, "goes on with the config"),
        (Reason::ConfigInvalid { what: text(), in_use: Some(text()) }, "stays in use"),
        (Reason::PolicyTaken { digest: text() }, "are taken into use"),
        (Reason::Unknown { what: text() }, "until it is"),
    ]
}

#[test]
fn no_reason_is_left_out() {
    let (_, codes) = SOURCE.split_once("pub const fn code").expect("reasons have codes");
    let (codes, _) = codes.split_once("\n    }\n").expect("the function ends");
    let arms = codes.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    let here: BTreeSet<&str> = every().iter().map(|(reason, _)| reason.code()).collect();
    assert_eq!(arms.collect::<BTreeSet<_>>(), here);
}

#[test]
fn event_and_status_say_the_same_and_name_the_mend() {
    for (reason, mend) in every() {
        for ordinal in [None, Some(1)] {
            let said = Sayings::of(&[told(ordinal, &reason, 7)]);
            let said = said.last("uid-web", ordinal.map(Ordinal)).expect("it was told");
            assert_eq!(said.words, reason.to_string(), "{ordinal:?}");
            assert_eq!((said.code.as_str(), said.severity), (reason.code(), reason.severity()));
            assert!(said.words.contains(mend), "{} does not say {mend:?}", said.words);
        }
    }
}
