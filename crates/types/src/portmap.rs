//! Port mappings that devices ask for themselves: by UPnP IGD, NAT-PMP and PCP.
//!
//! The protocol engine (`hn-portmap`) turns bytes into a [`MapRequest`]; the core owns the one table of all
//! mappings, decides, applies, and answers with a [`MapAnswer`]. What devices may look at reaches the engine as a
//! full snapshot of [`MapEntry`] and as the [`MapUplink`].
//!
//! **Order.** When a request changed the table, the snapshot that shows the change is handed over before the
//! answer: a device that lists mappings after its request succeeded sees its own.

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Monotonic, settings::Protocol};

/// The protocol through which a device asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// UPnP Internet Gateway Device, version 1 or 2.
    Upnp,
    /// RFC 6886.
    NatPmp,
    /// RFC 6887.
    Pcp,
}

impl Origin {
    /// `upnp`, `nat-pmp` or `pcp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upnp => "upnp",
            Self::NatPmp => "nat-pmp",
            Self::Pcp => "pcp",
        }
    }
}

/// What one device asks of the table. Every request is answered exactly once, with the same `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRequest {
    /// Chosen by the engine; unique among the requests it made since it was started.
    pub id: u64,
    /// Through which protocol.
    pub origin: Origin,
    /// Who sent it: the source address of the packet or of the TCP connection. Always an address of the segment,
    /// never the host's own. With NAT-PMP and PCP it is the device's end of the mapping; UPnP can be asked over
    /// IPv4 for pinholes and over IPv6 for mappings, and the core decides whether both addresses are the same
    /// device.
    pub client: IpAddr,
    /// What it wants.
    pub act: MapAct,
}

/// The wish of a [`MapRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapAct {
    /// Make a mapping (IPv4) or a pinhole (IPv6), or renew or change the one that exists. Answer: the mapping as
    /// it is.
    Add(MapAdd),
    /// End mappings of this client. Answer: one of those ended (the only one, mostly); [`MapRefusal::NotFound`]
    /// when there was none (PCP and NAT-PMP tell the device that this is success).
    Remove {
        /// Which.
        which: MapWhich,
        /// PCP: the mapping's nonce must be the same, else [`MapRefusal::Nonce`]. With [`MapWhich::All`] only
        /// mappings of this nonce end, and the others stay without a refusal. `None`: not compared, and no
        /// mapping that has one is touched: [`MapRefusal::NotYours`] if it was meant alone.
        nonce: Option<[u8; 12]>,
    },
    /// Give a pinhole a new lifetime from now (UPnP `UpdatePinhole`). Answer: the pinhole.
    Extend {
        /// Its number.
        pinhole: u16,
        /// Seconds, 1 to 86,400.
        lifetime_s: u32,
    },
    /// Look at a pinhole of one's own (UPnP `GetPinholePackets`, `CheckPinholeWorking`). Answer: the pinhole, with
    /// its packets counted up to this moment.
    Look {
        /// Its number.
        pinhole: u16,
    },
    /// PCP PEER (RFC 6887 §12): keep the outbound mapping of one flow, or make it before its first packet, so that
    /// packets between `internal` and `remote` get the answered external address and port for as long as the
    /// lifetime. Never opens anything to others. A lifetime of 0 is not sent here: it only stops the renewals.
    Peer {
        /// TCP or UDP.
        protocol: Protocol,
        /// The device's end; its address is `client`.
        internal: SocketAddr,
        /// The other end, of the same family.
        remote: SocketAddr,
        /// The port outside that the device would like; 0: any.
        external_port: u16,
        /// Seconds.
        lifetime_s: u32,
        /// As for [`MapAdd::nonce`].
        nonce: [u8; 12],
        /// The flow is there already, and `external_port` is the port it has outside. Whoever can look says so; the
        /// engine never does.
        exists: bool,
    },
}

/// A mapping that is asked for.
///
/// **Which existing mapping it renews.** UPnP over IPv4: the one with the same protocol, external port and remote
/// hosts, and the same internal *address* (then the internal port may change); with another internal address it
/// is [`MapRefusal::Conflict`] when `exact`. UPnP pinholes: the one with the same protocol, internal address and
/// port and remotes. NAT-PMP and PCP: the one with the same protocol, internal address and port, whatever the
/// external port that is suggested this time (it keeps the one it has; if `exact` and another is suggested:
/// [`MapRefusal::Conflict`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapAdd {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where packets are led. IPv4: a mapping; IPv6: a pinhole in the firewall. The port is never 0. The address
    /// is `client` for NAT-PMP and PCP; UPnP may name another, and the core decides whether it may.
    pub internal: SocketAddr,
    /// The port outside; 0: any. A wish unless `exact`. IPv6: the internal port, as nothing is translated.
    pub external_port: u16,
    /// Refuse ([`MapRefusal::Conflict`], [`MapRefusal::Reserved`]) rather than choose another external port:
    /// `AddPortMapping`, PCP's PREFER_FAILURE.
    pub exact: bool,
    /// Seconds it shall last, counted from now; policy may give less or more. 0: as long as policy allows (UPnP
    /// only, where it meant "for ever").
    pub lifetime_s: u32,
    /// PCP: the secret of this mapping (RFC 6887 §11.2). A mapping that has one is renewed, changed or removed by
    /// who gives the same, else [`MapRefusal::Nonce`]; one that has none (UPnP's, NAT-PMP's, the
    /// administrator's) is not taken over by a request that brings one: [`MapRefusal::NotYours`].
    pub nonce: Option<[u8; 12]>,
    /// What the device calls it, safe to show, at most [`MapAdd::NAME`] characters; empty with NAT-PMP and PCP.
    pub name: String,
    /// Whether it acts. UPnP can register a mapping that does not.
    pub enabled: bool,
    /// Who may come in.
    pub filter: MapFilter,
}

impl MapAdd {
    /// The longest name, in characters.
    pub const NAME: usize = 64;
}

/// Who may come in through a mapping: a change of a list of remote ends. An empty list is everybody.
///
/// The new list is the old one (empty for a new mapping, or when `clear`) and `add` after it, each end once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFilter {
    /// Forget the old list first. Always with UPnP.
    pub clear: bool,
    /// At most [`MapFilter::REMOTES`]. If the list became longer than that: [`MapRefusal::Remotes`].
    pub add: Vec<MapRemote>,
}

impl MapFilter {
    /// The longest list.
    pub const REMOTES: usize = 8;
}

/// Remote ends that may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapRemote {
    /// An address; of the same family as the mapping. Bits behind the prefix are zero.
    pub address: IpAddr,
    /// How many leading bits of the address count: 32 or 128 for one host; 0: every host.
    pub prefix: u8,
    /// The remote port; 0: any.
    pub port: u16,
}

/// Which mappings end. Only mappings of the client are meant, never the administrator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapWhich {
    /// UPnP: the one IPv4 mapping with this port outside. Another device's: [`MapRefusal::NotYours`].
    External {
        /// TCP or UDP.
        protocol: Protocol,
        /// The port outside.
        port: u16,
        /// The remote host it is limited to; `None`: the one for everybody.
        remote: Option<Ipv4Addr>,
    },
    /// UPnP: every IPv4 mapping of the client with a port outside from `first` to `last`.
    ExternalRange {
        /// TCP or UDP.
        protocol: Protocol,
        /// The lowest port, from 1.
        first: u16,
        /// The highest, not below `first`.
        last: u16,
    },
    /// NAT-PMP, PCP: the one to this port of the client; made by the same protocol, else
    /// [`MapRefusal::NotYours`].
    Internal {
        /// TCP or UDP.
        protocol: Protocol,
        /// The device's port.
        port: u16,
    },
    /// NAT-PMP, PCP: every one of the client that the same protocol made, to the address it asks from.
    All {
        /// TCP or UDP; `None`: both.
        protocol: Option<Protocol>,
    },
    /// UPnP: this pinhole.
    Pinhole {
        /// Its number.
        pinhole: u16,
    },
}

/// A mapping as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// Address and port outside. For a pinhole the same as `internal`. 0.0.0.0 while there is no address outside
    /// (a mapping may be kept through a loss of the uplink).
    pub external: SocketAddr,
    /// Address and port of the device.
    pub internal: SocketAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Seconds it lasts from now, rounded up; 0: without end.
    pub lifetime_s: u32,
    /// IPv6: its number, 1 to 65,535, unique among pinholes. Not given again soon after it ended.
    pub pinhole: Option<u16>,
    /// Packets that came in through it; only with [`MapAct::Look`], `None` when they are not counted.
    pub packets: Option<u64>,
}

impl Mapped {
    /// A mapping that is no pinhole and whose packets are not counted.
    pub const fn new(
        protocol: Protocol,
        external: SocketAddr,
        internal: SocketAddr,
        lifetime_s: u32,
    ) -> Self {
        Self { external, internal, protocol, lifetime_s, pinhole: None, packets: None }
    }
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $variant:ident => $name:literal, $text:literal;)*) => {
        /// Why the table refused. What each becomes on the wire is told by `hn-portmap`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MapRefusal {
            $($(#[doc = $doc])* $variant,)*
        }

        impl MapRefusal {
            /// Every refusal.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// A stable name, the one it has in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// For people: why.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

refusals! {
    /// Policy lets this device, or any, make no mappings (of this family).
    Off => "off", "policy allows no port mappings";
    /// The mapping is another device's or the administrator's, was made through another protocol, or it would
    /// lead to another device than the one that asks.
    NotYours => "not_yours", "a device manages its own mappings only";
    /// The mapping exists with another nonce (PCP).
    Nonce => "nonce", "the mapping was made with another nonce";
    /// The external port leads to another device, or the mapping has another external port, and exactly this one
    /// was asked for.
    Conflict => "conflict", "the external port is taken by another mapping";
    /// The external port is the host's own, or reserved by policy, and exactly this one was asked for.
    Reserved => "reserved", "the external port is reserved";
    /// The device has as many mappings as one may have.
    Limit => "limit", "the device has as many mappings as one may have";
    /// The table, or every external port, is taken.
    Full => "full", "there is no room for another mapping";
    /// Nothing leads out.
    NoUplink => "no_uplink", "there is no way out";
    /// The internal address is none that a device of the segment can have.
    BadAddress => "bad_address", "the internal address is not one of a device here";
    /// There is no such mapping.
    NotFound => "not_found", "there is no such mapping";
    /// The list of remote ends would be too long, or has what cannot be filtered.
    Remotes => "remotes", "such a filter of remote hosts is not possible";
    /// This cannot be done here: PEER, or pinholes where no IPv6 is routed.
    Unsupported => "unsupported", "such a mapping is not possible here";
    /// The system refused to apply it.
    Failed => "failed", "the mapping could not be applied";
}

/// The answer to a [`MapRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapAnswer {
    /// The request's.
    pub id: u64,
    /// What became of it.
    pub result: Result<Mapped, MapRefusal>,
}

/// One mapping in a snapshot of the table: the administrator's and those devices asked for, in the order they
/// were made (UPnP lists them by their place).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapEntry {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub external_port: u16,
    /// The device's address and port. IPv6: a pinhole.
    pub internal: SocketAddr,
    /// Who may come in; empty: everybody.
    pub remotes: Vec<MapRemote>,
    /// Safe to show.
    pub name: String,
    /// Through which protocol a device asked for it; `None`: the administrator made it.
    pub origin: Option<Origin>,
    /// When it ends; `None`: never by itself.
    pub until: Option<Monotonic>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// IPv6: the pinhole's number.
    pub pinhole: Option<u16>,
}

/// The way out, as devices may see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapUplink {
    /// The address outside that IPv4 mappings have, the public connection's own (also when it is a private one
    /// behind another router: mappings act there); `None` without.
    pub external: Option<Ipv4Addr>,
    /// Whether the public connection leads out.
    pub up: bool,
    /// Since when `up` and `external` are as they are.
    pub since: Monotonic,
    /// IPv6 of devices is firewalled and pinholes can be made.
    pub pinholes: bool,
    /// Bits per second that the public connection sends and receives at most, when known.
    pub speed: Option<LinkSpeed>,
    /// What the public connection carried, when known. A new value tells devices nothing by itself.
    pub traffic: Option<LinkTraffic>,
}

/// The speed of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpeed {
    /// Bits per second outwards.
    pub up_bps: u64,
    /// Bits per second inwards.
    pub down_bps: u64,
}

/// Counters of a link since it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkTraffic {
    /// Bytes sent outwards.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets sent outwards.
    pub sent_packets: u64,
    /// Packets received.
    pub received_packets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_refusal_is_its_name_in_json() {
        for refusal in MapRefusal::ALL {
            let json = serde_json::to_string(refusal).expect("a name");
            assert_eq!(json, alloc::format!("\"{}\"", refusal.as_str()));
            assert!(!refusal.text().is_empty());
        }
    }

    #[test]
    fn a_request_survives_a_trip_between_processes() {
        let request = MapRequest {
            id: u64::MAX,
            origin: Origin::Pcp,
            client: IpAddr::from([192, 168, 137, 20]),
            act: MapAct::Add(MapAdd {
                protocol: Protocol::Udp,
                internal: SocketAddr::from(([192, 168, 137, 20], 3074)),
                external_port: 0,
                exact: false,
                lifetime_s: 7_200,
                nonce: Some([7; 12]),
                name: String::new(),
                enabled: true,
                filter: MapFilter {
                    clear: true,
                    add: alloc::vec![MapRemote {
                        address: IpAddr::from([203, 0, 113, 0]),
                        prefix: 24,
                        port: 0
                    }],
                },
            }),
        };
        let json = serde_json::to_string(&request).expect("serialises");
        assert_eq!(serde_json::from_str::<MapRequest>(&json).expect("parses"), request);
    }
}
