//! The composition: inputs go to the machines, then everything is brought to rest.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec,
    vec::Vec,
};

use hn_types::{
    DriverError, DriverErrorKind, ErrorCode, Failure, IfName, Key, Monotonic, Now, Reason, Step,
    StoredSettings, Subnet4,
    network::NetworkView,
    observed::{ApEvent, Counter, MovedPort, PlatformEvent, ServiceEvent, ServiceTrouble},
    part::{MissingDependency, StartType},
    plan::LinkAddress,
    radio::{RadioView, channel_of},
    settings::{Policy, PublicChoice, SharingPair},
    view::{Event, SharingMode, SharingPhase, SharingView},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{
    command::{Actor, Command, RequestId, SessionId},
    config::Config,
    control::{Accounts, Kick, device_plan},
    devices::Devices,
    effect::{EffectDone, EffectId, Output},
    follow::{Moving, RadarCheck},
    guard::Guard,
    hosted::{Blocker, Hosted, Phase},
    ipv6::Upstream,
    job::{Claim, Job, UpRecord},
    keys,
    lane::Finished,
    lanes::Lanes,
    names::Names,
    plan::{self, Intent, Surroundings, SystemPlan, public_side},
    portmap::Portmap,
    radio::{self, Refusal, radio_plan},
    refusals::refusals,
    renumber::Moves,
    roles::Half,
    sessions::Sessions,
    sleep::Rest,
    steering::{Former, Seal},
    subnet::Subnets,
    transact::Refused,
};

/// Addresses of ours that are remembered.
const OWN_ADDRESSES: usize = 16;

/// Sharing as callers may rely on it: what the last finished transaction left.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) mode: SharingMode,
    pub(crate) pair: Option<SharingPair>,
    /// A transaction is changing it.
    pub(crate) pending: Option<SharingPhase>,
}

/// A command that waits for the one before it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) actor: Actor,
    pub(crate) command: Command,
}

/// All machines of hostednet behind one face.
///
/// After every `handle_*`, drain [`Core::poll_output`]; then wait for the next input or for
/// [`Core::poll_timeout`].
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) policy: Policy,
    pub(crate) radio: Option<RadioView>,
    pub(crate) network: NetworkView,
    pub(crate) settings: StoredSettings,
    /// On its way to the disk.
    pub(crate) staged: Option<StoredSettings>,
    /// A secondary key for one run of the network.
    pub(crate) temporary: Option<Key>,
    pub(crate) hosted: Hosted,
    pub(crate) sessions: Sessions,
    pub(crate) ups: BTreeMap<SessionId, UpRecord>,
    /// What sessions that are gone did with `up`.
    pub(crate) abandoned: VecDeque<UpRecord>,
    pub(crate) intent: Intent,
    pub(crate) shared: Shared,
    /// What connections are to be while one side of a pair is missing.
    pub(crate) half: Half,
    pub(crate) subnets: Subnets,
    former: Former,
    seal: Seal,
    pub(crate) moves: Moves,
    pub(crate) devices: Devices,
    pub(crate) portmap: Portmap,
    pub(crate) accounts: Accounts,
    /// Associations that somebody wants ended.
    pub(crate) kicks: VecDeque<Kick>,
    pub(crate) troubles: BTreeMap<ServiceTrouble, String>,
    /// What the servers refused, by reason.
    pub(crate) unserved: Vec<Counter>,
    /// The protection with which the last start of an adapter failed.
    pub(crate) refused: Option<Refused>,
    /// A station that is about to move.
    pub(crate) moving: Option<Moving>,
    /// The access point moved by itself; whether the station did too is not known before the next view.
    pub(crate) moved_itself: bool,
    /// Radar that is listened for.
    pub(crate) listening: Option<RadarCheck>,
    /// What the uplink gives for IPv6.
    pub(crate) upstream: Upstream,
    /// Firewall rules that others took away.
    pub(crate) guard: Guard,
    pub(crate) names: Names,
    /// Why DNS does not answer, when it does not.
    pub(crate) dns_down: Option<String>,
    /// Ports of the name server that are not 53, because another program holds that, and who does.
    pub(crate) dns_moved: (Vec<MovedPort>, String),
    /// The WLAN part runs.
    pub(crate) wlan: bool,
    /// The SharedAccess part was started for itself: it runs even while nothing is shared.
    pub(crate) shared_access: bool,
    /// What the SharedAccess part cannot do without and is not there.
    pub(crate) missing: Vec<MissingDependency>,
    /// Somebody asked for the end; these wait for it.
    pub(crate) closing: Option<Vec<RequestId>>,
    pub(crate) closed: bool,
    /// Whether the machine sleeps, and what comes after.
    pub(crate) rest: Rest,
    pub(crate) lanes: Lanes,
    pub(crate) job: Option<Job>,
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) out: VecDeque<Output>,
    /// Addresses this core configured lately: a network view that is a little old may still show them.
    pub(crate) own_addresses: VecDeque<LinkAddress>,
    switches: Option<(bool, bool)>,
    published: SharingView,
    segment: Option<(IfName, Subnet4)>,
    poll_at: Option<Monotonic>,
    /// Of the last input.
    pub(crate) now: Now,
}

impl Core {
    /// A core that assumes that nothing of ours is on the system and that `stored` is what is on disk.
    /// `seed` feeds names and keys: 32 bytes from the system's generator.
    pub fn new(config: Config, stored: StoredSettings, seed: [u8; 32], now: Now) -> Self {
        let lanes = Lanes::new(stored.clone(), config.deadlines);
        let start_types = stored.start_types;
        let accounts = Accounts::new(&stored);
        let mut core = Self {
            config,
            rng: ChaCha20Rng::from_seed(seed),
            policy: Policy::default(),
            radio: None,
            network: NetworkView::default(),
            settings: stored,
            staged: None,
            temporary: None,
            hosted: Hosted::new(),
            sessions: Sessions::default(),
            ups: BTreeMap::new(),
            abandoned: VecDeque::new(),
            intent: Intent::default(),
            shared: Shared::default(),
            half: Half::default(),
            subnets: Subnets::default(),
            former: Former::default(),
            seal: Seal::default(),
            moves: Moves::default(),
            devices: Devices::default(),
            portmap: Portmap::default(),
            accounts,
            kicks: VecDeque::new(),
            troubles: BTreeMap::new(),
            unserved: Vec::new(),
            refused: None,
            moving: None,
            moved_itself: false,
            listening: None,
            upstream: Upstream::default(),
            guard: Guard::default(),
            names: Names::default(),
            dns_down: None,
            dns_moved: (Vec::new(), String::new()),
            wlan: start_types.wlan == StartType::Automatic,
            shared_access: start_types.shared_access == StartType::Automatic,
            missing: Vec::new(),
            closing: None,
            closed: false,
            rest: Rest::default(),
            lanes,
            job: None,
            queue: VecDeque::new(),
            out: VecDeque::new(),
            own_addresses: VecDeque::new(),
            switches: None,
            published: SharingView::default(),
            segment: None,
            poll_at: None,
            now,
        };
        core.settle(now);
        core
    }

    /// A client connected. Beyond [`crate::Limits::sessions`] its commands are refused.
    pub fn handle_session_opened(&mut self, session: SessionId, now: Now) {
        self.sessions.open(session, self.config.limits.sessions);
        self.settle(now);
    }

    /// A client is gone, whatever the cause: its references, its waiting commands and its `up` go with it.
    pub fn handle_session_closed(&mut self, session: SessionId, now: Now) {
        self.sessions.close(session);
        self.queue.retain(|waiting| waiting.actor.session != session);
        if let Some(job) = &mut self.job {
            for caller in job.callers.iter_mut().filter(|caller| caller.session == session) {
                caller.request = None;
            }
            // A forced start is not tied to any session.
            job.callers.retain(|caller| caller.request.is_some() || caller.claim == Claim::Forced);
        }
        if let Some(record) = self.ups.remove(&session) {
            self.abandoned.push_back(record);
        }
        self.settle(now);
    }

    /// A client asks. Answered by exactly one [`Output::Reply`] unless its session closes first.
    pub fn handle_command(&mut self, request: RequestId, actor: Actor, command: Command, now: Now) {
        self.now = now;
        self.accept(request, actor, command, now);
        self.settle(now);
    }

    /// The platform reports.
    pub fn handle_platform_event(&mut self, event: PlatformEvent, now: Now) {
        match event {
            PlatformEvent::Radio(view) => self.radio_changed(view),
            PlatformEvent::Network(view) => {
                self.lanes.check_steering(&view);
                self.check_names(&view, now.mono);
                self.network = view;
            }
            PlatformEvent::Ap(event) => self.ap_event(event, now.mono),
            PlatformEvent::Service(event) => self.service_event(event),
            PlatformEvent::PortMap { request, served } => self.portmap_asked(request, served),
            PlatformEvent::FirewallLost { cause } => self.firewall_lost(cause, now.mono),
            PlatformEvent::FirewallBlocked(obstacles) => self.firewall_blocked(obstacles, now.mono),
            PlatformEvent::Sleep(sleep) => self.slept(sleep),
        }
        self.settle(now);
    }

    /// An effect was carried out or failed; the errors say why, most telling first.
    ///
    /// An answer after the deadline does not count, but makes the core apply again what should hold.
    pub fn handle_effect_done(
        &mut self,
        id: EffectId,
        outcome: Result<EffectDone, Vec<DriverError>>,
        now: Now,
    ) {
        self.kicked(id, &outcome);
        if self.lanes.was_counting(id) {
            self.count_answered(outcome, now.mono);
        } else if let Some(finished) = self.lanes.finish(id, outcome, now.mono) {
            self.effect_finished(finished, now.mono);
        }
        self.settle(now);
    }

    /// The administrator decided anew. Beats what users say.
    pub fn handle_policy(&mut self, policy: Policy, now: Now) {
        if policy.sharing == Some(false) {
            self.shared_access = false;
        }
        self.policy = policy;
        self.settle(now);
    }

    /// What the SharedAccess part depends on was looked for; this is not there. Decides whether sharing may begin;
    /// sharing that runs goes on.
    pub fn handle_dependencies(&mut self, missing: Vec<MissingDependency>, now: Now) {
        self.missing = missing;
        self.settle(now);
    }

    /// The time of [`Core::poll_timeout`] has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, now: Now) {
        for finished in self.lanes.expire(now.mono) {
            self.effect_finished(finished, now.mono);
        }
        self.expire_kicks();
        self.count_if_due(now.mono);
        if self.poll_at.is_some_and(|at| at <= now.mono) {
            self.poll_at = Some(now.mono + self.config.station_poll);
            self.lanes.poll_stations(now.mono, &mut self.out);
        }
        self.settle(now);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Core::handle_timeout`] is wanted and what for. `None` while idle: no clock runs then.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        let poll = self.poll_at.map(|at| (at, "station poll"));
        let mapping = self.portmap_ends().map(|at| (at, "end of a port mapping"));
        let wakes = [self.lanes.wake(), poll, mapping, self.accounts.wake()];
        wakes.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What should hold on the system at this moment. For tests and the log: the executor needs only
    /// the effects.
    pub fn goal(&self) -> SystemPlan {
        let host_name =
            if self.network.host_name.is_empty() { &self.config.host_name } else { &self.network.host_name };
        let around = Surroundings {
            network: &self.network,
            keys: keys::key_set(&self.settings, self.temporary.as_ref(), &self.hosted),
            reservations: &self.settings.reservations,
            denied: keys::denied(&self.settings),
            subnets: self.subnets,
            domain: &self.config.domain,
            lease_time: self.lease_time(),
            moves: self.moves.count,
            host_name,
            machine_id: &self.config.machine_id,
            mappings: &self.settings.mappings,
            devices: &self.devices,
            upstream: &self.upstream,
            isolate_from: &self.config.isolate_from,
            portmap: &self.portmap,
            port_mapping: self.config.port_mapping.protocols,
            moved: &self.dns_moved.0,
            // Whoever ends the service opens what it closed.
            closed: if self.closing.is_some() || self.closed { &[] } else { &self.settings.firewalled },
            former: &self.former,
            seal: &self.seal,
        };
        let mut goal = plan::goal(&self.intent, &around);
        goal.firewall.devices =
            device_plan(&goal, &self.accounts.rules(&self.settings.devices), &self.network);
        goal
    }

    /// Brings everything to rest: availability, effects, transactions, waiting commands.
    fn settle(&mut self, now: Now) {
        self.now = now;
        self.renew_quotas(now);
        loop {
            self.refresh();
            self.store_usage(now.mono);
            self.follow(now.mono);
            self.refresh_portmap(now.mono);
            let rung = self.intent.full.as_ref().and_then(|pair| self.rung(pair));
            self.upstream.follow(rung.as_ref(), now.mono);
            let full = self.intent.full.as_ref();
            let public = full.and_then(|pair| public_side(pair, &self.network));
            self.former.note(public, full.is_some());
            let chosen = full.and_then(|pair| match pair.public {
                PublicChoice::Interface(name) => Some(name),
                PublicChoice::Auto => public,
            });
            self.seal.note(chosen, &self.network);
            let goal = self.goal();
            if self.follow_portmap(&goal, now.mono) {
                continue;
            }
            self.rest_guard(&goal);
            let segment = goal.services.segment.as_ref().map(|segment| (segment.interface, segment.address));
            if segment != self.segment {
                self.segment = segment;
                self.devices.clear();
                self.troubles.clear();
                self.dns_down = None;
                self.dns_moved = (Vec::new(), String::new());
            }
            for address in &goal.links.addresses {
                if !self.own_addresses.contains(address) {
                    self.own_addresses.truncate(OWN_ADDRESSES - 1);
                    self.own_addresses.push_front(*address);
                }
            }
            let store = self.staged.as_ref().unwrap_or(&self.settings);
            self.lanes.drive(&goal, store, now.mono, &mut self.out);
            if !self.progress(&goal) && !self.answer_portmap(&goal, now.mono) {
                break;
            }
        }
        self.drive_kicks(now.mono);
        self.schedule_counting(now.mono);
        let polling = self.hosted.phase() == Phase::Active
            && !self.hosted.peers().is_empty()
            && !self.config.station_poll.is_zero();
        self.poll_at =
            if polling { self.poll_at.or(Some(now.mono + self.config.station_poll)) } else { None };
        let sharing = self.sharing_view();
        if sharing != self.published {
            self.published = sharing.clone();
            self.out.push_back(Output::Event(Event::SharingChanged { sharing }));
        }
    }

    /// Availability, while nothing is under way.
    fn refresh(&mut self) {
        if self.hosted.miniport_down && self.lanes.ap_gone() {
            self.hosted.miniport_down = false;
        }
        if matches!(self.hosted.phase(), Phase::Idle | Phase::Unavailable) {
            let blocker = self.blocker();
            self.hosted.set_blocker(blocker, &mut self.out);
        }
    }

    /// Whether user and policy allow the hosted network.
    pub(crate) fn allowed(&self) -> bool {
        self.policy.hosted_network.or(self.settings.enabled).unwrap_or(true)
    }

    /// What stands in the way of the hosted network.
    pub(crate) fn blocker(&self) -> Option<Blocker> {
        let blocker = |reason, end, cause: &str, remedy: &str| {
            let object = "hosted network".into();
            Some(Blocker { reason, end, object, cause: cause.into(), remedy: remedy.into() })
        };
        if self.closing.is_some() || self.closed {
            return blocker(
                Reason::ServiceShuttingDown,
                Reason::InterfaceAvailable,
                "the service is shutting down",
                "",
            );
        }
        if !self.wlan {
            return blocker(
                Reason::ServiceShuttingDown,
                Reason::InterfaceAvailable,
                "the WLAN part of the service is stopped",
                "run `hostednet service start wlan`",
            );
        }
        if self.policy.hosted_network == Some(false) {
            return blocker(
                Reason::GpDenied,
                Reason::InterfaceAvailable,
                "the administrator's policy forbids the hosted network",
                "ask the administrator to change policy.toml",
            );
        }
        if !self.allowed() {
            return blocker(
                Reason::UserAction,
                Reason::UserAction,
                "the hosted network is not allowed",
                "run `hostednet allow`",
            );
        }
        if let Some(blocker) = self.rest.blocker() {
            return Some(blocker);
        }
        if self.hosted.miniport_down {
            return blocker(
                Reason::MiniportStopped,
                Reason::MiniportStarted,
                "the access point went away by itself and is being cleared away",
                "",
            );
        }
        let Some(view) = &self.radio else {
            return blocker(
                Reason::InterfaceUnavailable,
                Reason::InterfaceAvailable,
                "the adapters are not known yet",
                "",
            );
        };
        let refusal = radio_plan(view, &self.network, &self.config.radio).err()?;
        Some(Blocker {
            reason: refusal.reason(),
            end: refusal.end(),
            object: refusal.object(),
            cause: refusal.cause(),
            remedy: refusal.remedy().into(),
        })
    }

    /// Why the access point that runs cannot go on, if so.
    pub(crate) fn running_refusal(&self) -> Option<Refusal> {
        let (view, ap) = (self.radio.as_ref()?, self.intent.ap.as_ref()?);
        radio::running_refusal(view, &self.network, ap.radio.wiphy)
    }

    fn radio_changed(&mut self, view: RadioView) {
        let switches = radio::switches(&view);
        if let Some((software_on, hardware_on)) = switches {
            if self.switches.is_some() && self.switches != switches {
                self.out.push_back(Output::Event(Event::RadioChanged { software_on, hardware_on }));
            }
            self.switches = switches;
        }
        self.radio = Some(view);
        self.moved_itself = false;
        if let Some(refusal) = self.running_refusal()
            && matches!(refusal, Refusal::NoAdapter | Refusal::RadioOff { .. })
        {
            self.lost(refusal.reason(), refusal.object(), refusal.cause());
        }
    }

    fn ap_event(&mut self, event: ApEvent, now: Monotonic) {
        match event {
            ApEvent::StationJoined { mac, key } => {
                let secondary = keys::secondary(&self.settings, self.temporary.as_ref());
                let secondary = secondary.as_ref().map(|secondary| &secondary.key);
                self.hosted.joined(mac, key, secondary, now, &mut self.out);
                self.devices.joined(mac, key);
            }
            ApEvent::StationLeft { mac, timed_out } => self.hosted.left(mac, timed_out, &mut self.out),
            ApEvent::KeyMismatch { mac } => self.hosted.mismatch(mac, now, &mut self.out),
            ApEvent::StationStats(all) => self.hosted.stats(&all),
            ApEvent::ChannelChanged { frequency_mhz } => {
                if let (Some(ap), Some(channel)) = (&mut self.intent.ap, channel_of(frequency_mhz)) {
                    ap.radio.frequency_mhz = frequency_mhz;
                    ap.radio.channel = channel;
                    if let Some(before) = self.job.as_mut().and_then(|job| job.before.intent.ap.as_mut()) {
                        before.radio.frequency_mhz = frequency_mhz;
                        before.radio.channel = channel;
                    }
                    self.moved_itself = true;
                    self.lanes.ap_moved(frequency_mhz, channel);
                    if let Some(running) = &mut self.hosted.running
                        && running.frequency_mhz != frequency_mhz
                    {
                        running.frequency_mhz = frequency_mhz;
                        if self.hosted.phase() == Phase::Active {
                            self.channel_changed(frequency_mhz);
                        }
                    }
                }
            }
            ApEvent::StationMoving { interface, frequency_mhz } => {
                self.station_moving(interface, frequency_mhz, now);
            }
            ApEvent::RadarCheck { frequency_mhz, seconds } => self.radar_check(frequency_mhz, seconds, now),
            ApEvent::Lost { cause } => {
                if self.lanes.ap_starting() {
                    // The answer to the start is on its way; it will not be true any more.
                    self.hosted.lost_in_start = Some(cause);
                    self.lanes.doubt_radio();
                } else if self.intent.ap.is_some() {
                    self.hosted.miniport_down = self.hosted.phase() == Phase::Active;
                    self.lost(Reason::MiniportStopped, "access point".into(), cause);
                }
            }
        }
    }

    fn service_event(&mut self, event: ServiceEvent) {
        let limit = self.config.limits.devices;
        match event {
            ServiceEvent::LeaseBound(lease) => {
                self.portmap_lease(lease.address, Some(lease.mac));
                self.devices.bound(lease, &self.hosted, limit, &mut self.out);
            }
            ServiceEvent::LeaseEnded { mac, address } => {
                if self.devices.holder(address).is_none_or(|holder| holder == mac) {
                    self.portmap_lease(address, None);
                }
                self.devices.ended(mac, address, &mut self.out);
            }
            ServiceEvent::Leases { leases, more, first } => {
                self.devices.list(leases, first, more, &self.hosted, limit);
                self.portmap_leases();
            }
            ServiceEvent::DnsMoved { moved, cause } => {
                if !cause.is_empty() && self.dns_moved.1 != cause {
                    self.trouble("DNS", &cause);
                }
                self.dns_moved = (moved, cause);
            }
            ServiceEvent::Dns { serving: true, .. } => self.dns_down = None,
            ServiceEvent::Dns { serving: false, cause } => {
                if self.dns_down.as_ref() != Some(&cause) {
                    self.trouble("DNS", &cause);
                    self.dns_down = Some(cause);
                }
            }
            ServiceEvent::Trouble { kind, cause } => {
                if cause.is_empty() {
                    self.troubles.remove(&kind);
                } else if self.troubles.get(&kind) != Some(&cause) {
                    self.trouble("DHCP and DNS", &cause);
                    self.troubles.insert(kind, cause);
                }
            }
            ServiceEvent::WorkerLost { cause } => {
                self.portmap_worker_lost();
                self.trouble("worker", &cause);
            }
            ServiceEvent::Uplink6(given) => self.upstream.report(given),
            // To be shown; nothing is decided by them.
            ServiceEvent::Counters(counters) => {
                self.unserved = refusals(counters);
                self.portmap_counted(self.unserved.clone());
            }
        }
    }

    fn trouble(&mut self, object: &str, cause: &str) {
        let failure = Failure {
            step: Step::Services,
            ..Failure::check(ErrorCode::GenFailure, Reason::Unspecified, object, cause)
        };
        self.out.push_back(Output::Event(Event::Trouble { failure }));
    }

    fn effect_finished(&mut self, finished: Finished, now: Monotonic) {
        let mut finished = finished;
        if finished.lane == Step::Radio {
            self.listening = None;
        }
        if finished.lane == Step::Radio
            && let Some(cause) = self.hosted.lost_in_start.take()
            && finished.result.is_ok()
        {
            let error =
                DriverError::new(DriverErrorKind::Gone, "keep the access point running", "radio", cause);
            finished.result = Err(vec![error]);
        }
        match finished.result {
            Ok(EffectDone::ApStarted(started)) => {
                let other = self.hosted.running.is_some_and(|running| running.index != started.index);
                if other && self.hosted.phase() == Phase::Active {
                    // A repair had to make it anew.
                    self.hosted.clear_peers(&mut self.out);
                }
                let before = self.hosted.running.replace(started).map(|running| running.frequency_mhz);
                if self.hosted.phase() == Phase::Active
                    && before.is_some_and(|before| before != started.frequency_mhz)
                {
                    self.channel_changed(started.frequency_mhz);
                }
            }
            Ok(EffectDone::Counted(counts)) => {
                self.firewall_applied();
                self.counted(&counts, now);
            }
            Ok(EffectDone::Done) => {
                if finished.lane == Step::Firewall {
                    self.firewall_applied();
                }
                if finished.ap_stopped && self.hosted.phase() == Phase::Active {
                    // Made anew inside a transaction: stations come back by themselves.
                    self.hosted.clear_peers(&mut self.out);
                    self.hosted.running = None;
                }
            }
            Err(errors) => self.lane_failed(finished.lane, &errors, finished.attempts),
        }
    }
}
