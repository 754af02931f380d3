//! What the administrator configured. Already valid; nothing here changes while the core runs.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use hn_types::{
    Step, Subnet4,
    settings::{ApSettings, Isolation},
};

use crate::{portmap::PortMapPolicy, radio::RadioWish};

/// Configuration of the core.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's name, from which a first SSID is made; the first label is used.
    pub host_name: String,
    /// The machine id from which GUIDs are derived.
    pub machine_id: String,
    /// Which adapter, band and channel are wished for.
    pub radio: RadioWish,
    /// What holds of the access point where nobody set anything else.
    pub access_point: ApSettings,
    /// The host's address and network in full mode. `None`: 192.168.137.1/24, or another /24 when that
    /// collides. A given one is never replaced: a collision fails with error 765.
    pub full_subnet: Option<Subnet4>,
    /// The same for standalone mode; `None`: 192.168.173.1/24 or another.
    pub standalone_subnet: Option<Subnet4>,
    /// Option 15 and the zone of the segment.
    pub domain: String,
    /// Option 51.
    pub lease_time: Duration,
    /// What devices are kept from.
    pub isolate_from: Vec<Isolation>,
    /// A network that was started for good (`ForceStart`) starts again after the machine slept. The contract says no
    /// (spec/hosted-network.md §1, "Power").
    pub resume: bool,
    /// How long an effect may take.
    pub deadlines: Deadlines,
    /// How often stations are asked for signal and counters while there are any. Zero: never.
    pub station_poll: Duration,
    /// How often the firewall is asked what it has counted of single devices while it counts. Zero: never.
    pub device_poll: Duration,
    /// Whether any local user may read the keys, as Windows allows (`station_profile`).
    pub keys_readable_by_all: bool,
    /// Whether `ForceStop` needs elevation (seed 000 says so, the function's page does not).
    pub force_stop_needs_elevation: bool,
    /// What devices may ask for by UPnP, NAT-PMP and PCP.
    pub port_mapping: PortMapPolicy,
    /// Upper bounds.
    pub limits: Limits,
}

impl Config {
    /// The defaults for a host of this name and machine id.
    pub fn new(host_name: &str, machine_id: &str) -> Self {
        Self {
            host_name: host_name.into(),
            machine_id: machine_id.into(),
            radio: RadioWish::default(),
            access_point: ApSettings::default(),
            full_subnet: None,
            standalone_subnet: None,
            domain: "mshome.net".into(),
            lease_time: Duration::from_secs(604_800),
            isolate_from: Vec::new(),
            resume: false,
            deadlines: Deadlines::default(),
            station_poll: Duration::from_secs(5),
            device_poll: Duration::from_secs(2),
            keys_readable_by_all: true,
            force_stop_needs_elevation: true,
            port_mapping: PortMapPolicy::default(),
            limits: Limits::default(),
        }
    }
}

/// How long an effect of each lane may take before it counts as hung.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Settings on disk.
    pub store: Duration,
    /// Virtual adapter and access point.
    pub radio: Duration,
    /// Bridge and addresses.
    pub links: Duration,
    /// Per-interface forwarding.
    pub forwarding: Duration,
    /// The firewall table.
    pub firewall: Duration,
    /// DHCP and DNS.
    pub services: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            store: ten,
            radio: Duration::from_secs(45),
            links: ten,
            forwarding: ten,
            // Whoever is asked to let us through may be reading its configuration.
            firewall: Duration::from_secs(30),
            services: ten,
        }
    }
}

impl Deadlines {
    /// The deadline of one lane.
    pub const fn of(&self, lane: Step) -> Duration {
        match lane {
            Step::Check | Step::Store => self.store,
            Step::Radio => self.radio,
            Step::Links => self.links,
            Step::Forwarding => self.forwarding,
            Step::Firewall => self.firewall,
            Step::Services => self.services,
        }
    }
}

/// Upper bounds of everything that callers or devices can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open sessions; those beyond can call nothing (`limit_exceeded`).
    pub sessions: usize,
    /// References one session may hold.
    pub references: u32,
    /// Commands waiting for the one that runs.
    pub queue: usize,
    /// Devices remembered; the one that expires first makes room.
    pub devices: usize,
    /// Reservations, and devices that something is decided about.
    pub reservations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 1024, references: 1 << 16, queue: 64, devices: 4096, reservations: 256 }
    }
}
