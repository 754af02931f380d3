//! Replies, written straight into the output buffer.

use alloc::vec::Vec;

use crate::{
    message::Shape,
    name::{Case, Name},
    output::{Client, ClientTransport},
    query::Query,
    wire::{HEADER, IN, MAX_MESSAGE, MIN_UDP, ede, flag, kind, rcode, set_u16, set_u32, u16_at, u32_at},
};

/// What a reply must know of its question beside the question itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) client: Client,
    pub(crate) id: u16,
    /// `RD` and `CD` as they came.
    pub(crate) flags: u16,
    /// Payload size the client offered, when it speaks EDNS.
    pub(crate) edns_size: Option<u16>,
    pub(crate) dnssec_ok: bool,
    /// The client understands `AD` (RFC 6840 §5.7).
    pub(crate) wants_ad: bool,
}

impl Asker {
    pub(crate) fn of(query: &Query, client: Client) -> Self {
        Self {
            client,
            id: query.id,
            flags: query.flags & (flag::RD | flag::CD),
            edns_size: query.edns.map(|edns| edns.size),
            dnssec_ok: query.dnssec_ok(),
            wants_ad: query.flags & flag::AD != 0 || query.dnssec_ok(),
        }
    }

    /// Longest reply this client takes.
    fn limit(&self, own_size: u16) -> usize {
        match (self.client.transport, self.edns_size) {
            (ClientTransport::Tcp(_), _) => MAX_MESSAGE,
            (ClientTransport::Udp, None) => usize::from(MIN_UDP),
            (ClientTransport::Udp, Some(size)) => usize::from(size.clamp(MIN_UDP, own_size)),
        }
    }
}

/// How the name in the reply gets the letters of the question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Letters<'a> {
    /// Copied from the client's own message.
    Raw(&'a [u8]),
    /// From the case that was put aside.
    Kept(Case, &'a Name),
}

/// A message that is being completed: where it begins in the buffer and what of it must not be cut.
#[derive(Clone, Copy, Debug)]
struct Parts {
    start: usize,
    question_end: usize,
    additional_at: usize,
}

/// Completes a packed answer that was appended to `buffer` at `start`: name, id, flags, TTLs, size. True
/// when it had to be truncated.
pub(crate) fn finish_packed(
    buffer: &mut Vec<u8>,
    start: usize,
    shape: Shape,
    asker: &Asker,
    letters: Letters<'_>,
    age: u32,
    own_size: u16,
) -> bool {
    let length = usize::from(shape.length);
    let message_end = start + length;
    if age > 0 {
        let mut offset_at = message_end;
        while let Some(offset) = u16_at(buffer, offset_at) {
            let at = start + usize::from(offset);
            let ttl = u32_at(buffer, at).unwrap_or(0);
            set_u32(buffer, at, ttl.saturating_sub(age));
            offset_at += 2;
        }
    }
    buffer.truncate(message_end);

    let name_len = match letters {
        Letters::Raw(raw) => {
            if let Some(slot) = buffer.get_mut(start + HEADER..).and_then(|b| b.get_mut(..raw.len())) {
                slot.copy_from_slice(raw);
            }
            raw.len()
        }
        Letters::Kept(case, name) => {
            let len = name.wire().len();
            if let Some(slot) = buffer.get_mut(start + HEADER..).and_then(|b| b.get_mut(..len)) {
                slot.copy_from_slice(name.wire());
                case.apply(slot);
            }
            len
        }
    };
    let stored = u16_at(buffer, start + 2).unwrap_or(0);
    let ad = if asker.wants_ad { stored & flag::AD } else { 0 };
    set_u16(buffer, start, asker.id);
    set_u16(buffer, start + 2, flag::QR | flag::RA | asker.flags | ad | (stored & flag::RCODE));
    let parts =
        Parts { start, question_end: HEADER + name_len + 4, additional_at: usize::from(shape.additional_at) };
    seal(buffer, parts, asker, 0, shape.ede, own_size)
}

/// Writes an answer without records. `question` is the question as the client wrote it, absent when there
/// was none that could be read.
pub(crate) fn write_error(
    buffer: &mut Vec<u8>,
    asker: &Asker,
    question: Option<&[u8]>,
    code: u16,
    ede: Option<u16>,
    own_size: u16,
) {
    let start = buffer.len();
    header(buffer, asker, flag::QR | flag::RA | (code & flag::RCODE), u16::from(question.is_some()));
    buffer.extend_from_slice(question.unwrap_or_default());
    let end = buffer.len() - start;
    let parts = Parts { start, question_end: end, additional_at: end };
    let extended = u8::try_from(code >> 4).unwrap_or(0);
    seal(buffer, parts, asker, extended, ede, own_size);
}

fn header(buffer: &mut Vec<u8>, asker: &Asker, flags: u16, questions: u16) {
    for word in [asker.id, flags | asker.flags, questions, 0, 0, 0] {
        buffer.extend_from_slice(&word.to_be_bytes());
    }
}

/// Cuts a message down to what its client takes and ends it with OPT when the client sent one.
fn seal(
    buffer: &mut Vec<u8>,
    parts: Parts,
    asker: &Asker,
    extended: u8,
    ede: Option<u16>,
    own_size: u16,
) -> bool {
    let start = parts.start;
    let opt = match (asker.edns_size, ede) {
        (None, _) => 0,
        (Some(_), None) => 11,
        (Some(_), Some(_)) => 17,
    };
    let limit = asker.limit(own_size);
    let mut truncated = false;
    if buffer.len() - start + opt > limit {
        if parts.additional_at + opt <= limit {
            // Additional records are optional: leaving them out is no truncation (RFC 2181 §9).
            buffer.truncate(start + parts.additional_at);
            set_u16(buffer, start + 10, 0);
        } else {
            truncated = true;
            buffer.truncate(start + parts.question_end);
            for at in [6, 8, 10] {
                set_u16(buffer, start + at, 0);
            }
            let flags = u16_at(buffer, start + 2).unwrap_or(0);
            set_u16(buffer, start + 2, flags | flag::TC);
        }
    }
    if asker.edns_size.is_some() {
        let additional = u16_at(buffer, start + 10).unwrap_or(0);
        set_u16(buffer, start + 10, additional.saturating_add(1));
        buffer.push(0);
        buffer.extend_from_slice(&kind::OPT.to_be_bytes());
        buffer.extend_from_slice(&own_size.to_be_bytes());
        buffer.extend_from_slice(&[extended, 0, if asker.dnssec_ok { 0x80 } else { 0 }, 0]);
        match ede {
            None => buffer.extend_from_slice(&[0, 0]),
            Some(code) => {
                for word in [6, ede::OPTION, 2, code] {
                    buffer.extend_from_slice(&word.to_be_bytes());
                }
            }
        }
    }
    truncated
}

/// Writes an authoritative answer record by record.
#[derive(Debug)]
pub(crate) struct Author<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    question_end: usize,
    answers: u16,
    authorities: u16,
}

impl<'a> Author<'a> {
    /// Begins an answer; `question` is the question as the client wrote it.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, asker: &Asker, question: &[u8], code: u16) -> Self {
        let start = buffer.len();
        header(buffer, asker, flag::QR | flag::AA | flag::RA | code, 1);
        buffer.extend_from_slice(question);
        let question_end = buffer.len() - start;
        Self { buffer, start, question_end, answers: 0, authorities: 0 }
    }

    /// An answer about the name in the question.
    pub(crate) fn answer(&mut self, kind: u16, ttl: u32, data: &[&[u8]]) {
        self.answers += 1;
        // The name of the question stands right after the header.
        self.record(&[0xc0, 12], kind, ttl, data);
    }

    /// A record of the authority section; no answer may follow.
    pub(crate) fn authority(&mut self, owner: &Name, kind: u16, ttl: u32, data: &[&[u8]]) {
        self.authorities += 1;
        self.record(owner.wire(), kind, ttl, data);
    }

    /// Completes the answer; true when it had to be truncated.
    pub(crate) fn finish(self, asker: &Asker, own_size: u16) -> bool {
        set_u16(self.buffer, self.start + 6, self.answers);
        set_u16(self.buffer, self.start + 8, self.authorities);
        let end = self.buffer.len() - self.start;
        let parts = Parts { start: self.start, question_end: self.question_end, additional_at: end };
        seal(self.buffer, parts, asker, 0, None, own_size)
    }

    fn record(&mut self, owner: &[u8], kind: u16, ttl: u32, data: &[&[u8]]) {
        self.buffer.extend_from_slice(owner);
        self.buffer.extend_from_slice(&kind.to_be_bytes());
        self.buffer.extend_from_slice(&IN.to_be_bytes());
        self.buffer.extend_from_slice(&ttl.to_be_bytes());
        let length: usize = data.iter().map(|part| part.len()).sum();
        // At most two names and five numbers.
        self.buffer.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
        for part in data {
            self.buffer.extend_from_slice(part);
        }
    }
}

/// The code a client is told: what has no meaning to it becomes SERVFAIL.
pub(crate) fn code_for_client(code: u16) -> u16 {
    match code {
        rcode::NOERROR | rcode::NXDOMAIN | rcode::REFUSED | rcode::YXDOMAIN => code,
        _ => rcode::SERVFAIL,
    }
}
