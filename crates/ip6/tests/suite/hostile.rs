//! Bytes from strangers.

use std::time::Duration;

use dhcproto::v6::{DhcpOption, MessageType};
use hn_ip6::{DropReason, Limits, RawConfig};
use hn_types::MacAddr;
use proptest::prelude::*;

use crate::lab::*;

#[track_caller]
fn dropped(frame: &[u8], reason: DropReason) {
    let mut lab = Lab::new(full());
    lab.adverts(Duration::from_secs(100));
    let before = lab.server.poll_timeout();
    assert!(lab.send(frame).is_empty());
    assert_eq!(lab.counted(), [(reason.name(), 1)]);
    assert_eq!(lab.server.poll_timeout(), before, "a dropped frame changes nothing");
    assert_eq!(lab.server.leases().count(), 0);
}

fn client() -> Client {
    Client::new(1)
}

#[test]
fn every_truncation_of_a_good_frame_is_dropped() {
    for frame in [client().with(DhcpOption::RapidCommit).solicit(), client().solicitation()] {
        for len in 0..frame.len() {
            let mut lab = Lab::new(full());
            assert!(lab.send(&frame[..len]).is_empty(), "{len}");
            assert_eq!(lab.counted().len(), 1);
        }
    }
}

#[test]
fn each_layer_is_checked_and_each_drop_is_counted() {
    let change = |at: usize, value: &[u8]| {
        let mut frame = client().solicit();
        frame[at..at + value.len()].copy_from_slice(value);
        frame
    };
    dropped(&change(0, &[0x06]), DropReason::NotForUs);
    dropped(&change(6, &SERVER_MAC.0), DropReason::Source);
    dropped(&change(6, &[1]), DropReason::Source);
    dropped(&change(6, &[0; 6]), DropReason::Source);
    dropped(&change(12, &[8, 0]), DropReason::EtherType);
    dropped(&change(14, &[0x40]), DropReason::Ipv6Header);
    dropped(&change(18, &[0xff]), DropReason::Truncated);
    dropped(&change(20, &[6]), DropReason::NotForUs);
    dropped(&change(20, &[0]), DropReason::NotForUs);
    dropped(&change(56, &[0, 53]), DropReason::NotForUs);
    dropped(&change(58, &[0, 7]), DropReason::Udp);
    dropped(&change(58, &[0xff, 0xff]), DropReason::Udp);
    dropped(&change(60, &[0, 0]), DropReason::Udp);
    dropped(&change(70, &[0xaa]), DropReason::Udp);
}

#[test]
fn an_offloaded_checksum_is_accepted() {
    let mut frame = client().solicit();
    let len = (frame.len() - 54) as u32;
    let pseudo = !checksum(&[&frame[22..54], &len.to_be_bytes(), &[0, 0, 0, 17]]);
    frame[60..62].copy_from_slice(&pseudo.to_be_bytes());
    assert_eq!(Lab::new(full()).send(&frame).len(), 1);
    frame[61] ^= 1;
    dropped(&frame, DropReason::Udp);
}

#[test]
fn sources_that_nobody_on_the_link_has_are_dropped() {
    let payload = encode(&client().message(MessageType::Solicit, false, Some(&[])));
    for source in ["::", "2001:db8::1", "ff02::1", "::1", "fd12:3456:789a:1::5", "fe80::aaaa"] {
        dropped(&udp(client().mac, ip(source), ip(ALL_DHCP), &payload), DropReason::Source);
    }
    for source in ["ff02::1", "::1", "fe80::aaaa", "fd12:3456:789a:1::1"] {
        let frame = icmp(client().mac, ip(source), ip(ALL_ROUTERS), 255, &[133, 0, 0, 0, 0, 0, 0, 0]);
        dropped(&frame, DropReason::Source);
    }
    let elsewhere = udp(client().mac, client().address(), ip("ff02::fb"), &payload);
    dropped(&elsewhere, DropReason::NotForUs);
}

#[test]
fn a_solicitation_is_validated_as_rfc_4861_says() {
    let send =
        |from: &str, hops, message: &[u8]| icmp(client().mac, ip(from), ip(ALL_ROUTERS), hops, message);
    let good: &[u8] = &[133, 0, 0, 0, 0, 0, 0, 0];
    let option: &[u8] = &[133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    let mut lab = Lab::new(full());
    for (from, message) in [("fe80::9", good), ("::", good), ("fe80::9", option), ("2001:db8::9", good)] {
        lab.send(&send(from, 255, message));
    }
    assert_eq!(lab.server.counters().solicitations, 4);
    dropped(&send("fe80::9", 254, good), DropReason::HopLimit);
    dropped(&send("fe80::9", 255, &[133, 1, 0, 0, 0, 0, 0, 0]), DropReason::Icmpv6);
    dropped(&send("fe80::9", 255, &good[..7]), DropReason::Icmpv6);
    let mut damaged = send("fe80::9", 255, good);
    damaged[60] ^= 1;
    dropped(&damaged, DropReason::Icmpv6);
    dropped(&send("fe80::9", 255, &[good, &[1, 0, 0, 0, 0, 0, 0, 0]].concat()), DropReason::NdOption);
    dropped(&send("fe80::9", 255, &[good, &[1, 2, 0, 0, 0, 0, 0, 0]].concat()), DropReason::NdOption);
    dropped(&send("fe80::9", 255, &[good, &[14]].concat()), DropReason::NdOption);
    dropped(&send("::", 255, option), DropReason::NdOption);
    // Another router's advertisement, and neighbours, are not ours to answer.
    for kind in [134, 137, 128] {
        dropped(&send("fe80::9", 255, &[kind, 0, 0, 0, 0, 0, 0, 0]), DropReason::NotForUs);
    }
}

#[test]
fn messages_without_their_identifiers_are_dropped() {
    // RFC 8415 §16.
    let nameless = Client { duid: vec![], ..client() };
    let held = ip("fd12:3456:789a:1::77");
    for kind in [
        MessageType::Solicit,
        MessageType::Request,
        MessageType::Confirm,
        MessageType::Renew,
        MessageType::Rebind,
        MessageType::Release,
        MessageType::Decline,
    ] {
        let server = matches!(
            kind,
            MessageType::Request | MessageType::Renew | MessageType::Release | MessageType::Decline
        );
        dropped(&nameless.frame(kind, server, Some(&[held])), DropReason::Identifiers);
        dropped(&client().frame(kind, !server, Some(&[held])), DropReason::Identifiers);
    }
    let with_association = client().frame(MessageType::InformationRequest, false, Some(&[]));
    dropped(&with_association, DropReason::Identifiers);
    let other = client().with(DhcpOption::ServerId(vec![0, 4, 9, 9, 9]));
    for kind in [MessageType::Request, MessageType::Renew, MessageType::Release, MessageType::Decline] {
        dropped(&other.frame(kind, false, Some(&[held])), DropReason::OtherServer);
    }
    dropped(&other.frame(MessageType::InformationRequest, false, None), DropReason::OtherServer);
}

#[test]
fn messages_that_are_not_for_a_server_are_dropped() {
    for kind in [0, 2, 7, 10, 14, 36, 255] {
        dropped(&client().enclose(&[kind, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1]), DropReason::Message);
    }
    for kind in [12_u8, 13] {
        let relayed = [&[kind, 0], &[0; 32][..]].concat();
        let reason = if kind == 12 { DropReason::Relayed } else { DropReason::Message };
        dropped(&client().enclose(&relayed), reason);
    }
    dropped(&client().enclose(&[1, 1, 2]), DropReason::Truncated);
}

#[test]
fn malformed_options_are_dropped() {
    let id: &[u8] = &[0, 1, 0, 4, 0, 3, 0, 1];
    let solicit = |options: &[&[u8]]| client().enclose(&[&[1, 1, 2, 3], &options.concat()[..]].concat());
    let address = [&[0, 5, 0, 24][..], &[0xfd; 24]].concat();
    let head: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let ia = |inner: &[u8]| {
        let len = (head.len() + inner.len()) as u16;
        [&[0, 3], &len.to_be_bytes()[..], head, inner].concat()
    };
    assert!(Lab::new(full()).send(&solicit(&[id, &ia(&address)])).len() == 1);
    for bad in [
        vec![id, &[0][..]],
        vec![id, &[0, 3, 0]],
        vec![id, &[0, 3, 0, 9]],
        vec![id, id],
        vec![&[0, 1, 0, 0]],
        vec![&[0, 1, 0, 2, 0, 1]],
        vec![id, &[0, 6, 0, 3, 0, 23, 0]],
        vec![id, &[0, 14, 0, 1, 0]],
        vec![id, &[0, 3, 0, 3, 0, 0, 0]],
        vec![id, &[0, 3, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
        vec![id, &[0, 4, 0, 2, 0, 0]],
        vec![id, &ia(&[0, 5, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])],
        vec![id, &ia(&[0, 5, 0, 99])],
        vec![id, &ia(&address[..20])],
    ] {
        dropped(&solicit(&bad), DropReason::Options);
    }
    let long = [&[0, 1, 0, 131][..], &[7; 131]].concat();
    dropped(&solicit(&[&long]), DropReason::Options);
    let one = ia(&[]);
    dropped(&solicit(&[id, &one, &one, &one, &one, &one]), DropReason::TooMany);
    dropped(&solicit(&[id, &ia(&address.repeat(5))]), DropReason::TooMany);
}

#[test]
fn one_sender_cannot_keep_the_others_from_being_served() {
    let mut lab = Lab::new(full());
    for _ in 0..1_000 {
        lab.send(&client().solicit());
    }
    assert_eq!(lab.server.counters().offers, 20);
    assert_eq!(lab.server.counters().dropped(DropReason::SourceRate), 980);
    lab.acquire(&Client::new(2));
    lab.pass(Duration::from_secs(1));
    for _ in 0..10 {
        lab.send(&client().solicit());
    }
    assert_eq!(lab.server.counters().offers, 25, "four more in a second, and one of the other");
}

#[test]
fn a_flood_of_made_up_senders_is_bounded_in_work_and_memory() {
    let mut lab = Lab::new(full());
    lab.adverts(Duration::from_secs(100));
    for n in 0..20_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let mac = MacAddr([2, 1, 1, a, b, c]);
        let made_up = Client { mac, duid: [&[0, 3, 0, 1], &mac.0[..]].concat(), ..client() };
        lab.send(&made_up.clone().with(DhcpOption::RapidCommit).solicit());
        lab.send(&made_up.solicitation());
        lab.pass(Duration::from_millis(1));
    }
    let counters = lab.server.counters();
    assert!(counters.replies <= 400 * 21 && counters.dropped(DropReason::TotalRate) > 10_000, "{counters:?}");
    assert_eq!(lab.server.leases().count(), Limits::default().leases);
    assert!(counters.advertisements_unicast + counters.advertisements <= 400 * 21);
    lab.pass(Duration::from_secs(5));
    lab.acquire(&Client::new(60_000));
}

#[test]
fn a_full_output_queue_refuses_input_and_recovers() {
    let limits = Limits { outputs: 32, ..patient().limits };
    let mut lab = Lab::new(RawConfig { limits, ..full() });
    for n in 0..200 {
        lab.server.handle_frame(&Client::new(n).solicit(), lab.now);
    }
    let outputs = lab.drain().len();
    assert!((8..=32).contains(&outputs), "{outputs}");
    assert!(lab.server.counters().dropped(DropReason::OutputBacklog) > 150);
    lab.acquire(&Client::new(1_000));
}

#[test]
fn the_largest_possible_answer_fits_into_the_least_mtu() {
    // Four associations with four foreign addresses each and the longest identifier; the lab checks the length.
    let foreign = ["fd12:3456:789a:1::a1", "fd12:3456:789a:1::a2", "2001:db8::3", "2001:db8::4"].map(ip);
    let mut client = Client { duid: vec![9; 130], ..client() };
    for iaid in 2..=4 {
        let association = Client { iaid, ..client.clone() }.association(&foreign);
        client = client.with(association);
    }
    let domain = Some(format!("{}.net", "a23456789.".repeat(19) + "b"));
    let mut lab = Lab::new(RawConfig { domain, ..full() });
    let reply = lab.ask(&client.frame(MessageType::Renew, true, Some(&foreign))).unwrap();
    assert_eq!(addresses(&reply).len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_frames_never_panic(frame in prop::collection::vec(any::<u8>(), 0..600)) {
        Lab::new(full()).send(&frame);
    }

    #[test]
    fn random_payloads_never_panic(kind in 0_u8..14, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut lab = Lab::new(full());
        lab.send(&client().enclose(&[&[kind, 1, 2, 3], &tail[..]].concat()));
        lab.send(&client().enclose(&[&[kind, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1], &tail[..]].concat()));
        lab.send(&icmp(client().mac, client().address(), ip(ALL_ROUTERS), 255,
            &[&[133, 0, 0, 0, 0, 0, 0, 0], &tail[..]].concat()));
        lab.pass(Duration::from_secs(2));
    }

    #[test]
    fn mutated_messages_never_panic_and_replies_stay_well_formed(
        which in 0_usize..8,
        changes in prop::collection::vec((0_usize..120, any::<u8>()), 1..6),
    ) {
        let mut lab = Lab::new(full());
        let client = client();
        let held = lab.acquire(&client);
        let frame = [
            client.solicit(), client.request(held), client.renew(held), client.rebind(held),
            client.confirm(held), client.release(held), client.decline(held),
            client.clone().with(DhcpOption::RapidCommit).solicit(),
        ][which].clone();
        let mut payload = frame[62..].to_vec();
        for (at, value) in changes {
            if let Some(byte) = payload.get_mut(at) {
                *byte = value;
            }
        }
        // The lab decodes every reply with dhcproto and checks all lengths and sums.
        lab.send(&client.enclose(&payload));
        for lease in lab.server.leases() {
            prop_assert!(full().host.contains(lease.address) && lease.address != full().host.address());
        }
    }
}
