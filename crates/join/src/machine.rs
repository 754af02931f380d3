//! The recovery of a device (spec/sequences.md §5.2) as a machine: look for the network, join it, get an address, and
//! begin again whenever the connection is lost.
//!
//! ```text
//!               ┌──────────── not seen ───────────┐
//!               ▼                                 │
//! preparing ─▶ scanning ── seen ─▶ associating ── refused ─▶ waiting
//!     ▲           ▲                     │ joined                 ▲
//!     │           │                     ▼                        │
//!   gone          └──────── getting an address ── none ──────────┤
//!                                       │ lease                  │
//!                                       ▼                        │
//!                                     online ── lost by the driver
//! ```

use alloc::{collections::VecDeque, string::String};
use core::time::Duration;

use hn_types::{MacAddr, Monotonic};
use serde::Serialize;

use crate::{client::Loss, lease::Lease};

/// For the supplicant to start and listen.
const PREPARE: Duration = Duration::from_secs(30);
/// For one look at all channels.
const SCAN: Duration = Duration::from_secs(20);
/// For authentication, association and the handshake.
const ASSOCIATE: Duration = Duration::from_secs(30);
/// For a lease. Then the network is left and looked for again: another mode may serve addresses.
const ADDRESS: Duration = Duration::from_secs(90);
/// A connection that held this long was a good one: what failed before it is forgotten.
const STABLE: Duration = Duration::from_secs(10);
/// Seconds between tries, by how many failed in a row; the last one holds for all that follow.
const PAUSES: [u64; 6] = [0, 1, 2, 4, 8, 15];
/// After a refusal by the network, at least: the device is not to be taken for an attacker.
const REFUSED: Duration = Duration::from_secs(5);
/// Looks that must find nothing before a machine that tries once gives up: one may miss a beacon.
const LOOKS: u32 = 3;

/// Where the network was seen or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// The access point.
    pub bssid: MacAddr,
    /// Its channel.
    pub frequency_mhz: u32,
}

/// Why the network did not let us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The four-way handshake failed: the key is not the network's (any more).
    WrongKey,
    /// Authentication or association was turned down.
    Rejected,
    /// It did not answer.
    Timeout,
}

/// What the supplicant has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It listens and knows our network, which is parked: not joined by itself.
    Ready,
    /// It ended, cannot be started, or its interface is gone: one sentence.
    Gone(String),
    /// A look at all channels is over.
    Scanned(Option<Sighting>),
    /// Associated, and the keys are in place.
    Joined(Sighting),
    /// Not let in.
    Refused(Refusal),
    /// The driver reports that the connection is lost.
    Left {
        /// The reason code of IEEE 802.11-2020 table 9-49; 0 when none was given.
        reason: u16,
        /// Whether this machine ended it.
        locally: bool,
    },
}

/// What is to be done, in the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Start the supplicant, or find a running one, and tell it the network, parked. [`News::Ready`] or
    /// [`News::Gone`] answers.
    Prepare,
    /// Look at all channels once. [`News::Scanned`] answers.
    Scan,
    /// Join the network. [`News::Joined`] or [`News::Refused`] answers.
    Connect,
    /// Leave the network, and do not join it by yourself.
    Park,
    /// The link is there, or there anew: get an address, or have it confirmed.
    Acquire,
    /// The link is gone: stop asking.
    Halt,
    /// Configure this lease in place of what was configured.
    Apply(Lease),
    /// Remove what was configured.
    Withdraw,
    /// Tell whoever is interested.
    Tell(Change),
    /// A machine that tries once gives up; the change just before says why.
    GiveUp,
}

/// What changed, for people and programs. Names and fields are a contract: they are added to, never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Change {
    /// Looking for the network.
    Scanning {
        /// Looks since it was last seen, from 1.
        attempt: u32,
    },
    /// It is there and is being joined.
    Associating(Sighting),
    /// It did not let us in.
    Refused {
        /// Why.
        cause: Refusal,
        /// Seconds until the next try.
        retry_s: u64,
    },
    /// Joined; asking for an address.
    GettingAddress(Sighting),
    /// Nobody gave us an address.
    NoAddress {
        /// Seconds until the next try.
        retry_s: u64,
    },
    /// Online with this address.
    Online(Lease),
    /// The lease was prolonged, or confirmed after a new association.
    Renewed(Lease),
    /// The address is no longer ours, and is removed.
    AddressLost {
        /// Why.
        cause: Loss,
    },
    /// The driver reports that the connection is lost.
    Lost {
        /// The reason code of IEEE 802.11-2020 table 9-49; 0 when none was given.
        reason: u16,
        /// Whether this machine ended it.
        locally: bool,
    },
    /// Not found in several looks; only from a machine that tries once.
    NotFound,
    /// The supplicant cannot work.
    Trouble {
        /// One sentence.
        cause: String,
        /// Seconds until the next try.
        retry_s: u64,
    },
    /// Ended by request; everything is as before. Told by whoever drives the machine.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stopped,
    Preparing,
    /// Until the wake-up, then the supplicant is started again.
    Unprepared,
    /// Until the wake-up, then the next look.
    Pausing,
    Scanning,
    Associating,
    Addressing(Sighting),
    Online(Sighting),
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    once: bool,
    phase: Phase,
    at: Option<Monotonic>,
    /// Tries that failed in a row.
    failures: u32,
    /// Looks in a row that found nothing.
    looks: u32,
    online_since: Option<Monotonic>,
    /// Whether an address is configured.
    applied: Option<Lease>,
    outputs: VecDeque<Output>,
}

impl Machine {
    /// A machine at rest. With `once` it gives up at the first failure or loss instead of trying again.
    pub const fn new(once: bool) -> Self {
        Self {
            once,
            phase: Phase::Stopped,
            at: None,
            failures: 0,
            looks: 0,
            online_since: None,
            applied: None,
            outputs: VecDeque::new(),
        }
    }

    /// Begins.
    pub fn start(&mut self, now: Monotonic) {
        if self.phase == Phase::Stopped {
            self.prepare(now);
        }
    }

    /// What the supplicant reports.
    pub fn handle_news(&mut self, news: News, now: Monotonic) {
        match (self.phase, news) {
            (Phase::Stopped | Phase::Unprepared, _) => {}
            (Phase::Preparing, News::Ready) => self.scan(now),
            (_, News::Gone(cause)) => self.unprepared(cause, now),
            (Phase::Scanning, News::Scanned(Some(seen))) => {
                self.looks = 0;
                self.put(Output::Connect);
                self.tell(Change::Associating(seen));
                self.enter(Phase::Associating, ASSOCIATE, now);
            }
            (Phase::Scanning, News::Scanned(None)) => self.unseen(now),
            // A supplicant that others use may join by their request, while we look.
            (Phase::Scanning | Phase::Pausing | Phase::Associating, News::Joined(access_point)) => {
                self.looks = 0;
                self.put(Output::Acquire);
                self.tell(Change::GettingAddress(access_point));
                self.enter(Phase::Addressing(access_point), ADDRESS, now);
            }
            // To another access point of the same network, or the same one anew: the address is confirmed.
            (Phase::Addressing(_) | Phase::Online(_), News::Joined(access_point)) => {
                self.put(Output::Acquire);
                self.enter(Phase::Addressing(access_point), ADDRESS, now);
            }
            (Phase::Associating, News::Refused(cause)) => self.refused(cause, now),
            (Phase::Addressing(_) | Phase::Online(_), News::Left { reason, locally }) => {
                self.lost(reason, locally, now);
            }
            // News of an earlier phase.
            (_, News::Ready | News::Scanned(_) | News::Joined(_) | News::Refused(_) | News::Left { .. }) => {}
        }
    }

    /// The DHCP client has a lease, or has it prolonged.
    pub fn handle_lease(&mut self, lease: Lease, now: Monotonic) {
        let (Phase::Addressing(access_point) | Phase::Online(access_point)) = self.phase else { return };
        let same = self.applied.as_ref().is_some_and(|applied| applied.address == lease.address);
        self.put(Output::Apply(lease.clone()));
        self.applied = Some(lease.clone());
        self.tell(if same { Change::Renewed(lease) } else { Change::Online(lease) });
        self.online_since.get_or_insert(now);
        self.phase = Phase::Online(access_point);
        self.at = None;
    }

    /// The DHCP client has lost its lease and asks for another.
    pub fn handle_lease_lost(&mut self, cause: Loss, now: Monotonic) {
        let (Phase::Addressing(access_point) | Phase::Online(access_point)) = self.phase else { return };
        if self.applied.take().is_some() {
            self.put(Output::Withdraw);
            self.tell(Change::AddressLost { cause });
        }
        self.enter(Phase::Addressing(access_point), ADDRESS, now);
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.at.is_none_or(|at| at > now) {
            return;
        }
        match self.phase {
            Phase::Stopped | Phase::Online(_) => self.at = None,
            Phase::Preparing => self.unprepared("wpa_supplicant did not answer".into(), now),
            Phase::Unprepared => self.prepare(now),
            Phase::Pausing => self.scan(now),
            Phase::Scanning => self.unseen(now),
            Phase::Associating => self.refused(Refusal::Timeout, now),
            Phase::Addressing(_) => {
                self.unlink();
                self.put(Output::Park);
                let pause = self.fail().max(REFUSED);
                self.tell(Change::NoAddress { retry_s: pause.as_secs() });
                self.pause(pause, now);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` while online or stopped.
    pub const fn poll_timeout(&self) -> Option<Monotonic> {
        self.at
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn prepare(&mut self, now: Monotonic) {
        self.put(Output::Prepare);
        self.enter(Phase::Preparing, PREPARE, now);
    }

    fn scan(&mut self, now: Monotonic) {
        self.looks = self.looks.saturating_add(1);
        self.put(Output::Scan);
        self.tell(Change::Scanning { attempt: self.looks });
        self.enter(Phase::Scanning, SCAN, now);
    }

    fn unseen(&mut self, now: Monotonic) {
        if self.once && self.looks >= LOOKS {
            self.tell(Change::NotFound);
            return self.give_up();
        }
        self.pause(pause_after(self.looks), now);
    }

    fn unprepared(&mut self, cause: String, now: Monotonic) {
        self.unlink();
        let pause = self.fail().max(Duration::from_secs(1));
        self.tell(Change::Trouble { cause, retry_s: pause.as_secs() });
        if self.once {
            return self.give_up();
        }
        self.enter(Phase::Unprepared, pause, now);
    }

    fn refused(&mut self, cause: Refusal, now: Monotonic) {
        self.put(Output::Park);
        let pause = self.fail().max(REFUSED);
        self.tell(Change::Refused { cause, retry_s: pause.as_secs() });
        self.pause(pause, now);
    }

    fn lost(&mut self, reason: u16, locally: bool, now: Monotonic) {
        let good = self.online_since.is_some_and(|since| now.since(since) >= STABLE);
        self.unlink();
        self.put(Output::Park);
        self.tell(Change::Lost { reason, locally });
        let pause = if good {
            self.failures = 0;
            Duration::ZERO
        } else {
            self.fail()
        };
        if self.once {
            return self.give_up();
        }
        if pause.is_zero() { self.scan(now) } else { self.pause(pause, now) }
    }

    /// The link is gone, and with it what was configured on it.
    fn unlink(&mut self) {
        if matches!(self.phase, Phase::Addressing(_) | Phase::Online(_)) {
            self.put(Output::Halt);
        }
        if self.applied.take().is_some() {
            self.put(Output::Withdraw);
        }
        self.online_since = None;
    }

    /// One more try has failed: how long to wait.
    fn fail(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause_after(self.failures)
    }

    fn pause(&mut self, pause: Duration, now: Monotonic) {
        if self.once && self.failures > 0 {
            return self.give_up();
        }
        self.enter(Phase::Pausing, pause, now);
    }

    fn give_up(&mut self) {
        self.put(Output::GiveUp);
        self.rest();
    }

    const fn rest(&mut self) {
        self.phase = Phase::Stopped;
        self.at = None;
    }

    fn enter(&mut self, phase: Phase, limit: Duration, now: Monotonic) {
        self.phase = phase;
        self.at = Some(now + limit);
    }

    fn tell(&mut self, change: Change) {
        self.put(Output::Tell(change));
    }

    fn put(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

/// How long to wait after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let index = usize::try_from(failures).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    Duration::from_secs(PAUSES.get(index).copied().unwrap_or_default())
}
