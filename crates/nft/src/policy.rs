//! What a plan means: the rules that guarantee it. `docs/security.md` says the same in prose.

use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};
use core::net::IpAddr;

use hn_types::{
    IfName, Subnet4, Subnet6,
    plan::{FirewallPlan, FirewallSegment, Pinned, Reach},
};

use crate::ruleset::{
    Chain, Compared, CtStates, Direction, Hook, Match, Op, Rule, Ruleset, Side, Statement, Verdict,
};
use crate::{isolation, mapping};

/// States in which a packet may leave a segment.
const OUTWARD: CtStates = CtStates::NEW.or(CtStates::ESTABLISHED).or(CtStates::RELATED);
/// States in which a packet may enter a segment.
const INWARD: CtStates = CtStates::ESTABLISHED.or(CtStates::RELATED);
/// States in which the host does not answer to its private address from elsewhere.
pub(crate) const UNASKED: CtStates = CtStates::NEW.or(CtStates::INVALID).or(CtStates::UNTRACKED);
/// The numbers of ICMPv6 and UDP.
const ICMPV6: u8 = 58;
const UDP: u8 = 17;
/// RFC 2131 §4.1.
const DHCP_SERVER: u16 = 67;
/// The loopback interface has this index in every network namespace.
const LOOPBACK: u32 = 1;

impl Ruleset {
    /// The table that guarantees `plan`. `index` tells the index of an interface that exists; for one that
    /// does not exist (an uplink that is unplugged) the rules by name alone are right as soon as it comes back.
    pub fn of(plan: &FirewallPlan, index: impl Fn(&IfName) -> Option<u32>) -> Self {
        let mut forward = Vec::new();
        let mut guards = Vec::new();
        let mut steer = Vec::new();
        let mut branches = Vec::new();
        let mut input = Vec::new();
        let mut postrouting = mapping::outward(plan);
        for (number, segment) in plan.segments.iter().enumerate() {
            let parts = Parts {
                segment,
                pinned: &plan.pinned,
                narrow: plan.narrow.get(&segment.interface).copied(),
                number: number + 1,
                apart: plan.apart.contains(&segment.interface),
                index: &index,
            };
            forward.extend(parts.forward());
            guards.extend(parts.guard());
            steer.extend(parts.steer());
            branches.push(parts.outward(isolation::outward(plan, segment)));
            let ways = parts.networks6().into_iter();
            let holes = ways.flat_map(|way| mapping::pinholes(plan, segment.interface, way)).collect();
            branches.push(parts.inward(holes, mapping::inward(plan, segment.interface)));
            input.extend(parts.input());
            postrouting.extend(parts.postrouting());
            postrouting.extend(parts.postrouting6());
        }
        // Behind the ways of every segment, so that none of them meets it.
        forward.extend(guards);
        input.extend(mapping::closed(plan));
        input.extend(isolation::input(plan));
        postrouting.extend(mapping::postrouting(plan));
        let base = |name: &str, hook, rules: Vec<Rule>| {
            (!rules.is_empty()).then(|| Chain { name: name.into(), hook: Some(hook), rules })
        };
        // Chains that others go to come first: a rule may only name a chain that exists.
        let mut chains = branches;
        chains.extend(base("steer", Hook::Steer, steer));
        chains.extend(base("prerouting", Hook::Prerouting, mapping::prerouting(plan)));
        chains.extend(base("forward", Hook::Forward, forward));
        chains.extend(base("input", Hook::Input, input));
        chains.extend(base("postrouting", Hook::Postrouting, postrouting));
        chains.extend(base("leaving", Hook::Leaving, leaving(plan)));
        Self { chains }
    }
}

/// What has the address of a tunnel leaves by that tunnel. This host would answer by its own default route what belongs
/// to a connection of a device that nobody remembers.
fn leaving(plan: &FirewallPlan) -> Vec<Rule> {
    let rule = |(tunnel, address): &(IfName, IpAddr)| {
        let source = match *address {
            IpAddr::V4(address) => [Match::Ipv4, Match::Address(Side::In, Subnet4::new(address, 32)?)],
            IpAddr::V6(address) => [Match::Ipv6, Match::Address6(Side::In, Subnet6::new(address, 128)?)],
        };
        let statements = source.into_iter().map(Statement::Match).chain([
            on(Side::Out, Op::IsNot, Compared::Name(*tunnel)),
            on(Side::Out, Op::IsNot, Compared::Index(LOOPBACK)),
        ]);
        Some(dropped(statements.collect(), format!("address of {tunnel} past it")))
    };
    plan.sealed.iter().filter_map(rule).collect()
}

/// The rules of one segment.
struct Parts<'a, F> {
    segment: &'a FirewallSegment,
    pinned: &'a BTreeSet<Pinned>,
    narrow: Option<u16>,
    number: usize,
    apart: bool,
    index: &'a F,
}

impl<F: Fn(&IfName) -> Option<u32>> Parts<'_, F> {
    fn private(&self) -> IfName {
        self.segment.interface
    }

    /// Public interface and network, if packets may pass at all. Without a network of ours there is no
    /// source that could be genuine, so nothing passes.
    fn passage(&self) -> Option<(IfName, Subnet4)> {
        match (self.segment.reach, self.segment.subnet) {
            (Reach::Public(public), Some(subnet)) => Some((public, subnet.network())),
            (Reach::Public(_), None) | (Reach::Host, _) => None,
        }
    }

    /// The same of IPv6.
    fn passage6(&self) -> Option<(IfName, Subnet6)> {
        match (self.segment.reach, self.segment.ipv6) {
            (Reach::Public(public), Some(ipv6)) if ipv6.nat66 => Some((public, ipv6.address.network())),
            (Reach::Public(_) | Reach::Host, _) => None,
        }
    }

    /// Public interface and every network of which packets may leave: those that the uplink knows leave as they are.
    fn networks6(&self) -> Vec<(IfName, Subnet6)> {
        let global = self.segment.ipv6.map(|ipv6| ipv6.global).unwrap_or_default();
        self.passage6()
            .into_iter()
            .flat_map(|(public, own)| {
                [Some(own)].into_iter().chain(global).flatten().map(move |network| (public, network))
            })
            .collect()
    }

    /// Who is known to the world may be asked whether it is there (RFC 4890 §4.3.1): of ICMPv6, an echo request
    /// is all that begins a connection. What else may come in unasked belongs here.
    fn asked6(&self) -> Vec<Rule> {
        let known = self.networks6().into_iter().skip(1);
        known
            .map(|(public, network)| Rule {
                statements: vec![
                    on(Side::In, Op::Is, Compared::Name(public)),
                    Statement::Match(Match::Ipv6),
                    Statement::Match(Match::Address6(Side::Out, network)),
                    Statement::Match(Match::Protocol(ICMPV6)),
                    Statement::Match(Match::State(CtStates::NEW)),
                    Statement::Verdict(Verdict::Accept),
                ],
                comment: format!("echo requests to {network}"),
            })
            .collect()
    }

    fn outward_name(&self) -> String {
        format!("from-{}", self.number)
    }

    fn inward_name(&self) -> String {
        format!("to-{}", self.number)
    }

    /// The same rule by index, where there is one, and by name.
    fn both_ways(
        &self,
        side: Side,
        interface: IfName,
        rest: Vec<Statement>,
        comment: &str,
    ) -> impl Iterator<Item = Rule> {
        let by_index = (self.index)(&interface).map(Compared::Index);
        let comment = String::from(comment);
        by_index.into_iter().chain([Compared::Name(interface)]).map(move |compared| {
            let mut statements = vec![on(side, Op::Is, compared)];
            statements.extend(rest.iter().cloned());
            Rule { statements, comment: comment.clone() }
        })
    }

    /// The way of the many packets, before anything else is asked: those of a connection that is set up. By
    /// index where there is one, otherwise by name; what it misses while an interface is created again, the rules
    /// behind it let pass.
    fn assured(&self, side: Side, public: IfName, source: Vec<Match>, comment: &str) -> Option<Rule> {
        let mut rest: Vec<_> = source.into_iter().map(Statement::Match).collect();
        rest.extend([Statement::Match(Match::Assured), Statement::Verdict(Verdict::Accept)]);
        self.both_ways(side, public, rest, comment).next()
    }

    /// What opens a TCP connection tells the other end how much fits. Met by a few packets of a connection only,
    /// so the name does.
    fn clamp(&self, side: Side) -> Option<Rule> {
        let public = self.passage().map(|(public, _)| public);
        let public = public.or_else(|| self.passage6().map(|(public, _)| public))?;
        let private = self.private();
        Some(Rule {
            statements: vec![
                on(side, Op::Is, Compared::Name(public)),
                Statement::Match(Match::TcpSyn),
                Statement::ClampSegment,
            ],
            comment: format!("no larger than {private} and {public} carry"),
        })
    }

    /// The same for what the other end tells a device, where the way out is the narrower side. What routes carry is not
    /// enough there: the kernel asks for the way back to the sender as if this host itself were to answer.
    fn limit(&self) -> Vec<Rule> {
        let Some(mtu) = self.narrow else { return Vec::new() };
        let private = self.private();
        // Without options, TCP takes 20 bytes, IPv4 20 and IPv6 40.
        let four = self.passage().map(|(public, _)| (public, Match::Ipv4, 40));
        let six = self.passage6().map(|(public, _)| (public, Match::Ipv6, 60));
        let rule = |(public, family, headers): (IfName, Match, u16)| Rule {
            statements: vec![
                on(Side::In, Op::Is, Compared::Name(public)),
                Statement::Match(family),
                Statement::Match(Match::TcpSyn),
                Statement::LimitSegment(mtu.saturating_sub(headers)),
            ],
            comment: format!("no larger than {private} may send by {public}"),
        };
        four.into_iter().chain(six).map(rule).collect()
    }

    /// Everything from or to the segment goes to its own chains, whatever else the packet says.
    fn forward(&self) -> Vec<Rule> {
        let private = self.private();
        let directions = [
            (Side::In, self.outward_name(), format!("from {private}")),
            (Side::Out, self.inward_name(), format!("to {private}")),
        ];
        let known = (self.index)(&private).map(Compared::Index);
        let mut rules = Vec::new();
        for compared in known.into_iter().chain([Compared::Name(private)]) {
            for (side, chain, comment) in &directions {
                let statements =
                    vec![on(*side, Op::Is, compared), Statement::Verdict(Verdict::Goto(chain.clone()))];
                rules.push(Rule { statements, comment: comment.clone() });
            }
        }
        rules
    }

    /// Packets that came in by the private interface. Those that `kept` says meet it before anything else.
    fn outward(&self, kept: Vec<Rule>) -> Chain {
        let private = self.private();
        let mut rules = kept;
        if let Some((public, network)) = self.passage() {
            let source = vec![Match::Ipv4, Match::Address(Side::In, network)];
            rules.extend(self.assured(Side::Out, public, source, &format!("{private} to {public}")));
        }
        for (public, network) in self.networks6() {
            let source = vec![Match::Ipv6, Match::Address6(Side::In, network)];
            rules.extend(self.assured(Side::Out, public, source, &format!("{private} to {public}")));
        }
        rules.extend(self.clamp(Side::Out));
        if let Some((public, network)) = self.passage() {
            let rest = vec![
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::Address(Side::In, network)),
                Statement::Match(Match::State(OUTWARD)),
                Statement::Verdict(Verdict::Accept),
            ];
            rules.extend(self.both_ways(Side::Out, public, rest, &format!("{private} to {public}")));
        }
        for (public, network) in self.networks6() {
            let rest = vec![
                Statement::Match(Match::Ipv6),
                Statement::Match(Match::Address6(Side::In, network)),
                Statement::Match(Match::State(OUTWARD)),
                Statement::Verdict(Verdict::Accept),
            ];
            rules.extend(self.both_ways(Side::Out, public, rest, &format!("{private} to {public}")));
        }
        rules.extend(self.staying(Side::Out));
        // A bridge hands what it carries between its own ports to this hook when br_netfilter is on.
        if !self.apart {
            rules.push(Rule {
                statements: vec![
                    on(Side::Out, Op::Is, Compared::Name(private)),
                    Statement::Verdict(Verdict::Accept),
                ],
                comment: format!("inside {private}"),
            });
        }
        rules.push(dropped(Vec::new(), format!("{private} to elsewhere, or with a foreign source")));
        Chain { name: self.outward_name(), hook: None, rules }
    }

    /// Packets that are to leave by the private interface. Where there are `holes`, what goes the way of a connection that
    /// began outside meets them before it may pass as established, so that they count it; nothing else does.
    fn inward(&self, holes: Vec<Rule>, mapped: Vec<Rule>) -> Chain {
        let private = self.private();
        let counted = !holes.is_empty();
        let answers = || counted.then_some(Match::Direction(Direction::Reply));
        let mut rules = Vec::new();
        if let Some((public, _)) = self.passage() {
            let comment = format!("{public} back to {private}");
            rules.extend(self.assured(Side::In, public, vec![Match::Ipv4], &comment));
        }
        if let Some((public, _)) = self.passage6() {
            let source = [Match::Ipv6].into_iter().chain(answers()).collect();
            let comment = format!("{public} back to {private}");
            rules.extend(self.assured(Side::In, public, source, &comment));
        }
        rules.extend(self.clamp(Side::In));
        rules.extend(self.limit());
        let established = |public, conditions: &[Match]| {
            let mut rest: Vec<_> = conditions.iter().cloned().map(Statement::Match).collect();
            rest.extend([Statement::Match(Match::State(INWARD)), Statement::Verdict(Verdict::Accept)]);
            self.both_ways(Side::In, public, rest, &format!("{public} back to {private}")).collect::<Vec<_>>()
        };
        if let Some((public, _)) = self.passage() {
            rules.extend(established(public, &[Match::Ipv4]));
        }
        if let Some((public, _)) = self.passage6() {
            if let Some(answers) = answers() {
                rules.extend(established(public, &[Match::Ipv6, answers]));
            }
            rules.extend(holes);
            rules.extend(established(public, &[Match::Ipv6]));
        }
        rules.extend(self.asked6());
        rules.extend(mapped);
        rules.extend(self.staying(Side::In));
        rules.push(dropped(Vec::new(), format!("unasked to {private}")));
        Chain { name: self.inward_name(), hook: None, rules }
    }

    /// What began by an interface that was the public one goes on by it.
    fn staying(&self, side: Side) -> Vec<Rule> {
        let Some((public, network)) = self.passage() else { return Vec::new() };
        let private = self.private();
        let others = self.pinned.iter().filter(|pinned| pinned.interface != public);
        let rule = |pinned: &Pinned| {
            let mut statements = vec![
                on(side, Op::Is, Compared::Name(pinned.interface)),
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::State(INWARD)),
                Statement::Verdict(Verdict::Accept),
            ];
            if side == Side::Out {
                statements.insert(2, Statement::Match(Match::Address(Side::In, network)));
            }
            Rule { statements, comment: format!("what {private} began by {}", pinned.interface) }
        };
        others.map(rule).collect()
    }

    /// A connection is led to the interface it began on: its translated address tells which.
    fn steer(&self) -> Vec<Rule> {
        if self.passage().is_none() {
            return Vec::new();
        }
        let private = self.private();
        let rule = |pinned: &Pinned| Rule {
            statements: vec![
                on(Side::In, Op::Is, Compared::Name(private)),
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::AnsweredAt(pinned.address)),
                Statement::Mark(pinned.mark),
            ],
            comment: format!("what {private} began by {}", pinned.interface),
        };
        self.pinned.iter().map(rule).collect()
    }

    /// What the switch for our segment must not open besides: between the public interface and other networks.
    fn guard(&self) -> Vec<Rule> {
        let Some((public, _)) = self.passage6().filter(|_| self.segment.ipv6.is_some_and(|ipv6| ipv6.guard))
        else {
            return Vec::new();
        };
        let at = |side| on(side, Op::Is, Compared::Name(public));
        let ipv6 = Statement::Match(Match::Ipv6);
        vec![
            // A public interface that is a bridge carries packets between its own ports.
            Rule {
                statements: vec![at(Side::In), at(Side::Out), Statement::Verdict(Verdict::Accept)],
                comment: format!("inside {public}"),
            },
            dropped(vec![at(Side::In), ipv6.clone()], format!("IPv6 from {public} to elsewhere")),
            dropped(vec![at(Side::Out), ipv6], format!("IPv6 from elsewhere to {public}")),
        ]
    }

    /// Linux answers on every interface for all of its addresses; the private one is for the segment.
    fn input(&self) -> Vec<Rule> {
        let ipv4 = self.segment.subnet.and_then(|subnet| Subnet4::new(subnet.address(), 32));
        let ipv6 = self.segment.ipv6.and_then(|ipv6| Subnet6::new(ipv6.address.address(), 128));
        let ipv4 = ipv4.map(|address| self.own([Match::Ipv4, Match::Address(Side::Out, address)]));
        let ipv6 = ipv6.map(|address| self.own([Match::Ipv6, Match::Address6(Side::Out, address)]));
        let served = self.segment.subnet.map(|_| self.served());
        ipv4.into_iter().chain(ipv6).chain(served).collect()
    }

    /// The DHCP server hears the frames. Behind it nobody else is asked, and the kernel does not answer a device that
    /// renews its lease that nobody is at this port.
    fn served(&self) -> Rule {
        let private = self.private();
        let statements = vec![
            on(Side::In, Op::Is, Compared::Name(private)),
            Statement::Match(Match::Ipv4),
            Statement::Match(Match::Port(UDP, DHCP_SERVER)),
        ];
        dropped(statements, format!("DHCP of {private}, heard before"))
    }

    fn own(&self, address: [Match; 2]) -> Rule {
        let private = self.private();
        let statements = address.into_iter().map(Statement::Match).chain([
            on(Side::In, Op::IsNot, Compared::Name(private)),
            on(Side::In, Op::IsNot, Compared::Index(LOOPBACK)),
            Statement::Match(Match::State(UNASKED)),
        ]);
        dropped(statements.collect(), format!("address of {private} from elsewhere"))
    }

    /// Seen by the first packet of a connection only, so the names do.
    fn postrouting(&self) -> Option<Rule> {
        let (public, network) = self.passage()?;
        let private = self.private();
        Some(Rule {
            statements: vec![
                on(Side::In, Op::Is, Compared::Name(private)),
                on(Side::Out, Op::Is, Compared::Name(public)),
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::Address(Side::In, network)),
                Statement::Masquerade,
            ],
            comment: format!("{private} behind {public}"),
        })
    }

    fn postrouting6(&self) -> Option<Rule> {
        let (public, network) = self.passage6()?;
        let private = self.private();
        Some(Rule {
            statements: vec![
                on(Side::In, Op::Is, Compared::Name(private)),
                on(Side::Out, Op::Is, Compared::Name(public)),
                Statement::Match(Match::Ipv6),
                Statement::Match(Match::Address6(Side::In, network)),
                Statement::Masquerade,
            ],
            comment: format!("{private} behind {public}"),
        })
    }
}

pub(crate) fn on(side: Side, op: Op, compared: Compared) -> Statement {
    Statement::Match(Match::Interface(side, op, compared))
}

pub(crate) fn dropped(mut statements: Vec<Statement>, comment: String) -> Rule {
    statements.extend([Statement::Counter, Statement::Verdict(Verdict::Drop)]);
    Rule { statements, comment }
}
