use std::time::Duration;

use hickory_proto::{
    op::{Edns, ResponseCode},
    rr::{RData, RecordType, rdata::TXT},
};

use crate::world::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_answer_is_kept_and_its_ttl_counts_down_until_it_is_asked_for_again() {
    let mut world = World::new();
    let asked = world.ask(&query("www.example.com", RecordType::A));
    assert_eq!(asked.upstream, UPSTREAM.parse().unwrap());
    let first = only_reply(&world.respond(&asked, &address(&asked, 100)));
    assert_eq!((first.metadata.id, first.answers[0].ttl), (0x1234, 100));
    assert!(first.metadata.recursion_available && !first.metadata.authoritative);

    world.pass(secs(40));
    let second = world.reply(&query("www.example.com", RecordType::A));
    assert_eq!(second.answers[0].ttl, 60);
    world.pass(secs(59));
    assert_eq!(world.reply(&query("www.example.com", RecordType::A)).answers[0].ttl, 1);
    world.drain();
    world.pass(secs(10));
    let counters = *world.forwarder.counters();
    assert_eq!((counters.hits, counters.misses), (2, 1));
    assert_eq!(asks(&world.query(&query("www.example.com", RecordType::TXT))).len(), 1);
}

#[test]
fn an_expired_answer_is_not_given() {
    let mut world = World::new();
    let asked = world.ask(&query("www.example.com", RecordType::A));
    world.respond(&asked, &address(&asked, 100));
    world.pass(secs(100));
    world.ask(&query("www.example.com", RecordType::A));
}

#[test]
fn the_case_of_the_question_comes_back_whoever_filled_the_cache() {
    let mut world = World::new();
    let out = world.query(&query("wWw.Example.COM", RecordType::A));
    let asked = only_ask(&out);
    let raw = |out: &[Out]| match &out[0] {
        Out::Reply(_, bytes) => bytes[12..29].to_vec(),
        other => panic!("{other:?}"),
    };
    let reply = world.respond(&asked, &address(&asked, 100));
    assert_eq!(raw(&reply), b"\x03wWw\x07Example\x03COM\0");
    let hit = world.query(&query("WWW.eXAMPLE.com", RecordType::A));
    assert_eq!(raw(&hit), b"\x03WWW\x07eXAMPLE\x03com\0");
}

#[test]
fn ttl_zero_is_not_kept_and_a_long_ttl_is_limited() {
    let mut world = World::new();
    let asked = world.ask(&query("zero.example", RecordType::A));
    assert_eq!(only_reply(&world.respond(&asked, &address(&asked, 0))).answers[0].ttl, 0);
    world.ask(&query("zero.example", RecordType::A));
    let asked = world.ask(&query("long.example", RecordType::A));
    let reply = only_reply(&world.respond(&asked, &address(&asked, 2_000_000)));
    assert_eq!(reply.answers[0].ttl, 86_400);
    let asked = world.ask(&query("huge.example", RecordType::A));
    let reply = only_reply(&world.respond(&asked, &address(&asked, 0x8000_0001)));
    assert_eq!(reply.answers[0].ttl, 0, "RFC 2181: above 31 bits is zero");
}

#[test]
fn nxdomain_is_kept_for_the_minimum_of_its_soa() {
    let mut world = World::new();
    let asked = world.ask(&query("no.example", RecordType::A));
    let mut nothing = answer(&asked, ResponseCode::NXDomain);
    nothing.add_authority(soa("example", 900, 60));
    let reply = only_reply(&world.respond(&asked, &nothing));
    assert_eq!((code(&reply), reply.authorities[0].ttl), (ResponseCode::NXDomain, 60));
    world.pass(secs(20));
    let reply = world.reply(&query("no.example", RecordType::A));
    assert_eq!((code(&reply), reply.authorities[0].ttl), (ResponseCode::NXDomain, 40));
    world.pass(secs(40));
    world.ask(&query("no.example", RecordType::A));
}

#[test]
fn nodata_behind_an_alias_is_kept_by_soa_and_negative_limit() {
    let mut world = World::new();
    let asked = world.ask(&query("alias.example", RecordType::AAAA));
    let mut empty = answer(&asked, ResponseCode::NoError);
    empty.add_answer(cname(&asked.message.queries[0].name, 86_000, "target.example"));
    empty.add_authority(soa("example", 86_400, 86_400));
    world.respond(&asked, &empty);
    world.pass(secs(3_599));
    assert_eq!(world.reply(&query("alias.example", RecordType::AAAA)).answers.len(), 1);
    world.pass(secs(1));
    world.ask(&query("alias.example", RecordType::AAAA));
}

#[test]
fn negative_answers_without_soa_are_passed_on_but_not_kept() {
    let mut world = World::new();
    for response in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let asked = world.ask(&query("bare.example", RecordType::A));
        let out = world.respond(&asked, &answer(&asked, response));
        assert_eq!(code(&only_reply(&out)), response);
    }
    assert_eq!(world.forwarder.cached(), 0);
}

#[test]
fn dnssec_and_checking_bits_have_answers_of_their_own() {
    let mut world = World::new();
    let plain = query("signed.example", RecordType::A);
    let with_do = edns(query("signed.example", RecordType::A), 1232, true);
    let mut with_cd = query("signed.example", RecordType::A);
    with_cd.metadata.checking_disabled = true;
    for (message, wants_do, wants_cd) in
        [(&plain, false, false), (&with_do, true, false), (&with_cd, false, true)]
    {
        let asked = world.ask(message);
        let sent = asked.message.edns.as_ref().unwrap();
        assert_eq!(sent.flags().dnssec_ok, wants_do);
        assert_eq!(sent.max_payload(), 1232);
        assert_eq!(asked.message.metadata.checking_disabled, wants_cd);
        let mut response = address(&asked, 100);
        response.metadata.authentic_data = true;
        let reply = only_reply(&world.respond(&asked, &response));
        assert_eq!(reply.metadata.authentic_data, wants_do, "AD only for who understands it");
        assert_eq!(reply.metadata.checking_disabled, wants_cd);
        assert_eq!(reply.edns.is_some(), wants_do, "OPT only for who sent one");
    }
    for message in [&plain, &with_do, &with_cd] {
        world.reply(message);
    }
    assert_eq!(world.forwarder.cached(), 3);
}

#[test]
fn the_byte_bound_holds_and_popular_answers_outlive_a_flood() {
    let mut small = config();
    small.cache_bytes = 256 << 10;
    let mut world = World::with(small, &[UPSTREAM]);
    let asked = world.ask(&query("popular.example", RecordType::A));
    world.respond(&asked, &address(&asked, 80_000));
    for number in 0..5_000 {
        let asked = world.ask(&query(&format!("n{number}.example"), RecordType::TXT));
        let mut response = answer(&asked, ResponseCode::NoError);
        let owner = asked.message.queries[0].name.clone();
        let text = "x".repeat(number % 250);
        let record = hickory_proto::rr::Record::from_rdata(owner, 80_000, RData::TXT(TXT::new(vec![text])));
        response.add_answer(record);
        world.respond(&asked, &response);
        if number % 50 == 0 {
            world.reply(&query("popular.example", RecordType::A));
        }
        assert!(world.forwarder.cache_bytes() <= 256 << 10);
    }
    let counters = world.forwarder.counters();
    assert!(counters.cache_evictions > 3_000);
    assert!(world.forwarder.cached() > 500, "{}", world.forwarder.cached());
    assert_eq!(counters.cache_inserts - counters.cache_evictions, world.forwarder.cached() as u64);
}

#[test]
fn ten_thousand_answers_fit_in_the_default_cache() {
    let mut world = World::new();
    for number in 0..10_000 {
        let asked = world.ask(&query(&format!("host-{number}.some-zone.example"), RecordType::A));
        world.respond(&asked, &address(&asked, 3_000));
    }
    assert_eq!(world.forwarder.cached(), 10_000);
    assert_eq!(world.forwarder.counters().cache_evictions, 0);
    assert!(world.forwarder.cache_bytes() <= 3 << 20);
    let hit = world.reply(&query("host-0.some-zone.example", RecordType::A));
    assert_eq!(hit.answers.len(), 1);
}

#[test]
fn another_set_of_resolvers_empties_the_cache_and_another_order_does_not() {
    let mut world = World::with(config(), &[UPSTREAM, SECOND]);
    let asked = world.ask(&query("www.example", RecordType::A));
    world.respond(&asked, &address(&asked, 300));
    world.set_upstreams(&[SECOND, UPSTREAM]);
    world.reply(&query("www.example", RecordType::A));
    world.set_upstreams(&[SECOND]);
    let out = world.query(&query("www.example", RecordType::A));
    assert!(out.contains(&Out::Forget(asked.route.upstream)));
    assert_eq!(only_ask(&out).upstream, SECOND.parse().unwrap());
}

#[test]
fn a_popular_answer_is_refreshed_before_it_expires_and_survives_a_failed_refresh() {
    let mut world = World::new();
    let asked = world.ask(&query("busy.example", RecordType::A));
    world.respond(&asked, &address(&asked, 100));
    world.reply(&query("busy.example", RecordType::A));
    world.pass(secs(91));
    let out = world.query(&query("busy.example", RecordType::A));
    assert_eq!(only_reply(&out).answers[0].ttl, 9);
    let refresh = only_ask(&out);
    assert!(asks(&world.query(&query("busy.example", RecordType::A))).is_empty(), "one refresh at a time");
    let mut failed = answer(&refresh, ResponseCode::ServFail);
    failed.metadata.recursion_available = true;
    assert!(world.respond(&refresh, &failed).is_empty());
    assert_eq!(world.reply(&query("busy.example", RecordType::A)).answers[0].ttl, 9);
    assert_eq!(world.forwarder.counters().prefetches, 1);
}

#[test]
fn a_refreshed_answer_takes_the_place_of_the_old_one() {
    let mut world = World::new();
    let asked = world.ask(&query("busy.example", RecordType::A));
    world.respond(&asked, &address(&asked, 100));
    world.reply(&query("busy.example", RecordType::A));
    world.pass(secs(95));
    let refresh = only_ask(&world.query(&query("busy.example", RecordType::A)));
    assert!(world.respond(&refresh, &address(&refresh, 100)).is_empty());
    assert_eq!(world.reply(&query("busy.example", RecordType::A)).answers[0].ttl, 100);
    assert_eq!(world.forwarder.cached(), 1);
}

#[test]
fn records_behind_a_hop_by_hop_record_are_cut_off() {
    let mut world = World::new();
    let asked = world.ask(&query("www.example", RecordType::A));
    let mut response = address(&asked, 50);
    response.edns = None;
    let mut bytes = response.to_vec().unwrap();
    bytes[11] = 3;
    // An additional address, then OPT, then another address.
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 1, 1, 1]);
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 2, 2, 2, 2]);
    world.forwarder.handle_response(&bytes, asked.route, world.now);
    let reply = only_reply(&world.drain());
    assert_eq!(reply.additionals.len(), 1);
    assert!(reply.edns.is_none());
    assert_eq!(reply.answers.len(), 1);
    let hit = world.reply(&edns(query("www.example", RecordType::A), 4096, false));
    assert_eq!((hit.additionals.len(), hit.edns.as_ref().map(Edns::max_payload)), (1, Some(1232)));
}
