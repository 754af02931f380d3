//! The access point and the station beside it, on a radio that can be in one place only (peers §3, no. 6).

use hn_conformance::checks;
use hn_core::{Command, Config, Effect, RadioWish};
use hn_types::{
    Reason, Step,
    observed::{ApEvent, PlatformEvent},
    radio::{Adapter, RadioView},
    settings::ApSettings,
    view::{Event, HostedState},
    wpa::Wpa,
};

use crate::world::{Behaviour, ROOT, World, adapter, mac, name, station, view};

fn with_station(frequency_mhz: Option<u32>) -> RadioView {
    view(vec![Adapter { interfaces: vec![station("wlan0", frequency_mhz)], ..adapter() }])
}

fn on(world: &mut World, frequency_mhz: Option<u32>) {
    world.platform(PlatformEvent::Radio(with_station(frequency_mhz)));
    world.run();
}

fn running() -> World {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    assert_eq!(world.snapshot().hosted_network.frequency_mhz, Some(2462));
    world.history.clear();
    world
}

fn moved(world: &World) -> Vec<(u32, bool)> {
    let channel = |event: &Event| match event {
        Event::ChannelChanged { channel, following, .. } => Some((*channel, following.is_some())),
        _ => None,
    };
    world.events.iter().filter_map(channel).collect()
}

#[test]
fn failure_6_the_access_point_follows_the_station_without_losing_a_device() {
    let mut world = running();
    world.ap(ApEvent::StationJoined { mac: mac(1), key: hn_types::KeyRole::Primary });
    on(&mut world, Some(2412));
    let hosted = world.snapshot().hosted_network;
    assert_eq!((hosted.channel, hosted.frequency_mhz), (Some(1), Some(2412)));
    assert_eq!(hosted.access_point.following, Some(name("wlan0")));
    assert_eq!(world.history, [Step::Radio], "nothing else is touched");
    assert_eq!(hosted.peers.len(), 1, "and nobody has left");
    assert_eq!(moved(&world), [(1, true)]);
    // The same news again moves nothing.
    on(&mut world, Some(2412));
    assert_eq!((world.history.len(), moved(&world).len()), (1, 1));
}

#[test]
fn failure_6_it_goes_when_the_station_is_told_to_and_not_only_after_it() {
    let mut world = running();
    world.ap(ApEvent::StationMoving { interface: name("wlan0"), frequency_mhz: 2437 });
    world.run();
    assert_eq!(world.snapshot().hosted_network.channel, Some(6));
    // The driver still shows the old channel for a moment.
    on(&mut world, Some(2462));
    assert_eq!(world.snapshot().hosted_network.channel, Some(6));
    on(&mut world, Some(2437));
    assert_eq!(moved(&world), [(6, true)]);
    // A station of another radio is nobody's business.
    world.ap(ApEvent::StationMoving { interface: name("wlan7"), frequency_mhz: 2412 });
    assert_eq!(moved(&world).len(), 1);
}

#[test]
fn failure_6_a_driver_that_cannot_move_it_has_it_started_again() {
    let mut world = World::new();
    let mut fixed = with_station(Some(2462));
    fixed.adapters[0].channel_switch = false;
    world.platform(PlatformEvent::Radio(fixed.clone()));
    world.root(Command::ForceStart).unwrap();
    fixed.adapters[0].interfaces[0].frequency_mhz = Some(2412);
    world.platform(PlatformEvent::Radio(fixed));
    world.run();
    let hosted = world.snapshot().hosted_network;
    assert_eq!((hosted.state, hosted.channel), (HostedState::Active, Some(1)));
    assert_eq!(world.applied.ap.as_ref().unwrap().channel, 1);

    // A move that fails is a start at the next attempt.
    let mut world = running();
    world.script(Step::Radio, &[Behaviour::FailOld]);
    on(&mut world, Some(2412));
    assert_eq!(world.snapshot().hosted_network.state, HostedState::Active);
    world.run_to_the_end();
    assert_eq!(world.applied.ap.as_ref().unwrap().channel, 1);
    assert_eq!(world.snapshot().hosted_network.state, HostedState::Active);
}

#[test]
fn failure_6_where_no_access_point_may_go_it_ends_and_says_why() {
    let mut world = running();
    let mut forbidden = with_station(Some(5200));
    for channel in forbidden.adapters[0].bands.iter_mut().flat_map(|band| &mut band.channels) {
        channel.no_ir = channel.frequency_mhz > 5000;
    }
    world.platform(PlatformEvent::Radio(forbidden));
    world.run();
    let hosted = world.snapshot().hosted_network;
    assert_eq!((hosted.state, hosted.reason), (HostedState::Unavailable, Reason::InterfaceUnavailable));
    assert!(hosted.detail.contains("no-IR") && hosted.detail.contains("wlan0"), "{}", hosted.detail);
    assert_eq!(world.applied.ap, None);
}

#[test]
fn a_radio_with_a_channel_to_spare_stays_where_it_is() {
    let mut world = World::new();
    let spare = |frequency| {
        let mut view = with_station(frequency);
        view.adapters[0].combinations[0].channels = 2;
        PlatformEvent::Radio(view)
    };
    world.platform(spare(Some(2462)));
    world.root(Command::ForceStart).unwrap();
    world.platform(spare(Some(2412)));
    world.platform(spare(None));
    world.run();
    assert_eq!(world.snapshot().hosted_network.channel, Some(11));
}

#[test]
fn listening_for_radar_is_seen_with_its_end_and_is_no_hang() {
    let mut config = Config::new("laptop", "0123456789abcdef");
    config.radio = RadioWish { channel: Some(36), ..RadioWish::default() };
    let mut world = World::with(config);
    let mut radar = with_station(None);
    radar.adapters[0].combinations[0].radar_widths = 0b1110;
    radar.adapters[0].bands[1].channels.iter_mut().for_each(|channel| channel.radar = true);
    world.platform(PlatformEvent::Radio(radar));
    world.script(Step::Radio, &[Behaviour::Hang]);
    let request = world.send(1, ROOT, Command::ForceStart);
    world.run();
    world.ap(ApEvent::RadarCheck { frequency_mhz: 5180, seconds: 60 });
    assert!(world.events.contains(&Event::RadarCheck { channel: 36, seconds: 60 }));
    world.pass(std::time::Duration::from_secs(20));
    let check = world.snapshot().hosted_network.access_point.radar_check.unwrap();
    assert_eq!((check.channel, check.total_s, check.remaining_s), (36, 60, 40));
    // The time it takes by law is no missed deadline.
    world.pass(std::time::Duration::from_secs(40));
    assert!(!world.replies.contains_key(&request));
    world.carry_out(Step::Radio, Behaviour::Done);
    world.run();
    assert_eq!(world.replies.remove(&request), Some(Ok(hn_core::Reply::Done)));
    let hosted = world.snapshot().hosted_network;
    assert_eq!((hosted.channel, hosted.access_point.radar_check), (Some(36), None));
}

fn secured(wpa: Wpa, weaker: bool) -> World {
    let mut config = Config::new("laptop", "0123456789abcdef");
    config.access_point = ApSettings { security: Some(wpa), ..ApSettings::default() };
    config.radio.weaker = weaker;
    World::with(config)
}

#[test]
fn a_secondary_key_turns_a_running_wpa3_network_into_a_transition_and_back() {
    let mut world = secured(Wpa::Wpa3, false);
    world.root(Command::ForceStart).unwrap();
    let shown = |world: &World| world.snapshot().hosted_network.access_point;
    assert_eq!((shown(&world).security, shown(&world).security_detail.as_str()), (Some(Wpa::Wpa3), ""));
    checks!(M043: {
        let key = hn_types::Key::passphrase("the second key".into()).unwrap();
        let secondary = hn_types::SecondaryKey { key, persistent: true };
        world.root(Command::SetSecondaryKey(Some(secondary))).unwrap();
        let ap = world.applied.ap.clone().unwrap();
        assert_eq!((ap.wpa, ap.sae.len(), ap.keys.entries.len()), (Wpa::Transition, 1, 2));
    });
    assert!(shown(&world).security_detail.contains("secondary key"), "{:?}", shown(&world));
    world.root(Command::SetSecondaryKey(None)).unwrap();
    assert_eq!(world.applied.ap.as_ref().unwrap().wpa, Wpa::Wpa3);
}

#[test]
fn failure_13_a_driver_that_cannot_what_it_advertises_gets_a_weaker_protection_only_if_that_is_allowed() {
    for (weaker, attempts, outcome) in
        [(false, 1, None), (true, 1, Some(Wpa::Transition)), (true, 2, Some(Wpa::Wpa2)), (true, 3, None)]
    {
        let mut world = secured(Wpa::Wpa3, weaker);
        world.script(Step::Radio, &vec![Behaviour::FailOld; attempts]);
        let started = world.root(Command::ForceStart);
        assert_eq!(started.is_ok(), outcome.is_some(), "{attempts} failures: {started:?}");
        if outcome.is_some() {
            let shown = world.snapshot().hosted_network.access_point;
            assert_eq!(shown.security, outcome);
            assert!(shown.security_detail.contains("failed"), "{}", shown.security_detail);
            // The step that worked is where the next start begins.
            world.root(Command::ForceStop).unwrap();
            world.root(Command::ForceStart).unwrap();
            assert_eq!(world.snapshot().hosted_network.access_point.security, outcome);
        }
    }
}

#[test]
fn failure_13_what_a_driver_is_known_to_break_is_not_used_unless_it_is_trusted() {
    let world = |wpa, trust_driver| {
        let mut config = Config::new("laptop", "0123456789abcdef");
        config.access_point =
            ApSettings { security: Some(wpa), isolated: Some(true), ..ApSettings::default() };
        config.radio.trust_driver = trust_driver;
        let mut world = World::with(config);
        let mut view = with_station(None);
        view.adapters[0].driver = "brcmfmac".into();
        world.platform(PlatformEvent::Radio(view));
        world
    };
    let failure = world(Wpa::Wpa3, false).root(Command::ForceStart).unwrap_err();
    assert!(failure.cause.contains("known to fail"), "{failure:?}");
    assert!(failure.remedy.contains("trust_driver"), "{failure:?}");
    for (trusted, runs) in [(false, Wpa::Wpa2), (true, Wpa::Transition)] {
        let mut world = world(Wpa::Transition, trusted);
        world.root(Command::ForceStart).unwrap();
        assert_eq!(world.applied.ap.as_ref().unwrap().wpa, runs);
        let shown = world.snapshot().hosted_network.access_point;
        assert_eq!((shown.security, shown.isolated), (Some(runs), true));
        assert_eq!(shown.security_detail.contains("known to fail"), !trusted, "{shown:?}");
        assert_eq!(shown.isolation_detail.contains("relay"), !trusted, "{shown:?}");
    }
}

#[test]
fn wpa3_that_is_impossible_is_refused_by_name() {
    let mut world = secured(Wpa::Wpa3, false);
    let mut old = with_station(None);
    old.adapters[0].protection.management_frames = false;
    world.platform(PlatformEvent::Radio(old.clone()));
    let failure = world.root(Command::ForceStart).unwrap_err();
    assert!(failure.cause.contains("management frames"), "{failure:?}");
    assert!(failure.remedy.contains("--security wpa2"), "{failure:?}");
    // A transition serves the devices it can.
    let mut world = secured(Wpa::Transition, false);
    world.platform(PlatformEvent::Radio(old));
    world.root(Command::ForceStart).unwrap();
    let shown = world.snapshot().hosted_network.access_point;
    assert_eq!(shown.security, Some(Wpa::Wpa2));
    assert!(shown.security_detail.contains("management frames"), "{}", shown.security_detail);
}

#[test]
fn isolated_devices_are_not_connected_by_way_of_the_host_either() {
    let mut world = World::new();
    let isolated = ApSettings { isolated: Some(true), ..ApSettings::default() };
    world.root(Command::SetAccessPoint(isolated)).unwrap();
    world.root(Command::ForceStart).unwrap();
    assert!(world.applied.ap.as_ref().unwrap().isolated);
    assert_eq!(world.applied.firewall.apart, [name("hnap0")].into());
    let shown = world.snapshot().hosted_network.access_point;
    assert!(shown.isolated && !shown.hidden);
    // A running network stops when its settings change, and what was not named stays.
    world.root(Command::SetAccessPoint(ApSettings { hidden: Some(true), ..ApSettings::default() })).unwrap();
    assert_eq!(world.applied.firewall.apart, [].into());
    world.root(Command::ForceStart).unwrap();
    let ap = world.applied.ap.as_ref().unwrap();
    assert!(ap.isolated && ap.hidden);
}

#[test]
fn the_address_of_the_access_point_follows_its_policy() {
    use hn_types::settings::AddressPolicy;
    let start = |world: &mut World, address| {
        let settings = ApSettings { address: Some(address), ..ApSettings::default() };
        world.root(Command::SetAccessPoint(settings)).unwrap();
        world.root(Command::ForceStart).unwrap();
        let view = world.snapshot().hosted_network;
        assert!(view.bssid.unwrap().is_local() && !view.bssid.unwrap().is_multicast());
        (view.bssid.unwrap(), view.device_guid.unwrap())
    };
    let mut world = World::new();
    let (permanent, guid) = start(&mut world, AddressPolicy::Permanent);
    assert_eq!(start(&mut world, AddressPolicy::Permanent).0, permanent);
    let (stable, other) = start(&mut world, AddressPolicy::Stable);
    assert_ne!(stable, permanent);
    assert_eq!(other, guid, "the adapter is the same whatever its address");
    assert_eq!(start(&mut world, AddressPolicy::Stable).0, stable);
    let (random, _) = start(&mut world, AddressPolicy::Random);
    assert!(random != stable && random != start(&mut world, AddressPolicy::Random).0);
}

#[test]
fn no_effect_names_a_key_of_sae_where_wpa2_runs() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    let ap = world.applied.ap.as_ref().unwrap();
    assert!(ap.wpa == Wpa::Wpa2 && ap.sae.is_empty() && !ap.hidden && !ap.isolated);
    assert_eq!(Effect::MoveAp(ap.clone()).lane(), Step::Radio);
}
