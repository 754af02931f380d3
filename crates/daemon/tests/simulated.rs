//! The daemon, the bus and the client library together, on the simulated platform (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod doctor;
mod parts;
mod policy;
mod rights;
mod walk;
mod world;

use futures_util::StreamExt;
use hostednet::{
    Session, ShareArgs, UpArgs,
    types::{
        ErrorCode, Key, KeyRole, Reason, SecondaryKey, Ssid, Step,
        settings::{PrivateChoice, PublicChoice, Reservation},
        view::{Event, HostedState, Ipv6Source, SharingMode, SharingPhase},
    },
};
use world::{World, next_event, run};

fn up_args() -> UpArgs {
    UpArgs { public: Some(PublicChoice::Auto), private: vec![], ssid: None, key: None }
}

#[test]
fn up_brings_everything_and_down_takes_everything_away() {
    run(async |world: &World| {
        let before = world.show().await;
        let session = world.session().await;
        let ssid = Ssid::new("Café ☕".as_bytes()).unwrap();
        session.up(&UpArgs { ssid: Some(ssid), ..up_args() }).await.unwrap();
        let status = session.status().await.unwrap();
        assert_eq!(status.hosted_network.state, HostedState::Active);
        assert_eq!(status.hosted_network.ssid, Some(ssid));
        assert_eq!(status.sharing.mode, SharingMode::Full);
        assert_eq!(status.sharing.public.unwrap().as_str(), "wlan0");
        assert_eq!(status.sharing.subnet.unwrap().to_string(), "192.168.137.1/24");
        assert_eq!(status.sharing.ipv6.source, Ipv6Source::Nat66);
        assert!(status.sharing.ipv6.prefix.unwrap().to_string().starts_with("fd"));
        session.down().await.unwrap();
        assert_eq!(world.show().await, before);
        let status = session.status().await.unwrap();
        assert_eq!(status.hosted_network.state, HostedState::Idle);
        assert_eq!(status.sharing.mode, SharingMode::Off);
    });
}

#[test]
fn a_lost_session_takes_everything_away() {
    run(async |world: &World| {
        let before = world.show().await;
        let watcher = world.session().await;
        let (_, mut events) = watcher.events().await.unwrap();
        let session = world.session().await;
        session.up(&up_args()).await.unwrap();
        drop(session);
        next_event(&mut events, |event| {
            matches!(event, Event::StateChanged { new: HostedState::Idle, reason: Reason::ClientAbort, .. })
        })
        .await;
        world.settles(&before).await;
    });
}

#[test]
fn references_of_two_sessions_are_counted() {
    run(async |world: &World| {
        let (a, b) = (world.session().await, world.session().await);
        a.start_using().await.unwrap();
        b.start_using().await.unwrap();
        assert_eq!(a.status().await.unwrap().hosted_network.references, 2);
        a.stop_using().await.unwrap();
        assert_eq!(b.status().await.unwrap().hosted_network.state, HostedState::Active);
        assert_eq!(b.status().await.unwrap().sharing.mode, SharingMode::Standalone);
        b.stop_using().await.unwrap();
        assert_eq!(b.status().await.unwrap().hosted_network.state, HostedState::Idle);
        let error = b.stop_using().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidState);
        assert_eq!(error.to_failure().reason, Reason::StopBeforeStart);
    });
}

#[test]
fn a_failing_step_leaves_the_machine_as_it_was_and_is_named() {
    run(async |world: &World| {
        let before = world.show().await;
        let session = world.session().await;
        for (lane, step) in [
            ("radio", Step::Radio),
            ("links", Step::Links),
            ("firewall", Step::Firewall),
            ("forwarding", Step::Forwarding),
            ("services", Step::Services),
        ] {
            world.console(&format!("fail {lane} no such luck")).await;
            let failure = session.up(&up_args()).await.unwrap_err().to_failure();
            assert_eq!(failure.step, step, "{failure}");
            assert!(failure.to_string().contains("no such luck"), "{failure}");
            assert!(!failure.remedy.is_empty(), "{failure:?}");
            assert_eq!(world.show().await, before, "after a failure of {lane}");
            let status = session.status().await.unwrap();
            assert_eq!(status.hosted_network.state, HostedState::Idle);
            assert_eq!(status.hosted_network.references, 0);
            assert_eq!(status.sharing.mode, SharingMode::Off);
        }
        session.up(&up_args()).await.unwrap();
    });
}

#[test]
fn both_keys_admit_and_a_wrong_one_is_shown() {
    run(async |world: &World| {
        let session = world.session().await;
        session.up(&up_args()).await.unwrap();
        let key = Key::passphrase("correct horse".into()).unwrap();
        session.set_secondary_key(Some(&SecondaryKey { key, persistent: false })).await.unwrap();
        let (_, mut events) = session.events().await.unwrap();
        world.console("join 02:00:00:00:01:01 primary pixel").await;
        world.console("join 02:00:00:00:01:02 secondary tablet").await;
        let refused = world.ask("join 02:00:00:00:01:03 wrong-password").await;
        assert!(refused.starts_with("error"), "{refused}");
        next_event(
            &mut events,
            |event| matches!(event, Event::PeerRefused { mac } if mac.to_string() == "02:00:00:00:01:03"),
        )
        .await;
        let status = session.status().await.unwrap();
        let keys: Vec<_> =
            status.devices.iter().map(|device| (device.hostname.as_deref(), device.key)).collect();
        assert_eq!(
            keys,
            [(Some("pixel"), Some(KeyRole::Primary)), (Some("tablet"), Some(KeyRole::Secondary))]
        );
        assert!(status.devices.iter().all(|device| device.ipv4.is_some()));
    });
}

#[test]
fn events_come_in_one_order_after_the_snapshot() {
    run(async |world: &World| {
        let session = world.session().await;
        let (snapshot, mut events) = session.events().await.unwrap();
        assert_eq!(snapshot.hosted_network.state, HostedState::Idle);
        session.force_start().await.unwrap();
        let mut last = 0;
        loop {
            let event = events.next().await.unwrap();
            assert!(event.sequence > last);
            last = event.sequence;
            if let Event::StateChanged { old, new, reason } = event.event {
                assert_eq!((old, new, reason), (HostedState::Idle, HostedState::Active, Reason::UserAction));
                break;
            }
        }
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_told_to_resync_and_delays_nobody() {
    run(async |world: &World| {
        let slow = world.session().await;
        let (_, mut events) = slow.events().await.unwrap();
        let session = world.session().await;
        session.up(&up_args()).await.unwrap();
        // Far more events than any queue between here and there holds.
        for _ in 0..600 {
            world.console("join 02:00:00:00:01:01 primary pixel").await;
            world.console("leave 02:00:00:00:01:01").await;
        }
        assert_eq!(session.status().await.unwrap().hosted_network.state, HostedState::Active);
        drop(session);
        let mut last = 0;
        while let Ok(Some(event)) =
            tokio::time::timeout(std::time::Duration::from_secs(5), events.next()).await
        {
            assert!(event.sequence >= last);
            last = event.sequence;
            if matches!(event.event, Event::StateChanged { new: HostedState::Idle, .. } | Event::Resync) {
                return;
            }
        }
        panic!("neither the end nor a resync mark came");
    });
}

#[test]
fn sharing_works_without_an_adapter() {
    run(async |world: &World| {
        world.console("adapter off").await;
        let session = world.session().await;
        let status = session.status().await.unwrap();
        assert_eq!(status.hosted_network.state, HostedState::Unavailable);
        assert!(!status.hosted_network.detail.is_empty());
        let error = session.start_using().await.unwrap_err().to_failure();
        assert_eq!((error.code, error.reason), (ErrorCode::InvalidState, Reason::InterfaceUnavailable));
        let eth1 = PrivateChoice::Interface("eth1".parse().unwrap());
        let public = PublicChoice::Interface("eth0".parse().unwrap());
        session.share(&ShareArgs { public, private: vec![eth1] }).await.unwrap();
        world.console("plug 02:00:00:00:02:01 eth1 printer").await;
        let status = session.status().await.unwrap();
        assert_eq!(status.sharing.phase, SharingPhase::Running);
        assert_eq!(status.devices[0].hostname.as_deref(), Some("printer"));
        session.unshare().await.unwrap();
    });
}

#[test]
fn settings_and_keys_survive_a_restart_and_running_does_not() {
    run(async |world: &World| {
        let session = world.session().await;
        let ssid = Ssid::new(&[0xff, 0, b'"', b' ']).unwrap();
        session.init_settings().await.unwrap();
        session.set_ssid(&ssid).await.unwrap();
        session.set_max_peers(7).await.unwrap();
        let key = Key::raw(&[0xa5; 32]).unwrap();
        session.set_secondary_key(Some(&SecondaryKey { key, persistent: true })).await.unwrap();
        session.force_start().await.unwrap();
        let keys = session.keys().await.unwrap();
        drop(session);
        world.restart().await;
        let session = world.session().await;
        assert_eq!(session.keys().await.unwrap(), keys);
        let settings = session.settings().await.unwrap();
        assert_eq!((settings.ssid, settings.max_peers), (Some(ssid), 7));
        assert_eq!(session.status().await.unwrap().hosted_network.state, HostedState::Idle);
    });
}

#[test]
fn a_service_that_ends_closes_its_sessions() {
    run(async |world: &World| {
        let session = world.session().await;
        session.up(&up_args()).await.unwrap();
        world.terminate().await;
        session.closed().await;
        assert_eq!(session.status().await.unwrap_err().code(), ErrorCode::ServiceNotActive);
        assert_eq!(Session::connect(&world.socket()).await.unwrap_err().code(), ErrorCode::ServiceNotActive);
        assert!(!world.socket().exists());
    });
}

#[test]
fn garbage_on_the_socket_changes_nothing() {
    run(async |world: &World| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let session = world.session().await;
        session.up(&up_args()).await.unwrap();
        let before = world.show().await;
        let samples: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0AUTH EXTERNAL ff\r\n",
            b"\0AUTH EXTERNAL 30\r\nBEGIN\r\nl\x01\0\x01\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0; 4096],
            &[0xff; 4096],
        ];
        for sample in samples {
            let mut stream = tokio::net::UnixStream::connect(world.socket()).await.unwrap();
            // The service may hang up in the middle.
            let _ = stream.write_all(sample).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        assert_eq!(world.show().await, before);
        assert_eq!(session.status().await.unwrap().hosted_network.references, 1);
    });
}

#[test]
fn malformed_calls_are_refused_by_name() {
    run(async |world: &World| {
        let stream = std::os::unix::net::UnixStream::connect(world.socket()).unwrap();
        let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
        let interface = |name: &'static str| Some(name);
        let call = async |name: &'static str, method: &str, body: &(String, Vec<u8>, bool)| {
            connection.call_method(None::<&str>, "/org/hostednet1", interface(name), method, body).await
        };
        let hosted = "org.hostednet1.HostedNetwork";
        for (kind, bytes) in [
            ("passphrase", &b"1234567"[..]),
            ("passphrase", &[b'x'; 64]),
            ("passphrase", b"12345678\n"),
            ("raw", &[0; 31]),
            ("raw", &[0; 33]),
            ("other", b"12345678"),
        ] {
            let body = (kind.to_owned(), bytes.to_vec(), true);
            let error = call(hosted, "SetSecondaryKey", &body).await.unwrap_err();
            let zbus::Error::MethodError(name, text, _) = error else { panic!("{error}") };
            assert_eq!(name.as_str(), "org.hostednet1.Error.InvalidParameter");
            assert!(!text.unwrap().contains("1234567"), "a refused key is not repeated");
        }
        for (name, method) in [
            (hosted, "SetSsid"),
            (hosted, "NoSuchMethod"),
            ("org.hostednet1.Sharing", "Up"),
            ("no.such", "Up"),
        ] {
            let body = (String::new(), vec![], true);
            assert!(call(name, method, &body).await.is_err(), "{name}.{method} with wrong arguments");
        }
        let session = world.session().await;
        assert!(!session.settings().await.unwrap().secondary_key);
        assert_eq!(session.status().await.unwrap().hosted_network.state, HostedState::Idle);
    });
}

#[test]
fn a_promised_address_is_kept_and_can_be_taken_back() {
    run(async |world: &World| {
        let session = world.session().await;
        let mac = "02:00:00:00:01:01".parse().unwrap();
        let promise = Reservation { mac, host: 20, name: "printer".to_owned() };
        session.set_reservation(&promise).await.unwrap();
        assert_eq!(session.settings().await.unwrap().reservations, [promise]);
        session.up(&up_args()).await.unwrap();
        assert!(world.show().await.contains(r#""reservations":[{"mac":"02:00:00:00:01:01","host":20"#));
        session.remove_reservation(mac).await.unwrap();
        assert_eq!(session.remove_reservation(mac).await.unwrap_err().code(), ErrorCode::NotFound);
    });
}

#[test]
fn the_service_offers_what_the_contract_says() {
    run(async |world: &World| {
        let stream = std::os::unix::net::UnixStream::connect(world.socket()).unwrap();
        let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
        let reply = connection
            .call_method(
                None::<&str>,
                "/org/hostednet1",
                Some("org.freedesktop.DBus.Introspectable"),
                "Introspect",
                &(),
            )
            .await
            .unwrap();
        let xml: String = reply.body().deserialize().unwrap();
        let contract = include_str!("../../../docs/api/org.hostednet1.txt");
        let offered = xml
            .split("<interface name=\"org.hostednet1.")
            .skip(1)
            .flat_map(|interface| interface.split("<method name=\"").skip(1))
            .map(|method| method.split('"').next().unwrap());
        let mut count = 0;
        for method in offered {
            if !contract.contains(&format!("{method}(")) {
                assert!(
                    ["Get", "GetAll", "Set", "Introspect", "Ping", "GetMachineId"].contains(&method),
                    "{method}"
                );
                continue;
            }
            count += 1;
        }
        let promised = contract
            .lines()
            .filter(|line| {
                line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  signal")
            })
            .flat_map(|line| line.split_whitespace())
            .filter_map(|word| word.split_once('('))
            .filter(|(name, _)| name.chars().next().is_some_and(char::is_uppercase))
            .count();
        assert_eq!(count, promised, "methods offered and methods in the contract");
    });
}
