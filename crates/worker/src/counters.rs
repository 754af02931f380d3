//! The counters of the engines and of what drives them, as one list with stable names.

use hn_types::observed::Counter;

use crate::{dhcp::Dhcp, dns::Dns, ipv6::Ipv6, portmap::Portmap};

/// Everything that was counted, in a fixed order.
pub(crate) fn list(
    dhcp: &Dhcp,
    ipv6: Option<&Ipv6>,
    dns: Option<&Dns>,
    portmap: Option<&Portmap>,
) -> Vec<Counter> {
    let mut list = Vec::with_capacity(256);
    let mut push = |name: &str, value: u64| list.push(Counter { name: name.to_owned(), value });

    macro_rules! fields {
        ($prefix:literal, $counters:expr, $($field:ident)*) => {
            $(push(concat!($prefix, stringify!($field)), $counters.$field);)*
        };
    }

    let counters = dhcp.server().counters();
    fields!("dhcp_", counters, discovers requests declines releases informs offers acks naks probes conflicts
        conflicts_unsaid offers_evicted persist_failures restored restore_ignored);
    for (reason, count) in counters.drops() {
        push(&format!("dhcp_dropped_{}", reason.name()), count);
    }
    fields!("dhcp_", dhcp.driven, send_failed overlong damaged);

    if let Some(ipv6) = ipv6 {
        let counters = ipv6.server().counters();
        fields!("ipv6_", counters, solicitations advertisements advertisements_unicast requests offers
            replies bound renewed released declined expired forgotten refused neighbours duplicates relayed);
        for (reason, count) in counters.drops() {
            push(&format!("ipv6_dropped_{}", reason.name()), count);
        }
        fields!("ipv6_", ipv6, send_failed overlong);
        for (reason, count) in ipv6.uplink_drops() {
            push(&format!("ipv6_uplink_dropped_{}", reason.name()), count);
        }
    }

    if let Some(dns) = dns {
        let counters = dns.forwarder().counters();
        fields!("dns_", counters, queries replies hits misses coalesced local truncated prefetches
            dropped_source dropped_length dropped_response dropped_duplicate dropped_output
            dropped_reconfigured malformed refused bad_version client_limit lookup_limit no_upstream failures
            asks asks_tcp timeouts upstream_errors upstream_failures tcp_retries edns_fallbacks
            case_mismatches response_unexpected response_mismatched response_malformed output_full
            cache_inserts cache_evictions cache_too_long names_refused);
        push("dns_send_failed", dns.send_failed);
        push("dns_connections_refused", dns.refused());
    }

    if let Some(portmap) = portmap {
        let counters = portmap.server().counters();
        fields!("portmap_", counters, natpmp pcp searches connections requests actions asks granted subscriptions
            events events_lost announcements);
        for (reason, count) in counters.drops() {
            push(&format!("portmap_dropped_{}", reason.name()), count);
        }
        fields!("portmap_", portmap, send_failed overlong);
        push("portmap_connections_refused", portmap.refused());
    }
    list
}
