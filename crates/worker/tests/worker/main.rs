//! The worker as the control process and the devices of a segment see it. Needs no privilege; what only a
//! process started by root gives up is checked when root runs the tests.
#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "tests")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests pick one variant")]

mod channel;
mod dhcp;
mod dns;
mod ipv6;
mod lab;
mod lockdown;
