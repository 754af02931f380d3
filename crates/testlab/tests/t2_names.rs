//! Port 53 of the machine is somebody else's: devices get addresses and names all the same, and the somebody keeps what
//! it has.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use anyhow::Result;
use hn_testlab::internet::{LONG_NAME, WEB, WEB_NAME};
use hn_testlab::lease::{self, Client};
use hn_testlab::neighbour::{self, Machine, Neighbour, OWN_ANSWER, OWN_NAME};
use hn_testlab::state::SystemState;
use hn_testlab::wired::{PORT, PRIVATE, SETTLE};
use hn_testlab::{Tier, require, wait};

const GATEWAY: &str = "192.168.137.1";

/// Asks as a device does.
fn dig(machine: &Machine, words: &str) -> String {
    let asked = machine.scene.clients[0].run(&format!("dig +short +time=3 +tries=3 @{GATEWAY} {words}"));
    asked.unwrap().stdout.trim().to_owned()
}

fn devices_have_names_whoever_holds_the_port(set_up: fn(&mut Machine) -> Result<Neighbour>) {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    // What it leaves in the kernel for good is there before.
    set_up(&mut machine).unwrap();
    machine.end_daemon().unwrap();
    let before = SystemState::capture(&machine.scene.router, &[]).unwrap();
    set_up(&mut machine).unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    // Lease, name by UDP, page.
    machine.online().unwrap();
    assert_eq!(machine.scene.product.field("/sharing/dns").unwrap(), true);
    // Only our server knows the machine by its name in the segment, and does not know what the other one does.
    let host = machine.scene.router.run("hostname -s").unwrap().stdout;
    let host = format!("{}.mshome.net", host.trim());
    wait::holds("the redirection", SETTLE, || Ok(dig(&machine, &format!("+tcp {host}")) == GATEWAY)).unwrap();
    for how in ["+notcp", "+tcp"] {
        assert_eq!(dig(&machine, &format!("{how} {host}")), GATEWAY, "{how}");
        assert_eq!(dig(&machine, &format!("{how} {WEB_NAME}")), WEB.to_string(), "{how}");
        assert_eq!(dig(&machine, &format!("{how} {OWN_NAME}")), "", "{how}: not the other server");
    }
    assert!(
        dig(&machine, &format!("TXT {LONG_NAME}")).len() > 512,
        "what is cut short is asked again by TCP"
    );
    let detail = machine.scene.product.field("/sharing/detail").unwrap().to_string();
    assert_eq!(detail.matches("port 53 is held by").count(), 1, "{detail}");
    // The other server is as it was, for the machine and for whoever else it serves.
    let own = machine.sh(&format!("dig +short +time=3 +tries=3 @127.0.0.1 {OWN_NAME}")).unwrap();
    assert_eq!(own.trim(), OWN_ANSWER);
    // It ends, and comes back while we are there.
    machine.end_daemon().unwrap();
    assert_eq!(dig(&machine, WEB_NAME), WEB.to_string());
    set_up(&mut machine).unwrap();
    assert_eq!(dig(&machine, &format!("+tcp {WEB_NAME}")), WEB.to_string());
    machine.scene.product.terminate().unwrap();
    machine.end_daemon().unwrap();
    let (difference, _) = before.restored(&machine.scene.router, &[], SETTLE).unwrap();
    assert!(difference.is_empty(), "{difference}");
}

#[test]
fn failure_4_dnsmasq_at_port_53_of_every_address_takes_neither_addresses_nor_names_from_devices() {
    devices_have_names_whoever_holds_the_port(neighbour::dnsmasq);
}

#[test]
fn failure_4_unbound_at_port_53_of_every_address_takes_neither_addresses_nor_names_from_devices() {
    devices_have_names_whoever_holds_the_port(neighbour::unbound);
}

#[test]
fn failure_4_a_dhcp_server_that_starts_while_we_share_finds_its_port_free_and_gives_our_devices_nothing() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    machine.online().unwrap();
    // Nobody holds port 67, and yet a device that renews its lease is not told so.
    let renew = format!(
        "import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect(('{GATEWAY}',PORT))
s.send(b'renew'); time.sleep(0.5); s.send(b'renew')"
    );
    let said = |machine: &Machine, port: &str| {
        let client = &machine.scene.clients[0];
        client
            .command("python3")
            .args(["-c", &renew.replace("PORT", port)])
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(said(&machine, "67") && !said(&machine, "66"));
    // It takes the port of every address, and shares it with nobody.
    let leases = machine.scene.router.files().join("dnsmasq.leases").display().to_string();
    machine
        .daemon(&format!(
            "exec dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --log-facility=- --port=0 \
             --dhcp-range=192.168.137.10,192.168.137.20 --dhcp-leasefile={leases}"
        ))
        .unwrap();
    wait::holds("dnsmasq at its port", SETTLE, || {
        Ok(machine.scene.router.run("ss -Hlunp sport = :67")?.stdout.contains("dnsmasq"))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", machine.said()));
    // A device asks anew, of every server there is.
    let client = &machine.scene.clients[0];
    let lease = lease::ask(Client::Udhcpc, client, PORT, SETTLE).unwrap();
    assert_eq!(lease.server, GATEWAY.parse().ok(), "{lease:?}");
    machine.online().unwrap();
    assert!(!machine.said().contains("DHCPDISCOVER"), "it has heard our device: {}", machine.said());
}

#[test]
fn failure_4_a_server_that_takes_the_port_and_shares_it_with_nobody_is_led_past() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut machine = Machine::new().unwrap();
    // Neither protocol may be shared with it.
    let holder = "import socket,signal
udp=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); udp.bind(('',53))
tcp=socket.socket(); tcp.bind(('',53)); tcp.listen()
print('holds',flush=True); signal.pause()";
    std::fs::write(machine.scene.router.files().join("holder.py"), holder).unwrap();
    let script = machine.scene.router.files().join("holder.py").display().to_string();
    machine.daemon(&format!("exec python3 {script}")).unwrap();
    wait::holds("the holder", SETTLE, || Ok(machine.said().contains("holds"))).unwrap();
    machine.scene.product.start(&machine.scene.router).unwrap();
    machine.scene.share(&[PRIVATE[0]]).unwrap();
    wait::holds("names", SETTLE, || machine.online().map(|()| true)).unwrap();
    assert_eq!(dig(&machine, &format!("+tcp {WEB_NAME}")), WEB.to_string());
    let table = machine.scene.router.run("nft list table inet hostednet").unwrap().stdout;
    assert!(table.contains("udp dport 53 dnat ip to 192.168.137.1:"), "{table}");
    assert!(!table.contains(":5353"), "that is mDNS's port");
    // A device that wants another name server gets that.
    let elsewhere = machine.scene.clients[0]
        .run(&format!("dig +short +time=3 +tries=3 @{} {WEB_NAME}", hn_testlab::internet::RESOLVER))
        .unwrap();
    assert_eq!(elsewhere.stdout.trim(), WEB.to_string());
    // The worker is replaced: its port may be another one.
    for worker in hn_testlab::product::children(machine.scene.product.pid().unwrap()).unwrap() {
        rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    }
    wait::holds("names again", SETTLE, || Ok(machine.online().is_ok())).unwrap();
}
