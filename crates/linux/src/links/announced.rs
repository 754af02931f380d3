//! Waiting for the kernel to be done with new IPv6 addresses.
//!
//! The kernel finishes an address behind the back of whoever gave it, and announces it then. Turning forwarding on
//! in between makes it count the anycast address of a router twice, and one of the two is never given back.

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use hn_types::Subnet6;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::{
    netlink::{ROUTE, read_u16, read_u32},
    network::tables::parse_address6,
};

/// It takes a millisecond. On a machine so busy that it takes longer nothing is lost but a line of `ip route`.
const PATIENCE: Duration = Duration::from_millis(500);

/// Announcements of addresses from the moment it was opened.
pub(super) struct Announced {
    socket: Socket,
}

impl Announced {
    pub(super) fn open() -> io::Result<Self> {
        // RTMGRP_IPV6_IFADDR (linux/rtnetlink.h).
        const GROUP: u32 = 0x100;
        let mut socket = Socket::new(ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUP))?;
        Ok(Self { socket })
    }

    /// Until each of `wanted`, by index of its interface, has been announced.
    pub(super) fn wait(&self, mut wanted: Vec<(u32, Subnet6)>) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 16 * 1024];
        while !wanted.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::debug!(?wanted, "the kernel has not announced an address of ours");
                break;
            }
            set_socket_timeout(self.socket.as_fd(), Timeout::Recv, Some(left))?;
            match rustix::net::recv(self.socket.as_fd(), &mut buffer, rustix::net::RecvFlags::empty()) {
                Ok((_, length)) => {
                    for found in announced(buffer.get(..length).unwrap_or_default()) {
                        wanted.retain(|wanted| *wanted != found);
                    }
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The addresses that a datagram of the kernel announces.
fn announced(datagram: &[u8]) -> Vec<(u32, Subnet6)> {
    const NEW_ADDRESS: u16 = 20;
    const HEADER: usize = 16;
    let mut found = Vec::new();
    let mut rest = datagram;
    while let (Some(length), Some(kind)) = (read_u32(rest, 0), read_u16(rest, 4)) {
        let length = length as usize;
        let Some(body) = rest.get(HEADER..length) else { break };
        if kind == NEW_ADDRESS {
            found.extend(parse_address6(body));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{attribute, message};

    #[test]
    fn every_address_of_a_datagram_is_seen() {
        let of = |kind, index: u32, last: u8| {
            let mut body = vec![10, 64, 2, 0];
            body.extend_from_slice(&index.to_ne_bytes());
            let mut octets = [0xfd; 16];
            octets[15] = last;
            attribute(&mut body, 1, &octets);
            message(kind, 0, 0, &body)
        };
        let datagram = [of(20, 3, 1), of(21, 3, 2), of(20, 4, 3)].concat();
        let seen: Vec<_> =
            announced(&datagram).iter().map(|(index, at)| (*index, at.address().octets()[15])).collect();
        assert_eq!(seen, [(3, 1), (4, 3)]);
    }

    proptest! {
        #[test]
        fn no_datagram_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = announced(&bytes);
        }
    }
}
