use std::time::Duration;

use hickory_proto::{
    op::{MessageType, OpCode, ResponseCode},
    rr::RecordType,
};
use hn_dns::Event;

use crate::world::*;

fn two() -> World {
    World::with(config(), &[UPSTREAM, SECOND])
}

fn number(world: &mut World, number: u32) -> Asked {
    world.ask(&query(&format!("n{number}.example"), RecordType::A))
}

#[test]
fn silence_moves_on_to_the_next_resolver_and_a_late_answer_still_counts() {
    let mut world = two();
    let first = number(&mut world, 1);
    assert_eq!(first.upstream, UPSTREAM.parse().unwrap());
    let second = only_ask(&world.wait());
    assert_eq!(second.upstream, SECOND.parse().unwrap());
    assert_ne!(first.message.metadata.id, second.message.metadata.id);
    assert_eq!(replies(&world.respond(&first, &address(&first, 60))).len(), 1);
    assert!(world.respond(&second, &address(&second, 60)).is_empty(), "the slower answer is ignored");
    assert_eq!(world.forwarder.poll_timeout(), None);
}

#[test]
fn a_failure_answer_moves_on_at_once() {
    for failure in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotAuth] {
        let mut world = two();
        let first = number(&mut world, 1);
        let second = only_ask(&world.respond(&first, &answer(&first, failure)));
        assert_eq!(second.upstream, SECOND.parse().unwrap());
        let reply = only_reply(&world.respond(&second, &address(&second, 60)));
        assert_eq!(code(&reply), ResponseCode::NoError);
    }
}

#[test]
fn a_malformed_answer_moves_on_as_well() {
    let mut world = two();
    let first = number(&mut world, 1);
    let mut bytes = address(&first, 60).to_vec().unwrap();
    bytes.truncate(bytes.len() - 3);
    world.forwarder.handle_response(&bytes, first.route, world.now);
    only_ask(&world.drain());
    assert_eq!(world.forwarder.counters().response_malformed, 1);
}

#[test]
fn when_all_fail_the_client_is_told_and_the_failure_is_remembered_briefly() {
    let mut world = two();
    let first = number(&mut world, 1);
    let second = only_ask(&world.respond(&first, &answer(&first, ResponseCode::ServFail)));
    let reply = only_reply(&world.respond(&second, &answer(&second, ResponseCode::ServFail)));
    assert_eq!(code(&reply), ResponseCode::ServFail);
    let again = world.reply(&query("n1.example", RecordType::A));
    assert_eq!(code(&again), ResponseCode::ServFail, "RFC 9520: not asked again right away");
    world.pass(Duration::from_secs(5));
    number(&mut world, 1);
}

#[test]
fn the_reason_a_resolver_gives_reaches_the_client() {
    let mut world = World::new();
    let asked = world.ask(&edns(query("bogus.example", RecordType::A), 1232, true));
    let mut response = answer(&asked, ResponseCode::ServFail);
    response.edns = None;
    let mut bytes = response.to_vec().unwrap();
    bytes[11] = 1;
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 6]);
    world.forwarder.handle_response(&bytes, asked.route, world.now);
    let out = world.drain();
    let Out::Reply(_, bytes) = &out[0] else { panic!("{out:?}") };
    assert_eq!(bytes[bytes.len() - 6..], [0, 15, 0, 2, 0, 6], "extended error 6, DNSSEC bogus");
}

#[test]
fn everyone_silent_means_servfail_within_the_total_timeout() {
    let mut world = two();
    let start = world.now;
    number(&mut world, 1);
    let mut asked = 1;
    let reply = loop {
        let out = world.wait();
        asked += asks(&out).len();
        if !replies(&out).is_empty() {
            break only_reply(&out);
        }
    };
    assert_eq!(code(&reply), ResponseCode::ServFail);
    let took = world.now.since(start);
    assert!(took >= Duration::from_secs(5) && took <= Duration::from_millis(5_020), "{took:?}");
    assert!((3..=6).contains(&asked), "{asked}");
    assert_eq!((world.forwarder.in_flight(), world.forwarder.waiting()), (0, 0));
}

#[test]
fn a_refused_port_fails_fast() {
    let mut world = two();
    let first = number(&mut world, 1);
    world.forwarder.handle_upstream_error(first.route, world.now);
    let second = only_ask(&world.drain());
    world.forwarder.handle_upstream_error(second.route, world.now);
    assert_eq!(code(&only_reply(&world.drain())), ResponseCode::ServFail);
    assert_eq!(world.forwarder.counters().upstream_errors, 2);
}

#[test]
fn a_silent_resolver_is_passed_over_until_a_probe_finds_it_back() {
    let mut world = two();
    let first: std::net::SocketAddr = UPSTREAM.parse().unwrap();
    let second: std::net::SocketAddr = SECOND.parse().unwrap();
    let mut down = false;
    for n in 0..3 {
        number(&mut world, n);
        let out = world.wait();
        down |= out.contains(&Out::Event(Event::UpstreamDown(first)));
        let other = only_ask(&out);
        world.respond(&other, &address(&other, 60));
    }
    assert!(down);
    let next = number(&mut world, 10);
    assert_eq!(next.upstream, second);
    world.respond(&next, &address(&next, 60));

    world.pass(Duration::from_secs(2));
    let out = world.query(&query("n11.example", RecordType::A));
    let asked = asks(&out);
    assert_eq!(asked.len(), 2, "the client's question and a probe");
    assert_eq!((asked[0].upstream, asked[1].upstream), (second, first));
    assert_eq!(asked[1].message.queries[0].query_type(), RecordType::NS);
    world.respond(&asked[0], &address(&asked[0], 60));
    let out = world.respond(&asked[1], &answer(&asked[1], ResponseCode::NoError));
    assert_eq!(out, [Out::Event(Event::UpstreamUp(first))]);
    assert_eq!(number(&mut world, 12).upstream, first);
}

#[test]
fn a_resolver_that_cannot_edns_is_asked_without() {
    let mut world = World::new();
    let asked = world.ask(&query("old.example", RecordType::A));
    assert!(asked.message.edns.is_some());
    // The header alone, as old servers answer what they cannot read.
    let mut response =
        hickory_proto::op::Message::new(asked.message.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.response_code = ResponseCode::FormErr;
    let plain = only_ask(&world.respond(&asked, &response));
    assert!(plain.message.edns.is_none());
    let mut fine = address(&plain, 60);
    fine.edns = None;
    assert_eq!(replies(&world.respond(&plain, &fine)).len(), 1);
    assert!(number(&mut world, 2).message.edns.is_none(), "remembered");
    world.pass(Duration::from_secs(3_700));
    assert!(number(&mut world, 3).message.edns.is_some(), "but not for ever");
}

#[test]
fn losing_every_resolver_ends_questions_in_flight_and_a_new_one_takes_over() {
    let mut world = World::new();
    number(&mut world, 1);
    world.set_upstreams(&[SECOND]);
    let moved = only_ask(&world.drain());
    assert_eq!(moved.upstream, SECOND.parse().unwrap());
    world.set_upstreams(&[]);
    assert_eq!(code(&only_reply(&world.drain())), ResponseCode::ServFail);
    assert_eq!(world.forwarder.cached(), 0);
    world.set_upstreams(&[UPSTREAM, "192.168.137.1:53", "1.1.1.1:0"]);
    let asked = number(&mut world, 1);
    assert_eq!(asked.upstream, UPSTREAM.parse().unwrap());
    assert_eq!(
        asks(&world.respond(&asked, &answer(&asked, ResponseCode::ServFail))).len(),
        0,
        "neither ourselves nor port zero is a resolver"
    );
}

#[test]
fn ports_are_renewed_after_their_uses() {
    let mut frugal = config();
    frugal.ports_per_upstream = 2;
    frugal.port_uses = 5;
    let mut world = World::with(frugal, &[UPSTREAM]);
    let mut closed = 0;
    for n in 0..100 {
        let asked = number(&mut world, n);
        let out = world.respond(&asked, &address(&asked, 60));
        closed += out.iter().filter(|out| **out == Out::Close(asked.route)).count();
    }
    assert!((19..=20).contains(&closed), "{closed}");
}

#[test]
fn a_near_resolver_is_given_up_on_sooner_unless_it_is_the_only_one() {
    for (upstreams, expected) in
        [(&[UPSTREAM, SECOND][..], Duration::from_millis(300)), (&[UPSTREAM], Duration::from_millis(800))]
    {
        let mut world = World::with(config(), upstreams);
        let near = number(&mut world, 1);
        world.pass(Duration::from_millis(25));
        world.respond(&near, &address(&near, 60));
        let start = world.now;
        number(&mut world, 2);
        only_ask(&world.wait());
        let waited = world.now.since(start);
        assert!(waited >= expected && waited <= expected + Duration::from_millis(20), "{waited:?}");
    }
}

#[test]
fn other_socket_limits_take_effect_and_old_sockets_are_closed() {
    let mut world = two();
    let before = number(&mut world, 1);
    let mut single = config();
    single.ports_per_upstream = 1;
    world.forwarder.reconfigure(single, world.now).unwrap();
    let out = world.drain();
    assert!(out.contains(&Out::Forget(before.route.upstream)));
    assert_eq!(code(&only_reply(&out)), ResponseCode::ServFail);
    for n in 2..20 {
        let asked = number(&mut world, n);
        assert_eq!(asked.route.transport, hn_dns::RouteTransport::Udp { slot: 0 });
        assert_ne!(asked.route.upstream, before.route.upstream);
    }
}

#[test]
fn a_domain_that_is_no_domain_is_refused_and_changes_nothing() {
    let mut world = two();
    for domain in ["", ".", "a..b", "x y", &"a.".repeat(120)] {
        let mut bad = config();
        bad.domain = domain.into();
        assert!(world.forwarder.reconfigure(bad, world.now).is_err(), "{domain}");
    }
    world.reply(&query("laptop.mshome.net", RecordType::A));
}
