//! The contract's rows about connections: what can be shared, as what, and how many at a time (spec/sequences.md §6,
//! spec/internet-connection-sharing.md §4).

use hn_conformance::checks;
use hn_core::{Command, ConnectionView};
use hn_types::{
    ErrorCode,
    network::{Link, MediaType, NetworkView},
    observed::PlatformEvent,
    plan::Reach,
    settings::PrivateChoice,
    view::SharingMode,
};

use crate::world::{HN, World, name, network, over, pair};

const ALL: [MediaType; 8] = [
    MediaType::None,
    MediaType::Direct,
    MediaType::Isdn,
    MediaType::Lan,
    MediaType::Phone,
    MediaType::Tunnel,
    MediaType::Pppoe,
    MediaType::Bridge,
];

/// The usual network and one more connection, `other0`.
fn with(media: MediaType, incoming_only: bool) -> World {
    let spare = network().links.into_iter().find(|link| link.name == name("eth3")).unwrap();
    let mut view = network();
    view.links.push(Link { name: name("other0"), index: 60, media, incoming_only, ..spare });
    let mut world = World::new();
    world.platform(PlatformEvent::Network(view));
    world
}

fn connection(world: &World, interface: &str) -> ConnectionView {
    let all = world.core.connections();
    all.into_iter().find(|connection| connection.name == name(interface)).unwrap()
}

fn roles(world: &World, role: &str) -> Vec<String> {
    let all = world.core.connections();
    all.iter().filter(|connection| connection.role.as_str() == role).map(|c| c.name.to_string()).collect()
}

fn share(world: &mut World, public: &str, private: &[PrivateChoice]) -> Result<(), ErrorCode> {
    let done = world.root(Command::Share(pair(public, private)));
    world.assert_converged();
    done.map(drop).map_err(|failure| failure.code)
}

#[test]
fn six_media_types_can_be_shared_and_no_other() {
    for media in ALL {
        let mut world = with(media, false);
        let candidate = matches!(
            media,
            MediaType::Phone
                | MediaType::Direct
                | MediaType::Isdn
                | MediaType::Lan
                | MediaType::Tunnel
                | MediaType::Pppoe
        );
        checks!(M103, M104:
            // What is no connection at all is not even in the list.
            let listed = world.core.connections().into_iter().find(|connection| connection.name == name("other0"));
            assert_eq!(listed.is_some(), media != MediaType::None);
            assert_eq!(listed.is_some_and(|listed| listed.not_sharable.is_none()), candidate, "{media:?}");
            let done = share(&mut world, "other0", &[over("eth1")]);
            assert_eq!(done, if candidate { Ok(()) } else { Err(ErrorCode::NotSupported) }, "{media:?}");
        );
    }
}

#[test]
fn what_only_comes_in_cannot_be_shared() {
    for media in ALL.into_iter().filter(|media| media.sharable()) {
        checks!(M105:
            for incoming_only in [false, true] {
                let mut world = with(media, incoming_only);
                assert_eq!(connection(&world, "other0").not_sharable.is_some(), incoming_only, "{media:?}");
                assert_eq!(share(&mut world, "other0", &[over("eth1")]).is_err(), incoming_only, "{media:?}");
            }
        );
    }
}

#[test]
fn a_connection_is_public_or_private_and_many_kinds_lead_out() {
    // A modem, DSL, cable or a leased line behind an Ethernet port.
    for media in [MediaType::Phone, MediaType::Pppoe, MediaType::Lan] {
        let mut world = with(media, false);
        assert_eq!(share(&mut world, "other0", &[over("eth1")]), Ok(()));
        checks!(M097:
            assert_eq!((roles(&world, "public"), roles(&world, "private")), (vec!["other0".into()], vec!["eth1".into()]));
            assert_eq!(world.applied.firewall.segments[0].reach, Reach::Public(name("other0")), "the way out");
            for role in ["eth1", "other0"] {
                let twice = share(&mut world, role, &[over(role)]);
                assert_eq!(twice, Err(ErrorCode::InvalidParameter), "{role} cannot be both");
            }
        );
    }
}

#[test]
fn cards_cables_and_radios_can_be_private() {
    for media in [MediaType::Lan, MediaType::Direct] {
        let mut world = with(media, false);
        world.root(Command::ForceStart).unwrap();
        checks!(M098:
            assert_eq!(share(&mut world, "eth0", &[over("other0")]), Ok(()), "{media:?}");
            assert!(world.dhcp_on("other0"), "{media:?}");
            assert_eq!(share(&mut world, "eth0", &[HN]), Ok(()), "wireless");
            assert!(world.dhcp_on("hnap0"));
        );
    }
}

#[test]
fn sharing_takes_one_public_and_at_least_one_private_connection() {
    let mut world = World::new();
    let none = share(&mut world, "eth0", &[]);
    let same = share(&mut world, "eth0", &[over("eth0")]);
    let gone = share(&mut world, "eth9", &[over("eth1")]);
    checks!(M099:
        assert_eq!(none, Err(ErrorCode::InvalidParameter));
        assert_eq!(same, Err(ErrorCode::InvalidParameter));
        assert_eq!(gone, Err(ErrorCode::NotFound));
        assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
        assert!(world.history.is_empty());
        assert_eq!(share(&mut world, "eth0", &[over("eth1")]), Ok(()));
        assert_eq!(world.snapshot().sharing.mode, SharingMode::Full);
    );
}

#[test]
fn several_private_connections_are_bridged_without_being_asked() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    for private in
        [vec![over("eth1"), over("eth2")], vec![HN, over("eth1")], vec![HN, over("eth1"), over("eth2")]]
    {
        assert_eq!(share(&mut world, "eth0", &private), Ok(()));
        let bridge = world.applied.links.bridge.clone().unwrap();
        let stations = world.applied.ap.as_ref().and_then(|ap| ap.bridge);
        checks!(M100:
            let wires: Vec<_> = private.iter().filter(|choice| **choice != HN).collect();
            assert!(wires.iter().all(|choice| bridge.members.iter().any(|member| over(member.as_str()) == **choice)));
            assert_eq!(bridge.members.len(), wires.len());
            assert_eq!(stations, private.contains(&HN).then_some(bridge.name), "the access point is a member, too");
            assert_eq!(world.applied.links.addresses.len(), 1, "one segment has one address");
            assert!(world.dhcp_on(bridge.name.as_str()), "and one server");
            assert_eq!(roles(&world, "private").len(), private.len());
        );
    }
}

#[test]
fn there_is_one_instance_with_one_public_side_and_its_servers_stay_on_the_private_side() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    let steps = [("eth0", over("eth1")), ("eth3", over("eth1")), ("eth3", HN), ("eth0", over("eth2"))];
    for (public, private) in steps {
        assert_eq!(share(&mut world, public, &[private]), Ok(()));
        let inside = match private {
            PrivateChoice::HostedNetwork => name("hnap0"),
            PrivateChoice::Interface(inside) => inside,
        };
        let reach =
            |wanted: Reach| world.applied.firewall.segments.iter().filter(|s| s.reach == wanted).count();
        checks!(M081, M085:
            assert_eq!(roles(&world, "public"), [public], "one public");
            assert_eq!(roles(&world, "private"), [inside.to_string()], "one private");
            let outs: Vec<_> = world.applied.firewall.segments.iter().map(|segment| segment.reach).collect();
            assert_eq!(outs.iter().filter(|reach| **reach != Reach::Host).count(), 1, "one instance: {outs:?}");
            assert_eq!(world.applied.links.addresses.len(), 1);
        );
        checks!(M101:
            assert_eq!(reach(Reach::Public(name(public))), 1);
            assert_eq!(roles(&world, "public").len(), 1, "the one before has lost its role");
        );
        checks!(M082:
            let segment = world.applied.services.segment.as_ref().unwrap();
            assert_eq!(segment.interface, inside);
            assert_ne!(segment.interface.as_str(), public);
            assert_eq!(world.address_on(public), None, "nothing of ours is on the public side");
        );
    }
}

#[test]
fn lists_of_connections_follow_the_machine() {
    let mut world = World::new();
    assert!(!world.core.connections().iter().any(|connection| connection.name == name("other0")));
    let spare = network().links.into_iter().find(|link| link.name == name("eth3")).unwrap();
    let mut view = network();
    view.links.push(Link { name: name("other0"), index: 60, ..spare });
    world.platform(PlatformEvent::Network(view));
    assert_eq!(connection(&world, "other0").not_sharable, None);
    world.platform(PlatformEvent::Network(NetworkView { links: Vec::new(), ..network() }));
    assert!(world.core.connections().is_empty());
}
