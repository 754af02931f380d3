//! Rules and the routing table that lead a segment out by an interface which is not the machine's own way.
//!
//! The first rules lead what belongs to an older connection, by its mark, to the interface that began on. The next one
//! looks for nearer ways (a local network, a route of a VPN) in the main table and passes over its default routes; the
//! last one has the default route of ours. All hold for what comes in by the private interface, so the
//! machine's own packets never meet them.

use hn_types::{
    IfName, Subnet4,
    plan::{NextHop, Steering},
};

use super::{AF_INET, AF_INET6};
use crate::{
    netlink::{CREATE, DUMP, EXCL, Netlink, Refusal, attribute, attributes, read_text, read_u32, text},
    network::tables::MAIN_TABLE,
    undo::{RoutingRule as Rule, Undo},
};

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;
/// `FRA_*` (`linux/fib_rules.h`).
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const TO_TABLE: u8 = 1;
/// `RTA_*`, `RT_SCOPE_*`.
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
/// Who made the route, for who reads the table: the number of no routing daemon.
const PROTOCOL: u8 = 137;
/// Default routes, and the halves of one that some VPNs lay over it, are no nearer ways.
const NOT_NEARER: u32 = 1;

/// One piece of a steering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The default route of the table.
    Default,
    /// The route to the network on the link.
    OnLink,
    /// The rule that finds the table.
    Find,
    /// The rule for nearer ways in the main table.
    Nearer,
}

impl Piece {
    /// Those of `steering`, in the order in which they are made: a rule without its route would lead elsewhere.
    pub(super) fn of(steering: &Steering) -> Vec<Self> {
        match (steering.mark, steering.on_link) {
            (Some(_), Some(_)) => vec![Self::OnLink, Self::Default, Self::Find],
            (Some(_), None) => vec![Self::Default, Self::Find],
            (None, _) => vec![Self::Default, Self::Find, Self::Nearer],
        }
    }

    /// What removes it, where the public interface has this index.
    pub(super) fn undo(self, steering: &Steering, index: u32) -> Undo {
        let ipv6 = is_ipv6(steering.next);
        let interface = steering.private;
        match self {
            Self::Default => Undo::Route { ipv6, index, table: steering.table(), network: None },
            Self::OnLink => Undo::Route { ipv6, index, table: steering.table(), network: steering.on_link },
            Self::Find => Undo::Rule { ipv6, interface, rule: Rule::Find(steering.mark) },
            Self::Nearer => Undo::Rule { ipv6, interface, rule: Rule::Nearer },
        }
    }
}

const fn is_ipv6(next: NextHop) -> bool {
    matches!(next, NextHop::Ipv6(_))
}

const fn family(ipv6: bool) -> u8 {
    if ipv6 { AF_INET6 } else { AF_INET }
}

/// `struct fib_rule_hdr` and its attributes.
fn rule_body(ipv6: bool, private: IfName, rule: Rule) -> Vec<u8> {
    let mut body = vec![family(ipv6), 0, 0, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0];
    let (table, priority) = place(rule);
    attribute(&mut body, FRA_IIFNAME, &text(private.as_str()));
    attribute(&mut body, FRA_PRIORITY, &priority.to_ne_bytes());
    attribute(&mut body, FRA_TABLE, &table.to_ne_bytes());
    match rule {
        Rule::Nearer => attribute(&mut body, FRA_SUPPRESS_PREFIXLEN, &NOT_NEARER.to_ne_bytes()),
        Rule::Find(Some(mark)) => attribute(&mut body, FRA_FWMARK, &mark.to_ne_bytes()),
        Rule::Find(None) => {}
    }
    body
}

/// Table and priority.
const fn place(rule: Rule) -> (u32, u32) {
    match rule {
        Rule::Nearer => (MAIN_TABLE, Steering::PRIORITY),
        Rule::Find(None) => (Steering::TABLE, Steering::PRIORITY + 1),
        Rule::Find(Some(mark)) => {
            (Steering::TABLE + 1 + mark.saturating_sub(Steering::MARKS), Steering::PRIORITY - 1)
        }
    }
}

/// Removes one of our rules.
pub(crate) fn remove_rule(route: &Netlink, ipv6: bool, private: IfName, rule: Rule) -> Result<(), Refusal> {
    route.request(DELETE_RULE, 0, &rule_body(ipv6, private, rule))
}

/// `struct rtmsg` of a route in a table of ours: to `network`, or the default route.
fn route_body(index: u32, table: u32, next: NextHop, network: Option<Subnet4>) -> Vec<u8> {
    let on_link = network.is_some() || next == NextHop::Ipv4(None);
    let scope = if on_link { SCOPE_LINK } else { SCOPE_UNIVERSE };
    let length = network.map_or(0, |network| network.prefix());
    let mut body = vec![family(is_ipv6(next)), length, 0, 0, 0, PROTOCOL, scope, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_TABLE, &table.to_ne_bytes());
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    match (network, next) {
        (Some(network), _) => attribute(&mut body, RTA_DST, &network.network().address().octets()),
        (None, NextHop::Ipv4(Some(gateway))) => attribute(&mut body, RTA_GATEWAY, &gateway.octets()),
        (None, NextHop::Ipv6(Some(gateway))) => attribute(&mut body, RTA_GATEWAY, &gateway.octets()),
        (None, NextHop::Ipv4(None) | NextHop::Ipv6(None)) => {}
    }
    body
}

/// Makes a piece, by the interface with this index.
pub(super) fn add(route: &Netlink, steering: &Steering, piece: Piece, index: u32) -> Result<(), Refusal> {
    let (table, next) = (steering.table(), steering.next);
    let rule = |rule| rule_body(is_ipv6(next), steering.private, rule);
    let (kind, body) = match piece {
        Piece::Default => (NEW_ROUTE, route_body(index, table, next, None)),
        Piece::OnLink => (NEW_ROUTE, route_body(index, table, next, steering.on_link)),
        Piece::Find => (NEW_RULE, rule(Rule::Find(steering.mark))),
        Piece::Nearer => (NEW_RULE, rule(Rule::Nearer)),
    };
    route.request(kind, CREATE | EXCL, &body)
}

/// Removes a route by the interface with this index from a table of ours.
pub(crate) fn remove_route(
    route: &Netlink,
    ipv6: bool,
    index: u32,
    table: u32,
    network: Option<Subnet4>,
) -> Result<(), Refusal> {
    const ANY_SCOPE: u8 = 255;
    let scope = if ipv6 { SCOPE_UNIVERSE } else { ANY_SCOPE };
    let length = network.map_or(0, |network| network.prefix());
    let mut body = vec![family(ipv6), length, 0, 0, 0, 0, scope, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_TABLE, &table.to_ne_bytes());
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    if let Some(network) = network {
        attribute(&mut body, RTA_DST, &network.network().address().octets());
    }
    route.request(DELETE_ROUTE, 0, &body)
}

/// What of it is in the kernel.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether it is for IPv6, the private interface, the rule.
    rules: Vec<(bool, IfName, Rule)>,
    /// Whether it is for IPv6, the index of the public interface, the table, the prefix length.
    routes: Vec<(bool, u32, u32, u8)>,
}

impl Standing {
    pub(super) fn read(route: &Netlink) -> Result<Self, Refusal> {
        let mut standing = Self::default();
        for ipv6 in [false, true] {
            let mut body = vec![0; 12];
            if let Some(first) = body.first_mut() {
                *first = family(ipv6);
            }
            let rules = route.ask(GET_RULE, DUMP, &body, |kind, message| {
                if kind == NEW_RULE
                    && let Some((private, rule)) = parse_rule(message)
                {
                    standing.rules.push((ipv6, private, rule));
                }
            });
            let routes = route.ask(GET_ROUTE, DUMP, &body, |kind, message| {
                if kind == NEW_ROUTE
                    && let Some((index, table, length)) = parse_route(message)
                {
                    standing.routes.push((ipv6, index, table, length));
                }
            });
            // A kernel without IPv6 has neither.
            if !ipv6 {
                rules?;
                routes?;
            }
        }
        Ok(standing)
    }

    /// Whether the piece is there, by the interface with this index.
    pub(super) fn has(&self, steering: &Steering, piece: Piece, index: u32) -> bool {
        let ipv6 = is_ipv6(steering.next);
        let routed = |length| self.routes.contains(&(ipv6, index, steering.table(), length));
        let ruled = |rule| self.rules.contains(&(ipv6, steering.private, rule));
        match piece {
            Piece::Default => routed(0),
            Piece::OnLink => steering.on_link.is_some_and(|network| routed(network.prefix())),
            Piece::Find => ruled(Rule::Find(steering.mark)),
            Piece::Nearer => ruled(Rule::Nearer),
        }
    }
}

fn parse_rule(message: &[u8]) -> Option<(IfName, Rule)> {
    let (mut name, mut priority, mut table) = (None, 0, u32::from(*message.get(4)?));
    let mut mark = None;
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            FRA_IIFNAME => name = read_text(value).and_then(|name| name.parse().ok()),
            FRA_PRIORITY => priority = read_u32(value, 0)?,
            FRA_FWMARK => mark = Some(read_u32(value, 0)?).filter(|mark| *mark != 0),
            FRA_TABLE => table = read_u32(value, 0)?,
            _ => {}
        }
    }
    let rule = if table == MAIN_TABLE { Rule::Nearer } else { Rule::Find(mark) };
    (place(rule) == (table, priority)).then_some((name?, rule))
}

/// Index, table and prefix length.
fn parse_route(message: &[u8]) -> Option<(u32, u32, u8)> {
    let (mut index, mut table) = (0, u32::from(*message.get(4)?));
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            RTA_OIF => index = read_u32(value, 0)?,
            RTA_TABLE => table = read_u32(value, 0)?,
            _ => {}
        }
    }
    (Steering::owns(table) && index != 0).then_some((index, table, *message.get(1)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_for_is_recognised() {
        let private: IfName = "lan0".parse().expect("valid");
        for rule in [Rule::Nearer, Rule::Find(None), Rule::Find(Some(Steering::MARKS + 3))] {
            assert_eq!(parse_rule(&rule_body(true, private, rule)), Some((private, rule)));
        }
        let network: Subnet4 = "10.9.0.5/24".parse().expect("valid");
        for (next, network) in [
            (NextHop::Ipv4(None), None),
            (NextHop::Ipv4(Some([10, 0, 0, 1].into())), Some(network)),
            (NextHop::Ipv6(None), None),
        ] {
            let length = network.map_or(0, |network| network.prefix());
            let body = route_body(7, Steering::TABLE + 2, next, network);
            assert_eq!(parse_route(&body), Some((7, Steering::TABLE + 2, length)));
        }
    }

    proptest! {
        #[test]
        fn no_message_breaks_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (parse_rule(&bytes), parse_route(&bytes));
        }
    }
}
