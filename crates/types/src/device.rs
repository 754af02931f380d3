//! What is decided about one device, and what it has used.
//!
//! A device is known by its MAC address. That is what every network sees of it and all that it can be told by; a
//! device that makes up another one is another device ([`MacAddr::is_local`] tells those that do).

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{IfName, MacAddr, Wall};

/// What somebody decided about one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// The device.
    pub mac: MacAddr,
    /// What people call it; empty when nobody said.
    #[serde(default)]
    pub name: String,
    /// Whatever else is worth remembering; empty when nothing is.
    #[serde(default)]
    pub note: String,
    /// Nothing of it and nothing to it passes, it cannot associate and gets no address.
    #[serde(default)]
    pub blocked: bool,
    /// It and other devices of the private side do not reach each other.
    #[serde(default)]
    pub isolated: bool,
    /// At most this many bytes a second from it; absent: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
    /// At most this many bytes a second to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// How much it may send and receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

impl DeviceSettings {
    /// Longest name in bytes.
    pub const NAME: usize = 64;
    /// Longest note in bytes.
    pub const NOTE: usize = 256;
    /// Smallest limit, in bytes a second: less does not carry one packet.
    pub const LEAST_LIMIT: u64 = 2_000;

    /// A device of which nothing has been decided.
    pub const fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            name: String::new(),
            note: String::new(),
            blocked: false,
            isolated: false,
            upload_limit: None,
            download_limit: None,
            quota: None,
        }
    }
}

/// A change of what is decided about a device; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceChange {
    /// A name, at most [`DeviceSettings::NAME`] bytes; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A note, at most [`DeviceSettings::NOTE`] bytes; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Blocked or allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// Isolated or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolated: Option<bool>,
    /// Bytes a second from it; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
    /// Bytes a second to it; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// Bytes both ways; 0: no quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// In which time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_period: Option<QuotaPeriod>,
    /// The host part of the address that is promised to it, as in [`Reservation`](crate::settings::Reservation); 0: no promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// Its quota begins anew.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub reset_quota: bool,
    /// Its counters begin anew.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub reset_counters: bool,
}

impl DeviceChange {
    /// Makes the change in `settings`; addresses and counters are elsewhere.
    pub fn apply(&self, settings: &mut DeviceSettings) {
        let limit = |limit: u64| (limit != 0).then_some(limit);
        if let Some(name) = &self.name {
            settings.name.clone_from(name);
        }
        if let Some(note) = &self.note {
            settings.note.clone_from(note);
        }
        settings.blocked = self.blocked.unwrap_or(settings.blocked);
        settings.isolated = self.isolated.unwrap_or(settings.isolated);
        if let Some(rate) = self.upload_limit {
            settings.upload_limit = limit(rate);
        }
        if let Some(rate) = self.download_limit {
            settings.download_limit = limit(rate);
        }
        if let Some(bytes) = self.quota_bytes {
            let period = settings.quota.map(|quota| quota.period).unwrap_or_default();
            settings.quota = limit(bytes).map(|bytes| Quota { bytes, period });
        }
        if let (Some(period), Some(quota)) = (self.quota_period, &mut settings.quota) {
            quota.period = period;
        }
    }
}

/// How much a device may send and receive, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Bytes, at least one.
    pub bytes: u64,
    /// In which time.
    pub period: QuotaPeriod,
}

/// When a quota begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaPeriod {
    /// At midnight, UTC.
    Day,
    /// On the first of the month, UTC.
    Month,
    /// Only when somebody says so.
    #[default]
    Total,
}

impl QuotaPeriod {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// `day`, `month` or `total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period that `now` lies in: `2026-01-31`, `2026-01` or nothing.
    pub fn label(self, now: Wall) -> String {
        let time = now.to_rfc3339();
        let length = match self {
            Self::Day => 10,
            Self::Month => 7,
            Self::Total => 0,
        };
        time.get(..length).unwrap_or_default().to_string()
    }
}

impl fmt::Display for QuotaPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuotaPeriod {
    type Err = QuotaPeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|period| period.as_str() == text).ok_or(QuotaPeriodError)
    }
}

/// The text is no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPeriodError;

impl fmt::Display for QuotaPeriodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quota is for a day, a month or in total")
    }
}

impl core::error::Error for QuotaPeriodError {}

/// Packets and their bytes, from the network header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets. Segments that the kernel handles as one count as one.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What has come since `earlier`; everything when the counting has begun anew since.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        match (self.packets.checked_sub(earlier.packets), self.bytes.checked_sub(earlier.bytes)) {
            (Some(packets), Some(bytes)) => Self { packets, bytes },
            (None, _) | (_, None) => self,
        }
    }
}

/// What a device that something was decided about has used: what passed between it and this machine, and through this
/// machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceUsage {
    /// The device.
    pub mac: MacAddr,
    /// From it, since it is known.
    pub upload: Traffic,
    /// To it.
    pub download: Traffic,
    /// Bytes of its quota that are used.
    #[serde(default)]
    pub spent: u64,
    /// The period they were used in ([`QuotaPeriod::label`]).
    #[serde(default)]
    pub period: String,
    /// The quota is used up: nothing passes until it begins anew.
    #[serde(default)]
    pub exhausted: bool,
}

impl DeviceUsage {
    /// Nothing yet.
    pub const fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            upload: Traffic { packets: 0, bytes: 0 },
            download: Traffic { packets: 0, bytes: 0 },
            spent: 0,
            period: String::new(),
            exhausted: false,
        }
    }
}

/// What holds for single devices on the private interfaces. Without rules there is nothing on the way of any packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The interfaces devices are attached to: members of the bridge, or the private interface itself.
    pub ports: Vec<DevicePort>,
    /// Addresses of this host on the private side: what comes from them is no other device.
    pub host: BTreeSet<MacAddr>,
    /// One for each device that something was decided about, by address.
    pub rules: Vec<DeviceRule>,
}

impl DevicePlan {
    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() || self.rules.is_empty()
    }
}

/// An interface that devices are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DevicePort {
    /// Its name.
    pub name: IfName,
    /// Its index: one that was made anew has another.
    pub index: u32,
}

/// What holds for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// The device.
    pub mac: MacAddr,
    /// Nothing passes.
    pub blocked: bool,
    /// See [`DeviceSettings::isolated`].
    pub isolated: bool,
    /// Bytes a second from it.
    pub upload_limit: Option<u64>,
    /// Bytes a second to it.
    pub download_limit: Option<u64>,
    /// Nothing but ARP, neighbour discovery and DHCP passes once [`DeviceCount::total`] has come so far.
    pub until: Option<u64>,
}

/// What the firewall has counted of one device since it was opened. Never less than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCount {
    /// The device.
    pub mac: MacAddr,
    /// What passed from it.
    pub upload: Traffic,
    /// What passed to it.
    pub download: Traffic,
    /// The [`DeviceRule::until`] that has been reached, so that packets were dropped.
    pub exhausted: Option<u64>,
}

impl DeviceCount {
    /// Nothing yet.
    pub const fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            upload: Traffic { packets: 0, bytes: 0 },
            download: Traffic { packets: 0, bytes: 0 },
            exhausted: None,
        }
    }

    /// Bytes both ways.
    pub const fn total(&self) -> u64 {
        self.upload.bytes.saturating_add(self.download.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_told_apart_by_their_labels() {
        let new_year = Wall::from_unix(1_767_225_600);
        assert_eq!(QuotaPeriod::Day.label(new_year), "2026-01-01");
        assert_eq!(QuotaPeriod::Month.label(new_year), "2026-01");
        assert_eq!(QuotaPeriod::Month.label(Wall::from_unix(1_767_225_599)), "2025-12");
        assert_eq!(QuotaPeriod::Total.label(new_year), "");
        for period in QuotaPeriod::ALL {
            assert_eq!(period.as_str().parse(), Ok(period));
        }
    }

    #[test]
    fn counting_that_began_anew_is_not_taken_for_less() {
        let traffic = |packets, bytes| Traffic { packets, bytes };
        assert_eq!(traffic(5, 500).since(traffic(3, 300)), traffic(2, 200));
        assert_eq!(traffic(1, 100).since(traffic(3, 300)), traffic(1, 100));
    }
}
