//! Who has which address.
//!
//! One address for each (DUID, IAID), looked for where a keyed hash of both says. Bounded: the lease that
//! ends first makes room, which costs its client nothing, since it is given the same address when it renews.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{MacAddr, Monotonic, Subnet6, siphash::SipKey};

use crate::config::{Limits, RawConfig};

/// Places where an address is looked for. A place is taken by somebody else once in 10^16 times, unless
/// it was declined.
const PLACES: u64 = 8;
/// How long a declined address is not given again.
const DECLINED_FOR: Duration = Duration::from_secs(3_600);

/// Whose lease it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    pub(crate) duid: Box<[u8]>,
    pub(crate) iaid: u32,
}

/// A lease.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) address: Ipv6Addr,
    /// The same in the uplink's prefix, if there was one when it was given.
    pub(crate) global: Option<Ipv6Addr>,
    pub(crate) mac: MacAddr,
    pub(crate) hostname: String,
    pub(crate) expires: Monotonic,
}

/// What an address is in its prefix.
pub(crate) const fn identifier(address: Ipv6Addr) -> u64 {
    address.to_bits() as u64
}

/// The address in `network` that is called as `address` is in its own.
pub(crate) fn rehomed(address: Ipv6Addr, network: Subnet6) -> Ipv6Addr {
    Ipv6Addr::from_bits(network.address().to_bits() | u128::from(identifier(address)))
}

/// The table.
#[derive(Debug)]
pub(crate) struct Leases {
    key: SipKey,
    prefix: Subnet6,
    host: Ipv6Addr,
    limits: Limits,
    held: BTreeMap<Client, Lease>,
    addresses: BTreeMap<Ipv6Addr, Client>,
    ends: BTreeSet<(Monotonic, Client)>,
    devices: BTreeMap<MacAddr, usize>,
    declined: VecDeque<(Monotonic, Ipv6Addr)>,
}

impl Leases {
    pub(crate) fn new(config: &RawConfig) -> Self {
        Self {
            key: SipKey::new(config.address_key, 0x6869_6464_656e_6970),
            prefix: config.host.network(),
            host: config.host.address(),
            limits: config.limits,
            held: BTreeMap::new(),
            addresses: BTreeMap::new(),
            ends: BTreeSet::new(),
            devices: BTreeMap::new(),
            declined: VecDeque::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.held.values()
    }

    pub(crate) fn lease(&self, client: &Client) -> Option<&Lease> {
        self.held.get(client)
    }

    /// The address `client` has, or can have: the one it `claims` if that is one of its own places.
    pub(crate) fn choose(&self, client: &Client, mac: MacAddr, claims: &[Ipv6Addr]) -> Option<Ipv6Addr> {
        if let Some(lease) = self.held.get(client) {
            return Some(lease.address);
        }
        if self.devices.get(&mac).is_some_and(|count| *count >= self.limits.leases_per_device) {
            return None;
        }
        let places = || (0..PLACES).map(|place| self.place(client, place)).filter(|at| self.is_free(*at));
        let claimed = |at: &Ipv6Addr| claims.iter().any(|claim| identifier(*claim) == identifier(*at));
        places().find(claimed).or_else(|| places().next())
    }

    fn place(&self, client: &Client, place: u64) -> Ipv6Addr {
        let host = self.key.hash(&client.duid, u64::from(client.iaid) | place << 32);
        Ipv6Addr::from_bits(self.prefix.address().to_bits() | u128::from(host))
    }

    fn is_free(&self, address: Ipv6Addr) -> bool {
        let identifier = identifier(address);
        // Low numbers look like routers, the highest are reserved anycast addresses (RFC 2526).
        let usable = identifier > 0xffff && identifier < 0xfdff_ffff_ffff_ff80;
        usable
            && address != self.host
            && !self.addresses.contains_key(&address)
            && !self.declined.iter().any(|(_, declined)| *declined == address)
    }

    /// Gives `client` the address that [`Leases::choose`] found. Returns whether it is a renewal, and the lease
    /// that made room.
    pub(crate) fn bind(&mut self, client: Client, lease: Lease) -> (bool, Option<Lease>) {
        let before = self.remove(&client);
        let full = self.held.len() >= self.limits.leases;
        let forgotten = if full { self.ends.first().map(|(_, first)| first.clone()) } else { None };
        let forgotten = forgotten.and_then(|first| self.remove(&first));
        *self.devices.entry(lease.mac).or_default() += 1;
        self.addresses.insert(lease.address, client.clone());
        self.ends.insert((lease.expires, client.clone()));
        self.held.insert(client, lease);
        (before.is_some(), forgotten)
    }

    pub(crate) fn remove(&mut self, client: &Client) -> Option<Lease> {
        let lease = self.held.remove(client)?;
        self.addresses.remove(&lease.address);
        self.ends.remove(&(lease.expires, client.clone()));
        if let Some(count) = self.devices.get_mut(&lease.mac) {
            *count -= 1;
            if *count == 0 {
                self.devices.remove(&lease.mac);
            }
        }
        Some(lease)
    }

    /// The address is somebody else's: it rests.
    pub(crate) fn decline(&mut self, address: Ipv6Addr, now: Monotonic) {
        if self.declined.len() >= self.limits.declined {
            self.declined.pop_front();
        }
        self.declined.push_back((now + DECLINED_FOR, address));
    }

    /// The next lease that has run out.
    pub(crate) fn pop_expired(&mut self, now: Monotonic) -> Option<Lease> {
        while self.declined.front().is_some_and(|(until, _)| *until <= now) {
            self.declined.pop_front();
        }
        let (_, client) = self.ends.first().filter(|(ends, _)| *ends <= now)?;
        let client = client.clone();
        self.remove(&client)
    }

    pub(crate) fn next_expiry(&self) -> Option<Monotonic> {
        self.ends.first().map(|(ends, _)| *ends)
    }
}
