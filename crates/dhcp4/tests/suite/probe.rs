//! Conflict detection by ARP (RFC 2131 §2.2, RFC 5227; performance goal D8).

use std::time::Duration;

use dhcproto::v4::MessageType;
use hn_dhcp4::{DropReason, Event, Limits, RawConfig};
use hn_types::MacAddr;

use crate::lab::*;

const SQUATTER: MacAddr = MacAddr([0x0a, 1, 2, 3, 4, 5]);
const WAIT: Duration = Duration::from_millis(201);

/// A lab whose reserve is full.
fn warm(raw: RawConfig) -> Lab {
    let mut lab = Lab::new(raw);
    lab.pass(WAIT);
    lab.pass(WAIT);
    lab
}

#[test]
fn a_reserve_is_probed_ahead_of_need_and_a_new_client_waits_for_nothing() {
    let mut lab = Lab::new(probing());
    let probed = probes(&lab.pass(Duration::from_millis(1)));
    assert_eq!(probed.len(), 16);
    lab.pass(WAIT);
    let outs = lab.send(&Client::new(1).discover());
    let [Out::Reply(offer), Out::Probe(again), Out::Probe(refill)] = outs.as_slice() else {
        panic!("{outs:?}");
    };
    assert!(probed.contains(&offer.address()));
    assert_eq!(*again, offer.address(), "probed again between OFFER and REQUEST");
    assert!(!probed.contains(refill));
    let ack = lab.ask(&Client::new(1).select(offer.address())).unwrap();
    assert_eq!(ack.kind(), MessageType::Ack);
}

#[test]
fn the_first_client_of_a_cold_server_waits_for_one_probe() {
    let mut lab = Lab::new(probing());
    let outs = lab.send(&Client::new(1).discover());
    assert!(replies(&outs).is_empty() && !probes(&outs).is_empty());
    let outs = lab.pass(WAIT);
    assert_eq!(replies(&outs).len(), 1);
}

#[test]
fn an_answer_to_a_probe_takes_the_address_out_of_service() {
    let mut lab = Lab::new(RawConfig { limits: Limits { reserve: 2, ..Limits::default() }, ..probing() });
    let probed = probes(&lab.pass(Duration::from_millis(1)));
    let outs = lab.send(&arp(SQUATTER, probed[0], SERVER));
    let conflict = Event::Conflict { address: probed[0], claimant: SQUATTER, holder: None };
    assert_eq!(events(&outs), [conflict]);
    assert_eq!(probes(&outs).len(), 1, "another one is probed instead");
    lab.pass(WAIT);
    for n in 0..2 {
        assert_ne!(lab.ask(&Client::new(n).discover()).unwrap().address(), probed[0]);
    }
    assert!(lab.ask(&Client::new(9).discover_asking(probed[0])).is_none_or(|o| o.address() != probed[0]));
}

#[test]
fn traffic_of_a_squatter_is_enough_to_drop_a_reserved_address() {
    let mut lab = Lab::new(probing());
    let probed = probes(&lab.pass(Duration::from_millis(1)));
    lab.pass(WAIT);
    // One that asks for the gateway, and one that probes before it takes the address itself.
    assert_eq!(events(&lab.send(&arp(SQUATTER, probed[3], SERVER))).len(), 1);
    assert_eq!(events(&lab.send(&arp(SQUATTER, [0, 0, 0, 0].into(), probed[4]))).len(), 1);
    let offered: Vec<_> =
        (0..16).filter_map(|n| lab.ask(&Client::new(n).discover())).map(|o| o.address()).collect();
    assert!(!offered.contains(&probed[3]) && !offered.contains(&probed[4]));
}

#[test]
fn an_answer_between_offer_and_request_takes_the_offer_back() {
    let mut lab = warm(probing());
    let offer = lab.ask(&Client::new(1).discover()).unwrap().address();
    assert_eq!(events(&lab.send(&arp(SQUATTER, offer, SERVER))).len(), 1);
    assert_eq!(lab.ask(&Client::new(1).select(offer)).unwrap().kind(), MessageType::Nak);
    let second = lab.acquire(&Client::new(1));
    assert_ne!(second, offer);
}

#[test]
fn the_clients_own_answer_is_no_conflict() {
    let mut lab = warm(probing());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap().address();
    assert!(events(&lab.send(&arp(client.mac, offer, SERVER))).is_empty());
    assert!(events(&lab.send(&arp(SQUATTER, [0, 0, 0, 0].into(), offer))).is_empty());
    assert_eq!(lab.ask(&client.select(offer)).unwrap().kind(), MessageType::Ack);
    assert!(events(&lab.send(&arp(client.mac, offer, offer))).is_empty(), "its announcement");
}

#[test]
fn somebody_on_a_leased_address_is_a_visible_conflict_and_a_flood_of_it_is_bounded() {
    let mut lab = warm(probing());
    let client = Client::new(1);
    let address = lab.acquire(&client);
    let conflict = Event::Conflict { address, claimant: SQUATTER, holder: Some(client.mac) };
    assert_eq!(events(&lab.send(&arp(SQUATTER, address, address))), [conflict]);
    assert!(lab.lease(address).is_some());
    let said: usize = (0..1_000).map(|_| lab.send(&arp(SQUATTER, address, address)).len()).sum();
    assert!(said <= 16, "{said}");
    assert_eq!(lab.server.counters().conflicts, 1_001);
    lab.pass(Duration::from_secs(10));
    assert_eq!(lab.send(&arp(SQUATTER, address, address)).len(), 1);
}

#[test]
fn a_returning_client_gets_its_old_address_after_one_short_probe() {
    let mut lab = warm(probing());
    let client = Client::new(1);
    let address = lab.acquire(&client);
    lab.send(&client.release(address));
    // Just released: nobody else used it a moment ago.
    assert_eq!(lab.acquire(&client), address);
    lab.send(&client.release(address));
    lab.pass(Duration::from_secs(400));
    let outs = lab.send(&client.discover());
    assert!(replies(&outs).is_empty() && probes(&outs) == [address]);
    let offers = replies(&lab.pass(WAIT));
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].address(), address);
    assert_eq!(lab.ask(&client.select(address)).unwrap().kind(), MessageType::Ack);
}

#[test]
fn a_returning_client_whose_address_was_taken_gets_another_at_once() {
    let mut lab = warm(probing());
    let client = Client::new(1);
    let address = lab.acquire(&client);
    lab.send(&client.release(address));
    lab.pass(Duration::from_secs(400));
    lab.send(&client.discover());
    let outs = lab.send(&arp(SQUATTER, address, SERVER));
    let offers = replies(&outs);
    assert_eq!(offers.len(), 1);
    assert_ne!(offers[0].address(), address);
    // And one seen on a freshly released address takes its freshness away.
    let other = lab.acquire(&Client::new(2));
    lab.send(&Client::new(2).release(other));
    lab.send(&arp(SQUATTER, other, SERVER));
    assert!(replies(&lab.send(&Client::new(2).discover())).is_empty());
}

#[test]
fn a_repeated_discover_while_waiting_is_answered_once_and_with_the_latest_transaction() {
    let mut lab = warm(probing());
    let frame = Client::new(1).discover_asking(ip(123));
    if !replies(&lab.send(&frame)).is_empty() {
        return; // The address happened to be in the reserve.
    }
    let mut message = Client::new(1).message(MessageType::Discover);
    message.set_xid(99);
    lab.send(&Client::new(1).frame(&message));
    let offers = replies(&lab.pass(WAIT));
    assert_eq!(offers.len(), 1);
    assert_eq!((offers[0].address(), offers[0].message.xid()), (ip(123), 99));
}

#[test]
fn a_request_for_an_unprobed_free_address_is_probed_before_it_is_acknowledged() {
    // The server was restarted between OFFER and REQUEST.
    let mut lab = warm(probing());
    let outs = lab.send(&Client::new(1).select(ip(124)));
    if probes(&outs) == [ip(124)] {
        let acks = replies(&lab.pass(WAIT));
        assert_eq!((acks[0].kind(), acks[0].address()), (MessageType::Ack, ip(124)));
    } else {
        assert_eq!(replies(&outs)[0].kind(), MessageType::Ack, "it was in the reserve");
    }
}

#[test]
fn the_reserve_is_probed_again_when_it_is_stale() {
    let mut lab = warm(probing());
    assert!(probes(&lab.pass(Duration::from_secs(290))).is_empty());
    assert_eq!(probes(&lab.pass(Duration::from_secs(20))).len(), 16);
}

#[test]
fn requests_waiting_for_probes_are_bounded() {
    let limits = Limits { waiting: 4, reserve: 1, ..Limits::default() };
    let mut lab = Lab::new(RawConfig { limits, ..probing() });
    for n in 0..10 {
        lab.send(&Client::new(n).discover());
    }
    assert_eq!(lab.server.counters().dropped(DropReason::ProbeBacklog), 6);
    assert_eq!(replies(&lab.pass(WAIT)).len(), 4);
}

#[test]
fn a_whole_pool_is_handed_out_with_probes() {
    let mut lab = warm(RawConfig { last: ip(40), ..probing() });
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..39 {
        let mut offers = replies(&lab.send(&Client::new(n).discover()));
        offers.extend(replies(&lab.pass(WAIT)));
        let offer = offers.first().unwrap_or_else(|| panic!("client {n}")).address();
        assert_eq!(lab.ask(&Client::new(n).select(offer)).unwrap().kind(), MessageType::Ack);
        assert!(seen.insert(offer));
    }
    assert_eq!(events(&lab.send(&Client::new(99).discover())), [Event::PoolExhausted]);
}
