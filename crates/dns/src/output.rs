//! What the forwarder wants done, in one ordered queue whose memory is reused.

use alloc::{collections::VecDeque, vec::Vec};
use core::net::SocketAddr;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Source of the question.
    pub addr: SocketAddr,
    /// How it came.
    pub transport: ClientTransport,
}

/// How a question came and its reply must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientTransport {
    /// One datagram each way.
    Udp,
    /// A connection, by the driver's number for it. The two-byte length (RFC 1035 §4.2.2) is the driver's
    /// business, and so is a reply for a connection that has closed: drop it.
    Tcp(u64),
}

/// A resolver in the list last given to `set_upstreams`. Never used again once it has left the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u32);

/// Where a question to a resolver goes, and where its answer must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The resolver.
    pub upstream: UpstreamId,
    /// The socket.
    pub transport: RouteTransport,
}

/// A socket towards one resolver. The driver opens it when it first sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteTransport {
    /// Connected UDP socket number `slot` of this resolver, on a random local port.
    Udp {
        /// Below `Config::ports_per_upstream`.
        slot: u16,
    },
    /// A TCP connection; questions are pipelined on it (RFC 7766 §6.2.1.1).
    Tcp {
        /// Never used twice.
        id: u32,
    },
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<'a> {
    /// Send a reply to a client.
    Reply {
        /// The client.
        client: Client,
        /// The message.
        bytes: &'a [u8],
    },
    /// Send a question to a resolver.
    Ask {
        /// Its address.
        upstream: SocketAddr,
        /// The socket to use.
        route: Route,
        /// The message.
        bytes: &'a [u8],
    },
    /// Close this socket; open it again, on another random port, when it is next asked for. Answers still
    /// on their way to a UDP socket are not awaited, and a TCP connection carries nothing any more.
    Close {
        /// The socket.
        route: Route,
    },
    /// Close every socket towards a resolver that has left the list.
    Forget {
        /// The resolver.
        upstream: UpstreamId,
    },
    /// Something an operator may want to know.
    Event(Event),
}

/// Something an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A resolver stopped answering; others are asked, and it is probed.
    UpstreamDown(SocketAddr),
    /// It answers again.
    UpstreamUp(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
enum Record {
    Reply { client: Client, start: usize, end: usize },
    Ask { upstream: SocketAddr, route: Route, start: usize, end: usize },
    Close(Route),
    Forget(UpstreamId),
    Event(Event),
}

/// Messages waiting for the driver.
const MAX_RECORDS: usize = 4_096;
/// Bytes of messages waiting for the driver; one more message of any size may cross the line.
const MAX_BYTES: usize = 512 << 10;

/// The queue. Messages stand one after another in one buffer that starts over when all were taken.
#[derive(Debug)]
pub(crate) struct Outbox {
    records: VecDeque<Record>,
    bytes: Vec<u8>,
}

/// A message being written at the end of the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft(pub(crate) usize);

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { records: VecDeque::with_capacity(64), bytes: Vec::with_capacity(16 << 10) }
    }

    /// Begins a message; `None` when the queue is full.
    pub(crate) fn begin(&mut self) -> Option<Draft> {
        if self.records.is_empty() {
            self.bytes.clear();
        }
        let room = self.records.len() < MAX_RECORDS && self.bytes.len() < MAX_BYTES;
        room.then_some(Draft(self.bytes.len()))
    }

    /// The buffer; a draft begins at its own offset.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Queues the draft as a reply.
    pub(crate) fn reply(&mut self, draft: Draft, client: Client) {
        self.records.push_back(Record::Reply { client, start: draft.0, end: self.bytes.len() });
    }

    /// Queues the draft as a question.
    pub(crate) fn ask(&mut self, draft: Draft, upstream: SocketAddr, route: Route) {
        self.records.push_back(Record::Ask { upstream, route, start: draft.0, end: self.bytes.len() });
    }

    pub(crate) fn close(&mut self, route: Route) {
        self.control(Record::Close(route));
    }

    pub(crate) fn forget(&mut self, upstream: UpstreamId) {
        self.control(Record::Forget(upstream));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.control(Record::Event(event));
    }

    /// Takes the oldest output.
    pub(crate) fn poll(&mut self) -> Option<Output<'_>> {
        let record = self.records.pop_front()?;
        let message = |start, end| self.bytes.get(start..end).unwrap_or(&[]);
        Some(match record {
            Record::Reply { client, start, end } => Output::Reply { client, bytes: message(start, end) },
            Record::Ask { upstream, route, start, end } => {
                Output::Ask { upstream, route, bytes: message(start, end) }
            }
            Record::Close(route) => Output::Close { route },
            Record::Forget(upstream) => Output::Forget { upstream },
            Record::Event(event) => Output::Event(event),
        })
    }

    /// Orders to the driver may use as much room again as messages: a driver that drains never loses one.
    fn control(&mut self, record: Record) {
        if self.records.len() < 2 * MAX_RECORDS {
            self.records.push_back(record);
        }
    }
}
