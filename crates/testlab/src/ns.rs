//! Network namespaces, one set for each test, and the cables between them.
//!
//! A [`Namespace`] that is dropped is gone with everything in it, whether the test passed or not; what a killed
//! test left is removed by the next one.

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{self, Finished, SHORT};
use crate::{vm, wait};

/// The prefix of every namespace made here; the process id of the maker follows.
const PREFIX: &str = "hnlab";

/// A place with its own network: a namespace of this test, or the whole machine inside the VM.
#[derive(Debug)]
pub struct Namespace {
    /// `None`: the machine's own.
    name: Option<String>,
    /// Files shown in place of others to whatever runs here: (what stands there, what is shown).
    shown: Vec<(PathBuf, PathBuf)>,
    files: tempfile::TempDir,
}

impl Namespace {
    /// A new namespace with only the loopback interface, which is up. `role` is for the eye.
    ///
    /// # Errors
    /// If the kernel refuses (no root).
    pub fn new(role: &str) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        command::run(Command::new("ip").args(["netns", "add", &name]), SHORT)?.success()?;
        let new = Self { name: Some(name), shown: Vec::new(), files: tempfile::tempdir()? };
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// The network of the machine itself.
    ///
    /// # Errors
    /// Outside the lab's VM: no test may touch the network of the machine it is developed on.
    pub fn machine() -> Result<Self> {
        ensure!(vm::inside(), "the machine's own network is only for scenarios inside the lab's VM");
        Ok(Self { name: None, shown: Vec::new(), files: tempfile::tempdir()? })
    }

    /// Its name under `/run/netns`; `None` for the machine's own.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A folder of its own for files of the test, removed with the namespace.
    #[must_use]
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Shows `content` in place of the existing file `path` to everything started here from then on. In the
    /// machine's own network (inside the VM) the file itself is written.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn show(&mut self, path: impl AsRef<Path>, content: &str) -> Result<()> {
        let path = path.as_ref();
        if self.name.is_none() {
            return std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()));
        }
        let stand_in = self.files.path().join(path.to_string_lossy().replace('/', "+"));
        std::fs::write(&stand_in, content)?;
        if !self.shown.iter().any(|(shown, _)| shown == path) {
            self.shown.push((path.to_owned(), stand_in));
        }
        Ok(())
    }

    /// Makes `server` the only resolver, and files and DNS the only sources of names, of what runs here.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn resolve_through(&mut self, server: Ipv4Addr) -> Result<()> {
        self.show("/etc/resolv.conf", &format!("nameserver {server}\n"))?;
        self.show("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    }

    /// A command that will run here. It is executed directly, so the child's process id is the program's.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(name) = &self.name else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name]);
        if !self.shown.is_empty() {
            let mut script = String::from("set -e; ");
            for index in 0..self.shown.len() {
                let (from, to) = (2 * index + 1, 2 * index + 2);
                script.push_str(&format!("mount --bind \"${{{from}}}\" \"${{{to}}}\"; "));
            }
            script.push_str(&format!("shift {}; exec \"$@\"", 2 * self.shown.len()));
            command.args(["sh", "-c", &script, "sh"]);
            for (path, stand_in) in &self.shown {
                command.arg(stand_in).arg(path);
            }
        }
        command.arg(program);
        command
    }

    /// Runs `words` (split at blanks) here; they must succeed.
    ///
    /// # Errors
    /// If the program cannot be started, takes more than 30 s or fails.
    pub fn run(&self, words: &str) -> Result<Finished> {
        self.attempt(words)?.success()
    }

    /// [`run`](Self::run) for a program that may fail.
    ///
    /// # Errors
    /// If the program cannot be started or takes more than 30 s.
    pub fn attempt(&self, words: &str) -> Result<Finished> {
        let mut words = words.split_whitespace();
        let program = words.next().context("an empty command")?;
        command::run(self.command(program).args(words), SHORT)
    }

    /// Runs `ip` with `words` here.
    ///
    /// # Errors
    /// If it fails.
    pub fn ip(&self, words: &str) -> Result<Finished> {
        let mut ip = Command::new("ip");
        if let Some(name) = &self.name {
            ip.args(["-n", name]);
        }
        command::run(ip.args(words.split_whitespace()), SHORT)?.success()
    }

    /// Calls `work` on a thread that lives in this namespace: sockets it opens and files under `/proc/sys/net`
    /// it reads belong here.
    ///
    /// # Errors
    /// If the thread cannot enter the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.door().pass()?;
                Ok(work())
            });
            thread.join().map_err(|_| anyhow!("the thread inside {self:?} panicked"))?
        })
    }

    /// The way in, for a thread of its own.
    pub(crate) fn door(&self) -> Door {
        Door(self.name.clone())
    }

    /// Whether an interface of this name exists here.
    ///
    /// # Errors
    /// If `ip` cannot be run.
    pub fn has_interface(&self, interface: &str) -> Result<bool> {
        let mut ip = Command::new("ip");
        if let Some(name) = &self.name {
            ip.args(["-n", name]);
        }
        Ok(command::run(ip.args(["link", "show", "dev", interface]), SHORT)?.status.success())
    }

    /// The hardware address of `interface`, in lower case with colons.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let shown = self.ip(&format!("-j link show dev {interface}"))?;
        let value: serde_json::Value = serde_json::from_str(&shown.stdout)?;
        let mac = value.pointer("/0/address").and_then(serde_json::Value::as_str);
        Ok(mac.with_context(|| format!("{interface} has no address"))?.to_owned())
    }

    /// The processes that live in this namespace.
    ///
    /// # Errors
    /// If `ip` cannot be run.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let Some(name) = &self.name else { return Ok(Vec::new()) };
        let listed = command::run(Command::new("ip").args(["netns", "pids", name]), SHORT)?.success()?;
        Ok(listed.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            remove(name);
        }
    }
}

/// The way into a [`Namespace`] for a thread that outlives the borrow. It keeps nothing alive.
#[derive(Debug, Clone)]
pub(crate) struct Door(Option<String>);

impl Door {
    /// Moves the calling thread through, for good.
    pub(crate) fn pass(&self) -> Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        let file = File::open(Path::new("/run/netns").join(name)).context("open namespace")?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).context("setns")
    }
}

/// A cable: a pair of Ethernet interfaces that see each other, both up.
///
/// # Errors
/// If a name is taken.
pub fn cable(left: (&Namespace, &str), right: (&Namespace, &str)) -> Result<()> {
    let peer_place = match right.0.name() {
        Some(name) => format!("netns {name}"),
        // Process 1 is in the machine's own network inside the VM, the only place such an end is allowed.
        None => "netns 1".to_owned(),
    };
    left.0.ip(&format!("link add name {} type veth peer name {} {peer_place}", left.1, right.1))?;
    left.0.ip(&format!("link set dev {} up", left.1))?;
    right.0.ip(&format!("link set dev {} up", right.1))?;
    Ok(())
}

/// Waits until `interface` has carrier and no tentative address.
///
/// # Errors
/// After ten seconds.
pub fn await_ready(place: &Namespace, interface: &str) -> Result<()> {
    wait::holds(&format!("{interface} to be ready"), Duration::from_secs(10), || {
        let link = place.ip(&format!("-o link show dev {interface}"))?.stdout;
        let addresses = place.ip(&format!("-o addr show dev {interface}"))?.stdout;
        Ok(link.contains("LOWER_UP") && !addresses.contains("tentative"))
    })
}

fn remove(name: &str) {
    if let Ok(listed) = command::run(Command::new("ip").args(["netns", "pids", name]), SHORT) {
        for pid in listed.stdout.lines().filter_map(|line| line.trim().parse::<i32>().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    let _ = command::run(Command::new("ip").args(["netns", "del", name]), SHORT);
}

/// Removes namespaces whose maker is gone (a test killed from outside cannot do it itself).
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).map(str::to_owned);
        if maker.is_some_and(|pid| !pid.is_empty() && !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
