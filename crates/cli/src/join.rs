//! `hostednet join`, the device's side: in the network for as long as this runs, back in it whenever it is there.

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use hn_join::{Change, Lease, Loss, Refusal};
use hn_linux::station::{self, Ended, NamesBy, Request, Told};
use hostednet::{
    Error,
    types::{DriverError, DriverErrorKind, ErrorCode, Failure, Key, Reason, Ssid, Wall},
};
use serde::Serialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use crate::{
    args::Join,
    commands::{read_key_text, usage},
    report,
    style::Style,
};

pub(crate) async fn join(arguments: Join) -> Result<ExitCode, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::check(
            ErrorCode::AccessDenied,
            Reason::ElevationRequired,
            "hostednet join",
            "joining a network changes interfaces, addresses and routes, which only root may",
        )
        .with_remedy("sudo hostednet join …")
        .into());
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| usage("signals", error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| usage("signals", error))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| usage("signals", error))?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    let key = if arguments.open { None } else { Some(key(&arguments)?) };
    let request = Request {
        ssid: arguments.ssid,
        key,
        interface: arguments.interface,
        once: arguments.once,
        resolv_conf: arguments.resolv_conf,
    };
    let style = Style::of_stdout();
    let mut tell = |told: Told<'_>| {
        if arguments.json.json {
            report::json(&Line::new(told, request.ssid));
        } else if let Some(text) = sentence(told, request.ssid, style) {
            report::line(&text);
        }
    };
    let joined = LocalSet::new().run_until(station::join(&request, &mut tell, stop)).await;
    match joined.map_err(|error| failed(&error))? {
        Ended::Stopped => Ok(ExitCode::SUCCESS),
        Ended::GaveUp(why) => Err(gave_up(request.ssid, why.as_ref())),
    }
}

/// 64 hexadecimal digits are a raw key, as phones take them; everything else is a passphrase.
fn key(arguments: &Join) -> Result<Key, Error> {
    let (text, from) = read_key_text(arguments.key_file.as_deref())?;
    let raw = text.len() == 64;
    if raw { Key::from_hex(&text) } else { Key::passphrase(text.to_string()) }
        .map_err(|error| usage(&from, error))
}

/// One change for programs.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    interface: String,
    ssid: Ssid,
    #[serde(flatten)]
    change: &'a Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    names_set_by: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn new(told: Told<'a>, ssid: Ssid) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let addressed = matches!(told.change, Change::Online(_) | Change::Renewed(_));
        Self {
            time: Wall::from_unix(seconds).to_rfc3339(),
            interface: told.interface.to_string(),
            ssid,
            change: told.change,
            names_set_by: addressed.then_some(match told.names {
                NamesBy::Nobody => "nobody",
                NamesBy::SystemdResolved => "systemd-resolved",
                NamesBy::Resolvconf => "resolvconf",
                NamesBy::ResolvConf => "resolv.conf",
            }),
        }
    }
}

/// One change for people; `None` for what only repeats.
fn sentence(told: Told<'_>, ssid: Ssid, style: Style) -> Option<String> {
    let name = style.bold(&ssid.to_string());
    Some(match told.change {
        Change::Scanning { attempt: 1 } => format!("Looking for {name} with {}.", told.interface),
        Change::Scanning { attempt: 2 } => format!("{name} is not there; looking again every few seconds."),
        Change::Scanning { .. } | Change::Renewed(_) => return None,
        Change::Associating(seen) => format!("Found it: {} on {} MHz.", seen.bssid, seen.frequency_mhz),
        Change::GettingAddress(_) => "Joined; asking for an address.".to_owned(),
        Change::Online(lease) => format!("{} {}", style.good("Online:"), describe(lease, told.names)),
        Change::Refused { cause, retry_s } => {
            let again = format!("trying again in {retry_s} s");
            format!("{} {}; {again}.", style.bad("Refused:"), refusal(*cause))
        }
        Change::NoAddress { retry_s } => {
            format!("{} nobody gave us an address; joining again in {retry_s} s.", style.warn("No address:"))
        }
        Change::AddressLost { cause } => {
            let why = match cause {
                Loss::Expired => "it ran out and nobody renewed it",
                Loss::Refused => "the network has other addresses now",
                Loss::Unconfirmed => "nobody confirms it",
            };
            format!("{} {why}; asking for another.", style.warn("The address is lost:"))
        }
        Change::Lost { reason, locally } => {
            let who = if *locally { "by this machine" } else { "by the network" };
            format!("{} ({who}, reason {reason}).", style.warn("The connection is lost"))
        }
        Change::NotFound => format!("{name} is not there."),
        Change::Trouble { cause, retry_s } => {
            format!("{} {cause}; trying again in {retry_s} s.", style.bad("Trouble:"))
        }
        Change::Stopped => "Left; everything is as it was before.".to_owned(),
    })
}

fn describe(lease: &Lease, names: NamesBy) -> String {
    let mut parts = vec![lease.address.to_string()];
    parts.extend(lease.router.map(|router| format!("router {router}")));
    if !lease.dns.is_empty() {
        let servers: Vec<String> = lease.dns.iter().map(ToString::to_string).collect();
        let by = match names {
            NamesBy::Nobody => "not set: nothing here manages them, see --resolv-conf",
            NamesBy::SystemdResolved => "set in systemd-resolved",
            NamesBy::Resolvconf => "set by resolvconf",
            NamesBy::ResolvConf => "set in /etc/resolv.conf",
        };
        parts.push(format!("name servers {} ({by})", servers.join(" ")));
    }
    format!("{}.", parts.join(", "))
}

const fn refusal(cause: Refusal) -> &'static str {
    match cause {
        Refusal::WrongKey => "the key is not the network's",
        Refusal::Rejected => "the network turned this device down",
        Refusal::Timeout => "the network does not answer",
    }
}

/// Why a try that was to be the only one failed.
fn gave_up(ssid: Ssid, why: Option<&Change>) -> Error {
    let (cause, remedy) = match why {
        Some(Change::Refused { cause, .. }) => (
            refusal(*cause).to_owned(),
            match cause {
                Refusal::WrongKey => {
                    "ask for the key again: hostednet key show, on the machine that runs the network"
                }
                Refusal::Rejected | Refusal::Timeout => {
                    "come closer, or look at the log of the network's machine"
                }
            },
        ),
        Some(Change::NotFound) => ("it is not there".to_owned(), "start it, or come closer"),
        Some(Change::NoAddress { .. }) => {
            ("it gave us no address".to_owned(), "look at the network's DHCP server")
        }
        Some(Change::Lost { reason, .. }) => (format!("the connection was lost (reason {reason})"), ""),
        Some(Change::Trouble { cause, .. }) => (cause.clone(), ""),
        Some(
            Change::Scanning { .. }
            | Change::Associating(_)
            | Change::GettingAddress(_)
            | Change::Online(_)
            | Change::Renewed(_)
            | Change::AddressLost { .. }
            | Change::Stopped,
        )
        | None => ("it could not be joined".to_owned(), ""),
    };
    let code = match why {
        Some(Change::NotFound) => ErrorCode::NotFound,
        Some(_) | None => ErrorCode::GenFailure,
    };
    Failure::check(code, Reason::Unspecified, ssid, cause).with_remedy(remedy).into()
}

/// What cannot work at all.
fn failed(error: &DriverError) -> Error {
    let code = match error.kind {
        DriverErrorKind::Denied => ErrorCode::AccessDenied,
        DriverErrorKind::Gone => ErrorCode::NotFound,
        DriverErrorKind::Unsupported => ErrorCode::NotSupported,
        DriverErrorKind::Invalid => ErrorCode::InvalidParameter,
        DriverErrorKind::Busy | DriverErrorKind::Io | DriverErrorKind::Timeout => ErrorCode::GenFailure,
    };
    let cause = format!("cannot {}: {}", error.op, error.cause);
    Failure::check(code, Reason::Unspecified, &error.target, cause).with_remedy(&error.remedy).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn lease() -> Lease {
        Lease {
            address: "192.168.137.5/24".parse().unwrap(),
            router: Some([192, 168, 137, 1].into()),
            dns: vec![[192, 168, 137, 1].into()],
            domain: None,
            server: [192, 168, 137, 1].into(),
            server_mac: Default::default(),
            seconds: Some(60),
            renew: Duration::from_secs(30),
            rebind: Duration::from_secs(50),
        }
    }

    fn told(change: &Change) -> Told<'_> {
        Told { change, interface: "wlan0".parse().unwrap(), names: NamesBy::Nobody }
    }

    #[test]
    fn a_line_for_programs_is_one_flat_object() {
        let change = Change::Online(lease());
        let text = serde_json::to_string(&Line::new(told(&change), Ssid::new(b"cafe").unwrap())).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["state"], "online");
        assert_eq!((&value["ssid"], &value["interface"]), (&"cafe".into(), &"wlan0".into()));
        assert_eq!(
            (&value["address"], &value["names_set_by"]),
            (&"192.168.137.5/24".into(), &"nobody".into())
        );
        let lost = Change::Lost { reason: 3, locally: false };
        let text = serde_json::to_string(&Line::new(told(&lost), Ssid::new(b"cafe").unwrap())).unwrap();
        assert!(text.contains(r#""state":"lost","reason":3"#) && !text.contains("names_set_by"), "{text}");
    }

    #[test]
    fn people_are_told_that_the_key_is_wrong_and_where_to_ask() {
        let refused = Change::Refused { cause: Refusal::WrongKey, retry_s: 5 };
        let text = sentence(told(&refused), Ssid::new(b"cafe").unwrap(), Style::plain()).unwrap();
        assert_eq!(text, "Refused: the key is not the network's; trying again in 5 s.");
        let failure = gave_up(Ssid::new(b"cafe").unwrap(), Some(&refused)).to_failure();
        assert_eq!(failure.object, "cafe");
        assert!(failure.remedy.contains("hostednet key show"), "{failure:?}");
    }

    #[test]
    fn people_are_told_what_they_have_and_what_is_not_set() {
        let online = Change::Online(lease());
        let text = sentence(told(&online), Ssid::new(b"cafe").unwrap(), Style::plain()).unwrap();
        assert!(
            text.starts_with(
                "Online: 192.168.137.5/24, router 192.168.137.1, name servers 192.168.137.1 (not set"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_install() {
        let error = DriverError::new(
            DriverErrorKind::Unsupported,
            "start wpa_supplicant",
            "wlan0",
            "it is not installed",
        )
        .with_remedy("apt-get install wpasupplicant");
        let failure = failed(&error).to_failure();
        assert_eq!((failure.code.exit_status(), failure.object.as_str()), (1, "wlan0"));
        assert_eq!(failure.remedy, "apt-get install wpasupplicant");
    }
}
