//! Firewalls of others, for real: what they would drop is found before a start, the start names them, and the remedy
//! it prints is carried out to the letter – after which a device is online.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use hn_testlab::command::Background;
use hn_testlab::lease::Client;
use hn_testlab::neighbour::{self, Machine};
use hn_testlab::wired::{PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};

/// A router with a neighbour and the service running.
struct Neighbour {
    machine: Machine,
}

impl Neighbour {
    /// `None` where this tier cannot run.
    fn new() -> Option<Self> {
        Self::with(|_| Ok(neighbour::Neighbour::default()))
    }

    /// With a neighbour that is there before the service starts.
    fn with(set_up: fn(&mut Machine) -> Result<neighbour::Neighbour>) -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut machine = Machine::new().unwrap();
        set_up(&mut machine).unwrap();
        machine.scene.product.start(&machine.scene.router).unwrap();
        Some(Self { machine })
    }

    fn sh(&self, script: &str) -> String {
        self.machine.sh(script).unwrap()
    }

    /// Sharing is refused naming `owner`; nothing is left; what the refusal says to run makes it work.
    fn refused_until_the_remedy_is_run(&mut self, owner: &str) {
        let (said, remedy) = self.machine.refusal().unwrap();
        assert!(said.contains(&format!("{owner} drops ")), "{owner} is not named in {said}");
        let remedy = &remedy;
        self.sh(remedy);
        self.machine.scene.share(&[PRIVATE[0]]).unwrap_or_else(|error| panic!("after {remedy:?}: {error:#}"));
        self.machine
            .scene
            .online(0, Client::Udhcpc)
            .unwrap_or_else(|error| panic!("after {remedy:?}: {error:#}"));
        self.machine.scene.product.run(["unshare"]).unwrap();
    }

    /// Sharing works as it is.
    fn works(&mut self) {
        self.machine.scene.share(&[PRIVATE[0]]).unwrap();
        self.machine.scene.online(0, Client::Udhcpc).unwrap();
        self.machine.scene.product.run(["unshare"]).unwrap();
    }
}

#[test]
fn failure_1_ufw_is_named_and_its_own_commands_open_it() {
    let Some(mut neighbour) = Neighbour::with(neighbour::ufw) else { return };
    neighbour.refused_until_the_remedy_is_run("ufw");
    neighbour.sh("ufw --force disable");
}

#[test]
fn failure_1_firewalld_that_cannot_be_asked_is_named_and_its_own_command_opens_it() {
    // On a bus that the service does not see.
    let Some(mut neighbour) = Neighbour::with(|machine| {
        machine.system_bus(false)?;
        neighbour::firewalld_on_bus(machine)?;
        Ok(neighbour::Neighbour::default())
    }) else {
        return;
    };
    neighbour.refused_until_the_remedy_is_run("firewalld");
}

#[test]
fn failure_2_docker_is_named_and_its_user_chain_opens_it() {
    let Some(mut neighbour) = Neighbour::with(neighbour::docker) else { return };
    neighbour.refused_until_the_remedy_is_run("Docker");
}

#[test]
fn failure_2_a_forward_policy_of_iptables_is_named_and_opened() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    neighbour.sh("iptables -P FORWARD DROP; iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT
        iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A INPUT -p tcp --dport 22 -j ACCEPT");
    neighbour.refused_until_the_remedy_is_run("rules of iptables");
}

#[test]
fn failure_1_a_workstation_table_of_nftables_is_named_and_opened() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    neighbour.sh("nft -f - <<'END'
        table inet workstation {
            set allowed { type inet_service; flags interval; elements = { 22, 80, 6000-6010 }; }
            chain inbound {
                type filter hook input priority filter; policy drop;
                ct state vmap { established : accept, related : accept, invalid : drop }
                iif lo accept
                ip protocol icmp limit rate 10/second accept
                tcp dport @allowed accept
                udp dport { 5353, 67-68 } accept
            }
            chain passing { type filter hook forward priority filter; policy drop; }
        }
END");
    neighbour.refused_until_the_remedy_is_run("rules of nftables");
}

#[test]
fn failure_2_the_lock_of_a_vpn_application_is_named() {
    let Some(neighbour) = Neighbour::new() else { return };
    neighbour.sh("nft -f - <<'END'
        table inet mullvad {
            chain forward {
                type filter hook forward priority filter; policy drop;
                oifname \"wg0-mullvad\" accept
                iifname \"wg0-mullvad\" ct state established accept
                reject
            }
        }
END");
    let refused = neighbour.machine.scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("mullvad drops "), "{}", refused.stderr);
    assert!(refused.stderr.contains("turn its lock off"), "{}", refused.stderr);
}

#[test]
fn rules_that_do_not_stop_us_are_not_accused() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    // Drops for others, drops that depend on what cannot be known, and accepts in maps and sub-chains.
    neighbour.sh(
        "nft -f - <<'END'
        table inet mostly {
            map fates { type ifname : verdict; elements = { \"lan0\" : jump guests, \"lan1\" : drop, \"wan0\" : jump world }; }
            chain guests { meta l4proto { tcp, udp } accept; icmp type echo-request accept; }
            chain world { ct state established,related accept; ct state invalid drop; }
            chain inbound {
                type filter hook input priority filter; policy drop;
                ct state established,related accept
                iifname vmap @fates
                iif lo accept
            }
            chain passing {
                type filter hook forward priority filter; policy drop;
                ip daddr 203.0.113.0/24 drop
                tcp dport 25 drop
                iifname vmap @fates
            }
            chain early {
                type filter hook forward priority filter - 10; policy accept;
                meta mark 0x5 drop
                limit rate over 100000/second drop
                ip saddr 10.0.0.0/8 drop
                iifname \"lan1\" drop
            }
        }
END",
    );
    neighbour.works();
}

#[test]
fn who_closes_the_way_later_does_not_end_what_runs() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.scene.online(0, Client::Udhcpc).unwrap();
    let detail =
        |neighbour: &Neighbour| neighbour.machine.scene.product.field("/sharing/detail").unwrap().to_string();
    neighbour.sh("iptables -P FORWARD DROP");
    wait::holds(
        "the status to say it",
        SETTLE,
        || Ok(detail(&neighbour).contains("rules of iptables drops")),
    )
    .unwrap();
    assert!(detail(&neighbour).contains("try: iptables -I FORWARD"), "{}", detail(&neighbour));
    assert_eq!(neighbour.machine.scene.product.field("/sharing/phase").unwrap(), "running");
    neighbour.sh("iptables -P FORWARD ACCEPT");
    wait::holds("the status to be clean", SETTLE, || Ok(detail(&neighbour) == "[]")).unwrap();
    neighbour.sh("iptables -P FORWARD DROP");
    neighbour.machine.scene.product.run(["unshare"]).unwrap();
    let refused = neighbour.machine.scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
    assert!(refused.stderr.contains("rules of iptables"), "{}", refused.stderr);
}

#[test]
fn failure_1_firewalld_is_asked_to_let_the_connection_through_and_gets_it_back() {
    let Some(mut neighbour) = Neighbour::with(|machine| {
        let firewalld = neighbour::firewalld(machine)?;
        // A person had decided about this one.
        machine.sh("firewall-cmd --zone=internal --add-interface=lan0")?;
        Ok(firewalld)
    }) else {
        return;
    };
    let zone =
        |neighbour: &Neighbour| neighbour.sh("firewall-cmd --get-zone-of-interface=lan0").trim().to_owned();
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.online().unwrap();
    assert_eq!(zone(&neighbour), "nm-shared");
    assert_eq!(
        neighbour.sh("firewall-cmd --permanent --zone=nm-shared --list-interfaces").trim(),
        "",
        "run-time only"
    );
    // Killed, and started again: the person's zone is back.
    neighbour.machine.scene.product.kill().unwrap();
    assert_eq!(zone(&neighbour), "nm-shared");
    neighbour.machine.scene.product.start(&neighbour.machine.scene.router).unwrap();
    assert_eq!(zone(&neighbour), "internal");
    neighbour.works();
    assert_eq!(zone(&neighbour), "internal");
}

#[test]
fn failure_1_the_zone_that_comes_with_us_lets_devices_out_and_not_at_this_machine() {
    let Some(mut neighbour) = Neighbour::with(|machine| {
        machine.system_bus(true)?;
        machine.private_copy("/etc/firewalld")?;
        let zone = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/firewalld/hostednet.xml");
        machine.sh(&format!("cp {zone} /etc/firewalld/zones/"))?;
        neighbour::firewalld_on_bus(machine)?;
        machine.daemon("exec python3 -m http.server 8081")?;
        wait::holds("the server", SETTLE, || machine.holds("curl -sS --max-time 5 http://127.0.0.1:8081/"))?;
        Ok(neighbour::Neighbour::default())
    }) else {
        return;
    };
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.online().unwrap();
    assert_eq!(neighbour.sh("firewall-cmd --get-zone-of-interface=lan0").trim(), "hostednet");
    let client = &neighbour.machine.scene.clients[0];
    assert!(client.attempt("ping -c 1 -W 5 192.168.137.1").unwrap().status.success());
    assert!(!client.attempt("curl -sS --max-time 5 http://192.168.137.1:8081/").unwrap().status.success());
}

#[test]
fn failure_1_firewalld_that_starts_while_we_share_is_asked_then() {
    let Some(mut neighbour) = Neighbour::with(|machine| {
        machine.system_bus(true)?;
        Ok(neighbour::Neighbour::default())
    }) else {
        return;
    };
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.online().unwrap();
    neighbour::firewalld_on_bus(&mut neighbour.machine).unwrap();
    let zone = || neighbour.machine.holds("test $(firewall-cmd --get-zone-of-interface=lan0) = nm-shared");
    wait::holds("the zone", SETTLE, zone).unwrap();
    neighbour.machine.online().unwrap();
}

#[test]
fn rules_that_stop_ipv6_alone_are_told_and_refuse_nothing() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    neighbour.sh("ip6tables -P INPUT DROP");
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.online().unwrap();
    let detail = || Ok(neighbour.machine.scene.product.field("/sharing/detail")?.to_string());
    wait::holds("the status to say it", SETTLE, || {
        let detail: Result<String> = detail();
        Ok(detail?.contains("rules of iptables drops IPv6 name queries to this machine"))
    })
    .unwrap();
    assert!(detail().unwrap().contains("try: ip6tables -I INPUT -i lan0 -j ACCEPT"), "{:?}", detail());
}

/// What `hostednet monitor` has told about rules that were put back.
fn put_back(monitor: &Background) -> usize {
    monitor.log().lines().filter(|line| line.contains("another program") && line.contains("put back")).count()
}

/// A router that shares, with a client online behind it and somebody who watches.
fn sharing() -> Option<(Neighbour, Background)> {
    let mut neighbour = Neighbour::new()?;
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.machine.scene.online(0, Client::Udhcpc).unwrap();
    let monitor = neighbour.machine.scene.product.stay(["monitor"]).unwrap();
    Some((neighbour, monitor))
}

/// Somebody does this to the rules: our table is soon again as it was, that is told, and the client is online.
fn survives(neighbour: &mut Neighbour, monitor: &Background, damage: &str) {
    let table = |neighbour: &Neighbour| {
        let mut command = neighbour.machine.scene.router.command("nft");
        let output = command.args(["-s", "list", "table", "inet", "hostednet"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (before, told) = (table(neighbour), put_back(monitor));
    assert!(before.contains("masquerade"), "{before}");
    neighbour.sh(damage);
    wait::holds(&format!("the table after `{damage}`"), BACK, || {
        Ok(put_back(monitor) > told && table(neighbour) == before)
    })
    .unwrap_or_else(|error| {
        panic!("{error:#}\n{}\n{}", monitor.log(), neighbour.machine.scene.product.log())
    });
    neighbour
        .machine
        .scene
        .online(0, Client::Udhcpc)
        .unwrap_or_else(|error| panic!("after {damage:?}: {error:#}"));
    assert_eq!(neighbour.machine.scene.product.field("/sharing/phase").unwrap(), "running");
}

/// Rules are back within seconds.
const BACK: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn failure_16_rules_survive_a_flush_of_the_whole_ruleset() {
    let Some((mut neighbour, monitor)) = sharing() else { return };
    survives(&mut neighbour, &monitor, "nft flush ruleset");
    neighbour.machine.scene.product.run(["unshare"]).unwrap();
    assert_eq!(neighbour.sh("nft list ruleset"), "", "what is not wanted does not come back");
}

#[test]
fn failure_16_rules_survive_the_loss_of_one_chain_and_a_reload_of_nftables() {
    let Some((mut neighbour, monitor)) = sharing() else { return };
    survives(
        &mut neighbour,
        &monitor,
        "nft 'flush chain inet hostednet postrouting; delete chain inet hostednet postrouting'",
    );
    // As /etc/nftables.conf of every distribution begins.
    let reload = "printf 'flush ruleset\\ntable inet filter { chain input { type filter hook input priority 0; }; }\\n' | nft -f -";
    survives(&mut neighbour, &monitor, reload);
    assert!(neighbour.sh("nft list tables").contains("inet filter"), "theirs is theirs");
}

#[test]
fn failure_16_who_flushes_in_a_loop_does_not_make_us_spin() {
    let Some((neighbour, monitor)) = sharing() else { return };
    let told = |monitor: &Background| monitor.log().contains("keeps removing");
    wait::holds("the complaint", SETTLE, || {
        neighbour.sh("nft flush ruleset");
        Ok(told(&monitor))
    })
    .unwrap();
    let detail = neighbour.machine.scene.product.field("/sharing/detail").unwrap().to_string();
    assert!(detail.contains("keeps removing"), "{detail}");
    // Nothing is forwarded without rules, and they come back by themselves when that somebody stops.
    assert_eq!(neighbour.sh("cat /proc/sys/net/ipv4/conf/lan0/forwarding").trim(), "0");
    wait::holds("the rules", SETTLE, || Ok(neighbour.sh("nft list ruleset").contains("inet hostednet {")))
        .unwrap();
    neighbour.machine.scene.product.await_field("/sharing/detail", &serde_json::json!([]), SETTLE).unwrap();
}

/// Others who change rules all the time, by both front ends.
const WRITERS: [&str; 3] = [
    "while :; do iptables -I INPUT -p tcp --dport 9 -j ACCEPT; iptables -D INPUT -p tcp --dport 9 -j ACCEPT; done",
    "while :; do nft add table inet busy; nft add chain inet busy c; nft add rule inet busy c accept; nft delete table inet busy; done",
    "while :; do ip6tables -N BUSY; ip6tables -X BUSY; done",
];

/// The chains of a listing, in order.
fn chains(listing: &str) -> Vec<String> {
    let lines = listing.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("chain ") || line.contains("masquerade"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn failure_15_rules_are_all_there_or_not_at_all_while_others_write_in_a_loop() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    let table = |place: &hn_testlab::ns::Namespace| {
        chains(&place.attempt("nft -s list table inet hostednet").unwrap().stdout)
    };
    neighbour.machine.scene.share(&[PRIVATE[0]]).unwrap();
    let whole = table(&neighbour.machine.scene.router);
    assert!(whole.iter().any(|line| line.contains("masquerade")), "{whole:?}");
    neighbour.machine.scene.product.run(["unshare"]).unwrap();
    for writer in WRITERS {
        neighbour.machine.daemon(writer).unwrap();
    }
    let done = AtomicBool::new(false);
    let Wired { router, product, .. } = &neighbour.machine.scene;
    let (full, empty) = thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let (mut full, mut empty) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let seen = table(router);
                if seen.is_empty() {
                    empty += 1;
                } else {
                    assert_eq!(seen, whole, "a part of the table");
                    full += 1;
                }
            }
            (full, empty)
        });
        // Ends the observer also when this panics.
        let turns = panic::catch_unwind(AssertUnwindSafe(|| {
            for turn in 0..20 {
                product
                    .run(["share", PUBLIC, PRIVATE[0]])
                    .unwrap_or_else(|error| panic!("share {turn}: {error:#}"));
                assert_eq!(table(router), whole, "after share {turn}");
                product.run(["unshare"]).unwrap_or_else(|error| panic!("unshare {turn}: {error:#}"));
                assert!(table(router).is_empty(), "after unshare {turn}");
            }
        }));
        done.store(true, Ordering::Relaxed);
        let seen = observer.join().unwrap();
        turns.unwrap_or_else(|panic| panic::resume_unwind(panic));
        seen
    });
    assert!(full > 0 && empty > 0, "seen whole {full} times and absent {empty} times");
    // Nobody took anything from us, and we put nothing back.
    assert_eq!(neighbour.machine.scene.product.field("/sharing/rules_restored").unwrap(), 0);
    for _ in WRITERS {
        neighbour.machine.end_daemon().unwrap();
    }
    neighbour.works();
}
