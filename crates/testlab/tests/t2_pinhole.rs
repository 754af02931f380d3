//! Ways in over IPv6: a device whose address the world knows is reached where it asked for it, and nowhere else.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use hn_testlab::command::Background;
use hn_testlab::mirror::{INSIDE, reached, serving, tcp, udp};
use hn_testlab::wired::{PORT, PRIVATE, SETTLE, Wired};
use hn_testlab::{Tier, provider, require, wait};

/// Two devices with addresses of a prefix that a real server delegated.
struct Scene {
    /// The provider's programs end before its network.
    _provider: [Background; 2],
    wired: Wired,
    prefix: Ipv6Addr,
    address: Ipv6Addr,
}

fn scene() -> Option<Scene> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let mut wired = Wired::prepare().unwrap();
    provider::speak_ipv6(&wired).unwrap();
    let radvd = provider::radvd(&wired, false).unwrap();
    let kea = provider::kea(&wired, "2001:db8:100::", false).unwrap();
    provider::await_uplink(&wired).unwrap();
    wired.product.configure("[port_mapping]\nlifetime_min_s = 1\n").unwrap();
    wired.product.start(&wired.router).unwrap();
    wired.share(&PRIVATE).unwrap();
    let prefix = provider::await_source(&wired, "delegated").unwrap();
    provider::route_delegation(&wired, &format!("{prefix}/56")).unwrap();
    for device in &wired.clients {
        provider::autoconfigured(device, PORT, prefix).unwrap();
    }
    let address = provider::autoconfigured(&wired.clients[0], PORT, prefix).unwrap();
    wait::holds("an answer of the device to the Internet", SETTLE, || {
        let ping = wired.internet.place.attempt(&format!("ping -6 -n -c 1 -W 2 {address}"))?;
        Ok(ping.status.success())
    })
    .unwrap();
    Some(Scene { _provider: [radvd, kea], wired, prefix, address })
}

impl Scene {
    /// What `upnpc` says on a device, once it says `wanted`.
    fn upnpc(&self, device: usize, words: &str, wanted: &str) -> String {
        let words = format!("upnpc -6 -i -m {PORT} {words}");
        let mut last = String::new();
        let found = wait::until(&words, SETTLE, || {
            let done = self.wired.clients[device].attempt(&words)?;
            last = format!("{}{}", done.stdout, done.stderr);
            Ok(last.contains(wanted).then(|| last.clone()))
        });
        found.unwrap_or_else(|error| panic!("{error:#}: {last}\n{}", self.wired.product.log()))
    }

    /// Opens the port for `seconds`; the number of the pinhole.
    fn open(&self, protocol: &str, seconds: u32) -> u16 {
        let words = format!("-A empty 0 {} {INSIDE} {protocol} {seconds}", self.address);
        let said = self.upnpc(0, &words, "Pinhole ID = ");
        let id = said.lines().find_map(|line| line.split_once("Pinhole ID = ")).unwrap().1;
        id.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    /// What the pinhole has let in, as its device is told.
    fn packets(&self, id: u16) -> u64 {
        let said = self.upnpc(0, &format!("-K {id}"), "PinholePackets = ");
        said.lines().find_map(|line| line.split_once("PinholePackets = ")).unwrap().1.trim().parse().unwrap()
    }

    fn tcp(&self) -> Option<String> {
        tcp(&self.wired.internet.place, self.address, INSIDE)
    }

    fn udp(&self) -> Option<String> {
        udp(&self.wired.internet.place, self.address, INSIDE)
    }

    fn listed(&self) -> serde_json::Value {
        self.wired.product.json(&["forward", "list"]).unwrap()
    }
}

fn closed(what: &str, ask: impl Fn() -> Option<String>) {
    wait::holds(what, SETTLE, || Ok(ask().is_none())).unwrap();
}

#[test]
fn a_device_opens_a_port_of_its_own_address_by_upnp_and_it_is_closed_afterwards() {
    let Some(scene) = scene() else { return };
    serving(&scene.wired.clients[0], || {
        // From inside it is there; the Internet is refused.
        reached("the device by its neighbour", || tcp(&scene.wired.clients[1], scene.address, INSIDE));
        assert_eq!(scene.tcp(), None, "unasked");

        let id = scene.open("TCP", 600);
        // The answer came after the firewall opened: the first attempt arrives, and nothing is translated.
        let seen = reached("the device by TCP", || scene.tcp());
        assert!(seen.parse::<Ipv6Addr>().unwrap().segments().starts_with(&[0x2001, 0xdb8]), "{seen}");
        assert_eq!(scene.udp(), None, "the other protocol is not concerned");
        let list = scene.listed();
        assert_eq!((&list[0]["origin"], &list[0]["active"]), (&"upnp".into(), &true.into()), "{list}");
        assert!(list[0]["expires_s"].as_u64().unwrap() <= 600, "{list}");
        assert_eq!(scene.wired.product.field("/port_mapping/pinholes").unwrap(), 1);
        scene.upnpc(0, &format!("-U {id} 900"), "with Lease Time: 900");
        assert!(scene.listed()[0]["expires_s"].as_u64().unwrap() > 600, "{}", scene.listed());

        // It is nobody else's to close, and nobody else's address to open.
        let foreign = format!("-A empty 0 {} {} TCP 600", scene.address, INSIDE + 1);
        scene.upnpc(1, &foreign, "failed with code");
        scene.upnpc(1, &format!("-D {id}"), "returned : 606");
        reached("the device still", || scene.tcp());

        scene.upnpc(0, &format!("-D {id}"), "returned : 0");
        closed("the port that was given back", || scene.tcp());
        // One that nobody gives back ends by itself; one that the administrator removes at once.
        scene.open("UDP", 2);
        closed("the port whose time is over", || scene.udp());
        scene.open("UDP", 600);
        reached("the device by UDP", || scene.udp());
        let id = scene.listed()[0]["id"].to_string();
        scene.wired.product.run(["forward", "remove", &id]).unwrap();
        assert_eq!(scene.udp(), None, "removed by the administrator");
    });
}

#[test]
fn a_device_is_told_what_its_pinhole_has_let_in_whatever_happens_to_the_rules() {
    let Some(scene) = scene() else { return };
    serving(&scene.wired.clients[0], || {
        let id = scene.open("TCP", 600);
        assert_eq!(scene.packets(id), 0);
        scene.upnpc(0, &format!("-C {id}"), "failed with code 709");
        reached("the device by TCP", || scene.tcp());
        // A connection, an acknowledgement of what came, and its end: not its first packet alone.
        let passed = scene.packets(id);
        assert!((3..50).contains(&passed), "{passed}");
        scene.upnpc(0, &format!("-C {id}"), "IsWorking = Yes");
        // What the device itself begins, and the answers to it, are no business of the pinhole's.
        scene.wired.clients[0].run(&format!("ping -6 -n -c 3 -i 0.2 {}", provider::SERVER)).unwrap();
        assert_eq!(scene.packets(id), passed);
        // The table is made anew for another pinhole, and by us when somebody removes it.
        let other = scene.open("UDP", 600);
        assert_eq!((scene.packets(id), scene.packets(other)), (passed, 0));
        scene.wired.router.run("nft delete table inet hostednet").unwrap();
        scene.wired.product.await_field("/sharing/rules_restored", &1.into(), SETTLE).unwrap();
        reached("the device by UDP", || scene.udp());
        assert!(scene.packets(other) > 0);
        reached("the device by TCP again", || scene.tcp());
        assert!(scene.packets(id) >= passed + 3, "{passed}, then {}", scene.packets(id));
        scene.upnpc(1, &format!("-K {id}"), "failed with code 606");
    });
}

#[test]
fn a_device_opens_a_port_of_its_own_address_by_pcp_and_it_is_closed_afterwards() {
    let Some(scene) = scene() else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = Ipv6Addr::from_bits(scene.prefix.to_bits() | 1);
    let options = |seconds| crab_nat::PortMappingOptions {
        external_port: NonZeroU16::new(INSIDE),
        lifetime_seconds: Some(seconds),
        timeout_config: None,
    };
    let map = |protocol, seconds| {
        let mapping = crab_nat::PortMapping::new(
            IpAddr::V6(gateway).into(),
            IpAddr::V6(scene.address),
            protocol,
            NonZeroU16::new(INSIDE).unwrap(),
            options(seconds),
        );
        runtime().block_on(mapping)
    };
    let device = &scene.wired.clients[0];
    serving(device, || {
        assert_eq!(scene.tcp(), None, "unasked");
        let mapping = wait::until("a mapping by PCP", SETTLE, || {
            device.enter(|| map(crab_nat::InternetProtocol::Tcp, 600).ok())
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", scene.wired.product.log()));
        assert!(matches!(mapping.mapping_type(), crab_nat::PortMappingType::Pcp { .. }));
        reached("the device by TCP", || scene.tcp());
        assert_eq!(scene.udp(), None, "the other protocol is not concerned");
        assert_eq!(scene.listed()[0]["origin"], "pcp", "{}", scene.listed());
        device.enter(move || runtime().block_on(mapping.try_drop()).unwrap()).unwrap();
        closed("the port that was given back", || scene.tcp());
        device.enter(|| map(crab_nat::InternetProtocol::Udp, 2).map(|_| ()).unwrap()).unwrap();
        closed("the port whose time is over", || scene.udp());
        // Without the prefix there is nothing to be reached, and nothing is listed as open.
        assert_eq!(scene.listed().as_array().unwrap().len(), 0, "{}", scene.listed());
    });
}
