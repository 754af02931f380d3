//! Which adapter, which channel: a pure function of what nl80211 says.

use alloc::string::String;

use hn_types::{IfName, MacAddr, Reason, radio::PhyType};

/// A band the administrator may wish for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandWish {
    /// 2.4 GHz.
    Ghz2,
    /// 5 GHz.
    Ghz5,
}

/// What the administrator wishes of the radio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RadioWish {
    /// Only this adapter: `phy0`, or the name of an interface on it.
    pub adapter: Option<String>,
    /// Only this band.
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
    /// A switch is off.
    RadioOff {
        /// `phy0`.
        adapter: String,
        /// The hardware switch.
        hard: bool,
    },
    /// An ad hoc, mesh or monitor interface occupies the adapter.
    Incompatible {
        /// Which.
        interface: IfName,
    },
    /// The adapter cannot be an access point beside what runs on it.
    Combination {
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
    /// No channel may be used by an access point.
    NoChannel {
        /// `phy0`.
        adapter: String,
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
}
