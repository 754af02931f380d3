//! The device's DHCP client on a real interface, against a server that others wrote (dnsmasq).

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{future::Future, time::Duration};

use hn_join::{Lease, Loss};
use hn_linux::station::{Addressed, Addressing, NamesBy};
use hn_testlab::{
    Tier,
    command::{Background, SHORT},
    ns::{Namespace, await_ready, cable},
    require,
    tier::{self, Standing},
};
use tokio::time::timeout;

/// What the client comes to is seen within this, on a busy machine: the watch over the network alone needs 13 s.
const SEEN: Duration = Duration::from_secs(60);

/// A device and a host at the two ends of a cable.
fn scene() -> (Namespace, Host) {
    let (device, host) = (Namespace::new("device").unwrap(), Namespace::new("host").unwrap());
    cable((&device, "wlan0"), (&host, "ap0")).unwrap();
    await_ready(&device, "wlan0").unwrap();
    await_ready(&host, "ap0").unwrap();
    (device, Host { place: host, server: None })
}

/// The other end, with a server or without.
struct Host {
    place: Namespace,
    server: Option<Background>,
}

impl Host {
    /// dnsmasq as the server of `192.168.N.0/24`, in place of whatever served before.
    fn serve(&mut self, n: u8) {
        self.server = None;
        self.place.ip("addr flush dev ap0 scope global").unwrap();
        self.place.ip(&format!("addr add 192.168.{n}.1/24 dev ap0")).unwrap();
        let mut dnsmasq = self.place.command(tier::program("dnsmasq").unwrap());
        dnsmasq.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
        ]);
        dnsmasq.args(["--port=0", "--pid-file=", "--dhcp-authoritative", "--log-dhcp", "--log-facility=-"]);
        dnsmasq.arg("--bind-interfaces").arg("--interface=ap0");
        dnsmasq.arg(format!("--dhcp-leasefile={}", self.place.files().join(n.to_string()).display()));
        dnsmasq.arg(format!("--dhcp-range=192.168.{n}.50,192.168.{n}.99,255.255.255.0,120s"));
        dnsmasq.args(["--dhcp-option=option:domain-name,lab.test"]);
        let mut server = Background::spawn(&mut dnsmasq).unwrap();
        server.await_log("DHCP, IP range", SHORT).unwrap();
        self.server = Some(server);
    }

    /// Waits until the server says `needle`.
    fn says(&mut self, needle: &str) {
        self.server.as_mut().unwrap().await_log(needle, SHORT).unwrap();
    }
}

/// What `ip` shows of the device: its addresses and its default routes.
fn shown(device: &Namespace) -> (String, String) {
    // Without how long it still holds.
    let address = device.ip("-4 -o addr show dev wlan0").unwrap().stdout;
    let address = address.split("valid_lft").next().unwrap_or_default().to_owned();
    let routes = device.ip("-4 route show default").unwrap().stdout;
    (address, routes)
}

fn addressing() -> Addressing {
    Addressing::new("wlan0".parse().unwrap(), false).unwrap()
}

/// Runs `work` in the device's network.
fn on_device<T: Send>(device: &Namespace, work: impl AsyncFnOnce() -> T + Send) -> T {
    device
        .enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work())
        })
        .unwrap()
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SEEN, future).await.unwrap_or_else(|_| panic!("{what}: not within {SEEN:?}"))
}

async fn bound(addressing: &mut Addressing) -> Lease {
    match soon("a lease", addressing.next()).await {
        Addressed::Bound(lease) => lease,
        Addressed::Lost(loss) => panic!("lost: {loss:?}"),
    }
}

#[test]
fn a_lease_becomes_address_and_route_and_goes_without_a_trace() {
    let Standing::Met = require(Tier::Namespaces) else { return };
    let (device, mut host) = scene();
    host.serve(173);
    let before = shown(&device);
    on_device(&device, async || {
        let mut addressing = addressing();
        addressing.begin().unwrap();
        let lease = bound(&mut addressing).await;
        assert_eq!((lease.address.prefix(), lease.seconds), (24, Some(120)));
        assert_eq!(lease.domain.as_deref(), Some("lab.test"));
        assert_eq!(lease.router, Some([192, 168, 173, 1].into()));
        addressing.apply(&lease).unwrap();
        assert_eq!(addressing.names(), NamesBy::Nobody);
        let (address, routes) = shown(&device);
        assert!(address.contains(&lease.address.to_string()), "{address}");
        assert!(routes.contains("default via 192.168.173.1") && routes.contains("metric 600"), "{routes}");
        device.run("ping -n -c 1 -W 5 192.168.173.1").unwrap();
        // The same lease again changes nothing.
        addressing.apply(&lease).unwrap();
        assert_eq!(shown(&device), (address, routes));
        addressing.end();
    });
    assert_eq!(shown(&device), before);
    host.says("DHCPRELEASE");
}

#[test]
fn what_a_killed_join_configured_ends_by_itself() {
    let Standing::Met = require(Tier::Namespaces) else { return };
    let (device, mut host) = scene();
    host.serve(174);
    let left = || -> u64 {
        let shown = device.ip("-4 -o addr show dev wlan0").unwrap().stdout;
        let seconds = shown.split("valid_lft ").nth(1).and_then(|rest| rest.split("sec").next());
        seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("for ever: {shown}"))
    };
    let lease = on_device(&device, async || {
        let mut addressing = addressing();
        addressing.begin().unwrap();
        let lease = bound(&mut addressing).await;
        addressing.apply(&lease).unwrap();
        assert!(left() <= 90);
        // While it lives it holds on.
        device.ip(&format!("addr change {} dev wlan0 valid_lft 40 preferred_lft 40", lease.address)).unwrap();
        assert!(left() <= 40);
        let held_on = async {
            while left() <= 40 {
                let _ = timeout(Duration::from_millis(200), addressing.next()).await;
            }
        };
        timeout(Duration::from_secs(40), held_on).await.expect("the address is confirmed");
        // As after kill -9: nothing is taken back.
        std::mem::forget(addressing);
        lease
    });
    assert!(shown(&device).1.contains("default via"));
    device.ip(&format!("addr change {} dev wlan0 valid_lft 2 preferred_lft 2", lease.address)).unwrap();
    hn_testlab::wait::holds("neither address nor route", Duration::from_secs(30), || {
        let (address, routes) = shown(&device);
        Ok(address.is_empty() && routes.is_empty())
    })
    .unwrap();
}

#[test]
fn after_a_new_link_the_address_is_confirmed_or_replaced() {
    let Standing::Met = require(Tier::Namespaces) else { return };
    let (device, mut host) = scene();
    host.serve(173);
    on_device(&device, async || {
        let mut addressing = addressing();
        addressing.begin().unwrap();
        let first = bound(&mut addressing).await;
        addressing.apply(&first).unwrap();
        // The same network again: one request, and the same address.
        addressing.halt();
        addressing.withdraw();
        addressing.begin().unwrap();
        let second = bound(&mut addressing).await;
        assert_eq!(second.address, first.address);
        addressing.apply(&second).unwrap();
        // Another one: the old address is refused, and a new one got.
        addressing.halt();
        addressing.withdraw();
        host.serve(137);
        addressing.begin().unwrap();
        let third = bound(&mut addressing).await;
        host.says("DHCPNAK");
        addressing.apply(&third).unwrap();
        let (address, routes) = shown(&device);
        assert!(third.address.to_string().starts_with("192.168.137."), "{third:?}");
        assert!(address.contains("192.168.137.") && !address.contains("192.168.173."), "{address}");
        assert!(routes.contains("via 192.168.137.1") && routes.lines().count() == 1, "{routes}");
        addressing.end();
    });
}

#[test]
fn a_network_that_changes_under_a_standing_link_is_noticed() {
    let Standing::Met = require(Tier::Namespaces) else { return };
    let (device, mut host) = scene();
    host.serve(173);
    on_device(&device, async || {
        let mut addressing = addressing();
        addressing.begin().unwrap();
        let first = bound(&mut addressing).await;
        addressing.apply(&first).unwrap();
        // The host must have been asked once, and have answered, or its silence means nothing.
        host.place.ip("neigh flush dev ap0").unwrap();
        soon("the first question", async {
            while !host.place.ip("neigh show dev ap0").unwrap().stdout.contains("192.168.173.") {
                let quiet = timeout(Duration::from_millis(200), addressing.next()).await;
                assert!(quiet.is_err(), "{quiet:?}");
            }
            let _ = timeout(Duration::from_millis(200), addressing.next()).await;
        })
        .await;
        host.serve(137);
        assert_eq!(soon("the refusal", addressing.next()).await, Addressed::Lost(Loss::Refused));
        addressing.withdraw();
        let second = bound(&mut addressing).await;
        assert!(second.address.to_string().starts_with("192.168.137."), "{second:?}");
        addressing.end();
    });
}
