//! The default routes of the main table, with their gateways.

use std::{collections::BTreeMap, net::Ipv4Addr};

use hn_types::{
    IfName,
    diagnosis::{Found, Route},
};

use crate::{
    netlink::{DUMP, Netlink, ROUTE, attributes, read_u32},
    network::tables::{self, MAIN_TABLE, UNICAST},
};

const AF_INET: u8 = 2;
const GET_ROUTE: u16 = 26;

/// The ways out, best first. The two halves that VPN clients lay over the default route count as one.
pub(super) fn defaults() -> Found<Vec<Route>> {
    let route = Netlink::open(ROUTE).map_err(|error| error.to_string())?;
    let links = tables::links(&route).map_err(|refusal| refusal.cause())?;
    let names: BTreeMap<u32, IfName> = links.into_iter().map(|link| (link.index, link.name)).collect();
    let mut found: Vec<(bool, Route)> = Vec::new();
    let body = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    route
        .ask(GET_ROUTE, DUMP, &body, |_, message| {
            if let Some(row) = parse(message)
                && let Some(name) = names.get(&row.interface)
            {
                let route = Route { interface: *name, gateway: row.gateway, metric: row.metric };
                found.push((row.half, route));
            }
        })
        .map_err(|refusal| refusal.cause())?;
    // Longer prefixes win.
    found.sort_by_key(|(half, route)| (!half, route.metric));
    found.dedup_by(|a, b| a == b);
    Ok(found.into_iter().map(|(_, route)| route).collect())
}

/// A default route, or half of one.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    interface: u32,
    gateway: Option<Ipv4Addr>,
    metric: u32,
    half: bool,
}

fn parse(message: &[u8]) -> Option<Row> {
    /// `RTNH_F_DEAD`, `RTNH_F_LINKDOWN`.
    const DEAD_OR_DOWN: u32 = 1 | 16;
    let [AF_INET, prefix @ 0..=1, _, _, table, _, _, UNICAST, ..] = *message else { return None };
    if read_u32(message, 8)? & DEAD_OR_DOWN != 0 {
        return None;
    }
    let mut table = u32::from(table);
    let mut row = Row { interface: 0, gateway: None, metric: 0, half: prefix == 1 };
    let address = |value: &[u8]| value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    for (kind, value) in attributes(message.get(12..)?) {
        match kind {
            4 => row.interface = read_u32(value, 0)?,
            5 => row.gateway = address(value),
            6 => row.metric = read_u32(value, 0)?,
            // Of several ways the first: `struct rtnexthop`, then its attributes.
            9 if row.interface == 0 => {
                row.interface = read_u32(value, 4)?;
                let end = usize::from(crate::netlink::read_u16(value, 0)?);
                let hop = value.get(8..end).unwrap_or_default();
                row.gateway = attributes(hop).find(|(kind, _)| *kind == 5).and_then(|(_, it)| address(it));
            }
            15 => table = read_u32(value, 0)?,
            _ => {}
        }
    }
    (table == MAIN_TABLE && row.interface != 0).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    #[test]
    fn a_default_route_is_read_and_others_are_passed_over() {
        let mut message = vec![AF_INET, 0, 0, 0, 254, 0, 0, UNICAST, 0, 0, 0, 0];
        attribute(&mut message, 5, &[203, 0, 113, 1]);
        attribute(&mut message, 4, &7_u32.to_ne_bytes());
        attribute(&mut message, 6, &100_u32.to_ne_bytes());
        let row = parse(&message).expect("a default route");
        let gateway = Some(Ipv4Addr::new(203, 0, 113, 1));
        assert_eq!(row, Row { interface: 7, gateway, metric: 100, half: false });
        for (at, value) in [(1, 24), (4, 255), (7, 6), (8, 1)] {
            let mut other = message.clone();
            other[at] = value;
            assert_eq!(parse(&other), None, "byte {at}");
        }
        for length in 0..message.len() {
            let _ = parse(&message[..length]);
        }
    }
}
