//! Names and keys that are made up, and the keys in force.

use alloc::{collections::BTreeSet, format, string::String};

use hn_types::{
    ConnectionSettings, Key, KeyRole, MacAddr, SecondaryKey, Ssid, StoredSettings,
    plan::{KeyEntry, KeySet},
};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::hosted::Hosted;

/// Devices at most, when nobody said otherwise (spec/hosted-network.md §5.2).
pub(crate) const DEFAULT_MAX_PEERS: u32 = 100;
/// Characters of a primary key (§6).
const PRIMARY_LENGTH: usize = 63;
/// Letters and digits: typed on any keyboard, and the whole strength of WPA2 at this length.
const KEY_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Without those that look alike.
const NAME_ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Makes sure that a name and a primary key exist. `None`: they do.
pub(crate) fn initialised(
    stored: &StoredSettings,
    host_name: &str,
    rng: &mut ChaCha20Rng,
) -> Option<StoredSettings> {
    if stored.connection.is_some() && stored.primary_key.is_some() {
        return None;
    }
    let mut new = versioned(stored);
    if new.connection.is_none() {
        new.connection =
            Some(ConnectionSettings { ssid: readable_ssid(host_name, rng), max_peers: DEFAULT_MAX_PEERS });
    }
    if new.primary_key.is_none() {
        new.primary_key = Some(random_key(rng));
    }
    Some(new)
}

/// A copy in the format of this version.
pub(crate) fn versioned(stored: &StoredSettings) -> StoredSettings {
    StoredSettings { version: StoredSettings::VERSION, ..stored.clone() }
}

/// A new primary key.
pub(crate) fn random_key(rng: &mut ChaCha20Rng) -> Key {
    let text = draw(KEY_ALPHABET, PRIMARY_LENGTH, rng);
    Key::passphrase(text).expect("63 letters and digits are a passphrase")
}

fn readable_ssid(host_name: &str, rng: &mut ChaCha20Rng) -> Ssid {
    let label = host_name.split('.').next().unwrap_or_default();
    let mut name = String::new();
    for c in label.chars().filter(|c| !c.is_control()) {
        if name.len() + c.len_utf8() > 32 - 5 {
            break;
        }
        name.push(c);
    }
    if name.is_empty() {
        name.push_str("hostednet");
    }
    let name = format!("{name}-{}", draw(NAME_ALPHABET, 4, rng));
    Ssid::new(name.as_bytes()).expect("1 to 32 bytes")
}

/// `length` characters of `alphabet`, each equally likely.
fn draw(alphabet: &[u8], length: usize, rng: &mut ChaCha20Rng) -> String {
    let size = u32::try_from(alphabet.len()).unwrap_or(1).max(1);
    let fair = u32::MAX - u32::MAX % size;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let number = rng.next_u32();
        if number < fair
            && let Some(byte) = usize::try_from(number % size).ok().and_then(|index| alphabet.get(index))
        {
            text.push(char::from(*byte));
        }
    }
    text
}

/// The secondary key in force: the one for this run, else the persistent one.
pub(crate) fn secondary(stored: &StoredSettings, temporary: Option<&Key>) -> Option<SecondaryKey> {
    let persistent = temporary.is_none();
    temporary.or(stored.secondary_key.as_ref()).map(|key| SecondaryKey { key: key.clone(), persistent })
}

/// Every key the access point accepts.
pub(crate) fn key_set(stored: &StoredSettings, temporary: Option<&Key>, hosted: &Hosted) -> KeySet {
    let secondary = temporary.or(stored.secondary_key.as_ref());
    let wildcard = |role, key: &Key| KeyEntry { role, key: key.clone(), station: None };
    let primary = stored.primary_key.as_ref();
    let entries = primary
        .map(|key| wildcard(KeyRole::Primary, key))
        .into_iter()
        .chain(secondary.filter(|key| Some(*key) != primary).map(|key| wildcard(KeyRole::Secondary, key)))
        .chain(hosted.retained(secondary))
        .take(KeySet::LIMIT)
        .collect();
    KeySet { entries, denied: denied(stored) }
}

/// Devices that are kept out.
pub(crate) fn denied(stored: &StoredSettings) -> BTreeSet<MacAddr> {
    stored.devices.iter().filter(|device| device.blocked).map(|device| device.mac).collect()
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_first_configuration_is_readable_and_complete() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        for host in [
            "laptop.example",
            "",
            "a-very-long-host-name-that-does-not-fit-anywhere",
            "größe☕größe☕größe☕g",
        ] {
            let made = initialised(&StoredSettings::default(), host, &mut rng).expect("made");
            let connection = made.connection.clone().expect("made");
            let text = connection.ssid.as_str().expect("UTF-8").to_owned();
            assert!(text.len() <= 32 && text.contains('-'), "{text}");
            assert_eq!(connection.max_peers, 100);
            match made.primary_key.as_ref().expect("made") {
                Key::Passphrase(key) => {
                    assert_eq!(key.expose().len(), 63);
                    assert!(key.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
                }
                Key::Raw(_) => panic!("a passphrase was asked for"),
            }
            assert_eq!(made.version, StoredSettings::VERSION);
            assert!(initialised(&made, host, &mut rng).is_none(), "never overwritten");
        }
    }

    #[test]
    fn two_seeds_make_two_keys() {
        let key = |seed| random_key(&mut ChaCha20Rng::from_seed([seed; 32]));
        assert_ne!(key(1), key(2));
        assert_eq!(key(1), key(1));
    }

    use alloc::borrow::ToOwned;
}
