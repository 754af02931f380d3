//! Who may do what, the policy and the parts of the service, as a person meets them.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use hn_conformance::checks;

use crate::{World, wait};

/// `hostednet words…` as another user, with or without `CAP_NET_ADMIN`: its exit status and what it says.
fn run_as(world: &World, capable: bool, words: &[&str]) -> (i32, String) {
    fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    if capable {
        command.args(["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"]);
    }
    let output = command
        .arg(env!("CARGO_BIN_EXE_hostednet"))
        .args(words)
        .env("HOSTEDNET_SOCKET", world.folder.path().join("run/bus"))
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_user_is_refused_with_status_4_and_a_capability_or_the_list_lets_in() {
    let world = World::new();
    checks!(M062:
        for words in [&["start"][..], &["stop"]] {
            let (status, said) = run_as(&world, false, words);
            assert_eq!(status, 4, "{words:?}: {said}");
            assert!(said.contains("access_denied"), "{said}");
        }
    );
    for words in [&["disallow"][..], &["service", "stop", "sharedaccess"], &["share", "eth0", "eth1"]] {
        assert_eq!(run_as(&world, false, words).0, 4, "{words:?}");
    }
    for words in [&["start"][..], &["stop"], &["service", "start", "SharedAccess"]] {
        assert_eq!(run_as(&world, true, words), (0, String::new()), "{words:?}");
    }
    world.ok(&["settings", "access", "D:(A;;GA;;;BA)(A;;GA;;;S-1-22-1-65534)"]);
    checks!(M023:
        assert_eq!(run_as(&world, false, &["start"]).0, 0);
        assert_eq!(run_as(&world, false, &["stop"]).0, 0);
    );
    assert_eq!(world.fails(&["settings", "access", "D:nonsense"]).0, 2);
}

#[test]
fn policy_and_stopped_parts_have_exit_statuses_of_their_own() {
    let world = World::new();
    fs::write(world.folder.path().join("policy.toml"), "hosted_network = false\n").unwrap();
    let service = rustix::process::Pid::from_child(&world.service);
    rustix::process::kill_process(service, rustix::process::Signal::HUP).unwrap();
    wait(|| world.json(&["status", "--json"])["hosted_network"]["set_by"] == "policy");
    checks!(M036:
        let (status, said) = world.fails(&["start"]);
        assert_eq!(status, 5, "{said}");
        assert!(said.contains("gp_denied"), "{said}");
        assert_eq!(world.fails(&["allow"]).0, 4);
        world.ok(&["key", "refresh"]);
    );
    let part = world.json(&["service", "set-start-type", "SharedAccess", "disabled", "--json"]);
    assert_eq!((&part["start_type"], &part["state"]), (&"disabled".into(), &"stopped".into()));
    assert_eq!(world.fails(&["service", "start", "sharedaccess"]).0, 3);
    assert_eq!(world.console("dependency bfe down"), "ok");
    let (status, said) = world.fails(&["share", "eth0", "eth1"]);
    checks!(M123, M128:
        assert_eq!(status, 3, "{said}");
        assert!(said.contains("Base Filtering Engine") && said.contains("service_dependency_fail"), "{said}");
    );
    world.ok(&["service", "stop", "wlan"]);
    assert_eq!(world.fails(&["start"]).0, 3);
    assert_eq!(world.json(&["service", "status", "wlan", "--json"])[0]["state"], "stopped");
}
