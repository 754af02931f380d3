//! Interfaces of ours that somebody renames (peers §3, no. 18).

use std::time::Duration;

use hn_core::Command;
use hn_types::{
    Step,
    network::{Link, MediaType, NetworkView},
    observed::PlatformEvent,
    view::{Event, HostedState},
};

use crate::world::{Behaviour, HN, World, name, network, over, pair};

/// The index the world gives the first access point.
const AP: u32 = 101;

/// The network with one interface more, of ours.
fn with(text: &str, index: u32) -> NetworkView {
    let mut view = network();
    let media = if text.starts_with("hnbr") { MediaType::Bridge } else { MediaType::Lan };
    let like = view.links[1].clone();
    view.links.push(Link { name: name(text), index, media, ours: true, ..like });
    view
}

fn see(world: &mut World, view: NetworkView) {
    world.platform(PlatformEvent::Network(view));
}

fn troubles(world: &mut World) -> Vec<String> {
    let events = std::mem::take(&mut world.events);
    let cause = |event| match event {
        Event::Trouble { failure } => Some(format!("{}: {}", failure.object, failure.cause)),
        _ => None,
    };
    events.into_iter().filter_map(cause).collect()
}

#[test]
fn failure_18_a_renamed_access_point_gets_its_name_back_and_nothing_else_happens() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    world.root(Command::Share(pair("eth0", &[HN]))).unwrap();
    see(&mut world, with("hnap0", AP));
    world.run();
    world.history.clear();
    world.events.clear();
    let before = world.lasting();
    see(&mut world, with("wlx020000000100", AP));
    // Until the driver has answered, everything that stands stays.
    world.script(Step::Radio, &[Behaviour::Hang]);
    world.run();
    assert_eq!(world.lasting(), before);
    world.script(Step::Radio, &[]);
    world.run();
    see(&mut world, with("hnap0", AP));
    world.run();
    assert_eq!(world.history, [Step::Radio], "one word to the driver");
    assert_eq!(world.state(), HostedState::Active);
    assert_eq!(world.snapshot().hosted_network.interface, Some(name("hnap0")));
    assert!(troubles(&mut world).is_empty());
    world.assert_converged();
    // An interface of that index under its own name is no news.
    see(&mut world, with("hnap0", AP));
    assert!(world.quiet());
}

#[test]
fn failure_18_who_keeps_renaming_is_named_and_answered_ever_more_seldom() {
    let mut world = World::new();
    world.root(Command::ForceStart).unwrap();
    let mut pauses = Vec::new();
    for round in 0..6 {
        see(&mut world, with("hnap0", AP));
        world.run();
        world.history.clear();
        world.events.clear();
        see(&mut world, with("wlx0", AP));
        world.run();
        if round < 3 {
            assert_eq!(world.history, [Step::Radio], "at once");
            continue;
        }
        assert!(world.history.is_empty());
        let said = troubles(&mut world);
        assert!(
            matches!(said.as_slice(), [one] if one.contains("hnap0") && one.contains("wlx0")),
            "{said:?}"
        );
        let (at, _) = world.core.poll_timeout().unwrap();
        pauses.push((at.as_nanos() - world.now.mono.as_nanos()) / 1_000_000_000);
        world.pass(Duration::from_nanos(at.as_nanos() - world.now.mono.as_nanos()));
        world.run();
        assert_eq!(world.state(), HostedState::Active, "it goes on all the while");
    }
    assert_eq!(pauses, [1, 2, 4]);
}

#[test]
fn failure_18_a_bridge_whose_name_is_gone_is_applied_again_while_devices_stay() {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1"), over("eth2")]))).unwrap();
    see(&mut world, with("hnbr0", 50));
    world.run();
    world.history.clear();
    let before = world.lasting();
    see(&mut world, with("segment0", 50));
    world.script(Step::Links, &[Behaviour::Hang]);
    world.run();
    assert_eq!(world.lasting(), before);
    world.script(Step::Links, &[]);
    world.run();
    see(&mut world, with("hnbr0", 50));
    world.run();
    assert_eq!(world.history, [Step::Links]);
    assert_eq!(world.lasting(), before);
    world.assert_converged();
}
