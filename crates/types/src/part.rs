//! The two parts of the service that can be stopped on their own, and what they need.
//!
//! They are the counterparts of two Windows services and are found under their names. What a Windows service depends on
//! has a counterpart here too: the piece of the system without which the part cannot do its work.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A part of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The WLAN service: the hosted network.
    Wlan,
    /// SharedAccess: sharing.
    SharedAccess,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Wlan, Self::SharedAccess];

    /// `wlan` or `sharedaccess`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wlan => "wlan",
            Self::SharedAccess => "sharedaccess",
        }
    }

    /// The name of its Windows counterpart.
    pub const fn service_name(self) -> &'static str {
        match self {
            Self::Wlan => "WlanSvc",
            Self::SharedAccess => "SharedAccess",
        }
    }

    /// What lists call it.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Wlan => "WLAN AutoConfig",
            Self::SharedAccess => "Internet Connection Sharing (ICS)",
        }
    }

    /// The part of this name: its own, that of its counterpart or what lists call it, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| {
            [part.as_str(), part.service_name(), part.display_name()]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// What it cannot do without. Nothing depends on either part.
    pub const fn depends_on(self) -> &'static [Dependency] {
        match self {
            Self::Wlan => &[],
            Self::SharedAccess => &Dependency::ALL,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When a part starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartType {
    /// With the service.
    Automatic,
    /// When somebody starts it or asks for what it does.
    Manual,
    /// Not by `service start`, nor as a side effect. An administrator who asks for sharing makes it manual.
    Disabled,
}

impl StartType {
    /// Every start type.
    pub const ALL: [Self; 3] = [Self::Automatic, Self::Manual, Self::Disabled];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
            Self::Disabled => "disabled",
        }
    }

    /// The start type with this stable name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|start_type| start_type.as_str() == name)
    }
}

/// The start types that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartTypes {
    /// Of the WLAN part: automatic unless changed.
    pub wlan: StartType,
    /// Of the SharedAccess part: manual unless changed, so that nothing runs until somebody shares.
    pub shared_access: StartType,
}

impl Default for StartTypes {
    fn default() -> Self {
        Self { wlan: StartType::Automatic, shared_access: StartType::Manual }
    }
}

impl StartTypes {
    /// That of one part.
    pub const fn of(self, part: Part) -> StartType {
        match part {
            Part::Wlan => self.wlan,
            Part::SharedAccess => self.shared_access,
        }
    }

    /// The same with another one for `part`.
    #[must_use]
    pub const fn with(self, part: Part, start_type: StartType) -> Self {
        match part {
            Part::Wlan => Self { wlan: start_type, ..self },
            Part::SharedAccess => Self { shared_access: start_type, ..self },
        }
    }
}

/// What the SharedAccess part needs of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// Base Filtering Engine: nf_tables in this network namespace.
    FilteringEngine,
    /// Remote Access Connection Manager: the routes and the switches of forwarding.
    RemoteAccess,
    /// Network Connections: the links of rtnetlink.
    NetworkConnections,
    /// Windows Management Instrumentation: the worker process that serves and reports.
    Instrumentation,
}

impl Dependency {
    /// Every dependency, in the order in which the seed document names them.
    pub const ALL: [Self; 4] =
        [Self::FilteringEngine, Self::RemoteAccess, Self::NetworkConnections, Self::Instrumentation];

    /// The name of its Windows counterpart.
    pub const fn service_name(self) -> &'static str {
        match self {
            Self::FilteringEngine => "BFE",
            Self::RemoteAccess => "RasMan",
            Self::NetworkConnections => "Netman",
            Self::Instrumentation => "WinMgmt",
        }
    }

    /// What lists call its Windows counterpart.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::FilteringEngine => "Base Filtering Engine",
            Self::RemoteAccess => "Remote Access Connection Manager",
            Self::NetworkConnections => "Network Connections",
            Self::Instrumentation => "Windows Management Instrumentation",
        }
    }

    /// What it is on this machine.
    pub const fn counterpart(self) -> &'static str {
        match self {
            Self::FilteringEngine => "nf_tables",
            Self::RemoteAccess => "routes and forwarding switches",
            Self::NetworkConnections => "network links",
            Self::Instrumentation => "worker process",
        }
    }
}

/// A dependency that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingDependency {
    /// Which.
    pub dependency: Dependency,
    /// Why, lower case, without a full stop.
    pub cause: String,
    /// What a person can do.
    pub remedy: String,
}

impl fmt::Display for MissingDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dependency, cause, .. } = self;
        write!(f, "{} ({}) is not there: {cause}", dependency.display_name(), dependency.counterpart())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_each_of_its_names_in_any_case() {
        for name in ["sharedaccess", "SharedAccess", "SHAREDACCESS", "internet connection sharing (ICS)"] {
            assert_eq!(Part::from_name(name), Some(Part::SharedAccess), "{name}");
        }
        for name in ["wlan", "WlanSvc", "wlan autoconfig"] {
            assert_eq!(Part::from_name(name), Some(Part::Wlan), "{name}");
        }
        for name in ["", "shared", "spooler", "Base Filtering Engine"] {
            assert_eq!(Part::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_start_type_is_that_of_its_part_only() {
        let types = StartTypes::default().with(Part::SharedAccess, StartType::Disabled);
        assert_eq!(types.of(Part::SharedAccess), StartType::Disabled);
        assert_eq!(types.of(Part::Wlan), StartType::Automatic);
        for start_type in StartType::ALL {
            assert_eq!(StartType::from_name(start_type.as_str()), Some(start_type));
        }
        assert_eq!(StartType::from_name("boot"), None);
    }
}
