//! The registration of a handle and the thread that calls its callback.
//!
//! Events are queued by the pump and delivered one after the other by one thread, which is the only one that ever runs
//! the callback and waits for nothing else (`mailbox.rs`).

use std::sync::{Arc, Mutex, PoisonError};

use hostednet::types::Reason;
use tokio::sync::Notify;

use crate::{
    ffi::callback::Callback,
    library::{self, Refusal},
    mailbox::{Ended, Mailbox},
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

/// The registration of one handle.
#[derive(Debug)]
pub(crate) struct Notifier {
    mailbox: Mailbox<Registration, Notice>,
    /// The thread runs.
    started: Mutex<bool>,
    empty: Notify,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        Self { mailbox: Mailbox::new(), started: Mutex::new(false), empty: Notify::new() }
    }

    /// Replaces the registration; what waits for the old one is dropped. Returns the mask that was.
    pub(crate) fn register(self: &Arc<Self>, registration: Registration) -> Result<DWORD, Refusal> {
        {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            if !*started {
                let this = Arc::clone(self);
                if !library::spawn("wlanapi-notify", move || this.run()) {
                    return Err(Refusal::new(ERROR_NOT_ENOUGH_MEMORY, Reason::InsufficientResources));
                }
                *started = true;
            }
        }
        let before = self.mailbox.register(registration).map_err(|Ended| Refusal::HANDLE)?;
        self.empty.notify_one();
        Ok(mask(before))
    }

    /// Ends the registration and waits for a callback that is running. Returns the mask that was.
    pub(crate) fn unregister(&self) -> DWORD {
        let before = self.mailbox.unregister();
        self.empty.notify_one();
        mask(before)
    }

    /// The same for good: the thread ends.
    pub(crate) fn end(&self) {
        self.mailbox.end();
    }

    /// How many notifications there is room for.
    pub(crate) fn room(&self) -> usize {
        QUEUE.saturating_sub(self.mailbox.waiting())
    }

    /// Queues notifications, if anybody is registered for them.
    pub(crate) fn push(&self, notices: Vec<Notice>) {
        self.mailbox.put(notices, Registration::wants_events);
    }

    /// Resolves when the queue has run empty.
    pub(crate) async fn emptied(&self) {
        while self.room() < QUEUE {
            self.empty.notified().await;
        }
    }

    /// The thread: delivers until the handle is closed.
    fn run(&self) {
        self.mailbox.read(
            |registration| registration.ignore_duplicate,
            || self.empty.notify_one(),
            |registration, notice| registration.callback.deliver(notice),
        );
    }
}

/// The sources somebody had registered.
fn mask(before: Option<Registration>) -> DWORD {
    before.map_or(WLAN_NOTIFICATION_SOURCE_NONE, |before| before.sources)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What a program that ignores duplicates, or does not, is told of `mail`.
    fn told(ignores: bool, mail: &[u8]) -> Vec<u8> {
        let mailbox: Mailbox<bool, u8> = Mailbox::new();
        let told = RefCell::new(Vec::new());
        assert!(matches!(mailbox.register(ignores), Ok(None)));
        mailbox.put(mail.to_vec(), |_| true);
        let empty = RefCell::new(0);
        mailbox.read(
            |ignores| *ignores,
            || *empty.borrow_mut() += 1,
            |_, mail| {
                told.borrow_mut().push(*mail);
                if mailbox.waiting() == 0 {
                    mailbox.end();
                }
            },
        );
        assert_eq!(*empty.borrow(), 1);
        told.into_inner()
    }

    #[test]
    fn equal_notifications_in_a_row_are_told_once_to_those_who_ask_for_that() {
        assert_eq!(told(true, &[1, 1, 2, 1, 1, 1, 3]), [1, 2, 1, 3]);
        assert_eq!(told(false, &[1, 1, 2, 1, 1, 1, 3]), [1, 1, 2, 1, 1, 1, 3]);
    }

    #[test]
    fn a_new_registration_has_been_told_nothing() {
        let mailbox: Mailbox<u8, u8> = Mailbox::new();
        let told = RefCell::new(Vec::new());
        assert!(matches!(mailbox.register(1), Ok(None)));
        mailbox.put(vec![7, 8], |_| true);
        mailbox.read(
            |_| true,
            || {},
            |registration, mail| {
                told.borrow_mut().push((registration, *mail));
                if registration == 1 {
                    assert!(matches!(mailbox.register(2), Ok(Some(1))), "8 is dropped");
                    mailbox.put(vec![7], |_| true);
                } else {
                    mailbox.end();
                }
            },
        );
        assert_eq!(told.into_inner(), [(1, 7), (2, 7)]);
        assert!(mailbox.register(3).is_err());
    }
}
