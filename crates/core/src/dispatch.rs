//! What a command may do and which stages it takes. Nothing is changed here that could fail later.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
};

use hn_types::{
    Descriptor, ErrorCode, Failure, MacAddr, Now, Reason, SecondaryKey, StoredSettings, Subnet4,
    part::{Part, StartType, StartTypes},
    security::{ELEVATED_ACCESS, OBJECT_COUNT, READ_CONTROL, WRITE_ACCESS, WRITE_DAC},
    settings::{ApSettings, Reservation},
    view::{SetBy, SharingPhase},
};

use crate::{
    command::{Actor, Command, Keys, PartStatus, Reply, RequestId, Security, Settings},
    core::{Core, Waiting},
    effect::Output,
    hosted::{PEER_LIMIT, Phase},
    job::{Caller, Change, Claim, HostedChange, Job, Stage},
    keys,
    roles::Half,
};

/// The longest name of a reservation, in bytes.
const RESERVATION_NAME: usize = 64;

pub(crate) type Stages = VecDeque<Stage>;

pub(crate) fn invalid(object: &str, cause: &str) -> Failure {
    Failure::check(ErrorCode::InvalidParameter, Reason::BadParameters, object, cause)
}

fn part_stopped(part: Part) -> Failure {
    Failure::check(
        ErrorCode::ServiceNotActive,
        Reason::ServiceUnavailable,
        part.as_str(),
        "this part of the service is stopped",
    )
    .with_remedy(alloc::format!("run `hostednet service start {}`", part.as_str()))
}

/// Who may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Everybody,
    /// Whoever has write access on the object of elevated access.
    Object,
    Elevated,
}

impl Command {
    /// Who may ask.
    fn right(&self, keys_for_all: bool, force_stop_for_all: bool) -> Right {
        let unless = |everybody, right| if everybody { Right::Everybody } else { right };
        match self {
            Self::ForceStart | Self::SetEnabled(_) => Right::Object,
            Self::ForceStop => unless(force_stop_for_all, Right::Object),
            Self::SetReservation(_)
            | Self::RemoveReservation(_)
            | Self::SetDevice(..)
            | Self::ForgetDevice(_)
            | Self::DisconnectDevice(_)
            | Self::Share(_)
            | Self::Unshare
            | Self::EnableSharing(..)
            | Self::DisableSharing(_)
            | Self::SetFirewall(..)
            | Self::AddMapping(_)
            | Self::SetMappingEnabled(..)
            | Self::RemoveMapping(_)
            | Self::ServiceStart(_)
            | Self::ServiceStop(_)
            | Self::SetStartType(..) => Right::Elevated,
            Self::QueryKeys | Self::QueryPrimaryKey | Self::QuerySecondaryKey => {
                unless(keys_for_all, Right::Elevated)
            }
            Self::Up(request) => unless(request.public.is_none(), Right::Elevated),
            Self::InitSettings
            | Self::StartUsing
            | Self::StopUsing
            | Self::SetConnection(_)
            | Self::SetSsid(_)
            | Self::SetMaxPeers(_)
            | Self::SetAccessPoint(_)
            | Self::RefreshPrimaryKey
            | Self::SetSecondaryKey(_)
            | Self::QuerySettings
            | Self::QuerySecurity(_)
            | Self::SetSecurity(..)
            | Self::QueryMappings
            | Self::QueryDevices
            | Self::Down
            | Self::ServiceStatus
            | Self::Shutdown => Right::Everybody,
        }
    }

    /// The part of the service that has to be running.
    const fn part(&self) -> Option<Part> {
        match self {
            Self::InitSettings
            | Self::StartUsing
            | Self::StopUsing
            | Self::ForceStart
            | Self::ForceStop
            | Self::SetConnection(_)
            | Self::SetSsid(_)
            | Self::SetMaxPeers(_)
            | Self::SetAccessPoint(_)
            | Self::SetEnabled(_)
            | Self::RefreshPrimaryKey
            | Self::SetSecondaryKey(_)
            | Self::QueryKeys
            | Self::QueryPrimaryKey
            | Self::QuerySecondaryKey
            | Self::QuerySettings
            | Self::QuerySecurity(_)
            | Self::SetSecurity(..) => Some(Part::Wlan),
            // Sharing starts its part by itself.
            Self::SetReservation(_)
            | Self::RemoveReservation(_)
            | Self::SetDevice(..)
            | Self::ForgetDevice(_)
            | Self::DisconnectDevice(_)
            | Self::QueryDevices
            | Self::Share(_)
            | Self::Unshare
            | Self::EnableSharing(..)
            | Self::DisableSharing(_)
            | Self::SetFirewall(..)
            | Self::AddMapping(_)
            | Self::SetMappingEnabled(..)
            | Self::RemoveMapping(_)
            | Self::QueryMappings
            | Self::Up(_)
            | Self::Down
            | Self::ServiceStart(_)
            | Self::ServiceStop(_)
            | Self::SetStartType(..)
            | Self::ServiceStatus
            | Self::Shutdown => None,
        }
    }

    /// Whether the answer depends on what sharing cannot do without, so that
    /// [`Core::handle_dependencies`] should be called first.
    pub const fn needs_dependencies(&self) -> bool {
        match self {
            Self::StartUsing
            | Self::ForceStart
            | Self::Share(_)
            | Self::EnableSharing(..)
            | Self::Up(_)
            | Self::ServiceStart(_)
            | Self::ServiceStatus => true,
            Self::InitSettings
            | Self::StopUsing
            | Self::ForceStop
            | Self::SetConnection(_)
            | Self::SetSsid(_)
            | Self::SetMaxPeers(_)
            | Self::SetAccessPoint(_)
            | Self::SetEnabled(_)
            | Self::RefreshPrimaryKey
            | Self::SetSecondaryKey(_)
            | Self::QueryKeys
            | Self::QueryPrimaryKey
            | Self::QuerySecondaryKey
            | Self::QuerySettings
            | Self::QuerySecurity(_)
            | Self::SetSecurity(..)
            | Self::SetReservation(_)
            | Self::RemoveReservation(_)
            | Self::SetDevice(..)
            | Self::ForgetDevice(_)
            | Self::DisconnectDevice(_)
            | Self::QueryDevices
            | Self::Unshare
            | Self::DisableSharing(_)
            | Self::SetFirewall(..)
            | Self::AddMapping(_)
            | Self::SetMappingEnabled(..)
            | Self::RemoveMapping(_)
            | Self::QueryMappings
            | Self::Down
            | Self::ServiceStop(_)
            | Self::SetStartType(..)
            | Self::Shutdown => false,
        }
    }
}

impl Core {
    /// Takes a command: answers it, lets it join the job under way, or makes it wait.
    pub(crate) fn accept(&mut self, request: RequestId, actor: Actor, command: Command, now: Now) {
        if command == Command::Shutdown {
            self.shut_down(request);
            return;
        }
        if let Command::QueryDevices = command
            && self.closing.is_none()
            && self.sessions.is_open(actor.session)
        {
            let devices = self.known_devices(now);
            self.out.push_back(Output::Reply { request, result: Ok(Reply::Devices(devices)) });
            return;
        }
        if let Some(result) = self.answer_at_once(&actor, &command).transpose() {
            self.out.push_back(Output::Reply { request, result });
            return;
        }
        if let Command::DisconnectDevice(mac) = command {
            self.kick(request, mac);
            return;
        }
        let claim = if command == Command::StartUsing {
            Some(Claim::Reference)
        } else if command == Command::ForceStart {
            Some(Claim::Forced)
        } else {
            None
        };
        if self.queue.is_empty()
            && let Some(claim) = claim
            && let Some(job) = self
                .job
                .as_mut()
                .filter(|job| job.starts_hosted() && job.callers.len() < self.config.limits.queue)
        {
            job.callers.push(Caller { session: actor.session, request: Some(request), claim });
            return;
        }
        if self.queue.len() >= self.config.limits.queue {
            let failure = Failure::check(
                ErrorCode::LimitExceeded,
                Reason::InsufficientResources,
                "service",
                "too many commands are waiting",
            );
            self.out.push_back(Output::Reply { request, result: Err(failure) });
            return;
        }
        self.queue.push_back(Waiting { request, actor, command });
    }

    /// Checks that need no order, and questions. `Ok(None)`: the command has to take its turn.
    fn answer_at_once(&mut self, actor: &Actor, command: &Command) -> Result<Option<Reply>, Failure> {
        if self.closing.is_some() || self.closed {
            return Err(self.shutting_down(command));
        }
        if !self.sessions.is_open(actor.session) {
            return Err(self.no_session());
        }
        if let Some(part) = command.part() {
            self.running(part)?;
        }
        self.permitted(actor, command)?;
        match command {
            Command::QuerySecurity(object) => {
                self.security(actor, *object).map(|it| Some(Reply::Security(it)))
            }
            Command::SetSecurity(object, descriptor) => self.check_security(actor, *object, descriptor),
            Command::SetConnection(connection) => peers_in_range(connection.max_peers).map(|()| None),
            Command::SetMaxPeers(max_peers) => peers_in_range(*max_peers).map(|()| None),
            Command::SetEnabled(_) => self.may_enable().map(|()| None),
            Command::QueryKeys => Ok(Some(Reply::Keys(Keys {
                primary: self.settings.primary_key.clone(),
                secondary: self.secondary(),
            }))),
            Command::QueryPrimaryKey => match &self.settings.primary_key {
                Some(key) => Ok(Some(Reply::PrimaryKey(key.clone()))),
                None => Err(Failure::check(
                    ErrorCode::BadConfiguration,
                    Reason::Unspecified,
                    "hosted network",
                    "it is not configured yet",
                )),
            },
            Command::QuerySecondaryKey => Ok(Some(Reply::SecondaryKey(self.secondary()))),
            Command::QuerySettings => Ok(Some(Reply::Settings(Settings {
                connection: self.settings.connection.clone(),
                enabled: self.allowed(),
                set_by: if self.policy.hosted_network.is_some() { SetBy::Policy } else { SetBy::User },
                secondary_key: self.secondary().map(|secondary| secondary.persistent),
                reservations: self.settings.reservations.clone(),
                access_point: self.access_point().or(ApSettings::DEFAULT),
            }))),
            Command::ServiceStatus => Ok(Some(Reply::Parts(Part::ALL.map(|part| self.part_status(part))))),
            Command::SetReservation(reservation) => self.check_reservation(reservation).map(|()| None),
            Command::SetDevice(mac, change) => self.check_device(*mac, change).map(|()| None),
            Command::QueryMappings => Ok(Some(Reply::Mappings(self.mapping_statuses(self.now)))),
            Command::AddMapping(new) => self.check_mapping(new).map(|()| None),
            Command::InitSettings
            | Command::StartUsing
            | Command::StopUsing
            | Command::ForceStart
            | Command::ForceStop
            | Command::SetSsid(_)
            | Command::SetAccessPoint(_)
            | Command::RefreshPrimaryKey
            | Command::SetSecondaryKey(_)
            | Command::RemoveReservation(_)
            | Command::ForgetDevice(_)
            | Command::DisconnectDevice(_)
            | Command::QueryDevices
            | Command::Share(_)
            | Command::Unshare
            | Command::EnableSharing(..)
            | Command::DisableSharing(_)
            | Command::SetFirewall(..)
            | Command::SetMappingEnabled(..)
            | Command::RemoveMapping(_)
            | Command::Up(_)
            | Command::Down
            | Command::ServiceStart(_)
            | Command::ServiceStop(_)
            | Command::SetStartType(..)
            | Command::Shutdown => Ok(None),
        }
    }

    fn permitted(&self, actor: &Actor, command: &Command) -> Result<(), Failure> {
        let (keys, force) = (self.config.keys_readable_by_all, !self.config.force_stop_needs_elevation);
        let permitted = match command.right(keys, force) {
            Right::Everybody => true,
            Right::Object => self.elevated_access().grants(actor.caller(), WRITE_ACCESS),
            Right::Elevated => actor.elevated,
        };
        if permitted { Ok(()) } else { Err(denied("this needs administrator rights")) }
    }

    /// The access list of the one object that decides something.
    fn elevated_access(&self) -> Descriptor {
        self.settings.elevated_access.clone().unwrap_or_default()
    }

    fn security(&self, actor: &Actor, object: u32) -> Result<Security, Failure> {
        if object >= OBJECT_COUNT {
            return Err(invalid("object", "there are the securable objects 0 to 16"));
        }
        let descriptor =
            if object == ELEVATED_ACCESS { self.elevated_access() } else { Descriptor::default() };
        let granted = descriptor.granted(actor.caller());
        if granted & READ_CONTROL == 0 {
            return Err(denied("the access list does not let this caller read it"));
        }
        Ok(Security { descriptor, set_by: SetBy::User, granted })
    }

    fn check_security(
        &self,
        actor: &Actor,
        object: u32,
        descriptor: &Descriptor,
    ) -> Result<Option<Reply>, Failure> {
        let security = self.security(actor, object)?;
        if security.granted & WRITE_DAC == 0 {
            return Err(denied("the access list does not let this caller change it"));
        }
        if security.descriptor == *descriptor {
            Ok(Some(Reply::Done))
        } else if object == ELEVATED_ACCESS {
            Ok(None)
        } else {
            Err(Failure::check(
                ErrorCode::NotSupported,
                Reason::Unspecified,
                alloc::format!("securable object {object}"),
                "nothing here would obey another access list",
            ))
        }
    }

    fn no_session(&self) -> Failure {
        if self.sessions.full(self.config.limits.sessions) {
            Failure::check(
                ErrorCode::SessionLimitExceeded,
                Reason::InsufficientResources,
                "session",
                "too many sessions are open",
            )
            .with_remedy("close sessions that are not needed")
        } else {
            Failure::check(ErrorCode::InvalidHandle, Reason::BadParameters, "session", "it is not open")
        }
    }

    fn shut_down(&mut self, request: RequestId) {
        if self.closed {
            self.out.push_back(Output::Reply { request, result: Ok(Reply::Done) });
            return;
        }
        self.closing.get_or_insert_default().push(request);
        for waiting in core::mem::take(&mut self.queue) {
            let result = Err(self.shutting_down(&waiting.command));
            self.out.push_back(Output::Reply { request: waiting.request, result });
        }
        let teardown =
            self.job.as_ref().and_then(|job| job.current.as_ref()).is_some_and(|stage| match stage {
                Stage::Change(change) => change.teardown(),
                Stage::Save { .. } => false,
            });
        if teardown {
            // It goes on to its end; nothing follows it.
            if let Some(job) = &mut self.job {
                job.waiting.clear();
            }
        } else {
            self.fail_job(self.shutting_down(&Command::Shutdown));
        }
    }

    /// Begins the job of a command whose turn has come.
    pub(crate) fn begin(&mut self, waiting: Waiting) {
        let Waiting { request, actor, command } = waiting;
        let before = self.before();
        match self.stages(&actor, command) {
            Ok((stages, claim)) => {
                let mut job = Job::new(stages, before);
                job.needs_claim = job.starts_hosted();
                job.callers.push(Caller { session: actor.session, request: Some(request), claim });
                self.job = Some(job);
            }
            Err(failure) => self.out.push_back(Output::Reply { request, result: Err(failure) }),
        }
    }

    fn stages(&mut self, actor: &Actor, command: Command) -> Result<(Stages, Claim), Failure> {
        // Asked again: the part may have been stopped, or the right taken, while the command waited.
        if let Some(part) = command.part() {
            self.running(part)?;
        }
        self.permitted(actor, &command)?;
        let stages = match command {
            Command::InitSettings => self.save_if_new(),
            Command::StartUsing => {
                if self.sessions.held_by(actor.session) >= self.config.limits.references {
                    return Err(Failure::check(
                        ErrorCode::LimitExceeded,
                        Reason::InsufficientResources,
                        "session",
                        "it holds too many references",
                    ));
                }
                return Ok((self.start()?, Claim::Reference));
            }
            Command::ForceStart => return Ok((self.start()?, Claim::Forced)),
            Command::StopUsing => {
                if !self.sessions.release(actor.session) {
                    return Err(stop_before_start("this session holds no reference"));
                }
                if self.sessions.wanted() { Stages::new() } else { self.stop(Reason::UserAction) }
            }
            Command::ForceStop => {
                self.rest.forget();
                self.stop(Reason::UserAction)
            }
            Command::SetConnection(connection) => self.reconfigure(|settings| {
                settings.connection = Some(connection);
            }),
            Command::SetSsid(ssid) => self.reconfigure(|settings| {
                if let Some(connection) = &mut settings.connection {
                    connection.ssid = ssid;
                }
            }),
            Command::SetMaxPeers(max_peers) => self.reconfigure(|settings| {
                if let Some(connection) = &mut settings.connection {
                    connection.max_peers = max_peers;
                }
            }),
            Command::SetAccessPoint(new) => self.reconfigure(|settings| {
                settings.access_point = new.or(settings.access_point);
            }),
            Command::RefreshPrimaryKey => {
                let key = keys::random_key(&mut self.rng);
                self.reconfigure(|settings| settings.primary_key = Some(key))
            }
            Command::SetEnabled(enabled) => {
                self.may_enable()?;
                let settings = StoredSettings { enabled: Some(enabled), ..keys::versioned(&self.settings) };
                let mut stages = self.save(settings, true);
                if !enabled {
                    stages.extend(self.stop(Reason::UserAction));
                }
                stages
            }
            Command::SetSecondaryKey(secondary) => self.set_secondary(secondary),
            Command::SetSecurity(object, descriptor) => {
                if let Some(Reply::Done) = self.check_security(actor, object, &descriptor)? {
                    return Ok((Stages::new(), Claim::Nothing));
                }
                let settings = keys::versioned(&self.settings);
                self.save(StoredSettings { elevated_access: Some(descriptor), ..settings }, true)
            }
            Command::SetReservation(reservation) => {
                self.check_reservation(&reservation)?;
                let mut settings = keys::versioned(&self.settings);
                settings.reservations.retain(|other| other.mac != reservation.mac);
                settings.reservations.push(reservation);
                settings.reservations.sort_by_key(|reservation| reservation.mac);
                self.save_and_follow(settings)
            }
            Command::RemoveReservation(mac) => self.remove_reservation(mac)?,
            Command::SetDevice(mac, change) => self.set_device(mac, &change)?,
            Command::ForgetDevice(mac) => self.forget_device(mac)?,
            Command::Share(pair) => self.share(&pair)?,
            Command::Unshare => self.unshare()?,
            Command::EnableSharing(connection, role) => self.enable_sharing(&connection, role)?,
            Command::DisableSharing(connection) => self.disable_sharing(&connection)?,
            Command::SetFirewall(connection, on) => self.set_firewall(&connection, on)?,
            Command::AddMapping(new) => return self.add_mapping(new),
            Command::SetMappingEnabled(id, on) => self.set_mapping_enabled(id, on)?,
            Command::RemoveMapping(id) => self.remove_mapping(id)?,
            Command::Up(request) => return self.up(actor, request),
            Command::Down => {
                let record = self
                    .ups
                    .remove(&actor.session)
                    .ok_or_else(|| stop_before_start("this session has nothing up"))?;
                if record.reference {
                    self.sessions.release(actor.session);
                }
                self.undo_up(&record, Reason::UserAction)
            }
            Command::ServiceStart(part) => {
                self.startable(part)?;
                match part {
                    Part::Wlan => self.wlan = true,
                    Part::SharedAccess => self.shared_access = true,
                }
                Stages::new()
            }
            Command::SetStartType(part, start_type) => {
                let settings = keys::versioned(&self.settings);
                let start_types = settings.start_types.with(part, start_type);
                self.save(StoredSettings { start_types, ..settings }, true)
            }
            Command::ServiceStop(Part::Wlan) => {
                self.wlan = false;
                self.stop(Reason::ServiceShuttingDown)
            }
            Command::ServiceStop(Part::SharedAccess) => {
                self.shared_access = false;
                self.half = Half::default();
                if self.intent.full.is_some() || self.intent.standalone {
                    [Stage::Change(Change { standalone_off: true, ..Change::sharing(None) })].into()
                } else {
                    Stages::new()
                }
            }
            Command::QueryKeys
            | Command::QueryPrimaryKey
            | Command::QuerySecondaryKey
            | Command::QuerySettings
            | Command::QuerySecurity(_)
            | Command::QueryMappings
            | Command::QueryDevices
            | Command::DisconnectDevice(_)
            | Command::ServiceStatus
            | Command::Shutdown => Stages::new(),
        };
        Ok((stages, Claim::Nothing))
    }

    /// Whether the WLAN part answers. SharedAccess always does: it is started when it is needed.
    pub(crate) fn running(&self, part: Part) -> Result<(), Failure> {
        match (part, self.part_phase(part)) {
            (Part::SharedAccess, _) | (Part::Wlan, SharingPhase::Running | SharingPhase::StartPending) => {
                Ok(())
            }
            (Part::Wlan, SharingPhase::Stopped) => Err(part_stopped(part)),
            (Part::Wlan, SharingPhase::StopPending) => Err(Failure::check(
                ErrorCode::InvalidState,
                Reason::ServiceShuttingDown,
                part,
                "this part of the service is stopping",
            )),
        }
    }

    /// What a call is told while the service ends: the hosted network is in the wrong state for it, everything else has no
    /// service any more.
    fn shutting_down(&self, command: &Command) -> Failure {
        let code = match command.part() {
            Some(Part::Wlan) if !self.closed => ErrorCode::InvalidState,
            Some(Part::Wlan | Part::SharedAccess) | None => ErrorCode::ServiceNotActive,
        };
        Failure::check(code, Reason::ServiceShuttingDown, "service", "the service is shutting down")
    }

    fn may_enable(&self) -> Result<(), Failure> {
        if self.policy.hosted_network.is_none() {
            return Ok(());
        }
        let cause = "the administrator's policy decides this";
        Err(Failure::check(ErrorCode::AccessDenied, Reason::GpDenied, "enabled", cause)
            .with_remedy("ask the administrator to change policy.toml"))
    }

    const fn start_types(&self) -> StartTypes {
        self.settings.start_types
    }

    fn part_phase(&self, part: Part) -> SharingPhase {
        match part {
            Part::Wlan if self.wlan => SharingPhase::Running,
            Part::Wlan => match self.hosted.phase() {
                Phase::Starting | Phase::Active | Phase::Stopping => SharingPhase::StopPending,
                Phase::Idle | Phase::Unavailable => SharingPhase::Stopped,
            },
            Part::SharedAccess => {
                let phase = self.sharing_phase();
                if phase == SharingPhase::Stopped && self.shared_access {
                    SharingPhase::Running
                } else {
                    phase
                }
            }
        }
    }

    fn part_status(&self, part: Part) -> PartStatus {
        let detail = match part {
            Part::Wlan => String::new(),
            Part::SharedAccess => {
                self.sharing_usable().err().map(|failure| failure.cause).unwrap_or_default()
            }
        };
        PartStatus { part, phase: self.part_phase(part), start_type: self.start_types().of(part), detail }
    }

    /// Whether a part may be started for itself.
    fn startable(&self, part: Part) -> Result<(), Failure> {
        if self.start_types().of(part) == StartType::Disabled {
            return Err(Failure::check(
                ErrorCode::ServiceDisabled,
                Reason::ServiceUnavailable,
                part,
                "this part of the service is disabled",
            )
            .with_remedy(alloc::format!("run `hostednet service set-start-type {part} manual`")));
        }
        match part {
            Part::Wlan => Ok(()),
            Part::SharedAccess => self.sharing_usable(),
        }
    }

    /// Whether the start of the hosted network also starts sharing in standalone mode (E1): not against the
    /// administrator, who forbade or disabled it, and not without what it needs.
    pub(crate) fn standalone_usable(&self) -> bool {
        self.start_types().shared_access != StartType::Disabled && self.sharing_usable().is_ok()
    }

    fn secondary(&self) -> Option<SecondaryKey> {
        keys::secondary(&self.settings, self.temporary.as_ref())
    }

    /// A stage that saves, unless nothing would change.
    pub(crate) fn save(&self, settings: StoredSettings, keep: bool) -> Stages {
        if settings == self.settings { Stages::new() } else { [Stage::Save { settings, keep }].into() }
    }

    pub(crate) fn save_and_follow(&self, settings: StoredSettings) -> Stages {
        let mut stages = self.save(settings, false);
        stages.push_back(Stage::Change(Change::KEEP));
        stages
    }

    /// Name and primary key, if they do not exist yet. They stay even if what follows fails.
    pub(crate) fn save_if_new(&mut self) -> Stages {
        keys::initialised(&self.settings, &self.config.host_name, &mut self.rng)
            .map(|settings| Stage::Save { settings, keep: true })
            .into_iter()
            .collect()
    }

    pub(crate) fn start(&mut self) -> Result<Stages, Failure> {
        if self.hosted.phase() == Phase::Active {
            return Ok(Stages::new());
        }
        self.available()?;
        let mut stages = self.save_if_new();
        stages.push_back(Stage::Change(Change::hosted(HostedChange::Start)));
        Ok(stages)
    }

    pub(crate) fn stop(&self, reason: Reason) -> Stages {
        if self.hosted.phase() == Phase::Active {
            [Stage::Change(Change::hosted(HostedChange::Stop(reason)))].into()
        } else {
            Stages::new()
        }
    }

    /// Whether nothing stands in the way of the hosted network.
    pub(crate) fn available(&self) -> Result<(), Failure> {
        let Some(blocker) = self.blocker() else {
            return Ok(());
        };
        let reason =
            if blocker.reason == Reason::GpDenied { Reason::GpDenied } else { Reason::InterfaceUnavailable };
        Err(Failure::check(ErrorCode::InvalidState, reason, blocker.object, blocker.cause)
            .with_remedy(blocker.remedy))
    }

    /// Settings that need the network idle: it stops first and stays so.
    fn reconfigure(&mut self, change: impl FnOnce(&mut StoredSettings)) -> Stages {
        let mut settings = keys::initialised(&self.settings, &self.config.host_name, &mut self.rng)
            .unwrap_or_else(|| keys::versioned(&self.settings));
        change(&mut settings);
        let mut stages = self.stop(Reason::PropertiesChange);
        stages.extend(self.save(settings, false));
        stages
    }

    fn set_secondary(&self, secondary: Option<SecondaryKey>) -> Stages {
        let mut settings = keys::versioned(&self.settings);
        let mut temporary = None;
        match secondary {
            None => settings.secondary_key = None,
            Some(SecondaryKey { key, persistent: true }) => settings.secondary_key = Some(key),
            Some(SecondaryKey { key, persistent: false }) => temporary = Some(key),
        }
        let mut stages = if settings.secondary_key == self.settings.secondary_key {
            Stages::new()
        } else {
            self.save(settings, false)
        };
        stages.push_back(Stage::Change(Change { temporary: Some(temporary), ..Change::KEEP }));
        stages
    }

    pub(crate) fn check_reservation(&self, reservation: &Reservation) -> Result<(), Failure> {
        let object = reservation.mac.to_string();
        if reservation.mac.is_multicast() || reservation.mac == MacAddr::ZERO {
            return Err(invalid(&object, "this is not the address of a device"));
        }
        if reservation.name.len() > RESERVATION_NAME {
            return Err(invalid(&object, "the name has more than 64 bytes"));
        }
        let fits = |subnet: Subnet4| {
            let address = subnet.network().address().to_bits().saturating_add(reservation.host);
            address > subnet.network().address().to_bits()
                && address < subnet.broadcast().to_bits()
                && address != subnet.address().to_bits()
        };
        let usual = Subnet4::new(core::net::Ipv4Addr::new(192, 168, 137, 1), 24);
        let subnets = [self.config.full_subnet.or(usual), self.config.standalone_subnet.or(usual)];
        if !subnets.into_iter().flatten().all(fits) {
            return Err(invalid(&object, "the host number lies outside the pool"));
        }
        let others = self.settings.reservations.iter().filter(|other| other.mac != reservation.mac);
        if others.clone().any(|other| other.host == reservation.host) {
            return Err(invalid(&object, "the address is promised to another device"));
        }
        if others.count() >= self.config.limits.reservations {
            return Err(Failure::check(
                ErrorCode::LimitExceeded,
                Reason::InsufficientResources,
                object,
                "there are too many reservations",
            ));
        }
        Ok(())
    }

    fn remove_reservation(&self, mac: MacAddr) -> Result<Stages, Failure> {
        let mut settings = keys::versioned(&self.settings);
        settings.reservations.retain(|other| other.mac != mac);
        if settings.reservations.len() == self.settings.reservations.len() {
            return Err(Failure::check(
                ErrorCode::NotFound,
                Reason::Unspecified,
                mac,
                "no address is promised to this device",
            ));
        }
        Ok(self.save_and_follow(settings))
    }
}

fn denied(cause: &str) -> Failure {
    Failure::check(ErrorCode::AccessDenied, Reason::ElevationRequired, "caller", cause)
        .with_remedy("run it as root, or ask an administrator")
}

fn stop_before_start(cause: &str) -> Failure {
    Failure::check(ErrorCode::InvalidState, Reason::StopBeforeStart, "session", cause)
}

fn peers_in_range(max_peers: u32) -> Result<(), Failure> {
    if usize::try_from(max_peers).is_ok_and(|peers| (1..=PEER_LIMIT).contains(&peers)) {
        Ok(())
    } else {
        Err(invalid("max_peers", "a network has 1 to 2007 devices"))
    }
}
