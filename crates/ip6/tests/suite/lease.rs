//! The DHCPv6 server by the life of a lease (RFC 8415 §18).

use std::{collections::BTreeSet, time::Duration};

use dhcproto::{
    Name,
    v6::{DhcpOption, DhcpOptions, IAPD, IATA, MessageType, ORO, OptionCode, Status, UnknownOption},
};
use hn_ip6::{Event, Limits, RawConfig, Uplink};
use hn_types::Subnet6;

use crate::lab::*;

fn network() -> Subnet6 {
    full().host
}

#[test]
fn four_messages_give_an_address_a_resolver_and_a_domain() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.solicit()).unwrap();
    assert_eq!(lab.server.leases().count(), 0, "an offer stores nothing");
    let address = address(&offer).unwrap();
    assert!(network().contains(address) && address != network().address());
    let reply = lab.ask(&client.request(address)).unwrap();
    for message in [&offer, &reply] {
        assert_eq!(message.xid(), [1, 2, 3]);
        let option = |code| message.opts().get(code);
        assert_eq!(option(OptionCode::ClientId), Some(&DhcpOption::ClientId(client.duid.clone())));
        let dns = DhcpOption::DomainNameServers(vec![network().address()]);
        assert_eq!(option(OptionCode::DomainNameServers), Some(&dns));
        let domain = "mshome.net.".parse::<Name>().unwrap();
        assert_eq!(option(OptionCode::DomainSearchList), Some(&DhcpOption::DomainSearchList(vec![domain])));
        let Some(DhcpOption::IANA(ia)) = option(OptionCode::IANA) else { panic!("{message:?}") };
        assert_eq!((ia.id, ia.t1, ia.t2), (1, 21_600, 34_560));
        let Some(DhcpOption::IAAddr(given)) = ia.opts.get(OptionCode::IAAddr) else { panic!("{ia:?}") };
        assert_eq!((given.addr, given.preferred_life, given.valid_life), (address, 43_200, 86_400));
    }
    assert_eq!(offer.opts().get(OptionCode::Preference), Some(&DhcpOption::Preference(255)));
    assert_eq!(reply.opts().get(OptionCode::Preference), None);
    let lease = lab.server.leases().next().unwrap();
    assert_eq!((lease.address, lease.mac), (address, client.mac));
    assert_eq!(lease.expires.since(lab.now.wall), Duration::from_secs(86_400));
}

#[test]
fn answers_go_to_the_hardware_address_that_asked() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let outs = lab.send(&client.solicit());
    let [Out::Reply { mac, to, .. }] = outs.as_slice() else { panic!("{outs:?}") };
    assert_eq!((*mac, *to), (client.mac, client.address()));
}

#[test]
fn rapid_commit_takes_two_messages() {
    let mut lab = Lab::new(full());
    let outs = lab.send(&Client::new(1).with(DhcpOption::RapidCommit).solicit());
    let [Out::Event(Event::LeaseBound { lease, renewed: false }), Out::Reply { message, .. }] =
        outs.as_slice()
    else {
        panic!("{outs:?}")
    };
    assert_eq!(message.msg_type(), MessageType::Reply);
    assert_eq!(message.opts().get(OptionCode::RapidCommit), Some(&DhcpOption::RapidCommit));
    assert_eq!(address(message), Some(lease.address));
}

#[test]
fn only_what_is_asked_for_comes() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with(DhcpOption::ORO(ORO { opts: vec![OptionCode::DomainNameServers] }));
    let offer = lab.ask(&client.solicit()).unwrap();
    assert!(offer.opts().get(OptionCode::DomainNameServers).is_some());
    assert!(offer.opts().get(OptionCode::DomainSearchList).is_none());
}

#[test]
fn information_without_an_address_is_given_to_anybody() {
    let mut lab = Lab::new(full());
    let nameless = Client { duid: vec![], ..Client::new(1) };
    for client in [nameless, Client::new(2)] {
        for server in [false, true] {
            let reply = lab.ask(&client.frame(MessageType::InformationRequest, server, None)).unwrap();
            assert_eq!(reply.msg_type(), MessageType::Reply);
            let dns = DhcpOption::DomainNameServers(vec![network().address()]);
            assert_eq!(reply.opts().get(OptionCode::DomainNameServers), Some(&dns));
            assert_eq!(reply.opts().get(OptionCode::ClientId).is_some(), !client.duid.is_empty());
        }
    }
    assert_eq!(lab.server.leases().count(), 0);
}

#[test]
fn renew_and_rebind_prolong() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let held = lab.acquire(&client);
    for frame in [client.renew(held), client.rebind(held)] {
        lab.pass(Duration::from_secs(40_000));
        let reply = lab.ask(&frame).unwrap();
        assert_eq!(addresses(&reply), [(held, 86_400)]);
        let lease = lab.server.leases().next().unwrap();
        assert_eq!(lease.expires.since(lab.now.wall), Duration::from_secs(86_400));
    }
    assert_eq!((lab.server.counters().bound, lab.server.counters().renewed), (1, 2));
}

#[test]
fn a_server_that_forgot_everything_gives_everybody_the_same_address_again() {
    let mut lab = Lab::new(patient());
    let held: Vec<_> = (0..200).map(|n| lab.acquire(&Client::new(n))).collect();
    assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), 200);
    let mut again = Lab::at(patient(), lab.now);
    for (n, address) in held.iter().enumerate().rev() {
        let client = Client::new(n as u16);
        let reply = again.ask(&client.renew(*address)).unwrap();
        assert_eq!(addresses(&reply), [(*address, 86_400)]);
    }
    let mut other = Lab::at(RawConfig { address_key: 1, ..patient() }, lab.now);
    assert_ne!(other.acquire(&Client::new(0)), held[0], "the key decides");
}

#[test]
fn each_association_has_an_address_of_its_own() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let second = Client { iaid: 2, ..client.clone() };
    let frame = client.clone().with(second.association(&[])).frame(MessageType::Solicit, false, Some(&[]));
    let offer = lab.ask(&frame).unwrap();
    let all = offer.opts().get_all(OptionCode::IANA).unwrap();
    assert_eq!(all.len(), 2);
    assert_ne!(lab.acquire(&client), lab.acquire(&second));
}

#[test]
fn a_device_has_at_most_so_many_leases_and_is_told() {
    let limits = Limits { leases_per_device: 2, ..patient().limits };
    let mut lab = Lab::new(RawConfig { limits, ..full() });
    let client = |iaid| Client { iaid, ..Client::new(1) };
    let held = lab.acquire(&client(1));
    lab.acquire(&client(2));
    let refused = lab.ask(&client(3).solicit()).unwrap();
    assert_eq!((address(&refused), ia_status(&refused)), (None, Some(Status::NoAddrsAvail)));
    assert_eq!(lab.acquire(&client(1)), held, "what it has, it keeps");
    lab.send(&client(1).release(held));
    lab.acquire(&client(3));
    assert_eq!(lab.server.counters().refused, 1);
}

#[test]
fn temporary_addresses_and_prefixes_are_refused_by_name() {
    let mut lab = Lab::new(full());
    let prefix = IAPD { id: 5, t1: 0, t2: 0, opts: DhcpOptions::new() };
    let client = Client::new(1)
        .with(DhcpOption::IATA(IATA { id: 4, opts: DhcpOptions::new() }))
        .with(DhcpOption::IAPD(prefix));
    let offer = lab.ask(&client.solicit()).unwrap();
    assert!(address(&offer).is_some());
    let Some(DhcpOption::IATA(temporary)) = offer.opts().get(OptionCode::IATA) else { panic!("{offer:?}") };
    assert_eq!((temporary.id, status(&temporary.opts)), (4, Some(Status::NoAddrsAvail)));
    let Some(DhcpOption::IAPD(prefix)) = offer.opts().get(OptionCode::IAPD) else { panic!("{offer:?}") };
    assert_eq!((prefix.id, status(&prefix.opts)), (5, Some(Status::NoPrefixAvail)));
}

#[test]
fn an_address_of_another_network_is_refused_or_taken_away() {
    let mut lab = Lab::new(full());
    let (client, foreign) = (Client::new(1), ip("2001:db8::7"));
    assert_eq!(ia_status(&lab.ask(&client.request(foreign)).unwrap()), Some(Status::NotOnLink));
    assert_eq!(lab.server.leases().count(), 0);
    let reply = lab.ask(&client.renew(foreign)).unwrap();
    let own = address(&reply).unwrap();
    assert_eq!(addresses(&reply), [(own, 86_400), (foreign, 0)]);
}

#[test]
fn confirm_says_whether_addresses_fit_this_link() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let held = lab.acquire(&client);
    let ask = |lab: &mut Lab, address| status(lab.ask(&client.confirm(address)).unwrap().opts());
    assert_eq!(ask(&mut lab, held), Some(Status::Success));
    assert_eq!(ask(&mut lab, ip("2001:db8::7")), Some(Status::NotOnLink));
    assert!(lab.ask(&client.frame(MessageType::Confirm, false, Some(&[]))).is_none());
    assert_eq!(lab.counted(), [("nothing", 1)]);
}

#[test]
fn a_released_lease_ends_and_is_only_released_by_its_holder() {
    let mut lab = Lab::new(full());
    let (client, other) = (Client::new(1), Client::new(2));
    let held = lab.acquire(&client);
    let stranger = lab.ask(&other.release(held)).unwrap();
    assert_eq!(ia_status(&stranger), Some(Status::NoBinding));
    // Neither with the right identifier from another place.
    let spoofed = Client { mac: other.mac, ..client.clone() };
    assert_eq!(ia_status(&lab.ask(&spoofed.release(held)).unwrap()), Some(Status::NoBinding));
    assert_eq!(lab.server.leases().count(), 1);
    let outs = lab.send(&client.release(held));
    let [Out::Event(Event::LeaseEnded { address, mac }), Out::Reply { message, .. }] = outs.as_slice() else {
        panic!("{outs:?}")
    };
    assert_eq!((*address, *mac), (held, client.mac));
    assert_eq!(status(message.opts()), Some(Status::Success));
    assert_eq!(lab.server.leases().count(), 0);
}

#[test]
fn a_declined_address_is_not_given_again_for_an_hour() {
    let mut lab = Lab::new(full());
    let client = Client::new(1);
    let held = lab.acquire(&client);
    lab.send(&client.decline(held));
    let next = lab.acquire(&client);
    assert_ne!(next, held);
    lab.pass(Duration::from_secs(3_700));
    // It stays where it is; a newcomer would find the first place free again.
    assert_eq!(lab.acquire(&client), next);
    lab.send(&client.release(next));
    assert_eq!(lab.acquire(&client), held);
}

#[test]
fn a_lease_runs_out_and_is_said_to() {
    let mut lab = Lab::new(full());
    let held = lab.acquire(&Client::new(1));
    let outs = lab.pass(Duration::from_secs(86_401));
    let ended: Vec<_> = outs.into_iter().filter(|(_, out)| matches!(out, Out::Event(_))).collect();
    let [(at, Out::Event(Event::LeaseEnded { address, .. }))] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((*address, at.as_secs()), (held, 86_400));
    assert_eq!((lab.server.leases().count(), lab.server.counters().expired), (0, 1));
}

#[test]
fn a_full_table_forgets_what_ends_first_and_its_client_loses_nothing() {
    let limits = Limits { leases: 10, ..patient().limits };
    let mut lab = Lab::new(RawConfig { limits, ..full() });
    let held: Vec<_> = (0..10)
        .map(|n| {
            lab.pass(Duration::from_secs(1));
            lab.acquire(&Client::new(n))
        })
        .collect();
    let outs = lab.send(&Client::new(100).with(DhcpOption::RapidCommit).solicit());
    let ended = outs.iter().find_map(|out| match out {
        Out::Event(Event::LeaseEnded { address, .. }) => Some(*address),
        Out::Advert { .. } | Out::Reply { .. } | Out::Neighbour(_) | Out::Uplink(_) | Out::Event(_) => None,
    });
    assert_eq!(ended, Some(held[0]));
    assert_eq!((lab.server.leases().count(), lab.server.counters().forgotten), (10, 1));
    assert_eq!(addresses(&lab.ask(&Client::new(0).renew(held[0])).unwrap()), [(held[0], 86_400)]);
}

#[test]
fn a_client_may_say_its_name() {
    let mut lab = Lab::new(full());
    let named = |name: &[u8]| {
        let data = [&[1], name].concat();
        Client::new(1).with(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(39), data)))
    };
    for (name, expected) in [
        (&b"\x05Phone\x03lan\x00"[..], "phone"),
        (b"\x05phone", "phone"),
        (b"\x09phone", "phone"),
        (b"\x05pho e", "phone"),
        (b"\x06-phone", "phone"),
        (b"\x00", "phone"),
        (b"\x03new", "new"),
    ] {
        lab.send(&named(name).with(DhcpOption::RapidCommit).solicit());
        // A name that is none leaves the one before.
        assert_eq!(lab.server.leases().next().unwrap().hostname, expected);
    }
}

#[test]
fn a_question_by_unicast_is_sent_back_to_multicast_or_dropped() {
    let mut lab = Lab::new(full());
    let held = lab.acquire(&Client::new(1));
    let client = Client { to: network().address(), ..Client::new(1) };
    for frame in [client.request(held), client.renew(held), client.release(held), client.decline(held)] {
        let reply = lab.ask(&frame).unwrap();
        assert_eq!(status(reply.opts()), Some(Status::UseMulticast));
        assert!(reply.opts().get(OptionCode::IANA).is_none());
    }
    for frame in [client.solicit(), client.confirm(held), client.rebind(held)] {
        assert!(lab.send(&frame).is_empty());
    }
    assert!(lab.send(&client.frame(MessageType::InformationRequest, false, None)).is_empty());
    assert_eq!(lab.counted(), [("unicast", 4)]);
    assert_eq!(lab.server.leases().count(), 1);
}

#[test]
fn leases_outlive_a_change_of_the_way_out() {
    let mut lab = Lab::new(full());
    let held = lab.acquire(&Client::new(1));
    lab.server.set_uplink(Uplink::default(), lab.now);
    assert_eq!(addresses(&lab.ask(&Client::new(1).renew(held)).unwrap()), [(held, 86_400)]);
}
