//! Ethernet, IPv6, UDP and ICMPv6: what surrounds a message.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use hn_types::MacAddr;

use crate::{config::RawConfig, counters::DropReason};

const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SERVER_PORT: u16 = 547;
const CLIENT_PORT: u16 = 546;
const ROUTER_SOLICITATION: u8 = 133;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
/// Length of Ethernet and IPv6 headers.
const HEADERS: usize = 14 + 40;

/// All nodes of the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

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

/// What a frame carries.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// A valid Router Solicitation.
    Solicitation(Peer),
    /// The payload of a datagram to port 547.
    Dhcp { from: Peer, multicast: bool, message: &'a [u8] },
}

impl Packet<'_> {
    pub(crate) const fn sender(&self) -> MacAddr {
        match self {
            Self::Solicitation(peer) | Self::Dhcp { from: peer, .. } => peer.mac,
        }
    }
}

/// Takes `frame` apart.
pub(crate) fn parse<'a>(frame: &'a [u8], config: &RawConfig) -> Result<Packet<'a>, DropReason> {
    let (&destination, rest) = frame.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&source, rest) = rest.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&kind, packet) = rest.split_first_chunk::<2>().ok_or(DropReason::Truncated)?;
    let (destination, mac) = (MacAddr(destination), MacAddr(source));
    if mac.is_multicast() || mac == config.mac || mac == MacAddr::ZERO {
        return Err(DropReason::Source);
    }
    if destination != config.mac && !matches!(destination.0, [0x33, 0x33, ..]) {
        return Err(DropReason::NotForUs);
    }
    if kind != ETHERTYPE_IPV6 {
        return Err(DropReason::EtherType);
    }
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
    let (source, destination) = (address(source)?, address(destination)?);
    let own = [config.link_local, config.host.address()];
    if source.is_multicast() || source.is_loopback() || own.contains(&source) {
        return Err(DropReason::Source);
    }
    let from = Peer { mac, address: source };
    let to_own = own.contains(&destination);
    match *next {
        // An extension header in front of neighbour discovery or DHCP is nothing a client sends (RFC 6980).
        ICMPV6 => {
            if destination != ALL_ROUTERS && !to_own && destination != ALL_NODES {
                return Err(DropReason::NotForUs);
            }
            solicitation(payload, source, destination, *hops).map(|()| Packet::Solicitation(from))
        }
        UDP => {
            let multicast = destination == ALL_DHCP_SERVERS;
            if !multicast && !to_own {
                return Err(DropReason::NotForUs);
            }
            // A client speaks from its link-local address (RFC 8415 §13); one that takes this server for
            // one that can be asked by unicast may use the address it has from here.
            if !source.is_unicast_link_local() && (multicast || !config.host.contains(source)) {
                return Err(DropReason::Source);
            }
            datagram(payload, source, destination).map(|message| Packet::Dhcp { from, multicast, message })
        }
        _ => Err(DropReason::NotForUs),
    }
}

/// Validates a Router Solicitation (RFC 4861 §6.1.1).
fn solicitation(payload: &[u8], source: Ipv6Addr, destination: Ipv6Addr, hops: u8) -> Result<(), DropReason> {
    let Some(&[kind, code, ..]) = payload.first_chunk::<8>() else { return Err(DropReason::Icmpv6) };
    if kind != ROUTER_SOLICITATION {
        return Err(DropReason::NotForUs);
    }
    if hops != 255 {
        return Err(DropReason::HopLimit);
    }
    let pseudo = pseudo_header(source, destination, ICMPV6, payload.len());
    if code != 0 || fold(pseudo + sum(payload)) != 0xffff {
        return Err(DropReason::Icmpv6);
    }
    let mut options = payload.get(8..).unwrap_or_default();
    while let Some(&kind) = options.first() {
        let units = options.get(1).map_or(0, |&units| usize::from(units));
        if units == 0 || options.len() < units * 8 {
            return Err(DropReason::NdOption);
        }
        // Nobody without an address can be spoken to at one.
        if kind == SOURCE_LINK_LAYER_ADDRESS && source.is_unspecified() {
            return Err(DropReason::NdOption);
        }
        options = options.get(units * 8..).unwrap_or_default();
    }
    Ok(())
}

fn datagram(payload: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Result<&[u8], DropReason> {
    let (&[_, _, port_hi, port_lo, len_hi, len_lo, sum_hi, sum_lo], _) =
        payload.split_first_chunk::<8>().ok_or(DropReason::Udp)?;
    if u16::from_be_bytes([port_hi, port_lo]) != SERVER_PORT {
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
pub(crate) fn icmpv6(config: &RawConfig, to: Peer, message: &[u8]) -> Vec<u8> {
    let mut frame = headers(config, to, ICMPV6, 255, message.len());
    frame.extend_from_slice(message);
    let pseudo = pseudo_header(config.link_local, to.address, ICMPV6, message.len());
    put_checksum(&mut frame, 2, pseudo + sum(message));
    frame
}

/// Makes a frame of a DHCPv6 message to a client.
pub(crate) fn dhcp(config: &RawConfig, to: Peer, message: &[u8]) -> Vec<u8> {
    let len = message.len() + 8;
    let mut frame = headers(config, to, UDP, 64, len);
    frame.extend_from_slice(&SERVER_PORT.to_be_bytes());
    frame.extend_from_slice(&CLIENT_PORT.to_be_bytes());
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(message);
    let pseudo = pseudo_header(config.link_local, to.address, UDP, len);
    let total = pseudo + sum(frame.get(HEADERS..).unwrap_or_default());
    put_checksum(&mut frame, 6, total);
    frame
}

fn headers(config: &RawConfig, to: Peer, next: u8, hops: u8, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADERS + len);
    frame.extend_from_slice(&to.mac.0);
    frame.extend_from_slice(&config.mac.0);
    frame.extend_from_slice(&ETHERTYPE_IPV6);
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    // No message of ours comes near the MTU.
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(&[next, hops]);
    frame.extend_from_slice(&config.link_local.octets());
    frame.extend_from_slice(&to.address.octets());
    frame
}

fn put_checksum(frame: &mut [u8], at: usize, total: u64) {
    // Zero would mean "none" (RFC 768).
    let checksum = match !fold(total) {
        0 => 0xffff,
        other => other,
    };
    if let Some(field) = frame.get_mut(HEADERS + at..HEADERS + at + 2) {
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
