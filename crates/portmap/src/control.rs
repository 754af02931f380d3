//! UDP 5351: NAT-PMP and PCP share it, told apart by the version in the first byte (RFC 6887 §9).

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hn_types::{
    Monotonic,
    portmap::{MapAct, MapAdd, MapAnswer, MapFilter, MapRefusal, MapUplink, MapWhich, Mapped, Origin},
};

use crate::{
    announce::Repeats,
    code::{NatPmpCode, PcpCode, natpmp_code, pcp_code},
    config::RawConfig,
    counters::DropReason,
    natpmp,
    output::{Channel, Output},
    pcp,
    server::{Asker, Server},
};

/// Where announcements of both protocols go (RFC 6886 §3.2.1, RFC 6887 §14.1.3).
const ALL_HOSTS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 1), 5350);
/// The same over IPv6.
const ALL_NODES: (Ipv6Addr, u16) = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 5350);

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    from: SocketAddr,
    request: Vec<u8>,
}

/// The clocks and announcements of both protocols.
#[derive(Debug)]
pub(crate) struct Control {
    /// When NAT-PMP's seconds start (RFC 6886 §3.6).
    natpmp_epoch: Monotonic,
    /// When PCP's start: a change of the address outside counts as a loss, too (RFC 6887 §8.5).
    pcp_epoch: Monotonic,
    /// The last address outside.
    external: Option<Ipv4Addr>,
    /// Whether devices have been told that it leads out.
    up: bool,
    repeats: Repeats,
}

impl Control {
    pub(crate) fn new(config: &RawConfig, now: Monotonic) -> Self {
        let epoch = config.epoch.min(now);
        Self { natpmp_epoch: epoch, pcp_epoch: epoch, external: None, up: false, repeats: Repeats::default() }
    }

    pub(crate) const fn next(&self) -> Option<Monotonic> {
        self.repeats.next()
    }

    pub(crate) const fn stop(&mut self) {
        self.repeats.stop();
    }

    /// Everything was lost at `at`.
    pub(crate) fn reset(&mut self, at: Monotonic) {
        self.natpmp_epoch = at;
        self.pcp_epoch = at;
        self.repeats.start(at);
    }

    pub(crate) fn set_uplink(&mut self, uplink: &MapUplink, now: Monotonic) {
        let Some(external) = uplink.external.filter(|_| uplink.up) else {
            self.up = false;
            return;
        };
        let before = self.external.replace(external);
        match before {
            Some(before) if before == external => {}
            Some(_) => self.pcp_epoch = now,
            // The first address after a start tells by its own time whether it is older than the table.
            None => self.pcp_epoch = uplink.since.min(now).max(self.pcp_epoch),
        }
        if before != Some(external) || !core::mem::replace(&mut self.up, true) {
            self.up = true;
            self.repeats.start(now);
        }
    }
}

impl Server {
    fn natpmp_epoch(&self) -> u32 {
        seconds(self.control.natpmp_epoch, self.now.mono)
    }

    fn pcp_epoch(&self) -> u32 {
        seconds(self.control.pcp_epoch, self.now.mono)
    }

    pub(crate) fn handle_control(&mut self, from: SocketAddr, bytes: &[u8]) {
        if bytes.len() < 2 {
            return self.counters.drop(DropReason::Truncated);
        }
        // Answers are never answered, whatever their version: no two servers shall talk to each other for ever.
        if bytes[1] & pcp::RESPONSE != 0 {
            return self.counters.drop(DropReason::Response);
        }
        let protocols = self.config.raw().protocols;
        match bytes[0] {
            natpmp::VERSION if protocols.natpmp && from.is_ipv4() => self.handle_natpmp(from, bytes),
            pcp::VERSION if protocols.pcp => self.handle_pcp(from, bytes),
            _ if protocols.pcp => {
                self.counters.drop(DropReason::Version);
                let answer = pcp::refuse(bytes, PcpCode::UnsuppVersion, self.pcp_epoch());
                self.send(from, answer);
            }
            _ if protocols.natpmp && from.is_ipv4() => {
                self.counters.drop(DropReason::Version);
                let answer = natpmp::unsupported_version(bytes[1], self.natpmp_epoch());
                self.send(from, answer);
            }
            _ => self.counters.drop(DropReason::Off),
        }
    }

    fn handle_natpmp(&mut self, from: SocketAddr, bytes: &[u8]) {
        let map = match natpmp::parse(bytes) {
            Ok(natpmp::Request::Address) => {
                self.counters.natpmp += 1;
                let external = self.uplink.external.filter(|_| self.uplink.up);
                let answer = natpmp::address(external, self.natpmp_epoch());
                return self.send(from, answer);
            }
            Ok(natpmp::Request::Map(map)) => map,
            Err(reason) => {
                self.counters.drop(reason);
                if reason == DropReason::Opcode {
                    let answer = natpmp::unsupported_opcode(bytes, self.natpmp_epoch());
                    self.send(from, answer);
                }
                return;
            }
        };
        if map.internal_port == 0 && map.lifetime_s != 0 {
            self.counters.drop(DropReason::Malformed);
            let answer = natpmp::mapped(map, Err(NatPmpCode::NotAuthorized), self.natpmp_epoch());
            return self.send(from, answer);
        }
        self.counters.natpmp += 1;
        let act = match (map.lifetime_s, map.internal_port) {
            (0, 0) => MapAct::Remove { which: MapWhich::All { protocol: Some(map.protocol) }, nonce: None },
            (0, port) => {
                MapAct::Remove { which: MapWhich::Internal { protocol: map.protocol, port }, nonce: None }
            }
            (lifetime_s, port) => MapAct::Add(MapAdd {
                protocol: map.protocol,
                internal: SocketAddr::new(from.ip(), port),
                external_port: map.external_port,
                exact: false,
                lifetime_s,
                nonce: None,
                name: String::new(),
                enabled: true,
                filter: MapFilter::default(),
            }),
        };
        let waiting = Waiting { from, request: bytes.to_vec() };
        if let Err(refusal) = self.ask_once(Origin::NatPmp, waiting, act) {
            let answer = natpmp::mapped(map, Err(natpmp_code(refusal)), self.natpmp_epoch());
            self.send(from, answer);
        }
    }

    fn handle_pcp(&mut self, from: SocketAddr, bytes: &[u8]) {
        let client = from.ip();
        let act = match pcp::parse(bytes, client).and_then(|request| self.pcp_act(request, client)) {
            Ok(Some(act)) => act,
            Ok(None) => {
                self.counters.pcp += 1;
                let answer = match bytes[1] {
                    0 => pcp::announce(self.pcp_epoch()),
                    // Nothing is deleted by a PEER that lasts no time, and nothing is kept.
                    _ => pcp::granted(bytes, suggestion(bytes), 0, self.pcp_epoch()),
                };
                return self.send(from, answer);
            }
            Err((code, reason)) => {
                self.counters.drop(reason);
                let answer = pcp::refuse(bytes, code, self.pcp_epoch());
                return self.send(from, answer);
            }
        };
        self.counters.pcp += 1;
        let waiting = Waiting { from, request: bytes.to_vec() };
        if let Err(refusal) = self.ask_once(Origin::Pcp, waiting, act) {
            let answer = pcp::refuse(bytes, pcp_code(refusal), self.pcp_epoch());
            self.send(from, answer);
        }
    }

    /// What the table is asked; `None`: nothing, it is answered at once.
    fn pcp_act(&self, request: pcp::Request, client: IpAddr) -> Result<Option<MapAct>, pcp::Bad> {
        let link_local = matches!(client, IpAddr::V6(address) if address.is_unicast_link_local());
        let map = match request {
            pcp::Request::Announce => return Ok(None),
            // Nothing outside reaches a link-local address, and it says nothing about the device's others.
            _ if link_local => return Err((PcpCode::NotAuthorized, DropReason::Source)),
            pcp::Request::Peer(peer) if peer.lifetime_s == 0 => return Ok(None),
            pcp::Request::Peer(peer) => {
                return Ok(Some(MapAct::Peer {
                    protocol: peer.protocol,
                    internal: SocketAddr::new(client, peer.internal_port),
                    remote: peer.remote,
                    external_port: peer.external_port,
                    lifetime_s: peer.lifetime_s,
                    nonce: peer.nonce,
                    exists: false,
                }));
            }
            pcp::Request::Map(map) => map,
        };
        let (Some(protocol), 1..) = (map.protocol, map.internal_port) else {
            let which = MapWhich::All { protocol: map.protocol };
            return Ok(Some(MapAct::Remove { which, nonce: Some(map.nonce) }));
        };
        if map.lifetime_s == 0 {
            let which = MapWhich::Internal { protocol, port: map.internal_port };
            return Ok(Some(MapAct::Remove { which, nonce: Some(map.nonce) }));
        }
        let (external_port, possible) = match client {
            IpAddr::V4(_) => {
                let ours = self.uplink.external.map(IpAddr::V4);
                (map.external_port, map.external.is_none_or(|wish| ours.is_none_or(|ours| ours == wish)))
            }
            // Nothing is translated.
            IpAddr::V6(_) => (
                map.internal_port,
                map.external.is_none_or(|wish| wish == client)
                    && (map.external_port == 0 || map.external_port == map.internal_port),
            ),
        };
        if map.prefer_failure && !possible {
            return Err((PcpCode::CannotProvideExternal, DropReason::Malformed));
        }
        Ok(Some(MapAct::Add(MapAdd {
            protocol,
            internal: SocketAddr::new(client, map.internal_port),
            external_port,
            exact: map.prefer_failure && external_port != 0,
            lifetime_s: map.lifetime_s,
            nonce: Some(map.nonce),
            name: String::new(),
            enabled: true,
            filter: map.filter,
        })))
    }

    /// Asks, but a request that was sent again because its answer takes its time.
    fn ask_once(&mut self, origin: Origin, waiting: Waiting, act: MapAct) -> Result<(), MapRefusal> {
        let client = waiting.from.ip();
        let same = |asker: &Asker| match asker {
            Asker::NatPmp(other) | Asker::Pcp(other) => {
                other.from == waiting.from && other.request == waiting.request
            }
            Asker::Soap(_) => false,
        };
        if self.asks.values().any(|ask| same(&ask.asker)) {
            self.counters.drop(DropReason::Repeated);
            return Ok(());
        }
        let asker = match origin {
            Origin::NatPmp => Asker::NatPmp(waiting),
            Origin::Pcp | Origin::Upnp => Asker::Pcp(waiting),
        };
        self.ask(origin, client, act, asker)
    }

    pub(crate) fn finish_natpmp(&mut self, waiting: &Waiting, result: &Result<Mapped, MapRefusal>) {
        let Ok(natpmp::Request::Map(map)) = natpmp::parse(&waiting.request) else { return };
        let granted = match result {
            // RFC 6886 §3.4: deleting ends with port and lifetime 0, also when there was nothing.
            Ok(_) | Err(MapRefusal::NotFound) if map.lifetime_s == 0 => Ok((0, 0)),
            Ok(mapped) => Ok((mapped.external.port(), endless(mapped.lifetime_s))),
            Err(refusal) => Err(natpmp_code(*refusal)),
        };
        let answer = natpmp::mapped(map, granted, self.natpmp_epoch());
        self.send(waiting.from, answer);
    }

    pub(crate) fn finish_pcp(&mut self, waiting: &Waiting, result: &Result<Mapped, MapRefusal>) {
        let Waiting { from, request } = waiting;
        let epoch = self.pcp_epoch();
        let (delete, prefer_failure) = match pcp::parse(request, from.ip()) {
            Ok(pcp::Request::Map(map)) => (map.lifetime_s == 0, map.prefer_failure),
            Ok(pcp::Request::Peer(_)) => (false, true),
            Ok(pcp::Request::Announce) | Err(_) => return,
        };
        let answer = match result {
            // §15.1: deleting what is not there is success.
            Ok(_) | Err(MapRefusal::NotFound) if delete => {
                pcp::granted(request, suggestion(request), 0, epoch)
            }
            Ok(mapped) if mapped.external.ip().is_unspecified() => {
                pcp::refuse(request, PcpCode::NetworkFailure, epoch)
            }
            Ok(mapped) => pcp::granted(request, mapped.external, endless(mapped.lifetime_s), epoch),
            Err(refusal) => {
                // §7.4: only who asked for exactly one may be told so.
                let code = pcp_code(*refusal);
                let hidden = code == PcpCode::CannotProvideExternal && !prefer_failure;
                let code = if hidden { PcpCode::NoResources } else { code };
                pcp::refuse(request, code, epoch)
            }
        };
        self.send(*from, answer);
    }

    /// One of ten announcements, when it is due.
    pub(crate) fn announce(&mut self) {
        if !self.control.repeats.take(self.now.mono) {
            return;
        }
        let raw = self.config.raw();
        let (protocols, ip6) = (raw.protocols, raw.link_local.is_some());
        let external = self.uplink.external.filter(|_| self.uplink.up);
        if protocols.natpmp && external.is_some() {
            let announcement = natpmp::address(external, self.natpmp_epoch());
            self.send(ALL_HOSTS.into(), announcement);
            self.counters.announcements += 1;
        }
        if protocols.pcp {
            let announcement = pcp::announce(self.pcp_epoch());
            self.send(ALL_HOSTS.into(), announcement.clone());
            self.counters.announcements += 1;
            if ip6 {
                self.send(ALL_NODES.into(), announcement);
                self.counters.announcements += 1;
            }
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.push(Output::Datagram { channel: Channel::PortControl, to, bytes });
    }
}

/// What was suggested comes back when nothing was assigned.
fn suggestion(request: &[u8]) -> SocketAddr {
    let port = request.get(42..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let address = request.get(44..).and_then(<[u8]>::first_chunk::<16>);
    SocketAddr::new(address.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets)).into(), port)
}

/// A lifetime without end, for protocols that have none.
const fn endless(lifetime_s: u32) -> u32 {
    if lifetime_s == 0 { u32::MAX } else { lifetime_s }
}

fn seconds(since: Monotonic, now: Monotonic) -> u32 {
    u32::try_from(now.since(since).as_secs()).unwrap_or(u32::MAX)
}

/// The answer of a table that did not answer.
pub(crate) const fn unanswered(id: u64) -> MapAnswer {
    MapAnswer { id, result: Err(MapRefusal::Failed) }
}
