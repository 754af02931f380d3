//! Other programs that manage the same network: asked by the door they have, at run-time only, never edited.

pub mod bus;
pub mod firewalld;
pub(crate) mod login;
pub(crate) mod look;
pub(crate) mod manager;
