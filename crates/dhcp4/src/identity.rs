//! Who a client is: its identity for the server's tables, and the name it calls itself.

use core::fmt;

use hn_types::MacAddr;

use crate::hash::HashKey;

/// Longest client identifier kept byte by byte.
const INLINE: usize = 32;
/// `form` of an identifier kept as a digest.
const DIGEST: u8 = 0xff;
/// Bytes of a digest: two independent 64-bit hashes and the length of the original.
const DIGEST_LEN: usize = 17;

/// A DHCP client identifier (option 61, RFC 2132 §9.14; RFC 4361) in bounded form.
///
/// Up to 32 bytes – every identifier of RFC 4361 with a DUID of the usual kinds – are kept as they are. A
/// longer one is replaced by a 128-bit digest and its length: a chance collision is out of the question,
/// and who forges one wins nothing, because DHCP lets anyone send anyone's identifier anyway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Length of an inline identifier, or `DIGEST`.
    form: u8,
    bytes: [u8; INLINE],
}

impl ClientId {
    /// The identifier in `bytes`, the whole content of option 61; `None` when it is shorter than the two
    /// bytes or longer than the 255 that RFC 2132 allows.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if !(2..=255).contains(&bytes.len()) {
            return None;
        }
        let mut kept = [0; INLINE];
        if bytes.len() <= INLINE {
            for (to, from) in kept.iter_mut().zip(bytes) {
                *to = *from;
            }
            return Some(Self { form: bytes.len() as u8, bytes: kept });
        }
        // The keys are constants because the digest is stored on disk.
        let halves = [
            HashKey::public(0x686f_7374_6564_6e65, 0x7420_6469_6765_7374).hash(1, bytes).to_be_bytes(),
            HashKey::public(0x636c_6965_6e74_2069, 0x6465_6e74_6966_6965).hash(2, bytes).to_be_bytes(),
        ];
        for (to, from) in kept.iter_mut().zip(halves.as_flattened()) {
            *to = *from;
        }
        kept[DIGEST_LEN - 1] = bytes.len() as u8;
        Some(Self { form: DIGEST, bytes: kept })
    }

    /// The identifier itself, or its digest (see [`ClientId::is_digest`]).
    pub fn as_bytes(&self) -> &[u8] {
        let len = if self.form == DIGEST { DIGEST_LEN } else { usize::from(self.form) };
        self.bytes.get(..len).unwrap_or(&self.bytes)
    }

    /// Whether the identifier was too long to be kept and a digest stands for it.
    pub const fn is_digest(&self) -> bool {
        self.form == DIGEST
    }

    /// The Ethernet address it is made of, if it is one of those (RFC 2132 §9.14, hardware type 1).
    pub(crate) fn hardware(&self) -> Option<MacAddr> {
        match self.as_bytes() {
            [1, mac @ ..] if !self.is_digest() => mac.try_into().ok().map(MacAddr),
            _ => None,
        }
    }

    pub(crate) const fn form(&self) -> u8 {
        self.form
    }

    /// The reverse of [`ClientId::form`] and [`ClientId::as_bytes`]; `None` unless such an identifier can exist.
    pub(crate) fn from_parts(form: u8, bytes: [u8; INLINE]) -> Option<Self> {
        let len = match form {
            DIGEST => DIGEST_LEN,
            2..=32 => usize::from(form),
            _ => return None,
        };
        bytes.iter().skip(len).all(|&b| b == 0).then_some(Self { form, bytes })
    }

    pub(crate) const fn padded(&self) -> [u8; INLINE] {
        self.bytes
    }

    pub(crate) const fn stored_len(form: u8) -> usize {
        if form == DIGEST { DIGEST_LEN } else { form as usize }
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_digest() {
            f.write_str("digest:")?;
        }
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a lease belongs to (RFC 2131 §4.2): the client identifier when the client sends one, else its
/// hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// Identified by its hardware address: it sent no client identifier, or has a reservation by address.
    Mac(MacAddr),
    /// Identified by option 61.
    Client(ClientId),
}

impl Identity {
    pub(crate) fn hash(&self, key: HashKey) -> u64 {
        match self {
            Self::Mac(mac) => key.hash(0, &mac.0),
            Self::Client(id) => key.hash(id.form, id.as_bytes()),
        }
    }
}

/// Longest host name kept: one DNS label (RFC 1035 §2.3.4).
pub(crate) const NAME_MAX: usize = 63;

/// The name a client calls itself (option 81 or 12), as sent, cut to 63 bytes. It may hold any byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HostName {
    len: u8,
    bytes: [u8; NAME_MAX],
}

impl Default for HostName {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl HostName {
    /// No name.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; NAME_MAX] };

    /// The first 63 bytes of `raw`, without trailing NULs and dots.
    pub fn new(raw: &[u8]) -> Self {
        let mut name = Self::EMPTY;
        let raw = raw.get(..NAME_MAX).unwrap_or(raw);
        let end = raw.iter().rposition(|&b| b != 0 && b != b'.').map_or(0, |last| last + 1);
        for (to, from) in name.bytes.iter_mut().zip(raw.iter().take(end)) {
            *to = *from;
            name.len += 1;
        }
        name
    }

    /// The bytes as sent; escape them before anybody sees them.
    pub fn raw(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// Whether the client sent no name.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first label as a lower-case letters-digits-hyphen label (RFC 952, 1123) fit for DNS: spaces and
    /// underscores become hyphens, everything else that doesn't belong is left out. `None` if nothing is left.
    pub fn label(&self) -> Option<Label> {
        let mut label = Label { len: 0, bytes: [0; NAME_MAX] };
        for &byte in self.raw().iter().take_while(|&&b| b != b'.') {
            let byte = match byte {
                b'a'..=b'z' | b'0'..=b'9' => byte,
                b'A'..=b'Z' => byte.to_ascii_lowercase(),
                b'-' | b'_' | b' ' if label.len > 0 => b'-',
                _ => continue,
            };
            if let Some(to) = label.bytes.get_mut(usize::from(label.len)) {
                *to = byte;
                label.len += 1;
            }
        }
        let end = label.bytes.iter().rposition(|&b| b != 0 && b != b'-').map_or(0, |last| last + 1);
        label.len = end as u8;
        for byte in label.bytes.iter_mut().skip(end) {
            *byte = 0;
        }
        (end > 0).then_some(label)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.raw().escape_ascii())
    }
}

/// A lower-case letters-digits-hyphen label of 1 to 63 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    len: u8,
    bytes: [u8; NAME_MAX],
}

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_become_labels() {
        for (raw, expected) in [
            ("laptop", Some("laptop")),
            ("Ann's iPhone", Some("anns-iphone")),
            ("DESKTOP_1.corp.example.", Some("desktop-1")),
            ("--x--", Some("x")),
            ("\u{2615}", None),
            ("...", None),
            ("", None),
            ("a\0", Some("a")),
            ("\x1b[2Jevil", Some("2jevil")),
        ] {
            let label = HostName::new(raw.as_bytes()).label();
            assert_eq!(label.as_ref().map(Label::as_str), expected, "{raw:?}");
        }
        let long = HostName::new(&[b'x'; 200]);
        assert_eq!(long.raw().len(), 63);
        assert_eq!(long.label().unwrap().as_str().len(), 63);
    }

    #[test]
    fn identifiers_of_any_legal_length_stay_distinct() {
        assert_eq!(ClientId::new(&[]), None);
        assert_eq!(ClientId::new(&[1]), None);
        assert_eq!(ClientId::new(&[1; 256]), None);
        let mut seen = alloc::collections::BTreeSet::new();
        for len in 2..=255 {
            assert!(seen.insert(ClientId::new(&alloc::vec![7; len]).unwrap()), "{len}");
        }
        let mut long = [7; 100];
        let a = ClientId::new(&long).unwrap();
        long[99] = 8;
        let b = ClientId::new(&long).unwrap();
        assert!(a.is_digest() && a != b);
        // A short identifier that spells a digest is not that digest.
        assert_ne!(ClientId::new(a.as_bytes()).unwrap(), a);
        assert_eq!(ClientId::from_parts(a.form(), a.padded()), Some(a));
        assert_eq!(ClientId::from_parts(1, [0; 32]), None);
        assert_eq!(ClientId::from_parts(2, [9; 32]), None);
    }
}
