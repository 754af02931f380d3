//! The table as a value: chains, rules and the few statements they are made of, and how people read it.

use alloc::{string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr};

use hn_types::{IfName, Subnet4, Subnet6};

/// The name of the table, of family `inet`.
pub const TABLE: &str = "hostednet";
/// What the table says about itself in `nft list ruleset`.
pub const TABLE_COMMENT: &str = "owned by hostednetd, replaced as a whole";

/// The whole table. No chains: the table does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Its chains, in the order in which they were made.
    pub chains: Vec<Chain>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it is attached; `None` for a chain that others go to.
    pub hook: Option<Hook>,
    /// Its rules, first one first.
    pub rules: Vec<Rule>,
}

/// A place in the path of a packet where a base chain is attached. The policy is always `accept`: what our
/// rules do not name is none of our business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `type filter hook input priority filter`.
    Input,
    /// `type filter hook forward priority filter`.
    Forward,
    /// `type nat hook prerouting priority dstnat`.
    Prerouting,
    /// `type nat hook postrouting priority srcnat`.
    Postrouting,
    /// `type filter hook prerouting priority mangle`.
    Steer,
    /// `type filter hook postrouting priority srcnat + 10`.
    Leaving,
    /// A hook, priority, policy or type that we never ask for, as the kernel reports it.
    Other {
        /// Number of the hook.
        number: u32,
        /// Its priority.
        priority: i32,
        /// Verdict at the end of the chain; 1 accepts, 0 drops.
        policy: u32,
    },
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its statements, run from left to right until one does not match.
    pub statements: Vec<Statement>,
    /// The comment, at most [`Rule::COMMENT_LIMIT`] bytes.
    pub comment: String,
}

impl Rule {
    /// Longest comment in bytes (the `nft` program takes no longer one).
    pub const COMMENT_LIMIT: usize = 127;
}

/// One statement of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Goes on if the packet fits.
    Match(Match),
    /// Counts the packet.
    Counter,
    /// Rewrites the source to the address of the outgoing interface (only in [`Hook::Postrouting`]).
    Masquerade,
    /// The same, and the source port to this one. Only after [`Match::PortFrom`].
    MasqueradeTo(u16),
    /// Rewrites the IPv4 destination and its port (only in [`Hook::Prerouting`]).
    Redirect(Ipv4Addr, u16),
    /// Marks the packet, for the routing decision (only in [`Hook::Steer`]).
    Mark(u32),
    /// Lowers the maximum segment size that a TCP packet announces to what the smaller of the ways to its
    /// destination and back to its source carries. Never raises it, and adds none. Only after [`Match::TcpSyn`].
    ClampSegment,
    /// Lowers it to this many bytes. Never raises it, and adds none. Only after [`Match::TcpSyn`].
    LimitSegment(u16),
    /// Ends the rule.
    Verdict(Verdict),
    /// Something a dump had in our table that we never write; its name.
    Other(String),
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The packet is IPv4.
    Ipv4,
    /// The packet is IPv6.
    Ipv6,
    /// The interface it came in by or goes out by.
    Interface(Side, Op, Compared),
    /// The IPv4 source ([`Side::In`]) or destination ([`Side::Out`]) lies in this network. Only after [`Match::Ipv4`].
    Address(Side, Subnet4),
    /// The same of IPv6. Only after [`Match::Ipv6`].
    Address6(Side, Subnet6),
    /// The IPv4 destination is another one. Only after [`Match::Ipv4`].
    NotTo(Ipv4Addr),
    /// It is for an address of this host.
    Local,
    /// It is of this protocol (IANA number).
    Protocol(u8),
    /// It is of this protocol, TCP or UDP, and for this port.
    Port(u8, u16),
    /// It is of this protocol, TCP or UDP, and from this port.
    PortFrom(u8, u16),
    /// Its destination was rewritten.
    Redirected,
    /// The other end of its connection answers to this address: the one its source was translated to. Only after
    /// [`Match::Ipv4`].
    AnsweredAt(Ipv4Addr),
    /// The state of its connection is one of these.
    State(CtStates),
    /// It goes this way of its connection.
    Direction(Direction),
    /// Its connection has seen packets both ways and is set up: for TCP, the handshake is over. Such a packet is
    /// established or related, never new.
    Assured,
    /// It is TCP and opens a connection, in either direction (SYN, or SYN and ACK).
    TcpSyn,
}

/// Which end of a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from.
    In,
    /// Where it goes.
    Out,
}

/// Which way of a connection a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the packet that opened it.
    Original,
    /// Back to who opened it.
    Reply,
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Is,
    /// Not equal.
    IsNot,
}

/// How an interface is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// By its index: one comparison of four bytes, but a different number after the interface was created again.
    Index(u32),
    /// By its name: always right, 16 bytes to fetch and compare.
    Name(IfName),
}

/// A set of connection states, as the kernel's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtStates(pub u32);

impl CtStates {
    /// Conntrack cannot make sense of the packet.
    pub const INVALID: Self = Self(1);
    /// It belongs to a connection that has seen both directions, or answers.
    pub const ESTABLISHED: Self = Self(2);
    /// It begins something an existing connection announced, or is an ICMP error about one.
    pub const RELATED: Self = Self(4);
    /// It begins a connection.
    pub const NEW: Self = Self(8);
    /// It was exempted from conntrack.
    pub const UNTRACKED: Self = Self(64);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This table lets it pass.
    Accept,
    /// Gone, without an answer.
    Drop,
    /// On with another chain, not to come back.
    Goto(String),
}

impl Hook {
    /// Number, priority and policy.
    pub const fn parts(self) -> (u32, i32, u32) {
        match self {
            Self::Input => (1, 0, 1),
            Self::Forward => (2, 0, 1),
            Self::Prerouting => (0, -100, 1),
            Self::Postrouting => (4, 100, 1),
            Self::Steer => (0, -150, 1),
            Self::Leaving => (4, 110, 1),
            Self::Other { number, priority, policy } => (number, priority, policy),
        }
    }

    /// The type of a base chain there.
    pub const fn chain_type(self) -> &'static str {
        match self {
            Self::Input | Self::Forward | Self::Steer | Self::Leaving | Self::Other { .. } => "filter",
            Self::Prerouting | Self::Postrouting => "nat",
        }
    }

    /// The hook with these parts.
    pub fn from_parts(chain_type: &str, parts: (u32, i32, u32)) -> Self {
        let known =
            [Self::Input, Self::Forward, Self::Prerouting, Self::Postrouting, Self::Steer, Self::Leaving];
        let (number, priority, policy) = parts;
        known
            .into_iter()
            .find(|hook| hook.parts() == parts && hook.chain_type() == chain_type)
            .unwrap_or(Self::Other { number, priority, policy })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "type filter hook input priority filter; policy accept;",
            Self::Forward => "type filter hook forward priority filter; policy accept;",
            Self::Prerouting => "type nat hook prerouting priority dstnat; policy accept;",
            Self::Postrouting => "type nat hook postrouting priority srcnat; policy accept;",
            Self::Steer => "type filter hook prerouting priority mangle; policy accept;",
            Self::Leaving => "type filter hook postrouting priority srcnat + 10; policy accept;",
            Self::Other { number, priority, policy } => {
                return write!(f, "hook {number} priority {priority}; policy {policy};");
            }
        })
    }
}

/// As `nft list table inet hostednet` shows it, but with interfaces that are compared by index as numbers.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chains.is_empty() {
            return f.write_str("# no table inet hostednet\n");
        }
        writeln!(f, "table inet {TABLE} {{\n\tcomment \"{TABLE_COMMENT}\"")?;
        for chain in &self.chains {
            writeln!(f, "\n\tchain {} {{", chain.name)?;
            if let Some(hook) = chain.hook {
                writeln!(f, "\t\t{hook}")?;
            }
            for rule in &chain.rules {
                writeln!(f, "\t\t{rule}")?;
            }
            writeln!(f, "\t}}")?;
        }
        f.write_str("}\n")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for statement in &self.statements {
            write!(f, "{separator}{statement}")?;
            separator = " ";
        }
        if !self.comment.is_empty() {
            write!(f, "{separator}comment \"{}\"", self.comment.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match(condition) => write!(f, "{condition}"),
            Self::Counter => f.write_str("counter"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::MasqueradeTo(port) => write!(f, "masquerade to :{port}"),
            Self::Redirect(address, port) => write!(f, "dnat ip to {address}:{port}"),
            Self::Mark(mark) => write!(f, "meta mark set {mark:#010x}"),
            Self::ClampSegment => f.write_str("tcp option maxseg size set rt mtu"),
            Self::LimitSegment(size) => write!(f, "tcp option maxseg size set {size}"),
            Self::Verdict(Verdict::Accept) => f.write_str("accept"),
            Self::Verdict(Verdict::Drop) => f.write_str("drop"),
            Self::Verdict(Verdict::Goto(chain)) => write!(f, "goto {chain}"),
            Self::Other(name) => write!(f, "[{}]", name.escape_debug()),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4 => f.write_str("meta nfproto ipv4"),
            Self::Ipv6 => f.write_str("meta nfproto ipv6"),
            Self::Interface(side, op, compared) => {
                let key = match side {
                    Side::In => "iif",
                    Side::Out => "oif",
                };
                let not = match op {
                    Op::Is => "",
                    Op::IsNot => "!= ",
                };
                match compared {
                    Compared::Index(index) => write!(f, "{key} {not}{index}"),
                    Compared::Name(name) => write!(f, "{key}name {not}\"{}\"", name.as_str().escape_debug()),
                }
            }
            Self::Address(Side::In, network) => write!(f, "ip saddr {network}"),
            Self::Address(Side::Out, network) => write!(f, "ip daddr {network}"),
            Self::Address6(Side::In, network) => write!(f, "ip6 saddr {network}"),
            Self::Address6(Side::Out, network) => write!(f, "ip6 daddr {network}"),
            Self::NotTo(address) => write!(f, "ip daddr != {address}"),
            Self::Local => f.write_str("fib daddr type local"),
            Self::Protocol(1) => f.write_str("meta l4proto icmp"),
            Self::Protocol(58) => f.write_str("meta l4proto ipv6-icmp"),
            Self::Protocol(number) => write!(f, "meta l4proto {number}"),
            Self::Port(6, port) => write!(f, "tcp dport {port}"),
            Self::Port(17, port) => write!(f, "udp dport {port}"),
            Self::Port(number, port) => write!(f, "meta l4proto {number} th dport {port}"),
            Self::PortFrom(6, port) => write!(f, "tcp sport {port}"),
            Self::PortFrom(17, port) => write!(f, "udp sport {port}"),
            Self::PortFrom(number, port) => write!(f, "meta l4proto {number} th sport {port}"),
            Self::Redirected => f.write_str("ct status dnat"),
            Self::AnsweredAt(address) => write!(f, "ct reply ip daddr {address}"),
            Self::State(states) => write!(f, "ct state {states}"),
            Self::Direction(Direction::Original) => f.write_str("ct direction original"),
            Self::Direction(Direction::Reply) => f.write_str("ct direction reply"),
            Self::Assured => f.write_str("ct status assured"),
            Self::TcpSyn => f.write_str("tcp flags syn"),
        }
    }
}

impl fmt::Display for CtStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        for (state, name) in [
            (Self::INVALID, "invalid"),
            (Self::ESTABLISHED, "established"),
            (Self::RELATED, "related"),
            (Self::NEW, "new"),
            (Self::UNTRACKED, "untracked"),
        ] {
            if rest & state.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = ",";
                rest &= !state.0;
            }
        }
        if rest != 0 { write!(f, "{separator}{rest:#x}") } else { Ok(()) }
    }
}
