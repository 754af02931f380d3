//! Firewall rules that another program takes away.

use std::time::Duration;

use hn_core::Command;
use hn_types::{
    Step,
    device::DeviceCount,
    observed::{Obstacle, PlatformEvent},
    plan::FirewallPlan,
    view::{Event, SharingMode, SharingPhase},
};

use crate::world::{Behaviour, World, mac, over, pair};

/// The platform reports it, whether or not it is so.
fn notice(world: &mut World) {
    world.platform(PlatformEvent::FirewallLost { cause: "no table".into() });
}

fn in_force(world: &World) -> bool {
    world.applied.firewall == world.core.goal().firewall
}

/// What was said about the rules, and forgets it.
fn said(world: &mut World) -> Vec<String> {
    let events = std::mem::take(&mut world.events);
    let about = |event| match event {
        Event::Trouble { failure } if failure.step == Step::Firewall => Some(failure.cause),
        _ => None,
    };
    events.into_iter().filter_map(about).collect()
}

fn shared() -> World {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world.events.clear();
    world
}

#[test]
fn rules_that_were_flushed_are_put_back_at_once_and_that_is_said() {
    let mut world = shared();
    let forwarding = world.applied.forwarding.clone();
    world.flush();
    assert_eq!(world.applied.forwarding, forwarding, "the way out is not closed for it");
    assert!(said(&mut world).is_empty(), "it is said when they are back");
    world.run();
    world.assert_converged();
    let said = said(&mut world);
    assert!(
        matches!(said.as_slice(), [one] if one.contains("no table") && one.contains("put back")),
        "{said:?}"
    );
    let view = world.snapshot().sharing;
    assert_eq!((view.mode, view.phase), (SharingMode::Full, SharingPhase::Running));
    assert_eq!(view.rules_restored, 1);
    assert!(view.detail.is_empty());
    assert_eq!(world.core.poll_timeout(), None, "nothing goes on");
}

#[test]
fn that_rules_are_back_is_said_when_what_they_counted_comes_with_the_answer() {
    let mut world = shared();
    world.counts = vec![DeviceCount::new(mac(1))];
    world.flush();
    world.run();
    assert!(matches!(said(&mut world).as_slice(), [one] if one.contains("put back")));
    assert_eq!(world.snapshot().sharing.rules_restored, 1);
}

#[test]
fn who_keeps_flushing_makes_us_slower_not_busier_and_nothing_is_forwarded_meanwhile() {
    let mut world = shared();
    for _ in 0..3 {
        world.flush();
        world.run();
        assert!(in_force(&world));
    }
    said(&mut world);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        world.flush();
        world.run();
        assert!(!in_force(&world), "not at once any more");
        assert!(world.applied.forwarding.ipv4.is_empty() && world.applied.forwarding.ipv6.is_none());
        assert!(world.snapshot().sharing.detail.iter().any(|text| text.contains("keeps removing")));
        // Hearing it again changes nothing.
        notice(&mut world);
        world.run();
        let (at, _) = world.core.poll_timeout().unwrap();
        let pause = Duration::from_nanos(at.as_nanos() - world.now.mono.as_nanos());
        world.pass(pause / 2);
        world.run();
        assert!(!in_force(&world));
        world.pass(pause / 2);
        world.run();
        world.assert_converged();
        pauses.push(pause.as_secs());
        let said = said(&mut world);
        assert_eq!(said.len(), 2, "that they are gone and that they are back: {said:?}");
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
    // A quiet minute and it is as the first time.
    world.pass(Duration::from_secs(60));
    world.flush();
    world.run();
    world.assert_converged();
}

#[test]
fn a_command_does_not_wait_for_the_pause() {
    let mut world = shared();
    for _ in 0..4 {
        world.flush();
        world.run();
    }
    assert!(!in_force(&world));
    world.root(Command::ForceStart).unwrap();
    world.assert_converged();
    assert!(in_force(&world) && world.core.poll_timeout().is_none());
}

#[test]
fn a_loss_while_rules_are_being_applied_has_them_applied_again() {
    let mut world = shared();
    world.flush();
    world.flush();
    world.run();
    world.assert_converged();
    assert_eq!(said(&mut world).len(), 1);
}

#[test]
fn rules_that_cannot_be_put_back_are_tried_again_and_nothing_is_forwarded_until_then() {
    let mut world = shared();
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    world.flush();
    world.run();
    assert!(!in_force(&world) && world.applied.forwarding.ipv4.is_empty());
    world.run_to_the_end();
    world.assert_converged();
    assert!(said(&mut world).last().is_some_and(|last| last.contains("put back")));
}

#[test]
fn where_no_rules_are_wanted_none_can_be_lost() {
    let mut world = World::new();
    notice(&mut world);
    assert!(world.events.is_empty() && world.pending.values().all(|queue| queue.is_empty()));
    let mut world = shared();
    for _ in 0..4 {
        world.flush();
        world.run();
    }
    world.root(Command::Unshare).unwrap();
    world.assert_converged();
    said(&mut world);
    notice(&mut world);
    world.run();
    assert_eq!(world.applied.firewall, FirewallPlan::default());
    assert!(world.events.is_empty());
    assert_eq!(world.core.poll_timeout(), None);
}

fn obstacle(askable: bool) -> Obstacle {
    Obstacle { cause: "firewalld drops everything".into(), remedy: "try: x".into(), askable }
}

fn blocked(world: &mut World, obstacles: &[Obstacle]) {
    world.platform(PlatformEvent::FirewallBlocked(obstacles.to_vec()));
}

#[test]
fn who_closes_the_way_is_named_in_the_status_and_ends_nothing() {
    let mut world = shared();
    let before = world.applied.clone();
    blocked(&mut world, &[obstacle(false)]);
    world.run();
    assert_eq!(world.applied, before);
    assert_eq!(said(&mut world), ["firewalld drops everything"]);
    assert_eq!(world.snapshot().sharing.detail, ["firewalld drops everything; try: x"]);
    blocked(&mut world, &[obstacle(false)]);
    assert!(said(&mut world).is_empty(), "it is said once");
    blocked(&mut world, &[]);
    assert!(world.snapshot().sharing.detail.is_empty());
}

#[test]
fn who_can_be_asked_is_asked_again_at_once_and_then_ever_more_seldom_while_everything_runs_on() {
    let mut world = shared();
    let before = world.applied.clone();
    for time in 1..=3 {
        blocked(&mut world, &[obstacle(true)]);
        assert!(!world.quiet(), "the plan is applied again");
        world.run();
        world.assert_converged();
        blocked(&mut world, &[]);
        let said = said(&mut world);
        assert!(matches!(said.as_slice(), [one] if one.contains("asked again")), "{said:?}");
        assert_eq!(world.snapshot().sharing.rules_restored, time);
    }
    blocked(&mut world, &[obstacle(true)]);
    world.run();
    assert_eq!(world.applied, before, "forwarding and servers stay");
    assert!(world.snapshot().sharing.detail.iter().any(|text| text.contains("asked again in 1 s")));
    let (at, _) = world.core.poll_timeout().unwrap();
    world.pass(Duration::from_nanos(at.as_nanos() - world.now.mono.as_nanos()));
    world.run();
    world.assert_converged();
}
