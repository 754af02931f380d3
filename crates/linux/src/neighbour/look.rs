//! Which neighbours are there: programs in our network namespace that configure networks, and those that hold a port or
//! listen to an interface that a segment needs. Looked for in `/proc` when somebody asks; nothing is changed.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use hn_ports::Neighbours;
use hn_types::{
    IfName,
    neighbour::{Held, Neighbour},
};

use super::manager::Manager;
use crate::ports::{Transport, bound};

/// Programs that configure networks, by the name that the kernel knows them under (at most 15 bytes), and theirs.
const CONFIGURE: [(&str, &str); 10] = [
    ("NetworkManager", "NetworkManager"),
    ("systemd-network", "systemd-networkd"),
    ("systemd-resolve", "systemd-resolved"),
    ("iwd", "iwd"),
    ("wpa_supplicant", "wpa_supplicant"),
    ("connmand", "ConnMan"),
    ("avahi-daemon", "avahi-daemon"),
    ("dnsmasq", "dnsmasq"),
    ("unbound", "unbound"),
    ("hostapd", "hostapd"),
];
/// Names, addresses, and names without a server.
const PORTS: [(Transport, u16); 4] =
    [(Transport::Udp, 53), (Transport::Tcp, 53), (Transport::Udp, 67), (Transport::Udp, 5353)];
/// What was found is as good as new for so long.
const FRESH: Duration = Duration::from_secs(2);
/// More neighbours are not listed.
const LIMIT: usize = 32;

/// When it was looked, and what was found.
type Found = (Instant, Vec<Neighbour>);

/// The neighbours of this machine, in the network namespace of the calling thread.
pub(crate) fn look(manager: Manager) -> Neighbours {
    let last: RefCell<Option<Found>> = RefCell::default();
    Neighbours::new(move || {
        let fresh =
            last.borrow().as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, found)| found.clone());
        let mut found = fresh.unwrap_or_else(|| {
            let found = find();
            last.replace(Some((Instant::now(), found.clone())));
            found
        });
        let left: Vec<String> = manager.taken().iter().map(|name| format!("leave {name} alone")).collect();
        if !left.is_empty() {
            match found.iter_mut().find(|neighbour| neighbour.name == "NetworkManager") {
                Some(neighbour) => neighbour.asked = left,
                // It ended, and is asked again when it is back.
                None => {
                    found.push(Neighbour { name: "NetworkManager".into(), holds: Vec::new(), asked: left })
                }
            }
        }
        found
    })
}

fn find() -> Vec<Neighbour> {
    let Ok(ours) = std::fs::read_link("/proc/thread-self/ns/net") else { return Vec::new() };
    let wanted = sockets();
    let mut found: BTreeMap<String, BTreeSet<Held>> = BTreeMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = process.path();
        let number = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = number.filter(|pid| !is_own(*pid, &folder)) else { continue };
        if std::fs::read_link(folder.join("ns/net")).ok().as_ref() != Some(&ours) {
            continue;
        }
        let comm = std::fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let comm = comm.trim();
        let known = CONFIGURE.iter().find(|(kernel, _)| *kernel == comm).map(|(_, name)| *name);
        let held = held(&folder, &wanted);
        if known.is_none() && held.is_empty() {
            continue;
        }
        let plain: String = comm.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let name = known.map_or_else(|| format!("{plain} (pid {pid})"), str::to_owned);
        found.entry(name).or_default().extend(held);
    }
    let listed = found.into_iter().take(LIMIT);
    listed
        .map(|(name, holds)| Neighbour { name, holds: holds.into_iter().collect(), asked: Vec::new() })
        .collect()
}

/// This process, and what it started: the worker, hostapd.
fn is_own(pid: u32, folder: &Path) -> bool {
    let own = std::process::id();
    let parent = || {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    pid == own || parent() == Some(own)
}

/// What a segment could want, by the number of the socket that has it.
fn sockets() -> BTreeMap<u64, Held> {
    let ports = PORTS.into_iter().flat_map(|(transport, port)| {
        let protocol = match transport {
            Transport::Udp => hn_types::settings::Protocol::Udp,
            Transport::Tcp => hn_types::settings::Protocol::Tcp,
        };
        bound(transport, port)
            .into_iter()
            .map(move |(address, inode)| (inode, Held::Port { protocol, port, address: address.ip() }))
    });
    ports.chain(listeners()).collect()
}

/// Packet sockets for IPv4 on one interface: a DHCP client, or a server.
fn listeners() -> impl Iterator<Item = (u64, Held)> {
    let text = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap_or_default();
    let lines: Vec<_> = text.lines().skip(1).filter_map(parse_packet).collect();
    lines.into_iter().filter_map(|(index, inode)| {
        let name = nix::net::if_::if_indextoname(index).ok()?;
        let interface: IfName = name.to_str().ok()?.parse().ok()?;
        Some((inode, Held::Frames { interface }))
    })
}

/// `sk RefCnt Type Proto Iface R Rmem User Inode`: index and inode of a socket for IPv4 on one interface.
fn parse_packet(line: &str) -> Option<(u32, u64)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, _, protocol, index, .., inode] = words.as_slice() else { return None };
    let index: u32 = index.parse().ok()?;
    (*protocol == "0800" && index != 0).then_some((index, inode.parse().ok()?))
}

fn held(folder: &Path, wanted: &BTreeMap<u64, Held>) -> BTreeSet<Held> {
    let descriptors = std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
    let inodes = descriptors.filter_map(|descriptor| {
        let target = std::fs::read_link(descriptor.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    inodes.filter_map(|inode| wanted.get(&inode).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_for_ipv4_on_one_interface_count() {
        let line = |protocol: &str, index: u32| {
            format!("ffff8881 3      3    {protocol}   {index}     1 0      0      4711  ")
        };
        assert_eq!(parse_packet(&line("0800", 4)), Some((4, 4711)));
        assert_eq!(parse_packet(&line("0800", 0)), None);
        assert_eq!(parse_packet(&line("88cc", 4)), None);
        assert_eq!(parse_packet(""), None);
    }

    #[test]
    fn a_stranger_that_holds_a_port_is_found_and_we_are_not() {
        let own = Path::new("/proc/self");
        assert!(is_own(std::process::id(), own));
        assert!(find().iter().all(|neighbour| !neighbour.name.contains("hostednetd")));
    }
}
