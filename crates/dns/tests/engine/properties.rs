use std::{collections::BTreeMap, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use hn_dns::{Client, ClientTransport};
use proptest::{collection::vec, prelude::*};

use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Query { host: u8, name: u8, kind: u8, size: Option<u16>, dnssec: bool, tcp: bool },
    Garbage { host: u8, bytes: Vec<u8> },
    Respond { which: usize, manner: u8, ttl: u32, flips: Vec<(usize, u8)> },
    Error { which: usize },
    Upstreams { count: usize },
    Pass { millis: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (2u8..6, 0u8..12, 0u8..4, proptest::option::of(any::<u16>()), any::<bool>(), any::<bool>()).prop_map(
            |(host, name, kind, size, dnssec, tcp)| Step::Query { host, name, kind, size, dnssec, tcp }
        ),
        1 => (2u8..6, vec(any::<u8>(), 0..80)).prop_map(|(host, bytes)| Step::Garbage { host, bytes }),
        6 => (any::<usize>(), 0u8..9, 0u32..400, vec((any::<usize>(), any::<u8>()), 0..3))
            .prop_map(|(which, manner, ttl, flips)| Step::Respond { which, manner, ttl, flips }),
        1 => any::<usize>().prop_map(|which| Step::Error { which }),
        1 => (0usize..3).prop_map(|count| Step::Upstreams { count }),
        3 => (0u16..3_000).prop_map(|millis| Step::Pass { millis }),
    ]
}

fn response(asked: &Asked, manner: u8, ttl: u32) -> Message {
    let mut message = match manner {
        0..=2 => address(asked, ttl),
        3 => answer(asked, ResponseCode::ServFail),
        4 => answer(asked, ResponseCode::FormErr),
        5 => answer(asked, ResponseCode::NXDomain),
        _ => answer(asked, ResponseCode::NoError),
    };
    match manner {
        5 => {
            message.add_authority(soa("example", ttl, ttl / 2));
        }
        6 => message.metadata.truncation = true,
        7 => {
            for last in 0..70 {
                message.add_answer(a(&asked.message.queries[0].name, ttl, [10, 0, 0, last]));
            }
        }
        _ => {}
    }
    message
}

/// Longest reply a client may get.
fn limit(client: Client, size: Option<u16>) -> usize {
    match client.transport {
        ClientTransport::Tcp(_) => 65_535,
        ClientTransport::Udp => usize::from(size.unwrap_or(0).clamp(512, 1_232)),
    }
}

proptest! {
    #[test]
    fn every_question_gets_one_reply_or_a_counted_drop_in_bounded_time(steps in vec(step(), 1..80)) {
        let mut tight = config();
        tight.cache_bytes = 64 << 10;
        tight.max_lookups = 6;
        tight.max_waiters_per_lookup = 3;
        tight.max_per_client = 5;
        tight.ports_per_upstream = 2;
        tight.port_uses = 3;
        let mut world = World::with(tight, &[UPSTREAM, SECOND]);
        let mut asked: Vec<Asked> = Vec::new();
        let mut sizes: BTreeMap<u16, Option<u16>> = BTreeMap::new();
        let mut open: BTreeMap<u16, u32> = BTreeMap::new();
        let mut id = 0u16;
        let mut replied = 0u64;
        let mut out = Vec::new();
        for step in steps.into_iter().chain((0..12).map(|_| Step::Pass { millis: 1_000 })) {
            match step {
                Step::Query { host, name, kind, size, dnssec, tcp: over_tcp } => {
                    id += 1;
                    let kind = [RecordType::A, RecordType::AAAA, RecordType::PTR, RecordType::ANY][usize::from(kind)];
                    let text = match name {
                        9 => "laptop".to_owned(),
                        10 => "nobody.mshome.net".to_owned(),
                        11 => "9.137.168.192.in-addr.arpa".to_owned(),
                        other => format!("N{other}.example"),
                    };
                    let mut message = query(&text, kind);
                    message.metadata.id = id;
                    if let Some(size) = size {
                        message = edns(message, size, dnssec);
                    }
                    sizes.insert(id, size);
                    open.insert(id, 0);
                    let client = if over_tcp { tcp(host) } else { udp(host) };
                    out.extend(world.send(client, &message.to_vec().unwrap()));
                }
                Step::Garbage { host, bytes } => {
                    let before = *world.forwarder.counters();
                    let garbage = world.send(udp(host), &bytes);
                    let after = *world.forwarder.counters();
                    let dropped = |c: hn_dns::Counters| c.dropped_length + c.dropped_response + c.dropped_duplicate;
                    let waits = u64::from(after.misses > before.misses);
                    prop_assert!(
                        replies(&garbage).len() as u64 + dropped(after) - dropped(before) + waits >= 1
                    );
                    replied += replies(&garbage).len() as u64;
                }
                Step::Respond { which, manner, ttl, flips } => if !asked.is_empty() {
                    let asked = &asked[which % asked.len()];
                    let mut bytes = response(asked, manner, ttl).to_vec().unwrap();
                    for (at, with) in flips {
                        let at = at % bytes.len();
                        bytes[at] ^= with;
                    }
                    world.forwarder.handle_response(&bytes, asked.route, world.now);
                    out.extend(world.drain());
                },
                Step::Error { which } => if !asked.is_empty() {
                    let route = asked[which % asked.len()].route;
                    world.forwarder.handle_upstream_error(route, world.now);
                    out.extend(world.drain());
                },
                Step::Upstreams { count } => {
                    world.set_upstreams(&[SECOND, UPSTREAM][..count]);
                    out.extend(world.drain());
                }
                Step::Pass { millis } => out.extend(world.pass(Duration::from_millis(millis.into()))),
            }
            asked.extend(asks(&out));
            for out in out.drain(..) {
                let Out::Reply(client, bytes) = out else { continue };
                replied += 1;
                let id = u16::from_be_bytes([bytes[0], bytes[1]]);
                if let Some(count) = open.get_mut(&id) {
                    *count += 1;
                    prop_assert!(*count <= 1, "question {id} was answered twice");
                    prop_assert!(bytes.len() <= limit(client, sizes[&id]), "{} bytes", bytes.len());
                }
            }
            prop_assert!(world.forwarder.in_flight() <= 6);
            prop_assert!(world.forwarder.cache_bytes() <= 64 << 10);
            if let Some(next) = world.forwarder.poll_timeout() {
                prop_assert!(next.since(world.now) <= Duration::from_secs(11));
            }
        }
        prop_assert_eq!(world.forwarder.waiting(), 0);
        prop_assert_eq!(world.forwarder.in_flight(), 0);
        let counters = *world.forwarder.counters();
        let dropped = counters.dropped_source
            + counters.dropped_length
            + counters.dropped_response
            + counters.dropped_duplicate
            + counters.dropped_output
            + counters.dropped_reconfigured;
        prop_assert_eq!(counters.replies, replied);
        prop_assert_eq!(counters.queries, replied + dropped);
    }

    #[test]
    fn a_ttl_never_grows_and_is_never_given_after_its_time(
        ttl in 1u32..200_000,
        waits in vec(0u64..90_000, 1..8),
    ) {
        let mut world = World::new();
        let asked = world.ask(&query("www.example", RecordType::A));
        world.respond(&asked, &address(&asked, ttl));
        let mut last = ttl.min(86_400);
        let start = world.now;
        for wait in waits {
            world.pass(Duration::from_secs(wait));
            let out = world.query(&query("www.example", RecordType::A));
            let age = world.now.since(start).as_secs();
            let Some((_, reply)) = replies(&out).pop() else {
                prop_assert!(age >= u64::from(ttl.min(86_400)));
                break;
            };
            let seen = reply.answers[0].ttl;
            prop_assert!(seen <= last && seen >= 1);
            prop_assert_eq!(u64::from(seen), u64::from(ttl.min(86_400)) - age);
            last = seen;
        }
    }

    #[test]
    fn random_and_mutated_messages_never_panic(
        noise in vec(any::<u8>(), 0..600),
        flips in vec((any::<usize>(), any::<u8>()), 1..12),
        cut in any::<usize>(),
    ) {
        let mut world = World::new();
        world.send(udp(5), &noise);
        world.send(tcp(5), &noise);
        let asked = world.query(&edns(query("www.example", RecordType::A), 1_232, true));
        let asked = asks(&asked)[0].clone();
        let mutate = |mut bytes: Vec<u8>| {
            let keep = 1 + cut % bytes.len();
            bytes.truncate(keep.max(12));
            for (at, with) in &flips {
                let at = at % bytes.len();
                bytes[at] ^= with;
            }
            bytes
        };
        let sent = mutate(edns(query("Some.Other.example", RecordType::MX), 1_232, true).to_vec().unwrap());
        world.send(udp(6), &sent);
        let mut rich = address(&asked, 60);
        rich.add_answer(cname(&name("x.example"), 60, "www.example"));
        rich.add_authority(soa("example", 60, 60));
        // The id stays, so that the walk is reached.
        let mut bytes = mutate(rich.to_vec().unwrap());
        let id = asked.message.metadata.id.to_be_bytes();
        bytes[0] = id[0];
        bytes[1] = id[1];
        world.forwarder.handle_response(&bytes, asked.route, world.now);
        world.forwarder.handle_response(&noise, asked.route, world.now);
        for out in world.drain() {
            if let Out::Reply(_, bytes) = out {
                prop_assert!(bytes.len() <= 1_232);
                prop_assert!(Message::from_vec(&bytes).is_ok() || bytes.len() >= 12);
            }
        }
        world.send(udp(7), &query("www.example", RecordType::A).to_vec().unwrap());
        for _ in 0..8 {
            world.pass(Duration::from_secs(1));
        }
        prop_assert_eq!(world.forwarder.in_flight(), 0);
    }
}
