use std::collections::BTreeSet;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use hn_dns::{Route, RouteTransport, UpstreamId};

use crate::world::*;

/// Nothing of a forged answer reaches the client or the cache, and the true one still does.
fn refused(world: &mut World, asked: &Asked, forged: &[u8], from: Route) {
    world.forwarder.handle_response(forged, from, world.now);
    assert!(replies(&world.drain()).is_empty());
    assert_eq!(world.forwarder.cached(), 0);
    let mut honest = World::new();
    let same = honest.ask(&query("bank.example", RecordType::A));
    assert_eq!(same.message.queries, asked.message.queries, "same seed, same draw");
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

#[test]
fn answers_with_a_wrong_id_socket_resolver_or_question_are_refused() {
    let mut world = World::new();
    let asked = world.ask(&query("bank.example", RecordType::A));
    let good = address(&asked, 60);

    let mut wrong = good.clone();
    wrong.metadata.id ^= 1;
    refused(&mut world, &asked, &bytes(&wrong), asked.route);

    let RouteTransport::Udp { slot } = asked.route.transport else { panic!("UDP first") };
    let other_slot = Route { transport: RouteTransport::Udp { slot: slot ^ 1 }, ..asked.route };
    refused(&mut world, &asked, &bytes(&good), other_slot);
    let tcp = Route { transport: RouteTransport::Tcp { id: u32::from(slot) }, ..asked.route };
    refused(&mut world, &asked, &bytes(&good), tcp);
    let other_upstream = Route { upstream: UpstreamId(77), ..asked.route };
    refused(&mut world, &asked, &bytes(&good), other_upstream);

    let mut wrong = good.clone();
    wrong.queries[0].set_name(name("evil.example"));
    refused(&mut world, &asked, &bytes(&wrong), asked.route);
    let mut wrong = good.clone();
    wrong.queries[0].set_query_type(RecordType::AAAA);
    refused(&mut world, &asked, &bytes(&wrong), asked.route);
    let mut wrong = good.clone();
    wrong.queries.clear();
    refused(&mut world, &asked, &bytes(&wrong), asked.route);

    let counters = *world.forwarder.counters();
    assert_eq!((counters.response_unexpected, counters.response_mismatched), (4, 3));
    assert_eq!(replies(&world.respond(&asked, &good)).len(), 1);
    assert!(world.respond(&asked, &good).is_empty(), "once only");
}

#[test]
fn an_answer_in_another_case_is_checked_over_tcp() {
    let mut world = World::new();
    let asked = world.ask(&query("abcdefghijklmnop.example", RecordType::A));
    let mut folded = address(&asked, 60);
    let lower = asked.message.queries[0].name.to_lowercase();
    assert_ne!(asked.message.queries[0].name.to_ascii(), lower.to_ascii(), "the case is drawn");
    folded.queries[0].set_name(lower.clone());
    let over_tcp = only_ask(&world.respond(&asked, &folded));
    assert!(is_tcp(over_tcp.route));
    assert_eq!(world.forwarder.counters().case_mismatches, 1);

    let mut folded = address(&over_tcp, 60);
    folded.queries[0].set_name(lower);
    assert_eq!(replies(&world.respond(&over_tcp, &folded)).len(), 1, "TCP cannot be forged from afar");
    let next = world.ask(&query("qrstuvwxyz.example", RecordType::A));
    let sent = &next.message.queries[0].name;
    assert_eq!(sent.to_ascii(), sent.to_lowercase().to_ascii(), "this resolver cannot keep the case");
}

#[test]
fn ids_sockets_and_case_are_drawn_for_every_question() {
    let mut world = World::new();
    let mut ids = BTreeSet::new();
    let mut slots = BTreeSet::new();
    for number in 0..500 {
        let asked = world.ask(&query(&format!("n{number}.example"), RecordType::A));
        ids.insert(asked.message.metadata.id);
        if let RouteTransport::Udp { slot } = asked.route.transport {
            slots.insert(slot);
        }
    }
    assert!(ids.len() > 480, "{}", ids.len());
    assert_eq!(slots.len(), 16);
}

#[test]
fn a_socket_that_is_guessed_at_gets_another_port() {
    let mut world = World::new();
    let asked = world.ask(&query("bank.example", RecordType::A));
    for guess in 0..200_u16 {
        let mut forged = address(&asked, 60);
        forged.metadata.id = asked.message.metadata.id.wrapping_add(1 + guess);
        world.respond(&asked, &forged);
    }
    let out = world.respond(&asked, &address(&asked, 60));
    assert!(out.contains(&Out::Close(asked.route)));
}

#[test]
fn a_question_is_no_answer() {
    let mut world = World::new();
    let asked = world.ask(&query("bank.example", RecordType::A));
    world.forwarder.handle_response(&asked.message.to_vec().unwrap(), asked.route, world.now);
    assert!(world.drain().is_empty());
    assert_eq!(world.forwarder.counters().response_malformed, 1);
    let out = world.respond(&asked, &answer(&asked, ResponseCode::NXDomain));
    assert_eq!(code(&only_reply(&out)), ResponseCode::NXDomain);
}
