//! Sends packets as a device would and follows them through everybody's rules.
//!
//! A packet has to come in by the interface of the segment, be it a bridge, an Ethernet port or an access point, as a
//! device's does: seen by every hook, judged, translated, forwarded. So it is sent into one end of a pair of interfaces
//! made for it, and what comes out at the other end is redirected to where the segment's packets come in
//! (`mirred ingress redirect`). Only packets from the probe's own address take that way; the segment, its bridge and
//! its devices see nothing of it but, if the device has that address, the answers.
//!
//! | what is made | undone by |
//! |---|---|
//! | the pair `hnprobe0`, `hnprobe1`, and what hangs on it | the removal of the interface, in the journal |
//! | the table `inet hostednet_trace` | its removal, in the journal |

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use hn_nft::{Explanation, Probe, Remedy, Trail, Trails, Way, wire};
use hn_types::{
    IfName, MacAddr,
    diagnosis::{Examination, ExaminedSegment, Fate, Found, Traced},
};
use netlink_sys::Socket;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
        sockopt::set_socket_recv_buffer_size,
    },
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    firewall::{self, foreign},
    netlink::{NETFILTER, Netlink, ROUTE, Refusal, attribute, nested, text},
    network::tables::{self, LinkRow},
    sys::{bind_packet, watched},
    undo::{EntryId, Undo, UndoJournal},
};

/// How long packets are followed in all, and when they are sent once more.
const PATIENCE: Duration = Duration::from_millis(1_900);
const AGAIN: Duration = Duration::from_millis(800);
/// Messages of a trace that may wait, in bytes.
const BUFFER: usize = 1 << 20;
/// Messages that are read; more are somebody else's.
const MESSAGES: u32 = 20_000;
/// The ends of the pair: packets are sent into the second and come out of the first.
const ENDS: [&str; 2] = ["hnprobe0", "hnprobe1"];

const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;
const HTTPS: u16 = 443;

/// Follows a name query and the beginning of a connection from the device, or from an address nobody has, and a few of
/// the packets that the device sends by itself.
pub(super) async fn packets(
    journal: &Rc<UndoJournal>,
    question: &Examination,
    segment: ExaminedSegment,
    row: &LinkRow,
    gateway: Option<Ipv4Addr>,
) -> Found<Vec<Traced>> {
    let public = question.public.ok_or("there is no public connection")?;
    let target = target(question, segment, gateway).ok_or("there is nothing outside to send a packet to")?;
    let entrance = row.address.ok_or_else(|| format!("{} has no link-layer address", row.name))?;
    let mut random = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").map_err(words)?, &mut random)
        .map_err(words)?;
    let [a, b, c, d, ..] = random;
    let flow = Flow {
        entrance,
        // A stranger's address is one of its own making (locally administered).
        mac: question.mac.unwrap_or(MacAddr([0x02, b'h', b'n', b, c, d])),
        source: question.address.unwrap_or(segment.spare),
        target,
        // Between the ports that systems choose from and those that servers have.
        port: 20_000 + u16::from_ne_bytes([a, b]) % 10_000,
        query: super::hear::query(random),
    };
    let probe = Probe { private: row.name, public, port: flow.port, device: question.mac };
    let ear = listen()?;
    let mut made = Made { journal: Rc::clone(journal), entries: Vec::new() };
    made.note(Undo::TraceTable)?;
    firewall::trace(&probe).await.map_err(|error| error.cause)?;
    let mouth = made.injector(row.index, entrance, flow.source)?;
    let trails = follow(&ear, &mouth, &flow).await?;
    drop(made);
    let rules = foreign::rules().map_err(|error| error.cause)?;
    Ok(told(&trails, &flow, |trail| rules.explain(trail, row.name, Some(public))))
}

/// Where packets go: a name server that is really outside, else the gateway.
fn target(question: &Examination, segment: ExaminedSegment, gateway: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let outside = |address: &Ipv4Addr| !address.is_loopback() && !segment.address.contains(*address);
    let mut servers = question.upstreams.iter().filter_map(|server| match server.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    servers.find(outside).or(gateway)
}

/// The packets of a probe.
struct Flow {
    entrance: MacAddr,
    mac: MacAddr,
    source: Ipv4Addr,
    target: Ipv4Addr,
    port: u16,
    query: Vec<u8>,
}

impl Flow {
    /// A name query in UDP.
    fn query(&self) -> Vec<u8> {
        let length = u16::try_from(8 + self.query.len()).unwrap_or(8);
        let mut udp = Vec::with_capacity(usize::from(length));
        udp.extend(self.port.to_be_bytes());
        udp.extend(DNS.to_be_bytes());
        udp.extend(length.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(&self.query);
        self.frame(UDP, udp, 6)
    }

    /// The first packet of a connection in TCP (RFC 9293 §3.1).
    fn beginning(&self) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(24);
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(HTTPS.to_be_bytes());
        tcp.extend(self.query.iter().cycle().take(4));
        tcp.extend([0; 4]);
        // Six words long, SYN, a window, and the largest segment.
        tcp.extend([0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]);
        self.frame(TCP, tcp, 16)
    }

    /// Ethernet and IPv4 around a payload whose checksum stands at `at`.
    fn frame(&self, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).unwrap_or(20);
        let mut pseudo: Vec<u8> = [self.source.octets(), self.target.octets()].concat();
        pseudo.extend([0, protocol]);
        pseudo.extend((length - 20).to_be_bytes());
        pseudo.extend(&payload);
        let sum = checksum(&pseudo);
        // In UDP zero means none.
        let sum = if sum == 0 && protocol == UDP { u16::MAX } else { sum };
        for (to, from) in payload.iter_mut().skip(at).zip(sum.to_be_bytes()) {
            *to = from;
        }
        let mut header = vec![0x45, 0];
        header.extend(length.to_be_bytes());
        header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend(self.source.octets());
        header.extend(self.target.octets());
        let sum = checksum(&header);
        for (to, from) in header.iter_mut().skip(10).zip(sum.to_be_bytes()) {
            *to = from;
        }
        let mut frame = [self.entrance.0, self.mac.0].concat();
        frame.extend([0x08, 0x00]);
        frame.extend(header);
        frame.extend(payload);
        frame
    }

    /// Whether a packet that was followed is this probe's.
    fn owns(&self, trail: &Trail) -> bool {
        let port = |end: Option<(Ipv4Addr, u16)>| end.map(|(_, port)| port);
        match trail.way {
            Way::Out => port(trail.source) == Some(self.port),
            Way::Back => matches!(port(trail.source), Some(DNS | HTTPS)),
        }
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair.first().copied().unwrap_or(0),
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

/// What was made for an examination; undone when this is dropped, newest first.
struct Made {
    journal: Rc<UndoJournal>,
    entries: Vec<EntryId>,
}

impl Made {
    fn note(&mut self, undo: Undo) -> Found<()> {
        self.entries.push(self.journal.record(undo).map_err(|error| error.cause)?);
        Ok(())
    }

    /// The pair of interfaces, and the socket on its far end.
    fn injector(&mut self, segment: u32, entrance: MacAddr, source: Ipv4Addr) -> Found<OwnedFd> {
        let said = |refusal: Refusal| refusal.cause();
        let [near, far]: [IfName; 2] =
            ENDS.map(|name| name.parse().expect("a name written in this file is valid"));
        let route = Netlink::open(ROUTE).map_err(words)?;
        for name in [near, far] {
            if tables::link(&route, name).map_err(said)?.is_some() {
                return Err(format!("an interface called {name} is there already"));
            }
        }
        // One takes the other with it.
        self.note(Undo::Link { name: far, index: 0 })?;
        self.note(Undo::Link { name: near, index: 0 })?;
        make_pair(&route, near, far, entrance).map_err(said)?;
        for name in [near, far] {
            // Best effort: where there is no IPv6 there is nothing to be quiet about.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
        let index = |name: IfName| -> Found<u32> {
            let row = tables::link(&route, name).map_err(said)?;
            row.map(|row| row.index).ok_or_else(|| format!("{name} is gone"))
        };
        let (near, far) = (index(near)?, index(far)?);
        redirect(&route, near, segment, source).map_err(|refusal| {
            format!("packets cannot be redirected (act_mirred, cls_u32, sch_ingress): {}", refusal.cause())
        })?;
        for index in [near, far] {
            set_up(&route, index).map_err(said)?;
        }
        let open = || -> io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
            bind_packet(socket.as_fd(), far)?;
            Ok(socket)
        };
        open().map_err(words)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        while let Some(entry) = self.entries.pop() {
            if let Err(error) = self.journal.undo(entry) {
                tracing::warn!(%error, "what was made for an examination stays until the next start");
            }
        }
    }
}

fn words(error: io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), crate::netlink::errno_text)
}

/// `struct ifinfomsg`.
fn link_body(index: u32, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for field in [index, flags, flags] {
        body.extend(field.to_ne_bytes());
    }
    body
}

/// A pair of Ethernet interfaces. The near one has the address of the segment's interface: what is sent there is for it.
fn make_pair(route: &Netlink, near: IfName, far: IfName, entrance: MacAddr) -> Result<(), Refusal> {
    const NEW_LINK: u16 = 16;
    const CREATE_EXCLUSIVELY: u16 = 0x600;
    const ADDRESS: u16 = 1;
    const NAME: u16 = 3;
    const INFO: u16 = 18;
    let mut body = link_body(0, 0);
    attribute(&mut body, NAME, &text(near.as_str()));
    attribute(&mut body, ADDRESS, &entrance.0);
    nested(&mut body, INFO, |info| {
        attribute(info, 1, b"veth\0");
        nested(info, 2, |data| {
            nested(data, 1, |peer| {
                peer.extend(link_body(0, 0));
                attribute(peer, NAME, &text(far.as_str()));
            });
        });
    });
    route.request(NEW_LINK, CREATE_EXCLUSIVELY, &body)
}

fn set_up(route: &Netlink, index: u32) -> Result<(), Refusal> {
    const SET_LINK: u16 = 19;
    const UP: u32 = 1;
    // Nobody there answers for anybody.
    const NO_ARP: u32 = 0x80;
    route.request(SET_LINK, 0, &link_body(index, UP | NO_ARP))
}

/// What comes in on `from` with the source address `source` comes in on `to` instead.
fn redirect(route: &Netlink, from: u32, to: u32, source: Ipv4Addr) -> Result<(), Refusal> {
    const NEW_DISCIPLINE: u16 = 36;
    const NEW_FILTER: u16 = 44;
    const CREATE_EXCLUSIVELY: u16 = 0x600;
    const CLSACT: u32 = 0xffff_fff1;
    /// The place of what comes in, below it (`TC_H_MAJ(CLSACT) | TC_H_MIN_INGRESS`).
    const INGRESS: u32 = 0xffff_fff2;
    const KIND: u16 = 1;
    const OPTIONS: u16 = 2;
    /// `struct tcmsg`.
    fn body(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
        let mut body = vec![0; 4];
        for field in [index, handle, parent, info] {
            body.extend(field.to_ne_bytes());
        }
        body
    }
    let mut discipline = body(from, 0xffff_0000, CLSACT, 0);
    attribute(&mut discipline, KIND, b"clsact\0");
    route.request(NEW_DISCIPLINE, CREATE_EXCLUSIVELY, &discipline)?;
    // Priority 1, protocol IPv4 in network order.
    let mut filter = body(from, 0, INGRESS, 1 << 16 | u32::from(0x0800_u16.to_be()));
    attribute(&mut filter, KIND, b"u32\0");
    nested(&mut filter, OPTIONS, |options| {
        const SELECTION: u16 = 5;
        const ACTIONS: u16 = 7;
        // `struct tc_u32_sel` with one key: a final match of the 32 bits 12 bytes behind the network header.
        let mut selection = vec![1, 0, 1, 0];
        selection.extend([0; 12]);
        selection.extend([0xff; 4]);
        selection.extend(source.octets());
        selection.extend(12_u32.to_ne_bytes());
        selection.extend([0; 4]);
        attribute(options, SELECTION, &selection);
        nested(options, ACTIONS, |actions| {
            nested(actions, 1, |action| {
                attribute(action, KIND, b"mirred\0");
                nested(action, OPTIONS, |options| {
                    const PARAMETERS: u16 = 2;
                    const STOLEN: u32 = 4;
                    const INGRESS_REDIRECT: u32 = 3;
                    // `struct tc_mirred`: index, capabilities, action, references, bindings, what, interface.
                    let mut parameters = Vec::new();
                    for field in [0, 0, STOLEN, 0, 0, INGRESS_REDIRECT, to] {
                        parameters.extend(field.to_ne_bytes());
                    }
                    attribute(options, PARAMETERS, &parameters);
                });
            });
        });
    });
    route.request(NEW_FILTER, CREATE_EXCLUSIVELY, &filter)
}

/// A socket that hears traces.
fn listen() -> Found<AsyncFd<OwnedFd>> {
    const GROUP: u32 = 9;
    let open = || -> io::Result<OwnedFd> {
        let mut socket = Socket::new(NETFILTER)?;
        socket.bind_auto()?;
        socket.add_membership(GROUP)?;
        socket.set_non_blocking(true)?;
        let _ = set_socket_recv_buffer_size(socket.as_fd(), BUFFER);
        socket.as_fd().try_clone_to_owned()
    };
    watched(open().map_err(words)?, Interest::READABLE).map_err(words)
}

/// Sends the packets and follows them until everything is told.
async fn follow(ear: &AsyncFd<OwnedFd>, mouth: &OwnedFd, flow: &Flow) -> Found<Trails> {
    let begun = Instant::now();
    let end = begun + PATIENCE;
    let mut again = Some(begun + AGAIN);
    let mut trails = Trails::default();
    let mut read = 0_u32;
    let mut buffer = vec![0; 64 * 1024];
    let query = flow.query();
    speak(mouth, &query).await?;
    speak(mouth, &flow.beginning()).await?;
    loop {
        if Instant::now() >= end || read >= MESSAGES || settled(&trails, flow) {
            return Ok(trails);
        }
        tokio::select! {
            biased;
            () = sleep_until(again.unwrap_or(end)), if again.is_some() => {
                again = None;
                speak(mouth, &query).await?;
            }
            ready = timeout_at(end, ear.readable()) => {
                let Ok(ready) = ready else { return Ok(trails) };
                let mut ready = ready.map_err(words)?;
                for _ in 0..64 {
                    match recv(ear.get_ref(), &mut buffer[..], RecvFlags::DONTWAIT) {
                        Ok((length, _)) => {
                            for reply in wire::replies(buffer.get(..length).unwrap_or_default()) {
                                read += 1;
                                if let Ok(wire::Content::Record(record)) = reply.map(|reply| reply.content) {
                                    // A message that makes no sense is one less to learn from.
                                    let _ = trails.absorb(record);
                                }
                            }
                        }
                        Err(Errno::AGAIN) => {
                            ready.clear_ready();
                            break;
                        }
                        // Messages were lost; those that follow still count.
                        Err(Errno::INTR | Errno::NOBUFS) => {}
                        Err(errno) => return Err(crate::netlink::errno_text(errno.raw_os_error())),
                    }
                }
            }
        }
    }
}

/// Sends a frame. The interface has only just been set up: for a moment it may say that it is down.
async fn speak(mouth: &OwnedFd, frame: &[u8]) -> Found<()> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        match send(mouth, frame, SendFlags::DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::NETDOWN | Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(errno) => return Err(crate::netlink::errno_text(errno.raw_os_error())),
        }
    }
    Err("the probe's interface does not come up".to_owned())
}

/// Whether nothing more is awaited: what went out has its end, and an answer to the query is back.
fn settled(trails: &Trails, flow: &Flow) -> bool {
    let ended = |way: Way, protocol: u8| {
        trails
            .iter()
            .filter(|trail| flow.owns(trail) && trail.way == way && trail.protocol == protocol)
            .find_map(|trail| (trail.passed || trail.killer.is_some()).then_some(trail.passed))
    };
    match (ended(Way::Out, UDP), ended(Way::Out, TCP)) {
        (Some(true), Some(_)) => ended(Way::Back, UDP).is_some(),
        (Some(false), Some(_)) => true,
        _ => false,
    }
}

/// What the trails say, in words; `explain` knows the rules.
fn told(trails: &Trails, flow: &Flow, explain: impl Fn(&Trail) -> Option<Explanation>) -> Vec<Traced> {
    let fate = |trail: &Trail| match explain(trail) {
        Some(Explanation { owner, place, rule, remedy }) => {
            let (commands, advice) = match remedy {
                Remedy::Run(commands) => (commands, String::new()),
                Remedy::Ask(advice) => (Vec::new(), advice),
            };
            let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
            Fate::Dropped { owner, place, rule, commands, advice }
        }
        None if trail.passed => Fate::Passed,
        None => Fate::Vanished,
    };
    let best = |way: Way, protocol: u8| {
        let mut own = trails.iter().filter(|it| flow.owns(it) && it.way == way && it.protocol == protocol);
        let first = own.next()?;
        // Sent twice: whatever got through did.
        Some(own.find(|trail| trail.passed).filter(|_| !first.passed).unwrap_or(first))
    };
    let target = flow.target;
    let mut all = Vec::new();
    for (protocol, packet) in [(UDP, "a name query to"), (TCP, "a connection to")] {
        let fate = best(Way::Out, protocol).map_or(Fate::Unseen, fate);
        all.push(Traced { packet: format!("{packet} {target}"), real: false, answer: false, fate });
    }
    if all.first().is_some_and(|query| query.fate == Fate::Passed) {
        let fate = best(Way::Back, UDP).map_or(Fate::Unseen, fate);
        all.push(Traced { packet: format!("the answer of {target}"), real: false, answer: true, fate });
    }
    for trail in trails.iter().filter(|trail| !flow.owns(trail) && trail.way == Way::Out) {
        // What is for this host goes nowhere else.
        if let Some((destination, port)) = trail.destination
            && trail.killer.is_some()
        {
            let name = match trail.protocol {
                TCP => "TCP",
                UDP => "UDP",
                _ => "packets",
            };
            let packet = format!("{name} of the device to {destination} port {port}");
            if !all.iter().any(|traced| traced.packet == packet) {
                all.push(Traced { packet, real: true, answer: false, fate: fate(trail) });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            entrance: MacAddr([2, 0, 0, 0, 0, 1]),
            mac: MacAddr([2, 0, 0, 0, 0, 7]),
            source: Ipv4Addr::new(192, 168, 137, 7),
            target: Ipv4Addr::new(9, 9, 9, 9),
            port: 20_007,
            query: super::super::hear::query([1, 2, 3, 4, 5, 6, 7, 8]),
        }
    }

    /// Sums to zero with its checksum in it.
    fn sound(frame: &[u8]) -> bool {
        let (header, payload) = frame[14..].split_at(20);
        let mut pseudo = header[12..20].to_vec();
        pseudo.extend([0, header[9]]);
        pseudo.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        pseudo.extend(payload);
        checksum(header) == 0 && checksum(&pseudo) == 0
    }

    #[test]
    fn the_packets_of_a_probe_are_what_a_device_would_send() {
        let flow = flow();
        for (frame, protocol, port) in [(flow.query(), UDP, 53), (flow.beginning(), TCP, 443)] {
            assert!(sound(&frame), "{frame:02x?}");
            assert_eq!(&frame[..12], &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7]);
            assert_eq!(frame[23], protocol);
            assert_eq!(&frame[26..34], &[192, 168, 137, 7, 9, 9, 9, 9]);
            assert_eq!(u16::from_be_bytes([frame[36], frame[37]]), port);
            assert_eq!(usize::from(u16::from_be_bytes([frame[16], frame[17]])), frame.len() - 14);
        }
        assert_eq!(flow.beginning()[47], 0x02, "a SYN and nothing else");
    }

    #[test]
    fn packets_go_outside_and_never_to_ourselves() {
        let segment = ExaminedSegment {
            interface: "lan0".parse().expect("valid"),
            address: "192.168.137.1/24".parse().expect("valid"),
            spare: Ipv4Addr::new(192, 168, 137, 254),
        };
        let with = |servers: &[&str]| Examination {
            upstreams: servers.iter().map(|server| server.parse().expect("valid")).collect(),
            ..Examination::default()
        };
        let gateway = Some(Ipv4Addr::new(10, 0, 0, 1));
        let outside = with(&["127.0.0.53:53", "192.168.137.1:53", "[2001:db8::1]:53", "9.9.9.9:53"]);
        assert_eq!(target(&outside, segment, gateway), Some(Ipv4Addr::new(9, 9, 9, 9)));
        assert_eq!(target(&with(&["127.0.0.53:53"]), segment, gateway), gateway);
        assert_eq!(target(&with(&[]), segment, None), None);
    }

    #[test]
    fn what_was_never_seen_is_said_to_be_unseen() {
        let told = told(&Trails::default(), &flow(), |_| None);
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|traced| traced.fate == Fate::Unseen && !traced.real));
        assert!(!settled(&Trails::default(), &flow()));
    }
}
