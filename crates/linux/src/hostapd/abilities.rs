//! What the installed hostapd was built with, read from the program itself: it has no way to be asked before it runs.

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hn_types::radio::Authenticator;

/// A hostapd is about a megabyte; of anything longer only so many bytes are looked at.
const SIZE_LIMIT: u64 = 32 << 20;

/// Names of settings that exist only where the ability was built in.
const SAE: &[u8] = b"sae_groups\0";
const MANY_PASSWORDS: &[u8] = b"sae_track_password\0";
const HE: &[u8] = b"he_oper_chwidth\0";

/// Which file was looked at, and what was found.
type Seen = (PathBuf, Option<SystemTime>, u64, Authenticator);

thread_local! {
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What the program at `path` can do; nothing when it cannot be read. It is read again only after it changed.
pub(crate) fn abilities(path: &Path) -> Authenticator {
    let Ok(metadata) = fs::metadata(path) else { return Authenticator::default() };
    let (modified, size) = (metadata.modified().ok(), metadata.len());
    let known = LAST.with_borrow(|last| {
        let same = |seen: &&Seen| seen.0 == path && seen.1 == modified && seen.2 == size;
        last.as_ref().filter(same).map(|seen| seen.3)
    });
    if let Some(known) = known {
        return known;
    }
    let mut program = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_end(&mut program));
    let found = if read.is_ok() { look(&program) } else { Authenticator::default() };
    LAST.set(Some((path.to_owned(), modified, size, found)));
    found
}

fn look(program: &[u8]) -> Authenticator {
    let has = |name: &[u8]| program.windows(name.len()).any(|window| window == name);
    Authenticator { sae: has(SAE), many_passwords: has(MANY_PASSWORDS), he: has(HE) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_names_of_settings_tell_what_was_built_in() {
        let old = b"\0ssid\0channel\0";
        assert_eq!(look(old), Authenticator::default());
        let new = b"\0sae_groups\0he_oper_chwidth\0sae_track_passwords\0";
        assert_eq!(look(new), Authenticator { sae: true, many_passwords: false, he: true });
        assert!(look(b"sae_track_password\0").many_passwords);
    }

    #[test]
    fn a_program_that_changed_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hostapd");
        assert_eq!(abilities(&path), Authenticator::default());
        fs::write(&path, b"nothing").unwrap();
        assert!(!abilities(&path).sae);
        fs::write(&path, b"now with sae_groups\0").unwrap();
        assert!(abilities(&path).sae);
    }
}
