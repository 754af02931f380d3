//! Sharing between wires: `hostednet share PUBLIC PRIVATE…` in network namespaces, judged by clients that others
//! wrote. No radio is involved.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use hn_conformance::checks;
use hn_testlab::lease::{self, Client};
use hn_testlab::ns;
use hn_testlab::product::children;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, wait};
use rustix::process::{Signal, kill_process};

/// The scene, or `None` where this tier cannot run.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    Some(Wired::set().unwrap())
}

#[test]
fn a_client_with_udhcpc_is_online_and_nothing_is_left_after_unshare_and_sigterm() {
    let Some(mut scene) = scene() else { return };
    let running = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    assert_eq!(lease.prefix, 24);
    assert_eq!(lease.router.unwrap().octets(), [192, 168, 137, 1]);
    assert_eq!(lease.domain.as_deref(), Some("mshome.net"));
    let status = scene.product.status().unwrap();
    assert_eq!(status["sharing"]["mode"], "full");
    assert_eq!(status["sharing"]["public"], PUBLIC);
    assert_eq!(status["devices"][0]["ipv4"], lease.address.to_string());
    scene.product.run(["unshare"]).unwrap();
    let (difference, _) = running.restored(&scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "after unshare:\n{difference}");
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn a_client_with_dhclient_is_online_and_releases_its_address() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let given = scene.online(0, Client::Dhclient).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    lease::release(&scene.clients[0], PORT).unwrap();
    wait::holds("the device to be gone", SETTLE, || {
        Ok(!scene.product.json(&["devices"])?.to_string().contains(&mac))
    })
    .unwrap();
    // Sticky: who comes back finds its address again.
    assert_eq!(scene.online(0, Client::Dhclient).unwrap().address, given.address);
}

#[test]
fn two_private_wires_are_one_segment() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    let b = scene.online(1, Client::Dhclient).unwrap();
    checks!(M100:
        assert_ne!(a.address, b.address);
        assert_eq!((a.prefix, a.router), (b.prefix, b.router));
        assert_eq!(a.address.octets()[..3], b.address.octets()[..3]);
        scene.clients[0].run(&format!("ping -n -c 2 -W 5 {}", b.address)).unwrap();
        let bridged = scene.router.ip("-o link show master hnbr0").unwrap().stdout;
        assert!(PRIVATE.iter().all(|port| bridged.contains(port)), "{bridged}");
    );
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn sigterm_while_sharing_leaves_nothing() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn kill_9_and_a_restart_leave_nothing() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    scene.product.kill().unwrap();
    let now = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    assert!(!scene.before.diff(&now).is_empty(), "kill -9 left nothing to clean: the test proves nothing");
    scene.product.start(&scene.router).unwrap();
    scene.product.run(["unshare"]).unwrap();
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn leases_survive_a_restart_of_the_service() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    scene.product.terminate().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&PRIVATE).unwrap();
    // Another client first: the address of the one before must not be given to it.
    let b = scene.online(1, Client::Udhcpc).unwrap();
    assert_ne!(a.address, b.address);
    assert_eq!(scene.online(0, Client::Udhcpc).unwrap().address, a.address);
}

#[test]
fn a_worker_that_dies_is_started_again_and_takes_up_its_leases() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    let daemon = scene.product.pid().unwrap();
    let old = children(daemon).unwrap();
    assert!(!old.is_empty(), "hostednetd has no worker");
    for worker in &old {
        kill_process(*worker, Signal::KILL).unwrap();
    }
    wait::holds("a new worker", SETTLE, || Ok(children(daemon)?.iter().any(|child| !old.contains(child))))
        .unwrap();
    let b = scene.online(1, Client::Udhcpc).unwrap();
    assert_ne!(a.address, b.address);
    assert_eq!(scene.online(0, Client::Udhcpc).unwrap().address, a.address);
    assert!(scene.product.runs().unwrap());
}

/// What parses strangers' bytes has no privilege: another user, no capability, no new ones.
#[test]
fn the_worker_has_neither_root_nor_capabilities() {
    let Some(scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let workers = children(scene.product.pid().unwrap()).unwrap();
    assert!(!workers.is_empty(), "hostednetd has no worker");
    for worker in workers {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.as_raw_nonzero())).unwrap();
        let field = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{status}"));
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(field("Uid:").iter().all(|id| id != "0"), "{status}");
        assert!(field("Gid:").iter().all(|id| id != "0"), "{status}");
        for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(set)[0], 16).unwrap(), 0, "{set} of {status}");
        }
        assert_eq!(field("NoNewPrivs:"), ["1"]);
        assert_eq!(field("Seccomp:"), ["2"]);
    }
}

#[test]
fn names_resolve_forward_reverse_and_over_tcp_and_missing_ones_do_not() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let client = &scene.clients[0];
    let mut udhcpc = client.command(hn_testlab::tier::program("udhcpc").unwrap());
    udhcpc.args(["-i", PORT, "-f", "-q", "-n", "-s", "/bin/true", "-x", "hostname:kettle"]);
    hn_testlab::command::run(&mut udhcpc, LEASE).unwrap().success().unwrap();
    scene.online(1, Client::Udhcpc).unwrap();
    let asker = &scene.clients[1];
    let dig = |words: &str| {
        let done = asker.run(&format!("dig +time=5 +tries=3 @192.168.137.1 {words}")).unwrap();
        done.stdout
    };
    let kettle = dig("+short kettle.mshome.net");
    assert!(kettle.starts_with("192.168.137."), "kettle is {kettle:?}");
    assert_eq!(dig(&format!("+short -x {}", kettle.trim())).trim(), "kettle.mshome.net.");
    assert_eq!(
        dig(&format!("+short -t CNAME alias.{}", "lab.test")).trim(),
        format!("{}.", internet::WEB_NAME)
    );
    // 2 kB of text do not fit 512 bytes: cut short over UDP, whole over TCP.
    let long = dig(&format!("+short -t TXT {}", internet::LONG_NAME));
    assert!(long.len() > 2000, "{} bytes: {long}", long.len());
    let cut = dig(&format!("+noedns +ignore -t TXT {}", internet::LONG_NAME));
    assert!(cut.contains(" tc"), "not marked as cut:\n{cut}");
    let whole = dig(&format!("+tcp +short -t TXT {}", internet::LONG_NAME));
    assert_eq!(whole, long);
    assert!(dig(internet::NO_NAME).contains("status: NXDOMAIN"));
    // The second question is answered from the cache.
    // (The forwarder mixes upper and lower case on purpose.)
    let asked = || scene.internet.questions().to_lowercase().matches("query[a] once.many.lab.test").count();
    assert_eq!(asked(), 0);
    assert_eq!(dig("+short once.many.lab.test").trim(), internet::WEB.to_string());
    // On a slow machine the forwarder may have repeated its question.
    let first = asked();
    assert!(first >= 1);
    for _ in 0..3 {
        assert_eq!(dig("+short once.many.lab.test").trim(), internet::WEB.to_string());
    }
    assert_eq!(asked(), first);
}

#[test]
fn a_busy_port_53_does_not_take_dhcp_down() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    let mut other = scene.router.command(hn_testlab::tier::program("dnsmasq").unwrap());
    other.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
    ]);
    let mut other = hn_testlab::command::Background::spawn(&mut other).unwrap();
    other.await_log("started", SETTLE).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    // An address, and names past whoever holds the port.
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    assert_eq!(lease.router.unwrap().octets(), [192, 168, 137, 1]);
    let sharing = scene.product.field("/sharing").unwrap();
    assert_eq!(sharing["dns"], true, "{sharing}");
    assert!(
        sharing["detail"].to_string().contains("port 53 is held by dnsmasq"),
        "it is not named: {sharing}"
    );
}

#[test]
fn a_collision_moves_to_another_subnet() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    scene.router.ip(&format!("addr add 192.168.137.77/24 dev {}", PRIVATE[1])).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    assert_ne!(lease.address.octets()[..3], [192, 168, 137], "{}", lease.address);
}

#[test]
fn nothing_comes_in_that_was_not_asked_for() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let outside = &scene.internet.place;
    outside.ip(&format!("route add 192.168.137.0/24 via {}", internet::UPLINK)).unwrap();
    assert!(!outside.attempt(&format!("ping -n -c 2 -W 1 {}", lease.address)).unwrap().status.success());
    // Neither the host's own services of the private side.
    let asked = outside.attempt("dig +time=1 +tries=1 @192.168.137.1 www.lab.test").unwrap();
    assert!(!asked.status.success(), "{}", asked.stdout);
    let asked = outside.attempt(&format!("dig +time=1 +tries=1 @{} www.lab.test", internet::UPLINK)).unwrap();
    assert!(!asked.status.success(), "{}", asked.stdout);
    // And the client still reaches out.
    scene.clients[0].run("ping -n -c 1 -W 5 203.0.113.1").unwrap();
}

#[test]
fn hostile_packets_change_nothing_and_are_survived() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let before = scene.product.field("/devices").unwrap();
    let server = lease.router.unwrap();
    let pid = scene.product.pid().unwrap();
    let workers = children(pid).unwrap();
    scene.clients[0].ip(&format!("addr add 10.66.6.6/32 dev {PORT}")).unwrap();
    scene.clients[0]
        .enter(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            for packet in hostile() {
                for port in [53, 67] {
                    let _ = socket.send_to(&packet, (server, port));
                }
            }
            // Somebody else's address; and a flood of devices that do not exist.
            let foreign = std::net::UdpSocket::bind("10.66.6.6:0").unwrap();
            for packet in hostile().filter(|packet| packet.len() > 12).take(20) {
                let _ = foreign.send_to(&packet, (server, 53));
            }
            for number in 0..FLOOD {
                let mut discover = discover();
                discover[28..34].copy_from_slice(&[2, 0x66, 0, 0, (number >> 8) as u8, number as u8]);
                let _ = socket.send_to(&discover, (server, 67));
            }
            // A name server on TCP that is told nonsense about lengths.
            for packet in hostile().take(40) {
                if let Ok(mut stream) = std::net::TcpStream::connect((server, 53)) {
                    use std::io::Write as _;
                    let _ = stream.write_all(&packet);
                }
            }
        })
        .unwrap();
    scene.online(1, Client::Udhcpc).unwrap();
    assert!(scene.product.runs().unwrap());
    assert_eq!(children(pid).unwrap(), workers, "the worker died of it:\n{}", scene.product.log());
    let after = scene.product.field("/devices").unwrap();
    let devices = after.as_array().unwrap();
    assert!(devices.iter().any(|device| device["mac"] == before[0]["mac"]), "{after}");
    assert_eq!(devices.len(), 2, "{after}");
    assert!(!scene.product.log().contains("panicked"), "{}", scene.product.log());
    scene
        .product
        .await_refused(&[
            "dhcp_dropped_bootp",
            "dhcp_dropped_not_dhcp",
            "dhcp_dropped_options",
            "dhcp_dropped_pool_exhausted",
            "dns_dropped_length",
            "dns_dropped_response",
            "dns_dropped_source",
            "dns_malformed",
        ])
        .unwrap();
}

/// So many devices that do not exist ask for addresses: many times as many as there are.
const FLOOD: u16 = 5_000;

/// A device's first message.
fn discover() -> Vec<u8> {
    let mut discover = vec![1, 1, 6, 0, 9, 9, 9, 9, 0, 0, 0x80, 0];
    discover.resize(28, 0);
    discover.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    discover.resize(236, 0);
    discover.extend_from_slice(&[99, 130, 83, 99, 53, 1, 1, 55, 4, 1, 3, 6, 15, 255]);
    discover
}

/// Packets that are wrong in every way that is cheap to think of: truncations and bit flips of real ones, all
/// lengths of nothing, and counts that lie. Reproducible.
fn hostile() -> impl Iterator<Item = Vec<u8>> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(b"\x03www\x03lab\x04test\x00\x00\x01\x00\x01");
    let mut packets =
        vec![Vec::new(), vec![0; 1], vec![0xff; 11], vec![0xff; 12], vec![0xff; 1472], vec![0; 1472]];
    for good in [query, discover()] {
        packets.extend((0..good.len()).map(|length| good[..length].to_vec()));
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0xff;
            packets.push(bad);
        }
        // Compression that points at itself; options that run over the end.
        let mut looped = good.clone();
        looped.truncate(12);
        looped.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        packets.push(looped);
        let mut over = good;
        over.pop();
        over.extend_from_slice(&[61, 255]);
        packets.push(over);
    }
    packets.into_iter()
}

#[test]
fn garbage_on_the_socket_disturbs_nobody() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let before = scene.product.status().unwrap();
    let path = scene.product.runtime.join("bus");
    for text in [
        &b"\0"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0AUTH EXTERNAL 30\r\nBEGIN\r\nl\x01\x00\x01\xff\xff\xff\xff",
        &[0xff; 70_000],
    ] {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = stream.write_all(text);
        let _ = stream.read(&mut [0; 512]);
    }
    // Connections that say nothing do not keep others out.
    let silent: Vec<_> = (0..40).map(|_| std::os::unix::net::UnixStream::connect(&path)).collect();
    let after = scene.product.status().unwrap();
    assert_eq!(before["sharing"], after["sharing"]);
    drop(silent);
    assert!(scene.product.runs().unwrap());
}

#[test]
fn bad_input_gets_a_clear_answer_and_changes_nothing() {
    let Some(scene) = scene() else { return };
    let settings = scene.product.json(&["settings"]).unwrap();
    let status = scene.product.status().unwrap();
    let long = "x".repeat(33);
    let cases: [(&[&str], &[u8], i32, &str); 8] = [
        (&["settings", "set", "--ssid", &long], b"", 2, "32 bytes"),
        (&["settings", "set", "--ssid", ""], b"", 2, "32 bytes"),
        (&["key", "set"], b"seven77", 2, "8 to 63"),
        (&["key", "set"], "pässwörter".as_bytes(), 2, "ASCII"),
        (&["key", "set", "--hex"], b"00ff", 2, "32 bytes"),
        (&["share", "nosuch0", PRIVATE[0]], b"", 1, "nosuch0"),
        (&["share", PUBLIC, "nosuch1"], b"", 1, "nosuch1"),
        (&["share", PUBLIC, PUBLIC], b"", 1, PUBLIC),
    ];
    for (words, input, code, named) in cases {
        let done = hn_testlab::command::feed(&mut scene.product.hostednet(words), input, SETTLE).unwrap();
        let expected = if code == 1 {
            done.code() == 1 || done.code() == 2 || done.code() == 5
        } else {
            done.code() == code
        };
        assert!(expected, "{words:?} ended with {}: {}", done.code(), done.stderr);
        assert!(done.stderr.contains(named), "{words:?} does not name {named:?}: {}", done.stderr);
    }
    assert_eq!(scene.product.json(&["settings"]).unwrap(), settings);
    assert_eq!(scene.product.status().unwrap(), status);
}

#[test]
fn a_malformed_configuration_is_refused_by_name_before_anything_changes() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    for text in ["[sharing\n", "[sharing]\nfull_subnet = \"300.1.1.1/24\"\n", "[sharing]\nfull_sub = \"x\"\n"]
    {
        scene.product.configure(text).unwrap();
        scene.product.launch(&scene.router).unwrap();
        wait::holds("hostednetd to end", SETTLE, || Ok(!scene.product.runs()?)).unwrap();
        assert!(scene.product.log().contains("hostednet.toml"), "{}", scene.product.log());
    }
    scene.restored().unwrap();
}

#[test]
fn a_table_that_the_kernel_rejects_rolls_everything_back_and_is_named() {
    let Some(scene) = scene() else { return };
    let owner = hn_testlab::firewall::OwnedTable::take(&scene.router).unwrap();
    let running = hn_testlab::state::SystemState::capture(&scene.router, &[]).unwrap();
    let done = scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
    assert_eq!(done.code(), 1, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("step firewall"), "{}", done.stderr);
    let (difference, _) = running.restored(&scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "not rolled back:\n{difference}");
    assert_eq!(scene.product.field("/sharing/mode").unwrap(), "off");
    owner.release(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
}

#[test]
fn who_is_not_root_may_look_and_not_share() {
    let Some(scene) = scene() else { return };
    let as_nobody = |words: &[&str]| {
        let hostednet = scene.product.hostednet(words);
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        // The program itself, without the way into the namespace, which needs root: a socket has no namespace.
        let line: Vec<_> = hostednet.get_args().skip(3).collect();
        command.args(line).env("HOSTEDNET_SOCKET", scene.product.runtime.join("bus"));
        hn_testlab::command::run(&mut command, SETTLE).unwrap()
    };
    let looked = as_nobody(&["status", "--json"]);
    assert_eq!(looked.code(), 0, "{}", looked.stderr);
    let shared = as_nobody(&["share", PUBLIC, PRIVATE[0]]);
    assert_eq!(shared.code(), 4, "{}", shared.stderr);
    assert!(shared.stderr.contains("access_denied"), "{}", shared.stderr);
    let unshared = as_nobody(&["service", "stop", "sharedaccess"]);
    assert_eq!(unshared.code(), 4, "{}", unshared.stderr);
}

#[test]
fn resolvers_that_change_are_followed() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    // Not the machine's resolv.conf but one of the test's own, which can change while the service runs.
    let file = scene.router.files().join("upstream.conf");
    std::fs::write(&file, "nameserver 203.0.113.99\n").unwrap();
    scene.product.configure(&format!("[sharing]\nresolv_conf = {:?}\n", file.to_str().unwrap())).unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = lease::obtain(Client::Udhcpc, &mut scene.clients[0], PORT, LEASE).unwrap();
    let question = format!("dig +short +time=2 +tries=1 @{} {}", lease.router.unwrap(), internet::WEB_NAME);
    let answer = scene.clients[0].attempt(&question).unwrap();
    assert!(!answer.stdout.contains(&internet::WEB.to_string()), "nobody is at the first resolver");
    std::fs::write(&file, format!("nameserver {}\n", internet::RESOLVER)).unwrap();
    wait::holds("the new resolver to be asked", SETTLE, || {
        Ok(scene.clients[0].attempt(&question)?.stdout.trim() == internet::WEB.to_string())
    })
    .unwrap();
}

#[test]
fn a_public_cable_that_is_pulled_and_plugged_in_again_goes_on() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    scene.internet.place.ip("link set wan0 down").unwrap();
    assert!(!scene.clients[0].attempt("ping -n -c 1 -W 1 203.0.113.1").unwrap().status.success());
    scene.internet.place.ip("link set wan0 up").unwrap();
    ns::await_ready(&scene.router, PUBLIC).unwrap();
    // The router's own default route goes with the carrier on some kernels: what its network manager would do.
    let _ = scene.router.ip(&format!("route replace default via {} dev {PUBLIC}", internet::GATEWAY));
    wait::holds("the way out", SETTLE, || {
        Ok(scene.clients[0].attempt("ping -n -c 1 -W 2 203.0.113.1")?.status.success())
    })
    .unwrap();
}

#[test]
fn the_sharedaccess_part_is_router_address_server_and_name_server_of_the_home_network() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Udhcpc).unwrap();
    let b = scene.online(1, Client::Dhclient).unwrap();
    let host = std::net::Ipv4Addr::new(192, 168, 137, 1);
    let seen = scene.internet.visits();
    checks!(M133:
        for lease in [&a, &b] {
            assert_eq!((lease.router, lease.server, &lease.dns[..]), (Some(host), Some(host), &[host][..]));
            assert_eq!(lease.domain.as_deref(), Some("mshome.net"));
            assert!(lease.address.is_private() && lease.address.octets()[..3] == host.octets()[..3]);
        }
        assert_ne!(a.address, b.address);
        assert!(seen.len() >= 2);
        assert!(seen.iter().all(|visit| visit.peer == internet::UPLINK), "one public address for all: {seen:?}");
        let outside = &scene.internet.place;
        outside.ip(&format!("route add 192.168.137.0/24 via {}", internet::UPLINK)).unwrap();
        for lease in [&a, &b] {
            let asked = outside.attempt(&format!("ping -n -c 1 -W 1 {}", lease.address)).unwrap();
            assert!(!asked.status.success(), "nobody outside gets in unasked");
        }
    );
    let resolves = |client: &ns::Namespace| {
        let question = format!("dig +short +time=1 +tries=1 @{host} {}", internet::WEB_NAME);
        client.attempt(&question).unwrap().stdout.trim() == internet::WEB.to_string()
    };
    let reaches = |client: &ns::Namespace| {
        client.attempt(&format!("ping -n -c 1 -W 2 {}", internet::GATEWAY)).unwrap().status.success()
    };
    assert!(resolves(&scene.clients[0]) && reaches(&scene.clients[0]));
    scene.product.run(["service", "stop", "sharedaccess"]).unwrap();
    checks!(M120:
        assert!(!reaches(&scene.clients[0]), "no translation without the part");
        assert!(!resolves(&scene.clients[0]), "no names without the part");
        lease::ask(Client::Udhcpc, &scene.clients[1], PORT, Duration::from_secs(3)).unwrap_err();
    );
    scene.product.terminate().unwrap();
}

#[test]
fn who_asks_for_an_address_on_the_public_side_gets_none() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    checks!(M082:
        let short = Duration::from_secs(4);
        lease::ask(Client::Udhcpc, &scene.internet.place, "wan0", short).unwrap_err();
        // Nor on a wire that is not shared.
        lease::ask(Client::Udhcpc, &scene.clients[1], PORT, short).unwrap_err();
        lease::ask(Client::Udhcpc, &scene.clients[0], PORT, LEASE).unwrap();
    );
}

#[test]
fn what_private_wires_send_leaves_by_the_public_one_behind_its_address() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let leases = [scene.online(0, Client::Udhcpc).unwrap(), scene.online(1, Client::Udhcpc).unwrap()];
    let visits = scene.internet.visits();
    checks!(M102:
        // The Internet has no route to private addresses: an answer can only have gone to a translated one.
        assert!(visits.len() >= leases.len());
        for visit in &visits {
            assert_eq!(visit.peer, internet::UPLINK);
            assert!(leases.iter().all(|lease| visit.peer != lease.address));
        }
        for client in &scene.clients {
            client.run(&format!("ping -n -c 1 -W 5 {}", internet::GATEWAY)).unwrap();
        }
    );
}

#[test]
fn a_public_network_without_internet_is_shared_as_well() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    scene.router.ip("route del default").unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let lease = lease::ask(Client::Udhcpc, &scene.clients[0], PORT, LEASE).unwrap();
    let reach = |to: &dyn std::fmt::Display| {
        scene.clients[0].attempt(&format!("ping -n -c 1 -W 2 {to}")).unwrap().status.success()
    };
    checks!(M078:
        assert_eq!(lease.router.unwrap().octets(), [192, 168, 137, 1]);
        assert!(!reach(&internet::WEB), "there is no Internet");
        assert!(reach(&internet::GATEWAY), "but the public network is there");
        assert_eq!(scene.product.field("/sharing/mode").unwrap(), "full");
    );
}

#[test]
fn addresses_are_given_while_the_public_cable_is_out() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let a = scene.online(0, Client::Dhclient).unwrap();
    scene.internet.place.ip("link set wan0 down").unwrap();
    assert!(!scene.clients[0].attempt("ping -n -c 1 -W 1 203.0.113.1").unwrap().status.success());
    checks!(M083:
        let again = lease::ask(Client::Dhclient, &scene.clients[0], PORT, LEASE).unwrap();
        assert_eq!(again.address, a.address, "who had one keeps it");
        let new = lease::ask(Client::Udhcpc, &scene.clients[1], PORT, LEASE).unwrap();
        assert_eq!(new.router.unwrap().octets(), [192, 168, 137, 1], "and a newcomer gets one");
    );
}
