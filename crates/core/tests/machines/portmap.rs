//! Port mappings that devices ask for: one table with the administrator's, its limits, and how mappings end.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hn_core::{Command, Config, MappingStatus, NewMapping, PortMapPolicy, Protocols, Reply};
use hn_types::{
    Step, Wall,
    network::NetworkView,
    observed::{Lease, PlatformEvent, ServiceEvent, Uplink6},
    plan::{PortForward, PortMapPlan},
    portmap::{MapAct, MapAdd, MapFilter, MapRefusal, MapRemote, MapRequest, MapWhich, Mapped, Origin},
    settings::{MappingTarget, Protocol},
};
use proptest::{collection::vec, prelude::*};

use crate::world::{Behaviour, World, mac, name, network, over, pair};

fn device(number: u8) -> Ipv4Addr {
    [192, 168, 137, number].into()
}

fn shared(policy: PortMapPolicy) -> World {
    let mut world = World::with(Config { port_mapping: policy, ..Config::new("laptop", "0123456789abcdef") });
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    for number in 2..=4 {
        bound(&mut world, number, number);
    }
    world
}

fn bound(world: &mut World, number: u8, address: u8) {
    let lease = Lease {
        mac: mac(number),
        address: device(address).into(),
        hostname: format!("device{number}"),
        expires: Wall::from_unix(1_800_000_000),
    };
    world.platform(PlatformEvent::Service(ServiceEvent::LeaseBound(lease)));
    world.run();
}

fn plan(world: &World) -> PortMapPlan {
    *world.applied.services.segment.clone().unwrap().portmap.unwrap()
}

fn forwards(world: &World) -> Vec<PortForward> {
    world.applied.firewall.forwards.clone()
}

fn add(external_port: u16, to: Ipv4Addr, port: u16) -> MapAdd {
    MapAdd {
        protocol: Protocol::Tcp,
        internal: SocketAddr::from((to, port)),
        external_port,
        exact: true,
        lifetime_s: 600,
        nonce: None,
        name: "game".into(),
        enabled: true,
        filter: MapFilter { clear: true, add: Vec::new() },
    }
}

fn ask_among(
    world: &mut World,
    origin: Origin,
    client: impl Into<IpAddr>,
    act: MapAct,
    served: &[(Protocol, u16)],
) -> Option<Result<Mapped, MapRefusal>> {
    let id = fresh();
    let request = MapRequest { id, origin, client: client.into(), act };
    world.platform(PlatformEvent::PortMap { request, served: served.to_vec() });
    world.run();
    let portmap = world.applied.services.segment.clone()?.portmap?;
    portmap.answers.into_iter().find(|answer| answer.id == id).map(|answer| answer.result)
}

/// Unique in this process.
fn fresh() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn ask(world: &mut World, origin: Origin, client: u8, act: MapAct) -> Result<Mapped, MapRefusal> {
    ask_among(world, origin, device(client), act, &[]).expect("answered")
}

fn upnp(world: &mut World, client: u8, add: MapAdd) -> Result<Mapped, MapRefusal> {
    ask(world, Origin::Upnp, client, MapAct::Add(add))
}

fn remove(port: u16) -> MapAct {
    let which = MapWhich::External { protocol: Protocol::Tcp, port, remote: None };
    MapAct::Remove { which, nonce: None }
}

fn listed(world: &mut World) -> Vec<MappingStatus> {
    let Ok(Reply::Mappings(all)) = world.root(Command::QueryMappings) else { panic!() };
    all
}

fn administrator(world: &mut World, port: u16, to: u8) {
    let new = NewMapping {
        connection: None,
        name: "web".into(),
        protocol: Protocol::Tcp,
        external_port: port,
        internal_port: Some(80),
        target: MappingTarget::Address(device(to)),
        enabled: true,
    };
    world.root(Command::AddMapping(new)).unwrap();
}

#[test]
fn who_looks_at_a_pinhole_is_told_what_it_has_let_in_by_then() {
    let mut world = shared(PortMapPolicy::default());
    let (delegated, shared) = ("2001:db8:100::/56".parse().ok(), None);
    let given = Uplink6 { interface: name("eth0"), delegated, shared, settled: true };
    world.platform(PlatformEvent::Service(ServiceEvent::Uplink6(given)));
    world.run();
    let owner: IpAddr = "2001:db8:100::9".parse().unwrap();
    let remote = |host: &str| MapRemote { address: host.parse().unwrap(), prefix: 128, port: 0 };
    let open = |world: &mut World, port, remotes: &[&str]| {
        let filter = MapFilter { clear: true, add: remotes.iter().map(|it| remote(it)).collect() };
        let internal = SocketAddr::from((owner, port));
        let wish = MapAdd { internal, exact: false, filter, ..add(0, Ipv4Addr::UNSPECIFIED, 0) };
        let mapped = ask_among(world, Origin::Upnp, owner, MapAct::Add(wish), &[]).unwrap().unwrap();
        assert_eq!(mapped.packets, None, "nobody has counted");
        mapped.pinhole.unwrap()
    };
    let look =
        |world: &mut World, pinhole| ask_among(world, Origin::Upnp, owner, MapAct::Look { pinhole }, &[]);
    // The world counts as many packets as the port's number, by each row of the firewall.
    let everybody = open(&mut world, 8_000, &[]);
    let two = open(&mut world, 9_000, &["2001:db8::1", "2001:db8::2"]);
    assert_eq!(look(&mut world, everybody).unwrap().unwrap().packets, Some(8_000));
    assert_eq!(look(&mut world, two).unwrap().unwrap().packets, Some(18_000), "both ends together");
    assert_eq!(look(&mut world, 77), Some(Err(MapRefusal::NotFound)));
    assert_eq!(
        ask(&mut world, Origin::Upnp, 3, MapAct::Look { pinhole: two }),
        Err(MapRefusal::NotYours),
        "somebody else's"
    );
    // A firewall that does not answer in time holds nobody up: what is known is told.
    world.script(Step::Firewall, &[Behaviour::Hang]);
    assert_eq!(look(&mut world, everybody), None);
    world.pass(Duration::from_secs(5));
    world.run();
    assert_eq!(plan(&world).answers[0].result.as_ref().map(|it| it.packets), Ok(Some(8_000)));
}

#[test]
fn a_device_opens_a_port_that_leads_to_itself() {
    let mut world = shared(PortMapPolicy::default());
    let mapped = upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    assert_eq!(mapped.external.to_string(), "10.9.0.5:8080");
    assert_eq!((mapped.lifetime_s, mapped.pinhole), (600, None));
    let [forward] = forwards(&world)[..] else { panic!() };
    assert_eq!((forward.external_port, forward.address, forward.internal_port), (8080, device(2), 80));
    assert_eq!((forward.public, forward.private, forward.remote), (name("eth0"), name("eth1"), None));
    let [entry] = &plan(&world).entries[..] else { panic!() };
    assert_eq!((entry.origin, entry.name.as_str()), (Some(Origin::Upnp), "game"));
    let [status] = &listed(&mut world)[..] else { panic!() };
    assert_eq!(status.leads, Ok(IpAddr::V4(device(2))));
    let asked = status.asked.clone().unwrap();
    assert_eq!((asked.origin, asked.mac, asked.expires_s), (Origin::Upnp, Some(mac(2)), 600));
    assert!(status.note.contains("10.9.0.5 is private"), "{status:?}");
    let told = world.snapshot();
    assert_eq!((told.port_mapping.mappings, told.port_mapping.granted), (1, 1));
    assert!(told.sharing.detail.iter().any(|line| line.contains("somebody in front must forward")));
}

#[test]
fn an_answer_comes_with_what_it_promises() {
    let mut world = shared(PortMapPolicy::default());
    let request = |id| MapRequest {
        id,
        origin: Origin::Upnp,
        client: device(2).into(),
        act: MapAct::Add(add(8080 + u16::try_from(id).unwrap(), device(2), 80)),
    };
    world.script(Step::Firewall, &[Behaviour::Hang]);
    world.platform(PlatformEvent::PortMap { request: request(1), served: Vec::new() });
    world.run();
    assert!(plan(&world).answers.is_empty(), "the firewall has not opened it");
    world.script.clear();
    world.run();
    assert_eq!(plan(&world).answers.len(), 1);
    // A second one comes while the first is under way: it has its turn.
    world.script(Step::Firewall, &[Behaviour::Hang]);
    for id in [2, 3] {
        world.platform(PlatformEvent::PortMap { request: request(id), served: Vec::new() });
    }
    world.script.clear();
    world.run();
    assert_eq!(forwards(&world).len(), 3);
    assert_eq!(plan(&world).answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [3]);
}

#[test]
fn what_the_firewall_cannot_hold_is_refused_and_forgotten() {
    let mut world = shared(PortMapPolicy::default());
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    let refused = upnp(&mut world, 2, add(8080, device(2), 80));
    assert_eq!(refused, Err(MapRefusal::Failed));
    assert!(forwards(&world).is_empty() && listed(&mut world).is_empty());
    assert!(world.snapshot().port_mapping.refused.iter().any(|it| it.reason == MapRefusal::Failed));
}

#[test]
fn under_own_a_device_speaks_for_itself_only_and_under_any_for_others() {
    let mut world = shared(PortMapPolicy::default());
    assert_eq!(upnp(&mut world, 2, add(8080, device(3), 80)), Err(MapRefusal::NotYours));
    for bad in [device(1), device(0), device(255), [10, 0, 0, 9].into()] {
        assert_eq!(upnp(&mut world, 2, add(8080, bad, 80)), Err(MapRefusal::BadAddress), "{bad}");
    }
    let mut world = shared(PortMapPolicy { protocols: Protocols::Any, ..PortMapPolicy::default() });
    upnp(&mut world, 2, add(8080, device(3), 80)).unwrap();
    assert_eq!(upnp(&mut world, 2, add(8081, device(1), 80)), Err(MapRefusal::BadAddress));
}

#[test]
fn switched_off_nobody_is_served() {
    let mut world = shared(PortMapPolicy { protocols: Protocols::Off, ..PortMapPolicy::default() });
    assert_eq!(world.applied.services.segment.clone().unwrap().portmap, None);
    let answer = ask_among(&mut world, Origin::Upnp, device(2), MapAct::Add(add(8080, device(2), 80)), &[]);
    assert_eq!(answer, None);
    assert!(forwards(&world).is_empty());
    assert!(!world.snapshot().port_mapping.serving);
}

#[test]
fn the_administrators_mappings_and_the_hosts_own_ports_win() {
    let mut world = shared(PortMapPolicy::default());
    administrator(&mut world, 8080, 3);
    assert_eq!(upnp(&mut world, 2, add(8080, device(2), 80)), Err(MapRefusal::Conflict));
    assert_eq!(upnp(&mut world, 2, add(443, device(2), 443)), Err(MapRefusal::Reserved));
    let served = [(Protocol::Tcp, 9000)];
    let act = MapAct::Add(add(9000, device(2), 9000));
    let answer = ask_among(&mut world, Origin::Upnp, device(2), act, &served).unwrap();
    assert_eq!(answer, Err(MapRefusal::Reserved));
    // A wish gives way to another port.
    let wish = MapAdd { exact: false, ..add(8080, device(2), 443) };
    let mapped = upnp(&mut world, 2, wish).unwrap();
    assert!(mapped.external.port() >= 1024 && mapped.external.port() != 8080, "{mapped:?}");
    // And what a device has gives way to the administrator.
    administrator(&mut world, mapped.external.port(), 3);
    let devices: Vec<_> = forwards(&world).iter().map(|forward| forward.address).collect();
    assert_eq!(devices, [device(3), device(3)]);
    assert!(plan(&world).entries.iter().all(|entry| entry.origin.is_none()), "both are listed for devices");
}

#[test]
fn a_port_belongs_to_one_device_and_is_removed_by_it_or_the_administrator() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    assert_eq!(upnp(&mut world, 3, add(8080, device(3), 80)), Err(MapRefusal::Conflict));
    assert_eq!(ask(&mut world, Origin::Upnp, 3, remove(8080)), Err(MapRefusal::NotYours));
    assert_eq!(ask(&mut world, Origin::Upnp, 2, remove(8081)), Err(MapRefusal::NotFound));
    upnp(&mut world, 2, add(8080, device(2), 81)).unwrap();
    assert_eq!(forwards(&world)[0].internal_port, 81, "its device may change it");
    ask(&mut world, Origin::Upnp, 2, remove(8080)).unwrap();
    assert!(forwards(&world).is_empty());
    upnp(&mut world, 3, add(8080, device(3), 80)).unwrap();
    let id = listed(&mut world)[0].mapping.id;
    world.root(Command::SetMappingEnabled(id, false)).unwrap();
    assert!(forwards(&world).is_empty());
    world.root(Command::SetMappingEnabled(id, true)).unwrap();
    assert_eq!(forwards(&world).len(), 1);
    world.root(Command::RemoveMapping(id)).unwrap();
    assert!(forwards(&world).is_empty());
    world.root(Command::RemoveMapping(id)).unwrap_err();
}

#[test]
fn nat_pmp_and_pcp_renew_by_the_port_of_the_device_and_pcp_by_its_nonce() {
    let mut world = shared(PortMapPolicy::default());
    let wish = |external, nonce| MapAdd { exact: false, nonce, ..add(external, device(2), 5000) };
    let map = |world: &mut World, origin, add| ask(world, origin, 2, MapAct::Add(add));
    let first = map(&mut world, Origin::NatPmp, wish(6000, None)).unwrap();
    let again = map(&mut world, Origin::NatPmp, wish(7000, None)).unwrap();
    assert_eq!((first.external.port(), again.external.port()), (6000, 6000), "it keeps the one it has");
    let (one, two) = (Some([1; 12]), Some([2; 12]));
    assert_eq!(map(&mut world, Origin::Pcp, wish(6000, one)), Err(MapRefusal::NotYours));
    let end =
        |nonce| MapAct::Remove { which: MapWhich::Internal { protocol: Protocol::Tcp, port: 5000 }, nonce };
    ask(&mut world, Origin::NatPmp, 2, end(None)).unwrap();
    map(&mut world, Origin::Pcp, wish(6000, one)).unwrap();
    assert_eq!(map(&mut world, Origin::Pcp, wish(6000, two)), Err(MapRefusal::Nonce));
    assert_eq!(map(&mut world, Origin::NatPmp, wish(6000, None)), Err(MapRefusal::Nonce));
    assert_eq!(ask(&mut world, Origin::Upnp, 2, remove(6000)), Err(MapRefusal::NotYours));
    assert_eq!(ask(&mut world, Origin::Pcp, 2, end(two)), Err(MapRefusal::Nonce));
    assert_eq!(ask(&mut world, Origin::NatPmp, 2, end(None)), Err(MapRefusal::NotYours));
    let all = MapAct::Remove { which: MapWhich::All { protocol: None }, nonce: two };
    assert_eq!(ask(&mut world, Origin::Pcp, 2, all), Err(MapRefusal::NotFound));
    let elsewhere = MapAdd { exact: true, nonce: one, ..add(6001, device(2), 5000) };
    assert_eq!(map(&mut world, Origin::Pcp, elsewhere), Err(MapRefusal::Conflict));
    ask(&mut world, Origin::Pcp, 2, end(one)).unwrap();
    assert!(forwards(&world).is_empty());
}

#[test]
fn a_device_that_asks_through_two_protocols_has_one_mapping() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, MapAdd { lifetime_s: 3600, ..add(5000, device(2), 5000) }).unwrap();
    let wish = MapAdd { exact: false, name: String::new(), ..add(5000, device(2), 5000) };
    let mapped = ask(&mut world, Origin::NatPmp, 2, MapAct::Add(wish)).unwrap();
    assert_eq!((mapped.external.port(), mapped.lifetime_s), (5000, 3600), "the longer promise holds");
    assert_eq!(plan(&world).entries.len(), 1);
    assert_eq!(plan(&world).entries[0].name, "game");
}

#[test]
fn only_listed_remote_ends_come_in() {
    let mut world = shared(PortMapPolicy::default());
    let remote = |last: u8| MapRemote { address: [198, 51, 100, last].into(), prefix: 32, port: 0 };
    let nonce = Some([7; 12]);
    let wish = |clear, ends: &[u8]| {
        let filter = MapFilter { clear, add: ends.iter().map(|last| remote(*last)).collect() };
        MapAct::Add(MapAdd { filter, nonce, ..add(8080, device(2), 80) })
    };
    ask(&mut world, Origin::Pcp, 2, wish(false, &[1, 2])).unwrap();
    ask(&mut world, Origin::Pcp, 2, wish(false, &[2, 3])).unwrap();
    let ends: Vec<_> = forwards(&world).iter().map(|forward| forward.remote.unwrap()).collect();
    assert_eq!(ends, [remote(1), remote(2), remote(3)], "each once");
    assert_eq!(ask(&mut world, Origin::Pcp, 2, wish(false, &[4, 5, 6, 7, 8, 9])), Err(MapRefusal::Remotes));
    assert_eq!(forwards(&world).len(), 3, "and nothing has changed");
    ask(&mut world, Origin::Pcp, 2, wish(true, &[])).unwrap();
    assert_eq!(forwards(&world).iter().map(|forward| forward.remote).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_mapping_ends_with_its_time_and_lasts_as_long_as_policy_allows() {
    let mut world = shared(PortMapPolicy::default());
    let lasts = |world: &mut World, lifetime_s| {
        upnp(world, 2, MapAdd { lifetime_s, ..add(8080, device(2), 80) }).unwrap().lifetime_s
    };
    assert_eq!(lasts(&mut world, 0), 604_800, "for ever is a week");
    assert_eq!(lasts(&mut world, u32::MAX), 604_800);
    assert_eq!(lasts(&mut world, 1), 120);
    world.pass(Duration::from_secs(119));
    assert_eq!(forwards(&world).len(), 1);
    assert_eq!(world.core.poll_timeout().map(|(_, what)| what), Some("end of a port mapping"));
    assert_eq!(lasts(&mut world, 200), 200, "renewed");
    world.pass(Duration::from_secs(199));
    world.pass(Duration::from_secs(1));
    world.run();
    assert!(forwards(&world).is_empty() && plan(&world).entries.is_empty());
    assert_eq!(world.core.poll_timeout(), None);
}

#[test]
fn a_mapping_ends_when_its_device_leaves_its_address() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    bound(&mut world, 2, 2);
    assert_eq!(forwards(&world).len(), 1, "a renewed lease changes nothing");
    let gone = ServiceEvent::LeaseEnded { mac: mac(2), address: device(2).into() };
    world.platform(PlatformEvent::Service(gone));
    world.run();
    assert!(forwards(&world).is_empty(), "released");
    upnp(&mut world, 3, add(8080, device(3), 80)).unwrap();
    bound(&mut world, 9, 3);
    assert!(forwards(&world).is_empty(), "another device has the address");
    // One with an address of its own, which somebody then gets by lease.
    ask_among(&mut world, Origin::Upnp, device(77), MapAct::Add(add(8080, device(77), 80)), &[])
        .unwrap()
        .unwrap();
    bound(&mut world, 9, 77);
    assert!(forwards(&world).is_empty());
}

#[test]
fn failure_20_mappings_wait_for_the_uplink_and_work_again_by_themselves() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    let before = plan(&world).uplink;
    let without = NetworkView {
        links: network().links.into_iter().filter(|link| link.name != name("eth0")).collect(),
        default_route: None,
        ..network()
    };
    world.pass(Duration::from_secs(5));
    world.platform(PlatformEvent::Network(without));
    world.run();
    assert!(forwards(&world).is_empty());
    let told = plan(&world);
    assert!(!told.uplink.up && told.uplink.external.is_none() && told.uplink.since > before.since);
    assert_eq!(told.entries.len(), 1, "it is kept");
    assert_eq!(upnp(&mut world, 2, add(8081, device(2), 80)), Err(MapRefusal::NoUplink));
    let renewed = upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    assert!(renewed.external.ip().is_unspecified(), "renewing is possible");
    for (last, public) in [(9, false), (10, true)] {
        let mut view = network();
        let address = if public { "198.51.100.7/24" } else { "100.64.1.2/24" };
        view.links[0].addresses = vec![address.parse().unwrap()];
        world.pass(Duration::from_secs(last));
        world.platform(PlatformEvent::Network(view));
        world.run();
        assert_eq!(forwards(&world).len(), 1, "it works again");
        assert_eq!(plan(&world).uplink.external.map(|it| it.to_string()), Some(address.replace("/24", "")));
        let note = listed(&mut world)[0].note.clone();
        assert_eq!(note.contains("100.64.1.2"), !public, "{note}");
        assert_eq!(world.snapshot().port_mapping.hidden.is_empty(), public);
        upnp(&mut world, 2, add(8082, device(2), 80)).unwrap();
        ask(&mut world, Origin::Upnp, 2, remove(8082)).unwrap();
    }
}

#[test]
fn mappings_follow_to_another_public_connection_and_end_with_sharing() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    world.root(Command::Share(pair("eth3", &[over("eth1")]))).unwrap();
    assert_eq!(forwards(&world).iter().map(|forward| forward.public).collect::<Vec<_>>(), [name("eth3")]);
    world.root(Command::Unshare).unwrap();
    assert!(listed(&mut world).is_empty());
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    assert!(forwards(&world).is_empty());
}

#[test]
fn mappings_survive_the_worker_and_answers_to_the_old_one_do_not() {
    let mut world = shared(PortMapPolicy::default());
    upnp(&mut world, 2, add(8080, device(2), 80)).unwrap();
    world.platform(PlatformEvent::Service(ServiceEvent::WorkerLost { cause: "gone".into() }));
    world.run();
    assert_eq!(forwards(&world).len(), 1);
    assert_eq!((plan(&world).entries.len(), plan(&world).answers.len()), (1, 0));
}

#[test]
fn a_flood_of_requests_is_bounded_and_keeps_no_command_waiting() {
    let mut world = shared(PortMapPolicy::default());
    world.script(Step::Firewall, &[Behaviour::Hang]);
    for number in 0..1_000_u16 {
        let request = MapRequest {
            id: number.into(),
            origin: Origin::Upnp,
            client: device(2).into(),
            act: MapAct::Add(add(10_000 + number, device(2), 80)),
        };
        world.platform(PlatformEvent::PortMap { request, served: Vec::new() });
    }
    world.script.clear();
    world.root(Command::Share(pair("eth0", &[over("eth2")]))).unwrap();
    world.run();
    let told = world.snapshot().port_mapping;
    assert_eq!(told.mappings, 32, "the share of one device");
    assert!(told.unanswered > 700, "{told:?}");
    assert!(told.refused.iter().any(|it| it.reason == MapRefusal::Limit), "{told:?}");
    upnp(&mut world, 3, add(8080, device(3), 80)).unwrap();
}

/// What devices and their surroundings do.
#[derive(Clone, Debug)]
enum Move {
    Ask { origin: Origin, client: u8, act: MapAct, served: bool },
    Pass(u64),
    Bound(u8, u8),
    Ended(u8),
    Administrator(u16),
    Flap(bool),
    Fail,
    Worker,
}

fn act() -> impl Strategy<Value = MapAct> {
    let port = 1_020..1_030_u16;
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let nonce = proptest::option::of((0..2_u8).prop_map(|byte| [byte; 12]));
    let one = (protocol.clone(), 0..7_u8, 1..4_u16, port.clone(), any::<bool>(), 0..2_000_u32);
    let adding = (one, nonce.clone()).prop_map(
        |((protocol, to, internal, external_port, exact, lifetime_s), nonce)| {
            MapAct::Add(MapAdd {
                protocol,
                exact,
                lifetime_s,
                nonce,
                ..add(external_port, device(to), internal)
            })
        },
    );
    let which = prop_oneof![
        (protocol.clone(), port.clone()).prop_map(|(protocol, port)| MapWhich::External {
            protocol,
            port,
            remote: None
        }),
        protocol.clone().prop_map(|protocol| MapWhich::ExternalRange { protocol, first: 1_022, last: 1_026 }),
        (protocol.clone(), 1..4_u16).prop_map(|(protocol, port)| MapWhich::Internal { protocol, port }),
        proptest::option::of(protocol).prop_map(|protocol| MapWhich::All { protocol }),
    ];
    let removing = (which, nonce).prop_map(|(which, nonce)| MapAct::Remove { which, nonce });
    prop_oneof![6 => adding, 1 => removing]
}

fn moves() -> impl Strategy<Value = Move> {
    let origin = prop_oneof![Just(Origin::Upnp), Just(Origin::NatPmp), Just(Origin::Pcp)];
    prop_oneof![
        12 => (origin, 2..6_u8, act(), any::<bool>())
            .prop_map(|(origin, client, act, served)| Move::Ask { origin, client, act, served }),
        2 => (1..900_u64).prop_map(Move::Pass),
        1 => (2..6_u8, 2..6_u8).prop_map(|(who, address)| Move::Bound(who, address)),
        1 => (2..6_u8).prop_map(Move::Ended),
        1 => (1_020..1_030_u16).prop_map(Move::Administrator),
        1 => any::<bool>().prop_map(Move::Flap),
        1 => Just(Move::Fail),
        1 => Just(Move::Worker),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever devices ask in whatever order.
    #[test]
    fn one_port_leads_to_one_device_within_every_limit(moves in vec(moves(), 1..60), any in any::<bool>()) {
        let policy = PortMapPolicy {
            protocols: if any { Protocols::Any } else { Protocols::Own },
            of_one: 4,
            in_all: 7,
            ..PortMapPolicy::default()
        };
        let mut world = shared(policy);
        for step in moves {
            match step {
                Move::Ask { origin, client, act, served } => {
                    let own = match &act {
                        MapAct::Add(add) => add.internal.ip() == IpAddr::V4(device(client)),
                        _ => true,
                    };
                    let before = forwards(&world);
                    let ports = if served { vec![(Protocol::Tcp, 1_025), (Protocol::Udp, 1_025)] } else { vec![] };
                    let answer = ask_among(&mut world, origin, device(client), act.clone(), &ports);
                    // The firewall failed and is tried again later than a mapping ends.
                    let Some(answer) = answer else { continue };
                    if answer.is_err() {
                        prop_assert_eq!(&before, &forwards(&world), "a refusal changes nothing: {:?}", act);
                    }
                    prop_assert!(any || own || answer.is_err(), "a foreign target: {:?}", act);
                    if let (Ok(mapped), MapAct::Add(add)) = (&answer, &act) {
                        prop_assert!(mapped.external.port() >= 1_024);
                        prop_assert!(
                            !add.exact || origin == Origin::Upnp && mapped.external.port() == add.external_port
                                || mapped.external.port() == add.external_port
                        );
                    }
                }
                Move::Pass(seconds) => {
                    world.pass(Duration::from_secs(seconds));
                    world.run_to_rest();
                }
                Move::Bound(who, address) => bound(&mut world, who, address),
                Move::Ended(who) => {
                    let gone = ServiceEvent::LeaseEnded { mac: mac(who), address: device(who).into() };
                    world.platform(PlatformEvent::Service(gone));
                    world.run();
                }
                Move::Administrator(port) => {
                    let new = NewMapping {
                        connection: Some("eth0".into()),
                        name: "web".into(),
                        protocol: Protocol::Tcp,
                        external_port: port,
                        internal_port: Some(80),
                        target: MappingTarget::Address(device(9)),
                        enabled: true,
                    };
                    let _ = world.root(Command::AddMapping(new));
                }
                Move::Flap(up) => {
                    let mut view = network();
                    view.links[0].carrier = up;
                    world.platform(PlatformEvent::Network(view));
                    world.run();
                }
                Move::Fail => world.script(Step::Firewall, &[Behaviour::FailNew]),
                Move::Worker => {
                    let lost = ServiceEvent::WorkerLost { cause: "gone".into() };
                    world.platform(PlatformEvent::Service(lost));
                    world.run();
                }
            }
            world.run_to_rest();
            let live = forwards(&world);
            let ports: BTreeSet<_> = live.iter().map(|it| (it.protocol, it.external_port)).collect();
            prop_assert_eq!(ports.len(), live.len(), "two with one port outside: {:?}", live);
            let statuses = listed(&mut world);
            let asked: Vec<_> = statuses.iter().filter_map(|status| Some((status, status.asked.as_ref()?))).collect();
            prop_assert!(asked.len() <= 7);
            for (status, it) in &asked {
                let owner = it.owner;
                let share = asked.iter().filter(|(_, other)| other.owner == owner).count();
                prop_assert!(share <= 4, "{owner} has {share}");
                prop_assert!(status.mapping.external_port >= 1_024);
                if !any {
                    prop_assert_eq!(&status.mapping.target.to_string(), &owner.to_string());
                }
            }
            let fixed = statuses.iter().filter(|status| status.asked.is_none());
            for status in fixed {
                let led = live.iter().any(|it| {
                    (it.protocol, it.external_port, it.address)
                        == (status.mapping.protocol, status.mapping.external_port, device(9))
                });
                prop_assert!(led, "the administrator's mapping is not there: {:?}", status);
            }
            world.assert_converged();
        }
    }
}
