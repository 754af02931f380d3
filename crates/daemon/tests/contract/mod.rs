//! Rows of the contract that a program sees over the bus, on the simulated platform (tier T1).
use crate::world::{World, next_event, run};
use hn_conformance::checks;
use hostednet::{
    Session, ShareArgs, UpArgs,
    types::{
        ErrorCode, Step,
        settings::{PrivateChoice, PublicChoice},
        view::{Event, HostedState, SharingMode, SharingPhase, Snapshot},
    },
};

fn wired(interface: &str) -> PrivateChoice {
    PrivateChoice::Interface(interface.parse().unwrap())
}

fn pair(public: &str, private: PrivateChoice) -> ShareArgs {
    ShareArgs { public: PublicChoice::Interface(public.parse().unwrap()), private: vec![private] }
}

const HN: PrivateChoice = PrivateChoice::HostedNetwork;

/// What the contract calls the two legal ends: the network active with full sharing on exactly this pair.
fn runs_on(status: &Snapshot, public: &str) -> bool {
    status.hosted_network.state == HostedState::Active
        && status.sharing.mode == SharingMode::Full
        && status.sharing.phase == SharingPhase::Running
        && status.sharing.public.is_some_and(|interface| interface.as_str() == public)
        && status.sharing.private.iter().map(|interface| Some(*interface)).collect::<Vec<_>>()
            == [status.hosted_network.interface]
}

/// The ten steps of spec/sequences.md §2, as a program takes them. Tells where it ended.
async fn ten_steps(session: &Session, public: &str) -> Result<(), (u8, ErrorCode)> {
    let at = |step: u8| move |error: hostednet::Error| (step, error.code());
    session.init_settings().await.map_err(at(1))?;
    let status = session.status().await.map_err(at(2))?.hosted_network;
    if !status.enabled || status.state == HostedState::Unavailable {
        return Err((2, ErrorCode::InvalidState));
    }
    let parts = session.parts().await.map_err(at(3))?;
    if !parts.iter().any(|part| part.name == "sharedaccess" && part.detail.is_empty()) {
        return Err((3, ErrorCode::ServiceNotActive));
    }
    session.force_stop().await.map_err(at(4))?;
    session.start_using().await.map_err(at(5))?;
    // 6: it succeeded. 7: what runs is remembered if it differs.
    let sharing = session.status().await.map_err(at(7))?.sharing;
    let cached = match (sharing.mode, sharing.public, sharing.private.first()) {
        (SharingMode::Full, Some(public), Some(private)) => {
            Some(pair(public.as_str(), PrivateChoice::Interface(*private)))
        }
        _ => None,
    };
    let listed = session.connections().await.map_err(at(8))?;
    if !listed.iter().any(|connection| connection.hosted_network) {
        return Err((8, ErrorCode::NotFound));
    }
    if let Err(error) = session.share(&pair(public, HN)).await {
        if let Some(cached) = &cached {
            session.share(cached).await.map_err(at(11))?;
        }
        session.force_stop().await.map_err(at(12))?;
        return Err((8, error.code()));
    }
    Ok(())
}

#[test]
fn the_ten_steps_end_with_the_network_and_sharing_or_with_what_was_before() {
    run(async |world: &World| {
        let (before, session) = (world.show().await, world.session().await);
        let other = world.session().await;
        let (_, mut events) = other.events().await.unwrap();
        let idle = session.connections().await.unwrap();
        // Somebody else uses the network; full sharing runs elsewhere.
        session.share(&pair("eth0", wired("eth1"))).await.unwrap();
        other.start_using().await.unwrap();
        let elsewhere = session.status().await.unwrap().sharing;
        ten_steps(&session, "wlan0").await.unwrap();
        let together = session.status().await.unwrap();
        session.unshare().await.unwrap();
        session.force_stop().await.unwrap();
        let after = session.status().await.unwrap();
        // The same steps with a failure in the eighth.
        session.share(&pair("eth0", wired("eth1"))).await.unwrap();
        world.console("fail links no such luck").await;
        let failed = ten_steps(&session, "wlan0").await;
        let cached = session.status().await.unwrap();
        checks!(M134:
            assert!(!idle.iter().any(|connection| connection.hosted_network), "not found before step 5");
            assert!(runs_on(&together, "wlan0"), "{together:?}");
            assert_eq!(together.hosted_network.references, 1, "step 4 voided the other's");
            next_event(&mut events, |event| {
                matches!(event, Event::StateChanged { old: HostedState::Active, new: HostedState::Idle, .. })
            })
            .await;
            assert_eq!((after.hosted_network.state, after.sharing.mode), (HostedState::Idle, SharingMode::Off));
            assert_eq!(failed.unwrap_err().0, 8);
            assert_eq!(cached.hosted_network.state, HostedState::Idle);
            assert_eq!((cached.sharing.public, &cached.sharing.private), (elsewhere.public, &elsewhere.private));
            assert_eq!(cached.sharing.mode, SharingMode::Full);
        );
        session.unshare().await.unwrap();
        world.settles(&before).await;
    });
}

#[test]
fn up_takes_the_ten_steps_in_their_order_or_none() {
    run(async |world: &World| {
        let session = world.session().await;
        session.share(&pair("eth0", wired("eth1"))).await.unwrap();
        // Since when there is no way out is told to devices, and begins anew with every try.
        let shown = async || {
            let text = world.show().await;
            let (first, rest) = text.split_once("\"since\":").unwrap();
            format!("{first}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        };
        let before = (shown().await, session.status().await.unwrap().sharing);
        let up = |public: &str| UpArgs {
            public: Some(PublicChoice::Interface(public.parse().unwrap())),
            private: vec![],
            ssid: None,
            key: None,
        };
        // Checks come first, whatever they find.
        let unknown = session.up(&up("nowhere0")).await.unwrap_err().to_failure();
        assert_eq!((unknown.code, unknown.step), (ErrorCode::NotFound, Step::Check));
        assert_eq!((shown().await, session.status().await.unwrap().sharing), before);
        for lane in ["radio", "links", "firewall", "forwarding", "services"] {
            world.console(&format!("fail {lane} no such luck")).await;
            let failure = session.up(&up("wlan0")).await.unwrap_err().to_failure();
            let status = session.status().await.unwrap();
            checks!(M138, M139, M140:
                assert!(failure.cause.contains("no such luck"), "{failure}");
                assert_eq!(status.hosted_network.state, HostedState::Idle, "{lane}");
                assert_eq!((shown().await, status.sharing), before, "the cached pair runs again after {lane}");
                session.up(&up("wlan0")).await.unwrap();
                assert!(runs_on(&session.status().await.unwrap(), "wlan0"), "or all of it does");
                session.down().await.unwrap();
                assert_eq!(shown().await, before.0, "and comes back when it ends");
            );
        }
    });
}

#[test]
fn devices_of_the_wireless_network_have_addresses_of_the_mode_it_is_in() {
    run(async |world: &World| {
        let session = world.session().await;
        session.start_using().await.unwrap();
        world.console("join 02:00:00:00:01:01 primary pixel").await;
        let address = async || {
            let devices = session.status().await.unwrap().devices;
            devices.iter().find_map(|device| device.ipv4).map(|address| address.octets())
        };
        let standalone = address().await.unwrap();
        let mode = session.status().await.unwrap().sharing.mode;
        checks!(M070, M071:
            assert_eq!(mode, SharingMode::Standalone);
            assert_eq!(standalone[..3], [192, 168, 173]);
        );
        session.share(&pair("wlan0", HN)).await.unwrap();
        let full = address().await.unwrap();
        checks!(M080, M090: {
            assert_eq!(session.status().await.unwrap().sharing.mode, SharingMode::Full);
            assert_eq!(full[..3], [192, 168, 137]);
        });
        session.unshare().await.unwrap();
        session.force_stop().await.unwrap();
        session.start_using().await.unwrap();
        world.console("join 02:00:00:00:01:01 primary pixel").await;
        assert_eq!(address().await.unwrap()[..3], [192, 168, 173]);
        session.share(&pair("eth0", wired("eth1"))).await.unwrap();
        checks!(M094:
            let status = session.status().await.unwrap();
            assert_eq!(status.hosted_network.peers.len(), 1, "still joined");
            assert_eq!(address().await, None, "and without an address");
            assert!(!world.show().await.contains("192.168.173."));
        );
    });
}

#[test]
fn no_call_of_the_bus_starts_or_stops_standalone() {
    run(async |world: &World| {
        let session = world.session().await;
        session.start_using().await.unwrap();
        let before = world.show().await;
        let refused = session.unshare().await.unwrap_err().code();
        let unmoved = world.show().await;
        // Off while the network runs: nothing but a start of the network brings it back.
        session.share(&pair("wlan0", HN)).await.unwrap();
        session.unshare().await.unwrap();
        let mut modes = Vec::new();
        for _ in 0..2 {
            let _ = session.unshare().await;
            modes.push(session.status().await.unwrap().sharing.mode);
            session.share(&pair("eth0", wired("eth1"))).await.unwrap();
            modes.push(session.status().await.unwrap().sharing.mode);
            session.unshare().await.unwrap();
            modes.push(session.status().await.unwrap().sharing.mode);
        }
        assert_eq!(session.status().await.unwrap().hosted_network.state, HostedState::Active);
        assert_eq!((refused, &unmoved), (ErrorCode::InvalidState, &before));
        assert!(!modes.contains(&SharingMode::Standalone), "{modes:?}");
        session.force_stop().await.unwrap();
        session.start_using().await.unwrap();
        assert_eq!(session.status().await.unwrap().sharing.mode, SharingMode::Standalone);
    });
}
