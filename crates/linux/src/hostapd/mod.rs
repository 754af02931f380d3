//! hostapd as a child: the authenticator of the access point, driven over its control socket.
//!
//! It is started with no configuration at all, is told of the interface by `ADD`, of everything else by `SET`, and
//! reads the keys from memory that it inherits. No secret is ever in an argument, the environment, a file
//! with a name, or a log. It dies with us, however we die.

mod abilities;
mod config;
pub(crate) mod control;
mod event;
pub(crate) mod process;
mod psk;
mod session;
mod sys;

use std::{
    cell::Cell,
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use hn_ports::EventSink;
use hn_types::{
    DriverError, DriverErrorKind, IfName, MacAddr,
    observed::{ApEvent, PlatformEvent},
    plan::ApPlan,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use zeroize::Zeroizing;

pub(crate) use self::abilities::abilities;
pub(crate) use self::psk::{PmkCache, PskEntry};
use self::{
    control::{Control, Monitor},
    event::{Event, diagnose, known, told},
    process::Process,
    psk::PskFile,
    session::{Reporter, Session},
};
use crate::undo::{errno_kind, io_failure};

/// From the start of the process to its first answer.
const READY_PATIENCE: Duration = Duration::from_secs(5);
/// One question that needs no driver.
const ASK_PATIENCE: Duration = Duration::from_secs(3);
/// Until the access point beacons.
const ENABLE_PATIENCE: Duration = Duration::from_secs(15);
/// Beacons that tell stations of a move: half a second, enough for one that sleeps.
const MOVE_BEACONS: u32 = 5;
/// Until a move is over.
const MOVE_PATIENCE: Duration = Duration::from_secs(8);
/// How long it may take to end when asked politely; with the two signals after it that makes two seconds.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(1);

/// Room for `/ctl/` and the name of an interface in the address of a socket.
const PATH_LIMIT: usize = 107 - 5 - 15;

/// Where programs are that a service's `PATH` may lack.
const PLACES: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Finds the program: the configured one, or `hostapd` in `PATH` and the usual places.
///
/// # Errors
///
/// `Unsupported` when it is not there.
pub(crate) fn locate(configured: Option<&Path>) -> Result<PathBuf, DriverError> {
    let missing = |target: &Path, cause: &str| {
        DriverError::new(DriverErrorKind::Unsupported, "start hostapd", target.display(), cause)
    };
    if let Some(path) = configured {
        return if is_program(path) {
            Ok(path.to_owned())
        } else if path.is_file() {
            let cause = "this service may not run it: the file is not marked as a program";
            Err(DriverError::new(DriverErrorKind::Denied, "start hostapd", path.display(), cause)
                .with_remedy(format!("chmod +x {}", path.display())))
        } else {
            Err(missing(path, "the configured program does not exist")
                .with_remedy("correct the configuration"))
        };
    }
    find("hostapd").ok_or_else(|| {
        missing(Path::new("hostapd"), "hostapd is not installed").with_remedy("apt-get install hostapd")
    })
}

/// The program of this name in `PATH` and the usual places.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(PLACES.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_absolute() && is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A hostapd process with at most one access point. Dropping it kills it; [`Hostapd::stop`] is the way that lets
/// it say goodbye to the stations.
#[derive(Debug)]
pub(crate) struct Hostapd {
    process: Process,
    psk: PskFile,
    /// 0700; holds its sockets and our ends of them, and goes with it.
    dir: PathBuf,
    interface: IfName,
    session: Option<JoinHandle<()>>,
    reporter: Option<Reporter>,
    lost: Rc<Cell<bool>>,
}

impl Hostapd {
    /// Starts the process, which does nothing until it is told to. `dir` is made anew for it.
    pub(crate) fn spawn(program: &Path, dir: &Path, interface: IfName) -> Result<Self, DriverError> {
        let op = "start hostapd";
        if dir.as_os_str().len() > PATH_LIMIT {
            let cause = "the path is too long for the sockets in it";
            return Err(DriverError::new(DriverErrorKind::Invalid, op, dir.display(), cause)
                .with_remedy("use a runtime directory with a shorter path"));
        }
        make_private(dir).map_err(|error| io_failure("make the directory of hostapd", dir, &error))?;
        let psk = PskFile::new().map_err(|error| io_failure(op, program, &error))?;
        let global = dir.join("global");
        let arguments = [OsStr::new("-g"), global.as_os_str()];
        let process = Process::spawn(program, &arguments, Some(psk.inherited()))
            .map_err(|error| not_run(op, program, &error))?;
        Ok(Self {
            process,
            psk,
            dir: dir.to_owned(),
            interface,
            session: None,
            reporter: None,
            lost: Rc::new(Cell::new(false)),
        })
    }

    /// The id of the process.
    pub(crate) const fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether the access point is there: the process lives and has not given up.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_alive() && !self.lost.get()
    }

    /// Makes the access point of `plan` and returns once it beacons. From then on `events` hears of it.
    pub(crate) async fn enable(
        &mut self,
        plan: &ApPlan,
        keys: &[PskEntry],
        events: EventSink,
    ) -> Result<(), DriverError> {
        self.psk.write(keys).map_err(|error| self.failure("give hostapd the keys", &error))?;
        self.ready().await?;
        let sockets = self.sockets();
        // hostapd takes the words apart at spaces.
        let add = format!("ADD {} {} nl80211", self.interface, sockets.display());
        if sockets.to_string_lossy().contains(char::is_whitespace) {
            let cause = "the path of the runtime directory has a space in it";
            let op = "give hostapd the interface";
            return Err(DriverError::new(DriverErrorKind::Invalid, op, sockets.display(), cause));
        }
        self.tell(&self.global(), "give hostapd the interface", &add).await?;
        let control = self.control();
        for (name, value) in config::settings(plan, &self.psk.path_in_child())? {
            // An empty list is how it starts.
            if !value.is_empty() {
                self.tell(&control, "configure the access point", &format!("SET {name} {value}")).await?;
            }
        }
        for password in config::passwords(plan) {
            let order = Zeroizing::new(format!("SET sae_password {}", password.as_str()));
            self.tell(&control, "give hostapd the keys", &order).await?;
        }
        let monitor =
            control.attach(ASK_PATIENCE).await.map_err(|error| self.failure("listen to hostapd", &error))?;
        self.beacon(plan, &control, &monitor, &events).await?;
        let reporter = Reporter::new(events);
        self.reporter = Some(reporter.clone());
        let session = Session {
            interface: self.interface,
            control,
            monitor,
            lines: self.process.follow(),
            exited: self.process.exited(),
            lost: Rc::clone(&self.lost),
            reporter,
        };
        self.session = Some(tokio::task::spawn_local(session.run()));
        Ok(())
    }

    /// Moves the access point to the channel of `plan` and returns once it is there. Its stations are told
    /// in [`MOVE_BEACONS`] beacons.
    pub(crate) async fn move_to(&self, plan: &ApPlan) -> Result<(), DriverError> {
        let op = "move the access point";
        let control = self.control();
        let monitor =
            control.attach(ASK_PATIENCE).await.map_err(|error| self.failure("listen to hostapd", &error))?;
        self.tell(&control, op, &config::channel_switch(plan, MOVE_BEACONS)).await?;
        let deadline = Instant::now() + MOVE_PATIENCE;
        let mut exited = self.process.exited();
        loop {
            let next = async {
                tokio::select! {
                    event = monitor.next() => event,
                    _ = exited.wait_for(Option::is_some) => Err(io::ErrorKind::BrokenPipe.into()),
                }
            };
            match timeout_at(deadline, next).await {
                Ok(Ok(datagram)) => match event::parse(&datagram) {
                    Some(Event::Moved { frequency_mhz }) if frequency_mhz == plan.frequency_mhz => {
                        return Ok(());
                    }
                    Some(Event::Disabled | Event::InterfaceDisabled | Event::Terminating) => {
                        return Err(self.refusal(op).await);
                    }
                    Some(
                        Event::Enabled
                        | Event::RadarCheck { .. }
                        | Event::RadarCheckFailed
                        | Event::Moved { .. }
                        | Event::Joined { .. }
                        | Event::Left { .. }
                        | Event::KeyMismatch { .. },
                    )
                    | None => {}
                },
                Ok(Err(error)) => return Err(self.failure(op, &error)),
                Err(_) => return Err(self.failure(op, &io::ErrorKind::TimedOut.into())),
            }
        }
    }

    /// Replaces the keys. Stations whose key is still among them are not touched; when hostapd does not take the
    /// new ones, `former` are the keys again.
    pub(crate) async fn replace_keys(
        &self,
        keys: &[PskEntry],
        former: &[PskEntry],
    ) -> Result<(), DriverError> {
        let op = "replace the keys";
        self.psk.write(keys).map_err(|error| self.failure(op, &error))?;
        let told = self.tell(&self.control(), op, "RELOAD_WPA_PSK").await;
        if told.is_err() {
            self.psk.write(former).map_err(|error| self.failure(op, &error))?;
            // Whatever it answers, the failure that counts is the first one.
            let _ = self.tell(&self.control(), op, "RELOAD_WPA_PSK").await;
        }
        told
    }

    /// Keeps these stations out, and those that were kept out and are not among them no longer. One that is associated is
    /// sent away.
    pub(crate) async fn deny(
        &self,
        wanted: &BTreeSet<MacAddr>,
        former: &BTreeSet<MacAddr>,
    ) -> Result<(), DriverError> {
        let op = "keep a device out";
        for mac in former.difference(wanted) {
            self.tell(&self.control(), op, &format!("DENY_ACL DEL_MAC {mac}")).await?;
        }
        for mac in wanted.difference(former) {
            self.tell(&self.control(), op, &format!("DENY_ACL ADD_MAC {mac}")).await?;
            self.send_away(*mac).await?;
        }
        Ok(())
    }

    /// Ends the association of a station, if it has one.
    pub(crate) async fn send_away(&self, station: MacAddr) -> Result<(), DriverError> {
        let order = format!("DEAUTHENTICATE {station}");
        self.tell(&self.control(), "disconnect the device", &order).await
    }

    /// Compares what was told of the stations with `stations`, those the driver has.
    pub(crate) async fn compare(&self, stations: BTreeSet<MacAddr>) {
        if let Some(reporter) = self.reporter.as_ref().filter(|_| self.is_alive()) {
            reporter.compare(stations, &self.control()).await;
        }
    }

    /// Ends it within two seconds, politely first. Nothing of it is left, or the error says what.
    pub(crate) async fn stop(mut self) -> Result<(), DriverError> {
        if let Some(session) = self.session.take() {
            session.abort();
        }
        let deadline = Instant::now() + TERMINATE_PATIENCE;
        if self.process.is_alive() {
            let _ = self.global().ask("TERMINATE", TERMINATE_PATIENCE).await;
            self.process.wait(deadline.saturating_duration_since(Instant::now())).await;
        }
        let ended = self.process.kill().await;
        let removed = remove_dir(&self.dir);
        if !ended {
            let cause = "it survives being killed, so the driver holds it";
            return Err(DriverError::new(DriverErrorKind::Timeout, "end hostapd", self.interface, cause)
                .with_remedy("look for an error of the driver in the journal of the kernel"));
        }
        removed.map_err(|error| io_failure("remove the directory of hostapd", &self.dir, &error))
    }

    /// Waits for the first answer.
    async fn ready(&self) -> Result<(), DriverError> {
        let deadline = Instant::now() + READY_PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.global().ask("PING", ASK_PATIENCE).await {
                Ok(_) => return Ok(()),
                Err(error) if !self.process.is_alive() => return Err(self.failure("start hostapd", &error)),
                // It goes on without a socket when it is denied one.
                Err(_) if known(&self.process.log()).is_some_and(|it| it.kind == DriverErrorKind::Denied) => {
                    return Err(self.refusal("start hostapd").await);
                }
                // What it has not done until then, opened its socket or answered on it, says nothing to anybody.
                Err(_) if Instant::now() >= deadline => {
                    return Err(self.failure("start hostapd", &io::ErrorKind::TimedOut.into()));
                }
                // It has not opened its socket yet; nothing announces that it does.
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Brings the access point up.
    async fn beacon(
        &self,
        plan: &ApPlan,
        control: &Control,
        monitor: &Monitor,
        events: &EventSink,
    ) -> Result<(), DriverError> {
        let op = "start the access point";
        let deadline = Instant::now() + ENABLE_PATIENCE + Duration::from_secs(plan.cac_s.into());
        match control.ask("ENABLE", ENABLE_PATIENCE).await {
            Ok(answer) if answer == "OK" => {}
            Ok(_) => return Err(self.refusal(op).await),
            Err(error) => return Err(self.failure(op, &error)),
        }
        let mut exited = self.process.exited();
        loop {
            let next = async {
                tokio::select! {
                    event = monitor.next() => event,
                    _ = exited.wait_for(Option::is_some) => Err(io::ErrorKind::BrokenPipe.into()),
                }
            };
            match timeout_at(deadline, next).await {
                Ok(Ok(datagram)) => match event::parse(&datagram) {
                    Some(Event::Enabled) => return Ok(()),
                    Some(Event::Disabled | Event::InterfaceDisabled | Event::Terminating) => {
                        return Err(self.refusal(op).await);
                    }
                    Some(Event::RadarCheck { frequency_mhz, seconds }) => {
                        events.emit(PlatformEvent::Ap(ApEvent::RadarCheck { frequency_mhz, seconds }));
                    }
                    Some(Event::RadarCheckFailed) => {
                        let cause = "radar was heard on the channel";
                        return Err(DriverError::new(DriverErrorKind::Busy, op, self.interface, cause)
                            .with_remedy("wait half an hour, or use another channel"));
                    }
                    Some(
                        Event::Joined { .. }
                        | Event::Left { .. }
                        | Event::KeyMismatch { .. }
                        | Event::Moved { .. },
                    )
                    | None => {}
                },
                Ok(Err(error)) => return Err(self.failure(op, &error)),
                Err(_) => return Err(self.failure(op, &io::ErrorKind::TimedOut.into())),
            }
        }
    }

    /// Gives an order that is answered with `OK`.
    async fn tell(&self, control: &Control, op: &str, order: &str) -> Result<(), DriverError> {
        match control.ask(order, ASK_PATIENCE).await {
            Ok(answer) if answer == "OK" => Ok(()),
            Ok(_) => {
                let mut error = self.refusal(op).await;
                let words: Vec<&str> = order.split_ascii_whitespace().take(2).collect();
                error.cause = format!("{} (order {})", error.cause, words.join(" "));
                Err(error)
            }
            Err(error) => Err(self.failure(op, &error)),
        }
    }

    /// hostapd said no; its printed lines, which are on their way, say why.
    async fn refusal(&self, op: &str) -> DriverError {
        sleep(Duration::from_millis(20)).await;
        let diagnosis = diagnose(&self.process.log());
        DriverError::new(diagnosis.kind, op, self.interface, diagnosis.cause).with_remedy(diagnosis.remedy)
    }

    /// hostapd said nothing.
    fn failure(&self, op: &str, error: &io::Error) -> DriverError {
        let exited = self.process.exited().borrow().clone();
        if let Some(how) = exited {
            let diagnosis = diagnose(&self.process.log());
            let cause = format!("hostapd {how}: {}", told(&self.process.log()));
            return DriverError::new(diagnosis.kind, op, self.interface, cause.trim_end_matches([':', ' ']))
                .with_remedy(diagnosis.remedy);
        }
        if error.kind() == io::ErrorKind::TimedOut {
            let cause = "hostapd runs and does not answer; it was ended";
            return DriverError::new(DriverErrorKind::Timeout, op, self.interface, cause).with_remedy(
                "try again; if it stays so, look into the journals of the service and of the kernel",
            );
        }
        let kind = error.raw_os_error().map_or(DriverErrorKind::Io, errno_kind);
        DriverError::new(kind, op, self.interface, format!("cannot speak to hostapd: {error}"))
    }

    fn global(&self) -> Control {
        Control::new(self.dir.join("global"), self.dir.clone())
    }

    fn control(&self) -> Control {
        Control::new(self.sockets().join(self.interface.as_str()), self.dir.clone())
    }

    /// Where hostapd makes the sockets of its interfaces.
    fn sockets(&self) -> PathBuf {
        self.dir.join("ctl")
    }
}

impl Drop for Hostapd {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.abort();
        }
    }
}

/// Why a program that is there could not be started. A refusal by the system is not a lack (peers §3, no. 8).
fn not_run(op: &str, program: &Path, error: &io::Error) -> DriverError {
    let failure = io_failure(op, program, error);
    if failure.kind != DriverErrorKind::Denied {
        return failure;
    }
    let cause = format!("this service may not run it: {}", failure.cause);
    DriverError { cause, ..failure }.with_remedy(
        "look for a denial by AppArmor or SELinux in the journal of the kernel, and whether its file system is mounted noexec",
    )
}

/// Makes `dir` empty and ours alone.
fn make_private(dir: &Path) -> io::Result<()> {
    remove_dir(dir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_remedy() {
        let error = locate(Some(Path::new("/nonexistent/hostapd"))).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unsupported);
        assert_eq!(error.target, "/nonexistent/hostapd");
        assert!(!error.remedy.is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn failure_8_a_program_that_may_not_be_run_is_not_called_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hostapd");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        let error = locate(Some(&file)).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Denied);
        assert!(error.cause.contains("may not run") && error.remedy.contains("chmod"), "{error}");
        // What the kernel says when a policy forbids it: the same answer as for a file without the mark.
        let run = dir.path().join("run");
        let error = tokio::task::LocalSet::new()
            .run_until(async { Hostapd::spawn(&file, &run, "hnap0".parse().unwrap()).unwrap_err() })
            .await;
        assert_eq!((error.kind, error.errno), (DriverErrorKind::Denied, Some(libc::EACCES)));
        assert!(error.cause.contains("may not run") && error.remedy.contains("AppArmor"), "{error}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_directory_too_deep_for_sockets_is_refused_before_anything_is_made() {
        let deep = env::temp_dir().join("x".repeat(100));
        let error = Hostapd::spawn(Path::new("/bin/true"), &deep, "hnap0".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Invalid);
        assert!(!deep.exists());
    }

    #[test]
    fn a_configured_program_is_taken_as_it_is() {
        assert_eq!(locate(Some(Path::new("/bin/sh"))).unwrap(), Path::new("/bin/sh"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_ends_at_once_is_reported_with_its_words() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let dir = tempfile::tempdir().unwrap();
                let program = dir.path().join("hostapd");
                fs::write(&program, "#!/bin/sh\necho 'out of paper'\nexit 1\n").unwrap();
                fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
                let runtime = dir.path().join("run");
                let hostapd = Hostapd::spawn(&program, &runtime, "hnap0".parse().unwrap()).unwrap();
                let error = hostapd.ready().await.unwrap_err();
                assert_eq!(error.op, "start hostapd");
                assert_eq!(error.cause, "hostapd exited with status 1: out of paper");
                hostapd.stop().await.unwrap();
                assert!(!runtime.exists());
            })
            .await;
    }
}
