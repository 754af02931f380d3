//! The server by the life cycle of a lease. Names of standards stand where a test proves a rule of theirs.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod acquire;
mod hostile;
mod lab;
mod leave;
mod model;
mod persist;
mod probe;
mod renew;
mod restore;
mod table;
