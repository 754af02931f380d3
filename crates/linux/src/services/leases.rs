//! The lease journals in the state directory: opened here, written by the worker.
//!
//! One file for each network, so that standalone and full sharing do not disturb each other's leases. The worker
//! decides what is in it; what is here opens it and puts a rewritten one in its place.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use hn_types::{DriverError, Subnet4};

use crate::undo::io_failure;

/// The journal of one network.
#[derive(Debug)]
pub(super) struct LeaseFile {
    path: PathBuf,
    new: PathBuf,
}

impl LeaseFile {
    pub(super) fn of(folder: &Path, subnet: Subnet4) -> Self {
        let network = subnet.network();
        let name = format!("leases-{}-{}.journal", network.address(), network.prefix());
        Self { path: folder.join(&name), new: folder.join(format!("{name}.new")) }
    }

    /// Opens the journal for reading and appending; makes it when there is none.
    pub(super) fn open(&self) -> Result<OwnedFd, DriverError> {
        // A rewrite that was not finished; the old file is whole.
        let _ = std::fs::remove_file(&self.new);
        let make = || {
            let existed = self.path.try_exists()?;
            let file = options().open(&self.path)?;
            if !existed {
                // What is in a file that itself is not on disk is not on disk.
                sync_folder(&self.path)?;
            }
            Ok(file.into())
        };
        make().map_err(|error| io_failure("open the lease journal", &self.path, &error))
    }

    /// An empty file for the worker to rewrite the journal into.
    pub(super) fn begin(&self) -> io::Result<OwnedFd> {
        let _ = std::fs::remove_file(&self.new);
        Ok(options().create_new(true).open(&self.new)?.into())
    }

    /// Puts the rewritten file in the place of the journal.
    pub(super) fn finish(&self) -> io::Result<()> {
        std::fs::rename(&self.new, &self.path)?;
        sync_folder(&self.path)
    }

    /// Forgets the rewritten file.
    pub(super) fn abandon(&self) {
        let _ = std::fs::remove_file(&self.new);
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_rewritten_journal_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = LeaseFile::of(folder.path(), "192.168.137.1/24".parse().expect("valid"));
        let mut old = File::from(file.open().expect("opens"));
        old.write_all(b"old").expect("writes");
        let mut new = File::from(file.begin().expect("makes"));
        new.write_all(b"new").expect("writes");
        file.finish().expect("renames");
        let mut text = String::new();
        File::from(file.open().expect("opens")).read_to_string(&mut text).expect("reads");
        assert_eq!(text, "new");
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("lists")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names, ["leases-192.168.137.0-24.journal"]);
    }

    #[test]
    fn an_unfinished_rewrite_leaves_the_old_journal() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = LeaseFile::of(folder.path(), "192.168.137.1/24".parse().expect("valid"));
        File::from(file.open().expect("opens")).write_all(b"old").expect("writes");
        drop(file.begin().expect("makes"));
        let mut text = String::new();
        File::from(file.open().expect("opens")).read_to_string(&mut text).expect("reads");
        assert_eq!(text, "old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
