//! Devices that open ports themselves, by clients that others wrote; and one that means ill.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    num::NonZeroU16,
    time::Duration,
};

use hn_testlab::{
    Tier, internet,
    lease::{Client, Lease},
    mirror::{INSIDE, reached, serving, tcp, udp},
    ns::Namespace,
    require, wait,
    wired::{PORT, PRIVATE, PUBLIC, SETTLE, Wired},
};

fn scene(configuration: &str) -> Option<(Wired, Lease)> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let mut scene = Wired::prepare().unwrap();
    if !configuration.is_empty() {
        scene.product.configure(configuration).unwrap();
    }
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    Some((scene, lease))
}

fn router(lease: &Lease) -> Ipv4Addr {
    lease.router.unwrap()
}

/// Says it again until it succeeds: the sockets are made a moment after sharing runs.
fn said(scene: &Wired, words: &str, wanted: &str) -> String {
    let mut last = String::new();
    let found = wait::until(words, SETTLE, || {
        let done = scene.clients[0].attempt(words)?;
        last = format!("{}{}", done.stdout, done.stderr);
        Ok(last.contains(wanted).then(|| last.clone()))
    });
    found.unwrap_or_else(|error| panic!("{error:#}: {last}\n{}", scene.product.log()))
}

fn closed(what: &str, ask: impl Fn() -> Option<String>) {
    wait::holds(what, SETTLE, || Ok(ask().is_none())).unwrap();
}

fn listed(scene: &Wired) -> serde_json::Value {
    scene.product.json(&["forward", "list"]).unwrap()
}

#[test]
fn upnpc_opens_ports_that_lead_to_itself_and_closes_them() {
    let Some((mut scene, lease)) = scene("") else { return };
    let outside = internet::UPLINK;
    let status = said(&scene, &format!("upnpc -i -m {PORT} -s"), "ExternalIPAddress");
    assert!(status.contains(&format!("ExternalIPAddress = {outside}")), "{status}");
    assert!(status.contains("Connected"), "{status}");
    let address = lease.address;
    serving(&scene.clients[0], || {
        let place = &scene.internet.place;
        said(
            &scene,
            &format!("upnpc -i -m {PORT} -e game -a {address} {INSIDE} 18080 TCP 600"),
            "is redirected",
        );
        said(&scene, &format!("upnpc -i -m {PORT} -a {address} {INSIDE} 18080 UDP 600"), "is redirected");
        // The answer came after the firewall opened: the first attempt arrives.
        let seen = reached("the port by TCP", || tcp(place, outside, 18_080));
        assert_ne!(seen, router(&lease).to_string(), "the device sees who asks");
        reached("the port by UDP", || udp(place, outside, 18_080));
        reached("the device by its address outside", || tcp(&scene.clients[0], outside, 18_080));
        let list = said(&scene, &format!("upnpc -i -m {PORT} -l"), "18080");
        assert!(list.contains(&format!("18080->{address}:{INSIDE}")) && list.contains("game"), "{list}");
        let ours = listed(&scene);
        assert_eq!(
            (&ours[0]["origin"], &ours[0]["owner"]),
            (&"upnp".into(), &address.to_string().into()),
            "{ours}"
        );
        assert!(ours[0]["expires_s"].as_u64().unwrap() <= 600 && ours[0]["active"] == true, "{ours}");
        assert_eq!(ours[0]["note"], "", "{outside} is a public address");
        // Another device's address is not its business, and neither is a reserved port.
        let other = Ipv4Addr::from_bits(address.to_bits() ^ 3);
        let refused =
            said(&scene, &format!("upnpc -i -m {PORT} -a {other} {INSIDE} 18081 TCP 600"), "failed");
        assert!(refused.contains("failed with code"), "{refused}");
        said(&scene, &format!("upnpc -i -m {PORT} -a {address} {INSIDE} 443 TCP 600"), "failed with code");
        assert_eq!(listed(&scene).as_array().unwrap().len(), 2);
        // The administrator's word counts more than the device's.
        said(&scene, &format!("upnpc -i -m {PORT} -d 18080 UDP"), "returned : 0");
        closed("the removed port", || udp(place, outside, 18_080));
        let id = listed(&scene)[0]["id"].to_string();
        scene.product.run(["forward", "remove", &id]).unwrap();
        assert_eq!(tcp(place, outside, 18_080), None, "removed by the administrator");
        said(&scene, &format!("upnpc -i -m {PORT} -r {INSIDE} 18082 TCP"), "is redirected");
        reached("the port again", || tcp(place, outside, 18_082));
        let refused = scene.product.field("/port_mapping/refused").unwrap();
        let reasons: Vec<_> = refused.as_array().unwrap().iter().map(|it| it["reason"].clone()).collect();
        assert!(reasons.contains(&"not_yours".into()) && reasons.contains(&"reserved".into()), "{refused}");
    });
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn natpmpc_maps_renews_and_removes_and_a_lease_ends_by_itself() {
    let Some((scene, lease)) = scene("[port_mapping]\nlifetime_min_s = 1\n") else { return };
    let (outside, gateway) = (internet::UPLINK, router(&lease));
    let told = said(&scene, &format!("natpmpc -g {gateway}"), "Public IP address");
    assert!(told.contains(&outside.to_string()), "{told}");
    serving(&scene.clients[0], || {
        let place = &scene.internet.place;
        for protocol in ["tcp", "udp"] {
            let map = format!("natpmpc -g {gateway} -a 18090 {INSIDE} {protocol} 600");
            assert!(said(&scene, &map, "Mapped public port").contains("18090"));
        }
        reached("the port by TCP", || tcp(place, outside, 18_090));
        reached("the port by UDP", || udp(place, outside, 18_090));
        // It has the port already, whatever it wishes now.
        let again =
            said(&scene, &format!("natpmpc -g {gateway} -a 18091 {INSIDE} tcp 600"), "Mapped public port");
        assert!(again.contains("18090"), "{again}");
        said(&scene, &format!("natpmpc -g {gateway} -a 18090 {INSIDE} tcp 0"), "Mapped public port");
        closed("the removed port", || tcp(place, outside, 18_090));
        reached("the other protocol is not concerned", || udp(place, outside, 18_090));
        said(&scene, &format!("natpmpc -g {gateway} -a 18092 {INSIDE} tcp 2"), "Mapped public port");
        closed("the port whose time is over", || tcp(place, outside, 18_092));
        let list = listed(&scene);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_eq!(list[0]["origin"], "nat-pmp");
    });
}

#[test]
fn igd_next_and_crab_nat_get_what_they_ask_for() {
    let Some((scene, lease)) = scene("") else { return };
    let (outside, gateway, address) = (internet::UPLINK, router(&lease), lease.address);
    said(&scene, &format!("natpmpc -g {gateway}"), "Public IP address");
    serving(&scene.clients[0], || {
        let place = &scene.internet.place;
        let protocol = igd_next::PortMappingProtocol::TCP;
        let igd = scene.clients[0]
            .enter(|| {
                let mut options = igd_next::SearchOptions::default();
                options.timeout = Some(SETTLE);
                options.bind_addr = SocketAddr::from((address, 0));
                let igd = igd_next::search_gateway(options).unwrap();
                assert_eq!(igd.get_external_ip().unwrap(), IpAddr::V4(outside));
                igd.add_port(protocol, 18_100, (address, INSIDE).into(), 600, "igd-next").unwrap();
                igd.add_port(protocol, 18_100, (address, INSIDE).into(), 600, "igd-next").unwrap();
                let entry = igd.get_generic_port_mapping_entry(0).unwrap();
                assert_eq!((entry.external_port, entry.internal_port), (18_100, INSIDE));
                let any = igd.add_any_port(protocol, (address, INSIDE + 1).into(), 600, "any").unwrap();
                assert!(any >= 1_024);
                igd
            })
            .unwrap();
        reached("the port of igd-next", || tcp(place, outside, 18_100));
        scene.clients[0].enter(|| igd.remove_port(protocol, 18_100).unwrap()).unwrap();
        closed("the removed port", || tcp(place, outside, 18_100));

        // PCP: crab_nat falls back to NAT-PMP only where that is not spoken.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let port = |port| NonZeroU16::new(port).unwrap();
        let options = crab_nat::PortMappingOptions {
            external_port: Some(port(18_110)),
            lifetime_seconds: Some(600),
            timeout_config: None,
        };
        let mapping = scene.clients[0]
            .enter(|| {
                let map = crab_nat::PortMapping::new(
                    IpAddr::V4(gateway).into(),
                    IpAddr::V4(address),
                    crab_nat::InternetProtocol::Udp,
                    port(INSIDE),
                    options,
                );
                runtime().block_on(map).unwrap()
            })
            .unwrap();
        assert_eq!(mapping.external_port(), port(18_110));
        assert!(matches!(mapping.mapping_type(), crab_nat::PortMappingType::Pcp { .. }));
        reached("the port of crab_nat", || udp(place, outside, 18_110));
        let list = listed(&scene);
        assert!(list.as_array().unwrap().iter().any(|row| row["origin"] == "pcp"), "{list}");
        let mapping = scene.clients[0]
            .enter(move || {
                runtime().block_on(async {
                    let mut mapping = mapping;
                    mapping.renew().await.unwrap();
                    mapping
                })
            })
            .unwrap();
        scene.clients[0].enter(move || runtime().block_on(mapping.try_drop()).unwrap()).unwrap();
        closed("the dropped port", || udp(place, outside, 18_110));
    });
}

/// What a PEER (RFC 6887 §12) is answered: result, lifetime in seconds, and the port outside.
fn peer(
    device: &Namespace,
    (lease, wished): (&Lease, u16),
    inside: &UdpSocket,
    far: SocketAddrV4,
    nonce: u8,
) -> (u8, u32, u16) {
    let mapped = |address: Ipv4Addr| address.to_ipv6_mapped().octets();
    let mut request = vec![2, 2, 0, 0];
    request.extend(600_u32.to_be_bytes());
    request.extend(mapped(lease.address));
    request.extend([nonce; 12]);
    request.extend([17, 0, 0, 0]);
    request.extend(inside.local_addr().unwrap().port().to_be_bytes());
    request.extend(wished.to_be_bytes());
    request.extend(mapped(Ipv4Addr::UNSPECIFIED));
    request.extend(far.port().to_be_bytes());
    request.extend([0, 0]);
    request.extend(mapped(*far.ip()));
    let socket = socket(device, 0);
    let answer = wait::until("an answer of PCP", SETTLE, || {
        socket.send_to(&request, (router(lease), 5_351))?;
        let mut answer = [0; 80];
        Ok(socket.recv(&mut answer).ok().filter(|length| *length >= 60).map(|_| answer))
    })
    .unwrap();
    assert_eq!(answer[..2], [2, 0x82]);
    let port = u16::from_be_bytes([answer[42], answer[43]]);
    (answer[3], u32::from_be_bytes(answer[4..8].try_into().unwrap()), port)
}

fn socket(place: &Namespace, port: u16) -> UdpSocket {
    let socket = place.enter(move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

/// From where `text` arrives.
fn arrived(at: &UdpSocket, text: &str) -> Option<SocketAddr> {
    let mut heard = [0; 64];
    let (length, from) = at.recv_from(&mut heard).ok()?;
    assert_eq!(&heard[..length], text.as_bytes());
    Some(from)
}

#[test]
fn a_flow_keeps_its_port_outside_by_pcp_peer_and_lets_in_nobody_else() {
    let Some((scene, lease)) = scene("") else { return };
    let (outside, device) = (internet::UPLINK, &scene.clients[0]);
    let far = socket(&scene.internet.place, 0);
    let end = SocketAddrV4::new(internet::GATEWAY, far.local_addr().unwrap().port());
    // Before its first packet: the flow gets the port that the device wishes.
    let inside = socket(device, 0);
    assert_eq!(peer(device, (&lease, 50_123), &inside, end, 1), (0, 600, 50_123));
    far.send_to(b"first", (outside, 50_123)).unwrap();
    assert_eq!(arrived(&inside, "first"), Some(end.into()), "its remote end may begin");
    let stranger = socket(&scene.internet.place, 0);
    stranger.send_to(b"stranger", (outside, 50_123)).unwrap();
    assert_eq!(arrived(&inside, "stranger"), None, "and nobody else");
    let fresh = socket(&scene.internet.place, 0);
    let other = SocketAddrV4::new(internet::GATEWAY, fresh.local_addr().unwrap().port());
    assert_eq!(peer(device, (&lease, 0), &inside, other, 1), (0, 600, 50_123), "one port for every flow");
    inside.send_to(b"out", other).unwrap();
    assert_eq!(arrived(&fresh, "out"), Some((outside, 50_123).into()));
    // A flow that is there already: the answer is the port that the kernel gave it.
    let later = socket(device, 0);
    later.send_to(b"later", end).unwrap();
    let from = wait::until("the packet of the later flow", SETTLE, || Ok(arrived(&far, "later"))).unwrap();
    assert_eq!(peer(device, (&lease, 50_321), &later, end, 2), (0, 600, from.port()));
    // Another's nonce: NOT_AUTHORIZED.
    assert_eq!(peer(device, (&lease, 0), &inside, end, 3).0, 2);
    let list = listed(&scene);
    assert_eq!(list.as_array().unwrap().len(), 3, "the administrator sees every flow: {list}");
}

#[test]
fn failure_20_a_flap_of_the_uplink_and_a_private_address_disable_nothing() {
    let Some((scene, lease)) = scene("") else { return };
    let (outside, gateway) = (internet::UPLINK, router(&lease));
    let map = |port: u16| format!("natpmpc -g {gateway} -a {port} {INSIDE} tcp 600");
    said(&scene, &map(18_120), "Mapped public port 18120");
    let note = || listed(&scene)[0]["note"].as_str().unwrap().to_owned();
    serving(&scene.clients[0], || {
        let place = &scene.internet.place;
        reached("the port", || tcp(place, outside, 18_120));
        // The cable is pulled; the address is lost; both come back, and nobody does anything.
        for lost in ["link set wan0 down", "addr flush dev wan0"] {
            scene.router.ip(lost).unwrap();
            closed("the port without an uplink", || tcp(place, outside, 18_120));
            let told = said(&scene, &format!("natpmpc -g {gateway}"), "network failure");
            assert!(!told.contains("Public IP"), "{told}");
            if lost.starts_with("addr") {
                let external = scene.product.field("/port_mapping/external").unwrap();
                assert_eq!(external, serde_json::Value::Null);
                scene.router.ip(&format!("addr add {outside}/24 dev {PUBLIC}")).unwrap();
            }
            scene.router.ip(&format!("link set {PUBLIC} up")).unwrap();
            scene
                .router
                .ip(&format!("route replace default via {} dev {PUBLIC}", internet::GATEWAY))
                .unwrap();
            reached("the port after the flap", || tcp(place, outside, 18_120));
        }
        said(&scene, &map(18_120), "Mapped public port 18120");
        assert_eq!(note(), "");
        // The provider gives a private address: the mapping works there, and everybody is told what it is worth.
        for (here, there, told) in
            [("10.77.0.2", "10.77.0.1", "is private"), ("100.64.9.2", "100.64.9.1", "shares among customers")]
        {
            place.ip(&format!("addr add {there}/24 dev wan0")).unwrap();
            scene.router.ip(&format!("addr flush dev {PUBLIC}")).unwrap();
            scene.router.ip(&format!("addr add {here}/24 dev {PUBLIC}")).unwrap();
            scene.router.ip(&format!("route replace default via {there} dev {PUBLIC}")).unwrap();
            let address: Ipv4Addr = here.parse().unwrap();
            reached("the port at the private address", || tcp(place, address, 18_120));
            said(&scene, &format!("natpmpc -g {gateway}"), here);
            wait::holds("the note", SETTLE, || Ok(note().contains(told))).unwrap();
            assert!(scene.product.field("/sharing/detail").unwrap().to_string().contains(told));
            assert_eq!(scene.product.field("/port_mapping/external").unwrap(), here);
            said(&scene, &map(18_120), "Mapped public port 18120");
        }
        scene.router.ip(&format!("addr flush dev {PUBLIC}")).unwrap();
        scene.router.ip(&format!("addr add {outside}/24 dev {PUBLIC}")).unwrap();
        scene.router.ip(&format!("route replace default via {} dev {PUBLIC}", internet::GATEWAY)).unwrap();
        reached("the port at the public address", || tcp(place, outside, 18_120));
        wait::holds("no note", SETTLE, || Ok(note().is_empty())).unwrap();
    });
}

#[test]
fn a_hostile_device_is_counted_and_harms_nobody() {
    let Some((scene, lease)) = scene("") else { return };
    let (outside, gateway, address) = (internet::UPLINK, router(&lease), lease.address);
    said(&scene, &format!("natpmpc -g {gateway} -a 18130 {INSIDE} tcp 600"), "Mapped public port 18130");
    let other = Ipv4Addr::from_bits(address.to_bits() ^ 5);
    scene.clients[0].ip(&format!("addr add {other}/32 dev {PORT}")).unwrap();
    scene.clients[0]
        .enter(|| {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            let send = |bytes: &[u8], port: u16| drop(socket.send_to(bytes, (gateway, port)));
            // Truncated, oversized, nonsense, a flood of requests, and everything at the wrong door.
            for length in [0, 1, 3, 11, 23, 59, 1_100, 1_101, 1_472] {
                for first in [0, 1, 2, 3, 255] {
                    let mut bytes = vec![0xff; length];
                    if let Some(byte) = bytes.first_mut() {
                        *byte = first;
                    }
                    send(&bytes, 5351);
                    send(&bytes, 1900);
                }
            }
            for port in 1..=3_000_u16 {
                let mut request = vec![0, 1, 0, 0];
                request.extend(port.to_be_bytes());
                request.extend(port.to_be_bytes());
                request.extend(600_u32.to_be_bytes());
                send(&request, 5351);
            }
            // Somebody else's name on the packet.
            let foreign = UdpSocket::bind((other, 0)).unwrap();
            for _ in 0..10 {
                drop(foreign.send_to(&[0, 1, 0, 0, 0x1f, 0x40, 0x46, 0xd3, 0, 0, 2, 0x58], (gateway, 5351)));
            }
            let connect = || TcpStream::connect_timeout(&(gateway, 2869).into(), Duration::from_secs(5));
            let ask = |bytes: &[u8]| {
                if let Ok(mut stream) = connect() {
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                    let _ = stream.write_all(bytes);
                    let _ = stream.read(&mut [0; 512]);
                }
            };
            ask(b"GET / HTTP/9.9\r\n\r\n");
            ask(&[0; 4_096]);
            ask(b"POST /ctl HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 99999999999\r\n\r\n");
            let long = format!("GET /{} HTTP/1.1\r\nHost: {gateway}:2869\r\n\r\n", "a".repeat(60_000));
            ask(long.as_bytes());
            let bomb = format!("<?xml version=\"1.0\"?>{}", "<a>".repeat(4_000));
            ask(format!(
                "POST /ctl HTTP/1.1\r\nHost: {gateway}:2869\r\nContent-Length: {}\r\n\r\n{bomb}",
                bomb.len()
            )
            .as_bytes());
            // Connections that never say anything.
            let held: Vec<_> = (0..100).filter_map(|_| connect().ok()).collect();
            drop(held);
        })
        .unwrap();
    // Who behaves is served, by the same worker.
    serving(&scene.clients[0], || {
        reached("the port from before", || tcp(&scene.internet.place, outside, 18_130));
    });
    assert_eq!(scene.product.field("/sharing/dns").unwrap(), true);
    said(&scene, &format!("upnpc -i -m {address} -s"), "ExternalIPAddress");
    let log = scene.product.log();
    assert!(!log.contains("the worker is gone"), "{log}");
    let most = listed(&scene).as_array().unwrap().len();
    assert!(most <= 64, "two addresses, 32 each: {most}");
    wait::holds("what was dropped to be counted by reason", Duration::from_secs(60), || {
        let dropped = scene.product.field("/port_mapping/dropped")?;
        let names: Vec<_> =
            dropped.as_array().into_iter().flatten().map(|it| it["name"].to_string()).collect();
        Ok(["source_rate", "http"].iter().all(|name| names.iter().any(|it| it.contains(name))))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {}", scene.product.field("/port_mapping").unwrap()));
}
