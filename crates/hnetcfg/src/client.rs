//! The connection of this process to the service: one for all objects, made again when the service comes back.
//!
//! Nothing of sharing belongs to a session, so one is as good as many. It ends when the last thread leaves COM.

use std::{
    path::PathBuf,
    process,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use hostednet::{ConnectionView, Error, MappingArgs, MappingView, Role, Session};
use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::{
    runtime::{Builder, Handle},
    sync::Mutex as AsyncMutex,
    time::timeout,
};

use crate::{
    hresult::{E_OUTOFMEMORY, E_UNEXPECTED, NOT_FOUND, Refusal},
    types::GUID,
};

/// A service that does not finish connecting by then is as good as none.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client in one process.
#[derive(Debug)]
struct Client {
    process: u32,
    io: Handle,
    socket: PathBuf,
    session: AsyncMutex<Option<Session>>,
}

static CLIENT: Mutex<Option<Arc<Client>>> = Mutex::new(None);

/// The client, begun when it is needed first. A child of `fork` has no thread and begins again.
fn client() -> Result<Arc<Client>, Refusal> {
    let mut slot = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    match slot.as_ref() {
        Some(client) if client.process == process::id() => return Ok(Arc::clone(client)),
        // The parent's: its connection must not be closed from here.
        Some(_) => std::mem::forget(slot.take()),
        None => {}
    }
    let client = Arc::new(Client {
        process: process::id(),
        io: start().ok_or(E_OUTOFMEMORY)?,
        socket: hostednet::socket_path(),
        session: AsyncMutex::new(None),
    });
    *slot = Some(Arc::clone(&client));
    Ok(client)
}

/// Starts the thread that drives the connection until the process ends. It takes none of the program's signals.
fn start() -> Option<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let thread = thread::Builder::new()
        .name("hnetcfg".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()));
    if let Ok(before) = before {
        // A mask that was in force is valid.
        let _ = before.thread_set_mask();
    }
    thread.is_ok().then_some(handle)
}

impl Client {
    /// The live session, connecting if there is none.
    async fn session(&self) -> Result<Session, Error> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref()
            && session.closed().now_or_never().is_none()
        {
            return Ok(session.clone());
        }
        *slot = None;
        let session = timeout(PATIENCE, Session::connect(&self.socket)).await.unwrap_or_else(|_| {
            Err(Error::NotRunning {
                socket: self.socket.display().to_string(),
                cause: "it does not answer".to_owned(),
            })
        })?;
        *slot = Some(session.clone());
        Ok(session)
    }

    /// Runs a future on the thread of the client and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.io.spawn(async move {
            // Nobody waits only when the waiting thread is gone.
            let _ = sender.send(future.await);
        });
        answer.recv().map_err(|_| E_UNEXPECTED.into())
    }
}

/// Asks the service something and waits for the answer or the end of the service.
fn ask<T, F>(question: impl FnOnce(Session) -> F + Send + 'static) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send,
{
    let client = client()?;
    let this = Arc::clone(&client);
    Ok(client.wait(async move { question(this.session().await?).await })??)
}

/// Ends the connection; the next question makes a new one.
pub(crate) fn hang_up() {
    let known = CLIENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(client) = known.filter(|client| client.process == process::id()) {
        let this = Arc::clone(&client);
        // An answer that does not come means that the thread is gone, and the connection with it.
        let _ = client.wait(async move { *this.session.lock().await = None });
    }
}

/// Whether the machine has the part that shares connections.
pub(crate) fn sharing_installed() -> Result<bool, Refusal> {
    let parts = ask(async |session: Session| session.parts().await)?;
    Ok(parts.iter().any(|part| part.name == "sharedaccess"))
}

/// Every connection of the folder.
pub(crate) fn connections() -> Result<Vec<ConnectionView>, Refusal> {
    ask(async |session: Session| session.connections().await)
}

/// The connection with this identifier.
pub(crate) fn connection(guid: &GUID) -> Result<ConnectionView, Refusal> {
    let found = connections()?.into_iter().find(|view| GUID::parse(&view.guid) == Some(*guid));
    found.ok_or_else(|| NOT_FOUND.into())
}

pub(crate) fn enable_sharing(guid: &GUID, role: Role) -> Result<(), Refusal> {
    let connection = guid.to_string();
    ask(async move |session: Session| session.enable_sharing(&connection, role).await)
}

pub(crate) fn disable_sharing(guid: &GUID) -> Result<(), Refusal> {
    let connection = guid.to_string();
    ask(async move |session: Session| session.disable_sharing(&connection).await)
}

pub(crate) fn set_firewall(name: String, on: bool) -> Result<(), Refusal> {
    ask(async move |session: Session| session.set_firewall(&name, on).await)
}

/// The port mappings of a connection.
pub(crate) fn mappings(connection: &ConnectionView) -> Result<Vec<MappingView>, Refusal> {
    let all = ask(async |session: Session| session.mappings().await)?;
    Ok(all.into_iter().filter(|mapping| mapping.connection == connection.name).collect())
}

/// The port mapping with this number.
pub(crate) fn mapping(id: u32) -> Result<MappingView, Refusal> {
    let all = ask(async |session: Session| session.mappings().await)?;
    all.into_iter().find(|mapping| mapping.id == id).ok_or_else(|| NOT_FOUND.into())
}

pub(crate) fn add_mapping(args: MappingArgs) -> Result<u32, Refusal> {
    ask(async move |session: Session| session.add_mapping(&args).await)
}

pub(crate) fn set_mapping_enabled(id: u32, on: bool) -> Result<(), Refusal> {
    ask(async move |session: Session| session.set_mapping_enabled(id, on).await)
}

pub(crate) fn remove_mapping(id: u32) -> Result<(), Refusal> {
    ask(async move |session: Session| session.remove_mapping(id).await)
}
