//! The services lane with a real worker: sockets handed over, ports that others hold, a worker that is killed.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "the worker's process is this program again, and owns descriptor 3")]

use std::{
    cell::RefCell,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::{FromRawFd as _, OwnedFd},
    rc::Rc,
    time::Duration,
};

use hn_conformance::checks;
use hn_linux::{
    firewall::LinuxFirewall,
    services::{LinuxServices, ServicesConfig},
    undo::{Undo, UndoJournal},
};
use hn_ports::{Changed, EventSink, Firewall as _, Services as _};
use hn_testlab::{
    Tier,
    lease::{self, Client},
    ns::{Namespace, await_ready, cable},
    require, wait,
};
use hn_types::{
    observed::{MovedPort, PlatformEvent, ServiceEvent, ServiceTrouble},
    plan::{DhcpPlan, DnsPlan, FirewallPlan, FirewallSegment, Ipv6Plan, Reach, ServicePlan, ServiceSegment},
    settings::Protocol,
};
use tokio::{sync::Notify, task::LocalSet, time::timeout};

/// An event is seen within this, on a busy machine.
const SEEN: Duration = Duration::from_secs(20);
const README: &str = include_str!("../../../README.md");
const OURS: Ipv4Addr = Ipv4Addr::new(192, 168, 137, 1);

/// Set for a process that is the worker and not a test.
const WORKER: &str = "HN_LAB_WORKER";

/// The worker's process when the lane started it, and nothing otherwise.
#[test]
fn worker_entry() {
    if std::env::var_os(WORKER).is_none() {
        return;
    }
    // SAFETY: by the contract of the lane, descriptor 3 is the worker's end of the channel and nobody else's.
    let control = unsafe { OwnedFd::from_raw_fd(3) };
    let ended = hn_worker::run(hn_worker::Options { control, identity: None });
    std::process::exit(i32::from(ended.is_err()));
}

struct Events {
    seen: RefCell<Vec<ServiceEvent>>,
    changed: Notify,
}

impl Events {
    /// Waits for an event that `is`, and forgets everything up to it.
    async fn until(&self, what: &str, is: impl Fn(&ServiceEvent) -> bool) -> ServiceEvent {
        let wait = async {
            loop {
                let found = self.seen.borrow().iter().position(&is);
                if let Some(at) = found {
                    return self.seen.borrow_mut().drain(..=at).next_back().unwrap();
                }
                self.changed.notified().await;
            }
        };
        timeout(SEEN, wait).await.unwrap_or_else(|_| panic!("{what} is not seen: {:#?}", self.seen.borrow()))
    }
}

/// A lane in a namespace with one cable, and what it reports.
fn with_lane(work: impl AsyncFnOnce(&mut LinuxServices, &Events, &UndoJournal) + Send) {
    let (place, far) = (Namespace::new("services").unwrap(), Namespace::new("device").unwrap());
    cable((&place, "lan0"), (&far, "eth0")).unwrap();
    place.ip("addr add 192.168.137.1/24 dev lan0").unwrap();
    await_ready(&place, "lan0").unwrap();
    lane_in(&place, "leases-192.168.137.0-24.journal", work);
}

/// A lane in `place`, which leaves a journal called `leases`.
fn lane_in(
    place: &Namespace,
    leases: &str,
    work: impl AsyncFnOnce(&mut LinuxServices, &Events, &UndoJournal) + Send,
) {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    place
        .enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let journal = Rc::new(UndoJournal::open(&folder.path().join("undo.journal")).unwrap());
                let events = Rc::new(Events { seen: Vec::new().into(), changed: Notify::new() });
                let sink = Rc::clone(&events);
                let config = ServicesConfig {
                    worker_program: "/bin/sh".into(),
                    worker_argv: vec![
                        "sh".into(),
                        "-c".into(),
                        format!("{WORKER}=1 exec \"$0\" worker_entry --exact --nocapture").into(),
                        program.into(),
                    ],
                    ..ServicesConfig::new(folder.path())
                };
                let sink = EventSink::new(move |event| {
                    if let PlatformEvent::Service(event) = event {
                        sink.seen.borrow_mut().push(event);
                        sink.changed.notify_one();
                    }
                });
                let mut lane = LinuxServices::open(config, Rc::clone(&journal), sink);
                work(&mut lane, &events, &journal).await;
                let files: Vec<_> = std::fs::read_dir(folder.path())
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name())
                    .collect();
                assert!(files.contains(&leases.into()), "{files:?}");
            });
        })
        .unwrap();
}

fn plan() -> ServicePlan {
    ServicePlan {
        segment: Some(ServiceSegment {
            interface: "lan0".parse().unwrap(),
            address: "192.168.137.1/24".parse().unwrap(),
            dhcp: DhcpPlan {
                first: Ipv4Addr::new(192, 168, 137, 2),
                last: Ipv4Addr::new(192, 168, 137, 254),
                lease_time: Duration::from_secs(3600),
                router: Some(OURS),
                dns: Some(OURS),
                domain: Some("mshome.net".into()),
                mtu: None,
                reservations: Vec::new(),
                denied: std::collections::BTreeSet::new(),
            },
            dns: Some(DnsPlan {
                domain: "mshome.net".into(),
                host_name: "host".into(),
                upstreams: Vec::new(),
                through: None,
            }),
            ipv6: None,
            portmap: None,
        }),
    }
}

const fn answers(event: &ServiceEvent) -> bool {
    matches!(event, ServiceEvent::Dns { serving: true, .. })
}

/// Packet sockets of this network namespace: what is heard beside the ports.
fn ears() -> usize {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    sockets.lines().count() - 1
}

fn free(port: u16) -> bool {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && TcpListener::bind((OURS, port)).is_ok()
}

#[test]
fn a_segment_is_served_and_left_without_a_trace() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    with_lane(async |lane, events, _| {
        assert!(free(67) && free(53) && ears() == 0);
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::Yes));
        events.until("the name server", answers).await;
        assert!(free(67) && ears() > 0, "DHCP is heard, and its port left to others");
        assert!(!free(53));
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::No), "the same plan again");
        let mut other = plan();
        if let Some(dns) = other.segment.as_mut().and_then(|segment| segment.dns.as_mut()) {
            dns.upstreams.push("192.0.2.1:53".parse().unwrap());
        }
        assert_eq!(lane.apply(&other).await, Ok(Changed::Yes), "other upstreams");
        assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::Yes));
        assert!(free(53) && ears() == 0);
        assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::No));
        let mut gone = plan();
        if let Some(segment) = &mut gone.segment {
            segment.interface = "nowhere0".parse().unwrap();
        }
        assert!(lane.apply(&gone).await.is_err());
    });
}

#[test]
fn a_port_that_others_hold_takes_nothing_else_down_and_is_taken_or_passed_by() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    with_lane(async |lane, events, _| {
        let dns = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap();
        let dhcp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)).unwrap();
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::Yes), "DHCP is served");
        let trouble = events
            .until("the other DHCP server", |event| {
                matches!(event, ServiceEvent::Trouble { kind: ServiceTrouble::DhcpPort, .. })
            })
            .await;
        assert!(
            matches!(&trouble, ServiceEvent::Trouble { cause, .. } if cause.contains("UDP port 67 is held"))
        );
        let busy = events
            .until("the other name server", |event| matches!(event, ServiceEvent::DnsMoved { .. }))
            .await;
        let ServiceEvent::DnsMoved { moved, cause } = &busy else { unreachable!("was asked for") };
        assert!(cause.contains("UDP port 53 is held"), "{cause}");
        let [MovedPort { protocol: Protocol::Udp, port }] = moved.as_slice() else { panic!("{moved:?}") };
        assert!(*port > 1023 && *port != 5353, "{port}");
        events.until("the name server at the other port", answers).await;
        checks!(M122:
            assert!(format!("{trouble:?}").contains("UDP port 67 is held"), "the DHCP server: {trouble:?}");
            assert!(format!("{busy:?}").contains("UDP port 53 is held"), "the name server: {busy:?}");
        );
        // What the manual says about it is what the service says.
        let office = README.split("\n## ").find(|section| section.starts_with("In an office\n")).unwrap();
        checks!(M132:
            for named in ["Routing and Remote Access", "ISA Server", "router"] {
                assert!(office.contains(named), "the alternative {named:?} is not named");
            }
            for (said, port) in [(trouble, 67), (busy, 53)] {
                let words = format!("UDP port {port} is held");
                assert!(format!("{said:?}").contains(&words) && office.contains(&format!("`{words}`")));
            }
        );
        drop((dns, dhcp));
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::No), "asked again, at once");
        events
            .until("the port that is free", |event| {
                matches!(event, ServiceEvent::Trouble { kind: ServiceTrouble::DhcpPort, cause } if cause.is_empty())
            })
            .await;
    });
}

#[test]
fn a_worker_that_is_killed_is_replaced_and_serves_again() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    with_lane(async |lane, events, journal| {
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::Yes));
        events.until("the name server", answers).await;
        let worker = || {
            let pending = journal.pending();
            let mut pids = pending.iter().filter_map(|(_, undo)| {
                if let Undo::Process { pid, .. } = undo { i32::try_from(*pid).ok() } else { None }
            });
            pids.next().and_then(rustix::process::Pid::from_raw).unwrap()
        };
        let first = worker();
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        events.until("the loss", |event| matches!(event, ServiceEvent::WorkerLost { .. })).await;
        events.until("the name server of the next", answers).await;
        assert_ne!(worker(), first);
        assert!(ears() > 0);
        assert_eq!(lane.apply(&plan()).await, Ok(Changed::No));
        assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::Yes));
    });
}

/// What the core wants in standalone mode (`hn-core`, tests `modes`): addresses, and no way out.
fn standalone() -> (FirewallPlan, ServicePlan) {
    let (interface, address) = ("hnap0".parse().unwrap(), "192.168.173.1/24".parse().unwrap());
    let dhcp = DhcpPlan {
        first: Ipv4Addr::new(192, 168, 173, 2),
        last: Ipv4Addr::new(192, 168, 173, 254),
        lease_time: Duration::from_secs(604_800),
        router: None,
        dns: None,
        domain: None,
        mtu: None,
        reservations: Vec::new(),
        denied: std::collections::BTreeSet::new(),
    };
    let segment = FirewallSegment { interface, subnet: Some(address), reach: Reach::Host, ipv6: None };
    (
        FirewallPlan { segments: vec![segment], ..FirewallPlan::default() },
        ServicePlan {
            segment: Some(ServiceSegment { interface, address, dhcp, dns: None, ipv6: None, portmap: None }),
        },
    )
}

#[test]
fn devices_of_standalone_mode_get_addresses_and_reach_the_host_and_each_other_and_nothing_else() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let place = Namespace::new("standalone").unwrap();
    let devices = [Namespace::new("phone").unwrap(), Namespace::new("laptop").unwrap()];
    let outside = Namespace::new("outside").unwrap();
    // An access point is to its stations what a bridge is to its ports.
    place.ip("link add hnap0 type bridge").unwrap();
    place.ip("link set hnap0 up").unwrap();
    place.ip("addr add 192.168.173.1/24 dev hnap0").unwrap();
    for (index, device) in devices.iter().enumerate() {
        let port = format!("port{index}");
        cable((&place, &port), (device, "eth0")).unwrap();
        place.ip(&format!("link set {port} master hnap0")).unwrap();
        await_ready(&place, &port).unwrap();
    }
    await_ready(&place, "hnap0").unwrap();
    cable((&place, "wan0"), (&outside, "eth0")).unwrap();
    place.ip("addr add 10.99.0.1/24 dev wan0").unwrap();
    outside.ip("addr add 10.99.0.2/24 dev eth0").unwrap();
    outside.ip("route add 192.168.173.0/24 via 10.99.0.1").unwrap();
    await_ready(&place, "wan0").unwrap();
    // The machine forwards for reasons of its own: what keeps the devices in is ours.
    place.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap()).unwrap();
    let pings = |from: &Namespace, to: &str| {
        from.attempt(&format!("ping -n -c 1 -W 2 {to}")).unwrap().status.success()
    };
    lane_in(&place, "leases-192.168.173.0-24.journal", async |lane, _, _| {
        let folder = tempfile::tempdir().unwrap();
        let journal = Rc::new(UndoJournal::open(&folder.path().join("undo.journal")).unwrap());
        let mut firewall = LinuxFirewall::new(journal);
        let (rules, services) = standalone();
        assert_eq!(lane.apply(&services).await, Ok(Changed::Yes));
        let leases = [Client::Udhcpc, Client::Dhclient].iter().zip(&devices);
        let leases: Vec<_> =
            leases.map(|(client, device)| lease::ask(*client, device, "eth0", SEEN).unwrap()).collect();
        checks!(M070:
            for lease in &leases {
                assert_eq!(lease.address.octets()[..3], [192, 168, 173], "{lease:?}");
                assert!(lease.address.is_private());
                assert_eq!((lease.prefix, lease.seconds), (24, 604_800));
                assert_eq!((lease.router, &*lease.domain.clone().unwrap_or_default()), (None, ""));
                assert!(lease.dns.is_empty());
            }
            assert_ne!(leases[0].address, leases[1].address);
        );
        // A device may try a way out that nobody promised.
        for device in &devices {
            device.ip("route add default via 192.168.173.1").unwrap();
        }
        let (phone, laptop) = (leases[0].address.to_string(), leases[1].address.to_string());
        assert!(
            pings(&devices[0], "10.99.0.2"),
            "without the rules there is a way: the test proves something"
        );
        assert_eq!(firewall.apply(&rules).await, Ok(Changed::Yes));
        checks!(M073:
            for device in &devices {
                assert!(pings(device, "192.168.173.1"), "the host");
                assert!(!pings(device, "10.99.0.2"), "outside is not reached");
            }
            assert!(pings(&devices[0], &laptop) && pings(&devices[1], &phone), "each other");
            assert!(!pings(&outside, &phone), "nor does outside reach them");
        );
        assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::Yes));
        assert_eq!(firewall.apply(&FirewallPlan::default()).await, Ok(Changed::Yes));
    });
}

/// What `rdisc6` is told within a second, asking twice.
fn advertised(device: &Namespace) -> Option<String> {
    let asked = device.attempt("rdisc6 -1 -r 2 -w 500 eth0").unwrap();
    asked.status.success().then_some(asked.stdout)
}

/// Whether a DHCPv6 server answers what a client asks (RFC 8415 §18.2.1) within two seconds.
fn offered(device: &Namespace) -> bool {
    let ask = "import socket,struct
ask=bytes([1])+b'abc'+struct.pack('!HHHH6s', 1, 10, 3, 1, b'device')
ask+=struct.pack('!HHIII', 3, 12, 7, 0, 0)+struct.pack('!HHH', 8, 2, 0)
s=socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 546)); s.settimeout(2)
s.sendto(ask, ('ff02::1:2', 547, 0, socket.if_nametoindex('eth0')))
assert s.recv(2048)[:4]==bytes([2])+b'abc'";
    device.command("python3").args(["-c", ask]).output().unwrap().status.success()
}

#[test]
fn standalone_mode_serves_dhcpv4_only_and_full_mode_advertises_and_leases_ipv6() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let (place, device) = (Namespace::new("services").unwrap(), Namespace::new("device").unwrap());
    cable((&place, "lan0"), (&device, "eth0")).unwrap();
    await_ready(&place, "lan0").unwrap();
    place.ip("addr add 192.168.173.1/24 dev lan0").unwrap();
    await_ready(&device, "eth0").unwrap();
    lane_in(&place, "leases-192.168.173.0-24.journal", async |lane, events, _| {
        let (rules, mut services) = standalone();
        if let Some(segment) = &mut services.segment {
            segment.interface = "lan0".parse().unwrap();
        }
        assert_eq!(lane.apply(&services).await, Ok(Changed::Yes));
        let lease = lease::ask(Client::Udhcpc, &device, "eth0", SEEN).unwrap();
        checks!(M069:
            assert_eq!(lease.address.octets()[..3], [192, 168, 173], "DHCPv4");
            let names = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 168, 173, 1)];
            assert!(names.iter().all(|address| UdpSocket::bind((*address, 53)).is_ok()), "no DNS");
            assert_eq!(lease.dns.len(), 0);
            assert!(rules.segments.iter().all(|segment| segment.reach == Reach::Host), "no NAT");
            assert_eq!(advertised(&device), None, "no IPv6 is announced");
            assert!(!offered(&device), "nor leased");
        );
        let mut full = plan();
        if let Some(segment) = &mut full.segment {
            segment.ipv6 = Some(Ipv6Plan {
                address: "fd12:3456:789a:1::1/64".parse().unwrap(),
                link_local: "fe80::aaaa".parse().unwrap(),
                uuid: [1; 16],
                address_key: 1,
                domain: "mshome.net".into(),
                router: true,
                mtu: Some(1_420),
                uplink: None,
                global: None,
                relay: None,
            });
        }
        assert_eq!(lane.apply(&full).await, Ok(Changed::Yes));
        events.until("the name server", answers).await;
        let told = wait::until("an advertisement", SEEN, || Ok(advertised(&device))).unwrap();
        assert!(told.contains("fd12:3456:789a:1::/64") && told.contains("1420 bytes"), "{told}");
        assert!(told.contains("from fe80::aaaa"), "{told}");
        assert!(offered(&device));
        assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::Yes));
        assert!(!offered(&device));
    });
}
