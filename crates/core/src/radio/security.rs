//! Which protection an access point gets: what was wished for, as far as adapter, hostapd and keys allow.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use hn_types::{
    Key,
    plan::{KeyEntry, KeySet},
    radio::{Authenticator, Protection},
    wpa::Wpa,
};

/// What stands between an adapter and WPA3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// hostapd was built without SAE.
    Authenticator,
    /// The driver cannot protect management frames.
    ManagementFrames,
    /// The driver says that it can, and devices fail to join (see `quirk`).
    BrokenManagementFrames,
    /// The driver authenticates by itself and does not know SAE.
    Driver,
    /// The primary key is a raw one, or one that hostapd would take for something else.
    Key,
}

impl Lack {
    /// What a person can do.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Authenticator => {
                "install a hostapd with SAE, or run `hostednet settings set --security wpa2`"
            }
            Self::ManagementFrames | Self::Driver => {
                "use another adapter, or run `hostednet settings set --security wpa2`"
            }
            Self::BrokenManagementFrames => {
                "use another adapter, run `hostednet settings set --security wpa2`, or set `trust_driver = true` in \
                 hostednet.toml when the firmware of this one has learned it"
            }
            Self::Key => {
                "run `hostednet key refresh` for a passphrase, or `hostednet settings set --security wpa2`"
            }
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authenticator => "hostapd was built without SAE",
            Self::ManagementFrames => "its driver cannot protect management frames",
            Self::BrokenManagementFrames => {
                "its driver is known to fail with the protected management frames it advertises"
            }
            Self::Driver => "its driver authenticates by itself and does not know SAE",
            Self::Key => "the primary key is not a passphrase that SAE could use",
        })
    }
}

/// What of WPA3 an adapter lacks with this hostapd. `broken`: it advertises protected management frames in vain.
pub(super) const fn lack(adapter: Protection, authenticator: Authenticator, broken: bool) -> Option<Lack> {
    if !authenticator.sae {
        Some(Lack::Authenticator)
    } else if !adapter.management_frames {
        Some(Lack::ManagementFrames)
    } else if broken {
        Some(Lack::BrokenManagementFrames)
    } else if adapter.own_sme && !adapter.sae_offload {
        Some(Lack::Driver)
    } else {
        None
    }
}

/// What runs, and why it is not what was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secured {
    pub(crate) wpa: Wpa,
    /// Keys that SAE accepts.
    pub(crate) sae: Vec<KeyEntry>,
    /// One sentence; empty when what runs is what was wished for.
    pub(crate) detail: String,
}

/// The protection of a network that may have up to `most` (see [`lack`]) with these keys.
///
/// SAE finds only the first key that is valid for everybody, unless hostapd tries them all: a secondary key then
/// makes a network a transition one, in which it works by WPA2 (peers §3, secondary-key note).
pub(crate) fn secured(wished: Wpa, most: Wpa, why: &str, keys: &KeySet, many_passwords: bool) -> Secured {
    let wildcards = || keys.entries.iter().filter(|entry| entry.station.is_none());
    let mut sae: Vec<KeyEntry> = wildcards().filter(|entry| speakable(&entry.key)).cloned().collect();
    let all = wildcards().count();
    let mut wpa = wished.min(most);
    let mut detail = String::new();
    if wpa < wished {
        detail = format!("{wished} was wished for, but {why}");
    }
    if wpa != Wpa::Wpa2 && !wildcards().next().is_some_and(|first| speakable(&first.key)) {
        wpa = Wpa::Wpa2;
        detail = format!("{wished} was wished for, but {}", Lack::Key);
    }
    if wpa != Wpa::Wpa2 && all > 1 && (!many_passwords || sae.len() < all) {
        sae.truncate(1);
        if wpa == Wpa::Wpa3 {
            wpa = Wpa::Transition;
            detail = format!(
                "{wished} was wished for, but the secondary key works by WPA2 only with this hostapd"
            );
        } else if detail.is_empty() {
            detail = String::from("the secondary key works by WPA2 only with this hostapd");
        }
    }
    if wpa == Wpa::Wpa2 {
        sae.clear();
    }
    Secured { wpa, sae, detail }
}

/// Whether SAE can be told of the key: it is a passphrase, and hostapd reads no option in it.
pub(crate) fn speakable(key: &Key) -> bool {
    match key {
        Key::Passphrase(text) => {
            !["|mac=", "|vlanid=", "|pk=", "|id="].iter().any(|mark| text.expose().contains(mark))
        }
        Key::Raw(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use hn_types::KeyRole;
    use proptest::prelude::*;

    use super::*;

    fn key(role: KeyRole, text: &str) -> KeyEntry {
        KeyEntry { role, key: Key::passphrase(text.to_string()).expect("valid"), station: None }
    }

    fn raw() -> KeyEntry {
        KeyEntry { role: KeyRole::Primary, key: Key::raw(&[7; 32]).expect("valid"), station: None }
    }

    fn keys(entries: &[KeyEntry]) -> KeySet {
        KeySet { entries: entries.to_vec(), ..KeySet::default() }
    }

    #[test]
    fn one_passphrase_gets_what_was_wished_for() {
        let one = keys(&[key(KeyRole::Primary, "the first key")]);
        for wished in [Wpa::Wpa2, Wpa::Transition, Wpa::Wpa3] {
            let it = secured(wished, Wpa::Wpa3, "", &one, false);
            assert_eq!((it.wpa, it.detail.as_str()), (wished, ""));
            assert_eq!(it.sae.len(), usize::from(wished != Wpa::Wpa2));
        }
    }

    #[test]
    fn a_secondary_key_makes_wpa3_a_transition_that_says_so() {
        let two = keys(&[key(KeyRole::Primary, "the first key"), key(KeyRole::Secondary, "the second key")]);
        let it = secured(Wpa::Wpa3, Wpa::Wpa3, "", &two, false);
        assert_eq!((it.wpa, it.sae.len()), (Wpa::Transition, 1));
        assert!(it.detail.contains("secondary key"), "{}", it.detail);
        let it = secured(Wpa::Transition, Wpa::Wpa3, "", &two, false);
        assert!(it.wpa == Wpa::Transition && it.detail.contains("secondary key"), "{it:?}");
        let it = secured(Wpa::Wpa3, Wpa::Wpa3, "", &two, true);
        assert_eq!((it.wpa, it.sae.len(), it.detail.as_str()), (Wpa::Wpa3, 2, ""));
    }

    #[test]
    fn a_key_that_sae_cannot_use_leaves_wpa2_that_says_so() {
        for entry in [raw(), key(KeyRole::Primary, "pass|id=word"), key(KeyRole::Primary, "a|mac=b c d e")] {
            let it = secured(Wpa::Transition, Wpa::Wpa3, "", &keys(&[entry]), false);
            assert!(it.wpa == Wpa::Wpa2 && it.sae.is_empty() && it.detail.contains("SAE"), "{it:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_stronger_than_possible_and_nothing_weaker_is_silent(
            wished in 0..3_usize, most in 0..3_usize, secondary: bool, raw_key: bool, many: bool,
        ) {
            let kinds = [Wpa::Wpa2, Wpa::Transition, Wpa::Wpa3];
            let (wished, most) = (*kinds.get(wished).expect("one"), *kinds.get(most).expect("one"));
            let primary = if raw_key { raw() } else { key(KeyRole::Primary, "the first key") };
            let mut entries = alloc::vec![primary];
            if secondary {
                entries.push(key(KeyRole::Secondary, "the second key"));
            }
            let it = secured(wished, most, "it cannot", &keys(&entries), many);
            prop_assert!(it.wpa <= wished && it.wpa <= most);
            prop_assert_eq!(it.wpa == Wpa::Wpa2, it.sae.is_empty());
            prop_assert!(it.wpa == wished || !it.detail.is_empty());
            // Whoever has a key gets in by one way or the other.
            prop_assert!(it.wpa != Wpa::Wpa3 || it.sae.len() == entries.len());
        }
    }
}
