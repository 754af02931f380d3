//! logind: asked to wait a moment before the machine sleeps, while an access point runs.
//!
//! A delay inhibitor (`systemd-inhibit --mode=delay`) holds a sleep up for as long as it takes to stop the access point,
//! and at most for the time that the administrator allows (`InhibitDelayMaxSec`, 5 s). elogind answers by the same name.
//! Without either nothing is announced; that the access point has not survived is noticed afterwards
//! (`radio::wake`).

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use futures_util::stream::{SelectAll, StreamExt as _, select_all};
use hn_ports::EventSink;
use hn_types::observed::{PlatformEvent, Sleep};
use tokio::{sync::Notify, task::JoinHandle, time::sleep};
use zbus::{MatchRule, MessageStream, message::Type};

use super::bus::{Object, SystemBus, Trouble};

/// Its name on the bus.
const NAME: &str = "org.freedesktop.login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const LOGIND: Object<'_> = Object { name: NAME, path: "/org/freedesktop/login1", interface: MANAGER };
/// Without a bus it is looked for again after this, while there is an access point.
const RETRY: Duration = Duration::from_secs(10);

/// Our side of logind.
#[derive(Debug)]
pub(crate) struct Login {
    shared: Rc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bus: SystemBus,
    events: EventSink,
    /// Something runs that a sleep must not catch.
    wanted: Cell<bool>,
    /// A sleep was announced that is not over.
    coming: Cell<bool>,
    /// The inhibitor: it holds until it is closed.
    lock: RefCell<Option<OwnedFd>>,
    /// `wanted` became true.
    changed: Notify,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Login {
    /// Nobody is asked before the first [`Self::hold`]. Needs a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) fn open(bus: SystemBus, events: EventSink) -> Self {
        let shared = Rc::new(Shared {
            bus,
            events,
            wanted: Cell::new(false),
            coming: Cell::new(false),
            lock: RefCell::new(None),
            changed: Notify::new(),
        });
        let listening = tokio::task::spawn_local(listen(Rc::clone(&shared)));
        Self { shared, listening }
    }

    /// From here on a sleep is announced by [`PlatformEvent::Sleep`] and waits for [`Self::release`]. Returns at once.
    pub(crate) fn hold(&self) {
        self.shared.wanted.set(true);
        self.shared.changed.notify_one();
    }

    /// The machine may sleep.
    pub(crate) fn release(&self) {
        self.shared.wanted.set(false);
        self.shared.lock.take();
    }
}

impl Shared {
    fn tell(&self, sleep: Sleep) {
        self.coming.set(sleep == Sleep::Coming);
        self.events.emit(PlatformEvent::Sleep(sleep));
    }

    /// Whoever announced the sleep is gone, and its word with it.
    fn void(&self) {
        self.lock.take();
        if self.coming.get() {
            self.tell(Sleep::Over);
        }
    }

    /// Takes the inhibitor if it is wanted and not there.
    async fn inhibit(&self) {
        if !self.wanted.get() || self.coming.get() || self.lock.borrow().is_some() {
            return;
        }
        if !self.bus.present(NAME).await {
            return;
        }
        let words = ("sleep", "hostednet", "The hosted network is stopped first", "delay");
        match self.bus.call::<_, zbus::wire::OwnedFd>(LOGIND, "Inhibit", &words).await {
            // It may have been given back meanwhile.
            Ok(lock) if self.wanted.get() => drop(self.lock.replace(Some(lock.into()))),
            Ok(_) => {}
            Err(trouble) => tracing::warn!(%trouble, "logind will not wait for us before the machine sleeps"),
        }
    }
}

async fn listen(shared: Rc<Shared>) {
    loop {
        while !shared.wanted.get() {
            shared.changed.notified().await;
        }
        // The ears first: nothing is announced between the subscription and the lock.
        if let Ok(mut signals) = signals(&shared.bus).await {
            attend(&shared, &mut signals).await;
            shared.void();
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = shared.changed.notified() => {}
        }
    }
}

/// Listens for as long as there is a bus: the end of a sleep comes when nothing of ours runs.
async fn attend(shared: &Shared, signals: &mut SelectAll<MessageStream>) {
    loop {
        shared.inhibit().await;
        tokio::select! {
            signal = signals.next() => match signal.and_then(Result::ok) {
                Some(signal) => hear(shared, &signal),
                None => return,
            },
            () = shared.changed.notified() => {}
        }
    }
}

fn hear(shared: &Shared, signal: &zbus::Message) {
    match signal.header().member().map(|member| member.as_str()) {
        Some("NameOwnerChanged") => shared.void(),
        Some("PrepareForSleep") => match signal.body().deserialize::<bool>() {
            Ok(true) => {
                tracing::info!("the machine is about to sleep");
                shared.tell(Sleep::Coming);
            }
            Ok(false) => {
                tracing::info!("the machine has slept");
                shared.tell(Sleep::Over);
            }
            Err(error) => tracing::debug!(%error, "logind says something else"),
        },
        _ => {}
    }
}

/// Sleep, and logind coming and going.
async fn signals(bus: &SystemBus) -> Result<SelectAll<MessageStream>, Trouble> {
    const BUS: &str = "org.freedesktop.DBus";
    let rule = |interface: &'static str, member: &'static str| {
        MatchRule::builder().msg_type(Type::Signal).interface(interface).member(member)
    };
    let owner = rule(BUS, "NameOwnerChanged").sender(BUS).arg(0, NAME);
    let sleep = rule(MANAGER, "PrepareForSleep").sender(NAME);
    let mut streams = Vec::new();
    for rule in [owner, sleep] {
        streams.push(bus.follow(rule.build()?).await?);
    }
    Ok(select_all(streams))
}
