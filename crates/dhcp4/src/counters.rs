//! What was received, sent and dropped, and why.

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $variant:ident => $name:literal,)*) => {
        /// Why an input was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[doc = $doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// A stable name for metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its headers say.
    Truncated => "truncated",
    /// Neither IPv4 nor ARP, or in a VLAN.
    EtherType => "ether_type",
    /// Addressed to another station, or not to port 67.
    NotForUs => "not_for_us",
    /// From this interface's own hardware address, or from a group address.
    Source => "source",
    /// A malformed IPv4 header or a wrong header checksum.
    Ipv4Header => "ipv4_header",
    /// A fragment: no DHCP client sends those.
    Fragment => "fragment",
    /// A wrong UDP length or checksum.
    Udp => "udp",
    /// A malformed ARP packet.
    Arp => "arp",
    /// Not a BOOTP request from an Ethernet client with a usable hardware address.
    Bootp => "bootp",
    /// No DHCP magic cookie, or no message type: plain BOOTP.
    NotDhcp => "not_dhcp",
    /// Options that overrun their area or have an impossible length.
    Options => "options",
    /// A message type a server doesn't take, or a request that fits no client state.
    Message => "message",
    /// Through a relay agent: this server serves its own link only.
    Relayed => "relayed",
    /// For another server.
    OtherServer => "other_server",
    /// From a client this server knows nothing about (RFC 2131 §4.3.2: it must remain silent).
    UnknownClient => "unknown_client",
    /// From a client that gets no address.
    Denied => "denied",
    /// A release or decline of an address the client doesn't hold.
    NotHolder => "not_holder",
    /// No address is free.
    PoolExhausted => "pool_exhausted",
    /// Too many requests wait for a probe.
    ProbeBacklog => "probe_backlog",
    /// Too many records wait for the disk.
    PersistBacklog => "persist_backlog",
    /// Too many outputs wait to be polled.
    OutputBacklog => "output_backlog",
}

/// Totals since the server was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// DHCPDISCOVER accepted for handling.
    pub discovers: u64,
    /// DHCPREQUEST accepted for handling.
    pub requests: u64,
    /// DHCPDECLINE accepted for handling.
    pub declines: u64,
    /// DHCPRELEASE accepted for handling.
    pub releases: u64,
    /// DHCPINFORM accepted for handling.
    pub informs: u64,
    /// DHCPOFFER sent.
    pub offers: u64,
    /// DHCPACK sent.
    pub acks: u64,
    /// DHCPNAK sent.
    pub naks: u64,
    /// ARP probes sent.
    pub probes: u64,
    /// Addresses found in use by somebody else.
    pub conflicts: u64,
    /// Conflict events left out because there were too many.
    pub conflicts_unsaid: u64,
    /// Offers taken back because too many were outstanding.
    pub offers_evicted: u64,
    /// Records that couldn't be stored.
    pub persist_failures: u64,
    /// Records restored.
    pub restored: u64,
    /// Records ignored: not an address of this server, or out of date.
    pub restore_ignored: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// How many inputs were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Every reason with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.drops)
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}
