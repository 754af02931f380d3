//! Notices that somebody else removed or changed our table, or drops what our segments need.
//!
//! While a table is wanted the watcher is subscribed to what nfnetlink announces of every transaction. After an
//! announcement about our table, or after some were lost, it lets the burst settle, reads the table and compares:
//! a transaction of our own leaves what is wanted, so it needs not be told apart. A difference is reported once
//! and nothing more until the lane says again what is wanted. After an announcement about anybody's table everybody's rules
//! are read and played through as before a start; what was found is reported when it differs from what the lane found last,
//! and holds for a moment. It changes nothing and never asks on a timer.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use hn_nft::{
    Ruleset,
    wire::{Content, Reply, replies},
};
use hn_ports::EventSink;
use hn_types::{
    DriverError,
    observed::{Obstacle, PlatformEvent},
    plan::FirewallPlan,
};
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

use super::{BUFFER, Conversation, READ, foreign, read};
use crate::{netlink::NETFILTER, sys::watched};

/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const GROUP: u32 = 7;
/// A burst of announcements is looked at once, this long after its first one.
const SETTLE: Duration = Duration::from_millis(50);
/// Looking takes at most one part in so many of the time, however busy others are.
const DUTY: u32 = 20;
/// Looking failed: look again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// What others drop is reported if it is the same after this long: who reloads is closed for a moment.
const CONFIRM: Duration = Duration::from_millis(500);

/// What has to be in force.
#[derive(Debug, Default)]
struct Wanted {
    ruleset: Option<Rc<Ruleset>>,
    /// The segments, and what others were last found to drop of theirs.
    judged: Option<Judged>,
    /// Counts what was wanted, to see that it was changed during a look.
    edition: u64,
}

#[derive(Clone, Debug)]
struct Judged {
    plan: Rc<FirewallPlan>,
    obstacles: Vec<Obstacle>,
}

/// The running watcher; it ends when this is dropped.
///
/// Its socket stays open when no table is wanted: closing one after a transaction waits for all processors.
#[derive(Debug)]
pub(super) struct Watch {
    socket: Socket,
    wanted: Rc<RefCell<Wanted>>,
    events: EventSink,
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
        let told = events.clone();
        let watcher = Watcher { announcements, wanted: Rc::clone(&wanted), events, kernel: None };
        let task = tokio::task::spawn_local(watcher.run());
        Ok(Self { socket, wanted, events: told, task })
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
        wanted.judged = None;
    }

    /// The table of `plan` is in force, and others were found to drop this of what it needs.
    pub(super) fn judge(&self, plan: &FirewallPlan, obstacles: Vec<Obstacle>) {
        let judged = Judged { plan: Rc::new(plan.clone()), obstacles: obstacles.clone() };
        self.wanted.borrow_mut().judged = Some(judged);
        self.events.emit(PlatformEvent::FirewallBlocked(obstacles));
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
            let Some(mut touched) = touched else { continue };
            let mut pause = SETTLE;
            loop {
                sleep(pause).await;
                touched = touched.max(drain(&self.announcements, &mut buffer).unwrap_or(touched));
                let began = Instant::now();
                let looked = if touched == Touched::Ours { self.look().await } else { Ok(()) };
                match looked {
                    Ok(()) => {
                        let mut spent = began.elapsed();
                        spent += self.judge().await;
                        sleep(spent * DUTY).await;
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

    /// Whether others drop something else than they did; how long that took to find out.
    async fn judge(&mut self) -> Duration {
        let (judged, edition) = {
            let wanted = self.wanted.borrow();
            let Some(judged) = wanted.judged.clone().filter(|_| wanted.ruleset.is_some()) else {
                return Duration::ZERO;
            };
            (judged, wanted.edition)
        };
        let find = || {
            let began = Instant::now();
            let found = foreign::obstacles(&foreign::blockades(&judged.plan), &judged.plan, None);
            (found, began.elapsed())
        };
        let (found, spent) = find();
        if found == judged.obstacles {
            return spent;
        }
        sleep(CONFIRM).await;
        let (again, more) = find();
        let mut wanted = self.wanted.borrow_mut();
        // What has changed meanwhile is announced, and looked at next.
        if again == found && wanted.edition == edition && wanted.ruleset.is_some() {
            wanted.judged = Some(Judged { obstacles: found.clone(), ..judged });
            drop(wanted);
            self.events.emit(PlatformEvent::FirewallBlocked(found));
        }
        spent + more
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

/// Whose table an announcement may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    Others,
    Ours,
}

/// Takes every pending announcement; the most that any of them may be about.
fn drain(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> Option<Touched> {
    let mut touched = None;
    loop {
        match recv(socket.get_ref(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) => touched = touched.max(concerns(buffer.get(..length).unwrap_or_default())),
            Err(Errno::INTR) => {}
            // The kernel had more to say than the socket could hold.
            Err(Errno::NOBUFS) => touched = Some(Touched::Ours),
            Err(_) => return touched,
        }
    }
}

/// Whose table a datagram may be about.
fn concerns(datagram: &[u8]) -> Option<Touched> {
    let about = |reply| match reply {
        Ok(Reply { content: Content::Record(record), .. }) => {
            if record.ours() {
                Some(Touched::Ours)
            } else {
                // Every transaction announces the generation it made, ours too.
                record.generation().is_none().then_some(Touched::Others)
            }
        }
        Ok(Reply { content: Content::Status(..) | Content::Done(_), .. }) => None,
        Err(_) => Some(Touched::Ours),
    };
    replies(datagram).filter_map(about).max()
}
