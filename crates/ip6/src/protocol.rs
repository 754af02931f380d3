//! What a DHCPv6 client's message leads to (RFC 8415 §18.3).

use alloc::vec::Vec;
use core::{net::Ipv6Addr, time::Duration};

use hn_types::Wall;

use crate::{
    advert::Former,
    config::Global,
    counters::DropReason,
    event::{Event, LeaseView},
    frame::{CLIENT_PORT, Origin, Peer, SERVER_PORT},
    lease::{Client, Lease, identifier, rehomed},
    message::{Association, IA_NA, IA_PD, IA_TA, Kind, Message},
    reply::{ADVERTISE, REPLY, Status, Writer, duid},
    server::Server,
};

impl Server {
    pub(crate) fn handle_message(&mut self, from: Peer, multicast: bool, bytes: &[u8]) {
        let request = match Message::parse(bytes, &duid(self.config.raw())) {
            Ok(request) => request,
            Err(reason) => return self.counters.drop(reason),
        };
        if !multicast {
            match request.kind {
                Kind::Request | Kind::Renew | Kind::Release | Kind::Decline => {
                    // This server never offered to be asked by unicast (§18.3.2).
                    self.counters.requests += 1;
                    let mut reply = Writer::new(REPLY, self.config.raw(), &request);
                    reply.status(Status::UseMulticast);
                    return self.answer(from, reply);
                }
                Kind::Solicit | Kind::Confirm | Kind::Rebind | Kind::InformationRequest => {
                    return self.counters.drop(DropReason::Unicast);
                }
            }
        }
        match request.kind {
            Kind::Solicit if request.rapid_commit => self.assign(from, &request),
            Kind::Solicit => self.offer(from, &request),
            Kind::Request | Kind::Renew | Kind::Rebind => self.assign(from, &request),
            Kind::Confirm => self.confirm(from, &request),
            Kind::Release => self.give_back(from, &request, false),
            Kind::Decline => self.give_back(from, &request, true),
            Kind::InformationRequest => {
                self.counters.requests += 1;
                let mut reply = Writer::new(REPLY, self.config.raw(), &request);
                reply.configuration(self.config.raw(), &request);
                self.answer(from, reply);
            }
        }
    }

    fn answer(&mut self, to: Peer, reply: Writer) {
        let message = reply.finish();
        if message.first() == Some(&ADVERTISE) {
            self.counters.offers += 1;
        } else {
            self.counters.replies += 1;
        }
        let from = Origin::of(self.config.raw());
        let frame = crate::frame::dhcp(from, to, (SERVER_PORT, CLIENT_PORT), &message);
        self.push_frame(frame);
    }

    /// An offer promises nothing and stores nothing (§18.3.9): the address is found again when it is requested.
    fn offer(&mut self, from: Peer, request: &Message<'_>) {
        self.counters.requests += 1;
        let mut reply = Writer::new(ADVERTISE, self.config.raw(), request);
        reply.preference();
        for association in &request.associations {
            let address = self.choose(from, request, association);
            if association.code == IA_NA && address.is_none() {
                self.counters.refused += 1;
            }
            let given = self.given(address);
            reply.association(association.code, association.iaid, shortest(&given), |inner| {
                inner.addresses(&given);
                if given.is_empty() {
                    inner.status(nothing_for(association.code));
                }
            });
        }
        reply.configuration(self.config.raw(), request);
        self.answer(from, reply);
    }

    /// What a client is given that has this address: it, and the same in the uplink's prefix.
    fn given(&self, address: Option<Ipv6Addr>) -> Vec<Given> {
        let lifetimes = self.config.raw().lifetimes;
        let (preferred, valid) = (lifetimes.lease_preferred, lifetimes.lease_valid);
        let now = self.now.mono;
        let own = address.map(|address| Given { address, preferred, valid });
        let global = address.zip(self.global()).map(|(address, global)| Given {
            address: rehomed(address, global.network),
            preferred: global.preferred_until.since(now).min(preferred),
            valid: global.valid_until.since(now).min(valid),
        });
        own.into_iter().chain(global).collect()
    }

    /// The uplink's prefix while it is to be used.
    fn global(&self) -> Option<Global> {
        let now = self.now.mono;
        self.config.raw().uplink.global.filter(|global| global.preferred_until.min(global.valid_until) > now)
    }

    fn choose(&self, from: Peer, request: &Message<'_>, association: &Association) -> Option<Ipv6Addr> {
        if association.code != IA_NA {
            return None;
        }
        self.leases.choose(&client(request, association), from.mac, &association.addresses)
    }

    /// Solicit with rapid commit, Request, Renew and Rebind (§18.3.1 to §18.3.5). A lease that is unknown is made
    /// anew: this is the only server of its link.
    fn assign(&mut self, from: Peer, request: &Message<'_>) {
        self.counters.requests += 1;
        let mut reply = Writer::new(REPLY, self.config.raw(), request);
        if request.kind == Kind::Solicit {
            reply.rapid_commit();
        }
        for association in &request.associations {
            let off_link = association.addresses.iter().any(|at| !self.is_on_link(*at));
            if association.code == IA_NA && request.kind == Kind::Request && off_link {
                reply.association(IA_NA, association.iaid, Duration::ZERO, |inner| {
                    inner.status(Status::NotOnLink);
                });
                continue;
            }
            let address = self.choose(from, request, association);
            if let Some(address) = address {
                self.bind(from, request, association, address);
            } else if association.code == IA_NA {
                self.counters.refused += 1;
            }
            let given = self.given(address);
            let mut others = Vec::new();
            // What it has otherwise is not its own (§18.3.4), or not any more. A request names wishes only.
            if matches!(request.kind, Kind::Renew | Kind::Rebind) {
                let known = |at: &Ipv6Addr| given.iter().any(|given| given.address == *at);
                for other in association.addresses.iter().copied().filter(|at| !known(at)) {
                    let own = address.is_some_and(|address| identifier(address) == identifier(other));
                    let former = self.former.iter().find(|former| own && former.network.contains(other));
                    let valid = former.map_or(Duration::ZERO, |former| self.remaining(former));
                    others.push(Given { address: other, preferred: Duration::ZERO, valid });
                }
            }
            reply.association(association.code, association.iaid, shortest(&given), |inner| {
                inner.addresses(&given);
                if given.is_empty() {
                    inner.status(nothing_for(association.code));
                }
                inner.addresses(&others);
            });
        }
        reply.configuration(self.config.raw(), request);
        self.answer(from, reply);
    }

    fn remaining(&self, former: &Former) -> Duration {
        former.valid_until.since(self.now.mono).min(self.config.raw().lifetimes.lease_valid)
    }

    fn is_on_link(&self, address: Ipv6Addr) -> bool {
        self.networks().any(|network| network.contains(address))
    }

    fn bind(&mut self, from: Peer, request: &Message<'_>, association: &Association, address: Ipv6Addr) {
        let client = client(request, association);
        let known = self.leases.lease(&client);
        // The address in a prefix that has been replaced since.
        let current = self.global().map(|global| rehomed(address, global.network));
        let before = known.and_then(|lease| lease.global).filter(|before| Some(*before) != current);
        let hostname = if request.hostname.is_empty() {
            known.map(|lease| lease.hostname.clone()).unwrap_or_default()
        } else {
            request.hostname.clone()
        };
        let expires = self.now.mono + self.config.raw().lifetimes.lease_valid;
        let global = current;
        let lease = Lease { address, global, mac: from.mac, hostname, expires };
        let view = self.view(&lease);
        let (renewed, forgotten) = self.leases.bind(client, lease);
        if let Some(forgotten) = forgotten {
            self.counters.forgotten += 1;
            self.end(&forgotten);
        }
        if renewed {
            self.counters.renewed += 1;
        } else {
            self.counters.bound += 1;
        }
        if let Some(before) = before {
            self.push_event(Event::LeaseEnded { address: before, mac: from.mac });
        }
        if let Some(address) = global {
            let lease = LeaseView { address, ..view.clone() };
            self.push_event(Event::LeaseBound { lease, renewed });
        }
        self.push_event(Event::LeaseBound { lease: view, renewed });
    }

    /// Whether the client's addresses fit this link (§18.3.3).
    fn confirm(&mut self, from: Peer, request: &Message<'_>) {
        let mut addresses =
            request.associations.iter().flat_map(|association| &association.addresses).peekable();
        if addresses.peek().is_none() {
            return self.counters.drop(DropReason::Nothing);
        }
        let fits = addresses.all(|address| self.is_on_link(*address));
        self.counters.requests += 1;
        let mut reply = Writer::new(REPLY, self.config.raw(), request);
        reply.status(if fits { Status::Success } else { Status::NotOnLink });
        self.answer(from, reply);
    }

    /// Release and Decline (§18.3.7, §18.3.8): only what the client holds, and only from where it holds it.
    fn give_back(&mut self, from: Peer, request: &Message<'_>, declined: bool) {
        self.counters.requests += 1;
        let mut reply = Writer::new(REPLY, self.config.raw(), request);
        reply.status(Status::Success);
        for association in request.associations.iter().filter(|association| association.code == IA_NA) {
            let client = client(request, association);
            let Some(lease) = self.leases.lease(&client).filter(|lease| lease.mac == from.mac) else {
                reply.association(IA_NA, association.iaid, Duration::ZERO, |inner| {
                    inner.status(Status::NoBinding);
                });
                continue;
            };
            let named = |at: &Ipv6Addr| self.is_on_link(*at) && identifier(*at) == identifier(lease.address);
            if !association.addresses.iter().any(named) {
                continue;
            }
            if let Some(lease) = self.leases.remove(&client) {
                if declined {
                    self.counters.declined += 1;
                    self.leases.decline(lease.address, self.now.mono);
                } else {
                    self.counters.released += 1;
                }
                self.end(&lease);
            }
        }
        self.answer(from, reply);
    }

    pub(crate) fn end(&mut self, lease: &Lease) {
        for address in lease.global.into_iter().chain([lease.address]) {
            self.push_event(Event::LeaseEnded { address, mac: lease.mac });
        }
    }

    pub(crate) fn view(&self, lease: &Lease) -> LeaseView {
        LeaseView {
            address: lease.address,
            mac: lease.mac,
            hostname: lease.hostname.clone(),
            expires: Wall::from_unix(
                self.now.wall.as_unix().saturating_add(lease.expires.since(self.now.mono).as_secs()),
            ),
        }
    }
}

fn client(request: &Message<'_>, association: &Association) -> Client {
    Client { duid: request.client.into(), iaid: association.iaid }
}

/// An address with its lifetimes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) address: Ipv6Addr,
    pub(crate) preferred: Duration,
    pub(crate) valid: Duration,
}

/// After half of this the client renews.
fn shortest(given: &[Given]) -> Duration {
    given.iter().map(|given| given.preferred).min().unwrap_or_default()
}

const fn nothing_for(code: u16) -> Status {
    match code {
        IA_PD => Status::NoPrefixAvail,
        IA_TA | IA_NA => Status::NoAddrsAvail,
        _ => Status::NoBinding,
    }
}
