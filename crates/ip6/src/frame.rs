//! Ethernet, IPv6, UDP and ICMPv6: what surrounds a message.
//!
//! A link without hardware addresses (PPP, a tunnel) has frames that begin with the IPv6 header.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use hn_types::MacAddr;

use crate::{
    config::RawConfig,
    counters::DropReason,
    neighbour::{self, Neighbour},
};

const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
pub(crate) const SERVER_PORT: u16 = 547;
pub(crate) const CLIENT_PORT: u16 = 546;
const ROUTER_SOLICITATION: u8 = 133;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
/// The hop limit of what has not been forwarded.
const OF_THIS_LINK: u8 = 255;

/// All nodes of the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Who sent a packet, and where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) mac: MacAddr,
    pub(crate) address: Ipv6Addr,
}

impl Peer {
    /// The group of all nodes.
    pub(crate) const EVERYBODY: Self = Self { mac: MacAddr([0x33, 0x33, 0, 0, 0, 1]), address: ALL_NODES };
}

/// Who speaks. Without a hardware address the link has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) mac: Option<MacAddr>,
    pub(crate) address: Ipv6Addr,
}

impl Origin {
    /// The server on the private interface.
    pub(crate) const fn of(config: &RawConfig) -> Self {
        Self { mac: Some(config.mac), address: config.link_local }
    }
}

/// The group that the frames for `address` go to in Ethernet (RFC 2464 §7).
pub(crate) const fn group_mac(address: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = address.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// The group of those who might have `address` (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Peer {
    let [.., a, b, c] = address.octets();
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, word(0xff, a), word(b, c));
    Peer { mac: group_mac(group), address: group }
}

/// What a frame carries.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// A valid Router Solicitation.
    Solicitation(Peer),
    /// A valid Neighbour Solicitation or Advertisement.
    Neighbour(Neighbour),
    /// The payload of a datagram to port 547.
    Dhcp { from: Peer, multicast: bool, message: &'a [u8] },
}

/// A frame without what surrounds its payload.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) from: Peer,
    pub(crate) to: Ipv6Addr,
    pub(crate) next: u8,
    pub(crate) hops: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens `frame`, which is for the interface `own`.
    pub(crate) fn open(frame: &'a [u8], own: Option<MacAddr>) -> Result<Self, DropReason> {
        let (mac, packet) = match own {
            Some(own) => ethernet(frame, own)?,
            None => (MacAddr::ZERO, frame),
        };
        let (header, rest) = packet.split_first_chunk::<40>().ok_or(DropReason::Truncated)?;
        let [version, _, _, _, len_hi, len_lo, next, hops, addresses @ ..] = header;
        if version >> 4 != 6 {
            return Err(DropReason::Ipv6Header);
        }
        // What follows the packet in the frame is Ethernet padding.
        let payload =
            rest.get(..usize::from(u16::from_be_bytes([*len_hi, *len_lo]))).ok_or(DropReason::Truncated)?;
        let (source, destination) = addresses.split_at(16);
        let address = |bytes: &[u8]| {
            let octets: [u8; 16] = bytes.try_into().map_err(|_| DropReason::Truncated)?;
            Ok(Ipv6Addr::from(octets))
        };
        let (source, to) = (address(source)?, address(destination)?);
        if source.is_multicast() || source.is_loopback() {
            return Err(DropReason::Source);
        }
        Ok(Self { from: Peer { mac, address: source }, to, next: *next, hops: *hops, payload })
    }

    /// Type and code of an ICMPv6 message that has not been forwarded, with a right checksum and at least `least`
    /// bytes.
    pub(crate) fn discovery(&self, least: usize) -> Result<(), DropReason> {
        if self.hops != OF_THIS_LINK {
            return Err(DropReason::HopLimit);
        }
        let pseudo = pseudo_header(self.from.address, self.to, ICMPV6, self.payload.len());
        let code = self.payload.get(1).copied();
        if self.payload.len() < least || code != Some(0) || fold(pseudo + sum(self.payload)) != 0xffff {
            return Err(DropReason::Icmpv6);
        }
        Ok(())
    }

    /// The type of an ICMPv6 message.
    pub(crate) fn icmpv6(&self) -> Option<u8> {
        self.payload.first().copied().filter(|_| self.next == ICMPV6)
    }

    /// The message in a datagram to `port`.
    pub(crate) fn datagram(&self, port: u16) -> Result<&'a [u8], DropReason> {
        if self.next != UDP {
            return Err(DropReason::NotForUs);
        }
        datagram(self.payload, self.from.address, self.to, port)
    }
}

/// The sender of an Ethernet frame, and the packet in it.
fn ethernet(frame: &[u8], own: MacAddr) -> Result<(MacAddr, &[u8]), DropReason> {
    let (&destination, rest) = frame.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&source, rest) = rest.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&kind, packet) = rest.split_first_chunk::<2>().ok_or(DropReason::Truncated)?;
    let (destination, mac) = (MacAddr(destination), MacAddr(source));
    if mac.is_multicast() || mac == own || mac == MacAddr::ZERO {
        return Err(DropReason::Source);
    }
    if destination != own && !matches!(destination.0, [0x33, 0x33, ..]) {
        return Err(DropReason::NotForUs);
    }
    if kind != ETHERTYPE_IPV6 {
        return Err(DropReason::EtherType);
    }
    Ok((mac, packet))
}

/// Takes `frame` apart.
pub(crate) fn parse<'a>(frame: &'a [u8], config: &RawConfig) -> Result<Packet<'a>, DropReason> {
    let envelope = Envelope::open(frame, Some(config.mac))?;
    let Envelope { from, to, .. } = envelope;
    let own = [config.link_local, config.host.address()];
    if own.contains(&from.address) {
        return Err(DropReason::Source);
    }
    let to_own = own.contains(&to);
    match (envelope.next, envelope.icmpv6()) {
        // An extension header in front of neighbour discovery or DHCP is nothing a client sends (RFC 6980).
        (ICMPV6, Some(neighbour::SOLICITATION | neighbour::ADVERTISEMENT)) => {
            Neighbour::parse(&envelope).map(Packet::Neighbour)
        }
        (ICMPV6, _) => {
            if to != ALL_ROUTERS && !to_own && to != ALL_NODES {
                return Err(DropReason::NotForUs);
            }
            solicitation(&envelope).map(|()| Packet::Solicitation(from))
        }
        (UDP, _) => {
            let multicast = to == ALL_DHCP_SERVERS;
            if !multicast && !to_own {
                return Err(DropReason::NotForUs);
            }
            // A client speaks from its link-local address (RFC 8415 §13); one that takes this server for
            // one that can be asked by unicast may use the address it has from here.
            if !from.address.is_unicast_link_local() && (multicast || !config.host.contains(from.address)) {
                return Err(DropReason::Source);
            }
            let message = envelope.datagram(SERVER_PORT)?;
            Ok(Packet::Dhcp { from, multicast, message })
        }
        _ => Err(DropReason::NotForUs),
    }
}

/// Validates a Router Solicitation (RFC 4861 §6.1.1).
fn solicitation(envelope: &Envelope<'_>) -> Result<(), DropReason> {
    let Some(&[kind, ..]) = envelope.payload.first_chunk::<8>() else { return Err(DropReason::Icmpv6) };
    if kind != ROUTER_SOLICITATION {
        return Err(DropReason::NotForUs);
    }
    envelope.discovery(8)?;
    for option in NdOptions(envelope.payload.get(8..).unwrap_or_default()) {
        let (kind, _) = option?;
        // Nobody without an address can be spoken to at one.
        if kind == SOURCE_LINK_LAYER_ADDRESS && envelope.from.address.is_unspecified() {
            return Err(DropReason::NdOption);
        }
    }
    Ok(())
}

/// Options of neighbour discovery one after the other: type, and what follows type and length.
#[derive(Debug)]
pub(crate) struct NdOptions<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for NdOptions<'a> {
    type Item = Result<(u8, &'a [u8]), DropReason>;

    fn next(&mut self) -> Option<Self::Item> {
        let &kind = self.0.first()?;
        let length = self.0.get(1).map_or(0, |&units| usize::from(units) * 8);
        match self.0.split_at_checked(length) {
            Some(([_, _, data @ ..], rest)) => {
                self.0 = rest;
                Some(Ok((kind, data)))
            }
            Some(_) | None => {
                self.0 = &[];
                Some(Err(DropReason::NdOption))
            }
        }
    }
}

fn datagram(payload: &[u8], source: Ipv6Addr, destination: Ipv6Addr, port: u16) -> Result<&[u8], DropReason> {
    let (&[_, _, port_hi, port_lo, len_hi, len_lo, sum_hi, sum_lo], _) =
        payload.split_first_chunk::<8>().ok_or(DropReason::Udp)?;
    if u16::from_be_bytes([port_hi, port_lo]) != port {
        return Err(DropReason::NotForUs);
    }
    let len = usize::from(u16::from_be_bytes([len_hi, len_lo]));
    let datagram = payload.get(..len).ok_or(DropReason::Udp)?;
    let message = datagram.get(8..).ok_or(DropReason::Udp)?;
    let checksum = u16::from_be_bytes([sum_hi, sum_lo]);
    let pseudo = pseudo_header(source, destination, UDP, len);
    // IPv6 has no datagrams without a checksum (RFC 8200 §8.1). A frame from this machine (a veth, a simulated
    // radio) that asked for checksum offload has the sum of the pseudo-header in its place.
    if checksum == 0 || (fold(pseudo + sum(datagram)) != 0xffff && checksum != fold(pseudo)) {
        return Err(DropReason::Udp);
    }
    Ok(message)
}

/// Makes a frame of a complete ICMPv6 message whose checksum is still zero.
pub(crate) fn icmpv6(from: Origin, to: Peer, message: &[u8]) -> Vec<u8> {
    let mut frame = headers(from, to, ICMPV6, OF_THIS_LINK, message.len());
    frame.extend_from_slice(message);
    let pseudo = pseudo_header(from.address, to.address, ICMPV6, message.len());
    put_checksum(&mut frame, message.len(), 2, pseudo + sum(message));
    frame
}

/// Makes a frame of a DHCPv6 message to `port` of `to`.
pub(crate) fn dhcp(from: Origin, to: Peer, (source, port): (u16, u16), message: &[u8]) -> Vec<u8> {
    let len = message.len() + 8;
    let mut frame = headers(from, to, UDP, 64, len);
    let mut datagram = Vec::with_capacity(len);
    datagram.extend_from_slice(&source.to_be_bytes());
    datagram.extend_from_slice(&port.to_be_bytes());
    datagram.extend_from_slice(&(len as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(message);
    frame.extend_from_slice(&datagram);
    put_checksum(&mut frame, len, 6, pseudo_header(from.address, to.address, UDP, len) + sum(&datagram));
    frame
}

fn headers(from: Origin, to: Peer, next: u8, hops: u8, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + 40 + len);
    if let Some(mac) = from.mac {
        frame.extend_from_slice(&to.mac.0);
        frame.extend_from_slice(&mac.0);
        frame.extend_from_slice(&ETHERTYPE_IPV6);
    }
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    // No message of ours comes near the MTU.
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(&[next, hops]);
    frame.extend_from_slice(&from.address.octets());
    frame.extend_from_slice(&to.address.octets());
    frame
}

/// Puts the checksum at `at` of the last `len` bytes.
fn put_checksum(frame: &mut [u8], len: usize, at: usize, total: u64) {
    // Zero would mean "none" (RFC 768).
    let checksum = match !fold(total) {
        0 => 0xffff,
        other => other,
    };
    let at = frame.len() - len + at;
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The unfolded sum of the pseudo-header (RFC 8200 §8.1).
fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, next: u8, len: usize) -> u64 {
    sum(&source.octets()) + sum(&destination.octets()) + u64::from(next) + len as u64
}

/// The unfolded ones' complement sum (RFC 1071) of `bytes`, which start at an even offset.
fn sum(bytes: &[u8]) -> u64 {
    let (halves, odd) = bytes.as_chunks::<2>();
    let total: u64 = halves.iter().map(|half| u64::from(u16::from_be_bytes(*half))).sum();
    total + odd.iter().map(|&byte| u64::from(byte) << 8).sum::<u64>()
}

/// Folds a sum to 16 bits.
const fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}
