#![expect(
    unsafe_code,
    reason = "tokio asks for a promise that a descriptor stays open while it is registered"
)]
//! Waiting on a descriptor that tokio has no type for.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor, which does not block, to be waited on until it can be read.
pub(crate) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is an open descriptor, always the same one, and the `AsyncFd` owns it to its end.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(registered?)
}
