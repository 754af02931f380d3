//! `net start`, `net stop` and `sc` for the two parts of the service, with the sentences and exit statuses of Windows:
//! `net` ends with 0, with 2 when it failed, and with 1 when it was not understood; `sc` ends with the error number
//! (its last eight bits: a Unix process has no more).

mod grammar;
mod text;

use std::{ffi::OsString, path::Path, process::ExitCode};

use hostednet::{Error, Session, types::ErrorCode};

use self::grammar::{Control, Net, NetMistake, Part};
use crate::report;

/// `net` could not do it.
const FAILED: u8 = 2;
/// Already started, no such name, not started: messages of `net` itself.
const ALREADY_STARTED: u32 = 2182;
const NO_SUCH_NAME: u32 = 2185;
const BETWEEN: u32 = 2189;
const NOT_STARTED: u32 = 3521;
const NO_SUCH_MESSAGE: u32 = 3871;

/// What went wrong: what to print, and the number of the error.
struct Refused {
    number: u32,
    error: Option<Error>,
    message: Option<String>,
}

impl Refused {
    fn message(number: u32, name: impl ToString) -> Self {
        Self { number, error: None, message: Some(name.to_string()) }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { number: error.code().win32(), error: Some(error), message: None }
    }
}

/// Runs `net` with these arguments.
pub(crate) fn net(socket: &Path, arguments: Vec<OsString>) -> ExitCode {
    let asked = match grammar::net(&words(arguments)) {
        Ok(asked) => asked,
        Err(NetMistake::Syntax) => {
            report::error(text::SYNTAX);
            return ExitCode::FAILURE;
        }
        Err(NetMistake::NoService) => {
            report::error(&text::message(NO_SUCH_NAME, ""));
            return ExitCode::from(FAILED);
        }
    };
    match block_on(answer(socket, asked)) {
        Ok(printed) => {
            report::out(&printed);
            ExitCode::SUCCESS
        }
        Err(refused) => {
            report::error(&match &refused.message {
                Some(name) => text::message(refused.number, name),
                None => text::system_error(refused.number),
            });
            if let Some(error) = &refused.error {
                report::failure(error);
            }
            ExitCode::from(FAILED)
        }
    }
}

async fn answer(socket: &Path, asked: Net) -> Result<String, Refused> {
    Ok(match asked {
        Net::Help => text::HELP.to_owned(),
        Net::Message(number) => {
            text::explain(number).ok_or_else(|| Refused::message(NO_SUCH_MESSAGE, number))?
        }
        Net::List => {
            let session = Session::connect(socket).await?;
            let mut running = Vec::new();
            for part in Part::ALL {
                if state(&session, part).await? == "running" {
                    running.push(part);
                }
            }
            text::list(&running)
        }
        Net::Start(part) => {
            start(&Session::connect(socket).await?, part).await?;
            text::started(part)
        }
        Net::Stop(part) => {
            stop(&Session::connect(socket).await?, part).await?;
            text::stopped(part)
        }
    })
}

/// The right to do it is asked before whether there is anything to do, as Windows asks.
async fn start(session: &Session, part: Part) -> Result<(), Refused> {
    let before = state(session, part).await?;
    session.start_part(part.bus_name()).await?;
    match before.as_str() {
        "running" => Err(Refused::message(ALREADY_STARTED, part.display_name())),
        "stop_pending" => Err(Refused::message(BETWEEN, part.display_name())),
        _ => Ok(()),
    }
}

async fn stop(session: &Session, part: Part) -> Result<(), Refused> {
    let before = state(session, part).await?;
    session.stop_part(part.bus_name()).await?;
    match before.as_str() {
        "stopped" => Err(Refused::message(NOT_STARTED, part.display_name())),
        _ => Ok(()),
    }
}

async fn state(session: &Session, part: Part) -> Result<String, Error> {
    let parts = session.parts().await?;
    let found = parts.into_iter().find(|row| row.name == part.bus_name());
    found
        .map(|row| row.state)
        .ok_or_else(|| crate::commands::usage(part.name(), "the service has no such part"))
}

/// Runs `sc` with these arguments.
pub(crate) fn sc(socket: &Path, arguments: Vec<OsString>) -> ExitCode {
    const NO_SUCH_SERVICE: u32 = 1060;
    let asked = match grammar::sc(&words(arguments)) {
        Ok(asked) => asked,
        Err(NetMistake::Syntax) => {
            report::out(text::SC_HELP);
            return ExitCode::FAILURE;
        }
        Err(NetMistake::NoService) => {
            report::out(&text::sc_failed("OpenService", NO_SUCH_SERVICE));
            return exit(NO_SUCH_SERVICE);
        }
    };
    let (step, done) = match asked {
        Control::QueryAll | Control::Query(_) => ("QueryServiceStatus", block_on(control(socket, asked))),
        Control::Start(_) => ("StartService", block_on(control(socket, asked))),
        Control::Stop(_) => ("ControlService", block_on(control(socket, asked))),
    };
    match done {
        Ok(printed) => {
            report::out(&printed);
            ExitCode::SUCCESS
        }
        Err(refused) => {
            let number = match refused.number {
                ALREADY_STARTED => 1056,
                NOT_STARTED => ErrorCode::ServiceNotActive.win32(),
                other => other,
            };
            report::out(&text::sc_failed(step, number));
            if let Some(error) = &refused.error {
                report::failure(error);
            }
            exit(number)
        }
    }
}

async fn control(socket: &Path, asked: Control) -> Result<String, Refused> {
    let session = Session::connect(socket).await?;
    let parts = match asked {
        Control::QueryAll => Part::ALL.to_vec(),
        Control::Query(part) => vec![part],
        Control::Start(part) => {
            start(&session, part).await?;
            vec![part]
        }
        Control::Stop(part) => {
            stop(&session, part).await?;
            vec![part]
        }
    };
    let mut printed = String::new();
    for part in parts {
        printed.push_str(&text::query(part, &state(&session, part).await?));
    }
    printed.push('\n');
    Ok(printed)
}

fn exit(number: u32) -> ExitCode {
    // 1024 is no number of ours, but zero would mean success.
    ExitCode::from(u8::try_from(number & 0xff).unwrap_or(1).max(1))
}

fn words(arguments: Vec<OsString>) -> Vec<String> {
    arguments.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn block_on<T>(answer: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Protocol(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(answer)
}
