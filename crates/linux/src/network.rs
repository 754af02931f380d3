//! The watcher: what the machine's network looks like, always as one complete picture.
//!
//! [`Watch::open`] reads the tables once and emits the first [`NetworkView`] before it returns. From then on a
//! local task listens to the kernel's announcements (links, addresses, routes, rules) and to the files that name
//! the resolvers; whatever is announced, it reads everything anew after a short pause and emits the view if it
//! differs from the last. Lost announcements therefore cost nothing. The watcher changes nothing.

pub(crate) mod tables;
mod view;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use hn_ports::EventSink;
use hn_types::{DriverError, DriverErrorKind, network::NetworkView, observed::PlatformEvent};
use netlink_sys::{Socket, SocketAddr};
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    netlink::{Netlink, ROUTE, Refusal},
    network::view::{Own, Switches6, Tables, compose},
    resolvers::{ResolverFiles, Resolvers},
    sys::watched,
    undo::{UndoJournal, driver_error},
};

/// Announcements arrive in bursts; the tables are read this long after the first of one.
const PAUSE: Duration = Duration::from_millis(20);
/// Reading the tables takes at most one part in so many of the time, however large and busy they are.
const DUTY: u32 = 20;
/// Reading failed: try again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// The running watcher. Its task belongs to whoever holds this and ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to watch the network namespace of this thread, and emits the first view before it returns. Needs a
    /// [`LocalSet`](tokio::task::LocalSet).
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn open(
        resolvers: Resolvers,
        journal: Rc<UndoJournal>,
        events: EventSink,
    ) -> Result<Self, DriverError> {
        let failed = |refusal: &Refusal| driver_error("watch the network", "rtnetlink", refusal);
        // Listen first, read then: nothing falls between.
        let announcements = Announcements::open().map_err(|error| failed(&error.into()))?;
        let files = resolvers
            .watch()
            .inspect_err(|error| tracing::warn!(%error, "changes of the resolver files are not followed"))
            .ok();
        let route = Netlink::open(ROUTE).map_err(|error| failed(&error.into()))?;
        let mut watcher = Watcher { route, resolvers, journal, events, last: None };
        watcher.refresh().map_err(|refusal| failed(&refusal))?;
        let task = tokio::task::spawn_local(watcher.run(announcements, files));
        Ok(Self { task })
    }
}

struct Watcher {
    route: Netlink,
    resolvers: Resolvers,
    journal: Rc<UndoJournal>,
    events: EventSink,
    last: Option<NetworkView>,
}

impl Watcher {
    async fn run(mut self, announcements: Announcements, mut files: Option<ResolverFiles>) {
        loop {
            tokio::select! {
                () = announcements.wait() => {}
                () = changed(files.as_mut()) => {}
            }
            let mut pause = PAUSE;
            loop {
                sleep(pause).await;
                announcements.drain();
                let began = Instant::now();
                match self.refresh() {
                    Ok(()) => {
                        sleep(began.elapsed() * DUTY).await;
                        break;
                    }
                    Err(refusal) => {
                        tracing::warn!(cause = refusal.cause(), "the network cannot be read");
                        pause = RETRY;
                    }
                }
            }
        }
    }

    fn refresh(&mut self) -> Result<(), Refusal> {
        let pending = self.journal.pending();
        let own = Own::of(pending.iter().map(|(_, undo)| undo));
        let links = tables::links(&self.route)?;
        let index_of =
            |name: &str| links.iter().find(|link| link.name.as_str() == name).map(|link| link.index);
        let avoid: Vec<_> = own.addresses().collect();
        let resolvers = self.resolvers.discover(&avoid, &index_of);
        let behind_stub = self.resolvers.behind_stub(&avoid, &index_of);
        let tables = Tables {
            addresses: tables::addresses(&self.route)?,
            routes: tables::routes(&self.route)?,
            wireless: tables::wireless().unwrap_or_default(),
            pppoe: links.iter().any(|link| link.hardware == 512) && pppoe_sessions(),
            // A kernel with one routing table refuses the question.
            rules: tables::rules(&self.route, false).unwrap_or_default(),
            rules6: tables::rules(&self.route, true).unwrap_or_default(),
            resolvers,
            behind_stub,
            host_name: host_name(),
            // A kernel without IPv6 refuses the question.
            defaults6: tables::defaults6(&self.route).unwrap_or_default(),
            addresses6: tables::addresses6(&self.route).unwrap_or_default(),
            switches6: switches6(&links),
            links,
        };
        let view = compose(&tables, &own);
        if self.last.as_ref() != Some(&view) {
            self.last = Some(view.clone());
            self.events.emit(PlatformEvent::Network(view));
        }
        Ok(())
    }
}

async fn changed(files: Option<&mut ResolverFiles>) {
    match files {
        Some(files) => files.changed().await,
        None => std::future::pending().await,
    }
}

/// The sysctls of IPv6.
fn switches6(links: &[tables::LinkRow]) -> Switches6 {
    let read = |interface: &str, switch: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}/{switch}");
        std::fs::read_to_string(path).ok().map(|text| text.trim() != "0")
    };
    let disabled = |interface: &str| read(interface, "disable_ipv6").unwrap_or(true);
    Switches6 {
        available: !disabled("default"),
        disabled: links.iter().map(|link| link.name).filter(|name| disabled(name.as_str())).collect(),
        forwarding: (
            read("all", "forwarding").unwrap_or_default(),
            read("default", "forwarding").unwrap_or_default(),
        ),
    }
}

/// The kernel lists PPPoE sessions below a line of headings.
fn pppoe_sessions() -> bool {
    std::fs::read_to_string("/proc/thread-self/net/pppoe").is_ok_and(|text| text.lines().count() > 1)
}

/// The first label of the host's name.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The multicast groups of rtnetlink.
struct Announcements {
    socket: AsyncFd<OwnedFd>,
}

impl Announcements {
    fn open() -> io::Result<Self> {
        // RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE, RTMGRP_IPV6_IFADDR,
        // RTMGRP_IPV6_ROUTE (linux/rtnetlink.h).
        const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400;
        let mut socket = Socket::new(ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        let owned = socket.as_fd().try_clone_to_owned()?;
        Ok(Self { socket: watched(owned, Interest::READABLE)? })
    }

    /// Until something was announced, or announcements were lost.
    async fn wait(&self) {
        if let Ok(mut ready) = self.socket.readable().await {
            self.drain();
            ready.clear_ready();
        }
    }

    /// Forgets what has been announced so far.
    fn drain(&self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match recv(self.socket.get_ref(), &mut buffer, RecvFlags::DONTWAIT) {
                // Lost announcements are announcements.
                Ok(_) | Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl std::fmt::Debug for Announcements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Announcements({})", self.socket.get_ref().as_raw_fd())
    }
}

/// The link-local address of the interface with this index.
pub(crate) fn link_local(index: u32) -> Option<std::net::Ipv6Addr> {
    let route = Netlink::open(ROUTE).ok()?;
    let rows = tables::addresses6(&route).ok()?;
    let of = rows.into_iter().filter(|(row, _)| *row == index).map(|(_, address)| address.address());
    of.filter(std::net::Ipv6Addr::is_unicast_link_local).min()
}

/// The interface of this name, its index and its address: what a socket on it needs.
pub(crate) fn interface(name: hn_types::IfName) -> Result<tables::LinkRow, DriverError> {
    let op = "look the interface up";
    let failed = |refusal: &Refusal| driver_error(op, name, refusal);
    let route = Netlink::open(ROUTE).map_err(|error| failed(&error.into()))?;
    tables::link(&route, name)
        .map_err(|refusal| failed(&refusal))?
        .ok_or_else(|| DriverError::new(DriverErrorKind::Gone, op, name, "there is no such interface"))
}
