//! The DNS forwarder engine of the private segment, without I/O.
//!
//! It owns everything between two datagrams: parsing, the cache, questions in flight, the health of
//! the resolvers behind us, and the names of leases and of this host. It never opens a socket, reads a
//! clock or draws a random number of its own: whoever drives it hands in bytes, the time and one seed.
//!
//! # How it is driven
//!
//! Feed [`Forwarder::handle_query`], [`Forwarder::handle_response`], [`Forwarder::handle_upstream_error`]
//! and [`Forwarder::handle_timeout`]; after each (or after a batch) drain [`Forwarder::poll_output`] until
//! it is `None`; then wait until [`Forwarder::poll_timeout`].
//!
//! # What it answers, and from where
//!
//! | question | answer |
//! |---|---|
//! | from an address outside the private subnet | none; dropped and counted, so this is never an open resolver |
//! | the local domain itself (`mshome.net`) | `A`: this host. `SOA`, `NS`: this host. The source documents leave it open |
//! | `LABEL.mshome.net` of a lease or this host | `A`; any other type is an empty answer (NODATA) |
//! | another name under the local domain | NXDOMAIN, never forwarded |
//! | a bare `LABEL` that is known | `A`; empty for `AAAA` and `HTTPS`; other types are forwarded, because a label may also be a top-level domain |
//! | a bare label that is not known | forwarded, for the same reason (RFC 8020: an NXDOMAIN for `com` would deny all below it) |
//! | reverse names of the private subnet | `PTR` of leases and this host, otherwise NXDOMAIN; never forwarded |
//! | reverse names of other private ranges (RFC 6303) | forwarded: a VPN's resolver may know them |
//! | `localhost` and below (RFC 6761) | loopback addresses |
//! | `invalid` (RFC 6761), `onion` (RFC 7686) and below | NXDOMAIN |
//! | type `ANY` | one synthetic `HINFO` (RFC 8482) |
//! | zone transfers, classes other than `IN`, recursion not desired | REFUSED. Strangers share the segment: without recursion the only thing left to learn is what others have asked |
//! | everything else | the cache, else a resolver |
//!
//! # What it does not do
//!
//! * It does not validate DNSSEC. `DO` and `CD` are passed on and are part of the cache key; `AD` is asked
//!   for and passed back to who can understand it (RFC 6840 §5.7, §5.8).
//! * It does not strip private addresses from answers (DNS rebinding): split-horizon resolvers of a VPN
//!   answer with them on purpose.
//! * It passes on no EDNS option from either side, client subnet and cookies included (they are
//!   hop-by-hop, and the private side is nobody's business); only an extended error code (RFC 8914) of a
//!   resolver reaches the client.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod ask;
mod cache;
mod config;
mod counters;
mod forwarder;
mod hash;
mod local;
mod lookup;
mod message;
mod name;
mod output;
mod query;
mod reply;
mod response;
mod upstream;
mod wheel;
mod wire;

pub use config::{Config, ConfigError};
pub use counters::Counters;
pub use forwarder::Forwarder;
pub use local::NameError;
pub use output::{Client, ClientTransport, Event, Output, Route, RouteTransport, UpstreamId};
