//! The state of the library in this process: its thread and the table of handles.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use hostednet::{Error, types::Reason};
use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::{
    client::Client,
    ffi::fork::PerProcess,
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
    io: Handle,
    handles: Mutex<HashMap<usize, Arc<Client>>>,
    /// The thread ends with it.
    _life: oneshot::Sender<()>,
}

static LIBRARY: PerProcess<Library> = PerProcess::new();

/// The last handle. A child of `fork` counts on, so that no number of its parent means anything there.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// The library, begun when it is needed first. A child of `fork` has no thread and begins again.
fn library() -> Result<&'static Library, Refusal> {
    LIBRARY
        .get_or_make(|| start().ok_or(Refusal::new(ERROR_NOT_ENOUGH_MEMORY, Reason::InsufficientResources)))
}

/// Starts the thread that drives every connection until the process ends.
fn start() -> Option<Library> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let (life, end) = oneshot::channel::<()>();
    let io = runtime.handle().clone();
    let run = move || {
        // An error is what the end of the sender comes to.
        let _ = runtime.block_on(end);
    };
    spawn("wlanapi", run).then(|| Library { io, handles: Mutex::default(), _life: life })
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
    fn handles(&self) -> MutexGuard<'_, HashMap<usize, Arc<Client>>> {
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
    if library.handles().len() >= HANDLES {
        return Err(FULL);
    }
    let client = Client::new(library.io.clone());
    if let Err(refusal) = client.active() {
        client.close();
        return Err(refusal);
    }
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    {
        let mut handles = library.handles();
        if handles.len() < HANDLES {
            handles.insert(number, client);
            return Ok(number);
        }
    }
    client.close();
    Err(FULL)
}

fn known(number: usize) -> Option<Arc<Client>> {
    library().ok()?.handles().get(&number).cloned()
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
    let client = library()?.handles().remove(&number).ok_or(Refusal::HANDLE)?;
    client.close();
    Ok(())
}
