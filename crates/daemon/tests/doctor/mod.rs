//! Diagnoses through the whole service: healthy, with each thing that can be wrong, and asked for too often.

use hostednet::{
    UpArgs,
    types::{
        ErrorCode, Reason,
        diagnosis::{CheckName, Verdict},
        settings::PublicChoice,
    },
};

use crate::world::{World, run};

fn up() -> UpArgs {
    UpArgs { public: Some(PublicChoice::Auto), private: vec![], ssid: None, key: None }
}

#[test]
fn a_healthy_machine_is_told_so_and_each_problem_is_named_until_it_is_solved() {
    run(async |world: &World| {
        let session = world.session().await;
        let idle = session.diagnose(None).await.unwrap();
        assert_eq!((idle.healthy, idle.cause), (false, Some(CheckName::Sharing)));
        session.up(&up()).await.unwrap();
        world.console("join 02:00:00:00:01:01 primary pixel").await;
        let healthy = session.diagnose(Some("pixel")).await.unwrap();
        assert!(healthy.healthy, "{healthy:#?}");
        assert!(healthy.checks.iter().all(|check| check.verdict == Verdict::Ok), "{healthy:#?}");
        assert_eq!(healthy.device.unwrap().mac, "02:00:00:00:01:01".parse().ok());
        for (ill, cause) in [
            ("address", CheckName::Address),
            ("forwarding", CheckName::Forwarding),
            ("rules", CheckName::Rules),
            ("firewall", CheckName::Firewall),
            ("tables", CheckName::Tables),
            ("packet", CheckName::Packet),
            ("gateway", CheckName::Gateway),
            ("dns", CheckName::Dns),
            ("outside", CheckName::Outside),
        ] {
            world.console(&format!("ill {ill} on")).await;
            let found = session.diagnose(Some("02:00:00:00:01:01")).await.unwrap();
            assert_eq!((found.healthy, found.cause), (false, Some(cause)), "{found:#?}");
            world.console(&format!("ill {ill} off")).await;
        }
        world.console("uplink none").await;
        let lost = session.diagnose(None).await.unwrap();
        assert_eq!(lost.cause, Some(CheckName::Uplink), "{lost:#?}");
    });
}

#[test]
fn a_wrong_key_and_a_switched_off_radio_are_named() {
    run(async |world: &World| {
        let session = world.session().await;
        session.up(&up()).await.unwrap();
        let refused = world.ask("join 02:00:00:00:01:03 wrong-password").await;
        assert!(refused.starts_with("error"), "{refused}");
        let found = session.diagnose(Some("02:00:00:00:01:03")).await.unwrap();
        assert_eq!(found.cause, Some(CheckName::Key));
        assert!(found.headline.contains("tried a wrong key"), "{}", found.headline);
        world.console("switch soft off").await;
        world.until(async || session.diagnose(None).await.unwrap().cause != Some(CheckName::Key)).await;
        let found = session.diagnose(None).await.unwrap();
        assert!(matches!(found.cause, Some(CheckName::Sharing | CheckName::Radio)), "{found:#?}");
        assert!(format!("{found:?}").contains("switched off"), "{found:#?}");
    });
}

#[test]
fn a_device_nobody_knows_is_not_found_and_too_many_questions_are_refused() {
    run(async |world: &World| {
        let session = world.session().await;
        let error = session.diagnose(Some("tablet")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        let questions = (0..12).map(|_| session.diagnose(None));
        let answers = futures_util::future::join_all(questions).await;
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(!refused.is_empty(), "as many as anybody likes");
        for error in refused {
            assert_eq!(error.code(), ErrorCode::LimitExceeded);
            assert_eq!(error.to_failure().reason, Reason::Unspecified);
        }
    });
}
