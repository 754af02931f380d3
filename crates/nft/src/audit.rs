//! Whether somebody else's rules would drop what a segment of ours needs.
//!
//! nf_tables runs every base chain of a hook: an accept in one table does not overrule a drop in another, so a table
//! of ours cannot open what another one closes. The audit plays packets as a segment will send them through
//! everybody's chains. It knows some bits of each packet and doubts the others; a way that depends on a doubt is
//! followed both ways. Only what cannot pass in any of them is reported, never a guess.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use hn_types::{
    IfName,
    plan::{FirewallPlan, FirewallSegment, Reach},
};

use crate::{
    foreign::{Chain, Family, Foreign, Load, Rule, Set, Step, TableId, Verdict},
    owner::{Owner, Remedy},
    ruleset::{CtStates, TABLE},
};

/// What cannot pass, and who stops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blockade {
    /// What is stopped.
    pub traffic: Traffic,
    /// Of IPv6; otherwise of IPv4.
    pub ipv6: bool,
    /// The private interface it is from or to.
    pub private: IfName,
    /// The public interface, when it is forwarded.
    pub public: Option<IfName>,
    /// Where: `ip filter / chain FORWARD / policy`.
    pub place: String,
    /// Who put it there, as far as names tell.
    pub owner: Owner,
    /// What opens it.
    pub remedy: Remedy,
}

/// What a segment needs to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Name queries to the host. (DHCP is spoken below the firewall.)
    Names,
    /// New connections out.
    Outward,
    /// Answers back in.
    Answers,
}

impl Traffic {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Names => "name queries to this machine",
            Self::Outward => "connections to the outside",
            Self::Answers => "answers from the outside",
        }
    }
}

const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Chains may call each other this deep (`NFT_JUMP_STACK_SIZE`).
const DEPTH: u32 = 16;
/// Rules looked at for one packet before everything is in doubt.
const BUDGET: u32 = 1_000_000;

/// What would drop the traffic of `plan`: for each segment and kind of traffic the first place. `index` tells the
/// index of an interface that exists.
pub fn audit(
    foreign: &Foreign,
    plan: &FirewallPlan,
    index: impl Fn(&IfName) -> Option<u32>,
) -> Vec<Blockade> {
    let mut found = Vec::new();
    for segment in plan.segments.iter().filter(|segment| segment.subnet.is_some()) {
        for traffic in [Traffic::Names, Traffic::Outward, Traffic::Answers] {
            let packets = [packet(segment, traffic, &index), packet6(segment, traffic, &index)];
            for packet in packets.into_iter().flatten() {
                let Some(place) = packet.stopped(foreign) else { continue };
                let ipv6 = packet.ipv6;
                let public = match (segment.reach, traffic) {
                    (Reach::Public(public), Traffic::Outward | Traffic::Answers) => Some(public),
                    (Reach::Public(_), Traffic::Names) | (Reach::Host, _) => None,
                };
                let owner = Owner::of(foreign, &place.table, &place.chain, packet.hook);
                let remedy = owner.remedy(&place, (traffic, ipv6), segment.interface, public);
                found.push(Blockade {
                    traffic,
                    ipv6,
                    private: segment.interface,
                    public,
                    place: place.text(),
                    owner,
                    remedy,
                });
            }
        }
    }
    found
}

/// Where a packet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: TableId,
    /// The base chain in which it came to its end.
    pub(crate) base: String,
    /// The chain of the rule.
    pub(crate) chain: String,
    /// The handle of the rule; `None`: the policy of the base chain.
    pub(crate) rule: Option<u64>,
}

impl Place {
    fn text(&self) -> String {
        let (family, table) = &self.table;
        let chain = format!("{} {} / chain {}", family.as_str(), table, self.chain);
        match self.rule {
            Some(handle) => format!("{chain} / rule {handle}"),
            None => format!("{chain} / policy drop"),
        }
    }
}

/// A packet as far as it is known.
struct Packet {
    ipv6: bool,
    hook: u32,
    inward: (IfName, Option<u32>),
    outward: Option<(IfName, Option<u32>)>,
    protocol: u8,
    /// Network header: bytes and which of their bits are known.
    network: Bits,
    /// Transport header.
    transport: Bits,
    state: u32,
}

fn packet(
    segment: &FirewallSegment,
    traffic: Traffic,
    index: impl Fn(&IfName) -> Option<u32>,
) -> Option<Packet> {
    let subnet = segment.subnet?;
    let mut packet = blank(segment, traffic, index)?;
    let network = &mut packet.network;
    network.set(0, &[0x45]);
    network.set(9, &[packet.protocol]);
    let host = subnet.address().octets();
    let prefix = u32::MAX.checked_shl(32 - u32::from(subnet.prefix())).unwrap_or(0).to_be_bytes();
    // Any address of the network: its bits beyond the prefix stay open.
    let inside = |bits: &mut Bits, at| bits.set_masked(at, &host, &prefix);
    match traffic {
        Traffic::Names => {
            inside(network, 12);
            network.set(16, &host);
        }
        Traffic::Outward => inside(network, 12),
        Traffic::Answers => inside(network, 16),
    }
    Some(packet)
}

/// The same of IPv6, as far as the segment has it.
fn packet6(
    segment: &FirewallSegment,
    traffic: Traffic,
    index: impl Fn(&IfName) -> Option<u32>,
) -> Option<Packet> {
    let ipv6 = segment.ipv6?;
    let subnet = match traffic {
        Traffic::Names => ipv6.address,
        Traffic::Outward | Traffic::Answers => {
            let global = ipv6.global.into_iter().flatten().next();
            global.or_else(|| ipv6.nat66.then_some(ipv6.address))?
        }
    };
    let mut packet = blank(segment, traffic, index)?;
    packet.ipv6 = true;
    packet.network = Bits::new(40);
    let network = &mut packet.network;
    network.set_masked(0, &[0x60], &[0xf0]);
    network.set(6, &[packet.protocol]);
    let host = ipv6.address.address().octets();
    let prefix = u128::MAX.checked_shl(128 - u32::from(subnet.prefix())).unwrap_or(0).to_be_bytes();
    let network_of = subnet.address().octets();
    let inside = |bits: &mut Bits, at| bits.set_masked(at, &network_of, &prefix);
    match traffic {
        Traffic::Names => {
            inside(network, 8);
            network.set(24, &host);
        }
        Traffic::Outward => inside(network, 8),
        Traffic::Answers => inside(network, 24),
    }
    Some(packet)
}

/// What a packet of `traffic` has whatever its addresses are; its network header is unknown.
fn blank(
    segment: &FirewallSegment,
    traffic: Traffic,
    index: impl Fn(&IfName) -> Option<u32>,
) -> Option<Packet> {
    let known = |name: IfName| (name, index(&name));
    let private = known(segment.interface);
    let public = match segment.reach {
        Reach::Public(public) => Some(known(public)),
        Reach::Host => None,
    };
    let (hook, inward, outward, protocol, state) = match traffic {
        Traffic::Names => (INPUT, private, None, UDP, CtStates::NEW),
        Traffic::Outward => (FORWARD, private, Some(public?), TCP, CtStates::NEW),
        Traffic::Answers => (FORWARD, public?, Some(private), TCP, CtStates::ESTABLISHED),
    };
    let mut transport = Bits::new(8);
    match traffic {
        Traffic::Names => transport.set(2, &53_u16.to_be_bytes()),
        Traffic::Outward => transport.set(2, &443_u16.to_be_bytes()),
        Traffic::Answers => transport.set(0, &443_u16.to_be_bytes()),
    }
    let network = Bits::new(20);
    Some(Packet { ipv6: false, hook, inward, outward, protocol, network, transport, state: state.0 })
}

/// Bytes of which some bits are known.
#[derive(Clone, Debug)]
struct Bits {
    bytes: Vec<u8>,
    known: Vec<u8>,
}

impl Bits {
    fn new(length: usize) -> Self {
        Self { bytes: alloc::vec![0; length], known: alloc::vec![0; length] }
    }

    fn all(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), known: alloc::vec![0xff; bytes.len()] }
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.set_masked(at, bytes, &alloc::vec![0xff; bytes.len()]);
    }

    fn set_masked(&mut self, at: usize, bytes: &[u8], known: &[u8]) {
        let target = self.bytes.iter_mut().zip(&mut self.known).skip(at);
        for ((byte, mask), (new, new_mask)) in target.zip(bytes.iter().zip(known)) {
            *byte = *new & *new_mask;
            *mask = *new_mask;
        }
    }

    /// `length` bytes from `at`, unknown where there is nothing.
    fn part(&self, at: usize, length: usize) -> Self {
        let mut part = Self::new(length);
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let known = self.known.get(at..).unwrap_or_default();
        let end = length.min(bytes.len());
        part.set_masked(0, bytes.get(..end).unwrap_or_default(), known.get(..end).unwrap_or_default());
        part
    }

    fn certain(&self) -> bool {
        self.known.iter().all(|mask| *mask == 0xff)
    }

    /// Whether they are `value`.
    fn are(&self, value: &[u8]) -> Truth {
        let differs = self
            .bytes
            .iter()
            .zip(&self.known)
            .zip(value)
            .any(|((byte, mask), value)| (byte ^ value) & mask != 0);
        match (differs, self.certain() && self.bytes.len() == value.len()) {
            (true, _) => Truth::No,
            (false, true) => Truth::Yes,
            (false, false) => Truth::Maybe,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    No,
    Maybe,
    Yes,
}

impl Truth {
    const fn of(sure: bool) -> Self {
        if sure { Self::Yes } else { Self::No }
    }

    const fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }

    fn and(self, other: Self) -> Self {
        self.min(other)
    }
}

/// What may become of the packet in a chain.
#[derive(Clone, Debug, Default)]
struct Ways {
    accepted: bool,
    dropped: Option<(String, u64)>,
    /// It may come out at the end, or return.
    back: bool,
}

impl Ways {
    fn add(&mut self, other: &Self) {
        self.accepted |= other.accepted;
        if self.dropped.is_none() {
            self.dropped.clone_from(&other.dropped);
        }
    }
}

impl Packet {
    /// Where the packet surely ends, if it does.
    fn stopped(&self, foreign: &Foreign) -> Option<Place> {
        let mut bases: Vec<_> = foreign
            .chains
            .iter()
            .filter_map(|((table, name), chain)| Some((chain.base?, table, name)))
            .filter(|(base, (family, table), _)| {
                base.hook == self.hook
                    && base.filter
                    && *family != if self.ipv6 { Family::Ipv4 } else { Family::Ipv6 }
                    && !(*family == Family::Inet && table == TABLE)
            })
            .collect();
        bases.sort_by_key(|(base, ..)| base.priority);
        bases.into_iter().find_map(|(base, table, name)| {
            let mut walk = Walk { packet: self, foreign, table, budget: BUDGET, open: BTreeSet::new() };
            let ways = walk.chain(name, DEPTH);
            if ways.accepted || (ways.back && base.accepts) {
                return None;
            }
            let (chain, rule) = match (ways.back, ways.dropped) {
                (false, Some((chain, rule))) => (chain, Some(rule)),
                (true, _) => (name.clone(), None),
                (false, None) => return None,
            };
            Some(Place { table: table.clone(), base: name.clone(), chain, rule })
        })
    }

    fn meta(&self, key: u32) -> Option<Bits> {
        let name = |interface: Option<&(IfName, Option<u32>)>| {
            let mut bytes: Vec<u8> =
                interface.map_or_else(Vec::new, |(name, _)| name.as_str().bytes().collect());
            bytes.resize(16, 0);
            Bits::all(&bytes)
        };
        // An interface that will be made has an index that no rule can name yet.
        let index = |interface: Option<&(IfName, Option<u32>)>| {
            Bits::all(&interface.map_or(0, |(_, index)| index.unwrap_or(u32::MAX)).to_ne_bytes())
        };
        Some(match key {
            1 => Bits::all(&if self.ipv6 { 0x86dd_u16 } else { 0x0800 }.to_be_bytes()),
            4 => index(Some(&self.inward)),
            5 => index(self.outward.as_ref()),
            6 => name(Some(&self.inward)),
            7 => name(self.outward.as_ref()),
            15 => Bits::all(&[if self.ipv6 { 10 } else { 2 }]),
            16 => Bits::all(&[self.protocol]),
            _ => return None,
        })
    }

    fn ct(&self, key: u32) -> Option<Bits> {
        Some(match key {
            0 => Bits::all(&self.state.to_ne_bytes()),
            // A new connection of ours has its destination as it came; its source is translated later.
            2 if self.state == CtStates::NEW.0 => {
                let mut bits = Bits::new(4);
                bits.set_masked(0, &[0; 4], &0x30_u32.to_ne_bytes());
                bits
            }
            _ => return None,
        })
    }

    fn load(&self, load: Load) -> Bits {
        match load {
            Load::Meta(key) => self.meta(key).unwrap_or_else(|| Bits::new(16)),
            Load::Ct(key) => self.ct(key).unwrap_or_else(|| Bits::new(16)),
            Load::Payload(base, offset, length) => {
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(64);
                match base {
                    1 => self.network.part(at, length),
                    2 => self.transport.part(at, length),
                    _ => Bits::new(length),
                }
            }
        }
    }

    fn ports(&self, [source_first, source_last, first, last]: [u16; 4]) -> Truth {
        let within = |at, low: u16, high: u16| {
            range(&self.transport.part(at, 2), &low.to_be_bytes(), &high.to_be_bytes())
        };
        within(0, source_first, source_last).and(within(2, first, last))
    }
}

/// Whether the bytes lie from `low` to `high`, compared as the kernel does, byte by byte.
fn range(bits: &Bits, low: &[u8], high: &[u8]) -> Truth {
    if low.iter().all(|byte| *byte == 0) && high.iter().all(|byte| *byte == 0xff) {
        return Truth::Yes;
    }
    if bits.certain() {
        let bytes = bits.bytes.as_slice();
        return Truth::of(low <= bytes && bytes <= high);
    }
    Truth::Maybe
}

/// One packet on its way through the chains of one table.
struct Walk<'a> {
    packet: &'a Packet,
    foreign: &'a Foreign,
    table: &'a TableId,
    budget: u32,
    /// Chains that are being walked.
    open: BTreeSet<String>,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str, depth: u32) -> Ways {
        let doubt = Ways { accepted: true, dropped: None, back: true };
        let foreign = self.foreign;
        let Some(chain) = foreign.chains.get(&(self.table.clone(), name.into())) else { return doubt };
        if depth == 0 || !self.open.insert(name.into()) {
            return doubt;
        }
        let ways = self.rules(name, chain, depth);
        self.open.remove(name);
        ways
    }

    fn rules(&mut self, name: &str, chain: &Chain, depth: u32) -> Ways {
        let mut ways = Ways::default();
        for rule in &chain.rules {
            let Some(budget) = self.budget.checked_sub(1) else {
                return Ways { accepted: true, dropped: None, back: true };
            };
            self.budget = budget;
            let (truth, verdicts) = self.judge(rule);
            if truth == Truth::No {
                continue;
            }
            // Whether the packet may come to the next rule.
            let mut goes_on = truth == Truth::Maybe || verdicts.is_empty();
            for verdict in &verdicts {
                match verdict {
                    Verdict::Accept | Verdict::Queue => ways.accepted = true,
                    Verdict::Drop => {
                        ways.dropped.get_or_insert_with(|| (name.into(), rule.handle));
                    }
                    Verdict::Return => ways.back = true,
                    Verdict::Continue => goes_on = true,
                    Verdict::Jump(target) => {
                        let inner = self.chain(target, depth - 1);
                        ways.add(&inner);
                        goes_on |= inner.back;
                    }
                    Verdict::Goto(target) => {
                        let inner = self.chain(target, depth - 1);
                        ways.add(&inner);
                        ways.back |= inner.back;
                    }
                }
            }
            if !goes_on {
                return ways;
            }
        }
        ways.back = true;
        ways
    }

    /// Whether the packet fits the rule, and the verdicts it may get there (none: the rule has none).
    fn judge(&self, rule: &Rule) -> (Truth, Vec<Verdict>) {
        let mut registers = Bits::new(64);
        let mut truth = Truth::Yes;
        for step in &rule.steps {
            let fits = match step {
                Step::Load(to, load) => {
                    let loaded = self.packet.load(*load);
                    let length = loaded.bytes.len().next_multiple_of(4);
                    // The kernel fills a register of four bytes with zeros.
                    registers.set(*to, &alloc::vec![0; length]);
                    registers.set_masked(*to, &loaded.bytes, &loaded.known);
                    Truth::Yes
                }
                Step::Bitwise(from, to, mask, xor) => {
                    let mut part = registers.part(*from, mask.len());
                    let bits = part.bytes.iter_mut().zip(&mut part.known);
                    for ((byte, known), (mask, xor)) in bits.zip(mask.iter().zip(xor)) {
                        *known |= !mask;
                        *byte = ((*byte & mask) ^ xor) & *known;
                    }
                    registers.set_masked(*to, &part.bytes, &part.known);
                    Truth::Yes
                }
                Step::Compare(from, op, value) => compared(&registers.part(*from, value.len()), *op, value),
                Step::Range(from, outside, low, high) => {
                    let inside = range(&registers.part(*from, low.len()), low, high);
                    if *outside { inside.not() } else { inside }
                }
                Step::Lookup(from, set, absent, to) => {
                    let set = self.foreign.sets.get(&(self.table.clone(), set.clone()));
                    if *to == Some(0) {
                        let (mapped, verdicts) = mapped(set, &registers, *from);
                        return (truth.and(mapped), verdicts);
                    }
                    if to.is_some() {
                        registers = Bits::new(64);
                    }
                    let present = contains(set, &registers, *from);
                    if *absent { present.not() } else { present }
                }
                Step::Verdict(verdict) => return (truth, alloc::vec![verdict.clone()]),
                Step::State(states, inverted) => Truth::of((self.packet.state & states != 0) != *inverted),
                Step::Ports(ports) => self.packet.ports(*ports),
                Step::Passive => Truth::Yes,
                Step::Unknown => {
                    registers = Bits::new(64);
                    Truth::Yes
                }
                Step::Doubt => Truth::Maybe,
            };
            truth = truth.and(fits);
            if truth == Truth::No {
                break;
            }
        }
        (truth, Vec::new())
    }
}

fn compared(bits: &Bits, op: u32, value: &[u8]) -> Truth {
    let ordered = |holds: fn(core::cmp::Ordering) -> bool| {
        if bits.certain() { Truth::of(holds(bits.bytes.as_slice().cmp(value))) } else { Truth::Maybe }
    };
    match op {
        0 => bits.are(value),
        1 => bits.are(value).not(),
        2 => ordered(core::cmp::Ordering::is_lt),
        3 => ordered(core::cmp::Ordering::is_le),
        4 => ordered(core::cmp::Ordering::is_gt),
        5 => ordered(core::cmp::Ordering::is_ge),
        _ => Truth::Maybe,
    }
}

/// Whether a set has the key in the registers.
fn contains(set: Option<&Set>, registers: &Bits, from: usize) -> Truth {
    matching(set, registers, from).0
}

/// The verdicts that a map may give.
fn mapped(set: Option<&Set>, registers: &Bits, from: usize) -> (Truth, Vec<Verdict>) {
    let (truth, elements) = matching(set, registers, from);
    let Some(set) = set.filter(|set| set.complete) else {
        // Anything, also nothing.
        return (Truth::Maybe, alloc::vec![Verdict::Accept, Verdict::Drop]);
    };
    let verdicts = elements.into_iter().filter_map(|at| set.elements.get(at)?.verdict.clone()).collect();
    (truth, verdicts)
}

/// Whether the key is among the elements, and the positions of those it may be.
fn matching(set: Option<&Set>, registers: &Bits, from: usize) -> (Truth, Vec<usize>) {
    let Some(set) = set.filter(|set| set.complete) else { return (Truth::Maybe, Vec::new()) };
    let everything = set.elements.iter().position(|element| element.everything);
    let keyed = || set.elements.iter().enumerate().filter(|(_, element)| !element.everything);
    let length = keyed().next().map_or(0, |(_, element)| element.key.len());
    let key = registers.part(from, length);
    let (truth, mut found) = if set.interval && set.concatenated {
        (Truth::Maybe, keyed().map(|(at, _)| at).collect())
    } else if set.interval && key.certain() {
        // The greatest beginning or end that is not beyond the key; at the same place an end comes first.
        let below = keyed()
            .filter(|(_, element)| element.key <= key.bytes)
            .max_by(|(_, a), (_, b)| a.key.cmp(&b.key).then(b.ends.cmp(&a.ends)));
        match below {
            Some((at, element)) if !element.ends => (Truth::Yes, alloc::vec![at]),
            Some(_) | None => (Truth::No, Vec::new()),
        }
    } else if set.interval {
        (Truth::Maybe, keyed().map(|(at, _)| at).collect())
    } else {
        let fits: Vec<(usize, Truth)> = keyed()
            .map(|(at, element)| (at, key.are(&element.key)))
            .filter(|(_, truth)| *truth != Truth::No)
            .collect();
        let best = fits.iter().map(|(_, truth)| *truth).max().unwrap_or(Truth::No);
        (best, fits.into_iter().map(|(at, _)| at).collect::<Vec<_>>())
    };
    match (truth, everything) {
        (Truth::Yes, _) | (_, None) => (truth, found),
        (Truth::No, Some(at)) => (Truth::Yes, alloc::vec![at]),
        (Truth::Maybe, Some(at)) => {
            found.push(at);
            (Truth::Yes, found)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::foreign::{Base, Element};

    fn table() -> TableId {
        (Family::Inet, "t".into())
    }

    fn plan() -> FirewallPlan {
        FirewallPlan {
            segments: alloc::vec![FirewallSegment {
                interface: "hnap0".parse().unwrap(),
                subnet: Some("192.168.137.1/24".parse().unwrap()),
                reach: Reach::Public("eth0".parse().unwrap()),
                ipv6: None,
            }],
            ..FirewallPlan::default()
        }
    }

    /// A forward chain with these rules at its beginning, and what the audit says of it.
    fn stopped(accepts: bool, rules: Vec<Vec<Step>>, sets: Vec<(&str, Set)>) -> Vec<Traffic> {
        let mut foreign = Foreign::default();
        let rules = rules.into_iter().map(|steps| Rule { handle: 1, steps }).collect();
        let base = Some(Base { hook: FORWARD, priority: 0, accepts, filter: true });
        foreign.chains.insert((table(), "f".into()), Chain { base, rules });
        foreign.chains.insert(
            (table(), "loop".into()),
            Chain {
                base: None,
                rules: alloc::vec![Rule {
                    handle: 2,
                    steps: alloc::vec![Step::Verdict(Verdict::Jump("loop".into()))]
                }],
            },
        );
        foreign.sets.extend(sets.into_iter().map(|(name, set)| ((table(), name.into()), set)));
        let index = |name: &IfName| (name.as_str() == "eth0").then_some(2);
        audit(&foreign, &plan(), index).into_iter().map(|blockade| blockade.traffic).collect()
    }

    fn drop() -> Step {
        Step::Verdict(Verdict::Drop)
    }

    fn iifname(name: &str) -> [Step; 2] {
        let mut padded: Vec<u8> = name.bytes().collect();
        padded.resize(16, 0);
        [Step::Load(0, Load::Meta(6)), Step::Compare(0, 0, padded)]
    }

    #[test]
    fn ipv6_is_judged_by_its_own_tables_and_as_far_as_the_segment_has_it() {
        let closed = |family| {
            let mut foreign = Foreign::default();
            let base = Some(Base { hook: FORWARD, priority: 0, accepts: false, filter: true });
            foreign.chains.insert(((family, "t".into()), "f".into()), Chain { base, rules: Vec::new() });
            foreign
        };
        let mut plan = plan();
        let segment = plan.segments.first_mut().unwrap();
        let address = "fd00:1::1/64".parse().unwrap();
        segment.ipv6 =
            Some(hn_types::plan::FirewallSegment6 { address, nat66: true, global: [None; 2], guard: true });
        let stopped = |plan: &FirewallPlan, family| -> Vec<(Traffic, bool)> {
            let found = audit(&closed(family), plan, |_| None);
            found.into_iter().map(|blockade| (blockade.traffic, blockade.ipv6)).collect()
        };
        let of = |ipv6| BOTH.map(|traffic| (traffic, ipv6));
        assert_eq!(stopped(&plan, Family::Ipv6), of(true));
        assert_eq!(stopped(&plan, Family::Ipv4), of(false));
        assert_eq!(stopped(&plan, Family::Inet).len(), 4);
        let address = "fd00:1::1/64".parse().unwrap();
        plan.segments.first_mut().unwrap().ipv6 =
            Some(hn_types::plan::FirewallSegment6 { address, nat66: false, global: [None; 2], guard: false });
        assert_eq!(stopped(&plan, Family::Ipv6), [], "what leads nowhere is not missed");
    }

    const BOTH: [Traffic; 2] = [Traffic::Outward, Traffic::Answers];

    #[test]
    fn a_policy_stops_both_directions_unless_something_may_accept() {
        assert_eq!(stopped(true, Vec::new(), Vec::new()), []);
        assert_eq!(stopped(false, Vec::new(), Vec::new()), BOTH);
        let [load, compare] = iifname("hnap0");
        let accept = Step::Verdict(Verdict::Accept);
        assert_eq!(
            stopped(false, alloc::vec![alloc::vec![load, compare, accept.clone()]], Vec::new()),
            [Traffic::Answers]
        );
        assert_eq!(stopped(false, alloc::vec![alloc::vec![Step::Doubt, accept]], Vec::new()), []);
    }

    #[test]
    fn a_drop_that_depends_on_a_doubt_is_not_reported() {
        assert_eq!(stopped(true, alloc::vec![alloc::vec![drop()]], Vec::new()), BOTH);
        assert_eq!(stopped(true, alloc::vec![alloc::vec![Step::Doubt, drop()]], Vec::new()), []);
        // The last byte of a source in the segment is not known, its first three are.
        let source = |value: [u8; 4]| {
            alloc::vec![Step::Load(0, Load::Payload(1, 12, 4)), Step::Compare(0, 0, value.to_vec()), drop()]
        };
        assert_eq!(stopped(true, alloc::vec![source([192, 168, 137, 9])], Vec::new()), []);
        let network = alloc::vec![
            Step::Load(0, Load::Payload(1, 12, 4)),
            Step::Bitwise(0, 0, alloc::vec![255, 255, 255, 0], alloc::vec![0; 4]),
            Step::Compare(0, 0, alloc::vec![192, 168, 137, 0]),
            drop()
        ];
        assert_eq!(stopped(true, alloc::vec![network], Vec::new()), [Traffic::Outward]);
    }

    #[test]
    fn chains_that_call_themselves_end_in_doubt() {
        let jump = alloc::vec![Step::Verdict(Verdict::Jump("loop".into()))];
        assert_eq!(stopped(true, alloc::vec![jump.clone()], Vec::new()), []);
        assert_eq!(stopped(false, alloc::vec![jump], Vec::new()), []);
    }

    #[test]
    fn intervals_contain_their_first_value_and_not_the_one_behind_the_last() {
        let element = |key: u16, ends| Element {
            key: key.to_be_bytes().to_vec(),
            ends,
            everything: false,
            verdict: None,
        };
        let ports = |from: u16, to: u16| {
            let elements = alloc::vec![element(0, true), element(from, false), element(to + 1, true)];
            let set = Set { interval: true, elements, complete: true, ..Set::default() };
            let rule = alloc::vec![
                Step::Load(0, Load::Payload(2, 2, 2)),
                Step::Lookup(0, "s".into(), false, None),
                drop()
            ];
            stopped(true, alloc::vec![rule], alloc::vec![("s", set)])
        };
        assert_eq!(ports(443, 500), [Traffic::Outward]);
        assert_eq!(ports(400, 443), [Traffic::Outward]);
        assert_eq!(ports(444, 500), []);
        assert_eq!(ports(400, 442), []);
    }

    #[test]
    fn a_set_that_was_not_read_to_its_end_is_a_doubt() {
        let rule =
            alloc::vec![Step::Load(0, Load::Meta(16)), Step::Lookup(0, "s".into(), true, None), drop()];
        let set = |complete| Set { complete, ..Set::default() };
        assert_eq!(stopped(true, alloc::vec![rule.clone()], alloc::vec![("s", set(true))]), BOTH);
        assert_eq!(stopped(true, alloc::vec![rule], alloc::vec![("s", set(false))]), []);
    }
}
