//! From a verb to the service and back to the terminal.

use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::CommandFactory;
use futures_util::StreamExt;
use hostednet::{
    Error, KeysView, MappingArgs, Session, ShareArgs,
    types::{
        ErrorCode, Failure, IfName, Key, Reason, SecondaryKey,
        security::ELEVATED_ACCESS,
        settings::{AddressPolicy, ApSettings, PrivateChoice, PublicChoice},
        wpa::Wpa,
    },
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::{
    args::{AddressArg, Args, ForwardVerb, KeyVerb, SecurityArg, ServiceVerb, SettingsVerb, Verb, YesNo},
    device::device,
    doctor, hold, join, manual, report,
    style::Style,
    terminal, up,
};

/// Does what was typed. The exit status is the contract's (design of the command line).
pub(crate) fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::note(&format!("error: cannot start a runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(args)) {
        Ok(status) => status,
        Err(error) => {
            report::failure(&error);
            ExitCode::from(error.code().exit_status())
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest is one group: what needs a session and nothing else"
)]
async fn dispatch(args: Args) -> Result<ExitCode, Error> {
    let given = args.socket;
    let socket = given.clone().unwrap_or_else(hostednet::socket_path);
    match args.command {
        Verb::Up(arguments) => return up::up(given, arguments).await,
        Verb::Hold { command } => return hold::hold(&socket, &command).await,
        Verb::Join(arguments) => return join::join(arguments).await,
        Verb::Completions { shell } => {
            let mut buffer = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "hostednet", &mut buffer);
            report::out(&String::from_utf8_lossy(&buffer));
        }
        Verb::Man { to: None } => report::out(&manual::page(&Args::command())),
        Verb::Man { to: Some(folder) } => {
            manual::write(&folder).map_err(|error| usage(&folder.display().to_string(), error))?;
        }
        Verb::Key { verb: KeyVerb::Set { temporary, hex } } => {
            // The key is read before the service is asked, so that a typing error costs nothing.
            let key = read_key(None, hex)?;
            let secondary = SecondaryKey { key, persistent: !temporary };
            Session::connect(&socket).await?.set_secondary_key(Some(&secondary)).await?;
            let what = if temporary { "set for this session or the next" } else { "set" };
            report::line(&format!("The secondary key is {what}."));
        }
        command => return ask(&Session::connect(&socket).await?, command).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn forward(session: &Session, verb: ForwardVerb) -> Result<(), Error> {
    match verb {
        ForwardVerb::Add { name, protocol, external, target, on, disabled } => {
            let args = MappingArgs {
                connection: on,
                name,
                protocol,
                external_port: external,
                internal_port: target.port,
                target: target.device,
                enabled: !disabled,
            };
            let id = session.add_mapping(&args).await?;
            // Whether it leads anywhere is known to the service only.
            let made = session.mappings().await?.into_iter().find(|mapping| mapping.id == id);
            let state = match made {
                Some(mapping) if !mapping.active && !disabled => format!(" It waits: {}.", mapping.detail),
                Some(_) | None => String::new(),
            };
            report::line(&format!("Mapping {id}: {protocol} {external} leads to {}.{state}", args.target));
        }
        ForwardVerb::List(form) => {
            let mappings = session.mappings().await?;
            if form.json { report::json(&mappings) } else { report::out(&report::mappings(&mappings)) }
        }
        ForwardVerb::Enable { id } => {
            session.set_mapping_enabled(id, true).await?;
            report::line(&format!("Mapping {id} is on."));
        }
        ForwardVerb::Disable { id } => {
            session.set_mapping_enabled(id, false).await?;
            report::line(&format!("Mapping {id} is off."));
        }
        ForwardVerb::Remove { id } => {
            session.remove_mapping(id).await?;
            report::line(&format!("Mapping {id} is gone."));
        }
    }
    Ok(())
}

async fn ask(session: &Session, command: Verb) -> Result<ExitCode, Error> {
    match command {
        Verb::Start => {
            session.force_start().await?;
            report::line("The hosted network started.");
        }
        Verb::Stop => {
            session.force_stop().await?;
            report::line("The hosted network stopped.");
        }
        Verb::Status(form) => {
            let snapshot = session.status().await?;
            if form.json { report::json(&snapshot) } else { report::out(&report::status(&snapshot)) }
        }
        Verb::Devices(form) => {
            let snapshot = session.status().await?;
            if form.json { report::json(&snapshot.devices) } else { report::out(&report::devices(&snapshot)) }
        }
        Verb::Doctor { device, json } => return doctor::doctor(session, device.as_deref(), json.json).await,
        Verb::Monitor(form) => return monitor(session, form.json).await,
        Verb::Connections(form) => {
            let rows = session.connections().await?;
            if form.json { report::json(&rows) } else { report::out(&report::connections(&rows)) }
        }
        Verb::Settings { change: None, json } => {
            let settings = session.settings().await?;
            if json.json { report::json(&settings) } else { report::out(&report::settings(&settings)) }
        }
        Verb::Settings {
            change: Some(SettingsVerb::Set { ssid, max_peers, security, hidden, isolate, address }),
            ..
        } => {
            let access_point = ApSettings {
                security: security.map(|it| match it {
                    SecurityArg::Wpa2 => Wpa::Wpa2,
                    SecurityArg::Transition => Wpa::Transition,
                    SecurityArg::Wpa3 => Wpa::Wpa3,
                }),
                hidden: hidden.map(|it| it == YesNo::Yes),
                isolated: isolate.map(|it| it == YesNo::Yes),
                address: address.map(|it| match it {
                    AddressArg::Permanent => AddressPolicy::Permanent,
                    AddressArg::Stable => AddressPolicy::Stable,
                    AddressArg::Random => AddressPolicy::Random,
                }),
            };
            if !access_point.is_empty() {
                session.set_access_point(&access_point).await?;
                report::line(&report::access_point(&session.settings().await?));
            }
            match (&ssid, max_peers) {
                (Some(ssid), Some(peers)) => session.set_connection(ssid, peers).await?,
                (Some(ssid), None) => session.set_ssid(ssid).await?,
                (None, Some(peers)) => session.set_max_peers(peers).await?,
                (None, None) => {}
            }
            if let Some(ssid) = ssid {
                report::line(&format!("The network is called {ssid}."));
            }
            if let Some(peers) = max_peers {
                report::line(&format!("At most {peers} devices can join."));
            }
        }
        Verb::Allow => {
            session.set_enabled(true).await?;
            report::line("The hosted network is allowed.");
        }
        Verb::Disallow => {
            session.set_enabled(false).await?;
            report::line("The hosted network is forbidden.");
        }
        Verb::Key { verb } => key(session, verb).await?,
        Verb::Share { public, private } => {
            let private = private.iter().map(|name| parse_private(name)).collect::<Result<Vec<_>, _>>()?;
            session.share(&ShareArgs { public, private }).await?;
            let from = match public {
                PublicChoice::Auto => "the connection with the default route".to_owned(),
                PublicChoice::Interface(name) => name.to_string(),
            };
            report::line(&format!("Sharing {from}."));
        }
        Verb::Unshare => {
            session.unshare().await?;
            report::line("Sharing stopped.");
        }
        Verb::Forward { verb } => forward(session, verb).await?,
        Verb::Device { verb } => device(session, verb).await?,
        Verb::Settings { change: Some(SettingsVerb::Access { sddl, json }), .. } => {
            if let Some(sddl) = sddl {
                session.set_security_settings(ELEVATED_ACCESS, &sddl).await?;
            }
            let access = session.security_settings(ELEVATED_ACCESS).await?;
            if json.json {
                report::json(&access);
            } else {
                report::line(&format!("{}   (yours: {:#x})", access.sddl, access.granted_access));
            }
        }
        Verb::Service { verb } => service(session, verb).await?,
        // Taken care of before a session is opened.
        Verb::Up(_)
        | Verb::Hold { .. }
        | Verb::Join(_)
        | Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Netsh { .. }
        | Verb::Net { .. }
        | Verb::Sc { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn service(session: &Session, verb: ServiceVerb) -> Result<(), Error> {
    let (part, json, sentence) = match verb {
        ServiceVerb::Status { part, json } => {
            let mut parts = session.parts().await?;
            parts.retain(|row| part.is_none_or(|part| row.name == part.as_str()));
            if json.json {
                report::json(&parts)
            } else {
                report::out(&report::parts(&parts))
            }
            return Ok(());
        }
        ServiceVerb::Start { part, json } => {
            session.start_part(part.as_str()).await?;
            (part, json, format!("{part} started."))
        }
        ServiceVerb::Stop { part, json } => {
            session.stop_part(part.as_str()).await?;
            (part, json, format!("{part} stopped."))
        }
        ServiceVerb::SetStartType { part, start_type, json } => {
            session.set_start_type(part.as_str(), start_type).await?;
            (part, json, format!("The start type of {part} is {}.", start_type.as_str()))
        }
    };
    if json.json {
        let parts = session.parts().await?;
        if let Some(row) = parts.iter().find(|row| row.name == part.as_str()) {
            report::json(row);
        }
    } else {
        report::line(&sentence);
    }
    Ok(())
}

async fn key(session: &Session, verb: KeyVerb) -> Result<(), Error> {
    match verb {
        KeyVerb::Show(form) => {
            let keys = session.keys().await?;
            show_keys(&keys, form.json);
        }
        KeyVerb::Refresh => {
            session.refresh_key().await?;
            report::line("There is a new primary key. Devices that used the old one need it.");
        }
        KeyVerb::Clear => {
            session.set_secondary_key(None).await?;
            report::line("The secondary key is removed.");
        }
        // Taken care of before a session is opened.
        KeyVerb::Set { .. } => {}
    }
    Ok(())
}

fn show_keys(keys: &KeysView, as_json: bool) {
    let text = |key: &Key| match key {
        Key::Passphrase(passphrase) => passphrase.expose().to_owned(),
        Key::Raw(raw) => raw.expose().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let kind = |key: &Key| match key {
        Key::Passphrase(_) => "passphrase",
        Key::Raw(_) => "raw",
    };
    if as_json {
        let field = |key: &Option<Key>| key.as_ref().map(|key| json!({"kind": kind(key), "key": text(key)}));
        report::json(&json!({
            "primary": field(&keys.primary),
            "secondary": field(&keys.secondary),
            "secondary_persistent": keys.secondary_persistent,
        }));
        return;
    }
    let show = |key: &Option<Key>| key.as_ref().map_or_else(|| "none".to_owned(), text);
    report::line(&format!("  primary    {}", show(&keys.primary)));
    let note =
        if keys.secondary.is_some() && !keys.secondary_persistent { "   (this session only)" } else { "" };
    report::line(&format!("  secondary  {}{note}", show(&keys.secondary)));
}

async fn monitor(session: &Session, as_json: bool) -> Result<ExitCode, Error> {
    let (_, mut events) = session.events().await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| usage("signals", error))?;
    let style = Style::of_stdout();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) if as_json => report::json(&event),
                Some(event) => {
                    if let Some(line) = report::event_line(&event, style) {
                        report::line(&line);
                    }
                }
                None => return Err(gone()),
            },
            () = session.closed() => return Err(gone()),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// The service went away in the middle.
pub(crate) fn gone() -> Error {
    Failure::check(ErrorCode::ServiceNotActive, Reason::ServiceUnavailable, "hostednetd", "the service ended")
        .with_remedy("start it again; its log says why it ended")
        .into()
}

/// Something that was typed, or this process's surroundings, is wrong.
pub(crate) fn usage(object: &str, cause: impl std::fmt::Display) -> Error {
    Failure::check(ErrorCode::InvalidParameter, Reason::BadParameters, object, cause).into()
}

/// `hosted-network` or the name of an interface.
pub(crate) fn parse_private(text: &str) -> Result<PrivateChoice, Error> {
    if text == "hosted-network" {
        return Ok(PrivateChoice::HostedNetwork);
    }
    text.parse::<IfName>().map(PrivateChoice::Interface).map_err(|error| usage(text, error))
}

/// A key from a file or from standard input; typed without echo on a terminal. One final line end is dropped.
pub(crate) fn read_key(file: Option<&Path>, hex: bool) -> Result<Key, Error> {
    let (text, name) = read_key_text(file)?;
    if hex { Key::from_hex(&text) } else { Key::passphrase(text.to_string()) }
        .map_err(|error| usage(&name, error))
}

/// The characters of a key, and where they came from.
pub(crate) fn read_key_text(file: Option<&Path>) -> Result<(Zeroizing<String>, String), Error> {
    // A key is at most 64 digits and a line end; more is certainly not one.
    const LIMIT: u64 = 4_096;
    let from = file.filter(|path| *path != Path::new("-")).map(PathBuf::from);
    let mut text = Zeroizing::new(String::new());
    let name = from.as_ref().map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let read = match &from {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text)),
        None if std::io::stdin().is_terminal() => terminal::read_secret("Key: ", &mut text),
        None => std::io::stdin().take(LIMIT).read_to_string(&mut text),
    };
    read.map_err(|error| usage(&name, format!("cannot read the key: {error}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let length = line.strip_suffix('\r').unwrap_or(line).len();
    text.truncate(length);
    Ok((text, name))
}
