//! How devices of one private segment ask for port mappings: UPnP IGD 1 and 2, NAT-PMP (RFC 6886) and PCP
//! (RFC 6887). Bytes and time in, bytes and questions out.
//!
//! It never opens a socket, reads a clock or draws a random number, and it has no table of mappings: it asks the
//! one who has ([`Output::Ask`]), and waits for the answer only as long as a device would.
//!
//! ```text
//! Server::new(config, seed, now)
//! handle_uplink(uplink, now)       the way out, at the start and whenever it changes
//! handle_entries(entries, now)     all mappings, at the start and whenever they change
//! handle_answer(answer, now)       what became of a request; after the entries that show it
//! handle_datagram(channel, from, bytes, now)
//! handle_connected(conn, peer, now), handle_stream(conn, bytes, now), handle_closed(conn, now)
//! handle_connect_result(conn, connected, now)
//! handle_timeout(now)              when poll_timeout() is reached
//! set_address6(link_local, prefixes, now)
//! stop(now)                        byebye
//! poll_output()                    one ordered queue; drain it after every call above
//! ```
//!
//! ```
//! use hn_portmap::{Channel, Config, Output, RawConfig, Server};
//! use hn_types::{Now, portmap::{MapAct, MapAnswer, MapUplink, Mapped}};
//!
//! let raw = RawConfig::new("192.168.137.1/24".parse().unwrap(), 2869, [7; 16]);
//! let mut server = Server::new(Config::new(raw).unwrap(), 1, Now::default());
//! let uplink = MapUplink { external: Some([203, 0, 113, 9].into()), up: true, ..MapUplink::default() };
//! server.handle_uplink(uplink, Now::default());
//! while server.poll_output().is_some() {}
//!
//! // NAT-PMP: UDP, internal port 4000, any external port, two hours.
//! let request = [0, 1, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0, 0x1c, 0x20];
//! let client = "192.168.137.20:50000".parse().unwrap();
//! server.handle_datagram(Channel::PortControl, client, &request, Now::default());
//! let Some(Output::Ask(ask)) = server.poll_output() else { panic!() };
//! let MapAct::Add(add) = ask.act else { panic!() };
//!
//! let external = "203.0.113.9:4000".parse().unwrap();
//! let mapped = Mapped::new(add.protocol, external, add.internal, add.lifetime_s);
//! server.handle_answer(MapAnswer { id: ask.id, result: Ok(mapped) }, Now::default());
//! let Some(Output::Datagram { to, bytes, .. }) = server.poll_output() else { panic!() };
//! assert_eq!((to, &bytes[..4]), (client, [0, 129, 0, 0].as_slice()));
//! ```
//!
//! # What the driver of the sockets does
//!
//! * [`Channel::PortControl`]: UDP 5351, unicast. [`Channel::Ssdp`]: UDP 1900, unicast and the groups
//!   239.255.255.250 and ff02::c. One IPv4 and one IPv6 socket each, bound to the segment's interface, so that
//!   IPv6 addresses need no scope. Datagrams go out from these same sockets, multicast with a TTL of 2 (SSDP) or
//!   1.
//! * TCP: a listener on the configured port. The driver numbers accepted connections ([`ConnId`], below
//!   [`ConnId::OUTGOING`]) and never gives a number twice. `peer` is the address accepted.
//! * [`Output::Connect`]: connect to this address (always one of the segment) on that interface and tell
//!   [`Server::handle_connect_result`].
//! * After [`Output::Close`], or [`Output::Stream`] with `then_close`, the number is forgotten here: send what
//!   waits, but no longer than a few seconds, and close. A connection that ended otherwise is told by
//!   [`Server::handle_closed`].
//!
//! # What devices cannot do
//!
//! Senders outside the segment, spoofed ones and everything malformed are dropped, and counted by
//! [`DropReason`]. Every queue and table is bounded ([`Limits`]), and what one sender may ask for per second is,
//! too. Events are sent to the subscriber's own address only (CVE-2020-12695), a request must name the server by
//! its address (DNS rebinding) and never comes from a web page (`Origin`).

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod action;
mod announce;
mod code;
mod config;
mod control;
mod counters;
mod device;
mod discovery;
mod gena;
mod http;
mod natpmp;
mod output;
mod pcp;
mod rate;
mod server;
mod service;
mod soap;
mod web;
mod xml;

pub use code::{NatPmpCode, PcpCode, UpnpCode, UpnpService, natpmp_code, pcp_code, upnp_code};
pub use config::{Config, ConfigError, Limits, Protocols, RawConfig};
pub use counters::{Counters, DropReason};
pub use output::{Channel, ConnId, Output};
pub use server::Server;
