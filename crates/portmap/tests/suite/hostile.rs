//! Bytes and floods from strangers.

use std::{net::SocketAddr, time::Duration};

use hn_portmap::{Channel, ConnId, DropReason, Limits, Output};
use proptest::prelude::*;

use crate::{discovery::search, lab::*, natpmp, pcp};

#[test]
fn senders_that_no_device_is_are_nobody() {
    let mut lab = Lab::new(raw());
    let strangers = [
        "192.168.137.1:5000",
        "192.168.137.0:5000",
        "192.168.137.255:5000",
        "192.168.137.20:0",
        "192.168.138.20:5000",
        "198.51.100.1:5000",
        "0.0.0.0:5000",
        "255.255.255.255:5000",
        "224.0.0.1:5350",
        "127.0.0.1:5000",
        "[fe80::1]:5000",
        "[fd12:3456:789a:1::1]:5000",
        "[fd12:3456:789a:1::]:5000",
        "[fd12:3456:789a:2::5]:5000",
        "[2001:db8::1]:5000",
        "[ff02::1]:5350",
        "[::1]:5000",
        "[::]:5000",
        "[::ffff:198.51.100.1]:5000",
        "[::ffff:192.168.137.1]:5000",
    ];
    for stranger in strangers {
        let from: SocketAddr = stranger.parse().unwrap();
        for (channel, bytes) in
            [(Channel::PortControl, vec![0, 0]), (Channel::Ssdp, search("ssdp:all", None))]
        {
            assert!(lab.send(channel, from, &bytes).is_empty(), "{stranger}");
        }
        let (conn, outputs) = lab.connect(from);
        assert_eq!(outputs, [Output::Close { conn }], "{stranger}");
    }
    assert_eq!(lab.dropped(DropReason::Source), 3 * strangers.len() as u64);
    // A device behind a socket of both families is the same device.
    let both: SocketAddr = "[::ffff:192.168.137.20]:50000".parse().unwrap();
    lab.server.handle_datagram(Channel::PortControl, both, &[0, 0], lab.now);
    assert_eq!(datagrams(lab.outputs())[0].0, device(20));
}

#[test]
fn without_ipv6_its_senders_are_nobody() {
    let mut raw = raw();
    raw.link_local = None;
    raw.prefixes = vec![];
    let mut lab = Lab::new(raw);
    assert!(lab.send(Channel::PortControl, "[fe80::5]:1".parse().unwrap(), &[2, 0]).is_empty());
    assert_eq!(lab.dropped(DropReason::Source), 1);
    assert!(datagrams(lab.pass(Duration::from_secs(10))).iter().all(|(to, _)| to.is_ipv4()));
}

#[test]
fn a_flood_from_one_sender_leaves_the_others_served() {
    let mut lab = Lab::new(raw());
    let limits = Limits::default();
    let mut answered = 0;
    for _ in 0..10_000 {
        answered += lab.send(Channel::PortControl, device(20), &[0, 0]).len();
    }
    assert_eq!(answered, limits.burst as usize);
    assert_eq!(lab.dropped(DropReason::SourceRate), 10_000 - u64::from(limits.burst));
    assert_eq!(lab.ask(device(21), &[0, 0]).len(), 12);
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.ask(device(20), &[0, 0]).len(), 12);
}

#[test]
fn a_flood_of_many_senders_is_bounded_altogether() {
    let mut raw = raw();
    raw.host = "10.0.0.1/8".parse().unwrap();
    let mut lab = Lab::new(raw);
    let mut answered = 0;
    for n in 2..20_000_u32 {
        let from = SocketAddr::new(std::net::Ipv4Addr::from_bits((10 << 24) + n).into(), 7);
        answered += lab.send(Channel::PortControl, from, &[0, 0]).len();
    }
    assert_eq!(answered, Limits::default().total_rate as usize);
    assert!(lab.dropped(DropReason::TotalRate) > 0);
}

#[test]
fn questions_to_the_table_are_bounded() {
    let mut lab = Lab::new(raw());
    lab.answering = false;
    let limits = Limits::default();
    for port in 1..=20 {
        lab.send(Channel::PortControl, device(20), &natpmp::map(1, port, 0, 60));
    }
    assert_eq!(lab.asked.len(), limits.asks_per_client);
    for host in 21..80 {
        for port in 1..=20 {
            let answers = lab.send(Channel::PortControl, device(host), &natpmp::map(1, port, 0, 60));
            if let Some(answer) = answers.first() {
                assert_eq!(answer[..4], [0, 129, 0, 4]);
            }
        }
        lab.now = lab.now + Duration::from_millis(50);
    }
    assert_eq!(lab.asked.len(), limits.asks);
    assert!(lab.dropped(DropReason::Asks) > 0);
    // PCP and UPnP share the bound.
    let full = lab.ask(device(90), &pcp::map(device(90).ip(), [1; 12], 17, 5, 0, 60));
    assert_eq!(pcp::result(&full).0, 8);
}

#[test]
fn connections_are_bounded_and_slow_ones_end() {
    let mut lab = Lab::new(raw());
    let limits = Limits::default();
    let mut open = Vec::new();
    for _ in 0..limits.connections_per_client {
        let (conn, outputs) = lab.connect(device(20));
        assert_eq!(outputs, []);
        open.push(conn);
    }
    let (conn, outputs) = lab.connect(device(20));
    assert_eq!(outputs, [Output::Close { conn }]);
    for host in 21..40 {
        for _ in 0..limits.connections_per_client {
            lab.connect(device(host));
        }
    }
    assert_eq!(lab.server.counters().connections, limits.connections as u64);
    // A byte a second is not a request in time.
    let mut ended = Vec::new();
    let request = [b"GET / HTTP/1.1\r\nHost: x\r\nX: ".as_slice(), &[b'x'; 100]].concat();
    for byte in request {
        lab.server.handle_stream(open[0], &[byte], lab.now);
        for output in lab.pass(Duration::from_secs(1)) {
            if let Output::Stream { conn, bytes, then_close } = output {
                assert!(then_close && bytes.starts_with(b"HTTP/1.1 408 "));
                ended.push(conn);
            }
        }
    }
    assert_eq!(ended.len(), limits.connections);
    assert_eq!(lab.dropped(DropReason::Slow), limits.connections as u64);
    assert_eq!(lab.connect(device(20)).1, []);
}

#[test]
fn the_driver_cannot_be_given_a_number_of_the_servers_own() {
    let mut lab = Lab::new(raw());
    lab.server.handle_connected(ConnId::OUTGOING, device(20), lab.now);
    assert_eq!(lab.outputs(), [Output::Close { conn: ConnId::OUTGOING }]);
}

#[test]
fn a_client_that_opens_connections_all_day_is_slowed_down() {
    let mut lab = Lab::new(raw());
    let mut accepted = 0;
    for _ in 0..1_000 {
        let (conn, outputs) = lab.connect(device(20));
        accepted += usize::from(outputs.is_empty());
        lab.server.handle_closed(conn, lab.now);
    }
    assert_eq!(accepted, Limits::default().connect_burst as usize);
}

#[test]
fn oversized_requests_end_at_once() {
    let mut lab = Lab::new(raw());
    let endless = [b"GET /".as_slice(), &[b'a'; 5_000]].concat();
    assert_eq!(lab.http(device(20), &endless).status, 431);
    let body = b"POST /1/control/WANIPConnection HTTP/1.0\r\nContent-Length: 16385\r\n\r\n";
    assert_eq!(lab.http(device(20), body).status, 413);
    let chunks = b"POST /1/control/WANIPConnection HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n";
    assert_eq!(lab.http(device(20), chunks).status, 413);
    assert_eq!(lab.dropped(DropReason::TooLarge), 3);
    let deep = format!("<a>{}", "<a>".repeat(5_000));
    let deep = format!(
        "POST /1/control/WANIPConnection HTTP/1.0\r\nSOAPAction: \"u#a\"\r\nContent-Length: {}\r\n\r\n{deep}",
        deep.len()
    );
    assert_eq!(lab.http(device(20), deep.as_bytes()).status, 400);
}

#[test]
fn searches_that_wait_are_bounded() {
    let mut lab = Lab::new(raw());
    let limits = Limits::default();
    for host in 2..200 {
        for port in 1..=2 {
            let from = SocketAddr::new(device(host).ip(), port);
            lab.send(Channel::Ssdp, from, &search("ssdp:all", Some(5)));
        }
    }
    assert_eq!(lab.server.counters().searches, limits.searches as u64);
    assert!(lab.dropped(DropReason::Searches) > 0);
    let mut sent = 0;
    for _ in 0..60 {
        sent += datagrams(lab.pass(Duration::from_millis(100)))
            .iter()
            .filter(|(to, _)| !to.ip().is_multicast())
            .count();
    }
    assert_eq!(sent, limits.searches * 22);
}

#[test]
fn a_driver_that_does_not_drain_meets_a_full_queue() {
    let mut lab = Lab::new(raw());
    for host in 2..250 {
        for _ in 0..10 {
            lab.server.handle_datagram(Channel::Ssdp, device(host), &search("ssdp:all", None), lab.now);
        }
    }
    lab.now = lab.now + Duration::from_secs(10_000);
    for _ in 0..100 {
        lab.server.handle_timeout(lab.now);
    }
    assert!(lab.dropped(DropReason::OutputBacklog) > 0);
    assert!(lab.outputs().len() <= Limits::default().outputs);
}

/// One of everything a device may say.
fn samples() -> Vec<(Option<Channel>, Vec<u8>)> {
    let client = device(20).ip();
    let control = Some(Channel::PortControl);
    let mut filtered = pcp::map(client, [3; 12], 6, 80, 80, 600);
    filtered.extend([2, 0, 0, 0, 3, 0, 0, 20, 0, 24, 0, 0]);
    filtered.extend(pcp::mapped("198.51.100.0".parse().unwrap()));
    vec![
        (control, vec![0, 0]),
        (control, natpmp::map(1, 4_000, 4_000, 600)),
        (control, natpmp::map(2, 0, 0, 0)),
        (control, pcp::header(0, client, 0)),
        (control, filtered),
        (Some(Channel::Ssdp), search("ssdp:all", Some(1))),
        (None, call(client, "WANIPConnection:2", "GetStatusInfo", &[])),
        (
            None,
            call(
                client,
                "WANIPConnection:1",
                "DeletePortMapping",
                &[("NewRemoteHost", ""), ("NewExternalPort", "80"), ("NewProtocol", "TCP")],
            ),
        ),
        (
            None,
            b"SUBSCRIBE /1/event/WANIPConnection HTTP/1.1\r\nHost: 192.168.137.1:2869\r\nNT: upnp:event\r\n\
                 CALLBACK: <http://192.168.137.20/>\r\n\r\n"
                .to_vec(),
        ),
        (
            None,
            b"POST /1/control/WANIPConnection HTTP/1.1\r\nHost: 192.168.137.1:2869\r\n\
                 Transfer-Encoding: chunked\r\n\r\n3\r\n<a>\r\n4\r\n</a>\r\n0\r\n\r\n"
                .to_vec(),
        ),
    ]
}

/// Says it, in pieces of `step` bytes where it is a stream.
fn say(lab: &mut Lab, channel: Option<Channel>, bytes: &[u8], step: usize) {
    match channel {
        Some(channel) => {
            lab.send(channel, device(20), bytes);
        }
        None => {
            let (conn, _) = lab.connect(device(20));
            for piece in bytes.chunks(step) {
                lab.server.handle_stream(conn, piece, lab.now);
                lab.outputs();
            }
            lab.server.handle_closed(conn, lab.now);
        }
    }
    lab.pass(Duration::from_millis(200));
}

#[test]
fn every_truncation_is_survived() {
    for (channel, bytes) in samples() {
        let mut lab = Lab::new(raw());
        for len in 0..bytes.len() {
            say(&mut lab, channel, &bytes[..len], 7);
        }
        say(&mut lab, channel, &bytes, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_never_panic_and_never_pile_up(
        inputs in prop::collection::vec((0..3, prop::collection::vec(any::<u8>(), 0..200), 1_usize..50), 1..40),
    ) {
        let mut lab = Lab::new(raw());
        for (kind, bytes, step) in inputs {
            let channel = [Some(Channel::PortControl), Some(Channel::Ssdp), None][kind as usize];
            say(&mut lab, channel, &bytes, step);
        }
        prop_assert!(lab.asked.is_empty() || !lab.table.rows.is_empty());
    }

    #[test]
    fn mutated_requests_never_panic_and_lead_to_nobody_else(
        which in prop::collection::vec((0_usize..10, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), 1_usize..80), 1..30),
    ) {
        let mut lab = Lab::new(raw());
        let samples = samples();
        for (sample, changes, step) in which {
            let (channel, mut bytes) = samples[sample].clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            say(&mut lab, channel, &bytes, step);
        }
        for request in &lab.asked {
            prop_assert_eq!(request.client, device(20).ip());
            if let hn_types::portmap::MapAct::Add(add) = &request.act {
                prop_assert_eq!(add.internal.ip(), device(20).ip());
                prop_assert!(add.internal.port() != 0 && add.lifetime_s != 0);
                prop_assert!(add.filter.add.len() <= hn_types::portmap::MapFilter::REMOTES);
            }
        }
        prop_assert!(lab.table.rows.iter().all(|row| row.client == device(20).ip()));
    }
}
