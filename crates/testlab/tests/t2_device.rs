//! Control over single devices on wires: real clients, real traffic, real counters.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hn_testlab::lease::{self, Client};
use hn_testlab::ns::Namespace;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, wait};
use serde_json::Value;

/// Bytes a second. The kernel lets half a second of them through at once.
const RATE: u64 = 1_000_000;
/// Bytes of a transfer that is measured: about eight seconds of [`RATE`].
const MEASURED: u64 = 8_000_000;
/// Where the other end takes what is sent.
const SINK: u16 = 8_080;
/// After this a transfer hangs.
const HANGS: Duration = Duration::from_secs(60);

fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    Some(Wired::set().unwrap())
}

/// Fetches `size` bytes; how many came and how long it took.
fn fetch(client: &Namespace, size: u64, limit: Duration) -> (u64, Duration) {
    let address = format!("http://{}/bytes/{size}", internet::WEB);
    let limit = limit.as_secs();
    let words = format!("curl -s --max-time {limit} -o /dev/null -w %{{size_download}} {address}");
    let begun = Instant::now();
    let done = client.attempt(&words).unwrap();
    (done.stdout.trim().parse().unwrap(), begun.elapsed())
}

/// Sends `size` bytes; how long it took until all of them had arrived.
fn send(client: &Namespace, outside: &Namespace, size: u64) -> Duration {
    let listener = outside.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, SINK))).unwrap().unwrap();
    let arrived = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        let (mut total, mut piece) = (0, vec![0; 65_536]);
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            total += count as u64;
        }
        total
    });
    let begun = Instant::now();
    let sent = client.enter(|| -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&(internet::WEB, SINK).into(), HANGS)?;
        stream.set_write_timeout(Some(HANGS))?;
        let piece = vec![b'x'; 50_000];
        for _ in 0..size / 50_000 {
            stream.write_all(&piece)?;
        }
        Ok(())
    });
    sent.unwrap().unwrap();
    assert_eq!(arrived.join().unwrap(), size);
    begun.elapsed()
}

fn pings(client: &Namespace, address: Ipv4Addr) -> bool {
    client.attempt(&format!("ping -n -c 2 -i 0.2 -W 1 {address}")).unwrap().status.success()
}

/// What is known of a device.
fn known(scene: &Wired, mac: &str) -> Value {
    let devices = scene.product.json(&["device", "list"]).unwrap();
    devices.as_array().unwrap().iter().find(|device| device["mac"] == mac).cloned().unwrap_or_default()
}

/// Bytes that were counted from and to a device, once they are at least so many.
fn counted(scene: &Wired, mac: &str, at_least: (u64, u64)) -> (u64, u64) {
    let mut counts = (0, 0);
    let arrived = wait::holds("the counters to be read", SETTLE, || {
        let usage = known(scene, mac)["usage"].clone();
        let bytes = |way: &str| usage[way]["bytes"].as_u64().unwrap_or_default();
        counts = (bytes("upload"), bytes("download"));
        Ok(counts.0 >= at_least.0 && counts.1 >= at_least.1)
    });
    assert!(arrived.is_ok(), "{counts:?} instead of {at_least:?}");
    counts
}

#[track_caller]
fn within(found: u64, expected: u64, percent: u64) {
    let tolerance = expected * percent / 100;
    assert!(found.abs_diff(expected) <= tolerance, "{found} is not {expected} within {percent} %");
}

#[test]
fn a_blocked_device_is_offline_at_once_gets_no_address_and_is_back_when_it_is_allowed() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    scene.online(1, Client::Udhcpc).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    let router = a.router.unwrap();
    assert!(pings(&scene.clients[0], router));
    scene.product.run(["device", "set", &mac, "--name", "tablet", "--note", "the old one"]).unwrap();
    scene.product.run(["device", "block", "tablet"]).unwrap();
    assert!(!pings(&scene.clients[0], router) && !pings(&scene.clients[0], internet::WEB));
    assert!(pings(&scene.clients[1], internet::WEB), "the other one is not concerned");
    let refused = lease::ask(Client::Udhcpc, &scene.clients[0], PORT, Duration::from_secs(4));
    assert!(refused.is_err(), "a blocked device got {refused:?}");
    assert_eq!(known(&scene, &mac)["settings"]["blocked"], true);
    assert_eq!(known(&scene, &mac)["settings"]["note"], "the old one");
    let cable = scene.product.attempt(["device", "disconnect", &mac]).unwrap();
    assert!(cable.stderr.contains("a cable cannot be pulled"), "{}", cable.stderr);
    scene.product.run(["device", "allow", "tablet"]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();

    // What was decided outlives the service, and so does what was used.
    scene.product.run(["device", "block", "tablet"]).unwrap();
    let used = counted(&scene, &mac, (1, 1));
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&PRIVATE).unwrap();
    assert!(!pings(&scene.clients[0], router));
    let kept = counted(&scene, &mac, (1, 1));
    assert!(kept >= used, "{kept:?} after the restart, {used:?} before");
    scene.product.run(["device", "forget", "tablet"]).unwrap();
    assert!(pings(&scene.clients[0], router));
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn a_limit_each_way_holds_within_fifteen_percent() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let (client, outside) = (&scene.clients[0], &scene.internet.place);
    let mac = client.mac(PORT).unwrap();
    let rate = RATE.to_string();
    scene.product.run(["device", "set", &mac, "--down", &rate, "--up", &rate]).unwrap();
    // What is let through at once would be counted as speed.
    fetch(client, RATE, HANGS);
    let (size, took) = fetch(client, MEASURED, HANGS);
    assert_eq!(size, MEASURED);
    within((MEASURED as f64 / took.as_secs_f64()) as u64, RATE, 15);
    send(client, outside, RATE);
    let took = send(client, outside, MEASURED);
    within((MEASURED as f64 / took.as_secs_f64()) as u64, RATE, 15);
    // Lifted at once.
    scene.product.run(["device", "set", &mac, "--down", "none", "--up", "none"]).unwrap();
    let (size, took) = fetch(client, MEASURED, HANGS);
    assert!(size == MEASURED && took < Duration::from_secs(4), "{size} bytes in {took:?}");
}

/// Peers §3 no. 21: what is carried past the rules – the shortcut of a flow table, or a flow that was there before –
/// escapes counters, limits and quotas.
#[test]
fn failure_21_an_established_flow_is_counted_and_limited_to_the_byte_whatever_others_do_to_the_rules() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    scene.product.run(["device", "set", &mac, "--name", "tv"]).unwrap();
    let before = counted(&scene, &mac, (0, 0));
    let client = &scene.clients[0];
    let (size, _) = std::thread::scope(|scope| {
        let download = scope.spawn(|| fetch(client, MEASURED, HANGS));
        // The flow is there, and now the rules change under it: a limit comes, other rules come and go.
        scene.product.run(["device", "set", "tv", "--down", "1MB"]).unwrap();
        for isolate in ["yes", "no", "yes"] {
            scene.product.run(["device", "set", "tv", "--isolate", isolate]).unwrap();
        }
        let refused = scene.router.attempt("nft delete table netdev hostednet").unwrap();
        assert!(!refused.status.success(), "somebody else took the table away");
        download.join().unwrap()
    });
    assert_eq!(size, MEASURED);
    let after = counted(&scene, &mac, (before.0, before.1 + MEASURED));
    // Headers are 3 % of full segments, and fewer of what the kernel handles as one.
    within(after.1 - before.1, MEASURED, 6);
    let kernel = scene.router.run("nft list counters netdev").unwrap().stdout;
    assert!(kernel.contains(&format!("down-{}", mac.replace(':', ""))), "{kernel}");
    // Somebody flushes everything: the table stays, and what was counted with it.
    scene.router.run("nft flush ruleset").unwrap();
    let stays = scene.router.run("nft list table netdev hostednet").unwrap().stdout;
    assert!(stays.contains("limit rate over"), "{stays}");
    let (more, _) = fetch(&scene.clients[0], RATE, Duration::from_secs(20));
    let last = counted(&scene, &mac, (after.0, after.1 + more));
    assert!(last.1 - after.1 <= RATE * 106 / 100 + 100_000, "{last:?} after {after:?}");
    scene.product.terminate().unwrap();
}

#[test]
fn a_quota_ends_to_the_packet_outlives_the_service_and_begins_anew() {
    const QUOTA: u64 = 3_000_000;
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    let mut monitor = scene.product.stay(["monitor", "--json"]).unwrap();
    let mut count = 0;
    wait::holds("the monitor to look", SETTLE, || {
        count += 1;
        scene.product.run(["device", "set", &mac, "--note", &count.to_string()])?;
        Ok(monitor.log().contains("device_changed"))
    })
    .unwrap();
    scene
        .product
        .run(["device", "set", &mac, "--quota", "3MB", "--per", "month", "--name", "guest"])
        .unwrap();
    monitor.await_log("\"guest\"", SETTLE).unwrap();
    let (size, _) = fetch(&scene.clients[0], 3 * QUOTA, Duration::from_secs(8));
    assert!(size < QUOTA, "{size} bytes passed");
    assert!(size > QUOTA * 9 / 10, "{size} bytes passed only");
    monitor.await_log("quota_exhausted", SETTLE).unwrap();
    let usage = known(&scene, &mac)["usage"].clone();
    assert_eq!(usage["exhausted"], true);
    within(usage["spent"].as_u64().unwrap(), QUOTA, 5);
    assert!(!pings(&scene.clients[0], internet::WEB));
    // It stays attached: its lease is renewed.
    lease::ask(Client::Udhcpc, &scene.clients[0], PORT, LEASE).unwrap();

    // Not a second time by a restart, nor by sharing again.
    scene.product.terminate().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    assert_eq!(fetch(&scene.clients[0], 10_000, Duration::from_secs(3)).0, 0);
    assert_eq!(known(&scene, &mac)["usage"]["exhausted"], true);
    // More is more.
    scene.product.run(["device", "set", "guest", "--quota", "6MB"]).unwrap();
    let (size, _) = fetch(&scene.clients[0], 3 * QUOTA, Duration::from_secs(8));
    assert!((QUOTA * 8 / 10..QUOTA * 21 / 20).contains(&size), "{size} bytes passed");
    scene.product.run(["device", "set", "guest", "--reset-quota"]).unwrap();
    assert_eq!(fetch(&scene.clients[0], 100_000, HANGS).0, 100_000);
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn an_isolated_device_is_online_and_alone() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    let b = scene.online(1, Client::Udhcpc).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    let [one, other] = &scene.clients;
    assert!(pings(one, b.address) && pings(other, a.address));
    scene.product.run(["device", "set", &mac, "--isolate", "yes"]).unwrap();
    assert!(!pings(one, b.address) && !pings(other, a.address));
    for client in [one, other] {
        assert!(pings(client, a.router.unwrap()) && pings(client, internet::WEB));
    }
    // Not by the back door of ARP either.
    one.ip(&format!("neigh flush dev {PORT}")).unwrap();
    assert!(!pings(one, b.address));
    scene.product.run(["device", "set", &mac, "--isolate", "no"]).unwrap();
    assert!(pings(one, b.address) && pings(other, a.address));
}

#[test]
fn a_table_that_went_with_its_interface_is_there_again_when_that_is() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    scene.product.run(["device", "block", &mac]).unwrap();
    scene.router.ip(&format!("link del {}", PRIVATE[0])).unwrap();
    hn_testlab::ns::cable((&scene.router, PRIVATE[0]), (&scene.clients[0], PORT)).unwrap();
    scene.clients[0].ip(&format!("link set {PORT} address {mac}")).unwrap();
    wait::holds("the rules at the new interface", SETTLE, || {
        let text = scene.router.run("nft list table netdev hostednet")?.stdout;
        Ok(text.contains(&format!("\"{}\"", PRIVATE[0])) || text.contains(&format!("{}, ", PRIVATE[0])))
    })
    .unwrap();
    let refused = lease::ask(Client::Udhcpc, &scene.clients[0], PORT, Duration::from_secs(4));
    assert!(refused.is_err(), "a blocked device got {refused:?}");
}

/// Peers §3 no. 22: a promised address is missed by clients that call themselves by something else than their MAC
/// address, or whose frames arrive under another one.
#[test]
fn failure_22_a_promised_address_is_kept_whatever_the_client_calls_itself() {
    let Some(scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    scene.product.run(["device", "set", &mac, "--address", ".77", "--name", "printer"]).unwrap();
    let promised = Ipv4Addr::new(192, 168, 137, 77);
    let place = &scene.clients[0];
    let take = |with: Client| lease::ask(with, place, PORT, LEASE).unwrap().address;
    // udhcpc sends a client identifier made of the MAC address.
    assert_eq!(take(Client::Udhcpc), promised);
    // dhclient sends none, unless it is told to.
    assert_eq!(take(Client::Dhclient), promised);
    lease::release(place, PORT).unwrap();
    lease::identify(place, PORT, "00:73:6f:6d:65:74:68:69:6e:67").unwrap();
    assert_eq!(take(Client::Dhclient), promised, "an identifier that has nothing to do with the address");
    lease::release(place, PORT).unwrap();

    // A bridge or repeater on the way puts its own address on the frames.
    for words in [
        "add table netdev repeater",
        &format!("add chain netdev repeater egress {{ type filter hook egress device {PORT} priority 0 ; }}"),
        "add rule netdev repeater egress ether type ip ether saddr set 02:aa:bb:cc:dd:ee",
    ] {
        place.run(&format!("nft {words}")).unwrap();
    }
    assert_eq!(take(Client::Udhcpc), promised, "the client is in chaddr");
    let known = known(&scene, &mac);
    assert_eq!(
        (&known["fixed_ipv4"], &known["settings"]["name"]),
        (&"192.168.137.77".into(), &"printer".into())
    );
    assert_eq!(known["random_mac"], true, "a veth makes its address up");
    scene.product.run(["device", "set", &mac, "--address", "none"]).unwrap();
    assert!(self::known(&scene, &mac).get("fixed_ipv4").is_none());
}
