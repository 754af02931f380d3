//! From nothing to a lease.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, MessageType, OptionCode, UnknownOption};
use hn_dhcp4::{
    ClientId, Config, ConfigError, DropReason, Event, Probing, RawConfig, Reservation, ReservedFor,
};
use hn_types::MacAddr;

use crate::lab::*;

#[test]
fn full_sharing_sends_what_windows_sends() {
    // spec §3.2.
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_option(DhcpOption::ParameterRequestList(
        [1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252].map(OptionCode::from).to_vec(),
    ));
    let offer = lab.ask(&client.discover()).unwrap();
    let ack = lab.ask(&client.select(offer.address())).unwrap();
    for reply in [&offer, &ack] {
        assert_eq!(
            reply.option(OptionCode::SubnetMask),
            Some(&DhcpOption::SubnetMask([255, 255, 255, 0].into()))
        );
        assert_eq!(reply.option(OptionCode::Router), Some(&DhcpOption::Router(vec![SERVER])));
        assert_eq!(
            reply.option(OptionCode::DomainNameServer),
            Some(&DhcpOption::DomainNameServer(vec![SERVER]))
        );
        assert_eq!(reply.option(OptionCode::DomainName), Some(&DhcpOption::DomainName("mshome.net".into())));
        assert_eq!(reply.option(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(604_800)));
        assert_eq!(reply.option(OptionCode::Renewal), Some(&DhcpOption::Renewal(302_400)));
        assert_eq!(reply.option(OptionCode::Rebinding), Some(&DhcpOption::Rebinding(529_200)));
        assert_eq!(reply.option(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(SERVER)));
        assert_eq!(reply.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 15]);
    }
    assert_eq!(ack.message.xid(), 0x0102_0304);
    assert_eq!(&ack.message.chaddr()[..6], client.mac.0);
}

#[test]
fn standalone_gives_an_address_and_nothing_else() {
    let raw = RawConfig::standalone(SERVER_MAC, host("192.168.173.1/24"));
    let mut lab = Lab::new(RawConfig { probing: Probing::Off, ..raw });
    let offer = lab.ask(&Client::new(1).discover()).unwrap();
    assert!(host("192.168.173.1/24").contains(offer.address()));
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 28]);
}

#[test]
fn parameters_come_in_the_order_asked_and_the_mask_before_the_router() {
    let mut lab = Lab::new(RawConfig { mtu: Some(1_400), ..full() });
    let asked = [28, 26, 15, 3, 1, 6, 3].map(OptionCode::from).to_vec();
    let client = Client::new(1).with_option(DhcpOption::ParameterRequestList(asked));
    let offer = lab.ask(&client.discover()).unwrap();
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 28, 26, 15, 3, 6]);
    assert_eq!(offer.option(OptionCode::InterfaceMtu), Some(&DhcpOption::InterfaceMtu(1_400)));
    assert_eq!(offer.option(OptionCode::BroadcastAddr), Some(&DhcpOption::BroadcastAddr(ip(255))));
}

#[test]
fn another_mtu_is_told_in_the_next_answer_and_leases_stay() {
    let mut lab = Lab::new(full());
    let asked = vec![OptionCode::from(26)];
    let client = Client::new(1).with_option(DhcpOption::ParameterRequestList(asked));
    let mut told = |mtu: Option<u16>| {
        lab.server.set_mtu(mtu);
        let offer = lab.ask(&client.discover()).unwrap();
        let value = offer.option(OptionCode::InterfaceMtu).cloned();
        (offer.address(), value)
    };
    let (address, none) = told(None);
    assert_eq!(none, None);
    assert_eq!(told(Some(1_400)), (address, Some(DhcpOption::InterfaceMtu(1_400))));
    assert_eq!(told(Some(68)), (address, Some(DhcpOption::InterfaceMtu(68))));
    assert_eq!(told(Some(67)), (address, None), "RFC 2132 §5.1");
}

#[test]
fn replies_go_by_raw_unicast_unless_the_client_wants_broadcast() {
    // RFC 2131 §4.1.
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap();
    assert_eq!((offer.mac, offer.to), (client.mac, offer.address()));
    let client = Client { broadcast: true, ..Client::new(2) };
    let offer = lab.ask(&client.discover()).unwrap();
    assert_eq!((offer.mac, offer.to), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST));
    assert!(offer.message.flags().broadcast());
}

#[test]
fn the_client_identifier_is_echoed_in_every_reply() {
    // RFC 6842.
    let mut lab = Lab::new(full());
    for (number, len) in [(1, 2), (2, 7), (3, 32), (4, 33), (5, 255)] {
        let id: Vec<u8> = (0..len).map(|n| (n as u8) ^ number).collect();
        let client = Client::new(u32::from(number)).with_id(&id);
        let echoed = Some(DhcpOption::ClientIdentifier(id.clone()));
        let offer = lab.ask(&client.discover()).unwrap();
        assert_eq!(offer.option(OptionCode::ClientIdentifier), echoed.as_ref());
        let ack = lab.ask(&client.select(offer.address())).unwrap();
        assert_eq!(ack.option(OptionCode::ClientIdentifier), echoed.as_ref());
        let nak = lab.ask(&client.select(ip(1))).unwrap();
        assert_eq!(nak.kind(), MessageType::Nak);
        assert_eq!(nak.option(OptionCode::ClientIdentifier), echoed.as_ref());
        assert_eq!(lab.lease(ack.address()).unwrap().client_id, ClientId::new(&id));
    }
}

#[test]
fn identity_is_the_client_identifier_else_the_hardware_address() {
    // RFC 2131 §4.2, RFC 4361.
    let mut lab = Lab::new(full());
    let first = lab.acquire(&Client::new(1).with_id(b"\xffone"));
    assert_ne!(lab.acquire(&Client::new(1).with_id(b"\xfftwo")), first);
    assert_ne!(lab.acquire(&Client::new(1)), first);
    assert_eq!(lab.acquire(&Client::new(9).with_id(b"\xffone")), first);
    assert_eq!(lab.lease(first).unwrap().mac, Client::new(9).mac);
}

#[test]
fn the_acknowledgement_follows_the_record_and_the_event_follows_it() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_name("Ann's Laptop");
    let offer = lab.ask(&client.discover()).unwrap();
    let outs = lab.send(&client.select(offer.address()));
    let [Out::Persist(record), Out::Reply(ack), Out::Event(Event::LeaseBound { lease, renewed })] =
        outs.as_slice()
    else {
        panic!("{outs:?}");
    };
    assert_eq!(record.address, ack.address());
    assert_eq!(ack.kind(), MessageType::Ack);
    assert!(!renewed);
    assert_eq!((lease.address, lease.mac), (ack.address(), client.mac));
    assert_eq!(lease.hostname.raw(), b"Ann's Laptop");
    assert_eq!(lease.hostname.label().unwrap().as_str(), "anns-laptop");
    assert_eq!(lease.expires, lab.now.wall + Duration::from_secs(604_801));
    assert_eq!(lab.server.leases().collect::<Vec<_>>(), [*lease]);
}

#[test]
fn the_name_of_option_81_wins_over_option_12() {
    // RFC 4702 §3.3.3, in both encodings.
    for (flags, name) in [(0_u8, b"desk.corp.example".as_slice()), (4, b"\x04desk\x04corp\x07example\x00")] {
        let mut lab = Lab::new(full());
        let fqdn = [&[flags, 0, 0], name].concat();
        let fqdn = DhcpOption::Unknown(UnknownOption::new(OptionCode::from(81), fqdn));
        let client = Client::new(1).with_name("other").with_option(fqdn);
        let address = lab.acquire(&client);
        assert_eq!(lab.lease(address).unwrap().hostname.label().unwrap().as_str(), "desk");
    }
}

#[test]
fn rapid_commit_binds_at_once_and_only_on_demand() {
    // RFC 4039.
    let mut lab = Lab::new(full());
    let ack = lab.ask(&Client::new(1).with_option(DhcpOption::RapidCommit).discover()).unwrap();
    assert_eq!(ack.kind(), MessageType::Ack);
    assert!(ack.option(OptionCode::RapidCommit).is_some());
    assert!(lab.lease(ack.address()).is_some());
    assert_eq!(lab.stored.len(), 1);
    let offer = lab.ask(&Client::new(2).discover()).unwrap();
    assert!(offer.option(OptionCode::RapidCommit).is_none());
}

#[test]
fn first_leases_look_scattered_and_are_the_same_after_a_restart_without_records() {
    // spec §3.1.
    let order = |mut lab: Lab| (1..=20).map(|n| lab.acquire(&Client::new(n))).collect::<Vec<_>>();
    let first = order(Lab::new(full()));
    let ascending = first.windows(2).filter(|pair| pair[0].to_bits() + 1 == pair[1].to_bits()).count();
    assert!(ascending < 4, "{first:?}");
    assert_eq!(first, order(Lab::new(full())));
}

#[test]
fn every_address_of_the_pool_is_handed_out_once_and_then_none() {
    let mut lab = Lab::new(full());
    let addresses: BTreeSet<_> = (0..253).map(|n| lab.acquire(&Client::new(n))).collect();
    assert_eq!(addresses.len(), 253);
    assert!(!addresses.contains(&SERVER));
    let outs = lab.send(&Client::new(999).discover());
    assert_eq!(events(&outs), [Event::PoolExhausted]);
    assert!(replies(&outs).is_empty(), "discover_with_exhausted_pool_is_silent");
    assert!(lab.send(&Client::new(1_000).discover()).is_empty(), "said once");
    assert_eq!(lab.server.counters().dropped(DropReason::PoolExhausted), 2);
    // Who has a lease is still served.
    lab.acquire(&Client::new(3));
}

#[test]
fn a_requested_address_is_given_if_it_is_free() {
    let mut lab = Lab::new(full());
    let offer = lab.ask(&Client::new(1).discover_asking(ip(77))).unwrap();
    assert_eq!(offer.address(), ip(77));
    let other = lab.ask(&Client::new(2).discover_asking(ip(77))).unwrap();
    assert_ne!(other.address(), ip(77));
    for bad in [ip(0), ip(1), ip(255), Ipv4Addr::new(10, 0, 0, 5)] {
        assert_ne!(lab.ask(&Client::new(3).discover_asking(bad)).unwrap().address(), bad);
    }
}

#[test]
fn the_same_client_is_offered_the_same_address_again() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap();
    assert_eq!(lab.ask(&client.discover()).unwrap().address(), offer.address());
    let address = lab.acquire(&client);
    assert_eq!(lab.ask(&client.discover_asking(ip(99))).unwrap().address(), address);
}

#[test]
fn reservations_hold_by_hardware_address_and_by_identifier() {
    // peers.md row 22.
    let reserve = |client, last| Reservation { client, address: ip(last) };
    let by_id = ClientId::new(b"\xffprinter").unwrap();
    let mut lab = Lab::new(RawConfig {
        reservations: vec![
            reserve(ReservedFor::Mac(Client::new(1).mac), 50),
            reserve(ReservedFor::Client(by_id), 11),
        ],
        ..small(2)
    });
    assert_eq!(lab.acquire(&Client::new(1)), ip(50));
    assert_eq!(lab.acquire(&Client::new(1).with_id(b"\xffanything")), ip(50));
    let mut made_of_it = vec![1];
    made_of_it.extend(Client::new(1).mac.0);
    assert_eq!(lab.acquire(&Client::new(3).with_id(&made_of_it)), ip(50), "the same client by another card");
    assert_eq!(lab.acquire(&Client::new(7)), ip(10));
    assert!(lab.ask(&Client::new(8).discover()).is_none(), "a reserved address goes to nobody else");
    assert!(lab.ask(&Client::new(8).discover_asking(ip(50))).is_none());
    assert_eq!(lab.ask(&Client::new(8).select(ip(50))).unwrap().kind(), MessageType::Nak);
    assert_eq!(lab.acquire(&Client::new(9).with_id(b"\xffprinter")), ip(11));
}

#[test]
fn who_is_denied_gets_no_answer_until_that_is_taken_back() {
    let mut lab = Lab::new(RawConfig { denied: [Client::new(1).mac].into(), ..full() });
    assert!(lab.ask(&Client::new(1).discover()).is_none());
    assert!(lab.ask(&Client::new(1).with_id(b"\xffother").select(ip(20))).is_none());
    assert_eq!(lab.server.counters().dropped(DropReason::Denied), 2);
    lab.acquire(&Client::new(2));
    lab.server.deny([Client::new(2).mac].into());
    lab.acquire(&Client::new(1));
    assert!(lab.ask(&Client::new(2).discover()).is_none());
}

#[test]
fn an_offer_is_held_for_a_minute_and_then_free_for_others() {
    let mut lab = Lab::new(small(4));
    let offer = lab.ask(&Client::new(1).discover()).unwrap().address();
    for n in 2..5 {
        lab.acquire(&Client::new(n));
    }
    lab.pass(Duration::from_secs(59));
    assert!(lab.ask(&Client::new(5).discover()).is_none());
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.acquire(&Client::new(5)), offer);
    let refusal = lab.ask(&Client::new(1).select(offer)).unwrap();
    assert_eq!(refusal.kind(), MessageType::Nak);
}

#[test]
fn an_offer_is_taken_back_when_the_client_chooses_another_server() {
    let mut lab = Lab::new(small(1));
    lab.ask(&Client::new(1).discover()).unwrap();
    let elsewhere = Client { server: ip(250), ..Client::new(1) };
    assert!(lab.send(&elsewhere.select(ip(10))).is_empty());
    assert_eq!(lab.acquire(&Client::new(2)), ip(10));
}

#[test]
fn a_flood_of_made_up_clients_leaves_the_leased_addresses_alone() {
    let mut lab = Lab::new(full());
    let known: Vec<_> = (0..100).map(|n| (n, lab.acquire(&Client::new(n)))).collect();
    for n in 0..5_000 {
        lab.send(&Client::new(100_000 + n).discover());
        assert!(lab.server.poll_timeout().is_some());
    }
    assert!(lab.server.counters().offers_evicted > 4_000);
    for (n, address) in known {
        assert_eq!(lab.ask(&Client::new(n).renew(address)).unwrap().kind(), MessageType::Ack);
    }
    // A real newcomer, who answers at once, gets in, too.
    lab.acquire(&Client::new(77_777));
}

#[test]
fn options_that_do_not_fit_are_left_out_and_more_fits_when_the_client_says_so() {
    let domain = ["abcdefghijklmnopqrstuvwxyz"; 7].join(".");
    let mut lab = Lab::new(RawConfig { domain: Some(domain.clone()), ..full() });
    let long = Client::new(1).with_id(&[5; 200]);
    let offer = lab.ask(&long.discover()).unwrap();
    assert!(offer.raw.len() <= 14 + 576);
    assert!(offer.option(OptionCode::DomainName).is_none() && offer.option(OptionCode::Router).is_some());
    let offer = lab.ask(&long.with_option(DhcpOption::MaxMessageSize(1_400)).discover()).unwrap();
    assert_eq!(offer.option(OptionCode::DomainName), Some(&DhcpOption::DomainName(domain)));
    let tiny = Client::new(2).with_option(DhcpOption::MaxMessageSize(10));
    assert!(lab.ask(&tiny.discover()).unwrap().option(OptionCode::Router).is_some());
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let reserve =
        |last| Reservation { client: ReservedFor::Mac(Client::new(last).mac), address: ip(last as u8) };
    let cases = [
        (RawConfig { mac: MacAddr::BROADCAST, ..full() }, ConfigError::InterfaceMac),
        (RawConfig { host: host("192.168.137.0/24"), ..full() }, ConfigError::HostAddress),
        (RawConfig { host: host("192.168.137.1/31"), ..full() }, ConfigError::HostAddress),
        (RawConfig { first: ip(9), last: ip(8), ..full() }, ConfigError::Pool),
        (RawConfig { first: ip(1), last: ip(1), ..full() }, ConfigError::Pool),
        (RawConfig { last: ip(255), ..full() }, ConfigError::Pool),
        (RawConfig { last: Ipv4Addr::new(192, 168, 138, 9), ..full() }, ConfigError::Pool),
        (RawConfig { lease: Duration::from_secs(1), ..full() }, ConfigError::Duration),
        (RawConfig { mtu: Some(60), ..full() }, ConfigError::Option),
        (RawConfig { domain: Some("a..b".into()), ..full() }, ConfigError::Option),
        (RawConfig { domain: Some("a b".into()), ..full() }, ConfigError::Option),
        (RawConfig { dns: vec![SERVER; 9], ..full() }, ConfigError::Option),
        (RawConfig { reservations: vec![reserve(1)], ..full() }, ConfigError::Reservation),
        (RawConfig { reservations: vec![reserve(5), reserve(5)], ..full() }, ConfigError::Reservation),
        (
            RawConfig { limits: hn_dhcp4::Limits { offers: 0, ..Default::default() }, ..full() },
            ConfigError::Limit,
        ),
    ];
    for (raw, expected) in cases {
        assert_eq!(Config::new(raw.clone()), Err(expected), "{raw:?}");
    }
    assert!(Config::new(full()).is_ok());
}
