//! A server, a table that answers it, and what devices send and see.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hn_portmap::{Channel, Config, ConnId, DropReason, Output, RawConfig, Server};
use hn_types::{
    Monotonic, Now, Wall,
    portmap::{LinkSpeed, LinkTraffic, MapRequest, MapUplink},
};

use crate::table::{EXTERNAL, Table};

pub const PORT: u16 = 2_869;

pub fn raw() -> RawConfig {
    let mut raw = RawConfig::new("192.168.137.1/24".parse().unwrap(), PORT, [0x5a; 16]);
    raw.link_local = Some("fe80::1".parse().unwrap());
    raw.prefixes = vec!["fd12:3456:789a:1::1/64".parse().unwrap()];
    raw.epoch = start().mono;
    raw
}

pub fn start() -> Now {
    Now { mono: Monotonic::from_nanos(5_000_000_000), wall: Wall::from_unix(1_767_225_600) }
}

pub fn device(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 137, host], 50_000))
}

pub fn device6(host: u16) -> SocketAddr {
    SocketAddr::new(format!("fd12:3456:789a:1::{host:x}").parse().unwrap(), 50_000)
}

pub struct Lab {
    pub server: Server,
    pub table: Table,
    pub now: Now,
    /// What was asked, in order.
    pub asked: Vec<MapRequest>,
    /// Whether the table answers.
    pub answering: bool,
    next_conn: u64,
}

impl Lab {
    /// With a way out and after its first announcements.
    pub fn new(raw: RawConfig) -> Self {
        let mut lab = Self::silent(raw);
        lab.server.handle_uplink(lab.uplink(), lab.now);
        lab.outputs();
        lab
    }

    /// Before it was told of the way out.
    pub fn silent(raw: RawConfig) -> Self {
        let now = start();
        Self {
            server: Server::new(Config::new(raw).unwrap(), 42, now),
            table: Table::default(),
            now,
            asked: Vec::new(),
            answering: true,
            next_conn: 1,
        }
    }

    pub fn uplink(&self) -> MapUplink {
        MapUplink {
            external: Some(EXTERNAL),
            up: true,
            since: start().mono,
            pinholes: true,
            speed: Some(LinkSpeed { up_bps: 10_000_000, down_bps: 5_000_000_000 }),
            traffic: Some(LinkTraffic {
                sent_bytes: (1 << 32) + 7,
                received_bytes: 2,
                sent_packets: 3,
                received_packets: 4,
            }),
        }
    }

    /// Everything the server says now, while the table answers what it asks.
    pub fn outputs(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        while let Some(output) = self.server.poll_output() {
            if let Output::Ask(request) = &output {
                self.asked.push(request.clone());
                if self.answering {
                    let answer = self.table.answer(request, self.now.mono);
                    self.server.handle_entries(self.table.entries(), self.now);
                    self.server.handle_answer(answer, self.now);
                }
            } else {
                out.push(output);
            }
        }
        out
    }

    /// Lets time pass, to the moment, through every timeout on the way.
    pub fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut out = Vec::new();
        for _ in 0..100_000 {
            let due = self.server.poll_timeout().map(|(at, _)| at).filter(|at| *at <= end.mono);
            let Some(due) = due else {
                self.now = end;
                self.server.handle_timeout(end);
                out.extend(self.outputs());
                return out;
            };
            self.now = self.now + due.since(self.now.mono);
            self.server.handle_timeout(self.now);
            out.extend(self.outputs());
        }
        panic!("the server never rests");
    }

    /// Sends a datagram; what comes back to its sender.
    pub fn send(&mut self, channel: Channel, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.server.handle_datagram(channel, from, bytes, self.now);
        datagrams(self.outputs()).into_iter().filter(|(to, _)| *to == from).map(|(_, bytes)| bytes).collect()
    }

    /// Sends a request of NAT-PMP or PCP that has one answer.
    #[track_caller]
    pub fn ask(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        let answers = self.send(Channel::PortControl, from, bytes);
        let [answer] = <[_; 1]>::try_from(answers).expect("one answer");
        answer
    }

    pub fn connect(&mut self, from: SocketAddr) -> (ConnId, Vec<Output>) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.server.handle_connected(conn, from, self.now);
        (conn, self.outputs())
    }

    /// Sends a whole request on a connection of its own; the answer.
    #[track_caller]
    pub fn http(&mut self, from: SocketAddr, request: &[u8]) -> Reply {
        let (conn, outputs) = self.connect(from);
        assert_eq!(outputs, [], "accepted");
        self.server.handle_stream(conn, request, self.now);
        let mut replies = streams(self.outputs(), conn);
        assert_eq!(replies.len(), 1, "one reply");
        replies.remove(0)
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 192.168.137.1:{PORT}\r\n\r\n");
        self.http(device(20), request.as_bytes())
    }

    /// Calls an action of a service, `WANIPConnection:1` for example.
    #[track_caller]
    pub fn call(&mut self, from: SocketAddr, service: &str, action: &str, args: &[(&str, &str)]) -> Reply {
        self.http(from, &call(from.ip(), service, action, args))
    }

    pub fn counted(&self) -> Vec<(&'static str, u64)> {
        let drops = self.server.counters().drops().filter(|(_, count)| *count > 0);
        drops.map(|(reason, count)| (reason.name(), count)).collect()
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.server.counters().dropped(reason)
    }
}

pub fn call(from: IpAddr, service: &str, action: &str, args: &[(&str, &str)]) -> Vec<u8> {
    let kind = format!("urn:schemas-upnp-org:service:{service}");
    let args: String = args.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{kind}\">{args}</u:{action}></s:Body></s:Envelope>"
    );
    let (name, version) = service.split_once(':').unwrap();
    let root = if name == "WANIPv6FirewallControl" { "2" } else { version };
    let host = if from.is_ipv4() { "192.168.137.1" } else { "[fd12:3456:789a:1::1]" };
    format!(
        "POST /{root}/control/{name} HTTP/1.1\r\nHost: {host}:{PORT}\r\nSOAPAction: \"{kind}#{action}\"\r\n\
         Content-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub closes: bool,
}

impl Reply {
    pub fn parse(bytes: Vec<u8>, closes: bool) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        Self {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
            closes,
        }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The text of an element of the body.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// The number of a UPnP error.
    #[track_caller]
    pub fn error(&self) -> u16 {
        assert_eq!(self.status, 500, "{self:?}");
        self.value("errorCode").and_then(|code| code.parse().ok()).expect("a code")
    }
}

pub fn datagrams(outputs: Vec<Output>) -> Vec<(SocketAddr, Vec<u8>)> {
    let datagram = |output| match output {
        Output::Datagram { to, bytes, .. } => Some((to, bytes)),
        Output::Stream { .. } | Output::Connect { .. } | Output::Close { .. } | Output::Ask(_) => None,
    };
    outputs.into_iter().filter_map(datagram).collect()
}

pub fn streams(outputs: Vec<Output>, wanted: ConnId) -> Vec<Reply> {
    let stream = |output| match output {
        Output::Stream { conn, bytes, then_close } if conn == wanted => Some(Reply::parse(bytes, then_close)),
        Output::Stream { .. }
        | Output::Datagram { .. }
        | Output::Connect { .. }
        | Output::Close { .. }
        | Output::Ask(_) => None,
    };
    outputs.into_iter().filter_map(stream).collect()
}
