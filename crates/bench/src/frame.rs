//! Frames as clients make and read them: ARP, and DHCP or plain UDP in IPv4 in Ethernet.
//!
//! Only what a load generator needs, without checks that cost more than the server under test.

use std::net::Ipv4Addr;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

pub(crate) const BROADCAST: Mac = [0xff; 6];

/// Where the payload of UDP in IPv4 (without options) in Ethernet begins.
pub(crate) const UDP_PAYLOAD: usize = 42;
/// Where the options of a DHCP message begin in its frame: after the magic cookie.
const OPTIONS: usize = UDP_PAYLOAD + 240;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Bytes of a DHCP frame of ours: the message is padded to the 300 bytes of BOOTP.
const DHCP_FRAME: usize = UDP_PAYLOAD + 300;

/// The port our client sends its probe through NAT from: 68, so that one packet filter covers both.
pub(crate) const DHCP_CLIENT: u16 = 68;

/// DHCP message types (RFC 2132 §9.6).
pub(crate) mod kind {
    pub(crate) const DISCOVER: u8 = 1;
    pub(crate) const OFFER: u8 = 2;
    pub(crate) const REQUEST: u8 = 3;
    pub(crate) const ACK: u8 = 5;
    pub(crate) const NAK: u8 = 6;
}

/// What a client says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Say {
    /// DISCOVER.
    Discover,
    /// REQUEST of an offered address: (address, server).
    Request(Ipv4Addr, Ipv4Addr),
    /// REQUEST that renews: (own address, server), unicast to the server's hardware address.
    Renew(Ipv4Addr, Ipv4Addr, Mac),
}

/// Writes a client's message; returns the length of the frame. `broadcast` asks for replies by broadcast.
pub(crate) fn dhcp(slot: &mut [u8], say: Say, mac: Mac, xid: u32, broadcast: bool) -> usize {
    let frame = &mut slot[..DHCP_FRAME];
    frame.fill(0);
    let any = (Ipv4Addr::UNSPECIFIED, DHCP_CLIENT);
    let (to_mac, from, to) = match say {
        Say::Discover | Say::Request(..) => (BROADCAST, any, (Ipv4Addr::BROADCAST, 67)),
        Say::Renew(own, server, server_mac) => (server_mac, (own, DHCP_CLIENT), (server, 67)),
    };
    frame[..6].copy_from_slice(&to_mac);
    frame[6..12].copy_from_slice(&mac);
    ip_udp(frame, from, to, 300);
    let message = &mut frame[UDP_PAYLOAD..];
    message[0] = 1;
    message[1] = 1;
    message[2] = 6;
    message[4..8].copy_from_slice(&xid.to_be_bytes());
    if broadcast && !matches!(say, Say::Renew(..)) {
        message[10] = 0x80;
    }
    if let Say::Renew(own, ..) = say {
        message[12..16].copy_from_slice(&own.octets());
    }
    message[28..34].copy_from_slice(&mac);
    message[236..240].copy_from_slice(&COOKIE);
    let mut at = OPTIONS;
    let mut option = |code: u8, value: &[u8]| {
        frame[at] = code;
        frame[at + 1] = u8::try_from(value.len()).unwrap_or(0);
        frame[at + 2..at + 2 + value.len()].copy_from_slice(value);
        at += 2 + value.len();
    };
    match say {
        Say::Discover => option(53, &[kind::DISCOVER]),
        Say::Renew(..) => option(53, &[kind::REQUEST]),
        Say::Request(address, server) => {
            option(53, &[kind::REQUEST]);
            option(50, &address.octets());
            option(54, &server.octets());
        }
    }
    option(55, &[1, 3, 6, 15, 28, 51, 58]);
    frame[at] = 255;
    DHCP_FRAME
}

/// What a server says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    /// The address offered or given.
    pub(crate) address: Ipv4Addr,
    /// Option 54.
    pub(crate) server: Ipv4Addr,
    /// Who sent the frame.
    pub(crate) from: Mac,
}

/// Reads a server's message; `None` for anything else.
pub(crate) fn reply(frame: &[u8]) -> Option<Reply> {
    let message = frame.get(UDP_PAYLOAD..)?;
    if udp_ports(frame)? != (67, DHCP_CLIENT) || *message.first()? != 2 || message.get(236..240)? != COOKIE {
        return None;
    }
    let mut reply = Reply {
        kind: 0,
        xid: u32::from_be_bytes(array(message, 4)?),
        address: Ipv4Addr::from(array::<4>(message, 16)?),
        server: Ipv4Addr::UNSPECIFIED,
        from: array(frame, 6)?,
    };
    let mut options = frame.get(OPTIONS..)?;
    while let [code, rest @ ..] = options {
        match *code {
            255 => break,
            0 => options = rest,
            code => {
                let (length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                match code {
                    53 => reply.kind = *value.first()?,
                    54 => reply.server = Ipv4Addr::from(array::<4>(value, 0)?),
                    _ => {}
                }
                options = rest;
            }
        }
    }
    Some(reply)
}

/// The source and destination ports when this is UDP in IPv4 without options.
pub(crate) fn udp_ports(frame: &[u8]) -> Option<(u16, u16)> {
    let plain = frame.get(12..15)? == [0x08, 0x00, 0x45] && *frame.get(23)? == 17;
    plain.then_some(())?;
    Some((u16::from_be_bytes(array(frame, 34)?), u16::from_be_bytes(array(frame, 36)?)))
}

/// Writes IPv4 and UDP headers for `payload` bytes behind the Ethernet addresses, which are the caller's. The
/// UDP checksum is left out, as RFC 768 allows.
pub(crate) fn ip_udp(frame: &mut [u8], from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: usize) {
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip = &mut frame[14..34];
    ip.fill(0);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length(28 + payload));
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&from.0.octets());
    ip[16..20].copy_from_slice(&to.0.octets());
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame[34..36].copy_from_slice(&from.1.to_be_bytes());
    frame[36..38].copy_from_slice(&to.1.to_be_bytes());
    frame[38..40].copy_from_slice(&length(8 + payload));
    frame[40..42].copy_from_slice(&[0, 0]);
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The address somebody asks for, when this is an ARP request.
pub(crate) fn arp_target(frame: &[u8]) -> Option<Ipv4Addr> {
    let request = frame.get(12..14)? == [0x08, 0x06] && frame.get(20..22)? == [0, 1];
    request.then_some(())?;
    Some(Ipv4Addr::from(array::<4>(frame, 38)?))
}

/// Writes the answer "`mac` has it" to an ARP request; returns its length.
pub(crate) fn arp_answer(slot: &mut [u8], request: &[u8], mac: Mac) -> usize {
    slot[..6].copy_from_slice(&request[6..12]);
    slot[6..12].copy_from_slice(&mac);
    slot[12..20].copy_from_slice(&request[12..20]);
    slot[20..22].copy_from_slice(&[0, 2]);
    slot[22..28].copy_from_slice(&mac);
    slot[28..32].copy_from_slice(&request[38..42]);
    slot[32..42].copy_from_slice(&request[22..32]);
    42
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn a_request_carries_what_the_server_looks_for() {
        let mut slot = [0; 512];
        let (address, server) = (Ipv4Addr::new(10, 77, 3, 4), Ipv4Addr::new(10, 77, 0, 1));
        let length = dhcp(&mut slot, Say::Request(address, server), MAC, 0x0102_0304, true);
        assert_eq!(length, 342);
        assert_eq!(udp_ports(&slot[..length]), Some((68, 67)));
        assert_eq!(checksum(&slot[14..34]), 0);
        assert_eq!(slot[OPTIONS..OPTIONS + 9], [53, 1, 3, 50, 4, 10, 77, 3, 4]);
        // A client's message is no reply.
        assert!(reply(&slot[..length]).is_none());
    }

    #[test]
    fn a_reply_is_read_and_a_cut_one_is_not() {
        let mut slot = [0; 512];
        let length = dhcp(&mut slot, Say::Discover, MAC, 7, false);
        slot[34..38].copy_from_slice(&[0, 67, 0, 68]);
        slot[UDP_PAYLOAD] = 2;
        slot[UDP_PAYLOAD + 16..UDP_PAYLOAD + 20].copy_from_slice(&[10, 77, 0, 9]);
        slot[OPTIONS..OPTIONS + 10].copy_from_slice(&[53, 1, kind::ACK, 0, 54, 4, 10, 77, 0, 1]);
        slot[OPTIONS + 10] = 255;
        let read = reply(&slot[..length]).unwrap();
        assert_eq!((read.kind, read.xid), (kind::ACK, 7));
        assert_eq!((read.address, read.server), (Ipv4Addr::new(10, 77, 0, 9), Ipv4Addr::new(10, 77, 0, 1)));
        assert!(reply(&slot[..OPTIONS + 7]).is_none());
    }

    #[test]
    fn an_arp_request_is_answered_to_its_sender() {
        let mut request = [0; 42];
        request[..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1]);
        request[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        request[22..32].copy_from_slice(&[2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        request[38..42].copy_from_slice(&[10, 0, 0, 2]);
        assert_eq!(arp_target(&request), Some(Ipv4Addr::new(10, 0, 0, 2)));
        let mut slot = [0; 64];
        assert_eq!(arp_answer(&mut slot, &request, MAC), 42);
        assert_eq!(slot[..6], request[6..12]);
        assert_eq!(slot[28..32], [10, 0, 0, 2]);
        assert_eq!(slot[38..42], [10, 0, 0, 1]);
        assert_eq!(arp_target(&slot), None);
    }
}
