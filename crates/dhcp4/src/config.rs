//! What the server hands out, to whom, and within which bounds. A [`Config`] cannot be invalid.

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr, time::Duration};

use hn_types::{MacAddr, Subnet4};

use crate::identity::{ClientId, Identity};

/// Largest number of addresses a pool may span.
const POOL_MAX: u32 = 1 << 20;

/// Whether addresses are probed by ARP before they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// Every new address is probed, ahead of need where possible (RFC 2131 §2.2, RFC 5227 §2.1).
    On,
    /// Addresses are offered unprobed.
    Off,
}

/// Whom an address is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservedFor {
    /// The client with this hardware address, whatever client identifier it sends.
    Mac(MacAddr),
    /// The client with this client identifier, whatever its hardware address.
    Client(ClientId),
}

/// An address kept for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The client.
    pub client: ReservedFor,
    /// Its address: in the subnet, inside or outside of the pool.
    pub address: Ipv4Addr,
}

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long an offered address is held for the client's request; 1 s to 1 h.
    pub offer_hold: Duration,
    /// How long an address that is in use by somebody else isn't offered; 1 s to 1 day.
    pub quarantine: Duration,
    /// How long an answer to a probe is waited for; 1 ms to 10 s.
    pub probe_wait: Duration,
    /// How long a probed address counts as free without another probe; 1 s to 1 day.
    pub freshness: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            offer_hold: Duration::from_secs(60),
            quarantine: Duration::from_secs(600),
            probe_wait: Duration::from_millis(200),
            freshness: Duration::from_secs(300),
        }
    }
}

/// Bounds of every queue; all at least 1 and at most 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Offers outstanding at once (never more than half of the pool); the oldest makes room.
    pub offers: usize,
    /// Requests that wait for a probe; more are dropped, the clients ask again.
    pub waiting: usize,
    /// Outputs waiting to be polled, at least 16; with a full queue frames are dropped on arrival.
    pub outputs: usize,
    /// Records handed out and not yet on disk; with a full queue requests are dropped.
    pub commits: usize,
    /// Addresses probed ahead of need (never more than half of the pool).
    pub reserve: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { offers: 4_096, waiting: 256, outputs: 4_096, commits: 4_096, reserve: 16 }
    }
}

/// A configuration as somebody wrote it; [`Config::new`] checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// Hardware address of the private interface.
    pub mac: MacAddr,
    /// Address of this host on the private interface, with its prefix; also the server identifier.
    pub host: Subnet4,
    /// First address of the pool.
    pub first: Ipv4Addr,
    /// Last address of the pool, inclusive. This host's own address is left out if it lies between.
    pub last: Ipv4Addr,
    /// Lease time, 10 s to 68 years in whole seconds (option 51; T1 and T2 are 1/2 and 7/8 of it).
    pub lease: Duration,
    /// Option 3.
    pub router: Option<Ipv4Addr>,
    /// Option 6, at most eight.
    pub dns: Vec<Ipv4Addr>,
    /// Option 15, a domain name without trailing dot.
    pub domain: Option<String>,
    /// Option 26, 68 to 65,535.
    pub mtu: Option<u16>,
    /// Addresses kept for certain clients.
    pub reservations: Vec<Reservation>,
    /// Clients that get no answer, by hardware address or by that of their frames.
    pub denied: BTreeSet<MacAddr>,
    /// Whether addresses are probed before an offer.
    pub probing: Probing,
    /// Durations.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
}

impl RawConfig {
    /// Standalone mode (spec §3.2): addresses and nothing else – no router, no resolver, no domain. The pool
    /// is every host address of the subnet but `host` itself; the lease lasts seven days.
    pub fn standalone(mac: MacAddr, host: Subnet4) -> Self {
        let network = host.network().address().to_bits();
        let broadcast = host.broadcast().to_bits();
        let own = host.address().to_bits();
        let mut first = network.saturating_add(1);
        let mut last = broadcast.saturating_sub(1);
        if first == own {
            first = first.saturating_add(1);
        } else if last == own {
            last = last.saturating_sub(1);
        }
        Self {
            mac,
            host,
            first: Ipv4Addr::from_bits(first),
            last: Ipv4Addr::from_bits(last),
            lease: Duration::from_secs(604_800),
            router: None,
            dns: Vec::new(),
            domain: None,
            mtu: None,
            reservations: Vec::new(),
            denied: BTreeSet::new(),
            probing: Probing::On,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }

    /// Full sharing (spec §3.2): this host is router and resolver, the domain is `mshome.net`.
    pub fn full(mac: MacAddr, host: Subnet4) -> Self {
        Self {
            router: Some(host.address()),
            dns: [host.address()].into(),
            domain: Some(String::from("mshome.net")),
            ..Self::standalone(mac, host)
        }
    }
}

/// Why a [`RawConfig`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The interface's hardware address is zero or a group address.
    InterfaceMac,
    /// The host address is the network or broadcast address, or the prefix isn't 8 to 30 bits.
    HostAddress,
    /// The pool is empty, too large (2^20 addresses), or leaves the subnet's host addresses.
    Pool,
    /// A duration is out of its range.
    Duration,
    /// An option can't be sent: more than eight resolvers, a bad domain name, an MTU below 68.
    Option,
    /// A reserved address isn't a host address of the subnet, or an address or a client appears twice.
    Reservation,
    /// A limit is zero or above 65,536.
    Limit,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InterfaceMac => "the interface's hardware address is not a unicast address",
            Self::HostAddress => "the host address is not usable in a subnet of 8 to 30 bits",
            Self::Pool => "the address pool is empty, too large or outside of the subnet",
            Self::Duration => "a duration is out of range",
            Self::Option => "a DHCP option cannot be sent as configured",
            Self::Reservation => "a reserved address is outside of the subnet or given twice",
            Self::Limit => "a limit is zero or too large",
        })
    }
}

impl core::error::Error for ConfigError {}

/// A valid configuration of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    raw: RawConfig,
    lease: u32,
    /// Sorted by client.
    by_client: Vec<Reservation>,
}

/// RFC 2132 §5.1.
const LEAST_MTU: u16 = 68;

impl Config {
    /// Checks `raw`.
    pub fn new(raw: RawConfig) -> Result<Self, ConfigError> {
        if raw.mac.is_multicast() || raw.mac == MacAddr::ZERO {
            return Err(ConfigError::InterfaceMac);
        }
        let is_host = |address: Ipv4Addr| {
            raw.host.contains(address)
                && address != raw.host.network().address()
                && address != raw.host.broadcast()
        };
        if !(8..=30).contains(&raw.host.prefix()) || !is_host(raw.host.address()) {
            return Err(ConfigError::HostAddress);
        }
        let (first, last) = (raw.first.to_bits(), raw.last.to_bits());
        let only_own = first == last && raw.first == raw.host.address();
        if first > last || last - first >= POOL_MAX || !is_host(raw.first) || !is_host(raw.last) || only_own {
            return Err(ConfigError::Pool);
        }
        let lease = u32::try_from(raw.lease.as_secs()).map_err(|_| ConfigError::Duration)?;
        let between = |d: Duration, low: Duration, high_s: u64| low <= d && d <= Duration::from_secs(high_s);
        let second = Duration::from_secs(1);
        if !(10..=0x7fff_ffff).contains(&lease)
            || !between(raw.timing.offer_hold, second, 3_600)
            || !between(raw.timing.quarantine, second, 86_400)
            || !between(raw.timing.probe_wait, Duration::from_millis(1), 10)
            || !between(raw.timing.freshness, second, 86_400)
        {
            return Err(ConfigError::Duration);
        }
        if raw.dns.len() > 8
            || raw.mtu.is_some_and(|mtu| mtu < LEAST_MTU)
            || raw.domain.as_deref().is_some_and(|domain| !is_domain(domain))
        {
            return Err(ConfigError::Option);
        }
        let Limits { offers, waiting, outputs, commits, reserve } = raw.limits;
        if [offers, waiting, commits, reserve].iter().any(|limit| !(1..=65_536).contains(limit))
            || !(16..=65_536).contains(&outputs)
        {
            return Err(ConfigError::Limit);
        }
        let mut by_client = raw.reservations.clone();
        by_client.sort_by_key(|r| r.client);
        let mut addresses: Vec<_> = by_client.iter().map(|r| r.address).collect();
        addresses.sort_unstable();
        let twice = by_client.windows(2).any(|pair| matches!(pair, [a, b] if a.client == b.client))
            || addresses.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        if twice || addresses.iter().any(|&a| !is_host(a) || a == raw.host.address()) {
            return Err(ConfigError::Reservation);
        }
        Ok(Self { raw, lease, by_client })
    }

    /// The configuration as it was written.
    pub const fn raw(&self) -> &RawConfig {
        &self.raw
    }

    /// Changes option 26. A value that option cannot have is none.
    pub(crate) fn set_mtu(&mut self, mtu: Option<u16>) {
        self.raw.mtu = mtu.filter(|mtu| *mtu >= LEAST_MTU);
    }

    /// Changes who gets no answer.
    pub(crate) fn set_denied(&mut self, denied: BTreeSet<MacAddr>) {
        self.raw.denied = denied;
    }

    /// Lease time in seconds.
    pub(crate) const fn lease_secs(&self) -> u32 {
        self.lease
    }

    /// The server identifier: this host's address on the segment.
    pub(crate) const fn server(&self) -> Ipv4Addr {
        self.raw.host.address()
    }

    /// The address reserved for `client`.
    pub(crate) fn reservation(&self, client: ReservedFor) -> Option<Ipv4Addr> {
        let found = self.by_client.binary_search_by_key(&client, |r| r.client).ok()?;
        self.by_client.get(found).map(|r| r.address)
    }

    /// The address reserved for `identity`.
    pub(crate) fn reserved_address(&self, identity: &Identity) -> Option<Ipv4Addr> {
        if self.by_client.is_empty() {
            return None;
        }
        self.reservation(match identity {
            Identity::Mac(mac) => ReservedFor::Mac(*mac),
            Identity::Client(id) => ReservedFor::Client(*id),
        })
    }

    /// Who the client with this hardware address and client identifier is. A reservation decides: by the identifier, by the hardware
    /// address that the identifier is made of (RFC 2132 §9.14, type 1), by the hardware address of the message. That of the
    /// frame does not: it is that of the bridge or repeater on the way, behind which there may be several clients. Without a
    /// reservation the identifier decides (RFC 2131 §4.2).
    pub(crate) fn identify(&self, mac: MacAddr, client_id: Option<ClientId>) -> Identity {
        let by_mac = Identity::Mac(mac);
        let Some(id) = client_id else { return by_mac };
        let by_id = Identity::Client(id);
        if self.reserved_address(&by_id).is_some() {
            return by_id;
        }
        let by_type = id.hardware().map(Identity::Mac);
        by_type.into_iter().chain([by_mac]).find(|by| self.reserved_address(by).is_some()).unwrap_or(by_id)
    }
}

/// A domain name of letters-digits-hyphen labels, without trailing dot.
fn is_domain(name: &str) -> bool {
    name.len() <= 200
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}
