//! A segment moves to another network when its own turns up elsewhere on the machine: an uplink that is given the same
//! addresses, a VPN, a container.
//!
//! Devices hold a lease of a week for addresses that lead nowhere from then on. Who asks is told so (DHCPNAK); who is on a
//! wire is made to ask by its carrier, which goes for a moment; and since a machine whose surroundings moved once is one
//! that moves, leases are short from then on, until sharing ends.

use alloc::{format, string::String};
use core::time::Duration;

use crate::{
    core::Core,
    job::Change,
    subnet::{Subnets, Taken},
};

/// A lease on a machine that moves.
const SHORT_LEASE: Duration = Duration::from_secs(600);

/// What became of networks that were left, since sharing began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// How often.
    pub(crate) count: u32,
    /// From where to where, the last time. One that failed is not tried again.
    tried: Option<(Subnets, Subnets)>,
}

impl Core {
    /// What of the machine's addresses is not ours.
    pub(crate) fn taken(&self) -> Taken {
        Taken::from_view(&self.network, |interface, subnet| {
            self.own_addresses
                .iter()
                .any(|own| own.interface == interface && own.address.network() == subnet.network())
        })
    }

    /// The move that has to be made, if one can be.
    pub(crate) fn renumbering(&self) -> Option<Change> {
        let taken = self.taken();
        let mut to = self.subnets.undisputed(&taken);
        if to == self.subnets {
            return None;
        }
        let (full, standalone) = (self.subnets.full.is_some(), self.subnets.standalone.is_some());
        self.choose_subnets(&mut to, full, standalone).ok()?;
        let tried = self.moves.tried == Some((self.subnets, to));
        (!tried).then_some(Change { renumber: Some(to), ..Change::KEEP })
    }

    /// Makes it.
    pub(crate) fn renumber(&mut self, to: Subnets) {
        self.moves = Moves { count: self.moves.count.saturating_add(1), tried: Some((self.subnets, to)) };
        self.subnets = to;
    }

    /// How long a lease is.
    pub(crate) fn lease_time(&self) -> Duration {
        if self.moves.count == 0 { self.config.lease_time } else { self.config.lease_time.min(SHORT_LEASE) }
    }

    /// The sentence about a network that is disputed and cannot be left.
    pub(crate) fn dispute(&self) -> Option<String> {
        let subnet = self.subnets.full.or(self.subnets.standalone)?;
        let other = self.taken().dispute(subnet)?;
        Some(format!("{} is in use by {other}, too; configure another subnet", subnet.network()))
    }
}
