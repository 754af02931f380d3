//! Plans: what should hold on the system, said whole. A driver makes it so and says what it did.
//!
//! Plans are level-triggered. Applying the same plan twice changes nothing; the empty plan means
//! that nothing of ours is left in that lane.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    IfName, Key, KeyRole, MacAddr, Monotonic, Ssid, Subnet4, Subnet6,
    device::{DeviceCount, DevicePlan},
    portmap::{MapAnswer, MapEntry, MapRemote, MapUplink},
    radio::{Country, PhyType, Width},
    settings::{Protocol, Reservation},
    wpa::Wpa,
};

/// An access point beside whatever else the radio does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApPlan {
    /// The radio.
    pub wiphy: u32,
    /// The virtual interface to create.
    pub interface: IfName,
    /// The BSSID.
    pub bssid: MacAddr,
    /// The name of the network.
    pub ssid: Ssid,
    /// Centre frequency of the primary channel in MHz.
    pub frequency_mhz: u32,
    /// The channel number.
    pub channel: u32,
    /// The generation to announce.
    pub phy: PhyType,
    /// How wide the channel is.
    pub width: Width,
    /// Centre of the whole width in MHz.
    pub centre_mhz: u32,
    /// How long radar is listened for before the first beacon, in seconds; 0: not at all.
    pub cac_s: u32,
    /// On a channel with radar: the country whose rules hold, to be announced.
    pub country: Option<Country>,
    /// The raw HT capability field the radio has, from which hostapd's `ht_capab` is built.
    pub ht_capabilities: u16,
    /// The raw VHT capability field the radio has, from which hostapd's `vht_capab` is built.
    pub vht_capabilities: u32,
    /// How devices prove that they know a key.
    pub wpa: Wpa,
    /// Keys that SAE accepts; none for [`Wpa::Wpa2`].
    pub sae: Vec<KeyEntry>,
    /// Beacons do not name the network.
    pub hidden: bool,
    /// Devices do not reach each other through the access point.
    pub isolated: bool,
    /// It can be moved to another channel while it runs (`NL80211_CMD_CHANNEL_SWITCH`).
    pub movable: bool,
    /// At most this many stations.
    pub max_peers: u32,
    /// The bridge the interface joins, if any.
    pub bridge: Option<IfName>,
    /// The keys.
    pub keys: KeySet,
}

impl ApPlan {
    /// Whether changing from `self` to `other` needs nothing but new keys.
    pub fn same_but_keys(&self, other: &Self) -> bool {
        Self { keys: KeySet::default(), ..self.clone() } == Self { keys: KeySet::default(), ..other.clone() }
    }

    /// Whether it can be changed from `self` to `other` while it runs.
    pub fn adapts_to(&self, other: &Self) -> bool {
        self.same_but_keys(other) || (self.movable && self.same_but_channel(other))
    }

    /// Whether changing from `self` to `other` needs nothing but another channel, on which nobody has to listen
    /// for radar first, within the same band.
    pub fn same_but_channel(&self, other: &Self) -> bool {
        let moved = Self {
            frequency_mhz: other.frequency_mhz,
            channel: other.channel,
            width: other.width,
            centre_mhz: other.centre_mhz,
            cac_s: other.cac_s,
            phy: other.phy,
            ..self.clone()
        };
        let band = |plan: &Self| plan.frequency_mhz / 1000;
        moved == *other && other.cac_s == 0 && band(self) == band(other)
    }
}

/// The keys an access point accepts, all of them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// Bounded by [`KeySet::LIMIT`].
    pub entries: Vec<KeyEntry>,
    /// Stations that may not associate, whatever key they have.
    #[serde(default)]
    pub denied: BTreeSet<MacAddr>,
}

impl KeySet {
    /// Two wildcard keys and one retained key for each of the stations that may be associated.
    pub const LIMIT: usize = 2 + 2007;
}

/// One accepted key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// What events call it.
    pub role: KeyRole,
    /// The key.
    pub key: Key,
    /// `Some`: only this station may use it. A station that joined with a secondary key that has since
    /// changed keeps it in this form until it leaves (M048).
    pub station: Option<MacAddr>,
}

/// What an access point that runs tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApStarted {
    /// Index of the interface.
    pub index: u32,
    /// The address it beacons with.
    pub bssid: MacAddr,
    /// The channel it really uses, centre frequency in MHz.
    pub frequency_mhz: u32,
}

/// Bridge and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    /// A bridge over several private interfaces.
    pub bridge: Option<BridgePlan>,
    /// Addresses of ours; the interface is set up when it is down.
    pub addresses: Vec<LinkAddress>,
    /// IPv6 addresses of ours, on interfaces that `addresses` names too. They are usable at once: nobody is
    /// asked whether they are taken.
    pub addresses6: Vec<LinkAddress6>,
    /// IPv6 routes of ours.
    pub routes6: Vec<LinkRoute6>,
    /// Where packets of the segment leave, when that is not the machine's own way out; at most one for IPv4
    /// and one for IPv6 without a mark, behind those with one.
    pub steering: Vec<Steering>,
    /// How often devices had to leave a network of ours for another one. When it rises, wires are interrupted for a
    /// moment once the old address is gone: whoever notices asks for an address again.
    pub moves: u32,
}

/// What comes from a segment and has no nearer way leaves by the public interface, whatever the machine's own
/// default route is: a routing rule for the private interface, and a table with one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Steering {
    /// The private interface (the bridge, when there is one).
    pub private: IfName,
    /// The public interface.
    pub public: IfName,
    /// The next router there.
    pub next: NextHop,
    /// Only for packets that bear this mark ([`Pinned::mark`]), from [`Steering::MARKS`] on; absent: for all that
    /// have none.
    pub mark: Option<u32>,
    /// The network on that link, which needs no router; only with a mark, others look for nearer ways first.
    pub on_link: Option<Subnet4>,
}

/// The next router of a way out; absent where the link has only one other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHop {
    /// For IPv4.
    Ipv4(Option<Ipv4Addr>),
    /// For IPv6.
    Ipv6(Option<Ipv6Addr>),
}

impl Steering {
    /// The routing table, in a range that nothing standard uses.
    pub const TABLE: u32 = 21_137;
    /// Priority of the rule that looks for nearer ways in the main table. Rules with a mark come before it, the one
    /// without behind it.
    pub const PRIORITY: u32 = 5_137;
    /// The first of the marks; the routing table of a mark follows [`Steering::TABLE`] by as much as the mark
    /// follows the one before this one.
    pub const MARKS: u32 = 0x686e_0001;
    /// Most marks.
    pub const MOST_MARKS: u32 = 8;

    /// The routing table.
    pub const fn table(&self) -> u32 {
        match self.mark {
            Some(mark) => Self::TABLE + 1 + mark.saturating_sub(Self::MARKS),
            None => Self::TABLE,
        }
    }

    /// Whether `table` is one of ours.
    pub const fn owns(table: u32) -> bool {
        table >= Self::TABLE && table <= Self::TABLE + Self::MOST_MARKS
    }
}

/// A bridge of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePlan {
    /// Its name.
    pub name: IfName,
    /// Its members; a virtual access point joins by itself ([`ApPlan::bridge`]).
    pub members: BTreeSet<IfName>,
}

/// One address on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The interface.
    pub interface: IfName,
    /// Address and prefix length.
    pub address: Subnet4,
}

/// One IPv6 address on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkAddress6 {
    /// The interface.
    pub interface: IfName,
    /// Address and prefix length.
    pub address: Subnet6,
}

/// One IPv6 route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkRoute6 {
    /// Where it leads: a network without host bits.
    pub destination: Subnet6,
    /// Out of this interface; without one packets are refused as unreachable.
    pub interface: Option<IfName>,
}

/// Interfaces on which packets are forwarded (`net.ipv4.conf.IF.forwarding`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardingPlan {
    /// For IPv4.
    pub ipv4: BTreeSet<IfName>,
    /// For IPv6.
    pub ipv6: Option<Forwarding6>,
    /// Interfaces whose replies come in where the machine's own packets would not go out: a strict check of the
    /// return path (`rp_filter` 1, RFC 3704 §2.2) becomes a loose one (2, §2.4) there.
    pub loose: BTreeSet<IfName>,
}

/// Forwarding of IPv6, which the kernel decides by where a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding6 {
    /// The private interface, on which this host is a router.
    pub private: IfName,
    /// The public interface, on which it stays a host that listens to routers.
    pub public: IfName,
}

/// What the firewall must guarantee. `docs/security.md` says the same in prose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallPlan {
    /// One entry per private segment.
    pub segments: Vec<FirewallSegment>,
    /// Ports that lead into a segment.
    pub forwards: Vec<PortForward>,
    /// Ports of devices that are open over IPv6.
    pub pinholes: Vec<Pinhole>,
    /// Connections on which nothing reaches the host unasked.
    pub closed: BTreeSet<IfName>,
    /// Segments whose devices this host does not connect with each other.
    pub apart: BTreeSet<IfName>,
    /// Private interfaces that other people's firewalls are asked to let through while the plan holds, if they would
    /// not and can be asked.
    pub open: BTreeSet<IfName>,
    /// Networks that devices are kept from, except their own.
    pub isolated: Isolated,
    /// What began while one of these was the public interface goes on by it. Empty until the public interface was
    /// exchanged for another one into the same network; then the one that is public is among them.
    pub pinned: BTreeSet<Pinned>,
    /// Addresses of a tunnel, each with its interface: what has one as its source leaves by no other.
    #[serde(default)]
    pub sealed: BTreeSet<(IfName, IpAddr)>,
    /// What the public interface carries, in bytes, where that is less than this private one does.
    #[serde(default)]
    pub narrow: BTreeMap<IfName, u16>,
    /// Where devices' questions go while another program holds port 53.
    pub names: Vec<NameRedirect>,
    /// What holds for single devices, in a table of its own.
    #[serde(default)]
    pub devices: DevicePlan,
}

/// Networks that devices are kept from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolated {
    /// Of IPv4.
    pub ipv4: Vec<Subnet4>,
    /// Of IPv6.
    pub ipv6: Vec<Subnet6>,
}

impl Isolated {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }
}

/// Connections that stay with the interface they began on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pinned {
    /// The interface.
    pub interface: IfName,
    /// The address they were translated to.
    pub address: Ipv4Addr,
    /// Their packets bear this mark on their way to the routing decision ([`Steering::mark`]).
    pub mark: u32,
}

/// What devices ask at port 53 of the host's private address goes to another port of the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRedirect {
    /// The private interface; what comes in elsewhere is not concerned.
    pub private: IfName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address there.
    pub address: Ipv4Addr,
    /// Where the name server listens.
    pub port: u16,
}

/// A port of the host that leads to a device of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortForward {
    /// Where the port is open.
    pub public: IfName,
    /// The private interface of the segment.
    pub private: IfName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub external_port: u16,
    /// The device.
    pub address: Ipv4Addr,
    /// Its port.
    pub internal_port: u16,
    /// Only these may come in, and nobody from the segment itself; absent: everybody.
    pub remote: Option<MapRemote>,
}

/// What has come in by a pinhole since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinholeCount {
    /// Which.
    pub pinhole: Pinhole,
    /// Packets from outside; never their answers.
    pub packets: u64,
}

/// What the firewall counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Of each device that something was decided about.
    pub devices: Vec<DeviceCount>,
    /// Of each pinhole.
    pub pinholes: Vec<PinholeCount>,
}

impl Counts {
    /// Whether nothing is counted.
    pub const fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.pinholes.is_empty()
    }
}

/// A port of a device that anybody outside may open connections to over IPv6, where nothing is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinhole {
    /// Where the connections come in.
    pub public: IfName,
    /// The private interface of the segment.
    pub private: IfName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The device.
    pub address: Ipv6Addr,
    /// Its port.
    pub port: u16,
    /// Only these may come in; absent: everybody.
    pub remote: Option<MapRemote>,
}

/// One private segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSegment {
    /// The private interface (the bridge, when there is one).
    pub interface: IfName,
    /// Its network; absent when the segment has no addresses of ours.
    pub subnet: Option<Subnet4>,
    /// Where its packets may go.
    pub reach: Reach,
    /// Its IPv6 side; absent: no IPv6 packet passes.
    pub ipv6: Option<FirewallSegment6>,
}

/// The IPv6 side of a private segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSegment6 {
    /// The host's address with the prefix length.
    pub address: Subnet6,
    /// Packets may go where [`FirewallSegment::reach`] says, behind the address of the public interface.
    pub nat66: bool,
    /// Networks of the segment that the uplink knows: packets pass with their own source. The second is one that
    /// was replaced and ends.
    pub global: [Option<Subnet6>; 2],
    /// This host forwarded no IPv6 before, so that between the public interface and other networks than this
    /// one it must not do so now.
    pub guard: bool,
}

/// Where packets of a private segment may go beyond the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nowhere: nothing is forwarded from or to the segment.
    Host,
    /// Out of this public interface with source translation, and replies back; nothing else in or out.
    Public(IfName),
}

/// The protocol servers of the private segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// At most one segment is served at a time (sequences §6, invariant 4 and 5).
    pub segment: Option<ServiceSegment>,
}

/// One served segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSegment {
    /// The private interface (the bridge, when there is one).
    pub interface: IfName,
    /// The host's address on it, with the prefix length.
    pub address: Subnet4,
    /// The DHCPv4 server.
    pub dhcp: DhcpPlan,
    /// The DNS forwarder; absent in standalone mode.
    pub dns: Option<DnsPlan>,
    /// Router advertisements and the DHCPv6 server; absent in standalone mode and where there is no IPv6.
    pub ipv6: Option<Ipv6Plan>,
    /// UPnP IGD, NAT-PMP and PCP; absent in standalone mode and where policy has them off.
    pub portmap: Option<Box<PortMapPlan>>,
}

/// What the servers of port mapping tell devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapPlan {
    /// Who this gateway is, for UPnP (a version 5 UUID of the machine).
    pub uuid: [u8; 16],
    /// What devices know the host by.
    pub name: String,
    /// Since when the table has lost nothing that devices were promised.
    pub epoch: Monotonic,
    /// The way out.
    pub uplink: MapUplink,
    /// The table, the administrator's mappings included.
    pub entries: Vec<MapEntry>,
    /// Answers to the latest requests. The firewall lets through what they promise. A driver hands each over once,
    /// after the entries.
    pub answers: Vec<MapAnswer>,
}

/// What devices are told about IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Plan {
    /// The host's address with the prefix that devices make theirs from.
    pub address: Subnet6,
    /// The host's link-local address there, the router's address of the devices.
    pub link_local: Ipv6Addr,
    /// The DHCPv6 server's identity (RFC 6355).
    pub uuid: [u8; 16],
    /// Decides the addresses that DHCPv6 gives; the same after a restart.
    pub address_key: u64,
    /// The domain that devices search.
    pub domain: String,
    /// Whether this host is a default router at the moment.
    pub router: bool,
    /// The MTU of the way out, when it is smaller than the segment's.
    pub mtu: Option<u32>,
    /// Where a prefix is asked for.
    pub uplink: Option<IfName>,
    /// The prefix of the uplink's that devices make addresses of besides, a /64.
    pub global: Option<Subnet6>,
    /// A prefix of the uplink's own link that devices share.
    pub relay: Option<Relay6>,
}

/// A prefix that the uplink's link and the segment have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay6 {
    /// The prefix, a /64.
    pub network: Subnet6,
    /// The host's own addresses of it, which no device may take; at most 16.
    pub own: Vec<Ipv6Addr>,
}

impl Ipv6Plan {
    /// Whether changing from `self` to `other` needs no new server.
    pub fn same_but_uplink(&self, other: &Self) -> bool {
        self.without_uplink() == other.without_uplink()
    }

    /// What a server cannot change while it runs.
    pub fn without_uplink(&self) -> Self {
        Self { router: false, mtu: None, uplink: None, global: None, relay: None, ..self.clone() }
    }
}

/// What the DHCPv4 server hands out (spec/internet-connection-sharing.md §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpPlan {
    /// First address of the pool.
    pub first: Ipv4Addr,
    /// Last address of the pool.
    pub last: Ipv4Addr,
    /// Option 51.
    pub lease_time: Duration,
    /// Option 3; absent in standalone mode.
    pub router: Option<Ipv4Addr>,
    /// Option 6; absent in standalone mode.
    pub dns: Option<Ipv4Addr>,
    /// Option 15; absent in standalone mode.
    pub domain: Option<String>,
    /// Option 26: the MTU of the way out, when it is smaller than the segment's.
    pub mtu: Option<u16>,
    /// Addresses promised for ever.
    pub reservations: Vec<Reservation>,
    /// Devices that get no address.
    #[serde(default)]
    pub denied: BTreeSet<MacAddr>,
}

/// The DNS forwarder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPlan {
    /// The zone of the segment, `mshome.net`.
    pub domain: String,
    /// The first label of this host's name.
    pub host_name: String,
    /// Where other names are asked, best first. Empty: only local names are answered.
    pub upstreams: Vec<SocketAddr>,
    /// Ask them through this interface only: a tunnel that devices are behind keeps their questions, too.
    pub through: Option<IfName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_differs_in_keys_only_says_so() {
        let plan = ApPlan {
            wiphy: 0,
            interface: "hnap0".parse().expect("valid"),
            bssid: MacAddr::ZERO,
            ssid: Ssid::new(b"x").expect("valid"),
            frequency_mhz: 2437,
            channel: 6,
            phy: PhyType::Ht,
            width: Width::Mhz20,
            centre_mhz: 2437,
            cac_s: 0,
            country: None,
            vht_capabilities: 0,
            wpa: Wpa::Wpa2,
            sae: Vec::new(),
            hidden: false,
            isolated: false,
            movable: true,
            ht_capabilities: 0,
            max_peers: 100,
            bridge: None,
            keys: KeySet::default(),
        };
        let key = Key::raw(&[1; 32]).expect("valid");
        let entries = [KeyEntry { role: KeyRole::Primary, key, station: None }].into();
        let keys = KeySet { entries, ..KeySet::default() };
        assert!(plan.same_but_keys(&ApPlan { keys, ..plan.clone() }));
        assert!(!plan.same_but_keys(&ApPlan { channel: 1, ..plan.clone() }));
    }
}
