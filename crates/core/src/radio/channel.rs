//! Which channels an access point may use, how wide, and why not: the rules of regulators and of the radio.

use alloc::vec::Vec;
use core::fmt;

use hn_types::radio::{
    Adapter, Band, ChannelInfo, Dfs, IfType, InterfaceCombination, PhyType, RadioInterface, Regulatory,
    Width, channel_of,
};

/// Listening for radar takes a minute where the driver does not say otherwise (EN 301 893, 4.2.6.2).
const CAC_MS: u32 = 60_000;

/// Why an access point may not be on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelRefusal {
    /// The rules or the adapter do not have it.
    Disabled,
    /// Nobody may begin to send here.
    NoIr,
    /// Nobody may begin to send here, because the machine does not know in which country it is.
    World,
    /// Nobody may begin to send here until the adapter, which decides by itself, has heard a neighbour.
    SelfManaged,
    /// Radar must be listened for first, and nobody wished for that.
    Radar,
    /// Radar must be listened for first, which this radio cannot do.
    RadarUnable,
    /// Radar must be listened for first, which cannot be done while the radio is in use.
    RadarBusy,
    /// Radar was heard here within the last half hour.
    RadarHeard,
    /// The radio cannot be on this channel as well.
    Combination,
}

impl ChannelRefusal {
    /// A few words, lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NoIr => "no-IR: access points may not begin to send",
            Self::World => "no-IR in the world domain 00",
            Self::SelfManaged => "no-IR: the adapter itself has not found out its country",
            Self::Radar => "radar must be listened for first",
            Self::RadarUnable => "radar must be listened for, which this radio cannot",
            Self::RadarBusy => "radar must be listened for, which cannot be done beside a connection",
            Self::RadarHeard => "radar was heard",
            Self::Combination => "the radio cannot be on another channel beside its connection",
        }
    }

    /// What a person can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Disabled | Self::NoIr => {
                "set the regulatory domain of your country, or wish for another channel"
            }
            Self::World => "tell the machine its country (iw reg set CC), or use the 2.4 GHz band",
            Self::SelfManaged => {
                "use the 2.4 GHz band, or connect the adapter to a 5 GHz network once, from which it learns the country"
            }
            Self::Radar => "allow radar channels (hosted_network.radar = true), or wish for another channel",
            Self::RadarUnable => "wish for a channel without radar, such as 36",
            Self::RadarBusy => "end the connection of this adapter, or wish for a channel without radar",
            Self::RadarHeard => "wait half an hour, or wish for another channel",
            Self::Combination => "connect to a network on the wished-for channel, or use a second adapter",
        }
    }
}

impl fmt::Display for ChannelRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every channel that was looked at in vain, by frequency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey(pub Vec<(u32, ChannelRefusal)>);

impl Survey {
    /// The refusal that most wants an answer.
    pub fn telling(&self) -> Option<ChannelRefusal> {
        self.0.iter().map(|(_, why)| *why).max_by_key(|why| match why {
            ChannelRefusal::Disabled => 0,
            ChannelRefusal::NoIr => 1,
            ChannelRefusal::RadarHeard => 2,
            ChannelRefusal::RadarUnable => 3,
            ChannelRefusal::RadarBusy => 4,
            ChannelRefusal::Radar => 5,
            ChannelRefusal::Combination => 6,
            ChannelRefusal::World => 7,
            ChannelRefusal::SelfManaged => 8,
        })
    }
}

/// `36-64, 100-165 no-IR in the world domain 00; 169 disabled`: neighbours with one reason are one range.
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Channel numbers of neighbours differ by 1 in the 2.4 GHz band, by 4 or 5 above.
        const NEIGHBOUR: u32 = 5;
        let mut groups: Vec<(u32, u32, ChannelRefusal)> = Vec::new();
        for (frequency, why) in &self.0 {
            let Some(channel) = channel_of(*frequency) else { continue };
            match groups.last_mut() {
                Some((_, last, reason))
                    if reason == why && (*last..=*last + NEIGHBOUR).contains(&channel) =>
                {
                    *last = channel;
                }
                _ => groups.push((channel, channel, *why)),
            }
        }
        let mut groups = groups.into_iter().peekable();
        while let Some((first, last, why)) = groups.next() {
            write!(f, "{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
            match groups.peek() {
                Some((_, _, next)) if *next == why => f.write_str(", ")?,
                Some(_) => write!(f, " {why}; ")?,
                None => write!(f, " {why}")?,
            }
        }
        Ok(())
    }
}

/// What of the adapter is in use besides an access point of ours.
#[derive(Debug)]
pub(super) struct Occupation<'a> {
    pub(super) adapter: &'a Adapter,
    /// Every foreign interface that a combination must cover.
    pub(super) interfaces: Vec<&'a RadioInterface>,
    /// The channels they are on.
    pub(super) in_use: Vec<(u32, &'a RadioInterface)>,
}

impl<'a> Occupation<'a> {
    pub(super) fn of(adapter: &'a Adapter, interfaces: Vec<&'a RadioInterface>) -> Self {
        let in_use = interfaces
            .iter()
            .filter(|interface| interface.connected || interface.iftype != IfType::Station)
            .filter_map(|interface| interface.frequency_mhz.map(|frequency| (frequency, *interface)))
            .collect();
        Self { adapter, interfaces, in_use }
    }

    fn types(&self) -> Vec<IfType> {
        self.interfaces.iter().map(|interface| interface.iftype).chain([IfType::Ap]).collect()
    }

    /// Rows of the table that allow an access point beside what is there.
    fn rows(&self) -> impl Iterator<Item = &'a InterfaceCombination> {
        let types = self.types();
        self.adapter.combinations.iter().filter(move |row| covers(row, &types))
    }

    /// How many channels the radio can use at once with one access point more; `None` when it cannot have one.
    pub(super) fn channels(&self) -> Option<u32> {
        let alone = self.interfaces.is_empty().then_some(1);
        self.rows().map(|row| row.channels).max().or(alone)
    }

    /// Whether every channel the radio can use at once is in use.
    pub(super) fn full(&self) -> bool {
        self.channels().is_some_and(|channels| {
            usize::try_from(channels).is_ok_and(|channels| channels <= self.distinct())
        })
    }

    /// How many different channels are in use.
    fn distinct(&self) -> usize {
        let mut distinct: Vec<u32> = self.in_use.iter().map(|(frequency, _)| *frequency).collect();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.len()
    }

    /// Whether an access point on this channel is one too many.
    fn too_many(&self, frequency_mhz: u32) -> bool {
        let more = usize::from(!self.in_use.iter().any(|(used, _)| *used == frequency_mhz));
        let needed = self.distinct() + more;
        !self.channels().is_some_and(|channels| usize::try_from(channels).is_ok_and(|n| n >= needed))
    }

    /// Whether radar can be detected at this width beside what is there.
    fn detects_radar(&self, width: Width) -> bool {
        self.rows().any(|row| row.detects_radar(width))
    }

    /// Which limit of the table is in the way of an access point.
    pub(super) fn limit(&self) -> Limit {
        let types = self.types();
        let with_ap = |row: &&InterfaceCombination| {
            row.limits.iter().any(|limit| limit.max > 0 && limit.types.contains(&IfType::Ap))
        };
        let rows: Vec<&InterfaceCombination> = self.adapter.combinations.iter().filter(with_ap).collect();
        if rows.is_empty() {
            return Limit::NoRow;
        }
        let most = rows.iter().map(|row| row.max_interfaces).max().unwrap_or(0);
        if usize::try_from(most).is_ok_and(|most| most < types.len()) {
            return Limit::Interfaces(most);
        }
        let allowed = |iftype: IfType| {
            let of = |row: &&InterfaceCombination| -> u32 {
                row.limits.iter().filter(|l| l.types.contains(&iftype)).map(|l| l.max).sum()
            };
            rows.iter().map(of).max().unwrap_or(0)
        };
        let excess = types.iter().find(|iftype| {
            let count = types.iter().filter(|other| other == iftype).count();
            usize::try_from(allowed(**iftype)).is_ok_and(|allowed| allowed < count)
        });
        excess.map_or(Limit::Together, |iftype| Limit::Type { iftype: *iftype, max: allowed(*iftype) })
    }
}

/// The limit of the combination table that leaves no room for an access point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No row has an access point beside anything.
    NoRow,
    /// So many interfaces at most.
    Interfaces(u32),
    /// So many interfaces of one type at most.
    Type {
        /// Which.
        iftype: IfType,
        /// How many.
        max: u32,
    },
    /// Each is within its limit, but no row has them all.
    Together,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRow => f.write_str("its driver lists no combination with an access point"),
            Self::Interfaces(most) => write!(f, "it can have {most} interfaces at most"),
            Self::Type { iftype, max } => write!(f, "it can have {max} of type {iftype} at most"),
            Self::Together => f.write_str("its driver lists no combination of all of them"),
        }
    }
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

/// What the administrator leaves to us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) phy: PhyType,
    /// At most this wide; `None`: 20 MHz in the 2.4 GHz band, where neighbours need the rest, and 80 elsewhere.
    pub(super) width: Option<Width>,
    /// Radar may be listened for.
    pub(super) radar: bool,
}

/// A channel as an access point would use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen<'a> {
    pub(super) info: &'a ChannelInfo,
    pub(super) band: &'a Band,
    pub(super) phy: PhyType,
    pub(super) width: Width,
    pub(super) centre_mhz: u32,
    /// How long radar must be listened for, in milliseconds.
    pub(super) cac_ms: u32,
}

/// Whether and how an access point may be on a channel.
pub(super) fn choose<'a>(
    occupation: &Occupation<'a>,
    band: &'a Band,
    info: &'a ChannelInfo,
    terms: Terms,
) -> Result<Chosen<'a>, ChannelRefusal> {
    let regulatory = occupation.adapter.regulatory;
    forbidden(info, regulatory)?;
    if occupation.too_many(info.frequency_mhz) {
        return Err(ChannelRefusal::Combination);
    }
    if info.radar {
        if info.dfs == Dfs::Unavailable {
            return Err(ChannelRefusal::RadarHeard);
        }
        // Without a country nobody knows how long to listen for what.
        let lawful = regulatory.country.is_country() && !regulatory.self_managed;
        if !lawful || !occupation.detects_radar(Width::Mhz20) {
            return Err(ChannelRefusal::RadarUnable);
        }
        if !occupation.in_use.is_empty() {
            return Err(ChannelRefusal::RadarBusy);
        }
        if !terms.radar {
            return Err(ChannelRefusal::Radar);
        }
    }
    let phy = generation(band, info.frequency_mhz, terms.phy);
    let mut width = widest(band, info.frequency_mhz, phy);
    let limit = terms.width.unwrap_or(if info.frequency_mhz < 5000 { Width::Mhz20 } else { Width::Mhz80 });
    width = width.min(limit);
    loop {
        if let Some((centre_mhz, cac_ms)) = block(occupation, band, info, width) {
            return Ok(Chosen { info, band, phy, width, centre_mhz, cac_ms });
        }
        width = match width {
            Width::Mhz80 => Width::Mhz40,
            Width::Mhz40 => Width::Mhz20,
            Width::Mhz20 => return Err(ChannelRefusal::Disabled),
        };
    }
}

/// Why nobody may begin to send on a channel, if so.
fn forbidden(info: &ChannelInfo, regulatory: Regulatory) -> Result<(), ChannelRefusal> {
    if info.disabled {
        Err(ChannelRefusal::Disabled)
    } else if !info.no_ir {
        Ok(())
    } else if regulatory.country.is_country() {
        Err(ChannelRefusal::NoIr)
    } else if regulatory.self_managed {
        Err(ChannelRefusal::SelfManaged)
    } else {
        Err(ChannelRefusal::World)
    }
}

/// Centre and listening time of the block of this width around a channel, when every 20 MHz of it may be used.
fn block(occupation: &Occupation<'_>, band: &Band, info: &ChannelInfo, width: Width) -> Option<(u32, u32)> {
    let primary = info.frequency_mhz;
    let centre = match width {
        Width::Mhz20 => primary,
        Width::Mhz40 if primary < 5000 => {
            // Channel 5 and lower have their partner four channels above, the others below.
            let above = primary <= 2432 && !info.narrow.above;
            if above { primary + 10 } else { primary - 10 }
        }
        Width::Mhz40 | Width::Mhz80 => centre_of(primary, width)?,
    };
    let narrow = info.narrow;
    let forbidden_width = match width {
        Width::Mhz20 => false,
        Width::Mhz40 if centre > primary => narrow.above,
        Width::Mhz40 => narrow.below,
        Width::Mhz80 => narrow.wide,
    };
    if forbidden_width {
        return None;
    }
    let low = centre - width.mhz() / 2 + 10;
    let mut cac_ms = 0;
    for step in 0..width.mhz() / 20 {
        let frequency = low + 20 * step;
        let part = band.channels.iter().find(|channel| channel.frequency_mhz == frequency)?;
        forbidden(part, occupation.adapter.regulatory).ok()?;
        // A block that needs listening on some of its parts only would need it for the whole.
        if part.radar != info.radar || (part.radar && part.dfs == Dfs::Unavailable) {
            return None;
        }
        if part.radar && part.dfs != Dfs::Available {
            cac_ms = cac_ms.max(if part.cac_ms == 0 { CAC_MS } else { part.cac_ms });
        }
    }
    (!info.radar || occupation.detects_radar(width)).then_some((centre, cac_ms))
}

/// Centre of the block of 40 or 80 MHz that a channel of the 5 GHz band is part of (IEEE 802.11-2020, table E-4).
fn centre_of(primary_mhz: u32, width: Width) -> Option<u32> {
    let (base, count) = match primary_mhz {
        5180..=5320 => (5180, 8),
        5500..=5720 => (5500, 12),
        5745..=5805 => (5745, 4),
        _ => return None,
    };
    let offset = primary_mhz - base;
    if !offset.is_multiple_of(20) {
        return None;
    }
    let span = width.mhz() / 20;
    let start = offset / 20 / span * span;
    (start + span <= count).then_some(base + 20 * start + (width.mhz() - 20) / 2)
}

/// The newest generation of the radio on this channel that is not newer than `limit`.
fn generation(band: &Band, frequency_mhz: u32, limit: PhyType) -> PhyType {
    let five = frequency_mhz >= 5000;
    if band.he && limit >= PhyType::He {
        PhyType::He
    } else if band.vht && five && limit >= PhyType::Vht {
        PhyType::Vht
    } else if band.ht && limit >= PhyType::Ht {
        PhyType::Ht
    } else if five {
        PhyType::Ofdm
    } else {
        PhyType::Erp
    }
}

/// How wide the radio can be in that generation.
const fn widest(band: &Band, frequency_mhz: u32, phy: PhyType) -> Width {
    let forty = band.ht && band.ht_capabilities & 2 != 0;
    let five = frequency_mhz >= 5000;
    match phy {
        PhyType::Ofdm | PhyType::Erp => Width::Mhz20,
        PhyType::Ht if forty => Width::Mhz40,
        PhyType::Vht if forty => Width::Mhz80,
        PhyType::He if five && forty && band.vht && band.he_widths & 4 != 0 => Width::Mhz80,
        PhyType::He if !five && forty && band.he_widths & 2 != 0 => Width::Mhz40,
        PhyType::Ht | PhyType::Vht | PhyType::He => Width::Mhz20,
    }
}
