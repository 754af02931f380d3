//! The sockets towards resolvers: connected UDP sockets on ports the kernel chose at random, and TCP
//! connections for what does not fit into a datagram.
//!
//! Owns them. The forwarder says which to use and when to close one; nothing here decides.

use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use hn_dns::{Forwarder, Route, RouteTransport, UpstreamId};
use hn_types::{IfName, Monotonic};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, sockopt},
};

use crate::{
    poller::{Interest, Poller, Readiness, Slot, Token},
    stream::{Closed, Stream},
    sys::{BATCH, RecvBatch, SendBatch},
    table::Table,
};

/// Sockets open at once: 8 resolvers with 16 ports each and connections besides.
const SOCKETS: usize = 256;
/// Longest answer over TCP.
const LONGEST: usize = u16::MAX as usize;

#[derive(Debug)]
enum Transport {
    Udp(OwnedFd),
    Tcp { stream: Stream, interest: Interest },
}

#[derive(Debug)]
struct Socket {
    route: Route,
    transport: Transport,
}

/// A question that waits to be sent with others of the same socket.
#[derive(Clone, Copy, Debug)]
struct Question {
    slot: Slot,
    start: usize,
    end: usize,
}

/// The sockets.
#[derive(Debug)]
pub(crate) struct Resolvers {
    sockets: Table<Socket>,
    by_route: HashMap<Route, Slot>,
    questions: Vec<Question>,
    bytes: Vec<u8>,
    batch: SendBatch,
    /// The only interface that sockets made from here on use.
    pub(crate) through: Option<IfName>,
    /// Sockets that failed; the forwarder is told when its outputs are drained.
    failed: Vec<Route>,
}

impl Resolvers {
    pub(crate) fn new() -> Self {
        Self {
            sockets: Table::new(SOCKETS),
            by_route: HashMap::new(),
            questions: Vec::with_capacity(BATCH),
            bytes: Vec::new(),
            batch: SendBatch::new(),
            through: None,
            failed: Vec::new(),
        }
    }

    /// Sends `message` to `resolver` on the socket `route` names, or soon after.
    pub(crate) fn ask(&mut self, poller: &Poller, resolver: SocketAddr, route: Route, message: &[u8]) {
        let slot = match self.by_route.get(&route) {
            Some(&slot) => slot,
            None => match self.open(poller, resolver, route) {
                Ok(slot) => slot,
                Err(error) => {
                    tracing::debug!(%resolver, %error, "no socket towards the resolver");
                    self.failed.push(route);
                    return;
                }
            },
        };
        match self.sockets.get_mut(slot).map(|socket| &mut socket.transport) {
            Some(Transport::Udp(_)) => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(message);
                self.questions.push(Question { slot, start, end: self.bytes.len() });
                if self.questions.len() == BATCH {
                    self.flush();
                }
            }
            Some(Transport::Tcp { stream, .. }) => {
                if stream.push(message).is_err() {
                    self.fail(slot);
                } else {
                    self.settle(poller, slot);
                }
            }
            None => self.failed.push(route),
        }
    }

    fn pin(&self, socket: &OwnedFd) -> Result<(), Errno> {
        let Some(through) = self.through else { return Ok(()) };
        // Needs no privilege for a socket that is bound to none (Linux 5.7).
        setsockopt(socket, BindToDevice, &through.as_str().into())
            .map_err(|error| Errno::from_raw_os_error(error as i32))
    }

    fn open(&mut self, poller: &Poller, resolver: SocketAddr, route: Route) -> Result<Slot, Errno> {
        if self.sockets.is_full() {
            return Err(Errno::MFILE);
        }
        let family = if resolver.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let transport = match route.transport {
            RouteTransport::Udp { .. } => {
                let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
                self.pin(&socket)?;
                rustix::net::connect(&socket, &resolver)?;
                Transport::Udp(socket)
            }
            RouteTransport::Tcp { .. } => {
                let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
                self.pin(&socket)?;
                sockopt::set_tcp_nodelay(&socket, true)?;
                match rustix::net::connect(&socket, &resolver) {
                    Ok(()) | Err(Errno::INPROGRESS) => {}
                    Err(error) => return Err(error),
                }
                let interest = Interest { read: true, write: true };
                Transport::Tcp { stream: Stream::new(socket, LONGEST), interest }
            }
        };
        let slot = self.sockets.insert(Socket { route, transport }).map_err(|_| Errno::MFILE)?;
        let added = match self.sockets.get(slot).map(|socket| &socket.transport) {
            Some(Transport::Udp(socket)) => poller.add(socket, Token::Upstream(slot), Interest::READ),
            Some(Transport::Tcp { stream, interest }) => {
                poller.add(stream.as_fd(), Token::Upstream(slot), *interest)
            }
            None => Err(Errno::BADF),
        };
        if let Err(error) = added {
            self.sockets.remove(slot);
            return Err(error);
        }
        self.by_route.insert(route, slot);
        Ok(slot)
    }

    /// Sends the questions that wait, those of one socket together. One that the kernel refuses is lost: the
    /// forwarder asks again.
    pub(crate) fn flush(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        self.questions.sort_unstable_by_key(|question| (question.slot.index, question.start));
        let mut questions = self.questions.iter().peekable();
        while let Some(question) = questions.next() {
            let message = self.bytes.get(question.start..question.end).unwrap_or_default();
            // The batch has as many slots as there are questions at most, and a question is short.
            self.batch.push(message, None);
            if questions.peek().is_some_and(|next| next.slot == question.slot) {
                continue;
            }
            match self.sockets.get(question.slot) {
                Some(Socket { transport: Transport::Udp(socket), route }) => {
                    let flushed = self.batch.flush(socket.as_fd());
                    if flushed.failed > 0 {
                        self.failed.push(*route);
                    }
                }
                Some(Socket { transport: Transport::Tcp { .. }, .. }) | None => {}
            }
            self.batch.clear();
        }
        self.questions.clear();
        self.bytes.clear();
    }

    /// Closes the socket of `route`.
    pub(crate) fn close(&mut self, poller: &Poller, route: Route) {
        self.flush();
        if let Some(slot) = self.by_route.remove(&route) {
            self.remove(poller, slot);
        }
    }

    /// Closes every socket towards `resolver`.
    pub(crate) fn forget(&mut self, poller: &Poller, resolver: UpstreamId) {
        self.flush();
        let slots: Vec<Slot> = self
            .by_route
            .iter()
            .filter(|(route, _)| route.upstream == resolver)
            .map(|(_, &slot)| slot)
            .collect();
        self.by_route.retain(|route, _| route.upstream != resolver);
        for slot in slots {
            self.remove(poller, slot);
        }
    }

    fn remove(&mut self, poller: &Poller, slot: Slot) {
        match self.sockets.remove(slot).map(|socket| socket.transport) {
            Some(Transport::Udp(socket)) => poller.remove(&socket),
            Some(Transport::Tcp { stream, .. }) => poller.remove(stream.as_fd()),
            None => {}
        }
    }

    fn fail(&mut self, slot: Slot) {
        if let Some(socket) = self.sockets.get(slot) {
            self.failed.push(socket.route);
        }
    }

    /// Tells the forwarder which sockets failed, and closes the connections among them. False when none did.
    pub(crate) fn report_failures(
        &mut self,
        poller: &Poller,
        forwarder: &mut Forwarder,
        now: Monotonic,
    ) -> bool {
        let mut failed = std::mem::take(&mut self.failed);
        let any = !failed.is_empty();
        for &route in &failed {
            if matches!(route.transport, RouteTransport::Tcp { .. }) {
                self.close(poller, route);
            }
            forwarder.handle_upstream_error(route, now);
        }
        failed.clear();
        if self.failed.is_empty() {
            self.failed = failed;
        }
        any
    }

    /// A socket is ready: hands what came to the forwarder.
    pub(crate) fn handle_ready(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        slot: Slot,
        received: &mut RecvBatch,
        forwarder: &mut Forwarder,
        now: Monotonic,
    ) {
        let Some(socket) = self.sockets.get_mut(slot) else { return };
        let route = socket.route;
        match &mut socket.transport {
            Transport::Udp(socket) => match received.receive(socket.as_fd()) {
                Ok(count) => {
                    for index in 0..count {
                        match received.get(index) {
                            Some(datagram) if !datagram.truncated => {
                                forwarder.handle_response(datagram.bytes, route, now);
                            }
                            Some(_) | None => {}
                        }
                    }
                }
                Err(_) => self.failed.push(route),
            },
            Transport::Tcp { stream, .. } => {
                let mut result = if ready.write { stream.flush() } else { Ok(()) };
                if ready.read && result.is_ok() {
                    result = stream.read();
                    let taken = stream.messages(|message| {
                        forwarder.handle_response(message, route, now);
                        true
                    });
                    // What came before the end counts, however it ended.
                    if result.is_ok() {
                        result = taken.map(drop);
                    }
                }
                match result {
                    Ok(()) => self.settle(poller, slot),
                    Err(Closed::Ended | Closed::Broken) => self.failed.push(route),
                }
            }
        }
    }

    /// Waits for what the connection needs next.
    fn settle(&mut self, poller: &Poller, slot: Slot) {
        let Some(Socket { transport: Transport::Tcp { stream, interest }, .. }) = self.sockets.get_mut(slot)
        else {
            return;
        };
        let wanted = Interest { read: true, write: stream.is_blocked() };
        if wanted != *interest && poller.modify(stream.as_fd(), Token::Upstream(slot), wanted).is_ok() {
            *interest = wanted;
        }
    }
}
