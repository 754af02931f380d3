//! Numbers of the DNS wire format and reads and writes that cannot go out of bounds.

/// Length of the header.
pub(crate) const HEADER: usize = 12;
/// Longest name in wire form, the root label included.
pub(crate) const MAX_NAME: usize = 255;
/// UDP payload without EDNS.
pub(crate) const MIN_UDP: u16 = 512;
/// Longest UDP message read or written.
pub(crate) const MAX_UDP: u16 = 4_096;
/// Longest message.
pub(crate) const MAX_MESSAGE: usize = 65_535;

/// Bits of the second header word.
pub(crate) mod flag {
    pub(crate) const QR: u16 = 0x8000;
    pub(crate) const OPCODE: u16 = 0x7800;
    pub(crate) const AA: u16 = 0x0400;
    pub(crate) const TC: u16 = 0x0200;
    pub(crate) const RD: u16 = 0x0100;
    pub(crate) const RA: u16 = 0x0080;
    pub(crate) const AD: u16 = 0x0020;
    pub(crate) const CD: u16 = 0x0010;
    pub(crate) const RCODE: u16 = 0x000f;
}

/// Response codes.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const SERVFAIL: u16 = 2;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const NOTIMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    /// A DNAME made the name too long (RFC 6672 §2.2).
    pub(crate) const YXDOMAIN: u16 = 6;
    /// Extended; the low four bits are zero.
    pub(crate) const BADVERS: u16 = 16;
}

/// Record types that matter here.
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const MD: u16 = 3;
    pub(crate) const MF: u16 = 4;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const MB: u16 = 7;
    pub(crate) const MG: u16 = 8;
    pub(crate) const MR: u16 = 9;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const MINFO: u16 = 14;
    pub(crate) const MX: u16 = 15;
    pub(crate) const RP: u16 = 17;
    pub(crate) const AFSDB: u16 = 18;
    pub(crate) const RT: u16 = 21;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const KX: u16 = 36;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const TSIG: u16 = 250;
    pub(crate) const ANY: u16 = 255;
}

/// Class IN.
pub(crate) const IN: u16 = 1;

/// Extended error codes (RFC 8914 §4).
pub(crate) mod ede {
    pub(crate) const OPTION: u16 = 15;
    pub(crate) const OTHER: u16 = 0;
    pub(crate) const NOT_READY: u16 = 14;
    pub(crate) const PROHIBITED: u16 = 18;
    pub(crate) const NO_REACHABLE_AUTHORITY: u16 = 22;
}

/// The 16-bit number at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// The 32-bit number at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Writes a 16-bit number at `at`; nothing when it lies outside.
pub(crate) fn set_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(slot) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *slot = value.to_be_bytes();
    }
}

/// Writes a 32-bit number at `at`; nothing when it lies outside.
pub(crate) fn set_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(slot) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *slot = value.to_be_bytes();
    }
}
