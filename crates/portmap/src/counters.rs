//! What was received, sent, refused and dropped, and why.

use hn_types::portmap::MapRefusal;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $variant:ident => $name:literal,)*) => {
        /// Why an input was dropped, or answered with an error without asking the table.
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
    /// From an address that no device of the segment has: foreign, the host's own, a group, or port 0.
    Source => "source",
    /// Too much from one sender.
    SourceRate => "source_rate",
    /// Too much from all senders together.
    TotalRate => "total_rate",
    /// Too many outputs wait to be polled.
    OutputBacklog => "output_backlog",
    /// After the end.
    Stopped => "stopped",
    /// A protocol that is switched off.
    Off => "off",
    /// Shorter than a request is.
    Truncated => "truncated",
    /// A response where only requests are expected.
    Response => "response",
    /// A version that is not spoken here.
    Version => "version",
    /// An unknown operation code of NAT-PMP or PCP.
    Opcode => "opcode",
    /// A PCP or NAT-PMP request with impossible lengths or values.
    Malformed => "malformed",
    /// A PCP option that is unknown and must be understood, or is not allowed here (THIRD_PARTY).
    Option => "option",
    /// A PCP option with an impossible length or value, or in the wrong place.
    MalformedOption => "malformed_option",
    /// The address inside of a PCP request is not its source: a NAT is on the way.
    AddressMismatch => "address_mismatch",
    /// A transport protocol other than TCP and UDP.
    Protocol => "protocol",
    /// The same request still waits for its answer.
    Repeated => "repeated",
    /// Too many requests of this client, or of all, wait for an answer.
    Asks => "asks",
    /// The table did not answer in time.
    Unanswered => "unanswered",
    /// Not a search: other devices' announcements and answers.
    NotSearch => "not_search",
    /// A malformed SSDP search.
    Search => "search",
    /// A search for what is not here.
    NotFor => "not_for",
    /// Too many searches wait for their answers.
    Searches => "searches",
    /// Too many connections of this client, or of all.
    Connections => "connections",
    /// A connection without a whole request in time.
    Slow => "slow",
    /// A malformed HTTP request.
    Http => "http",
    /// A request line, header or body over its limit.
    TooLarge => "too_large",
    /// A request that names the server by a name, or by another's address (DNS rebinding).
    Host => "host",
    /// A request from a web page.
    Origin => "origin",
    /// A path or method that does not exist.
    Path => "path",
    /// A SOAP request that is not well-formed, nests too deeply or declares what it must not.
    Soap => "soap",
    /// An action that the service does not have.
    Action => "action",
    /// Arguments that the action does not have, or impossible ones.
    Arguments => "arguments",
    /// An event subscription with a missing or contradictory header, or of nobody.
    Subscription => "subscription",
    /// Events to another address than the subscriber's own (CVE-2020-12695).
    Callback => "callback",
    /// Too many subscriptions of this client, or of all.
    Subscriptions => "subscriptions",
}

/// Totals since the server was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// NAT-PMP requests that were well-formed.
    pub natpmp: u64,
    /// PCP requests that were well-formed.
    pub pcp: u64,
    /// SSDP searches that were answered.
    pub searches: u64,
    /// Connections accepted.
    pub connections: u64,
    /// HTTP requests that were complete and well-formed.
    pub requests: u64,
    /// SOAP actions that were carried out or asked about.
    pub actions: u64,
    /// Questions put to the table.
    pub asks: u64,
    /// Mappings granted, or renewed.
    pub granted: u64,
    /// Subscriptions made.
    pub subscriptions: u64,
    /// Events delivered.
    pub events: u64,
    /// Events that could not be delivered.
    pub events_lost: u64,
    /// Multicast announcements sent, all protocols.
    pub announcements: u64,
    drops: Tally<{ DropReason::ALL.len() }>,
    refusals: Tally<{ MapRefusal::ALL.len() }>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tally<const N: usize>([u64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl Counters {
    /// How many inputs were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.0[reason as usize]
    }

    /// Every reason with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.drops.0)
    }

    /// How many requests the table refused for `refusal`.
    pub fn refused(&self, refusal: MapRefusal) -> u64 {
        self.refusals.0[refusal as usize]
    }

    /// Every refusal with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (MapRefusal, u64)> + '_ {
        MapRefusal::ALL.iter().copied().zip(self.refusals.0)
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drops.0[reason as usize] += 1;
    }

    pub(crate) fn refuse(&mut self, refusal: MapRefusal) {
        self.refusals.0[refusal as usize] += 1;
    }
}
