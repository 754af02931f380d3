//! NetworkManager on the machine that shares: asked to leave the private side alone while it is one, given it back
//! afterwards, never edited. Debian's own, on a bus of its own in the namespace of the router.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::neighbour::{self, Machine};
use hn_testlab::state::SystemState;
use hn_testlab::wired::{PRIVATE, PUBLIC, SETTLE};
use hn_testlab::{Tier, require, wait};

/// A router whose private interfaces are NetworkManager's, with a profile active on the first.
struct Managed {
    machine: Machine,
    before: SystemState,
    files: String,
    devices: String,
}

/// Every file below its folder, with mode, owner and content.
const FILES: &str = "find /etc/NetworkManager -exec stat -c '%n %f %u %g %s %Y' {} +; \
                     find /etc/NetworkManager -type f -exec sha256sum {} +";

impl Managed {
    /// `None` where this tier cannot run.
    fn new() -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut machine = Machine::new().unwrap();
        neighbour::network_manager(&mut machine).unwrap();
        let before = SystemState::capture(&machine.scene.router, &[]).unwrap();
        let files = machine.sh(FILES).unwrap();
        let devices = devices(&machine);
        machine.scene.product.start(&machine.scene.router).unwrap();
        Some(Self { machine, before, files, devices })
    }

    fn await_state(&self, interface: &str, state: &str) {
        let what = format!("{interface} {state} at NetworkManager");
        wait::holds(&what, SETTLE, || Ok(devices(&self.machine).contains(&format!("{interface}:{state}"))))
            .unwrap_or_else(|error| {
                panic!("{error:#}: {}\n{}", devices(&self.machine), self.machine.scene.product.log())
            });
    }

    fn share(&mut self) {
        self.machine.scene.share(&[PRIVATE[0]]).unwrap();
        self.machine.online().unwrap();
    }

    /// NetworkManager manages everything as before, and nothing else is left either.
    fn restored(&self) {
        wait::holds("NetworkManager as before", SETTLE, || Ok(devices(&self.machine) == self.devices))
            .unwrap_or_else(|error| {
                panic!("{error:#}: {}\n{}", devices(&self.machine), self.machine.scene.product.log())
            });
        let (difference, _) = self.before.restored(&self.machine.scene.router, &[], SETTLE).unwrap();
        assert!(difference.is_empty(), "{difference}\n{}", self.machine.scene.product.log());
        assert_eq!(self.machine.sh(FILES).unwrap(), self.files, "its files are not ours to touch");
    }
}

/// Device, state and profile, as `nmcli` tells them.
fn devices(machine: &Machine) -> String {
    machine.sh("nmcli --terse --fields DEVICE,STATE,CONNECTION device | sort").unwrap()
}

#[test]
fn failure_3_after_a_stop_networkmanager_manages_the_interface_as_before() {
    let Some(mut managed) = Managed::new() else { return };
    managed.share();
    managed.await_state(PRIVATE[0], "unmanaged");
    managed.machine.scene.product.run(["unshare"]).unwrap();
    managed.await_state(PRIVATE[0], "connected:office");
    managed.machine.scene.product.terminate().unwrap();
    managed.restored();
}

#[test]
fn failure_3_after_a_crash_and_a_restart_networkmanager_manages_the_interface_as_before() {
    let Some(mut managed) = Managed::new() else { return };
    managed.share();
    managed.machine.scene.product.kill().unwrap();
    managed.await_state(PRIVATE[0], "unmanaged");
    let router = &managed.machine.scene.router;
    managed.machine.scene.product.start(router).unwrap();
    managed.await_state(PRIVATE[0], "connected:office");
    managed.machine.scene.product.terminate().unwrap();
    managed.restored();
}

#[test]
fn failure_3_what_a_killed_service_asked_for_is_taken_back_by_undo() {
    let Some(mut managed) = Managed::new() else { return };
    managed.share();
    managed.machine.scene.product.kill().unwrap();
    managed.machine.scene.product.undo(&managed.machine.scene.router).unwrap();
    managed.restored();
}

#[test]
fn failure_3_two_members_and_the_bridge_are_left_alone_and_given_back() {
    let Some(mut managed) = Managed::new() else { return };
    managed.machine.scene.share(&PRIVATE).unwrap();
    managed.machine.online().unwrap();
    for interface in [PRIVATE[0], PRIVATE[1], "hnbr0"] {
        managed.await_state(interface, "unmanaged");
    }
    // One private interface less: it goes back at once, the other stays ours.
    managed.machine.scene.share(&[PRIVATE[1]]).unwrap();
    managed.await_state(PRIVATE[0], "connected:office");
    managed.await_state(PRIVATE[1], "unmanaged");
    managed.machine.scene.product.terminate().unwrap();
    managed.restored();
}

#[test]
fn a_networkmanager_that_restarts_or_comes_late_leaves_the_segment_alone() {
    let Some(mut managed) = Managed::new() else { return };
    managed.machine.end_daemon().unwrap();
    // It is away: nothing happens, and sharing works.
    managed.machine.scene.share(&PRIVATE).unwrap();
    neighbour::network_manager_again(&mut managed.machine).unwrap();
    for interface in [PRIVATE[0], PRIVATE[1]] {
        managed.await_state(interface, "unmanaged");
    }
    managed.machine.online().unwrap();
    managed.machine.end_daemon().unwrap();
    neighbour::network_manager_again(&mut managed.machine).unwrap();
    managed.await_state(PRIVATE[0], "unmanaged");
    managed.machine.online().unwrap();
    // What it holds back of ours is given back when it comes again.
    managed.machine.end_daemon().unwrap();
    managed.machine.scene.product.run(["unshare"]).unwrap();
    neighbour::network_manager_again(&mut managed.machine).unwrap();
    wait::holds("NetworkManager with its interfaces", SETTLE, || {
        let devices = devices(&managed.machine);
        Ok(PRIVATE.iter().all(|interface| !devices.contains(&format!("{interface}:unmanaged"))))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", managed.machine.scene.product.log()));
}

#[test]
fn an_interface_that_networkmanager_shares_itself_is_refused_with_its_profile() {
    let Some(managed) = Managed::new() else { return };
    managed
        .machine
        .sh("nmcli connection add type ethernet ifname lan1 con-name guests ipv4.method shared ipv6.method disabled \
             autoconnect no && nmcli --wait 20 connection up guests")
        .unwrap();
    let refused = managed.machine.scene.product.attempt(["share", PUBLIC, PRIVATE[1]]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("NetworkManager shares"), "{}", refused.stderr);
    assert!(refused.stderr.contains("guests"), "{}", refused.stderr);
    assert!(devices(&managed.machine).contains("lan1:connected:guests"), "it is not fought");
    let remedy = refused.stderr.lines().find_map(|line| line.trim().strip_prefix("try: ")).unwrap();
    managed.machine.sh(remedy).unwrap();
    managed.machine.scene.share(&[PRIVATE[1]]).unwrap();
}

/// What `dist/` installs for NetworkManager.
const DROP_IN: &str = include_str!("../../../dist/NetworkManager/conf.d/50-hostednet.conf");

#[test]
fn with_the_file_in_dist_interfaces_of_ours_are_not_networkmanagers_from_the_moment_they_exist() {
    let Some(managed) = Managed::new() else { return };
    let machine = &managed.machine;
    // Whether it leaves a new bridge alone, once it has seen it.
    let left_alone = |name: &str| {
        // With an address: it watches no others.
        machine
            .sh(&format!(
                "ip link add {name} type bridge; ip link set {name} up; ip addr add 10.8.8.8/32 dev {name}"
            ))
            .unwrap();
        wait::until(&format!("{name} at NetworkManager"), SETTLE, || {
            let devices = devices(machine);
            let line = devices.lines().find(|line| line.starts_with(&format!("{name}:")));
            Ok(line.map(|line| line.contains(":unmanaged:")))
        })
        .unwrap()
    };
    machine
        .sh(&format!(
            "cat > /etc/NetworkManager/conf.d/50-hostednet.conf <<'END'\n{DROP_IN}END\nnmcli general reload conf"
        ))
        .unwrap();
    for ours in ["hnbr7", "hnap7"] {
        assert!(left_alone(ours), "{ours}: {}", devices(machine));
    }
    // Which is due to the file: another bridge becomes its own.
    left_alone("br7");
    wait::holds("another bridge to be NetworkManager's", SETTLE, || {
        Ok(devices(machine).lines().any(|line| line.starts_with("br7:") && !line.contains(":unmanaged:")))
    })
    .unwrap();
    for ours in ["hnbr7", "hnap7"] {
        assert!(devices(machine).contains(&format!("{ours}:unmanaged:")), "{}", devices(machine));
    }
}

/// One of the neighbours in the status.
fn neighbour(machine: &Machine, name: &str) -> Option<serde_json::Value> {
    let all = machine.scene.product.field("/neighbours").ok()?;
    all.as_array()?.iter().find(|neighbour| neighbour["name"] == name).cloned()
}

#[test]
fn neighbours_are_shown_with_what_they_hold_and_what_they_were_asked_for() {
    let Some(mut managed) = Managed::new() else { return };
    neighbour::dnsmasq(&mut managed.machine).unwrap();
    managed.share();
    let machine = &managed.machine;
    let manager = neighbour(machine, "NetworkManager").unwrap();
    assert_eq!(manager["asked"], serde_json::json!(["leave lan0 alone"]));
    assert_eq!(manager["conflict"], "");
    // What was found a moment ago is told for a moment.
    let dnsmasq = wait::until("dnsmasq", SETTLE, || Ok(neighbour(machine, "dnsmasq"))).unwrap();
    let holds = dnsmasq["holds"].to_string();
    for held in
        ["UDP port 53 of every address", "TCP port 53 of every address", "UDP port 67 of every address"]
    {
        assert!(holds.contains(held), "{holds}");
    }
    let said = machine.scene.product.run(["status"]).unwrap().stdout;
    assert!(said.contains("Neighbours") && said.contains("asked to leave lan0 alone"), "{said}");
    // Neither our own processes nor those of other namespaces are neighbours.
    let all = machine.scene.product.field("/neighbours").unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    machine.scene.product.run(["unshare"]).unwrap();
    wait::holds("nothing asked", SETTLE, || {
        Ok(neighbour(machine, "NetworkManager")
            .is_some_and(|manager| manager["asked"] == serde_json::json!([])))
    })
    .unwrap();
}

#[test]
fn a_dhcp_client_of_systemd_networkd_on_a_private_interface_is_a_conflict_that_is_named() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    neighbour::networkd(&mut machine, PRIVATE[0]).unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    let conflict =
        || neighbour(&machine, "systemd-networkd").map(|networkd| networkd["conflict"].to_string());
    // While the interface is nobody's, its client is its own affair.
    wait::holds("networkd", SETTLE, || {
        let networkd = neighbour(&machine, "systemd-networkd");
        Ok(networkd.is_some_and(|networkd| networkd["holds"].to_string().contains("DHCP client on lan0")))
    })
    .unwrap();
    assert_eq!(conflict().unwrap(), "\"\"");
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    wait::holds("the conflict", SETTLE, || {
        Ok(conflict().is_some_and(|conflict| conflict.contains("on lan0, which is private")))
    })
    .unwrap();
    machine.online().unwrap();
}

#[test]
fn join_leaves_an_interface_to_networkmanager_that_is_its_own_and_says_how_to_go_on() {
    let Some(managed) = Managed::new() else { return };
    let machine = &managed.machine;
    let key = machine.scene.router.files().join("key");
    std::fs::write(&key, "correct horse battery").unwrap();
    let key = key.display().to_string();
    let join = |interface: &str| {
        let mut command = machine.scene.product.hostednet([
            "join",
            "Lab",
            "--interface",
            interface,
            "--key-file",
            &key,
            "--once",
        ]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", machine.bus());
        let done = hn_testlab::command::run(&mut command, SETTLE).unwrap();
        assert!(!done.status.success());
        done.stderr
    };
    let refused = join(PRIVATE[0]);
    assert!(refused.contains("NetworkManager manages it"), "{refused}");
    assert!(refused.contains(&format!("nmcli device set {} managed no", PRIVATE[0])), "{refused}");
    assert!(devices(machine).contains("lan0:connected:office"), "nothing was touched");
    // One that is not its own is no concern of it; that there is no Wi-Fi there is another matter.
    assert!(!join(PUBLIC).contains("NetworkManager"));
}
