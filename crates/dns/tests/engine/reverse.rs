use std::net::Ipv4Addr;

use hickory_proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};

use crate::world::*;

fn pointer(world: &mut World, asked: &str) -> String {
    let reply = world.reply(&query(asked, RecordType::PTR));
    match &reply.answers[0].data {
        RData::PTR(target) => target.0.to_ascii(),
        other => panic!("{other:?}"),
    }
}

fn missing(world: &mut World, asked: &str) {
    let reply = world.reply(&query(asked, RecordType::PTR));
    assert_eq!(code(&reply), ResponseCode::NXDomain, "{asked}");
    let zone = &reply.authorities[0].name;
    assert!(zone.zone_of(&name(asked)), "{zone} is above {asked}");
}

#[test]
fn addresses_of_the_subnet_have_names_and_never_leave() {
    let mut world = World::new();
    world.forwarder.set_name("phone", Ipv4Addr::new(192, 168, 137, 20)).unwrap();
    assert_eq!(pointer(&mut world, "20.137.168.192.in-addr.arpa"), "phone.mshome.net.");
    assert_eq!(pointer(&mut world, "1.137.168.192.IN-ADDR.ARPA"), "laptop.mshome.net.");
    for asked in [
        "21.137.168.192.in-addr.arpa",
        "b._dns-sd._udp.0.137.168.192.in-addr.arpa",
        "x.137.168.192.in-addr.arpa",
        "020.137.168.192.in-addr.arpa",
        "999.137.168.192.in-addr.arpa",
    ] {
        missing(&mut world, asked);
    }
    let apex = world.reply(&query("137.168.192.in-addr.arpa", RecordType::SOA));
    assert_eq!(apex.answers[0].record_type(), RecordType::SOA);
    let empty = world.reply(&query("20.137.168.192.in-addr.arpa", RecordType::A));
    assert_eq!((code(&empty), empty.answers.len()), (ResponseCode::NoError, 0));
}

#[test]
fn other_addresses_are_for_the_resolvers() {
    let mut world = World::new();
    for asked in [
        "1.138.168.192.in-addr.arpa",
        "8.8.8.8.in-addr.arpa",
        "168.192.in-addr.arpa",
        "1.0.0.10.in-addr.arpa",
        "1.0.0.0.ip6.arpa",
    ] {
        world.ask(&query(asked, RecordType::PTR));
    }
}

#[test]
fn subnets_of_any_length_know_their_own() {
    let mut narrow = config();
    narrow.address = "10.1.2.17/28".parse().unwrap();
    let mut world = World::with(narrow, &[UPSTREAM]);
    assert_eq!(pointer(&mut world, "17.2.1.10.in-addr.arpa"), "laptop.mshome.net.");
    missing(&mut world, "18.2.1.10.in-addr.arpa");
    world.ask(&query("33.2.1.10.in-addr.arpa", RecordType::PTR));
    world.ask(&query("2.1.10.in-addr.arpa", RecordType::SOA));

    let mut wide = config();
    wide.address = "10.1.16.1/20".parse().unwrap();
    let mut world = World::with(wide, &[UPSTREAM]);
    assert_eq!(pointer(&mut world, "1.16.1.10.in-addr.arpa"), "laptop.mshome.net.");
    missing(&mut world, "9.31.1.10.in-addr.arpa");
    world.ask(&query("9.32.1.10.in-addr.arpa", RecordType::PTR));
}
