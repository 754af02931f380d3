//! What a child of `fork` must not share with its parent: the state of the library, and its sockets.
//!
//! A connection would live on in a child after its program has died, and its references with it. So the child closes
//! its copies before anything else runs in it, and begins with a state of its own. Both are done without a
//! lock: another thread of the parent may have held any of them.

use std::{
    os::fd::RawFd,
    process, ptr,
    sync::{
        Once,
        atomic::{AtomicI32, AtomicPtr, Ordering},
    },
};

use nix::sys::socket::{Shutdown, shutdown};

/// A value of this process. It is never dropped: threads may use it until the process ends.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static> {
    value: AtomicPtr<Owned<T>>,
}

#[derive(Debug)]
struct Owned<T> {
    process: u32,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value, made when it is needed first in this process.
    pub(crate) fn get_or_make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        let process = process::id();
        let current = self.value.load(Ordering::Acquire);
        // SAFETY: NULL, or a box that was leaked below and is never freed.
        if let Some(owned) = unsafe { current.as_ref() }
            && owned.process == process
        {
            return Ok(&owned.value);
        }
        let new = Box::into_raw(Box::new(Owned { process, value: make()? }));
        match self.value.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                // SAFETY: leaked just now, and never freed since it is published.
                Ok(&unsafe { &*new }.value)
            }
            Err(other) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: another thread of this process published it, which is never undone.
                Ok(&unsafe { &*other }.value)
            }
        }
    }
}

/// As many sockets are closed in children; the service admits fewer sessions to most users.
const SOCKETS: usize = 1_024;

const NONE: RawFd = -1;

static OPEN: [AtomicI32; SOCKETS] = [const { AtomicI32::new(NONE) }; SOCKETS];

/// A socket of ours that children of `fork` close. Dropping this ends the connection: drop it before the socket.
#[derive(Debug)]
pub(crate) struct Kept {
    socket: RawFd,
    place: Option<&'static AtomicI32>,
}

impl Kept {
    /// Keeps a socket to this process. Its owner drops this first.
    pub(crate) fn new(socket: RawFd) -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // SAFETY: the handler only stores to atomics and closes descriptors, as a child of threads may.
            let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            debug_assert_eq!(failed, 0, "there is memory for a handler");
        });
        let place = OPEN
            .iter()
            .find(|place| place.compare_exchange(NONE, socket, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        Self { socket, place }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Whoever has a copy: the service sees the end. A connection that has ended already is no matter.
        let _ = shutdown(self.socket, Shutdown::Both);
        if let Some(place) = self.place {
            place.store(NONE, Ordering::Release);
        }
    }
}

/// Runs in every child of `fork`, before `fork` returns there.
extern "C" fn in_child() {
    for place in &OPEN {
        let socket = place.swap(NONE, Ordering::AcqRel);
        if socket != NONE {
            // SAFETY: this copy belongs to the parent's connection, which this process never touches.
            unsafe { libc::close(socket) };
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        convert::Infallible,
        io::{ErrorKind, Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
        sync::Barrier,
        thread,
    };

    use super::*;

    #[test]
    fn threads_that_come_first_together_get_one_value() {
        static VALUE: PerProcess<usize> = PerProcess::new();
        let together = Barrier::new(8);
        let seen: Vec<&usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let together = &together;
                    scope.spawn(move || {
                        together.wait();
                        VALUE.get_or_make(|| Ok::<_, Infallible>(number)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|value| ptr::eq(*value, seen[0])));
    }

    #[test]
    fn a_socket_given_up_is_seen_to_end_although_a_copy_is_open() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let copy = ours.try_clone().unwrap();
        let kept = Kept::new(ours.as_raw_fd());
        (&ours).write_all(b"x").unwrap();
        drop(kept);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"x");
        assert_eq!((&copy).write(b"y").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
