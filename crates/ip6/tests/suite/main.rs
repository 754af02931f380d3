//! Advertisements and leases as devices see them. RFC numbers stand where a test proves a rule of theirs.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod advert;
mod hostile;
mod lab;
mod lease;
mod model;
mod requester;
mod segment;
