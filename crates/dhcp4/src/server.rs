//! The engine's face: inputs, the one output queue, time, records.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};
use core::net::Ipv4Addr;

use hn_types::{MacAddr, Monotonic, Now, Wall};

use crate::{
    commit::{Commits, Purpose},
    config::{Config, Probing},
    counters::{Counters, DropReason},
    event::{CommitId, Event, LeaseView, Output},
    frame::{self, Packet},
    hash::HashKey,
    lease::{LeaseTable, Seconds, Snapshot, State},
    probe::Probes,
    record::{LeaseRecord, RecordState},
    reply::Template,
};

/// Room one input may need in the output queue.
const HEADROOM: usize = 16;

#[derive(Debug)]
enum Item {
    Frame(Vec<u8>),
    Persist { commit: CommitId, record: LeaseRecord },
    Event(Event),
}

/// The DHCPv4 server of one private interface. See the crate's documentation.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) template: Template,
    pub(crate) table: LeaseTable,
    pub(crate) probes: Probes,
    pub(crate) commits: Commits,
    pub(crate) counters: Counters,
    pub(crate) now: Now,
    pub(crate) key: HashKey,
    /// Random places drawn so far.
    pub(crate) draws: u64,
    /// The pool was found exhausted and that was said.
    pub(crate) exhausted: bool,
    persist_failing: bool,
    /// Start of the current window for conflict events and how many were said in it.
    pub(crate) conflicts_said: (Seconds, u32),
    outputs: VecDeque<Item>,
    /// The frame that `poll_output` lent last.
    lent: Vec<u8>,
    /// Frame buffers to be used again.
    buffers: Vec<Vec<u8>>,
}

impl Server {
    /// A server without leases. `seed` decides where clients' addresses are looked for and keys the hash
    /// tables; it should be secret and the same after a restart.
    pub fn new(config: Config, seed: u64, now: Now) -> Self {
        let key = HashKey::from_seed(seed);
        let limits = config.raw().limits;
        Self {
            template: Template::new(&config),
            table: LeaseTable::new(&config, key),
            probes: Probes::default(),
            commits: Commits::new(limits.commits),
            counters: Counters::default(),
            now,
            key,
            draws: 0,
            exhausted: false,
            persist_failing: false,
            conflicts_said: (Seconds(0), 0),
            outputs: VecDeque::with_capacity(limits.outputs.min(256)),
            lent: Vec::new(),
            buffers: Vec::new(),
            config,
        }
    }

    /// Takes up a record from disk. Call it for each in the order they were written, after [`Server::new`]
    /// and before anything else. A record of a foreign address is ignored and counted.
    pub fn restore(&mut self, record: &LeaseRecord) {
        let slot = self.table.slot(record.address).filter(|&slot| self.table.pending(slot) == 0);
        let Some(slot) = slot else {
            self.counters.restore_ignored += 1;
            return;
        };
        let waiting = self.probes.cancel(slot);
        self.recycle_frame(waiting);
        let now = self.now_secs();
        let left = u32::try_from(record.expires.since(self.now.wall).as_secs()).unwrap_or(u32::MAX);
        let left = left.min(record.remaining);
        let ago = u32::try_from(self.now.wall.since(record.expires).as_secs()).unwrap_or(u32::MAX);
        let (state, expires) = match record.state {
            RecordState::Bound if left > 0 => (State::Bound, now.plus(left)),
            RecordState::Declined if left > 0 => {
                (State::Declined, now.plus(left.min(self.quarantine_secs())))
            }
            RecordState::Declined => (State::Free, Seconds(0)),
            RecordState::Bound | RecordState::Expired => (State::Expired, now.minus(ago)),
            RecordState::Released => (State::Released, now.minus(ago)),
        };
        let identity = record.identity();
        if let Some(other) = self.table.find(&identity)
            && other != slot
        {
            // The client moved. Its current lease is what it is found by.
            if state != State::Bound && self.table.state(other) == State::Bound {
                self.counters.restore_ignored += 1;
                return;
            }
            if matches!(state, State::Bound | State::Released | State::Expired) {
                self.table.unindex(other);
            }
        }
        let remembered = matches!(state, State::Bound | State::Released | State::Expired);
        let was = Snapshot {
            state,
            expires,
            mac: record.mac,
            identity: remembered.then_some(identity),
            name: record.hostname,
            had_lease: false,
        };
        self.table.reinstate(slot, &was);
        if state == State::Declined {
            self.bound_resting();
        }
        self.counters.restored += 1;
    }

    /// Changes the configuration. Leases whose address is still this server's are kept; clients of other
    /// addresses are refused when they renew, so that they ask for a new one. Offers, probes and
    /// unacknowledged leases are dropped without a word: their clients ask again. Read [`Server::leases`]
    /// afterwards; leases that went leave no events.
    pub fn reconfigure(&mut self, config: Config, now: Now) {
        self.advance(now);
        while let Some(probe) = self.probes.pop_due(Monotonic::from_nanos(u64::MAX)) {
            self.recycle_frame(probe.frame);
        }
        self.roll_back(CommitId(u64::MAX));
        while let Some(pending) = self.commits.pop_settled() {
            self.recycle(pending.purpose);
        }
        let mut table = LeaseTable::new(&config, self.key);
        for slot in 0..self.table.slots() {
            let keep = match self.table.state(slot) {
                State::Bound | State::Released | State::Expired | State::Declined => true,
                State::Free | State::Probing | State::Ready | State::Offered => false,
            };
            if let Some(to) = table.slot(self.table.address(slot)).filter(|_| keep) {
                table.reinstate(to, &self.table.snapshot(slot));
            }
        }
        self.table = table;
        self.probes = Probes::default();
        self.template = Template::new(&config);
        self.config = config;
        self.bound_resting();
        self.refill();
    }

    /// Tells clients another MTU (option 26) from here on. Leases and offers stay. A value below 68, which the
    /// option cannot have (RFC 2132 §5.1), is not told.
    pub fn set_mtu(&mut self, mtu: Option<u16>) {
        self.config.set_mtu(mtu);
        self.template = Template::new(&self.config);
    }

    /// From here on these get no answer, and others do. Leases and offers stay.
    pub fn deny(&mut self, denied: BTreeSet<MacAddr>) {
        self.config.set_denied(denied);
    }

    /// The current configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Totals since the server was made.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    // --- inputs ---------------------------------------------------------------------------------

    /// A frame was received on the private interface.
    pub fn handle_frame(&mut self, frame: &[u8], now: Now) {
        self.advance(now);
        self.expire_leases();
        if !self.has_room() {
            self.counters.drop(DropReason::OutputBacklog);
            return;
        }
        match frame::parse(frame, &self.config) {
            Ok(Packet::Dhcp { source, message }) => self.handle_message(frame, source, message),
            Ok(Packet::Arp { sender, address, target }) => self.handle_arp(sender, address, target),
            Err(reason) => self.counters.drop(reason),
        }
        self.refill();
    }

    /// The time that [`Server::poll_timeout`] named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.expire_leases();
        let now = self.now_secs();
        while let Some(slot) = self.table.oldest_offer().filter(|&slot| self.table.expires(slot) <= now) {
            self.table.withdraw(slot, now);
        }
        while let Some(slot) = self.table.oldest_resting().filter(|&slot| self.table.expires(slot) <= now) {
            self.table.set_state(slot, State::Free, Seconds(0));
        }
        while self.has_room()
            && let Some(probe) = self.probes.pop_due(self.now.mono)
        {
            self.probe_was_silent(probe);
        }
        while self.has_room()
            && let Some(slot) = self.stale_reserve()
        {
            self.probe_again(slot);
        }
        self.refill();
    }

    /// Everything up to `commit` is on disk.
    pub fn handle_persisted(&mut self, commit: CommitId) {
        while let Some(pending) = self.commits.settle_next(commit) {
            let slot = pending.slot;
            self.table.settle_pending(slot);
            if matches!(pending.purpose, Purpose::Bind { .. }) {
                self.table.set_uncommitted(slot, false);
            }
            if core::mem::take(&mut self.persist_failing) {
                self.push_event(Event::PersistRecovered);
            }
        }
    }

    /// Nothing outstanding up to `commit` could be stored. Leases that wait for it are rolled back and not
    /// acknowledged; their clients ask again.
    pub fn handle_persist_failed(&mut self, commit: CommitId) {
        let failures = self.roll_back(commit);
        self.counters.persist_failures += failures;
        if failures > 0 && !core::mem::replace(&mut self.persist_failing, true) {
            self.push_event(Event::PersistFailed);
        }
    }

    // --- outputs --------------------------------------------------------------------------------

    /// The next output. Call it until it returns `None` before waiting.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        loop {
            match self.outputs.pop_front() {
                Some(Item::Frame(frame)) => {
                    let previous = core::mem::replace(&mut self.lent, frame);
                    self.recycle_frame(Some(previous));
                    return Some(Output::Transmit(&self.lent));
                }
                Some(Item::Persist { commit, record }) => return Some(Output::Persist { commit, record }),
                Some(Item::Event(event)) => return Some(Output::Event(event)),
                None => self.release_settled()?,
            }
        }
    }

    /// When [`Server::handle_timeout`] wants to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        let at = |slot: Option<u32>| slot.map(|slot| self.table.expires(slot).to_monotonic());
        let candidates = [
            (self.table.next_expiry().map(Seconds::to_monotonic), "lease"),
            (at(self.table.oldest_offer()), "offer"),
            (at(self.table.oldest_resting()), "quarantine"),
            (self.probes.next_deadline(), "probe"),
            (self.reserve_deadline(), "reserve"),
        ];
        candidates.into_iter().filter_map(|(time, why)| Some((time?, why))).min_by_key(|&(time, _)| time)
    }

    /// The current leases in the order of their addresses: acknowledged or about to be renewed.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + '_ {
        (0..self.table.slots()).filter(|&slot| self.is_leased(slot)).map(|slot| self.view(slot))
    }

    /// The current lease of `address`.
    pub fn lease(&self, address: Ipv4Addr) -> Option<LeaseView> {
        self.table.slot(address).filter(|&slot| self.is_leased(slot)).map(|slot| self.view(slot))
    }

    /// Everything worth remembering, one record for each address: what a compacted journal consists of.
    pub fn records(&self) -> impl Iterator<Item = LeaseRecord> + '_ {
        (0..self.table.slots()).filter_map(|slot| {
            let state = match self.table.state(slot) {
                State::Bound => RecordState::Bound,
                State::Released => RecordState::Released,
                State::Expired => RecordState::Expired,
                State::Declined => RecordState::Declined,
                State::Free | State::Probing | State::Ready | State::Offered => return None,
            };
            Some(self.record(slot, state))
        })
    }

    // --- inside ---------------------------------------------------------------------------------

    pub(crate) fn now_secs(&self) -> Seconds {
        Seconds::at(self.now.mono)
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.config.raw().probing == Probing::On
    }

    pub(crate) fn quarantine_secs(&self) -> u32 {
        self.config.raw().timing.quarantine.as_secs() as u32
    }

    /// Whether another input may be handled.
    pub(crate) fn has_room(&self) -> bool {
        self.outputs.len() + HEADROOM <= self.config.raw().limits.outputs
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        self.outputs.push_back(Item::Event(event));
    }

    pub(crate) fn push_frame(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(Item::Frame(frame));
    }

    /// Hands the present content of `slot` out to be stored.
    pub(crate) fn persist(&mut self, slot: u32, state: RecordState, purpose: Purpose) {
        let record = self.record(slot, state);
        let commit = self.commits.push(slot, purpose);
        self.table.add_pending(slot);
        self.outputs.push_back(Item::Persist { commit, record });
    }

    /// Whether `slot` may have one more record outstanding.
    pub(crate) fn can_persist(&self, slot: u32) -> bool {
        self.commits.len() < self.config.raw().limits.commits && self.table.pending(slot) < u8::MAX
    }

    /// An empty frame buffer.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(600))
    }

    pub(crate) fn recycle_frame(&mut self, frame: Option<Vec<u8>>) {
        if let Some(mut frame) = frame.filter(|frame| frame.capacity() > 0) {
            frame.clear();
            if self.buffers.len() < self.config.raw().limits.outputs {
                self.buffers.push(frame);
            }
        }
    }

    fn recycle(&mut self, purpose: Purpose) {
        if let Purpose::Bind { ack, .. } = purpose {
            self.recycle_frame(ack);
        }
    }

    pub(crate) fn wall(&self, time: Seconds) -> Wall {
        let now = self.now_secs();
        let wall = self.now.wall.as_unix() + u64::from(time.since(now));
        Wall::from_unix(wall.saturating_sub(u64::from(now.since(time))))
    }

    pub(crate) fn view(&self, slot: u32) -> LeaseView {
        LeaseView {
            address: self.table.address(slot),
            mac: self.table.mac(slot),
            client_id: self.table.client_id(slot),
            hostname: self.table.name(slot),
            expires: self.wall(self.table.expires(slot)),
        }
    }

    fn is_leased(&self, slot: u32) -> bool {
        self.table.state(slot) == State::Bound && !self.table.is_uncommitted(slot)
    }

    fn record(&self, slot: u32, state: RecordState) -> LeaseRecord {
        let LeaseView { address, mac, client_id, hostname, expires } = self.view(slot);
        let remaining = self.table.expires(slot).since(self.now_secs());
        LeaseRecord { state, address, mac, client_id, hostname, expires, remaining }
    }

    /// Takes the time; it never goes back.
    fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    fn expire_leases(&mut self) {
        let now = self.now_secs();
        while self.has_room()
            && let Some(slot) = self.table.pop_expired(now)
        {
            let (address, mac) = (self.table.address(slot), self.table.mac(slot));
            self.table.set_state(slot, State::Expired, self.table.expires(slot));
            self.push_event(Event::LeaseExpired { address, mac });
        }
    }

    /// Moves what the oldest settled record allows into the queue; `None` when there is no such record.
    fn release_settled(&mut self) -> Option<()> {
        let pending = self.commits.pop_settled()?;
        if let Purpose::Bind { ack: Some(frame), renewed, .. } = pending.purpose {
            self.counters.acks += 1;
            self.push_frame(frame);
            let lease = self.view(pending.slot);
            self.push_event(Event::LeaseBound { lease, renewed });
        }
        Some(())
    }

    /// Settles all records up to `commit` as not stored; returns how many.
    fn roll_back(&mut self, commit: CommitId) -> u64 {
        let now = self.now_secs();
        let hold = now.plus(self.config.raw().timing.offer_hold.as_secs() as u32);
        let mut failures = 0;
        while let Some(pending) = self.commits.settle_next(commit) {
            failures += 1;
            let slot = pending.slot;
            let purpose = core::mem::replace(&mut pending.purpose, Purpose::Note);
            self.table.settle_pending(slot);
            let Purpose::Bind { mut undo, ack, renewed: _ } = purpose else { continue };
            self.recycle_frame(ack);
            // A client that left in the meantime, or came back after that, is past this record.
            if self.table.state(slot) != State::Bound || self.commits.will_bind(slot) {
                continue;
            }
            if undo.state == State::Offered {
                undo.expires = hold;
            }
            self.table.reinstate(slot, &undo);
            self.bound_offers();
        }
        failures
    }
}
