//! Where a policy comes from: the reference on the set, and the entry of the ConfigMap that it names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

const LIBRARY_PREFIX: &str = "library:";
const DIGEST_PREFIX: &str = "sha256:";

/// Bytes of a ConfigMap's name, a key and one label of a name: Kubernetes' own limits.
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// The sha256 of an unpacked component.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_PREFIX}{self}")
    }
}

impl FromStr for Digest {
    type Err = RefError;

    /// Reads 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, RefError> {
        let wrong = || RefError::Digest { found: text.to_owned() };
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong())?;
        Ok(Self(bytes))
    }
}

/// Whether a reference must name a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// It must: whoever may write the ConfigMap cannot change what a running set does.
    Required,
    /// It may leave it out (`--allow-unpinned`).
    Optional,
}

/// A policy as the set's annotation names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PolicyRef {
    /// `library:NAME`: one that the host's install brought.
    Library {
        /// The name after the colon.
        name: String,
    },
    /// `NAME[/KEY]@sha256:HEX`: a ConfigMap of the set's namespace.
    ConfigMap {
        /// The ConfigMap's name.
        name: String,
        /// The entry; without it the ConfigMap must have exactly one.
        key: Option<String>,
        /// The digest of the unpacked component; none only where pinning is optional.
        digest: Option<Digest>,
    },
}

/// Why a reference is not understood, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RefError {
    /// The name is not one that a ConfigMap can have.
    #[error(
        "`{found}` is no ConfigMap's name: a reference is NAME[/KEY]@sha256:HEX or library:NAME"
    )]
    Name {
        /// What stands in its place.
        found: String,
    },
    /// The key is not one that a ConfigMap's entry can have.
    #[error("`{found}` is no key of a ConfigMap: use letters, digits, `-`, `_` and `.`")]
    Key {
        /// What stands in its place.
        found: String,
    },
    /// The name of a library policy is no label.
    #[error("`{found}` is no name of a library policy: use lower-case letters, digits and `-`")]
    Library {
        /// What stands in its place.
        found: String,
    },
    /// What follows the at sign is no digest.
    #[error("`{found}` is no digest: write @sha256: and 64 lower-case hexadecimal digits")]
    Digest {
        /// What stands in its place.
        found: String,
    },
    /// No digest, and the host wants one.
    #[error(
        "`{found}` names no digest: add @sha256:HEX, the sha256 of the component before packing, or run the host with \
         --allow-unpinned"
    )]
    Unpinned {
        /// The whole reference.
        found: String,
    },
}

impl PolicyRef {
    /// Reads `NAME[/KEY]@sha256:HEX` or `library:NAME`, with nothing around it.
    ///
    /// # Errors
    /// [`RefError`] says which part is wrong. Without a digest a reference is read only where `pinning` is optional.
    pub fn parse(text: &str, pinning: Pinning) -> Result<Self, RefError> {
        if let Some(name) = text.strip_prefix(LIBRARY_PREFIX) {
            if !is_label(name) {
                return Err(RefError::Library { found: name.to_owned() });
            }
            return Ok(Self::Library { name: name.to_owned() });
        }
        let (place, digest) = match text.split_once('@') {
            Some((place, digest)) => {
                let hex = digest
                    .strip_prefix(DIGEST_PREFIX)
                    .ok_or_else(|| RefError::Digest { found: digest.to_owned() })?;
                (place, Some(hex.parse()?))
            }
            None => (text, None),
        };
        let (name, key) = match place.split_once('/') {
            Some((name, key)) => (name, Some(key)),
            None => (place, None),
        };
        if !is_subdomain(name) {
            return Err(RefError::Name { found: name.to_owned() });
        }
        if let Some(key) = key
            && !is_key(key)
        {
            return Err(RefError::Key { found: key.to_owned() });
        }
        if digest.is_none() && pinning == Pinning::Required {
            return Err(RefError::Unpinned { found: text.to_owned() });
        }
        Ok(Self::ConfigMap { name: name.to_owned(), key: key.map(ToOwned::to_owned), digest })
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library { name } => write!(f, "{LIBRARY_PREFIX}{name}"),
            Self::ConfigMap { name, key, digest } => {
                f.write_str(name)?;
                if let Some(key) = key {
                    write!(f, "/{key}")?;
                }
                if let Some(digest) = digest {
                    write!(f, "@{DIGEST_PREFIX}{digest}")?;
                }
                Ok(())
            }
        }
    }
}

/// The entry of a ConfigMap that holds the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its bytes, packed or not.
    pub bytes: &'a [u8],
}

/// Why a ConfigMap holds no such entry, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PickError {
    /// The named entry is missing.
    #[error("the ConfigMap has no entry `{key}`; it has {}", List(.has))]
    Missing {
        /// The entry that was named.
        key: String,
        /// The entries that it has.
        has: Vec<String>,
    },
    /// No entry is named, and there is not exactly one.
    #[error("the ConfigMap must have exactly one entry where the reference names none; it has {}: write NAME/KEY", List(.has))]
    Ambiguous {
        /// The entries that it has.
        has: Vec<String>,
    },
}

/// Finds the entry `key` in a ConfigMap's `data` and `binary_data`, or the only one where no key is given.
///
/// # Errors
/// [`PickError`] lists the entries that there are.
pub fn pick<'a>(
    data: &'a BTreeMap<String, String>,
    binary_data: &'a BTreeMap<String, Vec<u8>>,
    key: Option<&str>,
) -> Result<Picked<'a>, PickError> {
    let entries = || {
        let text = data.iter().map(|(key, text)| Picked { key, bytes: text.as_bytes() });
        let binary = binary_data.iter().map(|(key, bytes)| Picked { key, bytes });
        text.chain(binary)
    };
    let has = || entries().map(|entry| entry.key.to_owned()).collect();
    match key {
        Some(key) => entries()
            .find(|entry| entry.key == key)
            .ok_or_else(|| PickError::Missing { key: key.to_owned(), has: has() }),
        None => {
            let mut all = entries();
            match (all.next(), all.next()) {
                (Some(only), None) => Ok(only),
                (Some(_), Some(_)) | (None, _) => Err(PickError::Ambiguous { has: has() }),
            }
        }
    }
}

/// Keys listed in one message; an event's note is short.
const LISTED_MAX_KEYS: usize = 10;

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let shown = self.0.len().min(LISTED_MAX_KEYS);
        let (shown, hidden) = self.0.split_at(shown);
        f.write_str(&shown.join(", "))?;
        if !hidden.is_empty() {
            write!(f, " and {} more", hidden.len())?;
        }
        Ok(())
    }
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES && name.split('.').all(is_part)
}

fn is_label(name: &str) -> bool {
    name.len() <= LABEL_MAX_BYTES && is_part(name)
}

/// Lower-case letters, digits and hyphens, beginning and ending with a letter or digit.
fn is_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            alphanumeric(first)
                && alphanumeric(last)
                && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-')
        }
        (None, _) | (_, None) => false,
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= NAME_MAX_BYTES
        && key != "."
        && !key.starts_with("..")
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn strict(text: &str) -> Result<PolicyRef, RefError> {
        PolicyRef::parse(text, Pinning::Required)
    }

    #[test]
    fn a_reference_is_read_and_written_alike() {
        let full = format!("my.policy-1/policy.wasm.gz@sha256:{HEX}");
        let bare = format!("p@sha256:{HEX}");
        for text in ["library:exec", &full, &bare] {
            assert_eq!(strict(text).map(|read| read.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(
            strict(&full),
            Ok(PolicyRef::ConfigMap {
                name: "my.policy-1".to_owned(),
                key: Some("policy.wasm.gz".to_owned()),
                digest: Some(Digest::of(b"test")),
            })
        );
    }

    #[test]
    fn a_digest_may_be_left_out_only_where_allowed() {
        assert!(matches!(strict("p/k"), Err(RefError::Unpinned { .. })));
        assert_eq!(
            PolicyRef::parse("p/k", Pinning::Optional),
            Ok(PolicyRef::ConfigMap {
                name: "p".to_owned(),
                key: Some("k".to_owned()),
                digest: None,
            })
        );
    }

    #[test]
    fn wrong_references_name_the_part() {
        let pin = |place: &str| strict(&format!("{place}@sha256:{HEX}"));
        for name in ["", " p", "P", "p.", "-p", "a..b", "p_q", &"x".repeat(254)] {
            assert_eq!(pin(name), Err(RefError::Name { found: name.to_owned() }));
        }
        for key in ["", ".", "..", "..data", "a/b", "a b", &"x".repeat(254)] {
            assert_eq!(pin(&format!("p/{key}")), Err(RefError::Key { found: key.to_owned() }));
        }
        for name in ["", "a.b", "A", &"x".repeat(64)] {
            let read = strict(&format!("library:{name}"));
            assert_eq!(read, Err(RefError::Library { found: name.to_owned() }));
        }
        let digests = ["", "sha256:", "sha512:00", &HEX[1..], &format!("sha256:{}", &HEX[1..])];
        for digest in digests {
            assert!(matches!(strict(&format!("p@{digest}")), Err(RefError::Digest { .. })));
        }
        let upper = format!("p@sha256:{}", HEX.to_uppercase());
        assert!(matches!(strict(&upper), Err(RefError::Digest { .. })));
        let twice = format!("p@sha256:{HEX}@sha256:{HEX}");
        assert!(matches!(strict(&twice), Err(RefError::Digest { .. })));
    }

    #[test]
    fn the_named_or_the_only_entry_is_picked() {
        let text = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
        let binary = BTreeMap::from([("b".to_owned(), vec![0, 1])]);
        let none = (BTreeMap::new(), BTreeMap::new());
        assert_eq!(pick(&none.0, &binary, None), Ok(Picked { key: "b", bytes: &[0, 1] }));
        assert_eq!(pick(&text, &none.1, None), Ok(Picked { key: "a", bytes: b"x" }));
        assert_eq!(pick(&text, &binary, Some("b")).map(|picked| picked.bytes), Ok(&[0, 1][..]));
        let both = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(pick(&text, &binary, None), Err(PickError::Ambiguous { has: both.clone() }));
        assert_eq!(
            pick(&text, &binary, Some("c")),
            Err(PickError::Missing { key: "c".to_owned(), has: both })
        );
        assert_eq!(pick(&none.0, &none.1, None), Err(PickError::Ambiguous { has: Vec::new() }));
    }
}
