//! Listens on an Ethernet segment for a moment, and asks by ARP.

use std::{
    net::Ipv4Addr,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use hn_types::{
    IfName, MacAddr,
    diagnosis::{Found, Gateway, Heard, Speaker},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{sleep_until, timeout_at},
};

use crate::{network::tables::LinkRow, packet, sys};

/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
/// When questions are asked, after the beginning.
const QUESTIONS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(700)];
/// How long the gateway may take in all.
const GATEWAY: Duration = Duration::from_millis(1_200);
/// Frames that are looked at; more say nothing new.
const FRAMES: u32 = 50_000;
/// Addresses remembered of one device.
const ADDRESSES: usize = 4;

/// Whether an interface has link-layer addresses to ask for.
pub(super) const fn speaks_arp(row: &LinkRow) -> bool {
    row.hardware == ETHERNET && row.address.is_some()
}

/// What a frame says about who sent it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    mac: MacAddr,
    address: Option<Ipv4Addr>,
    /// It is an ARP answer.
    answer: bool,
    /// It asks for an address by DHCP.
    request: bool,
}

/// Listens to what devices say, and asks meanwhile who has `wanted`.
pub(super) async fn segment(
    row: &LinkRow,
    own: Ipv4Addr,
    wanted: Option<Ipv4Addr>,
    within: Duration,
) -> Found<Heard> {
    let mut heard = Heard { within, ..Heard::default() };
    let mut ear = Ear::open(row.name, row.index, row.address, own)?;
    ear.listen(within, wanted, |said| {
        note(&mut heard, said);
        if said.answer && said.address.is_some() && said.address == wanted {
            heard.answered = Some(said.mac);
        }
        heard.frames < FRAMES
    })
    .await?;
    Ok(heard)
}

/// Asks the gateway.
pub(super) async fn gateway(row: &LinkRow, own: Ipv4Addr, address: Ipv4Addr) -> Found<Gateway> {
    let mut ear = Ear::open(row.name, row.index, row.address, own)?;
    let begun = Instant::now();
    let mut answer = None;
    let asked = ear
        .listen(GATEWAY, Some(address), |said| {
            if said.answer && said.address == Some(address) {
                answer = Some((said.mac, begun.elapsed()));
            }
            answer.is_none()
        })
        .await?;
    Ok(Gateway { address, asked, answer })
}

fn note(heard: &mut Heard, said: &Said) {
    heard.frames += 1;
    let known = heard.speakers.iter().position(|speaker| speaker.mac == said.mac);
    let place = match known {
        Some(place) => place,
        None if heard.speakers.len() < Heard::LIMIT => {
            let speaker = Speaker { mac: said.mac, frames: 0, addresses: Vec::new(), requests: 0 };
            heard.speakers.push(speaker);
            heard.speakers.len() - 1
        }
        None => return,
    };
    let Some(speaker) = heard.speakers.get_mut(place) else { return };
    speaker.frames += 1;
    speaker.requests += u32::from(said.request);
    if let Some(address) = said.address.filter(|address| !address.is_unspecified())
        && !speaker.addresses.contains(&address)
        && speaker.addresses.len() < ADDRESSES
    {
        speaker.addresses.push(address);
    }
}

/// A packet socket on an interface, and who we are there.
struct Ear {
    socket: AsyncFd<OwnedFd>,
    mac: MacAddr,
    own: Ipv4Addr,
}

impl Ear {
    fn open(name: IfName, index: u32, mac: Option<MacAddr>, own: Ipv4Addr) -> Found<Self> {
        let mac = mac.ok_or_else(|| format!("{name} has no link-layer address"))?;
        let socket = packet::hearing_socket(name, index).map_err(|error| error.cause)?;
        let socket = sys::watched(socket, Interest::READABLE).map_err(|error| error.to_string())?;
        Ok(Self { socket, mac, own })
    }

    /// Listens until the time is over or `each` has heard enough; asks for `wanted` now and then. Returns how many times.
    async fn listen(
        &mut self,
        within: Duration,
        wanted: Option<Ipv4Addr>,
        mut each: impl FnMut(&Said) -> bool,
    ) -> Found<u32> {
        let begun = tokio::time::Instant::now();
        let end = begun + within;
        let mut asked = 0_u32;
        let mut times = QUESTIONS.iter().map(|after| begun + *after).peekable();
        let mut buffer = [0; 128];
        loop {
            let next = times.peek().copied().filter(|_| wanted.is_some());
            tokio::select! {
                biased;
                () = sleep_until(next.unwrap_or(end)), if next.is_some() => {
                    times.next();
                    if let Some(wanted) = wanted {
                        let question = arp_question(self.mac, self.own, wanted);
                        match send(self.socket.get_ref(), &question, SendFlags::DONTWAIT) {
                            Ok(_) => asked += 1,
                            // A full queue, or a link that is just going down: the next question may get through.
                            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NETDOWN | Errno::INTR) => {}
                            Err(errno) => return Err(crate::netlink::errno_text(errno.raw_os_error())),
                        }
                    }
                }
                ready = timeout_at(end, self.socket.readable()) => {
                    let Ok(ready) = ready else { return Ok(asked) };
                    let mut ready = ready.map_err(|error| error.to_string())?;
                    // A few at a time, so that others have their turn.
                    for _ in 0..64 {
                        match recv(self.socket.get_ref(), &mut buffer[..], RecvFlags::DONTWAIT) {
                            Ok((length, _)) => {
                                let frame = buffer.get(..length).unwrap_or_default();
                                if let Some(said) = said(frame) && !each(&said) {
                                    return Ok(asked);
                                }
                            }
                            Err(Errno::AGAIN) => {
                                ready.clear_ready();
                                break;
                            }
                            Err(Errno::INTR | Errno::NETDOWN) => {}
                            Err(errno) => return Err(crate::netlink::errno_text(errno.raw_os_error())),
                        }
                    }
                }
            }
            if tokio::time::Instant::now() >= end {
                return Ok(asked);
            }
        }
    }
}

/// RFC 826: who has `wanted`? A host without an address asks as a probe (RFC 5227).
fn arp_question(mac: MacAddr, own: Ipv4Addr, wanted: Ipv4Addr) -> [u8; 42] {
    let mut frame = [0; 42];
    let parts: [(usize, &[u8]); 7] = [
        (0, &[0xff; 6]),
        (6, &mac.0),
        (12, &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]),
        (22, &mac.0),
        (28, &own.octets()),
        (32, &[0; 6]),
        (38, &wanted.octets()),
    ];
    for (at, part) in parts {
        for (to, from) in frame.iter_mut().skip(at).zip(part) {
            *to = *from;
        }
    }
    frame
}

/// What a frame says about its sender; `None`: nothing that could be believed.
fn said(frame: &[u8]) -> Option<Said> {
    let mac = MacAddr(*frame.get(6..12)?.first_chunk::<6>()?);
    // A group address sends nothing.
    if mac.0[0] & 1 != 0 {
        return None;
    }
    let half = |at: usize| Some(u16::from_be_bytes(*frame.get(at..at + 2)?.first_chunk::<2>()?));
    let address = |at: usize| Some(Ipv4Addr::from(*frame.get(at..at + 4)?.first_chunk::<4>()?));
    match half(12)? {
        ARP => {
            let sender = MacAddr(*frame.get(22..28)?.first_chunk::<6>()?);
            let answer = half(20)? == 2;
            Some(Said { mac: sender, address: Some(address(28)?), answer, request: false })
        }
        IPV4 => {
            let header = usize::from(frame.get(14)? & 0x0f) * 4;
            let udp = *frame.get(23)? == 17 && half(20)? & 0x1fff == 0;
            let request = udp && half(14 + header + 2) == Some(67);
            Some(Said { mac, address: Some(address(26)?), answer: false, request })
        }
        _ => None,
    }
}

/// A question for the address of a name that no cache can know: below a name that is reserved for examples (RFC 2606).
pub(super) fn query(random: [u8; 8]) -> Vec<u8> {
    let [a, b, rest @ ..] = random;
    let label: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut query = vec![a, b, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [label.as_str(), "example", "com"] {
        query.push(u8::try_from(label.len()).unwrap_or_default());
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

    #[test]
    fn a_question_by_arp_tells_who_asks() {
        let own = Ipv4Addr::new(192, 168, 137, 1);
        let frame = arp_question(MAC, own, Ipv4Addr::new(192, 168, 137, 7));
        let said = said(&frame).expect("understood");
        assert_eq!(said, Said { mac: MAC, address: Some(own), answer: false, request: false });
    }

    #[test]
    fn a_request_for_a_lease_is_told_from_other_packets() {
        let mut frame = vec![0xff; 6];
        frame.extend(MAC.0);
        frame.extend([0x08, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
        frame.extend([0, 68, 0, 67, 0, 8, 0, 0]);
        assert!(said(&frame).is_some_and(|said| said.request));
        frame[37] = 53;
        assert!(said(&frame).is_some_and(|said| !said.request));
    }

    #[test]
    fn many_devices_are_counted_and_few_are_remembered() {
        let mut heard = Heard::default();
        for n in 0..200_u8 {
            for address in 0..10 {
                let mac = MacAddr([2, 0, 0, 0, 0, n]);
                let address = Some(Ipv4Addr::new(10, 0, n, address));
                note(&mut heard, &Said { mac, address, answer: false, request: true });
            }
        }
        assert_eq!((heard.frames, heard.speakers.len()), (2_000, Heard::LIMIT));
        assert!(heard.speakers.iter().all(|it| it.addresses.len() == ADDRESSES && it.requests == 10));
    }

    #[test]
    fn a_name_is_asked_for_that_no_cache_can_know() {
        let query = query([1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(query.starts_with(&[1, 2, 1, 0, 0, 1]));
        assert!(query.windows(13).any(|window| window == b"\x0c030405060708"));
        assert!(query.ends_with(b"\x07example\x03com\0\0\x01\0\x01"));
    }

    proptest! {
        #[test]
        fn no_frame_breaks_the_reading(frame in proptest::collection::vec(any::<u8>(), 0..100), kind in 0..3) {
            let mut frame = frame;
            if frame.len() > 14 && kind > 0 {
                frame[12] = 8;
                frame[13] = if kind == 1 { 0 } else { 6 };
            }
            let _ = said(&frame);
        }
    }
}
