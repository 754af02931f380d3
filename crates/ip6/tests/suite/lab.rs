//! A server, a clock and clients. DHCPv6 messages are encoded and decoded by `dhcproto`; the layers around them
//! and the advertisements are taken apart by the few lines here, so that nothing of the engine's own wire code
//! is its judge.

use std::{net::Ipv6Addr, time::Duration};

use dhcproto::{
    Decodable, Decoder, Encodable, Encoder,
    v6::{DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, OptionCode, Status, StatusCode},
};
use hn_ip6::{Config, Event, Lifetimes, Limits, Output, RawConfig, Server, Uplink};
use hn_types::{MacAddr, Monotonic, Now, Wall};

pub const SERVER_MAC: MacAddr = MacAddr([0x02, 0xaa, 0, 0, 0, 1]);
pub const ALL_NODES: &str = "ff02::1";
pub const ALL_ROUTERS: &str = "ff02::2";
pub const ALL_DHCP: &str = "ff02::1:2";

pub fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub fn router() -> Ipv6Addr {
    ip("fe80::aaaa")
}

pub fn full() -> RawConfig {
    RawConfig {
        mac: SERVER_MAC,
        link_local: router(),
        host: "fd12:3456:789a:1::1/64".parse().unwrap(),
        dns: true,
        domain: Some("mshome.net".into()),
        uuid: *b"0123456789abcdef",
        address_key: 99,
        uplink: Uplink { router: true, ..Uplink::default() },
        lifetimes: Lifetimes::default(),
        limits: Limits::default(),
    }
}

/// One that lets everybody ask as often as they like.
pub fn patient() -> RawConfig {
    let limits = Limits { burst: 1_000_000, rate: 1_000_000, total_rate: 1_000_000, ..Limits::default() };
    RawConfig { limits, ..full() }
}

/// A Router Advertisement, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advert {
    pub flags: u8,
    pub hop_limit: u8,
    pub router: u16,
    pub mac: Option<Vec<u8>>,
    pub mtu: Option<u32>,
    /// The first of `prefixes`: length, flags, valid, preferred, prefix.
    pub prefix: Option<(u8, u8, u32, u32, Ipv6Addr)>,
    pub prefixes: Vec<(u8, u8, u32, u32, Ipv6Addr)>,
    pub nat64: Option<(u16, Ipv6Addr)>,
    pub rdnss: Option<(u32, Ipv6Addr)>,
    pub dnssl: Option<(u32, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub enum Out {
    Advert {
        mac: MacAddr,
        to: Ipv6Addr,
        advert: Advert,
    },
    Reply {
        mac: MacAddr,
        to: Ipv6Addr,
        message: Message,
    },
    /// Neighbour discovery on the segment.
    Neighbour(Vec<u8>),
    Uplink(Vec<u8>),
    Event(Event),
}

pub struct Lab {
    pub server: Server,
    pub now: Now,
}

impl Lab {
    pub fn new(raw: RawConfig) -> Self {
        let now = Now { mono: Monotonic::from_nanos(50_000_000_000), wall: Wall::from_unix(1_800_000_000) };
        Self::at(raw, now)
    }

    pub fn at(raw: RawConfig, now: Now) -> Self {
        Self { server: Server::new(Config::new(raw).unwrap(), 7, now), now }
    }

    pub fn drain(&mut self) -> Vec<Out> {
        let mut outs = vec![];
        while let Some(output) = self.server.poll_output() {
            outs.push(match output {
                Output::Transmit(frame) => decode(frame),
                Output::TransmitUplink(frame) => Out::Uplink(frame.to_vec()),
                Output::Event(event) => Out::Event(event),
            });
        }
        outs
    }

    pub fn send(&mut self, frame: &[u8]) -> Vec<Out> {
        self.server.handle_frame(frame, self.now);
        self.drain()
    }

    /// The one reply to `frame`, if any.
    pub fn ask(&mut self, frame: &[u8]) -> Option<Message> {
        let mut replies: Vec<_> = self
            .send(frame)
            .into_iter()
            .filter_map(|out| match out {
                Out::Reply { message, .. } => Some(message),
                Out::Advert { .. } | Out::Event(_) | Out::Neighbour(_) | Out::Uplink(_) => None,
            })
            .collect();
        assert!(replies.len() <= 1, "{replies:?}");
        replies.pop()
    }

    /// Lets `time` pass, with every timeout on the way; returns what came of them and when.
    pub fn pass(&mut self, time: Duration) -> Vec<(Duration, Out)> {
        let (start, end) = (self.now, self.now + time);
        let mut outs = vec![];
        let mut turns = 0;
        while let Some((at, _)) = self.server.poll_timeout()
            && at <= end.mono
        {
            let at = at.max(self.now.mono);
            let passed = at.since(start.mono);
            self.now = Now { mono: at, wall: start.wall + passed };
            self.server.handle_timeout(self.now);
            outs.extend(self.drain().into_iter().map(|out| (passed, out)));
            turns += 1;
            assert!(turns < 100_000, "the server does not come to rest");
        }
        self.now = end;
        outs
    }

    /// The same, the advertisements only.
    pub fn adverts(&mut self, time: Duration) -> Vec<(Duration, Ipv6Addr, Advert)> {
        let adverts = self.pass(time).into_iter().filter_map(|(at, out)| match out {
            Out::Advert { to, advert, .. } => Some((at, to, advert)),
            Out::Reply { .. } | Out::Event(_) | Out::Neighbour(_) | Out::Uplink(_) => None,
        });
        adverts.collect()
    }

    /// Solicit and Request; the address.
    pub fn acquire(&mut self, client: &Client) -> Ipv6Addr {
        let offer = self.ask(&client.solicit()).expect("an offer");
        assert_eq!(offer.msg_type(), MessageType::Advertise);
        let offered = address(&offer).expect("an address");
        let reply = self.ask(&client.request(offered)).expect("a reply");
        assert_eq!(reply.msg_type(), MessageType::Reply);
        assert_eq!(address(&reply), Some(offered));
        offered
    }

    pub fn counted(&self) -> Vec<(&'static str, u64)> {
        let counted = self.server.counters().drops().filter(|(_, count)| *count > 0);
        counted.map(|(reason, count)| (reason.name(), count)).collect()
    }
}

/// The address of the first association, with lifetimes that are not zero.
pub fn address(message: &Message) -> Option<Ipv6Addr> {
    addresses(message).into_iter().find(|(_, valid)| *valid > 0).map(|(address, _)| address)
}

/// Addresses of the first association with their valid lifetimes.
pub fn addresses(message: &Message) -> Vec<(Ipv6Addr, u32)> {
    let Some(DhcpOption::IANA(ia)) = message.opts().get(OptionCode::IANA) else { return vec![] };
    let addresses = ia.opts.iter().filter_map(|option| {
        let DhcpOption::IAAddr(address) = option else { return None };
        Some((address.addr, address.valid_life))
    });
    addresses.collect()
}

pub fn status(options: &DhcpOptions) -> Option<Status> {
    match options.get(OptionCode::StatusCode) {
        Some(DhcpOption::StatusCode(StatusCode { status, .. })) => Some(*status),
        _ => None,
    }
}

/// The status of the first association.
pub fn ia_status(message: &Message) -> Option<Status> {
    match message.opts().get(OptionCode::IANA) {
        Some(DhcpOption::IANA(ia)) => status(&ia.opts),
        _ => None,
    }
}

pub fn server_duid() -> Vec<u8> {
    [&[0, 4], b"0123456789abcdef".as_slice()].concat()
}

#[derive(Clone, Debug)]
pub struct Client {
    pub mac: MacAddr,
    pub duid: Vec<u8>,
    pub iaid: u32,
    pub options: Vec<DhcpOption>,
    pub to: Ipv6Addr,
}

impl Client {
    pub fn new(n: u16) -> Self {
        let [a, b] = n.to_be_bytes();
        let mac = MacAddr([0x02, 0xbb, 0, 0, a, b]);
        Self { mac, duid: [&[0, 3, 0, 1], &mac.0[..]].concat(), iaid: 1, options: vec![], to: ip(ALL_DHCP) }
    }

    pub fn with(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    pub fn address(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        let words = [0xfe80, 0, 0, 0, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        let [w0, w1, w2, w3, w4, w5] = words;
        Ipv6Addr::new(w0, w1, w2, w3, w4, w5, u16::from_be_bytes([e, f]), 1)
    }

    pub fn association(&self, addresses: &[Ipv6Addr]) -> DhcpOption {
        let mut opts = DhcpOptions::new();
        for addr in addresses {
            let inner = DhcpOptions::new();
            let address = IAAddr { addr: *addr, preferred_life: 0, valid_life: 0, opts: inner };
            opts.insert(DhcpOption::IAAddr(address));
        }
        DhcpOption::IANA(IANA { id: self.iaid, t1: 0, t2: 0, opts })
    }

    pub fn message(&self, kind: MessageType, server: bool, ia: Option<&[Ipv6Addr]>) -> Message {
        let mut message = Message::new_with_id(kind, [1, 2, 3]);
        let opts = message.opts_mut();
        if !self.duid.is_empty() {
            opts.insert(DhcpOption::ClientId(self.duid.clone()));
        }
        if server {
            opts.insert(DhcpOption::ServerId(server_duid()));
        }
        if let Some(addresses) = ia {
            opts.insert(self.association(addresses));
        }
        for option in &self.options {
            opts.insert(option.clone());
        }
        message
    }

    pub fn frame(&self, kind: MessageType, server: bool, ia: Option<&[Ipv6Addr]>) -> Vec<u8> {
        self.enclose(&encode(&self.message(kind, server, ia)))
    }

    pub fn enclose(&self, payload: &[u8]) -> Vec<u8> {
        udp(self.mac, self.address(), self.to, payload)
    }

    pub fn solicit(&self) -> Vec<u8> {
        self.frame(MessageType::Solicit, false, Some(&[]))
    }

    pub fn request(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Request, true, Some(&[address]))
    }

    pub fn renew(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Renew, true, Some(&[address]))
    }

    pub fn rebind(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Rebind, false, Some(&[address]))
    }

    pub fn confirm(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Confirm, false, Some(&[address]))
    }

    pub fn release(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Release, true, Some(&[address]))
    }

    pub fn decline(&self, address: Ipv6Addr) -> Vec<u8> {
        self.frame(MessageType::Decline, true, Some(&[address]))
    }

    pub fn solicitation(&self) -> Vec<u8> {
        let message = [&[133, 0, 0, 0, 0, 0, 0, 0, 1, 1], &self.mac.0[..]].concat();
        icmp(self.mac, self.address(), ip(ALL_ROUTERS), 255, &message)
    }
}

pub fn encode(message: &Message) -> Vec<u8> {
    let mut bytes = vec![];
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut total: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from)).sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn multicast_mac(to: Ipv6Addr) -> MacAddr {
    let o = to.octets();
    if to.is_multicast() { MacAddr([0x33, 0x33, o[12], o[13], o[14], o[15]]) } else { SERVER_MAC }
}

fn packet(mac: MacAddr, from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [multicast_mac(to).0, mac.0].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, hops]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    frame
}

pub fn icmp(mac: MacAddr, from: Ipv6Addr, to: Ipv6Addr, hops: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let len = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[&from.octets(), &to.octets(), &len, &[0, 0, 0, 58], &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(mac, from, to, 58, hops, &message)
}

/// A datagram from a client to the server's port.
pub fn udp(mac: MacAddr, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() + 8) as u16;
    let mut datagram = [&[2, 34, 2, 35], &len.to_be_bytes()[..], &[0, 0], payload].concat();
    let wide = u32::from(len).to_be_bytes();
    let sum = checksum(&[&from.octets(), &to.octets(), &wide, &[0, 0, 0, 17], &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    packet(mac, from, to, 17, 64, &datagram)
}

/// Takes a frame of the server apart and checks every length and sum on the way.
fn decode(frame: &[u8]) -> Out {
    let mac = MacAddr(frame[..6].try_into().unwrap());
    assert_eq!(&frame[6..12], &SERVER_MAC.0);
    assert_eq!(&frame[12..18], [0x86, 0xdd, 0x60, 0, 0, 0]);
    let payload = &frame[54..];
    assert_eq!(usize::from(u16::from_be_bytes([frame[18], frame[19]])), payload.len());
    assert!(frame.len() <= 1_294, "it fits into the least MTU of IPv6: {}", frame.len());
    let (next, hops) = (frame[20], frame[21]);
    let octets = |at: usize| -> [u8; 16] { frame[at..at + 16].try_into().unwrap() };
    let (from, to) = (Ipv6Addr::from(octets(22)), Ipv6Addr::from(octets(38)));
    assert_eq!(from, router());
    if to.is_multicast() {
        assert_eq!(mac, multicast_mac(to));
    }
    let len = (payload.len() as u32).to_be_bytes();
    assert_eq!(checksum(&[&from.octets(), &to.octets(), &len, &[0, 0, 0, next], payload]), 0);
    if next == 58 {
        assert_eq!(hops, 255, "RFC 4861 §6.1.2");
        if matches!(payload[0], 135 | 136) {
            return Out::Neighbour(frame.to_vec());
        }
        return Out::Advert { mac, to, advert: advert(payload) };
    }
    assert_eq!((next, &payload[..4]), (17, &[2, 35, 2, 34][..]));
    assert_eq!(usize::from(u16::from_be_bytes([payload[4], payload[5]])), payload.len());
    let message = Message::decode(&mut Decoder::new(&payload[8..])).unwrap();
    assert_eq!(encode(&message).len(), payload.len() - 8, "everything was understood");
    assert_eq!(message.opts().get(OptionCode::ServerId), Some(&DhcpOption::ServerId(server_duid())));
    Out::Reply { mac, to, message }
}

fn advert(payload: &[u8]) -> Advert {
    assert_eq!(&payload[..2], [134, 0]);
    assert_eq!(&payload[8..16], [0; 8]);
    let mut advert = Advert {
        hop_limit: payload[4],
        flags: payload[5],
        router: u16::from_be_bytes([payload[6], payload[7]]),
        ..Advert::default()
    };
    let word = |option: &[u8], at: usize| u32::from_be_bytes(option[at..at + 4].try_into().unwrap());
    let address = |option: &[u8], at: usize| {
        let octets: [u8; 16] = option[at..at + 16].try_into().unwrap();
        Ipv6Addr::from(octets)
    };
    let mut rest = &payload[16..];
    while !rest.is_empty() {
        let (option, tail) = rest.split_at(usize::from(rest[1]) * 8);
        match option[0] {
            1 => advert.mac = Some(option[2..8].to_vec()),
            3 => {
                assert_eq!(option.len(), 32);
                let lifetimes = (word(option, 4), word(option, 8));
                let prefix = (option[2], option[3], lifetimes.0, lifetimes.1, address(option, 16));
                advert.prefix.get_or_insert(prefix);
                advert.prefixes.push(prefix);
            }
            5 => advert.mtu = Some(word(option, 4)),
            25 => advert.rdnss = Some((word(option, 4), address(option, 8))),
            31 => advert.dnssl = Some((word(option, 4), option[8..].to_vec())),
            38 => {
                let mut octets = [0; 16];
                octets[..12].copy_from_slice(&option[4..]);
                advert.nat64 = Some((u16::from_be_bytes([option[2], option[3]]), octets.into()));
            }
            other => panic!("option {other}"),
        }
        rest = tail;
    }
    advert
}
