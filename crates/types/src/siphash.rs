//! SipHash-1-3 (Aumasson and Bernstein), for tables whose keys come from strangers.

/// A secret key: nobody outside can aim at one chain of a table that is hashed under it.
#[derive(Clone, Copy, Debug)]
pub struct SipKey {
    k0: u64,
    k1: u64,
}

impl SipKey {
    /// A key of these two words, drawn by whoever has randomness.
    pub const fn new(k0: u64, k1: u64) -> Self {
        Self { k0, k1 }
    }

    /// Hashes the whole words of `bytes`, then `tail`, then the rest of `bytes`.
    #[inline]
    pub fn hash(self, bytes: &[u8], tail: u64) -> u64 {
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

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec::Vec;
    use core::hash::Hasher as _;

    use super::*;

    #[test]
    fn it_is_siphash_1_3_of_words_tail_and_rest() {
        let key = SipKey::new(0, 0);
        for len in 0..40_u8 {
            let bytes: Vec<u8> = (0..len).collect();
            let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
            // The standard library's hasher is SipHash-1-3 under a key of zeroes.
            let mut reference = std::hash::DefaultHasher::new();
            for part in [words, &0x1234_5678_u64.to_le_bytes(), rest] {
                reference.write(part);
            }
            assert_eq!(key.hash(&bytes, 0x1234_5678), reference.finish(), "{len}");
        }
        let keyed = SipKey::new(1, 2);
        assert_ne!(keyed.hash(b"example", 1), key.hash(b"example", 1));
        assert_ne!(keyed.hash(b"example", 1), keyed.hash(b"example", 2));
    }
}
