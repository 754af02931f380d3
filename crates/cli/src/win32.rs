//! The system's sentences for error numbers, as scripts written for Windows know them.

/// The sentence of an error or network message; `***` stands for a name.
pub(crate) const fn text(number: u32) -> Option<&'static str> {
    Some(match number {
        5 => "Access is denied.",
        6 => "The handle is invalid.",
        31 => "A device attached to the system is not functioning.",
        50 => "The request is not supported.",
        87 => "The parameter is incorrect.",
        765 => {
            "Internet Connection Sharing cannot be enabled. A LAN connection is already configured with the IP \
             address that is required for automatic IP addressing."
        }
        1056 => "An instance of the service is already running.",
        1058 => {
            "The service cannot be started, either because it is disabled or because it has no enabled devices \
             associated with it."
        }
        1060 => "The specified service does not exist as an installed service.",
        1062 => "The service has not been started.",
        1068 => "The dependency service or group failed to start.",
        1168 => "Element not found.",
        1220 => {
            "An attempt was made to establish a session to a network server, but there are already too many \
             sessions established to that server."
        }
        1260 => {
            "This program is blocked by group policy. For more information, contact your system administrator."
        }
        1460 => "This operation returned because the timeout period expired.",
        1610 => "The configuration data for this product is corrupt. Contact your support personnel.",
        1816 => "Not enough quota is available to process this command.",
        2182 => "The requested service has already been started.",
        2185 => "The service name is invalid.",
        2189 => "The service is starting or stopping. Please try again later.",
        3521 => "The *** service is not started.",
        3871 => "*** is not a valid Windows network message number.",
        5023 => "The group or resource is not in the correct state to perform the requested operation.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use hostednet::types::ErrorCode;

    use super::*;

    #[test]
    fn every_code_of_the_service_has_its_sentence() {
        for code in ErrorCode::ALL {
            assert!(text(code.win32()).is_some_and(|text| text.ends_with('.')), "{code}");
        }
        assert_eq!(text(0), None);
    }
}
