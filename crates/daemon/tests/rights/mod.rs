//! Who may do what: object 14, users and groups, over the socket.

use hn_conformance::checks;
use hostednet::{
    Error,
    types::{
        ErrorCode, Reason, Ssid,
        security::{DEFAULT, ELEVATED_ACCESS, EXECUTE_ACCESS, OBJECT_COUNT, WRITE_ACCESS},
        view::{HostedState, SetBy},
    },
};

use crate::world::{Who, World, run};

/// An ordinary user, of a group that is put on a list below.
const USER: Who = Who { uid: 65_534, gid: 4_711 };

fn denied<T: std::fmt::Debug>(result: Result<T, Error>) {
    let failure = result.unwrap_err().to_failure();
    assert_eq!((failure.code, failure.reason), (ErrorCode::AccessDenied, Reason::ElevationRequired));
    assert!(!failure.remedy.is_empty());
}

#[test]
fn by_default_only_administrators_force_and_decide() {
    run(async |world: &World| {
        let root = world.session().await;
        let settings = root.security_settings(ELEVATED_ACCESS).await.unwrap();
        assert_eq!((settings.sddl.as_str(), settings.set_by), (DEFAULT, SetBy::User));
        assert_eq!(settings.granted_access, WRITE_ACCESS);
        checks!(M023, M062:
            world.act_as(USER, |user| {
                let settings = user.security_settings(ELEVATED_ACCESS).unwrap();
                assert_eq!(settings.granted_access, EXECUTE_ACCESS);
                denied(user.force_start());
                denied(user.force_stop());
                denied(user.set_enabled(false));
                denied(user.set_security_settings(ELEVATED_ACCESS, "D:(A;;GA;;;WD)"));
            });
            root.force_start().await.unwrap();
            world.act_as(USER, |user| {
                denied(user.force_stop());
                assert_eq!(user.status().unwrap().hosted_network.state, HostedState::Active);
            });
            root.force_stop().await.unwrap();
        );
    });
}

#[test]
fn the_access_list_of_object_14_decides_and_survives_a_restart() {
    run(async |world: &World| {
        let root = world.session().await;
        for sddl in [
            "O:BAG:BAD:(A;;GA;;;BA)(A;;0x70023;;;S-1-22-1-65534)",
            "D:P(A;;GA;;;SY)(A;;CCDCWPSDRCWD;;;S-1-22-2-4711)",
            "D:(A;;GW;;;AU)",
        ] {
            root.set_security_settings(ELEVATED_ACCESS, sddl).await.unwrap();
            assert_eq!(root.security_settings(ELEVATED_ACCESS).await.unwrap().sddl, sddl);
            checks!(M023: world.act_as(USER, |user| {
                assert_eq!(user.security_settings(ELEVATED_ACCESS).unwrap().granted_access, WRITE_ACCESS);
                user.force_start().unwrap();
                user.force_stop().unwrap();
                user.set_enabled(true).unwrap();
            }));
        }
        drop(root);
        world.restart().await;
        let root = world.session().await;
        assert_eq!(root.security_settings(ELEVATED_ACCESS).await.unwrap().sddl, "D:(A;;GW;;;AU)");
        world.act_as(USER, |user| {
            user.force_start().unwrap();
            user.set_security_settings(ELEVATED_ACCESS, "D:(A;;GR;;;S-1-22-1-65534)").unwrap();
            denied(user.force_stop());
            denied(user.set_security_settings(ELEVATED_ACCESS, "D:(A;;GA;;;WD)"));
        });
        // Only reading is on the list: not even an administrator may force, but root may change the list back.
        denied(root.force_stop().await);
        root.set_security_settings(ELEVATED_ACCESS, "D:").await.unwrap();
        world.act_as(USER, |user| denied(user.security_settings(ELEVATED_ACCESS)));
        root.set_security_settings(ELEVATED_ACCESS, DEFAULT).await.unwrap();
        root.force_stop().await.unwrap();
    });
}

#[test]
fn objects_that_decide_nothing_keep_the_list_they_have() {
    run(async |world: &World| {
        let root = world.session().await;
        for object in (0..OBJECT_COUNT).filter(|object| *object != ELEVATED_ACCESS) {
            assert_eq!(root.security_settings(object).await.unwrap().sddl, DEFAULT);
            root.set_security_settings(object, DEFAULT).await.unwrap();
            let other = root.set_security_settings(object, "D:(A;;GA;;;WD)").await.unwrap_err();
            assert_eq!(other.code(), ErrorCode::NotSupported);
        }
        for object in [OBJECT_COUNT, u32::MAX] {
            let read = root.security_settings(object).await.unwrap_err();
            let written = root.set_security_settings(object, DEFAULT).await.unwrap_err();
            assert_eq!(
                (read.code(), written.code()),
                (ErrorCode::InvalidParameter, ErrorCode::InvalidParameter)
            );
        }
        for sddl in ["", "D:(A;;GA;;;XX)", "O:BA", &"(".repeat(100_000)] {
            let error = root.set_security_settings(ELEVATED_ACCESS, sddl).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidParameter);
        }
    });
}

#[test]
fn name_and_size_are_set_in_one_step_by_anybody_and_stop_the_network() {
    run(async |world: &World| {
        let root = world.session().await;
        root.force_start().await.unwrap();
        let ssid = Ssid::new(b"One Step").unwrap();
        world.act_as(USER, move |user| {
            user.set_connection(&ssid, 7).unwrap();
            let settings = user.settings().unwrap();
            assert_eq!((settings.ssid, settings.max_peers), (Some(ssid), 7));
            for peers in [0, 2_008, u32::MAX] {
                let error = user.set_connection(&ssid, peers).unwrap_err();
                assert_eq!(error.code(), ErrorCode::InvalidParameter);
            }
        });
        let status = root.status().await.unwrap();
        assert_eq!(status.hosted_network.state, HostedState::Idle);
        assert_eq!(status.hosted_network.reason, Reason::PropertiesChange);
    });
}
