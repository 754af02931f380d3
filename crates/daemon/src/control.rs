//! The control loop: the one owner of the core.
//!
//! It feeds the core one input, drains every output, and waits: for a request of a session, the outcome of
//! an effect, something the platform observed, a deadline, or a signal. It never awaits an effect or a
//! subscriber, so no call can block another one.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use hn_core::{Actor, Command, Core, Output, Reply, RequestId, SessionId};
use hn_ipc::args::ConnectionView;
use hn_ports::EventSink;
use hn_types::{
    ErrorCode, Failure, Now, Reason,
    observed::{ApEvent, PlatformEvent},
    settings::Policy,
    view::{Event, NumberedEvent, Snapshot},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use crate::{
    clock,
    doctor::{self, Doctor},
    lanes::{Executor, Outcome},
};

/// Requests of all sessions that may wait for the loop.
pub const REQUEST_QUEUE: usize = 1_024;

/// Events a subscriber may have waiting before it is told to resync.
const SUBSCRIBER_QUEUE: usize = 256;

/// Platform events that may wait for the loop; more than stations and leases can produce at once.
const PLATFORM_QUEUE: usize = 8_192;

/// What a session, or the process itself, wants of the loop.
#[derive(Debug)]
pub enum Request {
    /// A session began.
    Opened(SessionId),
    /// A session ended; what it held is released.
    Closed(SessionId),
    /// A command of the contract.
    Command {
        /// Who asks.
        actor: Actor,
        /// What.
        command: Box<Command>,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Reply, Failure>>,
    },
    /// Everything at this moment.
    Status(oneshot::Sender<Snapshot>),
    /// Every connection.
    Connections(oneshot::Sender<Vec<ConnectionView>>),
    /// Why a device, or any, is not online.
    Diagnose {
        /// Its link-layer address, IPv4 address or name.
        device: Option<String>,
        /// Where the answer goes.
        answer: doctor::Answer,
    },
    /// Events from here on.
    Subscribe {
        /// Of which session.
        session: SessionId,
        /// The number of the last event before, the snapshot, and the events after.
        answer: oneshot::Sender<(u64, Snapshot, mpsc::Receiver<NumberedEvent>)>,
    },
    /// The administrator's policy was read again.
    Policy(Policy),
    /// Everything is undone, then the loop ends.
    Shutdown,
}

/// Requests for port mappings among them.
const PORTMAPS: usize = 256;
/// Their kind.
const PORTMAP: u8 = u8::MAX;

/// The queue between drivers and the loop. Complete views replace older ones of their kind.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    queue: Rc<RefCell<VecDeque<PlatformEvent>>>,
    wake: Rc<Notify>,
}

impl Observed {
    /// The sink drivers report into.
    pub fn sink(&self) -> EventSink {
        let this = self.clone();
        EventSink::new(move |event| this.push(event))
    }

    fn push(&self, event: PlatformEvent) {
        let mut queue = self.queue.borrow_mut();
        let kind = |event: &PlatformEvent| match event {
            PlatformEvent::Radio(_) => 1,
            PlatformEvent::Network(_) => 2,
            PlatformEvent::Ap(ApEvent::StationStats(_)) => 3,
            PlatformEvent::FirewallLost { .. } => 4,
            PlatformEvent::FirewallBlocked(_) => 5,
            PlatformEvent::Ap(_) | PlatformEvent::Service(_) | PlatformEvent::Sleep(_) => 0,
            PlatformEvent::PortMap { .. } => PORTMAP,
        };
        let same = kind(&event);
        if same == PORTMAP {
            // Devices ask again; nothing else must be lost for them.
            if queue.iter().filter(|waiting| kind(waiting) == PORTMAP).count() >= PORTMAPS {
                return;
            }
        } else if same != 0 {
            queue.retain(|waiting| kind(waiting) != same);
        }
        if queue.len() >= PLATFORM_QUEUE {
            queue.pop_front();
            tracing::error!("the queue of platform events is full; the oldest is lost");
        }
        queue.push_back(event);
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<PlatformEvent> {
        self.queue.borrow_mut().pop_front()
    }
}

#[derive(Debug)]
struct Subscriber {
    events: mpsc::Sender<NumberedEvent>,
    lagging: bool,
}

/// The loop's state.
#[derive(Debug)]
pub struct Control {
    core: Core,
    executor: Executor,
    doctor: Doctor,
    answers: HashMap<RequestId, oneshot::Sender<Result<Reply, Failure>>>,
    subscribers: BTreeMap<SessionId, Subscriber>,
    next_request: u64,
    sequence: u64,
    shutdown: Option<RequestId>,
}

impl Control {
    /// A loop around `core`.
    pub fn new(core: Core, executor: Executor) -> Self {
        let doctor = Doctor::start(executor.examiner().clone());
        Self {
            core,
            executor,
            doctor,
            answers: HashMap::new(),
            subscribers: BTreeMap::new(),
            next_request: 0,
            sequence: 0,
            shutdown: None,
        }
    }

    /// Runs until a [`Request::Shutdown`] is answered. Returns what could not be undone.
    pub async fn run(
        mut self,
        observed: Observed,
        mut requests: mpsc::Receiver<Request>,
        mut outcomes: mpsc::UnboundedReceiver<Outcome>,
    ) -> Result<(), Failure> {
        loop {
            if let Some(result) = self.drain() {
                return result;
            }
            if let Some(event) = observed.pop() {
                self.core.handle_platform_event(event, clock::now());
                continue;
            }
            let deadline = self
                .core
                .poll_timeout()
                .map(|(at, _)| Instant::now() + at.since(clock::now().mono).max(Duration::from_micros(1)));
            tokio::select! {
                biased;
                Some((id, outcome)) = outcomes.recv() => {
                    self.core.handle_effect_done(id, outcome, clock::now());
                }
                () = observed.wake.notified() => {}
                request = requests.recv() => match request {
                    Some(request) => self.handle_request(request, clock::now()),
                    None => self.begin_shutdown(clock::now()),
                },
                () = sleep_until(deadline) => self.core.handle_timeout(clock::now()),
            }
        }
    }

    /// Everything, with the neighbours of this moment.
    fn snapshot(&self, now: Now) -> Snapshot {
        let mut snapshot = self.core.snapshot(now);
        let found = self.executor.neighbours().found().into_iter();
        snapshot.neighbours = found.map(|neighbour| neighbour.view(&snapshot.sharing)).collect();
        snapshot
    }

    fn handle_request(&mut self, request: Request, now: Now) {
        match request {
            Request::Opened(session) => self.core.handle_session_opened(session, now),
            Request::Closed(session) => {
                self.subscribers.remove(&session);
                self.core.handle_session_closed(session, now);
            }
            Request::Command { actor, command, answer } => {
                let id = self.request_id();
                self.answers.insert(id, answer);
                if command.needs_dependencies() {
                    self.core.handle_dependencies(self.executor.dependencies().missing(), now);
                }
                self.core.handle_command(id, actor, *command, now);
            }
            Request::Status(answer) => {
                let _ = answer.send(self.snapshot(now));
            }
            Request::Connections(answer) => {
                let links = self.executor.stations().read();
                let rows = self.core.connections().into_iter().map(|mut row| {
                    if let Some(station) = row.station.as_mut().filter(|station| station.connected) {
                        station.link = links.get(&row.name).copied();
                    }
                    connection_view(row)
                });
                let _ = answer.send(rows.collect());
            }
            Request::Diagnose { device, answer } => match self.core.case(device.as_deref(), now) {
                Ok(case) => self.doctor.examine(case, answer),
                Err(failure) => {
                    let _ = answer.send(Err(failure));
                }
            },
            Request::Subscribe { session, answer } => {
                let (events, receiver) = mpsc::channel(SUBSCRIBER_QUEUE);
                if answer.send((self.sequence, self.snapshot(now), receiver)).is_ok() {
                    self.subscribers.insert(session, Subscriber { events, lagging: false });
                }
            }
            Request::Policy(policy) => self.core.handle_policy(policy, now),
            Request::Shutdown => self.begin_shutdown(now),
        }
    }

    fn begin_shutdown(&mut self, now: Now) {
        if self.shutdown.is_none() {
            let id = self.request_id();
            self.shutdown = Some(id);
            self.core.handle_command(id, Actor::service(SessionId(0)), Command::Shutdown, now);
        }
    }

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Carries out every output. `Some` once the shutdown is answered.
    fn drain(&mut self) -> Option<Result<(), Failure>> {
        let mut ended = None;
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Effect { id, effect } => self.executor.execute(id, effect),
                Output::Reply { request, result } => {
                    if self.shutdown == Some(request) {
                        ended = Some(result.map(|_| ()));
                    } else if let Some(answer) = self.answers.remove(&request) {
                        // A session that is gone does not want its answer.
                        let _ = answer.send(result);
                    }
                }
                Output::Event(event) => self.publish(event),
            }
        }
        ended
    }

    fn publish(&mut self, event: Event) {
        self.sequence += 1;
        log(&event);
        let time = clock::now().wall.to_rfc3339();
        let event = NumberedEvent { sequence: self.sequence, time: time.clone(), event };
        self.subscribers.retain(|_, subscriber| {
            // One slot is kept for the mark that says that events are missing.
            if subscriber.events.capacity() > 1 {
                subscriber.lagging = false;
                return subscriber.events.try_send(event.clone()).is_ok();
            }
            if !subscriber.lagging {
                subscriber.lagging = true;
                let mark =
                    NumberedEvent { sequence: self.sequence, time: time.clone(), event: Event::Resync };
                return subscriber.events.try_send(mark).is_ok();
            }
            !subscriber.events.is_closed()
        });
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Log levels are policy: what an administrator must know is a warning, what a device does is debug.
fn log(event: &Event) {
    match event {
        Event::StateChanged { old, new, reason } => {
            tracing::info!(old = old.as_str(), new = new.as_str(), %reason, "hosted network");
        }
        Event::SharingChanged { sharing } => {
            tracing::info!(mode = sharing.mode.as_str(), phase = sharing.phase.as_str(), "sharing");
        }
        Event::Trouble { failure } => tracing::warn!(%failure, remedy = failure.remedy, "trouble"),
        Event::ChannelChanged { channel, frequency_mhz, following } => {
            tracing::info!(channel, frequency_mhz, ?following, "the access point moved");
        }
        Event::RadarCheck { channel, seconds } => {
            tracing::info!(channel, seconds, "radar is listened for");
        }
        Event::RadioChanged { software_on, hardware_on } => {
            tracing::info!(software_on, hardware_on, "radio switch");
        }
        Event::QuotaExhausted { mac, bytes } => tracing::info!(%mac, bytes, "quota used up"),
        Event::QuotaRenewed { mac } => tracing::info!(%mac, "quota begins anew"),
        Event::DeviceChanged { mac, .. } => tracing::info!(%mac, "decided about a device"),
        Event::PeerJoined { .. }
        | Event::PeerLeft { .. }
        | Event::PeerRefused { .. }
        | Event::LeaseBound { .. }
        | Event::LeaseEnded { .. }
        | Event::SettingsChanged
        | Event::Resync => tracing::debug!(?event, "event"),
    }
}

/// What a session is told when the loop is gone.
pub fn ending() -> Failure {
    Failure::check(
        ErrorCode::ServiceNotActive,
        Reason::ServiceShuttingDown,
        "hostednetd",
        "the service is shutting down",
    )
}

fn connection_view(view: hn_core::ConnectionView) -> ConnectionView {
    ConnectionView {
        name: view.name.as_str().to_owned(),
        guid: view.guid,
        media: view.media,
        wireless: view.wireless,
        status: view.status.as_str().to_owned(),
        shared: view.role != hn_core::ConnectionRole::None,
        role: view.role.as_str().to_owned(),
        sharable: view.not_sharable.is_none(),
        detail: view.not_sharable.unwrap_or_default(),
        hosted_network: view.hosted_network,
        default_route: view.default_route,
        station: view.station,
        incoming_only: view.incoming_only,
        bridged: view.bridged,
        firewalled: view.firewalled,
        device: view.device.to_owned(),
    }
}
