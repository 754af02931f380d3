//! The public connection: another one than the machine's own way out, changed while devices are busy, and lost.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::PathBuf;

use hn_testlab::command::Background;
use hn_testlab::lease::{self, Client};
use hn_testlab::ns::{self, Namespace};
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, wait};

/// The second uplink.
const SECOND: &str = "wan1";

fn scene() -> Option<Wired> {
    (!require(Tier::Namespaces).is_missing()).then(|| Wired::prepare().unwrap())
}

/// Whom the web server sees when `place` asks for a page; empty when there is no answer.
fn seen(place: &Namespace) -> String {
    let words = format!("curl -sS --max-time 3 http://{}/", internet::WEB);
    let page = place.attempt(&words).unwrap().stdout;
    page.trim().strip_prefix("Hello from the Internet, ").unwrap_or_default().to_owned()
}

fn await_seen(place: &Namespace, address: &str) {
    let what = format!("the web server to see {address}");
    wait::holds(&what, SETTLE, || Ok(seen(place) == address)).unwrap();
}

/// A second uplink into the provider's network of the first, behind the same router.
fn same_network(scene: &mut Wired) {
    let outside = &scene.internet.place;
    ns::cable((&scene.router, SECOND), (outside, SECOND)).unwrap();
    for words in [
        "link add net0 type bridge".to_owned(),
        "addr flush dev wan0 scope global".into(),
        "link set wan0 master net0".into(),
        format!("link set {SECOND} master net0"),
        "link set net0 up".into(),
        format!("addr add {}/24 dev net0", internet::GATEWAY),
        format!("addr add {}/24 dev net0", internet::RESOLVER),
    ] {
        outside.ip(&words).unwrap();
    }
    scene.router.ip(&format!("addr add 203.0.113.3/24 dev {SECOND}")).unwrap();
    scene.router.ip(&format!("route add default via {} dev {SECOND} metric 200", internet::GATEWAY)).unwrap();
    ns::await_ready(&scene.router, SECOND).unwrap();
}

/// A second uplink to another provider.
fn other_network(scene: &mut Wired) {
    let outside = &scene.internet.place;
    ns::cable((&scene.router, SECOND), (outside, SECOND)).unwrap();
    outside.ip(&format!("addr add 192.0.2.1/24 dev {SECOND}")).unwrap();
    scene.router.ip(&format!("addr add 192.0.2.2/24 dev {SECOND}")).unwrap();
    scene.router.ip(&format!("route add default via 192.0.2.1 dev {SECOND} metric 300")).unwrap();
    ns::await_ready(&scene.router, SECOND).unwrap();
}

/// A download that takes its time.
struct Download {
    curl: Background,
    file: PathBuf,
}

/// Bytes a second, and bytes: far longer than everything that happens meanwhile.
const RATE: usize = 400_000;
const SIZE: usize = 200_000_000;

impl Download {
    fn begin(place: &Namespace) -> Self {
        let file = place.files().join("download");
        let mut command = place.command("curl");
        command.args(["-sS", "--limit-rate", &RATE.to_string(), "-o"]);
        command.arg(&file).arg(format!("http://{}/bytes/{SIZE}", internet::WEB));
        let download = Self { curl: Background::spawn(&mut command).unwrap(), file };
        wait::holds("the download to begin", SETTLE, || Ok(download.size() > 0)).unwrap();
        download
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.file).map(|file| file.len()).unwrap_or_default()
    }

    /// It is not over, and goes on: twice what could have been on its way before arrives.
    fn goes_on(&mut self, after: &str) {
        let there = self.size();
        wait::holds(&format!("the download to go on after {after}"), SETTLE, || {
            assert!(self.curl.ended()?.is_none(), "it ended before {after}: {}", self.curl.log());
            Ok(self.size() > there + 2 * RATE as u64)
        })
        .unwrap();
    }
}

#[test]
fn a_download_survives_a_second_private_another_public_connection_and_back() {
    let Some(mut scene) = scene() else { return };
    same_network(&mut scene);
    let before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let first = scene.online(0, Client::Udhcpc).unwrap();
    let mut download = Download::begin(&scene.clients[0]);

    scene.share(&PRIVATE).unwrap();
    download.goes_on("a second private connection was added");
    let second = lease::obtain(Client::Udhcpc, &mut scene.clients[1], PORT, LEASE).unwrap();
    assert_ne!(first.address, second.address);
    await_seen(&scene.clients[1], "203.0.113.2");

    let change = |public: &str| {
        scene.product.run(["share", public, PRIVATE[0], PRIVATE[1]]).unwrap();
        scene.product.await_field("/sharing/public", &public.into(), SETTLE).unwrap();
    };
    for (public, address) in [(SECOND, "203.0.113.3"), (PUBLIC, "203.0.113.2"), (SECOND, "203.0.113.3")] {
        change(public);
        await_seen(&scene.clients[1], address);
        await_seen(&scene.clients[0], address);
        download.goes_on(&format!("{public} became the public connection"));
    }

    scene.product.run(["share", PUBLIC, PRIVATE[0]]).unwrap();
    download.goes_on("the second private connection was taken away");
    await_seen(&scene.clients[0], "203.0.113.2");
    drop(download);
    scene.product.run(["unshare"]).unwrap();
    scene.product.terminate().unwrap();
    let (difference, _) = before.restored(&scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "{difference}");
}

#[test]
fn what_devices_send_leaves_by_the_chosen_uplink_though_the_machine_itself_uses_another() {
    let Some(mut scene) = scene() else { return };
    other_network(&mut scene);
    // As distributions that check return paths strictly have it.
    for interface in ["all", PUBLIC, SECOND] {
        scene.router.run(&format!("sysctl -qw net.ipv4.conf.{interface}.rp_filter=1")).unwrap();
    }
    let before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    let share = |scene: &Wired, public: &str| {
        scene.product.run(["share", public, PRIVATE[0]]).unwrap();
        scene.product.await_field("/sharing/phase", &"running".into(), SETTLE).unwrap();
    };
    share(&scene, SECOND);
    lease::obtain(Client::Udhcpc, &mut scene.clients[0], PORT, LEASE).unwrap();
    let client = &scene.clients[0];
    await_seen(client, "192.0.2.2");
    assert_eq!(seen(&scene.router), "203.0.113.2", "the machine's own way is untouched");

    // The chosen one falls: nothing takes the other way.
    scene.router.ip(&format!("link set {SECOND} down")).unwrap();
    wait::holds("the uplink to be missed", SETTLE, || Ok(seen(client).is_empty())).unwrap();
    let visits = scene.internet.visits().len();
    assert_eq!(seen(client), "");
    assert_eq!(scene.internet.visits().len(), visits);
    scene.router.ip(&format!("link set {SECOND} up")).unwrap();
    scene.router.ip(&format!("route replace default via 192.0.2.1 dev {SECOND} metric 300")).unwrap();
    await_seen(client, "192.0.2.2");

    // To the machine's own way and back.
    share(&scene, PUBLIC);
    await_seen(client, "203.0.113.2");
    assert_eq!(scene.router.run("ip rule show priority 5137").unwrap().stdout.trim(), "");
    share(&scene, SECOND);
    await_seen(client, "192.0.2.2");

    scene.product.kill().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.product.terminate().unwrap();
    let (difference, _) = before.restored(&scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "{difference}");
}
