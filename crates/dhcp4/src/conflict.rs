//! Is somebody else using an address? Probes before an offer, the reserve probed ahead of need, and what
//! ARP traffic tells without being asked.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::{MacAddr, Monotonic};

use crate::{
    event::Event,
    frame::{self, Packet},
    lease::{Seconds, State},
    probe::Probe,
    server::Server,
};

/// Conflict events said within one window.
const CONFLICTS_SAID: u32 = 16;
/// Length of the window in seconds.
const CONFLICT_WINDOW: u32 = 10;

impl Server {
    /// An ARP request or reply of `sender`, who says it has `address` and asks for `target`.
    pub(crate) fn handle_arp(&mut self, sender: MacAddr, address: Ipv4Addr, target: Ipv4Addr) {
        // A probe: its sender has no address yet and is about to use the target (RFC 5227 §2.1.1).
        let is_probe = address.is_unspecified();
        let Some(slot) = self.table.slot(if is_probe { target } else { address }) else { return };
        let known = self.table.has_identity(slot) && self.table.mac(slot) == sender;
        if known {
            return;
        }
        match self.table.state(slot) {
            State::Probing | State::Ready => self.seize(slot, sender),
            State::Offered if !is_probe => self.seize(slot, sender),
            State::Bound if !is_probe => {
                self.counters.conflicts += 1;
                self.say_conflict(slot, sender, Some(self.table.mac(slot)));
            }
            State::Released | State::Expired if !is_probe => self.table.make_stale(slot),
            State::Declined if !is_probe => self.rest(slot),
            // Nobody was promised a free address; it is probed before anybody is.
            State::Free => {}
            // A client probes its address, as it should; should it be another's, that one defends itself.
            State::Offered | State::Bound | State::Released | State::Expired | State::Declined => {}
        }
    }

    /// Takes an address that somebody else uses out of service for a while; the client that was to get it
    /// gets another one.
    fn seize(&mut self, slot: u32, claimant: MacAddr) {
        self.counters.conflicts += 1;
        self.say_conflict(slot, claimant, None);
        let waiting = self.probes.cancel(slot);
        self.rest(slot);
        if let Some(waiting) = waiting {
            self.handle_again(waiting);
        }
    }

    fn say_conflict(&mut self, slot: u32, claimant: MacAddr, holder: Option<MacAddr>) {
        let now = self.now_secs();
        if now.since(self.conflicts_said.0) >= CONFLICT_WINDOW {
            self.conflicts_said = (now, 0);
        }
        if self.conflicts_said.1 < CONFLICTS_SAID {
            self.conflicts_said.1 += 1;
            self.push_event(Event::Conflict { address: self.table.address(slot), claimant, holder });
        } else {
            self.counters.conflicts_unsaid += 1;
        }
    }

    /// Lets `slot` rest, whoever had it.
    pub(crate) fn rest(&mut self, slot: u32) {
        let waiting = self.probes.cancel(slot);
        self.recycle_frame(waiting);
        self.table.forget(slot);
        let until = self.now_secs().plus(self.quarantine_secs());
        self.table.set_state(slot, State::Declined, until);
        self.bound_resting();
    }

    /// Half of the pool stays in service, whatever is claimed.
    pub(crate) fn bound_resting(&mut self) {
        let cap = (self.table.slots() / 2).max(1);
        while self.table.resting() > cap
            && let Some(oldest) = self.table.oldest_resting()
        {
            self.table.set_state(oldest, State::Free, Seconds(0));
        }
    }

    // --- probes ---------------------------------------------------------------------------------

    pub(crate) fn send_probe(&mut self, slot: u32) {
        let mut frame = self.buffer();
        frame::arp_probe(&mut frame, self.config.raw().mac, self.table.address(slot));
        self.counters.probes += 1;
        self.push_frame(frame);
    }

    pub(crate) fn start_probe(&mut self, slot: u32, frame: Option<Vec<u8>>) {
        self.send_probe(slot);
        let deadline = self.now.mono + self.config.raw().timing.probe_wait;
        self.probes.start(Probe { slot, deadline, frame });
    }

    /// Nobody answered: the address goes to the client that waits for it, or into the reserve.
    pub(crate) fn probe_was_silent(&mut self, probe: Probe) {
        let now = self.now_secs();
        match probe.frame {
            None => {
                self.table.set_state(probe.slot, State::Ready, Seconds(0));
                self.probes.add_ready(probe.slot, now);
            }
            Some(frame) => {
                let hold = self.config.raw().timing.offer_hold.as_secs() as u32;
                self.table.set_state(probe.slot, State::Offered, now.plus(hold));
                self.handle_again(frame);
                self.bound_offers();
            }
        }
    }

    fn handle_again(&mut self, frame: Vec<u8>) {
        if let Ok(Packet::Dhcp { source, message }) = frame::parse(&frame, &self.config) {
            self.handle_message(&frame, source, message);
        }
        self.recycle_frame(Some(frame));
    }

    // --- the reserve ----------------------------------------------------------------------------

    /// How many addresses are kept probed.
    fn reserve_target(&self) -> usize {
        if self.is_probing() {
            self.config.raw().limits.reserve.min((self.table.open() as usize / 2).max(1))
        } else {
            0
        }
    }

    fn wants_refill(&self) -> bool {
        self.table.free_count() > 0 && self.probes.reserved() < self.reserve_target()
    }

    /// Probes free addresses until the reserve is full again.
    pub(crate) fn refill(&mut self) {
        while self.wants_refill() && self.has_room() {
            self.draws += 1;
            let Some(slot) = self.table.free_near(self.key.hash(3, &self.draws.to_le_bytes())) else {
                return;
            };
            self.table.set_state(slot, State::Probing, Seconds(0));
            self.start_probe(slot, None);
        }
    }

    /// An address of the reserve whose probe is too long ago.
    pub(crate) fn stale_reserve(&self) -> Option<u32> {
        let freshness = self.config.raw().timing.freshness.as_secs() as u32;
        let (slot, since) = self.probes.oldest_ready()?;
        (since.plus(freshness) <= self.now_secs()).then_some(slot)
    }

    pub(crate) fn probe_again(&mut self, slot: u32) {
        let none = self.probes.cancel(slot);
        self.recycle_frame(none);
        self.table.set_state(slot, State::Probing, Seconds(0));
        self.start_probe(slot, None);
    }

    /// When the reserve needs attention.
    pub(crate) fn reserve_deadline(&self) -> Option<Monotonic> {
        if self.wants_refill() {
            return Some(self.now.mono);
        }
        let (_, since) = self.probes.oldest_ready()?;
        let freshness = self.config.raw().timing.freshness.as_secs() as u32;
        Some(since.plus(freshness).to_monotonic())
    }
}
