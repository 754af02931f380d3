//! The distribution's packages that the chores need. Nothing is done when all are there.

use std::{
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use hn_testlab::command;

use crate::workspace::{must, say};

/// For a machine with radios: the emulator, and what packs its initial RAM disk.
pub(crate) const MACHINE: &[&str] = &[
    "qemu-system-x86",
    "cpio",
    "kmod",
    "xz-utils",
    "wireless-regdb",
    "util-linux",
    "iproute2",
    "iw",
    "nftables",
];

/// For tests in network namespaces.
const NAMESPACES: &[&str] = &[
    "iproute2",
    "nftables",
    "udhcpc",
    "isc-dhcp-client",
    "ndisc6",
    "dhcpcd-base",
    "bind9-dnsutils",
    "curl",
    "dnsmasq-base",
    "iptables",
    "ufw",
    "firewalld",
    "dbus",
    "network-manager",
    "unbound",
    "miniupnpc",
    "natpmpc",
    "wireguard-tools",
    "radvd",
    "kea-dhcp6-server",
    "iputils-ping",
    "procps",
];

/// For scenarios with radios, inside the machine.
const RADIOS: &[&str] = &["hostapd", "wpasupplicant", "iw", "zbar-tools", "rfkill", "apparmor", "tcpdump"];

/// For programs in C and C++ against the libraries, and their manual pages.
const PROGRAMS: &[&str] =
    &["gcc", "g++", "clang", "binutils", "libc6-dev", "pkg-config", "valgrind", "groff"];

/// All of it.
pub(crate) const EVERYTHING: &[&[&str]] = &[MACHINE, NAMESPACES, RADIOS, PROGRAMS];

/// Installs the packages in `groups` that are missing, and says which.
pub(crate) fn install<G: Group + ?Sized>(groups: &G) -> Result<()> {
    let missing = missing(&groups.names())?;
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing from the distribution: {}", missing.join(" ")));
    ensure!(
        rustix::process::geteuid().is_root(),
        "installing packages needs root; as root: apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    let _quiet = Quiet::keep(Path::new(POLICY))?;
    if !known(&missing)? {
        must(apt(&["-qq", "update"]))?;
    }
    let words: Vec<&str> = ["-qq", "-y", "--no-install-recommends", "install"]
        .into_iter()
        .chain(missing.iter().copied())
        .collect();
    if must(apt(&words)).is_err() {
        // Lists older than the mirror name versions that are gone.
        must(apt(&["-qq", "update"]))?;
        must(apt(&words))?;
    }
    let units = units(&missing);
    if !units.is_empty() && Path::new("/run/systemd/system").exists() {
        say(&format!(
            "what was installed starts with the next boot, unless: systemctl disable {}",
            units.join(" ")
        ));
    }
    Ok(())
}

/// Services that come with packages: the tests start them themselves, in namespaces.
const UNITS: &[(&str, &str)] = &[
    ("firewalld", "firewalld"),
    ("kea-dhcp6-server", "kea-dhcp6-server"),
    ("network-manager", "NetworkManager"),
    ("radvd", "radvd"),
    ("unbound", "unbound"),
];

/// The services of `packages`.
fn units(packages: &[&str]) -> Vec<&'static str> {
    UNITS.iter().filter(|(package, _)| packages.contains(package)).map(|(_, unit)| *unit).collect()
}

/// Whom the scripts of packages ask, by `invoke-rc.d` and `deb-systemd-invoke`, before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The answer 101: not allowed (Debian's `invoke-rc.d` specification).
const DENY: &str = "#!/bin/sh\n# Of `cargo xtask`, while it installs packages.\nexit 101\n";

/// Nothing that is installed starts by itself: a name server, a firewall and a network manager that start on the machine
/// of who develops this would take its network over. Ends when this is dropped.
#[derive(Debug)]
struct Quiet {
    /// What we wrote; absent where the machine has a policy of its own.
    ours: Option<PathBuf>,
}

impl Quiet {
    fn keep(policy: &Path) -> Result<Self> {
        let create = || -> io::Result<()> {
            // Of an earlier run that was killed.
            if std::fs::read_to_string(policy).is_ok_and(|text| text == DENY) {
                std::fs::remove_file(policy)?;
            }
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o755).open(policy)?.write_all(DENY.as_bytes())
        };
        match create() {
            Ok(()) => {
                say(&format!("no service is started meanwhile: {} says so", policy.display()));
                Ok(Self { ours: Some(policy.to_owned()) })
            }
            // What the machine's own policy allows to start is its owner's decision.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                say(&format!("which services start is up to {}, which is there", policy.display()));
                Ok(Self { ours: None })
            }
            Err(error) => Err(error).with_context(|| format!("write {}", policy.display())),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours
            && let Err(error) = std::fs::remove_file(policy)
        {
            say(&format!("remove {} yourself: {error}", policy.display()));
        }
    }
}

/// One list of packages or several.
pub(crate) trait Group {
    /// All names, each once.
    fn names(&self) -> Vec<&'static str>;
}

impl Group for [&'static str] {
    fn names(&self) -> Vec<&'static str> {
        self.to_vec()
    }
}

impl Group for [&'static [&'static str]] {
    fn names(&self) -> Vec<&'static str> {
        let mut names = self.concat();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The packages of `names` that are not installed.
fn missing(names: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package} ${db:Status-Status}\n"]).args(names);
    let listed =
        command::run(&mut query, command::SHORT).context("this is no Debian: dpkg-query is missing")?.stdout;
    let installed: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(names.iter().copied().filter(|name| !installed.contains(name)).collect())
}

/// Whether apt has heard of all of them: a fresh container has no lists.
fn known(names: &[&str]) -> Result<bool> {
    let shown = command::run(Command::new("apt-cache").arg("policy").args(names), command::SHORT)?.stdout;
    Ok(shown
        .lines()
        .filter(|line| line.trim_start().starts_with("Candidate: ") && !line.contains("(none)"))
        .count()
        >= names.len())
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nothing_starts_while_packages_are_installed_and_the_machine_is_as_before_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = folder.path().join("policy-rc.d");
        // By the shell: what another thread's child still holds open cannot be executed itself.
        let asked = || Command::new("sh").arg(&policy).args(["unbound", "start"]).status();
        let mode = || std::fs::metadata(&policy).expect("there").permissions().mode();
        // The second time over what a killed run left.
        for left in [None, Some(DENY)] {
            if let Some(text) = left {
                std::fs::write(&policy, text).expect("written");
            }
            let quiet = Quiet::keep(&policy).expect("written");
            assert_eq!(asked().expect("it runs").code(), Some(101));
            assert_eq!(mode() & 0o100, 0o100);
            drop(quiet);
            assert!(!policy.exists());
        }
    }

    #[test]
    fn who_installs_a_service_is_told_how_to_keep_it_off() {
        assert_eq!(units(&["curl", "network-manager", "unbound"]), ["NetworkManager", "unbound"]);
        assert!(units(&["curl"]).is_empty());
        let all = EVERYTHING.names();
        assert!(UNITS.iter().all(|(package, _)| all.contains(package)), "a package that is not installed");
    }

    #[test]
    fn a_policy_of_the_machine_itself_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = folder.path().join("policy-rc.d");
        let own = "#!/bin/sh\nexit 0\n";
        std::fs::write(&policy, own).expect("written");
        std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o700)).expect("permitted");
        drop(Quiet::keep(&policy).expect("nothing to write"));
        assert_eq!(std::fs::read_to_string(&policy).expect("there"), own);
        assert_eq!(std::fs::metadata(&policy).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_package_in_two_lists_is_asked_for_once() {
        let names = EVERYTHING.names();
        assert_eq!(names.iter().filter(|name| **name == "iproute2").count(), 1);
    }
}
