//! From plans, in the words of the whole service, to the settings of the engines.

use std::{collections::BTreeSet, net::Ipv4Addr};

use hn_dhcp4::{Config, ConfigError, Probing, RawConfig, Reservation, ReservedFor};
use hn_ports::services::PORTMAP_HTTP;
use hn_types::{
    MacAddr, Monotonic, Subnet4, Subnet6,
    plan::{DhcpPlan, DnsPlan, Ipv6Plan, ServiceSegment},
};

/// The DHCP server of a segment.
///
/// Reservations that cannot be kept in this subnet are left out: one that was made for a larger subnet must
/// not leave everybody without addresses.
pub(crate) fn dhcp(segment: &ServiceSegment, mac: MacAddr, probe: bool) -> Result<Config, ConfigError> {
    let DhcpPlan { first, last, lease_time, router, dns, domain, mtu, reservations } = &segment.dhcp;
    let mut raw = RawConfig::standalone(mac, segment.address);
    raw.first = *first;
    raw.last = *last;
    raw.lease = *lease_time;
    raw.router = *router;
    raw.dns = dns.iter().copied().collect();
    raw.domain.clone_from(domain);
    raw.mtu = *mtu;
    raw.probing = if probe { Probing::On } else { Probing::Off };
    let (mut addresses, mut macs) = (BTreeSet::new(), BTreeSet::new());
    for reservation in reservations {
        match address_of(segment.address, reservation.host) {
            Some(address) if macs.insert(reservation.mac) && addresses.insert(address) => {
                raw.reservations.push(Reservation { client: ReservedFor::Mac(reservation.mac), address });
            }
            Some(_) | None => {
                tracing::warn!(mac = %reservation.mac, host = reservation.host, "a reservation does not fit the subnet");
            }
        }
    }
    Config::new(raw)
}

/// Host number `host` of the subnet, unless that is this host or nobody.
fn address_of(subnet: Subnet4, host: u32) -> Option<Ipv4Addr> {
    let network = subnet.network().address();
    let address = Ipv4Addr::from_bits(network.to_bits().checked_add(host)?);
    let taken = [network, subnet.broadcast(), subnet.address()].contains(&address);
    (subnet.contains(address) && !taken).then_some(address)
}

/// UPnP IGD, NAT-PMP and PCP of a segment.
pub(crate) fn portmap(
    host: Subnet4,
    uuid: [u8; 16],
    name: &str,
    epoch: Monotonic,
) -> Result<hn_portmap::Config, hn_portmap::ConfigError> {
    let mut raw = hn_portmap::RawConfig::new(host, PORTMAP_HTTP, uuid);
    raw.name = format!("hostednet on {name}").chars().filter(|c| !c.is_control()).take(63).collect();
    raw.epoch = epoch;
    hn_portmap::Config::new(raw)
}

/// Router advertisements and the DHCPv6 server of a segment. `dns`: the name server is at the host's address.
pub(crate) fn ipv6(plan: &Ipv6Plan, mac: MacAddr, dns: bool) -> Result<hn_ip6::Config, hn_ip6::ConfigError> {
    hn_ip6::Config::new(hn_ip6::RawConfig {
        mac,
        link_local: plan.link_local,
        host: plan.address,
        dns,
        domain: Some(plan.domain.clone()),
        uuid: plan.uuid,
        address_key: plan.address_key,
        uplink: hn_ip6::Uplink { router: plan.router, mtu: plan.mtu, ..hn_ip6::Uplink::default() },
        lifetimes: hn_ip6::Lifetimes::default(),
        limits: hn_ip6::Limits::default(),
    })
}

/// The forwarder of a segment.
pub(crate) fn dns(address: Subnet4, address6: Option<Subnet6>, plan: &DnsPlan) -> hn_dns::Config {
    let mut config = hn_dns::Config::new(address, &plan.host_name);
    config.address6 = address6;
    config.domain.clone_from(&plan.domain);
    config
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use hn_types::settings;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn segment(reservations: Vec<settings::Reservation>) -> ServiceSegment {
        ServiceSegment {
            interface: "hnap0".parse().unwrap(),
            address: "192.168.137.1/24".parse().unwrap(),
            dhcp: DhcpPlan {
                first: Ipv4Addr::new(192, 168, 137, 2),
                last: Ipv4Addr::new(192, 168, 137, 254),
                lease_time: Duration::from_secs(604_800),
                router: Some(Ipv4Addr::new(192, 168, 137, 1)),
                dns: Some(Ipv4Addr::new(192, 168, 137, 1)),
                domain: Some("mshome.net".to_owned()),
                mtu: Some(1_420),
                reservations,
            },
            dns: None,
            ipv6: None,
            portmap: None,
        }
    }

    #[test]
    fn full_mode_hands_out_router_resolver_and_domain() {
        let config = dhcp(&segment(Vec::new()), MAC, true).unwrap();
        let raw = config.raw();
        assert_eq!(raw.router, Some(Ipv4Addr::new(192, 168, 137, 1)));
        assert_eq!(raw.dns, [Ipv4Addr::new(192, 168, 137, 1)]);
        assert_eq!((raw.domain.as_deref(), raw.mtu), (Some("mshome.net"), Some(1_420)));
        assert_eq!((raw.probing, raw.lease), (Probing::On, Duration::from_secs(604_800)));
    }

    #[test]
    fn standalone_mode_hands_out_addresses_only() {
        let mut segment = segment(Vec::new());
        segment.dhcp = DhcpPlan { router: None, dns: None, domain: None, mtu: None, ..segment.dhcp };
        let config = dhcp(&segment, MAC, false).unwrap();
        let raw = config.raw();
        assert_eq!((raw.router, raw.dns.len(), raw.domain.as_deref()), (None, 0, None));
        assert_eq!(raw.probing, Probing::Off);
    }

    #[test]
    fn a_reservation_is_an_offset_and_one_that_does_not_fit_is_left_out() {
        let mac = |n| MacAddr([2, 0, 0, 0, 1, n]);
        let wanted = [(1, 20), (2, 0), (3, 1), (4, 255), (5, 256), (6, u32::MAX), (7, 20), (1, 21), (8, 254)];
        let reservations =
            wanted.map(|(n, host)| settings::Reservation { mac: mac(n), host, name: String::new() }).to_vec();
        let config = dhcp(&segment(reservations), MAC, true).unwrap();
        let kept: Vec<_> = config.raw().reservations.iter().map(|r| (r.client, r.address)).collect();
        let expected = [(1, 20), (8, 254)]
            .map(|(n, host)| (ReservedFor::Mac(mac(n)), Ipv4Addr::new(192, 168, 137, host)));
        assert_eq!(kept, expected);
    }

    #[test]
    fn the_forwarder_gets_the_domain_and_the_host_name() {
        let plan = DnsPlan {
            domain: "mshome.net".into(),
            host_name: "laptop".into(),
            upstreams: Vec::new(),
            through: None,
        };
        let config = dns("192.168.137.1/24".parse().unwrap(), None, &plan);
        assert_eq!((config.domain.as_str(), config.host_name.as_str()), ("mshome.net", "laptop"));
    }
}
