//! Which addresses are free, and where a client starts looking.

use alloc::{vec, vec::Vec};

/// A set of slot numbers with a summary level: "the next free one from here" costs a few words at any size.
#[derive(Debug)]
pub(crate) struct FreeSet {
    words: Vec<u64>,
    /// Bit *i* says that word *i* isn't empty.
    summary: Vec<u64>,
    len: u32,
}

impl FreeSet {
    /// An empty set over `0..capacity`.
    pub(crate) fn new(capacity: u32) -> Self {
        let words = capacity.div_ceil(64) as usize;
        Self { words: vec![0; words], summary: vec![0; words.div_ceil(64)], len: 0 }
    }

    /// How many numbers are in the set.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn insert(&mut self, slot: u32) {
        let word = (slot / 64) as usize;
        if self.words[word] & bit(slot) == 0 {
            self.words[word] |= bit(slot);
            self.summary[word / 64] |= bit(slot / 64);
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let word = (slot / 64) as usize;
        if self.words[word] & bit(slot) != 0 {
            self.words[word] &= !bit(slot);
            self.len -= 1;
            if self.words[word] == 0 {
                self.summary[word / 64] &= !bit(slot / 64);
            }
        }
    }

    /// The first member at or after `start`, else the first of all.
    pub(crate) fn next_from(&self, start: u32) -> Option<u32> {
        self.at_or_after(start).or_else(|| self.at_or_after(0))
    }

    fn at_or_after(&self, start: u32) -> Option<u32> {
        let word = start / 64;
        let here = self.words.get(word as usize)? & (u64::MAX << (start % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros());
        }
        let after = word + 1;
        let mut index = after / 64;
        let mut mask = u64::MAX << (after % 64);
        loop {
            let group = self.summary.get(index as usize)? & mask;
            if group != 0 {
                let word = index * 64 + group.trailing_zeros();
                return Some(word * 64 + self.words[word as usize].trailing_zeros());
            }
            index += 1;
            mask = u64::MAX;
        }
    }
}

const fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

/// A place in `0..len` that `hash` points at, evenly.
pub(crate) const fn scatter(hash: u64, len: u32) -> u32 {
    (((hash >> 32) * len as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_member_is_found_across_words_and_groups() {
        for capacity in [1, 63, 64, 65, 4_096, 4_097, 65_536] {
            let mut set = FreeSet::new(capacity);
            assert_eq!(set.next_from(0), None);
            set.insert(capacity - 1);
            assert_eq!(set.next_from(0), Some(capacity - 1));
            set.insert(0);
            assert_eq!(set.next_from(capacity - 1), Some(capacity - 1));
            set.remove(capacity - 1);
            if capacity > 1 {
                assert_eq!(set.next_from(1), Some(0), "wraps");
                assert_eq!(set.len(), 1);
            }
        }
    }

    #[test]
    fn the_set_agrees_with_a_plain_one() {
        let mut set = FreeSet::new(10_000);
        let mut plain = alloc::collections::BTreeSet::new();
        let mut x = 1_u64;
        for _ in 0..20_000 {
            x = crate::hash::mix(x.wrapping_add(0x9e37_79b9_7f4a_7c15));
            let slot = scatter(x, 10_000);
            if x & 1 == 0 {
                set.insert(slot);
                plain.insert(slot);
            } else {
                set.remove(slot);
                plain.remove(&slot);
            }
            let from = scatter(crate::hash::mix(x), 10_000);
            let expected = plain.range(from..).next().or_else(|| plain.iter().next()).copied();
            assert_eq!(set.next_from(from), expected);
            assert_eq!(set.len() as usize, plain.len());
        }
    }

    #[test]
    fn scatter_stays_inside() {
        assert_eq!(scatter(u64::MAX, 253), 252);
        assert_eq!(scatter(0, 253), 0);
    }
}
