//! IPv6 of a shared segment in network namespaces: advertisements, DHCPv6 and translation, judged by the kernel's
//! own autoconfiguration, ISC's `dhclient -6`, Roy Marples' `dhcpcd` and Rémi Denis-Courmont's `rdisc6`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};

use hn_conformance::checks;
use hn_testlab::command::{self, Background};
use hn_testlab::lease::Client;
use hn_testlab::ns::Namespace;
use hn_testlab::product::children;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, tier, wait};
use serde_json::Value;

/// The provider's router.
const GATEWAY: &str = "2001:db8:1::1";
/// The machine under test on its uplink, when it is given by hand.
const UPLINK: &str = "2001:db8:1::2";
/// A server in the rest of the world, which knows no way to any private network.
const SERVER: &str = "2001:db8:99::80";

/// The scene with an Internet that speaks IPv6, which the router does not use yet; or `None` where this tier
/// cannot run.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let scene = Wired::prepare().unwrap();
    let outside = &scene.internet.place;
    outside.ip(&format!("addr add {GATEWAY}/64 dev wan0 nodad")).unwrap();
    outside.ip(&format!("addr add {SERVER}/128 dev lo")).unwrap();
    Some(scene)
}

/// The scene with the router online by an address and a route given by hand, and the service running.
fn online() -> Option<Wired> {
    let mut scene = scene()?;
    scene.router.ip(&format!("addr add {UPLINK}/64 dev {PUBLIC} nodad")).unwrap();
    default_route(&scene, "add");
    scene.before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    Some(scene)
}

fn default_route(scene: &Wired, verb: &str) {
    scene.router.ip(&format!("-6 route {verb} default via {GATEWAY} dev {PUBLIC}")).unwrap();
}

fn ipv6_of(scene: &Wired) -> Value {
    scene.product.field("/sharing/ipv6").unwrap()
}

/// Waits until the way out of IPv6 is `source`, and returns the prefix without its length.
fn await_source(scene: &Wired, source: &str) -> String {
    scene.product.await_field("/sharing/ipv6/source", &source.into(), SETTLE).unwrap();
    let prefix = ipv6_of(scene)["prefix"].as_str().unwrap().to_owned();
    prefix.strip_suffix("/64").unwrap().to_owned()
}

/// The addresses of the prefix that `client` has made itself, once there are any.
fn autoconfigured(client: &Namespace, prefix: &str) -> Ipv6Addr {
    wait::until("an address of the prefix", SETTLE, || {
        let shown = client.ip(&format!("-6 -o addr show dev {PORT} scope global -tentative"))?.stdout;
        let mut words = shown.split_whitespace().filter_map(|word| word.strip_suffix("/64"));
        Ok(words.find(|address| in_prefix(address, prefix)).map(|address| address.parse().unwrap()))
    })
    .unwrap()
}

fn in_prefix(address: &str, prefix: &str) -> bool {
    let bits = |text: &str| text.parse::<Ipv6Addr>().map(|address| address.to_bits() >> 64);
    matches!((bits(address), bits(prefix)), (Ok(a), Ok(b)) if a == b)
}

fn has_default_route(client: &Namespace) -> bool {
    client.ip("-6 route show default").unwrap().stdout.contains("via fe80:")
}

fn reaches(client: &Namespace, target: &str) -> bool {
    client.attempt(&format!("ping -6 -n -c 1 -W 2 {target}")).unwrap().status.success()
}

/// What `rdisc6` understands of one advertisement that it asks for.
fn discovered(client: &Namespace) -> String {
    let asked = wait::until("an advertisement", SETTLE, || {
        let done = client.attempt(&format!("rdisc6 -1 -r 1 -w 2000 {PORT}"))?;
        Ok(done.status.success().then_some(done.stdout))
    });
    asked.unwrap()
}

/// What `dhclient -6` was given: its script's variables.
fn dhclient6(client: &Namespace) -> String {
    let folder = client.files().join("dhcp6");
    std::fs::create_dir_all(&folder).unwrap();
    // A copy: Debian confines the original to scripts in its own folders (AppArmor goes by path).
    let program = folder.join("dhclient");
    if !program.exists() {
        std::fs::copy(tier::program("dhclient").expect("dhclient is installed"), &program).unwrap();
    }
    let (script, result) = (folder.join("script"), folder.join("result"));
    let _ = std::fs::remove_file(&result);
    let text = "#!/bin/sh\ncase $reason in BOUND6) ip -6 addr add \"$new_ip6_address/128\" dev \"$interface\" nodad; \
                env | grep ^new_ >\"${0%/*}/result\" ;; esac\nexit 0\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut dhclient = client.command(program);
    dhclient.args(["-6", "-1", "-v", "-D", "LL", "-cf", "/dev/null", "-sf"]).arg(&script);
    dhclient.arg("-lf").arg(folder.join("leases")).arg("-pf").arg(folder.join("pid")).arg(PORT);
    let done = command::run(&mut dhclient, LEASE).unwrap();
    std::fs::read_to_string(&result).unwrap_or_else(|_| panic!("no lease: {}{}", done.stderr, done.stdout))
}

fn variable<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[test]
fn devices_get_addresses_names_and_a_way_out_of_both_families() {
    let Some(mut scene) = online() else { return };
    scene.share(&PRIVATE).unwrap();
    let prefix = await_source(&scene, "nat66");
    let host = format!("{prefix}1");
    // IPv4 as ever: a lease, a name, and a page whose server sees the uplink's address.
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let [a, b] = &scene.clients;
    // What the kernel makes of the advertisement.
    let own = autoconfigured(a, &prefix);
    wait::holds("a default route", SETTLE, || Ok(has_default_route(a))).unwrap();
    // What DHCPv6 gives.
    let given = dhclient6(a);
    let leased: Ipv6Addr = variable(&given, "new_ip6_address").parse().unwrap();
    checks!(M074:
        assert_eq!(lease.prefix, 24);
        assert!(in_prefix(&leased.to_string(), &prefix) && leased != own, "{given}");
        assert_eq!(variable(&given, "new_dhcp6_name_servers"), host);
        assert_eq!(variable(&given, "new_dhcp6_domain_search"), "mshome.net.");
        // Nobody outside knows a way to the prefix: an answer has been translated.
        wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(a, SERVER))).unwrap();
        let from = |address: Ipv6Addr| a.run(&format!("ping -6 -n -c 1 -W 5 -I {address} {SERVER}"));
        from(own).unwrap();
        from(leased).unwrap();
    );
    // Another implementation reads the same.
    let read = discovered(b);
    for part in [
        "Router lifetime           :         1800",
        &format!("Prefix                   : {prefix}/64"),
        &format!("Recursive DNS server     : {host}"),
        "DNS search list          : mshome.net",
        "Stateful address conf.    :          Yes",
    ] {
        assert!(read.contains(part), "no {part:?} in\n{read}");
    }
    let answer = a.run(&format!("dig +short +time=5 +tries=3 @{host} {}", internet::WEB_NAME)).unwrap();
    assert_eq!(answer.stdout.trim(), internet::WEB.to_string(), "names over IPv6");
    // And a person sees it.
    let devices = scene.product.field("/devices").unwrap();
    assert!(devices.to_string().contains(&format!("\"{leased}\"")), "{devices}");
    scene.product.terminate().unwrap();
    wait::holds("devices to forget the router", SETTLE, || Ok(!has_default_route(a))).unwrap();
    scene.restored().unwrap();
}

#[test]
fn dhcpcd_is_content_with_what_it_gets() {
    let Some(scene) = online() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "nat66");
    let client = &scene.clients[0];
    let run = tempfile::tempdir().unwrap();
    let mut dhcpcd = client.command("unshare");
    let script = format!(
        "mount --bind {run} /run && mount --bind {run} /var/lib/dhcpcd && exec dhcpcd -6 -B -d --nohook resolv.conf \
         -f /dev/null --nodev {PORT}",
        run = run.path().display()
    );
    dhcpcd.args(["-m", "sh", "-c", &script]);
    let mut dhcpcd = Background::spawn(&mut dhcpcd).unwrap();
    dhcpcd
        .await_log("REPLY6 received from fe80", LEASE)
        .unwrap_or_else(|error| panic!("{error}\n{}", dhcpcd.log()));
    wait::holds("the leased address", SETTLE, || {
        let leased = format!("adding address {}", prefix.trim_end_matches(':'));
        Ok(dhcpcd.log().lines().any(|line| line.contains(&leased) && line.contains("/128")))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", dhcpcd.log()));
    wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(client, SERVER))).unwrap();
}

#[test]
fn without_a_way_out_devices_have_addresses_and_no_default_route_until_one_appears() {
    let Some(mut scene) = scene() else { return };
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "none");
    assert_eq!(ipv6_of(&scene)["detail"], format!("{PUBLIC} has no IPv6 default route"));
    let client = &scene.clients[0];
    autoconfigured(client, &prefix);
    assert!(!has_default_route(client));
    assert!(discovered(client).contains("Router lifetime           :            0"));
    wait::holds("the host to answer", SETTLE, || Ok(reaches(client, &format!("{prefix}1")))).unwrap();
    // It comes.
    scene.router.ip(&format!("addr add {UPLINK}/64 dev {PUBLIC} nodad")).unwrap();
    default_route(&scene, "add");
    assert_eq!(await_source(&scene, "nat66"), prefix);
    wait::holds("a default route", SETTLE, || Ok(has_default_route(client))).unwrap();
    wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(client, SERVER))).unwrap();
    // It goes.
    default_route(&scene, "del");
    await_source(&scene, "none");
    wait::holds("the default route to go", SETTLE, || Ok(!has_default_route(client))).unwrap();
    autoconfigured(client, &prefix);
    scene.router.ip(&format!("addr del {UPLINK}/64 dev {PUBLIC}")).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

/// A provider that advertises itself, as most do: forwarding would make the kernel deaf to it, and forget it.
#[test]
fn the_host_goes_on_listening_to_its_own_router() {
    let Some(mut scene) = scene() else { return };
    let outside = &scene.internet.place;
    outside.run("sysctl -q net.ipv6.conf.all.forwarding=1").unwrap();
    let mut provider = outside.command(tier::program("dnsmasq").unwrap());
    provider.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--pid-file=",
    ]);
    provider.args([
        "--log-facility=-",
        "--interface=wan0",
        "--enable-ra",
        "--dhcp-range=2001:db8:1::,ra-only",
    ]);
    let _provider = Background::spawn(&mut provider).unwrap();
    let learned =
        |scene: &Wired| scene.router.ip("-6 route show default").unwrap().stdout.contains("proto ra");
    wait::holds("the provider's route", SETTLE, || Ok(learned(&scene))).unwrap();
    wait::holds("an address of the provider", SETTLE, || {
        let shown = scene.router.ip(&format!("-6 -o addr show dev {PUBLIC} scope global -tentative"))?;
        Ok(shown.stdout.contains("2001:db8:1:"))
    })
    .unwrap();
    scene.before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "nat66");
    assert!(learned(&scene), "sharing made the kernel forget its router");
    let client = &scene.clients[0];
    autoconfigured(client, &prefix);
    wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(client, SERVER))).unwrap();
    // Forgotten by hand, it is learned again: the host listens.
    scene.router.ip("-6 route flush default").unwrap();
    scene.router.attempt(&format!("rdisc6 -1 -w 3000 {PUBLIC}")).unwrap();
    wait::holds("the provider's route again", SETTLE, || Ok(learned(&scene))).unwrap();
    scene.product.run(["unshare"]).unwrap();
    assert!(learned(&scene));
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn nothing_comes_in_over_ipv6_and_nothing_passes_beside_the_segment() {
    let Some(scene) = online() else { return };
    scene.router.ip(&format!("addr add 2001:db8:2::1/64 dev {} nodad", PRIVATE[1])).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "nat66");
    let (client, beside) = (&scene.clients[0], &scene.clients[1]);
    let own = autoconfigured(client, &prefix);
    wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(client, SERVER))).unwrap();
    let outside = &scene.internet.place;
    outside.ip(&format!("-6 route add {prefix}/64 via {UPLINK}")).unwrap();
    assert!(!reaches(outside, &own.to_string()), "unasked");
    assert!(!reaches(outside, &format!("{prefix}1")), "the host's private address");
    assert!(reaches(outside, UPLINK), "the host itself is nobody's business");
    // Another network of the machine, which it did not connect to the Internet before and does not now.
    beside.ip(&format!("addr add 2001:db8:2::2/64 dev {PORT} nodad")).unwrap();
    beside.ip("-6 route add default via 2001:db8:2::1").unwrap();
    outside.ip(&format!("-6 route add 2001:db8:2::/64 via {UPLINK}")).unwrap();
    wait::holds("the neighbour", SETTLE, || Ok(reaches(beside, "2001:db8:2::1"))).unwrap();
    assert!(!reaches(beside, SERVER) && !reaches(outside, "2001:db8:2::2"));
    assert!(!reaches(beside, &own.to_string()));
    // Nor does the segment reach it, or leave with a source that is not its own.
    assert!(!reaches(client, "2001:db8:2::2"));
    client.ip(&format!("addr add 2001:db8:bad::1/64 dev {PORT} nodad")).unwrap();
    assert!(
        !client
            .attempt(&format!("ping -6 -n -c 1 -W 1 -I 2001:db8:bad::1 {SERVER}"))
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn kill_9_and_a_restart_leave_nothing_of_ipv6() {
    let Some(mut scene) = online() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "nat66");
    autoconfigured(&scene.clients[0], &prefix);
    let first = variable(&dhclient6(&scene.clients[0]), "new_ip6_address").to_owned();
    scene.product.kill().unwrap();
    let now = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    assert!(!scene.before.diff(&now).is_empty(), "kill -9 left nothing to clean: the test proves nothing");
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    assert_eq!(await_source(&scene, "nat66"), prefix, "the same prefix after every start");
    let _ = std::fs::remove_file(scene.clients[0].files().join("dhcp6/leases"));
    scene.clients[0].ip(&format!("addr del {first}/128 dev {PORT}")).unwrap();
    assert_eq!(
        variable(&dhclient6(&scene.clients[0]), "new_ip6_address"),
        first,
        "nothing stored, nothing lost"
    );
    scene.product.run(["unshare"]).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn hostile_packets_of_ipv6_change_nothing_and_are_survived() {
    let Some(scene) = online() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let prefix = await_source(&scene, "nat66");
    let client = &scene.clients[0];
    autoconfigured(client, &prefix);
    let workers = children(scene.product.pid().unwrap()).unwrap();
    // Nobody delegates anything here.
    wait::holds("the ladder to settle", SETTLE, || {
        Ok(ipv6_of(&scene)["detail"].as_str().is_some_and(|detail| detail.starts_with("nobody")))
    })
    .unwrap();
    let before = ipv6_of(&scene);
    let index = client.ip(&format!("-o link show dev {PORT}")).unwrap().stdout;
    let index: u32 = index.split(':').next().unwrap().parse().unwrap();
    let host: Ipv6Addr = format!("{prefix}1").parse().unwrap();
    client
        .enter(|| {
            let socket = UdpSocket::bind("[::]:546").unwrap();
            let group = SocketAddrV6::new("ff02::1:2".parse().unwrap(), 547, 0, index);
            for packet in hostile() {
                let _ = socket.send_to(&packet, group);
                let _ = socket.send_to(&packet, (host, 547));
                let _ = socket.send_to(&packet, (host, 53));
            }
        })
        .unwrap();
    // Solicitations that are wrong, from a raw socket, and a flood of good ones.
    for _ in 0..3 {
        for options in ["-c 2", "-c 2 -s 1400"] {
            let _ = client.attempt(&format!("ping -6 -n -i 0.01 {options} ff02::2%{PORT}")).unwrap();
        }
    }
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut rdisc6 = client.command("rdisc6");
        rdisc6.args(["-q", "-m", "-r", "10", "-w", "1", PORT]);
        flood.push(Background::spawn(&mut rdisc6).unwrap());
    }
    for mut one in flood {
        wait::holds("the flood to end", SETTLE, || Ok(one.ended()?.is_some())).unwrap();
    }
    assert_eq!(ipv6_of(&scene), before);
    assert_eq!(children(scene.product.pid().unwrap()).unwrap(), workers, "the worker died of it");
    assert!(!scene.product.log().contains("panicked"), "{}", scene.product.log());
    wait::holds("an answer from the Internet", SETTLE, || Ok(reaches(client, SERVER))).unwrap();
    scene
        .product
        .await_refused(&[
            "ipv6_dropped_truncated",
            "ipv6_dropped_message",
            "ipv6_dropped_options",
            "ipv6_dropped_identifiers",
            "ipv6_dropped_source_rate",
            "dns_dropped_length",
        ])
        .unwrap();
    // The sender has used up its share; when it has been quiet it is served again.
    wait::until("a lease after the flood", SETTLE, || {
        let text = std::panic::catch_unwind(|| dhclient6(client)).ok();
        Ok(text.filter(|text| text.contains("new_ip6_address")))
    })
    .unwrap();
}

/// Packets that are wrong in every way that is cheap to think of. Reproducible.
fn hostile() -> impl Iterator<Item = Vec<u8>> {
    let mut solicit = vec![1, 9, 9, 9, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 7, 0, 6, 0, 2, 0, 23];
    solicit.extend([0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut packets = vec![Vec::new(), vec![0], vec![0xff; 1_400], vec![12; 1_400]];
    packets.extend((0..solicit.len()).map(|length| solicit[..length].to_vec()));
    for index in 0..solicit.len() {
        let mut bad = solicit.clone();
        bad[index] ^= 0xff;
        packets.push(bad);
    }
    packets.push([&solicit[..], &[0, 3, 0xff, 0xff]].concat());
    packets.push([&solicit[..20], &[0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(80)].concat());
    packets.into_iter()
}

#[test]
fn a_machine_with_ipv6_turned_off_shares_ipv4_and_says_why() {
    let Some(mut scene) = scene() else { return };
    scene.router.run(&format!("sysctl -q net.ipv6.conf.{}.disable_ipv6=1", PRIVATE[0])).unwrap();
    scene.before = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let sharing = ipv6_of(&scene);
    assert_eq!((&sharing["source"], &sharing["prefix"]), (&"none".into(), &Value::Null), "{sharing}");
    assert_eq!(sharing["detail"], format!("IPv6 is turned off on {}", PRIVATE[0]));
    scene.online(0, Client::Udhcpc).unwrap();
    let asked = scene.clients[0].attempt(&format!("rdisc6 -1 -r 2 -w 500 {PORT}")).unwrap();
    assert!(!asked.status.success(), "{}", asked.stdout);
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}
