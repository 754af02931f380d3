//! Who has an address, merged with who is associated.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hn_types::{
    IfName, KeyRole, MacAddr, Now, Subnet6, Wall,
    observed::Lease,
    view::{DeviceView, Event},
};

use crate::{effect::Output, hosted::Hosted};

/// IPv6 addresses shown of one device.
const IPV6_OF_ONE: usize = 16;

#[derive(Clone, Debug)]
struct Held {
    address: Ipv4Addr,
    lease: Lease,
    /// The key of the station, once it was seen as one. A device never seen as a station is on a wire.
    station: Option<KeyRole>,
    /// Grows with every confirmation of any lease.
    confirmed: u64,
}

/// A list of leases and the order in which they end.
#[derive(Debug, Default)]
struct Leases {
    held: BTreeMap<MacAddr, Held>,
    /// One entry for each of `held`, so that room is found without looking at all of them.
    ends: BTreeSet<(Wall, MacAddr)>,
    /// IPv6 leases and when they end; no more devices than `held` may have.
    ipv6: BTreeMap<MacAddr, BTreeMap<Ipv6Addr, Wall>>,
    confirmed: u64,
}

impl Leases {
    /// Adds a lease; of those of IPv4 the one that ends first makes room.
    fn remember(&mut self, lease: Lease, station: Option<KeyRole>, limit: usize) {
        let address = match lease.address {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => return self.remember_ipv6(lease.mac, address, lease.expires, limit),
        };
        self.remove(lease.mac);
        while self.held.len() >= limit.max(1)
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.held.remove(&first);
        }
        self.ends.insert((lease.expires, lease.mac));
        self.confirmed += 1;
        self.held.insert(lease.mac, Held { address, lease, station, confirmed: self.confirmed });
    }

    fn remember_ipv6(&mut self, mac: MacAddr, address: Ipv6Addr, expires: Wall, limit: usize) {
        if self.ipv6.contains_key(&mac) || self.ipv6.len() < limit.max(1) {
            let addresses = self.ipv6.entry(mac).or_default();
            if addresses.contains_key(&address) || addresses.len() < IPV6_OF_ONE {
                addresses.insert(address, expires);
            }
        }
    }

    fn forget(&mut self, mac: MacAddr, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                if self.held.get(&mac).is_some_and(|held| held.address == address) {
                    self.remove(mac);
                }
            }
            IpAddr::V6(address) => {
                if let Some(addresses) = self.ipv6.get_mut(&mac) {
                    addresses.remove(&address);
                    if addresses.is_empty() {
                        self.ipv6.remove(&mac);
                    }
                }
            }
        }
    }

    fn remove(&mut self, mac: MacAddr) {
        if let Some(held) = self.held.remove(&mac) {
            self.ends.remove(&(held.lease.expires, mac));
        }
    }
}

/// Leases, bounded.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    leases: Leases,
    /// Parts of a complete list that is still arriving.
    arriving: Option<Leases>,
}

impl Devices {
    pub(crate) fn bound(&mut self, lease: Lease, hosted: &Hosted, limit: usize, out: &mut VecDeque<Output>) {
        if let IpAddr::V4(ipv4) = lease.address {
            out.push_back(Output::Event(Event::LeaseBound {
                mac: lease.mac,
                ipv4,
                hostname: (!lease.hostname.is_empty()).then(|| lease.hostname.clone()),
                expires: lease.expires.to_rfc3339(),
            }));
        }
        if let Some(arriving) = &mut self.arriving {
            arriving.remember(lease.clone(), None, limit);
        }
        let station = self.station(lease.mac, hosted);
        self.leases.remember(lease, station, limit);
    }

    pub(crate) fn ended(&mut self, mac: MacAddr, address: IpAddr, out: &mut VecDeque<Output>) {
        for leases in self.arriving.iter_mut().chain([&mut self.leases]) {
            leases.forget(mac, address);
        }
        if let IpAddr::V4(ipv4) = address {
            out.push_back(Output::Event(Event::LeaseEnded { mac, ipv4 }));
        }
    }

    /// A part of the complete list.
    pub(crate) fn list(&mut self, part: Vec<Lease>, first: bool, more: bool, hosted: &Hosted, limit: usize) {
        let mut arriving = if first { Leases::default() } else { self.arriving.take().unwrap_or_default() };
        for lease in part {
            let station = self.station(lease.mac, hosted);
            arriving.remember(lease, station, limit);
        }
        if more {
            self.arriving = Some(arriving);
        } else {
            self.leases = arriving;
            self.arriving = None;
        }
    }

    /// A device associated.
    pub(crate) fn joined(&mut self, mac: MacAddr, key: KeyRole) {
        if let Some(held) = self.leases.held.get_mut(&mac) {
            held.station = Some(key);
        }
    }

    /// The address of the device with this name; the domain of the segment may follow. Case does not matter.
    pub(crate) fn address(&self, name: &str, domain: &str) -> Option<Ipv4Addr> {
        let label = name
            .len()
            .checked_sub(domain.len() + 1)
            .and_then(|dot| name.split_at_checked(dot))
            .filter(|(_, rest)| rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(domain)))
            .map_or(name, |(label, _)| label);
        let named =
            |held: &&Held| !held.lease.hostname.is_empty() && held.lease.hostname.eq_ignore_ascii_case(label);
        // Of two devices with one name the one whose lease was confirmed last.
        self.leases
            .held
            .values()
            .filter(named)
            .max_by_key(|held| (held.lease.expires, held.confirmed))
            .map(|held| held.address)
    }

    /// Who has a lease on `address`.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<MacAddr> {
        match address {
            IpAddr::V4(address) => {
                self.leases.held.iter().find(|(_, held)| held.address == address).map(|(mac, _)| *mac)
            }
            IpAddr::V6(address) => {
                let holds = |(_, held): &(&MacAddr, &BTreeMap<Ipv6Addr, Wall>)| held.contains_key(&address);
                self.leases.ipv6.iter().find(holds).map(|(mac, _)| *mac)
            }
        }
    }

    /// The IPv6 addresses of `network` that devices have.
    pub(crate) fn in_network6(&self, network: Subnet6) -> impl Iterator<Item = Ipv6Addr> + '_ {
        let all = self.leases.ipv6.values().flat_map(BTreeMap::keys).copied();
        all.filter(move |address| network.contains(*address))
    }

    /// The segment is gone, and so are its leases as far as anybody here is concerned.
    pub(crate) fn clear(&mut self) {
        self.leases = Leases::default();
        self.arriving = None;
    }

    fn station(&self, mac: MacAddr, hosted: &Hosted) -> Option<KeyRole> {
        let known = self.leases.held.get(&mac).and_then(|held| held.station);
        hosted.peers().get(&mac).map(|peer| peer.key).or(known)
    }

    /// Everybody who is attached. Leases that ran out unnoticed are left out.
    pub(crate) fn views(
        &self,
        hosted: &Hosted,
        ap: Option<IfName>,
        segment: Option<IfName>,
        now: Now,
    ) -> Vec<DeviceView> {
        let mut views: BTreeMap<MacAddr, DeviceView> = BTreeMap::new();
        for (mac, held) in self.leases.held.iter().filter(|(_, held)| held.lease.expires > now.wall) {
            let lease = &held.lease;
            views.insert(
                *mac,
                DeviceView {
                    mac: *mac,
                    ipv4: Some(held.address),
                    ipv6: Vec::new(),
                    hostname: (!lease.hostname.is_empty()).then(|| lease.hostname.clone()),
                    interface: segment,
                    key: None,
                    signal_dbm: None,
                    rx_bytes: 0,
                    tx_bytes: 0,
                    lease_expires: Some(lease.expires.to_rfc3339()),
                    connected: held.station.is_none() && segment != ap,
                },
            );
        }
        for (mac, addresses) in &self.leases.ipv6 {
            let valid = addresses.iter().filter(|(_, expires)| **expires > now.wall);
            let ipv6: Vec<_> = valid.map(|(address, _)| *address).collect();
            if !ipv6.is_empty() {
                let view = views.entry(*mac).or_insert_with(|| unseen(*mac, segment));
                view.ipv6 = ipv6;
                view.connected |= segment != ap && view.ipv4.is_none();
            }
        }
        for (mac, peer) in hosted.peers() {
            let view = views.entry(*mac).or_insert_with(|| unseen(*mac, ap));
            view.connected = true;
            view.interface = ap;
            view.key = Some(peer.key);
            if let Some(stats) = &peer.stats {
                view.signal_dbm = stats.signal_dbm;
                view.rx_bytes = stats.rx_bytes;
                view.tx_bytes = stats.tx_bytes;
            }
        }
        views.into_values().collect()
    }
}

/// A device of which nothing is known but where it is.
const fn unseen(mac: MacAddr, interface: Option<IfName>) -> DeviceView {
    DeviceView {
        mac,
        ipv4: None,
        ipv6: Vec::new(),
        hostname: None,
        interface,
        key: None,
        signal_dbm: None,
        rx_bytes: 0,
        tx_bytes: 0,
        lease_expires: None,
        connected: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: u8, expires: u64) -> Lease {
        Lease {
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            address: Ipv4Addr::new(192, 168, 137, n).into(),
            hostname: alloc::string::String::new(),
            expires: Wall::from_unix(expires),
        }
    }

    #[test]
    fn a_full_list_forgets_what_ends_first_and_a_renewal_counts_anew() {
        let mut leases = Leases::default();
        for (n, expires) in [(1, 100), (2, 200), (3, 300), (1, 400)] {
            leases.remember(lease(n, expires), None, 3);
        }
        leases.remember(lease(4, 50), None, 3);
        leases.remember(lease(5, 500), None, 3);
        let kept: Vec<u8> = leases.held.keys().map(|mac| mac.0[5]).collect();
        assert_eq!(kept, [1, 3, 5]);
        leases.remove(MacAddr([2, 0, 0, 0, 0, 3]));
        assert_eq!(leases.ends.len(), leases.held.len());
    }

    #[test]
    fn leases_of_ipv6_are_kept_beside_those_of_ipv4_and_bounded() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let ipv6 = |n: u16| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n));
        let mut leases = Leases::default();
        leases.remember(lease(1, 100), None, 2);
        for n in 0..40 {
            leases.remember(Lease { address: ipv6(n), ..lease(1, 100) }, None, 2);
            leases.remember(Lease { address: ipv6(n), ..lease(n as u8, 100) }, None, 2);
        }
        assert_eq!((leases.held.len(), leases.ipv6.len()), (1, 2));
        assert_eq!(leases.ipv6.get(&mac).map(BTreeMap::len), Some(IPV6_OF_ONE));
        leases.forget(mac, ipv6(3));
        assert_eq!(leases.ipv6.get(&mac).map(BTreeMap::len), Some(IPV6_OF_ONE - 1));
        leases.forget(mac, IpAddr::V4(Ipv4Addr::new(192, 168, 137, 1)));
        assert!(leases.held.is_empty() && leases.ipv6.contains_key(&mac));
    }
}
