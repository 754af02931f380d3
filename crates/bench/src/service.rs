//! This project's programs, built for release and started as a user would start them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hn_testlab::command::{self, Background, SHORT};
use hn_testlab::ns::Namespace;
use hn_testlab::wait;
use rustix::process::Signal;

use crate::bed::{Bed, HOST, Lab, PRIVATE, PUBLIC, SUBNET, open};
use crate::machine::pin;

/// How the service is configured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Probe addresses before they are offered.
    pub(crate) probe: bool,
}

/// An installation with folders of its own, and the service while it runs.
#[derive(Debug)]
pub(crate) struct Service {
    programs: PathBuf,
    namespace: String,
    daemon: Option<Background>,
    cores: crate::machine::Cores,
    /// On the disk: leases are made durable there.
    state: tempfile::TempDir,
    /// Elsewhere: the path of a socket must be short.
    runtime: tempfile::TempDir,
}

impl Service {
    /// Folders and configuration; nothing runs yet.
    pub(crate) fn install(lab: &Lab, place: &Namespace, setting: Setting) -> Result<Self> {
        let state = lab.folder()?;
        let runtime = tempfile::Builder::new().prefix("hostednet-").tempdir()?;
        open(runtime.path())?;
        let mut text = String::from("[sharing]\n");
        writeln!(text, "full_subnet = \"{SUBNET}\"")?;
        writeln!(text, "lease_time_s = 43200")?;
        writeln!(text, "probe = {}", setting.probe)?;
        writeln!(text, "dns_upstreams = [\"{HOST}\"]")?;
        std::fs::write(runtime.path().join("hostednet.toml"), text)?;
        Ok(Self {
            programs: lab.programs.clone(),
            namespace: place.name().context("the router has a namespace of its own")?.to_owned(),
            daemon: None,
            cores: lab.cores,
            state,
            runtime,
        })
    }

    /// Installs and starts the service and shares, and waits until that is done.
    pub(crate) fn shared(lab: &Lab, bed: &Bed, setting: Setting) -> Result<Self> {
        let mut service = Self::install(lab, &bed.router, setting)?;
        service.start()?;
        service.share()?;
        Ok(service)
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.launch()?;
        wait::holds("hostednetd to answer", SHORT, || {
            Ok(self.ended()?
                || (self.socket().exists()
                    && command::run(&mut self.cli(&["status", "--json"]), SHORT)?.status.success()))
        })
        .with_context(|| self.log())?;
        ensure!(!self.ended()?, "hostednetd ended at once:\n{}", self.log());
        Ok(())
    }

    /// Starts the service without waiting.
    pub(crate) fn launch(&mut self) -> Result<()> {
        pin(self.cores.server)?;
        let mut daemon = self.command("hostednetd");
        daemon
            .arg("--state-dir")
            .arg(self.state.path().join("state"))
            .arg("--runtime-dir")
            .arg(self.runtime.path().join("run"))
            .arg("--config")
            .arg(self.runtime.path().join("hostednet.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM");
        self.daemon = Some(Background::spawn(&mut daemon)?);
        Ok(())
    }

    /// Shares [`PUBLIC`] with [`PRIVATE`] and waits until that runs.
    pub(crate) fn share(&self) -> Result<()> {
        command::run(&mut self.share_command(), SHORT)?.success().with_context(|| self.log())?;
        wait::holds("sharing to run", SHORT, || {
            let status = command::run(&mut self.cli(&["status", "--json"]), SHORT)?.success()?;
            let status: serde_json::Value = serde_json::from_str(&status.stdout)?;
            Ok(status.pointer("/sharing/phase").is_some_and(|phase| phase == "running"))
        })
        .with_context(|| self.log())
    }

    /// `hostednet share wan0 lan0`.
    pub(crate) fn share_command(&self) -> Command {
        self.cli(&["share", PUBLIC, PRIVATE])
    }

    /// Where the service can be reached.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.path().join("run/bus")
    }

    /// The process whose descendants do all the work.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Background::pid)
    }

    /// Ends the service in order.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let status = daemon.end(Signal::TERM, SHORT)?;
        ensure!(status.success(), "hostednetd ended with {status}:\n{}", daemon.log_end());
        Ok(())
    }

    /// The end of the service's log, for messages.
    pub(crate) fn log(&self) -> String {
        let log = self.daemon.as_ref().map(Background::log_end).unwrap_or_default();
        format!("hostednetd says:\n{log}")
    }

    fn ended(&mut self) -> Result<bool> {
        Ok(match &mut self.daemon {
            Some(daemon) => daemon.ended()?.is_some(),
            None => true,
        })
    }

    fn cli(&self, words: &[&str]) -> Command {
        let mut command = self.command("hostednet");
        command.arg("--socket").arg(self.socket()).args(words);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(self.programs.join(program));
        command
    }
}

/// How long a person waits before believing that nothing comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
