//! Announcements to everybody after a restart or a change of the address outside (RFC 6886 §3.2.1, RFC 6887
//! §14.1.3): ten times, as multicast is lost easily.

use core::time::Duration;

use hn_types::Monotonic;

/// How often one announcement is made.
const TIMES: u8 = 10;
/// Between the first two; each further interval is twice as long.
const FIRST_GAP: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(crate) struct Repeats {
    next: Option<Monotonic>,
    made: u8,
}

impl Repeats {
    /// Starts anew, at once.
    pub(crate) const fn start(&mut self, now: Monotonic) {
        self.next = Some(now);
        self.made = 0;
    }

    pub(crate) const fn stop(&mut self) {
        self.next = None;
    }

    pub(crate) const fn next(&self) -> Option<Monotonic> {
        self.next
    }

    /// Whether one is due; then it counts as made.
    pub(crate) fn take(&mut self, now: Monotonic) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let gap = FIRST_GAP * (1 << self.made.min(TIMES));
        self.made += 1;
        self.next = (self.made < TIMES).then(|| now + gap);
        true
    }
}
