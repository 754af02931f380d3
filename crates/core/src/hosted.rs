//! The machine of the hosted network (spec/hosted-network.md §2) and who is associated.
//!
//! It knows five phases; callers see three states. Starting still looks idle and stopping still looks
//! active, so that a state is reported only once it is true.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::time::Duration;

use hn_types::{
    Key, KeyRole, MacAddr, Monotonic, Reason,
    observed::StationStats,
    plan::{ApStarted, KeyEntry},
    view::{Event, HostedState, PeerView},
};

use crate::effect::Output;

/// A station with a wrong key is reported at most this often.
const REFUSED_EVERY: Duration = Duration::from_secs(10);
/// Stations with wrong keys remembered at once.
const REFUSED_LIMIT: usize = 256;
/// Devices with a wrong key that are remembered.
const TURNED_AWAY_LIMIT: usize = 64;
/// Association ids there are (IEEE 802.11-2020, 9.4.1.8).
pub(crate) const PEER_LIMIT: usize = 2007;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Unavailable,
    Idle,
    Starting,
    Active,
    Stopping,
}

impl Phase {
    const fn state(self) -> HostedState {
        match self {
            Self::Unavailable => HostedState::Unavailable,
            Self::Idle | Self::Starting => HostedState::Idle,
            Self::Active | Self::Stopping => HostedState::Active,
        }
    }
}

/// Why the hosted network is unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    /// Reported when the state becomes unavailable.
    pub(crate) reason: Reason,
    /// Reported when the blocker goes.
    pub(crate) end: Reason,
    pub(crate) object: String,
    pub(crate) cause: String,
    pub(crate) remedy: String,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: KeyRole,
    since: Monotonic,
    /// The secondary key it proved, when it did.
    proved: Option<Key>,
    /// Callers know of it. While the network is still starting they do not.
    announced: bool,
    pub(crate) stats: Option<StationStats>,
}

#[derive(Debug)]
pub(crate) struct Hosted {
    phase: Phase,
    reason: Reason,
    detail: String,
    blocker: Option<Blocker>,
    /// The adapter appears with the first start and stays.
    pub(crate) ever_started: bool,
    /// The access point went away by itself and is not cleared away yet.
    pub(crate) miniport_down: bool,
    /// It went away while it was being started.
    pub(crate) lost_in_start: Option<String>,
    pub(crate) running: Option<ApStarted>,
    peers: BTreeMap<MacAddr, Peer>,
    refused: BTreeMap<MacAddr, Monotonic>,
    /// When a device last tried a key that is none of ours, for whoever asks why it is not here.
    turned_away: BTreeMap<MacAddr, Monotonic>,
}

impl Hosted {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Unavailable,
            reason: Reason::InterfaceUnavailable,
            detail: String::new(),
            blocker: None,
            ever_started: false,
            miniport_down: false,
            lost_in_start: None,
            running: None,
            peers: BTreeMap::new(),
            refused: BTreeMap::new(),
            turned_away: BTreeMap::new(),
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) const fn state(&self) -> HostedState {
        self.phase.state()
    }

    pub(crate) const fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Goes to `phase`; announces it if callers see a difference. Departures come before.
    pub(crate) fn enter(&mut self, phase: Phase, reason: Reason, out: &mut VecDeque<Output>) {
        let (old, new) = (self.state(), phase.state());
        if matches!(phase, Phase::Idle | Phase::Unavailable) {
            self.clear_peers(out);
            self.running = None;
            self.lost_in_start = None;
        }
        self.phase = phase;
        if old != new {
            self.reason = reason;
            self.detail.clear();
            out.push_back(Output::Event(Event::StateChanged { old, new, reason }));
        }
        if phase == Phase::Active {
            for (mac, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.announced) {
                peer.announced = true;
                out.push_back(Output::Event(Event::PeerJoined { mac: *mac, key: peer.key }));
            }
        }
    }

    /// A start failed: still idle, but everybody can see why.
    pub(crate) fn start_failed(&mut self, reason: Reason, detail: String, out: &mut VecDeque<Output>) {
        self.enter(Phase::Idle, reason, out);
        self.reason = reason;
        self.detail = detail;
    }

    /// Takes note of what stands in the way; moves between unavailable and idle. Only for phases in which
    /// nothing is under way.
    pub(crate) fn set_blocker(&mut self, blocker: Option<Blocker>, out: &mut VecDeque<Output>) {
        match (&blocker, self.phase) {
            (Some(new), Phase::Idle | Phase::Unavailable) => {
                if self.blocker.as_ref() != Some(new) || self.phase == Phase::Idle {
                    self.enter(Phase::Unavailable, new.reason, out);
                    self.reason = new.reason;
                    self.detail = new.cause.clone();
                }
            }
            (None, Phase::Unavailable) => {
                let end = self.blocker.as_ref().map_or(Reason::InterfaceAvailable, |old| old.end);
                self.enter(Phase::Idle, end, out);
            }
            (None, Phase::Idle) | (_, Phase::Starting | Phase::Active | Phase::Stopping) => return,
        }
        self.blocker = blocker;
    }

    /// The network stopped: idle, or unavailable if something stands in the way.
    pub(crate) fn stopped(&mut self, reason: Reason, blocker: Option<Blocker>, out: &mut VecDeque<Output>) {
        match blocker {
            Some(blocker) => {
                self.enter(Phase::Unavailable, blocker.reason, out);
                self.detail = blocker.cause.clone();
                self.blocker = Some(blocker);
            }
            None => {
                self.blocker = None;
                self.enter(Phase::Idle, reason, out);
            }
        }
    }

    pub(crate) fn joined(
        &mut self,
        mac: MacAddr,
        key: KeyRole,
        secondary: Option<&Key>,
        now: Monotonic,
        out: &mut VecDeque<Output>,
    ) {
        let proved = match key {
            KeyRole::Primary => None,
            KeyRole::Secondary => secondary.cloned(),
        };
        if let Some(known) = self.peers.get_mut(&mac) {
            // Announced already. A second handshake without a departure may have been done with a key that
            // is kept for this station only: that one stays.
            if known.key != key {
                known.key = key;
                known.proved = proved;
            }
            return;
        }
        let announced = match self.phase {
            Phase::Active | Phase::Stopping => true,
            Phase::Starting => false,
            Phase::Idle | Phase::Unavailable => return,
        };
        if self.peers.len() >= PEER_LIMIT {
            return;
        }
        self.refused.remove(&mac);
        self.turned_away.remove(&mac);
        self.peers.insert(mac, Peer { key, since: now, proved, announced, stats: None });
        if announced {
            out.push_back(Output::Event(Event::PeerJoined { mac, key }));
        }
    }

    pub(crate) fn left(&mut self, mac: MacAddr, timed_out: bool, out: &mut VecDeque<Output>) {
        if self.peers.remove(&mac).is_some_and(|peer| peer.announced) {
            let reason = if timed_out { Reason::PeerTimeout } else { Reason::PeerDeparted };
            out.push_back(Output::Event(Event::PeerLeft { mac, reason }));
        }
    }

    /// Everybody leaves: the access point stops.
    pub(crate) fn clear_peers(&mut self, out: &mut VecDeque<Output>) {
        while let Some((mac, peer)) = self.peers.pop_first() {
            if peer.announced {
                out.push_back(Output::Event(Event::PeerLeft { mac, reason: Reason::PeerDeparted }));
            }
        }
        self.refused.clear();
    }

    pub(crate) fn mismatch(&mut self, mac: MacAddr, now: Monotonic, out: &mut VecDeque<Output>) {
        if self.turned_away.len() >= TURNED_AWAY_LIMIT
            && !self.turned_away.contains_key(&mac)
            && let Some(oldest) = self.turned_away.iter().min_by_key(|(_, at)| **at).map(|(mac, _)| *mac)
        {
            self.turned_away.remove(&oldest);
        }
        self.turned_away.insert(mac, now);
        if self.refused.get(&mac).is_some_and(|last| now.since(*last) < REFUSED_EVERY) {
            return;
        }
        self.refused.retain(|_, last| now.since(*last) < REFUSED_EVERY);
        if self.refused.len() < REFUSED_LIMIT {
            self.refused.insert(mac, now);
            out.push_back(Output::Event(Event::PeerRefused { mac }));
        }
    }

    /// Who tried a wrong key, and how long ago.
    pub(crate) fn turned_away(&self, now: Monotonic) -> impl Iterator<Item = (MacAddr, Duration)> {
        self.turned_away.iter().map(move |(mac, at)| (*mac, now.since(*at)))
    }

    /// What stands in the way of the network.
    pub(crate) const fn blocker_view(&self) -> Option<&Blocker> {
        self.blocker.as_ref()
    }

    pub(crate) fn stats(&mut self, all: &[StationStats]) {
        for stats in all {
            if let Some(peer) = self.peers.get_mut(&stats.mac) {
                peer.stats = Some(*stats);
            }
        }
    }

    pub(crate) const fn peers(&self) -> &BTreeMap<MacAddr, Peer> {
        &self.peers
    }

    pub(crate) fn peer_views(&self, now: Monotonic) -> Vec<PeerView> {
        self.peers
            .iter()
            .map(|(mac, peer)| PeerView {
                mac: *mac,
                key: peer.key,
                connected_s: now.since(peer.since).as_secs(),
            })
            .collect()
    }

    /// Keys that stations proved and that are no longer the secondary key (M048): each for its station only.
    pub(crate) fn retained(&self, secondary: Option<&Key>) -> impl Iterator<Item = KeyEntry> {
        self.peers.iter().filter_map(move |(mac, peer)| {
            let key = peer.proved.as_ref().filter(|proved| Some(*proved) != secondary)?;
            Some(KeyEntry { role: KeyRole::Secondary, key: key.clone(), station: Some(*mac) })
        })
    }
}
