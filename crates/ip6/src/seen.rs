//! Which addresses are in use on the segment, learned from what neighbours say of themselves.
//!
//! A device that makes itself an address asks whether somebody has it (duplicate address detection); when
//! nobody objects, it has it. Later it is asked now and then, and forgotten when it no longer answers. The first
//! who has an address keeps it until then: who comes later is not believed.

use alloc::collections::{BTreeMap, BTreeSet};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{MacAddr, Monotonic};

use crate::{config::Limits, counters::DropReason};

/// How long nobody may object until an address is its asker's: RetransTimer and as much again, since a device
/// may ask twice.
const OBJECTION: Duration = Duration::from_secs(2);
/// How long a sign of life is believed.
const FRESH: Duration = Duration::from_secs(600);
/// Questions to one that is silent, and the pause between them.
const PROBES: u8 = 4;
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has just been asked for.
    Tentative,
    Held,
    /// It has been silent for long; so many questions are left.
    Doubted(u8),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: MacAddr,
    state: State,
    due: Monotonic,
}

/// What time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nobody objected.
    Held(Ipv6Addr, MacAddr),
    /// Ask it.
    Probe(Ipv6Addr, MacAddr),
    /// It does not answer.
    Gone(Ipv6Addr, MacAddr),
}

/// What a sign of life means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The address was unknown.
    New,
    /// It was known, and has been for so long that it is worth telling again.
    Again,
    /// It was known.
    Known,
    /// It was held by another, who has been silent for long.
    Moved(MacAddr),
}

/// The table.
#[derive(Debug)]
pub(crate) struct Seen {
    most: usize,
    most_of_one: usize,
    held: BTreeMap<Ipv6Addr, Entry>,
    dues: BTreeSet<(Monotonic, Ipv6Addr)>,
    devices: BTreeMap<MacAddr, usize>,
}

impl Seen {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            most: limits.seen,
            most_of_one: limits.seen_per_device,
            held: BTreeMap::new(),
            dues: BTreeSet::new(),
            devices: BTreeMap::new(),
        }
    }

    /// Who has `address`, when that is certain.
    pub(crate) fn holder(&self, address: Ipv6Addr) -> Option<MacAddr> {
        self.held.get(&address).filter(|entry| entry.state != State::Tentative).map(|entry| entry.mac)
    }

    /// Who is about to take `address`.
    pub(crate) fn asker(&self, address: Ipv6Addr) -> Option<MacAddr> {
        self.held.get(&address).filter(|entry| entry.state == State::Tentative).map(|entry| entry.mac)
    }

    /// All that are certain.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, MacAddr)> + '_ {
        let certain = self.held.iter().filter(|(_, entry)| entry.state != State::Tentative);
        certain.map(|(address, entry)| (*address, entry.mac))
    }

    /// `mac` looks whether `address` is free. An error: it is somebody's, or there is no room.
    pub(crate) fn claim(
        &mut self,
        address: Ipv6Addr,
        mac: MacAddr,
        now: Monotonic,
    ) -> Result<(), DropReason> {
        match self.held.get(&address) {
            None => self.insert(address, Entry { mac, state: State::Tentative, due: now + OBJECTION }),
            // It asks again: after it lost the link, for example. That is a sign of life, not a new question.
            Some(entry) if entry.mac == mac => Ok(()),
            Some(Entry { state: State::Tentative, .. }) => {
                // Two want it at once, and so nobody gets it (RFC 4862 §5.4.3).
                self.remove(address);
                Err(DropReason::Conflict)
            }
            Some(_) => Err(DropReason::Conflict),
        }
    }

    /// `mac` speaks with `address`, or says that it has it.
    pub(crate) fn sign(
        &mut self,
        address: Ipv6Addr,
        mac: MacAddr,
        now: Monotonic,
    ) -> Result<Sign, DropReason> {
        let fresh = Entry { mac, state: State::Held, due: now + FRESH };
        match self.held.get(&address).copied() {
            None => self.insert(address, fresh).map(|()| Sign::New),
            Some(entry)
                if entry.mac == mac && entry.state == State::Held && entry.due.since(now) > FRESH / 2 =>
            {
                Ok(Sign::Known)
            }
            Some(entry) if entry.mac == mac => {
                self.put(address, fresh);
                Ok(if entry.state == State::Tentative { Sign::New } else { Sign::Again })
            }
            // It is in use by another than the one who wants it.
            Some(Entry { state: State::Tentative, .. }) => {
                self.remove(address);
                self.insert(address, fresh).map(|()| Sign::New)
            }
            Some(Entry { state: State::Doubted(_), mac: before, .. }) => {
                self.remove(address);
                self.insert(address, fresh).map(|()| Sign::Moved(before))
            }
            Some(Entry { state: State::Held, .. }) => Err(DropReason::Conflict),
        }
    }

    /// Somebody has `address` already: whoever wants it does not get it. Whether anybody wanted it.
    pub(crate) fn object(&mut self, address: Ipv6Addr) -> bool {
        self.asker(address).is_some() && self.remove(address).is_some()
    }

    /// Forgets what `keep` does not want, one at a time.
    pub(crate) fn pop_unless(
        &mut self,
        keep: impl Fn(Ipv6Addr) -> bool,
    ) -> Option<(Ipv6Addr, MacAddr, bool)> {
        let address = self.held.keys().copied().find(|address| !keep(*address))?;
        let entry = self.remove(address)?;
        Some((address, entry.mac, entry.state != State::Tentative))
    }

    /// The next thing that is due.
    pub(crate) fn pop_due(&mut self, now: Monotonic) -> Option<Due> {
        let (_, address) = *self.dues.first().filter(|(due, _)| *due <= now)?;
        let Entry { mac, state, .. } = *self.held.get(&address)?;
        match state {
            State::Tentative => {
                self.put(address, Entry { mac, state: State::Held, due: now + FRESH });
                Some(Due::Held(address, mac))
            }
            State::Held => {
                self.put(address, Entry { mac, state: State::Doubted(PROBES - 1), due: now + PAUSE });
                Some(Due::Probe(address, mac))
            }
            State::Doubted(0) => {
                self.remove(address);
                Some(Due::Gone(address, mac))
            }
            State::Doubted(left) => {
                self.put(address, Entry { mac, state: State::Doubted(left - 1), due: now + PAUSE });
                Some(Due::Probe(address, mac))
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<Monotonic> {
        self.dues.first().map(|(due, _)| *due)
    }

    fn insert(&mut self, address: Ipv6Addr, entry: Entry) -> Result<(), DropReason> {
        let of_one = self.devices.get(&entry.mac).copied().unwrap_or_default();
        if self.held.len() >= self.most || of_one >= self.most_of_one {
            return Err(DropReason::TooManySeen);
        }
        *self.devices.entry(entry.mac).or_default() += 1;
        self.put(address, entry);
        Ok(())
    }

    /// Writes an entry whose device does not change.
    fn put(&mut self, address: Ipv6Addr, entry: Entry) {
        if let Some(before) = self.held.insert(address, entry) {
            self.dues.remove(&(before.due, address));
        }
        self.dues.insert((entry.due, address));
    }

    fn remove(&mut self, address: Ipv6Addr) -> Option<Entry> {
        let entry = self.held.remove(&address)?;
        self.dues.remove(&(entry.due, address));
        if let Some(count) = self.devices.get_mut(&entry.mac) {
            *count -= 1;
            if *count == 0 {
                self.devices.remove(&entry.mac);
            }
        }
        Some(entry)
    }
}
