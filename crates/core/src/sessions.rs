//! Who is there and who holds the hosted network up (spec/hosted-network.md §3).

use alloc::collections::BTreeMap;

use crate::command::SessionId;

/// Open sessions and their references.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<SessionId, u32>,
    forced: bool,
}

impl Sessions {
    /// A session begins. `false`: there are too many; it can call nothing.
    pub(crate) fn open(&mut self, session: SessionId, limit: usize) -> bool {
        if self.open.len() >= limit && !self.open.contains_key(&session) {
            return false;
        }
        self.open.entry(session).or_default();
        true
    }

    /// A session ends and its references with it.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.open.remove(&session);
    }

    /// Whether there is no room for another session.
    pub(crate) fn full(&self, limit: usize) -> bool {
        self.open.len() >= limit
    }

    pub(crate) fn is_open(&self, session: SessionId) -> bool {
        self.open.contains_key(&session)
    }

    /// References of one session.
    pub(crate) fn held_by(&self, session: SessionId) -> u32 {
        self.open.get(&session).copied().unwrap_or_default()
    }

    /// References of all sessions.
    pub(crate) fn references(&self) -> u32 {
        self.open.values().fold(0, |sum, held| sum.saturating_add(*held))
    }

    /// Takes a reference; nothing happens for a session that is gone.
    pub(crate) fn acquire(&mut self, session: SessionId) {
        if let Some(held) = self.open.get_mut(&session) {
            *held = held.saturating_add(1);
        }
    }

    /// Gives a reference back. `false`: there was none.
    pub(crate) fn release(&mut self, session: SessionId) -> bool {
        match self.open.get_mut(&session) {
            Some(held) if *held > 0 => {
                *held -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether a ForceStart is in effect.
    pub(crate) const fn forced(&self) -> bool {
        self.forced
    }

    pub(crate) const fn force(&mut self) {
        self.forced = true;
    }

    /// Whether anything holds the network up.
    pub(crate) fn wanted(&self) -> bool {
        self.forced || self.references() > 0
    }

    /// The network stopped: nobody holds it any more.
    pub(crate) fn void(&mut self) {
        self.open.values_mut().for_each(|held| *held = 0);
        self.forced = false;
    }
}
