//! IPv6 for one private interface: whole Ethernet frames and time in, whole Ethernet frames and events out.
//!
//! It owns the schedule of Router Advertisements (RFC 4861 §6.2, RFC 8106), the DHCPv6 server (RFC 8415) with
//! its lease table, and the wire formats of both. It never opens a socket or a file, reads a clock or draws a
//! random number, and it never depends on the kernel's neighbour table: every reply is a frame that already
//! names the client's hardware address.
//!
//! ```text
//! Server::new(config, seed, now)
//! handle_frame(bytes, now)       garbage is a counted drop, never an error
//! handle_timeout(now)            when poll_timeout() is reached
//! set_uplink(uplink, now)        the way out appeared, changed or went: told to every device at once
//! set_relay(relay, now)          devices share the uplink's own prefix; frames of that link come by
//!                                handle_uplink_frame
//! stop(now)                      the last advertisement: this router, its resolver and its prefix end
//! poll_output()                  one ordered queue; drain it after every call above
//! ```
//!
//! The other side, [`Requester`], finds out what the uplink gives: it asks for a prefix by DHCPv6 (RFC 8415 §18.2)
//! and reads what routers advertise there. It has the same shape.
//!
//! **Nothing is stored.** The address of a client is a function of its DUID, its IAID and a key that is the
//! same after a restart: 64 bits under SipHash, so two clients meet with a probability of one in 10^13 even
//! when the table is full. A server that forgot a lease gives the same address again when the client renews,
//! so there is no journal, and a full table makes room by forgetting the lease that ends first.
//!
//! Every queue is bounded (see [`Limits`]); what one sender may ask for per second is, too.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod advert;
mod config;
mod counters;
mod event;
mod frame;
mod lease;
mod message;
mod neighbour;
mod observed;
mod protocol;
mod rate;
mod relay;
mod reply;
mod requester;
mod seen;
mod server;
mod solicit;

pub use config::{Config, ConfigError, Global, Lifetimes, Limits, Nat64, RawConfig, Relay, Uplink};
pub use counters::{Counters, DropReason};
pub use event::{Event, LeaseView, Output};
pub use requester::{Delegated, Given, Link, Requester, Shared, association_of, first_of};
pub use server::Server;
