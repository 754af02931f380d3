//! `libwlanapi.so`: the C interface that programs written for the hosted network of Windows call.
//!
//! The exported functions are those of `include/wlanapi.h`, with the signatures, layouts, numbers and return
//! codes of the Windows contract. Order of checks in every function with a handle: NULL handle or
//! a reserved argument that is not NULL (87), the service (1062), an unknown handle (6), the other arguments (87),
//! rights (5), state (5023).
//!
//! | thread | owns | waits on | its end |
//! |---|---|---|---|
//! | `wlanapi` | every connection to the service, the event pumps | sockets, timers | the process |
//! | `wlanapi-notify`, one per handle that registered | the calls of the callback | its queue | the handle is closed |
//!
//! **Invariant:** a handle is a number in a table (`library.rs`), never a pointer, and never used twice, not even
//! by a child of `fork`.
//! **Invariant:** no function waits for a callback but those that end a registration, and those not from inside it.
//! **Invariant:** no panic crosses the boundary, and the session of a handle is the only thing that holds
//! references: it ends with the handle or the process.
//!
//! After `fork` the child has no handles: each is unknown (6) there, and it may open its own. It has closed its copies of the
//! sockets before `fork` returned, so that a session ends with the process that opened it (`ffi/fork.rs`).

#![warn(missing_docs)]

mod client;
mod events;
mod ffi;
mod library;
mod mailbox;
mod mirror;
mod notify;
mod reasons;
mod sync;
pub mod types;

pub use ffi::{hosted::*, memory::*, session::*};
