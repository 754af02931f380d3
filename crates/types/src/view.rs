//! What is reported: the snapshot and the events. Field names are a contract: add, never rename.
//!
//! The same structures are printed by `--json` and travel on the bus. Nothing secret ever enters them.

use alloc::{string::String, vec::Vec};
use core::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{
    Failure, IfName, KeyRole, MacAddr, Reason, Ssid, Subnet4, Subnet6,
    device::{DeviceSettings, DeviceUsage},
    observed::Counter,
    portmap::MapRefusal,
    wpa::Wpa,
};

/// `WLAN_HOSTED_NETWORK_STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum HostedState {
    /// No capable adapter, or not allowed.
    Unavailable = 0,
    /// Available, not running.
    Idle = 1,
    /// Running.
    Active = 2,
}

impl HostedState {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Idle => "idle",
            Self::Active => "active",
        }
    }
}

/// Mode of sharing (spec/sequences.md §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingMode {
    /// Nothing is served.
    #[default]
    Off,
    /// DHCPv4 on the hosted network only.
    Standalone,
    /// NAT, DHCP and DNS between a public and a private side.
    Full,
}

impl SharingMode {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standalone => "standalone",
            Self::Full => "full",
        }
    }
}

/// State of the SharedAccess part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingPhase {
    /// Nothing runs.
    #[default]
    Stopped,
    /// On its way up.
    StartPending,
    /// Running.
    Running,
    /// On its way down.
    StopPending,
}

impl SharingPhase {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::StartPending => "start_pending",
            Self::Running => "running",
            Self::StopPending => "stop_pending",
        }
    }
}

/// Who decided a value (`WLAN_OPCODE_VALUE_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBy {
    /// The administrator's policy.
    Policy,
    /// A user, or nobody.
    User,
}

impl SetBy {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::User => "user",
        }
    }
}

/// Everything `status --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of the service.
    pub version: String,
    /// The hosted network.
    pub hosted_network: HostedNetworkView,
    /// Sharing.
    pub sharing: SharingView,
    /// Everybody who is attached: stations and lease holders, merged.
    pub devices: Vec<DeviceView>,
    /// Port mappings that devices ask for.
    #[serde(default)]
    pub port_mapping: PortMapView,
    /// Other programs on the machine that have to do with its network.
    #[serde(default)]
    pub neighbours: Vec<NeighbourView>,
    /// Packets and requests that the servers of the segment and the client of its uplink refused, by server and reason
    /// (`ipv6_uplink_dropped_unasked`), since they were started; brought up to date twice a minute.
    #[serde(default)]
    pub refused: Vec<Counter>,
}

/// Another program that has to do with the machine's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourView {
    /// Its name.
    pub name: String,
    /// What it holds of what a segment needs: `UDP port 53 of every address`.
    pub holds: Vec<String>,
    /// What it was asked for and does: `leave eth1 alone`.
    pub asked: Vec<String>,
    /// Why the two of us do not go together, and what to do; empty when we do.
    pub conflict: String,
}

/// UPnP IGD, NAT-PMP and PCP as reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapView {
    /// What devices may ask for: `off`, `own` or `any`.
    pub protocols: String,
    /// They are answered: something is shared.
    pub serving: bool,
    /// The address that mapped ports have outside.
    pub external: Option<Ipv4Addr>,
    /// Why nobody on the Internet reaches that address; empty: it is a public one.
    pub hidden: String,
    /// Mappings that devices hold at the moment.
    pub mappings: u32,
    /// Pinholes that devices hold at the moment.
    pub pinholes: u32,
    /// Requests granted since the service was started.
    pub granted: u64,
    /// Requests refused since then, by reason.
    pub refused: Vec<Refused>,
    /// What was dropped before it became a request, by reason, since the servers were started; brought up to date
    /// twice a minute.
    pub dropped: Vec<Counter>,
    /// Requests not answered since then because too many were waiting.
    pub unanswered: u64,
}

/// How often something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub reason: MapRefusal,
    /// How often.
    pub count: u64,
}

/// The hosted network as reported. Fields other than the first four are meaningful as
/// spec/hosted-network.md §2 says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedNetworkView {
    /// The state.
    pub state: HostedState,
    /// Why it is so: the reason of the last change.
    pub reason: Reason,
    /// One sentence for people when unavailable or when the last start failed; empty otherwise.
    pub detail: String,
    /// Whether user and policy allow it.
    pub enabled: bool,
    /// Who said so.
    pub set_by: SetBy,
    /// The name of the network; absent before the first use.
    pub ssid: Option<Ssid>,
    /// The virtual interface while active.
    pub interface: Option<IfName>,
    /// `IPDeviceID`, with braces, whenever the virtual adapter exists.
    pub device_guid: Option<String>,
    /// While active.
    pub bssid: Option<MacAddr>,
    /// While active.
    pub channel: Option<u32>,
    /// While active.
    pub frequency_mhz: Option<u32>,
    /// While active: `ofdm`, `erp`, `ht`, `vht`, `he`.
    pub phy: Option<crate::radio::PhyType>,
    /// At most this many devices.
    pub max_peers: u32,
    /// References held with StartUsing.
    pub references: u32,
    /// A ForceStart is in effect.
    pub forced: bool,
    /// Associated devices.
    pub peers: Vec<PeerView>,
    /// More about the access point.
    #[serde(flatten)]
    pub access_point: AccessPointView,
}

/// The access point as it runs, and why it is not as it was wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessPointView {
    /// While active: how wide its channel is.
    pub width_mhz: Option<u32>,
    /// While active: the connected interface whose channel it shares.
    pub following: Option<IfName>,
    /// Why it is not on the wished-for channel or band, one sentence; empty when it is.
    pub channel_detail: String,
    /// While active: what runs.
    pub security: Option<Wpa>,
    /// Why it is not the wished-for security, one sentence; empty when it is.
    pub security_detail: String,
    /// While active: beacons do not name the network.
    pub hidden: bool,
    /// While active: devices do not reach each other.
    pub isolated: bool,
    /// Why they may reach each other nevertheless, one sentence; empty when they do not, or when it is not isolated.
    pub isolation_detail: String,
    /// While it listens for radar before it may begin.
    pub radar_check: Option<RadarCheckView>,
}

/// Listening for radar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadarCheckView {
    /// Where.
    pub channel: u32,
    /// For how long, in seconds.
    pub total_s: u32,
    /// What of that is left.
    pub remaining_s: u32,
}

/// An associated device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its address.
    pub mac: MacAddr,
    /// The key it used.
    pub key: KeyRole,
    /// For how long, in seconds.
    pub connected_s: u64,
}

/// Sharing as reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharingView {
    /// The mode.
    pub mode: SharingMode,
    /// The phase.
    pub phase: SharingPhase,
    /// The public interface in full mode, once one is there.
    pub public: Option<IfName>,
    /// The private interfaces.
    pub private: Vec<IfName>,
    /// Address and prefix length of the host on the private side.
    pub subnet: Option<Subnet4>,
    /// Whether names are resolved for devices; `false` with a reason in `detail` when port 53 is taken.
    pub dns: bool,
    /// What does not work although sharing runs, one sentence each.
    pub detail: Vec<String>,
    /// IPv6 of the segment.
    #[serde(default)]
    pub ipv6: Ipv6Sharing,
    /// How often firewall rules that another program removed or changed were put back since the service started.
    #[serde(default)]
    pub rules_restored: u32,
}

/// IPv6 of the private segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Sharing {
    /// Where it leads.
    pub source: Ipv6Source,
    /// The prefix that devices have addresses of, if any.
    pub prefix: Option<Subnet6>,
    /// Why it leads there, one sentence.
    pub detail: String,
}

/// Where the IPv6 of a private segment leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Source {
    /// Out, with a prefix that was delegated to this machine.
    Delegated,
    /// Out, with the prefix of the uplink's own link.
    Relay,
    /// Out, behind the address of the public interface.
    Nat66,
    /// Nowhere.
    #[default]
    None,
}

/// A device: a station, a lease holder, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its address.
    pub mac: MacAddr,
    /// Its lease.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 addresses, leased or made by itself.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The name it gave, made safe.
    pub hostname: Option<String>,
    /// Where it is attached.
    pub interface: Option<IfName>,
    /// The key it used; absent on a wire.
    pub key: Option<KeyRole>,
    /// Signal in dBm, for a station.
    pub signal_dbm: Option<i32>,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// Bytes sent to it.
    pub tx_bytes: u64,
    /// RFC 3339.
    pub lease_expires: Option<String>,
    /// Whether it is associated (always `true` on a wire while the lease lives).
    pub connected: bool,
    /// Its address is one that devices make up, often another one for each network; what is decided about it may not find it
    /// again.
    #[serde(default)]
    pub random_mac: bool,
    /// The address that is promised to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_ipv4: Option<Ipv4Addr>,
    /// What was decided about it, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<DeviceSettings>,
    /// What it has used since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<DeviceUsage>,
}

/// What happened. `monitor --json` prints one a line, `event` being the tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `wlan_hosted_network_state_change`.
    StateChanged {
        /// Before.
        old: HostedState,
        /// After; never equal to `old`.
        new: HostedState,
        /// Why.
        reason: Reason,
    },
    /// A device joined (reason 20).
    PeerJoined {
        /// Who.
        mac: MacAddr,
        /// With which key.
        key: KeyRole,
    },
    /// A device left (reason 21 or 22).
    PeerLeft {
        /// Who.
        mac: MacAddr,
        /// Why.
        reason: Reason,
    },
    /// A device tried a key that is not one of ours. At most one event per device in ten seconds.
    PeerRefused {
        /// Who.
        mac: MacAddr,
    },
    /// The access point moved to another channel while it runs.
    ChannelChanged {
        /// The channel number.
        channel: u32,
        /// Its centre frequency.
        frequency_mhz: u32,
        /// The connected interface that it follows, if that is why.
        following: Option<IfName>,
    },
    /// The access point listens for radar before it may begin to send.
    RadarCheck {
        /// The channel number.
        channel: u32,
        /// For how long.
        seconds: u32,
    },
    /// `wlan_hosted_network_radio_state_change`.
    RadioChanged {
        /// The software switch is on.
        software_on: bool,
        /// The hardware switch is on.
        hardware_on: bool,
    },
    /// Mode, phase, public side or subnet of sharing changed.
    SharingChanged {
        /// The whole state.
        sharing: SharingView,
    },
    /// A device got or renewed its address.
    LeaseBound {
        /// Who.
        mac: MacAddr,
        /// Which.
        ipv4: Ipv4Addr,
        /// The name it gave, made safe.
        hostname: Option<String>,
        /// Until when, RFC 3339.
        expires: String,
    },
    /// A lease ended.
    LeaseEnded {
        /// Whose.
        mac: MacAddr,
        /// Which.
        ipv4: Ipv4Addr,
    },
    /// Settings or keys changed; the new values are asked for.
    SettingsChanged,
    /// What was decided about a device changed; nothing is decided any more when `settings` is absent.
    DeviceChanged {
        /// Which.
        mac: MacAddr,
        /// What holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<DeviceSettings>,
    },
    /// A device has used up its quota.
    QuotaExhausted {
        /// Which.
        mac: MacAddr,
        /// The quota in bytes.
        bytes: u64,
    },
    /// The quota of a device that had used it up began anew.
    QuotaRenewed {
        /// Which.
        mac: MacAddr,
    },
    /// An operation failed or something stopped working.
    Trouble {
        /// What, where, why and what to do.
        failure: Failure,
    },
    /// This subscriber was too slow: events are missing, ask for the snapshot.
    Resync,
}

/// An event with its place in the one order of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// Counts up by one for each event of the service.
    pub sequence: u64,
    /// RFC 3339.
    pub time: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}
