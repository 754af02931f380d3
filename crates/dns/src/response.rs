//! What resolvers answer: whether it is an answer to what we asked, and what follows from it.

use hn_types::Monotonic;

use crate::{
    ask::Manner,
    forwarder::Forwarder,
    lookup::Attempt,
    message::TtlLimits,
    name::{Case, Name},
    output::{Route, RouteTransport},
    wire::{HEADER, IN, MAX_MESSAGE, MAX_UDP, flag, rcode, u16_at},
};

/// What the header and the question of a response say about it.
enum Verdict {
    /// To our question.
    Ours { question_end: usize, case_kept: bool },
    /// FORMERR or NOTIMP of a resolver that could not even read the question.
    Unread,
    /// To another question.
    Mismatched,
}

impl Forwarder {
    /// A message that came in on a socket towards a resolver. It is believed only if it came on the very
    /// socket its question went out on, with that question's id, name and letters.
    pub fn handle_response(&mut self, message: &[u8], from: Route, now: Monotonic) {
        let longest = match from.transport {
            RouteTransport::Udp { .. } => usize::from(MAX_UDP),
            RouteTransport::Tcp { .. } => MAX_MESSAGE,
        };
        let (Some(id), Some(flags)) = (u16_at(message, 0), u16_at(message, 2)) else {
            self.distrust(from, |c| &mut c.response_malformed);
            return;
        };
        if message.len() < HEADER || message.len() > longest || flags & (flag::QR | flag::OPCODE) != flag::QR
        {
            self.distrust(from, |c| &mut c.response_malformed);
            return;
        }
        let Some((lookup, number)) = self.lookups.find_attempt(from, id) else {
            self.distrust(from, |c| &mut c.response_unexpected);
            return;
        };
        let Some(entry) = self.lookups.get(lookup) else { return };
        let Some(attempt) = entry.attempts.get(number).copied().flatten() else { return };
        match judge(message, flags, entry.kind, &entry.name, attempt.case) {
            Verdict::Ours { question_end, case_kept } => {
                let answer = Answer { message, flags, question_end, case_kept };
                self.take_answer(&answer, lookup, number, &attempt, now);
            }
            Verdict::Unread if attempt.edns => self.ask_without_edns(lookup, number, &attempt, now),
            Verdict::Unread => {
                self.counters.upstream_failures += 1;
                self.end_attempt(lookup, number, now);
                self.attempt_failed(lookup, now);
            }
            Verdict::Mismatched => self.distrust(from, |c| &mut c.response_mismatched),
        }
    }

    fn take_answer(
        &mut self,
        answer: &Answer<'_>,
        lookup: u32,
        number: usize,
        attempt: &Attempt,
        now: Monotonic,
    ) {
        let upstream = attempt.route.upstream;
        let tcp = matches!(attempt.route.transport, RouteTransport::Tcp { .. });
        let code = answer.flags & flag::RCODE;
        if !answer.case_kept {
            if !tcp {
                // Either a forger who did not know the letters, or a resolver that changes them. TCP tells.
                self.counters.case_mismatches += 1;
                self.ask_over_tcp(lookup, number, attempt, now);
                return;
            }
            if let Some(upstream) = self.upstreams.get(upstream) {
                upstream.loses_case(now);
            }
        }
        if answer.flags & flag::TC != 0 && !tcp {
            self.upstream_succeeded(upstream, attempt.sent, now);
            self.counters.tcp_retries += 1;
            self.ask_over_tcp(lookup, number, attempt, now);
            return;
        }
        if attempt.edns && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
            self.upstream_succeeded(upstream, attempt.sent, now);
            self.ask_without_edns(lookup, number, attempt, now);
            return;
        }

        let limits = TtlLimits { positive: self.config.max_ttl, negative: self.config.max_negative_ttl };
        let Some(entry) = self.lookups.get(lookup) else { return };
        let walked = self.packer.pack(answer.message, answer.question_end, entry.kind, limits);
        let Some(walked) = walked.filter(|_| answer.flags & flag::TC == 0) else {
            self.counters.response_malformed += 1;
            self.end_attempt(lookup, number, now);
            self.attempt_failed(lookup, now);
            return;
        };
        self.packer.set_question(entry.name.wire());
        let probing = entry.probe.is_some();
        self.upstream_succeeded(upstream, attempt.sent, now);
        match walked.rcode {
            rcode::NOERROR | rcode::NXDOMAIN | rcode::YXDOMAIN => {
                if let Some(upstream) = self.upstreams.get(upstream).filter(|_| !attempt.edns) {
                    upstream.lacks_edns(now);
                }
                if let Some(lifetime) = walked.lifetime.filter(|_| !probing) {
                    self.keep(lookup, walked.shape, lifetime, now);
                }
                self.deliver(lookup, walked.shape, now);
            }
            failure => {
                self.counters.upstream_failures += 1;
                if let Some(entry) = self.lookups.get_mut(lookup) {
                    entry.error = Some((failure, walked.shape.ede));
                }
                self.end_attempt(lookup, number, now);
                self.attempt_failed(lookup, now);
            }
        }
    }

    fn ask_over_tcp(&mut self, lookup: u32, number: usize, attempt: &Attempt, now: Monotonic) {
        self.end_attempt(lookup, number, now);
        let manner = Manner { tcp: true, edns: attempt.edns };
        if !self.ask(lookup, attempt.route.upstream, manner, now) {
            self.attempt_failed(lookup, now);
        }
    }

    fn ask_without_edns(&mut self, lookup: u32, number: usize, attempt: &Attempt, now: Monotonic) {
        self.counters.edns_fallbacks += 1;
        self.end_attempt(lookup, number, now);
        let tcp = matches!(attempt.route.transport, RouteTransport::Tcp { .. });
        if !self.ask(lookup, attempt.route.upstream, Manner { tcp, edns: false }, now) {
            self.attempt_failed(lookup, now);
        }
    }

    fn distrust(&mut self, from: Route, counter: fn(&mut crate::Counters) -> &mut u64) {
        *counter(&mut self.counters) += 1;
        self.upstreams.suspect(from);
    }
}

/// A response to our question.
struct Answer<'a> {
    message: &'a [u8],
    flags: u16,
    question_end: usize,
    case_kept: bool,
}

fn judge(message: &[u8], flags: u16, kind: u16, name: &Name, case: Case) -> Verdict {
    match u16_at(message, 4) {
        Some(0) if matches!(flags & flag::RCODE, rcode::FORMERR | rcode::NOTIMP) => Verdict::Unread,
        Some(1) => match Name::read(message, HEADER) {
            Some((theirs, end))
                if theirs == *name
                    && u16_at(message, end) == Some(kind)
                    && u16_at(message, end + 2) == Some(IN) =>
            {
                let case_kept = Case::of(message.get(HEADER..end).unwrap_or_default()) == case;
                Verdict::Ours { question_end: end + 4, case_kept }
            }
            Some(_) | None => Verdict::Mismatched,
        },
        Some(_) | None => Verdict::Mismatched,
    }
}
