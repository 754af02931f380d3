//! Watches the radios and reports them, complete, whenever something changed.
//!
//! One task, owned by the [`Watch`] that [`Watch::start`] returns and ended with it. It waits on exactly three
//! things: the kernel's announcements (nl80211, and the controller that tells when a driver brings nl80211 into the
//! kernel), `/dev/rfkill`, and the moment a burst of them has settled. It ends by itself only when the kernel has
//! no generic netlink at all; then there are no radios and never will be. It never asks on a timer.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use hn_ports::EventSink;
use hn_types::{
    IfName,
    observed::{ApEvent, PlatformEvent},
    radio::{IfType, RadioView},
};
use netlink_sys::Socket;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{io::unix::AsyncFd, task::JoinHandle, time::Instant};

use crate::hostapd;

use super::{
    nl80211::{CONTROLLER, Family, Nl80211, Notice, notices},
    rfkill, sys,
};

/// A burst of changes is read once, this long after its first one.
const SETTLE: Duration = Duration::from_millis(50);

/// The index of our own access point's interface while there is one.
pub(super) type OwnInterface = Rc<Cell<Option<u32>>>;

/// The running watcher.
#[derive(Debug)]
pub(super) struct Watch {
    task: Option<JoinHandle<()>>,
}

impl Watch {
    /// Emits the radios as they are and begins to watch them.
    ///
    /// `hostapd` is the configured program.
    pub(super) fn start(own: OwnInterface, hostapd: Option<PathBuf>, events: EventSink) -> Self {
        // The ears first, then the look: nothing falls between the two.
        let (socket, announcements) = match listen() {
            Ok((socket, announcements)) => (Some(socket), Some(announcements)),
            Err(error) => {
                tracing::debug!(%error, "the kernel has no generic netlink, so no radios");
                (None, None)
            }
        };
        let mut watcher = Watcher {
            socket,
            family: None,
            last: None,
            own,
            own_frequency: None,
            hostapd,
            events,
            dirty: None,
        };
        watcher.join();
        watcher.read();
        let task = announcements.map(|socket| tokio::task::spawn_local(watcher.run(socket)));
        Self { task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Every radio of the machine with everything we know of it.
pub(super) fn view(hostapd: Option<&Path>) -> RadioView {
    let adapters =
        match Nl80211::open().and_then(|nl80211| nl80211.map_or(Ok(Vec::new()), |it| it.adapters())) {
            Ok(adapters) => adapters,
            Err(refusal) => {
                tracing::warn!(cause = %refusal.cause(), "cannot read the radios");
                Vec::new()
            }
        };
    let switches = rfkill::switches(Path::new(rfkill::CLASS));
    let authenticator =
        hostapd::locate(hostapd).map(|program| hostapd::abilities(&program)).unwrap_or_default();
    let mut view = RadioView { adapters, authenticator };
    for adapter in &mut view.adapters {
        adapter.blocked = switches.get(&adapter.wiphy).copied().unwrap_or_default();
        adapter.driver = driver(&adapter.name).unwrap_or_default();
    }
    view
}

/// The name of the driver behind a radio.
fn driver(name: &str) -> Option<String> {
    let link = Path::new("/sys/class/ieee80211").join(name).join("device/driver");
    Some(link.read_link().ok()?.file_name()?.to_string_lossy().into_owned())
}

/// A socket on which the controller tells of families that come and go, and the descriptor to wait on.
fn listen() -> io::Result<(Socket, AsyncFd<OwnedFd>)> {
    let mut socket = Socket::new(crate::netlink::GENERIC)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.add_membership(u32::from(CONTROLLER))?;
    let announcements = sys::readable(socket.as_fd().try_clone_to_owned()?)?;
    Ok((socket, announcements))
}

struct Watcher {
    /// The one that is waited on, to subscribe with.
    socket: Option<Socket>,
    family: Option<Family>,
    last: Option<RadioView>,
    own: OwnInterface,
    /// The last channel told of our own access point.
    own_frequency: Option<u32>,
    hostapd: Option<PathBuf>,
    events: EventSink,
    /// When to look again.
    dirty: Option<Instant>,
}

impl Watcher {
    /// Subscribes to nl80211 if it is there. Joining a group twice is no error.
    fn join(&mut self) {
        let Some(socket) = &self.socket else { return };
        self.family = Family::find().unwrap_or_else(|refusal| {
            tracing::warn!(cause = %refusal.cause(), "cannot look for nl80211");
            None
        });
        for group in ["config", "mlme", "regulatory"] {
            let Some(id) = self.family.as_ref().and_then(|family| family.group(group)) else { continue };
            if let Err(error) = socket.add_membership(id) {
                tracing::warn!(%error, group, "cannot follow the radios");
            }
        }
    }

    async fn run(mut self, socket: AsyncFd<OwnedFd>) {
        let mut switches = rfkill::announcements().and_then(|device| sys::readable(device.into()).ok());
        loop {
            let settled = async {
                match self.dirty {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let switched = async {
                match &mut switches {
                    Some(device) => drain_switches(device).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                datagram = receive(&socket) => self.hear(datagram),
                drained = switched => {
                    self.touch();
                    if drained.is_err() {
                        switches = None;
                    }
                }
                () = settled => self.read(),
            }
        }
    }

    fn hear(&mut self, datagram: io::Result<Vec<u8>>) {
        let Ok(datagram) = datagram else {
            // The kernel had more to say than the socket could hold: look at everything.
            self.touch();
            return;
        };
        for notice in notices(&datagram) {
            match notice {
                Notice::FamilyAppeared if self.family.is_none() => {
                    self.join();
                    if self.family.is_some() {
                        self.touch();
                    }
                }
                Notice::FamilyAppeared => {}
                Notice::FamilyVanished => {
                    self.join();
                    self.touch();
                }
                Notice::ChannelSwitched { index, frequency_mhz } => {
                    if self.own.get() == Some(index) && self.own_frequency != Some(frequency_mhz) {
                        self.own_frequency = Some(frequency_mhz);
                        self.events.emit(PlatformEvent::Ap(ApEvent::ChannelChanged { frequency_mhz }));
                    }
                    self.touch();
                }
                Notice::ChannelSwitchStarted { index, frequency_mhz } => {
                    if let Some(interface) = self.station(index) {
                        self.events
                            .emit(PlatformEvent::Ap(ApEvent::StationMoving { interface, frequency_mhz }));
                    }
                }
                Notice::Other => self.touch(),
            }
        }
    }

    /// The name of the station interface with this index, as it was seen last.
    fn station(&self, index: u32) -> Option<IfName> {
        let adapters = self.last.iter().flat_map(|view| &view.adapters);
        let found = adapters.flat_map(|adapter| &adapter.interfaces).find(|it| it.index == index);
        found.filter(|it| it.iftype == IfType::Station).map(|it| it.name)
    }

    fn touch(&mut self) {
        self.dirty.get_or_insert_with(|| Instant::now() + SETTLE);
    }

    fn read(&mut self) {
        self.dirty = None;
        let view = view(self.hostapd.as_deref());
        let own = self.own.get();
        self.own_frequency = view
            .adapters
            .iter()
            .flat_map(|adapter| &adapter.interfaces)
            .find(|interface| Some(interface.index) == own)
            .and_then(|interface| interface.frequency_mhz);
        if self.last.as_ref() != Some(&view) {
            self.last = Some(view.clone());
            self.events.emit(PlatformEvent::Radio(view));
        }
    }
}

/// One datagram of the event socket.
async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut ready = socket.readable().await?;
        match recv(socket.get_ref(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes every pending announcement; what they say is read from sysfs.
async fn drain_switches(device: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut ready = device.readable().await?;
    loop {
        let mut record = [0; 64];
        match rustix::io::read(device.get_ref(), &mut record) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::cell::RefCell;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_first_view_is_there_before_the_watch_is() {
        let local = tokio::task::LocalSet::new();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&seen);
        local
            .run_until(async move {
                let events = EventSink::new(move |event| sink.borrow_mut().push(event));
                let _watch = Watch::start(OwnInterface::default(), None, events);
                assert_eq!(seen.borrow().len(), 1);
                let view = view(None);
                assert_eq!(*seen.borrow().first().unwrap(), PlatformEvent::Radio(view));
            })
            .await;
    }
}
