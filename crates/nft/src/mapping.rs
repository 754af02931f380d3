//! The rules of port mappings and of closed connections.
//!
//! A mapped port leads to its device from the public connection and, as *hairpin*, from the segment itself, where
//! the packet must go back the way it came: it is translated at both ends. Only packets for an address of this host are
//! redirected. What the device itself sends from a mapped port is seen outside as coming from the port of the mapping
//! (RFC 6886: mappings are bidirectional), so that whom it meets by a third party's word finds it. What a mapping lets in is named by device and port once more where packets are forwarded, so that no
//! other table's translation opens anything.

use alloc::{format, string::String, vec, vec::Vec};
use core::net::IpAddr;

use hn_types::{
    IfName, Subnet4, Subnet6,
    plan::{FirewallPlan, NameRedirect, Pinhole, PortForward},
    portmap::MapRemote,
    settings::Protocol,
};

use crate::{
    installed::Installed,
    policy::{dropped, on},
    ruleset::{Compared, CtStates, Direction, Match, Op, Rule, Side, Statement, Verdict},
};

/// ICMP and ICMPv6: errors and neighbour discovery must pass, and who is pinged may answer.
const ICMP: [u8; 2] = [1, 58];
/// The ports on which this host waits for answers of DHCP and DHCPv6 servers.
const DHCP_CLIENT: [u16; 2] = [68, 546];
const UDP: u8 = 17;
const DNS: u16 = 53;

fn ours(plan: &FirewallPlan) -> impl Iterator<Item = (&PortForward, Subnet4)> {
    plan.forwards.iter().filter_map(|forward| {
        let segment = plan.segments.iter().find(|segment| segment.interface == forward.private)?;
        Some((forward, segment.subnet?))
    })
}

/// That a packet comes from these, or goes to them.
fn remote(remote: Option<MapRemote>, protocol: Protocol, side: Side) -> Vec<Match> {
    let Some(MapRemote { address, prefix, port }) = remote else { return Vec::new() };
    let network = match address {
        IpAddr::V4(address) => {
            Subnet4::new(address, prefix).map(|network| Match::Address(side, network.network()))
        }
        IpAddr::V6(address) => {
            Subnet6::new(address, prefix).map(|network| Match::Address6(side, network.network()))
        }
    };
    let port = (port != 0).then(|| match side {
        Side::In => Match::PortFrom(protocol.number(), port),
        Side::Out => Match::Port(protocol.number(), port),
    });
    network.filter(|_| prefix > 0).into_iter().chain(port).collect()
}

fn text(forward: &PortForward) -> String {
    format!("{} {} to {}", forward.protocol, forward.external_port, forward.private)
}

/// Where the destination is translated, before it is decided where the packet goes.
pub(crate) fn prerouting(plan: &FirewallPlan) -> Vec<Rule> {
    let mut rules: Vec<Rule> = plan.names.iter().map(names).collect();
    for (forward, subnet) in ours(plan) {
        let condition = |from: IfName, rest: Vec<Match>| {
            let mut statements =
                vec![on(Side::In, Op::Is, Compared::Name(from)), Statement::Match(Match::Ipv4)];
            statements.extend(rest.into_iter().map(Statement::Match));
            statements.extend([
                Statement::Match(Match::Port(forward.protocol.number(), forward.external_port)),
                Statement::Match(Match::Local),
                Statement::Redirect(forward.address, forward.internal_port),
            ]);
            statements
        };
        let remote = remote(forward.remote, forward.protocol, Side::In);
        rules.push(Rule { statements: condition(forward.public, remote), comment: text(forward) });
        if forward.remote.is_some() {
            continue;
        }
        // The host's address in the segment stays the host's own.
        let elsewhere = vec![Match::NotTo(subnet.address())];
        rules.push(Rule {
            statements: condition(forward.private, elsewhere),
            comment: format!("{} and back", text(forward)),
        });
    }
    rules
}

/// Only what is asked of this host: a device that wants another name server gets that.
fn names(redirect: &NameRedirect) -> Rule {
    let host = Subnet4::new(redirect.address, 32).map(|host| Match::Address(Side::Out, host));
    let mut statements =
        vec![on(Side::In, Op::Is, Compared::Name(redirect.private)), Statement::Match(Match::Ipv4)];
    statements.extend(host.map(Statement::Match));
    statements.extend([
        Statement::Match(Match::Port(redirect.protocol.number(), DNS)),
        Statement::Redirect(redirect.address, redirect.port),
    ]);
    Rule { statements, comment: format!("names for {}", redirect.private) }
}

/// What a device of `private` may get through its mappings.
pub(crate) fn inward(plan: &FirewallPlan, private: IfName) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (forward, _) in ours(plan).filter(|(forward, _)| forward.private == private) {
        let device = Subnet4::new(forward.address, 32).map(|device| Match::Address(Side::Out, device));
        let mut statements =
            vec![on(Side::In, Op::Is, Compared::Name(forward.public)), Statement::Match(Match::Ipv4)];
        statements
            .extend(remote(forward.remote, forward.protocol, Side::In).into_iter().map(Statement::Match));
        statements.extend(device.map(Statement::Match));
        statements.extend([
            Statement::Match(Match::Port(forward.protocol.number(), forward.internal_port)),
            Statement::Match(Match::Redirected),
            Statement::Verdict(Verdict::Accept),
        ]);
        rules.push(Rule { statements, comment: text(forward) });
    }
    rules
}

/// What a device of `private` lets in over IPv6, counted: what goes the way of the packet that opened the connection. Its
/// answers are established. Nothing unless packets of the segment are forwarded, and nothing for an address that is not of
/// its prefix.
pub(crate) fn pinholes(
    plan: &FirewallPlan,
    private: IfName,
    (public, prefix): (IfName, Subnet6),
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let ours =
        |hole: &&Pinhole| hole.private == private && hole.public == public && prefix.contains(hole.address);
    for hole in plan.pinholes.iter().filter(ours) {
        let mut statements =
            vec![on(Side::In, Op::Is, Compared::Name(public)), Statement::Match(Match::Ipv6)];
        let device = Subnet6::new(hole.address, 128).map(|device| Match::Address6(Side::Out, device));
        let conditions = remote(hole.remote, hole.protocol, Side::In).into_iter().chain(device);
        statements.extend(conditions.map(Statement::Match));
        statements.extend([
            Statement::Match(Match::Port(hole.protocol.number(), hole.port)),
            Statement::Match(Match::Direction(Direction::Original)),
            Statement::Match(Match::State(CtStates::NEW.or(CtStates::ESTABLISHED))),
            Statement::Counter,
            Statement::Verdict(Verdict::Accept),
        ]);
        rules.push(Rule { statements, comment: title(hole) });
    }
    rules
}

/// No two pinholes have the same.
fn title(hole: &Pinhole) -> String {
    let all = format!("{} {} of {}", hole.protocol, hole.port, hole.address);
    match hole.remote {
        Some(MapRemote { address, prefix, port }) => format!("{all} for {address}/{prefix} port {port}"),
        None => all,
    }
}

/// How many packets have come in by a pinhole since the table was made.
pub fn passed(table: &Installed, hole: &Pinhole) -> u64 {
    let title = title(hole);
    table.counters.iter().filter(|counter| counter.rule == title).map(|counter| counter.packets).sum()
}

/// A device's own connections from a mapped port leave by the port of the mapping. Before other translation; where
/// both ports are the same it keeps the port anyway.
pub(crate) fn outward(plan: &FirewallPlan) -> Vec<Rule> {
    let mut rules = Vec::new();
    let translated = |(forward, _): &(&PortForward, Subnet4)| forward.external_port != forward.internal_port;
    for (forward, _) in ours(plan).filter(translated) {
        let device = Subnet4::new(forward.address, 32).map(|device| Match::Address(Side::In, device));
        let mut statements = vec![
            on(Side::In, Op::Is, Compared::Name(forward.private)),
            on(Side::Out, Op::Is, Compared::Name(forward.public)),
            Statement::Match(Match::Ipv4),
        ];
        let remote = remote(forward.remote, forward.protocol, Side::Out);
        statements.extend(device.into_iter().chain(remote).map(Statement::Match));
        statements.extend([
            Statement::Match(Match::PortFrom(forward.protocol.number(), forward.internal_port)),
            Statement::MasqueradeTo(forward.external_port),
        ]);
        rules.push(Rule { statements, comment: format!("{} outwards", text(forward)) });
    }
    rules
}

/// Answers of a device to its neighbour have to come back through this host.
pub(crate) fn postrouting(plan: &FirewallPlan) -> Vec<Rule> {
    let mut privates: Vec<IfName> = ours(plan).map(|(forward, _)| forward.private).collect();
    privates.sort_unstable();
    privates.dedup();
    let hairpin = |private| Rule {
        statements: vec![
            on(Side::In, Op::Is, Compared::Name(private)),
            on(Side::Out, Op::Is, Compared::Name(private)),
            Statement::Match(Match::Ipv4),
            Statement::Match(Match::Redirected),
            Statement::Masquerade,
        ],
        comment: format!("{private} to itself by a mapped port"),
    };
    privates.into_iter().map(hairpin).collect()
}

/// Closed connections: answers, ICMP and what a DHCP client waits for.
pub(crate) fn closed(plan: &FirewallPlan) -> Vec<Rule> {
    let mut rules = Vec::new();
    for interface in &plan.closed {
        let at = || on(Side::In, Op::Is, Compared::Name(*interface));
        let mut accept = |condition: Match, what: &str| {
            rules.push(Rule {
                statements: vec![at(), Statement::Match(condition), Statement::Verdict(Verdict::Accept)],
                comment: format!("{what} on {interface}"),
            });
        };
        accept(Match::State(CtStates::ESTABLISHED.or(CtStates::RELATED)), "answers");
        for protocol in ICMP {
            accept(Match::Protocol(protocol), "ICMP");
        }
        for port in DHCP_CLIENT {
            accept(Match::Port(UDP, port), "DHCP");
        }
        rules.push(dropped(vec![at()], format!("unasked on {interface}")));
    }
    rules
}
