//! Why a state changed or a call failed, in the numbers of `WLAN_HOSTED_NETWORK_REASON`.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// `WLAN_HOSTED_NETWORK_REASON` (spec/hosted-network.md §8). The numbers are a contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u32)]
        pub enum Reason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number in the Windows contract.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The stable name, as `--json` and the bus print it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The reason with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// No failure.
    Success = 0, "success";
    /// Unknown cause.
    Unspecified = 1, "unspecified";
    /// A bad argument.
    BadParameters = 2, "bad_parameters";
    /// The service is ending.
    ServiceShuttingDown = 3, "service_shutting_down";
    /// Out of resources.
    InsufficientResources = 4, "insufficient_resources";
    /// The caller needs more privilege.
    ElevationRequired = 5, "elevation_required";
    /// An attempt to write read-only data.
    ReadOnly = 6, "read_only";
    /// Saving to disk failed.
    PersistenceFailed = 7, "persistence_failed";
    /// Encryption or decryption failed.
    CryptError = 8, "crypt_error";
    /// The service could not act as the caller.
    Impersonation = 9, "impersonation";
    /// A stop without a start before it.
    StopBeforeStart = 10, "stop_before_start";
    /// The adapter became usable.
    InterfaceAvailable = 11, "interface_available";
    /// The adapter is not usable.
    InterfaceUnavailable = 12, "interface_unavailable";
    /// The virtual adapter stopped.
    MiniportStopped = 13, "miniport_stopped";
    /// The virtual adapter started.
    MiniportStarted = 14, "miniport_started";
    /// An ad hoc or monitor connection began.
    IncompatibleConnectionStarted = 15, "incompatible_connection_started";
    /// It ended.
    IncompatibleConnectionStopped = 16, "incompatible_connection_stopped";
    /// An explicit request.
    UserAction = 17, "user_action";
    /// The client's handle or process went away.
    ClientAbort = 18, "client_abort";
    /// The access point could not start.
    ApStartFailed = 19, "ap_start_failed";
    /// A device joined.
    PeerArrived = 20, "peer_arrived";
    /// A device left.
    PeerDeparted = 21, "peer_departed";
    /// A device was silent too long.
    PeerTimeout = 22, "peer_timeout";
    /// The administrator's policy forbids it.
    GpDenied = 23, "gp_denied";
    /// The service cannot be reached.
    ServiceUnavailable = 24, "service_unavailable";
    /// The adapter arrived, left or changed.
    DeviceChange = 25, "device_change";
    /// Settings changed.
    PropertiesChange = 26, "properties_change";
    /// A vendor's virtual station blocks the adapter.
    VirtualStationBlockingUse = 27, "virtual_station_blocking_use";
    /// The service is available through a virtual station.
    ServiceAvailableOnVirtualStation = 28, "service_available_on_virtual_station";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_reversible() {
        assert_eq!(Reason::ALL.len(), 29);
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(reason.number(), number);
            assert_eq!(Reason::from_number(number), Some(*reason));
        }
        assert_eq!(Reason::from_number(29), None);
    }
}
