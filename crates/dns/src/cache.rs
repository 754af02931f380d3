//! Answers kept for a while, in memory of a fixed size.
//!
//! Packed answers lie in chains of equal pieces, so a new one never moves or allocates another; the
//! CLOCK hand decides what goes. All memory is set aside at the start and only ever touched as needed.

use alloc::vec::Vec;

use hn_types::Monotonic;

use crate::{
    hash::{Chains, NONE},
    message::Shape,
    name::Name,
    wire::HEADER,
};

const PIECE: usize = 128;
/// Longest packed answer kept.
pub(crate) const MAX_PACKED: usize = 8_192;

/// What an answer is found by; the class is always IN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) hash: u64,
    pub(crate) name: &'a Name,
    pub(crate) kind: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

impl Key<'_> {
    /// The part of the key that is not the name, for hashing.
    pub(crate) fn tail(kind: u16, dnssec_ok: bool, checking_disabled: bool) -> u64 {
        u64::from(kind) | u64::from(dnssec_ok) << 16 | u64::from(checking_disabled) << 17
    }
}

/// An answer that is still good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) entry: u32,
    pub(crate) shape: Shape,
    /// Seconds since it was stored.
    pub(crate) age: u32,
    /// It is popular and about to expire, and nobody was told so yet.
    pub(crate) refresh: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    stored: Monotonic,
    lifetime: u32,
    /// First piece, or the next free entry.
    first: u32,
    packed_len: u16,
    kind: u16,
    shape: Shape,
    name_len: u8,
    bits: u8,
}

const LIVE: u8 = 1;
const REFERENCED: u8 = 2;
const REFRESHING: u8 = 4;
const DNSSEC_OK: u8 = 8;
const CHECKING_DISABLED: u8 = 16;

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: Vec<Entry>,
    max_entries: usize,
    free_entry: u32,
    live: usize,
    chains: Chains,
    pieces: Vec<[u8; PIECE]>,
    links: Vec<u32>,
    max_pieces: usize,
    free_piece: u32,
    free_pieces: usize,
    hand: usize,
}

impl Cache {
    /// A cache of at most `entries` answers in at most `bytes` bytes.
    pub(crate) fn new(entries: u32, bytes: u32) -> Self {
        let bytes = bytes as usize;
        let per_entry = size_of::<Entry>() + Chains::LINK_BYTES;
        let tables = |entries: usize| entries * per_entry + Chains::heads_for(entries) * size_of::<u32>();
        let mut max_entries = entries as usize;
        // Tables may take half at most; an entry without a piece is of no use.
        while tables(max_entries) > bytes / 2 {
            max_entries = max_entries * 3 / 4;
        }
        let max_pieces = (bytes - tables(max_entries)) / (PIECE + size_of::<u32>());
        Self {
            entries: Vec::with_capacity(max_entries),
            max_entries,
            free_entry: NONE,
            live: 0,
            chains: Chains::reserved(max_entries),
            pieces: Vec::with_capacity(max_pieces),
            links: Vec::with_capacity(max_pieces),
            max_pieces,
            free_piece: NONE,
            free_pieces: 0,
            hand: 0,
        }
    }

    /// Answers held, expired ones included.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Bytes set aside, tables included.
    pub(crate) fn bytes(&self) -> usize {
        self.max_entries * (size_of::<Entry>() + Chains::LINK_BYTES)
            + Chains::heads_for(self.max_entries) * size_of::<u32>()
            + self.pieces.capacity() * PIECE
            + self.links.capacity() * size_of::<u32>()
    }

    /// Looks `key` up. An answer that has expired is dropped.
    pub(crate) fn find(&mut self, key: &Key<'_>, now: Monotonic) -> Option<Hit> {
        let entry = self.position(key)?;
        let slot = self.entries.get_mut(entry as usize)?;
        let age = u32::try_from(now.since(slot.stored).as_secs()).unwrap_or(u32::MAX);
        if age >= slot.lifetime {
            self.remove(entry);
            return None;
        }
        let popular = slot.bits & REFERENCED != 0;
        let refresh = popular
            && slot.bits & REFRESHING == 0
            && slot.lifetime >= 10
            && slot.lifetime - age <= slot.lifetime / 10;
        slot.bits |= REFERENCED | if refresh { REFRESHING } else { 0 };
        Some(Hit { entry, shape: slot.shape, age, refresh })
    }

    /// Appends the packed answer of a hit to `out`.
    pub(crate) fn copy(&self, entry: u32, out: &mut Vec<u8>) {
        let Some(slot) = self.entries.get(entry as usize) else { return };
        let mut left = usize::from(slot.packed_len);
        let mut at = slot.first;
        while left > 0 {
            let (Some(piece), Some(next)) = (self.pieces.get(at as usize), self.links.get(at as usize))
            else {
                return;
            };
            let part = piece.get(..left.min(PIECE)).unwrap_or(piece);
            out.extend_from_slice(part);
            left -= part.len();
            at = *next;
        }
    }

    /// Keeps a packed answer for `lifetime` seconds, in place of an older one; returns how many answers
    /// had to go, or `None` when this one is too long.
    pub(crate) fn insert(
        &mut self,
        key: &Key<'_>,
        packed: &[u8],
        shape: Shape,
        lifetime: u32,
        now: Monotonic,
    ) -> Option<u64> {
        let needed = packed.len().div_ceil(PIECE);
        if packed.len() > MAX_PACKED || needed > self.max_pieces / 4 {
            return None;
        }
        if let Some(old) = self.position(key) {
            self.remove(old);
        }
        let mut evicted = 0;
        while self.live >= self.max_entries || self.room() < needed {
            evicted += u64::from(self.evict(now));
        }

        let mut first = NONE;
        // From the last piece to the first, so that each link is known when it is written.
        for part in packed.chunks(PIECE).rev() {
            first = self.take_piece(part, first)?;
        }
        let entry = Entry {
            hash: key.hash,
            stored: now,
            lifetime,
            first,
            packed_len: u16::try_from(packed.len()).ok()?,
            kind: key.kind,
            shape,
            name_len: u8::try_from(key.name.wire().len()).ok()?,
            bits: LIVE | key_bits(key),
        };
        let position = if let Some(slot) = self.entries.get_mut(self.free_entry as usize) {
            let position = self.free_entry;
            self.free_entry = slot.first;
            *slot = entry;
            position
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).ok()?
        };
        self.live += 1;
        self.chains.insert(key.hash, position);
        Some(evicted)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.free_entry = NONE;
        self.live = 0;
        self.chains.clear();
        self.pieces.clear();
        self.links.clear();
        self.free_piece = NONE;
        self.free_pieces = 0;
        self.hand = 0;
    }

    fn position(&self, key: &Key<'_>) -> Option<u32> {
        let bits = LIVE | key_bits(key);
        self.chains.find(key.hash, |at| {
            self.entries.get(at as usize).is_some_and(|entry| {
                entry.kind == key.kind
                    && entry.bits & (LIVE | DNSSEC_OK | CHECKING_DISABLED) == bits
                    && usize::from(entry.name_len) == key.name.wire().len()
                    && self.name_is(entry.first, key.name.wire())
            })
        })
    }

    /// Whether the question of the answer that begins in piece `at` is about `name`.
    fn name_is(&self, mut at: u32, mut name: &[u8]) -> bool {
        let mut from = HEADER;
        while !name.is_empty() {
            let Some(piece) = self.pieces.get(at as usize).and_then(|piece| piece.get(from..)) else {
                return false;
            };
            let here = name.len().min(piece.len());
            let (front, rest) = name.split_at(here);
            if piece.get(..here) != Some(front) {
                return false;
            }
            name = rest;
            from = 0;
            at = self.links.get(at as usize).copied().unwrap_or(NONE);
        }
        true
    }

    fn room(&self) -> usize {
        self.free_pieces + (self.max_pieces - self.pieces.len())
    }

    fn take_piece(&mut self, part: &[u8], next: u32) -> Option<u32> {
        let at = if self.free_piece == NONE {
            self.pieces.push([0; PIECE]);
            self.links.push(NONE);
            u32::try_from(self.pieces.len() - 1).ok()?
        } else {
            let at = self.free_piece;
            self.free_piece = *self.links.get(at as usize)?;
            self.free_pieces -= 1;
            at
        };
        self.pieces.get_mut(at as usize)?.get_mut(..part.len())?.copy_from_slice(part);
        *self.links.get_mut(at as usize)? = next;
        Some(at)
    }

    fn remove(&mut self, position: u32) {
        let Some(entry) = self.entries.get_mut(position as usize) else { return };
        let mut at = entry.first;
        entry.bits = 0;
        entry.first = self.free_entry;
        let hash = entry.hash;
        self.free_entry = position;
        self.live -= 1;
        self.chains.remove(hash, position);
        while let Some(link) = self.links.get_mut(at as usize) {
            let next = *link;
            *link = self.free_piece;
            self.free_piece = at;
            self.free_pieces += 1;
            at = next;
        }
    }

    /// Moves the hand to the next answer that was not used since it last came by, or has expired, and
    /// drops it. True when it was still good.
    fn evict(&mut self, now: Monotonic) -> bool {
        // Two rounds at most: the first one clears every mark.
        loop {
            self.hand = if self.hand + 1 >= self.entries.len() { 0 } else { self.hand + 1 };
            let Some(entry) = self.entries.get_mut(self.hand) else { return false };
            if entry.bits & LIVE == 0 {
                continue;
            }
            let expired = now.since(entry.stored).as_secs() >= u64::from(entry.lifetime);
            if entry.bits & REFERENCED != 0 && !expired {
                entry.bits &= !REFERENCED;
                continue;
            }
            let position = u32::try_from(self.hand).unwrap_or(NONE);
            self.remove(position);
            return !expired;
        }
    }
}

fn key_bits(key: &Key<'_>) -> u8 {
    (if key.dnssec_ok { DNSSEC_OK } else { 0 }) | (if key.checking_disabled { CHECKING_DISABLED } else { 0 })
}
