//! DHCP clients by the thousand: a load generator over a packet socket, closed loop or at a fixed rate.
//!
//! It knows no server but by its addresses, answers ARP for every address it has been given and for no other
//! (so a server that probes sees free addresses), and counts what is not answered in time as lost.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bed::{PORT, SERVER, index, stopped};
use crate::frame::{self, Mac, Say, kind};
use crate::sys::{Batch, packet_socket};

/// Exchanges in flight at most. A power of two: the low bits of a transaction id name the slot.
const SLOTS: u32 = 4_096;

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Renew the leases the clients have instead of getting new ones.
    pub(crate) renew: bool,
    /// Exchanges kept in flight.
    pub(crate) window: u32,
    /// Begin this many exchanges each second, whatever the server does; the window is then [`SLOTS`].
    pub(crate) rate: Option<f64>,
    /// No exchange begins later than this.
    pub(crate) limit: Duration,
    /// No more exchanges than this.
    pub(crate) count: u32,
    /// Clients are numbered from here, and
    pub(crate) first: u32,
    /// this many of them take turns.
    pub(crate) clients: u32,
    /// Ask for replies by broadcast.
    pub(crate) broadcast: bool,
    /// For each message.
    pub(crate) timeout: Duration,
    /// Times a message is sent before its exchange is lost.
    pub(crate) tries: u32,
}

impl Load {
    /// `count` new clients from number `first`, `window` at once, one second for each message.
    pub(crate) fn fresh(window: u32, first: u32, count: u32, limit: Duration) -> Self {
        Self {
            renew: false,
            window,
            rate: None,
            limit,
            count,
            first,
            clients: count,
            broadcast: true,
            timeout: Duration::from_secs(1),
            tries: 1,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) done: u32,
    pub(crate) started: u32,
    /// Not answered in time.
    pub(crate) lost: u32,
    /// Refused.
    pub(crate) refused: u32,
    /// Not begun, because all slots were waiting.
    pub(crate) skipped: u32,
    pub(crate) elapsed: Duration,
    latency: Vec<f32>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.done) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The share, in percent, of what was wanted that was not done.
    pub(crate) fn failed(&self) -> f64 {
        let wanted = self.started + self.skipped;
        100.0 * f64::from(wanted - self.done) / f64::from(wanted.max(1))
    }

    /// A percentile of the time of whole exchanges, in microseconds.
    pub(crate) fn latency(&self, share: f64) -> Option<f64> {
        percentile(&self.latency, share)
    }
}

/// A percentile of sorted values.
pub(crate) fn percentile(sorted: &[f32], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share) as usize).copied().map(f64::from)
}

/// The addresses that the clients have.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_client: Vec<Option<Ipv4Addr>>,
    taken: std::collections::HashSet<Ipv4Addr>,
}

impl Leases {
    fn take(&mut self, client: u32, address: Ipv4Addr) {
        let client = client as usize;
        if self.by_client.len() <= client {
            self.by_client.resize(client + 1, None);
        }
        if let Some(entry) = self.by_client.get_mut(client) {
            *entry = Some(address);
        }
        self.taken.insert(address);
    }

    fn of(&self, client: u32) -> Option<Ipv4Addr> {
        self.by_client.get(client as usize).copied().flatten()
    }
}

/// One exchange in flight.
#[derive(Debug, Clone, Copy)]
struct Slot {
    client: u32,
    xid: u32,
    say: Say,
    began: Instant,
    said: Instant,
    tries: u32,
}

/// The generator. It lives in the client's namespace and must be made there.
#[derive(Debug)]
pub(crate) struct Generator {
    socket: OwnedFd,
    server: Mac,
    own: Mac,
    xid: u32,
}

impl Generator {
    pub(crate) fn new(server: Mac, own: Mac) -> Result<Self> {
        let socket = packet_socket(index(PORT)?, frame::DHCP_CLIENT).context("packet socket")?;
        Ok(Self { socket, server, own, xid: std::process::id() << 16 })
    }

    /// Runs `load` to its end, keeping `leases` up to date.
    pub(crate) fn run(&mut self, load: &Load, leases: &mut Leases) -> Result<Outcome> {
        let window = if load.rate.is_some() { SLOTS } else { load.window.min(SLOTS) };
        let mut slots: Vec<Option<Slot>> = vec![None; SLOTS as usize];
        let mut free: Vec<u32> = (0..window).rev().collect();
        let (mut incoming, mut outgoing) = (Batch::new(false), Batch::new(false));
        let mut outcome = Outcome::default();
        let mut next = 0;
        let began = Instant::now();
        let (mut now, mut scanned, mut ended) = (began, began, None);
        loop {
            let running = now - began < load.limit && outcome.started < load.count && !stopped();
            if !running {
                ended.get_or_insert(now);
                if free.len() == window as usize || stopped() {
                    break;
                }
            }
            let mut wanted = match load.rate {
                Some(rate) => {
                    ((now - began).as_secs_f64() * rate) as u32 - (outcome.started + outcome.skipped)
                }
                None => window,
            };
            while running && wanted > 0 && outcome.started + outcome.skipped < load.count {
                wanted -= 1;
                let Some(slot) = free.pop() else {
                    if load.rate.is_none() {
                        break;
                    }
                    outcome.skipped += 1;
                    continue;
                };
                self.xid = self.xid.wrapping_add(SLOTS);
                let client = load.first + next % load.clients;
                next += 1;
                let say = match leases.of(client) {
                    Some(address) if load.renew => Say::Renew(address, SERVER, self.server),
                    Some(_) | None => Say::Discover,
                };
                let xid = self.xid & !(SLOTS - 1) | slot;
                let exchange = Slot { client, xid, say, began: now, said: now, tries: 1 };
                slots[slot as usize] = Some(exchange);
                outcome.started += 1;
                self.say(&mut outgoing, &exchange, load.broadcast)?;
            }
            outgoing.send(self.socket.as_fd())?;
            let patience = if load.rate.is_some() { 50_000 } else { 2_000_000 };
            let mut waiting = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: patience })) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            loop {
                let count = incoming.receive(self.socket.as_fd(), false)?;
                now = Instant::now();
                for at in 0..count {
                    let bytes = incoming.bytes(at);
                    if let Some(target) = frame::arp_target(bytes) {
                        if leases.taken.contains(&target) {
                            let own = self.own;
                            outgoing.push(|slot| frame::arp_answer(slot, bytes, own));
                        }
                    } else if let Some(reply) = frame::reply(bytes) {
                        let place = reply.xid & (SLOTS - 1);
                        let Some(exchange) =
                            slots[place as usize].as_mut().filter(|one| one.xid == reply.xid)
                        else {
                            continue;
                        };
                        match (reply.kind, exchange.say) {
                            (kind::OFFER, Say::Discover) => {
                                exchange.say = Say::Request(reply.address, reply.server);
                                exchange.said = now;
                                exchange.tries = 1;
                                let exchange = *exchange;
                                self.say(&mut outgoing, &exchange, load.broadcast)?;
                            }
                            (kind::ACK, Say::Request(..) | Say::Renew(..)) => {
                                outcome.done += 1;
                                outcome.latency.push(((now - exchange.began).as_secs_f64() * 1e6) as f32);
                                leases.take(exchange.client, reply.address);
                                slots[place as usize] = None;
                                free.push(place);
                            }
                            (kind::NAK, _) => {
                                outcome.refused += 1;
                                slots[place as usize] = None;
                                free.push(place);
                            }
                            _ => {}
                        }
                    }
                    if outgoing.is_full() {
                        outgoing.send(self.socket.as_fd())?;
                    }
                }
                outgoing.send(self.socket.as_fd())?;
                if count < crate::sys::BATCH {
                    break;
                }
            }
            now = Instant::now();
            if now - scanned > Duration::from_millis(5).min(load.timeout) {
                scanned = now;
                self.look_for_lost(load, &mut slots, &mut free, &mut outgoing, &mut outcome)?;
            }
        }
        // With a count, the last exchanges are part of the work; with a time, they are its tail.
        let all = outcome.started >= load.count && load.rate.is_none();
        outcome.elapsed = if all { now } else { ended.unwrap_or(now) } - began;
        outcome.latency.sort_by(f32::total_cmp);
        Ok(outcome)
    }

    fn look_for_lost(
        &self,
        load: &Load,
        slots: &mut [Option<Slot>],
        free: &mut Vec<u32>,
        outgoing: &mut Batch,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let now = Instant::now();
        for (place, slot) in (0..).zip(slots.iter_mut()) {
            let Some(exchange) = slot else { continue };
            if now - exchange.said <= load.timeout {
                continue;
            }
            if exchange.tries < load.tries {
                exchange.tries += 1;
                exchange.said = now;
                let exchange = *exchange;
                self.say(outgoing, &exchange, load.broadcast)?;
            } else {
                outcome.lost += 1;
                *slot = None;
                free.push(place);
            }
        }
        outgoing.send(self.socket.as_fd())?;
        Ok(())
    }

    fn say(&self, outgoing: &mut Batch, exchange: &Slot, broadcast: bool) -> Result<()> {
        if outgoing.is_full() {
            outgoing.send(self.socket.as_fd())?;
        }
        outgoing
            .push(|slot| frame::dhcp(slot, exchange.say, mac_of(exchange.client), exchange.xid, broadcast));
        Ok(())
    }
}

/// The hardware address of a client: locally administered, its number in the last four bytes.
pub(crate) fn mac_of(client: u32) -> Mac {
    let [a, b, c, d] = client.to_be_bytes();
    [0x02, 0xd0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_begun_counts_as_failed() {
        let outcome = Outcome { done: 50, started: 60, skipped: 40, ..Outcome::default() };
        assert!((outcome.failed() - 50.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_of_nothing_are_nothing() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 1.0), Some(3.0));
    }

    #[test]
    fn every_client_has_its_own_address() {
        assert_ne!(mac_of(1), mac_of(256));
        assert_eq!(mac_of(0x0102_0304), [0x02, 0xd0, 1, 2, 3, 4]);
    }
}
