//! The public connection: another one than the machine's own way out, changed while devices are busy, and lost.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};
use hn_testlab::lease::{self, Client};
use hn_testlab::neighbour::{self, Machine};
use hn_testlab::ns::{self, Namespace};
use hn_testlab::state::SystemState;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, wait};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Pid, Signal, kill_process};

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

/// Bytes a second, and bytes: far longer than everything that happens meanwhile.
const RATE: usize = 400_000;
const SIZE: usize = 200_000_000;
/// What the receiver's kernel may keep: little against what has to arrive for a download to go on.
const WINDOW: usize = 64 * 1024;

/// A download that takes its time, over one TCP connection from beginning to end.
struct Download {
    stream: TcpStream,
    /// Bytes that have come, each the right one.
    received: Arc<AtomicUsize>,
    /// No need to take time any more.
    hurry: Arc<AtomicBool>,
    reader: Option<JoinHandle<Result<()>>>,
}

impl Download {
    fn begin(place: &Namespace) -> Self {
        let stream = place.enter(|| connect(SocketAddrV4::new(internet::WEB, 80))).unwrap().unwrap();
        let (received, hurry) = (Arc::default(), Arc::default());
        let reader = thread::spawn({
            let (stream, received, hurry) =
                (stream.try_clone().unwrap(), Arc::clone(&received), Arc::clone(&hurry));
            move || read(stream, &received, &hurry)
        });
        let download = Self { stream, received, hurry, reader: Some(reader) };
        wait::holds("the download to begin", SETTLE, || Ok(download.size() > 0)).unwrap();
        download
    }

    fn size(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    /// It is not over, and goes on: more arrives than could have been on its way before.
    fn goes_on(&mut self, after: &str) {
        let there = self.size();
        wait::holds(&format!("the download to go on after {after}"), SETTLE, || {
            if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
                panic!("it ended before {after}: {:?}", reader.join());
            }
            Ok(self.size() > there + 2 * RATE)
        })
        .unwrap();
    }

    /// The same connection carries the rest, and every byte is the right one.
    fn ends_well(mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        let reader = self.reader.take().unwrap();
        wait::holds("the download to end", END, || Ok(reader.is_finished())).unwrap();
        reader.join().unwrap().unwrap();
        assert_eq!(self.size(), SIZE);
    }
}

/// For the rest of a download at full speed.
const END: Duration = Duration::from_secs(180);

impl Drop for Download {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.hurry.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A connection whose receiver holds no more than a small window.
fn connect(to: SocketAddrV4) -> Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    set_socket_recv_buffer_size(&socket, WINDOW)?;
    rustix::net::connect(&socket, &to)?;
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET /bytes/{SIZE} HTTP/1.1\r\nHost: {}\r\n\r\n", to.ip())?;
    Ok(stream)
}

/// Takes what comes, in its time, and looks at every byte.
fn read(stream: TcpStream, received: &AtomicUsize, hurry: &AtomicBool) -> Result<()> {
    let mut stream = BufReader::with_capacity(RATE / 10, stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "it ended in its head");
    }
    let mut expected = (0..internet::PERIOD).cycle();
    while received.load(Ordering::Relaxed) < SIZE {
        let there = stream.fill_buf()?;
        ensure!(!there.is_empty(), "it ended early");
        ensure!(there.iter().all(|byte| expected.next() == Some(*byte)), "a wrong byte");
        let count = there.len();
        stream.consume(count);
        received.fetch_add(count, Ordering::Relaxed);
        if !hurry.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_secs_f64(count as f64 / RATE as f64));
        }
    }
    Ok(())
}

#[test]
fn a_download_survives_a_second_private_another_public_connection_and_reloads_of_firewalld() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    same_network(&mut machine.scene);
    let firewalld = neighbour::firewalld(&mut machine).unwrap();
    let before = SystemState::capture(&machine.scene.router, &[]).unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    let first = machine.scene.online(0, Client::Udhcpc).unwrap();
    let mut download = Download::begin(&machine.scene.clients[0]);

    machine.scene.share(&PRIVATE).unwrap();
    download.goes_on("a second private connection was added");
    let second = lease::obtain(Client::Udhcpc, &mut machine.scene.clients[1], PORT, LEASE).unwrap();
    assert_ne!(first.address, second.address);
    let scene = &machine.scene;
    await_seen(&scene.clients[1], "203.0.113.2");

    // New connections pass as soon as firewalld has its rules again and was asked to let them through.
    let reload = |download: &mut Download, how: &str, address: &str| {
        machine.sh(how).unwrap();
        download.goes_on(how);
        scene.clients.iter().for_each(|client| await_seen(client, address));
        download.goes_on("firewalld let new connections through again");
    };
    let change = |public: &str| {
        scene.product.run(["share", public, PRIVATE[0], PRIVATE[1]]).unwrap();
        scene.product.await_field("/sharing/public", &public.into(), SETTLE).unwrap();
    };
    reload(&mut download, &firewalld.reload, "203.0.113.2");
    for (public, address) in [(SECOND, "203.0.113.3"), (PUBLIC, "203.0.113.2"), (SECOND, "203.0.113.3")] {
        change(public);
        await_seen(&scene.clients[1], address);
        await_seen(&scene.clients[0], address);
        download.goes_on(&format!("{public} became the public connection"));
        reload(&mut download, &firewalld.reload, address);
    }
    // It would unload the modules of netfilter, and with them forget every connection, but they are in use.
    reload(&mut download, "firewall-cmd --complete-reload", "203.0.113.3");

    scene.product.run(["share", PUBLIC, PRIVATE[0]]).unwrap();
    download.goes_on("the second private connection was taken away");
    await_seen(&scene.clients[0], "203.0.113.2");
    download.ends_well();
    scene.product.run(["unshare"]).unwrap();
    machine.scene.product.terminate().unwrap();
    let (difference, _) = before.restored(&machine.scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "{difference}");
}

#[test]
fn a_download_survives_a_reload_of_nftables_and_nothing_leaves_untranslated() {
    /// As the files begin that `nftables.service` reads.
    const RELOAD: &str = "printf 'flush ruleset\ntable inet filter { chain input { type filter hook input priority 0; }; }\n' | nft -f -";
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    same_network(&mut machine.scene);
    machine.sh(RELOAD).unwrap();
    let before = SystemState::capture(&machine.scene.router, &[]).unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    machine.scene.online(0, Client::Udhcpc).unwrap();
    let (scene, client) = (&machine.scene, &machine.scene.clients[0]);
    let mut download = Download::begin(client);
    let table = || machine.sh("nft -s list table inet hostednet").unwrap_or_default();
    let change = |public: &str| {
        scene.product.run(["share", public, PRIVATE[0]]).unwrap();
        scene.product.await_field("/sharing/public", &public.into(), SETTLE).unwrap();
    };
    // Begun by one way, it goes on by that one, also when another is the public connection.
    for (public, address) in [(PUBLIC, "203.0.113.2"), (SECOND, "203.0.113.3")] {
        change(public);
        await_seen(client, address);
        let whole = table();
        machine
            .sh("nft list table inet hostednet_anchor")
            .unwrap_or_else(|error| panic!("{error}\n{}", scene.product.log()));
        // The service cannot put anything back for as long as this takes.
        let pid = Pid::from_raw(scene.product.pid().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        machine.sh(RELOAD).unwrap();
        download.goes_on(&format!("all rules were flushed with {public} and nobody put them back"));
        assert_eq!(table(), "", "it was away all the time");
        assert_eq!(seen(client), "", "nobody translates what begins");
        let anchor = machine.sh("nft list table inet hostednet_anchor").unwrap();
        let dropped = anchor.lines().any(|line| line.contains("drop") && !line.contains("packets 0"));
        assert!(dropped, "what was not translated went out: {anchor}");
        kill_process(pid, Signal::CONT).unwrap();
        wait::holds("the rules", SETTLE, || Ok(table() == whole)).unwrap();
        await_seen(client, address);
        download.goes_on("the rules were put back");
    }
    // As it happens. A fourth time within a minute would be somebody who keeps at it, and forwarding would rest.
    let whole = table();
    machine.sh(RELOAD).unwrap();
    download.goes_on("nftables was reloaded");
    wait::holds("the rules", SETTLE, || Ok(table() == whole)).unwrap();
    await_seen(client, "203.0.113.3");
    download.ends_well();
    scene.product.run(["unshare"]).unwrap();
    machine.scene.product.terminate().unwrap();
    let (difference, _) = before.restored(&machine.scene.router, &[], SETTLE).unwrap();
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
    let before = SystemState::capture(&scene.router, &[]).unwrap();
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
