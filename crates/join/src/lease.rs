//! What a server has granted.

use alloc::{string::String, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};

use hn_types::{MacAddr, Subnet4};
use serde::Serialize;

use crate::message::Answer;

/// Name servers beyond this many are not kept: no resolver asks more.
const DNS_LIMIT: usize = 3;

/// An address and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The address with its prefix.
    pub address: Subnet4,
    /// The way out (option 3), if the network has one.
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6), at most three.
    pub dns: Vec<Ipv4Addr>,
    /// The domain (option 15) as text of printable ASCII.
    pub domain: Option<String>,
    /// Who granted it (option 54).
    pub server: Ipv4Addr,
    /// The hardware address the answer came from.
    #[serde(skip)]
    pub server_mac: MacAddr,
    /// Seconds from the grant to the end; `None`: forever.
    #[serde(rename = "lease_s")]
    pub seconds: Option<u32>,
    /// From the grant to the first try to prolong it (T1).
    #[serde(skip)]
    pub renew: Duration,
    /// From the grant to the first try with any server (T2).
    #[serde(skip)]
    pub rebind: Duration,
}

impl Lease {
    /// What `answer` grants; `None` when no host could use it.
    pub(crate) fn new(answer: &Answer, server_mac: MacAddr) -> Option<Self> {
        let address = answer.address?;
        let unusable = address.is_broadcast() || address.is_multicast() || address.is_loopback();
        let prefix = prefix(answer.mask, address)?;
        let seconds = answer.lease?;
        let server = answer.server?;
        if unusable || seconds == 0 {
            return None;
        }
        let whole = Duration::from_secs(seconds.into());
        // RFC 2131 §4.4.5: T1 before T2 before the end, else the defaults.
        let given = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let rebind = given(answer.rebind).filter(|rebind| *rebind < whole).unwrap_or(whole * 7 / 8);
        let renew =
            given(answer.renew).filter(|renew| *renew < rebind).unwrap_or_else(|| rebind.min(whole / 2));
        Some(Self {
            address: Subnet4::new(address, prefix)?,
            router: answer.router.filter(|router| !router.is_unspecified()),
            dns: answer.dns.iter().copied().filter(|dns| !dns.is_unspecified()).take(DNS_LIMIT).collect(),
            domain: answer.domain.clone(),
            server,
            server_mac,
            seconds: (seconds != u32::MAX).then_some(seconds),
            renew,
            rebind,
        })
    }

    /// The address whose silence says that this network is another one now: the server's or the router's, if it
    /// is on this link.
    pub(crate) fn witness(&self) -> Option<Ipv4Addr> {
        core::iter::once(self.server)
            .chain(self.router)
            .find(|address| self.address.contains(*address) && *address != self.address.address())
    }
}

/// Bits of `mask`; without one, those of the address's class (RFC 791). `None`: not a mask.
fn prefix(mask: Option<Ipv4Addr>, address: Ipv4Addr) -> Option<u8> {
    let Some(mask) = mask else {
        return Some(match address.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            _ => 24,
        });
    };
    let bits = mask.to_bits();
    let prefix = u8::try_from(bits.leading_ones()).ok()?;
    (bits.count_ones() == bits.leading_ones() && prefix > 0).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            address: Some(Ipv4Addr::new(192, 168, 173, 5)),
            mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            server: Some(Ipv4Addr::new(192, 168, 173, 1)),
            lease: Some(800),
            ..Answer::default()
        }
    }

    fn lease(answer: &Answer) -> Option<Lease> {
        Lease::new(answer, MacAddr([2, 0, 0, 0, 0, 1]))
    }

    #[test]
    fn without_times_of_its_own_a_lease_is_renewed_at_half_and_rebound_at_seven_eighths() {
        let lease = lease(&answer()).expect("usable");
        assert_eq!((lease.renew.as_secs(), lease.rebind.as_secs()), (400, 700));
        assert_eq!(lease.address.prefix(), 24);
    }

    #[test]
    fn times_out_of_order_are_replaced_by_the_defaults() {
        let wrong = Answer { renew: Some(750), rebind: Some(900), ..answer() };
        let lease = lease(&wrong).expect("usable");
        assert_eq!((lease.renew.as_secs(), lease.rebind.as_secs()), (400, 700));
        let short = Answer { rebind: Some(100), ..answer() };
        let lease = self::lease(&short).expect("usable");
        assert!(lease.renew <= lease.rebind);
    }

    #[test]
    fn what_no_host_can_use_is_no_lease() {
        for address in [[255, 255, 255, 255], [224, 0, 0, 1], [127, 0, 0, 1]] {
            let address = Some(address.into());
            assert_eq!(lease(&Answer { address, ..answer() }), None, "{address:?}");
        }
        assert_eq!(lease(&Answer { address: None, ..answer() }), None);
        assert_eq!(lease(&Answer { mask: Some(Ipv4Addr::new(255, 0, 255, 0)), ..answer() }), None);
        assert_eq!(lease(&Answer { lease: None, ..answer() }), None);
        assert_eq!(lease(&Answer { lease: Some(0), ..answer() }), None);
        assert_eq!(lease(&Answer { server: None, ..answer() }), None);
    }

    #[test]
    fn the_witness_is_on_the_link() {
        assert_eq!(lease(&answer()).and_then(|lease| lease.witness()), Some(Ipv4Addr::new(192, 168, 173, 1)));
        let elsewhere = Answer { server: Some(Ipv4Addr::new(10, 0, 0, 1)), ..answer() };
        assert_eq!(lease(&elsewhere).and_then(|lease| lease.witness()), None);
    }

    #[test]
    fn a_lease_without_end_has_no_seconds() {
        assert_eq!(
            lease(&Answer { lease: Some(u32::MAX), ..answer() }).map(|lease| lease.seconds),
            Some(None)
        );
    }
}
