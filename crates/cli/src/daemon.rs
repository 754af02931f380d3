//! A service of our own, for `up` on a machine where none runs.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use hostednet::{Error, Session};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::commands::usage;

/// A service that cannot be reached by then does not come.
const START: Duration = Duration::from_secs(30);

/// Undoing everything takes no longer.
const STOP: Duration = Duration::from_secs(60);

/// A service this process started. It is stopped, and everything undone, by [`OwnDaemon::stop`]. When this process is
/// killed the service sees its lifeline (the other end of its standard input) close, and does the same by itself.
#[derive(Debug)]
pub(crate) struct OwnDaemon {
    child: Child,
    log: oneshot::Receiver<Vec<String>>,
}

impl OwnDaemon {
    /// Starts the service and connects to it.
    pub(crate) async fn start(socket: &Path) -> Result<(Self, Session), Error> {
        let program = program();
        let mut child = Command::new(&program)
            .arg("--lifeline")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for this process: it asks the service to undo things in order.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                usage(&program.display().to_string(), format!("cannot start the service: {error}"))
            })?;
        let (sender, log) = oneshot::channel();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(collect(stderr, sender));
        }
        let mut own = Self { child, log };
        let begun = Instant::now();
        loop {
            if let Ok(session) = Session::connect(socket).await {
                return Ok((own, session));
            }
            if let Ok(Some(_)) = own.child.try_wait() {
                let lines = own.log.await.unwrap_or_default();
                return Err(usage("hostednetd", format!("the service ended: {}", lines.join("; "))));
            }
            if begun.elapsed() > START {
                let cause = format!("the service did not answer on {} in {START:?}", socket.display());
                return Err(usage("hostednetd", cause));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks the service to end and waits until everything is undone.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let pid =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        match timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let lines = self.log.await.unwrap_or_default();
                Err(usage("hostednetd", format!("the service ended with {status}: {}", lines.join("; "))))
            }
            Ok(Err(error)) => Err(usage("hostednetd", error)),
            Err(_) => Err(usage("hostednetd", format!("the service did not end in {STOP:?}"))),
        }
    }
}

/// Reads the service's log to the end, so that it never blocks, and keeps the last lines.
async fn collect(stderr: tokio::process::ChildStderr, sender: oneshot::Sender<Vec<String>>) {
    const KEPT: usize = 5;
    let mut lines = BufReader::new(stderr).lines();
    let mut last = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if last.len() == KEPT {
            last.remove(0);
        }
        last.push(hostednet::types::text::escape_untrusted(line.as_bytes()));
    }
    let _ = sender.send(last);
}

/// The service that came with this program, or the one in the search path.
fn program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| own.canonicalize().ok())
        .map(|own| own.with_file_name("hostednetd"))
        .filter(|sibling| sibling.exists())
        .unwrap_or_else(|| "hostednetd".into())
}
