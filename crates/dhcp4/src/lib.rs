//! The DHCPv4 server engine for one private interface: whole Ethernet frames and time in, whole Ethernet
//! frames, lease records and events out.
//!
//! It owns the lease table of its segment, the choice and the probing of addresses, and the wire format of
//! DHCP (RFC 2131, 2132, 3396, 4039, 4361, 6842) and of ARP probes (RFC 5227). It never opens a socket or
//! a file, reads a clock or draws a random number, and it never depends on the kernel's neighbour table:
//! every reply is a frame that already names the client's hardware address.
//!
//! ```text
//! Server::new(config, seed, now)      restore(record) for each record on disk, then handle_timeout(now)
//! handle_frame(bytes, now)            garbage is a counted drop, never an error
//! handle_timeout(now)                 when poll_timeout() is reached
//! handle_persisted(commit)            everything up to `commit` is on disk: its acknowledgements may leave
//! handle_persist_failed(commit)       nothing outstanding up to `commit` is on disk: roll back, stay silent
//! poll_output()                       one ordered queue; drain it after every call above
//! ```
//!
//! Three promises hold whatever arrives and in whatever order: an address is never acknowledged to two
//! identities at once; a lease is on disk before it is acknowledged; and what was acknowledged is known
//! again after a restart from the records. Every queue is bounded (see [`Limits`]); after warm-up the
//! exchanges of known and of new clients allocate nothing.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod arena;
mod commit;
mod config;
mod conflict;
mod counters;
mod event;
mod frame;
mod hash;
mod identity;
mod lease;
mod list;
mod options;
mod pool;
mod probe;
mod protocol;
mod record;
mod reply;
mod server;
mod wire;

pub use config::{Config, ConfigError, Limits, Probing, RawConfig, Reservation, ReservedFor, Timing};
pub use counters::{Counters, DropReason};
pub use event::{CommitId, Event, LeaseView, Output};
pub use identity::{ClientId, HostName, Identity, Label};
pub use record::{LeaseRecord, RecordError, RecordState, Records};
pub use server::Server;
