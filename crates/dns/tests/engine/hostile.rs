use std::net::SocketAddr;

use hickory_proto::{
    op::{MessageType, ResponseCode},
    rr::RecordType,
};
use hn_dns::{Client, ClientTransport};

use crate::world::*;

#[test]
fn strangers_get_nothing() {
    let mut world = World::new();
    let message = query("laptop.mshome.net", RecordType::A).to_vec().unwrap();
    for addr in [
        "8.8.8.8:53",
        "192.168.138.5:40000",
        "192.168.137.0:40000",
        "192.168.137.255:40000",
        "192.168.137.5:0",
        "[fe80::1]:40000",
        "127.0.0.1:40000",
    ] {
        let addr: SocketAddr = addr.parse().unwrap();
        assert!(world.send(Client { addr, transport: ClientTransport::Udp }, &message).is_empty());
    }
    assert_eq!(world.forwarder.counters().dropped_source, 7);
    let mapped: SocketAddr = "[::ffff:192.168.137.5]:40000".parse().unwrap();
    assert_eq!(world.send(Client { addr: mapped, transport: ClientTransport::Udp }, &message).len(), 1);
}

#[test]
fn what_is_not_a_question_is_dropped_or_called_malformed() {
    let mut world = World::new();
    let good = query("www.example", RecordType::A).to_vec().unwrap();
    for length in 0..12 {
        assert!(world.send(udp(5), &good[..length]).is_empty());
    }
    assert_eq!(world.forwarder.counters().dropped_length, 12);
    assert!(world.send(udp(5), &[0; 5_000]).is_empty());
    for length in 12..good.len() {
        let reply = only_reply(&world.send(udp(5), &good[..length]));
        assert_eq!((code(&reply), reply.metadata.id), (ResponseCode::FormErr, 0x1234));
    }
    let mut response = query("www.example", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert!(world.query(&response).is_empty());
    assert_eq!(world.forwarder.counters().dropped_response, 1);

    let malformed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    for bytes in [
        malformed(&|b| b[5] = 0),
        malformed(&|b| b[5] = 2),
        malformed(&|b| b[7] = 1),
        malformed(&|b| b[9] = 1),
        malformed(&|b| b[11] = 1),
        malformed(&|b| b.push(0)),
        malformed(&|b| b[12] = 0xc0),
        malformed(&|b| b[12] = 0x40),
        malformed(&|b| {
            // Two OPT records.
            b[11] = 2;
            b.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }),
        malformed(&|b| {
            // An OPT whose option is longer than the record.
            b[11] = 1;
            b.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 8, 0, 9]);
        }),
        malformed(&|b| {
            // An OPT that is not at the root.
            b[11] = 1;
            b.extend([1, b'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }),
    ] {
        let reply = only_reply(&world.send(udp(5), &bytes));
        assert_eq!(code(&reply), ResponseCode::FormErr, "{bytes:?}");
    }
}

#[test]
fn pointers_that_loop_or_run_away_spoil_only_their_own_answer() {
    for tail in [
        &[0xc0, 200, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12][..],
        &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 41],
        &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xff, 0xff],
        &[0xc0, 0, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12],
        &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 5, 1, 2, 3, 4, 5],
        &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 255, 255, 1, 2, 3, 4],
        &[0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 60, 0, 2, 0, 0],
        &[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 4, 0xc0, 12, 0xc0, 12],
        &[0xc0],
        &[],
    ] {
        let mut world = World::new();
        let asked = world.ask(&query("www.example", RecordType::A));
        let mut response = answer(&asked, ResponseCode::NoError);
        response.edns = None;
        let mut bytes = response.to_vec().unwrap();
        bytes[7] = 1;
        bytes.extend(tail);
        world.forwarder.handle_response(&bytes, asked.route, world.now);
        let reply = only_reply(&world.drain());
        assert_eq!(code(&reply), ResponseCode::ServFail, "{tail:?}");
        assert_eq!(world.forwarder.counters().response_malformed, 1, "{tail:?}");
    }
}

#[test]
fn a_query_padded_with_options_is_answered_without_them() {
    let mut world = World::new();
    let mut bytes = query("www.example", RecordType::A).to_vec().unwrap();
    bytes[11] = 1;
    // A cookie and a client subnet.
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 23]);
    bytes.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100]);
    let out = world.send(udp(5), &bytes);
    let Out::Ask(_, _, sent) = &out[0] else { panic!("{out:?}") };
    assert_eq!(sent[sent.len() - 2..], [0, 0], "no option goes on");
}
