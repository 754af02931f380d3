//! Router Advertisements: what they say and when they leave (RFC 4861 §6.2, RFC 8106 §5).

use alloc::vec::Vec;
use core::time::Duration;

use hn_types::Monotonic;

use crate::{config::RawConfig, frame::Peer};

/// An advertisement after which the next follows soon, so that a device that lost one learns quickly.
const INITIAL_COUNT: u32 = 3;
/// MAX_INITIAL_RTR_ADVERT_INTERVAL.
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// MinRtrAdvInterval and MaxRtrAdvInterval.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(200), Duration::from_secs(600));
/// MIN_DELAY_BETWEEN_RAS, of those to everybody.
const LEAST_DELAY: Duration = Duration::from_secs(3);
/// MAX_RA_DELAY_TIME.
const ANSWER_DELAY: Duration = Duration::from_millis(500);

/// When the next advertisements leave.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The next one to everybody.
    next: Monotonic,
    last: Option<Monotonic>,
    /// How many more follow at [`INITIAL_INTERVAL`].
    initial: u32,
    /// Answers to single devices.
    answers: Vec<(Monotonic, Peer)>,
    limit: usize,
}

/// Random places in an interval.
pub(crate) trait Random {
    /// A duration from zero to `most`.
    fn up_to(&mut self, most: Duration) -> Duration;
}

impl Schedule {
    pub(crate) const fn new(limit: usize, now: Monotonic) -> Self {
        Self { next: now, last: None, initial: INITIAL_COUNT, answers: Vec::new(), limit }
    }

    /// What is announced has changed: everybody is told at once, as often as at the beginning.
    pub(crate) fn renew(&mut self, now: Monotonic) {
        self.initial = INITIAL_COUNT;
        self.next = self.last.map_or(now, |last| (last + LEAST_DELAY).max(now));
    }

    /// `peer` asked.
    pub(crate) fn solicit(&mut self, peer: Peer, now: Monotonic, random: &mut impl Random) {
        let at = now + random.up_to(ANSWER_DELAY);
        if let Some((_, waiting)) = self.answers.iter_mut().find(|(_, waiting)| waiting.mac == peer.mac) {
            // One answer is enough for all its questions; the last address is where it listens.
            if !peer.address.is_unspecified() {
                *waiting = peer;
            }
            return;
        }
        if !peer.address.is_unspecified() && self.answers.len() < self.limit {
            self.answers.push((at, peer));
            return;
        }
        let at = self.last.map_or(at, |last| at.max(last + LEAST_DELAY));
        self.next = self.next.min(at);
    }

    /// The receiver of the next advertisement that is due.
    pub(crate) fn pop_due(&mut self, now: Monotonic, random: &mut impl Random) -> Option<Peer> {
        if self.next <= now {
            // It answers everybody who waits.
            self.answers.clear();
            self.last = Some(now);
            self.next = if self.initial > 1 {
                self.initial -= 1;
                now + INITIAL_INTERVAL
            } else {
                self.initial = 0;
                now + INTERVAL.0 + random.up_to(INTERVAL.1 - INTERVAL.0)
            };
            return Some(Peer::EVERYBODY);
        }
        let due = self.answers.iter().position(|(at, _)| *at <= now)?;
        Some(self.answers.swap_remove(due).1)
    }

    pub(crate) fn next(&self) -> Monotonic {
        self.answers.iter().map(|(at, _)| *at).chain([self.next]).min().unwrap_or(self.next)
    }
}

/// The message, its checksum zero. `last`: this router, its resolver and its prefix end.
pub(crate) fn message(config: &RawConfig, last: bool) -> Vec<u8> {
    let lifetimes = config.lifetimes;
    let seconds = |time: Duration| if last { 0 } else { time.as_secs() as u32 };
    let router = if config.uplink.router { seconds(lifetimes.router) as u16 } else { 0 };
    // Type, code, checksum, hop limit 64; addresses and other configuration come by DHCPv6, too (M, O).
    let mut out = Vec::from([134, 0, 0, 0, 64, 0xc0]);
    out.extend_from_slice(&router.to_be_bytes());
    // Reachable time and retransmission timer: unspecified.
    out.extend_from_slice(&[0; 8]);
    // Source link-layer address.
    out.extend_from_slice(&[1, 1]);
    out.extend_from_slice(&config.mac.0);
    if let Some(mtu) = config.uplink.mtu {
        out.extend_from_slice(&[5, 1, 0, 0]);
        out.extend_from_slice(&mtu.to_be_bytes());
    }
    // Prefix information: on this link, devices may make their own addresses of it (L, A). An address in use
    // stays valid at the end (RFC 4862 §5.5.3 e would not let it go before two hours) but is used no more.
    out.extend_from_slice(&[3, 4, 64, 0xc0]);
    let valid = lifetimes.prefix_valid.as_secs() as u32;
    out.extend_from_slice(&if last { valid.min(7_200) } else { valid }.to_be_bytes());
    out.extend_from_slice(&seconds(lifetimes.prefix_preferred).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&config.host.network().address().octets());
    if config.dns {
        out.extend_from_slice(&[25, 3, 0, 0]);
        out.extend_from_slice(&seconds(lifetimes.router).to_be_bytes());
        out.extend_from_slice(&config.host.address().octets());
    }
    if let Some(domain) = &config.domain {
        let mut name = Vec::new();
        encode_name(&mut name, domain);
        name.resize(name.len().next_multiple_of(8), 0);
        // At most 200 bytes of name (`Config::new`).
        out.extend_from_slice(&[31, (name.len() / 8 + 1) as u8, 0, 0]);
        out.extend_from_slice(&seconds(lifetimes.router).to_be_bytes());
        out.extend_from_slice(&name);
    }
    out
}

/// Appends a valid domain name as DNS writes it.
pub(crate) fn encode_name(out: &mut Vec<u8>, domain: &str) {
    for label in domain.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}
