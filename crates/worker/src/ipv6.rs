//! Router advertisements and DHCPv6 of the segment, and what the uplink gives for them: the engines and their packet
//! sockets, joined.
//!
//! Nothing is stored: the engine gives a client the same address after a restart by itself.

use std::{
    collections::{BTreeSet, VecDeque},
    net::Ipv6Addr,
    os::fd::{AsFd, OwnedFd},
};

use hn_ip6::{
    Config, DropReason, Event, Given, Global, LeaseView, Link, Output, Relay, Requester, Server, Uplink,
};
use hn_types::{
    IfName, MacAddr, Monotonic, Now,
    observed::{Lease, Uplink6},
    plan::Ipv6Plan,
};
use rustix::io;

use crate::{
    poller::{Interest, Poller, Readiness, Token},
    sys::{Flushed, RecvBatch, SendBatch},
};

/// A packet socket and the frames that wait for it.
#[derive(Debug)]
struct Leg {
    socket: OwnedFd,
    token: Token,
    frames: SendBatch,
    /// Frames wait for the socket, and none is read before they have left.
    blocked: bool,
}

impl Leg {
    fn open(poller: &Poller, token: Token, socket: OwnedFd) -> io::Result<Self> {
        poller.add(&socket, token, Interest::READ)?;
        Ok(Self { socket, token, frames: SendBatch::new(), blocked: false })
    }

    /// The socket is ready: takes one batch of frames, if there is one. Returns how many frames the kernel
    /// refused, and how many were received.
    fn receive(&mut self, poller: &Poller, ready: Readiness, received: &mut RecvBatch) -> (u64, usize) {
        let refused = if ready.write && self.blocked { self.flush(poller) } else { 0 };
        if !ready.read || self.blocked {
            return (refused, 0);
        }
        match received.receive(self.socket.as_fd()) {
            Ok(_) if ready.failed && received.get(0).is_none_or(|frame| frame.bytes.is_empty()) => {
                // The other end has hung up for good; waiting on would only spin.
                tracing::warn!("a packet socket of IPv6 has hung up");
                poller.remove(&self.socket);
                (refused, 0)
            }
            Ok(count) => (refused, count),
            // The link went down; it says so once.
            Err(error) => {
                tracing::debug!(%error, "a packet socket of IPv6 failed");
                (refused, 0)
            }
        }
    }

    /// Whether one more frame can be taken; sends what there is when not. Counts what the kernel refuses.
    fn has_room(&mut self, poller: &Poller, refused: &mut u64) -> bool {
        if self.frames.is_full() && !self.blocked {
            *refused += self.flush(poller);
        }
        !self.frames.is_full()
    }

    fn send(&mut self, poller: &Poller) -> u64 {
        if self.blocked || self.frames.is_empty() { 0 } else { self.flush(poller) }
    }

    fn flush(&mut self, poller: &Poller) -> u64 {
        let Flushed { failed, blocked, .. } = self.frames.flush(self.socket.as_fd());
        if blocked != self.blocked {
            let interest = if blocked { Interest::WRITE } else { Interest::READ };
            if poller.modify(&self.socket, self.token, interest).is_ok() {
                self.blocked = blocked;
            }
        }
        failed as u64
    }
}

/// The client on the uplink.
#[derive(Debug)]
struct Upstream {
    interface: IfName,
    requester: Requester,
    leg: Leg,
    /// What was last reported.
    reported: Option<Uplink6>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Ipv6 {
    server: Server,
    leg: Leg,
    upstream: Option<Upstream>,
    plan: Option<Ipv6Plan>,
    /// What devices were told of the uplink and when it was looked at: lifetimes go by.
    given: Given,
    /// What happened since [`Ipv6::events`] was last emptied.
    pub(crate) events: Vec<Event>,
    /// Frames the kernel refused.
    pub(crate) send_failed: u64,
    /// Frames longer than any message.
    pub(crate) overlong: u64,
}

impl Ipv6 {
    /// Serves frames on `socket`; the first advertisement is due at once.
    ///
    /// # Errors
    ///
    /// When the socket cannot be waited for.
    pub(crate) fn start(
        poller: &Poller,
        config: Config,
        seed: u64,
        socket: OwnedFd,
        now: Now,
    ) -> io::Result<Self> {
        Ok(Self {
            leg: Leg::open(poller, Token::Frames6, socket)?,
            server: Server::new(config, seed, now),
            upstream: None,
            plan: None,
            given: Given::default(),
            events: Vec::new(),
            send_failed: 0,
            overlong: 0,
        })
    }

    /// Says goodbye to the segment and to the uplink and leaves the poller.
    pub(crate) fn finish(&mut self, poller: &Poller, now: Now) {
        self.leave_uplink(poller, now);
        self.server.stop(now);
        self.settle(poller);
        poller.remove(&self.leg.socket);
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    /// What was dropped of what came from the uplink.
    pub(crate) fn uplink_drops(&self) -> Vec<(DropReason, u64)> {
        self.upstream.iter().flat_map(|upstream| upstream.requester.counters().drops()).collect()
    }

    /// All addresses, leased or seen, as reported.
    pub(crate) fn leases(&self) -> VecDeque<Lease> {
        let leased: BTreeSet<_> = self.server.leases().map(|lease| lease.address).collect();
        let seen = self.server.addresses_in_use().filter(|lease| !leased.contains(&lease.address));
        self.server.leases().chain(seen).map(report).collect()
    }

    pub(crate) fn is_leased(&self, address: Ipv6Addr) -> bool {
        self.server.leases().any(|lease| lease.address == address)
    }

    pub(crate) fn is_seen(&self, address: Ipv6Addr) -> bool {
        self.server.addresses_in_use().any(|lease| lease.address == address)
    }

    // --- the uplink -------------------------------------------------------------------------------

    /// Asks the uplink from here on what it gives.
    ///
    /// # Errors
    ///
    /// When the socket cannot be waited for.
    pub(crate) fn watch_uplink(
        &mut self,
        poller: &Poller,
        interface: IfName,
        (mac, link_local): (Option<MacAddr>, Ipv6Addr),
        seed: u64,
        socket: OwnedFd,
        now: Now,
    ) -> io::Result<()> {
        let uuid = self.server.config().raw().uuid;
        let iaid = hn_ip6::association_of(interface.as_str());
        let requester = Requester::new(Link { mac, link_local, uuid, iaid }, seed, now);
        let leg = Leg::open(poller, Token::Uplink6, socket)?;
        self.upstream = Some(Upstream { interface, requester, leg, reported: None });
        self.apply(now);
        Ok(())
    }

    /// Asks it no more, and gives back what it gave.
    pub(crate) fn leave_uplink(&mut self, poller: &Poller, now: Now) {
        if let Some(upstream) = &mut self.upstream {
            upstream.requester.stop(now);
            self.settle(poller);
        }
        if let Some(upstream) = self.upstream.take() {
            poller.remove(&upstream.leg.socket);
            self.apply(now);
        }
    }

    /// What the uplink gives, if that changed.
    pub(crate) fn news(&mut self) -> Option<Uplink6> {
        let upstream = self.upstream.as_mut()?;
        let given = upstream.requester.given();
        let found = Uplink6 {
            interface: upstream.interface,
            delegated: given.delegated.map(|delegated| delegated.prefix),
            shared: given.shared.map(|shared| shared.network),
            settled: given.settled,
        };
        // Nothing is said before there is anything to say.
        let before = upstream.reported;
        let worth = before.is_some() || found.settled || found.shared.is_some();
        (worth && before != Some(found)).then(|| {
            upstream.reported = Some(found);
            found
        })
    }

    /// What devices are to be told of the way out.
    pub(crate) fn set_plan(&mut self, plan: Ipv6Plan, now: Now) {
        self.plan = Some(plan);
        self.apply(now);
    }

    /// Follows what the uplink gives: lifetimes are extended and end.
    pub(crate) fn follow(&mut self, now: Now) {
        let given = self.upstream.as_ref().map(|upstream| upstream.requester.given()).unwrap_or_default();
        if given != self.given {
            self.apply(now);
        }
    }

    /// Brings together what should be announced and how long the uplink grants it.
    fn apply(&mut self, now: Now) {
        let Some(plan) = &self.plan else { return };
        let given = self.upstream.as_ref().map(|upstream| upstream.requester.given()).unwrap_or_default();
        self.given = given;
        let global = plan.global.and_then(|network| {
            let delegated = given.delegated.filter(|delegated| delegated.prefix.contains(network.address()));
            let shared = given.shared.filter(|shared| shared.network == network);
            let (preferred_until, valid_until) = delegated
                .map(|delegated| (delegated.preferred_until, delegated.valid_until))
                .or_else(|| shared.map(|shared| (shared.preferred_until, shared.valid_until)))?;
            Some(Global { network, on_link: delegated.is_some(), preferred_until, valid_until })
        });
        let nat64 = given.nat64.filter(|_| plan.router);
        self.server.set_uplink(Uplink { router: plan.router, mtu: plan.mtu, global, nat64 }, now);
        let link = self.upstream.as_ref().map(|upstream| upstream.requester.link());
        let relay = plan.relay.as_ref().zip(link).and_then(|(relay, link)| {
            let own = relay.own.clone();
            Some(Relay { network: relay.network, mac: link.mac?, link_local: link.link_local, own })
        });
        self.server.set_relay(relay, now);
    }

    // --- sockets and time -------------------------------------------------------------------------

    /// The packet socket of the segment is ready: takes one batch of frames.
    pub(crate) fn handle_ready(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        received: &mut RecvBatch,
        now: Now,
    ) {
        let (refused, count) = self.leg.receive(poller, ready, received);
        self.send_failed += refused;
        for index in 0..count {
            match received.get(index) {
                Some(frame) if !frame.truncated => self.server.handle_frame(frame.bytes, now),
                Some(_) | None => self.overlong += 1,
            }
        }
    }

    /// The packet socket of the uplink is ready: takes one batch of frames.
    pub(crate) fn handle_uplink(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        received: &mut RecvBatch,
        now: Now,
    ) {
        let Some(upstream) = &mut self.upstream else { return };
        let (refused, count) = upstream.leg.receive(poller, ready, received);
        self.send_failed += refused;
        let relaying = self.plan.as_ref().is_some_and(|plan| plan.relay.is_some());
        for index in 0..count {
            match received.get(index) {
                Some(frame) if !frame.truncated => {
                    upstream.requester.handle_frame(frame.bytes, now);
                    if relaying {
                        self.server.handle_uplink_frame(frame.bytes, now);
                    }
                }
                Some(_) | None => self.overlong += 1,
            }
        }
        self.follow(now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if let Some(upstream) = &mut self.upstream
            && upstream.requester.poll_timeout().is_some_and(|at| at <= now.mono)
        {
            upstream.requester.handle_timeout(now);
        }
        if self.server.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
            self.server.handle_timeout(now);
        }
    }

    /// When [`Ipv6::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let server = self.server.poll_timeout().map(|(at, _)| at);
        let upstream = self.upstream.as_ref().and_then(|upstream| upstream.requester.poll_timeout());
        [server, upstream].into_iter().flatten().min()
    }

    /// Carries out what the engines want.
    pub(crate) fn settle(&mut self, poller: &Poller) {
        let refused = &mut self.send_failed;
        while self.leg.has_room(poller, refused)
            && self.upstream.as_mut().is_none_or(|upstream| upstream.leg.has_room(poller, refused))
        {
            let taken = match self.server.poll_output() {
                Some(Output::Transmit(frame)) => self.leg.frames.push(frame, None),
                Some(Output::TransmitUplink(frame)) => {
                    self.upstream.as_mut().is_none_or(|upstream| upstream.leg.frames.push(frame, None))
                }
                Some(Output::Event(event)) => {
                    self.events.push(event);
                    true
                }
                None => break,
            };
            *refused += u64::from(!taken);
        }
        *refused += self.leg.send(poller);
        if let Some(upstream) = &mut self.upstream {
            while upstream.leg.has_room(poller, refused)
                && let Some(frame) = upstream.requester.poll_transmit()
            {
                *refused += u64::from(!upstream.leg.frames.push(frame, None));
            }
            *refused += upstream.leg.send(poller);
        }
    }
}

/// A lease as the control process sees it.
pub(crate) fn report(lease: LeaseView) -> Lease {
    let LeaseView { address, mac, hostname, expires } = lease;
    Lease { mac, address: address.into(), hostname, expires }
}
