//! The laboratory proves itself without the programs under test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::firewall::OwnedTable;
use hn_testlab::internet::{self, Internet};
use hn_testlab::ns::{self, Namespace};
use hn_testlab::state::SystemState;
use hn_testlab::{Tier, require};

#[test]
fn a_namespace_is_gone_with_its_processes_when_it_is_dropped() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("short").unwrap();
    let name = place.name().unwrap().to_owned();
    let mut sleeper = hn_testlab::command::Background::spawn(place.command("sleep").arg("1000")).unwrap();
    hn_testlab::wait::holds("the sleeper inside", hn_testlab::command::SHORT, || {
        Ok(place.processes()?.contains(&sleeper.pid()))
    })
    .unwrap();
    drop(place);
    assert!(!std::path::Path::new("/run/netns").join(&name).exists());
    sleeper.await_end(hn_testlab::command::SHORT).unwrap();
}

#[test]
fn every_kind_of_change_is_seen_in_a_picture_and_gone_when_undone() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("picture").unwrap();
    let other = Namespace::new("other").unwrap();
    ns::cable((&place, "d0"), (&other, "d1")).unwrap();
    ns::await_ready(&place, "d0").unwrap();
    let before = SystemState::capture(&place, &[]).unwrap();
    assert!(before.diff(&SystemState::capture(&place, &[]).unwrap()).is_empty(), "an idle machine changes");
    for (section, change, undo) in [
        ("ip addr", "ip addr add 10.9.9.1/32 dev d0", "ip addr del 10.9.9.1/32 dev d0"),
        ("ip link", "ip link set d0 mtu 1400", "ip link set d0 mtu 1500"),
        ("ip route", "ip route add 10.8.0.0/16 dev d0 table 77", "ip route del 10.8.0.0/16 dev d0 table 77"),
        ("ip rule", "ip rule add fwmark 5 table 77", "ip rule del fwmark 5 table 77"),
        ("nft list ruleset", "nft add table inet other", "nft delete table inet other"),
        (
            "sysctl net",
            "sysctl -qw net.ipv4.conf.d0.forwarding=1",
            "sysctl -qw net.ipv4.conf.d0.forwarding=0",
        ),
        ("tc qdisc", "tc qdisc add dev d0 root pfifo", "tc qdisc del dev d0 root"),
    ] {
        place.run(change).unwrap();
        let difference = before.diff(&SystemState::capture(&place, &[]).unwrap());
        let sections: Vec<_> = difference.new.iter().chain(&difference.gone).map(|(name, _)| *name).collect();
        assert!(sections.contains(&section), "{change} is not seen in {section}: {difference}");
        place.run(undo).unwrap();
        let difference = before.diff(&SystemState::capture(&place, &[]).unwrap());
        assert!(difference.is_empty(), "after {undo}: {difference}");
    }
    let _sleeper = hn_testlab::command::Background::spawn(place.command("sleep").arg("1000")).unwrap();
    hn_testlab::wait::holds("the new process to be seen", hn_testlab::command::SHORT, || {
        let difference = before.diff(&SystemState::capture(&place, &[])?);
        Ok(difference
            .new
            .iter()
            .any(|(section, line)| *section == "processes" && line.contains("sleep 1000")))
    })
    .unwrap();
}

#[test]
fn the_internet_answers_who_is_routed_and_writes_down_who_came() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Namespace::new("machine").unwrap();
    let internet = Internet::attach(&mut machine, "wan0").unwrap();
    let page = machine.run(&format!("curl -sS --max-time 10 http://{}/hello", internet::WEB_NAME)).unwrap();
    assert_eq!(page.stdout, format!("Hello from the Internet, {}\n", internet::UPLINK));
    assert_eq!(internet.visits().len(), 1);
    assert_eq!(internet.visits()[0].path, "/hello");
    let long =
        machine.run(&format!("dig +short @{} -t TXT {}", internet::RESOLVER, internet::LONG_NAME)).unwrap();
    assert!(long.stdout.len() > 2000);
    let missing = machine.run(&format!("dig @{} {}", internet::RESOLVER, internet::NO_NAME)).unwrap();
    assert!(missing.stdout.contains("NXDOMAIN"), "{}", missing.stdout);
    assert!(internet.questions().contains("query[A]"), "{}", internet.questions());
}

#[test]
fn an_owned_table_cannot_be_changed_by_others_and_goes_with_its_owner() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("owner").unwrap();
    let owner = OwnedTable::take(&place).unwrap();
    let refused = place.attempt("nft add chain inet hostednet c").unwrap();
    assert!(!refused.status.success(), "the kernel lets anybody change an owned table");
    owner.release(&place).unwrap();
    place.run("nft add table inet hostednet").unwrap();
}

#[test]
fn two_namespaces_of_one_test_do_not_meet_until_they_are_cabled() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let (left, right) = (Namespace::new("left").unwrap(), Namespace::new("right").unwrap());
    ns::cable((&left, "west"), (&right, "east")).unwrap();
    left.ip("addr add 10.1.1.1/24 dev west").unwrap();
    right.ip("addr add 10.1.1.2/24 dev east").unwrap();
    left.run("ping -n -c 1 -W 5 10.1.1.2").unwrap();
    assert_ne!(left.mac("west").unwrap(), right.mac("east").unwrap());
}
