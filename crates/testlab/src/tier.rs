//! What a test needs of the machine, and what happens where that is missing.
//!
//! A test that cannot run says so on standard error and is *counted*: its name goes to the file named by
//! `LAB_SKIPS`. With `LAB_STRICT=1` (where the tier is promised) it fails instead.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::command;

/// What a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// T0: nothing.
    Pure,
    /// T1: nothing but this project's programs, on the simulated platform.
    Simulated,
    /// T2: root, to make network namespaces in which real netlink, nftables and sockets work.
    Namespaces,
    /// T3: root and qemu, for a machine with radios.
    Radios,
}

/// Whether the needs of a test are met.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// The test can run.
    Met,
    /// It cannot, for this reason; the skip has been reported and counted.
    Missing(String),
}

impl Standing {
    /// Whether the caller has to return at once.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Asks for the needs of `tier` on behalf of the running test.
///
/// ```no_run
/// # use hn_testlab::{Tier, require};
/// if require(Tier::Namespaces).is_missing() {
///     return;
/// }
/// ```
///
/// # Panics
/// With `LAB_STRICT=1`, when something is missing: where a tier is promised, a skip is a failure.
pub fn require(tier: Tier) -> Standing {
    let Some(reason) = lacking(tier) else { return Standing::Met };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("LAB_STRICT").is_none_or(|value| value != "1"), "{test} cannot run: {reason}");
    report_skip(test, &reason);
    Standing::Missing(reason)
}

#[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
fn report_skip(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = std::env::var_os("LAB_SKIPS") {
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{test}\t{reason}"));
        if let Err(error) = written {
            eprintln!("the skip could not be counted in {}: {error}", path.to_string_lossy());
        }
    }
}

/// The first thing `tier` needs that this machine does not have.
#[must_use]
pub fn lacking(tier: Tier) -> Option<String> {
    match tier {
        Tier::Pure | Tier::Simulated => None,
        Tier::Namespaces => {
            lacking_root().or_else(|| lacking_programs(NAMESPACE_PROGRAMS)).or_else(lacking_namespaces)
        }
        Tier::Radios => lacking_root().or_else(|| lacking_programs(RADIO_PROGRAMS)),
    }
}

/// Programs a T2 test may start.
const NAMESPACE_PROGRAMS: &[&str] = &["ip", "nft", "udhcpc", "dhclient", "dig", "curl", "dnsmasq"];
/// Programs a T3 scenario may start, and what boots its machine.
const RADIO_PROGRAMS: &[&str] = &[
    "qemu-system-x86_64",
    "cpio",
    "modprobe",
    "depmod",
    "xz",
    "iw",
    "hostapd",
    "wpa_supplicant",
    "ip",
    "nft",
    "udhcpc",
    "dhclient",
    "dig",
    "curl",
    "dnsmasq",
    "zbarimg",
];

fn lacking_root() -> Option<String> {
    (!rustix::process::geteuid().is_root()).then(|| "not root".to_owned())
}

fn lacking_programs(programs: &[&str]) -> Option<String> {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| program(name).is_none()).collect();
    (!missing.is_empty())
        .then(|| format!("not installed: {} (`cargo xtask setup` does it)", missing.join(", ")))
}

fn lacking_namespaces() -> Option<String> {
    let tried = command::run(Command::new("unshare").args(["--net", "true"]), command::SHORT);
    match tried.and_then(command::Finished::success) {
        Ok(_) => None,
        Err(error) => Some(format!("no network namespace can be made here: {error}")),
    }
}

/// Where `name` is, on `PATH` or where Debian keeps what only root runs.
#[must_use]
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).to_owned()));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}
