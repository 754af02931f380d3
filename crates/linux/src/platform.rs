//! The platform put together: what was left behind is undone, then the watchers and the lanes begin.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use hn_ports::{EventSink, Lanes, Platform};
use hn_types::{DriverError, DriverErrorKind};

use crate::{
    dependencies, examine,
    firewall::LinuxFirewall,
    forwarding::LinuxForwarding,
    links::LinuxLinks,
    neighbour::{bus::SystemBus, login::Login, look::look, manager::Manager},
    network::Watch,
    radio::{LinuxRadio, RadioConfig},
    resolvers::Resolvers,
    services::{LinuxServices, ServicesConfig},
    tag,
    undo::UndoJournal,
};

/// Where the platform finds and keeps things.
#[derive(Clone, Debug)]
pub struct LinuxConfig {
    /// The state directory: the undo journal and the lease journals.
    pub state_dir: PathBuf,
    /// The radio lane.
    pub radio: RadioConfig,
    /// The services lane and its worker.
    pub services: ServicesConfig,
    /// Where names are resolved.
    pub resolvers: Resolvers,
}

impl LinuxConfig {
    /// The usual configuration with these directories.
    pub fn new(state_dir: &Path, runtime_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            radio: RadioConfig { runtime_dir: runtime_dir.to_owned(), hostapd: None },
            services: ServicesConfig::new(state_dir),
            resolvers: Resolvers::default(),
        }
    }

    /// The undo journal.
    pub fn journal(&self) -> PathBuf {
        self.state_dir.join("undo.journal")
    }
}

/// The real platform.
#[derive(Clone, Debug)]
pub struct LinuxPlatform {
    config: LinuxConfig,
}

impl LinuxPlatform {
    /// The platform of this machine, in the network namespace of the thread that opens it.
    pub const fn new(config: LinuxConfig) -> Self {
        Self { config }
    }
}

impl Platform for LinuxPlatform {
    type Radio = LinuxRadio;
    type Links = LinuxLinks;
    type Forwarding = LinuxForwarding;
    type Firewall = LinuxFirewall;
    type Services = LinuxServices;

    /// Needs a [`LocalSet`](tokio::task::LocalSet). The watcher of the network belongs to the links lane, that of
    /// the radios to the radio lane, the worker to the services lane; each ends with its lane.
    async fn open(
        self,
        events: EventSink,
    ) -> Result<Lanes<LinuxRadio, LinuxLinks, LinuxForwarding, LinuxFirewall, LinuxServices>, DriverError>
    {
        let LinuxConfig { radio, services, resolvers, .. } = self.config.clone();
        let journal = Rc::new(UndoJournal::open(&self.config.journal())?);
        // What cannot be undone is in the log and stays in the journal; the service is of more use than none.
        journal.replay();
        reap();
        // The worker starts while the rest is read.
        let services = LinuxServices::open(services, Rc::clone(&journal), events.clone());
        let worker = services.trouble();
        let bus = SystemBus::default();
        let manager = Manager::open(bus.clone(), Rc::clone(&journal));
        let login = Login::open(bus, events.clone());
        let radio = LinuxRadio::open(radio, Rc::clone(&journal), events.clone());
        let radio = radio.beside(manager.clone()).warned(login);
        let watch = Watch::open(resolvers, Rc::clone(&journal), events.clone())?;
        let firewall = LinuxFirewall::new(Rc::clone(&journal)).watching(events).beside(manager.clone());
        let examiner = examine::examiner(Rc::clone(&journal), firewall.made());
        let neighbours = look(manager.clone());
        Ok(Lanes {
            radio,
            links: LinuxLinks::new(Rc::clone(&journal), Some(watch)).beside(manager),
            forwarding: LinuxForwarding::new(journal),
            firewall,
            services,
            dependencies: dependencies::look(worker),
            examiner,
            neighbours,
            stations: LinuxRadio::stations(),
        })
    }
}

/// What a dead service made and its journal, which may be lost, does not name.
fn reap() {
    match tag::reap() {
        Ok(reaped) => {
            for interface in reaped {
                tracing::info!(%interface, "removed an interface that a dead service had made");
            }
        }
        // The watcher of the network says the same in a moment, and as an error.
        Err(refusal) => tracing::warn!(cause = %refusal.cause(), "cannot look for stale interfaces"),
    }
}

/// Undoes whatever a service that was killed left behind, and nothing else: `hostednetd --undo`, for the unit's
/// `ExecStopPost`.
///
/// # Errors
///
/// What could not be undone, all of it in one error; `Busy` while a service lives.
pub fn undo(config: &LinuxConfig) -> Result<(), DriverError> {
    let path = config.journal();
    // Never ran, or ran elsewhere: there is nothing to undo and nothing to make.
    if !path.exists() {
        reap();
        return Ok(());
    }
    let failures = UndoJournal::open(&path)?.replay();
    reap();
    let Some(first) = failures.first() else { return Ok(()) };
    let causes: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let kind = if failures.len() == 1 { first.kind } else { DriverErrorKind::Io };
    Err(DriverError::new(kind, "undo what was left behind", path.display(), causes.join("; ")))
}
