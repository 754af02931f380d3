//! Arguments and answers with fields. Names are a contract: add, never rename.

use std::net::{Ipv4Addr, Ipv6Addr};

use hn_types::{
    Key, Ssid,
    network::MediaType,
    settings::{ApSettings, PrivateChoice, PublicChoice, Reservation},
    station::StationView,
    view::SetBy,
};
use serde::{Deserialize, Serialize};

/// Argument of `Sharing.Up`: the hosted network with sharing, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpArgs {
    /// The public connection; absent for the hosted network without full sharing.
    #[serde(default)]
    pub public: Option<PublicChoice>,
    /// The private connections; empty for the hosted network alone.
    #[serde(default)]
    pub private: Vec<PrivateChoice>,
    /// A new name for the network, kept afterwards.
    #[serde(default)]
    pub ssid: Option<Ssid>,
    /// A secondary key for this session only.
    #[serde(default)]
    pub key: Option<Key>,
}

/// Argument of `Sharing.Share`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareArgs {
    /// The public connection.
    pub public: PublicChoice,
    /// The private connections, at least one.
    pub private: Vec<PrivateChoice>,
}

pub use hn_types::{
    device::DeviceChange,
    settings::{MappingTarget, Protocol, Role},
};

/// Argument of `Sharing.AddMapping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingArgs {
    /// The connection, by interface or GUID; absent: the one that is public, or would be.
    #[serde(default)]
    pub connection: Option<String>,
    /// What it is called, at most 256 characters.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside, 1 to 65,535.
    pub external_port: u16,
    /// The port of the device; absent: the same.
    #[serde(default)]
    pub internal_port: Option<u16>,
    /// The device.
    pub target: MappingTarget,
    /// Whether it is switched on from the beginning.
    #[serde(default)]
    pub enabled: bool,
}

/// One row of the answer of `Sharing.Mappings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingView {
    /// Its number, never used again.
    pub id: u32,
    /// The interface of its connection.
    pub connection: String,
    /// What it is called.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub external_port: u16,
    /// The port of the device.
    pub internal_port: u16,
    /// The device.
    pub target: MappingTarget,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether packets pass at the moment.
    pub active: bool,
    /// Why not; empty when they do.
    pub detail: String,
    /// Where it leads while it is active.
    pub address: Option<Ipv4Addr>,
    /// Where a pinhole leads while it is active.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// Who made it: `administrator`, or the protocol through which a device asked: `upnp`, `nat-pmp`, `pcp`.
    #[serde(default)]
    pub origin: String,
    /// The device that asked.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its link-layer address, when it has a lease.
    #[serde(default)]
    pub owner_mac: Option<String>,
    /// It ends in so many seconds; absent: never by itself.
    #[serde(default)]
    pub expires_s: Option<u32>,
    /// Who may come in, `ADDRESS/PREFIX` and, if it matters, ` port PORT`; empty: everybody.
    #[serde(default)]
    pub remotes: Vec<String>,
    /// What else is to be known although it is active: that nobody on the Internet reaches the address outside.
    #[serde(default)]
    pub note: String,
}

/// Answer of `HostedNetwork.Settings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsView {
    /// The name of the network; absent before the first use.
    pub ssid: Option<Ssid>,
    /// At most this many devices.
    pub max_peers: u32,
    /// Whether the hosted network is allowed.
    pub enabled: bool,
    /// Who said so.
    pub set_by: SetBy,
    /// `wpa2_personal`.
    pub authentication: String,
    /// `ccmp`.
    pub cipher: String,
    /// Whether there is a secondary key.
    pub secondary_key: bool,
    /// Whether it outlives the session; meaningless without one.
    pub secondary_key_persistent: bool,
    /// Addresses promised to devices.
    #[serde(default)]
    pub reservations: Vec<Reservation>,
    /// `security` (`wpa2`, `transition`, `wpa3`), `hidden`, `isolated`, `address` (`permanent`, `stable`, `random`).
    #[serde(default)]
    pub access_point: ApSettings,
}

/// Answer of `HostedNetwork.Keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysView {
    /// The primary key; absent before the first use.
    pub primary: Option<Key>,
    /// The secondary key.
    pub secondary: Option<Key>,
    /// Whether the secondary key outlives the session.
    pub secondary_persistent: bool,
}

/// The answer of `HostedNetwork.SecuritySettings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySettings {
    /// The access list in SDDL.
    pub sddl: String,
    /// Who said so.
    pub set_by: SetBy,
    /// What the caller may do: an access mask.
    pub granted_access: u32,
}

/// One row of the answer of `Sharing.Connections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// The interface.
    pub name: String,
    /// Its GUID with braces.
    pub guid: String,
    /// Its kind.
    pub media: MediaType,
    /// Whether it is a Wi-Fi adapter.
    #[serde(default)]
    pub wireless: bool,
    /// `connected`, `media_disconnected` or `disconnected`.
    pub status: String,
    /// `public`, `private` or `none`.
    pub role: String,
    /// Whether it can be shared.
    pub sharable: bool,
    /// Why not; empty when it can.
    pub detail: String,
    /// Whether it is the adapter of the hosted network.
    pub hosted_network: bool,
    /// Whether the default route leads through it.
    pub default_route: bool,
    /// Whether it is the server side of a dial-in or VPN link.
    #[serde(default)]
    pub incoming_only: bool,
    /// Whether it is a member of a bridge.
    #[serde(default)]
    pub bridged: bool,
    /// Whether nothing comes in on it unasked.
    #[serde(default)]
    pub firewalled: bool,
    /// Whether it has a part in sharing, even while the other side is missing.
    #[serde(default)]
    pub shared: bool,
    /// What it is, for people.
    #[serde(default)]
    pub device: String,
    /// What it is as a Wi-Fi station, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<StationView>,
}

/// One row of the answer of `Service.Parts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// `wlan` or `sharedaccess`.
    pub name: String,
    /// `running`, `start_pending`, `stop_pending` or `stopped`.
    pub state: String,
    /// What lists call it: that of its Windows counterpart.
    #[serde(default)]
    pub display_name: String,
    /// `automatic`, `manual` or `disabled`.
    #[serde(default)]
    pub start_type: String,
    /// What it cannot do without, under the names of the Windows counterparts.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What cannot do without it: nothing.
    #[serde(default)]
    pub dependents: Vec<String>,
    /// Why it could not start; empty when nothing is in the way.
    #[serde(default)]
    pub detail: String,
    /// The process it runs in.
    #[serde(default)]
    pub process: String,
}
