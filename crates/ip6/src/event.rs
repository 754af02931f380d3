//! What comes out of the server.

use alloc::string::String;
use core::net::Ipv6Addr;

use hn_types::{MacAddr, Wall};

/// One output; do them in the order they come.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send this Ethernet frame on the private interface. A failure needs no report: the client asks again.
    Transmit(&'a [u8]),
    /// Send this Ethernet frame on the interface that [`Relay`](crate::Relay) is about.
    TransmitUplink(&'a [u8]),
    /// Tell whoever is interested.
    Event(Event),
}

/// Something happened that people or other services want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A lease was given; the reply follows.
    LeaseBound {
        /// The lease.
        lease: LeaseView,
        /// Whether the client held it already.
        renewed: bool,
    },
    /// A device uses this address, which it made itself or was leased. Told again while that goes on; the name is
    /// empty.
    Seen {
        /// The address as if it were a lease that ends when it is not told again.
        lease: LeaseView,
    },
    /// A device uses this address no more.
    Unseen {
        /// The address.
        address: Ipv6Addr,
        /// Who used it.
        mac: MacAddr,
    },
    /// The lease ran out, was given back, declined, or forgotten to make room.
    LeaseEnded {
        /// The address.
        address: Ipv6Addr,
        /// Who held it.
        mac: MacAddr,
    },
}

/// A current lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// The leased address.
    pub address: Ipv6Addr,
    /// The hardware address its request came from.
    pub mac: MacAddr,
    /// The name the client calls itself (first label, letters, digits and hyphens); empty without one.
    pub hostname: String,
    /// When the lease runs out.
    pub expires: Wall,
}
