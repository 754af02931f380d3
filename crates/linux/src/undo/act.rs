//! The inverses themselves. Each is idempotent: what is gone already is undone.

use std::{io, path::Path, time::Duration};

use hn_types::{DriverError, DriverErrorKind, IfName, Subnet4, Subnet6};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{RoutingRule, io_failure, process_start_time};
use crate::{
    links::steering,
    netlink::{self, ACK, CREATE, EXCL, GENERIC, NETFILTER, Netlink, REQUEST, ROUTE, Refusal, attribute},
    network::tables::{self, nl80211},
};

pub(super) fn restore_sysctl(path: &str, old: &str) -> Result<(), DriverError> {
    if !path.starts_with("/proc/sys/") || path.split('/').any(|part| part == "..") {
        let cause = "the journal names a file that is no sysctl";
        return Err(DriverError::new(DriverErrorKind::Invalid, "restore the sysctl", path, cause));
    }
    match std::fs::write(path, old) {
        // Its interface is gone, and with it what was changed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_failure("restore the sysctl", Path::new(path), &error)),
        Ok(()) => Ok(()),
    }
}

pub(super) fn remove_address(index: u32, address: Subnet4) -> Result<(), Refusal> {
    delete_address(AF_INET, index, address.prefix(), &address.address().octets())
}

pub(super) fn remove_address6(index: u32, address: Subnet6) -> Result<(), Refusal> {
    delete_address(AF_INET6, index, address.prefix(), &address.address().octets())
}

fn delete_address(family: u8, index: u32, prefix: u8, octets: &[u8]) -> Result<(), Refusal> {
    const DELETE_ADDRESS: u16 = 21;
    let mut body = vec![family, prefix, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut body, 2, octets);
    gone_is_fine(
        Netlink::open(ROUTE)?.request(DELETE_ADDRESS, 0, &body),
        &[libc::ENODEV, libc::EADDRNOTAVAIL],
    )
}

pub(super) fn remove_route6(destination: Subnet6, index: u32) -> Result<(), Refusal> {
    const DELETE_ROUTE: u16 = 25;
    let body = tables::route6_body(destination, index);
    gone_is_fine(Netlink::open(ROUTE)?.request(DELETE_ROUTE, 0, &body), &[libc::ESRCH, libc::ENODEV])
}

pub(super) fn set_up(index: u32) -> Result<(), Refusal> {
    let up = Netlink::open(ROUTE)?.request(SET_LINK, 0, &link_body(index, IFF_UP, IFF_UP));
    gone_is_fine(up, &[libc::ENODEV])
}

pub(super) fn set_down(index: u32, fresh: bool) -> Result<(), Refusal> {
    let route = Netlink::open(ROUTE)?;
    gone_is_fine(route.request(SET_LINK, 0, &link_body(index, 0, IFF_UP)), &[libc::ENODEV])?;
    if fresh {
        // Cosmetic: a kernel that does not want to changes nothing in what the interface does.
        let _ = forget_discipline(&route, index);
    }
    Ok(())
}

/// Gives an interface that is down the queueing discipline `noop` of one that was never up. There is no request
/// for that; but when another discipline than the default one is removed, `noop` is what stays.
fn forget_discipline(route: &Netlink, index: u32) -> Result<(), Refusal> {
    const NEW_DISCIPLINE: u16 = 36;
    const DELETE_DISCIPLINE: u16 = 37;
    const ROOT: u32 = u32::MAX;
    const HANDLE: u32 = 1 << 16;
    // `struct tcmsg`
    let mut body = vec![0; 4];
    for field in [index, HANDLE, ROOT, 0] {
        body.extend_from_slice(&field.to_ne_bytes());
    }
    let removal = body.clone();
    attribute(&mut body, 1, b"pfifo\0");
    route.request(NEW_DISCIPLINE, CREATE | EXCL, &body)?;
    route.request(DELETE_DISCIPLINE, 0, &removal)
}

pub(super) fn restore_master(index: u32, master: u32) -> Result<(), Refusal> {
    let route = Netlink::open(ROUTE)?;
    let enslave = |master: u32| {
        let mut body = link_body(index, 0, 0);
        attribute(&mut body, 10, &master.to_ne_bytes());
        route.request(SET_LINK, 0, &body)
    };
    if !link_exists(&route, index)? {
        return Ok(());
    }
    // A master that has gone in the meantime would have released it.
    let master = if master != 0 && !link_exists(&route, master)? { 0 } else { master };
    gone_is_fine(enslave(master), &[libc::ENODEV])
}

pub(super) fn remove_link(name: IfName, index: u32) -> Result<(), Refusal> {
    let route = Netlink::open(ROUTE)?;
    let index = if index == 0 {
        match tables::link(&route, name)? {
            Some(link) => link.index,
            None => return Ok(()),
        }
    } else {
        index
    };
    match route.request(DELETE_LINK, 0, &link_body(index, 0, 0)) {
        // Wireless interfaces are removed through nl80211 only.
        Err(refusal) if refusal.errno == libc::EOPNOTSUPP => {
            gone_is_fine(remove_wireless(index), &[libc::ENODEV, libc::ENOENT])
        }
        other => gone_is_fine(other, &[libc::ENODEV]),
    }
}

fn remove_wireless(index: u32) -> Result<(), Refusal> {
    const DELETE_INTERFACE: u8 = 8;
    const INTERFACE_INDEX: u16 = 3;
    let generic = Netlink::open(GENERIC)?;
    let family =
        nl80211(&generic)?.ok_or_else(|| Refusal { errno: libc::EOPNOTSUPP, text: String::new() })?;
    let mut body = vec![DELETE_INTERFACE, 0, 0, 0];
    attribute(&mut body, INTERFACE_INDEX, &index.to_ne_bytes());
    generic.request(family, 0, &body)
}

/// One nfnetlink transaction that removes the table; nothing happens when there is none.
pub(super) fn remove_table(name: &str) -> Result<(), Refusal> {
    const BATCH_BEGIN: u16 = 16;
    const BATCH_END: u16 = 17;
    const NFTABLES: u16 = 10;
    const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
    const FAMILY_INET: u8 = 1;
    let [high, low] = NFTABLES.to_be_bytes();
    let envelope = [0, 0, high, low];
    let mut body = vec![FAMILY_INET, 0, 0, 0];
    attribute(&mut body, 1, &netlink::text(name));
    let mut batch = netlink::message(BATCH_BEGIN, REQUEST, 1, &envelope);
    batch.extend(netlink::message(DELETE_TABLE, REQUEST | ACK, 2, &body));
    batch.extend(netlink::message(BATCH_END, REQUEST, 3, &envelope));
    // A kernel without nftables cannot have a table of ours.
    gone_is_fine(
        Netlink::open(NETFILTER).map_err(Refusal::from).and_then(|socket| socket.batch(&batch, 1)),
        &[libc::ENOENT, libc::EPROTONOSUPPORT, libc::EOPNOTSUPP],
    )
}

pub(super) fn remove_route(
    ipv6: bool,
    index: u32,
    table: u32,
    network: Option<Subnet4>,
) -> Result<(), Refusal> {
    let removed = steering::remove_route(&Netlink::open(ROUTE)?, ipv6, index, table, network);
    gone_is_fine(removed, &[libc::ESRCH, libc::ENODEV, libc::EAFNOSUPPORT])
}

pub(super) fn remove_rule(ipv6: bool, interface: IfName, rule: RoutingRule) -> Result<(), Refusal> {
    let removed = steering::remove_rule(&Netlink::open(ROUTE)?, ipv6, interface, rule);
    gone_is_fine(removed, &[libc::ENOENT, libc::EAFNOSUPPORT])
}

/// Asks the process to end, and ends it when it does not within a second. Returns when it is gone.
pub(super) fn end_process(pid: u32, start_time: u64) -> io::Result<()> {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let handle = match pidfd_open(id, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // The descriptor holds the process, so the comparison cannot be overtaken by a new owner of the id.
    if process_start_time(pid) != Some(start_time) {
        return Ok(());
    }
    for (signal, patience) in [(Signal::TERM, Duration::from_secs(1)), (Signal::KILL, Duration::from_secs(5))]
    {
        match pidfd_send_signal(&handle, signal) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other?,
        }
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience))? > 0 {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end"))
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;

/// `struct ifinfomsg`.
fn link_body(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&flags.to_ne_bytes());
    body.extend_from_slice(&change.to_ne_bytes());
    body
}

fn link_exists(route: &Netlink, index: u32) -> Result<bool, Refusal> {
    let mut found = false;
    let answer = route.ask(GET_LINK, 0, &link_body(index, 0, 0), |_, _| found = true);
    gone_is_fine(answer, &[libc::ENODEV]).map(|()| found)
}

fn gone_is_fine(result: Result<(), Refusal>, gone: &[i32]) -> Result<(), Refusal> {
    match result {
        Err(refusal) if gone.contains(&refusal.errno) => Ok(()),
        other => other,
    }
}
