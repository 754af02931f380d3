//! How much a sender may ask for.
//!
//! Token buckets in a table of fixed size, found by a keyed hash of the sender: a sender cannot choose whose
//! bucket it shares, and senders that are made up cost nothing. One more bucket is for all of them together.

use alloc::{boxed::Box, vec};
use core::time::Duration;

use hn_types::{MacAddr, Monotonic, siphash::SipKey};

use crate::{config::Limits, counters::DropReason};

/// Buckets in the table.
const BUCKETS: usize = 256;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a packet.
    tokens: u64,
    at: Monotonic,
}

impl Bucket {
    pub(crate) const fn full(burst: u64, now: Monotonic) -> Self {
        Self { tokens: burst * 1_000, at: now }
    }

    pub(crate) fn take(&mut self, now: Monotonic, rate: u64, burst: u64) -> bool {
        let gained = now.since(self.at).min(Duration::from_secs(3_600)).as_millis() as u64 * rate;
        // Time that gained nothing is kept for the next look.
        if gained > 0 {
            self.tokens = (self.tokens + gained).min(burst * 1_000);
            self.at = now;
        }
        let enough = self.tokens >= 1_000;
        if enough {
            self.tokens -= 1_000;
        }
        enough
    }
}

#[derive(Debug)]
pub(crate) struct Rate {
    key: SipKey,
    senders: Box<[Bucket]>,
    total: Bucket,
}

impl Rate {
    pub(crate) fn new(key: SipKey, limits: Limits, now: Monotonic) -> Self {
        let full = |burst: u32| Bucket::full(burst.into(), now);
        Self { key, senders: vec![full(limits.burst); BUCKETS].into(), total: full(limits.total_rate) }
    }

    /// Whether one more packet of `sender` is handled.
    pub(crate) fn admit(
        &mut self,
        sender: MacAddr,
        limits: Limits,
        now: Monotonic,
    ) -> Result<(), DropReason> {
        let index = self.key.hash(&sender.0, 0) as usize % BUCKETS;
        let bucket = &mut self.senders[index];
        if !bucket.take(now, limits.rate.into(), limits.burst.into()) {
            return Err(DropReason::SourceRate);
        }
        // A second's worth may come at once.
        let total = u64::from(limits.total_rate);
        if self.total.take(now, total, total) { Ok(()) } else { Err(DropReason::TotalRate) }
    }
}
