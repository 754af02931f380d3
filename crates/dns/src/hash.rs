//! A fixed table of chains by keyed hash. Names come from strangers, so the hash is [`SipKey`]'s.

use alloc::{vec, vec::Vec};

use hn_types::siphash::SipKey;
use rand_core::RngCore;

/// A fresh key.
pub(crate) fn draw_key(rng: &mut impl RngCore) -> SipKey {
    SipKey::new(rng.next_u64(), rng.next_u64())
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
