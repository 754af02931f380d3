//! The real platform: the lanes of [`hn_ports`] on Linux.
//!
//! Each lane makes a complete plan so and reports what it did; none of them decides anything, and none knows
//! another. Two things are shared by all: every change to the system is written down with its inverse before
//! it is made ([`mod@undo`]), and the sockets and processes that the unprivileged worker needs are made here, so
//! that what parses a stranger's bytes never holds a privilege.
//!
//! Everything of a platform runs on one current-thread runtime and acts in the network namespace of the
//! thread that opened it.

#![warn(missing_docs)]

mod dependencies;
mod examine;
pub mod firewall;
pub mod forwarding;
mod hostapd;
pub mod links;
pub mod neighbour;
mod netlink;
pub mod network;
mod packet;
pub mod platform;
mod ports;
pub mod radio;
pub mod resolvers;
pub mod services;
pub mod station;
mod sys;
mod tag;
pub mod undo;

pub use platform::{LinuxConfig, LinuxPlatform, undo};
