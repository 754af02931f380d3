//! Questions in flight: what was asked of whom, and who waits for it.

use alloc::{vec, vec::Vec};
use core::net::Ipv4Addr;

use hn_types::{Monotonic, Subnet4, siphash::SipKey};

use crate::{
    hash::{Chains, NONE},
    name::{Case, Name},
    output::{Client, Route, RouteTransport, UpstreamId},
    reply::Asker,
    wheel::Wheel,
};

/// Questions to resolvers one client question may cause, repetitions over TCP or without EDNS included.
pub(crate) const MAX_ATTEMPTS: usize = 6;

/// One question to a resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) route: Route,
    pub(crate) id: u16,
    pub(crate) case: Case,
    pub(crate) edns: bool,
    pub(crate) sent: Monotonic,
}

/// One question, for everyone who asks it.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) name: Name,
    pub(crate) hash: u64,
    pub(crate) kind: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Only this resolver is asked, to see whether it is back.
    pub(crate) probe: Option<UpstreamId>,
    pub(crate) attempts: [Option<Attempt>; MAX_ATTEMPTS],
    pub(crate) attempts_made: u8,
    /// Positions in the list of resolvers that were asked already.
    pub(crate) tried: u16,
    pub(crate) expires: Monotonic,
    /// When the next step is due.
    pub(crate) due: Monotonic,
    /// The error a resolver gave, in case no other gives an answer.
    pub(crate) error: Option<(u16, Option<u16>)>,
    /// Attempts whose silence was held against their resolver.
    pub(crate) blamed: u8,
    live: bool,
    waiters: u32,
    waiter_count: u16,
}

impl Lookup {
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiters != NONE
    }

    pub(crate) fn has_live_attempt(&self) -> bool {
        self.attempts.iter().any(Option::is_some)
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    asker: Asker,
    case: Case,
    next: u32,
}

/// Why a client cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It waits for the same already.
    Duplicate,
    /// It waits for too much.
    ClientLimit,
    /// Too many wait.
    Full,
}

/// All questions in flight.
#[derive(Debug)]
pub(crate) struct Lookups {
    slab: Vec<Lookup>,
    free: Vec<u32>,
    max: usize,
    by_question: Chains,
    by_attempt: Chains,
    hasher: SipKey,
    pub(crate) wheel: Wheel,
    waiters: Vec<Waiter>,
    free_waiter: u32,
    waiting: usize,
    max_waiters: usize,
    max_per_lookup: u16,
    max_per_client: u16,
    per_client: Vec<u16>,
}

impl Lookups {
    pub(crate) fn new(limits: &crate::Config, hasher: SipKey, now: Monotonic) -> Self {
        let max = limits.max_lookups as usize;
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            max,
            by_question: Chains::new(max),
            by_attempt: Chains::new(max * 2),
            hasher,
            wheel: Wheel::new(now),
            waiters: Vec::new(),
            free_waiter: NONE,
            waiting: 0,
            max_waiters: limits.max_waiters as usize,
            max_per_lookup: limits.max_waiters_per_lookup,
            max_per_client: limits.max_per_client,
            per_client: vec![0; client_slots(limits.address)],
        }
    }

    /// Questions in flight.
    pub(crate) fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    /// Clients waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    pub(crate) fn get(&self, lookup: u32) -> Option<&Lookup> {
        self.slab.get(lookup as usize).filter(|lookup| lookup.live)
    }

    pub(crate) fn get_mut(&mut self, lookup: u32) -> Option<&mut Lookup> {
        self.slab.get_mut(lookup as usize).filter(|lookup| lookup.live)
    }

    /// Every question in flight.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> {
        self.slab.iter().zip(0..).filter(|(lookup, _)| lookup.live).map(|(_, at)| at)
    }

    /// A question in flight that is the same.
    pub(crate) fn find(&self, key: &crate::cache::Key<'_>) -> Option<u32> {
        self.by_question.find(key.hash, |at| {
            self.get(at).is_some_and(|lookup| {
                lookup.kind == key.kind
                    && lookup.dnssec_ok == key.dnssec_ok
                    && lookup.checking_disabled == key.checking_disabled
                    && lookup.name == *key.name
            })
        })
    }

    /// Adds a question; `None` when there are too many. Probes are not found by others.
    pub(crate) fn add(
        &mut self,
        key: &crate::cache::Key<'_>,
        probe: Option<UpstreamId>,
        expires: Monotonic,
    ) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let lookup = Lookup {
            name: *key.name,
            hash: key.hash,
            kind: key.kind,
            dnssec_ok: key.dnssec_ok,
            checking_disabled: key.checking_disabled,
            probe,
            attempts: [None; MAX_ATTEMPTS],
            attempts_made: 0,
            tried: 0,
            expires,
            due: expires,
            error: None,
            blamed: 0,
            live: true,
            waiters: NONE,
            waiter_count: 0,
        };
        let at = match self.free.pop() {
            Some(at) => {
                *self.slab.get_mut(at as usize)? = lookup;
                at
            }
            None => {
                self.slab.push(lookup);
                u32::try_from(self.slab.len() - 1).ok()?
            }
        };
        if probe.is_none() {
            self.by_question.insert(key.hash, at);
        }
        Some(at)
    }

    /// Takes a question out of flight; its attempts and waiters must be gone.
    pub(crate) fn remove(&mut self, lookup: u32) {
        let Some(entry) = self.get_mut(lookup) else { return };
        entry.live = false;
        let (hash, found) = (entry.hash, entry.probe.is_none());
        if found {
            self.by_question.remove(hash, lookup);
        }
        self.wheel.disarm(lookup);
        self.free.push(lookup);
    }

    /// Lets a client wait for `lookup`.
    pub(crate) fn wait(&mut self, lookup: u32, asker: Asker, case: Case) -> Result<(), Refused> {
        let Some(entry) = self.get(lookup) else { return Err(Refused::Full) };
        let (first, count) = (entry.waiters, entry.waiter_count);
        let mut at = first;
        while let Some(waiter) = self.waiters.get(at as usize) {
            if waiter.asker.client == asker.client && waiter.asker.id == asker.id {
                return Err(Refused::Duplicate);
            }
            at = waiter.next;
        }
        if self.is_at_limit(asker.client) {
            return Err(Refused::ClientLimit);
        }
        if count >= self.max_per_lookup || self.waiting >= self.max_waiters {
            return Err(Refused::Full);
        }
        let waiter = Waiter { asker, case, next: first };
        let position = match self.waiters.get_mut(self.free_waiter as usize) {
            Some(slot) => {
                let position = self.free_waiter;
                self.free_waiter = slot.next;
                *slot = waiter;
                position
            }
            None => {
                self.waiters.push(waiter);
                u32::try_from(self.waiters.len() - 1).unwrap_or(NONE)
            }
        };
        self.waiting += 1;
        if let Some(count) = self.count_of(asker.client) {
            *count += 1;
        }
        if let Some(entry) = self.get_mut(lookup) {
            entry.waiters = position;
            entry.waiter_count += 1;
        }
        Ok(())
    }

    /// Whether one more question of this client is too many.
    pub(crate) fn is_at_limit(&self, client: Client) -> bool {
        let slot = client_slot(client, self.per_client.len());
        self.per_client.get(slot).is_some_and(|count| *count >= self.max_per_client)
    }

    /// Takes one client that waits for `lookup`.
    pub(crate) fn take_waiter(&mut self, lookup: u32) -> Option<(Asker, Case)> {
        let position = self.get(lookup)?.waiters;
        let waiter = *self.waiters.get(position as usize)?;
        if let Some(slot) = self.waiters.get_mut(position as usize) {
            slot.next = self.free_waiter;
        }
        self.free_waiter = position;
        self.waiting -= 1;
        if let Some(count) = self.count_of(waiter.asker.client) {
            *count = count.saturating_sub(1);
        }
        if let Some(entry) = self.get_mut(lookup) {
            entry.waiters = waiter.next;
            entry.waiter_count -= 1;
        }
        Some((waiter.asker, waiter.case))
    }

    /// Notes an attempt; returns its number, or `None` when the lookup has had all it may.
    pub(crate) fn add_attempt(&mut self, lookup: u32, attempt: Attempt) -> Option<usize> {
        let hash = self.attempt_hash(attempt.route, attempt.id);
        let entry = self.get_mut(lookup)?;
        let number = usize::from(entry.attempts_made);
        *entry.attempts.get_mut(number)? = Some(attempt);
        entry.attempts_made += 1;
        self.by_attempt.insert(hash, attempt_key(lookup, number)?);
        Some(number)
    }

    /// The attempt an answer on `route` with `id` belongs to.
    pub(crate) fn find_attempt(&self, route: Route, id: u16) -> Option<(u32, usize)> {
        let hash = self.attempt_hash(route, id);
        let key = self.by_attempt.find(hash, |key| {
            let (lookup, number) = attempt_of(key);
            let attempt = self.get(lookup).and_then(|lookup| lookup.attempts.get(number).copied().flatten());
            attempt.is_some_and(|attempt| attempt.route == route && attempt.id == id)
        })?;
        Some(attempt_of(key))
    }

    /// Ends an attempt.
    pub(crate) fn take_attempt(&mut self, lookup: u32, number: usize) -> Option<Attempt> {
        let attempt = self.get_mut(lookup)?.attempts.get_mut(number)?.take()?;
        let hash = self.attempt_hash(attempt.route, attempt.id);
        self.by_attempt.remove(hash, attempt_key(lookup, number)?);
        Some(attempt)
    }

    fn attempt_hash(&self, route: Route, id: u16) -> u64 {
        let socket = match route.transport {
            RouteTransport::Udp { slot } => u64::from(slot),
            RouteTransport::Tcp { id } => u64::from(id) | 1 << 32,
        };
        self.hasher.hash(&socket.to_le_bytes(), u64::from(route.upstream.0) << 16 | u64::from(id))
    }

    fn count_of(&mut self, client: Client) -> Option<&mut u16> {
        let slot = client_slot(client, self.per_client.len());
        self.per_client.get_mut(slot)
    }
}

fn attempt_key(lookup: u32, number: usize) -> Option<u32> {
    u32::try_from(lookup as usize * MAX_ATTEMPTS + number).ok()
}

fn attempt_of(key: u32) -> (u32, usize) {
    let attempts = MAX_ATTEMPTS as u32;
    (key / attempts, (key % attempts) as usize)
}

/// One counter per host of the subnet; in subnets larger than a /16, hosts 65,536 apart share one.
fn client_slots(subnet: Subnet4) -> usize {
    1 << (32 - u32::from(subnet.prefix())).min(16)
}

fn client_slot(client: Client, slots: usize) -> usize {
    let address = match client.addr.ip().to_canonical() {
        core::net::IpAddr::V4(address) => address,
        // All bits count: which of them a device chooses is its own affair.
        core::net::IpAddr::V6(address) => {
            let bits = address.to_bits();
            let half = (bits ^ bits >> 64) as u64;
            Ipv4Addr::from_bits((half ^ half >> 32 ^ half >> 16) as u32)
        }
    };
    address.to_bits() as usize & (slots - 1)
}
