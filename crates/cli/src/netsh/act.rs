//! From a command to the service and back.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use hostednet::{
    Error, Session, station_profile,
    types::{ErrorCode, Reason},
};

use super::{
    grammar::{Command, Settings},
    text,
};
use crate::report;

/// Why a command did not succeed: netsh's sentence, and what is behind it.
pub(super) struct Refused {
    pub(super) text: String,
    pub(super) error: Option<Error>,
}

impl Refused {
    fn new(sentence: &str, error: Error) -> Self {
        let elevation = error.to_failure().reason == Reason::ElevationRequired;
        let code = error.code();
        let text = if code == ErrorCode::ServiceNotActive {
            text::NO_SERVICE.to_owned()
        } else if code == ErrorCode::AccessDenied && elevation {
            text::NO_RIGHT.to_owned()
        } else {
            text::refused(sentence, code.win32())
        };
        Self { text, error: Some(error) }
    }

    fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), error: None }
    }
}

/// Does a command and prints what came of it.
pub(super) async fn act(socket: &Path, command: Command) -> Result<(), Refused> {
    let session = Session::connect(socket).await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
    match command {
        Command::Set(settings) => return set(&session, settings).await,
        Command::ShowHostedNetwork => {
            queryable(&session).await?;
            let snapshot = session.status().await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
            report::out(&text::hosted_network(&snapshot.hosted_network));
        }
        Command::ShowSecurity => {
            let keys = session.keys().await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
            report::out(&text::security(&keys));
        }
        Command::ShowDrivers(only) => {
            queryable(&session).await?;
            let rows = session.connections().await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
            let drivers = text::drivers(&rows, only.as_deref());
            report::out(&drivers.ok_or_else(|| Refused::plain(text::NO_INTERFACE))?);
        }
        Command::ShowInterfaces => {
            queryable(&session).await?;
            let rows = session.connections().await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
            let snapshot = session.status().await.map_err(|error| Refused::new(text::NOT_SHOWN, error))?;
            if text::stations(&rows).is_empty() {
                return Err(Refused::plain(text::NO_INTERFACE));
            }
            report::out(&text::interfaces(&rows, snapshot.hosted_network.state));
        }
        Command::Start => {
            session.force_start().await.map_err(|error| Refused::new(text::NOT_STARTED, error))?;
            report::line(text::STARTED);
        }
        Command::Stop => {
            session.force_stop().await.map_err(|error| Refused::new(text::NOT_STOPPED, error))?;
            report::line(text::STOPPED);
        }
        Command::RefreshKey => {
            session.refresh_key().await.map_err(|error| Refused::new(text::NOT_REFRESHED, error))?;
            report::line(text::KEY_REFRESHED);
        }
        Command::Export { folder } => return export(&session, folder).await,
    }
    Ok(())
}

/// A stopped WLAN part answers no question, although the service could.
async fn queryable(session: &Session) -> Result<(), Refused> {
    session.settings().await.map(drop).map_err(|error| Refused::new(text::NOT_SHOWN, error))
}

/// Everything was found valid before; each change that is made is told.
async fn set(session: &Session, settings: Settings) -> Result<(), Refused> {
    let refused = |error| Refused::new(text::NOT_SET, error);
    let Settings { allow, ssid, key } = settings;
    if let Some(allow) = allow {
        session.set_enabled(allow).await.map_err(refused)?;
        report::out(if allow { text::ALLOWED } else { text::DISALLOWED });
    }
    if let Some(ssid) = ssid {
        session.set_ssid(&ssid).await.map_err(refused)?;
        report::out(text::RENAMED);
    }
    if let Some(key) = key {
        session.set_secondary_key(Some(&key)).await.map_err(refused)?;
        report::out(text::KEY_CHANGED);
    }
    report::out("\n");
    Ok(())
}

async fn export(session: &Session, folder: Option<OsString>) -> Result<(), Refused> {
    let refused = |error| Refused::new(text::NOT_EXPORTED, error);
    let settings = session.settings().await.map_err(refused)?;
    let keys = session.keys().await.map_err(refused)?;
    let Some((ssid, key)) = settings.ssid.zip(keys.primary) else {
        return Err(Refused::plain(&text::refused(text::NOT_EXPORTED, ErrorCode::BadConfiguration.win32())));
    };
    let name = ssid.to_string();
    let file = PathBuf::from(folder.unwrap_or_else(|| ".".into())).join(file_name(&name));
    save(&file, station_profile(&ssid, &key).as_bytes()).map_err(|error| {
        let cause = format!("{}\n{}: {error}\n\n", text::NOT_EXPORTED, file.display());
        Refused::plain(&cause)
    })?;
    report::line(&text::exported(&name, &file.display().to_string()));
    Ok(())
}

/// The name of the profile's file. A network's name is anybody's: it cannot lead out of the folder.
fn file_name(network: &str) -> OsString {
    let safe: String =
        network.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect();
    format!("Hosted Network-{safe}.xml").into()
}

/// Writes a secret: only the owner can read it, also where another file of this name was readable by all.
fn save(file: &Path, contents: &[u8]) -> io::Result<()> {
    let name = file.file_name().unwrap_or_else(|| OsStr::new("profile"));
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let made = file.with_file_name(hidden);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
    let done = written.write_all(contents).and_then(|()| fs::rename(&made, file));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&made);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_name_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "Hosted Network-.._.._etc_passwd.xml");
        assert_eq!(file_name("Café ☕"), "Hosted Network-Café ☕.xml");
    }
}
