//! What a failed call says: the code, the step, the object, the cause and the remedy.

use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Reason;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $win32:literal, $name:literal, $bus:literal, $exit:literal;)*) => {
        /// The class of a failure. One row of the table per class: Win32 number, stable name, D-Bus
        /// error name and exit status of the command line. Numbers and names are never re-used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The Win32 error number (spec/hosted-network.md §8).
            pub const fn win32(self) -> u32 {
                match self { $(Self::$variant => $win32,)* }
            }

            /// The stable name printed by programs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The D-Bus error name.
            pub const fn bus_name(self) -> &'static str {
                match self { $(Self::$variant => concat!("org.hostednet1.Error.", $bus),)* }
            }

            /// The code with this D-Bus error name.
            pub fn from_bus_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.bus_name() == name)
            }

            /// Exit status of the command line (design §4).
            pub const fn exit_status(self) -> u8 {
                match self { $(Self::$variant => $exit,)* }
            }
        }
    };
}

codes! {
    /// The caller lacks the right.
    AccessDenied = 5, "access_denied", "AccessDenied", 4;
    /// The session does not exist (any more).
    InvalidHandle = 6, "invalid_handle", "InvalidHandle", 1;
    /// A limit of the service was reached.
    LimitExceeded = 1816, "limit_exceeded", "LimitExceeded", 1;
    /// The caller, or everybody together, has too many sessions.
    SessionLimitExceeded = 1220, "session_limit_exceeded", "SessionLimitExceeded", 1;
    /// The operating system or the driver refused or failed.
    GenFailure = 31, "gen_failure", "Failed", 1;
    /// The thing asked for does not exist here.
    NotSupported = 50, "not_supported", "NotSupported", 1;
    /// An argument is wrong.
    InvalidParameter = 87, "invalid_parameter", "InvalidParameter", 2;
    /// Another connection already has the needed address (RAS 765).
    SharingAddressExists = 765, "sharing_address_exists", "SharingAddressExists", 1;
    /// The service part is disabled.
    ServiceDisabled = 1058, "service_disabled", "ServiceDisabled", 3;
    /// The service part is stopped.
    ServiceNotActive = 1062, "service_not_active", "ServiceNotActive", 3;
    /// A part the service needs is not there.
    ServiceDependencyFail = 1068, "service_dependency_fail", "ServiceDependencyFail", 3;
    /// The named object does not exist.
    NotFound = 1168, "not_found", "NotFound", 1;
    /// A rule of this system (a mandatory access control, a mount option, a missing capability) denies the service itself
    /// something that it needs.
    SystemDenied = 1260, "system_denied", "SystemDenied", 1;
    /// A step did not answer in time.
    Timeout = 1460, "timeout", "Timeout", 1;
    /// The hosted network is not configured yet.
    BadConfiguration = 1610, "bad_configuration", "BadConfiguration", 1;
    /// Not possible in the present state.
    InvalidState = 5023, "invalid_state", "InvalidState", 5;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which part of an operation was being done. Doubles as the name of the lane that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Looking whether the operation is allowed and possible. Nothing was changed.
    Check,
    /// Settings on disk.
    Store,
    /// Virtual adapter and access point.
    Radio,
    /// Bridge and addresses.
    Links,
    /// Per-interface forwarding.
    Forwarding,
    /// The firewall table.
    Firewall,
    /// DHCP and DNS.
    Services,
}

impl Step {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Store => "store",
            Self::Radio => "radio",
            Self::Links => "links",
            Self::Forwarding => "forwarding",
            Self::Firewall => "firewall",
            Self::Services => "services",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The class of what a driver ran into. Small and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverErrorKind {
    /// Somebody else uses it (EBUSY, EADDRINUSE).
    Busy,
    /// The right is missing (EPERM, EACCES, a mandatory access control).
    Denied,
    /// It is not there (ENODEV, ENOENT).
    Gone,
    /// The kernel or the driver refused the values (EINVAL, ERANGE).
    Invalid,
    /// Anything else.
    Io,
    /// No answer within the deadline.
    Timeout,
    /// The machine cannot do that (EOPNOTSUPP, a missing program).
    Unsupported,
}

/// A failed driver operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverError {
    /// The class.
    pub kind: DriverErrorKind,
    /// What was being done, in words that begin with a verb: `start hostapd`.
    pub op: String,
    /// What it was done to: `hnap0`, `net.ipv4.conf.hnap0.forwarding`.
    pub target: String,
    /// What the system answered, lower case, without a full stop.
    pub cause: String,
    /// What a person can do about it; empty when nothing sensible is known.
    pub remedy: String,
    /// The errno, where there is one.
    pub errno: Option<i32>,
}

impl DriverError {
    /// An error of class `kind` while doing `op` to `target`.
    pub fn new(kind: DriverErrorKind, op: &str, target: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self {
            kind,
            op: op.to_string(),
            target: target.to_string(),
            cause: cause.to_string(),
            remedy: String::new(),
            errno: None,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = remedy.to_string();
        self
    }

    /// The same with an errno.
    #[must_use]
    pub const fn with_errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} ({}): {}", self.op, self.target, self.cause)
    }
}

impl core::error::Error for DriverError {}

/// A failed operation as its caller sees it: object, step, cause and remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class.
    pub code: ErrorCode,
    /// The fail reason of the Windows contract.
    pub reason: Reason,
    /// The step that failed.
    pub step: Step,
    /// What the failure is about: an interface, a file, a setting.
    pub object: String,
    /// One sentence, lower case, without a full stop.
    pub cause: String,
    /// What a person can do; empty when nothing sensible is known.
    pub remedy: String,
    /// Set when undoing failed too: what could not be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
}

impl Failure {
    /// A failure found before anything was changed.
    pub fn check(
        code: ErrorCode,
        reason: Reason,
        object: impl fmt::Display,
        cause: impl fmt::Display,
    ) -> Self {
        Self {
            code,
            reason,
            step: Step::Check,
            object: object.to_string(),
            cause: cause.to_string(),
            remedy: String::new(),
            rollback: None,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = remedy.to_string();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (step {}, {}", self.object, self.cause, self.step, self.code)?;
        if self.reason != Reason::Success && self.reason != Reason::Unspecified {
            write!(f, ", {}", self.reason)?;
        }
        f.write_str(")")?;
        if let Some(rollback) = &self.rollback {
            write!(f, "; undoing failed too: {rollback}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_table_are_unique() {
        for (i, a) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::from_bus_name(a.bus_name()), Some(*a));
            for b in ErrorCode::ALL.iter().skip(i + 1) {
                assert_ne!(a.win32(), b.win32());
                assert_ne!(a.as_str(), b.as_str());
                assert_ne!(a.bus_name(), b.bus_name());
            }
        }
    }
}
