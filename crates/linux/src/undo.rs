//! The journal of undo: every change to the system is written down with its inverse *before* it is made.
//!
//! A driver records the inverse, makes the change, and strikes the record out when it has undone the change in
//! the normal way. Whatever stands unstruck when a process begins was left by one that was killed; it is
//! undone then ([`UndoJournal::replay`]), newest first, and the same is run by the unit's `ExecStopPost`
//! (`hostednetd --undo`).
//!
//! Everything that is recorded lives in the kernel and is gone after a reboot, and so is the need to undo it:
//! the header names the boot and the network namespace, and records of another one are void. Hence a record has
//! to outlive this *process*, not a loss of power, and a completed `write` is all the durability it needs. There is
//! no `fdatasync` in the way of bringing a network up.
//!
//! The journal never decides what to undo in normal operation and never undoes the same record twice. A
//! lock on the file keeps a second service, or an `--undo` beside a living one, away from it.

mod act;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hn_nft::TRACE_TABLE;
use hn_types::{DriverError, DriverErrorKind, IfName, Subnet4, Subnet6};
use serde::{Deserialize, Serialize};

use self::act::{
    end_process, remove_address, remove_address6, remove_link, remove_route, remove_route6, remove_rule,
    remove_table, restore_master, restore_sysctl, set_down, set_up,
};
use crate::{
    neighbour::{firewalld, manager::restore_now},
    netlink::{Refusal, errno_text},
};

/// The inverse of one change to the system. Every inverse is idempotent: what is gone already is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Write `old` back into a file below `/proc/sys/`.
    Sysctl {
        /// The whole path, `/proc/sys/net/ipv4/conf/eth0/forwarding`.
        path: String,
        /// What it held, without the line end.
        old: String,
    },
    /// Remove an IPv4 address.
    Address {
        /// The interface, for messages.
        interface: IfName,
        /// Its index, which is what counts.
        index: u32,
        /// The address with its prefix length.
        address: Subnet4,
    },
    /// Remove an IPv6 address.
    Address6 {
        /// The interface, for messages.
        interface: IfName,
        /// Its index, which is what counts.
        index: u32,
        /// The address with its prefix length.
        address: Subnet6,
    },
    /// Remove an IPv6 route that we made.
    Route6 {
        /// Its destination.
        destination: Subnet6,
        /// Index of the interface it leads out of; 0 for one that refuses packets.
        index: u32,
    },
    /// Set an interface down again.
    LinkUp {
        /// The interface, for messages.
        interface: IfName,
        /// Its index, which is what counts.
        index: u32,
        /// It had never been up: its queueing discipline was `noop`, which the kernel replaces for good when
        /// an interface is set up.
        fresh: bool,
    },
    /// Set an interface up again that is down for a moment.
    LinkDown {
        /// The interface, for messages.
        interface: IfName,
        /// Its index, which is what counts.
        index: u32,
    },
    /// Remove an interface that we made.
    Link {
        /// Its name.
        name: IfName,
        /// Its index, or 0 when it is not known: before an interface is made it has none. Without an index
        /// whatever has the name is removed, so look first that nothing of another has it.
        index: u32,
    },
    /// Give an interface its old master back.
    BridgeMember {
        /// The interface, for messages.
        interface: IfName,
        /// Its index, which is what counts.
        index: u32,
        /// Index of the old master, 0 for none.
        master: u32,
    },
    /// Remove a route from a routing table of ours.
    Route {
        /// Of IPv6.
        ipv6: bool,
        /// Index of the interface it leads out by.
        index: u32,
        /// The table.
        table: u32,
        /// Where it leads; absent: the default route.
        network: Option<Subnet4>,
    },
    /// Remove a routing rule of ours.
    Rule {
        /// Of IPv6.
        ipv6: bool,
        /// What comes in by this interface meets it.
        interface: IfName,
        /// Which one.
        rule: RoutingRule,
    },
    /// Remove the firewall table `inet hostednet`.
    FirewallTable,
    /// Remove the table `inet hostednet_trace`.
    TraceTable,
    /// Have firewalld put an interface back into its zone, if it still is in ours.
    FirewalldZone {
        /// The interface.
        interface: IfName,
        /// The zone that we asked for.
        zone: String,
        /// Where it was; empty: in none.
        old: String,
    },
    /// Let NetworkManager manage an interface again. What it was asked for holds until it is taken back.
    Unmanaged {
        /// The interface.
        interface: IfName,
        /// The UUID of the profile that was active on it.
        profile: Option<String>,
    },
    /// End a process that we started.
    Process {
        /// Its id.
        pid: u32,
        /// When it started, field 22 of `/proc/PID/stat` ([`process_start_time`]); another process that has
        /// the id by now is left alone.
        start_time: u64,
    },
}

/// A routing rule of ours for what comes in by one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingRule {
    /// Nearer ways in the main table.
    Nearer,
    /// Our table for packets with this mark, or for all.
    Find(Option<u32>),
}

/// Names one record of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(u64);

/// The journal. Shared by the lanes of one platform on one thread as `Rc<UndoJournal>`.
#[derive(Debug)]
pub struct UndoJournal {
    state: RefCell<State>,
    path: PathBuf,
}

#[derive(Debug)]
struct State {
    file: File,
    header: String,
    next: u64,
    /// What has to be undone, oldest first.
    open: BTreeMap<u64, Undo>,
    /// Lines in the file behind its header.
    lines: usize,
    /// The end of the file may hold half a line.
    torn: bool,
}

/// One line of the file behind its checksum.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Do { id: u64, undo: Undo },
    Done { id: u64 },
}

/// Once so many lines are struck out, the file is written anew.
const SLACK: usize = 256;
/// A journal beyond this is not ours, in bytes.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;
/// The name of our table (design §3).
const TABLE: &str = "hostednet";

impl UndoJournal {
    /// Opens or makes the journal at `path`, mode 0600, and reads what an earlier process left.
    ///
    /// # Errors
    ///
    /// `Busy` when a living process holds the journal; otherwise what the file system says.
    pub fn open(path: &Path) -> Result<Self, DriverError> {
        let failed = |error: &io::Error| io_failure("open the undo journal", path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let cause = "another process of this service holds it";
                return Err(DriverError::new(
                    DriverErrorKind::Busy,
                    "open the undo journal",
                    path.display(),
                    cause,
                )
                .with_remedy("stop the other service, or give this one a state directory of its own"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let header = header().map_err(|error| failed(&error))?;
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(FILE_LIMIT).read_to_end(&mut text).map_err(|error| failed(&error))?;
        let found = parse(&text, &header);
        let state = State {
            file,
            header,
            next: found.next,
            open: found.open,
            lines: found.lines,
            torn: !found.whole,
        };
        let journal = Self { state: RefCell::new(state), path: path.to_owned() };
        if found.lines == 0 || !found.whole {
            journal.state.borrow_mut().rewrite().map_err(|error| failed(&error))?;
        }
        Ok(journal)
    }

    /// Writes down the inverse of a change that is about to be made.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the change must not be made then.
    pub fn record(&self, undo: Undo) -> Result<EntryId, DriverError> {
        let mut state = self.state.borrow_mut();
        let id = state.next;
        state.append([(id, undo)].into()).map_err(|error| self.write_failure(&error))?;
        Ok(EntryId(id))
    }

    /// The same for several changes, in the order in which they are going to be made, with one write.
    ///
    /// # Errors
    ///
    /// When they cannot be written; none of the changes must be made then.
    pub fn record_all(&self, undos: impl IntoIterator<Item = Undo>) -> Result<Vec<EntryId>, DriverError> {
        let mut state = self.state.borrow_mut();
        let entries: BTreeMap<u64, Undo> = (state.next..).zip(undos).collect();
        let ids = entries.keys().copied().map(EntryId).collect();
        if !entries.is_empty() {
            state.append(entries).map_err(|error| self.write_failure(&error))?;
        }
        Ok(ids)
    }

    /// Strikes out a record: the change was undone, or was never made. A record that is struck out already is
    /// not an error; a failing write is logged, because an idempotent inverse may run once more.
    pub fn done(&self, id: EntryId) {
        self.done_all([id]);
    }

    /// Strikes out several records with one write.
    pub fn done_all(&self, ids: impl IntoIterator<Item = EntryId>) {
        if let Err(error) = self.state.borrow_mut().strike(ids.into_iter().map(|id| id.0)) {
            tracing::warn!(%error, path = %self.path.display(), "the undo journal cannot be written");
        }
    }

    /// Runs the inverse of one record and strikes it out. The way a lane undoes what it did, for whatever needs
    /// nothing more than the recorded inverse.
    ///
    /// # Errors
    ///
    /// What the system answered; the record stays then.
    pub fn undo(&self, id: EntryId) -> Result<(), DriverError> {
        let Some(undo) = self.state.borrow().open.get(&id.0).cloned() else { return Ok(()) };
        undo.run()?;
        self.done(id);
        Ok(())
    }

    /// The records that stand, oldest first.
    pub fn pending(&self) -> Vec<(EntryId, Undo)> {
        self.state.borrow().open.iter().map(|(id, undo)| (EntryId(*id), undo.clone())).collect()
    }

    /// Undoes everything that stands, newest first, and strikes out what succeeded. Goes to the end whatever
    /// fails on the way and returns what did; that is tried again by the next replay.
    pub fn replay(&self) -> Vec<DriverError> {
        let pending = self.pending();
        let mut struck = Vec::new();
        let mut failures = Vec::new();
        for (id, undo) in pending.into_iter().rev() {
            match undo.run() {
                Ok(()) => {
                    tracing::info!(?undo, "undid what an earlier run left behind");
                    struck.push(id);
                }
                // A program that is away is asked when it is back; nothing of ours is left but its note.
                Err(error)
                    if error.kind == DriverErrorKind::Gone && matches!(undo, Undo::Unmanaged { .. }) =>
                {
                    tracing::info!(?undo, %error, "left for later");
                }
                Err(error) => {
                    tracing::warn!(?undo, %error, "cannot undo what an earlier run left behind");
                    failures.push(error);
                }
            }
        }
        self.done_all(struck);
        failures
    }

    fn write_failure(&self, error: &io::Error) -> DriverError {
        io_failure("write the undo journal", &self.path, error)
    }
}

impl State {
    fn append(&mut self, entries: BTreeMap<u64, Undo>) -> io::Result<()> {
        let mut text = String::new();
        for (id, undo) in &entries {
            text.push_str(&encode(&Line::Do { id: *id, undo: undo.clone() })?);
        }
        self.write(&text, entries.len())?;
        self.next = entries.keys().next_back().map_or(self.next, |id| id + 1);
        self.open.extend(entries);
        Ok(())
    }

    fn strike(&mut self, ids: impl Iterator<Item = u64>) -> io::Result<()> {
        let struck: Vec<u64> = ids.filter(|id| self.open.remove(id).is_some()).collect();
        if struck.is_empty() {
            return Ok(());
        }
        if self.open.is_empty() || self.lines > self.open.len() + SLACK {
            return self.rewrite();
        }
        let mut text = String::new();
        for id in &struck {
            text.push_str(&encode(&Line::Done { id: *id })?);
        }
        self.write(&text, struck.len())
    }

    /// Appends whole lines.
    fn write(&mut self, text: &str, lines: usize) -> io::Result<()> {
        if self.torn {
            self.rewrite()?;
        }
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.lines += lines;
        Ok(())
    }

    /// Writes the file anew with what stands. Shorter text is written over longer text and then cut, so that
    /// a process that is killed in between leaves a file whose records all still hold: records behind the cut are
    /// idempotent and carry their own checksum.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = format!("{}\n", self.header);
        for (id, undo) in &self.open {
            text.push_str(&encode(&Line::Do { id: *id, undo: undo.clone() })?);
        }
        // A line end first: what follows begins a line, whatever half a line it cuts.
        text.push('\n');
        self.torn = true;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)?;
        self.torn = false;
        self.lines = self.open.len();
        Ok(())
    }
}

/// What a file holds.
struct Found {
    open: BTreeMap<u64, Undo>,
    next: u64,
    lines: usize,
    /// Every line was understood and the last one is complete.
    whole: bool,
}

/// Reads a journal. Lines that are torn or damaged are passed over: what can be undone is undone.
fn parse(bytes: &[u8], header: &str) -> Found {
    let mut found = Found { open: BTreeMap::new(), next: 1, lines: 0, whole: true };
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if lines.next() != Some(header.as_bytes()) {
        return found;
    }
    found.whole = bytes.ends_with(b"\n");
    for line in lines.filter(|line| !line.is_empty()) {
        found.lines += 1;
        match decode(line) {
            Some(Line::Do { id, undo }) => {
                found.next = found.next.max(id.saturating_add(1));
                found.open.insert(id, undo);
            }
            Some(Line::Done { id }) => {
                found.open.remove(&id);
            }
            None => {
                found.whole = false;
                tracing::warn!("a line of the undo journal is damaged and passed over");
            }
        }
    }
    found
}

fn encode(line: &Line) -> io::Result<String> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", checksum(json.as_bytes())))
}

fn decode(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if sum != checksum(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// CRC-32 (IEEE 802.3), bit by bit: the lines are short and few.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
            },
        )
    })
}

/// The first line of a journal of this boot and this network namespace.
fn header() -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = std::fs::metadata("/proc/thread-self/ns/net")?;
    Ok(format!("hostednet-undo 1 {} {}:{}", boot.trim(), namespace.dev(), namespace.ino()))
}

/// When the process started, in clock ticks since the boot: field 22 of `/proc/PID/stat`. With the id it names a
/// process for good. `None` when there is no such process.
pub fn process_start_time(pid: u32) -> Option<u64> {
    parse_start_time(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program (field 2) may hold anything, so fields are counted from its last parenthesis.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end.checked_add(1)?..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl Undo {
    /// Carries the inverse out. What is gone already counts as undone.
    ///
    /// # Errors
    ///
    /// What the system answered.
    pub fn run(&self) -> Result<(), DriverError> {
        match self {
            Self::Sysctl { path, old } => restore_sysctl(path, old),
            Self::Address { interface, index, address } => {
                remove_address(*index, *address).map_err(|refusal| {
                    driver_error("remove the address", format!("{address} on {interface}"), &refusal)
                })
            }
            Self::Address6 { interface, index, address } => {
                remove_address6(*index, *address).map_err(|refusal| {
                    driver_error("remove the address", format!("{address} on {interface}"), &refusal)
                })
            }
            Self::Route6 { destination, index } => remove_route6(*destination, *index)
                .map_err(|refusal| driver_error("remove the route", destination, &refusal)),
            Self::LinkUp { interface, index, fresh } => set_down(*index, *fresh)
                .map_err(|refusal| driver_error("set the interface down", interface, &refusal)),
            Self::LinkDown { interface, index } => {
                set_up(*index).map_err(|refusal| driver_error("set the interface up", interface, &refusal))
            }
            Self::Link { name, index } => remove_link(*name, *index)
                .map_err(|refusal| driver_error("remove the interface", name, &refusal)),
            Self::BridgeMember { interface, index, master } => restore_master(*index, *master)
                .map_err(|refusal| driver_error("give the interface its old master", interface, &refusal)),
            Self::FirewalldZone { interface, zone, old } => firewalld::undo(*interface, zone, old),
            Self::Route { ipv6, index, table, network } => remove_route(*ipv6, *index, *table, *network)
                .map_err(|refusal| driver_error("remove the way out of devices", index, &refusal)),
            Self::Rule { ipv6, interface, rule } => remove_rule(*ipv6, *interface, *rule)
                .map_err(|refusal| driver_error("remove the routing rule", interface, &refusal)),
            Self::FirewallTable => remove_table(TABLE)
                .map_err(|refusal| driver_error("remove the firewall table", "inet hostednet", &refusal)),
            Self::TraceTable => remove_table(TRACE_TABLE)
                .map_err(|refusal| driver_error("remove the table of a trace", TRACE_TABLE, &refusal)),
            Self::Unmanaged { interface, profile } => restore_now(*interface, profile.as_deref()),
            Self::Process { pid, start_time } => end_process(*pid, *start_time)
                .map_err(|error| io_failure("end the process", Path::new(&pid.to_string()), &error)),
        }
    }
}

/// A refusal of the kernel as the error of a driver.
pub(crate) fn driver_error(op: &str, target: impl std::fmt::Display, refusal: &Refusal) -> DriverError {
    DriverError::new(errno_kind(refusal.errno), op, target, refusal.cause()).with_errno(refusal.errno)
}

/// A failed file operation as the error of a driver.
pub(crate) fn io_failure(op: &str, path: &Path, error: &io::Error) -> DriverError {
    match error.raw_os_error() {
        Some(errno) => {
            DriverError::new(errno_kind(errno), op, path.display(), errno_text(errno)).with_errno(errno)
        }
        None => DriverError::new(DriverErrorKind::Io, op, path.display(), error),
    }
}

/// The class of an errno.
pub(crate) const fn errno_kind(errno: i32) -> DriverErrorKind {
    match errno {
        libc::EBUSY | libc::EADDRINUSE | libc::EEXIST => DriverErrorKind::Busy,
        libc::EPERM | libc::EACCES | libc::EROFS => DriverErrorKind::Denied,
        libc::ENODEV | libc::ENOENT | libc::ENXIO | libc::EADDRNOTAVAIL | libc::ESRCH => {
            DriverErrorKind::Gone
        }
        libc::EINVAL | libc::ERANGE | libc::ENAMETOOLONG => DriverErrorKind::Invalid,
        libc::ETIMEDOUT => DriverErrorKind::Timeout,
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOSYS => {
            DriverErrorKind::Unsupported
        }
        _ => DriverErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn sysctl(name: &str) -> Undo {
        Undo::Sysctl { path: format!("/proc/sys/net/{name}"), old: "0".into() }
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("undo.journal");
        (folder, path)
    }

    fn undos(journal: &UndoJournal) -> Vec<Undo> {
        journal.pending().into_iter().map(|(_, undo)| undo).collect()
    }

    #[test]
    fn what_was_recorded_and_not_struck_out_is_found_by_the_next_process() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        let first = journal.record(sysctl("a")).expect("writes");
        let _ = journal.record_all([sysctl("b"), Undo::FirewallTable]).expect("writes");
        journal.done(first);
        drop(journal);
        let journal = UndoJournal::open(&path).expect("opens");
        assert_eq!(undos(&journal), [sysctl("b"), Undo::FirewallTable]);
        let next = journal.record(sysctl("c")).expect("writes");
        assert!(journal.pending().iter().filter(|(id, _)| *id == next).count() == 1);
    }

    #[test]
    fn only_root_reads_it_and_only_one_process_holds_it() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        assert_eq!(std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(UndoJournal::open(&path).expect_err("is held").kind, DriverErrorKind::Busy);
        drop(journal);
        assert!(UndoJournal::open(&path).is_ok());
    }

    #[test]
    fn an_empty_journal_is_short_again() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        let short = std::fs::metadata(&path).expect("is there").len();
        let ids = journal.record_all((0..100).map(|n| sysctl(&n.to_string()))).expect("writes");
        assert!(std::fs::metadata(&path).expect("is there").len() > 100 * 20);
        journal.done_all(ids);
        assert_eq!(std::fs::metadata(&path).expect("is there").len(), short);
    }

    #[test]
    fn a_long_life_does_not_grow_the_file_without_end() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        let kept = journal.record(sysctl("kept")).expect("writes");
        for _ in 0..2000 {
            let id = journal.record(sysctl("passing")).expect("writes");
            journal.done(id);
        }
        assert!(std::fs::metadata(&path).expect("is there").len() < 64 * 1024);
        drop(journal);
        let journal = UndoJournal::open(&path).expect("opens");
        assert_eq!(journal.pending(), [(kept, sysctl("kept"))]);
    }

    #[test]
    fn records_of_another_boot_are_void() {
        let (_folder, path) = scratch();
        let _ = UndoJournal::open(&path).expect("opens").record(sysctl("a")).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        let (_, records) = text.split_once('\n').expect("has a header");
        let other = "hostednet-undo 1 00000000-0000-0000-0000-000000000000 4:1";
        std::fs::write(&path, format!("{other}\n{records}")).expect("writes");
        assert_eq!(undos(&UndoJournal::open(&path).expect("opens")), []);
    }

    #[test]
    fn a_torn_tail_costs_only_the_record_that_was_torn() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        let _ = journal.record_all([sysctl("a"), sysctl("b")]).expect("writes");
        drop(journal);
        let text = std::fs::read(&path).expect("reads");
        for cut in 1..40 {
            std::fs::write(&path, text.get(..text.len() - cut).expect("long enough")).expect("writes");
            let journal = UndoJournal::open(&path).expect("opens");
            // Without its line end the last record is still whole.
            let expected = if cut == 1 { vec![sysctl("a"), sysctl("b")] } else { vec![sysctl("a")] };
            assert_eq!(undos(&journal), expected);
            let _ = journal.record(sysctl("c")).expect("writes");
            drop(journal);
            assert_eq!(
                undos(&UndoJournal::open(&path).expect("opens")),
                [expected, vec![sysctl("c")]].concat(),
                "what follows a torn record is read"
            );
        }
    }

    #[test]
    fn what_cannot_be_undone_is_named_and_kept() {
        let (_folder, path) = scratch();
        let journal = UndoJournal::open(&path).expect("opens");
        let bad = Undo::Sysctl { path: "/proc/sys/../../etc/passwd".into(), old: "x".into() };
        let gone =
            Undo::Sysctl { path: "/proc/sys/net/ipv4/conf/hn-none/forwarding".into(), old: "0".into() };
        let _ = journal.record_all([bad.clone(), gone]).expect("writes");
        let failures = journal.replay();
        assert_eq!(
            failures.iter().map(|failure| failure.kind).collect::<Vec<_>>(),
            [DriverErrorKind::Invalid]
        );
        assert_eq!(undos(&journal), [bad]);
    }

    #[test]
    fn a_process_is_ended_only_while_it_is_the_same_one() {
        let mut child =
            std::process::Command::new("sleep").arg("1000").spawn().expect("sleep is on every machine");
        let start_time = process_start_time(child.id()).expect("it runs");
        Undo::Process { pid: child.id(), start_time: start_time + 1 }.run().expect("leaves it alone");
        assert!(child.try_wait().expect("asks").is_none());
        Undo::Process { pid: child.id(), start_time }.run().expect("ends it");
        assert!(!child.wait().expect("waits").success());
        Undo::Process { pid: child.id(), start_time }.run().expect("is gone already");
    }

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let stat = b"42 (a) b (c) S 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_start_time(stat), Some(777));
        assert_eq!(parse_start_time(b""), None);
    }

    proptest! {
        #[test]
        fn no_file_breaks_the_reader(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), headed: bool) {
            if headed {
                bytes.splice(0..0, *b"h\n");
            }
            let found = parse(&bytes, "h");
            prop_assert!(found.lines >= found.open.len());
        }

        #[test]
        fn any_damage_to_a_line_is_noticed(at in 0usize..60, bit in 0u32..8) {
            let line = encode(&Line::Do { id: 7, undo: sysctl("ipv4/conf/eth0/forwarding") }).expect("encodes");
            let mut bytes = line.trim_end().as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            // The case of a hexadecimal digit says nothing.
            if !bytes.eq_ignore_ascii_case(line.trim_end().as_bytes()) || at > 8 {
                prop_assert!(decode(&bytes).is_none());
            }
        }
    }
}
