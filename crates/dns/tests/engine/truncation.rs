use std::time::Duration;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RecordType},
};

use crate::world::*;

fn many(asked: &Asked, count: u8) -> Message {
    let mut message = answer(asked, ResponseCode::NoError);
    for last in 0..count {
        message.add_answer(a(&asked.message.queries[0].name, 60, [10, 0, 0, last]));
    }
    message
}

#[test]
fn a_long_answer_is_cut_for_a_client_without_edns_and_whole_over_tcp() {
    let mut world = World::new();
    let asked = world.ask(&query("many.example", RecordType::A));
    let out = world.respond(&asked, &many(&asked, 60));
    let Out::Reply(_, bytes) = &out[0] else { panic!("{out:?}") };
    assert!(bytes.len() <= 512);
    let cut = only_reply(&out);
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.queries.len() == 1);

    let with_edns = world.reply(&edns(query("many.example", RecordType::A), 1_232, false));
    assert!(!with_edns.metadata.truncation);
    assert_eq!(with_edns.answers.len(), 60);
    let small_edns = world.reply(&edns(query("many.example", RecordType::A), 100, false));
    assert!(small_edns.metadata.truncation, "a size below 512 means 512");
    let whole = only_reply(&world.send(tcp(5), &query("many.example", RecordType::A).to_vec().unwrap()));
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 60));
    assert_eq!(world.forwarder.counters().truncated, 2);
}

#[test]
fn a_large_offer_of_a_client_is_brought_down_to_what_fits_one_frame() {
    let mut world = World::new();
    let asked = world.ask(&edns(query("many.example", RecordType::A), 65_535, false));
    let out = world.respond(&asked, &many(&asked, 100));
    assert!(only_reply(&out).metadata.truncation);
}

#[test]
fn additional_records_are_left_out_before_an_answer_is_truncated() {
    let mut world = World::new();
    let asked = world.ask(&query("glue.example", RecordType::A));
    let mut response = address(&asked, 60);
    for last in 0..40 {
        response.add_additional(a(&name("ns.example"), 60, [10, 0, 1, last]));
    }
    let reply = only_reply(&world.respond(&asked, &response));
    assert!(!reply.metadata.truncation);
    assert_eq!((reply.answers.len(), reply.additionals.len()), (1, 0));
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp_and_connections_are_shared() {
    let mut world = World::new();
    let first = world.ask(&query("one.example", RecordType::A));
    let second = world.ask(&query("two.example", RecordType::A));
    let mut cut = answer(&first, ResponseCode::NoError);
    cut.metadata.truncation = true;
    let over_tcp = only_ask(&world.respond(&first, &cut));
    assert!(is_tcp(over_tcp.route));
    assert_eq!(over_tcp.upstream, first.upstream);
    let mut cut = answer(&second, ResponseCode::NoError);
    cut.metadata.truncation = true;
    let also = only_ask(&world.respond(&second, &cut));
    assert_eq!(also.route, over_tcp.route);

    let out = world.respond(&over_tcp, &many(&over_tcp, 250));
    assert!(only_reply(&out).metadata.truncation, "the UDP client asks again over TCP");
    assert_eq!(world.forwarder.counters().tcp_retries, 2);
    let out = world.respond(&also, &many(&also, 250));
    assert!(only_reply(&out).metadata.truncation);
    let whole = only_reply(&world.send(tcp(5), &query("two.example", RecordType::A).to_vec().unwrap()));
    assert_eq!(whole.answers.len(), 250);

    let closed = world.pass(Duration::from_secs(6));
    assert_eq!(closed, [Out::Close(over_tcp.route)]);
    assert_eq!(world.forwarder.poll_timeout(), None);
}

#[test]
fn a_connection_that_closes_under_a_question_is_made_again() {
    let mut world = World::new();
    let asked = world.ask(&query("one.example", RecordType::A));
    let mut cut = answer(&asked, ResponseCode::NoError);
    cut.metadata.truncation = true;
    let over_tcp = only_ask(&world.respond(&asked, &cut));
    world.forwarder.handle_upstream_error(over_tcp.route, world.now);
    let again = only_ask(&world.drain());
    assert!(is_tcp(again.route) && again.route != over_tcp.route);
    assert_eq!(replies(&world.respond(&again, &address(&again, 60))).len(), 1);
}

#[test]
fn a_connection_that_swallows_questions_is_closed_and_the_client_told_in_time() {
    let mut world = World::new();
    let start = world.now;
    let asked = world.ask(&query("one.example", RecordType::A));
    let mut cut = answer(&asked, ResponseCode::NoError);
    cut.metadata.truncation = true;
    let mut out = world.respond(&asked, &cut);
    let mut closed = 0;
    while replies(&out).is_empty() {
        out = world.wait();
        closed += out.iter().filter(|out| matches!(out, Out::Close(route) if is_tcp(*route))).count();
    }
    assert!(closed > 0);
    assert_eq!(code(&only_reply(&out)), ResponseCode::ServFail);
    assert!(world.now.since(start) <= Duration::from_millis(5_020));
}

#[test]
fn an_answer_of_64_kib_passes_over_tcp_and_is_not_kept() {
    let mut world = World::new();
    let out = world.send(tcp(5), &query("big.example", RecordType::A).to_vec().unwrap());
    let asked = only_ask(&out);
    let mut cut = answer(&asked, ResponseCode::NoError);
    cut.metadata.truncation = true;
    let over_tcp = only_ask(&world.respond(&asked, &cut));
    let mut response = answer(&over_tcp, ResponseCode::NoError);
    for number in 0..4_000_u16 {
        let [high, low] = number.to_be_bytes();
        response.add_answer(a(&Name::root(), 60, [10, 0, high, low]));
        response.add_answer(a(&over_tcp.message.queries[0].name, 60, [10, 1, high, low]));
        if response.answers.len() >= 2_800 {
            break;
        }
    }
    let bytes = response.to_vec().unwrap();
    assert_eq!(bytes[2] & 2, 0, "truncated at {}", bytes.len());
    assert!(bytes.len() > 50_000, "{}", bytes.len());
    world.forwarder.handle_response(&bytes, over_tcp.route, world.now);
    let reply = only_reply(&world.drain());
    assert_eq!(code(&reply), ResponseCode::NoError, "{:?}", world.forwarder.counters());
    assert_eq!(reply.answers.len(), response.answers.len());
    assert_eq!(world.forwarder.counters().cache_too_long, 1);
}
