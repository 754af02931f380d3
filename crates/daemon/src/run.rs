//! From a command line to a running service, and back to nothing.

use std::{
    fs::{self, DirBuilder, File},
    io::Read,
    os::{fd::AsFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use hn_core::Core;
use hn_ports::Platform;
use rustix::fs::{FlockOperation, flock};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::{LocalSet, spawn_local},
};

use crate::{
    bus::Bus,
    clock,
    config::{Config, load_policy},
    control::{Control, Observed, REQUEST_QUEUE, Request},
    lanes::Executor,
    store::SettingsFile,
};

/// The folders and files of one service. Services in different namespaces have different ones.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `hostednet.toml`; `policy.toml` is beside it.
    pub config: PathBuf,
    /// Settings, leases, the journal of changes; 0700.
    pub state: PathBuf,
    /// The socket `bus` and what drivers need; 0755.
    pub runtime: PathBuf,
}

impl Paths {
    /// The administrator's policy.
    pub fn policy(&self) -> PathBuf {
        self.config.with_file_name("policy.toml")
    }

    /// The private socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("bus")
    }

    /// Makes the folders that are missing.
    pub fn create(&self) -> anyhow::Result<()> {
        for (folder, mode) in [(&self.state, 0o700), (&self.runtime, 0o755)] {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(())
    }
}

/// Held for as long as the service runs, so that two never share a state folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock in `folder`.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another hostednetd uses {}; stop it, or give this one its own --state-dir",
                folder.display()
            );
        }
        Ok(Self { _file: file })
    }
}

/// Runs the service on `platform` until it is told to stop. Everything is undone when this returns.
///
/// With `lifeline`, the end of standard input is such a sign: whoever started the service is gone.
pub fn serve<P: Platform + 'static>(
    platform: P,
    config: &Config,
    paths: &Paths,
    lifeline: bool,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(platform, config, paths, lifeline))
}

async fn run<P: Platform + 'static>(
    platform: P,
    config: &Config,
    paths: &Paths,
    lifeline: bool,
) -> anyhow::Result<()> {
    // Signals are caught before anything is changed, so that an early one still ends in order.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;

    let loaded = SettingsFile::new(&paths.state).load()?;
    if let Some(damage) = &loaded.damaged {
        tracing::error!(%damage, "the settings were damaged and are put aside; the service begins afresh");
    }
    let policy = load_policy(&paths.policy())?;

    let observed = Observed::default();
    let lanes = platform.open(observed.sink()).await?;
    let (executor, outcomes) = Executor::start(lanes, &paths.state);
    let mut core = Core::new(core_config(config), loaded.settings, seed()?, clock::now());
    core.handle_policy(policy, clock::now());

    let bus = Bus::listen(&paths.socket())
        .with_context(|| format!("cannot listen on {}", paths.socket().display()))?;
    let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
    let listener = tokio::spawn(bus.serve(requests.clone()));
    let control = spawn_local(Control::new(core, executor).run(observed, receiver, outcomes));
    // Not being started by a service manager is no fault.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(socket = %paths.socket().display(), "ready");

    if lifeline {
        spawn_local(end_with(requests.clone()));
    }
    let mut control = control;
    let ended = loop {
        tokio::select! {
            ended = &mut control => break ended,
            _ = terminate.recv() => stop(&requests),
            _ = interrupt.recv() => stop(&requests),
            _ = hangup.recv() => match load_policy(&paths.policy()) {
                Ok(policy) => { let _ = requests.try_send(Request::Policy(policy)); }
                Err(error) => tracing::error!(%error, "the policy stays as it was"),
            },
        }
    };
    listener.abort();
    let _ = listener.await;
    let undone = ended.context("the control loop ended early")?;
    undone
        .map_err(anyhow::Error::from)
        .context("not everything could be undone; it is tried again at the next start")
}

/// Waits for the end of standard input, then asks for the shutdown.
async fn end_with(requests: mpsc::Sender<Request>) {
    let mut buffer = [0; 64];
    if let Ok(stdin) = std::io::stdin().as_fd().try_clone_to_owned()
        && let Ok(mut pipe) = pipe::Receiver::from_owned_fd(stdin)
    {
        while matches!(pipe.read(&mut buffer).await, Ok(1..)) {}
    }
    let _ = requests.send(Request::Shutdown).await;
}

fn stop(requests: &mpsc::Sender<Request>) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let requests = requests.clone();
    spawn_local(async move {
        let _ = requests.send(Request::Shutdown).await;
    });
}

/// 32 bytes of the system's randomness: the only draw there is.
fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut seed))
        .context("cannot draw randomness")?;
    Ok(seed)
}

fn core_config(config: &Config) -> hn_core::Config {
    let machine_id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    hn_core::Config {
        radio: config.radio.clone(),
        access_point: config.access_point,
        full_subnet: config.full_subnet,
        standalone_subnet: config.standalone_subnet,
        domain: config.domain.clone(),
        lease_time: config.lease_time,
        isolate_from: config.isolate_from.clone(),
        resume: config.resume,
        port_mapping: config.port_mapping.clone(),
        ..hn_core::Config::new(&host_name, machine_id.trim())
    }
}

/// What the real platform is given.
pub fn linux_config(config: &Config, paths: &Paths) -> hn_linux::LinuxConfig {
    let mut linux = hn_linux::LinuxConfig::new(&paths.state, &paths.runtime);
    linux.radio.hostapd.clone_from(&config.hostapd);
    linux.services.probe = config.probe;
    linux.resolvers.configured = config.dns_upstreams.clone().unwrap_or_default();
    linux.resolvers.resolv_conf.clone_from(&config.resolv_conf);
    linux
}
