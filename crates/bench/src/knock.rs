//! An impatient client: knocks every five milliseconds until it is served, then asks the world for an echo.
//!
//! The client's own address and route are never configured: the echo goes out as a frame to whoever gave the
//! lease, so that no time of the client's system is measured.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bed::{HOST, Helper, PORT, index, stopped};
use crate::frame::{self, Mac, Say, UDP_PAYLOAD, kind};
use crate::sys::{Batch, packet_socket};

/// The rhythm of the client.
const RHYTHM: Duration = Duration::from_millis(5);
/// Where the world echoes.
const ECHO: u16 = 7;

/// When things happened.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) offer: Option<Instant>,
    pub(crate) lease: Option<Instant>,
    /// The first reply from the world, which knows no way back but to a translated address.
    pub(crate) reply: Option<Instant>,
}

/// Echoes datagrams in the world.
pub(crate) fn echo(socket: UdpSocket, core: usize) -> Result<Helper<()>> {
    socket.set_read_timeout(Some(Helper::<()>::LOOK))?;
    Ok(Helper::start(core, move |end: &AtomicBool| {
        let mut bytes = [0; 512];
        while !end.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut bytes) {
                socket.send_to(&bytes[..length], from)?;
            }
        }
        Ok(())
    }))
}

/// The socket for [`echo`]; make it inside the world.
pub(crate) fn echo_socket() -> std::io::Result<UdpSocket> {
    UdpSocket::bind((HOST, ECHO))
}

/// Knocks until there was a reply from the world or `limit` has passed. `ready` is called just before the first
/// knock.
pub(crate) fn run(own: Mac, limit: Duration, ready: impl FnOnce()) -> Result<Seen> {
    let socket = packet_socket(index(PORT)?, frame::DHCP_CLIENT)?;
    let xid = 0x6b6e_6f63;
    let mut seen = Seen::default();
    let (mut incoming, mut outgoing) = (Batch::new(false), Batch::new(false));
    let mut say = Say::Discover;
    // The lease, and the hardware address of who gave it.
    let mut online: Option<(Ipv4Addr, Mac)> = None;
    ready();
    let began = Instant::now();
    let mut next = began;
    while began.elapsed() < limit && seen.reply.is_none() && !stopped() {
        let now = Instant::now();
        if now >= next {
            next = now + RHYTHM;
            outgoing.push(|slot| match online {
                None => frame::dhcp(slot, say, own, xid, false),
                Some((address, router)) => {
                    slot[..6].copy_from_slice(&router);
                    slot[6..12].copy_from_slice(&own);
                    frame::ip_udp(slot, (address, frame::DHCP_CLIENT), (HOST, ECHO), 18);
                    UDP_PAYLOAD + 18
                }
            });
            outgoing.send(socket.as_fd())?;
        }
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let count = incoming.receive(socket.as_fd(), false)?;
        let now = Instant::now();
        for at in 0..count {
            let bytes = incoming.bytes(at);
            if let Some((address, _)) = online {
                if frame::arp_target(bytes) == Some(address) {
                    outgoing.push(|slot| frame::arp_answer(slot, bytes, own));
                } else if frame::udp_ports(bytes) == Some((ECHO, frame::DHCP_CLIENT)) {
                    seen.reply = Some(now);
                }
                continue;
            }
            let Some(reply) = frame::reply(bytes).filter(|reply| reply.xid == xid) else { continue };
            match (reply.kind, say) {
                (kind::OFFER, Say::Discover) => {
                    seen.offer = Some(now);
                    say = Say::Request(reply.address, reply.server);
                    next = now;
                }
                (kind::ACK, Say::Request(..)) => {
                    seen.lease = Some(now);
                    online = Some((reply.address, reply.from));
                    next = now;
                }
                _ => {}
            }
        }
        outgoing.send(socket.as_fd())?;
    }
    Ok(seen)
}
