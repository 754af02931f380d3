//! The way of devices' packets when the public connection is not the machine's own way out, and what goes on when
//! the public connection changes.
//!
//! The firewall lets packets of a segment out of the public interface only, so a default route that leads elsewhere
//! would mean no Internet. Instead of touching that route, devices get a rule and a table of their own.

use alloc::{collections::BTreeSet, vec::Vec};

use hn_types::{
    IfName,
    network::{Link, MediaType, NetworkView},
    plan::{NextHop, Steering},
};

/// Most interfaces that are remembered as having been the public one.
const FORMER: usize = 8;

/// Rules and routes that lead `private` out by `public`, where the machine's own do not. A link with one other end
/// needs no default route of anybody's to be a way out.
pub(crate) fn steering(network: &NetworkView, private: IfName, public: IfName, ipv6: bool) -> Vec<Steering> {
    let link = network.link(public.as_str());
    let one_end = link.is_some_and(|link| link.up && link.media == MediaType::Tunnel && link.address.is_none());
    let mut found = Vec::new();
    if network.default_route != Some(public) {
        let way = network.ways.iter().find(|way| way.interface == public).map(|way| way.gateway);
        let next = way.or_else(|| one_end.then_some(None)).map(NextHop::Ipv4);
        found.extend(next.map(|next| Steering { private, public, next }));
    }
    if ipv6 && network.ipv6.uplinks.first() != Some(&public) {
        let way = network.ipv6.ways.iter().find(|way| way.interface == public);
        found.extend(way.map(|way| Steering { private, public, next: NextHop::Ipv6(way.gateway) }));
    }
    found
}

/// The interface that upstream name servers have to be asked through: a tunnel, so that nobody on the way to its
/// other end sees what devices ask for.
pub(crate) fn pinned(network: &NetworkView, public: Option<IfName>) -> Option<IfName> {
    public.filter(|public| {
        network.link(public.as_str()).is_some_and(|link| link.media == MediaType::Tunnel)
    })
}

/// Which interfaces were the public one since sharing began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Former {
    current: Option<IfName>,
    before: BTreeSet<IfName>,
}

impl Former {
    /// `public` is the public interface at this moment; `sharing`: full sharing is wanted.
    pub(crate) fn note(&mut self, public: Option<IfName>, sharing: bool) {
        if !sharing {
            *self = Self::default();
            return;
        }
        // Without one at the moment the last one may come back.
        let Some(public) = public else { return };
        if let Some(last) = self.current.replace(public)
            && last != public
            && self.before.len() < FORMER
        {
            self.before.insert(last);
        }
        self.before.remove(&public);
    }

    /// Those that lead to the same network as `public`: replies to what began there still find this machine.
    pub(crate) fn beside(&self, network: &NetworkView, public: IfName) -> BTreeSet<IfName> {
        let Some(new) = network.link(public.as_str()) else { return BTreeSet::new() };
        let same = |name: &IfName| network.link(name.as_str()).is_some_and(|old| share_network(old, new));
        self.before.iter().copied().filter(same).collect()
    }
}

/// Whether both have an address of one network with more than two ends.
fn share_network(one: &Link, other: &Link) -> bool {
    one.addresses.iter().any(|a| {
        a.prefix() < 31 && other.addresses.iter().any(|b| a.network() == b.network())
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

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
        let first = Steering { private, public, next };
        assert_eq!(steering(&network(), private, public, false), [first]);
        let second = Steering { private, public, next: NextHop::Ipv6(None) };
        assert_eq!(steering(&network(), private, public, true), [first, second]);
    }

    #[test]
    fn a_tunnel_needs_no_route_of_anybodys_and_a_network_without_a_router_gets_none() {
        let (private, public) = (name("lan0"), name("wg0"));
        let expected = Steering { private, public, next: NextHop::Ipv4(None) };
        assert_eq!(steering(&network(), private, public, true), [expected]);
        assert_eq!(steering(&network(), private, name("eth2"), true), []);
        assert_eq!(steering(&network(), private, name("gone0"), true), []);
    }

    #[test]
    fn only_a_tunnel_pins_name_servers() {
        assert_eq!(pinned(&network(), Some(name("wg0"))), Some(name("wg0")));
        assert_eq!(pinned(&network(), Some(name("eth1"))), None);
        assert_eq!(pinned(&network(), None), None);
    }

    #[test]
    fn replies_are_awaited_on_former_interfaces_of_the_same_network_only() {
        let mut former = Former::default();
        let beside = |former: &Former, public| former.beside(&network(), name(public));
        former.note(Some(name("eth0")), true);
        assert_eq!(beside(&former, "eth0"), BTreeSet::new());
        former.note(None, true);
        former.note(Some(name("eth1")), true);
        assert_eq!(beside(&former, "eth1"), [name("eth0")].into());
        former.note(Some(name("eth0")), true);
        assert_eq!(beside(&former, "eth0"), [name("eth1")].into());
        former.note(Some(name("eth2")), true);
        assert_eq!(beside(&former, "eth2"), BTreeSet::new());
        former.note(None, false);
        former.note(Some(name("eth1")), true);
        assert_eq!(beside(&former, "eth1"), BTreeSet::new());
    }
}
