//! Every row of the state table (spec/hosted-network.md §2).

use std::time::Duration;

use hn_conformance::checks;
use hn_core::{Command, Config, Part};
use hn_types::{
    ErrorCode, KeyRole, Reason, Step,
    observed::{ApEvent, PlatformEvent},
    radio::{IfType, RadioInterface, RadioSwitch, RadioView},
    settings::Policy,
    view::{Event, HostedState},
};

use crate::world::{Behaviour, ROOT, USER, World, adapter, mac, network, radio, station, view};

const UNAVAILABLE: HostedState = HostedState::Unavailable;
const IDLE: HostedState = HostedState::Idle;
const ACTIVE: HostedState = HostedState::Active;

fn active() -> World {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(world.states(), [(IDLE, ACTIVE, 17)]);
    world.events.clear();
    world
}

fn adapters(change: impl FnOnce(&mut hn_types::radio::Adapter)) -> PlatformEvent {
    let mut adapter = adapter();
    change(&mut adapter);
    PlatformEvent::Radio(view(vec![adapter]))
}

fn adhoc() -> RadioInterface {
    RadioInterface { iftype: IfType::Adhoc, ..station("ibss0", Some(2437)) }
}

#[test]
fn a_capable_adapter_makes_it_available() {
    let mut world = World::bare(Config::new("h", "m"));
    assert_eq!(world.state(), UNAVAILABLE);
    world.platform(PlatformEvent::Network(network()));
    world.platform(PlatformEvent::Radio(radio()));
    assert_eq!(world.states(), [(UNAVAILABLE, IDLE, 11)]);
}

#[test]
fn an_adapter_that_leaves_and_returns() {
    let mut world = World::new();
    world.platform(PlatformEvent::Radio(RadioView::default()));
    world.platform(PlatformEvent::Radio(radio()));
    assert_eq!(world.states(), [(IDLE, UNAVAILABLE, 12), (UNAVAILABLE, IDLE, 11)]);
}

#[test]
fn an_ad_hoc_connection_blocks_and_is_never_followed_by_a_restart() {
    let mut world = active();
    world.platform(adapters(|a| a.interfaces.push(adhoc())));
    world.run();
    world.platform(PlatformEvent::Radio(radio()));
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 15), (UNAVAILABLE, IDLE, 16)]);
    assert!(world.applied.ap.is_none());
}

#[test]
fn an_ad_hoc_connection_blocks_an_idle_network_too() {
    let mut world = World::new();
    world.platform(adapters(|a| a.interfaces.push(adhoc())));
    world.platform(PlatformEvent::Radio(radio()));
    assert_eq!(world.states(), [(IDLE, UNAVAILABLE, 15), (UNAVAILABLE, IDLE, 16)]);
}

#[test]
fn a_lost_access_point_is_announced_cleared_away_and_not_restarted() {
    let mut world = active();
    world.join(mac(1), KeyRole::Primary);
    world.ap_dies();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 13)]);
    assert_eq!(world.snapshot().hosted_network.references, 0, "references are void");
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 13), (UNAVAILABLE, IDLE, 14)]);
    world.assert_converged();
    assert!(world.applied.ap.is_none() && world.applied.links.addresses.is_empty());
    assert_eq!(world.ask(1, USER, Command::StopUsing).unwrap_err().reason, Reason::StopBeforeStart);
}

#[test]
fn a_network_started_again_right_after_it_was_lost_is_whole() {
    let mut world = active();
    world.ap_dies();
    world.run();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.assert_converged();
    assert_eq!(world.state(), ACTIVE);
    assert!(world.dhcp_on("hnap0"));
}

#[test]
fn an_access_point_lost_before_its_start_was_answered_fails_the_start() {
    let mut world = World::new();
    let request = world.send(1, USER, Command::StartUsing);
    world.carry_out(Step::Store, Behaviour::Done);
    world.carry_out(Step::Firewall, Behaviour::Done);
    world.ap(ApEvent::Lost { cause: "hostapd ended".into() });
    world.run();
    let failure = world.replies.remove(&request).unwrap().unwrap_err();
    assert_eq!((failure.step, failure.reason), (Step::Radio, Reason::ApStartFailed));
    assert!(failure.cause.contains("hostapd ended"), "{failure}");
    assert_eq!(world.state(), IDLE);
    world.assert_converged();
}

#[test]
fn disallowing_and_allowing() {
    let mut world = active();
    world.root(Command::SetEnabled(false)).unwrap();
    assert!(!world.snapshot().hosted_network.enabled);
    assert!(!world.core.connections().iter().any(|c| c.hosted_network), "the adapter disappears");
    let failure = world.ask(1, USER, Command::StartUsing).unwrap_err();
    assert_eq!((failure.code.win32(), failure.reason.number()), (5023, 12));
    world.root(Command::SetEnabled(true)).unwrap();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 17), (UNAVAILABLE, IDLE, 17)]);
    assert_eq!(world.disk.enabled, Some(true));
}

#[test]
fn policy_beats_users() {
    let mut world = active();
    world.core.handle_policy(Policy { hosted_network: Some(false), sharing: None }, world.now);
    world.run();
    world.pass(Duration::ZERO);
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 23)]);
    let failure = world.ask(1, USER, Command::StartUsing).unwrap_err();
    assert_eq!((failure.code.win32(), failure.reason.number()), (5023, 23));
    assert_eq!(world.root(Command::SetEnabled(true)).unwrap_err().code.win32(), 5);
    let view = world.snapshot().hosted_network;
    assert_eq!((view.enabled, view.set_by), (false, hn_types::view::SetBy::Policy));
    world.core.handle_policy(Policy::default(), world.now);
    world.pass(Duration::ZERO);
    assert_eq!(world.state(), IDLE);
}

#[test]
fn a_start_that_fails_in_the_driver_leaves_it_idle_with_reason_19() {
    let mut world = World::new();
    world.script(Step::Radio, &[Behaviour::FailOld]);
    let failure = world.ask(1, USER, Command::StartUsing).unwrap_err();
    assert_eq!(
        (failure.code, failure.reason, failure.step),
        (ErrorCode::GenFailure, Reason::ApStartFailed, Step::Radio)
    );
    assert_eq!((failure.object.as_str(), failure.remedy.as_str()), ("target of radio", "stop scripting"));
    assert!(world.states().is_empty());
    let view = world.snapshot().hosted_network;
    assert_eq!((view.state, view.reason, view.references), (IDLE, Reason::ApStartFailed, 0));
    assert!(view.detail.contains("scripted"));
    world.assert_converged();
}

#[test]
fn the_last_reference_stops_it() {
    let mut world = active();
    world.ask(1, USER, Command::StopUsing).unwrap();
    assert_eq!(world.states(), [(ACTIVE, IDLE, 17)]);
}

#[test]
fn force_start_and_force_stop() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    world.root(Command::ForceStop).unwrap();
    world.root(Command::ForceStop).unwrap();
    assert_eq!(world.states(), [(IDLE, ACTIVE, 17), (ACTIVE, IDLE, 17)]);
}

#[test]
fn a_client_that_dies_takes_its_reference_along() {
    let mut world = active();
    world.close(1);
    world.run();
    assert_eq!(world.states(), [(ACTIVE, IDLE, 18)]);
}

#[test]
fn new_settings_stop_it() {
    let mut world = active();
    world.ask(2, USER, Command::SetMaxPeers(5)).unwrap();
    assert_eq!(world.states(), [(ACTIVE, IDLE, 26)]);
    assert_eq!(world.disk.connection.as_ref().unwrap().max_peers, 5);
}

#[test]
fn a_new_primary_key_stops_it() {
    let mut world = active();
    let secondary = hn_types::SecondaryKey {
        key: hn_types::Key::passphrase("of the guests".into()).unwrap(),
        persistent: true,
    };
    world.ask(2, USER, Command::SetSecondaryKey(Some(secondary.clone()))).unwrap();
    let old = world.disk.clone();
    hn_conformance::checks!(M029, M031, M035:
        world.ask(2, USER, Command::RefreshPrimaryKey).unwrap();
        assert_eq!(world.states(), [(ACTIVE, IDLE, 26)]);
        assert!(world.disk.primary_key.is_some());
        assert_ne!(world.disk.primary_key, old.primary_key);
    );
    hn_conformance::checks!(M033:
        assert_eq!(world.disk.secondary_key, old.secondary_key);
        let kept = hn_core::Reply::SecondaryKey(Some(secondary));
        assert_eq!(world.ask(2, USER, Command::QuerySecondaryKey), Ok(kept));
    );
}

#[test]
fn a_removed_adapter_ends_it_at_once() {
    let mut world = active();
    world.join(mac(1), KeyRole::Primary);
    world.platform(PlatformEvent::Radio(RadioView::default()));
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 12)]);
    world.run();
    world.assert_converged();
}

#[test]
fn a_radio_switch_ends_it_and_is_reported() {
    for blocked in [RadioSwitch { soft: true, hard: false }, RadioSwitch { soft: false, hard: true }] {
        let mut world = active();
        world.platform(adapters(|a| a.blocked = blocked));
        world.run();
        assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 12)]);
        assert!(
            world
                .events
                .contains(&Event::RadioChanged { software_on: !blocked.soft, hardware_on: !blocked.hard })
        );
        world.platform(PlatformEvent::Radio(radio()));
        assert_eq!(world.states()[1], (UNAVAILABLE, IDLE, 11));
    }
}

#[test]
fn the_wlan_part_can_be_stopped_and_started() {
    let mut world = active();
    world.root(Command::ServiceStop(Part::Wlan)).unwrap();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 3)]);
    for command in [Command::StartUsing, Command::QuerySettings, Command::ForceStop] {
        assert_eq!(world.root(command).unwrap_err().code.win32(), 1062);
    }
    world.root(Command::ServiceStart(Part::Wlan)).unwrap();
    assert_eq!(world.state(), IDLE);
}

#[test]
fn shutting_down_leaves_nothing_and_refuses_what_follows() {
    let mut world = active();
    let request = world.send(1, ROOT, Command::Shutdown);
    let late = world.send(2, USER, Command::StartUsing);
    world.run();
    assert_eq!(world.replies.remove(&request), Some(Ok(hn_core::Reply::Done)));
    let failure = world.replies.remove(&late).unwrap().unwrap_err();
    // While it shuts down the network is in the wrong state; afterwards there is no service.
    checks!(M020: assert_eq!((failure.code.win32(), failure.reason.number()), (5023, 3)));
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 3)]);
    assert_eq!(world.applied, hn_core::SystemPlan::default());
    let failure = world.ask(2, USER, Command::StartUsing).unwrap_err();
    assert_eq!((failure.code.win32(), failure.reason.number()), (1062, 3));
}

#[test]
fn shutting_down_in_the_middle_of_a_start_undoes_it() {
    let mut world = World::new();
    let start = world.send(1, USER, Command::StartUsing);
    world.carry_out(Step::Store, Behaviour::Done);
    world.carry_out(Step::Firewall, Behaviour::Done);
    let end = world.send(1, ROOT, Command::Shutdown);
    world.run();
    assert_eq!(world.replies.remove(&start).unwrap().unwrap_err().reason, Reason::ServiceShuttingDown);
    assert_eq!(world.replies.remove(&end), Some(Ok(hn_core::Reply::Done)));
    assert_eq!(world.applied, hn_core::SystemPlan::default());
}

#[test]
fn shutting_down_a_system_that_refuses_ends_nevertheless_and_says_so() {
    let mut world = active();
    world.script(Step::Services, &[Behaviour::FailOld; 9]);
    let end = world.send(1, ROOT, Command::Shutdown);
    for _ in 0..6 {
        world.run();
        world.pass(Duration::from_secs(60));
    }
    assert_eq!(world.replies.remove(&end).unwrap().unwrap_err().step, Step::Services);
    assert!(world.applied.ap.is_none(), "one stubborn lane keeps no other from going down");
}

#[test]
fn departures_come_before_the_stop() {
    let mut world = active();
    world.join(mac(1), KeyRole::Primary);
    world.join(mac(2), KeyRole::Secondary);
    world.root(Command::ForceStop).unwrap();
    let left = world.events.iter().filter(|event| matches!(event, Event::PeerLeft { .. })).count();
    assert_eq!(left, 2);
    assert!(matches!(
        world.events.iter().rfind(|e| !matches!(e, Event::SharingChanged { .. })),
        Some(Event::StateChanged { .. })
    ));
}

#[test]
fn stations_are_listed_once_and_strangers_leave_silently() {
    let mut world = active();
    world.join(mac(1), KeyRole::Primary);
    world.join(mac(1), KeyRole::Secondary);
    world.ap(ApEvent::StationLeft { mac: mac(9), timed_out: false });
    let peers = world.snapshot().hosted_network.peers;
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].key, KeyRole::Secondary);
    world.ap(ApEvent::StationLeft { mac: mac(1), timed_out: true });
    assert!(world.events.contains(&Event::PeerLeft { mac: mac(1), reason: Reason::PeerTimeout }));
}

#[test]
fn a_station_that_joins_while_the_start_is_finishing_is_announced_after_it() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    for lane in [Step::Store, Step::Firewall, Step::Radio] {
        world.carry_out(lane, Behaviour::Done);
    }
    world.join(mac(1), KeyRole::Primary);
    assert!(!world.events.iter().any(|event| matches!(event, Event::PeerJoined { .. })));
    world.run();
    assert!(world.events.contains(&Event::PeerJoined { mac: mac(1), key: KeyRole::Primary }));
}

#[test]
fn a_wrong_key_is_reported_at_most_every_ten_seconds() {
    let mut world = active();
    let refused =
        |world: &World| world.events.iter().filter(|e| matches!(e, Event::PeerRefused { .. })).count();
    for _ in 0..5 {
        world.ap(ApEvent::KeyMismatch { mac: mac(1) });
    }
    assert_eq!(refused(&world), 1);
    world.pass(Duration::from_secs(10));
    world.ap(ApEvent::KeyMismatch { mac: mac(1) });
    assert_eq!(refused(&world), 2);
}

#[test]
fn no_clock_runs_while_nobody_is_there() {
    let mut world = active();
    assert_eq!(world.core.poll_timeout(), None);
    world.join(mac(1), KeyRole::Primary);
    assert!(world.core.poll_timeout().is_some());
    world.pass(Duration::from_secs(5));
    assert!(!world.quiet(), "stations are asked");
    world.run();
    world.ap(ApEvent::StationLeft { mac: mac(1), timed_out: false });
    assert_eq!(world.core.poll_timeout(), None);
}

#[test]
fn status_tells_what_runs() {
    let mut world = active();
    let view = world.snapshot().hosted_network;
    assert_eq!(view.channel, Some(11), "the channel of the connected station");
    assert_eq!(view.frequency_mhz, Some(2462));
    assert_eq!(view.interface.unwrap().as_str(), "hnap0");
    assert!(view.bssid.unwrap().is_local());
    let guid = view.device_guid.clone().unwrap();
    // The firmware moved it, and the station with it; the view of the station is on its way.
    world.ap(ApEvent::ChannelChanged { frequency_mhz: 2412 });
    assert_eq!(world.snapshot().hosted_network.channel, Some(1));
    assert!(world.quiet(), "following a channel is not a change of ours");
    world.root(Command::ForceStop).unwrap();
    let view = world.snapshot().hosted_network;
    assert_eq!((view.interface, view.channel, view.bssid), (None, None, None));
    assert_eq!(view.device_guid, Some(guid), "filled in while the adapter exists");
}
