//! The watcher against a real kernel: a complete first picture, and every change of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use hn_linux::{links::LinuxLinks, network::Watch, resolvers::Resolvers, undo::UndoJournal};
use hn_ports::{EventSink, Links as _};
use hn_testlab::{Tier, ns::Namespace, require};
use hn_types::{
    network::{MediaType, NetworkView},
    observed::PlatformEvent,
    plan::{LinkAddress, LinkPlan},
};
use tokio::{sync::Notify, task::LocalSet, time::timeout};

/// A change is seen within this, on a busy machine.
const SEEN: Duration = Duration::from_secs(10);

/// The views as they come.
struct Views {
    last: RefCell<Option<NetworkView>>,
    count: RefCell<u32>,
    changed: Notify,
}

impl Views {
    async fn until(&self, what: &str, holds: impl Fn(&NetworkView) -> bool) {
        let wait = async {
            while !self.last.borrow().as_ref().is_some_and(&holds) {
                self.changed.notified().await;
            }
        };
        assert!(timeout(SEEN, wait).await.is_ok(), "{what} is not seen: {:#?}", self.last.borrow());
    }
}

fn watch(place: &Namespace, folder: &Path, work: impl AsyncFnOnce(Rc<Views>, Rc<UndoJournal>) + Send) {
    place
        .enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let journal = Rc::new(UndoJournal::open(&folder.join("undo.journal")).unwrap());
                let views = Rc::new(Views { last: None.into(), count: 0.into(), changed: Notify::new() });
                let sink = Rc::clone(&views);
                let events = EventSink::new(move |event| {
                    if let PlatformEvent::Network(view) = event {
                        *sink.last.borrow_mut() = Some(view);
                        *sink.count.borrow_mut() += 1;
                        sink.changed.notify_one();
                    }
                });
                let _watch = Watch::open(resolvers(folder), Rc::clone(&journal), events).unwrap();
                assert_eq!(*views.count.borrow(), 1, "the first view comes before open returns");
                work(views, journal).await;
            });
        })
        .unwrap();
}

fn resolvers(folder: &Path) -> Resolvers {
    Resolvers {
        configured: Vec::new(),
        resolv_conf: folder.join("resolv.conf"),
        resolved: PathBuf::from("/nonexistent/resolved"),
        network_manager: PathBuf::from("/nonexistent/nm"),
    }
}

fn occupied(view: &NetworkView) -> Vec<String> {
    view.occupied.iter().map(|occupied| format!("{} {}", occupied.subnet, occupied.interface)).collect()
}

#[test]
fn every_change_of_the_network_is_seen() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("watch").unwrap();
    let folder = tempfile::tempdir().unwrap();
    place.ip("link add eth0 type veth peer name far0").unwrap();
    let ip = |words: &str| place.ip(words).unwrap();
    watch(&place, folder.path(), async |views, _| {
        views
            .until("the first picture", |view| {
                let eth0 = view.link("eth0").unwrap();
                eth0.media == MediaType::Lan
                    && !eth0.up
                    && !eth0.carrier
                    && !eth0.ours
                    && !eth0.wireless
                    && view.link("lo").is_some_and(|lo| lo.media == MediaType::None)
                    && view.default_route.is_none()
                    && !view.host_name.is_empty()
                    && !view.host_name.contains('.')
            })
            .await;
        ip("link set eth0 up");
        views.until("an interface that is up", |view| view.link("eth0").unwrap().up).await;
        ip("link set far0 up");
        views.until("its carrier", |view| view.link("eth0").unwrap().carrier).await;
        ip("addr add 10.5.0.1/24 dev eth0");
        views
            .until("an address", |view| {
                occupied(view) == ["10.5.0.0/24 eth0"]
                    && view.link("eth0").unwrap().addresses == ["10.5.0.1/24".parse().unwrap()]
            })
            .await;
        ip("route add default via 10.5.0.2 metric 600");
        views.until("a default route", |view| view.default_route.is_some()).await;
        ip("link add tun9 type veth peer name tun9p");
        ip("link set tun9p up");
        ip("link set tun9 up");
        ip("route add default dev tun9 metric 50");
        views
            .until("a better default route", |view| {
                view.default_route.is_some_and(|name| name.as_str() == "tun9")
            })
            .await;
        ip("route add 172.20.0.0/14 dev tun9 table 51820");
        views
            .until("a route of another table", |view| {
                occupied(view) == ["10.5.0.0/24 eth0", "172.20.0.0/14 tun9"]
            })
            .await;
        ip("link add br7 type bridge");
        ip("link set eth0 master br7");
        views
            .until("a master", |view| {
                view.link("br7").is_some_and(|link| link.media == MediaType::Bridge)
                    && view.link("eth0").unwrap().master.is_some_and(|master| master.as_str() == "br7")
            })
            .await;
        ip("link set eth0 mtu 1400");
        views.until("an MTU", |view| view.link("eth0").unwrap().mtu == 1400).await;
        ip("link del tun9");
        views
            .until("an interface that went", |view| {
                view.link("tun9").is_none() && view.default_route.is_some_and(|name| name.as_str() == "eth0")
            })
            .await;
        std::fs::write(folder.path().join("resolv.conf"), "nameserver 10.5.0.2\n").unwrap();
        views.until("a resolver", |view| view.resolvers == ["10.5.0.2:53".parse().unwrap()]).await;
    });
}

#[test]
fn what_we_do_ourselves_occupies_nothing_and_is_no_resolver() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("ours").unwrap();
    let folder = tempfile::tempdir().unwrap();
    place.ip("link add eth0 type veth peer name far0").unwrap();
    let servers = "nameserver 192.168.137.1\nnameserver 9.9.9.9\n";
    std::fs::write(folder.path().join("resolv.conf"), servers).unwrap();
    watch(&place, folder.path(), async |views, journal| {
        let mut lane = LinuxLinks::new(journal, None);
        let address = "192.168.137.1/24".parse().unwrap();
        let interface = "eth0".parse().unwrap();
        let plan = LinkPlan { addresses: vec![LinkAddress { interface, address }], ..LinkPlan::default() };
        lane.apply(&plan).await.unwrap();
        views
            .until("our address", |view| {
                view.link("eth0").unwrap().addresses == [address]
                    && view.occupied.is_empty()
                    && view.resolvers == ["9.9.9.9:53".parse().unwrap()]
            })
            .await;
        lane.apply(&LinkPlan::default()).await.unwrap();
        views
            .until("our address gone", |view| {
                !view.link("eth0").unwrap().up && view.link("eth0").unwrap().addresses.is_empty()
            })
            .await;
    });
}

#[test]
fn a_storm_of_changes_makes_few_pictures() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("storm").unwrap();
    let folder = tempfile::tempdir().unwrap();
    place.ip("link add eth0 type veth peer name far0").unwrap();
    place.ip("link set far0 up").unwrap();
    place.ip("link set eth0 up").unwrap();
    let batch: String =
        (0..2000).map(|n| format!("route add 10.{}.{}.0/24 dev eth0\n", 100 + n / 250, n % 250)).collect();
    let script = folder.path().join("batch");
    std::fs::write(&script, batch).unwrap();
    watch(&place, folder.path(), async |views, _| {
        place.ip(&format!("-batch {}", script.display())).unwrap();
        views.until("the last route", |view| view.occupied.len() == 2000).await;
        assert!(*views.count.borrow() < 200, "{} views", views.count.borrow());
    });
}
