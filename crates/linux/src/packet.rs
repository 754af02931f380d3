//! The sockets that are made here, with privilege, and used by the worker, without.
//!
//! * The **packet socket** is bound to one interface and filtered in the kernel to DHCP requests and ARP, so
//!   that neither other traffic nor other interfaces reach the worker.
//! * UDP port 67 of the interface is asked for and let go at once: its `EADDRINUSE` tells that another DHCP server is at
//!   work. It is not held, since whoever wants that port of every address shares it with nobody; the firewall keeps
//!   the kernel from answering "port unreachable".
//! * IPv6 has both, too: router solicitations and DHCPv6 requests, and UDP port 547. Besides, a socket without a port
//!   is in the **groups** that devices speak to, so that switches and radios deliver what they say.
//! * On the **uplink** a packet socket takes router advertisements, neighbour discovery and what DHCPv6 servers
//!   answer; its guard holds UDP port 546 there.
//! * The **DNS sockets** are bound to port 53 of the private address on the private interface, and nowhere else. Where
//!   another program holds that port, for instance of all addresses, UDP is shared with one that shares (the kernel
//!   prefers who is bound more closely), and otherwise they are bound to a port of our own, to which the firewall leads
//!   what devices ask. Never 5353: that is mDNS's.
//! * The sockets of **port mapping** are bound to the private interface; the one of discovery, which is reached by
//!   multicast, to every address of it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, OwnedFd},
};

use hn_ports::services::PORTMAP_HTTP;
use hn_types::{DriverError, DriverErrorKind, IfName, observed::MovedPort, settings::Protocol};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with,
    sockopt::{
        set_ip_add_membership_with_ifindex, set_ip_freebind, set_ip_multicast_loop, set_ip_multicast_ttl,
        set_ipv6_add_membership, set_ipv6_freebind, set_ipv6_multicast_hops, set_ipv6_multicast_loop,
        set_ipv6_v6only, set_socket_recv_buffer_size_force, set_socket_reuseaddr,
        set_socket_send_buffer_size,
    },
};

use crate::{
    netlink::errno_text,
    ports::{Transport, holders},
    sys::{Instruction, all_multicast, attach_filter, bind_packet, bind_packet6, set_flag},
    undo::errno_kind,
};

/// Room for the requests of a whole class room that comes back at once, in bytes.
const PACKET_BUFFER: usize = 4 << 20;
/// Room for DNS questions and answers, in bytes.
const DNS_BUFFER: usize = 2 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

const DHCP_SERVER: u16 = 67;
const DHCP6_SERVER: u16 = 547;
const DHCP_CLIENT: u16 = 68;
const DHCP6_CLIENT: u16 = 546;
/// Length of an Ethernet header.
const ETHERNET: u32 = 14;
const DNS: u16 = 53;
const PORT_CONTROL: u16 = 5351;
const SSDP: u16 = 1900;
/// UPnP Device Architecture 2.0 §1.2.1.
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SSDP_GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
const SSDP_HOPS: u32 = 2;
/// Where the name server listens when port 53 is not to be had; the first that is free.
const INSTEAD: std::ops::Range<u16> = 10_053..10_085;
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

// Classic BPF, `linux/bpf_common.h`.
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Everything of the packet.
const ALL: u32 = 0x4_0000;

/// ARP, and DHCP requests.
const DHCP_OR_ARP: [Instruction; 12] = arp_or_udp(DHCP_SERVER);

/// ARP, and unfragmented UDP over IPv4 to `port`.
const fn arp_or_udp(port: u16) -> [Instruction; 12] {
    [
        (LOAD_HALF, 0, 0, 12),
        (JUMP_EQUAL, 8, 0, 0x0806),
        (JUMP_EQUAL, 0, 8, 0x0800),
        (LOAD_BYTE, 0, 0, 23),
        (JUMP_EQUAL, 0, 6, 17),
        (LOAD_HALF, 0, 0, 20),
        // More fragments, or not the first.
        (JUMP_SET, 4, 0, 0x3fff),
        (LOAD_HEADER_LENGTH, 0, 0, 14),
        (LOAD_HALF_INDEXED, 0, 0, 16),
        (JUMP_EQUAL, 0, 1, port as u32),
        (RETURN, 0, 0, ALL),
        (RETURN, 0, 0, 0),
    ]
}

/// Router and neighbour solicitations, neighbour advertisements, and UDP over IPv6 to port 547, without extension
/// headers.
const SOLICITATION_OR_DHCP6: [Instruction; 13] = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 0, 10, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 1, 0, 58),
    (JUMP_EQUAL, 4, 7, 17),
    (LOAD_BYTE, 0, 0, 54),
    (JUMP_EQUAL, 4, 0, 133),
    (JUMP_EQUAL, 3, 0, 135),
    (JUMP_EQUAL, 2, 3, 136),
    (LOAD_HALF, 0, 0, 56),
    (JUMP_EQUAL, 0, 1, DHCP6_SERVER as u32),
    (RETURN, 0, 0, ALL),
    (RETURN, 0, 0, 0),
];

/// The headers of IPv4 and ARP.
const HEADERS: [Instruction; 5] = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 1, 0, 0x0806),
    (JUMP_EQUAL, 0, 1, 0x0800),
    (RETURN, 0, 0, 96),
    (RETURN, 0, 0, 0),
];

/// Router advertisements, neighbour discovery, and UDP over IPv6 to port 546, of a link whose packets begin at
/// `start`. The socket is bound to IPv6, so nothing else gets here.
const fn advertisement_or_dhcp6(start: u32) -> [Instruction; 11] {
    [
        (LOAD_BYTE, 0, 0, start + 6),
        (JUMP_EQUAL, 1, 0, 58),
        (JUMP_EQUAL, 4, 7, 17),
        (LOAD_BYTE, 0, 0, start + 40),
        (JUMP_EQUAL, 4, 0, 134),
        (JUMP_EQUAL, 3, 0, 135),
        (JUMP_EQUAL, 2, 3, 136),
        (LOAD_HALF, 0, 0, start + 42),
        (JUMP_EQUAL, 0, 1, DHCP6_CLIENT as u32),
        (RETURN, 0, 0, ALL),
        (RETURN, 0, 0, 0),
    ]
}

const NOTHING: [Instruction; 1] = [(RETURN, 0, 0, 0)];

/// The packet socket on the interface with this index.
///
/// # Errors
///
/// What the system answered; `Denied` without `CAP_NET_RAW`.
pub(crate) fn packet_socket(interface: IfName, index: u32) -> Result<OwnedFd, DriverError> {
    filtered_socket(interface, index, &DHCP_OR_ARP)
}

/// The same for router solicitations and DHCPv6.
pub(crate) fn packet_socket6(interface: IfName, index: u32) -> Result<OwnedFd, DriverError> {
    let socket = filtered_socket(interface, index, &SOLICITATION_OR_DHCP6)?;
    // Devices speak of their addresses to groups that nobody here is a member of. Where that cannot be had, most
    // drivers deliver them all the same.
    let _ = all_multicast(socket.as_fd(), index);
    Ok(socket)
}

/// The packet socket of the uplink; `ethernet`: its frames have a header.
pub(crate) fn uplink_socket6(interface: IfName, index: u32, ethernet: bool) -> Result<OwnedFd, DriverError> {
    let make = || {
        let kind = if ethernet { SocketType::RAW } else { SocketType::DGRAM };
        let socket = socket_with(AddressFamily::PACKET, kind, nonblocking(), None)?;
        attach_filter(socket.as_fd(), &advertisement_or_dhcp6(if ethernet { ETHERNET } else { 0 }))?;
        set_flag(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        bind_packet6(socket.as_fd(), index)?;
        let _ = all_multicast(socket.as_fd(), index);
        Ok(socket)
    };
    make().map_err(|error| failure("open the packet socket", interface, &error))
}

/// The guard of UDP port 546 on the uplink. Another DHCPv6 client that has it does as well.
pub(crate) fn uplink_guard6(interface: IfName) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, nonblocking(), Some(ipproto::UDP))?;
    attach_filter(socket.as_fd(), &NOTHING)?;
    set_ipv6_v6only(&socket, true)?;
    set_socket_reuseaddr(&socket, true)?;
    bind_to_device(&socket, interface)?;
    bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, DHCP6_CLIENT, 0, 0))?;
    Ok(socket)
}

/// The same for a DHCP client: answers and ARP.
///
/// # Errors
///
/// As [`packet_socket`].
pub(crate) fn client_socket(interface: IfName, index: u32) -> Result<OwnedFd, DriverError> {
    filtered_socket(interface, index, &arp_or_udp(DHCP_CLIENT))
}

/// A socket that hears the first bytes of every IPv4 and ARP frame that comes in on an interface.
///
/// # Errors
///
/// As [`packet_socket`].
pub(crate) fn hearing_socket(interface: IfName, index: u32) -> Result<OwnedFd, DriverError> {
    filtered_socket(interface, index, &HEADERS)
}

fn filtered_socket(interface: IfName, index: u32, filter: &[Instruction]) -> Result<OwnedFd, DriverError> {
    let make = || {
        // Without a protocol it receives nothing until it is filtered and bound.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, nonblocking(), None)?;
        attach_filter(socket.as_fd(), filter)?;
        set_flag(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        // A forced size needs CAP_NET_ADMIN; the default is merely small.
        let _ = set_socket_recv_buffer_size_force(&socket, PACKET_BUFFER);
        bind_packet(socket.as_fd(), index)?;
        Ok(socket)
    };
    make().map_err(|error| failure("open the packet socket", interface, &error))
}

/// Why a port cannot be had.
#[derive(Debug)]
pub(crate) enum PortError {
    /// Somebody has it: a sentence that names who, if that can be told.
    Taken(String),
    /// Anything else.
    Failed(DriverError),
}

impl PortError {
    /// The sentence for a person.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Taken(cause) => cause.clone(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// Whether nobody else serves DHCP (`any`: 0.0.0.0) or DHCPv6 (`::`) on the interface.
///
/// # Errors
///
/// `Taken` when somebody does.
pub(crate) fn dhcp_port(interface: IfName, any: IpAddr) -> Result<(), PortError> {
    let (family, port) = match any {
        IpAddr::V4(_) => (AddressFamily::INET, DHCP_SERVER),
        IpAddr::V6(_) => (AddressFamily::INET6, DHCP6_SERVER),
    };
    let address = SocketAddr::new(any, port);
    let ask = || {
        let socket = socket_with(family, SocketType::DGRAM, nonblocking(), Some(ipproto::UDP))?;
        if any.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        bind_to_device(&socket, interface)?;
        Ok(bind(&socket, &address)?)
    };
    ask().map_err(|error| port_error(Transport::Udp, address, interface, &error))
}

/// A member of the groups that devices speak to, while it is open. It has no port and hears nothing itself.
///
/// # Errors
///
/// What the system answered.
pub(crate) fn dhcp6_groups(interface: IfName, index: u32) -> Result<OwnedFd, DriverError> {
    let make = || {
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, nonblocking(), Some(ipproto::UDP))?;
        for group in [ALL_ROUTERS, ALL_DHCP_SERVERS] {
            set_ipv6_add_membership(&socket, &group, index)?;
        }
        Ok(socket)
    };
    make().map_err(|error: io::Error| failure("join the groups of devices", interface, &error))
}

/// The sockets of the name server.
#[derive(Debug)]
pub(crate) struct DnsSockets {
    /// UDP, and the TCP listener.
    pub(crate) sockets: [OwnedFd; 2],
    /// Those that listen elsewhere than at port 53.
    pub(crate) moved: Vec<MovedPort>,
    /// Why; empty when none does.
    pub(crate) cause: String,
}

/// The UDP socket and the TCP listener of the name server, at port 53 or beside whoever holds it. Of IPv6 there is only
/// port 53.
pub(crate) fn dns_sockets(interface: IfName, address: IpAddr) -> Result<DnsSockets, PortError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let usual = SocketAddr::new(address, DNS);
    let freebind = |socket: &OwnedFd| match address {
        IpAddr::V4(_) => set_ip_freebind(socket, true),
        IpAddr::V6(_) => set_ipv6_v6only(socket, true).and_then(|()| set_ipv6_freebind(socket, true)),
    };
    let udp = |port: u16, beside: bool| {
        let socket = socket_with(family, SocketType::DGRAM, nonblocking(), Some(ipproto::UDP))?;
        freebind(&socket)?;
        bind_to_device(&socket, interface)?;
        // Who holds the port of all addresses and lets others have it too keeps it for every other interface.
        set_socket_reuseaddr(&socket, beside)?;
        let _ = set_socket_recv_buffer_size_force(&socket, DNS_BUFFER);
        let _ = set_socket_send_buffer_size(&socket, DNS_BUFFER);
        bind(&socket, &SocketAddr::new(address, port))?;
        // Having found it free, we let a server have it that comes later and serves other interfaces.
        set_socket_reuseaddr(&socket, true)?;
        Ok(socket)
    };
    let tcp = |port: u16| {
        let socket = socket_with(family, SocketType::STREAM, nonblocking(), Some(ipproto::TCP))?;
        freebind(&socket)?;
        bind_to_device(&socket, interface)?;
        // Connections of an earlier listener that linger are no obstacle; another listener still is.
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddr::new(address, port))?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    let (mut moved, mut cause) = (Vec::new(), String::new());
    let mut elsewhere =
        |protocol, transport, error: &io::Error, make: &dyn Fn(u16) -> io::Result<OwnedFd>| {
            let failed = port_error(transport, usual, interface, error);
            if address.is_ipv6() || matches!(failed, PortError::Failed(_)) {
                return Err(failed);
            }
            for port in INSTEAD {
                if let Ok(socket) = make(port) {
                    moved.push(MovedPort { protocol, port });
                    if cause.is_empty() {
                        cause = failed.cause();
                    }
                    return Ok(socket);
                }
            }
            Err(failed)
        };
    let queries =
        match udp(DNS, false).or_else(|error| if is_taken(&error) { udp(DNS, true) } else { Err(error) }) {
            Ok(socket) => socket,
            Err(error) => elsewhere(Protocol::Udp, Transport::Udp, &error, &|port| udp(port, false))?,
        };
    let listener = match tcp(DNS) {
        Ok(socket) => socket,
        Err(error) => elsewhere(Protocol::Tcp, Transport::Tcp, &error, &tcp)?,
    };
    Ok(DnsSockets { sockets: [queries, listener], moved, cause })
}

fn is_taken(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EADDRINUSE)
}

/// The sockets of port mapping over IPv4, `address` being the host's on `interface`, or over IPv6: UDP port 5351, UDP
/// port 1900 as a member of the group of discovery, and the TCP listener of descriptions, control and events.
pub(crate) fn portmap_sockets(
    interface: IfName,
    index: u32,
    address: Option<Ipv4Addr>,
) -> Result<[OwnedFd; 3], PortError> {
    let family = if address.is_some() { AddressFamily::INET } else { AddressFamily::INET6 };
    let at = |port| SocketAddr::new(address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4), port);
    let socket = |kind, protocol| {
        let socket = socket_with(family, kind, nonblocking(), Some(protocol))?;
        if address.is_some() {
            set_ip_freebind(&socket, true)?;
        } else {
            set_ipv6_v6only(&socket, true)?;
        }
        bind_to_device(&socket, interface)?;
        io::Result::Ok(socket)
    };
    let datagrams = |hops: u32| {
        let socket = socket(SocketType::DGRAM, ipproto::UDP)?;
        if address.is_some() {
            set_ip_multicast_ttl(&socket, hops)?;
            set_ip_multicast_loop(&socket, false)?;
        } else {
            set_ipv6_multicast_hops(&socket, hops)?;
            set_ipv6_multicast_loop(&socket, false)?;
        }
        io::Result::Ok(socket)
    };
    let control = || {
        let socket = datagrams(1)?;
        bind(&socket, &at(PORT_CONTROL))?;
        io::Result::Ok(socket)
    };
    let discovery = || {
        let socket = datagrams(SSDP_HOPS)?;
        // Programs that look for devices have the port in common.
        set_socket_reuseaddr(&socket, true)?;
        match address {
            Some(address) => {
                bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SSDP))?;
                set_ip_add_membership_with_ifindex(&socket, &SSDP_GROUP, &address, index)?;
            }
            None => {
                bind(&socket, &at(SSDP))?;
                set_ipv6_add_membership(&socket, &SSDP_GROUP6, index)?;
            }
        }
        io::Result::Ok(socket)
    };
    let web = || {
        let socket = socket(SocketType::STREAM, ipproto::TCP)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &at(PORTMAP_HTTP))?;
        listen(&socket, BACKLOG)?;
        io::Result::Ok(socket)
    };
    let taken = |transport, port| move |error| port_error(transport, at(port), interface, &error);
    let control = control().map_err(taken(Transport::Udp, PORT_CONTROL))?;
    let discovery = discovery().map_err(taken(Transport::Udp, SSDP))?;
    let web = web().map_err(taken(Transport::Tcp, PORTMAP_HTTP))?;
    Ok([control, discovery, web])
}

fn nonblocking() -> SocketFlags {
    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK
}

fn bind_to_device(socket: &OwnedFd, interface: IfName) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::BindToDevice, &interface.as_str().into())?)
}

fn port_error(transport: Transport, address: SocketAddr, interface: IfName, error: &io::Error) -> PortError {
    if !is_taken(error) {
        return PortError::Failed(failure("bind the port", format!("{address} on {interface}"), error));
    }
    let name = match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    let holder = holders(transport, address);
    let holder = if holder.is_empty() { "another program" } else { holder.as_str() };
    let port = address.port();
    PortError::Taken(format!("{name} port {port} is held by {holder}; stop it, or keep it off {interface}"))
}

fn failure(op: &str, target: impl std::fmt::Display, error: &io::Error) -> DriverError {
    match error.raw_os_error() {
        Some(errno) => DriverError::new(errno_kind(errno), op, target, errno_text(errno)).with_errno(errno),
        None => DriverError::new(DriverErrorKind::Io, op, target, error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The part of classic BPF that the filter uses, as the kernel runs it: a load beyond the end drops.
    fn accepts(frame: &[u8]) -> bool {
        passes(&DHCP_OR_ARP, frame)
    }

    fn accepts6(frame: &[u8]) -> bool {
        passes(&SOLICITATION_OR_DHCP6, frame)
    }

    fn passes(filter: &[Instruction], frame: &[u8]) -> bool {
        let half = |at: usize| Some(u32::from(*frame.get(at)?) << 8 | u32::from(*frame.get(at + 1)?));
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        while let Some(&(code, jt, jf, k)) = filter.get(at) {
            at += 1;
            let loaded = match code {
                LOAD_HALF => half(k as usize),
                LOAD_HALF_INDEXED => half((k + x) as usize),
                LOAD_BYTE => frame.get(k as usize).copied().map(u32::from),
                _ => Some(a),
            };
            let Some(loaded) = loaded else { return false };
            a = loaded;
            match code {
                LOAD_HEADER_LENGTH => {
                    let Some(byte) = frame.get(k as usize) else { return false };
                    x = 4 * u32::from(byte & 0xf);
                }
                JUMP_EQUAL => at += usize::from(if a == k { jt } else { jf }),
                JUMP_SET => at += usize::from(if a & k != 0 { jt } else { jf }),
                RETURN => return k != 0,
                _ => {}
            }
        }
        unreachable!("the filter ends with a return")
    }

    fn udp(options: usize, fragment: u16, protocol: u8, port: u16) -> Vec<u8> {
        let mut frame = vec![0xff; 12];
        frame.extend([0x08, 0x00, 0x45 + options as u8, 0, 0, 0, 0, 0]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, protocol, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
        frame.extend(vec![0; options * 4]);
        frame.extend(68_u16.to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend([0; 240]);
        frame
    }

    #[test]
    fn the_filter_passes_dhcp_requests_and_arp_and_nothing_else() {
        assert!(accepts(&udp(0, 0, 17, 67)));
        assert!(accepts(&udp(3, 0x4000, 17, 67)), "IP options, do not fragment");
        assert!(!accepts(&udp(0, 0, 17, 68)));
        assert!(!accepts(&udp(0, 0, 6, 67)), "TCP");
        assert!(!accepts(&udp(0, 0x2000, 17, 67)), "the first fragment");
        assert!(!accepts(&udp(0, 0x0001, 17, 67)), "a later fragment");
        let mut arp = vec![0xff; 12];
        arp.extend([0x08, 0x06, 0, 1]);
        assert!(accepts(&arp));
        let mut ipv6 = udp(0, 0, 17, 67);
        ipv6.splice(12..14, [0x86, 0xdd]);
        assert!(!accepts(&ipv6));
        assert!(!accepts(&[]));
    }

    #[test]
    fn the_filter_of_ipv6_passes_solicitations_and_dhcp_and_nothing_else() {
        let packet = |next: u8, payload: &[u8]| {
            let mut frame = vec![0x33; 12];
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, next, 255]);
            frame.extend([0xfe; 32]);
            frame.extend(payload);
            frame
        };
        assert!(accepts6(&packet(58, &[133, 0, 0, 0, 0, 0, 0, 0])));
        assert!(!accepts6(&packet(58, &[134, 0, 0, 0, 0, 0, 0, 0])), "another router");
        assert!(accepts6(&packet(58, &[135, 0, 0, 0, 0, 0, 0, 0])));
        assert!(accepts6(&packet(58, &[136, 0, 0, 0, 0, 0, 0, 0])));
        assert!(!accepts6(&packet(58, &[128, 0, 0, 0, 0, 0, 0, 0])), "an echo request");
        assert!(accepts6(&packet(17, &[2, 34, 2, 35, 0, 8, 0, 0])));
        assert!(!accepts6(&packet(17, &[2, 34, 0, 53, 0, 8, 0, 0])));
        assert!(!accepts6(&packet(6, &[2, 34, 2, 35, 0, 8, 0, 0])), "TCP");
        assert!(!accepts6(&packet(0, &[58, 0, 5, 2, 0, 0, 0, 0])), "an extension header");
        assert!(!accepts6(&packet(17, &[2, 34])));
        assert!(!accepts6(&udp(0, 0, 17, 67)));
        assert!(!accepts(&packet(17, &[2, 34, 2, 35, 0, 8, 0, 0])));
    }

    #[test]
    fn the_filter_of_the_uplink_passes_what_routers_neighbours_and_servers_say() {
        for start in [0, ETHERNET] {
            let passes = |next: u8, payload: &[u8]| {
                let mut frame = vec![0x33; start as usize];
                frame.extend([0x60, 0, 0, 0, 0, 8, next, 255]);
                frame.extend([0xfe; 32]);
                frame.extend(payload);
                passes(&advertisement_or_dhcp6(start), &frame)
            };
            for kind in [134, 135, 136] {
                assert!(passes(58, &[kind, 0, 0, 0, 0, 0, 0, 0]));
            }
            assert!(passes(17, &[2, 35, 2, 34, 0, 8, 0, 0]));
            assert!(!passes(58, &[133, 0, 0, 0, 0, 0, 0, 0]), "a host that asks");
            assert!(!passes(17, &[2, 34, 2, 35, 0, 8, 0, 0]), "a client that asks");
            assert!(!passes(6, &[2, 35, 2, 34, 0, 8, 0, 0]), "TCP");
            assert!(!passes(0, &[58, 0, 5, 2, 0, 0, 0, 0]), "an extension header");
        }
    }

    proptest! {
        #[test]
        fn the_filter_always_ends(frame in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = accepts(&frame);
            let _ = accepts6(&frame);
        }
    }
}
