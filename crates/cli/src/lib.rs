//! The command line of hostednet. `main` calls [`run`]; everything a person sees is made here.
//!
//! **Invariant:** this crate talks to the service through the client library only.

#![forbid(unsafe_code)]

pub mod args;
mod commands;
mod daemon;
mod hold;
pub mod qr;
mod report;
pub mod screen;
mod style;
mod table;
mod terminal;
mod up;

pub use commands::run;
