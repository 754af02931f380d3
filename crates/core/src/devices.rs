//! Who has an address, merged with who is associated.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use core::net::Ipv4Addr;

use hn_types::{
    IfName, KeyRole, MacAddr, Now, Wall,
    observed::Lease,
    view::{DeviceView, Event},
};

use crate::{effect::Output, hosted::Hosted};

#[derive(Clone, Debug)]
struct Held {
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
    confirmed: u64,
}

impl Leases {
    /// Adds a lease; the one that ends first makes room.
    fn remember(&mut self, lease: Lease, station: Option<KeyRole>, limit: usize) {
        self.remove(lease.mac);
        while self.held.len() >= limit.max(1)
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.held.remove(&first);
        }
        self.ends.insert((lease.expires, lease.mac));
        self.confirmed += 1;
        self.held.insert(lease.mac, Held { lease, station, confirmed: self.confirmed });
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
        out.push_back(Output::Event(Event::LeaseBound {
            mac: lease.mac,
            ipv4: lease.address,
            hostname: (!lease.hostname.is_empty()).then(|| lease.hostname.clone()),
            expires: lease.expires.to_rfc3339(),
        }));
        if let Some(arriving) = &mut self.arriving {
            arriving.remember(lease.clone(), None, limit);
        }
        let station = self.station(lease.mac, hosted);
        self.leases.remember(lease, station, limit);
    }

    pub(crate) fn ended(&mut self, mac: MacAddr, address: Ipv4Addr, out: &mut VecDeque<Output>) {
        for leases in self.arriving.iter_mut().chain([&mut self.leases]) {
            if leases.held.get(&mac).is_some_and(|held| held.lease.address == address) {
                leases.remove(mac);
            }
        }
        out.push_back(Output::Event(Event::LeaseEnded { mac, ipv4: address }));
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
            .map(|held| held.lease.address)
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
                    ipv4: Some(lease.address),
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
        for (mac, peer) in hosted.peers() {
            let view = views.entry(*mac).or_insert_with(|| DeviceView {
                mac: *mac,
                ipv4: None,
                hostname: None,
                interface: ap,
                key: None,
                signal_dbm: None,
                rx_bytes: 0,
                tx_bytes: 0,
                lease_expires: None,
                connected: true,
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: u8, expires: u64) -> Lease {
        Lease {
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            address: Ipv4Addr::new(192, 168, 137, n),
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
}
