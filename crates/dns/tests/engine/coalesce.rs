use hickory_proto::{op::ResponseCode, rr::RecordType};
use hn_dns::Client;

use crate::world::*;

fn numbered(id: u16, text: &str) -> Vec<u8> {
    let mut message = query(text, RecordType::A);
    message.metadata.id = id;
    message.to_vec().unwrap()
}

#[test]
fn identical_questions_share_one_ask_and_everyone_gets_his_own_id_and_case() {
    let mut world = World::new();
    let asked = only_ask(&world.send(udp(5), &numbered(1, "www.example")));
    assert!(world.send(udp(6), &numbered(2, "WWW.example")).is_empty());
    assert!(world.send(tcp(7), &numbered(3, "www.EXAMPLE")).is_empty());
    assert_eq!((world.forwarder.in_flight(), world.forwarder.waiting()), (1, 3));
    let out = world.respond(&asked, &address(&asked, 60));
    let mut seen: Vec<(Client, u16, String)> = replies(&out)
        .into_iter()
        .map(|(client, m)| (client, m.metadata.id, m.queries[0].name.to_ascii()))
        .collect();
    seen.sort_by_key(|(_, id, _)| *id);
    assert_eq!(
        seen,
        [
            (udp(5), 1, "www.example.".to_owned()),
            (udp(6), 2, "WWW.example.".to_owned()),
            (tcp(7), 3, "www.EXAMPLE.".to_owned())
        ]
    );
    assert_eq!((world.forwarder.in_flight(), world.forwarder.waiting()), (0, 0));
    assert_eq!(world.forwarder.counters().coalesced, 2);
}

#[test]
fn a_retransmission_is_not_answered_twice() {
    let mut world = World::new();
    let asked = only_ask(&world.send(udp(5), &numbered(1, "www.example")));
    assert!(world.send(udp(5), &numbered(1, "www.example")).is_empty());
    assert_eq!(replies(&world.respond(&asked, &address(&asked, 60))).len(), 1);
    assert_eq!(world.forwarder.counters().dropped_duplicate, 1);
}

#[test]
fn clients_waiting_for_one_question_are_bounded() {
    let mut small = config();
    small.max_waiters_per_lookup = 3;
    let mut world = World::with(small, &[UPSTREAM]);
    only_ask(&world.send(udp(2), &numbered(1, "www.example")));
    for host in 3..5 {
        assert!(world.send(udp(host), &numbered(1, "www.example")).is_empty());
    }
    let refused = only_reply(&world.send(udp(9), &numbered(1, "www.example")));
    assert_eq!(code(&refused), ResponseCode::ServFail);
    assert_eq!(world.forwarder.counters().lookup_limit, 1);
}

#[test]
fn one_client_cannot_take_all_places() {
    let mut small = config();
    small.max_per_client = 4;
    let mut world = World::with(small, &[UPSTREAM]);
    for number in 0..4 {
        only_ask(&world.send(udp(5), &numbered(number, &format!("n{number}.example"))));
    }
    let refused = only_reply(&world.send(udp(5), &numbered(9, "n9.example")));
    assert_eq!(code(&refused), ResponseCode::ServFail);
    let refused = only_reply(&world.send(udp(5), &numbered(10, "n0.example")));
    assert_eq!(code(&refused), ResponseCode::ServFail, "joining counts as well");
    assert_eq!(world.forwarder.counters().client_limit, 2);
    assert_eq!(world.forwarder.in_flight(), 4);
    only_ask(&world.send(udp(6), &numbered(1, "n9.example")));
}

#[test]
fn a_place_is_free_again_when_the_answer_has_come() {
    let mut small = config();
    small.max_per_client = 1;
    let mut world = World::with(small, &[UPSTREAM]);
    for number in 0..10 {
        let asked = only_ask(&world.send(udp(5), &numbered(number, &format!("n{number}.example"))));
        assert_eq!(replies(&world.respond(&asked, &address(&asked, 60))).len(), 1);
    }
}

#[test]
fn questions_in_flight_are_bounded() {
    let mut small = config();
    small.max_lookups = 8;
    let mut world = World::with(small, &[UPSTREAM]);
    for number in 0..8 {
        only_ask(&world.send(udp(5), &numbered(number, &format!("n{number}.example"))));
    }
    let refused = only_reply(&world.send(udp(5), &numbered(9, "n9.example")));
    assert_eq!(code(&refused), ResponseCode::ServFail);
    assert_eq!(world.forwarder.in_flight(), 8);
}

#[test]
fn a_new_subnet_drops_and_counts_those_who_wait() {
    let mut world = World::new();
    let asked = only_ask(&world.send(udp(5), &numbered(1, "www.example")));
    let mut moved = config();
    moved.address = "192.168.173.1/24".parse().unwrap();
    world.forwarder.reconfigure(moved, world.now).unwrap();
    assert!(replies(&world.respond(&asked, &address(&asked, 60))).is_empty());
    assert_eq!(world.forwarder.counters().dropped_reconfigured, 1);
    assert!(world.send(udp(5), &numbered(1, "www.example")).is_empty(), "the old subnet is a stranger");
    assert_eq!(world.forwarder.counters().dropped_source, 1);
}
