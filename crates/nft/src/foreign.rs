//! Other people's tables: what a dump of everything says, as far as it decides the fate of a packet of ours.
//!
//! This module reads; [`audit`](mod@crate::audit) judges. It never changes a table that is not ours. What it does not
//! know stays in place as a doubt, so that a verdict of the audit is never more certain than the reading.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use crate::wire::{Malformed, Record, Writer, as_array, attributes, be32, flag, message, pick, text_of};

/// The family of a table whose packets are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `inet`: both.
    Inet,
    /// `ip`.
    Ipv4,
    /// `ip6`.
    Ipv6,
}

impl Family {
    /// As `nft` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Inet, Self::Ipv4, Self::Ipv6].into_iter().find(|family| family.number() == number)
    }
}

/// A table, by family and name.
pub type TableId = (Family, String);

/// A set, by table and name.
pub type SetId = (TableId, String);

/// A question about everybody's rules, answered by a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Every chain.
    Chains,
    /// Every rule.
    Rules,
    /// Every set, without its elements.
    Sets,
    /// The elements of one set.
    Elements(SetId),
}

impl Question {
    /// The question as bytes.
    pub fn encode(&self, sequence: u32) -> Vec<u8> {
        let mut w = Writer::default();
        let (kind, family) = match self {
            Self::Chains => (message::GET_CHAIN, 0),
            Self::Rules => (message::GET_RULE, 0),
            Self::Sets => (message::GET_SET, 0),
            Self::Elements(((family, _), _)) => (message::GET_ELEMENTS, family.number()),
        };
        w.message((kind, flag::REQUEST | flag::DUMP, sequence), (family, 0), |w| {
            if let Self::Elements(((_, table), set)) = self {
                w.text(1, table);
                w.text(2, set);
            }
        });
        w.bytes
    }
}

/// Everybody's chains, rules and sets.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    pub(crate) chains: BTreeMap<(TableId, String), Chain>,
    pub(crate) sets: BTreeMap<SetId, Set>,
    size: usize,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) base: Option<Base>,
    pub(crate) rules: Vec<Rule>,
}

/// Where a base chain is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) hook: u32,
    pub(crate) priority: i32,
    /// Verdict at its end.
    pub(crate) accepts: bool,
    /// Chains of type `nat` see the first packet only and do not filter by custom.
    pub(crate) filter: bool,
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) handle: u64,
    pub(crate) steps: Vec<Step>,
}

/// A set or map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) interval: bool,
    /// Keys of several fields whose ranges are judged field by field.
    pub(crate) concatenated: bool,
    pub(crate) elements: Vec<Element>,
    /// Whether all elements were read.
    pub(crate) complete: bool,
}

/// An element of a set.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) ends: bool,
    pub(crate) everything: bool,
    pub(crate) verdict: Option<Verdict>,
}

/// How a rule ends, or where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    /// To come back.
    Jump(String),
    /// Not to come back.
    Goto(String),
    /// Back to where the chain was called from.
    Return,
    Continue,
    /// A program in user space decides.
    Queue,
}

/// What a rule loads about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Meta(u32),
    /// Base, offset, length in bytes.
    Payload(u32, u32, u32),
    Ct(u32),
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Load(Register, Load),
    /// `to = (from & mask) ^ xor`.
    Bitwise(Register, Register, Vec<u8>, Vec<u8>),
    /// Register, operation (`NFT_CMP_*`), value.
    Compare(Register, u32, Vec<u8>),
    /// Register, whether outside is meant, first, last.
    Range(Register, bool, Vec<u8>, Vec<u8>),
    /// Register, set, whether absence is meant, where the value goes (`None`: nowhere, 0: it is the verdict).
    Lookup(Register, String, bool, Option<u32>),
    Verdict(Verdict),
    /// State bits (`NEW` is 8) that must (or, inverted, must not) hold, as the kernel counts them in a `ct state`.
    State(u32, bool),
    /// First and last source port, first and last destination port.
    Ports([u16; 4]),
    /// Does not ask anything of the packet; may have loaded something.
    Passive,
    /// Loads something we do not know.
    Unknown,
    /// Asks something we cannot tell.
    Doubt,
}

/// Offset in the register file in bytes.
pub(crate) type Register = usize;

impl Foreign {
    /// Most chains, rules and set elements together that are kept; beyond, elements are left out as unread.
    pub const LIMIT: usize = 262_144;

    /// Takes one record of a dump. What is not about routed packets is passed over.
    ///
    /// # Errors
    ///
    /// If the bytes are not what the kernel would send, or there are more chains and rules than [`Foreign::LIMIT`].
    pub fn absorb(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        let Some(family) = Family::of(record.family) else { return Ok(()) };
        match record.kind {
            message::NEW_CHAIN => self.chain(family, record.attributes),
            message::NEW_RULE => self.rule(family, record.attributes),
            message::NEW_SET => self.set(family, record.attributes),
            message::NEW_ELEMENTS => self.elements(family, record.attributes),
            _ => Ok(()),
        }
    }

    /// The sets whose elements a rule asks for, in order.
    pub fn wanted_sets(&self) -> Vec<SetId> {
        let mut wanted: Vec<SetId> = Vec::new();
        for ((table, _), chain) in &self.chains {
            for step in chain.rules.iter().flat_map(|rule| &rule.steps) {
                if let Step::Lookup(_, set, ..) = step {
                    let id = (table.clone(), set.clone());
                    if self.sets.contains_key(&id) && !wanted.contains(&id) {
                        wanted.push(id);
                    }
                }
            }
        }
        wanted
    }

    /// Says that the dump of a set came to its end.
    pub fn complete(&mut self, set: &SetId) {
        if let Some(set) = self.sets.get_mut(set)
            && self.size < Self::LIMIT
        {
            set.complete = true;
        }
    }

    /// Whether a table has a chain whose name begins so.
    pub(crate) fn has_chain(&self, table: &TableId, prefix: &str) -> bool {
        self.chains.keys().any(|(of, name)| of == table && name.starts_with(prefix))
    }

    fn grow(&mut self) -> Result<(), Malformed> {
        self.size += 1;
        if self.size > Self::LIMIT { Err(Malformed::TooMany) } else { Ok(()) }
    }

    fn chain(&mut self, family: Family, bytes: &[u8]) -> Result<(), Malformed> {
        let ([table, name, hook, policy, kind], _) = pick(bytes, [1, 3, 4, 5, 7])?;
        let (Some(table), Some(name)) = (table.and_then(text_of), name.and_then(text_of)) else {
            return Err(Malformed::Value);
        };
        let base = match hook {
            None => None,
            Some(hook) => {
                let ([number, priority], _) = pick(hook, [1, 2])?;
                Some(Base {
                    hook: number.and_then(be32).ok_or(Malformed::Value)?,
                    priority: priority
                        .and_then(as_array)
                        .map(|value| i32::from_be_bytes(*value))
                        .ok_or(Malformed::Value)?,
                    accepts: policy.and_then(be32) != Some(0),
                    filter: kind.and_then(text_of) != Some("nat"),
                })
            }
        };
        self.grow()?;
        self.chains.entry(((family, table.into()), name.into())).or_default().base = base;
        Ok(())
    }

    fn rule(&mut self, family: Family, bytes: &[u8]) -> Result<(), Malformed> {
        let ([table, chain, handle, expressions], _) = pick(bytes, [1, 2, 3, 4])?;
        let (Some(table), Some(chain)) = (table.and_then(text_of), chain.and_then(text_of)) else {
            return Err(Malformed::Value);
        };
        let handle = handle.and_then(as_array).map_or(0, |value| u64::from_be_bytes(*value));
        let mut steps = Vec::new();
        for element in attributes(expressions.unwrap_or_default()) {
            let (_, element) = element?;
            let ([name, data], _) = pick(element, [1, 2])?;
            let name = name.and_then(text_of).ok_or(Malformed::Value)?;
            steps.push(step(name, data.unwrap_or_default())?);
        }
        self.grow()?;
        if let Some(chain) = self.chains.get_mut(&((family, table.into()), chain.into())) {
            chain.rules.push(Rule { handle, steps });
        }
        Ok(())
    }

    fn set(&mut self, family: Family, bytes: &[u8]) -> Result<(), Malformed> {
        const INTERVAL: u32 = 4;
        const CONCATENATED: u32 = 0x80;
        let ([table, name, flags], _) = pick(bytes, [1, 2, 3])?;
        let (Some(table), Some(name)) = (table.and_then(text_of), name.and_then(text_of)) else {
            return Err(Malformed::Value);
        };
        let flags = flags.and_then(be32).unwrap_or_default();
        self.grow()?;
        let set = Set {
            interval: flags & INTERVAL != 0,
            concatenated: flags & CONCATENATED != 0,
            ..Set::default()
        };
        self.sets.insert(((family, table.into()), name.into()), set);
        Ok(())
    }

    fn elements(&mut self, family: Family, bytes: &[u8]) -> Result<(), Malformed> {
        const ENDS: u32 = 1;
        const EVERYTHING: u32 = 2;
        let ([table, set, list], _) = pick(bytes, [1, 2, 3])?;
        let (Some(table), Some(set)) = (table.and_then(text_of), set.and_then(text_of)) else {
            return Err(Malformed::Value);
        };
        let Some(set) = self.sets.get_mut(&((family, table.into()), set.into())) else { return Ok(()) };
        for element in attributes(list.unwrap_or_default()) {
            let (_, element) = element?;
            if self.size >= Self::LIMIT {
                return Ok(());
            }
            self.size += 1;
            let ([key, data, flags], _) = pick(element, [1, 2, 3])?;
            let flags = flags.and_then(be32).unwrap_or_default();
            let ([key, _], _) = pick(key.unwrap_or_default(), [1, 2])?;
            let ([_, verdict], _) = pick(data.unwrap_or_default(), [1, 2])?;
            set.elements.push(Element {
                key: key.unwrap_or_default().into(),
                ends: flags & ENDS != 0,
                everything: flags & EVERYTHING != 0,
                verdict: verdict.map(verdict_of).transpose()?,
            });
        }
        Ok(())
    }
}

fn verdict_of(bytes: &[u8]) -> Result<Verdict, Malformed> {
    let ([code, chain], _) = pick(bytes, [1, 2])?;
    let code = code.and_then(as_array).map(|code| i32::from_be_bytes(*code)).ok_or(Malformed::Value)?;
    let chain = || chain.and_then(text_of).map(String::from).ok_or(Malformed::Value);
    // The upper half of a drop is an errno for the sender.
    Ok(match code {
        -1 => Verdict::Continue,
        -3 => Verdict::Jump(chain()?),
        -4 => Verdict::Goto(chain()?),
        -5 => Verdict::Return,
        code if code & 0xff == 0 => Verdict::Drop,
        1 => Verdict::Accept,
        _ => Verdict::Queue,
    })
}

/// The offset of a register in the file of 64 bytes.
fn register(value: Option<&[u8]>) -> Option<Register> {
    match value.and_then(be32)? {
        number @ 1..=4 => usize::try_from(number - 1).ok().map(|index| index * 16),
        number @ 8..=23 => usize::try_from(number - 8).ok().map(|index| index * 4),
        _ => None,
    }
}

fn value(data: Option<&[u8]>) -> Result<Option<Vec<u8>>, Malformed> {
    let ([value, _], _) = pick(data.unwrap_or_default(), [1, 2])?;
    Ok(value.map(Vec::from))
}

/// One expression. What is not understood becomes a doubt; only broken bytes are an error.
fn step(name: &str, data: &[u8]) -> Result<Step, Malformed> {
    Ok(match name {
        "counter" | "log" | "notrack" | "masq" | "nat" | "redir" | "dup" | "objref" | "last" => Step::Passive,
        "meta" => {
            let ([to, key, from], _) = pick(data, [1, 2, 3])?;
            match (register(to), key.and_then(be32), from) {
                (Some(to), Some(key), None) => Step::Load(to, Load::Meta(key)),
                (None, _, Some(_)) => Step::Passive,
                _ => Step::Unknown,
            }
        }
        "ct" => {
            let ([to, key, direction, from], _) = pick(data, [1, 2, 3, 4])?;
            match (register(to), key.and_then(be32), direction, from) {
                (Some(to), Some(key), None, None) => Step::Load(to, Load::Ct(key)),
                (None, _, _, Some(_)) => Step::Passive,
                _ => Step::Unknown,
            }
        }
        "payload" => {
            let ([to, base, offset, length, from], _) = pick(data, [1, 2, 3, 4, 5])?;
            let part = base.and_then(be32).zip(offset.and_then(be32)).zip(length.and_then(be32));
            match (register(to), part, from) {
                (Some(to), Some(((base, offset), length)), None) => {
                    Step::Load(to, Load::Payload(base, offset, length))
                }
                (None, _, Some(_)) => Step::Passive,
                _ => Step::Unknown,
            }
        }
        "bitwise" => {
            let ([from, to, mask, xor, op], _) = pick(data, [1, 2, 4, 5, 6])?;
            let plain = op.is_none_or(|op| be32(op) == Some(0));
            match (register(from), register(to), value(mask)?, value(xor)?) {
                (Some(from), Some(to), Some(mask), Some(xor)) if plain => Step::Bitwise(from, to, mask, xor),
                _ => Step::Unknown,
            }
        }
        "cmp" => {
            let ([from, op, data], _) = pick(data, [1, 2, 3])?;
            match (register(from), op.and_then(be32), value(data)?) {
                (Some(from), Some(op), Some(value)) => Step::Compare(from, op, value),
                _ => Step::Doubt,
            }
        }
        "range" => {
            let ([from, op, low, high], _) = pick(data, [1, 2, 3, 4])?;
            match (register(from), op.and_then(be32), value(low)?, value(high)?) {
                (Some(from), Some(op), Some(low), Some(high)) => Step::Range(from, op == 1, low, high),
                _ => Step::Doubt,
            }
        }
        "lookup" => {
            let ([set, from, to, flags], _) = pick(data, [1, 2, 3, 5])?;
            match (set.and_then(text_of), register(from)) {
                (Some(set), Some(from)) => {
                    let absent = flags.and_then(be32).unwrap_or_default() & 1 != 0;
                    Step::Lookup(from, set.into(), absent, to.and_then(be32))
                }
                _ => Step::Doubt,
            }
        }
        "immediate" => {
            let ([to, data], _) = pick(data, [1, 2])?;
            match to.and_then(be32) {
                Some(0) => {
                    let ([_, verdict], _) = pick(data.unwrap_or_default(), [1, 2])?;
                    Step::Verdict(verdict_of(verdict.ok_or(Malformed::Value)?)?)
                }
                _ => Step::Unknown,
            }
        }
        "reject" => Step::Verdict(Verdict::Drop),
        "queue" => Step::Verdict(Verdict::Queue),
        "fib" | "rt" | "socket" | "hash" | "numgen" | "tunnel" | "xfrm" | "osf" | "byteorder" => {
            Step::Unknown
        }
        "match" => matched(data)?,
        "target" => {
            let ([name], _) = pick(data, [1])?;
            match name.and_then(text_of) {
                Some("REJECT" | "DROP") => Step::Verdict(Verdict::Drop),
                Some("ACCEPT") => Step::Verdict(Verdict::Accept),
                Some("NFQUEUE" | "QUEUE") => Step::Verdict(Verdict::Queue),
                Some(_) | None => Step::Passive,
            }
        }
        _ => Step::Doubt,
    })
}

/// A match of iptables, as `iptables-nft` leaves it in a rule (`struct xt_*` of `linux/netfilter/`).
fn matched(data: &[u8]) -> Result<Step, Malformed> {
    let ([name, revision, info], _) = pick(data, [1, 2, 3])?;
    let info = info.unwrap_or_default();
    let half = |at: usize| info.get(at..at + 2).and_then(as_array).map(|value| u16::from_ne_bytes(*value));
    Ok(match (name.and_then(text_of), revision.and_then(be32)) {
        (Some("comment"), _) => Step::Passive,
        // Behind addresses, masks, times and ports stand what is asked, what is inverted, and the states.
        (Some("conntrack"), Some(2 | 3)) => {
            const STATE: u16 = 1;
            match (half(146), half(148), half(150)) {
                (Some(STATE), Some(inverted), Some(states)) => {
                    Step::State(u32::from(states), inverted & STATE != 0)
                }
                _ => Step::Doubt,
            }
        }
        (Some("state"), _) => info
            .first_chunk::<4>()
            .map_or(Step::Doubt, |states| Step::State(u32::from_ne_bytes(*states), false)),
        // Flags of TCP and inversions are in the bytes behind the ports.
        (Some("tcp" | "udp"), _) => {
            let plain = info.get(8..12).unwrap_or_default().iter().all(|byte| *byte == 0);
            match (half(0), half(2), half(4), half(6)) {
                (Some(a), Some(b), Some(c), Some(d)) if plain => Step::Ports([a, b, c, d]),
                _ => Step::Doubt,
            }
        }
        _ => Step::Doubt,
    })
}
