//! The engine's face: inputs, the one output queue, time, and the questions that wait for an answer.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hn_types::{
    Monotonic, Now, Subnet6,
    portmap::{MapAct, MapAnswer, MapEntry, MapRefusal, MapRequest, MapUplink, Origin},
    siphash::SipKey,
};

use crate::{
    action,
    config::{Config, ConfigError},
    control::{self, Control},
    counters::{Counters, DropReason},
    discovery::{self, Discovery},
    gena::Gena,
    output::{Channel, ConnId, Output},
    rate::Rate,
    web::Web,
};

/// Room one input may need in the output queue: every announcement of every service, over both families.
const HEADROOM: usize = 96;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.next() % (most.as_millis() as u64 + 1))
    }
}

/// Who waits for an answer of the table.
#[derive(Debug)]
pub(crate) enum Asker {
    NatPmp(control::Waiting),
    Pcp(control::Waiting),
    Soap(action::Waiting),
}

/// A question to the table.
#[derive(Debug)]
pub(crate) struct Pending {
    client: IpAddr,
    deadline: Monotonic,
    pub(crate) asker: Asker,
}

/// The servers of one private segment. See the crate's documentation.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) now: Now,
    pub(crate) draws: Draws,
    pub(crate) uplink: MapUplink,
    pub(crate) entries: Vec<MapEntry>,
    pub(crate) asks: BTreeMap<u64, Pending>,
    pub(crate) control: Control,
    pub(crate) discovery: Discovery,
    pub(crate) web: Web,
    pub(crate) gena: Gena,
    /// Counts changes of the table, for `SystemUpdateID`.
    pub(crate) changes: u32,
    rate: Rate,
    connect_rate: Rate,
    last_ask: u64,
    stopped: bool,
    outputs: VecDeque<Output>,
}

impl Server {
    /// A server that announces itself at once and has no way out. `seed` decides delays and names of
    /// subscriptions and keys the table of senders; it should be secret.
    pub fn new(config: Config, seed: u64, now: Now) -> Self {
        let raw = config.raw();
        let limits = raw.limits;
        let mut draws = Draws(seed);
        let mut rate = |rate, burst| {
            let key = SipKey::new(draws.next(), draws.next());
            Rate::new(key, rate, burst, limits.total_rate, now.mono)
        };
        Self {
            rate: rate(limits.rate, limits.burst),
            connect_rate: rate(limits.connect_rate, limits.connect_burst),
            counters: Counters::default(),
            now,
            uplink: MapUplink::default(),
            entries: Vec::new(),
            asks: BTreeMap::new(),
            control: Control::new(raw, now.mono),
            discovery: Discovery::new(raw.protocols.upnp.then_some(now.mono), now.wall),
            web: Web::default(),
            gena: Gena::default(),
            changes: 0,
            last_ask: 0,
            stopped: false,
            outputs: VecDeque::new(),
            draws,
            config,
        }
    }

    /// The current configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Totals since the server was made.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    // --- inputs ---------------------------------------------------------------------------------

    /// The way out changed, or its counters did. Devices are told of a change of `up` or `external`.
    pub fn handle_uplink(&mut self, uplink: MapUplink, now: Now) {
        self.advance(now);
        self.uplink = uplink;
        self.control.set_uplink(&uplink, self.now.mono);
        self.note_events();
    }

    /// The table changed: all of it. More than [`crate::Limits::entries`] are not listed.
    pub fn handle_entries(&mut self, mut entries: Vec<MapEntry>, now: Now) {
        self.advance(now);
        entries.truncate(self.config.raw().limits.entries);
        if entries != self.entries {
            self.entries = entries;
            self.changes = self.changes.wrapping_add(1);
            self.note_events();
        }
    }

    /// The table lost mappings that devices believe in: everybody is told to ask again.
    pub fn handle_loss(&mut self, now: Now) {
        self.advance(now);
        self.control.reset(self.now.mono);
    }

    /// What became of an [`Output::Ask`]. Unknown and late answers are ignored.
    pub fn handle_answer(&mut self, answer: MapAnswer, now: Now) {
        self.advance(now);
        let Some(pending) = self.asks.remove(&answer.id) else { return };
        match &answer.result {
            Ok(_) => self.counters.granted += 1,
            Err(refusal) => self.counters.refuse(*refusal),
        }
        self.finish(pending.asker, &answer);
    }

    /// A datagram was received on the segment.
    pub fn handle_datagram(&mut self, channel: Channel, from: SocketAddr, bytes: &[u8], now: Now) {
        self.advance(now);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let admitted = if self.stopped {
            Err(DropReason::Stopped)
        } else if !self.has_room() {
            Err(DropReason::OutputBacklog)
        } else if !self.config.is_device(from) {
            Err(DropReason::Source)
        } else if channel == Channel::Ssdp && !discovery::is_search(bytes) {
            // What others announce is not counted against them.
            Err(DropReason::NotSearch)
        } else {
            self.rate.admit(from.ip(), self.now.mono)
        };
        match (admitted, channel) {
            (Err(reason), _) => self.counters.drop(reason),
            (Ok(()), Channel::PortControl) => self.handle_control(from, bytes),
            (Ok(()), Channel::Ssdp) => self.handle_search(from, bytes),
        }
    }

    /// A client connected to the port of descriptions, control and events.
    pub fn handle_connected(&mut self, conn: ConnId, peer: SocketAddr, now: Now) {
        self.advance(now);
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let admitted = if self.stopped {
            Err(DropReason::Stopped)
        } else if !self.config.raw().protocols.upnp {
            Err(DropReason::Off)
        } else if !self.config.is_device(peer) {
            Err(DropReason::Source)
        } else if !self.has_room() {
            Err(DropReason::OutputBacklog)
        } else {
            self.connect_rate.admit(peer.ip(), self.now.mono)
        };
        if let Err(reason) = admitted.and_then(|()| self.accept(conn, peer)) {
            self.counters.drop(reason);
            self.push(Output::Close { conn });
        }
    }

    /// Bytes arrived on a connection, of either direction.
    pub fn handle_stream(&mut self, conn: ConnId, bytes: &[u8], now: Now) {
        self.advance(now);
        if conn >= ConnId::OUTGOING {
            self.receive_event_reply(conn, bytes);
        } else {
            self.receive(conn, bytes);
        }
    }

    /// A connection ended without our doing.
    pub fn handle_closed(&mut self, conn: ConnId, now: Now) {
        self.advance(now);
        if conn >= ConnId::OUTGOING {
            self.end_event(conn, false);
        } else {
            self.web.forget(conn);
        }
    }

    /// What became of an [`Output::Connect`].
    pub fn handle_connect_result(&mut self, conn: ConnId, connected: bool, now: Now) {
        self.advance(now);
        self.event_connected(conn, connected);
    }

    /// The host's IPv6 addresses on the segment changed (see [`crate::RawConfig`]).
    ///
    /// # Errors
    ///
    /// What is wrong with them; nothing changes then.
    pub fn set_address6(
        &mut self,
        link_local: Option<Ipv6Addr>,
        prefixes: Vec<Subnet6>,
        now: Now,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        let raw = self.config.raw();
        if raw.link_local == link_local && raw.prefixes == prefixes {
            return Ok(());
        }
        self.config.set_address6(link_local, prefixes)?;
        if raw_upnp(&self.config) && !self.stopped {
            self.discovery.announce(self.now.mono);
        }
        Ok(())
    }

    /// The time that [`Server::poll_timeout`] named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        let late: Vec<u64> =
            self.asks.iter().filter(|(_, ask)| ask.deadline <= self.now.mono).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(pending) = self.asks.remove(&id) {
                self.counters.drop(DropReason::Unanswered);
                self.finish(pending.asker, &control::unanswered(id));
            }
        }
        self.expire_connections();
        self.expire_events();
        if !self.stopped && self.has_room() {
            self.announce();
        }
        while !self.stopped && self.has_room() && self.discover() {}
        while !self.stopped && self.has_room() && self.deliver() {}
    }

    /// The segment is given up: devices are told, connections end, nothing is answered any more.
    pub fn stop(&mut self, now: Now) {
        self.advance(now);
        if core::mem::replace(&mut self.stopped, true) {
            return;
        }
        if raw_upnp(&self.config) {
            self.say_goodbye();
        }
        self.control.stop();
        self.discovery.stop();
        self.asks.clear();
        for conn in self.web.end().into_iter().chain(self.gena.end()) {
            self.push(Output::Close { conn });
        }
    }

    // --- outputs --------------------------------------------------------------------------------

    /// The next output. Call it until it returns `None` before waiting.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Server::handle_timeout`] wants to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        let ask = self.asks.values().map(|ask| ask.deadline).min();
        [
            (ask, "answer"),
            (self.control.next(), "announcement"),
            (self.discovery.next(), "discovery"),
            (self.web.next(), "request"),
            (self.gena.next(), "event"),
        ]
        .into_iter()
        .filter_map(|(at, what)| at.map(|at| (at, what)))
        .min_by_key(|(at, _)| *at)
    }

    // --- inside ---------------------------------------------------------------------------------

    /// Asks the table; the asker waits. A refusal is an answer at once, without the table.
    pub(crate) fn ask(
        &mut self,
        origin: Origin,
        client: IpAddr,
        act: MapAct,
        asker: Asker,
    ) -> Result<(), MapRefusal> {
        let limits = self.config.raw().limits;
        let own = self.asks.values().filter(|ask| ask.client == client).count();
        if self.asks.len() >= limits.asks || own >= limits.asks_per_client {
            self.counters.drop(DropReason::Asks);
            return Err(MapRefusal::Full);
        }
        self.counters.asks += 1;
        self.last_ask += 1;
        let id = self.last_ask;
        let deadline = self.now.mono + Duration::from_secs(limits.ask_s.into());
        self.asks.insert(id, Pending { client, deadline, asker });
        self.push(Output::Ask(MapRequest { id, origin, client, act }));
        Ok(())
    }

    fn finish(&mut self, asker: Asker, answer: &MapAnswer) {
        match asker {
            Asker::NatPmp(waiting) => self.finish_natpmp(&waiting, &answer.result),
            Asker::Pcp(waiting) => self.finish_pcp(&waiting, &answer.result),
            Asker::Soap(waiting) => self.finish_action(waiting, &answer.result),
        }
    }

    /// Time never goes back.
    fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    fn has_room(&self) -> bool {
        self.outputs.len() + HEADROOM <= self.config.raw().limits.outputs
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

const fn raw_upnp(config: &Config) -> bool {
    config.raw().protocols.upnp
}
