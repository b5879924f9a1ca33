//! How long to wait before the next attempt, or before asking again after a fault.

/// The first delay, in milliseconds: long enough that a pod that dies at once is no hot loop, short enough that nobody waits for
/// the second attempt after an eviction.
pub const FIRST_MS: u64 = 1_000;
/// The longest delay, in milliseconds: five minutes, as a kubelet's own back-off for a container.
pub const LONGEST_MS: u64 = 300_000;

/// The delay in milliseconds after the `failures`-th failure in a row (from 1): doubling from [`FIRST_MS`] up to [`LONGEST_MS`].
#[must_use]
pub fn delay_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(20);
    FIRST_MS.saturating_mul(1_u64 << doublings).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_bound() {
        let delays: Vec<u64> = [0, 1, 2, 3, 9, 10, u32::MAX].into_iter().map(delay_ms).collect();
        assert_eq!(delays, [1_000, 1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
    }
}
