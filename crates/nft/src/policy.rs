//! What a plan means: the rules that guarantee it. `docs/security.md` says the same in prose.

use alloc::{format, string::String, vec, vec::Vec};

use hn_types::{
    IfName, Subnet4,
    plan::{FirewallPlan, FirewallSegment, Reach},
};

use crate::mapping;
use crate::ruleset::{Chain, Compared, CtStates, Hook, Match, Op, Rule, Ruleset, Side, Statement, Verdict};

/// States in which a packet may leave a segment.
const OUTWARD: CtStates = CtStates::NEW.or(CtStates::ESTABLISHED).or(CtStates::RELATED);
/// States in which a packet may enter a segment.
const INWARD: CtStates = CtStates::ESTABLISHED.or(CtStates::RELATED);
/// States in which the host does not answer to its private address from elsewhere.
const UNASKED: CtStates = CtStates::NEW.or(CtStates::INVALID).or(CtStates::UNTRACKED);
/// The loopback interface has this index in every network namespace.
const LOOPBACK: u32 = 1;

impl Ruleset {
    /// The table that guarantees `plan`. `index` tells the index of an interface that exists; for one that
    /// does not exist (an uplink that is unplugged) the rules by name alone are right as soon as it comes back.
    pub fn of(plan: &FirewallPlan, index: impl Fn(&IfName) -> Option<u32>) -> Self {
        let mut forward = Vec::new();
        let mut branches = Vec::new();
        let mut input = Vec::new();
        let mut postrouting = Vec::new();
        for (number, segment) in plan.segments.iter().enumerate() {
            let parts = Parts { segment, number: number + 1, index: &index };
            forward.extend(parts.forward());
            branches.push(parts.outward());
            branches.push(parts.inward(mapping::inward(plan, segment.interface)));
            input.extend(parts.input());
            postrouting.extend(parts.postrouting());
        }
        input.extend(mapping::closed(plan));
        postrouting.extend(mapping::postrouting(plan));
        let base = |name: &str, hook, rules: Vec<Rule>| {
            (!rules.is_empty()).then(|| Chain { name: name.into(), hook: Some(hook), rules })
        };
        // Chains that others go to come first: a rule may only name a chain that exists.
        let mut chains = branches;
        chains.extend(base("prerouting", Hook::Prerouting, mapping::prerouting(plan)));
        chains.extend(base("forward", Hook::Forward, forward));
        chains.extend(base("input", Hook::Input, input));
        chains.extend(base("postrouting", Hook::Postrouting, postrouting));
        Self { chains }
    }
}

/// The rules of one segment.
struct Parts<'a, F> {
    segment: &'a FirewallSegment,
    number: usize,
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

    /// Packets that came in by the private interface.
    fn outward(&self) -> Chain {
        let private = self.private();
        let mut rules = Vec::new();
        if let Some((public, network)) = self.passage() {
            let rest = vec![
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::Address(Side::In, network)),
                Statement::Match(Match::State(OUTWARD)),
                Statement::Verdict(Verdict::Accept),
            ];
            rules.extend(self.both_ways(Side::Out, public, rest, &format!("{private} to {public}")));
        }
        // A bridge hands what it carries between its own ports to this hook when br_netfilter is on.
        rules.push(Rule {
            statements: vec![
                on(Side::Out, Op::Is, Compared::Name(private)),
                Statement::Verdict(Verdict::Accept),
            ],
            comment: format!("inside {private}"),
        });
        rules.push(dropped(Vec::new(), format!("{private} to elsewhere, or with a foreign source")));
        Chain { name: self.outward_name(), hook: None, rules }
    }

    /// Packets that are to leave by the private interface.
    fn inward(&self, mapped: Vec<Rule>) -> Chain {
        let private = self.private();
        let mut rules = Vec::new();
        if let Some((public, _)) = self.passage() {
            let rest = vec![
                Statement::Match(Match::Ipv4),
                Statement::Match(Match::State(INWARD)),
                Statement::Verdict(Verdict::Accept),
            ];
            rules.extend(self.both_ways(Side::In, public, rest, &format!("{public} back to {private}")));
        }
        rules.extend(mapped);
        rules.push(dropped(Vec::new(), format!("unasked to {private}")));
        Chain { name: self.inward_name(), hook: None, rules }
    }

    /// Linux answers on every interface for all of its addresses; the private one is for the segment.
    fn input(&self) -> Option<Rule> {
        let address = Subnet4::new(self.segment.subnet?.address(), 32)?;
        let private = self.private();
        let statements = vec![
            Statement::Match(Match::Ipv4),
            Statement::Match(Match::Address(Side::Out, address)),
            on(Side::In, Op::IsNot, Compared::Name(private)),
            on(Side::In, Op::IsNot, Compared::Index(LOOPBACK)),
            Statement::Match(Match::State(UNASKED)),
        ];
        Some(dropped(statements, format!("address of {private} from elsewhere")))
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
}

pub(crate) fn on(side: Side, op: Op, compared: Compared) -> Statement {
    Statement::Match(Match::Interface(side, op, compared))
}

pub(crate) fn dropped(mut statements: Vec<Statement>, comment: String) -> Rule {
    statements.extend([Statement::Counter, Statement::Verdict(Verdict::Drop)]);
    Rule { statements, comment }
}
