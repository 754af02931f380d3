//! What is configured, and the form in which it is stored.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{Descriptor, IfName, Key, Ssid, part::StartTypes};

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
    /// The access list of [`crate::security::ELEVATED_ACCESS`]; absent: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevated_access: Option<Descriptor>,
    /// When the parts of the service start.
    #[serde(default)]
    pub start_types: StartTypes,
}

impl StoredSettings {
    /// The format written by this version.
    pub const VERSION: u32 = 1;
}

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
