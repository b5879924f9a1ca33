//! The annotation with which a set's owner lets a drain pod have more than the set's own template.

use super::Ask;

/// What was granted: the same words that a refusal names.
pub type Grant = Ask;

/// Every kind of thing that can be granted.
const KINDS: [&str; 20] = [
    "annotation",
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

/// Reads `kind=name`, separated by commas or white space.
///
/// # Errors
/// The entry that cannot be understood, and what would be.
pub fn parse_grants(text: &str) -> Result<Vec<Grant>, String> {
    let entries = text.split([',', ' ', '\n', '\t']).filter(|entry| !entry.is_empty());
    entries.map(parse_one).collect()
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
    Ok(Ask { kind, name: name.to_owned() })
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
    fn what_is_no_grant_is_named() {
        for entry in ["secret", "secret=", "sekret=x", "=x"] {
            assert!(parse_grants(entry).unwrap_err().contains(entry), "{entry}");
        }
    }
}
