//! Service set identifiers (IEEE 802.11-2020, 9.4.2.2).

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::escape_untrusted;

/// The name of a network: 1 to 32 bytes of any value. No encoding is promised by the standard.
///
/// Serialises as text when it is UTF-8 and as `hex:…` otherwise; a text that itself begins with
/// `hex:` is written in the second form, so that both directions agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssid {
    bytes: [u8; 32],
    len: u8,
}

impl Ssid {
    /// An SSID of these bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, SsidError> {
        if bytes.is_empty() || bytes.len() > 32 {
            return Err(SsidError { length: bytes.len() });
        }
        let mut own = [0; 32];
        for (to, from) in own.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Self { bytes: own, len: u8::try_from(bytes.len()).unwrap_or_default() })
    }

    /// The bytes, 1 to 32 of them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The bytes as text, if they are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }

    /// The form that a configuration file or `--json` shows; [`Ssid::from_text`] reads it back.
    pub fn to_text(&self) -> String {
        match self.as_str() {
            Some(text) if !text.starts_with("hex:") => text.to_string(),
            _ => {
                let mut out = String::from("hex:");
                for byte in self.as_bytes() {
                    out.push_str(&alloc::format!("{byte:02x}"));
                }
                out
            }
        }
    }

    /// Reads text, or `hex:` followed by pairs of hexadecimal digits.
    pub fn from_text(text: &str) -> Result<Self, SsidError> {
        let Some(hex) = text.strip_prefix("hex:") else { return Self::new(text.as_bytes()) };
        let bytes = parse_hex(hex).ok_or(SsidError { length: 0 })?;
        Self::new(&bytes)
    }
}

/// Pairs of hexadecimal digits to bytes; `None` for an odd count or a foreign character.
pub fn parse_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect()
}

/// For people: control and invisible characters escaped, invalid UTF-8 as `\xNN`.
impl fmt::Display for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape_untrusted(self.as_bytes()))
    }
}

impl fmt::Debug for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

/// The SSID is empty, longer than 32 bytes, or malformed hexadecimal (`length` 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsidError {
    /// How many bytes were given.
    pub length: usize,
}

impl fmt::Display for SsidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an SSID has 1 to 32 bytes, this one has {}", self.length)
    }
}

impl core::error::Error for SsidError {}

impl Serialize for Ssid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Ssid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_text(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_one_to_thirty_two_bytes() {
        assert!(Ssid::new(b"").is_err());
        assert!(Ssid::new(&[0x20; 32]).is_ok());
        assert_eq!(Ssid::new(&[0x20; 33]), Err(SsidError { length: 33 }));
        assert_eq!(Ssid::new("Café ☕".as_bytes()).expect("valid").as_bytes().len(), 9);
    }

    #[test]
    fn every_ssid_survives_its_text_form() {
        for bytes in [&b"plain"[..], b"hex:00", b"\xff\x00\"\\", "Caf\u{e9} \u{2615}".as_bytes(), b" "] {
            let ssid = Ssid::new(bytes).expect("valid");
            assert_eq!(Ssid::from_text(&ssid.to_text()), Ok(ssid));
        }
        assert!(Ssid::from_text("hex:0").is_err());
        assert!(Ssid::from_text("hex:zz").is_err());
    }
}
