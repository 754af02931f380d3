//! Why no access point can run: a reason for programs, a sentence and a remedy for people.

use alloc::{
    format,
    string::{String, ToString},
};

use hn_types::{IfName, Reason};

use super::{
    channel::{ChannelRefusal, Limit, Survey},
    security::Lack,
};

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
        /// What is in the way.
        limit: Limit,
    },
    /// No channel may be used by an access point.
    NoChannel {
        /// `phy0`.
        adapter: String,
        /// Why, channel by channel; empty when the adapter has no wished-for channel at all.
        survey: Survey,
    },
    /// The channel of the connected station must be shared but forbids access points.
    StationChannel {
        /// The station.
        interface: IfName,
        /// Its frequency in MHz.
        frequency_mhz: u32,
        /// What forbids it.
        why: ChannelRefusal,
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
    /// The wished-for protection is impossible, and a weaker one is not allowed.
    Protection {
        /// `phy0`.
        adapter: String,
        /// What is missing.
        lack: Lack,
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
            | Self::NoChannel { .. }
            | Self::Protection { .. } => Reason::InterfaceUnavailable,
        }
    }

    /// The reason that is told once it no longer stands in the way.
    pub const fn end(&self) -> Reason {
        match self {
            Self::Incompatible { .. } => Reason::IncompatibleConnectionStopped,
            Self::NoAdapter
            | Self::NoApSupport { .. }
            | Self::RadioOff { .. }
            | Self::Combination { .. }
            | Self::StationChannel { .. }
            | Self::NoChannel { .. }
            | Self::Protection { .. } => Reason::InterfaceAvailable,
        }
    }

    /// What it is about.
    pub fn object(&self) -> String {
        match self {
            Self::NoAdapter => "hosted network".to_string(),
            Self::NoApSupport { adapter }
            | Self::RadioOff { adapter, .. }
            | Self::Combination { adapter, .. }
            | Self::NoChannel { adapter, .. }
            | Self::Protection { adapter, .. } => adapter.clone(),
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
            Self::Combination { adapter, limit } => {
                format!("{adapter} cannot be an access point beside the interfaces that exist on it: {limit}")
            }
            Self::StationChannel { interface, frequency_mhz, why } => format!(
                "the access point must share the channel of {interface} ({frequency_mhz} MHz), where access points \
                 are not allowed ({why})"
            ),
            Self::Incompatible { interface } => {
                format!("{interface} is in ad hoc or monitor mode, which excludes an access point")
            }
            Self::NoChannel { adapter, survey } if survey.0.is_empty() => {
                format!("{adapter} does not have the wished-for channel")
            }
            Self::NoChannel { adapter, survey } => {
                format!("{adapter} has no wished-for channel on which an access point is allowed: {survey}")
            }
            Self::Protection { adapter, lack } => format!("{adapter} cannot have WPA3: {lack}"),
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
            Self::NoChannel { survey, .. } => {
                survey.telling().map_or("wish for another channel", ChannelRefusal::remedy)
            }
            Self::Protection { lack, .. } => lack.remedy(),
        }
    }

    /// How near the adapter is to being usable, so that the most helpful refusal is told.
    pub(super) const fn nearness(&self) -> u8 {
        match self {
            Self::NoAdapter => 0,
            Self::NoApSupport { .. } => 1,
            Self::Combination { .. } => 2,
            Self::NoChannel { .. } => 3,
            Self::StationChannel { .. } => 4,
            Self::Incompatible { .. } => 5,
            Self::RadioOff { .. } => 6,
            Self::Protection { .. } => 7,
        }
    }
}
