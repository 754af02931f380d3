//! Asking resolvers: the first attempt, the next one, and the end of a question in flight.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hn_types::Monotonic;
use rand_core::RngCore;

use crate::{
    cache::Key,
    forwarder::Forwarder,
    lookup::{Attempt, MAX_ATTEMPTS},
    message::Shape,
    name::{Case, Name},
    output::{Event, Route, RouteTransport, UpstreamId},
    reply::{Letters, code_for_client, finish_packed},
    upstream::Health,
    wire::{IN, ede, flag, kind, rcode},
};

/// How one question to a resolver is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) tcp: bool,
    pub(crate) edns: bool,
}

impl Forwarder {
    /// Names the resolvers of the public side, the preferred first; at most eight are used. One that stays
    /// keeps what is known of it. When any came or went the cache is emptied: another network may have
    /// other answers to the same questions.
    pub fn set_upstreams(&mut self, addrs: &[SocketAddr], now: Monotonic) {
        // Our own address as a resolver would be a loop.
        let own = IpAddr::V4(self.config.address.address());
        let usable: Vec<SocketAddr> =
            addrs.iter().copied().filter(|a| a.port() != 0 && a.ip().to_canonical() != own).collect();
        let (left, changed) = self.upstreams.replace(&usable);
        if changed {
            self.cache.clear();
        }
        let live: Vec<u32> = self.lookups.live().collect();
        for lookup in live {
            if let Some(entry) = self.lookups.get_mut(lookup) {
                entry.tried = 0;
            }
            let mut lost = false;
            for number in 0..MAX_ATTEMPTS {
                let attempt =
                    self.lookups.get(lookup).and_then(|l| l.attempts.get(number).copied().flatten());
                if attempt.is_some_and(|attempt| left.contains(&attempt.route.upstream)) {
                    self.lookups.take_attempt(lookup, number);
                    lost = true;
                }
            }
            if lost || self.upstreams.list().is_empty() {
                self.attempt_failed(lookup, now);
            }
        }
        for upstream in left {
            self.out.forget(upstream);
        }
    }

    /// A socket towards a resolver failed: refused (ICMP), unreachable, or a TCP connection that could
    /// not be made or has closed. Questions on it go elsewhere at once.
    pub fn handle_upstream_error(&mut self, route: Route, now: Monotonic) {
        let tcp = matches!(route.transport, RouteTransport::Tcp { .. });
        if tcp {
            self.upstreams.drop_tcp(route);
        }
        let on_route = |attempt: &Option<Attempt>| attempt.is_some_and(|attempt| attempt.route == route);
        let hit: Vec<(u32, usize)> = self
            .lookups
            .live()
            .filter_map(|lookup| {
                Some((lookup, self.lookups.get(lookup)?.attempts.iter().position(on_route)?))
            })
            .collect();
        // A resolver may close a connection that nothing is awaited on whenever it likes.
        if !hit.is_empty() {
            self.counters.upstream_errors += 1;
            self.upstream_failed(route.upstream, now);
        }
        for (lookup, number) in hit {
            let Some(attempt) = self.end_attempt(lookup, number, now) else { continue };
            let early =
                self.lookups.get(lookup).is_some_and(|l| usize::from(l.attempts_made) < MAX_ATTEMPTS / 2);
            let manner = Manner { tcp, edns: attempt.edns };
            if tcp && early && self.ask(lookup, route.upstream, manner, now) {
                continue;
            }
            self.attempt_failed(lookup, now);
        }
    }

    /// Sends the first question of a new lookup.
    pub(crate) fn start(&mut self, lookup: u32, now: Monotonic) {
        if !self.ask_next(lookup, now) {
            // The output queue is full; by the next step it is not.
            self.wait_for_step(lookup, now);
        }
    }

    /// Asks again for an answer that is about to expire, for nobody in particular.
    pub(crate) fn refresh(&mut self, key: &Key<'_>, now: Monotonic) {
        if self.upstreams.list().is_empty() || self.lookups.find(key).is_some() {
            return;
        }
        if let Some(lookup) = self.lookups.add(key, None, now + self.config.total_timeout) {
            self.counters.prefetches += 1;
            self.start(lookup, now);
        }
    }

    /// Looks whether a resolver that is down has come back, when it is time to.
    pub(crate) fn probe(&mut self, now: Monotonic) {
        let Some(upstream) = self.upstreams.take_probe(now) else { return };
        let hash = self.hasher.hash(Name::ROOT.wire(), Key::tail(kind::NS, false, false));
        let key = Key { hash, name: &Name::ROOT, kind: kind::NS, dnssec_ok: false, checking_disabled: false };
        let expires = now + self.config.total_timeout;
        let Some(lookup) = self.lookups.add(&key, Some(upstream), expires) else { return };
        let edns = self.upstreams.get(upstream).is_some_and(|u| u.speaks_edns(now));
        if !self.ask(lookup, upstream, Manner { tcp: false, edns }, now) {
            self.drop_lookup(lookup, now);
        }
    }

    /// The next step of a lookup is due.
    pub(crate) fn lookup_due(&mut self, lookup: u32, now: Monotonic) {
        let Some(entry) = self.lookups.get(lookup) else { return };
        let (due, expires) = (entry.due, entry.expires);
        if now < due {
            self.lookups.wheel.arm(lookup, due, now);
            return;
        }
        let last = usize::from(entry.attempts_made).checked_sub(1);
        let silent = last
            .and_then(|last| entry.attempts.get(last).copied().flatten())
            .filter(|_| entry.blamed < entry.attempts_made);
        // Whatever follows, the end is never forgotten.
        self.lookups.wheel.arm(lookup, expires, now);
        if let Some(attempt) = silent {
            if let Some(entry) = self.lookups.get_mut(lookup) {
                entry.blamed = entry.attempts_made;
            }
            self.counters.timeouts += 1;
            match attempt.route.transport {
                RouteTransport::Udp { .. } => self.upstream_failed(attempt.route.upstream, now),
                RouteTransport::Tcp { .. } => {
                    // A connection that swallows one question swallows the next as well.
                    self.out.close(attempt.route);
                    if now < expires {
                        self.handle_upstream_error(attempt.route, now);
                        return;
                    }
                    self.upstreams.drop_tcp(attempt.route);
                    self.upstream_failed(attempt.route.upstream, now);
                }
            }
        }
        let probing = self.lookups.get(lookup).is_none_or(|entry| entry.probe.is_some());
        if now >= expires || probing {
            self.give_up(lookup, now);
        } else if !self.ask_next(lookup, now) {
            self.wait_for_step(lookup, now);
        }
    }

    /// An attempt ended without an answer: on to the next resolver; when all were asked, the end, unless
    /// another attempt may still succeed.
    pub(crate) fn attempt_failed(&mut self, lookup: u32, now: Monotonic) {
        let Some(entry) = self.lookups.get(lookup) else { return };
        let hopeful = entry.has_live_attempt();
        let untried = entry.probe.is_none() && self.upstreams.best(entry.tried).is_some();
        let asked = untried && self.ask_next(lookup, now);
        if !asked && !hopeful {
            self.give_up(lookup, now);
        }
    }

    /// Ends an attempt; its socket's port is renewed when it is due.
    pub(crate) fn end_attempt(&mut self, lookup: u32, number: usize, now: Monotonic) -> Option<Attempt> {
        let attempt = self.lookups.take_attempt(lookup, number)?;
        if self.upstreams.release(attempt.route, now) {
            self.out.close(attempt.route);
        }
        Some(attempt)
    }

    /// Puts the question of `lookup` to `upstream`; false when it has been put often enough or there is no
    /// room to send it.
    pub(crate) fn ask(&mut self, lookup: u32, upstream: UpstreamId, manner: Manner, now: Monotonic) -> bool {
        let Some(entry) = self.lookups.get(lookup) else { return false };
        let made = usize::from(entry.attempts_made);
        if made >= MAX_ATTEMPTS {
            return false;
        }
        let Some(position) = self.upstreams.position(upstream) else { return false };
        let Some(draft) = self.out.begin() else {
            self.counters.output_full += 1;
            return false;
        };
        let route = if manner.tcp {
            self.upstreams.tcp_route(upstream, now)
        } else {
            self.upstreams.udp_route(upstream, &mut self.rng)
        };
        // With nobody else to turn to, impatience only doubles the questions.
        let alone = self.upstreams.list().len() == 1;
        let (Some(route), Some(target)) = (route, self.upstreams.get(upstream)) else { return false };
        let addr = target.addr;
        let schedule = self.config.attempt_timeouts;
        let patience =
            schedule.get(made).or_else(|| schedule.last()).copied().unwrap_or(self.config.total_timeout);
        let patience = if alone { patience } else { target.patience(patience) };
        let due = (now + patience).min(entry.expires);
        let case = if target.keeps_case(now) {
            Case::random(&entry.name, || self.rng.next_u64())
        } else {
            Case::default()
        };
        // With few questions per socket the first draw is free all but always.
        let id = (0..8)
            .map(|_| (self.rng.next_u32() >> 16) as u16)
            .find(|id| self.lookups.find_attempt(route, *id).is_none());
        let Some(id) = id else {
            self.upstreams.release(route, now);
            return false;
        };

        let buffer = self.out.buffer();
        let cd = if entry.checking_disabled { flag::CD } else { 0 };
        // AD says that we understand AD in the answer (RFC 6840 §5.7).
        for word in [id, flag::RD | flag::AD | cd, 1, 0, 0, u16::from(manner.edns)] {
            buffer.extend_from_slice(&word.to_be_bytes());
        }
        let name_at = buffer.len();
        buffer.extend_from_slice(entry.name.wire());
        if let Some(name) = buffer.get_mut(name_at..) {
            case.apply(name);
        }
        buffer.extend_from_slice(&entry.kind.to_be_bytes());
        buffer.extend_from_slice(&IN.to_be_bytes());
        if manner.edns {
            buffer.push(0);
            buffer.extend_from_slice(&kind::OPT.to_be_bytes());
            buffer.extend_from_slice(&self.config.edns_size.to_be_bytes());
            buffer.extend_from_slice(&[0, 0, if entry.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        self.out.ask(draft, addr, route);
        self.counters.asks += 1;
        self.counters.asks_tcp += u64::from(manner.tcp);

        let attempt = Attempt { route, id, case, edns: manner.edns, sent: now };
        self.lookups.add_attempt(lookup, attempt);
        if let Some(entry) = self.lookups.get_mut(lookup) {
            entry.tried |= 1 << position;
            entry.due = due;
        }
        self.lookups.wheel.arm(lookup, due, now);
        true
    }

    /// Answers everyone who waits for `lookup` with the packed answer, and ends it.
    pub(crate) fn deliver(&mut self, lookup: u32, shape: Shape, now: Monotonic) {
        while let Some((asker, case)) = self.lookups.take_waiter(lookup) {
            let (Some(draft), Some(entry)) = (self.out.begin(), self.lookups.get(lookup)) else {
                self.counters.dropped_output += 1;
                continue;
            };
            let buffer = self.out.buffer();
            buffer.extend_from_slice(self.packer.packed());
            let letters = Letters::Kept(case, &entry.name);
            let cut = finish_packed(buffer, draft.0, shape, &asker, letters, 0, self.config.edns_size);
            self.counters.truncated += u64::from(cut);
            self.counters.replies += 1;
            self.out.reply(draft, asker.client);
        }
        self.drop_lookup(lookup, now);
    }

    /// Notes that a resolver is well.
    pub(crate) fn upstream_succeeded(&mut self, id: UpstreamId, sent: Monotonic, now: Monotonic) {
        let Some(upstream) = self.upstreams.get(id) else { return };
        match upstream.succeeded(now.since(sent)) {
            Health::CameUp => self.out.event(Event::UpstreamUp(upstream.addr)),
            Health::Same | Health::WentDown => {}
        }
    }

    pub(crate) fn cancel_all_attempts(&mut self, now: Monotonic) {
        let live: Vec<u32> = self.lookups.live().collect();
        for lookup in live {
            for number in 0..MAX_ATTEMPTS {
                self.end_attempt(lookup, number, now);
            }
        }
    }

    /// Asks the best resolver that was not asked yet, or begins a new round.
    fn ask_next(&mut self, lookup: u32, now: Monotonic) -> bool {
        let Some(entry) = self.lookups.get_mut(lookup) else { return false };
        let upstream = self.upstreams.best(entry.tried).or_else(|| {
            entry.tried = 0;
            self.upstreams.best(0)
        });
        let Some(upstream) = upstream else { return false };
        let edns = self.upstreams.get(upstream).is_some_and(|u| u.speaks_edns(now));
        self.ask(lookup, upstream, Manner { tcp: false, edns }, now)
    }

    /// Nothing could be sent: wait for late answers until the end, or for room in the queue.
    fn wait_for_step(&mut self, lookup: u32, now: Monotonic) {
        let retry = now + self.config.attempt_timeouts.first().copied().unwrap_or(self.config.total_timeout);
        let Some(entry) = self.lookups.get_mut(lookup) else { return };
        let spent = usize::from(entry.attempts_made) >= MAX_ATTEMPTS;
        entry.due = if spent { entry.expires } else { retry.min(entry.expires) };
        let due = entry.due;
        self.lookups.wheel.arm(lookup, due, now);
    }

    /// No resolver has an answer: says so to everyone who waits, and remembers it for a moment (RFC 9520 §3.2).
    fn give_up(&mut self, lookup: u32, now: Monotonic) {
        let Some(entry) = self.lookups.get(lookup) else { return };
        if let Some(upstream) = entry.probe {
            if let Some(upstream) = self.upstreams.get(upstream) {
                upstream.probe_failed(now);
            }
            self.drop_lookup(lookup, now);
            return;
        }
        let (code, ede) = entry.error.unwrap_or((rcode::SERVFAIL, Some(ede::NO_REACHABLE_AUTHORITY)));
        let shape = self.packer.pack_failure(entry.name.wire(), entry.kind, code_for_client(code), ede);
        // A refresh that failed leaves the answer it was for alone.
        let waited_for = entry.is_waited_for();
        if waited_for && !self.upstreams.list().is_empty() {
            self.keep(lookup, shape, self.config.failure_ttl, now);
        }
        let before = self.lookups.waiting();
        self.deliver(lookup, shape, now);
        self.counters.failures += (before - self.lookups.waiting()) as u64;
    }

    /// Puts the packed answer of `lookup` into the cache.
    pub(crate) fn keep(&mut self, lookup: u32, shape: Shape, lifetime: u32, now: Monotonic) {
        let Some(entry) = self.lookups.get(lookup) else { return };
        let key = Key {
            hash: entry.hash,
            name: &entry.name,
            kind: entry.kind,
            dnssec_ok: entry.dnssec_ok,
            checking_disabled: entry.checking_disabled,
        };
        match self.cache.insert(&key, self.packer.packed(), shape, lifetime, now) {
            Some(evicted) => {
                self.counters.cache_inserts += 1;
                self.counters.cache_evictions += evicted;
            }
            None => self.counters.cache_too_long += 1,
        }
    }

    /// Ends a lookup nobody waits for any more.
    pub(crate) fn drop_lookup(&mut self, lookup: u32, now: Monotonic) {
        for number in 0..MAX_ATTEMPTS {
            self.end_attempt(lookup, number, now);
        }
        self.lookups.remove(lookup);
    }

    fn upstream_failed(&mut self, id: UpstreamId, now: Monotonic) {
        let Some(upstream) = self.upstreams.get(id) else { return };
        match upstream.failed(now) {
            Health::WentDown => self.out.event(Event::UpstreamDown(upstream.addr)),
            Health::Same | Health::CameUp => {}
        }
    }
}
