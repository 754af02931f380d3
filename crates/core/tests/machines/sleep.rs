//! The machine sleeps (spec/hosted-network.md §1 "Power", peers §3 no. 7).

use hn_core::{Command, Config};
use hn_types::{
    KeyRole, Reason, Step,
    observed::{PlatformEvent, Sleep},
    radio::RadioView,
    view::HostedState,
};

use crate::world::{Behaviour, ROOT, USER, World, mac, over, pair, radio};

const UNAVAILABLE: HostedState = HostedState::Unavailable;
const IDLE: HostedState = HostedState::Idle;
const ACTIVE: HostedState = HostedState::Active;

const COMING: PlatformEvent = PlatformEvent::Sleep(Sleep::Coming);
const OVER: PlatformEvent = PlatformEvent::Sleep(Sleep::Over);

fn resuming() -> World {
    World::with(Config { resume: true, ..Config::new("host", "machine") })
}

#[test]
fn failure_7_a_sleep_stops_the_network_in_order_and_nobody_restarts_it() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.root(Command::ForceStart).unwrap();
    world.join(mac(1), KeyRole::Primary);
    world.events.clear();
    world.platform(COMING);
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 12)]);
    assert!(world.applied.ap.is_none() && world.applied.links.addresses.is_empty());
    assert_eq!(world.snapshot().hosted_network.references, 0, "references are void");
    let refused = world.ask(1, USER, Command::StartUsing).unwrap_err();
    assert!(refused.cause.contains("sleep"), "{refused}");
    world.platform(OVER);
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 12), (UNAVAILABLE, IDLE, 11)]);
    world.assert_converged();
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(world.state(), ACTIVE);
}

#[test]
fn a_start_that_a_sleep_meets_is_over_before_the_sleep() {
    let mut world = World::new();
    let request = world.send(1, USER, Command::StartUsing);
    world.carry_out(Step::Store, Behaviour::Done);
    world.platform(COMING);
    world.run();
    assert!(world.replies.contains_key(&request), "somebody waits for ever");
    assert!(world.applied.ap.is_none());
    assert_eq!(world.state(), UNAVAILABLE);
    world.assert_converged();
}

#[test]
fn sharing_between_wires_is_as_before_the_sleep() {
    let mut world = World::new();
    world.ask(1, ROOT, Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    let before = world.lasting();
    world.events.clear();
    world.platform(COMING);
    world.run();
    assert_eq!(world.lasting(), before);
    world.platform(OVER);
    world.run();
    assert_eq!(world.lasting(), before);
    assert_eq!(world.states(), [(IDLE, UNAVAILABLE, 12), (UNAVAILABLE, IDLE, 11)]);
}

#[test]
fn what_was_started_for_good_starts_again_where_the_administrator_says_so() {
    let mut world = resuming();
    world.root(Command::ForceStart).unwrap();
    world.events.clear();
    world.platform(COMING);
    world.run();
    // The adapter comes back after the machine.
    world.platform(PlatformEvent::Radio(RadioView::default()));
    world.platform(OVER);
    world.run();
    assert_eq!(world.states(), [(ACTIVE, UNAVAILABLE, 12)]);
    world.platform(PlatformEvent::Radio(radio()));
    world.run();
    assert_eq!(
        world.states(),
        [(ACTIVE, UNAVAILABLE, 12), (UNAVAILABLE, IDLE, 11), (IDLE, ACTIVE, Reason::UserAction.number())]
    );
    world.assert_converged();
    world.root(Command::ForceStop).unwrap();
    assert_eq!(world.state(), IDLE);
}

#[test]
fn what_somebody_stopped_or_only_borrowed_stays_down_after_a_sleep() {
    for stop in [true, false] {
        let mut world = resuming();
        world.ask(1, USER, Command::StartUsing).unwrap();
        if stop {
            world.root(Command::ForceStart).unwrap();
        }
        world.platform(COMING);
        world.run();
        if stop {
            world.root(Command::ForceStop).unwrap();
        }
        world.platform(OVER);
        world.run();
        assert_eq!(world.state(), IDLE);
        world.assert_converged();
    }
}

#[test]
fn a_sleep_that_is_announced_twice_or_not_at_all_is_one_sleep() {
    let mut world = World::new();
    for event in [OVER, COMING, COMING, OVER, OVER] {
        world.platform(event);
        world.run();
    }
    assert_eq!(world.states(), [(IDLE, UNAVAILABLE, 12), (UNAVAILABLE, IDLE, 11)]);
}
