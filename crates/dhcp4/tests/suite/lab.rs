//! A server, a clock, a disk and clients. Messages are encoded and replies decoded by `dhcproto`, and the
//! layers around them by the few lines here, so that nothing of the engine's own wire code is its judge.

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use dhcproto::{
    Decodable, Decoder, Encodable, Encoder,
    v4::{DhcpOption, Message, MessageType, OptionCode},
};
use hn_dhcp4::{CommitId, Config, Event, LeaseRecord, LeaseView, Output, Probing, RawConfig, Server};
use hn_types::{MacAddr, Monotonic, Now, Subnet4, Wall};

pub const SERVER_MAC: MacAddr = MacAddr([0x02, 0xaa, 0, 0, 0, 1]);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 137, 1);

pub fn host(text: &str) -> Subnet4 {
    text.parse().unwrap()
}

pub fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 137, last)
}

pub fn full() -> RawConfig {
    RawConfig { probing: Probing::Off, ..RawConfig::full(SERVER_MAC, host("192.168.137.1/24")) }
}

pub fn probing() -> RawConfig {
    RawConfig { probing: Probing::On, ..full() }
}

/// A pool of `.10` to `.10 + count - 1`.
pub fn small(count: u8) -> RawConfig {
    RawConfig { first: ip(10), last: ip(9 + count), ..full() }
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub mac: MacAddr,
    pub to: Ipv4Addr,
    pub message: Message,
    pub raw: Vec<u8>,
}

impl Reply {
    pub fn kind(&self) -> MessageType {
        self.message.opts().msg_type().unwrap()
    }

    pub fn option(&self, code: OptionCode) -> Option<&DhcpOption> {
        self.message.opts().get(code)
    }

    pub fn address(&self) -> Ipv4Addr {
        self.message.yiaddr()
    }

    /// Codes of the options in the order they were sent.
    pub fn codes(&self) -> Vec<u8> {
        let mut rest = &self.raw[282..];
        let mut codes = vec![];
        while rest[0] != 255 {
            codes.push(rest[0]);
            rest = &rest[2 + usize::from(rest[1])..];
        }
        codes
    }
}

/// What the server put out, in order.
#[derive(Clone, Debug)]
pub enum Out {
    Reply(Reply),
    Probe(Ipv4Addr),
    Persist(LeaseRecord),
    Event(Event),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Everything is stored at once.
    Good,
    /// Nothing is stored.
    Full,
    /// The test settles records itself.
    Manual,
}

pub struct Lab {
    pub server: Server,
    pub now: Now,
    pub disk: Disk,
    pub stored: Vec<LeaseRecord>,
    pub outstanding: VecDeque<(CommitId, LeaseRecord)>,
    pub outs: Vec<Out>,
}

impl Lab {
    pub fn new(raw: RawConfig) -> Self {
        let now = Now { mono: Monotonic::from_nanos(50_000_000_000), wall: Wall::from_unix(1_800_000_000) };
        Self::at(raw, now)
    }

    pub fn at(raw: RawConfig, now: Now) -> Self {
        Self {
            server: Server::new(Config::new(raw).unwrap(), 7, now),
            now,
            disk: Disk::Good,
            stored: vec![],
            outstanding: VecDeque::new(),
            outs: vec![],
        }
    }

    /// The same disk under a new server.
    pub fn restart(&self, raw: RawConfig) -> Self {
        let mut lab = Self::at(raw, self.now);
        for record in &self.stored {
            let bytes = record.encode();
            lab.server.restore(&LeaseRecord::decode(&bytes).unwrap());
        }
        lab.stored = self.stored.clone();
        lab
    }

    pub fn drain(&mut self) {
        loop {
            while let Some(output) = self.server.poll_output() {
                let out = match output {
                    Output::Transmit(frame) => decode(frame),
                    Output::Persist { commit, record } => {
                        self.outstanding.push_back((commit, record));
                        Out::Persist(record)
                    }
                    Output::Event(event) => Out::Event(event),
                };
                self.outs.push(out);
            }
            let Some(&(last, _)) = self.outstanding.back() else { return };
            match self.disk {
                Disk::Good => self.stored(last),
                Disk::Full => self.failed(last),
                Disk::Manual => return,
            }
        }
    }

    pub fn stored(&mut self, upto: CommitId) {
        while let Some(&(commit, record)) = self.outstanding.front()
            && commit <= upto
        {
            self.outstanding.pop_front();
            self.stored.push(record);
        }
        self.server.handle_persisted(upto);
    }

    pub fn failed(&mut self, upto: CommitId) {
        self.outstanding.retain(|&(commit, _)| commit > upto);
        self.server.handle_persist_failed(upto);
    }

    /// Hands `frame` in and returns what came of it.
    pub fn send(&mut self, frame: &[u8]) -> Vec<Out> {
        self.outs.clear();
        self.server.handle_frame(frame, self.now);
        self.drain();
        std::mem::take(&mut self.outs)
    }

    /// The one reply to `frame`, if any.
    pub fn ask(&mut self, frame: &[u8]) -> Option<Reply> {
        let mut replies: Vec<_> = replies(&self.send(frame));
        assert!(replies.len() <= 1, "{replies:?}");
        replies.pop()
    }

    /// Lets `time` pass, with every timeout on the way; returns what came of them.
    pub fn pass(&mut self, time: Duration) -> Vec<Out> {
        self.outs.clear();
        let end = self.now + time;
        let start = self.now;
        let mut turns = 0;
        while let Some((at, _)) = self.server.poll_timeout()
            && at <= end.mono
        {
            let at = at.max(self.now.mono);
            self.now = Now { mono: at, wall: start.wall + at.since(start.mono) };
            self.server.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 200_000, "the server's timeouts don't end");
        }
        self.now = end;
        self.server.handle_timeout(self.now);
        self.drain();
        std::mem::take(&mut self.outs)
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    pub fn acquire(&mut self, client: &Client) -> Ipv4Addr {
        let offer = self.ask(&client.discover()).expect("an offer");
        assert_eq!(offer.kind(), MessageType::Offer);
        let ack = self.ask(&client.select(offer.address())).expect("an answer");
        assert_eq!(ack.kind(), MessageType::Ack);
        assert_eq!(ack.address(), offer.address());
        ack.address()
    }

    pub fn lease(&self, address: Ipv4Addr) -> Option<LeaseView> {
        self.server.lease(address)
    }
}

pub fn replies(outs: &[Out]) -> Vec<Reply> {
    outs.iter()
        .filter_map(|out| match out {
            Out::Reply(reply) => Some(reply.clone()),
            Out::Probe(_) | Out::Persist(..) | Out::Event(_) => None,
        })
        .collect()
}

pub fn probes(outs: &[Out]) -> Vec<Ipv4Addr> {
    outs.iter()
        .filter_map(|out| match out {
            Out::Probe(address) => Some(*address),
            Out::Reply(_) | Out::Persist(..) | Out::Event(_) => None,
        })
        .collect()
}

pub fn events(outs: &[Out]) -> Vec<Event> {
    outs.iter()
        .filter_map(|out| match out {
            Out::Event(event) => Some(*event),
            Out::Probe(_) | Out::Persist(..) | Out::Reply(_) => None,
        })
        .collect()
}

/// RFC 1071 over whole 16-bit words; `bytes` may be odd.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let all = parts.concat();
    let mut total: u32 = all
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Checks every layer of a frame the server sent.
pub fn decode(frame: &[u8]) -> Out {
    assert!(frame.len() >= 60 && frame.len() <= 1_514, "{}", frame.len());
    assert_eq!(frame[6..12], SERVER_MAC.0);
    if frame[12..14] == [8, 6] {
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..28], SERVER_MAC.0);
        assert_eq!(frame[28..38], [0; 10], "a probe touches no cache");
        return Out::Probe(Ipv4Addr::new(frame[38], frame[39], frame[40], frame[41]));
    }
    assert_eq!(frame[12..14], [8, 0]);
    let ip = &frame[14..];
    assert_eq!(ip[0], 0x45);
    assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len());
    assert_eq!(checksum(&[&ip[..20]]), 0, "IPv4 header checksum");
    let udp = &ip[20..];
    assert_eq!(udp[..4], [0, 67, 0, 68]);
    assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
    assert_ne!(udp[6..8], [0, 0]);
    assert_eq!(checksum(&[&ip[12..20], &[0, 17], &udp[4..6], udp]), 0, "UDP checksum");
    assert!(udp.len() >= 308, "a BOOTP message has 300 bytes at least");
    let message = Message::decode(&mut Decoder::new(&udp[8..])).expect("dhcproto understands our replies");
    assert_eq!(message.giaddr(), Ipv4Addr::UNSPECIFIED);
    Out::Reply(Reply {
        mac: MacAddr(frame[..6].try_into().unwrap()),
        to: Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]),
        message,
        raw: frame.to_vec(),
    })
}

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    pub mac: MacAddr,
    pub id: Option<Vec<u8>>,
    pub name: Option<String>,
    pub broadcast: bool,
    pub server: Ipv4Addr,
    pub xid: u32,
    /// Added to every message.
    pub options: Vec<DhcpOption>,
}

impl Client {
    pub fn new(number: u32) -> Self {
        let [_, b, c, d] = number.to_be_bytes();
        Self {
            mac: MacAddr([0x06, 0, 0, b, c, d]),
            id: None,
            name: None,
            broadcast: false,
            server: SERVER,
            xid: 0x0102_0304,
            options: vec![],
        }
    }

    pub fn with_id(self, id: &[u8]) -> Self {
        Self { id: Some(id.to_vec()), ..self }
    }

    pub fn with_name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    pub fn message(&self, kind: MessageType) -> Message {
        let mut message = Message::new(
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            &self.mac.0,
        );
        message.set_xid(self.xid);
        if self.broadcast {
            message.set_flags(message.flags().set_broadcast());
        }
        let opts = message.opts_mut();
        opts.insert(DhcpOption::MessageType(kind));
        if let Some(id) = &self.id {
            opts.insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        if let Some(name) = &self.name {
            opts.insert(DhcpOption::Hostname(name.clone()));
        }
        for option in &self.options {
            opts.insert(option.clone());
        }
        message
    }

    pub fn discover(&self) -> Vec<u8> {
        self.frame(&self.message(MessageType::Discover))
    }

    pub fn discover_asking(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Discover);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        self.frame(&message)
    }

    /// A request in state SELECTING.
    pub fn select(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Request);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(self.server));
        self.frame(&message)
    }

    /// A request in state INIT-REBOOT.
    pub fn reboot(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Request);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        self.frame(&message)
    }

    /// A request in state RENEWING: unicast.
    pub fn renew(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Request);
        message.set_ciaddr(address);
        enclose(self.mac, SERVER_MAC, address, self.server, &encode(&message))
    }

    /// A request in state REBINDING: broadcast.
    pub fn rebind(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Request);
        message.set_ciaddr(address);
        enclose(self.mac, MacAddr::BROADCAST, address, Ipv4Addr::BROADCAST, &encode(&message))
    }

    pub fn decline(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Decline);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(self.server));
        self.frame(&message)
    }

    pub fn release(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Release);
        message.set_ciaddr(address);
        message.opts_mut().insert(DhcpOption::ServerIdentifier(self.server));
        enclose(self.mac, SERVER_MAC, address, self.server, &encode(&message))
    }

    pub fn inform(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message(MessageType::Inform);
        message.set_ciaddr(address);
        enclose(self.mac, MacAddr::BROADCAST, address, Ipv4Addr::BROADCAST, &encode(&message))
    }

    pub fn frame(&self, message: &Message) -> Vec<u8> {
        self.frame_of(&encode(message))
    }

    pub fn frame_of(&self, payload: &[u8]) -> Vec<u8> {
        enclose(self.mac, MacAddr::BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, payload)
    }
}

pub fn encode(message: &Message) -> Vec<u8> {
    let mut bytes = vec![];
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// Ethernet, IPv4 and UDP around a DHCP message from a client.
pub fn enclose(
    from: MacAddr,
    to: MacAddr,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &[u8],
) -> Vec<u8> {
    let udp_len = (payload.len() + 8) as u16;
    let mut udp = vec![0, 68, 0, 67];
    udp.extend(udp_len.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = checksum(&[&source.octets(), &destination.octets(), &[0, 17], &udp_len.to_be_bytes(), &udp]);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0x10];
    ip.extend((udp_len + 20).to_be_bytes());
    ip.extend([0x12, 0x34, 0, 0, 128, 17, 0, 0]);
    ip.extend(source.octets());
    ip.extend(destination.octets());
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [to.0.as_slice(), &from.0, &[8, 0], &ip, &udp].concat()
}

/// An ARP packet: `sender` says it has `address` and asks for `target`.
pub fn arp(sender: MacAddr, address: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [MacAddr::BROADCAST.0, sender.0].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(sender.0);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}
