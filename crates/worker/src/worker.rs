//! The loop: one thread that waits on everything at once and joins the control channel, the engines and their
//! sockets.
//!
//! A turn is: wait, hand everything that came to the engines (at most one batch for each source), do what is
//! due, then carry out what the engines want. Nothing is waited for but the poller, except once: the end of
//! a journal write, when the segment is given up. Without a client it never wakes up.

use std::{
    net::{Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use hn_dhcp4::Event;
use hn_dns::Forwarder;
use hn_portmap::Channel;
use hn_ports::services::{FromWorker, ToWorker};
use hn_types::{
    IfName, MacAddr, Monotonic, Now, Subnet4, Subnet6, Wall,
    observed::{Counter, ServiceEvent, ServiceTrouble},
    plan::{Ipv6Plan, ServiceSegment},
};
use rustix::{
    io::Errno,
    rand::GetRandomFlags,
    time::{ClockId, clock_gettime},
};

use crate::{
    WorkerError,
    control::{Command, Control, ControlError},
    counters,
    dhcp::{self, Dhcp, Rewritten},
    dns::{self, Dns, Family},
    ipv6::{self, Ipv6},
    journal, plan,
    poller::{Interest, Poller, Readiness, Token},
    portmap::Portmap,
    sys::RecvBatch,
    writer::Writer,
};

/// How long after something happened the counters are reported.
const COUNTERS_EVERY: Duration = Duration::from_secs(30);
/// How often a control process that cannot follow gets a complete list.
const LEASES_EVERY: Duration = Duration::from_secs(1);
/// How long an address conflict is shown after it was last seen.
const CONFLICT_SHOWN: Duration = Duration::from_secs(600);
/// Commands taken per turn.
const COMMANDS: usize = 8;

/// What is served.
#[derive(Debug)]
struct Segment {
    generation: u64,
    /// The host's address there.
    address: Subnet4,
    dhcp: Dhcp,
    /// Absent in standalone mode.
    dns: Option<Dns>,
    /// Absent in standalone mode, and until its socket has come.
    ipv6: Option<Ipv6>,
    /// Absent in standalone mode, and until its sockets have come.
    portmap: Option<Portmap>,
    index: u32,
}

/// What is wrong, as last reported.
#[derive(Debug, Default)]
struct Troubles {
    pool_exhausted: bool,
    resolvers_silent: bool,
    /// When the last conflict is forgotten.
    conflict_until: Option<Monotonic>,
}

/// The worker.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Control,
    /// The control channel is waited for to take more.
    control_blocked: bool,
    /// It does.
    control_writable: bool,
    poller: Poller,
    writer: Writer,
    received: RecvBatch,
    segment: Option<Segment>,
    troubles: Troubles,
    /// When the counters are due; absent when nothing happened since.
    counters_at: Option<Monotonic>,
    counters: Vec<Counter>,
    /// Before this no complete list is sent again.
    leases_at: Monotonic,
}

/// Both clocks.
fn now() -> Now {
    let mono = clock_gettime(ClockId::Boottime);
    let wall = clock_gettime(ClockId::RealtimeCoarse);
    let nanos =
        Duration::new(u64::try_from(mono.tv_sec).unwrap_or(0), u32::try_from(mono.tv_nsec).unwrap_or(0));
    Now { mono: Monotonic::ZERO + nanos, wall: Wall::from_unix(u64::try_from(wall.tv_sec).unwrap_or(0)) }
}

/// Bytes of the system's generator.
fn random<const N: usize>() -> Result<[u8; N], Errno> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// The descriptors of a command, exactly as many as it has.
fn exactly<const N: usize>(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; N], ControlError> {
    descriptors
        .try_into()
        .map_err(|_| ControlError::Malformed("another number of descriptors than the command has"))
}

/// A socket of port mapping is ready.
fn handle_portmap(
    poller: &Poller,
    portmap: &mut Portmap,
    ready: Readiness,
    received: &mut RecvBatch,
    now: Now,
) {
    let mut datagrams = |family, channel| {
        portmap.handle_datagrams(poller, family, channel, ready, received, now);
    };
    match ready.token {
        Token::PortControl => datagrams(Family::V4, Channel::PortControl),
        Token::PortControl6 => datagrams(Family::V6, Channel::PortControl),
        Token::Ssdp => datagrams(Family::V4, Channel::Ssdp),
        Token::Ssdp6 => datagrams(Family::V6, Channel::Ssdp),
        Token::Web => portmap.handle_listener(poller, Family::V4, now),
        Token::Web6 => portmap.handle_listener(poller, Family::V6, now),
        Token::Device(slot) => portmap.handle_connection(poller, ready, slot, now),
        Token::Control
        | Token::Written
        | Token::Frames
        | Token::Frames6
        | Token::Uplink6
        | Token::Queries
        | Token::Queries6
        | Token::Listener
        | Token::Listener6
        | Token::Client(_)
        | Token::Upstream(_) => {}
    }
}

impl Worker {
    pub(crate) fn new(control: OwnedFd, writer: Writer) -> Result<Self, WorkerError> {
        // The first look at a clock asks the kernel where the clock is, which is not allowed later.
        now();
        let worker = Self {
            control: Control::new(control),
            control_blocked: false,
            control_writable: false,
            poller: Poller::new()?,
            writer,
            received: RecvBatch::new(),
            segment: None,
            troubles: Troubles::default(),
            counters_at: None,
            counters: Vec::new(),
            leases_at: Monotonic::ZERO,
        };
        worker.poller.add(worker.control.as_fd(), Token::Control, Interest::READ)?;
        worker.poller.add(worker.writer.as_fd(), Token::Written, Interest::READ)?;
        Ok(worker)
    }

    /// Works until the control process is gone.
    pub(crate) fn run(mut self) -> Result<(), WorkerError> {
        self.control.send(FromWorker::Ready)?;
        match self.turns() {
            Err(WorkerError::Control(ControlError::Gone)) => Ok(()),
            Err(error) => Err(error),
            Ok(never) => match never {},
        }
    }

    fn turns(&mut self) -> Result<std::convert::Infallible, WorkerError> {
        let mut now = now();
        loop {
            self.settle(now)?;
            let timeout = self.poll_timeout().map(|at| at.since(now.mono));
            self.poller.wait(timeout)?;
            now = self::now();
            for index in 0..self.poller.len() {
                if let Some(ready) = self.poller.get(index) {
                    self.handle_ready(ready, now)?;
                }
            }
            self.handle_timeout(now)?;
        }
    }

    fn handle_ready(&mut self, ready: Readiness, now: Now) -> Result<(), WorkerError> {
        let Self { poller, received, segment, writer, .. } = self;
        match ready.token {
            Token::Control => {
                self.control_writable |= ready.write;
                if ready.read {
                    for _ in 0..COMMANDS {
                        match self.control.receive()? {
                            Some(command) => self.handle_command(command, now)?,
                            None => break,
                        }
                    }
                }
                return Ok(());
            }
            Token::Written => {
                // A segment that was given up has taken the end of its last job itself; only the bell is left.
                let rewritten = match (writer.finished(), segment) {
                    (Some(done), Some(segment)) => segment.dhcp.handle_written(done),
                    (Some(_) | None, _) => None,
                };
                return self.report_rewritten(rewritten);
            }
            Token::Frames
            | Token::Frames6
            | Token::Uplink6
            | Token::Queries
            | Token::Queries6
            | Token::Listener
            | Token::Listener6
            | Token::Client(_)
            | Token::Upstream(_) => {}
            Token::PortControl
            | Token::PortControl6
            | Token::Ssdp
            | Token::Ssdp6
            | Token::Web
            | Token::Web6
            | Token::Device(_) => {
                if let Some(portmap) = segment.as_mut().and_then(|segment| segment.portmap.as_mut()) {
                    handle_portmap(poller, portmap, ready, received, now);
                }
                self.counters_at.get_or_insert(now.mono + COUNTERS_EVERY);
                return Ok(());
            }
        }
        let Some(Segment { dhcp, dns, ipv6, .. }) = segment else { return Ok(()) };
        match (ready.token, dns) {
            (Token::Frames, _) => dhcp.handle_ready(poller, ready, received, now),
            (Token::Frames6, _) => {
                if let Some(ipv6) = ipv6 {
                    ipv6.handle_ready(poller, ready, received, now);
                }
            }
            (Token::Uplink6, _) => {
                if let Some(ipv6) = ipv6 {
                    ipv6.handle_uplink(poller, ready, received, now);
                }
            }
            (Token::Queries, Some(dns)) => {
                dns.handle_queries(poller, Family::V4, ready, received, now.mono);
            }
            (Token::Queries6, Some(dns)) => {
                dns.handle_queries(poller, Family::V6, ready, received, now.mono);
            }
            (Token::Listener, Some(dns)) => dns.handle_listener(poller, Family::V4, now.mono),
            (Token::Listener6, Some(dns)) => dns.handle_listener(poller, Family::V6, now.mono),
            (Token::Client(slot), Some(dns)) => dns.handle_client(poller, ready, slot, now.mono),
            (Token::Upstream(slot), Some(dns)) => {
                dns.handle_resolver(poller, ready, slot, received, now.mono);
            }
            (
                Token::Queries
                | Token::Queries6
                | Token::Listener
                | Token::Listener6
                | Token::Client(_)
                | Token::Upstream(_),
                None,
            )
            | (
                Token::Control
                | Token::Written
                | Token::PortControl
                | Token::PortControl6
                | Token::Ssdp
                | Token::Ssdp6
                | Token::Web
                | Token::Web6
                | Token::Device(_),
                _,
            ) => {}
        }
        self.counters_at.get_or_insert(now.mono + COUNTERS_EVERY);
        Ok(())
    }

    // --- commands ---------------------------------------------------------------------------------

    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), WorkerError> {
        let Command { message, descriptors } = command;
        match message {
            ToWorker::Serve { generation, segment, index, mac, probe } => {
                let [socket, journal] = exactly(descriptors)?;
                self.give_up(now)?;
                match self.serve(generation, &segment, index, mac, probe, socket, journal, now) {
                    Ok(()) => {}
                    Err(cause) => self.control.send(FromWorker::Failed { generation, cause })?,
                }
            }
            ToWorker::ServeDns { generation } => {
                let [queries, listener] = exactly(descriptors)?;
                let dns = self.segment.as_mut().filter(|segment| segment.generation == generation);
                let answer = match dns.map(|segment| &mut segment.dns) {
                    Some(Some(dns)) => match dns.serve(&self.poller, Family::V4, queries, listener) {
                        Ok(()) => FromWorker::ServingDns { generation },
                        Err(error) => FromWorker::Failed {
                            generation,
                            cause: format!(
                                "the name server's sockets are of no use (error {})",
                                error.raw_os_error()
                            ),
                        },
                    },
                    Some(None) => {
                        FromWorker::Failed { generation, cause: "the segment has no name server".to_owned() }
                    }
                    None => FromWorker::Failed { generation, cause: "the segment is not served".to_owned() },
                };
                self.control.send(answer)?;
            }
            ToWorker::ServeDns6 { generation } => {
                let [queries, listener] = exactly(descriptors)?;
                let dns = self.segment.as_mut().filter(|segment| segment.generation == generation);
                let served = match dns.and_then(|segment| segment.dns.as_mut()) {
                    Some(dns) => dns.serve(&self.poller, Family::V6, queries, listener).map_err(|error| {
                        format!("its sockets are of no use (error {})", error.raw_os_error())
                    }),
                    None => Err("the segment has no name server".to_owned()),
                };
                self.control
                    .send(FromWorker::Dns6 { generation, cause: served.err().unwrap_or_default() })?;
            }
            ToWorker::ServeIpv6 { generation, plan, mac } => {
                let [socket] = exactly(descriptors)?;
                let served = self.serve_ipv6(generation, &plan, mac, socket, now);
                self.control
                    .send(FromWorker::Ipv6 { generation, cause: served.err().unwrap_or_default() })?;
            }
            ToWorker::ServePortMap { generation, uuid, name, epoch } => {
                let sockets = exactly::<3>(descriptors)?;
                let served = self.serve_portmap(generation, uuid, name, epoch, sockets, now);
                let cause = served.err().unwrap_or_default();
                self.control.send(FromWorker::PortMap { generation, ipv6: false, cause })?;
            }
            ToWorker::ServePortMap6 { generation, link_local, prefixes } => {
                let sockets = exactly::<3>(descriptors)?;
                let served = self.serve_portmap6(generation, link_local, prefixes, sockets, now);
                let cause = served.err().unwrap_or_default();
                self.control.send(FromWorker::PortMap { generation, ipv6: true, cause })?;
            }
            ToWorker::PortMapAddress6 { link_local, prefixes } => {
                let [] = exactly(descriptors)?;
                if let Some(portmap) = self.portmap()
                    && let Err(error) = portmap.server_mut().set_address6(Some(link_local), prefixes, now)
                {
                    tracing::warn!(%error, "port mapping keeps its IPv6 addresses");
                }
            }
            ToWorker::PortMapUplink(uplink) => {
                let [] = exactly(descriptors)?;
                if let Some(portmap) = self.portmap() {
                    portmap.set_uplink(uplink, now);
                }
            }
            ToWorker::PortMapEntries { entries, first, more } => {
                let [] = exactly(descriptors)?;
                if let Some(portmap) = self.portmap() {
                    portmap.set_entries(entries, first, more, now);
                }
            }
            ToWorker::PortMapAnswers(answers) => {
                let [] = exactly(descriptors)?;
                if let Some(portmap) = self.portmap() {
                    portmap.answer(answers, now);
                }
            }
            ToWorker::Ipv6Uplink(plan) => {
                let [] = exactly(descriptors)?;
                if let Some(ipv6) = self.segment.as_mut().and_then(|segment| segment.ipv6.as_mut()) {
                    ipv6.set_plan(plan, now);
                }
            }
            ToWorker::WatchUplink6 { generation, interface, mac, link_local } => {
                let [socket] = exactly(descriptors)?;
                let seed = random().map_or(0, u64::from_ne_bytes);
                let segment = self.segment.as_mut().filter(|segment| segment.generation == generation);
                if let Some(ipv6) = segment.and_then(|segment| segment.ipv6.as_mut()) {
                    ipv6.leave_uplink(&self.poller, now);
                    if let Err(error) =
                        ipv6.watch_uplink(&self.poller, interface, (mac, link_local), seed, socket, now)
                    {
                        tracing::warn!(%error, %interface, "the uplink of IPv6 cannot be watched");
                    }
                }
            }
            ToWorker::LeaveUplink6 => {
                let [] = exactly(descriptors)?;
                if let Some(ipv6) = self.segment.as_mut().and_then(|segment| segment.ipv6.as_mut()) {
                    ipv6.leave_uplink(&self.poller, now);
                }
            }
            ToWorker::Mtu(mtu) => {
                let [] = exactly(descriptors)?;
                if let Some(segment) = &mut self.segment {
                    segment.dhcp.set_mtu(mtu);
                }
            }
            ToWorker::Upstreams { resolvers, through } => {
                let [] = exactly(descriptors)?;
                self.set_upstreams(&resolvers, through, now);
                self.report_silence()?;
            }
            ToWorker::Compact { generation } => {
                let [file] = exactly(descriptors)?;
                match &mut self.segment {
                    Some(segment) => segment.dhcp.compact(generation, file),
                    None => self.control.send(FromWorker::Compacted { generation, ok: false })?,
                }
            }
            ToWorker::Stop { generation } => {
                let [] = exactly(descriptors)?;
                self.give_up(now)?;
                self.control.send(FromWorker::Stopped { generation })?;
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one command and its descriptors")]
    fn serve(
        &mut self,
        generation: u64,
        segment: &ServiceSegment,
        index: u32,
        mac: MacAddr,
        probe: bool,
        socket: OwnedFd,
        file: OwnedFd,
        now: Now,
    ) -> Result<(), String> {
        let broken = |error: Errno| format!("the lease journal cannot be read: {}", journal::explain(error));
        let config = plan::dhcp(segment, mac, probe).map_err(|error| error.to_string())?;
        let seed = random().map_err(|error| format!("no random numbers (error {})", error.raw_os_error()))?;
        let dns = match &segment.dns {
            Some(plan) => {
                let seed = random()
                    .map_err(|error| format!("no random numbers (error {})", error.raw_os_error()))?;
                let address6 = segment.ipv6.as_ref().map(|ipv6| ipv6.address);
                let config = plan::dns(segment.address, address6, plan);
                let forwarder = Forwarder::new(config, seed, now.mono).map_err(|error| error.to_string())?;
                Some(Dns::new(forwarder, segment.address.address()))
            }
            None => None,
        };
        let dhcp =
            Dhcp::start(&self.poller, config, u64::from_ne_bytes(seed), socket, file, now).map_err(broken)?;
        let leases = dhcp.leases();
        let address = segment.address;
        self.segment = Some(Segment { generation, address, dhcp, dns, ipv6: None, portmap: None, index });
        if let Some(dns) = self.segment.as_mut().and_then(|segment| segment.dns.as_mut()) {
            for lease in &leases {
                dns.name(lease);
            }
        }
        if let Some(plan) = &segment.dns {
            self.set_upstreams(&plan.upstreams, plan.through, now);
        }
        let count = u32::try_from(leases.len()).unwrap_or(u32::MAX);
        let answer = FromWorker::Serving { generation, leases: count };
        self.control.send(answer).map_err(|error| error.to_string())?;
        self.control.send_leases(leases);
        self.counters_at.get_or_insert(now.mono + COUNTERS_EVERY);
        Ok(())
    }

    fn serve_ipv6(
        &mut self,
        generation: u64,
        plan: &Ipv6Plan,
        mac: MacAddr,
        socket: OwnedFd,
        now: Now,
    ) -> Result<(), String> {
        let segment = self.segment.as_mut().filter(|segment| segment.generation == generation);
        let segment = segment.ok_or("the segment is not served")?;
        let config = plan::ipv6(plan, mac, segment.dns.is_some()).map_err(|error| error.to_string())?;
        let numbered = |error: Errno| format!("error {}", error.raw_os_error());
        let seed = u64::from_ne_bytes(random().map_err(numbered)?);
        if let Some(mut old) = segment.ipv6.take() {
            old.finish(&self.poller, now);
        }
        let mut ipv6 = Ipv6::start(&self.poller, config, seed, socket, now).map_err(numbered)?;
        ipv6.set_plan(plan.clone(), now);
        segment.ipv6 = Some(ipv6);
        Ok(())
    }

    fn serve_portmap(
        &mut self,
        generation: u64,
        uuid: [u8; 16],
        name: String,
        epoch: Monotonic,
        sockets: [OwnedFd; 3],
        now: Now,
    ) -> Result<(), String> {
        let segment = self.segment.as_mut().filter(|segment| segment.generation == generation);
        let segment = segment.ok_or("the segment is not served")?;
        let config = plan::portmap(segment.address, uuid, &name, epoch).map_err(|error| error.to_string())?;
        let numbered = |error: Errno| format!("error {}", error.raw_os_error());
        let seed = u64::from_ne_bytes(random().map_err(numbered)?);
        if let Some(mut old) = segment.portmap.take() {
            old.finish(&self.poller, now);
        }
        let mut portmap = Portmap::new(hn_portmap::Server::new(config, seed, now), segment.index);
        portmap.serve(&self.poller, Family::V4, sockets).map_err(numbered)?;
        segment.portmap = Some(portmap);
        Ok(())
    }

    fn serve_portmap6(
        &mut self,
        generation: u64,
        link_local: Ipv6Addr,
        prefixes: Vec<Subnet6>,
        sockets: [OwnedFd; 3],
        now: Now,
    ) -> Result<(), String> {
        let segment = self.segment.as_mut().filter(|segment| segment.generation == generation);
        let portmap = segment.and_then(|segment| segment.portmap.as_mut());
        let portmap = portmap.ok_or("port mapping is not served over IPv4")?;
        let numbered = |error: Errno| format!("error {}", error.raw_os_error());
        portmap.serve(&self.poller, Family::V6, sockets).map_err(numbered)?;
        let server = portmap.server_mut();
        server.set_address6(Some(link_local), prefixes, now).map_err(|error| error.to_string())
    }

    fn portmap(&mut self) -> Option<&mut Portmap> {
        self.segment.as_mut().and_then(|segment| segment.portmap.as_mut())
    }

    fn set_upstreams(&mut self, resolvers: &[SocketAddr], through: Option<IfName>, now: Now) {
        if let Some(dns) = self.segment.as_mut().and_then(|segment| segment.dns.as_mut()) {
            dns.set_upstreams(resolvers, through, now.mono);
        }
    }

    /// Ends the service of the segment: what is being written is finished and acknowledged.
    fn give_up(&mut self, now: Now) -> Result<(), WorkerError> {
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        if let Some(portmap) = &mut segment.portmap {
            portmap.finish(&self.poller, now);
        }
        if let Some(ipv6) = &mut segment.ipv6 {
            ipv6.finish(&self.poller, now);
        }
        if let Some(dns) = &mut segment.dns {
            dns.leave(&self.poller);
        }
        let rewritten = segment.dhcp.finish(&self.poller, &mut self.writer);
        segment.dhcp.leave(&self.poller);
        for rewritten in rewritten {
            self.report_rewritten(Some(rewritten))?;
        }
        self.report_events(&mut segment)?;
        for (kind, shown) in [
            (ServiceTrouble::PoolExhausted, self.troubles.pool_exhausted),
            (ServiceTrouble::Upstreams, self.troubles.resolvers_silent),
            (ServiceTrouble::AddressConflict, self.troubles.conflict_until.is_some()),
            (ServiceTrouble::LeaseStore, segment.dhcp.failure().is_some()),
        ] {
            if shown {
                self.report_trouble(kind, String::new())?;
            }
        }
        self.troubles = Troubles::default();
        self.counters_at = None;
        self.counters = Vec::new();
        Ok(())
    }

    // --- time -------------------------------------------------------------------------------------

    fn poll_timeout(&self) -> Option<Monotonic> {
        let segment = self.segment.as_ref();
        let engines = [
            segment.and_then(|segment| segment.dhcp.poll_timeout()),
            segment.and_then(|segment| segment.dns.as_ref()).and_then(Dns::poll_timeout),
            segment.and_then(|segment| segment.ipv6.as_ref()).and_then(Ipv6::poll_timeout),
            segment.and_then(|segment| segment.portmap.as_ref()).and_then(Portmap::poll_timeout),
            self.counters_at,
            self.troubles.conflict_until,
            self.control.wants_leases().then_some(self.leases_at),
        ];
        engines.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Now) -> Result<(), WorkerError> {
        if let Some(segment) = &mut self.segment {
            segment.dhcp.handle_timeout(now);
            if let Some(ipv6) = &mut segment.ipv6 {
                ipv6.handle_timeout(now);
                ipv6.follow(now);
            }
            if let Some(dns) = &mut segment.dns {
                dns.handle_timeout(&self.poller, now.mono);
            }
            if let Some(portmap) = &mut segment.portmap {
                portmap.handle_timeout(&self.poller, now);
            }
        }
        if self.troubles.conflict_until.is_some_and(|at| at <= now.mono) {
            self.troubles.conflict_until = None;
            self.report_trouble(ServiceTrouble::AddressConflict, String::new())?;
        }
        if self.counters_at.is_some_and(|at| at <= now.mono) {
            self.counters_at = None;
            if let Some(segment) = &self.segment {
                let counters = counters::list(
                    &segment.dhcp,
                    segment.ipv6.as_ref(),
                    segment.dns.as_ref(),
                    segment.portmap.as_ref(),
                );
                if counters != self.counters {
                    self.counters.clone_from(&counters);
                    self.control.send(FromWorker::Event(ServiceEvent::Counters(counters)))?;
                }
            }
        }
        Ok(())
    }

    // --- carrying out -----------------------------------------------------------------------------

    fn settle(&mut self, now: Now) -> Result<(), WorkerError> {
        if let Some(mut segment) = self.segment.take() {
            let rewritten = segment.dhcp.settle(&self.poller, &mut self.writer);
            if let Some(ipv6) = &mut segment.ipv6 {
                ipv6.settle(&self.poller);
            }
            if let Some(portmap) = &mut segment.portmap {
                portmap.settle(&self.poller, now);
                for request in portmap.asks.drain(..) {
                    self.control.send_ask(request)?;
                }
            }
            let events = self.report_events(&mut segment);
            let wants_compaction = segment.dhcp.wants_compaction();
            let health_changed = segment.dns.as_mut().is_some_and(|dns| dns.settle(&self.poller, now.mono));
            if self.control.wants_leases() && self.leases_at <= now.mono {
                self.leases_at = now.mono + LEASES_EVERY;
                let mut leases = segment.dhcp.leases();
                leases.extend(segment.ipv6.iter().flat_map(Ipv6::leases));
                self.control.send_leases(leases);
            }
            self.segment = Some(segment);
            events?;
            self.report_rewritten(rewritten)?;
            if wants_compaction {
                self.control.send(FromWorker::WantsCompaction)?;
            }
            if health_changed {
                self.report_silence()?;
            }
        }
        // A channel that is known to be full is not tried at every turn.
        let writable = std::mem::take(&mut self.control_writable);
        if !self.control_blocked || writable {
            self.control.flush()?;
        }
        let blocked = self.control.is_blocked();
        if blocked != self.control_blocked {
            let interest = Interest { read: true, write: blocked };
            self.poller.modify(self.control.as_fd(), Token::Control, interest)?;
            self.control_blocked = blocked;
        }
        Ok(())
    }

    fn report_events(&mut self, segment: &mut Segment) -> Result<(), WorkerError> {
        let mut events = std::mem::take(&mut segment.dhcp.events);
        let result = events.drain(..).try_for_each(|event| self.report_event(segment, &event));
        segment.dhcp.events = events;
        let Some(ipv6) = &mut segment.ipv6 else { return result };
        for event in std::mem::take(&mut ipv6.events) {
            let event = match event {
                hn_ip6::Event::LeaseBound { lease, .. } => Ok(ipv6::report(lease)),
                // A lease says more and holds longer.
                hn_ip6::Event::Seen { lease } if ipv6.is_leased(lease.address) => continue,
                hn_ip6::Event::Unseen { address, .. } if ipv6.is_leased(address) => continue,
                hn_ip6::Event::Seen { lease } => Ok(ipv6::report(lease)),
                hn_ip6::Event::LeaseEnded { address, .. } if ipv6.is_seen(address) => continue,
                hn_ip6::Event::LeaseEnded { address, mac } | hn_ip6::Event::Unseen { address, mac } => {
                    Err((address, mac))
                }
            };
            match event {
                Ok(lease) => {
                    if let Some(dns) = &mut segment.dns {
                        dns.name(&lease);
                    }
                    self.control.send_lease_event(ServiceEvent::LeaseBound(lease));
                }
                Err((address, mac)) => {
                    if let Some(dns) = &mut segment.dns {
                        dns.forget6(mac, address);
                    }
                    self.control.send_lease_event(ServiceEvent::LeaseEnded { mac, address: address.into() });
                }
            }
        }
        if let Some(given) = ipv6.news() {
            self.control.send(FromWorker::Event(ServiceEvent::Uplink6(given)))?;
        }
        result
    }

    fn report_event(&mut self, segment: &mut Segment, event: &Event) -> Result<(), WorkerError> {
        match event {
            Event::LeaseBound { lease, renewed } => {
                let lease = dhcp::report(lease);
                if let Some(dns) = &mut segment.dns {
                    dns.name(&lease);
                }
                self.control.send_lease_event(ServiceEvent::LeaseBound(lease));
                if !renewed && std::mem::take(&mut self.troubles.pool_exhausted) {
                    self.report_trouble(ServiceTrouble::PoolExhausted, String::new())?;
                }
            }
            Event::LeaseReleased { address, mac }
            | Event::LeaseExpired { address, mac }
            | Event::Declined { address, mac } => {
                if let Some(dns) = &mut segment.dns {
                    dns.unname(*address);
                }
                self.control
                    .send_lease_event(ServiceEvent::LeaseEnded { mac: *mac, address: (*address).into() });
            }
            Event::Conflict { address, claimant, holder } => {
                self.troubles.conflict_until = Some(now().mono + CONFLICT_SHOWN);
                let cause = match holder {
                    Some(holder) => format!("{claimant} uses {address}, which is leased to {holder}"),
                    None => format!("{claimant} uses {address} without a lease"),
                };
                self.report_trouble(ServiceTrouble::AddressConflict, cause)?;
            }
            Event::PoolExhausted => {
                self.troubles.pool_exhausted = true;
                let cause = "every address of the pool is in use".to_owned();
                self.report_trouble(ServiceTrouble::PoolExhausted, cause)?;
            }
            Event::PersistFailed => {
                let why = segment.dhcp.failure().map(journal::explain).unwrap_or_default();
                let cause = format!("leases cannot be stored, so none are given: {why}");
                self.report_trouble(ServiceTrouble::LeaseStore, cause)?;
            }
            Event::PersistRecovered => self.report_trouble(ServiceTrouble::LeaseStore, String::new())?,
        }
        Ok(())
    }

    fn report_trouble(&mut self, kind: ServiceTrouble, cause: String) -> Result<(), WorkerError> {
        Ok(self.control.send(FromWorker::Event(ServiceEvent::Trouble { kind, cause }))?)
    }

    /// Reports whether any resolver answers, when that changed.
    fn report_silence(&mut self) -> Result<(), WorkerError> {
        let dns = self.segment.as_ref().and_then(|segment| segment.dns.as_ref());
        let cause = dns.and_then(Dns::silent_resolvers).map(dns::silence);
        if cause.is_some() == self.troubles.resolvers_silent {
            return Ok(());
        }
        self.troubles.resolvers_silent = cause.is_some();
        self.report_trouble(ServiceTrouble::Upstreams, cause.unwrap_or_default())
    }

    fn report_rewritten(&mut self, rewritten: Option<Rewritten>) -> Result<(), WorkerError> {
        if let Some(Rewritten { generation, ok }) = rewritten {
            self.control.send(FromWorker::Compacted { generation, ok })?;
        }
        Ok(())
    }
}
