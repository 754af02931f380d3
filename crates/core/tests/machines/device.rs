//! Control over single devices.

use std::time::Duration;

use hn_core::{Command, Effect, Reply, RequestId};
use hn_types::{
    ErrorCode, KeyRole, MacAddr, QuotaPeriod, Step,
    device::{DeviceChange, DeviceCount, DeviceRule, Traffic},
    view::{DeviceView, Event},
};

use crate::world::{Behaviour, ROOT, USER, World, mac, over, pair};

fn set(world: &mut World, n: u8, change: DeviceChange) {
    world.root(Command::SetDevice(mac(n), change)).unwrap();
}

fn quota(bytes: u64, period: QuotaPeriod) -> DeviceChange {
    DeviceChange { quota_bytes: Some(bytes), quota_period: Some(period), ..DeviceChange::default() }
}

fn blocked(on: bool) -> DeviceChange {
    DeviceChange { blocked: Some(on), ..DeviceChange::default() }
}

fn wired() -> World {
    let mut world = World::new();
    world.root(Command::Share(pair("eth0", &[over("eth1")]))).unwrap();
    world
}

fn rule(world: &World, n: u8) -> DeviceRule {
    *world.applied.firewall.devices.rules.iter().find(|rule| rule.mac == mac(n)).unwrap()
}

fn known(world: &mut World, n: u8) -> DeviceView {
    let Reply::Devices(devices) = world.ask(2, USER, Command::QueryDevices).unwrap() else { panic!() };
    devices.into_iter().find(|device| device.mac == mac(n)).unwrap()
}

/// The firewall has counted so much, and is asked.
fn count(world: &mut World, n: u8, bytes: u64, exhausted: Option<u64>) {
    let traffic = Traffic { packets: 1 + bytes / 1000, bytes };
    world.counts = vec![DeviceCount { download: traffic, exhausted, ..DeviceCount::new(mac(n)) }];
    world.pass(Duration::from_secs(3));
    world.run();
}

#[test]
fn what_is_decided_is_checked_saved_enforced_and_told() {
    let mut world = wired();
    assert!(world.applied.firewall.devices.is_empty());
    let change = DeviceChange {
        name: Some("tv".into()),
        note: Some("living room".into()),
        isolated: Some(true),
        upload_limit: Some(10_000),
        download_limit: Some(20_000),
        host: Some(20),
        ..quota(1_000, QuotaPeriod::Day)
    };
    world.events.clear();
    set(&mut world, 1, change);
    assert_eq!(world.disk.devices[0].name, "tv");
    assert_eq!(world.disk.reservations[0].host, 20);
    let port = &world.applied.firewall.devices.ports[0];
    assert_eq!((port.name.as_str(), port.index), ("eth1", 3));
    assert_eq!(
        rule(&world, 1),
        DeviceRule {
            mac: mac(1),
            blocked: false,
            isolated: true,
            upload_limit: Some(10_000),
            download_limit: Some(20_000),
            until: Some(1_000),
        }
    );
    assert!(world.events.iter().any(|event| matches!(event, Event::DeviceChanged { settings: Some(_), .. })));
    let view = known(&mut world, 1);
    assert_eq!(view.settings.unwrap().note, "living room");
    assert_eq!(view.fixed_ipv4, Some([192, 168, 137, 20].into()));
    assert!(view.random_mac && !view.connected);
    // Zero lifts, absence keeps.
    let lift = DeviceChange { upload_limit: Some(0), quota_bytes: Some(0), ..DeviceChange::default() };
    set(&mut world, 1, lift);
    let rule = rule(&world, 1);
    assert_eq!((rule.upload_limit, rule.download_limit, rule.until), (None, Some(20_000), None));
    world.root(Command::ForgetDevice(mac(1))).unwrap();
    assert!(world.disk.devices.is_empty() && world.disk.reservations.is_empty());
    assert!(world.applied.firewall.devices.is_empty());
    assert_eq!(world.root(Command::ForgetDevice(mac(1))).unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn nonsense_and_strangers_are_refused() {
    let mut world = wired();
    let none = DeviceChange::default;
    let wrong = [
        (MacAddr::BROADCAST, none()),
        (MacAddr::ZERO, none()),
        (mac(1), DeviceChange { name: Some("x".repeat(65)), ..none() }),
        (mac(1), DeviceChange { note: Some("a\u{1b}[2J".into()), ..none() }),
        (mac(1), DeviceChange { upload_limit: Some(1), ..none() }),
        (mac(1), DeviceChange { quota_period: Some(QuotaPeriod::Day), ..none() }),
        (mac(1), DeviceChange { host: Some(1), ..none() }),
    ];
    for (mac, change) in wrong {
        let failure = world.root(Command::SetDevice(mac, change)).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidParameter, "{failure}");
    }
    for command in
        [Command::SetDevice(mac(1), none()), Command::ForgetDevice(mac(1)), Command::DisconnectDevice(mac(1))]
    {
        assert_eq!(world.ask(2, USER, command).unwrap_err().code, ErrorCode::AccessDenied);
    }
    for n in 0..=255 {
        let result = world.root(Command::SetDevice(MacAddr([2, 1, 0, 0, 0, n]), none()));
        assert!(result.is_ok());
    }
    assert_eq!(world.root(Command::SetDevice(mac(1), none())).unwrap_err().code, ErrorCode::LimitExceeded);
}

#[test]
fn a_rule_that_the_firewall_refuses_is_not_kept() {
    let mut world = wired();
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    let failure = world.root(Command::SetDevice(mac(1), blocked(true))).unwrap_err();
    assert_eq!(failure.step, Step::Firewall);
    assert!(world.disk.devices.is_empty());
    assert!(world.applied.firewall.devices.is_empty());
}

#[test]
fn a_blocked_device_is_kept_out_everywhere() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    world.join(mac(1), KeyRole::Primary);
    set(&mut world, 1, blocked(true));
    assert!(world.applied.ap.as_ref().unwrap().keys.denied.contains(&mac(1)));
    assert!(world.applied.services.segment.as_ref().unwrap().dhcp.denied.contains(&mac(1)));
    set(&mut world, 1, blocked(false));
    assert!(world.applied.ap.as_ref().unwrap().keys.denied.is_empty());
    assert!(world.applied.services.segment.as_ref().unwrap().dhcp.denied.is_empty());
}

#[test]
fn what_is_counted_adds_up_over_restarts_of_the_counters_and_of_the_service() {
    let mut world = wired();
    set(&mut world, 1, DeviceChange::default());
    count(&mut world, 1, 5_000, None);
    count(&mut world, 1, 7_000, None);
    assert_eq!(known(&mut world, 1).usage.unwrap().download.bytes, 7_000);
    // The table was made anew and began at nothing.
    count(&mut world, 1, 500, None);
    assert_eq!(known(&mut world, 1).usage.unwrap().download.bytes, 7_500);
    world.root(Command::Unshare).unwrap();
    assert_eq!(world.disk.usage[0].download.bytes, 7_500, "written down when the table goes");
    let mut again = World::bare_with(hn_core::Config::new("laptop", "m"), world.disk.clone());
    again.open(1);
    again.open(2);
    assert_eq!(known(&mut again, 1).usage.unwrap().download.bytes, 7_500);
    set(&mut again, 1, DeviceChange { reset_counters: true, ..DeviceChange::default() });
    assert_eq!(known(&mut again, 1).usage.unwrap().download.bytes, 0);
}

#[test]
fn while_nobody_is_counted_no_clock_runs() {
    let mut world = wired();
    assert!(world.core.poll_timeout().is_none());
    set(&mut world, 1, DeviceChange::default());
    assert_eq!(world.core.poll_timeout().unwrap().1, "device counters");
    world.root(Command::Unshare).unwrap();
    assert!(world.core.poll_timeout().is_none());
}

#[test]
fn a_quota_is_told_as_a_reading_that_does_not_move_while_it_is_used_up() {
    let mut world = wired();
    set(&mut world, 1, quota(10_000, QuotaPeriod::Total));
    let before = world.history.len();
    for bytes in [1_000, 4_000, 9_000] {
        count(&mut world, 1, bytes, None);
        assert_eq!(rule(&world, 1).until, Some(10_000));
    }
    let asked = world.history[before..].iter().filter(|step| **step == Step::Firewall).count();
    assert_eq!(asked, 3, "the table was read and never written");
    world.events.clear();
    count(&mut world, 1, 9_900, Some(10_000));
    assert!(world.events.contains(&Event::QuotaExhausted { mac: mac(1), bytes: 10_000 }));
    assert!(known(&mut world, 1).usage.unwrap().exhausted);
    assert!(world.disk.usage[0].exhausted, "at once");
    assert_eq!(rule(&world, 1).until, Some(0), "nothing more, whatever the counters say");
    // More is more, and what was used stays used.
    set(&mut world, 1, quota(20_000, QuotaPeriod::Total));
    assert_eq!(rule(&world, 1).until, Some(20_000));
    set(&mut world, 1, DeviceChange { reset_quota: true, ..DeviceChange::default() });
    assert_eq!(rule(&world, 1).until, Some(29_900), "from the present reading on");
    assert_eq!(known(&mut world, 1).usage.unwrap().spent, 0);
}

#[test]
fn a_quota_of_a_day_begins_anew_at_midnight_and_not_when_the_clock_is_set_back() {
    let mut world = wired();
    set(&mut world, 1, quota(10_000, QuotaPeriod::Day));
    count(&mut world, 1, 12_000, None);
    assert!(known(&mut world, 1).usage.unwrap().exhausted);
    world.events.clear();
    let noon = world.now.wall;
    world.now.wall = hn_types::Wall::from_unix(noon.as_unix() - 3 * 86_400);
    count(&mut world, 1, 12_000, None);
    assert!(known(&mut world, 1).usage.unwrap().exhausted, "yesterday was before today");
    world.now.wall = hn_types::Wall::from_unix(noon.as_unix() + 86_400);
    count(&mut world, 1, 12_000, None);
    assert!(world.events.contains(&Event::QuotaRenewed { mac: mac(1) }));
    assert_eq!(rule(&world, 1).until, Some(22_000));
}

#[test]
fn an_old_answer_does_not_use_up_a_quota_that_began_anew() {
    let mut world = wired();
    set(&mut world, 1, quota(10_000, QuotaPeriod::Total));
    set(&mut world, 1, quota(50_000, QuotaPeriod::Total));
    count(&mut world, 1, 9_900, Some(10_000));
    assert!(!known(&mut world, 1).usage.unwrap().exhausted);
}

#[test]
fn rules_follow_their_interface_and_a_table_that_is_gone_is_made_again() {
    let mut world = wired();
    set(&mut world, 1, blocked(true));
    let mut network = crate::world::network();
    network.links.iter_mut().find(|link| link.name.as_str() == "eth1").unwrap().index = 77;
    world.platform(hn_types::observed::PlatformEvent::Network(network));
    world.run();
    assert_eq!(world.applied.firewall.devices.ports[0].index, 77);
    world.script(Step::Firewall, &[Behaviour::FailOld]);
    let before = world.history.len();
    world.pass(Duration::from_secs(3));
    world.run();
    let (only, last) = (&world.history[before..], &world.applied.firewall.devices);
    assert_eq!(
        (only, last.is_empty()),
        (&[Step::Firewall][..], false),
        "counting failed, so it is applied again"
    );
}

#[test]
fn a_device_is_sent_away_once_the_radio_has_time_and_who_cannot_be_is_named() {
    let mut world = World::new();
    world.ask(1, USER, Command::StartUsing).unwrap();
    assert_eq!(
        world.root(Command::DisconnectDevice(mac(1))).unwrap_err().code,
        ErrorCode::NotFound,
        "nobody is there"
    );
    world.join(mac(1), KeyRole::Primary);
    world.root(Command::DisconnectDevice(mac(1))).unwrap();
    world.script(Step::Radio, &[Behaviour::FailOld]);
    assert_eq!(world.root(Command::DisconnectDevice(mac(1))).unwrap_err().step, Step::Radio);
    // The radio hangs: the second waits, the first is answered in time.
    world.script(Step::Radio, &[Behaviour::Hang]);
    let requests: [RequestId; 2] =
        std::array::from_fn(|_| world.send(1, ROOT, Command::DisconnectDevice(mac(1))));
    let asked = |world: &World| {
        let radio = world.pending.get(&Step::Radio);
        radio.map_or(0, |queue| queue.iter().filter(|(_, it)| matches!(it, Effect::Disconnect(_))).count())
    };
    assert_eq!(asked(&world), 1);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.replies[&requests[0]].as_ref().unwrap_err().code, ErrorCode::Timeout);
    world.script(Step::Radio, &[]);
    world.run();
    assert_eq!(world.replies[&requests[1]], Ok(Reply::Done));
}
