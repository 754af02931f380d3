//! What looking at the simulated machine finds: a healthy one, but for what the console made ill.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use hn_types::{
    MacAddr,
    diagnosis::{
        Answer, Blocked, CheckName, Connections, Examination, Fate, Findings, Gateway, Heard, Route, Speaker,
        Switch, Table, TableKind, Traced, Upstream,
    },
};

/// What can be made ill.
pub(crate) const ILLS: [CheckName; 9] = [
    CheckName::Address,
    CheckName::Forwarding,
    CheckName::Rules,
    CheckName::Firewall,
    CheckName::Tables,
    CheckName::Packet,
    CheckName::Gateway,
    CheckName::Dns,
    CheckName::Outside,
];

const GATEWAY: MacAddr = MacAddr([0x02, 0, 0, 0, 0x99, 0x01]);

/// Finds what `question` asks for on a machine where `ills` are not as they should be.
pub(crate) fn findings(question: &Examination, ills: &BTreeSet<CheckName>) -> Findings {
    let ill = |check: CheckName| ills.contains(&check);
    let after = Duration::from_millis(7);
    let first = question.public.and(Some(Ipv4Addr::new(10, 20, 30, 1)));
    let switches = question.forwarding.ipv4.iter().map(|interface| Switch {
        name: format!("net.ipv4.conf.{interface}.forwarding"),
        wanted: "1".to_owned(),
        value: Some(if ill(CheckName::Forwarding) { "0" } else { "1" }.to_owned()),
    });
    let blocked = Blocked {
        traffic: "connections to the outside".to_owned(),
        owner: "ufw".to_owned(),
        place: "ip filter / chain ufw-reject-forward / policy drop".to_owned(),
        commands: vec!["ufw route allow in on hnap0 out on wlan0".to_owned()],
        advice: String::new(),
    };
    let wrong = if ill(CheckName::Address) { Some(Ipv4Addr::new(10, 0, 0, 5)) } else { question.address };
    let speakers = question.mac.map(|mac| Speaker {
        mac,
        frames: 3,
        addresses: wrong.into_iter().collect(),
        requests: 0,
    });
    let dropped = Fate::Dropped {
        owner: "rules of nftables".to_owned(),
        place: "inet guard / chain forward / rule 7".to_owned(),
        rule: "ip saddr 192.168.137.2 drop".to_owned(),
        commands: vec!["nft delete rule inet guard forward handle 7".to_owned()],
        advice: String::new(),
    };
    let traced = Traced {
        packet: "a name query to 10.20.30.1".to_owned(),
        real: false,
        answer: false,
        fate: if ill(CheckName::Packet) { dropped } else { Fate::Passed },
    };
    Findings {
        switches: switches.collect(),
        difference: Ok(ill(CheckName::Rules).then(|| "chain forward: wanted 4 rules, found 3".to_owned())),
        blockades: Ok(if ill(CheckName::Firewall) { vec![blocked] } else { Vec::new() }),
        tables: Ok(vec![Table {
            kind: TableKind::Connections,
            entries: if ill(CheckName::Tables) { 65_536 } else { 128 },
            limit: 65_536,
            refused: 0,
        }]),
        heard: Ok(Heard {
            within: Duration::from_millis(1_500),
            frames: 3,
            speakers: speakers.into_iter().collect(),
            answered: question.mac.filter(|_| question.address.is_some() && !ill(CheckName::Address)),
        }),
        routes: Ok(question
            .public
            .map(|interface| Route { interface, gateway: first, metric: 600 })
            .into_iter()
            .collect()),
        gateway: first.map(|address| {
            let answer = (!ill(CheckName::Gateway)).then_some((GATEWAY, after));
            Ok(Gateway { address, asked: 1, answer })
        }),
        connections: Ok(if ill(CheckName::Outside) {
            Connections { all: 5, translated: 5, answered: 0 }
        } else {
            Connections { all: 5, translated: 5, answered: 4 }
        }),
        upstreams: question
            .upstreams
            .iter()
            .map(|server| Upstream {
                server: *server,
                outcome: if ill(CheckName::Dns) {
                    Answer::Silence(Duration::from_millis(2_400))
                } else {
                    Answer::Code(3, after)
                },
            })
            .collect(),
        packets: Ok(question.public.map(|_| traced).into_iter().collect()),
    }
}
