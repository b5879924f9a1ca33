//! The command line: pairs of a name and a value.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Every option that some command knows.
const KNOWN: [&str; 9] =
    ["bytes", "data", "files", "listen", "message", "name", "pause-ms", "peers", "seed"];

/// What the command line says beyond the command.
pub(crate) struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads `--name=value` and `--name value`. Fails on anything else, on an unknown name and on one given twice.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--") else {
                bail!("`{argument}` is not an option");
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    (option, arguments.next().with_context(|| format!("--{option} has no value"))?)
                }
            };
            ensure!(KNOWN.contains(&name), "there is no option --{name}");
            ensure!(options.insert(name.to_owned(), value).is_none(), "--{name} is given twice");
        }
        Ok(Self(options))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str> {
        self.get(name).with_context(|| format!("--{name} is missing"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<usize> {
        let text = self.required(name)?;
        text.parse().with_context(|| format!("--{name}={text} is not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_ways_of_writing_a_value_are_read() {
        let options = parse("--data=/data --files 3").unwrap();
        assert_eq!(options.required("data").unwrap(), "/data");
        assert_eq!(options.number("files").unwrap(), 3);
        assert!(options.required("seed").is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["data", "--date=x", "--data=x --data=y", "--data"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
