//! The machines of hostednet: the hosted network, its sessions and references, settings and keys,
//! the sharing planner, and the transactions that bring a machine from one state to another as a
//! whole or not at all.
//!
//! This crate owns every decision. It never does anything: it returns [`Output`]s. Its one face is
//! [`Core`]: hand it an input (`handle_*`), drain [`Core::poll_output`] until it is empty, then wait for
//! the next input or until [`Core::poll_timeout`]. Time, chance and knowledge of the system come in as
//! values.
//!
//! | module | owns |
//! |---|---|
//! | `core` | the composition: inputs to machines, then everything brought to rest |
//! | `dispatch`, `up` | what a command may do and which stages it takes |
//! | `job`, `transact` | transactions: forward, committed, or undone as a whole |
//! | `plan` | what should hold on the system, from what is wanted and what is there |
//! | `lane`, `lanes`, `order` | how it is made so: deadlines, failures, late answers; in which order |
//! | `hosted`, `sessions`, `keys`, `devices` | the network's state, who holds it up, its keys, who is attached |
//! | `follow` | the access point follows the station beside it; radar is listened for |
//! | `sleep` | the machine's sleep stops the network, and what comes after |
//! | `names` | interfaces of ours that somebody renames get their names back |
//! | `mapping`, `portmap` | ports that lead to devices: the administrator's, and those that devices asked for |
//! | `radio`, `pair`, `subnet` | pure choices: adapter and channel, legal pairs, free networks |
//! | `steering` | the way out by an interface that is not the machine's own |
//! | `report` | snapshot, connections |
//! | `doctor` | from what is wanted and what was observed to why a device is not online |
//!
//! What is applied follows what is wanted by level, not by edge: rolling back is wanting again what was
//! wanted before, and repairing is comparing again.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod command;
mod config;
mod control;
mod core;
mod devices;
mod dispatch;
mod doctor;
mod effect;
mod follow;
mod guard;
mod guid;
mod hosted;
mod ipv6;
mod isolation;
mod job;
mod keys;
mod lane;
mod lanes;
mod mapping;
mod mtu;
mod names;
mod order;
mod pair;
mod plan;
mod portmap;
mod radio;
mod refusals;
mod renumber;
mod report;
mod roles;
mod sessions;
mod sleep;
mod steering;
mod subnet;
mod transact;
mod up;
mod view;

pub use hn_types::part::{Part, StartType};

pub use self::{
    command::{
        Actor, Asked, Command, Keys, MappingStatus, NewMapping, PartStatus, Reply, RequestId, Security,
        SessionId, Settings, UpRequest,
    },
    config::{Config, Deadlines, Limits},
    core::Core,
    doctor::{Case, diagnose},
    effect::{Effect, EffectDone, EffectId, Output},
    guid::connection_guid,
    plan::SystemPlan,
    portmap::{PortMapPolicy, Protocols},
    radio::{BandWish, ChannelRefusal, Lack, Limit, RadioPlan, RadioWish, Refusal, Survey, radio_plan},
    view::{ConnectionRole, ConnectionStatus, ConnectionView},
};
