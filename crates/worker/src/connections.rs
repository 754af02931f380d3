//! The TCP connections of UPnP: those that devices open, and those that take events to them.
//!
//! Owns them and their bounded buffers. The engine says what to send and when a connection is over; then what
//! waits is sent, for a few seconds at most, and the other side gets time to read it.

use std::{collections::BTreeMap, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use hn_portmap::{ConnId, Server};
use hn_types::{Monotonic, Now};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt},
};

use crate::{
    poller::{Interest, Poller, Readiness, Slot, Token},
    table::Table,
};

/// Connections in all, of both directions.
const CONNECTIONS: usize = 192;
/// Connections taken up per turn.
const ACCEPTED: usize = 16;
/// Bytes read at a time.
const CHUNK: usize = 4_096;
/// Bytes that may wait for a device.
const WAITING: usize = 256 << 10;
/// How long a connection that is over may take to send what waits and to be closed by its device.
const PARTING: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct Connection {
    id: ConnId,
    socket: OwnedFd,
    outbox: Vec<u8>,
    /// Bytes of `outbox` that are sent.
    sent: usize,
    interest: Interest,
    /// It is being established.
    connecting: bool,
    /// The engine has forgotten it: until when it may live on.
    over: Option<Monotonic>,
    /// Everything is sent, and the device was told that nothing more comes.
    finished: bool,
}

impl Connection {
    const fn new(id: ConnId, socket: OwnedFd, connecting: bool) -> Self {
        let interest = Interest { read: !connecting, write: connecting };
        Self { id, socket, outbox: Vec::new(), sent: 0, interest, connecting, over: None, finished: false }
    }

    /// Sends what waits. False when the connection is of no more use.
    fn flush(&mut self) -> bool {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        self.outbox.clear();
        self.sent = 0;
        if self.over.is_some() && !self.finished {
            self.finished = true;
            // Closing at once would take back what the device has not read yet.
            return rustix::net::shutdown(&self.socket, Shutdown::Write).is_ok();
        }
        true
    }
}

/// What reading found.
enum Read {
    Bytes(usize),
    Nothing,
    Ended,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Table<Connection>,
    /// Those that the engine knows.
    known: BTreeMap<ConnId, Slot>,
    last: u64,
    /// Connections that were not taken up.
    pub(crate) refused: u64,
}

impl Connections {
    pub(crate) const fn new() -> Self {
        Self { table: Table::new(CONNECTIONS), known: BTreeMap::new(), last: 0, refused: 0 }
    }

    /// Takes up the connections that wait at `listener`.
    pub(crate) fn accept(&mut self, poller: &Poller, listener: &OwnedFd, server: &mut Server, now: Now) {
        for _ in 0..ACCEPTED {
            match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, Some(peer))) => {
                    let peer = SocketAddr::try_from(peer).ok();
                    self.last += 1;
                    let id = ConnId(self.last);
                    match peer.filter(|_| self.insert(poller, Connection::new(id, socket, false))) {
                        Some(peer) => server.handle_connected(id, peer, now),
                        None => self.refused += 1,
                    }
                }
                Ok((_, None)) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return,
            }
        }
    }

    fn insert(&mut self, poller: &Poller, connection: Connection) -> bool {
        let (id, interest) = (connection.id, connection.interest);
        // Without it answers are only slower.
        let _ = sockopt::set_tcp_nodelay(&connection.socket, true);
        let Ok(slot) = self.table.insert(connection) else { return false };
        let added = self
            .table
            .get(slot)
            .is_some_and(|connection| poller.add(&connection.socket, Token::Device(slot), interest).is_ok());
        if added {
            self.known.insert(id, slot);
        } else {
            self.table.remove(slot);
        }
        added
    }

    /// Begins to connect. False when that failed at once.
    pub(crate) fn connect(&mut self, poller: &Poller, id: ConnId, to: SocketAddr, now: Monotonic) -> bool {
        self.handle_timeout(poller, now);
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let made = rustix::net::socket_with(family, SocketType::STREAM, flags, None).and_then(|socket| {
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                Err(error) => Err(error),
            }
        });
        made.is_ok_and(|socket| self.insert(poller, Connection::new(id, socket, true)))
    }

    /// Sends `bytes`. True when the engine was told that the connection broke.
    pub(crate) fn send(
        &mut self,
        poller: &Poller,
        id: ConnId,
        bytes: &[u8],
        then_close: bool,
        server: &mut Server,
        now: Now,
    ) -> bool {
        let Some(slot) = self.known.get(&id).copied() else { return false };
        let Some(connection) = self.table.get_mut(slot) else { return false };
        let fits = connection.outbox.len() + bytes.len() <= WAITING;
        if fits {
            connection.outbox.extend_from_slice(bytes);
        }
        if then_close {
            self.known.remove(&id);
            connection.over = Some(now.mono + PARTING);
        }
        if fits && (connection.connecting || connection.flush()) {
            self.settle(poller, slot);
            return false;
        }
        self.close(poller, slot);
        if !then_close {
            server.handle_closed(id, now);
        }
        !then_close
    }

    /// The engine has done with a connection.
    pub(crate) fn end(&mut self, poller: &Poller, id: ConnId, now: Monotonic) {
        let Some(slot) = self.known.remove(&id) else { return };
        let Some(connection) = self.table.get_mut(slot) else { return };
        connection.over = Some(now + PARTING);
        if connection.connecting || !connection.flush() {
            self.close(poller, slot);
        } else {
            self.settle(poller, slot);
        }
    }

    fn close(&mut self, poller: &Poller, slot: Slot) {
        if let Some(connection) = self.table.remove(slot) {
            poller.remove(&connection.socket);
            self.known.remove(&connection.id);
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self, poller: &Poller) {
        let slots: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(poller, slot);
        }
    }

    /// A connection is ready.
    pub(crate) fn handle_ready(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        slot: Slot,
        server: &mut Server,
        now: Now,
    ) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        let id = connection.id;
        if connection.connecting && (ready.write || ready.failed) {
            let established = matches!(sockopt::socket_error(&connection.socket), Ok(Ok(())));
            connection.connecting = false;
            if !established {
                self.close(poller, slot);
            }
            server.handle_connect_result(id, established, now);
            self.settle(poller, slot);
            return;
        }
        if ready.write && !connection.flush() {
            self.lose(poller, slot, server, now);
            return;
        }
        if ready.read {
            let mut bytes = [0; CHUNK];
            let read = match rustix::net::recv(&connection.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => Read::Ended,
                Ok((_, count)) => Read::Bytes(count),
                Err(Errno::AGAIN | Errno::INTR) if !ready.failed => Read::Nothing,
                Err(_) => Read::Ended,
            };
            match (read, connection.over) {
                // What a device says after the end is thrown away.
                (Read::Nothing | Read::Bytes(_), Some(_)) | (Read::Nothing, None) => {}
                (Read::Bytes(count), None) => {
                    server.handle_stream(id, bytes.get(..count).unwrap_or_default(), now);
                }
                (Read::Ended, _) => {
                    self.lose(poller, slot, server, now);
                    return;
                }
            }
        }
        self.settle(poller, slot);
    }

    /// A connection has ended without the engine's doing.
    fn lose(&mut self, poller: &Poller, slot: Slot, server: &mut Server, now: Now) {
        let known = self.table.get(slot).filter(|connection| connection.over.is_none());
        let known = known.map(|connection| connection.id);
        self.close(poller, slot);
        if let Some(id) = known {
            server.handle_closed(id, now);
        }
    }

    /// Waits for what the connection needs next.
    fn settle(&mut self, poller: &Poller, slot: Slot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        let wanted = Interest {
            read: !connection.connecting,
            write: connection.connecting || !connection.outbox.is_empty(),
        };
        if wanted != connection.interest
            && poller.modify(&connection.socket, Token::Device(slot), wanted).is_ok()
        {
            connection.interest = wanted;
        }
    }

    /// When [`Connections::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        self.table.iter().filter_map(|(_, connection)| connection.over).min()
    }

    /// Closes the connections whose time is over.
    pub(crate) fn handle_timeout(&mut self, poller: &Poller, now: Monotonic) {
        loop {
            let due = |(_, connection): &(Slot, &Connection)| connection.over.is_some_and(|at| at <= now);
            let Some((slot, _)) = self.table.iter().find(due) else { return };
            self.close(poller, slot);
        }
    }
}
