//! One deadline per question in flight, at constant cost: a wheel of ticks.

use alloc::{vec, vec::Vec};

use hn_types::Monotonic;

use crate::hash::NONE;

const TICK_NANOS: u64 = 20_000_000;
/// 512 ticks of 20 ms: a little over ten seconds, the longest timeout there is.
const SLOTS: u64 = 512;

#[derive(Clone, Copy, Debug)]
struct Item {
    previous: u32,
    next: u32,
    /// Slot it hangs in, `u16::MAX` when in none.
    slot: u16,
}

const IDLE: Item = Item { previous: NONE, next: NONE, slot: u16::MAX };

/// Deadlines of items numbered from zero. A deadline is never early and at most one tick late.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Vec<u32>,
    items: Vec<Item>,
    /// The tick that is being emptied; nothing hangs before it.
    cursor: u64,
    armed: usize,
}

impl Wheel {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self {
            heads: vec![NONE; SLOTS as usize],
            items: Vec::new(),
            cursor: now.as_nanos() / TICK_NANOS,
            armed: 0,
        }
    }

    /// Sets the deadline of `item`, in place of an older one.
    pub(crate) fn arm(&mut self, item: u32, deadline: Monotonic, now: Monotonic) {
        self.disarm(item);
        if self.armed == 0 {
            self.cursor = self.cursor.max(now.as_nanos() / TICK_NANOS);
        }
        if self.items.len() <= item as usize {
            self.items.resize(item as usize + 1, IDLE);
        }
        let tick = deadline.as_nanos().div_ceil(TICK_NANOS).clamp(self.cursor, self.cursor + SLOTS - 1);
        let slot = slot_of(tick);
        let Some(head) = self.heads.get_mut(usize::from(slot)) else { return };
        let after = core::mem::replace(head, item);
        if let Some(entry) = self.items.get_mut(item as usize) {
            *entry = Item { previous: NONE, next: after, slot };
        }
        if let Some(entry) = self.items.get_mut(after as usize) {
            entry.previous = item;
        }
        self.armed += 1;
    }

    /// Takes the deadline of `item` away.
    pub(crate) fn disarm(&mut self, item: u32) {
        let Some(entry) = self.items.get_mut(item as usize) else { return };
        if entry.slot == u16::MAX {
            return;
        }
        let Item { previous, next, slot } = core::mem::replace(entry, IDLE);
        if let Some(before) = self.items.get_mut(previous as usize) {
            before.next = next;
        } else if let Some(head) = self.heads.get_mut(usize::from(slot)) {
            *head = next;
        }
        if let Some(after) = self.items.get_mut(next as usize) {
            after.previous = previous;
        }
        self.armed -= 1;
    }

    /// An item whose deadline has passed; it is taken off the wheel.
    pub(crate) fn pop(&mut self, now: Monotonic) -> Option<u32> {
        let tick = now.as_nanos() / TICK_NANOS;
        if self.armed == 0 {
            self.cursor = self.cursor.max(tick);
            return None;
        }
        while self.cursor <= tick {
            let head = self.heads.get(usize::from(slot_of(self.cursor))).copied().unwrap_or(NONE);
            if head != NONE {
                self.disarm(head);
                return Some(head);
            }
            if self.cursor == tick {
                break;
            }
            // After a long sleep one turn finds everything.
            self.cursor = (self.cursor + 1).max(tick.saturating_sub(SLOTS - 1));
        }
        None
    }

    /// When [`Wheel::pop`] will find something.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        if self.armed == 0 {
            return None;
        }
        (self.cursor..self.cursor + SLOTS)
            .find(|tick| self.heads.get(usize::from(slot_of(*tick))).is_some_and(|head| *head != NONE))
            .map(|tick| Monotonic::from_nanos(tick * TICK_NANOS))
    }
}

fn slot_of(tick: u64) -> u16 {
    // Below 512.
    (tick % SLOTS) as u16
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn deadlines_fire_in_order_never_early_and_survive_a_long_sleep() {
        let start = Monotonic::from_nanos(123_456_789_000);
        let mut wheel = Wheel::new(start);
        for (item, millis) in [(0, 800), (1, 5_000), (2, 25), (3, 800), (4, 9_000)] {
            wheel.arm(item, start + Duration::from_millis(millis), start);
        }
        wheel.disarm(3);
        assert_eq!(wheel.pop(start + Duration::from_millis(24)), None);
        let first = wheel.next().unwrap();
        assert!(first >= start + Duration::from_millis(25) && first < start + Duration::from_millis(46));
        assert_eq!(wheel.pop(first), Some(2));
        assert_eq!(wheel.pop(first), None);
        let late = start + Duration::from_secs(86_400);
        let mut fired = [wheel.pop(late), wheel.pop(late), wheel.pop(late)].map(Option::unwrap);
        fired.sort_unstable();
        assert_eq!(fired, [0, 1, 4]);
        assert_eq!((wheel.pop(late), wheel.next()), (None, None));
        wheel.arm(0, late + Duration::from_millis(100), late);
        assert_eq!(wheel.pop(late + Duration::from_millis(130)), Some(0));
        let idle = late + Duration::from_secs(3_600);
        wheel.arm(1, idle + Duration::from_secs(1), idle);
        assert!(
            wheel.next().unwrap() >= idle + Duration::from_secs(1),
            "idle time does not make a deadline early"
        );
    }
}
