//! `hostednet up`, the main job: the network is up for as long as this runs, and then everything is as before.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use hostednet::{
    Error, EventStream, KeysView, Session, UpArgs,
    types::{
        ErrorCode, SecondaryKey,
        settings::{PrivateChoice, PublicChoice},
        view::{Event, HostedState, NumberedEvent, Snapshot},
    },
};
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{
    args::{Up, UpPublic},
    commands::{gone, parse_private, read_key, usage},
    daemon::OwnDaemon,
    qr::{QrText, wifi_uri},
    report,
    screen::{Model, Screen},
    style::Style,
};

pub(crate) async fn up(given: Option<PathBuf>, arguments: Up) -> Result<ExitCode, Error> {
    let args = to_args(&arguments)?;
    // Caught from the first moment, so that an early Ctrl-C is answered by undoing and not by dying.
    let mut signals = Signals::new()?;
    let socket = given.clone().unwrap_or_else(hostednet::socket_path);
    let named = given.is_some() || std::env::var_os("HOSTEDNET_SOCKET").is_some();
    let (own, session) = open(&socket, named).await?;
    let result = run(&session, &args, arguments.json.json, &mut signals).await;
    drop(session);
    let stopped = match own {
        Some(own) => own.stop().await,
        None => Ok(()),
    };
    result?;
    stopped?;
    if !arguments.json.json {
        report::line("Everything is as it was before.");
    }
    Ok(ExitCode::SUCCESS)
}

fn to_args(arguments: &Up) -> Result<UpArgs, Error> {
    let private = arguments.private.iter().map(|name| parse_private(name)).collect::<Result<Vec<_>, _>>()?;
    let public = match arguments.public {
        UpPublic::None => None,
        UpPublic::Share(choice) => Some(choice),
    };
    let key = arguments.key_file.as_deref().map(|path| read_key(Some(path), false)).transpose()?;
    Ok(UpArgs { public, private, ssid: arguments.ssid, key })
}

/// The running service, or one of our own where none runs, none was named, and we may start one.
async fn open(socket: &Path, named: bool) -> Result<(Option<OwnDaemon>, Session), Error> {
    match Session::connect(socket).await {
        Ok(session) => Ok((None, session)),
        Err(Error::NotRunning { .. }) if !named && rustix::process::geteuid().is_root() => {
            let (own, session) = OwnDaemon::start(socket).await?;
            Ok((Some(own), session))
        }
        Err(error) => Err(error),
    }
}

/// The signals that end or redraw.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let catch = |kind| signal(kind).map_err(|error| usage("signals", error));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn run(session: &Session, args: &UpArgs, as_json: bool, signals: &mut Signals) -> Result<(), Error> {
    let (_, mut events) = session.events().await?;
    let style = Style::of_stdout();
    let begun = Instant::now();
    if !as_json {
        report::line(&describe(args));
    }
    {
        let start = session.up(args);
        tokio::pin!(start);
        loop {
            tokio::select! {
                result = &mut start => break result?,
                event = events.next() => match event {
                    Some(event) => print(&event, as_json, style),
                    None => return Err(gone()),
                },
                () = signals.end() => {
                    // Closing the session withdraws the request; the service undoes what it had begun.
                    return Err(usage("hostednet up", "interrupted while it started; nothing is left running"));
                }
            }
        }
    }
    let mut view = View::open(session, as_json, begun.elapsed()).await?;
    let shown = follow(session, args, &mut view, &mut events, signals).await;
    drop(view);
    shown?;
    if !as_json {
        report::line("Stopping…");
    }
    session.down().await?;
    // References taken to recover; those that somebody has voided meanwhile are refused, and that is fine.
    while session.stop_using().await.is_ok() {}
    Ok(())
}

fn describe(args: &UpArgs) -> String {
    match &args.public {
        None => "Starting the hosted network, without sharing…".to_owned(),
        Some(PublicChoice::Auto) => "Starting, sharing the connection with the default route…".to_owned(),
        Some(PublicChoice::Interface(name)) => format!("Starting, sharing {name}…"),
    }
}

fn print(event: &NumberedEvent, as_json: bool, style: Style) {
    if as_json {
        report::json(event);
    } else if let Some(line) = report::event_line(event, style) {
        report::line(&line);
    }
}

/// Follows the network until somebody ends it here.
async fn follow(
    session: &Session,
    args: &UpArgs,
    view: &mut View,
    events: &mut EventStream,
    signals: &mut Signals,
) -> Result<(), Error> {
    let mut resize = signal(SignalKind::window_change()).map_err(|error| usage("signals", error))?;
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signals.end() => return Ok(()),
            _ = resize.recv() => view.resized(),
            _ = tick.tick(), if view.live() => view.update(session.status().await?),
            event = events.next() => {
                let Some(event) = event else { return Err(gone()) };
                view.event(&event);
                if stopped(&event.event) && uses_hosted_network(args) {
                    recover(session, args, view).await?;
                }
                view.update(session.status().await?);
            }
            () = session.closed() => return Err(gone()),
        }
    }
}

fn uses_hosted_network(args: &UpArgs) -> bool {
    args.private.is_empty() || args.private.contains(&PrivateChoice::HostedNetwork)
}

/// Stopped over our head, or possible again after it was not.
fn stopped(event: &Event) -> bool {
    matches!(
        event,
        Event::StateChanged {
            old: HostedState::Active | HostedState::Unavailable,
            new: HostedState::Idle,
            ..
        }
    )
}

/// An application that wants its network back takes a new reference (sequences §5.1); sharing still stands.
/// The key it brought was for the run that ended.
async fn recover(session: &Session, args: &UpArgs, view: &mut View) -> Result<(), Error> {
    let brought = args.key.clone().map(|key| SecondaryKey { key, persistent: false });
    let again = async {
        if let Some(key) = &brought {
            session.set_secondary_key(Some(key)).await?;
        }
        session.start_using().await
    };
    match again.await {
        Ok(()) => Ok(()),
        // It is on its way down for good reasons, or forbidden: the next event tells.
        Err(Error::Failed(failure)) if failure.code != ErrorCode::ServiceNotActive => {
            view.note(&format!("cannot start it again: {failure}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Where the network is shown: a live screen on a terminal, lines elsewhere, objects for programs.
enum View {
    Screen(Box<Screen>),
    Lines(Style),
    Json,
}

impl View {
    async fn open(session: &Session, as_json: bool, took: Duration) -> Result<Self, Error> {
        let snapshot = session.status().await?;
        let keys = session.keys().await?;
        let (uri, key) = join(&snapshot, &keys);
        if as_json {
            let uri = uri.map(|uri| String::from_utf8_lossy(&uri).into_owned());
            report::json(
                &json!({ "event": "up", "took_ms": took.as_millis(), "wifi": uri, "status": snapshot }),
            );
            return Ok(Self::Json);
        }
        let qr = uri.as_deref().and_then(QrText::new);
        let model = Model { snapshot, qr, key, log: Vec::new() };
        if std::io::stdout().is_terminal() {
            let screen = Screen::open(model).map_err(|error| usage("the terminal", error))?;
            return Ok(Self::Screen(Box::new(screen)));
        }
        report::out(&model.to_text());
        Ok(Self::Lines(Style::of_stdout()))
    }

    const fn live(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    fn update(&mut self, snapshot: Snapshot) {
        if let Self::Screen(screen) = self {
            screen.update(snapshot);
        }
    }

    fn event(&mut self, event: &NumberedEvent) {
        match self {
            Self::Screen(screen) => {
                // Colours are the screen's business.
                if let Some(line) = report::event_line(event, Style::plain()) {
                    screen.log(line);
                }
            }
            Self::Lines(style) => print(event, false, *style),
            Self::Json => print(event, true, Style::plain()),
        }
    }

    fn note(&mut self, text: &str) {
        match self {
            Self::Screen(screen) => screen.log(text.to_owned()),
            Self::Lines(_) | Self::Json => report::note(text),
        }
    }

    fn resized(&mut self) {
        if let Self::Screen(screen) = self {
            screen.draw();
        }
    }
}

/// What a device needs: the code's text, and the key for people who type. The key somebody chose is the one to show; the
/// system's own otherwise. Nothing where no access point is involved.
fn join(snapshot: &Snapshot, keys: &KeysView) -> (Option<Vec<u8>>, Option<String>) {
    if snapshot.hosted_network.state != HostedState::Active {
        return (None, None);
    }
    let (Some(ssid), Some(key)) =
        (snapshot.hosted_network.ssid, keys.secondary.as_ref().or(keys.primary.as_ref()))
    else {
        return (None, None);
    };
    let text = match key {
        hostednet::types::Key::Passphrase(passphrase) => passphrase.expose().to_owned(),
        hostednet::types::Key::Raw(raw) => raw.expose().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    (Some(wifi_uri(&ssid, key, snapshot.hosted_network.access_point.hidden)), Some(text))
}
