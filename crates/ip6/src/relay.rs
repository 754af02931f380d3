//! One prefix on two links: devices of the segment have addresses of the uplink's own prefix (RFC 4389,
//! RFC 7278 §4).
//!
//! On the uplink this host answers for the devices' addresses with its own hardware address; what arrives it
//! forwards. On the segment the prefix is announced as not on the link, so that devices send everything to this host.
//! A device that looks whether an address is free is told of everybody who has it, wherever: the question is asked
//! on the other link, too, and what is found there is an objection here. The same holds the other way round.
//!
//! Besides, it is here that the addresses in use on the segment are learned.

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{MacAddr, Monotonic, Now, Wall, siphash::SipKey};

use crate::{
    config::Relay,
    counters::DropReason,
    event::{Event, LeaseView},
    frame::{Envelope, Origin, Peer},
    neighbour::{self, Kind, Neighbour},
    rate::{Bucket, Rate},
    seen::{Due, Sign},
    server::Server,
};

/// How long an address is told as in use without a new sign of life.
const TOLD_FOR: Duration = Duration::from_secs(1_800);
/// How long an answer is awaited on the other link.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// Questions that wait for an answer on the other link.
const QUESTIONS: usize = 64;
/// Questions passed from one link to the other in a second: each is a frame for everybody, and whoever scans the
/// prefix from the Internet causes them.
const QUESTION_RATE: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Uplink,
    Segment,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    target: Ipv6Addr,
    asker: Peer,
    /// Where it was asked.
    side: Side,
    until: Monotonic,
}

/// A relay at work.
#[derive(Debug)]
pub(crate) struct Relaying {
    relay: Relay,
    rate: Rate,
    passed: Bucket,
    questions: VecDeque<Question>,
}

impl Relaying {
    const fn origin(&self) -> Origin {
        Origin { mac: Some(self.relay.mac), address: self.relay.link_local }
    }

    /// Remembers a question; false when there are too many already.
    fn ask(&mut self, question: Question, now: Monotonic) -> bool {
        self.questions.retain(|waiting| waiting.until > now);
        let same = |waiting: &Question| {
            (waiting.target, waiting.asker, waiting.side) == (question.target, question.asker, question.side)
        };
        if !self.questions.iter().any(same) {
            if self.questions.len() >= QUESTIONS {
                self.questions.pop_front();
            }
            self.questions.push_back(question);
        }
        self.passed.take(now, QUESTION_RATE, QUESTION_RATE)
    }

    /// Takes those who asked for `target` on `side`.
    fn askers(&mut self, target: Ipv6Addr, side: Side, now: Monotonic) -> Vec<Peer> {
        let wanted = |question: &Question| question.target == target && question.side == side;
        let found = self.questions.iter().filter(|question| wanted(question) && question.until > now);
        let askers = found.map(|question| question.asker).collect();
        self.questions.retain(|question| !wanted(question));
        askers
    }
}

impl Server {
    /// Devices share the prefix of another link from here on, or do not any more.
    pub fn set_relay(&mut self, relay: Option<Relay>, now: Now) {
        self.advance(now);
        let Some(relay) = relay else {
            self.relaying = None;
            return;
        };
        let limits = self.config.raw().limits;
        match &mut self.relaying {
            Some(relaying) => relaying.relay = relay,
            None => {
                let key = SipKey::new(self.config.raw().address_key, 0x7570_6c69_6e6b_6970);
                self.relaying = Some(Relaying {
                    relay,
                    rate: Rate::new(key, limits, self.now.mono),
                    passed: Bucket::full(QUESTION_RATE, self.now.mono),
                    questions: VecDeque::new(),
                });
            }
        }
    }

    /// A frame was received on the link that the relay is about.
    pub fn handle_uplink_frame(&mut self, frame: &[u8], now: Now) {
        self.advance(now);
        if self.is_stopped() {
            return self.counters.drop(DropReason::Stopped);
        }
        if !self.has_room() {
            return self.counters.drop(DropReason::OutputBacklog);
        }
        if let Err(reason) = self.relay_frame(frame) {
            self.counters.drop(reason);
        }
    }

    /// The addresses in use, as told.
    pub fn addresses_in_use(&self) -> impl Iterator<Item = LeaseView> + '_ {
        self.seen.iter().map(|(address, mac)| self.in_use(address, mac))
    }

    fn relay_frame(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let own = self.origin();
        let (limits, now) = (self.config.raw().limits, self.now.mono);
        let relaying = self.relaying.as_mut().ok_or(DropReason::NoRelay)?;
        let envelope = Envelope::open(frame, Some(relaying.relay.mac))?;
        let message = Neighbour::parse(&envelope)?;
        let target = message.target;
        if !relaying.relay.network.contains(target) {
            return Err(DropReason::Foreign);
        }
        relaying.rate.admit(message.from.mac, limits, now)?;
        self.counters.neighbours += 1;
        let outside = relaying.origin();
        if message.kind == Kind::Advertisement {
            let askers = relaying.askers(target, Side::Segment, now);
            if self.seen.object(target) {
                self.counters.duplicates += 1;
                self.push_frame(neighbour::object(own, target));
            }
            for asker in askers {
                self.push_frame(neighbour::advertise(own, asker, target));
            }
            return Ok(());
        }
        if relaying.relay.own.contains(&target) {
            // The kernel speaks for this host.
            return Ok(());
        }
        if message.is_duplicate_detection() && self.seen.object(target) {
            // Both want it at once, and so nobody gets it (RFC 4862 §5.4.3).
            self.counters.duplicates += 1;
            self.push_frame(neighbour::object(own, target));
            self.push_uplink_frame(neighbour::object(outside, target));
            return Ok(());
        }
        if self.seen.holder(target).is_some() {
            self.counters.relayed += 1;
            self.push_uplink_frame(neighbour::advertise(outside, message.from, target));
            return Ok(());
        }
        let until = now + ANSWERED_WITHIN;
        let question = Question { target, asker: message.from, side: Side::Uplink, until };
        if !relaying.ask(question, now) {
            return Err(DropReason::QuestionRate);
        }
        self.push_frame(neighbour::solicit(own, target));
        Ok(())
    }

    fn origin(&self) -> Origin {
        Origin::of(self.config.raw())
    }

    /// Somebody on the segment speaks about an address.
    pub(crate) fn handle_neighbour(&mut self, message: Neighbour) {
        self.counters.neighbours += 1;
        let result =
            if message.is_duplicate_detection() { self.claimed(message) } else { self.signed(message) };
        if let Err(reason) = result {
            self.counters.drop(reason);
        }
    }

    /// A device looks whether an address is free.
    fn claimed(&mut self, message: Neighbour) -> Result<(), DropReason> {
        let (own, now) = (self.origin(), self.now.mono);
        let target = message.target;
        if !self.is_of_a_device(target) {
            return Err(DropReason::Foreign);
        }
        if self.relaying.as_ref().is_some_and(|relaying| relaying.relay.own.contains(&target)) {
            self.counters.duplicates += 1;
            self.push_frame(neighbour::object(own, target));
            return Ok(());
        }
        self.seen.claim(target, message.from.mac, now)?;
        if let Some(relaying) = &mut self.relaying
            && relaying.relay.network.contains(target)
            && self.seen.asker(target).is_some()
        {
            if !relaying.passed.take(now, QUESTION_RATE, QUESTION_RATE) {
                return Err(DropReason::QuestionRate);
            }
            let outside = relaying.origin();
            self.push_uplink_frame(neighbour::detect_duplicate(outside, target));
        }
        Ok(())
    }

    /// A device shows that it has an address, and perhaps asks for another.
    fn signed(&mut self, message: Neighbour) -> Result<(), DropReason> {
        let Neighbour { kind, from, target, link } = message;
        let address = match kind {
            Kind::Solicitation => from.address,
            Kind::Advertisement => target,
        };
        if kind == Kind::Solicitation {
            self.ask_uplink(from, target);
        }
        if !self.is_of_a_device(address) || link.is_some_and(|link| link != from.mac) {
            return Err(DropReason::Foreign);
        }
        match self.seen.sign(address, from.mac, self.now.mono)? {
            Sign::New | Sign::Again => {}
            Sign::Moved(before) => self.push_event(Event::Unseen { address, mac: before }),
            Sign::Known => return Ok(()),
        }
        self.tell(address, from.mac);
        Ok(())
    }

    /// A device asks who has `target`. With the prefix not on its link it should not, but may.
    fn ask_uplink(&mut self, asker: Peer, target: Ipv6Addr) {
        let (own, now) = (self.origin(), self.now.mono);
        let known = self.seen.holder(target).is_some();
        let Some(relaying) = self.relaying.as_mut().filter(|_| !known) else { return };
        if !relaying.relay.network.contains(target) {
            return;
        }
        if relaying.relay.own.contains(&target) {
            return self.push_frame(neighbour::advertise(own, asker, target));
        }
        let question = Question { target, asker, side: Side::Segment, until: now + ANSWERED_WITHIN };
        if relaying.ask(question, now) {
            let frame = neighbour::solicit(relaying.origin(), target);
            self.push_uplink_frame(frame);
        } else {
            self.counters.drop(DropReason::QuestionRate);
        }
    }

    /// An address of a prefix of the segment that is not this host's.
    fn is_of_a_device(&self, address: Ipv6Addr) -> bool {
        let host = self.config.raw().host.address();
        // The host is the first of every prefix that is all its own.
        let global = self.config.raw().uplink.global.filter(|global| global.on_link);
        let first = global.map(|global| Ipv6Addr::from_bits(global.network.address().to_bits() | 1));
        address != host
            && Some(address) != first
            && self.networks().any(|network| network.contains(address) && network.address() != address)
    }

    /// Says that `address` is in use, to whoever is interested and to those who asked on the uplink.
    fn tell(&mut self, address: Ipv6Addr, mac: MacAddr) {
        let lease = self.in_use(address, mac);
        self.push_event(Event::Seen { lease });
        let now = self.now.mono;
        if let Some(relaying) = &mut self.relaying {
            let outside = relaying.origin();
            for asker in relaying.askers(address, Side::Uplink, now) {
                self.counters.relayed += 1;
                self.push_uplink_frame(neighbour::advertise(outside, asker, address));
            }
        }
    }

    fn in_use(&self, address: Ipv6Addr, mac: MacAddr) -> LeaseView {
        let expires = Wall::from_unix(self.now.wall.as_unix().saturating_add(TOLD_FOR.as_secs()));
        LeaseView { address, mac, hostname: alloc::string::String::new(), expires }
    }

    /// What time brings for the addresses in use.
    pub(crate) fn look_after_neighbours(&mut self) {
        let own = self.origin();
        while !self.is_stopped()
            && self.has_room()
            && let Some(due) = self.seen.pop_due(self.now.mono)
        {
            match due {
                Due::Held(address, mac) => self.tell(address, mac),
                Due::Probe(address, mac) => self.push_frame(neighbour::probe(own, mac, address)),
                Due::Gone(address, mac) => self.push_event(Event::Unseen { address, mac }),
            }
        }
    }

    /// Addresses of a prefix that has ended.
    pub(crate) fn forget_foreign(&mut self) {
        let networks: Vec<_> = self.networks().collect();
        let known = |address: Ipv6Addr| networks.iter().any(|network| network.contains(address));
        while let Some((address, mac, told)) = self.seen.pop_unless(known) {
            if told {
                self.push_event(Event::Unseen { address, mac });
            }
        }
    }
}
