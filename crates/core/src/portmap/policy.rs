//! What devices may ask for.

use alloc::{vec, vec::Vec};
use core::{ops::RangeInclusive, time::Duration};

/// Whether devices may map ports by UPnP, NAT-PMP and PCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    /// Nobody answers them.
    Off,
    /// A device may open ports that lead to itself.
    #[default]
    Own,
    /// A device may open ports that lead to any device of the segment.
    Any,
}

impl Protocols {
    /// `off`, `own` or `any`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Own => "own",
            Self::Any => "any",
        }
    }
}

/// What devices may ask for, from the section `[port_mapping]` of `hostednet.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapPolicy {
    /// Whether they may at all, and for whom.
    pub protocols: Protocols,
    /// Ports outside that no device gets. Those on which this host itself serves come on top.
    pub reserved: Vec<RangeInclusive<u16>>,
    /// No mapping is shorter; not zero.
    pub shortest: Duration,
    /// No mapping is longer, and one that asks to last for ever lasts so long.
    pub longest: Duration,
    /// Mappings of one device.
    pub of_one: usize,
    /// Mappings of all devices.
    pub in_all: usize,
}

impl Default for PortMapPolicy {
    fn default() -> Self {
        Self {
            protocols: Protocols::Own,
            reserved: vec![1..=1_023],
            shortest: Duration::from_secs(120),
            longest: Duration::from_secs(604_800),
            of_one: 32,
            in_all: 256,
        }
    }
}

impl PortMapPolicy {
    /// Whether no device gets this port.
    pub fn reserves(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
    }
}
