//! The hand-off from the pump to the one thread that runs a callback, and the wait for a callback that runs.
//!
//! It knows nothing of what it carries: `tests/interleavings.rs` takes this file and plays every interleaving of it.
//! Nobody waits but the reader, for mail, and who ends the registration, for a delivery that has begun.

use std::collections::VecDeque;

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError, ThreadId, current};

#[derive(Debug)]
struct State<R, N> {
    registration: Option<R>,
    queue: VecDeque<N>,
    /// What was delivered last to this registration.
    last: Option<N>,
    reader: Option<ThreadId>,
    /// Deliveries begun and done; one runs while they differ.
    begun: u64,
    done: u64,
    ended: bool,
}

/// A registration `R` and the mail `N` that waits for it.
#[derive(Debug)]
pub(crate) struct Mailbox<R, N> {
    state: Mutex<State<R, N>>,
    changed: Condvar,
}

impl<R: Copy, N: Clone + PartialEq> Mailbox<R, N> {
    /// Without a registration.
    pub(crate) fn new() -> Self {
        let state = State {
            registration: None,
            queue: VecDeque::new(),
            last: None,
            reader: None,
            begun: 0,
            done: 0,
            ended: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<R, N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the registration; mail for the old one is dropped. The old one, or `Err` after the end.
    pub(crate) fn register(&self, registration: R) -> Result<Option<R>, Ended> {
        let mut state = self.state();
        if state.ended {
            return Err(Ended);
        }
        state.queue.clear();
        state.last = None;
        Ok(state.registration.replace(registration))
    }

    /// Takes the registration away and waits until it is not called any more. Inside a delivery there is nothing to wait
    /// for: the caller is what would be waited for.
    pub(crate) fn unregister(&self) -> Option<R> {
        let mut state = self.state();
        let before = state.registration.take();
        state.queue.clear();
        let begun = state.begun;
        if state.reader != Some(current().id()) {
            while state.done < begun {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        before
    }

    /// The same for good: [`Self::read`] returns.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
        self.unregister();
    }

    /// How much mail waits.
    pub(crate) fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// Puts mail in, if there is a registration that wants it.
    pub(crate) fn put(&self, mail: Vec<N>, wanted: impl FnOnce(&R) -> bool) {
        let mut state = self.state();
        if state.registration.as_ref().is_some_and(wanted) {
            state.queue.extend(mail);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Delivers on this thread until the end. Only one thread reads. `distinct`: no mail equal to the one before it;
    /// `emptied` is told when nothing waits any more.
    pub(crate) fn read(&self, distinct: impl Fn(&R) -> bool, emptied: impl Fn(), deliver: impl Fn(R, &N)) {
        let mut state = self.state();
        state.reader = Some(current().id());
        while !state.ended {
            let Some(mail) = state.queue.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if state.queue.is_empty() {
                emptied();
            }
            let Some(registration) = state.registration else { continue };
            if distinct(&registration) && state.last.as_ref() == Some(&mail) {
                continue;
            }
            state.last = Some(mail.clone());
            state.begun += 1;
            drop(state);
            deliver(registration, &mail);
            state = self.state();
            state.done = state.begun;
            self.changed.notify_all();
        }
    }
}

/// There are no registrations any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended;
