//! How a client parts from its address: DECLINE, RELEASE, expiry.

use std::time::Duration;

use dhcproto::v4::MessageType;
use hn_dhcp4::{DropReason, Event, RecordState};

use crate::lab::*;

#[test]
fn a_declined_address_rests_and_the_client_gets_another() {
    // RFC 2131 §4.3.3.
    let mut lab = Lab::new(small(2));
    let client = Client::new(1);
    let first = lab.acquire(&client);
    let outs = lab.send(&client.decline(first));
    let [Out::Persist(record), Out::Event(event)] = outs.as_slice() else { panic!("{outs:?}") };
    assert_eq!((record.state, record.address), (RecordState::Declined, first));
    assert_eq!(*event, Event::Declined { address: first, mac: client.mac });
    assert!(lab.lease(first).is_none());
    let second = lab.acquire(&client);
    assert_ne!(second, first);
    assert!(lab.ask(&Client::new(2).discover_asking(first)).is_none(), "it rests");
    lab.pass(Duration::from_secs(601));
    assert_eq!(lab.acquire(&Client::new(2)), first);
}

#[test]
fn an_offered_address_can_be_declined_too() {
    let mut lab = Lab::new(full());
    let offer = lab.ask(&Client::new(1).discover()).unwrap().address();
    assert_eq!(events(&lab.send(&Client::new(1).decline(offer))).len(), 1);
    assert_ne!(lab.acquire(&Client::new(1)), offer);
}

#[test]
fn nobody_declines_or_releases_what_is_not_its_own() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_id(b"\xffid");
    let address = lab.acquire(&client);
    let thieves = [Client::new(2), Client::new(1), Client::new(2).with_id(b"\xffie")];
    for thief in &thieves {
        assert!(lab.send(&thief.decline(address)).is_empty());
        assert!(lab.send(&thief.release(address)).is_empty());
    }
    let elsewhere = Client { server: ip(250), ..client };
    assert!(lab.send(&elsewhere.decline(address)).is_empty());
    assert_eq!(lab.server.counters().dropped(DropReason::NotHolder), 6);
    assert_eq!(lab.server.counters().dropped(DropReason::OtherServer), 1);
    assert!(lab.lease(address).is_some());
}

#[test]
fn half_of_the_pool_stays_in_service_whatever_is_declined() {
    let mut lab = Lab::new(small(10));
    for n in 0..40 {
        let address = lab.acquire(&Client::new(n));
        lab.send(&Client::new(n).decline(address));
    }
    lab.acquire(&Client::new(99));
}

#[test]
fn a_released_address_is_kept_for_its_client_while_others_are_free() {
    // RFC 2131 §4.3.4.
    let mut lab = Lab::new(small(2));
    let client = Client::new(1);
    let address = lab.acquire(&client);
    let outs = lab.send(&client.release(address));
    let [Out::Persist(record), Out::Event(event)] = outs.as_slice() else { panic!("{outs:?}") };
    assert_eq!(record.state, RecordState::Released);
    assert_eq!(*event, Event::LeaseReleased { address, mac: client.mac });
    assert_eq!(lab.server.leases().count(), 0);
    assert_ne!(lab.acquire(&Client::new(2)), address);
    assert_eq!(lab.acquire(&client), address);
    lab.send(&client.release(address));
    assert_eq!(lab.acquire(&Client::new(3)), address);
    assert!(lab.ask(&client.discover()).is_none());
}

#[test]
fn leases_end_on_time_and_not_before() {
    let mut lab = Lab::new(small(5));
    let mut expected = vec![];
    for n in 0..5 {
        let address = lab.acquire(&Client::new(n));
        expected.push(Event::LeaseExpired { address, mac: Client::new(n).mac });
        lab.pass(Duration::from_secs(10));
    }
    lab.pass(Duration::from_secs(604_800 - 60));
    assert_eq!(lab.server.leases().count(), 5);
    let mut seen = vec![];
    for _ in 0..6 {
        seen.extend(events(&lab.pass(Duration::from_secs(10))));
    }
    assert_eq!(seen, expected);
    assert_eq!(lab.server.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn an_expired_lease_is_refused_to_others_and_confirmed_to_its_client() {
    let mut lab = Lab::new(full());
    let address = lab.acquire(&Client::new(1));
    lab.pass(Duration::from_secs(700_000));
    assert_eq!(lab.ask(&Client::new(2).renew(address)).unwrap().kind(), MessageType::Nak);
    assert_eq!(lab.ask(&Client::new(1).reboot(address)).unwrap().kind(), MessageType::Ack);
}
