//! What files there are, by name and sha256, before and after.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// The files of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Digest and size by name.
    files: BTreeMap<String, (String, u64)>,
}

impl Ledger {
    /// Reads what `shards-store list` prints: `NAME SHA256 BYTES` in each line.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word =
                || words.next().with_context(|| format!("`{line}` is no line of a list of files"));
            let (name, sha256, bytes) = (word()?, word()?, word()?.parse()?);
            files.insert(name, (sha256, bytes));
        }
        Ok(Self { files })
    }

    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|(_, bytes)| bytes).sum()
    }

    /// How many of these files `other` holds with the same contents.
    pub(crate) fn found_in(&self, other: &Self) -> usize {
        self.files.iter().filter(|(name, file)| other.files.get(*name) == Some(file)).count()
    }

    /// Checks that each of these files is in one of `others` with the same contents. Fails with the first that is not.
    pub(crate) fn must_be_in(&self, others: &[Self]) -> Result<()> {
        for (name, file) in &self.files {
            let held: Vec<_> = others.iter().filter_map(|other| other.files.get(name)).collect();
            ensure!(!held.is_empty(), "{name} is nowhere");
            if held.iter().any(|other| *other != file) {
                bail!("{name} has other contents than before");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_differs_is_found_out() {
        let all = Ledger::parse("a 11 1\nb 22 2\n").unwrap();
        let first = Ledger::parse("a 11 1").unwrap();
        let second = Ledger::parse("b 22 2\nc 33 3").unwrap();
        let wrong = Ledger::parse("b 23 2").unwrap();
        assert_eq!((all.count(), all.bytes(), all.found_in(&first)), (2, 3, 1));
        assert!(all.must_be_in(&[first.clone(), second.clone()]).is_ok());
        assert!(all.must_be_in(&[first, wrong]).is_err());
        assert!(all.must_be_in(&[second]).is_err());
        assert!(Ledger::parse("a 11").is_err());
    }
}
