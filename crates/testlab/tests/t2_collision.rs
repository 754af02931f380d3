//! The segment's network turns up elsewhere on the machine: before it starts, and while it runs. Clients that others wrote
//! are online again without anybody helping them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hn_testlab::command::Background;
use hn_testlab::internet::WEB_NAME;
use hn_testlab::lease::Client;
use hn_testlab::ns::Namespace;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, require, wait};
use rustix::process::Signal;

/// The address that the uplink is given; its network is the one that sharing prefers.
const SAME: &str = "192.168.137.77/24";

/// The scene, or `None` where this tier cannot run.
fn scene() -> Option<Wired> {
    if require(Tier::Namespaces).is_missing() {
        return None;
    }
    Some(Wired::set().unwrap())
}

fn subnet(scene: &Wired) -> String {
    scene.product.field("/sharing/subnet").unwrap().as_str().unwrap_or_default().to_owned()
}

/// The IPv4 address of a client, if it has one.
fn address(client: &Namespace) -> String {
    client.ip(&format!("-4 -o addr show dev {PORT} scope global")).unwrap().stdout
}

/// A name and a page, without a word to the client that runs there.
fn online(scene: &mut Wired, client: usize) {
    let gateway = subnet(scene).split('/').next().unwrap().to_owned();
    let place = &mut scene.clients[client];
    place.resolve_through(gateway.parse().unwrap()).unwrap();
    wait::holds("a page", LEASE, || {
        let page = place.attempt(&format!("curl -sS --max-time 5 http://{WEB_NAME}/")).unwrap();
        Ok(page.stdout.starts_with("Hello from the Internet"))
    })
    .unwrap();
}

#[test]
fn failure_14_an_uplink_with_the_same_network_at_the_start_is_kept_clear_of() {
    let Some(mut scene) = scene() else { return };
    scene.router.ip(&format!("addr add {SAME} dev {PUBLIC}")).unwrap();
    wait::holds("another network", SETTLE, || {
        scene.share(&[PRIVATE[0]])?;
        let other = !subnet(&scene).starts_with("192.168.137.");
        if !other {
            scene.product.run(["unshare"])?;
        }
        Ok(other)
    })
    .unwrap();
    let lease = scene.online(0, Client::Udhcpc).unwrap();
    assert_ne!(lease.address.octets()[2], 137);
}

#[test]
fn failure_14_an_uplink_that_gets_the_same_network_later_moves_the_segment_and_its_devices() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    // A client that stays, as on any Linux device: it hears of its carrier.
    let mut dhcpcd = dhcpcd(&scene.clients[0]);
    let first = wait::until("the first lease", LEASE, || {
        Ok(Some(address(&scene.clients[0])).filter(|address| address.contains("192.168.137.")))
    });
    first.unwrap_or_else(|error| panic!("{error:#}\n{}", dhcpcd.log()));
    scene.router.ip(&format!("addr add {SAME} dev {PUBLIC}")).unwrap();
    wait::holds("another network", SETTLE, || Ok(subnet(&scene).starts_with("192.168.138."))).unwrap();
    wait::holds("a lease of the other network", LEASE, || {
        let has = address(&scene.clients[0]);
        Ok(has.contains("192.168.138.") && !has.contains("192.168.137."))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", dhcpcd.log(), scene.product.log()));
    online(&mut scene, 0);
    assert_eq!(scene.product.field("/sharing/phase").unwrap(), "running");
    // Whoever comes from here on asks again soon.
    let lease = hn_testlab::lease::ask(Client::Udhcpc, &scene.clients[0], PORT, LEASE).unwrap();
    assert!(lease.seconds <= 600, "{lease:?}");
    dhcpcd.end(Signal::TERM, SETTLE).unwrap();
    // What the uplink got is the uplink's.
    scene.product.terminate().unwrap();
    scene.router.ip(&format!("addr del {SAME} dev {PUBLIC}")).unwrap();
    scene.restored().unwrap();
}

#[test]
fn failure_14_a_device_that_was_away_is_told_that_its_lease_is_void() {
    let Some(mut scene) = scene() else { return };
    scene.share(&PRIVATE).unwrap();
    let first = reboot(&scene.clients[0]);
    assert!(first.contains("bound to 192.168.137."), "{first}");
    scene.router.ip(&format!("addr add {SAME} dev {PUBLIC}")).unwrap();
    wait::holds("another network", SETTLE, || Ok(subnet(&scene).starts_with("192.168.138."))).unwrap();
    let second = reboot(&scene.clients[0]);
    assert!(second.contains("DHCPNAK") && second.contains("bound to 192.168.138."), "{second}");
    scene.online(0, Client::Udhcpc).unwrap();
    // A network that is free again is not moved back to.
    scene.router.ip(&format!("addr del {SAME} dev {PUBLIC}")).unwrap();
    scene.online(0, Client::Udhcpc).unwrap();
    assert!(subnet(&scene).starts_with("192.168.138."));
}

/// dhclient asks for the address it remembers, as after a reboot: what it says.
fn reboot(place: &Namespace) -> String {
    let own = place.files().join("reboot");
    std::fs::create_dir_all(&own).unwrap();
    // A copy: Debian confines the original to its own folders.
    let copy = own.join("dhclient");
    if !copy.exists() {
        std::fs::copy(hn_testlab::tier::program("dhclient").unwrap(), &copy).unwrap();
    }
    let own = own.display();
    place
        .run(&format!(
            "{own}/dhclient -1 -v -sf /bin/true -cf /dev/null -lf {own}/leases -pf {own}/pid {PORT}"
        ))
        .map(|done| {
            place
                .run(&format!(
                    "{own}/dhclient -x -sf /bin/true -cf /dev/null -lf {own}/none -pf {own}/pid {PORT}"
                ))
                .unwrap();
            format!("{}{}", done.stdout, done.stderr)
        })
        .unwrap()
}

/// A client that stays.
fn dhcpcd(place: &Namespace) -> Background {
    // Its state and its resolver are its own.
    let own = place.files().join("dhcpcd");
    std::fs::create_dir_all(&own).unwrap();
    for shown in ["/var/lib/dhcpcd", "/run/dhcpcd"] {
        std::fs::create_dir_all(shown).unwrap();
    }
    let own = own.display();
    let mut command = place.command("sh");
    command.args([
        "-ec",
        &format!(
            "mount --bind {own} /var/lib/dhcpcd; mount -t tmpfs none /run/dhcpcd; touch {own}/empty.conf
            exec dhcpcd -B -4 -d -f {own}/empty.conf -c /bin/true {PORT}"
        ),
    ]);
    Background::spawn(&mut command).unwrap()
}

#[test]
fn failure_24_sharing_begins_with_the_cable_unplugged_and_serves_the_moment_it_is_plugged_in() {
    for private in [&PRIVATE[..1], &PRIVATE[..]] {
        let Some(mut scene) = scene() else { return };
        scene.clients[0].ip(&format!("link set {PORT} down")).unwrap();
        let carrier = scene.router.ip(&format!("-o link show {}", PRIVATE[0])).unwrap().stdout;
        assert!(carrier.contains("NO-CARRIER") || carrier.contains("state DOWN"), "{carrier}");
        scene.share(private).unwrap();
        // Everything is bound although nothing could be reached yet, and nothing is reported.
        let status = scene.product.status().unwrap();
        assert_eq!(status["sharing"]["dns"], true, "{status}");
        assert_eq!(status["sharing"]["detail"], serde_json::json!([]), "{status}");
        // No address that is told to devices is still being tried out.
        let tentative = scene.router.ip("-6 -o addr show tentative").unwrap().stdout;
        assert!(!tentative.contains(" fd"), "{tentative}");
        scene.clients[0].ip(&format!("link set {PORT} up")).unwrap();
        scene.online(0, Client::Udhcpc).unwrap();
        scene.product.terminate().unwrap();
    }
}

#[test]
fn failure_24_a_link_that_comes_and_goes_takes_neither_addresses_nor_names_with_it() {
    let Some(mut scene) = scene() else { return };
    scene.share(&[PRIVATE[0]]).unwrap();
    let first = scene.online(0, Client::Udhcpc).unwrap();
    for _ in 0..3 {
        scene.clients[0].ip(&format!("link set {PORT} down")).unwrap();
        wait::holds("no carrier", SETTLE, || {
            Ok(scene.router.ip(&format!("-o link show {}", PRIVATE[0]))?.stdout.contains("NO-CARRIER"))
        })
        .unwrap();
        scene.clients[0].ip(&format!("link set {PORT} up")).unwrap();
        assert_eq!(scene.online(0, Client::Udhcpc).unwrap().address, first.address);
    }
}
