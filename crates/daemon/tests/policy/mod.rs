//! The administrator's policy beats everybody, and is followed when it changes.

use std::{fs, os::unix::fs::PermissionsExt};

use hn_conformance::checks;
use hostednet::{
    Error, ShareArgs,
    types::{
        Key, Reason, SecondaryKey, Ssid,
        settings::{PrivateChoice, PublicChoice},
        view::{Event, HostedState, SetBy, SharingMode},
    },
};

use crate::world::{Who, World, next_event, run};

const USER: Who = Who { uid: 65_534, gid: 65_534 };

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> (u32, Reason) {
    let failure = result.unwrap_err().to_failure();
    assert!(!failure.remedy.is_empty(), "{failure:?}");
    (failure.code.win32(), failure.reason)
}

fn wires() -> ShareArgs {
    let interface = |name: &str| name.parse().unwrap();
    ShareArgs {
        public: PublicChoice::Interface(interface("eth0")),
        private: vec![PrivateChoice::Interface(interface("eth1"))],
    }
}

#[test]
fn policy_stops_the_network_and_forbids_it_to_everybody_until_it_is_lifted() {
    run(async |world: &World| {
        let root = world.session().await;
        let (_, mut events) = root.events().await.unwrap();
        root.force_start().await.unwrap();
        world.set_policy("hosted_network = false\n");
        let stop = |event: &Event| matches!(event, Event::StateChanged { old: HostedState::Active, .. });
        let stopped = next_event(&mut events, stop).await;
        let (old, new) = (HostedState::Active, HostedState::Unavailable);
        assert_eq!(stopped, Event::StateChanged { old, new, reason: Reason::GpDenied });
        checks!(M036:
            assert_eq!(code(root.start_using().await), (5023, Reason::GpDenied));
            assert_eq!(code(root.force_start().await), (5023, Reason::GpDenied));
            assert_eq!(code(root.set_enabled(true).await), (5, Reason::GpDenied));
            let settings = root.settings().await.unwrap();
            assert_eq!((settings.enabled, settings.set_by), (false, SetBy::Policy));
            world.act_as(USER, |user| {
                assert_eq!(code(user.start_using()), (5023, Reason::GpDenied));
                assert_eq!(code(user.set_enabled(true)).0, 5);
                user.set_ssid(&Ssid::new(b"Keys are free").unwrap()).unwrap();
                user.refresh_key().unwrap();
                let key = Key::passphrase("correct horse".into()).unwrap();
                user.set_secondary_key(Some(&SecondaryKey { key, persistent: true })).unwrap();
                assert!(user.keys().unwrap().secondary.is_some());
                user.set_secondary_key(None).unwrap();
            });
        );
        world.set_policy("");
        let back = next_event(&mut events, |event| matches!(event, Event::StateChanged { .. })).await;
        let (old, new) = (HostedState::Unavailable, HostedState::Idle);
        assert_eq!(back, Event::StateChanged { old, new, reason: Reason::InterfaceAvailable });
        let settings = root.settings().await.unwrap();
        assert_eq!((settings.enabled, settings.set_by), (true, SetBy::User));
        root.start_using().await.unwrap();
    });
}

#[test]
fn policy_can_also_allow_what_a_user_forbade() {
    run(async |world: &World| {
        let root = world.session().await;
        root.set_enabled(false).await.unwrap();
        world.set_policy("hosted_network = true\n");
        world.until(async || root.settings().await.unwrap().set_by == SetBy::Policy).await;
        assert!(root.settings().await.unwrap().enabled);
        assert_eq!(code(root.set_enabled(false).await), (5, Reason::GpDenied));
        root.start_using().await.unwrap();
        // It also holds after a restart, and the user's wish is there again when policy has none.
        drop(root);
        world.restart().await;
        let root = world.session().await;
        assert_eq!(root.settings().await.unwrap().set_by, SetBy::Policy);
        fs::remove_file(world.policy_file()).unwrap();
        world.hang_up();
        world.until(async || root.settings().await.unwrap().set_by == SetBy::User).await;
        assert!(!root.settings().await.unwrap().enabled);
    });
}

#[test]
fn policy_ends_sharing_and_refuses_it_while_the_network_may_run() {
    run(async |world: &World| {
        let root = world.session().await;
        root.share(&wires()).await.unwrap();
        world.set_policy("sharing = false\n");
        world.until(async || root.status().await.unwrap().sharing.mode == SharingMode::Off).await;
        assert_eq!(code(root.share(&wires()).await), (5, Reason::GpDenied));
        assert_eq!(code(root.start_part("sharedaccess").await), (5, Reason::GpDenied));
        let parts = root.parts().await.unwrap();
        assert!(parts[1].detail.contains("policy"), "{parts:?}");
        root.start_using().await.unwrap();
        let status = root.status().await.unwrap();
        assert_eq!(status.hosted_network.state, HostedState::Active);
        assert_eq!(status.sharing.mode, SharingMode::Off);
        world.set_policy("");
        world.until(async || root.share(&wires()).await.is_ok()).await;
    });
}

#[test]
fn a_policy_nobody_can_rely_on_changes_nothing_and_lets_nothing_start() {
    run(async |world: &World| {
        let root = world.session().await;
        world.set_policy("hosted_network = false\n");
        world.until(async || root.settings().await.unwrap().set_by == SetBy::Policy).await;
        let bad = ["hosted_network = maybe\n", "hosted_netwrok = true\n", "[[["];
        for (count, text) in (1..).zip(bad) {
            world.set_policy(text);
            world.until(async || world.log().matches("the policy stays as it was").count() == count).await;
            assert_eq!(code(root.start_using().await), (5023, Reason::GpDenied), "{text}");
        }
        fs::write(world.policy_file(), "hosted_network = true\n").unwrap();
        fs::set_permissions(world.policy_file(), fs::Permissions::from_mode(0o666)).unwrap();
        world.hang_up();
        world.until(async || world.log().contains("others than root may write it")).await;
        assert_eq!(code(root.start_using().await), (5023, Reason::GpDenied));
        drop(root);
        let said = world.refuses_to_start().await;
        assert!(said.contains("policy.toml") && said.contains("chmod go-w"), "{said}");
    });
}
