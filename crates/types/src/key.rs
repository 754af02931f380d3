//! Keys of the hosted network. They are wiped when dropped and never printed.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ssid::parse_hex;

/// A WPA passphrase: 8 to 63 printable ASCII characters (IEEE 802.11-2020, J.4.1).
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes the text if it is a passphrase; wipes it otherwise.
    pub fn new(mut text: String) -> Result<Self, KeyError> {
        let length = text.len();
        if text.bytes().any(|b| !(0x20..=0x7e).contains(&b)) {
            text.zeroize();
            return Err(KeyError::NotPrintableAscii);
        }
        if !(8..=63).contains(&length) {
            text.zeroize();
            return Err(KeyError::PassphraseLength(length));
        }
        Ok(Self(text))
    }

    /// The characters. The caller keeps them out of logs, arguments and files others can read.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// A pairwise master key given directly: 32 bytes.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RawPsk([u8; 32]);

impl RawPsk {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes. The caller keeps them secret.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RawPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawPsk(…)")
    }
}

/// Either form of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Characters from which the pairwise master key is derived with the SSID as salt.
    Passphrase(Passphrase),
    /// The pairwise master key itself.
    Raw(RawPsk),
}

impl Key {
    /// A passphrase from text.
    pub fn passphrase(text: String) -> Result<Self, KeyError> {
        Passphrase::new(text).map(Self::Passphrase)
    }

    /// A raw key from 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = parse_hex(text).ok_or(KeyError::NotHex)?;
        let array = <[u8; 32]>::try_from(bytes.as_slice());
        let length = bytes.len();
        bytes.zeroize();
        array.map(|bytes| Self::Raw(RawPsk::new(bytes))).map_err(|_| KeyError::RawLength(length))
    }

    /// A raw key from 32 bytes.
    pub fn raw(bytes: &[u8]) -> Result<Self, KeyError> {
        let array = <[u8; 32]>::try_from(bytes).map_err(|_| KeyError::RawLength(bytes.len()))?;
        Ok(Self::Raw(RawPsk::new(array)))
    }
}

/// Which of the two keys of the hosted network (spec/hosted-network.md §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// Made by the system, always there once configured.
    Primary,
    /// Given by the user, at most one, possibly for one session only.
    Secondary,
}

impl KeyRole {
    /// `primary` or `secondary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// Why something is not a key. Never contains the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not pairs of hexadecimal digits.
    NotHex,
    /// A character outside 0x20 to 0x7e.
    NotPrintableAscii,
    /// A passphrase that does not have 8 to 63 characters; this many were given.
    PassphraseLength(usize),
    /// A raw key that does not have 32 bytes; this many were given.
    RawLength(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHex => f.write_str("a raw key is written as 64 hexadecimal digits"),
            Self::NotPrintableAscii => f.write_str("a passphrase has only printable ASCII characters"),
            Self::PassphraseLength(n) => write!(f, "a passphrase has 8 to 63 characters, this one has {n}"),
            Self::RawLength(n) => write!(f, "a raw key has 32 bytes, this one has {n}"),
        }
    }
}

impl core::error::Error for KeyError {}

/// For the settings file (mode 0600) and for messages to the worker or the radio only.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeyRecord {
    Passphrase(String),
    Raw(String),
}

impl Drop for KeyRecord {
    fn drop(&mut self) {
        match self {
            Self::Passphrase(text) | Self::Raw(text) => text.zeroize(),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = match self {
            Self::Passphrase(p) => KeyRecord::Passphrase(p.expose().into()),
            Self::Raw(raw) => {
                let mut hex = String::with_capacity(64);
                for byte in raw.expose() {
                    let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
                }
                KeyRecord::Raw(hex)
            }
        };
        record.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = KeyRecord::deserialize(deserializer)?;
        match &record {
            KeyRecord::Passphrase(text) => Self::passphrase(text.clone()),
            KeyRecord::Raw(hex) => Self::from_hex(hex),
        }
        .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    #[test]
    fn passphrase_limits() {
        assert_eq!(Key::passphrase("1234567".into()), Err(KeyError::PassphraseLength(7)));
        assert!(Key::passphrase("12345678".into()).is_ok());
        assert!(Key::passphrase("x".repeat(63)).is_ok());
        assert_eq!(Key::passphrase("x".repeat(64)), Err(KeyError::PassphraseLength(64)));
        assert_eq!(Key::passphrase("pässword".into()), Err(KeyError::NotPrintableAscii));
        assert_eq!(Key::passphrase("12345678\n".into()), Err(KeyError::NotPrintableAscii));
        let every: String = (0x20..=0x7e).map(char::from).collect();
        assert!(Key::passphrase(every[..63].into()).is_ok() && Key::passphrase(every[63..].into()).is_ok());
    }

    #[test]
    fn raw_limits() {
        assert!(Key::raw(&[7; 32]).is_ok());
        assert_eq!(Key::raw(&[7; 31]), Err(KeyError::RawLength(31)));
        assert_eq!(Key::from_hex(&"00".repeat(33)), Err(KeyError::RawLength(33)));
        assert_eq!(Key::from_hex("zz"), Err(KeyError::NotHex));
    }

    #[test]
    fn debug_shows_nothing() {
        let key = Key::passphrase("correct horse".into()).expect("valid");
        assert!(!format!("{key:?}").contains("horse"));
        assert_eq!(KeyRole::Primary.as_str().to_string(), "primary");
    }
}
