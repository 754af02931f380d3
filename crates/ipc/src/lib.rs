//! The D-Bus contract of hostednet, for both sides: names, arguments, errors, and the one rule by which
//! our values become D-Bus values.
//!
//! The contract is spoken peer to peer over a private socket (`/run/hostednet/bus`): one connection is one
//! session, the counterpart of a WLAN handle; when it ends, what it held is released. Values with fields
//! travel as `a{sv}` with exactly the field names that `--json` prints ([`tree`]), so that there is one
//! vocabulary and fields can be added without breaking anybody. `docs/api/org.hostednet1.txt` is the contract in prose.
//!
//! **Invariant:** nothing here knows how a request is served; this crate never depends on the core.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod args;
pub mod error;
pub mod proxy;
pub mod tree;

/// Where the private socket is unless somebody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/hostednet/bus";

/// The environment variable that says otherwise, for clients.
pub const SOCKET_VARIABLE: &str = "HOSTEDNET_SOCKET";

/// The only object.
pub const OBJECT_PATH: &str = "/org/hostednet1";

/// The interface of the hosted network.
pub const HOSTED_NETWORK: &str = "org.hostednet1.HostedNetwork";

/// The interface of sharing.
pub const SHARING: &str = "org.hostednet1.Sharing";

/// The interface of the service itself.
pub const SERVICE: &str = "org.hostednet1.Service";

/// What the service says in place of an authentication (`ERROR` of SASL) when it admits no more sessions.
pub const SESSION_LIMIT: &str = "session limit reached";

/// No message of ours is longer, in bytes.
pub const MESSAGE_LIMIT: usize = 1 << 20;
