//! Which networks devices are kept from.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use hn_types::{Subnet4, Subnet6, network::NetworkView, plan::Isolated, settings::Isolation};

/// RFC 1918 and RFC 3927.
const PRIVATE4: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];
/// RFC 4193 and RFC 4291 §2.5.6.
const PRIVATE6: [(Ipv6Addr, u8); 2] =
    [(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)];

/// The networks that `choices` mean at the moment. An interface means the networks that are reached by it directly or by
/// routes of their own, and not what lies behind its default route.
pub(crate) fn networks(choices: &[Isolation], network: &NetworkView) -> Isolated {
    let mut isolated = Isolated::default();
    for choice in choices {
        match choice {
            Isolation::Private => {
                isolated.ipv4.extend(
                    PRIVATE4.into_iter().filter_map(|(address, prefix)| Subnet4::new(address, prefix)),
                );
                isolated.ipv6.extend(
                    PRIVATE6.into_iter().filter_map(|(address, prefix)| Subnet6::new(address, prefix)),
                );
            }
            Isolation::Network(subnet) => isolated.ipv4.push(subnet.network()),
            Isolation::Network6(subnet) => isolated.ipv6.push(subnet.network()),
            Isolation::Interface(name) => {
                let link = network.link(name.as_str()).filter(|link| !link.ours);
                isolated.ipv4.extend(
                    link.into_iter().flat_map(|link| &link.addresses).map(|address| address.network()),
                );
                let routed = network.occupied.iter().filter(|occupied| occupied.interface == *name);
                isolated.ipv4.extend(routed.map(|occupied| occupied.subnet.network()));
            }
        }
    }
    tidy(&mut isolated.ipv4);
    tidy(&mut isolated.ipv6);
    isolated
}

fn tidy<T: Ord>(networks: &mut Vec<T>) {
    networks.sort_unstable();
    networks.dedup();
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec, vec::Vec};

    use hn_types::{
        network::{Link, MediaType, OccupiedSubnet},
        settings::Isolation,
    };

    use super::*;

    fn machine() -> NetworkView {
        let link = |name: &str, address: &str, ours| Link {
            name: name.parse().expect("valid"),
            index: 2,
            address: None,
            media: MediaType::Lan,
            incoming_only: false,
            up: true,
            carrier: true,
            master: None,
            addresses: vec![address.parse().expect("valid")],
            mtu: 1500,
            wireless: false,
            ours,
        };
        let routed = ["192.168.5.0/24", "10.20.0.0/16"];
        let occupied = routed.map(|subnet| OccupiedSubnet {
            subnet: subnet.parse().expect("valid"),
            interface: "eth1".parse().expect("valid"),
        });
        NetworkView {
            links: vec![link("eth1", "192.168.5.7/24", false), link("hnbr0", "192.168.137.1/24", true)],
            occupied: occupied.into(),
            ..NetworkView::default()
        }
    }

    fn of(choices: &[&str]) -> Vec<alloc::string::String> {
        let choices: Vec<Isolation> = choices.iter().map(|text| text.parse().expect("valid")).collect();
        let found = networks(&choices, &machine());
        let ipv4 = found.ipv4.iter().map(ToString::to_string);
        ipv4.chain(found.ipv6.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn an_interface_means_its_networks_and_those_routed_by_it_once_each() {
        assert_eq!(of(&["eth1"]), ["10.20.0.0/16", "192.168.5.0/24"]);
        assert!(of(&["eth7", "hnbr0"]).is_empty(), "what is not there, and what is ours, has none");
    }

    #[test]
    fn a_network_is_meant_whole_whatever_address_in_it_was_written() {
        assert_eq!(of(&["198.51.100.9/24", "2001:db8::7/32"]), ["198.51.100.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn private_is_every_private_and_link_local_network() {
        let found = of(&["private", "private"]);
        assert_eq!(
            found,
            ["10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]
        );
    }
}
