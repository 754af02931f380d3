//! A forwarder, its clock, and short ways to ask and answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, CNAME, SOA},
    },
};
use hn_dns::{Client, ClientTransport, Config, Event, Forwarder, Output, Route, RouteTransport, UpstreamId};
use hn_types::Monotonic;

pub(crate) const UPSTREAM: &str = "9.9.9.9:53";
pub(crate) const SECOND: &str = "[2620:fe::fe]:53";

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    Reply(Client, Vec<u8>),
    Ask(SocketAddr, Route, Vec<u8>),
    Close(Route),
    Forget(UpstreamId),
    Event(Event),
}

/// A question the forwarder put to a resolver.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) upstream: SocketAddr,
    pub(crate) route: Route,
    pub(crate) message: Message,
}

pub(crate) struct World {
    pub(crate) forwarder: Forwarder,
    pub(crate) now: Monotonic,
    client: Client,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config(), &[UPSTREAM])
    }

    pub(crate) fn with(config: Config, upstreams: &[&str]) -> Self {
        let now = Monotonic::from_nanos(1_000_000_000_000);
        let host = Ipv4Addr::from_bits(config.address.address().to_bits() + 4);
        let client = Client { addr: (host, 40_000).into(), transport: ClientTransport::Udp };
        let mut forwarder = Forwarder::new(config, [7; 32], now).unwrap();
        forwarder.set_upstreams(&addrs(upstreams), now);
        Self { forwarder, now, client }
    }

    pub(crate) fn set_upstreams(&mut self, upstreams: &[&str]) {
        self.forwarder.set_upstreams(&addrs(upstreams), self.now);
    }

    pub(crate) fn drain(&mut self) -> Vec<Out> {
        let mut all = Vec::new();
        while let Some(output) = self.forwarder.poll_output() {
            all.push(match output {
                Output::Reply { client, bytes } => Out::Reply(client, bytes.to_vec()),
                Output::Ask { upstream, route, bytes } => Out::Ask(upstream, route, bytes.to_vec()),
                Output::Close { route } => Out::Close(route),
                Output::Forget { upstream } => Out::Forget(upstream),
                Output::Event(event) => Out::Event(event),
                other => panic!("{other:?}"),
            });
        }
        all
    }

    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) -> Vec<Out> {
        self.forwarder.handle_query(bytes, client, self.now);
        self.drain()
    }

    /// Asks as the usual client.
    pub(crate) fn query(&mut self, message: &Message) -> Vec<Out> {
        self.send(self.client, &message.to_vec().unwrap())
    }

    /// Asks and expects a reply at once.
    pub(crate) fn reply(&mut self, message: &Message) -> Message {
        only_reply(&self.query(message))
    }

    /// Asks and expects that a resolver is asked.
    pub(crate) fn ask(&mut self, message: &Message) -> Asked {
        only_ask(&self.query(message))
    }

    /// Answers a question of the forwarder.
    pub(crate) fn respond(&mut self, asked: &Asked, response: &Message) -> Vec<Out> {
        self.forwarder.handle_response(&response.to_vec().unwrap(), asked.route, self.now);
        self.drain()
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Out> {
        self.now += time;
        self.forwarder.handle_timeout(self.now);
        self.drain()
    }

    /// Waits for the next timeout.
    pub(crate) fn wait(&mut self) -> Vec<Out> {
        self.now = self.now.max(self.forwarder.poll_timeout().expect("something is due"));
        self.forwarder.handle_timeout(self.now);
        self.drain()
    }
}

pub(crate) fn config() -> Config {
    Config::new("192.168.137.1/24".parse().unwrap(), "Laptop")
}

fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn udp(host: u8) -> Client {
    let addr = SocketAddr::from((Ipv4Addr::new(192, 168, 137, host), 40_000));
    Client { addr, transport: ClientTransport::Udp }
}

pub(crate) fn tcp(host: u8) -> Client {
    Client { transport: ClientTransport::Tcp(1), ..udp(host) }
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn query(text: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), kind));
    message
}

pub(crate) fn edns(mut message: Message, size: u16, dnssec_ok: bool) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_dnssec_ok(dnssec_ok);
    message.set_edns(edns);
    message
}

/// An empty answer to what was asked.
pub(crate) fn answer(asked: &Asked, code: ResponseCode) -> Message {
    let mut message = Message::new(asked.message.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_query(asked.message.queries[0].clone());
    message.set_edns(Edns::new());
    message
}

/// An answer with one address.
pub(crate) fn address(asked: &Asked, ttl: u32) -> Message {
    let mut message = answer(asked, ResponseCode::NoError);
    message.add_answer(a(&asked.message.queries[0].name, ttl, [203, 0, 113, 9]));
    message
}

pub(crate) fn a(owner: &Name, ttl: u32, address: [u8; 4]) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::A(A(Ipv4Addr::from(address))))
}

pub(crate) fn cname(owner: &Name, ttl: u32, target: &str) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::CNAME(CNAME(name(target))))
}

pub(crate) fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let data = SOA::new(name("ns.example"), name("admin.example"), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(data))
}

pub(crate) fn only_reply(out: &[Out]) -> Message {
    let replies = replies(out);
    assert_eq!(replies.len(), 1, "{out:?}");
    replies[0].1.clone()
}

pub(crate) fn replies(out: &[Out]) -> Vec<(Client, Message)> {
    out.iter()
        .filter_map(|out| match out {
            Out::Reply(client, bytes) => Some((*client, Message::from_vec(bytes).unwrap())),
            Out::Ask(..) | Out::Close(_) | Out::Forget(_) | Out::Event(_) => None,
        })
        .collect()
}

pub(crate) fn asks(out: &[Out]) -> Vec<Asked> {
    out.iter()
        .filter_map(|out| match out {
            Out::Ask(upstream, route, bytes) => {
                Some(Asked { upstream: *upstream, route: *route, message: Message::from_vec(bytes).unwrap() })
            }
            Out::Reply(..) | Out::Close(_) | Out::Forget(_) | Out::Event(_) => None,
        })
        .collect()
}

pub(crate) fn only_ask(out: &[Out]) -> Asked {
    let asks = asks(out);
    assert_eq!(asks.len(), 1, "{out:?}");
    asks[0].clone()
}

pub(crate) fn is_tcp(route: Route) -> bool {
    matches!(route.transport, RouteTransport::Tcp { .. })
}

pub(crate) fn code(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

pub(crate) fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(a) => Some(a.0),
            _ => None,
        })
        .collect()
}
