//! The firewall and forwarding lanes against a real kernel, judged by real packets and by the `nft` program.
//!
//! Each test has namespaces of its own: a router (where the lanes act) between a station, the "Internet" and one
//! more network that stations must not reach.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use hn_linux::{
    firewall::{self, LinuxFirewall},
    forwarding::LinuxForwarding,
    undo::UndoJournal,
};
use hn_nft::{Chain, Rule, Ruleset, Statement, Verdict};
use hn_ports::{Changed, Firewall as _, Forwarding as _};
use hn_testlab::{
    Tier,
    ns::{Namespace, await_ready, cable},
    require, wait,
};
use hn_types::{
    DriverError, DriverErrorKind, IfName,
    plan::{FirewallPlan, FirewallSegment, ForwardingPlan, Reach},
};
use tokio::runtime::{Builder, Runtime};

/// The echo service, in whatever namespace.
const PORT: u16 = 4000;
/// How long an answer may take before the packet counts as lost. On a cable it takes microseconds.
const LOST: Duration = Duration::from_millis(200);

struct Lab {
    router: Namespace,
    station: Namespace,
    internet: Namespace,
    elsewhere: Namespace,
}

impl Lab {
    /// The Internet and the other network know the way to the station, as a neighbour that means no good would.
    fn new() -> Self {
        let place = |role| Namespace::new(role).unwrap();
        let lab = Self {
            router: place("router"),
            station: place("station"),
            internet: place("internet"),
            elsewhere: place("elsewhere"),
        };
        for (there, interface, port, network, far) in [
            (&lab.station, "sta0", "hnap0", "192.168.137", "2"),
            (&lab.internet, "net0", "eth0", "10.99.0", "2"),
            (&lab.elsewhere, "lan0", "eth1", "10.98.0", "2"),
        ] {
            cable((&lab.router, port), (there, interface)).unwrap();
            lab.router.ip(&format!("addr add {network}.1/24 dev {port}")).unwrap();
            there.ip(&format!("addr add {network}.{far}/24 dev {interface}")).unwrap();
            there.ip(&format!("route add default via {network}.1")).unwrap();
            await_ready(&lab.router, port).unwrap();
            await_ready(there, interface).unwrap();
        }
        lab.station.ip("addr add 192.168.99.9/32 dev sta0").unwrap();
        lab
    }

    /// Runs `work` in the router with the lanes and the journal.
    fn act<T: Send>(&self, work: impl FnOnce(&mut Lanes) -> T + Send) -> T {
        let path = self.router.files().join("undo");
        self.router.enter(|| work(&mut Lanes::open(&path))).unwrap()
    }

    fn drops(&self, rule: &str) -> u64 {
        let installed = self.router.enter(firewall::installed).unwrap().unwrap();
        let drops = installed.counters.iter().find(|counter| counter.rule.contains(rule));
        drops.unwrap_or_else(|| panic!("no rule counts {rule:?}: {installed:?}")).packets
    }

    fn rules(&self) -> String {
        self.router.run("nft list ruleset").unwrap().stdout
    }

    /// The packet is lost, and it is the rule with this comment that took it.
    fn lost_by(&self, rule: &str, from: &Namespace, source: &str, to: &str) {
        let before = self.drops(rule);
        assert_eq!(ask(from, source, to), None, "{source} to {to} got through");
        assert!(self.drops(rule) > before, "{source} to {to} was lost, but not by {rule:?}");
    }
}

struct Lanes {
    firewall: LinuxFirewall,
    forwarding: LinuxForwarding,
    journal: Rc<UndoJournal>,
    runtime: Runtime,
}

impl Lanes {
    fn open(journal: &Path) -> Self {
        let journal = Rc::new(UndoJournal::open(journal).unwrap());
        Self {
            firewall: LinuxFirewall::new(Rc::clone(&journal)),
            forwarding: LinuxForwarding::new(Rc::clone(&journal)),
            journal,
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
        }
    }

    fn forward(&mut self, interfaces: &[&str]) -> Changed {
        let ipv4 = interfaces.iter().map(|name| name.parse().unwrap()).collect();
        self.runtime
            .block_on(self.forwarding.apply(&ForwardingPlan { ipv4, ..ForwardingPlan::default() }))
            .unwrap()
    }

    fn protect(&mut self, plan: &FirewallPlan) -> Changed {
        self.runtime.block_on(self.firewall.apply(plan)).unwrap()
    }

    fn install(&mut self, ruleset: &Ruleset) -> Result<Changed, DriverError> {
        self.runtime.block_on(self.firewall.install(ruleset))
    }
}

fn plan(reach: Reach) -> FirewallPlan {
    let subnet = Some("192.168.137.1/24".parse().unwrap());
    FirewallPlan {
        segments: vec![FirewallSegment { interface: "hnap0".parse().unwrap(), subnet, reach, ipv6: None }],
        ..FirewallPlan::default()
    }
}

fn full() -> FirewallPlan {
    plan(Reach::Public("eth0".parse().unwrap()))
}

/// Answers every datagram with the address it seemed to come from, as long as `work` takes.
fn serving<T>(places: &[&Namespace], work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let ready = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for place in places {
            scope.spawn(|| {
                let serve = || {
                    // One socket for both families; answers leave from the address that was asked.
                    let socket = UdpSocket::bind(("::", PORT)).unwrap();
                    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    ready.fetch_add(1, Ordering::SeqCst);
                    let mut buffer = [0; 64];
                    while !over.load(Ordering::SeqCst) {
                        if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                            let seen = SocketAddr::new(from.ip().to_canonical(), from.port());
                            let _ = socket.send_to(seen.to_string().as_bytes(), from);
                        }
                    }
                };
                place.enter(serve).unwrap();
            });
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while ready.load(Ordering::SeqCst) < u32::try_from(places.len()).unwrap() {
            assert!(Instant::now() < deadline, "an echo service did not start");
            std::thread::yield_now();
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::SeqCst);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What the echo service at `to` says when it is asked from `source`.
fn ask(from: &Namespace, source: &str, to: &str) -> Option<String> {
    let socket = socket(from, source);
    let to = format!("{to}:{PORT}");
    exchange(&socket, &to)
}

fn socket(from: &Namespace, source: &str) -> UdpSocket {
    let socket = from.enter(|| UdpSocket::bind(format!("{source}:0")).unwrap()).unwrap();
    socket.set_read_timeout(Some(LOST)).unwrap();
    socket
}

fn exchange(socket: &UdpSocket, to: &str) -> Option<String> {
    let mut buffer = [0; 64];
    match socket.send_to(b"who am I", to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::HostUnreachable => return None,
        Err(error) => panic!("{to}: {error}"),
    }
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
}

/// The address from which `to` sees `source` asking. Where an answer is expected, a busy machine gets time for it.
fn seen_as(from: &Namespace, source: &str, to: &str) -> String {
    let answer = wait::until("an answer", Duration::from_secs(10), || Ok(ask(from, source, to))).unwrap();
    answer.rsplit_once(':').unwrap().0.to_owned()
}

#[test]
fn a_station_reaches_the_internet_behind_the_public_address_and_nobody_reaches_the_station() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let (station, internet, elsewhere) = (&lab.station, &lab.internet, &lab.elsewhere);
    lab.act(|lanes| {
        lanes.forward(&["hnap0", "eth0", "eth1"]);
        serving(&[station, internet, elsewhere], || {
            // The way exists in every direction: what is lost below is lost by our rules.
            assert_eq!(seen_as(internet, "10.99.0.2", "192.168.137.2"), "10.99.0.2");
            assert_eq!(seen_as(station, "192.168.137.2", "10.98.0.2"), "192.168.137.2");
        });
        assert_eq!(lanes.protect(&full()), Changed::Yes);
        serving(&[station, internet, elsewhere, &lab.router], || {
            assert_eq!(seen_as(station, "192.168.137.2", "10.99.0.2"), "10.99.0.1", "masquerade");
            lab.lost_by("unasked to hnap0", internet, "10.99.0.2", "192.168.137.2");
            lab.lost_by("unasked to hnap0", elsewhere, "10.98.0.2", "192.168.137.2");
            lab.lost_by("hnap0 to elsewhere", station, "192.168.137.2", "10.98.0.2");
            lab.lost_by("with a foreign source", station, "192.168.99.9", "10.99.0.2");

            // The private address is for the segment and the host itself.
            assert_eq!(seen_as(station, "192.168.137.2", "192.168.137.1"), "192.168.137.2");
            assert_eq!(seen_as(&lab.router, "192.168.137.1", "192.168.137.1"), "192.168.137.1");
            lab.lost_by("from elsewhere", internet, "10.99.0.2", "192.168.137.1");
            lab.lost_by("from elsewhere", elsewhere, "10.98.0.2", "192.168.137.1");

            // What is not ours is not judged.
            assert_eq!(seen_as(elsewhere, "10.98.0.2", "10.99.0.2"), "10.98.0.2");
            assert_eq!(seen_as(internet, "10.99.0.2", "10.98.0.2"), "10.99.0.2");
            assert_eq!(seen_as(internet, "10.99.0.2", "10.99.0.1"), "10.99.0.2");
        });
    });
}

#[test]
fn ipv6_is_not_forwarded_from_or_to_a_segment() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    for (there, interface, port, network) in
        [(&lab.station, "sta0", "hnap0", "fd01"), (&lab.internet, "net0", "eth0", "fd02")]
    {
        lab.router.ip(&format!("addr add {network}::1/64 dev {port} nodad")).unwrap();
        there.ip(&format!("addr add {network}::2/64 dev {interface} nodad")).unwrap();
        there.ip(&format!("-6 route add default via {network}::1")).unwrap();
    }
    lab.router.enter(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap()).unwrap();
    lab.act(|lanes| {
        serving(&[&lab.station, &lab.internet], || {
            assert!(seen_as(&lab.station, "[fd01::2]", "[fd02::2]").contains("fd01::2"));
        });
        lanes.protect(&full());
        serving(&[&lab.station, &lab.internet], || {
            lab.lost_by("hnap0 to elsewhere", &lab.station, "[fd01::2]", "[fd02::2]");
            lab.lost_by("unasked to hnap0", &lab.internet, "[fd02::2]", "[fd01::2]");
        });
    });
}

#[test]
fn a_segment_that_reaches_the_host_only_is_isolated() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.act(|lanes| {
        lanes.forward(&["hnap0", "eth0"]);
        lanes.protect(&full());
        serving(&[&lab.station, &lab.internet, &lab.router], || {
            let socket = socket(&lab.station, "192.168.137.2");
            let internet = format!("10.99.0.2:{PORT}");
            assert!(exchange(&socket, &internet).is_some());
            // A connection that is established does not outlive the permission.
            lanes.protect(&plan(Reach::Host));
            assert_eq!(exchange(&socket, &internet), None);
            lab.lost_by("hnap0 to elsewhere", &lab.station, "192.168.137.2", "10.99.0.2");
            lab.lost_by("unasked to hnap0", &lab.internet, "10.99.0.2", "192.168.137.2");
            assert!(ask(&lab.station, "192.168.137.2", "192.168.137.1").is_some());
        });
        assert!(!lab.rules().contains("masquerade"));
        assert!(!lab.rules().contains("postrouting"), "no hook without a rule");
    });
}

#[test]
fn the_table_is_replaced_once_and_removed_without_a_trace() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let foreign = "add table inet other
        add chain inet other forward { type filter hook forward priority 10; policy drop; }
        add rule inet other forward counter accept
        add table ip hostednet
        add chain ip hostednet from-1
        add rule ip hostednet from-1 drop";
    let file = lab.router.files().join("foreign.nft");
    std::fs::write(&file, foreign).unwrap();
    lab.router.run(&format!("nft -f {}", file.display())).unwrap();
    let before = lab.rules();
    lab.act(|lanes| {
        assert_eq!(lanes.protect(&FirewallPlan::default()), Changed::No, "nothing to remove");
        assert_eq!(lanes.protect(&full()), Changed::Yes);
        assert_eq!(lanes.journal.pending().len(), 1);
        assert_eq!(lanes.protect(&full()), Changed::No);
        assert_eq!(lanes.protect(&plan(Reach::Host)), Changed::Yes);
        assert_eq!(lanes.protect(&full()), Changed::Yes);
        assert_eq!(lanes.journal.pending().len(), 1);
        assert!(lab.rules().starts_with(&before), "foreign tables are untouched");
        assert_eq!(lanes.protect(&FirewallPlan::default()), Changed::Yes);
        assert_eq!(lanes.protect(&FirewallPlan::default()), Changed::No);
        assert!(lanes.journal.pending().is_empty());
    });
    assert_eq!(lab.rules(), before);
}

#[test]
fn the_nft_program_shows_what_we_say_we_installed() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let index = |name: &str| {
        let shown = lab.router.ip(&format!("-o link show dev {name}")).unwrap().stdout;
        shown.split(':').next().unwrap().trim().parse::<u32>().unwrap()
    };
    let (private, public) = (index("hnap0"), index("eth0"));
    let known = |name: &IfName| match name.as_str() {
        "hnap0" => Some(private),
        "eth0" => Some(public),
        _ => None,
    };
    lab.act(|lanes| lanes.protect(&full()));
    let shown = lab.router.run("nft list table inet hostednet").unwrap().stdout;
    // The program leaves out what follows from the rest and gives indexes their names.
    let mut said =
        Ruleset::of(&full(), known).to_string().replace("meta nfproto ipv4 ip", "ip").replace("/32", "");
    for (index, name) in [(private, "hnap0"), (public, "eth0"), (1, "lo")] {
        for key in ["iif", "iif !=", "oif"] {
            said = said.replace(&format!("{key} {index} "), &format!("{key} \"{name}\" "));
        }
    }
    let words = |text: &str| -> Vec<String> {
        let text = text.replace("packets 0 bytes 0 ", "");
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(words(&shown), words(&said));
}

#[test]
fn what_others_did_to_the_table_is_seen_and_repaired() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.act(|lanes| {
        for damage in [
            "flush table inet hostednet",
            "delete table inet hostednet",
            "insert rule inet hostednet from-1 accept",
            "add rule inet hostednet to-1 log",
            "add chain inet hostednet output { type filter hook output priority 0; policy drop; }",
            "add set inet hostednet odd { type ipv4_addr; }",
            "add chain inet hostednet forward { policy drop; }",
            "add table inet hostednet { flags dormant; }",
        ] {
            lanes.protect(&full());
            let file = lab.router.files().join("damage.nft");
            std::fs::write(&file, damage).unwrap();
            lab.router.run(&format!("nft -f {}", file.display())).unwrap();
            assert_eq!(lanes.protect(&full()), Changed::Yes, "{damage}");
            assert_eq!(lanes.protect(&full()), Changed::No, "{damage}");
        }
    });
}

#[test]
fn a_table_that_the_kernel_refuses_leaves_the_old_one_in_force() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.act(|lanes| {
        let statements = vec![Statement::Verdict(Verdict::Goto("nowhere".into()))];
        let rule = Rule { statements, comment: "leads nowhere".into() };
        let mut wrong = Ruleset::of(&full(), |_| None);
        wrong.chains.push(Chain { name: "stray".into(), hook: None, rules: vec![rule] });

        let error = lanes.install(&wrong).unwrap_err();
        assert_eq!(error.target, "inet hostednet / chain stray / rule \"leads nowhere\"");
        assert_eq!((error.errno, error.op.as_str()), (Some(2), "install the firewall table"));
        assert_eq!(lab.rules(), "", "nothing of it is left");
        assert!(lanes.journal.pending().is_empty());

        lanes.protect(&full());
        let before = lab.rules();
        lanes.install(&wrong).unwrap_err();
        assert_eq!(lab.rules(), before);
        assert_eq!(lanes.journal.pending().len(), 1);
        assert_eq!(lanes.protect(&full()), Changed::No);

        // An expression the kernel does not have is told apart from a wrong table.
        wrong.chains.last_mut().unwrap().rules[0].statements = vec![Statement::Other("quantum".into())];
        let error = lanes.install(&wrong).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unsupported);
        assert!(!error.remedy.is_empty());
    });
}

#[test]
fn an_unasked_packet_never_slips_through_while_tables_are_replaced() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let over = AtomicBool::new(false);
    lab.act(|lanes| {
        lanes.forward(&["hnap0", "eth0"]);
        lanes.protect(&full());
        let victim = lab.station.enter(|| UdpSocket::bind(("192.168.137.2", PORT)).unwrap()).unwrap();
        let attacker = socket(&lab.internet, "10.99.0.2");
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0_u32;
                while !over.load(Ordering::SeqCst) {
                    sent += u32::from(attacker.send_to(b"unasked", ("192.168.137.2", PORT)).is_ok());
                }
                sent
            });
            let mut dropped = 0;
            for _ in 0..100 {
                dropped += lab.drops("unasked to hnap0");
                assert_eq!(lanes.protect(&plan(Reach::Host)), Changed::Yes);
                assert_eq!(lanes.protect(&full()), Changed::Yes);
            }
            over.store(true, Ordering::SeqCst);
            assert!(flood.join().unwrap() > 100, "the flood was no flood");
            assert!(dropped > 0, "the flood did not arrive");
        });
        victim.set_nonblocking(true).unwrap();
        assert_eq!(victim.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn an_interface_that_is_created_again_is_still_guarded_and_served() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    lab.act(|lanes| {
        lanes.protect(&full());
        for (there, interface, port, network) in
            [(&lab.station, "sta0", "hnap0", "192.168.137"), (&lab.internet, "net0", "eth0", "10.99.0")]
        {
            lab.router.ip(&format!("link del {port}")).unwrap();
            cable((&lab.router, port), (there, interface)).unwrap();
            lab.router.ip(&format!("addr add {network}.1/24 dev {port}")).unwrap();
            there.ip(&format!("addr add {network}.2/24 dev {interface}")).unwrap();
            there.ip(&format!("route add default via {network}.1")).unwrap();
            await_ready(&lab.router, port).unwrap();
            await_ready(there, interface).unwrap();
        }
        lanes.forward(&["hnap0", "eth0", "eth1"]);
        serving(&[&lab.station, &lab.internet, &lab.elsewhere], || {
            assert_eq!(seen_as(&lab.station, "192.168.137.2", "10.99.0.2"), "10.99.0.1");
            lab.lost_by("unasked to hnap0", &lab.internet, "10.99.0.2", "192.168.137.2");
            lab.lost_by("hnap0 to elsewhere", &lab.station, "192.168.137.2", "10.98.0.2");
        });
        assert_eq!(lanes.protect(&full()), Changed::Yes, "the new indexes");
        serving(&[&lab.internet], || {
            assert_eq!(seen_as(&lab.station, "192.168.137.2", "10.99.0.2"), "10.99.0.1");
        });
    });
}

#[test]
fn forwarding_changes_two_values_and_puts_them_back() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    // Values of the routing cache and random numbers change by themselves; nothing under `conf` does.
    let values = || lab.router.run("sysctl -a --pattern ^net\\.").unwrap().stdout;
    let before = values();
    assert!(before.contains("net.ipv4.conf.hnap0.forwarding = 0"), "{before}");
    lab.act(|lanes| {
        assert_eq!(lanes.forward(&["hnap0", "eth0"]), Changed::Yes);
        assert_eq!(lanes.forward(&["hnap0", "eth0"]), Changed::No);
        let during = values();
        let changed: Vec<_> = during.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
        assert_eq!(changed, ["net.ipv4.conf.eth0.forwarding = 1", "net.ipv4.conf.hnap0.forwarding = 1"]);
        assert_eq!(lanes.forward(&[]), Changed::Yes);
        assert_eq!(values(), before);
        assert!(lanes.journal.pending().is_empty());
    });
}

#[test]
fn what_a_killed_service_left_is_undone_from_the_journal() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let lab = Lab::new();
    let values = || lab.router.run("sysctl -a --pattern ^net\\.").unwrap().stdout;
    let before = (values(), lab.rules());
    lab.act(|lanes| {
        lanes.forward(&["hnap0", "eth0"]);
        lanes.protect(&full());
    });
    assert_ne!((values(), lab.rules()), before);
    lab.act(|lanes| assert_eq!(lanes.journal.replay(), []));
    assert_eq!((values(), lab.rules()), before);
}
