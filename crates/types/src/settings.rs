//! What is configured, and the form in which it is stored.

use alloc::{string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Descriptor, IfName, Key, Ssid, Subnet4, Subnet6,
    device::{DeviceSettings, DeviceUsage},
    part::StartTypes,
    wpa::Wpa,
};

/// `WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSettings {
    /// The name of the network.
    pub ssid: Ssid,
    /// At most this many devices, 1 to 2007 (association ids); 100 when nobody said otherwise.
    pub max_peers: u32,
}

/// The key a user or an application gave (spec/hosted-network.md §5.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondaryKey {
    /// The key.
    pub key: Key,
    /// `true`: used now and at every later start. `false`: used for this session or, when none
    /// runs, the next one, and then forgotten.
    pub persistent: bool,
}

/// Settings that survive a restart of the machine. Running state does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSettings {
    /// Format of this record; [`StoredSettings::VERSION`].
    pub version: u32,
    /// Name and size of the network; absent before the first use.
    pub connection: Option<ConnectionSettings>,
    /// The primary key; absent before the first use.
    pub primary_key: Option<Key>,
    /// A persistent secondary key.
    pub secondary_key: Option<Key>,
    /// Whether a user allows the hosted network. `None` means never said, which allows.
    pub enabled: Option<bool>,
    /// Addresses promised to devices for ever.
    #[serde(default)]
    pub reservations: Vec<Reservation>,
    /// Port mappings, oldest first.
    #[serde(default)]
    pub mappings: Vec<PortMapping>,
    /// The id that the newest mapping got; ids are never used again.
    #[serde(default)]
    pub last_mapping: u32,
    /// Connections on which nothing comes in unasked.
    #[serde(default)]
    pub firewalled: Vec<IfName>,
    /// The access list of [`crate::security::ELEVATED_ACCESS`]; absent: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevated_access: Option<Descriptor>,
    /// When the parts of the service start.
    #[serde(default)]
    pub start_types: StartTypes,
    /// What was decided about single devices, by address.
    #[serde(default)]
    pub devices: Vec<DeviceSettings>,
    /// What these devices have used, by address.
    #[serde(default)]
    pub usage: Vec<DeviceUsage>,
    /// What was set of the access point.
    #[serde(default, skip_serializing_if = "ApSettings::is_empty")]
    pub access_point: ApSettings,
}

impl StoredSettings {
    /// The format written by this version.
    pub const VERSION: u32 = 1;
}

/// What was set of the access point besides name and size. What is absent is as the administrator configured it, or
/// as it always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApSettings {
    /// How devices prove that they know the key; WPA2 when nobody said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Wpa>,
    /// Beacons do not name the network; they do when nobody said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// Devices do not reach each other; they do when nobody said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolated: Option<bool>,
    /// Which address the access point has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<AddressPolicy>,
}

impl ApSettings {
    /// What holds when nobody said anything.
    pub const DEFAULT: Self = Self {
        security: Some(Wpa::Wpa2),
        hidden: Some(false),
        isolated: Some(false),
        address: Some(AddressPolicy::Permanent),
    };

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is set here, and what is not as `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            security: self.security.or(other.security),
            hidden: self.hidden.or(other.hidden),
            isolated: self.isolated.or(other.isolated),
            address: self.address.or(other.address),
        }
    }
}

/// Where the address of the access point (its BSSID) comes from. It is a local one in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// From the permanent address of the adapter.
    #[default]
    Permanent,
    /// Made up once for this machine and this name of the network: it tells nobody which adapter it is.
    Stable,
    /// A new one for every start.
    Random,
}

impl AddressPolicy {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Stable => "stable",
            Self::Random => "random",
        }
    }
}

impl FromStr for AddressPolicy {
    type Err = AddressPolicyError;

    fn from_str(text: &str) -> Result<Self, AddressPolicyError> {
        [Self::Permanent, Self::Stable, Self::Random]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or(AddressPolicyError)
    }
}

/// The text names no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPolicyError;

impl fmt::Display for AddressPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is one of permanent, stable and random")
    }
}

impl core::error::Error for AddressPolicyError {}

/// An address promised to one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// The device.
    pub mac: crate::MacAddr,
    /// The last byte(s) of the address as an offset in the subnet, so that a reservation survives a
    /// change from one subnet to another: 20 means `.20` of a /24.
    pub host: u32,
    /// A name for people; empty when none was given.
    #[serde(default)]
    pub name: String,
}

/// Part a connection has in full sharing (`SHARINGCONNECTIONTYPE`: 0 and 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It leads out.
    Public,
    /// It is served.
    Private,
}

impl Role {
    /// `public` or `private`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// The protocol of a port mapping (`INetSharingPortMappingProps::IPProtocol`: 6 or 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Number 6.
    Tcp,
    /// Number 17.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The number in the IPv4 header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a port mapping is for (`ICS_TARGETTYPE`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingTarget {
    /// The device that has a lease under this name, whatever its address; case does not matter.
    Name(String),
    /// This address of the private segment.
    Address(Ipv4Addr),
}

impl fmt::Display for MappingTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A port of a public connection that leads to a device (spec/internet-connection-sharing.md §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortMapping {
    /// Its number, from 1.
    pub id: u32,
    /// The connection it belongs to; it acts while that is the public one of full sharing.
    pub connection: IfName,
    /// What it is called, at most 256 characters.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside, 1 to 65,535.
    pub external_port: u16,
    /// The port of the device, 1 to 65,535.
    pub internal_port: u16,
    /// The device.
    pub target: MappingTarget,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// What an administrator decided, from `policy.toml` (only root writes it).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// `Some(false)` forbids the hosted network (reason 23), `Some(true)` forces it allowed.
    pub hosted_network: Option<bool>,
    /// `Some(false)` forbids sharing.
    pub sharing: Option<bool>,
}

/// The pair of full sharing: one public connection, at least one private one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharingPair {
    /// Which connection leads out.
    pub public: PublicChoice,
    /// The private connections.
    pub private: Vec<PrivateChoice>,
}

/// Which connection is the public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicChoice {
    /// The one that has the default route, whichever it is at the time.
    Auto,
    /// This one.
    Interface(IfName),
}

/// Which connection is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateChoice {
    /// The adapter of the hosted network, whatever its name.
    HostedNetwork,
    /// This one.
    Interface(IfName),
}

/// What devices are kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// Every private and link-local network (RFC 1918, RFC 3927, RFC 4193, `fe80::/10`).
    Private,
    /// This network.
    Network(Subnet4),
    /// This network of IPv6.
    Network6(Subnet6),
    /// The networks that this machine reaches by an interface, without what is behind its default route.
    Interface(IfName),
}

/// The text names nothing that devices could be kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsolationError;

impl fmt::Display for IsolationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it is neither \"private\", nor a network such as 192.168.1.0/24, nor the name of an interface",
        )
    }
}

impl core::error::Error for IsolationError {}

impl FromStr for Isolation {
    type Err = IsolationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "private" {
            return Ok(Self::Private);
        }
        if text.contains('/') {
            let ipv4 = text.parse().map(Self::Network).ok();
            return ipv4.or_else(|| text.parse().map(Self::Network6).ok()).ok_or(IsolationError);
        }
        text.parse().map(Self::Interface).map_err(|_| IsolationError)
    }
}
