//! The last words of the store's `inventory` and `drain`.

/// The hexadecimal digits of a sha256.
const CHECKSUM_LENGTH: usize = 64;

/// A summary of files. Two that are equal stand for the same names and contents.
#[derive(Debug, PartialEq)]
pub(crate) struct Total<'a> {
    pub(crate) count: u64,
    pub(crate) checksum: &'a str,
}

impl<'a> Total<'a> {
    /// Reads `count=N ... checksum=HEX`; anything else is no summary.
    pub(crate) fn parse(message: &'a str) -> Option<Self> {
        let value = |key: &str| {
            message.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let checksum = value("checksum")?;
        let whole = checksum.len() == CHECKSUM_LENGTH
            && checksum.bytes().all(|digit| digit.is_ascii_hexdigit());
        let count = value("count")?.parse().ok()?;
        whole.then_some(Self { count, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_summary_is_read() {
        let checksum = "0123456789abcdef".repeat(4);
        let message = format!("count=3 bytes=12 checksum={checksum}");
        assert_eq!(Total::parse(&message), Some(Total { count: 3, checksum: &checksum }));
        for length in 0..message.len() {
            assert_eq!(Total::parse(&message[..length]), None, "{}", &message[..length]);
        }
    }
}
