//! What a Wi-Fi adapter can do, as nl80211 tells it, in the words of IEEE 802.11 and nl80211.

use alloc::{string::String, vec::Vec};
use core::fmt;

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

impl fmt::Display for IfType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adhoc => "ad hoc",
            Self::Station => "station",
            Self::Ap => "access point",
            Self::ApVlan => "VLAN of an access point",
            Self::Monitor => "monitor",
            Self::MeshPoint => "mesh point",
            Self::P2pClient => "P2P client",
            Self::P2pGo => "P2P group owner",
            Self::P2pDevice => "P2P device",
            Self::Other(number) => return write!(f, "number {number}"),
        })
    }
}

/// A radio (wiphy) and what runs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whose rules its channels obey.
    #[serde(default)]
    pub regulatory: Regulatory,
    /// Which kinds of protection an access point on it can have.
    #[serde(default)]
    pub protection: Protection,
    /// Software or hardware switch is off.
    pub blocked: RadioSwitch,
    /// Interfaces on it at the moment.
    pub interfaces: Vec<RadioInterface>,
}

/// A country as regulators know it: two letters of ISO 3166-1, or digits for something that is no country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Country(pub [u8; 2]);

impl Country {
    /// The world domain: what is allowed everywhere, and no more.
    pub const WORLD: Self = Self(*b"00");

    /// Whether it names a country rather than the world, an intersection of countries or a driver's own rules.
    pub const fn is_country(self) -> bool {
        self.0[0].is_ascii_uppercase() && self.0[1].is_ascii_uppercase()
    }
}

impl Default for Country {
    fn default() -> Self {
        Self::WORLD
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

/// Whose rules the channels of an adapter obey (`NL80211_CMD_GET_REG`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regulatory {
    /// The country in force.
    pub country: Country,
    /// The adapter decides by itself and ignores what the machine is told (`NL80211_ATTR_WIPHY_SELF_MANAGED_REG`).
    pub self_managed: bool,
}

/// What protection the adapter and its driver leave possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Management frames can be protected (`NL80211_ATTR_CIPHER_SUITES` has BIP-CMAC-128).
    pub management_frames: bool,
    /// The driver authenticates by itself (`NL80211_ATTR_DEVICE_AP_SME`), so hostapd cannot do SAE unless
    /// `sae_offload` says that the driver can.
    pub own_sme: bool,
    /// The driver does SAE by itself (`NL80211_EXT_FEATURE_SAE_OFFLOAD_AP`).
    pub sae_offload: bool,
}

/// What the hostapd of this machine was built with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticator {
    /// It can do SAE (WPA3-Personal).
    pub sae: bool,
    /// It tries every wildcard password of SAE, not only the first one (`sae_track_password`).
    pub many_passwords: bool,
    /// It can announce 802.11ax.
    pub he: bool,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceCombination {
    /// How many interfaces of which types.
    pub limits: Vec<InterfaceLimit>,
    /// How many interfaces in all.
    pub max_interfaces: u32,
    /// How many different channels at once.
    pub channels: u32,
    /// Whether all stations and access points must use the same beacon interval.
    pub same_beacon_interval: bool,
    /// The widths at which radar can be detected (`NL80211_IFACE_COMB_RADAR_DETECT_WIDTHS`): bit n is the
    /// n-th of `NL80211_CHAN_WIDTH_*`. 0: not at all.
    #[serde(default)]
    pub radar_widths: u32,
}

impl InterfaceCombination {
    /// Whether radar can be detected on a channel of this width.
    pub const fn detects_radar(&self, width: Width) -> bool {
        self.radar_widths & (1 << width.nl80211()) != 0
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The raw VHT capability field, 0 without VHT.
    #[serde(default)]
    pub vht_capabilities: u32,
    /// The first byte of the HE PHY capabilities of an access point, 0 without HE: bit 1 is 40 MHz in the 2.4 GHz
    /// band, bit 2 is 40 and 80 MHz in the others (IEEE 802.11ax-2021, 9.4.2.248.3).
    #[serde(default)]
    pub he_widths: u8,
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
    /// How long must be listened for radar before the first frame, in milliseconds; 0: the driver does not
    /// say, which means a minute.
    #[serde(default)]
    pub cac_ms: u32,
    /// What is known of radar here.
    #[serde(default)]
    pub dfs: Dfs,
    /// Widths that the rules forbid here.
    #[serde(default)]
    pub narrow: Narrow,
}

impl ChannelInfo {
    /// A channel on which everything is allowed.
    pub const fn free(frequency_mhz: u32) -> Self {
        Self {
            frequency_mhz,
            disabled: false,
            no_ir: false,
            radar: false,
            cac_ms: 0,
            dfs: Dfs::Usable,
            narrow: Narrow { below: false, above: false, wide: false },
        }
    }
}

/// `NL80211_DFS_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dfs {
    /// Usable after having listened.
    #[default]
    Usable,
    /// Radar was heard within the last half hour.
    Unavailable,
    /// Listened to already.
    Available,
}

/// Widths that the rules forbid on one channel (`NL80211_FREQUENCY_ATTR_NO_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrow {
    /// No 40 MHz with the secondary channel below.
    pub below: bool,
    /// No 40 MHz with the secondary channel above.
    pub above: bool,
    /// No 80 MHz.
    pub wide: bool,
}

/// How wide a channel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// 20 MHz.
    #[default]
    Mhz20,
    /// 40 MHz.
    Mhz40,
    /// 80 MHz.
    Mhz80,
}

impl Width {
    /// In MHz.
    pub const fn mhz(self) -> u32 {
        match self {
            Self::Mhz20 => 20,
            Self::Mhz40 => 40,
            Self::Mhz80 => 80,
        }
    }

    /// `NL80211_CHAN_WIDTH_*`.
    const fn nl80211(self) -> u32 {
        match self {
            Self::Mhz20 => 1,
            Self::Mhz40 => 2,
            Self::Mhz80 => 3,
        }
    }
}

/// Where the secondary 20 MHz channel lies for a primary channel at `frequency_mhz` in a block around `centre_mhz`:
/// `Some(true)` above, `Some(false)` below; `None` for 20 MHz, or when the primary is not part of the block.
pub const fn secondary_above(frequency_mhz: u32, centre_mhz: u32, width: Width) -> Option<bool> {
    match width {
        Width::Mhz20 => None,
        Width::Mhz40 if frequency_mhz + 10 == centre_mhz => Some(true),
        Width::Mhz40 if frequency_mhz == centre_mhz + 10 => Some(false),
        Width::Mhz80 if frequency_mhz + 30 == centre_mhz || frequency_mhz == centre_mhz + 10 => Some(true),
        Width::Mhz80 if frequency_mhz + 10 == centre_mhz || frequency_mhz == centre_mhz + 30 => Some(false),
        Width::Mhz40 | Width::Mhz80 => None,
    }
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
    /// The hostapd of this machine.
    #[serde(default)]
    pub authenticator: Authenticator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secondary_channel_lies_inside_its_block() {
        for (frequency, centre, width, expected) in [
            (5180, 5180, Width::Mhz20, None),
            (5180, 5190, Width::Mhz40, Some(true)),
            (5200, 5190, Width::Mhz40, Some(false)),
            (5180, 5210, Width::Mhz80, Some(true)),
            (5200, 5210, Width::Mhz80, Some(false)),
            (5220, 5210, Width::Mhz80, Some(true)),
            (5240, 5210, Width::Mhz80, Some(false)),
            (5260, 5210, Width::Mhz80, None),
            (5220, 5190, Width::Mhz40, None),
        ] {
            assert_eq!(secondary_above(frequency, centre, width), expected, "{frequency} in {centre}");
        }
    }

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
