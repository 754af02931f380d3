//! The programs under test, started and asked as a user would: `hostednetd` and `hostednet`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::command::{self, Background, Finished};
use crate::ns::Namespace;
use crate::{vm, wait};

/// For a command of the CLI to answer, in software emulation on a busy machine.
pub const ANSWER: Duration = Duration::from_secs(60);
/// For the service to take everything down.
pub const GOODBYE: Duration = Duration::from_secs(60);

/// The folder of the built programs: beside the running one, or `LAB_BIN_DIR`.
///
/// # Errors
/// If `hostednetd` or `hostednet` is not there: they must be built first.
pub fn binaries() -> Result<PathBuf> {
    let complete = |folder: &Path| folder.join("hostednetd").is_file() && folder.join("hostednet").is_file();
    if let Some(folder) = std::env::var_os("LAB_BIN_DIR").map(PathBuf::from) {
        ensure!(complete(&folder), "no hostednetd and hostednet in {} (LAB_BIN_DIR)", folder.display());
        return Ok(folder);
    }
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(3).find(|folder| complete(folder));
    Ok(found
        .context("hostednetd and hostednet are not built: `cargo build -p hn-daemon -p hn-cli`")?
        .to_owned())
}

/// One installation: its folders, and the service if it runs.
#[derive(Debug)]
pub struct Product {
    binaries: PathBuf,
    /// Settings, leases, journal.
    pub state: PathBuf,
    /// The socket.
    pub runtime: PathBuf,
    /// `hostednet.toml` lies here.
    pub configuration: PathBuf,
    marker: String,
    namespace: Option<String>,
    environment: Vec<(String, String)>,
    daemon: Option<Background>,
    _folders: tempfile::TempDir,
}

impl Product {
    /// A fresh installation for `place`; nothing runs yet.
    ///
    /// # Errors
    /// If the programs are not built.
    pub fn install(place: &Namespace) -> Result<Self> {
        let folders = tempfile::Builder::new().prefix("hostednet-").tempdir()?;
        // The worker runs as another user and must be able to walk through.
        std::fs::set_permissions(folders.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let at = |name: &str| folders.path().join(name);
        Ok(Self {
            binaries: binaries()?,
            state: at("state"),
            runtime: at("run"),
            configuration: at("hostednet.toml"),
            marker: place.name().unwrap_or("machine").to_owned(),
            namespace: place.name().map(str::to_owned),
            environment: Vec::new(),
            daemon: None,
            _folders: folders,
        })
    }

    /// An installation whose state, and nothing else, lies below `kept`: what was there is found again.
    ///
    /// # Errors
    /// If the programs are not built.
    pub fn install_in(place: &Namespace, kept: &Path) -> Result<Self> {
        let new = Self::install(place)?;
        Ok(Self { state: kept.join("state"), ..new })
    }

    /// Writes `hostednet.toml`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(&self.configuration, text)?)
    }

    /// Gives the service a variable, from its next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the service and waits until it answers.
    ///
    /// # Errors
    /// If it ends or does not answer: with its log.
    pub fn start(&mut self, place: &Namespace) -> Result<()> {
        self.launch(place)?;
        self.await_answer()
    }

    /// Starts the service without waiting.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(&mut self, place: &Namespace) -> Result<()> {
        debug_assert_eq!(place.name(), self.namespace.as_deref(), "an installation stays where it was made");
        let mut command = place.command(self.binaries.join("hostednetd"));
        command.arg("--state-dir").arg(&self.state).arg("--runtime-dir").arg(&self.runtime);
        if self.configuration.exists() {
            command.arg("--config").arg(&self.configuration);
        }
        command.env("HN_LAB", &self.marker).env_remove("NOTIFY_SOCKET");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "info");
        }
        self.daemon = Some(Background::spawn(&mut command)?);
        Ok(())
    }

    /// `hostednetd --undo`: what a service that was killed left behind goes. The service does not run.
    ///
    /// # Errors
    /// If it fails: with its words.
    pub fn undo(&self, place: &Namespace) -> Result<()> {
        let mut command = place.command(self.binaries.join("hostednetd"));
        command.arg("--undo").arg("--state-dir").arg(&self.state).arg("--runtime-dir").arg(&self.runtime);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command::run(&mut command, ANSWER)?.success().map(drop)
    }

    /// Waits until the service answers on its socket.
    ///
    /// # Errors
    /// If it ends or does not answer: with its log.
    pub fn await_answer(&mut self) -> Result<()> {
        wait::holds("hostednetd to answer", ANSWER, || {
            if !self.runs()? {
                // Nothing to wait for; the check below tells.
                return Ok(true);
            }
            Ok(self.runtime.join("bus").exists()
                && command::run(&mut self.hostednet(["status", "--json"]), ANSWER)?.status.success())
        })
        .with_context(|| format!("hostednetd says:\n{}", self.log()))?;
        ensure!(self.runs()?, "hostednetd ended at once:\n{}", self.log());
        Ok(())
    }

    /// Whether the service runs.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn runs(&mut self) -> Result<bool> {
        match &mut self.daemon {
            Some(daemon) => Ok(daemon.ended()?.is_none()),
            None => Ok(false),
        }
    }

    /// The service's process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Background::pid)
    }

    /// The service's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Background::log).unwrap_or_default()
    }

    /// Asks the service to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// If it does not end in time or not with success.
    pub fn terminate(&mut self) -> Result<()> {
        let daemon = self.daemon.as_mut().context("hostednetd does not run")?;
        let status = daemon.end(Signal::TERM, GOODBYE)?;
        ensure!(status.success(), "hostednetd ended with {status}:\n{}", daemon.log_end());
        Ok(())
    }

    /// Kills the service (SIGKILL): it can clean up nothing.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let daemon = self.daemon.as_mut().context("hostednetd does not run")?;
        daemon.end(Signal::KILL, GOODBYE)?;
        Ok(())
    }

    /// A call of the command line, connected to this service.
    #[must_use]
    pub fn hostednet<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Command {
        let program = self.binaries.join("hostednet");
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(words).env("HOSTEDNET_SOCKET", self.runtime.join("bus")).env("HN_LAB", &self.marker);
        command
    }

    /// Runs `hostednet words…`; it may fail.
    ///
    /// # Errors
    /// If it cannot be started or hangs.
    pub fn attempt<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Result<Finished> {
        command::run(&mut self.hostednet(words), ANSWER)
    }

    /// Runs `hostednet words…`; it must succeed.
    ///
    /// # Errors
    /// If it does not: with its words and the service's log.
    pub fn run<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Result<Finished> {
        self.attempt(words)?.success().with_context(|| format!("hostednetd says:\n{}", end(&self.log())))
    }

    /// Runs `hostednet words…` with `input` (a key) on standard input; it must succeed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn feed<I: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Result<Finished> {
        let done = command::feed(&mut self.hostednet(words), input, ANSWER)?;
        done.success().with_context(|| format!("hostednetd says:\n{}", end(&self.log())))
    }

    /// Runs `hostednet words… --json` and reads what it prints.
    ///
    /// # Errors
    /// If it fails or prints no JSON.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let done = self.run(words.iter().copied().chain(["--json"]))?;
        serde_json::from_str(&done.stdout)
            .with_context(|| format!("`{}` printed: {}", done.line, done.stdout))
    }

    /// `hostednet status --json`.
    ///
    /// # Errors
    /// If it fails.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// One field of the status, by JSON pointer.
    ///
    /// # Errors
    /// If the field is missing.
    pub fn field(&self, pointer: &str) -> Result<Value> {
        let status = self.status()?;
        status.pointer(pointer).cloned().with_context(|| format!("no {pointer} in {status}"))
    }

    /// Waits until the field of the status has this value.
    ///
    /// # Errors
    /// If it has not within `limit`: with the last status.
    pub fn await_field(&self, pointer: &str, value: &Value, limit: Duration) -> Result<()> {
        let mut last = Value::Null;
        wait::holds(&format!("{pointer} = {value}"), limit, || {
            last = self.status()?;
            Ok(last.pointer(pointer) == Some(value))
        })
        .with_context(|| format!("last status: {last}\nhostednetd says:\n{}", end(&self.log())))
    }

    /// What the servers say that they refused, by its name.
    ///
    /// # Errors
    /// If the status does not say.
    pub fn refused(&self) -> Result<BTreeMap<String, u64>> {
        let shown = self.field("/refused")?;
        let pairs = shown.as_array().context("not a list")?.iter().map(|counter| {
            let name = counter["name"].as_str().context("a counter without a name")?;
            Ok((name.to_owned(), counter["value"].as_u64().context("a counter without a value")?))
        });
        pairs.collect()
    }

    /// Waits until everything of `names` is among what was refused.
    ///
    /// # Errors
    /// If it is not: with what is. It is brought up to date twice a minute.
    pub fn await_refused(&self, names: &[&str]) -> Result<BTreeMap<String, u64>> {
        const LIMIT: Duration = Duration::from_secs(90);
        let mut last = BTreeMap::new();
        let counted = wait::holds("what was refused to be counted by reason", LIMIT, || {
            last = self.refused()?;
            Ok(names.iter().all(|name| last.contains_key(*name)))
        });
        let missing: Vec<_> = names.iter().filter(|name| !last.contains_key(**name)).collect();
        counted.with_context(|| format!("{missing:?} are not in {last:?}"))?;
        Ok(last)
    }

    /// Starts a command that stays, as a person's terminal would: `hostednet up …`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn stay<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Result<Background> {
        Background::spawn(&mut self.hostednet(words))
    }
}

/// The last lines of a log.
fn end(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Programs and helpers of the service that run now on this machine, by name, for a machine of our own.
///
/// # Errors
/// Outside the VM.
pub fn processes() -> Result<Vec<String>> {
    ensure!(vm::inside(), "only the VM's processes are all ours");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        if let Ok(name) = std::fs::read_to_string(entry.path().join("comm"))
            && ["hostednet", "hostednetd", "hostapd"].contains(&name.trim())
        {
            found.push(format!("{} {}", entry.file_name().to_string_lossy(), name.trim()));
        }
    }
    Ok(found)
}

/// The processes whose parent is `pid`.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn children(pid: u32) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(pid) {
            found.extend(Pid::from_raw(child));
        }
    }
    found.sort_unstable_by_key(|child| child.as_raw_nonzero());
    Ok(found)
}
