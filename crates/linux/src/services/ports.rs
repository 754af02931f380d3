//! The ports of a segment, which somebody else may hold: tried for, reported, tried for again with growing pauses.
//!
//! None of them takes DHCP down, and none of IPv6 anything of IPv4.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    time::Duration,
};

use hn_ports::services::ToWorker;
use hn_types::{
    IfName, MacAddr,
    observed::{ServiceEvent, ServiceTrouble},
};
use tokio::time::Instant;

use super::{Activity, Supervisor, channel::Breach, sound::legible};
use crate::{
    network::{interface, link_local},
    packet::{
        DnsSockets, dhcp_port, dhcp6_groups, dns_sockets, packet_socket6, uplink_guard6, uplink_socket6,
    },
};

/// What the worker needs to speak on the uplink: its hardware address, the host's address there, a socket.
fn open_uplink(name: IfName) -> Result<(Option<MacAddr>, Ipv6Addr, OwnedFd), String> {
    let row = interface(name).map_err(|error| error.to_string())?;
    let address = link_local(row.index).ok_or("it has no link-local address")?;
    let mac = row.address.filter(|mac| !mac.is_multicast() && row.is_ethernet());
    let socket = uplink_socket6(name, row.index, mac.is_some()).map_err(|error| error.to_string())?;
    Ok((mac, address, socket))
}

/// What IPv6 needs besides.
pub(super) struct Sockets6 {
    /// Of router advertisements and DHCPv6.
    pub(super) frames: Port<()>,
    pub(super) groups: Port<OwnedFd>,
    /// Of DHCPv6, which is asked for and not held.
    pub(super) dhcp: Port<()>,
    pub(super) dns: Port<()>,
    /// The packet socket of the uplink, with its guard, and which uplink it is of.
    pub(super) uplink: Port<(IfName, Option<OwnedFd>)>,
    /// What was last reported.
    pub(super) reported: String,
}

impl Sockets6 {
    pub(super) const fn new() -> Self {
        Self {
            frames: Port::new(),
            groups: Port::new(),
            dhcp: Port::new(),
            dns: Port::new(),
            uplink: Port::new(),
            reported: String::new(),
        }
    }

    /// Why it does not work as a whole; empty when it does.
    pub(super) fn cause(&self) -> String {
        let causes = [&self.frames.reported, &self.groups.reported, &self.dhcp.reported, &self.dns.reported];
        let causes: Vec<_> =
            causes.into_iter().flatten().filter(|cause| !cause.is_empty()).cloned().collect();
        causes.join("; ")
    }
}

/// A port that may be held by somebody else.
pub(super) struct Port<T> {
    pub(super) held: Option<T>,
    /// What was last reported: `None` nothing, else why it does not work, empty when it does.
    pub(super) reported: Option<String>,
    pub(super) retry: Backoff,
    pub(super) retry_at: Option<Instant>,
}

impl<T> Port<T> {
    pub(super) const fn new() -> Self {
        let retry = Backoff::new(Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(30));
        Self { held: None, reported: None, retry, retry_at: None }
    }

    /// Nobody holds it and it is time to try.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.held.is_none() && self.retry_at.is_none_or(|at| at <= now)
    }

    pub(super) fn take(&mut self, held: T) {
        self.held = Some(held);
        self.retry_at = None;
        self.reported = Some(String::new());
    }

    /// It cannot be had, for now.
    pub(super) fn lose(&mut self, cause: String, now: Instant) {
        self.held = None;
        self.retry_at = Some(now + self.retry.next());
        self.reported = Some(cause);
    }
}

/// Growing pauses.
#[derive(Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) second: Duration,
    pub(super) last: Duration,
    pub(super) next: Duration,
}

impl Backoff {
    pub(super) const fn new(first: Duration, second: Duration, last: Duration) -> Self {
        Self { first, second, last, next: first }
    }

    pub(super) fn next(&mut self) -> Duration {
        let next = self.next;
        self.next = if next < self.second { self.second } else { (next * 2).min(self.last) };
        next
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Supervisor {
    /// Tries for the ports that are not held and due.
    pub(super) fn take_ports(&mut self, now: Instant) -> Result<(), Breach> {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return Ok(());
        };
        let mut reports = Vec::new();
        let interface = serving.segment.interface;
        let dhcp = &mut serving.dhcp;
        if dhcp.is_due(now) {
            let before = dhcp.reported.take().unwrap_or_default();
            match dhcp_port(interface, Ipv4Addr::UNSPECIFIED.into()) {
                Ok(()) => dhcp.take(()),
                Err(error) => dhcp.lose(error.cause(), now),
            }
            // That it works is only worth saying after it did not.
            if let Some(cause) = dhcp.reported.clone().filter(|cause| *cause != before) {
                reports.push(ServiceEvent::Trouble { kind: ServiceTrouble::DhcpPort, cause });
            }
        }
        let dns = &mut serving.dns;
        let mut sockets = None;
        if serving.segment.dns.is_some() && dns.held.is_none() && dns.retry_at.is_none_or(|at| at <= now) {
            match dns_sockets(interface, serving.segment.address.address().into()) {
                Ok(DnsSockets { sockets: pair, moved, cause }) => {
                    dns.held = Some(());
                    dns.retry_at = None;
                    sockets = Some((serving.generation, pair));
                    // Nothing is said of what is as it should be and always was.
                    if !(moved.is_empty() && self.moved.is_empty()) {
                        self.moved.clone_from(&moved);
                        reports.push(ServiceEvent::DnsMoved { moved, cause });
                    }
                }
                Err(error) => {
                    let cause = error.cause();
                    dns.retry_at = Some(now + dns.retry.next());
                    if dns.reported.as_deref() != Some(cause.as_str()) {
                        reports.push(ServiceEvent::Dns { serving: false, cause: cause.clone() });
                    }
                    dns.reported = Some(cause);
                }
            }
        }
        for event in reports {
            self.report(event);
        }
        if let Some((generation, [udp, tcp])) = sockets {
            self.tell(&ToWorker::ServeDns { generation }, &[&udp, &tcp])?;
        }
        self.take_portmap(now)?;
        self.take_ports6(now)
    }

    /// The same of IPv6, none of which takes anything of IPv4 down.
    pub(super) fn take_ports6(&mut self, now: Instant) -> Result<(), Breach> {
        let led_past = !self.moved.is_empty();
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return Ok(());
        };
        let Some(plan) = serving.segment.ipv6.clone() else { return Ok(()) };
        let (interface, index) = (serving.segment.interface, serving.index);
        let (generation, mac) = (serving.generation, serving.mac);
        let mut commands = Vec::new();
        let Sockets6 { frames, groups, dhcp, dns, .. } = &mut serving.ipv6;
        if groups.is_due(now) {
            match dhcp6_groups(interface, index) {
                Ok(socket) => groups.take(socket),
                Err(error) => groups.lose(error.to_string(), now),
            }
        }
        if dhcp.is_due(now) {
            match dhcp_port(interface, Ipv6Addr::UNSPECIFIED.into()) {
                Ok(()) => dhcp.take(()),
                Err(error) => dhcp.lose(error.cause(), now),
            }
        }
        if led_past
            && dns.is_due(now)
            && let Some(cause) = dns.reported.take_if(|cause| !cause.is_empty())
        {
            // Who has the port is led past over IPv4; when it starts again it finds what it had.
            dns.lose(cause, now);
        } else if serving.segment.dns.is_some() && dns.is_due(now) {
            match dns_sockets(interface, plan.address.address().into()) {
                Ok(found) => {
                    dns.take(());
                    commands.push((ToWorker::ServeDns6 { generation }, found.sockets.into()));
                }
                Err(error) => dns.lose(error.cause(), now),
            }
        }
        if frames.is_due(now) {
            match packet_socket6(interface, index) {
                Ok(socket) => {
                    frames.take(());
                    commands.push((ToWorker::ServeIpv6 { generation, plan, mac }, vec![socket]));
                }
                Err(error) => frames.lose(error.to_string(), now),
            }
        }
        for (command, sockets) in commands {
            self.tell(&command, &sockets.iter().collect::<Vec<_>>())?;
        }
        self.report_ipv6();
        self.take_uplink6(now)
    }

    /// Has the worker look at the uplink that is wanted, and leave one that is not. That an uplink has no link-local
    /// address yet, or never gets one, is no trouble: then it gives nothing.
    pub(super) fn take_uplink6(&mut self, now: Instant) -> Result<(), Breach> {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return Ok(());
        };
        let wanted = serving.segment.ipv6.as_ref().and_then(|plan| plan.uplink);
        let (generation, uplink) = (serving.generation, &mut serving.ipv6.uplink);
        let held = uplink.held.as_ref().map(|(name, _)| *name);
        let mut command = None;
        if held.is_some() && held != wanted {
            uplink.held = None;
            command = Some((ToWorker::LeaveUplink6, None));
        }
        if held != wanted {
            uplink.retry.reset();
            uplink.retry_at = None;
        }
        // The worker forgets the uplink with the socket of the segment, which has to be there first.
        if let Some(interface) = wanted.filter(|_| serving.ipv6.frames.held.is_some())
            && uplink.is_due(now)
        {
            match open_uplink(interface) {
                Ok((mac, link_local, socket)) => {
                    uplink.take((interface, uplink_guard6(interface).ok()));
                    let watch = ToWorker::WatchUplink6 { generation, interface, mac, link_local };
                    command = Some((watch, Some(socket)));
                }
                Err(cause) => {
                    tracing::debug!(cause, %interface, "the uplink gives nothing for IPv6");
                    uplink.lose(cause, now);
                }
            }
        }
        match command {
            Some((command, socket)) => self.tell(&command, socket.as_ref().as_slice()),
            None => Ok(()),
        }
    }

    /// Reports how IPv6 is doing, when that changed.
    pub(super) fn report_ipv6(&mut self) {
        let (Activity::Running(serving) | Activity::Starting { serving, .. }) = &mut self.activity else {
            return;
        };
        let cause = serving.ipv6.cause();
        if serving.ipv6.reported != cause {
            serving.ipv6.reported.clone_from(&cause);
            self.report(ServiceEvent::Trouble { kind: ServiceTrouble::Ipv6, cause });
        }
    }

    /// What the worker says of a socket of IPv6 that it was handed.
    pub(super) fn hear_ipv6(
        &mut self,
        generation: u64,
        cause: &str,
        port: impl FnOnce(&mut Sockets6) -> &mut Port<()>,
    ) {
        let cause = legible(cause);
        if let Some(serving) = self.serving(generation) {
            let port = port(&mut serving.ipv6);
            if cause.is_empty() {
                port.retry.reset();
            } else {
                port.lose(format!("IPv6 is not served: {cause}"), Instant::now());
            }
        }
        self.report_ipv6();
    }
}
