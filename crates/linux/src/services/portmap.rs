//! Port mapping for devices: its sockets, what the worker is told of the table, and the requests it hands on.
//!
//! A request gets a number of this side, which no request of another worker ever had, so that an answer never
//! reaches one that did not ask.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant as Clock},
};

use hn_ports::services::{ENTRIES, ToWorker};
use hn_types::{
    Subnet6,
    observed::{PlatformEvent, ServiceEvent, ServiceTrouble},
    plan::{Ipv6Plan, PortMapPlan},
    portmap::{MapAct, MapAdd, MapAnswer, MapFilter, MapRequest},
    settings::Protocol,
};
use tokio::time::Instant;

use super::{Activity, Supervisor, channel::Breach, flow::port_outside, ports::Port, sound::legible};
use crate::{packet::portmap_sockets, ports::served};

/// Requests that wait for their answers.
const TICKETS: usize = 512;
/// Answers in one message.
const ANSWERS: usize = 64;
/// How long what is known of the host's own ports is good enough.
const FRESH: Duration = Duration::from_secs(1);
/// Refusals written to the log in a minute; the rest is only counted.
const LOGGED: u32 = 20;

/// A request that waits.
struct Ticket {
    /// What the worker calls it.
    id: u64,
    client: IpAddr,
    origin: &'static str,
}

/// Port mapping of a segment.
pub(super) struct PortMaps {
    ipv4: Port<()>,
    ipv6: Port<()>,
    /// What was last reported.
    reported: String,
    /// What the worker was told.
    told: Option<PortMapPlan>,
    /// The prefixes it was told.
    told6: Vec<Subnet6>,
    tickets: BTreeMap<u64, Ticket>,
    next: u64,
    served: Option<(Clock, Vec<(Protocol, u16)>)>,
    /// Since when refusals are counted for the log, and how many there were.
    refusals: (Clock, u32),
}

impl PortMaps {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            ipv4: Port::new(),
            ipv6: Port::new(),
            reported: String::new(),
            told: None,
            told6: Vec::new(),
            tickets: BTreeMap::new(),
            next: generation << 32,
            served: None,
            refusals: (Clock::now(), 0),
        }
    }

    pub(super) const fn retries(&self) -> [Option<Instant>; 2] {
        [self.ipv4.retry_at, self.ipv6.retry_at]
    }

    /// Whoever holds a port may have been asked to leave.
    pub(super) fn hurry(&mut self, now: Instant) {
        for port in [&mut self.ipv4, &mut self.ipv6] {
            port.retry_at = port.retry_at.map(|_| now);
        }
    }

    fn cause(&self) -> String {
        let causes = [&self.ipv4.reported, &self.ipv6.reported];
        let causes: Vec<_> =
            causes.into_iter().flatten().filter(|cause| !cause.is_empty()).cloned().collect();
        causes.join("; ")
    }

    /// A number for a request of the worker; the oldest one that waits gives way.
    fn ticket(&mut self, request: &mut MapRequest) {
        self.next += 1;
        if self.tickets.len() >= TICKETS {
            self.tickets.pop_first();
        }
        let ticket = Ticket { id: request.id, client: request.client, origin: request.origin.as_str() };
        self.tickets.insert(self.next, ticket);
        request.id = self.next;
    }

    /// The answers that the worker waits for, by its own numbers.
    fn answers(&mut self, plan: &PortMapPlan) -> Vec<MapAnswer> {
        let mut answers = Vec::new();
        for answer in &plan.answers {
            let Some(Ticket { id, client, origin }) = self.tickets.remove(&answer.id) else { continue };
            match &answer.result {
                Ok(mapped) => tracing::debug!(%client, origin, ?mapped, "a device's port mapping is granted"),
                Err(refusal) => self.log_refusal(client, origin, refusal.text()),
            }
            answers.push(MapAnswer { id, ..answer.clone() });
        }
        answers
    }

    fn log_refusal(&mut self, client: IpAddr, origin: &str, why: &str) {
        let (since, count) = &mut self.refusals;
        if since.elapsed() >= Duration::from_secs(60) {
            (*since, *count) = (Clock::now(), 0);
        }
        *count += 1;
        if *count <= LOGGED {
            tracing::info!(%client, origin, why, "a device's port mapping is refused");
        } else {
            tracing::debug!(%client, origin, why, "a device's port mapping is refused");
        }
    }

    /// What changed from what the worker was told.
    fn news(&mut self, plan: &PortMapPlan) -> Vec<ToWorker> {
        let mut news = Vec::new();
        if self.told.as_ref().map(|told| &told.uplink) != Some(&plan.uplink) {
            news.push(ToWorker::PortMapUplink(plan.uplink));
        }
        if self.told.as_ref().map(|told| &told.entries) != Some(&plan.entries) {
            news.extend(entries(plan));
        }
        let answers = self.answers(plan);
        news.extend(answers.chunks(ANSWERS).map(|part| ToWorker::PortMapAnswers(part.to_vec())));
        self.told = Some(PortMapPlan { answers: Vec::new(), ..plan.clone() });
        news
    }
}

/// The table in parts; an empty one is one part.
fn entries(plan: &PortMapPlan) -> Vec<ToWorker> {
    let parts = plan.entries.len().div_ceil(ENTRIES).max(1);
    (0..parts)
        .map(|part| ToWorker::PortMapEntries {
            entries: plan.entries.iter().skip(part * ENTRIES).take(ENTRIES).cloned().collect(),
            first: part == 0,
            more: part + 1 < parts,
        })
        .collect()
}

/// The host's addresses, each with the prefix of the devices' addresses.
fn prefixes(plan: &Ipv6Plan) -> Vec<Subnet6> {
    // The first address of a prefix of the uplink's: where that is not the host's, nothing is sent there.
    let first = |network: Subnet6| {
        let address = network.network().address().to_bits() | 1;
        Subnet6::new(address.into(), network.prefix())
    };
    [Some(plan.address), plan.global.and_then(first)].into_iter().flatten().collect()
}

/// Whether a request is one that an engine makes.
fn is_sound(act: &MapAct) -> bool {
    match act {
        MapAct::Add(add) => {
            add.name.chars().count() <= MapAdd::NAME
                && !add.name.chars().any(char::is_control)
                && add.filter.add.len() <= MapFilter::REMOTES
        }
        MapAct::Remove { .. } | MapAct::Extend { .. } | MapAct::Look { .. } | MapAct::Peer { .. } => true,
    }
}

/// The port that the kernel has chosen for a flow that is there already is not to be wished.
fn know_flow(act: &mut MapAct) {
    let MapAct::Peer { protocol, internal, remote, external_port, exists, .. } = act else { return };
    let found = match (*internal, *remote) {
        (SocketAddr::V4(internal), SocketAddr::V4(remote)) => port_outside(*protocol, internal, remote),
        (SocketAddr::V4(_) | SocketAddr::V6(_), _) => None,
    };
    *exists = found.is_some();
    *external_port = found.unwrap_or(*external_port);
}

impl Supervisor {
    /// Tries for the sockets of port mapping that are not held and due.
    pub(super) fn take_portmap(&mut self, now: Instant) -> Result<(), Breach> {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return Ok(());
        };
        let Some(plan) = serving.segment.portmap.clone() else { return Ok(()) };
        let (interface, index, generation) = (serving.segment.interface, serving.index, serving.generation);
        let address = serving.segment.address.address();
        let mut commands = Vec::new();
        let portmap = &mut serving.portmap;
        if portmap.ipv4.is_due(now) {
            match portmap_sockets(interface, index, Some(address)) {
                Ok(sockets) => {
                    portmap.ipv4.take(());
                    let PortMapPlan { uuid, name, epoch, .. } = *plan.clone();
                    commands.push((ToWorker::ServePortMap { generation, uuid, name, epoch }, sockets.into()));
                    portmap.told = None;
                    commands.extend(portmap.news(&plan).into_iter().map(|news| (news, Vec::new())));
                }
                Err(error) => portmap.ipv4.lose(error.cause(), now),
            }
        }
        if let Some(ipv6) = &serving.segment.ipv6
            && portmap.ipv4.held.is_some()
            && portmap.ipv6.is_due(now)
        {
            match portmap_sockets(interface, index, None) {
                Ok(sockets) => {
                    portmap.ipv6.take(());
                    let (link_local, prefixes) = (ipv6.link_local, prefixes(ipv6));
                    portmap.told6.clone_from(&prefixes);
                    let command = ToWorker::ServePortMap6 { generation, link_local, prefixes };
                    commands.push((command, sockets.into()));
                }
                Err(error) => portmap.ipv6.lose(error.cause(), now),
            }
        }
        for (command, sockets) in commands {
            self.tell(&command, &sockets.iter().collect::<Vec<_>>())?;
        }
        self.report_portmap();
        Ok(())
    }

    /// Tells the worker what changed.
    pub(super) fn tell_portmap(&mut self) -> Result<(), Breach> {
        let Activity::Running(serving) = &mut self.activity else { return Ok(()) };
        let Some(plan) = serving.segment.portmap.clone() else { return Ok(()) };
        if serving.portmap.ipv4.held.is_none() {
            return Ok(());
        }
        let mut news = serving.portmap.news(&plan);
        if let Some(ipv6) = serving.segment.ipv6.as_ref().filter(|_| serving.portmap.ipv6.held.is_some()) {
            let prefixes = prefixes(ipv6);
            if prefixes != serving.portmap.told6 {
                serving.portmap.told6.clone_from(&prefixes);
                news.push(ToWorker::PortMapAddress6 { link_local: ipv6.link_local, prefixes });
            }
        }
        for message in news {
            self.tell(&message, &[])?;
        }
        Ok(())
    }

    /// What the worker says of sockets that it was handed.
    pub(super) fn hear_portmap(&mut self, generation: u64, ipv6: bool, cause: &str) {
        let cause = legible(cause);
        if let Some(serving) = self.serving(generation) {
            let PortMaps { ipv4, ipv6: six, .. } = &mut serving.portmap;
            let port = if ipv6 { six } else { ipv4 };
            if cause.is_empty() {
                port.retry.reset();
            } else {
                port.lose(cause, Instant::now());
            }
        }
        self.report_portmap();
    }

    /// A device asks.
    pub(super) fn hear_ask(&mut self, mut request: MapRequest) -> Result<(), Breach> {
        let Activity::Running(serving) = &mut self.activity else {
            // The last words of a segment that is being left.
            return Ok(());
        };
        let segment = &serving.segment;
        let ours = match request.client {
            IpAddr::V4(client) => segment.address.contains(client),
            IpAddr::V6(client) => {
                let prefixes = segment.ipv6.as_ref().map(prefixes).unwrap_or_default();
                client.is_unicast_link_local() || prefixes.iter().any(|prefix| prefix.contains(client))
            }
        };
        if segment.portmap.is_none() || !ours || !is_sound(&request.act) {
            return Err("it asked for a port mapping that no device of its network can want".into());
        }
        let private = IpAddr::V4(segment.address.address());
        let portmap = &mut serving.portmap;
        portmap.ticket(&mut request);
        know_flow(&mut request.act);
        let fresh = portmap.served.take().filter(|(at, _)| at.elapsed() < FRESH);
        let (at, ports) = fresh.unwrap_or_else(|| (Clock::now(), served(private)));
        portmap.served = Some((at, ports.clone()));
        self.events.emit(PlatformEvent::PortMap { request, served: ports });
        Ok(())
    }

    /// Reports how port mapping is doing, when that changed.
    fn report_portmap(&mut self) {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return;
        };
        let cause = serving.portmap.cause();
        if serving.portmap.reported != cause {
            serving.portmap.reported.clone_from(&cause);
            let cause = if cause.is_empty() { cause } else { format!("ports cannot be mapped: {cause}") };
            self.report(ServiceEvent::Trouble { kind: ServiceTrouble::PortMap, cause });
        }
    }
}

#[cfg(test)]
mod tests {
    use hn_types::{
        Monotonic,
        portmap::{MapEntry, MapRefusal, MapUplink, MapWhich, Origin},
    };

    use super::*;

    fn plan(count: u16) -> PortMapPlan {
        let entry = |port| MapEntry {
            protocol: Protocol::Tcp,
            external_port: port,
            internal: ([192, 168, 137, 9], port).into(),
            remotes: Vec::new(),
            name: "\u{1f3ae}".repeat(MapAdd::NAME),
            origin: Some(Origin::Upnp),
            until: Some(Monotonic::ZERO),
            enabled: true,
            pinhole: None,
        };
        PortMapPlan {
            uuid: [1; 16],
            name: "host".into(),
            epoch: Monotonic::ZERO,
            uplink: MapUplink::default(),
            entries: (1..=count).map(entry).collect(),
            answers: Vec::new(),
        }
    }

    #[test]
    fn a_table_of_any_size_is_told_in_parts_that_fit() {
        for (count, parts) in [(0, 1), (1, 1), (20, 1), (21, 2), (384, 20)] {
            let mut portmap = PortMaps::new(1);
            let news = portmap.news(&plan(count));
            assert_eq!(news.len(), 1 + parts, "the uplink and {count} entries");
            for message in &news {
                let bytes = postcard::to_allocvec(message).expect("encodes");
                assert!(bytes.len() <= hn_ports::services::MESSAGE_LIMIT);
            }
            let Some(ToWorker::PortMapEntries { first: true, .. }) = news.get(1) else { panic!("{news:?}") };
            let Some(ToWorker::PortMapEntries { more: false, .. }) = news.last() else { panic!("{news:?}") };
            assert!(portmap.news(&plan(count)).is_empty(), "nothing changed");
        }
    }

    #[test]
    fn an_answer_reaches_the_worker_that_asked_once() {
        let request = |id| MapRequest {
            id,
            origin: Origin::NatPmp,
            client: [192, 168, 137, 9].into(),
            act: MapAct::Remove { which: MapWhich::All { protocol: None }, nonce: None },
        };
        let mut portmap = PortMaps::new(7);
        let (mut one, mut two) = (request(1), request(2));
        portmap.ticket(&mut one);
        portmap.ticket(&mut two);
        assert_ne!(one.id, two.id);
        let refused = |id| MapAnswer { id, result: Err(MapRefusal::NotFound) };
        let told = PortMapPlan { answers: vec![refused(two.id), refused(1)], ..plan(0) };
        let answered = |news: Vec<ToWorker>| {
            news.into_iter().find_map(|message| {
                let ToWorker::PortMapAnswers(answers) = message else { return None };
                Some(answers)
            })
        };
        assert_eq!(answered(portmap.news(&told)), Some(vec![refused(2)]));
        assert_eq!(answered(portmap.news(&told)), None);
        // Those of another worker's life are nobody's.
        assert_eq!(answered(PortMaps::new(8).news(&told)), None);
        for id in 0..2_000 {
            portmap.ticket(&mut request(id));
        }
        assert_eq!(portmap.tickets.len(), TICKETS);
    }
}
