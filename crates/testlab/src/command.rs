//! Running other programs: with a time limit, with their output kept, in the background.
//!
//! Output goes to files and not to pipes, so that a program which leaves a child behind cannot hold up the
//! test that started it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::wait;

/// The limit for programs that answer at once on any machine.
pub const SHORT: Duration = Duration::from_secs(30);

/// A program that has ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Finished {
    /// The exit status as shells show it: 128 + number for a signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        shell_code(self.status)
    }

    /// Itself if the program succeeded.
    ///
    /// # Errors
    /// If the exit status is not 0: the command line and all it printed.
    pub fn success(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        bail!(
            "`{}` ended with {}: {}{}",
            self.line,
            self.code(),
            self.stderr.trim_end(),
            self.stdout.trim_end()
        )
    }
}

/// The exit status as shells show it.
#[must_use]
pub fn shell_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs `command` to its end, for at most `limit`; then it is killed.
///
/// # Errors
/// If it cannot be started or does not end in time. An exit status other than 0 is *not* an error here.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    feed(command, b"", limit)
}

/// [`run`] with `input` on standard input.
///
/// # Errors
/// As [`run`].
pub fn feed(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished> {
    let line = line_of(command);
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let stdin = if input.is_empty() {
        Stdio::null()
    } else {
        let mut file = tempfile::tempfile()?;
        file.write_all(input)?;
        file.rewind()?;
        Stdio::from(file)
    };
    let started = Instant::now();
    let mut child = command
        .stdin(stdin)
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let Some(status) = wait_child(&mut child, limit)? else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("`{line}` did not end in {:.0} s: {}{}", limit.as_secs_f64(), text(&mut err)?, text(&mut out)?);
    };
    let elapsed = started.elapsed();
    Ok(Finished { line, status, stdout: text(&mut out)?, stderr: text(&mut err)?, elapsed })
}

/// Waits for `child` to end; `None` when `limit` passes first.
///
/// # Errors
/// If the kernel refuses.
pub fn wait_child(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let handle = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll on a child"),
        }
    }
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// A program that runs beside the test. It is killed and reaped when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    log: tempfile::NamedTempFile,
    line: String,
}

impl Background {
    /// Starts `command`; both its outputs go to one log.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let line = line_of(command);
        let log = tempfile::NamedTempFile::new()?;
        let file = File::options().append(true).open(log.path())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self { child, log, line })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log.path()).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `needle` stands in the log.
    ///
    /// # Errors
    /// If the program ends before, or `limit` passes: with the end of the log.
    pub fn await_log(&mut self, needle: &str, limit: Duration) -> Result<()> {
        let line = self.line.clone();
        let found = wait::until(&format!("{needle:?} from `{line}`"), limit, || {
            if self.log().contains(needle) {
                return Ok(Some(true));
            }
            Ok(self.ended()?.map(|_| false))
        });
        match found {
            Ok(true) => Ok(()),
            Ok(false) => bail!("`{line}` ended before it said {needle:?}:\n{}", self.log_end()),
            Err(error) => Err(error.context(format!("its log ends:\n{}", self.log_end()))),
        }
    }

    /// The last lines of the log, for messages.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("signal to `{}`", self.line))
    }

    /// Sends `signal` and waits for the end.
    ///
    /// # Errors
    /// If the program has not ended after `limit`: with the end of its log.
    pub fn end(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(signal)?;
        self.await_end(limit)
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// If it has not ended after `limit`: with the end of its log.
    pub fn await_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        match wait_child(&mut self.child, limit)? {
            Some(status) => Ok(status),
            None => {
                bail!("`{}` still runs after {:.0} s:\n{}", self.line, limit.as_secs_f64(), self.log_end())
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn output_and_status_are_kept_apart() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let done = run(&mut command, SHORT).unwrap();
        assert_eq!((done.code(), done.stdout.as_str(), done.stderr.as_str()), (3, "out\n", "err\n"));
        assert!(done.success().unwrap_err().to_string().contains("ended with 3: err"));
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_its_limit() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let error = run(&mut command, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        let done = feed(&mut Command::new("cat"), b"secret", SHORT).unwrap();
        assert_eq!(done.stdout, "secret");
    }

    #[test]
    fn the_log_of_a_background_program_can_be_awaited() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; exec sleep 1000"]);
        let mut program = Background::spawn(&mut command).unwrap();
        program.await_log("ready", SHORT).unwrap();
        assert_eq!(shell_code(program.end(Signal::TERM, SHORT).unwrap()), 143);
    }

    #[test]
    fn a_background_program_that_dies_is_reported_and_not_waited_for() {
        let mut program = Background::spawn(&mut Command::new("false")).unwrap();
        let error = program.await_log("ready", Duration::from_secs(600)).unwrap_err();
        assert!(error.to_string().contains("ended before"), "{error}");
    }
}
