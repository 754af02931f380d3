//! hostednetd: the wiring between the machines, a platform, and the people who ask.
//!
//! The control process keeps the privilege and parses only netlink, hostapd's socket and D-Bus; the
//! worker it starts has none and parses what strangers send. One loop owns the core ([`control`]); around it are
//! one task per lane that carries out effects ([`lanes`]), one per session that speaks D-Bus ([`bus`]),
//! and nothing else. The loop never waits for any of them.
//!
//! **Invariant:** no decision is taken here. What happens next is said by `hn_core::Core`.

#![forbid(unsafe_code)]

pub mod bus;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod lanes;
pub mod run;
pub mod store;
