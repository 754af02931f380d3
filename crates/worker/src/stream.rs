//! Messages on a TCP connection: two bytes of length before each (RFC 1035 §4.2.2, RFC 7766 §8), in both
//! directions, without ever waiting.
//!
//! Owns the connection and its two bounded buffers. It never looks into a message.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

/// Bytes read at a time.
const CHUNK: usize = 4_096;
/// Bytes of answers or questions that may wait for the other side.
const WAITING: usize = 128 << 10;

/// Why a connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The other side has said all it wanted to say.
    Ended,
    /// It broke, or the other side does not keep to the rules.
    Broken,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Bytes of `outbox` that are sent.
    sent: usize,
    /// Longest message that is taken.
    longest: usize,
}

impl Stream {
    /// A connection whose other side may send messages of `longest` bytes.
    pub(crate) const fn new(socket: OwnedFd, longest: usize) -> Self {
        Self { socket, inbox: Vec::new(), outbox: Vec::new(), sent: 0, longest }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// [`Closed`] when nothing more will come.
    pub(crate) fn read(&mut self) -> Result<(), Closed> {
        // Complete messages are taken out after each read, so this never grows beyond one message and a chunk.
        let start = self.inbox.len();
        self.inbox.resize(start + CHUNK, 0);
        let room = self.inbox.get_mut(start..).unwrap_or_default();
        let result = rustix::net::recv(&self.socket, room, RecvFlags::DONTWAIT);
        let count = result.map_or(0, |(_, count)| count);
        self.inbox.truncate(start + count);
        match result {
            Ok((_, 0)) => Err(Closed::Ended),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Closed::Broken),
        }
    }

    /// Hands complete messages to `take` for as long as it says true, and says how many there were.
    ///
    /// # Errors
    ///
    /// [`Closed::Broken`] for a message that is empty or longer than allowed.
    pub(crate) fn messages(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Result<usize, Closed> {
        let mut at = 0;
        let mut count = 0;
        while let Some((&length, rest)) = self.inbox.get(at..).and_then(|rest| rest.split_first_chunk::<2>())
        {
            let length = usize::from(u16::from_be_bytes(length));
            if length == 0 || length > self.longest {
                return Err(Closed::Broken);
            }
            let Some(message) = rest.get(..length) else { break };
            at += 2 + length;
            count += 1;
            if !take(message) {
                break;
            }
        }
        self.inbox.drain(..at.min(self.inbox.len()));
        if self.inbox.is_empty() {
            // Idle connections cost no memory.
            self.inbox = Vec::new();
        }
        Ok(count)
    }

    /// Whether a complete message may be waiting, which no event will tell of.
    pub(crate) fn has_message(&self) -> bool {
        self.inbox
            .split_first_chunk::<2>()
            .is_some_and(|(&length, rest)| rest.len() >= usize::from(u16::from_be_bytes(length)))
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`Closed::Broken`] when the other side takes nothing although a lot waits for it.
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), Closed> {
        let length = u16::try_from(message.len()).map_err(|_| Closed::Broken)?;
        if self.outbox.len() - self.sent + message.len() > WAITING {
            return Err(Closed::Broken);
        }
        self.outbox.extend_from_slice(&length.to_be_bytes());
        self.outbox.extend_from_slice(message);
        Ok(())
    }

    /// Whether something waits for the other side.
    pub(crate) fn is_blocked(&self) -> bool {
        self.sent < self.outbox.len()
    }

    /// Sends what the other side takes.
    ///
    /// # Errors
    ///
    /// [`Closed::Broken`] when it takes nothing any more.
    pub(crate) fn flush(&mut self) -> Result<(), Closed> {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Closed::Broken),
            }
        }
        self.outbox = Vec::new();
        self.sent = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn pair(longest: usize) -> (Stream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        (Stream::new(a.into(), longest), b)
    }

    fn taken(stream: &mut Stream) -> Result<Vec<Vec<u8>>, Closed> {
        let mut messages = Vec::new();
        stream.read()?;
        stream.messages(|message| {
            messages.push(message.to_vec());
            true
        })?;
        Ok(messages)
    }

    #[test]
    fn messages_arrive_whole_however_they_are_cut() {
        let bytes = b"\x00\x03abc\x00\x01d\x00\x05efghi";
        for cut in 0..bytes.len() {
            let (mut stream, mut peer) = pair(5);
            peer.write_all(&bytes[..cut]).unwrap();
            let mut all = taken(&mut stream).unwrap();
            peer.write_all(&bytes[cut..]).unwrap();
            all.extend(taken(&mut stream).unwrap());
            assert_eq!(all, [&b"abc"[..], b"d", b"efghi"]);
            drop(peer);
            assert_eq!(stream.read(), Err(Closed::Ended));
        }
    }

    #[test]
    fn a_taker_that_has_enough_gets_the_rest_later() {
        let (mut stream, mut peer) = pair(5);
        peer.write_all(b"\x00\x01a\x00\x01b").unwrap();
        stream.read().unwrap();
        assert_eq!(stream.messages(|message| message != b"a"), Ok(1));
        assert!(stream.has_message());
        assert_eq!(stream.messages(|message| message == b"b"), Ok(1));
        assert!(!stream.has_message());
    }

    #[test]
    fn empty_and_overlong_messages_break_the_connection() {
        for bad in [&b"\x00\x00"[..], b"\x00\x06"] {
            let (mut stream, mut peer) = pair(5);
            peer.write_all(bad).unwrap();
            assert_eq!(taken(&mut stream), Err(Closed::Broken));
        }
    }

    #[test]
    fn who_reads_nothing_is_cut_off() {
        let (mut stream, mut peer) = pair(5);
        let mut pushed = 0;
        while stream.push(&[7; 1_000]).is_ok() {
            pushed += 1;
            stream.flush().unwrap();
            assert!(pushed < 10_000, "the buffer is bounded");
        }
        assert!(stream.is_blocked());
        let mut received = 0;
        let mut buffer = [0; 4_096];
        while stream.is_blocked() {
            received += peer.read(&mut buffer).unwrap();
            stream.flush().unwrap();
        }
        peer.set_nonblocking(true).unwrap();
        while let Ok(count) = peer.read(&mut buffer) {
            received += count;
        }
        assert_eq!(received, pushed * 1_002);
        drop(peer);
        stream.push(b"x").unwrap();
        assert_eq!(stream.flush(), Err(Closed::Broken));
    }
}
