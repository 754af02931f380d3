//! Rules and the routing table that lead a segment out by an interface which is not the machine's own way.
//!
//! The first rule looks for nearer ways (a local network, a route of a VPN) in the main table and passes over its
//! default routes; the second one has the default route of ours. Both hold for what comes in by the private
//! interface, so the machine's own packets never meet them.

use hn_types::{
    IfName,
    plan::{NextHop, Steering},
};

use super::{AF_INET, AF_INET6};
use crate::{
    netlink::{CREATE, DUMP, EXCL, Netlink, Refusal, attribute, attributes, read_text, read_u32, text},
    network::tables::MAIN_TABLE,
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
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const TO_TABLE: u8 = 1;
/// `RTA_*`, `RT_SCOPE_*`.
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

/// One of the two rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nearer ways in the main table.
    Nearer,
    /// Our table.
    Out,
}

pub(super) const fn is_ipv6(next: NextHop) -> bool {
    matches!(next, NextHop::Ipv6(_))
}

const fn family(ipv6: bool) -> u8 {
    if ipv6 { AF_INET6 } else { AF_INET }
}

/// `struct fib_rule_hdr` and its attributes.
fn rule_body(ipv6: bool, private: IfName, rule: Rule) -> Vec<u8> {
    let mut body = vec![family(ipv6), 0, 0, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0];
    let (table, priority) = match rule {
        Rule::Nearer => (MAIN_TABLE, Steering::PRIORITY),
        Rule::Out => (Steering::TABLE, Steering::PRIORITY + 1),
    };
    attribute(&mut body, FRA_IIFNAME, &text(private.as_str()));
    attribute(&mut body, FRA_PRIORITY, &priority.to_ne_bytes());
    attribute(&mut body, FRA_TABLE, &table.to_ne_bytes());
    if rule == Rule::Nearer {
        attribute(&mut body, FRA_SUPPRESS_PREFIXLEN, &NOT_NEARER.to_ne_bytes());
    }
    body
}

pub(super) fn add_rule(route: &Netlink, ipv6: bool, private: IfName, rule: Rule) -> Result<(), Refusal> {
    route.request(NEW_RULE, CREATE | EXCL, &rule_body(ipv6, private, rule))
}

/// Removes one of our rules.
pub(crate) fn remove_rule(route: &Netlink, ipv6: bool, private: IfName, rule: Rule) -> Result<(), Refusal> {
    route.request(DELETE_RULE, 0, &rule_body(ipv6, private, rule))
}

/// `struct rtmsg` of the default route in our table.
fn route_body(index: u32, next: NextHop) -> Vec<u8> {
    let scope = if next == NextHop::Ipv4(None) { SCOPE_LINK } else { SCOPE_UNIVERSE };
    let mut body = vec![family(is_ipv6(next)), 0, 0, 0, 0, PROTOCOL, scope, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_TABLE, &Steering::TABLE.to_ne_bytes());
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    match next {
        NextHop::Ipv4(Some(gateway)) => attribute(&mut body, RTA_GATEWAY, &gateway.octets()),
        NextHop::Ipv6(Some(gateway)) => attribute(&mut body, RTA_GATEWAY, &gateway.octets()),
        NextHop::Ipv4(None) | NextHop::Ipv6(None) => {}
    }
    body
}

pub(super) fn add_route(route: &Netlink, index: u32, next: NextHop) -> Result<(), Refusal> {
    route.request(NEW_ROUTE, CREATE | EXCL, &route_body(index, next))
}

/// Removes the default route by the interface with this index from our table.
pub(crate) fn remove_route(route: &Netlink, ipv6: bool, index: u32) -> Result<(), Refusal> {
    const ANY_SCOPE: u8 = 255;
    let scope = if ipv6 { SCOPE_UNIVERSE } else { ANY_SCOPE };
    let mut body = vec![family(ipv6), 0, 0, 0, 0, 0, scope, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_TABLE, &Steering::TABLE.to_ne_bytes());
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    route.request(DELETE_ROUTE, 0, &body)
}

/// What of it is in the kernel.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether it is for IPv6, the private interface, the rule.
    pub(super) rules: Vec<(bool, IfName, Rule)>,
    /// Whether it is for IPv6, the index of the public interface.
    pub(super) routes: Vec<(bool, u32)>,
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
                if kind == NEW_ROUTE {
                    standing.routes.extend(parse_route(message).map(|index| (ipv6, index)));
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
}

fn parse_rule(message: &[u8]) -> Option<(IfName, Rule)> {
    let (mut name, mut priority, mut table) = (None, 0, u32::from(*message.get(4)?));
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            FRA_IIFNAME => name = read_text(value).and_then(|name| name.parse().ok()),
            FRA_PRIORITY => priority = read_u32(value, 0)?,
            FRA_TABLE => table = read_u32(value, 0)?,
            _ => {}
        }
    }
    let rule = match (priority, table) {
        (Steering::PRIORITY, MAIN_TABLE) => Rule::Nearer,
        (other, Steering::TABLE) if other == Steering::PRIORITY + 1 => Rule::Out,
        _ => return None,
    };
    Some((name?, rule))
}

fn parse_route(message: &[u8]) -> Option<u32> {
    let (mut index, mut table) = (0, u32::from(*message.get(4)?));
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            RTA_OIF => index = read_u32(value, 0)?,
            RTA_TABLE => table = read_u32(value, 0)?,
            _ => {}
        }
    }
    (message.get(1) == Some(&0) && table == Steering::TABLE && index != 0).then_some(index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_for_is_recognised() {
        let private: IfName = "lan0".parse().expect("valid");
        for (ipv6, rule) in [(false, Rule::Nearer), (true, Rule::Nearer), (false, Rule::Out), (true, Rule::Out)] {
            assert_eq!(parse_rule(&rule_body(ipv6, private, rule)), Some((private, rule)));
        }
        for next in [NextHop::Ipv4(None), NextHop::Ipv4(Some([10, 0, 0, 1].into())), NextHop::Ipv6(None)] {
            assert_eq!(parse_route(&route_body(7, next)), Some(7));
        }
    }

    proptest! {
        #[test]
        fn no_message_breaks_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (parse_rule(&bytes), parse_route(&bytes));
        }
    }
}
