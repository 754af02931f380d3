//! The state of the library in this process: its thread and the table of handles.

use std::{
    collections::HashMap,
    process,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use hostednet::{Error, types::Reason};
use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::runtime::{Builder, Handle};

use crate::{
    client::Client,
    types::{
        DWORD, ERROR_GEN_FAILURE, ERROR_INVALID_HANDLE, ERROR_INVALID_PARAMETER, ERROR_NOT_ENOUGH_MEMORY,
        ERROR_REMOTE_SESSION_LIMIT_EXCEEDED, ERROR_SERVICE_NOT_ACTIVE, WLAN_HOSTED_NETWORK_REASON,
        reason_number,
    },
};

/// Handles of one process at a time. The service admits no more sessions of one user.
const HANDLES: usize = 256;

/// Why a call is refused, in the two numbers of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: DWORD,
    pub(crate) reason: WLAN_HOSTED_NETWORK_REASON,
}

impl Refusal {
    /// A wrong argument.
    pub(crate) const PARAMETER: Self = Self::new(ERROR_INVALID_PARAMETER, Reason::BadParameters);
    /// A handle that is not in the table.
    pub(crate) const HANDLE: Self = Self::new(ERROR_INVALID_HANDLE, Reason::BadParameters);
    /// No service.
    pub(crate) const SERVICE: Self = Self::new(ERROR_SERVICE_NOT_ACTIVE, Reason::ServiceUnavailable);
    /// A defect of ours.
    pub(crate) const DEFECT: Self = Self::new(ERROR_GEN_FAILURE, Reason::Unspecified);

    pub(crate) const fn new(code: DWORD, reason: Reason) -> Self {
        Self { code, reason: reason_number(reason) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(error.code().win32(), error.to_failure().reason)
    }
}

/// The library in one process.
#[derive(Debug)]
struct Library {
    process: u32,
    io: Handle,
    handles: Mutex<Handles>,
}

#[derive(Debug, Default)]
struct Handles {
    last: usize,
    open: HashMap<usize, Arc<Client>>,
}

static LIBRARY: Mutex<Option<Arc<Library>>> = Mutex::new(None);

/// The library, begun when it is needed first. A child of `fork` has no thread and begins again.
fn library() -> Result<Arc<Library>, Refusal> {
    let mut slot = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    match slot.as_ref() {
        Some(library) if library.process == process::id() => return Ok(Arc::clone(library)),
        // The parent's: its connections must not be closed from here.
        Some(_) => std::mem::forget(slot.take()),
        None => {}
    }
    let library = Arc::new(Library {
        process: process::id(),
        io: start().ok_or(Refusal::new(ERROR_NOT_ENOUGH_MEMORY, Reason::InsufficientResources))?,
        handles: Mutex::default(),
    });
    *slot = Some(Arc::clone(&library));
    Ok(library)
}

/// Starts the thread that drives every connection until the process ends.
fn start() -> Option<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    spawn("wlanapi", move || runtime.block_on(std::future::pending::<()>())).then_some(handle)
}

/// Starts a thread that takes none of the program's signals. `false`: the system has no room for it.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> bool {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    if let Ok(before) = before {
        // A mask that was in force is valid.
        let _ = before.thread_set_mask();
    }
    thread.is_ok()
}

impl Library {
    fn handles(&self) -> std::sync::MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a future on the library's thread and waits for it.
pub(crate) fn wait<T: Send + 'static>(
    io: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Refusal> {
    let (sender, answer) = mpsc::sync_channel(1);
    io.spawn(async move {
        // Nobody waits only when the waiting thread is gone.
        let _ = sender.send(future.await);
    });
    answer.recv().map_err(|_| Refusal::DEFECT)
}

/// A new handle with a session of its own.
pub(crate) fn open() -> Result<usize, Refusal> {
    const FULL: Refusal = Refusal::new(ERROR_REMOTE_SESSION_LIMIT_EXCEEDED, Reason::InsufficientResources);
    let library = library()?;
    if library.handles().open.len() >= HANDLES {
        return Err(FULL);
    }
    let client = Client::new(library.io.clone());
    if let Err(refusal) = client.active() {
        client.close();
        return Err(refusal);
    }
    let number = {
        let mut handles = library.handles();
        let next = handles.last.checked_add(1).filter(|_| handles.open.len() < HANDLES);
        if let Some(next) = next {
            handles.last = next;
            handles.open.insert(next, Arc::clone(&client));
        }
        next
    };
    number.ok_or_else(|| {
        client.close();
        FULL
    })
}

fn known(number: usize) -> Option<Arc<Client>> {
    library().ok()?.handles().open.get(&number).cloned()
}

/// The client behind a handle, for functions that need no service.
pub(crate) fn find(number: usize) -> Result<Arc<Client>, Refusal> {
    known(number).ok_or(Refusal::HANDLE)
}

/// The client behind a handle, for functions that need the service: whether that runs is looked at first.
pub(crate) fn client(number: usize) -> Result<Arc<Client>, Refusal> {
    if let Some(client) = known(number) {
        return Ok(client);
    }
    let stranger = Client::new(library()?.io.clone());
    let active = stranger.active();
    stranger.close();
    Err(active.err().unwrap_or(Refusal::HANDLE))
}

/// Ends a handle and everything that is bound to it.
pub(crate) fn close(number: usize) -> Result<(), Refusal> {
    let client = library()?.handles().open.remove(&number).ok_or(Refusal::HANDLE)?;
    client.close();
    Ok(())
}
