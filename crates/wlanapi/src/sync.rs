//! What `mailbox.rs` is made of. The test of its interleavings puts a model's in their place.

pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{ThreadId, current},
};
