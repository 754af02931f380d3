//! Somebody who means ill on the link of the uplink: the clients there go on getting and keeping what the provider gives,
//! and everything that was refused is counted by reason.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv6Addr;
use std::time::Duration;

use hn_testlab::command::Background;
use hn_testlab::product::children;
use hn_testlab::wired::{PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, provider, require, wait};
use rustix::process::{Pid, Signal};

/// What a flood consists of.
const PACKETS: u32 = 20_000;
/// How long sending it takes at most, on a loaded machine.
const FLOOD: Duration = Duration::from_secs(180);
/// What the worker may keep of it.
const GROWTH: u64 = 4 * 1024 * 1024;

/// A provider that speaks IPv6, whose link's prefixes the machine itself does not take: thousands are advertised.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let scene = Wired::prepare().unwrap();
    provider::speak_ipv6(&scene).unwrap();
    scene.router.run(&format!("sysctl -q net.ipv6.conf.{PUBLIC}.accept_ra_pinfo=0")).unwrap();
    Some(scene)
}

/// The one who means ill: see the file.
fn hostile(scene: &Wired, words: &[&str]) -> Background {
    let mut python = scene.internet.place.command("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile_uplink.py")).args(words);
    Background::spawn(&mut python).unwrap()
}

fn share(scene: &mut Wired) {
    provider::await_uplink(scene).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
}

fn workers(scene: &Wired) -> Vec<Pid> {
    children(scene.product.pid().unwrap()).unwrap()
}

/// The memory of all workers, in bytes.
fn memory(workers: &[Pid]) -> u64 {
    let resident = |pid: &Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    workers.iter().map(resident).sum()
}

/// While `flood` lasts, and after it: IPv6 leads by `source` with `prefix` all the time.
fn stays(scene: &Wired, flood: &mut Background, source: &str, prefix: Ipv6Addr) {
    let holds = || {
        let shown = scene.product.field("/sharing/ipv6").unwrap();
        let held = (shown["source"].as_str(), shown["prefix"].as_str().map(str::to_owned));
        assert_eq!(held, (Some(source), Some(format!("{prefix}/64"))), "{shown}\n{}", scene.product.log());
    };
    wait::holds("the flood to be over", FLOOD, || {
        holds();
        Ok(flood.ended()?.is_some())
    })
    .unwrap();
    assert!(flood.log().contains(&format!("sent {PACKETS}")), "{}", flood.log());
    holds();
}

#[test]
fn a_prefix_is_got_and_kept_from_a_real_server_beside_one_that_lies_and_a_flood() {
    let Some(mut scene) = scene() else { return };
    let _radvd = provider::radvd(&scene, false).unwrap();
    let kea = provider::kea(&scene, "2001:db8:100::", true).unwrap();
    let mut liar = hostile(&scene, &["answer", "wan0"]);
    liar.await_log("listens", SETTLE).unwrap();
    share(&mut scene);
    let prefix = provider::await_source(&scene, "delegated").unwrap();
    assert_eq!(prefix.segments()[..3], [0x2001, 0xdb8, 0x100], "of the real server");
    let own = provider::autoconfigured(&scene.clients[0], PORT, prefix).unwrap();
    // A question for it, and one for its renewal, were answered with lies.
    for kind in ["answered 1\n", "answered 5\n"] {
        liar.await_log(kind, SETTLE).unwrap_or_else(|error| panic!("{error}\n{}", liar.log()));
    }
    // And while the real server is silent there are lies only, to the renewal that comes next. (A renewal may have been
    // under way at first, so two questions are awaited.)
    kea.signal(Signal::STOP).unwrap();
    let answered = |liar: &Background| liar.log().matches("answered").count();
    let before = answered(&liar);
    wait::holds("lies alone", SETTLE, || Ok(answered(&liar) >= before + 2)).unwrap();
    kea.signal(Signal::CONT).unwrap();

    let workers = workers(&scene);
    let (before, renewed) = (memory(&workers), kea.log().matches("RENEW").count());
    let to = provider::link_local(&scene.router, PUBLIC).unwrap().to_string();
    let mac = scene.router.mac(PUBLIC).unwrap();
    let mut flood = hostile(&scene, &["servers", "wan0", &mac, &to, &PACKETS.to_string()]);
    stays(&scene, &mut flood, "delegated", prefix);
    assert!(kea.log().matches("RENEW").count() > renewed, "it was renewed meanwhile: {}", kea.log());
    assert_eq!(self::workers(&scene), workers, "the worker died of it:\n{}", scene.product.log());
    let after = memory(&workers);
    assert!(after < before + GROWTH, "the worker grew from {before} to {after} bytes");
    assert!(!scene.product.log().contains("panicked"), "{}", scene.product.log());
    let reasons = [
        "truncated",
        "not_for_us",
        "source",
        "udp",
        "hop_limit",
        "icmpv6",
        "nd_option",
        "options",
        "too_many",
        "message",
        "identifiers",
        "other_server",
        "unasked",
        "lifetimes",
        "source_rate",
    ];
    let names = reasons.map(|reason| format!("ipv6_uplink_dropped_{reason}"));
    let refused = scene.product.await_refused(&names.each_ref().map(String::as_str)).unwrap();
    assert!(refused["ipv6_uplink_dropped_unasked"] > 1_000, "{refused:?}");
    // Nothing of it has reached a device.
    assert_eq!(provider::autoconfigured(&scene.clients[0], PORT, prefix).unwrap(), own);
    let addresses = scene.clients[0].ip(&format!("-6 -o addr show dev {PORT}")).unwrap().stdout;
    assert!(!addresses.contains("2001:db8:666:") && !addresses.contains("2001:db8:dead:"), "{addresses}");
}

#[test]
fn who_asks_the_shared_link_for_everything_and_claims_everything_neither_stops_it_nor_fills_it() {
    let Some(mut scene) = scene() else { return };
    let _radvd = provider::radvd(&scene, true).unwrap();
    share(&mut scene);
    let prefix = provider::await_source(&scene, "relay").unwrap();
    let own = provider::autoconfigured(&scene.clients[0], PORT, prefix).unwrap();
    let reaches = || {
        let ping = scene.internet.place.attempt(&format!("ping -6 -n -c 1 -W 2 {own}"))?;
        Ok(ping.status.success())
    };
    wait::holds("an answer of the device", SETTLE, reaches).unwrap();
    let workers = workers(&scene);
    let before = memory(&workers);
    let mut flood = hostile(&scene, &["neighbours", "wan0", provider::LINK, &PACKETS.to_string()]);
    stays(&scene, &mut flood, "relay", prefix);
    assert_eq!(self::workers(&scene), workers, "the worker died of it:\n{}", scene.product.log());
    let after = memory(&workers);
    assert!(after < before + GROWTH, "the worker grew from {before} to {after} bytes");
    assert!(!scene.product.log().contains("panicked"), "{}", scene.product.log());
    wait::holds("an answer of the device after the flood", SETTLE, reaches).unwrap();
    let names = ["question_rate", "hop_limit", "icmpv6", "nd_option"].map(|it| format!("ipv6_dropped_{it}"));
    let refused = scene.product.await_refused(&names.each_ref().map(String::as_str)).unwrap();
    assert!(refused["ipv6_dropped_question_rate"] > 1_000, "{refused:?}");
}
