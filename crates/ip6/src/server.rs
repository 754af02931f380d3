//! The engine's face: inputs, the one output queue, time.

use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

use hn_types::{Monotonic, Now, Subnet6, siphash::SipKey};

use crate::{
    advert::{self, FORMER_VALID, Former, Random, Schedule},
    config::{Config, Uplink},
    counters::{Counters, DropReason},
    event::{Event, LeaseView, Output},
    frame::{self, Origin, Packet, Peer},
    lease::Leases,
    rate::Rate,
    relay::Relaying,
    seen::Seen,
};

/// Room one input may need in the output queue: five events for each association, and the answer.
const HEADROOM: usize = 24;
/// Prefixes remembered that must not be used any more.
const FORMER: usize = 4;

#[derive(Debug)]
enum Item {
    Frame(Vec<u8>),
    UplinkFrame(Vec<u8>),
    Event(Event),
}

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Draws {
    /// From 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The id of a transaction.
    pub(crate) const fn transaction(&mut self) -> [u8; 3] {
        let [a, b, c, ..] = self.next().to_be_bytes();
        [a, b, c]
    }
}

impl Random for Draws {
    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.next() % (most.as_millis() as u64 + 1))
    }
}

/// Router Advertisements and the DHCPv6 server of one private interface. See the crate's documentation.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) leases: Leases,
    pub(crate) counters: Counters,
    pub(crate) now: Now,
    /// Newest last.
    pub(crate) former: Vec<Former>,
    pub(crate) seen: Seen,
    pub(crate) relaying: Option<Relaying>,
    schedule: Schedule,
    rate: Rate,
    /// Of neighbour discovery, which devices speak among each other, too.
    neighbour_rate: Rate,
    draws: Draws,
    stopped: bool,
    outputs: VecDeque<Item>,
    /// The frame that `poll_output` lent last.
    lent: Vec<u8>,
}

impl Server {
    /// A server without leases; its first advertisement is due at once. `seed` decides delays and keys the table
    /// of senders; it should be secret.
    pub fn new(config: Config, seed: u64, now: Now) -> Self {
        let limits = config.raw().limits;
        let mut draws = Draws(seed);
        let key = SipKey::new(draws.next(), draws.next());
        Self {
            leases: Leases::new(config.raw()),
            counters: Counters::default(),
            now,
            schedule: Schedule::new(limits.solicited, now.mono),
            rate: Rate::new(key, limits, now.mono),
            neighbour_rate: Rate::new(key, limits, now.mono),
            former: Vec::new(),
            seen: Seen::new(limits),
            relaying: None,
            draws,
            stopped: false,
            outputs: VecDeque::new(),
            lent: Vec::new(),
            config,
        }
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
        self.expire();
        if self.stopped {
            return self.counters.drop(DropReason::Stopped);
        }
        if !self.has_room() {
            return self.counters.drop(DropReason::OutputBacklog);
        }
        let raw = self.config.raw();
        let packet = match frame::parse(frame, raw) {
            Ok(packet) => packet,
            Err(reason) => return self.counters.drop(reason),
        };
        let (sender, rate) = match &packet {
            Packet::Solicitation(peer) | Packet::Dhcp { from: peer, .. } => (peer.mac, &mut self.rate),
            Packet::Neighbour(neighbour) => (neighbour.from.mac, &mut self.neighbour_rate),
        };
        if let Err(reason) = rate.admit(sender, raw.limits, self.now.mono) {
            return self.counters.drop(reason);
        }
        match packet {
            Packet::Neighbour(neighbour) => self.handle_neighbour(neighbour),
            Packet::Solicitation(peer) => {
                self.counters.solicitations += 1;
                self.schedule.solicit(peer, self.now.mono, &mut self.draws);
            }
            Packet::Dhcp { from, multicast, message } => self.handle_message(from, multicast, message),
        }
    }

    /// The time that [`Server::poll_timeout`] named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.expire();
        self.look_after_neighbours();
        while !self.stopped
            && self.has_room()
            && let Some(peer) = self.schedule.pop_due(self.now.mono, &mut self.draws)
        {
            self.advertise(peer, false);
        }
    }

    /// The way out appeared, changed or went. Devices are told as soon as the protocol allows.
    pub fn set_uplink(&mut self, uplink: Uplink, now: Now) {
        self.advance(now);
        let (before, at) = (self.config.raw().uplink, self.now.mono);
        self.config.set_uplink(uplink);
        let after = self.config.raw().uplink;
        let network = |uplink: Uplink| uplink.global.map(|global| global.network);
        if network(before) != network(after) {
            if let Some(global) = before.global {
                self.retire(Former {
                    network: global.network,
                    on_link: global.on_link,
                    valid_until: global.valid_until.min(at + FORMER_VALID),
                });
            }
            self.former.retain(|former| Some(former.network) != network(after));
        }
        // That time goes by, and that the uplink grants more of it, is said by the next regular one.
        let said = |uplink: Uplink| {
            let global = uplink.global.map(|global| (global.on_link, global.preferred_until > at));
            let nat64 = uplink.nat64.map(|nat64| nat64.prefix);
            (uplink.router, uplink.mtu, network(uplink), global, nat64)
        };
        if said(before) != said(after) {
            self.schedule.renew(self.now.mono);
        }
        self.forget_foreign();
    }

    /// The segment is given up: one last advertisement says so, and nothing is answered any more.
    pub fn stop(&mut self, now: Now) {
        self.advance(now);
        if !core::mem::replace(&mut self.stopped, true) {
            self.advertise(Peer::EVERYBODY, true);
        }
    }

    // --- outputs --------------------------------------------------------------------------------

    /// The next output. Call it until it returns `None` before waiting.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        match self.outputs.pop_front()? {
            Item::Frame(frame) => {
                self.lent = frame;
                Some(Output::Transmit(&self.lent))
            }
            Item::UplinkFrame(frame) => {
                self.lent = frame;
                Some(Output::TransmitUplink(&self.lent))
            }
            Item::Event(event) => Some(Output::Event(event)),
        }
    }

    /// When [`Server::handle_timeout`] wants to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        let advert = (!self.stopped).then(|| (self.schedule.next(), "advertisement"));
        let lease = self.leases.next_expiry().map(|at| (at, "lease"));
        let seen = self.seen.next_due().filter(|_| !self.stopped).map(|at| (at, "neighbour"));
        let former = self.former.iter().map(|former| (former.valid_until, "prefix")).min();
        [advert, lease, seen, former].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The current leases; one that is of two prefixes is two.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + '_ {
        self.leases.iter().flat_map(|lease| {
            let view = self.view(lease);
            let global = lease.global.map(|address| LeaseView { address, ..view.clone() });
            [view].into_iter().chain(global)
        })
    }

    // --- inside ---------------------------------------------------------------------------------

    /// Every prefix that devices may have addresses of.
    pub(crate) fn networks(&self) -> impl Iterator<Item = Subnet6> + '_ {
        let raw = self.config.raw();
        let global = raw.uplink.global.map(|global| global.network);
        let former = self.former.iter().map(|former| former.network);
        [raw.host.network()].into_iter().chain(global).chain(former)
    }

    /// A prefix is not to be used any more.
    fn retire(&mut self, prefix: Former) {
        self.former.retain(|former| former.network != prefix.network);
        if self.former.len() >= FORMER {
            self.former.remove(0);
        }
        if prefix.valid_until > self.now.mono {
            self.former.push(prefix);
        }
    }

    /// Time never goes back.
    pub(crate) fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    fn expire(&mut self) {
        if self.former.iter().any(|former| former.valid_until <= self.now.mono) {
            self.former.retain(|former| former.valid_until > self.now.mono);
            self.forget_foreign();
        }
        while self.has_room()
            && let Some(lease) = self.leases.pop_expired(self.now.mono)
        {
            self.counters.expired += 1;
            self.end(&lease);
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outputs.len() + HEADROOM <= self.config.raw().limits.outputs
    }

    fn advertise(&mut self, to: Peer, last: bool) {
        if to == Peer::EVERYBODY {
            self.counters.advertisements += 1;
        } else {
            self.counters.advertisements_unicast += 1;
        }
        let raw = self.config.raw();
        let message = advert::message(raw, &self.former, self.now.mono, last);
        let frame = frame::icmpv6(Origin::of(raw), to, &message);
        self.push_frame(frame);
    }

    pub(crate) fn push_uplink_frame(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(Item::UplinkFrame(frame));
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn push_frame(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(Item::Frame(frame));
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        self.outputs.push_back(Item::Event(event));
    }
}
