//! The way of a packet through everybody's rules, as the kernel tells it (`meta nftrace`).
//!
//! A small table of our own, [`TRACE_TABLE`], marks the packets of a probe where they come in, before any rule of
//! others; from there on the kernel reports every rule and policy that judges them, in whatever table. The same
//! table stands at the very end of postrouting: who is reported there has passed. The table decides nothing.
//!
//! | chain | hook, priority | marks |
//! |---|---|---|
//! | `out` | prerouting, −450 | what comes from the segment with the port of the probe; of the device in question, ten packets a second |
//! | `back` | prerouting, −199: connections are known, addresses not yet translated back | answers to the probe |
//! | `end` | postrouting, 450 | nothing: whoever gets there has passed |

use alloc::{collections::VecDeque, format, string::String, vec::Vec};
use core::net::Ipv4Addr;

use hn_types::{IfName, MacAddr};

use crate::{
    audit::{Place, Traffic},
    batch::Batch,
    expression::element,
    foreign::{Family, Foreign, TableId},
    owner::{Owner, Remedy},
    ruleset::TABLE,
    wire::{Malformed, Record, Writer, as_array, be32, message, pick, text_of},
    words::words,
};

/// The name of the table, of family `inet`.
pub const TRACE_TABLE: &str = "hostednet_trace";

const OUT: &str = "out";
const BACK: &str = "back";
const END: &str = "end";
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where its packets come in.
    pub private: IfName,
    /// Where the answers come in.
    pub public: IfName,
    /// The source port of its packets, UDP and TCP.
    pub port: u16,
    /// A device whose own packets are traced too, a few of them.
    pub device: Option<MacAddr>,
}

impl Probe {
    /// The transaction after which packets are marked. The table must not be there yet.
    pub fn begin(&self, first: u32) -> Batch {
        Batch::trace(first, Some(self))
    }

    /// The transaction after which the table is gone; it must be there.
    pub fn end(first: u32) -> Batch {
        Batch::trace(first, None)
    }

    /// Chains with their hook and priority.
    pub(crate) const CHAINS: [(&'static str, u32, i32); 3] = [(OUT, 0, -450), (BACK, 0, -199), (END, 4, 450)];

    /// The rules: a chain, and what writes its expressions.
    pub(crate) fn rules(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut rules = Vec::new();
        for protocol in [UDP, TCP] {
            let mut w = Writer::default();
            interface(&mut w, self.private);
            transport(&mut w, protocol);
            element(&mut w, "payload", |w| {
                const TRANSPORT_HEADER: u32 = 2;
                for (kind, value) in [(1, 1), (2, TRANSPORT_HEADER), (3, 0), (4, 2)] {
                    w.number(kind, value);
                }
            });
            equal(&mut w, &self.port.to_be_bytes());
            mark(&mut w);
            rules.push((OUT, w.bytes));
            let mut w = Writer::default();
            interface(&mut w, self.public);
            transport(&mut w, protocol);
            element(&mut w, "ct", |w| {
                const PROTO_SRC: u32 = 11;
                const ORIGINAL: u8 = 0;
                w.number(1, 1);
                w.number(2, PROTO_SRC);
                w.attribute(3, &[ORIGINAL]);
            });
            equal(&mut w, &self.port.to_be_bytes());
            mark(&mut w);
            rules.push((BACK, w.bytes));
        }
        if let Some(device) = self.device {
            let mut w = Writer::default();
            interface(&mut w, self.private);
            meta(&mut w, 8);
            // `ARPHRD_ETHER`: only there is a link-layer header to look at.
            equal(&mut w, &1_u16.to_ne_bytes());
            element(&mut w, "payload", |w| {
                for (kind, value) in [(1, 1), (2, 0), (3, 6), (4, 6)] {
                    w.number(kind, value);
                }
            });
            equal(&mut w, &device.0);
            element(&mut w, "limit", |w| {
                w.attribute(1, &10_u64.to_be_bytes());
                w.attribute(2, &1_u64.to_be_bytes());
                w.number(3, 5);
                w.number(4, 0);
                w.number(5, 0);
            });
            mark(&mut w);
            rules.push((OUT, w.bytes));
        }
        rules
    }
}

fn meta(w: &mut Writer, key: u32) {
    element(w, "meta", |w| {
        w.number(2, key);
        w.number(1, 1);
    });
}

fn equal(w: &mut Writer, value: &[u8]) {
    element(w, "cmp", |w| {
        w.number(1, 1);
        w.number(2, 0);
        w.nested(3, |w| w.attribute(1, value));
    });
}

fn interface(w: &mut Writer, name: IfName) {
    const IIFNAME: u32 = 6;
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.as_str().bytes()) {
        *to = from;
    }
    meta(w, IIFNAME);
    equal(w, &bytes);
}

fn transport(w: &mut Writer, protocol: u8) {
    const L4PROTO: u32 = 16;
    meta(w, L4PROTO);
    equal(w, &[protocol]);
}

/// `meta nftrace set 1`.
fn mark(w: &mut Writer) {
    const NFTRACE: u32 = 12;
    element(w, "immediate", |w| {
        w.number(1, 1);
        // The kernel takes the first byte of the register.
        w.nested(2, |w| w.attribute(1, &[1, 0, 0, 0]));
    });
    element(w, "meta", |w| {
        w.number(2, NFTRACE);
        w.number(3, 1);
    });
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of the segment.
    Out,
    /// An answer, into it.
    Back,
}

/// The way of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    id: u32,
    /// Which way it goes.
    pub way: Way,
    /// The transport protocol.
    pub protocol: u8,
    /// From where, as it came in.
    pub source: Option<(Ipv4Addr, u16)>,
    /// Where to, as it came in.
    pub destination: Option<(Ipv4Addr, u16)>,
    /// It came to the end of postrouting.
    pub passed: bool,
    /// Who dropped it.
    pub killer: Option<Killer>,
    /// The chains it met, at most [`Trails::CHAINS`].
    chains: Vec<(TableId, String)>,
}

/// What dropped a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killer {
    table: TableId,
    chain: String,
    /// The handle of the rule; `None`: the policy of the chain.
    rule: Option<u64>,
}

/// What is known of a killer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whose it is; `None`: ours.
    pub owner: Option<Owner>,
    /// Where: `inet guard / chain forward / rule 7`.
    pub place: String,
    /// The rule in words, as far as it is understood; empty for a policy.
    pub rule: String,
    /// What takes it out of the way.
    pub remedy: Remedy,
}

/// The ways of the packets that were marked, newest last.
#[derive(Clone, Debug, Default)]
pub struct Trails {
    trails: VecDeque<Trail>,
}

impl Trails {
    /// Packets that are remembered.
    pub const LIMIT: usize = 64;
    /// Chains that are remembered of one packet.
    pub const CHAINS: usize = 32;

    /// Takes one message of the kernel. What is no trace is passed over, and so is what belongs to a packet that was
    /// never seen coming in: somebody else traces too.
    ///
    /// # Errors
    ///
    /// If the bytes are not what the kernel would send.
    pub fn absorb(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        if record.kind != message::TRACE {
            return Ok(());
        }
        let step = Step::read(record.family, record.attributes)?;
        let Some(id) = step.id else { return Ok(()) };
        let ours = step.table.0 == Family::Inet && step.table.1 == TRACE_TABLE;
        let way = match step.chain.as_str() {
            OUT => Some(Way::Out),
            BACK => Some(Way::Back),
            _ => None,
        };
        // The rule that marks a packet is the first that tells of it, and the first in a chain shows it.
        if ours
            && step.headers
            && let (Some(way), Some(_)) = (way, step.rule)
        {
            if self.trails.len() >= Self::LIMIT {
                self.trails.pop_front();
            }
            self.trails.push_back(Trail {
                id,
                way,
                protocol: step.protocol,
                source: step.source,
                destination: step.destination,
                passed: false,
                killer: None,
                chains: Vec::new(),
            });
            return Ok(());
        }
        let Some(trail) = self.trails.iter_mut().rev().find(|trail| trail.id == id) else { return Ok(()) };
        if ours {
            trail.passed |= step.chain == END;
            return Ok(());
        }
        let place = (step.table, step.chain);
        if step.drops && trail.killer.is_none() {
            let (table, chain) = place.clone();
            trail.killer = Some(Killer { table, chain, rule: step.rule });
        }
        if trail.chains.len() < Self::CHAINS && trail.chains.last() != Some(&place) {
            trail.chains.push(place);
        }
        Ok(())
    }

    /// The packets, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Trail> {
        self.trails.iter()
    }
}

/// One message of a trace.
struct Step {
    id: Option<u32>,
    table: TableId,
    chain: String,
    rule: Option<u64>,
    drops: bool,
    /// The packet is shown: this is the first message of a chain about it.
    headers: bool,
    protocol: u8,
    source: Option<(Ipv4Addr, u16)>,
    destination: Option<(Ipv4Addr, u16)>,
}

impl Step {
    /// `NFTA_TRACE_*`.
    fn read(family: u8, bytes: &[u8]) -> Result<Self, Malformed> {
        const POLICY: u32 = 1;
        const RULE: u32 = 3;
        const DROP: u32 = 0;
        let ([table, chain, handle, kind, verdict, id, network, transport, policy], _) =
            pick(bytes, [1, 2, 3, 4, 5, 6, 8, 9, 16])?;
        let text = |value: Option<&[u8]>| value.and_then(text_of).map(String::from).ok_or(Malformed::Value);
        let kind = kind.and_then(be32).ok_or(Malformed::Value)?;
        let rule = handle.and_then(as_array).map(|value| u64::from_be_bytes(*value)).filter(|_| kind == RULE);
        let drops = match kind {
            POLICY => policy.and_then(be32) == Some(DROP),
            RULE => {
                let ([code, _], _) = pick(verdict.unwrap_or_default(), [1, 2])?;
                // The upper half of a drop is an errno for the sender.
                code.and_then(be32).is_some_and(|code| code.cast_signed() >= 0 && code & 0xff == DROP)
            }
            _ => false,
        };
        let headers = network.is_some();
        let network = network.unwrap_or_default();
        let version = network.first().map(|byte| byte >> 4);
        let network = Some(network).filter(|_| version == Some(4)).unwrap_or_default();
        let address = |at: usize| {
            network.get(at..at + 4).and_then(|part| part.first_chunk::<4>()).map(|it| Ipv4Addr::from(*it))
        };
        let protocol = network.get(9).copied().unwrap_or_default();
        let port = |at: usize| {
            let part = transport.unwrap_or_default().get(at..at + 2)?.first_chunk::<2>()?;
            matches!(protocol, TCP | UDP).then(|| u16::from_be_bytes(*part))
        };
        Ok(Self {
            id: id.and_then(be32),
            table: (Family::of(family).ok_or(Malformed::Value)?, text(table)?),
            chain: text(chain)?,
            rule,
            drops,
            headers,
            protocol,
            source: address(12).map(|address| (address, port(0).unwrap_or_default())),
            destination: address(16).map(|address| (address, port(2).unwrap_or_default())),
        })
    }
}

impl Foreign {
    /// Whose rule dropped the packet of `trail`, what it says, and what takes it out of the way of what goes between
    /// `private` and `public`. `None`: nothing dropped it.
    pub fn explain(&self, trail: &Trail, private: IfName, public: Option<IfName>) -> Option<Explanation> {
        let killer = trail.killer.as_ref()?;
        let (family, table) = &killer.table;
        let mut place = format!("{} {table} / chain {}", family.as_str(), killer.chain);
        place.push_str(&match killer.rule {
            Some(handle) => format!(" / rule {handle}"),
            None => String::from(" / policy drop"),
        });
        let chain = self.chains.get(&(killer.table.clone(), killer.chain.clone()));
        let rule = killer.rule.and_then(|handle| chain?.rules.iter().find(|rule| rule.handle == handle));
        let rule = rule.map(words).unwrap_or_default();
        if *family == Family::Inet && table == TABLE {
            let advice = String::from("see what `hostednet status` and `hostednet devices` say");
            return Some(Explanation { owner: None, place, rule, remedy: Remedy::Ask(advice) });
        }
        // The base chain is the last one on the way here that has a hook.
        let base = trail.chains.iter().rev().filter(|(of, _)| *of == killer.table).find_map(|(of, name)| {
            let base = self.chains.get(&(of.clone(), name.clone()))?.base?;
            Some((name.clone(), base.hook))
        });
        let (base, hook) = base.unwrap_or_else(|| (killer.chain.clone(), 2));
        let owner = Owner::of(self, &killer.table, &killer.chain, hook);
        let traffic = match trail.way {
            Way::Out => Traffic::Outward,
            Way::Back => Traffic::Answers,
        };
        let remedy = match (&owner, killer.rule) {
            // Somebody wrote this very rule: taking it away is the whole remedy.
            (Owner::Nftables | Owner::Iptables, Some(handle)) => Remedy::Run(alloc::vec![format!(
                "nft delete rule {} {table} {} handle {handle}",
                family.as_str(),
                killer.chain
            )]),
            _ => {
                let place = Place {
                    table: killer.table.clone(),
                    base,
                    chain: killer.chain.clone(),
                    rule: killer.rule,
                };
                owner.remedy(&place, (traffic, killer.table.0 == Family::Ipv6), private, public)
            }
        };
        Some(Explanation { owner: Some(owner), place, rule, remedy })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        foreign::Question,
        wire::{Content, replies},
    };

    /// A message as the kernel sends it.
    fn told(
        id: u32,
        (family, table, chain): (u8, &str, &str),
        end: Result<(u64, i32), u32>,
        headers: bool,
    ) -> Vec<u8> {
        let mut w = Writer::default();
        w.message((message::TRACE, 0, 0), (family, 0), |w| {
            w.number(6, id);
            w.number(15, 2);
            w.text(1, table);
            w.text(2, chain);
            match end {
                Ok((handle, verdict)) => {
                    w.number(4, 3);
                    w.attribute(3, &handle.to_be_bytes());
                    w.nested(5, |w| w.number(1, verdict.cast_unsigned()));
                }
                Err(policy) => {
                    w.number(4, 1);
                    w.number(16, policy);
                }
            }
            // An attribute of a later kernel.
            w.number(200, 7);
            if headers {
                let mut network = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, UDP, 0, 0];
                network.extend([192, 168, 137, 7, 9, 9, 9, 9]);
                w.attribute(8, &network);
                w.attribute(9, &[0xc3, 0x50, 0, 53, 0, 0, 0, 0]);
            }
        });
        w.bytes
    }

    fn trails(messages: &[Vec<u8>]) -> Trails {
        let mut trails = Trails::default();
        for message in messages {
            for reply in replies(message) {
                if let Content::Record(record) = reply.expect("whole").content {
                    trails.absorb(record).expect("understood");
                }
            }
        }
        trails
    }

    const MARKED: (u8, &str, &str) = (1, TRACE_TABLE, OUT);
    const CONTINUE: i32 = -1;

    fn foreign() -> Foreign {
        let mut w = Writer::default();
        w.message((message::NEW_CHAIN, 0, 0), (1, 0), |w| {
            w.text(1, "guard");
            w.text(3, "passing");
            w.nested(4, |w| {
                w.number(1, 2);
                w.number(2, 0);
            });
            w.number(5, 1);
            w.text(7, "filter");
        });
        w.message((message::NEW_RULE, 0, 0), (1, 0), |w| {
            w.text(1, "guard");
            w.text(2, "passing");
            w.attribute(3, &7_u64.to_be_bytes());
            w.nested(4, |w| {
                element(w, "payload", |w| {
                    for (kind, value) in [(1, 1), (2, 1), (3, 12), (4, 4)] {
                        w.number(kind, value);
                    }
                });
                equal(w, &[192, 168, 137, 7]);
                element(w, "immediate", |w| {
                    w.number(1, 0);
                    w.nested(2, |w| w.nested(2, |w| w.number(1, 0)));
                });
            });
        });
        let mut foreign = Foreign::default();
        for reply in replies(&w.bytes) {
            if let Content::Record(record) = reply.expect("whole").content {
                foreign.absorb(record).expect("understood");
            }
        }
        assert!(Question::Rules.encode(1).len() > 16);
        foreign
    }

    #[test]
    fn a_packet_that_gets_to_the_end_has_passed() {
        let trails = trails(&[
            told(5, MARKED, Ok((2, CONTINUE)), true),
            // It is of the probe, and of the device as well.
            told(5, MARKED, Ok((8, CONTINUE)), false),
            told(9, (2, "filter", "FORWARD"), Err(0), false),
            told(5, (2, "filter", "FORWARD"), Err(1), true),
            told(5, (1, TRACE_TABLE, END), Err(1), true),
        ]);
        let [trail] = trails.iter().collect::<Vec<_>>()[..] else { panic!("one packet") };
        assert!(trail.passed && trail.killer.is_none());
        assert_eq!(trail.source, Some((Ipv4Addr::new(192, 168, 137, 7), 50_000)));
        assert_eq!(trail.destination, Some((Ipv4Addr::new(9, 9, 9, 9), 53)));
    }

    #[test]
    fn the_rule_that_drops_a_packet_is_named_in_words_with_what_takes_it_away() {
        let lan = "lan0".parse().expect("valid");
        let trails = trails(&[
            told(5, MARKED, Ok((2, CONTINUE)), true),
            told(5, (1, "guard", "passing"), Ok((7, 0)), true),
        ]);
        let trail = trails.iter().next().expect("one packet");
        let said = foreign().explain(trail, lan, None).expect("dropped");
        assert_eq!(said.place, "inet guard / chain passing / rule 7");
        assert_eq!(said.rule, "ip saddr 192.168.137.7 drop");
        assert_eq!(said.owner, Some(Owner::Nftables));
        assert_eq!(said.remedy, Remedy::Run(vec!["nft delete rule inet guard passing handle 7".into()]));
    }

    #[test]
    fn a_policy_and_our_own_rules_are_told_apart() {
        let lan = "lan0".parse().expect("valid");
        let wan = "wan0".parse().ok();
        let policy = trails(&[
            told(5, MARKED, Ok((2, CONTINUE)), true),
            told(5, (2, "filter", "FORWARD"), Err(0), false),
        ]);
        let said = Foreign::default().explain(policy.iter().next().expect("one"), lan, wan).expect("dropped");
        assert_eq!(said.place, "ip filter / chain FORWARD / policy drop");
        assert_eq!(said.owner, Some(Owner::Iptables));
        let Remedy::Run(commands) = said.remedy else { panic!("commands") };
        assert_eq!(
            commands.first().map(String::as_str),
            Some("iptables -I FORWARD -i lan0 -o wan0 -j ACCEPT")
        );
        let own = trails(&[
            told(5, MARKED, Ok((2, CONTINUE)), true),
            told(5, (1, TABLE, "from-1"), Ok((9, 0)), false),
        ]);
        let said = Foreign::default().explain(own.iter().next().expect("one"), lan, wan).expect("dropped");
        assert_eq!(said.owner, None);
    }

    #[test]
    fn an_address_in_memory_that_is_used_again_begins_a_new_trail() {
        let trails = trails(&[
            told(5, MARKED, Ok((2, CONTINUE)), true),
            told(5, (2, "filter", "FORWARD"), Err(0), false),
            told(5, MARKED, Ok((2, CONTINUE)), true),
            told(5, (1, TRACE_TABLE, END), Err(1), false),
        ]);
        let fates: Vec<_> = trails.iter().map(|trail| (trail.passed, trail.killer.is_some())).collect();
        assert_eq!(fates, [(false, true), (true, false)]);
    }

    #[test]
    fn a_flood_of_packets_is_forgotten_oldest_first() {
        let messages: Vec<_> = (0..500).map(|id| told(id, MARKED, Ok((2, CONTINUE)), true)).collect();
        let trails = trails(&messages);
        assert_eq!(trails.iter().count(), Trails::LIMIT);
        assert_eq!(trails.iter().next_back_id(), Some(499));
    }

    trait Last {
        fn next_back_id(self) -> Option<u32>;
    }

    impl<'a, I: Iterator<Item = &'a Trail>> Last for I {
        fn next_back_id(self) -> Option<u32> {
            self.last().map(|trail| trail.id)
        }
    }

    #[test]
    fn the_table_marks_and_decides_nothing() {
        let probe = Probe {
            private: "lan0".parse().expect("valid"),
            public: "wan0".parse().expect("valid"),
            port: 50_000,
            device: Some(MacAddr([2, 0, 0, 0, 0, 7])),
        };
        assert_eq!(probe.rules().len(), 5);
        let mut chains = Foreign::default();
        for reply in replies(probe.begin(1).bytes()) {
            if let Content::Record(record) = reply.expect("whole").content {
                chains.absorb(record).expect("understood");
            }
        }
        for chain in chains.chains.values() {
            assert!(chain.base.is_some_and(|base| base.accepts));
            for rule in &chain.rules {
                let text = words(rule);
                assert!(!text.contains("drop") && !text.contains("accept"), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_message_breaks_the_reading(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0_usize..200,
            flip in 0_usize..200,
        ) {
            let mut trails = Trails::default();
            let record = Record { kind: message::TRACE, family: 1, attributes: &bytes };
            let _ = trails.absorb(record);
            let mut whole = told(5, MARKED, Ok((2, CONTINUE)), true);
            let at = flip % whole.len();
            whole[at] ^= 0xff;
            whole.truncate(cut);
            for reply in replies(&whole).flatten() {
                if let Content::Record(record) = reply.content {
                    let _ = trails.absorb(record);
                }
            }
        }
    }
}
