//! The links lane against a real kernel: what it makes, what it refuses, and that nothing of it stays.
//!
//! Each test has a namespace of its own and compares it, before and after, with `ip` and with every sysctl.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "tests")]

use std::{collections::BTreeMap, path::Path, rc::Rc};

use hn_linux::{links::LinuxLinks, undo::UndoJournal};
use hn_ports::{Changed, Links as _};
use hn_testlab::{Tier, ns::Namespace, require};
use hn_types::{
    DriverError, DriverErrorKind, IfName,
    plan::{BridgePlan, LinkAddress, LinkPlan},
};

/// A machine with a cable that is up, one that is down, and one in a bridge of the owner's.
struct Lab {
    place: Namespace,
    /// The far ends of the cables: another machine, whose own doings do not count.
    _far: Namespace,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let (place, far) = (Namespace::new("links").unwrap(), Namespace::new("far").unwrap());
        for near in ["up0", "down0", "owned0"] {
            let far_name = far.name().unwrap();
            place.ip(&format!("link add {near} type veth peer name {near} netns {far_name}")).unwrap();
            far.ip(&format!("link set {near} up")).unwrap();
        }
        for words in [
            "link add br-own type bridge",
            "link set owned0 master br-own",
            "link set up0 up",
            "link set owned0 up",
            "addr add 10.7.0.1/24 dev up0",
            "route add 10.8.0.0/16 via 10.7.0.2",
        ] {
            place.ip(words).unwrap();
        }
        for near in ["up0", "owned0"] {
            hn_testlab::ns::await_ready(&place, near).unwrap();
        }
        Self { place, _far: far, folder: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> UndoJournal {
        UndoJournal::open(&self.folder.path().join("undo.journal")).unwrap()
    }

    /// Runs `work` with a lane, in the namespace. The lane is dropped as by `kill -9`: without undoing.
    fn with_lane<T: Send>(&self, work: impl FnOnce(&mut Lane) -> T + Send) -> T {
        self.place
            .enter(|| {
                let journal = Rc::new(self.journal());
                work(&mut Lane(LinuxLinks::new(journal, None)))
            })
            .unwrap()
    }

    /// Everything that must be as before.
    fn picture(&self) -> BTreeMap<String, String> {
        let ip = |words: &str| (words.to_owned(), self.place.ip(words).unwrap().stdout);
        let mut picture: BTreeMap<_, _> =
            ["-d link", "-d addr", "route show table all", "-6 route show table all", "rule", "-d neigh"]
                .map(ip)
                .into();
        self.place.enter(|| sysctls(Path::new("/proc/sys/net"), &mut picture)).unwrap();
        picture
    }
}

fn sysctls(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sysctls(&path, into);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            into.insert(path.display().to_string(), text);
        }
    }
}

fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (name, value) in before {
        assert_eq!(after.get(name), Some(value), "{name} is not as before");
    }
    assert_eq!(before.len(), after.len(), "something is new");
}

struct Lane(LinuxLinks);

impl Lane {
    fn apply(&mut self, plan: &LinkPlan) -> Result<Changed, DriverError> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(self.0.apply(plan))
    }
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn addressed(interface: &str, address: &str) -> LinkPlan {
    let address = LinkAddress { interface: name(interface), address: address.parse().unwrap() };
    LinkPlan { addresses: vec![address], ..LinkPlan::default() }
}

fn bridged(members: &[&str]) -> LinkPlan {
    let bridge =
        BridgePlan { name: name("hnbr0"), members: members.iter().map(|member| name(member)).collect() };
    LinkPlan { bridge: Some(bridge), ..addressed("hnbr0", "192.168.137.1/24") }
}

#[test]
fn an_interface_that_was_down_is_addressed_and_then_as_before() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    lab.with_lane(|lane| {
        let plan = addressed("down0", "192.168.137.1/24");
        assert_eq!(lane.apply(&plan), Ok(Changed::Yes));
        let shown = lab.place.ip("-4 addr show dev down0").unwrap().stdout;
        assert!(shown.contains("inet 192.168.137.1/24 brd 192.168.137.255"), "{shown}");
        assert!(shown.contains(",UP"), "{shown}");
        let routes = lab.place.ip("route").unwrap().stdout;
        assert!(routes.contains("192.168.137.0/24 dev down0"), "{routes}");
        assert_eq!(lane.apply(&plan), Ok(Changed::No), "the same plan again");
        assert_eq!(lane.apply(&LinkPlan::default()), Ok(Changed::Yes));
    });
    assert_same(&before, &lab.picture());
    assert!(lab.place.enter(|| lab.journal().pending().is_empty()).unwrap());
}

#[test]
fn what_was_there_before_is_left_alone() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    lab.with_lane(|lane| {
        assert_eq!(lane.apply(&addressed("up0", "10.7.0.1/24")), Ok(Changed::No), "the owner's address");
        assert_eq!(lane.apply(&addressed("up0", "192.168.137.1/24")), Ok(Changed::Yes));
        assert_eq!(lane.apply(&LinkPlan::default()), Ok(Changed::Yes));
        assert_eq!(lane.apply(&LinkPlan::default()), Ok(Changed::No));
    });
    assert_same(&before, &lab.picture());
}

#[test]
fn a_bridge_borrows_its_members_and_gives_them_back() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    lab.with_lane(|lane| {
        assert_eq!(lane.apply(&bridged(&["down0", "owned0"])), Ok(Changed::Yes));
        for member in ["down0", "owned0"] {
            let shown = lab.place.ip(&format!("link show dev {member}")).unwrap().stdout;
            assert!(shown.contains("master hnbr0") && shown.contains(",UP"), "{shown}");
        }
        let mac = lab.place.mac("hnbr0").unwrap();
        assert_eq!(lane.apply(&bridged(&["down0"])), Ok(Changed::Yes));
        let shown = lab.place.ip("link show dev owned0").unwrap().stdout;
        assert!(shown.contains("master br-own"), "{shown}");
        assert_eq!(lab.place.mac("hnbr0").unwrap(), mac, "devices remember the address of the bridge");
        assert_eq!(lane.apply(&LinkPlan::default()), Ok(Changed::Yes));
    });
    assert_same(&before, &lab.picture());
}

#[test]
fn an_address_that_another_interface_has_is_refused_and_nothing_is_changed() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    let error = lab.with_lane(|lane| {
        let plan = LinkPlan { addresses: addressed("down0", "10.7.0.1/24").addresses, ..bridged(&["down0"]) };
        lane.apply(&plan).unwrap_err()
    });
    assert_eq!(error.kind, DriverErrorKind::Busy);
    assert!(error.cause.contains("address taken") && error.cause.contains("up0"), "{error}");
    assert_same(&before, &lab.picture());
}

#[test]
fn a_step_that_fails_in_the_middle_takes_the_others_back() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    lab.with_lane(|lane| {
        // The kernel takes no loopback into a bridge, but only says so after the others have joined.
        let error = lane.apply(&bridged(&["down0", "lo", "owned0"])).unwrap_err();
        assert_eq!((error.kind, error.target.as_str()), (DriverErrorKind::Invalid, "lo"), "{error}");
    });
    assert_same(&before, &lab.picture());
    lab.with_lane(|lane| {
        let old = addressed("up0", "192.168.137.1/24");
        lane.apply(&old).unwrap();
        let standing = lab.picture();
        lane.apply(&bridged(&["down0", "lo"])).unwrap_err();
        assert_same(&standing, &lab.picture());
        assert_eq!(lane.apply(&old), Ok(Changed::No), "the old plan still stands");
        lane.apply(&LinkPlan::default()).unwrap();
    });
    assert_same(&before, &lab.picture());
    assert_eq!(
        lab.with_lane(|lane| lane.apply(&addressed("nowhere0", "192.168.137.1/24")).unwrap_err().kind),
        DriverErrorKind::Gone
    );
    assert!(lab.place.enter(|| lab.journal().pending().is_empty()).unwrap());
}

#[test]
fn what_somebody_took_away_comes_back_with_the_next_plan() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let plan = addressed("down0", "192.168.137.1/24");
    lab.with_lane(|lane| {
        lane.apply(&plan).unwrap();
        lab.place.ip("addr del 192.168.137.1/24 dev down0").unwrap();
        assert_eq!(lane.apply(&plan), Ok(Changed::Yes));
        // An interface that is made anew has another index and nothing of ours.
        lab.place.ip("link del down0").unwrap();
        lab.place.ip("link add down0 type veth peer name down0p").unwrap();
        assert_eq!(lane.apply(&plan), Ok(Changed::Yes));
        let shown = lab.place.ip("addr show dev down0").unwrap().stdout;
        assert!(shown.contains("192.168.137.1/24") && shown.contains(",UP"), "{shown}");
        let before = lab.place.ip("addr show dev down0").unwrap().stdout;
        assert_eq!(lane.apply(&addressed("up0", "192.168.137.1/24")), Ok(Changed::Yes), "the address moves");
        assert_ne!(lab.place.ip("addr show dev down0").unwrap().stdout, before);
        lane.apply(&LinkPlan::default()).unwrap();
    });
    assert!(lab.place.enter(|| lab.journal().pending().is_empty()).unwrap());
}

#[test]
fn what_a_killed_service_left_is_undone_by_the_next_one() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let before = lab.picture();
    lab.with_lane(|lane| lane.apply(&bridged(&["down0", "owned0", "up0"])).unwrap());
    assert!(lab.place.has_interface("hnbr0").unwrap(), "the lane is gone and what it did is not");
    let failures = lab.place.enter(|| lab.journal().replay()).unwrap();
    assert_eq!(failures, []);
    assert_same(&before, &lab.picture());
    assert_eq!(lab.place.enter(|| lab.journal().replay()).unwrap(), [], "once more does nothing");
    assert_same(&before, &lab.picture());
}
