//! Storage for the short byte strings of leases (client identifiers, host names) in chunks of twelve bytes.
//!
//! A lease with neither costs nothing, one with a usual name costs 16 bytes; a freed chunk is used again, so
//! clients that come and go don't touch the allocator.

use alloc::vec::Vec;

const DATA: usize = 12;
/// The end of a chain, and the head of the empty string.
pub(crate) const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    data: [u8; DATA],
    next: u32,
}

/// The chunks of all strings of one table.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    free: u32,
}

impl Arena {
    pub(crate) fn with_capacity(chunks: usize) -> Self {
        Self { chunks: Vec::with_capacity(chunks), free: NIL }
    }

    /// Stores `bytes` and returns the head of their chain.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> u32 {
        let mut head = NIL;
        for piece in bytes.chunks(DATA).rev() {
            let mut data = [0; DATA];
            for (to, from) in data.iter_mut().zip(piece) {
                *to = *from;
            }
            let chunk = Chunk { data, next: head };
            head = match self.chunks.get_mut(self.free as usize) {
                Some(free) => {
                    let index = self.free;
                    self.free = free.next;
                    *free = chunk;
                    index
                }
                None => {
                    self.chunks.push(chunk);
                    (self.chunks.len() - 1) as u32
                }
            };
        }
        head
    }

    /// Gives the chain at `head` back.
    pub(crate) fn release(&mut self, head: u32) {
        let mut at = head;
        while let Some(chunk) = self.chunks.get_mut(at as usize) {
            let next = chunk.next;
            chunk.next = self.free;
            self.free = at;
            at = next;
        }
    }

    /// Copies the chain at `head` over the start of `to`.
    pub(crate) fn load(&self, head: u32, to: &mut [u8]) {
        let mut at = head;
        for piece in to.chunks_mut(DATA) {
            let Some(chunk) = self.chunks.get(at as usize) else { return };
            for (to, from) in piece.iter_mut().zip(&chunk.data) {
                *to = *from;
            }
            at = chunk.next;
        }
    }

    /// Whether the chain at `head` holds exactly `bytes`; their lengths are known to agree.
    pub(crate) fn equals(&self, head: u32, bytes: &[u8]) -> bool {
        let mut at = head;
        for piece in bytes.chunks(DATA) {
            match self.chunks.get(at as usize) {
                Some(chunk) if chunk.data.starts_with(piece) => at = chunk.next,
                Some(_) | None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_used_again() {
        let mut arena = Arena::with_capacity(4);
        let long: Vec<u8> = (0..63).collect();
        let a = arena.store(&long);
        let b = arena.store(b"x");
        assert_eq!(arena.store(b""), NIL);
        let mut back = [0; 63];
        arena.load(a, &mut back);
        assert_eq!(back.as_slice(), long.as_slice());
        assert!(arena.equals(a, &long) && !arena.equals(b, b"y"));
        let chunks = arena.chunks.len();
        arena.release(a);
        let c = arena.store(&long);
        assert_eq!(arena.chunks.len(), chunks);
        assert!(arena.equals(c, &long) && arena.equals(b, b"x"));
    }
}
