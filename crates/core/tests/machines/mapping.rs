//! Parts of connections one by one, port mappings, closed connections.

use hn_conformance::checks;
use hn_core::{Command, ConnectionRole, NewMapping, Reply};
use hn_types::{
    ErrorCode, Step, Wall,
    observed::{Lease, PlatformEvent, ServiceEvent},
    plan::PortForward,
    settings::{MappingTarget, Protocol, Role},
    view::SharingMode,
};

use crate::world::{Behaviour, ROOT, USER, World, mac, name, over, pair};

fn enable(world: &mut World, connection: &str, role: Role) -> Result<Reply, ErrorCode> {
    world.root(Command::EnableSharing(connection.into(), role)).map_err(|failure| failure.code)
}

fn disable(world: &mut World, connection: &str) -> Result<Reply, ErrorCode> {
    world.root(Command::DisableSharing(connection.into())).map_err(|failure| failure.code)
}

fn role(world: &World, connection: &str) -> ConnectionRole {
    let all = world.core.connections();
    all.iter().find(|view| view.name.as_str() == connection).unwrap().role
}

fn wanted(port: u16, target: MappingTarget) -> NewMapping {
    NewMapping {
        connection: None,
        name: "web".into(),
        protocol: Protocol::Tcp,
        external_port: port,
        internal_port: Some(80),
        target,
        enabled: true,
    }
}

fn to(address: [u8; 4]) -> MappingTarget {
    MappingTarget::Address(address.into())
}

fn add(world: &mut World, new: NewMapping) -> Result<u32, ErrorCode> {
    match world.root(Command::AddMapping(new)) {
        Ok(Reply::Mapping(id)) => Ok(id),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure.code),
    }
}

fn bound(world: &mut World, device: u8, address: [u8; 4], hostname: &str, expires: u64) {
    let expires = Wall::from_unix(1_700_000_000 + expires);
    let lease = Lease { mac: mac(device), address: address.into(), hostname: hostname.into(), expires };
    world.platform(PlatformEvent::Service(ServiceEvent::LeaseBound(lease)));
    world.run();
}

fn forwards(world: &World) -> Vec<PortForward> {
    world.applied.firewall.forwards.clone()
}

#[test]
fn two_halves_make_a_pair_in_either_order() {
    for order in
        [[("eth0", Role::Public), ("eth1", Role::Private)], [("eth1", Role::Private), ("eth0", Role::Public)]]
    {
        let mut world = World::new();
        checks!(M099: {
            enable(&mut world, order[0].0, order[0].1).unwrap();
            assert_eq!(world.snapshot().sharing.mode, SharingMode::Off, "one half is not enough");
            assert!(world.applied.links.addresses.is_empty());
            enable(&mut world, order[1].0, order[1].1).unwrap();
            assert_eq!(world.snapshot().sharing.mode, SharingMode::Full);
        });
        assert_eq!(
            (role(&world, "eth0"), role(&world, "eth1")),
            (ConnectionRole::Public, ConnectionRole::Private)
        );
        world.history.clear();
        enable(&mut world, "eth0", Role::Public).unwrap();
        enable(&mut world, "eth1", Role::Private).unwrap();
        assert!(world.history.is_empty(), "it is so already");
    }
}

#[test]
fn a_half_is_remembered_and_shown_until_it_is_taken_back() {
    let mut world = World::new();
    enable(&mut world, "eth1", Role::Private).unwrap();
    assert_eq!(role(&world, "eth1"), ConnectionRole::Private);
    assert_eq!(enable(&mut world, "eth1", Role::Public), Err(ErrorCode::InvalidParameter));
    disable(&mut world, "eth1").unwrap();
    disable(&mut world, "eth1").unwrap();
    assert_eq!(role(&world, "eth1"), ConnectionRole::None);
    enable(&mut world, "eth0", Role::Public).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
}

#[test]
fn a_second_private_connection_joins_and_another_public_one_replaces() {
    let mut world = World::new();
    enable(&mut world, "eth0", Role::Public).unwrap();
    enable(&mut world, "eth1", Role::Private).unwrap();
    checks!(M100: {
        enable(&mut world, "eth2", Role::Private).unwrap();
        let bridge = world.applied.links.bridge.clone().unwrap();
        assert_eq!(bridge.members, [name("eth1"), name("eth2")].into());
        assert_eq!(world.applied.links.addresses[0].interface, bridge.name);
    });
    checks!(M101: {
        enable(&mut world, "eth3", Role::Public).unwrap();
        assert_eq!(role(&world, "eth0"), ConnectionRole::None);
        assert_eq!(role(&world, "eth3"), ConnectionRole::Public);
        assert_eq!(world.snapshot().sharing.public, Some(name("eth3")));
    });
    disable(&mut world, "eth1").unwrap();
    assert_eq!(world.applied.links.bridge, None);
    assert_eq!(world.snapshot().sharing.private, [name("eth2")]);
    disable(&mut world, "eth3").unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
    assert_eq!(role(&world, "eth2"), ConnectionRole::Private, "the other half stays");
    world.root(Command::Unshare).unwrap();
    assert_eq!(role(&world, "eth2"), ConnectionRole::None);
}

#[test]
fn a_half_that_fails_leaves_the_parts_as_they_were() {
    let mut world = World::new();
    enable(&mut world, "eth1", Role::Private).unwrap();
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    enable(&mut world, "eth0", Role::Public).unwrap_err();
    assert_eq!((role(&world, "eth0"), role(&world, "eth1")), (ConnectionRole::None, ConnectionRole::Private));
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
    enable(&mut world, "eth0", Role::Public).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Full);
}

#[test]
fn what_cannot_have_a_part_is_refused_by_name() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    checks!(M103: for (connection, part, code) in [
        ("br0", Role::Public, ErrorCode::NotSupported),
        ("ppp0", Role::Public, ErrorCode::NotSupported),
        ("ppp0", Role::Private, ErrorCode::NotSupported),
        ("tun0", Role::Private, ErrorCode::NotSupported),
        ("port0", Role::Public, ErrorCode::InvalidParameter),
        ("hnap0", Role::Public, ErrorCode::InvalidParameter),
        ("eth0", Role::Private, ErrorCode::InvalidParameter),
        ("eth9", Role::Public, ErrorCode::NotFound),
    ] {
        assert_eq!(enable(&mut world, connection, part), Err(code), "{connection}");
    });
    assert_eq!(disable(&mut world, "eth9"), Err(ErrorCode::NotFound));
    let refused = world.ask(2, USER, Command::EnableSharing("eth0".into(), Role::Public)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::AccessDenied);
    // A GUID names a connection as well.
    let guid = world.core.connections().iter().find(|view| view.name == name("eth1")).unwrap().guid.clone();
    enable(&mut world, &guid.to_lowercase(), Role::Private).unwrap();
    assert_eq!(role(&world, "eth1"), ConnectionRole::Private);
}

#[test]
fn the_hosted_network_keeps_its_part_when_it_stops_and_starts() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    enable(&mut world, "hnap0", Role::Private).unwrap();
    enable(&mut world, "eth0", Role::Public).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Full);
    world.root(Command::ForceStop).unwrap();
    world.root(Command::ForceStart).unwrap();
    assert_eq!(world.snapshot().sharing.private, [name("hnap0")]);
    disable(&mut world, "hnap0").unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
}

#[test]
fn a_mapping_acts_while_its_connection_is_public() {
    let mut world = World::new();
    let id = add(&mut world, wanted(8080, to([192, 168, 137, 20]))).unwrap();
    assert!(forwards(&world).is_empty(), "nothing is shared");
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    let expected = PortForward {
        public: name("eth0"),
        private: name("eth1"),
        protocol: Protocol::Tcp,
        external_port: 8080,
        address: [192, 168, 137, 20].into(),
        internal_port: 80,
        remote: None,
    };
    assert_eq!(forwards(&world), [expected]);
    world.root(Command::Share(pair("eth3", &[over("eth1")]))).unwrap();
    assert!(forwards(&world).is_empty(), "it belongs to eth0");
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world.root(Command::SetMappingEnabled(id, false)).unwrap();
    assert!(forwards(&world).is_empty());
    world.root(Command::SetMappingEnabled(id, true)).unwrap();
    assert_eq!(forwards(&world), [expected]);
    disable(&mut world, "eth0").unwrap();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    assert!(forwards(&world).is_empty(), "DisableSharing switched it off");
    assert!(!world.disk.mappings[0].enabled);
    world.root(Command::RemoveMapping(id)).unwrap();
    assert!(world.disk.mappings.is_empty());
    assert_eq!(add(&mut world, wanted(1, to([192, 168, 137, 20]))), Ok(id + 1), "numbers are not used again");
}

#[test]
fn disable_sharing_switches_mappings_off_even_when_nothing_is_shared() {
    let mut world = World::new();
    add(&mut world, wanted(8080, to([192, 168, 137, 20]))).unwrap();
    disable(&mut world, "eth0").unwrap();
    assert!(!world.disk.mappings[0].enabled);
}

#[test]
fn a_mapping_to_a_name_follows_its_device() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    add(&mut world, wanted(8080, MappingTarget::Name("TV.mshome.net".into()))).unwrap();
    assert!(forwards(&world).is_empty());
    let Reply::Mappings(all) = world.root(Command::QueryMappings).unwrap() else { panic!() };
    assert!(all[0].leads.as_ref().unwrap_err().contains("no device named"), "{all:?}");
    bound(&mut world, 1, [192, 168, 137, 30], "tv", 100);
    assert_eq!(forwards(&world)[0].address.octets(), [192, 168, 137, 30]);
    bound(&mut world, 2, [192, 168, 137, 31], "tv", 200);
    assert_eq!(forwards(&world)[0].address.octets(), [192, 168, 137, 31], "the one confirmed last");
    let gone = ServiceEvent::LeaseEnded { mac: mac(2), address: [192, 168, 137, 31].into() };
    world.platform(PlatformEvent::Service(gone));
    world.run();
    assert_eq!(forwards(&world)[0].address.octets(), [192, 168, 137, 30]);
}

#[test]
fn a_mapping_leads_to_devices_of_the_segment_only() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    for (port, address) in
        [[192, 168, 137, 1], [192, 168, 137, 0], [192, 168, 137, 255], [10, 9, 0, 7]].iter().enumerate()
    {
        add(&mut world, wanted(u16::try_from(port).unwrap() + 1, to(*address))).unwrap();
    }
    assert!(forwards(&world).is_empty());
    for bad in [
        to([127, 0, 0, 1]),
        to([224, 0, 0, 1]),
        MappingTarget::Name(String::new()),
        MappingTarget::Name("a b".into()),
    ] {
        assert_eq!(add(&mut world, wanted(99, bad)), Err(ErrorCode::InvalidParameter));
    }
    assert_eq!(add(&mut world, wanted(0, to([192, 168, 137, 9]))), Err(ErrorCode::InvalidParameter));
    let long = NewMapping { name: "x".repeat(257), ..wanted(99, to([192, 168, 137, 9])) };
    assert_eq!(add(&mut world, long), Err(ErrorCode::InvalidParameter));
    assert_eq!(add(&mut world, wanted(1, to([192, 168, 137, 9]))), Err(ErrorCode::InvalidParameter), "twice");
    let udp = NewMapping { protocol: Protocol::Udp, ..wanted(1, to([192, 168, 137, 9])) };
    add(&mut world, udp).unwrap();
    assert_eq!(world.root(Command::RemoveMapping(77)).unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn there_are_at_most_128_mappings() {
    let mut world = World::new();
    for port in 1..=128 {
        add(&mut world, wanted(port, to([192, 168, 137, 9]))).unwrap();
    }
    assert_eq!(add(&mut world, wanted(129, to([192, 168, 137, 9]))), Err(ErrorCode::LimitExceeded));
}

#[test]
fn a_mapping_that_the_firewall_refuses_is_not_kept() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    add(&mut world, wanted(8080, to([192, 168, 137, 20]))).unwrap_err();
    assert!(world.disk.mappings.is_empty());
    assert!(forwards(&world).is_empty());
}

#[test]
fn a_closed_connection_stays_closed_until_the_service_ends() {
    let mut world = World::new();
    world.root(Command::SetFirewall("eth0".into(), true)).unwrap();
    assert_eq!(world.applied.firewall.closed, [name("eth0")].into());
    assert!(world.core.connections().iter().any(|view| view.firewalled && view.name == name("eth0")));
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world.root(Command::Unshare).unwrap();
    assert_eq!(world.applied.firewall.closed, [name("eth0")].into());
    let stored = world.disk.clone();
    world.ask(1, ROOT, Command::Shutdown).unwrap();
    assert!(world.applied.firewall.closed.is_empty(), "whoever ends the service opens what it closed");
    assert_eq!(stored.firewalled, [name("eth0")]);
}

#[test]
fn mappings_need_an_administrator_and_anybody_may_look() {
    let mut world = World::new();
    for command in [
        Command::AddMapping(wanted(1, to([192, 168, 137, 9]))),
        Command::SetMappingEnabled(1, true),
        Command::RemoveMapping(1),
        Command::SetFirewall("eth0".into(), true),
        Command::DisableSharing("eth0".into()),
    ] {
        assert_eq!(world.ask(2, USER, command).unwrap_err().code, ErrorCode::AccessDenied);
    }
    assert_eq!(world.ask(2, USER, Command::QueryMappings).unwrap(), Reply::Mappings(Vec::new()));
}
