//! The Rust client library of hostednet.
//!
//! A [`Session`] is one connection to the service and the counterpart of a WLAN handle: references taken
//! with [`Session::start_using`] are given back when it is dropped, however the program ends. Many programs
//! use the network at once without knowing of each other.
//!
//! ```no_run
//! # async fn example() -> Result<(), hostednet::Error> {
//! let session = hostednet::Session::connect_default().await?;
//! session.start_using().await?;
//! let status = session.status().await?;
//! println!("{:?} on channel {:?}", status.hosted_network.state, status.hosted_network.channel);
//! # Ok(())
//! # }
//! ```
//!
//! [`blocking::Session`] is the same for programs without an asynchronous runtime.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod blocking;
mod events;
mod profile;
mod session;

pub use events::EventStream;
pub use hn_ipc::args::{
    ConnectionView, DeviceChange, KeysView, MappingArgs, MappingTarget, MappingView, PartView, Protocol,
    Role, SecuritySettings, SettingsView, ShareArgs, UpArgs,
};
pub use hn_types as types;
pub use profile::station_profile;
pub use session::{Session, socket_path};

use hn_types::{ErrorCode, Failure, Reason};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service answered with a failure: object, step, cause and remedy.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// The service cannot be reached, or went away.
    #[error("the service is not running: {cause} (socket {socket})")]
    NotRunning {
        /// The socket that was tried.
        socket: String,
        /// What the system answered.
        cause: String,
    },
    /// The service answered something this library does not understand.
    #[error("the service answered something unexpected: {0}")]
    Protocol(String),
}

impl Error {
    /// The class of the failure, as in the table of the contract.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Failed(failure) => failure.code,
            Self::NotRunning { .. } => ErrorCode::ServiceNotActive,
            Self::Protocol(_) => ErrorCode::GenFailure,
        }
    }

    /// The whole failure; made up for errors that did not come from the service.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => (**failure).clone(),
            Self::NotRunning { socket, cause } => {
                Failure::check(self.code(), Reason::ServiceUnavailable, socket, cause)
                    .with_remedy("start the service: systemctl start hostednetd, or run hostednet up as root")
            }
            Self::Protocol(cause) => Failure::check(self.code(), Reason::Unspecified, "the answer", cause),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}
