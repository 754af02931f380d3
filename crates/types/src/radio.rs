//! What a Wi-Fi adapter can do, as nl80211 tells it, in the words of IEEE 802.11 and nl80211.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{IfName, MacAddr, Ssid};

/// `NL80211_IFTYPE_*`, the ones that matter for combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfType {
    /// Ad hoc (IBSS).
    Adhoc,
    /// A station.
    Station,
    /// An access point.
    Ap,
    /// A VLAN of an access point.
    ApVlan,
    /// A monitor.
    Monitor,
    /// A mesh point.
    MeshPoint,
    /// P2P client.
    P2pClient,
    /// P2P group owner.
    P2pGo,
    /// P2P device.
    P2pDevice,
    /// Anything else, with its nl80211 number.
    Other(u32),
}

/// A radio (wiphy) and what runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// `NL80211_ATTR_WIPHY`.
    pub wiphy: u32,
    /// `phy0`.
    pub name: String,
    /// The permanent address.
    pub address: MacAddr,
    /// The kernel driver, empty if unknown.
    pub driver: String,
    /// Types of interface it can be.
    pub iftypes: Vec<IfType>,
    /// Which may exist together; empty means one interface at a time.
    pub combinations: Vec<InterfaceCombination>,
    /// Its bands.
    pub bands: Vec<Band>,
    /// Stations an access point on it can hold; `None` when the driver does not say.
    pub max_ap_stations: Option<u32>,
    /// Whether CSA works (`NL80211_ATTR_SUPPORTED_COMMANDS` has CHANNEL_SWITCH).
    pub channel_switch: bool,
    /// Software or hardware switch is off.
    pub blocked: RadioSwitch,
    /// Interfaces on it at the moment.
    pub interfaces: Vec<RadioInterface>,
}

/// The two radio switches (`WLAN_HOSTED_NETWORK_RADIO_STATE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioSwitch {
    /// Switched off by software (`rfkill` soft block).
    pub soft: bool,
    /// Switched off by a hardware switch (hard block).
    pub hard: bool,
}

/// One row of `NL80211_ATTR_INTERFACE_COMBINATIONS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceCombination {
    /// How many interfaces of which types.
    pub limits: Vec<InterfaceLimit>,
    /// How many interfaces in all.
    pub max_interfaces: u32,
    /// How many different channels at once.
    pub channels: u32,
    /// Whether all stations and access points must use the same beacon interval.
    pub same_beacon_interval: bool,
}

/// One limit inside a combination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLimit {
    /// At most this many…
    pub max: u32,
    /// …interfaces of these types together.
    pub types: Vec<IfType>,
}

/// A frequency band of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// Channels, disabled ones included.
    pub channels: Vec<ChannelInfo>,
    /// HT capabilities exist (802.11n).
    pub ht: bool,
    /// VHT capabilities exist (802.11ac).
    pub vht: bool,
    /// HE capabilities for an access point exist (802.11ax).
    pub he: bool,
    /// The raw HT capability field, 0 without HT.
    pub ht_capabilities: u16,
}

/// One channel with what the regulatory domain says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelInfo {
    /// Centre frequency in MHz.
    pub frequency_mhz: u32,
    /// Not usable at all.
    pub disabled: bool,
    /// May not start radiation (`no-IR`), so no access point.
    pub no_ir: bool,
    /// Radar detection is required.
    pub radar: bool,
}

/// An interface on a radio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioInterface {
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub index: u32,
    /// Its type.
    pub iftype: IfType,
    /// Its address.
    pub address: MacAddr,
    /// The channel it uses now: for a station the one of its connection.
    pub frequency_mhz: Option<u32>,
    /// For a connected station, its network.
    pub ssid: Option<Ssid>,
    /// Whether a station is associated.
    pub connected: bool,
}

/// The generation of the physical layer, numbers of `DOT11_PHY_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhyType {
    /// 802.11a.
    Ofdm,
    /// 802.11g.
    Erp,
    /// 802.11n.
    Ht,
    /// 802.11ac.
    Vht,
    /// 802.11ax.
    He,
}

impl PhyType {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ofdm => "ofdm",
            Self::Erp => "erp",
            Self::Ht => "ht",
            Self::Vht => "vht",
            Self::He => "he",
        }
    }
}

/// The channel number of a centre frequency (IEEE 802.11-2020, 17.3.8.4.2 and 9.4.2.54).
pub const fn channel_of(frequency_mhz: u32) -> Option<u32> {
    match frequency_mhz {
        2484 => Some(14),
        2412..=2472 if (frequency_mhz - 2407).is_multiple_of(5) => Some((frequency_mhz - 2407) / 5),
        5935 => Some(2),
        5000..=5895 if frequency_mhz.is_multiple_of(5) => Some((frequency_mhz - 5000) / 5),
        5955..=7115 if (frequency_mhz - 5950).is_multiple_of(5) => Some((frequency_mhz - 5950) / 5),
        _ => None,
    }
}

/// The adapters of the machine, complete. Emitted whenever anything in it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioView {
    /// Every radio.
    pub adapters: Vec<Adapter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_numbers() {
        for (frequency, channel) in [
            (2412, Some(1)),
            (2437, Some(6)),
            (2472, Some(13)),
            (2484, Some(14)),
            (5180, Some(36)),
            (5955, Some(1)),
            (2413, None),
            (900, None),
        ] {
            assert_eq!(channel_of(frequency), channel);
        }
    }
}
