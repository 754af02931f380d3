//! A child process such as hostapd's: started, listened to, ended. Knows nothing of access points.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::sys;

/// So many of the last lines are kept for the cause of a failure.
const LOG_LINES: usize = 64;
/// A longer line is cut, in bytes.
const LINE_LIMIT: usize = 512;
/// Lines that wait for whoever follows them; more are dropped, they are kept in the log all the same.
const FOLLOW_LIMIT: usize = 64;

/// The last lines that were printed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: VecDeque<String>,
    rest: Vec<u8>,
}

impl Log {
    /// Takes printed bytes and returns the lines they complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = readable(&std::mem::take(&mut self.rest));
                if self.lines.len() == LOG_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(line.clone());
                complete.push(line);
            } else if self.rest.len() < LINE_LIMIT {
                self.rest.push(*byte);
            }
        }
        complete
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// Text of which a terminal need not be afraid.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The running process. Dropping it kills it.
///
/// One task per process owns the child: it waits on its output and on its end, keeps the log, reaps it, and ends
/// with it. Only that task reaps, on this very thread, so a process that it has not reported as ended still owns
/// its id and may be signalled.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    /// How it ended, once it has.
    exited: watch::Receiver<Option<String>>,
    log: Rc<RefCell<Log>>,
    followed: Option<mpsc::Receiver<String>>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts `program` in a process group of its own, without an environment, with `inherited`, if
    /// any, open in it.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[&std::ffi::OsStr],
        inherited: Option<Arc<std::os::fd::OwnedFd>>,
    ) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(write.try_clone()?)
            .stderr(write)
            .process_group(0)
            .kill_on_drop(true);
        sys::bind_to_parent(&mut command, inherited);
        let child = command.spawn()?;
        // It holds the writing ends of the pipe.
        drop(command);
        let id = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
        let (ended, exited) = watch::channel(None);
        let (line, followed) = mpsc::channel(FOLLOW_LIMIT);
        let log = Rc::new(RefCell::new(Log::default()));
        let output = Receiver::from_owned_fd(read)?;
        let task = tokio::task::spawn_local(tend(child, output, Rc::clone(&log), line, ended));
        Ok(Self { id, exited, log, followed: Some(followed), task })
    }

    /// Its id.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, once it has.
    pub(crate) fn exited(&self) -> watch::Receiver<Option<String>> {
        self.exited.clone()
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.exited.borrow().is_none()
    }

    /// What it printed last.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().lines()
    }

    /// Everything it prints from the start; there is one follower.
    pub(crate) fn follow(&mut self) -> Option<mpsc::Receiver<String>> {
        self.followed.take()
    }

    /// Waits for its end; `false` when it has not ended in time.
    pub(crate) async fn wait(&self, patience: Duration) -> bool {
        let mut exited = self.exited();
        let waited = timeout(patience, exited.wait_for(Option::is_some)).await;
        // A closed channel means that the task is gone, and the child with it.
        waited.is_ok()
    }

    /// Ends it by force: asks, then kills. `false` when even that did not end it in time.
    pub(crate) async fn kill(&self) -> bool {
        for (signal, patience) in
            [(Signal::TERM, Duration::from_millis(500)), (Signal::KILL, Duration::from_millis(500))]
        {
            if !self.is_alive() {
                return true;
            }
            if let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(id, signal);
            }
            if self.wait(patience).await {
                return true;
            }
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The task owns the child, and a dropped child is killed and reaped by the runtime.
        self.task.abort();
    }
}

async fn tend(
    mut child: Child,
    mut output: Receiver,
    log: Rc<RefCell<Log>>,
    line: mpsc::Sender<String>,
    ended: watch::Sender<Option<String>>,
) {
    let take = |bytes: &[u8]| {
        for text in log.borrow_mut().push(bytes) {
            tracing::debug!(target: "hostapd", "{text}");
            let _ = line.try_send(text);
        }
    };
    let mut buffer = [0; 4096];
    let mut open = true;
    let status = loop {
        tokio::select! {
            read = output.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(length) => take(buffer.get(..length).unwrap_or_default()),
            },
            status = child.wait() => break status,
        }
    };
    // What it said last is what matters most; a grandchild may hold the pipe open.
    while open {
        match timeout(Duration::from_millis(100), output.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => take(buffer.get(..length).unwrap_or_default()),
            _ => open = false,
        }
    }
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => error.to_string(),
    };
    let _ = ended.send(Some(how));
}

/// `exited with status 1`, `was killed by signal 9`.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{ffi::OsStr, os::fd::OwnedFd};

    use rustix::fs::{MemfdFlags, memfd_create};
    use tokio::task::LocalSet;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn memory() -> Arc<OwnedFd> {
        Arc::new(memfd_create("test", MemfdFlags::CLOEXEC).unwrap())
    }

    fn shell(script: &str, inherited: Arc<OwnedFd>) -> Process {
        Process::spawn(Path::new("/bin/sh"), &[OsStr::new("-c"), OsStr::new(script)], Some(inherited))
            .unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_last_words_and_the_end_are_kept() {
        LocalSet::new()
            .run_until(async {
                let process = shell("echo one; echo two >&2; exit 3", memory());
                assert!(process.wait(PATIENCE).await);
                assert_eq!(process.log(), ["one", "two"]);
                assert_eq!(process.exited().borrow().as_deref(), Some("exited with status 3"));
                assert!(!process.is_alive());
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_process_that_does_not_listen_is_killed() {
        LocalSet::new()
            .run_until(async {
                let mut process = shell("trap '' TERM; echo ready; while :; do sleep 1; done", memory());
                let mut lines = process.follow().unwrap();
                assert_eq!(lines.recv().await.as_deref(), Some("ready"));
                assert!(process.kill().await);
                assert_eq!(process.exited().borrow().as_deref(), Some("was killed by signal 9"));
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_child_inherits_the_one_descriptor_and_no_environment() {
        LocalSet::new()
            .run_until(async {
                use std::os::fd::AsRawFd;
                let (given, kept) = (memory(), memory());
                let script = format!(
                    "for fd in {} {}; do [ -e /proc/self/fd/$fd ] && echo $fd; done; env | grep -c HOME; true",
                    given.as_raw_fd(),
                    kept.as_raw_fd()
                );
                let process = shell(&script, Arc::clone(&given));
                assert!(process.wait(PATIENCE).await);
                assert_eq!(process.log(), [given.as_raw_fd().to_string(), "0".to_owned()]);
            })
            .await;
    }

    #[test]
    fn the_log_is_bounded_and_harmless() {
        let mut log = Log::default();
        for n in 0..200 {
            log.push(format!("line {n}\n").as_bytes());
        }
        assert_eq!(log.lines().len(), LOG_LINES);
        assert_eq!(log.lines().last().unwrap(), "line 199");
        log.push(&[b'x'; 10_000]);
        log.push(b"\n\x1b[31mred\xff\n");
        let lines = log.lines();
        assert_eq!(lines.get(LOG_LINES - 2).unwrap().len(), LINE_LIMIT);
        assert_eq!(lines.last().unwrap(), "\u{fffd}[31mred\u{fffd}");
    }
}
