//! The socket pair to the worker: typed, bounded datagrams, descriptors on their way out only.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use hn_ports::services::{FromWorker, MESSAGE_LIMIT, ToWorker};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, recv, sendmsg, socketpair,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::sys::watched;

/// Our end.
#[derive(Debug)]
pub(super) struct Channel {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

/// The worker is not to be trusted any longer, in words for a person.
pub(super) type Breach = String;

impl Channel {
    /// Our end and the worker's.
    pub(super) fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // One byte more than a message may have tells that it had too many.
        Ok((Self { socket: watched(ours, Interest::READABLE)?, buffer: vec![0; MESSAGE_LIMIT + 1] }, theirs))
    }

    /// Sends a command with its descriptors. Never waits: commands are few, and a worker whose queue is full does
    /// not work.
    pub(super) fn send(&self, message: &ToWorker, descriptors: &[&OwnedFd]) -> Result<(), Breach> {
        let bytes =
            postcard::to_allocvec(message).map_err(|error| format!("a command is too odd: {error}"))?;
        if bytes.len() > MESSAGE_LIMIT {
            return Err("a command is too long".into());
        }
        let borrowed: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err("a command carries too many descriptors".into());
        }
        sendmsg(self.socket.get_ref(), &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(|error| match error {
                Errno::AGAIN => "it does not read its commands".into(),
                Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED => "it is gone".into(),
                error => format!("its channel failed: {error}"),
            })
    }

    /// The next message; `None` when the worker closed its end. May be dropped at any time.
    pub(super) async fn receive(&mut self) -> Result<Option<FromWorker>, Breach> {
        loop {
            let mut ready =
                self.socket.readable().await.map_err(|error| format!("its channel failed: {error}"))?;
            // Descriptors that a worker might send are dropped by the kernel: there is no room for them.
            match recv(self.socket.get_ref(), self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
                Ok((_, length)) if length > MESSAGE_LIMIT => return Err("it sent too long a message".into()),
                Ok((_, length)) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    return decode(bytes).map(Some);
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(format!("its channel failed: {error}")),
            }
        }
    }
}

fn decode(bytes: &[u8]) -> Result<FromWorker, Breach> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err("it sent something that is not a message".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::net::send;

    use super::*;

    #[tokio::test]
    async fn messages_arrive_and_everything_else_is_a_breach() {
        let (mut ours, theirs) = Channel::pair().expect("a pair");
        let send = |bytes: &[u8]| send(&theirs, bytes, SendFlags::empty()).expect("sends");
        let ready = postcard::to_allocvec(&FromWorker::Ready).expect("encodes");
        send(&ready);
        assert_eq!(ours.receive().await, Ok(Some(FromWorker::Ready)));
        send(&[0xff; 40]);
        assert!(ours.receive().await.is_err());
        send(&[ready.as_slice(), &[0]].concat());
        assert!(ours.receive().await.is_err(), "bytes behind the message");
        send(&vec![0; MESSAGE_LIMIT + 10]);
        assert!(ours.receive().await.is_err(), "too long");
        drop(theirs);
        assert_eq!(ours.receive().await, Ok(None));
        assert!(ours.send(&ToWorker::Stop { generation: 1 }, &[]).is_err());
    }

    #[tokio::test]
    async fn a_worker_that_does_not_read_cannot_make_us_wait() {
        let (ours, _theirs) = Channel::pair().expect("a pair");
        let command = ToWorker::Stop { generation: 1 };
        assert!((0..100_000).any(|_| ours.send(&command, &[]).is_err()));
    }

    proptest! {
        #[test]
        fn no_datagram_breaks_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }
    }
}
