//! How transactions go forward, are committed, and are undone.

use alloc::{
    format,
    string::{String, ToString as _},
};

use hn_types::{
    DriverError, ErrorCode, Failure, MacAddr, Reason, Step,
    part::StartType,
    settings::{AddressPolicy, ApSettings},
    view::{Event, SharingMode, SharingPhase},
    wpa::Wpa,
};
use rand_core::RngCore as _;

use crate::{
    command::Reply,
    core::Core,
    effect::Output,
    guid::stable_address,
    hosted::{PEER_LIMIT, Phase},
    job::{Before, Change, Claim, HostedChange, Job, Stage, failure_of},
    plan::{ApIntent, Intent, SystemPlan, ap_name},
    radio::{Lack, Refusal, radio_plan, speakable},
    renumber::Moves,
    subnet::{Collision, Subnets},
};

/// How often a step is tried at the very end before it is given up.
const LAST_ATTEMPTS: u32 = 3;

pub(crate) const fn mode_of(intent: &Intent) -> SharingMode {
    if intent.full.is_some() {
        SharingMode::Full
    } else if intent.standalone {
        SharingMode::Standalone
    } else {
        SharingMode::Off
    }
}

/// A protection that a driver refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    address: MacAddr,
    wpa: Wpa,
    why: String,
}

impl Core {
    /// To what a job that begins now would return.
    pub(crate) fn before(&self) -> Before {
        Before {
            intent: self.intent.clone(),
            settings: self.settings.clone(),
            temporary: self.temporary.clone(),
            subnets: self.subnets,
            half: self.half.clone(),
        }
    }

    /// One step of whatever is under way. `false`: nothing can be done before the next input.
    pub(crate) fn progress(&mut self, goal: &SystemPlan) -> bool {
        let Some(mut job) = self.job.take() else {
            return self.next_job();
        };
        if let Some(failure) = &job.failure {
            let store_failed = failure.step == Step::Store;
            let restored = self.lanes.settled(goal) && (store_failed || self.lanes.store.at(&self.settings));
            let quiet = if store_failed { self.lanes.quiet_but_store() } else { self.lanes.quiet() };
            if restored || quiet {
                self.finish_failed(job);
                return true;
            }
            self.job = Some(job);
            return false;
        }
        match job.current.take() {
            None => match job.waiting.pop_front() {
                Some(stage) => self.enter(job, stage),
                None => self.commit(job),
            },
            Some(Stage::Save { settings, keep }) => {
                if !self.lanes.store.at(&settings) {
                    job.current = Some(Stage::Save { settings, keep });
                    self.job = Some(job);
                    return false;
                }
                if keep {
                    job.before.settings = settings.clone();
                }
                let devices = core::mem::take(&mut self.settings.devices);
                self.settings = settings;
                self.staged = None;
                self.out.push_back(Output::Event(Event::SettingsChanged));
                self.announce_devices(&devices);
                self.job = Some(job);
            }
            Some(Stage::Change(change)) => {
                let last_saved = !job.last || self.lanes.store.at(&self.settings);
                let tried = !job.last || self.lanes.worst() >= LAST_ATTEMPTS;
                let over = self.lanes.quiet() && change.teardown() && tried;
                if over || (self.lanes.settled(goal) && last_saved) {
                    self.complete(job, &change);
                } else if self.lanes.quiet() && !change.teardown() {
                    job.current = Some(Stage::Change(change));
                    self.job = Some(job);
                    let failure = failure_of(Step::Check, Reason::Unspecified, &[]);
                    self.fail_job(failure);
                } else {
                    job.current = Some(Stage::Change(change));
                    self.job = Some(job);
                    return false;
                }
            }
        }
        true
    }

    /// Begins a stage.
    fn enter(&mut self, mut job: Job, stage: Stage) {
        self.lanes.unblock();
        let result = match &stage {
            Stage::Save { settings, .. } => {
                self.staged = Some(settings.clone());
                Ok(())
            }
            Stage::Change(change) => self.change(change),
        };
        job.current = Some(stage);
        self.job = Some(job);
        if let Err(failure) = result {
            self.fail_job(failure);
        }
    }

    /// Changes what is wanted.
    fn change(&mut self, change: &Change) -> Result<(), Failure> {
        match change.hosted {
            HostedChange::Keep => {}
            HostedChange::Start => {
                if self.hosted.phase() != Phase::Active {
                    self.intent.ap = Some(self.ap_intent()?);
                    self.hosted.enter(Phase::Starting, Reason::UserAction, &mut self.out);
                    // A start of the network starts the service in standalone mode (E1).
                    let full = change.full.as_ref().unwrap_or(&self.intent.full);
                    if full.is_none() {
                        self.intent.standalone = self.standalone_usable();
                        if let Some(failure) = self.dependency_failure() {
                            self.out.push_back(Output::Event(Event::Trouble { failure }));
                        }
                    }
                }
            }
            HostedChange::Stop(reason) => {
                if self.hosted.phase() == Phase::Active {
                    self.hosted.enter(Phase::Stopping, reason, &mut self.out);
                }
                self.intent.ap = None;
                self.intent.standalone = false;
            }
        }
        if let Some(full) = &change.full {
            self.intent.full.clone_from(full);
            if full.is_some() {
                self.intent.standalone = false;
            }
        }
        if change.standalone_off {
            self.intent.standalone = false;
        }
        if let Some(temporary) = &change.temporary {
            self.temporary.clone_from(temporary);
        }
        let (old, new) = (self.shared.mode, mode_of(&self.intent));
        if new == SharingMode::Off && old != SharingMode::Off {
            self.shared.pending = Some(SharingPhase::StopPending);
        } else if new != SharingMode::Off && (new != old || self.shared.pair != self.intent.full) {
            self.shared.pending = Some(SharingPhase::StartPending);
        }
        if let Some(to) = change.renumber {
            self.renumber(to);
        }
        let mut subnets = self.subnets;
        self.choose_subnets(&mut subnets, self.intent.full.is_some(), self.intent.standalone)?;
        self.subnets = subnets;
        Ok(())
    }

    /// Makes sure that the networks which are needed are chosen.
    pub(crate) fn choose_subnets(
        &self,
        subnets: &mut Subnets,
        full: bool,
        standalone: bool,
    ) -> Result<(), Failure> {
        let taken = self.taken();
        let collision = |Collision(subnet, interface): Collision| {
            let by = interface.map_or_else(String::new, |name| format!(" by {name}"));
            Failure::check(
                ErrorCode::SharingAddressExists,
                Reason::Unspecified,
                subnet,
                format!("the network is in use{by}"),
            )
            .with_remedy("configure another subnet")
        };
        if full {
            subnets.choose_full(self.config.full_subnet, &taken).map_err(collision)?;
        }
        if standalone {
            subnets.choose_standalone(self.config.standalone_subnet, &taken).map_err(collision)?;
        }
        Ok(())
    }

    /// What holds of the access point: what was set, and what was configured.
    pub(crate) fn access_point(&self) -> ApSettings {
        self.settings.access_point.or(self.config.access_point)
    }

    /// Decides how the access point will run.
    fn ap_intent(&mut self) -> Result<ApIntent, Failure> {
        let refuse = |refusal: &Refusal| {
            Failure::check(ErrorCode::InvalidState, refusal.reason(), refusal.object(), refusal.cause())
                .with_remedy(refusal.remedy())
        };
        let view = self.radio.as_ref().ok_or_else(|| refuse(&Refusal::NoAdapter))?;
        let radio = radio_plan(view, &self.network, &self.config.radio).map_err(|r| refuse(&r))?;
        let connection = self.settings.connection.as_ref().ok_or_else(|| {
            Failure::check(
                ErrorCode::BadConfiguration,
                Reason::Unspecified,
                "hosted network",
                "it is not configured yet",
            )
        })?;
        let limit = u32::try_from(PEER_LIMIT).unwrap_or(u32::MAX);
        let max_peers = connection.max_peers.min(radio.max_stations.unwrap_or(limit)).clamp(1, limit);
        let ssid = connection.ssid;
        let access = self.access_point();
        let wpa = access.security.unwrap_or_default();
        let lack = radio.lack.or_else(|| {
            let primary = self.settings.primary_key.as_ref();
            primary.is_some_and(|key| !speakable(key)).then_some(Lack::Key)
        });
        // A weaker protection than the one and only that was wished for is nothing to be decided here.
        if wpa == Wpa::Wpa3
            && !self.config.radio.weaker
            && let Some(lack) = lack
        {
            let adapter = view.adapters.iter().find(|adapter| adapter.wiphy == radio.wiphy);
            let adapter = adapter.map(|adapter| adapter.name.clone()).unwrap_or_default();
            return Err(refuse(&Refusal::Protection { adapter, lack }));
        }
        let lack = radio.lack.map(|lack| lack.to_string()).unwrap_or_default();
        let (strongest, lack) = match &self.refused {
            Some(refused) if refused.address == radio.address && refused.wpa <= radio.strongest() => {
                (refused.wpa.weaker().unwrap_or_default(), refused.why.clone())
            }
            Some(_) | None => (radio.strongest(), lack),
        };
        let bssid = match access.address.unwrap_or_default() {
            AddressPolicy::Permanent => radio.address.derived(0),
            AddressPolicy::Stable => stable_address(&self.config.machine_id, ssid.as_bytes()),
            AddressPolicy::Random => {
                let mut bytes = [0; 6];
                self.rng.fill_bytes(&mut bytes);
                MacAddr(bytes).derived(0)
            }
        };
        Ok(ApIntent {
            interface: ap_name(&self.network),
            bssid,
            ssid,
            max_peers,
            radio,
            wpa,
            strongest,
            lack,
            hidden: access.hidden.unwrap_or(false),
            isolated: access.isolated.unwrap_or(false),
        })
    }

    /// A stage has reached its end.
    fn complete(&mut self, mut job: Job, change: &Change) {
        if change.hosted == HostedChange::Start && job.needs_claim && job.callers.is_empty() {
            job.current = Some(Stage::Change(change.clone()));
            self.job = Some(job);
            self.fail_job(Failure::check(
                ErrorCode::InvalidHandle,
                Reason::ClientAbort,
                "session",
                "everybody who wanted the hosted network is gone",
            ));
            return;
        }
        match change.hosted {
            HostedChange::Keep => {}
            HostedChange::Start => {
                if self.hosted.phase() == Phase::Starting {
                    self.hosted.ever_started = true;
                    self.hosted.enter(Phase::Active, Reason::UserAction, &mut self.out);
                }
            }
            HostedChange::Stop(reason) => {
                self.commit_sharing();
                if self.hosted.phase() == Phase::Stopping {
                    self.nobody_holds();
                    let blocker = self.blocker();
                    self.hosted.stopped(reason, blocker, &mut self.out);
                }
                job.before.intent.ap = None;
                job.before.intent.standalone = false;
                job.before.temporary = None;
            }
        }
        self.commit_sharing();
        if matches!(change.full, Some(Some(_)))
            && self.settings.start_types.shared_access == StartType::Disabled
        {
            // Somebody who may do so shared although the part was disabled: it is not any more.
            self.settings.start_types.shared_access = StartType::Manual;
            self.out.push_back(Output::Event(Event::SettingsChanged));
        }
        if change.temporary.is_some() {
            self.out.push_back(Output::Event(Event::SettingsChanged));
        }
        if let Some(first) = job.residue.first()
            && !job.waiting.is_empty()
        {
            // What should have gone has not: nothing is built upon that.
            let failure = first.clone();
            job.before.intent = self.intent.clone();
            self.job = Some(job);
            self.fail_job(failure);
            return;
        }
        self.job = Some(job);
    }

    /// All stages are done.
    fn commit(&mut self, job: Job) {
        let missing = job.callers.iter().any(|caller| caller.claim.needs_hosted())
            && self.hosted.phase() != Phase::Active;
        if missing {
            self.job = Some(job);
            self.fail_job(Failure::check(
                ErrorCode::InvalidState,
                Reason::InterfaceUnavailable,
                "hosted network",
                "it stopped meanwhile",
            ));
            return;
        }
        self.shared.pending = None;
        let outcome = match job.residue.first() {
            None => Ok(Reply::Done),
            Some(first) => {
                let mut failure = first.clone();
                let more = job.residue.get(1..).unwrap_or_default();
                if !more.is_empty() {
                    failure.rollback = job.residue_text();
                }
                Err(failure)
            }
        };
        if job.last {
            self.closed = true;
            for request in self.closing.take().unwrap_or_default() {
                self.out.push_back(Output::Reply { request, result: outcome.clone() });
            }
        } else if job.callers.is_empty()
            && let Err(failure) = &outcome
        {
            self.out.push_back(Output::Event(Event::Trouble { failure: failure.clone() }));
        }
        for caller in job.callers {
            let mut outcome = outcome.clone();
            match caller.claim {
                Claim::Nothing => {}
                Claim::Mapping(id) => outcome = outcome.map(|_| Reply::Mapping(id)),
                Claim::Reference => self.sessions.acquire(caller.session),
                Claim::Forced => self.sessions.force(),
                Claim::Up(record) => {
                    if record.reference {
                        self.sessions.acquire(caller.session);
                    }
                    self.ups.insert(caller.session, record);
                }
            }
            if let Some(request) = caller.request {
                self.out.push_back(Output::Reply { request, result: outcome });
            }
        }
    }

    /// Begins to undo the job under way: what is wanted becomes what was wanted before.
    pub(crate) fn fail_job(&mut self, failure: Failure) {
        let Some(job) = self.job.as_mut().filter(|job| job.failure.is_none()) else {
            return;
        };
        let mut failure = failure;
        // Whatever the step: to those who started the network, the network did not start.
        if self.hosted.phase() == Phase::Starting && failure.reason == Reason::Unspecified {
            failure.reason = Reason::ApStartFailed;
        }
        job.failure = Some(failure);
        job.waiting.clear();
        job.current = None;
        let before = job.before.clone();
        self.intent = before.intent;
        self.temporary = before.temporary;
        self.subnets = before.subnets;
        self.half = before.half;
        self.staged = None;
        if self.settings != before.settings {
            let devices = core::mem::take(&mut self.settings.devices);
            self.settings = before.settings;
            self.out.push_back(Output::Event(Event::SettingsChanged));
            self.announce_devices(&devices);
        }
        self.lanes.unblock();
    }

    /// The lanes have followed back, as far as they can.
    fn finish_failed(&mut self, job: Job) {
        let rollback = job.residue_text();
        let Some(mut failure) = job.failure else {
            return;
        };
        failure.rollback = rollback;
        self.shared.pending = None;
        if self.hosted.phase() == Phase::Starting {
            self.hosted.start_failed(failure.reason, failure.cause.clone(), &mut self.out);
        }
        self.commit_sharing();
        if job.callers.is_empty() && failure.reason != Reason::ClientAbort {
            self.out.push_back(Output::Event(Event::Trouble { failure: failure.clone() }));
        }
        for request in job.callers.into_iter().filter_map(|caller| caller.request) {
            self.out.push_back(Output::Reply { request, result: Err(failure.clone()) });
        }
    }

    /// A driver failed or did not answer in time.
    pub(crate) fn lane_failed(&mut self, lane: Step, errors: &[DriverError], attempts: u32) {
        let reason = match lane {
            Step::Store => Reason::PersistenceFailed,
            Step::Radio => Reason::ApStartFailed,
            Step::Check | Step::Links | Step::Forwarding | Step::Firewall | Step::Services => {
                Reason::Unspecified
            }
        };
        let failure = failure_of(lane, reason, errors);
        let mut first = attempts <= 1;
        let starting = self.job.as_ref().is_some_and(|job| {
            let stage = job.current.as_ref();
            job.failure.is_none() && matches!(stage, Some(Stage::Change(change)) if !change.teardown())
        });
        if lane == Step::Radio && starting && self.weaken(&failure) {
            return;
        }
        if let Some(job) = &mut self.job {
            match (&job.failure, &job.current) {
                (Some(cause), _) => {
                    if !(lane == Step::Store && cause.step == Step::Store) && first {
                        job.residue.push(failure.clone());
                    }
                    first = false;
                }
                (None, Some(Stage::Save { .. })) if lane == Step::Store => return self.fail_job(failure),
                (None, Some(Stage::Change(_))) if lane == Step::Store && !job.last => {}
                (None, Some(Stage::Change(change))) if change.teardown() => {
                    if first {
                        job.residue.push(failure.clone());
                    }
                    first = false;
                    let restoring = matches!(change.full, Some(Some(_)));
                    if restoring && lane != Step::Radio {
                        self.intent.full = None;
                    }
                }
                (None, Some(Stage::Change(_))) => return self.fail_job(failure),
                (None, Some(Stage::Save { .. }) | None) => {}
            }
        }
        if first {
            self.out.push_back(Output::Event(Event::Trouble { failure: failure.clone() }));
        }
        // The one repair that was tried did not help: what should run does not.
        if lane == Step::Radio && attempts >= 2 && self.hosted.phase() == Phase::Active {
            self.hosted.miniport_down = true;
            self.lost(Reason::MiniportStopped, failure.object, failure.cause);
        }
    }

    /// Tries a weaker protection after a start that failed, if that is allowed: drivers advertise what they cannot
    /// do in access-point mode (peers §3, no. 13). The step that worked is kept for the next start. `false`: there
    /// is nothing weaker.
    fn weaken(&mut self, failure: &Failure) -> bool {
        let goal = self.goal();
        if !self.config.radio.weaker || self.hosted.phase() != Phase::Starting {
            return false;
        }
        let (Some(plan), Some(ap)) = (goal.ap, &mut self.intent.ap) else { return false };
        let Some(weaker) = plan.wpa.weaker() else { return false };
        ap.strongest = weaker;
        ap.lack = format!("a start with {} failed: {}", plan.wpa, failure.cause);
        self.refused = Some(Refused { address: ap.radio.address, wpa: plan.wpa, why: ap.lack.clone() });
        self.lanes.unblock();
        true
    }

    /// The access point is gone without anybody having asked for it.
    pub(crate) fn lost(&mut self, reason: Reason, object: String, cause: String) {
        let failure =
            Failure { step: Step::Radio, ..Failure::check(ErrorCode::GenFailure, reason, object, cause) };
        self.lanes.doubt_radio();
        match self.hosted.phase() {
            Phase::Active => {
                self.intent.ap = None;
                self.intent.standalone = false;
                if let Some(job) = &mut self.job {
                    job.before.intent.ap = None;
                    job.before.intent.standalone = false;
                    job.before.temporary = None;
                }
                self.nobody_holds();
                self.hosted.enter(Phase::Unavailable, reason, &mut self.out);
                if self.job.is_none() {
                    self.commit_sharing();
                } else if self.shared.mode == SharingMode::Standalone {
                    self.shared.mode = SharingMode::Off;
                }
                self.out.push_back(Output::Event(Event::Trouble { failure }));
            }
            Phase::Starting => {
                self.fail_job(Failure { reason: Reason::ApStartFailed, ..failure });
            }
            Phase::Stopping | Phase::Idle | Phase::Unavailable => {}
        }
    }

    /// The network is down: references are void and the key for one run is forgotten.
    fn nobody_holds(&mut self) {
        self.sessions.void();
        self.ups.values_mut().chain(&mut self.abandoned).for_each(|record| record.reference = false);
        self.temporary = None;
    }

    /// What is wanted of sharing is what callers see from here on.
    pub(crate) fn commit_sharing(&mut self) {
        self.shared.mode = mode_of(&self.intent);
        self.shared.pair.clone_from(&self.intent.full);
        if self.intent.full.is_none() {
            self.subnets.full = None;
        }
        if !self.intent.standalone {
            self.subnets.standalone = None;
        }
        if self.subnets == Subnets::default() {
            self.moves = Moves::default();
        }
    }

    /// Begins the next job, the service's own before those of callers. `false`: there is none.
    fn next_job(&mut self) -> bool {
        if let Some(stages) = self.own_job() {
            let mut job = Job::new(stages, self.before());
            job.last = self.closing.is_some();
            self.job = Some(job);
            return true;
        }
        if let Some(job) = self.resuming() {
            self.job = Some(job);
            return true;
        }
        let Some(waiting) = self.queue.pop_front() else {
            return false;
        };
        self.begin(waiting);
        true
    }

    /// What the service does of its own accord.
    fn own_job(&mut self) -> Option<alloc::collections::VecDeque<Stage>> {
        let change = if self.closing.is_some() {
            Change {
                full: Some(None),
                standalone_off: true,
                ..Change::hosted(HostedChange::Stop(Reason::ServiceShuttingDown))
            }
        } else if let Some(record) = self.abandoned.pop_front() {
            return Some(self.undo_up(&record, Reason::ClientAbort));
        } else if self.policy.sharing == Some(false) && mode_of(&self.intent) != SharingMode::Off {
            Change { standalone_off: true, ..Change::sharing(None) }
        } else if let Some(change) = self.renumbering() {
            change
        } else if self.hosted.phase() == Phase::Active {
            let reason = if self.policy.hosted_network == Some(false) {
                Reason::GpDenied
            } else if let Some(blocker) = self.rest.blocker() {
                blocker.reason
            } else if let Some(refusal) = self.running_refusal() {
                refusal.reason()
            } else if !self.sessions.wanted() {
                Reason::ClientAbort
            } else {
                return None;
            };
            Change::hosted(HostedChange::Stop(reason))
        } else {
            return None;
        };
        Some([Stage::Change(change)].into())
    }
}
