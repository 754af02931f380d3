//! The parts of the service: names, start types, dependencies, pending states.

use hn_conformance::checks;
use hostednet::{
    Error, PartView, Session, ShareArgs, UpArgs,
    types::{
        MacAddr, Reason,
        part::StartType,
        settings::{PrivateChoice, PublicChoice, Reservation},
        view::{Event, HostedState, SharingMode, SharingPhase},
    },
};

use crate::world::{Who, World, next_event, run};

const USER: Who = Who { uid: 65_534, gid: 65_534 };

fn wires() -> ShareArgs {
    let interface = |name: &str| name.parse().unwrap();
    ShareArgs {
        public: PublicChoice::Interface(interface("eth0")),
        private: vec![PrivateChoice::Interface(interface("eth1"))],
    }
}

fn up() -> UpArgs {
    UpArgs { public: Some(PublicChoice::Auto), private: vec![], ssid: None, key: None }
}

async fn shared_access(session: &Session) -> PartView {
    let parts = session.parts().await.unwrap();
    parts.into_iter().find(|part| part.name == "sharedaccess").unwrap()
}

async fn state(session: &Session, name: &str) -> String {
    let parts = session.parts().await.unwrap();
    parts.into_iter().find(|part| part.name == name).unwrap().state
}

fn win32<T: std::fmt::Debug>(result: Result<T, Error>) -> u32 {
    result.unwrap_err().code().win32()
}

#[test]
fn nothing_runs_until_somebody_shares_and_nothing_afterwards() {
    run(async |world: &World| {
        let root = world.session().await;
        let nothing = world.show().await;
        checks!(M125, M126:
            let part = shared_access(&root).await;
            assert_eq!((part.start_type.as_str(), part.state.as_str()), ("manual", "stopped"));
            assert!(nothing_holds(&nothing), "{nothing}");
            root.share(&wires()).await.unwrap();
            assert_eq!(shared_access(&root).await.state, "running");
            root.unshare().await.unwrap();
            assert_eq!((shared_access(&root).await.state.as_str(), world.show().await), ("stopped", nothing));
        );
    });
}

/// No access point, no address, no rule, no forwarding, no server.
fn nothing_holds(plans: &str) -> bool {
    ["\"ap\":null", "\"addresses\":[]", "\"ipv4\":[]", "\"segments\":[]", "\"segment\":null"]
        .iter()
        .all(|nothing| plans.contains(nothing))
}

#[test]
fn shared_access_is_found_started_and_stopped_under_its_names() {
    run(async |world: &World| {
        let root = world.session().await;
        checks!(M124, M127:
            let part = shared_access(&root).await;
            assert_eq!(part.display_name, "Internet Connection Sharing (ICS)");
            assert!(part.process.starts_with("hostednetd (pid "), "{}", part.process);
            let parts = root.parts().await.unwrap();
            assert!(parts.iter().all(|other| other.process == part.process), "one process for both");
            for name in ["SharedAccess", "sharedaccess", "SHAREDACCESS", "Internet Connection Sharing (ICS)"] {
                root.start_part(name).await.unwrap();
                assert_eq!(shared_access(&root).await.state, "running", "{name}");
                root.stop_part(name).await.unwrap();
                assert_eq!(shared_access(&root).await.state, "stopped", "{name}");
            }
            // Nothing else has to be running for it, and nothing stops with it.
            assert!(part.dependents.is_empty());
            assert!(parts.iter().all(|other| !other.depends_on.contains(&part.display_name)));
            assert_eq!(state(&root, "wlan").await, "running");
        );
        assert_eq!(win32(root.stop_part("spooler").await), 87);
    });
}

#[test]
fn start_types_are_kept_and_obeyed() {
    run(async |world: &World| {
        let root = world.session().await;
        root.set_start_type("SharedAccess", StartType::Disabled).await.unwrap();
        checks!(M125:
            assert_eq!(shared_access(&root).await.start_type, "disabled");
            assert_eq!(win32(root.start_part("sharedaccess").await), 1058);
        );
        root.set_start_type("wlan", StartType::Manual).await.unwrap();
        drop(root);
        world.restart().await;
        let root = world.session().await;
        assert_eq!(shared_access(&root).await.start_type, "disabled");
        assert_eq!(state(&root, "wlan").await, "stopped");
        root.start_part("WlanSvc").await.unwrap();
        root.start_using().await.unwrap();
        assert_eq!(root.status().await.unwrap().sharing.mode, SharingMode::Off, "it is disabled");
        // An administrator who shares says otherwise, as on Windows; an ordinary user cannot.
        world.act_as(USER, |user| assert_eq!(win32(user.share(&wires())), 5));
        assert_eq!(shared_access(&root).await.start_type, "disabled");
        root.share(&wires()).await.unwrap();
        assert_eq!(shared_access(&root).await.start_type, "manual");
        root.set_start_type("sharedaccess", StartType::Automatic).await.unwrap();
        drop(root);
        world.restart().await;
        assert_eq!(shared_access(&world.session().await).await.state, "running");
    });
}

#[test]
fn without_a_dependency_sharing_is_refused_by_name_before_anything_changes() {
    run(async |world: &World| {
        let root = world.session().await;
        let depends_on = shared_access(&root).await.depends_on;
        let dependencies = [
            ("bfe", "Base Filtering Engine"),
            ("rasman", "Remote Access Connection Manager"),
            ("netman", "Network Connections"),
            ("winmgmt", "Windows Management Instrumentation"),
        ];
        assert_eq!(depends_on, dependencies.map(|(_, name)| name));
        let nothing = world.show().await;
        checks!(M123, M128, M129, M130, M131, M136:
            for (short, name) in dependencies {
                world.console(&format!("dependency {short} down")).await;
                let mut failures = Vec::new();
                failures.push(root.start_part("sharedaccess").await.unwrap_err());
                failures.push(root.share(&wires()).await.unwrap_err());
                failures.push(root.up(&up()).await.unwrap_err());
                for failure in failures.iter().map(Error::to_failure) {
                    assert_eq!(failure.code.win32(), 1068, "{failure}");
                    assert_eq!(failure.code.exit_status(), 3);
                    assert!(failure.cause.contains(name), "{failure}");
                    assert!(failure.remedy.contains(short), "{failure:?}");
                }
                assert!(shared_access(&root).await.detail.contains(name));
                assert_eq!(world.show().await, nothing);
                assert_eq!(root.status().await.unwrap().hosted_network.state, HostedState::Idle);
                world.console(&format!("dependency {short} up")).await;
                root.start_part("sharedaccess").await.unwrap();
                root.stop_part("sharedaccess").await.unwrap();
            }
        );
        // The hosted network does without sharing, and says so.
        let (_, mut events) = root.events().await.unwrap();
        world.console("dependency bfe down").await;
        root.start_using().await.unwrap();
        let trouble = next_event(&mut events, |event| matches!(event, Event::Trouble { .. })).await;
        assert!(matches!(trouble, Event::Trouble { failure } if failure.code.win32() == 1068));
        assert_eq!(root.status().await.unwrap().sharing.mode, SharingMode::Off);
    });
}

#[test]
fn pending_states_are_seen_by_others_and_calls_meanwhile_wait() {
    run(async |world: &World| {
        let (root, other) = (world.session().await, world.session().await);
        let (_, mut events) = other.events().await.unwrap();
        let phase = |wanted| move |event: &Event| matches!(event, Event::SharingChanged { sharing } if sharing.phase == wanted);
        world.console("hang firewall").await;
        let (pair, network) = (wires(), UpArgs { public: None, ..up() });
        checks!(M095, M096:
            let (share, start) = (root.share(&pair), other.start_using());
            tokio::pin!(share, start);
            tokio::select! {
                _ = &mut share => panic!("the firewall hangs"),
                _ = next_event(&mut events, phase(SharingPhase::StartPending)) => {}
            }
            assert_eq!(shared_access(&other).await.state, "start_pending");
            // A start of the network now is neither refused nor begun half: it waits its turn.
            tokio::select! {
                _ = &mut share => panic!("the firewall hangs"),
                _ = &mut start => panic!("sharing is not there yet"),
                () = async {
                    for _ in 0..5 {
                        let status = other.status().await.unwrap();
                        assert_eq!(status.hosted_network.state, HostedState::Idle);
                        assert_eq!(status.sharing.phase, SharingPhase::StartPending);
                    }
                } => {}
            }
            world.console("release firewall").await;
            let (shared, started) = tokio::join!(share, start);
            shared.unwrap();
            started.unwrap();
            next_event(&mut events, phase(SharingPhase::Running)).await;
            let status = other.status().await.unwrap();
            assert_eq!((status.hosted_network.state, status.sharing.mode), (HostedState::Active, SharingMode::Full));
            assert_eq!(shared_access(&other).await.state, "running");

            world.console("hang forwarding").await;
            let (stop, stop_network) = (root.stop_part("sharedaccess"), other.stop_using());
            tokio::pin!(stop, stop_network);
            tokio::select! {
                _ = &mut stop => panic!("forwarding hangs"),
                _ = next_event(&mut events, phase(SharingPhase::StopPending)) => {}
            }
            assert_eq!(shared_access(&other).await.state, "stop_pending");
            tokio::select! {
                _ = &mut stop => panic!("forwarding hangs"),
                _ = &mut stop_network => panic!("sharing is still on its way down"),
                status = other.status() => {
                    assert_eq!(status.unwrap().hosted_network.state, HostedState::Active);
                }
            }
            world.console("release forwarding").await;
            let (stopped, left) = tokio::join!(stop, stop_network);
            stopped.unwrap();
            left.unwrap();
            next_event(&mut events, phase(SharingPhase::Stopped)).await;
            assert_eq!(shared_access(&other).await.state, "stopped");
            assert!(nothing_holds(&world.show().await));
        );
        root.up(&network).await.unwrap();
    });
}

#[test]
fn only_administrators_stop_shared_access_and_with_it_full_sharing() {
    run(async |world: &World| {
        let root = world.session().await;
        root.share(&wires()).await.unwrap();
        world.act_as(USER, |user| {
            for result in [user.stop_part("sharedaccess"), user.start_part("sharedaccess")] {
                assert_eq!(win32(result), 5);
            }
            assert_eq!(user.status().unwrap().sharing.mode, SharingMode::Full);
        });
        root.stop_part("sharedaccess").await.unwrap();
        assert_eq!(root.status().await.unwrap().sharing.mode, SharingMode::Off);
        assert!(nothing_holds(&world.show().await));
        // E7: standalone ends too, and the network goes on without addresses from us.
        root.start_using().await.unwrap();
        assert_eq!(root.status().await.unwrap().sharing.mode, SharingMode::Standalone);
        root.stop_part("sharedaccess").await.unwrap();
        let status = root.status().await.unwrap();
        assert_eq!(
            (status.hosted_network.state, status.sharing.mode),
            (HostedState::Active, SharingMode::Off)
        );
        assert!(world.show().await.contains("\"services\":{\"segment\":null}"));
    });
}

#[test]
fn the_wlan_part_stops_the_network_by_its_reason_and_then_is_not_active() {
    run(async |world: &World| {
        let (root, other) = (world.session().await, world.session().await);
        let (_, mut events) = other.events().await.unwrap();
        root.force_start().await.unwrap();
        world.console("hang radio").await;
        let stop = root.stop_part("wlan");
        tokio::pin!(stop);
        tokio::select! {
            _ = &mut stop => panic!("the radio hangs"),
            () = world.until(async || state(&other, "wlan").await == "stop_pending") => {}
        }
        checks!(M020:
            let failure = other.start_using().await.unwrap_err().to_failure();
            assert_eq!((failure.code.win32(), failure.reason), (5023, Reason::ServiceShuttingDown));
        );
        world.console("release radio").await;
        stop.await.unwrap();
        let stopped = |event: &Event| matches!(event, Event::StateChanged { old: HostedState::Active, .. });
        let event = next_event(&mut events, stopped).await;
        assert!(
            matches!(event, Event::StateChanged { reason: Reason::ServiceShuttingDown, .. }),
            "{event:?}"
        );
        assert_eq!(state(&other, "wlan").await, "stopped");
        assert_eq!(win32(other.start_using().await), 1062);
        root.start_part("wlan").await.unwrap();
        checks!(M020:
            assert_eq!(win32(other.stop_using().await), 5023);
            world.console("adapter off").await;
            world.until(async || win32_of(other.start_using().await) == Some(5023)).await;
        );
    });
}

fn win32_of<T>(result: Result<T, Error>) -> Option<u32> {
    result.err().map(|error| error.code().win32())
}

/// How often the network stops while `action` runs.
async fn stops_during(root: &Session, other: &Session, host: u32, action: impl AsyncFnOnce()) -> usize {
    let (_, mut events) = other.events().await.unwrap();
    action().await;
    // Its event is the last one.
    let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(host).unwrap()]);
    root.set_reservation(&Reservation { mac, host, name: String::new() }).await.unwrap();
    let mut stops = 0;
    loop {
        let event = next_event(&mut events, |_| true).await;
        if event == Event::SettingsChanged {
            return stops;
        }
        stops += usize::from(matches!(event, Event::StateChanged { old: HostedState::Active, .. }));
    }
}

#[test]
fn a_running_network_is_stopped_only_for_sharing_that_was_not_there_before_it() {
    run(async |world: &World| {
        let (root, other) = (world.session().await, world.session().await);
        root.init_settings().await.unwrap();
        checks!(M137:
            other.start_using().await.unwrap();
            let stops = stops_during(&root, &other, 10, async || root.up(&up()).await.unwrap()).await;
            assert_eq!(stops, 1, "sharing came after the network");
            root.down().await.unwrap();

            root.share(&wires()).await.unwrap();
            other.start_using().await.unwrap();
            let stops = stops_during(&root, &other, 11, async || root.up(&up()).await.unwrap()).await;
            assert_eq!(stops, 0, "sharing was there before the network");
            assert_eq!(root.status().await.unwrap().hosted_network.state, HostedState::Active);
            root.down().await.unwrap();
            root.unshare().await.unwrap();
            other.stop_using().await.unwrap();

            other.start_using().await.unwrap();
            let plain = UpArgs { public: None, ..up() };
            let stops = stops_during(&root, &other, 12, async || root.up(&plain).await.unwrap()).await;
            assert_eq!(stops, 0, "no sharing is asked for");
            assert_eq!(other.status().await.unwrap().hosted_network.references, 2);
        );
    });
}
