//! The command line of hostednet. `main` calls [`run`]; everything a person sees is made here.
//!
//! **Invariant:** this crate talks to the service through the client library only. `join` needs no service: it is
//! the device's side, and drives `hn_linux::station`.

#![forbid(unsafe_code)]

pub mod args;
mod argv;
mod commands;
mod daemon;
mod doctor;
mod entry;
mod hold;
mod join;
pub mod manual;
mod net;
mod netsh;
pub mod qr;
mod report;
pub mod screen;
mod style;
mod table;
mod terminal;
mod up;
mod win32;

pub use entry::run;
