//! The DHCPv4 client (RFC 2131 §4.4): the states of its figure 5, and a watch over the network it is in.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};
use core::{net::Ipv4Addr, time::Duration};

use hn_types::{MacAddr, Monotonic};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::Serialize;

use crate::{
    frame::{self, Packet, Route},
    lease::Lease,
    message::{Answer, Kind, Question, Verdict},
};

/// First pause before a message is sent again; it doubles (RFC 2131 §4.1, which begins with 4 s on links slower
/// than today's).
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Doublings: the longest pause is 64 s.
const DOUBLINGS: u32 = 5;
/// Requests that stay unanswered before the client begins anew.
const REQUESTS: u32 = 4;
/// The same for the address of an earlier stay: somebody else may serve here now.
const CONFIRMATIONS: u32 = 3;
/// The shortest pause between two tries to prolong (RFC 2131 §4.4.5).
const PROLONG_PAUSE: Duration = Duration::from_secs(60);
/// After a declined address (RFC 2131 §3.1 step 5).
const DECLINE_PAUSE: Duration = Duration::from_secs(10);
/// Probes for an address that is new to us, and the pause after each (RFC 5227 with the times of a fast link).
const PROBES: u32 = 2;
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// How often the witness is asked whether it is still there.
const WATCH_PAUSE: Duration = Duration::from_secs(10);
/// After a question that was not answered.
const MISSED_PAUSE: Duration = Duration::from_secs(1);
/// Unanswered questions that make the lease doubtful.
const MISSES: u32 = 3;
/// Host names longer than a label are not sent.
const HOST_NAME_LIMIT: usize = 63;
/// Outputs that wait; whoever drives this drains it after every call.
const OUTPUT_LIMIT: usize = 32;

/// What comes out of the client; do it in the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this Ethernet frame. A failure needs no report: it is sent again.
    Send(Vec<u8>),
    /// The lease holds: configure it in place of what was there.
    Bound(Lease),
    /// The lease holds no more: remove the address.
    Lost(Loss),
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Its time ran out and nobody prolonged it.
    Expired,
    /// The server refused it (DHCPNAK): this is another network, or another mode of it.
    Refused,
    /// Nobody confirmed it when it had become doubtful.
    Unconfirmed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// No link.
    Idle,
    /// INIT is entered at the next wake-up.
    Waiting,
    /// INIT-REBOOT and REBOOTING: an address we had is asked for.
    Rebooting {
        address: Ipv4Addr,
        sent: u32,
    },
    Selecting {
        sent: u32,
    },
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
        sent: u32,
    },
    /// Granted, and looked whether somebody else has it.
    Probing {
        lease: Lease,
        sent: u32,
    },
    Bound,
    Renewing,
    Rebinding,
}

/// The lease in use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    lease: Lease,
    since: Monotonic,
}

impl Held {
    /// When it ends; `None`: never.
    fn end(&self) -> Option<Monotonic> {
        self.lease.seconds.map(|seconds| self.since + Duration::from_secs(seconds.into()))
    }
}

/// Whether the network of the lease is still the one we are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watch {
    witness: Ipv4Addr,
    at: Monotonic,
    misses: u32,
    /// It has answered at least once: its silence means something.
    heard: bool,
}

/// A client on one interface.
#[derive(Debug)]
pub struct Client {
    mac: MacAddr,
    host_name: Option<String>,
    random: ChaCha8Rng,
    state: State,
    xid: u32,
    /// When the present attempt began.
    began: Monotonic,
    /// When the last request left: a lease that is granted runs from there (RFC 2131 §4.4.1).
    asked: Monotonic,
    /// When the state wants to go on.
    at: Option<Monotonic>,
    held: Option<Held>,
    /// The address of an earlier stay and when its lease ends, if ever.
    earlier: Option<(Ipv4Addr, Option<Monotonic>)>,
    /// Refusals in a row.
    refusals: u32,
    watch: Option<Watch>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client for the interface with this hardware address, without a link. `seed` makes its transaction ids and
    /// spreads its repetitions; a host name that is no label is left out.
    pub fn new(mac: MacAddr, host_name: Option<&str>, seed: u64) -> Self {
        let label = |name: &&str| {
            (1..=HOST_NAME_LIMIT).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        Self {
            mac,
            host_name: host_name.filter(label).map(ToString::to_string),
            random: ChaCha8Rng::seed_from_u64(seed),
            state: State::Idle,
            xid: 0,
            began: Monotonic::ZERO,
            asked: Monotonic::ZERO,
            at: None,
            held: None,
            earlier: None,
            refusals: 0,
            watch: None,
            outputs: VecDeque::new(),
        }
    }

    /// The link is there, or there anew: an address we have, or had, is confirmed first (INIT-REBOOT).
    pub fn handle_link(&mut self, now: Monotonic) {
        self.watch = None;
        self.refusals = 0;
        let held = self.held.as_ref().map(|held| held.lease.address.address());
        let earlier =
            self.earlier.filter(|(_, end)| end.is_none_or(|end| end > now)).map(|(address, _)| address);
        match held.or(earlier) {
            Some(address) => self.reboot(address, now),
            None => self.discover(now),
        }
    }

    /// The link is gone. The address is remembered for the next one; nothing is put out.
    pub fn handle_link_lost(&mut self) {
        if let Some(held) = self.held.take() {
            self.earlier = Some((held.lease.address.address(), held.end()));
        }
        self.state = State::Idle;
        self.at = None;
        self.watch = None;
    }

    /// Gives the lease back (DHCPRELEASE) and forgets it.
    pub fn release(&mut self, now: Monotonic) {
        if let Some(held) = self.held.take() {
            self.xid = self.random.next_u32();
            self.began = now;
            let Lease { address, server, server_mac, .. } = held.lease;
            let question = Question {
                ciaddr: address.address(),
                server: Some(server),
                ..self.question(Kind::Release, now)
            };
            let route =
                Route { from: self.mac, to: server_mac, source: address.address(), destination: server };
            let bytes = frame::datagram(route, &question.to_bytes());
            self.put(Output::Send(bytes));
        }
        self.handle_link_lost();
        self.earlier = None;
    }

    /// An Ethernet frame came in. What is not for us is dropped.
    pub fn handle_frame(&mut self, frame: &[u8], now: Monotonic) {
        match frame::parse(frame, self.mac) {
            Some(Packet::Dhcp { from, message }) => {
                if let Some(answer) = Answer::parse(message)
                    && answer.xid == self.xid
                    && answer.mac == self.mac
                {
                    self.handle_answer(&answer, from, now);
                }
            }
            Some(Packet::Arp { sender, address }) => self.handle_arp(sender, address, now),
            None => {}
        }
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.watch.is_some_and(|watch| watch.at <= now) {
            self.look(now);
        }
        if self.at.is_none_or(|at| at > now) {
            return;
        }
        match self.state.clone() {
            State::Idle => self.at = None,
            State::Waiting => self.discover(now),
            State::Rebooting { address, sent } if sent < CONFIRMATIONS => self.confirm(address, sent, now),
            State::Rebooting { .. } => {
                self.lose(Loss::Unconfirmed);
                self.discover(now);
            }
            State::Selecting { sent } => self.ask(sent, now),
            State::Requesting { address, server, sent } if sent < REQUESTS => {
                self.request(address, server, sent, now);
            }
            State::Requesting { .. } => self.discover(now),
            State::Probing { lease, sent } if sent < PROBES => self.probe(lease, sent, now),
            State::Probing { lease, .. } => self.bind(lease, now),
            State::Bound | State::Renewing | State::Rebinding => self.prolong(now),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        let watch = self.watch.map(|watch| watch.at);
        self.at.into_iter().chain(watch).min()
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        self.held.as_ref().map(|held| &held.lease)
    }

    fn handle_answer(&mut self, answer: &Answer, from: MacAddr, now: Monotonic) {
        let held = self.held.as_ref().map(|held| held.lease.address.address());
        match (&self.state, answer.verdict) {
            (State::Selecting { .. }, Verdict::Offer) => {
                if let Some(offer) = Lease::new(answer, from) {
                    self.request(offer.address.address(), offer.server, 0, now);
                }
            }
            (State::Requesting { address, server, .. }, Verdict::Ack) => {
                if answer.address == Some(*address)
                    && answer.server == Some(*server)
                    && let Some(lease) = Lease::new(answer, from)
                {
                    self.probe(lease, 0, now);
                }
            }
            (State::Rebooting { address, .. }, Verdict::Ack) => {
                if answer.address == Some(*address)
                    && let Some(lease) = Lease::new(answer, from)
                {
                    self.bind(lease, now);
                }
            }
            (State::Renewing | State::Rebinding, Verdict::Ack) => {
                if answer.address == held
                    && let Some(lease) = Lease::new(answer, from)
                {
                    self.bind(lease, now);
                }
            }
            // Only the server that was asked refuses; in the other states any may.
            (State::Requesting { server, .. }, Verdict::Nak)
                if answer.server.is_none_or(|who| who == *server) =>
            {
                self.refused(now);
            }
            (State::Rebooting { .. } | State::Renewing | State::Rebinding, Verdict::Nak) => self.refused(now),
            _ => {}
        }
    }

    fn handle_arp(&mut self, sender: MacAddr, address: Ipv4Addr, now: Monotonic) {
        if let Some(watch) = self.watch.as_mut()
            && watch.witness == address
        {
            *watch = Watch { at: now + WATCH_PAUSE, misses: 0, heard: true, ..*watch };
        }
        if let State::Probing { lease, .. } = &self.state
            && lease.address.address() == address
            && sender != self.mac
        {
            let (address, server) = (lease.address.address(), lease.server);
            self.decline(address, server, now);
        }
    }

    /// INIT: nothing is known.
    fn discover(&mut self, now: Monotonic) {
        self.earlier = None;
        self.xid = self.random.next_u32();
        self.began = now;
        self.ask(0, now);
    }

    fn ask(&mut self, sent: u32, now: Monotonic) {
        let question = self.question(Kind::Discover, now);
        let bytes = question.to_bytes();
        self.broadcast(&bytes);
        self.state = State::Selecting { sent: sent.saturating_add(1) };
        self.again(sent, now);
    }

    fn request(&mut self, address: Ipv4Addr, server: Ipv4Addr, sent: u32, now: Monotonic) {
        let question =
            Question { requested: Some(address), server: Some(server), ..self.question(Kind::Request, now) };
        let bytes = question.to_bytes();
        self.broadcast(&bytes);
        self.state = State::Requesting { address, server, sent: sent + 1 };
        self.asked = now;
        self.again(sent, now);
    }

    /// INIT-REBOOT.
    fn reboot(&mut self, address: Ipv4Addr, now: Monotonic) {
        self.xid = self.random.next_u32();
        self.began = now;
        self.confirm(address, 0, now);
    }

    fn confirm(&mut self, address: Ipv4Addr, sent: u32, now: Monotonic) {
        // RFC 2131 §4.3.2: the address as an option, no server identifier, `ciaddr` zero.
        let question = Question { requested: Some(address), ..self.question(Kind::Request, now) };
        let bytes = question.to_bytes();
        self.broadcast(&bytes);
        self.state = State::Rebooting { address, sent: sent + 1 };
        self.asked = now;
        self.again(sent, now);
    }

    fn probe(&mut self, lease: Lease, sent: u32, now: Monotonic) {
        let bytes = frame::arp_request(self.mac, Ipv4Addr::UNSPECIFIED, lease.address.address());
        self.put(Output::Send(bytes));
        self.state = State::Probing { lease, sent: sent + 1 };
        self.at = Some(now + PROBE_PAUSE);
    }

    fn decline(&mut self, address: Ipv4Addr, server: Ipv4Addr, now: Monotonic) {
        let question =
            Question { requested: Some(address), server: Some(server), ..self.question(Kind::Decline, now) };
        let bytes = question.to_bytes();
        self.broadcast(&bytes);
        self.state = State::Waiting;
        self.at = Some(now + DECLINE_PAUSE);
    }

    fn bind(&mut self, lease: Lease, now: Monotonic) {
        let address = lease.address.address();
        let known = self.held.as_ref().is_some_and(|held| held.lease.address == lease.address);
        self.refusals = 0;
        self.earlier = None;
        self.state = State::Bound;
        self.held = Some(Held { lease: lease.clone(), since: self.asked });
        self.at = lease.seconds.is_some().then_some(self.asked + lease.renew);
        self.watch = lease.witness().map(|witness| {
            let before = self.watch.filter(|watch| watch.witness == witness);
            let heard = before.is_some_and(|watch| watch.heard);
            Watch { witness, at: now + WATCH_PAUSE, misses: 0, heard }
        });
        self.put(Output::Bound(lease));
        if !known {
            // Whoever remembers another owner of this address learns of us (RFC 5227 §2.3).
            let bytes = frame::arp_request(self.mac, address, address);
            self.put(Output::Send(bytes));
        }
    }

    /// T1, T2 and the end.
    fn prolong(&mut self, now: Monotonic) {
        let Some(held) = self.held.clone() else { return self.discover(now) };
        let Some(end) = held.end() else {
            self.at = None;
            return;
        };
        if now >= end {
            self.lose(Loss::Expired);
            return self.discover(now);
        }
        let address = held.lease.address.address();
        if self.state == State::Bound {
            self.xid = self.random.next_u32();
            self.began = now;
        }
        self.asked = now;
        let bytes = Question { ciaddr: address, ..self.question(Kind::Request, now) }.to_bytes();
        let rebind = held.since + held.lease.rebind;
        let next = if now < rebind {
            self.state = State::Renewing;
            let Lease { server, server_mac, .. } = held.lease;
            let route = Route { from: self.mac, to: server_mac, source: address, destination: server };
            self.put(Output::Send(frame::datagram(route, &bytes)));
            rebind
        } else {
            self.state = State::Rebinding;
            let route = Route {
                from: self.mac,
                to: MacAddr::BROADCAST,
                source: address,
                destination: Ipv4Addr::BROADCAST,
            };
            self.put(Output::Send(frame::datagram(route, &bytes)));
            end
        };
        let pause = (next.since(now) / 2).max(PROLONG_PAUSE);
        self.at = Some((now + pause).min(next));
    }

    /// Asks the witness, or draws the conclusion.
    fn look(&mut self, now: Monotonic) {
        let (Some(watch), Some(held)) = (self.watch.as_mut(), self.held.as_ref()) else {
            self.watch = None;
            return;
        };
        let address = held.lease.address.address();
        if watch.misses >= MISSES {
            // Somebody who never answers ARP proves nothing by not answering.
            let heard = watch.heard;
            self.watch = None;
            if heard && matches!(self.state, State::Bound | State::Renewing | State::Rebinding) {
                self.reboot(address, now);
            }
            return;
        }
        watch.misses += 1;
        watch.at = now + MISSED_PAUSE;
        let bytes = frame::arp_request(self.mac, address, watch.witness);
        self.put(Output::Send(bytes));
    }

    fn refused(&mut self, now: Monotonic) {
        self.lose(Loss::Refused);
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals == 1 {
            return self.discover(now);
        }
        self.state = State::Waiting;
        let pause = self.pause(self.refusals - 2);
        self.at = Some(now + pause);
    }

    fn lose(&mut self, loss: Loss) {
        self.watch = None;
        if self.held.take().is_some() {
            self.put(Output::Lost(loss));
        }
    }

    fn question(&self, kind: Kind, now: Monotonic) -> Question<'_> {
        Question {
            kind,
            xid: self.xid,
            secs: u16::try_from(now.since(self.began).as_secs()).unwrap_or(u16::MAX),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: self.mac,
            requested: None,
            server: None,
            host_name: self.host_name.as_deref(),
        }
    }

    /// To everybody, from an interface without an address.
    fn broadcast(&mut self, message: &[u8]) {
        let route = Route {
            from: self.mac,
            to: MacAddr::BROADCAST,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
        };
        self.put(Output::Send(frame::datagram(route, message)));
    }

    fn again(&mut self, sent: u32, now: Monotonic) {
        let pause = self.pause(sent);
        self.at = Some(now + pause);
    }

    /// The pause after `sent` unanswered messages, spread by a quarter to both sides.
    fn pause(&mut self, sent: u32) -> Duration {
        let base = FIRST_PAUSE * 2_u32.pow(sent.min(DOUBLINGS));
        let spread = base / 4;
        let part = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        base - spread + (spread * 2).mul_f64(part)
    }

    fn put(&mut self, output: Output) {
        // Only frames may be dropped, and only when nobody drains: they are sent again.
        if self.outputs.len() < OUTPUT_LIMIT || !matches!(output, Output::Send(_)) {
            self.outputs.push_back(output);
        }
    }
}
