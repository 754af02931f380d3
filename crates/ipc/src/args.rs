//! Arguments and answers with fields. Names are a contract: add, never rename.

use hn_types::{
    Key, Ssid,
    network::MediaType,
    settings::{PrivateChoice, PublicChoice, Reservation},
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
