//! What comes out of the server.

use alloc::vec::Vec;
use core::net::SocketAddr;

use hn_types::portmap::MapRequest;

/// The UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// 5351: NAT-PMP and PCP.
    PortControl,
    /// 1900: discovery.
    Ssdp,
}

/// One TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    /// The first number of connections that the server opens itself; the driver numbers accepted ones below.
    pub const OUTGOING: Self = Self(1 << 63);
}

/// One output; do them in the order they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram. A failure needs no report: the device asks again.
    Datagram {
        /// From which port.
        channel: Channel,
        /// To whom: a device, or a group. IPv6 without scope: the segment's interface is meant.
        to: SocketAddr,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Send this on a connection.
    Stream {
        /// The connection.
        conn: ConnId,
        /// Whole.
        bytes: Vec<u8>,
        /// Close it after that; the server has forgotten it.
        then_close: bool,
    },
    /// Open a connection to a device and tell [`crate::Server::handle_connect_result`].
    Connect {
        /// Its number, from [`ConnId::OUTGOING`].
        conn: ConnId,
        /// The subscriber's own address.
        to: SocketAddr,
    },
    /// Close a connection at once; the server has forgotten it.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Ask the table. The answer goes to [`crate::Server::handle_answer`]; one that comes late is ignored.
    Ask(MapRequest),
}
