//! `hostednet doctor` on real machines: content with a healthy one, and on each broken one it names the cause and the
//! remedy – after which it is content again.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::command::Background;
use hn_testlab::internet::{GATEWAY, RESOLVER};
use hn_testlab::lease::Client;
use hn_testlab::wired::{PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};
use serde_json::Value;

/// A router that shares, and a device that is online through it.
struct Patient {
    scene: Wired,
    /// The device, as doctor is asked for it.
    mac: String,
    /// Its address.
    address: String,
    /// Bind mounts of every command on the router.
    prelude: String,
}

impl Patient {
    /// `None` where this tier cannot run.
    fn admit() -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut scene = Wired::set().unwrap();
        scene.share(&[PRIVATE[0]]).unwrap();
        let lease = scene.online(0, Client::Udhcpc).unwrap();
        let mac = scene.clients[0].mac(PORT).unwrap();
        Some(Self { scene, mac, address: lease.address.to_string(), prelude: String::new() })
    }

    /// What doctor says of the device. The exit status says the same.
    fn examine(&self) -> Value {
        examine(&self.scene, &[&self.mac])
    }

    fn sh(&self, script: &str) -> String {
        let mut command = self.scene.router.command("sh");
        command.args(["-ec", &format!("{}\n{script}", self.prelude)]);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Shows a private copy of a folder to every command.
    fn private_copy(&mut self, path: &str) {
        let copy = self.scene.router.files().join(path.replace('/', "+"));
        let copy = copy.display();
        self.sh(&format!("cp -a {path} {copy}"));
        self.prelude.push_str(&format!("mount --bind {copy} {path}\n"));
    }

    /// Doctor names `cause` with this headline; its commands are carried out; then it is content.
    fn cured_by_its_commands(&self, cause: &str, headline: &str) -> Value {
        let found = self.examine();
        assert_eq!(found["cause"], cause, "{found:#}");
        assert!(found["headline"].as_str().unwrap().contains(headline), "{found:#}");
        let check = check(&found, cause);
        let commands: Vec<&str> =
            check["commands"].as_array().unwrap().iter().map(|command| command.as_str().unwrap()).collect();
        assert!(!commands.is_empty(), "{check:#}");
        self.sh(&commands.join("\n"));
        self.content();
        found
    }

    /// Doctor finds nothing wrong, at the latest after a while.
    fn content(&self) {
        let mut last = Value::Null;
        wait::holds("doctor to be content", SETTLE, || {
            last = self.examine();
            Ok(last["healthy"] == true)
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{last:#}"));
    }
}

fn examine(scene: &Wired, words: &[&str]) -> Value {
    let done = scene.product.attempt(["doctor", "--json"].iter().chain(words)).unwrap();
    let found: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert_eq!(done.status.code(), Some(i32::from(found["healthy"] != true)), "{found:#}");
    for check in found["checks"].as_array().unwrap() {
        let remedy = check["remedy"].as_str().unwrap();
        assert_eq!(check["verdict"] == "problem", !remedy.is_empty(), "{check:#}");
    }
    found
}

fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// The checks that follow from `cause`.
fn consequences<'a>(found: &'a Value, cause: &str) -> Vec<&'a str> {
    let all = found["checks"].as_array().unwrap().iter();
    all.filter(|check| check["consequence_of"] == cause)
        .map(|check| check["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_healthy_machine_passes_every_check_and_nothing_is_left_of_them() {
    let Some(patient) = Patient::admit() else { return };
    let before = hn_testlab::state::SystemState::capture(&patient.scene.router, &[]).unwrap();
    for device in [&[][..], &[patient.mac.as_str()], &[patient.address.as_str()]] {
        let found = examine(&patient.scene, device);
        assert_eq!(found["healthy"], true, "{found:#}");
        assert_eq!(found["cause"], Value::Null);
        for check in found["checks"].as_array().unwrap() {
            let expected =
                if matches!(check["name"].as_str(), Some("radio" | "key")) { "skipped" } else { "ok" };
            assert_eq!(check["verdict"], expected, "{check:#}");
        }
        let packet = check(&found, "packet")["finding"].as_str().unwrap().to_owned();
        assert!(packet.contains("a name query") && packet.contains("the answer"), "{packet}");
    }
    let (difference, _) = before.restored(&patient.scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "the examination left:\n{difference}");
    let shown = patient.scene.product.run(["doctor"]).unwrap().stdout;
    assert!(shown.starts_with("✓ everything works: devices are online through wan0\n"), "{shown}");
    assert!(shown.lines().count() <= 24 && !shown.contains('\x1b'), "one plain screen:\n{shown}");
}

#[test]
fn a_forwarding_switch_that_somebody_turned_off_is_named() {
    let Some(patient) = Patient::admit() else { return };
    patient.sh("sysctl -qw net.ipv4.conf.lan0.forwarding=0");
    let found = patient.cured_by_its_commands("forwarding", "net.ipv4.conf.lan0.forwarding is 0");
    assert_eq!(consequences(&found, "forwarding"), ["packet"], "{found:#}");
}

#[test]
fn a_policy_of_iptables_that_came_later_is_named() {
    let Some(mut patient) = Patient::admit() else { return };
    patient.sh("iptables -P FORWARD DROP");
    let found = patient.cured_by_its_commands("firewall", "rules of iptables drop connections");
    assert_eq!(consequences(&found, "firewall"), ["packet"], "{found:#}");
    patient.scene.online(0, Client::Udhcpc).unwrap();
}

#[test]
fn a_rule_against_one_device_is_found_by_following_its_packet() {
    let Some(mut patient) = Patient::admit() else { return };
    patient.sh("nft add table inet guard");
    patient.sh("nft 'add chain inet guard passing { type filter hook forward priority 5; }'");
    patient.sh(&format!("nft add rule inet guard passing ip saddr {} counter drop", patient.address));
    // All others are fine, and so is the audit: a rule against one address stops no segment.
    assert_eq!(examine(&patient.scene, &[])["healthy"], true);
    let found = patient.cured_by_its_commands("packet", "inet guard / chain passing / rule");
    let headline = found["headline"].as_str().unwrap();
    assert!(headline.contains(&format!("ip saddr {} drop", patient.address)), "{headline}");
    assert!(headline.starts_with("rules of nftables drop a name query"), "{headline}");
    patient.scene.online(0, Client::Udhcpc).unwrap();
}

#[test]
fn a_rule_that_keeps_answers_away_is_found_too() {
    let Some(patient) = Patient::admit() else { return };
    patient.sh("nft add table ip late");
    patient.sh("nft 'add chain ip late passing { type filter hook forward priority 5; }'");
    patient.sh(&format!("nft add rule ip late passing ip daddr {} drop", patient.address));
    let found = patient.cured_by_its_commands("packet", "ip late / chain passing / rule");
    assert!(found["headline"].as_str().unwrap().contains("drop the answer"), "{found:#}");
}

#[test]
fn ufw_that_was_switched_on_later_is_named_and_opened_by_its_own_command() {
    let Some(mut patient) = Patient::admit() else { return };
    for path in ["/etc/ufw", "/etc/default/ufw", "/var/log"] {
        patient.private_copy(path);
    }
    patient.sh("ufw --force enable");
    patient.cured_by_its_commands("firewall", "ufw drops");
    patient.scene.online(0, Client::Udhcpc).unwrap();
    patient.sh("ufw --force disable");
}

#[test]
fn a_kernel_without_room_for_neighbours_is_named_while_somebody_floods_it() {
    let Some(patient) = Patient::admit() else { return };
    let routes = examine(&patient.scene, &[]);
    let shown = check(&routes, "tables")["finding"].as_str().unwrap().to_owned();
    for table in ["connections", "neighbours (IPv4)", "neighbours (IPv6)"] {
        assert!(shown.contains(table), "{shown}");
    }
    // Many more than there is room for, again and again: those that are old enough make room for a while.
    let room = shown.split_once(" neighbours (IPv4)").unwrap().0.rsplit(' ').next().unwrap();
    let many = room.parse::<u32>().unwrap() * 2 + 1_000;
    let neighbour = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        format!(
            "neigh replace 10.{}.{b}.{c} lladdr 02:00:66:{a:02x}:{b:02x}:{c:02x} dev {PUBLIC} nud stale\n",
            128 + a
        )
    };
    let file = patient.scene.router.files().join("neighbours");
    std::fs::write(&file, (0..many).map(neighbour).collect::<String>()).unwrap();
    let mut flood = patient.scene.router.command("sh");
    flood.args([
        "-c",
        &format!("while :; do ip -force -batch {} 2>/dev/null; echo round; done", file.display()),
    ]);
    let mut flood = Background::spawn(&mut flood).unwrap();
    flood.await_log("round", SETTLE).unwrap();
    let found = patient.examine();
    assert_eq!(found["cause"], "tables", "{found:#}");
    let headline = found["headline"].as_str().unwrap();
    for part in ["the kernel's table is full", "neighbours (IPv4)", "found no room meanwhile"] {
        assert!(headline.contains(part), "{part}: {headline}");
    }
    let commands = &check(&found, "tables")["commands"];
    assert!(
        commands[0].as_str().unwrap().starts_with("sysctl -w net.ipv4.neigh.default.gc_thresh3="),
        "{commands}"
    );
    drop(flood);
    patient.sh(&format!("ip neigh flush dev {PUBLIC} to 10.128.0.0/9"));
    patient.content();
}

#[test]
fn an_uplink_without_cable_route_or_gateway_is_named_in_that_order() {
    let Some(patient) = Patient::admit() else { return };
    let internet = &patient.scene.internet.place;
    internet.ip(&format!("addr del {GATEWAY}/24 dev wan0")).unwrap();
    // The name server takes the address of the network over when the first one goes.
    internet.ip(&format!("addr replace {RESOLVER}/24 dev wan0")).unwrap();
    let found = patient.examine();
    assert_eq!(found["cause"], "gateway", "{found:#}");
    assert!(found["headline"].as_str().unwrap().contains("203.0.113.1 is silent: 3 questions"), "{found:#}");
    patient.scene.router.ip("route del default").unwrap();
    let found = patient.examine();
    assert_eq!(found["cause"], "uplink", "{found:#}");
    assert!(
        found["headline"].as_str().unwrap().starts_with("no default route leads through wan0"),
        "{found:#}"
    );
    let remedy = check(&found, "uplink")["remedy"].as_str().unwrap().to_owned();
    let command = remedy.split('`').nth(1).unwrap().replace("GATEWAY", &GATEWAY.to_string());
    internet.ip("link set wan0 down").unwrap();
    wait::holds("the cable to be out", SETTLE, || {
        Ok(patient.examine()["headline"].as_str().unwrap_or_default().starts_with("wan0 has no carrier"))
    })
    .unwrap();
    internet.ip("link set wan0 up").unwrap();
    internet.ip(&format!("addr add {GATEWAY}/24 dev wan0")).unwrap();
    patient.sh(&command);
    patient.content();
}

#[test]
fn a_dead_name_server_is_named_and_the_gateway_is_not_accused() {
    let Some(patient) = Patient::admit() else { return };
    let internet = &patient.scene.internet.place;
    internet.ip(&format!("addr del {RESOLVER}/24 dev wan0")).unwrap();
    let found = patient.examine();
    assert_eq!(found["cause"], "dns", "{found:#}");
    assert!(found["headline"].as_str().unwrap().contains(&RESOLVER.to_string()), "{found:#}");
    assert_eq!(check(&found, "gateway")["verdict"], "ok", "{found:#}");
    assert!(check(&found, "dns")["remedy"].as_str().unwrap().contains("dns_upstreams"), "{found:#}");
    internet.ip(&format!("addr add {RESOLVER}/24 dev wan0")).unwrap();
    patient.content();
}

#[test]
fn a_device_with_an_address_of_its_own_choice_is_recognised() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::set().unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let mac = scene.clients[0].mac(PORT).unwrap();
    let silent = examine(&scene, &[&mac]);
    assert_eq!(silent["cause"], "dhcp", "{silent:#}");
    assert!(silent["headline"].as_str().unwrap().contains("has no lease"), "{silent:#}");
    scene.clients[0].ip("addr add 10.0.0.5/24 dev eth0").unwrap();
    let talk = Background::spawn(scene.clients[0].command("ping").args(["-i", "0.2", "10.0.0.1"])).unwrap();
    for device in [&[mac.as_str()][..], &[]] {
        let found = examine(&scene, device);
        assert_eq!(found["cause"], "address", "{found:#}");
        let headline = found["headline"].as_str().unwrap();
        assert!(headline.contains("uses 10.0.0.5, which is not in 192.168.137.0/24"), "{headline}");
        assert!(check(&found, "address")["remedy"].as_str().unwrap().contains("automatically"), "{found:#}");
    }
    drop(talk);
    scene.clients[0].ip("addr flush dev eth0").unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    let found = examine(&scene, &[&mac]);
    assert_eq!(found["healthy"], true, "{found:#}");
}

#[test]
fn a_network_without_a_free_address_and_another_dhcp_server_are_named() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::prepare().unwrap();
    scene.product.configure("[sharing]\nfull_subnet = \"192.168.137.1/29\"\n").unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&PRIVATE).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    // Four more devices, one after the other at the same port, and then the one there is no room for.
    let guest = &scene.clients[1];
    let ask = ["udhcpc", "-f", "-i", PORT, "-s", "/bin/true"].join(" ");
    for n in 1..=4 {
        guest.ip(&format!("link set {PORT} address 02:00:00:00:07:0{n}")).unwrap();
        guest.run(&format!("{ask} -n -q -t 10 -T 2")).unwrap();
    }
    let second = "02:00:00:00:07:05".to_owned();
    guest.ip(&format!("link set {PORT} address {second}")).unwrap();
    let words = format!("exec {ask} -t 3 -T 1 -A 1");
    let ask = Background::spawn(guest.command("sh").args(["-c", &words])).unwrap();
    let mut found = Value::Null;
    wait::holds("the pool to be exhausted", SETTLE, || {
        found = examine(&scene, &[&second]);
        Ok(found["headline"].as_str().unwrap_or_default().contains("every address is given away"))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{found:#}"));
    assert_eq!(found["cause"], "dhcp");
    assert!(check(&found, "dhcp")["remedy"].as_str().unwrap().contains("full_subnet"), "{found:#}");
    drop(ask);
    scene.product.run(["unshare"]).unwrap();
    let script = "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('',67))\ntime.sleep(1000)";
    let other = Background::spawn(scene.router.command("python3").args(["-c", script])).unwrap();
    wait::holds("the other server", SETTLE, || {
        Ok(scene.router.run("ss -Huln sport = :67")?.stdout.contains(":67"))
    })
    .unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let mut found = Value::Null;
    wait::holds("the other server to be named", SETTLE, || {
        found = examine(&scene, &[]);
        Ok(found["cause"] == "dhcp" && found["headline"].as_str().unwrap_or_default().contains("port 67"))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{found:#}"));
    drop(other);
}

#[test]
fn nothing_shared_and_a_table_that_was_deleted_are_no_riddle() {
    let Some(patient) = Patient::admit() else { return };
    patient.sh("nft delete table inet hostednet");
    // It is put back by itself; until then doctor says what is missing.
    patient.content();
    patient.scene.product.run(["unshare"]).unwrap();
    let found = examine(&patient.scene, &[]);
    assert_eq!((found["cause"].as_str(), found["healthy"].as_bool()), (Some("sharing"), Some(false)));
    assert_eq!(
        found["headline"].as_str().map(|it| it.starts_with("nothing is shared")),
        Some(true),
        "{found:#}"
    );
    let unknown = patient.scene.product.attempt(["doctor", "no-such-device"]).unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stderr.contains("no device"), "{unknown:?}");
}

#[test]
fn a_service_that_is_killed_in_an_examination_leaves_nothing_behind_for_long() {
    let Some(mut patient) = Patient::admit() else { return };
    // Without an answer the examination waits for one.
    patient.scene.internet.place.ip(&format!("addr del {RESOLVER}/24 dev wan0")).unwrap();
    let asking = patient.scene.product.stay(["doctor", "--json"]).unwrap();
    let probes = |patient: &Patient| {
        let links = patient.scene.router.ip("-o link").unwrap().stdout;
        let tables = patient.scene.router.run("nft list tables").unwrap().stdout;
        (links.contains("hnprobe"), tables.contains("hostednet_trace"))
    };
    wait::holds("the probe", SETTLE, || Ok(probes(&patient) == (true, true))).unwrap();
    patient.scene.product.kill().unwrap();
    drop(asking);
    patient.scene.product.start(&patient.scene.router).unwrap();
    assert_eq!(probes(&patient), (false, false), "the next start undoes it");
    patient.scene.product.terminate().unwrap();
    patient.scene.restored().unwrap();
}
