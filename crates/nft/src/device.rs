//! What holds for single devices: the table `netdev hostednet`.
//!
//! It stands at the ports themselves, where a frame from a device comes in (`ingress`) and one to it goes out (`egress`),
//! because there its MAC address is known both ways, whatever becomes of the packet in between: routed, translated,
//! bridged to another port, handed to this host, or carried past the routed path by somebody's flow table.
//!
//! A frame costs one look into a hash of addresses; that of a device nothing was decided about meets nothing else. While
//! nothing was decided about any device there is no table at all.
//!
//! ```text
//! ingress: [ ether daddr @isolated drop ]  ether saddr vmap @upload   → up-MAC
//! egress:  [ ether saddr @isolated drop    ether daddr @isolated ether saddr != @host drop ]
//!                                          ether daddr vmap @download → down-MAC
//! up-MAC:  drop                                                   when it is blocked
//!          limit rate over N bytes/second goto vital
//!          quota over N bytes goto vital
//!          counter
//! vital:   what keeps a device attached passes (ARP, neighbour discovery, DHCP, EAPOL), the rest is dropped
//! ```
//!
//! Limits are policers: what comes too fast is dropped, nothing waits. TCP settles at the limit by itself.
//!
//! The table is *owned*: it belongs to the socket that made it. Nobody else can change it, `nft flush ruleset` passes over it, and
//! it goes when that socket is closed, however the process ends.
//!
//! Counters and quotas are objects with names. A change keeps them and exchanges everything around them in one
//! transaction, so that nothing is counted twice or missed.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use hn_types::{
    MacAddr,
    device::{DeviceCount, DevicePlan, DeviceRule, Traffic},
};

use crate::{
    batch::{Batch, Build, Object},
    expression::element,
    ruleset::{TABLE, TABLE_COMMENT},
    wire::{Malformed, NETDEV, Record, Writer, as_array, attribute, be32, flag, message, pick, text_of},
};

const INGRESS: &str = "ingress";
const EGRESS: &str = "egress";
const VITAL: &str = "vital";
const UPLOAD: &str = "upload";
const DOWNLOAD: &str = "download";
const ISOLATED: &str = "isolated";
const HOST: &str = "host";
/// `NF_NETDEV_INGRESS`, `NF_NETDEV_EGRESS`.
const HOOKS: [(&str, u32); 2] = [(INGRESS, 0), (EGRESS, 1)];
/// Before flow tables (0) and everything else that people put there.
const PRIORITY: i32 = -500;
/// `NFT_OBJECT_COUNTER`, `NFT_OBJECT_QUOTA`.
const COUNTER: u32 = 1;
const QUOTA: u32 = 2;
/// `NFT_REG_VERDICT`, `NFT_REG_1`.
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;
/// `NFT_GOTO`, `NF_DROP`, `NF_ACCEPT`.
const GOTO: i32 = -4;
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
/// `NFT_TABLE_F_OWNER`.
const OWNED: u32 = 2;
/// Where in the link header the addresses are.
const DESTINATION: u32 = 0;
const SOURCE: u32 = 6;
/// Most objects of a kind that are kept. None of our tables comes near.
const LIMIT: usize = 8192;
/// A policer that lets through less than a large packet at once would let nothing through: what the kernel handles as one
/// has up to 64 KiB.
const LEAST_BURST: u64 = 128 * 1024;

/// The table as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTable {
    /// Its chains, and whether they are attached somewhere.
    chains: BTreeMap<String, bool>,
    sets: BTreeSet<String>,
    objects: BTreeMap<String, Stateful>,
}

/// An object with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stateful {
    Counter(Traffic),
    Quota { bytes: u64, consumed: u64 },
    Other(u32),
}

/// The questions whose answers describe the table, each answered by a dump.
pub const DEVICE_QUESTIONS: [u16; 3] = [message::GET_CHAIN, message::GET_SET, message::GET_OBJECT];

/// One of [`DEVICE_QUESTIONS`] as bytes.
pub fn device_question(kind: u16, sequence: u32) -> Vec<u8> {
    let mut w = Writer::default();
    w.message((kind, flag::REQUEST | flag::DUMP, sequence), (NETDEV, 0), |_| {});
    w.bytes
}

impl DeviceTable {
    /// Takes one record of a dump; what is not of our table is passed over.
    ///
    /// # Errors
    /// If the bytes are not what the kernel would send, or too many.
    pub fn absorb(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        if record.family != NETDEV {
            return Ok(());
        }
        if self.chains.len().max(self.sets.len()).max(self.objects.len()) >= LIMIT {
            return Err(Malformed::TooMany);
        }
        match record.kind {
            message::NEW_CHAIN => {
                use attribute::{CHAIN_HOOK, CHAIN_NAME, CHAIN_TABLE};
                let ([table, name, hook], _) =
                    pick(record.attributes, [CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK])?;
                if let Some(name) = ours(table, name)? {
                    self.chains.insert(name, hook.is_some());
                }
            }
            message::NEW_SET => {
                let ([table, name], _) = pick(record.attributes, [1, 2])?;
                self.sets.extend(ours(table, name)?);
            }
            message::NEW_OBJECT => {
                let ([table, name, kind, data], _) = pick(record.attributes, [1, 2, 3, 4])?;
                if let Some(name) = ours(table, name)? {
                    let kind = kind.and_then(be32).ok_or(Malformed::Value)?;
                    self.objects.insert(name, stateful(kind, data.unwrap_or_default())?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What it has counted of a device.
    pub fn count(&self, mac: MacAddr) -> DeviceCount {
        let counter = |name: String| match self.objects.get(&name) {
            Some(Stateful::Counter(traffic)) => *traffic,
            Some(Stateful::Quota { .. } | Stateful::Other(_)) | None => Traffic::default(),
        };
        let exhausted = match self.objects.get(&quota_name(mac)) {
            Some(Stateful::Quota { bytes, consumed }) => (consumed >= bytes).then_some(*bytes),
            Some(Stateful::Counter(_) | Stateful::Other(_)) | None => None,
        };
        DeviceCount { mac, upload: counter(up_name(mac)), download: counter(down_name(mac)), exhausted }
    }

    /// Whether everything that `plan` needs is there by name. What the rules say is taken on trust: nobody else can change
    /// them, but a chain goes with the last interface it stands at.
    pub fn carries(&self, plan: &DevicePlan) -> bool {
        if plan.is_empty() {
            return self.chains.is_empty() && self.sets.is_empty() && self.objects.is_empty();
        }
        HOOKS.iter().all(|(name, _)| self.chains.get(*name) == Some(&true))
            && plan.rules.iter().all(|rule| {
                self.chains.contains_key(&up_name(rule.mac))
                    && self.objects.contains_key(&up_name(rule.mac))
                    && self.objects.contains_key(&down_name(rule.mac))
            })
    }

    /// The transaction after which the table is what `plan` asks for. Counters and quotas that are there and still
    /// wanted go on; others begin at what is in `known`.
    pub fn replaced(&self, plan: &DevicePlan, known: &BTreeMap<MacAddr, DeviceCount>, first: u32) -> Batch {
        let mut build = Build::new(NETDEV, first);
        build.edge(message::BATCH_BEGIN);
        table(&mut build, message::NEW_TABLE);
        if plan.is_empty() {
            table(&mut build, message::DELETE_TABLE);
            return build.finish();
        }
        let objects = wanted(plan, known);
        let kept: BTreeSet<&String> = objects
            .iter()
            .filter(|(name, wanted)| match (wanted, self.objects.get(*name)) {
                (Stateful::Counter(_), Some(Stateful::Counter(_))) => true,
                (Stateful::Quota { bytes, .. }, Some(Stateful::Quota { bytes: there, .. })) => bytes == there,
                (Stateful::Counter(_) | Stateful::Quota { .. } | Stateful::Other(_), _) => false,
            })
            .map(|(name, _)| name)
            .collect();
        self.clear(&mut build, &kept);
        for (name, state) in objects.iter().filter(|(name, _)| !kept.contains(name)) {
            object(&mut build, message::NEW_OBJECT, name, state);
        }
        construct(&mut build, plan);
        build.finish()
    }

    /// Takes away everything but what is kept.
    fn clear(&self, build: &mut Build, kept: &BTreeSet<&String>) {
        let named = |build: &mut Build, kind, name_kind, name: &str, object| {
            build.message(kind, 0, object, |w| {
                w.text(1, TABLE);
                w.text(name_kind, name);
            });
        };
        if !self.chains.is_empty() {
            build.message(message::DELETE_RULE, 0, Object::Devices(String::new()), |w| {
                w.text(attribute::RULE_TABLE, TABLE);
            });
        }
        let chain = |build: &mut Build, name: &String| {
            named(build, message::DELETE_CHAIN, attribute::CHAIN_NAME, name, Object::Devices(name.clone()));
        };
        for (name, _) in self.chains.iter().filter(|(_, base)| **base) {
            chain(build, name);
        }
        // The sets before the chains that they lead to.
        for name in &self.sets {
            named(build, message::DELETE_SET, 2, name, Object::Devices(name.clone()));
        }
        for (name, _) in self.chains.iter().filter(|(_, base)| !**base) {
            chain(build, name);
        }
        for (name, state) in self.objects.iter().filter(|(name, _)| !kept.contains(name)) {
            object(build, message::DELETE_OBJECT, name, state);
        }
    }
}

/// The name, if it is one of our table.
fn ours(table: Option<&[u8]>, name: Option<&[u8]>) -> Result<Option<String>, Malformed> {
    if table.and_then(text_of) != Some(TABLE) {
        return Ok(None);
    }
    name.and_then(text_of).map(|name| Some(name.into())).ok_or(Malformed::Value)
}

fn stateful(kind: u32, data: &[u8]) -> Result<Stateful, Malformed> {
    let number = |value: Option<&[u8]>| value.and_then(as_array).map_or(0, |v| u64::from_be_bytes(*v));
    Ok(match kind {
        COUNTER => {
            let ([bytes, packets], _) = pick(data, [1, 2])?;
            Stateful::Counter(Traffic { packets: number(packets), bytes: number(bytes) })
        }
        QUOTA => {
            let ([bytes, consumed], _) = pick(data, [1, 4])?;
            Stateful::Quota { bytes: number(bytes), consumed: number(consumed) }
        }
        other => Stateful::Other(other),
    })
}

fn name(what: &str, mac: MacAddr) -> String {
    mac.0.iter().fold(format!("{what}-"), |text, byte| format!("{text}{byte:02x}"))
}

fn up_name(mac: MacAddr) -> String {
    name("up", mac)
}

fn down_name(mac: MacAddr) -> String {
    name("down", mac)
}

fn quota_name(mac: MacAddr) -> String {
    name("quota", mac)
}

/// Every object of the plan with the state that it begins with.
fn wanted(plan: &DevicePlan, known: &BTreeMap<MacAddr, DeviceCount>) -> BTreeMap<String, Stateful> {
    let mut objects = BTreeMap::new();
    for DeviceRule { mac, until, .. } in &plan.rules {
        let count = known.get(mac).copied().unwrap_or_else(|| DeviceCount::new(*mac));
        objects.insert(up_name(*mac), Stateful::Counter(count.upload));
        objects.insert(down_name(*mac), Stateful::Counter(count.download));
        if let Some(bytes) = *until {
            // The kernel knows no quota of nothing.
            let bytes = bytes.max(1);
            objects.insert(quota_name(*mac), Stateful::Quota { bytes, consumed: count.total() });
        }
    }
    objects
}

fn table(build: &mut Build, kind: u16) {
    let flags = if kind == message::NEW_TABLE { flag::CREATE } else { 0 };
    build.message(kind, flags, Object::Devices(String::new()), |w| {
        w.text(attribute::TABLE_NAME, TABLE);
        if kind == message::NEW_TABLE {
            w.number(attribute::TABLE_FLAGS, OWNED);
            crate::batch::comment(w, attribute::TABLE_USERDATA, TABLE_COMMENT);
        }
    });
}

fn object(build: &mut Build, kind: u16, name: &str, state: &Stateful) {
    let flags = if kind == message::NEW_OBJECT { flag::CREATE } else { 0 };
    build.message(kind, flags, Object::Devices(name.into()), |w| {
        w.text(1, TABLE);
        w.text(2, name);
        let number = match state {
            Stateful::Counter(_) => COUNTER,
            Stateful::Quota { .. } => QUOTA,
            Stateful::Other(number) => *number,
        };
        w.number(3, number);
        if kind == message::NEW_OBJECT {
            w.nested(4, |w| match state {
                Stateful::Counter(traffic) => {
                    w.attribute(1, &traffic.bytes.to_be_bytes());
                    w.attribute(2, &traffic.packets.to_be_bytes());
                }
                Stateful::Quota { bytes, consumed } => {
                    const OVER: u32 = 1;
                    w.attribute(1, &bytes.to_be_bytes());
                    w.number(2, OVER);
                    w.attribute(4, &consumed.to_be_bytes());
                }
                Stateful::Other(_) => {}
            });
        }
    });
}

/// Chains, sets and rules, behind the objects that they name.
fn construct(build: &mut Build, plan: &DevicePlan) {
    chain(build, VITAL, None, plan);
    for rule in &plan.rules {
        for name in [up_name(rule.mac), down_name(rule.mac)] {
            chain(build, &name, None, plan);
        }
    }
    for (name, hook) in HOOKS {
        chain(build, name, Some(hook), plan);
    }
    let isolated: Vec<MacAddr> =
        plan.rules.iter().filter(|rule| rule.isolated).map(|rule| rule.mac).collect();
    let leads = |name: fn(MacAddr) -> String| {
        plan.rules.iter().map(move |rule| (rule.mac, Some(name(rule.mac)))).collect::<Vec<_>>()
    };
    set(build, (UPLOAD, 1), true, &leads(up_name));
    set(build, (DOWNLOAD, 2), true, &leads(down_name));
    if !isolated.is_empty() {
        let plain = |macs: &mut dyn Iterator<Item = MacAddr>| macs.map(|mac| (mac, None)).collect::<Vec<_>>();
        set(build, (ISOLATED, 3), false, &plain(&mut isolated.iter().copied()));
        rule(build, INGRESS, |w| {
            link_address(w, DESTINATION);
            lookup(w, ISOLATED, Found::Matches);
            counter(w);
            verdict(w, DROP, None);
        });
        rule(build, EGRESS, |w| {
            link_address(w, SOURCE);
            lookup(w, ISOLATED, Found::Matches);
            counter(w);
            verdict(w, DROP, None);
        });
        if !plan.host.is_empty() {
            set(build, (HOST, 4), false, &plain(&mut plan.host.iter().copied()));
            rule(build, EGRESS, |w| {
                link_address(w, DESTINATION);
                lookup(w, ISOLATED, Found::Matches);
                link_address(w, SOURCE);
                lookup(w, HOST, Found::DoesNotMatch);
                counter(w);
                verdict(w, DROP, None);
            });
        }
    }
    for (name, address, map) in [(INGRESS, SOURCE, UPLOAD), (EGRESS, DESTINATION, DOWNLOAD)] {
        rule(build, name, |w| {
            link_address(w, address);
            lookup(w, map, Found::Leads);
        });
    }
    vital(build);
    for device in &plan.rules {
        one_way(build, &up_name(device.mac), device, device.upload_limit);
        one_way(build, &down_name(device.mac), device, device.download_limit);
    }
}

/// The rules of a device in one direction; the chain and the counter have the same name.
fn one_way(build: &mut Build, name: &str, device: &DeviceRule, limit: Option<u64>) {
    if device.blocked {
        return rule(build, name, |w| verdict(w, DROP, None));
    }
    if let Some(rate) = limit {
        rule(build, name, |w| {
            policer(w, rate);
            verdict(w, GOTO, Some(VITAL));
        });
    }
    if device.until.is_some() {
        rule(build, name, |w| {
            object_of(w, QUOTA, &quota_name(device.mac));
            verdict(w, GOTO, Some(VITAL));
        });
    }
    rule(build, name, |w| object_of(w, COUNTER, name));
}

/// What a device needs to stay attached passes when it is over its limit or quota.
fn vital(build: &mut Build) {
    const ARP: u16 = 0x0806;
    const EAPOL: u16 = 0x888e;
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    const UDP: u8 = 17;
    const ICMPV6: u8 = 58;
    for protocol in [ARP, EAPOL] {
        rule(build, VITAL, |w| {
            network_protocol(w, protocol);
            verdict(w, ACCEPT, None);
        });
    }
    // Ports 67 and 68; router and neighbour solicitations and advertisements (RFC 4861 §4).
    for (network, transport, offset, from, to) in
        [(IPV4, UDP, 2, &[0, 67][..], &[0, 68][..]), (IPV6, ICMPV6, 0, &[133], &[136])]
    {
        rule(build, VITAL, |w| {
            network_protocol(w, network);
            meta(w, 16);
            compare(w, EQUAL, &[transport]);
            payload(w, 2, offset, from.len() as u32);
            compare(w, AT_LEAST, from);
            compare(w, AT_MOST, to);
            verdict(w, ACCEPT, None);
        });
    }
    rule(build, VITAL, |w| {
        counter(w);
        verdict(w, DROP, None);
    });
}

// --- objects of a transaction -----------------------------------------------------------------------

fn chain(build: &mut Build, name: &str, hook: Option<u32>, plan: &DevicePlan) {
    build.message(message::NEW_CHAIN, flag::CREATE, Object::Devices(name.into()), |w| {
        const DEVICES: u16 = 4;
        const DEVICE_NAME: u16 = 1;
        w.text(attribute::CHAIN_TABLE, TABLE);
        w.text(attribute::CHAIN_NAME, name);
        let Some(hook) = hook else { return };
        w.nested(attribute::CHAIN_HOOK, |w| {
            w.number(attribute::HOOK_NUMBER, hook);
            w.attribute(attribute::HOOK_PRIORITY, &PRIORITY.to_be_bytes());
            w.nested(DEVICES, |w| {
                for port in &plan.ports {
                    w.text(DEVICE_NAME, port.name.as_str());
                }
            });
        });
        w.number(attribute::CHAIN_POLICY, ACCEPT.unsigned_abs());
        w.text(attribute::CHAIN_TYPE, "filter");
    });
}

/// A set of addresses, or a map from them to chains.
fn set(build: &mut Build, (name, id): (&str, u32), map: bool, elements: &[(MacAddr, Option<String>)]) {
    build.message(message::NEW_SET, flag::CREATE, Object::Devices(name.into()), |w| {
        /// `NFT_SET_MAP`.
        const MAP: u32 = 8;
        /// What the `nft` program calls `ether_addr`.
        const ETHER_ADDRESS: u32 = 9;
        /// `NFT_DATA_VERDICT`.
        const VERDICTS: u32 = 0xffff_ff00;
        w.text(1, TABLE);
        w.text(2, name);
        w.number(3, if map { MAP } else { 0 });
        w.number(4, ETHER_ADDRESS);
        w.number(5, 6);
        if map {
            w.number(6, VERDICTS);
            w.number(7, 0);
        }
        w.number(10, id);
    });
    build.message(message::NEW_ELEMENTS, flag::CREATE, Object::Devices(name.into()), |w| {
        w.text(1, TABLE);
        w.text(2, name);
        w.nested(3, |w| {
            for (mac, leads) in elements {
                w.nested(attribute::LIST_ELEMENT, |w| {
                    w.nested(1, |w| w.attribute(1, &mac.0));
                    if let Some(chain) = leads {
                        w.nested(2, |w| {
                            w.nested(2, |w| {
                                w.attribute(1, &GOTO.to_be_bytes());
                                w.text(2, chain);
                            });
                        });
                    }
                });
            }
        });
    });
}

fn rule(build: &mut Build, chain: &str, expressions: impl FnOnce(&mut Writer)) {
    build.message(message::NEW_RULE, flag::CREATE | flag::APPEND, Object::Devices(chain.into()), |w| {
        w.text(attribute::RULE_TABLE, TABLE);
        w.text(attribute::RULE_CHAIN, chain);
        w.nested(attribute::RULE_EXPRESSIONS, expressions);
    });
}

// --- expressions ------------------------------------------------------------------------------------

/// What finding an address in a set does.
#[derive(Clone, Copy)]
enum Found {
    Matches,
    DoesNotMatch,
    /// Goes to the chain that the map has.
    Leads,
}

/// `NFT_CMP_EQ`, `NFT_CMP_LTE`, `NFT_CMP_GTE`.
const EQUAL: u32 = 0;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

fn meta(w: &mut Writer, key: u32) {
    element(w, "meta", |w| {
        w.number(2, key);
        w.number(1, REGISTER);
    });
}

fn compare(w: &mut Writer, op: u32, value: &[u8]) {
    element(w, "cmp", |w| {
        w.number(1, REGISTER);
        w.number(2, op);
        w.nested(3, |w| w.attribute(1, value));
    });
}

fn network_protocol(w: &mut Writer, number: u16) {
    const PROTOCOL: u32 = 1;
    meta(w, PROTOCOL);
    compare(w, EQUAL, &number.to_be_bytes());
}

fn payload(w: &mut Writer, base: u32, offset: u32, length: u32) {
    element(w, "payload", |w| {
        w.number(1, REGISTER);
        w.number(2, base);
        w.number(3, offset);
        w.number(4, length);
    });
}

/// Loads an address of the link header.
fn link_address(w: &mut Writer, offset: u32) {
    const LINK_HEADER: u32 = 0;
    payload(w, LINK_HEADER, offset, 6);
}

fn lookup(w: &mut Writer, set: &str, found: Found) {
    element(w, "lookup", |w| {
        const INVERTED: u32 = 1;
        w.text(1, set);
        w.number(2, REGISTER);
        match found {
            Found::Matches => {}
            Found::DoesNotMatch => w.number(5, INVERTED),
            Found::Leads => w.number(3, VERDICT),
        }
    });
}

fn counter(w: &mut Writer) {
    element(w, "counter", |_| {});
}

/// Goes on when more than `rate` bytes a second come. What was not used is kept for half a second.
fn policer(w: &mut Writer, rate: u64) {
    element(w, "limit", |w| {
        const BYTES: u32 = 1;
        const OVER: u32 = 1;
        let burst = u32::try_from((rate / 2).max(LEAST_BURST)).unwrap_or(u32::MAX);
        w.attribute(1, &rate.to_be_bytes());
        w.attribute(2, &1_u64.to_be_bytes());
        w.number(3, burst);
        w.number(4, BYTES);
        w.number(5, OVER);
    });
}

fn object_of(w: &mut Writer, kind: u32, name: &str) {
    element(w, "objref", |w| {
        w.number(1, kind);
        w.text(2, name);
    });
}

fn verdict(w: &mut Writer, code: i32, chain: Option<&str>) {
    element(w, "immediate", |w| {
        w.number(1, VERDICT);
        w.nested(2, |w| {
            w.nested(2, |w| {
                w.attribute(1, &code.to_be_bytes());
                if let Some(chain) = chain {
                    w.text(2, chain);
                }
            });
        });
    });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use alloc::vec;

    use hn_types::{
        device::DevicePort,
        plan::{FirewallPlan, FirewallSegment, Reach},
    };

    use super::*;
    use crate::{Ruleset, wire::replies};

    fn mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n])
    }

    fn rule_of(n: u8) -> DeviceRule {
        DeviceRule {
            mac: mac(n),
            blocked: false,
            isolated: false,
            upload_limit: None,
            download_limit: None,
            until: None,
        }
    }

    fn plan(rules: Vec<DeviceRule>) -> DevicePlan {
        let ports = vec![DevicePort { name: "lan0".parse().unwrap(), index: 3 }];
        DevicePlan { ports, host: BTreeSet::new(), rules }
    }

    /// What a transaction does, each as `kind name`.
    fn told(batch: &Batch) -> Vec<(u16, String)> {
        let mut rest = batch.bytes();
        let mut told = Vec::new();
        while let Some(head) = rest.first_chunk::<6>() {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let sequence = u32::from_ne_bytes(rest[8..12].try_into().unwrap());
            let name = match batch.object(sequence).unwrap() {
                Object::Devices(name) => name.clone(),
                Object::Transaction | Object::Table | Object::Chain(_) | Object::Rule(..) => String::new(),
            };
            told.push((u16::from_ne_bytes([head[4], head[5]]), name));
            rest = &rest[length..];
        }
        told
    }

    fn counter_record(name: &str, traffic: Traffic) -> Vec<u8> {
        let mut w = Writer::default();
        w.message((message::NEW_OBJECT, 0, 1), (NETDEV, 0), |w| {
            w.text(1, TABLE);
            w.text(2, name);
            w.number(3, COUNTER);
            w.nested(4, |w| {
                w.attribute(1, &traffic.bytes.to_be_bytes());
                w.attribute(2, &traffic.packets.to_be_bytes());
            });
        });
        w.bytes
    }

    fn absorbed(records: &[Vec<u8>]) -> DeviceTable {
        let mut table = DeviceTable::default();
        for record in records {
            for reply in replies(record) {
                if let crate::wire::Content::Record(record) = reply.unwrap().content {
                    table.absorb(record).unwrap();
                }
            }
        }
        table
    }

    #[test]
    fn without_a_decision_there_is_no_table_and_the_rules_of_everybody_stay_as_they_are() {
        let there = DeviceTable::default();
        assert!(there.carries(&plan(vec![])));
        let told = told(&there.replaced(&plan(vec![]), &BTreeMap::new(), 1));
        let kinds: Vec<u16> = told.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds,
            [message::BATCH_BEGIN, message::NEW_TABLE, message::DELETE_TABLE, message::BATCH_END]
        );
        let segment = FirewallSegment {
            interface: "lan0".parse().unwrap(),
            subnet: Some("192.168.137.1/24".parse().unwrap()),
            reach: Reach::Public("wan0".parse().unwrap()),
            ipv6: None,
        };
        let plain = FirewallPlan { segments: vec![segment], ..FirewallPlan::default() };
        let decided = FirewallPlan { devices: plan(vec![rule_of(1)]), ..plain.clone() };
        assert_eq!(Ruleset::of(&plain, |_| Some(3)), Ruleset::of(&decided, |_| Some(3)));
    }

    #[test]
    fn a_change_keeps_the_counters_and_makes_those_that_are_missing_go_on_where_they_were() {
        let traffic = Traffic { packets: 7, bytes: 700 };
        let there = absorbed(&[
            counter_record("up-020000000001", traffic),
            counter_record("down-020000000001", traffic),
            counter_record("up-020000000009", traffic),
        ]);
        assert_eq!(there.count(mac(1)).total(), 1400);
        let known = BTreeMap::from([(mac(2), DeviceCount { upload: traffic, ..DeviceCount::new(mac(2)) })]);
        let batch = there.replaced(&plan(vec![rule_of(1), rule_of(2)]), &known, 1);
        let objects: Vec<_> = told(&batch)
            .into_iter()
            .filter(|(kind, _)| matches!(*kind, message::NEW_OBJECT | message::DELETE_OBJECT))
            .collect();
        let name = |text: &str| String::from(text);
        assert_eq!(
            objects,
            [
                (message::DELETE_OBJECT, name("up-020000000009")),
                (message::NEW_OBJECT, name("down-020000000002")),
                (message::NEW_OBJECT, name("up-020000000002")),
            ]
        );
        let begun = batch.bytes().windows(8).any(|bytes| bytes == 700_u64.to_be_bytes());
        assert!(begun, "the counter that is made begins at what was known");
    }

    #[test]
    fn a_frame_of_a_device_without_limit_and_quota_meets_the_map_and_its_counter_only() {
        let table = DeviceTable::default();
        let rules = |batch: &Batch| {
            let told = told(batch).into_iter().filter(|(kind, _)| *kind == message::NEW_RULE);
            let mut count = BTreeMap::new();
            told.for_each(|(_, chain)| *count.entry(chain).or_insert(0) += 1);
            count
        };
        let plain = rules(&table.replaced(&plan(vec![rule_of(1)]), &BTreeMap::new(), 1));
        assert_eq!((plain["ingress"], plain["egress"], plain["up-020000000001"]), (1, 1, 1));
        let full =
            DeviceRule { isolated: true, upload_limit: Some(10_000), until: Some(5_000), ..rule_of(1) };
        let full = rules(&table.replaced(&plan(vec![full]), &BTreeMap::new(), 1));
        assert_eq!((full["ingress"], full["egress"]), (2, 2));
        assert_eq!((full["up-020000000001"], full["down-020000000001"]), (3, 2));
    }

    #[test]
    fn what_is_missing_of_the_table_is_noticed() {
        let wanted = plan(vec![rule_of(1)]);
        let counters =
            ["up-020000000001", "down-020000000001"].map(|name| counter_record(name, Traffic::default()));
        assert!(!absorbed(&counters).carries(&wanted), "counters alone count nothing");
        assert!(!absorbed(&counters).carries(&plan(vec![])), "and are too much when nothing is wanted");
    }
}
