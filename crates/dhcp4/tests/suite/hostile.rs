//! Bytes from strangers.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;
use hn_dhcp4::{DropReason, Limits, RawConfig};
use hn_types::MacAddr;
use proptest::prelude::*;

use crate::lab::*;

fn discover() -> Vec<u8> {
    Client::new(1).with_name("name").with_id(b"\x01abcdef").discover()
}

/// A DISCOVER with these bytes as options, and this in `sname` and `file`.
fn with_options(options: &[u8], sname: &[u8], file: &[u8]) -> Vec<u8> {
    let mut payload = encode(&Client::new(1).message(MessageType::Discover));
    payload.truncate(240);
    payload[44..44 + sname.len()].copy_from_slice(sname);
    payload[108..108 + file.len()].copy_from_slice(file);
    payload.extend(options);
    Client::new(1).frame_of(&payload)
}

#[track_caller]
fn dropped(frame: &[u8], reason: DropReason) {
    let mut lab = Lab::new(full());
    let before = lab.server.poll_timeout();
    assert!(lab.send(frame).is_empty());
    let drops: Vec<_> = lab.server.counters().drops().filter(|(_, count)| *count > 0).collect();
    assert_eq!(drops, [(reason, 1)]);
    assert_eq!(lab.server.poll_timeout(), before, "a dropped frame changes nothing");
    assert_eq!(lab.server.records().count(), 0);
}

#[test]
fn every_truncation_of_a_good_frame_is_dropped() {
    let frame = discover();
    for len in 0..frame.len() {
        let mut lab = Lab::new(full());
        assert!(lab.send(&frame[..len]).is_empty(), "{len}");
        assert_eq!(lab.server.counters().drops().map(|(_, count)| count).sum::<u64>(), 1);
    }
    assert_eq!(Lab::new(full()).send(&frame).len(), 1);
}

#[test]
fn each_layer_is_checked_and_each_drop_is_counted() {
    let change = |at: usize, value: &[u8]| {
        let mut frame = discover();
        frame[at..at + value.len()].copy_from_slice(value);
        frame
    };
    dropped(&change(0, &[0x06]), DropReason::NotForUs);
    dropped(&change(6, &SERVER_MAC.0), DropReason::Source);
    dropped(&change(6, &[1]), DropReason::Source);
    dropped(&change(12, &[0x86, 0xdd]), DropReason::EtherType);
    dropped(&change(14, &[0x65]), DropReason::Ipv4Header);
    dropped(&change(14, &[0x44]), DropReason::Ipv4Header);
    dropped(&change(22, &[1]), DropReason::Ipv4Header);
    dropped(&change(100, &[1]), DropReason::Udp);
    dropped(&change(38, &[0, 7]), DropReason::Udp);
    let payload = encode(&Client::new(1).message(MessageType::Discover));
    let put = |at: usize, value: &[u8]| {
        let mut payload = payload.clone();
        payload[at..at + value.len()].copy_from_slice(value);
        Client::new(1).frame_of(&payload)
    };
    dropped(&put(0, &[2]), DropReason::Bootp);
    dropped(&put(1, &[6]), DropReason::Bootp);
    dropped(&put(2, &[16]), DropReason::Bootp);
    dropped(&put(28, &[0xff; 6]), DropReason::Bootp);
    dropped(&put(28, &[0; 6]), DropReason::Bootp);
    dropped(&put(24, &[192, 168, 137, 9]), DropReason::Relayed);
    dropped(&put(236, &[1, 2, 3, 4]), DropReason::NotDhcp);
    let other = Ipv4Addr::new(192, 168, 137, 7);
    let misdirected = enclose(Client::new(1).mac, SERVER_MAC, ip(9), other, &payload);
    dropped(&misdirected, DropReason::NotForUs);
}

#[test]
fn fragments_and_foreign_ports_and_vlans_are_dropped() {
    let mut fragment = discover();
    fragment[20] = 0x20;
    let sum = checksum(&[&fragment[14..24], &fragment[26..34]]);
    fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    dropped(&fragment, DropReason::Fragment);
    let mut port = discover();
    port[37] = 68;
    dropped(&port, DropReason::NotForUs);
    let tagged = |vid: u8| [&discover()[..12], &[0x81, 0, 0x60, vid], &discover()[12..]].concat();
    dropped(&tagged(5), DropReason::EtherType);
    assert_eq!(Lab::new(full()).send(&tagged(0)).len(), 1, "a priority tag is no VLAN");
}

#[test]
fn a_missing_checksum_and_an_offloaded_one_are_accepted() {
    let mut frame = discover();
    frame[40..42].copy_from_slice(&[0, 0]);
    assert_eq!(Lab::new(full()).send(&frame).len(), 1);
    // What a packet socket sees of a frame whose checksum the (virtual) hardware was to fill in.
    let pseudo = !checksum(&[&frame[26..34], &[0, 17], &frame[38..40]]);
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    assert_eq!(Lab::new(full()).send(&frame).len(), 1);
    frame[41] ^= 1;
    dropped(&frame, DropReason::Udp);
}

#[test]
fn ip_options_and_ethernet_padding_are_tolerated() {
    let mut frame = discover();
    frame[14] = 0x46;
    let total = u16::from_be_bytes([frame[16], frame[17]]) + 4;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame.splice(34..34, [1, 1, 1, 0]);
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&[&frame[14..38]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([0xee; 30]);
    assert_eq!(Lab::new(full()).send(&frame).len(), 1);
}

#[test]
fn malformed_options_are_dropped() {
    for bad in [
        [53, 1, 1, 61].as_slice(),
        &[53, 1, 1, 61, 9, 1],
        &[53, 2, 1, 1, 255],
        &[53, 0, 255],
        &[53, 1, 1, 50, 3, 1, 2, 3, 255],
        &[53, 1, 1, 50, 4, 1, 2, 3, 4, 50, 4, 1, 2, 3, 4, 255],
        &[53, 1, 1, 54, 5, 1, 2, 3, 4, 5, 255],
        &[53, 1, 1, 52, 1, 4, 255],
        &[53, 1, 1, 57, 1, 4, 255],
    ] {
        dropped(&with_options(bad, &[], &[]), DropReason::Options);
    }
    let long = [&[53, 1, 1][..], &[61, 200], &[7; 200], &[61, 200], &[7; 200], &[255]].concat();
    dropped(&with_options(&long, &[], &[]), DropReason::Options);
    dropped(&with_options(&[255], &[], &[]), DropReason::NotDhcp);
    dropped(&with_options(&[12, 1, b'x', 255], &[], &[]), DropReason::NotDhcp);
    for kind in [2, 5, 6, 9, 10, 200] {
        dropped(&with_options(&[53, 1, kind, 255], &[], &[]), DropReason::Message);
    }
    dropped(&with_options(&[53, 1, 3, 255], &[], &[]), DropReason::Message);
}

#[test]
fn split_and_overloaded_options_are_joined() {
    // RFC 3396, RFC 2132 §9.3: options, then `file`, then `sname`.
    let mut lab = Lab::new(full());
    let options = [52, 1, 3, 0, 0, 80, 0, 61, 2, 0xff, b'a', 255];
    let file = [61, 1, b'b', 53, 1, 1, 255];
    let sname = [61, 2, b'c', b'd', 12, 2, b'h', b'i', 255];
    let ack = lab.ask(&with_options(&options, &sname, &file)).unwrap();
    assert_eq!(ack.kind(), MessageType::Ack);
    let lease = lab.lease(ack.address()).unwrap();
    assert_eq!(lease.client_id.unwrap().as_bytes(), b"\xffabcd");
    assert_eq!(lease.hostname.raw(), b"hi");
    // Without option 52 those fields are not options.
    let plain = lab.ask(&with_options(&[53, 1, 1, 255], &sname, &file)).unwrap();
    assert_eq!(plain.kind(), MessageType::Offer);
}

#[test]
fn a_missing_end_mark_and_a_one_byte_identifier_are_forgiven() {
    let mut lab = Lab::new(full());
    let ack = lab.ask(&with_options(&[53, 1, 1, 80, 0, 61, 1, 9], &[], &[])).unwrap();
    let lease = lab.lease(ack.address()).unwrap();
    assert_eq!((lease.client_id, lease.mac), (None, Client::new(1).mac));
}

#[test]
fn malformed_arp_is_dropped() {
    let good = arp(Client::new(1).mac, ip(20), ip(1));
    for (at, value) in [(15, 6), (16, 9), (18, 8), (19, 16), (21, 3), (21, 0)] {
        let mut frame = good.clone();
        frame[at] = value;
        dropped(&frame, DropReason::Arp);
    }
    dropped(&good[..40], DropReason::Arp);
    assert!(Lab::new(full()).send(&good).is_empty());
}

#[test]
fn a_full_output_queue_refuses_input_and_recovers() {
    let limits = Limits { outputs: 32, ..Limits::default() };
    let mut lab = Lab::new(RawConfig { limits, ..full() });
    for n in 0..200 {
        lab.server.handle_frame(&Client::new(n).discover(), lab.now);
    }
    let mut outputs = 0;
    while lab.server.poll_output().is_some() {
        outputs += 1;
    }
    assert!((10..=32).contains(&outputs), "{outputs}");
    assert!(lab.server.counters().dropped(DropReason::OutputBacklog) > 150);
    lab.acquire(&Client::new(1_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_frames_never_panic(frame in prop::collection::vec(any::<u8>(), 0..600)) {
        Lab::new(probing()).send(&frame);
    }

    #[test]
    fn random_payloads_never_panic(kind in 0_u8..10, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let frame = with_options(&[&[53, 1, kind][..], &tail].concat(), &[], &[]);
        let mut lab = Lab::new(probing());
        lab.send(&frame);
        lab.pass(std::time::Duration::from_secs(2));
    }

    #[test]
    fn mutated_messages_never_panic_and_replies_stay_well_formed(
        which in 0_usize..8,
        changes in prop::collection::vec((14_usize..330, any::<u8>()), 1..6),
        destination in any::<bool>(),
    ) {
        let mut lab = Lab::new(full());
        let client = Client::new(1).with_name("a.b").with_id(b"\xff0123456789");
        let address = lab.acquire(&client);
        let frame = [
            client.discover(), client.select(address), client.reboot(address), client.renew(address),
            client.rebind(address), client.decline(address), client.release(address), client.inform(address),
        ][which].clone();
        let mut payload = frame[42..].to_vec();
        for (at, value) in changes {
            if let Some(byte) = payload.get_mut(at - 14) {
                *byte = value;
            }
        }
        let to = if destination { SERVER_MAC } else { MacAddr::BROADCAST };
        // The lab decodes every reply with dhcproto and checks all lengths and sums.
        lab.send(&enclose(client.mac, to, address, SERVER, &payload));
        lab.pass(std::time::Duration::from_secs(100));
        let mut seen = std::collections::BTreeSet::new();
        for lease in lab.server.leases() {
            prop_assert!(seen.insert(lease.address));
            prop_assert!(lease.address != SERVER && host("192.168.137.1/24").contains(lease.address));
        }
    }
}
