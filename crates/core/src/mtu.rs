//! What the way out carries, as far as devices have to be told: they see only the segment, which carries more.

use hn_types::{IfName, network::NetworkView};

/// No link carries less IPv6 (RFC 8200 §5).
const LEAST6: u32 = 1_280;
/// The least value of DHCP option 26 (RFC 2132 §5.1).
const LEAST4: u32 = 68;
/// Of a bridge that is about to be made.
const ETHERNET: u32 = 1_500;

/// The MTU of the way out, when it is at least `least` and less than the segment's.
fn narrower(network: &NetworkView, private: IfName, public: Option<IfName>, least: u32) -> Option<u32> {
    let of = |name: IfName| network.link(name.as_str()).map(|link| link.mtu);
    let own = of(private).unwrap_or(ETHERNET);
    of(public?).filter(|mtu| (least..own).contains(mtu))
}

/// For router advertisements (RFC 4861 §4.6.4).
pub(crate) fn ipv6(network: &NetworkView, private: IfName, public: Option<IfName>) -> Option<u32> {
    narrower(network, private, public, LEAST6)
}

/// For DHCP option 26 (RFC 2132 §5.1).
pub(crate) fn ipv4(network: &NetworkView, private: IfName, public: Option<IfName>) -> Option<u16> {
    narrower(network, private, public, LEAST4).and_then(|mtu| u16::try_from(mtu).ok())
}
