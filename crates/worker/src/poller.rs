//! What the loop waits on: one level-triggered epoll instance and the names of its sources.
//!
//! Owns the epoll descriptor and nothing that is registered with it.

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{Timespec, epoll},
    io,
};

/// Events taken per turn.
const EVENTS: usize = 64;

/// Who a wake-up is for. Slots carry the age of their tenant, so that an event for a closed descriptor never
/// reaches the next tenant of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The control channel.
    Control,
    /// The thread that writes the journal has finished.
    Written,
    /// The packet socket.
    Frames,
    /// The UDP socket of the name server.
    Queries,
    /// The TCP listener of the name server.
    Listener,
    /// The packet socket of IPv6.
    Frames6,
    /// The packet socket of the uplink of IPv6.
    Uplink6,
    /// The UDP socket of the name server, of IPv6.
    Queries6,
    /// The TCP listener of the name server, of IPv6.
    Listener6,
    /// The UDP socket of NAT-PMP and PCP.
    PortControl,
    /// The same of IPv6.
    PortControl6,
    /// The UDP socket of UPnP's discovery.
    Ssdp,
    /// The same of IPv6.
    Ssdp6,
    /// The TCP listener of UPnP.
    Web,
    /// The same of IPv6.
    Web6,
    /// A connection of UPnP.
    Device(Slot),
    /// A TCP client of the name server.
    Client(Slot),
    /// A socket towards a resolver.
    Upstream(Slot),
}

/// A place in a table and the age of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) age: u16,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, slot) = match self {
            Self::Control => (0, None),
            Self::Written => (1, None),
            Self::Frames => (2, None),
            Self::Queries => (3, None),
            Self::Listener => (4, None),
            Self::Client(slot) => (5, Some(slot)),
            Self::Upstream(slot) => (6, Some(slot)),
            Self::Frames6 => (7, None),
            Self::Queries6 => (8, None),
            Self::Listener6 => (9, None),
            Self::PortControl => (10, None),
            Self::PortControl6 => (11, None),
            Self::Ssdp => (12, None),
            Self::Ssdp6 => (13, None),
            Self::Web => (14, None),
            Self::Web6 => (15, None),
            Self::Device(slot) => (16, Some(slot)),
            Self::Uplink6 => (17, None),
        };
        let slot = slot.map_or(0, |slot| u64::from(slot.index) | u64::from(slot.age) << 32);
        kind << 56 | slot
    }

    fn decode(data: u64) -> Option<Self> {
        let slot = Slot { index: data as u32, age: (data >> 32) as u16 };
        Some(match data >> 56 {
            0 => Self::Control,
            1 => Self::Written,
            2 => Self::Frames,
            3 => Self::Queries,
            4 => Self::Listener,
            5 => Self::Client(slot),
            6 => Self::Upstream(slot),
            7 => Self::Frames6,
            17 => Self::Uplink6,
            8 => Self::Queries6,
            9 => Self::Listener6,
            10 => Self::PortControl,
            11 => Self::PortControl6,
            12 => Self::Ssdp,
            13 => Self::Ssdp6,
            14 => Self::Web,
            15 => Self::Web6,
            16 => Self::Device(slot),
            _ => return None,
        })
    }
}

/// What a source is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const READ: Self = Self { read: true, write: false };
    pub(crate) const WRITE: Self = Self { read: false, write: true };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN | epoll::EventFlags::RDHUP, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}

/// One wake-up. An error or a hang-up is reported as readable and writable too: the next call tells which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) token: Token,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) failed: bool,
}

/// The epoll instance.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    pub(crate) fn add(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        epoll::add(&self.epoll, source, epoll::EventData::new_u64(token.encode()), interest.flags())
    }

    pub(crate) fn modify(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        epoll::modify(&self.epoll, source, epoll::EventData::new_u64(token.encode()), interest.flags())
    }

    /// Has to come before the descriptor is closed when somebody else holds a copy of it.
    pub(crate) fn remove(&self, source: impl AsFd) {
        // It fails only when the source was never added, which is what is wanted.
        let _ = epoll::delete(&self.epoll, source);
    }

    /// Waits for the next wake-ups, at most `timeout`; without one until something happens.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(io::Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How many sources the last [`Poller::wait`] found.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The wake-up at `index` of the last [`Poller::wait`].
    pub(crate) fn get(&self, index: usize) -> Option<Readiness> {
        let event = self.events.get(index)?;
        let flags = event.flags;
        let failed = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        Some(Readiness {
            token: Token::decode(event.data.u64())?,
            read: failed || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
            write: failed || flags.contains(epoll::EventFlags::OUT),
            failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let slot = Slot { index: u32::MAX - 1, age: 0xabcd };
        for token in [
            Token::Control,
            Token::Written,
            Token::Frames,
            Token::Queries,
            Token::Listener,
            Token::Frames6,
            Token::Uplink6,
            Token::Queries6,
            Token::Listener6,
            Token::PortControl,
            Token::PortControl6,
            Token::Ssdp,
            Token::Ssdp6,
            Token::Web,
            Token::Web6,
            Token::Device(slot),
            Token::Client(slot),
            Token::Upstream(slot),
        ] {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(u64::MAX), None);
    }
}
