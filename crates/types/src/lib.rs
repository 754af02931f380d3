//! The vocabulary of hostednet: ids, settings, keys, plans, reasons, events and views.
//!
//! Everything here is a value. Nothing here reads a clock, draws a random number, opens a file or
//! knows how anything is done. Every other crate speaks in these types.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

pub mod device;
pub mod diagnosis;
pub mod failure;
pub mod key;
pub mod mac;
pub mod name;
pub mod neighbour;
pub mod net;
pub mod network;
pub mod observed;
pub mod part;
pub mod plan;
pub mod portmap;
pub mod radio;
pub mod reason;
pub mod security;
pub mod settings;
pub mod siphash;
pub mod ssid;
pub mod station;
pub mod text;
pub mod time;
pub mod view;
pub mod wpa;

pub use device::{DeviceSettings, DeviceUsage, Quota, QuotaPeriod};
pub use failure::{DriverError, DriverErrorKind, ErrorCode, Failure, Step};
pub use key::{Key, KeyError, KeyRole, Passphrase, RawPsk};
pub use mac::MacAddr;
pub use name::{IfName, IfNameError};
pub use net::{Subnet4, Subnet6};
pub use reason::Reason;
pub use security::Descriptor;
pub use settings::{ConnectionSettings, SecondaryKey, StoredSettings};
pub use ssid::{Ssid, SsidError};
pub use time::{Monotonic, Now, Wall};
