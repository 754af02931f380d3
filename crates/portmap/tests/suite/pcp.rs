//! RFC 6887.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hn_portmap::{Channel, DropReason};
use hn_types::{
    portmap::{MapAct, MapRefusal, MapUplink},
    settings::Protocol,
};

use crate::{lab::*, table::RESERVED};

pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The common header (§7.1).
pub fn header(opcode: u8, client: IpAddr, lifetime: u32) -> Vec<u8> {
    let mut out = vec![2, opcode, 0, 0];
    out.extend(lifetime.to_be_bytes());
    out.extend(mapped(client));
    out
}

/// A MAP request (§11.1) without a wish for an address.
pub fn map(
    client: IpAddr,
    nonce: [u8; 12],
    protocol: u8,
    internal: u16,
    external: u16,
    lifetime: u32,
) -> Vec<u8> {
    let mut out = header(1, client, lifetime);
    out.extend(nonce);
    out.extend([protocol, 0, 0, 0]);
    out.extend(internal.to_be_bytes());
    out.extend(external.to_be_bytes());
    let any: IpAddr =
        if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    out.extend(mapped(any));
    out
}

fn with_option(mut request: Vec<u8>, code: u8, data: &[u8]) -> Vec<u8> {
    request.extend([code, 0]);
    request.extend((data.len() as u16).to_be_bytes());
    request.extend(data);
    request.resize(request.len().next_multiple_of(4), 0);
    request
}

fn filter(prefix: u8, port: u16, address: &str) -> Vec<u8> {
    let mut out = vec![0, prefix];
    out.extend(port.to_be_bytes());
    out.extend(mapped(address.parse().unwrap()));
    out
}

/// Result, lifetime, epoch.
#[track_caller]
pub fn result(answer: &[u8]) -> (u8, u32, u32) {
    assert!(answer.len() >= 24 && answer.len().is_multiple_of(4) && answer.len() <= 1_100);
    assert_eq!((answer[0], answer[1] & 128), (2, 128));
    let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
    assert_eq!((answer[2], &answer[12..24]), (0, &[0; 12][..]), "reserved");
    (answer[3], word(4), word(8))
}

/// The assigned address and port.
pub fn assigned(answer: &[u8]) -> SocketAddr {
    let octets: [u8; 16] = answer[44..60].try_into().unwrap();
    SocketAddr::new(
        Ipv6Addr::from(octets).to_canonical(),
        u16::from_be_bytes(answer[42..44].try_into().unwrap()),
    )
}

const NONCE: [u8; 12] = [9; 12];

fn client() -> IpAddr {
    device(20).ip()
}

#[test]
fn a_mapping_is_made_renewed_and_deleted() {
    let mut lab = Lab::new(raw());
    let from = device(20);
    let request = map(client(), NONCE, 17, 4_000, 5_000, 7_200);
    let answer = lab.ask(from, &request);
    assert_eq!(result(&answer), (0, 7_200, 0));
    assert_eq!(assigned(&answer).to_string(), "203.0.113.9:5000");
    // §11.1: nonce, protocol and internal port come back.
    assert_eq!((answer.len(), &answer[24..42]), (60, &request[24..42]));
    let renewed = lab.ask(from, &map(client(), NONCE, 17, 4_000, 0, 100));
    assert_eq!((result(&renewed).1, assigned(&renewed).port()), (100, 5_000));
    // Another nonce may neither renew nor delete it (§11.3).
    for lifetime in [0, 60] {
        assert_eq!(result(&lab.ask(from, &map(client(), [8; 12], 17, 4_000, 0, lifetime))).0, 2);
    }
    assert_eq!(lab.server.counters().refused(MapRefusal::Nonce), 2);
    assert_eq!(result(&lab.ask(from, &map(client(), NONCE, 17, 4_000, 0, 0))), (0, 0, 0));
    assert!(lab.table.rows.is_empty());
    // §15.1: what is not there is deleted, too.
    assert_eq!(result(&lab.ask(from, &map(client(), NONCE, 17, 4_000, 0, 0))), (0, 0, 0));
}

#[test]
fn all_mappings_of_a_nonce_are_deleted_at_once() {
    let mut lab = Lab::new(raw());
    for (nonce, protocol, port) in [(1, 6, 1), (1, 17, 2), (1, 17, 3), (2, 17, 4)] {
        lab.ask(device(20), &map(client(), [nonce; 12], protocol, port, 0, 600));
    }
    assert_eq!(result(&lab.ask(device(20), &map(client(), [1; 12], 17, 0, 0, 0))).0, 0);
    assert_eq!(lab.table.rows.len(), 2);
    // With all protocols the port is ignored (§11.1).
    assert_eq!(result(&lab.ask(device(20), &map(client(), [1; 12], 0, 99, 0, 0))).0, 0);
    assert_eq!(lab.table.rows.len(), 1);
    // All ports, or all protocols, are not led to a device.
    for request in [map(client(), NONCE, 17, 0, 0, 60), map(client(), NONCE, 0, 0, 0, 60)] {
        assert_eq!(result(&lab.ask(device(20), &request)).0, 9);
    }
    assert_eq!(result(&lab.ask(device(20), &map(client(), NONCE, 132, 7, 0, 60))).0, 9);
}

#[test]
fn prefer_failure_is_obeyed() {
    // §13.2.
    let mut lab = Lab::new(raw());
    lab.ask(device(20), &map(client(), NONCE, 6, 80, 80, 600));
    let other = device(21);
    let taken = map(other.ip(), NONCE, 6, 80, 80, 600);
    assert_eq!(assigned(&lab.ask(other, &taken)).port(), 81);
    let mut elsewhere = map(device(22).ip(), NONCE, 6, 80, 80, 600);
    let refused = lab.ask(device(22), &with_option(elsewhere.clone(), 2, &[]));
    assert_eq!((result(&refused).0, result(&refused).1), (11, 30));
    let reserved = with_option(map(device(22).ip(), NONCE, 6, 80, RESERVED, 600), 2, &[]);
    assert_eq!(result(&lab.ask(device(22), &reserved)).0, 11);
    // An address that is not ours cannot be had.
    elsewhere[42..44].copy_from_slice(&9_000_u16.to_be_bytes());
    elsewhere[44..60].copy_from_slice(&mapped("198.51.100.1".parse().unwrap()));
    assert_eq!(result(&lab.ask(device(22), &with_option(elsewhere.clone(), 2, &[]))).0, 11);
    let granted = lab.ask(device(22), &elsewhere);
    assert_eq!(assigned(&granted).to_string(), "203.0.113.9:9000");
    // What was obeyed is in the answer (§7.3).
    let obeyed = with_option(map(device(22).ip(), NONCE, 6, 70, 70, 600), 2, &[]);
    let answer = lab.ask(device(22), &with_option(obeyed, 200, b"unknown"));
    assert_eq!((result(&answer).0, &answer[60..]), (0, &[2, 0, 0, 0][..]));
}

#[test]
fn filters_add_up_until_they_are_cleared() {
    // §13.3.
    let mut lab = Lab::new(raw());
    let base = || map(client(), NONCE, 17, 4_000, 0, 600);
    let remotes = |lab: &Lab| -> Vec<String> {
        let remotes = &lab.table.rows[0].entry.remotes;
        remotes.iter().map(|r| format!("{}/{}:{}", r.address, r.prefix, r.port)).collect()
    };
    let request = with_option(base(), 3, &filter(24, 0, "198.51.100.77"));
    let answer = lab.ask(device(20), &with_option(request, 3, &filter(128, 53, "192.0.2.1")));
    assert_eq!((result(&answer).0, answer.len()), (0, 60 + 24 + 24));
    assert_eq!(remotes(&lab), ["198.51.100.0/24:0", "192.0.2.1/32:53"]);
    lab.ask(device(20), &with_option(base(), 3, &filter(32, 53, "192.0.2.1")));
    lab.ask(device(20), &base());
    assert_eq!(remotes(&lab).len(), 2, "renewals keep filters");
    let cleared = with_option(base(), 3, &filter(32, 1, "192.0.2.9"));
    let cleared = with_option(cleared, 3, &filter(0, 0, "0.0.0.0"));
    lab.ask(device(20), &with_option(cleared, 3, &filter(32, 2, "192.0.2.9")));
    assert_eq!(remotes(&lab), ["192.0.2.9/32:2"]);
    let mut many = base();
    for port in 10..19 {
        many = with_option(many, 3, &filter(32, port, "192.0.2.1"));
    }
    assert_eq!(result(&lab.ask(device(20), &many)).0, 13);
    for bad in [filter(33, 0, "192.0.2.1"), filter(96, 0, "192.0.2.1"), filter(129, 0, "192.0.2.1")] {
        assert_eq!(result(&lab.ask(device(20), &with_option(base(), 3, &bad))).0, 6);
    }
    let family = with_option(base(), 3, &filter(64, 0, "2001:db8::1"));
    assert_eq!(result(&lab.ask(device(20), &family)).0, 6);
}

#[test]
fn options_that_cannot_be_obeyed_are_refused() {
    // §7.3, §13.
    let mut lab = Lab::new(raw());
    let base = || map(client(), NONCE, 17, 4_000, 4_000, 600);
    let third_party = with_option(base(), 1, &mapped("192.168.137.21".parse().unwrap()));
    for (request, code) in [
        (third_party, 5),
        (with_option(base(), 99, &[]), 5),
        (with_option(base(), 2, &[0; 4]), 6),
        (with_option(with_option(base(), 2, &[]), 2, &[]), 6),
        (with_option(base(), 3, &[0; 19]), 6),
        (with_option(header(0, client(), 0), 2, &[]), 6),
        ([base(), vec![200, 0, 0, 9, 0, 0, 0, 0]].concat(), 6),
        ([base(), vec![200, 0, 0xff, 0xff]].concat(), 6),
    ] {
        let answer = lab.ask(device(20), &request);
        assert_eq!(result(&answer).0, code, "{request:?}");
        // §8.2: an error has the whole request.
        assert_eq!(answer[24..], request[24..]);
    }
    assert!(lab.table.rows.is_empty());
    assert_eq!(result(&lab.ask(device(20), &with_option(base(), 128, &[1, 2, 3]))).0, 0);
}

#[test]
fn malformed_requests_are_answered_as_such() {
    // §8.2.
    let mut lab = Lab::new(raw());
    let from = device(20);
    let good = map(client(), NONCE, 17, 4_000, 4_000, 600);
    for len in 2..good.len() {
        let answer = lab.ask(from, &good[..len]);
        assert_eq!(result(&answer).0, 3, "{len}");
        assert_eq!(answer.len(), len.max(24).next_multiple_of(4));
        lab.pass(Duration::from_secs(1));
    }
    let long = with_option(good.clone(), 200, &[7; 1_100]);
    assert_eq!((result(&lab.ask(from, &long)).0, lab.ask(from, &long).len()), (3, 1_100));
    assert_eq!(result(&lab.ask(from, &header(3, client(), 0))).0, 4);
    assert_eq!(result(&lab.ask(from, &[&[3][..], &good[1..]].concat())).0, 1);
    let other = map(device(21).ip(), NONCE, 17, 4_000, 4_000, 600);
    assert_eq!(result(&lab.ask(from, &other)).0, 12);
    assert!(lab.asked.is_empty());
    assert_eq!(lab.dropped(DropReason::AddressMismatch), 1);
}

#[test]
fn a_pinhole_is_asked_for_over_ipv6() {
    let mut lab = Lab::new(raw());
    let from = device6(0x20);
    let answer = lab.ask(from, &map(from.ip(), NONCE, 6, 8_080, 80, 600));
    assert_eq!(result(&answer).0, 0);
    assert_eq!(assigned(&answer), SocketAddr::new(from.ip(), 8_080), "nothing is translated");
    let exact = with_option(map(from.ip(), NONCE, 6, 8_081, 80, 600), 2, &[]);
    assert_eq!(result(&lab.ask(from, &exact)).0, 11);
    // A link-local address is nothing to lead to.
    let local: SocketAddr = "[fe80::77]:50000".parse().unwrap();
    assert_eq!(result(&lab.ask(local, &map(local.ip(), NONCE, 6, 1, 0, 600))).0, 2);
    assert_eq!(result(&lab.ask(local, &header(0, local.ip(), 0))).0, 0);
}

fn peer(remote: &str, remote_port: u16, lifetime: u32) -> Vec<u8> {
    let mut out = map(client(), NONCE, 17, 4_000, 0, lifetime);
    out[1] = 2;
    out.extend(remote_port.to_be_bytes());
    out.extend([0, 0]);
    out.extend(mapped(remote.parse().unwrap()));
    out
}

#[test]
fn the_mapping_of_a_flow_is_kept() {
    // §12.
    let mut lab = Lab::new(raw());
    let request = peer("198.51.100.7", 53, 900);
    let answer = lab.ask(device(20), &request);
    assert_eq!((result(&answer).0, result(&answer).1, answer.len()), (0, 900, 80));
    assert_eq!(assigned(&answer).to_string(), "203.0.113.9:4000");
    assert_eq!(answer[60..], request[60..]);
    let MapAct::Peer { protocol, internal, remote, .. } = lab.asked[0].act.clone() else { panic!() };
    assert_eq!(
        (protocol, internal.port(), remote.to_string()),
        (Protocol::Udp, 4_000, "198.51.100.7:53".into())
    );
    // A lifetime of 0 neither keeps nor deletes.
    assert_eq!(result(&lab.ask(device(20), &peer("198.51.100.7", 53, 0))).0, 0);
    for bad in [
        peer("198.51.100.7", 0, 900),
        peer("0.0.0.0", 53, 900),
        peer("224.0.0.5", 53, 900),
        peer("2001:db8::1", 53, 900),
    ] {
        assert_eq!(result(&lab.ask(device(20), &bad)).0, 3);
    }
    assert_eq!(lab.asked.len(), 1);
}

#[test]
fn a_request_sent_again_is_asked_once() {
    let mut lab = Lab::new(raw());
    lab.answering = false;
    let request = map(client(), NONCE, 17, 4_000, 0, 600);
    for _ in 0..3 {
        assert!(lab.send(Channel::PortControl, device(20), &request).is_empty());
    }
    assert_eq!((lab.asked.len(), lab.dropped(DropReason::Repeated)), (1, 2));
    // From another port it is another request.
    let elsewhere = SocketAddr::new(client(), 50_001);
    lab.send(Channel::PortControl, elsewhere, &request);
    assert_eq!(lab.asked.len(), 2);
    // The table does not answer: an error that passes.
    let answers = datagrams(lab.pass(Duration::from_secs(11)));
    let mine: Vec<_> = answers.iter().filter(|(to, _)| to.ip() == client()).collect();
    assert_eq!(mine.len(), 2);
    assert_eq!((result(&mine[0].1).0, result(&mine[0].1).1), (8, 30));
    assert_eq!(lab.dropped(DropReason::Unanswered), 2);
    // Its answer comes too late.
    let late = lab.table.answer(&lab.asked[0].clone(), lab.now.mono);
    lab.server.handle_answer(late, lab.now);
    assert!(lab.outputs().is_empty());
}

#[test]
fn without_an_address_outside_nothing_is_promised() {
    let mut lab = Lab::new(raw());
    lab.answering = false;
    lab.send(Channel::PortControl, device(20), &map(client(), NONCE, 17, 4_000, 0, 600));
    let request = lab.asked[0].clone();
    let mut answer = lab.table.answer(&request, lab.now.mono);
    answer.result.as_mut().unwrap().external = "0.0.0.0:4000".parse().unwrap();
    lab.server.handle_answer(answer, lab.now);
    let answers = datagrams(lab.outputs());
    assert_eq!(result(&answers[0].1).0, 7);
}

#[test]
fn a_new_address_starts_a_new_epoch_and_is_announced() {
    // §8.5, §14.1.3.
    let mut lab = Lab::new(raw());
    let announce = header(0, client(), 0);
    lab.pass(Duration::from_secs(1_000));
    assert_eq!(result(&lab.ask(device(20), &announce)), (0, 0, 1_000));
    let uplink = MapUplink { external: Some([198, 51, 100, 4].into()), since: lab.now.mono, ..lab.uplink() };
    lab.server.handle_uplink(uplink, lab.now);
    assert_eq!(result(&lab.ask(device(20), &announce)).2, 0);
    let mut announced: Vec<_> = datagrams(lab.pass(Duration::from_secs(130)));
    announced.retain(|(_, bytes)| bytes[0] == 2);
    let to = |wanted: &str| announced.iter().filter(|(to, _)| to.to_string() == wanted).count();
    assert_eq!((to("224.0.0.1:5350"), to("[ff02::1]:5350"), announced.len()), (10, 10, 20));
    assert_eq!(result(&announced[0].1), (0, 0, 0));
    // The loss of the way out alone loses nothing.
    lab.server.handle_uplink(MapUplink { external: None, up: false, ..uplink }, lab.now);
    lab.server.handle_uplink(uplink, lab.now);
    assert_eq!(result(&lab.ask(device(20), &announce)).2, 130);
}

#[test]
fn a_restart_that_lost_nothing_goes_on_counting() {
    let mut lab = Lab::new(raw());
    lab.pass(Duration::from_secs(500));
    let mut again = Lab::silent(raw());
    again.now = lab.now;
    again.server.handle_uplink(again.uplink(), again.now);
    again.outputs();
    assert_eq!(result(&again.ask(device(20), &header(0, client(), 0))).2, 500);
    // An address that is younger than the table was another before.
    let mut young = Lab::silent(raw());
    young.now = lab.now;
    let since = young.now.mono - Duration::from_secs(60);
    young.server.handle_uplink(MapUplink { since, ..young.uplink() }, young.now);
    young.outputs();
    assert_eq!(result(&young.ask(device(20), &header(0, client(), 0))).2, 60);
}
