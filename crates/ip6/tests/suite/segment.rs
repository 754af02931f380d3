//! Prefixes of the uplink's on the segment: announced, replaced, shared; and the addresses in use.

use std::{net::Ipv6Addr, time::Duration};

use hn_ip6::{Event, Global, Limits, Nat64, RawConfig, Relay, Uplink};
use hn_types::{MacAddr, Monotonic, Subnet6};
use proptest::prelude::*;

use crate::lab::{Client, Lab, Out, SERVER_MAC, addresses, full, icmp, ip, patient, router};

const PUBLIC_MAC: MacAddr = MacAddr([0x02, 0xcc, 0, 0, 0, 1]);
const NEIGHBOUR: MacAddr = MacAddr([0x02, 0xdd, 0, 0, 0, 9]);
const FIRST: &str = "2001:db8:100::/64";
const SECOND: &str = "2001:db8:200::/64";
const SHARED: &str = "2001:db8:1::/64";

fn net(text: &str) -> Subnet6 {
    text.parse().unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn global(network: &str, on_link: bool, at: Monotonic, preferred: u64, valid: u64) -> Uplink {
    let (preferred_until, valid_until) = (at + seconds(preferred), at + seconds(valid));
    let global = Global { network: net(network), on_link, preferred_until, valid_until };
    Uplink { router: true, global: Some(global), ..Uplink::default() }
}

fn relay() -> Relay {
    let own = vec![ip("2001:db8:1::2")];
    Relay { network: net(SHARED), mac: PUBLIC_MAC, link_local: ip("fe80::cccc"), own }
}

/// A segment whose devices share the uplink's prefix.
fn relaying() -> Lab {
    let mut lab = Lab::new(patient());
    lab.server.set_uplink(global(SHARED, false, lab.now.mono, 1_000, 2_000), lab.now);
    lab.server.set_relay(Some(relay()), lab.now);
    lab.drain();
    lab
}

fn group(target: Ipv6Addr) -> Ipv6Addr {
    let o = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(o[13]), u16::from_be_bytes([o[14], o[15]]))
}

fn solicitation(mac: MacAddr, from: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if !from.is_unspecified() {
        message.extend([1, 1]);
        message.extend(mac.0);
    }
    icmp(mac, from, group(target), 255, &message)
}

/// A device looks whether an address is free.
fn probe(mac: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    solicitation(mac, Ipv6Addr::UNSPECIFIED, target)
}

fn advertisement(mac: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac.0);
    icmp(mac, target, ip("ff02::1"), 255, &message)
}

/// What a frame of neighbour discovery says, its sums checked: type, sender, receiver, target, hardware address.
fn read(frame: &[u8]) -> (u8, MacAddr, Ipv6Addr, Ipv6Addr, Option<MacAddr>) {
    let octets = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let mac = MacAddr(frame[6..12].try_into().unwrap());
    let payload = &frame[54..];
    let len = (payload.len() as u32).to_be_bytes();
    let sums = [&frame[22..38], &frame[38..54], &len, &[0, 0, 0, 58], payload];
    assert_eq!((crate::lab::checksum(&sums), frame[21]), (0, 255));
    let link = (payload.len() > 24).then(|| MacAddr(payload[26..32].try_into().unwrap()));
    (payload[0], mac, octets(38), octets(62), link)
}

fn seen(outs: &[Out]) -> Vec<(Ipv6Addr, MacAddr)> {
    let found = outs.iter().filter_map(|out| match out {
        Out::Event(Event::Seen { lease }) => Some((lease.address, lease.mac)),
        Out::Advert { .. } | Out::Reply { .. } | Out::Neighbour(_) | Out::Uplink(_) | Out::Event(_) => None,
    });
    found.collect()
}

fn on_uplink(outs: &[Out]) -> Vec<(u8, MacAddr, Ipv6Addr, Ipv6Addr, Option<MacAddr>)> {
    outs.iter()
        .filter_map(|out| if let Out::Uplink(frame) = out { Some(read(frame)) } else { None })
        .collect()
}

fn on_segment(outs: &[Out]) -> Vec<(u8, MacAddr, Ipv6Addr, Ipv6Addr, Option<MacAddr>)> {
    outs.iter()
        .filter_map(|out| if let Out::Neighbour(frame) = out { Some(read(frame)) } else { None })
        .collect()
}

fn uplink(lab: &mut Lab, frame: &[u8]) -> Vec<Out> {
    // The frame is for the other interface.
    let mut frame = frame.to_vec();
    if frame.get(..6) == Some(&SERVER_MAC.0[..]) {
        frame[..6].copy_from_slice(&PUBLIC_MAC.0);
    }
    lab.server.handle_uplink_frame(&frame, lab.now);
    lab.drain()
}

fn pass(lab: &mut Lab, time: Duration) -> Vec<Out> {
    lab.pass(time).into_iter().map(|(_, out)| out).collect()
}

#[test]
fn a_prefix_of_the_uplink_is_announced_for_no_longer_than_it_is_granted() {
    let mut lab = Lab::new(full());
    lab.pass(seconds(60));
    lab.server.set_uplink(global(FIRST, true, lab.now.mono, 900, 1_200), lab.now);
    let adverts = lab.adverts(seconds(3_000));
    let of = |at: u64| {
        let found = adverts.iter().find(|(passed, ..)| passed.as_secs() >= at).unwrap();
        (found.0.as_secs(), found.2.prefixes.iter().find(|prefix| prefix.4 == ip("2001:db8:100::")).copied())
    };
    assert_eq!(of(0), (0, Some((64, 0xc0, 1_200, 900, ip("2001:db8:100::")))));
    for at in [16, 300, 600] {
        let (at, prefix) = of(at);
        let (_, _, valid, preferred, _) = prefix.unwrap();
        assert!(
            u64::from(valid) + at <= 1_200 && u64::from(preferred) + at <= 900.max(at),
            "{at} {prefix:?}"
        );
    }
    assert!(
        adverts.iter().all(|(_, _, advert)| advert.prefixes[0].4 == ip("fd12:3456:789a:1::")),
        "its own stays"
    );
    // One that lasts longer is announced for an hour and a half, and one that is not on the link says so.
    lab.server.set_uplink(global(SHARED, false, lab.now.mono, 1 << 30, 1 << 30), lab.now);
    let advert = &lab.adverts(seconds(10))[0].2;
    assert_eq!(advert.prefixes[1], (64, 0x40, 5_400, 2_700, ip("2001:db8:1::")));
}

#[test]
fn a_prefix_that_is_replaced_is_deprecated_at_once_and_forgotten_later() {
    let mut lab = Lab::new(full());
    lab.pass(seconds(60));
    lab.server.set_uplink(global(FIRST, true, lab.now.mono, 900, 1_200), lab.now);
    lab.pass(seconds(100));
    lab.server.set_uplink(global(SECOND, true, lab.now.mono, 50_000, 100_000), lab.now);
    let adverts = lab.adverts(seconds(30));
    let (at, _, advert) = &adverts[0];
    assert!(*at <= seconds(3), "told at once");
    assert_eq!(advert.prefixes[1].4, ip("2001:db8:200::"));
    let (_, flags, valid, preferred, network) = advert.prefixes[2];
    assert_eq!((flags, preferred, network), (0xc0, 0, ip("2001:db8:100::")));
    assert!((1_090..=1_100).contains(&valid), "{valid}");
    // It comes back: it is current and nothing else.
    lab.server.set_uplink(global(FIRST, true, lab.now.mono, 900, 100_000), lab.now);
    let networks: Vec<_> =
        lab.adverts(seconds(5))[0].2.prefixes[1..].iter().map(|p| (p.4, p.3 > 0)).collect();
    assert_eq!(networks, [(ip("2001:db8:100::"), true), (ip("2001:db8:200::"), false)]);
    // It is lost without a word: deprecated for two hours at most.
    lab.server.set_uplink(Uplink { router: true, ..Uplink::default() }, lab.now);
    let adverts = lab.adverts(seconds(8_000));
    assert!(adverts[0].2.prefixes[1..].iter().all(|prefix| prefix.3 == 0 && prefix.2 <= 7_200));
    assert_eq!(adverts[0].2.prefixes.len(), 3);
    assert_eq!(adverts.last().unwrap().2.prefixes.len(), 1);
}

#[test]
fn leases_are_of_both_prefixes_and_follow_the_uplink() {
    let mut lab = Lab::new(patient());
    lab.server.set_uplink(global(FIRST, true, lab.now.mono, 5_000, 6_000), lab.now);
    let client = Client::new(1);
    let own = lab.acquire(&client);
    let reply = lab.ask(&client.renew(own)).unwrap();
    let at = |network: &str| {
        Ipv6Addr::from_bits(net(network).address().to_bits() | u128::from(own.to_bits() as u64))
    };
    assert_eq!(addresses(&reply), [(own, 86_400), (at(FIRST), 6_000)]);
    let held: Vec<_> = lab.server.leases().map(|lease| lease.address).collect();
    assert_eq!(held, [own, at(FIRST)]);
    lab.server.set_uplink(global(SECOND, true, lab.now.mono, 5_000, 6_000), lab.now);
    lab.drain();
    let mut renewal = Client::new(1);
    renewal.options.clear();
    let frame = renewal.frame(dhcproto::v6::MessageType::Renew, true, Some(&[own, at(FIRST), at(SHARED)]));
    lab.server.handle_frame(&frame, lab.now);
    let outs = lab.drain();
    let ended: Vec<_> = outs
        .iter()
        .filter_map(|out| match out {
            Out::Event(Event::LeaseEnded { address, .. }) => Some(*address),
            Out::Advert { .. } | Out::Reply { .. } | Out::Neighbour(_) | Out::Uplink(_) | Out::Event(_) => {
                None
            }
        })
        .collect();
    assert_eq!(ended, [at(FIRST)]);
    let reply = outs.iter().find_map(|out| match out {
        Out::Reply { message, .. } => Some(addresses(message)),
        Out::Advert { .. } | Out::Neighbour(_) | Out::Uplink(_) | Out::Event(_) => None,
    });
    // Their order was the client's.
    let (mut told, mut expected) =
        (reply.unwrap(), [(own, 86_400), (at(SECOND), 6_000), (at(FIRST), 6_000), (at(SHARED), 0)]);
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "the former is used no more, the foreign one is given up");
}

#[test]
fn translation_to_ipv4_is_passed_on_while_there_is_a_way_out() {
    let mut lab = Lab::new(full());
    let until = lab.now.mono + seconds(100);
    let nat64 = Some(Nat64 { prefix: net("64:ff9b::/96"), until });
    lab.server.set_uplink(Uplink { router: true, nat64, ..Uplink::default() }, lab.now);
    let advert = &lab.adverts(seconds(1))[0].2;
    assert_eq!(advert.nat64, Some(((100 / 8) << 3, ip("64:ff9b::"))));
    let long = Some(Nat64 { prefix: net("2001:db8:64::/48"), until: until + seconds(100_000) });
    lab.server.set_uplink(Uplink { router: true, nat64: long, ..Uplink::default() }, lab.now);
    assert_eq!(lab.adverts(seconds(10))[0].2.nat64, Some((225 << 3 | 3, ip("2001:db8:64::"))));
    lab.server.set_uplink(Uplink { router: false, nat64: long, ..Uplink::default() }, lab.now);
    assert_eq!(lab.adverts(seconds(10))[0].2.nat64, None);
    let odd = Some(Nat64 { prefix: net("2001:db8:64::/50"), until: until + seconds(100_000) });
    lab.server.set_uplink(Uplink { router: true, nat64: odd, ..Uplink::default() }, lab.now);
    assert_eq!(lab.adverts(seconds(10))[0].2.nat64, None, "a length that cannot be said");
}

#[test]
fn a_device_has_the_address_that_nobody_objects_to_until_it_is_silent() {
    let mut lab = Lab::new(full());
    let (client, address) = (Client::new(1), ip("fd12:3456:789a:1:aaaa::1"));
    assert!(seen(&lab.send(&probe(client.mac, address))).is_empty(), "not yet");
    assert_eq!(seen(&pass(&mut lab, seconds(3))), [(address, client.mac)]);
    assert_eq!(lab.server.addresses_in_use().count(), 1);
    // Another wants it and does not get it, whatever it says.
    for frame in [probe(NEIGHBOUR, address), advertisement(NEIGHBOUR, address)] {
        lab.send(&frame);
    }
    assert_eq!(lab.counted(), [("conflict", 2)]);
    // A sign of life, long after.
    pass(&mut lab, seconds(400));
    assert_eq!(seen(&lab.send(&advertisement(client.mac, address))), [(address, client.mac)]);
    // Silence: it is asked, and then forgotten.
    let outs = pass(&mut lab, seconds(700));
    let asked = on_segment(&outs);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|(kind, mac, to, target, _)| {
        (*kind, *mac, *to, *target) == (135, SERVER_MAC, address, address)
    }));
    let gone = |out: &Out| matches!(out, Out::Event(Event::Unseen { address: at, mac }) if *at == address && *mac == client.mac);
    assert!(outs.iter().any(gone));
    assert_eq!(lab.server.addresses_in_use().count(), 0);
}

#[test]
fn an_address_that_two_want_at_once_is_nobodys() {
    let mut lab = Lab::new(full());
    let address = ip("fd12:3456:789a:1:aaaa::1");
    lab.send(&probe(Client::new(1).mac, address));
    lab.send(&probe(Client::new(2).mac, address));
    assert!(seen(&pass(&mut lab, seconds(10))).is_empty());
}

#[test]
fn addresses_of_no_prefix_here_are_nobodys_business() {
    let mut lab = Lab::new(full());
    for address in ["fe80::1", "2001:db8:100::5", "fd12:3456:789a:1::1", "fd12:3456:789a:1::"] {
        lab.send(&probe(NEIGHBOUR, ip(address)));
        assert!(lab.send(&solicitation(NEIGHBOUR, ip(address), router())).is_empty(), "{address}");
    }
    assert!(seen(&pass(&mut lab, seconds(10))).is_empty());
    // A prefix that ends takes its addresses along.
    let mut lab = Lab::new(full());
    lab.server.set_uplink(global(FIRST, true, lab.now.mono, 900, 1_200), lab.now);
    lab.send(&probe(NEIGHBOUR, ip("2001:db8:100::5")));
    assert_eq!(seen(&pass(&mut lab, seconds(3))).len(), 1);
    lab.server.set_uplink(Uplink::default(), lab.now);
    assert_eq!(lab.server.addresses_in_use().count(), 1, "deprecated is not gone");
    lab.send(&advertisement(NEIGHBOUR, ip("2001:db8:100::5")));
    let outs = pass(&mut lab, seconds(1_300));
    assert!(outs.iter().any(|out| matches!(out, Out::Event(Event::Unseen { .. }))));
}

#[test]
fn a_flood_of_addresses_is_bounded_by_device_and_in_all() {
    let limits = Limits { seen: 40, ..patient().limits };
    let mut lab = Lab::new(RawConfig { limits, ..patient() });
    for device in 0..10 {
        for n in 0..30_u16 {
            let address = Ipv6Addr::new(0xfd12, 0x3456, 0x789a, 1, 7, device, 0, n + 2);
            lab.send(&probe(Client::new(device).mac, address));
        }
    }
    pass(&mut lab, seconds(3));
    assert_eq!(lab.server.addresses_in_use().count(), 40);
    for device in 0..10 {
        let mac = Client::new(device).mac;
        assert!(lab.server.addresses_in_use().filter(|lease| lease.mac == mac).count() <= 16);
    }
    assert_eq!(lab.counted(), [("too_many_seen", 260)]);
}

#[test]
fn what_the_neighbours_of_the_uplink_ask_is_answered_for_devices() {
    let mut lab = relaying();
    let (client, address) = (Client::new(1), ip("2001:db8:1::abcd"));
    let outs = lab.send(&probe(client.mac, address));
    let asked = on_uplink(&outs);
    assert_eq!(asked, [(135, PUBLIC_MAC, group(address), address, None)], "the question goes on");
    assert_eq!(seen(&pass(&mut lab, seconds(3))), [(address, client.mac)]);
    let asker = ip("fe80::9");
    let answer = on_uplink(&uplink(&mut lab, &solicitation(NEIGHBOUR, asker, address)));
    assert_eq!(answer, [(136, PUBLIC_MAC, asker, address, Some(PUBLIC_MAC))]);
    // Somebody there wants it: told that it is taken.
    let answer = on_uplink(&uplink(&mut lab, &probe(NEIGHBOUR, address)));
    assert_eq!(answer, [(136, PUBLIC_MAC, ip("ff02::1"), address, Some(PUBLIC_MAC))]);
    assert_eq!(lab.server.counters().relayed, 2);
    // An address nobody has spoken with yet is asked for on the segment, and the answer passed on.
    let quiet = ip("2001:db8:1::beef");
    let outs = uplink(&mut lab, &solicitation(NEIGHBOUR, asker, quiet));
    assert!(on_uplink(&outs).is_empty());
    assert_eq!(on_segment(&outs), [(135, SERVER_MAC, group(quiet), quiet, Some(SERVER_MAC))]);
    let outs = lab.send(&advertisement(client.mac, quiet));
    assert_eq!(seen(&outs), [(quiet, client.mac)]);
    assert_eq!(on_uplink(&outs), [(136, PUBLIC_MAC, asker, quiet, Some(PUBLIC_MAC))]);
    // The host's own address is the kernel's affair, another prefix nobody's.
    for target in ["2001:db8:1::2", "2001:db8:2::1"] {
        assert!(uplink(&mut lab, &solicitation(NEIGHBOUR, asker, ip(target))).is_empty());
    }
    lab.server.set_relay(None, lab.now);
    assert!(uplink(&mut lab, &solicitation(NEIGHBOUR, asker, address)).is_empty());
    assert_eq!(lab.counted(), [("foreign", 1), ("no_relay", 1)]);
}

#[test]
fn a_device_does_not_get_an_address_that_is_in_use_on_the_uplink() {
    let mut lab = relaying();
    let (client, address) = (Client::new(1), ip("2001:db8:1::abcd"));
    lab.send(&probe(client.mac, address));
    let outs = uplink(&mut lab, &advertisement(NEIGHBOUR, address));
    let told = on_segment(&outs);
    assert_eq!(told, [(136, SERVER_MAC, ip("ff02::1"), address, Some(SERVER_MAC))]);
    // Somebody there looks for it at the same time.
    lab.send(&probe(client.mac, address));
    let outs = uplink(&mut lab, &probe(NEIGHBOUR, address));
    assert_eq!((on_segment(&outs).len(), on_uplink(&outs).len()), (1, 1));
    // This host has it.
    let outs = lab.send(&probe(client.mac, ip("2001:db8:1::2")));
    assert_eq!(on_segment(&outs), [(136, SERVER_MAC, ip("ff02::1"), ip("2001:db8:1::2"), Some(SERVER_MAC))]);
    assert!(seen(&pass(&mut lab, seconds(10))).is_empty());
    assert_eq!(lab.server.counters().duplicates, 3);
}

#[test]
fn a_device_that_takes_the_prefix_for_its_own_link_finds_the_neighbours_of_the_uplink() {
    let mut lab = relaying();
    let (client, target) = (Client::new(1), ip("2001:db8:1::99"));
    let outs = lab.send(&solicitation(client.mac, client.address(), target));
    assert_eq!(on_uplink(&outs)[0].3, target);
    let outs = uplink(&mut lab, &advertisement(NEIGHBOUR, target));
    assert_eq!(on_segment(&outs), [(136, SERVER_MAC, client.address(), target, Some(SERVER_MAC))]);
}

#[test]
fn whoever_scans_the_prefix_from_the_uplink_does_not_flood_the_segment() {
    let mut lab = relaying();
    let mut passed = 0;
    for n in 0..1_000_u16 {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, n);
        passed += on_segment(&uplink(&mut lab, &solicitation(NEIGHBOUR, ip("fe80::9"), target))).len();
    }
    assert_eq!(passed, 20);
    assert_eq!(lab.counted(), [("question_rate", 980)]);
    pass(&mut lab, seconds(5));
    assert_eq!(
        on_segment(&uplink(&mut lab, &solicitation(NEIGHBOUR, ip("fe80::9"), ip("2001:db8:1::7")))).len(),
        1
    );
}

#[test]
fn broken_neighbour_discovery_is_dropped_and_counted() {
    let good = solicitation(NEIGHBOUR, ip("fe80::9"), ip("2001:db8:1::7"));
    let broken = |change: &dyn Fn(&mut Vec<u8>), sum: bool| {
        let mut frame = good.clone();
        change(&mut frame);
        if !sum {
            return frame;
        }
        let payload = frame[54..].to_vec();
        let from = ip("fe80::9");
        let to = Ipv6Addr::from(<[u8; 16]>::try_from(&frame[38..54]).unwrap());
        icmp(NEIGHBOUR, from, to, frame[21], &[&payload[..2], &[0, 0], &payload[4..]].concat())
    };
    for (frame, reason) in [
        (broken(&|frame| frame[21] = 64, true), "hop_limit"),
        (broken(&|frame| frame[60] ^= 1, false), "icmpv6"),
        (broken(&|frame| frame[55] = 1, true), "icmpv6"),
        (broken(&|frame| frame[62] = 0xff, true), "icmpv6"),
        (broken(&|frame| frame[79] = 0, true), "nd_option"),
        (broken(&|frame| frame[79] = 2, true), "nd_option"),
        (good[..60].to_vec(), "truncated"),
        (good[..10].to_vec(), "truncated"),
    ] {
        let mut lab = relaying();
        assert!(uplink(&mut lab, &frame).is_empty(), "{reason}");
        assert_eq!(lab.counted(), [(reason, 1)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_frame_of_the_uplink_breaks_the_relay(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..20),
        cuts in proptest::collection::vec((0_usize..90, any::<u8>()), 0..20),
    ) {
        let mut lab = relaying();
        for frame in frames {
            uplink(&mut lab, &frame);
        }
        for (at, value) in cuts {
            let mut frame = solicitation(NEIGHBOUR, ip("fe80::9"), ip("2001:db8:1::7"));
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            uplink(&mut lab, &frame);
            lab.send(&frame);
        }
        pass(&mut lab, seconds(20));
    }
}
