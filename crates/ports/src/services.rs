//! The typed, bounded messages between the control process and the worker that runs the protocol
//! engines, and what a services lane reports upwards.
//!
//! Both directions travel as one datagram per message over a `SOCK_SEQPACKET` pair, encoded with postcard,
//! at most [`MESSAGE_LIMIT`] bytes. File descriptors ride along with the message that names them, in the
//! order of their fields. The control process treats the worker as a stranger: a message that does not decode ends it.

use std::net::{Ipv4Addr, SocketAddr};

use hn_types::{MacAddr, Wall, plan::ServiceSegment};
use serde::{Deserialize, Serialize};

/// No message is longer, in bytes.
pub const MESSAGE_LIMIT: usize = 16 * 1024;

/// From the control process to the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Serve this segment. Descriptors: the packet socket (AF_PACKET, bound to the interface, filtered to
    /// DHCP requests and ARP), then the lease journal (opened for reading and appending).
    Serve {
        /// Echoed in [`FromWorker::Serving`].
        generation: u64,
        /// The segment.
        segment: ServiceSegment,
        /// Index of the interface.
        index: u32,
        /// Address of the interface.
        mac: MacAddr,
        /// Probe an address before it is offered.
        probe: bool,
    },
    /// Name servers for the segment. Descriptors: the UDP socket and the TCP listener, both bound to port 53
    /// of the private address.
    ServeDns {
        /// Of the [`ToWorker::Serve`] this belongs to.
        generation: u64,
    },
    /// Ask other upstreams from here on.
    Upstreams(
        /// Best first; at most 8.
        Vec<SocketAddr>,
    ),
    /// Rewrite the journal without its history. Descriptors: an empty file that replaces the journal.
    Compact {
        /// Echoed in [`FromWorker::Compacted`].
        generation: u64,
    },
    /// Stop serving, finish what is being written, answer [`FromWorker::Stopped`].
    Stop {
        /// Echoed.
        generation: u64,
    },
}

/// From the worker to the control process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker is locked down and listens to commands.
    Ready,
    /// DHCP answers.
    Serving {
        /// Of the command.
        generation: u64,
        /// How many leases were taken up from the journal.
        leases: u32,
    },
    /// DNS answers.
    ServingDns {
        /// Of the command.
        generation: u64,
    },
    /// The journal has grown enough to be rewritten.
    WantsCompaction,
    /// The new file holds everything, is on disk and in use.
    Compacted {
        /// Of the command.
        generation: u64,
        /// Whether it worked; if not, the old file is still in use.
        ok: bool,
    },
    /// Nothing is served.
    Stopped {
        /// Of the command.
        generation: u64,
    },
    /// A command could not be carried out.
    Failed {
        /// Of the command.
        generation: u64,
        /// Why.
        cause: String,
    },
    /// Something happened.
    Event(ServiceEvent),
}

/// What the protocol servers report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceEvent {
    /// A lease was given or renewed; it is on disk.
    LeaseBound(Lease),
    /// A lease ended.
    LeaseEnded {
        /// Whose.
        mac: MacAddr,
        /// Which.
        address: Ipv4Addr,
    },
    /// All leases, complete; sent after a (re)start of the worker. At most 200 in a message; `more` says that
    /// the next message continues the list.
    Leases {
        /// A part of the list.
        leases: Vec<Lease>,
        /// Whether the next message continues it.
        more: bool,
        /// Whether this is the first part.
        first: bool,
    },
    /// DNS answers, or does not and why.
    Dns {
        /// Whether it answers.
        serving: bool,
        /// Why not, lower case, without a full stop.
        cause: String,
    },
    /// Something does not work although the rest does; empty text means that it works again.
    Trouble {
        /// Which.
        kind: ServiceTrouble,
        /// What, lower case, without a full stop.
        cause: String,
    },
    /// The worker ended and is being started again.
    WorkerLost {
        /// How it ended.
        cause: String,
    },
    /// Counters, complete.
    Counters(Vec<Counter>),
}

/// What can be wrong with the protocol servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceTrouble {
    /// Leases cannot be written, so none are given.
    LeaseStore,
    /// The pool has no free address.
    PoolExhausted,
    /// Somebody uses an address of ours.
    AddressConflict,
    /// No upstream answers.
    Upstreams,
    /// Another DHCP server holds port 67 on this machine.
    DhcpPort,
}

/// A lease as reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub mac: MacAddr,
    /// Which address.
    pub address: Ipv4Addr,
    /// The name the device gave, made safe; empty if none.
    pub hostname: String,
    /// Until when.
    pub expires: Wall,
}

/// A named counter, `dhcp_dropped_malformed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Its stable name.
    pub name: String,
    /// Its value.
    pub value: u64,
}
