//! The core against a world that does what effects say, fails when told, and checks at every step what must
//! never be seen.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the events they are about")]

mod device;
mod follow;
mod guard;
mod hosted;
mod mapping;
mod modes;
mod names;
mod pairs;
mod portmap;
mod radio;
mod random;
mod references;
mod settings;
mod sharing;
mod table;
mod transactions;
mod wiphys;
mod world;
