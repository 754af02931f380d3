//! Pairs, public sides, bridges and subnets.

use hn_core::{Command, Config, Part, Reply, StartType};
use hn_types::{
    ErrorCode, Reason, Step,
    network::{NetworkView, OccupiedSubnet},
    observed::{Lease, PlatformEvent, ServiceEvent, Uplink6},
    plan::{Reach, ServiceSegment},
    settings::{Policy, SharingPair},
    view::{Event, HostedState, Ipv6Source, SharingMode, SharingPhase},
};

use crate::world::{HN, USER, World, name, network, over, pair};

fn share(world: &mut World, pair: SharingPair) -> Result<Reply, ErrorCode> {
    world.root(Command::Share(pair)).map_err(|failure| failure.code)
}

#[test]
fn impossible_pairs_are_refused_before_anything_happens() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    world.history.clear();
    let invalid = ErrorCode::InvalidParameter;
    for (what, code) in [
        (pair("eth0", &[]), invalid),
        (pair("eth0", &[over("eth0")]), invalid),
        (pair("eth0", &[over("eth1"), over("eth1")]), invalid),
        (pair("eth1", &[over("eth0")]), invalid),
        (pair("hnap0", &[over("eth1")]), invalid),
        (pair("eth0", &[HN, over("hnap0")]), invalid),
        (pair("eth0", &[over("port0")]), invalid),
        (pair("port0", &[HN]), invalid),
        (pair("eth9", &[HN]), ErrorCode::NotFound),
        (pair("eth0", &[over("eth9")]), ErrorCode::NotFound),
        (pair("br0", &[HN]), ErrorCode::NotSupported),
        (pair("eth0", &[over("br0")]), ErrorCode::NotSupported),
        (pair("ppp0", &[HN]), ErrorCode::NotSupported),
        (pair("eth0", &[over("tun0")]), ErrorCode::NotSupported),
        (pair("eth0", &[HN, over("wlan0")]), ErrorCode::NotSupported),
    ] {
        assert_eq!(share(&mut world, what.clone()), Err(code), "{what:?}");
    }
    assert!(world.history.is_empty());
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Standalone);
    share(&mut world, pair("tun0", &[HN])).unwrap();
}

#[test]
fn the_hosted_network_may_be_named_by_its_interface() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    share(&mut world, pair("eth0", &[over("hnap0")])).unwrap();
    world.history.clear();
    share(&mut world, pair("eth0", &[HN])).unwrap();
    assert!(world.history.is_empty(), "it is the same pair");
}

#[test]
fn an_automatic_public_side_follows_the_default_route() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    share(&mut world, pair("auto", &[HN])).unwrap();
    assert_eq!(world.snapshot().sharing.public, Some(name("eth0")));
    world.history.clear();
    world.platform(PlatformEvent::Network(NetworkView {
        default_route: Some(name("wlan0")),
        resolvers: vec!["10.8.0.1:53".parse().unwrap()],
        ..network()
    }));
    world.run();
    world.assert_converged();
    assert_eq!(world.snapshot().sharing.public, Some(name("wlan0")));
    assert!(!world.history.contains(&Step::Links) && !world.history.contains(&Step::Radio));
    let dns = world.applied.services.segment.as_ref().unwrap().dns.clone().unwrap();
    assert_eq!(dns.upstreams, ["10.8.0.1:53".parse().unwrap()]);
    assert_eq!(world.history.iter().filter(|lane| **lane == Step::Services).count(), 1, "servers stay up");
}

#[test]
fn names_behind_a_tunnel_are_asked_there_and_never_of_a_stub() {
    let mut world = World::new();
    let (stub, direct, tunnel) = ("127.0.0.53:53", "10.9.0.1:53", "tun0");
    let view = |resolvers: &[&str], behind: &[&str]| {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        NetworkView { resolvers: all(resolvers), behind_stub: all(behind), ..network() }
    };
    let asked = |world: &World| {
        let dns = world.applied.services.segment.as_ref().unwrap().dns.clone().unwrap();
        let upstreams: Vec<_> = dns.upstreams.iter().map(ToString::to_string).collect();
        (upstreams.join(" "), dns.through)
    };
    world.platform(PlatformEvent::Network(view(&[stub], &["10.64.0.1:53", direct])));
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(asked(&world), (stub.into(), None));
    share(&mut world, pair(tunnel, &[over("eth1")])).unwrap();
    assert_eq!(asked(&world), (format!("10.64.0.1:53 {direct}"), Some(name(tunnel))));
    world.platform(PlatformEvent::Network(view(&[direct], &["10.64.0.1:53"])));
    world.run();
    assert_eq!(asked(&world), (direct.into(), Some(name(tunnel))), "what resolv.conf names comes first");
    assert_eq!(world.snapshot().sharing.detail, [] as [String; 0]);
    world.platform(PlatformEvent::Network(view(&[stub], &[])));
    world.run();
    assert_eq!(asked(&world), (String::new(), Some(name(tunnel))));
    let detail = world.snapshot().sharing.detail;
    assert!(detail.iter().any(|text| text.contains("dns_upstreams")), "{detail:?}");
}

#[test]
fn a_tunnel_that_falls_leaves_its_segment_without_a_way_but_with_its_servers() {
    let mut world = World::new();
    let mut standing = network();
    standing.links.iter_mut().filter(|link| link.name == name("tun0")).for_each(|link| link.mtu = 1_420);
    let mut fallen = standing.clone();
    fallen.links.retain(|link| link.name != name("tun0"));
    world.platform(PlatformEvent::Network(standing.clone()));
    share(&mut world, pair("tun0", &[over("eth1")])).unwrap();
    let with = world.applied.clone();
    assert_eq!(with.firewall.segments[0].reach, Reach::Public(name("tun0")));
    assert_eq!(with.firewall.narrow, [(name("eth1"), 1_420)].into());
    assert_eq!(with.links.steering.len(), 1);
    world.platform(PlatformEvent::Network(fallen));
    world.run();
    world.assert_converged();
    assert_eq!(world.applied.firewall.segments[0].reach, Reach::Host);
    assert!(world.applied.links.steering.is_empty() && world.applied.forwarding.ipv4.is_empty());
    let segment = world.applied.services.segment.clone().unwrap();
    assert_eq!(segment.dns.unwrap().upstreams, []);
    assert_eq!(segment.address, with.services.segment.as_ref().unwrap().address);
    world.platform(PlatformEvent::Network(standing));
    world.run();
    world.assert_converged();
    assert_eq!(world.applied, with);
}

#[test]
fn the_default_route_is_never_taken_over_a_private_connection() {
    let mut world = World::new();
    share(&mut world, pair("auto", &[over("eth1")])).unwrap();
    world.platform(PlatformEvent::Network(NetworkView { default_route: Some(name("eth1")), ..network() }));
    world.run();
    assert_eq!(world.snapshot().sharing.public, None);
    assert_eq!(world.applied.firewall.segments[0].reach, Reach::Host);
}

#[test]
fn several_private_connections_make_one_bridge() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1"), over("eth2")])).unwrap();
    let bridge = world.applied.links.bridge.clone().unwrap();
    assert_eq!(bridge.name.as_str(), "hnbr0");
    assert_eq!(bridge.members.len(), 2);
    assert_eq!(world.address_on("hnbr0").as_deref(), Some("192.168.137.1/24"));
    world.root(Command::ForceStart).unwrap();
    share(&mut world, pair("eth0", &[HN, over("eth1")])).unwrap();
    world.assert_converged();
    assert_eq!(world.applied.ap.as_ref().unwrap().bridge, Some(name("hnbr0")));
    assert_eq!(world.state(), HostedState::Active);
    assert_eq!(world.states().len(), 1, "the restart inside is not a stop");
    world.root(Command::ForceStop).unwrap();
    assert_eq!(world.address_on("hnbr0").as_deref(), Some("192.168.137.1/24"), "the wired side goes on");
    world.root(Command::ForceStart).unwrap();
    world.root(Command::Unshare).unwrap();
    world.assert_converged();
    assert!(world.applied.links.bridge.is_none());
    assert_eq!(world.applied.ap.as_ref().unwrap().bridge, None);
}

#[test]
fn a_private_connection_may_come_and_go() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let mut without = network();
    without.links.retain(|link| link.name != name("eth1"));
    world.platform(PlatformEvent::Network(without));
    world.run();
    world.assert_converged();
    assert!(world.applied.services.segment.is_none());
    world.platform(PlatformEvent::Network(network()));
    world.run();
    assert!(world.dhcp_on("eth1"));
}

#[test]
fn a_taken_network_is_avoided_and_a_chosen_one_is_kept() {
    let taken = |subnet: &str| {
        let occupied = OccupiedSubnet { subnet: subnet.parse().unwrap(), interface: name("eth0") };
        PlatformEvent::Network(NetworkView { occupied: vec![occupied], ..network() })
    };
    let mut world = World::new();
    world.platform(taken("192.168.137.0/24"));
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.138.1/24"));
    world.platform(taken("192.168.139.0/24"));
    world.run();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.138.1/24"), "sticky while nobody wants it");
    world.root(Command::Unshare).unwrap();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.137.1/24"));
}

#[test]
fn a_fixed_network_that_is_taken_is_error_765() {
    let mut config = Config::new("h", "m");
    config.full_subnet = Some("10.9.0.1/24".parse().unwrap());
    let mut world = World::with(config);
    world.root(Command::StartUsing).unwrap();
    world.history.clear();
    let failure = world.root(Command::Share(pair("eth0", &[HN]))).unwrap_err();
    assert_eq!(failure.code.win32(), 765);
    assert!(failure.cause.contains("eth0"));
    assert!(world.history.is_empty());
}

#[test]
fn sharing_starts_its_part_whatever_it_was_told_before() {
    let mut world = World::new();
    let start_type = |world: &World| world.disk.start_types.shared_access;
    world.root(Command::ServiceStop(Part::SharedAccess)).unwrap();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(start_type(&world), StartType::Manual);
    world.root(Command::ServiceStop(Part::SharedAccess)).unwrap();
    assert_eq!(world.applied, hn_core::SystemPlan::default());
    world.root(Command::SetStartType(Part::SharedAccess, StartType::Disabled)).unwrap();
    assert_eq!(start_type(&world), StartType::Disabled);
    let refused = world.root(Command::ServiceStart(Part::SharedAccess)).unwrap_err();
    assert_eq!((refused.code, refused.code.win32()), (ErrorCode::ServiceDisabled, 1058));
    // The hosted network does without it, an administrator who shares does not.
    world.ask(2, USER, Command::StartUsing).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
    share(&mut world, pair("eth0", &[over("nosuch0")])).unwrap_err();
    assert_eq!(start_type(&world), StartType::Disabled, "nothing was shared");
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    world.run();
    assert_eq!(start_type(&world), StartType::Manual);
    world.root(Command::ServiceStart(Part::SharedAccess)).unwrap();
}

#[test]
fn the_policy_refuses_sharing() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    world.core.handle_policy(Policy { hosted_network: None, sharing: Some(false) }, world.now);
    world.pass(std::time::Duration::ZERO);
    world.run();
    assert_eq!(world.applied, hn_core::SystemPlan::default());
    let failure = world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap_err();
    assert_eq!((failure.code, failure.reason), (ErrorCode::AccessDenied, Reason::GpDenied));
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off, "not even standalone");
}

#[test]
fn phases_are_seen_and_modes_only_once_they_are_true() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.events.clear();
    world.root(Command::Share(pair("eth0", &[HN]))).unwrap();
    world.root(Command::Unshare).unwrap();
    let seen: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SharingChanged { sharing } => Some((sharing.mode, sharing.phase)),
            _ => None,
        })
        .collect();
    let mut distinct = seen.clone();
    distinct.dedup();
    use {SharingMode::*, SharingPhase::*};
    assert_eq!(
        distinct,
        [(Standalone, StartPending), (Full, Running), (Full, StopPending), (Off, Stopped)],
        "{seen:?}"
    );
}

#[test]
fn dns_that_does_not_serve_is_said_and_dhcp_goes_on() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert!(world.snapshot().sharing.dns);
    let dns = |serving| ServiceEvent::Dns { serving, cause: "port 53 is taken by dnsmasq".into() };
    world.platform(PlatformEvent::Service(dns(false)));
    let view = world.snapshot().sharing;
    assert!(!view.dns && view.detail.iter().any(|text| text.contains("dnsmasq")));
    assert!(world.events.iter().any(|event| matches!(event, Event::Trouble { .. })));
    world.platform(PlatformEvent::Service(dns(true)));
    assert!(world.snapshot().sharing.dns && world.snapshot().sharing.detail.is_empty());
}

#[test]
fn connections_say_what_they_are() {
    let mut world = World::new();
    assert!(!world.core.connections().iter().any(|c| c.hosted_network), "not before the first start");
    world.root(Command::ForceStart).unwrap();
    world.root(Command::Share(pair("eth0", &[HN]))).unwrap();
    world.root(Command::ForceStop).unwrap();
    let all = world.core.connections();
    let of = |text: &str| all.iter().find(|c| c.name == name(text)).unwrap();
    assert_eq!(of("eth0").role.as_str(), "public");
    assert!(of("eth0").default_route);
    assert_eq!(of("hnap0").role.as_str(), "private");
    assert_eq!(of("hnap0").status.as_str(), "media_disconnected");
    assert!(of("br0").not_sharable.is_some() && of("ppp0").not_sharable.is_some());
    assert!(of("port0").not_sharable.as_ref().unwrap().contains("br0"));
    assert!(of("eth1").not_sharable.is_none());
    assert_eq!(of("hnap0").guid, world.snapshot().hosted_network.device_guid.unwrap());
    let mut guids: Vec<_> = all.iter().map(|c| c.guid.clone()).collect();
    guids.sort();
    guids.dedup();
    assert_eq!(guids.len(), all.len());
}

#[test]
fn sharing_between_wires_works_without_any_radio() {
    let mut world = World::bare(Config::new("h", "m"));
    world.platform(PlatformEvent::Network(network()));
    world.platform(PlatformEvent::Radio(hn_types::radio::RadioView::default()));
    world.open(1);
    share(&mut world, pair("auto", &[over("eth1")])).unwrap();
    assert!(world.dhcp_on("eth1"));
    assert_eq!(world.state(), HostedState::Unavailable);
}

#[test]
fn a_view_that_still_shows_our_own_address_moves_nothing() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let mut stale = network();
    let ours = world.applied.links.addresses[0].address;
    stale
        .links
        .iter_mut()
        .filter(|link| link.name == name("eth1"))
        .for_each(|link| link.addresses.push(ours));
    stale.occupied.push(OccupiedSubnet { subnet: ours.network(), interface: name("eth1") });
    world.platform(PlatformEvent::Network(stale));
    world.root(Command::Unshare).unwrap();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.137.1/24"));
    share(&mut world, pair("eth0", &[over("eth2")])).unwrap();
    world.assert_converged();
}

/// `eth0` has this address besides.
fn with_address(text: &str) -> NetworkView {
    let mut view = network();
    let address: hn_types::Subnet4 = text.parse().unwrap();
    view.links
        .iter_mut()
        .filter(|link| link.name == name("eth0"))
        .for_each(|link| link.addresses.push(address));
    view.occupied.push(OccupiedSubnet { subnet: address.network(), interface: name("eth0") });
    view
}

#[test]
fn a_segment_whose_network_turns_up_at_the_uplink_moves_once_and_gives_short_leases() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let before = world.applied.clone();
    world.events.clear();
    world.platform(PlatformEvent::Network(with_address("192.168.137.77/24")));
    world.run();
    world.assert_converged();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.138.1/24"));
    let served = world.applied.services.segment.clone().unwrap();
    assert_eq!(served.address.to_string(), "192.168.138.1/24");
    assert_eq!(served.dhcp.lease_time.as_secs(), 600);
    assert_eq!((before.links.moves, world.applied.links.moves), (0, 1), "wires are interrupted");
    let said = world.events.iter().any(
        |event| matches!(event, Event::SharingChanged { sharing } if sharing.subnet == Some(served.address)),
    );
    assert!(said, "{:?}", world.events);
    // The other network goes: nothing moves back.
    world.platform(PlatformEvent::Network(network()));
    world.run();
    assert_eq!(world.address_on("eth1").as_deref(), Some("192.168.138.1/24"));
    // What comes next is as ever.
    world.root(Command::Unshare).unwrap();
    world.assert_converged();
    assert_eq!(world.applied.links, hn_types::plan::LinkPlan::default());
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(world.applied.services, before.services);
}

#[test]
fn a_segment_that_cannot_move_stays_and_says_why() {
    let config = Config { full_subnet: "10.1.0.1/24".parse().ok(), ..Config::new("h", "m") };
    let mut world = World::bare(config);
    world.platform(PlatformEvent::Network(network()));
    world.platform(PlatformEvent::Radio(hn_types::radio::RadioView::default()));
    world.open(1);
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    world.platform(PlatformEvent::Network(with_address("10.1.0.9/24")));
    world.run();
    world.assert_converged();
    assert_eq!(world.address_on("eth1").as_deref(), Some("10.1.0.1/24"));
    let detail = world.snapshot().sharing.detail;
    assert!(detail.iter().any(|text| text.contains("10.1.0.0/24") && text.contains("eth0")), "{detail:?}");
    world.platform(PlatformEvent::Network(network()));
    assert!(world.snapshot().sharing.detail.is_empty());
}

#[test]
fn full_sharing_has_addresses_a_way_out_and_servers_for_ipv6_too() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let applied = &world.applied;
    let host = applied.links.addresses6.first().copied().unwrap();
    assert_eq!((host.interface, host.address.prefix()), (name("eth1"), 64));
    assert_eq!(host.address.address().octets()[0], 0xfd);
    let link_local = applied.links.addresses6.get(1).unwrap().address.address();
    assert!(link_local.is_unicast_link_local());
    let forwarding = applied.forwarding.ipv6.unwrap();
    assert_eq!((forwarding.private, forwarding.public), (name("eth1"), name("eth0")));
    let segment = applied.firewall.segments.first().and_then(|segment| segment.ipv6).unwrap();
    assert_eq!((segment.address, segment.nat66, segment.guard), (host.address, true, true));
    let served = applied.services.segment.as_ref().and_then(|segment| segment.ipv6.clone()).unwrap();
    assert_eq!((served.address, served.link_local, served.router), (host.address, link_local, true));
    let shown = world.snapshot().sharing.ipv6;
    assert_eq!((shown.source, shown.prefix), (Ipv6Source::Nat66, Some(host.address.network())));
    world.root(Command::Unshare).unwrap();
    world.assert_converged();
    assert!(world.applied.links.addresses6.is_empty() && world.applied.forwarding.ipv6.is_none());
}

/// The worker found out what eth0 gives.
fn give(world: &mut World, delegated: &str, shared: &str) {
    let (delegated, shared) = (delegated.parse().ok(), shared.parse().ok());
    let given = Uplink6 { interface: name("eth0"), delegated, shared, settled: true };
    world.platform(PlatformEvent::Service(ServiceEvent::Uplink6(given)));
    world.run();
    world.assert_converged();
}

/// Networks that leave untranslated, addresses of the host, routes, what devices are told, where the ladder stands.
fn way_out(world: &World) -> (Vec<String>, Vec<String>, Vec<String>, Option<String>, Ipv6Source) {
    let applied = &world.applied;
    let segment = applied.firewall.segments.first().and_then(|segment| segment.ipv6).unwrap();
    assert!(segment.nat66, "the machine's own prefix leads out on every rung");
    let text = |subnet: &hn_types::Subnet6| subnet.to_string();
    let global = segment.global.iter().flatten().map(text).collect();
    let hosts = applied.links.addresses6.iter().skip(2).map(|it| text(&it.address)).collect();
    let routes = applied.links.routes6.iter();
    let routes = routes
        .map(|it| {
            format!(
                "{} {}",
                it.destination,
                it.interface.map_or_else(|| "nowhere".into(), |it| it.to_string())
            )
        })
        .collect();
    let told = applied.services.segment.as_ref().and_then(|it| it.ipv6.as_ref()?.global.as_ref().map(text));
    (global, hosts, routes, told, world.snapshot().sharing.ipv6.source)
}

#[test]
fn a_delegated_prefix_is_the_segments_own_and_the_one_before_is_kept_for_a_while() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let before = world.applied.clone();
    world.history.clear();
    give(&mut world, "2001:db8:100::/56", "2001:db8:1::/64");
    let (global, hosts, routes, told, source) = way_out(&world);
    assert_eq!(global, ["2001:db8:100::/64"]);
    assert_eq!(hosts, ["2001:db8:100::1/64"]);
    assert_eq!(routes, ["2001:db8:100::/56 nowhere"]);
    assert_eq!((told.as_deref(), source), (Some("2001:db8:100::/64"), Ipv6Source::Delegated));
    let after = &world.applied.services.segment;
    let served = |segment: &Option<ServiceSegment>| segment.as_ref().and_then(|it| it.ipv6.clone()).unwrap();
    assert!(served(&before.services.segment).same_but_uplink(&served(after)), "nothing restarts");
    // The provider numbers its customers anew.
    give(&mut world, "2001:db8:200::/64", "2001:db8:1::/64");
    let (global, hosts, routes, told, _) = way_out(&world);
    assert_eq!(global, ["2001:db8:200::/64", "2001:db8:100::/64"]);
    assert_eq!(hosts, ["2001:db8:200::1/64", "2001:db8:100::1/64"]);
    assert!(routes.is_empty(), "there is no rest of a /64");
    assert_eq!(told.as_deref(), Some("2001:db8:200::/64"));
    // And delegates no more.
    give(&mut world, "", "");
    let (global, _, _, told, source) = way_out(&world);
    assert_eq!((global, told, source), (vec!["2001:db8:200::/64".into()], None, Ipv6Source::Nat66));
    world.root(Command::Unshare).unwrap();
    world.assert_converged();
    assert!(world.applied.links.routes6.is_empty() && world.applied.links.addresses6.is_empty());
}

#[test]
fn a_shared_prefix_has_a_route_to_each_device_and_none_to_the_machine_itself() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let mut online = network();
    let own: hn_types::Subnet6 = "2001:db8:1::2/64".parse().unwrap();
    online.ipv6.addresses = [(name("eth0"), own), (name("eth1"), "2001:db8:2::2/64".parse().unwrap())].into();
    world.platform(PlatformEvent::Network(online));
    give(&mut world, "", "2001:db8:1::/64");
    assert_eq!(way_out(&world).4, Ipv6Source::Relay);
    let bound = |address: &str| {
        ServiceEvent::LeaseBound(Lease {
            mac: hn_types::MacAddr([2, 0, 0, 0, 9, 9]),
            address: address.parse().unwrap(),
            hostname: String::new(),
            expires: hn_types::Wall::from_unix(u64::from(u32::MAX)),
        })
    };
    for address in ["2001:db8:1::99", "fd00::99", "2001:db8:1::2"] {
        world.platform(PlatformEvent::Service(bound(address)));
    }
    world.run();
    world.assert_converged();
    let (global, hosts, routes, told, _) = way_out(&world);
    assert_eq!(routes, ["2001:db8:1::99/128 eth1"]);
    assert_eq!((global, told.as_deref()), (vec!["2001:db8:1::/64".into()], Some("2001:db8:1::/64")));
    assert!(hosts.is_empty(), "the machine has its address on the uplink");
    let relay = world.applied.services.segment.as_ref().and_then(|it| it.ipv6.clone()?.relay).unwrap();
    assert_eq!(relay.own, [own.address()]);
    // A better rung: the shared prefix is still relayed until devices have forgotten it.
    give(&mut world, "2001:db8:100::/56", "2001:db8:1::/64");
    let (global, hosts, routes, told, source) = way_out(&world);
    assert_eq!(global, ["2001:db8:100::/64", "2001:db8:1::/64"]);
    assert_eq!(hosts, ["2001:db8:100::1/64"]);
    assert_eq!(routes, ["2001:db8:100::/56 nowhere", "2001:db8:1::99/128 eth1"]);
    assert_eq!((told.as_deref(), source), (Some("2001:db8:100::/64"), Ipv6Source::Delegated));
    let ended = ServiceEvent::LeaseEnded {
        mac: hn_types::MacAddr([2, 0, 0, 0, 9, 9]),
        address: "2001:db8:1::99".parse().unwrap(),
    };
    world.platform(PlatformEvent::Service(ended));
    world.run();
    assert_eq!(way_out(&world).2, ["2001:db8:100::/56 nowhere"]);
}

#[test]
fn an_ipv6_uplink_comes_and_goes_and_nothing_else_moves() {
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let before = world.applied.services.segment.clone().unwrap();
    world.history.clear();
    let mut without = network();
    without.ipv6.uplinks.clear();
    world.platform(PlatformEvent::Network(without));
    world.run();
    world.assert_converged();
    assert!(!world.history.contains(&Step::Links), "addresses stay");
    assert!(world.applied.forwarding.ipv6.is_none());
    let after = world.applied.services.segment.clone().unwrap();
    let (old, new) = (before.ipv6.clone().unwrap(), after.ipv6.clone().unwrap());
    assert!(old.same_but_uplink(&new) && old.router && !new.router);
    let shown = world.snapshot().sharing.ipv6;
    assert_eq!((shown.source, shown.prefix), (Ipv6Source::None, Some(new.address.network())));
    assert_eq!(shown.detail, "eth0 has no IPv6 default route");
    world.platform(PlatformEvent::Network(network()));
    world.run();
    assert_eq!(world.applied.services.segment, Some(before));
}

#[test]
fn a_machine_that_is_a_router_already_is_not_guarded_and_a_smaller_uplink_is_announced() {
    let mut world = World::new();
    let mut view = network();
    view.ipv6.forwarding = true;
    view.links[0].mtu = 1_420;
    world.platform(PlatformEvent::Network(view));
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    let segment = world.applied.firewall.segments.first().and_then(|segment| segment.ipv6).unwrap();
    assert!(segment.nat66 && !segment.guard);
    let served = world.applied.services.segment.as_ref().and_then(|segment| segment.ipv6.clone()).unwrap();
    assert_eq!(served.mtu, Some(1_420));
}

#[test]
fn devices_are_told_the_mtu_of_the_way_out_as_long_as_it_is_smaller_than_theirs() {
    let told = |world: &World| {
        let segment = world.applied.services.segment.clone().unwrap();
        (segment.dhcp.mtu, segment.ipv6.unwrap().mtu)
    };
    let mut world = World::new();
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert_eq!(told(&world), (None, None), "as large as theirs");
    // 1,279: too small for IPv6. 67: for everything. 9,000: larger than theirs.
    let cases = [
        (1_400, (Some(1_400), Some(1_400))),
        (1_279, (Some(1_279), None)),
        (68, (Some(68), None)),
        (67, (None, None)),
        (1_499, (Some(1_499), Some(1_499))),
        (9_000, (None, None)),
        (1_500, (None, None)),
    ];
    for (mtu, expected) in cases {
        let mut view = network();
        view.links.iter_mut().find(|link| link.name.as_str() == "eth0").unwrap().mtu = mtu;
        world.platform(PlatformEvent::Network(view));
        world.run();
        world.assert_converged();
        assert_eq!(told(&world), expected, "{mtu}");
    }
}

#[test]
fn standalone_sharing_and_a_machine_without_ipv6_have_none_of_it() {
    let bare = |world: &World| {
        let applied = &world.applied;
        applied.links.addresses6.is_empty()
            && applied.forwarding.ipv6.is_none()
            && applied.firewall.segments.iter().all(|segment| segment.ipv6.is_none())
            && applied.services.segment.as_ref().is_some_and(|segment| segment.ipv6.is_none())
    };
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Standalone);
    hn_conformance::checks!(M069:
        let segment = world.applied.services.segment.clone().unwrap();
        assert!(segment.dns.is_none() && segment.ipv6.is_none());
        assert_eq!((segment.dhcp.router, segment.dhcp.dns, segment.dhcp.domain), (None, None, None));
        assert!(world.applied.firewall.segments.iter().all(|segment| segment.reach == Reach::Host));
        assert!(world.applied.forwarding.ipv4.is_empty());
        assert!(bare(&world));
    );
    assert_eq!(world.snapshot().sharing.ipv6.source, Ipv6Source::None);
    let mut view = network();
    view.ipv6.available = false;
    world.platform(PlatformEvent::Network(view));
    share(&mut world, pair("eth0", &[over("eth1")])).unwrap();
    assert!(bare(&world));
    assert_eq!(world.snapshot().sharing.ipv6.detail, "this machine has no IPv6");
}
