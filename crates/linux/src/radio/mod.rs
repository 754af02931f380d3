//! The radio lane on Linux: a virtual interface from nl80211, an access point from hostapd, and a watch on every
//! radio of the machine. Decides neither which radio nor which channel.

mod joined;
mod nl80211;
mod rfkill;
pub(crate) mod sys;
mod watch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    rc::Rc,
};

use hn_ports::{Changed, EventSink, Radio, Stations};
use hn_types::{
    DriverError, DriverErrorKind, IfName, MacAddr,
    observed::{ApEvent, PlatformEvent},
    plan::{ApPlan, ApStarted, KeySet},
};

use self::{
    nl80211::Nl80211,
    watch::{OwnInterface, Watch},
};
use crate::{
    hostapd::{self, Hostapd, PmkCache, PskEntry},
    neighbour::manager::{Claimant, Manager},
    netlink::Refusal,
    tag,
    undo::{EntryId, Undo, UndoJournal, driver_error, process_start_time},
};

/// Where the lane finds what it needs.
#[derive(Clone, Debug)]
pub struct RadioConfig {
    /// The runtime directory; hostapd gets the directory `hostapd` in it, mode 0700.
    pub runtime_dir: PathBuf,
    /// The program; `None` looks for `hostapd` in `PATH` and the usual places.
    pub hostapd: Option<PathBuf>,
}

/// The radio lane. It must be used, and dropped, on the thread of one current-thread runtime inside a
/// [`LocalSet`](tokio::task::LocalSet): its tasks are local, and hostapd dies with the thread that started it.
#[derive(Debug)]
pub struct LinuxRadio {
    config: RadioConfig,
    journal: Rc<UndoJournal>,
    events: EventSink,
    pmks: PmkCache,
    /// The conversation through which interfaces are made. They end with it, so it stays.
    nl80211: Option<Nl80211>,
    own: OwnInterface,
    // What there is of an access point, whole or on the way up or down.
    interface: Option<VirtualInterface>,
    hostapd: Option<(Hostapd, Option<EntryId>)>,
    running: Option<Running>,
    /// Who is asked to leave the virtual interface alone.
    manager: Option<Manager>,
    _watch: Watch,
}

#[derive(Debug)]
struct VirtualInterface {
    name: IfName,
    index: u32,
    entry: EntryId,
}

/// An access point that beacons.
#[derive(Debug)]
struct Running {
    plan: ApPlan,
    started: ApStarted,
    keys: Vec<PskEntry>,
}

impl LinuxRadio {
    /// Reports the radios as they are and begins to watch them. The journal has been replayed before.
    pub fn open(config: RadioConfig, journal: Rc<UndoJournal>, events: EventSink) -> Self {
        let own = OwnInterface::default();
        let watch = Watch::start(Rc::clone(&own), config.hostapd.clone(), events.clone());
        Self {
            config,
            journal,
            events,
            pmks: PmkCache::default(),
            nl80211: None,
            own,
            interface: None,
            hostapd: None,
            running: None,
            manager: None,
            _watch: watch,
        }
    }

    /// The lane on a machine where NetworkManager may run.
    pub(crate) fn beside(self, manager: Manager) -> Self {
        Self { manager: Some(manager), ..self }
    }

    /// Measures the stations of the machine, in the network namespace of the calling thread.
    pub fn stations() -> Stations {
        Stations::new(joined::stations)
    }

    /// Every part is kept in `self` from the moment it exists, so that [`Radio::stop`] finds it even when this
    /// is given up half way.
    async fn bring_up(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        let op = "start the access point";
        let program = hostapd::locate(self.config.hostapd.as_deref())?;
        if !plan.keys.entries.iter().any(|entry| entry.station.is_none()) {
            let cause = "there is no key that a new station could use";
            return Err(DriverError::new(DriverErrorKind::Invalid, op, plan.interface, cause));
        }
        let switch = rfkill::switches(Path::new(rfkill::CLASS)).remove(&plan.wiphy).unwrap_or_default();
        if switch.soft || switch.hard {
            return Err(switched_off(op, plan, switch.hard));
        }
        let keys = self.pmks.entries(&plan.ssid, &plan.keys).await;
        if let Some(manager) = &self.manager {
            // Before there is one: it is asked the moment it sees it.
            manager.claim(Claimant::Radio, &BTreeSet::from([plan.interface])).await?;
        }
        let index = self.make_interface(plan)?;
        let named = |refusal: Refusal| driver_error("name the virtual interface", plan.interface, &refusal);
        match self.authenticate(&program, plan, &keys).await {
            // Whoever names new interfaces by rules of its own does so once. hostapd knows its interface by name.
            Err(error) if tag::put_name_back(index, plan.interface).map_err(named)? => {
                tracing::info!(%error, "once more, with the interface called what it was made as");
                self.silence().await?;
                self.authenticate(&program, plan, &keys).await?;
            }
            other => other?,
        }
        tag::put_name_back(index, plan.interface).map_err(named)?;
        if let Some((hostapd, _)) = &self.hostapd {
            hostapd.deny(&plan.keys.denied, &BTreeSet::new()).await?;
        }
        let now = self.nl80211.as_ref().and_then(|nl80211| nl80211.interface(index).ok().flatten());
        let started = ApStarted {
            index,
            bssid: now.as_ref().map_or(plan.bssid, |interface| interface.address),
            frequency_mhz: now.and_then(|interface| interface.frequency_mhz).unwrap_or(plan.frequency_mhz),
        };
        self.running = Some(Running { plan: plan.clone(), started, keys });
        Ok(started)
    }

    /// Makes the virtual interface and says its index.
    fn make_interface(&mut self, plan: &ApPlan) -> Result<u32, DriverError> {
        let op = "create the virtual interface";
        let name = plan.interface;
        let failed = |refusal: &Refusal| explain(driver_error(op, name, refusal));
        if self.nl80211.is_none() {
            self.nl80211 = Nl80211::open().map_err(|refusal| failed(&refusal))?;
        }
        let Some(nl80211) = &self.nl80211 else {
            let cause = "the kernel has no Wi-Fi (nl80211)";
            return Err(DriverError::new(DriverErrorKind::Unsupported, op, name, cause)
                .with_remedy("plug in or enable a Wi-Fi adapter"));
        };
        // The journal would remove whatever has the name.
        if nix::net::if_::if_nametoindex(name.as_str()).is_ok() {
            let cause = "an interface of this name exists already";
            return Err(DriverError::new(DriverErrorKind::Busy, op, name, cause)
                .with_remedy(format!("remove it (iw dev {name} del) or stop the program that made it")));
        }
        let planned = self.journal.record(Undo::Link { name, index: 0 })?;
        let made = nl80211.create_ap(plan.wiphy, name, plan.bssid);
        let index = match made {
            Ok(index) => index,
            Err(refusal) => {
                self.journal.done(planned);
                return Err(failed(&refusal));
            }
        };
        self.own.set(Some(index));
        let interface = self.interface.insert(VirtualInterface { name, index, entry: planned });
        // With its index known, the record names this interface and no other.
        interface.entry = self.journal.record(Undo::Link { name, index })?;
        self.journal.done(planned);
        let address = match nl80211.interface(index) {
            Ok(Some(made)) => (made.address != plan.bssid).then_some(plan.bssid),
            Ok(None) | Err(_) => None,
        };
        match (tag::mark(index, address), address) {
            (Ok(()), _) => {}
            (Err(refusal), Some(_)) => {
                return Err(driver_error("give the virtual interface its address", name, &refusal));
            }
            // A tag is worth nothing to anyone who only wants a network.
            (Err(refusal), None) => tracing::debug!(cause = %refusal.cause(), "cannot tag the interface"),
        }
        Ok(index)
    }

    /// Has hostapd make the access point on the interface `index`.
    async fn authenticate(
        &mut self,
        program: &Path,
        plan: &ApPlan,
        keys: &[PskEntry],
    ) -> Result<(), DriverError> {
        let dir = self.config.runtime_dir.join("hostapd");
        let hostapd = Hostapd::spawn(program, &dir, plan.interface)?;
        let id = hostapd.id();
        let (hostapd, entry) = self.hostapd.insert((hostapd, None));
        if let Some(start_time) = process_start_time(id) {
            *entry = Some(self.journal.record(Undo::Process { pid: id, start_time })?);
        }
        hostapd.enable(plan, keys, self.events.clone()).await
    }

    /// Ends hostapd, if it runs.
    async fn silence(&mut self) -> Result<Changed, DriverError> {
        let Some((hostapd, entry)) = self.hostapd.take() else { return Ok(Changed::No) };
        hostapd.stop().await?;
        self.journal.done_all(entry);
        Ok(Changed::Yes)
    }

    /// Takes down whatever there is.
    async fn take_down(&mut self) -> Result<Changed, Vec<DriverError>> {
        let mut failures = Vec::new();
        let mut changed = Changed::No;
        self.running = None;
        self.own.set(None);
        match self.silence().await {
            Ok(silenced) => changed = silenced,
            Err(error) => failures.push(error),
        }
        if let Some(interface) = self.interface.take() {
            changed = Changed::Yes;
            match self.nl80211.as_ref().map_or(Ok(false), |nl80211| nl80211.remove(interface.index)) {
                Ok(_) => self.journal.done(interface.entry),
                Err(refusal) => {
                    failures.push(driver_error("remove the virtual interface", interface.name, &refusal));
                    // It stays ours to remove: the next stop tries again.
                    self.interface = Some(interface);
                }
            }
        }
        if self.interface.is_none()
            && let Some(manager) = &self.manager
        {
            manager.release(Claimant::Radio, &BTreeSet::new()).await;
        }
        if failures.is_empty() { Ok(changed) } else { Err(failures) }
    }

    /// Whether an access point beacons.
    fn alive(&self) -> Option<&Running> {
        let lives = self.hostapd.as_ref().is_some_and(|(hostapd, _)| hostapd.is_alive());
        self.running.as_ref().filter(|_| lives)
    }

    async fn replace_keys(&mut self, keys: &KeySet) -> Result<Changed, DriverError> {
        let op = "replace the keys";
        let (Some((hostapd, _)), Some(running)) = (&self.hostapd, &mut self.running) else {
            return Err(DriverError::new(DriverErrorKind::Gone, op, "access point", "no access point runs"));
        };
        if running.plan.keys == *keys {
            return Ok(Changed::No);
        }
        if !keys.entries.iter().any(|entry| entry.station.is_none()) {
            let cause = "there is no key that a new station could use";
            return Err(DriverError::new(DriverErrorKind::Invalid, op, running.plan.interface, cause));
        }
        if running.plan.keys.entries != keys.entries {
            let entries = self.pmks.entries(&running.plan.ssid, keys).await;
            hostapd.replace_keys(&entries, &running.keys).await?;
            running.keys = entries;
            running.plan.keys.entries.clone_from(&keys.entries);
        }
        hostapd.deny(&keys.denied, &running.plan.keys.denied).await?;
        running.plan.keys = keys.clone();
        Ok(Changed::Yes)
    }
}

impl Radio for LinuxRadio {
    async fn start(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        if let Some(running) = self.alive().filter(|running| running.plan.same_but_keys(plan)) {
            let started = running.started;
            // One that was set down to be renamed beacons no more, and is made anew.
            match tag::put_name_back(started.index, plan.interface) {
                Ok(_) => {
                    self.replace_keys(&plan.keys).await?;
                    return Ok(started);
                }
                Err(refusal) => tracing::warn!(cause = %refusal.cause(), "the access point is made anew"),
            }
        }
        self.take_down().await.map_err(first)?;
        let began = std::time::Instant::now();
        match self.bring_up(plan).await {
            Ok(started) => {
                tracing::info!(interface = %plan.interface, took = ?began.elapsed(), "the access point beacons");
                Ok(started)
            }
            Err(error) => {
                for failure in self.take_down().await.err().into_iter().flatten() {
                    tracing::warn!(error = %failure, "cannot undo a start that failed");
                }
                Err(error)
            }
        }
    }

    async fn move_to(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        let op = "move the access point";
        let (Some((hostapd, _)), Some(running)) = (&self.hostapd, &mut self.running) else {
            return Err(DriverError::new(DriverErrorKind::Gone, op, plan.interface, "no access point runs"));
        };
        hostapd.move_to(plan).await?;
        running.plan = plan.clone();
        running.started.frequency_mhz = plan.frequency_mhz;
        tracing::info!(interface = %plan.interface, channel = plan.channel, "the access point moved");
        Ok(running.started)
    }

    async fn stop(&mut self) -> Result<Changed, Vec<DriverError>> {
        self.take_down().await
    }

    async fn set_keys(&mut self, keys: &KeySet) -> Result<Changed, DriverError> {
        self.replace_keys(keys).await
    }

    async fn disconnect(&mut self, station: MacAddr) -> Result<Changed, DriverError> {
        let op = "disconnect the device";
        let Some((hostapd, _)) = self.hostapd.as_ref().filter(|(hostapd, _)| hostapd.is_alive()) else {
            return Err(DriverError::new(DriverErrorKind::Gone, op, "access point", "no access point runs"));
        };
        hostapd.send_away(station).await?;
        Ok(Changed::Yes)
    }

    async fn poll_stations(&mut self) {
        let Some(index) = self.alive().map(|running| running.started.index) else { return };
        let Some(nl80211) = &self.nl80211 else { return };
        let stations = match nl80211.stations(index) {
            Ok(stations) => stations,
            Err(refusal) => {
                tracing::debug!(cause = %refusal.cause(), "cannot read the stations");
                return;
            }
        };
        if let Some((hostapd, _)) = &self.hostapd {
            hostapd.compare(stations.iter().map(|station| station.mac).collect()).await;
        }
        self.events.emit(PlatformEvent::Ap(ApEvent::StationStats(stations)));
    }
}

/// Of several failures the one that happened first; the others are logged.
fn first(failures: Vec<DriverError>) -> DriverError {
    let mut failures = failures.into_iter();
    let first = failures.next();
    for other in failures {
        tracing::warn!(error = %other, "cannot take the access point down");
    }
    first.unwrap_or_else(|| {
        DriverError::new(DriverErrorKind::Io, "stop the access point", "access point", "nothing said why")
    })
}

fn switched_off(op: &str, plan: &ApPlan, hard: bool) -> DriverError {
    let (cause, remedy) = if hard {
        ("the radio is switched off by its hardware switch", "turn the switch on")
    } else {
        ("the radio is switched off", "switch it on (rfkill unblock wifi)")
    };
    DriverError::new(DriverErrorKind::Busy, op, plan.interface, cause).with_remedy(remedy)
}

/// What a person can do when the driver makes no virtual interface.
fn explain(error: DriverError) -> DriverError {
    match error.errno {
        Some(libc::EBUSY | libc::ENFILE) => {
            error.with_remedy("remove another virtual interface of this radio (iw dev lists them)")
        }
        Some(libc::EOPNOTSUPP) => {
            error.with_remedy("this adapter cannot be an access point; use another one")
        }
        Some(libc::EPERM | libc::EACCES) => {
            error.with_remedy("run the service as root or with CAP_NET_ADMIN")
        }
        Some(_) | None => error,
    }
}

/// The radios of this machine as they are at the moment, for whoever needs them once.
pub fn radios() -> hn_types::radio::RadioView {
    watch::view(None)
}

/// Whether hostapd can be found, for `doctor` and for availability.
///
/// # Errors
///
/// `Unsupported` with its remedy when it cannot.
pub fn find_hostapd(configured: Option<&Path>) -> Result<PathBuf, DriverError> {
    hostapd::locate(configured)
}
