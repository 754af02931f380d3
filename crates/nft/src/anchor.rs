//! What holds connections while the table is away: the table `inet hostednet_anchor`.
//!
//! When somebody flushes the whole rule set – the reload of a distribution's `nftables.service` does – the last chain of
//! type nat goes with it, and the kernel stops translating, also for connections that exist. The next segment a server
//! sends then is for this host itself, which answers with a reset: every download of every device is over before the table
//! is back.
//!
//! This table is *owned*: it belongs to the socket that made it, a flush passes over it, and it goes when that socket is
//! closed, however the process ends. Its chain `translation` has no rule; that it exists keeps the kernel translating.
//! `steer` leads connections to the interface they began on, as the one of the table does. `leaving` drops what would leave
//! by a public interface with a private source: a connection that began while there was no rule to translate it would
//! otherwise stay untranslated for as long as it lasts. That its rules ask for the state of a connection, whatever it is,
//! keeps the kernel tracking connections, without which nothing is translated either.

use alloc::{collections::BTreeSet, format, vec, vec::Vec};

use hn_types::{
    IfName,
    plan::{FirewallPlan, Reach},
};

use crate::{
    policy::{UNASKED, dropped, on},
    ruleset::{Chain, Compared, CtStates, Hook, Match, Op, Rule, Ruleset, Side, Statement},
};

/// Every state.
const ANY: CtStates = UNASKED.or(CtStates::ESTABLISHED).or(CtStates::RELATED);

/// The name of the table, of family `inet`.
pub const ANCHOR_TABLE: &str = "hostednet_anchor";

impl Ruleset {
    /// What holds the connections of `plan` while the table is away; no chains: nothing is translated.
    pub fn anchor(plan: &FirewallPlan) -> Self {
        let leaving = leaving(plan);
        if leaving.is_empty() {
            return Self::default();
        }
        let base = |name: &str, hook, rules| Chain { name: name.into(), hook: Some(hook), rules };
        let table = Self::of(plan, |_| None).chains.into_iter();
        let mut chains: Vec<_> = table.filter(|chain| chain.hook == Some(Hook::Steer)).collect();
        chains.push(base("translation", Hook::Postrouting, Vec::new()));
        chains.push(base("leaving", Hook::Leaving, leaving));
        Self { chains }
    }
}

/// Behind the translation: sources that should have been translated.
fn leaving(plan: &FirewallPlan) -> Vec<Rule> {
    let mut rules = Vec::new();
    for segment in &plan.segments {
        let Reach::Public(public) = segment.reach else { continue };
        let rule = |out: IfName, source: [Match; 2]| {
            let mut statements = vec![on(Side::Out, Op::Is, Compared::Name(out))];
            statements.extend(source.map(Statement::Match));
            statements.push(Statement::Match(Match::State(ANY)));
            dropped(statements, format!("{} to {out} untranslated", segment.interface))
        };
        if let Some(subnet) = segment.subnet {
            let source = [Match::Ipv4, Match::Address(Side::In, subnet.network())];
            let earlier = plan.pinned.iter().map(|pinned| pinned.interface);
            let ways: BTreeSet<IfName> = earlier.chain([public]).collect();
            rules.extend(ways.into_iter().map(|out| rule(out, source.clone())));
        }
        if let Some(ipv6) = segment.ipv6.filter(|ipv6| ipv6.nat66) {
            let source = [Match::Ipv6, Match::Address6(Side::In, ipv6.address.network())];
            rules.push(rule(public, source));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use alloc::string::ToString as _;

    use hn_types::plan::{FirewallSegment, FirewallSegment6, Pinned};

    use super::*;
    use crate::Batch;

    fn plan(reach: Reach) -> FirewallPlan {
        let ipv6 = FirewallSegment6 {
            address: "fd12:3456:789a:1::1/64".parse().unwrap(),
            nat66: true,
            global: [None; 2],
            guard: true,
        };
        let segment = FirewallSegment {
            interface: "hnap0".parse().unwrap(),
            subnet: Some("192.168.137.1/24".parse().unwrap()),
            reach,
            ipv6: Some(ipv6),
        };
        FirewallPlan { segments: vec![segment], ..FirewallPlan::default() }
    }

    #[test]
    fn where_nothing_is_translated_nothing_is_held() {
        assert_eq!(Ruleset::anchor(&FirewallPlan::default()), Ruleset::default());
        assert_eq!(Ruleset::anchor(&plan(Reach::Host)), Ruleset::default());
        let mut routed = plan(Reach::Public("eth0".parse().unwrap()));
        routed.segments[0].subnet = None;
        routed.segments[0].ipv6.as_mut().unwrap().nat66 = false;
        assert_eq!(Ruleset::anchor(&routed), Ruleset::default());
    }

    #[test]
    fn no_private_source_leaves_by_any_way_that_connections_have() {
        let mut plan = plan(Reach::Public("eth0".parse().unwrap()));
        let pinned =
            Pinned { interface: "eth1".parse().unwrap(), address: "192.0.2.2".parse().unwrap(), mark: 7 };
        plan.pinned.insert(pinned);
        let anchor = Ruleset::anchor(&plan);
        let text = anchor.to_string();
        for rule in [
            "oifname \"eth0\" meta nfproto ipv4 ip saddr 192.168.137.0/24 ct state invalid,established,related,new,untracked counter drop",
            "oifname \"eth1\" meta nfproto ipv4 ip saddr 192.168.137.0/24 ct state invalid,established,related,new,untracked counter drop",
            "oifname \"eth0\" meta nfproto ipv6 ip6 saddr fd12:3456:789a:1::/64 ct state invalid,established,related,new,untracked counter drop",
            "ct reply ip daddr 192.0.2.2 meta mark set 0x00000007",
        ] {
            assert!(text.contains(rule), "{rule} is not in {text}");
        }
        let hooks: Vec<_> = anchor.chains.iter().filter_map(|chain| chain.hook).collect();
        assert_eq!(hooks, [Hook::Steer, Hook::Postrouting, Hook::Leaving]);
        assert!(anchor.chains[1].rules.is_empty(), "what is translated is decided in the table alone");
    }

    #[test]
    fn the_table_is_owned_and_named_apart() {
        let anchor = Ruleset::anchor(&plan(Reach::Public("eth0".parse().unwrap())));
        let batch = Batch::anchor(&anchor, 1);
        let has = |needle: &[u8]| batch.bytes().windows(needle.len()).any(|bytes| bytes == needle);
        assert!(has(b"hostednet_anchor\0"));
        assert!(!has(b"hostednet\0"));
        // Attribute 2, `NFTA_TABLE_FLAGS`: 8 bytes long, `NFT_TABLE_F_OWNER`.
        let flags = [8_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat();
        assert!(has(&[flags, 2_u32.to_be_bytes().to_vec()].concat()));
    }
}
