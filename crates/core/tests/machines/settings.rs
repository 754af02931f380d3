//! Settings and keys (spec/hosted-network.md §5, §6, §11).

use hn_conformance::checks;
use hn_core::{Command, Config, Reply};
use hn_types::{
    ConnectionSettings, ErrorCode, Key, KeyRole, Reason, SecondaryKey, Ssid, Step, observed::ApEvent,
    plan::KeyEntry, settings::Reservation, view::HostedState,
};

use crate::world::{Behaviour, ROOT, USER, World, mac};

fn key(text: &str) -> Key {
    Key::passphrase(text.into()).unwrap()
}

fn secondary(text: &str, persistent: bool) -> Command {
    Command::SetSecondaryKey(Some(SecondaryKey { key: key(text), persistent }))
}

fn entries(world: &World) -> Vec<KeyEntry> {
    world.applied.ap.as_ref().unwrap().keys.entries.clone()
}

#[test]
fn init_makes_settings_once_and_saves_them_before_it_answers() {
    let mut world = World::new();
    assert_eq!(world.ask(1, USER, Command::QueryPrimaryKey).unwrap_err().code.win32(), 1610);
    let request = world.send(1, USER, Command::InitSettings);
    assert!(!world.replies.contains_key(&request), "not before it is on disk");
    world.run();
    world.replies.remove(&request).unwrap().unwrap();
    let made = world.disk.clone();
    checks!(M024:
        assert!(made.connection.as_ref().unwrap().ssid.as_str().unwrap().starts_with("laptop-"));
        assert_eq!(made.connection.as_ref().unwrap().max_peers, 100);
        assert!(made.primary_key.is_some());
        world.ask(1, USER, Command::InitSettings).unwrap();
        assert_eq!(world.disk, made, "never overwritten");
        assert_eq!(world.state(), HostedState::Idle);
        world.ask(1, USER, Command::StartUsing).unwrap();
        assert_eq!(world.applied.ap.as_ref().unwrap().ssid, made.connection.unwrap().ssid, "ready to use");
    );
}

#[test]
fn a_full_disk_fails_every_change_and_changes_nothing() {
    let mut world = World::new();
    world.ask(1, USER, Command::InitSettings).unwrap();
    let before = world.disk.clone();
    let reservation = Reservation { mac: mac(1), host: 20, name: String::new() };
    for command in [
        Command::SetSsid(Ssid::new(b"new").unwrap()),
        Command::SetMaxPeers(3),
        Command::RefreshPrimaryKey,
        secondary("12345678", true),
        Command::SetEnabled(false),
        Command::SetReservation(reservation),
    ] {
        for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
            world.script(Step::Store, &[behaviour]);
            let failure = world.root(command.clone()).unwrap_err();
            assert_eq!((failure.step, failure.reason), (Step::Store, Reason::PersistenceFailed));
            assert_eq!(failure.rollback, None);
            let Reply::Keys(keys) = world.root(Command::QueryKeys).unwrap() else { panic!("keys") };
            assert_eq!((keys.primary.as_ref(), keys.secondary), (before.primary_key.as_ref(), None));
            world.run_to_the_end();
            assert_eq!(world.disk, before, "{command:?}");
            assert!(world.snapshot().hosted_network.enabled);
        }
    }
}

#[test]
fn sizes_are_checked_before_anything_stops() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    for max_peers in [0, 2008] {
        let failure = world.ask(1, USER, Command::SetMaxPeers(max_peers)).unwrap_err();
        assert_eq!((failure.code, failure.reason), (ErrorCode::InvalidParameter, Reason::BadParameters));
    }
    assert_eq!(world.state(), HostedState::Active);
    let connection = ConnectionSettings { ssid: Ssid::new(b"n").unwrap(), max_peers: 2007 };
    world.ask(1, USER, Command::SetConnection(connection.clone())).unwrap();
    assert_eq!(world.disk.connection, Some(connection));
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(world.applied.ap.as_ref().unwrap().max_peers, 32, "no more than the card holds");
}

#[test]
fn a_secondary_key_works_at_once_and_drops_nobody() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.ask(1, USER, secondary("first key", true)).unwrap();
    world.join(mac(1), KeyRole::Secondary);
    world.join(mac(2), KeyRole::Primary);
    world.history.clear();
    world.ask(1, USER, secondary("second key", true)).unwrap();
    assert_eq!(world.history, [Step::Store, Step::Radio]);
    let [primary, current, retained] = &entries(&world)[..] else { panic!("three keys") };
    assert_eq!((primary.role, primary.station), (KeyRole::Primary, None));
    assert_eq!((&current.key, current.station), (&key("second key"), None));
    assert_eq!((&retained.key, retained.station), (&key("first key"), Some(mac(1))));
    assert_eq!(world.state(), HostedState::Active);
    world.ap(ApEvent::StationLeft { mac: mac(1), timed_out: false });
    world.run();
    assert_eq!(entries(&world).len(), 2, "it cannot come back with the old key");
    world.assert_converged();
}

#[test]
fn removing_the_secondary_key_keeps_those_who_are_there() {
    let mut world = World::new();
    world.ask(1, USER, secondary("first key", true)).unwrap();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.join(mac(1), KeyRole::Secondary);
    world.ask(1, USER, Command::SetSecondaryKey(None)).unwrap();
    assert_eq!(entries(&world)[1].station, Some(mac(1)));
    assert_eq!(world.disk.secondary_key, None);
    assert_eq!(world.ask(1, USER, Command::QuerySecondaryKey), Ok(Reply::SecondaryKey(None)));
}

#[test]
fn a_temporary_key_serves_one_run_and_is_then_forgotten() {
    let mut world = World::new();
    world.ask(1, USER, secondary("persistent", true)).unwrap();
    world.ask(1, USER, secondary("temporary", false)).unwrap();
    assert_eq!(world.disk.secondary_key, Some(key("persistent")), "never on disk");
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(entries(&world)[1].key, key("temporary"));
    world.ask(1, USER, Command::StopUsing).unwrap();
    let expected = SecondaryKey { key: key("persistent"), persistent: true };
    assert_eq!(world.ask(1, USER, Command::QuerySecondaryKey), Ok(Reply::SecondaryKey(Some(expected))));
}

#[test]
fn a_key_the_radio_refuses_is_taken_back() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    for behaviour in [Behaviour::FailOld, Behaviour::FailNew] {
        let disk = world.disk.clone();
        world.script(Step::Radio, &[behaviour]);
        let failure = world.ask(1, USER, secondary("refused key", true)).unwrap_err();
        assert_eq!((failure.step, failure.rollback.as_ref()), (Step::Radio, None));
        assert_eq!(world.disk, disk);
        assert_eq!(entries(&world).len(), 1);
        assert_eq!(world.state(), HostedState::Active);
        world.assert_converged();
    }
}

#[test]
fn keys_can_be_hidden_from_ordinary_users() {
    let mut config = Config::new("h", "m");
    config.keys_readable_by_all = false;
    let mut world = World::with(config);
    assert_eq!(world.ask(1, USER, Command::QueryKeys).unwrap_err().code, ErrorCode::AccessDenied);
    world.ask(1, ROOT, Command::QueryKeys).unwrap();
}

#[test]
fn reservations_are_checked_saved_and_served() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    let reservation = |last, host| Reservation { mac: mac(last), host, name: "tv".into() };
    world.root(Command::SetReservation(reservation(1, 20))).unwrap();
    let served = |world: &World| world.applied.services.segment.clone().unwrap().dhcp.reservations;
    assert_eq!(served(&world), [reservation(1, 20)]);
    assert_eq!(world.disk.reservations, [reservation(1, 20)]);
    for host in [0, 1, 255, 256, u32::MAX] {
        assert_eq!(
            world.root(Command::SetReservation(reservation(2, host))).unwrap_err().code,
            ErrorCode::InvalidParameter
        );
    }
    assert!(world.root(Command::SetReservation(reservation(2, 20))).is_err(), "promised already");
    world.script(Step::Services, &[Behaviour::FailNew]);
    assert_eq!(world.root(Command::SetReservation(reservation(2, 21))).unwrap_err().step, Step::Services);
    assert_eq!(served(&world), [reservation(1, 20)]);
    assert_eq!(world.disk.reservations, [reservation(1, 20)]);
    world.root(Command::RemoveReservation(mac(1))).unwrap();
    assert!(served(&world).is_empty());
    assert_eq!(world.root(Command::RemoveReservation(mac(1))).unwrap_err().code, ErrorCode::NotFound);
}
