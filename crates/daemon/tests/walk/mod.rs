//! Every method of the bus, called by root, by any user, with its part stopped, and against the policy.

use std::collections::BTreeSet;

use hn_conformance::checks;
use hostednet::{
    DeviceChange, Error, MappingArgs, MappingTarget, Protocol, Role, ShareArgs, UpArgs,
    blocking::Session,
    types::{
        Key, MacAddr, SecondaryKey, Ssid,
        part::StartType,
        security::{DEFAULT, ELEVATED_ACCESS},
        settings::{ApSettings, PrivateChoice, PublicChoice, Reservation},
        view::{HostedState, SetBy},
    },
};

use crate::world::{Who, World, run};

const ROOT: Who = Who { uid: 0, gid: 0 };
const USER: Who = Who { uid: 65_534, gid: 65_534 };

type Call = fn(&Session) -> Result<(), Error>;

/// A call and the Win32 number it is answered with, 0 for success: by root; by any user; by root with both parts stopped;
/// by root while policy forbids the hosted network and sharing.
struct Row {
    method: &'static str,
    call: Call,
    answers: [u32; 4],
}

const fn row(method: &'static str, answers: [u32; 4], call: Call) -> Row {
    Row { method, call, answers }
}

fn up(public: Option<PublicChoice>) -> UpArgs {
    UpArgs { public, private: vec![], ssid: None, key: None }
}

fn wires() -> ShareArgs {
    let interface = |name: &str| name.parse().unwrap();
    ShareArgs {
        public: PublicChoice::Interface(interface("eth0")),
        private: vec![PrivateChoice::Interface(interface("eth1"))],
    }
}

fn ssid() -> Ssid {
    Ssid::new(b"walk").unwrap()
}

fn hidden() -> ApSettings {
    ApSettings { hidden: Some(true), ..ApSettings::default() }
}

fn key() -> SecondaryKey {
    SecondaryKey { key: Key::passphrase("correct horse".into()).unwrap(), persistent: true }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //                                root  user stopped denied
    row("InitSettings",              [   0,    0, 1062,    0], |s| s.init_settings()),
    row("StartUsing",                [   0,    0, 1062, 5023], |s| s.start_using()),
    row("StopUsing",                 [5023, 5023, 1062, 5023], |s| s.stop_using()),
    row("ForceStart",                [   0,    5, 1062, 5023], |s| s.force_start()),
    row("ForceStop",                 [   0,    5, 1062,    0], |s| s.force_stop()),
    row("SetEnabled",                [   0,    5, 1062,    5], |s| s.set_enabled(true)),
    row("SetConnection",             [   0,    0, 1062,    0], |s| s.set_connection(&ssid(), 50)),
    row("SetSsid",                   [   0,    0, 1062,    0], |s| s.set_ssid(&ssid())),
    row("SetMaxPeers",               [   0,    0, 1062,    0], |s| s.set_max_peers(60)),
    row("SetAccessPoint",            [   0,    0, 1062,    0], |s| s.set_access_point(&hidden())),
    row("RefreshKey",                [   0,    0, 1062,    0], |s| s.refresh_key()),
    row("SetSecondaryKey",           [   0,    0, 1062,    0], |s| s.set_secondary_key(Some(&key()))),
    row("ClearSecondaryKey",         [   0,    0, 1062,    0], |s| s.set_secondary_key(None)),
    row("Keys",                      [   0,    0, 1062,    0], |s| s.keys().map(drop)),
    row("Settings",                  [   0,    0, 1062,    0], |s| s.settings().map(drop)),
    row("SecuritySettings",          [   0,    0, 1062,    0], |s| s.security_settings(ELEVATED_ACCESS).map(drop)),
    row("SetSecuritySettings",       [   0,    5, 1062,    0], |s| s.set_security_settings(ELEVATED_ACCESS, DEFAULT)),
    row("Up",                        [   0,    5, 1062, 5023], |s| s.up(&up(Some(PublicChoice::Auto)))),
    row("Up",                        [   0,    0, 1062, 5023], |s| s.up(&up(None))),
    row("Down",                      [5023, 5023, 5023, 5023], |s| s.down()),
    row("Share",                     [   0,    5,    0,    5], |s| s.share(&wires())),
    row("Unshare",                   [   0,    5,    0,    0], |s| s.unshare()),
    row("EnableSharing",             [   0,    5,    0,    5], |s| s.enable_sharing("eth0", Role::Public)),
    row("DisableSharing",            [   0,    5,    0,    0], |s| s.disable_sharing("eth0")),
    row("SetFirewall",               [   0,    5,    0,    0], |s| s.set_firewall("eth0", false)),
    row("Mappings",                  [   0,    0,    0,    0], |s| s.mappings().map(drop)),
    row("AddMapping",                [  87,    5,   87,   87], |s| s.add_mapping(&no_mapping()).map(drop)),
    row("SetMappingEnabled",         [1168,    5, 1168, 1168], |s| s.set_mapping_enabled(4_000, true)),
    row("RemoveMapping",             [1168,    5, 1168, 1168], |s| s.remove_mapping(4_000)),
    row("SetReservation",            [   0,    5,    0,    0], |s| s.set_reservation(&promise())),
    row("RemoveReservation",         [1168,    5, 1168, 1168], |s| s.remove_reservation("02:00:00:00:00:99".parse().unwrap())),
    row("Devices",                   [   0,    0,    0,    0], |s| s.devices().map(drop)),
    row("SetDevice",                 [   0,    5,    0,    0], |s| s.set_device(tv(), &named())),
    row("ForgetDevice",              [1168,    5, 1168, 1168], |s| s.forget_device("02:00:00:00:00:99".parse().unwrap())),
    row("DisconnectDevice",          [1168,    5, 1168, 1168], |s| s.disconnect_device(tv())),
    row("Connections",               [   0,    0,    0,    0], |s| s.connections().map(drop)),
    row("Status",                    [   0,    0,    0,    0], |s| s.status().map(drop)),
    row("Subscribe",                 [   0,    0,    0,    0], |s| s.events().map(drop)),
    row("Parts",                     [   0,    0,    0,    0], |s| s.parts().map(drop)),
    row("Diagnose",                  [   0,    0,    0,    0], |s| s.diagnose(None).map(drop)),
    row("StartPart",                 [   0,    5,    0,    0], |s| s.start_part("wlan")),
    row("StartPart",                 [   0,    5,    0,    5], |s| s.start_part("SharedAccess")),
    row("StopPart",                  [   0,    5,    0,    0], |s| s.stop_part("SharedAccess")),
    row("SetStartType",              [   0,    5,    0,    0], |s| s.set_start_type("wlan", StartType::Automatic)),
];

/// Permitted, but there is no port 0.
fn no_mapping() -> MappingArgs {
    MappingArgs {
        connection: Some("eth0".into()),
        name: String::new(),
        protocol: Protocol::Tcp,
        external_port: 0,
        internal_port: None,
        target: MappingTarget::Name("tv".into()),
        enabled: false,
    }
}

fn tv() -> MacAddr {
    "02:00:00:00:00:97".parse().unwrap()
}

fn named() -> DeviceChange {
    DeviceChange { name: Some("tv".into()), ..DeviceChange::default() }
}

fn promise() -> Reservation {
    Reservation { mac: "02:00:00:00:00:98".parse().unwrap(), host: 98, name: String::new() }
}

/// Calls every method in a session of its own, from a machine on which nothing runs.
fn walk(world: &World, column: usize, who: Who, prepare: Call) {
    for Row { method, call, answers } in TABLE {
        world.act_as(ROOT, move |root| {
            root.start_part("wlan").unwrap();
            root.force_stop().unwrap();
            root.unshare().unwrap();
            root.stop_part("sharedaccess").unwrap();
            prepare(root).unwrap();
        });
        world.act_as(who, move |session| {
            let answer = call(session).map_or_else(|error| error.code().win32(), |()| 0);
            assert_eq!(answer, answers[column], "{method}, column {column}");
        });
    }
}

async fn offered(world: &World) -> BTreeSet<String> {
    let stream = std::os::unix::net::UnixStream::connect(world.socket()).unwrap();
    let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
    let interface = Some("org.freedesktop.DBus.Introspectable");
    let reply = connection.call_method(None::<&str>, "/org/hostednet1", interface, "Introspect", &()).await;
    let xml: String = reply.unwrap().body().deserialize().unwrap();
    xml.split("<interface name=\"org.hostednet1.")
        .skip(1)
        .flat_map(|interface| {
            interface.split("</interface>").next().unwrap().split("<method name=\"").skip(1)
        })
        .map(|method| method.split('"').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_method_is_in_the_table() {
    run(async |world: &World| {
        let table: BTreeSet<String> = TABLE.iter().map(|row| row.method.to_owned()).collect();
        assert_eq!(offered(world).await, table);
    });
}

#[test]
fn root_may_do_everything() {
    run(async |world: &World| walk(world, 0, ROOT, |_| Ok(())));
}

#[test]
fn any_user_may_use_the_network_and_its_keys_and_nothing_else() {
    run(async |world: &World| {
        checks!(M035, M051, M062: walk(world, 1, USER, |_| Ok(())));
        // The whole way of an ordinary user, with its effects.
        checks!(M057: world.act_as(USER, |user| {
            let state = || user.status().unwrap().hosted_network.state;
            user.start_using().unwrap();
            assert_eq!(state(), HostedState::Active);
            user.stop_using().unwrap();
            assert_eq!(state(), HostedState::Idle);
        }));
        checks!(M035, M051: world.act_as(USER, |user| {
            let before = user.keys().unwrap();
            user.refresh_key().unwrap();
            assert_ne!(user.keys().unwrap().primary, before.primary);
            user.set_secondary_key(Some(&key())).unwrap();
            assert_eq!(user.keys().unwrap().secondary, Some(key().key));
        }));
    });
}

#[test]
fn a_stopped_part_answers_that_it_is_not_active() {
    run(async |world: &World| {
        checks!(M019: walk(world, 2, ROOT, |root| root.stop_part("wlan")));
    });
}

#[test]
fn policy_forbids_starting_and_sharing_to_root_too() {
    run(async |world: &World| {
        let root = world.session().await;
        world.set_policy("hosted_network = false\nsharing = false\n");
        world.until(async || root.settings().await.unwrap().set_by == SetBy::Policy).await;
        checks!(M036: walk(world, 3, ROOT, |_| Ok(())));
    });
}

#[test]
fn a_user_with_too_many_sessions_is_told_so_and_others_are_not_concerned() {
    run(async |world: &World| {
        let socket = world.socket();
        world.act_as(USER, move |first| {
            // Connections that say nothing count too, until they are hung up on.
            let silent: Vec<_> =
                (0..255).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
            let failure = Session::connect(&socket).unwrap_err().to_failure();
            assert_eq!((failure.code.win32(), failure.code.as_str()), (1220, "session_limit_exceeded"));
            assert!(!failure.remedy.is_empty());
            first.status().unwrap();
            drop(silent);
            first.init_settings().unwrap();
        });
        world.session().await.force_start().await.unwrap();
    });
}
