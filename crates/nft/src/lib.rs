//! Layer 1, pure: a firewall plan to nfnetlink bytes, and what the kernel answers back to a plan.
//!
//! This crate owns the table `inet hostednet`: what its rules are ([`Ruleset::of`]), how they are said to
//! the kernel in one transaction ([`Batch`]), how a dump is read ([`Installed`]) and whether the two agree
//! ([`compare`](fn@compare)). It also reads everybody else's tables ([`Foreign`]) and tells what in them would drop the
//! traffic of a segment ([`audit`](fn@audit)), and follows packets through all of them ([`Trails`]). It never opens a socket, never looks at an interface and never judges a packet
//! that is neither from nor to a private segment.
//!
//! # Why the bytes are written here
//!
//! The published netlink crates type six of the expressions of nf_tables and leave `ct`, `masq` and
//! `counter` as opaque attributes that we would have to write anyway; they need `std`, and they are made
//! to describe any rule whereas we need a dozen expressions, exactly. Netlink attributes are a length, a type
//! and a value: [`wire`] is that and no more. In exchange the whole crate runs in a test without
//! privilege, and an unexpected byte from outside is an error or an [`Statement::Other`], never a panic.
//!
//! # Cost per packet
//!
//! A forwarded packet of a segment is judged by two rules of its own chain after one comparison of an
//! interface *index*; no set is looked up and only drops are counted. Behind every rule that compares an
//! index stands the same rule comparing the *name*: it is what holds when an interface is created
//! again (hostapd restarted, a USB modem plugged back) and it costs an ordinary packet nothing, because the
//! rule before it has already decided. Hooks that have no rule are not registered.
//!
//! The first of these rules takes what belongs to a connection that is *assured*, in one comparison as cheap as the
//! one of its state, and thereby all data of TCP. Behind it come the rules that only the rest meets – handshakes,
//! short exchanges of UDP, ICMP: the maximum segment size of a SYN is clamped to the path, then the state
//! decides. A base chain of its own for the clamp would instead cost every forwarded packet of the machine a chain and
//! two comparisons; and the state alone cannot tell a SYN and ACK, which is established, from data.
//!
//! While connections are translated a second table, `inet hostednet_anchor` ([`Ruleset::anchor`]), holds them when somebody
//! flushes all rules. An ordinary packet meets two comparisons there, on its way out.
//!
//! What was decided about single devices is in a table of its own, `netdev hostednet` ([`DeviceTable`]), at the ports of the
//! private side. There is none while nothing was decided, and these rules are the same with it and without.
//!
//! A match on the connection state or status is a load, a mask and a comparison, all three of which the kernel runs inline
//! without a call; a verdict map would replace two of them by a call and a hash lookup.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod anchor;
mod audit;
mod batch;
mod compare;
mod device;
mod expression;
mod foreign;
mod installed;
mod isolation;
mod mapping;
mod owner;
mod policy;
mod ruleset;
mod trace;
pub mod wire;
mod words;

pub use anchor::ANCHOR_TABLE;
pub use audit::{Blockade, Traffic, audit};
pub use batch::{Batch, Object, Request};
pub use compare::{Difference, compare};
pub use device::{DEVICE_QUESTIONS, DeviceTable, device_question};
pub use foreign::{Family, Foreign, Question, SetId, TableId};
pub use installed::{Installed, RuleCounter};
pub use mapping::passed;
pub use owner::{Owner, Remedy};
pub use ruleset::{
    Chain, Compared, CtStates, Direction, Hook, Match, Op, Rule, Ruleset, Side, Statement, TABLE,
    TABLE_COMMENT, Verdict,
};
pub use trace::{Explanation, Killer, Probe, TRACE_TABLE, Trail, Trails, Way};
