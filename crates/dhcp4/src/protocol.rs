//! What a client's message leads to (RFC 2131 §4.3).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::MacAddr;

use crate::{
    commit::Purpose,
    counters::DropReason,
    event::Event,
    identity::Identity,
    lease::{Seconds, State},
    options::ReplyType,
    record::RecordState,
    reply::Reply,
    server::Server,
    wire::{MessageType, Request},
};

/// Which address a client can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// This one, at once.
    Ready(u32),
    /// This one, if nobody answers a probe.
    Probe(u32),
    /// This one, and a probe for this client is under way already.
    Waiting(u32),
    /// None.
    Nothing,
}

/// Whose frame it is, which a bridge on the way may have made its own.
fn sender(frame: &[u8]) -> Option<MacAddr> {
    frame.get(6..12)?.first_chunk::<6>().copied().map(MacAddr)
}

impl Server {
    /// Handles the DHCP message in `frame`.
    pub(crate) fn handle_message(&mut self, frame: &[u8], source: Ipv4Addr, message: &[u8]) {
        let mut request = match Request::parse(message) {
            Ok(request) => request,
            Err(reason) => return self.counters.drop(reason),
        };
        let denied = &self.config.raw().denied;
        if denied.contains(&request.mac) || sender(frame).is_some_and(|sender| denied.contains(&sender)) {
            return self.counters.drop(DropReason::Denied);
        }
        let client = self.config.identify(request.mac, request.identifier());
        match request.message {
            MessageType::Discover => {
                self.counters.discovers += 1;
                request.ciaddr = Ipv4Addr::UNSPECIFIED;
                self.discover(frame, &request, &client);
            }
            MessageType::Request => {
                self.counters.requests += 1;
                self.request(frame, request, &client);
            }
            MessageType::Decline => {
                self.counters.declines += 1;
                self.decline(&request, &client);
            }
            MessageType::Release => {
                self.counters.releases += 1;
                self.release(&request, &client);
            }
            MessageType::Inform => {
                self.counters.informs += 1;
                self.inform(&mut request, source);
            }
        }
    }

    // --- DISCOVER (§4.3.1) ----------------------------------------------------------------------

    fn discover(&mut self, frame: &[u8], request: &Request, client: &Identity) {
        match self.choose(request, client) {
            Choice::Ready(slot) => {
                self.exhausted = false;
                if request.rapid_commit {
                    return self.bind(slot, request, client);
                }
                self.offer(slot, request, client);
            }
            Choice::Probe(slot) => {
                self.exhausted = false;
                self.wait_for_probe(slot, frame, request, client);
            }
            Choice::Waiting(slot) => self.replace_waiting(slot, frame),
            Choice::Nothing => {
                self.counters.drop(DropReason::PoolExhausted);
                if !core::mem::replace(&mut self.exhausted, true) {
                    self.push_event(Event::PoolExhausted);
                }
            }
        }
    }

    /// The address for `client`: the reserved one, the one it has or had, the one it asks for if that is
    /// free, one that was probed ahead of need, any free one, the one unused for longest.
    fn choose(&mut self, request: &Request, client: &Identity) -> Choice {
        if let Some(slot) = self.reserved_slot(client) {
            return self.readiness(slot, client);
        }
        if let Some(slot) = self.table.find(client) {
            if self.fits(slot, client) {
                return self.readiness(slot, client);
            }
            self.let_go(slot);
        }
        if let Some(slot) = request.requested.and_then(|address| self.table.slot(address))
            && self.is_untaken(slot)
        {
            return self.readiness(slot, client);
        }
        let fresh = if !self.is_probing() {
            self.table.free_for(client)
        } else if let Some((slot, _)) = self.probes.oldest_ready() {
            Some(slot)
        } else {
            // Before anything else the reserve's probe that is already under way: it ends sooner.
            self.probes.unclaimed().or_else(|| self.table.free_for(client))
        };
        match fresh.or_else(|| self.table.longest_idle()) {
            Some(slot) => self.readiness(slot, client),
            None => Choice::Nothing,
        }
    }

    /// The address reserved for `client`, unless somebody else sits on it.
    fn reserved_slot(&self, client: &Identity) -> Option<u32> {
        let slot = self.table.slot(self.config.reserved_address(client)?)?;
        match self.table.state(slot) {
            State::Declined => None,
            State::Bound | State::Offered | State::Probing if !self.table.holds(slot, client) => None,
            State::Bound | State::Offered | State::Probing => Some(slot),
            State::Free | State::Ready | State::Released | State::Expired => Some(slot),
        }
    }

    /// Whether `client` may have `slot` at all, by the configuration.
    fn fits(&self, slot: u32, client: &Identity) -> bool {
        match self.reserved_slot(client) {
            Some(reserved) => reserved == slot,
            None => {
                self.table.is_open(slot)
                    || self.config.reserved_address(client) == Some(self.table.address(slot))
            }
        }
    }

    /// Whether `slot` is open and nobody's, and never was since it is known.
    fn is_untaken(&self, slot: u32) -> bool {
        self.table.is_open(slot)
            && match self.table.state(slot) {
                State::Free | State::Ready => true,
                State::Probing => !self.table.has_identity(slot),
                State::Offered | State::Bound | State::Released | State::Expired | State::Declined => false,
            }
    }

    /// Whether a slot chosen for `client` must be probed first.
    fn readiness(&self, slot: u32, client: &Identity) -> Choice {
        let own = self.table.holds(slot, client);
        match self.table.state(slot) {
            State::Bound | State::Offered if own => Choice::Ready(slot),
            State::Ready => Choice::Ready(slot),
            State::Probing if own => Choice::Waiting(slot),
            State::Probing if !self.table.has_identity(slot) => Choice::Probe(slot),
            State::Released | State::Expired if self.was_in_use_lately(slot) => Choice::Ready(slot),
            State::Free | State::Released | State::Expired => {
                if self.is_probing() {
                    Choice::Probe(slot)
                } else {
                    Choice::Ready(slot)
                }
            }
            State::Bound | State::Offered | State::Probing | State::Declined => Choice::Nothing,
        }
    }

    /// Until a moment ago a client of ours used this address, so nobody else did.
    fn was_in_use_lately(&self, slot: u32) -> bool {
        let age = self.now_secs().since(self.table.expires(slot));
        u64::from(age) <= self.config.raw().timing.freshness.as_secs()
    }

    fn offer(&mut self, slot: u32, request: &Request, client: &Identity) {
        if self.table.state(slot) != State::Bound {
            self.take(slot, request, client);
            let hold = self.config.raw().timing.offer_hold.as_secs() as u32;
            self.table.set_state(slot, State::Offered, self.now_secs().plus(hold));
            self.bound_offers();
        }
        self.counters.offers += 1;
        let lease = Some(self.config.lease_secs());
        self.reply(request, ReplyType::Offer, self.table.address(slot), lease);
        if self.is_probing() && self.table.state(slot) == State::Offered {
            // Once more while the client makes up its mind; an answer takes the offer back.
            self.send_probe(slot);
        }
    }

    /// Makes `slot` the one that `client` is found by; what it had otherwise is given up.
    fn take(&mut self, slot: u32, request: &Request, client: &Identity) {
        let waiting = self.probes.cancel(slot);
        self.recycle_frame(waiting);
        // A client that holds both (a crash can leave two records) keeps the other one until it runs out.
        if let Some(other) = self.table.find(client)
            && other != slot
            && !self.table.holds(slot, client)
        {
            self.let_go(other);
        }
        self.table.assign(slot, client, request.mac);
    }

    /// Ends whatever the identity of `slot` has there.
    fn let_go(&mut self, slot: u32) {
        let now = self.now_secs();
        match self.table.state(slot) {
            State::Bound => self.end_lease(slot, true),
            State::Offered => self.table.withdraw(slot, now),
            State::Probing => {
                let waiting = self.probes.cancel(slot);
                self.recycle_frame(waiting);
                self.table.withdraw(slot, now);
            }
            State::Released | State::Expired | State::Free | State::Ready | State::Declined => {
                self.table.unindex(slot);
            }
        }
    }

    /// Keeps the number of outstanding offers bounded: a flood of made-up clients must not exhaust the pool.
    pub(crate) fn bound_offers(&mut self) {
        let cap = self.config.raw().limits.offers.min((self.table.slots() as usize / 2).max(1));
        while self.table.offers() as usize > cap
            && let Some(oldest) = self.table.oldest_offer()
        {
            self.table.withdraw(oldest, self.now_secs());
            self.counters.offers_evicted += 1;
        }
    }

    // --- REQUEST (§4.3.2) -----------------------------------------------------------------------

    fn request(&mut self, frame: &[u8], mut request: Request, client: &Identity) {
        match request.server {
            Some(server) if server != self.config.server() => {
                // SELECTING, but somebody else.
                if let Some(slot) = self.table.find(client)
                    && self.table.state(slot) == State::Offered
                {
                    self.table.withdraw(slot, self.now_secs());
                }
                return self.counters.drop(DropReason::OtherServer);
            }
            Some(_) if request.requested.is_some() => request.ciaddr = Ipv4Addr::UNSPECIFIED,
            Some(_) | None => {}
        }
        if !request.ciaddr.is_unspecified() {
            return self.renew(&request, client);
        }
        let Some(address) = request.requested else {
            return self.counters.drop(DropReason::Message);
        };
        if request.server.is_none() && !self.may_confirm(address, &request, client) {
            return;
        }
        match self.table.slot(address).map_or(Choice::Nothing, |slot| self.claim(slot, client)) {
            Choice::Ready(slot) => self.bind(slot, &request, client),
            Choice::Probe(slot) => self.wait_for_probe(slot, frame, &request, client),
            Choice::Waiting(slot) => self.replace_waiting(slot, frame),
            Choice::Nothing => self.refuse(&request, "address not available"),
        }
    }

    /// INIT-REBOOT: whether this server may speak about `address`. It refuses what can't be right on this
    /// link, and is silent about clients it doesn't know.
    fn may_confirm(&mut self, address: Ipv4Addr, request: &Request, client: &Identity) -> bool {
        if !self.config.raw().host.contains(address) {
            self.refuse(request, "wrong network");
            return false;
        }
        let held = self.table.slot(address).is_some_and(|slot| self.table.holds(slot, client));
        let known = held || self.config.reserved_address(client) == Some(address);
        if known {
            return true;
        }
        if self.table.find(client).is_some() || self.config.reserved_address(client).is_some() {
            self.refuse(request, "not your address");
        } else {
            self.counters.drop(DropReason::UnknownClient);
        }
        false
    }

    /// Whether `client` can have exactly `slot`.
    fn claim(&self, slot: u32, client: &Identity) -> Choice {
        if !self.fits(slot, client) || self.is_leased_elsewhere(slot, client) {
            return Choice::Nothing;
        }
        match self.table.state(slot) {
            State::Released | State::Expired if !self.table.holds(slot, client) => Choice::Nothing,
            State::Released | State::Expired | State::Free | State::Probing => self.readiness(slot, client),
            State::Ready | State::Offered | State::Bound | State::Declined => self.readiness(slot, client),
        }
    }

    /// RENEWING and REBINDING. A client whose lease was forgotten keeps its address if nobody else has it:
    /// this is the only server of its link, and the client uses the address at this moment.
    fn renew(&mut self, request: &Request, client: &Identity) {
        let address = request.ciaddr;
        if !self.config.raw().host.contains(address) {
            return self.refuse(request, "wrong network");
        }
        match self.table.slot(address) {
            Some(slot) if self.fits(slot, client) && !self.is_leased_elsewhere(slot, client) => {
                let own = self.table.holds(slot, client) && self.table.state(slot) != State::Declined;
                let reserved = self.reserved_slot(client) == Some(slot);
                if own || reserved || self.is_untaken(slot) {
                    self.bind(slot, request, client);
                } else {
                    self.refuse(request, "not your address");
                }
            }
            Some(_) | None => self.refuse(request, "address not available"),
        }
    }

    /// Whether `client` has a lease of another address than `slot`. It may ask for that one only, unless it
    /// has a lease of both (a crash can leave two records). What it gave back doesn't count.
    fn is_leased_elsewhere(&self, slot: u32, client: &Identity) -> bool {
        let leased = self.table.holds(slot, client) && self.table.state(slot) == State::Bound;
        !leased
            && self.table.find(client).is_some_and(|other| {
                other != slot && self.table.state(other) == State::Bound && self.fits(other, client)
            })
    }

    /// Leases `slot` to `client`: the record goes out at once, the acknowledgement when it is on disk.
    fn bind(&mut self, slot: u32, request: &Request, client: &Identity) {
        let now = self.now_secs();
        let term = self.config.lease_secs();
        // The client counts from its request, this server from the next full second: it ends later here.
        let expires = now.plus(term).plus(1);
        let address = self.table.address(slot);
        let renewed = self.table.state(slot) == State::Bound;
        let same_name = request.name.is_empty() || request.name == self.table.name(slot);
        if renewed && self.table.pending(slot) > 0 {
            // A repeated request: what is on its way to the disk answers it.
            let left = self.table.expires(slot).since(now).saturating_sub(1);
            let frame = self.frame_of(request, ReplyType::Ack, address, Some(left));
            let previous = match self.commits.newest_ack(slot) {
                Some(ack) => ack.replace(frame),
                None => Some(frame),
            };
            return self.recycle_frame(previous);
        }
        if renewed && self.table.expires(slot) == expires && self.table.mac(slot) == request.mac && same_name
        {
            // Exactly this is on disk.
            self.counters.acks += 1;
            return self.reply(request, ReplyType::Ack, address, Some(term));
        }
        if !self.can_persist(slot) {
            return self.counters.drop(DropReason::PersistBacklog);
        }
        let mut undo = self.table.snapshot(slot);
        if matches!(undo.state, State::Ready | State::Probing) {
            undo.state = State::Free;
            undo.identity = None;
            undo.had_lease = false;
        }
        self.take(slot, request, client);
        if !request.name.is_empty() {
            self.table.set_name(slot, &request.name);
        }
        self.table.set_state(slot, State::Bound, expires);
        if !renewed {
            self.table.set_uncommitted(slot, true);
        }
        let ack = Some(self.frame_of(request, ReplyType::Ack, address, Some(term)));
        self.persist(slot, RecordState::Bound, Purpose::Bind { undo, ack, renewed });
    }

    fn refuse(&mut self, request: &Request, refusal: &'static str) {
        self.counters.naks += 1;
        let mut frame = self.buffer();
        let reply = Reply {
            kind: ReplyType::Nak,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            lease: None,
            rapid_commit: false,
            refusal,
        };
        self.template.build(&mut frame, &self.config, request, reply);
        self.push_frame(frame);
    }

    // --- DECLINE, RELEASE, INFORM (§4.3.3 – §4.3.5) ---------------------------------------------

    fn decline(&mut self, request: &Request, client: &Identity) {
        let Some(slot) = self.held_slot(request, request.requested, client) else { return };
        match self.table.state(slot) {
            State::Offered | State::Bound => {}
            State::Free
            | State::Probing
            | State::Ready
            | State::Released
            | State::Expired
            | State::Declined => {
                return self.counters.drop(DropReason::NotHolder);
            }
        }
        let (address, mac) = (self.table.address(slot), self.table.mac(slot));
        self.counters.conflicts += 1;
        self.silence(slot);
        self.rest(slot);
        if self.can_persist(slot) {
            self.persist(slot, RecordState::Declined, Purpose::Note);
        }
        self.push_event(Event::Declined { address, mac });
    }

    fn release(&mut self, request: &Request, client: &Identity) {
        let Some(slot) = self.held_slot(request, Some(request.ciaddr), client) else { return };
        if self.table.state(slot) == State::Bound {
            self.end_lease(slot, false);
        } else {
            self.counters.drop(DropReason::NotHolder);
        }
    }

    /// The slot of `address` if the message is for this server and `client` holds it; else it is dropped.
    fn held_slot(&mut self, request: &Request, address: Option<Ipv4Addr>, client: &Identity) -> Option<u32> {
        if request.server.is_some_and(|server| server != self.config.server()) {
            self.counters.drop(DropReason::OtherServer);
            return None;
        }
        let slot = address
            .and_then(|address| self.table.slot(address))
            .filter(|&slot| self.table.holds(slot, client));
        if slot.is_none() {
            self.counters.drop(DropReason::NotHolder);
        }
        slot
    }

    /// Ends a lease because its client gave it up, or (`moved`) gets another one.
    fn end_lease(&mut self, slot: u32, moved: bool) {
        let (address, mac) = (self.table.address(slot), self.table.mac(slot));
        let told = !self.table.is_uncommitted(slot);
        self.silence(slot);
        self.table.set_state(slot, State::Released, self.now_secs());
        if self.can_persist(slot) {
            self.persist(slot, RecordState::Released, Purpose::Note);
        }
        if moved {
            self.table.unindex(slot);
        }
        if told {
            self.push_event(Event::LeaseReleased { address, mac });
        }
    }

    /// No acknowledgement for `slot` leaves any more.
    fn silence(&mut self, slot: u32) {
        while let Some(frame) = self.commits.take_ack(slot) {
            self.recycle_frame(Some(frame));
        }
    }

    fn inform(&mut self, request: &mut Request, source: Ipv4Addr) {
        if request.ciaddr.is_unspecified() {
            request.ciaddr = source;
        }
        if !self.config.raw().host.contains(request.ciaddr) {
            return self.counters.drop(DropReason::Message);
        }
        self.counters.acks += 1;
        self.reply(request, ReplyType::Ack, Ipv4Addr::UNSPECIFIED, None);
    }

    // --- replies, probes ------------------------------------------------------------------------

    fn reply(&mut self, request: &Request, kind: ReplyType, yiaddr: Ipv4Addr, lease: Option<u32>) {
        let frame = self.frame_of(request, kind, yiaddr, lease);
        self.push_frame(frame);
    }

    fn frame_of(
        &mut self,
        request: &Request,
        kind: ReplyType,
        yiaddr: Ipv4Addr,
        lease: Option<u32>,
    ) -> Vec<u8> {
        let mut frame = self.buffer();
        let rapid_commit =
            kind == ReplyType::Ack && request.message == MessageType::Discover && request.rapid_commit;
        let reply = Reply { kind, yiaddr, lease, rapid_commit, refusal: "" };
        self.template.build(&mut frame, &self.config, request, reply);
        frame
    }

    /// Lets `frame` wait until `slot` was probed for `client`; it is handled again then.
    fn wait_for_probe(&mut self, slot: u32, frame: &[u8], request: &Request, client: &Identity) {
        if self.probes.waiting() >= self.config.raw().limits.waiting {
            return self.counters.drop(DropReason::ProbeBacklog);
        }
        let mut waiting = self.buffer();
        waiting.extend_from_slice(frame);
        if let Some(other) = self.table.find(client)
            && other != slot
        {
            self.let_go(other);
        }
        self.table.assign(slot, client, request.mac);
        match self.probes.claim(slot, waiting) {
            Ok(()) => {}
            Err(waiting) => {
                self.table.set_state(slot, State::Probing, Seconds(0));
                self.start_probe(slot, Some(waiting));
            }
        }
    }

    /// The client repeats itself: its latest message is the one to answer.
    fn replace_waiting(&mut self, slot: u32, frame: &[u8]) {
        if let Some(waiting) = self.probes.frame_mut(slot) {
            waiting.clear();
            waiting.extend_from_slice(frame);
        }
    }
}
