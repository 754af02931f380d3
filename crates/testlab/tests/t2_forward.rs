//! Ports that lead to devices, and connections that are closed, judged by real connections.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::{
    Tier, internet,
    lease::Client,
    mirror::{INSIDE, reached, serving, tcp, udp},
    ns::Namespace,
    require, wait,
    wired::{PORT, PRIVATE, PUBLIC, SETTLE, Wired},
};

fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    let scene = Wired::set().unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    Some(scene)
}

/// The device says its name when it asks for an address.
fn named(device: &Namespace, name: &str) {
    let script = device.files().join(format!("dhcp-{PORT}/script"));
    let mut command = device.command("udhcpc");
    command.args([
        "-i",
        PORT,
        "-f",
        "-q",
        "-n",
        "-t",
        "20",
        "-T",
        "1",
        "-x",
        &format!("hostname:{name}"),
        "-s",
    ]);
    let output = command.arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mapped_port_leads_to_its_device_until_it_is_switched_off() {
    let Some(mut scene) = scene() else { return };
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    let target = format!("{}:{INSIDE}", lease.address);
    let outside = &scene.internet.place;
    serving(&scene.clients[0], || {
        assert_eq!(tcp(outside, internet::UPLINK, 8080), None, "nothing is mapped");
        scene.product.run(["forward", "add", "web", "tcp", "8080", &target]).unwrap();
        scene.product.run(["forward", "add", "game", "udp", "8080", &target]).unwrap();
        let seen = reached("the mapped port", || tcp(outside, internet::UPLINK, 8080));
        assert_ne!(seen, lease.router.unwrap().to_string(), "the device sees who asks");
        reached("the mapped UDP port", || udp(outside, internet::UPLINK, 8080));
        assert_eq!(tcp(outside, internet::UPLINK, 8081), None, "one port, no other");
        assert_eq!(tcp(outside, lease.address, INSIDE), None, "and not past the mapping");
        let list = scene.product.json(&["forward", "list"]).unwrap();
        assert_eq!(list[0]["active"], true, "{list}");
        assert_eq!(list[0]["connection"], PUBLIC);
        scene.product.run(["forward", "disable", "1"]).unwrap();
        assert_eq!(tcp(outside, internet::UPLINK, 8080), None, "switched off");
        scene.product.run(["forward", "enable", "1"]).unwrap();
        reached("the port switched on again", || tcp(outside, internet::UPLINK, 8080));
        scene.product.run(["forward", "remove", "1"]).unwrap();
        scene.product.run(["forward", "remove", "2"]).unwrap();
        assert_eq!(tcp(outside, internet::UPLINK, 8080), None, "removed");
    });
    scene.product.terminate().unwrap();
    scene.restored().unwrap();
}

#[test]
fn hairpin_a_neighbour_and_the_device_itself_use_the_public_address() {
    let Some(mut scene) = scene() else { return };
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    scene
        .product
        .run(["forward", "add", "web", "tcp", "8080", &format!("{}:{INSIDE}", lease.address)])
        .unwrap();
    serving(&scene.clients[0], || {
        reached("the device through the public address", || tcp(&scene.clients[0], internet::UPLINK, 8080));
        let router = lease.router.unwrap();
        assert_eq!(tcp(&scene.clients[0], router, 8080), None, "the private address is the host's own");
    });
}

#[test]
fn a_mapping_to_a_name_follows_the_device_to_another_address() {
    let Some(mut scene) = scene() else { return };
    let first = scene.online(0, Client::Udhcpc).unwrap();
    let said = scene.product.run(["forward", "add", "web", "tcp", "8080", &format!("tv:{INSIDE}")]).unwrap();
    assert!(said.stdout.contains("no device named tv"), "{}", said.stdout);
    named(&scene.clients[0], "tv");
    let outside = &scene.internet.place;
    serving(&scene.clients[0], || {
        reached("the device by its name", || tcp(outside, internet::UPLINK, 8080));
    });
    scene.clients[0].ip(&format!("addr flush dev {PORT}")).unwrap();
    scene.clients[0].ip(&format!("link set {PORT} address 02:00:00:00:77:01")).unwrap();
    named(&scene.clients[0], "tv");
    wait::holds("the mapping to follow", SETTLE, || {
        let list = scene.product.json(&["forward", "list"])?;
        Ok(list[0]["active"] == true && list[0]["address"] != first.address.to_string())
    })
    .unwrap_or_else(|error| panic!("{error:#}: {}", scene.product.json(&["devices"]).unwrap()));
    serving(&scene.clients[0], || {
        reached("the device at its new address", || tcp(outside, internet::UPLINK, 8080));
    });
}

#[test]
fn mappings_survive_the_service() {
    let Some(mut scene) = scene() else { return };
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    scene
        .product
        .run(["forward", "add", "web", "tcp", "8080", &format!("{}:{INSIDE}", lease.address)])
        .unwrap();
    scene.product.kill().unwrap();
    scene.product.start(&scene.router).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    serving(&scene.clients[0], || {
        reached("the mapped port", || tcp(&scene.internet.place, internet::UPLINK, 8080));
    });
}
