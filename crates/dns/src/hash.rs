//! A keyed hash and a fixed table of chains on top of it.
//!
//! Names come from strangers, so the hash is SipHash-1-3 under a secret key: nobody outside can aim
//! at one chain.

use alloc::{vec, vec::Vec};

use rand_core::RngCore;

/// SipHash-1-3 under a key drawn once.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    k0: u64,
    k1: u64,
}

impl Hasher {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { k0: rng.next_u64(), k1: rng.next_u64() }
    }

    /// Hashes `bytes` and `tail`, which stands behind the last whole word of `bytes`.
    pub(crate) fn hash(&self, bytes: &[u8], tail: u64) -> u64 {
        let mut v = [
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ];
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            absorb(&mut v, u64::from_le_bytes(*word));
        }
        absorb(&mut v, tail);
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        // The length in the top byte keeps inputs of different lengths apart.
        absorb(&mut v, u64::from_le_bytes(last) | ((bytes.len() as u64 + 8) << 56));
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline]
fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// The end of a chain or list of slab indices.
pub(crate) const NONE: u32 = u32::MAX;

/// Chains of slab indices by hash. The number of heads is fixed; links grow with the slab.
#[derive(Debug)]
pub(crate) struct Chains {
    heads: Vec<u32>,
    links: Vec<(u64, u32)>,
}

impl Chains {
    /// Chains for up to `capacity` items.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { heads: vec![NONE; Self::heads_for(capacity)], links: Vec::new() }
    }

    /// Like [`Chains::new`] with the memory for every link set aside.
    pub(crate) fn reserved(capacity: usize) -> Self {
        let mut chains = Self::new(capacity);
        chains.links.reserve_exact(capacity);
        chains
    }

    /// Heads used for `capacity` items.
    pub(crate) fn heads_for(capacity: usize) -> usize {
        capacity.max(8).next_power_of_two()
    }

    /// Bytes one link takes.
    pub(crate) const LINK_BYTES: usize = size_of::<(u64, u32)>();

    /// The first item with exactly this hash for which `is_it` holds.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.heads.get(self.head(hash)).copied().unwrap_or(NONE);
        while let Some((item_hash, next)) = self.links.get(at as usize) {
            if *item_hash == hash && is_it(at) {
                return Some(at);
            }
            at = *next;
        }
        None
    }

    /// Adds `item`, which must not be in any chain.
    pub(crate) fn insert(&mut self, hash: u64, item: u32) {
        if self.links.len() <= item as usize {
            self.links.resize(item as usize + 1, (0, NONE));
        }
        let head = self.head(hash);
        if let (Some(head), Some(link)) = (self.heads.get_mut(head), self.links.get_mut(item as usize)) {
            *link = (hash, *head);
            *head = item;
        }
    }

    /// Removes `item`, which was added with `hash`.
    pub(crate) fn remove(&mut self, hash: u64, item: u32) {
        let Some((_, after)) = self.links.get(item as usize).copied() else { return };
        let head = self.head(hash);
        let Some(first) = self.heads.get_mut(head) else { return };
        if *first == item {
            *first = after;
            return;
        }
        let mut at = *first;
        while let Some((_, next)) = self.links.get_mut(at as usize) {
            if *next == item {
                *next = after;
                return;
            }
            at = *next;
        }
    }

    /// Empties every chain.
    pub(crate) fn clear(&mut self) {
        self.heads.fill(NONE);
    }

    fn head(&self, hash: u64) -> usize {
        // The length is a power of two: truncation only drops bits that the mask drops anyway.
        hash as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash_1_3_of_words_tail_and_rest() {
        extern crate std;
        use core::hash::Hasher as _;
        let hasher = Hasher { k0: 0, k1: 0 };
        for len in 0..40_u8 {
            let bytes: Vec<u8> = (0..len).collect();
            let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
            // The standard library's hasher is SipHash-1-3 under a key of zeroes.
            let mut reference = std::hash::DefaultHasher::new();
            for part in [words, &0x1234_5678_u64.to_le_bytes(), rest] {
                reference.write(part);
            }
            assert_eq!(hasher.hash(&bytes, 0x1234_5678), reference.finish(), "{len}");
        }
        let keyed = Hasher { k0: 1, k1: 2 };
        assert_ne!(keyed.hash(b"example", 1), hasher.hash(b"example", 1));
        assert_ne!(keyed.hash(b"example", 1), keyed.hash(b"example", 2));
    }

    #[test]
    fn chains_find_what_was_inserted_and_not_what_was_removed() {
        let mut chains = Chains::new(8);
        for item in 0..8 {
            chains.insert(7, item);
        }
        chains.remove(7, 3);
        chains.remove(7, 7);
        chains.remove(7, 0);
        let mut seen = Vec::new();
        assert_eq!(
            chains.find(7, |item| {
                seen.push(item);
                false
            }),
            None
        );
        assert_eq!(seen, [6, 5, 4, 2, 1]);
        assert_eq!(chains.find(15, |_| true), None, "same chain, another hash");
    }
}
