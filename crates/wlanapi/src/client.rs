//! What is behind a handle: one session with the service, made again when the service comes back.
//!
//! References belong to the session, so they are void with it; the service sees to that. A call that finds
//! its session dead connects again first; a call whose session dies under it is told 1062.

use std::{
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use hostednet::{Error, EventStream, Session, types::view::Snapshot};
use tokio::{
    net::UnixStream,
    runtime::Handle,
    sync::{Mutex as AsyncMutex, Notify, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    events,
    ffi::fork::Kept,
    library::{self, Refusal},
    mirror::Mirror,
    notify::{Notifier, Registration},
};

/// A service that does not finish connecting or subscribing by then is as good as none.
const PATIENCE: Duration = Duration::from_secs(20);

/// One handle.
#[derive(Debug)]
pub(crate) struct Client {
    io: Handle,
    socket: PathBuf,
    session: AsyncMutex<Option<Live>>,
    connected: Notify,
    closed: watch::Sender<bool>,
    notifier: Arc<Notifier>,
    /// The event pump, while HNWK is registered. Locked for the whole of a registration.
    pump: Mutex<Option<JoinHandle<()>>>,
}

/// A session, and what keeps its socket to this process. Fields are dropped in this order.
#[derive(Debug)]
struct Live {
    _kept: Kept,
    session: Session,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(io: Handle) -> Arc<Self> {
        Arc::new(Self {
            io,
            socket: hostednet::socket_path(),
            session: AsyncMutex::new(None),
            connected: Notify::new(),
            closed: watch::Sender::new(false),
            notifier: Arc::new(Notifier::new()),
            pump: Mutex::new(None),
        })
    }

    /// Asks the service something and waits for the answer, the end of the service or of this handle.
    pub(crate) fn call<T, F>(
        self: &Arc<Self>,
        question: impl FnOnce(Session) -> F + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let this = Arc::clone(self);
        library::wait(&self.io, async move {
            let mut closed = this.closed.subscribe();
            let answer = async {
                let session = this.session().await?;
                Ok(question(session).await?)
            };
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => Err(Refusal::HANDLE),
                answer = answer => answer,
            }
        })?
    }

    /// Whether the WLAN part of the service runs.
    pub(crate) fn active(self: &Arc<Self>) -> Result<(), Refusal> {
        let parts = self.call(async |session| session.parts().await)?;
        let running = parts.iter().any(|part| part.name == "wlan" && part.state == "running");
        if running { Ok(()) } else { Err(Refusal::SERVICE) }
    }

    /// The answer to a call with a wrong argument, since a service that does not run comes first.
    pub(crate) fn refuse(self: &Arc<Self>, refusal: Refusal) -> Refusal {
        self.active().err().unwrap_or(refusal)
    }

    /// The live session, connecting if there is none.
    async fn session(&self) -> Result<Session, Error> {
        let mut slot = self.session.lock().await;
        if let Some(live) = slot.as_ref()
            && live.session.closed().now_or_never().is_none()
        {
            return Ok(live.session.clone());
        }
        *slot = None;
        let live = self.in_time(self.connect()).await?;
        let session = live.session.clone();
        *slot = Some(live);
        self.connected.notify_waiters();
        Ok(session)
    }

    async fn connect(&self) -> Result<Live, Error> {
        let absent = |error: std::io::Error| Error::NotRunning {
            socket: self.socket.display().to_string(),
            cause: error.to_string(),
        };
        // Not the blocking way: a service that accepts nobody must not hold up the other handles.
        let stream =
            UnixStream::connect(&self.socket).await.and_then(UnixStream::into_std).map_err(absent)?;
        let socket = stream.as_raw_fd();
        let session = Session::over(stream, &self.socket).await?;
        Ok(Live { _kept: Kept::new(socket), session })
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(PATIENCE, work).await.unwrap_or_else(|_| {
            Err(Error::NotRunning {
                socket: self.socket.display().to_string(),
                cause: "it does not answer".to_owned(),
            })
        })
    }

    /// Resolves when a call has connected again.
    pub(crate) async fn reconnected(&self) {
        self.connected.notified().await;
    }

    /// Everything at this moment, and every event after it.
    pub(crate) async fn subscribe(&self) -> Result<(Snapshot, EventStream), Error> {
        let session = self.session().await?;
        self.in_time(session.events()).await
    }

    /// Everything at this moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.session().await?.status().await
    }

    /// Makes `registration` the one of this handle and returns the mask that was. Events flow when it returns.
    pub(crate) fn register(self: &Arc<Self>, registration: Registration) -> Result<u32, Refusal> {
        let mut pump = self.pump();
        self.active()?;
        let running = pump.as_ref().is_some_and(|pump| !pump.is_finished());
        if !registration.wants_events() || running {
            return self.notifier.register(registration);
        }
        let this = Arc::clone(self);
        let (snapshot, stream) = self.call(async move |_| this.subscribe().await)?;
        let before = self.notifier.register(registration)?;
        let work = events::pump(Arc::clone(self), Arc::clone(&self.notifier), Mirror::new(&snapshot), stream);
        // A close that came in between waits for the lock and finds the new pump.
        *pump = Some(self.io.spawn(work));
        Ok(before)
    }

    /// Ends the registration and returns the mask that was. Waits for a callback that is running.
    pub(crate) fn unregister(&self) -> u32 {
        // The pump goes on: it costs little, and the next registration misses nothing.
        self.notifier.unregister()
    }

    /// Ends everything. Waits for a callback that is running, and until the session is given up.
    pub(crate) fn close(self: &Arc<Self>) {
        self.closed.send_replace(true);
        let pump = self.pump().take();
        let this = Arc::clone(self);
        // An answer that does not come means that the thread is gone, and the session with it.
        let _ = library::wait(&self.io, async move {
            if let Some(pump) = pump {
                pump.abort();
                let _ = pump.await;
            }
            *this.session.lock().await = None;
        });
        self.notifier.end();
    }

    fn pump(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.pump.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
