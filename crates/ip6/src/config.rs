//! What the server is told: addresses, lifetimes, limits.

use alloc::{string::String, vec::Vec};
use core::{fmt, net::Ipv6Addr, time::Duration};

use hn_types::{MacAddr, Monotonic, Subnet6};

/// A prefix of the uplink's, from which devices make addresses besides those of [`RawConfig::host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// The prefix, a /64 without host bits.
    pub network: Subnet6,
    /// Whether all of it is on the segment; one that is shared with the uplink's link is not.
    pub on_link: bool,
    /// Until when the uplink prefers it.
    pub preferred_until: Monotonic,
    /// Until when it is ours.
    pub valid_until: Monotonic,
}

/// Where the uplink translates IPv6 to IPv4 (RFC 8781).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64 {
    /// The prefix, of 32, 40, 48, 56, 64 or 96 bits.
    pub prefix: Subnet6,
    /// Until when that holds.
    pub until: Monotonic,
}

/// A link whose prefix devices of the segment share (RFC 4389, RFC 7278).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The prefix they share.
    pub network: Subnet6,
    /// The hardware address of the host on that link.
    pub mac: MacAddr,
    /// The host's link-local address there.
    pub link_local: Ipv6Addr,
    /// The host's own addresses of the prefix, which no device may take.
    pub own: Vec<Ipv6Addr>,
}

/// What changes while a segment is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Whether this host leads anywhere: without, the router lifetime is zero (RFC 4861 §6.2.3) and devices
    /// have addresses but no default route.
    pub router: bool,
    /// The MTU to announce, when the way out takes less than the link itself.
    pub mtu: Option<u32>,
    /// The prefix of the uplink's that is announced. One that is replaced or goes is announced as not to be used
    /// any more until it ends (RFC 9096 §3.5).
    pub global: Option<Global>,
    /// Announced as long as `router` is.
    pub nat64: Option<Nat64>,
}

/// How long what is announced holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of this router and its resolver, 4 to 9000 s (RFC 4861 §6.2.1, RFC 8106 §5.1).
    pub router: Duration,
    /// How long an address made from the prefix is preferred.
    pub prefix_preferred: Duration,
    /// How long it is valid.
    pub prefix_valid: Duration,
    /// How long a leased address is preferred; a client renews after half of it.
    pub lease_preferred: Duration,
    /// How long a leased address is valid.
    pub lease_valid: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            router: Duration::from_secs(1_800),
            prefix_preferred: Duration::from_secs(14_400),
            prefix_valid: Duration::from_secs(86_400),
            lease_preferred: Duration::from_secs(43_200),
            lease_valid: Duration::from_secs(86_400),
        }
    }
}

/// Bounds of everything that strangers can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Leases remembered; the one that ends first makes room for the next.
    pub leases: usize,
    /// Leases of one hardware address.
    pub leases_per_device: usize,
    /// Declined addresses remembered.
    pub declined: usize,
    /// Addresses in use remembered.
    pub seen: usize,
    /// Addresses in use of one hardware address.
    pub seen_per_device: usize,
    /// Unicast advertisements waiting; beyond it one for everybody answers all.
    pub solicited: usize,
    /// Outputs waiting to be polled.
    pub outputs: usize,
    /// Packets one sender may send at once.
    pub burst: u32,
    /// Packets one sender may send in a second on average.
    pub rate: u32,
    /// The same for all senders together: a flood of made-up senders must not busy the server.
    pub total_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            leases: 1_024,
            leases_per_device: 8,
            declined: 64,
            seen: 1_024,
            seen_per_device: 16,
            solicited: 32,
            outputs: 256,
            burst: 20,
            rate: 4,
            total_rate: 400,
        }
    }
}

/// A configuration before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// The private interface's hardware address.
    pub mac: MacAddr,
    /// The host's link-local address there: the source of everything sent.
    pub link_local: Ipv6Addr,
    /// The host's address in the prefix that devices make their addresses from, a /64.
    pub host: Subnet6,
    /// Announce `host` as resolver.
    pub dns: bool,
    /// The domain that devices search.
    pub domain: Option<String>,
    /// The server's DUID is this UUID (RFC 6355); it should be the same for ever.
    pub uuid: [u8; 16],
    /// Decides clients' addresses; it should be the same after a restart and unknown on the link.
    pub address_key: u64,
    /// The way out.
    pub uplink: Uplink,
    /// Lifetimes.
    pub lifetimes: Lifetimes,
    /// Bounds.
    pub limits: Limits,
}

/// Why a [`RawConfig`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The interface's hardware address is zero or a group address.
    InterfaceMac,
    /// The source address is not link-local.
    LinkLocal,
    /// The host address is not a unicast address in a /64.
    HostAddress,
    /// A lifetime is out of its range.
    Lifetime,
    /// The domain can't be sent.
    Domain,
    /// An MTU below 1280, the least of IPv6.
    Mtu,
    /// A limit is zero or too large.
    Limit,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InterfaceMac => "the interface's hardware address is not a unicast address",
            Self::LinkLocal => "the router's address is not link-local",
            Self::HostAddress => "the host address is not a unicast address in a /64",
            Self::Lifetime => "a lifetime is out of range",
            Self::Domain => "the domain cannot be announced",
            Self::Mtu => "an MTU below 1280 bytes is not possible with IPv6",
            Self::Limit => "a limit is zero or too large",
        })
    }
}

impl core::error::Error for ConfigError {}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(RawConfig);

impl Config {
    /// Checks `raw`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn new(raw: RawConfig) -> Result<Self, ConfigError> {
        if raw.mac.is_multicast() || raw.mac == MacAddr::ZERO {
            return Err(ConfigError::InterfaceMac);
        }
        if !raw.link_local.is_unicast_link_local() {
            return Err(ConfigError::LinkLocal);
        }
        let host = raw.host.address();
        if raw.host.prefix() != 64
            || host.is_multicast()
            || host.is_loopback()
            || host.is_unspecified()
            || host.is_unicast_link_local()
            || host == raw.host.network().address()
        {
            return Err(ConfigError::HostAddress);
        }
        let Lifetimes { router, prefix_preferred, prefix_valid, lease_preferred, lease_valid } =
            raw.lifetimes;
        let within = |time: Duration, low, high| (low..=high).contains(&time.as_secs());
        if !within(router, 4, 9_000)
            || !within(prefix_preferred, 10, prefix_valid.as_secs())
            || !within(prefix_valid, 10, 0x7fff_ffff)
            || !within(lease_preferred, 10, lease_valid.as_secs())
            || !within(lease_valid, 10, 0x7fff_ffff)
        {
            return Err(ConfigError::Lifetime);
        }
        if raw.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            return Err(ConfigError::Domain);
        }
        if raw.uplink.mtu.is_some_and(|mtu| mtu < 1_280) {
            return Err(ConfigError::Mtu);
        }
        let Limits { leases, leases_per_device, declined, seen, seen_per_device, .. } = raw.limits;
        let Limits { solicited, outputs, burst, rate, total_rate, .. } = raw.limits;
        let counts = [leases, leases_per_device, declined, seen, seen_per_device, solicited];
        if counts.iter().any(|count| !(1..=65_536).contains(count))
            || !(32..=65_536).contains(&outputs)
            || [burst, rate, total_rate].iter().any(|rate| !(1..=1_000_000).contains(rate))
        {
            return Err(ConfigError::Limit);
        }
        Ok(Self(raw))
    }

    /// The configuration as it was written.
    pub const fn raw(&self) -> &RawConfig {
        &self.0
    }

    pub(crate) fn set_uplink(&mut self, uplink: Uplink) {
        let global = uplink.global.filter(|global| is_announceable(global.network));
        let nat64 = uplink.nat64.filter(|nat64| crate::advert::length_code(nat64.prefix).is_some());
        self.0.uplink = Uplink { mtu: uplink.mtu.filter(|mtu| *mtu >= 1_280), global, nat64, ..uplink };
    }
}

/// A /64 of addresses that lead out.
fn is_announceable(network: Subnet6) -> bool {
    let address = network.address();
    network.prefix() == 64
        && network == network.network()
        && !address.is_multicast()
        && !address.is_unicast_link_local()
        && address.segments()[0] != 0
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
