//! A quick hash of 64 bits. What is hashed are a search's own worlds, which nobody chooses to make them collide.

use std::hash::{BuildHasherDefault, Hasher};

/// A multiplier without pattern, whose bits are half ones: the fraction of the golden ratio, made odd.
const STIR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Another, so that a run of equal numbers does not cancel out.
const FINISH: u64 = 0xd6e8_feb8_6659_fd93;

/// Hash maps with this hash.
pub(crate) type QuickBuild = BuildHasherDefault<Quick>;

/// Folds each number in by a multiplication of 64 by 64 bits, whose halves are put together, so that every bit of the
/// result depends on every bit before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        fold(self.0 ^ FINISH, STIR)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = fold(self.0 ^ number ^ STIR, FINISH);
    }

    fn write_usize(&mut self, number: usize) {
        self.write(&number.to_le_bytes());
    }
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left.rotate_left(23)) * u128::from(right);
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    half(product) ^ half(product >> u64::BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::Hash;

    use super::*;

    /// A million texts that differ in little have a million hashes, and each bit is set in about half of them.
    #[test]
    fn what_differs_in_little_differs_in_its_hash() {
        const COUNT: u32 = 1_000_000;
        let mut hashes = HashSet::new();
        let mut ones = [0_u32; 64];
        for number in 0..COUNT {
            let mut hasher = Quick::default();
            number.to_le_bytes().map(|byte| byte % 16).hash(&mut hasher);
            (number / 16).hash(&mut hasher);
            hashes.insert(hasher.finish());
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(hasher.finish() >> bit & 1 == 1);
            }
        }
        assert_eq!(hashes.len(), 1_000_000);
        for (bit, ones) in ones.into_iter().enumerate() {
            assert!(ones.abs_diff(COUNT / 2) < COUNT / 100, "bit {bit}: {ones}");
        }
    }
}
