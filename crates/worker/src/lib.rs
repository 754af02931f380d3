//! The worker: the process without privilege that runs the protocol engines.
//!
//! Everything a device on the private segment sends is parsed here and nowhere else, after the process has
//! given up its user, its capabilities, its file system and every system call the loop does not need. It is
//! handed its sockets and its lease journal over the control channel ([`hn_ports::services`]) and opens
//! nothing itself but sockets towards resolvers, and towards devices that subscribed to UPnP's events.
//!
//! It never decides what is served; that is the control process's plan. It ends when the control process
//! does, with success, and with an error when that sends something which is not a command.
//!
//! | module | owns |
//! |---|---|
//! | `worker` | the loop |
//! | `dhcp`, `ipv6`, `dns`, `portmap` | one engine each with its sockets |
//! | `clients`, `resolvers`, `stream` | TCP clients, sockets towards resolvers, messages on a TCP connection |
//! | `connections` | UPnP's TCP connections |
//! | `journal`, `writer` | the lease journal, the thread that waits for the disk |
//! | `control` | the channel to the control process |
//! | `lockdown` | giving up privilege |
//! | `poller`, `sys`, `table` | epoll, batches of datagrams, slots |

#![warn(missing_docs)]

mod clients;
mod connections;
mod control;
mod counters;
mod dhcp;
mod dns;
mod ipv6;
mod journal;
pub mod lockdown;
mod plan;
mod poller;
mod portmap;
mod resolvers;
mod stream;
mod sys;
mod table;
mod worker;
mod writer;

use std::os::fd::OwnedFd;

pub use control::ControlError;
pub use lockdown::{Identity, LockdownError};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;

/// The descriptor on which a worker process finds its control channel.
pub const CONTROL_DESCRIPTOR: i32 = 3;

/// How a worker is run.
#[derive(Debug)]
pub struct Options {
    /// The control channel, a `SOCK_SEQPACKET` socket.
    pub control: OwnedFd,
    /// Whom to become when everything is given up. `None` keeps all privilege: for tests of the loop inside
    /// their own process.
    pub identity: Option<Identity>,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no control channel.
    #[error("the worker is started by the service, with its control channel on descriptor 3")]
    NoControl,
    /// Privilege could not be given up.
    #[error(transparent)]
    Lockdown(#[from] LockdownError),
    /// The thread for the journal could not be started.
    #[error("cannot start the journal thread: {0}")]
    Thread(std::io::Error),
    /// The control channel broke.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The poller broke.
    #[error("the event loop failed: {0}")]
    Poller(#[from] Errno),
}

/// The whole life of a worker process: takes the control channel over, gives everything up and works until
/// the control process is gone. Call it first thing, from the main thread of a fresh process.
///
/// # Errors
///
/// See [`WorkerError`].
pub fn main(identity: Identity) -> Result<(), WorkerError> {
    let control = sys::inherited(CONTROL_DESCRIPTOR).ok_or(WorkerError::NoControl)?;
    sys::close_from(CONTROL_DESCRIPTOR + 1);
    run(Options { control, identity: Some(identity) })
}

/// Works until the control process is gone.
///
/// # Errors
///
/// See [`WorkerError`].
pub fn run(options: Options) -> Result<(), WorkerError> {
    // A file that may not grow is an error of the write, not the death of the process.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block().map_err(|error| Errno::from_raw_os_error(error as i32))?;

    let report = options.identity.map(lockdown::drop_privilege).transpose()?;
    let writer = writer::Writer::start().map_err(WorkerError::Thread)?;
    let worker = worker::Worker::new(options.control, writer)?;
    if let Some(report) = report {
        tracing::info!(?report, "privilege given up");
        lockdown::filter_syscalls()?;
    }
    worker.run()
}
