//! SSDP.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use hn_portmap::{Channel, DropReason, Output};

use crate::lab::*;

pub fn search(kind: &str, mx: Option<u32>) -> Vec<u8> {
    let mx = mx.map(|mx| format!("MX: {mx}\r\n")).unwrap_or_default();
    format!("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n{mx}ST: {kind}\r\n\r\n")
        .into_bytes()
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name}"))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_client_finds_what_it_knows() {
    let mut lab = Lab::new(raw());
    for (kind, count, location) in [
        ("urn:schemas-upnp-org:device:InternetGatewayDevice:1", 1, "/rootDesc.xml"),
        ("urn:schemas-upnp-org:device:InternetGatewayDevice:2", 1, "/2/rootDesc.xml"),
        ("urn:schemas-upnp-org:service:WANIPConnection:1", 1, "/rootDesc.xml"),
        ("urn:schemas-upnp-org:service:WANIPConnection:2", 1, "/2/rootDesc.xml"),
        ("urn:schemas-upnp-org:service:WANIPv6FirewallControl:1", 2, "/rootDesc.xml"),
        ("urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1", 2, "/rootDesc.xml"),
        ("upnp:rootdevice", 2, "/rootDesc.xml"),
        ("ssdp:all", 22, "/rootDesc.xml"),
    ] {
        let answers = lab.send(Channel::Ssdp, device(20), &search(kind, None));
        assert_eq!(answers.len(), count, "{kind}");
        let first = text(answers[0].clone());
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.ends_with("\r\n\r\n"));
        assert_eq!(field(&first, "LOCATION"), format!("http://192.168.137.1:2869{location}"));
        assert_eq!(field(&first, "CACHE-CONTROL"), "max-age=1800");
        let kinds: BTreeSet<String> =
            answers.into_iter().map(|answer| field(&text(answer), "ST").to_owned()).collect();
        assert!(kind == "ssdp:all" || kinds.len() == 1 && kinds.contains(kind));
    }
    let own = lab.send(Channel::Ssdp, device(20), &search("ssdp:all", None));
    let mut udn = own.into_iter().map(text).map(|answer| field(&answer, "ST").to_owned());
    let udn = udn.rfind(|st| st.starts_with("uuid:")).unwrap();
    assert_eq!(lab.send(Channel::Ssdp, device(20), &search(&udn, None)).len(), 1);
    assert!(
        lab.send(Channel::Ssdp, device(20), &search("urn:schemas-upnp-org:device:MediaServer:1", None))
            .is_empty()
    );
    assert_eq!(lab.dropped(DropReason::NotFor), 1);
}

#[test]
fn over_ipv6_the_location_is_an_ipv6_address() {
    let mut lab = Lab::new(raw());
    for from in [device6(0x20), "[fe80::77]:1900".parse().unwrap()] {
        let answers = lab.send(Channel::Ssdp, from, &search("upnp:rootdevice", None));
        assert_eq!(
            field(&text(answers[0].clone()), "LOCATION"),
            "http://[fd12:3456:789a:1::1]:2869/rootDesc.xml"
        );
    }
    lab.server.set_address6(Some("fe80::1".parse().unwrap()), vec![], lab.now).unwrap();
    let from: SocketAddr = "[fe80::77]:1900".parse().unwrap();
    let answers = lab.send(Channel::Ssdp, from, &search("upnp:rootdevice", None));
    assert_eq!(field(&text(answers[0].clone()), "LOCATION"), "http://[fe80::1]:2869/rootDesc.xml");
    assert!(lab.send(Channel::Ssdp, device6(0x20), &search("upnp:rootdevice", None)).is_empty());
    assert_eq!(lab.dropped(DropReason::Source), 1);
}

#[test]
fn answers_to_a_multicast_search_are_spread_within_its_time() {
    let mut lab = Lab::new(raw());
    lab.pass(Duration::from_secs(200));
    let mut delays = BTreeSet::new();
    for port in 0..60 {
        let from = SocketAddr::new(device(port as u8 + 2).ip(), 10_000 + port);
        let sent = lab.now;
        assert!(lab.send(Channel::Ssdp, from, &search("upnp:rootdevice", Some(2))).is_empty());
        let due = lab.server.poll_timeout().unwrap();
        assert_eq!(due.1, "discovery");
        delays.insert(due.0.since(sent.mono).as_millis());
        let answers = datagrams(lab.pass(Duration::from_secs(1)));
        assert_eq!(answers.iter().filter(|(to, _)| *to == from).count(), 2);
    }
    assert!(delays.len() > 20, "{delays:?}");
    // However long a client would wait: 5 s (UDA 1.1 §1.3.2).
    lab.send(Channel::Ssdp, device(20), &search("upnp:rootdevice", Some(4_000_000)));
    assert!(lab.server.poll_timeout().unwrap().0 <= lab.now.mono + Duration::from_secs(5));
}

#[test]
fn announcements_are_made_again_before_they_are_forgotten() {
    let mut lab = Lab::new(raw());
    let mut at = Vec::new();
    for _ in 0..4_000 {
        for (to, bytes) in datagrams(lab.pass(Duration::from_secs(1))) {
            if to.port() == 1_900 && to.is_ipv4() {
                let notify = text(bytes);
                assert_eq!(to.to_string(), "239.255.255.250:1900");
                assert_eq!(field(&notify, "NTS"), "ssdp:alive");
                if field(&notify, "NT") == "urn:schemas-upnp-org:device:InternetGatewayDevice:1" {
                    at.push(lab.now.mono.since(start().mono).as_secs());
                }
            }
        }
    }
    assert!(at.len() >= 3 + 4 && at[2] < 4, "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 900), "{at:?}");
}

#[test]
fn the_end_is_announced() {
    let mut lab = Lab::new(raw());
    let (conn, _) = lab.connect(device(20));
    lab.server.stop(lab.now);
    let outputs = lab.outputs();
    assert!(outputs.contains(&Output::Close { conn }));
    let byes = datagrams(outputs);
    assert_eq!(byes.len(), 44);
    for (to, bytes) in byes {
        assert_eq!(to.port(), 1_900);
        assert_eq!(field(&text(bytes), "NTS"), "ssdp:byebye");
    }
    assert_eq!(lab.server.poll_timeout(), None);
    assert!(lab.send(Channel::Ssdp, device(20), &search("ssdp:all", None)).is_empty());
    assert!(lab.send(Channel::PortControl, device(20), &[0, 0]).is_empty());
    assert_eq!(lab.dropped(DropReason::Stopped), 2);
    lab.server.stop(lab.now);
    assert!(lab.outputs().is_empty());
}

#[test]
fn what_is_not_a_search_is_not_answered() {
    let mut lab = Lab::new(raw());
    let good = text(search("ssdp:all", Some(1)));
    for bad in [
        good.replace("HTTP/1.1", "HTTP/1.0"),
        good.replace("\"ssdp:discover\"", "\"ssdp:other\""),
        good.replace("MAN", "NAM"),
        good.replace("ST:", "TS:"),
        good.replace("MX: 1", "MX: x"),
        good.replace("MX: 1", "MX: -1"),
        good.replace("ssdp:all", ""),
        good.replace("ssdp:all", &"x".repeat(200)),
        good.replace("M-SEARCH *", "M-SEARCH /"),
        good.replace("HOST: ", "HOST \u{1}: "),
        String::from("M-SEARCH "),
    ] {
        assert!(lab.send(Channel::Ssdp, device(20), bad.as_bytes()).is_empty());
    }
    assert_eq!(lab.dropped(DropReason::Search), 11);
    for other in [&b"NOTIFY * HTTP/1.1\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n", b"", b"\xff\xff"] {
        assert!(lab.send(Channel::Ssdp, device(20), other).is_empty());
    }
    assert_eq!(lab.dropped(DropReason::NotSearch), 4);
    // What others announce is not counted against their searches.
    for _ in 0..1_000 {
        lab.send(Channel::Ssdp, device(20), b"NOTIFY * HTTP/1.1\r\n\r\n");
    }
    assert_eq!(lab.send(Channel::Ssdp, device(20), &search("upnp:rootdevice", None)).len(), 2);
}
