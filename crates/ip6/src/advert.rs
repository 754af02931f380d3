//! Router Advertisements: what they say and when they leave (RFC 4861 §6.2, RFC 8106 §5).

use alloc::vec::Vec;
use core::time::Duration;

use hn_types::{Monotonic, Subnet6};

use crate::{config::RawConfig, frame::Peer};

/// The longest that a prefix of the uplink's is announced for, so that devices soon forget one that was lost
/// without a word (RFC 9096 §3.4).
const GLOBAL_PREFERRED: Duration = Duration::from_secs(2_700);
const GLOBAL_VALID: Duration = Duration::from_secs(5_400);
/// The longest that devices remember a prefix that must not be used any more (RFC 4862 §5.5.3 e).
pub(crate) const FORMER_VALID: Duration = Duration::from_secs(7_200);
/// All of the prefix is on this link; devices make addresses of it.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// A prefix that must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) network: Subnet6,
    pub(crate) on_link: bool,
    pub(crate) valid_until: Monotonic,
}

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

/// The message, its checksum zero. `last`: this router, its resolver and its prefixes end.
pub(crate) fn message(config: &RawConfig, former: &[Former], now: Monotonic, last: bool) -> Vec<u8> {
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
    // An address in use stays valid at the end (RFC 4862 §5.5.3 e would not let it go before two hours) but is
    // used no more.
    let mut prefix = |network: Subnet6, on_link: bool, valid: Duration, preferred: Duration| {
        let valid = if last { valid.min(FORMER_VALID) } else { valid }.as_secs() as u32;
        out.extend_from_slice(&[3, 4, 64, AUTONOMOUS | if on_link { ON_LINK } else { 0 }]);
        out.extend_from_slice(&valid.to_be_bytes());
        out.extend_from_slice(&seconds(preferred).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&network.address().octets());
    };
    prefix(config.host.network(), true, lifetimes.prefix_valid, lifetimes.prefix_preferred);
    if let Some(global) = config.uplink.global {
        let valid = global.valid_until.since(now).min(GLOBAL_VALID);
        let preferred = global.preferred_until.since(now).min(GLOBAL_PREFERRED).min(valid);
        prefix(global.network, global.on_link, valid, preferred);
    }
    for former in former {
        prefix(former.network, former.on_link, former.valid_until.since(now), Duration::ZERO);
    }
    if let Some(nat64) = config.uplink.nat64
        && config.uplink.router
        && let Some(code) = length_code(nat64.prefix)
    {
        // In units of eight seconds, rounded down so that it never outlives what the uplink said.
        let units = seconds(nat64.until.since(now).min(lifetimes.router)) / 8;
        out.extend_from_slice(&[38, 2]);
        out.extend_from_slice(&((units as u16) << 3 | code).to_be_bytes());
        out.extend_from_slice(&nat64.prefix.address().octets()[..12]);
    }
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

/// How RFC 8781 §4 writes the length of a prefix; `None` for one it has no word for.
pub(crate) const fn length_code(prefix: Subnet6) -> Option<u16> {
    match prefix.prefix() {
        96 => Some(0),
        64 => Some(1),
        56 => Some(2),
        48 => Some(3),
        40 => Some(4),
        32 => Some(5),
        _ => None,
    }
}

/// Appends a valid domain name as DNS writes it.
pub(crate) fn encode_name(out: &mut Vec<u8>, domain: &str) {
    for label in domain.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}
