//! IPv6 of the private segment: its addresses, and where it leads.
//!
//! The addresses are a function of the machine: a unique local prefix (RFC 4193 §3.2.2, the global id made of the
//! machine id), so that devices and people meet the same ones after every start. Where the prefix leads is
//! decided anew with every picture of the network.

use alloc::{format, string::String};
use core::net::Ipv6Addr;

use hn_types::{
    IfName, Subnet6,
    network::NetworkView,
    view::{Ipv6Sharing, Ipv6Source},
};

use crate::guid::digest;

/// The subnet id of the only segment there is.
const SUBNET: u16 = 1;

/// What a segment is called in IPv6, for ever the same on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The host in the prefix of the segment: `fd…:1::1/64`.
    pub(crate) host: Subnet6,
    /// The host as the segment's router.
    pub(crate) link_local: Ipv6Addr,
    /// The DHCPv6 server.
    pub(crate) uuid: [u8; 16],
    /// Decides what DHCPv6 gives.
    pub(crate) key: u64,
}

impl Addresses {
    pub(crate) fn of(machine_id: &str) -> Self {
        let [a, b, c, d, e, ..] = digest(machine_id, b"ipv6 prefix");
        let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        let host = Ipv6Addr::new(word(0xfd, a), word(b, c), word(d, e), SUBNET, 0, 0, 0, 1);
        let [a, b, c, d, e, f, g, h, ..] = digest(machine_id, b"ipv6 router");
        // Bit 7 of the identifier cleared: made up here, not by a manufacturer (RFC 4291 §2.5.1).
        let a = a & !0x02;
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, word(a, b), word(c, d), word(e, f), word(g, h));
        let [uuid @ .., _, _, _, _] = digest(machine_id, b"dhcpv6 server");
        let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _] = digest(machine_id, b"dhcpv6 addresses");
        Self {
            host: Subnet6::new(host, 64).expect("64 is at most 128"),
            link_local,
            uuid,
            key: u64::from_be_bytes(key),
        }
    }
}

/// Where the IPv6 of `private` leads while `public` is the way out. There is a prefix unless IPv6 itself is
/// missing: without a way out devices still reach the host and each other.
pub(crate) fn rung(
    network: &NetworkView,
    machine_id: &str,
    private: IfName,
    public: Option<IfName>,
) -> Ipv6Sharing {
    let none =
        |prefix: Option<Subnet6>, detail: String| Ipv6Sharing { source: Ipv6Source::None, prefix, detail };
    if !network.ipv6.available {
        return none(None, "this machine has no IPv6".into());
    }
    if network.ipv6.disabled.contains(&private) {
        return none(None, format!("IPv6 is turned off on {private}"));
    }
    let prefix = Some(Addresses::of(machine_id).host.network());
    match public {
        None => none(prefix, "no public connection is there at the moment".into()),
        Some(public)
            if !network.ipv6.uplinks.contains(&public)
                && !network.ipv6.ways.iter().any(|way| way.interface == public) =>
        {
            none(prefix, format!("{public} has no IPv6 default route"))
        }
        Some(_) => Ipv6Sharing { source: Ipv6Source::Nat66, prefix, detail: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use hn_types::network::Ipv6View;

    use super::*;

    fn name(text: &str) -> IfName {
        text.parse().expect("valid")
    }

    #[test]
    fn the_addresses_are_those_of_the_machine() {
        let here = Addresses::of("0123456789abcdef");
        assert_eq!(here, Addresses::of("0123456789abcdef"));
        let [first, ..] = here.host.address().octets();
        assert_eq!((first, here.host.prefix()), (0xfd, 64));
        assert_eq!(here.host.address().segments()[3..], [1, 0, 0, 0, 1]);
        assert!(here.link_local.is_unicast_link_local());
        assert_eq!(here.link_local.octets()[8] & 0x02, 0);
        let there = Addresses::of("0123456789abcdee");
        assert!(here.host != there.host && here.link_local != there.link_local);
        assert!(here.uuid != there.uuid && here.key != there.key);
    }

    #[test]
    fn every_rung_says_why() {
        let ipv6 = Ipv6View {
            available: true,
            disabled: [name("off0")].into(),
            uplinks: [name("eth0")].into(),
            ..Ipv6View::default()
        };
        let network = NetworkView { ipv6, ..NetworkView::default() };
        let of = |network: &NetworkView, private: &str, public: Option<&str>| {
            let found = rung(network, "id", name(private), public.map(name));
            (found.source, found.prefix.is_some(), found.detail)
        };
        assert_eq!(of(&network, "hnap0", Some("eth0")), (Ipv6Source::Nat66, true, String::new()));
        let detail = "eth1 has no IPv6 default route".into();
        assert_eq!(of(&network, "hnap0", Some("eth1")), (Ipv6Source::None, true, detail));
        let detail = "no public connection is there at the moment".into();
        assert_eq!(of(&network, "hnap0", None), (Ipv6Source::None, true, detail));
        let detail = "IPv6 is turned off on off0".into();
        assert_eq!(of(&network, "off0", Some("eth0")), (Ipv6Source::None, false, detail));
        let detail = "this machine has no IPv6".into();
        let without = NetworkView::default();
        assert_eq!(of(&without, "hnap0", Some("eth0")), (Ipv6Source::None, false, detail));
    }
}
