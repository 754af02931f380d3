//! The servers as devices see them. RFC numbers stand where a test proves a rule of theirs.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod code;
mod discovery;
mod event;
mod hostile;
mod lab;
mod model;
mod natpmp;
mod pcp;
mod soap;
mod table;
