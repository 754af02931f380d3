//! The forwarding lane: `net.ipv4.conf.IF.forwarding`, one interface at a time, and IPv6.
//!
//! The global switch `net.ipv4.ip_forward` is never touched: the kernel asks the interface a packet came in by. Writing
//! the value of one interface changes no other sysctl. (The kernel also takes large-receive offload off an
//! interface that begins to forward and does not put it back; such packets could not be forwarded.)
//!
//! Every value is written down in the journal before it is changed. An interface on which forwarding is on
//! already is left alone, then and afterwards.

mod ipv6;
mod loose;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use hn_ports::{Changed, Forwarding};
use hn_types::{DriverError, DriverErrorKind, IfName, plan::ForwardingPlan};

use self::{ipv6::Ipv6, loose::Loose};
use crate::undo::{EntryId, Undo, UndoJournal};

const ON: &str = "1";

/// The forwarding lane of Linux.
#[derive(Debug)]
pub struct LinuxForwarding {
    journal: Rc<UndoJournal>,
    /// `/proc/sys/net/ipv4/conf`.
    folder: PathBuf,
    /// Interfaces on which we turned forwarding on.
    held: BTreeMap<IfName, Held>,
    ipv6: Ipv6,
    loose: Loose,
}

/// What restoring needs.
#[derive(Debug)]
struct Held {
    entry: EntryId,
    old: String,
    /// The value of `net.ipv4.conf.all.forwarding` at that time.
    all: Option<String>,
}

impl LinuxForwarding {
    /// A lane that writes old values down in `journal`.
    pub fn new(journal: Rc<UndoJournal>) -> Self {
        Self::below(Path::new("/proc/sys/net"), journal)
    }

    fn below(folder: &Path, journal: Rc<UndoJournal>) -> Self {
        let ipv6 = Ipv6::below(&folder.join("ipv6/conf"), Rc::clone(&journal));
        let folder = folder.join("ipv4/conf");
        let loose = Loose::below(&folder, Rc::clone(&journal));
        Self { journal, folder, held: BTreeMap::new(), ipv6, loose }
    }

    fn path(&self, interface: &str) -> PathBuf {
        self.folder.join(interface).join("forwarding")
    }

    fn all(&self) -> Option<String> {
        read(&self.path("all")).ok()
    }

    /// Turns forwarding on; `false` if it was.
    fn hold(&mut self, interface: IfName) -> Result<bool, DriverError> {
        let path = self.path(interface.as_str());
        let failed = |error| failure("turn forwarding on", interface, &error);
        let old = read(&path).map_err(failed)?;
        if old == ON {
            return Ok(false);
        }
        if !self.held.contains_key(&interface) {
            let undo = Undo::Sysctl { path: path.to_string_lossy().into_owned(), old: old.clone() };
            let entry = self.journal.record(undo)?;
            let all = self.all();
            self.held.insert(interface, Held { entry, old, all });
        }
        fs::write(&path, ON).map_err(failed)?;
        Ok(true)
    }

    /// Restores the old value; `false` if nothing had to be written.
    fn release(&mut self, interface: IfName) -> Result<bool, DriverError> {
        let Some(held) = self.held.get(&interface) else { return Ok(false) };
        let path = self.path(interface.as_str());
        let failed = |error| failure("restore forwarding", interface, &error);
        // Somebody (a container engine) has since turned forwarding on for the whole machine: it is no longer
        // on because of us, and turning it off would cut off what relies on it.
        let taken_over = held.all.as_deref() != Some(ON) && self.all().as_deref() == Some(ON);
        let written = match read(&path) {
            Ok(value) if value == held.old || taken_over => false,
            Ok(_) => match fs::write(&path, &held.old) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                written => written.map(|()| true).map_err(failed)?,
            },
            // The interface is gone, and its value with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        if let Some(held) = self.held.remove(&interface) {
            self.journal.done(held.entry);
        }
        Ok(written)
    }
}

impl Forwarding for LinuxForwarding {
    async fn apply(&mut self, plan: &ForwardingPlan) -> Result<Changed, DriverError> {
        let unwanted: Vec<IfName> =
            self.held.keys().copied().filter(|held| !plan.ipv4.contains(held)).collect();
        let missing: Vec<IfName> =
            plan.ipv4.iter().copied().filter(|wanted| !self.held.contains_key(wanted)).collect();
        let before = self.ipv6.plan();
        let mut changed = self.ipv6.apply(plan.ipv6)?;
        changed |= self.loose.apply(&plan.loose)?;
        let mut failed = None;
        // What may fail for reasons of the plan comes first, while nothing has been given up.
        for interface in &plan.ipv4 {
            match self.hold(*interface) {
                Ok(written) => changed |= written,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // The new state cannot be had: back to the old one.
        let release = if failed.is_some() { missing } else { unwanted };
        for interface in release {
            match self.release(interface) {
                Ok(written) => changed |= written,
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) => {
                // What was said first is what went wrong.
                let _ = self.ipv6.apply(before);
                Err(error)
            }
            None if changed => Ok(Changed::Yes),
            None => Ok(Changed::No),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

fn failure(op: &str, interface: IfName, error: &io::Error) -> DriverError {
    let errno = error.raw_os_error();
    let (kind, remedy) = match errno {
        Some(libc::ENOENT) => (DriverErrorKind::Gone, ""),
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            (DriverErrorKind::Denied, "run the service as root, with /proc/sys/net writable")
        }
        Some(_) | None => (DriverErrorKind::Io, ""),
    };
    let target = format!("net.ipv4.conf.{interface}.forwarding");
    let cause = errno.map_or_else(|| error.to_string(), crate::netlink::errno_text);
    let error = DriverError::new(kind, op, target, cause).with_remedy(remedy);
    match errno {
        Some(errno) => error.with_errno(errno),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A folder that looks like `/proc/sys/net/ipv4/conf`.
    struct Machine {
        _folder: tempfile::TempDir,
        journal: Rc<UndoJournal>,
        lane: LinuxForwarding,
    }

    impl Machine {
        fn new(values: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = Rc::new(UndoJournal::open(&folder.path().join("undo")).unwrap());
            let lane = LinuxForwarding::below(folder.path(), Rc::clone(&journal));
            let machine = Self { _folder: folder, journal, lane };
            for (interface, value) in values {
                fs::create_dir_all(machine.lane.folder.join(interface)).unwrap();
                machine.set(interface, value);
            }
            machine
        }

        fn set(&self, interface: &str, value: &str) {
            fs::write(self.lane.folder.join(interface).join("forwarding"), format!("{value}\n")).unwrap();
        }

        fn value(&self, interface: &str) -> String {
            read(&self.lane.path(interface)).unwrap()
        }

        fn apply(&mut self, interfaces: &[&str]) -> Result<Changed, DriverError> {
            let ipv4 = interfaces.iter().map(|name| name.parse().expect("valid")).collect();
            runtime().block_on(self.lane.apply(&ForwardingPlan { ipv4, ..ForwardingPlan::default() }))
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    #[test]
    fn old_values_come_back_and_nothing_stays_in_the_journal() {
        let mut machine = Machine::new(&[("all", "0"), ("eth0", "0"), ("hnap0", "0"), ("docker0", "1")]);
        assert_eq!(machine.apply(&["eth0", "hnap0", "docker0"]), Ok(Changed::Yes));
        assert_eq!(machine.apply(&["eth0", "hnap0", "docker0"]), Ok(Changed::No));
        assert_eq!((machine.value("eth0"), machine.value("hnap0")), ("1".into(), "1".into()));
        assert_eq!(machine.journal.pending().len(), 2);
        assert_eq!(machine.apply(&[]), Ok(Changed::Yes));
        assert_eq!((machine.value("eth0"), machine.value("hnap0")), ("0".into(), "0".into()));
        assert_eq!(machine.value("docker0"), "1");
        assert!(machine.journal.pending().is_empty());
    }

    #[test]
    fn an_interface_that_is_missing_leaves_the_old_state_behind() {
        let mut machine = Machine::new(&[("all", "0"), ("eth0", "0"), ("hnap0", "0")]);
        assert_eq!(machine.apply(&["hnap0"]), Ok(Changed::Yes));
        let error = machine.apply(&["eth0", "wwan0"]).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Gone);
        assert_eq!(error.target, "net.ipv4.conf.wwan0.forwarding");
        assert_eq!((machine.value("eth0"), machine.value("hnap0")), ("0".into(), "1".into()));
        assert_eq!(machine.journal.pending().len(), 1);
    }

    #[test]
    fn an_interface_that_is_gone_needs_no_restoring() {
        let mut machine = Machine::new(&[("all", "0"), ("hnap0", "0")]);
        assert_eq!(machine.apply(&["hnap0"]), Ok(Changed::Yes));
        fs::remove_dir_all(machine.lane.folder.join("hnap0")).unwrap();
        assert_eq!(machine.apply(&[]), Ok(Changed::No));
        assert!(machine.journal.pending().is_empty());
    }

    #[test]
    fn an_interface_that_was_created_again_forwards_again() {
        let mut machine = Machine::new(&[("all", "0"), ("hnap0", "0")]);
        assert_eq!(machine.apply(&["hnap0"]), Ok(Changed::Yes));
        machine.set("hnap0", "0");
        assert_eq!(machine.apply(&["hnap0"]), Ok(Changed::Yes));
        assert_eq!(machine.journal.pending().len(), 1);
        assert_eq!(machine.value("hnap0"), "1");
    }

    #[test]
    fn forwarding_that_another_program_turned_on_for_all_stays_on() {
        let mut machine = Machine::new(&[("all", "0"), ("eth0", "0")]);
        assert_eq!(machine.apply(&["eth0"]), Ok(Changed::Yes));
        machine.set("all", "1");
        assert_eq!(machine.apply(&[]), Ok(Changed::No));
        assert_eq!(machine.value("eth0"), "1");
        assert!(machine.journal.pending().is_empty());
    }
}
