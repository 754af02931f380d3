//! ARP probes under way, and the reserve of addresses probed ahead of need.

use alloc::{collections::VecDeque, vec::Vec};

use hn_types::Monotonic;

use crate::lease::Seconds;

/// One probe.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) slot: u32,
    pub(crate) deadline: Monotonic,
    /// The client's frame that is handled again when the probe has ended; `None` for the reserve.
    pub(crate) frame: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// In order of their deadlines.
    active: VecDeque<Probe>,
    /// How many of them have a frame.
    waiting: usize,
    /// Slots and when they were found silent, oldest first.
    ready: VecDeque<(u32, Seconds)>,
}

impl Probes {
    pub(crate) fn start(&mut self, probe: Probe) {
        self.waiting += usize::from(probe.frame.is_some());
        self.active.push_back(probe);
    }

    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Addresses probed or being probed for the reserve.
    pub(crate) fn reserved(&self) -> usize {
        self.ready.len() + self.active.len() - self.waiting
    }

    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
        self.active.front().map(|probe| probe.deadline)
    }

    pub(crate) fn pop_due(&mut self, now: Monotonic) -> Option<Probe> {
        let probe = self.active.pop_front_if(|probe| probe.deadline <= now)?;
        self.waiting -= usize::from(probe.frame.is_some());
        Some(probe)
    }

    /// The reserve's probe that ends next.
    pub(crate) fn unclaimed(&self) -> Option<u32> {
        self.active.iter().find(|probe| probe.frame.is_none()).map(|probe| probe.slot)
    }

    /// The frame that waits for the probe of `slot`.
    pub(crate) fn frame_mut(&mut self, slot: u32) -> Option<&mut Vec<u8>> {
        self.active.iter_mut().find(|probe| probe.slot == slot)?.frame.as_mut()
    }

    /// Lets `frame` wait for the reserve's probe of `slot`; gives it back if there is none.
    pub(crate) fn claim(&mut self, slot: u32, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.active.iter_mut().find(|probe| probe.slot == slot && probe.frame.is_none()) {
            Some(probe) => {
                probe.frame = Some(frame);
                self.waiting += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }

    /// Ends the probe of `slot`, if any, and takes it out of the reserve.
    pub(crate) fn cancel(&mut self, slot: u32) -> Option<Vec<u8>> {
        self.ready.retain(|&(ready, _)| ready != slot);
        let at = self.active.iter().position(|probe| probe.slot == slot)?;
        let frame = self.active.remove(at)?.frame;
        self.waiting -= usize::from(frame.is_some());
        frame
    }

    pub(crate) fn add_ready(&mut self, slot: u32, now: Seconds) {
        self.ready.push_back((slot, now));
    }

    /// The freshest address of the reserve goes last, so the oldest is used first.
    pub(crate) fn oldest_ready(&self) -> Option<(u32, Seconds)> {
        self.ready.front().copied()
    }
}
