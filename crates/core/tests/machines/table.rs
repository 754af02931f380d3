//! Every cell of the mode table (spec/sequences.md §6).

use hn_core::{Command, Part};
use hn_types::{
    observed::PlatformEvent,
    plan::Reach,
    radio::RadioView,
    view::{HostedState, SharingMode},
};

use crate::world::{HN, ROOT, World, name, network, over, pair};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    S0,
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
}
use Row::*;

fn in_state(row: Row) -> World {
    let mut world = World::new();
    let start = |world: &mut World| world.root(Command::StartUsing).unwrap();
    match row {
        S0 => {}
        S1 => drop(start(&mut world)),
        S2 | S5 | S6 => {
            start(&mut world);
            world.root(Command::Share(pair("eth0", &[HN]))).unwrap();
            if row == S5 {
                world.root(Command::ForceStop).unwrap();
            }
            if row == S6 {
                world.root(Command::Unshare).unwrap();
            }
        }
        S3 => {
            start(&mut world);
            world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
        }
        S4 => drop(world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap()),
    }
    assert_eq!(row_of(&world), row, "the way into the state");
    world.history.clear();
    world.events.clear();
    world
}

/// Which row the world is in; checks every column of that row.
fn row_of(world: &World) -> Row {
    world.assert_converged();
    let snapshot = world.snapshot();
    let active = snapshot.hosted_network.state == HostedState::Active;
    let over_hn = world.core.connections().iter().any(|c| c.hosted_network && c.role.as_str() == "private");
    let row = match (snapshot.sharing.mode, active, over_hn) {
        (SharingMode::Off, false, _) => S0,
        (SharingMode::Standalone, true, _) => S1,
        (SharingMode::Full, true, true) => S2,
        (SharingMode::Full, true, false) => S3,
        (SharingMode::Full, false, _) => {
            if world.applied.links.addresses.is_empty() {
                S5
            } else {
                S4
            }
        }
        (SharingMode::Off, true, _) => S6,
        (SharingMode::Standalone, false, _) => panic!("standalone without the network"),
    };
    let (address, dhcp) = match row {
        S1 => (Some("192.168.173.1/24".to_string()), true),
        S2 => (Some("192.168.137.1/24".to_string()), true),
        S0 | S3 | S4 | S5 | S6 => (None, false),
    };
    assert_eq!(world.applied.ap.is_some(), matches!(row, S1 | S2 | S3 | S6));
    assert_eq!(world.address_on("hnap0"), address, "{row:?}");
    assert_eq!(world.dhcp_on("hnap0"), dhcp, "{row:?}");
    let full_elsewhere = matches!(row, S3 | S4);
    let wired = |w: &World| ["eth1", "eth2"].into_iter().filter(|i| w.address_on(i).is_some()).count();
    assert_eq!(wired(world), usize::from(full_elsewhere), "{row:?}");
    let hn = world.applied.firewall.segments.iter().find(|segment| segment.interface == name("hnap0"));
    match row {
        S1 | S3 | S6 => {
            assert_eq!(hn.unwrap().reach, Reach::Host, "no further than the host");
            assert_eq!(hn.unwrap().subnet.is_some(), row == S1);
        }
        S2 => assert!(hn.unwrap().subnet.is_some()),
        S0 | S4 | S5 => assert!(hn.is_none()),
    }
    if let Some(segment) = &world.applied.services.segment {
        let full = row != S1;
        assert_eq!(segment.dhcp.lease_time.as_secs(), 604_800);
        assert_eq!(segment.dhcp.router.is_some(), full);
        assert_eq!(segment.dhcp.dns.is_some(), full);
        assert_eq!(segment.dhcp.domain.as_deref(), full.then_some("mshome.net"));
        assert_eq!(segment.dns.is_some(), full);
        let octets = |address: core::net::Ipv4Addr| address.octets()[3];
        assert_eq!((octets(segment.dhcp.first), octets(segment.dhcp.last)), (2, 254));
    }
    row
}

fn e1(world: &mut World) {
    world.ask(2, ROOT, Command::StartUsing).unwrap();
}
fn e2(world: &mut World) {
    world.root(Command::ForceStop).unwrap();
}
fn e3(world: &mut World) {
    world.root(Command::Share(pair("eth0", &[HN]))).unwrap();
}
fn e3_other_public(world: &mut World) {
    world.root(Command::Share(pair("eth3", &[HN]))).unwrap();
}
fn e4(world: &mut World) {
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
}
fn e4_other_private(world: &mut World) {
    world.root(Command::Share(pair("eth0", &[over("eth2")]))).unwrap();
}
fn e5(world: &mut World) {
    world.root(Command::Unshare).unwrap();
}
fn e6(world: &mut World) {
    let mut view = network();
    view.links.retain(|link| link.name != name("eth0"));
    view.default_route = None;
    world.platform(PlatformEvent::Network(view));
    world.run();
}
fn e7(world: &mut World) {
    world.root(Command::ServiceStop(Part::SharedAccess)).unwrap();
}
fn e8(world: &mut World) {
    if world.applied.ap.is_some() {
        world.applied.links.addresses.retain(|address| address.interface != name("hnap0"));
        world.applied.forwarding.ipv4.remove(&name("hnap0"));
        world.applied.ap = None;
    }
    world.platform(PlatformEvent::Radio(RadioView::default()));
    world.run();
    assert_eq!(world.state(), HostedState::Unavailable);
}

macro_rules! cells {
    ($($test:ident: $from:ident, $event:ident => $to:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let mut world = in_state($from);
                $event(&mut world);
                assert_eq!(row_of(&world), $to);
            }
        )*
    };
}

cells! {
    e1_in_s0_starts_standalone: S0, e1 => S1;
    e1_in_s1_stays: S1, e1 => S1;
    e1_in_s2_stays: S2, e1 => S2;
    e1_in_s3_stays: S3, e1 => S3;
    e1_in_s4_runs_without_dhcp: S4, e1 => S3;
    e1_in_s5_just_starts_the_network: S5, e1 => S2;
    e1_in_s6_stays: S6, e1 => S6;

    e2_in_s0_stays: S0, e2 => S0;
    e2_in_s1_ends_standalone: S1, e2 => S0;
    e2_in_s2_keeps_full: S2, e2 => S5;
    e2_in_s3_keeps_full: S3, e2 => S4;
    e2_in_s4_stays: S4, e2 => S4;
    e2_in_s5_stays: S5, e2 => S5;
    e2_in_s6_ends: S6, e2 => S0;

    e3_in_s1_preempts_standalone: S1, e3 => S2;
    e3_in_s2_same_pair_stays: S2, e3 => S2;
    e3_in_s2_other_public_stays: S2, e3_other_public => S2;
    e3_in_s3_moves_to_the_network: S3, e3 => S2;
    e3_in_s5_same_pair_stays: S5, e3 => S5;
    e3_in_s6_serves_the_network: S6, e3 => S2;

    e4_in_s0_shares_elsewhere: S0, e4 => S4;
    e4_in_s1_is_disruptive: S1, e4 => S3;
    e4_in_s2_moves_away: S2, e4 => S3;
    e4_in_s3_same_pair_stays: S3, e4 => S3;
    e4_in_s3_other_private: S3, e4_other_private => S3;
    e4_in_s4_same_pair_stays: S4, e4 => S4;
    e4_in_s4_other_private: S4, e4_other_private => S4;
    e4_in_s5_serves_the_other_side: S5, e4 => S4;
    e4_in_s6_serves_the_other_side: S6, e4 => S3;

    e5_in_s0_stays: S0, e5 => S0;
    e5_in_s2_never_falls_back_to_standalone: S2, e5 => S6;
    e5_in_s3_never_falls_back_to_standalone: S3, e5 => S6;
    e5_in_s4_ends: S4, e5 => S0;
    e5_in_s5_ends: S5, e5 => S0;
    e5_in_s6_stays: S6, e5 => S6;

    e6_in_s0_stays: S0, e6 => S0;
    e6_in_s1_stays: S1, e6 => S1;
    e6_in_s2_keeps_serving: S2, e6 => S2;
    e6_in_s3_keeps_serving: S3, e6 => S3;
    e6_in_s4_keeps_serving: S4, e6 => S4;
    e6_in_s5_stays: S5, e6 => S5;
    e6_in_s6_stays: S6, e6 => S6;

    e7_in_s0_stays: S0, e7 => S0;
    e7_in_s1_leaves_the_network_bare: S1, e7 => S6;
    e7_in_s2_as_full_stop: S2, e7 => S6;
    e7_in_s3_as_full_stop: S3, e7 => S6;
    e7_in_s4_as_full_stop: S4, e7 => S0;
    e7_in_s5_as_full_stop: S5, e7 => S0;
    e7_in_s6_stays: S6, e7 => S6;

    e8_in_s0_stays: S0, e8 => S0;
    e8_in_s1_ends_standalone: S1, e8 => S0;
    e8_in_s2_keeps_full: S2, e8 => S5;
    e8_in_s3_keeps_full: S3, e8 => S4;
    e8_in_s4_stays: S4, e8 => S4;
    e8_in_s5_stays: S5, e8 => S5;
    e8_in_s6_ends: S6, e8 => S0;
}

#[test]
fn e3_in_s0_cannot_find_the_adapter_before_the_first_start() {
    let mut world = in_state(S0);
    let failure = world.root(Command::Share(pair("eth0", &[HN]))).unwrap_err();
    assert_eq!(failure.code.win32(), 1168);
    assert_eq!(row_of(&world), S0);
    assert!(world.history.is_empty());
}

#[test]
fn e3_in_s0_reserves_once_the_adapter_can_be_addressed() {
    let mut world = in_state(S1);
    e2(&mut world);
    e3(&mut world);
    assert_eq!(row_of(&world), S5);
    assert_eq!(world.snapshot().sharing.subnet.unwrap().to_string(), "192.168.137.1/24");
}

#[test]
fn e3_in_s4_moves_to_the_idle_network() {
    let mut world = in_state(S3);
    e2(&mut world);
    assert_eq!(row_of(&world), S4);
    e3(&mut world);
    assert_eq!(row_of(&world), S5);
}

#[test]
fn e3_in_s4_cannot_find_the_adapter_before_the_first_start() {
    let mut world = in_state(S4);
    assert_eq!(world.root(Command::Share(pair("eth0", &[HN]))).unwrap_err().code.win32(), 1168);
    assert_eq!(row_of(&world), S4);
    assert!(world.history.is_empty());
}

#[test]
fn e5_in_s1_is_not_possible() {
    let mut world = in_state(S1);
    let failure = world.root(Command::Unshare).unwrap_err();
    assert_eq!(failure.code.win32(), 5023);
    assert_eq!(row_of(&world), S1);
    assert!(world.history.is_empty());
}

#[test]
fn the_same_pair_again_has_no_effect_at_all() {
    for (row, event) in [(S2, e3 as fn(&mut World)), (S3, e4), (S4, e4), (S5, e3)] {
        let mut world = in_state(row);
        event(&mut world);
        hn_conformance::checks!(M086:
            assert!(world.history.is_empty(), "{row:?} {:?}", world.history);
            assert!(world.events.is_empty(), "{row:?} {:?}", world.events);
            assert_eq!(row_of(&world), row);
        );
    }
}

#[test]
fn another_public_side_keeps_addresses_and_servers() {
    let mut world = in_state(S2);
    let served = world.applied.services.segment.clone().unwrap();
    e3_other_public(&mut world);
    use hn_types::Step;
    hn_conformance::checks!(M087:
        assert_eq!(
            world.history,
            [Step::Forwarding, Step::Firewall, Step::Forwarding, Step::Services],
            "and those who map ports are told the address outside"
        );
        let now = world.applied.services.segment.clone().unwrap();
        assert_eq!((now.interface, now.address, now.dhcp), (served.interface, served.address, served.dhcp));
        assert!(now.ipv6.zip(served.ipv6).is_some_and(|(now, served)| served.same_but_uplink(&now)));
        assert!(world.applied.forwarding.ipv4.contains(&name("eth3")));
        assert!(!world.applied.forwarding.ipv4.contains(&name("eth0")));
    );
}

#[test]
fn a_lost_public_side_leaves_dhcp_and_local_names() {
    let mut world = in_state(S2);
    e6(&mut world);
    let segment = world.applied.services.segment.clone().unwrap();
    assert!(segment.dns.unwrap().upstreams.is_empty());
    assert_eq!(world.applied.firewall.segments[0].reach, Reach::Host);
    assert!(world.applied.forwarding.ipv4.is_empty());
    let view = world.snapshot().sharing;
    assert!(view.public.is_none() && !view.detail.is_empty() && view.dns);
    world.platform(PlatformEvent::Network(network()));
    world.run();
    assert_eq!(world.applied.firewall.segments[0].reach, Reach::Public(name("eth0")));
    assert_eq!(world.snapshot().sharing.public, Some(name("eth0")));
}

#[test]
fn leaving_full_needs_a_restart_of_the_network_for_dhcp() {
    let mut world = in_state(S6);
    e2(&mut world);
    e1(&mut world);
    assert_eq!(row_of(&world), S1);
}
