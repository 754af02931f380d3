//! The resolvers behind us: which one to ask, over which socket, and what they cannot do.

use alloc::{vec, vec::Vec};
use core::{net::SocketAddr, time::Duration};

use hn_types::Monotonic;
use rand_core::RngCore;

use crate::output::{Route, RouteTransport, UpstreamId};

/// Resolvers used at most; what comes after in the list is left out.
pub(crate) const MAX_UPSTREAMS: usize = 8;
/// Failures in a row after which others are preferred.
const FAILURES_UNTIL_DOWN: u32 = 3;
const FIRST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// How long a resolver is treated by what it could not do.
const QUIRK: Duration = Duration::from_secs(3_600);
/// How long a TCP connection stays without a question (RFC 7766 §6.2.3: some seconds).
const TCP_IDLE: Duration = Duration::from_secs(5);
/// Answers on a socket that match nothing before its port is given up: someone may be guessing.
const SUSPICIOUS: u32 = 16;

/// One resolver.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) id: UpstreamId,
    pub(crate) addr: SocketAddr,
    failures: u32,
    down: bool,
    probe_at: Monotonic,
    hold: Duration,
    /// Smoothed round trip, once one was seen.
    round_trip: Option<Duration>,
    without_edns: Option<Monotonic>,
    folds_case: Option<Monotonic>,
    slots: Vec<Slot>,
    tcp: Option<Tcp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    uses: u32,
    outstanding: u32,
    suspicious: u32,
}

#[derive(Clone, Copy, Debug)]
struct Tcp {
    id: u32,
    outstanding: u32,
    idle_since: Monotonic,
}

/// A change in health that an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Same,
    WentDown,
    CameUp,
}

/// All resolvers, the preferred first.
#[derive(Debug)]
pub(crate) struct Upstreams {
    list: Vec<Upstream>,
    next_id: u32,
    next_tcp: u32,
    slots: u16,
    uses: u32,
}

impl Upstreams {
    pub(crate) fn new(slots: u16, uses: u32) -> Self {
        Self { list: Vec::new(), next_id: 0, next_tcp: 0, slots, uses }
    }

    /// Changes how many sockets each resolver has and how long a port is used; the list must be empty.
    pub(crate) fn resize(&mut self, slots: u16, uses: u32) {
        self.slots = slots;
        self.uses = uses;
    }

    /// The list, in order of preference.
    pub(crate) fn list(&self) -> &[Upstream] {
        &self.list
    }

    pub(crate) fn get(&mut self, id: UpstreamId) -> Option<&mut Upstream> {
        self.list.iter_mut().find(|upstream| upstream.id == id)
    }

    pub(crate) fn position(&self, id: UpstreamId) -> Option<usize> {
        self.list.iter().position(|upstream| upstream.id == id)
    }

    /// Replaces the list; a resolver that stays keeps its sockets and what is known of it. Returns those
    /// that left, and whether anything changed but the order.
    pub(crate) fn replace(&mut self, addrs: &[SocketAddr]) -> (Vec<UpstreamId>, bool) {
        let mut old = core::mem::take(&mut self.list);
        let mut changed = false;
        for addr in addrs {
            if self.list.len() == MAX_UPSTREAMS || self.list.iter().any(|known| known.addr == *addr) {
                continue;
            }
            let known = old.iter().position(|upstream| upstream.addr == *addr);
            let upstream = known.map(|at| old.swap_remove(at)).unwrap_or_else(|| {
                changed = true;
                let id = UpstreamId(self.next_id);
                self.next_id += 1;
                Upstream {
                    id,
                    addr: *addr,
                    failures: 0,
                    down: false,
                    probe_at: Monotonic::ZERO,
                    hold: FIRST_HOLD,
                    round_trip: None,
                    without_edns: None,
                    folds_case: None,
                    slots: vec![Slot::default(); usize::from(self.slots)],
                    tcp: None,
                }
            });
            self.list.push(upstream);
        }
        changed |= !old.is_empty();
        (old.into_iter().map(|upstream| upstream.id).collect(), changed)
    }

    /// The best resolver whose position is not in `tried`: those that answer before those that are down,
    /// then in the order of the list.
    pub(crate) fn best(&self, tried: u16) -> Option<UpstreamId> {
        let open = self.list.iter().enumerate().filter(|(at, _)| tried & (1 << at) == 0);
        open.min_by_key(|(_, upstream)| upstream.down).map(|(_, upstream)| upstream.id)
    }

    /// A resolver that is down and may be tried again; it will not be named again for a while.
    pub(crate) fn take_probe(&mut self, now: Monotonic) -> Option<UpstreamId> {
        let due = self.list.iter_mut().find(|upstream| upstream.down && upstream.probe_at <= now)?;
        due.probe_at = now + due.hold;
        Some(due.id)
    }

    /// A UDP socket of `id`, chosen at random among those whose port is not due for renewal.
    pub(crate) fn udp_route(&mut self, id: UpstreamId, rng: &mut impl RngCore) -> Option<Route> {
        let uses = self.uses;
        let upstream = self.get(id)?;
        let count = u32::try_from(upstream.slots.len()).ok()?;
        let start = rng.next_u32() % count;
        let fresh = (0..count)
            .map(|step| (start + step) % count)
            .find(|at| upstream.slots.get(*at as usize).is_some_and(|slot| slot.uses < uses))
            .unwrap_or(start);
        let slot = upstream.slots.get_mut(fresh as usize)?;
        slot.uses = slot.uses.saturating_add(1);
        slot.outstanding += 1;
        Some(Route { upstream: id, transport: RouteTransport::Udp { slot: u16::try_from(fresh).ok()? } })
    }

    /// The TCP connection of `id`; a new one when there is none.
    pub(crate) fn tcp_route(&mut self, id: UpstreamId, now: Monotonic) -> Option<Route> {
        let fresh = self.next_tcp;
        let upstream = self.get(id)?;
        let tcp = upstream.tcp.get_or_insert(Tcp { id: fresh, outstanding: 0, idle_since: now });
        tcp.outstanding += 1;
        let connection = tcp.id;
        if connection == fresh {
            self.next_tcp = fresh.wrapping_add(1);
        }
        Some(Route { upstream: id, transport: RouteTransport::Tcp { id: connection } })
    }

    /// A question on `route` is over. True when the socket's port is due for renewal and nothing else is
    /// awaited on it: close it.
    pub(crate) fn release(&mut self, route: Route, now: Monotonic) -> bool {
        let uses = self.uses;
        let Some(upstream) = self.get(route.upstream) else { return false };
        match route.transport {
            RouteTransport::Udp { slot } => {
                let Some(slot) = upstream.slots.get_mut(usize::from(slot)) else { return false };
                slot.outstanding = slot.outstanding.saturating_sub(1);
                let renew = slot.outstanding == 0 && slot.uses >= uses;
                if renew {
                    *slot = Slot::default();
                }
                renew
            }
            RouteTransport::Tcp { id } => {
                if let Some(tcp) = upstream.tcp.as_mut().filter(|tcp| tcp.id == id) {
                    tcp.outstanding = tcp.outstanding.saturating_sub(1);
                    tcp.idle_since = now;
                }
                false
            }
        }
    }

    /// An answer on `route` matched nothing.
    pub(crate) fn suspect(&mut self, route: Route) {
        let uses = self.uses;
        if let RouteTransport::Udp { slot } = route.transport
            && let Some(slot) = self.get(route.upstream).and_then(|u| u.slots.get_mut(usize::from(slot)))
        {
            slot.suspicious += 1;
            if slot.suspicious >= SUSPICIOUS {
                slot.uses = slot.uses.max(uses);
            }
        }
    }

    /// Forgets the connection of `route`; true when it was the current one.
    pub(crate) fn drop_tcp(&mut self, route: Route) -> bool {
        let RouteTransport::Tcp { id } = route.transport else { return false };
        self.get(route.upstream).is_some_and(|u| u.tcp.take_if(|tcp| tcp.id == id).is_some())
    }

    /// Takes a connection that has had nothing to do for long enough.
    pub(crate) fn take_idle_tcp(&mut self, now: Monotonic) -> Option<Route> {
        self.list.iter_mut().find_map(|upstream| {
            let idle = |tcp: &mut Tcp| tcp.outstanding == 0 && tcp.idle_since + TCP_IDLE <= now;
            let tcp = upstream.tcp.take_if(idle)?;
            Some(Route { upstream: upstream.id, transport: RouteTransport::Tcp { id: tcp.id } })
        })
    }

    /// When [`Upstreams::take_idle_tcp`] finds the next.
    pub(crate) fn next_idle_tcp(&self) -> Option<Monotonic> {
        let idle =
            |u: &Upstream| u.tcp.filter(|tcp| tcp.outstanding == 0).map(|tcp| tcp.idle_since + TCP_IDLE);
        self.list.iter().filter_map(idle).min()
    }
}

impl Upstream {
    /// It answered.
    pub(crate) fn succeeded(&mut self, round_trip: Duration) -> Health {
        self.failures = 0;
        self.hold = FIRST_HOLD;
        self.round_trip = Some(self.round_trip.map_or(round_trip, |known| (known * 7 + round_trip) / 8));
        if core::mem::take(&mut self.down) { Health::CameUp } else { Health::Same }
    }

    /// It was silent, or its socket failed.
    pub(crate) fn failed(&mut self, now: Monotonic) -> Health {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_UNTIL_DOWN {
            return Health::Same;
        }
        if self.down {
            return Health::Same;
        }
        self.down = true;
        self.probe_at = now + self.hold;
        Health::WentDown
    }

    /// A probe was in vain: wait longer for the next.
    pub(crate) fn probe_failed(&mut self, now: Monotonic) {
        self.hold = (self.hold * 2).min(LONGEST_HOLD);
        self.probe_at = now + self.hold;
    }

    /// How long to wait for this resolver before another is asked too: what the schedule says, or much
    /// less when it is known to be near.
    pub(crate) fn patience(&self, scheduled: Duration) -> Duration {
        let near = self.round_trip.map_or(scheduled, |known| known * 4 + Duration::from_millis(200));
        scheduled.min(near)
    }

    pub(crate) fn speaks_edns(&self, now: Monotonic) -> bool {
        self.without_edns.is_none_or(|until| until <= now)
    }

    pub(crate) fn lacks_edns(&mut self, now: Monotonic) {
        self.without_edns = Some(now + QUIRK);
    }

    pub(crate) fn keeps_case(&self, now: Monotonic) -> bool {
        self.folds_case.is_none_or(|until| until <= now)
    }

    pub(crate) fn loses_case(&mut self, now: Monotonic) {
        self.folds_case = Some(now + QUIRK);
    }
}
