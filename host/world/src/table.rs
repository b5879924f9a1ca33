//! Fingerprints that were met, in as little memory as a hash table can do with: eight bytes each, and what is left free so that looking for
//! one ends soon. It grows a piece at a time, so that no moment needs the old table and the new one of everything.

/// How many pieces there are. The highest bits of a fingerprint say in which it is.
const PIECES: usize = 256;
/// The fewest slots of a piece.
const SLOTS_MIN: usize = 16;
/// A piece grows when more than so many of each ten slots are taken.
const TAKEN_MAX_TENTHS: usize = 8;
/// The slot that holds nothing. A fingerprint of this value is kept as another.
const EMPTY: u64 = 0;

/// A set of fingerprints.
#[derive(Debug)]
pub(crate) struct Table {
    pieces: Vec<Piece>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    slots: Vec<u64>,
    taken: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { pieces: vec![Piece::default(); PIECES], len: 0 }
    }
}

impl Table {
    /// Adds a fingerprint; tells whether it was not there.
    pub(crate) fn insert(&mut self, fingerprint: u64) -> bool {
        let key = fingerprint.max(EMPTY + 1);
        let piece = &mut self.pieces[piece_of(key)];
        if piece.taken * 10 >= piece.slots.len() * TAKEN_MAX_TENTHS {
            piece.grow();
        }
        let is_new = piece.insert(key);
        self.len += usize::from(is_new);
        is_new
    }

    /// Whether it is there.
    #[must_use]
    pub(crate) fn contains(&self, fingerprint: u64) -> bool {
        let key = fingerprint.max(EMPTY + 1);
        let piece = &self.pieces[piece_of(key)];
        !piece.slots.is_empty() && piece.slots[piece.find(key)] == key
    }

    /// How many there are.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl Piece {
    fn insert(&mut self, key: u64) -> bool {
        let at = self.find(key);
        let is_new = self.slots[at] == EMPTY;
        self.slots[at] = key;
        self.taken += usize::from(is_new);
        is_new
    }

    /// Where the key is, or else where it belongs. There is always a free slot.
    fn find(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let low = u32::try_from(key & u64::from(u32::MAX)).unwrap_or_default();
        let mut at = usize::try_from(low).unwrap_or_default() & mask;
        while self.slots[at] != EMPTY && self.slots[at] != key {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        self.taken = 0;
        for key in before.into_iter().filter(|key| *key != EMPTY) {
            self.insert(key);
        }
    }
}

fn piece_of(key: u64) -> usize {
    usize::from(key.to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_nothing_else() {
        let mut table = Table::default();
        let key = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..100_000 {
            assert!(table.insert(key(number)), "{number}");
        }
        assert_eq!(table.len(), 100_000);
        for number in 0..100_000 {
            assert!(table.contains(key(number)) && !table.insert(key(number)), "{number}");
        }
        assert!(!table.contains(key(100_000)));
    }
}
