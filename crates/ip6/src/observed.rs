//! What routers advertise on the uplink: prefixes of its link, and where it translates to IPv4 (RFC 4861 §4.2,
//! RFC 8781).

use alloc::vec::Vec;
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{Monotonic, Subnet6};

use crate::{
    config::Nat64,
    counters::DropReason,
    frame::{Envelope, NdOptions},
};

pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
const PREFIX_INFORMATION: u8 = 3;
const PREF64: u8 = 38;
/// On the link, and addresses may be made of it.
const ON_LINK_AUTONOMOUS: u8 = 0xc0;
/// Prefixes remembered of one link.
const PREFIXES: usize = 8;
const FOREVER: u32 = u32::MAX;

/// A prefix of the uplink's link that devices could share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The prefix, a /64.
    pub network: Subnet6,
    /// Until when it is preferred.
    pub preferred_until: Monotonic,
    /// Until when it is valid.
    pub valid_until: Monotonic,
}

/// What is known of the link.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// In the order in which they were first advertised.
    prefixes: Vec<Shared>,
    nat64: Option<Nat64>,
}

impl Observed {
    /// Takes an advertisement in.
    pub(crate) fn handle(&mut self, envelope: &Envelope<'_>, now: Monotonic) -> Result<(), DropReason> {
        envelope.discovery(16)?;
        if !envelope.from.address.is_unicast_link_local() {
            return Err(DropReason::Source);
        }
        let options = envelope.payload.get(16..).unwrap_or_default();
        // All or nothing: a broken advertisement says nothing (RFC 4861 §6.1.2).
        for option in NdOptions(options) {
            option?;
        }
        for (kind, data) in NdOptions(options).flatten() {
            match kind {
                PREFIX_INFORMATION => self.handle_prefix(data, now),
                PREF64 => self.handle_nat64(data, now),
                _ => {}
            }
        }
        Ok(())
    }

    fn handle_prefix(&mut self, data: &[u8], now: Monotonic) {
        let Some(fixed) = data.first_chunk::<30>() else { return };
        let [length, flags, a, b, c, d, e, f, g, h, _, _, _, _, prefix @ ..] = *fixed;
        let Some(network) = Subnet6::new(Ipv6Addr::from(prefix), length).map(Subnet6::network) else {
            return;
        };
        if length != 64 || flags & ON_LINK_AUTONOMOUS != ON_LINK_AUTONOMOUS || !leads_out(network) {
            return;
        }
        let (valid, preferred) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if preferred > valid {
            return;
        }
        let fresh =
            Shared { network, preferred_until: until(preferred, now), valid_until: until(valid, now) };
        self.prefixes.retain(|known| known.valid_until > now || known.network == network);
        if let Some(known) = self.prefixes.iter_mut().find(|known| known.network == network) {
            *known = fresh;
        } else if self.prefixes.len() < PREFIXES {
            self.prefixes.push(fresh);
        }
    }

    fn handle_nat64(&mut self, data: &[u8], now: Monotonic) {
        let Some(&[high, low, ref prefix @ ..]) = data.first_chunk::<14>() else { return };
        let scaled = u16::from_be_bytes([high, low]);
        let length = match scaled & 7 {
            0 => 96,
            1 => 64,
            2 => 56,
            3 => 48,
            4 => 40,
            5 => 32,
            _ => return,
        };
        let mut octets = [0; 16];
        octets[..12].copy_from_slice(prefix);
        let Some(prefix) = Subnet6::new(octets.into(), length).map(Subnet6::network) else { return };
        let lifetime = u32::from(scaled & !7);
        if lifetime == 0 {
            if self.nat64.is_some_and(|known| known.prefix == prefix) {
                self.nat64 = None;
            }
        } else if self.nat64.is_none_or(|known| known.prefix == prefix || known.until <= now) {
            self.nat64 = Some(Nat64 { prefix, until: until(lifetime, now) });
        }
    }

    /// The prefix that can be shared: the first that is preferred, so that it stays the same.
    pub(crate) fn shared(&self, now: Monotonic) -> Option<Shared> {
        self.prefixes.iter().copied().find(|prefix| prefix.preferred_until > now && prefix.valid_until > now)
    }

    pub(crate) fn nat64(&self, now: Monotonic) -> Option<Nat64> {
        self.nat64.filter(|nat64| nat64.until > now)
    }

    /// When something of it ends.
    pub(crate) fn next_end(&self, now: Monotonic) -> Option<Monotonic> {
        let prefixes = self.prefixes.iter().flat_map(|prefix| [prefix.preferred_until, prefix.valid_until]);
        prefixes.chain(self.nat64.map(|nat64| nat64.until)).filter(|end| *end > now).min()
    }
}

/// Whether addresses of the prefix are global unicast ones (RFC 4291 §2.4): others lead nowhere from here.
pub(crate) const fn leads_out(network: Subnet6) -> bool {
    network.address().octets()[0] >> 5 == 1
}

/// When a lifetime in seconds ends.
pub(crate) fn until(seconds: u32, now: Monotonic) -> Monotonic {
    // Infinity is a century.
    let seconds = if seconds == FOREVER { 3_155_760_000 } else { u64::from(seconds) };
    now + Duration::from_secs(seconds)
}
