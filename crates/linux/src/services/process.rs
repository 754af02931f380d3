//! The worker as a process: started under a user of its own, watched, ended.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::Stdio,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, Command},
    time::{Instant, timeout},
};

use crate::undo::{EntryId, Undo, UndoJournal, process_start_time};

/// Users that systemd sets aside for services that have none of their own (`DynamicUser=`).
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;
/// The first of them that is tried.
const PREFERRED_USER: u32 = 63137;

/// Lines of the worker's standard error that are logged in a second; the rest is counted.
const LINES_PER_SECOND: u32 = 50;
/// A line is cut here, in bytes.
const LINE_LIMIT: usize = 1024;

/// A running worker. It is killed when this is dropped, and the kernel kills it when this process ends.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    entry: Option<EntryId>,
    journal: Rc<UndoJournal>,
}

impl Process {
    /// Starts `program` with the words of `argv`, its name first, then `--uid`, `--gid`, and `channel` as its
    /// descriptor 3.
    pub(super) fn start(
        program: &Path,
        argv: &[OsString],
        identity: Identity,
        channel: &OwnedFd,
        journal: Rc<UndoJournal>,
    ) -> io::Result<Self> {
        let (name, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(arguments)
            .args(["--uid", &identity.uid.to_string(), "--gid", &identity.gid.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for this process.
            .process_group(0)
            .kill_on_drop(true);
        crate::sys::hand_over(&mut command, channel.as_raw_fd());
        let mut child = command.spawn()?;
        let undo =
            child.id().and_then(|pid| Some(Undo::Process { pid, start_time: process_start_time(pid)? }));
        // It ends with this process anyway; the record is for the case that it should not.
        let entry = undo.and_then(|undo| journal.record(undo).ok());
        if let Some(output) = child.stderr.take() {
            // Nobody waits for this task; it ends when the worker's standard error is closed.
            tokio::task::spawn_local(pass_on(output));
        }
        Ok(Self { child, entry, journal })
    }

    /// Waits a moment for the worker to end by itself, kills it otherwise, and tells how it ended.
    pub(super) async fn end(mut self) -> String {
        const PATIENCE: Duration = Duration::from_millis(500);
        let ended = if let Ok(ended) = timeout(PATIENCE, self.child.wait()).await {
            ended
        } else {
            let _ = self.child.start_kill();
            self.child.wait().await
        };
        match ended {
            Ok(status) => format!("the worker ended: {status}"),
            Err(error) => format!("the worker ended: {error}"),
        }
    }

    /// Kills the worker at once.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if let Some(entry) = self.entry.take() {
            self.journal.done(entry);
        }
    }
}

/// The user and the group the worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Identity {
    /// The user `name` if there is one and it is not root, else one that nobody has.
    pub(super) fn find(name: &str) -> Self {
        let read = |path| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::choose(name, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn choose(name: &str, passwd: &str, group: &str) -> Self {
        let field = |line: &str, at| line.split(':').nth(at).and_then(|field| field.parse::<u32>().ok());
        let own = passwd.lines().find(|line| line.split(':').next() == Some(name));
        let own = own.and_then(|line| Some(Self { uid: field(line, 2)?, gid: field(line, 3)? }));
        if let Some(own) = own.filter(|own| own.uid != 0 && own.gid != 0) {
            return own;
        }
        let taken = |id| {
            passwd.lines().any(|line| field(line, 2) == Some(id))
                || group.lines().any(|line| field(line, 2) == Some(id))
        };
        let free = (PREFERRED_USER..=*DYNAMIC_USERS.end()).chain(DYNAMIC_USERS).find(|id| !taken(*id));
        let id = free.unwrap_or(PREFERRED_USER);
        Self { uid: id, gid: id }
    }
}

/// Logs what the worker writes, line by line, made safe and bounded.
async fn pass_on(mut output: ChildStderr) {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    let mut budget = Budget { began: Instant::now(), used: 0, dropped: 0 };
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        for byte in buffer.iter().take(length) {
            if *byte == b'\n' {
                budget.log(&line);
                line.clear();
            } else if line.len() < LINE_LIMIT {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        budget.log(&line);
    }
}

struct Budget {
    began: Instant,
    used: u32,
    dropped: u64,
}

impl Budget {
    fn log(&mut self, line: &[u8]) {
        if self.began.elapsed() > Duration::from_secs(1) {
            if self.dropped > 0 {
                tracing::warn!(lines = self.dropped, "the worker wrote more than is logged");
            }
            *self = Self { began: Instant::now(), used: 0, dropped: 0 };
        }
        if self.used == LINES_PER_SECOND {
            self.dropped += 1;
        } else {
            self.used += 1;
            tracing::info!(worker = %line.escape_ascii(), "the worker says");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_user_is_its_own_or_one_that_nobody_has() {
        let passwd = "root:x:0:0::/root:/bin/sh\nhostednet:x:991:990::/:/bin/false\n";
        let choose = |passwd: &str, group: &str| Identity::choose("hostednet", passwd, group);
        assert_eq!(choose(passwd, ""), Identity { uid: 991, gid: 990 });
        let free = Identity { uid: PREFERRED_USER, gid: PREFERRED_USER };
        assert_eq!(choose("root:x:0:0::/root:/bin/sh\n", ""), free);
        let taken = format!("x:x:{PREFERRED_USER}:1::/:/bin/false\n");
        assert_eq!(choose(&taken, "").uid, PREFERRED_USER + 1);
        assert_eq!(choose("", &taken).gid, PREFERRED_USER + 1);
        let foolish = "hostednet:x:0:0::/:/bin/false\n";
        assert_eq!(choose(foolish, ""), free, "never root");
    }
}
