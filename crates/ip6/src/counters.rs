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
    /// Not IPv6.
    EtherType => "ether_type",
    /// Addressed to another station, or to another port or protocol.
    NotForUs => "not_for_us",
    /// From this interface's own hardware address, or from an address nobody on the link can have.
    Source => "source",
    /// A malformed IPv6 header.
    Ipv6Header => "ipv6_header",
    /// A wrong UDP length or checksum.
    Udp => "udp",
    /// A hop limit other than 255: it came from beyond the link (RFC 4861 §6.1.1).
    HopLimit => "hop_limit",
    /// A wrong ICMPv6 length, code or checksum.
    Icmpv6 => "icmpv6",
    /// A neighbour discovery option of length zero or beyond the packet, or one that must not be there.
    NdOption => "nd_option",
    /// DHCPv6 options that overrun their area, have an impossible length or appear twice.
    Options => "options",
    /// More associations or addresses than any client has.
    TooMany => "too_many",
    /// A message type that a server doesn't take.
    Message => "message",
    /// A message without the identifiers it must have, or with one it must not (RFC 8415 §16).
    Identifiers => "identifiers",
    /// Through a relay agent: this server serves its own link only.
    Relayed => "relayed",
    /// For another server.
    OtherServer => "other_server",
    /// By unicast, although it is for every server (RFC 8415 §18.4).
    Unicast => "unicast",
    /// A confirmation of nothing.
    Nothing => "nothing",
    /// An address that another has.
    Conflict => "conflict",
    /// More addresses in use than any device or segment has.
    TooManySeen => "too_many_seen",
    /// About an address that is of no prefix here.
    Foreign => "foreign",
    /// From the uplink, while nothing is relayed.
    NoRelay => "no_relay",
    /// More questions from the uplink than are passed on.
    QuestionRate => "question_rate",
    /// Not an answer to what was asked: another transaction or client (RFC 8415 §16).
    Unasked => "unasked",
    /// A lease of lifetimes that contradict each other (RFC 8415 §21.21, §21.22).
    Lifetimes => "lifetimes",
    /// Too much from one sender.
    SourceRate => "source_rate",
    /// Too much from all senders together.
    TotalRate => "total_rate",
    /// Too many outputs wait to be polled.
    OutputBacklog => "output_backlog",
    /// After the last advertisement.
    Stopped => "stopped",
}

/// Totals since the server was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Router Solicitations accepted.
    pub solicitations: u64,
    /// Router Advertisements sent to everybody.
    pub advertisements: u64,
    /// Router Advertisements sent to one device.
    pub advertisements_unicast: u64,
    /// DHCPv6 messages accepted for handling.
    pub requests: u64,
    /// DHCPv6 Advertise messages sent.
    pub offers: u64,
    /// DHCPv6 Reply messages sent.
    pub replies: u64,
    /// Leases given.
    pub bound: u64,
    /// Leases renewed.
    pub renewed: u64,
    /// Leases given back.
    pub released: u64,
    /// Addresses declined.
    pub declined: u64,
    /// Leases that ran out.
    pub expired: u64,
    /// Leases forgotten to make room.
    pub forgotten: u64,
    /// Addresses refused: the device has too many, or none could be found.
    pub refused: u64,
    /// Neighbour Solicitations and Advertisements understood.
    pub neighbours: u64,
    /// Devices kept from an address that somebody on the uplink has.
    pub duplicates: u64,
    /// Questions from the uplink answered for a device.
    pub relayed: u64,
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
