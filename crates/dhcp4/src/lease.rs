//! The lease table: one fixed-size entry for every address that can be leased, found by address and by
//! client identity in constant time.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::{cmp::Reverse, net::Ipv4Addr};

use hashbrown::HashTable;
use hn_types::{MacAddr, Monotonic};

use crate::{
    arena::{Arena, NIL},
    config::Config,
    hash::{HashKey, mix},
    identity::{ClientId, HostName, Identity, NAME_MAX},
    list::{Linked, Links, List},
    pool::{FreeSet, scatter},
};

/// Whole seconds on the monotonic clock, shifted so that times before the boot fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u32);

impl Seconds {
    const SHIFT: u32 = 1 << 30;

    pub(crate) fn at(time: Monotonic) -> Self {
        let secs = u32::try_from(time.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
        Self(secs.saturating_add(Self::SHIFT))
    }

    pub(crate) const fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    pub(crate) const fn minus(self, seconds: u32) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to `self`; 0 if that is later.
    pub(crate) const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) const fn to_monotonic(self) -> Monotonic {
        Monotonic::from_nanos(self.0.saturating_sub(Self::SHIFT) as u64 * 1_000_000_000)
    }
}

/// What is known about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Free,
    /// Being probed; with an identity when a client waits for it.
    Probing,
    /// Probed ahead of need and silent.
    Ready,
    /// Offered to its identity until `expires`.
    Offered,
    /// Leased to its identity until `expires`.
    Bound,
    /// Given back by its identity at `expires`.
    Released,
    /// Lease of its identity ran out at `expires`.
    Expired,
    /// Used by somebody else; rests until `expires`.
    Declined,
}

/// Form of an entry's identity: none. No client identifier is one byte long.
const NOBODY: u8 = 1;
/// Form of an entry's identity: its hardware address.
const BY_MAC: u8 = 0;

/// In the pool and reserved for nobody: goes to any client.
const OPEN: u8 = 1;
/// Its identity is found through the index.
const INDEXED: u8 = 2;
/// Offered or probed for a client that held it before: kept for that client if nothing comes of it.
const HAD_LEASE: u8 = 4;
/// Bound, but that isn't on disk yet and was not bound before.
const UNCOMMITTED: u8 = 8;

#[derive(Debug)]
struct Entry {
    links: Links,
    expires: Seconds,
    /// Time of this entry's valid note in the expiry heap; 0 for none.
    armed: Seconds,
    hash: u32,
    id: u32,
    name: u32,
    mac: MacAddr,
    id_form: u8,
    name_len: u8,
    state: State,
    flags: u8,
    /// Records of this address that are not on disk yet.
    pending: u8,
}

impl Linked for Vec<Entry> {
    fn links(&mut self, slot: u32) -> &mut Links {
        &mut self[slot as usize].links
    }
}

/// The content of an entry, to put it back.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) expires: Seconds,
    pub(crate) mac: MacAddr,
    pub(crate) identity: Option<Identity>,
    pub(crate) name: HostName,
    pub(crate) had_lease: bool,
}

/// All entries. A *slot* is the number of an entry: the pool's addresses in order, then reserved addresses
/// outside of the pool.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    entries: Vec<Entry>,
    first: u32,
    pool: u32,
    host: u32,
    outside: Vec<u32>,
    key: HashKey,
    index: HashTable<u32>,
    arena: Arena,
    free: FreeSet,
    open: u32,
    /// Released and expired entries that any client may get, longest unused first.
    idle: List,
    offers: List,
    resting: List,
    expiry: BinaryHeap<Reverse<(u32, u32)>>,
}

impl LeaseTable {
    pub(crate) fn new(config: &Config, key: HashKey) -> Self {
        let raw = config.raw();
        let (first, last) = (raw.first.to_bits(), raw.last.to_bits());
        let pool = last - first + 1;
        let reserved = raw.reservations.iter().map(|r| r.address.to_bits());
        let mut outside: Vec<u32> = reserved.clone().filter(|a| !(first..=last).contains(a)).collect();
        outside.sort_unstable();
        let slots = pool + outside.len() as u32;
        let mut table = Self {
            entries: Vec::with_capacity(slots as usize),
            first,
            pool,
            host: raw.host.address().to_bits(),
            outside,
            key,
            index: HashTable::with_capacity(slots as usize),
            arena: Arena::with_capacity(slots as usize * 2),
            free: FreeSet::new(pool),
            open: 0,
            idle: List::EMPTY,
            offers: List::EMPTY,
            resting: List::EMPTY,
            expiry: BinaryHeap::with_capacity(slots as usize),
        };
        for slot in 0..slots {
            let open = slot < pool && first + slot != table.host;
            table.entries.push(Entry {
                links: Links::UNLINKED,
                expires: Seconds(0),
                armed: Seconds(0),
                hash: 0,
                id: NIL,
                name: NIL,
                mac: MacAddr::ZERO,
                id_form: NOBODY,
                name_len: 0,
                state: State::Free,
                flags: if open { OPEN } else { 0 },
                pending: 0,
            });
        }
        for address in reserved {
            if let Some(slot) = table.slot(Ipv4Addr::from_bits(address)) {
                table.entries[slot as usize].flags = 0;
            }
        }
        for slot in 0..pool {
            if table.is_open(slot) {
                table.free.insert(slot);
                table.open += 1;
            }
        }
        table
    }

    // --- questions ------------------------------------------------------------------------------

    /// The slot of `address`, if this server leases it.
    pub(crate) fn slot(&self, address: Ipv4Addr) -> Option<u32> {
        let bits = address.to_bits();
        let in_pool = bits.wrapping_sub(self.first);
        if in_pool < self.pool {
            return (bits != self.host).then_some(in_pool);
        }
        self.outside.binary_search(&bits).ok().map(|at| self.pool + at as u32)
    }

    pub(crate) fn address(&self, slot: u32) -> Ipv4Addr {
        let outside = slot.checked_sub(self.pool).and_then(|at| self.outside.get(at as usize));
        Ipv4Addr::from_bits(outside.copied().unwrap_or(self.first + slot))
    }

    pub(crate) fn slots(&self) -> u32 {
        self.entries.len() as u32
    }

    /// How many addresses go to any client.
    pub(crate) const fn open(&self) -> u32 {
        self.open
    }

    pub(crate) fn is_open(&self, slot: u32) -> bool {
        self.flag(slot, OPEN)
    }

    pub(crate) fn state(&self, slot: u32) -> State {
        self.entries[slot as usize].state
    }

    pub(crate) fn expires(&self, slot: u32) -> Seconds {
        self.entries[slot as usize].expires
    }

    pub(crate) fn mac(&self, slot: u32) -> MacAddr {
        self.entries[slot as usize].mac
    }

    pub(crate) fn has_identity(&self, slot: u32) -> bool {
        self.entries[slot as usize].id_form != NOBODY
    }

    pub(crate) fn pending(&self, slot: u32) -> u8 {
        self.entries[slot as usize].pending
    }

    pub(crate) fn is_uncommitted(&self, slot: u32) -> bool {
        self.flag(slot, UNCOMMITTED)
    }

    pub(crate) fn client_id(&self, slot: u32) -> Option<ClientId> {
        let entry = &self.entries[slot as usize];
        if matches!(entry.id_form, NOBODY | BY_MAC) {
            return None;
        }
        let mut bytes = [0; 32];
        let len = ClientId::stored_len(entry.id_form).min(bytes.len());
        self.arena.load(entry.id, &mut bytes[..len]);
        ClientId::from_parts(entry.id_form, bytes)
    }

    pub(crate) fn name(&self, slot: u32) -> HostName {
        let entry = &self.entries[slot as usize];
        let mut bytes = [0; NAME_MAX];
        let len = usize::from(entry.name_len).min(NAME_MAX);
        self.arena.load(entry.name, &mut bytes[..len]);
        HostName::new(&bytes[..len])
    }

    /// Whether `slot` belongs (or last belonged) to `identity`.
    pub(crate) fn holds(&self, slot: u32, identity: &Identity) -> bool {
        let entry = &self.entries[slot as usize];
        match identity {
            Identity::Mac(mac) => entry.id_form == BY_MAC && entry.mac == *mac,
            Identity::Client(id) => entry.id_form == id.form() && self.arena.equals(entry.id, id.as_bytes()),
        }
    }

    /// The slot that belongs (or last belonged) to `identity`.
    pub(crate) fn find(&self, identity: &Identity) -> Option<u32> {
        let hash = identity.hash(self.key) as u32;
        self.index.find(spread(hash), |&slot| self.matches(slot, hash, identity)).copied()
    }

    /// The free open slot where `identity` starts looking.
    pub(crate) fn free_for(&self, identity: &Identity) -> Option<u32> {
        self.free_near(mix(identity.hash(self.key)))
    }

    /// A free open slot near the place that `hash` points at.
    pub(crate) fn free_near(&self, hash: u64) -> Option<u32> {
        self.free.next_from(scatter(hash, self.pool))
    }

    pub(crate) const fn free_count(&self) -> u32 {
        self.free.len()
    }

    /// The open slot that has been unused for longest although somebody might come back for it.
    pub(crate) const fn longest_idle(&self) -> Option<u32> {
        self.idle.oldest()
    }

    pub(crate) const fn oldest_offer(&self) -> Option<u32> {
        self.offers.oldest()
    }

    pub(crate) const fn offers(&self) -> u32 {
        self.offers.len()
    }

    pub(crate) const fn oldest_resting(&self) -> Option<u32> {
        self.resting.oldest()
    }

    pub(crate) const fn resting(&self) -> u32 {
        self.resting.len()
    }

    pub(crate) fn snapshot(&self, slot: u32) -> Snapshot {
        let entry = &self.entries[slot as usize];
        let identity = match entry.id_form {
            NOBODY => None,
            BY_MAC => Some(Identity::Mac(entry.mac)),
            _ => self.client_id(slot).map(Identity::Client),
        };
        Snapshot {
            state: entry.state,
            expires: entry.expires,
            mac: entry.mac,
            identity,
            name: self.name(slot),
            had_lease: self.flag(slot, HAD_LEASE),
        }
    }

    // --- changes --------------------------------------------------------------------------------

    /// Moves `slot` to `state`, keeping its identity, and makes it the newest of that state.
    pub(crate) fn set_state(&mut self, slot: u32, state: State, expires: Seconds) {
        let open = self.is_open(slot);
        match self.state(slot) {
            State::Free if open => self.free.remove(slot),
            State::Offered => self.offers.remove(&mut self.entries, slot),
            State::Released | State::Expired if open => self.idle.remove(&mut self.entries, slot),
            State::Declined => self.resting.remove(&mut self.entries, slot),
            State::Free | State::Released | State::Expired => {}
            State::Probing | State::Ready | State::Bound => {}
        }
        let entry = &mut self.entries[slot as usize];
        entry.state = state;
        entry.expires = expires;
        if state != State::Bound {
            entry.flags &= !UNCOMMITTED;
        }
        match state {
            State::Free if open => self.free.insert(slot),
            State::Offered => self.offers.push_newest(&mut self.entries, slot),
            State::Released | State::Expired if open => self.idle.push_newest(&mut self.entries, slot),
            State::Declined => self.resting.push_newest(&mut self.entries, slot),
            State::Bound => self.arm(slot),
            State::Free | State::Released | State::Expired => {}
            State::Probing | State::Ready => {}
        }
    }

    /// Gives `slot` to `identity`; if that had another slot, the other one is no longer found by identity.
    pub(crate) fn assign(&mut self, slot: u32, identity: &Identity, mac: MacAddr) {
        let held = self.holds(slot, identity);
        let idle = matches!(self.state(slot), State::Released | State::Expired);
        let came_back = held && (idle || self.flag(slot, HAD_LEASE));
        if !held {
            self.forget(slot);
            self.write_identity(slot, identity, mac);
        }
        self.entries[slot as usize].mac = mac;
        self.set_flag(slot, HAD_LEASE, came_back);
        if !self.flag(slot, INDEXED) {
            if let Some(other) = self.find(identity) {
                self.unindex(other);
            }
            self.index_slot(slot);
        }
    }

    pub(crate) fn set_name(&mut self, slot: u32, name: &HostName) {
        let entry = &self.entries[slot as usize];
        let raw = name.raw();
        if usize::from(entry.name_len) == raw.len() && self.arena.equals(entry.name, raw) {
            return;
        }
        self.arena.release(entry.name);
        let head = self.arena.store(raw);
        let entry = &mut self.entries[slot as usize];
        entry.name = head;
        entry.name_len = raw.len() as u8;
    }

    /// Forgets whose `slot` is. Its state stays.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.unindex(slot);
        let entry = &mut self.entries[slot as usize];
        self.arena.release(entry.id);
        self.arena.release(entry.name);
        entry.id = NIL;
        entry.name = NIL;
        entry.name_len = 0;
        entry.id_form = NOBODY;
        entry.mac = MacAddr::ZERO;
        entry.flags &= !(HAD_LEASE | UNCOMMITTED);
    }

    /// No longer finds `slot` by its identity, which it keeps.
    pub(crate) fn unindex(&mut self, slot: u32) {
        if self.flag(slot, INDEXED) {
            let hash = self.entries[slot as usize].hash;
            if let Ok(found) = self.index.find_entry(spread(hash), |&other| other == slot) {
                found.remove();
            }
            self.set_flag(slot, INDEXED, false);
        }
    }

    /// Takes an offer or a probe for a client back: the address is free again, or expired for the client
    /// that held it before.
    pub(crate) fn withdraw(&mut self, slot: u32, now: Seconds) {
        if self.flag(slot, HAD_LEASE) {
            self.set_flag(slot, HAD_LEASE, false);
            self.set_state(slot, State::Expired, now);
        } else {
            self.forget(slot);
            self.set_state(slot, State::Free, Seconds(0));
        }
    }

    /// Makes `slot` what `was` says. Its identity is found through it unless it is found elsewhere already.
    pub(crate) fn reinstate(&mut self, slot: u32, was: &Snapshot) {
        self.forget(slot);
        if let Some(identity) = &was.identity {
            self.write_identity(slot, identity, was.mac);
            if self.find(identity).is_none() {
                self.index_slot(slot);
            }
        }
        self.entries[slot as usize].mac = was.mac;
        self.set_name(slot, &was.name);
        self.set_flag(slot, HAD_LEASE, was.had_lease);
        self.set_state(slot, was.state, was.expires);
    }

    pub(crate) fn set_uncommitted(&mut self, slot: u32, uncommitted: bool) {
        self.set_flag(slot, UNCOMMITTED, uncommitted);
    }

    pub(crate) fn add_pending(&mut self, slot: u32) {
        self.entries[slot as usize].pending += 1;
    }

    pub(crate) fn settle_pending(&mut self, slot: u32) {
        self.entries[slot as usize].pending -= 1;
    }

    /// An address somebody else was seen using is no longer taken for unused just because its client left it
    /// a moment ago.
    pub(crate) fn make_stale(&mut self, slot: u32) {
        self.entries[slot as usize].expires = Seconds(0);
    }

    // --- expiry ---------------------------------------------------------------------------------

    /// When the next lease may run out.
    pub(crate) fn next_expiry(&self) -> Option<Seconds> {
        self.expiry.peek().map(|Reverse((time, _))| Seconds(*time))
    }

    /// A lease that has run out at `now`; it is still marked as bound.
    pub(crate) fn pop_expired(&mut self, now: Seconds) -> Option<u32> {
        while let Some(&Reverse((time, slot))) = self.expiry.peek()
            && time <= now.0
        {
            self.expiry.pop();
            let entry = &mut self.entries[slot as usize];
            if entry.armed.0 != time {
                continue;
            }
            entry.armed = Seconds(0);
            if entry.state != State::Bound {
                continue;
            }
            if entry.expires > now {
                self.arm(slot);
            } else if entry.pending > 0 {
                // A record is on its way; look again when it has arrived.
                entry.expires = now.plus(1);
                self.arm(slot);
            } else {
                return Some(slot);
            }
        }
        None
    }

    /// Notes when a bound slot must be looked at, unless an earlier note does that. A renewal therefore
    /// costs nothing here.
    fn arm(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        if entry.armed.0 != 0 && entry.armed <= entry.expires {
            return;
        }
        entry.armed = entry.expires;
        if self.expiry.len() > 2 * self.entries.len() + 64 {
            // Notes that were overtaken by earlier ones piled up; keep the valid ones.
            let entries = &self.entries;
            self.expiry.retain(|Reverse((time, slot))| entries[*slot as usize].armed.0 == *time);
        }
        let time = self.entries[slot as usize].expires.0;
        self.expiry.push(Reverse((time, slot)));
    }

    // --- identity index -------------------------------------------------------------------------

    fn write_identity(&mut self, slot: u32, identity: &Identity, mac: MacAddr) {
        let hash = identity.hash(self.key) as u32;
        let (form, id) = match identity {
            Identity::Mac(_) => (BY_MAC, NIL),
            Identity::Client(id) => (id.form(), self.arena.store(id.as_bytes())),
        };
        let entry = &mut self.entries[slot as usize];
        entry.hash = hash;
        entry.id_form = form;
        entry.id = id;
        entry.mac = mac;
    }

    fn index_slot(&mut self, slot: u32) {
        let hash = self.entries[slot as usize].hash;
        let entries = &self.entries;
        self.index.insert_unique(spread(hash), slot, |&other| spread(entries[other as usize].hash));
        self.set_flag(slot, INDEXED, true);
    }

    fn matches(&self, slot: u32, hash: u32, identity: &Identity) -> bool {
        self.entries[slot as usize].hash == hash && self.holds(slot, identity)
    }

    fn flag(&self, slot: u32, flag: u8) -> bool {
        self.entries[slot as usize].flags & flag != 0
    }

    fn set_flag(&mut self, slot: u32, flag: u8, on: bool) {
        let flags = &mut self.entries[slot as usize].flags;
        if on {
            *flags |= flag;
        } else {
            *flags &= !flag;
        }
    }
}

/// The table wants entropy in the top bits, too.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        // 60,000 leases must fit in a few megabytes (performance goal D7).
        assert!(size_of::<Entry>() <= 40, "{}", size_of::<Entry>());
    }
}
