//! The keys as hostapd takes them: pairwise master keys in a file that exists only in memory.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
};

use hn_types::{Key, KeyRole, MacAddr, Passphrase, Ssid, plan::KeySet};
use rustix::fs::{MemfdFlags, memfd_create};
use sha1::Sha1;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A pairwise master key; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Pmk([u8; 32]);

impl Pmk {
    /// IEEE 802.11-2020, J.4.1: PBKDF2 over HMAC-SHA-1, 4096 rounds, the SSID as salt.
    pub(crate) fn derive(passphrase: &Passphrase, ssid: &Ssid) -> Self {
        let mut pmk = Self([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha1>(passphrase.expose().as_bytes(), ssid.as_bytes(), 4096, &mut pmk.0);
        pmk
    }
}

impl std::fmt::Debug for Pmk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pmk(…)")
    }
}

/// One line of the key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PskEntry {
    role: KeyRole,
    station: Option<MacAddr>,
    pmk: Pmk,
}

/// Remembers what was derived for the keys in use: a derivation costs thousands of hashes on purpose.
#[derive(Debug, Default)]
pub(crate) struct PmkCache {
    ssid: Option<Ssid>,
    derived: Vec<(Key, Pmk)>,
}

impl PmkCache {
    /// The lines for these keys. What they do not use is forgotten.
    pub(crate) async fn entries(&mut self, ssid: &Ssid, keys: &KeySet) -> Vec<PskEntry> {
        if self.ssid != Some(*ssid) {
            self.derived.clear();
            self.ssid = Some(*ssid);
        }
        let mut entries = Vec::with_capacity(keys.entries.len());
        for entry in &keys.entries {
            let pmk = self.pmk(ssid, &entry.key).await;
            entries.push(PskEntry { role: entry.role, station: entry.station, pmk });
        }
        self.derived.retain(|(key, _)| keys.entries.iter().any(|entry| entry.key == *key));
        entries
    }

    async fn pmk(&mut self, ssid: &Ssid, key: &Key) -> Pmk {
        let passphrase = match key {
            Key::Raw(raw) => return Pmk(*raw.expose()),
            Key::Passphrase(passphrase) => passphrase,
        };
        if let Some((_, pmk)) = self.derived.iter().find(|(known, _)| known == key) {
            return pmk.clone();
        }
        let (job, salt) = (passphrase.clone(), *ssid);
        // Milliseconds of hashing: not on the loop that answers everybody else.
        let pmk = match tokio::task::spawn_blocking(move || Pmk::derive(&job, &salt)).await {
            Ok(pmk) => pmk,
            // The runtime is going down; this is as good a place as any.
            Err(_) => Pmk::derive(passphrase, ssid),
        };
        self.derived.push((key.clone(), pmk.clone()));
        pmk
    }
}

/// hostapd's `wpa_psk_file`, one line per key. Keys are written as 64 digits, so no character of a passphrase is
/// ever parsed; the names are those of [`KeyRole`] and come back in events.
fn render(entries: &[PskEntry]) -> Zeroizing<String> {
    // A line has at most 98 bytes; room for all of them, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(entries.len() * 100));
    for entry in entries {
        let station = entry.station.unwrap_or(MacAddr::ZERO);
        // Writing to a String cannot fail.
        let _ = write!(text, "keyid={} {station} ", entry.role.as_str());
        for byte in &entry.pmk.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// The key file: anonymous memory that hostapd inherits and opens anew at every reload. It never has a name in
/// a file system and ends with the two processes.
#[derive(Debug)]
pub(crate) struct PskFile {
    file: File,
    inherited: Arc<OwnedFd>,
}

impl PskFile {
    pub(crate) fn new() -> io::Result<Self> {
        let memory = memfd_create("hostednet-psk", MemfdFlags::CLOEXEC)?;
        Ok(Self { file: File::from(memory.try_clone()?), inherited: Arc::new(memory) })
    }

    /// The descriptor for the child.
    pub(super) fn inherited(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inherited)
    }

    /// How the child names it.
    pub(super) fn path_in_child(&self) -> String {
        format!("/proc/self/fd/{}", self.inherited.as_raw_fd())
    }

    /// Replaces the content. hostapd reads it when it is told to, never between the two steps.
    pub(super) fn write(&self, entries: &[PskEntry]) -> io::Result<()> {
        let text = render(entries);
        self.wipe()?;
        self.file.write_all_at(text.as_bytes(), 0)
    }

    fn wipe(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

impl Drop for PskFile {
    fn drop(&mut self) {
        let _ = self.wipe();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;

    use hn_types::plan::KeyEntry;

    use super::*;

    fn hex(pmk: &Pmk) -> String {
        pmk.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn derive(passphrase: &str, ssid: &str) -> String {
        let passphrase = Passphrase::new(passphrase.into()).unwrap();
        hex(&Pmk::derive(&passphrase, &Ssid::new(ssid.as_bytes()).unwrap()))
    }

    #[test]
    fn the_vectors_of_the_standard_hold() {
        // IEEE 802.11-2020, J.4.2.
        assert_eq!(
            derive("password", "IEEE"),
            "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
        );
        assert_eq!(
            derive("ThisIsAPassword", "ThisIsASSID"),
            "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"
        );
        assert_eq!(
            derive(&"a".repeat(32), &"Z".repeat(32)),
            "becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62"
        );
    }

    fn keys() -> KeySet {
        let entry =
            |role, key: &str, station| KeyEntry { role, key: Key::passphrase(key.into()).unwrap(), station };
        KeySet {
            entries: vec![
                entry(KeyRole::Primary, "password", None),
                KeyEntry { role: KeyRole::Secondary, key: Key::raw(&[0xab; 32]).unwrap(), station: None },
                entry(KeyRole::Secondary, "password", Some("02:00:00:00:01:00".parse().unwrap())),
            ],
            ..KeySet::default()
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_line_names_the_key_and_its_station_and_never_the_passphrase() {
        let mut cache = PmkCache::default();
        let ssid = Ssid::new(b"IEEE").unwrap();
        let entries = cache.entries(&ssid, &keys()).await;
        let text = render(&entries);
        let pmk = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        let raw = "ab".repeat(32);
        let expected = format!(
            "keyid=primary 00:00:00:00:00:00 {pmk}\nkeyid=secondary 00:00:00:00:00:00 {raw}\n\
             keyid=secondary 02:00:00:00:01:00 {pmk}\n"
        );
        assert_eq!(*text, expected);
        assert!(text.lines().all(|line| line.len() < 127), "hostapd reads lines of at most 126 bytes");
        assert_eq!(cache.derived.len(), 1, "one passphrase is derived once");
        assert!(!format!("{entries:?}{cache:?}").contains("f42c"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_derived_for_another_name_is_not_used() {
        let mut cache = PmkCache::default();
        let first = cache.entries(&Ssid::new(b"IEEE").unwrap(), &keys()).await;
        let second = cache.entries(&Ssid::new(b"other").unwrap(), &keys()).await;
        assert_ne!(first.first().unwrap().pmk, second.first().unwrap().pmk);
        cache.entries(&Ssid::new(b"other").unwrap(), &KeySet::default()).await;
        assert!(cache.derived.is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_shorter_file_replaces_a_longer_one_whole() {
        let file = PskFile::new().unwrap();
        let mut cache = PmkCache::default();
        let entries = cache.entries(&Ssid::new(b"IEEE").unwrap(), &keys()).await;
        file.write(&entries).unwrap();
        file.write(entries.get(..1).unwrap()).unwrap();
        let mut text = String::new();
        File::open(file.path_in_child()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 1);
    }
}
