//! The forwarder from outside, with hickory-proto as an independent reader and writer of messages.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

mod cache;
mod coalesce;
mod failover;
mod hostile;
mod local;
mod properties;
mod reverse;
mod spoofed;
mod truncation;
mod world;
