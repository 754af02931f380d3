//! References and sessions (spec/hosted-network.md §3).

use hn_conformance::checks;
use hn_core::{Command, Config, Limits};
use hn_types::{ErrorCode, KeyRole, Reason, Step, view::HostedState};

use crate::world::{Behaviour, ROOT, USER, World, mac};

const ACTIVE: HostedState = HostedState::Active;
const IDLE: HostedState = HostedState::Idle;

#[test]
fn it_runs_until_the_last_reference_of_any_session_is_gone() {
    let mut world = World::new();
    for session in [1, 1, 2] {
        world.ask(session, USER, Command::StartUsing).unwrap();
    }
    checks!(M055, M056, M057:
        assert_eq!(world.snapshot().hosted_network.references, 3, "counted, two of one session");
        world.ask(1, USER, Command::StopUsing).unwrap();
        assert_eq!(world.state(), ACTIVE);
        world.ask(2, USER, Command::StopUsing).unwrap();
        assert_eq!((world.state(), world.snapshot().hosted_network.references), (ACTIVE, 1));
        world.ask(1, USER, Command::StopUsing).unwrap();
        assert_eq!(world.state(), IDLE);
    );
}

#[test]
fn closing_drops_every_reference_of_the_session() {
    let mut world = World::new();
    for session in [1, 1, 1, 2] {
        world.ask(session, USER, Command::StartUsing).unwrap();
    }
    checks!(M058:
        world.close(1);
        world.run();
        assert_eq!((world.state(), world.snapshot().hosted_network.references), (ACTIVE, 1));
        world.close(2);
        world.run();
        assert_eq!(world.state(), IDLE);
    );
}

#[test]
fn a_forced_start_outlives_its_session_and_every_reference() {
    let mut world = World::new();
    checks!(M060:
        world.root(Command::ForceStart).unwrap();
        let view = world.snapshot().hosted_network;
        assert_eq!((view.state, view.references, view.forced), (ACTIVE, 0, true), "nobody holds it");
    );
    world.ask(2, USER, Command::StartUsing).unwrap();
    world.ask(2, USER, Command::StopUsing).unwrap();
    world.close(1);
    world.run();
    checks!(M063:
        assert_eq!(world.state(), ACTIVE);
        assert!(world.snapshot().hosted_network.forced);
    );
}

#[test]
fn a_stop_without_a_start_is_refused() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    let failure = world.ask(2, USER, Command::StopUsing).unwrap_err();
    assert_eq!((failure.code.win32(), failure.reason.number()), (5023, 10));
    assert_eq!(world.state(), ACTIVE);
}

#[test]
fn references_from_before_a_forced_stop_are_void() {
    let mut world = World::new();
    for session in [1, 1, 2, 3] {
        world.ask(session, USER, Command::StartUsing).unwrap();
    }
    world.root(Command::ForceStart).unwrap();
    checks!(M061:
        world.ask(2, ROOT, Command::ForceStop).unwrap();
        let view = world.snapshot().hosted_network;
        assert_eq!((view.state, view.references, view.forced), (IDLE, 0, false));
    );
    world.ask(3, USER, Command::StartUsing).unwrap();
    assert_eq!(world.ask(1, USER, Command::StopUsing).unwrap_err().reason, Reason::StopBeforeStart);
    assert_eq!(world.state(), ACTIVE, "somebody else's session is not stopped");
}

#[test]
fn starting_what_runs_succeeds_silently() {
    let mut world = World::new();
    checks!(M054: {
        assert_eq!(world.state(), IDLE);
        world.ask(1, USER, Command::StartUsing).unwrap();
        assert_eq!((world.state(), world.snapshot().hosted_network.references), (ACTIVE, 1));
        world.history.clear();
        world.events.clear();
        world.ask(2, USER, Command::StartUsing).unwrap();
        assert!(world.events.is_empty() && world.history.is_empty(), "no need to start it");
        assert_eq!(world.snapshot().hosted_network.references, 2);
    });
    world.root(Command::ForceStart).unwrap();
    assert!(world.events.is_empty() && world.history.is_empty());
}

#[test]
fn starts_during_a_start_join_it() {
    let mut world = World::new();
    let first = world.send(1, USER, Command::StartUsing);
    let second = world.send(2, USER, Command::StartUsing);
    world.run();
    for request in [first, second] {
        world.replies.remove(&request).unwrap().unwrap();
    }
    assert_eq!(world.snapshot().hosted_network.references, 2);
    assert_eq!(world.states().len(), 1);
}

#[test]
fn starts_that_joined_a_failing_start_fail_with_it() {
    let mut world = World::new();
    world.script(Step::Radio, &[Behaviour::FailNew]);
    let requests = [1, 2, 3].map(|session| world.send(session, USER, Command::StartUsing));
    world.run();
    for request in requests {
        assert_eq!(world.replies.remove(&request).unwrap().unwrap_err().step, Step::Radio);
    }
    assert_eq!(world.snapshot().hosted_network.references, 0);
    world.assert_converged();
}

#[test]
fn a_start_whose_only_caller_dies_is_undone_silently() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    world.carry_out(Step::Store, Behaviour::Done);
    world.carry_out(Step::Firewall, Behaviour::Done);
    world.close(1);
    world.run();
    assert_eq!(world.state(), IDLE);
    assert!(world.states().is_empty() && world.replies.is_empty());
    world.assert_converged();
    assert!(world.applied.ap.is_none());
}

#[test]
fn a_start_goes_on_for_those_who_stay() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    let second = world.send(2, USER, Command::StartUsing);
    world.close(1);
    world.run();
    world.replies.remove(&second).unwrap().unwrap();
    assert_eq!(world.snapshot().hosted_network.references, 1);
}

#[test]
fn a_stop_during_a_start_is_done_after_it() {
    let mut world = World::new();
    let start = world.send(1, USER, Command::StartUsing);
    let stop = world.send(1, USER, Command::StopUsing);
    world.run();
    world.replies.remove(&start).unwrap().unwrap();
    world.replies.remove(&stop).unwrap().unwrap();
    assert_eq!(world.state(), IDLE);
}

#[test]
fn a_start_behind_a_stop_does_not_join_the_start_before_it() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    world.send(2, ROOT, Command::ForceStop);
    world.send(3, USER, Command::StartUsing);
    world.run();
    assert_eq!(world.states().len(), 3, "up, down, up");
    assert_eq!((world.state(), world.snapshot().hosted_network.references), (ACTIVE, 1));
}

#[test]
fn waiting_commands_of_a_closed_session_are_dropped() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    let dropped = world.send(2, ROOT, Command::ForceStop);
    world.close(2);
    world.run();
    assert_eq!(world.state(), ACTIVE);
    assert!(!world.replies.contains_key(&dropped));
}

#[test]
fn the_queue_is_bounded() {
    let mut world = World::new();
    world.send(1, USER, Command::StartUsing);
    let requests: Vec<_> = (0..65).map(|_| world.send(1, ROOT, Command::ForceStop)).collect();
    let last = world.replies.remove(requests.last().unwrap()).unwrap().unwrap_err();
    assert_eq!(last.code, ErrorCode::LimitExceeded);
    world.run();
    assert_eq!(world.state(), IDLE);
}

#[test]
fn sessions_are_bounded_and_must_be_open() {
    let mut config = Config::new("h", "m");
    config.limits = Limits { sessions: 5, ..Limits::default() };
    let mut world = World::with(config);
    world.open(6);
    let refused = world.ask(6, USER, Command::StartUsing).unwrap_err();
    assert_eq!((refused.code, refused.code.win32()), (ErrorCode::SessionLimitExceeded, 1220));
    world.close(1);
    assert_eq!(world.ask(1, USER, Command::StartUsing).unwrap_err().code, ErrorCode::InvalidHandle);
    world.open(6);
    world.ask(6, USER, Command::StartUsing).unwrap();
}

#[test]
fn what_needs_elevation_is_refused_without() {
    use hn_core::Part;
    let mut world = World::new();
    for command in [
        Command::ForceStart,
        Command::ForceStop,
        Command::SetEnabled(false),
        Command::Unshare,
        Command::Share(crate::world::pair("auto", &[crate::world::HN])),
        Command::ServiceStop(Part::SharedAccess),
        Command::ServiceStart(Part::Wlan),
        Command::RemoveReservation(mac(1)),
    ] {
        let failure = world.ask(1, USER, command).unwrap_err();
        assert_eq!((failure.code.win32(), failure.reason.number()), (5, 5));
    }
    assert!(world.history.is_empty());
    let mut config = Config::new("h", "m");
    config.force_stop_needs_elevation = false;
    let mut world = World::with(config);
    world.ask(1, USER, Command::ForceStop).unwrap();
}

#[test]
fn leases_and_stations_are_one_list_of_devices() {
    use hn_types::{
        Wall,
        observed::{Lease, PlatformEvent, ServiceEvent},
    };
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.join(mac(1), KeyRole::Secondary);
    let lease = |last: u8| Lease {
        mac: mac(last),
        address: core::net::Ipv4Addr::new(192, 168, 173, last).into(),
        hostname: "phone".into(),
        expires: Wall::from_unix(1_800_000_000),
    };
    world.platform(PlatformEvent::Service(ServiceEvent::LeaseBound(lease(1))));
    world.platform(PlatformEvent::Service(ServiceEvent::Leases {
        leases: vec![lease(1), lease(2)],
        more: false,
        first: true,
    }));
    let devices = world.snapshot().devices;
    assert_eq!(devices.len(), 2);
    assert_eq!((devices[0].key, devices[0].connected), (Some(KeyRole::Secondary), true));
    assert_eq!(devices[0].hostname.as_deref(), Some("phone"));
    assert!(!devices[1].connected, "a lease alone does not make a station connected");
    world.ask(1, USER, Command::StopUsing).unwrap();
    assert!(world.snapshot().devices.is_empty());
}
