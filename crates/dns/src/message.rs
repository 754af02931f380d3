//! What a resolver answers: walked over to the last byte before anything is believed, then packed so
//! that a copy can be patched in place.

use alloc::vec::Vec;

use crate::{
    name,
    wire::{HEADER, IN, ede, flag, kind, rcode, set_u16, set_u32, u16_at, u32_at},
};

/// What patching a packed answer needs beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// Length of the message; the offsets of its TTLs follow, two bytes each.
    pub(crate) length: u16,
    /// Where the additional section begins.
    pub(crate) additional_at: u16,
    /// Extended error code of the resolver.
    pub(crate) ede: Option<u16>,
}

/// Bounds on how long answers are believed, seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TtlLimits {
    pub(crate) positive: u32,
    pub(crate) negative: u32,
}

/// A resolver's answer in packed form: the message without hop-by-hop records, `AA` and `TC` cleared,
/// its TTLs limited, followed by the offsets of the TTLs. Buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    packed: Vec<u8>,
    offsets: Vec<u16>,
}

/// The outcome of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    pub(crate) shape: Shape,
    /// Response code, extended part included.
    pub(crate) rcode: u16,
    /// Seconds the answer may be kept; `None` when it must not.
    pub(crate) lifetime: Option<u32>,
}

/// A record whose owner and data are sound.
struct Record {
    kind: u16,
    class: u16,
    ttl: u32,
    ttl_at: usize,
    data: usize,
    end: usize,
}

impl Packer {
    /// The packed answer of the last successful [`Packer::pack`].
    pub(crate) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Walks over a response whose question, about `question_kind`, ends at `question_end`.
    /// `None` when any part of it is not well-formed.
    pub(crate) fn pack(
        &mut self,
        message: &[u8],
        question_end: usize,
        question_kind: u16,
        limits: TtlLimits,
    ) -> Option<Walked> {
        self.packed.clear();
        self.offsets.clear();
        let flags = u16_at(message, 2)?;
        let mut code = flags & flag::RCODE;
        let mut ede = None;

        let mut at = question_end;
        let mut answer_ttl = u32::MAX;
        let mut answered = false;
        for _ in 0..u16_at(message, 6)? {
            let record = read_record(message, at)?;
            answered |= record.kind == question_kind;
            answer_ttl = answer_ttl.min(limit(record.ttl, limits.positive));
            self.keep(&record)?;
            at = record.end;
        }
        let negative = code == rcode::NXDOMAIN || !answered;
        let mut authority: Option<(usize, u32)> = None;
        for _ in 0..u16_at(message, 8)? {
            let record = read_record(message, at)?;
            if record.kind == kind::SOA && record.class == IN && negative && authority.is_none() {
                let minimum = u32_at(message, record.end.checked_sub(4)?)?;
                let ttl = limit(record.ttl, limits.negative).min(limit(minimum, limits.negative));
                authority = Some((record.ttl_at, ttl));
            }
            self.keep(&record)?;
            at = record.end;
        }

        let additional_at = at;
        let mut kept_end = at;
        let mut kept = 0;
        // What follows a hop-by-hop record could point into it, so the message is cut in front of the first.
        let mut cut = false;
        for _ in 0..u16_at(message, 10)? {
            let record = read_additional(message, at)?;
            if record.kind == kind::OPT {
                code |= u16::from(record.ttl.to_be_bytes()[0]) << 4;
                ede = ede.or_else(|| extended_error(message.get(record.data..record.end)?));
            }
            cut |= matches!(record.kind, kind::OPT | kind::TSIG);
            if !cut {
                self.keep(&record)?;
                kept += 1;
                kept_end = record.end;
            }
            at = record.end;
        }
        if at != message.len() {
            return None;
        }

        self.packed.extend_from_slice(message.get(..kept_end)?);
        set_u16(&mut self.packed, 2, flags & (flag::QR | flag::AD | flag::RCODE));
        set_u16(&mut self.packed, 10, kept);
        for offset in &self.offsets {
            let at = usize::from(*offset);
            let ttl = limit(u32_at(&self.packed, at)?, limits.positive);
            set_u32(&mut self.packed, at, ttl);
        }
        if let Some((at, ttl)) = authority {
            set_u32(&mut self.packed, at, ttl);
        }
        for offset in &self.offsets {
            self.packed.extend_from_slice(&offset.to_be_bytes());
        }

        let lifetime = match (code, negative, authority) {
            (rcode::NOERROR, false, _) => Some(answer_ttl),
            (rcode::NOERROR | rcode::NXDOMAIN, true, Some((_, ttl))) => Some(ttl.min(answer_ttl)),
            _ => None,
        };
        Some(Walked {
            shape: Shape {
                length: u16::try_from(kept_end).ok()?,
                additional_at: u16::try_from(additional_at).ok()?,
                ede,
            },
            rcode: code,
            lifetime: lifetime.filter(|seconds| *seconds > 0),
        })
    }

    /// Writes `name` over the name of the packed question.
    pub(crate) fn set_question(&mut self, name: &[u8]) {
        if let Some(slot) = self.packed.get_mut(HEADER..HEADER + name.len()) {
            slot.copy_from_slice(name);
        }
    }

    /// Packs an answer without records.
    pub(crate) fn pack_failure(&mut self, name: &[u8], kind: u16, code: u16, ede: Option<u16>) -> Shape {
        self.packed.clear();
        for word in [0, flag::QR | (code & flag::RCODE), 1, 0, 0, 0] {
            self.packed.extend_from_slice(&word.to_be_bytes());
        }
        self.packed.extend_from_slice(name);
        self.packed.extend_from_slice(&kind.to_be_bytes());
        self.packed.extend_from_slice(&IN.to_be_bytes());
        // A header, one name and four bytes: far below the range.
        let length = u16::try_from(self.packed.len()).unwrap_or(u16::MAX);
        Shape { length, additional_at: length, ede }
    }

    fn keep(&mut self, record: &Record) -> Option<()> {
        self.offsets.push(u16::try_from(record.ttl_at).ok()?);
        Some(())
    }
}

/// A TTL above 31 bits means zero (RFC 2181 §8).
fn limit(ttl: u32, most: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl.min(most) }
}

/// OPT belongs to the additional section only.
fn read_record(message: &[u8], at: usize) -> Option<Record> {
    read_additional(message, at).filter(|record| record.kind != kind::OPT)
}

fn read_additional(message: &[u8], at: usize) -> Option<Record> {
    let fixed = name::skip(message, at)?;
    let kind = u16_at(message, fixed)?;
    let class = u16_at(message, fixed + 2)?;
    let ttl = u32_at(message, fixed + 4)?;
    let length = usize::from(u16_at(message, fixed + 8)?);
    let data = fixed + 10;
    let end = data + length;
    if end > message.len() || (class == IN && !data_is_sound(message, kind, data, end)) {
        return None;
    }
    if kind == kind::OPT && message.get(at) != Some(&0) {
        return None;
    }
    Some(Record { kind, class, ttl, ttl_at: fixed + 4, data, end })
}

/// Whether the data of a record whose names may be compressed, or whose length is fixed, fills its length exactly.
fn data_is_sound(message: &[u8], kind: u16, data: usize, end: usize) -> bool {
    let name = |at: usize| name::skip(message, at);
    let parsed = match kind {
        kind::A => Some(data + 4),
        kind::AAAA => Some(data + 16),
        kind::NS
        | kind::MD
        | kind::MF
        | kind::CNAME
        | kind::MB
        | kind::MG
        | kind::MR
        | kind::PTR
        | kind::DNAME => name(data),
        kind::MX | kind::AFSDB | kind::RT | kind::KX => name(data + 2),
        kind::MINFO | kind::RP => name(data).and_then(name),
        kind::SRV => name(data + 6),
        kind::SOA => name(data).and_then(name).map(|at| at + 20),
        _ => Some(end),
    };
    parsed == Some(end)
}

fn extended_error(mut options: &[u8]) -> Option<u16> {
    loop {
        let code = u16_at(options, 0)?;
        let length = usize::from(u16_at(options, 2)?);
        if code == ede::OPTION {
            return (length >= 2).then(|| u16_at(options, 4)).flatten();
        }
        options = options.get(4 + length..)?;
    }
}
