//! The way of devices' packets when the public connection is not the machine's own way out, and what goes on when
//! the public connection changes.
//!
//! The firewall lets packets of a segment out of the public interface only, so a default route that leads elsewhere
//! would mean no Internet. Instead of touching that route, devices get a rule and a table of their own.

use alloc::{collections::BTreeSet, vec::Vec};
use core::net::IpAddr;

use hn_types::{
    IfName, Subnet4,
    network::{Link, MediaType, NetworkView},
    plan::{NextHop, Pinned, Steering},
};

/// Rules and routes that lead `private` out by `public`, where the machine's own do not. A link with one other end
/// needs no default route of anybody's to be a way out.
pub(crate) fn steering(network: &NetworkView, private: IfName, public: IfName, ipv6: bool) -> Vec<Steering> {
    let one_end = one_end(network, public);
    let mut found = Vec::new();
    if network.default_route != Some(public) {
        let way = network.ways.iter().find(|way| way.interface == public).map(|way| way.gateway);
        let next = way.or_else(|| one_end.then_some(None)).map(NextHop::Ipv4);
        found.extend(next.map(|next| Steering { private, public, next, mark: None, on_link: None }));
    }
    if ipv6 && network.ipv6.uplinks.first() != Some(&public) {
        let way = network.ipv6.ways.iter().find(|way| way.interface == public);
        let way = way.map(|way| way.gateway);
        let next = way.or_else(|| carries_ipv6(network, public).then_some(None)).map(NextHop::Ipv6);
        found.extend(next.map(|next| Steering { private, public, next, mark: None, on_link: None }));
    }
    found
}

/// Whether it is a tunnel to one other end, which stands.
pub(crate) fn one_end(network: &NetworkView, public: IfName) -> bool {
    let link = network.link(public.as_str());
    link.is_some_and(|link| link.up && link.media == MediaType::Tunnel && link.address.is_none())
}

/// Whether it is one that was given an IPv6 address, too.
pub(crate) fn carries_ipv6(network: &NetworkView, public: IfName) -> bool {
    one_end(network, public) && network.ipv6.addressed.iter().any(|(on, _)| *on == public)
}

/// The interface that upstream name servers have to be asked through: a tunnel, so that nobody on the way to its
/// other end sees what devices ask for.
pub(crate) fn pinned(network: &NetworkView, public: Option<IfName>) -> Option<IfName> {
    public.filter(|public| network.link(public.as_str()).is_some_and(|link| link.media == MediaType::Tunnel))
}

/// The addresses of the tunnel that devices are to leave by. They outlive it: what its other end still sends when it is
/// back belongs to connections that nobody remembers, and this machine would refuse that by its own default route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seal(BTreeSet<(IfName, IpAddr)>);

impl Seal {
    /// `public` is the interface that is the public one, or is to be as soon as it is there.
    pub(crate) fn note(&mut self, public: Option<IfName>, network: &NetworkView) {
        self.0.retain(|(interface, _)| Some(*interface) == public);
        let Some(tunnel) = pinned(network, public) else { return };
        let four = network.link(tunnel.as_str()).into_iter().flat_map(|link| &link.addresses);
        let six = network.ipv6.addressed.iter().filter(|(on, _)| *on == tunnel);
        let four = four.map(|address| IpAddr::V4(address.address()));
        let six = six.map(|(_, address)| IpAddr::V6(address.address()));
        let found: BTreeSet<_> = four.chain(six).map(|address| (tunnel, address)).collect();
        // One that is just coming has none yet.
        if !found.is_empty() {
            self.0 = found;
        }
    }

    pub(crate) const fn addresses(&self) -> &BTreeSet<(IfName, IpAddr)> {
        &self.0
    }
}

/// Which interfaces were the public one since sharing began, the present one included. The place of an interface
/// decides its mark and stays the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Former(Vec<IfName>);

impl Former {
    /// `public` is the public interface at this moment; `sharing`: full sharing is wanted.
    pub(crate) fn note(&mut self, public: Option<IfName>, sharing: bool) {
        if !sharing {
            self.0.clear();
        }
        if let Some(public) = public.filter(|public| sharing && !self.0.contains(public))
            && self.0.len() < Steering::MOST_MARKS as usize
        {
            self.0.push(public);
        }
    }

    /// Which connections stay with the interface they began on, and the way there, while `public` is the public
    /// interface: those that lead into the same network, so that replies still find this machine. Nothing, while no
    /// other one was public.
    pub(crate) fn pinned(
        &self,
        network: &NetworkView,
        private: IfName,
        public: IfName,
    ) -> Vec<(Pinned, Steering)> {
        let Some(new) = network.link(public.as_str()) else { return Vec::new() };
        let mut found = Vec::new();
        for (mark, interface) in (Steering::MARKS..).zip(self.0.iter().copied()) {
            let way = network.ways.iter().find(|way| way.interface == interface);
            let link = network.link(interface.as_str()).filter(|link| link.up && link.carrier);
            if let (Some(way), Some(link)) = (way, link)
                && let Some(address) = shared(link, new)
            {
                let steering = Steering {
                    private,
                    public: interface,
                    next: NextHop::Ipv4(way.gateway),
                    mark: Some(mark),
                    on_link: Some(address.network()),
                };
                found.push((Pinned { interface, address: address.address(), mark }, steering));
            }
        }
        if found.iter().all(|(pinned, _)| pinned.interface == public) { Vec::new() } else { found }
    }
}

/// The address of `link` in a network of more than two ends that `other` has an address in, too.
fn shared(link: &Link, other: &Link) -> Option<Subnet4> {
    let same = |a: &Subnet4, b: &Subnet4| a.prefix() < 31 && a.network() == b.network();
    link.addresses.iter().find(|a| other.addresses.iter().any(|b| same(a, b))).copied()
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use hn_types::network::{Ipv6View, Way, Way6};

    use super::*;

    fn name(text: &str) -> IfName {
        text.parse().expect("valid")
    }

    fn link(text: &str, media: MediaType, address: Option<&str>) -> Link {
        Link {
            name: name(text),
            index: 1,
            address: (media == MediaType::Lan).then_some(hn_types::MacAddr([2, 0, 0, 0, 0, 1])),
            media,
            incoming_only: false,
            up: true,
            carrier: true,
            master: None,
            addresses: address.into_iter().map(|text| text.parse().expect("valid")).collect(),
            mtu: 1500,
            wireless: false,
            ours: false,
        }
    }

    fn network() -> NetworkView {
        let gateway = Some("10.9.0.1".parse().expect("valid"));
        NetworkView {
            links: vec![
                link("eth0", MediaType::Lan, Some("10.9.0.5/24")),
                link("eth1", MediaType::Lan, Some("10.9.0.6/24")),
                link("eth2", MediaType::Lan, Some("172.20.0.6/24")),
                link("wg0", MediaType::Tunnel, Some("10.64.0.2/32")),
            ],
            default_route: Some(name("eth0")),
            ways: vec![Way { interface: name("eth0"), gateway }, Way { interface: name("eth1"), gateway }],
            ipv6: Ipv6View {
                uplinks: vec![name("eth0"), name("eth1")],
                ways: vec![
                    Way6 { interface: name("eth0"), gateway: None },
                    Way6 { interface: name("eth1"), gateway: None },
                ],
                ..Ipv6View::default()
            },
            ..NetworkView::default()
        }
    }

    #[test]
    fn the_machines_own_way_out_needs_no_steering() {
        assert_eq!(steering(&network(), name("lan0"), name("eth0"), true), []);
    }

    #[test]
    fn another_uplink_is_reached_through_its_own_router() {
        let (private, public) = (name("lan0"), name("eth1"));
        let next = NextHop::Ipv4(Some("10.9.0.1".parse().expect("valid")));
        let first = Steering { private, public, next, mark: None, on_link: None };
        assert_eq!(steering(&network(), private, public, false), [first]);
        let second = Steering { next: NextHop::Ipv6(None), ..first };
        assert_eq!(steering(&network(), private, public, true), [first, second]);
    }

    #[test]
    fn a_tunnel_needs_no_route_of_anybodys_and_a_network_without_a_router_gets_none() {
        let (private, public) = (name("lan0"), name("wg0"));
        let next = NextHop::Ipv4(None);
        let expected = Steering { private, public, next, mark: None, on_link: None };
        assert_eq!(steering(&network(), private, public, true), [expected]);
        assert_eq!(steering(&network(), private, name("eth2"), true), []);
        assert_eq!(steering(&network(), private, name("gone0"), true), []);
    }

    #[test]
    fn a_tunnel_is_a_way_out_for_ipv6_when_it_has_an_address_of_it() {
        let (private, public) = (name("lan0"), name("wg0"));
        let mut network = network();
        let address = |text: &str| text.parse().expect("valid");
        network.ipv6.addressed =
            vec![(name("eth0"), address("fd00::2/64")), (name("wg0"), address("fd64::2/128"))];
        let of = |network: &NetworkView| -> Vec<_> {
            steering(network, private, public, true).into_iter().map(|steering| steering.next).collect()
        };
        assert_eq!(of(&network), [NextHop::Ipv4(None), NextHop::Ipv6(None)]);
        network.links[3].up = false;
        assert_eq!(of(&network), []);
    }

    #[test]
    fn the_addresses_of_a_tunnel_are_remembered_until_another_way_is_chosen() {
        let mut seal = Seal::default();
        let mut network = network();
        seal.note(Some(name("eth0")), &network);
        assert_eq!(seal, Seal::default());
        network.ipv6.addressed.push((name("wg0"), "fd64::2/128".parse().expect("valid")));
        seal.note(Some(name("wg0")), &network);
        let expected = ["10.64.0.2", "fd64::2"].map(|text| (name("wg0"), text.parse().expect("valid")));
        assert_eq!(*seal.addresses(), expected.into());
        let tunnel = network.links.pop().expect("there");
        network.ipv6.addressed.clear();
        seal.note(Some(name("wg0")), &network);
        assert_eq!(seal.addresses().len(), 2, "it is gone");
        network.links.push(Link { addresses: Vec::new(), ..tunnel.clone() });
        seal.note(Some(name("wg0")), &network);
        assert_eq!(seal.addresses().len(), 2, "it is coming");
        network.links.pop();
        network.links.push(tunnel);
        seal.note(Some(name("wg0")), &network);
        assert_eq!(seal.addresses().len(), 1, "without IPv6");
        seal.note(Some(name("eth0")), &network);
        assert_eq!(seal, Seal::default());
    }

    #[test]
    fn only_a_tunnel_pins_name_servers() {
        assert_eq!(pinned(&network(), Some(name("wg0"))), Some(name("wg0")));
        assert_eq!(pinned(&network(), Some(name("eth1"))), None);
        assert_eq!(pinned(&network(), None), None);
    }

    #[test]
    fn connections_stay_with_a_former_interface_of_the_same_network_only() {
        let mut former = Former::default();
        let pinned = |former: &Former, public: &str| -> Vec<_> {
            let found = former.pinned(&network(), name("lan0"), name(public));
            found.into_iter().map(|(pinned, _)| (pinned.interface.to_string(), pinned.mark)).collect()
        };
        former.note(Some(name("eth0")), true);
        assert_eq!(pinned(&former, "eth0"), []);
        former.note(None, true);
        former.note(Some(name("eth1")), true);
        let both = [("eth0".to_string(), Steering::MARKS), ("eth1".to_string(), Steering::MARKS + 1)];
        assert_eq!(pinned(&former, "eth1"), both);
        former.note(Some(name("eth0")), true);
        assert_eq!(pinned(&former, "eth0"), both, "marks stay");
        former.note(Some(name("eth2")), true);
        assert_eq!(pinned(&former, "eth2"), []);
        former.note(None, false);
        former.note(Some(name("eth1")), true);
        assert_eq!(pinned(&former, "eth1"), []);
    }

    #[test]
    fn there_are_no_more_marks_than_tables() {
        let mut former = Former::default();
        for number in 0..20 {
            former.note(Some(name(&alloc::format!("eth{number}"))), true);
        }
        assert_eq!(former.0.len(), Steering::MOST_MARKS as usize);
    }
}
