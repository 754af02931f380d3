//! The development laboratory: everything a test needs that is *not* this project.
//!
//! It owns network namespaces ([`ns`]), radios ([`radio`]) in a virtual machine ([`vm`]), an "Internet"
//! ([`internet`]), a device that tells who asks ([`mirror`]), clients written by others ([`station`], [`lease`]), other people's software ([`neighbour`]), pictures of the machine's state to
//! compare ([`state`]) and the scenarios that put them together ([`scenario`], [`demo`]).
//!
//! It never links the code under test: the programs `hostednetd` and `hostednet` are started as a user would
//! start them ([`product`]) and judged by what independent programs see.

pub mod capture;
pub mod command;
pub mod demo;
pub mod firewall;
pub mod internet;
pub mod lease;
pub mod mirror;
pub mod neighbour;
pub mod ns;
pub mod product;
pub mod provider;
pub mod qr;
pub mod radio;
pub mod scenario;
pub mod screen;
pub mod state;
pub mod station;
pub mod tier;
pub mod vm;
pub mod wait;
pub mod wired;
pub mod wireguard;

pub use tier::{Tier, require};
