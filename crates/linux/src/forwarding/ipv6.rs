//! Forwarding of IPv6, which is another matter than that of IPv4.
//!
//! The kernel forwards a packet if the whole machine does (`all.forwarding`) or, since Linux 6.17, if the interface
//! it came in by does (`IF.force_forwarding`). Where there is the latter, only that is used. Where there is not,
//! `all.forwarding` has to be turned on, which also makes every interface a router's; they are given their own
//! values back at once, so that they stay hosts.
//!
//! `IF.forwarding` of the private interface is what makes this host a router for its devices: it says so when they
//! ask who has its address, and they forget a router that does not.
//!
//! Whenever forwarding is turned on anywhere, the kernel throws away the routes it learned from routers on
//! *every* interface, unless `accept_ra` there is 2. So it is 2 for the blink of an eye in which a switch is turned.

use std::{
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use hn_types::{DriverError, DriverErrorKind, IfName, plan::Forwarding6};

use super::{ON, read};
use crate::undo::{EntryId, Undo, UndoJournal, errno_kind};

const OFF: &str = "0";

/// The IPv6 part of the lane.
#[derive(Debug)]
pub(super) struct Ipv6 {
    journal: Rc<UndoJournal>,
    /// `/proc/sys/net/ipv6/conf`.
    folder: PathBuf,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    plan: Forwarding6,
    /// What was changed, in the order in which it was.
    switches: Vec<Switch>,
    /// The machine forwarded already.
    router: bool,
    /// The whole machine was made to forward.
    whole: bool,
}

/// A changed sysctl.
#[derive(Debug)]
struct Switch {
    entry: EntryId,
    path: PathBuf,
    old: String,
}

impl Ipv6 {
    pub(super) fn below(folder: &Path, journal: Rc<UndoJournal>) -> Self {
        Self { journal, folder: folder.to_owned(), held: None }
    }

    /// What holds.
    pub(super) fn plan(&self) -> Option<Forwarding6> {
        self.held.as_ref().map(|held| held.plan)
    }

    /// Brings it to `wanted`; whether anything had to be written. After an error nothing holds.
    pub(super) fn apply(&mut self, wanted: Option<Forwarding6>) -> Result<bool, DriverError> {
        let Some(wanted) = wanted else { return self.release() };
        if self.plan() == Some(wanted) && self.stands(wanted) {
            return Ok(false);
        }
        self.release()?;
        match self.hold(wanted) {
            Ok(()) => Ok(true),
            Err(error) => {
                // The first error is the one to tell.
                let _ = self.release();
                Err(error)
            }
        }
    }

    fn path(&self, interface: &str, switch: &str) -> PathBuf {
        self.folder.join(interface).join(switch)
    }

    fn value(&self, interface: &str, switch: &str) -> Option<String> {
        read(&self.path(interface, switch)).ok()
    }

    fn is_on(&self, interface: &str, switch: &str) -> bool {
        self.value(interface, switch).as_deref() == Some(ON)
    }

    /// Whether everything still is as it was made; an interface that was made anew is not.
    fn stands(&self, plan: Forwarding6) -> bool {
        let passes = |interface: IfName| {
            self.is_on("all", "forwarding") || self.is_on(interface.as_str(), "force_forwarding")
        };
        passes(plan.private) && passes(plan.public) && self.is_on(plan.private.as_str(), "forwarding")
    }

    fn hold(&mut self, plan: Forwarding6) -> Result<(), DriverError> {
        let router = self.is_on("all", "forwarding");
        self.held = Some(Held { plan, switches: Vec::new(), router, whole: false });
        if !router {
            if self.value(plan.private.as_str(), "force_forwarding").is_some() {
                for interface in [plan.private, plan.public] {
                    let path = self.path(interface.as_str(), "force_forwarding");
                    self.note(&path)?;
                    write(&path, ON)?;
                }
            } else {
                self.hold_whole()?;
            }
        }
        let own = self.path(plan.private.as_str(), "forwarding");
        if read(&own).map_err(|error| failure(&own, &error))? != ON {
            self.note(&own)?;
            self.keeping_routes(|| write(&own, ON))?;
        }
        Ok(())
    }

    /// Makes the whole machine forward, and its interfaces no routers.
    fn hold_whole(&mut self) -> Result<(), DriverError> {
        // Undone last first: turning `all` off turns everything off, and then these come back on.
        for (name, value) in self.interfaces() {
            if name == "default" || value == ON {
                self.note(&self.path(&name, "forwarding"))?;
            }
        }
        let all = self.path("all", "forwarding");
        self.note(&all)?;
        if let Some(held) = &mut self.held {
            held.whole = true;
        }
        self.turn_whole(ON)
    }

    /// Writes `all.forwarding` and gives every interface the value back that it had.
    fn turn_whole(&self, value: &str) -> Result<(), DriverError> {
        let before = self.interfaces();
        self.keeping_routes(|| {
            write(&self.path("all", "forwarding"), value)?;
            for (name, value) in &before {
                let path = self.path(name, "forwarding");
                if read(&path).is_ok_and(|found| found != *value) {
                    write(&path, value)?;
                }
            }
            Ok(())
        })
    }

    /// Everything that has a `forwarding` of its own, with its value; `default` is one of them.
    fn interfaces(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| name != "all")
            .filter_map(|name| self.value(&name, "forwarding").map(|value| (name, value)))
            .collect()
    }

    /// Runs `turn`, which turns forwarding on somewhere, without the loss of what routers have told.
    fn keeping_routes(&self, turn: impl FnOnce() -> Result<(), DriverError>) -> Result<(), DriverError> {
        let listening = self
            .interfaces()
            .into_iter()
            .filter(|(name, forwarding)| forwarding == OFF && self.is_on(name, "accept_ra"))
            .map(|(name, _)| self.path(&name, "accept_ra"));
        let listening: Vec<PathBuf> = listening.collect();
        let undo = |path: &PathBuf| Undo::Sysctl { path: text(path), old: ON.into() };
        let entries = self.journal.record_all(listening.iter().map(undo))?;
        let mut result = listening.iter().try_for_each(|path| write(path, "2"));
        if result.is_ok() {
            result = turn();
        }
        for (path, entry) in listening.iter().zip(entries) {
            match write(path, ON) {
                Ok(()) => self.journal.done(entry),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Writes down what a switch was.
    fn note(&mut self, path: &Path) -> Result<(), DriverError> {
        let old = read(path).map_err(|error| failure(path, &error))?;
        let entry = self.journal.record(Undo::Sysctl { path: text(path), old: old.clone() })?;
        if let Some(held) = &mut self.held {
            held.switches.push(Switch { entry, path: path.to_owned(), old });
        }
        Ok(())
    }

    /// Restores everything; `false` if nothing was held.
    fn release(&mut self) -> Result<bool, DriverError> {
        let Some(mut held) = self.held.take() else { return Ok(false) };
        // Somebody has since made the whole machine a router: that is no longer because of us, and turning
        // it off would cut off what relies on it. Whoever does it does it for interfaces to come, too.
        let sign = if held.whole { "default" } else { "all" };
        let was_on = held
            .switches
            .iter()
            .any(|switch| switch.path == self.path(sign, "forwarding") && switch.old == ON);
        let taken_over = !held.router && !was_on && self.is_on(sign, "forwarding");
        let all = self.path("all", "forwarding");
        let mut failed = None;
        while let Some(switch) = held.switches.pop() {
            let by_kernel = switch.path.ends_with("forwarding");
            let result = match read(&switch.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(failure(&switch.path, &error)),
                Ok(value) if value == switch.old || (taken_over && by_kernel) => Ok(()),
                Ok(_) if switch.path == all => self.turn_whole(&switch.old),
                Ok(_) if switch.old == OFF => write(&switch.path, &switch.old),
                Ok(_) => self.keeping_routes(|| write(&switch.path, &switch.old)),
            };
            match result {
                Ok(()) => self.journal.done(switch.entry),
                Err(error) => {
                    held.switches.push(switch);
                    failed = Some(error);
                    break;
                }
            }
        }
        match failed {
            Some(error) => {
                self.held = Some(held);
                Err(error)
            }
            None => Ok(true),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An interface that is gone has nothing to be written.
fn write(path: &Path, value: &str) -> Result<(), DriverError> {
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && value != ON => Ok(()),
        written => written.map_err(|error| failure(path, &error)),
    }
}

fn failure(path: &Path, error: &io::Error) -> DriverError {
    let name: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    let name: Vec<_> = name.iter().rev().map(AsRef::as_ref).collect();
    let target = format!("net.ipv6.conf.{}", name.join("."));
    let op = "change the forwarding of IPv6";
    let Some(errno) = error.raw_os_error() else {
        return DriverError::new(DriverErrorKind::Io, op, target, error);
    };
    let kind = errno_kind(errno);
    let remedy = if kind == DriverErrorKind::Denied {
        "run the service as root, with /proc/sys/net writable"
    } else {
        ""
    };
    DriverError::new(kind, op, target, crate::netlink::errno_text(errno))
        .with_remedy(remedy)
        .with_errno(errno)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A folder that looks like `/proc/sys/net/ipv6/conf`, but is as dumb as a folder.
    struct Machine {
        folder: tempfile::TempDir,
        journal: Rc<UndoJournal>,
        ipv6: Ipv6,
    }

    const PLAN: fn() -> Forwarding6 =
        || Forwarding6 { private: "hnap0".parse().unwrap(), public: "eth0".parse().unwrap() };

    impl Machine {
        fn new(switches: &[(&str, &str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = Rc::new(UndoJournal::open(&folder.path().join("undo")).unwrap());
            let ipv6 = Ipv6::below(&folder.path().join("conf"), Rc::clone(&journal));
            let machine = Self { folder, journal, ipv6 };
            for (interface, switch, value) in switches {
                fs::create_dir_all(machine.folder.path().join("conf").join(interface)).unwrap();
                machine.set(interface, switch, value);
            }
            machine
        }

        fn set(&self, interface: &str, switch: &str, value: &str) {
            fs::write(self.ipv6.path(interface, switch), format!("{value}\n")).unwrap();
        }

        fn all_values(&self) -> Vec<String> {
            let mut values = Vec::new();
            for interface in fs::read_dir(self.folder.path().join("conf")).unwrap() {
                for switch in fs::read_dir(interface.unwrap().path()).unwrap() {
                    let path = switch.unwrap().path();
                    values.push(format!("{}={}", path.display(), read(&path).unwrap()));
                }
            }
            values.sort();
            values
        }
    }

    const OLD_KERNEL: &[(&str, &str, &str)] = &[
        ("all", "forwarding", "0"),
        ("default", "forwarding", "0"),
        ("eth0", "forwarding", "0"),
        ("eth0", "accept_ra", "1"),
        ("hnap0", "forwarding", "0"),
        ("hnap0", "accept_ra", "1"),
        ("lxc0", "forwarding", "1"),
        ("lxc0", "accept_ra", "1"),
    ];

    #[test]
    fn a_kernel_with_a_switch_of_each_interface_is_not_made_a_router() {
        let forced = [("eth0", "force_forwarding", "0"), ("hnap0", "force_forwarding", "0")];
        let mut machine = Machine::new(&[OLD_KERNEL, &forced].concat());
        let before = machine.all_values();
        assert_eq!(machine.ipv6.apply(Some(PLAN())), Ok(true));
        assert_eq!(machine.ipv6.apply(Some(PLAN())), Ok(false));
        assert!(!machine.ipv6.is_on("all", "forwarding") && !machine.ipv6.is_on("eth0", "forwarding"));
        assert!(machine.ipv6.is_on("hnap0", "forwarding"));
        assert!(machine.ipv6.is_on("eth0", "force_forwarding"));
        assert!(machine.ipv6.is_on("eth0", "accept_ra"), "it listens to routers as before");
        assert_eq!(machine.ipv6.apply(None), Ok(true));
        assert_eq!(machine.all_values(), before);
        assert!(machine.journal.pending().is_empty());
    }

    #[test]
    fn an_older_kernel_is_made_a_router_and_its_interfaces_are_not() {
        let mut machine = Machine::new(OLD_KERNEL);
        let before = machine.all_values();
        assert_eq!(machine.ipv6.apply(Some(PLAN())), Ok(true));
        assert!(machine.ipv6.is_on("all", "forwarding") && machine.ipv6.is_on("hnap0", "forwarding"));
        assert!(!machine.ipv6.is_on("eth0", "forwarding") && !machine.ipv6.is_on("default", "forwarding"));
        assert!(machine.ipv6.is_on("lxc0", "forwarding"), "it was one before");
        assert_eq!(machine.ipv6.apply(None), Ok(true));
        assert_eq!(machine.all_values(), before);
        assert!(machine.journal.pending().is_empty());
    }

    #[test]
    fn a_machine_that_is_a_router_stays_one() {
        let mut machine = Machine::new(OLD_KERNEL);
        machine.set("all", "forwarding", "1");
        let before = machine.all_values();
        assert_eq!(machine.ipv6.apply(Some(PLAN())), Ok(true));
        assert_eq!(machine.journal.pending().len(), 1, "the private interface only");
        assert_eq!(machine.ipv6.apply(None), Ok(true));
        assert_eq!(machine.all_values(), before);
    }

    #[test]
    fn a_router_that_another_program_has_made_since_stays_one() {
        let mut machine = Machine::new(OLD_KERNEL);
        assert_eq!(machine.ipv6.apply(Some(PLAN())), Ok(true));
        for interface in ["all", "default", "eth0", "hnap0"] {
            machine.set(interface, "forwarding", "1");
        }
        let before = machine.all_values();
        assert_eq!(machine.ipv6.apply(None), Ok(true));
        assert_eq!(machine.all_values(), before);
        assert!(machine.journal.pending().is_empty());
    }

    #[test]
    fn a_missing_interface_leaves_everything_as_it_was() {
        let mut machine = Machine::new(OLD_KERNEL);
        let before = machine.all_values();
        let gone = Forwarding6 { private: "hnap9".parse().unwrap(), ..PLAN() };
        let error = machine.ipv6.apply(Some(gone)).unwrap_err();
        assert_eq!(
            (error.kind, error.target.as_str()),
            (DriverErrorKind::Gone, "net.ipv6.conf.hnap9.forwarding")
        );
        assert_eq!(machine.all_values(), before);
        assert!(machine.journal.pending().is_empty() && machine.ipv6.plan().is_none());
    }
}
