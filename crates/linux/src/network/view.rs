//! The kernel's tables as the one complete picture the service works with. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use hn_types::{
    IfName, Subnet4, Subnet6,
    network::{Ipv6View, Link, MediaType, NetworkView, OccupiedSubnet, Way, Way6},
    plan::Steering,
};

use crate::{
    network::tables::{
        AddressRow, DefaultRow6, IFF_LOOPBACK, LOCAL, LinkRow, MAIN_TABLE, RouteRow, RuleRow, UNICAST,
    },
    undo::Undo,
};

/// The switch of the whole machine.
const ALL_FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Everything the picture is made of.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) links: Vec<LinkRow>,
    pub(crate) addresses: Vec<AddressRow>,
    pub(crate) routes: Vec<RouteRow>,
    pub(crate) wireless: BTreeSet<u32>,
    /// There is a PPPoE session on this machine.
    pub(crate) pppoe: bool,
    /// Of IPv4, then of IPv6; empty on a kernel that has none.
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) rules6: Vec<RuleRow>,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) behind_stub: Vec<SocketAddr>,
    pub(crate) host_name: String,
    pub(crate) defaults6: Vec<DefaultRow6>,
    pub(crate) addresses6: Vec<(u32, Subnet6)>,
    pub(crate) switches6: Switches6,
}

/// The sysctls of IPv6 that decide what can be done.
#[derive(Debug, Default)]
pub(crate) struct Switches6 {
    /// Interfaces made from here on have it.
    pub(crate) available: bool,
    /// Interfaces that have it turned off.
    pub(crate) disabled: BTreeSet<IfName>,
    /// `net.ipv6.conf.all.forwarding`, `net.ipv6.conf.default.forwarding`.
    pub(crate) forwarding: (bool, bool),
}

/// What this service itself did, from the undo journal.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Indexes of our interfaces, which keep them whatever somebody calls them.
    links: BTreeSet<u32>,
    /// Names of interfaces that are being made and have no index yet.
    names: BTreeSet<IfName>,
    addresses: BTreeSet<(u32, Subnet4)>,
    addresses6: BTreeSet<(u32, Subnet6)>,
    /// The machine forwards IPv6 because of us.
    forwarding6: bool,
}

impl Own {
    pub(crate) fn of<'u>(undos: impl IntoIterator<Item = &'u Undo>) -> Self {
        let mut own = Self::default();
        for undo in undos {
            match undo {
                Undo::Link { name, index: 0 } => {
                    own.names.insert(*name);
                }
                Undo::Link { index, .. } => {
                    own.links.insert(*index);
                }
                Undo::Address { index, address, .. } => {
                    own.addresses.insert((*index, *address));
                }
                Undo::Address6 { index, address, .. } => {
                    own.addresses6.insert((*index, *address));
                }
                Undo::Sysctl { path, .. } if path == ALL_FORWARDING => own.forwarding6 = true,
                Undo::Sysctl { .. }
                | Undo::Route6 { .. }
                | Undo::LinkUp { .. }
                | Undo::LinkDown { .. }
                | Undo::BridgeMember { .. }
                | Undo::Route { .. }
                | Undo::Rule { .. }
                | Undo::FirewallTable
                | Undo::TraceTable
                | Undo::FirewalldZone { .. }
                | Undo::Unmanaged { .. }
                | Undo::Process { .. } => {}
            }
        }
        own
    }

    /// The addresses this service gave to interfaces.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().map(|(_, address)| address.address())
    }
}

/// Puts the picture together.
pub(crate) fn compose(tables: &Tables, own: &Own) -> NetworkView {
    let names: BTreeMap<u32, IfName> = tables.links.iter().map(|link| (link.index, link.name)).collect();
    let incoming = incoming_only(tables);
    let links = tables
        .links
        .iter()
        .map(|row| {
            let mut addresses: Vec<_> = tables
                .addresses
                .iter()
                .filter(|address| address.index == row.index)
                .map(|address| address.address)
                .collect();
            addresses.sort_unstable();
            Link {
                name: row.name,
                index: row.index,
                address: row.address,
                media: media(row, tables.pppoe),
                incoming_only: incoming.contains(&row.index),
                up: row.up(),
                carrier: row.carrier,
                master: names.get(&row.master).copied(),
                addresses,
                mtu: row.mtu,
                wireless: tables.wireless.contains(&row.index),
                ours: own.links.contains(&row.index) || own.names.contains(&row.name),
            }
        })
        .collect();
    NetworkView {
        links,
        default_route: default_route(&tables.rules, &tables.routes)
            .and_then(|index| names.get(&index).copied()),
        ways: ways(&tables.routes, &names),
        steered: tables
            .routes
            .iter()
            .filter(|route| Steering::owns(route.table) && route.destination.prefix() == 0)
            .filter_map(|route| Some((route.table, *names.get(&route.interface)?)))
            .collect(),
        occupied: occupied(tables, own, &names),
        resolvers: tables.resolvers.clone(),
        behind_stub: tables.behind_stub.clone(),
        host_name: tables.host_name.clone(),
        ipv6: ipv6(tables, own, &names),
    }
}

/// Whoever turns IPv6 forwarding on for the machine turns it on for interfaces to come, too; we do not.
fn ipv6(tables: &Tables, own: &Own, names: &BTreeMap<u32, IfName>) -> Ipv6View {
    let Switches6 { available, disabled, forwarding: (all, default) } = &tables.switches6;
    let mut routes: Vec<_> = tables.defaults6.iter().filter(|route| !Steering::owns(route.table)).collect();
    routes.sort_by_key(|route| (route.table != MAIN_TABLE, route.metric));
    let whole = |table: u32| {
        let mut all = routes.iter().filter(|route| route.table == table);
        all.next().map(|route| route.interface)
    };
    let own_way = own_way(&tables.rules6, |table, suppressed| whole(table).filter(|_| suppressed.is_none()));
    let mut uplinks: Vec<_> = own_way.and_then(|index| names.get(&index).copied()).into_iter().collect();
    let mut ways: Vec<Way6> = Vec::new();
    for route in routes {
        let Some(interface) = names.get(&route.interface).copied() else { continue };
        if !ways.iter().any(|way| way.interface == interface) {
            ways.push(Way6 { interface, gateway: route.gateway });
            uplinks.extend(Some(interface).filter(|it| route.table == MAIN_TABLE && !uplinks.contains(it)));
        }
    }
    let steered = tables.defaults6.iter().filter(|route| Steering::owns(route.table));
    Ipv6View {
        available: *available,
        disabled: disabled.iter().copied().collect(),
        forwarding: *all && (!own.forwarding6 || *default),
        uplinks,
        addressed: addressed(tables, own, names),
        addresses: addresses6(tables, own, names),
        ways,
        steered: steered.filter_map(|route| Some((route.table, *names.get(&route.interface)?))).collect(),
    }
}

/// IPv6 addresses that are not ours and valid beyond their link.
fn addressed(tables: &Tables, own: &Own, names: &BTreeMap<u32, IfName>) -> Vec<(IfName, Subnet6)> {
    let rows = tables.addresses6.iter().filter(|row| !own.addresses6.contains(row));
    let beyond = rows.filter(|(_, subnet)| {
        let address = subnet.address();
        !address.is_unicast_link_local() && !address.is_loopback()
    });
    let mut found: Vec<_> =
        beyond.filter_map(|(index, address)| Some((*names.get(index)?, *address))).collect();
    found.sort_unstable();
    found
}

/// Global addresses that are not ours.
fn addresses6(tables: &Tables, own: &Own, names: &BTreeMap<u32, IfName>) -> Vec<(IfName, Subnet6)> {
    // Those of the loopback interface and of links are of no interest to others.
    let global = |address: Ipv6Addr| address.octets()[0] >> 5 == 1;
    let rows =
        tables.addresses6.iter().filter(|row| global(row.1.address()) && !own.addresses6.contains(row));
    let mut found: Vec<_> =
        rows.filter_map(|(index, address)| Some((*names.get(index)?, *address))).collect();
    found.sort_unstable();
    found
}

/// `NETCON_MEDIATYPE` by the kind of the link, then by its hardware type (design §3).
///
/// A `ppp` link does not say what carries it; it counts as PPPoE where a PPPoE session exists and as a
/// dial-up link elsewhere.
fn media(row: &LinkRow, pppoe: bool) -> MediaType {
    const ETHERNET: u16 = 1;
    const ETHERNET_TUN: &[&str] = &["gretap", "ip6gretap", "erspan", "ip6erspan", "vxlan", "geneve"];
    const INFINIBAND: u16 = 32;
    const SLIP: u16 = 256;
    const PPP: u16 = 512;
    const CISCO_HDLC: u16 = 513;
    const RAW_HDLC: u16 = 518;
    const RAW_IP: u16 = 519;
    const TUNNELS: [u16; 5] = [768, 769, 776, 778, 823];
    const NONE: u16 = 0xfffe;
    if row.flags & IFF_LOOPBACK != 0 {
        return MediaType::None;
    }
    let name = row.name.as_str();
    match row.kind.as_str() {
        "bridge" => MediaType::Bridge,
        "ifb" | "vrf" | "nlmon" | "vcan" | "vxcan" => MediaType::None,
        "wwan" => MediaType::Phone,
        kind if ETHERNET_TUN.contains(&kind) => MediaType::Tunnel,
        _ if ["isdn", "ippp"].iter().any(|prefix| name.starts_with(prefix)) => MediaType::Isdn,
        _ if name.starts_with("plip") => MediaType::Direct,
        _ => match row.hardware {
            ETHERNET | INFINIBAND => MediaType::Lan,
            SLIP => MediaType::Direct,
            PPP if pppoe => MediaType::Pppoe,
            PPP | RAW_IP => MediaType::Phone,
            CISCO_HDLC | RAW_HDLC => MediaType::Isdn,
            NONE => MediaType::Tunnel,
            hardware if TUNNELS.contains(&hardware) => MediaType::Tunnel,
            _ => MediaType::None,
        },
    }
}

/// The server side of dial-in and VPN links. The kernel does not know who called whom, so this is told from how
/// servers behave:
///
/// * a server gives its end of every `ppp` link the same address, a client has one link per address;
/// * a link that carries a default route is one this machine dialled, whatever else it looks like.
fn incoming_only(tables: &Tables) -> BTreeSet<u32> {
    const PPP: u16 = 512;
    let carries_default =
        |index| tables.routes.iter().any(|route| is_default(route.destination) && route.interface == index);
    let ends: Vec<(u32, Ipv4Addr)> = tables
        .links
        .iter()
        .filter(|link| link.hardware == PPP && !carries_default(link.index))
        .flat_map(|link| tables.addresses.iter().filter(|address| address.index == link.index))
        .filter(|address| address.peer.is_some())
        .map(|address| (address.index, address.address.address()))
        .collect();
    ends.iter()
        .filter(|(index, end)| ends.iter().any(|(other, same)| other != index && same == end))
        .map(|(index, _)| *index)
        .collect()
}

/// `0.0.0.0/0`, and the two halves that VPN clients lay over it.
const fn is_default(destination: Subnet4) -> bool {
    destination.prefix() <= 1
}

/// Where this machine's own packets to the Internet go: by the default route of the first table that a routing rule
/// leads them to and that has one. VPNs have tables of their own, and rules before that of the main table.
fn default_route(rules: &[RuleRow], routes: &[RouteRow]) -> Option<u32> {
    own_way(rules, |table, suppressed| default_of(routes, table, suppressed))
}

/// The first that `way` finds by one of the rules, given its table and up to which length it passes over routes.
fn own_way(rules: &[RuleRow], way: impl Fn(u32, Option<u32>) -> Option<u32>) -> Option<u32> {
    if rules.is_empty() {
        return way(MAIN_TABLE, None);
    }
    for rule in rules {
        // What lets no packet through decides as well.
        let found = way(rule.table?, rule.suppressed);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A table's default route with the lowest metric, or the interface over which a VPN laid both halves of it.
fn default_of(routes: &[RouteRow], table: u32, suppressed: Option<u32>) -> Option<u32> {
    let main = || {
        routes.iter().filter(move |route| {
            route.table == table
                && route.kind == UNICAST
                && route.interface != 0
                && !route.dead
                && suppressed.is_none_or(|length| u32::from(route.destination.prefix()) > length)
        })
    };
    let halves = main().filter(|route| route.destination.prefix() == 1);
    let whole = halves
        .clone()
        .filter(|low| low.destination.address().is_unspecified())
        .find(|low| {
            halves
                .clone()
                .any(|high| high.interface == low.interface && !high.destination.address().is_unspecified())
        })
        .map(|route| route.interface);
    whole.or_else(|| {
        main()
            .filter(|route| route.destination.prefix() == 0)
            .min_by_key(|route| route.metric)
            .map(|route| route.interface)
    })
}

/// Every interface that leads out by a route of somebody else's, those of the main table first.
fn ways(routes: &[RouteRow], names: &BTreeMap<u32, IfName>) -> Vec<Way> {
    let leads = |route: &&RouteRow| {
        is_default(route.destination)
            && !Steering::owns(route.table)
            && route.kind == UNICAST
            && route.interface != 0
            && !route.dead
    };
    let mut routes: Vec<_> = routes.iter().filter(leads).collect();
    routes.sort_by_key(|route| (route.table != MAIN_TABLE, route.metric));
    let mut found: Vec<Way> = Vec::new();
    for route in routes {
        if let Some(interface) = names.get(&route.interface)
            && !found.iter().any(|way| way.interface == *interface)
        {
            found.push(Way { interface: *interface, gateway: route.gateway });
        }
    }
    found
}

/// Every network in use, without default routes, loopback and what is ours.
fn occupied(tables: &Tables, own: &Own, names: &BTreeMap<u32, IfName>) -> Vec<OccupiedSubnet> {
    let mut found = BTreeSet::new();
    for row in tables.addresses.iter().filter(|row| !own.addresses.contains(&(row.index, row.address))) {
        found.insert((row.address.network(), row.index));
        if let Some(peer) = row.peer.and_then(|peer| Subnet4::new(peer, row.address.prefix())) {
            found.insert((peer.network(), row.index));
        }
    }
    let ours = |route: &RouteRow| {
        Steering::owns(route.table)
            || own.addresses.iter().any(|(index, address)| {
                *index == route.interface
                    && route.destination.prefix() >= address.prefix()
                    && address.contains(route.destination.address())
            })
    };
    let routes = tables.routes.iter().filter(|route| {
        matches!(route.kind, UNICAST | LOCAL) && !is_default(route.destination) && !ours(route)
    });
    for route in routes {
        // The local table repeats every address.
        let repeated = route.kind == LOCAL
            && tables.addresses.iter().any(|row| row.address.address() == route.destination.address());
        if !repeated {
            found.insert((route.destination.network(), route.interface));
        }
    }
    found
        .into_iter()
        .filter(|(subnet, _)| !subnet.address().is_loopback() && !subnet.address().is_unspecified())
        .filter_map(|(subnet, index)| Some(OccupiedSubnet { subnet, interface: *names.get(&index)? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, hardware: u16, kind: &str) -> LinkRow {
        LinkRow {
            index,
            name: name.parse().expect("valid"),
            hardware,
            flags: 1,
            address: None,
            mtu: 1500,
            carrier: true,
            master: 0,
            kind: kind.into(),
            fresh: false,
        }
    }

    fn subnet(text: &str) -> Subnet4 {
        text.parse().expect("valid")
    }

    fn address(index: u32, text: &str, peer: Option<&str>) -> AddressRow {
        AddressRow { index, address: subnet(text), peer: peer.map(|peer| peer.parse().expect("valid")) }
    }

    fn route(destination: &str, interface: u32, metric: u32, table: u32) -> RouteRow {
        let destination = subnet(destination);
        RouteRow { destination, table, kind: UNICAST, interface, metric, gateway: None, dead: false }
    }

    #[test]
    fn media_types_follow_the_design() {
        for (name, hardware, kind, expected) in [
            ("eth0", 1, "", MediaType::Lan),
            ("wlan0", 1, "", MediaType::Lan),
            ("bond0", 1, "bond", MediaType::Lan),
            ("tap0", 1, "tun", MediaType::Lan),
            ("br0", 1, "bridge", MediaType::Bridge),
            ("tun0", 0xfffe, "tun", MediaType::Tunnel),
            ("wg0", 0xfffe, "wireguard", MediaType::Tunnel),
            ("gre1", 778, "gre", MediaType::Tunnel),
            ("gretap1", 1, "gretap", MediaType::Tunnel),
            ("ppp0", 512, "ppp", MediaType::Phone),
            ("wwan0", 519, "", MediaType::Phone),
            ("ippp0", 512, "", MediaType::Isdn),
            ("sl0", 256, "", MediaType::Direct),
            ("mon0", 803, "", MediaType::None),
            ("can0", 280, "", MediaType::None),
        ] {
            assert_eq!(media(&link(1, name, hardware, kind), false), expected, "{name}");
        }
        assert_eq!(media(&link(1, "ppp0", 512, "ppp"), true), MediaType::Pppoe);
        let lo = LinkRow { flags: IFF_LOOPBACK, ..link(1, "lo", 772, "") };
        assert_eq!(media(&lo, false), MediaType::None);
    }

    #[test]
    fn the_lowest_metric_of_the_main_table_wins() {
        let routes = [
            route("0.0.0.0/0", 1, 600, MAIN_TABLE),
            route("0.0.0.0/0", 2, 100, MAIN_TABLE),
            route("0.0.0.0/0", 3, 0, 51820),
            RouteRow { dead: true, ..route("0.0.0.0/0", 4, 0, MAIN_TABLE) },
        ];
        assert_eq!(default_route(&[], &routes), Some(2));
        assert_eq!(default_route(&[], &routes[2..]), None);
    }

    #[test]
    fn a_vpn_over_both_halves_is_the_default_route() {
        let low = route("0.0.0.0/1", 7, 0, MAIN_TABLE);
        let routes = [route("0.0.0.0/0", 1, 0, MAIN_TABLE), low];
        assert_eq!(default_route(&[], &routes), Some(1), "one half is not enough");
        let routes = [routes[0], low, route("128.0.0.0/1", 7, 0, MAIN_TABLE)];
        assert_eq!(default_route(&[], &routes), Some(7));
    }

    #[test]
    fn a_vpn_with_a_rule_and_a_table_of_its_own_is_the_default_route() {
        let rule = |priority, table, suppressed| RuleRow { priority, table, suppressed };
        let routes = [route("0.0.0.0/0", 1, 0, MAIN_TABLE), route("0.0.0.0/0", 7, 0, 51820)];
        let usual =
            [rule(0, Some(255), None), rule(32_766, Some(MAIN_TABLE), None), rule(32_767, Some(253), None)];
        assert_eq!(default_route(&usual, &routes), Some(1));
        // As wg-quick and NetworkManager have it.
        let nearer = rule(32_764, Some(MAIN_TABLE), Some(0));
        let mut rules = vec![usual[0], nearer, rule(32_765, Some(51820), None), usual[1], usual[2]];
        assert_eq!(default_route(&rules, &routes), Some(7));
        assert_eq!(default_route(&rules, &routes[..1]), Some(1), "the tunnel is gone");
        rules[2].table = None;
        assert_eq!(default_route(&rules, &routes), None, "a rule that lets nothing through");
    }

    #[test]
    fn ipv6_uplinks_come_by_metric_and_our_own_switch_does_not_count() {
        let default = |interface, metric, table| DefaultRow6 { interface, metric, table, gateway: None };
        let mut tables = Tables {
            links: vec![link(1, "eth0", 1, ""), link(2, "wlan0", 1, ""), link(3, "wg0", 0xfffe, "wireguard")],
            defaults6: vec![
                default(1, 1024, MAIN_TABLE),
                default(2, 600, MAIN_TABLE),
                default(1, 512, MAIN_TABLE),
                default(3, 0, 51820),
            ],
            switches6: Switches6 { available: true, forwarding: (true, false), ..Switches6::default() },
            ..Tables::default()
        };
        let view = compose(&tables, &Own::default()).ipv6;
        let names: Vec<_> = view.uplinks.iter().map(IfName::as_str).collect();
        assert_eq!(names, ["eth0", "wlan0"]);
        let ways: Vec<_> = view.ways.iter().map(|way| way.interface.as_str()).collect();
        assert_eq!(ways, ["eth0", "wlan0", "wg0"], "the main table first");
        assert!(view.available && view.forwarding);
        let own = Own::of(&[Undo::Sysctl { path: ALL_FORWARDING.into(), old: "0".into() }]);
        assert!(!compose(&tables, &own).ipv6.forwarding);
        tables.switches6.forwarding = (true, true);
        assert!(compose(&tables, &own).ipv6.forwarding, "another program turned it on since");
    }

    #[test]
    fn what_is_ours_does_not_occupy_a_network() {
        let tables = Tables {
            links: vec![link(1, "eth0", 1, ""), link(2, "hnap0", 1, "")],
            addresses: vec![address(1, "10.1.2.3/16", None), address(2, "192.168.137.1/24", None)],
            routes: vec![
                route("0.0.0.0/0", 1, 0, MAIN_TABLE),
                route("0.0.0.0/1", 1, 0, MAIN_TABLE),
                route("10.1.0.0/16", 1, 0, MAIN_TABLE),
                route("192.168.137.0/24", 2, 0, MAIN_TABLE),
                RouteRow { kind: LOCAL, ..route("192.168.137.1/32", 2, 0, 255) },
                RouteRow { kind: LOCAL, ..route("10.1.2.3/32", 1, 0, 255) },
                RouteRow { kind: 3, ..route("10.1.255.255/32", 1, 0, 255) },
                route("172.20.0.0/14", 1, 0, 1000),
            ],
            ..Tables::default()
        };
        let name = "hnap0".parse().expect("valid");
        let own = Own::of(&[
            Undo::Address { interface: name, index: 2, address: subnet("192.168.137.1/24") },
            Undo::Link { name, index: 0 },
        ]);
        let view = compose(&tables, &own);
        let occupied: Vec<_> = view.occupied.iter().map(|o| o.subnet.to_string()).collect();
        assert_eq!(occupied, ["10.1.0.0/16", "172.20.0.0/14"]);
        assert_eq!(view.default_route.map(|name| name.to_string()).as_deref(), Some("eth0"));
        assert!(view.link("hnap0").is_some_and(|link| link.ours));
        let foreign = compose(&tables, &Own::default());
        assert!(foreign.occupied.iter().any(|o| o.subnet == subnet("192.168.137.0/24")));
    }

    #[test]
    fn a_server_shows_by_the_same_end_on_many_links() {
        let mut tables = Tables {
            links: vec![
                link(1, "ppp0", 512, "ppp"),
                link(2, "ppp1", 512, "ppp"),
                link(3, "ppp2", 512, "ppp"),
            ],
            addresses: vec![
                address(1, "10.9.0.1/32", Some("10.9.0.2")),
                address(2, "10.9.0.1/32", Some("10.9.0.3")),
                address(3, "81.2.3.4/32", Some("81.2.3.1")),
            ],
            ..Tables::default()
        };
        assert_eq!(incoming_only(&tables), [1, 2].into());
        tables.routes.push(route("0.0.0.0/0", 2, 0, MAIN_TABLE));
        assert_eq!(incoming_only(&tables), BTreeSet::new());
    }
}
