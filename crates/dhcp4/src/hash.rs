//! Keyed hashing and CRC-32C, both small, both deterministic.
//!
//! Client identities come from strangers, so the table that finds them is keyed with the seed.

use hn_types::siphash::SipKey;

/// A key drawn from the server's seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey(SipKey);

impl HashKey {
    /// A key drawn from one seed by SplitMix64.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let word = |step| mix(seed.wrapping_add(step));
        Self(SipKey::new(word(0x9e37_79b9_7f4a_7c15), word(0x3c6e_f372_fe94_f82a)))
    }

    /// A key that everybody knows, for digests that must be the same in every run.
    pub(crate) const fn public(k0: u64, k1: u64) -> Self {
        Self(SipKey::new(k0, k1))
    }

    /// The hash of `tag` and `bytes`.
    pub(crate) fn hash(self, tag: u8, bytes: &[u8]) -> u64 {
        self.0.hash(bytes, u64::from(tag))
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const CRC_TABLES: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let previous = tables[t - 1][i];
            tables[t][i] = (previous >> 8) ^ tables[0][(previous & 0xff) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
}

/// CRC-32C (Castagnoli), eight bytes at a step.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let at = |table: usize, byte: u32| CRC_TABLES[table][(byte & 0xff) as usize];
    let mut crc = u32::MAX;
    let (words, rest) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in words {
        let low = crc ^ u32::from_le_bytes([a, b, c, d]);
        crc = at(7, low)
            ^ at(6, low >> 8)
            ^ at(5, low >> 16)
            ^ at(4, low >> 24)
            ^ at(3, u32::from(e))
            ^ at(2, u32::from(f))
            ^ at(1, u32::from(g))
            ^ at(0, u32::from(h));
    }
    for &byte in rest {
        crc = (crc >> 8) ^ at(0, crc ^ u32::from(byte));
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_check_value_of_its_definition() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b"12345678"), 0x6087_809a);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn the_hash_depends_on_key_tag_and_every_byte() {
        let key = HashKey::from_seed(1);
        let base = key.hash(0, b"0123456789");
        assert_ne!(base, HashKey::from_seed(2).hash(0, b"0123456789"));
        assert_ne!(base, key.hash(1, b"0123456789"));
        assert_ne!(base, key.hash(0, b"012345678"));
        assert_ne!(base, key.hash(0, b"1123456789"));
        assert_ne!(base, key.hash(0, b"0123456788"));
        assert_eq!(base, key.hash(0, b"0123456789"));
    }
}
