//! How much a sender may ask for.
//!
//! Token buckets in a table of fixed size, found by a keyed hash of the sender: a sender cannot choose whose
//! bucket it shares, and senders that are made up cost nothing. One more bucket is for all of them together.

use alloc::{boxed::Box, vec};
use core::{net::IpAddr, time::Duration};

use hn_types::{Monotonic, siphash::SipKey};

use crate::counters::DropReason;

/// Buckets in the table.
const BUCKETS: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a packet.
    tokens: u64,
    at: Monotonic,
}

impl Bucket {
    fn take(&mut self, now: Monotonic, rate: u64, burst: u64) -> bool {
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
    rate: u64,
    burst: u64,
    total_rate: u64,
    senders: Box<[Bucket]>,
    total: Bucket,
}

impl Rate {
    pub(crate) fn new(key: SipKey, rate: u32, burst: u32, total_rate: u32, now: Monotonic) -> Self {
        let full = |burst: u32| Bucket { tokens: u64::from(burst) * 1_000, at: now };
        Self {
            key,
            rate: rate.into(),
            burst: burst.into(),
            total_rate: total_rate.into(),
            senders: vec![full(burst); BUCKETS].into(),
            total: full(total_rate),
        }
    }

    /// Whether one more of `sender` is handled.
    pub(crate) fn admit(&mut self, sender: IpAddr, now: Monotonic) -> Result<(), DropReason> {
        // A device chooses its IPv6 addresses freely, but within its own /64 only it and its neighbours do:
        // every address has its bucket, and all together have theirs.
        let hash = match sender {
            IpAddr::V4(address) => self.key.hash(&address.octets(), 4),
            IpAddr::V6(address) => self.key.hash(&address.octets(), 6),
        };
        if !self.senders[hash as usize % BUCKETS].take(now, self.rate, self.burst) {
            return Err(DropReason::SourceRate);
        }
        // A second's worth may come at once.
        let enough = self.total.take(now, self.total_rate, self.total_rate);
        if enough { Ok(()) } else { Err(DropReason::TotalRate) }
    }
}
