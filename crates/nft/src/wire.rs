//! Netlink framing: messages, attributes, and the numbers of `linux/netfilter/nf_tables.h` that we use.
//!
//! Lengths are in bytes and native order, attribute values that are numbers in network order. What is read is
//! bounded by the slice it stands in; a length that does not fit is [`Malformed`].

use alloc::vec::Vec;
use core::fmt;

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
/// Family `inet`.
pub(crate) const INET: u8 = 1;
/// Any family.
pub(crate) const UNSPEC: u8 = 0;
/// Number of the nf_tables subsystem of nfnetlink.
pub(crate) const NFTABLES: u8 = 10;

/// `NLM_F_*`.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const ACK: u16 = 4;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const CAPPED: u16 = 0x100;
    pub(crate) const ACK_ATTRIBUTES: u16 = 0x200;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// Message types.
pub(crate) mod message {
    use super::NFTABLES;
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
    pub(crate) const BATCH_BEGIN: u16 = 0x10;
    pub(crate) const BATCH_END: u16 = 0x11;
    const BASE: u16 = (NFTABLES as u16) << 8;
    pub(crate) const NEW_TABLE: u16 = BASE;
    pub(crate) const GET_TABLE: u16 = BASE | 1;
    pub(crate) const DELETE_TABLE: u16 = BASE | 2;
    pub(crate) const NEW_CHAIN: u16 = BASE | 3;
    pub(crate) const GET_CHAIN: u16 = BASE | 4;
    pub(crate) const NEW_RULE: u16 = BASE | 6;
    pub(crate) const GET_RULE: u16 = BASE | 7;
    pub(crate) const NEW_SET: u16 = BASE | 9;
    pub(crate) const GET_SET: u16 = BASE | 10;
    pub(crate) const NEW_ELEMENTS: u16 = BASE | 12;
    pub(crate) const GET_ELEMENTS: u16 = BASE | 13;
    pub(crate) const NEW_GENERATION: u16 = BASE | 15;
    pub(crate) const GET_GENERATION: u16 = BASE | 16;
    pub(crate) const TRACE: u16 = BASE | 17;
}

/// Attribute types.
pub(crate) mod attribute {
    pub(crate) const LIST_ELEMENT: u16 = 1;
    pub(crate) const TABLE_NAME: u16 = 1;
    pub(crate) const TABLE_FLAGS: u16 = 2;
    pub(crate) const TABLE_USE: u16 = 3;
    pub(crate) const TABLE_USERDATA: u16 = 6;
    pub(crate) const CHAIN_TABLE: u16 = 1;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    pub(crate) const RULE_TABLE: u16 = 1;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const RULE_USERDATA: u16 = 7;
    pub(crate) const GENERATION_ID: u16 = 1;
    /// `NLMSGERR_ATTR_MSG`.
    pub(crate) const ERROR_TEXT: u16 = 1;
}

/// Bytes that are not netlink, or are more than we are ready to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A length points outside of what contains it.
    Length,
    /// An attribute has the wrong size or is missing.
    Value,
    /// More than we are ready to keep: [`Installed::LIMIT`](crate::Installed::LIMIT), [`Foreign::LIMIT`](crate::Foreign::LIMIT).
    TooMany,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a length in the kernel's answer does not fit",
            Self::Value => "an attribute in the kernel's answer is missing or has the wrong size",
            Self::TooMany => "there are more rules than anybody needs",
        })
    }
}

impl core::error::Error for Malformed {}

/// Appends messages and attributes.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    /// One message with a `nfgenmsg`; `resource` is 0 but for the ends of a batch.
    pub(crate) fn message(
        &mut self,
        (kind, flags, sequence): (u16, u16, u32),
        (family, resource): (u8, u16),
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        body(self);
        let length =
            u32::try_from(self.bytes.len() - start).expect("a message of ours is a few hundred bytes");
        self.patch(start, &length.to_ne_bytes());
    }

    /// One attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.tlv(kind, |w| w.bytes.extend(value));
    }

    /// An attribute that is a number in network order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute that is a text ended by a zero byte.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.tlv(kind, |w| {
            w.bytes.extend(value.bytes());
            w.bytes.push(0);
        });
    }

    /// An attribute that contains attributes.
    pub(crate) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        const NESTED: u16 = 0x8000;
        self.tlv(kind | NESTED, body);
    }

    fn tlv(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        body(self);
        let length =
            u16::try_from(self.bytes.len() - start).expect("an attribute of ours is a few hundred bytes");
        self.patch(start, &length.to_ne_bytes());
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn patch(&mut self, at: usize, with: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(with) {
            *to = *from;
        }
    }
}

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The sequence number of the request it answers.
    pub sequence: u32,
    /// The dump it belongs to was overtaken by a change and may be inconsistent.
    pub interrupted: bool,
    /// What it says.
    pub content: Content<'a>,
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The fate of a request: 0 or a positive errno, with the kernel's explanation if it had one.
    Status(i32, Option<&'a str>),
    /// The end of a dump: 0 or a positive errno.
    Done(i32),
    /// Something that exists.
    Record(Record<'a>),
}

/// Something that exists, still in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) kind: u16,
    pub(crate) family: u8,
    pub(crate) attributes: &'a [u8],
}

impl Record<'_> {
    /// Whether it is our table or something in it, also in an announcement that it is gone.
    pub fn ours(&self) -> bool {
        // Whatever belongs to a table names it first; the table itself does too.
        let named = || {
            let ([name], _) = pick(self.attributes, [attribute::TABLE_NAME]).ok()?;
            name.and_then(text_of)
        };
        self.family == INET && self.kind != message::NEW_GENERATION && named() == Some(crate::TABLE)
    }

    /// The generation of the whole rule set, if this is the answer to [`Request::Generation`](crate::Request).
    pub fn generation(&self) -> Option<u32> {
        if self.kind != message::NEW_GENERATION {
            return None;
        }
        let ([id], _) = pick(self.attributes, [attribute::GENERATION_ID]).ok()?;
        id.and_then(be32)
    }
}

/// The messages of one datagram.
pub fn replies(datagram: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, Malformed>> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = split_message(rest);
        rest = next.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(next.and_then(|(message, _)| reply(message)))
    })
}

/// The first message and what follows it.
fn split_message(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let length = bytes.first_chunk::<4>().ok_or(Malformed::Length)?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).map_err(|_| Malformed::Length)?;
    if length < HEADER {
        return Err(Malformed::Length);
    }
    let message = bytes.get(..length).ok_or(Malformed::Length)?;
    Ok((message, bytes.get(aligned(length)..).unwrap_or_default()))
}

fn reply(message: &[u8]) -> Result<Reply<'_>, Malformed> {
    let (header, payload) = message.split_first_chunk::<HEADER>().ok_or(Malformed::Length)?;
    let [_, _, _, _, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let kind = u16::from_ne_bytes([k0, k1]);
    let flags = u16::from_ne_bytes([f0, f1]);
    let content = match kind {
        message::ERROR => {
            let (errno, original) = payload.split_first_chunk::<4>().ok_or(Malformed::Length)?;
            let errno = i32::from_ne_bytes(*errno).checked_neg().ok_or(Malformed::Value)?;
            Content::Status(errno, explanation(flags, original))
        }
        message::DONE => {
            let errno = payload.first_chunk::<4>().map_or(0, |errno| i32::from_ne_bytes(*errno));
            Content::Done(errno.checked_neg().ok_or(Malformed::Value)?)
        }
        kind => {
            let (family, attributes) =
                payload.split_first_chunk::<FAMILY_HEADER>().ok_or(Malformed::Length)?;
            let [family, ..] = *family;
            Content::Record(Record { kind, family, attributes })
        }
    };
    let sequence = u32::from_ne_bytes([s0, s1, s2, s3]);
    Ok(Reply { sequence, interrupted: flags & flag::DUMP_INTERRUPTED != 0, content })
}

/// The kernel's own words behind an error, which follow the (possibly capped) copy of the request.
fn explanation(flags: u16, original: &[u8]) -> Option<&str> {
    if flags & flag::ACK_ATTRIBUTES == 0 {
        return None;
    }
    let copied = if flags & flag::CAPPED == 0 {
        usize::try_from(u32::from_ne_bytes(*original.first_chunk::<4>()?)).ok()?
    } else {
        HEADER
    };
    let attributes = original.get(copied.checked_next_multiple_of(4)?..)?;
    let ([text], _) = pick(attributes, [attribute::ERROR_TEXT]).ok()?;
    text.and_then(text_of)
}

/// The attributes of one level.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    const TYPE: u16 = 0x3fff;
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let ([l0, l1, t0, t1], _) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = rest.get(4..length);
        rest = rest.get(aligned(length)..).unwrap_or_default();
        let Some(value) = value else {
            rest = &[];
            return Some(Err(Malformed::Length));
        };
        Some(Ok((u16::from_ne_bytes([*t0, *t1]) & TYPE, value)))
    })
}

/// The values of the attributes that were looked for, and whether there were others.
type Picked<'a, const N: usize> = ([Option<&'a [u8]>; N], bool);

/// The attributes of these types, and whether there are others.
pub(crate) fn pick<const N: usize>(bytes: &[u8], kinds: [u16; N]) -> Result<Picked<'_, N>, Malformed> {
    let mut picked = [None; N];
    let mut others = false;
    for attribute in attributes(bytes) {
        let (kind, value) = attribute?;
        match picked.iter_mut().zip(kinds).find(|(_, wanted)| *wanted == kind) {
            Some((slot, _)) => *slot = Some(value),
            None => others = true,
        }
    }
    Ok((picked, others))
}

/// A number of four bytes in network order.
pub(crate) fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*as_array(value)?))
}

/// A text up to its zero byte.
pub(crate) fn text_of(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    core::str::from_utf8(value.get(..end)?).ok()
}

/// All of `value` as an array, if it has that length.
pub(crate) fn as_array<const N: usize>(value: &[u8]) -> Option<&[u8; N]> {
    value.try_into().ok()
}

const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_error_carries_the_words_of_the_kernel() {
        for capped in [true, false] {
            let mut w = Writer::default();
            let flags = flag::ACK_ATTRIBUTES | if capped { flag::CAPPED } else { 0 };
            // The four bytes of `nfgenmsg` stand where the errno is, which is overwritten below.
            w.message((message::ERROR, flags, 7), (0, 0), |w| {
                let length: u32 = if capped { 400 } else { 20 };
                w.bytes.extend(length.to_ne_bytes());
                w.bytes.extend([0; 12]);
                if !capped {
                    w.bytes.extend([9; 4]);
                }
                w.text(attribute::ERROR_TEXT, "no such chain");
            });
            w.patch(16, &(-2_i32).to_ne_bytes());
            let all: Vec<_> = replies(&w.bytes).collect::<Result<_, _>>().unwrap();
            assert_eq!(all.len(), 1);
            assert_eq!(all.first().unwrap().sequence, 7);
            assert!(matches!(all.first().unwrap().content, Content::Status(2, Some("no such chain"))));
        }
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for bad in [&[1_u8][..], &[0; 16], &[255; 16], &[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let all: Vec<_> = replies(bad).collect();
            assert!(matches!(all.as_slice(), [Err(Malformed::Length)]), "{bad:?}");
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).next(), Some(Err(Malformed::Length)));
        assert_eq!(attributes(&[9, 0, 1, 0, 0, 0, 0, 0]).next(), Some(Err(Malformed::Length)));
    }
}
