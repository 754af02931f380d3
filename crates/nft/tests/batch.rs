//! The bytes that are sent, laid out and annotated, against the expected ones; and what is read back.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use hn_nft::{
    Batch, Chain, Compared, CtStates, Direction, Foreign, Hook, Installed, Match, Object, Op, Request, Rule,
    Ruleset, Side, Statement, Verdict, audit, compare,
    wire::{Content, replies},
};
use hn_types::{
    IfName, Subnet4, Subnet6,
    plan::{
        FirewallPlan, FirewallSegment, FirewallSegment6, Isolated, Pinhole, Pinned, PortForward, Reach,
        Steering,
    },
    portmap::MapRemote,
    settings::Protocol,
};
use proptest::prelude::*;

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn full() -> FirewallPlan {
    let reach = Reach::Public(name("eth0"));
    let subnet = Some("192.168.137.1/24".parse().unwrap());
    FirewallPlan {
        segments: vec![FirewallSegment { interface: name("hnap0"), subnet, reach, ipv6: None }],
        ..FirewallPlan::default()
    }
}

fn dual() -> FirewallPlan {
    let mut plan = full();
    let address = "fd12:3456:789a:1::1/64".parse().unwrap();
    plan.segments[0].ipv6 = Some(FirewallSegment6 { address, nat66: true, global: [None; 2], guard: true });
    plan
}

fn known(interface: &IfName) -> Option<u32> {
    match interface.as_str() {
        "eth0" => Some(2),
        "hnap0" => Some(7),
        _ => None,
    }
}

/// What the kernel would dump after `batch`: the very messages that made the table.
fn dumped(batch: &Batch) -> Installed {
    let mut installed = Installed::default();
    for reply in replies(batch.bytes()) {
        if let Content::Record(record) = reply.unwrap().content {
            installed.absorb(record).unwrap();
        }
    }
    installed
}

/// Messages in the layout of `nft --debug=mnl`, four bytes a line, attributes indented by depth, each message
/// under the name of what it is about and, for a rule, its text.
fn layout(ruleset: &Ruleset, batch: &Batch) -> String {
    let mut text = String::new();
    let mut rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let mut rest = batch.bytes();
    while let Some(length) = rest.first_chunk::<4>() {
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap();
        let (message, tail) = rest.split_at(length);
        let field = |at: usize| u16::from_ne_bytes(*message[at..].first_chunk().unwrap());
        let sequence = u32::from_ne_bytes(*message[8..].first_chunk().unwrap());
        let object = batch.object(sequence).unwrap();
        writeln!(text, "# {sequence}: {object}").unwrap();
        if matches!(object, Object::Rule(..)) {
            writeln!(text, "# {}", rules.next().unwrap()).unwrap();
        }
        writeln!(text, "type {:#06x} flags {:#06x} length {length}", field(4), field(6)).unwrap();
        writeln!(text, "{:02x?}", &message[16..20]).unwrap();
        attributes(&message[20..], 1, &mut text);
        rest = tail;
    }
    text
}

fn attributes(mut rest: &[u8], depth: usize, text: &mut String) {
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = &rest[4..length];
        let padding = &rest[length..length.next_multiple_of(4)];
        assert!(padding.iter().all(|byte| *byte == 0), "padding is not zero");
        write!(text, "{:indent$}{}:", "", kind & 0x3fff, indent = 2 * depth).unwrap();
        if kind & 0x8000 != 0 {
            writeln!(text, " nested").unwrap();
            attributes(value, depth + 1, text);
        } else {
            for byte in value {
                write!(text, " {byte:02x}").unwrap();
            }
            if value.iter().filter(|byte| byte.is_ascii_graphic()).count() > 1 {
                write!(text, "  {:?}", String::from_utf8_lossy(value).trim_matches('\0')).unwrap();
            }
            writeln!(text).unwrap();
        }
        rest = &rest[length.next_multiple_of(4)..];
    }
}

/// Set `BLESS=1` to write the file anew after a deliberate change; review the difference.
fn golden(file: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(expected, found, "{file} line {}", number + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

#[test]
fn what_a_device_sends_from_a_mapped_port_leaves_by_the_port_of_the_mapping() {
    let forward = |internal_port, remote: Option<&str>| PortForward {
        public: name("eth0"),
        private: name("hnap0"),
        protocol: Protocol::Udp,
        external_port: 5000,
        address: "192.168.137.9".parse().unwrap(),
        internal_port,
        remote: remote.map(|address| MapRemote { address: address.parse().unwrap(), prefix: 32, port: 53 }),
    };
    let outwards =
        |forward| {
            let plan = FirewallPlan { forwards: vec![forward], ..full() };
            let ruleset = Ruleset::of(&plan, known);
            let chain = ruleset.chains.iter().find(|chain| chain.name == "postrouting").unwrap();
            let texts: Vec<String> = chain.rules.iter().map(ToString::to_string).collect();
            let at = texts.iter().position(|text| text.contains("masquerade to"));
            assert!(at.is_none_or(
                |at| at < texts.iter().position(|text| text.contains("masquerade comment")).unwrap()
            ));
            at.map(|at| texts[at].clone())
        };
    let from = "iifname \"hnap0\" oifname \"eth0\" meta nfproto ipv4 ip saddr 192.168.137.9/32";
    let to = "udp sport 4000 masquerade to :5000 comment \"udp 5000 to hnap0 outwards\"";
    assert_eq!(outwards(forward(4000, None)).unwrap(), format!("{from} {to}"));
    let one = outwards(forward(4000, Some("203.0.113.1"))).unwrap();
    assert_eq!(one, format!("{from} ip daddr 203.0.113.1/32 udp dport 53 {to}"));
    assert_eq!(outwards(forward(5000, None)), None, "it keeps the port anyway");
}

#[test]
fn a_pinhole_opens_one_port_of_one_device_of_the_prefix_to_new_connections() {
    let hole = |address: &str, remote: Option<&str>| Pinhole {
        public: name("eth0"),
        private: name("hnap0"),
        protocol: Protocol::Tcp,
        address: address.parse().unwrap(),
        port: 8080,
        remote: remote.map(|remote| MapRemote { address: remote.parse().unwrap(), prefix: 64, port: 53 }),
    };
    let lines = |plan: &FirewallPlan| {
        let text = Ruleset::of(plan, known).to_string();
        text.lines()
            .filter(|line| line.contains("8080"))
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let mut plan = dual();
    plan.pinholes = vec![
        hole("fd12:3456:789a:1::9", None),
        hole("fd12:3456:789a:1::a", Some("2001:db8::1")),
        hole("fd12:3456:789a:2::9", None),
    ];
    let opened = lines(&plan);
    assert_eq!(opened.len(), 2, "the third is of no prefix of ours: {opened:?}");
    for part in ["iifname \"eth0\"", "fd12:3456:789a:1::9", "tcp", "original", "new", "counter accept"] {
        assert!(opened[0].contains(part), "{part}: {opened:?}");
    }
    // What devices began is not looked for among them, and answers to it are let pass first.
    let text = Ruleset::of(&plan, known).to_string();
    let inward = text.lines().skip_while(|line| !line.contains("chain to-1")).map(str::trim);
    let at = |part: &str| inward.clone().position(|line| line.contains(part)).unwrap();
    assert!(at("ipv6 ct direction reply ct status assured accept") < at("8080"), "{text}");
    assert!(at("ipv6 ct direction reply ct state established,related accept") < at("8080"), "{text}");
    assert!(at("8080") < at("ipv6 ct state established,related accept"), "{text}");
    let closed = Ruleset::of(&dual(), known).to_string();
    assert!(!closed.contains("ct direction"), "nobody pays for what is not there:\n{closed}");
    assert!(opened[1].contains("saddr 2001:db8::/64") && opened[1].contains("tcp sport 53"), "{opened:?}");
    assert!(!opened[0].contains("saddr") && !opened[0].contains("sport"), "{opened:?}");
    plan.segments[0].reach = Reach::Host;
    assert!(lines(&plan).is_empty(), "nothing is forwarded, so nothing is open");
}

#[test]
#[cfg(target_endian = "little")]
fn the_table_of_full_mode_is_exactly_these_bytes() {
    let ruleset = Ruleset::of(&full(), known);
    golden("full.txt", &layout(&ruleset, &Batch::replace(&ruleset, 1)));
}

#[test]
fn the_table_of_full_mode_reads_like_this() {
    golden("full.nft", &Ruleset::of(&full(), known).to_string());
}

#[test]
fn without_indexes_the_names_say_it_all() {
    golden("unplugged.nft", &Ruleset::of(&full(), |_| None).to_string());
}

#[test]
fn standalone_mode_neither_masquerades_nor_passes_anything() {
    let mut plan = full();
    plan.segments[0].reach = Reach::Host;
    golden("standalone.nft", &Ruleset::of(&plan, known).to_string());
}

#[test]
fn ipv6_passes_behind_the_public_interface_and_opens_nothing_else() {
    golden("dual.nft", &Ruleset::of(&dual(), known).to_string());
    let mut plan = dual();
    plan.segments[0].ipv6.as_mut().unwrap().nat66 = false;
    let text = Ruleset::of(&plan, known).to_string();
    assert_eq!(text.matches("ipv6").count(), 1, "only the host's own address is spoken of: {text}");
    plan = dual();
    plan.segments[0].ipv6.as_mut().unwrap().guard = false;
    let text = Ruleset::of(&plan, known).to_string();
    assert!(!text.contains("elsewhere to eth0") && text.contains("ip6 saddr fd12:3456:789a:1::/64"));
}

#[test]
fn what_devices_are_kept_from_is_dropped_before_anything_passes_and_their_own_network_is_spared() {
    let mut plan = dual();
    plan.isolated =
        Isolated { ipv4: vec!["192.168.0.0/16".parse().unwrap()], ipv6: vec!["fc00::/7".parse().unwrap()] };
    let ruleset = Ruleset::of(&plan, known);
    let comments = |chain: &str| -> Vec<String> {
        let chain = ruleset.chains.iter().find(|found| found.name == chain).unwrap();
        chain.rules.iter().map(|rule| rule.comment.clone()).collect()
    };
    assert_eq!(comments("from-1")[..2], ["hnap0 kept from 192.168.0.0/16", "hnap0 kept from fc00::/7"]);
    let input = comments("input");
    assert_eq!(
        input[input.len() - 4..],
        [
            "hnap0 to this host in it",
            "hnap0 to this host in it",
            "hnap0 kept from this host in 192.168.0.0/16",
            "hnap0 kept from this host in fc00::/7"
        ]
    );
    // The host's link-local address in the segment is the segment's.
    plan.isolated = Isolated { ipv4: Vec::new(), ipv6: vec!["fe80::/10".parse().unwrap()] };
    let linked = Ruleset::of(&plan, known);
    let open = linked.chains.iter().filter(|chain| chain.name == "input").flat_map(|chain| &chain.rules);
    assert!(open.into_iter().all(|rule| !rule.comment.contains("kept from")));
}

#[test]
fn a_segment_without_addresses_passes_nothing() {
    let mut plan = full();
    plan.segments[0].subnet = None;
    let ruleset = Ruleset::of(&plan, known);
    let hooks: Vec<_> = ruleset.chains.iter().filter_map(|chain| chain.hook).collect();
    assert_eq!(hooks, [Hook::Forward], "no hook without a rule");
    let passing = ruleset.chains.iter().flat_map(|chain| &chain.rules).filter(|rule| {
        rule.statements.contains(&Statement::Verdict(Verdict::Accept)) && !rule.comment.starts_with("inside")
    });
    assert_eq!(passing.count(), 0);
}

#[test]
fn the_empty_plan_adds_and_deletes_so_that_nothing_to_remove_is_no_error() {
    let ruleset = Ruleset::of(&FirewallPlan::default(), known);
    let batch = Batch::replace(&ruleset, 10);
    let types: Vec<_> = batch
        .bytes()
        .chunk_by(|_, _| true)
        .flat_map(|all| {
            let mut rest = all;
            core::iter::from_fn(move || {
                let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk::<4>()?)).unwrap();
                let kind = u16::from_ne_bytes([rest[4], rest[5]]);
                rest = &rest[length..];
                Some(kind)
            })
        })
        .collect();
    assert_eq!(types, [0x10, 0x0a00, 0x0a02, 0x11]);
    assert_eq!((batch.acknowledged(), batch.next_sequence()), (12, 14));
    assert_eq!(batch.object(9), None);
    assert_eq!(batch.object(14), None);
    assert_eq!(ruleset.to_string(), "# no table inet hostednet\n");
}

#[test]
fn what_began_by_a_former_public_interface_goes_on_by_it() {
    let mut plan = full();
    plan.pinned = [
        Pinned { interface: name("eth0"), address: [203, 0, 113, 2].into(), mark: Steering::MARKS },
        Pinned { interface: name("eth1"), address: [203, 0, 113, 3].into(), mark: Steering::MARKS + 1 },
    ]
    .into();
    let text = Ruleset::of(&plan, known).to_string();
    for line in [
        "type filter hook prerouting priority mangle; policy accept;",
        "iifname \"hnap0\" meta nfproto ipv4 ct reply ip daddr 203.0.113.2 meta mark set 0x686e0001 \
         comment \"what hnap0 began by eth0\"",
        "iifname \"hnap0\" meta nfproto ipv4 ct reply ip daddr 203.0.113.3 meta mark set 0x686e0002 \
         comment \"what hnap0 began by eth1\"",
        "oifname \"eth1\" meta nfproto ipv4 ip saddr 192.168.137.0/24 ct state established,related accept \
         comment \"what hnap0 began by eth1\"",
        "iifname \"eth1\" meta nfproto ipv4 ct state established,related accept comment \"what hnap0 began by eth1\"",
    ] {
        assert!(text.lines().any(|found| found.trim() == line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("oifname \"eth1\" meta nfproto ipv4 ip saddr 192.168.137.0/24 ct state new"));
}

#[test]
fn the_other_end_is_told_of_a_way_out_that_is_narrower_than_the_segment() {
    let mut plan = dual();
    assert!(!Ruleset::of(&plan, known).to_string().contains("maxseg size set 1"));
    plan.narrow = [(name("hnap0"), 1_420)].into();
    let text = Ruleset::of(&plan, known).to_string();
    for (family, size) in [("ipv4", 1_380), ("ipv6", 1_360)] {
        let line = format!(
            "iifname \"eth0\" meta nfproto {family} tcp flags syn tcp option maxseg size set {size} \
             comment \"no larger than hnap0 may send by eth0\""
        );
        assert!(text.lines().any(|found| found.trim() == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn the_address_of_a_tunnel_leaves_by_no_other_way() {
    let mut plan = full();
    plan.sealed = ["10.64.0.2", "fd64::2"].map(|text| (name("wg0"), text.parse().unwrap())).into();
    let ruleset = Ruleset::of(&plan, known);
    let text = ruleset.to_string();
    for line in [
        "meta nfproto ipv4 ip saddr 10.64.0.2/32 oifname != \"wg0\" oif != 1 counter drop comment \"address of wg0 past it\"",
        "meta nfproto ipv6 ip6 saddr fd64::2/128 oifname != \"wg0\" oif != 1 counter drop comment \"address of wg0 past it\"",
    ] {
        assert!(text.lines().any(|found| found.trim() == line), "{line}\nis not in\n{text}");
    }
    assert_eq!(compare(&ruleset, &dumped(&Batch::replace(&ruleset, 1))), Ok(()));
}

#[test]
fn an_ordinary_packet_meets_no_more_than_this() {
    // Counted in expressions up to and including the verdict, on the path by index.
    fn cost(rule: &Rule) -> usize {
        let expressions = |statement: &Statement| match statement {
            Statement::Match(
                Match::Ipv4
                | Match::Ipv6
                | Match::Interface(..)
                | Match::NotTo(_)
                | Match::Local
                | Match::AnsweredAt(_)
                | Match::Direction(_)
                | Match::Protocol(_),
            )
            | Statement::Mark(_)
            | Statement::LimitSegment(_) => 2,
            Statement::Match(
                Match::Address(..)
                | Match::Address6(..)
                | Match::State(_)
                | Match::Redirected
                | Match::Assured,
            )
            | Statement::Redirect(..)
            | Statement::ClampSegment => 3,
            Statement::Match(Match::TcpSyn) => 5,
            Statement::Match(Match::Port(..) | Match::PortFrom(..)) => 4,
            Statement::MasqueradeTo(_) => 2,
            Statement::Counter | Statement::Masquerade | Statement::Verdict(_) | Statement::Other(_) => 1,
        };
        rule.statements.iter().map(expressions).sum()
    }
    let ruleset = Ruleset::of(&full(), known);
    let chain = |name: &str| ruleset.chains.iter().find(|chain| chain.name == name).unwrap();
    for path in ["from-1", "to-1"] {
        let data = &chain(path).rules[0].statements;
        assert!(data.contains(&Statement::Match(Match::Assured)), "data of TCP is decided by the first rule");
    }
    let forward = &chain("forward").rules;
    assert_eq!(cost(&forward[0]) + cost(&chain("from-1").rules[0]), 3 + 11, "outward");
    // The first rule is left at its comparison.
    assert_eq!(2 + cost(&forward[1]) + cost(&chain("to-1").rules[0]), 2 + 3 + 8, "inward");
    assert_eq!(forward.iter().map(|rule| cost(rule) - 1).sum::<usize>(), 8, "not ours");
}

#[test]
fn every_difference_is_found() {
    let wanted = Ruleset::of(&full(), known);
    let good = dumped(&Batch::replace(&wanted, 1));
    assert_eq!(compare(&wanted, &good), Ok(()));
    type Change = fn(&mut Installed);
    let changes: [(&str, Change); 10] = [
        ("inet hostednet", |i| *i = Installed::default()),
        ("inet hostednet", |i| i.flags = 1),
        ("inet hostednet", |i| i.objects = Some(6)),
        ("inet hostednet / chain from-1", |i| drop(i.ruleset.chains.remove(0))),
        ("inet hostednet / chain evil", |i| {
            i.ruleset.chains.push(Chain { name: "evil".into(), hook: None, rules: Vec::new() });
        }),
        ("inet hostednet / chain from-1", |i| i.ruleset.chains[0].hook = Some(Hook::Input)),
        ("inet hostednet / chain from-1 / rule 4", |i| drop(i.ruleset.chains[0].rules.remove(3))),
        ("inet hostednet / chain from-1 / rule 1", |i| i.ruleset.chains[0].rules.swap(0, 1)),
        ("inet hostednet / chain to-1 / rule 3", |i| {
            i.ruleset.chains[1].rules[2].statements[0] = Statement::Verdict(Verdict::Accept);
        }),
        ("inet hostednet / chain to-1 / rule 6", |i| {
            let rule = i.ruleset.chains[1].rules[2].clone();
            i.ruleset.chains[1].rules.push(rule);
        }),
    ];
    for (place, change) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(compare(&wanted, &changed).unwrap_err().place, place);
        assert!(compare(&Ruleset::default(), &changed).is_err() || !changed.present);
    }
    assert_eq!(compare(&Ruleset::default(), &Installed::default()), Ok(()));
}

#[test]
fn what_we_never_write_is_shown_and_never_taken_for_ours() {
    let odd = Rule { statements: vec![Statement::Other("log".into())], comment: String::new() };
    let chain = Chain { name: "from-1".into(), hook: None, rules: vec![odd.clone()] };
    let batch = Batch::replace(&Ruleset { chains: vec![chain] }, 1);
    let installed = dumped(&batch);
    assert_eq!(installed.ruleset.chains[0].rules, [odd]);
    assert!(installed.ruleset.to_string().contains("[log]"));
}

#[test]
fn questions_are_for_our_table_only() {
    assert_eq!(Request::Generation.encode(3).len(), 20);
    assert_eq!(Request::Chains.encode(3).len(), 20);
    for request in [Request::Table, Request::Rules] {
        let bytes = request.encode(3);
        assert_eq!(bytes.len(), 36);
        assert!(bytes.windows(10).any(|window| window == b"hostednet\0"));
    }
}

fn interface() -> impl Strategy<Value = IfName> {
    "[a-z\"{}#@ä.][a-z0-9\"{}#@.-]{0,12}".prop_filter_map("a name", |text| text.parse().ok())
}

fn subnet() -> impl Strategy<Value = Subnet4> {
    (any::<u32>(), 0_u8..=32).prop_map(|(address, prefix)| Subnet4::new(address.into(), prefix).unwrap())
}

fn plan() -> impl Strategy<Value = FirewallPlan> {
    let reach = prop_oneof![Just(Reach::Host), interface().prop_map(Reach::Public)];
    let network = || (any::<u128>(), 0_u8..=128).prop_map(|(a, n)| Subnet6::new(a.into(), n).unwrap());
    let global = || proptest::option::of(network().prop_map(Subnet6::network));
    let ipv6 = (network(), [global(), global()], any::<bool>(), any::<bool>())
        .prop_map(|(address, global, nat66, guard)| FirewallSegment6 { address, nat66, global, guard });
    let segment = (interface(), proptest::option::of(subnet()), reach, proptest::option::of(ipv6))
        .prop_map(|(interface, subnet, reach, ipv6)| FirewallSegment { interface, subnet, reach, ipv6 });
    let remote = |bits: u8| (any::<u128>(), 0..=bits, any::<u16>());
    let forward = (
        (interface(), any::<bool>(), any::<u32>(), any::<u16>(), any::<u16>()),
        (any::<proptest::sample::Index>(), proptest::option::of(remote(32))),
    );
    let forwards = proptest::collection::vec(forward, 0..4);
    let closed = proptest::collection::btree_set(interface(), 0..3);
    let network4 = (any::<u32>(), 0_u8..=32);
    let network4 =
        network4.prop_map(|(address, prefix)| Subnet4::new(address.into(), prefix).unwrap().network());
    let network6 = (any::<u128>(), 0_u8..=128);
    let network6 =
        network6.prop_map(|(address, prefix)| Subnet6::new(address.into(), prefix).unwrap().network());
    let isolated = (proptest::collection::vec(network4, 0..3), proptest::collection::vec(network6, 0..3));
    let isolated = isolated.prop_map(|(ipv4, ipv6)| Isolated { ipv4, ipv6 });
    let hole = (any::<bool>(), any::<u128>(), any::<u16>(), proptest::option::of(remote(128)));
    let holes = proptest::collection::vec((hole, any::<proptest::sample::Index>()), 0..4);
    let pinned = (interface(), any::<u32>(), 0_u32..8).prop_map(|(interface, address, mark)| Pinned {
        interface,
        address: address.into(),
        mark: Steering::MARKS + mark,
    });
    let pinned = proptest::collection::btree_set(pinned, 0..3);
    let narrow = proptest::option::of(any::<u16>());
    let parts = (proptest::collection::vec(segment, 0..5), forwards, holes, closed, isolated, pinned, narrow);
    parts.prop_map(|(segments, forwards, holes, closed, isolated, pinned, narrow)| {
        let narrow = segments.iter().filter_map(|segment| Some((segment.interface, narrow?))).collect();
        let forwards = forwards
            .into_iter()
            .filter(|_| !segments.is_empty())
            .map(|((public, tcp, address, external_port, internal_port), (segment, remote))| PortForward {
                public,
                private: segment.get(&segments).interface,
                protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
                external_port,
                address: address.into(),
                internal_port,
                remote: remote.map(|(address, prefix, port)| MapRemote {
                    address: Ipv4Addr::from(address as u32).into(),
                    prefix,
                    port,
                }),
            })
            .collect();
        let pinholes = holes
            .into_iter()
            .filter(|_| !segments.is_empty())
            .filter_map(|((tcp, address, port, remote), segment)| {
                let FirewallSegment { interface: private, reach, ipv6, .. } = segment.get(&segments);
                let Reach::Public(public) = *reach else { return None };
                // Half of them of the prefix, which the others miss.
                let inside = ipv6.filter(|_| port % 2 == 0).map(|ipv6| ipv6.address.address());
                Some(Pinhole {
                    public,
                    private: *private,
                    protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
                    address: inside.unwrap_or_else(|| address.into()),
                    port,
                    remote: remote.map(|(address, prefix, port)| MapRemote {
                        address: Ipv6Addr::from(address).into(),
                        prefix,
                        port,
                    }),
                })
            })
            .collect();
        FirewallPlan {
            segments,
            forwards,
            pinholes,
            closed,
            isolated,
            pinned,
            narrow,
            ..FirewallPlan::default()
        }
    })
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_read(plan in plan(), indexes in proptest::option::of(1_u32..)) {
        let index = |name: &IfName| indexes.map(|base| base.wrapping_add(name.as_str().len() as u32));
        let ruleset = Ruleset::of(&plan, index);
        let batch = Batch::replace(&ruleset, 1);
        let installed = dumped(&batch);
        if ruleset.chains.is_empty() {
            prop_assert!(plan.segments.is_empty() && plan.closed.is_empty());
        } else {
            prop_assert_eq!(&installed.ruleset, &ruleset);
            prop_assert_eq!(compare(&ruleset, &installed), Ok(()));
        }
        // Every comment fits, and every rule that drops counts, and that of every pinhole.
        for rule in ruleset.chains.iter().flat_map(|chain| &chain.rules) {
            prop_assert!(rule.comment.len() <= Rule::COMMENT_LIMIT);
            let drops = rule.statements.contains(&Statement::Verdict(Verdict::Drop));
            let opens = rule.statements.contains(&Statement::Match(Match::Direction(Direction::Original)));
            prop_assert_eq!(drops || opens, rule.statements.contains(&Statement::Counter));
        }
    }

    #[test]
    fn different_plans_are_told_apart(a in plan(), b in plan()) {
        let (a_rules, b_rules) = (Ruleset::of(&a, known), Ruleset::of(&b, known));
        prop_assume!(a_rules != b_rules && !b_rules.chains.is_empty());
        prop_assert!(compare(&a_rules, &dumped(&Batch::replace(&b_rules, 1))).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        absorb_all(&bytes);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = Batch::replace(&Ruleset::of(&full(), known), 1).bytes().to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        absorb_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        absorb_all(&bytes);
    }
}

/// Reads what can be read, as the driver does.
fn absorb_all(bytes: &[u8]) {
    let mut installed = Installed::default();
    let mut foreign = Foreign::default();
    for reply in replies(bytes).map_while(Result::ok) {
        if let Content::Record(record) = reply.content {
            let _ = record.generation();
            let _ = installed.absorb(record);
            let _ = foreign.absorb(record);
        }
    }
    let _ = compare(&Ruleset::of(&full(), known), &installed).map_err(|difference| difference.to_string());
    let _ = installed.ruleset.to_string();
    foreign.wanted_sets().iter().for_each(|set| foreign.complete(set));
    let _ = audit(&foreign, &full(), known);
}

#[test]
fn conditions_read_like_nft() {
    let text = |condition: Match| Statement::Match(condition).to_string();
    let named = Compared::Name(name("a\"b"));
    assert_eq!(text(Match::Interface(Side::Out, Op::IsNot, named)), r#"oifname != "a\"b""#);
    assert_eq!(text(Match::Interface(Side::In, Op::Is, Compared::Index(3))), "iif 3");
    assert_eq!(text(Match::State(CtStates::NEW.or(CtStates(128)))), "ct state new,0x80");
}
