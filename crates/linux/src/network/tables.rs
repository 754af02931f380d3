//! The kernel's link, address and route tables, read by netlink.
//!
//! Attributes are picked by number and the rest is passed over, so that a newer kernel cannot make an
//! interface disappear by describing it with something unknown.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use hn_types::{IfName, MacAddr, Subnet4, Subnet6};

use crate::netlink::{DUMP, GENERIC, Netlink, Refusal, attribute, attributes, read_text, read_u16, read_u32};

const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `IFF_*` (`linux/if.h`).
pub(crate) const IFF_UP: u32 = 0x1;
pub(crate) const IFF_LOOPBACK: u32 = 0x8;
/// The main routing table.
pub(crate) const MAIN_TABLE: u32 = 254;
/// `RTN_UNICAST`, `RTN_LOCAL`.
pub(crate) const UNICAST: u8 = 1;
pub(crate) const LOCAL: u8 = 2;
/// `RTN_UNREACHABLE`.
const UNREACHABLE: u8 = 7;
/// Who made a route (`rtm_protocol`): a number that nobody else uses, so that only ours are removed.
const OWN_ROUTES: u8 = 137;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkRow {
    pub(crate) index: u32,
    pub(crate) name: IfName,
    /// `ARPHRD_*`.
    pub(crate) hardware: u16,
    pub(crate) flags: u32,
    pub(crate) address: Option<MacAddr>,
    pub(crate) mtu: u32,
    pub(crate) carrier: bool,
    /// Index of the bridge or bond, 0 for none.
    pub(crate) master: u32,
    /// `IFLA_INFO_KIND`, empty for hardware.
    pub(crate) kind: String,
    /// It has never been up: its queueing discipline is `noop`.
    pub(crate) fresh: bool,
}

impl LinkRow {
    /// Its frames have an Ethernet header.
    pub(crate) const fn is_ethernet(&self) -> bool {
        self.hardware == 1
    }

    pub(crate) const fn up(&self) -> bool {
        self.flags & IFF_UP != 0
    }
}

/// One IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AddressRow {
    pub(crate) index: u32,
    pub(crate) address: Subnet4,
    /// The other end of a point-to-point link.
    pub(crate) peer: Option<Ipv4Addr>,
}

/// One IPv4 route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteRow {
    pub(crate) destination: Subnet4,
    pub(crate) table: u32,
    /// `RTN_*`.
    pub(crate) kind: u8,
    /// Index of the interface, 0 for none.
    pub(crate) interface: u32,
    pub(crate) metric: u32,
    /// The next router.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The next hop is dead.
    pub(crate) dead: bool,
}

/// One IPv6 default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefaultRow6 {
    /// Index of the interface, 0 for none.
    pub(crate) interface: u32,
    pub(crate) metric: u32,
    pub(crate) table: u32,
    /// The next router.
    pub(crate) gateway: Option<Ipv6Addr>,
}

/// One routing rule, as it meets a packet of this machine's own without a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleRow {
    pub(crate) priority: u32,
    /// The table it looks into; `None`: it lets no packet through.
    pub(crate) table: Option<u32>,
    /// Routes of at most so many bits do not count.
    pub(crate) suppressed: Option<u32>,
}

/// Every interface of the network namespace.
pub(crate) fn links(route: &Netlink) -> Result<Vec<LinkRow>, Refusal> {
    let mut rows = Vec::new();
    // The statistics of the interfaces are most of the answer; they are not asked for (RTEXT_FILTER_SKIP_STATS).
    let mut body = vec![0; 16];
    attribute(&mut body, 29, &(1_u32 << 3).to_ne_bytes());
    dump(route, GET_LINK, NEW_LINK, &body, |message| rows.extend(parse_link(message)))?;
    Ok(rows)
}

/// Every interface that has an alias, with it.
pub(crate) fn aliases(route: &Netlink) -> Result<Vec<(LinkRow, String)>, Refusal> {
    const ALIAS: u16 = 20;
    let mut rows = Vec::new();
    dump(route, GET_LINK, NEW_LINK, &[0; 16], |message| {
        let found = attributes(message.get(16..).unwrap_or_default()).find(|(kind, _)| *kind == ALIAS);
        let alias = found.and_then(|(_, value)| read_text(value)).map(str::to_owned);
        rows.extend(parse_link(message).zip(alias));
    })?;
    Ok(rows)
}

/// The interface with this name.
pub(crate) fn link(route: &Netlink, name: IfName) -> Result<Option<LinkRow>, Refusal> {
    let mut body = vec![0; 16];
    attribute(&mut body, 3, &crate::netlink::text(name.as_str()));
    let mut row = None;
    let answer = route.ask(GET_LINK, 0, &body, |_, message| row = parse_link(message));
    match answer {
        Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
        other => other.map(|()| row),
    }
}

/// Every IPv4 address of the network namespace.
pub(crate) fn addresses(route: &Netlink) -> Result<Vec<AddressRow>, Refusal> {
    let mut rows = Vec::new();
    dump(route, GET_ADDRESS, NEW_ADDRESS, &[AF_INET, 0, 0, 0, 0, 0, 0, 0], |message| {
        rows.extend(parse_address(message));
    })?;
    Ok(rows)
}

/// Every IPv4 route of every table.
pub(crate) fn routes(route: &Netlink) -> Result<Vec<RouteRow>, Refusal> {
    let mut rows = Vec::new();
    let body = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dump(route, GET_ROUTE, NEW_ROUTE, &body, |message| rows.extend(parse_route(message)))?;
    Ok(rows)
}

/// The routing rules that this machine's own packets without a mark meet on their way anywhere, in their order.
pub(crate) fn rules(route: &Netlink, ipv6: bool) -> Result<Vec<RuleRow>, Refusal> {
    const GET_RULE: u16 = 34;
    const NEW_RULE: u16 = 32;
    let family = if ipv6 { AF_INET6 } else { AF_INET };
    let mut rows = Vec::new();
    let body = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dump(route, GET_RULE, NEW_RULE, &body, |message| rows.extend(parse_rule(message)))?;
    rows.sort_by_key(|rule| rule.priority);
    Ok(rows)
}

/// Every IPv6 address of the network namespace, with the index of its interface.
pub(crate) fn addresses6(route: &Netlink) -> Result<Vec<(u32, Subnet6)>, Refusal> {
    let mut rows = Vec::new();
    dump(route, GET_ADDRESS, NEW_ADDRESS, &[AF_INET6, 0, 0, 0, 0, 0, 0, 0], |message| {
        rows.extend(parse_address6(message));
    })?;
    Ok(rows)
}

/// Every IPv6 default route that leads somewhere.
pub(crate) fn defaults6(route: &Netlink) -> Result<Vec<DefaultRow6>, Refusal> {
    let mut rows = Vec::new();
    let body = [AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dump(route, GET_ROUTE, NEW_ROUTE, &body, |message| rows.extend(parse_default6(message)))?;
    Ok(rows)
}

/// Every IPv6 route that is ours: its destination, and the index of its interface, 0 for one that refuses packets.
pub(crate) fn own_routes6(route: &Netlink) -> Result<Vec<(Subnet6, u32)>, Refusal> {
    let mut rows = Vec::new();
    let body = [AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dump(route, GET_ROUTE, NEW_ROUTE, &body, |message| rows.extend(parse_own_route6(message)))?;
    Ok(rows)
}

/// `struct rtmsg` and attributes of a route of ours.
pub(crate) fn route6_body(destination: Subnet6, index: u32) -> Vec<u8> {
    const EVERYWHERE: u8 = 0;
    let kind = if index == 0 { UNREACHABLE } else { UNICAST };
    let mut body = vec![
        AF_INET6,
        destination.prefix(),
        0,
        0,
        MAIN_TABLE as u8,
        OWN_ROUTES,
        EVERYWHERE,
        kind,
        0,
        0,
        0,
        0,
    ];
    attribute(&mut body, 1, &destination.address().octets());
    if index != 0 {
        attribute(&mut body, 4, &index.to_ne_bytes());
    }
    body
}

/// Indexes of the Wi-Fi interfaces. Asked of nl80211 and not of `/sys`, which shows the namespace it was
/// mounted in.
pub(crate) fn wireless() -> Result<BTreeSet<u32>, Refusal> {
    Ok(radio_interfaces()?.into_iter().map(|(index, _)| index).collect())
}

/// Indexes of the Wi-Fi interfaces that join networks (`NL80211_IFTYPE_STATION`).
pub(crate) fn stations() -> Result<BTreeSet<u32>, Refusal> {
    const STATION: u32 = 2;
    let all = radio_interfaces()?.into_iter();
    Ok(all.filter(|(_, kind)| *kind == STATION).map(|(index, _)| index).collect())
}

/// Index and `NL80211_IFTYPE_*` of the Wi-Fi interfaces.
fn radio_interfaces() -> Result<Vec<(u32, u32)>, Refusal> {
    const GET_INTERFACE: u8 = 5;
    const INTERFACE_INDEX: u16 = 3;
    const INTERFACE_TYPE: u16 = 5;
    let generic = Netlink::open(GENERIC)?;
    let Some(family) = nl80211(&generic)? else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    generic.ask(family, DUMP, &[GET_INTERFACE, 0, 0, 0], |_, message| {
        let number = |wanted: u16| {
            let mut all = attributes(message.get(4..).unwrap_or_default());
            all.find(|(kind, _)| *kind == wanted).and_then(|(_, value)| read_u32(value, 0))
        };
        if let Some(index) = number(INTERFACE_INDEX) {
            rows.push((index, number(INTERFACE_TYPE).unwrap_or_default()));
        }
    })?;
    Ok(rows)
}

/// The number of the nl80211 family; `None` when the kernel has no Wi-Fi.
pub(crate) fn nl80211(generic: &Netlink) -> Result<Option<u16>, Refusal> {
    const CONTROL: u16 = 16;
    const GET_FAMILY: u8 = 3;
    const FAMILY_ID: u16 = 1;
    const FAMILY_NAME: u16 = 2;
    let mut body = vec![GET_FAMILY, 1, 0, 0];
    attribute(&mut body, FAMILY_NAME, b"nl80211\0");
    let mut family = None;
    let answer = generic.ask(CONTROL, 0, &body, |_, message| {
        family = attributes(message.get(4..).unwrap_or_default())
            .find(|(kind, _)| *kind == FAMILY_ID)
            .and_then(|(_, value)| read_u16(value, 0));
    });
    match answer {
        Err(refusal) if refusal.errno == libc::ENOENT => Ok(None),
        other => other.map(|()| family),
    }
}

fn dump(
    route: &Netlink,
    request: u16,
    answer: u16,
    body: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), Refusal> {
    route.ask(request, DUMP, body, |kind, message| {
        if kind == answer {
            each(message);
        }
    })
}

/// `struct ifinfomsg` and `IFLA_*`.
pub(crate) fn parse_link(message: &[u8]) -> Option<LinkRow> {
    let mut name = None;
    let mut row = LinkRow {
        index: read_u32(message, 4)?,
        name: "none".parse().ok()?,
        hardware: read_u16(message, 2)?,
        flags: read_u32(message, 8)?,
        address: None,
        mtu: 0,
        carrier: false,
        master: 0,
        kind: String::new(),
        fresh: false,
    };
    for (kind, value) in attributes(message.get(16..)?) {
        match kind {
            1 => row.address = value.try_into().ok().map(MacAddr).filter(|address| *address != MacAddr::ZERO),
            3 => name = read_text(value)?.parse().ok(),
            4 => row.mtu = read_u32(value, 0)?,
            6 => row.fresh = read_text(value) == Some("noop"),
            10 => row.master = read_u32(value, 0)?,
            18 => {
                let found = attributes(value).find(|(kind, _)| *kind == 1);
                row.kind = found.and_then(|(_, value)| read_text(value)).unwrap_or_default().to_owned();
            }
            33 => row.carrier = value.first() == Some(&1),
            _ => {}
        }
    }
    row.name = name?;
    Some(row)
}

/// `struct ifaddrmsg` and `IFA_*`.
pub(crate) fn parse_address(message: &[u8]) -> Option<AddressRow> {
    if message.first() != Some(&AF_INET) {
        return None;
    }
    let prefix = *message.get(1)?;
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(message.get(8..)?) {
        match kind {
            1 => other = ipv4(value),
            2 => local = ipv4(value),
            _ => {}
        }
    }
    let own = local.or(other)?;
    Some(AddressRow {
        index: read_u32(message, 4)?,
        address: Subnet4::new(own, prefix)?,
        peer: other.filter(|other| *other != own),
    })
}

/// `struct rtmsg` and `RTA_*`.
pub(crate) fn parse_route(message: &[u8]) -> Option<RouteRow> {
    const DEAD: u32 = 1;
    if message.first() != Some(&AF_INET) {
        return None;
    }
    let prefix = *message.get(1)?;
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let mut row = RouteRow {
        destination: Subnet4::new(destination, prefix)?,
        table: u32::from(*message.get(4)?),
        kind: *message.get(7)?,
        interface: 0,
        metric: 0,
        gateway: None,
        dead: read_u32(message, 8)? & DEAD != 0,
    };
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            1 => destination = ipv4(value)?,
            4 => row.interface = read_u32(value, 0)?,
            5 => row.gateway = ipv4(value),
            6 => row.metric = read_u32(value, 0)?,
            // The first next hop of several (`struct rtnexthop`) stands for all.
            9 if row.interface == 0 => {
                row.interface = read_u32(value, 4)?;
                row.gateway = first_gateway(value).and_then(ipv4);
            }
            15 => row.table = read_u32(value, 0)?,
            _ => {}
        }
    }
    row.destination = Subnet4::new(destination, prefix)?;
    Some(row)
}

/// `struct ifaddrmsg` of IPv6.
pub(crate) fn parse_address6(message: &[u8]) -> Option<(u32, Subnet6)> {
    if message.first() != Some(&AF_INET6) {
        return None;
    }
    let prefix = *message.get(1)?;
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(message.get(8..)?) {
        match kind {
            1 => other = ipv6(value),
            2 => local = ipv6(value),
            _ => {}
        }
    }
    Some((read_u32(message, 4)?, Subnet6::new(local.or(other)?, prefix)?))
}

/// `struct fib_rule_hdr` and `FRA_*`; `None` for a rule that a packet of this machine's own without a mark, to nobody in
/// particular, does not meet, or that nobody can say it of: those that ask for more than a mark.
pub(crate) fn parse_rule(message: &[u8]) -> Option<RuleRow> {
    const INVERTED: u32 = 2;
    const TO_TABLE: u8 = 1;
    /// `FR_ACT_BLACKHOLE`, `FR_ACT_UNREACHABLE`, `FR_ACT_PROHIBIT`.
    const REFUSING: std::ops::RangeInclusive<u8> = 6..=8;
    /// `FRA_SUPPRESS_PREFIXLEN` of a rule without it.
    const NONE: u32 = u32::MAX;
    let [_, to, from, service, table, _, _, action, ..] = *message else { return None };
    let inverted = read_u32(message, 8)? & INVERTED != 0;
    let mut row = RuleRow { priority: 0, table: Some(u32::from(table)), suppressed: None };
    let (mut mark, mut mask) = (0, u32::MAX);
    let mut asks = to != 0 || from != 0 || service != 0;
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            6 => row.priority = read_u32(value, 0)?,
            10 => mark = read_u32(value, 0)?,
            14 => row.suppressed = Some(read_u32(value, 0)?).filter(|length| *length != NONE),
            15 => row.table = Some(read_u32(value, 0)?),
            16 => mask = read_u32(value, 0)?,
            // Source, destination, interfaces, tunnel, l3mdev, users, protocol, ports.
            1 | 2 | 3 | 12 | 17 | 19 | 20 | 22 | 23 | 24 => asks = true,
            _ => {}
        }
    }
    let met = (mark & mask == 0) != inverted;
    if asks || !met {
        return None;
    }
    match action {
        TO_TABLE => Some(row),
        action if REFUSING.contains(&action) => Some(RuleRow { table: None, ..row }),
        _ => None,
    }
}

/// `struct rtmsg` of IPv6; `None` for anything but a default route that is alive.
pub(crate) fn parse_default6(message: &[u8]) -> Option<DefaultRow6> {
    const DEAD_OR_DOWN: u32 = 1 | 16;
    let is_default = message.first() == Some(&AF_INET6) && message.get(1) == Some(&0);
    if !is_default || *message.get(7)? != UNICAST || read_u32(message, 8)? & DEAD_OR_DOWN != 0 {
        return None;
    }
    let mut row = DefaultRow6 { interface: 0, metric: 0, table: u32::from(*message.get(4)?), gateway: None };
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            4 => row.interface = read_u32(value, 0)?,
            5 => row.gateway = ipv6(value),
            6 => row.metric = read_u32(value, 0)?,
            // The first next hop of several (`struct rtnexthop`) stands for all.
            9 if row.interface == 0 => {
                row.interface = read_u32(value, 4)?;
                row.gateway = first_gateway(value).and_then(ipv6);
            }
            15 => row.table = read_u32(value, 0)?,
            _ => {}
        }
    }
    Some(row).filter(|row| row.interface != 0)
}

/// `struct rtmsg` of a route that is ours.
pub(crate) fn parse_own_route6(message: &[u8]) -> Option<(Subnet6, u32)> {
    if message.first() != Some(&AF_INET6) || message.get(5) != Some(&OWN_ROUTES) {
        return None;
    }
    let (mut destination, mut index) = (Ipv6Addr::UNSPECIFIED, 0);
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            1 => destination = ipv6(value)?,
            4 => index = read_u32(value, 0)?,
            _ => {}
        }
    }
    // The kernel hangs what refuses packets on the loopback interface.
    let index = if message.get(7) == Some(&UNREACHABLE) { 0 } else { index };
    Some((Subnet6::new(destination, *message.get(1)?)?, index))
}

/// The router of the first of several next hops.
fn first_gateway(hops: &[u8]) -> Option<&[u8]> {
    let length = usize::from(read_u16(hops, 0)?);
    attributes(hops.get(8..length)?).find(|(kind, _)| *kind == 5).map(|(_, value)| value)
}

fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::nested;

    #[test]
    fn a_bridge_member_is_read() {
        let mut message = vec![0, 0, 1, 0];
        message.extend_from_slice(&7_u32.to_ne_bytes());
        message.extend_from_slice(&0x1003_u32.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        attribute(&mut message, 3, b"eth0\0");
        attribute(&mut message, 1, &[2, 0, 0, 0, 0, 9]);
        attribute(&mut message, 4, &1500_u32.to_ne_bytes());
        attribute(&mut message, 10, &3_u32.to_ne_bytes());
        attribute(&mut message, 33, &[1]);
        nested(&mut message, 18, |inner| attribute(inner, 1, b"veth\0"));
        let row = parse_link(&message).expect("parses");
        assert_eq!((row.index, row.name.as_str(), row.hardware), (7, "eth0", 1));
        assert_eq!((row.mtu, row.master, row.carrier, row.kind.as_str()), (1500, 3, true, "veth"));
        assert!(row.up());
        assert_eq!(row.address, Some(MacAddr([2, 0, 0, 0, 0, 9])));
    }

    #[test]
    fn the_own_end_of_a_point_to_point_link_is_the_address() {
        let mut message = vec![AF_INET, 32, 0, 0];
        message.extend_from_slice(&9_u32.to_ne_bytes());
        attribute(&mut message, 1, &[10, 0, 0, 2]);
        attribute(&mut message, 2, &[10, 0, 0, 1]);
        let row = parse_address(&message).expect("parses");
        assert_eq!(row.address.to_string(), "10.0.0.1/32");
        assert_eq!(row.peer, Some(Ipv4Addr::new(10, 0, 0, 2)));
    }

    #[test]
    fn a_route_of_a_table_beyond_255_is_read() {
        let mut message = vec![AF_INET, 16, 0, 0, 252, 0, 0, UNICAST, 0, 0, 0, 0];
        attribute(&mut message, 1, &[172, 16, 0, 0]);
        attribute(&mut message, 15, &51820_u32.to_ne_bytes());
        attribute(&mut message, 4, &5_u32.to_ne_bytes());
        let row = parse_route(&message).expect("parses");
        assert_eq!(
            (row.destination.to_string().as_str(), row.table, row.interface),
            ("172.16.0.0/16", 51820, 5)
        );
    }

    #[test]
    fn a_route_that_was_made_here_is_found_again() {
        for (destination, index) in [("2001:db8::5/128", 7), ("2001:db8:100::/56", 0)] {
            let destination: Subnet6 = destination.parse().expect("valid");
            assert_eq!(parse_own_route6(&route6_body(destination, index)), Some((destination, index)));
        }
        let mut foreign = route6_body("2001:db8::/64".parse().expect("valid"), 7);
        foreign[5] = 4;
        assert_eq!(parse_own_route6(&foreign), None);
    }

    #[test]
    fn only_a_living_default_route_of_ipv6_is_read() {
        let message = |kind, prefix, flags: u32| {
            let mut message = vec![AF_INET6, prefix, 0, 0, 254, 9, 0, kind];
            message.extend_from_slice(&flags.to_ne_bytes());
            attribute(&mut message, 4, &5_u32.to_ne_bytes());
            attribute(&mut message, 6, &1024_u32.to_ne_bytes());
            message
        };
        let row = DefaultRow6 { interface: 5, metric: 1024, table: MAIN_TABLE, gateway: None };
        assert_eq!(parse_default6(&message(UNICAST, 0, 0)), Some(row));
        assert_eq!(parse_default6(&message(7, 0, 0)), None, "unreachable");
        assert_eq!(parse_default6(&message(UNICAST, 64, 0)), None);
        assert_eq!(parse_default6(&message(UNICAST, 0, 1)), None, "dead");
        assert_eq!(parse_default6(&message(UNICAST, 0, 16)), None, "no carrier");
    }

    #[test]
    fn only_rules_that_the_machines_own_packets_meet_are_read() {
        let rule = |header: [u8; 12], extra: &[(u16, u32)]| {
            let mut message = header.to_vec();
            for (kind, value) in [(6, 32_765), (14, u32::MAX), (15, 51_820)].iter().chain(extra) {
                attribute(&mut message, *kind, &value.to_ne_bytes());
            }
            parse_rule(&message)
        };
        let header = |action: u8, flags: u8| [AF_INET, 0, 0, 0, 252, 0, 0, action, flags, 0, 0, 0];
        let row = RuleRow { priority: 32_765, table: Some(51_820), suppressed: None };
        assert_eq!(rule(header(1, 0), &[]), Some(row));
        assert_eq!(rule(header(1, 0), &[(10, 0xca6c)]), None, "with this mark");
        assert_eq!(rule(header(1, 2), &[(10, 0xca6c), (16, u32::MAX)]), Some(row), "without it");
        assert_eq!(rule(header(1, 0), &[(10, 1), (16, 0)]), Some(row), "a mask that asks for nothing");
        assert_eq!(rule(header(1, 2), &[]), None, "never");
        assert_eq!(rule(header(1, 0), &[(14, 0)]), Some(RuleRow { suppressed: Some(0), ..row }));
        assert_eq!(rule(header(7, 0), &[]), Some(RuleRow { table: None, ..row }), "unreachable");
        assert_eq!(rule(header(2, 0), &[]), None, "goto");
        let from = [AF_INET, 0, 24, 0, 252, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(rule(from, &[]), None);
        for condition in [1, 2, 3, 17, 19, 20, 22, 23, 24] {
            assert_eq!(rule(header(1, 0), &[(condition, 1)]), None, "{condition}");
        }
    }

    proptest! {
        #[test]
        fn no_message_breaks_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_rule(&bytes);
            let _ = parse_link(&bytes);
            let _ = parse_address(&bytes);
            let _ = parse_route(&bytes);
            let _ = parse_address6(&bytes);
            let _ = parse_default6(&bytes);
            let _ = parse_own_route6(&bytes);
        }
    }
}
