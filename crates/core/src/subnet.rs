//! Which network a private segment gets.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::{IfName, Subnet4, network::NetworkView};

/// The host in full mode (spec/internet-connection-sharing.md §3.1).
const FULL: [u8; 4] = [192, 168, 137, 1];
/// The host in standalone mode.
const STANDALONE: [u8; 4] = [192, 168, 173, 1];

/// The subnets in use. Sticky while sharing runs, until another part of the machine uses the same addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subnets {
    pub(crate) full: Option<Subnet4>,
    pub(crate) standalone: Option<Subnet4>,
}

/// Every free /24 is taken, or the configured network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collision(pub(crate) Subnet4, pub(crate) Option<IfName>);

impl Subnets {
    /// Chooses a network for full mode unless there is one already.
    pub(crate) fn choose_full(&mut self, fixed: Option<Subnet4>, taken: &Taken) -> Result<(), Collision> {
        if self.full.is_none() {
            self.full = Some(choose(FULL, fixed, taken, self.standalone)?);
        }
        Ok(())
    }

    /// Chooses a network for standalone mode unless there is one already.
    pub(crate) fn choose_standalone(
        &mut self,
        fixed: Option<Subnet4>,
        taken: &Taken,
    ) -> Result<(), Collision> {
        if self.standalone.is_none() {
            self.standalone = Some(choose(STANDALONE, fixed, taken, self.full)?);
        }
        Ok(())
    }

    /// Those that nobody else uses by now.
    pub(crate) fn undisputed(&self, taken: &Taken) -> Self {
        let free = |subnet: &Subnet4| taken.dispute(*subnet).is_none();
        Self { full: self.full.filter(free), standalone: self.standalone.filter(free) }
    }
}

/// Networks that must not be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Vec<(Subnet4, IfName)>);

impl Taken {
    /// Whatever the network view shows, without addresses `ours` says we configured.
    pub(crate) fn from_view(network: &NetworkView, ours: impl Fn(IfName, Subnet4) -> bool) -> Self {
        let routes = network
            .occupied
            .iter()
            .filter(|occupied| network.link(occupied.interface.as_str()).is_none_or(|link| !link.ours))
            .map(|occupied| (occupied.subnet, occupied.interface));
        let addresses = network
            .links
            .iter()
            .filter(|link| !link.ours)
            .flat_map(|link| link.addresses.iter().map(|address| (*address, link.name)));
        Self(
            routes
                .chain(addresses)
                .filter(|(subnet, interface)| subnet.prefix() > 0 && !ours(*interface, *subnet))
                .collect(),
        )
    }

    /// Who uses addresses of a network that is in use already. Half of all addresses, as VPNs take over the default route
    /// with, is no network in this sense: the segment's own is the narrower one.
    pub(crate) fn dispute(&self, subnet: Subnet4) -> Option<IfName> {
        const WIDEST: u8 = 8;
        let narrow = self.0.iter().filter(|(other, _)| other.prefix() >= WIDEST);
        narrow.clone().find(|(other, _)| other.overlaps(subnet)).map(|(_, interface)| *interface)
    }

    fn conflict(&self, subnet: Subnet4) -> Option<IfName> {
        self.0.iter().find(|(other, _)| other.overlaps(subnet)).map(|(_, interface)| *interface)
    }
}

fn choose(
    preferred: [u8; 4],
    fixed: Option<Subnet4>,
    taken: &Taken,
    other: Option<Subnet4>,
) -> Result<Subnet4, Collision> {
    let free = |subnet: Subnet4| {
        taken.conflict(subnet).is_none() && other.is_none_or(|other| !other.overlaps(subnet))
    };
    if let Some(fixed) = fixed {
        return if free(fixed) { Ok(fixed) } else { Err(Collision(fixed, taken.conflict(fixed))) };
    }
    let [a, b, c, d] = preferred;
    let spare = |octets: &[u8; 4]| *octets != FULL && *octets != STANDALONE;
    // The neighbours in 192.168/16 first, then one /24 in each /16 of 10/8, then of 172.16/12.
    let candidates = core::iter::once(preferred)
        .chain((1..=255_u8).map(|step| [a, b, c.wrapping_add(step), d]).filter(spare))
        .chain((0..=255).map(|second| [10, second, c, d]))
        .chain((16..=31).map(|second| [172, second, c, d]));
    for octets in candidates {
        if let Some(subnet) = Subnet4::new(Ipv4Addr::from(octets), 24)
            && free(subnet)
        {
            return Ok(subnet);
        }
    }
    let wanted = Subnet4::new(Ipv4Addr::from(preferred), 24).expect("24 is at most 32");
    Err(Collision(wanted, taken.conflict(wanted)))
}

/// First and last address of the pool: the longer side of the host's own address.
pub(crate) fn pool(host: Subnet4) -> (Ipv4Addr, Ipv4Addr) {
    let first = host.network().address().to_bits().saturating_add(1);
    let last = host.broadcast().to_bits().saturating_sub(1);
    let own = host.address().to_bits();
    let (first, last) = if own < first || own > last {
        (first, last)
    } else if last - own >= own - first {
        (own.saturating_add(1), last)
    } else {
        (first, own.saturating_sub(1))
    };
    (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last))
}

#[cfg(test)]
mod tests {
    use hn_types::network::OccupiedSubnet;

    use super::*;

    fn net(text: &str) -> Subnet4 {
        text.parse().expect("valid")
    }

    fn taken(nets: &[&str]) -> Taken {
        let interface = "eth0".parse().expect("valid");
        let view = NetworkView {
            occupied: nets.iter().map(|text| OccupiedSubnet { subnet: net(text), interface }).collect(),
            ..NetworkView::default()
        };
        Taken::from_view(&view, |_, _| false)
    }

    #[test]
    fn the_documented_networks_are_used_when_free() {
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&["10.0.0.0/8"])).expect("free");
        subnets.choose_standalone(None, &taken(&["10.0.0.0/8"])).expect("free");
        assert_eq!(subnets.full, Some(net("192.168.137.1/24")));
        assert_eq!(subnets.standalone, Some(net("192.168.173.1/24")));
    }

    #[test]
    fn a_collision_moves_to_the_next_free_network_and_never_to_the_other_mode() {
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&["192.168.137.128/25"])).expect("free");
        assert_eq!(subnets.full, Some(net("192.168.138.1/24")));
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&["192.168.0.0/16"])).expect("free");
        assert_eq!(subnets.full, Some(net("10.0.137.1/24")));
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&["192.168.0.0/16", "10.0.0.0/8"])).expect("free");
        assert_eq!(subnets.full, Some(net("172.16.137.1/24")));
        assert!(Subnets::default().choose_full(None, &taken(&["0.0.0.0/1", "128.0.0.0/1"])).is_err());
    }

    #[test]
    fn a_chosen_network_stays_and_a_fixed_one_is_never_replaced() {
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&[])).expect("free");
        subnets.choose_full(None, &taken(&["192.168.137.0/24"])).expect("sticky");
        assert_eq!(subnets.full, Some(net("192.168.137.1/24")));
        let fixed = Some(net("10.1.0.1/24"));
        assert!(Subnets::default().choose_full(fixed, &taken(&["10.0.0.0/8"])).is_err());
    }

    #[test]
    fn a_network_is_left_when_another_one_takes_its_addresses_but_not_for_a_default_route_in_halves() {
        let mut subnets = Subnets::default();
        subnets.choose_full(None, &taken(&[])).expect("free");
        assert_eq!(subnets.undisputed(&taken(&["192.168.138.0/24", "0.0.0.0/1", "128.0.0.0/1"])), subnets);
        for other in ["192.168.137.0/24", "192.168.0.0/16", "192.168.137.200/32"] {
            let taken = taken(&[other]);
            let mut left = subnets.undisputed(&taken);
            assert_eq!(left.full, None, "{other}");
            left.choose_full(None, &taken).expect("there are others");
            assert!(taken.dispute(left.full.expect("was chosen")).is_none());
        }
    }

    #[test]
    fn the_pool_leaves_the_host_out() {
        let of = |text| pool(net(text));
        assert_eq!(
            of("192.168.137.1/24"),
            (Ipv4Addr::new(192, 168, 137, 2), Ipv4Addr::new(192, 168, 137, 254))
        );
        assert_eq!(of("10.0.0.254/24"), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 253)));
        assert_eq!(of("10.0.0.1/30"), (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 2)));
    }
}
