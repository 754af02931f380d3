//! Notices that somebody else removed or changed our table.
//!
//! While a table is wanted the watcher is subscribed to what nfnetlink announces of every transaction. After an
//! announcement about our table, or after some were lost, it lets the burst settle, reads the table and compares:
//! a transaction of our own leaves what is wanted, so it needs not be told apart. A difference is reported once
//! and nothing more until the lane says again what is wanted. It changes nothing and never asks on a timer.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use hn_nft::{
    Ruleset,
    wire::{Content, replies},
};
use hn_ports::EventSink;
use hn_types::{DriverError, observed::PlatformEvent};
use netlink_sys::Socket;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{BUFFER, Conversation, READ, read};
use crate::{netlink::NETFILTER, sys::watched};

/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const GROUP: u32 = 7;
/// A burst of announcements is looked at once, this long after its first one.
const SETTLE: Duration = Duration::from_millis(50);
/// Looking takes at most one part in so many of the time, however busy others are.
const DUTY: u32 = 20;
/// Looking failed: look again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// What has to be in force.
#[derive(Debug, Default)]
struct Wanted {
    ruleset: Option<Rc<Ruleset>>,
    /// Counts what was wanted, to see that it was changed during a look.
    edition: u64,
}

/// The running watcher; it ends when this is dropped.
///
/// Its socket stays open when no table is wanted: closing one after a transaction waits for all processors.
#[derive(Debug)]
pub(super) struct Watch {
    socket: Socket,
    wanted: Rc<RefCell<Wanted>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// A watcher in the network namespace of this thread, which hears nothing yet.
    pub(super) fn start(events: EventSink) -> io::Result<Self> {
        let mut socket = Socket::new(NETFILTER)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        let announcements = watched(socket.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let wanted = Rc::new(RefCell::new(Wanted::default()));
        let watcher = Watcher { announcements, wanted: Rc::clone(&wanted), events, kernel: None };
        let task = tokio::task::spawn_local(watcher.run());
        Ok(Self { socket, wanted, task })
    }

    /// Subscribes. Doing it twice is no error.
    pub(super) fn listen(&self) {
        if let Err(error) = self.socket.add_membership(GROUP) {
            tracing::warn!(%error, "changes of the firewall by others are not followed");
        }
    }

    /// What has to be in force from here on; `None`: nothing, and nothing is heard any more.
    pub(super) fn expect(&self, ruleset: Option<&Ruleset>) {
        if ruleset.is_none()
            && let Err(error) = self.socket.drop_membership(GROUP)
        {
            tracing::debug!(%error, "still subscribed to what others do to the firewall");
        }
        let mut wanted = self.wanted.borrow_mut();
        wanted.ruleset = ruleset.map(|ruleset| Rc::new(ruleset.clone()));
        wanted.edition += 1;
    }
}

struct Watcher {
    announcements: AsyncFd<OwnedFd>,
    wanted: Rc<RefCell<Wanted>>,
    events: EventSink,
    /// Kept between looks, for the same reason as the watcher's own socket.
    kernel: Option<Conversation>,
}

impl Watcher {
    async fn run(mut self) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let Ok(mut ready) = self.announcements.readable().await else { return };
            let touched = drain(&self.announcements, &mut buffer);
            ready.clear_ready();
            if !touched {
                continue;
            }
            let mut pause = SETTLE;
            loop {
                sleep(pause).await;
                drain(&self.announcements, &mut buffer);
                let began = Instant::now();
                match self.look().await {
                    Ok(()) => {
                        sleep(began.elapsed() * DUTY).await;
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot see whether somebody changed the firewall");
                        self.kernel = None;
                        pause = RETRY;
                    }
                }
            }
        }
    }

    /// Compares what is there with what has to be.
    async fn look(&mut self) -> Result<(), DriverError> {
        loop {
            let (ruleset, edition) = {
                let wanted = self.wanted.borrow();
                let Some(ruleset) = &wanted.ruleset else { return Ok(()) };
                (Rc::clone(ruleset), wanted.edition)
            };
            let kernel = match &mut self.kernel {
                Some(kernel) => kernel,
                none => none.insert(
                    Conversation::open()
                        .map_err(|trouble| trouble.into_error(READ, &hn_nft::Object::Table))?,
                ),
            };
            let compared = read(&ruleset, Some(kernel)).await?;
            let mut wanted = self.wanted.borrow_mut();
            if wanted.edition != edition {
                continue;
            }
            if let Err(difference) = compared {
                wanted.ruleset = None;
                drop(wanted);
                tracing::warn!(%difference, "somebody else removed or changed the firewall table");
                self.events.emit(PlatformEvent::FirewallLost { cause: difference.to_string() });
            }
            return Ok(());
        }
    }
}

/// Takes every pending announcement; whether any of them may be about our table.
fn drain(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> bool {
    let mut touched = false;
    loop {
        match recv(socket.get_ref(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) => touched |= concerns(buffer.get(..length).unwrap_or_default()),
            Err(Errno::INTR) => {}
            // The kernel had more to say than the socket could hold.
            Err(Errno::NOBUFS) => touched = true,
            Err(_) => return touched,
        }
    }
}

/// Whether a datagram may be about our table.
fn concerns(datagram: &[u8]) -> bool {
    replies(datagram).any(|reply| match reply {
        Ok(reply) => matches!(reply.content, Content::Record(record) if record.ours()),
        Err(_) => true,
    })
}
