//! Random histories against a small model of what was promised to whom.
//!
//! Always: an address is never acknowledged to two identities at once; nothing is acknowledged before its
//! record is on disk; after a crash nothing that was acknowledged is forgotten. The disk may fail, answer
//! late, and keep records it claimed to have lost.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use hn_dhcp4::{Config, Probing, RawConfig, RecordState, Reservation, ReservedFor};
use hn_types::{MacAddr, Monotonic};
use proptest::prelude::*;

use crate::lab::*;

const CLIENTS: usize = 7;
const ADDRESSES: u8 = 4;

#[derive(Clone, Debug)]
enum Op {
    Discover(usize),
    Rapid(usize),
    Select(usize),
    SelectAny(usize, u8),
    Reboot(usize, u8),
    Renew(usize, u8),
    Decline(usize, u8),
    Release(usize, u8),
    Arp(usize, u8),
    Pass(u16),
    Stored(usize),
    Failed(usize, bool),
    Crash(usize),
    Reconfigure(bool, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    let last = 10..10 + ADDRESSES;
    prop_oneof![
        6 => client.clone().prop_map(Op::Discover),
        1 => client.clone().prop_map(Op::Rapid),
        8 => client.clone().prop_map(Op::Select),
        1 => (client.clone(), last.clone()).prop_map(|(c, a)| Op::SelectAny(c, a)),
        2 => (client.clone(), last.clone()).prop_map(|(c, a)| Op::Reboot(c, a)),
        3 => (client.clone(), last.clone()).prop_map(|(c, a)| Op::Renew(c, a)),
        1 => (client.clone(), last.clone()).prop_map(|(c, a)| Op::Decline(c, a)),
        2 => (client.clone(), last.clone()).prop_map(|(c, a)| Op::Release(c, a)),
        1 => (0..CLIENTS + 1, last).prop_map(|(c, a)| Op::Arp(c, a)),
        4 => prop_oneof![Just(300_u16), 1_u16..2_000, 2_000_u16..60_000].prop_map(Op::Pass),
        6 => (0_usize..4).prop_map(Op::Stored),
        1 => (0_usize..4, any::<bool>()).prop_map(|(n, kept)| Op::Failed(n, kept)),
        1 => (0_usize..4).prop_map(Op::Crash),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(p, r)| Op::Reconfigure(p, r)),
    ]
}

fn client(number: usize) -> Client {
    // Two identities on one card, one identity on two cards, one without identifier.
    match number {
        0 => Client::new(1),
        1 => Client::new(1).with_id(b"\xffone"),
        2 => Client::new(2).with_id(b"\xfftwo"),
        3 => Client::new(3).with_id(b"\xfftwo"),
        4 => Client::new(4).with_id(&[4; 100]).with_name("four"),
        n => Client::new(n as u32),
    }
}

/// Clients that are one client to the server.
fn identity(number: usize) -> usize {
    if number == 3 { 2 } else { number }
}

fn raw(probing: bool, reserved: bool) -> RawConfig {
    let reservation = Reservation { client: ReservedFor::Mac(Client::new(5).mac), address: ip(11) };
    RawConfig {
        lease: Duration::from_secs(100),
        probing: if probing { Probing::On } else { Probing::Off },
        reservations: if reserved { vec![reservation] } else { vec![] },
        ..small(ADDRESSES)
    }
}

#[derive(Debug)]
struct Promise {
    who: usize,
    until: Monotonic,
}

struct Model {
    lab: Lab,
    raw: RawConfig,
    /// When each message was sent, by transaction.
    asked: BTreeMap<u32, Monotonic>,
    xid: u32,
    offered: BTreeMap<usize, Ipv4Addr>,
    promised: BTreeMap<Ipv4Addr, Promise>,
}

impl Model {
    fn new(raw: RawConfig) -> Self {
        let mut lab = Lab::new(raw.clone());
        lab.disk = Disk::Manual;
        Self { lab, raw, asked: BTreeMap::new(), xid: 0, offered: BTreeMap::new(), promised: BTreeMap::new() }
    }

    fn who(reply: &Reply) -> usize {
        let id = match reply.option(OptionCode::ClientIdentifier) {
            Some(DhcpOption::ClientIdentifier(id)) => Some(id.clone()),
            _ => None,
        };
        let mac = &reply.message.chaddr()[..6];
        (0..CLIENTS).find(|&n| client(n).id == id && client(n).mac.0 == mac).unwrap()
    }

    fn observe(&mut self, outs: Vec<Out>) {
        let now = self.lab.now.mono;
        for out in outs {
            let Out::Reply(reply) = out else { continue };
            let who = Self::who(&reply);
            let address = reply.address();
            let held = self.promised.get(&address).filter(|p| p.until > now && p.who != identity(who));
            if reply.kind() == MessageType::Nak {
                continue;
            }
            assert!(held.is_none(), "{address} given to {who}: {held:?}");
            if reply.kind() == MessageType::Offer {
                self.offered.insert(who, address);
                continue;
            }
            assert_eq!(reply.kind(), MessageType::Ack);
            let Some(&DhcpOption::AddressLeaseTime(term)) = reply.option(OptionCode::AddressLeaseTime) else {
                panic!("no lease time")
            };
            let until = self.asked[&reply.message.xid()] + Duration::from_secs(u64::from(term));
            let record = self.lab.stored.iter().rev().find(|record| record.address == address);
            let record = record.expect("acknowledged without a record");
            assert_eq!(record.state, RecordState::Bound, "the last record of {address}");
            let covered = record.expires.since(self.lab.now.wall);
            assert!(covered >= until.since(now), "{covered:?} on disk, {:?} promised", until.since(now));
            self.promised.insert(address, Promise { who: identity(who), until });
        }
    }

    /// The client, about to send a new transaction. If a reservation says that its address is no longer its
    /// own, that ends its lease: whoever asks anew doesn't use it.
    fn client(&mut self, number: usize) -> Client {
        if !self.raw.reservations.is_empty() {
            let moves = |address: Ipv4Addr| (address == ip(11)) != (number == 5);
            self.promised.retain(|&address, promise| promise.who != identity(number) || !moves(address));
        }
        self.xid += 1;
        self.asked.insert(self.xid, self.lab.now.mono);
        Client { xid: self.xid, ..client(number) }
    }

    fn send(&mut self, frame: &[u8]) {
        let outs = self.lab.send(frame);
        self.observe(outs);
    }

    fn leaves(&mut self, who: usize, address: Ipv4Addr) {
        if self.promised.get(&address).is_some_and(|p| p.who == identity(who)) {
            self.promised.remove(&address);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Discover(c) => {
                let c = self.client(c);
                self.send(&c.discover())
            }
            Op::Rapid(c) => {
                let c = self.client(c);
                self.send(&c.with_option(DhcpOption::RapidCommit).discover())
            }
            Op::Select(c) => {
                if let Some(&address) = self.offered.get(&c) {
                    {
                        let c = self.client(c);
                        self.send(&c.select(address))
                    };
                }
            }
            Op::SelectAny(c, a) => {
                let c = self.client(c);
                self.send(&c.select(ip(a)))
            }
            Op::Reboot(c, a) => {
                let c = self.client(c);
                self.send(&c.reboot(ip(a)))
            }
            Op::Renew(c, a) => {
                let c = self.client(c);
                self.send(&c.renew(ip(a)))
            }
            Op::Decline(c, a) => {
                self.leaves(c, ip(a));
                {
                    let c = self.client(c);
                    self.send(&c.decline(ip(a)))
                };
            }
            Op::Release(c, a) => {
                self.leaves(c, ip(a));
                {
                    let c = self.client(c);
                    self.send(&c.release(ip(a)))
                };
            }
            Op::Arp(c, a) => {
                let mac = if c < CLIENTS { client(c).mac } else { MacAddr([0x0a, 9, 9, 9, 9, 9]) };
                let outs = self.lab.send(&arp(mac, ip(a), SERVER));
                self.observe(outs);
            }
            Op::Pass(millis) => {
                let outs = self.lab.pass(Duration::from_millis(u64::from(millis)));
                self.observe(outs);
            }
            Op::Stored(n) => {
                if let Some(&(commit, _)) = self.lab.outstanding.get(n) {
                    self.lab.outs.clear();
                    self.lab.stored(commit);
                    self.lab.drain();
                    let outs = std::mem::take(&mut self.lab.outs);
                    self.observe(outs);
                }
            }
            Op::Failed(n, kept) => {
                if let Some(&(commit, _)) = self.lab.outstanding.get(n) {
                    if kept {
                        let kept = self.lab.outstanding.iter().take(n + 1).map(|(_, record)| *record);
                        self.lab.stored.extend(kept);
                    }
                    self.lab.outs.clear();
                    self.lab.failed(commit);
                    self.lab.drain();
                    let outs = std::mem::take(&mut self.lab.outs);
                    self.observe(outs);
                }
            }
            Op::Crash(n) => {
                let reached = self.lab.outstanding.iter().take(n).map(|(_, record)| *record);
                self.lab.stored.extend(reached);
                self.lab = self.lab.restart(self.raw.clone());
                self.lab.disk = Disk::Manual;
                let now = self.lab.now.mono;
                for (address, promise) in self.promised.iter().filter(|(_, promise)| promise.until > now) {
                    let lease = self.lab.lease(*address).unwrap_or_else(|| panic!("{address} was forgotten"));
                    assert!(lease.expires.since(self.lab.now.wall) >= promise.until.since(now));
                }
            }
            Op::Reconfigure(probing, reserved) => {
                self.raw = raw(probing, reserved);
                self.lab.server.reconfigure(Config::new(self.raw.clone()).unwrap(), self.lab.now);
                self.lab.outs.clear();
                self.lab.drain();
                let outs = std::mem::take(&mut self.lab.outs);
                self.observe(outs);
            }
        }
        // One lease for each address, and only of this server's addresses.
        let mut last = None;
        for lease in self.lab.server.leases() {
            assert!(last < Some(lease.address));
            last = Some(lease.address);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_are_exclusive_durable_and_remembered(
        probing in any::<bool>(),
        reserved in any::<bool>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut model = Model::new(raw(probing, reserved));
        for op in &ops {
            model.apply(op);
        }
        // However it went: with a disk that works, the server still serves.
        model.lab.disk = Disk::Good;
        model.lab.drain();
        model.lab.pass(Duration::from_secs(2_000));
        let served = (100..104).any(|n| {
            let mut outs = model.lab.send(&Client::new(n).discover());
            outs.extend(model.lab.pass(Duration::from_millis(500)));
            !replies(&outs).is_empty()
        });
        prop_assert!(served);
    }
}

/// Found by the test above: a client with a lease that asked for an address it had given back got both, and
/// lost the one it used to the next comer.
#[test]
fn a_client_with_a_lease_does_not_get_the_address_it_gave_back() {
    use Op::{Arp, Crash, Discover, Pass, Rapid, Release, Renew, Select, SelectAny, Stored};
    let ops = [
        Renew(4, 10),
        Arp(0, 11),
        Release(4, 10),
        Discover(0),
        Rapid(0),
        Pass(300),
        SelectAny(4, 10),
        Stored(2),
        Crash(0),
        Rapid(2),
        Pass(300),
        Stored(0),
        Discover(2),
        Discover(0),
        Pass(300),
        Select(0),
        Select(0),
        Renew(4, 11),
        Stored(0),
        Arp(0, 10),
        SelectAny(4, 10),
        Discover(0),
        Discover(0),
        Discover(5),
    ];
    let mut model = Model::new(raw(true, false));
    for op in &ops {
        model.apply(op);
    }
}
