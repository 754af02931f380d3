//! What crashes, doubled services and other people's rules for names must not come to (peers §3, no. 18 and 19), without
//! radios.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use hn_linux::undo::process_start_time;
use hn_testlab::command::{self, Background, SHORT};
use hn_testlab::lease::Client;
use hn_testlab::ns::Namespace;
use hn_testlab::product::{self, GOODBYE};
use hn_testlab::wired::{PRIVATE, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};

/// The bridge that we make.
const BRIDGE: &str = "hnbr0";

/// The scene, or `None` where this tier cannot run.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    Some(Wired::set().unwrap())
}

fn index(place: &Namespace, interface: &str) -> String {
    let line = place.ip(&format!("-o link show dev {interface}")).unwrap().stdout;
    line.split(':').next().unwrap().trim().to_owned()
}

/// A second service with these words besides the paths.
fn second(scene: &Wired, state: &std::path::Path, runtime: &std::path::Path) -> Background {
    let mut command = scene.router.command(product::binaries().unwrap().join("hostednetd"));
    command.arg("--state-dir").arg(state).arg("--runtime-dir").arg(runtime);
    Background::spawn(&mut command).unwrap()
}

#[test]
fn failure_19_a_second_service_is_refused_by_name_and_does_the_first_no_harm() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (state, runtime) = (scene.product.state.clone(), scene.product.runtime.clone());
    let other = folder.path().join("other");
    let rules = || scene.router.run("nft -s list ruleset").unwrap().stdout;
    let before = rules();
    // The same folders; another socket and the same state; another state and the same socket.
    for (state, runtime, told) in
        [(&state, &runtime, &state), (&state, &other, &state), (&other, &runtime, &runtime)]
    {
        let mut second = second(&scene, state, runtime);
        let status = second.await_end(SETTLE).unwrap();
        let said = second.log();
        assert!(!status.success(), "{said}");
        assert!(said.contains("another hostednetd"), "{said}");
        assert!(said.contains(&told.display().to_string()), "{said}");
    }
    // Nor does who puts back what a dead service left.
    let error = scene.product.undo(&scene.router).unwrap_err();
    assert!(format!("{error:#}").contains("another hostednetd"), "{error:#}");
    assert_eq!(rules(), before);
    assert_eq!(scene.product.field("/sharing/phase").unwrap(), "running");
    scene.online(0, Client::Udhcpc).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn failure_19_what_a_dead_service_left_in_its_folders_keeps_no_new_one_from_starting() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    scene.product.kill().unwrap();
    let (state, runtime) = (scene.product.state.clone(), scene.product.runtime.clone());
    assert!(runtime.join("bus").exists() && state.join("lock").exists(), "it left them");
    // What other makers of access points trip over: the number of a process that is another's by now.
    std::fs::write(state.join("lock"), format!("{}\n", std::process::id())).unwrap();
    std::fs::create_dir_all(runtime.join("hostapd/ctl")).unwrap();
    for stale in ["hostapd/global", "hostapd/ctl/hnap0"] {
        drop(UnixListener::bind(runtime.join(stale)).unwrap());
    }
    scene.product.start(&scene.router).unwrap();
    scene.share(&PRIVATE).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn failure_19_a_worker_that_hangs_holds_up_no_end() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let children = product::children(scene.product.pid().unwrap()).unwrap();
    assert!(!children.is_empty(), "there is a worker");
    for child in &children {
        rustix::process::kill_process(*child, rustix::process::Signal::STOP).unwrap();
    }
    let began = std::time::Instant::now();
    scene.product.terminate().unwrap();
    assert!(began.elapsed() < GOODBYE);
    for child in children {
        assert!(rustix::process::test_kill_process(child).is_err(), "{child:?} survives its service");
    }
    scene.restored().unwrap();
}

#[test]
fn failure_18_a_bridge_that_is_renamed_gets_its_name_back_while_devices_stay_online() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let own = index(&scene.router, BRIDGE);
    // As udev would: by a rule for whatever is new, up or not.
    scene.router.ip(&format!("link set {BRIDGE} name lan-segment-001")).unwrap();
    wait::holds("its name to be back", SETTLE, || scene.router.has_interface(BRIDGE)).unwrap();
    assert_eq!(index(&scene.router, BRIDGE), own, "the same bridge");
    assert!(!scene.router.has_interface("lan-segment-001").unwrap());
    scene.product.await_field("/sharing/phase", &"running".into(), SETTLE).unwrap();
    let again = scene.online(0, Client::Udhcpc).unwrap();
    assert_eq!((again.address, again.router), (lease.address, lease.router));
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn failure_18_a_bridge_whose_name_somebody_took_is_replaced_and_does_not_stay_behind() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let own = index(&scene.router, BRIDGE);
    // In one breath: ours is called otherwise and theirs is called as ours was.
    let taken = format!("link set {BRIDGE} name other0\nlink add {BRIDGE} type bridge\n");
    let batch = scene.router.files().join("batch");
    std::fs::write(&batch, taken).unwrap();
    scene.router.run(&format!("ip -batch {}", batch.display())).unwrap();
    let theirs = index(&scene.router, BRIDGE);
    assert_ne!(theirs, own);
    // The next word to us meets what is there.
    scene.product.terminate().unwrap();
    assert_eq!(index(&scene.router, BRIDGE), theirs, "what is not ours stays");
    assert!(!scene.router.has_interface("other0").unwrap(), "what is ours goes, whatever it is called");
    scene.router.ip(&format!("link del {BRIDGE}")).unwrap();
    scene.restored().unwrap();
}

#[test]
fn failure_18_what_a_dead_service_made_is_known_by_its_tag_when_the_journal_is_lost() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    scene.product.kill().unwrap();
    assert!(scene.router.has_interface(BRIDGE).unwrap(), "kill -9 left the bridge");
    let maker = alias(&scene.router, BRIDGE);
    std::fs::remove_file(scene.product.state.join("undo.journal")).unwrap();
    // Somebody else's, called as ours might be; one that only looks like ours; and one whose maker lives.
    let pid = std::process::id();
    let living = format!(
        "hostednet {pid} {} {}",
        process_start_time(pid).unwrap(),
        std::fs::metadata("/proc/self/ns/pid").unwrap().ino()
    );
    for (name, text) in [("hnbr1", ""), ("hnap0", "hostednet"), ("hnap1", living.as_str())] {
        scene.router.ip(&format!("link add {name} type bridge")).unwrap();
        label(&scene.router, name, text);
    }
    // And one of the dead that has another name by now.
    scene.router.ip("link add stray0 type bridge").unwrap();
    label(&scene.router, "stray0", &maker);
    scene.product.undo(&scene.router).unwrap();
    for (name, stays) in
        [(BRIDGE, false), ("stray0", false), ("hnbr1", true), ("hnap0", true), ("hnap1", true)]
    {
        assert_eq!(scene.router.has_interface(name).unwrap(), stays, "{name}");
    }
    // The name is free again, and the next segment has it.
    scene.product.start(&scene.router).unwrap();
    scene.share(&PRIVATE).unwrap();
    assert!(scene.router.has_interface(BRIDGE).unwrap());
    scene.online(0, Client::Udhcpc).unwrap();
    scene.product.terminate().unwrap();
    for name in ["hnbr1", "hnap0", "hnap1"] {
        scene.router.ip(&format!("link del {name}")).unwrap();
    }
}

fn alias(place: &Namespace, interface: &str) -> String {
    let shown = place.ip(&format!("-j link show dev {interface}")).unwrap().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown.pointer("/0/ifalias").and_then(|alias| alias.as_str()).unwrap_or_default().to_owned()
}

fn label(place: &Namespace, interface: &str, text: &str) {
    let mut ip = Command::new("ip");
    ip.args(["-n", place.name().unwrap(), "link", "set", "dev", interface, "alias", text]);
    command::run(&mut ip, SHORT).unwrap().success().unwrap();
}
