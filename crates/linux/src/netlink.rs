//! Small blocking netlink conversations: one request, one answer or one dump.
//!
//! The kernel carries a netlink request out within `send`, so an asynchronous client would block in the same
//! place; and the very same code has to run where no runtime exists, when the journal is replayed by
//! `hostednetd --undo`. Only the watcher of [`network`](crate::network) waits for messages.

use std::{cell::Cell, io, os::fd::AsFd, time::Duration};

use netlink_sys::Socket;
use rustix::net::{
    RecvFlags, recv,
    sockopt::{Timeout, set_socket_timeout},
};

/// `NLM_F_*`, `nlmsg_type` below 16 and the families that are spoken (`linux/netlink.h`).
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
pub(crate) const HEADER: usize = 16;

pub(crate) const ROUTE: isize = 0;
pub(crate) const NETFILTER: isize = 12;
pub(crate) const GENERIC: isize = 16;

const ACK_TLVS: u16 = 0x200;
const CAPPED: u16 = 0x100;
const NESTED: u16 = 0x8000;

/// The kernel answers at once; whoever waits longer waits for something else that holds its lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel fills dumps up to 32 KiB a message.
const BUFFER: usize = 64 * 1024;

/// A blocking conversation with one netlink family.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

/// What the kernel refused, with its own words where it gives some.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The errno.
    pub(crate) errno: i32,
    /// The kernel's extended text; empty when it gave none.
    pub(crate) text: String,
}

impl Refusal {
    /// The sentence for a person.
    pub(crate) fn cause(&self) -> String {
        let errno = errno_text(self.errno);
        if self.text.is_empty() { errno } else { format!("{errno}: {}", self.text) }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(libc::EIO), text: String::new() }
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(error: rustix::io::Errno) -> Self {
        Self { errno: error.raw_os_error(), text: String::new() }
    }
}

/// What the errno means, in the words of the C library, lower case and without its number.
pub(crate) fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Netlink {
    /// Begins a conversation with `protocol` in the network namespace of the calling thread.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        // Older kernels know neither; answers are then merely longer or poorer.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: Cell::new(1) })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), Refusal> {
        self.converse(kind, REQUEST | ACK | flags, body, &mut |_, _| {})
    }

    /// Sends one request and hands every message of the answer to `each`.
    pub(crate) fn ask(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        let ack = if flags & DUMP == DUMP { 0 } else { ACK };
        self.converse(kind, REQUEST | ack | flags, body, &mut each)
    }

    /// Sends messages that were put together elsewhere and waits for as many acknowledgements as `expected`.
    pub(crate) fn batch(&self, messages: &[u8], expected: usize) -> Result<(), Refusal> {
        self.socket.send(messages, 0)?;
        let mut seen = 0;
        let mut first: Option<Refusal> = None;
        let mut buffer = vec![0; BUFFER];
        while seen < expected && first.is_none() {
            for (header, body) in self.receive(&mut buffer)? {
                if header.kind == ERROR {
                    seen += 1;
                    if let Err(refusal) = outcome(header.flags, body) {
                        first.get_or_insert(refusal);
                    }
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn converse(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        self.socket.send(&message(kind, flags, sequence, body), 0)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            for (header, body) in self.receive(&mut buffer)? {
                // Rests of a conversation that was given up.
                if header.sequence != sequence {
                    continue;
                }
                match header.kind {
                    ERROR => return outcome(header.flags, body),
                    DONE => return dump_outcome(body),
                    kind => each(kind, body),
                }
            }
        }
    }

    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Messages<'b>, Refusal> {
        let (_, length) = match recv(self.socket.as_fd(), &mut *buffer, RecvFlags::empty()) {
            Err(rustix::io::Errno::AGAIN) => {
                return Err(Refusal { errno: libc::ETIMEDOUT, text: "the kernel did not answer".into() });
            }
            Err(rustix::io::Errno::INTR) => (0, 0),
            other => other?,
        };
        Ok(Messages { rest: buffer.get(..length).unwrap_or_default() })
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Netlink")
    }
}

/// One message with its header.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(body);
    bytes
}

/// Appends one attribute, padded to four bytes.
pub(crate) fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends one attribute that holds attributes.
pub(crate) fn nested(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    attribute(bytes, kind | NESTED, &inner);
}

/// Text as the kernel wants it, with its end.
pub(crate) fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// The attributes of a message, kind (without its flag bits) and value.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(read_u16(rest, 0)?);
        let kind = read_u16(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number in the order of this machine at `offset`.
pub(crate) fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset.checked_add(2)?)?.try_into().ok()?))
}

/// A number in the order of this machine at `offset`.
pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

/// Text up to its end.
pub(crate) fn read_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

/// The header of a message, as far as anyone here looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
}

/// The messages of one datagram.
#[derive(Debug)]
pub(crate) struct Messages<'b> {
    pub(crate) rest: &'b [u8],
}

impl<'b> Iterator for Messages<'b> {
    type Item = (Header, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(read_u32(self.rest, 0)?).ok()?;
        let header = Header {
            kind: read_u16(self.rest, 4)?,
            flags: read_u16(self.rest, 6)?,
            sequence: read_u32(self.rest, 8)?,
        };
        let body = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, body))
    }
}

/// Success or refusal in an `NLMSG_ERROR`.
fn outcome(flags: u16, body: &[u8]) -> Result<(), Refusal> {
    let code = read_u32(body, 0).map_or(-libc::EBADMSG, u32::cast_signed);
    if code == 0 {
        return Ok(());
    }
    let mut said = String::new();
    if flags & ACK_TLVS != 0 {
        let echoed = read_u32(body, 4).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let skip = if flags & CAPPED != 0 { HEADER } else { echoed.next_multiple_of(4) };
        let tlvs = body.get(skip.saturating_add(4)..).unwrap_or_default();
        if let Some((_, value)) = attributes(tlvs).find(|(kind, _)| *kind == 1) {
            said = read_text(value).unwrap_or_default().trim_end_matches('.').to_owned();
        }
    }
    Err(Refusal { errno: code.saturating_neg(), text: said })
}

/// Success or refusal at the end of a dump.
fn dump_outcome(body: &[u8]) -> Result<(), Refusal> {
    match read_u32(body, 0).map_or(0, u32::cast_signed) {
        code if code < 0 => Err(Refusal { errno: code.saturating_neg(), text: String::new() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_way_there_and_back() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, 3, b"eth0\0");
        nested(&mut bytes, 18, |inner| attribute(inner, 1, b"bridge"));
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read.first().map(|(kind, value)| (*kind, read_text(value))), Some((3, Some("eth0"))));
        assert_eq!(read.get(1).map(|(kind, _)| *kind), Some(18));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_message_that_lies_about_its_length_ends_the_walk() {
        let mut bytes = message(16, 0, 1, &[1, 2, 3, 4]);
        assert_eq!(Messages { rest: &bytes }.count(), 1);
        bytes.truncate(HEADER + 2);
        assert_eq!(Messages { rest: &bytes }.count(), 0);
        assert_eq!(attributes(&[0xff, 0xff, 1, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn a_refusal_speaks_the_words_of_the_kernel() {
        let mut body = (-libc::EEXIST).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER]);
        attribute(&mut body, 1, b"IPv4 address already assigned.\0");
        let refusal = outcome(ACK_TLVS | CAPPED, &body).expect_err("refused");
        assert_eq!(refusal.errno, libc::EEXIST);
        assert_eq!(refusal.text, "IPv4 address already assigned");
        assert!(outcome(0, &[0; 20]).is_ok());
        assert_eq!(outcome(0, &[]).expect_err("short").errno, libc::EBADMSG);
    }
}
