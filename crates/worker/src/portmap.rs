//! UPnP IGD, NAT-PMP and PCP of the segment: the engine, its datagram sockets and its connections, joined.
//!
//! Nothing is decided here: what devices ask for goes to the control process, which has the table of mappings.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, OwnedFd},
};

use hn_portmap::{Channel, Output, Server};
use hn_types::{
    Monotonic, Now,
    portmap::{MapAnswer, MapEntry, MapRequest, MapUplink},
};
use rustix::{fs::OFlags, io};

use crate::{
    connections::Connections,
    dns::Family,
    poller::{Interest, Poller, Readiness, Slot, Token},
    sys::{Flushed, RecvBatch, SendBatch},
};

/// Rounds of outputs that lead to inputs (a connection that fails at once) in one turn.
const ROUNDS: usize = 8;

/// A datagram socket.
#[derive(Debug)]
struct Port {
    socket: OwnedFd,
    token: Token,
    waiting: SendBatch,
    /// Datagrams wait for the socket, and none is read before they have left.
    blocked: bool,
}

impl Port {
    fn new(poller: &Poller, socket: OwnedFd, token: Token) -> io::Result<Self> {
        poller.add(&socket, token, Interest::READ)?;
        Ok(Self { socket, token, waiting: SendBatch::new(), blocked: false })
    }

    /// Sends what waits; returns how many the kernel refused.
    fn flush(&mut self, poller: &Poller) -> u64 {
        let Flushed { failed, blocked, .. } = self.waiting.flush(self.socket.as_fd());
        if blocked != self.blocked {
            let interest = if blocked { Interest::WRITE } else { Interest::READ };
            if poller.modify(&self.socket, self.token, interest).is_ok() {
                self.blocked = blocked;
            }
        }
        failed as u64
    }
}

/// The sockets of one family.
#[derive(Debug)]
struct Side {
    control: Port,
    ssdp: Port,
    listener: OwnedFd,
}

impl Side {
    fn port(&mut self, channel: Channel) -> &mut Port {
        match channel {
            Channel::PortControl => &mut self.control,
            Channel::Ssdp => &mut self.ssdp,
        }
    }

    fn leave(self, poller: &Poller) {
        poller.remove(&self.control.socket);
        poller.remove(&self.ssdp.socket);
        poller.remove(&self.listener);
    }
}

/// The servers of port mapping.
#[derive(Debug)]
pub(crate) struct Portmap {
    server: Server,
    /// Of the segment's interface, for link-local addresses.
    index: u32,
    ipv4: Option<Side>,
    ipv6: Option<Side>,
    connections: Connections,
    /// Part of a table that is still arriving.
    arriving: Vec<MapEntry>,
    /// What devices ask for, to be handed to the control process.
    pub(crate) asks: Vec<MapRequest>,
    /// Datagrams the kernel refused.
    pub(crate) send_failed: u64,
    /// Datagrams longer than any request.
    pub(crate) overlong: u64,
}

const fn tokens(family: Family) -> [Token; 3] {
    match family {
        Family::V4 => [Token::PortControl, Token::Ssdp, Token::Web],
        Family::V6 => [Token::PortControl6, Token::Ssdp6, Token::Web6],
    }
}

impl Portmap {
    /// Without sockets yet.
    pub(crate) fn new(server: Server, index: u32) -> Self {
        Self {
            server,
            index,
            ipv4: None,
            ipv6: None,
            connections: Connections::new(),
            arriving: Vec::new(),
            asks: Vec::new(),
            send_failed: 0,
            overlong: 0,
        }
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) const fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Connections that were not taken up.
    pub(crate) const fn refused(&self) -> u64 {
        self.connections.refused
    }

    /// Serves devices of this family on these sockets, and on no others.
    ///
    /// # Errors
    ///
    /// When they cannot be waited for.
    pub(crate) fn serve(
        &mut self,
        poller: &Poller,
        family: Family,
        [control, ssdp, listener]: [OwnedFd; 3],
    ) -> io::Result<()> {
        if let Some(old) = self.side(family).take() {
            old.leave(poller);
        }
        // A connection that vanished between the event and the call must not stop the loop.
        let flags = rustix::fs::fcntl_getfl(&listener)?;
        rustix::fs::fcntl_setfl(&listener, flags | OFlags::NONBLOCK)?;
        let [control_token, ssdp_token, web_token] = tokens(family);
        let control = Port::new(poller, control, control_token)?;
        let ssdp = Port::new(poller, ssdp, ssdp_token)?;
        poller.add(&listener, web_token, Interest::READ)?;
        *self.side(family) = Some(Side { control, ssdp, listener });
        Ok(())
    }

    const fn side(&mut self, family: Family) -> &mut Option<Side> {
        match family {
            Family::V4 => &mut self.ipv4,
            Family::V6 => &mut self.ipv6,
        }
    }

    /// Says goodbye to the segment and leaves the poller.
    pub(crate) fn finish(&mut self, poller: &Poller, now: Now) {
        self.server.stop(now);
        self.settle(poller, now);
        for side in [self.ipv4.take(), self.ipv6.take()].into_iter().flatten() {
            side.leave(poller);
        }
        self.connections.close_all(poller);
    }

    pub(crate) fn set_uplink(&mut self, uplink: MapUplink, now: Now) {
        self.server.handle_uplink(uplink, now);
    }

    /// A part of the table; the whole counts once its last part has come.
    pub(crate) fn set_entries(&mut self, part: Vec<MapEntry>, first: bool, more: bool, now: Now) {
        if first {
            self.arriving.clear();
        }
        self.arriving.extend(part);
        if !more {
            self.server.handle_entries(std::mem::take(&mut self.arriving), now);
        }
    }

    pub(crate) fn answer(&mut self, answers: Vec<MapAnswer>, now: Now) {
        for answer in answers {
            self.server.handle_answer(answer, now);
        }
    }

    /// A datagram socket is ready: takes one batch.
    pub(crate) fn handle_datagrams(
        &mut self,
        poller: &Poller,
        family: Family,
        channel: Channel,
        ready: Readiness,
        received: &mut RecvBatch,
        now: Now,
    ) {
        let side = match family {
            Family::V4 => &mut self.ipv4,
            Family::V6 => &mut self.ipv6,
        };
        let Some(port) = side.as_mut().map(|side| side.port(channel)) else { return };
        if ready.write && port.blocked {
            self.send_failed += port.flush(poller);
        }
        if !ready.read || port.blocked {
            return;
        }
        match received.receive(port.socket.as_fd()) {
            Ok(count) => {
                for index in 0..count {
                    match received.get(index) {
                        Some(datagram) if !datagram.truncated => {
                            if let Some(from) = datagram.from {
                                self.server.handle_datagram(channel, from, datagram.bytes, now);
                            }
                        }
                        Some(_) | None => self.overlong += 1,
                    }
                }
            }
            // An unreachable client, or the link went down; it says so once.
            Err(error) => tracing::debug!(%error, "a socket of port mapping failed"),
        }
    }

    /// Connections wait.
    pub(crate) fn handle_listener(&mut self, poller: &Poller, family: Family, now: Now) {
        let side = match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        };
        if let Some(side) = side {
            self.connections.accept(poller, &side.listener, &mut self.server, now);
        }
    }

    /// A connection is ready.
    pub(crate) fn handle_connection(&mut self, poller: &Poller, ready: Readiness, slot: Slot, now: Now) {
        self.connections.handle_ready(poller, ready, slot, &mut self.server, now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, poller: &Poller, now: Now) {
        if self.server.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
            self.server.handle_timeout(now);
        }
        self.connections.handle_timeout(poller, now.mono);
    }

    /// When [`Portmap::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let server = self.server.poll_timeout().map(|(at, _)| at);
        server.into_iter().chain(self.connections.poll_timeout()).min()
    }

    /// Carries out what the engine wants.
    pub(crate) fn settle(&mut self, poller: &Poller, now: Now) {
        for _ in 0..ROUNDS {
            if !self.drain(poller, now) {
                break;
            }
        }
        for side in [&mut self.ipv4, &mut self.ipv6].into_iter().flatten() {
            for port in [&mut side.control, &mut side.ssdp] {
                if !port.blocked && !port.waiting.is_empty() {
                    self.send_failed += port.flush(poller);
                }
            }
        }
    }

    /// True when something went to the engine that may have more to say.
    fn drain(&mut self, poller: &Poller, now: Now) -> bool {
        let mut fed = false;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Datagram { channel, to, bytes } => self.send(poller, channel, to, &bytes),
                Output::Stream { conn, bytes, then_close } => {
                    fed |= self.connections.send(poller, conn, &bytes, then_close, &mut self.server, now);
                }
                Output::Connect { conn, to } => {
                    let to = scoped(to, self.index);
                    if !self.connections.connect(poller, conn, to, now.mono) {
                        self.server.handle_connect_result(conn, false, now);
                        fed = true;
                    }
                }
                Output::Close { conn } => self.connections.end(poller, conn, now.mono),
                Output::Ask(request) => self.asks.push(request),
            }
        }
        fed
    }

    fn send(&mut self, poller: &Poller, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let side = if to.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 };
        let Some(port) = side.as_mut().map(|side| side.port(channel)) else { return };
        if port.waiting.is_full() && !port.blocked {
            self.send_failed += port.flush(poller);
        }
        // A device that gets no answer asks again.
        if !port.waiting.push(bytes, Some(to)) {
            self.send_failed += 1;
        }
    }
}

/// `to` on the interface with this index, which a link-local address needs.
fn scoped(to: SocketAddr, index: u32) -> SocketAddr {
    match (to.ip(), to) {
        (IpAddr::V6(address), SocketAddr::V6(to)) if address.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(address, to.port(), to.flowinfo(), index))
        }
        _ => to,
    }
}
