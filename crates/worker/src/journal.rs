//! The lease journal: records appended to a file, several at a time, and the knowledge of how much of it is
//! valid.
//!
//! Owns the file and the two buffers (the batch being written and the batch being collected). It never
//! decides what a record means.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use hn_dhcp4::{CommitId, LeaseRecord, RecordError};
use rustix::io::{self, Errno};

use crate::writer::{Done, Job, Writer};

/// A journal shorter than this is never rewritten, in bytes.
const COMPACTION_BYTES: u64 = 1 << 20;
/// It is rewritten when it is this many times as long as what is live in it.
const COMPACTION_RATIO: u64 = 4;
/// A journal longer than this is not ours, in bytes: 2^20 addresses, with room for history.
const LONGEST: u64 = 1 << 30;

/// The batch that is being written.
#[derive(Clone, Copy, Debug)]
enum UnderWay {
    Append { commit: CommitId, bytes: u64 },
    Rewrite { generation: u64, bytes: u64 },
}

/// What came of the batch that was being written.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Everything up to this record is on disk.
    Written(CommitId),
    /// It is not, and why.
    Failed(CommitId, Errno),
    /// The new file is on disk and in use, or why not.
    Rewritten { generation: u64, result: io::Result<()> },
}

/// The journal of one segment.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<OwnedFd>,
    /// Bytes that are valid.
    length: u64,
    /// Something may stand behind them.
    repair: bool,
    /// Records that wait for the writer.
    collected: Vec<u8>,
    /// The last of them.
    last: Option<CommitId>,
    /// The other buffer, while it is not with the writer.
    spare: Vec<u8>,
    under_way: Option<UnderWay>,
    /// A new file for the next rewrite.
    replacement: Option<(u64, Arc<OwnedFd>)>,
    compaction_asked: bool,
    /// Length from which on it is worth counting what is live in it.
    next_count: u64,
}

/// Bytes read at a time when a journal is taken up, a multiple of the record size.
const CHUNK: usize = 512 * LeaseRecord::SIZE;

impl Journal {
    /// Reads the journal in `file`, hands each record to `take` in order, and says how many were damaged.
    /// What a torn last write left behind is cut off.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or cut, or is far too long.
    pub(crate) fn open(file: OwnedFd, mut take: impl FnMut(&LeaseRecord)) -> io::Result<(Self, usize)> {
        let length = u64::try_from(rustix::fs::fstat(&file)?.st_size).map_err(|_| Errno::IO)?;
        if length > LONGEST {
            return Err(Errno::FBIG);
        }
        let mut chunk = vec![0; CHUNK];
        let (mut at, mut valid) = (0, 0);
        let (mut damaged, mut damaged_so_far) = (0, 0);
        while at < length {
            let count = read(file.as_fd(), &mut chunk, at)?;
            if count == 0 {
                break;
            }
            for record in LeaseRecord::decode_all(chunk.get(..count).unwrap_or_default()) {
                at += LeaseRecord::SIZE as u64;
                let keep = match record {
                    Ok(record) => {
                        take(&record);
                        true
                    }
                    // Somebody else's future: not ours to cut off.
                    Err(RecordError::Version(_)) => true,
                    Err(RecordError::Torn { .. } | RecordError::Checksum | RecordError::Field) => false,
                };
                if keep {
                    valid = at;
                    damaged = damaged_so_far;
                } else {
                    damaged_so_far += 1;
                }
            }
        }
        let journal = Self {
            file: Arc::new(file),
            length: valid,
            repair: false,
            collected: Vec::new(),
            last: None,
            spare: Vec::new(),
            under_way: None,
            replacement: None,
            compaction_asked: false,
            next_count: COMPACTION_BYTES,
        };
        if valid != length {
            rustix::fs::ftruncate(&journal.file, valid)?;
        }
        Ok((journal, damaged))
    }

    /// Takes `record` into the next batch.
    pub(crate) fn append(&mut self, commit: CommitId, record: &LeaseRecord) {
        self.collected.extend_from_slice(&record.encode());
        self.last = Some(commit);
    }

    /// The next rewrite goes to `file`, which is empty.
    pub(crate) fn replace(&mut self, generation: u64, file: OwnedFd) {
        self.replacement = Some((generation, Arc::new(file)));
    }

    /// Whether [`Journal::submit`] would begin something.
    pub(crate) fn has_work(&self) -> bool {
        self.replacement.is_some() || self.last.is_some()
    }

    /// Gives the next batch to the idle `writer`. `snapshot` appends all current records to the buffer; it is
    /// called for a rewrite only.
    pub(crate) fn submit(
        &mut self,
        writer: &mut Writer,
        snapshot: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Settled> {
        if writer.is_busy() || self.under_way.is_some() {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        let job = if let Some((generation, file)) = &self.replacement {
            snapshot(&mut bytes);
            self.under_way = Some(UnderWay::Rewrite { generation: *generation, bytes: bytes.len() as u64 });
            Job { file: Arc::clone(file), length: 0, repair: true, bytes }
        } else if let Some(commit) = self.last.take() {
            std::mem::swap(&mut bytes, &mut self.collected);
            // The buffer that was swapped in is the one that is empty.
            self.under_way = Some(UnderWay::Append { commit, bytes: bytes.len() as u64 });
            Job { file: Arc::clone(&self.file), length: self.length, repair: self.repair, bytes }
        } else {
            self.spare = bytes;
            return None;
        };
        writer.begin(job).err().and_then(|done| self.settle(done))
    }

    /// Takes the end of the batch that was being written.
    pub(crate) fn settle(&mut self, done: Done) -> Option<Settled> {
        let under_way = self.under_way.take()?;
        self.spare = done.bytes;
        Some(match under_way {
            UnderWay::Append { commit, bytes } => {
                self.repair = done.result.is_err();
                match done.result {
                    Ok(()) => {
                        self.length += bytes;
                        Settled::Written(commit)
                    }
                    Err(error) => Settled::Failed(commit, error),
                }
            }
            UnderWay::Rewrite { generation, bytes } => {
                let replacement = self.replacement.take();
                if let (Ok(()), Some((_, file))) = (done.result, replacement) {
                    self.file = file;
                    self.length = bytes;
                    self.repair = false;
                }
                self.compaction_asked = false;
                self.next_count = self.length + COMPACTION_BYTES;
                // A snapshot can be large; nothing else needs a buffer of that size.
                self.spare = Vec::new();
                Settled::Rewritten { generation, result: done.result }
            }
        })
    }

    /// Whether the file should be rewritten, given the number of `live` records, which is asked for only when
    /// the answer may be yes. Says so once.
    pub(crate) fn wants_compaction(&mut self, live: impl FnOnce() -> usize) -> bool {
        if self.compaction_asked || self.replacement.is_some() || self.length <= self.next_count {
            return false;
        }
        let needed = live() as u64 * LeaseRecord::SIZE as u64 * COMPACTION_RATIO;
        self.compaction_asked = self.length > needed;
        self.next_count = needed.max(self.length + COMPACTION_BYTES);
        self.compaction_asked
    }
}

/// Fills `chunk` from `at` on, as far as the file goes.
fn read(file: impl AsFd, chunk: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match io::pread(&file, rest, at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The words for what can go wrong with a file.
pub(crate) fn explain(error: Errno) -> String {
    match error {
        Errno::NOSPC => "no space is left on the device".to_owned(),
        Errno::DQUOT => "the disk quota is used up".to_owned(),
        Errno::FBIG => "the file may not grow any further".to_owned(),
        Errno::ROFS => "the file system is read-only".to_owned(),
        Errno::IO => "the disk does not take it".to_owned(),
        other => format!("the system refuses it (error {})", other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        fs::{self, File, OpenOptions},
        net::Ipv4Addr,
        path::Path,
    };

    use hn_dhcp4::{HostName, RecordState};
    use hn_types::{MacAddr, Wall};

    use super::*;

    fn record(n: u8) -> LeaseRecord {
        LeaseRecord {
            state: RecordState::Bound,
            address: Ipv4Addr::new(192, 168, 137, n),
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            client_id: None,
            hostname: HostName::new(b"phone"),
            expires: Wall::from_unix(2_000_000_000),
            remaining: 3_600,
        }
    }

    /// What a file had in it.
    struct Contents {
        records: Vec<LeaseRecord>,
        damaged: usize,
    }

    fn take_up(file: File) -> (Journal, Contents) {
        let mut records = Vec::new();
        let (journal, damaged) = Journal::open(file.into(), |record| records.push(*record)).unwrap();
        (journal, Contents { records, damaged })
    }

    fn open(path: &Path) -> (Journal, Contents) {
        take_up(OpenOptions::new().read(true).append(true).create(true).open(path).unwrap())
    }

    fn commit(journal: &mut Journal, writer: &mut Writer) -> Settled {
        assert!(journal.submit(writer, |_| panic!("no rewrite was asked for")).is_none());
        journal.settle(writer.wait().unwrap()).unwrap()
    }

    #[test]
    fn a_batch_is_one_job_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let mut writer = Writer::start().unwrap();
        let (mut journal, contents) = open(&path);
        assert!(contents.records.is_empty() && !journal.has_work());
        for n in 1..=3 {
            journal.append(CommitId(n.into()), &record(n));
        }
        assert!(matches!(commit(&mut journal, &mut writer), Settled::Written(CommitId(3))));
        journal.append(CommitId(4), &record(4));
        assert!(matches!(commit(&mut journal, &mut writer), Settled::Written(CommitId(4))));
        let (_, contents) = open(&path);
        assert_eq!(contents.records, (1..=4).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_the_valid_prefix_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let whole: Vec<u8> = (1..=3).flat_map(|n| record(n).encode()).collect();
        let mut writer = Writer::start().unwrap();
        for cut in 0..=whole.len() {
            // The part of the last block that never reached the disk may also read as zeroes.
            for zeroes in [0, 200] {
                let mut bytes = whole[..cut].to_vec();
                bytes.resize(cut + zeroes, 0);
                fs::write(&path, &bytes).unwrap();
                let (mut journal, contents) = open(&path);
                let complete = cut / LeaseRecord::SIZE;
                assert_eq!(contents.records.len(), complete);
                assert_eq!(contents.damaged, 0, "a torn tail is no damage");
                assert_eq!(fs::metadata(&path).unwrap().len() as usize, complete * LeaseRecord::SIZE);
                if cut % 64 == 1 {
                    journal.append(CommitId(1), &record(9));
                    assert!(matches!(commit(&mut journal, &mut writer), Settled::Written(CommitId(1))));
                    assert_eq!(open(&path).1.records.last(), Some(&record(9)));
                }
            }
        }
    }

    #[test]
    fn a_damaged_record_in_the_middle_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let mut bytes: Vec<u8> = (1..=3).flat_map(|n| record(n).encode()).collect();
        bytes[LeaseRecord::SIZE + 5] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (_, contents) = open(&path);
        assert_eq!(contents.records, [record(1), record(3)]);
        assert_eq!(contents.damaged, 1);
    }

    #[test]
    fn a_full_disk_fails_the_batch_and_leaves_the_journal_usable() {
        let mut writer = Writer::start().unwrap();
        let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        let (mut journal, contents) = take_up(full);
        assert!(contents.records.is_empty());
        journal.append(CommitId(1), &record(1));
        journal.append(CommitId(2), &record(2));
        assert!(matches!(commit(&mut journal, &mut writer), Settled::Failed(CommitId(2), Errno::NOSPC)));
        // A rewrite to a file with room mends it.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap();
        journal.replace(7, file.into());
        assert!(journal.submit(&mut writer, |bytes| bytes.extend_from_slice(&record(5).encode())).is_none());
        let settled = journal.settle(writer.wait().unwrap()).unwrap();
        assert!(matches!(settled, Settled::Rewritten { generation: 7, result: Ok(()) }));
        journal.append(CommitId(3), &record(6));
        assert!(matches!(commit(&mut journal, &mut writer), Settled::Written(CommitId(3))));
        assert_eq!(open(&path).1.records, [record(5), record(6)]);
    }

    #[test]
    fn a_rewrite_that_fails_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let mut writer = Writer::start().unwrap();
        let (mut journal, _) = open(&path);
        journal.append(CommitId(1), &record(1));
        commit(&mut journal, &mut writer);
        journal.replace(7, File::open("/dev/full").unwrap().into());
        assert!(journal.submit(&mut writer, |bytes| bytes.extend_from_slice(&record(1).encode())).is_none());
        let settled = journal.settle(writer.wait().unwrap()).unwrap();
        assert!(matches!(settled, Settled::Rewritten { generation: 7, result: Err(_) }));
        journal.append(CommitId(2), &record(2));
        commit(&mut journal, &mut writer);
        assert_eq!(open(&path).1.records, [record(1), record(2)]);
    }

    #[test]
    fn a_journal_longer_than_one_chunk_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let count = CHUNK / LeaseRecord::SIZE * 2 + 7;
        let mut bytes: Vec<u8> = (0..count).flat_map(|n| record((n % 250) as u8).encode()).collect();
        bytes.extend_from_slice(b"torn");
        fs::write(&path, &bytes).unwrap();
        let (journal, contents) = open(&path);
        assert_eq!((contents.records.len(), contents.damaged), (count, 0));
        assert_eq!(journal.length, (count * LeaseRecord::SIZE) as u64);
        assert_eq!(fs::metadata(&path).unwrap().len(), journal.length);
    }

    #[test]
    fn compaction_is_asked_for_once_when_most_of_a_long_journal_is_history() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(&folder.path().join("leases"));
        journal.length = COMPACTION_BYTES;
        assert!(!journal.wants_compaction(|| panic!("a short journal is not worth counting")));
        journal.length = COMPACTION_BYTES * 8;
        let live = COMPACTION_BYTES as usize / LeaseRecord::SIZE * 2;
        assert!(!journal.wants_compaction(|| live), "mostly live");
        journal.length += LeaseRecord::SIZE as u64;
        assert!(!journal.wants_compaction(|| panic!("counted a moment ago")));
        journal.length += COMPACTION_BYTES;
        assert!(journal.wants_compaction(|| 100));
        assert!(!journal.wants_compaction(|| 100), "said already");
    }
}
