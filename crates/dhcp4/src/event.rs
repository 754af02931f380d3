//! What comes out of the server.

use core::net::Ipv4Addr;

use hn_types::{MacAddr, Wall};

use crate::{
    identity::{ClientId, HostName},
    record::LeaseRecord,
};

/// Names a lease record handed out to be stored. Later records have larger ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// One output; do them in the order they come.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send this Ethernet frame on the private interface. A failure needs no report: the client asks again.
    Transmit(&'a [u8]),
    /// Append this record to the journal; then call `handle_persisted` or `handle_persist_failed`. Several
    /// may be outstanding and one call settles all up to its id (group commit).
    Persist {
        /// Its id.
        commit: CommitId,
        /// What to store.
        record: LeaseRecord,
    },
    /// Tell whoever is interested.
    Event(Event),
}

/// Something happened that people or other services want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A lease was acknowledged; the acknowledgement is the output just before.
    LeaseBound {
        /// The lease.
        lease: LeaseView,
        /// Whether the client held it already.
        renewed: bool,
    },
    /// The client gave its address back.
    LeaseReleased {
        /// The address.
        address: Ipv4Addr,
        /// Who held it.
        mac: MacAddr,
    },
    /// The lease ran out.
    LeaseExpired {
        /// The address.
        address: Ipv4Addr,
        /// Who held it.
        mac: MacAddr,
    },
    /// The client found its address in use by somebody else; the address rests for a while.
    Declined {
        /// The address.
        address: Ipv4Addr,
        /// Who declined it.
        mac: MacAddr,
    },
    /// A station uses an address that isn't its own.
    Conflict {
        /// The address.
        address: Ipv4Addr,
        /// Who uses it.
        claimant: MacAddr,
        /// Who has a lease for it; `None` when it was about to be offered (it rests for a while).
        holder: Option<MacAddr>,
    },
    /// A new client can't be served. Said once, until one can be served again.
    PoolExhausted,
    /// Lease records can't be stored: no lease is given or renewed. Said once, until one can be stored again.
    PersistFailed,
    /// Lease records can be stored again.
    PersistRecovered,
}

/// A current lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// The leased address.
    pub address: Ipv4Addr,
    /// The client's hardware address.
    pub mac: MacAddr,
    /// Its client identifier; `None` when it is known by its hardware address.
    pub client_id: Option<ClientId>,
    /// The name it calls itself.
    pub hostname: HostName,
    /// When the lease runs out.
    pub expires: Wall,
}
