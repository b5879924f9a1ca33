//! Choices at random that are the same for the same seed.

/// A stream of numbers (SplitMix64): good enough to choose by, and a seed is all that it takes to choose the same again.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % end).unwrap_or_default()
    }

    /// One of these, where there is one.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// True once in so many rolls.
    pub fn once_in(&mut self, rolls: usize) -> bool {
        self.below(rolls) == 0
    }
}

/// Bytes with a few of them changed, taken out, or said twice.
#[must_use]
pub fn vary(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut varied = bytes.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(varied.len());
        let value = u8::try_from(dice.below(256)).unwrap_or_default();
        match dice.below(4) {
            0 => varied.insert(at, value),
            1 => varied.truncate(varied.len().saturating_sub(dice.below(8))),
            2 => {
                let end = at.saturating_add(dice.below(64)).min(varied.len());
                let said_twice = varied.get(at..end).unwrap_or_default().to_vec();
                varied.splice(at..at, said_twice);
            }
            _ => {
                if let Some(byte) = varied.get_mut(at) {
                    *byte = value;
                }
            }
        }
    }
    varied
}
