//! The typed, bounded messages between the control process and the worker that runs the protocol
//! engines, and what a services lane reports upwards.
//!
//! Both directions travel as one datagram per message over a `SOCK_SEQPACKET` pair, encoded with postcard,
//! at most [`MESSAGE_LIMIT`] bytes. File descriptors ride along with the message that names them, in the
//! order of their fields. The control process treats the worker as a stranger: a message that does not decode ends it.

use std::net::{Ipv6Addr, SocketAddr};

use hn_types::{
    IfName, MacAddr, Monotonic, Subnet6,
    observed::ServiceEvent,
    plan::{Ipv6Plan, ServiceSegment},
    portmap::{MapAnswer, MapEntry, MapRequest, MapUplink},
};
use serde::{Deserialize, Serialize};

/// No message is longer, in bytes.
pub const MESSAGE_LIMIT: usize = 16 * 1024;

/// The TCP port of UPnP's descriptions, control and events (IANA: `icslap`, the one Windows uses).
pub const PORTMAP_HTTP: u16 = 2869;

/// Mappings in one message.
pub const ENTRIES: usize = 20;

/// From the control process to the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a few are sent for each start, one at a time")]
pub enum ToWorker {
    /// Serve this segment. Descriptors: the packet socket (AF_PACKET, bound to the interface, filtered to
    /// DHCP requests and ARP), then the lease journal (opened for reading and appending).
    Serve {
        /// Echoed in [`FromWorker::Serving`].
        generation: u64,
        /// The segment.
        segment: ServiceSegment,
        /// Index of the interface.
        index: u32,
        /// Address of the interface.
        mac: MacAddr,
        /// Probe an address before it is offered.
        probe: bool,
    },
    /// Name servers for the segment. Descriptors: the UDP socket and the TCP listener, both bound to port 53
    /// of the private address.
    ServeDns {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
    },
    /// The same of IPv6. Descriptors: the UDP socket and the TCP listener, both bound to port 53 of the
    /// private IPv6 address.
    ServeDns6 {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
    },
    /// Router advertisements and DHCPv6 for the segment. Descriptor: the packet socket (AF_PACKET, bound to the
    /// interface, filtered to router solicitations and DHCPv6 requests).
    ServeIpv6 {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
        /// What devices are told.
        plan: Ipv6Plan,
        /// Address of the interface.
        mac: MacAddr,
    },
    /// Tell devices that the way out is another one.
    Ipv6Uplink(
        /// What they were told before, but for the way out.
        Ipv6Plan,
    ),
    /// Find out what this uplink gives for IPv6, in place of any other. Descriptor: the packet socket (AF_PACKET,
    /// bound to the uplink, filtered to router advertisements, neighbour discovery and answers of DHCPv6 servers).
    WatchUplink6 {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
        /// The uplink.
        interface: IfName,
        /// Its address; without one frames begin with the IPv6 header.
        mac: Option<MacAddr>,
        /// The host's link-local address there.
        link_local: Ipv6Addr,
    },
    /// Leave that uplink.
    LeaveUplink6,
    /// Tell devices that ask for it another interface MTU by DHCP.
    Mtu(
        /// Option 26; absent: none.
        Option<u16>,
    ),
    /// UPnP IGD, NAT-PMP and PCP for the segment. Descriptors: the UDP sockets of port 5351 and 1900 (a member of
    /// 239.255.255.250) and the TCP listener of port [`PORTMAP_HTTP`], all of IPv4 on the private interface.
    ServePortMap {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
        /// Who the gateway is (a UUID).
        uuid: [u8; 16],
        /// What devices know the host by.
        name: String,
        /// Since when the table has lost nothing.
        epoch: Monotonic,
    },
    /// The same of IPv6, for a segment for which IPv4 is served; the UDP socket of port 1900 is a member of
    /// `ff02::c`.
    ServePortMap6 {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
        /// The host's link-local address.
        link_local: Ipv6Addr,
        /// The host's other addresses, each with the prefix of the devices' addresses; at most 8.
        prefixes: Vec<Subnet6>,
    },
    /// The host's IPv6 addresses are others.
    PortMapAddress6 {
        /// As [`ToWorker::ServePortMap6::link_local`].
        link_local: Ipv6Addr,
        /// As [`ToWorker::ServePortMap6::prefixes`].
        prefixes: Vec<Subnet6>,
    },
    /// The way out, as devices that map ports may see it.
    PortMapUplink(MapUplink),
    /// The table of port mappings, in parts of at most [`ENTRIES`].
    PortMapEntries {
        /// A part of the table.
        entries: Vec<MapEntry>,
        /// Whether this is the first part.
        first: bool,
        /// Whether the next message continues it.
        more: bool,
    },
    /// Answers to [`FromWorker::Ask`].
    PortMapAnswers(Vec<MapAnswer>),
    /// Ask other upstreams from here on.
    Upstreams {
        /// Best first; at most 8.
        resolvers: Vec<SocketAddr>,
        /// Through this interface and no other.
        through: Option<IfName>,
    },
    /// Rewrite the journal without its history. Descriptors: an empty file that replaces the journal.
    Compact {
        /// Echoed in [`FromWorker::Compacted`].
        generation: u64,
    },
    /// Stop serving, finish what is being written, answer [`FromWorker::Stopped`].
    Stop {
        /// Echoed.
        generation: u64,
    },
}

/// From the worker to the control process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker is locked down and listens to commands.
    Ready,
    /// DHCP answers.
    Serving {
        /// Of the command.
        generation: u64,
        /// How many leases were taken up from the journal.
        leases: u32,
    },
    /// DNS answers.
    ServingDns {
        /// Of the command.
        generation: u64,
    },
    /// The same of IPv6: an empty cause says that it answers.
    Dns6 {
        /// Of the command.
        generation: u64,
        /// Why not.
        cause: String,
    },
    /// UPnP, NAT-PMP and PCP are served over one family, with an empty cause.
    PortMap {
        /// Of the command.
        generation: u64,
        /// Over IPv6, not IPv4.
        ipv6: bool,
        /// Why not.
        cause: String,
    },
    /// A device asks for a port mapping.
    Ask(MapRequest),
    /// Router advertisements and DHCPv6 are served, with an empty cause.
    Ipv6 {
        /// Of the command.
        generation: u64,
        /// Why not.
        cause: String,
    },
    /// The journal has grown enough to be rewritten.
    WantsCompaction,
    /// The new file holds everything, is on disk and in use.
    Compacted {
        /// Of the command.
        generation: u64,
        /// Whether it worked; if not, the old file is still in use.
        ok: bool,
    },
    /// Nothing is served.
    Stopped {
        /// Of the command.
        generation: u64,
    },
    /// A command could not be carried out.
    Failed {
        /// Of the command.
        generation: u64,
        /// Why.
        cause: String,
    },
    /// Something happened.
    Event(ServiceEvent),
}
