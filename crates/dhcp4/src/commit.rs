//! Records on their way to the disk, and the acknowledgements that wait for them.

use alloc::{collections::VecDeque, vec::Vec};

use crate::{event::CommitId, lease::Snapshot};

/// What a record was written for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A lease: acknowledged when the record is on disk, rolled back to `undo` when it isn't.
    Bind {
        undo: Snapshot,
        /// The acknowledgement; `None` once the client has given the address back.
        ack: Option<Vec<u8>>,
        renewed: bool,
    },
    /// The client has left already; the record only remembers that.
    Note,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) commit: CommitId,
    pub(crate) slot: u32,
    pub(crate) purpose: Purpose,
}

/// All records handed out, oldest first; the first `settled` of them wait to be reported.
#[derive(Debug)]
pub(crate) struct Commits {
    queue: VecDeque<Pending>,
    settled: usize,
    next: u64,
}

impl Commits {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::with_capacity(limit.min(256)), settled: 0, next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn push(&mut self, slot: u32, purpose: Purpose) -> CommitId {
        self.next += 1;
        let commit = CommitId(self.next);
        self.queue.push_back(Pending { commit, slot, purpose });
        commit
    }

    /// The oldest record up to `commit` that isn't settled; it is then.
    pub(crate) fn settle_next(&mut self, commit: CommitId) -> Option<&mut Pending> {
        let next = self.queue.get_mut(self.settled).filter(|pending| pending.commit <= commit)?;
        self.settled += 1;
        Some(next)
    }

    /// The oldest settled record.
    pub(crate) fn pop_settled(&mut self) -> Option<Pending> {
        self.settled = self.settled.checked_sub(1)?;
        self.queue.pop_front()
    }

    /// Whether an unsettled record would bind `slot`.
    pub(crate) fn will_bind(&self, slot: u32) -> bool {
        let bind = |p: &Pending| p.slot == slot && matches!(p.purpose, Purpose::Bind { .. });
        self.queue.iter().skip(self.settled).any(bind)
    }

    /// The acknowledgement of the newest unsettled lease of `slot`.
    pub(crate) fn newest_ack(&mut self, slot: u32) -> Option<&mut Option<Vec<u8>>> {
        self.queue.range_mut(self.settled..).rev().find_map(|pending| match &mut pending.purpose {
            Purpose::Bind { ack, .. } if pending.slot == slot => Some(ack),
            Purpose::Bind { .. } | Purpose::Note => None,
        })
    }

    /// Takes an acknowledgement of `slot`, settled or not, so that it doesn't leave any more.
    pub(crate) fn take_ack(&mut self, slot: u32) -> Option<Vec<u8>> {
        self.queue.iter_mut().find_map(|pending| match &mut pending.purpose {
            Purpose::Bind { ack, .. } if pending.slot == slot => ack.take(),
            Purpose::Bind { .. } | Purpose::Note => None,
        })
    }
}
