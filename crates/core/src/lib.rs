//! The machines of hostednet: the hosted network, its sessions and references, settings and keys,
//! the sharing planner, and the transactions that bring a machine from one state to another as a
//! whole or not at all.
//!
//! This crate owns every decision. It never does anything: it returns [`Output`]s. Its one face is
//! [`Core`]: hand it an input (`handle_*`), drain [`Core::poll_output`] until it is empty, then wait for
//! the next input or until [`Core::poll_timeout`]. Time, chance and knowledge of the system come in as
//! values. Bringing the system from what is applied to what is wanted is level-triggered: see
//! [`plan`] for what is wanted and `lanes` for the order in which it is made so.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod command;
mod config;
mod core;
mod effect;
mod guid;
pub mod plan;
pub mod radio;
mod view;

pub use self::{
    command::{Actor, Command, Keys, Part, Reply, RequestId, ServiceStatus, SessionId, Settings, UpRequest},
    config::{Config, Deadlines, Limits},
    core::Core,
    effect::{Effect, EffectDone, EffectId, Output},
    guid::connection_guid,
    plan::SystemPlan,
    radio::{BandWish, RadioPlan, RadioWish, Refusal},
    view::{ConnectionRole, ConnectionStatus, ConnectionView},
};
