//! What `net` and `sc` print. Pure.

use super::grammar::Part;
use crate::win32;

pub(crate) const SYNTAX: &str = "\
The syntax of this command is:

NET
    [ HELP | HELPMSG | START | STOP ]

";

pub(crate) const HELP: &str = "\
The syntax of this command is:

NET START
[service]

NET STOP
service

NET HELPMSG
message#

The services are SharedAccess, \"Internet Connection Sharing (ICS)\", and wlansvc,
\"WLAN AutoConfig\". NET START alone lists the services that run.

";

pub(crate) const SC_HELP: &str = "\
DESCRIPTION:
        Shows and controls the services SharedAccess and wlansvc.
USAGE:
        sc query [service name]
        sc start|stop [service name]
";

/// `net start`.
pub(crate) fn list(running: &[Part]) -> String {
    let names: String = running.iter().map(|part| format!("   {}\n", part.display_name())).collect();
    format!("These Windows services are started:\n\n{names}\nThe command completed successfully.\n\n")
}

/// A start that succeeded.
pub(crate) fn started(part: Part) -> String {
    let name = part.display_name();
    format!("The {name} service is starting.\nThe {name} service was started successfully.\n\n")
}

/// A stop that succeeded.
pub(crate) fn stopped(part: Part) -> String {
    let name = part.display_name();
    format!("The {name} service is stopping.\nThe {name} service was stopped successfully.\n\n")
}

/// A message of `net` itself, with where to read more.
pub(crate) fn message(number: u32, name: &str) -> String {
    let text = win32::text(number).unwrap_or_default().replace("***", name);
    format!("{text}\n\nMore help is available by typing NET HELPMSG {number}.\n\n")
}

/// An error of the system.
pub(crate) fn system_error(number: u32) -> String {
    let text = win32::text(number).unwrap_or("Unknown error.");
    format!("System error {number} has occurred.\n\n{text}\n\n")
}

/// `net helpmsg`.
pub(crate) fn explain(number: u32) -> Option<String> {
    win32::text(number).map(|text| format!("\n{text}\n\n"))
}

/// `sc query`: the block of one service.
pub(crate) fn query(part: Part, state: &str) -> String {
    let (number, word) = match state {
        "start_pending" => (2, "START_PENDING"),
        "stop_pending" => (3, "STOP_PENDING"),
        "running" => (4, "RUNNING"),
        _ => (1, "STOPPED"),
    };
    let accepts = if number == 4 {
        "(STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN)"
    } else {
        "(NOT_STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN)"
    };
    format!(
        "\nSERVICE_NAME: {}\nDISPLAY_NAME: {}\n        TYPE               : 20  WIN32_SHARE_PROCESS\n        \
         STATE              : {number}  {word}\n                                {accepts}\n        \
         WIN32_EXIT_CODE    : 0  (0x0)\n        SERVICE_EXIT_CODE  : 0  (0x0)\n        \
         CHECKPOINT         : 0x0\n        WAIT_HINT          : 0x0\n",
        part.name(),
        part.display_name()
    )
}

/// `sc` could not do `step`.
pub(crate) fn sc_failed(step: &str, number: u32) -> String {
    let text = win32::text(number).unwrap_or("Unknown error.");
    format!("[SC] {step} FAILED {number}:\n\n{text}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_those_of_net() {
        assert_eq!(
            message(3521, Part::SharedAccess.display_name()),
            "The Internet Connection Sharing (ICS) service is not started.\n\nMore help is available by typing NET \
             HELPMSG 3521.\n\n"
        );
        assert_eq!(system_error(5), "System error 5 has occurred.\n\nAccess is denied.\n\n");
        assert!(list(&Part::ALL).contains("\n   Internet Connection Sharing (ICS)\n   WLAN AutoConfig\n\n"));
        assert!(query(Part::Wlan, "running").contains("        STATE              : 4  RUNNING\n"));
        assert_eq!(explain(1), None);
    }
}
