//! Whole or nothing (spec/sequences.md §2 to §4).

use std::time::Duration;

use hn_conformance::checks;
use hn_core::{Command, SystemPlan, UpRequest};
use hn_types::{
    DriverErrorKind, ErrorCode, Key, KeyRole, Reason, Ssid, Step,
    observed::PlatformEvent,
    part::{Dependency, MissingDependency},
    radio::RadioView,
    settings::{PrivateChoice, PublicChoice},
    view::{HostedState, SharingMode},
};

use crate::world::{Behaviour, HN, ROOT, USER, World, mac, name, out, over, pair};

const LANES: [Step; 5] = [Step::Radio, Step::Links, Step::Firewall, Step::Forwarding, Step::Services];

fn up(public: Option<PublicChoice>, private: &[PrivateChoice]) -> Command {
    Command::Up(UpRequest { public, private: private.to_vec(), ssid: None, key: None })
}

fn up_auto() -> Command {
    up(Some(PublicChoice::Auto), &[])
}

#[test]
fn up_ends_with_the_network_active_and_full_sharing_on_the_pair() {
    let mut world = World::new();
    world.root(up_auto()).unwrap();
    world.assert_converged();
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hosted_network.state, snapshot.hosted_network.references), (HostedState::Active, 1));
    assert_eq!((snapshot.sharing.mode, snapshot.sharing.public), (SharingMode::Full, Some(name("eth0"))));
    assert_eq!(world.address_on("hnap0").as_deref(), Some("192.168.137.1/24"));
    let order: Vec<Step> = world.history.clone();
    assert_eq!(order[..4], [Step::Store, Step::Firewall, Step::Radio, Step::Links]);
    world.root(Command::Down).unwrap();
    assert_eq!(world.applied, SystemPlan::default());
    assert_eq!(world.state(), HostedState::Idle);
}

#[test]
fn each_failing_step_of_up_rolls_back_and_is_named() {
    for lane in LANES {
        for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
            let mut world = World::new();
            world.script(lane, &[behaviour]);
            let failure = world.root(up_auto()).unwrap_err();
            assert_eq!(failure.step, lane);
            assert_eq!(
                (failure.object.as_str(), failure.remedy.as_str()),
                (&*format!("target of {lane}"), "stop scripting")
            );
            assert_eq!(failure.rollback, None);
            world.assert_converged();
            assert_eq!(world.applied, SystemPlan::default(), "{lane} {behaviour:?}");
            assert_eq!(world.snapshot().sharing.mode, SharingMode::Off);
            assert!(world.states().is_empty());
            world.root(up_auto()).unwrap();
        }
    }
}

#[test]
fn each_hanging_step_of_up_times_out_and_rolls_back() {
    for lane in LANES {
        let mut world = World::new();
        world.script(lane, &[Behaviour::Hang]);
        let request = world.send(1, ROOT, up_auto());
        world.run();
        let (deadline, _) = world.core.poll_timeout().unwrap();
        world.pass(deadline.since(world.now.mono));
        // The hung effect is carried out after all, then what was asked since.
        world.script.clear();
        world.run();
        world.run_to_the_end();
        let failure = world.replies.remove(&request).unwrap().unwrap_err();
        assert_eq!((failure.step, failure.code), (lane, ErrorCode::Timeout), "{failure}");
        world.assert_converged();
        assert_eq!(world.applied, SystemPlan::default(), "{lane}");
    }
}

#[test]
fn a_late_answer_after_the_undoing_is_put_right() {
    for lane in LANES {
        let mut world = World::new();
        world.script(lane, &[Behaviour::Hang]);
        world.send(1, ROOT, up_auto());
        world.run();
        let (deadline, _) = world.core.poll_timeout().unwrap();
        world.pass(deadline.since(world.now.mono));
        // The driver runs the undoing first and only then the hung effect: the worst order.
        world.overtake(lane);
        world.run_to_the_end();
        world.assert_converged();
        assert_eq!(world.applied, SystemPlan::default(), "{lane}");
    }
}

#[test]
fn a_failed_up_brings_the_cached_pair_back() {
    for lane in LANES {
        let mut world = World::new();
        world.root(Command::Share(pair("eth3", &[over("eth1")]))).unwrap();
        let before = world.lasting();
        world.script(lane, &[Behaviour::FailNew]);
        world.root(up_auto()).unwrap_err();
        world.assert_converged();
        assert_eq!(world.lasting(), before, "{lane}");
        assert_eq!(world.state(), HostedState::Idle);
        assert_eq!(world.snapshot().sharing.private, [name("eth1")]);
    }
}

#[test]
fn a_rollback_that_fails_says_so_and_is_tried_again() {
    let mut world = World::new();
    world.script(Step::Services, &[Behaviour::FailOld]);
    world.script(Step::Links, &[Behaviour::Done, Behaviour::FailOld]);
    let failure = world.root(up_auto()).unwrap_err();
    assert_eq!(failure.step, Step::Services);
    assert!(failure.rollback.unwrap().contains("links"));
    assert!(world.applied.ap.is_none(), "the rest went down nevertheless");
    assert!(!world.applied.firewall.segments.is_empty(), "what may be left stays guarded");
    world.run_to_the_end();
    world.assert_converged();
    assert_eq!(world.applied, SystemPlan::default());
}

#[test]
fn up_forces_a_running_network_down_when_full_sharing_was_off() {
    let mut world = World::new();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.events.clear();
    world.root(up_auto()).unwrap();
    let states: Vec<_> = world.states().iter().map(|(_, new, _)| *new).collect();
    assert_eq!(states, [HostedState::Idle, HostedState::Active]);
    assert_eq!(world.snapshot().hosted_network.references, 1, "older references are void");
}

#[test]
fn up_leaves_a_network_running_that_was_started_under_full_sharing() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.events.clear();
    world.root(up_auto()).unwrap();
    assert!(world.states().is_empty());
    assert_eq!(world.snapshot().hosted_network.references, 2);
    world.root(Command::Down).unwrap();
    assert_eq!(world.state(), HostedState::Active);
    assert!(world.dhcp_on("eth1"), "the pair from before is back");
    world.assert_converged();
}

#[test]
fn an_up_that_was_forced_down_first_and_fails_leaves_the_network_down() {
    let mut world = World::new();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.script(Step::Links, &[Behaviour::Done, Behaviour::FailNew]);
    let failure = world.root(up_auto()).unwrap_err();
    assert_eq!(failure.step, Step::Links);
    assert_eq!((world.state(), world.snapshot().sharing.mode), (HostedState::Idle, SharingMode::Off));
    assert_eq!(world.applied, SystemPlan::default());
}

#[test]
fn checks_come_before_any_change() {
    let mut world = World::new();
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.history.clear();
    world.events.clear();
    for (command, code) in [
        (up(Some(out("eth9")), &[]), ErrorCode::NotFound),
        (up(Some(out("br0")), &[]), ErrorCode::NotSupported),
        (up(Some(out("eth0")), &[over("eth0")]), ErrorCode::InvalidParameter),
        (up(None, &[over("eth1")]), ErrorCode::InvalidParameter),
    ] {
        assert_eq!(world.root(command).unwrap_err().code, code);
    }
    assert_eq!(world.ask(3, USER, up_auto()).unwrap_err().code, ErrorCode::AccessDenied);
    let dependency = Dependency::FilteringEngine;
    let missing = MissingDependency { dependency, cause: "gone".into(), remedy: "fetch it".into() };
    world.core.handle_dependencies(vec![missing], world.now);
    checks!(M136:
        let failure = world.root(up_auto()).unwrap_err();
        assert_eq!((failure.code.win32(), failure.remedy.as_str()), (1068, "fetch it"));
        assert!(failure.cause.contains("Base Filtering Engine") && failure.cause.contains("gone"));
        assert!(world.states().is_empty() && world.history.is_empty());
    );
    let mut world = World::new();
    world.platform(PlatformEvent::Radio(RadioView::default()));
    let failure = world.root(up_auto()).unwrap_err();
    assert_eq!(
        (failure.code, failure.step, failure.reason.number()),
        (ErrorCode::InvalidState, Step::Check, 12)
    );
    assert!(world.history.is_empty());
}

#[test]
fn standalone_up_is_for_everybody_and_a_mere_reference() {
    let mut world = World::new();
    world.ask(3, USER, up(None, &[])).unwrap();
    assert_eq!(world.snapshot().sharing.mode, SharingMode::Standalone);
    assert!(world.ask(3, USER, up(None, &[])).is_err(), "one for each session");
    world.ask(3, USER, Command::Down).unwrap();
    assert_eq!(world.applied, SystemPlan::default());
    assert_eq!(world.ask(3, USER, Command::Down).unwrap_err().reason, Reason::StopBeforeStart);
}

#[test]
fn a_dying_client_takes_its_up_along() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    let before = world.applied.clone();
    world.ask(2, ROOT, up_auto()).unwrap();
    world.close(2);
    world.run();
    world.assert_converged();
    assert_eq!(world.applied, before);
    assert_eq!(world.states().last().unwrap().2, Reason::ClientAbort.number());
}

#[test]
fn the_last_of_two_equal_ups_ends_sharing() {
    for first in [2, 3] {
        let mut world = World::new();
        world.ask(2, ROOT, up_auto()).unwrap();
        world.ask(3, ROOT, up_auto()).unwrap();
        world.close(first);
        world.run();
        assert_eq!(world.snapshot().sharing.mode, SharingMode::Full, "closing {first} first");
        world.close(5 - first);
        world.run();
        assert_eq!(world.applied, SystemPlan::default());
    }
}

#[test]
fn nested_ups_unwind_in_any_order() {
    for first in [2, 3] {
        let mut world = World::new();
        world.ask(2, ROOT, up(Some(out("eth0")), &[HN])).unwrap();
        world.ask(3, ROOT, up(Some(out("eth3")), &[HN])).unwrap();
        world.close(first);
        world.run();
        let expected = if first == 2 { "eth3" } else { "eth0" };
        assert_eq!(world.snapshot().sharing.public, Some(name(expected)));
        world.close(5 - first);
        world.run();
        assert_eq!(world.applied, SystemPlan::default(), "closing {first} first");
    }
}

#[test]
fn up_over_wires_needs_no_radio_and_leaves_the_network_alone() {
    let mut world = World::new();
    world.platform(PlatformEvent::Radio(RadioView::default()));
    world.root(up(Some(out("eth0")), &[over("eth1")])).unwrap();
    assert!(world.dhcp_on("eth1"));
    world.root(Command::Down).unwrap();
    assert_eq!(world.applied, SystemPlan::default());
}

#[test]
fn name_and_key_of_an_up() {
    let mut world = World::new();
    let ssid = Ssid::new("Café ☕".as_bytes()).unwrap();
    let key = Key::passphrase("for tonight".into()).unwrap();
    let request = UpRequest {
        public: Some(PublicChoice::Auto),
        private: vec![],
        ssid: Some(ssid),
        key: Some(key.clone()),
    };
    world.root(Command::Up(request)).unwrap();
    assert_eq!(world.applied.ap.as_ref().unwrap().ssid, ssid);
    assert_eq!(world.applied.ap.as_ref().unwrap().keys.entries[1].key, key);
    assert_eq!(world.disk.connection.as_ref().unwrap().ssid, ssid, "the name is kept");
    assert_eq!(world.disk.secondary_key, None, "the key is not");
    world.root(Command::Down).unwrap();
    let hn_core::Reply::Keys(keys) = world.root(Command::QueryKeys).unwrap() else { panic!("keys") };
    assert_eq!(keys.secondary, None);
}

#[test]
fn a_failed_up_keeps_the_old_name_and_the_first_configuration() {
    let mut world = World::new();
    world.ask(1, USER, Command::InitSettings).unwrap();
    let before = world.disk.clone();
    let ssid = Some(Ssid::new(b"other").unwrap());
    world.script(Step::Radio, &[Behaviour::FailOld]);
    let request = UpRequest { public: Some(PublicChoice::Auto), private: vec![], ssid, key: None };
    world.root(Command::Up(request)).unwrap_err();
    assert_eq!(world.disk, before);
}

#[test]
fn a_failing_share_leaves_sharing_as_it_was() {
    for lane in [Step::Links, Step::Firewall, Step::Forwarding, Step::Services] {
        for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
            // From standalone, from another pair, from nothing.
            for prepare in [
                (|w| drop(w.root(Command::ForceStart).unwrap())) as fn(&mut World),
                |w| drop(w.root(Command::Share(pair("eth3", &[over("eth2")]))).unwrap()),
                |_| {},
            ] {
                let mut world = World::new();
                prepare(&mut world);
                let (before, view) = (world.lasting(), world.snapshot().sharing);
                world.script(lane, &[behaviour]);
                let failure = world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap_err();
                assert_eq!((failure.step, failure.rollback), (lane, None));
                world.assert_converged();
                assert_eq!(world.lasting(), before, "{lane} {behaviour:?}");
                assert_eq!(world.snapshot().sharing, view);
            }
        }
    }
}

#[test]
fn a_failing_start_is_undone_whichever_step_fails() {
    for lane in [Step::Radio, Step::Links, Step::Firewall, Step::Services] {
        for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
            let mut world = World::new();
            world.script(lane, &[behaviour]);
            let failure = world.ask(1, USER, Command::StartUsing).unwrap_err();
            hn_conformance::checks!(M067:
                assert_eq!((failure.step, failure.reason), (lane, Reason::ApStartFailed));
                assert_eq!((world.state(), world.snapshot().hosted_network.references), (HostedState::Idle, 0));
                world.assert_converged();
                assert_eq!(world.applied, SystemPlan::default());
            );
        }
    }
}

#[test]
fn a_stop_that_fails_still_stops_the_rest_and_is_repaired() {
    for lane in [Step::Radio, Step::Links, Step::Firewall, Step::Services] {
        let mut world = World::new();
        world.ask(1, USER, Command::StartUsing).unwrap();
        world.script(lane, &[Behaviour::FailOld]);
        let failure = world.ask(1, USER, Command::StopUsing).unwrap_err();
        assert_eq!(failure.step, lane);
        assert_eq!((world.state(), world.snapshot().hosted_network.references), (HostedState::Idle, 0));
        if lane != Step::Radio {
            assert!(world.applied.ap.is_none(), "{lane}");
        }
        world.run_to_the_end();
        world.assert_converged();
        assert_eq!(world.applied, SystemPlan::default());
    }
}

#[test]
fn an_adapter_that_vanishes_in_the_middle_fails_the_transaction() {
    for after in 0..5 {
        let mut world = World::new();
        let request = world.send(1, ROOT, up_auto());
        for lane in
            [Step::Store, Step::Firewall, Step::Radio, Step::Links, Step::Services].into_iter().take(after)
        {
            world.carry_out(lane, Behaviour::Done);
        }
        world.platform(PlatformEvent::Radio(RadioView::default()));
        world.run_to_the_end();
        let failure = world.replies.remove(&request).unwrap().unwrap_err();
        assert_eq!(world.state(), HostedState::Unavailable, "{failure}");
        world.assert_converged();
        assert_eq!(world.applied, SystemPlan::default());
    }
}

#[test]
fn a_policy_in_the_middle_takes_effect_after_the_transaction() {
    let mut world = World::new();
    let request = world.send(1, USER, Command::StartUsing);
    let policy = hn_types::settings::Policy { hosted_network: Some(false), sharing: None };
    world.core.handle_policy(policy, world.now);
    world.run();
    assert!(world.replies.contains_key(&request));
    assert_eq!(world.state(), HostedState::Unavailable);
    assert_eq!(world.applied, SystemPlan::default());
}

#[test]
fn commands_that_wait_are_done_in_order() {
    let mut world = World::new();
    let requests = [
        world.send(1, ROOT, up_auto()),
        world.send(2, ROOT, Command::Share(pair("eth3", &[HN]))),
        world.send(2, ROOT, Command::Unshare),
        world.send(2, ROOT, Command::ForceStop),
    ];
    world.run();
    for request in requests {
        world.replies.remove(&request).unwrap().unwrap();
    }
    assert_eq!(world.applied, SystemPlan::default());
}

#[test]
fn a_background_failure_is_told_and_repaired() {
    let mut world = World::new();
    world.root(up_auto()).unwrap();
    world.join(mac(1), KeyRole::Primary);
    world.script(Step::Firewall, &[Behaviour::FailOld, Behaviour::FailOld]);
    let view =
        hn_types::network::NetworkView { default_route: Some(name("eth3")), ..crate::world::network() };
    world.platform(PlatformEvent::Network(view));
    world.run();
    assert!(world.events.iter().any(|event| matches!(event, hn_types::view::Event::Trouble { .. })));
    assert!(!world.snapshot().sharing.detail.is_empty());
    assert!(world.applied.forwarding.ipv4.is_empty(), "nothing is forwarded behind an unknown firewall");
    world.pass(Duration::from_secs(1));
    world.run_to_the_end();
    world.assert_converged();
    assert_eq!(world.snapshot().sharing.public, Some(name("eth3")));
    assert!(world.snapshot().sharing.detail.is_empty());
}

#[test]
fn timeouts_are_told_as_such() {
    let error = DriverErrorKind::Timeout;
    let mut world = World::new();
    world.script(Step::Store, &[Behaviour::Hang]);
    let request = world.send(1, USER, Command::InitSettings);
    world.run();
    world.pass(Duration::from_secs(10));
    let failure = world.replies.remove(&request).unwrap().unwrap_err();
    assert_eq!((failure.code, failure.step), (ErrorCode::Timeout, Step::Store), "{error:?}");
    assert_eq!(failure.reason, Reason::PersistenceFailed);
    world.run_to_the_end();
    assert_eq!(world.disk.connection, None, "what was not promised is not kept");
}

#[test]
fn a_repair_that_makes_the_access_point_anew_puts_everything_back_on_it() {
    let mut world = World::new();
    world.root(up_auto()).unwrap();
    world.join(mac(1), KeyRole::Primary);
    // The radio refuses a new key and loses everything while at it; nobody was told.
    world.script(Step::Radio, &[Behaviour::Hang]);
    let key = hn_types::SecondaryKey { key: Key::passphrase("new key 1".into()).unwrap(), persistent: false };
    let request = world.send(1, USER, Command::SetSecondaryKey(Some(key)));
    world.pass(Duration::from_secs(45));
    world.forget_ap();
    world.run_to_the_end();
    assert_eq!(world.replies.remove(&request).unwrap().unwrap_err().code, ErrorCode::Timeout);
    world.assert_converged();
    assert_eq!(world.state(), HostedState::Active);
    assert!(world.dhcp_on("hnap0") && world.address_on("hnap0").is_some());
    assert!(world.snapshot().hosted_network.peers.is_empty(), "they have to come back");
}
