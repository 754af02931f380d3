//! What a client asks.

use crate::{
    name::{self, Name},
    wire::{HEADER, flag, kind, u16_at, u32_at},
};

/// A well-formed question of a client.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// Where the question ends in the message.
    pub(crate) question_end: usize,
    pub(crate) edns: Option<Edns>,
}

/// The OPT record of a client (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edns {
    pub(crate) size: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

/// Why a message is not a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too short to have an id.
    Length,
    /// A response.
    Response,
    /// Not a standard query.
    Opcode { id: u16, flags: u16 },
    /// Not well-formed.
    Malformed { id: u16, flags: u16 },
}

impl Query {
    /// Reads a whole message; nothing may be missing or left over.
    pub(crate) fn read(message: &[u8]) -> Result<Self, Refusal> {
        let (Some(id), Some(flags)) = (u16_at(message, 0), u16_at(message, 2)) else {
            return Err(Refusal::Length);
        };
        if message.len() < HEADER {
            return Err(Refusal::Length);
        }
        if flags & flag::QR != 0 {
            return Err(Refusal::Response);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Refusal::Opcode { id, flags });
        }
        Self::read_body(message, id, flags).ok_or(Refusal::Malformed { id, flags })
    }

    fn read_body(message: &[u8], id: u16, flags: u16) -> Option<Self> {
        let counts = [4, 6, 8].map(|at| u16_at(message, at));
        if counts != [Some(1), Some(0), Some(0)] || flags & flag::TC != 0 {
            return None;
        }
        let (name, end) = Name::read(message, HEADER)?;
        let kind = u16_at(message, end)?;
        let class = u16_at(message, end + 2)?;
        let question_end = end + 4;

        let mut at = question_end;
        let mut edns = None;
        for _ in 0..u16_at(message, 10)? {
            let owner = at;
            at = name::skip(message, owner)?;
            let record = u16_at(message, at)?;
            let length = u16_at(message, at + 8)?;
            if record == kind::OPT {
                let root = message.get(owner) == Some(&0);
                if edns.is_some() || !root {
                    return None;
                }
                let [_, version, high, _] = u32_at(message, at + 4)?.to_be_bytes();
                let options = message.get(at + 10..at + 10 + usize::from(length))?;
                if !options_are_sound(options) {
                    return None;
                }
                let size = u16_at(message, at + 2)?;
                edns = Some(Edns { size, version, dnssec_ok: high & 0x80 != 0 });
            }
            at += 10 + usize::from(length);
        }
        (at == message.len()).then_some(Self { id, flags, name, kind, class, question_end, edns })
    }

    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

fn options_are_sound(mut options: &[u8]) -> bool {
    while !options.is_empty() {
        let Some(length) = u16_at(options, 2) else { return false };
        let Some(rest) = options.get(4 + usize::from(length)..) else { return false };
        options = rest;
    }
    true
}
