//! Names of pods and claims, and references to policies: three lines of text and a number.

use tidegate::policy::{Digest, Pinning, PolicyRef};
use tidegate_core::{Ordinal, name};

/// A name is read for one set only, the way that it is written, and every name that is written is read.
pub fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let (name, template, set) = (lines.next(), lines.next(), lines.next());
    let (name, template, set) =
        (name.unwrap_or_default(), template.unwrap_or_default(), set.unwrap_or_default());
    ordinals(name);
    members(name, template, set);
    let number =
        bytes.iter().rev().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    written(template, set, Ordinal(number));
    references(name);
}

fn ordinals(text: &str) {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    let expected = text.parse::<u32>().ok().filter(|_| canonical).map(Ordinal);
    assert_eq!(Ordinal::parse(text), expected, "{text:?}");
}

fn members(name: &str, template: &str, set: &str) {
    if let Some(ordinal) = name::parse_member(name, set) {
        assert_eq!(name::member(set, ordinal), name, "the member's name has one reading");
    }
    if let Some(ordinal) = name::parse_claim(name, template, set) {
        assert_eq!(name::claim(template, set, ordinal), name, "the claim's name has one reading");
        let as_member = name::parse_member(name, &format!("{template}-{set}"));
        assert_eq!(as_member, Some(ordinal));
    }
}

fn written(template: &str, set: &str, ordinal: Ordinal) {
    assert_eq!(name::parse_member(&name::member(set, ordinal), set), Some(ordinal));
    let claim = name::claim(template, set, ordinal);
    assert_eq!(name::parse_claim(&claim, template, set), Some(ordinal));
}

fn references(text: &str) {
    let loose = PolicyRef::parse(text, Pinning::Optional);
    let strict = PolicyRef::parse(text, Pinning::Required);
    if let Ok(reference) = &loose {
        assert_eq!(reference.to_string(), text, "a reference is written as it was read");
        assert!(text.is_ascii() && !text.contains(char::is_whitespace));
    }
    match (&loose, &strict) {
        (Ok(PolicyRef::ConfigMap { digest: None, .. }), Err(why)) => {
            assert!(!why.to_string().is_empty());
        }
        (Ok(PolicyRef::ConfigMap { digest: None, .. }), Ok(_)) => {
            panic!("{text:?} names no digest and was taken for pinned")
        }
        (_, _) => assert_eq!(loose, strict, "pinning asks for a digest and for nothing else"),
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
}
