//! Numbers that look random and are the same for the same seed on every machine (SplitMix64).

/// A source of such numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The source of this seed, for one of several uses of it.
    #[must_use]
    pub const fn new(seed: u64, purpose: u64) -> Self {
        // Mixed, so that the numbers of one seed are not those of the next one a step later.
        Self(mixed(mixed(seed) ^ purpose))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub const fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    /// One of several, each with its weight.
    pub fn weighed<T: Copy>(&mut self, choices: &[(u64, T)]) -> Option<T> {
        let sum: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.next().checked_rem(sum)?;
        for (weight, choice) in choices {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return Some(*choice),
            }
        }
        None
    }
}

const fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_gives_others() {
        let numbers = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            (0..8).map(|_| dice.between(1, 1_000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(17, 1), numbers(17, 1));
        assert_ne!(numbers(17, 1), numbers(18, 1));
        assert_ne!(numbers(17, 1), numbers(17, 2));
    }

    #[test]
    fn a_choice_without_weight_is_never_made() {
        let mut dice = Dice::new(1, 1);
        let made: Vec<_> =
            (0..99).filter_map(|_| dice.weighed(&[(0, 'a'), (3, 'b'), (1, 'c')])).collect();
        assert_eq!(made.len(), 99);
        assert!(!made.contains(&'a') && made.contains(&'b') && made.contains(&'c'));
        assert_eq!(dice.weighed::<char>(&[]), None);
    }
}
