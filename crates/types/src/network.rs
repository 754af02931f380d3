//! What the machine's network looks like: connections, routes, resolvers. Always a complete picture.

use alloc::{string::String, vec::Vec};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{IfName, MacAddr, Subnet4, Subnet6};

/// The machine's network at one moment. A new complete value is emitted whenever anything changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkView {
    /// Every interface.
    pub links: Vec<Link>,
    /// The interface by which this machine's own IPv4 packets leave for the Internet, as far as its routing rules and
    /// tables say.
    pub default_route: Option<IfName>,
    /// Every interface with an IPv4 default route in any table of others, each once, the best first.
    pub ways: Vec<Way>,
    /// The routing tables of ours and where their default routes lead ([`crate::plan::Steering`]).
    pub steered: Vec<(u32, IfName)>,
    /// Every IPv4 network that is reachable by an address or a route of any table, without default routes
    /// and without what this service itself configured.
    pub occupied: Vec<OccupiedSubnet>,
    /// Where names are resolved, best first.
    pub resolvers: Vec<SocketAddr>,
    /// Where a stub of this machine asks in its turn, best first; empty when nobody says.
    #[serde(default)]
    pub behind_stub: Vec<SocketAddr>,
    /// The name of the host, first label only.
    pub host_name: String,
    /// IPv6 of this machine.
    pub ipv6: Ipv6View,
}

/// An interface that leads to the whole Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The interface.
    pub interface: IfName,
    /// The next router; absent where the link has only one other end.
    pub gateway: Option<Ipv4Addr>,
}

/// The same of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way6 {
    /// The interface.
    pub interface: IfName,
    /// The next router; absent where the link has only one other end.
    pub gateway: Option<Ipv6Addr>,
}

/// IPv6 of the machine, without what this service itself configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6View {
    /// The kernel has it, and interfaces that are made get it.
    pub available: bool,
    /// Interfaces on which it is turned off.
    pub disabled: Vec<IfName>,
    /// This machine is an IPv6 router by a setting that is not ours.
    pub forwarding: bool,
    /// The interface by which this machine's own IPv6 packets leave, then the others with a default route in the main
    /// table, the best first.
    pub uplinks: Vec<IfName>,
    /// Global addresses with their interfaces.
    #[serde(default)]
    pub addresses: Vec<(IfName, Subnet6)>,
    /// Addresses that are valid beyond their link, be it unique local ones, with their interfaces.
    #[serde(default)]
    pub addressed: Vec<(IfName, Subnet6)>,
    /// Every interface with an IPv6 default route in any table of others, each once, the best first.
    pub ways: Vec<Way6>,
    /// The routing tables of ours and where their IPv6 default routes lead.
    pub steered: Vec<(u32, IfName)>,
}

impl NetworkView {
    /// The interface with this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name.as_str() == name)
    }
}

/// A network that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OccupiedSubnet {
    /// The network.
    pub subnet: Subnet4,
    /// Through which interface.
    pub interface: IfName,
}

/// A network interface, seen as a Windows *connection* (spec/internet-connection-sharing.md §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub index: u32,
    /// Its link-layer address; absent for point-to-point links.
    pub address: Option<MacAddr>,
    /// `NETCON_MEDIATYPE`.
    pub media: MediaType,
    /// The server side of a dial-in or VPN link (`NCCF_INCOMING_ONLY`).
    pub incoming_only: bool,
    /// Administratively up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// The bridge or bond it is a member of.
    pub master: Option<IfName>,
    /// Its IPv4 addresses.
    pub addresses: Vec<Subnet4>,
    /// Its maximum transmission unit in bytes.
    pub mtu: u32,
    /// It is a Wi-Fi interface.
    pub wireless: bool,
    /// This service created it.
    pub ours: bool,
}

/// `NETCON_MEDIATYPE` with its numbers, as design §3 maps Linux links to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum MediaType {
    /// Not a connection: loopback and the like.
    None = 0,
    /// Direct cable.
    Direct = 1,
    /// ISDN.
    Isdn = 2,
    /// Ethernet and Wi-Fi.
    Lan = 3,
    /// A dial-up link.
    Phone = 4,
    /// tun, WireGuard, gre and other tunnels.
    Tunnel = 5,
    /// PPP over Ethernet.
    Pppoe = 6,
    /// A bridge.
    Bridge = 7,
}

impl MediaType {
    /// Whether seed 001 lists it as a candidate for sharing.
    pub const fn sharable(self) -> bool {
        matches!(self, Self::Direct | Self::Isdn | Self::Lan | Self::Phone | Self::Tunnel | Self::Pppoe)
    }

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Direct => "direct",
            Self::Isdn => "isdn",
            Self::Lan => "lan",
            Self::Phone => "phone",
            Self::Tunnel => "tunnel",
            Self::Pppoe => "pppoe",
            Self::Bridge => "bridge",
        }
    }
}

impl Link {
    /// Why the connection cannot be shared, if so.
    pub const fn not_sharable(&self) -> Option<&'static str> {
        if !self.media.sharable() {
            Some("connections of this media type cannot be shared")
        } else if self.incoming_only {
            Some("incoming connections cannot be shared")
        } else {
            None
        }
    }
}
