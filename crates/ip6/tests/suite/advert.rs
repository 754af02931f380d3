//! Router Advertisements: what they say, and when (RFC 4861 §6.2, RFC 8106).

use std::{collections::BTreeSet, time::Duration};

use hn_ip6::{Config, ConfigError, Limits, RawConfig, Uplink};
use hn_types::MacAddr;

use crate::lab::*;

const SECOND: Duration = Duration::from_secs(1);

fn first(raw: RawConfig) -> Advert {
    Lab::new(raw).adverts(Duration::ZERO).remove(0).2
}

#[test]
fn an_advertisement_names_router_prefix_resolver_and_domain() {
    let advert = first(full());
    assert_eq!((advert.hop_limit, advert.flags, advert.router), (64, 0xc0, 1_800));
    assert_eq!(advert.mac.as_deref(), Some(&SERVER_MAC.0[..]));
    assert_eq!(advert.prefix, Some((64, 0xc0, 86_400, 14_400, ip("fd12:3456:789a:1::"))));
    assert_eq!(advert.rdnss, Some((1_800, ip("fd12:3456:789a:1::1"))));
    let (lifetime, name) = advert.dnssl.unwrap();
    assert_eq!((lifetime, name.as_slice()), (1_800, &b"\x06mshome\x03net\0\0\0\0\0"[..]));
    assert_eq!(advert.mtu, None);
}

#[test]
fn without_a_way_out_there_is_no_default_route_and_everything_else_stays() {
    let here = first(full());
    let nowhere = first(RawConfig { uplink: Uplink::default(), ..full() });
    assert_eq!(nowhere, Advert { router: 0, ..here });
}

#[test]
fn what_is_not_configured_is_not_announced() {
    let uplink = Uplink { router: true, mtu: Some(1_420), ..Uplink::default() };
    let advert = first(RawConfig { dns: false, domain: None, uplink, ..full() });
    assert_eq!((advert.rdnss, advert.dnssl, advert.mtu), (None, None, Some(1_420)));
}

#[test]
fn the_first_three_leave_quickly_and_later_ones_between_200_and_600_seconds_apart() {
    let mut lab = Lab::new(full());
    let adverts = lab.adverts(Duration::from_secs(40_000));
    assert!(adverts.iter().all(|(_, to, _)| *to == ip(ALL_NODES)));
    let times: Vec<_> = adverts.iter().map(|(at, ..)| *at).collect();
    assert_eq!(times[..3], [Duration::ZERO, 16 * SECOND, 32 * SECOND]);
    let gaps: Vec<_> = times[2..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.iter().all(|gap| (200..=600).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().collect::<BTreeSet<_>>().len() > gaps.len() / 2, "they are drawn: {gaps:?}");
}

#[test]
fn a_solicitation_is_answered_to_the_device_within_half_a_second() {
    let mut lab = Lab::new(full());
    lab.adverts(100 * SECOND);
    let mut delays = BTreeSet::new();
    for n in 0..20 {
        let client = Client::new(n);
        assert!(lab.send(&client.solicitation()).is_empty());
        let answers = lab.pass(SECOND);
        let [(delay, Out::Advert { mac, to, advert })] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((*mac, *to), (client.mac, client.address()));
        assert!(*delay <= Duration::from_millis(500) && advert.router == 1_800);
        delays.insert(*delay);
    }
    assert!(delays.len() > 10, "{delays:?}");
}

#[test]
fn repeated_solicitations_get_one_answer() {
    let mut lab = Lab::new(full());
    lab.adverts(100 * SECOND);
    for _ in 0..5 {
        lab.send(&Client::new(1).solicitation());
    }
    assert_eq!(lab.adverts(SECOND).len(), 1);
}

#[test]
fn devices_without_an_address_are_answered_together_and_not_more_often_than_every_three_seconds() {
    let mut lab = Lab::new(full());
    lab.adverts(100 * SECOND);
    let mut times = vec![];
    for n in 0..400_u32 {
        let mac = Client::new(n as u16).mac;
        lab.send(&icmp(mac, ip("::"), ip(ALL_ROUTERS), 255, &[133, 0, 0, 0, 0, 0, 0, 0]));
        for (at, to, _) in lab.adverts(SECOND / 10) {
            assert_eq!(to, ip(ALL_NODES));
            times.push(SECOND / 10 * n + at);
        }
    }
    assert!((10..=14).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 3 * SECOND), "{times:?}");
}

#[test]
fn more_askers_than_the_limit_are_answered_by_one_for_everybody() {
    let limits = Limits { solicited: 4, ..Limits::default() };
    let mut lab = Lab::new(RawConfig { limits, ..full() });
    lab.adverts(100 * SECOND);
    for n in 0..30 {
        lab.send(&Client::new(n).solicitation());
    }
    let adverts = lab.adverts(SECOND);
    let everybody = adverts.iter().filter(|(_, to, _)| *to == ip(ALL_NODES)).count();
    assert!(everybody == 1 && adverts.len() <= 5, "{adverts:?}");
}

#[test]
fn a_changed_way_out_is_told_at_once_and_again() {
    let mut lab = Lab::new(full());
    lab.adverts(100 * SECOND);
    lab.server.set_uplink(Uplink { router: true, mtu: None, ..Uplink::default() }, lab.now);
    assert!(lab.adverts(SECOND).is_empty(), "nothing changed");
    lab.server.set_uplink(Uplink { router: false, mtu: Some(1_400), ..Uplink::default() }, lab.now);
    let told = lab.adverts(40 * SECOND);
    assert_eq!(told.iter().map(|(at, ..)| at.as_secs()).collect::<Vec<_>>(), [0, 16, 32]);
    assert!(told.iter().all(|(_, _, advert)| advert.router == 0 && advert.mtu == Some(1_400)));
    // Back and forth is no flood.
    for n in 0..100 {
        lab.server.set_uplink(Uplink { router: n % 2 == 0, mtu: None, ..Uplink::default() }, lab.now);
        lab.adverts(SECOND / 10);
    }
    assert!(lab.server.counters().advertisements < 15);
}

#[test]
fn the_last_advertisement_takes_everything_back_and_nothing_is_answered_after_it() {
    let mut lab = Lab::new(full());
    lab.adverts(100 * SECOND);
    lab.send(&Client::new(1).solicitation());
    lab.server.stop(lab.now);
    let outs = lab.drain();
    let [Out::Advert { to, advert, .. }] = outs.as_slice() else { panic!("{outs:?}") };
    assert_eq!((*to, advert.router), (ip(ALL_NODES), 0));
    assert_eq!(advert.prefix.map(|(_, _, valid, preferred, _)| (valid, preferred)), Some((7_200, 0)));
    assert_eq!(advert.rdnss.map(|(lifetime, _)| lifetime), Some(0));
    assert_eq!(advert.dnssl.as_ref().map(|(lifetime, _)| *lifetime), Some(0));
    lab.server.stop(lab.now);
    assert!(lab.drain().is_empty());
    assert!(lab.pass(2_000 * SECOND).is_empty());
    assert!(lab.send(&Client::new(2).solicit()).is_empty());
    assert_eq!(lab.counted(), [("stopped", 1)]);
}

#[test]
fn what_cannot_be_served_is_refused() {
    let refused = |raw: RawConfig| Config::new(raw).err();
    assert_eq!(refused(full()), None);
    let bad = ConfigError::InterfaceMac;
    assert_eq!(refused(RawConfig { mac: MacAddr::ZERO, ..full() }), Some(bad));
    assert_eq!(refused(RawConfig { mac: MacAddr::BROADCAST, ..full() }), Some(bad));
    assert_eq!(refused(RawConfig { link_local: ip("fd00::1"), ..full() }), Some(ConfigError::LinkLocal));
    for host in ["fd00::1/65", "fd00::/64", "ff02::1/64", "fe80::1/64", "::1/64"] {
        let raw = RawConfig { host: host.parse().unwrap(), ..full() };
        assert_eq!(refused(raw), Some(ConfigError::HostAddress), "{host}");
    }
    for domain in ["", ".", "a..b", "-a", "a b", &"a.".repeat(150)] {
        let raw = RawConfig { domain: Some(domain.into()), ..full() };
        assert_eq!(refused(raw), Some(ConfigError::Domain), "{domain}");
    }
    let uplink = Uplink { router: true, mtu: Some(1_279), ..Uplink::default() };
    assert_eq!(refused(RawConfig { uplink, ..full() }), Some(ConfigError::Mtu));
    let mut raw = full();
    raw.lifetimes.prefix_preferred = raw.lifetimes.prefix_valid + SECOND;
    assert_eq!(refused(raw), Some(ConfigError::Lifetime));
    let mut raw = full();
    raw.limits.outputs = 15;
    assert_eq!(refused(raw), Some(ConfigError::Limit));
}
