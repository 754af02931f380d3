//! The registration of a handle and the thread that calls its callback.
//!
//! Events are queued by the pump and delivered one after the other by one thread, which is the only one that ever runs
//! the callback and waits for nothing else. Nobody waits for it but who ends the registration.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use hostednet::types::Reason;
use tokio::sync::Notify;

use crate::{
    ffi::callback::Callback,
    library::{self, Refusal},
    types::{
        DWORD, ERROR_NOT_ENOUGH_MEMORY, GUID, WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE,
        WLAN_HOSTED_NETWORK_RADIO_STATE, WLAN_HOSTED_NETWORK_STATE_CHANGE, WLAN_NOTIFICATION_SOURCE_HNWK,
        WLAN_NOTIFICATION_SOURCE_NONE, wlan_hosted_network_peer_state_change,
        wlan_hosted_network_radio_state_change, wlan_hosted_network_state_change,
    },
};

/// Notifications that may wait for a slow callback: every device there can be, twice over, and some.
/// Beyond, they are dropped, and made up for from the status once the queue is empty.
const QUEUE: usize = 8_192;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) guid: GUID,
    pub(crate) body: Body,
}

/// Its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    State(WLAN_HOSTED_NETWORK_STATE_CHANGE),
    Peer(WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE),
    Radio(WLAN_HOSTED_NETWORK_RADIO_STATE),
}

impl Notice {
    pub(crate) const fn state(guid: GUID, change: WLAN_HOSTED_NETWORK_STATE_CHANGE) -> Self {
        Self { guid, body: Body::State(change) }
    }

    pub(crate) const fn peer(guid: GUID, change: WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE) -> Self {
        Self { guid, body: Body::Peer(change) }
    }

    pub(crate) const fn radio(guid: GUID, state: WLAN_HOSTED_NETWORK_RADIO_STATE) -> Self {
        Self { guid, body: Body::Radio(state) }
    }

    /// The notification code.
    pub(crate) const fn code(&self) -> DWORD {
        match self.body {
            Body::State(_) => wlan_hosted_network_state_change,
            Body::Peer(_) => wlan_hosted_network_peer_state_change,
            Body::Radio(_) => wlan_hosted_network_radio_state_change,
        }
    }
}

/// What a caller registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) sources: DWORD,
    pub(crate) ignore_duplicate: bool,
    pub(crate) callback: Callback,
}

impl Registration {
    /// Whether it gets anything at all: the hosted network is the only source there is.
    pub(crate) const fn wants_events(&self) -> bool {
        self.sources & WLAN_NOTIFICATION_SOURCE_HNWK != 0
    }
}

#[derive(Debug, Default)]
struct State {
    registration: Option<Registration>,
    queue: VecDeque<Notice>,
    /// The notification delivered last.
    last: Option<Notice>,
    thread: Option<ThreadId>,
    started: bool,
    /// Deliveries begun and ended; a callback runs while they differ.
    begun: u64,
    done: u64,
    ended: bool,
}

/// The registration of one handle.
#[derive(Debug)]
pub(crate) struct Notifier {
    state: Mutex<State>,
    changed: Condvar,
    empty: Notify,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), empty: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the registration; what waits for the old one is dropped. Returns the mask that was.
    pub(crate) fn register(self: &Arc<Self>, registration: Registration) -> Result<DWORD, Refusal> {
        let mut state = self.state();
        if state.ended {
            return Err(Refusal::HANDLE);
        }
        if !state.started {
            let this = Arc::clone(self);
            if !library::spawn("wlanapi-notify", move || this.run()) {
                return Err(Refusal::new(ERROR_NOT_ENOUGH_MEMORY, Reason::InsufficientResources));
            }
            state.started = true;
        }
        state.queue.clear();
        state.last = None;
        let before = state.registration.replace(registration);
        self.empty.notify_one();
        Ok(before.map_or(WLAN_NOTIFICATION_SOURCE_NONE, |before| before.sources))
    }

    /// Ends the registration and waits for a callback that is running. Returns the mask that was.
    pub(crate) fn unregister(&self) -> DWORD {
        let mut state = self.state();
        let before = state.registration.take();
        state.queue.clear();
        self.empty.notify_one();
        let running = state.begun;
        // Inside the callback, waiting for it would never end.
        if state.thread != Some(thread::current().id()) {
            while state.done < running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        before.map_or(WLAN_NOTIFICATION_SOURCE_NONE, |before| before.sources)
    }

    /// The same for good: the thread ends.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
        self.unregister();
    }

    /// How many notifications there is room for.
    pub(crate) fn room(&self) -> usize {
        QUEUE.saturating_sub(self.state().queue.len())
    }

    /// Queues notifications, if anybody is registered for them.
    pub(crate) fn push(&self, notices: Vec<Notice>) {
        let mut state = self.state();
        if state.registration.as_ref().is_some_and(Registration::wants_events) {
            state.queue.extend(notices);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Resolves when the queue has run empty.
    pub(crate) async fn emptied(&self) {
        while self.room() < QUEUE {
            self.empty.notified().await;
        }
    }

    /// The thread: delivers until the handle is closed.
    fn run(&self) {
        let mut state = self.state();
        state.thread = Some(thread::current().id());
        while !state.ended {
            let Some(notice) = state.queue.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if state.queue.is_empty() {
                self.empty.notify_one();
            }
            let Some(registration) = state.registration else { continue };
            if registration.ignore_duplicate && state.last.as_ref() == Some(&notice) {
                continue;
            }
            state.last = Some(notice.clone());
            state.begun += 1;
            drop(state);
            registration.callback.deliver(&notice);
            state = self.state();
            state.done = state.begun;
            self.changed.notify_all();
        }
    }
}
