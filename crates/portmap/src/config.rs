//! What the server is told: addresses, protocols, limits.

use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use hn_types::{Monotonic, Subnet4, Subnet6};

/// Which protocols are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// UPnP IGD 1 and 2.
    pub upnp: bool,
    /// RFC 6886.
    pub natpmp: bool,
    /// RFC 6887.
    pub pcp: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { upnp: true, natpmp: true, pcp: true }
    }
}

/// Bounds of everything that strangers can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions to the table that wait for an answer.
    pub asks: usize,
    /// The same of one client.
    pub asks_per_client: usize,
    /// Seconds a question waits for its answer.
    pub ask_s: u32,
    /// TCP connections that clients opened.
    pub connections: usize,
    /// The same of one client.
    pub connections_per_client: usize,
    /// Seconds a client has to send its request.
    pub request_s: u32,
    /// Bytes of the request line and header of an HTTP request.
    pub head: usize,
    /// Bytes of its body.
    pub body: usize,
    /// Event subscriptions.
    pub subscriptions: usize,
    /// The same of one client.
    pub subscriptions_per_client: usize,
    /// Answers to SSDP searches that wait for their time.
    pub searches: usize,
    /// Outputs waiting to be polled.
    pub outputs: usize,
    /// Entries of a snapshot that are kept and listed.
    pub entries: usize,
    /// Datagrams one sender may send at once.
    pub burst: u32,
    /// Datagrams one sender may send in a second on average.
    pub rate: u32,
    /// Connections one sender may open at once.
    pub connect_burst: u32,
    /// Connections one sender may open in a second on average.
    pub connect_rate: u32,
    /// Of all senders together, a second: a flood of made-up senders must not busy the server.
    pub total_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            asks: 128,
            asks_per_client: 8,
            ask_s: 10,
            connections: 64,
            connections_per_client: 8,
            request_s: 10,
            head: 4_096,
            body: 16_384,
            subscriptions: 64,
            subscriptions_per_client: 8,
            searches: 64,
            outputs: 512,
            entries: 1_024,
            burst: 40,
            rate: 10,
            connect_burst: 200,
            connect_rate: 40,
            total_rate: 400,
        }
    }
}

/// A configuration before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// The host's private address and the segment's network.
    pub host: Subnet4,
    /// The host's link-local address on the segment, when IPv6 is served there.
    pub link_local: Option<Ipv6Addr>,
    /// The host's other IPv6 addresses there, each with the prefix that devices have addresses from.
    pub prefixes: Vec<Subnet6>,
    /// The TCP port of descriptions, control and events, on each of these addresses.
    pub http_port: u16,
    /// What is served.
    pub protocols: Protocols,
    /// Names the gateway for ever (UPnP's UDNs are made of it).
    pub uuid: [u8; 16],
    /// What people see, 1 to 63 characters: `hostednet on ada`.
    pub name: String,
    /// Since when the table of mappings has lost nothing: NAT-PMP and PCP count their epoch from here, so that
    /// a restart of this server alone makes no device repeat its requests.
    pub epoch: Monotonic,
    /// Bounds.
    pub limits: Limits,
}

impl RawConfig {
    /// Every protocol over IPv4, with an epoch that starts with the clock.
    pub fn new(host: Subnet4, http_port: u16, uuid: [u8; 16]) -> Self {
        Self {
            host,
            link_local: None,
            prefixes: Vec::new(),
            http_port,
            protocols: Protocols::default(),
            uuid,
            name: String::from("hostednet"),
            epoch: Monotonic::ZERO,
            limits: Limits::default(),
        }
    }
}

/// Why a [`RawConfig`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The host address is not a unicast address inside a network of at least two bits.
    HostAddress,
    /// The link-local address is not one, or there is none although there are prefixes.
    LinkLocal,
    /// An IPv6 address is not a unicast address inside a prefix, or there are more than eight.
    Prefix,
    /// The TCP port is 0.
    Port,
    /// The name is empty, too long, or has control characters.
    Name,
    /// A limit is zero or too large.
    Limit,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostAddress => "the host address is not a unicast address of a network",
            Self::LinkLocal => "the link-local address is missing or not one",
            Self::Prefix => "an IPv6 address is not a unicast address of a prefix, or there are too many",
            Self::Port => "the TCP port is 0",
            Self::Name => "the name is empty, too long or has control characters",
            Self::Limit => "a limit is zero or too large",
        })
    }
}

impl core::error::Error for ConfigError {}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(RawConfig);

/// Most IPv6 prefixes of a segment.
const PREFIXES: usize = 8;

fn check_address6(link_local: Option<Ipv6Addr>, prefixes: &[Subnet6]) -> Result<(), ConfigError> {
    if link_local.is_some_and(|address| !address.is_unicast_link_local())
        || (link_local.is_none() && !prefixes.is_empty())
    {
        return Err(ConfigError::LinkLocal);
    }
    let bad = |prefix: &Subnet6| {
        let host = prefix.address();
        host.is_multicast()
            || host.is_loopback()
            || host.is_unspecified()
            || host.is_unicast_link_local()
            || host.to_ipv4_mapped().is_some()
            || !(16..=126).contains(&prefix.prefix())
    };
    if prefixes.len() > PREFIXES || prefixes.iter().any(bad) {
        return Err(ConfigError::Prefix);
    }
    Ok(())
}

impl Config {
    /// Checks `raw`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn new(raw: RawConfig) -> Result<Self, ConfigError> {
        let host = raw.host.address();
        if !(1..=30).contains(&raw.host.prefix())
            || host.is_multicast()
            || host.is_loopback()
            || host.is_unspecified()
            || host == raw.host.network().address()
            || host == raw.host.broadcast()
        {
            return Err(ConfigError::HostAddress);
        }
        check_address6(raw.link_local, &raw.prefixes)?;
        if raw.http_port == 0 {
            return Err(ConfigError::Port);
        }
        if !(1..=63).contains(&raw.name.chars().count()) || raw.name.chars().any(char::is_control) {
            return Err(ConfigError::Name);
        }
        let Limits {
            asks,
            asks_per_client,
            ask_s,
            connections,
            connections_per_client,
            request_s,
            head,
            body,
            subscriptions,
            subscriptions_per_client,
            searches,
            outputs,
            entries,
            burst,
            rate,
            connect_burst,
            connect_rate,
            total_rate,
        } = raw.limits;
        let counts = [
            asks,
            asks_per_client,
            connections,
            connections_per_client,
            subscriptions,
            subscriptions_per_client,
            searches,
            entries,
        ];
        let rates = [ask_s, request_s, burst, rate, connect_burst, connect_rate, total_rate];
        if counts.iter().any(|count| !(1..=65_536).contains(count))
            || rates.iter().any(|rate| !(1..=1_000_000).contains(rate))
            || !(512..=1_048_576).contains(&head)
            || !(1_024..=1_048_576).contains(&body)
            || !(128..=65_536).contains(&outputs)
        {
            return Err(ConfigError::Limit);
        }
        Ok(Self(raw))
    }

    /// The configuration as it was written.
    pub const fn raw(&self) -> &RawConfig {
        &self.0
    }

    pub(crate) fn set_address6(
        &mut self,
        link_local: Option<Ipv6Addr>,
        prefixes: Vec<Subnet6>,
    ) -> Result<(), ConfigError> {
        check_address6(link_local, &prefixes)?;
        self.0.link_local = link_local;
        self.0.prefixes = prefixes;
        Ok(())
    }

    /// Whether a device of the segment can send from here: spoofed and foreign sources are nobody.
    pub(crate) fn is_device(&self, from: SocketAddr) -> bool {
        from.port() != 0 && self.is_device_address(from.ip())
    }

    fn is_device_address(&self, from: IpAddr) -> bool {
        let raw = &self.0;
        match from.to_canonical() {
            IpAddr::V4(address) => {
                raw.host.contains(address)
                    && address != raw.host.address()
                    && address != raw.host.network().address()
                    && address != raw.host.broadcast()
            }
            IpAddr::V6(address) => {
                let ours = raw.link_local == Some(address)
                    || raw.prefixes.iter().any(|prefix| prefix.address() == address);
                let on_link = address.is_unicast_link_local()
                    || raw.prefixes.iter().any(|prefix| {
                        // The all-zero host part is the routers' anycast address (RFC 4291 §2.6.1).
                        prefix.contains(address) && prefix.network().address() != address
                    });
                raw.link_local.is_some() && on_link && !ours
            }
        }
    }

    /// The address by which a device at `from` reaches this host: what descriptions are announced under.
    pub(crate) fn address_for(&self, from: IpAddr) -> Option<IpAddr> {
        let raw = &self.0;
        match from.to_canonical() {
            IpAddr::V4(_) => Some(raw.host.address().into()),
            IpAddr::V6(from) => {
                // An address without scope is better than a link-local one, which a URL cannot name well.
                let same = raw.prefixes.iter().find(|prefix| prefix.contains(from));
                let host = same.or_else(|| raw.prefixes.first()).map(|prefix| prefix.address());
                host.or(raw.link_local).map(IpAddr::V6)
            }
        }
    }

    /// Whether `address` is one of this host's on the segment.
    pub(crate) fn is_host(&self, address: IpAddr) -> bool {
        let raw = &self.0;
        match address {
            IpAddr::V4(address) => address == raw.host.address(),
            IpAddr::V6(address) => {
                raw.link_local == Some(address)
                    || raw.prefixes.iter().any(|prefix| prefix.address() == address)
            }
        }
    }
}
