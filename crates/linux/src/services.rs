//! The services lane: the unprivileged worker process, what it is handed, and what becomes of it.
//!
//! [`LinuxServices::open`] starts the worker at once, ahead of need, so that serving a segment costs one message.
//! A local task, the supervisor, owns the process and its channel from then on; it waits for plans, for
//! messages, for the worker's end and for its own deadlines, and ends when the lane is dropped, killing the worker.
//!
//! The worker parses what strangers send and is treated as a stranger itself: a message that does not decode, is
//! too long, or speaks of what is not its own ends it. A worker that ends is started again, the first time at once,
//! then with growing pauses, and is given the segment anew; it takes up its leases from the journal.
//!
//! A name server that cannot have its port and a DHCP server of others are reported and tried again; neither takes DHCP
//! down.

mod channel;
mod flow;
mod leases;
mod portmap;
mod ports;
mod process;
mod sound;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsString,
    future::pending,
    mem,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use hn_ports::{
    Changed, EventSink, Services,
    services::{FromWorker, ToWorker},
};
use hn_types::{
    DriverError, DriverErrorKind, MacAddr,
    observed::{MovedPort, PlatformEvent, ServiceEvent},
    plan::{DhcpPlan, DnsPlan, Ipv6Plan, PortMapPlan, ServicePlan, ServiceSegment},
    portmap::MapUplink,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{
    network::interface,
    packet::packet_socket,
    services::{
        channel::{Breach, Channel},
        leases::LeaseFile,
        portmap::PortMaps,
        ports::{Backoff, Port, Sockets6},
        process::{Identity, Process},
        sound::{legible, sound},
    },
    undo::UndoJournal,
};

/// How the lane runs its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicesConfig {
    /// The program, `/proc/self/exe`.
    pub worker_program: PathBuf,
    /// Its words, the name first: `hostednetd`, `worker`. `--uid N --gid N` follow; descriptor 3 is the channel.
    pub worker_argv: Vec<OsString>,
    /// The worker's user, if there is one of this name; otherwise it gets one that nobody has.
    pub worker_user: String,
    /// Where the lease journals are.
    pub state_dir: PathBuf,
    /// Probe an address by ARP before it is offered.
    pub probe: bool,
}

impl ServicesConfig {
    /// The running program again, as `hostednetd worker`.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            worker_program: "/proc/self/exe".into(),
            worker_argv: vec!["hostednetd".into(), "worker".into()],
            worker_user: "hostednet".into(),
            state_dir: state_dir.to_owned(),
            probe: true,
        }
    }
}

/// A fresh worker is ready within this.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// A plan is answered within this.
const APPLIED_WITHIN: Duration = Duration::from_secs(6);
/// The worker serves a segment within this: it reads the lease journal first.
const SERVING_WITHIN: Duration = Duration::from_secs(5);
/// The worker stops serving within this.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
/// A worker that lived so long did not fail at its start.
const GOOD_LIFE: Duration = Duration::from_secs(60);
/// Upstreams a message may carry.
const UPSTREAMS: usize = 8;

/// The services lane.
#[derive(Debug)]
pub struct LinuxServices {
    requests: mpsc::Sender<Request>,
    supervisor: JoinHandle<()>,
    trouble: Trouble,
}

/// Why no worker gets ready, while that is so.
pub(crate) type Trouble = Rc<RefCell<Option<String>>>;

impl Drop for LinuxServices {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

#[derive(Debug)]
struct Request {
    plan: ServicePlan,
    reply: oneshot::Sender<Result<Changed, DriverError>>,
}

impl LinuxServices {
    /// Starts the worker and its supervisor. Needs a [`LocalSet`](tokio::task::LocalSet).
    pub fn open(config: ServicesConfig, journal: Rc<UndoJournal>, events: EventSink) -> Self {
        let (requests, received) = mpsc::channel(4);
        let trouble = Trouble::default();
        let identity = Identity::find(&config.worker_user);
        let mut supervisor = Supervisor {
            config,
            journal,
            events,
            identity,
            worker: None,
            restart: Backoff::new(Duration::ZERO, Duration::from_millis(100), Duration::from_secs(10)),
            restart_at: None,
            generation: 0,
            wanted: None,
            activity: Activity::Idle,
            waiting: None,
            trouble: Rc::clone(&trouble),
            moved: Vec::new(),
        };
        supervisor.start_worker();
        Self { requests, supervisor: tokio::task::spawn_local(supervisor.run(received)), trouble }
    }

    /// Why no worker gets ready, while that is so. A worker that is being replaced is no trouble.
    pub(crate) fn trouble(&self) -> Trouble {
        Rc::clone(&self.trouble)
    }
}

impl Services for LinuxServices {
    async fn apply(&mut self, plan: &ServicePlan) -> Result<Changed, DriverError> {
        let gone = || DriverError::new(DriverErrorKind::Gone, SERVE, "worker", "its supervisor ended");
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { plan: plan.clone(), reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// What is being done, as an error names it.
const SERVE: &str = "serve the private network";

struct Supervisor {
    config: ServicesConfig,
    journal: Rc<UndoJournal>,
    events: EventSink,
    identity: Identity,
    worker: Option<Worker>,
    restart: Backoff,
    restart_at: Option<Instant>,
    /// Of the last command that has one.
    generation: u64,
    /// What the last plan wants.
    wanted: Option<ServiceSegment>,
    activity: Activity,
    waiting: Option<Waiting>,
    trouble: Trouble,
    /// Ports of the name server that are not 53, as last reported.
    moved: Vec<MovedPort>,
}

struct Worker {
    channel: Channel,
    process: Process,
    began: Instant,
    ready: bool,
}

/// What the worker is doing.
enum Activity {
    Idle,
    /// Nothing of the segment counts any more.
    Stopping {
        generation: u64,
        deadline: Instant,
    },
    Starting {
        serving: Box<Serving>,
        deadline: Instant,
    },
    Running(Box<Serving>),
}

/// What the worker was handed.
struct Serving {
    segment: ServiceSegment,
    index: u32,
    mac: MacAddr,
    generation: u64,
    leases: LeaseFile,
    /// A rewrite of the journal is under way.
    compacting: bool,
    /// UDP port 67, which is asked for and not held.
    dhcp: Port<()>,
    dns: Port<()>,
    ipv6: Sockets6,
    portmap: PortMaps,
}

/// A plan that has not been answered.
struct Waiting {
    reply: oneshot::Sender<Result<Changed, DriverError>>,
    deadline: Instant,
    changed: Changed,
}

/// What the worker did.
enum FromProcess {
    Said(FromWorker),
    Closed,
    Broke(Breach),
}

impl Supervisor {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let wake = self.next_deadline();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.accept(request),
                    None => return,
                },
                event = listen(self.worker.as_mut()) => match event {
                    FromProcess::Said(message) => {
                        if let Err(breach) = self.hear(message) {
                            self.lose(Some(breach)).await;
                        }
                    }
                    FromProcess::Closed => self.lose(None).await,
                    FromProcess::Broke(breach) => self.lose(Some(breach)).await,
                },
                () = sleep_until_some(wake) => {
                    if let Err(breach) = self.tick(Instant::now()) {
                        self.lose(Some(breach)).await;
                    }
                }
            }
            if let Err(breach) = self.advance() {
                self.lose(Some(breach)).await;
            }
        }
    }

    fn accept(&mut self, request: Request) {
        let Request { plan, reply } = request;
        if let Some(old) = self.waiting.take() {
            let cause = "another plan took its place";
            let _ = old.reply.send(Err(DriverError::new(DriverErrorKind::Timeout, SERVE, "worker", cause)));
        }
        self.wanted = plan.segment;
        let deadline = Instant::now() + APPLIED_WITHIN;
        self.waiting = Some(Waiting { reply, deadline, changed: Changed::No });
        // Whoever holds a port may have been asked to leave.
        if let Activity::Running(serving) = &mut self.activity {
            serving.dns.retry_at = serving.dns.retry_at.map(|_| Instant::now());
            serving.dhcp.retry_at = serving.dhcp.retry_at.map(|_| Instant::now());
            let Sockets6 { frames, groups, dhcp, dns, .. } = &mut serving.ipv6;
            for at in [&mut frames.retry_at, &mut groups.retry_at, &mut dhcp.retry_at, &mut dns.retry_at] {
                *at = at.map(|_| Instant::now());
            }
            serving.portmap.hurry(Instant::now());
        }
    }

    /// Does the next thing on the way to what is wanted, and answers the plan when nothing is left to do.
    fn advance(&mut self) -> Result<(), Breach> {
        if !self.worker.as_ref().is_some_and(|worker| worker.ready) {
            if self.wanted.is_none() && matches!(self.activity, Activity::Idle) {
                self.answer(Ok(()));
            }
            return Ok(());
        }
        let running = match &self.activity {
            Activity::Starting { .. } | Activity::Stopping { .. } => return Ok(()),
            Activity::Idle => None,
            Activity::Running(serving) => Some((serving.segment.clone(), serving.index)),
        };
        match (running, self.wanted.clone()) {
            (None, None) => self.answer(Ok(())),
            (None, Some(segment)) => return self.serve(segment),
            (Some((segment, index)), Some(wanted)) if same_but_upstreams(&segment, &wanted) => {
                // While no plan waits, an interface that went is its business, not ours.
                if self.waiting.is_some() && interface(wanted.interface).is_ok_and(|row| row.index != index) {
                    return self.stop();
                }
                if segment != wanted {
                    self.change_upstreams(wanted)?;
                }
                self.answer(Ok(()));
            }
            (Some(_), _) => return self.stop(),
        }
        Ok(())
    }

    /// Answers the plan that waits. A plan that failed wants nothing any more.
    fn answer(&mut self, result: Result<(), DriverError>) {
        if result.is_err() {
            self.wanted = None;
        }
        if let Some(waiting) = self.waiting.take() {
            let changed = waiting.changed;
            let _ = waiting.reply.send(result.map(|()| changed));
        }
    }

    /// `segment` could not be served. A plan that wants another one by now is not concerned.
    fn fail(&mut self, segment: &ServiceSegment, kind: DriverErrorKind, cause: &str) {
        if self.wanted.as_ref().is_some_and(|wanted| same_but_upstreams(wanted, segment)) {
            self.answer(Err(DriverError::new(kind, SERVE, segment.interface, cause)));
        }
    }

    const fn mark_changed(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.changed = Changed::Yes;
        }
    }

    /// Hands the segment to the worker, and the sockets of its name server right behind it.
    fn serve(&mut self, segment: ServiceSegment) -> Result<(), Breach> {
        self.mark_changed();
        self.generation += 1;
        match self.hand_over(segment) {
            Ok(serving) => {
                let deadline = Instant::now() + SERVING_WITHIN;
                self.activity = Activity::Starting { serving: Box::new(serving), deadline };
                self.take_ports(Instant::now())
            }
            Err(HandOver::Breach(breach)) => Err(breach),
            Err(HandOver::System(error)) => {
                if self.waiting.is_none() {
                    // After a restart of the worker, for a plan that was answered long ago.
                    tracing::warn!(%error, "the segment cannot be served again");
                    self.report(ServiceEvent::Dns { serving: false, cause: error.to_string() });
                }
                self.answer(Err(error));
                Ok(())
            }
        }
    }

    fn hand_over(&self, segment: ServiceSegment) -> Result<Serving, HandOver> {
        let row = interface(segment.interface)?;
        let mac = row.address.filter(|mac| !mac.is_multicast()).ok_or_else(|| {
            let cause = "the interface has no link-layer address";
            DriverError::new(DriverErrorKind::Unsupported, SERVE, segment.interface, cause)
        })?;
        let leases = LeaseFile::of(&self.config.state_dir, segment.address);
        let packet = packet_socket(segment.interface, row.index)?;
        let journal = leases.open()?;
        let generation = self.generation;
        let message = serve_message(generation, &segment, row.index, mac, self.config.probe);
        self.tell(&message, &[&packet, &journal]).map_err(HandOver::Breach)?;
        Ok(Serving {
            segment,
            index: row.index,
            mac,
            generation,
            leases,
            compacting: false,
            dhcp: Port::new(),
            dns: Port::new(),
            ipv6: Sockets6::new(),
            portmap: PortMaps::new(generation),
        })
    }

    fn stop(&mut self) -> Result<(), Breach> {
        self.mark_changed();
        self.generation += 1;
        let generation = self.generation;
        let deadline = Instant::now() + STOPPED_WITHIN;
        self.abandon_serving(Activity::Stopping { generation, deadline });
        self.tell(&ToWorker::Stop { generation }, &[])
    }

    /// Leaves whatever is served.
    fn abandon_serving(&mut self, next: Activity) {
        if let Activity::Running(serving) | Activity::Starting { serving, .. } =
            mem::replace(&mut self.activity, next)
            && serving.compacting
        {
            serving.leases.abandon();
        }
    }

    fn change_upstreams(&mut self, wanted: ServiceSegment) -> Result<(), Breach> {
        self.mark_changed();
        if let (Activity::Running(serving), Some(ipv6)) = (&self.activity, &wanted.ipv6)
            && serving.segment.ipv6.as_ref() != Some(ipv6)
        {
            self.tell(&ToWorker::Ipv6Uplink(ipv6.clone()), &[])?;
        }
        if let Activity::Running(serving) = &self.activity
            && serving.segment.dhcp.mtu != wanted.dhcp.mtu
        {
            self.tell(&ToWorker::Mtu(wanted.dhcp.mtu), &[])?;
        }
        if let Activity::Running(serving) = &self.activity
            && serving.segment.dhcp.denied != wanted.dhcp.denied
        {
            self.tell(&ToWorker::Denied(wanted.dhcp.denied.clone()), &[])?;
        }
        if let Some(dns) = &wanted.dns {
            let resolvers = dns.upstreams.iter().take(UPSTREAMS).copied().collect();
            self.tell(&ToWorker::Upstreams { resolvers, through: dns.through }, &[])?;
        }
        if let Activity::Running(serving) = &mut self.activity {
            serving.segment = wanted;
        }
        self.tell_portmap()?;
        self.take_uplink6(Instant::now())
    }

    fn tell(&self, message: &ToWorker, descriptors: &[&OwnedFd]) -> Result<(), Breach> {
        self.worker.as_ref().map_or(Ok(()), |worker| worker.channel.send(message, descriptors))
    }

    /// Takes a message of the worker in. An error ends the worker.
    fn hear(&mut self, message: FromWorker) -> Result<(), Breach> {
        match message {
            FromWorker::Ready => self.hear_ready(),
            FromWorker::Serving { generation, leases } => {
                let activity = mem::replace(&mut self.activity, Activity::Idle);
                self.activity = match activity {
                    Activity::Starting { serving, .. } if serving.generation == generation => {
                        tracing::info!(leases, interface = %serving.segment.interface, "DHCP answers");
                        Activity::Running(serving)
                    }
                    // Of a segment that is being left.
                    other @ (Activity::Idle
                    | Activity::Stopping { .. }
                    | Activity::Starting { .. }
                    | Activity::Running(_)) => other,
                };
                Ok(())
            }
            FromWorker::ServingDns { generation } => {
                if let Some(serving) = self.serving(generation) {
                    serving.dns.retry.reset();
                    serving.dns.reported = Some(String::new());
                    self.report(ServiceEvent::Dns { serving: true, cause: String::new() });
                }
                Ok(())
            }
            FromWorker::Dns6 { generation, cause } => {
                self.hear_ipv6(generation, &cause, |sockets| &mut sockets.dns);
                Ok(())
            }
            FromWorker::PortMap { generation, ipv6, cause } => {
                self.hear_portmap(generation, ipv6, &cause);
                Ok(())
            }
            FromWorker::Ask(request) => self.hear_ask(request),
            FromWorker::Ipv6 { generation, cause } => {
                self.hear_ipv6(generation, &cause, |sockets| &mut sockets.frames);
                Ok(())
            }
            FromWorker::WantsCompaction => self.compact(),
            FromWorker::Compacted { generation, ok } => {
                if let Some(serving) = self.serving(generation)
                    && mem::take(&mut serving.compacting)
                {
                    if !ok {
                        serving.leases.abandon();
                    } else if let Err(error) = serving.leases.finish() {
                        // The worker writes to a file that will not be found again.
                        return Err(format!("its rewritten lease journal cannot take its place: {error}"));
                    }
                }
                Ok(())
            }
            FromWorker::Stopped { generation } => {
                if matches!(self.activity, Activity::Stopping { generation: of, .. } if of == generation) {
                    self.activity = Activity::Idle;
                }
                Ok(())
            }
            FromWorker::Failed { generation, cause } => self.hear_failure(generation, &cause),
            FromWorker::Event(event) => self.hear_event(event),
        }
    }

    fn hear_ready(&mut self) -> Result<(), Breach> {
        match &mut self.worker {
            Some(worker) if !worker.ready => {
                worker.ready = true;
                self.trouble.replace(None);
                tracing::debug!(after = ?worker.began.elapsed(), "the worker is ready");
                Ok(())
            }
            _ => Err("it was ready twice".into()),
        }
    }

    fn hear_failure(&mut self, generation: u64, cause: &str) -> Result<(), Breach> {
        let cause = legible(cause);
        match &mut self.activity {
            Activity::Starting { serving, .. } if serving.generation == generation => {
                let segment = serving.segment.clone();
                self.abandon_serving(Activity::Idle);
                self.fail(&segment, DriverErrorKind::Io, &cause);
                Ok(())
            }
            // A segment that runs can only have failed at its name server.
            Activity::Running(serving) if serving.generation == generation && serving.dns.held.is_some() => {
                let dns = &mut serving.dns;
                dns.held = None;
                dns.retry_at = Some(Instant::now() + dns.retry.next());
                dns.reported = Some(cause.clone());
                self.report(ServiceEvent::Dns { serving: false, cause });
                Ok(())
            }
            Activity::Stopping { generation: of, .. } if *of == generation => {
                Err(format!("it cannot stop: {cause}"))
            }
            Activity::Idle | Activity::Stopping { .. } | Activity::Starting { .. } | Activity::Running(_) => {
                Ok(())
            }
        }
    }

    fn hear_event(&mut self, event: ServiceEvent) -> Result<(), Breach> {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &self.activity else {
            // The last words of a segment that is being left.
            return Ok(());
        };
        let dns = serving.segment.dns.is_some();
        let ipv6 = serving.segment.ipv6.as_ref().map(|ipv6| ipv6.address);
        let event = sound(event, serving.segment.address, ipv6, dns)?;
        self.report(event);
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Breach> {
        let Activity::Running(serving) = &mut self.activity else { return Ok(()) };
        if serving.compacting {
            return Ok(());
        }
        let generation = serving.generation;
        match serving.leases.begin() {
            Ok(file) => {
                serving.compacting = true;
                self.tell(&ToWorker::Compact { generation }, &[&file])
            }
            Err(error) => {
                // The old journal goes on; the worker asks again when it has grown further.
                tracing::warn!(%error, "the lease journal cannot be rewritten");
                Ok(())
            }
        }
    }

    fn serving(&mut self, generation: u64) -> Option<&mut Serving> {
        match &mut self.activity {
            Activity::Running(serving) | Activity::Starting { serving, .. }
                if serving.generation == generation =>
            {
                Some(serving)
            }
            Activity::Idle | Activity::Stopping { .. } | Activity::Running(_) | Activity::Starting { .. } => {
                None
            }
        }
    }

    fn report(&self, event: ServiceEvent) {
        self.events.emit(PlatformEvent::Service(event));
    }

    fn start_worker(&mut self) {
        self.restart_at = None;
        let start = || {
            let (channel, theirs) = Channel::pair()?;
            let config = &self.config;
            let process = Process::start(
                &config.worker_program,
                &config.worker_argv,
                self.identity,
                &theirs,
                Rc::clone(&self.journal),
            )?;
            std::io::Result::Ok(Worker { channel, process, began: Instant::now(), ready: false })
        };
        match start() {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                let program = self.config.worker_program.display();
                tracing::error!(%error, %program, "the worker does not start");
                self.trouble.replace(Some(format!("{program} does not start: {error}")));
                self.restart_at = Some(Instant::now() + self.restart.next().max(self.restart.second));
            }
        }
    }

    /// The worker ended, or is ended for what it did.
    async fn lose(&mut self, breach: Option<Breach>) {
        let Some(Worker { channel, process, began, ready }) = self.worker.take() else { return };
        // Closing our end lets a worker that is well finish what it writes.
        drop(channel);
        let cause = match breach {
            Some(breach) => {
                process.kill().await;
                format!("the worker was ended: {breach}")
            }
            None => process.end().await,
        };
        tracing::warn!(cause, "the worker is gone");
        if !ready {
            self.trouble.replace(Some(format!("it never gets ready: {cause}")));
        }
        self.abandon_serving(Activity::Idle);
        if began.elapsed() >= GOOD_LIFE {
            self.restart.reset();
        }
        self.restart_at = Some(Instant::now() + self.restart.next());
        self.report(ServiceEvent::WorkerLost { cause });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let worker =
            self.worker.as_ref().filter(|worker| !worker.ready).map(|worker| worker.began + READY_WITHIN);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.deadline);
        let (activity, ports) = match &self.activity {
            Activity::Idle => (None, [None; 9]),
            Activity::Stopping { deadline, .. } => (Some(*deadline), [None; 9]),
            Activity::Starting { serving, deadline } => (Some(*deadline), serving.retries()),
            Activity::Running(serving) => (None, serving.retries()),
        };
        [worker, waiting, activity, self.restart_at].into_iter().chain(ports).flatten().min()
    }

    /// Whatever is due. An error ends the worker.
    fn tick(&mut self, now: Instant) -> Result<(), Breach> {
        if self.restart_at.is_some_and(|at| at <= now) {
            self.start_worker();
        }
        if self.waiting.as_ref().is_some_and(|waiting| waiting.deadline <= now) {
            let cause = "the worker does not run; its last words are in the log";
            self.answer(Err(DriverError::new(DriverErrorKind::Timeout, SERVE, "worker", cause)));
        }
        if self.worker.as_ref().is_some_and(|worker| !worker.ready && worker.began + READY_WITHIN <= now) {
            return Err("it was not ready in time".into());
        }
        match &self.activity {
            Activity::Stopping { deadline, .. } if *deadline <= now => Err("it did not stop in time".into()),
            Activity::Starting { serving, deadline } if *deadline <= now => {
                let segment = serving.segment.clone();
                self.fail(&segment, DriverErrorKind::Timeout, "the worker did not begin in time");
                Err("it did not serve in time".into())
            }
            Activity::Idle | Activity::Stopping { .. } | Activity::Starting { .. } | Activity::Running(_) => {
                self.take_ports(now)
            }
        }
    }
}

impl Serving {
    const fn retries(&self) -> [Option<Instant>; 9] {
        let Sockets6 { frames, groups, dhcp, dns, uplink, .. } = &self.ipv6;
        let [portmap, portmap6] = self.portmap.retries();
        let (dhcp6, dns6) = (dhcp.retry_at, dns.retry_at);
        let own = [self.dhcp.retry_at, self.dns.retry_at];
        let others = [frames.retry_at, groups.retry_at, uplink.retry_at];
        [own[0], own[1], dhcp6, dns6, others[0], others[1], others[2], portmap, portmap6]
    }
}

/// Why a segment could not be handed to the worker.
enum HandOver {
    System(DriverError),
    Breach(Breach),
}

impl From<DriverError> for HandOver {
    fn from(error: DriverError) -> Self {
        Self::System(error)
    }
}

async fn listen(worker: Option<&mut Worker>) -> FromProcess {
    match worker {
        None => pending().await,
        Some(worker) => match worker.channel.receive().await {
            Ok(Some(message)) => FromProcess::Said(message),
            Ok(None) => FromProcess::Closed,
            Err(breach) => FromProcess::Broke(breach),
        },
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn serve_message(
    generation: u64,
    segment: &ServiceSegment,
    index: u32,
    mac: MacAddr,
    probe: bool,
) -> ToWorker {
    // Told when its sockets are there, in parts.
    let mut segment = ServiceSegment { portmap: None, ..segment.clone() };
    if let Some(dns) = &mut segment.dns {
        dns.upstreams.truncate(UPSTREAMS);
    }
    ToWorker::Serve { generation, segment, index, mac, probe }
}

/// Whether going from one to the other needs nothing but other upstreams, another MTU, other devices that get no address, and
/// another way out for IPv6.
fn same_but_upstreams(a: &ServiceSegment, b: &ServiceSegment) -> bool {
    let without = |segment: &ServiceSegment| {
        let dns = segment.dns.clone().map(|dns| DnsPlan { upstreams: Vec::new(), through: None, ..dns });
        let ipv6 = segment.ipv6.as_ref().map(Ipv6Plan::without_uplink);
        let dhcp = DhcpPlan { mtu: None, denied: BTreeSet::new(), ..segment.dhcp.clone() };
        let portmap = segment.portmap.as_ref().map(|portmap| {
            let (uplink, entries, answers) = (MapUplink::default(), Vec::new(), Vec::new());
            let PortMapPlan { uuid, ref name, epoch, .. } = **portmap;
            Box::new(PortMapPlan { uuid, name: name.clone(), epoch, uplink, entries, answers })
        });
        ServiceSegment { dhcp, dns, ipv6, portmap, ..segment.clone() }
    };
    without(a) == without(b)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::{task::LocalSet, time::timeout};

    use super::*;

    fn segment() -> ServiceSegment {
        ServiceSegment {
            interface: "hnap0".parse().expect("valid"),
            address: "192.168.137.1/24".parse().expect("valid"),
            dhcp: DhcpPlan {
                first: [192, 168, 137, 2].into(),
                last: [192, 168, 137, 254].into(),
                lease_time: Duration::from_secs(3600),
                router: None,
                dns: None,
                domain: None,
                mtu: None,
                reservations: Vec::new(),
                denied: BTreeSet::new(),
            },
            dns: Some(DnsPlan {
                domain: "mshome.net".into(),
                host_name: "host".into(),
                upstreams: Vec::new(),
                through: None,
            }),
            ipv6: Some(Ipv6Plan {
                address: "fd12:3456:789a:1::1/64".parse().expect("valid"),
                link_local: "fe80::1".parse().expect("valid"),
                uuid: [1; 16],
                address_key: 1,
                domain: "mshome.net".into(),
                router: true,
                mtu: None,
                uplink: None,
                global: None,
                relay: None,
            }),
            portmap: None,
        }
    }

    #[test]
    fn only_upstreams_change_without_serving_anew() {
        let mut other = segment();
        if let Some(dns) = &mut other.dns {
            dns.upstreams.push("9.9.9.9:53".parse().expect("valid"));
        }
        assert!(same_but_upstreams(&segment(), &other));
        if let Some(ipv6) = &mut other.ipv6 {
            ipv6.router = false;
            ipv6.uplink = "eth0".parse().ok();
            ipv6.global = "2001:db8::/64".parse().ok();
        }
        other.dhcp.mtu = Some(1_400);
        assert!(same_but_upstreams(&segment(), &other));
        assert!(!same_but_upstreams(&segment(), &ServiceSegment { ipv6: None, ..segment() }));
        other.dhcp.lease_time = Duration::from_secs(60);
        assert!(!same_but_upstreams(&segment(), &other));
        assert!(!same_but_upstreams(&segment(), &ServiceSegment { dns: None, ..segment() }));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut pauses = Backoff::new(Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300));
        let seen: Vec<_> = (0..5).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(seen, [0, 100, 200, 300, 300]);
        pauses.reset();
        assert_eq!(pauses.next(), Duration::ZERO);
    }

    /// A lane whose worker is a shell script, and what it reports.
    fn lane(script: &str) -> (LinuxServices, Rc<RefCell<Vec<ServiceEvent>>>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let journal = Rc::new(UndoJournal::open(&folder.path().join("undo")).expect("opens"));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&seen);
        let events = EventSink::new(move |event| {
            if let PlatformEvent::Service(event) = event {
                sink.borrow_mut().push(event);
            }
        });
        let config = ServicesConfig {
            worker_program: "/bin/sh".into(),
            worker_argv: ["sh", "-c", script].map(Into::into).into(),
            ..ServicesConfig::new(folder.path())
        };
        (LinuxServices::open(config, journal, events), seen, folder)
    }

    #[tokio::test]
    async fn a_worker_that_keeps_ending_is_started_again_with_growing_pauses() {
        LocalSet::new()
            .run_until(async {
                let (mut lane, seen, _folder) = lane("exit 3");
                let plan = ServicePlan { segment: Some(segment()) };
                let applied = timeout(Duration::from_millis(900), lane.apply(&plan));
                assert!(applied.await.is_err(), "the plan waits for a worker");
                let losses = seen.borrow().len();
                // At once, after 100, 200 and 400 ms.
                assert!((2..=5).contains(&losses), "{losses} losses");
                assert!(seen.borrow().iter().all(|event| matches!(
                    event,
                    ServiceEvent::WorkerLost { cause } if cause.contains("exit status: 3")
                )));
                assert_eq!(lane.apply(&ServicePlan::default()).await, Ok(Changed::No));
            })
            .await;
    }

    #[tokio::test]
    async fn a_worker_that_talks_nonsense_is_ended() {
        LocalSet::new()
            .run_until(async {
                let (_lane, seen, _folder) = lane("printf nonsense >&3; sleep 1000");
                let noticed = async {
                    while seen.borrow().is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                timeout(Duration::from_secs(10), noticed).await.expect("is noticed");
                let first = seen.borrow().first().cloned();
                assert!(matches!(first, Some(ServiceEvent::WorkerLost { cause }) if cause.contains("not a message")));
            })
            .await;
    }
}
