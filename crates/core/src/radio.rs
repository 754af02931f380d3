//! Which adapter, which channel: a pure function of what nl80211 says.
//!
//! An access point is possible beside what already runs on a radio if one row of the interface
//! combination table covers all of it together (nl80211, `NL80211_ATTR_INTERFACE_COMBINATIONS`). When that
//! row has no channel to spare, the access point takes the channel of the connected station.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use hn_types::{
    IfName, MacAddr, Reason,
    network::NetworkView,
    radio::{
        Adapter, Band, ChannelInfo, IfType, InterfaceCombination, PhyType, RadioInterface, RadioView,
        channel_of,
    },
    station::StationView,
};

/// Prefix of the names of our virtual access points.
pub(crate) const AP_PREFIX: &str = "hnap";

/// A band the administrator may wish for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandWish {
    /// 2.4 GHz.
    Ghz2,
    /// 5 GHz.
    Ghz5,
}

impl BandWish {
    const fn contains(self, frequency_mhz: u32) -> bool {
        match self {
            Self::Ghz2 => frequency_mhz >= 2400 && frequency_mhz < 2500,
            Self::Ghz5 => frequency_mhz >= 5000 && frequency_mhz < 5900,
        }
    }
}

/// What the administrator wishes of the radio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RadioWish {
    /// Only this adapter: `phy0`, or the name of an interface on it.
    pub adapter: Option<String>,
    /// Only this band, when the card lets us choose. 2.4 GHz is tried first otherwise.
    pub band: Option<BandWish>,
    /// This channel, when the card lets us choose.
    pub channel: Option<u32>,
    /// At most this generation; `None`: 802.11ac.
    pub phy: Option<PhyType>,
}

/// A radio on which an access point can run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioPlan {
    /// The radio.
    pub wiphy: u32,
    /// Its permanent address.
    pub address: MacAddr,
    /// Centre frequency in MHz.
    pub frequency_mhz: u32,
    /// The channel number.
    pub channel: u32,
    /// The generation to announce.
    pub phy: PhyType,
    /// The raw HT capability field.
    pub ht_capabilities: u16,
    /// Stations it can hold.
    pub max_stations: Option<u32>,
}

/// Why no access point can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no (wished-for) adapter.
    NoAdapter,
    /// The adapter cannot be an access point.
    NoApSupport {
        /// `phy0`.
        adapter: String,
    },
    /// The adapter cannot be an access point beside what runs on it.
    Combination {
        /// `phy0`.
        adapter: String,
    },
    /// No channel may be used by an access point.
    NoChannel {
        /// `phy0`.
        adapter: String,
    },
    /// The channel of the connected station must be shared but forbids access points.
    StationChannel {
        /// The station.
        interface: IfName,
        /// Its frequency in MHz.
        frequency_mhz: u32,
        /// `disabled`, `no-IR` or `radar`.
        why: &'static str,
    },
    /// An ad hoc or monitor interface occupies the adapter.
    Incompatible {
        /// Which.
        interface: IfName,
    },
    /// A switch is off.
    RadioOff {
        /// `phy0`.
        adapter: String,
        /// The hardware switch.
        hard: bool,
    },
}

impl Refusal {
    /// The reason of the Windows contract.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Incompatible { .. } => Reason::IncompatibleConnectionStarted,
            Self::NoAdapter
            | Self::NoApSupport { .. }
            | Self::RadioOff { .. }
            | Self::Combination { .. }
            | Self::StationChannel { .. }
            | Self::NoChannel { .. } => Reason::InterfaceUnavailable,
        }
    }

    /// What it is about.
    pub fn object(&self) -> String {
        match self {
            Self::NoAdapter => "hosted network".to_string(),
            Self::NoApSupport { adapter }
            | Self::RadioOff { adapter, .. }
            | Self::Combination { adapter }
            | Self::NoChannel { adapter } => adapter.clone(),
            Self::StationChannel { interface, .. } | Self::Incompatible { interface } => {
                interface.to_string()
            }
        }
    }

    /// One sentence, lower case, without a full stop.
    pub fn cause(&self) -> String {
        match self {
            Self::NoAdapter => "there is no Wi-Fi adapter that may be used".to_string(),
            Self::NoApSupport { adapter } => format!("{adapter} cannot be an access point"),
            Self::RadioOff { adapter, hard: true } => {
                format!("{adapter} is switched off by its hardware switch")
            }
            Self::RadioOff { adapter, hard: false } => format!("{adapter} is switched off"),
            Self::Combination { adapter } => {
                format!("{adapter} cannot be an access point beside the interfaces that exist on it")
            }
            Self::StationChannel { interface, frequency_mhz, why } => format!(
                "the access point must share the channel of {interface} ({frequency_mhz} MHz), where access points \
                 are not allowed ({why})"
            ),
            Self::Incompatible { interface } => {
                format!("{interface} is in ad hoc or monitor mode, which excludes an access point")
            }
            Self::NoChannel { adapter } => {
                format!("{adapter} has no wished-for channel on which an access point is allowed")
            }
        }
    }

    /// What a person can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoAdapter => "connect a Wi-Fi adapter that can be an access point",
            Self::NoApSupport { .. } => "use another Wi-Fi adapter",
            Self::RadioOff { hard: true, .. } => "turn the hardware switch on",
            Self::RadioOff { hard: false, .. } => "run `rfkill unblock wifi`",
            Self::Combination { .. } => {
                "disconnect or remove the other interfaces of the adapter, or use a second one"
            }
            Self::StationChannel { .. } => "connect to a network on another channel, or use a second adapter",
            Self::Incompatible { .. } => "remove that interface",
            Self::NoChannel { .. } => {
                "set the regulatory domain of your country, or wish for another channel"
            }
        }
    }

    /// How near the adapter is to being usable, so that the most helpful refusal is told.
    const fn nearness(&self) -> u8 {
        match self {
            Self::NoAdapter => 0,
            Self::NoApSupport { .. } => 1,
            Self::Combination { .. } => 2,
            Self::NoChannel { .. } => 3,
            Self::StationChannel { .. } => 4,
            Self::Incompatible { .. } => 5,
            Self::RadioOff { .. } => 6,
        }
    }
}

/// Where an access point can run. Interfaces this service created do not count as occupants.
///
/// An adapter without a connected station is preferred, then the lowest number.
pub fn radio_plan(view: &RadioView, network: &NetworkView, wish: &RadioWish) -> Result<RadioPlan, Refusal> {
    let mut best: Option<(bool, RadioPlan)> = None;
    let mut refusal = Refusal::NoAdapter;
    let mut adapters: Vec<&Adapter> = view.adapters.iter().filter(|adapter| wished(adapter, wish)).collect();
    adapters.sort_by_key(|adapter| adapter.wiphy);
    for adapter in adapters {
        match adapter_plan(adapter, view, network, wish) {
            Ok(plan) => {
                let connected = adapter.interfaces.iter().any(|i| i.connected && !is_ours(i, network));
                if best.as_ref().is_none_or(|(other, _)| *other && !connected) {
                    best = Some((connected, plan));
                }
            }
            Err(new) if new.nearness() > refusal.nearness() => refusal = new,
            Err(_) => {}
        }
    }
    best.map(|(_, plan)| plan).ok_or(refusal)
}

/// Why an access point that runs on radio `wiphy` cannot go on, if so.
pub(crate) fn running_refusal(view: &RadioView, network: &NetworkView, wiphy: u32) -> Option<Refusal> {
    match view.adapters.iter().find(|adapter| adapter.wiphy == wiphy) {
        None => Some(Refusal::NoAdapter),
        Some(adapter) => switched_off(adapter).or_else(|| incompatible(adapter, network)),
    }
}

/// What the interface is as a Wi-Fi station, if it is one.
pub(crate) fn station_view(view: &RadioView, network: &NetworkView, name: IfName) -> Option<StationView> {
    let (adapter, station) = view.adapters.iter().find_map(|adapter| {
        let station = |i: &&RadioInterface| i.name == name && i.iftype == IfType::Station;
        Some((adapter, adapter.interfaces.iter().find(station)?))
    })?;
    let channels = || adapter.bands.iter().flat_map(|band| &band.channels).map(|info| info.frequency_mhz);
    let has = |wish: BandWish| channels().any(|frequency| wish.contains(frequency));
    let phys = [
        (PhyType::Ofdm, has(BandWish::Ghz5)),
        (PhyType::Erp, has(BandWish::Ghz2)),
        (PhyType::Ht, adapter.bands.iter().any(|band| band.ht)),
        (PhyType::Vht, adapter.bands.iter().any(|band| band.vht)),
        (PhyType::He, adapter.bands.iter().any(|band| band.he)),
    ];
    let frequency_mhz = station.frequency_mhz.filter(|_| station.connected);
    Some(StationView {
        adapter: adapter.name.clone(),
        driver: adapter.driver.clone(),
        phys: phys.into_iter().filter(|(_, there)| *there).map(|(phy, _)| phy).collect(),
        hosted_network_supported: adapter.iftypes.contains(&IfType::Ap)
            && channels_beside(adapter, &occupants(adapter, network)).is_some(),
        address: station.address,
        software_on: !adapter.blocked.soft,
        hardware_on: !adapter.blocked.hard,
        connected: station.connected,
        ssid: station.ssid.filter(|_| station.connected),
        frequency_mhz,
        channel: frequency_mhz.and_then(channel_of),
        link: None,
    })
}

/// Both switches over all adapters that can be access points: on when one of them is on.
pub(crate) fn switches(view: &RadioView) -> Option<(bool, bool)> {
    let mut capable = view.adapters.iter().filter(|a| a.iftypes.contains(&IfType::Ap)).peekable();
    capable.peek()?;
    Some(capable.fold((false, false), |(soft, hard), a| (soft || !a.blocked.soft, hard || !a.blocked.hard)))
}

/// Whether this service created the interface. The two views may not be equally fresh: an interface with our
/// prefix counts as foreign only if the network knows it as such.
fn is_ours(interface: &RadioInterface, network: &NetworkView) -> bool {
    interface.name.as_str().starts_with(AP_PREFIX)
        && network.link(interface.name.as_str()).is_none_or(|link| link.ours)
}

fn wished(adapter: &Adapter, wish: &RadioWish) -> bool {
    wish.adapter.as_ref().is_none_or(|name| {
        adapter.name == *name || adapter.interfaces.iter().any(|interface| interface.name.as_str() == name)
    })
}

fn switched_off(adapter: &Adapter) -> Option<Refusal> {
    (adapter.blocked.soft || adapter.blocked.hard)
        .then(|| Refusal::RadioOff { adapter: adapter.name.clone(), hard: adapter.blocked.hard })
}

fn incompatible(adapter: &Adapter, network: &NetworkView) -> Option<Refusal> {
    adapter
        .interfaces
        .iter()
        .filter(|interface| !is_ours(interface, network))
        .find(|interface| matches!(interface.iftype, IfType::Adhoc | IfType::Monitor))
        .map(|interface| Refusal::Incompatible { interface: interface.name })
}

fn adapter_plan(
    adapter: &Adapter,
    view: &RadioView,
    network: &NetworkView,
    wish: &RadioWish,
) -> Result<RadioPlan, Refusal> {
    if !adapter.iftypes.contains(&IfType::Ap) {
        return Err(Refusal::NoApSupport { adapter: adapter.name.clone() });
    }
    if let Some(refusal) = switched_off(adapter).or_else(|| incompatible(adapter, network)) {
        return Err(refusal);
    }
    let occupants = occupants(adapter, network);
    let Some(channels) = channels_beside(adapter, &occupants) else {
        return Err(Refusal::Combination { adapter: adapter.name.clone() });
    };
    let (info, band) = choose_channel(adapter, &occupants, channels, view, wish)?;
    let frequency_mhz = info.frequency_mhz;
    let channel =
        channel_of(frequency_mhz).ok_or_else(|| Refusal::NoChannel { adapter: adapter.name.clone() })?;
    Ok(RadioPlan {
        wiphy: adapter.wiphy,
        address: adapter.address,
        frequency_mhz,
        channel,
        phy: generation(band, frequency_mhz, wish),
        ht_capabilities: band.ht_capabilities,
        max_stations: adapter.max_ap_stations,
    })
}

/// What a combination has to cover besides an access point.
fn occupants<'a>(adapter: &'a Adapter, network: &NetworkView) -> Vec<&'a RadioInterface> {
    adapter
        .interfaces
        .iter()
        // VLANs of an access point are software; combinations do not count them.
        .filter(|interface| !is_ours(interface, network) && interface.iftype != IfType::ApVlan)
        .collect()
}

/// How many channels the radio can use at once with one access point more; `None` when it cannot have one.
fn channels_beside(adapter: &Adapter, occupants: &[&RadioInterface]) -> Option<u32> {
    let types: Vec<IfType> = occupants.iter().map(|interface| interface.iftype).chain([IfType::Ap]).collect();
    let alone = occupants.is_empty().then_some(1);
    adapter.combinations.iter().filter(|row| covers(row, &types)).map(|row| row.channels).max().or(alone)
}

fn covers(row: &InterfaceCombination, types: &[IfType]) -> bool {
    if usize::try_from(row.max_interfaces).is_ok_and(|max| types.len() > max) {
        return false;
    }
    let mut left: Vec<u32> = row.limits.iter().map(|limit| limit.max).collect();
    types.iter().all(|iftype| {
        let free =
            row.limits.iter().zip(&mut left).find(|(limit, left)| limit.types.contains(iftype) && **left > 0);
        if let Some((_, left)) = free {
            *left -= 1;
            true
        } else {
            false
        }
    })
}

fn choose_channel<'a>(
    adapter: &'a Adapter,
    occupants: &[&RadioInterface],
    channels: u32,
    view: &RadioView,
    wish: &RadioWish,
) -> Result<(&'a ChannelInfo, &'a Band), Refusal> {
    let in_use: Vec<(u32, &RadioInterface)> = occupants
        .iter()
        .filter(|interface| interface.connected || interface.iftype != IfType::Station)
        .filter_map(|interface| interface.frequency_mhz.map(|frequency| (frequency, *interface)))
        .collect();
    let mut distinct: Vec<u32> = in_use.iter().map(|(frequency, _)| *frequency).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let shared = in_use.iter().filter_map(|(frequency, _)| usable(adapter, *frequency).ok()).next();
    if usize::try_from(channels).is_ok_and(|channels| distinct.len() >= channels)
        && let Some((frequency_mhz, station)) = in_use.first()
    {
        return shared.ok_or_else(|| Refusal::StationChannel {
            interface: station.name,
            frequency_mhz: *frequency_mhz,
            why: usable(adapter, *frequency_mhz).err().unwrap_or("disabled"),
        });
    }
    let every = || adapter.bands.iter().flat_map(|band| band.channels.iter().map(move |info| (info, band)));
    let allowed = |band: BandWish| {
        every().filter(move |(info, _)| forbidden(info).is_none() && band.contains(info.frequency_mhz))
    };
    let bands: &[BandWish] = match wish.band {
        Some(BandWish::Ghz2) => &[BandWish::Ghz2],
        Some(BandWish::Ghz5) => &[BandWish::Ghz5],
        None => &[BandWish::Ghz2, BandWish::Ghz5],
    };
    let refusal = || Refusal::NoChannel { adapter: adapter.name.clone() };
    if let Some(channel) = wish.channel {
        return bands
            .iter()
            .flat_map(|band| allowed(*band))
            .find(|(info, _)| channel_of(info.frequency_mhz) == Some(channel))
            .ok_or_else(refusal);
    }
    // Two channels at once cost the radio half its time: the station's is better while it is as wished.
    if let Some((info, band)) = shared
        && wish.band.is_none_or(|wanted| wanted.contains(info.frequency_mhz))
    {
        return Ok((info, band));
    }
    bands
        .iter()
        .find_map(|band| allowed(*band).min_by_key(|(info, _)| preference(info.frequency_mhz, view)))
        .ok_or_else(refusal)
}

/// Smaller is better: fewest known users, then the channels that do not overlap, then the lowest.
fn preference(frequency_mhz: u32, view: &RadioView) -> (bool, usize, u8, u32) {
    let users = view
        .adapters
        .iter()
        .flat_map(|adapter| &adapter.interfaces)
        .filter_map(|interface| interface.frequency_mhz)
        .filter(|other| other.abs_diff(frequency_mhz) < 20)
        .count();
    let rank = match frequency_mhz {
        2437 | 5180 => 0,
        2412 | 5200 => 1,
        2462 | 5220 => 2,
        5240 => 3,
        _ => 4,
    };
    let overlapping = frequency_mhz < 2500 && rank == 4;
    (overlapping, users, rank, frequency_mhz)
}

fn usable(adapter: &Adapter, frequency_mhz: u32) -> Result<(&ChannelInfo, &Band), &'static str> {
    let found = adapter
        .bands
        .iter()
        .flat_map(|band| band.channels.iter().map(move |info| (info, band)))
        .find(|(info, _)| info.frequency_mhz == frequency_mhz);
    match found {
        None => Err("disabled"),
        Some((info, band)) => forbidden(info).map_or(Ok((info, band)), Err),
    }
}

/// Why an access point may not use the channel, if so. Radar channels would need a minute of listening and
/// somebody to keep listening.
const fn forbidden(info: &ChannelInfo) -> Option<&'static str> {
    if info.disabled {
        Some("disabled")
    } else if info.no_ir {
        Some("no-IR")
    } else if info.radar {
        Some("radar")
    } else {
        None
    }
}

fn generation(band: &Band, frequency_mhz: u32, wish: &RadioWish) -> PhyType {
    let five = frequency_mhz >= 5000;
    let best = if band.he {
        PhyType::He
    } else if band.vht && five {
        PhyType::Vht
    } else if band.ht {
        PhyType::Ht
    } else if five {
        PhyType::Ofdm
    } else {
        PhyType::Erp
    };
    let limit = wish.phy.unwrap_or(PhyType::Vht);
    if best <= limit {
        return best;
    }
    if limit >= PhyType::Vht && band.vht && five {
        PhyType::Vht
    } else if limit >= PhyType::Ht && band.ht {
        PhyType::Ht
    } else if five {
        PhyType::Ofdm
    } else {
        PhyType::Erp
    }
}
