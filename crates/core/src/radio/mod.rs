//! Which adapter, which channel: a pure function of what nl80211 says.
//!
//! An access point is possible beside what already runs on a radio if one row of the interface
//! combination table covers all of it together (nl80211, `NL80211_ATTR_INTERFACE_COMBINATIONS`). When that
//! row has no channel to spare, the access point takes the channel of the connected station.

mod channel;
mod quirk;
mod refusal;
mod security;

use alloc::{format, string::String, vec::Vec};

use hn_types::{
    IfName, MacAddr,
    network::NetworkView,
    radio::{Adapter, Authenticator, Country, IfType, PhyType, RadioInterface, RadioView, Width, channel_of},
    station::StationView,
    wpa::Wpa,
};

pub(crate) use self::security::{Secured, secured, speakable};
pub use self::{
    channel::{ChannelRefusal, Limit, Survey},
    refusal::Refusal,
    security::Lack,
};
use self::{
    channel::{Chosen, Occupation, Terms},
    security::lack,
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
    /// At most this generation; `None`: whatever radio and hostapd can do.
    pub phy: Option<PhyType>,
    /// At most this wide; `None`: 20 MHz in the 2.4 GHz band, 80 MHz in the 5 GHz band.
    pub width: Option<Width>,
    /// Channels on which radar must be listened for first may be chosen when no other is allowed. A wish for one of
    /// them by its number includes this.
    pub radar: bool,
    /// The wished-for band or nothing: the other one is not taken in its place.
    pub strict: bool,
    /// A weaker protection may take the place of one that adapter, driver or hostapd cannot do.
    pub weaker: bool,
    /// What the driver advertises is believed even where it is known to be broken.
    pub trust_driver: bool,
}

/// A radio on which an access point can run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioPlan {
    /// The radio.
    pub wiphy: u32,
    /// Its permanent address.
    pub address: MacAddr,
    /// Centre frequency of the primary channel in MHz.
    pub frequency_mhz: u32,
    /// The channel number.
    pub channel: u32,
    /// How wide.
    pub width: Width,
    /// Centre of the whole width in MHz.
    pub centre_mhz: u32,
    /// How long radar must be listened for first, in seconds; 0: not at all.
    pub cac_s: u32,
    /// The generation to announce.
    pub phy: PhyType,
    /// The raw HT capability field.
    pub ht_capabilities: u16,
    /// The raw VHT capability field.
    pub vht_capabilities: u32,
    /// On a channel with radar: the country whose rules want it listened for.
    pub country: Option<Country>,
    /// Stations it can hold.
    pub max_stations: Option<u32>,
    /// A running access point can be moved to another channel.
    pub channel_switch: bool,
    /// What is missing for WPA3.
    pub lack: Option<Lack>,
    /// The firmware relays frames between its stations, isolated or not.
    pub relays: bool,
    /// SAE accepts several keys that are valid for everybody.
    pub many_passwords: bool,
    /// The connected station whose channel is shared.
    pub beside: Option<IfName>,
    /// Why the channel is not the wished-for one; empty when it is.
    pub detail: String,
}

impl RadioPlan {
    /// The strongest protection it can have.
    pub const fn strongest(&self) -> Wpa {
        if self.lack.is_some() { Wpa::Wpa2 } else { Wpa::Wpa3 }
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

/// Where the access point that runs as `running` has to go because the station beside it is on, or on its way to,
/// another channel and the radio has no channel to spare. `Ok(None)`: it can stay.
pub(crate) fn follow(
    view: &RadioView,
    network: &NetworkView,
    wish: &RadioWish,
    running: &RadioPlan,
) -> Result<Option<RadioPlan>, Refusal> {
    let Some(adapter) = view.adapters.iter().find(|adapter| adapter.wiphy == running.wiphy) else {
        return Ok(None);
    };
    let occupation = occupation(adapter, network);
    let elsewhere = !occupation.in_use.iter().any(|(frequency, _)| *frequency == running.frequency_mhz);
    if occupation.in_use.is_empty() || !elsewhere || !occupation.full() {
        return Ok(None);
    }
    let plan = adapter_plan(adapter, view, network, wish)?;
    Ok((plan.frequency_mhz != running.frequency_mhz).then_some(plan))
}

/// The view as it will be when an interface has moved to another channel.
pub(crate) fn moved(view: &RadioView, interface: IfName, frequency_mhz: u32) -> RadioView {
    let mut view = view.clone();
    let all = view.adapters.iter_mut().flat_map(|adapter| &mut adapter.interfaces);
    for it in all.filter(|it| it.name == interface && it.connected) {
        it.frequency_mhz = Some(frequency_mhz);
    }
    view
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
            && occupation(adapter, network).channels().is_some(),
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
    let occupation = occupation(adapter, network);
    if occupation.channels().is_none() {
        let limit = occupation.limit();
        return Err(Refusal::Combination { adapter: adapter.name.clone(), limit });
    }
    let (chosen, detail) = choose_channel(&occupation, view, wish)?;
    let frequency_mhz = chosen.info.frequency_mhz;
    let no_channel = || Refusal::NoChannel { adapter: adapter.name.clone(), survey: Survey::default() };
    let beside = occupation.in_use.iter().find(|(frequency, _)| *frequency == frequency_mhz);
    let regulatory = adapter.regulatory;
    let broken = |promise: fn(&str) -> bool| !wish.trust_driver && promise(&adapter.driver);
    Ok(RadioPlan {
        wiphy: adapter.wiphy,
        address: adapter.address,
        frequency_mhz,
        channel: channel_of(frequency_mhz).ok_or_else(no_channel)?,
        width: chosen.width,
        centre_mhz: chosen.centre_mhz,
        cac_s: chosen.cac_ms.div_ceil(1000),
        phy: chosen.phy,
        ht_capabilities: chosen.band.ht_capabilities,
        vht_capabilities: chosen.band.vht_capabilities,
        country: chosen.info.radar.then_some(regulatory.country),
        max_stations: adapter.max_ap_stations,
        channel_switch: adapter.channel_switch,
        lack: lack(adapter.protection, view.authenticator, broken(quirk::fails_management_frames)),
        relays: broken(quirk::relays),
        many_passwords: view.authenticator.many_passwords,
        beside: beside.map(|(_, interface)| interface.name),
        detail,
    })
}

/// What a combination has to cover besides an access point.
fn occupation<'a>(adapter: &'a Adapter, network: &NetworkView) -> Occupation<'a> {
    let occupants = adapter
        .interfaces
        .iter()
        // VLANs of an access point are software; combinations do not count them.
        .filter(|interface| !is_ours(interface, network) && interface.iftype != IfType::ApVlan)
        .collect();
    Occupation::of(adapter, occupants)
}

/// The channel, and why it is not the wished-for one.
fn choose_channel<'a>(
    occupation: &Occupation<'a>,
    view: &RadioView,
    wish: &RadioWish,
) -> Result<(Chosen<'a>, String), Refusal> {
    let adapter = occupation.adapter;
    let terms = terms(wish, view.authenticator);
    let every = || adapter.bands.iter().flat_map(|band| band.channels.iter().map(move |info| (info, band)));
    let at = |frequency_mhz: u32, terms: Terms| {
        let found = every().find(|(info, _)| info.frequency_mhz == frequency_mhz);
        let (info, band) = found.ok_or(ChannelRefusal::Disabled)?;
        channel::choose(occupation, band, info, terms)
    };
    let shared = occupation.in_use.iter().find_map(|(frequency, _)| at(*frequency, terms).ok());
    let as_wished = |chosen: &Chosen<'_>| {
        let frequency_mhz = chosen.info.frequency_mhz;
        wish.band.is_none_or(|band| band.contains(frequency_mhz))
            && wish.channel.is_none_or(|channel| channel_of(frequency_mhz) == Some(channel))
    };
    if occupation.full()
        && let Some((frequency_mhz, station)) = occupation.in_use.first()
    {
        let refused =
            |why| Refusal::StationChannel { interface: station.name, frequency_mhz: *frequency_mhz, why };
        let chosen = match shared {
            Some(chosen) => chosen,
            None => at(*frequency_mhz, terms).map_err(refused)?,
        };
        let detail = if as_wished(&chosen) {
            String::new()
        } else {
            format!("the radio has one channel, which {} is on", station.name)
        };
        return Ok((chosen, detail));
    }
    // Two channels at once cost the radio half its time: the station's is better while it is as wished.
    if let Some(chosen) = shared.filter(as_wished) {
        return Ok((chosen, String::new()));
    }
    let best = |band: BandWish| {
        let mut survey = Survey::default();
        let mut allowed = Vec::new();
        for (info, of) in every().filter(|(info, _)| band.contains(info.frequency_mhz)) {
            if wish.channel.is_some_and(|channel| channel_of(info.frequency_mhz) != Some(channel)) {
                continue;
            }
            match channel::choose(occupation, of, info, terms) {
                Ok(chosen) => allowed.push(chosen),
                Err(why) => survey.0.push((info.frequency_mhz, why)),
            }
        }
        let rank = |chosen: &Chosen<'_>| (chosen.cac_ms, preference(chosen.info.frequency_mhz, view));
        allowed.into_iter().min_by_key(rank).ok_or(survey)
    };
    let (bands, other): (&[BandWish], _) = match wish.band {
        Some(BandWish::Ghz2) => (&[BandWish::Ghz2], Some((BandWish::Ghz5, "2.4 GHz"))),
        Some(BandWish::Ghz5) => (&[BandWish::Ghz5], Some((BandWish::Ghz2, "5 GHz"))),
        None => (&[BandWish::Ghz2, BandWish::Ghz5], None),
    };
    let mut survey = Survey::default();
    for band in bands {
        match best(*band) {
            Ok(chosen) => return Ok((chosen, String::new())),
            Err(more) => survey.0.extend(more.0),
        }
    }
    if let Some((band, wished)) = other.filter(|_| !wish.strict && wish.channel.is_none())
        && let Ok(chosen) = best(band)
    {
        let why =
            if survey.0.is_empty() { "the adapter has no such channel".into() } else { format!("{survey}") };
        return Ok((chosen, format!("{wished} was wished for, but not possible: {why}")));
    }
    Err(Refusal::NoChannel { adapter: adapter.name.clone(), survey })
}

const fn terms(wish: &RadioWish, authenticator: Authenticator) -> Terms {
    let phy = match (wish.phy, authenticator.he) {
        (Some(PhyType::He) | None, true) => PhyType::He,
        (Some(PhyType::He) | None, false) => PhyType::Vht,
        (Some(phy), _) => phy,
    };
    Terms { phy, width: wish.width, radar: wish.radar || wish.channel.is_some() }
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
