//! Devices kept from the host's other networks (`isolate_from`): what they still reach and what they do not, with
//! connections.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::command::Background;
use hn_testlab::internet::GATEWAY;
use hn_testlab::lease::Client;
use hn_testlab::ns::{self, Namespace};
use hn_testlab::wired::{PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};

/// A web server in the uplink's own network: the page of the provider's router.
const PAGE: &str = "http://192.168.1.1/";
/// The machine in its other network, and a printer there.
const OTHER: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

struct Scene {
    wired: Wired,
    /// The host's other network.
    _other: Namespace,
    _servers: Vec<Background>,
}

impl Scene {
    /// Everything answers; the service runs with this configuration and a device is online.
    fn new(configuration: &str) -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut wired = Wired::prepare().unwrap();
        wired.internet.place.ip("addr add 192.168.1.1/24 dev wan0").unwrap();
        wired.router.ip(&format!("addr add 192.168.1.2/24 dev {PUBLIC}")).unwrap();
        let other = Namespace::new("other").unwrap();
        ns::cable((&wired.router, "eth1"), (&other, "eth0")).unwrap();
        wired.router.ip(&format!("addr add {}/24 dev eth1", OTHER[0])).unwrap();
        other.ip(&format!("addr add {}/24 dev eth0", OTHER[1])).unwrap();
        other.ip(&format!("route add default via {}", OTHER[0])).unwrap();
        let mut servers = Vec::new();
        for place in [&wired.internet.place, &other, &wired.router] {
            let mut command = place.command("python3");
            command.args(["-m", "http.server", "8081", "--directory"]).arg(place.files());
            servers.push(Background::spawn(&mut command).unwrap());
            wait::holds("the server", SETTLE, || {
                Ok(place.attempt("curl -sS --max-time 5 http://127.0.0.1:8081/")?.status.success())
            })
            .unwrap();
        }
        if !configuration.is_empty() {
            wired.product.configure(configuration).unwrap();
        }
        wired.product.start(&wired.router).unwrap();
        wired.share(&[PRIVATE[0]]).unwrap();
        wired.online(0, Client::Udhcpc).unwrap();
        Some(Self { wired, _other: other, _servers: servers })
    }

    /// Whether the device reaches this host's port 8081.
    fn reaches(&self, address: &str) -> bool {
        let url = format!("http://{address}:8081/");
        let asked = self.wired.clients[0].attempt(&format!("curl -sS --max-time 3 {url}")).unwrap();
        asked.status.success()
    }

    /// What the rules dropped of what is told so.
    fn dropped(&self, comment: &str) -> bool {
        let listed = self.wired.router.run("nft list table inet hostednet").unwrap().stdout;
        listed.lines().any(|line| line.contains(comment) && !line.contains("packets 0 "))
    }
}

#[test]
fn without_isolation_a_device_reaches_what_is_beside_the_uplink() {
    let Some(scene) = Scene::new("") else { return };
    assert!(scene.reaches("192.168.1.1"), "{PAGE}");
    assert!(scene.reaches(OTHER[0]));
    assert!(!scene.reaches(OTHER[1]), "nothing is forwarded into another network of the host");
}

#[test]
fn a_guest_reaches_the_internet_and_neither_the_routers_page_nor_the_hosts_other_networks() {
    let Some(mut scene) = Scene::new("[sharing]\nisolate_from = [\"private\"]\n") else { return };
    assert!(!scene.reaches("192.168.1.1"), "{PAGE}");
    assert!(!scene.reaches("192.168.1.2"), "the host in the uplink's network");
    assert!(!scene.reaches(OTHER[0]), "the host in its other network");
    assert!(!scene.reaches(OTHER[1]));
    assert!(scene.dropped("kept from 192.168.0.0/16") && scene.dropped("kept from this host in 10.0.0.0/8"));
    // What is not private is reached, also in the uplink's own network, and the host in the segment.
    assert!(scene.reaches(&GATEWAY.to_string()));
    assert!(scene.reaches("192.168.137.1"));
    scene.wired.online(0, Client::Udhcpc).unwrap();
}

#[test]
fn a_guest_is_kept_from_one_network_and_from_those_of_an_interface_by_name() {
    let configuration = "[sharing]\nisolate_from = [\"192.168.1.0/24\", \"eth1\"]\n";
    let Some(scene) = Scene::new(configuration) else { return };
    assert!(!scene.reaches("192.168.1.1") && !scene.reaches("192.168.1.2"));
    assert!(!scene.reaches(OTHER[0]));
    assert!(scene.dropped("kept from this host in 10.77.0.0/24"));
    assert!(scene.reaches(&GATEWAY.to_string()));
}

#[test]
fn who_was_let_in_by_a_mapping_gets_answers_into_a_network_that_devices_are_kept_from() {
    let Some(mut scene) = Scene::new("[sharing]\nisolate_from = [\"private\"]\n") else { return };
    let lease = scene.wired.online(0, Client::Udhcpc).unwrap();
    let device = &scene.wired.clients[0];
    let mut command = device.command("python3");
    command.args(["-m", "http.server", "8082", "--directory"]).arg(device.files());
    let _server = Background::spawn(&mut command).unwrap();
    let target = format!("{}:8082", lease.address);
    scene.wired.product.run(["forward", "add", "page", "tcp", "8082", &target]).unwrap();
    let page = "curl -sS --max-time 5 --interface 192.168.1.1 http://192.168.1.2:8082/";
    wait::holds("the page of the device", SETTLE, || {
        Ok(scene.wired.internet.place.attempt(page)?.status.success())
    })
    .unwrap();
}
