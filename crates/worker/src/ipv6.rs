//! Router advertisements and DHCPv6 of the segment: the engine and its packet socket, joined.
//!
//! Nothing is stored: the engine gives a client the same address after a restart by itself.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
};

use hn_ip6::{Config, Event, LeaseView, Output, Server, Uplink};
use hn_types::{Monotonic, Now, observed::Lease};
use rustix::io;

use crate::{
    poller::{Interest, Poller, Readiness, Token},
    sys::{Flushed, RecvBatch, SendBatch},
};

/// The server.
#[derive(Debug)]
pub(crate) struct Ipv6 {
    server: Server,
    socket: OwnedFd,
    frames: SendBatch,
    /// Frames wait for the socket, and none is read before they have left.
    blocked: bool,
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
        poller.add(&socket, Token::Frames6, Interest::READ)?;
        Ok(Self {
            server: Server::new(config, seed, now),
            socket,
            frames: SendBatch::new(),
            blocked: false,
            events: Vec::new(),
            send_failed: 0,
            overlong: 0,
        })
    }

    /// Says goodbye to the segment and leaves the poller.
    pub(crate) fn finish(&mut self, poller: &Poller, now: Now) {
        self.server.stop(now);
        self.settle(poller);
        poller.remove(&self.socket);
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    /// All leases, as reported.
    pub(crate) fn leases(&self) -> VecDeque<Lease> {
        self.server.leases().map(report).collect()
    }

    pub(crate) fn set_uplink(&mut self, uplink: Uplink, now: Now) {
        self.server.set_uplink(uplink, now);
    }

    /// The packet socket is ready: takes one batch of frames.
    pub(crate) fn handle_ready(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        received: &mut RecvBatch,
        now: Now,
    ) {
        if ready.write && self.blocked {
            self.flush(poller);
        }
        if !ready.read || self.blocked {
            return;
        }
        match received.receive(self.socket.as_fd()) {
            Ok(_) if ready.failed && received.get(0).is_none_or(|frame| frame.bytes.is_empty()) => {
                // The other end has hung up for good; waiting on would only spin.
                tracing::warn!("the packet socket of IPv6 has hung up");
                poller.remove(&self.socket);
            }
            Ok(count) => {
                for index in 0..count {
                    match received.get(index) {
                        Some(frame) if !frame.truncated => self.server.handle_frame(frame.bytes, now),
                        Some(_) | None => self.overlong += 1,
                    }
                }
            }
            // The link went down; it says so once.
            Err(error) => tracing::debug!(%error, "the packet socket of IPv6 failed"),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.server.handle_timeout(now);
        }
    }

    /// When [`Ipv6::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        self.server.poll_timeout().map(|(at, _)| at)
    }

    /// Carries out what the engine wants.
    pub(crate) fn settle(&mut self, poller: &Poller) {
        loop {
            if self.frames.is_full() {
                if !self.blocked {
                    self.flush(poller);
                }
                if self.blocked {
                    return;
                }
            }
            match self.server.poll_output() {
                Some(Output::Transmit(frame)) => {
                    if !self.frames.push(frame, None) {
                        self.send_failed += 1;
                    }
                }
                Some(Output::Event(event)) => self.events.push(event),
                None => break,
            }
        }
        if !self.blocked && !self.frames.is_empty() {
            self.flush(poller);
        }
    }

    fn flush(&mut self, poller: &Poller) {
        let Flushed { failed, blocked, .. } = self.frames.flush(self.socket.as_fd());
        self.send_failed += failed as u64;
        if blocked != self.blocked {
            let interest = if blocked { Interest::WRITE } else { Interest::READ };
            if poller.modify(&self.socket, Token::Frames6, interest).is_ok() {
                self.blocked = blocked;
            }
        }
    }
}

/// A lease as the control process sees it.
pub(crate) fn report(lease: LeaseView) -> Lease {
    let LeaseView { address, mac, hostname, expires } = lease;
    Lease { mac, address: address.into(), hostname, expires }
}
