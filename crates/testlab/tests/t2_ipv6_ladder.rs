//! The ladder of IPv6 in network namespaces: what a provider gives, judged by radvd and Kea as the provider and by
//! the kernel's own autoconfiguration as the device.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use hn_testlab::command::{self, Background};
use hn_testlab::lease::Client;
use hn_testlab::ns::Namespace;
use hn_testlab::provider::{self, GATEWAY, LADDER, LINK, SERVER};
use hn_testlab::wired::{PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, tier, wait};
use rustix::process::Signal;
use serde_json::Value;

/// The scene with a provider that speaks IPv6, or `None` where this tier cannot run.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let scene = Wired::prepare().unwrap();
    provider::speak_ipv6(&scene).unwrap();
    Some(scene)
}

fn radvd(scene: &Wired, prefix: bool) -> Background {
    provider::radvd(scene, prefix).unwrap()
}

fn kea(scene: &Wired, pool: &str, short: bool) -> Background {
    provider::kea(scene, pool, short).unwrap()
}

/// Waits until the router has learned its way out, remembers it as it is, and shares.
fn share(scene: &mut Wired) {
    provider::await_uplink(scene).unwrap();
    scene.before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
}

fn ipv6_of(scene: &Wired) -> Value {
    scene.product.field("/sharing/ipv6").unwrap()
}

fn await_source(scene: &Wired, source: &str) -> Ipv6Addr {
    provider::await_source(scene, source).unwrap()
}

fn autoconfigured(place: &Namespace, port: &str, prefix: Ipv6Addr) -> Ipv6Addr {
    provider::autoconfigured(place, port, prefix).unwrap()
}

/// Which address the server sees when `place` speaks to it.
fn seen_by_server(scene: &Wired, place: &Namespace) -> Ipv6Addr {
    let server: Ipv6Addr = SERVER.parse().unwrap();
    let listener = scene.internet.place.enter(|| UdpSocket::bind((server, 0)).unwrap()).unwrap();
    listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let port = listener.local_addr().unwrap().port();
    wait::until("a datagram at the server", SETTLE, || {
        place.enter(|| {
            let socket = UdpSocket::bind("[::]:0").unwrap();
            // Without an address or a route yet it is tried again.
            let _ = socket.send_to(b"hello", SocketAddrV6::new(server, port, 0, 0));
            let mut buffer = [0; 16];
            let heard = listener.recv_from(&mut buffer).ok();
            if let Some((_, from)) = heard {
                listener.send_to(b"welcome", from).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                // And the answer comes back.
                return socket.recv_from(&mut buffer).ok().map(|_| from.ip());
            }
            None
        })
    })
    .map(|from| match from {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address}"),
    })
    .unwrap()
}

fn reaches(place: &Namespace, target: &str) -> bool {
    place.attempt(&format!("ping -6 -n -c 1 -W 2 {target}")).unwrap().status.success()
}

/// A datagram from the Internet to a port on which the device listens does not arrive.
fn is_shielded(scene: &Wired, device: &Namespace, address: Ipv6Addr) {
    let inside = device.enter(|| UdpSocket::bind("[::]:0").unwrap()).unwrap();
    inside.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let port = inside.local_addr().unwrap().port();
    let server: Ipv6Addr = SERVER.parse().unwrap();
    scene
        .internet
        .place
        .enter(|| UdpSocket::bind((server, 0)).unwrap().send_to(b"unasked", (address, port)).unwrap())
        .unwrap();
    assert!(inside.recv_from(&mut [0; 16]).is_err(), "{address} was reached unasked");
}

#[test]
fn a_delegated_prefix_goes_to_devices_and_is_given_back() {
    let Some(mut scene) = scene() else { return };
    let _radvd = radvd(&scene, true);
    let mut kea = kea(&scene, "2001:db8:100::", false);
    share(&mut scene);
    let prefix = await_source(&scene, "delegated");
    let detail = ipv6_of(&scene)["detail"].as_str().unwrap().to_owned();
    let delegation = detail.split(' ').next().unwrap().to_owned();
    assert!(detail.ends_with(&format!("/56 was delegated on {PUBLIC}")), "{detail}");
    assert_eq!(delegation, format!("{prefix}/56"), "the first of its subnets");
    provider::route_delegation(&scene, &delegation).unwrap();
    let text = scene.product.run(["status"]).unwrap().stdout;
    assert!(text.contains(&detail), "{text}");
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let device = &scene.clients[0];
    let mut udhcpc = device.command(tier::program("udhcpc").unwrap());
    udhcpc.args(["-i", PORT, "-f", "-q", "-n", "-s", "/bin/true", "-x", "hostname:kettle"]);
    command::run(&mut udhcpc, SETTLE).unwrap().success().unwrap();
    let own = autoconfigured(device, PORT, prefix);
    assert_eq!(seen_by_server(&scene, device), own, "nothing is translated");
    // The world may ask whether it is there, and nothing else.
    wait::holds("an answer to the Internet", SETTLE, || Ok(reaches(&scene.internet.place, &own.to_string())))
        .unwrap();
    is_shielded(&scene, device, own);
    // It is shown with the device, and known by name.
    wait::holds("the device's address", SETTLE, || {
        Ok(scene.product.field("/devices")?.to_string().contains(&format!("\"{own}\"")))
    })
    .unwrap();
    let router = lease.router.unwrap();
    let dig =
        |words: &str| device.run(&format!("dig +short +time=5 +tries=3 @{router} {words}")).unwrap().stdout;
    let found = dig("kettle.mshome.net AAAA");
    assert!(found.lines().any(|line| line.parse() == Ok(own)), "{found}");
    assert_eq!(dig(&format!("-x {own}")).trim(), "kettle.mshome.net.");
    // What of the delegation is not in use leads nowhere, least of all back.
    let routes = scene.router.ip("-6 route show type unreachable").unwrap().stdout;
    assert!(routes.contains(&delegation), "{routes}");
    scene.product.terminate().unwrap();
    kea.await_log("RELEASE_PD", SETTLE).unwrap_or_else(|error| panic!("{error}\n{}", kea.log()));
    scene.restored().unwrap();
}

#[test]
fn a_prefix_that_changes_or_is_lost_is_deprecated_and_the_next_rung_is_taken() {
    let Some(mut scene) = scene() else { return };
    let _radvd = radvd(&scene, false);
    let mut first = kea(&scene, "2001:db8:100::", true);
    share(&mut scene);
    let old = await_source(&scene, "delegated");
    let device = &scene.clients[0];
    autoconfigured(device, PORT, old);
    // The provider numbers its customers anew.
    first.end(Signal::KILL, SETTLE).unwrap();
    let mut second = kea(&scene, "2001:db8:200::", true);
    let new = wait::until("the new prefix", LADDER, || {
        let shown = ipv6_of(&scene);
        let prefix = shown["prefix"].as_str().and_then(|text| text.strip_suffix("/64")).map(str::to_owned);
        let prefix: Option<Ipv6Addr> = prefix.and_then(|text| text.parse().ok());
        Ok(prefix.filter(|prefix| shown["source"] == "delegated" && *prefix != old))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", second.log(), scene.product.log()));
    let own = autoconfigured(device, PORT, new);
    wait::holds("the old address to be deprecated", SETTLE, || {
        let shown = device.ip(&format!("-6 -o addr show dev {PORT} deprecated"))?.stdout;
        let words = shown.split_whitespace().filter_map(|word| word.strip_suffix("/64"));
        let mut found = words.filter_map(|word| word.parse().ok());
        Ok(found.any(|address| provider::same_prefix(address, old)))
    })
    .unwrap();
    provider::route_delegation(&scene, &format!("{new}/56")).unwrap();
    assert_eq!(seen_by_server(&scene, device), own);
    // The provider delegates no more: translation goes on.
    second.end(Signal::KILL, SETTLE).unwrap();
    let local = await_source(&scene, "nat66");
    let uplink = scene.router.ip(&format!("-6 -o addr show dev {PUBLIC}")).unwrap().stdout;
    assert_eq!(local.octets()[0], 0xfd);
    assert!(!uplink.contains("scope global"), "only what the host has is behind it: {uplink}");
    wait::holds("a deprecated address", SETTLE, || {
        let shown = device.ip(&format!("-6 -o addr show dev {PORT} deprecated"))?.stdout;
        Ok(shown.contains(&own.to_string()))
    })
    .unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn the_prefix_of_the_uplink_is_shared_and_nobody_gets_an_address_twice() {
    let Some(mut scene) = scene() else { return };
    let mut provider = radvd(&scene, true);
    share(&mut scene);
    let prefix = await_source(&scene, "relay");
    assert_eq!(prefix, LINK.parse::<Ipv6Addr>().unwrap());
    let (device, outside) = (&scene.clients[0], &scene.internet.place);
    let own = autoconfigured(device, PORT, prefix);
    assert_eq!(seen_by_server(&scene, device), own, "nothing is translated");
    // A neighbour of the machine finds the device, and the device the neighbour.
    wait::holds("an answer to a neighbour", SETTLE, || Ok(reaches(outside, &own.to_string()))).unwrap();
    wait::holds("an answer of a neighbour", SETTLE, || Ok(reaches(device, GATEWAY))).unwrap();
    is_shielded(&scene, device, own);
    let routes = scene.router.ip(&format!("-6 route show {own}")).unwrap().stdout;
    assert!(routes.contains(PRIVATE[0]), "{routes}");
    // An address in use on the uplink, by a neighbour and by the machine itself, is not had by a device.
    outside.ip("addr add 2001:db8:1::77/64 dev wan0 nodad").unwrap();
    let machine = autoconfigured(&scene.router, PUBLIC, prefix);
    for taken in ["2001:db8:1::77".to_owned(), machine.to_string()] {
        device.ip(&format!("addr add {taken}/64 dev {PORT}")).unwrap();
        wait::holds("the duplicate to be noticed", SETTLE, || {
            Ok(device.ip(&format!("-6 -o addr show dev {PORT} dadfailed"))?.stdout.contains(&taken))
        })
        .unwrap_or_else(|error| panic!("{taken}: {error}\n{}", scene.product.log()));
        device.ip(&format!("addr del {taken}/64 dev {PORT}")).unwrap();
    }
    // And the other way round.
    outside.ip(&format!("addr add {own}/64 dev wan0")).unwrap();
    wait::holds("the neighbour to notice", SETTLE, || {
        Ok(outside.ip("-6 -o addr show dev wan0 dadfailed")?.stdout.contains(&own.to_string()))
    })
    .unwrap();
    outside.ip(&format!("addr del {own}/64 dev wan0")).unwrap();
    // The uplink goes: so does the way out, at once. It returns: everything is as before.
    provider.end(Signal::TERM, SETTLE).unwrap();
    await_source(&scene, "none");
    let has_route = || device.ip("-6 route show default").unwrap().stdout.contains("via fe80:");
    wait::holds("the default route to go", SETTLE, || Ok(!has_route())).unwrap();
    let _provider = radvd(&scene, true);
    assert_eq!(await_source(&scene, "relay"), prefix);
    wait::holds("the default route", SETTLE, || Ok(has_route())).unwrap();
    assert_eq!(autoconfigured(device, PORT, prefix), own);
    assert_eq!(seen_by_server(&scene, device), own, "the same address as before");
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn a_better_rung_is_taken_when_it_appears_and_the_shared_prefix_deprecated() {
    let Some(mut scene) = scene() else { return };
    let _radvd = radvd(&scene, true);
    share(&mut scene);
    let shared = await_source(&scene, "relay");
    let device = &scene.clients[0];
    let before = autoconfigured(device, PORT, shared);
    // Patience: a client that found nobody asks more and more rarely.
    let _kea = kea(&scene, "2001:db8:100::", false);
    let prefix = await_source(&scene, "delegated");
    let own = autoconfigured(device, PORT, prefix);
    provider::route_delegation(&scene, &format!("{prefix}/56")).unwrap();
    assert_eq!(seen_by_server(&scene, device), own);
    wait::holds("the shared address to be deprecated", SETTLE, || {
        Ok(device.ip(&format!("-6 -o addr show dev {PORT} deprecated"))?.stdout.contains(&before.to_string()))
    })
    .unwrap();
    // Connections that have it go on.
    wait::holds("the former address to be reachable", SETTLE, || {
        Ok(reaches(&scene.internet.place, &before.to_string()))
    })
    .unwrap();
    scene.product.kill().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.product.run(["unshare"]).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}
