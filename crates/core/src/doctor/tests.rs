use alloc::vec;

use hn_types::{
    diagnosis::{
        Answer, Blocked, Connections, Fate, Gateway, Heard, Route, Speaker, Switch, Table, TableKind, Traced,
        Upstream,
    },
    network::{Link, MediaType},
    plan::{FirewallPlan, FirewallSegment},
};
use proptest::prelude::*;

use super::*;
use crate::devices::unseen;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 137, 7);
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> IfName {
    text.parse().expect("valid")
}

fn link(interface: &str, address: &str) -> Link {
    Link {
        name: name(interface),
        index: 2,
        address: Some(MacAddr([2, 0, 0, 0, 1, 1])),
        media: MediaType::Lan,
        incoming_only: false,
        up: true,
        carrier: true,
        master: None,
        addresses: vec![address.parse().expect("valid")],
        mtu: 1500,
        wireless: false,
        ours: false,
    }
}

/// `wan0` shared with `lan0`, and the device with a lease.
fn wired() -> Case {
    let address: Subnet4 = "192.168.137.1/24".parse().expect("valid");
    let segment =
        ExaminedSegment { interface: name("lan0"), address, spare: Ipv4Addr::new(192, 168, 137, 254) };
    let reach = Reach::Public(name("wan0"));
    let rules = FirewallSegment { interface: name("lan0"), subnet: Some(address), reach, ipv6: None };
    Case {
        examination: Examination {
            segment: Some(segment),
            mac: Some(MAC),
            address: Some(DEVICE),
            public: Some(name("wan0")),
            firewall: FirewallPlan { segments: vec![rules], ..FirewallPlan::default() },
            upstreams: vec![(Ipv4Addr::new(9, 9, 9, 9), 53).into()],
            ..Examination::default()
        },
        subject: Some(Subject {
            given: MAC.to_string(),
            mac: Some(MAC),
            ipv4: Some(DEVICE),
            hostname: Some("pixel".into()),
            key: None,
            lease: Some("2026-01-01T00:00:00Z".into()),
            air: false,
            connected: true,
        }),
        mode: SharingMode::Full,
        pending: false,
        failures: Vec::new(),
        pair: Some(SharingPair {
            public: PublicChoice::Interface(name("wan0")),
            private: vec![PrivateChoice::Interface(name("lan0"))],
        }),
        air: false,
        ap: AccessPoint {
            state: HostedState::Idle,
            ssid: None,
            channel: None,
            peers: 0,
            max_peers: 0,
            detail: String::new(),
            blocker: None,
        },
        turned_away: Vec::new(),
        troubles: Vec::new(),
        dns_down: None,
        leases: 1,
        pool: Some((Ipv4Addr::new(192, 168, 137, 2), Ipv4Addr::new(192, 168, 137, 254))),
        network: NetworkView {
            links: vec![link("lan0", "192.168.137.1/24"), link("wan0", "203.0.113.2/24")],
            default_route: Some(name("wan0")),
            ..NetworkView::default()
        },
    }
}

/// The same over the air.
fn air() -> Case {
    let wired = wired();
    Case {
        air: true,
        pair: Some(SharingPair { public: PublicChoice::Auto, private: vec![PrivateChoice::HostedNetwork] }),
        ap: AccessPoint {
            state: HostedState::Active,
            ssid: Ssid::new(b"Home").ok(),
            channel: Some((6, 2437)),
            peers: 1,
            max_peers: 100,
            ..wired.ap.clone()
        },
        subject: wired.subject.clone().map(|subject| Subject {
            key: Some(KeyRole::Primary),
            air: true,
            ..subject
        }),
        ..wired
    }
}

const fn table(kind: TableKind, entries: u32, limit: u32) -> Table {
    Table { kind, entries, limit, refused: 0 }
}

fn healthy() -> Findings {
    let switch = |interface: &str| Switch {
        name: format!("net.ipv4.conf.{interface}.forwarding"),
        wanted: "1".into(),
        value: Some("1".into()),
    };
    let gateway = Ipv4Addr::new(203, 0, 113, 1);
    let after = Duration::from_millis(3);
    Findings {
        switches: vec![switch("lan0"), switch("wan0")],
        difference: Ok(None),
        blockades: Ok(Vec::new()),
        tables: Ok(vec![
            table(TableKind::Connections, 70, 65_536),
            // Written down by the administrator.
            table(TableKind::Neighbours4, 2_000, 1_024),
            table(TableKind::Neighbours6, 12, 1_024),
        ]),
        heard: Ok(Heard {
            within: SECOND,
            frames: 5,
            speakers: vec![Speaker { mac: MAC, frames: 5, addresses: vec![DEVICE], requests: 0 }],
            answered: Some(MAC),
        }),
        routes: Ok(vec![Route { interface: name("wan0"), gateway: Some(gateway), metric: 0 }]),
        gateway: Some(Ok(Gateway { address: gateway, asked: 1, answer: Some((MAC, after)) })),
        connections: Ok(Connections { all: 4, translated: 4, answered: 3 }),
        upstreams: vec![Upstream {
            server: (Ipv4Addr::new(9, 9, 9, 9), 53).into(),
            outcome: Answer::Code(3, after),
        }],
        packets: Ok(vec![Traced {
            packet: "a name query".into(),
            real: false,
            answer: false,
            fate: Fate::Passed,
        }]),
    }
}

fn verdicts(diagnosis: &Diagnosis) -> Vec<(CheckName, Verdict)> {
    diagnosis.checks.iter().map(|check| (check.name, check.verdict)).collect()
}

fn found(diagnosis: &Diagnosis, name: CheckName) -> &Check {
    diagnosis.checks.iter().find(|check| check.name == name).expect("every check is there")
}

/// What must hold of every diagnosis.
fn sound(diagnosis: &Diagnosis) {
    let names: Vec<CheckName> = diagnosis.checks.iter().map(|check| check.name).collect();
    assert_eq!(names, CheckName::ALL);
    let problems: Vec<&Check> =
        diagnosis.checks.iter().filter(|check| check.verdict == Verdict::Problem).collect();
    assert_eq!(diagnosis.healthy, problems.is_empty());
    assert_eq!(diagnosis.healthy, diagnosis.cause.is_none());
    assert!(!diagnosis.headline.is_empty());
    for check in &diagnosis.checks {
        assert!(!check.finding.is_empty(), "{check:?}");
        assert_eq!(check.verdict == Verdict::Problem, !check.remedy.is_empty(), "{check:?}");
        if let Some(cause) = check.consequence_of {
            let cause = found(diagnosis, cause);
            assert_eq!((cause.verdict, cause.consequence_of), (Verdict::Problem, None), "{check:?}");
        }
    }
    if let Some(cause) = diagnosis.cause {
        let cause = found(diagnosis, cause);
        assert_eq!((cause.verdict, cause.consequence_of), (Verdict::Problem, None));
        assert!(diagnosis.headline.starts_with(&cause.finding));
        let before = problems.iter().find(|check| check.consequence_of.is_none());
        assert_eq!(before.map(|check| check.name), Some(cause.name), "the first real cause is the headline");
    }
}

fn judged(case: &Case, findings: &Findings) -> Diagnosis {
    let diagnosis = diagnose(case, findings);
    sound(&diagnosis);
    diagnosis
}

#[test]
fn on_a_healthy_machine_every_check_is_content() {
    for case in [wired(), air(), Case { subject: None, ..wired() }, Case { subject: None, ..air() }] {
        let diagnosis = judged(&case, &healthy());
        assert!(diagnosis.healthy, "{diagnosis:#?}");
        for (name, verdict) in verdicts(&diagnosis) {
            let wire = matches!(name, CheckName::Radio | CheckName::Key) && !case.air;
            assert_eq!(verdict, if wire { Verdict::Skipped } else { Verdict::Ok }, "{name:?}");
        }
    }
    assert_eq!(judged(&wired(), &healthy()).headline, "nothing keeps pixel from being online");
}

/// A cause, the findings it makes, and what follows from it.
type Broken = (CheckName, &'static str, &'static [CheckName], fn(&mut Case, &mut Findings));

const BROKEN: &[Broken] = &[
    (CheckName::Forwarding, "net.ipv4.conf.wan0.forwarding is 0", &[CheckName::Packet], |_, f| {
        f.switches[1].value = Some("0".into());
        f.packets = Ok(vec![Traced { packet: "x".into(), real: false, answer: false, fate: Fate::Vanished }]);
    }),
    (CheckName::Rules, "table inet hostednet is not as it was made", &[], |_, f| {
        f.difference = Ok(Some("chain forward: wanted 4 rules, found 3".into()));
    }),
    (CheckName::Firewall, "ufw drops connections to the outside", &[CheckName::Packet], |_, f| {
        f.blockades = Ok(vec![Blocked {
            traffic: "connections to the outside".into(),
            owner: "ufw".into(),
            place: "ip filter / chain FORWARD / policy drop".into(),
            commands: vec!["ufw route allow in on lan0 out on wan0".into()],
            advice: String::new(),
        }]);
        f.packets = Ok(vec![dropped("ufw")]);
    }),
    (
        CheckName::Tables,
        "the kernel's table is full: 65000 of 65536 connections",
        &[CheckName::Packet],
        |_, f| {
            f.tables = Ok(vec![table(TableKind::Connections, 65_000, 65_536)]);
            f.packets =
                Ok(vec![Traced { packet: "x".into(), real: false, answer: false, fate: Fate::Vanished }]);
        },
    ),
    (
        CheckName::Tables,
        "the kernel's table is full: 1024 of 1024 neighbours (IPv6), 7 found no room meanwhile",
        &[CheckName::Gateway, CheckName::Dns, CheckName::Outside],
        |_, f| {
            silent(f);
            f.tables = Ok(vec![Table { refused: 7, ..table(TableKind::Neighbours6, 1_024, 1_024) }]);
        },
    ),
    (CheckName::Packet, "rules of nftables drop a name query", &[], |_, f| {
        f.packets = Ok(vec![dropped("rules of nftables")]);
    }),
    (
        CheckName::Uplink,
        "wan0 has no carrier",
        &[CheckName::Gateway, CheckName::Dns, CheckName::Outside],
        |c, f| {
            c.network.links[1].carrier = false;
            silent(f);
        },
    ),
    (
        CheckName::Uplink,
        "no default route leads through wan0",
        &[CheckName::Dns, CheckName::Outside],
        |_, f| {
            silent(f);
            f.routes = Ok(Vec::new());
            f.gateway = None;
        },
    ),
    (CheckName::Uplink, "the default route leads through eth9, not wan0", &[], |_, f| {
        f.routes = Ok(vec![Route { interface: name("eth9"), gateway: None, metric: 0 }]);
    }),
    (
        CheckName::Gateway,
        "the gateway 203.0.113.1 is silent: 3 questions",
        &[CheckName::Dns, CheckName::Outside],
        |_, f| {
            silent(f);
        },
    ),
    (CheckName::Dns, "9.9.9.9:53 was silent for 2.4 s", &[CheckName::Outside], |_, f| {
        let gateway = f.gateway.clone();
        silent(f);
        f.gateway = gateway;
    }),
    (CheckName::Dns, "this machine does not answer names", &[], |c, _| {
        c.dns_down = Some("port 53 is held".into())
    }),
    (CheckName::Translation, "none of 4 connections is translated", &[], |_, f| {
        f.connections = Ok(Connections { all: 4, translated: 0, answered: 4 });
    }),
    (CheckName::Outside, "4 connections with the outside, none answered", &[], |_, f| {
        f.connections = Ok(Connections { all: 4, translated: 4, answered: 0 });
    }),
    (CheckName::Outside, "the answer of 9.9.9.9 reaches this machine, but no device", &[], |_, f| {
        let packet = |text: &str, answer, fate| Traced { packet: text.into(), real: false, answer, fate };
        f.connections = Ok(Connections::default());
        f.packets = Ok(vec![
            packet("a name query", false, Fate::Passed),
            packet("the answer of 9.9.9.9", true, Fate::Unseen),
        ]);
    }),
    (CheckName::Address, "pixel uses 10.0.0.5, which is not in 192.168.137.0/24", &[], |c, f| {
        let subject = c.subject.as_mut().expect("there");
        (subject.lease, subject.ipv4) = (None, None);
        let heard = f.heard.as_mut().expect("heard");
        heard.answered = None;
        heard.speakers.iter_mut().for_each(|it| it.addresses = vec![Ipv4Addr::new(10, 0, 0, 5)]);
    }),
    (CheckName::Address, "lan0 has no carrier", &[], |c, f| {
        c.network.links[0].carrier = false;
        let heard = f.heard.as_mut().expect("heard");
        (heard.answered, heard.speakers) = (None, Vec::new());
    }),
    (CheckName::Address, "02:00:00:00:00:09 answers at 192.168.137.7", &[], |_, f| {
        f.heard.as_mut().expect("heard").answered = Some(MacAddr([2, 0, 0, 0, 0, 9]));
    }),
    (CheckName::Dhcp, "every address is given away", &[], |c, _| {
        c.subject.as_mut().expect("there").lease = None;
        c.troubles.push((ServiceTrouble::PoolExhausted, "no address is free".into()));
    }),
    (CheckName::Dhcp, "pixel has no lease", &[], |c, f| {
        let subject = c.subject.as_mut().expect("there");
        (subject.lease, subject.ipv4) = (None, None);
        let heard = f.heard.as_mut().expect("heard");
        (heard.answered, heard.speakers) = (None, Vec::new());
    }),
    (CheckName::Mtu, "1500 bytes on lan0, 576 on wan0", &[], |c, _| c.network.links[1].mtu = 576),
    (CheckName::Sharing, "nothing is shared", &[], |c, _| {
        *c = Case { mode: SharingMode::Off, ..wired() };
        c.examination = Examination::default();
    }),
];

fn silent(findings: &mut Findings) {
    let address = Ipv4Addr::new(203, 0, 113, 1);
    findings.gateway = Some(Ok(Gateway { address, asked: 3, answer: None }));
    findings.upstreams[0].outcome = Answer::Silence(Duration::from_millis(2_400));
    findings.connections = Ok(Connections { all: 4, translated: 4, answered: 0 });
}

fn dropped(owner: &str) -> Traced {
    Traced {
        packet: "a name query".into(),
        real: false,
        answer: false,
        fate: Fate::Dropped {
            owner: owner.into(),
            place: "inet guard / chain forward / rule 7".into(),
            rule: "ip saddr 192.168.137.7 drop".into(),
            commands: vec!["nft delete rule inet guard forward handle 7".into()],
            advice: String::new(),
        },
    }
}

#[test]
fn a_tunnel_beside_the_default_route_is_no_trouble() {
    let (mut case, mut findings) = (wired(), healthy());
    (case.network.links[1].media, case.network.links[1].address) = (MediaType::Tunnel, None);
    findings.routes = Ok(vec![Route { interface: name("eth9"), gateway: None, metric: 0 }]);
    findings.gateway = None;
    let diagnosis = judged(&case, &findings);
    assert!(diagnosis.healthy, "{diagnosis:#?}");
    case.examination.upstreams.clear();
    case.examination.through = Some(name("wan0"));
    let diagnosis = judged(&case, &findings);
    assert_eq!(diagnosis.cause, Some(CheckName::Dns));
    assert!(diagnosis.headline.starts_with("no name server is known"), "{}", diagnosis.headline);
}

#[test]
fn each_cause_is_the_headline_and_what_follows_from_it_says_so() {
    for (cause, headline, consequences, break_it) in BROKEN {
        let (mut case, mut findings) = (wired(), healthy());
        break_it(&mut case, &mut findings);
        let diagnosis = judged(&case, &findings);
        assert_eq!(diagnosis.cause, Some(*cause), "{headline}: {diagnosis:#?}");
        assert!(diagnosis.headline.starts_with(headline), "{} is not {headline}", diagnosis.headline);
        let follow: Vec<CheckName> = diagnosis
            .checks
            .iter()
            .filter(|check| check.consequence_of == Some(*cause))
            .map(|check| check.name)
            .collect();
        assert_eq!(follow, *consequences, "{headline}: {diagnosis:#?}");
    }
}

#[test]
fn a_wrong_key_is_the_cause_and_an_unknown_device_has_not_joined() {
    let mut case = air();
    let subject = case.subject.as_mut().expect("there");
    (subject.key, subject.connected, subject.lease, subject.ipv4) = (None, false, None, None);
    let mut findings = healthy();
    findings.heard = Ok(Heard { within: SECOND, ..Heard::default() });
    let diagnosis = judged(&case, &findings);
    assert_eq!(diagnosis.cause, Some(CheckName::Key));
    assert!(diagnosis.headline.starts_with("pixel has not joined"), "{}", diagnosis.headline);
    assert_eq!(found(&diagnosis, CheckName::Dhcp).consequence_of, Some(CheckName::Key));
    case.turned_away.push((MAC, Duration::from_secs(12)));
    let diagnosis = judged(&case, &findings);
    assert_eq!(diagnosis.headline, "pixel tried a wrong key 12 s ago: its key is none of ours");
    // Anybody's wrong key counts when nobody is named, while it is fresh.
    case.subject = None;
    assert_eq!(judged(&case, &healthy()).cause, Some(CheckName::Key));
    case.turned_away = vec![(MAC, Duration::from_secs(300))];
    assert!(judged(&case, &healthy()).healthy);
}

#[test]
fn a_radio_that_is_off_is_the_cause_of_everything_on_the_air() {
    let mut case = air();
    case.ap.state = HostedState::Unavailable;
    case.ap.blocker = Some(Blocker {
        reason: Reason::UserAction,
        end: Reason::UserAction,
        object: "phy0".into(),
        cause: "the radio is switched off".into(),
        remedy: "switch it on".into(),
    });
    let subject = case.subject.as_mut().expect("there");
    (subject.key, subject.connected, subject.lease, subject.ipv4) = (None, false, None, None);
    let mut findings = healthy();
    findings.heard = Ok(Heard { within: SECOND, ..Heard::default() });
    let diagnosis = judged(&case, &findings);
    assert_eq!(diagnosis.headline, "the access point is not running: the radio is switched off");
    for check in [CheckName::Key, CheckName::Dhcp] {
        assert_eq!(found(&diagnosis, check).consequence_of, Some(CheckName::Radio));
    }
}

#[test]
fn standalone_sharing_is_healthy_and_leads_nowhere() {
    let mut case = Case { mode: SharingMode::Standalone, pair: None, ..air() };
    case.examination.public = None;
    case.examination.firewall.segments[0].reach = Reach::Host;
    case.subject = None;
    let diagnosis = judged(&case, &healthy());
    assert_eq!(diagnosis.headline, "the network works; by design it leads nowhere");
    assert_eq!(found(&diagnosis, CheckName::Uplink).verdict, Verdict::Skipped);
}

#[test]
fn what_could_not_be_found_out_is_said_and_is_no_problem() {
    let diagnosis = judged(&wired(), &Findings::default());
    assert!(diagnosis.healthy);
    assert!(diagnosis.headline.contains("checks could not be made"), "{}", diagnosis.headline);
    assert!(verdicts(&diagnosis).iter().any(|(_, verdict)| *verdict == Verdict::Unknown));
}

#[test]
fn what_a_device_sends_by_itself_may_end_at_our_own_rules() {
    let mut findings = healthy();
    findings.packets = Ok(vec![
        Traced { real: true, ..dropped("") },
        Traced { packet: "a name query".into(), real: false, answer: false, fate: Fate::Passed },
    ]);
    assert!(judged(&wired(), &findings).healthy);
    findings.packets = Ok(vec![dropped("")]);
    assert_eq!(judged(&wired(), &findings).cause, Some(CheckName::Packet));
}

#[test]
fn a_device_is_found_by_address_and_name_in_any_case() {
    let view = DeviceView {
        ipv4: Some(DEVICE),
        hostname: Some("Pixel".into()),
        connected: true,
        ..unseen(MAC, None)
    };
    for given in ["pixel", "02:00:00:00:00:07", "192.168.137.7"] {
        let found = subject(given, core::slice::from_ref(&view)).expect("found");
        assert_eq!((found.mac, found.ipv4), (Some(MAC), Some(DEVICE)), "{given}");
    }
    let stranger = subject("02:00:00:00:00:08", core::slice::from_ref(&view)).expect("a stranger is one too");
    assert_eq!(stranger.ipv4, None);
    let failure = subject("tablet", &[view]).expect_err("nobody");
    assert_eq!(failure.code, ErrorCode::NotFound);
    assert!(!failure.remedy.is_empty());
}

#[test]
fn an_address_that_nobody_has_is_found() {
    let host: Subnet4 = "192.168.137.1/29".parse().expect("valid");
    let address = |n| Ipv4Addr::new(192, 168, 137, n);
    let pool = Some((address(2), address(6)));
    assert_eq!(spare(host, pool, &BTreeSet::new()), address(6));
    assert_eq!(spare(host, pool, &[address(6), address(4)].into()), address(5));
    assert_eq!(spare(host, pool, &(2..7).map(address).collect()), address(6));
}

proptest! {
    #[test]
    fn whatever_is_broken_together_there_is_one_first_cause_with_a_remedy(
        broken in proptest::collection::vec(0..BROKEN.len(), 0..6),
        over_the_air: bool,
        named: bool,
        mode in 0..3_usize,
        state in 0..3_usize,
        blind: bool,
        wrong_key: Option<u16>,
    ) {
        let mut case = if over_the_air { air() } else { wired() };
        let mut findings = healthy();
        for number in broken {
            let (.., break_it) = BROKEN[number];
            if case.subject.is_some() && findings.routes.is_ok() {
                break_it(&mut case, &mut findings);
            }
        }
        case.mode = [SharingMode::Off, SharingMode::Standalone, SharingMode::Full][mode];
        case.ap.state = [HostedState::Unavailable, HostedState::Idle, HostedState::Active][state];
        case.turned_away.extend(wrong_key.map(|ago| (MAC, Duration::from_secs(ago.into()))));
        if !named {
            case.subject = None;
        }
        let seen = if blind { Findings::default() } else { findings };
        sound(&diagnose(&case, &seen));
        // Losing sight of everything makes nobody guilty of what only a look can tell.
        let blind = diagnose(&case, &Findings::default());
        prop_assert!(blind.cause != Some(CheckName::Packet) && blind.cause != Some(CheckName::Gateway));
    }
}
