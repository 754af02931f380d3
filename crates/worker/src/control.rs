//! The channel to the control process: commands in, with their descriptors, and a bounded queue of answers
//! and events out.
//!
//! Owns the socket. It never waits for the control process: when that is slow, lease events are replaced by
//! one complete list that is made when there is room again, and of counters and troubles only the latest is
//! kept.

use std::{
    collections::VecDeque,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hn_ports::services::{FromWorker, MESSAGE_LIMIT, ToWorker};
use hn_types::{
    observed::{Lease, ServiceEvent},
    portmap::MapRequest,
};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    },
};

/// No command carries more descriptors.
const DESCRIPTORS: usize = 3;
/// Lease events waiting; beyond it they give way to a complete list.
const EVENTS: usize = 512;
/// Answers and troubles waiting. A control process that sends commands and reads no answers is broken.
const ANSWERS: usize = 256;
/// Leases in one message (the contract of [`ServiceEvent::Leases`]).
const LEASES: usize = 200;
/// Bytes of a lease in a message besides its host name, generously.
const LEASE_BYTES: usize = 48;

/// The channel broke, or what came is no command.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The control process is gone, which is how a worker ends in good order.
    #[error("the control process is gone")]
    Gone,
    /// Not a command of the contract.
    #[error("the control process sent something that is not a command: {0}")]
    Malformed(&'static str),
    /// Its answers are not read.
    #[error("the control process does not read its answers")]
    Deaf,
    /// The socket failed.
    #[error("the control channel failed: {0}")]
    Socket(#[from] Errno),
}

/// A command and what came with it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) message: ToWorker,
    pub(crate) descriptors: Vec<OwnedFd>,
}

#[derive(Debug)]
enum Waiting {
    Message(FromWorker),
    /// The rest of a complete list.
    Leases {
        list: VecDeque<Lease>,
        first: bool,
    },
}

/// The channel.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
    waiting: VecDeque<Waiting>,
    /// Lease events among them.
    events: usize,
    /// Lease events were lost: a complete list is owed.
    stale: bool,
    buffer: Vec<u8>,
}

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, waiting: VecDeque::new(), events: 0, stale: false, buffer: vec![0; MESSAGE_LIMIT] }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next command, if one is there.
    ///
    /// # Errors
    ///
    /// [`ControlError::Gone`] at the end of the channel, [`ControlError::Malformed`] for what is no command.
    pub(crate) fn receive(&mut self) -> Result<Option<Command>, ControlError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut slices = [IoSliceMut::new(&mut self.buffer)];
        let received = match rustix::net::recvmsg(&self.socket, &mut slices, &mut ancillary, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(Errno::CONNRESET) => return Err(ControlError::Gone),
            Err(error) => return Err(error.into()),
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if received.bytes == 0 {
            return Err(ControlError::Gone);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(ControlError::Malformed("longer than any message"));
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ControlError::Malformed("more descriptors than any command has"));
        }
        let bytes = self.buffer.get(..received.bytes).unwrap_or_default();
        let (message, rest): (ToWorker, _) =
            postcard::take_from_bytes(bytes).map_err(|_| ControlError::Malformed("undecodable"))?;
        if !rest.is_empty() {
            return Err(ControlError::Malformed("bytes behind the command"));
        }
        Ok(Some(Command { message, descriptors }))
    }

    /// Queues an answer, or an event that is not about one lease.
    ///
    /// # Errors
    ///
    /// [`ControlError::Deaf`] when far too many wait.
    pub(crate) fn send(&mut self, message: FromWorker) -> Result<(), ControlError> {
        let same = |old: &Waiting| match (old, &message) {
            (
                Waiting::Message(FromWorker::Event(ServiceEvent::Counters(_))),
                FromWorker::Event(ServiceEvent::Counters(_)),
            ) => true,
            (
                Waiting::Message(FromWorker::Event(ServiceEvent::Trouble { kind: old, .. })),
                FromWorker::Event(ServiceEvent::Trouble { kind: new, .. }),
            ) => old == new,
            _ => false,
        };
        self.waiting.retain(|old| !same(old));
        if self.waiting.len() - self.events >= ANSWERS {
            return Err(ControlError::Deaf);
        }
        self.waiting.push_back(Waiting::Message(message));
        Ok(())
    }

    /// Queues a device's request, unless so many answers and requests wait that it would only come too late.
    pub(crate) fn send_ask(&mut self, request: MapRequest) -> Result<(), ControlError> {
        if self.waiting.len() - self.events >= ANSWERS / 2 {
            return Ok(());
        }
        self.send(FromWorker::Ask(request))
    }

    /// Queues an event about one lease.
    pub(crate) fn send_lease_event(&mut self, event: ServiceEvent) {
        if self.stale {
            return;
        }
        if self.events >= EVENTS {
            self.forget_lease_events();
            self.stale = true;
            return;
        }
        self.events += 1;
        self.waiting.push_back(Waiting::Message(FromWorker::Event(event)));
    }

    /// Queues a complete list; it says all that lease events before it have said.
    pub(crate) fn send_leases(&mut self, list: VecDeque<Lease>) {
        self.forget_lease_events();
        self.waiting.push_back(Waiting::Leases { list, first: true });
    }

    /// Whether [`Control::send_leases`] is owed and worth it: what came before is gone.
    pub(crate) fn wants_leases(&self) -> bool {
        self.stale && self.waiting.is_empty()
    }

    /// Whether something waits for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn forget_lease_events(&mut self) {
        self.waiting.retain(|waiting| match waiting {
            Waiting::Message(message) => !is_lease_event(message),
            // A list half of which is sent is finished, so that the other side sees its end.
            Waiting::Leases { first, .. } => !first,
        });
        self.events = 0;
        self.stale = false;
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    ///
    /// [`ControlError::Gone`] when nobody can read it.
    pub(crate) fn flush(&mut self) -> Result<(), ControlError> {
        while let Some(waiting) = self.waiting.front() {
            let (message, part) = match waiting {
                Waiting::Message(message) => (message.clone(), 0),
                Waiting::Leases { list, first } => {
                    let part = fitting(list);
                    let leases = list.iter().take(part).cloned().collect();
                    let event = ServiceEvent::Leases { leases, more: part < list.len(), first: *first };
                    (FromWorker::Event(event), part)
                }
            };
            match self.transmit(&message) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ControlError::Gone),
                Err(error) => return Err(error.into()),
            }
            let finished = match self.waiting.front_mut() {
                Some(Waiting::Leases { list, first }) => {
                    list.drain(..part.min(list.len()));
                    *first = false;
                    list.is_empty()
                }
                Some(Waiting::Message(_)) | None => true,
            };
            if finished {
                self.events -= usize::from(is_lease_event(&message) && self.events > 0);
                self.waiting.pop_front();
            }
        }
        Ok(())
    }

    fn transmit(&mut self, message: &FromWorker) -> Result<(), Errno> {
        // No message of ours is longer than the buffer: texts are cut, lists split.
        let bytes = postcard::to_slice(message, &mut self.buffer).map_err(|_| Errno::MSGSIZE)?;
        let mut ancillary = SendAncillaryBuffer::default();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut ancillary, flags)
        })?;
        Ok(())
    }
}

fn is_lease_event(message: &FromWorker) -> bool {
    matches!(message, FromWorker::Event(ServiceEvent::LeaseBound(_) | ServiceEvent::LeaseEnded { .. }))
}

/// How many leases from the front fit into one message.
fn fitting(list: &VecDeque<Lease>) -> usize {
    let mut room = MESSAGE_LIMIT - 64;
    list.iter()
        .take(LEASES)
        .take_while(|lease| {
            let size = LEASE_BYTES + lease.hostname.len();
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .count()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use hn_types::{MacAddr, Wall, observed::ServiceTrouble};
    use rustix::net::{AddressFamily, SendAncillaryMessage, SocketFlags, SocketType};

    use super::*;

    fn pair() -> (Control, OwnedFd) {
        let (a, b) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        (Control::new(a), b)
    }

    fn read(peer: &OwnedFd) -> Option<FromWorker> {
        let mut buffer = [0; MESSAGE_LIMIT];
        let (_, length) = rustix::net::recv(peer, &mut buffer, RecvFlags::DONTWAIT).ok()?;
        Some(postcard::from_bytes(&buffer[..length]).unwrap())
    }

    fn lease(n: u32, hostname: usize) -> Lease {
        Lease {
            mac: MacAddr([255; 6]),
            address: Ipv4Addr::from_bits(n).into(),
            hostname: "h".repeat(hostname),
            expires: Wall::from_unix(u64::MAX),
        }
    }

    #[test]
    fn a_command_brings_its_descriptors() {
        let (mut control, peer) = pair();
        assert!(control.receive().unwrap().is_none());
        let bytes = postcard::to_allocvec(&ToWorker::ServeDns { generation: 7 }).unwrap();
        let descriptors = [peer.as_fd(), peer.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        rustix::net::sendmsg(&peer, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::empty()).unwrap();
        let command = control.receive().unwrap().unwrap();
        assert_eq!(command.message, ToWorker::ServeDns { generation: 7 });
        assert_eq!(command.descriptors.len(), 2);
    }

    #[test]
    fn anything_but_a_command_is_an_error() {
        let (mut control, peer) = pair();
        let mut good = postcard::to_allocvec(&ToWorker::Stop { generation: 7 }).unwrap();
        good.push(0);
        for bad in [&[0xff; 40][..], &good, &[0, 1, 2]] {
            rustix::net::send(&peer, bad, SendFlags::empty()).unwrap();
            assert!(matches!(control.receive(), Err(ControlError::Malformed(_))));
        }
        rustix::net::send(&peer, &[0; MESSAGE_LIMIT + 1], SendFlags::empty()).unwrap();
        assert!(matches!(control.receive(), Err(ControlError::Malformed("longer than any message"))));
        drop(peer);
        assert!(matches!(control.receive(), Err(ControlError::Gone)));
        control.send(FromWorker::Ready).unwrap();
        assert!(matches!(control.flush(), Err(ControlError::Gone)));
    }

    #[test]
    fn a_long_list_is_split_into_messages_that_fit() {
        let (mut control, peer) = pair();
        control.send_leases((0..1_000).map(|n| lease(n, 63)).collect());
        let mut seen = Vec::new();
        loop {
            control.flush().unwrap();
            let Some(FromWorker::Event(ServiceEvent::Leases { leases, more, first })) = read(&peer) else {
                panic!("the list ends with a message that says so")
            };
            assert_eq!(first, seen.is_empty());
            assert!(leases.len() <= LEASES);
            seen.extend(leases.into_iter().map(|lease| match lease.address {
                std::net::IpAddr::V4(address) => address.to_bits(),
                std::net::IpAddr::V6(address) => address.to_bits() as u32,
            }));
            if !more {
                break;
            }
        }
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
        assert!(!control.is_blocked() && read(&peer).is_none());
        control.send_leases(VecDeque::new());
        control.flush().unwrap();
        let empty = ServiceEvent::Leases { leases: Vec::new(), more: false, first: true };
        assert_eq!(read(&peer), Some(FromWorker::Event(empty)));
    }

    #[test]
    fn a_slow_reader_gets_a_complete_list_instead_of_every_event() {
        let (mut control, peer) = pair();
        let mut n = 0;
        while !control.stale {
            control.send_lease_event(ServiceEvent::LeaseBound(lease(n, 0)));
            control.flush().unwrap();
            n += 1;
            assert!(n < 100_000, "the queue is bounded");
        }
        assert!(control.events <= EVENTS);
        control.send(FromWorker::Stopped { generation: 1 }).unwrap();
        let mut last = None;
        while let Some(message) = read(&peer) {
            last = Some(message);
            control.flush().unwrap();
        }
        assert_eq!(last, Some(FromWorker::Stopped { generation: 1 }));
        assert!(control.wants_leases());
        control.send_leases([lease(1, 0)].into());
        assert!(!control.wants_leases());
    }

    #[test]
    fn only_the_latest_counters_and_trouble_wait() {
        let (mut control, peer) = pair();
        let trouble = |cause: &str| {
            let kind = ServiceTrouble::LeaseStore;
            FromWorker::Event(ServiceEvent::Trouble { kind, cause: cause.to_owned() })
        };
        for _ in 0..10 {
            control.send(trouble("old")).unwrap();
            control.send(FromWorker::Event(ServiceEvent::Counters(Vec::new()))).unwrap();
        }
        control.send(trouble("")).unwrap();
        control.flush().unwrap();
        assert_eq!(read(&peer), Some(FromWorker::Event(ServiceEvent::Counters(Vec::new()))));
        assert_eq!(read(&peer), Some(trouble("")));
        assert_eq!(read(&peer), None);
    }

    #[test]
    fn answers_that_nobody_reads_end_the_channel() {
        let (mut control, _peer) = pair();
        let result =
            (0..=ANSWERS as u64).try_for_each(|generation| control.send(FromWorker::Stopped { generation }));
        assert!(matches!(result, Err(ControlError::Deaf)));
    }
}
