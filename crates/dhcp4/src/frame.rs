//! Ethernet, IPv4, UDP and ARP: what surrounds a DHCP message.

use core::net::Ipv4Addr;

use hn_types::MacAddr;

use crate::{config::Config, counters::DropReason};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
const UDP: u8 = 17;
const SERVER_PORT: [u8; 2] = [0, 67];

/// What a frame carries.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// The payload of a datagram to our port 67, and where it came from.
    Dhcp { source: Ipv4Addr, message: &'a [u8] },
    /// Somebody's ARP request or reply.
    Arp { sender: MacAddr, address: Ipv4Addr, target: Ipv4Addr },
}

/// Takes `frame` apart.
pub(crate) fn parse<'a>(frame: &'a [u8], config: &Config) -> Result<Packet<'a>, DropReason> {
    let (&destination, rest) = frame.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&source, rest) = rest.split_first_chunk::<6>().ok_or(DropReason::Truncated)?;
    let (&kind, payload) = rest.split_first_chunk::<2>().ok_or(DropReason::Truncated)?;
    let (destination, source) = (MacAddr(destination), MacAddr(source));
    if source.is_multicast() || source == config.raw().mac {
        return Err(DropReason::Source);
    }
    if destination != MacAddr::BROADCAST && destination != config.raw().mac {
        return Err(DropReason::NotForUs);
    }
    let (kind, payload) = if kind == ETHERTYPE_VLAN {
        let (tag, rest) = payload.split_first_chunk::<2>().ok_or(DropReason::Truncated)?;
        let (&kind, rest) = rest.split_first_chunk::<2>().ok_or(DropReason::Truncated)?;
        // VLAN 0 is a priority mark on an untagged frame (IEEE 802.1Q §6.9).
        if u16::from_be_bytes(*tag) & 0x0fff != 0 {
            return Err(DropReason::EtherType);
        }
        (kind, rest)
    } else {
        (kind, payload)
    };
    match kind {
        ETHERTYPE_IPV4 => ipv4(payload, config),
        ETHERTYPE_ARP => arp(payload, source),
        _ => Err(DropReason::EtherType),
    }
}

fn ipv4<'a>(packet: &'a [u8], config: &Config) -> Result<Packet<'a>, DropReason> {
    let Some(&[version, _, len_hi, len_lo, _, _, frag_hi, frag_lo, _, protocol, ..]) =
        packet.first_chunk::<20>()
    else {
        return Err(DropReason::Truncated);
    };
    let header_len = usize::from(version & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([len_hi, len_lo]));
    if version >> 4 != 4 || header_len < 20 || total < header_len {
        return Err(DropReason::Ipv4Header);
    }
    // What follows the packet in the frame is Ethernet padding.
    let packet = packet.get(..total).ok_or(DropReason::Truncated)?;
    let (header, payload) = packet.split_at_checked(header_len).ok_or(DropReason::Truncated)?;
    if fold(sum(header)) != 0xffff {
        return Err(DropReason::Ipv4Header);
    }
    if u16::from_be_bytes([frag_hi, frag_lo]) & 0x3fff != 0 {
        return Err(DropReason::Fragment);
    }
    let Some(&[s0, s1, s2, s3, d0, d1, d2, d3]) = header.get(12..20) else {
        return Err(DropReason::Truncated);
    };
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let host = config.raw().host;
    let ours = [Ipv4Addr::BROADCAST, host.address(), host.broadcast()].contains(&destination);
    if protocol != UDP || !ours {
        return Err(DropReason::NotForUs);
    }
    let (&[_, _, port_hi, port_lo, len_hi, len_lo, sum_hi, sum_lo], _) =
        payload.split_first_chunk::<8>().ok_or(DropReason::Udp)?;
    if [port_hi, port_lo] != SERVER_PORT {
        return Err(DropReason::NotForUs);
    }
    let udp_len = u16::from_be_bytes([len_hi, len_lo]);
    let datagram = payload.get(..usize::from(udp_len)).ok_or(DropReason::Udp)?;
    let message = datagram.get(8..).ok_or(DropReason::Udp)?;
    let checksum = u16::from_be_bytes([sum_hi, sum_lo]);
    if checksum != 0 {
        let pseudo = pseudo_header(source, destination, udp_len);
        // A frame from this machine (a veth, a bridge port, a simulated radio) that asked for checksum
        // offload reaches a packet socket with the sum of the pseudo-header in place of the checksum.
        if fold(pseudo + sum(datagram)) != 0xffff && checksum != fold(pseudo) {
            return Err(DropReason::Udp);
        }
    }
    Ok(Packet::Dhcp { source, message })
}

fn arp<'a>(packet: &[u8], source: MacAddr) -> Result<Packet<'a>, DropReason> {
    let (&head, rest) = packet.split_first_chunk::<8>().ok_or(DropReason::Arp)?;
    let (&sender, rest) = rest.split_first_chunk::<6>().ok_or(DropReason::Arp)?;
    let (&address, rest) = rest.split_first_chunk::<4>().ok_or(DropReason::Arp)?;
    let (_, rest) = rest.split_first_chunk::<6>().ok_or(DropReason::Arp)?;
    let (&target, _) = rest.split_first_chunk::<4>().ok_or(DropReason::Arp)?;
    let ([0, 1, 0x08, 0x00, 6, 4, 0, 1] | [0, 1, 0x08, 0x00, 6, 4, 0, 2]) = head else {
        return Err(DropReason::Arp);
    };
    let sender = MacAddr(sender);
    // Who answers through a bridge or a proxy still says who it is; nobody is nobody.
    let sender = if sender == MacAddr::ZERO || sender.is_multicast() { source } else { sender };
    Ok(Packet::Arp { sender, address: Ipv4Addr::from(address), target: Ipv4Addr::from(target) })
}

/// Writes an ARP probe for `address` (RFC 5227 §2.1.1: the sender's address is zero, so no cache is touched).
pub(crate) fn arp_probe(out: &mut alloc::vec::Vec<u8>, mac: MacAddr, address: Ipv4Addr) {
    out.clear();
    out.extend_from_slice(&MacAddr::BROADCAST.0);
    out.extend_from_slice(&mac.0);
    out.extend_from_slice(&ETHERTYPE_ARP);
    out.extend_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    out.extend_from_slice(&mac.0);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&address.octets());
    out.resize(60, 0);
}

/// The unfolded sum of the UDP pseudo-header.
pub(crate) fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, udp_len: u16) -> u64 {
    sum(&source.octets()) + sum(&destination.octets()) + u64::from(UDP) + u64::from(udp_len)
}

/// The unfolded ones' complement sum (RFC 1071) of `bytes`, which start at an even offset.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let (halves, odd) = rest.as_chunks::<2>();
    total += halves.iter().map(|half| u64::from(u16::from_be_bytes(*half))).sum::<u64>();
    total + odd.iter().map(|&byte| u64::from(byte) << 8).sum::<u64>()
}

/// Folds a sum to 16 bits.
pub(crate) const fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}
