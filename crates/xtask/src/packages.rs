//! The distribution's packages that the chores need. Nothing is done when all are there.

use std::process::Command;

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
const RADIOS: &[&str] = &["hostapd", "wpasupplicant", "iw", "zbar-tools", "rfkill", "apparmor"];

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
    Ok(())
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
    use super::*;

    #[test]
    fn a_package_in_two_lists_is_asked_for_once() {
        let names = EVERYTHING.names();
        assert_eq!(names.iter().filter(|name| **name == "iproute2").count(), 1);
    }
}
