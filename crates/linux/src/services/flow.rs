//! Which port a flow of a device has outside, as the kernel's connection tracking knows it.

use std::net::SocketAddrV4;

use hn_types::settings::Protocol;

use crate::netlink::{NETFILTER, Netlink, attribute, attributes, nested};

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_GET` (`linux/netfilter/nfnetlink_conntrack.h`, as all below).
const GET: u16 = 0x0101;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
/// `AF_INET` in a `struct nfgenmsg` without version and resource.
const INET: [u8; 4] = [2, 0, 0, 0];

/// The port to which `remote` answers the device at `internal`; `None` while nothing flows between them.
pub(super) fn port_outside(protocol: Protocol, internal: SocketAddrV4, remote: SocketAddrV4) -> Option<u16> {
    let mut found = None;
    let question = question(protocol, internal, remote);
    // A flow that is not there is refused.
    Netlink::open(NETFILTER).ok()?.ask(GET, 0, &question, |_, message| found = answered(message)).ok()?;
    found
}

fn question(protocol: Protocol, internal: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    let mut body = INET.to_vec();
    nested(&mut body, CTA_TUPLE_ORIG, |tuple| {
        nested(tuple, CTA_TUPLE_IP, |ip| {
            attribute(ip, CTA_IP_V4_SRC, &internal.ip().octets());
            attribute(ip, CTA_IP_V4_DST, &remote.ip().octets());
        });
        nested(tuple, CTA_TUPLE_PROTO, |ports| {
            attribute(ports, CTA_PROTO_NUM, &[protocol.number()]);
            attribute(ports, CTA_PROTO_SRC_PORT, &internal.port().to_be_bytes());
            attribute(ports, CTA_PROTO_DST_PORT, &remote.port().to_be_bytes());
        });
    });
    body
}

/// Where answers go.
fn answered(message: &[u8]) -> Option<u16> {
    let part = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let reply = part(message.get(INET.len()..)?, CTA_TUPLE_REPLY)?;
    let port = part(part(reply, CTA_TUPLE_PROTO)?, CTA_PROTO_DST_PORT)?;
    Some(u16::from_be_bytes(port.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_answers_is_found_and_nothing_else_is_taken_for_it() {
        let mut message = INET.to_vec();
        for (kind, port) in [(CTA_TUPLE_ORIG, 53_u16), (CTA_TUPLE_REPLY, 50_123)] {
            nested(&mut message, kind, |tuple| {
                nested(tuple, CTA_TUPLE_PROTO, |ports| {
                    attribute(ports, CTA_PROTO_NUM, &[17]);
                    attribute(ports, CTA_PROTO_DST_PORT, &port.to_be_bytes());
                });
            });
        }
        assert_eq!(answered(&message), Some(50_123));
        for length in 0..message.len() {
            assert_eq!(answered(message.get(..length).unwrap_or_default()), None, "{length} bytes");
        }
    }
}
