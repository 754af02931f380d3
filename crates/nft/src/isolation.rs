//! Devices kept from networks that this host can reach.
//!
//! What they must not reach is dropped before anything lets it pass, so that a connection from before ends as well. Answers
//! through a mapped port pass: somebody in such a network may have been let in. On their way to this host itself it is
//! its addresses in those networks that are closed to them; what it has in the segment is not.

use alloc::{format, vec, vec::Vec};

use hn_types::{
    IfName, Subnet4, Subnet6,
    plan::{FirewallPlan, FirewallSegment, Reach},
};

use crate::{
    policy::{UNASKED, dropped, on},
    ruleset::{Compared, CtStates, Match, Op, Rule, Side, Statement, Verdict},
};

fn to4(network: Subnet4) -> Vec<Statement> {
    [Match::Ipv4, Match::Address(Side::Out, network)].map(Statement::Match).into()
}

fn to6(network: Subnet6) -> Vec<Statement> {
    [Match::Ipv6, Match::Address6(Side::Out, network)].map(Statement::Match).into()
}

/// What a packet of the segment meets first on its way out.
pub(crate) fn outward(plan: &FirewallPlan, segment: &FirewallSegment) -> Vec<Rule> {
    let Reach::Public(public) = segment.reach else { return Vec::new() };
    let private = segment.interface;
    let out = |rest: Vec<Statement>| {
        let mut statements = vec![on(Side::Out, Op::Is, Compared::Name(public))];
        statements.extend(rest);
        statements
    };
    let mut rules = Vec::new();
    let networks = networks(plan);
    let mapped = plan.forwards.iter().any(|forward| forward.private == private);
    if let Some(source) = segment.subnet.filter(|_| mapped && !networks.is_empty()) {
        let mut statements = out(Vec::new());
        let answers = [
            Match::Ipv4,
            Match::Address(Side::In, source.network()),
            Match::Redirected,
            Match::State(CtStates::ESTABLISHED),
        ];
        statements.extend(answers.map(Statement::Match));
        statements.push(Statement::Verdict(Verdict::Accept));
        rules.push(Rule { statements, comment: format!("{private} answers through mapped ports") });
    }
    for (network, to) in networks {
        rules.push(dropped(out(to), format!("{private} kept from {network}")));
    }
    rules
}

/// What a packet of a segment to this host itself meets.
pub(crate) fn input(plan: &FirewallPlan) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut networks = networks(plan);
    // A link-local address is on the link by which the packet came.
    networks.retain(|(network, _)| !network.starts_with("fe80:"));
    for segment in plan.segments.iter().filter(|_| !networks.is_empty()) {
        let private = segment.interface;
        let own4 = segment.subnet.map(|subnet| to4(subnet.network()));
        let own6 = segment.ipv6.into_iter().flat_map(|ipv6| {
            let networks = [Some(ipv6.address)].into_iter().chain(ipv6.global);
            networks.flatten().map(|subnet| to6(subnet.network()))
        });
        for own in own4.into_iter().chain(own6) {
            let mut statements = from(private);
            statements.extend(own);
            statements.push(Statement::Verdict(Verdict::Accept));
            rules.push(Rule { statements, comment: format!("{private} to this host in it") });
        }
        for (network, to) in &networks {
            let mut statements = from(private);
            statements.extend(to.iter().cloned());
            statements.push(Statement::Match(Match::State(UNASKED)));
            rules.push(dropped(statements, format!("{private} kept from this host in {network}")));
        }
    }
    rules
}

fn from(private: IfName) -> Vec<Statement> {
    vec![on(Side::In, Op::Is, Compared::Name(private))]
}

/// Every network to be kept from, in words and as the match of a destination.
fn networks(plan: &FirewallPlan) -> Vec<(alloc::string::String, Vec<Statement>)> {
    let ipv4 = plan.isolated.ipv4.iter().map(|network| (format!("{network}"), to4(*network)));
    let ipv6 = plan.isolated.ipv6.iter().map(|network| (format!("{network}"), to6(*network)));
    ipv4.chain(ipv6).collect()
}
