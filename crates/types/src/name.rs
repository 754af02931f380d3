//! Names of network interfaces.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The name of a network interface: 1 to 15 bytes that Linux accepts (`dev_valid_name`), held inline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    bytes: [u8; 15],
    len: u8,
}

impl IfName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(used).unwrap_or_default()
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for IfName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Linux would not accept the text as the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfNameError;

impl fmt::Display for IfNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interface name has 1 to 15 bytes without '/', ':' or white space")
    }
}

impl core::error::Error for IfNameError {}

impl FromStr for IfName {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = !matches!(text, "" | "." | "..")
            && text.len() <= 15
            && !text.chars().any(|c| matches!(c, '/' | ':' | '\0') || c.is_whitespace() || c.is_control());
        if !valid {
            return Err(IfNameError);
        }
        let mut bytes = [0; 15];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Ok(Self { bytes, len: u8::try_from(text.len()).map_err(|_| IfNameError)? })
    }
}

impl Serialize for IfName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for IfName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_linux_accepts() {
        for good in ["eth0", "hnap0", "123456789012345", "wlp0s20f3", "größe"] {
            assert_eq!(good.parse::<IfName>().expect("valid").as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "1234567890123456", "a\n"] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError), "{bad:?}");
        }
    }
}
