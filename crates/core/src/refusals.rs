//! What the servers refused: counted by them, by reason, and shown in the status.

use alloc::vec::Vec;

use hn_types::observed::Counter;

/// Of what servers count, refusals that are not called `…_dropped_…`.
const OTHERS: &[&str] = &[
    "dhcp_overlong",
    "dhcp_damaged",
    "ipv6_overlong",
    "ipv6_refused",
    "dns_malformed",
    "dns_refused",
    "dns_bad_version",
    "dns_client_limit",
    "dns_lookup_limit",
    "dns_response_unexpected",
    "dns_response_mismatched",
    "dns_response_malformed",
    "dns_connections_refused",
    "portmap_overlong",
    "portmap_connections_refused",
];

/// What of `counters` tells of something that was not served, and happened.
pub(crate) fn refusals(counters: Vec<Counter>) -> Vec<Counter> {
    let refusal = |name: &str| name.contains("_dropped_") || OTHERS.contains(&name);
    counters.into_iter().filter(|counter| counter.value > 0 && refusal(&counter.name)).collect()
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;

    #[test]
    fn only_what_was_refused_and_happened_is_shown() {
        let counter = |name: &str, value| Counter { name: name.to_string(), value };
        let counted = vec![
            counter("dhcp_acks", 7),
            counter("dhcp_dropped_truncated", 3),
            counter("dhcp_dropped_udp", 0),
            counter("ipv6_uplink_dropped_unasked", 2),
            counter("dns_malformed", 1),
            counter("dns_cache_evictions", 9),
        ];
        let shown: Vec<_> =
            refusals(counted).into_iter().map(|counter| (counter.name, counter.value)).collect();
        let expected =
            [("dhcp_dropped_truncated", 3), ("ipv6_uplink_dropped_unasked", 2), ("dns_malformed", 1)];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_string(), value)));
    }
}
