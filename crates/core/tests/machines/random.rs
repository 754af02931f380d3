//! Any order of anything: the seven invariants of spec/sequences.md §6, and that everything ends as it should.

use std::collections::BTreeMap;
use std::time::Duration;

use hn_core::{Command, Part, RequestId, SystemPlan, UpRequest};
use hn_types::{
    Key, KeyRole, SecondaryKey, Step,
    network::NetworkView,
    observed::{ApEvent, PlatformEvent},
    radio::{IfType, RadioInterface, RadioSwitch, RadioView},
    settings::{Policy, PrivateChoice, PublicChoice, SharingPair},
    view::{Event, HostedState, SharingMode},
};
use proptest::{collection::vec, prelude::*};

use crate::world::{
    Behaviour, HN, ROOT, World, adapter, mac, name, network, out, over, radio, station, view,
};

#[derive(Clone, Debug)]
enum Input {
    Open(u64),
    Close(u64),
    Send(u64, Command),
    /// The oldest effect of the lane.
    Answer(Step, Behaviour),
    /// The newest effect of the lane overtakes the hung ones before it.
    Overtake(Step),
    Pass(u64),
    Radio(u8),
    Network(u8),
    Policy(Option<bool>, Option<bool>),
    Join(u8, KeyRole),
    Leave(u8),
    Lost,
    Run,
}

fn private() -> impl Strategy<Value = Vec<PrivateChoice>> {
    prop_oneof![
        4 => Just(vec![HN]),
        2 => Just(vec![over("eth1")]),
        1 => Just(vec![over("eth2")]),
        1 => Just(vec![HN, over("eth1")]),
        1 => Just(vec![over("eth1"), over("eth2")]),
        1 => Just(vec![]),
    ]
}

fn public() -> impl Strategy<Value = PublicChoice> {
    prop_oneof![2 => Just(PublicChoice::Auto), 1 => Just(out("eth0")), 1 => Just(out("eth3"))]
}

fn command() -> impl Strategy<Value = Command> {
    let key = |text: &str| Key::passphrase(text.into()).unwrap();
    let secondary = move |persistent| {
        prop_oneof![Just("key number one"), Just("key number two")]
            .prop_map(move |text| Command::SetSecondaryKey(Some(SecondaryKey { key: key(text), persistent })))
    };
    prop_oneof![
        6 => Just(Command::StartUsing),
        4 => Just(Command::StopUsing),
        1 => Just(Command::ForceStart),
        2 => Just(Command::ForceStop),
        5 => (public(), private())
            .prop_map(|(public, private)| Command::Share(SharingPair { public, private })),
        3 => Just(Command::Unshare),
        5 => (proptest::option::weighted(0.8, public()), private()).prop_map(|(public, private)| {
            Command::Up(UpRequest { public, private, ssid: None, key: None })
        }),
        3 => Just(Command::Down),
        1 => Just(Command::SetMaxPeers(7)),
        1 => any::<bool>().prop_map(Command::SetEnabled),
        1 => Just(Command::RefreshPrimaryKey),
        1 => secondary(true),
        1 => secondary(false),
        1 => Just(Command::SetSecondaryKey(None)),
        1 => Just(Command::ServiceStop(Part::SharedAccess)),
        2 => Just(Command::ServiceStart(Part::SharedAccess)),
        1 => Just(Command::ServiceStop(Part::Wlan)),
        2 => Just(Command::ServiceStart(Part::Wlan)),
    ]
}

fn lane() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Store),
        Just(Step::Radio),
        Just(Step::Links),
        Just(Step::Forwarding),
        Just(Step::Firewall),
        Just(Step::Services),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![6 => Just(Behaviour::Done), 1 => Just(Behaviour::FailOld), 1 => Just(Behaviour::FailNew)]
}

fn input() -> impl Strategy<Value = Input> {
    let role = prop_oneof![Just(KeyRole::Primary), Just(KeyRole::Secondary)];
    prop_oneof![
        2 => (1..=5_u64).prop_map(Input::Open),
        2 => (1..=5_u64).prop_map(Input::Close),
        16 => (1..=5_u64, command()).prop_map(|(session, command)| Input::Send(session, command)),
        20 => (lane(), behaviour()).prop_map(|(lane, behaviour)| Input::Answer(lane, behaviour)),
        1 => lane().prop_map(Input::Overtake),
        2 => prop_oneof![Just(1), Just(6), Just(11), Just(50)].prop_map(Input::Pass),
        2 => (0..5_u8).prop_map(Input::Radio),
        2 => (0..7_u8).prop_map(Input::Network),
        1 => (any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(a, b)| Input::Policy(a, b)),
        3 => (0..4_u8, role).prop_map(|(mac, key)| Input::Join(mac, key)),
        2 => (0..4_u8).prop_map(Input::Leave),
        1 => Just(Input::Lost),
        8 => Just(Input::Run),
    ]
}

fn radio_variant(variant: u8) -> RadioView {
    let mut adapter = adapter();
    match variant {
        1 => return RadioView::default(),
        2 => adapter.blocked = RadioSwitch { soft: true, hard: false },
        3 => {
            adapter.interfaces.push(RadioInterface { iftype: IfType::Monitor, ..station("mon0", None) });
        }
        4 => adapter.interfaces = vec![station("wlan0", Some(5200))],
        _ => {}
    }
    view(vec![adapter])
}

fn network_variant(variant: u8) -> NetworkView {
    let mut view = network();
    match variant {
        1 => view.default_route = Some(name("eth3")),
        2 => {
            view.default_route = None;
            view.links.retain(|link| link.name != name("eth0"));
        }
        3 => view.links.retain(|link| link.name != name("eth1")),
        4 => view.resolvers.clear(),
        5 => view.ipv6.uplinks.clear(),
        6 => view.ipv6.available = false,
        _ => {}
    }
    view
}

/// What a careful observer of the events knows; the invariants are about that.
#[derive(Default)]
struct Observer {
    mode: SharingMode,
    active: bool,
    /// Events seen since the last look.
    seen: usize,
    /// The network was started since sharing was last off.
    started_since_off: bool,
}

impl Observer {
    fn look(&mut self, world: &World) {
        for event in world.events.iter().skip(self.seen) {
            match event {
                Event::StateChanged { new, .. } => {
                    self.active = *new == HostedState::Active;
                    self.started_since_off |= self.active;
                }
                Event::SharingChanged { sharing } => {
                    let (old, new) = (self.mode, sharing.mode);
                    if new == SharingMode::Standalone && old != new {
                        assert_ne!(old, SharingMode::Full, "full never falls back to standalone (2)");
                        assert!(self.started_since_off, "standalone begins with a start of the network (3)");
                    }
                    if new == SharingMode::Off {
                        self.started_since_off = false;
                    }
                    self.mode = new;
                }
                _ => {}
            }
        }
        self.seen = world.events.len();
    }
}

/// At rest only: what the table promises.
fn invariants(world: &World) {
    world.assert_converged();
    let snapshot = world.snapshot();
    let sharing = &snapshot.sharing;
    let active = snapshot.hosted_network.state == HostedState::Active;
    assert_eq!(world.applied.ap.is_some(), active, "the state is true");
    // 1, 4: one mode, one pair, one served segment.
    let segment = world.applied.services.segment.as_ref();
    let over_hn = sharing.mode == SharingMode::Full
        && active
        && world.core.connections().iter().any(|c| c.hosted_network && c.role.as_str() == "private");
    // 5: DHCP for the hosted network if and only if standalone, or full over it.
    let carrier = world.applied.ap.as_ref().map(|ap| ap.bridge.unwrap_or(ap.interface));
    let served = segment.is_some_and(|segment| Some(segment.interface) == carrier);
    assert_eq!(served, sharing.mode == SharingMode::Standalone || over_hn, "{sharing:?}");
    // 6: the documented networks.
    if let Some(segment) = segment {
        let expected = match sharing.mode {
            SharingMode::Standalone => "192.168.173.1/24",
            SharingMode::Full => "192.168.137.1/24",
            SharingMode::Off => panic!("served while off"),
        };
        assert_eq!(segment.address.to_string(), expected);
    }
    assert!(sharing.mode != SharingMode::Standalone || active);
    if active {
        let view = &snapshot.hosted_network;
        assert!(view.forced || view.references > 0, "somebody wants it");
    } else {
        assert_eq!(snapshot.hosted_network.references, 0, "no reference outlives the network");
        assert!(!snapshot.hosted_network.forced);
    }
    let keys = &world.applied.ap.as_ref().map(|ap| ap.keys.entries.clone()).unwrap_or_default();
    for entry in keys {
        if let Some(station) = entry.station {
            assert!(snapshot.hosted_network.peers.iter().any(|peer| peer.mac == station), "a key for nobody");
        }
    }
}

fn check(steps: Vec<Input>) {
    let mut world = World::new();
    let mut observer = Observer { active: false, ..Observer::default() };
    let mut open: BTreeMap<u64, bool> = (1..=5).map(|session| (session, true)).collect();
    let mut asked: BTreeMap<RequestId, u64> = BTreeMap::new();
    for step in steps {
        match step {
            Input::Open(session) => {
                open.insert(session, true);
                world.open(session);
            }
            Input::Close(session) => {
                open.insert(session, false);
                asked.retain(|_, owner| *owner != session);
                world.close(session);
            }
            Input::Send(session, command) => {
                asked.insert(world.send(session, ROOT, command), session);
            }
            Input::Answer(lane, behaviour) => world.carry_out(lane, behaviour),
            Input::Overtake(lane) => world.overtake(lane),
            Input::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
            Input::Radio(variant) => {
                let view = radio_variant(variant);
                world.platform(PlatformEvent::Radio(view));
            }
            Input::Network(variant) => world.platform(PlatformEvent::Network(network_variant(variant))),
            Input::Policy(hosted_network, sharing) => {
                world.core.handle_policy(Policy { hosted_network, sharing }, world.now);
                world.pass(Duration::ZERO);
            }
            Input::Join(who, key) => {
                if world.applied.ap.is_some() {
                    world.join(mac(who), key);
                }
            }
            Input::Leave(who) => world.ap(ApEvent::StationLeft { mac: mac(who), timed_out: false }),
            Input::Lost => {
                if world.applied.ap.is_some() {
                    world.ap_dies();
                }
            }
            Input::Run => {
                world.run_to_the_end();
                invariants(&world);
            }
        }
        observer.look(&world);
    }
    // Everything that was asked by somebody who is still there gets its answer.
    world.run_to_the_end();
    observer.look(&world);
    invariants(&world);
    for (request, session) in &asked {
        assert!(world.replies.contains_key(request), "{request:?} of {session} was never answered");
    }
    // 7: after all sessions are closed nothing is left but what was forced or shared for good.
    for session in 1..=5 {
        world.close(session);
    }
    world.run_to_the_end();
    observer.look(&world);
    invariants(&world);
    let view = world.snapshot().hosted_network;
    assert_eq!(view.references, 0);
    assert_eq!(view.state == HostedState::Active, view.forced, "no dangling reference");
    assert!(world.core.poll_timeout().is_none_or(|(_, what)| what == "station poll"));
    // The end leaves nothing.
    let end = world.send(1, ROOT, Command::Shutdown);
    world.run_to_the_end();
    assert!(world.replies.remove(&end).unwrap().is_ok());
    assert_eq!(world.applied, SystemPlan::default());
    observer.look(&world);
    assert!(!observer.active && observer.mode == SharingMode::Off);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8000, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_anything_keeps_the_invariants(steps in vec(input(), 1..120)) {
        hn_conformance::checks!(M068: check(steps));
    }
}

#[test]
fn sessions_that_only_start_and_stop_agree_with_a_counter() {
    // A reference model small enough to be obviously right.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = vec((1..=4_u64, 0..4_u8), 1..60);
    let agree = runner.run(&strategy, |steps| {
        let mut world = World::new();
        let mut held: BTreeMap<u64, u32> = BTreeMap::new();
        let mut forced = false;
        for (session, action) in steps {
            match action {
                0 => {
                    world.ask(session, ROOT, Command::StartUsing).unwrap();
                    *held.entry(session).or_default() += 1;
                }
                1 => {
                    let count = held.entry(session).or_default();
                    let done = world.ask(session, ROOT, Command::StopUsing).is_ok();
                    prop_assert_eq!(done, *count > 0);
                    *count = count.saturating_sub(1);
                }
                2 => {
                    world.close(session);
                    world.run();
                    held.remove(&session);
                    world.open(session);
                }
                _ => {
                    let command = if forced { Command::ForceStop } else { Command::ForceStart };
                    world.ask(session, ROOT, command).unwrap();
                    if forced {
                        held.clear();
                    }
                    forced = !forced;
                }
            }
            let wanted = forced || held.values().any(|count| *count > 0);
            prop_assert_eq!(world.state() == HostedState::Active, wanted);
            prop_assert_eq!(world.snapshot().hosted_network.references, held.values().sum::<u32>());
        }
        Ok(())
    });
    hn_conformance::checks!(M053: agree.unwrap());
    let _ = radio();
}
