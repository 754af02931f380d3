//! The TCP clients of the name server.
//!
//! Owns their connections: how many there may be, in all and of one address, how many questions one may have
//! in flight, and how long one may be silent (RFC 7766 §6.2). A client beyond a limit is refused, or takes the
//! place of the one that has been idle for longest.

use std::{net::SocketAddr, os::fd::OwnedFd, time::Duration};

use hn_dns::{Client, ClientTransport, Forwarder};
use hn_types::Monotonic;
use rustix::{
    io::Errno,
    net::{SocketFlags, sockopt},
};

use crate::{
    poller::{Interest, Poller, Readiness, Slot, Token},
    stream::{Closed, Stream},
    table::Table,
};

/// Connections in all.
const CONNECTIONS: usize = 128;
/// Connections of one address.
const PER_ADDRESS: usize = 16;
/// Questions one connection may have in flight; the rest waits in its socket.
const IN_FLIGHT: u32 = 32;
/// Connections taken up per turn.
const ACCEPTED: usize = 16;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Longest question.
const LONGEST: usize = 4_096;

#[derive(Debug)]
struct Connection {
    stream: Stream,
    peer: SocketAddr,
    in_flight: u32,
    interest: Interest,
    /// It will ask nothing more, but wants its answers.
    ended: bool,
    deadline: Monotonic,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Clients {
    connections: Table<Connection>,
    /// Connections that were not taken up.
    pub(crate) refused: u64,
}

impl Clients {
    pub(crate) const fn new() -> Self {
        Self { connections: Table::new(CONNECTIONS), refused: 0 }
    }

    /// Takes up the connections that wait at `listener`.
    pub(crate) fn accept(&mut self, poller: &Poller, listener: &OwnedFd, now: Monotonic) {
        for _ in 0..ACCEPTED {
            match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, Some(peer))) => match SocketAddr::try_from(peer) {
                    Ok(peer) => self.take_up(poller, socket, peer, now),
                    Err(_) => self.refused += 1,
                },
                Ok((_, None)) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                // Out of descriptors cannot happen: every table has its limit. Should it, a place is made.
                Err(Errno::MFILE | Errno::NFILE) => {
                    if !self.evict(poller) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn take_up(&mut self, poller: &Poller, socket: OwnedFd, peer: SocketAddr, now: Monotonic) {
        let same = self.connections.iter().filter(|(_, other)| other.peer.ip() == peer.ip()).count();
        if same >= PER_ADDRESS || (self.connections.is_full() && !self.evict(poller)) {
            self.refused += 1;
            return;
        }
        // Without it answers are only slower.
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let connection = Connection {
            stream: Stream::new(socket, LONGEST),
            peer,
            in_flight: 0,
            interest: Interest::READ,
            ended: false,
            deadline: now + IDLE,
        };
        let Ok(slot) = self.connections.insert(connection) else {
            self.refused += 1;
            return;
        };
        let added = self
            .connections
            .get(slot)
            .is_some_and(|c| poller.add(c.stream.as_fd(), Token::Client(slot), Interest::READ).is_ok());
        if !added {
            self.connections.remove(slot);
            self.refused += 1;
        }
    }

    /// Makes room by closing the connection that has been idle for longest; false when all are busy.
    fn evict(&mut self, poller: &Poller) -> bool {
        let idle = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.in_flight == 0 && !connection.stream.is_blocked())
            .min_by_key(|(_, connection)| connection.deadline)
            .map(|(slot, _)| slot);
        idle.map(|slot| self.close(poller, slot)).is_some()
    }

    fn close(&mut self, poller: &Poller, slot: Slot) {
        if let Some(connection) = self.connections.remove(slot) {
            poller.remove(connection.stream.as_fd());
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&mut self, poller: &Poller) {
        let slots: Vec<Slot> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(poller, slot);
        }
    }

    /// A connection is ready: hands its questions to the forwarder.
    pub(crate) fn handle_ready(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        slot: Slot,
        forwarder: &mut Forwarder,
        now: Monotonic,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let mut result = if ready.write { connection.stream.flush() } else { Ok(()) };
        if ready.read && result.is_ok() && !connection.ended {
            result = match connection.stream.read() {
                Err(Closed::Ended) => {
                    connection.ended = true;
                    Ok(())
                }
                other => other,
            };
        }
        if ready.failed {
            result = Err(Closed::Broken);
        }
        match result {
            Ok(()) => self.ask(poller, slot, forwarder, now),
            Err(Closed::Ended | Closed::Broken) => self.close(poller, slot),
        }
    }

    /// Hands over as many questions as may be in flight.
    fn ask(&mut self, poller: &Poller, slot: Slot, forwarder: &mut Forwarder, now: Monotonic) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let client = Client { addr: connection.peer, transport: ClientTransport::Tcp(encode(slot)) };
        let mut room = IN_FLIGHT.saturating_sub(connection.in_flight);
        if room > 0 {
            let taken = connection.stream.messages(|message| {
                forwarder.handle_query(message, client, now);
                room -= 1;
                room > 0
            });
            match taken {
                Ok(0) => {}
                Ok(count) => {
                    connection.in_flight += u32::try_from(count).unwrap_or(u32::MAX);
                    connection.deadline = now + IDLE;
                }
                Err(Closed::Ended | Closed::Broken) => {
                    self.close(poller, slot);
                    return;
                }
            }
        }
        self.settle(poller, slot);
    }

    /// Sends `message` to the client the forwarder calls `number`; one that has gone gets nothing. True when
    /// the client has a question that had to wait for this.
    pub(crate) fn reply(
        &mut self,
        poller: &Poller,
        number: u64,
        message: &[u8],
        now: Monotonic,
    ) -> Option<Slot> {
        let slot = decode(number);
        let connection = self.connections.get_mut(slot)?;
        connection.in_flight = connection.in_flight.saturating_sub(1);
        connection.deadline = now + IDLE;
        let result = connection.stream.push(message).and_then(|()| connection.stream.flush());
        if result.is_err() {
            self.close(poller, slot);
            return None;
        }
        let waits = connection.stream.has_message();
        self.settle(poller, slot);
        waits.then_some(slot)
    }

    /// Takes questions up that had to wait.
    pub(crate) fn resume(&mut self, poller: &Poller, slot: Slot, forwarder: &mut Forwarder, now: Monotonic) {
        self.ask(poller, slot, forwarder, now);
    }

    /// Waits for what the connection needs next, or closes it when that is nothing.
    fn settle(&mut self, poller: &Poller, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let blocked = connection.stream.is_blocked();
        let waiting = connection.in_flight > 0 || connection.stream.has_message();
        if connection.ended && !blocked && !waiting {
            self.close(poller, slot);
            return;
        }
        let read = !connection.ended && !blocked && connection.in_flight < IN_FLIGHT;
        let wanted = Interest { read, write: blocked };
        let token = Token::Client(slot);
        if wanted != connection.interest && poller.modify(connection.stream.as_fd(), token, wanted).is_ok() {
            connection.interest = wanted;
        }
    }

    /// When [`Clients::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        self.connections.iter().map(|(_, connection)| connection.deadline).min()
    }

    /// Closes the connections that have been silent for too long.
    pub(crate) fn handle_timeout(&mut self, poller: &Poller, now: Monotonic) {
        loop {
            let due = |(_, connection): &(Slot, &Connection)| connection.deadline <= now;
            let Some((slot, _)) = self.connections.iter().find(due) else { return };
            self.close(poller, slot);
        }
    }
}

fn encode(slot: Slot) -> u64 {
    u64::from(slot.index) | u64::from(slot.age) << 32
}

fn decode(number: u64) -> Slot {
    Slot { index: number as u32, age: (number >> 32) as u16 }
}
