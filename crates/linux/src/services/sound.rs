//! What a worker may say: it parses strangers' bytes, so its word is checked like a stranger's.

use std::net::IpAddr;

use hn_types::{
    Subnet4, Subnet6,
    observed::{Lease, ServiceEvent, ServiceTrouble, Uplink6},
};

use super::channel::Breach;

/// Leases in one message (the contract of [`ServiceEvent::Leases`]).
const LEASES: usize = 200;
/// Counters in one message.
const COUNTERS: usize = 256;

/// The event, if it speaks only of what is the worker's to speak of.
pub(super) fn sound(
    event: ServiceEvent,
    subnet: Subnet4,
    ipv6: Option<Subnet6>,
    dns: bool,
) -> Result<ServiceEvent, Breach> {
    let foreign = |lease: &Lease| match lease.address {
        IpAddr::V4(address) => !subnet.contains(address),
        // Devices have addresses of the uplink's prefixes, too, which come and go.
        IpAddr::V6(address) => {
            !ipv6.is_some_and(|subnet| subnet.contains(address) || address.octets()[0] >> 5 == 1)
        }
    };
    match event {
        ServiceEvent::LeaseBound(lease) if foreign(&lease) => {
            Err(format!("it leased {}, which is not of its network", lease.address))
        }
        ServiceEvent::Leases { leases, .. } if leases.len() > LEASES || leases.iter().any(foreign) => {
            Err("it listed leases that are not of its network, or too many".into())
        }
        ServiceEvent::Counters(counters) if counters.len() > COUNTERS => {
            Err("it has too many counters".into())
        }
        ServiceEvent::Dns { .. } if !dns => Err("it spoke of a name server that it does not run".into()),
        ServiceEvent::WorkerLost { .. }
        | ServiceEvent::DnsMoved { .. }
        | ServiceEvent::Trouble {
            kind: ServiceTrouble::DhcpPort | ServiceTrouble::Ipv6 | ServiceTrouble::PortMap,
            ..
        } => Err("it spoke of what it cannot know".into()),
        ServiceEvent::Uplink6(given) if ipv6.is_none() || !plausible(&given) => {
            Err("it spoke of prefixes that nobody delegates".into())
        }
        ServiceEvent::Dns { serving, cause } => Ok(ServiceEvent::Dns { serving, cause: legible(&cause) }),
        ServiceEvent::Trouble { kind, cause } => Ok(ServiceEvent::Trouble { kind, cause: legible(&cause) }),
        sound @ (ServiceEvent::LeaseBound(_)
        | ServiceEvent::LeaseEnded { .. }
        | ServiceEvent::Leases { .. }
        | ServiceEvent::Uplink6(_)
        | ServiceEvent::Counters(_)) => Ok(sound),
    }
}

/// Whether an uplink may give that: global unicast prefixes of a length that makes sense.
fn plausible(given: &Uplink6) -> bool {
    let global = |prefix: Subnet6| prefix.address().octets()[0] >> 5 == 1 && prefix == prefix.network();
    given.delegated.is_none_or(|prefix| global(prefix) && (16..=64).contains(&prefix.prefix()))
        && given.shared.is_none_or(|prefix| global(prefix) && prefix.prefix() == 64)
}

/// A stranger's sentence, safe to show and of bounded length.
pub(super) fn legible(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use hn_types::{MacAddr, Wall};

    use super::*;

    #[test]
    fn a_worker_speaks_only_of_its_own() {
        let subnet = "192.168.137.1/24".parse().expect("valid");
        let lease = |address: [u8; 4]| Lease {
            mac: MacAddr::ZERO,
            address: IpAddr::from(address),
            hostname: String::new(),
            expires: Wall::from_unix(0),
        };
        assert!(sound(ServiceEvent::LeaseBound(lease([192, 168, 137, 9])), subnet, None, true).is_ok());
        assert!(sound(ServiceEvent::LeaseBound(lease([10, 0, 0, 9])), subnet, None, true).is_err());
        let ipv6 = "fd00::1/64".parse().ok();
        let six = |address: &str| {
            let address = address.parse().expect("valid");
            ServiceEvent::LeaseBound(Lease { address, ..lease([192, 168, 137, 9]) })
        };
        assert!(sound(six("fd00::9"), subnet, ipv6, true).is_ok());
        assert!(sound(six("fd01::9"), subnet, ipv6, true).is_err());
        assert!(sound(six("fd00::9"), subnet, None, true).is_err());
        assert!(sound(six("2001:db8::9"), subnet, ipv6, true).is_ok(), "of the uplink");
        assert!(sound(six("fe80::9"), subnet, ipv6, true).is_err());
        let uplink = |delegated: &str, shared: &str| {
            let interface = "eth0".parse().expect("valid");
            let given = Uplink6 {
                interface,
                delegated: delegated.parse().ok(),
                shared: shared.parse().ok(),
                settled: true,
            };
            sound(ServiceEvent::Uplink6(given), subnet, ipv6, true)
        };
        assert!(uplink("2001:db8:100::/56", "2001:db8:1::/64").is_ok());
        for (delegated, shared) in
            [("::/0", ""), ("2001:db8::1/64", ""), ("fd00::/48", ""), ("", "2001:db8::/60")]
        {
            assert!(uplink(delegated, shared).is_err(), "{delegated} {shared}");
        }
        let many = ServiceEvent::Leases {
            leases: vec![lease([192, 168, 137, 9]); LEASES + 1],
            more: false,
            first: true,
        };
        assert!(sound(many, subnet, None, true).is_err());
        assert!(sound(ServiceEvent::WorkerLost { cause: String::new() }, subnet, None, true).is_err());
        let cause = "line\u{1b}[2J\n".repeat(100);
        let Ok(ServiceEvent::Trouble { cause, .. }) =
            sound(ServiceEvent::Trouble { kind: ServiceTrouble::LeaseStore, cause }, subnet, None, true)
        else {
            panic!("a trouble stays a trouble")
        };
        assert!(cause.len() < 2000 && !cause.chars().any(char::is_control));
    }
}
