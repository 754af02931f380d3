//! IPv6 of the private segment: its addresses, and where it leads.
//!
//! The addresses are a function of the machine: a unique local prefix (RFC 4193 §3.2.2, the global id made of the
//! machine id), so that devices and people meet the same ones after every start. Where the prefix leads is
//! decided anew with every picture of the network and of what the uplink gives.
//!
//! The machine's own prefix is always there. What the uplink gives comes besides: devices choose by themselves (RFC 6724)
//! the address that leads where they want to go, and when a prefix goes, the others stay.

use alloc::{format, string::String};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{
    IfName, Monotonic, Subnet6,
    network::{MediaType, NetworkView},
    observed::Uplink6,
    view::{Ipv6Sharing, Ipv6Source},
};

use crate::{
    guid::digest,
    steering::{carries_ipv6, pinned},
};

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

/// Where the IPv6 of `private` leads while `public` is the way out and gives what it gives. There is a prefix unless
/// IPv6 itself is missing: without a way out devices still reach the host and each other.
///
/// The ladder: a delegated prefix, all ours; the prefix of the uplink's own link, shared; translation behind the
/// host's address. The lower steps are what holds until it is known that no higher one can be had, so that
/// devices are online at once and nothing is taken that is given up a moment later.
pub(crate) fn rung(
    network: &NetworkView,
    machine_id: &str,
    private: IfName,
    public: Option<IfName>,
    given: Option<&Uplink6>,
) -> Ipv6Sharing {
    let none =
        |prefix: Option<Subnet6>, detail: String| Ipv6Sharing { source: Ipv6Source::None, prefix, detail };
    if !network.ipv6.available {
        return none(None, "this machine has no IPv6".into());
    }
    if network.ipv6.disabled.contains(&private) {
        return none(None, format!("IPv6 is turned off on {private}"));
    }
    let own = Some(Addresses::of(machine_id).host.network());
    let Some(public) = public else {
        return none(own, "no public connection is there at the moment".into());
    };
    let leads_out =
        network.ipv6.uplinks.contains(&public) || network.ipv6.ways.iter().any(|way| way.interface == public);
    if !leads_out && pinned(network, Some(public)).is_some() && !carries_ipv6(network, public) {
        return none(own, format!("the tunnel {public} carries no IPv6, so devices have none"));
    }
    if !leads_out && !carries_ipv6(network, public) {
        return none(own, format!("{public} has no IPv6 default route"));
    }
    let given = given.filter(|given| given.interface == public);
    if let Some(delegation) = given.and_then(|given| given.delegated) {
        return Ipv6Sharing {
            source: Ipv6Source::Delegated,
            prefix: Some(first_of(delegation)),
            detail: format!("{delegation} was delegated on {public}"),
        };
    }
    let nat66 = |detail| Ipv6Sharing { source: Ipv6Source::Nat66, prefix: own, detail };
    let Some(given) = given.filter(|given| given.settled) else {
        return nat66(format!("a prefix is being asked for on {public}"));
    };
    let Some(shared) = given.shared else {
        return nat66(format!("nobody delegates a prefix on {public}, and its link has none to share"));
    };
    let link = network.link(public.as_str());
    if link.is_none_or(|link| link.address.is_none() || link.media != MediaType::Lan) {
        return nat66(format!(
            "nobody delegates a prefix on {public}, and it has no neighbours to share one with"
        ));
    }
    Ipv6Sharing {
        source: Ipv6Source::Relay,
        prefix: Some(shared),
        detail: format!("nobody delegates a prefix on {public}, so that of its link is shared"),
    }
}

/// The /64 of a delegation that the segment has: always the first, so that it stays the same.
fn first_of(delegation: Subnet6) -> Subnet6 {
    Subnet6::new(delegation.network().address(), 64).unwrap_or(delegation)
}

/// The host in a prefix that is all its own.
pub(crate) fn host_in(network: Subnet6) -> Option<Subnet6> {
    Subnet6::new(Ipv6Addr::from_bits(network.address().to_bits() | 1), 64)
}

/// A prefix that was in use before the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) network: Subnet6,
    /// It was shared with the uplink's link.
    pub(crate) relayed: bool,
    /// Devices have forgotten it then.
    until: Monotonic,
}

/// How long devices may hold on to a prefix (RFC 4862 §5.5.3 e).
const FORMER: Duration = Duration::from_secs(7_200);

/// What the uplink gives, and what was made of it.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    given: Option<Uplink6>,
    /// The prefix of the uplink's that devices have, and whether it is shared.
    current: Option<(Subnet6, bool)>,
    former: Option<Former>,
}

impl Upstream {
    /// The worker found this out.
    pub(crate) const fn report(&mut self, given: Uplink6) {
        self.given = Some(given);
    }

    pub(crate) const fn given(&self) -> Option<&Uplink6> {
        self.given.as_ref()
    }

    /// The prefix that was replaced last. Its addresses are in use until their connections end.
    pub(crate) const fn former(&self) -> Option<Former> {
        self.former
    }

    /// Follows the ladder; `None`: no segment has IPv6.
    pub(crate) fn follow(&mut self, sharing: Option<&Ipv6Sharing>, now: Monotonic) {
        let Some(sharing) = sharing else {
            *self = Self { given: self.given, ..Self::default() };
            return;
        };
        let relayed = sharing.source == Ipv6Source::Relay;
        let global = relayed || sharing.source == Ipv6Source::Delegated;
        let current = sharing.prefix.filter(|_| global).map(|network| (network, relayed));
        if current != self.current {
            if let Some((network, relayed)) = self.current {
                self.former = Some(Former { network, relayed, until: now + FORMER });
            }
            self.current = current;
        }
        let again = current.map(|(network, _)| network);
        self.former = self.former.filter(|former| former.until > now && Some(former.network) != again);
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use hn_types::network::{Ipv6View, Link};

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

    fn given(delegated: &str, shared: &str, settled: bool) -> Uplink6 {
        Uplink6 {
            interface: name("eth0"),
            delegated: delegated.parse().ok(),
            shared: shared.parse().ok(),
            settled,
        }
    }

    fn network() -> NetworkView {
        let link = |name: &str, address, media| Link {
            name: name.parse().expect("valid"),
            index: 1,
            address,
            media,
            incoming_only: false,
            up: true,
            carrier: true,
            master: None,
            addresses: Vec::new(),
            mtu: 1_500,
            wireless: false,
            ours: false,
        };
        let mac = Some(hn_types::MacAddr([2, 0, 0, 0, 0, 1]));
        let ipv6 = Ipv6View {
            available: true,
            disabled: [name("off0")].into(),
            uplinks: [name("eth0"), name("ppp0")].into(),
            ..Ipv6View::default()
        };
        let links = [link("eth0", mac, MediaType::Lan), link("ppp0", None, MediaType::Phone)].into();
        NetworkView { ipv6, links, ..NetworkView::default() }
    }

    #[test]
    fn every_rung_says_why() {
        let of = |network: &NetworkView, private: &str, public: Option<&str>| {
            let found = rung(network, "id", name(private), public.map(name), None);
            (found.source, found.prefix.is_some(), found.detail)
        };
        let network = network();
        let detail = "a prefix is being asked for on eth0".into();
        assert_eq!(of(&network, "hnap0", Some("eth0")), (Ipv6Source::Nat66, true, detail));
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

    #[test]
    fn a_tunnel_carries_ipv6_when_it_has_an_address_or_a_route_of_it() {
        let mut network = network();
        let tunnel =
            Link { name: name("wg0"), address: None, media: MediaType::Tunnel, ..network.links[0].clone() };
        network.links.push(tunnel);
        let of = |network: &NetworkView| {
            let found = rung(network, "id", name("hnap0"), Some(name("wg0")), None);
            (found.source, found.detail)
        };
        let closed = "the tunnel wg0 carries no IPv6, so devices have none".to_string();
        assert_eq!(of(&network), (Ipv6Source::None, closed));
        network.ipv6.addressed.push((name("wg0"), "fd64::2/128".parse().expect("valid")));
        assert_eq!(of(&network).0, Ipv6Source::Nat66);
        network.ipv6.addressed.clear();
        network.ipv6.ways.push(hn_types::network::Way6 { interface: name("wg0"), gateway: None });
        assert_eq!(of(&network).0, Ipv6Source::Nat66);
    }

    #[test]
    fn the_highest_rung_that_can_be_had_is_taken() {
        let network = network();
        let of = |public: &str, given: Uplink6| {
            let given = Uplink6 { interface: name(public), ..given };
            let found = rung(&network, "id", name("hnap0"), Some(name(public)), Some(&given));
            assert!(!found.detail.is_empty());
            (found.source, found.prefix.map(|prefix| prefix.to_string()).unwrap_or_default())
        };
        let own = Addresses::of("id").host.network().to_string();
        let (shared, first) = ("2001:db8:1::/64", "2001:db8:100::/64");
        assert_eq!(
            of("eth0", given("2001:db8:100::/56", shared, true)),
            (Ipv6Source::Delegated, first.into())
        );
        assert_eq!(of("eth0", given(first, "", true)), (Ipv6Source::Delegated, first.into()));
        assert_eq!(of("eth0", given("", shared, true)), (Ipv6Source::Relay, shared.into()));
        // What might be given up in a moment is not taken.
        assert_eq!(of("eth0", given("", shared, false)), (Ipv6Source::Nat66, own.clone()));
        assert_eq!(of("eth0", given("", "", true)), (Ipv6Source::Nat66, own.clone()));
        assert_eq!(of("ppp0", given("", shared, true)), (Ipv6Source::Nat66, own.clone()), "no neighbours");
        assert_eq!(of("ppp0", given("2001:db8:100::/56", "", true)).0, Ipv6Source::Delegated);
        // Another uplink's gifts are not this one's.
        let foreign = given("2001:db8:100::/56", shared, true);
        let found = rung(&network, "id", name("hnap0"), Some(name("ppp0")), Some(&foreign));
        assert_eq!(found.source, Ipv6Source::Nat66);
    }

    #[test]
    fn a_prefix_that_is_replaced_is_remembered_until_devices_have_forgotten_it() {
        let network = network();
        let mut upstream = Upstream::default();
        let start = Monotonic::from_nanos(1_000_000_000);
        let follow = |upstream: &mut Upstream, delegated: &str, shared: &str, at: Monotonic| {
            upstream.report(given(delegated, shared, true));
            let sharing = rung(&network, "id", name("hnap0"), Some(name("eth0")), upstream.given());
            upstream.follow(Some(&sharing), at);
            upstream.former().map(|former| (former.network.to_string(), former.relayed))
        };
        let (link, first, second) = ("2001:db8:1::/64", "2001:db8:100::/64", "2001:db8:200::/64");
        assert_eq!(follow(&mut upstream, "", link, start), None);
        assert_eq!(follow(&mut upstream, "", link, start), None);
        assert_eq!(follow(&mut upstream, first, link, start), Some((link.into(), true)));
        assert_eq!(follow(&mut upstream, second, link, start), Some((first.into(), false)));
        // Back again: it is current and not former.
        assert_eq!(follow(&mut upstream, first, link, start), Some((second.into(), false)));
        assert_eq!(follow(&mut upstream, "", "", start), Some((first.into(), false)));
        assert_eq!(follow(&mut upstream, "", "", start + FORMER), None);
        assert_eq!(follow(&mut upstream, first, "", start + FORMER), None);
        upstream.follow(None, start + FORMER);
        assert_eq!(upstream.former(), None);
    }
}
