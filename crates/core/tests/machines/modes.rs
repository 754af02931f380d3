//! The contract's rows about the two modes of sharing and about whole-or-nothing (spec/sequences.md §2, §4, §6), decided here;
//! `crates/testlab` sees the same with packets.

use hn_conformance::checks;
use hn_core::{Command, Config, Part, UpRequest};
use hn_types::{
    ErrorCode, KeyRole, Reason, Step,
    network::{Link, MediaType, NetworkView},
    observed::{Lease, MovedPort, PlatformEvent, ServiceEvent, ServiceTrouble},
    plan::{DhcpPlan, FirewallSegment, ForwardingPlan, NameRedirect, Reach, ServicePlan, ServiceSegment},
    radio::RadioView,
    settings::{Policy, PrivateChoice, Protocol, PublicChoice, Role},
    view::{Event, HostedState, SharingMode, SharingPhase},
};

use crate::world::{Behaviour, HN, ROOT, USER, World, mac, name, network, out, over, pair};

const FULL_LANES: [Step; 4] = [Step::Links, Step::Firewall, Step::Forwarding, Step::Services];

fn standalone() -> World {
    let mut world = World::new();
    world.ask(2, USER, Command::StartUsing).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Standalone);
    world
}

fn share(world: &mut World, public: &str, private: &[PrivateChoice]) {
    world.root(Command::Share(pair(public, private))).unwrap();
    world.assert_converged();
}

fn mode(world: &World) -> SharingMode {
    world.snapshot().sharing.mode
}

fn up(public: Option<PublicChoice>, private: &[PrivateChoice]) -> Command {
    Command::Up(UpRequest { public, private: private.to_vec(), ssid: None, key: None })
}

/// Where sharing was, and is.
fn modes(world: &World) -> Vec<SharingMode> {
    let seen = world.events.iter().filter_map(|event| match event {
        Event::SharingChanged { sharing } => Some(sharing.mode),
        _ => None,
    });
    let mut modes: Vec<_> = seen.collect();
    modes.dedup();
    modes
}

#[test]
fn starting_the_network_while_full_sharing_is_off_serves_addresses_and_nothing_else() {
    let mut world = World::new();
    assert_eq!(mode(&world), SharingMode::Off);
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.assert_converged();
    checks!(M071, M091:
        assert_eq!(world.state(), HostedState::Active);
        assert_eq!((mode(&world), world.snapshot().sharing.phase), (SharingMode::Standalone, SharingPhase::Running));
        assert!(world.dhcp_on("hnap0"), "nobody asked for it, and it is there");
    );
    // Taken apart without `..`: a server that is added to the plan has to be asked about here.
    let ServicePlan { segment } = world.applied.services.clone();
    let ServiceSegment { interface, address, dhcp, dns, ipv6, portmap } = segment.unwrap();
    let DhcpPlan { first, last, lease_time, router, dns: name_server, domain, mtu, reservations, denied } =
        dhcp;
    let ForwardingPlan { ipv4, ipv6: forwarding6, loose } = world.applied.forwarding.clone();
    checks!(M069:
        assert_eq!(dns, None, "no name server runs");
        assert_eq!((router, name_server, domain, mtu), (None, None, None, None), "and none is promised, nor a way out");
        assert!(ipv4.is_empty() && forwarding6.is_none() && loose.is_empty(), "nothing is forwarded");
        assert_eq!(ipv6, None, "nothing of IPv6 is announced or leased");
        assert_eq!(portmap, None, "and no port is mapped, as nothing leads out");
        assert!(world.applied.links.addresses6.is_empty(), "nor has the host an address of it");
        let (interface, subnet) = (name("hnap0"), Some(address));
        let segment = FirewallSegment { interface, subnet, reach: Reach::Host, ipv6: None };
        assert_eq!(world.applied.firewall.segments, [segment], "nothing is translated, and no IPv6 is let through");
    );
    assert_eq!((lease_time.as_secs(), reservations.len(), denied.len()), (604_800, 0, 0));
    checks!(M089:
        assert_eq!(address.to_string(), "192.168.173.1/24");
        assert_eq!((first.to_string().as_str(), last.to_string().as_str()), ("192.168.173.2", "192.168.173.254"));
    );
    checks!(M084:
        assert_eq!(interface, name("hnap0"));
        assert_eq!(world.snapshot().sharing.public, None);
        assert_eq!(world.snapshot().sharing.private, [name("hnap0")]);
        let addresses: Vec<_> = world.applied.links.addresses.iter().map(|address| address.interface).collect();
        assert_eq!(addresses, [name("hnap0")]);
        assert!(!world.core.connections().iter().any(|c| c.role.as_str() == "public"));
    );
}

#[test]
fn no_call_about_sharing_starts_or_stops_standalone() {
    let mut world = standalone();
    let before = world.applied.clone();
    let halves = |interface: &str| {
        [
            Command::EnableSharing(interface.into(), Role::Private),
            Command::DisableSharing(interface.into()),
            Command::DisableSharing("eth0".into()),
        ]
    };
    let failure = world.root(Command::Unshare).unwrap_err();
    checks!(M072:
        assert_eq!(failure.code, ErrorCode::InvalidState, "there is nothing of the caller's to stop");
        for command in halves("hnap0") {
            let _ = world.root(command.clone());
            assert_eq!((mode(&world), &world.applied), (SharingMode::Standalone, &before), "{command:?}");
        }
        // The network runs without it: no call brings it back, only the next start of the network.
        share(&mut world, "eth0", &[HN]);
        world.root(Command::Unshare).unwrap();
        world.events.clear();
        let calls = [
            Command::Unshare,
            Command::Share(pair("eth0", &[HN])),
            Command::Unshare,
            Command::Share(pair("eth0", &[over("eth1")])),
            Command::Unshare,
            Command::ServiceStop(Part::SharedAccess),
            Command::ServiceStart(Part::SharedAccess),
        ];
        for command in calls.into_iter().chain(halves("hnap0")) {
            let _ = world.root(command.clone());
            assert_ne!(mode(&world), SharingMode::Standalone, "{command:?}");
        }
        assert!(!modes(&world).contains(&SharingMode::Standalone));
        assert_eq!(world.state(), HostedState::Active);
    );
}

#[test]
fn full_preempts_standalone_and_never_gives_way_to_it() {
    for private in [HN, over("eth1")] {
        let mut world = standalone();
        world.events.clear();
        share(&mut world, "eth0", &[private]);
        checks!(M080: {
            assert_eq!(mode(&world), SharingMode::Full);
            assert_eq!(modes(&world), [SharingMode::Standalone, SharingMode::Full], "one gives way to the other");
            let ours: Vec<_> = world.applied.links.addresses.iter().map(|a| a.address.to_string()).collect();
            assert_eq!(ours, ["192.168.137.1/24"], "nothing of standalone is left");
        });
        let preempted = world.snapshot().sharing;
        // Whatever happens to full while the network runs, standalone does not come back.
        world.events.clear();
        let mut commands = vec![
            Command::StartUsing,
            Command::StopUsing,
            Command::ForceStart,
            Command::Unshare,
            Command::StartUsing,
            Command::ServiceStop(Part::SharedAccess),
            Command::ServiceStart(Part::SharedAccess),
        ];
        for command in commands.drain(..) {
            let _ = world.ask(2, ROOT, command);
            assert_eq!(world.state(), HostedState::Active);
        }
        checks!(M079:
            assert_eq!((preempted.mode, preempted.public), (SharingMode::Full, Some(name("eth0"))));
            assert!(!modes(&world).contains(&SharingMode::Standalone), "{:?}", modes(&world));
            assert_eq!((mode(&world), world.dhcp_on("hnap0")), (SharingMode::Off, false));
            world.root(Command::ForceStop).unwrap();
            world.ask(2, USER, Command::StartUsing).unwrap();
            assert_eq!(mode(&world), SharingMode::Standalone, "it takes a start of the network, with full off");
        );
    }
}

#[test]
fn full_sharing_serves_192_168_137_whatever_is_private() {
    for private in [vec![HN], vec![over("eth1")], vec![over("eth1"), over("eth2")]] {
        let mut world = standalone();
        share(&mut world, "eth0", &private);
        let segment = world.applied.services.segment.clone().unwrap();
        checks!(M090:
            assert_eq!(segment.address.to_string(), "192.168.137.1/24");
            assert_eq!(world.snapshot().sharing.subnet, Some(segment.address));
            let pool = (segment.dhcp.first.to_string(), segment.dhcp.last.to_string());
            assert_eq!(pool, ("192.168.137.2".to_owned(), "192.168.137.254".to_owned()));
            assert_eq!(segment.dhcp.router.unwrap().to_string(), "192.168.137.1");
        );
    }
}

#[test]
fn starting_the_network_under_full_sharing_over_it_just_starts_it() {
    let mut world = standalone();
    share(&mut world, "eth0", &[HN]);
    world.root(Command::ForceStop).unwrap();
    let before = world.snapshot().sharing;
    assert_eq!((before.mode, world.state()), (SharingMode::Full, HostedState::Idle));
    world.events.clear();
    world.ask(3, USER, Command::StartUsing).unwrap();
    world.assert_converged();
    checks!(M092: {
        assert_eq!(world.states(), [(HostedState::Idle, HostedState::Active, 17)]);
        let after = world.snapshot().sharing;
        assert_eq!((after.mode, after.public, after.subnet), (before.mode, before.public, before.subnet));
        assert!(modes(&world).iter().all(|mode| *mode == SharingMode::Full), "sharing is neither stopped nor started");
        assert_eq!(world.address_on("hnap0").as_deref(), Some("192.168.137.1/24"));
        assert!(world.dhcp_on("hnap0"));
    });
}

#[test]
fn starting_the_network_under_full_sharing_elsewhere_serves_nobody_on_it() {
    let mut world = World::new();
    share(&mut world, "eth0", &[over("eth1")]);
    let before = world.applied.services.clone();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.assert_converged();
    checks!(M093:
        assert_eq!(world.state(), HostedState::Active);
        assert!(!world.dhcp_on("hnap0"));
        assert_eq!(world.address_on("hnap0"), None);
        assert_eq!(world.applied.services, before, "the one server stays where it is");
        assert!(world.dhcp_on("eth1"));
    );
}

#[test]
fn devices_of_the_network_lose_their_addresses_when_full_sharing_begins_elsewhere() {
    let mut world = standalone();
    world.join(mac(1), KeyRole::Primary);
    let lease = Lease {
        mac: mac(1),
        address: core::net::Ipv4Addr::new(192, 168, 173, 9).into(),
        hostname: "phone".into(),
        expires: hn_types::Wall::from_unix(1_800_000_000),
    };
    world.platform(PlatformEvent::Service(ServiceEvent::LeaseBound(lease)));
    let reached = |world: &World| world.snapshot().devices.iter().find_map(|device| device.ipv4);
    assert!(reached(&world).is_some());
    share(&mut world, "eth0", &[over("eth1")]);
    checks!(M094:
        assert_eq!(world.state(), HostedState::Active, "the wireless part goes on");
        assert_eq!(world.snapshot().hosted_network.peers.len(), 1, "nobody is sent away");
        assert!(!world.dhcp_on("hnap0"), "no address is given or renewed");
        assert_eq!(world.address_on("hnap0"), None, "the host is not reached any more");
        assert_eq!(reached(&world), None, "and the lease is void");
    );
}

#[test]
fn a_public_side_without_internet_is_shared_all_the_same() {
    // eth3 is no way to the Internet: no default route leads there, and nobody resolves names.
    let mut world = World::new();
    world.platform(PlatformEvent::Network(NetworkView {
        default_route: None,
        resolvers: Vec::new(),
        ..network()
    }));
    world.ask(2, USER, Command::StartUsing).unwrap();
    share(&mut world, "eth3", &[HN]);
    checks!(M078:
        assert_eq!((mode(&world), world.snapshot().sharing.phase), (SharingMode::Full, SharingPhase::Running));
        assert_eq!(world.applied.firewall.segments[0].reach, Reach::Public(name("eth3")));
        assert!(world.applied.forwarding.ipv4.contains(&name("eth3")));
        assert!(world.dhcp_on("hnap0"));
    );
}

#[test]
fn addresses_are_served_on_while_the_public_side_is_lost() {
    for private in [HN, over("eth1")] {
        let interface = if private == HN { "hnap0" } else { "eth1" };
        let mut world = standalone();
        share(&mut world, "eth0", &[private]);
        let dhcp =
            |world: &World| world.applied.services.segment.as_ref().map(|s| (s.interface, s.dhcp.clone()));
        let before = dhcp(&world).unwrap();
        for view in [
            // The route is gone, then the interface.
            NetworkView { default_route: None, resolvers: Vec::new(), ..network() },
            NetworkView {
                default_route: None,
                links: network().links.into_iter().filter(|link| link.name != name("eth0")).collect(),
                ..network()
            },
        ] {
            world.platform(PlatformEvent::Network(view));
            world.run();
            world.assert_converged();
            checks!(M083:
                assert_eq!(dhcp(&world).as_ref(), Some(&before), "not even restarted with other words");
                assert_eq!(world.address_on(interface).as_deref(), Some("192.168.137.1/24"));
                assert_eq!(mode(&world), SharingMode::Full);
            );
        }
    }
}

#[test]
fn another_server_on_the_machine_is_named_until_it_is_gone() {
    type Said = fn(bool) -> ServiceEvent;
    let dhcp: Said = |held| ServiceEvent::Trouble {
        kind: ServiceTrouble::DhcpPort,
        cause: if held { "UDP port 67 is held by dnsmasq".into() } else { String::new() },
    };
    let dns: Said = |held| ServiceEvent::Dns {
        serving: !held,
        cause: if held { "UDP port 53 is held by unbound".into() } else { String::new() },
    };
    let moved: Said = |held| ServiceEvent::DnsMoved {
        moved: if held { vec![MovedPort { protocol: Protocol::Tcp, port: 10_053 }] } else { Vec::new() },
        cause: if held { "TCP port 53 is held by unbound".into() } else { String::new() },
    };
    for (said, port, who) in [(dhcp, "67", "dnsmasq"), (dns, "53", "unbound"), (moved, "53", "unbound")] {
        let mut world = World::new();
        share(&mut world, "eth0", &[over("eth1")]);
        world.events.clear();
        world.platform(PlatformEvent::Service(said(true)));
        let detail = world.snapshot().sharing.detail;
        checks!(M122:
            assert!(detail.iter().any(|text| text.contains(port) && text.contains(who)), "{detail:?}");
            assert!(world.events.iter().any(|event| matches!(event, Event::Trouble { .. })), "{:?}", world.events);
            assert_eq!(mode(&world), SharingMode::Full, "what can go on goes on");
            world.platform(PlatformEvent::Service(said(false)));
            assert!(world.snapshot().sharing.detail.is_empty());
        );
    }
}

#[test]
fn whoever_holds_port_53_of_both_families_is_named_once() {
    let mut world = World::new();
    share(&mut world, "eth0", &[over("eth1")]);
    let held = || String::from("TCP port 53 is held by unbound");
    let trouble = |cause| ServiceEvent::Trouble { kind: ServiceTrouble::Ipv6, cause };
    let moved = vec![MovedPort { protocol: Protocol::Tcp, port: 10_053 }];
    world.platform(PlatformEvent::Service(ServiceEvent::DnsMoved { moved, cause: held() }));
    world.platform(PlatformEvent::Service(trouble(held())));
    let detail = || vec![format!("{}; until then devices are answered past it", held())];
    assert_eq!(world.snapshot().sharing.detail, detail());
    // Another trouble is another sentence; and where nothing moved, nothing is left out.
    let other = "UDP port 547 is held by dnsmasq";
    world.platform(PlatformEvent::Service(trouble(format!("{other}; {}", held()))));
    assert_eq!(world.snapshot().sharing.detail, [&detail()[0], other]);
    world.platform(PlatformEvent::Service(trouble(held())));
    let gone = ServiceEvent::DnsMoved { moved: Vec::new(), cause: String::new() };
    world.platform(PlatformEvent::Service(gone));
    assert_eq!(world.snapshot().sharing.detail, [held()]);
}

#[test]
fn while_port_53_is_held_what_devices_ask_is_led_to_the_port_that_the_name_server_has() {
    let mut world = World::new();
    share(&mut world, "eth0", &[over("eth1")]);
    let before = world.applied.clone();
    let moved = vec![MovedPort { protocol: Protocol::Tcp, port: 10_053 }];
    let event = ServiceEvent::DnsMoved { moved, cause: "TCP port 53 is held by dnsmasq".into() };
    world.platform(PlatformEvent::Service(event));
    world.run();
    world.assert_converged();
    let led = NameRedirect {
        private: name("eth1"),
        protocol: Protocol::Tcp,
        address: [192, 168, 137, 1].into(),
        port: 10_053,
    };
    assert_eq!(world.applied.firewall.names, [led]);
    assert_eq!(world.applied.services, before.services, "nobody loses a lease for it");
    assert!(world.snapshot().sharing.dns);
    // On another interface the port is asked for anew.
    share(&mut world, "eth0", &[over("eth2")]);
    world.assert_converged();
    assert!(world.applied.firewall.names.is_empty());
}

#[test]
fn a_network_and_a_dial_up_connection_can_be_public() {
    let dialled = |media| {
        let lan = network().links.into_iter().find(|link| link.name == name("eth3")).unwrap();
        let ppp = Link { name: name("ppp1"), index: 40, media, address: None, ..lan };
        let mut view = network();
        view.links.push(ppp);
        view
    };
    for media in [MediaType::Phone, MediaType::Pppoe, MediaType::Isdn] {
        for public in ["eth3", "ppp1"] {
            let mut world = World::new();
            world.platform(PlatformEvent::Network(dialled(media)));
            share(&mut world, public, &[over("eth1")]);
            checks!(M121:
                assert_eq!(world.snapshot().sharing.public, Some(name(public)), "{media:?}");
                assert_eq!(world.applied.firewall.segments[0].reach, Reach::Public(name(public)));
                assert!(world.applied.forwarding.ipv4.contains(&name(public)));
                assert!(world.dhcp_on("eth1"));
            );
        }
    }
}

#[test]
fn what_is_not_allowed_or_not_there_fails_before_anything_is_changed() {
    type Prepare = fn(&mut World);
    let cases: [(Prepare, Reason); 4] = [
        (|world| drop(world.root(Command::SetEnabled(false)).unwrap()), Reason::InterfaceUnavailable),
        (
            |world| {
                let policy = Policy { hosted_network: Some(false), ..Policy::default() };
                world.core.handle_policy(policy, world.now);
                world.pass(std::time::Duration::ZERO);
            },
            Reason::GpDenied,
        ),
        (|world| world.platform(PlatformEvent::Radio(RadioView::default())), Reason::InterfaceUnavailable),
        (
            |world| {
                let mut view = crate::world::radio();
                view.adapters[0].blocked.soft = true;
                world.platform(PlatformEvent::Radio(view));
            },
            Reason::InterfaceUnavailable,
        ),
    ];
    for (prepare, reason) in cases {
        for command in
            [Command::StartUsing, Command::ForceStart, up(Some(PublicChoice::Auto), &[]), up(None, &[])]
        {
            let mut world = World::new();
            world.root(Command::Share(pair("eth3", &[over("eth1")]))).unwrap();
            prepare(&mut world);
            world.run();
            let (before, disk, view) = (world.applied.clone(), world.disk.clone(), world.snapshot());
            world.history.clear();
            world.events.clear();
            let failure = world.root(command.clone()).unwrap_err();
            checks!(M135:
                assert_eq!((failure.code, failure.step), (ErrorCode::InvalidState, Step::Check), "{command:?}");
                assert_eq!(failure.reason, reason, "{command:?}");
                assert!(world.history.is_empty() && world.quiet(), "{command:?} did {:?}", world.history);
                assert!(world.events.is_empty(), "{:?}", world.events);
                assert_eq!((&world.applied, &world.disk), (&before, &disk));
                assert_eq!(world.snapshot().sharing, view.sharing);
            );
        }
    }
}

#[test]
fn the_pair_that_ran_is_remembered_and_comes_back_when_the_new_one_ends_or_fails() {
    for (public, private) in [("eth3", over("eth1")), ("eth0", over("eth1")), ("eth3", HN)] {
        let mut world = standalone();
        world.root(Command::ForceStop).unwrap();
        share(&mut world, public, &[private]);
        let (before, sharing) = (world.lasting(), world.snapshot().sharing);
        world.root(up(Some(out("eth0")), &[HN])).unwrap();
        assert_eq!(world.snapshot().sharing.public, Some(name("eth0")), "the new pair differs, and runs");
        world.root(Command::Down).unwrap();
        world.assert_converged();
        let after_down = (world.lasting(), world.snapshot().sharing);
        world.script(Step::Services, &[Behaviour::FailNew]);
        world.root(up(Some(out("eth0")), &[HN])).unwrap_err();
        world.assert_converged();
        checks!(M138:
            assert_eq!(after_down, (before.clone(), sharing.clone()), "{public} {private:?} after the new pair ended");
            assert_eq!(world.lasting(), before, "{public} {private:?} after the new pair failed");
            assert_eq!(world.snapshot().sharing, sharing);
        );
    }
}

#[test]
fn full_sharing_that_fails_brings_back_what_ran_and_stops_the_network() {
    type Prepare = fn(&mut World);
    let nothing: Prepare = |_| {};
    let other: Prepare = |world| share(world, "eth3", &[over("eth1")]);
    let running: Prepare = |world| drop(world.ask(3, USER, Command::StartUsing).unwrap());
    for lane in FULL_LANES {
        for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
            for (prepare, ran) in [(nothing, false), (other, true), (running, false)] {
                let mut world = World::new();
                prepare(&mut world);
                let pair = world.snapshot().sharing.private;
                // Forcing a running network down is a success of its own; what fails is what full sharing needs.
                let steps = if world.state() == HostedState::Active {
                    vec![Behaviour::Done, behaviour]
                } else {
                    vec![behaviour]
                };
                if lane == Step::Forwarding {
                    world.script(lane, &[behaviour]);
                } else {
                    world.script(lane, &steps);
                }
                let failure = world.root(up(Some(out("eth0")), &[HN])).unwrap_err();
                world.assert_converged();
                checks!(M139:
                    assert_eq!(failure.step, lane, "{failure}");
                    assert_eq!((world.state(), world.applied.ap.is_some()), (HostedState::Idle, false));
                    assert_eq!(world.snapshot().hosted_network.references, 0);
                    if ran {
                        assert_eq!(world.snapshot().sharing.private, pair, "restarted on the cached pair");
                        assert_eq!((mode(&world), world.dhcp_on("eth1")), (SharingMode::Full, true));
                    } else {
                        assert_eq!(mode(&world), SharingMode::Off, "{lane} {behaviour:?}");
                        assert!(world.applied.services.segment.is_none());
                    }
                );
            }
        }
    }
}

#[test]
fn network_and_sharing_come_and_go_together() {
    let wanted = |world: &World| {
        let snapshot = world.snapshot();
        let active = snapshot.hosted_network.state == HostedState::Active;
        let on_the_pair = snapshot.sharing.mode == SharingMode::Full
            && snapshot.sharing.public == Some(name("eth0"))
            && snapshot.sharing.private == [name("hnap0")]
            && world.dhcp_on("hnap0");
        (active, on_the_pair)
    };
    for lane in [Step::Store, Step::Radio, Step::Links, Step::Firewall, Step::Forwarding, Step::Services] {
        for behaviour in [Behaviour::Done, Behaviour::FailOld, Behaviour::FailNew, Behaviour::Hang] {
            let mut world = World::new();
            share(&mut world, "eth3", &[over("eth1")]);
            let before = world.lasting();
            world.script(lane, &[behaviour]);
            let request = world.send(1, ROOT, up(Some(out("eth0")), &[HN]));
            world.run();
            if behaviour == Behaviour::Hang {
                let (deadline, _) = world.core.poll_timeout().unwrap();
                world.pass(deadline.since(world.now.mono));
            }
            world.run_to_the_end();
            let done = world.replies.remove(&request).unwrap();
            world.assert_converged();
            checks!(M140:
                if done.is_ok() {
                    assert_eq!(wanted(&world), (true, true), "{lane} {behaviour:?}");
                } else {
                    assert_eq!(wanted(&world), (false, false), "{lane} {behaviour:?}");
                    assert_eq!(world.lasting(), before, "{lane} {behaviour:?}: all as before the call");
                }
                assert_eq!(done.is_ok(), behaviour == Behaviour::Done, "{lane} {behaviour:?} {done:?}");
            );
        }
    }
}

#[test]
fn another_private_side_moves_the_servers_and_leaves_the_old_side_without() {
    for (old, new) in [(HN, over("eth1")), (over("eth1"), HN), (over("eth1"), over("eth2"))] {
        let interface = |choice: &PrivateChoice| match choice {
            PrivateChoice::HostedNetwork => "hnap0".to_owned(),
            PrivateChoice::Interface(name) => name.to_string(),
        };
        let mut world = standalone();
        share(&mut world, "eth0", &[old]);
        assert!(world.dhcp_on(&interface(&old)));
        world.history.clear();
        share(&mut world, "eth0", &[new]);
        checks!(M088:
            assert!(!world.dhcp_on(&interface(&old)));
            assert_eq!(world.address_on(&interface(&old)), None, "the host has no address there");
            assert!(!world.applied.forwarding.ipv4.contains(&name(&interface(&old))));
            assert!(world.dhcp_on(&interface(&new)));
            assert_eq!(world.address_on(&interface(&new)).as_deref(), Some("192.168.137.1/24"));
        );
    }
}

#[test]
fn the_configuration_may_choose_other_networks() {
    let mut config = Config::new("h", "m");
    config.full_subnet = Some("10.77.0.1/24".parse().unwrap());
    let mut world = World::with(config);
    share(&mut world, "eth0", &[over("eth1")]);
    assert_eq!(world.address_on("eth1").as_deref(), Some("10.77.0.1/24"));
}
