//! The undo journal against a real kernel: every kind of record, after a kill, in its own namespace only.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hn_linux::undo::{Undo, UndoJournal, process_start_time};
use hn_testlab::{Tier, ns::Namespace, require};
use hn_types::IfName;

struct Lab {
    place: Namespace,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { place: Namespace::new("undo").unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("undo.journal")
    }

    /// Writes the records down and is killed.
    fn leave(&self, undos: Vec<Undo>) {
        self.place
            .enter(|| drop(UndoJournal::open(&self.path()).unwrap().record_all(undos).unwrap()))
            .unwrap();
    }

    fn index(&self, interface: &str) -> u32 {
        let line = self.place.ip(&format!("-o link show dev {interface}")).unwrap().stdout;
        line.split(':').next().unwrap().trim().parse().unwrap()
    }

    fn replay(&self, place: &Namespace) {
        assert_eq!(place.enter(|| UndoJournal::open(&self.path()).unwrap().replay()).unwrap(), []);
    }

    fn picture(&self) -> String {
        ["-d link", "-d addr", "route show table all"]
            .map(|words| self.place.ip(words).unwrap().stdout)
            .concat()
    }
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

#[test]
fn every_kind_of_change_is_undone_newest_first() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.place.ip("link add own0 type veth peer name own1").unwrap();
    lab.place.ip("link add br-own type bridge").unwrap();
    lab.place.ip("link set own1 master br-own").unwrap();
    let before = lab.picture();
    let sysctl = "/proc/sys/net/ipv4/conf/own0/forwarding";
    let old = lab.place.enter(|| std::fs::read_to_string(sysctl).unwrap()).unwrap();

    let mut child = lab.place.command("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
    // `ip netns exec` becomes the program: same process, same start.
    let start_time = process_start_time(child.id()).unwrap();
    let (own0, own1) = (lab.index("own0"), lab.index("own1"));
    let address = "192.168.137.1/24".parse().unwrap();
    lab.leave(vec![
        Undo::Link { name: name("hnbr0"), index: 0 },
        Undo::BridgeMember { interface: name("own1"), index: own1, master: lab.index("br-own") },
        Undo::LinkUp { interface: name("own0"), index: own0, fresh: true },
        Undo::Address { interface: name("own0"), index: own0, address },
        Undo::Sysctl { path: sysctl.into(), old: old.trim().into() },
        Undo::FirewallTable,
        Undo::Process { pid: child.id(), start_time },
    ]);
    for words in [
        "link add hnbr0 type bridge",
        "link set own1 master hnbr0",
        "link set own0 up",
        "addr add 192.168.137.1/24 brd + dev own0",
    ] {
        lab.place.ip(words).unwrap();
    }
    let turned = if old.trim() == "0" { "1" } else { "0" };
    lab.place.enter(|| std::fs::write(sysctl, turned).unwrap()).unwrap();
    lab.place.run("nft add table inet hostednet").unwrap();
    lab.place.run("nft add table inet owner").unwrap();
    assert_ne!(lab.picture(), before);

    lab.replay(&lab.place);
    assert_eq!(lab.picture(), before);
    assert_eq!(lab.place.enter(|| std::fs::read_to_string(sysctl).unwrap()).unwrap(), old);
    let tables = lab.place.run("nft list tables").unwrap().stdout;
    assert!(tables.contains("owner") && !tables.contains("hostednet"), "{tables}");
    assert!(!child.wait().unwrap().success(), "the process was ended");
    assert!(lab.place.enter(|| UndoJournal::open(&lab.path()).unwrap().pending().is_empty()).unwrap());
}

#[test]
fn changes_that_were_recorded_and_never_made_are_no_error() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.place.ip("link add own0 type veth peer name own1").unwrap();
    let before = lab.picture();
    let own0 = lab.index("own0");
    let address = "192.168.137.1/24".parse().unwrap();
    lab.leave(vec![
        Undo::Link { name: name("hnbr0"), index: 0 },
        Undo::Link { name: name("hnap0"), index: 4711 },
        Undo::BridgeMember { interface: name("own0"), index: own0, master: 0 },
        Undo::BridgeMember { interface: name("gone0"), index: 4711, master: 4712 },
        Undo::BridgeMember { interface: name("own0"), index: own0, master: 4712 },
        Undo::LinkUp { interface: name("own0"), index: own0, fresh: false },
        Undo::LinkUp { interface: name("gone0"), index: 4711, fresh: false },
        Undo::Address { interface: name("own0"), index: own0, address },
        Undo::Address { interface: name("gone0"), index: 4711, address },
        Undo::Sysctl { path: "/proc/sys/net/ipv4/conf/gone0/forwarding".into(), old: "0".into() },
        Undo::FirewallTable,
        Undo::Process { pid: u32::MAX, start_time: 1 },
    ]);
    lab.replay(&lab.place);
    assert_eq!(lab.picture(), before);
}

#[test]
fn records_of_another_network_namespace_are_void() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let other = Namespace::new("other").unwrap();
    for place in [&lab.place, &other] {
        place.ip("link add hnbr0 type bridge").unwrap();
    }
    lab.leave(vec![Undo::Link { name: name("hnbr0"), index: 0 }]);
    lab.replay(&other);
    assert!(other.has_interface("hnbr0").unwrap(), "it is not ours there");
    assert!(lab.place.has_interface("hnbr0").unwrap());
}

#[test]
fn a_process_that_is_stopped_and_deaf_is_ended_too() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let mut child = Command::new("sh")
        .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    let start_time = process_start_time(child.id()).unwrap();
    lab.leave(vec![Undo::Process { pid: child.id(), start_time }]);
    lab.replay(&lab.place);
    assert!(!child.wait().unwrap().success());
    assert!(!Path::new("/proc").join(child.id().to_string()).exists());
}
