//! Whose an interface is, told by the interface itself: its alias (`IFLA_IFALIAS`) names the process that made it.
//!
//! The journal says the same, but a journal can be lost, and interfaces that nobody remembers would stay until the next
//! boot and take the names that we want. An interface whose maker is dead is nobody's, whatever the journal says; one
//! whose maker lives is not touched, nor is one that carries no tag of ours, whatever its name.

use std::{fmt, fs, os::unix::fs::MetadataExt as _, str::FromStr};

use hn_types::{IfName, MacAddr};

use crate::{
    netlink::{Netlink, ROUTE, Refusal, attribute},
    network::tables,
    undo::{Undo, process_start_time},
};

const SET_LINK: u16 = 19;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_IFALIAS: u16 = 20;
/// The first word of every tag.
const WORD: &str = "hostednet";

/// The maker of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pid: u32,
    /// With the id it names a process for good ([`process_start_time`]).
    start_time: u64,
    /// Where the id means something: the inode of its PID namespace.
    namespace: u64,
}

impl Tag {
    /// This process.
    fn own() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { pid, start_time: process_start_time(pid)?, namespace: namespace()? })
    }

    /// Whether the maker is known to have ended. Of a process in another PID namespace nobody here can say so.
    fn is_dead(self) -> bool {
        namespace() == Some(self.namespace) && process_start_time(self.pid) != Some(self.start_time)
    }
}

/// The PID namespace of this process.
fn namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {} {} {}", self.pid, self.start_time, self.namespace)
    }
}

/// An alias that is none of ours.
#[derive(Debug)]
pub(crate) struct Foreign;

impl FromStr for Tag {
    type Err = Foreign;

    fn from_str(alias: &str) -> Result<Self, Foreign> {
        let words: Vec<&str> = alias.split(' ').collect();
        let [WORD, pid, start_time, namespace] = words.as_slice() else { return Err(Foreign) };
        match (pid.parse(), start_time.parse(), namespace.parse()) {
            (Ok(pid), Ok(start_time), Ok(namespace)) => Ok(Self { pid, start_time, namespace }),
            _ => Err(Foreign),
        }
    }
}

/// Tags an interface that this process made, and gives it an address where its driver did not take it from the request.
pub(crate) fn mark(index: u32, address: Option<MacAddr>) -> Result<(), Refusal> {
    let mut body = link(index);
    if let Some(tag) = Tag::own() {
        attribute(&mut body, IFLA_IFALIAS, tag.to_string().as_bytes());
    }
    if let Some(address) = address {
        attribute(&mut body, IFLA_ADDRESS, &address.0);
    }
    Netlink::open(ROUTE)?.request(SET_LINK, 0, &body)
}

/// Gives the interface with this index the name that it is to have; `false` if it has it.
///
/// A program that names interfaces by rules of its own takes ours for a new device. Rules of the firewall, and everybody who
/// was told to leave our names alone, know it by its name.
pub(crate) fn put_name_back(index: u32, name: IfName) -> Result<bool, Refusal> {
    let route = Netlink::open(ROUTE)?;
    let rows = tables::links(&route)?;
    let Some(row) = rows.iter().find(|row| row.index == index) else {
        return Err(Refusal { errno: libc::ENODEV, text: String::new() });
    };
    if row.name == name {
        return Ok(false);
    }
    let mut body = link(index);
    attribute(&mut body, IFLA_IFNAME, &crate::netlink::text(name.as_str()));
    route.request(SET_LINK, 0, &body)?;
    tracing::warn!(interface = %name, renamed = %row.name, "an interface of ours was renamed; it has its name back");
    Ok(true)
}

/// Removes the interfaces that a process made which is dead, and says which.
pub(crate) fn reap() -> Result<Vec<IfName>, Refusal> {
    let mut reaped = Vec::new();
    for (row, alias) in tables::aliases(&Netlink::open(ROUTE)?)? {
        if alias.parse::<Tag>().is_ok_and(Tag::is_dead) {
            match (Undo::Link { name: row.name, index: row.index }).run() {
                Ok(()) => reaped.push(row.name),
                Err(error) => tracing::warn!(%error, "an interface that a dead process made stays"),
            }
        }
    }
    Ok(reaped)
}

/// `struct ifinfomsg`.
fn link(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&[0; 8]);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_18_only_a_tag_of_a_dead_process_says_that_an_interface_is_nobodys() {
        let own = Tag::own().expect("this process runs");
        let read: Tag = own.to_string().parse().expect("reads what it wrote");
        assert_eq!(read, own);
        assert!(!own.is_dead());
        // The same id, another process.
        let before = Tag { start_time: own.start_time + 1, ..own };
        assert!(before.is_dead());
        // Who lives elsewhere cannot be seen from here.
        assert!(!Tag { namespace: own.namespace + 1, ..before }.is_dead());
    }

    #[test]
    fn failure_18_an_alias_of_somebody_else_is_no_tag() {
        let aliases = [
            "",
            "hostednet",
            "hostednet 1 2",
            "hostednet 1 2 3 4",
            "hostednet x 2 3",
            "hostednet 1 -2 3",
            "wan 1 2 3",
        ];
        for alias in aliases {
            assert!(alias.parse::<Tag>().is_err(), "{alias:?}");
        }
    }
}
