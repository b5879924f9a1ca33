//! The annotation with which a set's owner lets a drain pod have more than the set's own template.

use super::Ask;

/// What was granted: the same words that a refusal names.
pub type Grant = Ask;

/// Every kind of thing that can be granted.
const KINDS: [&str; 21] = [
    "annotation",
    "label",
    "priority",
    "serviceAccount",
    "secret",
    "configMap",
    "claim",
    "hostPath",
    "host",
    "hostPort",
    "csi",
    "volume",
    "token",
    "resourceClaim",
    "privilege",
    "capability",
    "sysctl",
    "priorityClassName",
    "runtimeClassName",
    "nodeName",
    "schedulerName",
];

/// What stands between two grants.
const SEPARATORS: [char; 5] = [',', ' ', '\n', '\r', '\t'];

/// Reads `kind=name`, separated by commas or white space. In a name `%` and two hexadecimal digits stand for a byte, as in a URL: neither YAML
/// nor a shell takes that away, as they do with quotation marks.
///
/// # Errors
/// The entry that cannot be understood, and what would be.
pub fn parse_grants(text: &str) -> Result<Vec<Grant>, String> {
    text.split(SEPARATORS).filter(|entry| !entry.is_empty()).map(parse_one).collect()
}

/// The words that [`parse_grants`] reads as this grant, whatever its name holds.
pub(super) fn words(grant: &Grant) -> String {
    let Ask { kind, name } = grant;
    format!("{kind}={}", encoded(name))
}

fn parse_one(entry: &str) -> Result<Grant, String> {
    let known = || {
        format!("{entry:?} is no grant: write kind=name with a kind out of {}", KINDS.join(", "))
    };
    let (kind, name) = entry.split_once('=').ok_or_else(known)?;
    let kind = KINDS.into_iter().find(|known| *known == kind).ok_or_else(known)?;
    if name.is_empty() {
        return Err(format!("{entry:?}: the name after `=` is missing"));
    }
    let name = decoded(name).ok_or_else(|| {
        format!("{entry:?}: after `%` stand two hexadecimal digits: write %25 for a percent sign")
    })?;
    Ok(Ask { kind, name })
}

/// Leaves as they are the characters that mean nothing to a list of grants, to YAML or to a shell.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@+".contains(&byte);
    let mut words = String::with_capacity(name.len());
    for byte in name.bytes() {
        if is_plain(byte) {
            words.push(char::from(byte));
        } else {
            words.push_str(&format!("%{byte:02X}"));
        }
    }
    words
}

fn decoded(words: &str) -> Option<String> {
    let mut parts = words.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_kind_and_name() {
        let grants = parse_grants("secret=tls, serviceAccount=drainer\nhostPath=/x").unwrap();
        let words: Vec<_> = grants.iter().map(|it| (it.kind, it.name.as_str())).collect();
        assert_eq!(words, [("secret", "tls"), ("serviceAccount", "drainer"), ("hostPath", "/x")]);
        assert!(parse_grants("").unwrap().is_empty());
    }

    #[test]
    fn every_name_can_be_granted() {
        for name in ["a, b", "50%", "s0:c1,c2", "\"quoted\"", "über", "a=b", "%2C", "\u{1f}"] {
            let grant = Ask { kind: "hostPath", name: name.to_owned() };
            assert_eq!(parse_grants(&words(&grant)).unwrap(), [grant]);
        }
        let granted = parse_grants("hostPath=/srv/a%20b%2c").unwrap();
        assert_eq!(granted[0].name, "/srv/a b,");
    }

    #[test]
    fn what_is_no_grant_is_named() {
        for entry in ["secret", "secret=", "sekret=x", "=x", "hostPath=5%", "hostPath=%zz"] {
            assert!(parse_grants(entry).unwrap_err().contains(entry), "{entry}");
        }
    }
}
