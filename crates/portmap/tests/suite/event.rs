//! Events.

use std::{net::SocketAddr, time::Duration};

use hn_portmap::{ConnId, DropReason, Output};
use hn_types::portmap::MapUplink;

use crate::lab::*;

const CALLBACK: &str = "http://192.168.137.20:49152/events";

fn subscribe(path: &str, fields: &str) -> Vec<u8> {
    format!("SUBSCRIBE {path} HTTP/1.1\r\nHost: 192.168.137.1:{PORT}\r\n{fields}\r\n").into_bytes()
}

fn new(callback: &str) -> Vec<u8> {
    let fields = format!("CALLBACK: <{callback}>\r\nNT: upnp:event\r\nTIMEOUT: Second-300\r\n");
    subscribe("/1/event/WANIPConnection", &fields)
}

#[track_caller]
fn sid(reply: &Reply) -> String {
    assert_eq!(reply.status, 200);
    reply.field("SID").unwrap().to_owned()
}

/// Lets the next event go out and answers it.
fn event(lab: &mut Lab, time: Duration, answer: &[u8]) -> Option<Reply> {
    let outputs = lab.pass(time);
    let (conn, to) = outputs.iter().find_map(connect)?;
    assert_eq!(to.to_string(), "192.168.137.20:49152");
    lab.server.handle_connect_result(conn, true, lab.now);
    let sent = lab.outputs();
    let [Output::Stream { bytes, then_close: false, .. }] = &sent[..] else { panic!("{sent:?}") };
    lab.server.handle_stream(conn, answer, lab.now);
    assert_eq!(lab.outputs(), [Output::Close { conn }]);
    let text = String::from_utf8_lossy(bytes);
    assert!(text.starts_with("NOTIFY /events HTTP/1.1\r\nHost: 192.168.137.20:49152\r\n"));
    Some(Reply::parse(format!("HTTP/1.1 200 \r\n{}", text.split_once("\r\n")?.1).into_bytes(), false))
}

fn connect(output: &Output) -> Option<(ConnId, SocketAddr)> {
    match output {
        Output::Connect { conn, to } => Some((*conn, *to)),
        Output::Datagram { .. } | Output::Stream { .. } | Output::Close { .. } | Output::Ask(_) => None,
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_subscriber_is_told_everything_and_then_what_changed() {
    let mut lab = Lab::new(raw());
    let reply = lab.http(device(20), &new(CALLBACK));
    assert_eq!(reply.field("TIMEOUT"), Some("Second-300"));
    let sid = sid(&reply);
    let first = event(&mut lab, SECOND, OK).unwrap();
    assert_eq!((first.field("SID"), first.field("SEQ")), (Some(sid.as_str()), Some("0")));
    assert_eq!((first.field("NT"), first.field("NTS")), (Some("upnp:event"), Some("upnp:propchange")));
    for (name, value) in [
        ("PossibleConnectionTypes", "IP_Routed"),
        ("ConnectionStatus", "Connected"),
        ("ExternalIPAddress", "203.0.113.9"),
        ("PortMappingNumberOfEntries", "0"),
    ] {
        assert_eq!(first.value(name), Some(value));
    }
    assert!(event(&mut lab, SECOND, OK).is_none());
    let address = [198, 51, 100, 4].into();
    lab.server.handle_uplink(MapUplink { external: Some(address), ..lab.uplink() }, lab.now);
    let second = event(&mut lab, SECOND, OK).unwrap();
    assert_eq!((second.field("SEQ"), second.value("ExternalIPAddress")), (Some("1"), Some("198.51.100.4")));
    assert_eq!(second.value("ConnectionStatus"), None, "it did not change");
    // Traffic alone is no news.
    lab.server.handle_uplink(MapUplink { external: Some(address), traffic: None, ..lab.uplink() }, lab.now);
    assert!(event(&mut lab, SECOND, OK).is_none());
    assert_eq!(lab.server.counters().events, 2);
    let bye = subscribe("/1/event/WANIPConnection", &format!("SID: {sid}\r\n"));
    let bye = [b"UN".as_slice(), &bye].concat();
    assert_eq!(lab.http(device(20), &bye).status, 200);
    assert_eq!(lab.http(device(20), &bye).status, 412);
    lab.server.handle_uplink(MapUplink::default(), lab.now);
    assert!(event(&mut lab, SECOND, OK).is_none());
}

#[test]
fn many_changes_at_once_are_one_event() {
    let mut lab = Lab::new(raw());
    sid(&lab.http(
        device(20),
        &subscribe("/2/event/WANIPConnection", &format!("CALLBACK: <{CALLBACK}>\r\nNT: upnp:event\r\n")),
    ));
    event(&mut lab, SECOND, OK).unwrap();
    for port in 1..20 {
        lab.send(hn_portmap::Channel::PortControl, device(20), &crate::natpmp::map(1, port, 0, 600));
        lab.now = lab.now + Duration::from_millis(5);
    }
    let mut seen = Vec::new();
    while let Some(event) = event(&mut lab, SECOND, OK) {
        seen.push(event.value("PortMappingNumberOfEntries").unwrap().to_owned());
        assert!(event.value("SystemUpdateID").is_some());
    }
    assert_eq!(seen, ["16"]);
}

#[test]
fn a_subscription_is_renewed_or_ends() {
    let mut lab = Lab::new(raw());
    let sid = sid(&lab.http(device(20), &new(CALLBACK)));
    event(&mut lab, SECOND, OK).unwrap();
    let renew = subscribe("/1/event/WANIPConnection", &format!("SID: {sid}\r\nTIMEOUT: Second-600\r\n"));
    lab.pass(Duration::from_secs(250));
    assert_eq!(lab.http(device(20), &renew).field("TIMEOUT"), Some("Second-600"));
    lab.pass(Duration::from_secs(590));
    assert_eq!(lab.http(device(21), &renew).status, 412, "another's");
    assert_eq!(lab.http(device(20), &renew).status, 200);
    lab.pass(Duration::from_secs(601));
    assert_eq!(lab.http(device(20), &renew).status, 412);
    let both = subscribe("/1/event/WANIPConnection", &format!("SID: {sid}\r\nNT: upnp:event\r\n"));
    assert_eq!(lab.http(device(20), &both).status, 400);
}

#[test]
fn nobody_else_is_told() {
    // CVE-2020-12695.
    let mut lab = Lab::new(raw());
    for callback in [
        "http://198.51.100.1/",
        "http://192.168.137.21:80/",
        "http://192.168.137.1:2869/",
        "http://example.com/",
        "ftp://192.168.137.20/",
    ] {
        assert_eq!(lab.http(device(20), &new(callback)).status, 412, "{callback}");
    }
    assert_eq!(lab.dropped(DropReason::Callback), 5);
    assert!(lab.pass(SECOND).iter().all(|output| connect(output).is_none()));
    for fields in ["NT: upnp:event\r\n", "CALLBACK: <http://192.168.137.20/>\r\n", "SID: uuid:x\r\n", ""] {
        assert_eq!(lab.http(device(20), &subscribe("/1/event/WANIPConnection", fields)).status, 412);
    }
}

#[test]
fn a_subscriber_that_is_gone_is_forgotten() {
    let mut lab = Lab::new(raw());
    sid(&lab.http(device(20), &new(CALLBACK)));
    let mut up = true;
    for round in 0..5 {
        let outputs = lab.pass(SECOND);
        let Some((conn, _)) = outputs.iter().find_map(connect) else {
            assert_eq!(round, 3, "three times in vain");
            assert_eq!(lab.server.counters().events_lost, 3);
            return;
        };
        match round {
            0 => lab.server.handle_connect_result(conn, false, lab.now),
            1 => lab.server.handle_closed(conn, lab.now),
            _ => {
                // Connected, and never a word.
                lab.server.handle_connect_result(conn, true, lab.now);
                lab.outputs();
                let outputs = lab.pass(Duration::from_secs(11));
                assert!(outputs.contains(&Output::Close { conn }));
            }
        }
        up = !up;
        lab.server.handle_uplink(MapUplink { up, ..lab.uplink() }, lab.now);
    }
    panic!("never forgotten");
}

#[test]
fn a_subscriber_that_does_not_know_is_forgotten() {
    let mut lab = Lab::new(raw());
    sid(&lab.http(device(20), &new(CALLBACK)));
    event(&mut lab, SECOND, b"HTTP/1.1 412 Precondition Failed\r\n\r\n").unwrap();
    lab.server.handle_uplink(MapUplink::default(), lab.now);
    assert!(event(&mut lab, SECOND, OK).is_none());
}

#[test]
fn subscriptions_are_bounded() {
    let mut raw = raw();
    raw.limits.subscriptions = 6;
    raw.limits.subscriptions_per_client = 4;
    let mut lab = Lab::new(raw);
    let mut sids = Vec::new();
    for port in 1..=6 {
        sids.push(sid(&lab.http(device(20), &new(&format!("http://192.168.137.20:{port}/")))));
    }
    // A client's oldest make room for its newest.
    let renew = |sid: &String| subscribe("/1/event/WANIPConnection", &format!("SID: {sid}\r\n"));
    let known: Vec<bool> = sids.iter().map(|sid| lab.http(device(20), &renew(sid)).status == 200).collect();
    assert_eq!(known, [false, false, true, true, true, true]);
    for host in [21, 22] {
        assert_eq!(lab.http(device(host), &new(&format!("http://192.168.137.{host}/"))).status, 200);
    }
    assert_eq!(lab.http(device(23), &new("http://192.168.137.23/")).status, 503);
    // The same again replaces itself.
    assert_eq!(lab.http(device(22), &new("http://192.168.137.22/")).status, 200);
}
