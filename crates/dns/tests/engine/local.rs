use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Edns, OpCode, ResponseCode},
    rr::{DNSClass, RData, RecordType},
};
use hn_dns::NameError;

use crate::world::*;

fn lease(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 137, host)
}

#[test]
fn names_of_leases_and_of_this_host_are_answered_without_a_resolver() {
    let mut world = World::with(config(), &[]);
    assert_eq!(world.forwarder.set_name("Anna's Phone", lease(20)), Ok("anna-s-phone"));
    for (asked, address) in [
        ("anna-s-phone.mshome.net", lease(20)),
        ("ANNA-S-PHONE.MSHOME.NET", lease(20)),
        ("anna-s-phone", lease(20)),
        ("laptop.mshome.net", lease(1)),
        ("laptop", lease(1)),
        ("mshome.net", lease(1)),
    ] {
        let reply = world.reply(&query(asked, RecordType::A));
        assert_eq!(addresses(&reply), [address], "{asked}");
        assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
        assert_eq!(reply.answers[0].name, name(asked));
    }
    for asked in ["anna-s-phone.mshome.net", "anna-s-phone", "mshome.net"] {
        let empty = world.reply(&query(asked, RecordType::AAAA));
        assert_eq!((code(&empty), empty.answers.len()), (ResponseCode::NoError, 0), "{asked}");
        assert_eq!(empty.authorities[0].record_type(), RecordType::SOA);
    }
    assert!(world.forwarder.remove_name(lease(20)));
    let gone = world.reply(&query("anna-s-phone.mshome.net", RecordType::A));
    assert_eq!(code(&gone), ResponseCode::NXDomain);
}

#[test]
fn unknown_names_of_the_local_domain_never_leave() {
    let mut world = World::new();
    for asked in ["nobody.mshome.net", "a.b.mshome.net", "lb._dns-sd._udp.mshome.net"] {
        let reply = world.reply(&query(asked, RecordType::A));
        assert_eq!(code(&reply), ResponseCode::NXDomain);
        assert_eq!(reply.authorities[0].name, name("mshome.net"));
    }
    world.ask(&query("nobody", RecordType::A));
    world.ask(&query("xmshome.net", RecordType::A));
    world.ask(&query("net", RecordType::NS));
    world.ask(&query(".", RecordType::NS));
}

#[test]
fn a_device_named_like_a_top_level_domain_takes_nothing_but_its_bare_address() {
    let mut world = World::new();
    world.forwarder.set_name("com", lease(20)).unwrap();
    assert_eq!(addresses(&world.reply(&query("com", RecordType::A))), [lease(20)]);
    for kind in [RecordType::NS, RecordType::DS, RecordType::SOA] {
        world.ask(&query("com", kind));
    }
    world.ask(&query("example.com", RecordType::A));
}

#[test]
fn the_zone_has_an_authority() {
    let mut world = World::with(config(), &[]);
    let reply = world.reply(&query("mshome.net", RecordType::SOA));
    let RData::SOA(soa) = &reply.answers[0].data else { panic!("{reply:?}") };
    assert_eq!(soa.mname, name("laptop.mshome.net"));
    let serial = soa.serial;
    world.forwarder.set_name("phone", lease(9)).unwrap();
    let reply = world.reply(&query("mshome.net", RecordType::SOA));
    let RData::SOA(soa) = &reply.answers[0].data else { panic!("{reply:?}") };
    assert!(soa.serial > serial);
    let reply = world.reply(&query("mshome.net", RecordType::NS));
    let RData::NS(server) = &reply.answers[0].data else { panic!("{reply:?}") };
    assert_eq!(server.0, name("laptop.mshome.net"));
}

#[test]
fn the_first_holder_keeps_a_name() {
    let mut world = World::new();
    let forwarder = &mut world.forwarder;
    assert_eq!(forwarder.set_name("android", lease(10)), Ok("android"));
    assert_eq!(forwarder.set_name("Android", lease(11)), Ok("android-2"));
    assert_eq!(forwarder.set_name("ANDROID.lan", lease(12)), Ok("android-3"));
    assert_eq!(forwarder.set_name("android", lease(11)), Ok("android-2"));
    assert!(forwarder.remove_name(lease(10)));
    assert_eq!(forwarder.set_name("android", lease(11)), Ok("android-2"), "a held name is stable");
    assert_eq!(forwarder.set_name("android", lease(13)), Ok("android"));
    assert_eq!(forwarder.set_name("laptop", lease(14)), Ok("laptop-2"), "this host's name is taken");
    assert_eq!(forwarder.set_name("other", lease(13)), Ok("other"));
    assert_eq!(forwarder.set_name("android", lease(15)), Ok("android"));
    let long = "x".repeat(80);
    assert_eq!(forwarder.set_name(&long, lease(16)).map(str::len), Ok(63));
    assert_eq!(forwarder.set_name(&long, lease(17)), Ok(format!("{}-2", "x".repeat(61)).as_str()));
}

#[test]
fn names_that_would_deceive_or_cannot_be_are_refused() {
    let mut small = config();
    small.max_names = 2;
    let mut world = World::with(small, &[]);
    let forwarder = &mut world.forwarder;
    for text in ["wpad", "WPAD.mshome.net", "isatap", "localhost"] {
        assert_eq!(forwarder.set_name(text, lease(9)), Err(NameError::Reserved));
    }
    for text in ["", "...", "\u{2603}", "-"] {
        assert_eq!(forwarder.set_name(text, lease(9)), Err(NameError::NotALabel));
    }
    for address in [lease(0), lease(1), lease(255), Ipv4Addr::new(10, 0, 0, 1)] {
        assert_eq!(forwarder.set_name("phone", address), Err(NameError::Address));
    }
    forwarder.set_name("a", lease(2)).unwrap();
    forwarder.set_name("b", lease(3)).unwrap();
    assert_eq!(forwarder.set_name("c", lease(4)), Err(NameError::Full));
    assert_eq!(forwarder.counters().names_refused, 13);
    assert_eq!(code(&world.reply(&query("wpad.mshome.net", RecordType::A))), ResponseCode::NXDomain);
}

#[test]
fn a_new_host_name_displaces_the_device_that_held_it() {
    let mut world = World::new();
    world.forwarder.set_name("tower", lease(10)).unwrap();
    let mut renamed = config();
    renamed.host_name = "Tower".into();
    renamed.domain = "home.arpa".into();
    world.forwarder.reconfigure(renamed, world.now).unwrap();
    assert_eq!(addresses(&world.reply(&query("tower.home.arpa", RecordType::A))), [lease(1)]);
    assert_eq!(addresses(&world.reply(&query("tower-2.home.arpa", RecordType::A))), [lease(10)]);
    world.ask(&query("tower.mshome.net", RecordType::A));
}

#[test]
fn special_names_are_answered_here() {
    let mut world = World::new();
    for asked in ["localhost", "a.localhost"] {
        assert_eq!(addresses(&world.reply(&query(asked, RecordType::A))), [Ipv4Addr::LOCALHOST]);
        let six = world.reply(&query(asked, RecordType::AAAA));
        assert!(matches!(&six.answers[0].data, RData::AAAA(a) if a.0.is_loopback()));
    }
    for asked in ["x.invalid", "abc.onion"] {
        assert_eq!(code(&world.reply(&query(asked, RecordType::A))), ResponseCode::NXDomain);
    }
}

#[test]
fn any_is_answered_with_one_small_record() {
    let mut world = World::new();
    for asked in ["example.com", "mshome.net", "laptop"] {
        let reply = world.reply(&query(asked, RecordType::ANY));
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(reply.answers[0].record_type(), RecordType::HINFO);
    }
}

#[test]
fn what_a_forwarder_does_not_do_is_refused() {
    let mut world = World::new();
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(code(&world.reply(&query("mshome.net", kind))), ResponseCode::Refused);
    }
    let mut chaos = query("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&world.reply(&chaos)), ResponseCode::Refused);
    let mut snoop = query("example.com", RecordType::A);
    snoop.metadata.recursion_desired = false;
    assert_eq!(code(&world.reply(&snoop)), ResponseCode::Refused);
    let mut local = query("laptop.mshome.net", RecordType::A);
    local.metadata.recursion_desired = false;
    assert_eq!(addresses(&world.reply(&local)), [lease(1)]);
    let mut update = query("mshome.net", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(&world.reply(&update)), ResponseCode::NotImp);
    assert_eq!(world.forwarder.counters().refused, 5);
}

#[test]
fn an_unknown_edns_version_is_named() {
    let mut world = World::new();
    let mut message = query("laptop.mshome.net", RecordType::A);
    let mut future = Edns::new();
    future.set_version(1).set_max_payload(1232);
    message.set_edns(future);
    let reply = world.reply(&message);
    assert_eq!(reply.edns.as_ref().unwrap().version(), 0);
    assert_eq!(u16::from(code(&reply)), 16, "{reply:?}");
}

#[test]
fn without_a_resolver_other_names_fail_at_once_and_say_why() {
    let mut world = World::with(config(), &[]);
    let out = world.query(&edns(query("example.com", RecordType::A), 1232, false));
    let Out::Reply(_, bytes) = &out[0] else { panic!("{out:?}") };
    assert_eq!(bytes[bytes.len() - 6..], [0, 15, 0, 2, 0, 14], "extended error 14, not ready");
    assert_eq!(code(&only_reply(&out)), ResponseCode::ServFail);
    assert_eq!((world.forwarder.cached(), world.forwarder.in_flight()), (0, 0));
}
