//! What should hold on the whole system, computed from what is wanted and what is there.
//!
//! | row of the mode table | access point | addresses | firewall | forwarding | services |
//! |---|---|---|---|---|---|
//! | S0 off, idle | – | – | – | – | – |
//! | S1 standalone | yes | 192.168.173.1 on it | host only | – | DHCP |
//! | S2 full over it | yes | 192.168.137.1 on it | out of the public side | both sides | DHCP, DNS, IPv6 |
//! | S3 full elsewhere, active | yes | on the private side | that side out, the access point nowhere | both sides | on the private side |
//! | S4 full elsewhere, idle | – | on the private side | out | both sides | on the private side |
//! | S5 full over it, idle | – | – | – | – | – |
//! | S6 off, active | yes | – | nowhere | – | – |

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use core::{net::SocketAddr, time::Duration};

use hn_types::{
    IfName, MacAddr, Ssid, Subnet4, Subnet6,
    network::NetworkView,
    observed::MovedPort,
    plan::{
        ApPlan, BridgePlan, DhcpPlan, DnsPlan, FirewallPlan, FirewallSegment, FirewallSegment6, Forwarding6,
        ForwardingPlan, Ipv6Plan, KeySet, LinkAddress, LinkAddress6, LinkPlan, LinkRoute6, NameRedirect,
        Reach, Relay6, ServicePlan, ServiceSegment,
    },
    settings::{Isolation, PortMapping, PrivateChoice, PublicChoice, Reservation, SharingPair},
    view::Ipv6Source,
    wpa::Wpa,
};

use crate::{
    devices::Devices,
    ipv6::{self, Addresses, Upstream},
    isolation,
    mapping::forward,
    mtu,
    portmap::{Portmap, Protocols},
    radio::{AP_PREFIX, RadioPlan, Secured, secured},
    steering::{Former, Seal, pinned, steering},
    subnet::{Subnets, pool},
};

/// Addresses of this host that a relay is told.
const OWN_SHARED: usize = 16;
/// Prefix of the names of our bridges.
const BRIDGE_PREFIX: &str = "hnbr";

/// One plan for each lane. The default plan: nothing of ours is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemPlan {
    /// The access point.
    pub ap: Option<ApPlan>,
    /// Bridge and addresses.
    pub links: LinkPlan,
    /// The firewall table.
    pub firewall: FirewallPlan,
    /// Per-interface forwarding.
    pub forwarding: ForwardingPlan,
    /// The protocol servers.
    pub services: ServicePlan,
}

/// What is wanted, whatever the surroundings. Everything else follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intent {
    /// The access point runs.
    pub(crate) ap: Option<ApIntent>,
    /// Standalone sharing on it. Never together with `full` (invariant 1).
    pub(crate) standalone: bool,
    /// Full sharing.
    pub(crate) full: Option<SharingPair>,
}

/// What was decided when the access point was started; it holds until it stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApIntent {
    pub(crate) interface: IfName,
    pub(crate) bssid: MacAddr,
    pub(crate) radio: RadioPlan,
    pub(crate) ssid: Ssid,
    pub(crate) max_peers: u32,
    /// The wished-for protection.
    pub(crate) wpa: Wpa,
    /// The strongest one that is possible, and why it is not a stronger one.
    pub(crate) strongest: Wpa,
    pub(crate) lack: String,
    pub(crate) hidden: bool,
    pub(crate) isolated: bool,
}

impl ApIntent {
    /// The protection it has with these keys.
    pub(crate) fn secured(&self, keys: &KeySet) -> Secured {
        secured(self.wpa, self.strongest, &self.lack, keys, self.radio.many_passwords)
    }
}

/// What the goal depends on besides the intent.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) network: &'a NetworkView,
    pub(crate) keys: KeySet,
    pub(crate) reservations: &'a [Reservation],
    /// Devices that get no address.
    pub(crate) denied: BTreeSet<MacAddr>,
    pub(crate) subnets: Subnets,
    pub(crate) domain: &'a str,
    pub(crate) lease_time: Duration,
    /// How often the segment changed its network.
    pub(crate) moves: u32,
    pub(crate) host_name: &'a str,
    pub(crate) machine_id: &'a str,
    pub(crate) mappings: &'a [PortMapping],
    pub(crate) devices: &'a Devices,
    pub(crate) portmap: &'a Portmap,
    pub(crate) port_mapping: Protocols,
    pub(crate) moved: &'a [MovedPort],
    pub(crate) closed: &'a [IfName],
    pub(crate) upstream: &'a Upstream,
    pub(crate) isolate_from: &'a [Isolation],
    pub(crate) former: &'a Former,
    /// What leaves by the tunnel that is shared only.
    pub(crate) seal: &'a Seal,
}

/// The private side of full sharing, as far as it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrivateSide {
    /// What carries the address: the only private interface, or the bridge.
    pub(crate) interface: IfName,
    pub(crate) bridge: Option<BridgePlan>,
}

/// `PREFIX` followed by the first number no foreign interface has.
fn free_name(prefix: &str, network: &NetworkView) -> IfName {
    (0..=u32::from(u16::MAX))
        .filter_map(|number| format!("{prefix}{number}").parse::<IfName>().ok())
        .find(|name| network.link(name.as_str()).is_none_or(|link| link.ours))
        .unwrap_or_else(|| "hn0".parse().expect("a valid name"))
}

/// The name of the virtual access point.
pub(crate) fn ap_name(network: &NetworkView) -> IfName {
    free_name(AP_PREFIX, network)
}

/// The private side of `pair`; `None` while nothing of it exists.
pub(crate) fn private_side(
    pair: &SharingPair,
    ap: Option<&ApIntent>,
    network: &NetworkView,
) -> Option<PrivateSide> {
    let present = |name: &IfName| network.link(name.as_str()).is_some();
    if let [only] = pair.private.as_slice() {
        let interface = match only {
            PrivateChoice::HostedNetwork => ap?.interface,
            PrivateChoice::Interface(name) => Some(*name).filter(present)?,
        };
        return Some(PrivateSide { interface, bridge: None });
    }
    let members: BTreeSet<IfName> = pair
        .private
        .iter()
        .filter_map(|choice| match choice {
            PrivateChoice::HostedNetwork => None,
            PrivateChoice::Interface(name) => Some(*name),
        })
        .filter(present)
        .collect();
    let with_ap = ap.is_some() && pair.private.contains(&PrivateChoice::HostedNetwork);
    if members.is_empty() && !with_ap {
        return None;
    }
    let name = free_name(BRIDGE_PREFIX, network);
    Some(PrivateSide { interface: name, bridge: Some(BridgePlan { name, members }) })
}

/// The connection that leads out at the moment. Never one of ours and never a private one.
pub(crate) fn public_side(pair: &SharingPair, network: &NetworkView) -> Option<IfName> {
    let name = match pair.public {
        PublicChoice::Interface(name) => name,
        PublicChoice::Auto => network.default_route?,
    };
    let link = network.link(name.as_str())?;
    let fits = !link.ours && !pair.private.contains(&PrivateChoice::Interface(name));
    (fits && (pair.public != PublicChoice::Auto || link.not_sharable().is_none())).then_some(name)
}

/// The whole plan for an intent.
pub(crate) fn goal(intent: &Intent, around: &Surroundings<'_>) -> SystemPlan {
    let mut plan = SystemPlan::default();
    plan.firewall.closed.extend(around.closed);
    let mut ap_bridge = None;
    if let Some(pair) = &intent.full
        && let Some(address) = around.subnets.full
        && let Some(side) = private_side(pair, intent.ap.as_ref(), around.network)
    {
        let public = public_side(pair, around.network);
        if pair.private.contains(&PrivateChoice::HostedNetwork) {
            ap_bridge = side.bridge.as_ref().map(|bridge| bridge.name);
        }
        plan.forwarding.ipv4 =
            public.map(|public| BTreeSet::from([side.interface, public])).unwrap_or_default();
        let through = pinned(around.network, public);
        let upstreams = public.map(|_| upstreams(around.network, address, through)).unwrap_or_default();
        serve(&mut plan, side.interface, address, public.map_or(Reach::Host, Reach::Public), around);
        let mtu = mtu::ipv4(around.network, side.interface, public);
        plan.firewall.sealed.clone_from(around.seal.addresses());
        plan.firewall.narrow.extend(mtu.map(|mtu| (side.interface, mtu)));
        if let Some(segment) = &mut plan.services.segment {
            segment.dhcp.router = Some(address.address());
            segment.dhcp.dns = Some(address.address());
            segment.dhcp.domain = Some(String::from(around.domain));
            segment.dhcp.mtu = mtu;
            let host_name = around.host_name.split('.').next().unwrap_or_default();
            segment.dns = Some(DnsPlan {
                domain: around.domain.into(),
                host_name: host_name.into(),
                upstreams,
                through,
            });
        }
        serve_ipv6(&mut plan, side.interface, public, around);
        let led = |moved: &MovedPort| NameRedirect {
            private: side.interface,
            protocol: moved.protocol,
            address: address.address(),
            port: moved.port,
        };
        plan.firewall.names = around.moved.iter().map(led).collect();
        if let Some(public) = public {
            lead(&mut plan, side.interface, public, around);
        }
        if let Some(public) = public {
            let leads = |mapping: &PortMapping| {
                forward(mapping, public, (side.interface, address), around.devices, around.domain).ok()
            };
            plan.firewall.forwards = around.mappings.iter().filter_map(leads).collect();
        }
        around.portmap.complete(&mut plan, side.interface, public, around);
        plan.links.bridge = side.bridge;
    } else if let Some(ap) = &intent.ap
        && intent.standalone
        && intent.full.is_none()
        && let Some(address) = around.subnets.standalone
    {
        serve(&mut plan, ap.interface, address, Reach::Host, around);
    }
    if !plan.firewall.segments.is_empty() {
        plan.firewall.isolated = isolation::networks(around.isolate_from, around.network);
    }
    let served = plan.firewall.segments.iter().filter(|segment| segment.subnet.is_some());
    plan.firewall.open = served.map(|segment| segment.interface).collect();
    if let Some(ap) = &intent.ap {
        let covered = ap_bridge.is_some()
            || plan.firewall.segments.iter().any(|segment| segment.interface == ap.interface);
        if !covered {
            plan.firewall.segments.push(FirewallSegment {
                interface: ap.interface,
                subnet: None,
                reach: Reach::Host,
                ipv6: None,
            });
        }
        // Inside a bridge it is the bridge that carries, and not only between devices of the access point.
        if ap.isolated && ap_bridge.is_none() {
            plan.firewall.apart.insert(ap.interface);
        }
        let Secured { wpa, sae, detail: _ } = ap.secured(&around.keys);
        plan.ap = Some(ApPlan {
            wiphy: ap.radio.wiphy,
            interface: ap.interface,
            bssid: ap.bssid,
            ssid: ap.ssid,
            frequency_mhz: ap.radio.frequency_mhz,
            channel: ap.radio.channel,
            phy: ap.radio.phy,
            width: ap.radio.width,
            centre_mhz: ap.radio.centre_mhz,
            cac_s: ap.radio.cac_s,
            country: ap.radio.country,
            ht_capabilities: ap.radio.ht_capabilities,
            vht_capabilities: ap.radio.vht_capabilities,
            wpa,
            sae,
            hidden: ap.hidden,
            isolated: ap.isolated,
            movable: ap.radio.channel_switch,
            max_peers: ap.max_peers,
            bridge: ap_bridge,
            keys: around.keys.clone(),
        });
    }
    plan
}

/// The name servers to ask for a segment with `address`, best first. What may be asked `through` a tunnel only is not
/// given to a stub on this machine, which asks where it likes, but to those that it asks.
fn upstreams(network: &NetworkView, address: Subnet4, through: Option<IfName>) -> Vec<SocketAddr> {
    let usable = |resolvers: &[SocketAddr]| -> Vec<SocketAddr> {
        let others = resolvers.iter().filter(|resolver| resolver.ip() != address.address());
        others.filter(|resolver| through.is_none() || !resolver.ip().is_loopback()).copied().collect()
    };
    let direct = usable(&network.resolvers);
    if direct.is_empty() && through.is_some() { usable(&network.behind_stub) } else { direct }
}

/// The way out of `private` by `public`.
fn lead(plan: &mut SystemPlan, private: IfName, public: IfName, around: &Surroundings<'_>) {
    let ipv6 = plan.forwarding.ipv6.is_some();
    // Those that stay come first: none of their packets takes the new way while it is made.
    for (pinned, steering) in around.former.pinned(around.network, private, public) {
        plan.firewall.pinned.insert(pinned);
        plan.links.steering.push(steering);
    }
    plan.links.steering.extend(steering(around.network, private, public, ipv6));
    let others = plan.firewall.pinned.iter().map(|pinned| pinned.interface);
    // What comes in there is forwarded if it belongs to a connection that began there.
    plan.forwarding.ipv4.extend(others);
    if !plan.links.steering.is_empty() {
        plan.forwarding.loose.insert(public);
        plan.forwarding.loose.extend(plan.firewall.pinned.iter().map(|pinned| pinned.interface));
    }
}

/// Address, firewall segment and DHCP of one served segment.
fn serve(
    plan: &mut SystemPlan,
    interface: IfName,
    address: Subnet4,
    reach: Reach,
    around: &Surroundings<'_>,
) {
    let (first, last) = pool(address);
    plan.links.addresses.push(LinkAddress { interface, address });
    plan.links.moves = around.moves;
    plan.firewall.segments.push(FirewallSegment { interface, subnet: Some(address), reach, ipv6: None });
    plan.services.segment = Some(ServiceSegment {
        interface,
        address,
        dhcp: DhcpPlan {
            first,
            last,
            lease_time: around.lease_time,
            router: None,
            dns: None,
            domain: None,
            mtu: None,
            reservations: around.reservations.to_vec(),
            denied: around.denied.clone(),
        },
        dns: None,
        ipv6: None,
        portmap: None,
    });
}

/// IPv6 of the segment that full sharing serves: addresses, the way out as far as there is one, and the servers.
fn serve_ipv6(plan: &mut SystemPlan, private: IfName, public: Option<IfName>, around: &Surroundings<'_>) {
    let Surroundings { network, upstream, .. } = *around;
    let sharing = ipv6::rung(network, around.machine_id, private, public, upstream.given());
    if sharing.prefix.is_none() {
        return;
    }
    let Addresses { host, link_local, uuid, key } = Addresses::of(around.machine_id);
    let way_out = sharing.source != Ipv6Source::None;
    let relayed = sharing.source == Ipv6Source::Relay;
    let delegated = sharing.source == Ipv6Source::Delegated;
    let global = sharing.prefix.filter(|_| relayed || delegated);
    let former = upstream.former();
    // The host is part of a prefix that is all its own, and stays so while devices use it.
    let hosts = [global.filter(|_| delegated), former.filter(|it| !it.relayed).map(|it| it.network)];
    let hosts = hosts.into_iter().flatten().filter_map(ipv6::host_in);
    for address in [Some(host), Subnet6::new(link_local, 64)].into_iter().flatten().chain(hosts) {
        plan.links.addresses6.push(LinkAddress6 { interface: private, address });
    }
    let delegation = upstream.given().and_then(|given| given.delegated).filter(|_| delegated);
    if let Some(destination) = delegation.filter(|delegation| delegation.prefix() < 64) {
        // Packets for the rest of the delegation must not go back to where they came from (RFC 7084 WPD-5).
        plan.links.routes6.push(LinkRoute6 { destination, interface: None });
    }
    let shared = global.filter(|_| relayed).or_else(|| former.filter(|it| it.relayed).map(|it| it.network));
    let shared = shared.filter(|_| way_out);
    let relay = shared.map(|network| {
        let own = around.network.ipv6.addresses.iter().filter(|(on, _)| Some(*on) == public);
        let own = own.map(|(_, address)| address.address()).filter(|address| network.contains(*address));
        Relay6 { network, own: own.take(OWN_SHARED).collect() }
    });
    if let Some(relay) = &relay {
        let devices = around.devices.in_network6(relay.network);
        let routes = devices.filter(|address| !relay.own.contains(address)).filter_map(|address| {
            Some(LinkRoute6 { destination: Subnet6::new(address, 128)?, interface: Some(private) })
        });
        plan.links.routes6.extend(routes);
    }
    plan.forwarding.ipv6 = public.filter(|_| way_out).map(|public| Forwarding6 { private, public });
    let guard = way_out && !around.network.ipv6.forwarding;
    if let Some(segment) = plan.firewall.segments.iter_mut().find(|segment| segment.interface == private) {
        let global = [global, former.map(|former| former.network)].map(|network| network.filter(|_| way_out));
        segment.ipv6 = Some(FirewallSegment6 { address: host, nat66: way_out, global, guard });
    }
    if let Some(segment) = &mut plan.services.segment {
        segment.ipv6 = Some(Ipv6Plan {
            address: host,
            link_local,
            uuid,
            address_key: key,
            domain: around.domain.into(),
            router: way_out,
            mtu: mtu::ipv6(around.network, private, public).filter(|_| way_out),
            uplink: public,
            global,
            relay,
        });
    }
}
