//! The device side: how a machine finds its way back into a network, and gets an address there.
//!
//! Two machines that know nothing of each other and nothing of how anything is done:
//!
//! * [`Machine`] is the recovery of a connected device (spec/sequences.md §5.2): the driver reports that the
//!   connection is lost, the device looks for the network again and again, joins it when it is there, and has its
//!   address confirmed or replaced.
//! * [`Client`] is a DHCPv4 client (RFC 2131 §4.4): whole Ethernet frames in, whole Ethernet frames and leases out.
//!
//! Both take inputs (`handle_*`), are drained (`poll_output`) and say when they want to be woken
//! (`poll_timeout`). Neither reads a clock; the client's randomness is a seed.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod client;
mod frame;
mod lease;
mod machine;
mod message;

pub use client::{Client, Loss, Output as ClientOutput};
pub use lease::Lease;
pub use machine::{Change, Machine, News, Output, Refusal, Sighting};
