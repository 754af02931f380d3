//! Firewalls of others, for real: what they would drop is found before a start, the start names them, and the remedy
//! it prints is carried out to the letter – after which a device is online.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use hn_testlab::command::Background;
use hn_testlab::lease::Client;
use hn_testlab::wired::{PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};

/// A router, and what its commands see in place of the machine's own files.
struct Neighbour {
    scene: Wired,
    /// Bind mounts and variables of every command.
    prelude: String,
}

impl Neighbour {
    /// `None` where this tier cannot run.
    fn new() -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut scene = Wired::prepare().unwrap();
        scene.product.start(&scene.router).unwrap();
        Some(Self { scene, prelude: String::new() })
    }

    /// Runs a script on the router; it must succeed.
    fn sh(&self, script: &str) -> String {
        let mut command = self.scene.router.command("sh");
        command.args(["-ec", &format!("{}\n{script}", self.prelude)]);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Shows a private copy of a folder or file to every command.
    fn private_copy(&mut self, path: &str) {
        let copy = self.scene.router.files().join(path.replace('/', "+"));
        let copy = copy.display();
        self.sh(&format!("cp -a {path} {copy}"));
        self.prelude.push_str(&format!("mount --bind {copy} {path}\n"));
    }

    /// Sharing is refused naming `owner`; nothing is left; what the refusal says to run makes it work.
    fn refused_until_the_remedy_is_run(&mut self, owner: &str) {
        let before = hn_testlab::state::SystemState::capture(&self.scene.router, &[]).unwrap();
        let refused = self.scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = &refused.stderr;
        assert!(said.contains(&format!("{owner} drops ")), "{owner} is not named in {said}");
        let (difference, _) = before.restored(&self.scene.router, &[], SETTLE).unwrap();
        assert!(difference.is_empty(), "the refused start left:\n{difference}");
        let remedy = said.lines().find_map(|line| line.trim().strip_prefix("try: ")).unwrap();
        self.sh(remedy);
        self.scene.share(&[PRIVATE[0]]).unwrap_or_else(|error| panic!("after {remedy:?}: {error:#}"));
        self.scene.online(0, Client::Udhcpc).unwrap_or_else(|error| panic!("after {remedy:?}: {error:#}"));
        self.scene.product.run(["unshare"]).unwrap();
    }

    /// Sharing works as it is.
    fn works(&mut self) {
        self.scene.share(&[PRIVATE[0]]).unwrap();
        self.scene.online(0, Client::Udhcpc).unwrap();
        self.scene.product.run(["unshare"]).unwrap();
    }
}

#[test]
fn failure_1_ufw_is_named_and_its_own_commands_open_it() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    for path in ["/etc/ufw", "/etc/default/ufw", "/var/log"] {
        neighbour.private_copy(path);
    }
    neighbour.sh("ufw --force enable");
    assert!(neighbour.sh("ufw status").contains("active"));
    neighbour.refused_until_the_remedy_is_run("ufw");
    neighbour.sh("ufw --force disable");
}

#[test]
fn failure_1_firewalld_is_named_and_its_own_command_opens_it() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    let files = neighbour.scene.router.files().display().to_string();
    for path in ["/etc/firewalld", "/var/log"] {
        neighbour.private_copy(path);
    }
    neighbour.prelude.push_str(&format!("export DBUS_SYSTEM_BUS_ADDRESS=unix:path={files}/bus\n"));
    let _bus = daemon(
        &neighbour,
        &format!("exec dbus-daemon --system --nofork --nopidfile --address=unix:path={files}/bus"),
    );
    wait::holds("the bus", SETTLE, || Ok(fs::exists(format!("{files}/bus"))?)).unwrap();
    let _firewalld = daemon(&neighbour, "exec firewalld --nofork --nopid");
    wait::holds("firewalld", SETTLE, || {
        let mut command = neighbour.scene.router.command("sh");
        command.args(["-ec", &format!("{}\nfirewall-cmd --state", neighbour.prelude)]);
        Ok(command.output()?.status.success())
    })
    .unwrap();
    neighbour.refused_until_the_remedy_is_run("firewalld");
}

/// A program of the neighbour that stays; it ends with the value.
fn daemon(neighbour: &Neighbour, script: &str) -> Background {
    let mut command = neighbour.scene.router.command("sh");
    command.args(["-ec", &format!("{}\n{script}", neighbour.prelude)]);
    Background::spawn(&mut command).unwrap()
}

/// The rules of Docker 24 as it gives them to iptables.
const DOCKER: &str = "
    iptables -t nat -N DOCKER
    iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
    iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
    iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
    iptables -t nat -A DOCKER -i docker0 -j RETURN
    for chain in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do iptables -N $chain; done
    iptables -P FORWARD DROP
    iptables -A FORWARD -j DOCKER-USER
    iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
    iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A FORWARD -o docker0 -j DOCKER
    iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
    iptables -A FORWARD -i docker0 -o docker0 -j ACCEPT
    iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
    iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
    iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
    iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
    iptables -A DOCKER-USER -j RETURN";

#[test]
fn failure_2_docker_is_named_and_its_user_chain_opens_it() {
    let Some(mut neighbour) = Neighbour::new() else { return };
    neighbour.sh(DOCKER);
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
    let refused = neighbour.scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
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
    neighbour.scene.share(&[PRIVATE[0]]).unwrap();
    neighbour.scene.online(0, Client::Udhcpc).unwrap();
    neighbour.sh("iptables -P FORWARD DROP");
    neighbour.scene.product.run(["unshare"]).unwrap();
    let refused = neighbour.scene.product.attempt(["share", PUBLIC, PRIVATE[0]]).unwrap();
    assert!(refused.stderr.contains("rules of iptables"), "{}", refused.stderr);
}
