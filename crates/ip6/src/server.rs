//! The engine's face: inputs, the one output queue, time.

use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

use hn_types::{Monotonic, Now, siphash::SipKey};

use crate::{
    advert::{self, Random, Schedule},
    config::{Config, Uplink},
    counters::{Counters, DropReason},
    event::{Event, LeaseView, Output},
    frame::{self, Packet, Peer},
    lease::Leases,
    rate::Rate,
};

/// Room one input may need in the output queue: two events for each association, and the answer.
const HEADROOM: usize = 12;

#[derive(Debug)]
enum Item {
    Frame(Vec<u8>),
    Event(Event),
}

/// SplitMix64.
#[derive(Debug)]
struct Draws(u64);

impl Draws {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
    schedule: Schedule,
    rate: Rate,
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
        if let Err(reason) = self.rate.admit(packet.sender(), raw.limits, self.now.mono) {
            return self.counters.drop(reason);
        }
        match packet {
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
        let before = self.config.raw().uplink;
        self.config.set_uplink(uplink);
        if self.config.raw().uplink != before {
            self.schedule.renew(self.now.mono);
        }
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
            Item::Event(event) => Some(Output::Event(event)),
        }
    }

    /// When [`Server::handle_timeout`] wants to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        let advert = (!self.stopped).then(|| (self.schedule.next(), "advertisement"));
        let lease = self.leases.next_expiry().map(|at| (at, "lease"));
        [advert, lease].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The current leases.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + '_ {
        self.leases.iter().map(|lease| self.view(lease))
    }

    // --- inside ---------------------------------------------------------------------------------

    /// Time never goes back.
    fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    fn expire(&mut self) {
        while self.has_room()
            && let Some(lease) = self.leases.pop_expired(self.now.mono)
        {
            self.counters.expired += 1;
            self.end(&lease);
        }
    }

    fn has_room(&self) -> bool {
        self.outputs.len() + HEADROOM <= self.config.raw().limits.outputs
    }

    fn advertise(&mut self, to: Peer, last: bool) {
        if to == Peer::EVERYBODY {
            self.counters.advertisements += 1;
        } else {
            self.counters.advertisements_unicast += 1;
        }
        let raw = self.config.raw();
        let frame = frame::icmpv6(raw, to, &advert::message(raw, last));
        self.push_frame(frame);
    }

    pub(crate) fn push_frame(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(Item::Frame(frame));
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        self.outputs.push_back(Item::Event(event));
    }
}
