//! The DHCP server of the segment: the engine, the packet socket and the lease journal, joined.
//!
//! Owns all three. The one rule: what the engine wants stored is given to the journal before its frames
//! leave, and the engine holds an acknowledgement back until the journal says that it is on disk.

use std::{
    collections::{BTreeSet, VecDeque},
    os::fd::{AsFd, OwnedFd},
};

use hn_dhcp4::{Config, Event, LeaseView, Output, Server};
use hn_types::{MacAddr, Monotonic, Now, observed::Lease};
use rustix::io::{self, Errno};

use crate::{
    journal::{Journal, Settled},
    poller::{Interest, Poller, Readiness, Token},
    sys::{Flushed, RecvBatch, SendBatch},
    writer::{Done, Writer},
};

/// What the driver of the engine counts besides the engine itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Driven {
    /// Replies the kernel refused.
    pub(crate) send_failed: u64,
    /// Frames longer than any DHCP message.
    pub(crate) overlong: u64,
    /// Records of the journal that could not be read.
    pub(crate) damaged: u64,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Dhcp {
    server: Server,
    socket: OwnedFd,
    replies: SendBatch,
    /// Replies wait for the socket, and no frame is read before they have left.
    blocked: bool,
    journal: Journal,
    /// Why the journal could not be written last.
    failure: Option<Errno>,
    /// What happened since [`Dhcp::events`] was last emptied.
    pub(crate) events: Vec<Event>,
    pub(crate) driven: Driven,
}

/// An answer about a rewrite of the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewritten {
    pub(crate) generation: u64,
    pub(crate) ok: bool,
}

impl Dhcp {
    /// Takes the leases up that `journal` knows and serves frames on `socket`.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or the socket not be waited for.
    pub(crate) fn start(
        poller: &Poller,
        config: Config,
        seed: u64,
        socket: OwnedFd,
        journal: OwnedFd,
        now: Now,
    ) -> io::Result<Self> {
        let mut server = Server::new(config, seed, now);
        let (journal, damaged) = Journal::open(journal, |record| server.restore(record))?;
        server.handle_timeout(now);
        poller.add(&socket, Token::Frames, Interest::READ)?;
        Ok(Self {
            server,
            socket,
            replies: SendBatch::new(),
            blocked: false,
            journal,
            failure: None,
            events: Vec::new(),
            driven: Driven { damaged: damaged as u64, ..Driven::default() },
        })
    }

    /// Leaves the poller.
    pub(crate) fn leave(&self, poller: &Poller) {
        poller.remove(&self.socket);
    }

    /// Answers from here on tell this MTU.
    pub(crate) fn set_mtu(&mut self, mtu: Option<u16>) {
        self.server.set_mtu(mtu);
    }

    /// These devices get no address from here on.
    pub(crate) fn deny(&mut self, devices: BTreeSet<MacAddr>) {
        self.server.deny(devices);
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    /// All leases, as reported.
    pub(crate) fn leases(&self) -> VecDeque<Lease> {
        self.server.leases().map(|lease| report(&lease)).collect()
    }

    /// Why the journal could not be written last.
    pub(crate) const fn failure(&self) -> Option<Errno> {
        self.failure
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
                tracing::warn!("the packet socket has hung up");
                self.leave(poller);
            }
            Ok(count) => {
                for index in 0..count {
                    match received.get(index) {
                        Some(frame) if !frame.truncated => self.server.handle_frame(frame.bytes, now),
                        Some(_) | None => self.driven.overlong += 1,
                    }
                }
            }
            // The link went down; it says so once.
            Err(error) => tracing::debug!(%error, "the packet socket failed"),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.server.handle_timeout(now);
        }
    }

    /// When [`Dhcp::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        self.server.poll_timeout().map(|(at, _)| at)
    }

    /// The writer has finished a job.
    pub(crate) fn handle_written(&mut self, done: Done) -> Option<Rewritten> {
        let settled = self.journal.settle(done)?;
        self.handle_settled(settled)
    }

    fn handle_settled(&mut self, settled: Settled) -> Option<Rewritten> {
        match settled {
            Settled::Written(commit) => {
                self.failure = None;
                self.server.handle_persisted(commit);
                None
            }
            Settled::Failed(commit, error) => {
                self.failure = Some(error);
                self.server.handle_persist_failed(commit);
                None
            }
            Settled::Rewritten { generation, result } => {
                if let Err(error) = result {
                    tracing::warn!(%error, "the lease journal could not be rewritten");
                }
                Some(Rewritten { generation, ok: result.is_ok() })
            }
        }
    }

    /// Rewrites the journal to `file`, which is empty.
    pub(crate) fn compact(&mut self, generation: u64, file: OwnedFd) {
        self.journal.replace(generation, file);
    }

    /// Whether most of a long journal is history.
    pub(crate) fn wants_compaction(&mut self) -> bool {
        let server = &self.server;
        self.journal.wants_compaction(|| server.records().count())
    }

    /// Carries out what the engine wants: records to the journal, frames to the socket. Records are under way
    /// before the frames leave, so the disk works meanwhile.
    pub(crate) fn settle(&mut self, poller: &Poller, writer: &mut Writer) -> Option<Rewritten> {
        loop {
            self.drain(poller);
            let settled = self.submit(writer);
            if !self.blocked && !self.replies.is_empty() {
                self.flush(poller);
            }
            // A job that ended at once may have set something free.
            let rewritten = self.handle_settled(settled?);
            if rewritten.is_some() {
                return rewritten;
            }
        }
    }

    fn submit(&mut self, writer: &mut Writer) -> Option<Settled> {
        let server = &self.server;
        self.journal.submit(writer, |bytes| {
            for record in server.records() {
                bytes.extend_from_slice(&record.encode());
            }
        })
    }

    fn drain(&mut self, poller: &Poller) {
        loop {
            if self.replies.is_full() {
                if !self.blocked {
                    self.flush(poller);
                }
                if self.blocked {
                    return;
                }
            }
            match self.server.poll_output() {
                Some(Output::Transmit(frame)) => {
                    if !self.replies.push(frame, None) {
                        self.driven.send_failed += 1;
                    }
                }
                Some(Output::Persist { commit, record }) => self.journal.append(commit, &record),
                Some(Output::Event(event)) => self.events.push(event),
                None => return,
            }
        }
    }

    fn flush(&mut self, poller: &Poller) {
        let Flushed { failed, blocked, .. } = self.replies.flush(self.socket.as_fd());
        self.driven.send_failed += failed as u64;
        if blocked != self.blocked {
            let interest = if blocked { Interest::WRITE } else { Interest::READ };
            if poller.modify(&self.socket, Token::Frames, interest).is_ok() {
                self.blocked = blocked;
            }
        }
    }

    /// Brings what is under way to its end: records that were handed out are stored and acknowledged.
    pub(crate) fn finish(&mut self, poller: &Poller, writer: &mut Writer) -> Vec<Rewritten> {
        let mut rewritten = Vec::new();
        loop {
            rewritten.extend(self.settle(poller, writer));
            let settled = writer.wait().and_then(|done| self.journal.settle(done));
            match settled {
                Some(settled) => rewritten.extend(self.handle_settled(settled)),
                None if self.journal.has_work() => {}
                None => break,
            }
        }
        rewritten.extend(self.settle(poller, writer));
        rewritten
    }
}

/// A lease as the control process sees it.
pub(crate) fn report(lease: &LeaseView) -> Lease {
    let hostname = lease.hostname.label().map(|label| label.as_str().to_owned()).unwrap_or_default();
    Lease { mac: lease.mac, address: lease.address.into(), hostname, expires: lease.expires }
}
