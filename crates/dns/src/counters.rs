//! What happened, by reason.

use serde::{Deserialize, Serialize};

/// Counts since the forwarder was made. Every query that is not answered appears in exactly one of the
/// fields whose name begins with `dropped_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams and TCP messages from clients.
    pub queries: u64,
    /// Replies queued for clients.
    pub replies: u64,
    /// Answered from the cache.
    pub hits: u64,
    /// Needed a resolver.
    pub misses: u64,
    /// Joined an identical question in flight.
    pub coalesced: u64,
    /// Answered from the names known here.
    pub local: u64,
    /// Replies cut short for the client's size, `TC` set.
    pub truncated: u64,
    /// Answers refreshed before they expired.
    pub prefetches: u64,

    /// From an address outside the private subnet, or one nobody can hold.
    pub dropped_source: u64,
    /// Shorter than a header, or longer than allowed.
    pub dropped_length: u64,
    /// A response (`QR` set) sent to the client side.
    pub dropped_response: u64,
    /// The same question again from the same socket while it is in flight.
    pub dropped_duplicate: u64,
    /// The reply did not fit in the output queue.
    pub dropped_output: u64,
    /// Forgotten because the segment's address changed under the question.
    pub dropped_reconfigured: u64,

    /// Answered FORMERR.
    pub malformed: u64,
    /// Answered REFUSED or NOTIMP.
    pub refused: u64,
    /// Answered BADVERS.
    pub bad_version: u64,
    /// Answered SERVFAIL: the client has too many questions in flight.
    pub client_limit: u64,
    /// Answered SERVFAIL: too many questions in flight or clients waiting.
    pub lookup_limit: u64,
    /// Answered SERVFAIL: no resolver is known.
    pub no_upstream: u64,
    /// Answered with a failure: every resolver failed or was silent.
    pub failures: u64,

    /// Questions sent to resolvers, retries included.
    pub asks: u64,
    /// Of these, over TCP.
    pub asks_tcp: u64,
    /// Attempts that ran into their timeout.
    pub timeouts: u64,
    /// Attempts that ended with a socket error.
    pub upstream_errors: u64,
    /// Error answers of resolvers (SERVFAIL, REFUSED and the like).
    pub upstream_failures: u64,
    /// Truncated answers asked for again over TCP.
    pub tcp_retries: u64,
    /// Resolvers that had to be asked without EDNS.
    pub edns_fallbacks: u64,
    /// Answers whose name came back in another case; asked for again over TCP.
    pub case_mismatches: u64,
    /// Answers that match no question in flight: late, duplicated or forged.
    pub response_unexpected: u64,
    /// Answers to another question than the one with their id: forged or broken.
    pub response_mismatched: u64,
    /// Answers that are not well-formed.
    pub response_malformed: u64,
    /// Questions that could not be queued.
    pub output_full: u64,

    /// Answers put into the cache.
    pub cache_inserts: u64,
    /// Answers evicted before they expired.
    pub cache_evictions: u64,
    /// Answers too long to be kept.
    pub cache_too_long: u64,
    /// Names of devices that were not taken: not a label, reserved, or no room.
    pub names_refused: u64,
}
