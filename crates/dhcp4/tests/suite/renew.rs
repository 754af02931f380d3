//! RENEWING, REBINDING, INIT-REBOOT and a change of configuration (RFC 2131 §4.3.2).

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use hn_dhcp4::{Config, DropReason, Event, Probing, RawConfig, Reservation, ReservedFor};
use hn_types::MacAddr;

use crate::lab::*;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_renewal_extends_the_lease_on_disk_first() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let address = lab.acquire(&client);
    lab.pass(HOUR);
    for frame in [client.renew(address), client.rebind(address)] {
        lab.pass(HOUR);
        let outs = lab.send(&frame);
        let [Out::Persist(record), Out::Reply(ack), Out::Event(Event::LeaseBound { lease, renewed: true })] =
            outs.as_slice()
        else {
            panic!("{outs:?}");
        };
        assert_eq!(record.expires, lab.now.wall + Duration::from_secs(604_801));
        assert_eq!(lease.expires, record.expires);
        assert_eq!((ack.mac, ack.to), (client.mac, address), "unicast to ciaddr");
        assert_eq!(ack.message.ciaddr(), address);
        assert_eq!(ack.option(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(604_800)));
    }
}

#[test]
fn a_repeated_request_within_the_second_is_answered_from_what_is_on_disk() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let address = lab.acquire(&client);
    let outs = lab.send(&client.select(address));
    assert!(matches!(outs.as_slice(), [Out::Reply(ack)] if ack.kind() == MessageType::Ack), "{outs:?}");
    assert_eq!(lab.stored.len(), 1);
}

#[test]
fn a_renewal_with_a_new_name_keeps_the_address_and_one_without_keeps_the_name() {
    let mut lab = Lab::new(full());
    let address = lab.acquire(&Client::new(1).with_name("old"));
    assert!(lab.ask(&Client::new(1).with_name("new").renew(address)).is_some());
    assert_eq!(lab.lease(address).unwrap().hostname.raw(), b"new");
    lab.pass(HOUR);
    assert!(lab.ask(&Client::new(1).renew(address)).is_some());
    assert_eq!(lab.lease(address).unwrap().hostname.raw(), b"new");
}

#[test]
fn a_client_from_another_network_is_refused_at_once() {
    let mut lab = Lab::new(full());
    let foreign = Ipv4Addr::new(10, 1, 2, 3);
    for frame in [Client::new(1).reboot(foreign), Client::new(1).rebind(foreign)] {
        let nak = lab.ask(&frame).unwrap();
        assert_eq!(nak.kind(), MessageType::Nak);
        assert_eq!((nak.mac, nak.to), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST));
        assert_eq!((nak.address(), nak.message.ciaddr()), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
        assert_eq!(nak.codes(), [53, 54, 56]);
    }
}

#[test]
fn init_reboot_of_an_unknown_client_is_met_with_silence() {
    let mut lab = Lab::new(full());
    lab.acquire(&Client::new(2));
    assert!(lab.send(&Client::new(1).reboot(ip(40))).is_empty());
    assert_eq!(lab.server.counters().dropped(DropReason::UnknownClient), 1);
}

#[test]
fn init_reboot_of_a_known_client_is_confirmed_or_refused() {
    let mut lab = Lab::new(full());
    let address = lab.acquire(&Client::new(1));
    let wrong = if address == ip(40) { ip(41) } else { ip(40) };
    lab.pass(HOUR);
    let ack = lab.ask(&Client::new(1).reboot(address)).unwrap();
    assert_eq!((ack.kind(), ack.address()), (MessageType::Ack, address));
    assert_eq!(lab.ask(&Client::new(1).reboot(wrong)).unwrap().kind(), MessageType::Nak);
    assert!(lab.lease(address).is_some(), "the refusal doesn't cost the lease");
}

#[test]
fn a_forgotten_client_keeps_its_address_if_nobody_else_has_it() {
    let mut lab = Lab::new(full());
    let ack = lab.ask(&Client::new(1).renew(ip(60))).unwrap();
    assert_eq!((ack.kind(), ack.address()), (MessageType::Ack, ip(60)));
    assert_eq!(lab.ask(&Client::new(2).renew(ip(60))).unwrap().kind(), MessageType::Nak);
    assert_eq!(lab.lease(ip(60)).unwrap().mac, Client::new(1).mac);
}

#[test]
fn a_lease_that_ran_out_is_given_to_its_client_again() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_id(b"\x01xyz");
    let address = lab.acquire(&client);
    let outs = lab.pass(Duration::from_secs(604_802));
    assert_eq!(events(&outs), [Event::LeaseExpired { address, mac: client.mac }]);
    assert!(lab.lease(address).is_none());
    assert_eq!(
        lab.ask(&Client::new(2).discover_asking(address)).map(|o| o.address() == address),
        Some(false)
    );
    assert_eq!(lab.acquire(&client), address);
}

#[test]
fn an_expired_address_goes_to_a_newcomer_only_when_nothing_else_is_free_and_oldest_first() {
    let lease = Duration::from_secs(100);
    let mut lab = Lab::new(RawConfig { lease, ..small(3) });
    let old: Vec<_> = (1..=3)
        .map(|n| {
            lab.pass(Duration::from_secs(2));
            lab.acquire(&Client::new(n))
        })
        .collect();
    lab.pass(Duration::from_secs(200));
    assert_eq!(lab.acquire(&Client::new(11)), old[0]);
    assert_eq!(lab.acquire(&Client::new(12)), old[1]);
    assert_eq!(lab.acquire(&Client::new(3)), old[2]);
    assert!(lab.ask(&Client::new(1).discover()).is_none());
}

#[test]
fn renewing_just_before_the_end_keeps_the_lease_without_a_gap() {
    let mut lab = Lab::new(RawConfig { lease: Duration::from_secs(100), ..full() });
    let client = Client::new(1);
    let address = lab.acquire(&client);
    for _ in 0..20 {
        let outs = lab.pass(Duration::from_secs(99));
        assert_eq!(events(&outs), [], "no expiry in between");
        assert_eq!(lab.ask(&client.renew(address)).unwrap().kind(), MessageType::Ack);
    }
}

#[test]
fn a_changed_subnet_keeps_nothing_and_sends_clients_to_ask_again() {
    let mut lab = Lab::new(full());
    let address = lab.acquire(&Client::new(1));
    let moved = RawConfig { probing: Probing::Off, ..RawConfig::full(SERVER_MAC, host("192.168.139.1/24")) };
    lab.server.reconfigure(Config::new(moved).unwrap(), lab.now);
    assert_eq!(lab.server.leases().count(), 0);
    let mut frame = Client { server: Ipv4Addr::new(192, 168, 139, 1), ..Client::new(1) };
    assert_eq!(lab.ask(&frame.rebind(address)).unwrap().kind(), MessageType::Nak);
    frame.server = Ipv4Addr::new(192, 168, 139, 1);
    let offer = lab.ask(&frame.discover()).unwrap();
    assert!(host("192.168.139.1/24").contains(offer.address()));
}

#[test]
fn a_changed_pool_keeps_the_leases_that_still_fit() {
    let mut lab = Lab::new(small(20));
    let leases: Vec<_> = (0..20).map(|n| (Client::new(n), lab.acquire(&Client::new(n)))).collect();
    let reserved = Reservation { client: ReservedFor::Mac(Client::new(500).mac), address: ip(10) };
    let raw = RawConfig { reservations: vec![reserved], ..small(10) };
    lab.server.reconfigure(Config::new(raw).unwrap(), lab.now);
    assert_eq!(lab.server.leases().count(), 10);
    for (client, address) in leases {
        let kept = (ip(11)..=ip(19)).contains(&address);
        let expected = if kept { MessageType::Ack } else { MessageType::Nak };
        assert_eq!(lab.ask(&client.renew(address)).unwrap().kind(), expected, "{address}");
    }
}

#[test]
fn a_new_reservation_moves_its_client_at_its_next_renewal() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_id(b"\x01abc");
    let address = lab.acquire(&client);
    let target = if address == ip(70) { ip(71) } else { ip(70) };
    let reserved = Reservation { client: ReservedFor::Mac(client.mac), address: target };
    let raw = RawConfig { reservations: vec![reserved], ..full() };
    lab.server.reconfigure(Config::new(raw).unwrap(), lab.now);
    assert_eq!(lab.ask(&client.renew(address)).unwrap().kind(), MessageType::Nak);
    assert_eq!(lab.acquire(&client), target);
}

#[test]
fn inform_is_answered_without_a_lease_and_changes_nothing() {
    // RFC 2131 §4.3.5.
    let mut lab = Lab::new(full());
    let outs = lab.send(&Client::new(1).inform(ip(200)));
    let [Out::Reply(ack)] = outs.as_slice() else { panic!("{outs:?}") };
    assert_eq!((ack.kind(), ack.address(), ack.to), (MessageType::Ack, Ipv4Addr::UNSPECIFIED, ip(200)));
    assert_eq!(ack.codes(), [53, 54, 1, 3, 6, 15, 28]);
    assert_eq!(lab.server.leases().count(), 0);
    assert!(lab.ask(&Client::new(1).inform(Ipv4Addr::new(8, 8, 8, 8))).is_none(), "only on this link");
}
