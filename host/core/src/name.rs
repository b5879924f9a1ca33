//! Strict names: what the name of a pod or a claim says, and nothing that it might be read as.

use std::fmt;

/// The number of a member of a set, as in `web-2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(pub u32);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Ordinal {
    /// Reads an ordinal in its one canonical form: decimal digits, no sign, no leading zero, within `u32`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ordinal = text.parse::<u32>().ok().map(Self)?;
        // `01` and `+1` parse too; only the text that we would write ourselves names this ordinal.
        (ordinal.to_string() == text).then_some(ordinal)
    }
}

/// The name of the set's pod of that ordinal, which its drain pod bears too.
#[must_use]
pub fn member(set: &str, ordinal: Ordinal) -> String {
    format!("{set}-{ordinal}")
}

/// The name of the claim that the set's claim template has for that ordinal.
#[must_use]
pub fn claim(template: &str, set: &str, ordinal: Ordinal) -> String {
    format!("{template}-{set}-{ordinal}")
}

/// The ordinal that a pod's name means for this very set, if it means one.
#[must_use]
pub fn parse_member(name: &str, set: &str) -> Option<Ordinal> {
    Ordinal::parse(name.strip_prefix(set)?.strip_prefix('-')?)
}

/// The ordinal that a claim's name means for this very template of this very set.
///
/// `data-x-web-1` is ordinal 1 of the template `data-x` of the set `web` and also of `data` of `x-web`. Both readings are
/// right; whose the claim is, its enrolment tells, never its name.
#[must_use]
pub fn parse_claim(name: &str, template: &str, set: &str) -> Option<Ordinal> {
    parse_member(name.strip_prefix(template)?.strip_prefix('-')?, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_an_ordinal() {
        assert_eq!(Ordinal::parse("0"), Some(Ordinal(0)));
        assert_eq!(Ordinal::parse("4294967295"), Some(Ordinal(u32::MAX)));
        for text in ["", "01", "+1", "-1", " 1", "1 ", "4294967296", "1e2", "0x1", "１"] {
            assert_eq!(Ordinal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_read_for_one_set_only() {
        assert_eq!(parse_member("web-2", "web"), Some(Ordinal(2)));
        for name in ["web-2-3", "web2", "web--2", "web-02", "xweb-2", "web-", "web"] {
            assert_eq!(parse_member(name, "web"), None, "{name:?}");
        }
    }

    #[test]
    fn an_ambiguous_claim_name_has_one_reading_for_each_template_and_set() {
        let name = "data-x-web-1";
        assert_eq!(parse_claim(name, "data-x", "web"), Some(Ordinal(1)));
        assert_eq!(parse_claim(name, "data", "x-web"), Some(Ordinal(1)));
        assert_eq!(parse_claim(name, "data", "web"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for number in [0, 1, 9, 10, 4_294_967_295] {
            let ordinal = Ordinal(number);
            assert_eq!(parse_member(&member("web", ordinal), "web"), Some(ordinal));
            assert_eq!(parse_claim(&claim("data", "web", ordinal), "data", "web"), Some(ordinal));
        }
    }
}
