//! Replies: a template with everything that never changes, patched and extended by options.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::MacAddr;

use crate::{
    config::Config,
    frame::{fold, pseudo_header, sum},
    options::{OptionWriter, ReplyType},
    wire::Request,
};

const IP: usize = 14;
const UDP: usize = IP + 20;
const BOOTP: usize = UDP + 8;
const SNAME: usize = BOOTP + 44;
const COOKIE: usize = BOOTP + 236;
const OPTIONS: usize = COOKIE + 4;
/// Smallest BOOTP message (RFC 1542 §2.1).
const BOOTP_MIN: usize = 300;
/// What every client takes, IP header included (RFC 2132 §9.10).
const SIZE_MIN: u16 = 576;
/// What an Ethernet carries.
const SIZE_MAX: u16 = 1_500;

/// What differs between replies to the same request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) kind: ReplyType,
    pub(crate) yiaddr: Ipv4Addr,
    /// Seconds the lease lasts from when the reply leaves; `None` in answers to INFORM and in refusals.
    pub(crate) lease: Option<u32>,
    pub(crate) rapid_commit: bool,
    /// Why, in a refusal.
    pub(crate) refusal: &'static str,
}

/// The part of a reply that never changes: 282 bytes up to the options.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: [u8; OPTIONS],
    /// Unfolded sum of the IP header without length, destination and checksum.
    ip_sum: u64,
}

impl Template {
    pub(crate) fn new(config: &Config) -> Self {
        let mut bytes = [0; OPTIONS];
        bytes[6..12].copy_from_slice(&config.raw().mac.0);
        bytes[12..14].copy_from_slice(&[0x08, 0x00]);
        // Version 4, five words; don't fragment; 64 hops; UDP.
        bytes[IP..IP + 10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17]);
        bytes[IP + 12..IP + 16].copy_from_slice(&config.server().octets());
        bytes[UDP..UDP + 4].copy_from_slice(&[0, 67, 0, 68]);
        bytes[BOOTP..BOOTP + 3].copy_from_slice(&[2, 1, 6]);
        bytes[COOKIE..OPTIONS].copy_from_slice(&[99, 130, 83, 99]);
        let ip_sum = sum(&bytes[IP..UDP]);
        Self { bytes, ip_sum }
    }

    /// Writes the frame of `reply` to `request` into `out`.
    pub(crate) fn build(&self, out: &mut Vec<u8>, config: &Config, request: &Request, reply: Reply) {
        let ip_max = request.max_size.unwrap_or(SIZE_MIN).clamp(SIZE_MIN, SIZE_MAX);
        out.clear();
        out.extend_from_slice(&self.bytes);

        let mut options = OptionWriter { out, limit: IP + usize::from(ip_max) };
        options.essentials(reply.kind, config);
        if let Some(seconds) = reply.lease {
            options.lease(seconds);
        }
        if reply.rapid_commit {
            options.rapid_commit();
        }
        options.client_id(request);
        if reply.kind == ReplyType::Nak {
            options.refusal(reply.refusal);
        } else {
            options.parameters(request, config);
        }
        out.push(255);
        if out.len() < BOOTP + BOOTP_MIN {
            out.resize(BOOTP + BOOTP_MIN, 0);
        }

        let (mac, destination) = self.destination(request, reply);
        let udp_len = (out.len() - UDP) as u16;
        let ip_len = udp_len + 20;
        out[..6].copy_from_slice(&mac.0);
        out[IP + 2..IP + 4].copy_from_slice(&ip_len.to_be_bytes());
        out[IP + 16..IP + 20].copy_from_slice(&destination.octets());
        let ip_sum = !fold(self.ip_sum + u64::from(ip_len) + sum(&destination.octets()));
        out[IP + 10..IP + 12].copy_from_slice(&ip_sum.to_be_bytes());
        out[UDP + 4..UDP + 6].copy_from_slice(&udp_len.to_be_bytes());

        // xid, flags and chaddr are the client's; ciaddr only in an ACK (RFC 2131 §4.3.1, table 3).
        let bootp = &mut out[BOOTP..SNAME];
        bootp[4..8].copy_from_slice(&request.head[4..8]);
        bootp[10..12].copy_from_slice(&request.head[10..12]);
        if reply.kind == ReplyType::Ack {
            bootp[12..16].copy_from_slice(&request.ciaddr.octets());
        }
        bootp[16..20].copy_from_slice(&reply.yiaddr.octets());
        bootp[28..44].copy_from_slice(&request.head[28..44]);

        // `sname` and `file` are zero and add nothing to the sum.
        let total = pseudo_header(config.server(), destination, udp_len)
            + sum(&out[UDP..SNAME])
            + sum(&out[COOKIE..]);
        let udp_sum = match !fold(total) {
            0 => 0xffff,
            checksum => checksum,
        };
        out[UDP + 6..UDP + 8].copy_from_slice(&udp_sum.to_be_bytes());
    }

    /// Where a reply goes (RFC 2131 §4.1, no relay): a refusal to everyone; to the client's address if it
    /// has one; to everyone if it asks for that; else to the address it is being given, by its MAC address.
    fn destination(&self, request: &Request, reply: Reply) -> (MacAddr, Ipv4Addr) {
        if reply.kind == ReplyType::Nak {
            (MacAddr::BROADCAST, Ipv4Addr::BROADCAST)
        } else if !request.ciaddr.is_unspecified() {
            (request.mac, request.ciaddr)
        } else if request.broadcast {
            (MacAddr::BROADCAST, Ipv4Addr::BROADCAST)
        } else {
            (request.mac, reply.yiaddr)
        }
    }
}
