//! `hostednet hold`: a reference for as long as a command lives.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, path::Path, process::ExitCode};

use futures_util::StreamExt;
use hostednet::{
    Error, Session,
    types::view::{Event, HostedState},
};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{
    commands::{gone, usage},
    report,
};

pub(crate) async fn hold(socket: &Path, command: &[OsString]) -> Result<ExitCode, Error> {
    let session = Session::connect(socket).await?;
    let (_, mut events) = session.events().await?;
    session.start_using().await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| usage("signals", error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| usage("signals", error))?;
    let mut child =
        match command.split_first() {
            None => {
                report::line("The hosted network is up. Ctrl-C gives it back.");
                None
            }
            Some((program, arguments)) => {
                Some(Command::new(program).args(arguments).kill_on_drop(false).spawn().map_err(|error| {
                    usage(&program.to_string_lossy(), format!("cannot start it: {error}"))
                })?)
            }
        };
    let status = loop {
        tokio::select! {
            ended = wait(&mut child) => {
                let status = ended.map_err(|error| usage("the command", error))?;
                let signalled = status.signal().map(|signal| 128 + signal);
                break u8::try_from(status.code().or(signalled).unwrap_or(1)).unwrap_or(1);
            }
            // The command is in the same process group and has had the signal too: its end is waited for.
            _ = interrupt.recv() => if child.is_none() { break 0 },
            _ = terminate.recv() => match &child {
                None => break 0,
                Some(child) => if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                },
            },
            event = events.next() => match event {
                Some(event) => recover(&session, &event.event).await,
                None => return Err(gone()),
            },
            () = session.closed() => return Err(gone()),
        }
    };
    // The network may have been stopped over our head; the reference is gone then, and that is fine.
    let _ = session.stop_using().await;
    Ok(ExitCode::from(status))
}

/// Takes a new reference when somebody stopped the network, or when it can be had again (sequences §5.1).
async fn recover(session: &Session, event: &Event) {
    let Event::StateChanged { old, new: HostedState::Idle, reason } = event else { return };
    if matches!(old, HostedState::Active | HostedState::Unavailable) {
        report::note(&format!("The network stopped ({reason}); starting it again."));
        if let Err(error) = session.start_using().await {
            report::failure(&error);
        }
    }
}

async fn wait(child: &mut Option<tokio::process::Child>) -> std::io::Result<std::process::ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}
