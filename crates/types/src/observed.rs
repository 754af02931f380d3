//! What a platform reports by itself, and a worker through it.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    IfName, KeyRole, MacAddr, Subnet6, Wall, network::NetworkView, portmap::MapRequest, radio::RadioView,
    settings::Protocol,
};

/// What a platform reports by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformEvent {
    /// The adapters, complete; emitted once at the start and whenever anything in it changed.
    Radio(RadioView),
    /// The network, complete; emitted once at the start and whenever anything in it changed.
    Network(NetworkView),
    /// Something about the running access point.
    Ap(ApEvent),
    /// Something about the protocol servers.
    Service(ServiceEvent),
    /// A device asks for a port mapping.
    PortMap {
        /// What. Its id is the driver's: answers carry it.
        request: MapRequest,
        /// Ports on which this host serves outside of the segment at the moment.
        served: Vec<(Protocol, u16)>,
    },
    /// The firewall rules in force are not those that were applied last: another program removed or changed them.
    /// Emitted once; again only after the firewall was applied again.
    FirewallLost {
        /// What was found instead, lower case, without a full stop.
        cause: String,
    },
    /// What other people's firewalls certainly drop of what the segments in force need, complete; emitted whenever it
    /// changed, and when some of it may be opened by applying the plan again.
    FirewallBlocked(Vec<Obstacle>),
    /// The machine is put to sleep, or was.
    Sleep(Sleep),
}

/// The machine's sleep: suspend, hibernation, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// It is about to begin. What must not be caught by it has to end now; the sleep waits a few seconds for that.
    Coming,
    /// It is over, or did not come.
    Over,
}

/// What somebody's firewall drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Who drops what and where, lower case, without a full stop.
    pub cause: String,
    /// What a person does about it.
    pub remedy: String,
    /// Its owner can be asked to let it through, and is when the plan is applied again.
    pub askable: bool,
}

/// What happens to a running access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApEvent {
    /// A station completed the handshake.
    StationJoined {
        /// Who.
        mac: MacAddr,
        /// With which key.
        key: KeyRole,
    },
    /// A station left by itself or was disconnected.
    StationLeft {
        /// Who.
        mac: MacAddr,
        /// It was silent too long rather than said goodbye.
        timed_out: bool,
    },
    /// A station failed the handshake because its key is none of ours.
    KeyMismatch {
        /// Who.
        mac: MacAddr,
    },
    /// Signal and counters of every station, complete.
    StationStats(Vec<StationStats>),
    /// The access point moved to another channel.
    ChannelChanged {
        /// Centre frequency in MHz.
        frequency_mhz: u32,
    },
    /// A station interface of this machine has been told by its access point to move, and is about to.
    StationMoving {
        /// Which.
        interface: IfName,
        /// Where to: centre frequency in MHz.
        frequency_mhz: u32,
    },
    /// The access point listens for radar before it may begin to send.
    RadarCheck {
        /// Where: centre frequency in MHz.
        frequency_mhz: u32,
        /// For how long.
        seconds: u32,
    },
    /// The access point is gone although nobody stopped it: its process died, its interface was removed, or
    /// the driver gave up.
    Lost {
        /// Why, lower case, without a full stop.
        cause: String,
    },
}

/// One station's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationStats {
    /// Who.
    pub mac: MacAddr,
    /// Signal of its last frame in dBm.
    pub signal_dbm: Option<i32>,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// Bytes sent to it.
    pub tx_bytes: u64,
}

/// What the protocol servers report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceEvent {
    /// A lease was given or renewed; one of IPv4 is on disk.
    LeaseBound(Lease),
    /// A lease ended.
    LeaseEnded {
        /// Whose.
        mac: MacAddr,
        /// Which.
        address: IpAddr,
    },
    /// All leases, complete; sent after a (re)start of the worker. At most 200 in a message; `more` says that
    /// the next message continues the list.
    Leases {
        /// A part of the list.
        leases: Vec<Lease>,
        /// Whether the next message continues it.
        more: bool,
        /// Whether this is the first part.
        first: bool,
    },
    /// What the uplink gives for IPv6, whenever that changes.
    Uplink6(Uplink6),
    /// DNS answers, or does not and why.
    Dns {
        /// Whether it answers.
        serving: bool,
        /// Why not, lower case, without a full stop.
        cause: String,
    },
    /// Port 53 is held by another program, so the name server listens at other ports and packets for 53 have to be
    /// led there. Empty lists: it has the port itself.
    DnsMoved {
        /// What has to be led where.
        moved: Vec<MovedPort>,
        /// Who holds the port, lower case, without a full stop.
        cause: String,
    },
    /// Something does not work although the rest does; empty text means that it works again.
    Trouble {
        /// Which.
        kind: ServiceTrouble,
        /// What, lower case, without a full stop.
        cause: String,
    },
    /// The worker ended and is being started again.
    WorkerLost {
        /// How it ended.
        cause: String,
    },
    /// Counters, complete.
    Counters(Vec<Counter>),
}

/// A port of the name server that is another one than devices ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedPort {
    /// Of which protocol.
    pub protocol: Protocol,
    /// Where the server listens instead of 53, above 1023.
    pub port: u16,
}

/// What can be wrong with the protocol servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceTrouble {
    /// Leases cannot be written, so none are given.
    LeaseStore,
    /// The pool has no free address.
    PoolExhausted,
    /// Somebody uses an address of ours.
    AddressConflict,
    /// No upstream answers.
    Upstreams,
    /// Another DHCP server holds port 67 on this machine.
    DhcpPort,
    /// Router advertisements or DHCPv6 cannot be served.
    Ipv6,
    /// UPnP, NAT-PMP or PCP cannot be served.
    PortMap,
}

/// What an uplink gives for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink6 {
    /// The uplink.
    pub interface: IfName,
    /// A prefix that was delegated, 16 to 64 bits.
    pub delegated: Option<Subnet6>,
    /// The prefix of its link that routers advertise, a /64.
    pub shared: Option<Subnet6>,
    /// Whether this is the whole truth, as far as it can be known.
    pub settled: bool,
}

/// A lease as reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub mac: MacAddr,
    /// Which address.
    pub address: IpAddr,
    /// The name the device gave, made safe; empty if none.
    pub hostname: String,
    /// Until when.
    pub expires: Wall,
}

/// A named counter, `dhcp_dropped_malformed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Its stable name.
    pub name: String,
    /// Its value.
    pub value: u64,
}
