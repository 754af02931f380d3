//! Kinds of WPA-Personal.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How devices prove that they know the key. Ordered by strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wpa {
    /// WPA2-Personal: PSK with CCMP (the only kind that Windows' hosted network has).
    #[default]
    Wpa2,
    /// Both at once; a device takes the stronger one it knows.
    Transition,
    /// WPA3-Personal: SAE with protected management frames.
    Wpa3,
}

impl Wpa {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wpa2 => "wpa2",
            Self::Transition => "transition",
            Self::Wpa3 => "wpa3",
        }
    }

    /// The next weaker kind.
    pub const fn weaker(self) -> Option<Self> {
        match self {
            Self::Wpa2 => None,
            Self::Transition => Some(Self::Wpa2),
            Self::Wpa3 => Some(Self::Transition),
        }
    }
}

impl fmt::Display for Wpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wpa2 => "WPA2",
            Self::Transition => "WPA2 and WPA3 (transition)",
            Self::Wpa3 => "WPA3",
        })
    }
}

/// The text names no kind of WPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WpaError;

impl fmt::Display for WpaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the security is one of wpa2, transition and wpa3")
    }
}

impl core::error::Error for WpaError {}

impl FromStr for Wpa {
    type Err = WpaError;

    fn from_str(text: &str) -> Result<Self, WpaError> {
        [Self::Wpa2, Self::Transition, Self::Wpa3].into_iter().find(|it| it.as_str() == text).ok_or(WpaError)
    }
}
