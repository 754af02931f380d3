//! Ethernet, IPv4, UDP and ARP around a client's messages.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::MacAddr;

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const UDP: u8 = 17;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// The shortest Ethernet frame without its check sequence.
const SHORTEST: usize = 60;

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// A datagram to port 68, and the hardware address it came from.
    Dhcp { from: MacAddr, message: &'a [u8] },
    /// Somebody's ARP request or reply.
    Arp { sender: MacAddr, address: Ipv4Addr },
}

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) from: MacAddr,
    pub(crate) to: MacAddr,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

/// Wraps a DHCP message from a client to a server.
pub(crate) fn datagram(route: Route, message: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(message.len() + 8).unwrap_or(u16::MAX);
    let total = udp_length.saturating_add(20);
    let mut frame = Vec::with_capacity(14 + usize::from(total));
    frame.extend_from_slice(&route.to.0);
    frame.extend_from_slice(&route.from.0);
    frame.extend_from_slice(&IPV4);
    let mut header = [0x45, 0x10, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[12..16].copy_from_slice(&route.source.octets());
    header[16..20].copy_from_slice(&route.destination.octets());
    let checksum = !fold(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend_from_slice(&header);
    let mut udp = [0; 8];
    udp[0..2].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    udp[2..4].copy_from_slice(&SERVER_PORT.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    let pseudo = pseudo_header(route.source, route.destination, udp_length);
    // Zero means "no checksum"; its complement says the same sum (RFC 768).
    let checksum = match !fold(pseudo + sum(&udp) + sum(message)) {
        0 => 0xffff,
        other => other,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    frame.extend_from_slice(&udp);
    frame.extend_from_slice(message);
    frame
}

/// An ARP request for `target`; `sender` is zero for a probe (RFC 5227 §2.1.1) and equal to it for an announcement.
pub(crate) fn arp_request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST);
    frame.extend_from_slice(&MacAddr::BROADCAST.0);
    frame.extend_from_slice(&mac.0);
    frame.extend_from_slice(&ARP);
    frame.extend_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend_from_slice(&mac.0);
    frame.extend_from_slice(&sender.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target.octets());
    frame.resize(SHORTEST, 0);
    frame
}

/// Takes `frame` apart; `None` for what is not for us or not well formed. `own` is our hardware address.
pub(crate) fn parse(frame: &[u8], own: MacAddr) -> Option<Packet<'_>> {
    let (&to, rest) = frame.split_first_chunk::<6>()?;
    let (&from, rest) = rest.split_first_chunk::<6>()?;
    let (&kind, payload) = rest.split_first_chunk::<2>()?;
    let (to, from) = (MacAddr(to), MacAddr(from));
    if from == own || from.is_multicast() || (to != own && to != MacAddr::BROADCAST) {
        return None;
    }
    match kind {
        IPV4 => Some(Packet::Dhcp { from, message: ipv4(payload)? }),
        ARP => arp(payload),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<&[u8]> {
    let &[version, _, high, low, _, _, more, offset, _, protocol, ..] = packet.first_chunk::<20>()?;
    let header = usize::from(version & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 4 || header < 20 || protocol != UDP || u16::from_be_bytes([more, offset]) & 0x3fff != 0
    {
        return None;
    }
    let (header, datagram) = packet.get(..total)?.split_at_checked(header)?;
    if fold(sum(header)) != 0xffff {
        return None;
    }
    let (source, destination): ([u8; 4], [u8; 4]) =
        (header.get(12..16)?.try_into().ok()?, header.get(16..20)?.try_into().ok()?);
    let &[_, _, port_high, port_low, high, low, sum_high, sum_low] = datagram.first_chunk::<8>()?;
    let length = u16::from_be_bytes([high, low]);
    let datagram = datagram.get(..usize::from(length))?;
    let checksum = u16::from_be_bytes([sum_high, sum_low]);
    let pseudo = pseudo_header(source.into(), destination.into(), length);
    // A frame from this very machine (a veth, a simulated radio) that asked for checksum offload has the sum of the
    // pseudo-header in place of the checksum.
    let good = checksum == 0 || fold(pseudo + sum(datagram)) == 0xffff || checksum == fold(pseudo);
    (good && u16::from_be_bytes([port_high, port_low]) == CLIENT_PORT).then(|| datagram.get(8..))?
}

fn arp(packet: &[u8]) -> Option<Packet<'_>> {
    let (&head, rest) = packet.split_first_chunk::<8>()?;
    let (&sender, rest) = rest.split_first_chunk::<6>()?;
    let (&address, _) = rest.split_first_chunk::<4>()?;
    let ([0, 1, 0x08, 0x00, 6, 4, 0, 1] | [0, 1, 0x08, 0x00, 6, 4, 0, 2]) = head else { return None };
    Some(Packet::Arp { sender: MacAddr(sender), address: address.into() })
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: u16) -> u64 {
    sum(&source.octets()) + sum(&destination.octets()) + u64::from(UDP) + u64::from(length)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
    const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    /// Our frames go to port 67; an answer comes to port 68.
    fn answered(message: &[u8]) -> Vec<u8> {
        let (source, destination) = (Ipv4Addr::new(192, 168, 137, 1), Ipv4Addr::new(192, 168, 137, 9));
        let mut frame = datagram(Route { from: SERVER, to: US, source, destination }, message);
        // Swapping the two ports changes no sum.
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        frame
    }

    #[test]
    fn an_answer_is_found_in_its_frame() {
        for message in [&b"even"[..], b"odd"] {
            let frame = answered(message);
            assert_eq!(parse(&frame, US), Some(Packet::Dhcp { from: SERVER, message }));
            // Ethernet padding is not part of it.
            let mut padded = frame.clone();
            padded.resize(200, 0);
            assert_eq!(parse(&padded, US), Some(Packet::Dhcp { from: SERVER, message }));
        }
    }

    #[test]
    fn damaged_frames_and_those_of_others_are_dropped() {
        let frame = answered(b"message");
        for index in [14, 16, 20, 23, 24, 36, 40, 45] {
            let mut damaged = frame.clone();
            damaged[index] ^= 0x21;
            assert_eq!(parse(&damaged, US), None, "byte {index}");
        }
        assert_eq!(parse(&frame, SERVER), None, "our own frame");
        assert_eq!(parse(&frame, MacAddr([2, 0, 0, 0, 0, 9])), None, "another's frame");
    }

    #[test]
    fn an_arp_request_is_read_back() {
        let (us, them) = (Ipv4Addr::new(192, 168, 137, 9), Ipv4Addr::new(192, 168, 137, 1));
        let frame = arp_request(SERVER, them, us);
        assert_eq!(frame.len(), SHORTEST);
        assert_eq!(parse(&frame, US), Some(Packet::Arp { sender: SERVER, address: them }));
    }

    proptest! {
        #[test]
        fn no_frame_panics_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0..3) {
            if bytes.len() > 14 {
                bytes[..6].copy_from_slice(&US.0);
                match kind {
                    0 => bytes[12..14].copy_from_slice(&IPV4),
                    1 => bytes[12..14].copy_from_slice(&ARP),
                    _ => {}
                }
            }
            let _ = parse(&bytes, US);
        }
    }
}
