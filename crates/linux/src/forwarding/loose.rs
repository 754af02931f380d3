//! The check of return paths (`net.ipv4.conf.IF.rp_filter`) where replies come in by another way than the machine's
//! own packets go out: strict becomes loose there, and nothing else changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use hn_types::{DriverError, IfName};

use super::read;
use crate::undo::{EntryId, Undo, UndoJournal, io_failure};

/// RFC 3704 §2.2.
const STRICT: &str = "1";
/// RFC 3704 §2.4.
const LOOSE: &str = "2";

#[derive(Debug)]
pub(super) struct Loose {
    journal: Rc<UndoJournal>,
    /// `/proc/sys/net/ipv4/conf`.
    folder: PathBuf,
    held: BTreeMap<IfName, (EntryId, String)>,
}

impl Loose {
    pub(super) fn below(folder: &Path, journal: Rc<UndoJournal>) -> Self {
        Self { journal, folder: folder.to_owned(), held: BTreeMap::new() }
    }

    fn path(&self, interface: &str) -> PathBuf {
        self.folder.join(interface).join("rp_filter")
    }

    /// Makes `wanted` loose where they are strict, and strict again what is not among them. Whether anything
    /// was written.
    pub(super) fn apply(&mut self, wanted: &BTreeSet<IfName>) -> Result<bool, DriverError> {
        let mut changed = false;
        for interface in wanted {
            changed |= self.hold(*interface)?;
        }
        let unwanted: Vec<_> = self.held.keys().copied().filter(|held| !wanted.contains(held)).collect();
        for interface in unwanted {
            changed |= self.release(interface)?;
        }
        Ok(changed)
    }

    /// The kernel takes the greater of the interface's value and that of `all`.
    fn hold(&mut self, interface: IfName) -> Result<bool, DriverError> {
        let path = self.path(interface.as_str());
        let old = match read(&path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_failure("read the return path check", &path, &error)),
        };
        let all = read(&self.path("all")).unwrap_or_default();
        if [old.as_str(), all.as_str()].into_iter().max() != Some(STRICT) {
            return Ok(false);
        }
        if !self.held.contains_key(&interface) {
            let undo = Undo::Sysctl { path: path.to_string_lossy().into_owned(), old: old.clone() };
            let entry = self.journal.record(undo)?;
            self.held.insert(interface, (entry, old));
        }
        fs::write(&path, LOOSE)
            .map(|()| true)
            .map_err(|error| io_failure("loosen the return path check", &path, &error))
    }

    fn release(&mut self, interface: IfName) -> Result<bool, DriverError> {
        let Some((entry, old)) = self.held.get(&interface) else { return Ok(false) };
        let path = self.path(interface.as_str());
        let failed = |error| io_failure("restore the return path check", &path, &error);
        let written = match read(&path) {
            // Somebody else decided since.
            Ok(value) if value != LOOSE => false,
            Ok(_) => fs::write(&path, old).map(|()| true).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        self.journal.done(*entry);
        self.held.remove(&interface);
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_a_strict_check_becomes_loose_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Rc::new(UndoJournal::open(&folder.path().join("undo")).unwrap());
        let mut loose = Loose::below(folder.path(), Rc::clone(&journal));
        for (name, value) in [("all", "0"), ("eth0", "1"), ("eth1", "0"), ("eth2", "2")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("rp_filter"), value).unwrap();
        }
        let value = |name: &str| read(&folder.path().join(name).join("rp_filter")).unwrap();
        let all: BTreeSet<IfName> =
            ["eth0", "eth1", "eth2", "gone0"].map(|name| name.parse().unwrap()).into();
        assert!(loose.apply(&all).unwrap());
        assert!(!loose.apply(&all).unwrap());
        assert_eq!(["eth0", "eth1", "eth2"].map(value), ["2", "0", "2"]);
        assert_eq!(journal.pending().len(), 1);
        fs::write(folder.path().join("all").join("rp_filter"), "1").unwrap();
        assert!(loose.apply(&all).unwrap(), "strict for all is strict for each");
        assert_eq!(value("eth1"), "2");
        assert!(loose.apply(&BTreeSet::new()).unwrap());
        assert_eq!(["eth0", "eth1", "eth2"].map(value), ["1", "0", "2"]);
        assert!(journal.pending().is_empty());
    }
}
