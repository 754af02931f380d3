//! Beyond this host: the public connection, its gateway, name servers, and what comes back.

use alloc::{format, string::ToString, vec, vec::Vec};

use hn_types::{
    diagnosis::{Answer, CheckName, Fate, Findings, Route, Upstream},
    network::Link,
    observed::ServiceTrouble,
    settings::PublicChoice,
};

use super::{Case, Draft, count, span};
use crate::steering::one_end;

/// So many unanswered connections are no coincidence.
const TELLING: u32 = 3;
/// IPv6 needs as much (RFC 8200 §5).
const SMALLEST: u32 = 1_280;

pub(super) fn uplink(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Uplink;
    let public = match (case.examination.public, case.pair.as_ref().map(|pair| pair.public)) {
        (Some(public), _) | (None, Some(PublicChoice::Interface(public))) => public,
        (None, Some(PublicChoice::Auto) | None) => {
            return Draft::problem(
                name,
                "no connection leads out",
                "no connection of this machine has a default route",
                "connect this machine to the Internet; sharing goes on by itself",
            );
        }
    };
    let Some(link) = case.network.link(public.as_str()) else {
        return Draft::problem(
            name,
            format!("{public} is not there"),
            "it was unplugged, or its program stopped",
            "plug it back; sharing goes on by itself",
        );
    };
    if !link.up {
        return Draft::problem(name, format!("{public} is down"), "somebody set it down", "set it up")
            .solved_by(vec![format!("ip link set {public} up")]);
    }
    if !link.carrier {
        let (cause, remedy) = if link.wireless {
            ("it is not connected to any network", "connect it to a Wi-Fi network")
        } else {
            ("its cable is out, or what is at its other end is off", "plug the cable in")
        };
        return Draft::problem(name, format!("{public} has no carrier"), cause, remedy);
    }
    let routes = match &findings.routes {
        Ok(routes) => routes,
        Err(cause) => return Draft::unknown(name, format!("the routes cannot be read: {cause}")),
    };
    let addresses: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
    let way = |route: Route| {
        route.gateway.map_or_else(|| "directly".to_string(), |gateway| format!("via {gateway}"))
    };
    let own = routes.iter().find(|route| route.interface == public).copied();
    // Or one of another table: devices are led by it, though this machine itself may not be.
    let own = own.or_else(|| {
        let way = case.network.ways.iter().find(|way| way.interface == public)?;
        Some(Route { interface: public, gateway: way.gateway, metric: 0 })
    });
    let tunnel =
        || one_end(&case.network, public).then_some(Route { interface: public, gateway: None, metric: 0 });
    let own = own.or_else(tunnel);
    match (own, routes.first()) {
        (None, _) if link.addresses.is_empty() => Draft::problem(
            name,
            format!("{public} has no address"),
            "nobody gave it one: its DHCP client does not run, or gets no answer",
            format!("run a DHCP client on {public}, or see what NetworkManager or networkd say about it"),
        ),
        (None, None) => Draft::problem(
            name,
            format!("no default route leads through {public}"),
            "its gateway was never told, or somebody removed the route",
            format!(
                "run `ip route add default via GATEWAY dev {public}` with the address of the router, or connect \
                 {public} anew"
            ),
        ),
        (None, Some(other)) => Draft::problem(
            name,
            format!("the default route leads through {}, not {public}", other.interface),
            format!("{public} has no default route"),
            format!("share {} in its place, or give {public} a route", other.interface),
        )
        .solved_by(case.anew_from(other.interface)),
        (Some(route), _) => Draft::ok(
            name,
            format!("{} on {public}, {} (metric {})", addresses.join(", "), way(route), route.metric),
        ),
    }
}

pub(super) fn gateway(findings: &Findings) -> Draft {
    let name = CheckName::Gateway;
    match &findings.gateway {
        None => Draft::skipped(name, "the public connection has no gateway to ask"),
        Some(Err(cause)) => Draft::unknown(name, format!("the gateway cannot be asked: {cause}")),
        Some(Ok(gateway)) => match gateway.answer {
            Some((mac, after)) => {
                Draft::ok(name, format!("{} ({mac}) answers in {}", gateway.address, span(after)))
            }
            None => Draft::problem(
                name,
                format!(
                    "the gateway {} is silent: {} by ARP",
                    gateway.address,
                    count(usize::try_from(gateway.asked).unwrap_or_default(), "question")
                ),
                "the router is off or hangs, or the cable leads to another network",
                "switch the router off and on, or connect this machine anew to get the right gateway",
            ),
        },
    }
}

pub(super) fn translation(findings: &Findings) -> Draft {
    let name = CheckName::Translation;
    match &findings.connections {
        Err(cause) => Draft::unknown(name, format!("connections cannot be read: {cause}")),
        Ok(seen) if seen.all == 0 => Draft::skipped(name, "no connection with the outside at this moment"),
        Ok(seen) if seen.translated == 0 => Draft::problem(
            name,
            format!("none of {} connections is translated", seen.all),
            "another program's nat rule takes them first, or conntrack is off for them",
            "look at the rules of type nat and for `notrack`: `nft list ruleset`",
        ),
        Ok(seen) => Draft::ok(name, format!("{} of {} connections translated", seen.translated, seen.all)),
    }
}

pub(super) fn dns(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Dns;
    if let Some(cause) = &case.dns_down {
        let remedy =
            "stop the program that has port 53 of this address, or keep it off the private connection";
        return Draft::problem(name, "this machine does not answer names", cause.clone(), remedy).rooted();
    }
    if !case.full() {
        return Draft::skipped(name, "standalone sharing has no names");
    }
    if case.examination.public.is_none() {
        return Draft::skipped(name, "no public connection is there");
    }
    let other =
        "name others in hostednet.toml, [sharing] dns_upstreams = [\"9.9.9.9\"], and restart the service";
    if case.examination.upstreams.is_empty() {
        return Draft::problem(
            name,
            "no name server is known",
            match case.examination.through {
                Some(tunnel) => format!(
                    "resolv.conf names none but this machine, whose questions may leave past {tunnel}"
                ),
                None => "resolv.conf names none but this machine".to_string(),
            },
            other,
        );
    }
    if findings.upstreams.is_empty() {
        return Draft::unknown(name, "no name server was asked");
    }
    if let Some((server, time)) = findings.upstreams.iter().find_map(answered) {
        return Draft::ok(name, format!("{server} answers in {time}"));
    }
    let said: Vec<_> = findings.upstreams.iter().map(words).collect();
    let cause = case.troubles.iter().find(|(kind, _)| *kind == ServiceTrouble::Upstreams).map_or_else(
        || "it is off, out of reach, or does not serve us".to_string(),
        |(_, cause)| cause.clone(),
    );
    Draft::problem(name, said.join("; "), cause, other)
}

pub(super) fn outside(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Outside;
    let seen = findings.connections.as_ref().ok().copied().unwrap_or_default();
    if seen.all >= TELLING && seen.answered == 0 {
        return Draft::problem(
            name,
            format!("{} connections with the outside, none answered", seen.all),
            "what is behind the gateway does not answer, or answers are lost",
            "see whether this machine itself is online; if not, ask the provider",
        );
    }
    let answered = findings.upstreams.iter().find_map(answered);
    let lost = findings.packets.iter().flatten().find(|it| it.answer && it.fate == Fate::Unseen);
    if let (Some(lost), Some(_), 0) = (lost, &answered, seen.answered) {
        return Draft::problem(
            name,
            format!("{} reaches this machine, but no device", lost.packet),
            "somebody beyond tells devices from this machine, or nothing translates their packets",
            "ask the provider whether sharing is allowed; look at the rules of type nat: `nft list ruleset`",
        );
    }
    match (answered, seen.answered) {
        (Some((server, time)), 0) => {
            let beyond =
                if on_link(case, &server) { "found out a name nobody asked before" } else { "answered" };
            Draft::ok(name, format!("{server} {beyond}, in {time}"))
        }
        (_, some @ 1..) => Draft::ok(name, format!("{some} of {} connections answered", seen.all)),
        (None, 0) => Draft::unknown(name, "nothing came back from outside in this moment"),
    }
}

pub(super) fn mtu(case: &Case) -> Draft {
    let name = CheckName::Mtu;
    let link = |interface: Option<hn_types::IfName>| case.network.link(interface?.as_str());
    let public: Option<&Link> = link(case.examination.public);
    let private = link(case.segment().map(|segment| segment.interface));
    let (Some(public), Some(private)) = (public, private) else {
        return Draft::unknown(name, "the interfaces are not known");
    };
    let finding = format!("{} bytes on {}, {} on {}", private.mtu, private.name, public.mtu, public.name);
    if public.mtu < SMALLEST {
        return Draft::problem(
            name,
            finding,
            "IPv6 and many sites need 1280 bytes",
            "make packets of the public connection larger",
        )
        .solved_by(vec![format!("ip link set {} mtu {SMALLEST}", public.name)]);
    }
    if public.mtu < private.mtu {
        return Draft::ok(name, format!("{finding}; devices are told, TCP is clamped"));
    }
    Draft::ok(name, finding)
}

/// A name server that knows, or knows that there is none.
fn answered(upstream: &Upstream) -> Option<(core::net::SocketAddr, alloc::string::String)> {
    match upstream.outcome {
        Answer::Code(0 | 3, after) => Some((upstream.server, span(after))),
        Answer::Code(..) | Answer::Silence(_) | Answer::Failed(_) => None,
    }
}

fn words(upstream: &Upstream) -> alloc::string::String {
    let server = upstream.server;
    match &upstream.outcome {
        Answer::Code(2, _) => format!("{server} answers, but finds nothing out (SERVFAIL)"),
        Answer::Code(5, _) => format!("{server} refuses to answer us (REFUSED)"),
        Answer::Code(code, _) => format!("{server} answers with code {code}"),
        Answer::Silence(time) => format!("{server} was silent for {}", span(*time)),
        Answer::Failed(cause) => format!("{server} cannot be asked: {cause}"),
    }
}

/// Whether a server is in the network of the public connection, so that its answer alone proves nothing beyond.
fn on_link(case: &Case, server: &core::net::SocketAddr) -> bool {
    let core::net::IpAddr::V4(address) = server.ip() else { return false };
    let public = case.examination.public.and_then(|public| case.network.link(public.as_str()));
    address.is_loopback()
        || public.is_some_and(|link| link.addresses.iter().any(|subnet| subnet.contains(address)))
}
