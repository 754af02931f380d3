//! What the forwarder is told once, and the limits that keep it bounded.

use alloc::string::{String, ToString};
use core::time::Duration;

use hn_types::{Subnet4, Subnet6};
use serde::{Deserialize, Serialize};

use crate::{name::Name, wire};

/// Settings and limits of a forwarder.
///
/// Every number is brought into a range that is safe before use, so no value can make the engine
/// unbounded; the ranges are named at each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// This host's address on the private segment; only sources inside the subnet are answered.
    pub address: Subnet4,
    /// The same in IPv6, if it is there.
    pub address6: Option<Subnet6>,
    /// The local domain, `mshome.net` unless told otherwise.
    pub domain: String,
    /// The name of this host; made into a label like any name from a device, `host` when nothing is left.
    pub host_name: String,
    /// Most answers kept (16 to 1,000,000).
    pub cache_entries: u32,
    /// Most bytes the cache takes in all, its tables included (64 KiB to 1 GiB).
    pub cache_bytes: u32,
    /// Longest time an answer is kept and longest TTL passed on, seconds (1 to 604,800).
    pub max_ttl: u32,
    /// Longest time a negative answer is kept, seconds (RFC 2308 §5; 1 to 86,400).
    pub max_negative_ttl: u32,
    /// How long a failure is remembered, seconds (RFC 9520 §3.2; 1 to 300).
    pub failure_ttl: u32,
    /// TTL of names of leases and of this host, seconds (0 to 86,400).
    pub local_ttl: u32,
    /// Most questions in flight to resolvers (1 to 65,535).
    pub max_lookups: u32,
    /// Most clients waiting for an answer in all (1 to 65,535).
    pub max_waiters: u32,
    /// Most clients waiting for the same question (1 to 1,024).
    pub max_waiters_per_lookup: u16,
    /// Most unanswered questions of one client address (1 to 65,535).
    pub max_per_client: u16,
    /// How long the first, second, third and any later attempt waits before the next resolver is tried too
    /// (20 ms to 10 s each).
    pub attempt_timeouts: [Duration; 4],
    /// When the client is told that it failed (20 ms to 10 s).
    pub total_timeout: Duration,
    /// UDP payload offered to resolvers and accepted towards clients (RFC 6891; 512 to 4,096).
    pub edns_size: u16,
    /// Sockets on random ports per resolver (1 to 1,024).
    pub ports_per_upstream: u16,
    /// Questions a socket carries before its port is renewed (1 to 1,000,000).
    pub port_uses: u32,
    /// Most names of leases (0 to 65,536).
    pub max_names: u32,
    /// Ask again for a popular answer shortly before it expires.
    pub prefetch: bool,
}

impl Config {
    /// Defaults for a private segment at `address`.
    pub fn new(address: Subnet4, host_name: &str) -> Self {
        Self {
            address,
            address6: None,
            domain: "mshome.net".to_string(),
            host_name: host_name.to_string(),
            cache_entries: 10_000,
            cache_bytes: 3 << 20,
            max_ttl: 86_400,
            max_negative_ttl: 3_600,
            failure_ttl: 5,
            local_ttl: 30,
            max_lookups: 2_048,
            max_waiters: 4_096,
            max_waiters_per_lookup: 64,
            max_per_client: 512,
            attempt_timeouts: [800, 1_200, 1_500, 1_500].map(Duration::from_millis),
            total_timeout: Duration::from_secs(5),
            edns_size: 1_232,
            ports_per_upstream: 16,
            port_uses: 1_024,
            max_names: 4_096,
            prefetch: true,
        }
    }

    /// The same with every number in its range.
    pub(crate) fn clamped(mut self) -> Self {
        let shortest = Duration::from_millis(20);
        let longest = Duration::from_secs(10);
        self.cache_entries = self.cache_entries.clamp(16, 1_000_000);
        self.cache_bytes = self.cache_bytes.clamp(64 << 10, 1 << 30);
        self.max_ttl = self.max_ttl.clamp(1, 604_800);
        self.max_negative_ttl = self.max_negative_ttl.clamp(1, 86_400);
        self.failure_ttl = self.failure_ttl.clamp(1, 300);
        self.local_ttl = self.local_ttl.min(86_400);
        self.max_lookups = self.max_lookups.clamp(1, 65_535);
        self.max_waiters = self.max_waiters.clamp(1, 65_535);
        self.max_waiters_per_lookup = self.max_waiters_per_lookup.clamp(1, 1_024);
        self.max_per_client = self.max_per_client.max(1);
        self.attempt_timeouts = self.attempt_timeouts.map(|t| t.clamp(shortest, longest));
        self.total_timeout = self.total_timeout.clamp(shortest, longest);
        self.edns_size = self.edns_size.clamp(wire::MIN_UDP, wire::MAX_UDP);
        self.ports_per_upstream = self.ports_per_upstream.clamp(1, 1_024);
        self.port_uses = self.port_uses.clamp(1, 1_000_000);
        self.max_names = self.max_names.min(65_536);
        self
    }

    /// The local domain in wire form.
    pub(crate) fn domain_name(&self) -> Result<Name, ConfigError> {
        // A label and its length must still fit in front.
        match Name::from_text(&self.domain) {
            Some(name) if !name.is_root() && name.wire().len() <= wire::MAX_NAME - 64 => Ok(name),
            Some(_) | None => Err(ConfigError::Domain),
        }
    }
}

/// Settings that no forwarder can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The local domain is empty, too long or not a domain name.
    #[error(
        "the local domain is not a domain name of letters, digits, hyphens and dots below 190 characters"
    )]
    Domain,
}
