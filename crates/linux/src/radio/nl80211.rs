//! What we ask of nl80211, and nothing above this module sees a netlink byte.
//!
//! Read by hand rather than through a typed crate: an attribute that nobody knew when the crate was written
//! must be passed over, not spoil the message it came in, and the split dump of a radio is one value spread over
//! a hundred messages. Every read of a foreign byte is checked; what does not parse is left out.

use std::collections::BTreeMap;

use hn_types::{
    IfName, MacAddr, Ssid,
    observed::StationStats,
    radio::{
        Adapter, Band, ChannelInfo, Country, Dfs, IfType, InterfaceCombination, InterfaceLimit, Narrow,
        RadioInterface, Regulatory,
    },
};

use crate::netlink::{
    DUMP, GENERIC, Messages, Netlink, Refusal, attribute, attributes, read_text, read_u16, read_u32, text,
};

/// `GENL_ID_CTRL`, which is also the id of its multicast group `notify`.
pub(super) const CONTROLLER: u16 = 16;
const CONTROLLER_NEW_FAMILY: u8 = 1;
const CONTROLLER_DEL_FAMILY: u8 = 2;
const CONTROLLER_GET_FAMILY: u8 = 3;

/// `NL80211_CMD_*` (`linux/nl80211.h`).
mod command {
    pub(super) const GET_WIPHY: u8 = 1;
    pub(super) const GET_INTERFACE: u8 = 5;
    pub(super) const NEW_INTERFACE: u8 = 7;
    pub(super) const DEL_INTERFACE: u8 = 8;
    pub(super) const GET_STATION: u8 = 17;
    pub(super) const GET_REG: u8 = 31;
    pub(super) const GET_SCAN: u8 = 32;
    pub(super) const CH_SWITCH_NOTIFY: u8 = 88;
    pub(super) const CH_SWITCH_STARTED_NOTIFY: u8 = 110;
    /// As an element of `NL80211_ATTR_SUPPORTED_COMMANDS`.
    pub(super) const CHANNEL_SWITCH: u32 = 102;
}

/// `NL80211_ATTR_*`.
pub(super) mod attr {
    pub(super) const WIPHY: u16 = 1;
    pub(super) const WIPHY_NAME: u16 = 2;
    pub(super) const IFINDEX: u16 = 3;
    pub(super) const IFNAME: u16 = 4;
    pub(super) const IFTYPE: u16 = 5;
    pub(in crate::radio) const MAC: u16 = 6;
    pub(in crate::radio) const STA_INFO: u16 = 21;
    pub(super) const WIPHY_BANDS: u16 = 22;
    pub(super) const SUPPORTED_IFTYPES: u16 = 32;
    pub(super) const REG_ALPHA2: u16 = 33;
    pub(super) const WIPHY_FREQ: u16 = 38;
    pub(in crate::radio) const BSS: u16 = 47;
    pub(super) const SUPPORTED_COMMANDS: u16 = 50;
    pub(super) const SSID: u16 = 52;
    pub(super) const CIPHER_SUITES: u16 = 57;
    pub(super) const INTERFACE_COMBINATIONS: u16 = 120;
    pub(super) const DEVICE_AP_SME: u16 = 141;
    pub(super) const SPLIT_WIPHY_DUMP: u16 = 174;
    pub(super) const MAX_AP_ASSOC_STA: u16 = 202;
    pub(super) const SOCKET_OWNER: u16 = 204;
    pub(super) const WIPHY_SELF_MANAGED_REG: u16 = 216;
    pub(super) const EXT_FEATURES: u16 = 217;
}

/// `NL80211_IFTYPE_AP`.
const IFTYPE_AP: u32 = 3;
/// `NL80211_STA_FLAG_AUTHORIZED` and `_ASSOCIATED`, as masks.
const STATION_AUTHORISED: u32 = 1 << 1;
const STATION_ASSOCIATED: u32 = 1 << 7;
/// The cipher suite BIP-CMAC-128 (IEEE 802.11-2020, table 9-149).
const BIP_CMAC_128: u32 = 0x000f_ac06;
/// `NL80211_EXT_FEATURE_SAE_OFFLOAD_AP`.
const SAE_OFFLOAD_AP: usize = 51;
/// A radio has a few dozen channels in each of a handful of bands; no honest dump goes beyond this.
const CHANNELS_LIMIT: usize = 1024;

/// The generic netlink family `nl80211`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Family {
    /// Its message type.
    pub(super) id: u16,
    /// Its multicast groups.
    pub(super) groups: Vec<(String, u32)>,
}

impl Family {
    /// Asks the kernel; `None` when it has no nl80211.
    pub(super) fn find() -> Result<Option<Self>, Refusal> {
        let mut body = vec![CONTROLLER_GET_FAMILY, 2, 0, 0];
        attribute(&mut body, 2, b"nl80211\0");
        let mut found = None;
        let asked = Netlink::open(GENERIC)?.ask(CONTROLLER, 0, &body, |_, message| {
            found = Self::parse(message).or_else(|| found.take());
        });
        match asked {
            Ok(()) => Ok(found),
            Err(refusal) if refusal.errno == libc::ENOENT => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    fn parse(message: &[u8]) -> Option<Self> {
        let mut family = Self::default();
        for (kind, value) in attributes(message.get(4..)?) {
            match kind {
                1 => family.id = read_u16(value, 0)?,
                7 => {
                    for (_, group) in attributes(value) {
                        let find = |wanted| attributes(group).find(|(kind, _)| *kind == wanted);
                        let name = find(1).and_then(|(_, value)| read_text(value));
                        let id = find(2).and_then(|(_, value)| read_u32(value, 0));
                        family.groups.extend(name.map(str::to_owned).zip(id));
                    }
                }
                _ => {}
            }
        }
        (family.id != 0).then_some(family)
    }

    /// The id of one of its groups.
    pub(super) fn group(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|(group, _)| group == name).map(|(_, id)| *id)
    }
}

/// A conversation with nl80211. The virtual interfaces made through it belong to it: the kernel removes them
/// when it ends, however the process ends.
#[derive(Debug)]
pub(super) struct Nl80211 {
    netlink: Netlink,
    family: u16,
}

impl Nl80211 {
    /// Begins a conversation; `None` when the kernel has no nl80211.
    pub(super) fn open() -> Result<Option<Self>, Refusal> {
        let Some(family) = Family::find()? else { return Ok(None) };
        Ok(Some(Self { netlink: Netlink::open(GENERIC)?, family: family.id }))
    }

    /// Every radio with its interfaces. Driver and switches are not nl80211's to tell.
    pub(super) fn adapters(&self) -> Result<Vec<Adapter>, Refusal> {
        let mut radios = Radios::default();
        let mut body = request(command::GET_WIPHY);
        attribute(&mut body, attr::SPLIT_WIPHY_DUMP, &[]);
        self.netlink.ask(self.family, DUMP, &body, |_, message| radios.read_wiphy(message))?;
        // Kernels before 4.1 know one domain for all; without any answer the world domain is assumed.
        let asked = self.netlink.ask(self.family, DUMP, &request(command::GET_REG), |_, message| {
            radios.read_regulatory(message);
        });
        if let Err(refusal) = asked {
            tracing::debug!(cause = %refusal.cause(), "cannot read the regulatory domains");
        }
        let mut interfaces = Vec::new();
        self.netlink.ask(self.family, DUMP, &request(command::GET_INTERFACE), |_, message| {
            interfaces.extend(parse_interface(message));
        })?;
        for (wiphy, mut interface) in interfaces {
            if is_client(interface.iftype) && interface.frequency_mhz.is_some() {
                interface.connected =
                    self.is_associated(interface.index).unwrap_or_else(|| interface.ssid.is_some());
            }
            if interface.connected && interface.ssid.is_none() {
                interface.ssid = self.joined_ssid(interface.index);
            }
            radios.add(wiphy, interface);
        }
        Ok(radios.finish())
    }

    /// The interface with this index.
    pub(super) fn interface(&self, index: u32) -> Result<Option<RadioInterface>, Refusal> {
        let mut body = request(command::GET_INTERFACE);
        attribute(&mut body, attr::IFINDEX, &index.to_ne_bytes());
        let mut found = None;
        match self.netlink.ask(self.family, 0, &body, |_, message| found = parse_interface(message)) {
            Ok(()) => Ok(found.map(|(_, interface)| interface)),
            Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes a virtual access-point interface with this address and says its index. It lives no longer than
    /// this conversation.
    pub(super) fn create_ap(&self, wiphy: u32, name: IfName, address: MacAddr) -> Result<u32, Refusal> {
        let mut body = request(command::NEW_INTERFACE);
        attribute(&mut body, attr::WIPHY, &wiphy.to_ne_bytes());
        attribute(&mut body, attr::IFNAME, &text(name.as_str()));
        attribute(&mut body, attr::IFTYPE, &IFTYPE_AP.to_ne_bytes());
        attribute(&mut body, attr::MAC, &address.0);
        attribute(&mut body, attr::SOCKET_OWNER, &[]);
        let mut made = None;
        self.netlink.ask(self.family, 0, &body, |_, message| {
            made = parse_interface(message).map(|(_, interface)| interface.index).or(made);
        })?;
        made.ok_or_else(|| Refusal { errno: libc::EBADMSG, text: "the answer has no index".into() })
    }

    /// Removes an interface; one that is gone already is no error and says `false`.
    pub(super) fn remove(&self, index: u32) -> Result<bool, Refusal> {
        let mut body = request(command::DEL_INTERFACE);
        attribute(&mut body, attr::IFINDEX, &index.to_ne_bytes());
        match self.netlink.request(self.family, 0, &body) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.errno == libc::ENODEV => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// The stations of an access point that have completed the handshake.
    pub(super) fn stations(&self, index: u32) -> Result<Vec<StationStats>, Refusal> {
        let mut stations = Vec::new();
        self.dump_stations(index, |message| {
            let authorised = parse_station_flags(message).is_none_or(|set| set & STATION_AUTHORISED != 0);
            stations.extend(parse_station(message).filter(|_| authorised));
        })?;
        stations.sort_by_key(|station| station.mac);
        Ok(stations)
    }

    /// Whether a client interface is past the association; `None` when the driver does not say.
    fn is_associated(&self, index: u32) -> Option<bool> {
        let mut associated = false;
        self.dump_stations(index, |message| {
            associated |= parse_station_flags(message).is_none_or(|set| set & STATION_ASSOCIATED != 0);
        })
        .ok()?;
        Some(associated)
    }

    /// The name of the network that a client interface has joined, from the list of what it has heard. Kernels
    /// differ in whether they name it with the interface.
    fn joined_ssid(&self, index: u32) -> Option<Ssid> {
        let mut ssid = None;
        self.dump_heard(index, |message| ssid = ssid.or_else(|| parse_joined(message))).ok()?;
        ssid
    }

    /// Every network that an interface has heard lately.
    pub(super) fn dump_heard(&self, index: u32, mut each: impl FnMut(&[u8])) -> Result<(), Refusal> {
        let mut body = request(command::GET_SCAN);
        attribute(&mut body, attr::IFINDEX, &index.to_ne_bytes());
        self.netlink.ask(self.family, DUMP, &body, |_, message| each(message))
    }

    /// Every station that an interface knows: its access point, or its clients.
    pub(super) fn dump_stations(&self, index: u32, mut each: impl FnMut(&[u8])) -> Result<(), Refusal> {
        let mut body = request(command::GET_STATION);
        attribute(&mut body, attr::IFINDEX, &index.to_ne_bytes());
        self.netlink.ask(self.family, DUMP, &body, |_, message| each(message))
    }
}

/// Something that the kernel told unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The kernel has a new generic netlink family, perhaps ours.
    FamilyAppeared,
    /// A generic netlink family is gone, perhaps ours.
    FamilyVanished,
    /// An interface uses another channel.
    ChannelSwitched {
        /// Whose.
        index: u32,
        /// Centre frequency in MHz.
        frequency_mhz: u32,
    },
    /// An interface was told to move, or tells its stations that it will.
    ChannelSwitchStarted {
        /// Whose.
        index: u32,
        /// Where to: centre frequency in MHz.
        frequency_mhz: u32,
    },
    /// Anything else: something about the radios may have changed.
    Other,
}

/// The notices in one datagram of the event socket.
pub(super) fn notices(datagram: &[u8]) -> Vec<Notice> {
    Messages { rest: datagram }
        .filter_map(|(header, body)| {
            let command = *body.first()?;
            Some(match (header.kind, command) {
                (CONTROLLER, CONTROLLER_NEW_FAMILY) => Notice::FamilyAppeared,
                (CONTROLLER, CONTROLLER_DEL_FAMILY) => Notice::FamilyVanished,
                // Its other news is about groups of families.
                (CONTROLLER, _) => return None,
                (_, switch @ (command::CH_SWITCH_NOTIFY | command::CH_SWITCH_STARTED_NOTIFY)) => {
                    let find = |wanted| attributes(body.get(4..)?).find(|(kind, _)| *kind == wanted);
                    let number = |wanted| find(wanted).and_then(|(_, value)| read_u32(value, 0));
                    match (number(attr::IFINDEX), number(attr::WIPHY_FREQ)) {
                        (Some(index), Some(frequency_mhz)) if switch == command::CH_SWITCH_NOTIFY => {
                            Notice::ChannelSwitched { index, frequency_mhz }
                        }
                        (Some(index), Some(frequency_mhz)) => {
                            Notice::ChannelSwitchStarted { index, frequency_mhz }
                        }
                        (_, None) | (None, _) => Notice::Other,
                    }
                }
                _ => Notice::Other,
            })
        })
        .collect()
}

fn request(command: u8) -> Vec<u8> {
    vec![command, 1, 0, 0]
}

/// Whether an interface of this type joins a network of another.
const fn is_client(iftype: IfType) -> bool {
    matches!(iftype, IfType::Station | IfType::P2pClient)
}

const fn iftype(number: u32) -> IfType {
    match number {
        1 => IfType::Adhoc,
        2 => IfType::Station,
        3 => IfType::Ap,
        4 => IfType::ApVlan,
        6 => IfType::Monitor,
        7 => IfType::MeshPoint,
        8 => IfType::P2pClient,
        9 => IfType::P2pGo,
        10 => IfType::P2pDevice,
        other => IfType::Other(other),
    }
}

fn mac(value: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(value.get(..6)?.try_into().ok()?))
}

/// The radios as they come in, message by message.
#[derive(Debug, Default)]
pub(super) struct Radios {
    adapters: BTreeMap<u32, (Adapter, BTreeMap<u16, Band>)>,
    country: Country,
    own_countries: BTreeMap<u32, Country>,
}

impl Radios {
    /// Takes one message of a split dump.
    pub(super) fn read_wiphy(&mut self, message: &[u8]) {
        let attributes_of_it = message.get(4..).unwrap_or_default();
        let wiphy = attributes(attributes_of_it).find(|(kind, _)| *kind == attr::WIPHY);
        let Some(wiphy) = wiphy.and_then(|(_, value)| read_u32(value, 0)) else { return };
        let (adapter, bands) = self.adapters.entry(wiphy).or_insert_with(|| (blank(wiphy), BTreeMap::new()));
        for (kind, value) in attributes(attributes_of_it) {
            match kind {
                attr::WIPHY_NAME => adapter.name = read_text(value).unwrap_or_default().to_owned(),
                attr::MAC => adapter.address = mac(value).unwrap_or(adapter.address),
                attr::SUPPORTED_IFTYPES => adapter.iftypes = types(value),
                attr::INTERFACE_COMBINATIONS => {
                    adapter.combinations = attributes(value).map(|(_, row)| combination(row)).collect();
                }
                attr::SUPPORTED_COMMANDS => {
                    adapter.channel_switch |= attributes(value)
                        .any(|(_, number)| read_u32(number, 0) == Some(command::CHANNEL_SWITCH));
                }
                attr::CIPHER_SUITES => {
                    adapter.protection.management_frames |=
                        (0..value.len() / 4).any(|n| read_u32(value, 4 * n) == Some(BIP_CMAC_128));
                }
                attr::DEVICE_AP_SME => adapter.protection.own_sme = true,
                attr::EXT_FEATURES => {
                    adapter.protection.sae_offload |= value
                        .get(SAE_OFFLOAD_AP / 8)
                        .is_some_and(|byte| byte & (1 << (SAE_OFFLOAD_AP % 8)) != 0);
                }
                attr::WIPHY_SELF_MANAGED_REG => adapter.regulatory.self_managed = true,
                attr::MAX_AP_ASSOC_STA => adapter.max_ap_stations = read_u16(value, 0).map(u32::from),
                attr::WIPHY_BANDS => {
                    for (number, part) in attributes(value) {
                        read_band(bands.entry(number).or_default(), part);
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes one message of the dump of regulatory domains: of a radio that has its own, or of the machine.
    pub(super) fn read_regulatory(&mut self, message: &[u8]) {
        let all = || attributes(message.get(4..).unwrap_or_default());
        let find = |wanted| all().find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let Some(&[a, b, ..]) = find(attr::REG_ALPHA2) else { return };
        let country = Country([a, b]);
        match find(attr::WIPHY).and_then(|value| read_u32(value, 0)) {
            Some(wiphy) => {
                self.own_countries.insert(wiphy, country);
            }
            None => self.country = country,
        }
    }

    /// Puts an interface on its radio.
    pub(super) fn add(&mut self, wiphy: u32, interface: RadioInterface) {
        if let Some((adapter, _)) = self.adapters.get_mut(&wiphy) {
            adapter.interfaces.push(interface);
        }
    }

    /// The radios by number; a radio without a name vanished while it was told of.
    pub(super) fn finish(self) -> Vec<Adapter> {
        self.adapters
            .into_values()
            .filter(|(adapter, _)| !adapter.name.is_empty())
            .map(|(mut adapter, bands)| {
                let country = self.own_countries.get(&adapter.wiphy).copied().unwrap_or(self.country);
                adapter.regulatory = Regulatory { country, ..adapter.regulatory };
                adapter.bands = bands.into_values().collect();
                adapter.interfaces.sort_by_key(|interface| interface.index);
                adapter
            })
            .collect()
    }
}

fn blank(wiphy: u32) -> Adapter {
    Adapter { wiphy, ..Adapter::default() }
}

/// A list of types written as flags whose attribute kind is the type.
fn types(value: &[u8]) -> Vec<IfType> {
    attributes(value).map(|(kind, _)| iftype(u32::from(kind))).collect()
}

/// `NL80211_IFACE_COMB_*`.
fn combination(row: &[u8]) -> InterfaceCombination {
    let mut it = InterfaceCombination::default();
    for (kind, value) in attributes(row) {
        match kind {
            1 => {
                for (_, limit) in attributes(value) {
                    let mut read = InterfaceLimit { max: 0, types: Vec::new() };
                    for (kind, value) in attributes(limit) {
                        match kind {
                            1 => read.max = read_u32(value, 0).unwrap_or_default(),
                            2 => read.types = types(value),
                            _ => {}
                        }
                    }
                    it.limits.push(read);
                }
            }
            2 => it.max_interfaces = read_u32(value, 0).unwrap_or_default(),
            3 => it.same_beacon_interval = true,
            4 => it.channels = read_u32(value, 0).unwrap_or_default(),
            5 => it.radar_widths = read_u32(value, 0).unwrap_or_default(),
            _ => {}
        }
    }
    it
}

/// `NL80211_BAND_ATTR_*`; a band comes in several parts.
fn read_band(band: &mut Band, part: &[u8]) {
    for (kind, value) in attributes(part) {
        match kind {
            1 => {
                for (_, channel) in attributes(value) {
                    let Some(channel) = channel_info(channel) else { continue };
                    let known = band.channels.iter().any(|c| c.frequency_mhz == channel.frequency_mhz);
                    if !known && band.channels.len() < CHANNELS_LIMIT {
                        band.channels.push(channel);
                    }
                }
            }
            4 => {
                band.ht = true;
                band.ht_capabilities = read_u16(value, 0).unwrap_or_default();
            }
            8 => {
                band.vht = true;
                band.vht_capabilities = read_u32(value, 0).unwrap_or_default();
            }
            // NL80211_BAND_ATTR_IFTYPE_DATA: rows of interface types (1) and their HE PHY capabilities (3).
            9 => {
                for (_, row) in attributes(value) {
                    let for_ap = attributes(row).any(|(kind, value)| {
                        kind == 1 && attributes(value).any(|(kind, _)| u32::from(kind) == IFTYPE_AP)
                    });
                    let phy = attributes(row).find(|(kind, _)| *kind == 3);
                    if let Some((_, phy)) = phy.filter(|_| for_ap) {
                        band.he = true;
                        band.he_widths = phy.first().copied().unwrap_or_default();
                    }
                }
            }
            _ => {}
        }
    }
}

/// `NL80211_FREQUENCY_ATTR_*`.
fn channel_info(value: &[u8]) -> Option<ChannelInfo> {
    let has = |wanted| attributes(value).any(|(kind, _)| kind == wanted);
    let frequency = attributes(value).find(|(kind, _)| *kind == 1)?;
    let number = |wanted| {
        let found = attributes(value).find(|(kind, _)| *kind == wanted);
        found.and_then(|(_, value)| read_u32(value, 0)).unwrap_or_default()
    };
    Some(ChannelInfo {
        frequency_mhz: read_u32(frequency.1, 0)?,
        disabled: has(2),
        no_ir: has(3),
        radar: has(5),
        cac_ms: number(13),
        dfs: match number(7) {
            1 => Dfs::Unavailable,
            2 => Dfs::Available,
            _ => Dfs::Usable,
        },
        narrow: Narrow { below: has(9), above: has(10), wide: has(11) },
    })
}

/// The name under which a P2P device is listed: it has no network interface, but counts in the
/// combinations of its radio.
const P2P_DEVICE_NAME: &str = "p2p-device";

/// An interface with the number of its radio. `connected` is left to be found out.
fn parse_interface(message: &[u8]) -> Option<(u32, RadioInterface)> {
    let mut wiphy = None;
    let mut name = None;
    let mut interface = RadioInterface {
        name: P2P_DEVICE_NAME.parse().ok()?,
        index: 0,
        iftype: IfType::Other(0),
        address: MacAddr::ZERO,
        frequency_mhz: None,
        ssid: None,
        connected: false,
    };
    for (kind, value) in attributes(message.get(4..)?) {
        match kind {
            attr::WIPHY => wiphy = read_u32(value, 0),
            attr::IFINDEX => interface.index = read_u32(value, 0)?,
            attr::IFNAME => name = read_text(value).and_then(|name| name.parse().ok()),
            attr::IFTYPE => interface.iftype = iftype(read_u32(value, 0)?),
            attr::MAC => interface.address = mac(value)?,
            attr::WIPHY_FREQ => interface.frequency_mhz = read_u32(value, 0),
            attr::SSID => interface.ssid = Ssid::new(value).ok(),
            _ => {}
        }
    }
    match (name, interface.iftype) {
        (Some(name), _) => interface.name = name,
        (None, IfType::P2pDevice) => {}
        // No name and no P2P device: nothing that anyone could use.
        _ => return None,
    }
    if !is_client(interface.iftype) {
        interface.ssid = None;
    }
    Some((wiphy?, interface))
}

/// `NL80211_STA_INFO_*`. The 64-bit counters are preferred where the kernel has them.
fn parse_station(message: &[u8]) -> Option<StationStats> {
    let mut station = StationStats { mac: MacAddr::ZERO, signal_dbm: None, rx_bytes: 0, tx_bytes: 0 };
    let mut seen = false;
    for (kind, value) in attributes(message.get(4..)?) {
        match kind {
            attr::MAC => {
                station.mac = mac(value)?;
                seen = true;
            }
            attr::STA_INFO => {
                let (mut narrow, mut wide) = ((None, None), (None, None));
                for (kind, value) in attributes(value) {
                    match kind {
                        2 => narrow.0 = read_u32(value, 0).map(u64::from),
                        3 => narrow.1 = read_u32(value, 0).map(u64::from),
                        7 => station.signal_dbm = value.first().map(|dbm| i32::from(dbm.cast_signed())),
                        23 => wide.0 = read_u64(value),
                        24 => wide.1 = read_u64(value),
                        _ => {}
                    }
                }
                station.rx_bytes = wide.0.or(narrow.0).unwrap_or_default();
                station.tx_bytes = wide.1.or(narrow.1).unwrap_or_default();
            }
            _ => {}
        }
    }
    seen.then_some(station)
}

/// The flags that are set in `NL80211_STA_INFO_STA_FLAGS`: a mask, then the values.
fn parse_station_flags(message: &[u8]) -> Option<u32> {
    let (_, info) = attributes(message.get(4..)?).find(|(kind, _)| *kind == attr::STA_INFO)?;
    let (_, flags) = attributes(info).find(|(kind, _)| *kind == 17)?;
    read_u32(flags, 4)
}

/// The SSID of a network in a list of networks heard, if it is the one that was joined (`NL80211_BSS_*`).
fn parse_joined(message: &[u8]) -> Option<Ssid> {
    const INFORMATION_ELEMENTS: u16 = 6;
    const STATUS: u16 = 9;
    const BEACON_ELEMENTS: u16 = 11;
    const ASSOCIATED: u32 = 1;
    let (_, bss) = attributes(message.get(4..)?).find(|(kind, _)| *kind == attr::BSS)?;
    let field = |wanted| attributes(bss).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if read_u32(field(STATUS)?, 0)? != ASSOCIATED {
        return None;
    }
    [INFORMATION_ELEMENTS, BEACON_ELEMENTS].into_iter().find_map(|kind| ssid_element(field(kind)?))
}

/// The SSID among the elements of a frame (IEEE 802.11-2020, 9.4.2.2). A hidden network has none.
fn ssid_element(mut elements: &[u8]) -> Option<Ssid> {
    loop {
        let (&[id, length], rest) = elements.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(length))?;
        if id == 0 {
            return Ssid::new(value).ok().filter(|_| value.iter().any(|byte| *byte != 0));
        }
        elements = rest;
    }
}

fn read_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(value.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// `mac80211_hwsim` of Linux 6.1 with one and with two channels per radio: the split dump of one radio, reduced
    /// to the attributes that are read here, and the interface dump of four.
    const ONE_CHANNEL: &[u8] = include_bytes!("testdata/hwsim-1ch.wiphy");
    const TWO_CHANNELS: &[u8] = include_bytes!("testdata/hwsim-2ch.wiphy");
    const INTERFACES: &[u8] = include_bytes!("testdata/hwsim.interfaces");

    fn read(dump: &[u8]) -> Vec<Adapter> {
        let mut radios = Radios::default();
        for (_, message) in (Messages { rest: dump }) {
            radios.read_wiphy(message);
        }
        for (_, message) in (Messages { rest: INTERFACES }) {
            if let Some((wiphy, interface)) = parse_interface(message) {
                radios.add(wiphy, interface);
            }
        }
        radios.finish()
    }

    #[test]
    fn a_recorded_dump_becomes_an_adapter() {
        let adapters = read(ONE_CHANNEL);
        assert_eq!(adapters.len(), 1);
        let adapter = adapters.first().unwrap();
        assert_eq!((adapter.wiphy, adapter.name.as_str()), (0, "phy0"));
        assert!(adapter.channel_switch);
        assert!(adapter.iftypes.contains(&IfType::Ap) && adapter.iftypes.contains(&IfType::Station));
        let [low, high, ..] = adapter.bands.as_slice() else { panic!("two bands: {:?}", adapter.bands) };
        assert_eq!(low.channels.len(), 14);
        assert!(low.ht && low.ht_capabilities & 0x20 != 0 && low.he);
        assert!(high.ht && high.vht);
        let find = |mhz| {
            adapter.bands.iter().flat_map(|b| &b.channels).find(|c| c.frequency_mhz == mhz).copied().unwrap()
        };
        assert_eq!(
            find(2437),
            ChannelInfo { narrow: Narrow { wide: true, ..Narrow::default() }, ..ChannelInfo::free(2437) }
        );
        assert!(find(2484).no_ir);
        assert!(find(5260).radar && find(5260).no_ir);
    }

    #[test]
    fn the_number_of_channels_comes_from_the_combinations() {
        for (dump, channels) in [(ONE_CHANNEL, 1), (TWO_CHANNELS, 2)] {
            let adapters = read(dump);
            let combinations = &adapters.first().unwrap().combinations;
            assert_eq!(combinations.iter().map(|c| c.channels).max(), Some(channels), "{combinations:?}");
            let row = combinations.iter().find(|row| row.channels == channels).unwrap();
            let max_of = |wanted| {
                row.limits.iter().filter(|l| l.types.contains(&wanted)).map(|l| l.max).max().unwrap_or(0)
            };
            assert!(max_of(IfType::Ap) >= 1 && max_of(IfType::Station) >= 1, "{row:?}");
            assert!(row.max_interfaces >= 2);
        }
    }

    #[test]
    fn interfaces_stand_on_their_radio() {
        let adapters = read(ONE_CHANNEL);
        let interfaces = &adapters.first().unwrap().interfaces;
        assert_eq!(interfaces.len(), 1);
        let wlan0 = interfaces.first().unwrap();
        assert_eq!((wlan0.name.as_str(), wlan0.iftype), ("wlan0", IfType::Station));
        assert_eq!(wlan0.address, "02:00:00:00:00:00".parse().unwrap());
        assert!(!wlan0.connected && wlan0.ssid.is_none());
    }

    #[test]
    fn a_truncated_dump_is_read_as_far_as_it_goes() {
        for length in (0..ONE_CHANNEL.len()).step_by(97) {
            read(ONE_CHANNEL.get(..length).unwrap());
        }
    }

    #[test]
    fn wide_counters_win_over_narrow_ones() {
        let mut info = Vec::new();
        attribute(&mut info, 2, &7u32.to_ne_bytes());
        attribute(&mut info, 23, &(7u64 + (1 << 32)).to_ne_bytes());
        attribute(&mut info, 3, &9u32.to_ne_bytes());
        attribute(&mut info, 7, &[(-40i8).cast_unsigned()]);
        let mut message = request(command::GET_STATION);
        attribute(&mut message, attr::MAC, &[2, 0, 0, 0, 1, 0]);
        attribute(&mut message, attr::STA_INFO, &info);
        let station = parse_station(&message).unwrap();
        assert_eq!((station.rx_bytes, station.tx_bytes), (7 + (1 << 32), 9));
        assert_eq!(station.signal_dbm, Some(-40));
    }

    #[test]
    fn the_joined_network_is_named_among_those_heard() {
        let heard = |status: Option<u32>, elements: &[u8]| {
            let mut bss = Vec::new();
            attribute(&mut bss, 6, elements);
            if let Some(status) = status {
                attribute(&mut bss, 9, &status.to_ne_bytes());
            }
            let mut message = request(command::GET_SCAN);
            attribute(&mut message, attr::BSS, &bss);
            parse_joined(&message)
        };
        let elements = b"\x01\x02\x82\x84\x00\x04home\x03\x01\x06";
        assert_eq!(heard(Some(1), elements), Some(Ssid::new(b"home").unwrap()));
        assert_eq!(heard(None, elements), None);
        assert_eq!(heard(Some(0), elements), None);
        assert_eq!(heard(Some(1), b"\x00\x00"), None);
        assert_eq!(heard(Some(1), b"\x00\x20short"), None);
    }

    #[test]
    fn a_channel_switch_is_told_from_other_news() {
        let mut body = request(command::CH_SWITCH_NOTIFY);
        attribute(&mut body, attr::IFINDEX, &8u32.to_ne_bytes());
        attribute(&mut body, attr::WIPHY_FREQ, &2412u32.to_ne_bytes());
        let mut datagram = crate::netlink::message(32, 0, 0, &body);
        let mut body = request(command::CH_SWITCH_STARTED_NOTIFY);
        attribute(&mut body, attr::IFINDEX, &3u32.to_ne_bytes());
        attribute(&mut body, attr::WIPHY_FREQ, &2462u32.to_ne_bytes());
        datagram.extend(crate::netlink::message(32, 0, 0, &body));
        datagram.extend(crate::netlink::message(32, 0, 0, &request(command::NEW_INTERFACE)));
        datagram.extend(crate::netlink::message(CONTROLLER, 0, 0, &[CONTROLLER_NEW_FAMILY, 2, 0, 0]));
        let expected = [
            Notice::ChannelSwitched { index: 8, frequency_mhz: 2412 },
            Notice::ChannelSwitchStarted { index: 3, frequency_mhz: 2462 },
            Notice::Other,
            Notice::FamilyAppeared,
        ];
        assert_eq!(notices(&datagram), expected);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_dump_can_make_the_reader_panic(
            position in 0..ONE_CHANNEL.len(), byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut dump = ONE_CHANNEL.to_vec();
            *dump.get_mut(position).unwrap() = byte;
            read(&dump);
            let mut radios = Radios::default();
            radios.read_wiphy(&noise);
            parse_interface(&noise);
            parse_station(&noise);
            parse_station_flags(&noise);
            parse_joined(&noise);
            ssid_element(&noise);
            notices(&noise);
            Family::parse(&noise);
        }
    }
}
